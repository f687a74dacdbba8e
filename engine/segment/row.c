/* Rows of the footer's sections. A row that _put wrote is one that _get accepts: the writer checks
 * each row on the way in, the reader on the way out. Input is hostile; no allocation, no errors. */
#include "engine/segment/row.h"
#include "engine/base/le.h"

/* producer_at() hands out batches where they lie. */
_Static_assert(sizeof(struct producer_batch) == ROW_PRODUCER_BATCH_LEN, "read in place");
_Static_assert(offsetof(struct producer_batch, n_seq) == 28, "read in place");

/* Length of a row of `used` bytes, or 0 unless it fits and its padding is zero. */
static size_t row_end(const uint8_t *at, size_t len, uint64_t used)
{
	uint64_t end = align_up(used, 8);
	if (end > len || !segment_bytes_zero(at + used, (size_t)(end - used)))
		return 0;
	return (size_t)end;
}

/* Copies variable bytes to the end of a row; returns where the next go. */
static uint8_t *row_bytes(uint8_t *at, const void *data, size_t len)
{
	if (len)
		memcpy(at, data, len);
	return at + len;
}

static void row_pad(uint8_t *at, const uint8_t *end)
{
	memset(at, 0, (size_t)(end - at));
}

void segment_row_block_put(uint8_t *at, const struct block_entry *e)
{
	memset(at, 0, ROW_BLOCK_LEN);
	le64_put(at, e->stream);
	le64_put(at + 8, e->base);
	le64_put(at + 16, e->next);
	le64_put(at + ROW_BLOCK_FRAME_POS, e->frame_pos);
	le32_put(at + ROW_BLOCK_FRAME_LEN, e->frame_len);
	le32_put(at + ROW_BLOCK_FRAME_RAW_LEN, e->frame_raw_len);
	le32_put(at + 40, e->block_pos);
	le32_put(at + 44, e->block_len);
	le64_put(at + ROW_BLOCK_FRAME_SUM, e->frame_sum);
	le64_put(at + 56, e->block_sum);
	le32_put(at + 64, e->n_batch);
	le32_put(at + 68, e->key_id);
	at[ROW_BLOCK_CODEC] = e->codec;
	at[73] = e->cipher;
	le64_put(at + 80, (uint64_t)e->min_timestamp_ms);
	le64_put(at + 88, (uint64_t)e->max_timestamp_ms);
	le64_put(at + 96, (uint64_t)e->min_append_ms);
	le64_put(at + 104, (uint64_t)e->max_append_ms);
	le64_put(at + 112, e->payload_bytes);
}

size_t segment_row_block_get(const uint8_t *at, size_t len, struct block_entry *out)
{
	if (len < ROW_BLOCK_LEN || !segment_bytes_zero(at + 74, 6) ||
	    !segment_bytes_zero(at + 120, 16))
		return 0;
	*out = (struct block_entry){
		.stream = le64_get(at),
		.base = le64_get(at + 8),
		.next = le64_get(at + 16),
		.frame_pos = le64_get(at + ROW_BLOCK_FRAME_POS),
		.frame_len = le32_get(at + ROW_BLOCK_FRAME_LEN),
		.frame_raw_len = le32_get(at + ROW_BLOCK_FRAME_RAW_LEN),
		.block_pos = le32_get(at + 40),
		.block_len = le32_get(at + 44),
		.frame_sum = le64_get(at + ROW_BLOCK_FRAME_SUM),
		.block_sum = le64_get(at + 56),
		.n_batch = le32_get(at + 64),
		.key_id = le32_get(at + 68),
		.codec = at[ROW_BLOCK_CODEC],
		.cipher = at[73],
		.min_timestamp_ms = (int64_t)le64_get(at + 80),
		.max_timestamp_ms = (int64_t)le64_get(at + 88),
		.min_append_ms = (int64_t)le64_get(at + 96),
		.max_append_ms = (int64_t)le64_get(at + 104),
		.payload_bytes = le64_get(at + 112),
	};
	return ROW_BLOCK_LEN;
}

size_t segment_row_stream_len(const struct stream_state *s)
{
	return (size_t)align_up(ROW_STREAM_LEN + (uint64_t)s->name_len + s->config_len, 8);
}

void segment_row_stream_put(uint8_t *at, const struct stream_state *s)
{
	const uint8_t *end = at + segment_row_stream_len(s);
	le64_put(at, s->stream);
	le32_put(at + 8, s->flags);
	le32_put(at + 12, s->name_len);
	le64_put(at + 16, s->start);
	le64_put(at + 24, s->next);
	le64_put(at + 32, s->rev_created);
	le64_put(at + 40, s->rev_last);
	le64_put(at + 48, (uint64_t)s->first_append_ms);
	le64_put(at + 56, (uint64_t)s->last_append_ms);
	le64_put(at + 64, (uint64_t)s->max_timestamp_ms);
	le64_put(at + 72, s->bytes);
	le32_put(at + 80, s->config_len);
	le32_put(at + 84, 0);
	at = row_bytes(at + ROW_STREAM_LEN, s->name, s->name_len);
	at = row_bytes(at, s->config, s->config_len);
	row_pad(at, end);
}

