/* One engine, many threads, five seconds: appends, reads, trims, pairs, flushes, look-ups, lists, volumes
 * that come and go. Each append says who wrote it and at which offset, so that a reader needs no model but
 * the bytes; at the end the engine is opened again and all must be there. Plain main, for ThreadSanitizer.
 * (P2) */
#include <firn/firn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { STREAMS = 6, BATCH = 64 };

#define MUST(x)                                                                 \
	do {                                                                    \
		if (!(x)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x); \
			abort();                                                \
		}                                                               \
	} while (0)

static struct firn_engine *engine;
static struct firn_volume *volume;
static uint64_t stream[STREAMS];
static atomic_ullong acked[STREAMS], trimmed[STREAMS];
static char dir[64], uri[96];
static time_t end_at;

static bool goes_on(void)
{
	return time(NULL) < end_at;
}

/* What stands at an offset of a stream: known to whoever reads it. */
static size_t payload(uint32_t s, uint64_t offset, uint8_t out[600])
{
	size_t len = 40 + (offset * 37 + s * 11) % 500;
	memset(out, (int)(offset * 7 + s), len);
	memcpy(out, &offset, 8);
	memcpy(out + 8, &s, 4);
	return len;
}

static void check_batch(uint32_t s, const struct firn_batch *b)
{
	uint8_t want[600];
	size_t len = payload(s, b->offset, want);
	MUST(b->len == len && !memcmp(b->data, want, len));
}

/* Appends to its own streams, many in flight, with the offset expected: any gap or double is refused. */
static void *append_main(void *arg)
{
	uint32_t s = *(uint32_t *)arg;
	struct firn_cq *cq;
	uint64_t next = 0, done = 0;
	MUST(!firn_cq_open(engine, NULL, &cq, NULL));
	while (goes_on() || done < next) {
		while (next < done + BATCH && goes_on()) {
			uint8_t data[600];
			struct iovec iov = { data, payload(s, next, data) };
			struct firn_op op = { .kind = FIRN_OP_APPEND,
				              .flags = FIRN_APPEND_EXPECT,
				              .stream = stream[s] };
			op.u.append.iov = &iov;
			op.u.append.n_iov = 1;
			op.u.append.expect = next;
			struct firn_write w = FIRN_WRITE_INIT;
			struct firn_error err = FIRN_ERROR_INIT;
			const struct firn_req *req = &w.req;
			w.volume = volume;
			w.op = &op;
			w.n_op = 1;
			w.req.cq = cq;
			if (firn_engine_submit(engine, &req, 1, &err) != 1) {
				MUST(err.code == FIRN_EFULL || err.code == FIRN_EAGAIN);
				break;
			}
			next++;
		}
		struct firn_event ev[BATCH];
		int n = firn_cq_reap(cq, ev, sizeof ev[0], BATCH, 20);
		for (int i = 0; i < n; i++) {
			firn_release(ev[i].result);
			if (ev[i].kind == FIRN_EV_WRITABLE)
				continue;
			MUST(ev[i].code == 0 && ev[i].offset == done);
			atomic_store(&acked[s], ++done);
		}
	}
	MUST(!firn_cq_close(cq));
	return NULL;
}

/* Follows all streams with one reader; what is acked is seen in order, no offset twice, none left out. */
static void *read_main(void *arg)
{
	struct firn_reader *r;
	uint64_t at[STREAMS] = { 0 };
	(void)arg;
	MUST(!firn_reader_open(engine, NULL, &r, NULL));
	for (uint32_t s = 0; s < STREAMS; s++) {
		struct firn_item it = { .slot = s, .volume = volume, .stream = stream[s] };
		MUST(!firn_reader_set(r, &it, sizeof it, 1));
	}
	while (goes_on()) {
		struct firn_fetch f = FIRN_FETCH_INIT;
		struct firn_event ev = { 0 };
		f.reader = r;
		f.max_wait_ms = 20;
		MUST(!firn_engine_call(engine, &f.req, &ev, NULL));
		const struct firn_fetched *got = ev.result;
		for (uint32_t i = 0; i < got->n_part; i++) {
			const struct firn_part *p = &got->part[i];
			if (p->code == FIRN_ERANGE) { /* trimmed under us */
				struct firn_item it = { .slot = p->slot,
					                .volume = volume,
					                .stream = stream[p->slot],
					                .offset = p->start };
				MUST(p->start > at[p->slot] &&
				     !firn_reader_set(r, &it, sizeof it, 1));
				at[p->slot] = p->start;
				continue;
			}
			MUST(p->code == 0 && p->gap == 0);
			for (uint32_t k = 0; k < p->n_batch; k++) {
				MUST(p->batch[k].offset == at[p->slot]++);
				check_batch(p->slot, &p->batch[k]);
			}
		}
		firn_release(got);
	}
	MUST(!firn_reader_close(r));
	return NULL;
}

