/* Conditional PUTs: what a volume's ownership hangs on. */
#include "tests/conformance/run.h"
#include "tests/conformance/trial.h"

enum { N_RACERS = 8 };
#define ABSENT FIRN_STORE_CAN_PUT_IF_ABSENT
#define MATCH FIRN_STORE_CAN_PUT_IF_MATCH

static void must_refuse(struct trial *t, const char *key, uint32_t condition,
                        const struct firn_store_version *match, const char *what)
{
	int rc = try_put(t, key, "must not be stored", condition, match, NULL);

	must(t, rc == FIRN_ECONFLICT, "%s: expected FIRN_ECONFLICT, got %s", what,
	     firn_code_name(rc));
}

static struct firn_store_version must_put(struct trial *t, const char *key, const char *text,
                                          uint32_t condition,
                                          const struct firn_store_version *match)
{
	struct firn_store_version v;
	int rc = try_put(t, key, text, condition, match, &v);

	must(t, rc == FIRN_OK, "conditional PUT of `%s`: expected DONE, got %s", text,
	     firn_code_name(rc));
	return v;
}

static void absent_once(struct trial *t)
{
	(void)must_put(t, "k", "first", FIRN_STORE_IF_ABSENT, NULL);
	must_refuse(t, "k", FIRN_STORE_IF_ABSENT, NULL, "the key is there");
	must_hold(t, "k", "first");
}

static void absent_deep(struct trial *t)
{
	(void)must_put(t, "new/dir/k", "first", FIRN_STORE_IF_ABSENT, NULL);
	must_refuse(t, "new/dir/k", FIRN_STORE_IF_ABSENT, NULL, "the key is there");
}

static void absent_same_bytes(struct trial *t)
{
	(void)put(t, "k", "must not be stored");
	struct ask *a = ask_new(t, FIRN_STORE_PUT, "k");
	char text[] = "must not be stored";
	struct iovec iov = { text, sizeof text - 1 };

	a->req.condition = FIRN_STORE_IF_ABSENT;
	a->req.iov = &iov;
	a->req.n_iov = 1;
	a->req.len = iov.iov_len;
	int rc = FIRN_EUNKNOWN;

	while (rc == FIRN_EUNKNOWN) /* a lost answer: the object was there before */
		rc = ask_do(t, a, true);
	must(t, rc == FIRN_ECONFLICT, "the same bytes are there: expected FIRN_ECONFLICT, got %s",
	     ask_text(a));
}

static void absent_version(struct trial *t)
{
	struct firn_store_version v = must_put(t, "k", "first", FIRN_STORE_IF_ABSENT, NULL), seen;

	must(t, stat_key(t, "k", NULL, &seen) == FIRN_OK && same_version(&v, &seen),
	     "expected the version that the PUT gave, %.*s, got %.*s", (int)v.len, v.text,
	     (int)seen.len, seen.text);
}

static void match_replaces(struct trial *t)
{
	struct firn_store_version v1 = put(t, "k", "one"), v2;

	v2 = must_put(t, "k", "two", FIRN_STORE_IF_MATCH, &v1);
	must_hold(t, "k", "two");
	(void)must_put(t, "k", "three", FIRN_STORE_IF_MATCH, &v2);
	must_hold(t, "k", "three");
}

static void match_stale(struct trial *t)
{
	struct firn_store_version v1 = put(t, "k", "one");

	(void)must_put(t, "k", "two", FIRN_STORE_IF_MATCH, &v1);
	must_refuse(t, "k", FIRN_STORE_IF_MATCH, &v1, "the version was replaced");
	must_hold(t, "k", "two");
}

static void match_after_plain_put(struct trial *t)
{
	struct firn_store_version v1 = put(t, "k", "one");

	(void)put(t, "k", "two");
	must_refuse(t, "k", FIRN_STORE_IF_MATCH, &v1, "an unconditional PUT came between");
	must_hold(t, "k", "two");
}

static void refused_match(struct trial *t, const char *key, const struct firn_store_version *v)
{
	int rc = try_put(t, key, "again", FIRN_STORE_IF_MATCH, v, NULL);

	must(t, rc == FIRN_ENOENT || rc == FIRN_ECONFLICT,
	     "put-if-match of the absent key %s: expected FIRN_ENOENT or FIRN_ECONFLICT, got %s",
	     key, firn_code_name(rc));
	must_be_absent(t, key);
}

