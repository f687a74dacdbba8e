/* Which entry goes when room is short: S3-FIFO (Yang, Zhang, Qiu, Yue, Vinayak: "FIFO queues are
 * all you need for cache eviction", SOSP 2023), in bytes.
 *
 *   new ---> small (a tenth) --seen again, twice--> main --seen since--> main again
 *              |                                     |
 *              +--> ghost (keys only) --asked for    +--> gone
 *                                      again: main
 *
 * A scan passes through small and never touches main; what is wanted twice within a cache's
 * worth of bytes reaches main. The policy knows hashes and sizes only, so it can be simulated
 * and replaced. Not thread-safe; the caller's lock. */
#ifndef CACHE_S3FIFO_H
#define CACHE_S3FIFO_H
#include <firn/env.h>
#include <stddef.h>
#include <stdint.h>

struct s3fifo_entry {
	struct s3fifo_entry *next, *prev; /* next: towards the newest */
	uint64_t hash;
	size_t bytes;
	uint8_t freq, in_main;
};

struct s3fifo_queue {
	struct s3fifo_entry *oldest, *newest;
	size_t bytes;
};

struct s3fifo_ghost {
	uint64_t hash, at; /* at: `passed` when it left small; hash 0 = empty */
};

struct s3fifo {
	const struct firn_env *env;
	size_t cap;
	struct s3fifo_queue small, main;
	struct s3fifo_ghost *ghost; /* n_ghost slots, a power of two, in sets of four */
	size_t n_ghost;
	uint64_t passed; /* bytes that have left small */
};

/* 0, or -1 without memory. */
int s3fifo_init(struct s3fifo *f, const struct firn_env *env, size_t cap);
void s3fifo_fini(struct s3fifo *f);
static inline size_t s3fifo_bytes(const struct s3fifo *f)
{
	return f->small.bytes + f->main.bytes;
}
/* The entry was asked for. */
void s3fifo_hit(struct s3fifo_entry *e);
/* Takes in a new entry: hash and bytes are set. Evict first: it does not look at the cap. */
void s3fifo_insert(struct s3fifo *f, struct s3fifo_entry *e);
/* Takes out the entry that shall go; NULL when there is none. */
struct s3fifo_entry *s3fifo_evict(struct s3fifo *f);
#endif
