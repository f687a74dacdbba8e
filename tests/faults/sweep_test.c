/* Fault sweep (P1, P2, P7, P10; PROTOCOL 20): short scenarios in which the 1st, 2nd, 3rd ... system call,
 * file operation, allocation or thread fails, once or for good, until the scenario passes untouched.
 * What is checked after each is in sweep.h. */
#include "tests/faults/sweep.h"
#include <criterion/criterion.h>

/* Thousands of lives: in memory, where there is such a file system. Power cuts are another test's. */
TestSuite(sweep, .timeout = 600, .init = site_in_memory);

/* ---- what went before ---- */

static void some_data(struct sweep *s)
{
	for (uint32_t i = 0; i < SWEEP_STREAMS; i++) {
		(void)sweep_do(s, SWEEP_CREATE, i, 0);
		(void)sweep_do(s, SWEEP_SAY, i, 100);
		(void)sweep_do(s, SWEEP_PUT, i, 0);
	}
	(void)sweep_do(s, SWEEP_SAY, 0, 5000);
	(void)sweep_do(s, SWEEP_TRIM, 0, 1);
}

/* Half of it in the store, half in the WAL; still attached. */
static void attached(struct sweep *s)
{
	(void)sweep_start(s, &s->a);
	some_data(s);
	(void)sweep_store(s);
	(void)sweep_do(s, SWEEP_SAY, 1, 200);
	(void)sweep_do(s, SWEEP_PUT, 1, 0);
}

/* Nothing fails yet, so it takes the time that it takes: who loses patience gives up draining. */
static void clean(struct sweep *s)
{
	struct firn_error err = FIRN_ERROR_INIT;
	attached(s);
	int rc = host_detach(s->h, s->h->volume, FIRN_DETACH_DRAIN, &err);
	cr_assert_eq(rc, 0, "%s", err.text);
	s->h->volume = NULL;
	sweep_close(s);
}

static void kept(struct sweep *s)
{
	attached(s);
	sweep_detach(s, FIRN_DETACH_KEEP_WAL);
	sweep_close(s);
}

static void no_index(struct sweep *s)
{
	kept(s);
	site_run(&s->site, "rm -rf a/index");
}

static void live_in_child(void *arg)
{
	attached(arg);
}

/* The child's outcomes are all acked, so this process needs only to know what was asked. */
static void crashed(struct sweep *s)
{
	crash_after(live_in_child, s);
	s->h = &s->a;
	s->life++;
	s->n_op = 0;
	static const struct sweep_op done[] = {
		{ SWEEP_CREATE, 0, 1, 0, 0, 0 }, { SWEEP_SAY, 0, 1, 0, 100, 0 },
		{ SWEEP_PUT, 0, 1, 0, 0, 0 },    { SWEEP_CREATE, 1, 1, 0, 0, 0 },
		{ SWEEP_SAY, 1, 1, 0, 100, 0 },  { SWEEP_PUT, 1, 1, 0, 0, 0 },
		{ SWEEP_CREATE, 2, 1, 0, 0, 0 }, { SWEEP_SAY, 2, 1, 0, 100, 0 },
		{ SWEEP_PUT, 2, 1, 0, 0, 0 },    { SWEEP_SAY, 0, 1, 0, 5000, 1 },
		{ SWEEP_TRIM, 0, 1, 0, 1, 0 },   { SWEEP_SAY, 1, 1, 0, 200, 1 },
		{ SWEEP_PUT, 1, 1, 0, 0, 0 },
	};
	for (size_t i = 0; i < sizeof done / sizeof done[0]; i++)
		s->op[s->n_op++] = done[i];
}

/* ---- what is tried ---- */

/* Opens, adds a little, leaves. */
static void come_and_go(struct sweep *s)
{
	if (sweep_start(s, &s->a)) {
		(void)sweep_do(s, SWEEP_CREATE, 0, 0); /* exists, in all but the fresh one */
		(void)sweep_do(s, SWEEP_SAY, 0, 300);
		(void)sweep_read(s, 0, 0);
	}
	sweep_close(s);
}

