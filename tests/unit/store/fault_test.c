/* fault: in front of a store: each fault does what its name says, the same seed the same, and what
 * the engine builds on top holds. */
#include "engine/store/fault.h"
#include "engine/store/internal.h"
#include "tests/unit/store/bed.h"
#include <stdlib.h>
#include <unistd.h>

static struct trial t;

static void open_fault(const char *script)
{
	char uri[400];

	(void)snprintf(uri, sizeof uri, "fault:%s:mem:trial", script);
	cr_assert_eq(store_open(env_default(), uri, &t.store, &t.err), FIRN_OK, "%s", t.err.text);
}

static void close_it(void)
{
	store_close(t.store);
}

TestSuite(fault, .timeout = 60);

/* ---- the script ---- */

Test(fault, a_script_is_read_strictly)
{
	static const char *const wrong[] = {
		"fault:mem:x",
		"fault::mem:x",
		"fault:lost:mem:x",
		"fault:lost=:mem:x",
		"fault:lost=101:mem:x",
		"fault:lost=100.1:mem:x",
		"fault:lost=-1:mem:x",
		"fault:lost=5",
		"fault:lost=5,:mem:x",
		"fault:lose=5:mem:x",
		"fault:seed=18446744073709551616:mem:x",
		"fault:latency_ms=3600001:mem:x",
		"fault:outage=5:mem:x",
		"fault:outage_while=relative:mem:x",
		"fault:outage_while=:mem:x",
		"fault:ignore=none:mem:x",
		"fault:seed=1:fault:seed=1:fault:seed=1:fault:seed=1:fault:seed=1:mem:x",
	};

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		struct store *s = NULL;

		cr_assert_eq(store_open(env_default(), wrong[i], &s, &t.err), FIRN_EINVAL, "%s",
		             wrong[i]);
	}
}

Test(fault, a_script_means_what_it_says)
{
	struct fault_script s;
	const char *rest;

	cr_assert_eq(fault_parse("mem:x", &s, &rest, NULL), 0);
	cr_assert_eq(fault_parse("fault:seed=18446744073709551615,lost=0.05,flip=100,outage=10+20,"
	                         "ignore=both,jitter_ms=7:fault:seed=1:mem:x",
	                         &s, &rest, NULL),
	             1);
	cr_assert_str_eq(rest, "fault:seed=1:mem:x");
	cr_assert_eq(s.seed, UINT64_MAX);
	cr_assert_eq(s.lost, 500u);
	cr_assert_eq(s.flip, 1000000u);
	cr_assert_eq(s.outage_from_ms, 10u);
	cr_assert_eq(s.outage_for_ms, 20u);
	cr_assert_eq(s.jitter_ms, 7u);
	cr_assert_eq(s.ignore, 6u);
}

Test(fault, the_uri_is_shown_with_the_script_and_without_secrets)
{
	struct store *s;

	cr_assert_eq(store_open(env_default(), "fault:seed=1:mem:x?api_key=abc", &s, &t.err),
	             FIRN_EINVAL);
	cr_assert_null(strstr(t.err.text, "abc"), "%s", t.err.text);
	open_fault("seed=3,lost=0");
	cr_assert_str_eq(store_uri_shown(t.store), "fault:seed=3,lost=0:mem:trial");
	close_it();
}

/* ---- each fault, seen from the raw answer ---- */

static struct store_slot *ask(uint32_t op, struct iovec *iov)
{
	struct store_slot *slot = slot_get(t.store);

	slot->req = (struct firn_store_request){ .op = op, .key = "k" };
	if (iov) {
		slot->req.iov = iov;
		slot->req.n_iov = 1;
		slot->req.len = iov->iov_len;
	}
	slot_submit(slot);
	slot_wait(slot, UINT64_MAX / 2);
	slot_put(slot); /* its answer stands until the next ask() */
	return slot;
}

static uint32_t put_outcome(void)
{
	struct iovec iov = { (void *)(uintptr_t) "bytes", 5 };

	return ask(FIRN_STORE_PUT, &iov)->req.outcome;
}

