/* Attach: become the writer of a volume (DESIGN 5, PROTOCOL 4.1, 4.2, 4.7).
 *
 *   GET manifest -> compare with WAL and index (nothing changed until here, P5)
 *   -> INTENT record with a new nonce, flushed -> CAS epoch + 1 with that nonce -> load, replay -> serve */
#include "engine/api/engine.h"
#include "engine/api/handle.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/upload/upload.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct attach {
	struct engine *e;
	struct upload_job *job;
	struct volume *v;
	struct wal_volume_row row;
	bool known, create; /* the WAL's table has it; there is no manifest */
	struct wal_found *found,
	        found_copy; /* the groups stay the scan's until the volume has joined */
	uint64_t replayed;
	int64_t last_commit_ms;
	struct firn_error *err;
};

static bool zero(const uint8_t id[16])
{
	static const uint8_t none[16];
	return !memcmp(id, none, 16);
}

static int check_name_known(struct attach *a)
{
	struct wal_volume_row row;
	bool gone = wal_gone_name(&a->e->wal, a->v->uri, a->v->name);
	if (!gone && wal_row_find_name(&a->e->wal, a->v->uri, a->v->name, &row))
		return 0;
	if (!gone && zero(row.nonce) &&
	    !row.rev) /* an intent alone: perhaps no manifest ever came of it */
		return 0;
	return fail(
	        a->err, FIRN_ECORRUPT, 0, "attach",
	        "%s: the WAL knows this volume, the store has no manifest of it: the store went backwards",
	        a->v->name);
}

static int read_manifest(struct attach *a)
{
	struct volume *v = a->v;
	struct buf b;
	char key[400];
	buf_init(&b, a->e->env);
	int rc = manifest_key(v->name, key, sizeof key);
	if (rc)
		return fail(a->err, FIRN_EINVAL, 0, "attach", "%s is not a volume name", v->name);
	rc = store_get_all(v->store, key, MANIFEST_MAX_BYTES, &b, &v->version, a->err);
	if (rc == FIRN_ENOENT) {
		a->create = true;
		rc = check_name_known(a);
		if (!rc && !(a->job->attach_flags & FIRN_ATTACH_CREATE))
			rc = fail(a->err, FIRN_ENOENT, 0, "attach", "%s has no volume %s", v->uri,
			          v->name);
	} else if (!rc) {
		rc = manifest_decode(a->e->env, b.data, b.len, &v->manifest, a->err);
		rc = rc ? fail_context(a->err, rc, "%s", key) : 0;
		if (!rc && !(a->job->attach_flags & FIRN_ATTACH_READ_ONLY))
			rc = manifest_writable(&v->manifest, a->err);
		a->last_commit_ms = v->manifest.committed_ms;
	}
	buf_fini(&b);
	return rc;
}

static bool nonce_is_mine(const struct wal_volume_row *row, const uint8_t nonce[16])
{
	if (!memcmp(row->nonce, nonce, 16))
		return true;
	for (uint32_t i = 0; i < row->n_intent; i++)
		if (!memcmp(row->intent[i], nonce, 16))
			return true;
	return false;
}

static int not_this_wal(struct attach *a)
{
	const struct manifest *m = &a->v->manifest;
	return fail(
	        a->err, FIRN_ELOST, 0, "attach",
	        "%s: acked writes above %llu lie in the WAL of node %s (last commit %lld ms, durable then %llu), "
	        "not in this one",
	        a->v->name, (unsigned long long)m->rev_stored, m->node[0] ? m->node : "?",
	        (long long)m->committed_ms, (unsigned long long)m->rev_durable);
}

/* What could not be read now must neither be compared nor written down: it would pass for a copy. */
static int identity_now(struct attach *a, struct firn_identity *out)
{
	memset(out, 0, sizeof *out);
	int rc = a->e->env->files->identity(a->e->env->ctx, a->e->wal.dir, out);
	return rc < 0 ? fail(a->err, FIRN_EIO, -rc, "attach", "%s: where %s lies cannot be read",
	                     a->v->name, a->e->wal.dir)
	              : 0;
}

static int check_identity(struct attach *a)
{
	struct firn_identity now;
	const struct wal_identity *was = &a->row.identity;
	int rc = identity_now(a, &now);
	if (rc)
		return rc;
	const char *what = now.fs_id != was->fs_id                 ? "file system"
	                   : now.inode != was->inode               ? "directory"
	                   : memcmp(now.machine, was->machine, 16) ? "machine"
	                                                           : NULL;
	if (!what || (a->job->takeover && !strcmp(a->job->takeover, "moved")))
		return 0;
	return fail(a->err, FIRN_ELOST, 0, "attach",
	            "%s: the WAL lies on another %s than it was written on: a copy? "
	            "If the original is gone for good, say takeover=moved",
	            a->v->name, what);
}

