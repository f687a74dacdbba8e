/* Producers and idempotency keys that have gone stale, by the caller's judgement. */
#include "engine/index/tx.h"
#include <string.h>

enum { EXPIRE_ROWS = 2048 }; /* looked at per transaction */

/* 1: forget, 0: keep, or an error. */
static int judge(const struct index_judges *j, const struct index_row *r, struct firn_error *err)
{
	int rc;
	if (index_row_table(r) == INDEX_PRODUCER) {
		struct index_producer_row p;
		rc = index_producer_get(r, &p, err);
		return rc ? rc : j->producer(j->arg, &p.p) != 0;
	}
	struct key_entry k;
	rc = index_idem_get(r, &k, err);
	return rc ? rc : j->key(j->arg, &k) != 0;
}

/* Looks at rows from *at on and moves *at past them. *more: there may be others behind. */
static int slice(struct index_tx *tx, const struct index_judges *j, struct index_key *at,
                 uint64_t *n, int *more)
{
	struct index_row r;
	for (int i = 0; i < EXPIRE_ROWS; i++) {
		tx->key = *at;
		int rc = index_tx_ge(tx, INDEX_KEY_HEAD, &r);
		*more = rc == 0;
		if (rc)
			return rc == FIRN_ENOENT ? 0 : rc;
		at->len = (uint32_t)r.key_len;
		memcpy(at->data, r.key, r.key_len);
		rc = judge(j, &r, tx->err);
		if (rc == 0) {
			at->data[at->len++] = 0; /* the next key there can be */
			continue;
		}
		*n += rc == 1;
		rc = rc == 1 ? index_tx_del_at(tx) : rc;
		if (rc)
			return rc;
	}
	return 0;
}

static int expire(struct index *ix, uint32_t number, enum index_table table,
                  const struct index_judges *judges, uint64_t *n, struct firn_error *err)
{
	struct index_key at;
	int rc = 0, more = 1;
	index_key_head(&at, number, table);
	while (rc == 0 && more) {
		struct index_tx tx;
		uint64_t gone = 0;
		rc = index_tx_write(ix, &tx, err);
		if (rc)
			return rc;
		rc = slice(&tx, judges, &at, &gone, &more);
		if (rc == 0 && gone == 0)
			index_tx_end(&tx);
		else
			rc = index_tx_finish(&tx, rc);
		*n += rc == 0 ? gone : 0;
	}
	return rc;
}

int index_expire(struct index *ix, uint32_t number, const struct index_judges *judges, uint64_t *n,
                 struct firn_error *err)
{
	uint64_t gone = 0;
	int rc = judges->producer ? expire(ix, number, INDEX_PRODUCER, judges, &gone, err) : 0;
	if (rc == 0 && judges->key)
		rc = expire(ix, number, INDEX_KEY, judges, &gone, err);
	if (n)
		*n = gone;
	return rc;
}
