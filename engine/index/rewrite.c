/* A rewrite in the index: extents come to lie in new segments, and the segments that they lay in leave, all in the
 * transaction of the commit that says so (gc/clean.h).
 *
 *   check, before the CAS:  live extents of each segment that goes = its extents among the moves
 *   fold, behind it:        rows of the new segments, then each move whose extent is still there, then the old rows go
 *
 * An extent that is not there any more was trimmed, or its stream deleted, between the copy and the commit: the copy is
 * dead from the beginning. One that is there and lies elsewhere has been moved by this very commit, which is applied once
 * more. */
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/index/fold.h"
#include <string.h>

/* FIRN_ENOENT: it does not lie there any more. */
static int extent_of(struct index_tx *tx, uint32_t number, const struct index_move *m,
                     struct index_extent_row *out)
{
	struct index_row r;
	index_key_u64(&tx->key, number, INDEX_EXTENT, m->block.stream, m->base);
	int rc = index_tx_get(tx, &r);
	rc = rc ? rc : index_extent_get(&r, out, tx->err);
	if (rc || segment_id_equal(out->x.segment, m->from))
		return rc;
	return FIRN_ENOENT;
}

/* ---- before the commit ---- */

static int count_moves(struct index_tx *tx, uint32_t number, const struct index_rewrite *rw,
                       uint32_t *n)
{
	for (uint32_t i = 0; i < rw->n_move; i++) {
		struct index_extent_row x;
		uint32_t k = 0;
		int rc = extent_of(tx, number, &rw->move[i], &x);
		if (rc == FIRN_ENOENT)
			continue;
		if (rc)
			return rc;
		while (k < rw->n_gone && !segment_id_equal(rw->gone[k], rw->move[i].from))
			k++;
		if (k == rw->n_gone || x.x.block.next != rw->move[i].block.next)
			return fail(tx->err, FIRN_ECORRUPT, 0, "index",
			            "a block of stream %llu is not the one that was moved",
			            (unsigned long long)x.x.block.stream);
		n[k]++;
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

/* The maximum of times that the row carries stays: it is of all offsets before, too. */
static int fold_move(struct index_tx *tx, uint32_t number, const struct index_move *m)
{
	struct index_extent_row x;
	int rc = extent_of(tx, number, m, &x);
	if (rc)
		return rc == FIRN_ENOENT ? 0 : rc;
	struct index_extent old = x.x;
	if (m->block.base != m->base)
		rc = index_tx_del(tx);
	x.x = (struct index_extent){ m->to, m->block };
	index_key_u64(&tx->key, number, INDEX_EXTENT, m->block.stream, m->block.base);
	index_extent_put(&tx->row, &x);
	rc = rc ? rc : index_tx_put(tx);
	rc = rc ? rc : index_live_add(tx, number, &old, -1);
	return rc ? rc : index_live_add(tx, number, &x.x, 1);
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
		rc = fold_move(tx, number, &rw->move[i]);
	rc = rc ? rc : index_live_flush(tx);
	for (uint32_t i = 0; i < rw->n_gone && rc == 0; i++) {
		rc = check_empty(tx, number, rw->gone[i]);
		rc = rc ? rc : index_live_gone(tx, number, rw->gone[i]);
	}
	return rc;
}
