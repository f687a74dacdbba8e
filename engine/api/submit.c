/* Requests: one submit, one blocking call, one cancel. */
#include "engine/api/cq.h"
#include "engine/api/submit.h"
#include "engine/admit/plan.h"
#include "engine/api/handle.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/base/newer.h"
#include "engine/upload/follow.h"
#include "engine/upload/upload.h"
#include <string.h>

static const uint32_t sizes[] = { 0,
	                          sizeof(struct firn_attach),
	                          sizeof(struct firn_detach),
	                          sizeof(struct firn_write),
	                          sizeof(struct firn_fetch),
	                          sizeof(struct firn_lookup),
	                          sizeof(struct firn_flush) };

int submit_check(const struct firn_req *r, struct firn_error *err)
{
	if (!r || r->kind < FIRN_REQ_ATTACH || r->kind > FIRN_REQ_FLUSH)
		return fail(err, r ? FIRN_EUNSUPPORTED : FIRN_EINVAL, 0, "submit",
		            "unknown kind of request");
	uint32_t size = sizes[r->kind];
	if (r->struct_size < size || r->_pad || r->_zero[0] || r->_zero[1] || r->_zero[2] ||
	    r->cls > FIRN_CLASS_BULK)
		return fail(err, FIRN_EINVAL, 0, "submit",
		            "struct_size, class, or a reserved member is not 0");
	if (r->struct_size > size + 4096)
		return fail(err, FIRN_EINVAL, 0, "submit", "struct_size");
	if (newer_says_more(r, size, r->struct_size))
		return fail(err, FIRN_EUNSUPPORTED, 0, "submit",
		            "a member of a newer release is set");
	uint16_t known = r->kind == FIRN_REQ_WRITE   ? FIRN_REQ_SILENT
	                 : r->kind == FIRN_REQ_FETCH ? 15
	                                             : 0;
	if (r->flags & ~known)
		return fail(err, FIRN_EUNSUPPORTED, 0, "submit", "unknown request flag");
	return 0;
}

static uint64_t deadline(struct engine *e, const struct firn_req *r, const struct completion *to)
{
	uint32_t ms = r->timeout_ms || !to->call ? r->timeout_ms : 30000;
	return ms && ms != FIRN_FOREVER ? e->env->mono_ns(e->env->ctx) + ms * UINT64_C(1000000) : 0;
}

static char *copy_text(struct engine *e, const char *s)
{
	return s ? mem_dup(e->env, s, strlen(s) + 1) : NULL;
}

static void push_job(struct engine *e, struct upload_job *j)
{
	pthread_mutex_lock(&e->lock);
	if (e->job_last)
		e->job_last->next = j;
	else
		e->job_first = j;
	e->job_last = j;
	pthread_mutex_unlock(&e->lock);
	upload_kick(e);
}

enum { ABANDON_MS = 150000 };

