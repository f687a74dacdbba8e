/* Rows of the index: a key and a value of hostile bytes. First as they are, then with the sum made right
 * and, as the input's last byte says, a table that exists; what decodes must encode to the same
 * bytes. Input: key length (a byte), key, value, table (the last byte). */
#include "engine/index/rows.h"
#include "engine/os/env.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int ok)
{
	if (!ok)
		abort();
}

static volatile uint64_t sink;

static void touch(const void *data, size_t len)
{
	const uint8_t *at = data;
	for (size_t i = 0; i < len; i++)
		sink += at[i];
}

union row {
	struct index_meta meta;
	struct index_volume volume;
	struct stream_state stream;
	struct index_extent_row extent;
	struct gap_entry gap;
	struct kv_change kv;
	struct index_producer_row producer;
	struct key_entry key;
};

/* 0: decoded, and written again into b, not sealed. */
static int again(const struct index_row *r, struct buf *b, struct firn_error *err)
{
	union row u;
	int rc;
	switch (index_row_table(r)) {
	case INDEX_META:
		if ((rc = index_meta_get(r, &u.meta, err)) == 0)
			index_meta_put(b, &u.meta);
		return rc;
	case INDEX_VOLUME:
		if ((rc = index_volume_row_get(r, &u.volume, err)) == 0)
			index_volume_put(b, &u.volume);
		return rc;
	case INDEX_STREAM:
		if ((rc = index_stream_get(r, &u.stream, err)) == 0)
			index_stream_put(b, &u.stream);
		return rc;
	case INDEX_EXTENT:
		if ((rc = index_extent_get(r, &u.extent, err)) == 0)
			index_extent_put(b, &u.extent);
		return rc;
	case INDEX_GAP:
		if ((rc = index_gap_get(r, &u.gap, err)) == 0)
			index_gap_put(b, &u.gap);
		return rc;
	case INDEX_KV:
		if ((rc = index_kv_get(r, &u.kv, err)) == 0)
			index_kv_put(b, &u.kv);
		return rc;
	case INDEX_PRODUCER:
		if ((rc = index_producer_get(r, &u.producer, err)) == 0)
			index_producer_put(b, &u.producer.p);
		return rc;
	case INDEX_KEY:
		if ((rc = index_idem_get(r, &u.key, err)) == 0) {
			touch(u.key.key, u.key.key_len);
			index_idem_put(b, &u.key);
		}
		return rc;
	default:
		return FIRN_ENOENT;
	}
}

static void row_read(const struct index_key *k, const uint8_t *value, size_t len)
{
	struct index_row r = { k->data, value, k->len, len };
	struct firn_error err = FIRN_ERROR_INIT;
	char text[INDEX_TEXT_MAX];
	struct buf b;
	index_key_text(k->data, k->len, text);
	touch(text, strlen(text));
	buf_init(&b, env_default());
	int rc = again(&r, &b, &err);
	if (rc == 0) {
		index_row_seal(&b, k);
		require(!b.failed && b.len == len && memcmp(b.data, value, len) == 0);
	} else if (rc != FIRN_ENOENT) {
		require((rc == FIRN_ECORRUPT || rc == FIRN_EUNSUPPORTED) && err.code == rc);
	}
	buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t tables[] = { INDEX_META, INDEX_VOLUME, INDEX_STREAM,   INDEX_EXTENT,
		                          INDEX_GAP,  INDEX_KV,     INDEX_PRODUCER, INDEX_KEY };
	struct index_key k = { .len = 0 };
	struct buf b;
	if (size < 2)
		return 0;
	uint8_t table = data[--size];
	k.len = data[0] < size ? data[0] : (uint32_t)size - 1;
	memcpy(k.data, data + 1, k.len);
	const uint8_t *value = data + 1 + k.len;
	size_t len = size - 1 - k.len;
	row_read(&k, value, len);
	if (len < 8)
		return 0;
	if (k.len >= INDEX_KEY_HEAD)
		k.data[4] = tables[table % sizeof tables];
	buf_init(&b, env_default());
	index_row_begin(&b);
	buf_put(&b, value + 8, len - 8);
	index_row_seal(&b, &k);
	row_read(&k, b.data, b.len);
	buf_fini(&b);
	return 0;
}
