/* Makes mutated groups credible: every checksum is computed again, so that what is judged is the
 * structure. Tolerates any bytes. A header, because fuzzers link no test helpers. */
#ifndef TESTS_RESIGN_H
#define TESTS_RESIGN_H
#include "engine/base/le.h"
#include "engine/base/sum.h"
#include "engine/wal/record.h"

static inline void resign_payloads(uint8_t *record, uint32_t len, uint32_t meta_len)
{
	for (uint32_t in = WAL_RECORD_HEADER; meta_len - in >= 24;) {
		uint8_t *op = record + in;
		uint32_t op_len = le32_get(op + 4);
		if (op_len < 24 || op_len > meta_len - in)
			return;
		if (wal_op_has_batch(le16_get(op)) && op_len >= 24 + BATCH_DESC_LEN) {
			uint32_t at = le32_get(op + 12), n = le32_get(op + 24 + 20);
			if (n == 0)
				le64_put(op + 24 + 24, sum64(op, 0));
			else if (at <= len - in && n <= len - in - at)
				le64_put(op + 24 + 24, sum64(op + at, n));
		}
		in += op_len;
	}
}

static inline void resign_group(uint8_t *group, size_t len)
{
	uint8_t sums[128 * 8];
	uint64_t body = 0;
	unsigned n = 0;
	uint32_t pos = WAL_GROUP_HEADER, used = le32_get(group + 64);
	if (used > len)
		used = (uint32_t)len;
	while (pos < used && used - pos >= WAL_RECORD_HEADER) {
		uint8_t *r = group + pos;
		uint32_t r_len = le32_get(r), meta_len = le32_get(r + 4);
		if (r_len > used - pos || meta_len > r_len || meta_len < WAL_RECORD_HEADER)
			break;
		resign_payloads(r, r_len, meta_len);
		le64_put(r + 56, sum64_seed(r + 64, meta_len - 64, sum64(r, 56)));
		if (n == 128) {
			body = sum64_seed(sums, sizeof sums, body);
			n = 0;
		}
		memcpy(sums + n++ * (size_t)8, r + 56, 8);
		pos += r_len;
	}
	if (n)
		body = sum64_seed(sums, n * (size_t)8, body);
	le64_put(group + 80, body);
	le64_put(group + 120, sum64(group, 120));
}
#endif
