/* Extents: where blocks lie. Rows are sorted by (stream, base) and do not overlap.
 *
 * Each row carries the running maximum of timestamps up to and including itself, so that a look-up
 * by time is a bisection over offsets: the first row whose running maximum reaches t is also the
 * first row that reaches t itself. Rows trimmed away leave their maximum behind, and a search may
 * start above the row that holds the maximum: then the rows are walked from where the bisection
 * ended. */
#include "engine/index/fold.h"
#include <string.h>

static int put_extent(struct index_tx *tx, uint32_t number, const struct index_extent_row *x)
{
	index_key_u64(&tx->key, number, INDEX_EXTENT, x->x.block.stream, x->x.block.base);
	index_extent_put(&tx->row, x);
	return index_tx_put(tx);
}

/* Rows after `x` (there are some only when a rewrite filled in) learn its maximum. */
static int raise_later(struct index_tx *tx, uint32_t number, struct index_extent_row x)
{
	struct index_row r;
	for (;;) {
		int64_t max = x.running_max_ms;
		index_key_u64(&tx->key, number, INDEX_EXTENT, x.x.block.stream, x.x.block.base + 1);
		int rc = index_tx_ge(tx, INDEX_KEY_STREAM, &r);
		if (rc)
			return rc == FIRN_ENOENT ? 0 : rc;
		rc = index_extent_get(&r, &x, tx->err);
		if (rc || x.running_max_ms >= max)
			return rc;
		x.running_max_ms = max;
		rc = put_extent(tx, number, &x);
		if (rc)
			return rc;
	}
}

int index_fold_block(struct index_tx *tx, uint32_t number, struct segment_id id,
                     const struct block_entry *e)
{
	struct index_extent_row x = { { id, *e }, e->max_timestamp_ms }, old;
	struct index_row before, from;
	index_key_u64(&tx->key, number, INDEX_EXTENT, e->stream, e->base);
	int rc = index_tx_around(tx, INDEX_KEY_STREAM, &before, &from);
	if (rc == 0 && before.key) {
		rc = index_extent_get(&before, &old, tx->err);
		if (rc == 0 && old.running_max_ms > x.running_max_ms)
			x.running_max_ms = old.running_max_ms;
	}
	int others = rc == 0 && from.key;
	int replaced = others && from.key_len == tx->key.len &&
	               memcmp(from.key, tx->key.data, tx->key.len) == 0;
	if (replaced)
		rc = index_extent_get(&from, &old, tx->err);
	if (rc == 0)
		rc = put_extent(tx, number, &x);
	if (rc == 0 && others)
		rc = raise_later(tx, number, x);
	if (rc == 0 && replaced)
		rc = index_live_add(tx, number, &old.x, -1);
	return rc ? rc : index_live_add(tx, number, &x.x, 1);
}

/* The extent that holds `offset`, or the first above it. */
static int find(struct index_tx *tx, uint32_t number, uint64_t stream, uint64_t offset,
                struct index_extent_row *out)
{
	struct index_row before, from;
	if (offset == UINT64_MAX)
		return FIRN_ENOENT;
	index_key_u64(&tx->key, number, INDEX_EXTENT, stream, offset + 1);
	int rc = index_tx_around(tx, INDEX_KEY_STREAM, &before, &from);
	if (rc == 0 && before.key) {
		rc = index_extent_get(&before, out, tx->err);
		if (rc || out->x.block.next > offset)
			return rc;
	}
	if (rc == 0 && !from.key)
		return FIRN_ENOENT;
	return rc ? rc : index_extent_get(&from, out, tx->err);
}

int index_extent_free(struct index_tx *tx, uint32_t number, uint64_t stream, uint64_t offset,
                      uint64_t *from, uint64_t *to)
{
	struct index_row before, after;
	struct index_extent_row x;
	index_key_u64(&tx->key, number, INDEX_EXTENT, stream, offset + 1);
	int rc = index_tx_around(tx, INDEX_KEY_STREAM, &before, &after);
	if (rc == 0 && after.key) {
		rc = index_extent_get(&after, &x, tx->err);
		if (rc == 0 && x.x.block.base < *to)
			*to = x.x.block.base;
	}
	if (rc == 0 && before.key) {
		rc = index_extent_get(&before, &x, tx->err);
		if (rc == 0 && x.x.block.next > *from)
			*from = x.x.block.next;
	}
	if (*from > offset) /* the extent reaches beyond it */
		*from = *to = offset;
	return rc;
}

int index_extent_find(struct index *ix, uint32_t number, uint64_t stream, uint64_t offset,
                      struct index_extent *out, struct firn_error *err)
{
	struct index_tx tx;
	struct index_extent_row x;
	int rc = index_tx_read(ix, &tx, err);
	if (rc)
		return rc;
	rc = find(&tx, number, stream, offset, &x);
	if (rc == 0)
		*out = x.x;
	index_tx_end(&tx);
	return rc;
}

int index_extents(struct index *ix, uint32_t number, uint64_t stream, uint64_t from,
                  int (*each)(void *arg, const struct index_extent *x), void *arg,
                  struct firn_error *err)
{
	struct index_tx tx;
	struct index_extent_row x;
	struct index_row r;
	int stop = 0, rc = index_tx_read(ix, &tx, err);
	if (rc)
		return rc;
	rc = find(&tx, number, stream, from, &x);
	while (rc == 0 && (stop = each(arg, &x.x)) == 0) {
		index_key_u64(&tx.key, number, INDEX_EXTENT, stream, x.x.block.next);
		rc = index_tx_ge(&tx, INDEX_KEY_STREAM, &r);
		rc = rc ? rc : index_extent_get(&r, &x, err);
	}
	index_tx_end(&tx);
	return stop ? stop : rc == FIRN_ENOENT ? 0 : rc;
}

/* The first extent at or above `from` whose running maximum reaches t: *from is moved up to it. */
static int bisect(struct index_tx *tx, uint32_t number, uint64_t stream, uint64_t *from, int64_t t)
{
	uint64_t lo = *from;
	struct index_extent_row x;
	struct index_row last, none;
	index_key_u64(&tx->key, number, INDEX_EXTENT, stream, UINT64_MAX);
	int rc = index_tx_around(tx, INDEX_KEY_STREAM, &last, &none);
	if (rc == 0)
		rc = last.key ? index_extent_get(&last, &x, tx->err) : FIRN_ENOENT;
	if (rc || x.running_max_ms < t)
		return rc ? rc : FIRN_ENOENT;
	uint64_t hi = x.x.block.base;
	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;
		rc = find(tx, number, stream, mid, &x);
		if (rc)
			return rc;
		if (x.running_max_ms < t)
			lo = x.x.block.next;
		else
			hi = x.x.block.base < mid ? x.x.block.base : mid;
	}
	if (lo > *from)
		*from = lo;
	return 0;
}

int index_extent_by_time(struct index *ix, uint32_t number, uint64_t stream, uint64_t from,
                         int64_t t, struct index_extent *out, struct firn_error *err)
{
	struct index_tx tx;
	struct index_extent_row x;
	int rc = index_tx_read(ix, &tx, err);
	if (rc)
		return rc;
	rc = bisect(&tx, number, stream, &from, t);
	while (rc == 0) {
		rc = find(&tx, number, stream, from, &x);
		if (rc == 0 && x.x.block.max_timestamp_ms >= t)
			break;
		from = rc == 0 ? x.x.block.next : from;
	}
	if (rc == 0)
		*out = x.x;
	index_tx_end(&tx);
	return rc;
}
