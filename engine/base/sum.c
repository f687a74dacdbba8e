#define XXH_STATIC_LINKING_ONLY /* the state, to have it on the stack */
#include "engine/base/sum.h"
#include <sys/uio.h>
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

uint64_t sum64_iov(const struct iovec *iov, unsigned n_iov)
{
	if (n_iov == 0)
		return sum64("", 0);
	if (n_iov == 1)
		return sum64(iov[0].iov_base, iov[0].iov_len);
	XXH3_state_t state;
	XXH3_64bits_reset(&state);
	for (unsigned i = 0; i < n_iov; i++)
		if (iov[i].iov_len)
			(void)XXH3_64bits_update(&state, iov[i].iov_base, iov[i].iov_len);
	return XXH3_64bits_digest(&state);
}
