/* Codecs of rows: what was put is got; bytes of a stranger with a right sum are refused or make a
 * row. (P6) */
#include "engine/index/rows.h"
#include "engine/os/env.h"
#include "index_model.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(index_row, .timeout = 60);

static int get_any(enum index_table table, const struct index_row *r, struct firn_error *err)
{
	struct index_meta meta;
	struct index_volume volume;
	struct stream_state stream;
	struct index_extent_row extent;
	struct gap_entry gap;
	struct kv_change kv;
	struct index_producer_row producer;
	struct key_entry key;
	switch (table) {
	case INDEX_META:
		return index_meta_get(r, &meta, err);
	case INDEX_VOLUME:
		return index_volume_row_get(r, &volume, err);
	case INDEX_STREAM:
		return index_stream_get(r, &stream, err);
	case INDEX_EXTENT:
		return index_extent_get(r, &extent, err);
	case INDEX_GAP:
		return index_gap_get(r, &gap, err);
	case INDEX_KV:
		return index_kv_get(r, &kv, err);
	case INDEX_PRODUCER:
		return index_producer_get(r, &producer, err);
	default:
		return index_idem_get(r, &key, err);
	}
}

Test(index_row, strange_fields_are_refused_or_make_a_row)
{
	static const enum index_table tables[] = { INDEX_META,     INDEX_VOLUME, INDEX_STREAM,
		                                   INDEX_EXTENT,   INDEX_GAP,    INDEX_KV,
		                                   INDEX_PRODUCER, INDEX_KEY };
	struct model rng = { .rng = 1 };
	struct buf b;
	buf_init(&b, env_default());
	int refused = 0;
	for (int i = 0; i < 200000; i++) {
		struct firn_error err = FIRN_ERROR_INIT;
		struct index_key k;
		enum index_table table = tables[model_random(&rng, 8)];
		index_key_head(&k, (uint32_t)model_random(&rng, 3), table);
		uint64_t n = model_random(&rng, 300);
		k.len = (uint32_t)(model_random(&rng, 3) ? 13 + 8 * model_random(&rng, 2)
		                                         : 5 + model_random(&rng, 200));
		for (uint32_t j = INDEX_KEY_HEAD; j < k.len; j++)
			k.data[j] = (uint8_t)model_random(&rng, 256);
		index_row_begin(&b);
		for (uint64_t j = 0; j < n; j++)
			buf_put_u8(&b, (uint8_t)(model_random(&rng, 3) ? model_random(&rng, 4)
			                                               : model_random(&rng, 256)));
		index_row_seal(&b, &k);
		/* exact copies, so that a sanitizer sees a read past the end */
		uint8_t *key = malloc(k.len), *value = malloc(b.len);
		cr_assert(key && value);
		memcpy(key, k.data, k.len);
		memcpy(value, b.data, b.len);
		struct index_row r = { key, value, k.len, b.len };
		int rc = get_any(table, &r, &err);
		cr_assert(rc == 0 || rc == FIRN_ECORRUPT || rc == FIRN_EUNSUPPORTED, "%d", rc);
		refused += rc != 0;
		value[model_random(&rng, b.len)] ^= (uint8_t)(1u << model_random(&rng, 8));
		cr_assert_eq(get_any(table, &r, &err), FIRN_ECORRUPT);
		free(key);
		free(value);
	}
	cr_assert_gt(refused, 100000);
	buf_fini(&b);
}

Test(index_row, keys_of_a_table_sort_as_numbers_and_bytes)
{
	struct index_key a, b;
	index_key_u64(&a, 1, INDEX_EXTENT, 255, 1);
	index_key_u64(&b, 1, INDEX_EXTENT, 256, 0);
	cr_assert_lt(memcmp(a.data, b.data, a.len), 0);
	index_key_u64(&a, 255, INDEX_EXTENT, 9, 9);
	index_key_u64(&b, 256, INDEX_EXTENT, 0, 0);
	cr_assert_lt(memcmp(a.data, b.data, a.len), 0);
	cr_assert_eq(index_key_bytes(&a, 1, INDEX_KV, 1, "abc", 3), 0);
	cr_assert_eq(index_key_bytes(&b, 1, INDEX_KV, 1, "abd", 3), 0);
	cr_assert_lt(memcmp(a.data, b.data, a.len), 0);
	uint8_t big[600] = { 0 };
	cr_assert_eq(index_key_bytes(&a, 1, INDEX_KV, 1, big, sizeof big), FIRN_EINVAL);
}

Test(index_row, an_error_names_table_volume_stream_and_key)
{
	struct index_key k;
	char text[INDEX_TEXT_MAX];
	index_key_u64(&k, 3, INDEX_EXTENT, 17, 42);
	index_key_text(k.data, k.len, text);
	cr_assert_str_eq(text, "extent row of volume 3, stream 17, key 000000000000002a");
	index_key_text(k.data, 2, text);
	cr_assert_str_eq(text, "row of no table, key 0000");
}
