/* Key-value, producer and idempotency-key rows. */
#include "engine/base/le.h"
#include "engine/index/rows.h"
#include <string.h>

void index_kv_put(struct buf *b, const struct kv_change *kv)
{
	index_row_begin(b);
	buf_put_u64(b, kv->rev);
	buf_put(b, kv->value, kv->value_len);
}

int index_kv_get(const struct index_row *r, struct kv_change *kv, struct firn_error *err)
{
	struct cur c;
	int rc = index_row_open(r, &c, err);
	if (rc)
		return rc;
	memset(kv, 0, sizeof *kv);
	kv->rev = cur_u64(&c);
	kv->value_len = (uint32_t)cur_left(&c);
	kv->value = cur_take(&c, kv->value_len);
	if (c.failed || r->key_len < INDEX_KEY_STREAM)
		return index_row_bad(r, "fields make no sense", err);
	kv->stream = index_row_stream(r);
	kv->key = r->key + INDEX_KEY_STREAM;
	kv->key_len = (uint32_t)(r->key_len - INDEX_KEY_STREAM);
	return 0;
}

void index_producer_put(struct buf *b, const struct producer_change *p)
{
	index_row_begin(b);
	buf_put_u32(b, p->producer_epoch);
	buf_put_u32(b, p->n_batch);
	buf_put_u64(b, p->seq_next);
	buf_put_u64(b, (uint64_t)p->last_ms);
	for (uint32_t i = 0; i < p->n_batch; i++) {
		buf_put_u64(b, p->batch[i].seq);
		buf_put_u64(b, p->batch[i].offset);
		buf_put_u64(b, p->batch[i].rev);
		buf_put_u32(b, p->batch[i].n_offsets);
		buf_put_u32(b, p->batch[i].n_seq);
	}
}

int index_producer_get(const struct index_row *r, struct index_producer_row *p,
                       struct firn_error *err)
{
	struct cur c;
	int rc = index_row_open(r, &c, err);
	if (rc)
		return rc;
	memset(&p->p, 0, sizeof p->p);
	p->p.producer_epoch = cur_u32(&c);
	p->p.n_batch = cur_u32(&c);
	p->p.seq_next = cur_u64(&c);
	p->p.last_ms = (int64_t)cur_u64(&c);
	if (c.failed || p->p.n_batch > INDEX_WINDOW_MAX || r->key_len != INDEX_KEY_STREAM + 8)
		return index_row_bad(r, "fields make no sense", err);
	for (uint32_t i = 0; i < p->p.n_batch; i++) {
		p->batch[i].seq = cur_u64(&c);
		p->batch[i].offset = cur_u64(&c);
		p->batch[i].rev = cur_u64(&c);
		p->batch[i].n_offsets = cur_u32(&c);
		p->batch[i].n_seq = cur_u32(&c);
	}
	if (c.failed || cur_left(&c))
		return index_row_bad(r, "fields make no sense", err);
	p->p.batch = p->batch;
	p->p.stream = index_row_stream(r);
	p->p.producer_id = be64_get(r->key + INDEX_KEY_STREAM);
	return 0;
}

void index_idem_put(struct buf *b, const struct key_entry *k)
{
	index_row_begin(b);
	buf_put_u64(b, k->offset);
	buf_put_u64(b, k->rev);
	buf_put_u64(b, (uint64_t)k->append_ms);
	buf_put_u32(b, k->n_offsets);
}

int index_idem_get(const struct index_row *r, struct key_entry *k, struct firn_error *err)
{
	struct cur c;
	int rc = index_row_open(r, &c, err);
	if (rc)
		return rc;
	memset(k, 0, sizeof *k);
	k->offset = cur_u64(&c);
	k->rev = cur_u64(&c);
	k->append_ms = (int64_t)cur_u64(&c);
	k->n_offsets = cur_u32(&c);
	if (c.failed || cur_left(&c) || r->key_len < INDEX_KEY_STREAM)
		return index_row_bad(r, "fields make no sense", err);
	k->stream = index_row_stream(r);
	k->key = r->key + INDEX_KEY_STREAM;
	k->key_len = (uint32_t)(r->key_len - INDEX_KEY_STREAM);
	return 0;
}
