/* Baseline: memcpy out of a region larger than the CPU's caches into a buffer that fits in them, as
 * a consumer of a replay would do with what it is handed. */
#include "bench/bench.h"
#include <stdlib.h>
#include <string.h>

struct raw_memcpy {
	const uint8_t *from;
	uint8_t *to;
	size_t region, len;
};

static int copy_one(void *ctx, unsigned caller, uint64_t i)
{
	const struct raw_memcpy *m = ctx;
	(void)caller;
	memcpy(m->to, m->from + i * m->len % m->region, m->len);
	__asm__ volatile("" : : "r"(m->to) : "memory"); /* the copy is wanted */
	return 0;
}

int raw_memcpy_run(const struct bench *b, const struct workload *w, struct sample *out)
{
	struct raw_memcpy m = { .region = b->small ? 16 << 20 : 64 << 20, .len = w->bytes };
	int rc = -1;
	uint8_t *from = scratch_noise(m.region), *to = scratch_noise(m.len);
	m.from = from;
	m.to = to;
	if (from && to) {
		struct callers c = { 1, b->seconds, w->bytes, copy_one, &m };
		rc = callers_run(&c, out);
	}
	free(from);
	free(to);
	return rc;
}
