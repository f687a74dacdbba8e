/* Manifests: what was encoded is decoded; every flipped bit, cut and lie is refused by name (P6). */
#include "engine/base/le.h"
#include "engine/base/sum.h"
#include "engine/manifest/layout.h"
#include "tests/unit/manifest/sample.h"
#include <criterion/criterion.h>

static struct firn_error err;

/* Encodes, or fails the test. */
static struct buf bytes_of(const struct manifest *m)
{
	struct buf b;

	buf_init(&b, env_default());
	cr_assert_eq(manifest_encode(m, &b), FIRN_OK);
	return b;
}

static struct buf sample_bytes(void)
{
	struct manifest m;

	sample_manifest(&m);
	struct buf b = bytes_of(&m);

	manifest_fini(&m, env_default());
	return b;
}

static int decode(const uint8_t *data, size_t len)
{
	struct manifest m;
	int rc = manifest_decode(env_default(), data, len, &m, &err);

	manifest_fini(&m, env_default());
	return rc;
}

/* Makes both sums right again: what is left to find is not the sums' business. */
static void sign(uint8_t *data, size_t len)
{
	le64_put(data + MANIFEST_HEADER_SUM_AT, sum64(data, MANIFEST_HEADER_SUM_AT));
	le64_put(data + len - 8, sum64(data, len - 8));
}

static void same_rows(const void *a, const void *b, size_t n, size_t elem, const char *what)
{
	cr_assert(n == 0 || !memcmp(a, b, n * elem), "%s", what);
}

static void same(const struct manifest *a, const struct manifest *b)
{
	/* Everything up to the arrays is plain fields without padding. */
	same_rows(a, b, offsetof(struct manifest, log), 1, "fields");
	cr_assert_eq(a->n_log, b->n_log);
	same_rows(a->log, b->log, a->n_log, sizeof *a->log, "logs");
	same_rows(a->layer, b->layer, a->n_layer, sizeof *a->layer, "layers");
	same_rows(a->segment, b->segment, a->n_segment, sizeof *a->segment, "segments");
	same_rows(a->lost, b->lost, a->n_lost, sizeof *a->lost, "lost");
	same_rows(a->dead, b->dead, a->n_dead, sizeof *a->dead, "dead");
	cr_assert_eq(a->ext_len, b->ext_len);
	same_rows(a->ext, b->ext, (size_t)a->ext_len, 1, "extension");
}

Test(manifest_decode, what_was_encoded_comes_back)
{
	struct manifest m, back;

	sample_manifest(&m);
	struct buf b = bytes_of(&m);

	cr_assert_eq(manifest_decode(env_default(), b.data, b.len, &back, &err), FIRN_OK, "%s",
	             err.text);
	same(&m, &back);
	manifest_fini(&m, env_default());
	manifest_fini(&back, env_default());
	buf_fini(&b);
}

Test(manifest_decode, seeded_random_manifests_come_back_and_have_one_encoding)
{
	for (uint64_t seed = 0; seed < 500; seed++) {
		struct manifest m, back;

		sample_random(&m, seed);
		struct buf b = bytes_of(&m), again;

		cr_assert_eq(manifest_decode(env_default(), b.data, b.len, &back, &err), FIRN_OK,
		             "seed %llu: %s", (unsigned long long)seed, err.text);
		same(&m, &back);
		again = bytes_of(&back);
		cr_assert(again.len == b.len && !memcmp(again.data, b.data, b.len));
		manifest_fini(&m, env_default());
		manifest_fini(&back, env_default());
		buf_fini(&b);
		buf_fini(&again);
	}
}

