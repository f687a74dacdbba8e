/* Uploads: a WAL full of what no store has drains into a file: store; appends beside that. */
#include "bench/host.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

/* ---- baseline: objects of the same size, written side by side and synced as the store does ---- */

struct raw_put {
	char dir[4096];
	const uint8_t *noise;
	size_t len;
};

/* As backends/file: a temporary file, fsync, its name, fsync of the directory. */
static int put_one(void *ctx, unsigned caller, uint64_t i)
{
	struct raw_put *r = ctx;
	char from[4200], to[4200];
	(void)snprintf(from, sizeof from, "%s/%u.tmp", r->dir, caller);
	(void)snprintf(to, sizeof to, "%s/%u-%u", r->dir, caller, (unsigned)(i & 7));
	int fd = open(from, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int dir = open(r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int bad = fd < 0 || dir < 0;
	for (size_t at = 0; !bad && at < r->len;) {
		ssize_t n = write(fd, r->noise + at, r->len - at);
		bad = n <= 0;
		at += bad ? 0 : (size_t)n;
	}
	bad = bad || fsync(fd) || rename(from, to) || fsync(dir);
	int rc = bad ? bench_fail("raw put") : 0;
	if (fd >= 0)
		(void)close(fd);
	if (dir >= 0)
		(void)close(dir);
	return rc;
}

static size_t segment_of(const struct bench *b)
{
	return b->small ? 2 * MIB : 64 * MIB;
}

int raw_put_run(const struct bench *b, const struct workload *w, struct sample *out)
{
	struct raw_put r = { .len = segment_of(b) };
	if (scratch_make(b->dir, w->name, r.dir, sizeof r.dir) < 0)
		return -1;
	uint8_t *noise = scratch_noise(r.len);
	r.noise = noise;
	struct callers c = { w->n, b->seconds, r.len, put_one, &r };
	int rc = noise ? callers_run(&c, out) : bench_fail(w->name);
	free(noise);
	scratch_remove(r.dir);
	return rc;
}

/* ---- firn ---- */

/* An engine whose first volume has `bytes` in the WAL and begins to upload them now. */
static int begin_uploads(struct host *h, const struct bench *b, const struct workload *w,
                         uint64_t bytes)
{
	struct sample *fill = calloc(1, sizeof *fill);
	int rc = fill ? host_make(h, b, w->name) : bench_fail(w->name);
	if (rc == 0) {
		host_size(h, bytes, w->bytes);
		h->wal_bytes += h->wal_bytes / 2;
		if (b->small)
			h->memory_bytes = 16 * MIB;
		h->n_volume = 1;
		h->n_stream = HOST_VOLUMES;
		rc = host_open(h);
		rc = rc ? rc : host_flood(h, w->bytes, 0, bytes, fill);
		int closed = host_close(h, FIRN_DETACH_ABORT);
		rc = rc ? rc : closed;
		h->uploads = 1;
		h->n_volume = w->n;
		rc = rc ? rc : host_open(h);
	}
	free(fill);
	return rc;
}

int upload_run(const struct bench *b, const struct workload *w, struct sample *out)
{
	struct host *h = calloc(1, sizeof *h);
	uint64_t bytes = (b->small ? 32 : 2048) * MIB;
	bytes = b->store && !b->small ? 1024 * MIB : bytes;
	int rc = h ? begin_uploads(h, b, w, bytes) : bench_fail(w->name);
	if (rc == 0) {
		double cpu = cpu_seconds();
		uint64_t begin = now_ns();
		rc = host_flush(h->engine, h->volume[0]);
		out->seconds = (double)(now_ns() - begin) / 1e9;
		out->cpu_s = cpu_seconds() - cpu;
		out->records = host_metric(h, "firn_segment_puts", "");
		out->bytes = bytes;
		out->requests_per_gib = (double)(out->records +
		                                 host_metric(h, "firn_manifest_puts", "")) *
		                        ((double)segment_of(b) * 16) / (double)bytes;
	}
	if (h) {
		(void)host_close(h, FIRN_DETACH_ABORT);
		host_remove(h);
	}
	free(h);
	return rc;
}

struct beside {
	struct host *h;
	const uint8_t *noise;
};

/* One append; none once the uploads have ended. */
static int append_one(void *ctx, unsigned caller, uint64_t i)
{
	struct beside *s = ctx;
	struct firn_volume_info info = { .struct_size = sizeof info };
	struct firn_error err = FIRN_ERROR_INIT;
	(void)caller;
	if (i % 64 == 63 && !firn_volume_info(s->h->volume[0], &info) && !info.unstored_bytes)
		return 1;
	int rc = firn_stream_append(s->h->volume[1], s->h->stream[1], s->noise, 1024, 1, 0, NULL,
	                            &err);
	return rc ? host_fail("append", rc, &err) : 0;
}

int append_beside_run(const struct bench *b, const struct workload *w, struct sample *out)
{
	struct host *h = calloc(1, sizeof *h);
	struct beside s = { h, scratch_noise(1024) };
	int rc = h && s.noise ? begin_uploads(h, b, w, (b->small ? 32 : 2048) * MIB)
	                      : bench_fail(w->name);
	struct callers c = { 1, b->seconds, 1024, append_one, &s };
	rc = rc ? rc : callers_run(&c, out);
	if (h) {
		(void)host_close(h, FIRN_DETACH_ABORT);
		host_remove(h);
	}
	free((void *)(uintptr_t)s.noise);
	free(h);
	return rc;
}
