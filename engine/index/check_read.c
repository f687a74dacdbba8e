/* Reading pages, and remembering which were used. */
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/index/check_int.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* LMDB may count pages that it took and gave back within a transaction, and never wrote. */
enum { BEYOND_MAX = 1 << 20, READ_AHEAD = 256 << 20 };

int index_check_bad(struct check *c, uint64_t page, const char *what)
{
	return fail(c->err, FIRN_ECORRUPT, 0, "index", "data.mdb: page %llu: %s",
	            (unsigned long long)page, what);
}

int index_check_open(struct check *c, const struct firn_env *env, int fd,
                     const struct check_meta *m, struct firn_error *err)
{
	struct stat st;
	memset(c, 0, sizeof *c);
	c->env = env;
	c->err = err;
	c->fd = fd;
	c->page_size = m->page_size;
	c->last_page = m->last_page;
	if (fstat(fd, &st))
		return fail(err, FIRN_EIO, errno, "index", "data.mdb: stat");
	c->file_pages = (uint64_t)st.st_size / c->page_size;
	if (c->last_page >= c->file_pages + BEYOND_MAX)
		return index_check_bad(c, m->slot, "the file is much shorter than it says");
	c->seen = mem_zalloc(env, (size_t)(c->last_page / 8 + 1));
	c->level = mem_alloc(env, (size_t)DEPTH_MAX * c->page_size);
	if (!c->seen || !c->level)
		return fail(err, FIRN_ENOMEM, 0, "index", "no memory to check data.mdb");
	/* Pages come in the order of keys; a cold file is better read in the order of the disk. */
	(void)posix_fadvise(fd, 0, (off_t)READ_AHEAD, POSIX_FADV_WILLNEED);
	return 0;
}

void index_check_close(struct check *c)
{
	mem_free(c->env, c->seen);
	mem_free(c->env, c->level);
	mem_free(c->env, c->big);
}

int index_check_read(struct check *c, uint64_t page, uint8_t *to, size_t len)
{
	uint64_t pos = page * c->page_size;
	while (len) {
		ssize_t got = pread(c->fd, to, len, (off_t)pos);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fail(c->err, FIRN_EIO, errno, "index", "data.mdb: read page %llu",
			            (unsigned long long)page);
		if (got == 0)
			return index_check_bad(c, page, "the file ends inside");
		to += got;
		pos += (uint64_t)got;
		len -= (size_t)got;
	}
	return 0;
}

int index_check_claim(struct check *c, uint64_t page, uint64_t n, int live)
{
	if (page < 2 || page > c->last_page || n == 0 || n > c->last_page - page + 1)
		return index_check_bad(c, page, "no such page");
	if (live && (page >= c->file_pages || n > c->file_pages - page))
		return index_check_bad(c, page, "beyond the end of the file");
	for (uint64_t i = page; i < page + n; i++) {
		uint8_t bit = (uint8_t)(1u << (i & 7));
		if (c->seen[i >> 3] & bit)
			return index_check_bad(c, i, "used twice");
		c->seen[i >> 3] |= bit;
	}
	return 0;
}
