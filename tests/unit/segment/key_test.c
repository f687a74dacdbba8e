/* Names of segments in the store. */
#include "tests/unit/segment/sample.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

TestSuite(segment_key, .timeout = 30);

Test(segment_key, what_is_written_is_read_back)
{
	uint64_t r = 7;
	for (int i = 0; i < 1000; i++) {
		struct segment_id id = { sample_random(&r) >> (i % 64), sample_random(&r) }, got;
		char key[64];
		segment_key(id, key, sizeof key);
		cr_assert_eq(segment_key_parse(key, &got), 0, "%s", key);
		cr_assert_eq(got.epoch, id.epoch);
		cr_assert_eq(got.n, id.n);
	}
}

Test(segment_key, is_stable)
{
	char key[64];
	segment_key((struct segment_id){ 3, 9 }, key, sizeof key);
	cr_assert_eq(strlen(key), 40);
	cr_expect_str_eq(key, "seg/1e/0000000000000003-0000000000000009");
}

Test(segment_key, numbers_spread_over_prefixes)
{
	unsigned char seen[256] = { 0 };
	int n = 0;
	for (uint64_t i = 0; i < 2000; i++) {
		char key[64];
		unsigned two;
		segment_key((struct segment_id){ 1, i }, key, sizeof key);
		cr_assert_eq(sscanf(key, "seg/%2x/", &two), 1);
		n += !seen[two];
		seen[two] = 1;
	}
	cr_assert_gt(n, 250, "%d prefixes", n);
}

/* What passes is the name of another segment: one hash in 256 fits by chance. */
Test(segment_key, one_other_character_hardly_ever_passes)
{
	struct segment_id id;
	char key[64], again[64];
	int n = 0, n_passed = 0;
	segment_key((struct segment_id){ 0xabc, 0xdef }, key, sizeof key);
	for (size_t i = 0; key[i]; i++) {
		char was = key[i];
		for (int c = 1; c < 256; c++, n++) {
			key[i] = (char)c;
			if (key[i] == was || segment_key_parse(key, &id))
				continue;
			segment_key(id, again, sizeof again);
			cr_assert_str_eq(again, key);
			n_passed++;
		}
		key[i] = was;
	}
	cr_expect_lt(n_passed, n / 1000, "%d of %d", n_passed, n);
}

Test(segment_key, other_lengths_are_refused)
{
	struct segment_id id;
	char key[64];
	segment_key((struct segment_id){ 1, 2 }, key, sizeof key);
	strcat(key, "0");
	cr_assert_eq(segment_key_parse(key, &id), -1);
	for (size_t len = 39; len > 0; len--) {
		key[len] = 0;
		cr_assert_eq(segment_key_parse(key, &id), -1);
	}
	cr_assert_eq(segment_key_parse("", &id), -1);
}