static void take_over_elsewhere(struct sweep *s)
{
	if (sweep_start(s, &s->b))
		(void)sweep_do(s, SWEEP_SAY, 0, 300);
	sweep_close(s);
}

static void append_and_flush(struct sweep *s)
{
	sweep_say_many(s, 0, 6, 3000);
	(void)sweep_do(s, SWEEP_SAY, 1, 40);
	(void)sweep_store(s);
	sweep_say_many(s, 1, 3, 9000);
	sweep_close(s);
}

/* Half of the writes one by one, half in flight together, some larger than a page. */
static void many_writes(struct sweep *s)
{
	for (uint32_t i = 0; i < 12; i++)
		(void)sweep_do(s, SWEEP_SAY, 0, 30 + i % 5 * 3000);
	(void)sweep_store(s);
	sweep_say_many(s, 0, 12, 7000);
	sweep_close(s);
}

static void every_operation(struct sweep *s)
{
	(void)sweep_do(s, SWEEP_TRIM, 1, 1);
	(void)sweep_do(s, SWEEP_DROP, 0, 0);
	(void)sweep_do(s, SWEEP_DELETE, 2, 0);
	(void)sweep_do(s, SWEEP_CREATE, 2, 0);
	(void)sweep_do(s, SWEEP_SAY, 2, 60);
	(void)sweep_do(s, SWEEP_PUT, 0, 0);
	(void)sweep_do(s, SWEEP_DELETE, 0, 0);
	(void)sweep_do(s, SWEEP_PUT, 3, 0);
	sweep_close(s);
}

static void two_commits(struct sweep *s)
{
	(void)sweep_store(s);
	(void)sweep_do(s, SWEEP_SAY, 0, 700);
	(void)sweep_do(s, SWEEP_DELETE, 1, 0);
	(void)sweep_store(s);
	(void)sweep_read(s, 0, 0);
	sweep_close(s);
}

static void drain(struct sweep *s)
{
	sweep_detach(s, FIRN_DETACH_DRAIN);
	(void)sweep_attach(s, &s->a);
	(void)sweep_do(s, SWEEP_SAY, 0, 30);
	sweep_close(s);
}

static void keep(struct sweep *s)
{
	sweep_detach(s, FIRN_DETACH_KEEP_WAL);
	(void)sweep_attach(s, &s->a);
	(void)sweep_do(s, SWEEP_SAY, 0, 30);
	sweep_close(s);
}

static void abandon(struct sweep *s)
{
	sweep_detach(s, FIRN_DETACH_ABORT);
	(void)sweep_attach(s, &s->a);
	(void)sweep_do(s, SWEEP_SAY, 0, 30);
	sweep_close(s);
}

/* From the tail in memory; then, reopened, from the WAL and from segments. */
static void read_all(struct sweep *s)
{
	for (uint32_t i = 0; i < SWEEP_STREAMS; i++)
		(void)sweep_read(s, i, 1);
	sweep_close(s);
	if (sweep_start(s, &s->a))
		for (uint32_t i = 0; i < SWEEP_STREAMS; i++)
			(void)sweep_read(s, i, i == 0);
	sweep_close(s);
}

/* 12 x 600 KB through four files of 1 MiB, stored twice a lap: files are recycled, spares made. */
static void laps(struct sweep *s)
{
	for (int i = 0; i < 12; i++) {
		sweep_say_many(s, 0, 10, 60000);
		if (i % 2)
			(void)sweep_store(s);
	}
	sweep_close(s);
}

static void started(struct sweep *s)
{
	(void)sweep_start(s, &s->a);
	(void)sweep_do(s, SWEEP_CREATE, 0, 0);
}

/* ---- the grid ---- */

static const char *const preallocated[] = { "wal_io=pwrite", "wal_preallocate=true", NULL };

