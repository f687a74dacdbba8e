/* Attach: become the writer of a volume (DESIGN 5, PROTOCOL 4.1, 4.2, 4.7).
 *
 *   GET manifest -> compare with WAL and index (nothing changed until here, P5: meet.c)
 *   -> INTENT record with a new nonce, flushed -> CAS epoch + 1 with that nonce (raise.c) -> load, replay -> serve
 *        |
 *        +-- the store is away: resume.c */
#include "engine/api/engine.h"
#include "engine/api/handle.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/upload/attach.h"
#include "engine/upload/follow.h"
#include "engine/wal/aside.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LOOKS = 3 }; /* at a manifest that moves on while it is read */

/* A detach gives back what the WAL holds of the volume, and needs no memory for that. */
static int keep_place(struct engine *e)
{
	pthread_mutex_lock(&e->lock);
	size_t cap = e->scan.cap_found;
	void *p = e->scan.found;
	int rc = mem_grow(e->env, &p, &cap, e->scan.n_found, e->scan.n_found + e->n_joined + 1u,
	                  sizeof *e->scan.found);
	if (!rc) {
		e->scan.found = p;
		e->scan.cap_found = (uint32_t)cap;
		e->n_joined++;
	}
	pthread_mutex_unlock(&e->lock);
	return rc;
}

static int join_engine(struct attach *a)
{
	struct engine *e = a->e;
	struct volume *v = a->v;
	if (keep_place(e))
		return fail(a->err, FIRN_ENOMEM, 0, "attach", "no memory");
	volume_show(v);
	v->handle = handle_new(v);
	pthread_rwlock_wrlock(&e->volumes_lock); /* other attaches are at this list, too */
	size_t cap = e->cap_volume;
	void *p = e->volume;
	int rc = !v->handle || mem_grow(e->env, &p, &cap, e->n_volume, e->n_volume + 1u, sizeof v)
	                 ? FIRN_ENOMEM
	                 : 0;
	if (!rc) {
		e->volume = p;
		e->cap_volume = (uint32_t)cap;
		e->volume[e->n_volume++] = v;
	}
	pthread_rwlock_unlock(&e->volumes_lock);
	pthread_mutex_lock(&e->lock);
	struct wal_found *found = rc ? NULL : wal_scan_find(&e->scan, v->volume_no);
	if (found) { /* taken or out of date: from now on the volume's own marks are the truth */
		*found = e->scan.found[--e->scan.n_found];
	}
	e->n_joined -= rc != 0;
	pthread_mutex_unlock(&e->lock);
	if (rc)
		handle_close(v->handle);
	return rc ? fail(a->err, rc, 0, "attach", "no memory") : 0;
}

#define RESUME_AFTER_NS UINT64_C(5000000000)

struct answer { /* what the caller gets; made first, so that nobody is attached without being told */
	struct firn_attached attached;
	struct firn_lost lost;
	char text[sizeof((struct firn_error *)NULL)->text];
};

static void answer_fill(struct answer *r, const struct attach *a, int rc)
{
	const struct manifest *m = &a->v->manifest;
	bool check = a->job->attach_flags & FIRN_ATTACH_CHECK;
	r->attached = (struct firn_attached){
		.struct_size = sizeof r->attached,
		.volume = rc || check ? NULL : a->v->handle,
		.replayed_bytes = a->replayed,
		.epoch = rc || check ? m->epoch : a->v->epoch,
		.last_commit_ms = a->last_commit_ms,
		.survives = a->e->wal.slots ? FIRN_SURVIVES_NODE : FIRN_SURVIVES_PROCESS_AND_POWER,
		.flags = rc || !a->resumed ? 0 : FIRN_ATTACHED_RESUMED,
		.lost_size = sizeof r->lost
	};
	if (rc != FIRN_ELOST && !a->abandon)
		return;
	r->attached.n_lost = 1;
	r->attached.lost = &r->lost;
	r->lost = a->lost;
	if (a->abandon)
		return;
	memcpy(r->text, a->err->text, sizeof r->text);
	r->attached.text = r->text;
	r->lost = (struct firn_lost){ .rev_stored = m->rev_stored,
		                      .rev_skip = m->rev_stored + LOST_SKIP };
	memcpy(r->lost.nonce, m->nonce, sizeof r->lost.nonce);
}

