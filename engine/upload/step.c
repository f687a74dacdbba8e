/* The uploader's step: jobs (attach, detach), commits under way, rounds that are due, WAL files.
 *
 * A round is due when a volume's un-stored bytes reach segment_bytes, the oldest is upload_interval old,
 * someone waits for `stored`, or the WAL is half full: then first whoever holds its oldest file. */
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/upload/upload.h"

static bool wal_half_full(struct engine *e)
{
	return wal_free_bytes(&e->wal) < e->wal.opts.wal_bytes / 2;
}

/* Why a round of this volume would begin now. */
static bool due(struct volume *v, bool half_full)
{
	const struct firn_env *env = v->engine->env;
	pthread_mutex_lock(&v->lock);
	bool is = false;
	if (volume_unstored(v) && !v->stopped && v->state != FIRN_STATE_FENCED && !v->read_only) {
		int64_t age = env->now_ms(env->ctx) - volume_oldest_ms(v);
		is = v->unstored_bytes >= v->segment_bytes || v->upload_now || v->draining ||
		     half_full || age >= (int64_t)v->upload_interval_ms;
	}
	pthread_mutex_unlock(&v->lock);
	return is;
}

static int begin_round(struct volume *v)
{
	struct round r;
	struct firn_error err = { .struct_size = sizeof err };
	const struct firn_env *env = v->engine->env;
	if (v->retry_n && env->mono_ns(env->ctx) < v->retry_at_ns)
		return 0;
	int rc = round_open(&r, v, v->segment_bytes, &err);
	if (rc == FIRN_ENOENT)
		return 0;
	bool opened = !rc;
	struct commit *c = rc ? NULL : mem_zalloc(env, sizeof *c);
	if (!rc && !c)
		rc = fail(&err, FIRN_ENOMEM, 0, "upload", "no memory");
	if (c) {
		manifest_init(&c->next);
		rc = round_build(&r, v->engine->options.zstd_level, c, &err);
	}
	if (opened)
		round_close(&r);
	if (rc) {
		commit_free(v, c);
		if (v->retry_n == 0)
			engine_log(v->engine, FIRN_LOG_ERROR, "upload", v->name, err.text);
		retry_later(v);
		return 0;
	}
	v->commit = c;
	return 1;
}

static int volume_step(struct volume *v, bool half_full)
{
	volume_expire(v);
	if (v->commit)
		return commit_step(v);
	return due(v, half_full) ? begin_round(v) : 0;
}

static struct upload_job *first_job(struct engine *e)
{
	pthread_mutex_lock(&e->lock);
	struct upload_job *j = e->job_first;
	pthread_mutex_unlock(&e->lock);
	return j;
}

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

static int run_jobs(struct engine *e)
{
	int did = 0;
	for (struct upload_job *j = first_job(e), *next; j; j = next) {
		pthread_mutex_lock(&e->lock);
		next = j->next;
		pthread_mutex_unlock(&e->lock);
		if (!(j->detach ? detach_run(e, j) : attach_run(e, j)))
			continue;
		job_free(e, j);
		did = 1;
	}
	return did;
}

int upload_step(struct engine *e)
{
	int did = run_jobs(e);
	bool half_full = wal_half_full(e);
	/* volume[] changes only here, in jobs. The one with the oldest record goes first when room is short. */
	struct volume *oldest = NULL;
	for (uint32_t i = 0; half_full && i < e->n_volume; i++) {
		struct volume *v = e->volume[i];
		pthread_mutex_lock(&v->lock);
		uint64_t lsn = volume_oldest_lsn(v);
		pthread_mutex_unlock(&v->lock);
		if (lsn != UINT64_MAX && (!oldest || lsn < oldest->oldest_lsn)) {
			v->oldest_lsn = lsn;
			oldest = v;
		}
	}
	if (oldest)
		did |= volume_step(oldest, true);
	for (uint32_t i = 0; i < e->n_volume; i++)
		if (e->volume[i] != oldest)
			did |= volume_step(e->volume[i], false);
	did |= wal_recycle(&e->wal);
	engine_room(e);
	did |= engine_log_send(e);
	return (e->no_threads ? wal_prepare(&e->wal) | places_step(e) : 0) |
	       did; /* else: spare_thread() */
}

void upload_kick(struct engine *e)
{
	pthread_mutex_lock(&e->kick_lock);
	e->upload_kicked = true;
	pthread_cond_broadcast(&e->upload_work);
	pthread_mutex_unlock(&e->kick_lock);
}
