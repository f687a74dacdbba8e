/* A cache of known size and blobs that say what they are. */
#ifndef TESTS_CACHE_FIXTURE_H
#define TESTS_CACHE_FIXTURE_H
#include "engine/cache/cache.h"

struct account *cache_account(void);
struct cache_key cache_key_of(uint64_t n);
struct blob *cache_blob_of(struct account *a, uint64_t n, size_t len);
/* Asks for n; loads it when it is not there. 1 = it was there. */
int cache_touch(struct account *a, struct cache *c, uint64_t n, size_t len);
#endif
