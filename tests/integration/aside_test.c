/* A store that is away, and a volume that nobody attaches, do not stop the log from going round: what is
 * needed of mostly dead files is moved aside (P7, P8). Nothing of it is lost, whenever the process dies, and
 * all of it can be read meanwhile. */
#include "engine/os/env.h"
#include "engine/wal/inspect.h"
#include "tests/integration/faulty.h"
#include "tests/integration/site.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(aside, .timeout = 280);

enum { BYTES = 32 << 10, LINE = 27, WAL = 16 << 20, LAP = WAL / BYTES };

static char payload[BYTES];

static int try_attach(struct host *h, const char *store, const char *name, struct firn_volume **out,
                      struct firn_error *err)
{
	struct firn_attach a = FIRN_ATTACH_INIT;
	struct firn_event ev = { 0 };
	char uri[200];
	(void)snprintf(uri, sizeof uri, "file://%s/%s", h->site->dir, store);
	a.store = uri;
	a.name = name;
	a.attach_flags = FIRN_ATTACH_CREATE;
	int rc = firn_engine_call(h->engine, &a.req, &ev, err);
	const struct firn_attached *r = rc ? NULL : ev.result;
	*out = r ? r->volume : NULL;
	firn_release(ev.result);
	return rc;
}

static struct firn_volume *attach(struct host *h, const char *store, const char *name)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_volume *v = NULL;
	int rc = try_attach(h, store, name, &v, &err);
	cr_assert_eq(rc, 0, "%s: %s", name, err.text);
	return v;
}

static int append(struct host *h, struct firn_volume *v, uint64_t stream, const char *bytes,
                  size_t len)
{
	struct iovec iov = { (void *)(uintptr_t)bytes, len };
	struct firn_op op = op_append(stream, &iov);
	struct firn_write w = FIRN_WRITE_INIT;
	struct firn_event ev = { 0 };
	w.volume = v;
	w.op = &op;
	w.n_op = 1;
	w.req.timeout_ms = 120000;
	int rc = firn_engine_call(h->engine, &w.req, &ev, NULL);
	firn_release(ev.result);
	return rc;
}

/* Two stores, a volume of each; the ids are found again by name. */
struct two {
	struct site *s;
	struct host h;
	struct firn_volume *quiet, *busy;
	uint64_t quiet_id, busy_id;
	uint64_t n; /* lines of the quiet one */
};

static uint64_t stream_of(struct host *h, struct firn_volume *v, bool create)
{
	uint64_t id = 0;
	h->volume = v;
	if (create) {
		id = new_stream(h, "s");
		store_all(h);
	} else {
		cr_assert_eq(firn_stream_find(v, "s", 1, &id), 0);
	}
	return id;
}

static void open_two(struct two *t, struct site *s, bool create)
{
	memset(t, 0, sizeof *t);
	t->s = s;
	host_init(&t->h, s, "a");
	t->h.opts.wal_bytes = WAL;
	host_open(&t->h);
	if (!create)
		return;
	t->quiet = attach(&t->h, "dead", "q");
	t->busy = attach(&t->h, "live", "b");
	t->quiet_id = stream_of(&t->h, t->quiet, true);
	t->busy_id = stream_of(&t->h, t->busy, true);
}

static void dead_goes(const struct site *s)
{
	site_run(s, "mkdir -p away && mv dead/q away/ && touch dead/q");
}

static void dead_returns(const struct site *s)
{
	site_run(s, "rm dead/q && mv away/q dead/");
}

static void line_of(uint64_t i, char out[LINE + 1])
{
	(void)snprintf(out, LINE + 1, "line %08u of the quiet\n", (unsigned)(i % 100000000));
}

/* The busy volume goes round; the quiet one says a line now and then. */
static void rounds(struct two *t, int laps, bool speaks)
{
	for (int i = 0; i < laps * LAP; i++) {
		cr_assert_eq(append(&t->h, t->busy, t->busy_id, payload, BYTES), 0, "%d of %d", i,
		             laps * LAP);
		char line[LINE + 1];
		line_of(t->n, line);
		if (speaks && i % 4 == 0) {
			cr_assert_eq(append(&t->h, t->quiet, t->quiet_id, line, LINE), 0);
			t->n++;
		}
	}
}

static void reads(struct two *t, uint64_t n)
{
	char *all = NULL, line[LINE + 1];
	t->h.volume = t->quiet;
	int rc = read_stream(&t->h, t->quiet_id, 0, &all);
	cr_assert_eq(rc, 0, "%s", firn_code_name(rc));
	cr_assert_eq(strlen(all), n * LINE, "%zu bytes of %llu", strlen(all),
	             (unsigned long long)n * LINE);
	for (uint64_t i = 0; i < n; i++) {
		line_of(i, line);
		cr_assert(!memcmp(all + i * LINE, line, LINE), "line %llu", (unsigned long long)i);
	}
	free(all);
}

