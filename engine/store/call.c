/* Asking a store for something and not giving up too early: retry, back-off, deadline. Back ends
 * never retry, callers need not; it happens here.
 *
 * Retried is what was not done (RETRY, THROTTLED), and what may have been done when doing it twice
 * is the same as once: reads, deletes, unconditional PUTs of keys that are unique. A conditional
 * PUT is sent once: what it became is found out by reading (PROTOCOL 7), which is the manifest's
 * business. */
#include "engine/base/error.h"
#include "engine/store/internal.h"
#include "engine/store/key.h"
#include <stdio.h>
#include <time.h>

#define BACKOFF_FIRST_NS 20000000u  /* 20 ms, doubled each time ... */
#define BACKOFF_MOST_NS 5000000000u /* ... up to 5 s */

const char *store_op_name(uint32_t op)
{
	static const char *const names[] = { "?",
		                             "put",
		                             "get",
		                             "stat",
		                             "list",
		                             "delete",
		                             "multipart begin",
		                             "multipart put",
		                             "multipart commit",
		                             "multipart abort" };

	return op < sizeof names / sizeof names[0] ? names[op] : names[0];
}

int store_check_key(const struct store *s, const char *key, struct firn_error *err)
{
	const char *wrong = key_check(key);

	if (!wrong)
		return FIRN_OK;
	return fail(err, FIRN_EINVAL, 0, "store", "key refused before asking %.60s: %s",
	            s->uri.shown, wrong);
}

int store_answer(const struct firn_store_request *req, const struct firn_error *told,
                 struct firn_error *err)
{
	int asks = req->op == FIRN_STORE_GET || req->op == FIRN_STORE_STAT ||
	           req->op == FIRN_STORE_LIST;

	if (req->outcome == FIRN_STORE_DONE)
		return FIRN_OK;
	(void)fail(err, req->code, 0, "store", "%s %.70s: %s", store_op_name(req->op),
	           req->op == FIRN_STORE_LIST ? req->prefix : req->key,
	           told->text[0] ? told->text : firn_code_name(req->code));
	if (err) {
		err->sys = told->sys;
		err->retry_after_ms = told->retry_after_ms;
	}
	if (req->outcome == FIRN_STORE_RETRY)
		return fail_flags(err, req->code, FIRN_ERR_RETRY);
	if (req->outcome == FIRN_STORE_THROTTLED)
		return fail_flags(err, req->code, FIRN_ERR_RETRY | FIRN_ERR_THROTTLED);
	/* A question may be asked again, whatever became of it. */
	if (req->outcome == FIRN_STORE_AMBIGUOUS)
		return fail_flags(err, req->code, asks ? FIRN_ERR_RETRY : FIRN_ERR_AMBIGUOUS);
	return req->code;
}

void store_answer_lost(struct store *s, struct firn_store_request *req, struct firn_error *told)
{
	char text[160];

	memset(told, 0, sizeof *told);
	req->error = told;
	req->got = 0;
	req->version.len = 0;
	(void)snprintf(text, sizeof text, "the `%.40s` back end never answered", s->plugin.name);
	firn_store_set_error(req, FIRN_STORE_AMBIGUOUS, FIRN_ESTORE, 0, text);
}

/* Half fixed, half chance: callers that failed together do not come back together. */
static uint64_t backoff_ns(const struct store *s, uint32_t n_tried, uint32_t retry_after_ms)
{
	uint64_t ns = n_tried < 9 ? (uint64_t)BACKOFF_FIRST_NS << (n_tried - 1) : BACKOFF_MOST_NS;
	uint64_t chance = 0, least = (uint64_t)retry_after_ms * 1000000u;

	if (ns > BACKOFF_MOST_NS)
		ns = BACKOFF_MOST_NS;
	s->env->random(s->env->ctx, &chance, sizeof chance);
	ns = ns / 2 + chance % (ns / 2);
	return ns > least ? ns : least + ns / 8;
}

static void sleep_ns(uint64_t ns)
{
	struct timespec t = { (time_t)(ns / 1000000000u), (long)(ns % 1000000000u) };

	while (nanosleep(&t, &t) < 0)
		;
}

int store_call(struct store *s, const struct firn_store_request *ask, int once,
               struct firn_store_request *answer, struct firn_error *err)
{
	uint64_t deadline = s->env->mono_ns(s->env->ctx) + s->deadline_ns;
	struct firn_error told;

	if (slot_n_lost(s) >= SLOT_LOST_MAX)
		return fail_flags(
		        err,
		        fail(err, FIRN_ESTORE, 0, "store",
		             "the `%.40s` back end has left %d requests unanswered; it is "
		             "not asked any more",
		             s->plugin.name, SLOT_LOST_MAX),
		        FIRN_ERR_FATAL);
	for (uint32_t n_tried = 1;; n_tried++) {
		uint64_t now, wait;

		if (store_attempt(s, ask, deadline, n_tried > 1, answer, &told))
			return fail(err, FIRN_ENOMEM, 0, "store", "no memory for a request");
		if (answer->outcome <= FIRN_STORE_PERMANENT || once)
			break;
		wait = backoff_ns(s, n_tried, told.retry_after_ms);
		now = s->env->mono_ns(s->env->ctx);
		if (now + wait >= deadline)
			break;
		sleep_ns(wait);
	}
	answer->error = NULL;
	return store_answer(answer, &told, err);
}
