/* Readers elsewhere while their volume lives: many engines on one volume and its writer in another process, a takeover and an
 * abandon under way, a store that is away for a while. With the engines' own threads (PROTOCOL 22; P8, P10). */
#include "engine/os/env.h"
#include "tests/integration/site.h"
#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

TestSuite(follow_many, .timeout = 240);

enum { READERS = 8, STREAMS = 4, WRITES = 40, SLOTS = 2 * STREAMS };

static const char *const no_grace[] = { "delete_grace_ms=0", "layer_segments=4", NULL };

static struct site site;

static int look_from(struct host *h, const char *uri, uint32_t interval_ms)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_attach a = FIRN_ATTACH_INIT;
	struct firn_event ev = { 0 };
	a.store = uri;
	a.name = "v";
	a.attach_flags = FIRN_ATTACH_READ_ONLY;
	a.upload_interval_ms = interval_ms;
	int rc = firn_engine_call(h->engine, &a.req, &ev, &err);
	cr_assert_eq(rc, 0, "%s: %s", firn_code_name(rc), err.text);
	h->volume = ((const struct firn_attached *)ev.result)->volume;
	firn_release(ev.result);
	return rc;
}

static void start_reader(struct host *h, const char *name, uint32_t interval_ms)
{
	host_init(h, &site, name);
	host_open(h);
	(void)look_from(h, site.uri, interval_ms);
}

/* Streams in the order of their numbers, as one call shows them: one cut. Their ends are the same at each. */
static uint64_t ends_of(struct host *h)
{
	struct firn_stream_info s[SLOTS];
	int n = firn_stream_list(h->volume, NULL, NULL, s, sizeof s[0], SLOTS);
	cr_assert(n == 0 || n == STREAMS, "%d streams", n);
	for (int i = 1; i < n; i++) {
		cr_assert_eq(s[i].mark[FIRN_MARK_STORED], s[0].mark[FIRN_MARK_STORED],
		             "half a cut");
		cr_assert_eq(s[i].mark[FIRN_MARK_START], s[0].mark[FIRN_MARK_START], "half a cut");
	}
	return n ? s[0].mark[FIRN_MARK_STORED] : 0;
}

/* Writes of all streams at once, each stored; trims of all at once. In a process of its own, which dies without a word. */
static void write_much(void *arg)
{
	struct host h;
	uint64_t s[STREAMS];
	(void)arg;
	host_init(&h, &site, "writer");
	h.opts.options = no_grace;
	host_start(&h);
	struct firn_op op[STREAMS];
	struct firn_event ev;
	for (int i = 0; i < STREAMS; i++) {
		static const char *const name[] = { "a", "b", "c", "d" };
		op[i] = op_create(name[i]);
	}
	wrote(&h, op, STREAMS, &ev);
	struct firn_stream_info all[SLOTS];
	cr_assert_eq(firn_stream_list(h.volume, NULL, NULL, all, sizeof all[0], SLOTS), STREAMS);
	for (int i = 0; i < STREAMS; i++)
		s[i] = all[i].stream;
	for (int n = 1; n <= WRITES; n++) {
		struct iovec iov = io_of("x");
		for (int i = 0; i < STREAMS; i++)
			op[i] = n % 10 ? op_append(s[i], &iov) : op_trim(s[i], (uint64_t)n / 2);
		wrote(&h, op, STREAMS, NULL);
		store_all(&h);
	}
}

static uint64_t wait_for_end(struct host *h, uint64_t end)
{
	uint64_t was = 0, now;
	while ((now = ends_of(h)) < end) {
		cr_assert_geq(now, was, "offsets went back");
		was = now;
		(void)poll(NULL, 0, 5);
	}
	return now;
}