static long number(const struct site *s, const char *command)
{
	char *text = site_ask(s, "%s", command);
	long n = strtol(text, NULL, 10);
	free(text);
	return n;
}

static void within_wal_bytes(const struct site *s)
{
	long bytes = number(s, "cat a/wal/* 2>/dev/null | wc -c");
	cr_expect_leq(bytes, WAL, "the log and what lies aside take %ld bytes", bytes);
}

static void verified(const struct site *s, int expected)
{
	struct wal_report r;
	struct firn_error err = FIRN_ERROR_INIT;
	char dir[100];
	(void)snprintf(dir, sizeof dir, "%s/a/wal", s->dir);
	int rc = wal_verify(env_default(), dir, &r, NULL, NULL, &err);
	cr_expect_eq(rc, expected, "%s", err.text);
	if (expected)
		cr_expect(strstr(err.text, ".aside") != NULL, "%s", err.text);
	wal_report_fini(&r);
}

static void drains(struct two *t)
{
	for (int i = 0; i < 2; i++) {
		t->h.volume = i ? t->busy : t->quiet;
		store_all(&t->h);
		cr_expect_eq(host_detach(&t->h, t->h.volume, FIRN_DETACH_DRAIN, NULL), 0);
	}
	for (int i = 0; i < 2000 && number(t->s, "ls a/wal | grep -c aside || true"); i++)
		(void)usleep(50000);
	cr_expect_eq(number(t->s, "ls a/wal | grep -c aside || true"), 0,
	             "files aside go when all is stored");
	host_close(&t->h);
}

Test(aside, a_store_that_is_away_does_not_stop_the_others)
{
	struct site s;
	struct two t;
	site_make(&s);
	site_run(&s, "mkdir dead live");
	open_two(&t, &s, true);
	dead_goes(&s);
	rounds(&t, 6, true);
	cr_expect_gt(number(&s, "ls a/wal | grep -c aside || true"), 0);
	within_wal_bytes(&s);
	reads(&t, t.n);
	dead_returns(&s);
	drains(&t);
	site_remove(&s);
}

/* ---- two stores away, and writers that do not wait ---- */

struct hungry {
	struct firn_volume *v;
	uint64_t id, acked, refused;
};

static void feed(struct host *h, struct hungry *d)
{
	struct iovec iov = { payload, BYTES };
	struct firn_op op = op_append(d->id, &iov);
	struct firn_event ev;
	struct firn_error err = FIRN_ERROR_INIT;
	h->volume = d->v;
	int rc = submit_ops(h, &op, 1, FIRN_ACK_DURABLE, 0, 1, &err);
	d->refused += rc == FIRN_EFULL;
	if (rc == FIRN_EFULL)
		return;
	cr_assert_eq(rc, 0, "%s", firn_code_name(rc));
	do
		cr_assert(reap_one(h, &ev, 120000));
	while (ev.kind == FIRN_EV_WRITABLE);
	cr_assert_eq(ev.code, 0);
	d->acked++;
}

Test(aside, two_stores_that_are_away_leave_room_for_the_rest)
{
	static const char *const store[] = { "dead", "gone" };
	struct site s;
	struct two t;
	struct hungry d[2] = { { 0 } };
	site_make(&s);
	site_run(&s, "mkdir dead gone live");
	open_two(&t, &s, false);
	t.busy = attach(&t.h, "live", "b");
	t.busy_id = stream_of(&t.h, t.busy, true);
	for (int i = 0; i < 2; i++) {
		d[i].v = attach(&t.h, store[i], "q");
		d[i].id = stream_of(&t.h, d[i].v, true);
	}
	dead_goes(&s);
	site_run(&s, "mv gone/q away/r && touch gone/q");
	for (int i = 0; i < 3 * LAP; i++) {
		cr_assert_eq(append(&t.h, t.busy, t.busy_id, payload, BYTES), 0, "%d", i);
		feed(&t.h, &d[0]);
		feed(&t.h, &d[1]);
	}
	within_wal_bytes(&s);
	cr_expect(d[0].refused && d[1].refused);
	/* Each of the three has up to four times what is free, and an eighth is nobody's: 8/13 of 14 MiB, less
	 * a file in which each stands, when the busy one's store is slow enough to use all of its share. */
	cr_expect_gt((d[0].acked + d[1].acked) * BYTES, WAL / 3, "the share is theirs");
	dead_returns(&s);
	site_run(&s, "rm gone/q && mv away/r gone/q");
	for (int i = 0; i < 2; i++) {
		t.h.volume = d[i].v;
		store_all(&t.h);
		cr_expect_eq(mark_of(&t.h, d[i].id, FIRN_MARK_DURABLE), d[i].acked);
		cr_expect_eq(host_detach(&t.h, d[i].v, FIRN_DETACH_DRAIN, NULL), 0);
	}
	cr_expect_eq(host_detach(&t.h, t.busy, FIRN_DETACH_DRAIN, NULL), 0);
	host_close(&t.h);
	site_remove(&s);
}

