/* Frames that came for an item ahead of its need are held for it until it enters them: the cache may let
 * them go before, as it keeps little of what was used once beside what is used often.
 *
 *   held_room --> GET --> held_add --> item.held --item enters the extent--> held_take
 *      ^                                   |
 *      +---- memory that is given back <---+-- the item is past it, or goes; its reader is idle
 *
 * All of an engine, on their way or held, have a share of their own, share_held(), and what the cache lends. Each load
 * may have half of what is left, so that the last one still gets some. The list is under reader.lock. */
#include "engine/base/mem.h"
#include "engine/read/load.h"
#include <string.h>

enum { HOLD_IDLE_NS = 1000 * 1000 * 1000 };

struct held {
	struct held *next;
	struct blob *blob;
	struct cache_key key;
	uint64_t end; /* of its offsets */
};

/* ---- memory ---- */

void held_give(struct engine *e, uint64_t bytes)
{
	atomic_fetch_sub_explicit(&e->reads->ahead_bytes, bytes, memory_order_relaxed);
}

uint64_t held_most(struct engine *e)
{
	return share_held(e) + cache_lends(e->cache);
}

static uint64_t half_left(uint64_t all, uint64_t had)
{
	return had < all ? (all - had) / 2 : 0;
}

uint64_t held_left(struct engine *e)
{
	return half_left(held_most(e),
	                 atomic_load_explicit(&e->reads->ahead_bytes, memory_order_relaxed));
}

static uint64_t room_try(struct engine *e, uint64_t want, bool ahead)
{
	struct read_queue *q = e->reads;
	uint64_t most = held_most(e), all = ahead ? most / 4 * 3 : most;
	unsigned long long had = atomic_load_explicit(&q->ahead_bytes, memory_order_relaxed);
	uint64_t got;
	do {
		uint64_t share = half_left(all, had);
		got = want < share ? want : share;
		if (got < want && got < (ahead ? want / 2 : READ_AHEAD_MIN))
			return 0;
	} while (!atomic_compare_exchange_weak_explicit(&q->ahead_bytes, &had, had + got,
	                                                memory_order_relaxed,
	                                                memory_order_relaxed));
	if (had + got > share_held(e))
		cache_settle(e->cache);
	return got;
}

/* What readers hold that nobody has fetched from for a second is taken from them; once a second. */
static void reclaim(struct engine *e)
{
	struct read_queue *q = e->reads;
	uint64_t now = read_now(e);
	unsigned long long last = atomic_load_explicit(&q->reclaim_ns, memory_order_relaxed);
	if (now - last < HOLD_IDLE_NS ||
	    !atomic_compare_exchange_strong(&q->reclaim_ns, &last, now))
		return;
	uint64_t round = queue_walk(q);
	struct firn_reader *r;
	while ((r = queue_walk_next(q, round))) {
		pthread_mutex_lock(&r->serve);
		if (!r->fetch.active && now - r->idle_ns > HOLD_IDLE_NS)
			for (size_t i = 0; i < r->n_slot; i++)
				if (r->slot[i])
					held_drop(r->slot[i]);
		pthread_mutex_unlock(&r->serve);
		reader_release(r);
	}
	queue_walk_end(q);
}

uint64_t held_room(struct engine *e, uint64_t want, bool ahead)
{
	uint64_t got = room_try(e, want, ahead);
	if (got)
		return got;
	reclaim(e);
	return room_try(e, want, ahead);
}

/* ---- the list ---- */

static void held_free(struct reader_item *it, struct held *h)
{
	while (h) {
		struct held *next = h->next;
		atomic_fetch_sub_explicit(&it->reader->held_bytes, h->blob->charge,
		                          memory_order_relaxed);
		if (atomic_fetch_sub(&h->blob->holds, 1) == 1)
			held_give(it->reader->engine, h->blob->charge);
		blob_release(h->blob);
		mem_free(&it->reader->account->env, h);
		h = next;
	}
}

/* Sorted by offset; pieces may come in any order. */
static void held_insert(struct reader_item *it, struct held *h)
{
	struct held **at = &it->held;
	while (*at && (*at)->end < h->end)
		at = &(*at)->next;
	h->next = *at;
	*at = h;
}

/* A frame's last offset is told by the next one's first: it may have begun with another stream's. */
uint64_t held_add(const struct frames *f, const struct share *s, uint32_t taken,
                  struct blob *const *blob)
{
	struct firn_reader *r = s->item->reader;
	uint32_t behind = s->first + s->n;
	uint64_t used = 0;
	pthread_mutex_lock(&r->lock);
	for (uint32_t i = s->first + taken; i < behind; i++) {
		struct held *h = blob[i] ? mem_alloc(&r->account->env, sizeof *h) : NULL;
		if (!h)
			continue;
		blob_retain(blob[i]);
		*h = (struct held){ .blob = blob[i],
			            .key = frame_key(f->v, &f->x[i]),
			            .end = i + 1 < behind ? f->x[i + 1].block.base : s->end };
		atomic_fetch_add_explicit(&r->held_bytes, blob[i]->charge, memory_order_relaxed);
		if (atomic_fetch_add(&blob[i]->holds, 1) == 0)
			used += blob[i]->charge;
		held_insert(s->item, h);
	}
	pthread_mutex_unlock(&r->lock);
	return used;
}

void held_settle(struct engine *e, uint64_t room, uint64_t used)
{
	if (used > room)
		atomic_fetch_add_explicit(&e->reads->ahead_bytes, used - room,
		                          memory_order_relaxed);
	else
		held_give(e, room - used);
}

bool held_has(const struct reader_item *it, const struct cache_key *key)
{
	const struct held *h = it->held;
	while (h && memcmp(&h->key, key, sizeof *key))
		h = h->next;
	return h != NULL;
}

struct blob *held_take(struct reader_item *it, const struct cache_key *key, uint64_t offset)
{
	struct blob *b = NULL;
	pthread_mutex_lock(&it->reader->lock);
	struct held **at = &it->held;
	while (*at && (*at)->end <= offset)
		at = &(*at)->next;
	struct held *h = *at, *past;
	*at = NULL;
	past = it->held;
	it->held = h;
	if (h && memcmp(&h->key, key, sizeof *key) == 0) {
		b = h->blob;
		blob_retain(b);
		it->held = h->next;
		h->next = past;
		past = h;
	}
	bool turn = past && it->reader->waits;
	pthread_mutex_unlock(&it->reader->lock);
	held_free(it, past);
	if (turn)
		turn_next(it->reader);
	return b;
}

void held_drop(struct reader_item *it)
{
	pthread_mutex_lock(&it->reader->lock);
	struct held *h = it->held;
	it->held = NULL;
	pthread_mutex_unlock(&it->reader->lock);
	held_free(it, h);
}
