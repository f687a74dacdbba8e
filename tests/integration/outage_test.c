/* A store that is away for as long as the WAL has room (P7, P8, PROTOCOL 5): what limits the outage is the
 * disk. Memory stays in its bounds, every batch can be read at any offset meanwhile, a crash changes
 * nothing, and all of it drains when the store is back. */
#include "engine/os/env.h"
#include "engine/wal/inspect.h"
#include "tests/integration/faulty.h"
#include "tests/integration/site.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(outage, .timeout = 280);

enum { STREAMS = 2000, LINE = 16, MEMORY = 16 << 20 };

static uint64_t id[STREAMS], acked[STREAMS];

static void line_of(int stream, uint64_t offset, char out[LINE + 1])
{
	(void)snprintf(out, LINE + 1, "%05u:%09u\n", (unsigned)stream % 100000,
	               (unsigned)(offset % 1000000000));
}

static void make_streams(struct host *h)
{
	char name[STREAMS][8];
	for (int i = 0; i < STREAMS; i++) {
		(void)snprintf(name[i], sizeof name[i], "s%d", i);
		id[i] = new_stream(h, name[i]);
		acked[i] = 0;
	}
	store_all(h);
}

static void reap(struct host *h, uint64_t *in_flight, uint64_t down_to)
{
	struct firn_event ev;
	while (*in_flight > down_to) {
		cr_assert(reap_one(h, &ev, 30000), "the outcome of a write never came");
		if (ev.kind != FIRN_REQ_WRITE)
			continue;
		cr_assert_eq(ev.code, 0, "%s", firn_code_name(ev.code));
		acked[ev.user_data]++;
		--*in_flight;
	}
}

/* One batch of LINE bytes to each stream in turn, many in flight, until there is no room however long one
 * waits, or `most` are written. Returns how many were acked. */
static uint64_t fill(struct host *h, uint64_t most)
{
	uint64_t next[STREAMS], n = 0, in_flight = 0;
	memcpy(next, acked, sizeof next);
	while (n < most) {
		int i = (int)(n % STREAMS);
		char line[LINE + 1];
		struct iovec iov = { line, LINE };
		struct firn_op op = op_append(id[i], &iov);
		struct firn_error err = FIRN_ERROR_INIT;
		line_of(i, next[i], line);
		int rc = submit_ops(h, &op, 1, 0, 0, (uint64_t)i, &err);
		if (!rc) {
			in_flight++;
			next[i]++;
			n++;
			continue;
		}
		if (rc == FIRN_EAGAIN) {
			reap(h, &in_flight, in_flight / 2);
			continue;
		}
		cr_assert_eq(rc, FIRN_EFULL, "%s", err.text);
		reap(h, &in_flight, 0);
		rc = write_if_room(h, op);
		if (rc) {
			cr_assert_eq(rc, FIRN_ETIMEDOUT, "%s", firn_code_name(rc));
			break;
		}
		next[i]++;
		acked[i]++;
		n++;
	}
	reap(h, &in_flight, 0);
	return n;
}

static void reads_from(struct host *h, int i, uint64_t from)
{
	char *all = NULL, line[LINE + 1];
	int rc = read_stream(h, id[i], from, &all);
	cr_assert_eq(rc, 0, "stream %d from %llu: %s", i, (unsigned long long)from,
	             firn_code_name(rc));
	cr_assert_eq(strlen(all), (acked[i] - from) * LINE, "stream %d from %llu: %zu bytes", i,
	             (unsigned long long)from, strlen(all));
	for (uint64_t k = from; k < acked[i]; k++) {
		line_of(i, k, line);
		cr_assert(!memcmp(all + (k - from) * LINE, line, LINE), "stream %d, offset %llu", i,
		          (unsigned long long)k);
	}
	free(all);
}

/* Whole streams here and there, and single offsets anywhere. */
static void reads(struct host *h, int step)
{
	for (int i = 0; i < STREAMS; i += step) {
		reads_from(h, i, 0);
		reads_from(h, i + 1, acked[i + 1] * (uint64_t)(i % 7) / 7);
	}
}

static void begin(struct site *s, struct host *h)
{
	site_make(s);
	host_init(h, s, "a");
	h->opts.wal_bytes = 64 << 20;
	h->opts.memory_bytes = MEMORY;
}

/* Where a batch with a certain time lies, when all is in the WAL. */
static void looks_up(struct host *h, int i)
{
	struct firn_lookup l = FIRN_LOOKUP_INIT;
	struct firn_event ev = { 0 };
	l.volume = h->volume;
	l.stream = id[i];
	l.by = FIRN_BY_EPOCH;
	l.value = 1 << 20;
	cr_assert_eq(firn_engine_call(h->engine, &l.req, &ev, NULL), 0);
	cr_expect_eq(ev.end, acked[i], "the newest of the epoch");
	firn_release(ev.result);
}

