/* Durable appends: by callers that wait for each, and with many in flight. */
#include "bench/host.h"
#include <stdlib.h>

struct append {
	struct host h;
	const uint8_t *noise;
	size_t len;
};

static int append_one(void *ctx, unsigned caller, uint64_t i)
{
	struct append *a = ctx;
	struct firn_error err = FIRN_ERROR_INIT;
	(void)i;
	int rc = firn_stream_append(a->h.volume[0], a->h.stream[caller], a->noise, a->len, 1, 0,
	                            NULL, &err);
	return rc ? host_fail("append", rc, &err) : 0;
}

int append_callers_run(const struct bench *b, const struct workload *w, struct sample *out)
{
	struct append *a = calloc(1, sizeof *a);
	uint8_t *noise = scratch_noise(w->bytes);
	int rc = a && noise ? host_make(&a->h, b, w->name) : bench_fail(w->name);
	if (rc == 0) {
		/* No caller gets more than ten thousand records a second out of a disk. */
		host_size(&a->h, (uint64_t)(b->seconds * 1e4 * w->n) * 4096, 4096);
		a->h.n_volume = 1;
		a->h.n_stream = w->n;
		a->noise = noise;
		a->len = w->bytes;
		rc = host_open(&a->h);
		struct callers c = { w->n, b->seconds, w->bytes, append_one, a };
		rc = rc ? rc : callers_run(&c, out);
		int closed = host_close(&a->h, FIRN_DETACH_ABORT);
		rc = rc ? rc : closed;
		host_remove(&a->h);
	}
	free(noise);
	free(a);
	return rc;
}

int append_flood_run(const struct bench *b, const struct workload *w, struct sample *out)
{
	struct host *h = calloc(1, sizeof *h);
	int rc = h ? host_make(h, b, w->name) : bench_fail(w->name);
	if (rc == 0) {
		uint64_t bytes = (uint64_t)(b->small ? 32 : 1536) << 20;
		if (w->bytes < 1024) /* mostly descriptors: the same bytes on the disk, or so */
			bytes /= 4;
		host_size(h, bytes, w->bytes);
		h->n_volume = w->n;
		h->n_stream = HOST_VOLUMES; /* as many, in one volume or in 32 */
		rc = host_open(h);
		rc = rc ? rc : host_flood(h, w->bytes, b->seconds, bytes, out);
		int closed = host_close(h, FIRN_DETACH_ABORT);
		rc = rc ? rc : closed;
		host_remove(h);
	}
	free(h);
	return rc;
}
