/* Streams that say little do not cost a block for each time they said something: a few hundred rounds later each has a handful
 * of blocks, a replay asks the store a handful of times, and all reads as before: here, without an index, with one that saw
 * the volume before, and for who follows. A crash behind any request of it loses nothing and leaves nothing. (P1, P3, P5, P9,
 * P10; PROTOCOL 10, 19, 22) */
#include "engine/api/engine.h"
#include "engine/index/rows.h"
#include "engine/index/tx.h"
#include "engine/upload/layered.h"
#include "tests/integration/faulty.h"
#include "tests/integration/turned.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR };
enum { GRACE = 10 * MINUTE, DEADLINE = 2 * HOUR, ROOMS = 5, LOUD = 300 << 10 };

/* Four rounds become a layer, and what was in them is gathered. */
static const char *const few[] = { "upload_interval_ms=60000", "layer_segments=4",
	                           "delete_grace_ms=600000", "delete_deadline_ms=7200000", NULL };
/* None are. */
static const char *const many[] = { "upload_interval_ms=60000", "layer_segments=256",
	                            "delete_grace_ms=600000", "delete_deadline_ms=7200000", NULL };

TestSuite(compact, .timeout = 240, .init = site_in_memory);

static void start(struct host *h, const struct site *s, const char *name,
                  const char *const *options)
{
	turned_open(h, s, name, options);
	host_attach(h, "v");
}

/* ---- what was said, and is to be read ---- */

struct rooms {
	uint64_t room[ROOMS], loud;
	int rounds;
};

static struct rooms rooms(struct host *h)
{
	struct rooms r = { .loud = new_stream(h, "loud") };
	for (int i = 0; i < ROOMS; i++) {
		char name[20];
		(void)snprintf(name, sizeof name, "room-%d", i);
		r.room[i] = new_stream(h, name);
	}
	return r;
}

static void line(char text[40], int room, int round)
{
	(void)snprintf(text, 40, "<%d: what was said in round %d>", room, round);
}

/* A round is one segment; with what the loud one says, two. */
static void talk(struct host *h, struct rooms *r, int n, bool loud)
{
	char text[40], *big = malloc(LOUD + 1);
	for (int end = r->rounds + n; r->rounds < end; r->rounds++) {
		for (int i = 0; i < ROOMS; i++) {
			line(text, i, r->rounds);
			(void)say(h, r->room[i], text);
		}
		memset(big, 'a' + r->rounds % 26, LOUD);
		big[LOUD] = 0;
		if (loud)
			(void)say(h, r->loud, big);
		store_all(h);
		turned_by(MINUTE);
		turned_rest(h);
	}
	free(big);
}

static void expect_said(struct host *h, const struct rooms *r, int from, const char *when)
{
	for (int i = 0; i < ROOMS; i++) {
		char *want = calloc(1, (size_t)r->rounds * 40 + 1), *got = NULL, text[40];
		for (int round = from; round < r->rounds; round++) {
			line(text, i, round);
			strcat(want, text);
		}
		cr_expect_eq(read_stream(h, r->room[i], (uint64_t)from, &got), 0, "%s", when);
		cr_expect_str_eq(got, want, "%s, room %d", when, i);
		free(got);
		free(want);
	}
}

/* ---- extents ---- */

struct extents {
	int n;
	uint64_t next;
	int64_t span_ms;
	uint64_t bytes;
};

static int count_extent(void *arg, const struct index_extent *x)
{
	struct extents *e = arg;
	int64_t span = x->block.max_append_ms - x->block.min_append_ms;
	e->span_ms = span > e->span_ms ? span : e->span_ms;
	e->bytes += x->block.payload_bytes;
	cr_expect_leq(e->next, x->block.base, "they overlap");
	e->next = x->block.next;
	e->n++;
	return 0;
}

static struct volume *volume_of(struct host *h)
{
	return ((struct engine *)h->engine)->volume[0];
}

static struct extents extents(struct host *h, uint64_t stream)
{
	struct extents e = { 0 };
	cr_assert_eq(index_extents(((struct engine *)h->engine)->index, volume_of(h)->index_no,
	                           stream, 0, count_extent, &e, NULL),
	             0);
	return e;
}

static void later(struct host *h, int64_t ms)
{
	turned_by(ms);
	for (int i = 0; i < 4; i++)
		turned_settle(h);
}

static uint64_t gathered(struct host *h)
{
	return metric_of(h->engine, "firn_compacted_blocks", "");
}

/* ---- the truths ---- */

