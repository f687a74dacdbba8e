/* Rows that are simply put or removed, and producers, whose window is merged. */
#include "engine/base/error.h"
#include "engine/index/fold.h"
#include <string.h>

int index_fold_gap(struct index_tx *tx, uint32_t number, const struct gap_entry *g)
{
	index_key_u64(&tx->key, number, INDEX_GAP, g->stream, g->from);
	index_gap_put(&tx->row, g);
	return index_tx_put(tx);
}

/* The row that holds `offset`. */
static int gap_at(struct index_tx *tx, uint32_t number, uint64_t stream, uint64_t offset,
                  struct gap_entry *out)
{
	struct index_row before, from;
	index_key_u64(&tx->key, number, INDEX_GAP, stream, offset + 1);
	int rc = index_tx_around(tx, INDEX_KEY_STREAM, &before, &from);
	if (rc == 0)
		rc = before.key ? index_gap_get(&before, out, tx->err) : FIRN_ENOENT;
	return rc == 0 && out->to <= offset ? FIRN_ENOENT : rc;
}

/* A lost range has one row for ever; what was put back into it are extents, which count first. */
int index_gap_find(struct index *ix, uint32_t number, uint64_t stream, uint64_t offset,
                   struct gap_entry *out, struct firn_error *err)
{
	struct index_tx tx;
	int rc = offset == UINT64_MAX ? FIRN_ENOENT : index_tx_read(ix, &tx, err);
	if (rc)
		return rc;
	rc = gap_at(&tx, number, stream, offset, out);
	if (rc == 0 && out->kind == GAP_LOST)
		rc = index_extent_free(&tx, number, stream, offset, &out->from, &out->to);
	if (rc == 0 && out->to <= offset)
		rc = FIRN_ENOENT;
	index_tx_end(&tx);
	return rc;
}

int index_lost_room(struct index *ix, uint32_t number, uint64_t stream, uint64_t from, uint64_t to,
                    struct gap_entry *room, struct firn_error *err)
{
	struct index_tx tx;
	struct gap_entry g = { 0 };
	int rc = index_tx_read(ix, &tx, err);
	if (rc)
		return rc;
	rc = gap_at(&tx, number, stream, from, &g);
	if (rc == 0 && (g.kind != GAP_LOST || g.to < to))
		rc = FIRN_ENOENT;
	if (rc == 0 && room)
		*room = g;
	if (rc == 0)
		rc = index_extent_free(&tx, number, stream, from, &g.from, &g.to);
	if (rc == 0 && g.to < to)
		rc = FIRN_EEXIST;
	index_tx_end(&tx);
	return rc;
}

static int long_key(struct index_tx *tx, uint64_t stream, uint32_t len)
{
	return fail(tx->err, FIRN_EINVAL, 0, "index", "stream %llu: key of %u bytes is too long",
	            (unsigned long long)stream, len);
}

int index_fold_kv(struct index_tx *tx, uint32_t number, const struct kv_change *kv)
{
	if (index_key_bytes(&tx->key, number, INDEX_KV, kv->stream, kv->key, kv->key_len))
		return long_key(tx, kv->stream, kv->key_len);
	if (kv->deleted)
		return index_tx_del(tx);
	index_kv_put(&tx->row, kv);
	return index_tx_put(tx);
}

int index_fold_key(struct index_tx *tx, uint32_t number, const struct key_entry *k)
{
	if (index_key_bytes(&tx->key, number, INDEX_KEY, k->stream, k->key, k->key_len))
		return long_key(tx, k->stream, k->key_len);
	index_idem_put(&tx->row, k);
	return index_tx_put(tx);
}

/* The newest INDEX_WINDOW_MAX of the old window followed by the new one. */
static void window_append(const struct index_producer_row *old, const struct producer_change *p,
                          struct index_producer_row *out)
{
	uint32_t n_new = p->n_batch < INDEX_WINDOW_MAX ? p->n_batch : INDEX_WINDOW_MAX;
	uint32_t n_old = old ? old->p.n_batch : 0;
	if (n_old > INDEX_WINDOW_MAX - n_new)
		n_old = INDEX_WINDOW_MAX - n_new;
	if (n_old)
		memcpy(out->batch, old->batch + old->p.n_batch - n_old, n_old * sizeof *out->batch);
	if (n_new)
		memcpy(out->batch + n_old, p->batch + p->n_batch - n_new,
		       n_new * sizeof *out->batch);
	out->p = *p;
	out->p.n_batch = n_old + n_new;
	out->p.batch = out->batch;
}

int index_fold_producer(struct index_tx *tx, uint32_t number, const struct producer_change *p)
{
	struct index_producer_row old, row;
	struct index_row r;
	index_key_u64(&tx->key, number, INDEX_PRODUCER, p->stream, p->producer_id);
	int rc = index_tx_get(tx, &r);
	if (rc && rc != FIRN_ENOENT)
		return rc;
	int keep = rc == 0;
	if (keep) {
		rc = index_producer_get(&r, &old, tx->err);
		if (rc)
			return rc;
		keep = !p->window_reset && old.p.producer_epoch == p->producer_epoch;
	}
	window_append(keep ? &old : NULL, p, &row);
	if (keep && !p->n_batch)
		row.p.seq_next =
		        old.p.seq_next; /* only an epoch was checked: no sequence was used */
	index_producer_put(&tx->row, &row.p);
	return index_tx_put(tx);
}