Test(follow_many, eight_engines_follow_a_writer_of_another_process)
{
	struct host h[READERS];
	struct firn_error err = FIRN_ERROR_INIT;
	char name[16];
	site_make(&site);
	host_init(&h[0], &site, "writer");
	host_start(&h[0]); /* a volume to look at */
	host_stop(&h[0], FIRN_DETACH_DRAIN);
	for (int i = 0; i < READERS; i++) {
		(void)snprintf(name, sizeof name, "r%d", i);
		start_reader(&h[i], name, 50);
	}
	pid_t child = fork();
	cr_assert_geq(child, 0);
	if (!child) {
		(void)alarm(200);
		write_much(NULL);
		_exit(77);
	}
	for (int i = 0; i < READERS; i++)
		(void)wait_for_end(&h[i], WRITES - WRITES / 10);
	int status;
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 77, "the writer ended with %#x",
	          status);
	store_all(&h[0]);
	char *first = volume_text(&h[0], h[0].volume);
	for (int i = 1; i < READERS; i++) {
		store_all(&h[i]);
		char *text = volume_text(&h[i], h[i].volume);
		expect_text(first, text, "another reader");
		free(text);
	}
	free(first);
	for (int i = 0; i < READERS; i++) {
		cr_assert_eq(host_detach(&h[i], h[i].volume, FIRN_DETACH_DRAIN, &err), 0);
		host_close(&h[i]);
	}
	site_remove(&site);
}

/* A fetch that waits at the end of what is stored. */
static struct firn_reader *wait_at(struct host *h, uint64_t s, uint64_t offset, uint16_t up_to)
{
	struct firn_reader *r;
	struct firn_reader_opts o = { .struct_size = sizeof o };
	struct firn_item item = {
		.volume = h->volume, .stream = s, .offset = offset, .up_to = up_to
	};
	struct firn_fetch f = FIRN_FETCH_INIT;
	const struct firn_req *req = &f.req;
	struct firn_error err = FIRN_ERROR_INIT;
	cr_assert_eq(firn_reader_open(h->engine, &o, &r, NULL), 0);
	cr_assert_eq(firn_reader_set(r, &item, sizeof item, 1), 0);
	f.reader = r;
	f.min_bytes = 1;
	f.req.cq = h->cq;
	f.max_wait_ms = 120000;
	cr_assert_eq(firn_engine_submit(h->engine, &req, 1, &err), 1, "%s", err.text);
	return r;
}

static void ends_with(struct host *h, struct firn_reader *r, int code, const char *text)
{
	struct firn_event ev;
	cr_assert_eq(firn_cq_reap(h->cq, &ev, sizeof ev, 1, 120000), 1);
	cr_assert_eq(ev.code, 0, "%s", firn_code_name(ev.code));
	const struct firn_fetched *got = ev.result;
	cr_assert_eq(got->n_part, 1);
	cr_assert_eq(got->part[0].code, code, "%s", firn_code_name(got->part[0].code));
	if (!code)
		cr_expect(got->part[0].n_iov == 1 &&
		          !memcmp(got->part[0].iov[0].iov_base, text, strlen(text)));
	firn_release(got);
	firn_reader_close(r);
}

