/* Multipart uploads: nothing is there before the commit, all of it after. */
#include "tests/conformance/trial.h"

enum { SMALL = 1000 };

/* Bytes of every part but the last. */
static size_t part_len(const struct trial *t)
{
	uint64_t least = t->host->info.min_part_bytes;

	return least > SMALL ? (size_t)least : SMALL;
}

struct upload {
	char *name;
	struct firn_store_part part[4];
	uint8_t *data; /* of all parts */
	size_t len;
};

/* Puts n parts of which the last is small, in the order first, last ... */
static struct upload *begin(struct trial *t, const char *key, uint32_t n, uint64_t seed)
{
	struct upload *u = trial_alloc(t, sizeof *u);
	size_t each = part_len(t);

	u->len = (n - 1) * each + SMALL;
	u->data = trial_noise(t, u->len, seed);
	u->name = multipart_begin(t, key);
	for (uint32_t i = 0; i < n; i++)
		u->part[i] = multipart_put(t, key, u->name, i + 1, u->data + i * each,
		                           i + 1 < n ? each : SMALL);
	return u;
}

static void must_commit(struct trial *t, const char *key, struct upload *u, uint32_t n)
{
	int rc = multipart_commit(t, key, u->name, u->part, n, FIRN_STORE_ALWAYS, NULL, NULL);

	must(t, rc == FIRN_OK, "MULTIPART_COMMIT: expected DONE, got %s", firn_code_name(rc));
}

static void must_hold_bytes(struct trial *t, const char *key, const void *data, size_t len)
{
	uint8_t *back = trial_alloc(t, len + 1);
	size_t got = 0;
	int rc = get(t, key, 0, back, len + 1, &got);

	must(t, rc == FIRN_OK && got == len && !memcmp(back, data, len),
	     "expected the %zu bytes of the parts in order, got %s, %zu bytes or others", len,
	     firn_code_name(rc), got);
}

static void one_part(struct trial *t)
{
	struct upload *u = begin(t, "k", 1, 1);

	must_commit(t, "k", u, 1);
	must_hold_bytes(t, "k", u->data, u->len);
}

static void three_parts(struct trial *t)
{
	struct upload *u = begin(t, "a/k", 3, 2);

	must_commit(t, "a/k", u, 3);
	must_hold_bytes(t, "a/k", u->data, u->len);
}

static void not_before(struct trial *t)
{
	struct upload *u = begin(t, "k", 2, 3);

	must_be_absent(t, "k");
	must_commit(t, "k", u, 2);
	must_hold_bytes(t, "k", u->data, u->len);
}

static void not_listed_before(struct trial *t)
{
	struct upload *u = begin(t, "k", 2, 3);

	must_list(t, "", "", "");
	must_commit(t, "k", u, 2);
	must_list(t, "", "", "k ");
}

static void out_of_order(struct trial *t)
{
	size_t each = part_len(t), len = each + SMALL;
	uint8_t *data = trial_noise(t, len, 4);
	char *name = multipart_begin(t, "k");
	struct firn_store_part part[2];

	part[1] = multipart_put(t, "k", name, 2, data + each, SMALL);
	part[0] = multipart_put(t, "k", name, 1, data, each);
	int rc = multipart_commit(t, "k", name, part, 2, FIRN_STORE_ALWAYS, NULL, NULL);

	must(t, rc == FIRN_OK, "expected DONE, got %s", firn_code_name(rc));
	must_hold_bytes(t, "k", data, len);
}

static void gaps_in_numbers(struct trial *t)
{
	size_t each = part_len(t), len = each + SMALL;
	uint8_t *data = trial_noise(t, len, 5);
	char *name = multipart_begin(t, "k");
	struct firn_store_part part[2];

	part[0] = multipart_put(t, "k", name, 3, data, each);
	part[1] = multipart_put(t, "k", name, 7, data + each, SMALL);
	int rc = multipart_commit(t, "k", name, part, 2, FIRN_STORE_ALWAYS, NULL, NULL);

	must(t, rc == FIRN_OK, "expected DONE, got %s", firn_code_name(rc));
	must_hold_bytes(t, "k", data, len);
}

static void part_again(struct trial *t)
{
	uint8_t *first = trial_noise(t, SMALL, 6), *second = trial_noise(t, SMALL, 7);
	char *name = multipart_begin(t, "k");
	struct firn_store_part part;

	(void)multipart_put(t, "k", name, 1, first, SMALL);
	part = multipart_put(t, "k", name, 1, second, SMALL);
	int rc = multipart_commit(t, "k", name, &part, 1, FIRN_STORE_ALWAYS, NULL, NULL);

	must(t, rc == FIRN_OK, "expected DONE, got %s", firn_code_name(rc));
	must_hold_bytes(t, "k", second, SMALL);
}

