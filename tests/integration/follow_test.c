/* A volume attached read-only follows its writer: cut after cut it shows what the writer stores, whole and in time, by
 * footers or, when it was left behind, anew from layers; what is gone from the store makes it look again; a store that
 * went backwards stops it (PROTOCOL 22; P5, P9, P10). The reader runs without threads, under a clock that is turned. */
#include "tests/integration/turned.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };

static const char *const writes_much[] = { "upload_interval_ms=2000000000",
	                                   "layer_segments=4",
	                                   "delete_grace_ms=0",
	                                   "zstd_level=0",
	                                   "delete_deadline_ms=7200000",
	                                   NULL };

static struct site site;
static struct host writer, reader;

static void look_in(void)
{
	struct firn_error err = FIRN_ERROR_INIT;
	cr_assert_eq(host_try_attach(&reader, "v", FIRN_ATTACH_READ_ONLY, NULL, &reader.volume,
	                             &err),
	             0, "%s", err.text);
}

static void setup(void)
{
	site_make(&site);
	turned_open(&writer, &site, "writer", writes_much);
	host_attach(&writer, "v");
	turned_open(&reader, &site, "reader", NULL);
	look_in();
}

static void teardown(void)
{
	if (writer.volume)
		host_stop(&writer, FIRN_DETACH_DRAIN);
	host_stop(&reader, FIRN_DETACH_DRAIN);
	site_remove(&site);
}

TestSuite(follow, .timeout = 120, .init = setup, .fini = teardown);

/* A flush of either side: all is stored; a look is made. */
static void the_same(const char *when)
{
	store_all(&writer);
	store_all(&reader);
	char *was = volume_text(&writer, writer.volume), *now = volume_text(&reader, reader.volume);
	expect_text(was, now, when);
	free(was);
	free(now);
}

static uint32_t state_of(struct host *h)
{
	struct firn_volume_info info = { .struct_size = sizeof info };
	cr_assert_eq(firn_volume_info(h->volume, &info), 0);
	return info.state;
}

/* With a producer, so that its state is seen, too. */
static void produce(uint64_t stream, uint64_t id, uint64_t seq, const char *text)
{
	struct iovec iov = io_of(text);
	struct firn_op op = op_append(stream, &iov);
	op.flags |= FIRN_APPEND_PRODUCER;
	op.u.append.producer_id = id;
	op.u.append.producer_seq = seq;
	cr_assert_eq(write_one(&writer, op, NULL), 0);
}

static void configure(uint64_t stream, uint64_t account)
{
	struct firn_stream_config c = { .struct_size = sizeof c, .account = account };
	struct firn_op op = { .kind = FIRN_OP_CONFIG, .stream = stream };
	op.u.stream.config = &c;
	wrote(&writer, &op, 1, NULL);
}

Test(follow, every_kind_of_change_is_seen)
{
	the_same("nothing");
	uint64_t s = new_stream(&writer, "s"), t = new_stream(&writer, "t");
	the_same("two streams");
	say(&writer, s, "1");
	say(&writer, t, "2");
	produce(s, 7, 0, "3");
	the_same("appends");
	struct firn_op kv[] = { op_kv(FIRN_OP_KV_PUT, 0, "a", "1"),
		                op_kv(FIRN_OP_KV_PUT, 0, "b", ""),
		                op_kv(FIRN_OP_KV_PUT, s, "a", "2") };
	wrote(&writer, kv, 3, NULL);
	the_same("keys");
	wrote(&writer, (struct firn_op[]){ op_kv(FIRN_OP_KV_DELETE, 0, "a", NULL) }, 1, NULL);
	wrote(&writer, (struct firn_op[]){ op_kv(FIRN_OP_KV_PUT, 0, "b", "3") }, 1, NULL);
	produce(s, 7, 1, "4");
	produce(s, 8, 0, "5");
	the_same("keys that go and change, producers");
	wrote(&writer, (struct firn_op[]){ op_trim(s, 2) }, 1, NULL);
	configure(s, 1000);
	configure(t, 2000);
	the_same("a trim, configurations");
	configure(t, 0);
	wrote(&writer, (struct firn_op[]){ op_delete(s) }, 1, NULL);
	the_same("a configuration taken back, a stream deleted with its keys");
	uint64_t again = new_stream(&writer, "s");
	say(&writer, again, "6");
	wrote(&writer, (struct firn_op[]){ op_delete(t) }, 1, NULL);
	uint64_t short_lived = new_stream(&writer, "u");
	wrote(&writer, (struct firn_op[]){ op_delete(short_lived) }, 1, NULL);
	the_same("a name that went over, a stream that came and went");
}

/* Rounds of their own, and layers of them: what the reader has not seen is not in segments' own rows any more. */
Test(follow, who_was_left_behind_fills_its_index_anew)
{
	uint64_t s = new_stream(&writer, "s"), t = new_stream(&writer, "t");
	say(&writer, s, "0");
	say(&writer, t, "0");
	the_same("in time");
	for (int i = 0; i < 30; i++) {
		say(&writer, i % 3 ? s : t, "x");
		if (i == 20)
			wrote(&writer, (struct firn_op[]){ op_trim(s, 5) }, 1, NULL);
		store_all(&writer);
		turned_settle(&writer);
	}
	produce(s, 7, 0, "y");
	wrote(&writer, (struct firn_op[]){ op_kv(FIRN_OP_KV_PUT, t, "k", "v"), op_delete(t) }, 2,
	      NULL);
	the_same("late");
	say(&writer, s, "z");
	the_same("in time again");
}

