/* Salvage: what an abandoned WAL acked comes back at its old offsets, once, and nothing else moves. (P2, P3, P10) */
#include "engine/os/env.h"
#include "engine/salvage/salvage.h"
#include "tests/integration/site.h"
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

TestSuite(salvage, .timeout = 120);

#define SKIP (UINT64_C(1) << 36)

/* a is the one whose tail was given up, b gave it up, c puts it back. */
static struct site site;
static struct host a, b, c;
static struct firn_env fast;

/* A clock that runs a hundred times as fast while a takeover watches the old writer, and no longer: what has a time of its own
 * to end in gets all of it. */
static pthread_mutex_t clock_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t hurry_from, ahead; /* hurry_from 0: it runs as any */

static uint64_t real_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t hurried(void *ctx)
{
	(void)ctx;
	pthread_mutex_lock(&clock_lock);
	uint64_t now = real_ns();
	now += ahead + (hurry_from ? (now - hurry_from) * 99 : 0);
	pthread_mutex_unlock(&clock_lock);
	return now;
}

static void hurry(bool on)
{
	pthread_mutex_lock(&clock_lock);
	uint64_t now = real_ns();
	ahead += hurry_from ? (now - hurry_from) * 99 : 0;
	hurry_from = on ? now : 0;
	pthread_mutex_unlock(&clock_lock);
}

static void setup(void)
{
	site_make_on_files(&site);
	site_uri_add(&site, "deadline_ms=3600000");
	host_init(&a, &site, "a");
	host_init(&b, &site, "b");
	host_init(&c, &site, "c");
	fast = *env_default();
	fast.mono_ns = hurried;
	b.opts.env = &fast;
}

static void teardown(void)
{
	site_remove(&site);
}

static void abandon_by(struct host *h)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_attach r = FIRN_ATTACH_INIT;
	struct firn_event ev = { 0 };
	host_open(h);
	hurry(true);
	r.store = site.uri;
	r.name = "v";
	r.takeover = "abandon";
	r.req.timeout_ms = FIRN_FOREVER;
	int rc = firn_engine_call(h->engine, &r.req, &ev, &err);
	hurry(false);
	cr_assert_eq(rc, 0, "%s: %s", firn_code_name(rc), err.text);
	h->volume = ((const struct firn_attached *)ev.result)->volume;
	firn_release(ev.result);
}

static void abandon(void)
{
	abandon_by(&b);
}

static int salvage_with(struct host *h, const char *from, const struct salvage_opts *with,
                        struct salvage_report *out, struct firn_error *err)
{
	char dir[128];
	struct salvage_opts o = with ? *with : (struct salvage_opts){ 0 };
	(void)snprintf(dir, sizeof dir, "%s/%s/wal", site.dir, from);
	o.env = env_default();
	o.wal_dir = dir;
	return salvage_run(h->engine, h->volume, &o, out, err);
}

/* From a's directory; returns how many batches came back. */
static uint64_t salvage(struct host *h, struct salvage_report *out)
{
	struct firn_error err = FIRN_ERROR_INIT;
	int rc = salvage_with(h, "a", NULL, out, &err);
	cr_assert_eq(rc, 0, "%s: %s", firn_code_name(rc), err.text);
	salvage_report_fini(out);
	return out->of[SALVAGE_PUT].batches;
}

static void reads(struct host *h, uint64_t s, uint64_t at, const char *text)
{
	const struct firn_fetched *f = NULL;
	struct firn_error err = FIRN_ERROR_INIT;
	int rc = firn_stream_read(h->volume, s, at, 1, 5000, &f, &err);
	cr_assert_eq(rc, 0, "offset %lu: %s: %s", at, firn_code_name(rc), err.text);
	cr_assert(f->n_part && f->part->n_batch);
	const struct firn_batch *g = f->part->batch;
	cr_expect(g->offset == at && g->len == strlen(text) && !memcmp(g->data, text, g->len),
	          "offset %lu: %.*s at %lu, not %s", at, (int)g->len, g->data, g->offset, text);
	firn_release(f);
}

