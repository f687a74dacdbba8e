/* Retention by age and by bytes: what a stream's configuration says has to go is trimmed, block by block, never beyond what
 * is stored; it is an ordinary write, so an engine elsewhere or without an index sees the same cut; an idle stream costs
 * nothing (PROTOCOL 18, 23; P7, P9, P10). */
#include "tests/integration/turned.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, WORD = 100 };

/* Nothing is stored but on demand. */
static const char *const options[] = { "upload_interval_ms=2000000000", "layer_segments=2",
	                               "delete_grace_ms=0", "zstd_level=0", NULL };

static struct site site;
static struct host host;

static void begin(struct host *h, const char *name)
{
	turned_open(h, &site, name, options);
	host_attach(h, "v");
}

static void setup(void)
{
	site_make(&site);
	begin(&host, "a");
}

static void teardown(void)
{
	host_stop(&host, FIRN_DETACH_DRAIN);
	site_remove(&site);
}

TestSuite(retention, .timeout = 60, .init = setup, .fini = teardown);

static uint64_t stream_with(const char *name, uint64_t ms, uint64_t bytes, uint32_t flags)
{
	struct firn_stream_config c = { .struct_size = sizeof c,
		                        .flags = flags,
		                        .retention_ms = ms,
		                        .retention_bytes = bytes };
	struct firn_op op = op_create(name);
	struct firn_event ev;
	op.u.stream.config = &c;
	wrote(&host, &op, 1, &ev);
	return ev.stream;
}

/* A block each. */
static void words(struct host *h, uint64_t stream, int n)
{
	char word[WORD + 1];
	for (int i = 0; i < n; i++) {
		(void)snprintf(word, sizeof word, "%*d", WORD, i);
		(void)say(h, stream, word);
		store_all(h);
	}
}

static uint64_t start_of(struct host *h, uint64_t stream)
{
	turned_settle(h);
	return mark_of(h, stream, FIRN_MARK_START);
}

Test(retention, what_is_too_old_is_trimmed_and_nothing_younger)
{
	uint64_t s = stream_with("s", HOUR, 0, 0), kept = new_stream(&host, "kept");
	words(&host, s, 3);
	words(&host, kept, 1);
	turned_by(30 * MINUTE);
	words(&host, s, 2);
	turned_by(20 * MINUTE);
	cr_expect_eq(start_of(&host, s), 0, "none is an hour old");
	turned_by(11 * MINUTE);
	cr_expect_eq(start_of(&host, s), 3, "the first three are");
	turned_by(HOUR);
	cr_expect_eq(start_of(&host, s), 5);
	words(&host, s, 1);
	cr_expect_eq(start_of(&host, s), 5);
	cr_expect_eq(mark_of(&host, s, FIRN_MARK_DURABLE), 6);
	turned_by(HOUR);
	cr_expect_eq(start_of(&host, s), 6, "also one that came when it was empty");
	cr_expect_eq(mark_of(&host, kept, FIRN_MARK_START), 0);
}

Test(retention, a_block_is_as_young_as_its_youngest_batch)
{
	uint64_t s = stream_with("s", HOUR, 0, 0);
	words(&host, s, 1);
	turned_by(10 * MINUTE);
	(void)say(&host, s, "early");
	turned_by(45 * MINUTE);
	words(&host, s, 1); /* stores both */
	turned_by(20 * MINUTE);
	cr_expect_eq(start_of(&host, s), 1);
	turned_by(45 * MINUTE);
	cr_expect_eq(start_of(&host, s), 3);
}

Test(retention, it_stops_at_what_is_stored)
{
	uint64_t s = stream_with("s", HOUR, 1, 0);
	words(&host, s, 2);
	(void)say(&host, s, "not stored");
	turned_by(2 * HOUR);
	cr_expect_eq(start_of(&host, s), 2);
	store_all(&host);
	cr_expect_eq(start_of(&host, s), 3, "it is as old, and stored now");
}

Test(retention, of_what_exceeds_the_bound_the_oldest_goes)
{
	uint64_t s = stream_with("s", 0, 10 * WORD, 0);
	words(&host, s, 10);
	cr_expect_eq(start_of(&host, s), 0);
	words(&host, s, 7);
	cr_expect_eq(start_of(&host, s), 7, "ten are left");
	/* A trim of the user in between: what is left is counted anew. */
	wrote(&host, (struct firn_op[]){ op_trim(s, 12) }, 1, NULL);
	words(&host, s, 4);
	cr_expect_eq(start_of(&host, s), 12, "nine are left");
	words(&host, s, 3);
	cr_expect_eq(start_of(&host, s), 14);
	/* Not stored yet when it is trimmed. */
	(void)say(&host, s, "x");
	wrote(&host, (struct firn_op[]){ op_trim(s, 25) }, 1, NULL);
	words(&host, s, 10);
	cr_expect_eq(start_of(&host, s), 25, "ten are left");
	words(&host, s, 1);
	cr_expect_eq(start_of(&host, s), 26);
}