static int submit_attach(struct engine *e, const struct firn_attach *a, const struct completion *to,
                         struct firn_error *err)
{
	const uint32_t known = FIRN_ATTACH_CREATE | FIRN_ATTACH_CHECK | FIRN_ATTACH_READ_ONLY;
	if (!a->store || !a->name || !a->name[0] || strlen(a->name) > 255)
		return fail(err, FIRN_EINVAL, 0, "attach",
		            "store and name (1 to 255 bytes) must be set");
	if (a->attach_flags & ~known)
		return fail(err, FIRN_EUNSUPPORTED, 0, "attach", "unknown attach flag");
	if (a->segment_bytes && (a->segment_bytes < 4096 || a->segment_bytes > 1u << 30))
		return fail(err, FIRN_EINVAL, 0, "attach", "segment_bytes: 4 KiB to 1 GiB");
	bool abandon = a->takeover && !strcmp(a->takeover, "abandon");
	if (a->takeover && strcmp(a->takeover, "moved") != 0 && !abandon)
		return fail(err, FIRN_EUNSUPPORTED, 0, "attach",
		            "takeover=%s: there are only moved and abandon", a->takeover);
	uint32_t ms = a->req.timeout_ms || !to->call ? a->req.timeout_ms : 1;
	if (abandon && ms && ms < ABANDON_MS && !(a->attach_flags & FIRN_ATTACH_CHECK))
		return fail(
		        err, FIRN_EINVAL, 0, "attach",
		        "takeover=abandon watches the owner for two minutes: give a timeout_ms of "
		        "%d or more",
		        ABANDON_MS);
	int rc = attach_options_check(a->options, err);
	if (rc)
		return rc;
	struct upload_job *j = mem_zalloc(e->env, sizeof *j);
	if (!j)
		return fail(err, FIRN_ENOMEM, 0, "attach", "no memory");
	j->to = *to;
	j->deadline_ns = deadline(e, &a->req, to);
	j->uri = copy_text(e, a->store);
	j->name = copy_text(e, a->name);
	j->node = copy_text(e, a->node);
	j->takeover = copy_text(e, a->takeover);
	j->segment_bytes = a->segment_bytes;
	j->upload_interval_ms = a->upload_interval_ms;
	j->attach_flags = a->attach_flags;
	j->lane = j->uri ? lane_get(e, j->uri) : NULL;
	if (!j->lane || !j->name || (a->node && !j->node) || (a->takeover && !j->takeover)) {
		job_free(e, j);
		return fail(err, FIRN_ENOMEM, 0, "attach", "no memory");
	}
	push_job(e, j);
	return 0;
}

/* The volume of a request; 0: to be left with volume_leave(). */
static int enter(const struct engine *e, const struct firn_volume *h, struct volume **v,
                 struct firn_error *err)
{
	if (!h || h->engine != e)
		return fail(err, FIRN_EINVAL, 0, "submit",
		            "the volume is NULL or another engine's");
	*v = volume_enter(h);
	return *v ? 0 : fail(err, FIRN_ESHUTDOWN, 0, "submit", "the volume is detached");
}

static int submit_detach(struct engine *e, const struct firn_detach *d, const struct completion *to,
                         struct firn_error *err)
{
	struct volume *v;
	if (d->mode > FIRN_DETACH_ABORT || d->_pad)
		return fail(err, FIRN_EINVAL, 0, "detach", "mode or _pad");
	int rc = enter(e, d->volume, &v, err);
	if (rc)
		return rc;
	struct upload_job *j = mem_zalloc(e->env, sizeof *j);
	char *name = copy_text(e, v->name);
	pthread_mutex_lock(&v->lock);
	if (!j || !name)
		rc = fail(err, FIRN_ENOMEM, 0, "detach", "no memory");
	else if (v->detach_job)
		rc = fail(err, FIRN_EBUSY, 0, "detach", "a detach of %s is under way", v->name);
	struct upload_lane *lane = rc ? NULL : lane_ref(e, v->lane);
	if (!rc) {
		v->detach_job = v->detaching = true;
		v->draining = d->mode == FIRN_DETACH_DRAIN;
	}
	pthread_mutex_unlock(&v->lock);
	volume_leave(d->volume);
	if (rc) {
		mem_free(e->env, name);
		mem_free(e->env, j);
		return rc;
	}
	j->detach = true;
	j->to = *to;
	j->v = v;
	j->name = name;
	j->lane = lane;
	j->mode = d->mode;
	j->deadline_ns = deadline(e, &d->req, to);
	push_job(e, j);
	return 0;
}

