/* The block cache: decoded frames and groups read back from the WAL, by where they came from.
 *
 *   cache_get   -> the bytes, or nothing
 *   cache_begin -> the bytes | LOAD: do it, then cache_fill or cache_fail | BUSY: another does
 *   cache_wait  -> what the other's load gave
 *
 * One flight per block whoever asks. Sharded by hash; one lock per shard, held for bounded work
 * and never around a load; no other lock is taken inside. Bound: `bytes` over all shards (what
 * results hold of evicted blobs is not in it), less what is lent. Keys are never re-used for other bytes, so
 * nothing goes stale. */
#ifndef CACHE_CACHE_H
#define CACHE_CACHE_H
#include "engine/base/account.h"
#include "engine/cache/blob.h"
#include <firn/error.h>
#include <stdbool.h>

struct cache;
struct cache_key {
	uint64_t word[4];
};
enum cache_answer { CACHE_HIT = 0, CACHE_LOAD = 1, CACHE_BUSY = 2 };

/* n_shards 0 = by size. NULL without memory. */
struct cache *cache_open(struct account *account, size_t bytes, uint32_t n_shards);
void cache_close(struct cache *c); /* no flight may be under way */

/* What is in use beyond `own` of *used, which outlives the cache, is memory that the cache lends; set once. Who raises *used
 * asks cache_lends() before, and calls cache_settle() after. */
void cache_lend(struct cache *c, const atomic_ullong *used, uint64_t own);
/* How much it can lend in all: what neither holds a blob that was asked for again nor belongs to the last quarter. */
uint64_t cache_lends(struct cache *c);
void cache_settle(struct cache *c); /* lets go of what there is no room for any more */

/* Counts as use. NULL: not there. The caller gets a reference. */
struct blob *cache_get(struct cache *c, const struct cache_key *key);
bool cache_has(struct cache *c, const struct cache_key *key); /* does not count as use */
/* Does not count as use. FIRN_ENOMEM or enum cache_answer; *out is set on a HIT. LOAD: the
 * caller MUST end the flight, and waits for no other flight before it has. */
int cache_begin(struct cache *c, const struct cache_key *key, struct blob **out);
/* Ends the flight: waiters get the blob; the cache takes a reference of its own if it has room. */
void cache_fill(struct cache *c, const struct cache_key *key, struct blob *b);
/* Ends the flight without: waiters get the error. */
void cache_fail(struct cache *c, const struct cache_key *key, const struct firn_error *err);
/* Blocks until the flight of `key` has ended: 0 and a reference, or the load's error.
 * FIRN_EAGAIN: no flight and nothing there (any more): begin again. */
int cache_wait(struct cache *c, const struct cache_key *key, struct blob **out,
               struct firn_error *err);

struct cache_stats {
	uint64_t bytes, n_blobs, hits, misses, loads, evictions;
};
void cache_stats(struct cache *c, struct cache_stats *out);
#endif