/* Lost from `at`, in the gap [from, to). */
static void lost(struct host *h, uint64_t s, uint64_t at, uint64_t from, uint64_t to)
{
	struct firn_reader *r;
	struct firn_reader_opts o = { .struct_size = sizeof o };
	struct firn_item item = { .volume = h->volume, .stream = s, .offset = at };
	struct firn_fetch f = FIRN_FETCH_INIT;
	struct firn_event ev = { 0 };
	cr_assert_eq(firn_reader_open(h->engine, &o, &r, NULL), 0);
	cr_assert_eq(firn_reader_set(r, &item, sizeof item, 1), 0);
	f.reader = r;
	f.max_wait_ms = 5000;
	cr_assert_eq(firn_engine_call(h->engine, &f.req, &ev, NULL), 0);
	const struct firn_fetched *got = ev.result;
	cr_assert_eq(got->n_part, 1);
	const struct firn_part *p = got->part;
	cr_expect(p->code == FIRN_ELOST && p->gap_from == from && p->gap_to == to,
	          "offset %lu: %s, [%lu, %lu), not [%lu, %lu)", at, firn_code_name(p->code),
	          p->gap_from, p->gap_to, from, to);
	firn_release(got);
	firn_reader_close(r);
}

/* Stored 1 2, acked only 3 4 5; then given up, and 6 behind the range. */
static uint64_t world(void)
{
	host_start(&a);
	uint64_t s = new_stream(&a, "s");
	say(&a, s, "1");
	say(&a, s, "2");
	store_all(&a);
	say(&a, s, "3");
	say(&a, s, "4");
	say(&a, s, "5");
	host_stop(&a, FIRN_DETACH_ABORT);
	abandon();
	cr_assert_eq(say(&b, s, "6"), 2 + SKIP);
	host_stop(&b, FIRN_DETACH_DRAIN);
	return s;
}

static void is_back(struct host *h, uint64_t s)
{
	reads(h, s, 1, "2");
	reads(h, s, 2, "3");
	reads(h, s, 3, "4");
	reads(h, s, 4, "5");
	lost(h, s, 5, 5, 2 + SKIP);
	lost(h, s, 1 + SKIP, 5, 2 + SKIP);
	reads(h, s, 2 + SKIP, "6");
}

Test(salvage, what_was_acked_is_read_where_it_was, .init = setup, .fini = teardown)
{
	struct salvage_report r;
	uint64_t s = world();
	host_start(&c);
	lost(&c, s, 2, 2, 2 + SKIP);
	cr_expect_eq(salvage(&c, &r), 3);
	cr_expect(r.n_lost == 1 && r.n_missing == 0 && !r.damage[0]);
	is_back(&c, s);
	cr_expect_eq(say(&c, s, "7"), 3 + SKIP, "the stream goes on where it was");
	char *was = volume_text(&c, c.volume);
	cr_expect_eq(salvage(&c, &r), 0, "a second time there is nothing to do");
	cr_expect_eq(r.of[SALVAGE_THERE].batches, 3);
	expect_text(was, volume_text(&c, c.volume), "after the second run");
	host_stop(&c, FIRN_DETACH_DRAIN);
	host_start(&a); /* whose index ends before the range */
	is_back(&a, s);
	host_stop(&a, FIRN_DETACH_DRAIN);
	host_start(&b); /* and behind it */
	is_back(&b, s);
	reads(&b, s, 3 + SKIP, "7");
	host_stop(&b, FIRN_DETACH_DRAIN);
	free(was);
}

