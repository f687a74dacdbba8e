/* Rounds of a volume go up side by side and are committed whole and in order, many at once; a store that
 * hangs holds up nobody else (PROTOCOL 8, 10; S11; P7, P8, P10). */
#include "engine/segment/segment.h"
#include "tests/integration/flaky_bed.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(upload, .timeout = 120);

static struct site site;

static void fill(char *p, size_t n)
{
	uint64_t x = 88172645463325252u;
	for (size_t i = 0; i < n; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		p[i] = (char)x;
	}
}

static void until(atomic_int *n, int least)
{
	for (int i = 0; atomic_load(n) < least; i++) {
		cr_assert_lt(i, 60000, "it never came");
		(void)usleep(1000);
	}
}

/* ---- a store that hangs ---- */

struct pair {
	struct host h;
	struct site other; /* a store that works */
	struct flaky *flaky;
	struct firn_volume *hung;
	uint64_t s;
};

static void pair_start(struct pair *p, uint32_t flags)
{
	site_make(&site);
	p->other = site;
	p->flaky = flaky_bed(&site, "deadline_ms=60000");
	host_init(&p->h, &site, "a");
	p->h.opts.flags = flags;
	host_open(&p->h);
	host_attach(&p->h, "hung");
	p->hung = p->h.volume;
	p->s = new_stream(&p->h, "s");
	store_all(&p->h);
}

static void pair_end(struct pair *p)
{
	struct firn_error err = FIRN_ERROR_INIT;
	cr_expect_eq(host_detach(&p->h, p->hung, FIRN_DETACH_DRAIN, &err), 0, "%s", err.text);
	host_close(&p->h);
	site_remove(&site);
}

/* Attach, commit, clean detach and attach again of a volume in the other store. */
static void other_store_works(struct pair *p)
{
	struct firn_error err = FIRN_ERROR_INIT;
	p->h.site = &p->other;
	for (int i = 0; i < 3; i++) {
		host_attach(&p->h, "free");
		uint64_t s;
		cr_assert_eq(firn_stream_open(p->h.volume, "s", &s, &err), 0, "%s", err.text);
		cr_expect_eq(say(&p->h, s, "text"), (uint64_t)i);
		store_all(&p->h);
		cr_expect_eq(host_detach(&p->h, p->h.volume, FIRN_DETACH_DRAIN, &err), 0, "%s",
		             err.text);
	}
	p->h.site = &site;
	p->h.volume = p->hung;
}

static void ask_for_flush(struct pair *p)
{
	struct firn_flush f = FIRN_FLUSH_INIT;
	const struct firn_req *r = &f.req;
	f.volume = p->hung;
	f.mark = FIRN_MARK_STORED;
	f.req.cq = p->h.cq;
	cr_assert_eq(firn_engine_submit(p->h.engine, &r, 1, NULL), 1);
}

static void flush_ends(struct pair *p)
{
	struct firn_event ev;
	do
		cr_assert(reap_one(&p->h, &ev, 30000));
	while (ev.kind != FIRN_REQ_FLUSH);
	cr_expect_eq(ev.code, 0);
}

/* The n-th request of what a flush asks for is taken and not answered: 1 the segment, 2 the commit. */
static void hangs_at(int n)
{
	struct pair p;
	pair_start(&p, 0);
	say(&p.h, p.s, "held");
	atomic_store(&p.flaky->hold_segments, n == 1);
	int before = atomic_load(&p.flaky->n_segment);
	if (n == 1)
		atomic_store(&p.flaky->hold, 1);
	else
		atomic_store(&p.flaky->hold_manifests, 1);
	ask_for_flush(&p);
	until(&p.flaky->n_held, 1);
	other_store_works(&p);
	cr_expect_eq(atomic_load(&p.flaky->n_held), 1, "it hangs still");
	cr_expect_eq(atomic_load(&p.flaky->n_segment), before + (n == 2));
	p.flaky->let_go();
	flush_ends(&p);
	pair_end(&p);
}

Test(upload, a_store_that_hangs_with_a_segment_holds_up_no_other)
{
	hangs_at(1);
}

Test(upload, a_store_that_hangs_with_a_commit_holds_up_no_other)
{
	hangs_at(2);
}