static int flush_locked(struct volume *v, const struct firn_flush *f, const struct completion *to,
                        bool *now, struct firn_event *ev, struct firn_error *err)
{
	bool stored = f->mark == FIRN_MARK_STORED;
	if (f->stream && !volume_stream(v, f->stream))
		return fail(err, FIRN_ENOENT, 0, "flush", "no such stream");
	if (v->state == FIRN_STATE_FENCED)
		return fail(err, FIRN_EFENCED, 0, "flush", "%s has another writer", v->name);
	if (v->failed)
		return fail(err, FIRN_EIO, 0, "flush", "%s: the WAL failed", v->name);
	if (v->stopped && (stored || v->follow))
		return fail(err, FIRN_ESTORE, 0, "flush", "%s: the store went backwards", v->name);
	*ev = (struct firn_event){ .kind = FIRN_REQ_FLUSH,
		                   .rev = v->rev_assigned,
		                   .stream = f->stream };
	*now = !v->follow && (stored ? v->rev_stored : v->rev_durable) >= v->rev_assigned;
	if (*now)
		return 0;
	struct waiter *w = mem_zalloc(v->engine->env, sizeof *w);
	if (!w)
		return fail(err, FIRN_ENOMEM, 0, "flush", "no memory");
	w->rev = v->rev_assigned;
	w->to = *to;
	w->ev = *ev;
	w->durable = !stored;
	w->look = v->follow ? follow_ask(v) : 0;
	w->deadline_ns = deadline(v->engine, &f->req, to);
	volume_wait_push(v, w);
	v->upload_now = v->upload_now || (stored && !v->follow);
	return 0;
}

static int submit_flush(struct engine *e, const struct firn_flush *f, const struct completion *to,
                        struct firn_error *err)
{
	struct volume *v;
	if ((f->mark && f->mark != FIRN_MARK_DURABLE && f->mark != FIRN_MARK_STORED) || f->_pad)
		return fail(err, FIRN_EINVAL, 0, "flush", "mark or _pad");
	bool now = false;
	struct firn_event ev;
	int rc = enter(e, f->volume, &v, err);
	if (rc)
		return rc;
	bool kick = f->mark == FIRN_MARK_STORED || v->read_only;
	pthread_mutex_lock(&v->lock);
	rc = flush_locked(v, f, to, &now, &ev, err);
	pthread_mutex_unlock(&v->lock);
	volume_leave(f->volume);
	if (!rc && now)
		complete(to, &ev);
	if (!rc && kick)
		upload_kick(e);
	return rc;
}

static int submit_write(struct engine *e, const struct firn_write *w, const struct completion *to,
                        struct firn_error *err)
{
	struct volume *v;
	struct firn_event ev;
	bool by_event = false;
	int rc = enter(e, w->volume, &v, err);
	if (rc)
		return rc;
	uint32_t max = wal_record_max(&e->wal, 1);
	rc = admit_check_shape(w, max, err);
	if (rc == FIRN_ETOOBIG) {
		by_event = true;
		ev = (struct firn_event){ .kind = FIRN_REQ_WRITE, .code = rc, .offset = max };
	} else if (!rc) {
		rc = admit_write(v, w, to, &ev, &by_event, err);
	}
	volume_leave(w->volume);
	if (rc && by_event) {
		struct firn_error e2 = { .struct_size = sizeof e2 };
		struct firn_error *why = err ? err : &e2;
		ev.result = result_error(e->account, why);
		if (to->call)
			call_error(to->call, why);
		complete(to, &ev);
		return 0;
	}
	return rc;
}

int submit_one(struct engine *e, const struct firn_req *r, const struct completion *to,
               struct firn_error *err)
{
	switch (r->kind) {
	case FIRN_REQ_ATTACH:
		return submit_attach(e, (const struct firn_attach *)(const void *)r, to, err);
	case FIRN_REQ_DETACH:
		return submit_detach(e, (const struct firn_detach *)(const void *)r, to, err);
	case FIRN_REQ_WRITE:
		return submit_write(e, (const struct firn_write *)(const void *)r, to, err);
	case FIRN_REQ_FETCH:
		return read_submit_fetch(e, (const struct firn_fetch *)(const void *)r, to, err);
	case FIRN_REQ_LOOKUP:
		return read_submit_lookup(e, (const struct firn_lookup *)(const void *)r, to, err);
	default:
		return submit_flush(e, (const struct firn_flush *)(const void *)r, to, err);
	}
}

