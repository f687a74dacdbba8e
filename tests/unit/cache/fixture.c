#include "tests/unit/cache/fixture.h"
#include "engine/os/env.h"
#include <string.h>

struct account *cache_account(void)
{
	return account_new(env_default());
}

struct cache_key cache_key_of(uint64_t n)
{
	return (struct cache_key){ { 1, 2, n, n * 3 } };
}

struct blob *cache_blob_of(struct account *a, uint64_t n, size_t len)
{
	uint8_t *bytes;
	struct blob *b = blob_new(a, len, &bytes);
	memset(bytes, (int)(n & 0xff), len);
	return b;
}

int cache_touch(struct account *a, struct cache *c, uint64_t n, size_t len)
{
	struct cache_key key = cache_key_of(n);
	struct blob *b = cache_get(c, &key);
	int hit = b != NULL;
	if (!b && cache_begin(c, &key, &b) == CACHE_LOAD) {
		b = cache_blob_of(a, n, len);
		cache_fill(c, &key, b);
	}
	blob_release(b);
	return hit;
}