static void part_left_out(struct trial *t)
{
	uint8_t *data = trial_noise(t, 2 * SMALL, 8);
	char *name = multipart_begin(t, "k");
	struct firn_store_part part;

	(void)multipart_put(t, "k", name, 1, data, SMALL);
	part = multipart_put(t, "k", name, 2, data + SMALL, SMALL);
	int rc = multipart_commit(t, "k", name, &part, 1, FIRN_STORE_ALWAYS, NULL, NULL);

	must(t, rc == FIRN_OK, "expected DONE, got %s", firn_code_name(rc));
	must_hold_bytes(t, "k", data + SMALL, SMALL);
}

static void replaces(struct trial *t)
{
	struct firn_store_version before = put(t, "k", "older"), after = { 0 }, seen;
	struct upload *u = begin(t, "k", 1, 9);

	must_hold(t, "k", "older");
	int rc = multipart_commit(t, "k", u->name, u->part, 1, FIRN_STORE_ALWAYS, NULL, &after);

	must(t, rc == FIRN_OK, "expected DONE, got %s", firn_code_name(rc));
	must_hold_bytes(t, "k", u->data, u->len);
	must(t,
	     stat_key(t, "k", NULL, &seen) == FIRN_OK && same_version(&after, &seen) &&
	             !same_version(&before, &seen),
	     "expected the version that the commit gave, %.*s, got %.*s", (int)after.len,
	     after.text, (int)seen.len, seen.text);
}

static void two_uploads(struct trial *t)
{
	struct upload *a = begin(t, "k", 1, 10), *b = begin(t, "k", 1, 11);

	must(t, strcmp(a->name, b->name) != 0, "expected two uploads of a key to have two names");
	must_commit(t, "k", b, 1);
	must_hold_bytes(t, "k", b->data, b->len);
	must_commit(t, "k", a, 1);
	must_hold_bytes(t, "k", a->data, a->len);
}

static void aborted(struct trial *t)
{
	struct upload *u = begin(t, "k", 2, 12);
	int rc = multipart_abort(t, "k", u->name);

	must(t, rc == FIRN_OK, "MULTIPART_ABORT: expected DONE, got %s", firn_code_name(rc));
	must_be_absent(t, "k");
}

static void abort_twice(struct trial *t)
{
	struct upload *u = begin(t, "k", 1, 13);

	(void)multipart_abort(t, "k", u->name);
	int rc = multipart_abort(t, "k", u->name);

	must(t, rc == FIRN_OK, "MULTIPART_ABORT of an upload that is gone: expected DONE, got %s",
	     firn_code_name(rc));
}

static void commit_after_abort(struct trial *t)
{
	struct upload *u = begin(t, "k", 1, 14);

	(void)multipart_abort(t, "k", u->name);
	int rc = multipart_commit(t, "k", u->name, u->part, 1, FIRN_STORE_ALWAYS, NULL, NULL);

	must(t, rc != FIRN_OK, "MULTIPART_COMMIT after an abort: expected a failure, got DONE");
	must_be_absent(t, "k");
}

static void put_after_abort(struct trial *t)
{
	struct upload *u = begin(t, "k", 1, 15);
	struct ask *a = ask_new(t, FIRN_STORE_MULTIPART_PUT, "k");
	struct iovec iov = { u->data, SMALL };

	(void)multipart_abort(t, "k", u->name);
	a->req.upload = u->name;
	a->req.part = 2;
	a->req.iov = &iov;
	a->req.n_iov = 1;
	a->req.len = SMALL;
	must(t, ask_do(t, a, false) != FIRN_OK,
	     "MULTIPART_PUT after an abort: expected a failure, got DONE");
}

static void wrong_part(struct trial *t)
{
	struct upload *u = begin(t, "k", 1, 16);
	struct firn_store_part other = u->part[0];

	other.version.text[other.version.len / 2] ^= 1;
	int rc = multipart_commit(t, "k", u->name, &other, 1, FIRN_STORE_ALWAYS, NULL, NULL);

	must(t, rc != FIRN_OK, "commit of a part of another version: expected a failure, got DONE");
	must_be_absent(t, "k");
}

static void missing_part(struct trial *t)
{
	struct upload *u = begin(t, "k", 1, 17);
	struct firn_store_part part[2] = { u->part[0], u->part[0] };

	part[1].part = 2;
	int rc = multipart_commit(t, "k", u->name, part, 2, FIRN_STORE_ALWAYS, NULL, NULL);

	must(t, rc != FIRN_OK, "commit of a part never put: expected a failure, got DONE");
	must_be_absent(t, "k");
}