/* Jobs of one name never run at the same time: none can join between this look and our own joining. */
static int already_here(struct attach *a)
{
	int rc = 0;
	pthread_rwlock_rdlock(&a->e->volumes_lock);
	for (uint32_t i = 0; i < a->e->n_volume && !rc; i++)
		if (!strcmp(a->e->volume[i]->name, a->v->name) &&
		    !strcmp(a->e->volume[i]->uri, a->v->uri))
			rc = fail(a->err, FIRN_EBUSY, 0, "attach", "%s is attached by this engine",
			          a->v->name);
	pthread_rwlock_unlock(&a->e->volumes_lock);
	return rc;
}

/* Another attach that has come further with the same volume; from here on ours is the one. */
static int others_have_id(struct attach *a)
{
	const uint8_t *id = a->v->manifest.volume_id;
	struct upload_job *other = NULL;
	pthread_mutex_lock(&a->e->lock);
	for (struct upload_job *j = a->e->job_first; j; j = j->next)
		if (j != a->job && j->running && j->has_id && !memcmp(j->id, id, sizeof j->id))
			other = j;
	if (!other) {
		memcpy(a->job->id, id, sizeof a->job->id);
		a->job->has_id = true;
	}
	pthread_mutex_unlock(&a->e->lock);
	return other ? fail(a->err, FIRN_EBUSY, 0, "attach",
	                    "%s is being attached by this engine under another name", a->v->name)
	             : 0;
}

/* The same under another spelling of the URI: two writers in one engine. */
int attach_already_here(struct attach *a)
{
	int rc = others_have_id(a);
	pthread_rwlock_rdlock(&a->e->volumes_lock);
	for (uint32_t i = 0; i < a->e->n_volume && !rc; i++)
		if (!memcmp(a->e->volume[i]->id, a->v->manifest.volume_id, 16))
			rc = fail(a->err, FIRN_EBUSY, 0, "attach",
			          "%s is attached by this engine, as %s of %s", a->v->name,
			          a->e->volume[i]->name, a->e->volume[i]->uri);
	pthread_rwlock_unlock(&a->e->volumes_lock);
	return rc;
}

static int prepare(struct attach *a)
{
	struct upload_job *j = a->job;
	struct volume *v = a->v;
	(void)snprintf(v->name, sizeof v->name, "%s", j->name);
	(void)snprintf(v->node, sizeof v->node, "%s", j->node ? j->node : "");
	if (!j->node && gethostname(v->node, sizeof v->node - 1))
		v->node[0] = 0;
	v->segment_bytes = j->segment_bytes ? j->segment_bytes : a->e->options.segment_bytes;
	v->upload_interval_ms = j->upload_interval_ms ? j->upload_interval_ms
	                                              : a->e->options.upload_interval_ms;
	v->user_data = j->to.user_data;
	v->lane = lane_ref(a->e, j->lane);
	int rc = store_open(a->e->env, j->uri, &v->store, a->err);
	if (rc)
		return rc;
	totals_join(&a->e->stores, v->store);
	const char *shown = store_uri_shown(v->store);
	if (strlen(shown) >= sizeof a->row.uri) /* the WAL's table must be able to name it */
		return fail(a->err, FIRN_EINVAL, 0, "attach",
		            "the store's URI is longer than %zu bytes", sizeof a->row.uri - 1);
	v->uri = mem_dup(a->e->env, shown, strlen(shown) + 1);
	if (!v->uri)
		return fail(a->err, FIRN_ENOMEM, 0, "attach", "no memory");
	return already_here(a);
}

/* No ownership: the cut that the manifest names, and then those that come. Nothing is written, locally but the index. */
static void read_only(struct attach *a)
{
	struct volume *v = a->v;
	memcpy(v->id, v->manifest.volume_id, 16);
	v->epoch = v->manifest.epoch;
	v->read_only = true;
	v->state = FIRN_STATE_READ_ONLY;
}

