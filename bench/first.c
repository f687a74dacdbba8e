/* The first record of a stream that nobody has read yet: what a consumer waits for who asks for old offsets. Streams are
 * drained into the store, a new engine with an empty cache attaches, and each stream is read once, one after the other. */
#include "bench/host.h"
#include <stdlib.h>

enum { STREAM_BYTES = 64 << 10 };

static int read_one(void *ctx, unsigned caller, uint64_t i)
{
	struct host *h = ctx;
	const struct firn_fetched *got = NULL;
	struct firn_error err = FIRN_ERROR_INIT;
	(void)caller;
	if (i == h->n_stream)
		return 1;
	int rc = firn_stream_read(h->volume[0], h->stream[i], 0, 1, 5000, &got, &err);
	if (rc)
		return host_fail("first read", rc, &err);
	if (got->bytes == 0)
		rc = host_fail("first read: nothing there", FIRN_ENOENT, NULL);
	firn_release(got);
	return rc;
}

static int fill(struct host *h, const struct workload *w)
{
	struct sample *s = calloc(1, sizeof *s);
	int rc = s ? host_open(h) : bench_fail("fill");
	rc = rc ? rc : host_flood(h, w->bytes, 0, (uint64_t)h->n_stream * STREAM_BYTES, s);
	free(s);
	int closed = host_close(h, rc ? FIRN_DETACH_ABORT : FIRN_DETACH_DRAIN);
	return rc ? rc : closed;
}

int first_run(const struct bench *b, const struct workload *w, struct sample *out)
{
	struct host *h = calloc(1, sizeof *h);
	int rc = h ? host_make(h, b, w->name) : bench_fail(w->name);
	if (rc == 0) {
		struct callers c = { w->n, 3600, w->bytes, read_one, h };
		h->uploads = 1;
		h->n_volume = 1;
		h->n_stream = b->small ? 32 : HOST_STREAMS;
		host_size(h, (uint64_t)h->n_stream * STREAM_BYTES, w->bytes);
		rc = fill(h, w);
		scratch_forget(h->dir);
		rc = rc ? rc : host_open(h);
		uint64_t gets = rc ? 0 : host_metric(h, "firn_store_requests", "\"get\"");
		rc = rc ? rc : callers_run(&c, out);
		if (rc == 0)
			out->requests_per_record =
			        (double)(host_metric(h, "firn_store_requests", "\"get\"") - gets) /
			        (double)out->records;
		int closed = host_close(h, FIRN_DETACH_ABORT);
		rc = rc ? rc : closed;
		host_remove(h);
	}
	free(h);
	return rc;
}
