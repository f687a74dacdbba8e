/* Recovery: a WAL full of acked records that no store has, left as by a crash; from the opening of
 * the engine to the first record read. Nothing of the WAL is in the page cache. */
#include "bench/host.h"
#include <stdlib.h>

static int read_first(struct host *h)
{
	const struct firn_fetched *got = NULL;
	struct firn_error err = FIRN_ERROR_INIT;
	int rc = firn_stream_read(h->volume[0], h->stream[0], 0, 1, 1000, &got, &err);
	if (rc)
		return host_fail("first read", rc, &err);
	if (got->bytes == 0)
		rc = host_fail("first read: nothing there", FIRN_ENOENT, NULL);
	firn_release(got);
	return rc;
}

static int crash(struct host *h, const struct workload *w, uint64_t bytes)
{
	struct sample *fill = calloc(1, sizeof *fill);
	int rc = fill ? host_open(h) : bench_fail("fill");
	rc = rc ? rc : host_flood(h, w->bytes, 0, bytes, fill);
	int closed = host_close(h, FIRN_DETACH_ABORT);
	free(fill);
	return rc ? rc : closed;
}

int recovery_run(const struct bench *b, const struct workload *w, struct sample *out)
{
	struct host *h = calloc(1, sizeof *h);
	uint64_t bytes = (uint64_t)(b->small ? 32 : 1024) << 20;
	int rc = h ? host_make(h, b, w->name) : bench_fail(w->name);
	if (rc == 0) {
		host_size(h, bytes, w->bytes);
		h->n_volume = w->n;
		h->n_stream = b->small ? 32 : 1000;
		rc = crash(h, w, bytes);
		scratch_forget(h->dir);
		double cpu = cpu_seconds();
		uint64_t begin = now_ns();
		rc = rc ? rc : host_start(h);
		h->n_stream = 1; /* the others need not be looked up */
		rc = rc ? rc : host_attach(h);
		rc = rc ? rc : read_first(h);
		out->seconds = (double)(now_ns() - begin) / 1e9;
		out->cpu_s = cpu_seconds() - cpu;
		out->records = 1;
		out->bytes = bytes;
		int closed = host_close(h, FIRN_DETACH_ABORT);
		rc = rc ? rc : closed;
		host_remove(h);
	}
	free(h);
	return rc;
}
