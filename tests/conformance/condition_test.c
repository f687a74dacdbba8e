/* Conditional PUTs: what a volume's ownership hangs on. */
#include "tests/conformance/trial.h"

CONFORMS(condition, if_absent_stores_once_and_then_conflicts)
{
	cr_assert_eq(try_put(t, "k", "first", STORE_IF_ABSENT, NULL, NULL), FIRN_OK);
	cr_assert_eq(try_put(t, "k", "second", STORE_IF_ABSENT, NULL, NULL), FIRN_ECONFLICT);
	cr_assert_eq(t->err.flags, 0u, "known not to have happened");
	cr_assert_str_eq(text_of(t, "k"), "first");
	cr_assert_eq(store_delete(t->store, "k", &t->err), FIRN_OK);
	cr_assert_eq(try_put(t, "k", "third", STORE_IF_ABSENT, NULL, NULL), FIRN_OK);
}

CONFORMS(condition, if_match_replaces_exactly_the_version_named)
{
	struct store_version v1 = put(t, "k", "one"), v2, v3;

	cr_assert_eq(try_put(t, "k", "two", STORE_IF_MATCH, &v1, &v2), FIRN_OK, "%s", t->err.text);
	cr_assert_str_eq(text_of(t, "k"), "two");
	cr_assert_eq(try_put(t, "k", "stale", STORE_IF_MATCH, &v1, &v3), FIRN_ECONFLICT);
	cr_assert_eq(v3.len, 0u, "a refused put has no version");
	cr_assert_str_eq(text_of(t, "k"), "two");
	cr_assert_eq(try_put(t, "k", "three", STORE_IF_MATCH, &v2, &v3), FIRN_OK);
	cr_assert_str_eq(text_of(t, "k"), "three");
}

CONFORMS(condition, if_match_never_creates_a_key)
{
	struct store_version v = put(t, "k", "x");
	int rc;

	cr_assert_eq(store_delete(t->store, "k", &t->err), FIRN_OK);
	rc = try_put(t, "k", "again", STORE_IF_MATCH, &v, NULL);
	cr_assert(rc == FIRN_ENOENT || rc == FIRN_ECONFLICT, "%d", rc);
	rc = try_put(t, "other/k", "again", STORE_IF_MATCH, &v, NULL);
	cr_assert(rc == FIRN_ENOENT || rc == FIRN_ECONFLICT, "%d", rc);
	cr_assert_str_eq(keys_of(t, "", ""), "");
}

CONFORMS(condition, a_foreign_or_empty_version_matches_nothing)
{
	struct store_version other = put(t, "other", "same"), odd = { 3, "x-y" }, none = { 0, "" };

	(void)put(t, "k", "same");
	cr_assert_eq(try_put(t, "k", "new", STORE_IF_MATCH, &other, NULL), FIRN_ECONFLICT);
	cr_assert_eq(try_put(t, "k", "new", STORE_IF_MATCH, &odd, NULL), FIRN_ECONFLICT);
	cr_assert_eq(try_put(t, "k", "new", STORE_IF_MATCH, &none, NULL), FIRN_EINVAL);
	cr_assert_str_eq(text_of(t, "k"), "same");
}

/* A, B, A again: the third has the bytes of the first and must not pass for it. */
CONFORMS(condition, the_same_bytes_put_again_are_another_version)
{
	struct store_version seen[200];
	int n = 0;

	for (int i = 0; i < 100; i++) {
		seen[n++] = put(t, "k", "A");
		seen[n++] = put(t, "k", "B");
		if (i % 10 == 0)
			cr_assert_eq(store_delete(t->store, "k", &t->err), FIRN_OK);
	}
	for (int i = 0; i < n; i++)
		for (int j = 0; j < i; j++)
			cr_assert_not(same_version(&seen[i], &seen[j]), "%d and %d: %.*s", i, j,
			              (int)seen[i].len, seen[i].text);
	cr_assert_eq(try_put(t, "k", "late", STORE_IF_MATCH, &seen[n - 4], NULL), FIRN_ECONFLICT);
}

/* ---- races ---- */

enum { N_RACERS = 8 };

struct racer {
	struct trial trial; /* a handle of its own: nothing in one handle may be what orders them */
	pthread_barrier_t *start;
	enum store_condition condition;
	const struct store_version *match;
	char body[24];
	int rc;
};

