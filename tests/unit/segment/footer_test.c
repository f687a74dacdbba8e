/* Opening footers: whole, from a tail, damaged, cut, hostile, and of a version to come. */
#include "tests/unit/segment/sample.h"
#include "engine/segment/row.h"
#include "tests/fuzz/segment_sign.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(segment_footer, .timeout = 60);

static struct sample_object tiny(void)
{
	struct sample s;
	sample_tiny_init(&s);
	struct sample_object o = sample_write(&s, 0);
	sample_fini(&s);
	return o;
}

/* Opens a tail in an allocation of exactly its size, so that ASan sees a read beyond. */
static int open_tail(const struct sample_object *o, size_t tail_len, uint64_t object_len,
                     size_t *need, struct firn_error *err)
{
	struct sample_env e;
	struct segment_footer *f;
	sample_env_init(&e);
	uint8_t *tail = malloc(tail_len ? tail_len : 1);
	memcpy(tail, o->data + o->len - tail_len, tail_len);
	int rc = segment_footer_open(&e.env, tail, tail_len, object_len, &f, need, err);
	free(tail); /* the footer keeps a copy */
	if (rc == 0)
		segment_footer_close(f);
	else
		cr_assert_null(f);
	cr_assert_eq(e.n_live, 0);
	cr_assert_leq(e.largest, tail_len + 4096, "allocates %lu for %zu", e.largest, tail_len);
	return rc;
}

static int open_all(const struct sample_object *o, struct firn_error *err)
{
	size_t need;
	return open_tail(o, o->len, o->len, &need, err);
}

Test(segment_footer, a_short_tail_says_how_much_is_needed)
{
	struct sample_object o = tiny();
	size_t footer_len = o.len - o.footer_pos, need;
	for (size_t len = 0; len <= o.len; len++) {
		int rc = open_tail(&o, len, o.len, &need, NULL);
		if (len < SEGMENT_TRAILER_LEN) {
			cr_assert_eq(rc, FIRN_EAGAIN);
			cr_assert_eq(need, SEGMENT_TRAILER_LEN);
		} else if (len < footer_len) {
			cr_assert_eq(rc, FIRN_EAGAIN);
			cr_assert_eq(need, footer_len);
		} else {
			cr_assert_eq(rc, 0);
		}
	}
	free(o.data);
}

