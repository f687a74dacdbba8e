/* The uploader's step: decides what is to be done now and hands it over. It waits for nothing itself.
 *
 *   commits, segments to put ─► a round to build ─► jobs (attach, detach) ─► WAL files, room, log
 *
 * When a round is begun: the bytes that no round holds reach segment_bytes, the oldest of them is
 * upload_interval old, someone waits for `stored`, or the WAL is half full: then first whoever holds its
 * oldest file. Of small rounds a volume has one on its way.
 * When what is up is committed: it is worth a commit (COMMIT_SEGMENTS), the oldest is upload_interval old,
 * someone waits, the WAL is nearly full or footers fill the memory, or it holds the WAL's oldest file and
 * nothing else is on its way that could join it.
 *
 * Claims are made here alone, under the volume's lock, and given back by who ran the task. */
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/gc/clean.h"
#include "engine/gc/compact.h"
#include "engine/gc/gc.h"
#include "engine/gc/retain.h"
#include "engine/gc/sweep.h"
#include "engine/upload/follow.h"
#include "engine/upload/upload.h"
#include <string.h>

#define BEAT_NS (60 * UINT64_C(1000000000))
enum { COMMIT_SEGMENTS = 6 }; /* with segments of 64 MiB 16 + 2.7 requests a GiB */

/* What a look at everything found, and the tasks claimed by it. */
struct look {
	struct engine *e;
	uint64_t now_ns;
	int64_t now_ms;
	bool half_full, nearly_full;
	uint64_t oldest_file; /* of the WAL, that a volume needs which can do something about it */
	struct volume *build; /* who would begin a round: the oldest write first */
	uint64_t build_lsn;
	bool short_of_memory;
	struct upload_task *first, *last;
};

static void claim(struct look *l, struct upload_task *t)
{
	t->next = NULL;
	if (l->last)
		l->last->next = t;
	else
		l->first = t;
	l->last = t;
}

/* Locked: the store may be asked for it now. */
static bool able(const struct look *l, const struct volume *v)
{
	return !v->read_only && !v->stopped && v->state != FIRN_STATE_FENCED && !v->in_job &&
	       !v->leaving && !(v->retry_n && l->now_ns < v->retry_at_ns);
}

static bool old(const struct look *l, const struct volume *v, int64_t append_ms)
{
	return l->now_ms - append_ms >= (int64_t)v->upload_interval_ms;
}

static bool holds_oldest(const struct look *l, const struct volume *v)
{
	return l->half_full && volume_unstored(v) &&
	       wal_order(volume_oldest_lsn(v)) >> 32 == l->oldest_file;
}

/* Locked: a round would begin now. */
static bool build_due(const struct look *l, const struct volume *v)
{
	struct unbuilt u;
	if (v->resumed || v->n_round == ROUNDS_MAX || !rounds_unbuilt(v, &u))
		return false;
	if (u.bytes >= v->segment_bytes)
		return true;
	return !v->n_small && (v->upload_now || v->draining || old(l, v, u.append_ms) ||
	                       (holds_oldest(l, v) && !v->n_round));
}

/* Locked: somebody waits for what `rev` and those below store. */
static bool waited_for(const struct volume *v, uint64_t rev)
{
	for (const struct waiter *w = v->stored_first; w; w = w->next)
		if (!w->durable)
			return w->rev <= rev;
	return false;
}

/* Locked: what is up is to be committed now, or a commit under way goes on. */
static bool commit_due(const struct look *l, const struct volume *v)
{
	if (v->commit || v->resumed)
		return true;
	if (v->manifest.state == MANIFEST_CLEAN)
		return false; /* the last word: a detach is about to end */
	if (v->layered || v->bury_due || logs_due(v))
		return true;
	uint64_t bytes;
	uint32_t n = rounds_ready(v, &bytes);
	if (!n)
		return false;
	if (bytes >= COMMIT_SEGMENTS * v->segment_bytes || n == ROUNDS_MAX ||
	    old(l, v, v->round[0]->append_ms) || waited_for(v, v->round[n - 1]->rev_to - 1) ||
	    l->nearly_full)
		return true;
	/* Footers of rounds that wait for a commit may be what takes the memory. */
	if (l->e->uploads.short_of_memory && !lane_putting(l->e, v->lane))
		return true;
	bool idle = n == v->n_round && !v->building && !build_due(l, v);
	return idle && (v->upload_now || v->draining || holds_oldest(l, v));
}

/* ---- jobs ---- */