static void *racer_main(void *arg)
{
	struct racer *r = arg;

	(void)pthread_barrier_wait(r->start);
	r->rc = try_put(&r->trial, "dir/race", r->body, r->condition, r->match, NULL);
	return NULL;
}

static void race(struct trial *t, enum store_condition condition, const struct store_version *match)
{
	struct racer r[N_RACERS];
	pthread_t thread[N_RACERS];
	pthread_barrier_t start;
	const char *winner = NULL;

	(void)pthread_barrier_init(&start, NULL, N_RACERS);
	memset(r, 0, sizeof r);
	for (int i = 0; i < N_RACERS; i++) {
		r[i].start = &start;
		r[i].condition = condition;
		r[i].match = match;
		(void)snprintf(r[i].body, sizeof r[i].body, "racer %d", i);
		cr_assert_eq(store_open(env_default(), t->uri, &r[i].trial.store, NULL), FIRN_OK);
	}
	for (int i = 0; i < N_RACERS; i++)
		cr_assert_eq(pthread_create(&thread[i], NULL, racer_main, &r[i]), 0);
	for (int i = 0; i < N_RACERS; i++) {
		(void)pthread_join(thread[i], NULL);
		cr_assert(r[i].rc == FIRN_OK || r[i].rc == FIRN_ECONFLICT, "%s",
		          r[i].trial.err.text);
		if (r[i].rc == FIRN_OK) {
			cr_assert_null(winner, "two winners");
			winner = r[i].body;
		}
		store_close(r[i].trial.store);
	}
	cr_assert_not_null(winner, "no winner");
	cr_assert_str_eq(text_of(t, "dir/race"), winner);
	(void)pthread_barrier_destroy(&start);
}

CONFORMS(condition, of_eight_if_absent_at_once_one_wins)
{
	for (int round = 0; round < 5; round++) {
		race(t, STORE_IF_ABSENT, NULL);
		cr_assert_eq(store_delete(t->store, "dir/race", &t->err), FIRN_OK);
	}
}

CONFORMS(condition, of_eight_if_match_at_once_one_wins)
{
	for (int round = 0; round < 5; round++) {
		struct store_version v = put(t, "dir/race", "base");

		race(t, STORE_IF_MATCH, &v);
	}
}

/* Eight threads count in one object by compare-and-swap: no step may be lost. */
static void *counter_main(void *arg)
{
	struct racer *r = arg;
	struct trial *t = &r->trial;

	for (int done = 0; done < 10;) {
		struct store_version v;
		struct buf b;
		char next[24];

		buf_init(&b, env_default());
		cr_assert_eq(store_get_all(t->store, "n", 20, &b, &v, &t->err), FIRN_OK);
		(void)snprintf(next, sizeof next, "%.*s", (int)b.len, (const char *)b.data);
		int n = atoi(next) + 1;

		(void)snprintf(next, sizeof next, "%d", n);
		buf_fini(&b);
		int rc = try_put(t, "n", next, STORE_IF_MATCH, &v, NULL);

		cr_assert(rc == FIRN_OK || rc == FIRN_ECONFLICT, "%s", t->err.text);
		done += rc == FIRN_OK;
	}
	return NULL;
}

CONFORMS(condition, eight_threads_counting_by_if_match_lose_no_step)
{
	static struct racer r[N_RACERS];
	pthread_t thread[N_RACERS];

	(void)put(t, "n", "0");
	for (int i = 0; i < N_RACERS; i++) {
		cr_assert_eq(store_open(env_default(), t->uri, &r[i].trial.store, NULL), FIRN_OK);
		cr_assert_eq(pthread_create(&thread[i], NULL, counter_main, &r[i]), 0);
	}
	for (int i = 0; i < N_RACERS; i++) {
		(void)pthread_join(thread[i], NULL);
		store_close(r[i].trial.store);
	}
	cr_assert_str_eq(text_of(t, "n"), "80");
}

CONFORMS(condition, the_probe_believes_an_honest_store_and_cleans_up)
{
	(void)put(t, "vol/manifest", "untouched");
	cr_assert_eq(store_probe(t->store, &t->err), FIRN_OK, "%s", t->err.text);
	cr_assert_eq(store_probe(t->store, &t->err), FIRN_OK);
	cr_assert_str_eq(keys_of(t, "", ""), "vol/manifest ");
}
