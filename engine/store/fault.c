/* fault: the wrapper. A request gets a copy of its own, which goes to the back end; the answer comes
 * back here, is spoilt as the script wants, waits as long as it wants, and is handed on.
 *
 *	host ─submit─► draw ─┬─ not to arrive ─────────────────────────► wait ─► complete
 *	                     └─ copy ─submit─► back end ─complete─► spoil ─► wait ─► complete
 *
 * One lock; nothing of the back end is called with it held. A thread waits for what is due. */
#include "engine/store/fault.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/base/wait.h"
#include <signal.h>

enum verdict {
	PASS = 0,
	OUTAGE,
	THROTTLE,
	RESET,
	DROP,
	/* from here on it reaches the store */
	LOSE,
	TRUNCATE,
	FLIP
};

enum copy_state { COPY_FREE = 0, COPY_INSIDE = 1, COPY_WAITS = 2 };

/* Kept until the store closes: a back end that completes twice hits memory that is still ours. */
struct copy {
	struct firn_store_request req; /* first: complete() gets only this */
	struct firn_error error;
	struct fault *fault;
	struct firn_store_request *outer;
	struct copy *next_free, *next_all, *next_due;
	uint64_t due_ns, chance;
	uint32_t state, verdict, n_cancelling, cancelled;
};

struct fault {
	const struct firn_env *env;
	struct firn_store_plugin inner;
	void *handle;
	struct firn_store_host host; /* what copies carry */
	struct fault_script script;
	uint64_t opened_ns;
	pthread_t thread;

	pthread_mutex_t lock; /* guards from here */
	pthread_cond_t changed;
	struct copy *free, *all, *due; /* due: by time */
	uint64_t n_request;
	uint32_t closing, _pad;
};

/* ---- chance ---- */

/* splitmix64 (public domain, Vigna): the n-th number of a seed without the ones before. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static uint64_t now_ns(const struct fault *f)
{
	return f->env->mono_ns(f->env->ctx);
}

static int is_away(const struct fault *f)
{
	const struct fault_script *s = &f->script;
	const struct firn_files *files = f->env->files;
	uint64_t ms = (now_ns(f) - f->opened_ns) / 1000000u;
	void *file = NULL;

	if (s->outage_while[0] &&
	    !files->open(f->env->ctx, s->outage_while, FIRN_OPEN_READ_ONLY, &file)) {
		(void)files->close(f->env->ctx, file);
		return 1;
	}
	return s->outage_for_ms && ms >= s->outage_from_ms &&
	       ms - s->outage_from_ms < s->outage_for_ms;
}

static enum verdict draw(const struct fault *f, const struct firn_store_request *req,
                         uint64_t chance)
{
	const struct fault_script *s = &f->script;
	const struct {
		uint32_t share;
		enum verdict verdict;
	} lots[] = {
		{ s->throttle, THROTTLE }, { s->reset, RESET },       { s->dropped, DROP },
		{ s->lost, LOSE },         { s->truncate, TRUNCATE }, { s->flip, FLIP },
	};
	uint32_t x = (uint32_t)(chance % 1000000u), sum = 0;

	if (is_away(f) || (s->cut && f->n_request > s->cut))
		return OUTAGE;
	if (f->n_request == s->cut)
		return LOSE;
	for (size_t i = 0; i < sizeof lots / sizeof lots[0]; i++) {
		sum += lots[i].share;
		if (x < sum)
			return lots[i].verdict >= TRUNCATE && req->op != FIRN_STORE_GET
			               ? PASS
			               : lots[i].verdict;
	}
	return PASS;
}

/* ---- the answer ---- */

static void spoil(struct copy *c)
{
	struct firn_store_request *out = c->outer;
	uint64_t at;

	switch ((enum verdict)c->verdict) {
	case PASS:
		break;
	case OUTAGE:
		firn_store_set_error(out, FIRN_STORE_RETRY, FIRN_ESTORE, 0,
		                     "fault: outage: connection refused");
		break;
	case THROTTLE:
		firn_store_set_error(out, FIRN_STORE_THROTTLED, FIRN_ESTORE, 503,
		                     "fault: slow down");
		out->error->retry_after_ms = c->fault->script.retry_after_ms;
		break;
	case RESET:
		firn_store_set_error(out, FIRN_STORE_RETRY, FIRN_ESTORE, 0,
		                     "fault: connection reset before the request was sent");
		break;
	case DROP:
	case LOSE:
		out->version.len = 0;
		out->got = 0;
		firn_store_set_error(out, FIRN_STORE_AMBIGUOUS, FIRN_ESTORE, 0,
		                     "fault: no answer came");
		break;
	case TRUNCATE:
		if (out->got)
			out->got = c->chance / 1000000u % out->got;
		break;
	case FLIP:
		at = out->got ? c->chance / 1000000u % (out->got * 8) : 0;
		for (uint32_t i = 0; out->got && i < out->n_iov; i++) {
			if (at / 8 < out->iov[i].iov_len) {
				((uint8_t *)out->iov[i].iov_base)[at / 8] ^= (uint8_t)(1u
				                                                       << at % 8);
				break;
			}
			at -= 8 * out->iov[i].iov_len;
		}
	}
}

