/* A whole object: every byte accounted for. (P6) */
#include "tests/unit/segment/sample.h"
#include "tests/fuzz/segment_sign.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(segment_verify, .timeout = 60);

static int verify(const uint8_t *data, size_t len, struct firn_error *err)
{
	struct sample_env e;
	sample_env_init(&e);
	int rc = segment_verify(&e.env, data, len, err);
	cr_assert_eq(e.n_live, 0);
	return rc;
}

static void every_bit(const struct sample_object *o)
{
	for (size_t bit = 0; bit < o->len * 8; bit++) {
		struct firn_error err = FIRN_ERROR_INIT;
		o->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		cr_assert_eq(verify(o->data, o->len, &err), FIRN_ECORRUPT, "bit %zu", bit);
		cr_assert_not_null(strstr(err.text, " at "), "no position: %s", err.text);
		o->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	cr_assert_eq(verify(o->data, o->len, NULL), 0);
}

Test(segment_verify, every_flipped_bit_is_seen)
{
	struct sample s;
	sample_tiny_init(&s);
	struct sample_object o = sample_write(&s, 0);
	every_bit(&o);
	free(o.data);
	sample_fini(&s);
}

Test(segment_verify, every_flipped_bit_is_seen_when_compressed)
{
	struct sample s;
	sample_tiny_init(&s);
	for (uint32_t i = 0; i < s.n_batch; i++)
		s.compress[i] = 2;
	struct sample_object o = sample_write(&s, 3);
	every_bit(&o);
	free(o.data);
	sample_fini(&s);
}

Test(segment_verify, every_cut_is_seen)
{
	struct sample s;
	sample_random_init(&s, 3, 30, 50);
	struct sample_object o = sample_write(&s, 3);
	for (size_t len = 0; len < o.len; len++) {
		uint8_t *cut = malloc(len ? len : 1);
		memcpy(cut, o.data, len);
		cr_assert_eq(verify(cut, len, NULL), FIRN_ECORRUPT, "cut at %zu", len);
		memmove(cut, o.data + o.len - len, len);
		cr_assert_eq(verify(cut, len, NULL), FIRN_ECORRUPT, "the last %zu", len);
		free(cut);
	}
	free(o.data);
	sample_fini(&s);
}

Test(segment_verify, a_head_of_another_segment_is_seen)
{
	struct sample s;
	struct firn_error err = FIRN_ERROR_INIT;
	sample_tiny_init(&s);
	struct sample_object o = sample_write(&s, 0);
	o.data[HEAD_N] ^= 1;
	segment_sign(o.data, o.len);
	cr_expect_eq(verify(o.data, o.len, &err), FIRN_ECORRUPT);
	cr_expect_not_null(strstr(err.text, "header at 0"), "%s", err.text);
	free(o.data);
	sample_fini(&s);
}

Test(segment_verify, damage_is_named_with_its_place)
{
	struct sample s;
	struct firn_error err = FIRN_ERROR_INIT;
	sample_tiny_init(&s);
	struct sample_object o = sample_write(&s, 0);
	o.data[100] ^= 1;
	cr_expect_eq(verify(o.data, o.len, &err), FIRN_ECORRUPT);
	cr_expect_str_eq(err.text, "frame at 64: checksum mismatch");
	cr_expect_str_eq(err.origin, "segment");
	o.data[100] ^= 1;
	o.data[o.footer_pos + 2] ^= 1;
	cr_expect_eq(verify(o.data, o.len, &err), FIRN_ECORRUPT);
	cr_expect_not_null(strstr(err.text, "block index at "), "%s", err.text);
	free(o.data);
	sample_fini(&s);
}

Test(segment_verify, any_allocation_may_fail)
{
	struct sample s;
	int rc = FIRN_ENOMEM;
	sample_tiny_init(&s);
	struct sample_object o = sample_write(&s, 0);
	for (uint64_t fail_at = 1; rc; fail_at++) {
		struct sample_env e;
		sample_env_init(&e);
		e.fail_at = fail_at;
		rc = segment_verify(&e.env, o.data, o.len, NULL);
		cr_assert(rc == FIRN_ENOMEM || (rc == 0 && fail_at > 3));
		cr_assert_eq(e.n_live, 0);
	}
	free(o.data);
	sample_fini(&s);
}
