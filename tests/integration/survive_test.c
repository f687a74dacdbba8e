/* What was acked is there again, all of it, whatever ended the writer (P1, P2, P3, P10): the same text
 * of streams, marks, batches, gaps, pairs and producers, and the same answers to retries. */
#include "tests/integration/site.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(survive, .timeout = 240);

enum { STREAMS = 7 };

struct world {
	struct host *h;
	uint64_t s[STREAMS];
	uint32_t round;
};

static void make_streams(struct world *w)
{
	struct firn_stream_config c = { .struct_size = sizeof c,
		                        .key_window_n = 50,
		                        .producer_window = 3,
		                        .retention_ms = 1ull << 50,
		                        .compression = FIRN_COMPRESSION_ZSTD,
		                        .account = 12 };
	char name[24];
	for (int i = 0; i < STREAMS; i++) {
		(void)snprintf(name, sizeof name, "stream-%d", i);
		struct firn_op op = op_create(name);
		struct firn_event ev;
		op.u.stream.config = i % 2 ? &c : NULL;
		op.u.stream.at = i == 3 ? 500 : 0;
		wrote(w->h, &op, 1, &ev);
		w->s[i] = ev.stream;
	}
}

static struct firn_op batch_of(const struct world *w, int i, uint32_t n, struct iovec *iov)
{
	struct firn_op op = op_append(w->s[i], iov);
	op.u.append.n_offsets = 1 + n % 3;
	op.u.append.timestamp_ms = 1000 * n;
	op.u.append.tag = n;
	op.u.append.attr = "attribute";
	op.u.append.attr_len = (uint8_t)(n % 10);
	return op;
}

/* Every kind of operation, on every stream; `round` makes each call different. */
static void work(struct world *w)
{
	uint32_t r = w->round++;
	char text[300], key[32];
	for (uint32_t n = r * 10; n < r * 10 + 10; n++) {
		struct firn_op op[STREAMS + 3];
		struct iovec iov = { text, 20 + n * 7 % 250 };
		memset(text, 'a' + (int)(n % 26), sizeof text - 1);
		text[sizeof text - 1] = 0;
		(void)snprintf(key, sizeof key, "key-%u", n);
		for (int i = 0; i < STREAMS; i++)
			op[i] = batch_of(w, i, n, &iov);
		op[1].u.append.key = key;
		op[1].u.append.key_len = (uint8_t)strlen(key);
		op[2].flags = FIRN_APPEND_PRODUCER;
		op[2].u.append.producer_id = 5 + n % 2;
		op[2].u.append.producer_epoch = 1;
		op[2].u.append.producer_seq = n * 10; /* RISING */
		op[2].flags |= FIRN_SEQ_RISING;
		op[4].flags = FIRN_APPEND_AT;
		op[4].u.append.expect = n * 20;
		op[STREAMS] = op_kv(FIRN_OP_KV_PUT, w->s[5], key, text + 250);
		op[STREAMS + 1] = op_kv(FIRN_OP_KV_PUT, FIRN_STREAM_VOLUME, "last", key);
		op[STREAMS + 2] = op_kv(FIRN_OP_KV_DELETE, w->s[5], "key-3", NULL);
		op[STREAMS + 2].u.kv.key_to = "key-5";
		op[STREAMS + 2].u.kv.key_to_len = 5;
		wrote(w->h, op, STREAMS + 3, NULL);
	}
	wrote(w->h, (struct firn_op[]){ op_trim(w->s[0], r * 12 + 5) }, 1, NULL);
	wrote(w->h, (struct firn_op[]){ op_delete(w->s[6]), op_create("stream-6") }, 2, NULL);
	cr_assert_eq(firn_stream_find(w->h->volume, "stream-6", 8, &w->s[6]), 0);
}

/* Retries of what was taken are answered with the first offsets: no second copy, no forgotten key. */
static void retries_are_known(struct world *w)
{
	struct firn_event ev;
	char key[32];
	uint32_t last = w->round * 10 - 1;
	for (uint32_t n = last - 3; n <= last; n++) {
		struct iovec iov = io_of("again");
		struct firn_op op = batch_of(w, 1, n, &iov);
		(void)snprintf(key, sizeof key, "key-%u", n);
		op.u.append.key = key;
		op.u.append.key_len = (uint8_t)strlen(key);
		cr_expect(write_one(w->h, op, &ev) == 0 && ev.flags == FIRN_F_DUPLICATE,
		          "key %u: %s", n, firn_code_name(ev.code));
		op = batch_of(w, 2, n, &iov);
		op.flags = FIRN_APPEND_PRODUCER | FIRN_SEQ_RISING;
		op.u.append.producer_id = 5 + n % 2;
		op.u.append.producer_epoch = 1;
		op.u.append.producer_seq = n * 10;
		cr_expect(write_one(w->h, op, &ev) == 0 && ev.flags == FIRN_F_DUPLICATE,
		          "seq %u: %s", n, firn_code_name(ev.code));
	}
}

