/* Engines on a store that is hard to reach (fault:): what was acked is there and in order, whatever the
 * seed; and a store that flips bits is never believed (P6, P8). */
#include "tests/integration/site.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(hard_store, .timeout = 240);

enum { N_STREAMS = 3, N_RECORDS = 24 };

/* The same store with a script in front. */
static struct site behind(const struct site *s, const char *script)
{
	struct site out = *s;

	(void)snprintf(out.uri, sizeof out.uri, "fault:%s:%.1900s", script, s->uri);
	return out;
}

static void say_all(struct host *h, const uint64_t *stream, char expect[N_STREAMS][256])
{
	for (int n = 0; n < N_RECORDS; n++) {
		char text[16];

		(void)snprintf(text, sizeof text, "%d.", n);
		for (int s = 0; s < N_STREAMS; s++) {
			say(h, stream[s], text);
			(void)strcat(expect[s], text);
		}
		if (n % 6 == 5)
			store_all(h);
	}
}

static void has_all(struct host *h, const uint64_t *stream, char expect[N_STREAMS][256])
{
	for (int s = 0; s < N_STREAMS; s++) {
		char *got = NULL;

		cr_expect_eq(read_stream(h, stream[s], 0, &got), 0);
		cr_expect_str_eq(got, expect[s]);
		free(got);
	}
}

/* Written by one, drained, read cold and written on by another, all through the faults. */
static void survives(const char *faults, int seed)
{
	struct site site, hard;
	struct host a, b;
	char script[64], expect[N_STREAMS][256] = { "" };
	uint64_t stream[N_STREAMS];

	site_make(&site);
	(void)snprintf(script, sizeof script, "seed=%d,%s", seed, faults);
	hard = behind(&site, script);
	host_init(&a, &hard, "a");
	host_init(&b, &hard, "b");
	host_start(&a);
	for (int s = 0; s < N_STREAMS; s++)
		stream[s] = new_stream(&a, (const char *[]){ "x", "y", "z" }[s]);
	say_all(&a, stream, expect);
	host_stop(&a, FIRN_DETACH_DRAIN);
	host_start(&b);
	has_all(&b, stream, expect);
	say_all(&b, stream, expect);
	has_all(&b, stream, expect);
	host_stop(&b, FIRN_DETACH_DRAIN);
	site_remove(&site);
}

Test(hard_store, lost_and_dropped_answers_cost_time_only)
{
	for (int seed = 1; seed <= 6; seed++)
		survives("lost=4,dropped=4,jitter_ms=3", seed);
}

Test(hard_store, throttling_resets_and_cut_bodies_cost_time_only)
{
	for (int seed = 1; seed <= 6; seed++)
		survives("throttle=8,reset=8,truncate=8", seed);
}

static void prefix_of(const char *got, const char *whole)
{
	cr_expect(!strncmp(got, whole, strlen(got)), "%s is not what was written, %s", got, whole);
}

/* Read-only, so that what it concludes from flipped bits changes nothing. */
static int read_flipped(const struct site *site, int seed, const uint64_t *stream,
                        char expect[N_STREAMS][256])
{
	struct firn_error err = FIRN_ERROR_INIT;
	char script[64], name[16];
	int n_refused = 0;
	struct site hard;
	struct host h;

	(void)snprintf(script, sizeof script, "seed=%d,flip=25", seed);
	(void)snprintf(name, sizeof name, "reader%d", seed);
	hard = behind(site, script);
	host_init(&h, &hard, name);
	host_open(&h);
	if (host_try_attach(&h, "v", FIRN_ATTACH_READ_ONLY, NULL, &h.volume, &err)) {
		cr_expect(err.code == FIRN_ECORRUPT || err.code == FIRN_EUNSUPPORTED, "%s: %s",
		          firn_code_name(err.code), err.text);
		n_refused = 1;
	} else {
		for (int s = 0; s < N_STREAMS; s++) {
			char *got = NULL;
			int rc = read_stream(&h, stream[s], 0, &got);

			cr_expect(rc == 0 || rc == FIRN_ECORRUPT, "%s", firn_code_name(rc));
			prefix_of(got, expect[s]);
			n_refused += rc != 0;
			free(got);
		}
		(void)host_detach(&h, h.volume, FIRN_DETACH_DRAIN, &err);
	}
	host_close(&h);
	return n_refused;
}

Test(hard_store, a_flipped_bit_from_the_store_is_never_served)
{
	struct site site;
	struct host a;
	char expect[N_STREAMS][256] = { "" };
	uint64_t stream[N_STREAMS];
	int n_refused = 0;

	site_make(&site);
	host_init(&a, &site, "a");
	host_start(&a);
	for (int s = 0; s < N_STREAMS; s++)
		stream[s] = new_stream(&a, (const char *[]){ "x", "y", "z" }[s]);
	say_all(&a, stream, expect);
	host_stop(&a, FIRN_DETACH_DRAIN);
	for (int seed = 1; seed <= 12; seed++)
		n_refused += read_flipped(&site, seed, stream, expect);
	cr_expect_gt(n_refused, 0, "some bits were flipped on the way");
	host_start(&a);
	has_all(&a, stream, expect);
	host_stop(&a, FIRN_DETACH_DRAIN);
	site_remove(&site);
}
