/* The log in a store: what was acked is there for whoever takes the volume, without the writer's disk (P1); a writer that
 * lives on acks nothing more of it (P4), and goes on with its other volumes. PROTOCOL 3, S2, S3. */
#include "engine/os/env.h"
#include "engine/wal/slots_format.h"
#include "tests/integration/turned.h"
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(slots, .timeout = 60);

enum { BYTES_LARGE = 1 << 20 }; /* of a write */

struct world {
	struct site s;
	struct host a, b;
	char wal[300];
	const char *options[6];
};

static void world_make(struct world *w, const char *interval)
{
	site_make_on_files(&w->s);
	host_init(&w->a, &w->s, "a");
	host_init(&w->b, &w->s, "b");
	(void)snprintf(w->wal, sizeof w->wal, "wal=store:file://%s/log", w->s.dir);
	w->options[0] = w->wal;
	w->options[1] = interval;
	w->options[2] = "wal_file_bytes=1M";
	w->options[3] = NULL;
	w->a.opts.options = w->b.opts.options = w->options;
}

static void expect_joined(struct host *h, uint64_t stream, const char *text)
{
	char *joined = NULL;
	cr_assert_eq(read_stream(h, stream, 0, &joined), 0);
	cr_assert_str_eq(joined, text);
	free(joined);
}

static void write_and_die(void *arg)
{
	struct world *w = arg;
	host_start(&w->a);
	uint64_t id = new_stream(&w->a, "room");
	(void)say(&w->a, id, "one ");
	(void)say(&w->a, id, "two ");
	(void)say(&w->a, id, "three ");
}

static uint64_t named(struct host *h, const char *name)
{
	uint64_t id = 0;
	cr_assert_eq(firn_stream_find(h->volume, name, strlen(name), &id), 0);
	return id;
}

Test(slots, what_was_acked_is_there_for_another_machine)
{
	struct world w;
	world_make(&w, "wal_slot_ms=0");
	crash_after(write_and_die, &w);
	host_start(&w.b);
	uint64_t stream_id = named(&w.b, "room");
	expect_joined(&w.b, stream_id, "one two three ");
	(void)say(&w.b, stream_id, "four ");
	expect_joined(&w.b, stream_id, "one two three four ");
	store_all(&w.b);
	host_stop(&w.b, FIRN_DETACH_DRAIN);
	host_start(&w.a);
	expect_joined(&w.a, stream_id, "one two three four ");
	host_stop(&w.a, FIRN_DETACH_DRAIN);
	site_remove(&w.s);
}

Test(slots, a_living_writer_loses_one_volume_and_goes_on_with_the_other)
{
	struct world w;
	struct firn_volume *v, *other;
	struct firn_error err = FIRN_ERROR_INIT;
	world_make(&w, "wal_slot_ms=0");
	host_open(&w.a);
	host_attach(&w.a, "other");
	other = w.a.volume;
	uint64_t kept = new_stream(&w.a, "kept");
	(void)say(&w.a, kept, "1 ");
	host_attach(&w.a, "v");
	v = w.a.volume;
	uint64_t id = new_stream(&w.a, "room");
	(void)say(&w.a, id, "one ");
	host_start(&w.b);
	expect_joined(&w.b, id, "one ");
	(void)say(&w.b, id, "two ");
	w.a.volume = other;
	(void)say(&w.a, kept, "2 ");
	(void)say(&w.a, kept, "3 ");
	expect_joined(&w.a, kept, "1 2 3 ");
	w.a.volume = v;
	struct iovec io = io_of("lost");
	int rc = write_one(&w.a, op_append(id, &io), NULL);
	cr_assert(rc == FIRN_EFENCED || rc == FIRN_EUNKNOWN, "%s", firn_code_name(rc));
	expect_joined(&w.b, id, "one two ");
	cr_assert_eq(host_detach(&w.a, v, FIRN_DETACH_DRAIN, &err), FIRN_EFENCED, "%s", err.text);
	w.a.volume = other;
	/* And whoever takes the other one finds what was acked in the second log. */
	host_attach(&w.b, "other");
	expect_joined(&w.b, kept, "1 2 3 ");
	cr_assert_eq(host_detach(&w.b, w.b.volume, FIRN_DETACH_DRAIN, &err), 0, "%s", err.text);
	rc = host_detach(&w.a, other, FIRN_DETACH_DRAIN, &err);
	cr_assert(rc == FIRN_EFENCED || rc == 0, "%s %s", firn_code_name(rc), err.text);
	host_close(&w.a);
	site_remove(&w.s);
}

