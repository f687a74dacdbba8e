/* What the writer makes of batches and rows, and what it refuses. */
#include "tests/unit/segment/sample.h"
#include "engine/base/sum.h"
#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

TestSuite(segment_writer, .timeout = 60);

static const struct segment_meta meta = { .rev_to = 1, .n_parts = 1 };

static struct segment_writer *writer(struct sample_env *e, int level)
{
	struct segment_writer *w;
	sample_env_init(e);
	cr_assert_eq(segment_writer_open(&e->env, &meta, level, &w), 0);
	return w;
}

static struct batch batch_of(uint64_t stream, uint64_t offset, const void *payload, uint32_t len)
{
	return (struct batch){ .stream = stream,
		               .offset = offset,
		               .n_offsets = 1,
		               .payload = payload,
		               .payload_len = len,
		               .payload_sum = sum64(payload, len) };
}

static struct segment_footer *finish(struct sample_env *e, struct segment_writer *w)
{
	struct sample_object o;
	const uint8_t *data;
	struct firn_error err = FIRN_ERROR_INIT;
	cr_assert_eq(segment_writer_finish(w, &data, &o.len, &o.footer_pos, &o.footer_sum), 0);
	cr_assert_eq(segment_verify(&e->env, data, o.len, &err), 0, "%s", err.text);
	o.data = malloc(o.len);
	memcpy(o.data, data, o.len);
	struct segment_footer *f = sample_footer(&e->env, &o);
	free(o.data);
	return f;
}

static void many_streams_come_back(uint64_t seed, uint32_t n_batch, uint32_t payload_max, int level)
{
	struct sample_env e;
	struct sample s;
	struct firn_error err = FIRN_ERROR_INIT;
	sample_env_init(&e);
	sample_random_init(&s, seed, n_batch, payload_max);
	struct sample_object o = sample_write(&s, level);
	struct segment_footer *f = sample_footer(&e.env, &o);
	sample_expect_batches(&s, &o, f);
	sample_expect_rows(&s, f);
	cr_assert_eq(memcmp(segment_footer_meta(f), &s.meta, sizeof s.meta), 0);
	cr_assert_eq(segment_footer_pos(f), o.footer_pos);
	cr_assert_eq(segment_footer_sum(f), o.footer_sum);
	cr_assert_eq(segment_verify(&e.env, o.data, o.len, &err), 0, "%s", err.text);
	segment_footer_close(f);
	cr_assert_eq(e.n_live, 0);
	free(o.data);
	sample_fini(&s);
}

Test(segment_writer, whatever_goes_in_comes_back)
{
	for (uint64_t seed = 1; seed <= 60; seed++)
		many_streams_come_back(seed, (uint32_t)(seed % 7 * 40), 300, (int)(seed % 4));
}

Test(segment_writer, large_batches_come_back)
{
	for (uint64_t seed = 100; seed <= 110; seed++)
		many_streams_come_back(seed, 120, 60000, (int)(seed % 4));
}

Test(segment_writer, same_input_makes_same_bytes)
{
	struct sample s;
	sample_random_init(&s, 5, 300, 500);
	struct sample_object a = sample_write(&s, 3), b = sample_write(&s, 3);
	cr_assert_eq(a.len, b.len);
	cr_assert_eq(memcmp(a.data, b.data, a.len), 0);
	free(a.data);
	free(b.data);
	sample_fini(&s);
}

Test(segment_writer, nothing_written_is_a_footer_alone)
{
	struct sample_env e;
	struct segment_writer *w = writer(&e, 3);
	struct segment_footer *f = finish(&e, w);
	cr_expect_eq(segment_n_blocks(f), 0);
	cr_expect_eq(segment_footer_pos(f), SEGMENT_HEADER_LEN);
	segment_footer_close(f);
	segment_writer_close(w);
	cr_assert_eq(e.n_live, 0);
}

Test(segment_writer, room_reserved_is_room_not_grown)
{
	struct sample_env e;
	struct segment_writer *w = writer(&e, 0);
	uint8_t payload[1000] = { 0 };
	cr_assert_eq(segment_writer_reserve(w, 3 << 20), 0);
	for (uint64_t i = 0; i < 2000; i++) {
		struct batch b = batch_of(1, i, payload, sizeof payload);
		cr_assert_eq(segment_writer_batch(w, &b, 0), 0);
	}
	struct segment_footer *f = finish(&e, w);
	cr_expect_gt(segment_footer_pos(f), 2 << 20);
	cr_expect_eq(e.largest, 4 << 20);
	segment_footer_close(f);
	e.fail_at = e.n_alloc + 1;
	cr_expect_eq(segment_writer_reserve(w, 9 << 20), FIRN_ENOMEM);
	segment_writer_close(w);
	cr_assert_eq(e.n_live, 0);
}