/* Cancelled, or out of time: asked before anything is changed and again before it is told. */
static int given_up(struct attach *a)
{
	struct upload_job *j = a->job;
	const struct firn_env *env = a->e->env;
	pthread_mutex_lock(&a->e->lock);
	bool cancelled = j->cancelled;
	pthread_mutex_unlock(&a->e->lock);
	if (cancelled)
		return fail(a->err, FIRN_ECANCELED, 0, "attach", "cancelled");
	if (j->deadline_ns && env->mono_ns(env->ctx) > j->deadline_ns)
		return fail(a->err, FIRN_ETIMEDOUT, 0, "attach", "time ran out");
	return 0;
}

/* An attach or a commit that this WAL sent before a crash has landed in between (PROTOCOL S9): the manifest is ours, and
 * the base to start over from. With anybody else's the refusal stays what it was. */
static bool fenced_by_myself(struct attach *a)
{
	struct volume *v = a->v;
	struct firn_error refusal = *a->err;
	uint8_t was[16];
	memcpy(was, v->manifest.nonce, 16);
	bool walks = logs_in_stores(&v->manifest);
	manifest_fini(&v->manifest, a->e->env);
	a->create = false;
	if (!attach_read_manifest(a) && !a->create &&
	    !wal_row_find(&a->e->wal, v->manifest.volume_id, &a->row) &&
	    nonce_is_mine(&a->row, v->manifest.nonce))
		return true;
	/* Or who is to be taken over has committed meanwhile: with its log in a store that is no reason to stop. */
	if (walks && !a->create && !memcmp(was, v->manifest.nonce, 16))
		return true;
	*a->err = refusal;
	return false;
}

/* Compares, and changes nothing. */
static int judge(struct attach *a, bool reads)
{
	bool abandon = a->job->takeover && !strcmp(a->job->takeover, "abandon");
	int rc = a->create ? 0 : attach_already_here(a);
	a->gone = a->abandon = false;
	if (!rc && a->create && reads)
		rc = fail(a->err, FIRN_ENOENT, 0, "attach", "%s has no volume %s", a->v->uri,
		          a->v->name);
	if (!rc && !a->create && !reads)
		rc = attach_check_wal(a);
	if ((rc == FIRN_ELOST || rc == FIRN_ECORRUPT) && a->gone && abandon)
		rc = abandon_judge(a);
	return rc || a->create ? rc : attach_check_index(a);
}

/* What the store says of the volume. Who may go on without an answer does not wait for it for long. */
static int ask(struct attach *a, bool reads)
{
	struct store *s = a->v->store;
	const struct firn_env *env = a->e->env;
	bool abandon = a->job->takeover && !strcmp(a->job->takeover, "abandon");
	const char *refused = reads || abandon ? "" : resume_refused(a);
	uint64_t patience = RESUME_AFTER_NS, was = 0, now = env->mono_ns(env->ctx);
	if (a->job->deadline_ns && a->job->deadline_ns < now + 4 * patience)
		patience = a->job->deadline_ns > now ? (a->job->deadline_ns - now) / 4 : 0;
	if (!refused)
		was = store_patience(s, patience);
	int rc = reads ? 0 : lane_probe(a->v->lane, s, a->err);
	rc = rc ? rc : attach_read_manifest(a);
	if (!refused)
		(void)store_patience(s, was);
	a->known = false; /* told by name so far; the id decides */
	if (rc != FIRN_ESTORE || !(a->err->flags & FIRN_ERR_RETRY) || reads || abandon)
		return rc;
	a->resumed = !refused;
	if (!refused) /* answered: what fails from here on says so itself */
		*a->err = (struct firn_error){ .struct_size = a->err->struct_size };
	return refused ? fail_context(a->err, rc, "%s; %s", a->v->name, refused) : 0;
}

/* The index as the manifest says. An object that it names may have gone meanwhile, if another engine is the writer:
 * then there is a newer manifest (PROTOCOL 22). */
static int catch_up(struct attach *a, bool reads)
{
	struct volume *v = a->v;
	for (uint32_t tries = 0;; tries++) {
		int rc = index_catch_up(v, a->err);
		if (rc != FIRN_ECORRUPT || tries == LOOKS)
			return rc;
		struct firn_error was = *a->err;
		uint64_t seq = v->manifest.seq;
		manifest_fini(&v->manifest, a->e->env);
		rc = attach_read_manifest(a);
		if (rc || a->create || v->manifest.seq == seq) {
			*a->err = was;
			return FIRN_ECORRUPT;
		}
		rc = judge(a, reads);
		if (rc)
			return rc;
	}
}