Test(salvage, what_was_put_back_lies_in_layers_like_all_else, .init = setup, .fini = teardown)
{
	const char *const option[] = { "layer_segments=2", NULL };
	struct salvage_report r;
	c.opts.options = option;
	uint64_t s = world();
	host_start(&c);
	cr_expect_eq(salvage(&c, &r), 3);
	for (int i = 0; i < 6; i++) {
		say(&c, s, "x");
		store_all(&c);
	}
	is_back(&c, s);
	host_stop(&c, FIRN_DETACH_DRAIN);
	site_run(&site, "rm -rf c");
	host_start(&c);
	is_back(&c, s);
	host_stop(&c, FIRN_DETACH_DRAIN);
}

static struct salvage_report seen_by_child;
static uint32_t die_at, n_progress;

static void die(void *arg, const struct salvage_report *so_far)
{
	(void)arg;
	(void)so_far;
	if (n_progress++ == die_at)
		_exit(77);
}

static void salvage_and_die(void *arg)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct salvage_opts o = { .progress = die };
	(void)arg;
	host_start(&c);
	(void)salvage_with(&c, "a", &o, &seen_by_child, &err);
}

Test(salvage, a_crash_at_any_write_leaves_what_another_run_ends, .init = setup, .fini = teardown)
{
	struct salvage_report r;
	uint64_t s = world();
	for (die_at = 0; die_at < 4; die_at++) {
		n_progress = 0;
		crash_after(salvage_and_die, NULL);
	}
	host_start(&c);
	(void)salvage(&c, &r);
	cr_expect_eq(r.of[SALVAGE_PUT].batches + r.of[SALVAGE_THERE].batches, 3);
	is_back(&c, s);
	host_stop(&c, FIRN_DETACH_DRAIN);
}

static struct firn_op sent(uint64_t s, const struct iovec *iov, uint64_t producer, uint64_t seq)
{
	struct firn_op op = op_append(s, iov);
	op.flags |= FIRN_APPEND_PRODUCER;
	op.u.append.producer_id = producer;
	op.u.append.producer_seq = seq;
	return op;
}

static struct firn_op keyed(uint64_t s, const struct iovec *iov, const char *key)
{
	struct firn_op op = op_append(s, iov);
	op.u.append.key = (const uint8_t *)key;
	op.u.append.key_len = (uint8_t)strlen(key);
	return op;
}

Test(salvage, what_was_sent_again_stays_lost, .init = setup, .fini = teardown)
{
	struct firn_stream_config config = { .struct_size = sizeof config, .key_window_n = 100 };
	struct salvage_report r;
	struct iovec x = io_of("x"), y = io_of("y");
	host_way(&c, WAY_NO_THREADS); /* all of it becomes one round */
	host_start(&a);
	uint64_t s = new_stream(&a, "s"), k = new_stream(&a, "k");
	struct firn_op op = { .kind = FIRN_OP_CONFIG, .stream = k };
	op.u.stream.config = &config;
	wrote(&a, &op, 1, NULL);
	store_all(&a);
	say(&a, s, "no producer");                                   /* 0 */
	wrote(&a, (struct firn_op[]){ sent(s, &x, 0, 0) }, 1, NULL); /* 1: sent again */
	wrote(&a, (struct firn_op[]){ sent(s, &y, 0, 1) }, 1, NULL); /* 2: not */
	wrote(&a, (struct firn_op[]){ keyed(k, &x, "again") }, 1, NULL);
	wrote(&a, (struct firn_op[]){ keyed(k, &y, "once") }, 1, NULL);
	host_stop(&a, FIRN_DETACH_ABORT);
	abandon();
	say(&b, s, "no producer either");
	wrote(&b, (struct firn_op[]){ sent(s, &x, 0, 0) }, 1, NULL);
	wrote(&b, (struct firn_op[]){ keyed(k, &x, "again") }, 1, NULL);
	host_stop(&b, FIRN_DETACH_DRAIN);
	host_start(&c);
	cr_expect_eq(salvage(&c, &r), 3);
	cr_expect_eq(r.of[SALVAGE_AGAIN].batches, 2);
	reads(&c, s, 0, "no producer");
	lost(&c, s, 1, 1, 2);
	reads(&c, s, 2, "y");
	lost(&c, s, 3, 3, SKIP);
	lost(&c, k, 0, 0, 1);
	reads(&c, k, 1, "y");
	cr_expect_eq(salvage(&c, &r), 0, "what was put back is no proof against itself");
	cr_expect_eq(r.of[SALVAGE_THERE].batches, 3);
	host_stop(&c, FIRN_DETACH_DRAIN);
}

