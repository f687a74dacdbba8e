/* An engine that only looks, beside one that writes, trims, merges layers and deletes behind its back: a tail over all
 * streams, cuts asked for and compared, a volume that comes and goes at both. Offsets are dense, bytes are what was
 * written, cuts never go back and are whole; in the end it shows all of it. Plain main, for ThreadSanitizer. (P2, P10) */
#include <firn/firn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { STREAMS = 3, LEN = 300 };

#define MUST(x)                                                                 \
	do {                                                                    \
		if (!(x)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x); \
			abort();                                                \
		}                                                               \
	} while (0)

static struct firn_engine *writes, *looks;
static struct firn_volume *volume, *seen;
static uint64_t stream[STREAMS];
static char dir[64], uri[96];
static time_t end_at;

static bool goes_on(void)
{
	return time(NULL) < end_at;
}

static void payload(uint32_t s, uint64_t offset, uint8_t out[LEN])
{
	memset(out, (int)(offset * 7 + s), LEN);
	memcpy(out, &offset, sizeof offset);
}

static void check_batch(uint32_t s, const struct firn_batch *b, uint64_t offset)
{
	uint8_t want[LEN];
	payload(s, offset, want);
	MUST(b->offset == offset && b->len == LEN && !memcmp(b->data, want, LEN));
}

/* ---- who writes */

/* A record, and a pair that says how many there are: one write. */
static void append(struct firn_volume *v, uint32_t s, uint64_t n)
{
	uint8_t data[LEN];
	struct iovec iov = { data, LEN };
	char key = (char)('a' + s);
	struct firn_op op[2] = {
		{ .kind = FIRN_OP_APPEND, .flags = FIRN_APPEND_EXPECT, .stream = stream[s] },
		{ .kind = FIRN_OP_KV_PUT }
	};
	struct firn_write w = FIRN_WRITE_INIT;
	struct firn_event ev;
	uint64_t sum = n + 1;
	payload(s, n, data);
	op[0].u.append.iov = &iov;
	op[0].u.append.n_iov = 1;
	op[0].u.append.expect = n;
	op[1].u.kv = (struct firn_op_kv){
		.key = &key, .key_len = 1, .value = &sum, .value_len = sizeof sum
	};
	w.volume = v;
	w.op = op;
	w.n_op = 2;
	MUST(!firn_engine_call(writes, &w.req, &ev, NULL));
	firn_release(ev.result);
}

static void trim(uint32_t s, uint64_t to)
{
	struct firn_op op = { .kind = FIRN_OP_TRIM, .stream = stream[s] };
	struct firn_write w = FIRN_WRITE_INIT;
	struct firn_event ev;
	op.u.range.from = to;
	w.volume = volume;
	w.op = &op;
	w.n_op = 1;
	MUST(!firn_engine_call(writes, &w.req, &ev, NULL));
	firn_release(ev.result);
}

/* Of the writer: all is stored. Of who looks: a look at the store that begins now. */
static void flush(struct firn_engine *e, struct firn_volume *v)
{
	struct firn_flush f = FIRN_FLUSH_INIT;
	struct firn_event ev;
	f.volume = v;
	f.mark = FIRN_MARK_STORED;
	MUST(!firn_engine_call(e, &f.req, &ev, NULL));
	firn_release(ev.result);
}

static void *write_main(void *arg)
{
	uint32_t s = *(uint32_t *)arg;
	for (uint64_t n = 0; goes_on(); n++) {
		append(volume, s, n);
		if (n % 64 == 63)
			trim(s, n > 200 ? n - 200 : 0);
		if (n % 100 == 99)
			flush(writes, volume);
	}
	return NULL;
}