/* ---- over a crash ---- */

static void go_and_die(void *arg)
{
	static struct two t;
	struct site *s = arg;
	open_two(&t, s, true);
	dead_goes(s);
	rounds(&t, 4, true);
}

Test(aside, after_a_crash_a_volume_that_nobody_attaches_does_not_either)
{
	struct site s;
	struct two t;
	struct firn_error err = FIRN_ERROR_INIT;
	site_make(&s);
	site_run(&s, "mkdir dead live");
	crash_after(go_and_die, &s);
	verified(&s, 0);
	open_two(&t, &s, false);
	cr_expect_neq(try_attach(&t.h, "dead", "q", &t.quiet, &err), 0, "its store is away");
	t.busy = attach(&t.h, "live", "b");
	t.busy_id = stream_of(&t.h, t.busy, false);
	rounds(&t, 4, false);
	within_wal_bytes(&s);
	dead_returns(&s);
	t.quiet = attach(&t.h, "dead", "q");
	t.quiet_id = stream_of(&t.h, t.quiet, false);
	t.n = 4 * LAP / 4;
	reads(&t, t.n);
	rounds(&t, 1, true);
	reads(&t, t.n);
	drains(&t);
	site_remove(&s);
}

/* Flips a bit of a file at a place. */
static void flip(const struct site *s, const char *name, long pos)
{
	char path[300];
	(void)snprintf(path, sizeof path, "%s/%s", s->dir, name);
	FILE *f = fopen(path, "r+");
	cr_assert(f, "%s", path);
	cr_assert(!fseek(f, pos, SEEK_SET));
	int c = fgetc(f);
	cr_assert(c != EOF && !fseek(f, pos, SEEK_SET) && fputc(c ^ 16, f) != EOF);
	(void)fclose(f);
}

/* Where the first group with writes lies in the oldest aside file. */
static void damage(const struct site *s)
{
	char *name = site_ask(s, "ls a/wal/*.aside | head -1");
	name[strcspn(name, "\n")] = 0;
	flip(s, name, 8192 + 200);
	free(name);
}

Test(aside, a_damaged_file_stops_its_volume_alone_and_by_name)
{
	struct site s;
	struct two t;
	struct firn_error err = FIRN_ERROR_INIT;
	site_make(&s);
	site_run(&s, "mkdir dead live");
	crash_after(go_and_die, &s);
	damage(&s);
	verified(&s, FIRN_ECORRUPT);
	dead_returns(&s);
	open_two(&t, &s, false);
	cr_expect_eq(try_attach(&t.h, "dead", "q", &t.quiet, &err), FIRN_ECORRUPT);
	cr_expect(strstr(err.text, "q: ") && strstr(err.text, ".aside"), "%s", err.text);
	t.busy = attach(&t.h, "live", "b");
	t.busy_id = stream_of(&t.h, t.busy, false);
	rounds(&t, 1, false);
	cr_expect_eq(host_detach(&t.h, t.busy, FIRN_DETACH_DRAIN, NULL), 0);
	host_close(&t.h);
	verified(&s, FIRN_ECORRUPT); /* it is kept */
	site_remove(&s);
}

/* ---- rot in a file of the log ---- */

enum { NOTE = 64, FILL = LAP * 4 / 10 };

/* A third volume says something that is not stored; then the busy one goes on, not far enough for a move. */
static void note_and_die(void *arg)
{
	static struct two t;
	struct site *s = arg;
	static const char note[NOTE] = "a note of the third volume";
	open_two(&t, s, true);
	struct firn_volume *third = attach(&t.h, "gone", "n");
	uint64_t id = stream_of(&t.h, third, true);
	dead_goes(s);
	site_run(s, "mv gone/n away/ && touch gone/n");
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(append(&t.h, t.busy, t.busy_id, payload, BYTES), 0);
		cr_assert_eq(append(&t.h, third, id, note, NOTE), 0);
	}
	for (int i = 0; i < FILL; i++) {
		cr_assert_eq(append(&t.h, t.busy, t.busy_id, payload, BYTES), 0);
		cr_assert_eq(append(&t.h, t.quiet, t.quiet_id, payload, LINE), 0);
	}
	cr_assert_eq(number(s, "ls a/wal | grep -c aside || true"), 0);
}

