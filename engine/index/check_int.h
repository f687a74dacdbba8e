/* Inside the checker. The structures are LMDB 0.9's (mdb.c: MDB_page, MDB_node, MDB_meta),
 * little-endian, 64 bit:
 *
 *   page    0 u64 number | 8 u16 pad | 10 u16 flags | 12 u16 lower | 14 u16 upper | 16 u16 ptr[]
 *           overflow: 12 u32 n_pages | 16 data, through all pages of the run
 *   node    0 u16 lo | 2 u16 hi | 4 u16 flags | 6 u16 key_len | 8 key | data
 *           leaf: data_len = lo | hi << 16;   branch: page = lo | hi << 16 | flags << 32 */
#ifndef INDEX_CHECK_INT_H
#define INDEX_CHECK_INT_H
#include "engine/index/check.h"

enum {
	PAGE_HEAD = 16,
	NODE_HEAD = 8,
	PAGE_BRANCH = 1,
	PAGE_LEAF = 2,
	PAGE_OVERFLOW = 4,
	PAGE_META = 8,
	NODE_BIG = 1,
	DEPTH_MAX = 32,
	PAGE_SIZE_MAX = 32768,
};

struct check {
	const struct firn_env *env;
	struct firn_error *err;
	int fd;
	uint32_t page_size;
	uint64_t file_pages, last_page, pages_read, n_rows;
	uint8_t *seen;  /* a bit per page */
	uint8_t *level; /* DEPTH_MAX pages: the path */
	uint8_t *big;   /* a value from overflow pages */
	size_t big_cap;
};

int index_check_open(struct check *c, const struct firn_env *env, int fd,
                     const struct check_meta *m, struct firn_error *err);
void index_check_close(struct check *c);
int index_check_bad(struct check *c, uint64_t page,
                    const char *what); /* FIRN_ECORRUPT naming the page */
/* Copies `len` bytes of page `page`, from its start, on into the next ones. */
int index_check_read(struct check *c, uint64_t page, uint8_t *to, size_t len);
/* Claims a page for what was just found to use it; a second claim is damage. live: must lie in the
 * file. */
int index_check_claim(struct check *c, uint64_t page, uint64_t n, int live);

/* A page and its nodes, bounds proven. */
struct check_page {
	const uint8_t *at;
	uint64_t number;
	uint32_t n;
	int leaf;
};
struct check_node {
	const uint8_t *key, *data;
	uint32_t key_len,
	        data_len; /* data_len of a big value: its whole length, data is the page number */
	int big;
	uint64_t page; /* branch: child; big: first overflow page */
};
/* Proves the page; after that index_check_node_at() cannot fail. */
int index_check_page_prove(struct check *c, const uint8_t *at, uint64_t number,
                           struct check_page *out);
void index_check_node_at(const struct check_page *p, uint32_t i, struct check_node *out);
/* Value of a leaf node, from the page or from its overflow run (*n_run pages; claimed). */
int index_check_value(struct check *c, const struct check_node *n, const uint8_t **value,
                      uint64_t *n_run);
#endif
