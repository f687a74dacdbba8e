#include "bench/bench.h"

static size_t bucket_of(uint64_t ns)
{
	if (ns < 64)
		return (size_t)ns;
	unsigned e = 63 - (unsigned)__builtin_clzll(ns);
	size_t i = (size_t)(e - 5) * 64 + ((ns >> (e - 6)) & 63);
	return i < HIST_BUCKETS ? i : HIST_BUCKETS - 1;
}

/* The middle of what falls into a bucket. */
static uint64_t bucket_value(size_t i)
{
	if (i < 64)
		return i;
	unsigned e = (unsigned)(i / 64) + 5;
	uint64_t low = (UINT64_C(1) << e) + ((uint64_t)(i & 63) << (e - 6));
	return low + (UINT64_C(1) << (e - 6)) / 2;
}

void hist_add(struct hist *h, uint64_t ns)
{
	h->bucket[bucket_of(ns)]++;
	h->n++;
	if (ns > h->max)
		h->max = ns;
}

void hist_merge(struct hist *into, const struct hist *from)
{
	for (size_t i = 0; i < HIST_BUCKETS; i++)
		into->bucket[i] += from->bucket[i];
	into->n += from->n;
	if (from->max > into->max)
		into->max = from->max;
}

uint64_t hist_quantile(const struct hist *h, double q)
{
	uint64_t want = (uint64_t)(q * (double)h->n), seen = 0;
	for (size_t i = 0; h->n && i < HIST_BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen > want) {
			uint64_t v = bucket_value(i);
			return v < h->max ? v : h->max;
		}
	}
	return h->max;
}