static int write_op(struct firn_volume *v, struct firn_op op, struct firn_event *ev)
{
	struct firn_write w = FIRN_WRITE_INIT;
	w.volume = v;
	w.op = &op;
	w.n_op = 1;
	int rc = firn_engine_call(engine, &w.req, ev, NULL);
	firn_release(ev->result);
	return rc;
}

/* Trims, counts in a pair by its revision, flushes. */
static void *trim_main(void *arg)
{
	uint64_t n = 0, rev = 0;
	struct firn_event ev;
	(void)arg;
	for (uint32_t i = 0; goes_on(); i++) {
		uint32_t s = i % STREAMS;
		uint64_t to = atomic_load(&acked[s]);
		struct firn_op trim = { .kind = FIRN_OP_TRIM, .stream = stream[s] };
		trim.u.range.from = to > 500 ? to - 500 : 0;
		MUST(!write_op(volume, trim, &ev));
		atomic_store(&trimmed[s], trim.u.range.from);
		n++;
		struct firn_op put = { .kind = FIRN_OP_KV_PUT,
			               .flags = rev ? FIRN_KV_IF_REV : FIRN_KV_IF_ABSENT };
		put.u.kv = (struct firn_op_kv){
			.key = "n", .key_len = 1, .value = &n, .value_len = 8, .rev = rev
		};
		MUST(!write_op(volume, put, &ev));
		rev = ev.rev;
		uint64_t back = 0, back_rev = 0;
		MUST(!firn_kv_get(volume, 0, "n", 1, &back, 8, NULL, &back_rev));
		MUST(back == n && back_rev == rev);
		if (i % 16 == 0) {
			struct firn_flush f = FIRN_FLUSH_INIT;
			f.volume = volume;
			f.mark = FIRN_MARK_STORED;
			MUST(!firn_engine_call(engine, &f.req, &ev, NULL));
		}
	}
	return NULL;
}

/* A volume of its own comes and goes; each time all that was acked in it is there. */
static void *move_main(void *arg)
{
	char name[16];
	uint64_t n = 0;
	(void)snprintf(name, sizeof name, "moves-%u", *(uint32_t *)arg);
	for (uint32_t i = 0; goes_on(); i++) {
		struct firn_volume *v;
		struct firn_error err = FIRN_ERROR_INIT;
		struct firn_event ev;
		uint64_t s, base, durable;
		int rc = firn_volume_open(engine, uri, name, &v, &err);
		if (rc)
			fprintf(stderr, "%s: %s\n", firn_code_name(rc), err.text);
		MUST(!rc && !firn_stream_open(v, "s", &s, &err));
		MUST(!firn_stream_mark(v, s, FIRN_MARK_DURABLE, &durable) && durable == n);
		for (int k = 0; k < 5; k++, n++) {
			uint8_t data[600];
			size_t len = payload(9, n, data);
			MUST(!firn_stream_append(v, s, data, len, 1, 0, &base, &err) && base == n);
		}
		const struct firn_fetched *got;
		MUST(!firn_stream_read(v, s, n - 5, 0, 0, &got, &err) && got->part[0].n_batch >= 1);
		check_batch(9, &got->part[0].batch[0]);
		firn_release(got);
		struct firn_detach d = FIRN_DETACH_INIT;
		d.volume = v;
		d.mode = i % 3;
		MUST(!firn_engine_call(engine, &d.req, &ev, &err));
		firn_release(ev.result);
	}
	return NULL;
}

