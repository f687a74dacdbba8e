/* Groups: what is sealed verifies; anything else does not, and says where. (P6) */
#include "engine/base/le.h"
#include "engine/base/sum.h"
#include "engine/wal/record.h"
#include "tests/unit/wal/make_wal.h"
#include "tests/unit/wal/resign.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(wal_group, .timeout = 60);

/* A group of three volumes, and its judgement. */
struct made {
	struct walmake *m;
	uint8_t *group;
	size_t len;
};

static struct made make(uint32_t n_records)
{
	struct made g = { .m = walmake_new(3) };
	walmake_file_begin(g.m, 1, 1, NULL, false);
	for (uint32_t i = 0; i < n_records; i++)
		walmake_write(g.m, 1 + i % 3, NULL, (uint16_t)(1 + i % 5));
	g.group = g.m->file + walmake_group_end(g.m, 0);
	g.len = (size_t)(g.m->file + g.m->pos - g.group);
	return g;
}

static int judge(const uint8_t *group, size_t len, uint32_t *bad, struct firn_error *err)
{
	struct wal_group_header h;
	int rc = wal_group_header_get(group, len, &h);
	return rc ? rc : wal_group_verify(group, len, &h, bad, err);
}

Test(wal_group, every_flipped_bit_is_detected)
{
	struct made g = make(7);
	cr_assert(judge(g.group, g.len, NULL, NULL) == 0);
	for (size_t bit = 0; bit < g.len * 8; bit++) {
		g.group[bit / 8] ^= (uint8_t)(1u << bit % 8);
		cr_assert(judge(g.group, g.len, NULL, NULL) != 0, "bit %zu", bit);
		g.group[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	cr_assert(judge(g.group, g.len, NULL, NULL) == 0);
	walmake_free(g.m);
}

Test(wal_group, a_group_is_refused_at_every_truncation)
{
	struct made g = make(30);
	struct wal_group_header h;
	cr_assert(g.len > 2 * WAL_PAGE);
	cr_assert(wal_group_header_get(g.group, g.len, &h) == 0);
	for (size_t len = 0; len < g.len; len += 8) {
		cr_assert(wal_group_header_get(g.group, len, &h) == FIRN_ECORRUPT);
		cr_assert(wal_group_verify(g.group, len, &h, NULL, NULL) == FIRN_ECORRUPT);
	}
	walmake_free(g.m);
}

Test(wal_group, pages_that_never_reached_the_disk_are_detected)
{
	struct made g = make(40);
	uint8_t *torn = malloc(g.len);
	cr_assert(torn && g.len > 2 * WAL_PAGE);
	for (size_t page = 0; page < g.len; page += WAL_PAGE)
		for (int fill = 0; fill < 2; fill++) {
			memcpy(torn, g.group, g.len);
			memset(torn + page, fill ? 0xff : 0, WAL_PAGE);
			cr_assert(judge(torn, g.len, NULL, NULL) != 0, "page at %zu", page);
		}
	free(torn);
	walmake_free(g.m);
}

Test(wal_group, a_stale_group_of_an_earlier_lap_has_another_lsn_and_sum)
{
	struct made g = make(3);
	struct wal_group_header old, now;
	cr_assert(wal_group_header_get(g.group, g.len, &old) == 0);
	uint64_t pos = old.lsn & 0xffffffff;
	walmake_file_begin(g.m, 9, 1, NULL, true); /* recycled: what stood behind still stands */
	cr_assert(wal_group_header_get(g.m->file + pos, g.len, &now) == 0);
	cr_assert(now.lsn == old.lsn && now.lsn != (UINT64_C(9) << 32 | pos));
	walmake_free(g.m);
}

Test(wal_group, empty_groups_verify_and_an_idle_one_has_no_records)
{
	struct walmake *m = walmake_new(1);
	walmake_file_begin(m, 1, 1, NULL, false);
	uint64_t idle = walmake_group_end(m, WAL_GROUP_IDLE);
	uint64_t end = walmake_group_end(m, WAL_GROUP_END);
	cr_assert(judge(m->file + idle, WAL_PAGE, NULL, NULL) == 0);
	cr_assert(judge(m->file + end, WAL_PAGE, NULL, NULL) == 0);
	walmake_write(m, 1, NULL, 1);
	uint64_t wrong = walmake_group_end(m, WAL_GROUP_IDLE);
	cr_assert(judge(m->file + wrong, WAL_PAGE, NULL, NULL) == FIRN_ECORRUPT);
	walmake_free(m);
}

Test(wal_group, more_records_than_one_link_of_the_sum_verify)
{
	struct walmake *m = walmake_new(1);
	walmake_file_begin(m, 1, 1, NULL, false);
	for (int i = 0; i < 700; i++) {
		struct wal_op op = { .kind = WAL_OP_DELETE, .stream = 3 };
		walmake_write(m, 1, &op, 1);
	}
	uint8_t *g = m->file + walmake_group_end(m, 0);
	cr_assert(judge(g, WALMAKE_FILE / 2, NULL, NULL) == 0);
	uint64_t header_sum = le64_get(g + 120);
	resign_group(g, WALMAKE_FILE / 2); /* another writer of the same sums agrees */
	cr_assert(le64_get(g + 120) == header_sum);
	walmake_free(m);
}

/* ---- hostile, with good checksums ---- */

/* Every 32-bit word of header, records and operations takes every extreme value, all sums made
 * anew: nothing may crash, and what is accepted must walk. */
Test(wal_group, hostile_lengths_with_good_checksums_stay_inside_the_group)
{
	static const uint32_t extreme[] = { 0,          1,          7,          8,
		                            24,         63,         64,         65,
		                            119,        120,        128,        4096,
		                            0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff };
	struct made g = make(7);
	uint8_t *bytes = malloc(g.len);
	cr_assert(bytes);
	for (uint32_t at = 8; at + 4 <= g.len; at += 4) {
		for (size_t i = 0; i < sizeof extreme / sizeof extreme[0]; i++) {
			memcpy(bytes, g.group, g.len);
			le32_put(bytes + at, extreme[i]);
			resign_group(bytes, g.len);
			if (judge(bytes, g.len, NULL, NULL))
				continue;
			struct wal_record r;
			struct wal_op op, prev;
			uint32_t used = le32_get(bytes + 64), pos = WAL_GROUP_HEADER;
			while ((pos = wal_record_next(bytes, used, pos, &r)))
				for (const uint8_t *o = NULL; (o = wal_op_next(&r, o, &op));)
					if (op.prev)
						wal_op_at(bytes, op.prev, &prev);
		}
	}
	free(bytes);
	walmake_free(g.m);
}

/* One write of one op, whose bytes the test then changes and signs again. */
static uint8_t *one_op(struct walmake *m, struct wal_op *op)
{
	walmake_file_begin(m, 1, 1, NULL, false);
	walmake_write(m, 1, op, 1);
	return m->file + walmake_group_end(m, 0);
}

enum { RECORD = WAL_GROUP_HEADER, OP = WAL_GROUP_HEADER + WAL_RECORD_HEADER };

static void expect(uint8_t *g, int code, uint32_t at, const char *text)
{
	struct firn_error err = FIRN_ERROR_INIT;
	uint32_t bad = 0;
	resign_group(g, WAL_PAGE);
	int rc = judge(g, WAL_PAGE, &bad, &err);
	cr_assert(rc == code, "%s: %d %s", text, rc, err.text);
	cr_assert(bad == at && strstr(err.text, text), "%u: %s", bad, err.text);
}

Test(wal_group, an_unknown_operation_refuses_to_replay_by_number)
{
	struct walmake *m = walmake_new(1);
	struct wal_op op = { .kind = WAL_OP_TRIM, .stream = 3, .at = 4 };
	le16_put(one_op(m, &op) + OP, 77);
	expect(m->file + 2 * WAL_PAGE, FIRN_EUNSUPPORTED, OP, "kind 77");
	le16_put(one_op(m, &op) + OP + 2, 4);
	expect(m->file + 2 * WAL_PAGE, FIRN_EUNSUPPORTED, OP, "flags 4");
	le16_put(one_op(m, &op) + RECORD + 8, 99);
	expect(m->file + 2 * WAL_PAGE, FIRN_EUNSUPPORTED, RECORD, "type 99");
	walmake_free(m);
}

Test(wal_group, reserved_codec_cipher_and_key_id_are_unsupported_until_they_exist)
{
	struct walmake *m = walmake_new(1);
	struct wal_op op = { .kind = WAL_OP_APPEND, .stream = 3 };
	op.batch.stream = 3;
	op.batch.n_offsets = 1;
	op.batch.payload = m->bytes;
	op.batch.payload_len = 10;
	op.batch.payload_sum = sum64(m->bytes, 10);
	for (uint32_t i = 16; i < 24; i++) {
		one_op(m, &op)[OP + i] = 1;
		expect(m->file + 2 * WAL_PAGE, FIRN_EUNSUPPORTED, OP, "codec");
	}
	uint8_t *g = one_op(m, &op);
	g[OP + 24 + BATCH_DESC_LEN] ^= 1; /* the payload, without signing again */
	struct firn_error err = FIRN_ERROR_INIT;
	cr_assert(judge(g, WAL_PAGE, NULL, &err) == FIRN_ECORRUPT && strstr(err.text, "payload"));
	walmake_free(m);
}

Test(wal_group, a_newer_format_or_feature_is_unsupported_not_torn)
{
	struct walmake *m = walmake_new(1);
	struct wal_op op = { .kind = WAL_OP_DELETE, .stream = 3 };
	static const uint32_t at[] = { 8, 88, 12 };
	for (size_t i = 0; i < 3; i++) {
		uint8_t *g = one_op(m, &op);
		g[at[i]] |= 0x40;
		resign_group(g, WAL_PAGE);
		cr_assert(judge(g, WAL_PAGE, NULL, NULL) == FIRN_EUNSUPPORTED);
	}
	walmake_free(m);
}

Test(wal_group, a_record_moved_within_the_group_is_refused)
{
	struct walmake *m = walmake_new(1);
	struct wal_op op = { .kind = WAL_OP_DELETE, .stream = 3 };
	le32_put(one_op(m, &op) + RECORD + 48, RECORD + 8);
	expect(m->file + 2 * WAL_PAGE, FIRN_ECORRUPT, RECORD, "position");
	walmake_free(m);
}

Test(wal_group, a_link_leads_back_to_an_operation_of_the_same_stream)
{
	struct walmake *m = walmake_new(1);
	for (uint32_t link = 0; link < 256; link++) {
		struct wal_op op[3] = { { .kind = WAL_OP_DELETE, .stream = 3 },
			                { .kind = WAL_OP_DELETE, .stream = 4 },
			                { .kind = WAL_OP_DELETE, .stream = 3 } };
		walmake_file_begin(m, 1, 1, NULL, false);
		walmake_write(m, 1, op, 3);
		uint8_t *g = m->file + walmake_group_end(m, 0);
		le32_put(g + OP + 48 + 8, link);
		resign_group(g, WAL_PAGE);
		int rc = judge(g, WAL_PAGE, NULL, NULL);
		cr_assert((rc == 0) == (link == 0 || link == OP), "link %u: %d", link, rc);
	}
	walmake_free(m);
}

Test(wal_group, payloads_are_back_to_back_and_fill_the_record)
{
	struct walmake *m = walmake_new(1);
	struct wal_op op[2];
	memset(op, 0, sizeof op);
	for (int i = 0; i < 2; i++) {
		op[i].kind = WAL_OP_APPEND;
		op[i].batch.n_offsets = 1;
		op[i].batch.payload = m->bytes;
		op[i].batch.payload_len = 16;
		op[i].batch.payload_sum = sum64(m->bytes, 16);
	}
	uint32_t len = (uint32_t)wal_op_len(op);
	for (int what = 0; what < 5; what++) {
		walmake_file_begin(m, 1, 1, NULL, false);
		walmake_write(m, 1, op, 2);
		uint8_t *g = m->file + walmake_group_end(m, 0), *second = g + OP + len;
		cr_assert(judge(g, WAL_PAGE, NULL, NULL) == 0);
		if (what == 0)
			le32_put(second + 12, le32_get(second + 12) - 8); /* overlaps the first */
		else if (what == 1)
			le32_put(second + 12,
			         le32_get(second + 12) + 8); /* leaves a gap, runs out */
		else if (what == 2)
			le32_put(second + 24 + 20, 8); /* a hole at the record's end */
		else if (what == 3)
			le32_put(second + 24 + 20, 17); /* beyond the record */
		else
			le32_put(second + 24 + 20, 15); /* padding that is not zero */
		resign_group(g, WAL_PAGE);
		cr_assert(judge(g, WAL_PAGE, NULL, NULL) == FIRN_ECORRUPT, "case %d", what);
	}
	walmake_free(m);
}

Test(wal_group, control_bodies_that_do_not_parse_are_refused)
{
	struct walmake *m = walmake_new(2);
	static const uint16_t types[] = { WAL_TABLE, WAL_SEAL, WAL_INTENT, WAL_DETACH, WAL_FENCE };
	static const uint32_t lens[] = { 0, 8, 16, 32, 112, 120 };
	for (size_t t = 0; t < 5; t++)
		for (size_t i = 0; i < 6; i++) {
			walmake_file_begin(m, 1, 1, NULL, false);
			memset(m->group + m->used + WAL_RECORD_HEADER, 0, 128);
			uint8_t body[128] = { 0 };
			body[0] = 1;
			walmake_raw(m, types[t], body, lens[i]);
			uint8_t *g = m->file + walmake_group_end(m, 0);
			cr_assert(judge(g, WAL_PAGE, NULL, NULL) == FIRN_ECORRUPT, "type %u len %u",
			          types[t], lens[i]);
		}
	walmake_free(m);
}
