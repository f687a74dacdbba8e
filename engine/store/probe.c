/* Does the store keep the conditions it claims? Ownership of a volume hangs on compare-and-swap,
 * and real stores have accepted the headers and ignored them (PROTOCOL 6). So each claimed
 * condition is tried on scratch keys before the first attach:
 *
 *	race   eight put-if-absent at once on one key: one wins, and its bytes are there
 *	exist  put-if-absent on that key again: refused
 *	next   put-if-match of the version that is there: done
 *	stale  put-if-match of a version that was replaced: refused
 *	gone   put-if-match on a key that is not there: refused
 *	swap   eight put-if-match of one version at once: one wins, and its bytes are there
 *
 * A store that is away or busy has not lied: that is an error to retry, and is not remembered. Nor is what a process found
 * that was stopped within the probe: a sweep may have taken the key meanwhile (gc/left.h). Nothing is tried where the caller
 * vouches for what the store lacks (put.c). */
#include "engine/base/error.h"
#include "engine/store/internal.h"
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

enum { N_RACERS = 8, BODY_LEN = 48, N_ROUNDS = 5, STOPPED_MS = 3600000 };

_Static_assert((int)STORE_ALWAYS == (int)FIRN_STORE_ALWAYS &&
                       (int)STORE_IF_ABSENT == (int)FIRN_STORE_IF_ABSENT &&
                       (int)STORE_IF_MATCH == (int)FIRN_STORE_IF_MATCH,
               "conditions are passed on by number");

struct probe {
	struct store *store;
	struct firn_error *err;
	char run[33]; /* random, so that probes of two processes do not meet */
	char key[80];
};

struct racer {
	struct store_slot *slot;
	char body[BODY_LEN];
	struct iovec iov;
};

static int lied(struct probe *p, const char *what)
{
	return fail(p->err, FIRN_EUNSUPPORTED, 0, "store",
	            "%.60s claims conditional writes but does not keep them: %s",
	            p->store->uri.shown, what);
}

static void probe_key(struct probe *p, const char *name, int round)
{
	(void)snprintf(p->key, sizeof p->key, ".firn-probe/%s-%s%d", p->run, name, round);
}

static void pause_before(int round)
{
	struct timespec t = { 0, round * 50000000L };

	if (round)
		(void)nanosleep(&t, NULL);
}

/* One conditional PUT; *outcome and *version as answered. */
static int probe_put(struct probe *p, const char *body, uint32_t condition,
                     const struct firn_store_version *match, struct firn_store_request *answer)
{
	struct iovec iov = { (void *)(uintptr_t)body, strlen(body) };
	struct firn_store_request ask = { .op = FIRN_STORE_PUT,
		                          .condition = condition,
		                          .key = p->key,
		                          .iov = &iov,
		                          .n_iov = 1,
		                          .len = iov.iov_len,
		                          .match = match };

	return store_call(p->store, &ask, condition != FIRN_STORE_ALWAYS, answer, p->err);
}

/* The PUT must be refused because of its condition. */
static int must_refuse(struct probe *p, uint32_t condition, const struct firn_store_version *match,
                       const char *what)
{
	struct firn_store_request answer;
	int rc = FIRN_OK;

	for (int round = 0; round < N_ROUNDS; round++) {
		pause_before(round);
		rc = probe_put(p, "firn probe: must not be stored", condition, match, &answer);
		if (answer.outcome == FIRN_STORE_DONE)
			return lied(p, what);
		if (rc == FIRN_ECONFLICT || rc == FIRN_ENOENT)
			return FIRN_OK;
		if (answer.outcome == FIRN_STORE_PERMANENT)
			break;
	}
	return rc == FIRN_EUNSUPPORTED ? lied(p, "it answers that it has none") : rc;
}

/* The PUT must be done, since its condition holds. It is not sent again while its outcome is open: the first one might
 * land late, over the winner of the race to come. Then *known is 0, and another key is tried. */
static int must_replace(struct probe *p, const char *body, const struct firn_store_version *match,
                        int *known)
{
	struct firn_store_request answer;
	int rc = FIRN_OK;

	for (int round = 0; round < N_ROUNDS; round++) {
		pause_before(round);
		rc = probe_put(p, body, FIRN_STORE_IF_MATCH, match, &answer);
		if (answer.outcome != FIRN_STORE_RETRY && answer.outcome != FIRN_STORE_THROTTLED)
			break;
	}
	*known = answer.outcome != FIRN_STORE_AMBIGUOUS;
	if (rc == FIRN_ECONFLICT || rc == FIRN_ENOENT)
		return lied(p, "put-if-match of the version that is there was refused");
	return *known ? rc : FIRN_OK;
}

