/* Baseline: the rate at which parallel preads bring a file in from the disk; n readers, each taking
 * the next piece. O_DIRECT, so that the page cache has no part in it; or, for a recovery, one reader
 * through the page cache. */
#include "bench/bench.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

struct raw_read {
	int fd;
	size_t len;
	uint64_t size;
	atomic_uint_fast64_t next;
	uint8_t *buf; /* len bytes for each caller */
};

static int read_one(void *ctx, unsigned caller, uint64_t i)
{
	struct raw_read *r = ctx;
	uint64_t pos = atomic_fetch_add(&r->next, 1) * r->len % r->size;
	(void)i;
	if (pread(r->fd, r->buf + caller * r->len, r->len, (off_t)pos) != (ssize_t)r->len)
		return bench_fail("raw read");
	return 0;
}

/* Once through the file as cold as after a boot, by one thread and through the page cache. */
static int read_once(struct raw_read *r, struct sample *out)
{
	double cpu = cpu_seconds();
	uint64_t begin = now_ns();
	while (atomic_load(&r->next) < r->size / r->len)
		if (read_one(r, 0, 0))
			return -1;
	out->seconds = (double)(now_ns() - begin) / 1e9;
	out->cpu_s = cpu_seconds() - cpu;
	out->records = 1;
	out->bytes = r->size;
	return 0;
}

int raw_read_run(const struct bench *b, const struct workload *w, struct sample *out)
{
	char dir[4096];
	int rc = -1;
	struct raw_read r = { .len = w->bytes, .size = b->small ? 32 << 20 : 1 << 30 };
	if (scratch_make(b->dir, w->name, dir, sizeof dir) < 0)
		return -1;
	r.buf = scratch_noise(w->n * w->bytes);
	r.fd = r.buf ? scratch_file(dir, "raw", r.size, w->mode == RAW_DIRECT) : -1;
	if (r.fd >= 0) {
		scratch_forget(dir);
		struct callers c = { w->n, b->seconds, w->bytes, read_one, &r };
		rc = w->mode == RAW_DIRECT ? callers_run(&c, out) : read_once(&r, out);
		(void)close(r.fd);
	}
	free(r.buf);
	scratch_remove(dir);
	return rc;
}
