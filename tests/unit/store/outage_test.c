/* Between callers and a back end: the circuit (P8), the gate (P7), hedges, and what is
 * counted. */
#include "engine/store/internal.h"
#include "tests/unit/store/bed.h"
#include <pthread.h>

static struct trial t;

static void open_it(const char *format, const char *value)
{
	char uri[400];

	(void)snprintf(uri, sizeof uri, format, value);
	cr_assert_eq(store_open(env_default(), uri, &t.store, &t.err), FIRN_OK, "%s", t.err.text);
}

static uint64_t now_ns(void)
{
	return env_default()->mono_ns(env_default()->ctx);
}

static struct meter meter_now(void)
{
	struct meter m;

	store_meter(t.store, &m);
	return m;
}

TestSuite(outage, .timeout = 60);

/* ---- the circuit ---- */

enum { N_CALLERS = 32 };

static void *put_one(void *arg)
{
	struct iovec iov = { (void *)(uintptr_t) "x", 1 };
	char key[16];

	(void)snprintf(key, sizeof key, "k%d", *(int *)arg);
	return store_put(t.store, key, &iov, 1, STORE_ALWAYS, NULL, NULL, NULL) ? arg : NULL;
}

static int put_many(void)
{
	pthread_t thread[N_CALLERS];
	int n[N_CALLERS], failed = 0;

	for (int i = 0; i < N_CALLERS; i++) {
		n[i] = i;
		cr_assert_eq(pthread_create(&thread[i], NULL, put_one, &n[i]), 0);
	}
	for (int i = 0; i < N_CALLERS; i++) {
		void *rc;

		(void)pthread_join(thread[i], &rc);
		failed += rc != NULL;
	}
	return failed;
}

/* 32 callers that back off by themselves would send about 250 requests in these three seconds. */
Test(outage, no_storm_of_retries_whoever_asks_and_all_is_done_when_it_is_back)
{
	open_it("fault:outage=0+3000:mem:%s", "storm");
	cr_assert_eq(put_many(), 0);
	struct meter m = meter_now();

	cr_log_info("%d callers sent %llu requests in an outage of 3 s\n", N_CALLERS,
	            (unsigned long long)m.op[FIRN_STORE_PUT].n_retry);
	cr_assert_eq(m.n_outage, 1u);
	cr_assert_eq(m.op[FIRN_STORE_PUT].n_done, (uint64_t)N_CALLERS);
	cr_assert_leq(m.op[FIRN_STORE_PUT].n_retry, N_CALLERS + 8u + 12u,
	              "%llu requests in an outage of 3 s",
	              (unsigned long long)m.op[FIRN_STORE_PUT].n_retry);
	store_close(t.store);
}

Test(outage, a_call_that_waits_for_its_end_is_known_not_to_have_happened)
{
	open_it("fault:outage=0+3600000:mem:%s?deadline_ms=100", "away");
	for (int i = 0; i < 20; i++) {
		cr_assert_eq(try_put(&t, "k", "x", STORE_IF_ABSENT, NULL, NULL), FIRN_ESTORE);
		cr_assert_eq(t.err.flags, (uint32_t)FIRN_ERR_RETRY, "%s", t.err.text);
	}
	struct meter m = meter_now();

	cr_assert_eq(m.n_outage, 1u);
	cr_assert_gt(m.n_waited_out, 0u);
	cr_assert_lt(m.op[FIRN_STORE_PUT].n_sent, 20u, "most were not sent");
	store_close(t.store);
}

Test(outage, what_is_refused_for_good_or_throttled_is_no_outage)
{
	open_it("fault:throttle=100:mem:%s?deadline_ms=10", "throttled");
	for (int i = 0; i < 20; i++)
		cr_assert_eq(try_put(&t, "k", "x", STORE_ALWAYS, NULL, NULL), FIRN_ESTORE);
	cr_assert_eq(meter_now().n_outage, 0u);
	store_close(t.store);
	open_it("mem:%s", "absent");
	for (int i = 0; i < 20; i++)
		cr_assert_eq(store_stat(t.store, "no", NULL, NULL, &t.err), FIRN_ENOENT);
	cr_assert_eq(meter_now().n_outage, 0u);
	store_close(t.store);
}

