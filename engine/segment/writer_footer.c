/* The end of a segment: rows gathered by kind, then footer and trailer.
 *
 * Every row is decoded again before it counts: one that a reader would refuse is refused here, with
 * FIRN_EINVAL and nothing added. Rows keep the order in which they were added. */
#include "engine/base/le.h"
#include "engine/base/mem.h"
#include "engine/base/sum.h"
#include "engine/segment/writer.h"
#include <assert.h>

uint8_t *segment_writer_row(struct segment_writer *w, enum section_kind kind, size_t len)
{
	struct section_rows *s = &w->section[kind];
	if (!segment_section_types[kind].fixed)
		buf_put_u32(&s->offset, (uint32_t)s->rows.len);
	uint8_t *at = buf_add(&s->rows, len);
	if (at)
		s->count++;
	return at;
}

/* Looks at the row just written with a reader's eyes; takes it back if it would not pass. */
static int row_settle(struct segment_writer *w, enum section_kind kind, const uint8_t *at,
                      size_t len)
{
	struct section_rows *s = &w->section[kind];
	if (segment_section_types[kind].check(at, len) == len)
		return 0;
	s->rows.len -= len;
	s->count--;
	if (!segment_section_types[kind].fixed)
		s->offset.len -= 4;
	return FIRN_EINVAL;
}

/* Where a row of len bytes goes, or NULL and why. */
static uint8_t *row_room(struct segment_writer *w, enum section_kind kind, size_t len, int *why)
{
	*why = FIRN_EINVAL;
	if (w->finished)
		return NULL;
	*why = FIRN_ETOOBIG;
	if (len > SEGMENT_FOOTER_MAX || w->section[kind].rows.len + len > SEGMENT_FOOTER_MAX)
		return NULL;
	*why = FIRN_ENOMEM;
	return segment_writer_failed(w) ? NULL : segment_writer_row(w, kind, len);
}

int segment_writer_stream(struct segment_writer *w, const struct stream_state *s)
{
	int rc;
	size_t len = segment_row_stream_len(s);
	uint8_t *at = row_room(w, SECTION_STREAMS, len, &rc);
	if (!at)
		return rc;
	segment_row_stream_put(at, s);
	return row_settle(w, SECTION_STREAMS, at, len);
}

int segment_writer_gap(struct segment_writer *w, const struct gap_entry *g)
{
	int rc;
	uint8_t *at = row_room(w, SECTION_GAPS, ROW_GAP_LEN, &rc);
	if (!at)
		return rc;
	segment_row_gap_put(at, g);
	return row_settle(w, SECTION_GAPS, at, ROW_GAP_LEN);
}

int segment_writer_kv(struct segment_writer *w, const struct kv_change *kv)
{
	int rc;
	size_t len = segment_row_kv_len(kv);
	uint8_t *at = row_room(w, SECTION_KV, len, &rc);
	if (!at)
		return rc;
	segment_row_kv_put(at, kv);
	return row_settle(w, SECTION_KV, at, len);
}

int segment_writer_producer(struct segment_writer *w, const struct producer_change *p)
{
	int rc;
	size_t len = segment_row_producer_len(p);
	uint8_t *at = row_room(w, SECTION_PRODUCERS, len, &rc);
	if (!at)
		return rc;
	segment_row_producer_put(at, p);
	return row_settle(w, SECTION_PRODUCERS, at, len);
}

int segment_writer_key(struct segment_writer *w, const struct key_entry *k)
{
	int rc;
	size_t len = segment_row_key_len(k);
	uint8_t *at = row_room(w, SECTION_KEYS, len, &rc);
	if (!at)
		return rc;
	segment_row_key_put(at, k);
	return row_settle(w, SECTION_KEYS, at, len);
}

int segment_writer_lost(struct segment_writer *w, const struct lost_entry *l)
{
	int rc;
	uint8_t *at = row_room(w, SECTION_LOST, ROW_LOST_LEN, &rc);
	if (!at)
		return rc;
	segment_row_lost_put(at, l);
	return row_settle(w, SECTION_LOST, at, ROW_LOST_LEN);
}

/* ---- the end ---- */

static uint64_t section_len(const struct segment_writer *w, int kind)
{
	const struct section_rows *s = &w->section[kind];
	return align_up(s->offset.len, 8) + s->rows.len;
}

