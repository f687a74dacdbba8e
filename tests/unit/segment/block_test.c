/* Frames and blocks: what is not exactly what the index says is not served. (P6) */
#include "tests/unit/segment/sample.h"
#include "tests/fuzz/segment_sign.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(segment_block, .timeout = 60);

/* The first block of a small segment: its entry, and its frame stored and raw. */
struct fixture {
	struct sample sample;
	struct sample_object o;
	struct block_entry e;
	const uint8_t *stored;
	uint8_t *raw;
};

static void fixture_open(struct fixture *x, int level, uint32_t row)
{
	struct sample_env e;
	sample_env_init(&e);
	sample_random_init(&x->sample, 21, 40, 60);
	memset(x->sample.compress, 0, x->sample.n_batch * sizeof *x->sample.compress);
	x->o = sample_write(&x->sample, level);
	struct segment_footer *f = sample_footer(&e.env, &x->o);
	segment_block_at(f, row, &x->e);
	segment_footer_close(f);
	x->stored = x->o.data + x->e.frame_pos;
	x->raw = malloc(x->e.frame_raw_len);
	cr_assert_eq(segment_frame_decode(&x->e, x->stored, x->e.frame_len, x->raw, NULL), 0);
}

static void fixture_close(struct fixture *x)
{
	free(x->raw);
	free(x->o.data);
	sample_fini(&x->sample);
}

static int open_with(const struct fixture *x, const struct block_entry *e, const uint8_t *volume_id,
                     struct firn_error *err)
{
	struct block b;
	return block_open(volume_id, e, x->raw, x->e.frame_raw_len, &b, err);
}

static void expect_refused(const struct fixture *x, const struct block_entry *e, const char *word)
{
	struct firn_error err = FIRN_ERROR_INIT;
	cr_expect_eq(open_with(x, e, x->sample.meta.volume_id, &err), FIRN_ECORRUPT);
	cr_expect_not_null(strstr(err.text, word), "'%s' lacks '%s'", err.text, word);
}

Test(segment_block, opens_as_the_index_says)
{
	struct fixture x;
	fixture_open(&x, 3, 1);
	cr_expect_eq(x.e.codec, SEGMENT_ZSTD);
	cr_expect_gt(x.e.block_pos, 0);
	cr_expect_eq(open_with(&x, &x.e, x.sample.meta.volume_id, NULL), 0);
	fixture_close(&x);
}

Test(segment_block, another_identity_is_refused)
{
	struct fixture x;
	struct block_entry e;
	uint8_t other[16];
	struct firn_error err = FIRN_ERROR_INIT;
	fixture_open(&x, 0, 1);
	memcpy(other, x.sample.meta.volume_id, 16);
	other[15] ^= 1;
	cr_expect_eq(open_with(&x, &x.e, other, &err), FIRN_ECORRUPT);
	cr_expect_not_null(strstr(err.text, "another volume"), "%s", err.text);
	e = x.e, e.stream++;
	expect_refused(&x, &e, "another stream");
	e = x.e, e.base--;
	expect_refused(&x, &e, "other offsets");
	e = x.e, e.next++;
	expect_refused(&x, &e, "other offsets");
	e = x.e, e.min_append_ms--;
	expect_refused(&x, &e, "checksum mismatch");
	e = x.e, e.max_timestamp_ms++;
	expect_refused(&x, &e, "not what the index says");
	e = x.e, e.block_pos = 0;
	expect_refused(&x, &e, "another stream");
	e = x.e, e.block_sum ^= 1;
	expect_refused(&x, &e, "checksum mismatch");
	e = x.e, e.payload_bytes--;
	expect_refused(&x, &e, "its parts do not fill it");
	fixture_close(&x);
}

/* Header and descriptors are signed with the volume's id: re-labelled bytes do not pass. */
Test(segment_block, a_relabelled_block_is_refused)
{
	struct fixture x;
	uint8_t other[16] = { 1 };
	fixture_open(&x, 0, 1);
	memcpy(x.raw + x.e.block_pos + BLOCK_VOLUME, other, 16);
	struct firn_error err = FIRN_ERROR_INIT;
	cr_expect_eq(open_with(&x, &x.e, other, &err), FIRN_ECORRUPT);
	cr_expect_not_null(strstr(err.text, "checksum"), "%s", err.text);
	fixture_close(&x);
}

Test(segment_block, every_flipped_bit_of_a_raw_block_is_seen)
{
	struct fixture x;
	fixture_open(&x, 0, 1);
	for (size_t bit = 0; bit < (size_t)x.e.block_len * 8; bit++) {
		uint8_t *at = x.raw + x.e.block_pos + bit / 8;
		*at ^= (uint8_t)(1u << bit % 8);
		cr_assert_eq(open_with(&x, &x.e, x.sample.meta.volume_id, NULL), FIRN_ECORRUPT,
		             "bit %zu", bit);
		*at ^= (uint8_t)(1u << bit % 8);
	}
	fixture_close(&x);
}

