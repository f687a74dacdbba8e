/* Appends: preconditions, stamps, producers, idempotency keys, and writes of many operations (P2). */
#include "tests/integration/site.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(write, .timeout = 120);

static uint64_t be64(const void *at)
{
	const uint8_t *p = at;
	uint64_t v = 0;
	for (int i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

EACH_WAY(write, appends_are_dense_and_read_back)
{
	uint64_t s = new_stream(h, "s");
	char text[16], *all;
	for (uint64_t i = 0; i < 50; i++) {
		(void)snprintf(text, sizeof text, "%02u,", (unsigned)i);
		cr_expect_eq(say(h, s, text), i);
	}
	cr_assert_eq(read_stream(h, s, 0, &all), 0);
	cr_expect(strlen(all) == 150 && !strncmp(all, "00,01,02,", 9) && !strcmp(all + 147, "49,"));
	free(all);
}

EACH_WAY(write, an_expected_offset_is_met_or_told)
{
	uint64_t s = new_stream(h, "s");
	struct firn_event ev;
	struct iovec iov = io_of("x");
	struct firn_op op = op_append(s, &iov);
	op.flags = FIRN_APPEND_EXPECT;
	op.u.append.n_offsets = 7;
	cr_expect(write_one(h, op, &ev) == 0 && ev.offset == 0 && ev.end == 7 && ev.stream == s);
	cr_expect_eq(write_one(h, op, &ev), FIRN_ECONFLICT);
	cr_expect(ev.offset == 7 && ev.end == 1, "real end %lu, operation %lu", ev.offset, ev.end);
	op.u.append.expect = 8;
	cr_expect(write_one(h, op, &ev) == FIRN_ECONFLICT && ev.offset == 7);
	op.u.append.expect = 7;
	cr_expect(write_one(h, op, &ev) == 0 && ev.offset == 7 && ev.end == 14);
	cr_expect_eq(mark_of(h, s, FIRN_MARK_DURABLE), 14);
}

EACH_WAY(write, an_append_at_leaves_a_typed_gap)
{
	uint64_t s = new_stream(h, "s");
	struct firn_event ev;
	struct iovec iov = io_of("x");
	struct firn_op op = op_append(s, &iov);
	op.flags = FIRN_APPEND_AT;
	op.u.append.expect = 3;
	cr_expect(write_one(h, op, &ev) == 0 && ev.offset == 3 && ev.end == 4);
	op.u.append.expect = 10;
	cr_expect(write_one(h, op, &ev) == 0 && ev.offset == 10);
	op.u.append.expect = 10;
	cr_expect(write_one(h, op, &ev) == FIRN_ECONFLICT && ev.offset == 11);
	for (int stored = 0; stored < 2; stored++) {
		char *text = volume_text(h, h->volume);
		cr_expect(strstr(text, "gap 3 [0, 3)") && strstr(text, "gap 3 [4, 10)"), "%s",
		          text);
		cr_expect_null(strstr(text, "stopped"));
		free(text);
		store_all(h);
	}
	op.u.append.expect = 11 + (1ull << 36);
	cr_expect_eq(write_one(h, op, &ev), FIRN_ERANGE, "2^36 above stored");
	op.u.append.expect = 1ull << 62;
	cr_expect_eq(write_one(h, op, &ev), FIRN_ERANGE, "above 2^62");
	cr_expect_eq(mark_of(h, s, FIRN_MARK_ASSIGNED), 11);
	/* Two steps that are allowed alone: what lies between `stored` and the end counts, not the step. */
	op.u.append.expect = (UINT64_C(1) << 36) - 100;
	cr_expect_eq(write_one(h, op, &ev), 0);
	op.u.append.expect = (UINT64_C(1) << 36) + 100;
	cr_expect_eq(write_one(h, op, &ev), FIRN_ERANGE, "2^36 above stored, in steps");
}

Test(write, a_stamp_is_the_base_offset_of_its_own_or_another_append)
{
	struct site site;
	struct host h;
	site_make(&site);
	host_init(&h, &site, "a");
	host_start(&h);
	uint64_t a = new_stream(&h, "a"), b = new_stream(&h, "b");
	char bytes[24] = "........________........";
	struct iovec iov = { bytes, sizeof bytes };
	for (int i = 0; i < 5; i++)
		say(&h, a, "x");
	struct firn_op op[3] = { op_append(a, &iov), op_append(b, &iov), op_append(b, &iov) };
	for (int i = 0; i < 3; i++) {
		op[i].flags = FIRN_APPEND_STAMP;
		op[i].u.append.stamp_pos = 8;
	}
	op[1].stamp_of = 1;
	wrote(&h, op, 3, NULL);
	cr_expect_eq(memcmp(bytes, "........________........", 24), 0,
	             "the caller's bytes are untouched");
	char *got;
	cr_assert_eq(read_stream(&h, a, 5, &got), 0);
	cr_expect(be64(got + 8) == 5 && !memcmp(got, "........", 8) &&
	          !memcmp(got + 16, "........", 8));
	free(got);
	cr_assert_eq(read_stream(&h, b, 0, &got), 0);
	cr_expect(be64(got + 8) == 5 && be64(got + 24 + 8) == 1);
	free(got);
	op[0].u.append.stamp_pos = 17;
	cr_expect_eq(write_one(&h, op[0], NULL), FIRN_EINVAL, "a stamp beyond the payload");
	op[0].u.append.stamp_pos = 0;
	op[0].stamp_of = 2;
	cr_expect_eq(write_one(&h, op[0], NULL), FIRN_EINVAL, "a stamp of no operation");
	host_stop(&h, FIRN_DETACH_KEEP_WAL);
	site_remove(&site);
}

/* ---- producers ---- */

static int produce(struct host *h, uint64_t s, uint16_t how, uint32_t epoch, uint64_t seq,
                   uint32_t n, struct firn_event *ev)
{
	struct iovec iov = io_of("p");
	struct firn_op op = op_append(s, &iov);
	op.flags = FIRN_APPEND_PRODUCER | how;
	op.u.append.producer_id = 9;
	op.u.append.producer_epoch = epoch;
	op.u.append.producer_seq = seq;
	op.u.append.n_offsets = n;
	return write_one(h, op, ev);
}

EACH_WAY(write, an_exact_producer_goes_on_or_is_told)
{
	uint64_t s = new_stream(h, "s");
	struct firn_event ev;
	cr_expect(produce(h, s, 0, 1, 0, 4, &ev) == 0 && ev.offset == 0 && ev.end == 4);
	cr_expect(produce(h, s, 0, 1, 4, 2, &ev) == 0 && ev.offset == 4);
	cr_expect(produce(h, s, 0, 1, 8, 1, &ev) == FIRN_ESEQ && ev.offset == 6 && ev.end == 1);
	cr_expect(produce(h, s, 0, 1, 0, 4, &ev) == 0 && ev.offset == 0 && ev.end == 4);
	cr_expect(ev.flags & FIRN_F_DUPLICATE);
	cr_expect(produce(h, s, 0, 0, 6, 1, &ev) == FIRN_EPRODUCER && ev.offset == 1);
	cr_expect(produce(h, s, 0, 2, 0, 1, &ev) == 0 && ev.offset == 6);
	cr_expect_eq(produce(h, s, 0, 1, 6, 1, &ev), FIRN_EPRODUCER);
	for (uint64_t i = 1; i < 8; i++)
		cr_expect_eq(produce(h, s, 0, 2, i, 1, &ev), 0);
	cr_expect_eq(produce(h, s, 0, 2, 0, 1, &ev), FIRN_ESEQ, "older than the window of 5");
	cr_expect(produce(h, s, 0, 2, 4, 1, &ev) == 0 && ev.flags & FIRN_F_DUPLICATE &&
	          ev.offset == 10);
	cr_expect_eq(mark_of(h, s, FIRN_MARK_ASSIGNED), 14);
}

EACH_WAY(write, rising_and_unnumbered_producers)
{
	uint64_t s = new_stream(h, "s");
	struct firn_event ev;
	cr_expect_eq(produce(h, s, FIRN_SEQ_RISING, 1, 10, 1, &ev), 0);
	cr_expect(produce(h, s, FIRN_SEQ_RISING, 1, 500, 1, &ev) == 0 && ev.offset == 1);
	cr_expect(produce(h, s, FIRN_SEQ_RISING, 1, 500, 1, &ev) == 0 &&
	          ev.flags & FIRN_F_DUPLICATE);
	cr_expect_eq(ev.offset, 1);
	uint64_t t = new_stream(h, "t");
	cr_expect_eq(produce(h, t, FIRN_SEQ_NONE, 5, 0, 1, &ev), 0);
	cr_expect(produce(h, t, FIRN_SEQ_NONE, 5, 0, 1, &ev) == 0 && ev.offset == 1 && !ev.flags);
	cr_expect(produce(h, t, FIRN_SEQ_NONE, 4, 0, 1, &ev) == FIRN_EPRODUCER && ev.offset == 5);
}

EACH_WAY(write, a_retry_in_flight_is_answered_with_the_first_offset)
{
	uint64_t s = new_stream(h, "s");
	struct iovec iov = io_of("once");
	struct firn_op op = op_append(s, &iov);
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_event ev;
	op.flags = FIRN_APPEND_PRODUCER;
	op.u.append.producer_id = 1;
	for (uint64_t i = 0; i < 20; i++)
		cr_assert_eq(submit_ops(h, &op, 1, 0, 0, i, &err), 0, "%s", err.text);
	for (uint64_t i = 0; i < 20; i++) {
		cr_assert(reap_one(h, &ev, 10000));
		cr_expect(ev.code == 0 && ev.offset == 0 && ev.end == 1, "%s",
		          firn_code_name(ev.code));
		cr_expect_eq(!(ev.flags & FIRN_F_DUPLICATE), ev.user_data == 0);
	}
	cr_expect_eq(mark_of(h, s, FIRN_MARK_DURABLE), 1);
}

static struct firn_op numbered(uint64_t s, const struct iovec *iov, uint64_t producer, uint64_t seq)
{
	struct firn_op op = op_append(s, iov);
	op.flags = FIRN_APPEND_PRODUCER;
	op.u.append.producer_id = producer;
	op.u.append.producer_seq = seq;
	return op;
}

EACH_WAY(write, what_is_half_known_is_refused_in_either_order)
{
	uint64_t s = new_stream(h, "s"), t = new_stream(h, "t");
	struct iovec iov = io_of("x");
	struct firn_op known = numbered(s, &iov, 1, 0), fresh = numbered(t, &iov, 2, 0);
	struct firn_op op[3] = { known, op_kv(FIRN_OP_KV_PUT, s, "k", "v"), fresh };
	struct firn_event ev;
	cr_assert_eq(write_one(h, known, &ev), 0);
	cr_expect(writes(h, op, 3, &ev) == FIRN_ECONFLICT && ev.end == 3 && ev.offset == 0);
	op[0] = fresh;
	op[2] = known;
	cr_expect(writes(h, op, 3, &ev) == FIRN_ECONFLICT && ev.end == 3 && ev.offset == 0);
	cr_expect_eq(mark_of(h, t, FIRN_MARK_ASSIGNED), 0);
	cr_expect_eq(write_one(h, fresh, &ev), 0, "it was not used up by the refusals");
	cr_expect_eq(mark_of(h, s, FIRN_MARK_ASSIGNED), 1);
}

/* A marker that only shows its epoch cannot be known again: it is no reason to refuse the rest. */
EACH_WAY(write, a_write_sent_again_tells_where_each_part_is)
{
	uint64_t s = new_stream(h, "s"), t = new_stream(h, "t");
	struct iovec iov = io_of("x");
	struct firn_op op[4] = { numbered(t, &iov, 7, 0), numbered(s, &iov, 1, 0),
		                 numbered(s, &iov, 1, 1), op_append(t, &iov) };
	struct firn_event ev;
	op[0].flags |= FIRN_SEQ_NONE;
	wrote(h, op, 4, &ev);
	const uint64_t first = ev.rev;
	struct firn_write again = FIRN_WRITE_INIT;
	again.volume = h->volume;
	again.op = op;
	again.n_op = 4;
	cr_assert_eq(firn_engine_call(h->engine, &again.req, &ev, NULL), 0);
	const struct firn_written *w = ev.result;
	cr_expect(ev.flags == FIRN_F_DUPLICATE && ev.rev == first && ev.stream == s);
	cr_expect(w->n == 4 && w->op[1].stream == s && w->op[2].stream == s);
	cr_expect(w->op[1].offset == 0 && w->op[2].offset == 1 && w->op[2].end == 2);
	cr_expect(!w->op[0].end && !w->op[3].end, "these would have been new, and were not made");
	firn_release(ev.result);
	cr_expect_eq(mark_of(h, t, FIRN_MARK_ASSIGNED), 2);
}

EACH_WAY(write, an_idempotency_key_is_taken_once)
{
	struct firn_stream_config c = { .struct_size = sizeof c, .key_window_n = 3 };
	struct firn_op make = op_create("s");
	struct firn_event ev;
	struct iovec iov = io_of("k");
	make.u.stream.config = &c;
	wrote(h, &make, 1, &ev);
	struct firn_op op = op_append(ev.stream, &iov);
	for (uint64_t i = 0; i < 8; i++) {
		op.u.append.key = &i;
		op.u.append.key_len = sizeof i;
		cr_expect(write_one(h, op, &ev) == 0 && ev.offset == i && !ev.flags);
		cr_expect(write_one(h, op, &ev) == 0 && ev.offset == i &&
		          ev.flags == FIRN_F_DUPLICATE);
	}
	uint64_t key = 5;
	op.u.append.key = &key;
	cr_expect(write_one(h, op, &ev) == 0 && ev.flags == FIRN_F_DUPLICATE && ev.offset == 5);
	key = 1;
	cr_expect(write_one(h, op, &ev) == 0 && ev.flags == 0 && ev.offset == 8,
	          "out of the window");
}

/* ---- many operations ---- */

EACH_WAY(write, one_write_spans_streams_and_pairs)
{
	struct iovec iov = io_of("x");
	struct firn_op op[12];
	struct firn_event ev;
	uint64_t s[5];
	char name[8];
	for (uint32_t i = 0; i < 5; i++) {
		(void)snprintf(name, sizeof name, "s%u", i);
		s[i] = new_stream(h, name);
		op[2 * i] = op_append(s[i], &iov);
		op[2 * i + 1] = op_kv(FIRN_OP_KV_PUT, s[i], "k", name);
	}
	op[10] = op_create("new");
	op[11] = op_append(FIRN_STREAM_NEW, &iov);
	wrote(h, op, 12, &ev);
	uint64_t found, rev;
	char value[8];
	size_t len;
	cr_assert_eq(firn_stream_find(h->volume, "new", 3, &found), 0);
	cr_expect_eq(mark_of(h, found, FIRN_MARK_DURABLE), 1);
	for (uint32_t i = 0; i < 5; i++) {
		cr_expect_eq(mark_of(h, s[i], FIRN_MARK_DURABLE), 1);
		cr_expect_eq(firn_kv_get(h->volume, s[i], "k", 1, value, 8, &len, &rev), 0);
		cr_expect_eq(rev, ev.rev);
	}
}

EACH_WAY(write, one_failing_operation_refuses_all)
{
	struct iovec iov = io_of("x");
	struct firn_event ev;
	uint64_t s = new_stream(h, "s"), t = new_stream(h, "t");
	say(h, t, "y");
	char *was = volume_text(h, h->volume);
	struct firn_op good[5] = { op_append(s, &iov), op_kv(FIRN_OP_KV_PUT, s, "k", "v"),
		                   op_create("new"), op_trim(t, 1),
		                   op_append(FIRN_STREAM_NEW, &iov) };
	struct firn_op bad[] = { op_append(77, &iov), op_kv(FIRN_OP_KV_CHECK, t, "k", "other"),
		                 op_create("t"),      op_trim(t, 100),
		                 op_delete(1234),     op_append(s, &iov),
		                 op_create("new") };
	const int code[] = { FIRN_ENOENT, FIRN_ECONFLICT, FIRN_EEXIST, FIRN_ERANGE,
		             FIRN_ENOENT, FIRN_ECONFLICT, FIRN_EEXIST };
	bad[5].flags = FIRN_APPEND_EXPECT;
	bad[5].u.append.expect = 44;
	for (size_t b = 0; b < sizeof bad / sizeof bad[0]; b++) {
		struct firn_op op[6];
		memcpy(op, good, sizeof good);
		op[5] = bad[b];
		int rc = writes(h, op, 6, &ev);
		cr_expect(rc == code[b] && ev.end == 6, "%zu: %s, operation %lu", b,
		          firn_code_name(rc), ev.end);
		char *now = volume_text(h, h->volume);
		expect_text(was, now, "after a refused write");
		free(now);
	}
	wrote(h, good, 5, &ev);
	cr_expect_eq(mark_of(h, t, FIRN_MARK_START), 1);
	free(was);
}

static void is_told(struct host *h, struct firn_op op, const char *words)
{
	struct firn_write w = FIRN_WRITE_INIT;
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_event ev;
	w.volume = h->volume;
	w.op = &op;
	w.n_op = 1;
	int rc = firn_engine_call(h->engine, &w.req, &ev, &err);
	cr_expect(rc && strstr(err.text, words), "no word of `%s`: %s: %s", words,
	          firn_code_name(rc), err.text);
	firn_release(ev.result);
}

/* Whoever reads a broker's log has only the text. */
EACH_WAY(write, a_refusal_says_what_it_met)
{
	struct iovec iov = io_of("x");
	uint64_t s = new_stream(h, "s");
	struct firn_op op = numbered(s, &iov, 5, 0);
	op.u.append.producer_epoch = 3;
	cr_assert_eq(write_one(h, op, NULL), 0);
	op.u.append.producer_seq = 9;
	is_told(h, op, "producer 5 sent sequence 9, the next is 1");
	op.u.append.producer_epoch = 2;
	is_told(h, op, "producer 5 has epoch 3 by now, not 2");
	op = op_append(s, &iov);
	op.flags = FIRN_APPEND_EXPECT;
	op.u.append.expect = 44;
	is_told(h, op, "operation 1: the stream ends at 1, not at 44");
	is_told(h, op_append(77, &iov), "there is no stream 77");
	is_told(h, op_append(FIRN_STREAM_NEW, &iov), "FIRN_STREAM_NEW without a CREATE");
	is_told(h, op_trim(s, 100), "a trim up to 100, and the stream ends at 1");
	is_told(h, op_create("s"), "the name is that of stream");
	is_told(h, op_kv(FIRN_OP_KV_CHECK, s, "k", "v"), "there is no such key");
	op = op_kv(FIRN_OP_KV_PUT, s, "k", "v");
	cr_assert_eq(write_one(h, op, NULL), 0);
	op.flags = FIRN_KV_IF_ABSENT;
	is_told(h, op, "the key is there");
	is_told(h, op_kv(FIRN_OP_KV_CHECK, s, "k", "w"), "the key was changed by write");
	struct firn_stream_config c = { .struct_size = sizeof c, .producer_window = 17 };
	op = op_create("t");
	op.u.stream.config = &c;
	is_told(h, op, "producer_window is at most 16");
}

Test(write, limits_are_told_and_change_nothing)
{
	struct site site;
	struct host h;
	site_make(&site);
	host_init(&h, &site, "a");
	h.opts.wal_bytes = 64 << 20;
	host_start(&h);
	struct firn_event ev;
	uint64_t s = new_stream(&h, "s");
	struct firn_op *many = calloc(65537, sizeof *many);
	char *big = calloc(1, 65u << 20);
	struct iovec iov = { big, 65u << 20 };
	for (int i = 0; i < 65537; i++)
		many[i] = op_kv(FIRN_OP_KV_DELETE, FIRN_STREAM_VOLUME, "k", NULL);
	int rc = writes(&h, many, 10000, &ev); /* 65535 do not fit half a WAL file here */
	cr_expect_eq(rc, 0, "%s", firn_code_name(rc));
	cr_expect_eq(writes(&h, many, 65535, &ev), FIRN_ETOOBIG);
	cr_expect_eq(writes(&h, many, 65537, &ev), FIRN_ETOOBIG);
	cr_expect_eq(write_one(&h, op_append(s, &iov), &ev), FIRN_ETOOBIG);
	iov.iov_len = 8u << 20;
	cr_expect_eq(write_one(&h, op_append(s, &iov), &ev), FIRN_ETOOBIG, "more than a WAL file");
	iov.iov_len = 900u << 10;
	cr_expect_eq(write_one(&h, op_append(s, &iov), &ev), 0);
	struct firn_op op = op_append(s, &iov);
	uint8_t key[255] = { 1 };
	op.u.append.key = key;
	op.u.append.key_len = 33;
	rc = write_one(&h, op, &ev);
	cr_expect(rc == FIRN_ETOOBIG || rc == FIRN_EINVAL, "%s", firn_code_name(rc));
	op = op_kv(FIRN_OP_KV_PUT, 0, "k", NULL);
	op.u.kv.value = big;
	op.u.kv.value_len = 65537;
	rc = write_one(&h, op, &ev);
	cr_expect(rc == FIRN_ETOOBIG || rc == FIRN_EINVAL, "%s", firn_code_name(rc));
	op.u.kv.value_len = 65536;
	cr_expect_eq(write_one(&h, op, &ev), 0);
	cr_expect_eq(mark_of(&h, s, FIRN_MARK_ASSIGNED), 1);
	free(many);
	free(big);
	host_stop(&h, FIRN_DETACH_KEEP_WAL);
	site_remove(&site);
}

Test(write, what_this_release_does_not_know_is_refused_by_name)
{
	struct site site;
	struct host h;
	site_make(&site);
	host_init(&h, &site, "a");
	host_start(&h);
	uint64_t s = new_stream(&h, "s");
	struct iovec iov = io_of("x");
	struct firn_op op = op_append(s, &iov);
	op.flags = 64;
	cr_expect_eq(write_one(&h, op, NULL), FIRN_EUNSUPPORTED);
	for (uint16_t kind = 0; kind < 14; kind++) {
		op = (struct firn_op){ .kind = kind, .stream = s };
		if (kind == 0 || kind == 6 || kind > 9)
			cr_expect_eq(write_one(&h, op, NULL), FIRN_EUNSUPPORTED, "kind %u", kind);
	}
	struct firn_event ev;
	struct firn_error err = FIRN_ERROR_INIT;
	struct {
		struct firn_write w;
		uint64_t newer;
	} w = { FIRN_WRITE_INIT, 0 };
	op = op_append(s, &iov);
	w.w.volume = h.volume;
	w.w.op = &op;
	w.w.n_op = 1;
	w.w.req.struct_size = sizeof w;
	cr_expect_eq(firn_engine_call(h.engine, &w.w.req, &ev, &err), 0,
	             "a longer struct of zeros");
	w.newer = 1;
	cr_expect_eq(firn_engine_call(h.engine, &w.w.req, &ev, &err), FIRN_EUNSUPPORTED);
	w.w.req.struct_size = sizeof w.w - 8;
	cr_expect_eq(firn_engine_call(h.engine, &w.w.req, &ev, &err), FIRN_EINVAL);
	w.w.req.struct_size = sizeof w.w;
	w.w.req.flags = 0x100;
	cr_expect_eq(firn_engine_call(h.engine, &w.w.req, &ev, &err), FIRN_EUNSUPPORTED);
	w.w.req.flags = 0;
	w.w.ack = 3;
	int rc = firn_engine_call(h.engine, &w.w.req, &ev, &err);
	cr_expect(rc == FIRN_EUNSUPPORTED || rc == FIRN_EINVAL);
	w.w.ack = 0;
	w.w.req.kind = 7;
	cr_expect_eq(firn_engine_call(h.engine, &w.w.req, &ev, &err), FIRN_EUNSUPPORTED);
	cr_expect_eq(mark_of(&h, s, FIRN_MARK_ASSIGNED), 1);
	host_stop(&h, FIRN_DETACH_KEEP_WAL);
	site_remove(&site);
}
