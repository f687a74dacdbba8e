/* A rewrite in the index: extents come to lie in new segments, and the segments that they lay in leave, all in the
 * transaction of the commit that says so (gc/clean.h).
 *
 *   check, before the CAS:  live extents of each segment that goes = its extents among the moves
 *   fold, behind it:        rows of the new segments, then each move of which an extent is still there, then the old rows go
 *
 * A move stands for the extents in [base, next) of its stream: the one that was copied, or several that became one. An extent
 * that is not there any more was trimmed, or its stream deleted, between the copy and the commit: the copy is dead from the
 * beginning, or begins below its stream's start. */
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/index/fold.h"
#include <string.h>

/* Which of those that go; n_gone: none. */
static uint32_t goes(const struct index_rewrite *rw, struct segment_id id)
{
	uint32_t lo = 0, hi = rw->n_gone;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (segment_id_compare(rw->gone[mid], id) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < rw->n_gone && segment_id_equal(rw->gone[lo], id) ? lo : rw->n_gone;
}

/* The first extent at or above *at, which is moved behind its beginning, where the move's block will lie, and which of
 * those that go it lies in. One that lies in `to` was moved by this very commit. FIRN_ENOENT: there is none;
 * FIRN_ECORRUPT: it is none of those that were moved. */
static int next_of(struct index_tx *tx, uint32_t number, const struct index_rewrite *rw,
                   const struct index_move *m, uint64_t *at, struct index_extent_row *out,
                   uint32_t *k)
{
	struct index_row r;
	do {
		index_key_u64(&tx->key, number, INDEX_EXTENT, m->block.stream, *at);
		int rc = index_tx_ge(tx, INDEX_KEY_STREAM, &r);
		rc = rc ? rc : index_extent_get(&r, out, tx->err);
		if (rc || out->x.block.base >= m->block.next)
			return rc ? rc : FIRN_ENOENT;
		*at = out->x.block.base + 1;
	} while (segment_id_equal(out->x.segment, m->to));
	*k = goes(rw, out->x.segment);
	if (*k == rw->n_gone || out->x.block.next > m->block.next)
		return fail(tx->err, FIRN_ECORRUPT, 0, "index",
		            "a block of stream %llu at %llu is not one that was moved",
		            (unsigned long long)out->x.block.stream,
		            (unsigned long long)out->x.block.base);
	return 0;
}

/* ---- before the commit ---- */

static int count_moves(struct index_tx *tx, uint32_t number, const struct index_rewrite *rw,
                       uint32_t *n)
{
	for (uint32_t i = 0; i < rw->n_move; i++) {
		struct index_extent_row x;
		uint64_t at = rw->move[i].base;
		uint32_t k;
		int rc;
		while ((rc = next_of(tx, number, rw, &rw->move[i], &at, &x, &k)) == 0)
			n[k]++;
		if (rc != FIRN_ENOENT)
			return rc;
	}
	return 0;
}

static int compare_counts(struct index_tx *tx, uint32_t number, const struct index_rewrite *rw,
                          const uint32_t *n)
{
	for (uint32_t i = 0; i < rw->n_gone; i++) {
		struct index_row r;
		struct index_segment s;
		index_key_segment(&tx->key, number, INDEX_SEGMENT, rw->gone[i]);
		int rc = index_tx_get(tx, &r);
		if (rc == FIRN_ENOENT) /* all of it has died, and it has left */
			continue;
		rc = rc ? rc : index_segment_row_get(&r, &s, tx->err);
		if (rc)
			return rc;
		if (s.n_live != n[i])
			return fail(
			        tx->err, FIRN_ECORRUPT, 0, "index",
			        "segment %llx-%llx: %u extents lie in it, %u of them were moved",
			        (unsigned long long)s.s.id.epoch, (unsigned long long)s.s.id.n,
			        s.n_live, n[i]);
	}
	return 0;
}

int index_rewrite_check(struct index *ix, uint32_t number, const struct index_rewrite *rw,
                        struct firn_error *err)
{
	struct index_tx tx;
	uint32_t *n = mem_zalloc(ix->env, (rw->n_gone + 1u) * sizeof *n);
	if (!n)
		return fail(err, FIRN_ENOMEM, 0, "index", "no memory");
	int rc = index_tx_read(ix, &tx, err);
	if (rc == 0) {
		rc = count_moves(&tx, number, rw, n);
		rc = rc ? rc : compare_counts(&tx, number, rw, n);
		index_tx_end(&tx);
	}
	mem_free(ix->env, n);
	return rc;
}

/* ---- the commit ---- */

/* The maximum of times that the last of the rows carries stays: it is of all offsets before, too. */
static int fold_move(struct index_tx *tx, uint32_t number, const struct index_rewrite *rw,
                     const struct index_move *m)
{
	struct index_extent_row x, now = { { m->to, m->block }, 0 };
	uint64_t at = m->base;
	uint32_t k, n = 0;
	int rc;
	while ((rc = next_of(tx, number, rw, m, &at, &x, &k)) == 0) {
		now.running_max_ms = x.running_max_ms;
		n++;
		index_key_u64(&tx->key, number, INDEX_EXTENT, m->block.stream, x.x.block.base);
		rc = index_tx_del(tx);
		rc = rc ? rc : index_live_add(tx, number, &x.x, -1);
		if (rc)
			return rc;
	}
	if (rc != FIRN_ENOENT || !n)
		return rc == FIRN_ENOENT ? 0 : rc;
	index_key_u64(&tx->key, number, INDEX_EXTENT, m->block.stream, m->block.base);
	index_extent_put(&tx->row, &now);
	rc = index_tx_put(tx);
	return rc ? rc : index_live_add(tx, number, &now.x, 1);
}

/* What was looked at before the CAS holds now, since nobody else changes the volume's rows. */
static int check_empty(struct index_tx *tx, uint32_t number, struct segment_id id)
{
	struct index_row r;
	struct index_segment s;
	index_key_segment(&tx->key, number, INDEX_SEGMENT, id);
	int rc = index_tx_get(tx, &r);
	rc = rc ? rc : index_segment_row_get(&r, &s, tx->err);
	if (rc == FIRN_ENOENT)
		return 0;
	return rc || !s.n_live ? rc : index_row_bad(&r, "something still lies in it", tx->err);
}

int index_fold_rewrite(struct index_tx *tx, uint32_t number, const struct index_rewrite *rw)
{
	int rc = 0;
	for (uint32_t i = 0; i < rw->n_added && rc == 0; i++)
		rc = index_fold_segment(tx, number, &rw->added[i]);
	for (uint32_t i = 0; i < rw->n_move && rc == 0; i++)
		rc = fold_move(tx, number, rw, &rw->move[i]);
	rc = rc ? rc : index_live_flush(tx);
	for (uint32_t i = 0; i < rw->n_gone && rc == 0; i++) {
		rc = check_empty(tx, number, rw->gone[i]);
		rc = rc ? rc : index_live_gone(tx, number, rw->gone[i]);
	}
	return rc;
}
