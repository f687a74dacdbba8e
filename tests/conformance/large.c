/* Large objects, and many of them. */
#include "tests/conformance/trial.h"

/* So many bytes, or what one PUT takes. */
static size_t allowed(const struct trial *t, size_t len)
{
	uint64_t most = t->host->info.max_put_bytes;

	return most && most < len ? (size_t)most : len;
}

static void back_and_forth(struct trial *t, size_t len)
{
	uint8_t *data = trial_noise(t, len, len), *back = trial_alloc(t, len);
	size_t got = 0;

	(void)put_bytes(t, "big", data, len);
	int rc = get(t, "big", 0, back, len, &got);

	must(t, rc == FIRN_OK && got == len, "expected %zu bytes, got %s and %zu", len,
	     firn_code_name(rc), got);
	must(t, !memcmp(data, back, len), "expected the bytes that were put");
}

static void one_mib(struct trial *t)
{
	back_and_forth(t, allowed(t, 1 << 20));
}

static void eight_mib(struct trial *t)
{
	back_and_forth(t, allowed(t, 8 << 20));
}

static void sixty_four_mib(struct trial *t)
{
	back_and_forth(t, allowed(t, 64 << 20));
}

static void odd_lengths(struct trial *t)
{
	static const size_t lens[] = { 4095,  4096,   4097,          65535,
		                       65537, 131071, (1 << 20) - 1, (1 << 20) + 1 };

	for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++)
		back_and_forth(t, allowed(t, lens[i]));
}

static void its_end(struct trial *t)
{
	size_t len = allowed(t, 16 << 20), got = 0;
	uint8_t *data = trial_noise(t, len, 3), back[1000];

	(void)put_bytes(t, "big", data, len);
	must(t,
	     get(t, "big", len - 700, back, sizeof back, &got) == FIRN_OK && got == 700 &&
	             !memcmp(back, data + len - 700, 700),
	     "expected the last 700 of %zu bytes, got %zu or others", len, got);
}

static void large_share(struct trial *t, unsigned i, void *arg)
{
	char key[16];
	size_t len = allowed(t, (2 << 20) + i), got = 0;
	uint8_t *data = trial_noise(t, len, i), *back = trial_alloc(t, len);

	(void)arg;
	(void)snprintf(key, sizeof key, "big%u", i);
	(void)put_bytes(t, key, data, len);
	must(t,
	     get(t, key, 0, back, len, &got) == FIRN_OK && got == len && !memcmp(data, back, len),
	     "expected the %zu bytes of object %u, got %zu or others", len, i, got);
}

static void eight_at_once(struct trial *t)
{
	crew(t, 8, large_share, NULL);
}

static const struct check checks[] = {
	{ "1 MiB comes back", one_mib, 0, NULL },
	{ "8 MiB come back", eight_mib, 0, NULL },
	{ "64 MiB come back, or the largest PUT", sixty_four_mib, 0, NULL },
	{ "lengths beside powers of two", odd_lengths, 0, NULL },
	{ "the end of 16 MiB is read alone", its_end, FIRN_STORE_CAN_RANGE, NULL },
	{ "eight of 2 MiB at once", eight_at_once, 0, NULL },
};
GROUP(large, checks);
