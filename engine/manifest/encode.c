/* A manifest becomes bytes: header, fixed fields, texts, arrays, sum. See FORMAT.md. */
#include "engine/base/le.h"
#include "engine/base/sum.h"
#include "engine/manifest/layout.h"

_Static_assert(MANIFEST_MAX_BYTES < INT32_MAX, "lengths fit 32 bits");

static void put_i64(struct buf *b, int64_t v)
{
	buf_put_u64(b, (uint64_t)v);
}

static void put_header(struct buf *b, const struct manifest *m)
{
	buf_put(b, MANIFEST_MAGIC, 8);
	buf_put_u32(b, MANIFEST_FORMAT);
	buf_put_u32(b, MANIFEST_HEADER_LEN);
	buf_put_u64(b, m->compat);
	buf_put_u64(b, m->ro_compat);
	buf_put_u64(b, m->incompat);
	buf_put_u64(b, 0); /* object_len and header_sum: by put_sums(), when they are known */
	buf_put_u64(b, 0);
	buf_put_u64(b, 0);
}

static void put_fixed(struct buf *b, const struct manifest *m)
{
	buf_put(b, m->volume_id, sizeof m->volume_id);
	buf_put(b, m->nonce, sizeof m->nonce);
	buf_put_u64(b, m->seq);
	buf_put_u64(b, m->epoch);
	buf_put_u64(b, m->rev_stored);
	buf_put_u64(b, m->rev_durable);
	buf_put_u64(b, m->next_stream);
	buf_put_u64(b, m->next_segment);
	buf_put_u64(b, m->ack_lease_ms);
	put_i64(b, m->committed_ms);
	buf_put_u64(b, m->rewrite_seq);
	put_i64(b, m->cleaned_ms);
	buf_put_u32(b, m->state);
	buf_put_u32(b, m->n_log);
	buf_put_u32(b, m->n_layer);
	buf_put_u32(b, m->n_segment);
	buf_put_u32(b, m->n_lost);
	buf_put_u32(b, m->n_dead);
	buf_put_u16(b, (uint16_t)strlen(m->name));
	buf_put_u16(b, (uint16_t)strlen(m->node));
	buf_put_u32(b, (uint32_t)m->ext_len);
	buf_put(b, m->name, strlen(m->name));
	buf_put(b, m->node, strlen(m->node));
	buf_align(b, 8);
}

static void put_log(struct buf *b, const struct manifest_log *l)
{
	size_t len = strlen(l->uri);

	buf_put_u32(b, l->kind);
	buf_put_u32(b, (uint32_t)len);
	buf_put(b, l->id, sizeof l->id);
	buf_put_u64(b, l->position);
	buf_put(b, l->uri, len);
	buf_align(b, 8);
}

static void put_layer(struct buf *b, const struct manifest_layer *l)
{
	buf_put_u64(b, l->id.epoch);
	buf_put_u64(b, l->id.n);
	buf_put_u64(b, l->bytes);
	buf_put_u64(b, l->footer_pos);
	buf_put_u64(b, l->footer_sum);
	buf_put_u64(b, l->rev_from);
	buf_put_u64(b, l->rev_to);
	buf_put_u32(b, l->level);
	buf_put_u32(b, l->part);
	buf_put_u64(b, l->segment_bytes);
	buf_put_u32(b, l->n_segment);
	buf_put_u32(b, 0);
}

static void put_segment(struct buf *b, const struct manifest_segment *s)
{
	buf_put_u64(b, s->id.epoch);
	buf_put_u64(b, s->id.n);
	buf_put_u64(b, s->bytes);
	buf_put_u64(b, s->footer_pos);
	buf_put_u64(b, s->footer_sum);
	buf_put_u64(b, s->rev_from);
	buf_put_u64(b, s->rev_to);
	put_i64(b, s->min_append_ms);
	put_i64(b, s->max_append_ms);
	buf_put_u32(b, s->part);
	buf_put_u32(b, s->n_parts);
	buf_put_u32(b, s->n_block);
	buf_put_u32(b, 0);
}

static void put_arrays(struct buf *b, const struct manifest *m)
{
	for (uint32_t i = 0; i < m->n_log; i++)
		put_log(b, &m->log[i]);
	for (uint32_t i = 0; i < m->n_layer; i++)
		put_layer(b, &m->layer[i]);
	for (uint32_t i = 0; i < m->n_segment; i++)
		put_segment(b, &m->segment[i]);
	for (uint32_t i = 0; i < m->n_lost; i++) {
		buf_put(b, m->lost[i].nonce, 16);
		buf_put(b, m->lost[i].wal_id, 16);
		buf_put_u64(b, m->lost[i].rev_stored);
		buf_put_u64(b, m->lost[i].rev_skip);
		put_i64(b, m->lost[i].at_ms);
	}
	for (uint32_t i = 0; i < m->n_dead; i++) {
		buf_put_u64(b, m->dead[i].id.epoch);
		buf_put_u64(b, m->dead[i].id.n);
		put_i64(b, m->dead[i].since_ms);
		buf_put_u32(b, m->dead[i].kind);
		buf_put_u32(b, 0);
	}
	buf_put(b, m->ext, (size_t)m->ext_len);
	buf_align(b, 8);
}

static void put_sums(struct buf *b)
{
	le64_put(b->data + 40, b->len + MANIFEST_SUM_LEN);
	le64_put(b->data + MANIFEST_HEADER_SUM_AT, sum64(b->data, MANIFEST_HEADER_SUM_AT));
	buf_put_u64(b, sum64(b->data, b->len));
}

int manifest_encode(const struct manifest *m, struct buf *out)
{
	uint32_t row;

	if (manifest_check(m, &row))
		return FIRN_EINVAL;
	if (m->ext_len > MANIFEST_MAX_BYTES)
		return FIRN_ETOOBIG;
	out->len = 0;
	put_header(out, m);
	put_fixed(out, m);
	put_arrays(out, m);
	if (!out->failed)
		put_sums(out);
	if (out->failed)
		return FIRN_ENOMEM;
	return out->len > MANIFEST_MAX_BYTES ? FIRN_ETOOBIG : FIRN_OK;
}