/* Of two tails, whatever comes back first, what a producer sent to both comes back once. */
static void both_tails(const char *first, const char *then)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct salvage_report r[2];
	struct iovec x = io_of("x"), y = io_of("y");
	host_start(&a);
	uint64_t s = new_stream(&a, "s");
	store_all(&a);
	wrote(&a, (struct firn_op[]){ sent(s, &x, 7, 0) }, 1, NULL);
	host_stop(&a, FIRN_DETACH_ABORT);
	abandon();
	wrote(&b, (struct firn_op[]){ sent(s, &x, 7, 0) }, 1, NULL);
	wrote(&b, (struct firn_op[]){ sent(s, &y, 7, 1) }, 1, NULL);
	host_stop(&b, FIRN_DETACH_ABORT);
	c.opts.env = &fast;
	abandon_by(&c);
	cr_assert_eq(salvage_with(&c, first, NULL, &r[0], &err), 0, "%s", err.text);
	cr_assert_eq(salvage_with(&c, then, NULL, &r[1], &err), 0, "%s", err.text);
	cr_expect_eq(r[0].of[SALVAGE_PUT].batches + r[1].of[SALVAGE_PUT].batches, 2,
	             "%s first: %lu + %lu", first, r[0].of[SALVAGE_PUT].batches,
	             r[1].of[SALVAGE_PUT].batches);
	cr_expect_eq(r[1].of[SALVAGE_AGAIN].batches, 1);
	salvage_report_fini(&r[0]);
	salvage_report_fini(&r[1]);
	host_stop(&c, FIRN_DETACH_DRAIN);
}

Test(salvage, of_two_tails_the_older_comes_back_first, .init = setup, .fini = teardown)
{
	both_tails("a", "b");
}

Test(salvage, of_two_tails_the_newer_comes_back_first, .init = setup, .fini = teardown)
{
	both_tails("b", "a");
}

Test(salvage, what_nobody_wants_any_more_stays_lost, .init = setup, .fini = teardown)
{
	struct salvage_report r;
	host_start(&a);
	uint64_t s = new_stream(&a, "s"), gone = new_stream(&a, "gone"),
	         cut = new_stream(&a, "cut"), left = new_stream(&a, "left");
	store_all(&a);
	say(&a, s, "0");
	say(&a, s, "1");
	say(&a, gone, "0");
	say(&a, cut, "0");
	say(&a, left, "0");
	wrote(&a, (struct firn_op[]){ op_trim(s, 1) }, 1, NULL);
	wrote(&a, (struct firn_op[]){ op_delete(left) }, 1, NULL);
	uint64_t brief = new_stream(&a, "brief");
	say(&a, brief, "0");
	wrote(&a, (struct firn_op[]){ op_delete(brief) }, 1, NULL);
	wrote(&a, (struct firn_op[]){ op_kv(FIRN_OP_KV_PUT, s, "k", "v") }, 1, NULL);
	host_stop(&a, FIRN_DETACH_ABORT);
	abandon();
	wrote(&b, (struct firn_op[]){ op_delete(gone) }, 1, NULL);
	wrote(&b, (struct firn_op[]){ op_trim(cut, SKIP) }, 1, NULL);
	host_stop(&b, FIRN_DETACH_DRAIN);
	host_start(&c);
	cr_expect_eq(salvage(&c, &r), 1);
	cr_expect_eq(r.of[SALVAGE_UNWANTED].batches, 3);
	cr_expect_eq(r.of[SALVAGE_TRIMMED].batches, 2);
	cr_expect_eq(r.n_left, 5, "%lu", r.n_left);
	lost(&c, s, 0, 0, 1);
	reads(&c, s, 1, "1");
	lost(&c, left, 0, 0, SKIP);
	host_stop(&c, FIRN_DETACH_DRAIN);
}

