/* Detach: let a volume go.
 *
 *   DRAIN     no more writes -> all durable -> all stored -> DETACH record, flushed -> CAS `clean` -> gone
 *   KEEP_WAL  no more writes -> all durable -> gone; the next attach replays
 *   ABORT     as a crash
 *
 * The DETACH record comes before the CAS is sent: `clean` declares no lost range, so whoever wrote it must
 * not resume (S1). Once the CAS is out the volume takes no writes again until its outcome is known. */
#include "engine/api/engine.h"
#include "engine/api/handle.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/upload/upload.h"
#include <string.h>

/* What the WAL holds of the volume goes back to the engine, for an attach on the same engine. Of a volume that failed
 * more may be durable than was applied: what lay in groups behind the one that could not be. Room was made when it
 * joined. */
static void give_back(struct engine *e, const struct volume *v)
{
	uint64_t last = v->rev_published > v->rev_durable ? v->rev_published : v->rev_durable;
	struct wal_found f = { .volume_no = v->volume_no, .rev_last = last };
	if (last > v->rev_stored) {
		f.run_first = v->rev_stored + 1;
		f.run_last = last;
	}
	pthread_mutex_lock(&e->lock);
	e->scan.found[e->scan.n_found++] = f;
	pthread_mutex_unlock(&e->lock);
}

/* With the log in a store it is read from there, whoever comes next: our copy is of no more use. */
static void let_go(struct engine *e, const struct volume *v)
{
	struct wal_volume_row row;
	bool changed;
	(void)wal_row_mark(&e->wal, v->id, WAL_VOLUME_DETACHED, &row, &changed);
}

static void leave_engine(struct engine *e, struct volume *v, bool keep)
{
	handle_close(v->handle);
	read_forget_volume(e, v);
	pthread_rwlock_wrlock(&e->volumes_lock);
	for (uint32_t i = 0; i < e->n_volume; i++)
		if (e->volume[i] == v) {
			memmove(&e->volume[i], &e->volume[i + 1], (e->n_volume - i - 1) * sizeof v);
			e->n_volume--;
			break;
		}
	pthread_rwlock_unlock(&e->volumes_lock);
	pthread_mutex_lock(&v->lock);
	volume_fail_waiters(v, FIRN_ECANCELED);
	pthread_mutex_unlock(&v->lock);
	if (keep && e->wal.slots)
		let_go(e, v);
	else if (keep)
		give_back(e, v);
	pthread_mutex_lock(&e->lock);
	e->n_joined--;
	pthread_mutex_unlock(&e->lock);
	commit_free(v, v->commit);
	layered_free(v, v->layered);
	rounds_drop(v, 0);
	volume_free(v);
}

static int end(struct engine *e, struct upload_job *j, int rc, struct firn_error *err, bool gone,
               bool keep)
{
	struct volume *v = j->v;
	if (gone) {
		leave_engine(e, v, keep);
	} else {
		if (v->commit && v->commit->clean &&
		    !v->commit->sent) { /* it would say clean of what is not */
			commit_free(v, v->commit);
			v->commit = NULL;
		}
		pthread_mutex_lock(&v->lock);
		v->detach_job = false;
		v->draining = v->leaving = false;
		v->detaching = v->commit && v->commit->clean && v->commit->sent;
		pthread_mutex_unlock(&v->lock);
	}
	struct firn_event ev = { .kind = FIRN_REQ_DETACH, .code = rc };
	if (rc)
		ev.result = result_error(e->account, err);
	if (rc && j->to.call)
		call_error(j->to.call, err);
	job_take(e, j);
	complete(&j->to, &ev);
	return 1;
}

/* Locked: somebody works on the volume, other than its commit. */
static bool busy(const struct volume *v)
{
	return v->n_putting || v->building || v->layering || v->burying || v->retaining ||
	       v->sweeping || v->following;
}

/* Nobody works on the volume any more, and nothing new is begun: it may go. */
static bool still(struct volume *v)
{
	pthread_mutex_lock(&v->lock);
	v->leaving = true;
	bool is = !busy(v);
	pthread_mutex_unlock(&v->lock);
	return is;
}

/* Everything admitted has an outcome. */
static bool quiet(struct volume *v)
{
	pthread_mutex_lock(&v->lock);
	bool is = v->engine->wal.poisoned || v->rev_published == v->rev_assigned;
	pthread_mutex_unlock(&v->lock);
	return is;
}

static int write_record(struct engine *e, struct volume *v, struct firn_error *err)
{
	struct wal_volume_row row;
	int rc = wal_row_find(&e->wal, v->id, &row);
	if (rc)
		return fail(err, rc, 0, "detach", "%s is not in the WAL's table", v->name);
	row.flags |= WAL_VOLUME_DETACHED;
	row.rev = v->rev_durable;
	rc = wal_row_set(&e->wal, &row);
	return rc ? fail(err, rc, 0, "detach", "no memory")
	          : wal_control(&e->wal, WAL_DETACH, &row, err);
}

