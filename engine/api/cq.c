/* Completion queues. A slot is taken at submit, so an event always has a place: no overflow, no drop. The
 * eventfd is written once per burst: when the ring goes from quiet to not quiet. Lock: cq.lock, innermost
 * but for nothing; volume and WAL locks may be held around it. */
#include "engine/api/cq.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/base/mutex.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

int firn_cq_open(struct firn_engine *engine, const struct firn_cq_opts *opts, struct firn_cq **out,
	struct firn_error *err)
{
	struct engine *e = engine_of(engine);
	uint32_t depth = opts && opts->depth ? opts->depth : 1024;
	if (!out)
		return fail(err, FIRN_EINVAL, 0, "cq", "out is NULL");
	*out = NULL;
	if (!e || depth > 1048576 || (opts && opts->struct_size < sizeof *opts))
		return fail(err, FIRN_EINVAL, 0, "cq", "engine, struct_size or depth");
	struct firn_cq *cq = mem_zalloc(e->env, sizeof *cq);
	if (cq)
		cq->ring = mem_alloc(e->env, (depth + CQ_NOTICES) * sizeof *cq->ring);
	if (!cq || !cq->ring) {
		mem_free(e->env, cq);
		return fail(err, FIRN_ENOMEM, 0, "cq", "no memory");
	}
	cq->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (cq->fd < 0) {
		int sys = errno;
		mem_free(e->env, cq->ring);
		mem_free(e->env, cq);
		return fail(err, FIRN_EIO, sys, "cq", "no eventfd");
	}
	cq->engine = e;
	cq->depth = depth;
	mutex_init(&cq->lock);
	pthread_mutex_lock(&e->lock);
	cq->next = e->cqs;
	e->cqs = cq;
	e->n_cq++;
	pthread_mutex_unlock(&e->lock);
	*out = cq;
	return 0;
}

static void forget_notify(struct engine *e, const struct firn_cq *cq)
{
	pthread_rwlock_rdlock(&e->volumes_lock);
	for (uint32_t i = 0; i < e->n_volume; i++) {
		struct volume *v = e->volume[i];
		pthread_mutex_lock(&v->lock);
		if (v->notify == cq)
			v->notify = NULL;
		pthread_mutex_unlock(&v->lock);
	}
	pthread_rwlock_unlock(&e->volumes_lock);
}

int firn_cq_close(struct firn_cq *cq)
{
	if (!cq)
		return 0;
	struct engine *e = cq->engine;
	pthread_mutex_lock(&e->lock);
	pthread_mutex_lock(&cq->lock);
	uint32_t waiting = cq->n - cq->n_notice;
	bool busy = cq->reaping || cq->n_reserved > waiting;
	pthread_mutex_unlock(&cq->lock);
	if (!busy) {
		struct firn_cq **link = &e->cqs;
		while (*link != cq)
			link = &(*link)->next;
		*link = cq->next;
		e->n_cq--;
	}
	pthread_mutex_unlock(&e->lock);
	if (!busy)
		forget_notify(e, cq);
	if (busy)
		return FIRN_EBUSY;
	for (uint32_t i = 0; i < cq->n; i++)
		firn_release(cq->ring[(cq->head + i) % (cq->depth + CQ_NOTICES)].result);
	(void)close(cq->fd);
	pthread_mutex_destroy(&cq->lock);
	mem_free(e->env, cq->ring);
	mem_free(e->env, cq);
	return 0;
}

int firn_cq_fd(const struct firn_cq *cq)
{
	return cq->fd;
}

int cq_reserve(struct firn_cq *cq)
{
	pthread_mutex_lock(&cq->lock);
	int rc = cq->n_reserved < cq->depth ? 0 : FIRN_EAGAIN;
	cq->n_reserved += !rc;
	pthread_mutex_unlock(&cq->lock);
	return rc;
}

void cq_unreserve(struct firn_cq *cq)
{
	pthread_mutex_lock(&cq->lock);
	cq->n_reserved--;
	pthread_mutex_unlock(&cq->lock);
}

static bool push(struct firn_cq *cq, const struct firn_event *ev)
{
	cq->ring[(cq->head + cq->n++) % (cq->depth + CQ_NOTICES)] = *ev;
	bool signal = !cq->signalled;
	cq->signalled = true;
	return signal;
}

static void signal_fd(const struct firn_cq *cq)
{
	uint64_t one = 1;
	(void)!write(cq->fd, &one, sizeof one);
}

void cq_post(struct firn_cq *cq, const struct firn_event *ev)
{
	pthread_mutex_lock(&cq->lock);
	if (push(cq, ev))
		signal_fd(cq);
	pthread_mutex_unlock(&cq->lock);
}

void cq_notice(struct firn_cq *cq, const struct firn_event *ev)
{
	pthread_mutex_lock(&cq->lock);
	uint32_t cap = cq->depth + CQ_NOTICES;
	for (uint32_t i = 0; ev->kind == FIRN_EV_VOLUME && i < cq->n; i++) {
		struct firn_event *old = &cq->ring[(cq->head + i) % cap];
		if (old->kind == FIRN_EV_VOLUME && old->user_data == ev->user_data) {
			*old = *ev; /* of states the latest counts */
			pthread_mutex_unlock(&cq->lock);
			return;
		}
	}
	if (cq->n_notice < CQ_NOTICES) {
		cq->n_notice++;
		if (push(cq, ev))
			signal_fd(cq);
	} else {
		cq->n_dropped++;
		firn_release(ev->result);
	}
	pthread_mutex_unlock(&cq->lock);
}