/* 240 rounds; with four groups at a time there are at most three of a size, five sizes: 4, 16, 64 ... rounds. */
Test(compact, a_slow_stream_has_few_blocks_and_is_read_with_few_requests)
{
	struct site s;
	struct host h;
	site_make(&s);
	start(&h, &s, "a", few);
	struct rooms r = rooms(&h);
	talk(&h, &r, 240, false);
	later(&h, GRACE + MINUTE);
	for (int i = 0; i < ROOMS; i++) {
		struct extents e = extents(&h, r.room[i]);
		cr_expect_leq(e.n, 20, "room %d: %d blocks", i, e.n);
		cr_expect_eq(e.next, 240);
	}
	uint64_t put = metric_of(h.engine, "firn_segment_bytes", ""),
	         again = metric_of(h.engine, "firn_rewritten_bytes", "");
	cr_expect_lt(again, put / 2, "%llu of %llu bytes", (unsigned long long)again,
	             (unsigned long long)put);
	char *was = volume_text(&h, h.volume);
	expect_said(&h, &r, 0, "at its writer");
	host_stop(&h, FIRN_DETACH_DRAIN);
	expect_sound(&s, "behind it");
	start(&h, &s, "a", few);
	char *text = NULL;
	uint64_t asked = metric_of(h.engine, "firn_store_requests", "");
	cr_expect_eq(read_stream(&h, r.room[0], 0, &text), 0);
	asked = metric_of(h.engine, "firn_store_requests", "") - asked;
	cr_expect_leq(asked, 30, "%llu requests", (unsigned long long)asked);
	free(text);
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_run(&s, "rm -r a/index");
	start(&h, &s, "a", few);
	char *now = volume_text(&h, h.volume);
	expect_text(was, now, "without an index");
	expect_said(&h, &r, 0, "without an index");
	cr_expect_leq(extents(&h, r.room[0]).n, 20);
	free(was);
	free(now);
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_remove(&s);
}

/* Its segments are of large blocks: they stay where they are, while its neighbours' are gathered. */
Test(compact, what_a_fast_stream_says_is_written_once)
{
	struct site s;
	struct host h;
	site_make(&s);
	start(&h, &s, "a", few);
	struct rooms r = rooms(&h);
	talk(&h, &r, 24, true);
	cr_expect_leq(extents(&h, r.room[0]).n, 9);
	cr_expect_eq(extents(&h, r.loud).n, 24);
	uint64_t again = metric_of(h.engine, "firn_rewritten_bytes", "");
	cr_expect_gt(again, 0);
	cr_expect_lt(again, LOUD, "%llu", (unsigned long long)again);
	expect_said(&h, &r, 0, "beside it");
	host_stop(&h, FIRN_DETACH_DRAIN);
	expect_sound(&s, "behind it");
	site_remove(&s);
}

/* Retention takes whole blocks: so none grows to last longer than a sixteenth of it. */
Test(compact, a_block_lasts_no_longer_than_a_part_of_its_streams_retention)
{
	struct site s;
	struct host h;
	site_make(&s);
	start(&h, &s, "a", few);
	struct rooms r = rooms(&h);
	struct firn_stream_config c = { .struct_size = sizeof c,
		                        .retention_ms = (uint64_t)3 * HOUR };
	struct firn_op op = { .kind = FIRN_OP_CONFIG, .stream = r.room[1] };
	op.u.stream.config = &c;
	wrote(&h, &op, 1, NULL);
	talk(&h, &r, 64, false);
	cr_expect_gt(extents(&h, r.room[0]).span_ms, 15 * MINUTE);
	cr_expect_leq(extents(&h, r.room[1]).span_ms, 3 * HOUR / 16);
	cr_expect_leq(extents(&h, r.room[1]).n, 24);
	later(&h, 3 * HOUR + 3 * HOUR / 16);
	cr_expect_eq(mark_of(&h, r.room[1], FIRN_MARK_START), 64, "all of it was of age");
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_remove(&s);
}

/* Offsets that were skipped are not put into the middle of a block. */
Test(compact, blocks_with_missing_offsets_between_them_stay_apart)
{
	struct site s;
	struct host h;
	site_make(&s);
	start(&h, &s, "a", few);
	struct rooms r = rooms(&h);
	uint64_t hole = new_stream(&h, "hole");
	for (uint64_t i = 0; i < 4; i++) {
		struct iovec iov = io_of("said");
		struct firn_op op = op_append(hole, &iov);
		op.flags |= FIRN_APPEND_AT;
		op.u.append.expect = i / 2 * 100 + i;
		wrote(&h, &op, 1, NULL);
		talk(&h, &r, 1, false);
	}
	cr_expect_gt(gathered(&h), 0);
	cr_expect_eq(extents(&h, r.room[0]).n, 1);
	cr_expect_eq(extents(&h, hole).n, 2);
	char *was = volume_text(&h, h.volume);
	host_stop(&h, FIRN_DETACH_DRAIN);
	start(&h, &s, "a", few);
	char *now = volume_text(&h, h.volume);
	expect_text(was, now, "from the store");
	free(was);
	free(now);
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_remove(&s);
}

