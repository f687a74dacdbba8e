/* firn_engine_call(): a request whose caller waits.
 *
 * Callers sleep on a word of the engine's (futex), spread over a few: when a group is durable one system call
 * a word wakes all whose outcome is there; a condition variable each would cost the WAL thread one each. */
#include "engine/api/cq.h"
#include "engine/api/submit.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/base/wait.h"
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static struct call *call_new(struct engine *e)
{
	struct call *c = mem_zalloc(e->env, sizeof *c);
	if (!c)
		return NULL;
	atomic_init(&c->refs, 2); /* the caller, and whoever completes it */
	c->engine = e;
	c->shard = atomic_fetch_add_explicit(&e->call_next, 1, memory_order_relaxed) / 16 %
	           CALL_SHARDS;
	return c;
}

void call_release(struct call *c)
{
	if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (atomic_load(&c->done) && c->abandoned)
		firn_release(c->ev.result);
	mem_free(c->engine->env, c);
}

void call_wake(struct engine *e)
{
	uint32_t mask = atomic_exchange(&e->call_mask, 0);
	for (uint32_t i = 0; i < CALL_SHARDS; i++) {
		if (!(mask & 1u << i))
			continue;
		atomic_fetch_add(&e->call_word[i], 1);
		(void)syscall(SYS_futex, &e->call_word[i], FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL,
		              0);
	}
}

/* The publisher clears `publishing` before it looks at the mask: whoever saw it set is woken by it. */
void call_done(struct call *c, const struct firn_event *ev)
{
	struct engine *e = c->engine;
	uint32_t bit = 1u << c->shard;
	c->ev = *ev;
	atomic_store(&c->done, 1);
	call_release(c);
	atomic_fetch_or(&e->call_mask, bit);
	if (atomic_load(&e->publishing))
		atomic_fetch_add_explicit(&e->calls_done, 1, memory_order_relaxed);
	else
		call_wake(e);
}

void call_error(struct call *c, const struct firn_error *err)
{
	c->err = *err; /* before call_done: nobody looks yet */
}

static struct timespec span(uint64_t ns)
{
	return (struct timespec){ (time_t)(ns / 1000000000u), (long)(ns % 1000000000u) };
}

/* Waits until room came back after `seq`; a lost race costs 20 ms, no more. */
static void wait_room(struct engine *e, uint64_t seq)
{
	if (e->no_threads) {
		(void)engine_step_once(e);
		return;
	}
	struct timespec t = mono_after(20 * 1000 * 1000);
	pthread_mutex_lock(&e->kick_lock);
	if (atomic_load(&e->room_seq) == seq)
		(void)pthread_cond_timedwait(&e->room, &e->kick_lock, &t);
	pthread_mutex_unlock(&e->kick_lock);
}

/* True: the outcome is there. False: time ran out. */
static bool call_wait(struct engine *e, struct call *c, uint64_t until)
{
	atomic_uint *word = &e->call_word[c->shard];
	for (;;) {
		uint32_t seen = atomic_load(word);
		if (atomic_load(&c->done))
			return true;
		uint64_t now = until ? e->env->mono_ns(e->env->ctx) : 0;
		if (until && now >= until)
			return false;
		if (e->no_threads) {
			if (!engine_step_once(e))
				(void)usleep(
				        200); /* another thread steps, or a timer of a stage runs */
			continue;
		}
		struct timespec t = span(until - now);
		(void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, until ? &t : NULL, NULL,
		              0);
	}
}

static int time_out(struct engine *e, const struct firn_req *r, struct call *c, bool admitted,
                    struct firn_error *err)
{
	if (admitted && (r->kind == FIRN_REQ_FETCH || r->kind == FIRN_REQ_LOOKUP))
		(void)read_cancel(e, (struct firn_cq *)(void *)c, r->user_data);
	int code = r->kind == FIRN_REQ_WRITE && admitted ? FIRN_EUNKNOWN : FIRN_ETIMEDOUT;
	return fail(err, code, 0, "call",
	            admitted ? "time ran out; the outcome is open"
	                     : "time ran out before there was room; nothing happened");
}

/* Attach and detach keep the time themselves: giving up on them half-way would leave a volume that nobody
 * knows of. */
static bool waits_itself(const struct firn_req *r)
{
	return r->kind == FIRN_REQ_ATTACH || r->kind == FIRN_REQ_DETACH;
}

/* Submits until there is room or time is out. */
static int submit_patiently(struct engine *e, const struct firn_req *req, struct call *c,
                            uint64_t until, struct firn_error *err)
{
	struct completion to = { .call = c, .user_data = req->user_data, .kind = req->kind };
	for (bool again = false;; again = true) {
		uint64_t seq = atomic_load(&e->room_seq);
		int rc = submit_one(e, req, &to, err);
		if (rc != FIRN_EFULL)
			return rc;
		atomic_store_explicit(&e->full_seen, true, memory_order_release);
		/* Once: the uploader tells all who wait to look again, and who then called it back at once would
		 * chase it, and it him, for as long as there is no room. */
		if (!again)
			upload_kick(e);
		if (until && e->env->mono_ns(e->env->ctx) >= until)
			return time_out(e, req, c, false, err);
		wait_room(e, seq);
	}
}

static int outcome(struct call *c, struct firn_event *ev, struct firn_error *err)
{
	*ev = c->ev;
	if (ev->code && !c->err.code)
		return fail(err, ev->code, 0, "call", "%s",
		            ev->code == FIRN_EUNKNOWN
		                    ? "not known to be durable: it may appear after recovery"
		                    : firn_code_name(ev->code));
	if (ev->code && err) {
		uint32_t size = err->struct_size;
		*err = c->err;
		err->struct_size = size ? size : (uint32_t)sizeof *err;
	}
	return ev->code;
}

int firn_engine_call(struct firn_engine *engine, const struct firn_req *req, struct firn_event *ev,
                     struct firn_error *err)
{
	struct engine *e = engine_of(engine);
	if (!e || !ev)
		return fail(err, FIRN_EINVAL, 0, "call", "engine or ev is NULL");
	memset(ev, 0, sizeof *ev);
	int rc = submit_check(req, err);
	struct call *c = rc ? NULL : call_new(e);
	if (!rc && !c)
		rc = fail(err, FIRN_ENOMEM, 0, "call", "no memory");
	if (rc)
		return ev->code = rc;
	uint32_t ms = req->timeout_ms ? req->timeout_ms : 30000;
	uint64_t until = ms == FIRN_FOREVER ? 0
	                                    : e->env->mono_ns(e->env->ctx) + ms * UINT64_C(1000000);
	ev->kind = req->kind;
	rc = submit_patiently(e, req, c, until, err);
	if (rc) {
		ev->code = rc;
		call_release(c);
	} else if (call_wait(e, c, waits_itself(req) ? 0 : until)) {
		rc = outcome(c, ev, err);
	} else {
		rc = ev->code = time_out(e, req, c, true, err);
		c->abandoned = true;
	}
	call_release(c);
	return rc;
}