Test(salvage, a_dry_run_says_the_same_and_changes_nothing, .init = setup, .fini = teardown)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct salvage_opts dry = { .dry_run = true };
	struct salvage_report r;
	uint64_t s = world();
	char *was = site_ask(&site, "find store -type f | sort | xargs cksum | grep -v .firn-beat");
	host_open(&c);
	cr_assert_eq(host_try_attach(&c, "v", FIRN_ATTACH_READ_ONLY, NULL, &c.volume, &err), 0);
	cr_assert_eq(salvage_with(&c, "a", &dry, &r, &err), 0, "%s", err.text);
	cr_expect_eq(r.of[SALVAGE_PUT].batches, 3);
	cr_expect(r.n_stream == 1 && r.stream[0].id == s && !strcmp(r.stream[0].name, "s"));
	salvage_report_fini(&r);
	lost(&c, s, 2, 2, 2 + SKIP);
	host_stop(&c, FIRN_DETACH_DRAIN);
	expect_text(was,
	            site_ask(&site, "find store -type f | sort | xargs cksum | grep -v .firn-beat"),
	            "after a dry run");
	free(was);
}

Test(salvage, only_the_wal_that_was_given_up_counts, .init = setup, .fini = teardown)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct salvage_report r;
	uint64_t s = world();
	host_start(&c);
	int rc = salvage_with(&c, "b", NULL, &r, &err);
	cr_expect(rc == FIRN_ENOENT && strstr(err.text, "given up"), "%s: %s", firn_code_name(rc),
	          err.text);
	salvage_report_fini(&r);
	rc = salvage_with(&c, "nobody", NULL, &r, &err);
	cr_expect(rc == FIRN_ENOENT, "%s", firn_code_name(rc));
	salvage_report_fini(&r);
	lost(&c, s, 2, 2, 2 + SKIP);
	host_stop(&c, FIRN_DETACH_DRAIN);
}

Test(salvage, the_old_writer_may_live_once_it_knows, .init = setup, .fini = teardown)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct salvage_opts in_use = { .in_use = true };
	struct salvage_report r;
	host_start(&a);
	uint64_t s = new_stream(&a, "s");
	say(&a, s, "1");
	store_all(&a);
	say(&a, s, "2");
	host_stop(&a, FIRN_DETACH_ABORT);
	abandon();
	host_stop(&b, FIRN_DETACH_DRAIN);
	host_start(&c);
	host_open(&a);
	int rc = salvage_with(&c, "a", &in_use, &r, &err);
	cr_expect(rc == FIRN_EBUSY, "%s: %s", firn_code_name(rc), err.text);
	salvage_report_fini(&r);
	struct firn_volume *none;
	rc = host_try_attach(&a, "v", 0, NULL, &none, &err);
	cr_expect(rc == FIRN_ELOST, "told of c: %s: %s", firn_code_name(rc), err.text);
	cr_assert_eq(salvage_with(&c, "a", &in_use, &r, &err), 0, "%s", err.text);
	cr_expect_eq(r.of[SALVAGE_PUT].batches, 1);
	salvage_report_fini(&r);
	reads(&c, s, 1, "2");
	host_close(&a);
	host_stop(&c, FIRN_DETACH_DRAIN);
}

/* Stored: nothing of it. "room": 0 1, skipped up to 5, 5 of three offsets, 8 with a producer. */
static uint64_t never_stored(void)
{
	struct iovec x = io_of("abc"), y = io_of("y");
	host_start(&a);
	uint64_t s = new_stream(&a, "room");
	say(&a, s, "0");
	say(&a, s, "1");
	struct firn_op at = op_append(s, &x);
	at.flags |= FIRN_APPEND_AT;
	at.u.append.expect = 5;
	at.u.append.n_offsets = 3;
	at.u.append.timestamp_ms = 12345;
	at.u.append.tag = 77;
	at.u.append.attr = "attr";
	at.u.append.attr_len = 4;
	at.u.append.key = "key";
	at.u.append.key_len = 3;
	wrote(&a, &at, 1, NULL);
	wrote(&a, (struct firn_op[]){ sent(s, &y, 7, 40) }, 1, NULL);
	return s;
}