static void match_never_creates(struct trial *t)
{
	struct firn_store_version v = put(t, "k", "x");

	refused_match(t, "other", &v);
	refused_match(t, "other/dir/k", &v);
}

static void match_after_delete(struct trial *t)
{
	struct firn_store_version v = put(t, "k", "x");

	delete_key(t, "k");
	refused_match(t, "k", &v);
}

static void match_foreign(struct trial *t)
{
	struct firn_store_version v = put(t, "other", "other bytes");

	(void)put(t, "k", "bytes");
	must_refuse(t, "k", FIRN_STORE_IF_MATCH, &v, "it is the version of another key");
	must_hold(t, "k", "bytes");
}

static void match_odd(struct trial *t)
{
	static const char *const texts[] = {
		"x",
		"*",
		"\"*\"",
		"W/\"x\"",
		"\"00000000000000000000000000000000\"",
		"a version that is longer than any store has been seen to hand out, to say the least",
	};

	(void)put(t, "k", "bytes");
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		struct firn_store_version v = { .len = (uint32_t)strlen(texts[i]) };

		memcpy(v.text, texts[i], v.len);
		must_refuse(t, "k", FIRN_STORE_IF_MATCH, &v, texts[i]);
	}
	must_hold(t, "k", "bytes");
}

/* A token cut short, or with more behind it, is another one. */
static void match_similar(struct trial *t)
{
	struct firn_store_version v = put(t, "k", "bytes"), other = v;

	other.len--;
	must_refuse(t, "k", FIRN_STORE_IF_MATCH, &other, "a version cut short");
	other = v;
	other.text[other.len - 1] ^= 1;
	must_refuse(t, "k", FIRN_STORE_IF_MATCH, &other, "a version with another last byte");
	must_hold(t, "k", "bytes");
}

static void chain(struct trial *t)
{
	struct firn_store_version v = put(t, "k", "0");
	char text[24];

	for (int i = 1; i <= 30; i++) {
		(void)snprintf(text, sizeof text, "link %d", i);
		v = must_put(t, "k", text, FIRN_STORE_IF_MATCH, &v);
	}
	must_hold(t, "k", "link 30");
}

static void delete_is_a_change(struct trial *t)
{
	struct firn_store_version v = put(t, "k", "one");

	delete_key(t, "k");
	(void)put(t, "k", "two");
	must_refuse(t, "k", FIRN_STORE_IF_MATCH, &v, "the object was deleted and made anew");
}

/* ---- races ---- */

struct race {
	uint32_t condition;
	const struct firn_store_version *match;
	struct host
	        *host[N_RACERS]; /* of their own: nothing in one handle may be what orders them */
	int rc[N_RACERS];
	char body[N_RACERS][32];
};

static void racer(struct trial *t, unsigned i, void *arg)
{
	struct race *r = arg;

	t->host = r->host[i];
	r->rc[i] = try_put(t, "dir/race", r->body[i], r->condition, r->match, NULL);
}

static void race(struct trial *t, struct race *r, int round)
{
	int winner = -1;

	for (int i = 0; i < N_RACERS; i++)
		(void)snprintf(r->body[i], sizeof r->body[i], "racer %d of round %d", i, round);
	crew(t, N_RACERS, racer, r);
	for (int i = 0; i < N_RACERS; i++) {
		must(t, r->rc[i] == FIRN_OK || r->rc[i] == FIRN_ECONFLICT,
		     "expected DONE or FIRN_ECONFLICT for every racer, got %s",
		     firn_code_name(r->rc[i]));
		must(t, r->rc[i] != FIRN_OK || winner < 0,
		     "expected one winner of eight, got at least two (%d and %d)", winner, i);
		if (r->rc[i] == FIRN_OK)
			winner = i;
	}
	must(t, winner >= 0, "expected one winner of eight, got none");
	must_hold(t, "dir/race", r->body[winner]);
}

static void absent_rounds(struct trial *t, void *arg)
{
	for (int i = 0; i < 5; i++) {
		race(t, arg, i);
		delete_key(t, "dir/race");
	}
}

