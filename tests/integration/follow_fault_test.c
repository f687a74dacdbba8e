/* A volume attached read-only, and memory that fails on its way to the next cut, at every place in turn: until the way has
 * been gone to its end it shows the cut before, whole, and what that has lost already is waited for, never called damage.
 * (P7, P10) */
#include "tests/integration/faulty.h"
#include "tests/integration/turned.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECOND = 1000, SLOTS = 16 };

static const char *const on_demand[] = { "upload_interval_ms=2000000000", "zstd_level=0", NULL };

static struct site site;
static struct host writer, reader;
static struct faulty faulty;
static struct firn_env resting;
static bool looked;       /* the event of the look has come */
static uint64_t rests_at; /* the reader's clock, while nothing is to be tried again; 0: it goes */

static uint64_t mono_ns(void *ctx)
{
	return rests_at ? rests_at : turned_env()->mono_ns(ctx);
}

static void begin(struct host *h, const char *name, const struct firn_env *env,
                  const char *const *options)
{
	host_init(h, &site, name);
	host_way(h, WAY_NO_THREADS);
	h->opts.env = env;
	h->opts.options = options;
	host_open(h);
}

static void setup(void)
{
	struct firn_error err = FIRN_ERROR_INIT;
	site_make_on_files(&site);
	begin(&writer, "writer", turned_env(), on_demand);
	host_attach(&writer, "v");
	resting = *turned_env();
	resting.mono_ns = mono_ns;
	faulty_init(&faulty, &resting);
	begin(&reader, "reader", &faulty.env, NULL);
	cr_assert_eq(host_try_attach(&reader, "v", FIRN_ATTACH_READ_ONLY, NULL, &reader.volume,
	                             &err),
	             0, "%s", err.text);
}

static void teardown(void)
{
	host_stop(&writer, FIRN_DETACH_DRAIN);
	host_stop(&reader, FIRN_DETACH_DRAIN);
	site_remove(&site);
}

TestSuite(follow_fault, .timeout = 120, .init = setup, .fini = teardown);

/* Where the first stream begins when it ends there. */
static uint64_t start_at(uint64_t end)
{
	return end > 3 ? end - 3 : 0;
}

/* One write over all: the pair says how often; the streams end where it says; the oldest goes; one stream comes and the one
 * before goes. */
static void one_more(const uint64_t s[2], uint64_t *guest, int i)
{
	char name[16], number[16];
	(void)snprintf(name, sizeof name, "guest %d", i);
	(void)snprintf(number, sizeof number, "%d", i);
	struct iovec iov = io_of("x");
	struct firn_op op[] = { op_append(s[0], &iov),
		                op_append(s[1], &iov),
		                op_kv(FIRN_OP_KV_PUT, 0, "n", number),
		                op_kv(FIRN_OP_KV_PUT, s[0], name, number),
		                op_create(name),
		                op_trim(s[0], start_at((uint64_t)i)),
		                op_delete(*guest) };
	struct firn_event ev;
	uint32_t n = sizeof op / sizeof op[0];
	wrote(&writer, op, *guest ? n : n - 1, &ev);
	struct firn_stream_info all[SLOTS];
	int k = firn_stream_list(writer.volume, name, NULL, all, sizeof all[0], SLOTS);
	cr_assert_eq(k, 1);
	*guest = all[0].stream;
	store_all(&writer);
}

/* What is shown is the cut of write i or of the one before, and all of one. */
static void one_cut(const uint64_t s[2], int i)
{
	struct firn_stream_info all[SLOTS];
	const struct firn_kv_page *page = NULL;
	cr_assert_eq(firn_stream_list(reader.volume, NULL, NULL, all, sizeof all[0], SLOTS), 3);
	uint64_t end = mark_of(&reader, s[0], FIRN_MARK_STORED);
	cr_assert(end == (uint64_t)i || end == (uint64_t)i - 1, "%llu", (unsigned long long)end);
	cr_assert_eq(mark_of(&reader, s[1], FIRN_MARK_STORED), end, "half a cut");
	cr_assert_eq(mark_of(&reader, s[0], FIRN_MARK_START), start_at(end), "half a cut");
	cr_assert_eq(firn_kv_scan(reader.volume, 0, NULL, 0, NULL, 0, 2, &page), 0);
	cr_assert_eq(page->n, 1);
	cr_assert_eq(strtoull(page->kv[0].value, NULL, 10), end, "half a cut");
	firn_release(page);
}

