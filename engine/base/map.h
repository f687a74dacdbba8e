/* A hash table of pointers: open addressing, linear probing, no tombstones (back-shift deletion).
 * The caller hashes and compares; the table stores (hash, pointer). Not thread-safe. */
#ifndef BASE_MAP_H
#define BASE_MAP_H
#include <firn/env.h>
#include <stdint.h>

struct map_slot {
	uint64_t hash;
	void *value; /* NULL = empty */
};

struct map {
	const struct firn_env *env;
	struct map_slot *slot;
	uint32_t cap, n; /* cap: 0 or a power of two */
};

typedef int (*map_equal)(const void *value, const void *key);

void map_init(struct map *m, const struct firn_env *env);
void map_fini(struct map *m); /* frees the table, not the values */
void *map_get(const struct map *m, uint64_t hash, map_equal equal, const void *key);
/* The key must be absent. 0, or -1 without memory (then nothing changed). */
int map_put(struct map *m, uint64_t hash, void *value);
/* Room for so many more: the puts that follow cannot fail. 0, or -1 without memory. */
int map_reserve(struct map *m, uint32_t n);
void *map_remove(struct map *m, uint64_t hash, map_equal equal, const void *key);
/* Walk: *at begins at 0; NULL ends. The table must not change meanwhile. */
void *map_next(const struct map *m, uint32_t *at);

/* A good hash of a number (splitmix64's finaliser). */
static inline uint64_t hash_u64(uint64_t x)
{
	x ^= x >> 30;
	x *= UINT64_C(0xbf58476d1ce4e5b9);
	x ^= x >> 27;
	x *= UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}
#endif