Test(fault, throttle_names_the_time_and_nothing_is_done)
{
	open_fault("throttle=100,retry_after_ms=40");
	cr_assert_eq(put_outcome(), FIRN_STORE_THROTTLED);
	cr_assert_eq(ask(FIRN_STORE_STAT, NULL)->error.retry_after_ms, 40u);
	close_it();
	open_fault("seed=0");
	cr_assert_eq(ask(FIRN_STORE_STAT, NULL)->req.code, FIRN_ENOENT);
	close_it();
}

Test(fault, what_is_lost_was_done_and_what_is_dropped_was_not)
{
	open_fault("dropped=100");
	cr_assert_eq(put_outcome(), FIRN_STORE_AMBIGUOUS);
	close_it();
	open_fault("seed=0");
	cr_assert_eq(ask(FIRN_STORE_STAT, NULL)->req.code, FIRN_ENOENT);
	close_it();
	open_fault("lost=100");
	cr_assert_eq(put_outcome(), FIRN_STORE_AMBIGUOUS);
	close_it();
	open_fault("seed=0");
	cr_assert_eq(ask(FIRN_STORE_STAT, NULL)->req.size, 5u);
	close_it();
}

Test(fault, an_outage_lasts_as_long_as_there_is_a_file)
{
	char path[] = "/tmp/firn-fault-XXXXXX", script[80];
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	(void)close(fd);
	(void)snprintf(script, sizeof script, "seed=1,outage_while=%s", path);
	open_fault(script);
	cr_expect_eq(put_outcome(), FIRN_STORE_RETRY);
	cr_assert_eq(unlink(path), 0);
	cr_expect_eq(put_outcome(), FIRN_STORE_DONE);
	close_it();
}

Test(fault, a_cut_lets_one_request_through_without_its_answer_and_none_behind_it)
{
	open_fault("cut=2");
	cr_expect_eq(ask(FIRN_STORE_STAT, NULL)->req.code, FIRN_ENOENT);
	cr_expect_eq(put_outcome(), FIRN_STORE_AMBIGUOUS);
	cr_expect_eq(ask(FIRN_STORE_STAT, NULL)->req.outcome, FIRN_STORE_RETRY);
	cr_expect_eq(ask(FIRN_STORE_DELETE, NULL)->req.outcome, FIRN_STORE_RETRY);
	close_it();
	open_fault("cut=0");
	cr_expect_eq(ask(FIRN_STORE_STAT, NULL)->req.size, 5u);
	close_it();
}

static uint64_t turned_ns;

static uint64_t turned(void *ctx)
{
	(void)ctx;
	return turned_ns;
}

Test(fault, an_outage_begins_and_ends)
{
	struct firn_env env = *env_default();
	struct store_slot *slot;

	env.mono_ns = turned;
	turned_ns = 1;
	cr_assert_eq(store_open(&env, "fault:outage=0+150:mem:trial", &t.store, &t.err), FIRN_OK,
	             "%s", t.err.text);
	cr_assert_eq(put_outcome(), FIRN_STORE_RETRY);
	turned_ns += 149000000;
	slot = ask(FIRN_STORE_STAT, NULL);
	cr_assert_not_null(strstr(slot->error.text, "outage"), "%s", slot->error.text);
	turned_ns += 1000000;
	(void)put(&t, "k", "when it is back");
	cr_assert_eq(put_outcome(), FIRN_STORE_DONE);
	close_it();
}

Test(fault, a_flipped_bit_is_one_bit)
{
	uint8_t back[64], data[64];
	struct iovec iov = { data, sizeof data }, to = { back, sizeof back };
	int n = 0;

	memset(data, 0x5a, sizeof data);
	open_fault("flip=100");
	cr_assert_eq(ask(FIRN_STORE_PUT, &iov)->req.outcome, FIRN_STORE_DONE);
	for (int i = 0; i < 50; i++, n = 0) {
		cr_assert_eq(ask(FIRN_STORE_GET, &to)->req.got, sizeof back);
		for (size_t b = 0; b < sizeof back; b++)
			n += __builtin_popcount(back[b] ^ data[b]);
		cr_assert_eq(n, 1);
	}
	close_it();
}