static void every_bit_of_a_frame(int level)
{
	struct fixture x;
	fixture_open(&x, level, 0);
	uint8_t *stored = x.o.data + x.e.frame_pos;
	uint8_t *raw = malloc(x.e.frame_raw_len);
	for (size_t bit = 0; bit < (size_t)x.e.frame_len * 8; bit++) {
		stored[bit / 8] ^= (uint8_t)(1u << bit % 8);
		cr_assert_eq(segment_frame_decode(&x.e, stored, x.e.frame_len, raw, NULL),
		             FIRN_ECORRUPT);
		stored[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	cr_assert_eq(segment_frame_decode(&x.e, stored, x.e.frame_len - 1, raw, NULL),
	             FIRN_ECORRUPT);
	free(raw);
	fixture_close(&x);
}

Test(segment_block, every_flipped_bit_of_a_stored_frame_is_seen)
{
	every_bit_of_a_frame(0);
	every_bit_of_a_frame(3);
}

/* A frame that lies about its raw length, with a good checksum. */
Test(segment_block, a_frame_of_another_length_is_refused)
{
	struct fixture x;
	fixture_open(&x, 3, 0);
	struct block_entry e = x.e;
	uint8_t *raw = malloc(x.e.frame_raw_len + 8);
	e.frame_raw_len++;
	cr_expect_eq(segment_frame_decode(&e, x.stored, e.frame_len, raw, NULL), FIRN_ECORRUPT);
	e.frame_raw_len -= 2;
	cr_expect_eq(segment_frame_decode(&e, x.stored, e.frame_len, raw, NULL), FIRN_ECORRUPT);
	e = x.e, e.frame_raw_len = SEGMENT_FRAME_RAW_MAX + 1;
	cr_expect_eq(segment_frame_decode(&e, x.stored, e.frame_len, raw, NULL), FIRN_ECORRUPT);
	e = x.e, e.codec = SEGMENT_RAW;
	cr_expect_eq(segment_frame_decode(&e, x.stored, e.frame_len, raw, NULL), FIRN_ECORRUPT);
	e = x.e, e.codec = 2;
	cr_expect_eq(segment_frame_decode(&e, x.stored, e.frame_len, raw, NULL), FIRN_EUNSUPPORTED);
	e = x.e, e.cipher = 1;
	cr_expect_eq(segment_frame_decode(&e, x.stored, e.frame_len, raw, NULL), FIRN_EUNSUPPORTED);
	e = x.e, e.key_id = 1;
	cr_expect_eq(segment_frame_decode(&e, x.stored, e.frame_len, raw, NULL), FIRN_ECORRUPT);
	free(raw);
	fixture_close(&x);
}

Test(segment_block, a_frame_shorter_than_the_block_is_refused)
{
	struct fixture x;
	struct block b;
	fixture_open(&x, 0, 0);
	for (size_t len = 0; len < x.e.block_len; len++) {
		uint8_t *cut = malloc(len ? len : 1);
		memcpy(cut, x.raw, len);
		cr_assert_eq(block_open(x.sample.meta.volume_id, &x.e, cut, len, &b, NULL),
		             FIRN_ECORRUPT);
		free(cut);
	}
	fixture_close(&x);
}

/* Bytes inside the checksum that a hostile writer signed: structure is still checked. */
Test(segment_block, signed_nonsense_is_refused_or_stays_inside)
{
	struct fixture x;
	uint64_t r = 77;
	fixture_open(&x, 0, 1);
	uint8_t *good = malloc(x.e.block_len), *at = x.raw + x.e.block_pos;
	memcpy(good, at, x.e.block_len);
	for (int i = 0; i < 20000; i++) {
		struct block_entry e = x.e;
		struct block b;
		size_t pos = sample_below(&r, 2) ? BLOCK_HEADER_LEN : 0;
		at[pos + sample_below(&r, 96)] = (uint8_t)sample_random(&r);
		segment_sign_block(x.sample.meta.volume_id, &e, x.raw, x.e.frame_raw_len);
		if (block_open(x.sample.meta.volume_id, &e, x.raw, x.e.frame_raw_len, &b, NULL) ==
		    0) {
			struct batch batch;
			uint32_t n = 0;
			for (uint64_t k = 0; (k = block_next(&b, k, &batch)) != 0; n++)
				cr_assert_leq(batch.payload + batch.payload_len, b.payload_end);
			cr_assert_eq(n, e.n_batch);
		}
		memcpy(at, good, x.e.block_len);
	}
	free(good);
	fixture_close(&x);
}
