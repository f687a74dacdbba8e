/* Groups: sealing one before it is written, judging one after it was read.
 *
 *     0 u64 magic     8 u32 format    12 u32 flags    16 wal_id[16]
 *    32 u64 run      40 u64 lsn       48 u64 durable_lsn
 *    56 u64 prev_sum 64 u32 used      68 u32 n_records
 *    72 i64 sealed_ms 80 u64 body_sum 88 u64 incompat
 *    96 u32 directory_len  100..119 zero
 *   120 u64 header_sum over bytes 0..119
 *
 * Sealing touches headers only: 16 bytes of each record. Verifying touches every byte once. */
#include "engine/base/error.h"
#include "engine/base/sum.h"
#include "engine/wal/codec.h"
#include "engine/wal/directory.h"
#include <assert.h>

enum { SUMS = 128 }; /* meta_sums to a link of body_sum's chain */

/* body_sum: s = XXH3(up to 128 meta_sums, seed s), s = 0 at first. No memory, few calls. */
struct body_sum {
	uint64_t sum;
	unsigned n;
	uint8_t part[SUMS * 8];
};

static void body_sum_link(struct body_sum *b)
{
	if (b->n)
		b->sum = sum64_seed(b->part, b->n * (size_t)8, b->sum);
	b->n = 0;
}

static inline void body_sum_add(struct body_sum *b, const uint8_t *record)
{
	if (b->n == SUMS)
		body_sum_link(b);
	memcpy(b->part + b->n++ * (size_t)8, record + 56, 8);
}

static void header_put(uint8_t *at, struct wal_group_header *h)
{
	memset(at, 0, WAL_GROUP_HEADER);
	le64_put(at, WAL_GROUP_MAGIC);
	le32_put(at + 8, WAL_FORMAT);
	le32_put(at + 12, h->flags);
	memcpy(at + 16, h->wal_id, 16);
	le64_put(at + 32, h->run);
	le64_put(at + 40, h->lsn);
	le64_put(at + 48, h->durable_lsn);
	le64_put(at + 56, h->prev_sum);
	le32_put(at + 64, h->used);
	le32_put(at + 68, h->n_records);
	le64_put(at + 72, (uint64_t)h->sealed_ms);
	le64_put(at + 80, h->body_sum);
	le32_put(at + 96, h->directory_len);
	h->header_sum = sum64(at, 120);
	le64_put(at + 120, h->header_sum);
}

void wal_group_seal(uint8_t *group, struct wal_group_header *h)
{
	struct body_sum b = { .sum = 0, .n = 0 };
	struct wal_record r;
	uint32_t pos = WAL_GROUP_HEADER, n = 0;
	for (; (pos = wal_record_next(group, h->used, pos, &r)); n++)
		body_sum_add(&b, r.start);
	assert(n == h->n_records && (n ? r.pos + r.len : WAL_GROUP_HEADER) == h->used);
	body_sum_link(&b);
	h->body_sum = b.sum;
	memset(group + h->used, 0, (size_t)(wal_group_len(h->used) - h->used));
	header_put(group, h);
}

int wal_group_header_get(const uint8_t *at, size_t max, struct wal_group_header *out)
{
	if (max < WAL_PAGE || le64_get(at) != WAL_GROUP_MAGIC ||
	    le64_get(at + 120) != sum64(at, 120))
		return FIRN_ECORRUPT;
	if (le32_get(at + 8) != WAL_FORMAT || le64_get(at + 88))
		return FIRN_EUNSUPPORTED;
	memset(out, 0, sizeof *out);
	memcpy(out->wal_id, at + 16, 16);
	out->flags = le32_get(at + 12);
	out->run = le64_get(at + 32);
	out->lsn = le64_get(at + 40);
	out->durable_lsn = le64_get(at + 48);
	out->prev_sum = le64_get(at + 56);
	out->used = le32_get(at + 64);
	out->n_records = le32_get(at + 68);
	out->sealed_ms = (int64_t)le64_get(at + 72);
	out->body_sum = le64_get(at + 80);
	out->directory_len = le32_get(at + 96);
	out->header_sum = le64_get(at + 120);
	if (out->used < WAL_GROUP_HEADER || wal_group_len(out->used) > max || out->lsn % WAL_PAGE ||
	    out->directory_len % WAL_PAGE || !all_zero(at + 100, 20))
		return FIRN_ECORRUPT;
	return out->flags & ~(uint32_t)(WAL_GROUP_IDLE | WAL_GROUP_END) ? FIRN_EUNSUPPORTED : 0;
}

int wal_group_foreign(const uint8_t *at, struct firn_error *err)
{
	return fail(
	        err, FIRN_EUNSUPPORTED, 0, "wal",
	        "group of format %u, flags 0x%x, features 0x%llx: written by a later release, this one"
	        " knows format %u",
	        le32_get(at + 8), le32_get(at + 12), (unsigned long long)le64_get(at + 88),
	        WAL_FORMAT);
}

/* ---- verification ---- */

struct check {
	const uint8_t *group;
	uint32_t used, *bad_pos;
	struct firn_error *err;
};

static int bad_at(const struct check *c, int code, const char *what, uint32_t pos, const char *why)
{
	*c->bad_pos = pos;
	return fail(c->err, code, 0, "wal", "%s at %u of the group: %s", what, pos, why);
}

/* An op that `prev` names lies in front, looks like one, and is of the same stream. Not proof that
 * an operation begins there (that took a table); wal_op_at is bounded for what gets through. */