static void hand_over(struct copy *c)
{
	struct firn_store_request *out = c->outer;
	const struct firn_store_request *in = &c->req;
	uint32_t size = out->error->struct_size;

	out->outcome = in->outcome;
	out->code = in->code;
	out->got = in->got;
	out->size = in->size;
	out->mtime_ms = in->mtime_ms;
	out->version = in->version;
	*out->error = c->error;
	out->error->struct_size = size;
}

static void copy_put_synced(struct copy *c)
{
	c->outer = NULL;
	c->state = COPY_FREE;
	if (c->n_cancelling)
		return; /* fault_cancel() frees it */
	c->next_free = c->fault->free;
	c->fault->free = c;
}

/* Completing only queues, so that it may happen under the lock. */
static void finish_synced(struct copy *c)
{
	struct firn_store_request *out = c->outer;

	copy_put_synced(c);
	firn_store_complete(out);
}

/* To wait until it is due, or to be handed on now. */
static void answer_synced(struct copy *c)
{
	struct fault *f = c->fault;
	struct copy **at = &f->due;

	spoil(c);
	if (c->cancelled || c->due_ns <= now_ns(f)) {
		finish_synced(c);
		return;
	}
	c->state = COPY_WAITS;
	while (*at && (*at)->due_ns <= c->due_ns)
		at = &(*at)->next_due;
	c->next_due = *at;
	*at = c;
	pthread_cond_signal(&f->changed);
}

static void fault_complete(struct firn_store_request *req)
{
	struct copy *c = (struct copy *)(void *)req;
	struct fault *f = c->fault;
	int stray;

	pthread_mutex_lock(&f->lock);
	stray = c->state != COPY_INSIDE;
	if (!stray) {
		hand_over(c);
		answer_synced(c);
	}
	pthread_mutex_unlock(&f->lock);
	if (stray && f->env->log)
		f->env->log(f->env->ctx, FIRN_LOG_ERROR, "store",
		            "fault: the back end completed a request twice");
}

