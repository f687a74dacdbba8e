/* The walk over both trees of a file. The path lies in memory (a page per level), at most DEPTH_MAX
 * deep. */
#include "engine/base/error.h"
#include "engine/base/le.h"
#include "engine/index/check_int.h"
#include <string.h>

struct bound {
	const uint8_t *key; /* NULL: none */
	uint32_t len;
};

struct tree {
	struct check *c;
	const struct check_tree *meta;
	int free; /* the tree of free pages: keys are transaction numbers */
	uint64_t txnid, n_branch, n_leaf, n_overflow, n_entries;
	check_row row;
	void *arg;
};

static int compare(const struct tree *t, struct bound a, struct bound b)
{
	if (t->free) {
		uint64_t x = le64_get(a.key), y = le64_get(b.key);
		return x < y ? -1 : x > y;
	}
	int diff = memcmp(a.key, b.key, a.len < b.len ? a.len : b.len);
	return diff ? diff : a.len < b.len ? -1 : a.len > b.len;
}

/* A key must lie in [lo, hi) and, past the first of its page, above the one before. The first key
 * of a branch stands for "everything below" and is not looked at by LMDB either. */
static int key_prove(struct tree *t, const struct check_page *p, uint32_t i, struct bound k,
                     struct bound *prev, struct bound lo, struct bound hi)
{
	if (!p->leaf && i == 0)
		return 0;
	if (t->free && k.len != 8)
		return index_check_bad(t->c, p->number, "a key of the free list has a wrong size");
	if (prev->key && compare(t, *prev, k) >= 0)
		return index_check_bad(t->c, p->number, "keys are not in order");
	if ((lo.key && compare(t, k, lo) < 0) || (hi.key && compare(t, k, hi) >= 0))
		return index_check_bad(t->c, p->number,
		                       "a key lies outside of what its parent says");
	*prev = k;
	return 0;
}

/* A record of the free list: a count, then page numbers, falling. */
static int free_record(struct tree *t, uint64_t page, const uint8_t *key, const uint8_t *value,
                       uint32_t len)
{
	uint64_t n = len >= 8 ? le64_get(value) : 0, last = UINT64_MAX;
	if (le64_get(key) > t->txnid || len < 8 || len % 8 || n > len / 8 - 1)
		return index_check_bad(t->c, page, "a record of the free list makes no sense");
	for (uint64_t i = 1; i <= n; i++) {
		uint64_t free_page = le64_get(value + 8 * i);
		if (free_page >= last)
			return index_check_bad(t->c, page, "the free list is not in order");
		int rc = index_check_claim(t->c, free_page, 1, 0);
		if (rc)
			return rc;
		last = free_page;
	}
	return 0;
}

static int leaf_walk(struct tree *t, const struct check_page *p)
{
	for (uint32_t i = 0; i < p->n; i++) {
		struct check_node n;
		const uint8_t *value;
		uint64_t run;
		index_check_node_at(p, i, &n);
		int rc = index_check_value(t->c, &n, &value, &run);
		if (rc)
			return rc;
		t->n_overflow += run;
		t->n_entries++;
		struct index_row r = { n.key, value, n.key_len, n.data_len };
		rc = t->free  ? free_record(t, p->number, n.key, value, n.data_len)
		     : t->row ? t->row(t->arg, &r, t->c->err)
		              : 0;
		if (rc)
			return rc;
	}
	return 0;
}

static int page_walk(struct tree *t, uint64_t number, uint32_t depth, struct bound lo,
                     struct bound hi);

static int branch_walk(struct tree *t, const struct check_page *p, uint32_t depth, struct bound lo,
                       struct bound hi)
{
	struct check_node n, next;
	index_check_node_at(p, 0, &n);
	for (uint32_t i = 0; i < p->n; i++, n = next) {
		struct bound to = hi;
		if (i + 1 < p->n) {
			index_check_node_at(p, i + 1, &next);
			to = (struct bound){ next.key, next.key_len };
		}
		struct bound from = i ? (struct bound){ n.key, n.key_len } : lo;
		int rc = page_walk(t, n.page, depth + 1, from, to);
		if (rc)
			return rc;
	}
	return 0;
}

