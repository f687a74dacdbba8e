/* GET of ranges. */
#include "tests/conformance/trial.h"

/* t->arg: "pos len expected" of an object 0123456789. */
static void one_range(struct trial *t)
{
	unsigned long long pos = 0;
	unsigned len = 0;
	char expected[16] = "", back[128] = "";
	size_t got = 0;

	(void)sscanf(t->arg, "%llu %u %15s", &pos, &len, expected);
	(void)put(t, "k", "0123456789");
	int rc = get(t, "k", pos, back, len, &got);

	must(t, rc == FIRN_OK, "expected DONE, got %s", firn_code_name(rc));
	must(t, got == strlen(expected) && !memcmp(back, expected, got),
	     "%u bytes from %llu on of 0123456789: expected `%s`, got %zu bytes `%.*s`", len, pos,
	     expected, got, (int)got, back);
}

static void size_is_of_the_whole(struct trial *t)
{
	struct ask *a = ask_new(t, FIRN_STORE_GET, "k");
	char back[4];
	struct iovec iov = { back, sizeof back };

	(void)put(t, "k", "0123456789");
	a->req.iov = &iov;
	a->req.n_iov = 1;
	a->req.len = sizeof back;
	a->req.pos = 5;
	must_do(t, a, "LIST");
	must(t, a->req.size == 10, "expected the size of the whole object, 10, got %llu",
	     (unsigned long long)a->req.size);
}

static void of_an_absent_key(struct trial *t)
{
	char back[4];
	size_t got = 0;
	int rc = get(t, "no", 5, back, sizeof back, &got);

	must(t, rc == FIRN_ENOENT, "expected FIRN_ENOENT, got %s", firn_code_name(rc));
}

static void random_ranges(struct trial *t)
{
	enum { LEN = 300000 };
	uint8_t *data = trial_noise(t, LEN, 7), *back = trial_alloc(t, 5000);
	uint64_t x = 7;

	(void)put_bytes(t, "r", data, LEN);
	for (int i = 0; i < 200; i++) {
		uint64_t pos = trial_chance(&x) % (LEN + 100);
		size_t len = 1 + trial_chance(&x) % 5000, got = 0;
		size_t expect = pos >= LEN ? 0 : len < LEN - pos ? len : (size_t)(LEN - pos);

		must(t, get(t, "r", pos, back, len, &got) == FIRN_OK && got == expect,
		     "%zu bytes from %llu on of %d: expected %zu bytes, got %zu", len,
		     (unsigned long long)pos, LEN, expect, got);
		must(t, !memcmp(back, data + (got ? pos : 0), got),
		     "%zu bytes from %llu on: expected the object's, got others", len,
		     (unsigned long long)pos);
	}
}

static void neighbours_make_the_whole(struct trial *t)
{
	enum { LEN = 100000, STEP = 4096 };
	uint8_t *data = trial_noise(t, LEN, 9), *back = trial_alloc(t, LEN + STEP);
	size_t at = 0, got = 1;

	(void)put_bytes(t, "k", data, LEN);
	for (; got; at += got)
		must(t, get(t, "k", at, back + at, STEP, &got) == FIRN_OK, "expected DONE");
	must(t, at == LEN && !memcmp(back, data, LEN),
	     "expected the ranges to join to %d bytes, got %zu or others", LEN, at);
}

/* While one thread replaces an object whose every byte is its version's, a range must be of one. */
struct tearing {
	int done;
};

enum { TEAR_LEN = 200000, TEAR_ROUNDS = 30 };

static void tear(struct trial *t, unsigned i, void *arg)
{
	struct tearing *s = arg;
	uint8_t *room = trial_alloc(t, TEAR_LEN);

	if (i == 0) {
		for (int n = 0; n < TEAR_ROUNDS; n++) {
			memset(room, 'a' + n % 26, TEAR_LEN);
			(void)put_bytes(t, "k", room, TEAR_LEN);
		}
		__atomic_store_n(&s->done, 1, __ATOMIC_RELEASE);
		return;
	}
	while (!__atomic_load_n(&s->done, __ATOMIC_ACQUIRE)) {
		size_t got = 0;

		must(t,
		     get(t, "k", 1000, room, TEAR_LEN - 2000, &got) == FIRN_OK &&
		             got == TEAR_LEN - 2000,
		     "expected %d bytes while the object is replaced, got %zu", TEAR_LEN - 2000,
		     got);
		for (size_t b = 1; b < got; b++)
			must(t, room[b] == room[0], "expected bytes of one version, got two");
	}
}

static void of_one_version(struct trial *t)
{
	struct tearing s = { 0 };
	uint8_t *room = trial_alloc(t, TEAR_LEN);

	memset(room, 'z', TEAR_LEN);
	(void)put_bytes(t, "k", room, TEAR_LEN);
	crew(t, 4, tear, &s);
}

#define AT_ANY FIRN_STORE_CAN_RANGE
static const struct check checks[] = {
	{ "the whole", one_range, 0, "0 10 0123456789" },
	{ "more than the whole", one_range, 0, "0 99 0123456789" },
	{ "the first byte", one_range, 0, "0 1 0" },
	{ "a piece of the middle", one_range, AT_ANY, "3 4 3456" },
	{ "the last byte", one_range, AT_ANY, "9 1 9" },
	{ "cut at the end", one_range, AT_ANY, "7 9 789" },
	{ "at the end there is nothing", one_range, AT_ANY, "10 5" },
	{ "beyond the end there is nothing", one_range, AT_ANY, "11 5" },
	{ "far beyond the end there is nothing", one_range, AT_ANY, "1099511627776 5" },
	{ "the size is that of the whole object", size_is_of_the_whole, AT_ANY, NULL },
	{ "an absent key is FIRN_ENOENT", of_an_absent_key, AT_ANY, NULL },
	{ "200 random ranges agree with the bytes", random_ranges, AT_ANY, NULL },
	{ "neighbouring ranges make the whole", neighbours_make_the_whole, AT_ANY, NULL },
	{ "a range is of one version while the object is replaced", of_one_version, AT_ANY, NULL },
};
GROUP(range, checks);
