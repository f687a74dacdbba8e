/* Baseline: the log everybody writes first. One file that grows, one mutex, every record written
 * and synced before the next. */
#include "bench/bench.h"
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

struct raw_log {
	pthread_mutex_t mutex;
	int fd;
	uint64_t end; /* guarded by mutex */
	const uint8_t *noise;
	size_t len;
};

static int append_one(void *ctx, unsigned caller, uint64_t i)
{
	struct raw_log *l = ctx;
	int rc = 0;
	(void)caller, (void)i;
	(void)pthread_mutex_lock(&l->mutex);
	if (pwrite(l->fd, l->noise, l->len, (off_t)l->end) != (ssize_t)l->len ||
	    fdatasync(l->fd) < 0)
		rc = bench_fail("log");
	l->end += l->len;
	(void)pthread_mutex_unlock(&l->mutex);
	return rc;
}

int raw_log_run(const struct bench *b, const struct workload *w, struct sample *out)
{
	char dir[4096];
	int rc = -1;
	struct raw_log l = { .mutex = PTHREAD_MUTEX_INITIALIZER, .len = w->bytes };
	if (scratch_make(b->dir, w->name, dir, sizeof dir) < 0)
		return -1;
	uint8_t *noise = scratch_noise(w->bytes);
	l.noise = noise;
	l.fd = noise ? scratch_file(dir, "log", 0, 0) : -1;
	if (l.fd >= 0) {
		struct callers c = { w->n, b->seconds, w->bytes, append_one, &l };
		rc = callers_run(&c, out);
		(void)close(l.fd);
	}
	free(noise);
	scratch_remove(dir);
	return rc;
}
