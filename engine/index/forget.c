/* Forgetting a volume: one small transaction turns its volume row into a drop row, others clear its
 * number away. A crash in between leaves the drop row; later applies and forgets go on with it. */
#include "engine/index/fold.h"
#include <string.h>

enum { DROP_ROWS = 4096 }; /* per transaction */

int index_drop_some(struct index_tx *tx, uint64_t max, uint64_t *n)
{
	struct index_row r;
	*n = 0;
	while (*n < max) {
		index_key_head(&tx->key, 0, INDEX_DROP);
		int rc = index_tx_ge(tx, INDEX_KEY_HEAD, &r);
		if (rc)
			return rc == FIRN_ENOENT ? 0 : rc;
		struct cur c;
		rc = index_row_open(&r, &c, tx->err);
		if (rc)
			return rc;
		if (r.key_len != INDEX_KEY_HEAD + 4)
			return index_row_bad(&r, "key makes no sense", tx->err);
		uint64_t gone;
		struct index_key drop = { .len = (uint32_t)r.key_len };
		memcpy(drop.data, r.key, r.key_len);
		memcpy(tx->key.data, r.key + INDEX_KEY_HEAD, 4);
		tx->key.len = 4;
		rc = index_tx_del_prefix(tx, 4, max - *n, &gone);
		*n += gone;
		if (rc || *n == max)
			return rc;
		tx->key = drop;
		rc = index_tx_del(tx);
		if (rc)
			return rc;
	}
	return 0;
}

static int volume_drop(struct index_tx *tx, const uint8_t volume_id[16])
{
	struct index_row r;
	struct index_volume v;
	index_key_volume(&tx->key, volume_id);
	int rc = index_tx_get(tx, &r);
	if (rc == 0)
		rc = index_volume_row_get(&r, &v, tx->err);
	if (rc == 0)
		rc = index_tx_del(tx);
	if (rc)
		return rc;
	index_key_drop(&tx->key, v.number);
	index_row_begin(&tx->row);
	return index_tx_put(tx);
}

int index_forget(struct index *ix, const uint8_t volume_id[16], struct firn_error *err)
{
	struct index_tx tx;
	int rc = index_tx_write(ix, &tx, err);
	if (rc)
		return rc;
	rc = volume_drop(&tx, volume_id);
	rc = index_tx_finish(&tx, rc);
	if (rc && rc != FIRN_ENOENT) /* not known: that is what was wanted */
		return rc;
	uint64_t n;
	do {
		rc = index_tx_write(ix, &tx, err);
		if (rc)
			return rc;
		rc = index_drop_some(&tx, DROP_ROWS, &n);
		if (rc == 0 && n == 0) {
			index_tx_end(&tx);
			return 0;
		}
		rc = index_tx_finish(&tx, rc);
	} while (rc == 0);
	return rc;
}