static const struct scenario fresh = { "open fresh", NULL, come_and_go, 0, NULL, false };
static const struct scenario after_crash = {
	"open after a crash", crashed, come_and_go, 0, NULL, false
};
static const struct scenario attach_clean = {
	"attach what was drained elsewhere", clean, take_over_elsewhere, 0, NULL, false
};
static const struct scenario attach_kept = {
	"attach what was kept", kept, come_and_go, 0, NULL, false
};
static const struct scenario append = {
	"append and flush", attached, append_and_flush, 0, NULL, false
};
static const struct scenario writing = { "writes in flight", started, many_writes, 0, NULL, false };
static const struct scenario operations = {
	"all operations", attached, every_operation, 0, NULL, false
};
static const struct scenario commit = {
	"upload and commit", attached, two_commits, 0, NULL, false
};
static const struct scenario drained = { "detach DRAIN", attached, drain, 0, NULL, false };
static const struct scenario detach_kept = { "detach KEEP_WAL", attached, keep, 0, NULL, false };
static const struct scenario aborted = { "detach ABORT", attached, abandon, 0, NULL, false };
static const struct scenario reads = {
	"read tail, WAL and segments", attached, read_all, 0, NULL, false
};
static const struct scenario rebuild = {
	"rebuild the index", no_index, come_and_go, 0, NULL, false
};
static const struct scenario recycle = { "laps of the WAL", started, laps, 0, NULL, true };
static const struct scenario spares = {
	"make spare files", NULL, come_and_go, 0, preallocated, true
};

static void both(const struct scenario *sc, enum way way, enum sweep_kind kind)
{
	sweep(sc, way, kind, false);
	sweep(sc, way, kind, true);
}

static void without_threads(const struct scenario *sc)
{
	both(sc, WAY_NO_THREADS, SWEEP_IO);
	both(sc, WAY_NO_THREADS, SWEEP_ALLOC);
	both(sc, WAY_NO_THREADS, SWEEP_THREADS);
}

static void with_threads(const struct scenario *sc)
{
	both(sc, WAY_PWRITE, SWEEP_IO);
	both(sc, WAY_URING, SWEEP_ENV_IO);
	both(sc, WAY_URING, SWEEP_ALLOC);
	both(sc, WAY_URING, SWEEP_THREADS);
}

#define SCENARIO(truth, scenario)             \
	Test(sweep, truth)                    \
	{                                     \
		without_threads(&(scenario)); \
	}                                     \
	Test(sweep, truth##_with_threads)     \
	{                                     \
		with_threads(&(scenario));    \
	}

SCENARIO(a_fresh_directory, fresh)
SCENARIO(an_open_after_a_crash, after_crash)
SCENARIO(an_attach_of_what_was_drained_elsewhere, attach_clean)
SCENARIO(an_attach_of_what_was_kept, attach_kept)
SCENARIO(appends_and_a_flush, append)
SCENARIO(writes_in_flight, writing)
SCENARIO(every_kind_of_operation, operations)
SCENARIO(upload_and_commit, commit)
SCENARIO(a_drain, drained)
SCENARIO(a_detach_that_keeps_the_wal, detach_kept)
SCENARIO(a_detach_that_aborts, aborted)
SCENARIO(reads_of_tail_wal_and_segments, reads)
SCENARIO(a_rebuild_of_the_index, rebuild)
SCENARIO(laps_of_the_wal, recycle)
SCENARIO(spare_files, spares)

Test(sweep, a_disk_that_is_full)
{
	both(&fresh, WAY_NO_THREADS, SWEEP_FULL);
	both(&writing, WAY_NO_THREADS, SWEEP_FULL);
	both(&recycle, WAY_URING, SWEEP_FULL);
}

Test(sweep, names_that_cannot_be_made_or_moved)
{
	both(&fresh, WAY_NO_THREADS, SWEEP_NAMES);
	both(&recycle, WAY_NO_THREADS, SWEEP_NAMES);
}
