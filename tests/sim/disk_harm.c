/* What happens to a disk beside losing its power: bits flip, files go, copies are made and put in its place. */
#include "tests/sim/disk_int.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_wal(const struct name *x)
{
	size_t len = strlen(x->path);
	return x->inode && len > 4 && !strcmp(x->path + len - 4, ".wal");
}

bool disk_rot(struct disk *d)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < d->n_seen; i++)
		n += is_wal(&d->seen[i]);
	if (!n)
		return false;
	uint64_t k = rng_below(&W.rng, n);
	for (uint32_t i = 0; i < d->n_seen; i++)
		if (is_wal(&d->seen[i]) && k-- == 0) {
			struct inode *x = d->seen[i].inode;
			uint64_t end = x->seen_len;
			while (end && !x->seen[end - 1])
				end--;
			if (!end)
				return false;
			uint64_t at = rng_below(&W.rng, end);
			x->seen[at] ^= (uint8_t)(1u << rng_below(&W.rng, 8));
			x->safe[at] = x->seen[at];
			sim_trace("disk %u: a bit of %s at %llu flips", d->node, d->seen[i].path,
			          (unsigned long long)at);
			return true;
		}
	return false;
}

/* The last place of these bytes in a file of the WAL. */
static struct name *place_of(const struct disk *d, const void *bytes, size_t len, uint64_t *pos)
{
	struct name *in = NULL;
	for (uint32_t i = 0; i < d->n_seen; i++) {
		const struct inode *n = is_wal(&d->seen[i]) ? d->seen[i].inode : NULL;
		const uint8_t *at;
		for (uint64_t from = 0; n && from + len <= n->seen_len;) {
			at = memmem(n->seen + from, n->seen_len - from, bytes, len);
			if (!at)
				break;
			in = &d->seen[i];
			*pos = (uint64_t)(at - n->seen);
			from = *pos + 1;
		}
	}
	return in;
}

bool disk_rot_at(struct disk *d, const void *bytes, size_t len)
{
	uint64_t pos;
	struct name *x = place_of(d, bytes, len, &pos);
	if (!x)
		return false;
	x->inode->seen[pos] ^= 4;
	x->inode->safe[pos] = x->inode->seen[pos];
	return true;
}

bool disk_lose(struct disk *d, const void *bytes, size_t len)
{
	uint64_t pos;
	struct name *x = place_of(d, bytes, len, &pos);
	struct name *safe = x ? disk_find(d->safe, d->n_safe, x->path) : NULL;
	if (!safe)
		return false;
	safe->inode = x->inode = NULL;
	return true;
}

bool disk_graft(struct disk *d, const struct disk *from, const void *bytes, size_t len, bool whole)
{
	uint64_t pos;
	const struct name *x = place_of(from, bytes, len, &pos);
	struct name *to = x ? disk_find(d->seen, d->n_seen, x->path) : NULL;
	if (!to || to->inode->seen_len != x->inode->seen_len)
		return false;
	uint64_t begin = whole ? 0 : pos & ~UINT64_C(4095),
	         end = (pos + len + 4095) & ~UINT64_C(4095);
	if (whole || end > x->inode->seen_len)
		end = x->inode->seen_len;
	memcpy(to->inode->seen + begin, x->inode->seen + begin, end - begin);
	memcpy(to->inode->safe + begin, x->inode->seen + begin, end - begin);
	return true;
}

/* What a snapshot of the device holds: flushed bytes under durable names. */
struct disk *disk_copy(const struct disk *d, uint32_t node, const char *dir, const char *as)
{
	struct disk *c = disk_new(node, d->capacity);
	size_t skip = strlen(dir);
	for (uint32_t i = 0; i < d->n_safe; i++) {
		const struct name *x = &d->safe[i];
		char path[sizeof x->path];
		if (!x->inode || strncmp(x->path, dir, skip) != 0)
			continue;
		struct inode *n = calloc(1, sizeof *n);
		n->id = ++c->n_inode;
		n->next = c->inodes;
		c->inodes = n;
		disk_grow(n, x->inode->cap);
		n->seen_len = n->safe_len = x->inode->safe_len;
		memcpy(n->seen, x->inode->safe, n->seen_len);
		memcpy(n->safe, x->inode->safe, n->seen_len);
		(void)snprintf(path, sizeof path, "%s%s", as, x->path + skip);
		disk_set_name(&c->seen, &c->n_seen, &c->cap_seen, path, n);
		disk_set_name(&c->safe, &c->n_safe, &c->cap_safe, path, n);
	}
	return c;
}