/* ---- the gate ---- */

Test(outage, max_in_flight_is_kept)
{
	uint64_t begin;

	open_it("fault:latency_ms=5:mem:%s?max_in_flight=1", "narrow");
	begin = now_ns();
	cr_assert_eq(put_many(), 0);
	cr_assert_geq(now_ns() - begin, N_CALLERS * UINT64_C(5000000), "one after another");
	store_close(t.store);
}

Test(outage, requests_per_s_is_kept_after_a_burst)
{
	uint64_t begin;

	open_it("mem:%s?requests_per_s=100", "slow");
	begin = now_ns();
	cr_assert_eq(put_many(), 0);
	cr_assert_geq(now_ns() - begin, (N_CALLERS - 12) * UINT64_C(10000000));
	store_close(t.store);
}

Test(outage, mib_per_s_counts_bytes)
{
	static char mib[1 << 20];
	struct iovec iov = { mib, sizeof mib };
	uint64_t begin;

	open_it("mem:%s?mib_per_s=20", "thin");
	begin = now_ns();
	for (int i = 0; i < 10; i++)
		cr_assert_eq(store_put(t.store, "k", &iov, 1, STORE_ALWAYS, NULL, NULL, NULL), 0);
	cr_assert_geq(now_ns() - begin, UINT64_C(300000000), "10 MiB, 2 of them as a burst");
	store_close(t.store);
}

Test(outage, a_swap_finds_a_place_when_segments_take_all_others)
{
	struct firn_store_request segment = { .op = FIRN_STORE_PUT };
	struct firn_store_request read = { .op = FIRN_STORE_GET };
	struct firn_store_request swap = { .op = FIRN_STORE_PUT, .condition = FIRN_STORE_IF_MATCH };

	open_it("mem:%s?max_in_flight=3", "classes");
	cr_assert_eq(gate_enter(t.store, &segment, 0), 0);
	cr_assert_eq(gate_enter(t.store, &segment, 0), 0);
	cr_assert_eq(gate_enter(t.store, &segment, 0), -1, "the last place is kept");
	cr_assert_eq(gate_enter(t.store, &swap, 0), 0);
	cr_assert_eq(gate_enter(t.store, &read, 0), -1, "full");
	gate_leave(t.store);
	cr_assert_eq(gate_enter(t.store, &read, 0), 0);
	for (int i = 0; i < 3; i++)
		gate_leave(t.store);
	store_close(t.store);
}

Test(outage, parameters_of_ours_are_read_strictly)
{
	static const char *const wrong[] = { "max_in_flight=0",   "max_in_flight=x",  "mib_per_s=",
		                             "requests_per_s=-1", "hedge_ms=3600001", "hedge=1" };
	char uri[100];

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		(void)snprintf(uri, sizeof uri, "mem:x?%s", wrong[i]);
		cr_assert_eq(store_open(env_default(), uri, &t.store, &t.err), FIRN_EINVAL, "%s",
		             uri);
	}
}

/* ---- hedges ---- */

Test(outage, a_slow_read_is_asked_twice_and_the_first_answer_wins)
{
	uint8_t data[5000], back[5000];
	struct iovec iov = { data, sizeof data };

	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(i * 7);
	open_it("fault:seed=3,jitter_ms=150:mem:%s?hedge_ms=20", "hedged");
	cr_assert_eq(store_put(t.store, "k", &iov, 1, STORE_ALWAYS, NULL, NULL, NULL), FIRN_OK);
	for (int i = 0; i < 30; i++) {
		size_t got = 0;

		memset(back, 0, sizeof back);
		cr_assert_eq(store_get(t.store, "k", 0, back, sizeof back, &got, &t.err), FIRN_OK,
		             "%s", t.err.text);
		cr_assert_eq(got, sizeof back);
		cr_assert_eq(memcmp(back, data, sizeof back), 0);
	}
	struct meter m = meter_now();

	cr_assert_gt(m.n_hedge, 5u);
	cr_assert_gt(m.n_hedge_won, 0u);
	cr_assert_lt(m.n_hedge_won, m.n_hedge);
	store_close(t.store);
}

