#include "engine/base/error.h"
#include "engine/index/tx.h"
#include "engine/index/fold.h"
#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>

/* LMDB reports a short write, which is what a full disk gives, as EIO. */
static int disk_is_full(const struct index *ix)
{
	struct statvfs s;
	return statvfs(ix->path, &s) == 0 && s.f_bavail == 0;
}

static int code_of(const struct index *ix, int rc)
{
	switch (rc) {
	case MDB_MAP_FULL:
	case EFBIG:
		return FIRN_ENOSPC;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_PANIC:
	case MDB_VERSION_MISMATCH:
	case MDB_INVALID:
	case MDB_CURSOR_FULL:
	case MDB_INCOMPATIBLE:
	case MDB_BAD_TXN:
	case MDB_BAD_DBI:
	case MDB_BAD_RSLOT:
		return FIRN_ECORRUPT;
	case MDB_TXN_FULL:
		return FIRN_ETOOBIG;
	case MDB_READERS_FULL:
		return FIRN_EAGAIN;
	case MDB_BAD_VALSIZE:
		return FIRN_EINVAL;
	case EIO:
		return disk_is_full(ix) ? FIRN_ENOSPC : FIRN_EIO;
	default:
		return code_of_errno(-rc);
	}
}

int index_db_fail(const struct index *ix, int rc, const char *what, struct firn_error *err)
{
	int code = code_of(ix, rc);
	if (rc > 0)
		return fail(err, code, rc, "index", "%s %s", what, ix->path);
	return fail(err, code, 0, "index", "%s %s: %s", what, ix->path, mdb_strerror(rc));
}

static int tx_fail(struct index_tx *tx, int rc, const char *what)
{
	return index_db_fail(tx->ix, rc, what, tx->err);
}

static int tx_begin(struct index *ix, struct index_tx *tx, int write, struct firn_error *err)
{
	tx->ix = ix;
	tx->txn = NULL;
	tx->cursor = NULL;
	tx->err = err;
	tx->write = write;
	memset(tx->few, 0, sizeof tx->few);
	tx->live = tx->few;
	tx->n_live = INDEX_LIVE_SLOTS;
	buf_init(&tx->row, ix->env);
	int rc = mdb_txn_begin(ix->db, NULL, write ? 0 : MDB_RDONLY, &tx->txn);
	if (rc) {
		tx->txn = NULL;
		return tx_fail(tx, rc, "begin on");
	}
	rc = mdb_cursor_open(tx->txn, ix->table, &tx->cursor);
	if (rc) {
		rc = tx_fail(tx, rc, "cursor on");
		index_tx_end(tx);
	}
	return rc;
}

int index_tx_read(struct index *ix, struct index_tx *tx, struct firn_error *err)
{
	return tx_begin(ix, tx, 0, err);
}

int index_tx_write(struct index *ix, struct index_tx *tx, struct firn_error *err)
{
	struct index_row r;
	int rc = tx_begin(ix, tx, 1, err);
	if (rc)
		return rc;
	index_key_head(&tx->key, 0, INDEX_META);
	rc = index_tx_get(tx, &r);
	if (rc == FIRN_ENOENT) { /* a new file */
		tx->meta = (struct index_meta){ INDEX_FORMAT, 1, 0 };
		return 0;
	}
	if (rc == 0)
		rc = index_meta_get(&r, &tx->meta, err);
	if (rc)
		index_tx_end(tx);
	return rc;
}

int index_tx_commit(struct index_tx *tx)
{
	int rc = tx->live == tx->few ? index_live_flush(tx) : 0;
	tx->meta.txnid = mdb_txn_id(tx->txn);
	index_key_head(&tx->key, 0, INDEX_META);
	index_meta_put(&tx->row, &tx->meta);
	rc = rc ? rc : index_tx_put(tx);
	if (rc == 0) {
		mdb_cursor_close(tx->cursor);
		tx->cursor = NULL;
		rc = mdb_txn_commit(tx->txn);
		tx->txn = NULL;
		if (rc)
			rc = tx_fail(tx, rc, "commit to");
	}
	index_tx_end(tx);
	return rc;
}

void index_tx_end(struct index_tx *tx)
{
	if (tx->cursor)
		mdb_cursor_close(tx->cursor);
	if (tx->txn)
		mdb_txn_abort(tx->txn);
	tx->cursor = NULL;
	tx->txn = NULL;
	buf_fini(&tx->row);
}

int index_tx_finish(struct index_tx *tx, int rc)
{
	if (rc == 0)
		return index_tx_commit(tx);
	index_tx_end(tx);
	return rc;
}

static void row_of(const MDB_val *k, const MDB_val *v, struct index_row *out)
{
	out->key = k->mv_data;
	out->key_len = k->mv_size;
	out->value = v->mv_data;
	out->value_len = v->mv_size;
}

static int put(struct index_tx *tx, unsigned how)
{
	index_row_seal(&tx->row, &tx->key);
	if (tx->row.failed)
		return fail(tx->err, FIRN_ENOMEM, 0, "index", "no memory for a row");
	MDB_val k = { tx->key.len, tx->key.data }, v = { tx->row.len, tx->row.data };
	int rc = mdb_put(tx->txn, tx->ix->table, &k, &v, how);
	if (rc == MDB_KEYEXIST) /* LMDB's word for: not above all others */
		rc = mdb_put(tx->txn, tx->ix->table, &k, &v, 0);
	return rc ? tx_fail(tx, rc, "write to") : 0;
}