Test(fault, a_cut_body_is_noticed_by_the_engine_and_asked_for_again)
{
	uint8_t back[64];
	struct iovec to = { back, sizeof back };
	size_t got = 0;

	open_fault("truncate=100");
	(void)put(&t, "k", "0123456789");
	cr_assert_eq(ask(FIRN_STORE_GET, &to)->req.outcome, FIRN_STORE_RETRY);
	close_it();
	open_fault("seed=5,truncate=50");
	for (int i = 0; i < 30; i++) {
		cr_assert_eq(store_get(t.store, "k", 0, back, sizeof back, &got, &t.err), FIRN_OK);
		cr_assert_eq(got, 10u);
	}
	close_it();
}

Test(fault, an_answer_comes_late_and_cancelling_ends_the_wait)
{
	const struct firn_env *env = env_default();
	struct store_slot *slot;
	uint64_t begin;

	open_fault("latency_ms=60");
	begin = env->mono_ns(env->ctx);
	cr_assert_eq(put_outcome(), FIRN_STORE_DONE);
	cr_assert_geq(env->mono_ns(env->ctx) - begin, 60000000u);
	close_it();
	open_fault("latency_ms=3600000");
	slot = slot_get(t.store);
	slot->req = (struct firn_store_request){ .op = FIRN_STORE_STAT, .key = "k" };
	slot_submit(slot);
	slot_wait(slot, 0); /* its time is up: it is cancelled, and ends as it ended */
	cr_assert_eq(slot->req.size, 5u);
	slot_put(slot);
	close_it();
}

static uint64_t fates(const char *script)
{
	uint64_t sum = 0;

	open_fault(script);
	for (int i = 0; i < 300; i++)
		sum = sum * 31 + ask(FIRN_STORE_STAT, NULL)->req.outcome;
	close_it();
	return sum;
}

Test(fault, the_same_seed_is_the_same_fate)
{
	const char *one = "seed=1,throttle=10,reset=10,lost=10",
	           *two = "seed=2,throttle=10,reset=10,lost=10";

	cr_assert_eq(fates(one), fates(one));
	cr_assert_neq(fates(one), fates(two));
}

Test(fault, shares_are_about_what_was_asked_for)
{
	int n = 0;

	open_fault("seed=9,reset=5");
	for (int i = 0; i < 4000; i++)
		n += ask(FIRN_STORE_STAT, NULL)->req.outcome == FIRN_STORE_RETRY;
	cr_assert(n > 120 && n < 280, "%d of 4000, expected about 200", n);
	close_it();
}

/* ---- what is built on it ---- */

Test(fault, a_store_that_ignores_conditions_is_found_out_by_the_probe)
{
	static const char *const scripts[][2] = {
		{ "ignore=absent", "more than one won" },
		{ "ignore=match", "put-if-match created a key" },
		{ "ignore=both,seed=3,jitter_ms=3", "put-if-match created a key" },
	};

	for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
		open_fault(scripts[i][0]);
		cr_assert_eq(store_probe(t.store, &t.err), FIRN_EUNSUPPORTED, "%s", scripts[i][0]);
		cr_assert_not_null(strstr(t.err.text, scripts[i][1]), "%s", t.err.text);
		close_it();
	}
}

Test(fault, an_honest_store_that_is_hard_to_reach_passes_the_probe)
{
	for (int seed = 0; seed < 20; seed++) {
		char script[100];

		(void)snprintf(script, sizeof script,
		               "seed=%d,throttle=5,reset=5,lost=3,dropped=3,truncate=5", seed);
		open_fault(script);
		int rc = store_probe(t.store, &t.err);

		cr_assert(rc == FIRN_OK || (rc == FIRN_ESTORE && t.err.flags), "seed %d: %s", seed,
		          t.err.text);
		close_it();
	}
}