static int page_walk(struct tree *t, uint64_t number, uint32_t depth, struct bound lo,
                     struct bound hi)
{
	struct check *c = t->c;
	uint8_t *at = c->level + (size_t)(depth - 1) * c->page_size;
	struct check_page p;
	int rc = index_check_claim(c, number, 1, 1);
	if (rc == 0)
		rc = index_check_read(c, number, at, c->page_size);
	if (rc == 0)
		rc = index_check_page_prove(c, at, number, &p);
	if (rc)
		return rc;
	c->pages_read++;
	if (p.leaf != (depth == t->meta->depth))
		return index_check_bad(c, number, "lies at a wrong depth");
	t->n_leaf += (uint64_t)p.leaf;
	t->n_branch += !p.leaf;
	struct bound prev = { NULL, 0 };
	for (uint32_t i = 0; i < p.n && rc == 0; i++) {
		struct check_node n;
		index_check_node_at(&p, i, &n);
		rc = key_prove(t, &p, i, (struct bound){ n.key, n.key_len }, &prev, lo, hi);
	}
	if (rc)
		return rc;
	return p.leaf ? leaf_walk(t, &p) : branch_walk(t, &p, depth, lo, hi);
}

static int tree_walk(struct tree *t, uint64_t slot)
{
	const struct check_tree *m = t->meta;
	struct bound none = { NULL, 0 };
	if (m->depth > DEPTH_MAX)
		return index_check_bad(t->c, slot, "a tree is deeper than LMDB makes them");
	if ((m->root == UINT64_MAX) != (m->depth == 0))
		return index_check_bad(t->c, slot,
		                       "a tree has a root and no depth, or the reverse");
	int rc = m->depth ? page_walk(t, m->root, 1, none, none) : 0;
	if (rc)
		return rc;
	if (t->n_branch != m->n_branch || t->n_leaf != m->n_leaf ||
	    t->n_overflow != m->n_overflow || t->n_entries != m->n_entries)
		return index_check_bad(t->c, slot,
		                       "a tree has not the pages and entries it should have");
	return 0;
}

int index_check_walk(const struct firn_env *env, int fd, const struct check_meta *m, check_row row,
                     void *arg, struct check_result *out, struct firn_error *err)
{
	struct check c;
	struct tree main = { .c = &c, .meta = &m->main, .txnid = m->txnid, .row = row, .arg = arg };
	struct tree free = { .c = &c, .meta = &m->free, .txnid = m->txnid, .free = 1 };
	int rc = index_check_open(&c, env, fd, m, err);
	if (rc == 0)
		rc = tree_walk(&main, m->slot);
	if (rc == 0)
		rc = tree_walk(&free, m->slot);
	if (out) {
		memset(out, 0, sizeof *out);
		out->txnid = m->txnid;
		out->pages_read = c.pages_read;
		out->n_rows = main.n_entries;
		out->page_size = m->page_size;
	}
	index_check_close(&c);
	return rc;
}

/* Down the left edge. Keys, counts and the other pages are nobody's business here. */
static int first_walk(struct check *c, const struct check_meta *m, check_row row, void *arg)
{
	uint64_t number = m->main.root;
	for (uint32_t depth = 1; depth <= DEPTH_MAX && depth <= m->main.depth; depth++) {
		struct check_page p;
		struct check_node n;
		int rc = index_check_claim(c, number, 1, 1);
		if (rc == 0)
			rc = index_check_read(c, number, c->level, c->page_size);
		if (rc == 0)
			rc = index_check_page_prove(c, c->level, number, &p);
		if (rc)
			return rc;
		index_check_node_at(&p, 0, &n);
		if (p.leaf) {
			const uint8_t *value;
			uint64_t run;
			rc = index_check_value(c, &n, &value, &run);
			struct index_row r = { n.key, value, n.key_len, n.data_len };
			return rc ? rc : row(arg, &r, c->err);
		}
		number = n.page;
	}
	return m->main.depth ? index_check_bad(c, number, "lies at a wrong depth") : 0;
}

int index_check_first(const struct firn_env *env, int fd, const struct check_meta *m, check_row row,
                      void *arg, struct firn_error *err)
{
	struct check c;
	int rc = index_check_open(&c, env, fd, m, err);
	if (rc == 0)
		rc = first_walk(&c, m, row, arg);
	index_check_close(&c);
	return rc;
}
