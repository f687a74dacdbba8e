/* Baseline: what one flush at a time can give to n blocked callers, whoever writes the log. The last of them
 * to come writes the bytes of all with one bare write + flush and wakes them with one system call: no
 * records, no checksums, no queue, nobody who waits for more than one flush. A log that answers each
 * caller after its flush, and has one write in flight, cannot be faster here. */
#include "bench/bench.h"
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { FILE_BYTES = 64 << 20, GIVE_UP_NS = 100 * 1000 * 1000 };

struct raw_group {
	atomic_uint n_here, flushed; /* callers of this round; rounds that are over: the futex */
	unsigned n;
	int fd;
	uint64_t at; /* only who writes */
	const uint8_t *noise;
	size_t len; /* of all callers' records, in whole pages */
};

static int flush_all(struct raw_group *g)
{
	int rc = 0;
	if (pwrite(g->fd, g->noise, g->len, (off_t)g->at) != (ssize_t)g->len ||
	    fdatasync(g->fd) < 0)
		rc = bench_fail("group");
	g->at = g->at + 2 * g->len > FILE_BYTES ? 0 : g->at + g->len;
	atomic_store(&g->n_here, 0);
	(void)atomic_fetch_add(&g->flushed, 1);
	(void)syscall(SYS_futex, &g->flushed, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
	return rc;
}

static int append_one(void *ctx, unsigned caller, uint64_t i)
{
	struct raw_group *g = ctx;
	const struct timespec t = { 0, GIVE_UP_NS };
	(void)caller, (void)i;
	unsigned round = atomic_load(&g->flushed);
	if (atomic_fetch_add(&g->n_here, 1) + 1 == g->n)
		return flush_all(g);
	while (atomic_load(&g->flushed) == round)
		if (syscall(SYS_futex, &g->flushed, FUTEX_WAIT_PRIVATE, round, &t, NULL, 0) < 0 &&
		    errno == ETIMEDOUT)
			return 1; /* the others have gone home: the measurement is over */
	return 0;
}

int raw_group_run(const struct bench *b, const struct workload *w, struct sample *out)
{
	char dir[4096];
	int rc = -1;
	struct raw_group g = { .n = w->n, .len = (w->n * w->bytes + 4095) & ~(size_t)4095 };
	if (scratch_make(b->dir, w->name, dir, sizeof dir) < 0)
		return -1;
	uint8_t *noise = scratch_noise(g.len);
	g.noise = noise;
	g.fd = noise ? scratch_file(dir, "log", FILE_BYTES, 1) : -1;
	if (g.fd >= 0) {
		struct callers c = { w->n, b->seconds, w->bytes, append_one, &g };
		rc = callers_run(&c, out);
		(void)close(g.fd);
	}
	free(noise);
	scratch_remove(dir);
	return rc;
}
