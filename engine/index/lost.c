/* Lost ranges: what an abandon gave up of every stream that there was, in one rule and no row of the manifest.
 *
 *   cut at rev_stored R -> entry (R, skip): next := next + skip, gap [next, next + skip) -> cut at R + skip
 *
 * It is folded between the footers below R and those above, wherever an index is made: so entries add up for a stream
 * that was not touched in between (S10), and whoever comes later derives the same range. */
#include "engine/index/fold.h"

int index_fold_lost(struct index_tx *tx, const struct index_volume *v, const struct lost_entry *l)
{
	struct index_row r;
	struct stream_state s;
	uint64_t stream = 0;
	for (;;) {
		index_key_stream(&tx->key, v->number, INDEX_STREAM, stream);
		int rc = index_tx_ge(tx, INDEX_KEY_HEAD, &r);
		if (rc)
			return rc == FIRN_ENOENT ? 0 : rc;
		rc = index_stream_get(&r, &s, tx->err);
		if (rc)
			return rc;
		struct gap_entry g = { s.stream, s.next, s.next + l->rev_skip, GAP_LOST, 0 };
		s.next = g.to;
		stream = s.stream;
		index_key_stream(&tx->key, v->number, INDEX_STREAM, stream);
		index_stream_put(&tx->row, &s);
		rc = index_tx_put(tx);
		rc = rc ? rc : index_fold_gap(tx, v->number, &g);
		if (rc)
			return rc;
		stream++;
	}
}