static void commit_version(struct trial *t)
{
	struct upload *u = begin(t, "k", 2, 18);
	struct firn_store_version v = { 0 }, seen;
	int rc = multipart_commit(t, "k", u->name, u->part, 2, FIRN_STORE_ALWAYS, NULL, &v);

	must(t, rc == FIRN_OK, "expected DONE, got %s", firn_code_name(rc));
	must(t, stat_key(t, "k", NULL, &seen) == FIRN_OK && same_version(&v, &seen),
	     "expected the version that the commit gave, %.*s, got %.*s", (int)v.len, v.text,
	     (int)seen.len, seen.text);
}

/* ---- conditions ---- */

static void if_absent(struct trial *t)
{
	struct upload *u = begin(t, "k", 1, 20), *late = begin(t, "k", 2, 21);
	int rc = multipart_commit(t, "k", u->name, u->part, 1, FIRN_STORE_IF_ABSENT, NULL, NULL);

	must(t, rc == FIRN_OK, "commit if absent: expected DONE, got %s", firn_code_name(rc));
	rc = multipart_commit(t, "k", late->name, late->part, 2, FIRN_STORE_IF_ABSENT, NULL, NULL);
	must(t, rc == FIRN_ECONFLICT,
	     "commit if absent over a key: expected FIRN_ECONFLICT, got %s", firn_code_name(rc));
	must_hold_bytes(t, "k", u->data, u->len);
}

static void if_match(struct trial *t)
{
	struct firn_store_version v = put(t, "k", "base");
	struct upload *u = begin(t, "k", 1, 22), *late = begin(t, "k", 2, 23);
	int rc = multipart_commit(t, "k", u->name, u->part, 1, FIRN_STORE_IF_MATCH, &v, NULL);

	must(t, rc == FIRN_OK, "commit if match: expected DONE, got %s", firn_code_name(rc));
	rc = multipart_commit(t, "k", late->name, late->part, 2, FIRN_STORE_IF_MATCH, &v, NULL);
	must(t, rc == FIRN_ECONFLICT,
	     "commit if match of a replaced version: expected FIRN_ECONFLICT, got %s",
	     firn_code_name(rc));
	must_hold_bytes(t, "k", u->data, u->len);
}

static void if_match_absent(struct trial *t)
{
	struct firn_store_version v = put(t, "other", "base");
	struct upload *u = begin(t, "k", 1, 24);
	int rc = multipart_commit(t, "k", u->name, u->part, 1, FIRN_STORE_IF_MATCH, &v, NULL);

	must(t, rc == FIRN_ENOENT || rc == FIRN_ECONFLICT,
	     "commit if match of an absent key: expected FIRN_ENOENT or FIRN_ECONFLICT, got %s",
	     firn_code_name(rc));
	must_be_absent(t, "k");
}

#define MULTI FIRN_STORE_CAN_MULTIPART
#define MULTI_IF (FIRN_STORE_CAN_MULTIPART | FIRN_STORE_CAN_MULTIPART_CONDITIONS)
static const struct check checks[] = {
	{ "an object of one part", one_part, MULTI, NULL },
	{ "an object of three parts", three_parts, MULTI, NULL },
	{ "nothing is there before the commit", not_before, MULTI, NULL },
	{ "nothing is listed before the commit", not_listed_before, MULTI | FIRN_STORE_CAN_LIST,
	  NULL },
	{ "parts may be put in any order", out_of_order, MULTI, NULL },
	{ "part numbers may have gaps", gaps_in_numbers, MULTI, NULL },
	{ "a part put again replaces the older", part_again, MULTI, NULL },
	{ "a part may be left out of the commit", part_left_out, MULTI, NULL },
	{ "a commit replaces an object", replaces, MULTI, NULL },
	{ "two uploads of a key do not meet", two_uploads, MULTI, NULL },
	{ "an aborted upload leaves nothing", aborted, MULTI, NULL },
	{ "aborting twice is success", abort_twice, MULTI, NULL },
	{ "a commit after an abort fails", commit_after_abort, MULTI, NULL },
	{ "a part after an abort fails", put_after_abort, MULTI, NULL },
	{ "a part of another version is not committed", wrong_part, MULTI, NULL },
	{ "a part that was never put is not committed", missing_part, MULTI, NULL },
	{ "the commit gives the object's version", commit_version, MULTI, NULL },
	{ "a commit if absent", if_absent, MULTI_IF | FIRN_STORE_CAN_PUT_IF_ABSENT, NULL },
	{ "a commit if match", if_match, MULTI_IF | FIRN_STORE_CAN_PUT_IF_MATCH, NULL },
	{ "a commit if match never creates a key", if_match_absent,
	  MULTI_IF | FIRN_STORE_CAN_PUT_IF_MATCH, NULL },
};
GROUP(multipart, checks);