/* engine.lock held. Jobs of one name come one after the other. */
static bool job_waits(const struct engine *e, const struct upload_job *j)
{
	bool waits = j->running;
	for (const struct upload_job *o = e->job_first; o && !waits; o = o->next)
		waits = o->running && !strcmp(o->name, j->name);
	return waits;
}

/* A detach has the volume for itself, but for segments on their way: it waits for those where it must. */
static bool job_claim_volume(struct volume *v)
{
	pthread_mutex_lock(&v->lock);
	bool may = !v->committing;
	v->in_job = may;
	pthread_mutex_unlock(&v->lock);
	return may;
}

static void look_at_jobs(struct look *l)
{
	struct engine *e = l->e;
	pthread_mutex_lock(&e->lock);
	for (struct upload_job *j = e->job_first; j; j = j->next) {
		if (job_waits(e, j) || j->watch_next_ns > l->now_ns)
			continue;
		if (!lane_take(e, j->lane, TASK_JOB))
			continue;
		if (j->detach && !job_claim_volume(j->v)) {
			lane_done(e, j->lane, TASK_JOB);
			continue;
		}
		j->running = true;
		j->task = (struct upload_task){ .kind = TASK_JOB, .job = j, .lane = j->lane };
		claim(l, &j->task);
	}
	pthread_mutex_unlock(&e->lock);
}

/* ---- volumes ---- */

/* Locked. Rounds that failed to go up keep their memory while there is enough of it: above, and when nothing
 * is sent any more, they are built again from the WAL (P7). */
static void drop_what_failed(const struct look *l, struct volume *v)
{
	bool over = v->stopped || v->state == FIRN_STATE_FENCED;
	uint64_t bytes;
	if (v->n_putting || (!over && !v->put_failed))
		return;
	if (over && !v->committing)
		rounds_drop(v, 0);
	else if (!over && atomic_load(&l->e->account->upload_bytes) > l->e->upload_bytes / 2)
		rounds_drop(v, rounds_ready(v, &bytes));
	v->put_failed = false;
}

/* Locked. */
static void look_at_commit(struct look *l, struct volume *v)
{
	if (v->committing || !able(l, v) || !commit_due(l, v) ||
	    !lane_take(l->e, v->lane, TASK_COMMIT))
		return;
	v->committing = true;
	v->commit_task = (struct upload_task){ .kind = TASK_COMMIT, .v = v, .lane = v->lane };
	claim(l, &v->commit_task);
}

/* Locked. */
static void look_at_build(struct look *l, struct volume *v)
{
	struct unbuilt u;
	if (v->building || !able(l, v) || !build_due(l, v) || !rounds_unbuilt(v, &u) ||
	    (l->build && wal_order(u.lsn) >= wal_order(l->build_lsn)))
		return;
	l->build = v;
	l->build_lsn = u.lsn;
}

/* Locked. Not while what it would give way to has to go first: a commit, which is another's to look at while he is at work. */
static void look_at_layers(struct look *l, struct volume *v)
{
	bool due = v->layer_due || clean_due(v, l->now_ns, l->now_ms) || compact_due(v, l->now_ns);
	if (!due || v->read_only || v->resumed || v->layering || v->layered || v->draining ||
	    !able(l, v) || v->committing || v->commit || !lane_take(l->e, v->lane, TASK_LAYER))
		return;
	v->layering = true;
	v->layer_first = v->next_segment;
	v->layer_task = (struct upload_task){ .kind = TASK_LAYER, .v = v, .lane = v->lane };
	claim(l, &v->layer_task);
}

/* Locked. */
static void look_at_graves(struct look *l, struct volume *v)
{
	if (v->burying || v->resumed || !v->n_grave || !able(l, v) || !graves_due(v, l->now_ns) ||
	    !lane_take(l->e, v->lane, TASK_GRAVES))
		return;
	v->burying = true;
	v->grave_task = (struct upload_task){ .kind = TASK_GRAVES, .v = v, .lane = v->lane };
	claim(l, &v->grave_task);
}

/* Locked. */
static void look_at_sweep(struct look *l, struct volume *v)
{
	if (v->sweeping || v->resumed || v->draining || v->state != FIRN_STATE_OPEN ||
	    !able(l, v) || !sweep_due(v, l->now_ns) || !lane_take(l->e, v->lane, TASK_SWEEP))
		return;
	v->sweeping = true;
	v->sweep_task = (struct upload_task){ .kind = TASK_SWEEP, .v = v, .lane = v->lane };
	claim(l, &v->sweep_task);
}

