/* Operations: 16 bytes of header, a body by kind, zero-padded to 8.
 *
 *     0 u16 kind   2 u16 flags   4 u32 len   8 u32 prev   12 u32 payload_pos
 *
 *   APPEND     16 u8 codec, u8 cipher, u16 0, u32 key_id   24 batch descriptor (base/batch.h)
 *   KV_PUT     16 u64 stream   24 u32 key_len, u32 value_len      32 key, value
 *   KV_DELETE  16 u64 stream   24 u32 key_len, u32 key_to_len     32 key, key_to
 *   TRIM       16 u64 stream   24 u64 at
 *   CREATE     16 u64 stream   24 u64 at   32 u32 name_len, u32 config_len   40 name, config
 *   CONFIG     16 u64 stream   24 u32 config_len, u32 0           32 config
 *   DELETE     16 u64 stream
 *   FILL       as APPEND; the batch keeps the offset, rev, epoch and times that it was given first
 *
 * Reading is bounded for every caller, verified or not: the same parser serves verification, replay
 * and the tail index, so what one accepts the others can follow. */
#include "engine/wal/codec.h"
#include <assert.h>

enum { APPEND_HEAD = 24, TWO_HEAD = 32, TRIM_LEN = 32, CREATE_HEAD = 40, DELETE_LEN = 24 };

static size_t pad8(size_t len)
{
	return (len + 7) & ~(size_t)7;
}

size_t wal_op_len(const struct wal_op *op)
{
	switch (op->kind) {
	case WAL_OP_APPEND:
	case WAL_OP_FILL:
		return APPEND_HEAD + batch_desc_len(op->batch.key_len, op->batch.attr_len);
	case WAL_OP_KV_PUT:
		return pad8(TWO_HEAD + (size_t)op->key_len + op->value_len);
	case WAL_OP_KV_DELETE:
		return pad8(TWO_HEAD + (size_t)op->key_len + op->key_to_len);
	case WAL_OP_TRIM:
		return TRIM_LEN;
	case WAL_OP_CREATE:
		return pad8(CREATE_HEAD + (size_t)op->name_len + op->config_len);
	case WAL_OP_CONFIG:
		return pad8(TWO_HEAD + (size_t)op->config_len);
	case WAL_OP_DELETE:
		return DELETE_LEN;
	default:
		assert(0 && "kind of operation");
		return 0;
	}
}

/* ---- writing ---- */

static void put_two(uint8_t *at, size_t head, size_t len, const void *a, uint32_t a_len,
                    const void *b, uint32_t b_len)
{
	le64_put(at + len - 8, 0); /* the padding; the rest goes over it */
	le32_put(at + head - 8, a_len);
	le32_put(at + head - 4, b_len);
	if (a_len)
		memcpy(at + head, a, a_len);
	if (b_len)
		memcpy(at + head + a_len, b, b_len);
}

static void put_append(uint8_t *at, const struct batch *b)
{
	le64_put(at + 16, 0); /* codec, cipher, key_id: reserved */
	batch_desc_put(at + APPEND_HEAD, b);
}

void wal_op_put(uint8_t *group, uint32_t pos, const struct wal_op *op, uint32_t payload_pos)
{
	uint8_t *at = group + pos;
	size_t len = wal_op_len(op);
	assert(op->flags == 0 && op->prev < pos && pos % 8 == 0 && len <= UINT32_MAX);
	le16_put(at, op->kind);
	le16_put(at + 2, op->flags);
	le32_put(at + 4, (uint32_t)len);
	le32_put(at + 8, op->prev);
	le32_put(at + 12, payload_pos);
	if (wal_op_has_batch(op->kind)) {
		assert((payload_pos == 0) == (op->batch.payload_len == 0));
		put_append(at, &op->batch);
		return;
	}
	assert(payload_pos == 0);
	le64_put(at + 16, op->stream);
	if (op->kind == WAL_OP_TRIM || op->kind == WAL_OP_CREATE)
		le64_put(at + 24, op->at);
	if (op->kind == WAL_OP_KV_PUT)
		put_two(at, TWO_HEAD, len, op->key, op->key_len, op->value, op->value_len);
	else if (op->kind == WAL_OP_KV_DELETE)
		put_two(at, TWO_HEAD, len, op->key, op->key_len, op->key_to, op->key_to_len);
	else if (op->kind == WAL_OP_CREATE)
		put_two(at, CREATE_HEAD, len, op->name, op->name_len, op->config, op->config_len);
	else if (op->kind == WAL_OP_CONFIG)
		put_two(at, TWO_HEAD, len, op->config, op->config_len, NULL, 0);
}

/* ---- reading ---- */

static int bad(const char **why, const char *text)
{
	*why = text;
	return FIRN_ECORRUPT;
}

static int foreign(const char **why, const char *text)
{
	*why = text;
	return FIRN_EUNSUPPORTED;
}

/* The padding is the top of the last word. */
static int padded_with_zero(const uint8_t *at, size_t len, size_t bytes)
{
	size_t n = len - bytes;
	return n == 0 || le64_get(at + len - 8) >> (64 - 8 * n) == 0;
}