Test(manifest_decode, every_flipped_bit_is_detected)
{
	struct buf b = sample_bytes();

	for (size_t i = 0; i < b.len * 8; i++) {
		b.data[i / 8] ^= (uint8_t)(1u << i % 8);
		cr_assert_eq(decode(b.data, b.len), FIRN_ECORRUPT, "bit %zu of byte %zu", i % 8,
		             i / 8);
		b.data[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	cr_assert_eq(decode(b.data, b.len), FIRN_OK);
	buf_fini(&b);
}

Test(manifest_decode, every_truncation_and_every_longer_object_is_detected)
{
	struct buf b = sample_bytes();
	size_t len = b.len;

	for (size_t n = 0; n < len; n++) {
		uint8_t *copy = malloc(n + 1); /* exactly so long, for ASan */

		memcpy(copy, b.data, n);
		cr_assert_eq(decode(copy, n), FIRN_ECORRUPT, "%zu bytes", n);
		free(copy);
	}
	buf_zero(&b, 8);
	cr_assert_eq(decode(b.data, b.len), FIRN_ECORRUPT);
	le64_put(b.data + 40, b.len);
	sign(b.data, b.len);
	cr_assert_eq(decode(b.data, b.len), FIRN_ECORRUPT, "bytes that belong to nothing");
	buf_fini(&b);
}

/* With right sums each bit must still mean something: either it is refused, or it decodes to a
 * manifest that encodes to exactly these bytes. So no byte is ignored. */
Test(manifest_decode, no_signed_byte_is_ignored)
{
	struct buf b = sample_bytes(), again;
	size_t n_accepted = 0, n_refused = 0;

	buf_init(&again, env_default());
	for (size_t i = 0; i < (b.len - 8) * 8; i++) {
		struct manifest m;

		if (i / 64 == MANIFEST_HEADER_SUM_AT / 8)
			continue;
		b.data[i / 8] ^= (uint8_t)(1u << i % 8);
		sign(b.data, b.len);
		if (manifest_decode(env_default(), b.data, b.len, &m, &err) == FIRN_OK) {
			cr_assert_eq(manifest_encode(&m, &again), FIRN_OK);
			cr_assert(again.len == b.len && !memcmp(again.data, b.data, b.len),
			          "byte %zu is ignored", i / 8);
			n_accepted++;
		} else {
			cr_assert(err.code == FIRN_ECORRUPT || err.code == FIRN_EUNSUPPORTED);
			n_refused++;
		}
		manifest_fini(&m, env_default());
		b.data[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	cr_assert_gt(n_accepted, 1000u, "ids, sums, times");
	cr_assert_gt(n_refused, 500u, "lengths, counts, reserved");
	buf_fini(&b);
	buf_fini(&again);
}

Test(manifest_decode, a_newer_format_and_an_unknown_incompat_bit_are_named)
{
	struct buf b = sample_bytes();

	le64_put(b.data + 32, UINT64_C(0x8000000000000010));
	sign(b.data, b.len);
	cr_assert_eq(decode(b.data, b.len), FIRN_EUNSUPPORTED);
	cr_assert_not_null(strstr(err.text, "incompat 0x8000000000000010"), "%s", err.text);
	le64_put(b.data + 32, 0);
	le32_put(b.data + 8, 2);
	sign(b.data, b.len);
	cr_assert_eq(decode(b.data, b.len), FIRN_EUNSUPPORTED);
	cr_assert_not_null(strstr(err.text, "format 2"), "%s", err.text);
	buf_fini(&b);
}

Test(manifest_decode, a_newer_format_is_called_newer_whatever_follows_its_header)
{
	struct buf b = sample_bytes();

	le32_put(b.data + 8, 7);
	le64_put(b.data + MANIFEST_HEADER_SUM_AT, sum64(b.data, MANIFEST_HEADER_SUM_AT));
	cr_assert_eq(decode(b.data, MANIFEST_HEADER_LEN), FIRN_EUNSUPPORTED, "%s", err.text);
	buf_fini(&b);
}

Test(manifest_decode, an_unknown_ro_compat_bit_reads_but_does_not_write)
{
	struct buf b = sample_bytes();
	struct manifest m;

	le64_put(b.data + 24, 0x40);
	sign(b.data, b.len);
	cr_assert_eq(manifest_decode(env_default(), b.data, b.len, &m, &err), FIRN_OK);
	cr_assert_eq(manifest_writable(&m, &err), FIRN_EUNSUPPORTED);
	cr_assert_not_null(strstr(err.text, "ro_compat 0x40"), "%s", err.text);
	m.ro_compat = 0;
	cr_assert_eq(manifest_writable(&m, &err), FIRN_OK);
	manifest_fini(&m, env_default());
	buf_fini(&b);
}

Test(manifest_decode, what_a_later_release_added_is_kept)
{
	struct manifest m, back;
	uint8_t ext[13] = "thirteen byte";

	sample_manifest(&m);
	m.compat = 0x100;
	m.ext = ext;
	m.ext_len = sizeof ext;
	struct buf b = bytes_of(&m);

	cr_assert_eq(manifest_decode(env_default(), b.data, b.len, &back, &err), FIRN_OK);
	cr_assert_eq(manifest_writable(&back, &err), FIRN_OK);
	same(&m, &back);
	m.ext = NULL;
	manifest_fini(&m, env_default());
	manifest_fini(&back, env_default());
	buf_fini(&b);
}

Test(manifest_decode, a_foreign_object_is_unsupported_and_a_wiped_one_corrupt)
{
	uint8_t other[300] = "SQLite format 3", zero[300] = { 0 };

	cr_assert_eq(decode(other, sizeof other), FIRN_EUNSUPPORTED);
	cr_assert_eq(decode(zero, sizeof zero), FIRN_ECORRUPT);
	cr_assert_eq(decode(other, 0), FIRN_ECORRUPT);
}

/* A count of 2^32 - 1 in an object of a kilobyte must not become an allocation. */
Test(manifest_decode, hostile_counts_are_bounded_by_the_bytes_that_are_there)
{
	for (size_t at = MANIFEST_HEADER_LEN + 116; at < MANIFEST_HEADER_LEN + MANIFEST_FIXED_LEN;
	     at += 4) {
		struct buf b = sample_bytes();

		le32_put(b.data + at, UINT32_MAX);
		sign(b.data, b.len);
		cr_assert_eq(decode(b.data, b.len), FIRN_ECORRUPT, "at %zu", at);
		buf_fini(&b);
	}
}

struct starved {
	struct firn_env env;
	int left;
};

static void *starved_alloc(void *ctx, size_t len, size_t align)
{
	struct starved *s = ctx;
	const struct firn_env *real = env_default();

	return s->left-- > 0 ? real->alloc(real->ctx, len, align) : NULL;
}

static void starved_release(void *ctx, void *p)
{
	const struct firn_env *real = env_default();

	(void)ctx;
	real->release(real->ctx, p);
}

Test(manifest_decode, every_failed_allocation_is_enomem_and_leaks_nothing)
{
	struct buf b = sample_bytes();
	struct starved s;
	int n = 0, rc;

	s.env = *env_default();
	s.env.ctx = &s;
	s.env.alloc = starved_alloc;
	s.env.release = starved_release;
	do {
		struct manifest m, copy;

		s.left = n++;
		rc = manifest_decode(&s.env, b.data, b.len, &m, &err);
		if (rc == FIRN_OK)
			rc = manifest_copy(&m, &copy, &s.env);
		cr_assert(rc == FIRN_OK || rc == FIRN_ENOMEM);
		if (rc == FIRN_OK)
			manifest_fini(&copy, &s.env);
		manifest_fini(&m, &s.env);
	} while (rc != FIRN_OK);
	cr_assert_eq(n, 11, "five arrays, five copies, and once to succeed");
	buf_fini(&b);
}
