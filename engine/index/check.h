/* Looking over an LMDB 0.9 data file without believing a byte of it, because LMDB itself believes
 * every one and may crash on a damaged file (PROTOCOL 15).
 *
 *   meta 0, meta 1 -> the newer one -> free list tree -> lists of free pages
 *                                   -> main tree -> branch -> leaf -> rows, overflow pages
 *
 * Read with pread, page by page; nothing is mapped. Checked: both metas and that their transactions
 * follow each other; page numbers, types, bounds; node places and sizes, which must fill their page
 * exactly; keys in order and inside the bounds that the parent gives; overflow runs; counts and
 * depth of each tree; no page used twice. Not checked: bytes that hold nothing (free pages, room
 * inside pages, the rest of a meta page). */
#ifndef INDEX_CHECK_H
#define INDEX_CHECK_H
#include "engine/index/rows.h"

struct check_result {
	uint64_t txnid; /* of the newest whole transaction; 0: nothing was ever written */
	uint64_t pages_read, n_rows;
	uint32_t page_size, _pad;
};

/* A meta page, validated; and what it says of a tree. */
struct check_tree {
	uint32_t pad;
	uint16_t flags, depth;
	uint64_t n_branch, n_leaf, n_overflow, n_entries, root;
};
struct check_meta {
	struct check_tree free, main;
	uint64_t last_page, txnid;
	uint32_t page_size, slot;
};

typedef int (*check_row)(void *arg, const struct index_row *r, struct firn_error *err);

/* Reads both metas: meta[0] the newer. FIRN_ECORRUPT, FIRN_EUNSUPPORTED (another format of LMDB),
 * FIRN_EIO. */
int index_check_metas(int fd, struct check_meta meta[2], struct firn_error *err);
/* Walks everything that `m` leads to; row() sees each row of the main tree, in order. */
int index_check_walk(const struct firn_env *env, int fd, const struct check_meta *m, check_row row,
                     void *arg, struct check_result *out, struct firn_error *err);
/* Hands row() the first row of the main tree of `m`, if there is one. */
int index_check_first(const struct firn_env *env, int fd, const struct check_meta *m, check_row row,
                      void *arg, struct firn_error *err);
#endif