static int parse_append(const uint8_t *at, uint32_t len, size_t all, struct wal_op *out,
                        const char **why)
{
	if (len < APPEND_HEAD + BATCH_DESC_LEN)
		return bad(why, "append is cut");
	if (le64_get(at + 16))
		return foreign(why, "append with a codec, cipher or key id");
	struct batch *b = &out->batch;
	size_t desc = batch_desc_get(at + APPEND_HEAD, len - APPEND_HEAD, b);
	if (desc == 0 || APPEND_HEAD + desc != len)
		return bad(why, "batch descriptor makes no sense");
	size_t bytes = APPEND_HEAD + BATCH_DESC_LEN + (size_t)b->key_len + b->attr_len;
	if (!padded_with_zero(at, len, bytes))
		return bad(why, "padding is not zero");
	uint32_t payload_pos = le32_get(at + 12);
	out->stream = b->stream;
	b->payload = at + len;
	if (b->payload_len == 0)
		return payload_pos ? bad(why, "place of a payload that is empty") : 0;
	if (payload_pos < len || payload_pos > all || b->payload_len > all - payload_pos)
		return bad(why, "payload lies outside");
	b->payload = at + payload_pos;
	return 0;
}

/* A body that ends in two byte strings, whose lengths stand in front of them. */
static int parse_two(const uint8_t *at, uint32_t len, size_t head, const uint8_t **a,
                     uint32_t *a_len, const uint8_t **b, uint32_t *b_len, const char **why)
{
	if (len < head)
		return bad(why, "operation is cut");
	*a_len = le32_get(at + head - 8);
	*b_len = le32_get(at + head - 4);
	size_t bytes = head + *a_len + *b_len;
	if (pad8(bytes) != len)
		return bad(why, "lengths do not fill the operation");
	if (!padded_with_zero(at, len, bytes))
		return bad(why, "padding is not zero");
	*a = at + head;
	*b = *a + *a_len;
	return 0;
}

static int parse_create(const uint8_t *at, uint32_t len, struct wal_op *out, const char **why)
{
	const uint8_t *name;
	int rc = parse_two(at, len, CREATE_HEAD, &name, &out->name_len, &out->config,
	                   &out->config_len, why);
	if (rc)
		return rc;
	out->name = (const char *)name;
	out->at = le64_get(at + 24);
	return out->at > OFFSET_MAX ? bad(why, "offset above the largest") : 0;
}

static int parse_trim(const uint8_t *at, uint32_t len, struct wal_op *out, const char **why)
{
	if (len != TRIM_LEN)
		return bad(why, "operation is cut");
	out->at = le64_get(at + 24);
	return out->at > OFFSET_MAX ? bad(why, "offset above the largest") : 0;
}

static int parse_rest(const uint8_t *at, uint32_t len, struct wal_op *out, const char **why)
{
	const uint8_t *none;
	uint32_t zero = 0;
	int rc;
	out->stream = le64_get(at + 16);
	switch (out->kind) {
	case WAL_OP_KV_PUT:
		return parse_two(at, len, TWO_HEAD, &out->key, &out->key_len, &out->value,
		                 &out->value_len, why);
	case WAL_OP_KV_DELETE:
		return parse_two(at, len, TWO_HEAD, &out->key, &out->key_len, &out->key_to,
		                 &out->key_to_len, why);
	case WAL_OP_TRIM:
		return parse_trim(at, len, out, why);
	case WAL_OP_CREATE:
		return parse_create(at, len, out, why);
	case WAL_OP_CONFIG:
		rc = parse_two(at, len, TWO_HEAD, &out->config, &out->config_len, &none, &zero,
		               why);
		if (!rc && zero)
			return bad(why, "reserved bytes are not zero");
		return rc;
	case WAL_OP_DELETE:
		return len != DELETE_LEN ? bad(why, "operation is cut") : 0;
	default:
		return foreign(why,
		               "kind of operation this release does not know: refuse to replay");
	}
}

int wal_op_parse(const uint8_t *at, size_t meta, size_t all, struct wal_op *out, const char **why)
{
	memset(out, 0, sizeof *out);
	if (meta < DELETE_LEN)
		return bad(why, "operation is cut");
	out->kind = le16_get(at);
	out->flags = le16_get(at + 2);
	out->prev = le32_get(at + 8);
	uint32_t len = le32_get(at + 4);
	if (len < DELETE_LEN || len > meta || len % 8)
		return bad(why, "length of an operation makes no sense");
	if (wal_op_has_batch(out->kind)) {
		int rc = parse_append(at, len, all, out, why);
		if (rc)
			return rc;
	} else {
		int rc = parse_rest(at, len, out, why);
		if (rc)
			return rc;
		if (le32_get(at + 12))
			return bad(why, "payload of an operation that has none");
	}
	return out->flags ? foreign(why, "flag of an operation this release does not know") : 0;
}

const uint8_t *wal_op_next(const struct wal_record *r, const uint8_t *at, struct wal_op *out)
{
	const char *why;
	if (!at)
		at = r->body;
	if (r->type != WAL_WRITE || at >= r->body_end)
		return NULL;
	size_t in = (size_t)(at - r->start);
	if (wal_op_parse(at, (size_t)(r->body_end - at), r->len - in, out, &why))
		return NULL;
	out->pos = r->pos + (uint32_t)in;
	return at + le32_get(at + 4);
}

void wal_op_at(const uint8_t *group, uint32_t pos, struct wal_op *out)
{
	uint32_t used = le32_get(group + 64);
	const char *why;
	if (pos < WAL_GROUP_HEADER + WAL_RECORD_HEADER || pos % 8 || pos >= used ||
	    wal_op_parse(group + pos, used - pos, used - pos, out, &why)) {
		memset(out, 0, sizeof *out);
		return;
	}
	out->pos = pos;
}
