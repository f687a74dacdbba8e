/* Whose un-stored bytes may take how much of the WAL: no more than 4 x what is free, counted for a volume
 * and for all volumes of its store together (PROTOCOL S16). One store that is away so leaves a fifth of the
 * WAL to the others, two leave a ninth; volumes of one dead store do not each take a share of their own.
 *
 *   volume --.
 *   volume ---+-- share (one per store URI): sum of their un-stored bytes
 *
 * engine.lock guards the list; the sum is an atomic that the volumes move under their own locks. */
#include "engine/api/engine.h"
#include "engine/base/mem.h"
#include <string.h>

enum { CHECK_BYTES = 1 << 20 }; /* what the store may take between two looks: each costs a lock */

struct store_share {
	struct store_share *next;
	uint32_t n_volume;
	atomic_ullong unstored;
	char uri[];
};

int share_join(struct volume *v)
{
	struct engine *e = v->engine;
	size_t len = strlen(v->uri) + 1;
	pthread_mutex_lock(&e->lock);
	struct store_share *s = e->shares;
	while (s && strcmp(s->uri, v->uri) != 0)
		s = s->next;
	if (!s && (s = mem_zalloc(e->env, sizeof *s + len)) != NULL) {
		memcpy(s->uri, v->uri, len);
		s->next = e->shares;
		e->shares = s;
	}
	if (s)
		s->n_volume++;
	v->share = s;
	pthread_mutex_unlock(&e->lock);
	return s ? 0 : FIRN_ENOMEM;
}

void share_leave(struct volume *v)
{
	struct engine *e = v->engine;
	struct store_share *s = v->share;
	if (!s)
		return;
	share_add(v, -(int64_t)v->unstored_bytes);
	pthread_mutex_lock(&e->lock);
	if (--s->n_volume == 0) {
		struct store_share **link = &e->shares;
		while (*link != s)
			link = &(*link)->next;
		*link = s->next;
		mem_free(e->env, s);
	}
	v->share = NULL;
	pthread_mutex_unlock(&e->lock);
}

void share_add(struct volume *v, int64_t bytes)
{
	v->unstored_bytes += (uint64_t)bytes;
	if (v->share)
		atomic_fetch_add_explicit(&v->share->unstored, (unsigned long long)bytes,
		                          memory_order_relaxed);
}

static uint64_t taken(const struct volume *v)
{
	uint64_t sum = v->share ? atomic_load_explicit(&v->share->unstored, memory_order_relaxed)
	                        : 0;
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
