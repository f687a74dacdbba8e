/* A store that loses answers, throttles, is away for long (PROTOCOL 7, P8): commits settle, nobody is
 * fenced by his own late PUT, writes go on, everything drains by itself. (P7) */
#include "engine/os/env.h"
#include "tests/integration/faulty.h"
#include "tests/integration/flaky_bed.h"
#include "tests/integration/site.h"
#include <criterion/criterion.h>
#include <firn/store.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(store_fault, .timeout = 240);

static struct site site;
static struct host a, b;
static struct flaky *flaky;

static void begin(const char *params)
{
	site_make_on_files(&site);
	flaky = flaky_bed(&site, params);
	host_init(&a, &site, "a");
	host_init(&b, &site, "b");
}

/* Every request is answered: the deadline is for none of them. */
static void setup(void)
{
	begin("deadline_ms=60000");
}

/* It is told to be away, and that shall be seen soon. */
static void setup_away(void)
{
	begin("deadline_ms=1000");
}

static void teardown(void)
{
	site_remove(&site);
}

static void has_all(struct host *h, uint64_t s, const char *want)
{
	char *got;
	cr_assert_eq(read_stream(h, s, 0, &got), 0);
	cr_expect_str_eq(got, want);
	free(got);
}

static void doubt(int how, int times)
{
	atomic_store(&flaky->cas_how, how);
	atomic_store(&flaky->cas, times);
}

static uint32_t state_of(struct host *h)
{
	struct firn_volume_info info = { .struct_size = sizeof info };
	cr_assert_eq(firn_volume_info(h->volume, &info), 0);
	return info.state;
}

/* Attach, commit and clean detach, each with `times` lost answers. */
static void settles(int how, int times)
{
	doubt(how, times);
	host_start(&a);
	uint64_t s = new_stream(&a, "s");
	say(&a, s, "1");
	doubt(how, times);
	store_all(&a);
	cr_expect_eq(state_of(&a), FIRN_STATE_OPEN);
	say(&a, s, "2");
	doubt(how, times);
	host_stop(&a, FIRN_DETACH_DRAIN);
	cr_expect_eq(atomic_load(&flaky->cas), 0, "it was tried");
	doubt(how, times);
	host_start(&b);
	has_all(&b, s, "12");
	cr_expect_eq(say(&b, s, "3"), 2);
	host_stop(&b, FIRN_DETACH_DRAIN);
	host_start(&a);
	has_all(&a, s, "123");
	host_stop(&a, FIRN_DETACH_DRAIN);
}

Test(store_fault, a_lost_answer_to_a_commit_that_was_done, .init = setup, .fini = teardown)
{
	settles(FLAKY_LOST, 1);
}

Test(store_fault, a_lost_answer_to_a_commit_that_was_not_done, .init = setup, .fini = teardown)
{
	settles(FLAKY_DROPPED, 1);
}

Test(store_fault, two_lost_answers_to_a_commit_that_was_not_done, .init = setup, .fini = teardown)
{
	settles(FLAKY_DROPPED, 2);
}

Test(store_fault, a_commit_that_lands_late, .init = setup, .fini = teardown)
{
	settles(FLAKY_LATE, 1);
}

Test(store_fault, throttling_only_takes_time, .init = setup, .fini = teardown)
{
	host_start(&a);
	uint64_t s = new_stream(&a, "s");
	say(&a, s, "1");
	atomic_store(&flaky->throttled, 7);
	store_all(&a);
	cr_expect_eq(atomic_load(&flaky->throttled), 0);
	host_stop(&a, FIRN_DETACH_DRAIN);
}

Test(store_fault, any_one_request_may_fail, .init = setup, .fini = teardown)
{
	const int how[] = { FIRN_STORE_RETRY, FIRN_STORE_AMBIGUOUS, FIRN_STORE_PERMANENT };
	char name[16];
	int number = 0;
	for (int k = 0; k < 3; k++)
		for (int n = 1, failed = 1; failed; n++) {
			struct firn_error err = FIRN_ERROR_INIT;
			(void)snprintf(name, sizeof name, "v%d", number++);
			host_open(&a);
			atomic_store(&flaky->n_failed, 0);
			atomic_store(&flaky->fail_how, how[k]);
			atomic_store(&flaky->fail_at, n);
			int rc = host_try_attach(&a, name, FIRN_ATTACH_CREATE, NULL, &a.volume,
			                         &err);
			cr_expect(rc == 0 || err.text[0]);
			if (rc)
				host_attach(&a, name);
			uint64_t s = new_stream(&a, "s");
			say(&a, s, "1");
			store_all(&a);
			say(&a, s, "2");
			cr_expect_eq(state_of(&a), FIRN_STATE_OPEN, "outcome %d of request %d",
			             how[k], n);
			host_stop(&a, FIRN_DETACH_DRAIN);
			failed = atomic_load(&flaky->n_failed);
			atomic_store(&flaky->fail_at, 0);
			host_open(&b);
			host_attach(&b, name);
			has_all(&b, s, "12");
			host_stop(&b, FIRN_DETACH_DRAIN);
			cr_assert_lt(n, 200);
		}
}

/* ---- an outage ---- */