Test(outage, a_hedge_helps_when_an_answer_is_lost_and_never_repeats_a_put)
{
	char back[5];
	size_t got = 0;

	open_it("fault:seed=8,lost=20,jitter_ms=30:mem:%s?hedge_ms=5", "lossy");
	(void)put(&t, "k", "bytes");
	for (int i = 0; i < 50; i++) {
		cr_assert_eq(store_get(t.store, "k", 0, back, sizeof back, &got, &t.err), FIRN_OK);
		cr_assert_eq(memcmp(back, "bytes", 5), 0);
	}
	cr_assert_eq(meter_now().op[FIRN_STORE_PUT].n_again,
	             meter_now().op[FIRN_STORE_PUT].n_ambiguous,
	             "only what was in doubt was sent again");
	store_close(t.store);
}

/* Until the losers are answered, too: n_loser and what hangs on it. */
static void wait_for_losers(void)
{
	for (uint32_t n = 1; n;) {
		pthread_mutex_lock(&t.store->lock);
		n = t.store->n_loser;
		pthread_mutex_unlock(&t.store->lock);
		(void)usleep(1000);
	}
}

static void get_some(int n)
{
	char back[5];
	size_t got = 0;

	for (int i = 0; i < n; i++)
		cr_assert_eq(store_get(t.store, "k", 0, back, sizeof back, &got, &t.err), FIRN_OK,
		             "%s", t.err.text);
}

Test(outage, a_hedge_takes_a_place_in_the_gate_or_does_not_go)
{
	open_it("fault:latency_ms=20:mem:%s?hedge_ms=2&max_in_flight=1", "full");
	(void)put(&t, "k", "bytes");
	get_some(5);
	cr_assert_eq(meter_now().n_hedge, 0u, "the only place is the first one's");
	store_close(t.store);
	open_it("fault:latency_ms=20:mem:%s?hedge_ms=2&max_in_flight=3", "room");
	(void)put(&t, "k", "bytes");
	get_some(5);
	cr_assert_gt(meter_now().n_hedge, 0u);
	wait_for_losers();
	cr_assert_eq(t.store->gate.n_running, 0u, "every place is given back");
	store_close(t.store);
}

/* It is what the store sees and bills. */
Test(outage, both_of_a_hedge_are_counted)
{
	open_it("fault:latency_ms=20:mem:%s?hedge_ms=2", "both");
	(void)put(&t, "k", "bytes");
	get_some(5);
	wait_for_losers();
	struct meter m = meter_now();

	/* Who was not awake until the answer came had no reason to ask again. */
	cr_assert(m.n_hedge > 0 && m.n_hedge <= 5);
	cr_assert_eq(m.op[FIRN_STORE_GET].n_sent, 5 + m.n_hedge);
	cr_assert_eq(m.op[FIRN_STORE_GET].n_again, m.n_hedge);
	store_close(t.store);
}

static void *alloc_small(void *ctx, size_t size, size_t align)
{
	(void)ctx;
	return size < 100000 ? env_default()->alloc(env_default()->ctx, size, align) : NULL;
}

/* A hedge costs a copy of the request. Where there is no memory for one it is a GET like any other. */
Test(outage, without_memory_for_a_hedge_a_read_is_asked_once)
{
	static uint8_t back[200000];
	struct firn_env env = *env_default();
	size_t got = 0;

	open_it("mem:%s", "poor");
	(void)put(&t, "k", "bytes");
	env.alloc = alloc_small;
	struct store *poor;

	cr_assert_eq(store_open(&env, "mem:poor?hedge_ms=1000", &poor, &t.err), FIRN_OK);
	cr_assert_eq(store_get(poor, "k", 0, back, sizeof back, &got, &t.err), FIRN_OK, "%s",
	             t.err.text);
	cr_assert_eq(got, 5u);
	store_close(poor);
	store_close(t.store);
}

/* ---- what is counted ---- */