static uint64_t hurried(void *ctx)
{
	struct timespec t;
	(void)ctx;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return ((uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec) * 20;
}

static void abandon_it(struct host *h)
{
	struct firn_attach r = FIRN_ATTACH_INIT;
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_event ev = { 0 };
	r.store = site.uri;
	r.name = "v";
	r.takeover = "abandon";
	r.req.timeout_ms = FIRN_FOREVER;
	int rc = firn_engine_call(h->engine, &r.req, &ev, &err);
	cr_assert_eq(rc, 0, "%s: %s", firn_code_name(rc), err.text);
	h->volume = ((const struct firn_attached *)ev.result)->volume;
	firn_release(ev.result);
}

Test(follow_many, takeovers_are_followed_and_what_was_abandoned_is_lost)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_volume_info info = { .struct_size = sizeof info };
	struct host a, b, c, r;
	site_make(&site);
	site_uri_add(&site, "deadline_ms=3600000");
	host_init(&a, &site, "a");
	host_init(&b, &site, "b");
	host_init(&c, &site, "c");
	host_start(&a);
	uint64_t s = new_stream(&a, "s"), quiet = new_stream(&a, "quiet");
	say(&a, s, "1");
	say(&a, quiet, "1");
	store_all(&a);
	start_reader(&r, "r", 50);
	struct firn_reader *waits = wait_at(&r, s, 1, FIRN_MARK_STORED);
	host_stop(&a, FIRN_DETACH_DRAIN);
	host_start(&b);
	say(&b, s, "2");
	store_all(&b);
	ends_with(&r, waits, 0, "2");
	cr_assert_eq(firn_volume_info(r.volume, &info), 0);
	cr_expect_eq(info.epoch, 2, "the new writer's");

	say(&b, s, "never stored");
	host_stop(&b, FIRN_DETACH_ABORT);
	waits = wait_at(&r, s, 2, FIRN_MARK_DURABLE);
	struct firn_env fast = *env_default();
	fast.mono_ns = hurried;
	c.opts.env = &fast;
	host_open(&c);
	abandon_it(&c);
	say(&c, s, "3");
	store_all(&c);
	ends_with(&r, waits, FIRN_ELOST, NULL); /* told by the attach's manifest already */
	store_all(&r);
	cr_expect_eq(mark_of(&r, s, FIRN_MARK_STORED), 3 + (UINT64_C(1) << 36));
	cr_expect_eq(mark_of(&r, quiet, FIRN_MARK_STORED), 1 + (UINT64_C(1) << 36));
	char *was = volume_text(&c, c.volume), *now = volume_text(&r, r.volume);
	expect_text(was, now, "behind the lost range");
	free(was);
	free(now);
	host_stop(&c, FIRN_DETACH_DRAIN);
	cr_assert_eq(host_detach(&r, r.volume, FIRN_DETACH_DRAIN, &err), 0);
	host_close(&r);
	site_remove(&site);
}

static uint32_t state_of(struct host *h)
{
	struct firn_volume_info info = { .struct_size = sizeof info };
	cr_assert_eq(firn_volume_info(h->volume, &info), 0);
	return info.state;
}

Test(follow_many, in_an_outage_what_is_in_memory_is_read_and_then_it_goes_on)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct host a, r;
	char inner[SITE_URI_MAX / 2];
	site_make(&site);
	site_uri(&site, "store", inner, sizeof inner);
	(void)snprintf(site.uri, sizeof site.uri, "fault:outage_while=%s/away:%s", site.dir, inner);
	site_uri_add(&site, "deadline_ms=1000");
	host_init(&a, &site, "a");
	host_start(&a);
	uint64_t s = new_stream(&a, "s");
	say(&a, s, "1");
	store_all(&a);
	start_reader(&r, "r", 50);
	char *all = NULL;
	cr_assert_eq(read_stream(&r, s, 0, &all), 0);
	cr_expect_str_eq(all, "1");
	free(all);
	site_run(&site, "touch away");
	while (state_of(&r) != FIRN_STATE_STORE_AWAY)
		(void)poll(NULL, 0, 5);
	cr_assert_eq(read_stream(&r, s, 0, &all), 0, "it is in memory");
	cr_expect_str_eq(all, "1");
	free(all);
	say(&a, s, "2");
	site_run(&site, "rm away");
	store_all(&a);
	struct firn_reader *waits = wait_at(&r, s, 1, FIRN_MARK_STORED);
	ends_with(&r, waits, 0, "2");
	cr_expect_eq(state_of(&r), FIRN_STATE_READ_ONLY);
	cr_assert_eq(host_detach(&r, r.volume, FIRN_DETACH_DRAIN, &err), 0);
	host_close(&r);
	host_stop(&a, FIRN_DETACH_DRAIN);
	site_remove(&site);
}
