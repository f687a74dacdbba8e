/* Whose un-stored bytes may take how much of the WAL: no more than 4 x what is free, counted for a volume
 * and for all volumes of its store together (PROTOCOL S16). One store that is away so leaves a fifth of the
 * WAL to the others, two leave a ninth; volumes of one dead store do not each take a share of their own.
 *
 * The sum is an atomic of the store's lane that the volumes move under their own locks. */
#include "engine/api/engine.h"

enum { CHECK_BYTES = 1 << 20 }; /* what the store may take between two looks: each costs a lock */

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
	return 4 * wal_free_bytes(&v->engine->wal);
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
	if (now <= v->share_checked + CHECK_BYTES)
		return false;
	if (volume_over_share(v))
		return true;
	v->share_checked = now;
	return false;
}