static void tell_number(const struct attach *a)
{
	char text[80];
	(void)snprintf(text, sizeof text, "writer number %llu from now on",
	               (unsigned long long)a->epoch);
	engine_log(a->e, FIRN_LOG_INFO, "attach", a->v->name, text);
}

/* The writer of what the manifest says, under a number of its own. */
static int become_writer(struct attach *a)
{
	int rc = 0;
	for (uint32_t tries = 0;; tries++) {
		/* Before the volume is touched: are all segments there that the manifest names (P5)? */
		rc = a->create ? 0 : catch_up(a, false);
		rc = rc ? rc : given_up(a);
		rc = rc ? rc : attach_write_intent(a);
		rc = rc ? rc : attach_raise_epoch(a);
		if (!rc)
			tell_number(a);
		if (rc != FIRN_EFENCED || tries == WAL_MAX_INTENTS || !fenced_by_myself(a))
			return rc;
		rc = judge(a, false);
		if (rc)
			return rc;
	}
}

static int attach(struct attach *a)
{
	bool reads = a->job->attach_flags & FIRN_ATTACH_READ_ONLY;
	int rc = prepare(a);
	rc = rc ? rc : ask(a, reads);
	if (!rc && !reads &&
	    a->e->wal.slots) { /* nothing is changed if what an ack rests on is away */
		rc = store_probe(a->e->wal.slots->store, a->err);
		rc = rc ? fail_context(a->err, rc, "the store of the log") : 0;
	}
	if (!rc)
		rc = a->resumed ? resume_begin(a) : judge(a, reads);
	if (rc || a->job->attach_flags & FIRN_ATTACH_CHECK)
		return rc;
	if (reads) {
		rc = catch_up(a, true);
		read_only(a);
	} else if (!a->resumed) {
		rc = become_writer(a);
		rc = rc ? rc : index_catch_up(a->v, a->err);
	}
	wal_hold(&a->e->wal, true);
	rc = rc ? rc : volume_load(a->v, a->found, &a->replayed, a->err);
	if (!rc && !reads && !a->resumed)
		rc = volume_inherit(a->v, &a->own, &a->replayed, a->err);
	rc = rc ? rc : volume_whole(a->v, a->found, a->err);
	rc = rc ? rc : given_up(a);
	if (!rc && reads)
		rc = follow_open(a->v, a->err);
	rc = rc ? rc : join_engine(a);
	wal_hold(&a->e->wal, false);
	if (!rc && a->resumed)
		engine_log(a->e, FIRN_LOG_WARN, "upload", a->v->name,
		           "the store is away: it goes on without, and stores nothing");
	return rc;
}

int attach_run(struct engine *e, struct upload_job *j)
{
	struct firn_error err = { .struct_size = sizeof err };
	struct attach a = { .e = e, .job = j, .err = &err };
	int rc = given_up(&a);
	struct answer *r = rc ? NULL : result_new(e->account, sizeof *r, NULL, 0);
	if (!rc) {
		a.v = r ? volume_new(e) : NULL;
		rc = a.v ? attach(&a) : fail(&err, FIRN_ENOMEM, 0, "attach", "no memory");
	}
	if (rc == ATTACH_WAITS) {
		firn_release(r);
		volume_free(a.v);
		return 0;
	}
	struct firn_event ev = { .kind = FIRN_REQ_ATTACH, .code = rc };
	if (!rc || rc == FIRN_ELOST) {
		answer_fill(r, &a, rc);
		ev.result = r;
	} else {
		firn_release(r);
		ev.result = result_error(e->account, &err);
	}
	if (a.v && (rc || j->attach_flags & FIRN_ATTACH_CHECK))
		volume_free(a.v);
	if (rc && j->to.call)
		call_error(j->to.call, &err);
	job_take(e, j);
	complete(&j->to, &ev);
	return 1;
}

void job_free(struct engine *e, struct upload_job *j)
{
	lane_put(e, j->lane);
	mem_free(e->env, j->uri);
	mem_free(e->env, j->name);
	mem_free(e->env, j->node);
	mem_free(e->env, j->takeover);
	mem_free(e->env, j);
}