/* Reads there as far as it gets without another look: data, or "trimmed", or nothing yet. */
static void never_damage(uint64_t stream, uint64_t from)
{
	struct firn_reader *r;
	struct firn_reader_opts o = { .struct_size = sizeof o };
	struct firn_item item = { .volume = reader.volume, .stream = stream, .offset = from };
	struct firn_fetch f = FIRN_FETCH_INIT;
	const struct firn_req *req = &f.req;
	struct firn_event ev = { 0 };
	cr_assert_eq(firn_reader_open(reader.engine, &o, &r, NULL), 0);
	cr_assert_eq(firn_reader_set(r, &item, sizeof item, 1), 0);
	f.reader = r;
	f.req.cq = reader.cq;
	f.max_wait_ms = 60 * SECOND;
	cr_assert_eq(firn_engine_submit(reader.engine, &req, 1, NULL), 1);
	for (int i = 0; i < 20; i++)
		(void)firn_engine_step(reader.engine, 0);
	cr_assert_eq(firn_reader_close(r), 0);
	while (ev.kind != FIRN_REQ_FETCH) {
		cr_assert_eq(firn_cq_reap(reader.cq, &ev, sizeof ev, 1, 1000), 1);
		looked |= ev.kind == FIRN_REQ_FLUSH && !ev.code;
	}
	cr_assert(!ev.code || ev.code == FIRN_ECANCELED, "%s", firn_code_name(ev.code));
	const struct firn_fetched *got = ev.code ? NULL : ev.result;
	if (got) {
		cr_assert_eq(got->n_part, 1);
		int code = got->part[0].code;
		cr_assert(!code || code == FIRN_ERANGE, "%s", firn_code_name(code));
		cr_assert_eq(got->part[0].gap, FIRN_GAP_NONE);
	}
	firn_release(ev.result);
}

/* A look with the n-th allocation failing; false: there were fewer. */
static bool look_without(long long n)
{
	struct firn_flush f = FIRN_FLUSH_INIT;
	const struct firn_req *r = &f.req;
	struct firn_error err = FIRN_ERROR_INIT;
	f.volume = reader.volume;
	f.req.cq = reader.cq;
	cr_assert_eq(firn_engine_submit(reader.engine, &r, 1, &err), 1, "%s", err.text);
	rests_at = mono_ns(NULL);
	faulty_arm(&faulty, FAULT_ALLOC, 0, n);
	(void)firn_engine_step(reader.engine, 0);
	bool failed = atomic_load(&faulty.n_failed) != 0;
	faulty_arm(&faulty, FAULT_ALLOC, 0, 0);
	return failed;
}

static void look_is_over(void)
{
	struct firn_event ev = { 0 };
	rests_at = 0;
	turned_by(20 * SECOND); /* beyond the pause behind a failure */
	cr_assert(looked || reap_one(&reader, &ev, 20000));
	cr_assert(looked || (ev.kind == FIRN_REQ_FLUSH && !ev.code));
	looked = false;
}

Test(follow_fault, whatever_fails_on_the_way_one_cut_is_seen)
{
	uint64_t s[2] = { new_stream(&writer, "a"), new_stream(&writer, "b") }, guest = 0;
	int i = 1;
	one_more(s, &guest, i++);
	store_all(&reader);
	for (long long n = 1; i < 200; n++, i++) {
		one_more(s, &guest, i);
		bool failed = look_without(n);
		one_cut(s, i);
		never_damage(s[0], mark_of(&reader, s[0], FIRN_MARK_START));
		look_is_over();
		cr_assert_eq(mark_of(&reader, s[0], FIRN_MARK_STORED), (uint64_t)i);
		one_cut(s, i);
		if (!failed)
			break;
	}
	cr_assert_lt(i, 200, "it fails for ever");
	char *was = volume_text(&writer, writer.volume), *now = volume_text(&reader, reader.volume);
	expect_text(was, now, "at the end");
	free(was);
	free(now);
}