size_t segment_row_stream_get(const uint8_t *at, size_t len, struct stream_state *out)
{
	if (len < ROW_STREAM_LEN)
		return 0;
	*out = (struct stream_state){
		.stream = le64_get(at),
		.flags = le32_get(at + 8),
		.name_len = le32_get(at + 12),
		.name = (const char *)at + ROW_STREAM_LEN,
		.start = le64_get(at + 16),
		.next = le64_get(at + 24),
		.rev_created = le64_get(at + 32),
		.rev_last = le64_get(at + 40),
		.first_append_ms = (int64_t)le64_get(at + 48),
		.last_append_ms = (int64_t)le64_get(at + 56),
		.max_timestamp_ms = (int64_t)le64_get(at + 64),
		.bytes = le64_get(at + 72),
		.config_len = le32_get(at + 80),
	};
	size_t end = row_end(at, len, ROW_STREAM_LEN + (uint64_t)out->name_len + out->config_len);
	out->config = end && out->config_len ? at + ROW_STREAM_LEN + out->name_len : NULL;
	if ((out->flags & ~(uint32_t)(STREAM_CREATED | STREAM_DELETED | STREAM_CONFIG)) ||
	    le32_get(at + 84) != 0 || (!(out->flags & STREAM_DELETED) && out->start > out->next))
		return 0;
	return end;
}

void segment_row_gap_put(uint8_t *at, const struct gap_entry *g)
{
	le64_put(at, g->stream);
	le64_put(at + 8, g->from);
	le64_put(at + 16, g->to);
	le32_put(at + 24, g->kind);
	le32_put(at + 28, 0);
}

size_t segment_row_gap_get(const uint8_t *at, size_t len, struct gap_entry *out)
{
	if (len < ROW_GAP_LEN || le32_get(at + 28) != 0)
		return 0;
	*out = (struct gap_entry){ .stream = le64_get(at),
		                   .from = le64_get(at + 8),
		                   .to = le64_get(at + 16),
		                   .kind = le32_get(at + 24) };
	return out->from < out->to ? ROW_GAP_LEN : 0;
}

size_t segment_row_kv_len(const struct kv_change *kv)
{
	uint64_t value_len = kv->deleted ? 0 : kv->value_len;
	return (size_t)align_up(ROW_KV_LEN + (uint64_t)kv->key_len + value_len, 8);
}

void segment_row_kv_put(uint8_t *at, const struct kv_change *kv)
{
	const uint8_t *end = at + segment_row_kv_len(kv);
	uint32_t value_len = kv->deleted ? 0 : kv->value_len;
	le64_put(at, kv->stream);
	le64_put(at + 8, kv->rev);
	le32_put(at + 16, kv->key_len);
	le32_put(at + 20, value_len);
	le32_put(at + 24, kv->deleted);
	le32_put(at + 28, 0);
	at = row_bytes(at + ROW_KV_LEN, kv->key, kv->key_len);
	at = row_bytes(at, kv->value, value_len);
	row_pad(at, end);
}

size_t segment_row_kv_get(const uint8_t *at, size_t len, struct kv_change *out)
{
	if (len < ROW_KV_LEN)
		return 0;
	*out = (struct kv_change){
		.stream = le64_get(at),
		.rev = le64_get(at + 8),
		.key_len = le32_get(at + 16),
		.value_len = le32_get(at + 20),
		.deleted = le32_get(at + 24),
		.key = at + ROW_KV_LEN,
	};
	if (out->deleted > 1 || (out->deleted && out->value_len) || le32_get(at + 28) != 0)
		return 0;
	size_t end = row_end(at, len, ROW_KV_LEN + (uint64_t)out->key_len + out->value_len);
	out->value = end && !out->deleted ? out->key + out->key_len : NULL;
	return end;
}

size_t segment_row_producer_len(const struct producer_change *p)
{
	return ROW_PRODUCER_LEN + (size_t)p->n_batch * ROW_PRODUCER_BATCH_LEN;
}

