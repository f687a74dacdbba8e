/* Segment rows: what a volume consists of, and how much of each is still alive. Extents come and go one by one;
 * their counts are gathered in the transaction and written when a slot is needed for another segment, and before
 * the commit. A segment in which nothing lies has a second row, so that the dead are found without a walk over
 * all. */
#include "engine/index/fold.h"
#include <string.h>

static int row_get(struct index_tx *tx, uint32_t number, struct segment_id id,
                   struct index_segment *out)
{
	struct index_row r;
	index_key_segment(&tx->key, number, INDEX_SEGMENT, id);
	int rc = index_tx_get(tx, &r);
	if (rc == 0)
		return index_segment_row_get(&r, out, tx->err);
	memset(out, 0, sizeof *out);
	out->s.id = id;
	return rc;
}

static int row_put(struct index_tx *tx, uint32_t number, const struct index_segment *s)
{
	index_key_segment(&tx->key, number, INDEX_SEGMENT, s->s.id);
	index_segment_put(&tx->row, s);
	int rc = index_tx_put(tx);
	if (rc)
		return rc;
	index_key_segment(&tx->key, number, INDEX_EMPTY, s->s.id);
	if (s->n_live)
		return index_tx_del(tx);
	index_row_begin(&tx->row);
	return index_tx_put(tx);
}

static int slot_write(struct index_tx *tx, struct index_live *l)
{
	struct index_segment s;
	struct index_live now = *l;
	l->id.epoch = 0;
	if (!now.n && !now.bytes)
		return 0;
	int rc = row_get(tx, now.number, now.id, &s);
	if (rc && rc != FIRN_ENOENT)
		return rc;
	int64_t n = (int64_t)s.n_live + now.n, bytes = (int64_t)s.live_bytes + now.bytes;
	if (n < 0 || n > UINT32_MAX || bytes < 0) {
		struct index_row r = { tx->key.data, NULL, tx->key.len, 0 };
		return index_row_bad(&r, "fewer extents lie in it than left it", tx->err);
	}
	s.n_live = (uint32_t)n;
	s.live_bytes = (uint64_t)bytes;
	return row_put(tx, now.number, &s);
}

int index_live_add(struct index_tx *tx, uint32_t number, const struct index_extent *x, int sign)
{
	struct index_live *l = &tx->live[(x->segment.n ^ x->segment.epoch) % tx->n_live];
	int same = l->id.epoch == x->segment.epoch && l->id.n == x->segment.n &&
	           l->number == number;
	if (l->id.epoch && !same) {
		int rc = slot_write(tx, l);
		if (rc)
			return rc;
	}
	if (!same)
		*l = (struct index_live){ .id = x->segment, .number = number };
	l->n += sign;
	l->bytes += sign * (int64_t)x->block.payload_bytes;
	return 0;
}

int index_live_flush(struct index_tx *tx)
{
	int rc = 0;
	for (uint32_t i = 0; i < tx->n_live && rc == 0; i++)
		if (tx->live[i].id.epoch)
			rc = slot_write(tx, &tx->live[i]);
	return rc;
}

int index_fold_segment(struct index_tx *tx, uint32_t number, const struct manifest_segment *s)
{
	struct index_segment row;
	int rc = row_get(tx, number, s->id, &row);
	if (rc && rc != FIRN_ENOENT)
		return rc;
	row.s = *s;
	return row_put(tx, number, &row);
}

int index_live_gone(struct index_tx *tx, uint32_t number, struct segment_id id)
{
	struct index_segment s;
	int rc = index_live_flush(tx);
	rc = rc ? rc : row_get(tx, number, id, &s);
	if (rc || s.n_live)
		return rc == FIRN_ENOENT ? 0 : rc;
	index_key_segment(&tx->key, number, INDEX_SEGMENT, id);
	rc = index_tx_del(tx);
	index_key_segment(&tx->key, number, INDEX_EMPTY, id);
	return rc ? rc : index_tx_del(tx);
}