/* All is stored, but not marked clean. FIRN_ENOMEM, say, would mean that nothing was done. */
static int end_unclean(struct engine *e, struct upload_job *j, struct firn_error *err)
{
	struct volume *v = j->v;
	err->code = FIRN_EIO;
	(void)fail_context(err, FIRN_EIO, "%s: not marked clean, the next attach replays", v->name);
	return end(e, j, FIRN_EIO, err, true, true);
}

/* The manifest is clean: the WAL may forget the volume once no file holds anything of it. Should this not
 * be written, the row stays until the volume is attached and detached again. */
static void write_clean(struct engine *e, struct volume *v)
{
	struct wal_volume_row row;
	struct firn_error err = { .struct_size = sizeof err };
	bool changed;
	if (!wal_row_mark(&e->wal, v->id, WAL_VOLUME_CLEAN, &row, &changed) && changed)
		(void)wal_control(&e->wal, WAL_DETACH, &row, &err);
}

static bool fenced(struct volume *v)
{
	pthread_mutex_lock(&v->lock);
	bool is = v->state == FIRN_STATE_FENCED;
	pthread_mutex_unlock(&v->lock);
	return is;
}

static int drain(struct engine *e, struct upload_job *j)
{
	struct volume *v = j->v;
	struct firn_error err = { .struct_size = sizeof err };
	if (fenced(v) && !still(v))
		return 0;
	if (fenced(v))
		return end(e, j,
		           fail(&err, FIRN_EFENCED, 0, "detach", "%s has another writer", v->name),
		           &err, true, false);
	bool clean = v->manifest.state == MANIFEST_CLEAN;
	if (clean && !still(v))
		return 0;
	if (clean) {
		write_clean(e, v);
		return end(e, j, 0, NULL, true, false);
	}
	if (v->stopped)
		return end(e, j,
		           fail(&err, FIRN_ESTORE, 0, "detach", "%s: the store went backwards",
		                v->name),
		           &err, false, false);
	if (j->deadline_ns && e->env->mono_ns(e->env->ctx) > j->deadline_ns)
		return end(e, j,
		           fail(&err, FIRN_ETIMEDOUT, 0, "detach", "%s: not all is stored yet",
		                v->name),
		           &err, false, false);
	pthread_mutex_lock(&v->lock);
	/* Nothing new is begun while the job runs: from here it may end at once, should its record fail. */
	bool stored = !v->commit && !volume_unstored(v) && !busy(v) && !v->resumed;
	pthread_mutex_unlock(&v->lock);
	if (!stored)
		return 0; /* the steps of the volume go on storing */
	int rc = write_record(e, v, &err);
	rc = rc ? rc : commit_clean(v, &err);
	return rc ? end_unclean(e, j, &err) : 2;
}

int detach_run(struct engine *e, struct upload_job *j)
{
	struct volume *v = j->v;
	struct firn_error err = { .struct_size = sizeof err };
	if (v->read_only)
		return still(v) ? end(e, j, 0, NULL, true, false) : 0;
	if (j->mode == FIRN_DETACH_ABORT) {
		pthread_mutex_lock(&v->lock);
		volume_fail_waiters(v, FIRN_ECANCELED);
		pthread_mutex_unlock(&v->lock);
	}
	if (!quiet(v)) {
		if (!e->wal.slots || !j->deadline_ns ||
		    e->env->mono_ns(e->env->ctx) <= j->deadline_ns)
			return 0;
		return end(e, j,
		           fail(&err, FIRN_ETIMEDOUT, 0, "detach",
		                "%s: the store of the log has not answered", v->name),
		           &err, false, false);
	}
	pthread_mutex_lock(&v->lock);
	bool failed = v->failed, open = v->state == FIRN_STATE_OPEN;
	pthread_mutex_unlock(&v->lock);
	if (j->mode == FIRN_DETACH_DRAIN && (!failed || fenced(v)))
		return drain(e, j);
	int rc = 0;
	if (failed && j->mode != FIRN_DETACH_ABORT && !fenced(v))
		rc = fail(&err, FIRN_EIO, 0, "detach",
		          "%s: the WAL failed; the next attach replays what is durable", v->name);
	if (v->commit && v->commit->sent && !v->commit->settled && !v->stopped &&
	    j->mode == FIRN_DETACH_KEEP_WAL &&
	    !(j->deadline_ns && e->env->mono_ns(e->env->ctx) > j->deadline_ns) && open)
		return 0; /* its outcome is a moment away */
	if (!still(v))
		return 0;
	return end(e, j, rc, &err, true, true);
}
