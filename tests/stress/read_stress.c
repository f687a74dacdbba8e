/* Readers against everything that moves: appends, uploads, trims, deletes, sets, cancels,
 * look-ups, a detach with fetches in flight, closes. What is read must be dense and right. Plain
 * main(), for ThreadSanitizer. (P2) */
#include <firn/firn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STREAMS = 8, RECORDS = 1500, TAG = 24 };

struct stress {
	struct firn_engine *engine;
	struct firn_volume *volume;
	uint64_t stream[STREAMS];
	atomic_bool done;
	atomic_ullong batches, cancelled, ranges;
};

static void must(int ok, const char *what, int code)
{
	if (ok)
		return;
	fprintf(stderr, "read_stress: %s: %s\n", what, firn_code_name(code));
	exit(1);
}

static uint64_t next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void text_of(uint64_t stream, uint64_t offset, char *out)
{
	memset(out, 0, 400);
	(void)snprintf(out, TAG, "%llx/%llu", (unsigned long long)stream,
	               (unsigned long long)offset);
}

static void check(const struct firn_part *p, uint64_t stream, uint64_t *at)
{
	char want[400];
	for (uint32_t i = 0; i < p->n_batch; i++) {
		const struct firn_batch *b = &p->batch[i];
		must(b->offset == *at, "not dense", (int)*at);
		text_of(stream, b->offset, want);
		must(b->len >= TAG && memcmp(b->data, want, TAG) == 0, "wrong bytes", 0);
		*at = b->offset + 1;
	}
	must(p->code || p->next_offset == *at, "next_offset", 0);
}

static void *writer(void *arg)
{
	struct stress *s = arg;
	struct firn_error err = FIRN_ERROR_INIT;
	uint64_t seed = 99;
	char text[400];
	for (uint64_t n = 0; n < RECORDS; n++) {
		for (int i = 0; i < STREAMS; i++) {
			uint64_t base;
			text_of(s->stream[i], n, text);
			int rc = firn_stream_append(s->volume, s->stream[i], text,
			                            TAG + next(&seed) % 370, 1, (int64_t)n + 1,
			                            &base, &err);
			must(rc == 0 && base == n, err.text, rc);
		}
	}
	s->done = true;
	return NULL;
}

static void set(struct stress *s, struct firn_reader *r, uint32_t slot, uint64_t at)
{
	struct firn_item it = {
		.slot = slot, .volume = s->volume, .stream = s->stream[slot], .offset = at
	};
	int rc = firn_reader_set(r, &it, sizeof it, 1);
	must(rc == 0, "set", rc);
}

/* Follows all streams to the end, now and then from somewhere else, now and then cancelled. */
static void *reader(void *arg)
{
	struct stress *s = arg;
	uint64_t seed = (uint64_t)(uintptr_t)&seed | 1, at[STREAMS] = { 0 }, left = STREAMS;
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_reader *r;
	struct firn_cq *cq;
	int rc = firn_reader_open(s->engine, NULL, &r, &err);
	must(rc == 0, err.text, rc);
	rc = firn_cq_open(s->engine, NULL, &cq, &err);
	must(rc == 0, err.text, rc);
	for (uint32_t i = 0; i < STREAMS; i++)
		set(s, r, i, 0);
	while (left) {
		struct firn_fetch f = FIRN_FETCH_INIT;
		const struct firn_req *req = &f.req;
		struct firn_event ev;
		uint64_t dice = next(&seed);
		f.reader = r;
		f.req.cq = cq;
		f.req.user_data = 1;
		f.max_wait_ms = 20;
		f.max_bytes = (uint32_t)(dice % 20000 + 400);
		f.min_bytes = (uint32_t)(dice >> 20) % 2000;
		f.req.flags = dice >> 40 & 15 ? 0 : FIRN_FETCH_CACHED;
		must(firn_engine_submit(s->engine, &req, 1, &err) == 1, err.text, err.code);
		if ((dice >> 50) % 32 == 0)
			(void)firn_engine_cancel(s->engine, cq, 1);
		while (firn_cq_reap(cq, &ev, sizeof ev, 1, 1000) == 0)
			;
		s->cancelled += ev.code == FIRN_ECANCELED;
		must(ev.code == 0 || ev.code == FIRN_ECANCELED || ev.code == FIRN_EAGAIN, "fetch",
		     ev.code);
		const struct firn_fetched *got = ev.code ? NULL : ev.result;
		for (uint32_t i = 0; got && i < got->n_part; i++) {
			const struct firn_part *p = &got->part[i];
			if (p->code == FIRN_ERANGE && at[p->slot] < p->start) {
				s->ranges++;
				at[p->slot] = p->start;
				set(s, r, p->slot, p->start);
				continue;
			}
			must(p->code == 0, "part", p->code);
			check(p, s->stream[p->slot], &at[p->slot]);
			s->batches += p->n_batch;
		}
		firn_release(ev.result);
		left = 0;
		for (uint32_t i = 0; i < STREAMS; i++)
			left += at[i] < RECORDS;
		if ((dice >> 56) % 64 == 0 && left) { /* somewhere else */
			uint32_t slot = (uint32_t)(dice >> 30) % STREAMS;
			if (at[slot] < RECORDS) {
				at[slot] -= at[slot] / 8;
				set(s, r, slot, at[slot]);
			}
		}
	}
	firn_reader_close(r);
	must(firn_cq_close(cq) == 0, "cq", 0);
	return NULL;
}