static void *fault_main(void *arg)
{
	struct fault *f = arg;

	pthread_mutex_lock(&f->lock);
	while (!f->closing) {
		struct copy *c = f->due;
		uint64_t now = now_ns(f);

		if (!c) {
			pthread_cond_wait(&f->changed, &f->lock);
		} else if (c->due_ns > now) {
			struct timespec until = mono_after(c->due_ns - now);

			(void)pthread_cond_timedwait(&f->changed, &f->lock, &until);
		} else {
			f->due = c->next_due;
			finish_synced(c);
		}
	}
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

/* ---- the functions of a back end ---- */

static struct copy *copy_get(struct fault *f)
{
	struct copy *c;

	pthread_mutex_lock(&f->lock);
	c = f->free;
	if (c)
		f->free = c->next_free;
	pthread_mutex_unlock(&f->lock);
	if (c)
		return c;
	c = mem_zalloc(f->env, sizeof *c);
	if (!c)
		return NULL;
	c->fault = f;
	pthread_mutex_lock(&f->lock);
	c->next_all = f->all;
	f->all = c;
	pthread_mutex_unlock(&f->lock);
	return c;
}

static void copy_fill(struct copy *c, struct firn_store_request *req)
{
	const struct fault *f = c->fault;

	c->req = *req;
	memset(&c->error, 0, sizeof c->error);
	c->error.struct_size = (uint32_t)sizeof c->error;
	c->req.error = &c->error;
	c->req.host = &f->host;
	memset(c->req.backend, 0, sizeof c->req.backend);
	if (f->script.ignore >> req->condition & 1u) {
		c->req.condition = FIRN_STORE_ALWAYS;
		c->req.match = NULL;
	}
	c->cancelled = 0;
}

static void fault_submit(void *handle, struct firn_store_request *req)
{
	struct fault *f = handle;
	const struct fault_script *s = &f->script;
	struct copy *c = copy_get(f);
	uint64_t late_ns = s->latency_ms * UINT64_C(1000000);

	if (!c) {
		firn_store_complete_error(req, FIRN_STORE_RETRY, FIRN_ESTORE, 0,
		                          "fault: no memory for a request");
		return;
	}
	copy_fill(c, req);
	pthread_mutex_lock(&f->lock);
	c->chance = mix(s->seed + ++f->n_request * UINT64_C(0x9e3779b97f4a7c15));
	if (s->jitter_ms)
		late_ns += mix(c->chance) % (s->jitter_ms * UINT64_C(1000000));
	c->due_ns = late_ns ? now_ns(f) + late_ns : 0;
	c->verdict = draw(f, req, c->chance);
	c->outer = req;
	c->state = COPY_INSIDE;
	int arrives = c->verdict == PASS || c->verdict >= LOSE;

	if (!arrives)
		answer_synced(c);
	pthread_mutex_unlock(&f->lock);
	if (arrives)
		f->inner.submit(f->handle, &c->req);
}

/* What waits is handed on at once; what is inside is cancelled there. The copy stays ours until the
 * back end's cancel() has returned. */
static void fault_cancel(void *handle, struct firn_store_request *req)
{
	struct fault *f = handle;
	struct copy *c, **at;

	pthread_mutex_lock(&f->lock);
	for (c = f->all; c && c->outer != req; c = c->next_all)
		;
	if (c && c->state == COPY_WAITS) {
		for (at = &f->due; *at != c; at = &(*at)->next_due)
			;
		*at = c->next_due;
		finish_synced(c);
	} else if (c) {
		c->cancelled = 1;
		c->n_cancelling++;
		pthread_mutex_unlock(&f->lock);
		f->inner.cancel(f->handle, &c->req);
		pthread_mutex_lock(&f->lock);
		c->n_cancelling--;
		if (c->state == COPY_FREE)
			copy_put_synced(c);
	}
	pthread_mutex_unlock(&f->lock);
}

static void fault_info(void *handle, struct firn_store_info *info)
{
	struct fault *f = handle;

	f->inner.info(f->handle, info);
}

static void fault_poll(void *handle, uint32_t timeout_ms)
{
	struct fault *f = handle;

	f->inner.poll(f->handle, timeout_ms);
}

static void fault_free(struct fault *f)
{
	while (f->all) {
		struct copy *c = f->all;

		f->all = c->next_all;
		mem_free(f->env, c);
	}
	pthread_cond_destroy(&f->changed);
	pthread_mutex_destroy(&f->lock);
	mem_free(f->env, f);
}

static void fault_close(void *handle)
{
	struct fault *f = handle;

	pthread_mutex_lock(&f->lock);
	f->closing = 1;
	pthread_cond_signal(&f->changed);
	pthread_mutex_unlock(&f->lock);
	(void)pthread_join(f->thread, NULL);
	f->inner.close(f->handle);
	fault_free(f);
}

static int locks_init(struct fault *f)
{
	pthread_condattr_t attr;

	if (pthread_mutex_init(&f->lock, NULL))
		return -1;
	if (pthread_condattr_init(&attr))
		goto fail_attr;
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	int rc = pthread_cond_init(&f->changed, &attr);

	(void)pthread_condattr_destroy(&attr);
	if (rc == 0)
		return 0;
fail_attr:
	pthread_mutex_destroy(&f->lock);
	return -1;
}

/* The host's signals are the host's. */
static int start_thread(struct fault *f)
{
	sigset_t all, before;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = pthread_create(&f->thread, NULL, fault_main, f);

	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc ? -1 : 0;
}

int fault_wrap(struct store *s, const struct fault_script *script, struct firn_error *err)
{
	struct fault *f = mem_zalloc(s->env, sizeof *f);

	if (!f || locks_init(f)) {
		mem_free(s->env, f);
		return fail(err, FIRN_ENOMEM, 0, "store", "no memory for fault:");
	}
	f->env = s->env;
	f->inner = s->plugin;
	f->handle = s->handle;
	f->host = s->host;
	f->host.complete = fault_complete;
	f->script = *script;
	f->opened_ns = now_ns(f);
	if (start_thread(f)) {
		fault_free(f);
		return fail(err, FIRN_ENOMEM, 0, "store", "no thread for fault:");
	}
	s->handle = f;
	s->plugin.submit = fault_submit;
	s->plugin.cancel = fault_cancel;
	s->plugin.info = fault_info;
	s->plugin.close = fault_close;
	s->plugin.poll = f->inner.poll ? fault_poll : NULL;
	return FIRN_OK;
}