void firn_cq_wake(struct firn_cq *cq)
{
	pthread_mutex_lock(&cq->lock);
	cq->woken = true;
	cq->signalled = true;
	signal_fd(cq);
	pthread_mutex_unlock(&cq->lock);
}

/* Takes what is there. Quiet again when the ring is empty. */
static uint32_t take(struct firn_cq *cq, struct firn_event *ev, uint32_t ev_size, uint32_t max, bool *woken)
{
	uint32_t cap = cq->depth + CQ_NOTICES, n = 0;
	pthread_mutex_lock(&cq->lock);
	for (; n < max && cq->n; n++, cq->n--) {
		struct firn_event *from = &cq->ring[cq->head];
		void *to = (char *)ev + (size_t)n * ev_size;
		memset(to, 0, ev_size);
		memcpy(to, from, sizeof *from);
		if (from->kind >= FIRN_EV_VOLUME)
			cq->n_notice--;
		else
			cq->n_reserved--;
		cq->head = (cq->head + 1) % cap;
	}
	*woken = cq->woken;
	if (!cq->n && (n < max || cq->woken)) {
		uint64_t count;
		if (cq->signalled)
			(void)!read(cq->fd, &count, sizeof count);
		cq->signalled = false;
		if (n == 0)
			cq->woken = false;
	}
	pthread_mutex_unlock(&cq->lock);
	return n;
}

static bool begin_reap(struct firn_cq *cq, bool begin)
{
	pthread_mutex_lock(&cq->lock);
	bool was = cq->reaping;
	cq->reaping = begin;
	pthread_mutex_unlock(&cq->lock);
	return was;
}

int firn_cq_reap(struct firn_cq *cq, struct firn_event *ev, uint32_t ev_size, uint32_t max, uint32_t timeout_ms)
{
	if (!cq || !ev || !max || ev_size < sizeof *ev)
		return FIRN_EINVAL;
	if (begin_reap(cq, true))
		return FIRN_EBUSY;
	struct engine *e = cq->engine;
	uint64_t until = e->env->mono_ns(e->env->ctx) + (uint64_t)timeout_ms * 1000000u;
	uint32_t n;
	bool woken = false;
	for (;;) {
		if (e->no_threads)
			while (engine_step_once(e))
				;
		n = take(cq, ev, ev_size, max, &woken);
		uint64_t now = e->env->mono_ns(e->env->ctx);
		if (n || woken || !timeout_ms || (timeout_ms != FIRN_FOREVER && now >= until))
			break;
		int ms = timeout_ms == FIRN_FOREVER ? -1 : (int)((until - now) / 1000000u + 1);
		if (e->no_threads && (ms < 0 || ms > 10))
			ms = 10; /* timers of the stages are looked at in between */
		struct pollfd p = { .fd = cq->fd, .events = POLLIN };
		(void)poll(&p, 1, ms);
	}
	(void)begin_reap(cq, false);
	return (int)n;
}

int firn_engine_notices(struct firn_engine *engine, struct firn_cq *cq, uint32_t ev_mask, uint64_t user_data)
{
	const uint32_t known = 1u | 2u | 1u << (FIRN_EV_LOG - 64);
	if (!engine || !cq)
		return FIRN_EINVAL;
	if (ev_mask & ~known)
		return FIRN_EUNSUPPORTED;
	pthread_mutex_lock(&cq->lock);
	cq->ev_mask = ev_mask;
	cq->ev_user_data = user_data;
	pthread_mutex_unlock(&cq->lock);
	return 0;
}

void complete(const struct completion *to, struct firn_event *ev)
{
	ev->user_data = to->user_data;
	ev->kind = to->kind;
	if (to->cq) {
		cq_post(to->cq, ev);
	} else if (to->call) {
		call_done(to->call, ev);
	} else {
		firn_release(ev->result);
	}
}

void complete_silent(const struct completion *to, struct firn_event *ev)
{
	if (to->cq) {
		firn_release(ev->result);
		cq_unreserve(to->cq);
	} else {
		complete(to, ev); /* a blocked caller hears of it all the same */
	}
}

void complete_error(struct engine *e, const struct completion *to, const struct firn_error *err)
{
	struct firn_event ev = { .code = err->code, .result = result_error(e->account, err) };
	if (to->call)
		call_error(to->call, err);
	complete(to, &ev);
}

void engine_room(struct engine *e)
{
	if (!atomic_exchange_explicit(&e->full_seen, false, memory_order_acq_rel))
		return;
	pthread_mutex_lock(&e->kick_lock);
	atomic_fetch_add(&e->room_seq, 1);
	pthread_cond_broadcast(&e->room);
	pthread_mutex_unlock(&e->kick_lock);
	pthread_mutex_lock(&e->lock);
	for (struct firn_cq *cq = e->cqs; cq; cq = cq->next) {
		pthread_mutex_lock(&cq->lock);
		bool wants = cq->wants_room;
		cq->wants_room = false;
		struct firn_event ev = { .kind = FIRN_EV_WRITABLE, .user_data = cq->room_user_data };
		pthread_mutex_unlock(&cq->lock);
		if (wants)
			cq_notice(cq, &ev);
	}
	pthread_mutex_unlock(&e->lock);
}
