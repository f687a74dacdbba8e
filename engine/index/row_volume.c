/* Meta, volume and segment rows. */
#include "engine/base/error.h"
#include "engine/base/le.h"
#include "engine/index/rows.h"
#include <string.h>

static const uint8_t magic[8] = { 'f', 'i', 'r', 'n', 'i', 'n', 'd', 'x' };

void index_meta_put(struct buf *b, const struct index_meta *m)
{
	index_row_begin(b);
	buf_put(b, magic, sizeof magic);
	buf_put_u32(b, m->version);
	buf_put_u32(b, m->next_number);
	buf_put_u64(b, m->txnid);
}

int index_meta_get(const struct index_row *r, struct index_meta *m, struct firn_error *err)
{
	struct cur c;
	int rc = index_row_open(r, &c, err);
	if (rc)
		return rc;
	const uint8_t *got = cur_take(&c, sizeof magic);
	if (!got || memcmp(got, magic, sizeof magic) != 0)
		return index_row_bad(r, "not an index of firn", err);
	m->version = cur_u32(&c);
	if (!c.failed && m->version > INDEX_FORMAT)
		return fail(err, FIRN_EUNSUPPORTED, 0, "index",
		            "index format %u is newer than %d: a later release wrote it",
		            m->version, INDEX_FORMAT);
	m->next_number = cur_u32(&c);
	m->txnid = cur_u64(&c);
	if (c.failed || cur_left(&c) || m->version == 0 || m->next_number == 0)
		return index_row_bad(r, "fields make no sense", err);
	return 0;
}

void index_volume_put(struct buf *b, const struct index_volume *v)
{
	index_row_begin(b);
	buf_put_u32(b, v->number);
	buf_put_u32(b, v->n_streams);
	buf_put(b, v->nonce, sizeof v->nonce);
	buf_put_u64(b, v->epoch);
	buf_put_u64(b, v->seq);
	buf_put_u64(b, v->rev_stored);
	buf_put_u64(b, v->next_stream);
}

void index_segment_put(struct buf *b, const struct index_segment *x)
{
	const struct manifest_segment *s = &x->s;
	index_row_begin(b);
	buf_put_u64(b, s->bytes);
	buf_put_u64(b, s->footer_pos);
	buf_put_u64(b, s->footer_sum);
	buf_put_u64(b, s->rev_from);
	buf_put_u64(b, s->rev_to);
	buf_put_u64(b, (uint64_t)s->min_append_ms);
	buf_put_u64(b, (uint64_t)s->max_append_ms);
	buf_put_u32(b, s->part);
	buf_put_u32(b, s->n_parts);
	buf_put_u32(b, s->n_block);
	buf_put_u32(b, x->n_live);
	buf_put_u64(b, x->live_bytes);
}

int index_segment_row_get(const struct index_row *r, struct index_segment *x,
                          struct firn_error *err)
{
	struct cur c;
	int rc = index_row_open(r, &c, err);
	if (rc)
		return rc;
	struct manifest_segment *s = &x->s;
	memset(x, 0, sizeof *x);
	s->bytes = cur_u64(&c);
	s->footer_pos = cur_u64(&c);
	s->footer_sum = cur_u64(&c);
	s->rev_from = cur_u64(&c);
	s->rev_to = cur_u64(&c);
	s->min_append_ms = (int64_t)cur_u64(&c);
	s->max_append_ms = (int64_t)cur_u64(&c);
	s->part = cur_u32(&c);
	s->n_parts = cur_u32(&c);
	s->n_block = cur_u32(&c);
	x->n_live = cur_u32(&c);
	x->live_bytes = cur_u64(&c);
	if (c.failed || cur_left(&c) || r->key_len != INDEX_KEY_STREAM + 8)
		return index_row_bad(r, "fields make no sense", err);
	s->id = (struct segment_id){ index_row_stream(r), be64_get(r->key + INDEX_KEY_STREAM) };
	return 0;
}

int index_empty_row_get(const struct index_row *r, struct segment_id *id, struct firn_error *err)
{
	struct cur c;
	int rc = index_row_open(r, &c, err);
	if (rc)
		return rc;
	if (cur_left(&c) || r->key_len != INDEX_KEY_STREAM + 8)
		return index_row_bad(r, "fields make no sense", err);
	*id = (struct segment_id){ index_row_stream(r), be64_get(r->key + INDEX_KEY_STREAM) };
	return 0;
}

int index_volume_row_get(const struct index_row *r, struct index_volume *v, struct firn_error *err)
{
	struct cur c;
	int rc = index_row_open(r, &c, err);
	if (rc)
		return rc;
	memset(v, 0, sizeof *v);
	v->number = cur_u32(&c);
	v->n_streams = cur_u32(&c);
	const uint8_t *nonce = cur_take(&c, sizeof v->nonce);
	v->epoch = cur_u64(&c);
	v->seq = cur_u64(&c);
	v->rev_stored = cur_u64(&c);
	v->next_stream = cur_u64(&c);
	if (c.failed || cur_left(&c) || !nonce || v->number == 0 ||
	    r->key_len != INDEX_KEY_HEAD + 16)
		return index_row_bad(r, "fields make no sense", err);
	memcpy(v->nonce, nonce, sizeof v->nonce);
	memcpy(v->volume_id, r->key + INDEX_KEY_HEAD, 16);
	return 0;
}
