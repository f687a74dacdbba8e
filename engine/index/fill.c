/* Filling a new number from layers. While it is filled a fill row names it, which an opening turns into a drop row:
 * what a crash leaves is cleared away. The volume's row is swapped in one transaction at the end.
 *
 * LMDB has one writer at a time, and other volumes commit meanwhile: a transaction holds so many rows, and none is
 * open while a layer is fetched. */
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/index/fill.h"
#include <string.h>

enum { FILL_ROWS = 8192 };

static int fill_row_put(struct index_tx *tx, uint32_t number)
{
	index_key_fill(&tx->key, number);
	index_row_begin(&tx->row);
	return index_tx_put(tx);
}

int index_fill_open(struct index *ix, struct index_fill **out, struct firn_error *err)
{
	struct index_fill *f = *out = mem_zalloc(ix->env, sizeof *f);
	if (!f)
		return fail(err, FIRN_ENOMEM, 0, "index", "no memory");
	f->ix = ix;
	int rc = index_tx_write(ix, &f->tx, err);
	if (rc == 0 && f->tx.meta.next_number == UINT32_MAX)
		rc = index_tx_finish(&f->tx, fail(err, FIRN_ETOOBIG, 0, "index",
		                                  "volume numbers are used up: rebuild"));
	if (rc == 0) {
		f->v.number = f->tx.meta.next_number++;
		rc = index_tx_finish(&f->tx, fill_row_put(&f->tx, f->v.number));
	}
	if (rc) {
		mem_free(ix->env, f);
		*out = NULL;
	}
	return rc;
}

int index_fill_pause(struct index_fill *f, struct firn_error *err)
{
	if (!f->open)
		return 0;
	f->open = false;
	f->n_row = 0;
	f->tx.err = err;
	return index_tx_commit(&f->tx);
}

int index_fill_begin(struct index_fill *f, struct firn_error *err)
{
	int rc = f->open ? 0 : index_tx_write(f->ix, &f->tx, err);
	f->open = rc == 0;
	f->tx.err = err;
	return rc;
}

int index_fill_lost(struct index_fill *f, const struct lost_entry *lost, uint32_t n, uint64_t rev,
                    struct firn_error *err)
{
	int rc = index_base_end(f, err);
	for (; rc == 0 && f->n_lost < n && lost[f->n_lost].rev_stored < rev; f->n_lost++) {
		const struct lost_entry *l = &lost[f->n_lost];
		if (l->rev_stored < f->lost_cut)
			continue;
		rc = index_fill_begin(f, err);
		rc = rc ? rc : index_fold_lost(&f->tx, &f->v, l);
		f->lost_cut = l->rev_stored + l->rev_skip;
	}
	return rc;
}

int index_fill_row(struct index_fill *f, const struct layer_row *row, struct firn_error *err)
{
	int rc = index_base_end(f, err);
	rc = rc ? rc : index_fill_begin(f, err);
	rc = rc ? rc : index_fold_row(&f->tx, &f->v, row);
	if (rc == 0 && ++f->n_row >= FILL_ROWS)
		rc = index_fill_pause(f, err);
	return rc;
}

/* The old number, if there is one, becomes one to be dropped; a kept one not yet, but should a crash come. */
static int swap(struct index_tx *tx, struct index_fill *f, const struct index_commit *c,
                uint32_t kept)
{
	struct index_row r;
	struct index_volume old;
	index_key_volume(&tx->key, c->volume_id);
	int rc = index_tx_get(tx, &r);
	if (rc == 0) {
		rc = index_volume_row_get(&r, &old, tx->err);
		if (rc == 0 && old.number == kept)
			index_key_fill(&tx->key, kept);
		else
			index_key_drop(&tx->key, old.number);
		index_row_begin(&tx->row);
		rc = rc ? rc : index_tx_put(tx);
	}
	if (rc && rc != FIRN_ENOENT)
		return rc;
	index_key_fill(&tx->key, f->v.number);
	rc = index_tx_del(tx);
	memcpy(f->v.volume_id, c->volume_id, 16);
	memcpy(f->v.nonce, c->nonce, 16);
	f->v.epoch = c->epoch;
	f->v.seq = c->seq;
	f->v.rev_stored = c->rev_stored;
	f->v.next_stream = c->next_stream;
	index_key_volume(&tx->key, c->volume_id);
	index_volume_put(&tx->row, &f->v);
	return rc ? rc : index_tx_put(tx);
}

int index_fill_end(struct index_fill *f, const struct index_commit *commit, uint32_t kept,
                   struct firn_error *err)
{
	int rc = index_base_end(f, err);
	rc = rc ? rc : index_fill_pause(f, err);
	rc = rc ? rc : index_tx_write(f->ix, &f->tx, err);
	rc = rc ? rc : index_tx_finish(&f->tx, swap(&f->tx, f, commit, kept));
	if (rc)
		index_fill_abort(f);
	else
		mem_free(f->ix->env, f);
	return rc;
}

static int fill_to_drop(struct index_tx *tx, uint32_t number)
{
	index_key_fill(&tx->key, number);
	int rc = index_tx_del(tx);
	index_key_drop(&tx->key, number);
	index_row_begin(&tx->row);
	return rc ? rc : index_tx_put(tx);
}

int index_fill_drop(struct index *ix, uint32_t kept, struct firn_error *err)
{
	struct index_tx tx;
	int rc = index_tx_write(ix, &tx, err);
	return rc ? rc : index_tx_finish(&tx, fill_to_drop(&tx, kept));
}

/* Should it fail the next opening does the same. */
void index_fill_abort(struct index_fill *f)
{
	struct firn_error err = { .struct_size = sizeof err };
	if (!f)
		return;
	if (f->open)
		index_tx_end(&f->tx);
	if (index_tx_write(f->ix, &f->tx, &err) == 0)
		(void)index_tx_finish(&f->tx, fill_to_drop(&f->tx, f->v.number));
	mem_free(f->ix->env, f->base);
	mem_free(f->ix->env, f);
}

static int next_fill(struct index_tx *tx, uint32_t *number)
{
	struct index_row r;
	struct cur c;
	index_key_head(&tx->key, 0, INDEX_FILL);
	int rc = index_tx_ge(tx, INDEX_KEY_HEAD, &r);
	rc = rc ? rc : index_row_open(&r, &c, tx->err);
	if (rc)
		return rc;
	if (r.key_len != INDEX_KEY_HEAD + 4)
		return index_row_bad(&r, "key makes no sense", tx->err);
	struct index_row n = { r.key + INDEX_KEY_HEAD, NULL, 4, 0 };
	*number = index_row_number(&n);
	return 0;
}

int index_fill_recover(struct index *ix, struct firn_error *err)
{
	struct index_tx tx;
	uint32_t number = 0, n = 0;
	int rc = index_tx_write(ix, &tx, err);
	if (rc)
		return rc;
	while ((rc = next_fill(&tx, &number)) == 0) {
		rc = fill_to_drop(&tx, number);
		if (rc)
			break;
		n++;
	}
	rc = rc == FIRN_ENOENT ? 0 : rc;
	if (rc == 0 && n == 0) {
		index_tx_end(&tx);
		return 0;
	}
	return index_tx_finish(&tx, rc);
}
