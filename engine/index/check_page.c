/* One page of a tree: is what its header and its nodes say possible? LMDB packs nodes without
 * holes, so the sizes of the nodes must add up to the room above `upper`. */
#include "engine/base/error.h"
#include "engine/base/le.h"
#include "engine/base/mem.h"
#include "engine/index/check_int.h"

static uint32_t node_size(const struct check_page *p, const uint8_t *node)
{
	uint32_t len = NODE_HEAD + le16_get(node + 6);
	if (p->leaf)
		len += le16_get(node + 4) & NODE_BIG
		               ? 8
		               : (uint32_t)le16_get(node) | (uint32_t)le16_get(node + 2) << 16;
	return len;
}

/* Size of node i, even, or 0 when it does not fit in its page. */
static uint32_t node_prove(const struct check *c, const struct check_page *p, uint32_t i,
                           uint32_t upper)
{
	uint32_t at = le16_get(p->at + PAGE_HEAD + 2 * (size_t)i);
	if (at < upper || (at & 1) || at > c->page_size - NODE_HEAD)
		return 0;
	const uint8_t *node = p->at + at;
	if (p->leaf && le16_get(node + 4) & ~NODE_BIG)
		return 0;
	uint32_t big = p->leaf && !(le16_get(node + 4) & NODE_BIG) ? le16_get(node + 2) : 0;
	uint32_t len = big ? 0 : node_size(p, node); /* 64 KiB and more fit in no page */
	uint32_t key_len = le16_get(node + 6);
	if (len == 0 || len > c->page_size - at || key_len > INDEX_KEY_MAX || (p->leaf && !key_len))
		return 0;
	return (len + 1) & ~1u;
}

int index_check_page_prove(struct check *c, const uint8_t *at, uint64_t number,
                           struct check_page *out)
{
	uint32_t flags = le16_get(at + 10), lower = le16_get(at + 12), upper = le16_get(at + 14);
	if (le64_get(at) != number)
		return index_check_bad(c, number, "carries another number");
	if (flags != PAGE_BRANCH && flags != PAGE_LEAF)
		return index_check_bad(c, number, "is not a branch or leaf");
	if (lower <= PAGE_HEAD || (lower & 1) || upper < lower || upper > c->page_size)
		return index_check_bad(c, number, "bounds make no sense");
	*out = (struct check_page){ at, number, (lower - PAGE_HEAD) / 2, flags == PAGE_LEAF };
	uint32_t sum = 0;
	for (uint32_t i = 0; i < out->n; i++) {
		uint32_t size = node_prove(c, out, i, upper);
		if (!size)
			return index_check_bad(c, number, "a node makes no sense");
		sum += size;
	}
	return sum == c->page_size - upper
	               ? 0
	               : index_check_bad(c, number, "nodes do not fill their room");
}

void index_check_node_at(const struct check_page *p, uint32_t i, struct check_node *out)
{
	const uint8_t *node = p->at + le16_get(p->at + PAGE_HEAD + 2 * (size_t)i);
	uint32_t low = (uint32_t)le16_get(node) | (uint32_t)le16_get(node + 2) << 16;
	out->key = node + NODE_HEAD;
	out->key_len = le16_get(node + 6);
	out->data = out->key + out->key_len;
	out->big = p->leaf && (le16_get(node + 4) & NODE_BIG);
	out->data_len = p->leaf ? low : 0;
	out->page = out->big  ? le64_get(out->data)
	            : p->leaf ? 0
	                      : low | (uint64_t)le16_get(node + 4) << 32;
}

/* Reads and claims an overflow run: its first page says how many pages it has. */
int index_check_value(struct check *c, const struct check_node *n, const uint8_t **value,
                      uint64_t *n_run)
{
	*n_run = 0;
	*value = n->data;
	if (!n->big)
		return 0;
	uint8_t head[PAGE_HEAD];
	int rc = index_check_claim(c, n->page, 1, 1);
	if (rc == 0)
		rc = index_check_read(c, n->page, head, sizeof head);
	if (rc)
		return rc;
	uint64_t run = le32_get(head + 12), need = (uint64_t)n->data_len + PAGE_HEAD;
	if (le64_get(head) != n->page || le16_get(head + 10) != PAGE_OVERFLOW)
		return index_check_bad(c, n->page, "is not an overflow page");
	if (run < (need + c->page_size - 1) / c->page_size)
		return index_check_bad(c, n->page, "overflow run is too short for its value");
	if (run > 1)
		rc = index_check_claim(c, n->page + 1, run - 1, 1);
	if (rc)
		return rc;
	void *big = c->big;
	if (mem_grow(c->env, &big, &c->big_cap, 0, (size_t)need, 1))
		return fail(c->err, FIRN_ENOMEM, 0, "index", "no memory to check data.mdb");
	c->big = big;
	rc = index_check_read(c, n->page, c->big, (size_t)need);
	*value = c->big + PAGE_HEAD;
	*n_run = run;
	c->pages_read += (need + c->page_size - 1) / c->page_size;
	return rc;
}