Test(segment_footer, every_flipped_bit_of_footer_and_trailer_is_seen)
{
	struct sample_object o = tiny();
	for (size_t bit = o.footer_pos * 8; bit < o.len * 8; bit++) {
		struct firn_error err = FIRN_ERROR_INIT;
		o.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		cr_assert_eq(open_all(&o, &err), FIRN_ECORRUPT, "bit %zu", bit);
		cr_assert_neq(err.text[0], 0);
		o.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	cr_assert_eq(open_all(&o, NULL), 0);
	free(o.data);
}

Test(segment_footer, a_cut_or_longer_object_is_seen)
{
	struct sample_object o = tiny();
	size_t need;
	for (size_t len = 0; len < o.len; len++) {
		struct sample_object cut = { o.data, len, 0, 0 };
		cr_assert_eq(open_tail(&cut, len, len, &need, NULL), FIRN_ECORRUPT, "cut at %zu",
		             len);
	}
	cr_expect_eq(open_tail(&o, o.len, o.len + 1, &need, NULL), FIRN_ECORRUPT);
	cr_expect_eq(open_tail(&o, o.len, o.len - 1, &need, NULL), FIRN_EINVAL);
	free(o.data);
}

/* Changes `len` bytes at `pos`, signs all, opens, restores. */
static int open_forged(struct sample_object *o, size_t pos, uint64_t value, size_t len,
                       struct firn_error *err)
{
	uint8_t *copy = malloc(o->len);
	memcpy(copy, o->data, o->len);
	memcpy(o->data + pos, &value, len);
	segment_sign(o->data, o->len);
	int rc = open_all(o, err);
	memcpy(o->data, copy, o->len);
	free(copy);
	return rc;
}

static const uint64_t extremes[] = { 0,          1,          7,
	                             8,          63,         65,
	                             0x7fffffff, 0xffffffff, UINT32_MAX + UINT64_C(1),
	                             INT64_MAX,  UINT64_MAX, UINT64_MAX - 7 };
enum { N_EXTREMES = sizeof extremes / sizeof extremes[0] };

Test(segment_footer, hostile_lengths_are_refused)
{
	struct sample_object o = tiny();
	size_t t = o.len - SEGMENT_TRAILER_LEN;
	static const int fields[] = { TRAILER_FOOTER_POS, TRAILER_FOOTER_LEN, TRAILER_OBJECT_LEN };
	for (size_t i = 0; i < 3; i++)
		for (size_t k = 0; k < N_EXTREMES; k++)
			cr_assert_neq(open_forged(&o, t + (size_t)fields[i], extremes[k], 8, NULL),
			              0);
	for (int kind = 0; kind < SECTION_KINDS; kind++)
		for (size_t k = 0; k < N_EXTREMES; k++) {
			size_t slot = t + TRAILER_SECTIONS + (size_t)kind * SECTION_SLOT_LEN;
			cr_assert_neq(open_forged(&o, slot + SECTION_POS, extremes[k], 8, NULL), 0);
			cr_assert_neq(open_forged(&o, slot + SECTION_BYTES, extremes[k], 8, NULL),
			              0);
			if (extremes[k] != 1)
				cr_assert_neq(open_forged(&o, slot + SECTION_COUNT, extremes[k] | 4,
				                          4, NULL),
				              0, "section %d", kind);
		}
	free(o.data);
}

/* A segment of a future in which something is set that today is zero. */
Test(segment_footer, signed_nonsense_is_refused_or_harmless)
{
	struct sample_object o = tiny();
	size_t n_refused = 0;
	for (size_t pos = o.footer_pos; pos < o.len - 8; pos++)
		for (size_t k = 0; k < N_EXTREMES; k++)
			n_refused += open_forged(&o, pos, extremes[k], 4, NULL) != 0;
	cr_assert_gt(n_refused, 1000);
	free(o.data);
}

Test(segment_footer, reserved_bytes_and_padding_must_be_zero)
{
	struct sample_object o = tiny();
	struct sample_env e;
	sample_env_init(&e);
	struct segment_footer *f = sample_footer(&e.env, &o);
	struct stream_state s;
	segment_stream_at(f, 1, &s);
	/* name 7, config 4: five bytes of padding in its row */
	size_t t = o.len - SEGMENT_TRAILER_LEN;
	size_t slot = t + TRAILER_SECTIONS + SECTION_STREAMS * SECTION_SLOT_LEN;
	size_t end = le64_get(o.data + slot + SECTION_POS) +
	             le64_get(o.data + slot + SECTION_BYTES);
	for (size_t i = 1; i <= 5; i++)
		cr_expect_eq(open_forged(&o, end - i, 1, 1, NULL), FIRN_ECORRUPT);
	for (size_t i = TRAILER_RESERVED; i < TRAILER_SUM; i++)
		cr_expect_eq(open_forged(&o, t + i, 1, 1, NULL), FIRN_ECORRUPT);
	for (size_t i = TRAILER_SECTIONS + SECTION_KINDS * SECTION_SLOT_LEN; i < TRAILER_RESERVED;
	     i++)
		cr_expect_eq(open_forged(&o, t + i, 1, 1, NULL), FIRN_ECORRUPT);
	for (size_t i = 74; i < 80; i++)
		cr_expect_eq(open_forged(&o, o.footer_pos + i, 1, 1, NULL), FIRN_ECORRUPT);
	for (size_t i = 120; i < ROW_BLOCK_LEN; i++)
		cr_expect_eq(open_forged(&o, o.footer_pos + i, 1, 1, NULL), FIRN_ECORRUPT);
	segment_footer_close(f);
	free(o.data);
}

static void expect_unsupported(struct sample_object *o, size_t pos, uint64_t value, size_t len,
                               const char *word)
{
	struct firn_error err = FIRN_ERROR_INIT;
	cr_expect_eq(open_forged(o, pos, value, len, &err), FIRN_EUNSUPPORTED);
	cr_expect_not_null(strstr(err.text, word), "%s", err.text);
}

Test(segment_footer, what_is_newer_is_refused_by_name)
{
	struct sample_object o = tiny();
	size_t t = o.len - SEGMENT_TRAILER_LEN;
	expect_unsupported(&o, t + HEAD_VERSION, 2, 4, "version 2");
	expect_unsupported(&o, t + HEAD_INCOMPAT, 0x10, 4, "0x10");
	expect_unsupported(&o, o.footer_pos + 72, 9, 1, "codec 9");
	expect_unsupported(&o, o.footer_pos + 73, 1, 1, "cipher 1");
	cr_expect_eq(open_forged(&o, t + HEAD_COMPAT, 0x10, 4, NULL), 0,
	             "compatible features pass");
	free(o.data);
}

/* A compatible feature may bring a section of its own: an old reader carries on. */
Test(segment_footer, an_added_section_is_skipped_if_compatible)
{
	struct sample_object o = tiny();
	size_t t = o.len - SEGMENT_TRAILER_LEN;
	struct sample_object more = { malloc(o.len + 16), o.len + 16, o.footer_pos, 0 };
	memcpy(more.data, o.data, t);
	memset(more.data + t, 0x5a, 16);
	uint8_t *at = more.data + t + 16,
	        *slot = at + TRAILER_SECTIONS + SECTION_KINDS * SECTION_SLOT_LEN;
	memcpy(at, o.data + t, SEGMENT_TRAILER_LEN);
	le64_put(at + TRAILER_FOOTER_LEN, le64_get(at + TRAILER_FOOTER_LEN) + 16);
	le64_put(at + TRAILER_OBJECT_LEN, more.len);
	le32_put(at + TRAILER_N_SECTIONS, SECTION_KINDS + 1);
	le64_put(slot + SECTION_POS, t);
	le64_put(slot + SECTION_BYTES, 16);
	le64_put(slot + SECTION_SUM, sum64(more.data + t, 16));
	segment_sign(more.data, more.len);
	cr_expect_eq(open_all(&more, NULL), FIRN_ECORRUPT, "no feature announces it");
	le32_put(at + HEAD_COMPAT, 1);
	segment_sign(more.data, more.len);
	cr_expect_eq(open_all(&more, NULL), 0);
	more.data[t] ^= 1;
	cr_expect_eq(open_all(&more, NULL), FIRN_ECORRUPT, "and it is verified all the same");
	free(more.data);
	free(o.data);
}

Test(segment_footer, blocks_out_of_order_are_refused)
{
	struct sample_object o = tiny();
	struct firn_error err = FIRN_ERROR_INIT;
	size_t second = o.footer_pos + ROW_BLOCK_LEN;
	cr_expect_eq(open_forged(&o, second, 1, 8, &err), FIRN_ECORRUPT, "an earlier stream");
	cr_expect_not_null(strstr(err.text, "out of order"), "%s", err.text);
	/* The same stream, offsets [11, 13) behind [10, 12): overlap. */
	uint8_t row[24];
	memcpy(row, o.data + second, 24);
	le64_put(o.data + second, 0x30000000001);
	le64_put(o.data + second + 16, 13);
	cr_expect_eq(open_forged(&o, second + 8, 11, 8, &err), FIRN_ECORRUPT);
	cr_expect_not_null(strstr(err.text, "out of order"), "%s", err.text);
	cr_expect_eq(open_forged(&o, second + 8, 12, 8, NULL), 0, "but it may follow");
	memcpy(o.data + second, row, 24);
	cr_expect_eq(open_forged(&o, second + 40, 0, 4, NULL), FIRN_ECORRUPT,
	             "two blocks in one place");
	cr_expect_eq(open_forged(&o, second + 24, 65, 8, NULL), FIRN_ECORRUPT,
	             "a gap between frames");
	free(o.data);
}

Test(segment_footer, any_allocation_may_fail)
{
	struct sample_object o = tiny();
	for (uint64_t fail_at = 1; fail_at <= 2; fail_at++) {
		struct sample_env e;
		struct segment_footer *f;
		size_t need;
		sample_env_init(&e);
		e.fail_at = fail_at;
		cr_assert_eq(segment_footer_open(&e.env, o.data, o.len, o.len, &f, &need, NULL),
		             FIRN_ENOMEM);
		cr_assert_eq(e.n_live, 0);
	}
	free(o.data);
}