Test(retention, a_block_goes_only_if_those_behind_it_are_enough)
{
	uint64_t s = stream_with("s", 0, WORD + 1, 0);
	words(&host, s, 2);
	cr_expect_eq(start_of(&host, s), 0, "without the first it were less than asked for");
	words(&host, s, 1);
	cr_expect_eq(start_of(&host, s), 1);
}

Test(retention, by_the_callers_timestamps_if_so_configured)
{
	uint64_t s = stream_with("s", HOUR, 0, FIRN_RETAIN_BY_TIMESTAMP);
	int64_t now = turned_env()->now_ms(NULL), at[] = { now - 2 * HOUR, now, INT64_MAX };
	for (int i = 0; i < 3; i++) {
		struct iovec iov = io_of("word");
		struct firn_op op = op_append(s, &iov);
		op.u.append.timestamp_ms = at[i];
		wrote(&host, &op, 1, NULL);
		store_all(&host);
	}
	cr_expect_eq(start_of(&host, s), 1);
	turned_by(100 * HOUR);
	cr_expect_eq(start_of(&host, s), 2, "the last is of the year 292278994");
}

Test(retention, a_new_configuration_counts_from_when_it_is_durable)
{
	uint64_t s = new_stream(&host, "s");
	words(&host, s, 8);
	turned_by(HOUR);
	cr_expect_eq(start_of(&host, s), 0);
	struct firn_stream_config c = { .struct_size = sizeof c, .retention_bytes = 3 * WORD };
	struct firn_op op = { .kind = FIRN_OP_CONFIG, .stream = s };
	op.u.stream.config = &c;
	wrote(&host, &op, 1, NULL);
	cr_expect_eq(start_of(&host, s), 5);
	op.u.stream.config = NULL;
	wrote(&host, &op, 1, NULL);
	words(&host, s, 2);
	cr_expect_eq(start_of(&host, s), 5);
	op.u.stream.config = &c;
	wrote(&host, &op, 1, NULL);
	cr_expect_eq(start_of(&host, s), 7);
	wrote(&host, (struct firn_op[]){ op_delete(s) }, 1, NULL);
	turned_settle(&host);
}

static uint64_t revs(struct host *h)
{
	struct firn_volume_info info = { .struct_size = sizeof info };
	cr_assert_eq(firn_volume_info(h->volume, &info), 0);
	return info.rev_durable;
}

Test(retention, an_idle_stream_costs_no_write)
{
	uint64_t s = stream_with("s", HOUR, 10 * WORD, 0);
	words(&host, s, 3);
	turned_by(2 * HOUR);
	cr_expect_eq(start_of(&host, s), 3);
	uint64_t rev = revs(&host);
	for (int i = 0; i < 20; i++) {
		turned_by(24 * HOUR);
		turned_settle(&host);
	}
	cr_expect_eq(revs(&host), rev);
}

/* More than one look takes; one write trims many. */
Test(retention, of_many_streams_each_gets_its_turn)
{
	enum { MANY = 1300 };
	static uint64_t s[MANY];
	for (int i = 0; i < MANY; i++) {
		char name[16];
		(void)snprintf(name, sizeof name, "s%d", i);
		s[i] = stream_with(name, HOUR, 0, 0);
		(void)say(&host, s[i], "word");
	}
	store_all(&host);
	uint64_t rev = revs(&host);
	turned_by(2 * HOUR);
	for (int i = 0; i < MANY; i++)
		cr_expect_eq(i ? mark_of(&host, s[i], FIRN_MARK_START) : start_of(&host, s[i]), 1);
	cr_expect_leq(revs(&host) - rev, MANY / 50);
}

static char *all_of(struct host *h)
{
	return volume_text(h, h->volume);
}

/* The bytes leave the store, the cut is the same elsewhere and without an index, and the next writer goes on. */
Test(retention, it_holds_for_the_next_writer_and_the_bytes_are_gone)
{
	uint64_t s = stream_with("s", HOUR, 4 * WORD, 0);
	(void)say(&host, s, "a-word-that-has-to-go");
	words(&host, s, 6);
	cr_expect_eq(start_of(&host, s), 3);
	words(&host, new_stream(&host, "other"), 6); /* layers cover it, commits bury it */
	turned_settle(&host);
	store_all(&host);
	site_pull(&site);
	char *left = site_ask(&site, "grep -rl a-word-that-has-to-go store || true");
	cr_expect_str_eq(left, "");
	free(left);
	char *was = all_of(&host);
	host_stop(&host, FIRN_DETACH_DRAIN);
	begin(&host, "b");
	char *now = all_of(&host);
	expect_text(was, now, "elsewhere");
	words(&host, s, 1);
	cr_expect_eq(start_of(&host, s), 4);
	turned_by(HOUR);
	cr_expect_eq(start_of(&host, s), 8);
	store_all(&host);
	free(now);
	free(was);
	was = all_of(&host);
	host_stop(&host, FIRN_DETACH_KEEP_WAL);
	site_run(&site, "rm -r b/index");
	begin(&host, "b");
	now = all_of(&host);
	expect_text(was, now, "without an index");
	free(now);
	free(was);
}