Test(outage, tiny_records_of_many_streams_cost_disk_and_not_memory)
{
	struct site s;
	struct host h;
	struct faulty f;
	begin(&s, &h);
	site_uri_mortal(&s, "store", s.uri, sizeof s.uri);
	faulty_init(&f, env_default());
	h.opts.env = &f.env;
	host_start(&h);
	make_streams(&h);
	long long before = atomic_load(&f.live_bytes);
	site_store_leaves(&s, "store");
	uint64_t n = fill(&h, UINT64_MAX);
	/* A record takes 200 bytes and a place; a share of the WAL stays free. */
	cr_expect_gt(n * 200, h.opts.wal_bytes / 2, "%llu records only", (unsigned long long)n);
	cr_expect_gt(metric_of(h.engine, "firn_wal_directories", ""), 20);
	cr_expect_lt(metric_of(h.engine, "firn_place_bytes", ""), MEMORY / 8);
	reads(&h, 101);
	looks_up(&h, 7);
	cr_expect_leq(atomic_load(&f.peak_bytes) - before, MEMORY, "memory is bounded: %lld",
	              (long long)(atomic_load(&f.peak_bytes) - before));
	cr_log_info("%llu records, %llu directories, %llu KiB of places, peak %lld KiB",
	            (unsigned long long)n,
	            (unsigned long long)metric_of(h.engine, "firn_wal_directories", ""),
	            (unsigned long long)metric_of(h.engine, "firn_place_bytes", "") >> 10,
	            (long long)(atomic_load(&f.peak_bytes) - before) >> 10);
	site_store_returns(&s, "store");
	store_all(&h);
	reads(&h, 401);
	host_stop(&h, FIRN_DETACH_DRAIN);
	cr_expect_eq(atomic_load(&f.live), 0);
	site_remove(&s);
}

/* ---- a crash in between ---- */

static void state_path(const struct site *s, char out[100])
{
	(void)snprintf(out, 100, "%s/state", s->dir);
}

static void fill_and_die(void *arg)
{
	struct host *h = arg;
	char path[100];
	host_start(h);
	make_streams(h);
	(void)fill(h, 100000);
	state_path(h->site, path);
	FILE *to = fopen(path, "w");
	cr_assert(to && fwrite(id, sizeof id, 1, to) == 1 && fwrite(acked, sizeof acked, 1, to));
	(void)fclose(to);
}

static uint64_t number_at(const char *p, int bytes)
{
	uint64_t v = 0;
	for (int i = bytes; i-- > 0;)
		v = v << 8 | (uint8_t)p[i];
	return v;
}

/* Flips a bit in every directory of a WAL file, in turn in its first and in its last page. How many. */
static int damage_directories(const char *path)
{
	static char page[4096];
	FILE *f = fopen(path, "r+");
	int n = 0;
	cr_assert(f);
	for (long pos = 4096; !fseek(f, pos, SEEK_SET) && fread(page, sizeof page, 1, f) == 1;) {
		uint64_t used = number_at(page + 64, 4);
		if (memcmp(page, "FIRNGRP1", 8) || !used) /* the end of it */
			break;
		long end = pos + (long)((used + 4095) & ~UINT64_C(4095));
		if (number_at(page + 128 + 8, 2) == 7) {
			long at = n++ % 2 ? pos + 40 : end - 4096 + 4;
			int c = fseek(f, at, SEEK_SET) ? EOF : fgetc(f);
			cr_assert(c != EOF && !fseek(f, at, SEEK_SET) && fputc(c ^ 4, f) != EOF);
		}
		pos = end;
	}
	(void)fclose(f);
	return n;
}

static void restart(bool damage)
{
	struct site s;
	struct host h;
	char path[100], *list;
	int n = 0;
	begin(&s, &h);
	h.opts.options = (const char *const[]){ "segment_bytes=1G", "upload_interval_ms=1000000",
		                                NULL };
	crash_after(fill_and_die, &h);
	state_path(&s, path);
	FILE *from = fopen(path, "r");
	cr_assert(from && fread(id, sizeof id, 1, from) && fread(acked, sizeof acked, 1, from));
	(void)fclose(from);
	list = site_ask(&s, "ls a/wal/*.wal");
	for (char *at = strtok(list, "\n"); at && damage; at = strtok(NULL, "\n")) {
		char file[200];
		(void)snprintf(file, sizeof file, "%s/%s", s.dir, at);
		n += damage_directories(file);
	}
	free(list);
	cr_expect(!damage || n > 8, "%d directories", n);
	host_start(&h);
	cr_expect_lt(metric_of(h.engine, "firn_place_bytes", ""), MEMORY / 8);
	reads(&h, damage ? 667 : 101);
	looks_up(&h, 8);
	store_all(&h);
	reads(&h, 401);
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_remove(&s);
}