/* The list of what was found moves when other volumes come and go; an entry is its volume's alone. */
static void find_in_scan(struct attach *a)
{
	pthread_mutex_lock(&a->e->lock);
	struct wal_found *f = a->known ? wal_scan_find(&a->e->scan, a->row.volume_no) : NULL;
	if (f) {
		a->found_copy = *f;
		a->found = &a->found_copy;
	}
	pthread_mutex_unlock(&a->e->lock);
}

/* The WAL must be the one the manifest means, and whole above what is stored. */
static int check_wal(struct attach *a)
{
	struct volume *v = a->v;
	const struct manifest *m = &v->manifest;
	a->known = !wal_row_find(&a->e->wal, m->volume_id, &a->row);
	find_in_scan(a);
	/* Numbers rise over all takeovers: a manifest below what this WAL saw settled is an older one. */
	uint64_t seen = m->state == MANIFEST_CLEAN ? a->row.rev : a->row.rev_stored;
	if (!a->known)
		seen = wal_gone_rev(&a->e->wal, m->volume_id);
	bool fenced = a->known && a->row.flags & WAL_VOLUME_FENCED;
	if (fenced && nonce_is_mine(&a->row, m->nonce) && m->state != MANIFEST_CLEAN)
		return fail(
		        a->err, FIRN_ECORRUPT, 0, "attach",
		        "%s: the store went backwards: its manifest names a writer that this WAL knows to be fenced",
		        v->name);
	if (fenced && seen > m->rev_stored)
		return fail(
		        a->err, FIRN_EFENCED, 0, "attach",
		        "%s: this WAL holds writes up to %llu of a writer that was fenced; the volume went on "
		        "without them and ends at %llu",
		        v->name, (unsigned long long)seen, (unsigned long long)m->rev_stored);
	if (seen > m->rev_stored)
		return fail(
		        a->err, FIRN_ECORRUPT, 0, "attach",
		        "%s: the store went backwards: its manifest ends at write %llu, this WAL knows of %llu",
		        v->name, (unsigned long long)m->rev_stored, (unsigned long long)seen);
	if (m->state == MANIFEST_CLEAN) {
		a->found = NULL; /* all of it is stored: whatever the WAL has is older */
		return 0;
	}
	if (!a->known || !nonce_is_mine(&a->row, m->nonce)) {
		if (a->known && !(a->row.flags & WAL_VOLUME_DETACHED) && m->epoch > a->row.epoch &&
		    !(a->job->attach_flags & FIRN_ATTACH_CHECK))
			note_fenced(a->e, m->volume_id, v->name);
		return not_this_wal(a);
	}
	int rc = check_identity(a);
	if (rc)
		return rc;
	if (a->found && a->found->missing > m->rev_stored)
		return fail(a->err, FIRN_ECORRUPT, 0, "attach", "%s: %s", v->name, a->found->why);
	uint64_t end = a->row.rev > m->rev_stored ? a->row.rev : m->rev_stored;
	if (end < m->rev_durable)
		return fail(
		        a->err, FIRN_ECORRUPT, 0, "attach",
		        "%s: the WAL ends at write %llu, but %llu was acked: the WAL went backwards",
		        v->name, (unsigned long long)end, (unsigned long long)m->rev_durable);
	bool begins = a->found && a->found->run_last && a->found->run_first <= m->rev_stored + 1;
	bool ends = begins && a->found->run_last >= a->row.rev;
	if (a->row.rev > m->rev_stored && !(begins && ends))
		return fail(a->err, FIRN_ECORRUPT, 0, "attach",
		            "%s: writes %llu to %llu are not all in the WAL", v->name,
		            (unsigned long long)m->rev_stored + 1, (unsigned long long)a->row.rev);
	return 0;
}

static int check_index(struct attach *a)
{
	struct index_volume iv;
	int rc = index_volume_get(a->e->index, a->v->manifest.volume_id, &iv, a->err);
	if (rc == FIRN_ENOENT)
		return 0;
	if (!rc && iv.seq > a->v->manifest.seq)
		return fail(
		        a->err, FIRN_ECORRUPT, 0, "attach",
		        "%s: the store went backwards: its manifest is version %llu, the index saw %llu",
		        a->v->name, (unsigned long long)a->v->manifest.seq,
		        (unsigned long long)iv.seq);
	return rc;
}