static void *look_main(void *arg)
{
	(void)arg;
	while (goes_on()) {
		struct firn_stream_info info[16];
		struct firn_volume_info vi = { .struct_size = sizeof vi };
		const struct firn_metrics *m;
		const struct firn_kv_page *page;
		MUST(firn_stream_list(volume, NULL, NULL, info, sizeof info[0], 16) == STREAMS);
		MUST(!firn_volume_info(volume, &vi) && vi.rev_stored <= vi.rev_durable);
		MUST(!firn_engine_metrics(engine, &m));
		firn_release(m);
		MUST(!firn_kv_scan(volume, FIRN_STREAM_ALL, NULL, 0, NULL, 0, 0, &page));
		firn_release(page);
		struct firn_lookup l = FIRN_LOOKUP_INIT;
		struct firn_event ev;
		l.volume = volume;
		l.stream = stream[0];
		l.by = FIRN_BY_MAX_TIMESTAMP;
		int rc = firn_engine_call(engine, &l.req, &ev, NULL);
		firn_release(ev.result);
		MUST(rc == 0 || rc == FIRN_ENOENT);
	}
	return NULL;
}

static void open_all(void)
{
	static const char *const options[] = { "segment_bytes=256K", "wal_file_bytes=1M", NULL };
	struct firn_engine_opts o = { .struct_size = sizeof o,
		                      .dir = dir,
		                      .wal_bytes = 32 << 20,
		                      .memory_bytes = 32 << 20,
		                      .options = options };
	struct firn_error err = FIRN_ERROR_INIT;
	int rc = firn_engine_open(&o, &engine, &err);
	rc = rc ? rc : firn_volume_open(engine, uri, "v", &volume, &err);
	if (rc)
		fprintf(stderr, "%s: %s\n", firn_code_name(rc), err.text);
	MUST(!rc);
	for (uint32_t s = 0; s < STREAMS; s++) {
		char name[8];
		(void)snprintf(name, sizeof name, "s%u", s);
		MUST(!firn_stream_open(volume, name, &stream[s], &err));
	}
}

static void check_all(void)
{
	for (uint32_t s = 0; s < STREAMS; s++) {
		uint64_t at, end;
		MUST(!firn_stream_mark(volume, stream[s], FIRN_MARK_START, &at));
		MUST(!firn_stream_mark(volume, stream[s], FIRN_MARK_DURABLE, &end));
		MUST(at == atomic_load(&trimmed[s]) && end == atomic_load(&acked[s]));
		while (at < end) {
			const struct firn_fetched *got;
			MUST(!firn_stream_read(volume, stream[s], at, 0, 1000, &got, NULL));
			const struct firn_part *p = &got->part[0];
			uint32_t k = 0; /* the first batch may lie below what was asked for */
			for (; k < p->n_batch; k++, at++) {
				MUST(p->batch[k].offset == at);
				check_batch(s, &p->batch[k]);
			}
			MUST(k);
			firn_release(got);
		}
	}
}

int main(int argc, char **argv)
{
	void *(*const run[])(void *) = { append_main, append_main, append_main,
		                         read_main,   read_main,   trim_main,
		                         move_main,   move_main,   look_main };
	enum { THREADS = sizeof run / sizeof run[0] };
	uint32_t number[THREADS] = { 0, 1, 2, 0, 0, 0, 0, 1, 0 };
	pthread_t t[THREADS];
	char command[128];
	(void)snprintf(dir, sizeof dir, "/tmp/firn-api-XXXXXX");
	MUST(mkdtemp(dir));
	(void)snprintf(uri, sizeof uri, "file://%s/store", dir);
	open_all();
	end_at = time(NULL) + (argc > 1 ? atoi(argv[1]) : 5);
	for (uint32_t i = 0; i < THREADS; i++)
		MUST(!pthread_create(&t[i], NULL, run[i], &number[i]));
	for (uint32_t i = 0; i < THREADS; i++)
		MUST(!pthread_join(t[i], NULL));
	check_all();
	MUST(!firn_volume_close(volume, NULL) && !firn_engine_close(engine));
	open_all();
	check_all();
	MUST(!firn_volume_close(volume, NULL) && !firn_engine_close(engine));
	printf("acked %llu %llu %llu\n", (unsigned long long)acked[0], (unsigned long long)acked[1],
	       (unsigned long long)acked[2]);
	(void)snprintf(command, sizeof command, "rm -rf %s", dir);
	return system(command) != 0;
}