/* Locked. It waits for the store no more than a write does, but what it trims is stored. */
static void look_at_retention(struct look *l, struct volume *v)
{
	if (v->retaining || v->resumed || v->detaching || v->failed || l->nearly_full ||
	    l->now_ns < v->retain_next_ns || !able(l, v) || !retain_due(v, l->now_ms) ||
	    !lane_take(l->e, v->lane, TASK_RETAIN))
		return;
	v->retaining = true;
	v->retain_task = (struct upload_task){ .kind = TASK_RETAIN, .v = v, .lane = v->lane };
	claim(l, &v->retain_task);
}

/* Locked. */
static void look_at_follow(struct look *l, struct volume *v)
{
	if (!v->follow || v->in_job || !follow_due(v, l->now_ns) ||
	    !lane_take(l->e, v->lane, TASK_FOLLOW))
		return;
	follow_claim(v);
	v->follow_task = (struct upload_task){ .kind = TASK_FOLLOW, .v = v, .lane = v->lane };
	claim(l, &v->follow_task);
}

/* Locked. */
static void look_at_puts(struct look *l, struct volume *v)
{
	if (!able(l, v))
		return;
	for (uint32_t i = 0; i < v->n_round; i++)
		for (uint32_t k = 0; k < v->round[i]->n_part; k++) {
			struct built *p = &v->round[i]->part[k];
			if (!p->writer || p->putting || !lane_take(l->e, v->lane, TASK_PUT))
				continue;
			p->putting = true;
			v->n_putting++;
			p->task = (struct upload_task){
				.kind = TASK_PUT, .v = v, .part = p, .lane = v->lane
			};
			claim(l, &p->task);
		}
}

/* The oldest file of the WAL among those who can do something about it: one whose store is away does not hold
 * up the others. */
static void look_at_wal(struct look *l)
{
	struct engine *e = l->e;
	uint64_t free_bytes = wal_free_bytes(&e->wal);
	l->half_full = free_bytes < e->wal.opts.wal_bytes / 2;
	l->nearly_full = free_bytes < e->wal.opts.wal_bytes / 8;
	l->oldest_file = UINT64_MAX;
	for (uint32_t i = 0; l->half_full && i < e->n_volume; i++) {
		struct volume *v = e->volume[i];
		pthread_mutex_lock(&v->lock);
		bool may = volume_unstored(v) && able(l, v) && !v->resumed;
		uint64_t file = may ? wal_order(volume_oldest_lsn(v)) >> 32 : UINT64_MAX;
		pthread_mutex_unlock(&v->lock);
		if (file < l->oldest_file)
			l->oldest_file = file;
	}
}

/* Memory for a round of the volume: its size, 0 if it has to wait. A store none of whose rounds is in memory
 * gets room for a small one whatever the others hold. Rather a round a little smaller than one that waits:
 * the share is two segments, and a round takes up to a group more than its size, so the next one would
 * not be built while the one before goes up. */
static uint64_t grant(struct look *l, struct volume *v, uint64_t want)
{
	struct engine *e = l->e;
	uint64_t share = e->upload_bytes, held = atomic_load(&e->account->upload_bytes);
	want = want < v->segment_bytes ? want : v->segment_bytes;
	want = want < share ? want : share;
	uint64_t left = held < share ? share - held : 0;
	if (!held || left >= want)
		return want;
	if (left >= want - want / 4)
		return left;
	if (!atomic_load(&v->lane->held))
		return want < share / 8 ? want : share / 8;
	return 0;
}

static void look_at_builder(struct look *l)
{
	struct volume *v = l->build;
	struct engine *e = l->e;
	struct unbuilt u;
	if (!v || atomic_load(&e->uploads.building))
		return;
	pthread_mutex_lock(&v->lock);
	(void)rounds_unbuilt(v, &u);
	v->build_max = grant(l, v, u.bytes);
	l->short_of_memory = !v->build_max;
	if (v->build_max) {
		v->building = true;
		v->build_first = v->next_segment;
		v->build_asked = false;
		v->build_charge = v->build_max;
		rounds_charge(v, (int64_t)v->build_charge);
		atomic_store(&e->uploads.building, true);
		v->build_task = (struct upload_task){ .kind = TASK_BUILD, .v = v };
		claim(l, &v->build_task);
	}
	pthread_mutex_unlock(&v->lock);
}