enum end { END_KEEP_WAL, END_ABORT, END_DRAIN, END_MOVE, END_COUNT };
static const char *const end_name[] = { "KEEP_WAL", "ABORT", "DRAIN",
	                                "DRAIN and attach elsewhere" };

/* Ends the writer so and attaches again; the host in use may become `other`. */
static void end_and_attach(struct world *w, enum end how, struct host *here, struct host *other)
{
	host_stop(w->h, how == END_KEEP_WAL ? FIRN_DETACH_KEEP_WAL
	                : how == END_ABORT  ? FIRN_DETACH_ABORT
	                                    : FIRN_DETACH_DRAIN);
	if (how == END_MOVE)
		w->h = w->h == here ? other : here;
	host_start(w->h);
}

static void survives(enum way way, bool stored_between)
{
	struct site site;
	struct host a, b;
	struct world w = { .h = &a };
	site_make(&site);
	host_init(&a, &site, "a");
	host_init(&b, &site, "b");
	host_way(&a, way);
	host_way(&b, way);
	host_start(&a);
	make_streams(&w);
	for (int i = 0; i < 2 * END_COUNT; i++) {
		enum end how = (enum end)(i % END_COUNT);
		work(&w);
		if (stored_between && i % 2)
			store_all(w.h);
		if (stored_between)
			work(&w);
		char *was = volume_text(w.h, w.h->volume);
		end_and_attach(&w, how, &a, &b);
		char *now = volume_text(w.h, w.h->volume);
		expect_text(was, now, end_name[how]);
		retries_are_known(&w);
		free(now);
		now = volume_text(w.h, w.h->volume);
		expect_text(was, now, "after retries");
		free(now);
		free(was);
	}
	host_stop(w.h, FIRN_DETACH_DRAIN);
	site_remove(&site);
}

Test(survive, everything_that_was_acked_by_uring)
{
	survives(WAY_URING, false);
}

Test(survive, everything_that_was_acked_by_pwrite)
{
	survives(WAY_PWRITE, true);
}

Test(survive, everything_that_was_acked_without_threads)
{
	survives(WAY_NO_THREADS, true);
}

Test(survive, the_index_lost_between)
{
	struct site site;
	struct host a;
	struct world w = { .h = &a };
	site_make(&site);
	host_init(&a, &site, "a");
	host_start(&a);
	make_streams(&w);
	for (int i = 0; i < 4; i++) {
		work(&w);
		store_all(&a);
		work(&w);
		char *was = volume_text(&a, a.volume);
		host_stop(&a, i % 2 ? FIRN_DETACH_DRAIN : FIRN_DETACH_KEEP_WAL);
		site_run(&site, "rm -rf a/index");
		host_start(&a);
		char *now = volume_text(&a, a.volume);
		expect_text(was, now, "index rebuilt");
		retries_are_known(&w);
		free(was);
		free(now);
	}
	host_stop(&a, FIRN_DETACH_DRAIN);
	site_remove(&site);
}

/* ---- kill -9 ---- */

struct killed {
	struct host *h;
	const char *text_path; /* the child leaves here what it saw last */
	bool stored;
};

static void live_and_die(void *arg)
{
	struct killed *k = arg;
	struct world w = { .h = k->h };
	host_start(k->h);
	make_streams(&w);
	work(&w);
	if (k->stored)
		store_all(k->h);
	work(&w);
	char *text = volume_text(k->h, k->h->volume);
	FILE *f = fopen(k->text_path, "w");
	cr_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
	free(text);
}

static void survives_a_kill(enum way way, bool stored)
{
	struct site site;
	struct host a;
	char path[100];
	site_make(&site);
	(void)snprintf(path, sizeof path, "%s/text", site.dir);
	host_init(&a, &site, "a");
	host_way(&a, way);
	struct killed k = { &a, path, stored };
	crash_after(live_and_die, &k);
	for (int again = 0; again < 3; again++) {
		host_start(&a);
		char *was = site_ask(&site, "cat text");
		char *now = volume_text(&a, a.volume);
		expect_text(was, now, "after a kill");
		free(was);
		free(now);
		host_stop(&a, again == 0 ? FIRN_DETACH_KEEP_WAL : FIRN_DETACH_DRAIN);
	}
	site_remove(&site);
}

Test(survive, a_kill_by_uring)
{
	survives_a_kill(WAY_URING, false);
	survives_a_kill(WAY_URING, true);
}

Test(survive, a_kill_by_pwrite)
{
	survives_a_kill(WAY_PWRITE, false);
	survives_a_kill(WAY_PWRITE, true);
}

Test(survive, a_kill_without_threads)
{
	survives_a_kill(WAY_NO_THREADS, false);
	survives_a_kill(WAY_NO_THREADS, true);
}
