#include "engine/base/le.h"
#include "engine/index/rows.h"
#include <stdio.h>

void index_key_head(struct index_key *k, uint32_t number, enum index_table table)
{
	for (int i = 0; i < 4; i++)
		k->data[i] = (uint8_t)(number >> (24 - 8 * i));
	k->data[4] = (uint8_t)table;
	k->len = INDEX_KEY_HEAD;
}

void index_key_stream(struct index_key *k, uint32_t number, enum index_table table, uint64_t stream)
{
	index_key_head(k, number, table);
	be64_put(k->data + INDEX_KEY_HEAD, stream);
	k->len = INDEX_KEY_STREAM;
}

void index_key_u64(struct index_key *k, uint32_t number, enum index_table table, uint64_t stream,
                   uint64_t last)
{
	index_key_stream(k, number, table, stream);
	be64_put(k->data + INDEX_KEY_STREAM, last);
	k->len = INDEX_KEY_STREAM + 8;
}

int index_key_bytes(struct index_key *k, uint32_t number, enum index_table table, uint64_t stream,
                    const void *data, size_t len)
{
	index_key_stream(k, number, table, stream);
	if (len > INDEX_KEY_MAX - INDEX_KEY_STREAM)
		return FIRN_EINVAL;
	if (len)
		memcpy(k->data + k->len, data, len);
	k->len += (uint32_t)len;
	return 0;
}

void index_key_volume(struct index_key *k, const uint8_t volume_id[16])
{
	index_key_head(k, 0, INDEX_VOLUME);
	memcpy(k->data + k->len, volume_id, 16);
	k->len += 16;
}

static void key_of_number(struct index_key *k, enum index_table table, uint32_t number)
{
	struct index_key n;
	index_key_head(&n, number, table);
	index_key_head(k, 0, table);
	memcpy(k->data + k->len, n.data, 4);
	k->len += 4;
}

void index_key_drop(struct index_key *k, uint32_t number)
{
	key_of_number(k, INDEX_DROP, number);
}

void index_key_fill(struct index_key *k, uint32_t number)
{
	key_of_number(k, INDEX_FILL, number);
}

void index_key_segment(struct index_key *k, uint32_t number, enum index_table table,
                       struct segment_id id)
{
	index_key_u64(k, number, table, id.epoch, id.n);
}

const char *index_table_name(unsigned table)
{
	switch (table) {
	case INDEX_META:
		return "meta";
	case INDEX_VOLUME:
		return "volume";
	case INDEX_DROP:
		return "drop";
	case INDEX_STREAM:
		return "stream";
	case INDEX_EXTENT:
		return "extent";
	case INDEX_GAP:
		return "gap";
	case INDEX_KV:
		return "kv";
	case INDEX_PRODUCER:
		return "producer";
	case INDEX_KEY:
		return "key";
	case INDEX_FILL:
		return "fill";
	case INDEX_SEGMENT:
		return "segment";
	case INDEX_EMPTY:
		return "empty";
	default:
		return "unknown";
	}
}

static void hex(char *text, size_t cap, const uint8_t *data, size_t len)
{
	size_t n = len > 24 ? 24 : len, at = 0;
	for (size_t i = 0; i < n && at + 3 < cap; i++, at += 2)
		(void)snprintf(text + at, cap - at, "%02x", data[i]);
	if (n < len && at + 3 < cap)
		(void)snprintf(text + at, cap - at, "..");
}

void index_key_text(const void *key, size_t len, char text[INDEX_TEXT_MAX])
{
	char rest[64] = "";
	const uint8_t *k = key;
	struct index_row r = { k, NULL, len, 0 };
	if (len < INDEX_KEY_HEAD) {
		hex(rest, sizeof rest, k, len);
		(void)snprintf(text, INDEX_TEXT_MAX, "row of no table, key %s", rest);
		return;
	}
	const char *name = index_table_name(k[4]);
	uint32_t number = index_row_number(&r);
	if (number == 0 || len < INDEX_KEY_STREAM) {
		hex(rest, sizeof rest, k + INDEX_KEY_HEAD, len - INDEX_KEY_HEAD);
		(void)snprintf(text, INDEX_TEXT_MAX, "%s row of volume %u, key %s", name, number,
		               rest[0] ? rest : "(empty)");
		return;
	}
	hex(rest, sizeof rest, k + INDEX_KEY_STREAM, len - INDEX_KEY_STREAM);
	(void)snprintf(text, INDEX_TEXT_MAX, "%s row of volume %u, stream %llu, key %s", name,
	               number, (unsigned long long)index_row_stream(&r),
	               rest[0] ? rest : "(empty)");
}