static bool stored_up_to(struct host *h, uint64_t s, uint64_t offset)
{
	struct firn_reader *r;
	struct firn_item it = {
		.volume = h->volume, .stream = s, .offset = offset - 1, .up_to = FIRN_MARK_STORED
	};
	struct firn_fetch f = FIRN_FETCH_INIT;
	struct firn_event ev = { 0 };
	cr_assert_eq(firn_reader_open(h->engine, NULL, &r, NULL), 0);
	cr_assert_eq(firn_reader_set(r, &it, sizeof it, 1), 0);
	f.reader = r;
	f.max_wait_ms = 30000;
	f.req.flags = FIRN_FETCH_READY;
	(void)firn_engine_call(h->engine, &f.req, &ev, NULL);
	const struct firn_fetched *got = ev.result;
	bool yes = got && got->n_part == 1;
	firn_release(got);
	firn_reader_close(r);
	return yes;
}

/* Writes until there is no more room however long one waits: how many were acked. */
static uint64_t fill(struct host *h, uint64_t s, const char *data, size_t len)
{
	struct iovec iov = { (void *)(uintptr_t)data, len };
	struct firn_op op = op_append(s, &iov);
	struct firn_error err = FIRN_ERROR_INIT;
	uint64_t n = 0;
	int rc;
	while (!(rc = write_if_room(h, op)))
		n++;
	cr_expect_eq(rc, FIRN_ETIMEDOUT, "%s", firn_code_name(rc));
	cr_expect_eq(submit_ops(h, &op, 1, 0, 0, n, &err), FIRN_EFULL);
	return n;
}

Test(store_fault, writes_go_on_in_an_outage_until_the_share_is_full, .init = setup_away,
     .fini = teardown)
{
	static char data[20000];
	struct faulty f;
	struct firn_event ev;
	faulty_init(&f, env_default());
	a.opts.env = &f.env;
	a.opts.memory_bytes = 16 << 20;
	a.opts.options = (const char *const[]){ "segment_bytes=1M", "upload_interval_ms=50", NULL };
	memset(data, 'd', sizeof data);
	host_start(&a);
	uint64_t s = new_stream(&a, "s");
	say(&a, s, "before");
	store_all(&a);
	atomic_store(&flaky->away, 1);
	uint64_t n = fill(&a, s, data, sizeof data);
	cr_expect_gt(n * sizeof data, 16u << 20, "more than memory: %lu batches", n);
	cr_expect(state_of(&a) == FIRN_STATE_STORE_AWAY || state_of(&a) == FIRN_STATE_FULL);
	cr_expect_leq(atomic_load(&f.peak_bytes), 24 << 20, "memory is bounded: %lld",
	              (long long)atomic_load(&f.peak_bytes));
	cr_expect_eq(read_stream(&a, s, 1, NULL), 0, "what is only in the WAL is read");
	atomic_store(&flaky->away, 0);
	do
		cr_assert(reap_one(&a, &ev, 30000), "WRITABLE comes");
	while (ev.kind != FIRN_EV_WRITABLE);
	cr_expect(stored_up_to(&a, s, n + 1), "it drains by itself");
	cr_expect_eq(state_of(&a), FIRN_STATE_OPEN);
	cr_expect_eq(say(&a, s, "after"), n + 1);
	cr_expect_eq(read_stream(&a, s, 0, NULL), 0);
	host_stop(&a, FIRN_DETACH_DRAIN);
	cr_expect_eq(atomic_load(&f.live), 0);
}

Test(store_fault, a_restart_in_an_outage_loses_nothing, .init = setup_away, .fini = teardown)
{
	struct firn_error err = FIRN_ERROR_INIT;
	host_start(&a);
	uint64_t s = new_stream(&a, "s");
	say(&a, s, "1");
	store_all(&a);
	atomic_store(&flaky->away, 1);
	say(&a, s, "2");
	struct firn_detach d = FIRN_DETACH_INIT;
	struct firn_event ev;
	d.volume = a.volume;
	d.req.timeout_ms = 200;
	int rc = firn_engine_call(a.engine, &d.req, &ev, &err);
	cr_expect(rc == FIRN_ETIMEDOUT || rc == FIRN_ESTORE, "%s", firn_code_name(rc));
	firn_release(ev.result);
	cr_expect_eq(say(&a, s, "3"), 2, "still attached and open");
	host_stop(&a, FIRN_DETACH_KEEP_WAL);
	host_open(&a);
	host_attach(&a, "v");
	cr_expect_eq(state_of(&a), FIRN_STATE_STORE_AWAY);
	cr_expect_eq(say(&a, s, "4"), 3, "it goes on without the store");
	cr_expect_eq(read_stream(&a, s, 1, NULL), 0, "what is only in the WAL is read");
	host_open(&b);
	rc = host_try_attach(&b, "v", 0, NULL, &b.volume, &err);
	cr_expect_eq(rc, FIRN_ESTORE, "who has no part in it does not: %s", firn_code_name(rc));
	cr_expect(err.flags & FIRN_ERR_RETRY);
	host_close(&b);
	atomic_store(&flaky->away, 0);
	store_all(&a);
	cr_expect_eq(state_of(&a), FIRN_STATE_OPEN);
	has_all(&a, s, "1234");
	host_stop(&a, FIRN_DETACH_DRAIN);
}
