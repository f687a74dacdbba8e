/* Completion queues. A slot is taken at submit, so an event always has a place: no overflow, no drop. The
 * eventfd is written once per burst: when the ring goes from quiet to not quiet. Lock: cq.lock, innermost
 * but for nothing; volume and WAL locks may be held around it. */
#include "engine/api/cq.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/base/mutex.h"
#include "engine/base/newer.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

int firn_cq_open(struct firn_engine *engine, const struct firn_cq_opts *opts, struct firn_cq **out,
                 struct firn_error *err)
{
	struct engine *e = engine_of(engine);
	if (!out)
		return fail(err, FIRN_EINVAL, 0, "cq", "out is NULL");
	*out = NULL;
	if (!e || (opts && (opts->struct_size < sizeof *opts || opts->depth > 1048576)))
		return fail(err, FIRN_EINVAL, 0, "cq", "engine, struct_size or depth");
	if (opts && newer_says_more(opts, sizeof *opts, opts->struct_size))
		return fail(err, FIRN_EUNSUPPORTED, 0, "cq", "an option of a newer release");
	uint32_t depth = opts && opts->depth ? opts->depth : 1024;
	struct firn_cq *cq = mem_zalloc(e->env, sizeof *cq);
	if (cq)
		cq->ring = mem_alloc(e->env, ((size_t)depth + CQ_NOTICES) * sizeof *cq->ring);
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
	cq->cap = depth + CQ_NOTICES;
	mutex_init(&cq->lock);
	pthread_mutex_lock(&e->lock);
	cq->next = e->cqs;
	e->cqs = cq;
	e->n_cq++;
	pthread_mutex_unlock(&e->lock);
	*out = cq;
	return 0;
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
	if (busy)
		return FIRN_EBUSY;
	for (uint32_t i = 0; i < cq->n; i++)
		firn_release(cq->ring[(cq->head + i) % cq->cap].result);
	(void)close(cq->fd);
	pthread_mutex_destroy(&cq->lock);
	mem_free(e->env, cq->ring);
	mem_free(e->env, cq);
	return 0;
}

int firn_cq_fd(const struct firn_cq *cq)
{
	return cq ? cq->fd : FIRN_EINVAL;
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
	cq->ring[(cq->head + cq->n++) % cq->cap] = *ev;
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

/* Of states of a volume, and of room, the latest counts. */
static bool replaced(struct firn_cq *cq, const struct firn_event *ev)
{
	for (uint32_t i = 0; i < cq->n; i++) {
		struct firn_event *old = &cq->ring[(cq->head + i) % cq->cap];
		if (old->kind != ev->kind ||
		    (ev->kind == FIRN_EV_VOLUME && old->user_data != ev->user_data))
			continue;
		if (ev->kind == FIRN_EV_WRITABLE && old->user_data != ev->user_data)
			old->user_data = 0; /* of several: try all */
		else
			*old = *ev;
		return true;
	}
	return false;
}

static bool notice_room(struct firn_cq *cq)
{
	if (cq->n_notice < cq->cap - cq->depth)
		return true;
	const struct firn_env *env = cq->engine->env;
	uint32_t cap = cq->cap + (cq->cap - cq->depth);
	struct firn_event *ring = mem_alloc(env, cap * sizeof *ring);
	if (!ring)
		return false;
	for (uint32_t i = 0; i < cq->n; i++)
		ring[i] = cq->ring[(cq->head + i) % cq->cap];
	mem_free(env, cq->ring);
	cq->ring = ring;
	cq->cap = cap;
	cq->head = 0;
	return true;
}

void cq_notice(struct firn_cq *cq, const struct firn_event *given)
{
	struct firn_event ev = *given;
	bool line = ev.kind == FIRN_EV_LOG;
	pthread_mutex_lock(&cq->lock);
	bool drop = line ? !ev.result || cq->n_lines == CQ_LOG_LINES : replaced(cq, &ev);
	drop = drop || !notice_room(cq);
	if (line && drop) {
		cq->n_dropped += ev.end + 1;
		firn_release(ev.result);
	} else if (line) {
		ev.end += cq->n_dropped;
		cq->n_dropped = 0;
		cq->n_lines++;
	}
	if (!drop) {
		cq->n_notice++;
		if (push(cq, &ev))
			signal_fd(cq);
	}
	pthread_mutex_unlock(&cq->lock);
}

bool cq_asked(struct firn_cq *cq, uint32_t kind, uint64_t *user_data)
{
	pthread_mutex_lock(&cq->lock);
	bool asked = cq->ev_mask & 1u << (kind - FIRN_EV_VOLUME);
	*user_data = cq->ev_user_data;
	pthread_mutex_unlock(&cq->lock);
	return asked;
}

void engine_tell_state(struct engine *e, uint64_t user_data, uint32_t state)
{
	uint64_t unused;
	pthread_mutex_lock(&e->lock);
	for (struct firn_cq *cq = e->cqs; cq; cq = cq->next)
		if (cq_asked(cq, FIRN_EV_VOLUME, &unused))
			cq_notice(cq, &(struct firn_event){ .kind = FIRN_EV_VOLUME,
			                                    .offset = state,
			                                    .user_data = user_data });
	pthread_mutex_unlock(&e->lock);
}

void firn_cq_wake(struct firn_cq *cq)
{
	if (!cq)
		return;
	pthread_mutex_lock(&cq->lock);
	cq->woken = true;
	cq->signalled = true;
	signal_fd(cq);
	pthread_mutex_unlock(&cq->lock);
}

/* Takes what is there. Quiet again when the ring is empty. */
static uint32_t take(struct firn_cq *cq, struct firn_event *ev, uint32_t ev_size, uint32_t max,
                     bool *woken)
{
	uint32_t n = 0;
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
		cq->n_lines -= from->kind == FIRN_EV_LOG;
		cq->head = (cq->head + 1) % cq->cap;
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

int firn_cq_reap(struct firn_cq *cq, struct firn_event *ev, uint32_t ev_size, uint32_t max,
                 uint32_t timeout_ms)
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
		uint64_t left = timeout_ms == FIRN_FOREVER ? 0 : (until - now) / 1000000u + 1;
		int ms = timeout_ms == FIRN_FOREVER ? -1 : left < INT32_MAX ? (int)left : INT32_MAX;
		if (e->no_threads && (ms < 0 || ms > 10))
			ms = 10; /* timers of the stages are looked at in between */
		struct pollfd p = { .fd = cq->fd, .events = POLLIN };
		(void)poll(&p, 1, ms);
	}
	(void)begin_reap(cq, false);
	return (int)n;
}

