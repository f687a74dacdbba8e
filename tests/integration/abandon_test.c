/* takeover=abandon through the public API, with the engine's own threads: what is asked for, what is told, what readers
 * get where the offsets were given up. (P3, P4) */
#include "engine/os/env.h"
#include "tests/integration/site.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

TestSuite(abandon, .timeout = 120);

#define SKIP (UINT64_C(1) << 36)

static struct site site;
static struct host a, b;
static struct firn_env fast;

/* The two minutes take one second; six where requests take their time: the deadlines run as fast. */
static uint64_t speed;

static uint64_t hurried(void *ctx)
{
	struct timespec t;
	(void)ctx;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return ((uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec) * speed;
}

static void setup(void)
{
	site_make(&site);
	speed = site.on_files ? 100 : 20;
	site_uri_add(&site, "deadline_ms=3600000");
	host_init(&a, &site, "a");
	host_init(&b, &site, "b");
	fast = *env_default();
	fast.mono_ns = hurried;
	b.opts.env = &fast;
}

static void teardown(void)
{
	site_remove(&site);
}

static int abandon(uint32_t flags, uint32_t timeout_ms, struct firn_lost *lost,
                   struct firn_error *err)
{
	struct firn_attach r = FIRN_ATTACH_INIT;
	struct firn_event ev = { 0 };
	r.store = site.uri;
	r.name = "v";
	r.takeover = "abandon";
	r.attach_flags = flags;
	r.req.timeout_ms = timeout_ms;
	int rc = firn_engine_call(b.engine, &r.req, &ev, err);
	const struct firn_attached *got = rc && rc != FIRN_ELOST ? NULL : ev.result;
	*lost = (struct firn_lost){ 0 };
	if (got && got->n_lost == 1)
		*lost = got->lost[0];
	if (!rc)
		b.volume = got->volume;
	firn_release(ev.result);
	return rc;
}

/* The part that a read at this offset gives; its code. */
static int read_at(uint64_t s, uint64_t at, struct firn_part *out)
{
	struct firn_reader *r;
	struct firn_reader_opts o = { .struct_size = sizeof o };
	struct firn_item item = { .volume = b.volume, .stream = s, .offset = at };
	struct firn_fetch f = FIRN_FETCH_INIT;
	struct firn_event ev = { 0 };
	cr_assert_eq(firn_reader_open(b.engine, &o, &r, NULL), 0);
	cr_assert_eq(firn_reader_set(r, &item, sizeof item, 1), 0);
	f.reader = r;
	f.req.timeout_ms = FIRN_FOREVER; /* by a clock that hurries it has less than a second */
	cr_assert_eq(firn_engine_call(b.engine, &f.req, &ev, NULL), 0);
	const struct firn_fetched *got = ev.result;
	cr_assert_eq(got->n_part, 1);
	*out = got->part[0];
	firn_release(got);
	firn_reader_close(r);
	return out->code;
}

Test(abandon, what_was_not_stored_is_given_up_and_said_so, .init = setup, .fini = teardown)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_lost lost;
	struct firn_part part;
	struct firn_volume *v;
	host_start(&a);
	uint64_t s = new_stream(&a, "s");
	say(&a, s, "1");
	say(&a, s, "2");
	store_all(&a);
	say(&a, s, "3");
	host_stop(&a, FIRN_DETACH_ABORT);

	host_open(&b);
	cr_assert_eq(abandon(0, 0, &lost, &err), FIRN_EINVAL);
	cr_expect(strstr(err.text, "two minutes"), "%s", err.text);
	cr_assert_eq(abandon(FIRN_ATTACH_CHECK, 0, &lost, &err), 0, "%s", err.text);
	cr_expect(lost.rev_stored == 3 && lost.rev_skip == 3 + SKIP && !b.volume);
	cr_assert_eq(host_try_attach(&b, "v", 0, NULL, &v, &err), FIRN_ELOST,
	             "a check changed nothing");
	cr_assert_eq(abandon(0, FIRN_FOREVER, &lost, &err), 0, "%s", err.text);
	cr_expect(lost.rev_stored == 3 && lost.rev_skip == 3 + SKIP);

	cr_expect_eq(say(&b, s, "4"), 2 + SKIP);
	cr_expect_eq(read_at(s, 0, &part), 0);
	cr_assert_eq(read_at(s, 2, &part), FIRN_ELOST);
	cr_expect(part.gap == FIRN_GAP_LOST && part.gap_from == 2 && part.gap_to == 2 + SKIP);
	cr_expect(part.n_batch == 0 && part.next_offset == 2, "the position has not moved");
	cr_assert_eq(read_at(s, part.gap_to, &part), 0);
	cr_expect_eq(part.n_batch, 1);
	store_all(&b);
	cr_assert_eq(read_at(s, 2 + SKIP / 2, &part), FIRN_ELOST);
	cr_expect(part.gap_from == 2 && part.gap_to == 2 + SKIP);
	host_stop(&b, FIRN_DETACH_DRAIN);

	host_start(&a);
	cr_expect_eq(say(&a, s, "5"), 3 + SKIP, "clean, so anybody's");
	host_stop(&a, FIRN_DETACH_DRAIN);
}

Test(abandon, is_not_needed_where_the_wal_is_at_hand, .init = setup, .fini = teardown)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_lost lost;
	host_start(&b);
	uint64_t s = new_stream(&b, "s");
	say(&b, s, "1");
	host_stop(&b, FIRN_DETACH_ABORT);
	host_open(&b);
	cr_assert_eq(abandon(0, FIRN_FOREVER, &lost, &err), 0, "%s", err.text);
	cr_expect_eq(lost.rev_skip, 0, "nothing is given up");
	cr_expect_eq(say(&b, s, "2"), 1);
	host_stop(&b, FIRN_DETACH_DRAIN);
}