static void trim(struct stress *s, uint64_t stream, uint64_t to)
{
	struct firn_op op = { .kind = FIRN_OP_TRIM, .stream = stream };
	struct firn_write w = FIRN_WRITE_INIT;
	struct firn_event ev;
	struct firn_error err = FIRN_ERROR_INIT;
	op.u.range.from = to;
	w.volume = s->volume;
	w.op = &op;
	w.n_op = 1;
	int rc = firn_engine_call(s->engine, &w.req, &ev, &err);
	must(rc == 0 || rc == FIRN_ERANGE, err.text, rc);
	firn_release(ev.result);
}

/* Trims, stores, looks up, and lets readers come and go. */
static void *disturber(void *arg)
{
	struct stress *s = arg;
	struct firn_error err = FIRN_ERROR_INIT;
	uint64_t seed = 4711;
	while (!s->done) {
		uint64_t dice = next(&seed), i = dice % STREAMS, mark = 0;
		struct firn_lookup l = FIRN_LOOKUP_INIT;
		struct firn_event ev;
		must(firn_stream_mark(s->volume, s->stream[i], FIRN_MARK_VISIBLE, &mark) == 0,
		     "mark", 0);
		if (i < 2)
			trim(s, s->stream[i], mark - mark / 16);
		l.volume = s->volume;
		l.stream = s->stream[i];
		l.value = (int64_t)(mark / 2 + 1);
		int rc = firn_engine_call(s->engine, &l.req, &ev, &err);
		must(rc == FIRN_ENOENT || (rc == 0 && (i < 2 ? ev.timestamp_ms >= l.value
		                                             : ev.timestamp_ms == l.value)),
		     "look-up", rc);
		firn_release(ev.result);
		const struct firn_fetched *got;
		rc = firn_stream_read(s->volume, s->stream[i], mark / 2, 2000, 0, &got, &err);
		must(rc == 0 || rc == FIRN_ERANGE, err.text, rc);
		firn_release(got);
	}
	return NULL;
}

/* Fetches in flight while their volume goes. */
static void detach_under_fetches(struct stress *s)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_reader *r[4];
	struct firn_cq *cq;
	struct firn_event ev;
	must(firn_cq_open(s->engine, NULL, &cq, &err) == 0, err.text, err.code);
	for (uint64_t i = 0; i < 4; i++) {
		struct firn_fetch f = FIRN_FETCH_INIT;
		const struct firn_req *req = &f.req;
		must(firn_reader_open(s->engine, NULL, &r[i], &err) == 0, err.text, err.code);
		for (uint32_t k = 0; k < STREAMS; k++)
			set(s, r[i], k, RECORDS);
		f.reader = r[i];
		f.req.cq = cq;
		f.max_wait_ms = FIRN_FOREVER;
		must(firn_engine_submit(s->engine, &req, 1, &err) == 1, err.text, err.code);
	}
	must(firn_volume_close(s->volume, &err) == 0, err.text, err.code);
	for (int i = 0; i < 4; i++) {
		must(firn_cq_reap(cq, &ev, sizeof ev, 1, 10000) == 1, "no event", 0);
		must(ev.code == FIRN_ECANCELED, "detach", ev.code);
		firn_release(ev.result);
	}
	for (int i = 0; i < 4; i++)
		firn_reader_close(r[i]);
	must(firn_cq_close(cq) == 0, "cq", 0);
}

static void make_streams(struct stress *s)
{
	struct firn_error err = FIRN_ERROR_INIT;
	for (int i = 0; i < STREAMS; i++) {
		char name[16];
		(void)snprintf(name, sizeof name, "s%d", i);
		int rc = firn_stream_open(s->volume, name, &s->stream[i], &err);
		must(rc == 0, err.text, rc);
	}
}

int main(void)
{
	static struct stress s;
	static const char *const options[] = { "segment_bytes=256K", "wal_file_bytes=1M", NULL };
	char dir[] = "/tmp/firn-read-stress-XXXXXX", uri[80], command[80];
	struct firn_error err = FIRN_ERROR_INIT;
	pthread_t t[5];
	must(mkdtemp(dir) != NULL, "mkdtemp", 0);
	(void)snprintf(uri, sizeof uri, "file://%s/store", dir);
	struct firn_engine_opts o = { .struct_size = sizeof o,
		                      .dir = dir,
		                      .wal_bytes = 16 << 20,
		                      .memory_bytes = 16 << 20,
		                      .tail_bytes = 1 << 20,
		                      .cache_bytes = 1 << 20,
		                      .options = options };
	must(firn_engine_open(&o, &s.engine, &err) == 0, err.text, err.code);
	must(firn_volume_open(s.engine, uri, "v", &s.volume, &err) == 0, err.text, err.code);
	make_streams(&s);
	for (int i = 0; i < 5; i++)
		must(pthread_create(&t[i], NULL,
		                    i == 0   ? writer
		                    : i == 1 ? disturber
		                             : reader,
		                    &s) == 0,
		     "thread", 0);
	for (int i = 0; i < 5; i++)
		pthread_join(t[i], NULL);
	detach_under_fetches(&s);
	int rc = firn_engine_close(s.engine);
	must(rc == 0, "close", rc);
	(void)snprintf(command, sizeof command, "rm -rf %s", dir);
	must(system(command) == 0, "rm", 0);
	printf("batches %llu, cancelled %llu, set anew %llu\n", (unsigned long long)s.batches,
	       (unsigned long long)s.cancelled, (unsigned long long)s.ranges);
	return 0;
}