/* Offset table (if its rows vary in length) and rows; offsets count from the section's start. */
static void section_put(struct segment_writer *w, int kind)
{
	struct section_rows *s = &w->section[kind];
	uint32_t table_len = (uint32_t)align_up(s->offset.len, 8);
	uint8_t *table = buf_add(&w->out, table_len);
	if (table) {
		memset(table, 0, table_len);
		for (size_t at = 0; at < s->offset.len; at += 4)
			le32_put(table + at, le32_get(s->offset.data + at) + table_len);
	}
	buf_put(&w->out, s->rows.data, s->rows.len);
}

static void slot_put(uint8_t *slot, const struct segment_writer *w, int kind, uint64_t pos)
{
	uint64_t len = section_len(w, kind);
	le64_put(slot + SECTION_POS, pos);
	le64_put(slot + SECTION_BYTES, len);
	le32_put(slot + SECTION_COUNT, w->section[kind].count);
	le64_put(slot + SECTION_SUM, sum64(w->out.data + pos, (size_t)len));
}

static void trailer_put(uint8_t *at, const struct segment_writer *w, uint64_t footer_pos,
                        uint64_t footer_len, uint64_t footer_sum)
{
	const struct segment_meta *meta = &w->meta;
	memset(at, 0, SEGMENT_TRAILER_LEN);
	segment_head_put(at, SEGMENT_TRAILER_MAGIC, meta);
	le64_put(at + TRAILER_REV_FROM, meta->rev_from);
	le64_put(at + TRAILER_REV_TO, meta->rev_to);
	le32_put(at + TRAILER_PART, meta->part);
	le32_put(at + TRAILER_N_PARTS, meta->n_parts);
	le64_put(at + TRAILER_CREATED_MS, (uint64_t)meta->created_ms);
	le64_put(at + TRAILER_FOOTER_POS, footer_pos);
	le64_put(at + TRAILER_FOOTER_LEN, footer_len);
	le64_put(at + TRAILER_FOOTER_SUM, footer_sum);
	le64_put(at + TRAILER_OBJECT_LEN, footer_pos + footer_len + SEGMENT_TRAILER_LEN);
	le32_put(at + TRAILER_N_SECTIONS, SECTION_KINDS);
	uint64_t pos = footer_pos;
	for (int kind = 0; kind < SECTION_KINDS; kind++) {
		slot_put(at + TRAILER_SECTIONS + kind * SECTION_SLOT_LEN, w, kind, pos);
		pos += section_len(w, kind);
	}
	assert(pos == footer_pos + footer_len);
	segment_head_sign(at, SEGMENT_TRAILER_LEN);
}

/* An object waits long for its turn to go up: what was only needed to make it goes, and room that compression
 * left. */
static void shrink(struct segment_writer *w)
{
	ZSTD_freeCCtx(w->zstd);
	w->zstd = NULL;
	buf_fini(&w->squeezed);
	buf_fini(&w->desc);
	buf_fini(&w->payload);
	for (int kind = 0; kind < SECTION_KINDS; kind++) {
		buf_fini(&w->section[kind].rows);
		buf_fini(&w->section[kind].offset);
	}
	if (w->out.cap - w->out.len < w->out.len / 8)
		return;
	uint8_t *exact = mem_dup(w->env, w->out.data, w->out.len);
	if (!exact) /* it fits as it is */
		return;
	mem_free(w->env, w->out.data);
	w->out.data = exact;
	w->out.cap = w->out.len;
}

int segment_writer_finish(struct segment_writer *w, const uint8_t **data, size_t *len,
                          uint64_t *footer_pos, uint64_t *footer_sum)
{
	if (w->finished)
		return FIRN_EINVAL;
	segment_writer_block_close(w);
	segment_writer_frame_close(w);
	w->finished = true;
	if (segment_writer_failed(w))
		return FIRN_ENOMEM;
	uint64_t pos = w->out.len, footer_len = 0;
	for (int kind = 0; kind < SECTION_KINDS; kind++)
		footer_len += section_len(w, kind);
	if (footer_len > SEGMENT_FOOTER_MAX)
		return FIRN_ETOOBIG;
	for (int kind = 0; kind < SECTION_KINDS; kind++)
		section_put(w, kind);
	uint8_t *trailer = buf_add(&w->out, SEGMENT_TRAILER_LEN);
	if (!trailer)
		return FIRN_ENOMEM;
	assert((size_t)(trailer - w->out.data) == pos + footer_len);
	uint64_t sum = sum64(w->out.data + pos, (size_t)footer_len);
	trailer_put(trailer, w, pos, footer_len, sum);
	shrink(w);
	*data = w->out.data;
	*len = w->out.len;
	*footer_pos = pos;
	*footer_sum = sum;
	return 0;
}
