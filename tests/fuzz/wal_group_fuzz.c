/* A group of hostile bytes whose checksums are right: judged, walked, and when accepted written
 * again, which must give the same bytes. The input's last byte says what is made credible:
 * 1 all sums, 2 magic and format, 4 lsn on a page, 8 the number of records. */
#include "engine/base/le.h"
#include "engine/wal/record.h"
#include "tests/unit/wal/resign.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void require(int ok)
{
	if (!ok)
		abort();
}

static uint32_t count_records(const uint8_t *group, size_t len)
{
	struct wal_record r;
	uint32_t pos = WAL_GROUP_HEADER, n = 0, used = le32_get(group + 64);
	used = used > len ? (uint32_t)len : used;
	while ((pos = wal_record_next(group, used, pos, &r)) && r.len >= WAL_RECORD_HEADER)
		n++;
	return n;
}

static void make_credible(uint8_t *group, size_t len, uint8_t what)
{
	if (what & 2) {
		le64_put(group, WAL_GROUP_MAGIC);
		le32_put(group + 8, WAL_FORMAT);
		le32_put(group + 12, le32_get(group + 12) & 3);
		memset(group + 88, 0, 32);
	}
	if (what & 4)
		le64_put(group + 40, le64_get(group + 40) & ~(uint64_t)(WAL_PAGE - 1));
	if (what & 8)
		le32_put(group + 68, count_records(group, len));
	if (what & 1)
		resign_group(group, len);
}

/* What was accepted comes out of the writer as it came in. */
static void write_again(const uint8_t *group, size_t len, const struct wal_group_header *h)
{
	uint8_t *copy = malloc(len);
	struct wal_group_header again = *h;
	struct wal_record r;
	require(copy != NULL);
	memcpy(copy, group, len);
	uint32_t pos = WAL_GROUP_HEADER;
	while ((pos = wal_record_next(group, h->used, pos, &r))) {
		const uint8_t *at = NULL;
		struct wal_op op, same;
		uint32_t n = 0;
		for (; (at = wal_op_next(&r, at, &op)); n++) {
			wal_op_at(group, op.pos, &same);
			require(same.kind == op.kind && same.stream == op.stream &&
			        same.pos == op.pos);
			if (op.prev) {
				wal_op_at(group, op.prev, &same);
				require(same.kind == 0 || same.stream == op.stream);
			}
			require(wal_op_len(&op) == le32_get(group + op.pos + 4));
			wal_op_put(copy, op.pos, &op, le32_get(group + op.pos + 12));
		}
		require(n == r.n_ops);
		wal_record_put(copy, &r);
	}
	wal_group_seal(copy, &again);
	require(memcmp(copy, group, wal_group_len(h->used)) == 0);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len < 2 || len > (1u << 20))
		return 0;
	uint8_t what = data[--len];
	size_t room = (len + WAL_PAGE - 1) & ~(size_t)(WAL_PAGE - 1);
	uint8_t *group = calloc(1, room);
	struct wal_group_header h;
	struct firn_error err = FIRN_ERROR_INIT;
	uint32_t bad = 0;
	require(group != NULL);
	memcpy(group, data, len);
	make_credible(group, room, what);
	for (uint32_t pos = 0; pos < room + 64; pos += 8)
		if (le32_get(group + 64) <= room) { /* what wal_op_at relies on */
			struct wal_op op;
			wal_op_at(group, pos, &op);
		}
	if (wal_group_header_get(group, room, &h) == 0 &&
	    wal_group_verify(group, room, &h, &bad, &err) == 0)
		write_again(group, room, &h);
	free(group);
	return 0;
}
