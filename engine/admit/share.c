/* Whose un-stored bytes may take how much of the WAL: no more than 4 x what is free, counted for a volume
 * and for all volumes of its store together (PROTOCOL S16). One store that is away so leaves a fifth of the
 * WAL to the others, two leave a ninth; volumes of one dead store do not each take a share of their own.
 * Two files, or an eighth of a small WAL, are nobody's share: what is free rises and falls by a file as the
 * log goes on, and who is not stored would take of each rise, until the others have no file to go on to.
 *
 * The sum is an atomic of the store's lane that the volumes move under their own locks. */
#include "engine/api/engine.h"

enum { CHECK_BYTES = 1 << 20, KEPT_FILES = 2 };

/* What the store may take between two looks: each costs a lock. */
static uint64_t check_bytes(const struct volume *v)
{
	uint64_t quarter = v->engine->wal.opts.file_bytes / 4;
	return quarter < CHECK_BYTES ? quarter : CHECK_BYTES;
}

void share_add(struct volume *v, int64_t bytes)
{
	v->unstored_bytes += (uint64_t)bytes;
	atomic_fetch_add_explicit(&v->lane->unstored, (unsigned long long)bytes,
	                          memory_order_relaxed);
}

static uint64_t taken(const struct volume *v)
{
	uint64_t sum = atomic_load_explicit(&v->lane->unstored, memory_order_relaxed);
	return sum > v->unstored_bytes ? sum : v->unstored_bytes;
}

uint64_t volume_unstored_limit(struct volume *v)
{
	struct wal *w = &v->engine->wal;
	uint64_t free_bytes = wal_free_bytes(w), kept = KEPT_FILES * w->opts.file_bytes;
	kept = kept < w->opts.wal_bytes / 8 ? kept : w->opts.wal_bytes / 8;
	return free_bytes > kept ? 4 * (free_bytes - kept) : 0;
}

bool volume_over_share(struct volume *v)
{
	return taken(v) > volume_unstored_limit(v);
}

bool volume_refuses(struct volume *v)
{
	uint64_t now = taken(v);
	if (now < v->share_checked)
		v->share_checked = now;
	if (now <= v->share_checked + check_bytes(v))
		return false;
	if (volume_over_share(v))
		return true;
	v->share_checked = now;
	return false;
}