/* Who saw the volume before has extents in segments that are no more. */
Test(compact, an_index_from_before_is_filled_anew_and_who_follows_reads_on)
{
	struct site s;
	struct host a, b, c;
	struct firn_error err = FIRN_ERROR_INIT;
	site_make(&s);
	start(&a, &s, "a", many);
	struct rooms r = rooms(&a);
	talk(&a, &r, 8, false);
	host_stop(&a, FIRN_DETACH_DRAIN);
	start(&b, &s, "b", many);
	host_stop(&b, FIRN_DETACH_DRAIN);
	start(&a, &s, "a", few);
	turned_open(&c, &s, "c", few);
	cr_assert_eq(host_try_attach(&c, "v", FIRN_ATTACH_READ_ONLY, NULL, &c.volume, &err), 0,
	             "%s", err.text);
	for (int i = 0; i < 8; i++) {
		talk(&a, &r, 1, false);
		turned_settle(&c);
		expect_said(&c, &r, 0, "who follows");
	}
	for (int t = 0; t < 2 * GRACE; t += GRACE / 5) {
		turned_by(GRACE / 5);
		turned_settle(&a);
		turned_settle(&c);
	}
	cr_expect_gt(gathered(&a), 0);
	expect_said(&c, &r, 0, "when its objects are gone");
	host_stop(&c, FIRN_DETACH_DRAIN);
	host_stop(&a, FIRN_DETACH_DRAIN);
	start(&b, &s, "b", many);
	expect_said(&b, &r, 0, "who saw it before");
	host_stop(&b, FIRN_DETACH_DRAIN);
	expect_sound(&s, "in the end");
	site_remove(&s);
}

/* ---- what comes in between ---- */

static void until_copied(struct host *h)
{
	struct volume *v = volume_of(h);
	for (int i = 0; !v->layered || !v->layered->rewritten; i++) {
		cr_assert_lt(i, 10000, "nothing is gathered");
		(void)firn_engine_step(h->engine, 0);
		turned_by(100);
	}
}

/* A site with eight rounds, of which nothing is gathered yet, and a host that is about to. */
static struct rooms world(struct site *s, struct host *h)
{
	site_make(s);
	start(h, s, "a", many);
	struct rooms r = rooms(h);
	talk(h, &r, 8, false);
	host_stop(h, FIRN_DETACH_DRAIN);
	start(h, s, "a", few);
	return r;
}

/* Into the middle of what has just become one block; another room is deleted. */
Test(compact, what_is_trimmed_behind_the_copy_is_gone)
{
	struct site s;
	struct host h;
	struct rooms r = world(&s, &h);
	until_copied(&h);
	struct firn_op ops[] = { op_trim(r.room[0], 5), op_delete(r.room[1]) };
	wrote(&h, ops, 2, NULL);
	store_all(&h);
	turned_rest(&h);
	cr_expect_eq(extents(&h, r.room[0]).n, 1);
	cr_expect_eq(extents(&h, r.room[1]).n, 0);
	char *was = volume_text(&h, h.volume), *text = NULL;
	cr_expect_eq(read_stream(&h, r.room[0], 5, &text), 0);
	cr_expect_not_null(strstr(text, "round 5"));
	cr_expect_null(strstr(text, "round 4"));
	free(text);
	for (int i = 0; i < 3; i++)
		later(&h, DEADLINE);
	later(&h, GRACE + MINUTE);
	expect_sound(&s, "cleaned");
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_run(&s, "rm -r a/index");
	start(&h, &s, "a", few);
	char *now = volume_text(&h, h.volume);
	expect_text(was, now, "without an index");
	free(was);
	free(now);
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_remove(&s);
}

/* What rot makes of the index, while it is open: an extent that lives is not there. */
static void take_extent(struct host *h, uint64_t stream, uint64_t base)
{
	struct index *ix = ((struct engine *)h->engine)->index;
	struct index_tx tx;
	cr_assert_eq(index_tx_write(ix, &tx, NULL), 0);
	index_key_u64(&tx.key, volume_of(h)->index_no, INDEX_EXTENT, stream, base);
	cr_assert_eq(index_tx_del(&tx), 0);
	cr_assert_eq(index_tx_commit(&tx), 0);
}