static struct firn_volume *attach(struct firn_engine *e, const char *name, uint32_t flags)
{
	struct firn_attach a = FIRN_ATTACH_INIT;
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_event ev;
	struct firn_volume *v = NULL;
	a.store = uri;
	a.name = name;
	a.attach_flags = flags;
	int rc = firn_engine_call(e, &a.req, &ev, &err);
	if (!rc)
		v = ((const struct firn_attached *)ev.result)->volume;
	firn_release(ev.result);
	if (rc && rc != FIRN_ENOENT)
		fprintf(stderr, "%s: %s\n", firn_code_name(rc), err.text);
	MUST(v || (rc == FIRN_ENOENT && flags == FIRN_ATTACH_READ_ONLY));
	return v;
}

static void detach(struct firn_engine *e, struct firn_volume *v)
{
	struct firn_detach d = FIRN_DETACH_INIT;
	struct firn_event ev;
	d.volume = v;
	MUST(!firn_engine_call(e, &d.req, &ev, NULL));
	firn_release(ev.result);
}

/* A volume of its own comes and goes, longer by five records each time. */
static void *move_main(void *arg)
{
	(void)arg;
	while (goes_on()) {
		struct firn_volume *v = attach(writes, "w", FIRN_ATTACH_CREATE);
		uint64_t s;
		MUST(!firn_stream_open(v, "s", &s, NULL));
		for (uint32_t i = 0; i < 5; i++)
			MUST(!firn_stream_append(v, s, "12345", 5, 1, 0, NULL, NULL));
		detach(writes, v);
	}
	return NULL;
}

/* ---- who looks */

static void set(struct firn_reader *r, uint32_t s, uint64_t at)
{
	struct firn_item it = { .slot = s, .volume = seen, .stream = stream[s], .offset = at };
	MUST(!firn_reader_set(r, &it, sizeof it, 1));
}

static void *tail_main(void *arg)
{
	struct firn_reader *r;
	uint64_t at[STREAMS] = { 0 };
	(void)arg;
	MUST(!firn_reader_open(looks, NULL, &r, NULL));
	for (uint32_t s = 0; s < STREAMS; s++)
		set(r, s, 0);
	while (goes_on()) {
		struct firn_fetch f = FIRN_FETCH_INIT;
		struct firn_event ev = { 0 };
		f.reader = r;
		f.max_wait_ms = 20;
		MUST(!firn_engine_call(looks, &f.req, &ev, NULL));
		const struct firn_fetched *got = ev.result;
		for (uint32_t i = 0; i < got->n_part; i++) {
			const struct firn_part *p = &got->part[i];
			uint32_t s = p->slot;
			MUST(!p->gap && (!p->code || p->code == FIRN_ERANGE));
			MUST(!p->code || p->start > at[s]);
			for (uint32_t k = 0; k < p->n_batch; k++)
				check_batch(s, &p->batch[k], at[s]++);
			if (p->code) /* trimmed under it */
				set(r, s, at[s] = p->start);
		}
		firn_release(got);
	}
	MUST(!firn_reader_close(r));
	return NULL;
}

static uint64_t cut(void)
{
	struct firn_volume_info info = { .struct_size = sizeof info };
	MUST(!firn_volume_info(seen, &info) && info.state == FIRN_STATE_READ_ONLY);
	return info.rev_stored;
}

/* Pairs and streams are of one cut, if it has not moved meanwhile. */
static void *ask_main(void *arg)
{
	uint64_t last = 0, next, sum[STREAMS], mark[STREAMS];
	(void)arg;
	for (uint32_t n = 0; goes_on(); n++) {
		if (n % 8 == 0)
			flush(looks, seen);
		uint64_t rev = cut();
		MUST(rev >= last);
		last = rev;
		for (uint32_t s = 0; s < STREAMS; s++) {
			char key = (char)('a' + s);
			sum[s] = 0;
			int rc = firn_kv_get(seen, 0, &key, 1, &sum[s], sizeof sum[s], NULL, NULL);
			MUST(!rc || rc == FIRN_ENOENT);
			MUST(!firn_stream_mark(seen, stream[s], FIRN_MARK_STORED, &mark[s]));
		}
		next = cut();
		for (uint32_t s = 0; s < STREAMS && next == rev; s++)
			MUST(sum[s] == mark[s]);
	}
	return NULL;
}