Test(segment_writer, small_streams_share_frames_and_large_blocks_do_not)
{
	struct sample_env e;
	struct segment_writer *w = writer(&e, 0);
	uint8_t *payload = calloc(1, 1 << 20);
	for (uint64_t stream = 1; stream <= 1000; stream++) {
		struct batch b = batch_of(stream, 0, payload, 100);
		cr_assert_eq(segment_writer_batch(w, &b, 0), 0);
	}
	for (uint64_t i = 0; i < 10; i++) { /* 10 x 100 KiB: blocks of two */
		struct batch b = batch_of(2000, i, payload, 100 << 10);
		cr_assert_eq(segment_writer_batch(w, &b, 0), 0);
	}
	struct batch huge = batch_of(2001, 0, payload, 1 << 20);
	cr_assert_eq(segment_writer_batch(w, &huge, 0), 0);
	struct segment_footer *f = finish(&e, w);
	struct block_entry at = { 0 };
	uint64_t n_frames = 0, pos = 0;
	cr_assert_eq(segment_n_blocks(f), 1006);
	for (uint32_t i = 0; i < 1000; i++) {
		segment_block_at(f, i, &at);
		n_frames += at.frame_pos != pos;
		pos = at.frame_pos;
		cr_assert_leq(at.frame_raw_len, SEGMENT_FRAME_BYTES);
	}
	cr_expect_eq(n_frames, 1000 / (SEGMENT_FRAME_BYTES / 260) + 1, "%lu frames", n_frames);
	for (uint32_t i = 1000; i < 1005; i++) {
		segment_block_at(f, i, &at);
		cr_expect_eq(at.n_batch, 2);
		cr_expect_eq(at.block_len, at.frame_raw_len);
	}
	segment_block_at(f, 1005, &at);
	cr_expect_eq(at.payload_bytes, 1 << 20);
	segment_footer_close(f);
	segment_writer_close(w);
	free(payload);
}

Test(segment_writer, the_largest_batch_fits)
{
	struct sample_env e;
	struct segment_writer *w = writer(&e, 1);
	uint8_t *payload = calloc(1, BATCH_PAYLOAD_MAX);
	uint8_t bytes[255] = { 0 };
	struct batch b = batch_of(1, 0, payload, BATCH_PAYLOAD_MAX);
	b.key = b.attr = bytes;
	b.key_len = BATCH_KEY_MAX;
	b.attr_len = 255;
	cr_assert_eq(segment_writer_batch(w, &b, 1), 0);
	b.offset = 1;
	cr_assert_eq(segment_writer_batch(w, &b, 2), 0);
	struct segment_footer *f = finish(&e, w);
	struct block_entry at;
	cr_assert_eq(segment_n_blocks(f), 2);
	segment_block_at(f, 0, &at);
	cr_expect_eq(at.codec, SEGMENT_RAW);
	segment_block_at(f, 1, &at);
	cr_expect_eq(at.codec, SEGMENT_ZSTD);
	segment_footer_close(f);
	segment_writer_close(w);
	free(payload);
	cr_assert_eq(e.n_live, 0);
}

/* The codec that one batch of 4000 bytes ends up with: `noise` of them random, the rest zero. */
static uint8_t codec_of(size_t noise, int level, uint32_t compress)
{
	struct sample_env e;
	struct segment_writer *w = writer(&e, level);
	uint8_t payload[4000] = { 0 };
	uint64_t r = 3;
	for (size_t i = 0; i < noise; i++)
		payload[i] = (uint8_t)sample_random(&r);
	struct batch b = batch_of(1, 0, payload, sizeof payload);
	cr_assert_eq(segment_writer_batch(w, &b, compress), 0);
	struct segment_footer *f = finish(&e, w);
	struct block_entry at;
	segment_block_at(f, 0, &at);
	segment_footer_close(f);
	segment_writer_close(w);
	return at.codec;
}

Test(segment_writer, compression_is_kept_only_when_it_pays)
{
	cr_expect_eq(codec_of(0, 3, 0), SEGMENT_ZSTD);
	cr_expect_eq(codec_of(4000, 3, 0), SEGMENT_RAW, "noise");
	cr_expect_eq(codec_of(3300, 3, 0), SEGMENT_ZSTD, "saves a sixth");
	cr_expect_eq(codec_of(3800, 3, 0), SEGMENT_RAW, "saves a twentieth");
	cr_expect_eq(codec_of(3800, 3, 2), SEGMENT_ZSTD, "but it was asked for");
	cr_expect_eq(codec_of(4000, 3, 2), SEGMENT_ZSTD, "the descriptor alone saves a few bytes");
	cr_expect_eq(codec_of(0, 3, 1), SEGMENT_RAW, "asked not to");
	cr_expect_eq(codec_of(0, 0, 0), SEGMENT_RAW, "level 0");
	cr_expect_eq(codec_of(0, 0, 2), SEGMENT_RAW, "level 0");
}