static uint64_t write_bytes(const struct firn_write *w)
{
	uint64_t len = 0;
	for (uint32_t i = 0; i < w->n_op; i++) {
		const struct firn_op *op = plan_src(w, i);
		len += 128;
		for (uint32_t k = 0; op->kind == FIRN_OP_APPEND && k < op->u.append.n_iov; k++)
			len += op->u.append.iov[k].iov_len;
	}
	return len;
}

/* The queue is told when what was refused would be taken. */
static void remember_full(struct engine *e, const struct firn_req *r)
{
	const struct firn_write *w = r->kind == FIRN_REQ_WRITE
	                                     ? (const struct firn_write *)(const void *)r
	                                     : NULL;
	struct volume *v = w ? volume_enter(w->volume) : NULL;
	uint64_t user_data = 0;
	uint32_t volume_no = 0;
	if (v) {
		pthread_mutex_lock(&v->lock);
		if (volume_over_share(v)) {
			user_data = v->user_data;
			volume_no = v->volume_no;
		}
		pthread_mutex_unlock(&v->lock);
		volume_leave(w->volume);
	}
	pthread_mutex_lock(&r->cq->lock);
	r->cq->wants_room = true;
	r->cq->room_volume = volume_no;
	r->cq->room_user_data = user_data;
	r->cq->room_len = w ? write_bytes(w) : 0;
	pthread_mutex_unlock(&r->cq->lock);
	atomic_store_explicit(&e->full_seen, true, memory_order_release);
	upload_kick(e);
}

int firn_engine_submit(struct firn_engine *engine, const struct firn_req *const *req, uint32_t n,
                       struct firn_error *err)
{
	struct engine *e = engine_of(engine);
	if (!e || (n && !req))
		return fail(err, FIRN_EINVAL, 0, "submit", "engine or req is NULL");
	for (uint32_t i = 0; i < n; i++) {
		const struct firn_req *r = req[i];
		int rc = submit_check(r, err);
		if (!rc && (!r->cq || r->cq->engine != e))
			rc = fail(err, FIRN_EINVAL, 0, "submit",
			          "req.cq is NULL or another engine's");
		if (rc)
			return (int)i;
		rc = cq_reserve(r->cq);
		if (rc) {
			(void)fail(err, rc, 0, "submit", "the queue has no free slot: reap first");
			return (int)i;
		}
		struct completion to = { .cq = r->cq, .user_data = r->user_data, .kind = r->kind };
		rc = submit_one(e, r, &to, err);
		if (!rc)
			continue;
		cq_unreserve(r->cq);
		if (rc == FIRN_EFULL || rc == FIRN_ENOSPC)
			remember_full(e, r);
		return (int)i;
	}
	return (int)n;
}

int firn_engine_cancel(struct firn_engine *engine, struct firn_cq *cq, uint64_t user_data)
{
	struct engine *e = engine_of(engine);
	if (!e || !cq)
		return FIRN_EINVAL;
	int rc = read_cancel(e, cq, user_data);
	pthread_mutex_lock(&e->lock);
	for (struct upload_job *j = e->job_first; j; j = j->next)
		if (j->to.cq == cq && j->to.user_data == user_data) {
			if (!j->detach)
				j->cancelled = true;
			rc = j->detach ? FIRN_EBUSY : 0;
		}
	pthread_mutex_unlock(&e->lock);
	if (rc != FIRN_ENOENT)
		return rc;
	pthread_rwlock_rdlock(&e->volumes_lock);
	for (uint32_t i = 0; i < e->n_volume && rc == FIRN_ENOENT; i++)
		rc = volume_waits(e->volume[i], cq, user_data) ? FIRN_EBUSY : rc;
	pthread_rwlock_unlock(&e->volumes_lock);
	return rc;
}