/* The volume as it will be, in the WAL's table and as a durable record, before the store hears of it. */
static int write_intent(struct attach *a)
{
	struct volume *v = a->v;
	const struct manifest *m = &v->manifest;
	const struct firn_env *env = a->e->env;
	struct wal_volume_row *r = &a->row;
	if (!a->known)
		memset(r, 0, sizeof *r);
	memcpy(r->id, m->volume_id, 16);
	if (a->create)
		env->random(env->ctx, r->id, 16);
	memcpy(v->id, r->id, 16);
	env->random(env->ctx, v->nonce, 16);
	memcpy(&v->nonce64, v->nonce, 8);
	v->epoch = m->epoch + 1;
	if (m->epoch && !zero(m->nonce) && a->known && nonce_is_mine(r, m->nonce))
		memcpy(r->nonce, m->nonce, 16); /* the one it means: settled */
	if (r->n_intent == WAL_MAX_INTENTS) {
		memmove(r->intent[0], r->intent[1], (WAL_MAX_INTENTS - 1) * 16);
		r->n_intent--;
	}
	memcpy(r->intent[r->n_intent++], v->nonce, 16);
	r->flags = 0;
	r->epoch = v->epoch;
	if (m->state == MANIFEST_CLEAN && m->rev_stored > r->rev)
		r->rev = m->rev_stored;
	r->rev_stored = m->rev_stored;
	struct firn_identity id;
	int rc = identity_now(a, &id);
	if (rc)
		return rc;
	r->identity.fs_id = id.fs_id;
	r->identity.inode = id.inode;
	memcpy(r->identity.machine, id.machine, 16);
	(void)snprintf(r->name, sizeof r->name, "%s", v->name);
	(void)snprintf(r->uri, sizeof r->uri, "%s", v->uri);
	(void)snprintf(r->node, sizeof r->node, "%s", v->node);
	rc = wal_row_set(&a->e->wal, r);
	if (rc)
		return fail(
		        a->err, rc, 0, "attach", "%s",
		        rc == FIRN_EFULL
		                ? "too many volumes for the WAL's table: drain some, or give wal_file_bytes more"
		                : "no memory");
	v->volume_no = r->volume_no;
	return wal_control(&a->e->wal, WAL_INTENT, r, a->err);
}

static int make_next(struct attach *a, struct manifest *next)
{
	struct volume *v = a->v;
	int rc = manifest_copy(&v->manifest, next, a->e->env);
	if (rc)
		return rc;
	if (a->create) {
		memcpy(next->volume_id, v->id, 16);
		(void)snprintf(next->name, sizeof next->name, "%s", v->name);
	}
	next->seq++;
	next->epoch = v->epoch;
	next->state = MANIFEST_DIRTY;
	memcpy(next->nonce, v->nonce, 16);
	next->next_stream = 1;
	next->next_segment = 1;
	next->committed_ms = a->e->env->now_ms(a->e->env->ctx);
	(void)snprintf(next->node, sizeof next->node, "%s", v->node);
	uint64_t end = a->found ? a->row.rev : next->rev_stored;
	next->rev_durable = end > next->rev_stored ? end : next->rev_stored;
	struct manifest_log log = { .kind = MANIFEST_LOG_LOCAL };
	memcpy(log.id, a->e->wal.wal_id, 16);
	next->n_log = 0;
	return manifest_add_log(next, a->e->env, &log);
}

/* The CAS that makes us the writer. */
static int raise_epoch(struct attach *a)
{
	struct volume *v = a->v;
	struct manifest next;
	struct buf body;
	struct store_version version = { 0 };
	char key[400];
	uint32_t row = 0;
	manifest_init(&next);
	buf_init(&body, a->e->env);
	(void)manifest_key(v->name, key, sizeof key);
	int rc = make_next(a, &next);
	rc = rc ? rc : manifest_encode(&next, &body);
	if (rc == FIRN_EINVAL)
		rc = fail(a->err, rc, 0, "attach", "the next manifest breaks a rule: %s",
		          manifest_check(&next, &row));
	else if (rc)
		rc = fail(a->err, rc, 0, "attach", "no memory for the manifest");
	for (int tries = 0; !rc; tries++) {
		struct iovec iov = { body.data, body.len };
		rc = store_put(v->store, key, &iov, 1, a->create ? STORE_IF_ABSENT : STORE_IF_MATCH,
		               &v->version, &version, a->err);
		if (!rc)
			break;
		enum settled s = settle(v, &next, &version, a->err);
		if (s == SETTLED_MINE) {
			rc = 0;
			break;
		}
		if (s == SETTLED_FENCED || s == SETTLED_MOVED)
			rc = fail(a->err, FIRN_EFENCED, 0, "attach",
			          "%s: another engine %s at this moment", v->name,
			          s == SETTLED_MOVED ? "wrote to it" : "attached it");
		else if (s == SETTLED_UNCHANGED && tries < 5)
			rc = 0;
		else if (s == SETTLED_WRONG || s == SETTLED_UNKNOWN)
			rc = a->err->code = s == SETTLED_WRONG ? FIRN_ECORRUPT : FIRN_ESTORE;
	}
	if (!rc) {
		v->version = version;
		manifest_fini(&v->manifest, a->e->env);
		v->manifest = next;
		v->next_segment = next.next_segment;
		v->next_stream = 1;
		memcpy(a->row.nonce, v->nonce, 16);
		a->row.n_intent = 0;
		(void)wal_row_set(&a->e->wal, &a->row);
	} else {
		manifest_fini(&next, a->e->env);
	}
	buf_fini(&body);
	return rc;
}