/* Requests of the reader's engine: those of a volume nobody writes to are one a minute. */
Test(follow, it_looks_by_itself_and_seldom)
{
	uint64_t s = new_stream(&writer, "s");
	say(&writer, s, "1");
	store_all(&writer);
	for (int i = 0; i < 61; i++)
		turned_by(SECOND), turned_settle(&reader);
	cr_assert_eq(mark_of(&reader, s, FIRN_MARK_DURABLE), 1);
	for (int i = 0; i < 60; i++) /* quiet down */
		turned_by(MINUTE), turned_settle(&reader);
	uint64_t was = metric_of(reader.engine, "firn_store_requests", "");
	for (int i = 0; i < 60; i++)
		turned_by(MINUTE), turned_settle(&reader);
	uint64_t n = metric_of(reader.engine, "firn_store_requests", "") - was;
	cr_expect(n >= 60 && n <= 75, "%llu requests in an hour", (unsigned long long)n);
	say(&writer, s, "2");
	store_all(&writer);
	turned_by(MINUTE);
	turned_settle(&reader);
	cr_expect_eq(mark_of(&reader, s, FIRN_MARK_DURABLE), 2, "within its interval");
}

/* What was trimmed is deleted, the reader has not looked since, and reads there. */
Test(follow, what_is_gone_from_the_store_makes_it_look)
{
	uint64_t s = new_stream(&writer, "s");
	for (int i = 0; i < 8; i++) {
		say(&writer, s, "x");
		store_all(&writer);
		turned_settle(&writer);
	}
	store_all(&reader);
	wrote(&writer, (struct firn_op[]){ op_trim(s, 6) }, 1, NULL);
	for (int i = 0; i < 8; i++) {
		say(&writer, s, "y");
		store_all(&writer);
		turned_by(MINUTE); /* their grace time is none, but a sweep has its own */
		turned_settle(&writer);
	}
	cr_assert_eq(mark_of(&reader, s, FIRN_MARK_START), 0, "it has not looked");
	cr_expect_eq(read_stream(&reader, s, 0, NULL), FIRN_ERANGE, "trimmed");
	cr_expect_eq(mark_of(&reader, s, FIRN_MARK_START), 6);
	char *all = NULL;
	cr_expect_eq(read_stream(&reader, s, 6, &all), 0);
	cr_expect_str_eq(all, "xxyyyyyyyy");
	free(all);
}

/* Its blocks have moved to other segments, the old ones are deleted, and the reader has nothing of it in memory. */
Test(follow, what_was_rewritten_is_read_where_it_is_now)
{
	uint64_t dead = new_stream(&writer, "dead"), s = new_stream(&writer, "s");
	for (int i = 0; i < 3; i++) {
		say(&writer, dead, "x");
		say(&writer, s, i % 2 ? "b" : "a");
		store_all(&writer);
		turned_settle(&writer);
	}
	store_all(&reader);
	site_pull(&site);
	char *was = site_ask(&site, "find store/v/seg -type f ! -name '.firn*'");
	wrote(&writer, (struct firn_op[]){ op_delete(dead) }, 1, NULL);
	store_all(&writer);
	for (int i = 0; i < 32; i++) {
		turned_by(HOUR / 8);
		for (int k = 0; k < 4; k++)
			turned_settle(&writer);
	}
	cr_assert_gt(metric_of(writer.engine, "firn_rewritten_bytes", ""), 0);
	site_pull(&site);
	char *now = site_ask(&site, "find store/v/seg -type f ! -name '.firn*'");
	for (char *at = strtok(was, "\n"); at; at = strtok(NULL, "\n"))
		cr_assert_null(strstr(now, at), "%s is still there", at);
	char *all = NULL;
	cr_expect_eq(read_stream(&reader, s, 0, &all), 0);
	cr_expect_str_eq(all, "aba");
	free(all);
	free(was);
	free(now);
	the_same("behind it");
}

Test(follow, what_is_gone_under_the_newest_manifest_is_damage)
{
	uint64_t s = new_stream(&writer, "s");
	say(&writer, s, "x");
	the_same("whole");
	host_stop(&reader, FIRN_DETACH_DRAIN);
	turned_open(&reader, &site, "reader", NULL); /* it has nothing in memory */
	look_in();
	site_change_store(&site, "find store/v/seg -type f -delete");
	cr_expect_eq(read_stream(&reader, s, 0, NULL), FIRN_ECORRUPT);
	cr_expect_eq(state_of(&reader), FIRN_STATE_READ_ONLY, "nothing else is the matter");
}

Test(follow, a_store_that_goes_backwards_stops_it)
{
	uint64_t s = new_stream(&writer, "s");
	say(&writer, s, "x");
	the_same("before");
	site_pull(&site);
	site_run(&site, "cp store/v/manifest older");
	say(&writer, s, "y");
	the_same("after");
	host_stop(&writer, FIRN_DETACH_ABORT);
	writer.volume = NULL;
	cr_assert_eq(firn_engine_notices(reader.engine, reader.cq, 1u << (FIRN_EV_VOLUME - 64), 0),
	             0);
	site_change_store(&site, "cp older store/v/manifest");
	turned_by(2 * MINUTE);
	turned_settle(&reader);
	struct firn_event ev;
	cr_assert(reap_one(&reader, &ev, 10000));
	cr_expect(ev.kind == FIRN_EV_VOLUME && ev.offset == FIRN_STATE_STOPPED);
	cr_expect_eq(state_of(&reader), FIRN_STATE_STOPPED);
	char *all = NULL;
	cr_expect_eq(read_stream(&reader, s, 0, &all), 0, "what was seen stays");
	cr_expect_str_eq(all, "xy");
	free(all);
}