Test(upload, a_store_that_hangs_in_an_attach_holds_up_no_other)
{
	struct pair p;
	struct firn_attach a = FIRN_ATTACH_INIT;
	struct firn_event ev;
	const struct firn_req *r = &a.req;
	pair_start(&p, 0);
	atomic_store(&p.flaky->hold, 1);
	a.store = site.uri;
	a.name = "another";
	a.attach_flags = FIRN_ATTACH_CREATE;
	a.req.cq = p.h.cq;
	cr_assert_eq(firn_engine_submit(p.h.engine, &r, 1, NULL), 1);
	until(&p.flaky->n_held, 1);
	other_store_works(&p);
	cr_expect_eq(atomic_load(&p.flaky->n_held), 1, "it hangs still");
	p.flaky->let_go();
	cr_assert_eq(firn_cq_reap(p.h.cq, &ev, sizeof ev, 1, 30000), 1);
	cr_assert_eq(ev.kind, FIRN_REQ_ATTACH);
	if (ev.code) {
		const struct firn_error *why = ev.result;
		cr_assert_fail("%s: %s", firn_code_name(ev.code), why ? why->text : "");
	}
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_volume *v = ((const struct firn_attached *)ev.result)->volume;
	firn_release(ev.result);
	cr_expect_eq(host_detach(&p.h, v, FIRN_DETACH_DRAIN, &err), 0, "%s", err.text);
	pair_end(&p);
}

/* ---- rounds side by side ---- */

enum { SEGMENT = 64 << 10, RECORD = 16 << 10 };

static void small_segments(struct host *h)
{
	static const char *const options[] = { "segment_bytes=64K", "upload_interval_ms=3600000",
		                               "zstd_level=0", NULL };
	h->opts.options = options;
}

static void append_bytes(struct host *h, uint64_t s, int n, const char *data)
{
	struct firn_error err = FIRN_ERROR_INIT;
	for (int i = 0; i < n; i++)
		cr_assert_eq(firn_stream_append(h->volume, s, data, RECORD, 1, 0, NULL, &err), 0,
		             "%s", err.text);
}

Test(upload, rounds_behind_one_that_hangs_go_up_and_wait_for_it)
{
	static char data[RECORD];
	struct pair p;
	fill(data, sizeof data);
	site_make(&site);
	p.flaky = flaky_bed(&site, "deadline_ms=60000");
	host_init(&p.h, &site, "a");
	small_segments(&p.h);
	host_start(&p.h);
	p.hung = p.h.volume;
	p.s = new_stream(&p.h, "s");
	store_all(&p.h);
	uint64_t stored = mark_of(&p.h, p.s, FIRN_MARK_STORED);
	int commits = atomic_load(&p.flaky->n_manifest), up = atomic_load(&p.flaky->n_segment);
	atomic_store(&p.flaky->hold_segments, 1);
	atomic_store(&p.flaky->hold, 1);
	append_bytes(&p.h, p.s, 4 * SEGMENT / RECORD, data);
	until(&p.flaky->n_held, 1);
	until(&p.flaky->n_segment, up + 2);
	cr_expect_eq(atomic_load(&p.flaky->n_held), 1);
	cr_expect_eq(atomic_load(&p.flaky->n_manifest), commits,
	             "nothing is committed out of turn");
	cr_expect_eq(mark_of(&p.h, p.s, FIRN_MARK_STORED), stored);
	p.flaky->let_go();
	store_all(&p.h);
	cr_expect_eq(mark_of(&p.h, p.s, FIRN_MARK_STORED), 4ull * SEGMENT / RECORD);
	cr_expect_leq(atomic_load(&p.flaky->n_manifest), commits + 3, "one commit for several");
	cr_expect_eq(read_stream(&p.h, p.s, 0, NULL), 0);
	host_stop(&p.h, FIRN_DETACH_DRAIN);
	site_remove(&site);
}

/* By default the share of memory is two segments, and a round is up to a group longer than a segment. */
Test(upload, with_default_sizes_a_round_is_built_while_another_goes_up)
{
	static char data[1500 << 10];
	struct pair p;
	struct firn_error err = FIRN_ERROR_INIT;
	fill(data, sizeof data);
	site_make(&site);
	p.flaky = flaky_bed(&site, "deadline_ms=3600000");
	host_init(&p.h, &site, "a");
	p.h.opts.options = (const char *const[]){ "upload_interval_ms=3600000", "zstd_level=0",
		                                  NULL };
	p.h.opts.wal_bytes = 256 << 20;
	host_start(&p.h);
	p.s = new_stream(&p.h, "s");
	store_all(&p.h);
	int up = atomic_load(&p.flaky->n_segment);
	atomic_store(&p.flaky->hold_segments, 1);
	atomic_store(&p.flaky->hold, 1);
	for (int i = 0; i < 6; i++) /* three groups to a segment of 4 MiB */
		cr_assert_eq(firn_stream_append(p.h.volume, p.s, data, sizeof data, 1, 0, NULL,
		                                &err),
		             0, "%s", err.text);
	until(&p.flaky->n_held, 1);
	until(&p.flaky->n_segment, up + 1);
	cr_expect_eq(atomic_load(&p.flaky->n_held), 1);
	p.flaky->let_go();
	host_stop(&p.h, FIRN_DETACH_DRAIN);
	site_remove(&site);
}

