/* Rows of a layer: a head, and the row of a footer behind it. Input is hostile; no allocation. */
#include "engine/base/le.h"
#include "engine/layer/format.h"
#include "engine/segment/row.h"

uint64_t layer_row_stream(const struct layer_row *r)
{
	switch (r->kind) {
	case LAYER_STREAM:
		return r->u.stream.stream;
	case LAYER_EXTENT:
		return r->u.extent.block.stream;
	case LAYER_GAP:
		return r->u.gap.stream;
	case LAYER_KV:
		return r->u.kv.stream;
	case LAYER_PRODUCER:
		return r->u.producer.stream;
	case LAYER_KEY:
		return r->u.key.stream;
	case LAYER_SEGMENT:
		return UINT64_MAX;
	default:
		return 0;
	}
}

static int by_u64(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int by_bytes(const uint8_t *a, uint32_t a_len, const uint8_t *b, uint32_t b_len)
{
	uint32_t n = a_len < b_len ? a_len : b_len;
	int c = n ? memcmp(a, b, n) : 0;
	return c ? c : by_u64(a_len, b_len);
}

static int class_of(enum layer_kind k)
{
	return k == LAYER_LOST ? 0 : k == LAYER_SEGMENT ? 2 : 1;
}

/* Of one kind, and of one stream where they have any. */
static int compare_same(const struct layer_row *a, const struct layer_row *b)
{
	switch (a->kind) {
	case LAYER_LOST: {
		int c = by_u64(a->u.lost.rev_stored, b->u.lost.rev_stored);
		return c ? c : memcmp(a->u.lost.nonce, b->u.lost.nonce, 16);
	}
	case LAYER_EXTENT:
		return by_u64(a->u.extent.block.base, b->u.extent.block.base);
	case LAYER_GAP:
		return by_u64(a->u.gap.from, b->u.gap.from);
	case LAYER_KV:
		return by_bytes(a->u.kv.key, a->u.kv.key_len, b->u.kv.key, b->u.kv.key_len);
	case LAYER_PRODUCER:
		return by_u64(a->u.producer.producer_id, b->u.producer.producer_id);
	case LAYER_KEY:
		return by_bytes(a->u.key.key, a->u.key.key_len, b->u.key.key, b->u.key.key_len);
	case LAYER_SEGMENT:
		return segment_id_compare(a->u.segment.id, b->u.segment.id);
	default:
		return 0;
	}
}

int layer_row_compare(const struct layer_row *a, const struct layer_row *b)
{
	int c = class_of(a->kind) - class_of(b->kind);
	if (!c)
		c = by_u64(layer_row_stream(a), layer_row_stream(b));
	if (!c)
		c = by_u64(a->kind, b->kind);
	return c ? c : compare_same(a, b);
}

static size_t body_len(const struct layer_row *r)
{
	switch (r->kind) {
	case LAYER_LOST:
		return ROW_LOST_LEN;
	case LAYER_STREAM:
		return segment_row_stream_len(&r->u.stream);
	case LAYER_EXTENT:
		return LAYER_EXTENT_HEAD + ROW_BLOCK_LEN;
	case LAYER_GAP:
		return ROW_GAP_LEN;
	case LAYER_KV:
		return segment_row_kv_len(&r->u.kv);
	case LAYER_PRODUCER:
		return segment_row_producer_len(&r->u.producer);
	case LAYER_KEY:
		return segment_row_key_len(&r->u.key);
	case LAYER_SEGMENT:
		return LAYER_SEGMENT_LEN;
	default:
		return 0;
	}
}

size_t layer_row_len(const struct layer_row *r)
{
	return LAYER_ROW_HEAD + body_len(r);
}

static void segment_put(uint8_t *at, const struct manifest_segment *s)
{
	le64_put(at, s->id.epoch);
	le64_put(at + 8, s->id.n);
	le64_put(at + 16, s->bytes);
	le64_put(at + 24, s->footer_pos);
	le64_put(at + 32, s->footer_sum);
	le64_put(at + 40, s->rev_from);
	le64_put(at + 48, s->rev_to);
	le64_put(at + 56, (uint64_t)s->min_append_ms);
	le64_put(at + 64, (uint64_t)s->max_append_ms);
	le32_put(at + 72, s->part);
	le32_put(at + 76, s->n_parts);
	le32_put(at + 80, s->n_block);
	le32_put(at + 84, 0);
}

static size_t segment_get(const uint8_t *at, size_t len, struct manifest_segment *out)
{
	if (len < LAYER_SEGMENT_LEN)
		return 0;
	*out = (struct manifest_segment){ .id = { le64_get(at), le64_get(at + 8) },
		                          .bytes = le64_get(at + 16),
		                          .footer_pos = le64_get(at + 24),
		                          .footer_sum = le64_get(at + 32),
		                          .rev_from = le64_get(at + 40),
		                          .rev_to = le64_get(at + 48),
		                          .min_append_ms = (int64_t)le64_get(at + 56),
		                          .max_append_ms = (int64_t)le64_get(at + 64),
		                          .part = le32_get(at + 72),
		                          .n_parts = le32_get(at + 76),
		                          .n_block = le32_get(at + 80) };
	return out->rev_from && out->rev_from < out->rev_to && out->footer_pos < out->bytes &&
	                       out->part < out->n_parts &&
	                       out->min_append_ms <= out->max_append_ms && !le32_get(at + 84)
	               ? LAYER_SEGMENT_LEN
	               : 0;
}

void layer_row_put(uint8_t *at, const struct layer_row *r)
{
	uint8_t *body = at + LAYER_ROW_HEAD;
	memset(at, 0, LAYER_ROW_HEAD);
	le32_put(at, (uint32_t)layer_row_len(r));
	at[4] = (uint8_t)r->kind;
	switch (r->kind) {
	case LAYER_LOST:
		segment_row_lost_put(body, &r->u.lost);
		break;
	case LAYER_STREAM:
		segment_row_stream_put(body, &r->u.stream);
		break;
	case LAYER_EXTENT:
		le64_put(body, r->u.extent.segment.epoch);
		le64_put(body + 8, r->u.extent.segment.n);
		segment_row_block_put(body + LAYER_EXTENT_HEAD, &r->u.extent.block);
		break;
	case LAYER_GAP:
		segment_row_gap_put(body, &r->u.gap);
		break;
	case LAYER_KV:
		segment_row_kv_put(body, &r->u.kv);
		break;
	case LAYER_PRODUCER:
		segment_row_producer_put(body, &r->u.producer);
		break;
	case LAYER_KEY:
		segment_row_key_put(body, &r->u.key);
		break;
	default:
		segment_put(body, &r->u.segment);
	}
}

static size_t extent_get(const uint8_t *at, size_t len, struct layer_extent *out)
{
	if (len < LAYER_EXTENT_HEAD)
		return 0;
	out->segment = (struct segment_id){ le64_get(at), le64_get(at + 8) };
	size_t n = segment_row_block_get(at + LAYER_EXTENT_HEAD, len - LAYER_EXTENT_HEAD,
	                                 &out->block);
	return n && !block_entry_check(&out->block, NULL) ? n + LAYER_EXTENT_HEAD : 0;
}

static size_t body_get(const uint8_t *at, size_t len, struct layer_row *out)
{
	switch (out->kind) {
	case LAYER_LOST:
		return segment_row_lost_get(at, len, &out->u.lost);
	case LAYER_STREAM:
		return segment_row_stream_get(at, len, &out->u.stream);
	case LAYER_EXTENT:
		return extent_get(at, len, &out->u.extent);
	case LAYER_GAP:
		return segment_row_gap_get(at, len, &out->u.gap);
	case LAYER_KV:
		return segment_row_kv_get(at, len, &out->u.kv);
	case LAYER_PRODUCER:
		return segment_row_producer_get(at, len, &out->u.producer);
	case LAYER_KEY:
		return segment_row_key_get(at, len, &out->u.key);
	case LAYER_SEGMENT:
		return segment_get(at, len, &out->u.segment);
	default:
		return 0;
	}
}

size_t layer_row_get(const uint8_t *at, size_t len, struct layer_row *out)
{
	if (len < LAYER_ROW_HEAD || !segment_bytes_zero(at + 5, 3))
		return 0;
	size_t row = le32_get(at);
	memset(out, 0, sizeof *out);
	out->kind = (enum layer_kind)at[4];
	if (row < LAYER_ROW_HEAD || row > len || row % 8)
		return 0;
	size_t body = body_get(at + LAYER_ROW_HEAD, row - LAYER_ROW_HEAD, out);
	return body && body == row - LAYER_ROW_HEAD ? row : 0;
}