static void match_rounds(struct trial *t, void *arg)
{
	struct race *r = arg;

	for (int i = 0; i < 5; i++) {
		struct firn_store_version v = put(t, "dir/race", i % 2 ? "base one" : "base two");

		r->match = &v;
		race(t, r, i);
	}
}

/* The handles are closed whatever comes of it. */
static void races(struct trial *t, uint32_t condition, void (*rounds)(struct trial *, void *))
{
	struct race *r = trial_alloc(t, sizeof *r);
	struct firn_error err = FIRN_ERROR_INIT;
	bool opened = true;

	r->condition = condition;
	for (int i = 0; i < N_RACERS && opened; i++)
		opened = (r->host[i] = host_open(t->uri, &err)) != NULL;
	if (opened)
		(void)trial_try(t, rounds, r);
	for (int i = 0; i < N_RACERS && !t->run->hung; i++)
		host_close(r->host[i]);
	must(t, opened, "opening the URI eight times: expected success, got %s", err.text);
	must(t, !t->failed, "%s", t->why);
}

static void absent_race(struct trial *t)
{
	races(t, FIRN_STORE_IF_ABSENT, absent_rounds);
}

static void match_race(struct trial *t)
{
	races(t, FIRN_STORE_IF_MATCH, match_rounds);
}

/* Each of eight writes its letter ten times behind what is there. No letter may be lost, and none
 * comes twice, whatever answers are. */
static void count_by_match(struct trial *t, unsigned i, void *arg)
{
	(void)arg;
	for (;;) {
		struct ask *a = ask_new(t, FIRN_STORE_GET, "n");
		char text[128] = "";
		struct iovec iov = { text, sizeof text - 4 };
		unsigned mine = 0;

		a->req.iov = &iov;
		a->req.n_iov = 1;
		a->req.len = iov.iov_len;
		a->req.flags = FIRN_STORE_WANT_VERSION;
		must_do(t, a, "GET");
		struct firn_store_version v = a->req.version;
		size_t len = (size_t)a->req.got;

		host_ask_free(a);
		for (size_t c = 0; c < len; c++)
			mine += text[c] == (char)('a' + i);
		if (mine >= 10)
			return;
		text[len] = (char)('a' + i);
		text[len + 1] = 0;
		int rc = try_put(t, "n", text, FIRN_STORE_IF_MATCH, &v, NULL);

		must(t, rc == FIRN_OK || rc == FIRN_ECONFLICT,
		     "put-if-match: expected DONE or FIRN_ECONFLICT, got %s", firn_code_name(rc));
	}
}

static void counters(struct trial *t)
{
	(void)put(t, "n", ":");
	crew(t, N_RACERS, count_by_match, NULL);
	const char *text = text_of(t, "n");

	must(t, strlen(text) == 1 + 10 * N_RACERS, "expected 80 steps counted, got %zu",
	     strlen(text) - 1);
}

static const struct check checks[] = {
	{ "put-if-absent stores once and then conflicts", absent_once, ABSENT, NULL },
	{ "put-if-absent in a new directory", absent_deep, ABSENT, NULL },
	{ "put-if-absent of the same bytes conflicts", absent_same_bytes, ABSENT, NULL },
	{ "put-if-absent gives the version", absent_version, ABSENT, NULL },
	{ "put-if-match replaces the version named", match_replaces, MATCH, NULL },
	{ "put-if-match of a replaced version conflicts", match_stale, MATCH, NULL },
	{ "put-if-match sees an unconditional PUT", match_after_plain_put, MATCH, NULL },
	{ "put-if-match never creates a key", match_never_creates, MATCH, NULL },
	{ "put-if-match of a deleted key is refused", match_after_delete, MATCH, NULL },
	{ "put-if-match of another key's version conflicts", match_foreign, MATCH, NULL },
	{ "put-if-match of tokens never given conflicts", match_odd, MATCH, NULL },
	{ "put-if-match compares the whole token", match_similar, MATCH, NULL },
	{ "thirty swaps in a row", chain, MATCH, NULL },
	{ "deleted and made anew is another version", delete_is_a_change, MATCH, NULL },
	{ "of eight put-if-absent at once one wins", absent_race, ABSENT, NULL },
	{ "of eight put-if-match at once one wins", match_race, MATCH, NULL },
	{ "eight threads counting by put-if-match lose no step", counters, MATCH, NULL },
};
GROUP(condition, checks);