Test(outage, a_crash_leaves_all_of_it_readable)
{
	restart(false);
}

Test(outage, damaged_directories_cost_time_and_nothing_else)
{
	restart(true);
}

/* ---- two of the same offsets ---- */

/* A acks a batch that nobody else has heard of; B took the volume from a copy and goes on without it. */
static void abandons_one(struct host *a, struct host *b)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_volume *v;
	host_start(a);
	make_streams(a);
	/* A file that is recycled meanwhile is not found any more. */
	site_run(a->site, "until cp -a a b 2>/dev/null; do rm -rf b; done");
	v = a->volume;
	cr_expect_eq(say(a, id[0], "from another life"), 0);
	host_attach(a, "w");
	(void)new_stream(a, "keeps the file");
	cr_assert_eq(host_detach(a, v, FIRN_DETACH_ABORT, &err), 0, "%s", err.text);
	host_stop(a, FIRN_DETACH_ABORT);
	host_open(b);
	cr_assert_eq(host_try_attach(b, "v", 0, "moved", &b->volume, &err), 0, "%s", err.text);
	(void)say(b, id[STREAMS - 1], "one");
	host_stop(b, FIRN_DETACH_DRAIN);
}

Test(outage, what_a_fenced_writer_left_in_the_wal_is_not_read_for_what_came_after)
{
	struct site s;
	struct host a, b;
	char *all = NULL;
	begin(&s, &a);
	host_init(&b, &s, "b");
	a.opts.options = (const char *const[]){ "segment_bytes=1G", "upload_interval_ms=1000000",
		                                NULL };
	abandons_one(&a, &b);
	host_start(&a);
	(void)fill(&a, 100000);
	cr_assert_eq(read_stream(&a, id[0], 0, &all), 0);
	cr_expect(!strncmp(all, "00000:000000000", 15), "%.40s", all);
	free(all);
	reads_from(&a, 0, 0);
	looks_up(&a, 0);
	host_stop(&a, FIRN_DETACH_ABORT);
	site_remove(&s);
}

/* ---- many openings ---- */

static void say_and_die(void *arg)
{
	struct host *h = arg;
	host_start(h);
	uint64_t s = new_stream(h, "s");
	say(h, s, "1");
}

static void open_and_die(void *arg)
{
	host_open(arg);
}

static int n_files(const struct site *s)
{
	char *n = site_ask(s, "ls a/wal/*.wal | wc -l");
	int files = atoi(n);
	free(n);
	return files;
}

static void add_text(void *arg, const char *text)
{
	(void)strncat(arg, text, 500);
}

/* The first file holds what is un-stored, and is sealed: by the newest run, however old it is. */
static void still_sealed(struct host *h)
{
	static char text[8192];
	char dir[100], *path;
	struct wal_report r;
	struct firn_error err = FIRN_ERROR_INIT;
	(void)snprintf(dir, sizeof dir, "%s/wal", h->dir);
	cr_assert_eq(wal_verify(env_default(), dir, &r, NULL, NULL, &err), 0, "%s", err.text);
	wal_report_fini(&r);
	/* Its last group, which no other one follows. */
	path = site_ask(h->site, "f=$(ls a/wal/*.wal | head -1); echo -n $f;"
	                         " cp $f kept; n=$(LC_ALL=C grep -abo FIRNGRP1 $f | tail -1 |"
	                         " cut -d: -f1); printf X | dd of=$f bs=1 seek=$((n + 100))"
	                         " conv=notrunc status=none");
	cr_assert_eq(wal_verify(env_default(), dir, &r, add_text, text, &err), FIRN_ECORRUPT);
	cr_expect(strstr(text, "but the run was sealed at"), "%s", text);
	wal_report_fini(&r);
	site_run(h->site, "cp kept %s", path);
	free(path);
}

Test(outage, openings_leave_no_files_behind)
{
	struct site s;
	struct host h;
	site_make(&s);
	host_init(&h, &s, "a");
	crash_after(say_and_die, &h);
	for (int i = 0; i < 50; i++) {
		crash_after(open_and_die, &h);
		host_open(&h);
		host_close(&h);
		cr_assert_leq(n_files(&s), 4, "after %d openings: %d files", 2 * i + 2,
		              n_files(&s));
	}
	still_sealed(&h);
	host_open(&h);
	host_attach(&h, "v");
	uint64_t id_s;
	char *all;
	cr_assert_eq(firn_stream_find(h.volume, "s", 1, &id_s), 0);
	cr_assert_eq(read_stream(&h, id_s, 0, &all), 0);
	cr_expect_str_eq(all, "1");
	free(all);
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_remove(&s);
}