static int prev_plausible(const struct check *c, const struct wal_op *op)
{
	const uint8_t *at = c->group + op->prev;
	if (op->prev < WAL_GROUP_HEADER + WAL_RECORD_HEADER || op->prev % 8 ||
	    op->prev > op->pos - 24)
		return 0;
	uint32_t len = le32_get(at + 4);
	if (len < 24 || len % 8 || len > op->pos - op->prev)
		return 0;
	if (wal_op_has_batch(le16_get(at)))
		return len >= 32 && le64_get(at + 24) == op->stream;
	return le64_get(at + 16) == op->stream;
}

static int unknown_kind(const struct check *c, const struct wal_op *op, const char *why)
{
	*c->bad_pos = op->pos;
	return fail(c->err, FIRN_EUNSUPPORTED, 0, "wal",
	            "operation of kind %u, flags %u at %u of the"
	            " group: %s",
	            op->kind, op->flags, op->pos, why);
}

/* Operations fill the meta exactly, payloads follow it back to back in the same order. */
static int check_write(const struct check *c, const struct wal_record *r)
{
	uint32_t in = WAL_RECORD_HEADER, n = 0;
	uint64_t payload = r->meta_len;
	const char *why = "";
	struct wal_op op;
	for (; in < r->meta_len; n++) {
		const uint8_t *at = r->start + in;
		int rc = wal_op_parse(at, r->meta_len - in, r->len - in, &op, &why);
		op.pos = r->pos + in;
		if (rc == FIRN_EUNSUPPORTED)
			return unknown_kind(c, &op, why);
		if (rc)
			return bad_at(c, rc, "operation", op.pos, why);
		if (op.prev && !prev_plausible(c, &op))
			return bad_at(c, FIRN_ECORRUPT, "operation", op.pos,
			              "link to no operation");
		if (wal_op_has_batch(op.kind)) {
			const struct batch *b = &op.batch;
			if (b->payload_len && b->payload != r->start + payload)
				return bad_at(c, FIRN_ECORRUPT, "operation", op.pos,
				              "payload is not behind the one before");
			if (sum64(b->payload, b->payload_len) != b->payload_sum)
				return bad_at(c, FIRN_ECORRUPT, "payload",
				              r->pos + (uint32_t)payload, "checksum mismatch");
			payload += b->payload_len;
		}
		in += le32_get(at + 4);
	}
	if (n != r->n_ops)
		return bad_at(c, FIRN_ECORRUPT, "record", r->pos, "number of operations is wrong");
	if (payload > r->len || r->len - payload >= 8 ||
	    !all_zero(r->start + payload, (size_t)(r->len - payload)))
		return bad_at(c, FIRN_ECORRUPT, "record", r->pos,
		              "payloads do not fill the record");
	return 0;
}

static int check_control(const struct check *c, const struct wal_record *r)
{
	if (r->type == WAL_DIRECTORY) {
		const char *why = wal_directory_check(c->group, r);
		if (!why && r->pos + r->len != c->used)
			why = "it is not alone in its group";
		return why ? bad_at(c, FIRN_ECORRUPT, "directory", r->pos, why) : 0;
	}
	if (r->type == 0 || r->type > WAL_FENCE) {
		*c->bad_pos = r->pos;
		return fail(c->err, FIRN_EUNSUPPORTED, 0, "wal",
		            "record of type %u at %u of the"
		            " group: this release does not know it: refuse to replay",
		            r->type, r->pos);
	}
	if (r->n_ops || r->len != r->meta_len ||
	    wal_control_check(r->type, r->body, (size_t)(r->body_end - r->body)))
		return bad_at(c, FIRN_ECORRUPT, "record", r->pos, "control record makes no sense");
	return 0;
}

static int check_record(const struct check *c, uint32_t pos, struct wal_record *r)
{
	if (!wal_record_next(c->group, c->used, pos, r) || r->len % 8 || r->meta_len % 8)
		return bad_at(c, FIRN_ECORRUPT, "record", pos, "length makes no sense");
	if (wal_meta_sum(r->start, r->meta_len) != le64_get(r->start + 56))
		return bad_at(c, FIRN_ECORRUPT, "record", pos, "checksum mismatch");
	if (le32_get(r->start + 48) != pos || le32_get(r->start + 52))
		return bad_at(c, FIRN_ECORRUPT, "record", pos, "belongs at another position");
	return r->type == WAL_WRITE ? check_write(c, r) : check_control(c, r);
}

int wal_group_verify(const uint8_t *group, size_t len, const struct wal_group_header *h,
                     uint32_t *bad_pos, struct firn_error *err)
{
	uint32_t ignored, n = 0;
	struct check c = { group, h->used, bad_pos ? bad_pos : &ignored, err };
	struct body_sum b = { .sum = 0, .n = 0 };
	struct wal_record r;
	if (h->used < WAL_GROUP_HEADER || wal_group_len(h->used) > len)
		return bad_at(&c, FIRN_ECORRUPT, "header", 0, "group is cut");
	for (uint32_t pos = WAL_GROUP_HEADER; pos < h->used; pos += r.len, n++) {
		int rc = check_record(&c, pos, &r);
		if (rc)
			return rc;
		body_sum_add(&b, r.start);
	}
	body_sum_link(&b);
	if (n != h->n_records || b.sum != h->body_sum)
		return bad_at(&c, FIRN_ECORRUPT, "header", 0, "is not the header of these records");
	if (n && (h->flags & WAL_GROUP_IDLE))
		return bad_at(&c, FIRN_ECORRUPT, "header", 0, "idle group has records");
	if (!all_zero(group + h->used, (size_t)(wal_group_len(h->used) - h->used)))
		return bad_at(&c, FIRN_ECORRUPT, "padding", h->used, "is not zero");
	return 0;
}