Test(segment_writer, batches_out_of_order_or_out_of_bounds_are_refused)
{
	struct sample_env e;
	struct segment_writer *w = writer(&e, 0);
	struct batch good = batch_of(5, 100, "x", 1), bad;
	good.n_offsets = 10;
	cr_assert_eq(segment_writer_batch(w, &good, 0), 0);
	bad = batch_of(4, 200, "x", 1);
	cr_expect_eq(segment_writer_batch(w, &bad, 0), FIRN_EINVAL, "stream goes back");
	bad = batch_of(5, 109, "x", 1);
	cr_expect_eq(segment_writer_batch(w, &bad, 0), FIRN_EINVAL, "offset overlaps");
	bad = batch_of(5, 110, "x", 1);
	cr_expect_eq(segment_writer_batch(w, &bad, 3), FIRN_EINVAL, "no such wish");
	bad.n_offsets = 0;
	cr_expect_eq(segment_writer_batch(w, &bad, 0), FIRN_EINVAL, "empty");
	bad = batch_of(5, OFFSET_MAX, "x", 1);
	cr_expect_eq(segment_writer_batch(w, &bad, 0), FIRN_EINVAL, "beyond the last offset");
	bad = batch_of(5, 110, "x", 1);
	bad.flags = 0x8000;
	cr_expect_eq(segment_writer_batch(w, &bad, 0), FIRN_EINVAL, "unknown flag");
	bad = batch_of(5, 110, "x", 1);
	bad.payload_len = BATCH_PAYLOAD_MAX + 1;
	cr_expect_eq(segment_writer_batch(w, &bad, 0), FIRN_EINVAL, "too long");
	good.offset = 110;
	cr_assert_eq(segment_writer_batch(w, &good, 0), 0);
	struct segment_footer *f = finish(&e, w);
	struct block_entry at;
	uint32_t n_batch = 0;
	for (uint32_t i = 0; i < segment_n_blocks(f); i++, n_batch += at.n_batch)
		segment_block_at(f, i, &at);
	cr_expect_eq(n_batch, 2);
	cr_expect_eq(segment_writer_batch(w, &good, 0), FIRN_EINVAL, "finished");
	segment_footer_close(f);
	segment_writer_close(w);
}

Test(segment_writer, rows_that_no_reader_takes_are_refused)
{
	struct sample_env e;
	struct segment_writer *w = writer(&e, 0);
	struct stream_state s = { .stream = 1, .start = 2, .next = 1 };
	cr_expect_eq(segment_writer_stream(w, &s), FIRN_EINVAL, "start above next");
	s.flags = STREAM_DELETED;
	cr_expect_eq(segment_writer_stream(w, &s), 0, "which is void when deleted");
	s.flags = 4;
	cr_expect_eq(segment_writer_stream(w, &s), FIRN_EINVAL, "unknown flag");
	struct gap_entry g = { .from = 3, .to = 3 };
	cr_expect_eq(segment_writer_gap(w, &g), FIRN_EINVAL, "empty gap");
	struct kv_change kv = { .deleted = 2 };
	cr_expect_eq(segment_writer_kv(w, &kv), FIRN_EINVAL);
	kv = (struct kv_change){ .value_len = UINT32_MAX, .value = (const uint8_t *)"" };
	cr_expect_eq(segment_writer_kv(w, &kv), FIRN_ETOOBIG);
	struct producer_change p = { .window_reset = 2 };
	cr_expect_eq(segment_writer_producer(w, &p), FIRN_EINVAL);
	p = (struct producer_change){ .n_batch = UINT32_MAX };
	cr_expect_eq(segment_writer_producer(w, &p), FIRN_ETOOBIG);
	struct segment_footer *f = finish(&e, w);
	cr_expect_eq(segment_n_streams(f), 1);
	cr_expect_eq(segment_n_gaps(f) + segment_n_kv(f) + segment_n_producers(f), 0);
	cr_expect_eq(segment_writer_gap(w, &g), FIRN_EINVAL, "finished");
	segment_footer_close(f);
	segment_writer_close(w);
}

Test(segment_writer, a_round_out_of_order_is_refused)
{
	struct sample_env e;
	struct segment_writer *w;
	struct segment_meta bad = { .rev_from = 2, .rev_to = 1, .n_parts = 1 };
	sample_env_init(&e);
	cr_expect_eq(segment_writer_open(&e.env, &bad, 0, &w), FIRN_EINVAL);
	bad = (struct segment_meta){ .part = 1, .n_parts = 1 };
	cr_expect_eq(segment_writer_open(&e.env, &bad, 0, &w), FIRN_EINVAL);
	cr_expect_eq(e.n_alloc, 0);
}

Test(segment_writer, any_allocation_may_fail)
{
	struct sample s;
	int rc = FIRN_ENOMEM;
	sample_random_init(&s, 11, 60, 200);
	for (uint64_t fail_at = 1; rc; fail_at++) {
		struct sample_env e;
		struct sample_object o = { 0 };
		sample_env_init(&e);
		e.fail_at = fail_at;
		rc = sample_try_write(&s, &e.env, 3, &o);
		cr_assert_eq(e.n_live, 0, "leak after allocation %lu failed", fail_at);
		cr_assert(rc == FIRN_ENOMEM || rc == 0);
		/* Scratch for compression is optional: without it all is written, only larger. */
		bool reached = e.n_alloc >= fail_at;
		e.fail_at = 0;
		if (rc == 0)
			cr_assert_eq(segment_verify(&e.env, o.data, o.len, NULL), 0);
		if (reached)
			rc = FIRN_ENOMEM;
		free(o.data);
	}
	sample_fini(&s);
}