/* Locked: once a minute for each store that has a volume here, whatever its volumes do. */
static void look_at_beat(struct look *l, const struct volume *v)
{
	struct upload_lane *lane = v->lane;
	bool writes = !v->read_only && !v->stopped && !v->resumed && v->state == FIRN_STATE_OPEN;
	if (!writes || lane->beat_ns > l->now_ns || atomic_load(&lane->beating))
		return;
	bool first = !lane->beat_ns; /* an attach itself is a sign of life */
	if (!first && !lane_take(l->e, lane, TASK_BEAT))
		return;
	lane->beat_ns = l->now_ns + BEAT_NS;
	if (first)
		return;
	atomic_store(&lane->beating, true);
	lane->beat_task = (struct upload_task){ .kind = TASK_BEAT, .lane = lane };
	claim(l, &lane->beat_task);
}

static void look_at_volumes(struct look *l)
{
	struct engine *e = l->e;
	pthread_rwlock_rdlock(&e->volumes_lock); /* a detach takes a volume out under it */
	look_at_wal(l);
	for (uint32_t i = 0; i < e->n_volume; i++) {
		struct volume *v = e->volume[i];
		volume_expire(v);
		pthread_mutex_lock(&v->lock);
		drop_what_failed(l, v);
		look_at_commit(l, v);
		look_at_build(l, v);
		look_at_puts(l, v);
		look_at_beat(l, v);
		look_at_layers(l, v);
		look_at_graves(l, v);
		look_at_retention(l, v);
		look_at_sweep(l, v);
		look_at_follow(l, v);
		pthread_mutex_unlock(&v->lock);
	}
	look_at_builder(l);
	e->uploads.short_of_memory = l->short_of_memory;
	pthread_rwlock_unlock(&e->volumes_lock);
}

/* ---- running ---- */

/* Off the list, before its outcome is told: who hears it may close the engine at once. */
void job_take(struct engine *e, struct upload_job *j)
{
	pthread_mutex_lock(&e->lock);
	struct upload_job **link = &e->job_first, *last = NULL;
	while (*link && *link != j) {
		last = *link;
		link = &(*link)->next;
	}
	if (*link) {
		*link = j->next;
		if (e->job_last == j)
			e->job_last = last;
	}
	pthread_mutex_unlock(&e->lock);
}

static int job_run(struct engine *e, struct upload_job *j)
{
	int rc = j->detach ? detach_run(e, j) : attach_run(e, j);
	if (rc == 1) {
		job_free(e, j);
		return 1;
	}
	if (j->detach) {
		pthread_mutex_lock(&j->v->lock);
		j->v->in_job = false;
		pthread_mutex_unlock(&j->v->lock);
	}
	pthread_mutex_lock(&e->lock);
	j->running = false;
	pthread_mutex_unlock(&e->lock);
	return rc;
}

int task_run(struct engine *e, struct upload_task *t)
{
	enum task_kind kind = t->kind; /* what *t lies in may be gone after */
	struct upload_lane *lane = t->lane;
	int did;
	switch (kind) {
	case TASK_JOB:
		did = job_run(e, t->job);
		break;
	case TASK_COMMIT:
		did = commit_run(t->v);
		break;
	case TASK_PUT:
		did = rounds_put(t->part);
		break;
	case TASK_BEAT:
		did = beat_run(e, lane);
		break;
	case TASK_LAYER:
		did = layers_run(t->v);
		break;
	case TASK_GRAVES:
		did = graves_run(t->v);
		break;
	case TASK_SWEEP:
		did = sweep_run(t->v);
		break;
	case TASK_FOLLOW:
		did = follow_run(t->v);
		break;
	case TASK_RETAIN:
		did = retain_run(t->v);
		break;
	default:
		did = rounds_build(t->v);
		atomic_store(&e->uploads.building, false);
	}
	if (lane)
		lane_done(e, lane, kind);
	return did != 0;
}

int upload_step(struct engine *e)
{
	struct look l = { .e = e,
		          .now_ns = e->env->mono_ns(e->env->ctx),
		          .now_ms = e->env->now_ms(e->env->ctx) };
	int did = 0;
	look_at_volumes(&l);
	look_at_jobs(
	        &l); /* behind: a detach that waits for its volume must not keep it from working */
	for (struct upload_task *t = l.first, *next; t; t = next) {
		next = t->next;
		if (e->no_threads)
			did |= task_run(e, t);
		else
			work_hand(e, t);
	}
	did |= wal_recycle(&e->wal);
	engine_room(e);
	did |= engine_log_send(e);
	return (e->no_threads ? wal_prepare(&e->wal) | places_step(e) | aside_step(e) : 0) |
	       did; /* else: spare_thread() */
}

void upload_kick(struct engine *e)
{
	pthread_mutex_lock(&e->kick_lock);
	e->upload_kicked = true;
	pthread_cond_broadcast(&e->upload_work);
	pthread_mutex_unlock(&e->kick_lock);
}