/* Round 1 cannot go up, those behind it do; then the process dies. */
struct lost {
	struct host h;
	char blocked[128];
	char data[RECORD];
};

static void count_is(const char *what, int least)
{
	for (int i = 0;; i++) {
		char *n = site_ask(&site, "%s", what);
		int now = atoi(n);
		free(n);
		if (now >= least)
			return;
		if (i > 6000)
			_exit(3);
		(void)usleep(10000);
	}
}

static void write_and_die(void *arg)
{
	struct lost *l = arg;
	host_start(&l->h);
	uint64_t s = new_stream(&l->h, "s");
	append_bytes(&l->h, s, 5 * SEGMENT / RECORD, l->data);
	count_is("find store/v/seg -name '[0-9a-f]*-*' | wc -l", 2);
}

Test(upload, a_crash_with_later_rounds_up_and_the_first_lost_leaves_nothing_missing)
{
	struct lost l;
	char name[64];
	site_make_on_files(&site);
	host_init(&l.h, &site, "a");
	small_segments(&l.h);
	fill(l.data, sizeof l.data);
	segment_key((struct segment_id){ 1, 1 }, name, sizeof name);
	name[6] = 0; /* seg/xx */
	site_run(&site, "mkdir -p store/v/seg && touch store/v/%s", name);
	crash_after(write_and_die, &l);
	site_run(&site, "rm store/v/%s", name);
	host_start(&l.h);
	uint64_t s;
	char *all;
	cr_assert_eq(firn_stream_find(l.h.volume, "s", 1, &s), 0);
	cr_expect_eq(mark_of(&l.h, s, FIRN_MARK_DURABLE), 5ull * SEGMENT / RECORD);
	store_all(&l.h);
	cr_expect_eq(read_stream(&l.h, s, 0, &all), 0);
	free(all);
	host_stop(&l.h, FIRN_DETACH_DRAIN);
	/* What went up in vain is told, and is no damage. */
	const char *bin = getenv("FIRN_BIN_DIR");
	char *told = site_ask(&site, "%s/firn verify -d a -s %s", bin ? bin : "build/bin",
	                      site.uri);
	cr_expect(strstr(told, "that no manifest names"), "%s", told);
	free(told);
	site_remove(&site);
}

/* ---- what it costs ---- */

enum { SCALED_GIB = 16 * 256 << 10, STREAMS = 32 };

/* The default options, all 256 times smaller: segments of 256 KiB, a WAL of 64 of them. */
static void cost(uint32_t flags)
{
	static const char *const options[] = { "segment_bytes=256K", "wal_file_bytes=1M", NULL };
	static char data[RECORD];
	struct host h;
	uint64_t s[STREAMS], bytes = 0;
	char name[16];
	struct firn_error err = FIRN_ERROR_INIT;
	site_make(&site);
	host_init(&h, &site, "a");
	h.opts.options = options;
	h.opts.flags = flags;
	h.opts.wal_bytes = 16 << 20;
	h.opts.memory_bytes = 16 << 20;
	host_start(&h);
	fill(data, sizeof data);
	for (int i = 0; i < STREAMS; i++) {
		(void)snprintf(name, sizeof name, "s%d", i);
		s[i] = new_stream(&h, name);
	}
	store_all(&h);
	uint64_t before = metric_of(h.engine, "firn_segment_puts", "") +
	                  metric_of(h.engine, "firn_manifest_puts", "");
	for (uint32_t i = 0; bytes < 10ull * SCALED_GIB; i++, bytes += RECORD)
		cr_assert_eq(firn_stream_append(h.volume, s[i % STREAMS], data, RECORD, 1, 0, NULL,
		                                &err),
		             0, "%s", err.text);
	store_all(&h);
	uint64_t n = metric_of(h.engine, "firn_segment_puts", "") +
	             metric_of(h.engine, "firn_manifest_puts", "") - before;
	cr_expect_leq(n, 20 * bytes / SCALED_GIB, "%llu requests for %llu bytes",
	              (unsigned long long)n, (unsigned long long)bytes);
	while (metric_of(h.engine, "firn_upload_memory_bytes",
	                 "")) /* a moment behind its last waiter */
		(void)usleep(1000);
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_remove(&site);
}

Test(upload, at_most_twenty_requests_per_gib)
{
	cost(0);
}

Test(upload, at_most_twenty_requests_per_gib_without_threads)
{
	cost(FIRN_ENGINE_NO_THREADS);
}