static int join_engine(struct attach *a)
{
	struct engine *e = a->e;
	struct volume *v = a->v;
	volume_show(v);
	v->handle = handle_new(v);
	size_t cap = e->cap_volume;
	void *p = e->volume;
	pthread_rwlock_wrlock(&e->volumes_lock);
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
	pthread_mutex_unlock(&e->lock);
	if (rc)
		handle_close(v->handle);
	return rc ? fail(a->err, rc, 0, "attach", "no memory") : 0;
}

struct answer { /* what the caller gets; made first, so that nobody is attached without being told */
	struct firn_attached attached;
	struct firn_lost lost;
};

static void answer_fill(struct answer *r, const struct attach *a, int rc)
{
	const struct manifest *m = &a->v->manifest;
	bool check = a->job->attach_flags & FIRN_ATTACH_CHECK;
	r->attached = (struct firn_attached){ .struct_size = sizeof r->attached,
		                              .volume = rc || check ? NULL : a->v->handle,
		                              .replayed_bytes = a->replayed,
		                              .epoch = rc || check ? m->epoch : a->v->epoch,
		                              .last_commit_ms = a->last_commit_ms,
		                              .survives = FIRN_SURVIVES_PROCESS_AND_POWER,
		                              .lost_size = sizeof r->lost };
	if (rc != FIRN_ELOST)
		return;
	r->attached.n_lost = 1;
	r->attached.lost = &r->lost;
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
static int already_here_by_id(struct attach *a)
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
	const char *shown = store_uri_shown(v->store);
	if (strlen(shown) >= sizeof a->row.uri) /* the WAL's table must be able to name it */
		return fail(a->err, FIRN_EINVAL, 0, "attach",
		            "the store's URI is longer than %zu bytes", sizeof a->row.uri - 1);
	v->uri = mem_dup(a->e->env, shown, strlen(shown) + 1);
	if (!v->uri)
		return fail(a->err, FIRN_ENOMEM, 0, "attach", "no memory");
	rc = already_here(a);
	if (rc || j->attach_flags & FIRN_ATTACH_READ_ONLY)
		return rc;
	return store_probe(v->store, a->err);
}

/* No ownership: the cut that the manifest names, as it is now. Nothing is written, locally but the index. */
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
	manifest_fini(&v->manifest, a->e->env);
	a->create = false;
	if (!read_manifest(a) && !a->create &&
	    !wal_row_find(&a->e->wal, v->manifest.volume_id, &a->row) &&
	    nonce_is_mine(&a->row, v->manifest.nonce))
		return true;
	*a->err = refusal;
	return false;
}

/* Compares, and changes nothing. */
static int judge(struct attach *a, bool reads)
{
	int rc = a->create ? 0 : already_here_by_id(a);
	if (!rc && a->create && reads)
		rc = fail(a->err, FIRN_ENOENT, 0, "attach", "%s has no volume %s", a->v->uri,
		          a->v->name);
	if (!rc && !a->create && !reads)
		rc = check_wal(a);
	return rc || a->create ? rc : check_index(a);
}

static int attach(struct attach *a)
{
	bool reads = a->job->attach_flags & FIRN_ATTACH_READ_ONLY;
	int rc = prepare(a);
	rc = rc ? rc : read_manifest(a);
	rc = rc ? rc : judge(a, reads);
	if (rc || a->job->attach_flags & FIRN_ATTACH_CHECK)
		return rc;
	if (reads)
		read_only(a);
	for (uint32_t tries = 0; !reads; tries++) {
		/* Before the volume is touched: are all segments there that the manifest names (P5)? */
		rc = a->create ? 0 : index_catch_up(a->v, a->err);
		rc = rc ? rc : given_up(a);
		rc = rc ? rc : write_intent(a);
		rc = rc ? rc : raise_epoch(a);
		if (rc != FIRN_EFENCED || tries == WAL_MAX_INTENTS || !fenced_by_myself(a))
			break;
		rc = judge(a, false);
		if (rc)
			break;
	}
	rc = rc ? rc : index_catch_up(a->v, a->err);
	rc = rc ? rc : volume_load(a->v, a->found, &a->replayed, a->err);
	rc = rc ? rc : given_up(a);
	return rc ? rc : join_engine(a);
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