static uint64_t named(struct host *h, const char *name)
{
	uint64_t id = 0;
	cr_assert_eq(firn_stream_find(h->volume, name, strlen(name), &id), 0, "no %s", name);
	return id;
}

static struct firn_batch batch_at(struct host *h, uint64_t s, uint64_t at,
                                  const struct firn_fetched **f)
{
	cr_assert_eq(firn_stream_read(h->volume, s, at, 1, 5000, f, NULL), 0);
	cr_assert((*f)->n_part && (*f)->part->n_batch);
	return (*f)->part->batch[0];
}

static void room_is_back(struct host *h, uint64_t s)
{
	const struct firn_fetched *f = NULL;
	reads(h, s, 0, "0");
	reads(h, s, 1, "1");
	struct firn_batch g = batch_at(h, s, 2, &f);
	cr_expect(f->part->gap == FIRN_GAP_SKIPPED && f->part->gap_from == 2 &&
	          f->part->gap_to == 5);
	cr_expect(g.offset == 5 && g.n_offsets == 3 && g.timestamp_ms == 12345 && g.tag == 77);
	cr_expect(g.len == 3 && !memcmp(g.data, "abc", 3));
	cr_expect(g.key_len == 3 && !memcmp(g.key, "key", 3));
	cr_expect(g.attr_len == 4 && !memcmp(g.attr, "attr", 4));
	firn_release(f);
	g = batch_at(h, s, 8, &f);
	cr_expect(g.offset == 8 && g.flags & FIRN_BATCH_PRODUCER && g.producer_id == 7 &&
	          g.producer_seq == 40);
	firn_release(f);
}

Test(salvage, a_stream_that_was_never_stored_comes_back_under_a_new_number, .init = setup,
     .fini = teardown)
{
	struct firn_stream_config config = { .struct_size = sizeof config,
		                             .key_window_n = 100,
		                             .account = 9 },
	                          now = { .struct_size = sizeof now };
	struct salvage_report r;
	struct firn_event ev = { 0 };
	struct iovec y = io_of("y");
	uint64_t old = never_stored(), next = 0;
	struct firn_op op = { .kind = FIRN_OP_CONFIG, .stream = old };
	op.u.stream.config = &config;
	wrote(&a, &op, 1, NULL);
	(void)new_stream(&a, "empty");
	host_stop(&a, FIRN_DETACH_ABORT);
	abandon();
	host_stop(&b, FIRN_DETACH_DRAIN);
	host_start(&c);
	cr_expect_eq(salvage(&c, &r), 4);
	cr_expect_eq(r.n_left, 0, "%lu", r.n_left);
	uint64_t s = named(&c, "room");
	(void)named(&c, "empty");
	cr_expect_neq(s, old);
	room_is_back(&c, s);
	cr_expect_eq(firn_stream_config_get(c.volume, s, &now), 0);
	cr_expect(now.key_window_n == 100 && now.account == 9);
	wrote(&c, (struct firn_op[]){ sent(s, &y, 7, 40) }, 1, &ev);
	cr_expect(ev.flags & FIRN_F_DUPLICATE && ev.offset == 8, "its producers are known");
	char *was = volume_text(&c, c.volume);
	cr_expect_eq(salvage(&c, &r), 0, "a second time there is nothing to do");
	cr_expect_eq(r.of[SALVAGE_THERE].batches, 4);
	expect_text(was, volume_text(&c, c.volume), "after the second run");
	free(was);
	cr_expect_eq(say(&c, s, "9"), 9);
	host_stop(&c, FIRN_DETACH_DRAIN);
	host_start(&b);
	room_is_back(&b, s);
	reads(&b, s, 9, "9");
	cr_expect_eq(firn_stream_mark(b.volume, s, FIRN_MARK_ASSIGNED, &next), 0);
	cr_expect_eq(next, 10);
	host_stop(&b, FIRN_DETACH_DRAIN);
}

