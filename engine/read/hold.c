/* Frames that came for an item ahead of its need are held for it until it enters them: the cache may let
 * them go before, as it keeps little of what was used once beside what is used often.
 *
 *   held_room --> GET --> held_add --> item.held --item enters the extent--> held_take
 *      ^                                   |
 *      +---- memory that is given back <---+-- the item is past it, or goes; its reader is idle
 *
 * All of an engine, on their way or held, have a share of their own, share_held(). Each load may have half
 * of what is left, so that the last one still gets some. The list is under reader.lock. */
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

static uint64_t room_try(struct engine *e, uint64_t want)
{
	struct read_queue *q = e->reads;
	uint64_t all = share_held(e);
	unsigned long long had = atomic_load_explicit(&q->ahead_bytes, memory_order_relaxed);
	uint64_t got;
	do {
		uint64_t share = had < all ? (all - had) / 2 : 0;
		got = want < share ? want : share;
		if (got < want && got < READ_AHEAD_MIN)
			return 0;
	} while (!atomic_compare_exchange_weak_explicit(&q->ahead_bytes, &had, had + got,
	                                                memory_order_relaxed,
	                                                memory_order_relaxed));
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

uint64_t held_room(struct engine *e, uint64_t want)
{
	uint64_t got = room_try(e, want);
	if (got)
		return got;
	reclaim(e);
	return room_try(e, want);
}

/* ---- the list ---- */

static void held_free(struct reader_item *it, struct held *h)
{
	while (h) {
		struct held *next = h->next;
		held_give(it->reader->engine, h->blob->len);
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

void held_add(struct reader_item *it, const struct frames *f, uint32_t from, struct blob **blob,
              uint64_t room)
{
	struct firn_reader *r = it->reader;
	uint64_t used = 0;
	pthread_mutex_lock(&r->lock);
	for (uint32_t i = from; i < f->own; i++) {
		struct held *h = blob[i] ? mem_alloc(&r->account->env, sizeof *h) : NULL;
		if (!h) {
			blob_release(blob[i]);
			continue;
		}
		*h = (struct held){ .blob = blob[i],
			            .key = frame_key(f->v, &f->x[i]),
			            .end = f->x[i].block.next };
		used += blob[i]->len;
		held_insert(it, h);
	}
	pthread_mutex_unlock(&r->lock);
	if (used > room)
		atomic_fetch_add_explicit(&r->engine->reads->ahead_bytes, used - room,
		                          memory_order_relaxed);
	else
		held_give(r->engine, room - used);
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
	pthread_mutex_unlock(&it->reader->lock);
	held_free(it, past);
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
