#define XXH_STATIC_LINKING_ONLY /* the state, to have it on the stack */
#include "engine/base/sum.h"
#if defined(__x86_64__)
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif

uint64_t sum64(const void *data, size_t len)
{
	return XXH3_64bits(data, len);
}

uint64_t sum64_seed(const void *data, size_t len, uint64_t seed)
{
	return XXH3_64bits_withSeed(data, len, seed);
}