static void write_large_and_die(void *arg)
{
	struct world *w = arg;
	char *large = malloc(BYTES_LARGE + 1);
	memset(large, 'x', BYTES_LARGE);
	large[BYTES_LARGE] = 0;
	host_start(&w->a);
	(void)say(&w->a, new_stream(&w->a, "room"), large);
	free(large);
}

Test(slots, a_write_that_is_too_large_for_who_takes_it_is_not_lost)
{
	struct world w;
	struct firn_error err = FIRN_ERROR_INIT;
	world_make(&w, "wal_slot_ms=0");
	w.options[2] = "wal_file_bytes=4M";
	crash_after(write_large_and_die, &w);
	w.options[2] = "wal_file_bytes=1M";
	host_open(&w.b);
	cr_expect_eq(host_try_attach(&w.b, "v", 0, NULL, &w.b.volume, &err), FIRN_ETOOBIG);
	cr_expect(strstr(err.text, "wal_bytes"), "%s", err.text);
	host_close(&w.b);
	w.options[2] = "wal_file_bytes=4M";
	host_start(&w.b);
	char *joined = NULL;
	cr_assert_eq(read_stream(&w.b, named(&w.b, "room"), 0, &joined), 0);
	cr_expect_eq(strlen(joined), (size_t)BYTES_LARGE);
	free(joined);
	host_stop(&w.b, FIRN_DETACH_DRAIN);
	site_remove(&w.s);
}

Test(slots, requests_to_the_store_of_the_log_are_counted)
{
	struct world w;
	world_make(&w, "wal_slot_ms=0");
	host_start(&w.a);
	uint64_t id = new_stream(&w.a, "room");
	uint64_t was = metric_of(w.a.engine, "firn_store_requests", "\"put\"");
	for (uint32_t i = 0; i < 5; i++)
		(void)say(&w.a, id, "x");
	cr_assert_geq(metric_of(w.a.engine, "firn_store_requests", "\"put\""), was + 5);
	host_stop(&w.a, FIRN_DETACH_DRAIN);
	site_remove(&w.s);
}

/* Conditions are tried once for an engine and a store, not for each of its volumes. */
Test(slots, who_has_a_volume_there_tries_the_store_no_more)
{
	struct world w;
	world_make(&w, "wal_slot_ms=0");
	host_open(&w.a);
	host_attach(&w.a, "one");
	uint64_t first = metric_of(w.a.engine, "firn_store_requests", "\"put\"");
	struct firn_volume *one = w.a.volume;
	host_attach(&w.a, "two");
	uint64_t second = metric_of(w.a.engine, "firn_store_requests", "\"put\"") - first;
	cr_assert_lt(second * 4, first, "%lu, then %lu", (unsigned long)first,
	             (unsigned long)second);
	struct firn_error err = FIRN_ERROR_INIT;
	cr_assert_eq(host_detach(&w.a, one, FIRN_DETACH_DRAIN, &err), 0, "%s", err.text);
	host_stop(&w.a, FIRN_DETACH_DRAIN);
	site_remove(&w.s);
}

