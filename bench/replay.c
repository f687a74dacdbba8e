/* Replay: readers that follow 16 streams from their beginning.
 *
 *   from the cache   data that fits in memory, round and round, after one pass that warms it
 *   from the store   data drained to file:, a new engine with an empty cache, one pass
 *
 * "Copied out" copies what is handed out into a buffer that stays in the CPU's cache, which is what
 * the memcpy baseline does and what a consumer that sends or parses has to do at least. */
#include "bench/host.h"
#include <stdlib.h>
#include <string.h>

enum { STREAMS = 16, FETCH_BYTES = 4 << 20, READERS = 8 };

struct cursor {
	struct firn_reader *reader;
	uint64_t left; /* bytes to the end of the streams */
	uint64_t bytes, batches;
	uint8_t *copy; /* 1 MiB, or NULL: do not touch the bytes */
};

struct replay {
	struct host h;
	uint64_t total;
	int again; /* at the end, begin anew */
	struct cursor cursor[READERS];
};

static int rewind_cursor(struct replay *r, struct cursor *c)
{
	struct firn_item item[STREAMS];
	memset(item, 0, sizeof item);
	for (unsigned i = 0; i < STREAMS; i++) {
		item[i].slot = i;
		item[i].volume = r->h.volume[0];
		item[i].stream = r->h.stream[i];
	}
	c->left = r->total;
	int rc = firn_reader_set(c->reader, item, sizeof item[0], STREAMS);
	return rc ? host_fail("reader", rc, NULL) : 0;
}

static void copy_out(const struct firn_part *p, uint8_t *to)
{
	for (uint32_t i = 0; i < p->n_iov; i++) {
		const uint8_t *from = p->iov[i].iov_base;
		for (size_t at = 0; at < p->iov[i].iov_len; at += 1 << 20) {
			size_t n = p->iov[i].iov_len - at;
			memcpy(to, from + at, n < 1 << 20 ? n : 1 << 20);
			__asm__ volatile("" : : "r"(to) : "memory"); /* the copy is wanted */
		}
	}
}

static int take(struct cursor *c, const struct firn_fetched *got)
{
	const uint8_t *at = (const uint8_t *)got->part;
	for (uint32_t i = 0; i < got->n_part; i++, at += got->part_size) {
		const struct firn_part *p = (const struct firn_part *)at;
		if (p->code)
			return host_fail("part", p->code, NULL);
		c->batches += p->n_batch;
		if (c->copy)
			copy_out(p, c->copy);
	}
	if (got->bytes == 0 || got->bytes > c->left)
		return host_fail("replay: other bytes than were appended", FIRN_ECORRUPT, NULL);
	c->bytes += got->bytes;
	c->left -= got->bytes;
	return 0;
}

static int fetch_one(void *ctx, unsigned caller, uint64_t i)
{
	struct replay *r = ctx;
	struct cursor *c = &r->cursor[caller];
	struct firn_event ev = { 0 };
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_fetch f = FIRN_FETCH_INIT;
	(void)i;
	if (c->left == 0 && !r->again)
		return 1;
	if (c->left == 0) {
		int rc = rewind_cursor(r, c);
		if (rc)
			return rc;
	}
	f.reader = c->reader;
	f.max_bytes = FETCH_BYTES;
	f.max_wait_ms = 5000;
	int rc = firn_engine_call(r->h.engine, &f.req, &ev, &err);
	rc = rc ? host_fail("fetch", rc, &err) : take(c, ev.result);
	firn_release(ev.result);
	return rc;
}

static int open_cursors(struct replay *r, unsigned n, int copy)
{
	int rc = 0;
	struct firn_reader_opts o = { .struct_size = sizeof o, .cls = FIRN_CLASS_REPLAY };
	for (unsigned i = 0; rc == 0 && i < n; i++) {
		struct firn_error err = FIRN_ERROR_INIT;
		struct cursor *c = &r->cursor[i];
		rc = firn_reader_open(r->h.engine, &o, &c->reader, &err);
		if (rc)
			return host_fail("reader", rc, &err);
		c->copy = copy ? scratch_noise(1 << 20) : NULL;
		rc = rewind_cursor(r, c);
	}
	return rc;
}

static void close_cursors(struct replay *r)
{
	for (unsigned i = 0; i < READERS; i++) {
		if (r->cursor[i].reader)
			(void)firn_reader_close(r->cursor[i].reader);
		free(r->cursor[i].copy);
	}
}

/* One pass over everything, so that the cache holds what it will. */
static int warm(struct replay *r)
{
	int rc = 0;
	while (rc == 0 && r->cursor[0].left)
		rc = fetch_one(r, 0, 0);
	r->cursor[0].bytes = r->cursor[0].batches = 0;
	return rc;
}

static uint64_t gets_sent(struct replay *r)
{
	return host_metric(&r->h, "firn_store_requests", "\"get\"");
}

static int measure(const struct bench *b, const struct workload *w, struct replay *r,
                   struct sample *out)
{
	struct callers c = { w->n, r->again ? b->seconds : 3600, 0, fetch_one, r };
	uint64_t gets = gets_sent(r);
	int rc = open_cursors(r, w->n, w->mode == REPLAY_CACHE_COPY);
	if (rc == 0 && r->again)
		rc = warm(r);
	if (rc == 0)
		rc = callers_run(&c, out);
	out->records = out->bytes = 0;
	for (unsigned i = 0; i < w->n; i++) {
		out->records += r->cursor[i].batches;
		out->bytes += r->cursor[i].bytes;
	}
	if (w->mode == REPLAY_STORE && out->bytes)
		out->requests_per_gib = (double)((gets_sent(r) - gets) << 30) / (double)out->bytes;
	close_cursors(r);
	return rc;
}

/* Appends `total` bytes; for a replay from the store also drains them and starts anew. */
static int fill(const struct workload *w, struct replay *r)
{
	struct sample *s = calloc(1, sizeof *s);
	int rc = s ? host_open(&r->h) : bench_fail("fill");
	rc = rc ? rc : host_flood(&r->h, w->bytes, 0, r->total, s);
	if (s)
		r->total = s->bytes;
	free(s);
	if (rc || w->mode != REPLAY_STORE)
		return rc;
	rc = host_close(&r->h, FIRN_DETACH_DRAIN);
	scratch_forget(r->h.dir);
	return rc ? rc : host_open(&r->h);
}

int replay_run(const struct bench *b, const struct workload *w, struct sample *out)
{
	struct replay *r = calloc(1, sizeof *r);
	int rc = r ? host_make(&r->h, b, w->name) : bench_fail(w->name);
	if (rc == 0) {
		int store = w->mode == REPLAY_STORE;
		r->total = (uint64_t)(store ? (b->small ? 32 : 1024) : b->small ? 8 : 64) << 20;
		r->again = !store;
		host_size(&r->h, r->total, w->bytes);
		/* From the store, more than the cache takes; else enough for all of it. */
		r->h.memory_bytes = (uint64_t)(store ? 512 : 1024) << 20;
		r->h.uploads = store;
		r->h.n_volume = 1;
		r->h.n_stream = STREAMS;
		rc = fill(w, r);
		rc = rc ? rc : measure(b, w, r, out);
		int closed = host_close(&r->h, FIRN_DETACH_ABORT);
		rc = rc ? rc : closed;
		host_remove(&r->h);
	}
	free(r);
	return rc;
}
