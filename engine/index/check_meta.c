/* The two meta pages. LMDB writes them in turn: transaction n into meta n & 1. Both hold the same
 * file-wide constants; the transaction numbers follow each other, or are both 0 in a file never
 * written to. */
#include "engine/base/error.h"
#include "engine/base/le.h"
#include "engine/index/check_int.h"
#include <errno.h>
#include <unistd.h>

#define META_MAGIC UINT32_C(0xBEEFC0DE)
enum { META_LEN = PAGE_HEAD + 136, META_VERSION = 1, INTEGER_KEY = 8 };

static void tree_get(struct cur *c, struct check_tree *t)
{
	t->pad = cur_u32(c);
	t->flags = cur_u16(c);
	t->depth = cur_u16(c);
	t->n_branch = cur_u64(c);
	t->n_leaf = cur_u64(c);
	t->n_overflow = cur_u64(c);
	t->n_entries = cur_u64(c);
	t->root = cur_u64(c);
}

static int bad(struct firn_error *err, unsigned slot, const char *what)
{
	return fail(err, FIRN_ECORRUPT, 0, "index", "data.mdb: meta page %u: %s", slot, what);
}

static int meta_get(const uint8_t *page, unsigned slot, struct check_meta *m,
                    struct firn_error *err)
{
	struct cur c = cur_of(page, META_LEN);
	uint64_t number = cur_u64(&c);
	(void)cur_u16(&c);
	uint16_t flags = cur_u16(&c);
	(void)cur_u32(&c);
	uint32_t magic = cur_u32(&c), version = cur_u32(&c);
	uint64_t address = cur_u64(&c);
	(void)cur_u64(&c); /* the map size of the writer: we bring our own */
	tree_get(&c, &m->free);
	tree_get(&c, &m->main);
	m->last_page = cur_u64(&c);
	m->txnid = cur_u64(&c);
	m->page_size = m->free.pad;
	m->slot = slot;
	if (number != slot || flags != PAGE_META || magic != META_MAGIC)
		return bad(err, slot, "not a meta page of LMDB");
	if (version != META_VERSION)
		return fail(err, FIRN_EUNSUPPORTED, 0, "index",
		            "data.mdb: meta page %u: format %u of LMDB, only %d is known", slot,
		            version, META_VERSION);
	if (m->page_size < 512 || m->page_size > PAGE_SIZE_MAX ||
	    (m->page_size & (m->page_size - 1)))
		return bad(err, slot, "page size makes no sense");
	if (address != 0 || m->free.flags != INTEGER_KEY || m->main.flags != 0 || m->main.pad != 0)
		return bad(err, slot, "flags are not those of an index");
	if (m->last_page < 1)
		return bad(err, slot, "last page makes no sense");
	return 0;
}

static int meta_read(int fd, uint64_t pos, unsigned slot, struct check_meta *m,
                     struct firn_error *err)
{
	uint8_t page[META_LEN];
	ssize_t got = pread(fd, page, sizeof page, (off_t)pos);
	if (got < 0)
		return fail(err, FIRN_EIO, errno, "index", "data.mdb: read meta page %u", slot);
	if ((size_t)got < sizeof page)
		return bad(err, slot, "the file ends inside");
	return meta_get(page, slot, m, err);
}

/* One of the two is of a format that is not known: both are written by the same LMDB, so it is damage. */
static int odd_one(int fd, const struct check_meta *first, struct firn_error *err)
{
	struct check_meta second;
	struct firn_error unasked = { .struct_size = sizeof unasked };
	return meta_read(fd, first->page_size, 1, &second, &unasked)
	               ? FIRN_EUNSUPPORTED
	               : bad(err, 0, "its format is not that of meta page 1");
}

int index_check_metas(int fd, struct check_meta meta[2], struct firn_error *err)
{
	struct check_meta m[2];
	int rc = meta_read(fd, 0, 0, &m[0], err);
	if (rc == FIRN_EUNSUPPORTED)
		return odd_one(fd, &m[0], err);
	if (rc == 0)
		rc = meta_read(fd, m[0].page_size, 1, &m[1], err);
	if (rc == FIRN_EUNSUPPORTED)
		rc = bad(err, 1, "its format is not that of meta page 0");
	if (rc)
		return rc;
	if (m[0].page_size != m[1].page_size)
		return bad(err, 1, "page size is not that of meta page 0");
	uint64_t a = m[0].txnid, b = m[1].txnid;
	int fresh = a == 0 && b == 0;
	int follows = (a & 1) == 0 && (b & 1) == 1 && (a + 1 == b || b + 1 == a);
	if (!fresh && !follows)
		return bad(err, 1, "its transaction does not follow that of meta page 0");
	unsigned newer = b > a;
	meta[0] = m[newer];
	meta[1] = m[!newer];
	return 0;
}
