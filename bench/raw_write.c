/* Baseline: what the disk gives to a bare pwrite + fdatasync of the same bytes, in sequence, into
 * a file that is preallocated and full of zeros: no metadata is written, only data. */
#include "bench/bench.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct raw_write {
	int fd;
	const uint8_t *noise;
	size_t len;
	uint64_t room;
};

static int write_one(void *ctx, unsigned caller, uint64_t i)
{
	const struct raw_write *r = ctx;
	uint64_t pos = i * r->len % (r->room / r->len * r->len);
	(void)caller;
	if (pwrite(r->fd, r->noise, r->len, (off_t)pos) != (ssize_t)r->len || fdatasync(r->fd) < 0)
		return bench_fail("raw write");
	return 0;
}

int raw_write_run(const struct bench *b, const struct workload *w, struct sample *out)
{
	char dir[4096];
	int rc = -1;
	struct raw_write r = { .len = w->bytes, .room = b->small ? 16 << 20 : 256 << 20 };
	if (scratch_make(b->dir, w->name, dir, sizeof dir) < 0)
		return -1;
	uint8_t *noise = scratch_noise(w->bytes);
	r.noise = noise;
	r.fd = noise ? scratch_file(dir, "raw", r.room, w->mode == RAW_DIRECT) : -1;
	if (r.fd >= 0) {
		struct callers c = { 1, b->seconds, w->bytes, write_one, &r };
		rc = callers_run(&c, out);
		(void)close(r.fd);
	}
	free(noise);
	scratch_remove(dir);
	return rc;
}