/* The object holds `body`, and its version is *version. */
static int must_hold(struct probe *p, const char *body, struct firn_store_version *version)
{
	char found[BODY_LEN + 1] = { 0 };
	struct iovec iov = { found, BODY_LEN };
	struct firn_store_request ask = { .op = FIRN_STORE_GET,
		                          .flags = FIRN_STORE_WANT_VERSION,
		                          .key = p->key,
		                          .iov = &iov,
		                          .n_iov = 1,
		                          .len = BODY_LEN };
	struct firn_store_request answer;
	int rc = store_call(p->store, &ask, 0, &answer, p->err);

	if (rc == FIRN_ENOENT)
		return lied(p, "what was stored is not there");
	if (rc != FIRN_OK)
		return rc;
	if (strcmp(found, body))
		return lied(p, "the winner's bytes were overwritten");
	if (answer.version.len == 0)
		return lied(p, "objects have no version to compare");
	*version = answer.version;
	return FIRN_OK;
}

static int race_prepare(struct probe *p, struct racer *racer, uint32_t condition,
                        const struct firn_store_version *match)
{
	for (int i = 0; i < N_RACERS; i++) {
		struct racer *r = &racer[i];

		r->slot = slot_get(p->store);
		if (!r->slot)
			return fail(p->err, FIRN_ENOMEM, 0, "store", "no memory for a request");
		memset(r->body, 0, sizeof r->body);
		(void)snprintf(r->body, sizeof r->body, "firn probe %.24s %d", p->run, i);
		r->iov = (struct iovec){ r->body, strlen(r->body) };
		r->slot->req = (struct firn_store_request){
			.op = FIRN_STORE_PUT,
			.condition = condition,
			.key = p->key,
			.iov = &r->iov,
			.n_iov = 1,
			.len = r->iov.iov_len,
			.match = match,
		};
	}
	return FIRN_OK;
}

/* Eight at once. *winner: the body that must be there now; NULL when the store was too busy to let
 * anyone through, or left us in doubt. */
static int race_run(struct probe *p, struct racer *racer, const char **winner)
{
	uint64_t deadline = p->store->env->mono_ns(p->store->env->ctx) + p->store->deadline_ns;
	int n_done = 0, n_refused = 0, n_unsupported = 0;

	*winner = NULL;
	for (int i = 0; i < N_RACERS; i++)
		slot_submit(racer[i].slot);
	for (int i = 0; i < N_RACERS; i++) {
		int rc;

		if (slot_wait(racer[i].slot, deadline)) {
			racer[i].slot = NULL; /* never answered: whether it won is not known */
			continue;
		}
		rc = store_answer(&racer[i].slot->req, &racer[i].slot->error, p->err);
		if (rc == FIRN_OK) {
			n_done++;
			*winner = racer[i].body;
		}
		n_refused += rc == FIRN_ECONFLICT || rc == FIRN_ENOENT;
		n_unsupported += rc == FIRN_EUNSUPPORTED;
	}
	if (n_unsupported)
		return lied(p, "it answers that it has none");
	if (n_done > 1)
		return lied(p, "of eight writers at once more than one won");
	if (n_refused == N_RACERS)
		return lied(p, "of eight writers at once none won");
	return FIRN_OK;
}

static int race(struct probe *p, uint32_t condition, const struct firn_store_version *match,
                struct firn_store_version *version, int *decided)
{
	struct racer racer[N_RACERS] = { { 0 } };
	const char *winner = NULL;
	int rc = race_prepare(p, racer, condition, match);

	if (rc == FIRN_OK)
		rc = race_run(p, racer, &winner);
	if (rc == FIRN_OK && winner)
		rc = must_hold(p, winner, version);
	*decided = winner != NULL;
	for (int i = 0; i < N_RACERS; i++)
		if (racer[i].slot)
			slot_put(racer[i].slot);
	return rc;
}