/* The index has lost a block, before it is gathered or between the copy and its commit: nothing goes. */
static void expect_given_up(bool copied)
{
	struct site s;
	struct host h;
	struct rooms r = world(&s, &h);
	if (copied)
		until_copied(&h);
	take_extent(&h, r.room[2], 3);
	for (int i = 0; i < 5; i++)
		later(&h, MINUTE);
	cr_expect_eq(extents(&h, r.room[0]).n, 8);
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_run(&s, "rm -r a/index");
	start(&h, &s, "a", few);
	later(&h, DEADLINE / 2); /* and a sweep comes for the copy */
	later(&h, GRACE + MINUTE);
	expect_said(&h, &r, 0, "with an index of the layers");
	cr_expect_eq(extents(&h, r.room[0]).n, 1);
	host_stop(&h, FIRN_DETACH_DRAIN);
	expect_sound(&s, "in the end");
	site_remove(&s);
}

Test(compact, a_block_that_the_index_does_not_know_is_not_left_behind)
{
	expect_given_up(false);
}

Test(compact, nor_one_that_it_forgets_meanwhile)
{
	expect_given_up(true);
}

/* The first allocation fails from the moment on in which it is to be gathered, then the second and so on: it is tried again
 * until there is memory, and nothing is taken for damage. */
Test(compact, without_memory_it_waits)
{
	struct site s;
	struct host h;
	struct faulty f;
	struct rooms r = world(&s, &h);
	host_stop(&h, FIRN_DETACH_ABORT);
	faulty_init(&f, turned_env());
	h.opts.env = &f.env;
	host_start(&h);
	for (long long n = 1, last = 0; extents(&h, r.room[0]).n > 1; n += last > 0) {
		cr_assert_lt(n, 2000, "nothing is gathered");
		faulty_arm(&f, FAULT_ALLOC, -ENOMEM, n);
		turned_rest(&h);
		last = atomic_load(&f.n_failed);
		turned_by(100);
	}
	faulty_arm(&f, FAULT_ALLOC, -ENOMEM, 0);
	turned_settle(&h);
	expect_said(&h, &r, 0, "gathered at last");
	host_stop(&h, FIRN_DETACH_DRAIN);
	cr_expect_eq(atomic_load(&f.live), 0);
	start(&h, &s, "a",
	      few); /* a sweep comes for what could not be deleted for want of memory */
	later(&h, 2 * GRACE);
	later(&h, 2 * GRACE);
	host_stop(&h, FIRN_DETACH_DRAIN);
	expect_sound(&s, "in the end");
	site_remove(&s);
}

/* ---- a crash behind every request ---- */

/* How many requests it took. */
static uint64_t live_and_die(const struct site *plain, int at)
{
	struct site s = site_cut(plain, at);
	struct host h;
	struct firn_error err = FIRN_ERROR_INIT;
	turned_open(&h, &s, "a", few);
	uint64_t n = 0;
	if (!host_try_attach(&h, "v", 0, NULL, &h.volume, &err)) {
		for (int i = 0; i < 6; i++) {
			turned_rest(&h);
			turned_by(3 * SECOND);
		}
		turned_by(GRACE + MINUTE);
		turned_rest(&h);
		n = metric_of(h.engine, "firn_store_requests", "");
		(void)host_detach(&h, h.volume, FIRN_DETACH_ABORT, &err);
	}
	host_close(&h);
	return n;
}

static uint64_t crash_behind(int at)
{
	struct site s;
	struct host h;
	char when[40];
	(void)snprintf(when, sizeof when, "cut at %d", at);
	site_make(&s);
	start(&h, &s, "a", many);
	struct rooms r = rooms(&h);
	talk(&h, &r, 4, false);
	host_stop(&h, FIRN_DETACH_DRAIN);
	uint64_t n = live_and_die(&s, at);
	start(&h, &s, "a", few);
	expect_said(&h, &r, 0, when);
	later(&h, 2 * GRACE);
	later(&h, 2 * GRACE);
	expect_said(&h, &r, 0, when);
	cr_expect_eq(extents(&h, r.room[0]).n, 1, "%s", when);
	host_stop(&h, FIRN_DETACH_DRAIN);
	expect_sound(&s, when);
	site_remove(&s);
	return n;
}

Test(compact, a_crash_behind_any_request_leaves_nothing_lost_and_nothing_for_ever)
{
	uint64_t n = crash_behind(0);
	cr_assert_gt(n, 20);
	for (int at = 1; at <= (int)n; at++)
		(void)crash_behind(at);
}