Test(outage, requests_bytes_and_outcomes_are_counted)
{
	static const struct meter_prices prices = { .per_1000_put = 5000000,
		                                    .per_1000_get = 400000,
		                                    .per_gib_in = 90000000 };
	char back[16];
	size_t got = 0;

	open_it("mem:%s", "counted");
	(void)put(&t, "a", "12345");
	cr_assert_eq(try_put(&t, "a", "x", STORE_IF_ABSENT, NULL, NULL), FIRN_ECONFLICT);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(store_get(t.store, "a", 0, back, sizeof back, &got, &t.err), FIRN_OK);
	cr_assert_str_eq(keys_of(&t, "", ""), "a ");
	struct meter m = meter_now();

	cr_assert_eq(m.op[FIRN_STORE_PUT].n_sent, 2u);
	cr_assert_eq(m.op[FIRN_STORE_PUT].n_done, 1u);
	cr_assert_eq(m.op[FIRN_STORE_PUT].n_refused, 1u);
	cr_assert_eq(m.op[FIRN_STORE_PUT].bytes_out, 6u);
	cr_assert_eq(m.op[FIRN_STORE_GET].n_done, 3u);
	cr_assert_eq(m.op[FIRN_STORE_GET].bytes_in, 15u);
	cr_assert_eq(m.op[FIRN_STORE_LIST].n_sent, 1u);
	cr_assert_gt(meter_latency_us(&m.op[FIRN_STORE_GET], 500), 0u);
	cr_assert_geq(meter_latency_us(&m.op[FIRN_STORE_GET], 999),
	              meter_latency_us(&m.op[FIRN_STORE_GET], 500));
	cr_assert_eq(meter_latency_us(&m.op[FIRN_STORE_STAT], 500), 0u);
	/* 3 puts and lists at 5 per 1000, 3 gets at 0.4 per 1000, in millionths */
	cr_assert_eq(meter_money(&m, &prices), 15000u + 1200u);
	m.op[FIRN_STORE_GET].bytes_in = UINT64_C(3) << 30;
	cr_assert_eq(meter_money(&m, &prices), 15000u + 1200u + 270000000u);
	store_close(t.store);
}

Test(outage, prices_are_those_of_the_uri_or_none)
{
	static const char *const wrong[] = {
		"1,2,3,4,5", "1,",    "",          "1000.000001", "-1",
		"1e3",       "1.2.3", "0.1234567", "1,,2",        ".5"
	};
	struct meter_prices p;

	cr_assert_eq(meter_prices_parse("0.005,0.0004,0.09,1000", &p), 0);
	cr_assert(p.per_1000_put == 5000 && p.per_1000_get == 400 && p.per_gib_in == 90000 &&
	          p.per_gib_out == 1000000000);
	cr_assert_eq(meter_prices_parse("12", &p), 0);
	cr_assert(p.per_1000_put == 12000000 && !p.per_1000_get && !p.per_gib_in && !p.per_gib_out);
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		cr_expect_eq(meter_prices_parse(wrong[i], &p), -1, "%s", wrong[i]);
	cr_assert_eq(store_open(env_default(), "mem:x?prices=much", &t.store, &t.err), FIRN_EINVAL);
	open_it("mem:%s?prices=1,0", "dear");
	(void)put(&t, "k", "x");
	cr_assert_eq(meter_now().money, 1000u);
	store_close(t.store);
	open_it("mem:%s", "free");
	(void)put(&t, "k", "x");
	cr_assert_eq(meter_now().money, 0u);
	store_close(t.store);
}

Test(outage, attempts_are_counted_as_the_store_sees_them)
{
	open_it("fault:seed=2,reset=30:mem:%s", "again");
	for (int i = 0; i < 60; i++)
		(void)put(&t, "k", "x");
	struct meter m = meter_now();
	const struct meter_op *op = &m.op[FIRN_STORE_PUT];

	cr_assert_eq(op->n_done, 60u);
	cr_assert_gt(op->n_retry, 0u);
	cr_assert_eq(op->n_sent, op->n_done + op->n_retry);
	cr_assert_eq(op->n_again, op->n_retry);
	store_close(t.store);
}