void segment_row_producer_put(uint8_t *at, const struct producer_change *p)
{
	le64_put(at, p->stream);
	le64_put(at + 8, p->producer_id);
	le32_put(at + 16, p->producer_epoch);
	le32_put(at + 20, p->n_batch);
	le64_put(at + 24, p->seq_next);
	le64_put(at + 32, (uint64_t)p->last_ms);
	le32_put(at + 40, p->window_reset);
	le32_put(at + 44, 0);
	at += ROW_PRODUCER_LEN;
	for (uint32_t i = 0; i < p->n_batch; i++, at += ROW_PRODUCER_BATCH_LEN) {
		le64_put(at, p->batch[i].seq);
		le64_put(at + 8, p->batch[i].offset);
		le64_put(at + 16, p->batch[i].rev);
		le32_put(at + 24, p->batch[i].n_offsets);
		le32_put(at + 28, p->batch[i].n_seq);
	}
}

size_t segment_row_producer_get(const uint8_t *at, size_t len, struct producer_change *out)
{
	if (len < ROW_PRODUCER_LEN)
		return 0;
	*out = (struct producer_change){
		.stream = le64_get(at),
		.producer_id = le64_get(at + 8),
		.producer_epoch = le32_get(at + 16),
		.n_batch = le32_get(at + 20),
		.seq_next = le64_get(at + 24),
		.last_ms = (int64_t)le64_get(at + 32),
		.window_reset = le32_get(at + 40),
		.batch = (const void *)(at + ROW_PRODUCER_LEN),
	};
	if (out->window_reset > 1 || le32_get(at + 44) != 0)
		return 0;
	return row_end(at, len, ROW_PRODUCER_LEN + (uint64_t)out->n_batch * ROW_PRODUCER_BATCH_LEN);
}

size_t segment_row_key_len(const struct key_entry *k)
{
	return (size_t)align_up(ROW_KEY_LEN + (uint64_t)k->key_len, 8);
}

void segment_row_key_put(uint8_t *at, const struct key_entry *k)
{
	const uint8_t *end = at + segment_row_key_len(k);
	le64_put(at, k->stream);
	le64_put(at + 8, k->offset);
	le64_put(at + 16, k->rev);
	le64_put(at + 24, (uint64_t)k->append_ms);
	le32_put(at + 32, k->n_offsets);
	le32_put(at + 36, k->key_len);
	row_pad(row_bytes(at + ROW_KEY_LEN, k->key, k->key_len), end);
}

size_t segment_row_key_get(const uint8_t *at, size_t len, struct key_entry *out)
{
	if (len < ROW_KEY_LEN)
		return 0;
	*out = (struct key_entry){
		.stream = le64_get(at),
		.offset = le64_get(at + 8),
		.rev = le64_get(at + 16),
		.append_ms = (int64_t)le64_get(at + 24),
		.n_offsets = le32_get(at + 32),
		.key_len = le32_get(at + 36),
		.key = at + ROW_KEY_LEN,
	};
	return row_end(at, len, ROW_KEY_LEN + (uint64_t)out->key_len);
}

void segment_row_lost_put(uint8_t *at, const struct lost_entry *l)
{
	memcpy(at, l->nonce, 16);
	memcpy(at + 16, l->wal_id, 16);
	le64_put(at + 32, l->rev_stored);
	le64_put(at + 40, l->rev_skip);
	le64_put(at + 48, (uint64_t)l->at_ms);
}

size_t segment_row_lost_get(const uint8_t *at, size_t len, struct lost_entry *out)
{
	if (len < ROW_LOST_LEN)
		return 0;
	memcpy(out->nonce, at, 16);
	memcpy(out->wal_id, at + 16, 16);
	out->rev_stored = le64_get(at + 32);
	out->rev_skip = le64_get(at + 40);
	out->at_ms = (int64_t)le64_get(at + 48);
	return ROW_LOST_LEN;
}

#define CHECK(kind, type)                                         \
	static size_t check_##kind(const uint8_t *at, size_t len) \
	{                                                         \
		struct type row;                                  \
		return segment_row_##kind##_get(at, len, &row);   \
	}
CHECK(block, block_entry)
CHECK(stream, stream_state)
CHECK(gap, gap_entry)
CHECK(kv, kv_change)
CHECK(producer, producer_change)
CHECK(key, key_entry)
CHECK(lost, lost_entry)
#undef CHECK

const struct section_type segment_section_types[SECTION_KINDS] = {
	[SECTION_BLOCKS] = { "block index", ROW_BLOCK_LEN, check_block },
	[SECTION_STREAMS] = { "streams", 0, check_stream },
	[SECTION_GAPS] = { "gaps", ROW_GAP_LEN, check_gap },
	[SECTION_KV] = { "kv", 0, check_kv },
	[SECTION_PRODUCERS] = { "producers", 0, check_producer },
	[SECTION_KEYS] = { "keys", 0, check_key },
	[SECTION_LOST] = { "lost", ROW_LOST_LEN, check_lost },
};