static void *come_main(void *arg)
{
	uint64_t was = 0, s, end;
	(void)arg;
	while (goes_on()) {
		struct firn_volume *v = attach(looks, "w", FIRN_ATTACH_READ_ONLY);
		if (!v)
			continue;
		if (!firn_stream_find(v, "s", 1, &s)) {
			MUST(!firn_stream_mark(v, s, FIRN_MARK_STORED, &end) && end >= was);
			was = end;
		}
		detach(looks, v);
	}
	return NULL;
}

/* ---- */

static struct firn_engine *open_engine(const char *sub)
{
	static const char *const options[] = { "segment_bytes=64K", "wal_file_bytes=1M",
		                               "layer_segments=3", "delete_grace_ms=2000", NULL };
	char path[96];
	struct firn_engine *e;
	struct firn_engine_opts o = { .struct_size = sizeof o,
		                      .dir = path,
		                      .wal_bytes = 32 << 20,
		                      .memory_bytes = 32 << 20,
		                      .options = options };
	(void)snprintf(path, sizeof path, "%s/%s", dir, sub);
	MUST(!firn_engine_open(&o, &e, NULL));
	return e;
}

/* All that was written, by a look that begins now. */
static void check_all(void)
{
	flush(writes, volume);
	flush(looks, seen);
	for (uint32_t s = 0; s < STREAMS; s++) {
		uint64_t at, start, end, seen_end;
		MUST(!firn_stream_mark(volume, stream[s], FIRN_MARK_START, &start));
		MUST(!firn_stream_mark(volume, stream[s], FIRN_MARK_DURABLE, &end));
		MUST(!firn_stream_mark(seen, stream[s], FIRN_MARK_START, &at) && at == start);
		MUST(!firn_stream_mark(seen, stream[s], FIRN_MARK_STORED, &seen_end));
		MUST(seen_end == end);
		while (at < end) {
			const struct firn_fetched *got;
			MUST(!firn_stream_read(seen, stream[s], at, 0, 1000, &got, NULL));
			MUST(got->n_part && got->part[0].n_batch);
			for (uint32_t k = 0; k < got->part[0].n_batch; k++)
				check_batch(s, &got->part[0].batch[k], at++);
			firn_release(got);
		}
	}
}

int main(int argc, char **argv)
{
	void *(*const run[])(void *) = { write_main, write_main, write_main, move_main,
		                         tail_main,  tail_main,  ask_main,   come_main };
	enum { THREADS = sizeof run / sizeof run[0] };
	uint32_t number[THREADS] = { 0, 1, 2 };
	pthread_t t[THREADS];
	char command[128];
	(void)snprintf(dir, sizeof dir, "/tmp/firn-follow-XXXXXX");
	MUST(mkdtemp(dir));
	(void)snprintf(uri, sizeof uri, "file://%s/store", dir);
	writes = open_engine("writes");
	looks = open_engine("looks");
	volume = attach(writes, "v", FIRN_ATTACH_CREATE);
	for (uint32_t s = 0; s < STREAMS; s++) {
		char name[8];
		(void)snprintf(name, sizeof name, "s%u", s);
		MUST(!firn_stream_open(volume, name, &stream[s], NULL));
	}
	flush(writes, volume);
	seen = attach(looks, "v", FIRN_ATTACH_READ_ONLY);
	end_at = time(NULL) + (argc > 1 ? atoi(argv[1]) : 4);
	for (uint32_t i = 0; i < THREADS; i++)
		MUST(!pthread_create(&t[i], NULL, run[i], &number[i]));
	for (uint32_t i = 0; i < THREADS; i++)
		MUST(!pthread_join(t[i], NULL));
	check_all();
	printf("cut %llu\n", (unsigned long long)cut());
	detach(looks, seen);
	detach(writes, volume);
	MUST(!firn_engine_close(looks) && !firn_engine_close(writes));
	(void)snprintf(command, sizeof command, "rm -rf %s", dir);
	return system(command) != 0;
}