int firn_engine_notices(struct firn_engine *engine, struct firn_cq *cq, uint32_t ev_mask,
                        uint64_t user_data)
{
	const uint32_t known = 1u | 2u | 1u << (FIRN_EV_LOG - 64);
	if (!engine || !cq || cq->engine != engine_of(engine))
		return FIRN_EINVAL;
	if (ev_mask & ~known)
		return FIRN_EUNSUPPORTED;
	pthread_mutex_lock(&cq->lock);
	cq->ev_mask = ev_mask;
	cq->ev_user_data = user_data;
	pthread_mutex_unlock(&cq->lock);
	if (ev_mask & 1u << (FIRN_EV_LOG - FIRN_EV_VOLUME))
		atomic_store(&cq->engine->log_asked, true);
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

/* Would what was refused be taken now? A volume that is gone is no reason to wait. */
static bool has_room(struct engine *e, uint32_t volume_no, uint64_t len)
{
	bool room = wal_has_room(&e->wal, len);
	pthread_rwlock_rdlock(&e->volumes_lock);
	for (uint32_t i = 0; i < e->n_volume && volume_no && room; i++) {
		struct volume *v = e->volume[i];
		pthread_mutex_lock(&v->lock);
		if (v->volume_no == volume_no && !v->failed)
			room = !volume_over_share(v);
		pthread_mutex_unlock(&v->lock);
	}
	pthread_rwlock_unlock(&e->volumes_lock);
	return room;
}

/* True: it waits for more. */
static bool tell_room(struct engine *e, struct firn_cq *cq)
{
	pthread_mutex_lock(&cq->lock);
	bool wants = cq->wants_room;
	uint32_t volume_no = cq->room_volume;
	uint64_t len = cq->room_len;
	struct firn_event ev = { .kind = FIRN_EV_WRITABLE, .user_data = cq->room_user_data };
	pthread_mutex_unlock(&cq->lock);
	if (!wants)
		return false;
	if (!has_room(e, volume_no, len))
		return true;
	pthread_mutex_lock(&cq->lock);
	cq->wants_room = false;
	pthread_mutex_unlock(&cq->lock);
	cq_notice(cq, &ev);
	return false;
}

void engine_room(struct engine *e)
{
	if (!atomic_exchange_explicit(&e->full_seen, false, memory_order_acq_rel))
		return;
	pthread_mutex_lock(&e->kick_lock);
	e->room_seq++;
	pthread_cond_broadcast(&e->room);
	pthread_mutex_unlock(&e->kick_lock);
	bool waits = false;
	pthread_mutex_lock(&e->lock);
	for (struct firn_cq *cq = e->cqs; cq; cq = cq->next)
		waits |= tell_room(e, cq);
	pthread_mutex_unlock(&e->lock);
	if (waits) /* asked again at the next group, and by the uploader now and then */
		atomic_store_explicit(&e->full_seen, true, memory_order_release);
}