static char suffixed[64];

static const char *second_name(uint64_t old)
{
	(void)snprintf(suffixed, sizeof suffixed, "room.salvaged-%lx", old);
	return suffixed;
}

Test(salvage, a_stream_whose_name_is_taken_gets_another_and_both_stay_whole, .init = setup,
     .fini = teardown)
{
	struct salvage_report r;
	uint64_t old = never_stored(), first = 0;
	(void)new_stream(&a, "empty");
	host_stop(&a, FIRN_DETACH_ABORT);
	abandon();
	uint64_t other = new_stream(&b, "room");
	uint64_t empty = new_stream(&b, "empty");
	say(&b, other, "0"); /* the same bytes, and another time */
	host_stop(&b, FIRN_DETACH_DRAIN);
	host_start(&c);
	for (int run = 0; run < 2; run++) {
		cr_expect_eq(salvage(&c, &r), run ? 0 : 4);
		cr_expect_eq(r.of[SALVAGE_THERE].batches, run ? 4 : 0);
		uint64_t s = named(&c, second_name(old));
		cr_expect(run ? s == first : s != other);
		first = s;
		room_is_back(&c, s);
		cr_expect_eq(named(&c, "room"), other);
		cr_expect_eq(named(&c, "empty"), empty, "it was empty: nobody misses it");
		cr_expect_eq(say(&c, other, "b"), 1u + (uint64_t)run, "not written to");
	}
	host_stop(&c, FIRN_DETACH_DRAIN);
}

Test(salvage, a_stream_that_came_back_keeps_what_happened_to_it_since, .init = setup,
     .fini = teardown)
{
	struct salvage_report r;
	(void)never_stored();
	host_stop(&a, FIRN_DETACH_ABORT);
	abandon();
	host_stop(&b, FIRN_DETACH_DRAIN);
	host_start(&c);
	cr_expect_eq(salvage(&c, &r), 4);
	uint64_t s = named(&c, "room");
	wrote(&c, (struct firn_op[]){ op_trim(s, 2) }, 1, NULL);
	say(&c, s, "9");
	cr_expect_eq(salvage(&c, &r), 0);
	cr_expect_eq(r.of[SALVAGE_TRIMMED].batches, 2);
	cr_expect_eq(r.of[SALVAGE_THERE].batches, 2);
	cr_expect_eq(say(&c, s, "10"), 10);
	host_stop(&c, FIRN_DETACH_DRAIN);
}

/* [0, 4) [4, 8), and its own writer trimmed it to 5. */
Test(salvage, a_stream_comes_back_from_its_start_on, .init = setup, .fini = teardown)
{
	struct salvage_report r;
	struct iovec x = io_of("x"), y = io_of("y");
	uint64_t start = 0;
	host_start(&a);
	uint64_t s = new_stream(&a, "room");
	struct firn_op op[2] = { op_append(s, &x), op_append(s, &y) };
	op[0].u.append.n_offsets = op[1].u.append.n_offsets = 4;
	wrote(&a, op, 2, NULL);
	wrote(&a, (struct firn_op[]){ op_trim(s, 5) }, 1, NULL);
	host_stop(&a, FIRN_DETACH_ABORT);
	abandon();
	host_stop(&b, FIRN_DETACH_DRAIN);
	host_start(&c);
	for (int run = 0; run < 2; run++) {
		cr_expect_eq(salvage(&c, &r), !run);
		cr_expect_eq(r.of[SALVAGE_UNWANTED].batches, 1);
		s = named(&c, "room");
		cr_expect_eq(firn_stream_mark(c.volume, s, FIRN_MARK_START, &start), 0);
		cr_expect_eq(start, 5);
		const struct firn_fetched *f = NULL;
		struct firn_batch g = batch_at(&c, s, 5, &f);
		cr_expect(g.offset == 4 && g.n_offsets == 4 && *(const char *)g.data == 'y');
		firn_release(f);
	}
	host_stop(&c, FIRN_DETACH_DRAIN);
}

