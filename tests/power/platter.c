/* The medium and its write cache. Two images: `stable` is the medium, `seen` what reads get, which
 * is stable with all pending writes over it. Memory that was never written costs nothing. */
#include "tests/power/platter.h"
#include "tests/crash/kill9.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { SECTOR = 512 };

struct pending {
	uint64_t pos;
	size_t len;
	uint8_t *data;
};

struct platter {
	uint64_t bytes;
	uint8_t *stable, *seen;
	struct pending *pending; /* in the order of their coming */
	size_t n_pending, room;
	uint64_t n_gone; /* writes that have left the cache */
	struct platter_counts *counts;
	uint64_t life;
	/* the cut that is armed */
	bool armed;
	enum cut_kind kind;
	uint64_t seed, after;
};

struct platter *platter_make(uint64_t bytes, struct platter_counts *counts)
{
	struct platter *p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	p->bytes = bytes;
	p->counts = counts;
	p->stable = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
	p->seen = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
	if (p->stable == MAP_FAILED || p->seen == MAP_FAILED) {
		free(p);
		return NULL;
	}
	return p;
}

uint64_t platter_bytes(const struct platter *p)
{
	return p->bytes;
}

uint64_t platter_life(const struct platter *p)
{
	return p->life;
}

/* ---- the cache ---- */

static bool inside(const struct platter *p, size_t len, uint64_t pos)
{
	return pos <= p->bytes && len <= p->bytes - pos;
}

static int remember(struct platter *p, const void *buf, size_t len, uint64_t pos)
{
	if (p->n_pending == p->room) {
		size_t room = p->room ? 2 * p->room : 256;
		struct pending *more = realloc(p->pending, room * sizeof *more);
		if (!more)
			return -ENOMEM;
		p->pending = more;
		p->room = room;
	}
	uint8_t *data = malloc(len ? len : 1);
	if (!data)
		return -ENOMEM;
	memcpy(data, buf, len);
	memcpy(p->seen + pos, buf, len);
	p->pending[p->n_pending++] = (struct pending){ pos, len, data };
	atomic_store(&p->counts->n_pending, p->n_pending);
	return 0;
}

/* The first n leave the cache. */
static void forget(struct platter *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(p->pending[i].data);
	p->n_pending -= n;
	p->n_gone += n;
	memmove(p->pending, p->pending + n, p->n_pending * sizeof *p->pending);
	atomic_store(&p->counts->n_pending, p->n_pending);
}

static void keep(struct platter *p, const struct pending *w, size_t from, size_t to)
{
	memcpy(p->stable + w->pos + from, w->data + from, to - from);
}

/* ---- the cut ---- */

/* Keeps each piece with a chance of `of` in 8. */
static void keep_pieces(struct platter *p, const struct pending *w, size_t piece, uint64_t *chance_,
                        uint64_t of)
{
	size_t n = 0, kept = 0;
	for (size_t at = 0; at < w->len; n++) {
		/* Borders are those of the disk, not of the write. */
		size_t end = at + piece - (size_t)((w->pos + at) % piece);
		end = end < w->len ? end : w->len;
		if (chance(chance_, 8) < of) {
			keep(p, w, at, end);
			kept++;
		}
		at = end;
	}
	atomic_fetch_add(kept == n ? &p->counts->n_kept : &p->counts->n_lost, 1);
	atomic_fetch_add(&p->counts->n_torn, kept && kept < n);
}

static void keep_end(struct platter *p, const struct pending *w, uint64_t *state)
{
	size_t sectors = w->len / SECTOR;
	size_t cut = (size_t)chance(state, sectors + 1) * SECTOR;
	if (chance(state, 2))
		keep(p, w, 0, cut);
	else
		keep(p, w, cut, w->len);
	atomic_fetch_add(&p->counts->n_lost, 1);
	atomic_fetch_add(&p->counts->n_torn, 1);
}

static void settle(struct platter *p)
{
	uint64_t state = mix(p->seed), some = 1 + chance(&state, 7);
	bool ordered = p->kind == CUT_PREFIX || p->kind == CUT_TORN_END;
	size_t prefix = (size_t)chance(&state, p->n_pending + 1);
	size_t piece = p->kind == CUT_TEAR_4K ? 4096 : p->kind == CUT_TEAR_512 ? SECTOR : p->bytes;
	for (size_t i = 0; i < p->n_pending; i++) {
		uint64_t of = p->kind == CUT_DROP ? 0 : !ordered ? some : i < prefix ? 8 : 0;
		if (p->kind == CUT_TORN_END && i == prefix)
			keep_end(p, &p->pending[i], &state);
		else
			keep_pieces(p, &p->pending[i], piece, &state, of);
	}
	/* What is not on the medium is nowhere. */
	for (size_t i = 0; i < p->n_pending; i++) {
		const struct pending *w = &p->pending[i];
		memcpy(p->seen + w->pos, p->stable + w->pos, w->len);
	}
	forget(p, p->n_pending);
}

static void cut(struct platter *p)
{
	atomic_fetch_add(&p->counts->n_hit, p->n_pending > 0);
	settle(p);
	p->armed = false;
	atomic_fetch_add(&p->counts->n_cut, 1);
	atomic_store(&p->counts->off, 1);
}

/* True: the power went with this operation, which has not happened. */
static bool cut_is_due(struct platter *p)
{
	if (!p->armed || --p->after)
		return false;
	cut(p);
	return true;
}

int platter_command(struct platter *p, const char *text)
{
	unsigned kind;
	unsigned long seed, after;
	if (!strncmp(text, "on", 2)) {
		p->life++;
		p->armed = false;
		atomic_store(&p->counts->off, 0);
		return 0;
	}
	if (sscanf(text, "cut %u %lu %lu", &kind, &seed, &after) != 3 || kind >= CUT_KINDS)
		return -EINVAL;
	p->kind = (enum cut_kind)kind;
	p->seed = seed;
	p->after = after;
	if (after)
		p->armed = true;
	else if (!atomic_load(&p->counts->off))
		cut(p);
	return 0;
}

/* ---- reading, writing ---- */

int platter_read(struct platter *p, void *buf, size_t len, uint64_t pos)
{
	if (!inside(p, len, pos))
		return -EINVAL;
	if (atomic_load(&p->counts->off))
		return -EIO;
	memcpy(buf, p->seen + pos, len);
	return 0;
}

/* The write with which the power goes is in the cache like those before it: some of it may stay. */
int platter_write(struct platter *p, const void *buf, size_t len, uint64_t pos)
{
	if (!inside(p, len, pos))
		return -ENOSPC;
	if (atomic_load(&p->counts->off))
		return -EIO;
	int rc = remember(p, buf, len, pos);
	if (rc)
		return rc;
	atomic_fetch_add(&p->counts->n_write, 1);
	return cut_is_due(p) ? -EIO : 0;
}

int platter_flush_begin(struct platter *p, uint64_t *mark)
{
	*mark = p->n_gone + p->n_pending;
	return atomic_load(&p->counts->off) ? -EIO : 0;
}

/* The power may go just before the last of it: then some of it is on the medium, and some not. */
int platter_flush_end(struct platter *p, uint64_t mark)
{
	if (atomic_load(&p->counts->off) || cut_is_due(p))
		return -EIO;
	size_t n = mark > p->n_gone ? (size_t)(mark - p->n_gone) : 0;
	for (size_t i = 0; i < n; i++)
		keep(p, &p->pending[i], 0, p->pending[i].len);
	forget(p, n);
	atomic_fetch_add(&p->counts->n_flush, 1);
	return 0;
}