/* ---- many volumes ---- */

enum { VOLUMES = 300 };

static void volume_name(int i, char out[16])
{
	(void)snprintf(out, 16, "v%d", i);
}

static uint32_t table_of(const struct host *h, uint32_t *n_gone)
{
	char dir[100];
	struct wal_report r;
	struct firn_error err = FIRN_ERROR_INIT;
	(void)snprintf(dir, sizeof dir, "%s/wal", h->dir);
	cr_assert_eq(wal_verify(env_default(), dir, &r, NULL, NULL, &err), 0, "%s", err.text);
	uint32_t n = r.n_row;
	*n_gone = r.n_gone;
	wal_report_fini(&r);
	return n;
}

static char far_uri[1000]; /* a long one: long rows */

static int try_attach(struct host *h, const char *name, uint32_t flags, struct firn_error *err)
{
	struct firn_attach at = FIRN_ATTACH_INIT;
	struct firn_event ev = { 0 };
	*err = (struct firn_error)FIRN_ERROR_INIT;
	at.store = far_uri;
	at.name = name;
	at.attach_flags = flags;
	int rc = firn_engine_call(h->engine, &at.req, &ev, err);
	h->volume = rc ? NULL : ((const struct firn_attached *)ev.result)->volume;
	firn_release(ev.result);
	return rc;
}

/* A table of the rows of all volumes that ever were would fill a quarter of a file, and the next volume be
 * refused. */
static void come_and_go(struct host *h)
{
	char name[16];
	struct firn_error err = FIRN_ERROR_INIT;
	for (int i = 0; i < VOLUMES; i++) {
		volume_name(i, name);
		cr_assert_eq(try_attach(h, name, FIRN_ATTACH_CREATE, &err), 0, "%d: %s", i,
		             err.text);
		(void)say(h, new_stream(h, "s"), "1");
		cr_assert_eq(host_detach(h, h->volume, FIRN_DETACH_DRAIN, &err), 0, "%s", err.text);
	}
}

Test(outage, a_volume_that_left_leaves_the_table)
{
	struct site s;
	struct host h;
	uint32_t n_gone;
	struct firn_error err;
	uint64_t id_s;
	char *all;
	site_make_on_files(&s); /* S3 takes no prefix so long */
	host_init(&h, &s, "a");
	int len = snprintf(far_uri, sizeof far_uri, "file://%s/", s.dir);
	for (int i = 0; i < 3; i++, len += 201) {
		memset(far_uri + len, 'd', 200);
		far_uri[len + 200] = '/';
	}
	site_run(&s, "d=$(printf 'd%%.0s' $(seq 200)); mkdir -p $d/$d/$d && ln -s $d/$d/$d far");
	host_open(&h);
	come_and_go(&h);
	host_close(&h);
	cr_expect_lt(table_of(&h, &n_gone), VOLUMES / 2);
	cr_expect_gt(n_gone, VOLUMES / 2);
	/* What the rows guarded is guarded still. The first volume is among those gone. */
	host_open(&h);
	site_run(&s, "cp -a far/v0 kept0; mv far/v1 gone1");
	cr_expect_eq(try_attach(&h, "v1", FIRN_ATTACH_CREATE, &err), FIRN_ECORRUPT);
	cr_expect(strstr(err.text, "went backwards"), "%s", err.text);
	site_run(&s, "mv gone1 far/v1");
	cr_assert_eq(try_attach(&h, "v0", 0, &err), 0, "%s", err.text);
	cr_assert_eq(firn_stream_find(h.volume, "s", 1, &id_s), 0);
	say(&h, id_s, "2");
	cr_assert_eq(host_detach(&h, h.volume, FIRN_DETACH_DRAIN, &err), 0);
	host_close(&h);
	for (int i = 0; i < 3; i++) { /* a file each, until its row is gone again */
		host_open(&h);
		host_close(&h);
	}
	site_run(&s, "rm -r a/index && mv far/v0 new0 && mv kept0 far/v0");
	host_open(&h);
	cr_expect_eq(try_attach(&h, "v0", 0, &err), FIRN_ECORRUPT);
	cr_expect(strstr(err.text, "went backwards"), "%s", err.text);
	site_run(&s, "rm -r far/v0 && mv new0 far/v0");
	cr_assert_eq(try_attach(&h, "v0", 0, &err), 0, "%s", err.text);
	cr_assert_eq(read_stream(&h, id_s, 0, &all), 0);
	cr_expect_str_eq(all, "12");
	free(all);
	host_stop(&h, FIRN_DETACH_DRAIN);
	(void)table_of(&h, &n_gone);
	site_remove(&s);
}