int index_tx_put(struct index_tx *tx)
{
	return put(tx, 0);
}

int index_tx_append(struct index_tx *tx)
{
	return put(tx, MDB_APPEND);
}

int index_tx_del(struct index_tx *tx)
{
	MDB_val k = { tx->key.len, tx->key.data };
	int rc = mdb_del(tx->txn, tx->ix->table, &k, NULL);
	return rc && rc != MDB_NOTFOUND ? tx_fail(tx, rc, "delete from") : 0;
}

enum side { SIDE_BEFORE, SIDE_FROM, SIDE_ANY };

/* A damaged key misleads LMDB's search, which then ends beside that key or on a row of the wrong
 * side. So a cursor's answer is proven: the row lies where it was looked for, and one that ends a
 * range has its sum compared (the others have it compared when they are decoded). */
static int cursor_result(struct index_tx *tx, int rc, const MDB_val *k, const MDB_val *v,
                         uint32_t prefix, enum side side, struct index_row *out)
{
	if (rc)
		return rc == MDB_NOTFOUND ? FIRN_ENOENT : tx_fail(tx, rc, "read");
	row_of(k, v, out);
	size_t len = k->mv_size < tx->key.len ? k->mv_size : tx->key.len;
	int diff = memcmp(k->mv_data, tx->key.data, len);
	int before = diff ? diff < 0 : k->mv_size < tx->key.len;
	if (side != SIDE_ANY && before != (side == SIDE_BEFORE))
		return index_row_bad(out, "keys are not in order", tx->err);
	if (k->mv_size >= prefix && memcmp(k->mv_data, tx->key.data, prefix) == 0)
		return 0;
	struct cur c;
	rc = index_row_open(out, &c, tx->err);
	return rc ? rc : FIRN_ENOENT;
}

int index_tx_ge(struct index_tx *tx, uint32_t prefix, struct index_row *out)
{
	MDB_val k = { tx->key.len, tx->key.data }, v;
	int rc = mdb_cursor_get(tx->cursor, &k, &v, MDB_SET_RANGE);
	return cursor_result(tx, rc, &k, &v, prefix, SIDE_FROM, out);
}

/* One row next to the place looked for, its sum compared. None: key is NULL. */
static int neighbour(struct index_tx *tx, int rc, const MDB_val *k, const MDB_val *v,
                     uint32_t prefix, enum side side, struct index_row *out)
{
	struct cur c;
	rc = cursor_result(tx, rc, k, v, prefix, side, out);
	if (rc == 0)
		return index_row_open(out, &c, tx->err);
	out->key = NULL;
	return rc == FIRN_ENOENT ? 0 : rc;
}

int index_tx_around(struct index_tx *tx, uint32_t prefix, struct index_row *before,
                    struct index_row *from)
{
	MDB_val k = { tx->key.len, tx->key.data }, v;
	int found = mdb_cursor_get(tx->cursor, &k, &v, MDB_SET_RANGE);
	int rc = neighbour(tx, found, &k, &v, prefix, SIDE_FROM, from);
	if (rc)
		return rc;
	int step = mdb_cursor_get(tx->cursor, &k, &v, found ? MDB_LAST : MDB_PREV);
	return neighbour(tx, step, &k, &v, prefix, SIDE_BEFORE, before);
}

int index_tx_next(struct index_tx *tx, uint32_t prefix, struct index_row *out)
{
	MDB_val k, v;
	int rc = mdb_cursor_get(tx->cursor, &k, &v, MDB_NEXT);
	return cursor_result(tx, rc, &k, &v, prefix, SIDE_ANY, out);
}

/* LMDB says there is none: true if the rows to both sides of the place are whole. */
static int absence_prove(struct index_tx *tx)
{
	struct index_row before, from;
	int rc = index_tx_around(tx, tx->key.len, &before, &from);
	if (rc == 0 && from.key && from.key_len == tx->key.len)
		rc = index_row_bad(&from, "keys are not in order", tx->err);
	return rc ? rc : FIRN_ENOENT;
}

int index_tx_get(struct index_tx *tx, struct index_row *out)
{
	MDB_val k = { tx->key.len, tx->key.data }, v;
	int rc = mdb_get(tx->txn, tx->ix->table, &k, &v);
	if (rc)
		return rc == MDB_NOTFOUND ? absence_prove(tx) : tx_fail(tx, rc, "read");
	row_of(&k, &v, out);
	return 0;
}

int index_tx_del_at(struct index_tx *tx)
{
	int rc = mdb_cursor_del(tx->cursor, 0);
	return rc ? tx_fail(tx, rc, "delete from") : 0;
}

int index_tx_del_prefix(struct index_tx *tx, uint32_t prefix, uint64_t max, uint64_t *n)
{
	struct index_row r;
	int rc = 0;
	for (*n = 0; *n < max; ++*n) {
		rc = index_tx_ge(tx, prefix, &r);
		if (rc == 0)
			rc = index_tx_del_at(tx);
		if (rc)
			break;
	}
	return rc == FIRN_ENOENT ? 0 : rc;
}
