/* Record headers: one record is one atomic write of one volume, or one control record.
 *
 *     0 u32 len       4 u32 meta_len   8 u16 type   10 u16 n_ops   12 u32 volume_no
 *    16 u64 nonce    24 u64 rev       32 u64 epoch  40 i64 append_ms
 *    48 u32 pos      52 u32 0         56 u64 meta_sum
 *
 * len and meta_len count from the record's first byte; meta_len ends the operations (or the control
 * body), len ends the padding behind the payloads. Both are multiples of 8. */
#include "engine/base/sum.h"
#include "engine/wal/codec.h"
#include <assert.h>

uint64_t wal_meta_sum(const uint8_t *record, uint32_t meta_len)
{
	return sum64_seed(record + WAL_RECORD_HEADER, meta_len - WAL_RECORD_HEADER,
	                  sum64(record, 56));
}

void wal_record_put(uint8_t *group, const struct wal_record *r)
{
	uint8_t *at = group + r->pos;
	uint32_t len = (r->len + 7) & ~7u;
	assert(r->pos % 8 == 0 && r->pos >= WAL_GROUP_HEADER && r->meta_len % 8 == 0);
	assert(r->meta_len >= WAL_RECORD_HEADER && r->meta_len <= len);
	memset(at + r->len, 0, len - r->len);
	le32_put(at, len);
	le32_put(at + 4, r->meta_len);
	le16_put(at + 8, r->type);
	le16_put(at + 10, r->n_ops);
	le32_put(at + 12, r->volume_no);
	le64_put(at + 16, r->nonce);
	le64_put(at + 24, r->rev);
	le64_put(at + 32, r->epoch);
	le64_put(at + 40, (uint64_t)r->append_ms);
	le32_put(at + 48, r->pos);
	le32_put(at + 52, 0);
	le64_put(at + 56, wal_meta_sum(at, r->meta_len));
}

uint32_t wal_record_next(const uint8_t *group, uint32_t used, uint32_t pos, struct wal_record *out)
{
	if (pos >= used || used - pos < WAL_RECORD_HEADER)
		return 0;
	const uint8_t *at = group + pos;
	out->len = le32_get(at);
	out->meta_len = le32_get(at + 4);
	if (out->len > used - pos || out->meta_len > out->len || out->meta_len < WAL_RECORD_HEADER)
		return 0;
	out->type = le16_get(at + 8);
	out->n_ops = le16_get(at + 10);
	out->volume_no = le32_get(at + 12);
	out->nonce = le64_get(at + 16);
	out->rev = le64_get(at + 24);
	out->epoch = le64_get(at + 32);
	out->append_ms = (int64_t)le64_get(at + 40);
	out->pos = pos;
	out->start = at;
	out->body = at + WAL_RECORD_HEADER;
	out->body_end = at + out->meta_len;
	return pos + out->len;
}