static int probe_round(struct probe *p, int round, int *decided)
{
	struct firn_store_version first = { 0 }, second = { 0 };
	int rc;

	probe_key(p, "gone", round);
	rc = must_refuse(p, FIRN_STORE_IF_MATCH,
	                 &(struct firn_store_version){ 34, "\"00000000000000000000000000000000\"" },
	                 "put-if-match created a key");
	if (rc != FIRN_OK)
		return rc;
	probe_key(p, "race", round);
	rc = race(p, FIRN_STORE_IF_ABSENT, NULL, &first, decided);
	if (rc != FIRN_OK || !*decided)
		return rc;
	rc = must_refuse(p, FIRN_STORE_IF_ABSENT, NULL, "put-if-absent replaced an object");
	if (rc != FIRN_OK)
		return rc;
	rc = must_replace(p, "firn probe: second version", &first, decided);
	if (rc == FIRN_OK && !*decided)
		return rc;
	if (rc == FIRN_OK)
		rc = must_hold(p, "firn probe: second version", &second);
	if (rc != FIRN_OK)
		return rc;
	rc = must_refuse(p, FIRN_STORE_IF_MATCH, &first,
	                 "put-if-match replaced another version than the one named");
	if (rc != FIRN_OK)
		return rc;
	return race(p, FIRN_STORE_IF_MATCH, &second, &first, decided);
}

/* Best effort: a probe's leftovers are small, and the next key is another one. */
static void probe_clean(struct probe *p, int round)
{
	probe_key(p, "race", round);
	(void)store_delete(p->store, p->key, NULL);
	probe_key(p, "gone", round);
	(void)store_delete(p->store, p->key, NULL);
}

/* Either clock may stand still while a process is stopped. */
static bool was_stopped(const struct store *s, uint64_t mono_ns, int64_t wall_ms)
{
	const struct firn_env *env = s->env;
	return (env->mono_ns(env->ctx) - mono_ns) / 1000000 > STOPPED_MS ||
	       env->now_ms(env->ctx) - wall_ms > STOPPED_MS;
}

static int probe_run(struct store *s, struct firn_error *err)
{
	struct probe p = { .store = s, .err = err };
	uint64_t began_ns = s->env->mono_ns(s->env->ctx);
	int64_t began_ms = s->env->now_ms(s->env->ctx);
	unsigned char random[16];
	int rc = FIRN_OK, decided = 0;

	s->env->random(s->env->ctx, random, sizeof random);
	for (size_t i = 0; i < sizeof random; i++)
		(void)snprintf(p.run + 2 * i, 3, "%02x", random[i]);
	for (int round = 0; rc == FIRN_OK && !decided && round < N_ROUNDS; round++) {
		pause_before(round);
		rc = probe_round(&p, round, &decided);
		probe_clean(&p, round);
	}
	if (rc == FIRN_EUNSUPPORTED && was_stopped(s, began_ns, began_ms)) {
		rc = fail(err, FIRN_ESTORE, 0, "store",
		          "%.60s was not tried in time: this process was stopped", s->uri.shown);
		rc = fail_flags(err, rc, FIRN_ERR_RETRY);
	}
	if (rc == FIRN_OK && !decided) {
		rc = fail(err, FIRN_ESTORE, 0, "store",
		          "%.60s is too busy to try its conditional writes", s->uri.shown);
		rc = fail_flags(err, rc, FIRN_ERR_RETRY);
	}
	/* Doubt about a scratch key is none of the caller's: he may try again. */
	if (rc == FIRN_ESTORE && err->flags & FIRN_ERR_AMBIGUOUS)
		err->flags = (err->flags & ~(uint32_t)FIRN_ERR_AMBIGUOUS) | FIRN_ERR_RETRY;
	return rc;
}

int store_probe(struct store *s, struct firn_error *err)
{
	const uint64_t need = FIRN_STORE_CAN_PUT_IF_ABSENT | FIRN_STORE_CAN_PUT_IF_MATCH;
	uint64_t missing = need & ~s->info.caps;

	if (missing & ~s->trusted)
		return fail(
		        err, FIRN_EUNSUPPORTED, 0, "store",
		        "%.60s has no compare-and-swap: it lacks%s%s. If no other engine will ever "
		        "write there, say exclusive=trust-me in its URI",
		        s->uri.shown,
		        missing & FIRN_STORE_CAN_PUT_IF_ABSENT ? " PUT_IF_ABSENT" : "",
		        missing & FIRN_STORE_CAN_PUT_IF_MATCH ? " PUT_IF_MATCH" : "");
	if (missing)
		return FIRN_OK;
	pthread_mutex_lock(&s->probe_lock);
	if (!s->probed) {
		memset(&s->probe_error, 0, sizeof s->probe_error);
		s->probe_rc = probe_run(s, &s->probe_error);
		/* Only the truth about the store is kept, not what its network was like. */
		s->probed = s->probe_rc == FIRN_OK || s->probe_rc == FIRN_EUNSUPPORTED;
	}
	int rc = s->probe_rc;

	if (rc != FIRN_OK && err)
		*err = s->probe_error;
	pthread_mutex_unlock(&s->probe_lock);
	return rc;
}