static void crash_and_go_on(const char *name, uint64_t taken)
{
	struct salvage_report r;
	for (die_at = 0; die_at < 5; die_at++) {
		n_progress = 0;
		crash_after(salvage_and_die, NULL);
	}
	host_start(&c);
	(void)salvage(&c, &r);
	cr_expect_eq(r.of[SALVAGE_PUT].batches + r.of[SALVAGE_THERE].batches, 4);
	room_is_back(&c, named(&c, name));
	struct firn_stream_info info[4];
	cr_expect_eq(firn_stream_list(c.volume, "", NULL, info, sizeof info[0], 4), taken ? 2 : 1,
	             "once");
	host_stop(&c, FIRN_DETACH_DRAIN);
}

Test(salvage, a_crash_at_any_write_of_a_stream_that_comes_back_makes_no_second, .init = setup,
     .fini = teardown)
{
	(void)never_stored();
	host_stop(&a, FIRN_DETACH_ABORT);
	abandon();
	host_stop(&b, FIRN_DETACH_DRAIN);
	crash_and_go_on("room", 0);
}

Test(salvage, nor_where_its_name_is_taken, .init = setup, .fini = teardown)
{
	uint64_t old = never_stored();
	host_stop(&a, FIRN_DETACH_ABORT);
	abandon();
	uint64_t other = new_stream(&b, "room");
	host_stop(&b, FIRN_DETACH_DRAIN);
	crash_and_go_on(second_name(old), other);
}

/* The command's answer; `args` behind --from, --store and --volume. Its exit code is in front. */
static char *command(const char *args)
{
	return site_ask(&site,
	                "%s/firn salvage --from a -d own --wal-size 64M -s '%s' -v v %s > out; "
	                "echo $?; cat out",
	                getenv("FIRN_BIN_DIR"), site.uri, args);
}

static void says(char *text, const char *what)
{
	cr_expect(strstr(text, what), "no `%s' in: %s", what, text);
}

Test(salvage, the_command_tells_what_came_back, .init = setup, .fini = teardown)
{
	uint64_t s = world();
	char *text = command("--dry-run");
	says(text, "0\ns (");
	says(text, "put        3 records in 3 batches (3 B) back where they were");
	says(text, "nothing was changed");
	free(text);
	text = command("--json");
	says(text, "\"writes_missing\": 0");
	says(text, "\"put\": {\"batches\": 3, \"records\": 3, \"bytes\": 3}");
	free(text);
	text = command("");
	says(text, "there      3 records in 3 batches (3 B) were put back before");
	free(text);
	text = site_ask(&site, "%s/firn salvage --from a -d a -s '%s' -v v 2>&1; echo $?",
	                getenv("FIRN_BIN_DIR"), site.uri);
	says(text, "the same directory");
	free(text);
	host_start(&c);
	is_back(&c, s);
	host_stop(&c, FIRN_DETACH_DRAIN);
}

Test(salvage, the_command_tells_what_a_stream_is_called_now, .init = setup, .fini = teardown)
{
	(void)never_stored();
	host_stop(&a, FIRN_DETACH_ABORT);
	abandon();
	host_stop(&b, FIRN_DETACH_DRAIN);
	char *text = command("--dry-run");
	says(text, "0\nroom (");
	says(text, "  was never stored; would be room, offsets 0 to 8\n");
	free(text);
	text = command("--json");
	says(text, "\"name\": \"room\", \"from\": 0, \"to\": 9}");
	free(text);
	text = command("");
	says(text, "  was never stored; now room (");
	says(text, "), offsets 0 to 8\n");
	free(text);
}