/* Also when a write of it was on its way: that one has no outcome, and it is not the log that failed. */
Test(slots, who_lost_a_volume_is_told_that_it_is_fenced)
{
	struct world w;
	struct firn_event ev;
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_volume_info info = { .struct_size = sizeof info };
	struct firn_volume *v, *other;
	world_make(&w, "wal_slot_ms=0");
	host_open(&w.a);
	host_attach(&w.a, "other");
	other = w.a.volume;
	uint64_t kept = new_stream(&w.a, "kept");
	host_attach(&w.a, "v");
	v = w.a.volume;
	uint64_t id = new_stream(&w.a, "room");
	host_start(&w.b);
	struct iovec io = io_of("x");
	struct firn_op lost = op_append(id, &io), stays = op_append(kept, &io);
	cr_assert_eq(submit_ops(&w.a, &lost, 1, FIRN_ACK_DURABLE, 0, 1, &err), 0, "%s", err.text);
	w.a.volume = other;
	cr_assert_eq(submit_ops(&w.a, &stays, 1, FIRN_ACK_DURABLE, 0, 2, &err), 0, "%s", err.text);
	for (uint32_t i = 0; i < 2;
	     i++) { /* with the second's ack the group of the first is through */
		cr_assert(reap_one(&w.a, &ev, 30000));
		cr_assert_eq(ev.code, ev.user_data == 1 ? FIRN_EUNKNOWN : 0, "%d", ev.code);
	}
	cr_assert_eq(firn_volume_info(v, &info), 0);
	cr_assert_eq(info.state, FIRN_STATE_FENCED);
	w.a.volume = v;
	int rc = write_one(&w.a, op_append(id, &io), NULL);
	cr_assert_eq(rc, FIRN_EFENCED, "%s", firn_code_name(rc));
	struct firn_flush flush = FIRN_FLUSH_INIT;
	flush.volume = v;
	cr_assert_eq(firn_engine_call(w.a.engine, &flush.req, &ev, &err), FIRN_EFENCED, "%s",
	             err.text);
	firn_release(ev.result);
	cr_assert_eq(host_detach(&w.a, v, FIRN_DETACH_DRAIN, &err), FIRN_EFENCED, "%s", err.text);
	w.a.volume = other;
	host_stop(&w.a, FIRN_DETACH_DRAIN);
	host_stop(&w.b, FIRN_DETACH_DRAIN);
	site_remove(&w.s);
}

Test(slots, an_engine_without_threads_does_the_same)
{
	struct world w;
	world_make(&w, "wal_slot_ms=0");
	w.a.opts.flags = w.b.opts.flags = FIRN_ENGINE_NO_THREADS;
	crash_after(write_and_die, &w);
	host_start(&w.b);
	uint64_t id = named(&w.b, "room");
	(void)say(&w.b, id, "four ");
	expect_joined(&w.b, id, "one two three four ");
	host_stop(&w.b, FIRN_DETACH_DRAIN);
	site_remove(&w.s);
}

static void write_much_and_die(void *arg)
{
	struct world *w = arg;
	host_start(&w->a);
	uint64_t id = new_stream(&w->a, "room");
	for (uint32_t i = 0; i < 40; i++)
		(void)say(&w->a, id, "x");
}

