/* Stream, extent and gap rows. */
#include "engine/base/le.h"
#include "engine/index/rows.h"
#include <string.h>

void index_stream_put(struct buf *b, const struct stream_state *s)
{
	index_row_begin(b);
	buf_put_u64(b, s->start);
	buf_put_u64(b, s->next);
	buf_put_u64(b, s->rev_created);
	buf_put_u64(b, s->rev_last);
	buf_put_u64(b, (uint64_t)s->first_append_ms);
	buf_put_u64(b, (uint64_t)s->last_append_ms);
	buf_put_u64(b, (uint64_t)s->max_timestamp_ms);
	buf_put_u64(b, s->bytes);
	buf_put_u32(b, s->name_len);
	buf_put_u32(b, s->config_len);
	buf_put(b, s->name, s->name_len);
	buf_put(b, s->config, s->config_len);
}

int index_stream_get(const struct index_row *r, struct stream_state *s, struct firn_error *err)
{
	struct cur c;
	int rc = index_row_open(r, &c, err);
	if (rc)
		return rc;
	memset(s, 0, sizeof *s);
	s->start = cur_u64(&c);
	s->next = cur_u64(&c);
	s->rev_created = cur_u64(&c);
	s->rev_last = cur_u64(&c);
	s->first_append_ms = (int64_t)cur_u64(&c);
	s->last_append_ms = (int64_t)cur_u64(&c);
	s->max_timestamp_ms = (int64_t)cur_u64(&c);
	s->bytes = cur_u64(&c);
	s->name_len = cur_u32(&c);
	s->config_len = cur_u32(&c);
	s->name = (const char *)cur_take(&c, s->name_len);
	s->config = cur_take(&c, s->config_len);
	if (c.failed || cur_left(&c) || r->key_len != INDEX_KEY_STREAM)
		return index_row_bad(r, "fields make no sense", err);
	s->stream = index_row_stream(r);
	return 0;
}

void index_extent_put(struct buf *b, const struct index_extent_row *x)
{
	const struct block_entry *e = &x->x.block;
	index_row_begin(b);
	buf_put_u64(b, x->x.segment.epoch);
	buf_put_u64(b, x->x.segment.n);
	buf_put_u64(b, e->next);
	buf_put_u64(b, e->frame_pos);
	buf_put_u32(b, e->frame_len);
	buf_put_u32(b, e->frame_raw_len);
	buf_put_u32(b, e->block_pos);
	buf_put_u32(b, e->block_len);
	buf_put_u64(b, e->frame_sum);
	buf_put_u64(b, e->block_sum);
	buf_put_u32(b, e->n_batch);
	buf_put_u32(b, e->key_id);
	buf_put_u8(b, e->codec);
	buf_put_u8(b, e->cipher);
	buf_put_u16(b, 0);
	buf_put_u64(b, (uint64_t)e->min_timestamp_ms);
	buf_put_u64(b, (uint64_t)e->max_timestamp_ms);
	buf_put_u64(b, (uint64_t)e->min_append_ms);
	buf_put_u64(b, (uint64_t)e->max_append_ms);
	buf_put_u64(b, e->payload_bytes);
	buf_put_u64(b, (uint64_t)x->running_max_ms);
}

/* Non-zero: reserved bytes are not zero. */
static uint16_t block_get(struct cur *c, struct block_entry *e)
{
	e->next = cur_u64(c);
	e->frame_pos = cur_u64(c);
	e->frame_len = cur_u32(c);
	e->frame_raw_len = cur_u32(c);
	e->block_pos = cur_u32(c);
	e->block_len = cur_u32(c);
	e->frame_sum = cur_u64(c);
	e->block_sum = cur_u64(c);
	e->n_batch = cur_u32(c);
	e->key_id = cur_u32(c);
	e->codec = cur_u8(c);
	e->cipher = cur_u8(c);
	uint16_t reserved = cur_u16(c);
	e->min_timestamp_ms = (int64_t)cur_u64(c);
	e->max_timestamp_ms = (int64_t)cur_u64(c);
	e->min_append_ms = (int64_t)cur_u64(c);
	e->max_append_ms = (int64_t)cur_u64(c);
	e->payload_bytes = cur_u64(c);
	return reserved;
}

int index_extent_get(const struct index_row *r, struct index_extent_row *x, struct firn_error *err)
{
	struct cur c;
	int rc = index_row_open(r, &c, err);
	if (rc)
		return rc;
	memset(x, 0, sizeof *x);
	x->x.segment.epoch = cur_u64(&c);
	x->x.segment.n = cur_u64(&c);
	uint16_t reserved = block_get(&c, &x->x.block);
	x->running_max_ms = (int64_t)cur_u64(&c);
	if (c.failed || cur_left(&c) || reserved || r->key_len != INDEX_KEY_STREAM + 8)
		return index_row_bad(r, "fields make no sense", err);
	x->x.block.stream = index_row_stream(r);
	x->x.block.base = be64_get(r->key + INDEX_KEY_STREAM);
	if (x->x.block.next <= x->x.block.base)
		return index_row_bad(r, "range is empty", err);
	return 0;
}

void index_gap_put(struct buf *b, const struct gap_entry *g)
{
	index_row_begin(b);
	buf_put_u64(b, g->to);
	buf_put_u32(b, g->kind);
}

int index_gap_get(const struct index_row *r, struct gap_entry *g, struct firn_error *err)
{
	struct cur c;
	int rc = index_row_open(r, &c, err);
	if (rc)
		return rc;
	memset(g, 0, sizeof *g);
	g->to = cur_u64(&c);
	g->kind = cur_u32(&c);
	if (c.failed || cur_left(&c) || r->key_len != INDEX_KEY_STREAM + 8)
		return index_row_bad(r, "fields make no sense", err);
	g->stream = index_row_stream(r);
	g->from = be64_get(r->key + INDEX_KEY_STREAM);
	return 0;
}
