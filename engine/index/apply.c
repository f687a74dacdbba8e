/* One commit becomes rows: all its footers, then the volume row, in one transaction.
 *
 *   footer: blocks, gaps, kv, producers, keys -> rows; then streams (whose trims clear up)
 *
 * A footer whose revs the volume row says are stored is skipped: the same commit twice changes
 * nothing. */
#include "engine/base/error.h"
#include "engine/index/fold.h"
#include <string.h>

enum { DROP_SLICE = 1000 }; /* leftovers of forgotten volumes that each apply clears away */

static int footer_rows(struct index_tx *tx, uint32_t number, const struct segment_footer *f)
{
	int rc = 0;
	uint32_t n = segment_n_gaps(f);
	for (uint32_t i = 0; i < n && rc == 0; i++) {
		struct gap_entry g;
		segment_gap_at(f, i, &g);
		rc = index_fold_gap(tx, number, &g);
	}
	n = segment_n_kv(f);
	for (uint32_t i = 0; i < n && rc == 0; i++) {
		struct kv_change kv;
		segment_kv_at(f, i, &kv);
		rc = index_fold_kv(tx, number, &kv);
	}
	n = segment_n_producers(f);
	for (uint32_t i = 0; i < n && rc == 0; i++) {
		struct producer_change p;
		segment_producer_at(f, i, &p);
		rc = index_fold_producer(tx, number, &p);
	}
	n = segment_n_keys(f);
	for (uint32_t i = 0; i < n && rc == 0; i++) {
		struct key_entry k;
		segment_key_at(f, i, &k);
		rc = index_fold_key(tx, number, &k);
	}
	return rc;
}

int index_fold_footer(struct index_tx *tx, struct index_volume *v, const struct segment_footer *f)
{
	struct manifest_segment own;
	layer_segment_of(f, &own);
	struct segment_id id = own.id;
	int rc = index_fold_segment(tx, v->number, &own);
	uint32_t n = segment_n_blocks(f);
	for (uint32_t i = 0; i < n && rc == 0; i++) {
		struct block_entry e;
		segment_block_at(f, i, &e);
		rc = index_fold_block(tx, v->number, id, &e);
	}
	if (rc == 0)
		rc = footer_rows(tx, v->number, f);
	n = segment_n_streams(f);
	for (uint32_t i = 0; i < n && rc == 0; i++) {
		struct stream_state s;
		segment_stream_at(f, i, &s);
		rc = index_fold_stream(tx, v, &s);
	}
	return rc;
}

/* A row of a layer: the same as a row of a footer. */
int index_fold_row(struct index_tx *tx, struct index_volume *v, const struct layer_row *r)
{
	switch (r->kind) {
	case LAYER_STREAM:
		return index_fold_stream(tx, v, &r->u.stream);
	case LAYER_EXTENT:
		return index_fold_block(tx, v->number, r->u.extent.segment, &r->u.extent.block);
	case LAYER_GAP:
		return index_fold_gap(tx, v->number, &r->u.gap);
	case LAYER_KV:
		return index_fold_kv(tx, v->number, &r->u.kv);
	case LAYER_PRODUCER:
		return index_fold_producer(tx, v->number, &r->u.producer);
	case LAYER_KEY:
		return index_fold_key(tx, v->number, &r->u.key);
	case LAYER_SEGMENT:
		return index_fold_segment(tx, v->number, &r->u.segment);
	default:
		return 0; /* lost entries are the manifest's */
	}
}

/* The volume's row, or a fresh one with a number of its own. */
static int volume_begin(struct index_tx *tx, const struct index_commit *c, struct index_volume *v,
                        int *known)
{
	struct index_row r;
	index_key_volume(&tx->key, c->volume_id);
	int rc = index_tx_get(tx, &r);
	*known = rc == 0;
	if (rc == 0)
		return index_volume_row_get(&r, v, tx->err);
	if (rc != FIRN_ENOENT)
		return rc;
	if (tx->meta.next_number == UINT32_MAX)
		return fail(tx->err, FIRN_ETOOBIG, 0, "index",
		            "volume numbers are used up: rebuild");
	memset(v, 0, sizeof *v);
	memcpy(v->volume_id, c->volume_id, 16);
	v->number = tx->meta.next_number++;
	return 0;
}

static int volume_end(struct index_tx *tx, const struct index_commit *c, struct index_volume *v)
{
	memcpy(v->nonce, c->nonce, 16);
	v->epoch = c->epoch;
	v->seq = c->seq;
	v->rev_stored = c->rev_stored;
	v->next_stream = c->next_stream;
	index_key_volume(&tx->key, c->volume_id);
	index_volume_put(&tx->row, v);
	return index_tx_put(tx);
}

/* Lost entries of the commit that are folded or were before, and how far the cut has come. */
struct lost_fold {
	const struct index_commit *c;
	uint32_t n;
	uint64_t cut;
};

/* Those that stand before a rev. */
static int lost_below(struct index_tx *tx, const struct index_volume *v, struct lost_fold *f,
                      uint64_t rev)
{
	for (; f->n < f->c->n_lost && f->c->lost[f->n].rev_stored < rev; f->n++) {
		const struct lost_entry *l = &f->c->lost[f->n];
		if (l->rev_stored < f->cut)
			continue;
		int rc = index_fold_lost(tx, v, l);
		if (rc)
			return rc;
		f->cut = l->rev_stored + l->rev_skip;
	}
	return 0;
}

static int apply(struct index_tx *tx, const struct index_commit *c)
{
	struct index_volume v;
	int known;
	uint64_t n;
	int rc = volume_begin(tx, c, &v, &known);
	uint64_t stored = rc == 0 && known ? v.rev_stored : 0;
	struct lost_fold lost = { c, 0, stored };
	for (uint32_t i = 0; i < c->n_footer && rc == 0; i++) {
		const struct segment_meta *m = segment_footer_meta(c->footer[i]);
		rc = lost_below(tx, &v, &lost, m->rev_from);
		if (rc)
			break;
		if (memcmp(m->volume_id, c->volume_id, 16) != 0)
			rc = fail(tx->err, FIRN_EINVAL, 0, "index",
			          "segment %llx-%llx is of another volume",
			          (unsigned long long)m->id.epoch, (unsigned long long)m->id.n);
		else if (!known || m->rev_to > stored + 1)
			rc = index_fold_footer(tx, &v, c->footer[i]);
	}
	if (rc == 0 && c->rewrite)
		rc = index_fold_rewrite(tx, v.number, c->rewrite);
	for (uint32_t i = 0; i < c->n_gone && rc == 0; i++)
		rc = index_live_gone(tx, v.number, c->gone[i]);
	if (rc == 0)
		rc = lost_below(tx, &v, &lost, c->rev_stored);
	if (rc == 0)
		rc = volume_end(tx, c, &v);
	return rc ? rc : index_drop_some(tx, DROP_SLICE, &n);
}

int index_apply(struct index *ix, const struct index_commit *commit, struct firn_error *err)
{
	struct index_tx tx;
	int rc = index_tx_write(ix, &tx, err);
	if (rc == 0)
		rc = index_tx_finish(&tx, apply(&tx, commit));
	return rc ? fail_context(err, rc, "apply commit %llu", (unsigned long long)commit->seq) : 0;
}