/* Of every four requests one is done and not answered, another not even done. */
Test(slots, answers_that_are_lost_lose_and_double_nothing)
{
	struct world w;
	world_make(&w, "wal_slot_ms=0");
	(void)snprintf(w.wal, sizeof w.wal, "wal=store:fault:lost=4,dropped=4,seed=7:file://%s/log",
	               w.s.dir);
	crash_after(write_much_and_die, &w);
	(void)snprintf(w.wal, sizeof w.wal, "wal=store:file://%s/log2", w.s.dir);
	host_start(&w.b);
	expect_joined(&w.b, named(&w.b, "room"), "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
	host_stop(&w.b, FIRN_DETACH_DRAIN);
	site_remove(&w.s);
}

/* Requests a second do not depend on who writes what: one slot for all that came together. */
Test(slots, many_volumes_share_a_slot)
{
	struct world w;
	struct firn_volume *v[5];
	struct firn_event ev;
	world_make(&w, "wal_slot_ms=300");
	host_open(&w.a);
	uint64_t id[5];
	for (uint32_t i = 0; i < 5; i++) {
		char name[8] = { 'v', (char)('0' + i), 0 };
		host_attach(&w.a, name);
		v[i] = w.a.volume;
		id[i] = new_stream(&w.a, "room");
	}
	site_run(&w.s, "find log/.firn-wal -name '00*' | wc -l >before");
	struct iovec io = io_of("x");
	for (uint32_t i = 0; i < 100; i++) {
		struct firn_op op = op_append(id[i % 5], &io);
		w.a.volume = v[i % 5];
		cr_assert_eq(submit_ops(&w.a, &op, 1, FIRN_ACK_DURABLE, 0, i, NULL), 0);
	}
	for (uint32_t i = 0; i < 100; i++)
		cr_assert(reap_one(&w.a, &ev, 30000) && !ev.code);
	site_run(&w.s,
	         "test $(find log/.firn-wal -name '00*' | wc -l) -le $(($(cat before) + 50))");
	for (uint32_t i = 0; i < 5; i++) {
		struct firn_error err = FIRN_ERROR_INIT;
		cr_assert_eq(host_detach(&w.a, v[i], FIRN_DETACH_DRAIN, &err), 0, "%s", err.text);
	}
	host_close(&w.a);
	site_remove(&w.s);
}

Test(slots, attached_again_on_a_running_engine)
{
	static const uint32_t mode[] = { FIRN_DETACH_KEEP_WAL, FIRN_DETACH_ABORT,
		                         FIRN_DETACH_DRAIN };
	struct world w;
	struct firn_error err = FIRN_ERROR_INIT;
	char word[64] = "";
	world_make(&w, "wal_slot_ms=0");
	host_open(&w.a);
	host_attach(&w.a, "other");
	struct firn_volume *other = w.a.volume;
	uint64_t kept = new_stream(&w.a, "kept");
	host_attach(&w.a, "v");
	uint64_t id = new_stream(&w.a, "room");
	for (uint32_t i = 0; i < 6; i++) {
		(void)say(&w.a, id, "a");
		strcat(word, "a");
		cr_assert_eq(host_detach(&w.a, w.a.volume, mode[i % 3], &err), 0, "%s", err.text);
		w.a.volume = other;
		(void)say(&w.a, kept, "-");
		host_attach(&w.a, "v");
		expect_joined(&w.a, id, word);
	}
	cr_assert_eq(host_detach(&w.a, w.a.volume, FIRN_DETACH_DRAIN, &err), 0, "%s", err.text);
	cr_assert_eq(host_detach(&w.a, other, FIRN_DETACH_DRAIN, &err), 0, "%s", err.text);
	host_close(&w.a);
	site_remove(&w.s);
}

static void write_to_files_and_die(void *arg)
{
	struct world *w = arg;
	w->a.opts.options = NULL;
	host_start(&w->a);
	(void)say(&w->a, new_stream(&w->a, "room"), "one ");
}

Test(slots, a_directory_whose_files_hold_something_keeps_its_log_there)
{
	struct world w;
	struct firn_error err = FIRN_ERROR_INIT;
	const char *const *with = NULL;
	world_make(&w, "wal_slot_ms=0");
	crash_after(write_to_files_and_die, &w);
	cr_assert_eq(host_try_open(&w.a, &err), FIRN_EBUSY, "%s", err.text);
	cr_assert(strstr(err.text, "volume v"), "%s", err.text);
	with = w.a.opts.options;
	w.a.opts.options = NULL;
	host_start(&w.a);
	expect_joined(&w.a, named(&w.a, "room"), "one ");
	host_stop(&w.a, FIRN_DETACH_DRAIN);
	w.a.opts.options = with;
	host_start(&w.a);
	expect_joined(&w.a, named(&w.a, "room"), "one ");
	host_stop(&w.a, FIRN_DETACH_DRAIN);
	site_remove(&w.s);
}

Test(slots, an_option_that_means_nothing_is_refused)
{
	static const char *const bad[] = { "wal=floppy", "wal=store:", "wal=store:nonsense:x",
		                           "wal_slot_ms=never" };
	for (uint32_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct world w;
		struct firn_error err = FIRN_ERROR_INIT;
		world_make(&w, "wal_slot_ms=0");
		w.options[0] = bad[i];
		int rc = host_try_open(&w.a, &err);
		cr_assert(rc == FIRN_EINVAL || rc == FIRN_EUNSUPPORTED, "%s: %s: %s", bad[i],
		          firn_code_name(rc), err.text);
		site_remove(&w.s);
	}
}

static unsigned long objects_of_logs(const struct world *w)
{
	char *text = site_ask(&w->s, "find log -type f -path '*firn-wal*' | wc -l");
	unsigned long n = strtoul(text, NULL, 10);
	free(text);
	return n;
}

static void write_in_two_stores(void *arg)
{
	struct world *w = arg;
	write_and_die(w);
	(void)snprintf(w->s.uri, sizeof w->s.uri, "file://%s/elsewhere", w->s.dir);
	host_attach(&w->a, "x");
	(void)say(&w->a, new_stream(&w->a, "room"), "four ");
}

/* The log of a dead engine has a volume in it that lies in a store which the sweeping one does not know. */
Test(slots, a_sealed_log_goes_when_all_its_volumes_are_known_to_be_done_with_it)
{
	struct world w;
	world_make(&w, "wal_slot_ms=0");
	w.options[3] = "delete_grace_ms=60000";
	w.options[4] = NULL;
	crash_after(write_in_two_stores, &w);
	host_way(&w.b, WAY_NO_THREADS);
	w.b.opts.options = w.options;
	w.b.opts.env = turned_env();
	host_start(&w.b);
	store_all(&w.b);
	unsigned long before = objects_of_logs(&w);
	cr_expect_gt(before, 4);
	turned_by(120 * 1000);
	turned_settle(&w.b);
	cr_expect_geq(objects_of_logs(&w) + 1, before, "x has not been seen");
	(void)snprintf(w.s.uri, sizeof w.s.uri, "file://%s/elsewhere", w.s.dir);
	struct firn_volume *v = w.b.volume;
	host_attach(&w.b, "x");
	expect_joined(&w.b, named(&w.b, "room"), "four ");
	store_all(&w.b);
	turned_by(7 * 3600 * 1000);
	turned_settle(&w.b);
	cr_expect_lt(objects_of_logs(&w), 5, "seals, and what the living one needs");
	cr_expect_eq(host_detach(&w.b, w.b.volume, FIRN_DETACH_DRAIN, NULL), 0);
	w.b.volume = v;
	expect_joined(&w.b, named(&w.b, "room"), "one two three ");
	cr_expect_eq(host_detach(&w.b, v, FIRN_DETACH_DRAIN, NULL), 0);
	host_close(&w.b);
	site_remove(&w.s);
}

/* The next sweep goes by. */
static void sweep_once(struct host *h, uint64_t stream, int64_t ms)
{
	(void)say(h, stream, "more ");
	store_all(h);
	turned_by(ms);
	turned_settle(h);
}

/* Dies behind a clean detach, with its slots still there. */
static void leave_slots(void *arg)
{
	struct world *w = arg;
	write_and_die(w);
	site_run(&w->s, "cp -r log kept; ls kept/.firn-wal > dead");
	store_all(&w->a);
	cr_assert_eq(host_detach(&w->a, w->a.volume, FIRN_DETACH_DRAIN, NULL), 0);
}

static void begin_sweeper(struct world *w)
{
	w->options[3] = "delete_grace_ms=60000";
	w->options[4] = NULL;
	host_way(&w->b, WAY_NO_THREADS);
	w->b.opts.options = w->options;
	w->b.opts.env = turned_env();
}

static unsigned long objects_of_dead(const struct world *w)
{
	char *text = site_ask(&w->s, "ls log/.firn-wal/$(cat dead) | wc -l");
	unsigned long n = strtoul(text, NULL, 10);
	free(text);
	return n;
}

/* Nobody takes a volume out of this log, so nobody seals it. A sweep does, once it stood still from one to the next, and the one
 * behind that sweeps it. */
Test(slots, a_log_that_nobody_needs_gets_a_seal_and_goes)
{
	struct world w;
	world_make(&w, "wal_slot_ms=0");
	crash_after(leave_slots, &w);
	site_run(&w.s, "mkdir -p log/.firn-wal/$(cat dead); "
	               "cp kept/.firn-wal/*/* log/.firn-wal/$(cat dead)/");
	unsigned long n = objects_of_dead(&w);
	cr_assert_gt(n, 2);
	begin_sweeper(&w);
	host_start(&w.b);
	uint64_t stream = named(&w.b, "room");
	sweep_once(&w.b, stream, 120 * 1000);
	cr_expect_eq(objects_of_dead(&w), n, "it is seen for the first time");
	sweep_once(&w.b, stream, 7 * 3600 * 1000);
	cr_expect_eq(objects_of_dead(&w), n + 1, "it has a seal now");
	sweep_once(&w.b, stream, 7 * 3600 * 1000);
	cr_expect_eq(objects_of_dead(&w), 1, "which stays");
	expect_joined(&w.b, stream, "one two three more more more ");
	host_stop(&w.b, FIRN_DETACH_DRAIN);
	site_remove(&w.s);
}

static void leave_two_stores(void *arg)
{
	struct world *w = arg;
	host_start(&w->a);
	uint64_t room = new_stream(&w->a, "room");
	for (int i = 0; i < 5; i++)
		(void)say(&w->a, room, "one ");
	struct firn_volume *v = w->a.volume;
	(void)snprintf(w->s.uri, sizeof w->s.uri, "file://%s/elsewhere", w->s.dir);
	host_attach(&w->a, "x");
	(void)say(&w->a, new_stream(&w->a, "room"), "two ");
	site_run(&w->s, "ls log/.firn-wal > dead");
	unsigned long n = objects_of_dead(w) - 5;
	cr_assert_eq(host_detach(&w->a, v, FIRN_DETACH_DRAIN, NULL), 0);
	for (int i = 0; i < 2000 && objects_of_dead(w) > n; i++) /* those of v go */
		(void)usleep(10000);
}

static void put_seal_of_sweep(struct world *w, uint64_t slot)
{
	struct slots_head h = { .kind = SLOTS_SEAL, .slot = slot, .acked = slot };
	struct buf b;
	char key[SLOTS_KEY_MAX], path[400], *dead = site_ask(&w->s, "cat dead");
	for (int i = 0; i < 16; i++)
		(void)sscanf(dead + (size_t)i * 2, "%2hhx", &h.log_id[i]);
	free(dead);
	slots_key(h.log_id, slot, key);
	buf_init(&b, env_default());
	slots_encode(&h, NULL, &b);
	(void)snprintf(path, sizeof path, "%s/log/%s", w->s.dir, key);
	FILE *f = fopen(path, "we");
	cr_assert(f && fwrite(b.data, 1, b.len, f) == b.len && !fclose(f), "%s", path);
	buf_fini(&b);
}

/* A sweep's seal came late: its slot had been written and deleted, the writer was far above. It ends nothing, and what is above
 * it is of a volume in a store that the sweeping engine does not know. */
Test(slots, a_seal_of_a_sweep_that_came_late_ends_nothing)
{
	struct world w;
	world_make(&w, "wal_slot_ms=0");
	crash_after(leave_two_stores, &w);
	char *first = site_ask(&w.s, "ls log/.firn-wal/$(cat dead) | head -1");
	uint64_t lowest = strtoull(first, NULL, 16);
	free(first);
	cr_assert_gt(lowest, 1, "those of v are gone");
	put_seal_of_sweep(&w, lowest - 1);
	unsigned long n = objects_of_dead(&w);
	begin_sweeper(&w);
	host_start(&w.b);
	uint64_t stream = named(&w.b, "room");
	sweep_once(&w.b, stream, 120 * 1000);
	sweep_once(&w.b, stream, 7 * 3600 * 1000);
	sweep_once(&w.b, stream, 7 * 3600 * 1000);
	cr_expect_eq(objects_of_dead(&w), n);
	struct firn_volume *v = w.b.volume;
	(void)snprintf(w.s.uri, sizeof w.s.uri, "file://%s/elsewhere", w.s.dir);
	host_attach(&w.b, "x");
	expect_joined(&w.b, named(&w.b, "room"), "two ");
	cr_expect_eq(host_detach(&w.b, w.b.volume, FIRN_DETACH_DRAIN, NULL), 0);
	cr_expect_eq(host_detach(&w.b, v, FIRN_DETACH_DRAIN, NULL), 0);
	host_close(&w.b);
	site_remove(&w.s);
}

static atomic_ullong stands_at; /* 0: it runs */

static uint64_t stopping(void *ctx)
{
	unsigned long long at = atomic_load(&stands_at);
	return at ? at : env_default()->mono_ns(ctx);
}

/* Whoever ends with no volume attached leaves no slot, if the store does not make him wait for long: so no time goes by. */
Test(slots, an_engine_that_ends_takes_its_log_along)
{
	struct world w;
	struct firn_env env = *env_default();
	env.mono_ns = stopping;
	world_make(&w, "wal_slot_ms=0");
	w.a.opts.env = &env;
	write_and_die(&w);
	for (int i = 0; i < 60; i++)
		(void)say(&w.a, named(&w.a, "room"), "more ");
	cr_expect_gt(objects_of_logs(&w), 60);
	atomic_store(&stands_at, stopping(NULL));
	host_stop(&w.a, FIRN_DETACH_DRAIN);
	char *left = site_ask(&w.s, "find log -type f -path '*firn-wal*' ! -name '.firn~*'");
	cr_expect_str_eq(left, "");
	free(left);
	site_remove(&w.s);
}

/* What a command says, and its exit code behind that. */
static void expect_said(const struct world *w, const char *command, const char *what)
{
	char *text = site_ask(
	        &w->s,
	        "%s/firn %s -s '%s' -v v --json > out 2>&1; echo \"exit $?\" >> out; cat out",
	        getenv("FIRN_BIN_DIR"), command, w->s.uri);
	cr_expect(strstr(text, what), "firn %s: no `%s' in: %s", command, what, text);
	free(text);
}

Test(slots, verify_and_doctor_read_the_log)
{
	struct world w;
	world_make(&w, "wal_slot_ms=0");
	crash_after(write_and_die, &w);
	expect_said(&w, "verify", "\"writes_in_logs\": 4");
	expect_said(&w, "verify", "exit 0");
	expect_said(&w, "doctor", "takes it over");
	expect_said(&w, "doctor", "exit 0");
	site_run(&w.s, "f=$(ls log/.firn-wal/*/* | sed -n 3p); cp $f kept; echo $f > name; "
	               "printf X | dd of=$f bs=1 seek=300 conv=notrunc status=none");
	expect_said(&w, "verify", "its log in file://");
	expect_said(&w, "verify", "exit 1");
	expect_said(&w, "doctor", "not whole");
	expect_said(&w, "doctor", "exit 1");
	site_run(&w.s, "rm $(cat name)");
	expect_said(&w, "verify", "is gone");
	site_run(&w.s, "cp kept $(cat name)");
	host_start(&w.b); /* nobody has sealed it */
	expect_joined(&w.b, named(&w.b, "room"), "one two three ");
	expect_said(&w, "verify", "exit 0");
	host_stop(&w.b, FIRN_DETACH_DRAIN);
	expect_said(&w, "verify", "\"logs_in_stores\": 0");
	site_remove(&w.s);
}