/* Of the second note, in the first file. */
static void damage_note(const struct site *s)
{
	char *at =
	        site_ask(s,
	                 "grep -abo 'a note of the third' a/wal/0000000000000001.wal | sed -n 2p");
	flip(s, "a/wal/0000000000000001.wal", strtol(at, NULL, 10));
	free(at);
}

Test(aside, a_damaged_file_of_the_log_holds_up_whom_it_hits_and_no_other)
{
	struct site s;
	struct two t;
	struct firn_volume *third;
	struct firn_error err = FIRN_ERROR_INIT;
	site_make(&s);
	site_run(&s, "mkdir dead gone live");
	crash_after(note_and_die, &s);
	damage_note(&s);
	site_run(&s, "rm gone/n && mv away/n gone/");
	for (int life = 0; life < 2; life++) {
		open_two(&t, &s, false);
		int rc = try_attach(&t.h, "gone", "n", &third, &err);
		cr_assert_eq(rc, FIRN_ECORRUPT, "life %d: %s", life, err.text);
		cr_expect(strstr(err.text, "n: ") && strstr(err.text, ".wal"), "%s", err.text);
		t.busy = attach(&t.h, "live", "b");
		t.busy_id = stream_of(&t.h, t.busy, false);
		rounds(&t, 2, false);
		cr_expect_eq(host_detach(&t.h, t.busy, FIRN_DETACH_DRAIN, NULL), 0);
		host_close(&t.h);
	}
	dead_returns(&s);
	open_two(&t, &s, false);
	t.quiet = attach(&t.h, "dead", "q");
	t.quiet_id = stream_of(&t.h, t.quiet, false);
	cr_expect_eq(mark_of(&t.h, t.quiet_id, FIRN_MARK_DURABLE), FILL);
	cr_expect_eq(host_detach(&t.h, t.quiet, FIRN_DETACH_DRAIN, NULL), 0);
	host_close(&t.h);
	site_remove(&s);
}

/* ---- the disk fails, and the process dies, at the n-th write from some moment on ---- */

struct death {
	struct site *s;
	long long at;
};

static void fail_and_die(void *arg)
{
	const struct death *d = arg;
	static struct two t;
	static struct faulty f; /* the engine's threads outlive this call */
	char path[100];
	faulty_init(&f, env_default());
	f.lasting = f.torn = true;
	memset(&t, 0, sizeof t);
	t.s = d->s;
	host_init(&t.h, d->s, "a");
	t.h.opts.wal_bytes = WAL;
	t.h.opts.env = &f.env;
	host_open(&t.h);
	t.quiet = attach(&t.h, "dead", "q");
	t.busy = attach(&t.h, "live", "b");
	t.quiet_id = stream_of(&t.h, t.quiet, true);
	t.busy_id = stream_of(&t.h, t.busy, true);
	dead_goes(d->s);
	rounds(&t, 1, true);
	faulty_arm(&f, FAULT_WRITES, -EIO, d->at);
	for (int rc = 0, i = 0; !rc && i < 4 * LAP; i++) {
		char line[LINE + 1];
		rc = append(&t.h, t.busy, t.busy_id, payload, BYTES);
		line_of(t.n, line);
		rc = rc ? rc : append(&t.h, t.quiet, t.quiet_id, line, LINE);
		t.n += !rc;
	}
	(void)snprintf(path, sizeof path, "%s/acked", d->s->dir);
	FILE *to = fopen(path, "w");
	cr_assert(to && fprintf(to, "%llu", (unsigned long long)t.n) > 0 && !fclose(to));
}

static uint64_t durable(struct two *t)
{
	t->h.volume = t->quiet;
	return mark_of(&t->h, t->quiet_id, FIRN_MARK_DURABLE);
}

Test(aside, whenever_the_disk_fails_what_was_acked_is_there)
{
	for (long long at = 1; at < 200; at = at * 3 / 2 + 3) {
		struct site s;
		struct two t;
		struct death d = { &s, at };
		site_make(&s);
		site_run(&s, "mkdir dead live");
		crash_after(fail_and_die, &d);
		verified(&s, 0);
		uint64_t acked = (uint64_t)number(&s, "cat acked");
		dead_returns(&s);
		open_two(&t, &s, false);
		t.quiet = attach(&t.h, "dead", "q");
		t.busy = attach(&t.h, "live", "b");
		t.quiet_id = stream_of(&t.h, t.quiet, false);
		t.busy_id = stream_of(&t.h, t.busy, false);
		t.n = durable(&t); /* one more may have become durable and not been told */
		cr_expect(t.n == acked || t.n == acked + 1, "write %lld: %llu lines of %llu", at,
		          (unsigned long long)t.n, (unsigned long long)acked);
		reads(&t, t.n);
		drains(&t);
		site_remove(&s);
	}
}
