/* GET and STAT of whole objects. */
#include "tests/conformance/trial.h"

static void absent(struct trial *t)
{
	(void)put(t, "other", "x");
	must_be_absent(t, "no");
}

static void absent_below(struct trial *t)
{
	must_be_absent(t, "no/such/key");
}

static void absent_prefix(struct trial *t)
{
	(void)put(t, "dir/key", "x");
	must_be_absent(t, "dir");
	must_be_absent(t, "di");
}

static void absent_below_object(struct trial *t)
{
	(void)put(t, "k", "x");
	must_be_absent(t, "k/below");
}

/* A GET of `room` bytes of an object of `len`. */
static struct ask *got(struct trial *t, size_t len, size_t room, uint8_t **back)
{
	struct iovec *iov = trial_alloc(t, sizeof *iov);
	struct ask *a = ask_new(t, FIRN_STORE_GET, "k");

	*back = trial_alloc(t, room + 16);
	memset(*back + room, 0x5a, 16);
	*iov = (struct iovec){ *back, room };
	(void)put_bytes(t, "k", trial_noise(t, len, 1), len);
	a->req.iov = iov;
	a->req.n_iov = 1;
	a->req.len = room;
	must_do(t, a, "GET");
	return a;
}

static void larger_buffer(struct trial *t)
{
	uint8_t *back;
	struct ask *a = got(t, 1000, 5000, &back);

	must(t, a->req.got == 1000 && a->req.size == 1000,
	     "expected got 1000 and size 1000, got %llu and %llu", (unsigned long long)a->req.got,
	     (unsigned long long)a->req.size);
	must(t, !memcmp(back, trial_noise(t, 1000, 1), 1000), "expected the object's bytes");
}

static void smaller_buffer(struct trial *t)
{
	uint8_t *back;
	struct ask *a = got(t, 1000, 10, &back);

	must(t, a->req.got == 10 && a->req.size == 1000,
	     "expected got 10 and size 1000, got %llu and %llu", (unsigned long long)a->req.got,
	     (unsigned long long)a->req.size);
	for (int i = 0; i < 16; i++)
		must(t, back[10 + i] == 0x5a, "expected nothing written behind the buffer");
}

static void scattered(struct trial *t)
{
	enum { N = 1100, EACH = 31 };
	uint8_t *data = trial_noise(t, N * EACH, 5), *back = trial_alloc(t, N * EACH);
	struct iovec *iov = trial_alloc(t, N * sizeof *iov);
	struct ask *a = ask_new(t, FIRN_STORE_GET, "k");

	(void)put_bytes(t, "k", data, N * EACH);
	for (int i = 0; i < N; i++)
		iov[i] = (struct iovec){ back + i * EACH, EACH };
	a->req.iov = iov;
	a->req.n_iov = N;
	a->req.len = N * EACH;
	must_do(t, a, "GET");
	must(t, a->req.got == N * EACH && !memcmp(back, data, N * EACH),
	     "expected the bytes scattered over the pieces in order");
}

static void version_of_get(struct trial *t)
{
	struct firn_store_version v = put(t, "k", "bytes");
	struct ask *a = ask_new(t, FIRN_STORE_GET, "k");
	char back[8];
	struct iovec iov = { back, sizeof back };

	a->req.iov = &iov;
	a->req.n_iov = 1;
	a->req.len = sizeof back;
	a->req.flags = FIRN_STORE_WANT_VERSION;
	must_do(t, a, "GET");
	must(t, same_version(&v, &a->req.version),
	     "expected the version that PUT gave, %.*s, got %.*s", (int)v.len, v.text,
	     (int)a->req.version.len, a->req.version.text);
}

static void version_of_part(struct trial *t)
{
	struct firn_store_version v = put(t, "k", "0123456789");
	struct ask *a = ask_new(t, FIRN_STORE_GET, "k");
	char back[3];
	struct iovec iov = { back, sizeof back };

	a->req.iov = &iov;
	a->req.n_iov = 1;
	a->req.len = sizeof back;
	a->req.flags = FIRN_STORE_WANT_VERSION;
	must_do(t, a, "GET");
	must(t, same_version(&v, &a->req.version),
	     "expected the version of the whole object, %.*s, got %.*s", (int)v.len, v.text,
	     (int)a->req.version.len, a->req.version.text);
}

