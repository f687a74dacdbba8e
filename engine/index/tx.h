/* A transaction over the one LMDB table, and the handle behind struct index.
 *
 * LMDB serialises writers (its own mutex) and lets readers run beside them, so struct index needs
 * no lock of its own: nothing in it changes between open and close. Rows are verified whenever they
 * are touched. */
#ifndef INDEX_TX_H
#define INDEX_TX_H
#include "engine/index/rows.h"
#include <lmdb.h>

struct index {
	const struct firn_env *env;
	MDB_env *db;
	MDB_dbi table;
	int dir; /* the directory, flocked while open */
	char *path;
};

/* For tests: as index_open, with a map of at most map_bytes (0 = the default, 1 TiB). */
int index_open_sized(const struct firn_env *env, const char *path, size_t map_bytes,
                     struct index **out, struct firn_error *err);

/* Extents that came to lie in a segment, or left it, since its row was written. */
struct index_live {
	struct segment_id id; /* epoch 0: unused */
	uint32_t number, _pad;
	int64_t n, bytes;
};
enum { INDEX_LIVE_SLOTS = 32 };

struct index_tx {
	struct index *ix;
	MDB_txn *txn;
	MDB_cursor *cursor;
	struct firn_error *err;
	struct buf row;          /* the value under construction */
	struct index_key key;    /* scratch */
	struct index_meta meta;  /* writers: written back by commit */
	struct index_live *live; /* writers: see live.c; those below, or a fill's own */
	uint32_t n_live, _pad;
	struct index_live few[INDEX_LIVE_SLOTS];
	int write;
};

/* What an LMDB result means: FIRN_ENOSPC, FIRN_ECORRUPT ..., with text. `rc` is not 0. */
int index_db_fail(const struct index *ix, int rc, const char *what, struct firn_error *err);

int index_tx_read(struct index *ix, struct index_tx *tx, struct firn_error *err);
int index_tx_write(struct index *ix, struct index_tx *tx, struct firn_error *err);
/* Durable when it returns 0; otherwise nothing changed. Ends the transaction either way. */
int index_tx_commit(struct index_tx *tx);
void index_tx_end(struct index_tx *tx); /* abandons; harmless after commit */
/* Ends with `rc`: commit when it is 0, abandon when not. */
int index_tx_finish(struct index_tx *tx, int rc);

/* Finds a row by tx->key. FIRN_ENOENT without text, and only if the rows to both sides are whole: a
 * damaged key is not a missing one. Moves the cursor. */
int index_tx_get(struct index_tx *tx, struct index_row *out);
/* Writes tx->row, begun by a codec, under tx->key. */
int index_tx_put(struct index_tx *tx);
/* The same, quick if the key is above all others of the file. Searches for nothing. */
int index_tx_append(struct index_tx *tx);
int index_tx_del(struct index_tx *tx); /* of tx->key; an absent one is fine */

/* Moves the cursor. Rows whose key does not begin with the first `prefix` bytes of tx->key do not
 * exist: FIRN_ENOENT without text, after the sum of the row that ends the range was compared. ge:
 * first row at or above tx->key; next: the row after. */
int index_tx_ge(struct index_tx *tx, uint32_t prefix, struct index_row *out);
int index_tx_next(struct index_tx *tx, uint32_t prefix, struct index_row *out);
/* The rows just before tx->key and at or above it, from ONE search, sums compared; key is NULL
 * where there is none. A damaged key makes a search end beside that key, so what lies between two
 * whole rows is not there. */
int index_tx_around(struct index_tx *tx, uint32_t prefix, struct index_row *before,
                    struct index_row *from);
int index_tx_del_at(struct index_tx *tx); /* the row the cursor stands on; then ge again */
/* Deletes at most `max` rows that begin with the first `prefix` bytes of tx->key; *n = how many. */
int index_tx_del_prefix(struct index_tx *tx, uint32_t prefix, uint64_t max, uint64_t *n);
#endif