static void twice_the_same(struct trial *t)
{
	(void)put(t, "k", "steady");
	for (int i = 0; i < 20; i++)
		must_hold(t, "k", "steady");
}

static const struct check get_checks[] = {
	{ "an absent key is FIRN_ENOENT", absent, 0, NULL },
	{ "an absent key with slashes is FIRN_ENOENT", absent_below, 0, NULL },
	{ "the beginning of a key is no key", absent_prefix, 0, NULL },
	{ "what would lie below an object is absent", absent_below_object, 0, NULL },
	{ "a buffer may be larger than the object", larger_buffer, 0, NULL },
	{ "a buffer may be smaller than the object", smaller_buffer, 0, NULL },
	{ "bytes are scattered over an iovec", scattered, 0, NULL },
	{ "the version is the one that PUT gave", version_of_get, 0, NULL },
	{ "a part has the version of the whole", version_of_part, 0, NULL },
	{ "reading changes nothing", twice_the_same, 0, NULL },
};
GROUP(get, get_checks);

/* ---- STAT ---- */

static void size_and_version(struct trial *t)
{
	struct firn_store_version v = put(t, "k", "12345"), seen;
	uint64_t size = 0;

	must(t, stat_key(t, "k", &size, &seen) == FIRN_OK, "STAT: expected DONE");
	must(t, size == 5, "expected size 5, got %llu", (unsigned long long)size);
	must(t, same_version(&v, &seen), "expected the version that PUT gave, %.*s, got %.*s",
	     (int)v.len, v.text, (int)seen.len, seen.text);
}

static void follows_a_replacement(struct trial *t)
{
	struct firn_store_version v1 = put(t, "k", "1"), v2, seen;
	uint64_t size = 0;

	v2 = put(t, "k", "22");
	must(t, stat_key(t, "k", &size, &seen) == FIRN_OK && size == 2,
	     "expected the size of the newer object, 2, got %llu", (unsigned long long)size);
	must(t, same_version(&v2, &seen) && !same_version(&v1, &seen),
	     "expected the newer version %.*s, got %.*s", (int)v2.len, v2.text, (int)seen.len,
	     seen.text);
}

static void stat_absent(struct trial *t)
{
	int rc = stat_key(t, "no", NULL, NULL);

	must(t, rc == FIRN_ENOENT, "STAT of an absent key: expected FIRN_ENOENT, got %s",
	     firn_code_name(rc));
}

static void stat_after_delete(struct trial *t)
{
	(void)put(t, "k", "x");
	delete_key(t, "k");
	stat_absent(t);
	int rc = stat_key(t, "k", NULL, NULL);

	must(t, rc == FIRN_ENOENT, "STAT of a deleted key: expected FIRN_ENOENT, got %s",
	     firn_code_name(rc));
}

static void time_is_plausible(struct trial *t)
{
	struct ask *a = ask_new(t, FIRN_STORE_STAT, "k");

	(void)put(t, "k", "x");
	must_do(t, a, "STAT");
	must(t, a->req.mtime_ms == 0 || a->req.mtime_ms > INT64_C(1577836800000),
	     "expected a time in Unix milliseconds or 0, got %lld", (long long)a->req.mtime_ms);
}

static const struct check stat_checks[] = {
	{ "size and version are those of the PUT", size_and_version, 0, NULL },
	{ "a replacement is seen at once", follows_a_replacement, 0, NULL },
	{ "an absent key is FIRN_ENOENT", stat_absent, 0, NULL },
	{ "a deleted key is FIRN_ENOENT", stat_after_delete, 0, NULL },
	{ "the time is in milliseconds, or 0", time_is_plausible, 0, NULL },
};
GROUP(stat, stat_checks);
