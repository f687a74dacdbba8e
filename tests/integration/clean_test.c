/* What was trimmed or deleted is gone from the bucket: the deadline and the grace time later no object holds the bytes,
 * however alive its neighbours in the same segments are. All else reads as before, here, without an index, and with one
 * that saw the volume before. A crash behind any request of a rewrite loses nothing and leaves nothing. (P9; P3, P5,
 * P10; PROTOCOL 9, 19, 22) */
#include "engine/api/engine.h"
#include "engine/base/mem.h"
#include "engine/index/rows.h"
#include "engine/index/tx.h"
#include "engine/upload/layered.h"
#include "engine/os/env.h"
#include "engine/store/store.h"
#include "tests/integration/flaky_bed.h"
#include "tests/integration/turned.h"
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };
enum { GRACE = 10 * MINUTE, DEADLINE = 2 * HOUR, ROUNDS = 4 };

/* Many segments before a layer comes by itself: it is the deadline that makes one. */
static const char *const options[] = {
	"upload_interval_ms=1000",    "layer_segments=64", "delete_grace_ms=600000",
	"delete_deadline_ms=7200000", "zstd_level=0",      NULL
};

TestSuite(clean, .timeout = 240, .init = site_in_memory);

static void begin(struct host *h, const struct site *s, const char *name)
{
	turned_open(h, s, name, options);
}

static void start(struct host *h, const struct site *s, const char *name)
{
	begin(h, s, name);
	host_attach(h, "v");
}

/* ---- the bucket ---- */

struct scan {
	struct store *store;
	const char *word;
	int n_with, n_segment, n_layer;
};

static int scan_object(void *arg, const char *key, uint64_t size)
{
	struct scan *s = arg;
	struct buf b;
	(void)size;
	buf_init(&b, env_default());
	s->n_segment += strstr(key, "/seg/") != NULL;
	s->n_layer += strstr(key, "/layer/") != NULL;
	int rc = store_get_all(s->store, key, 1 << 24, &b, NULL, NULL);
	cr_assert(!rc || rc == FIRN_ENOENT, "%s", key); /* deleted since it was listed */
	s->n_with += b.len && memmem(b.data, b.len, s->word, strlen(s->word)) != NULL;
	buf_fini(&b);
	return 0;
}

/* Objects with the word in them, of all of the bucket. */
static struct scan scan(const struct site *site, const char *word)
{
	struct scan s = { .word = word };
	cr_assert_eq(store_open(env_default(), site->uri, &s.store, NULL), 0);
	cr_assert_eq(store_list(s.store, "", "", scan_object, &s, NULL), 0);
	store_close(s.store);
	return s;
}

/* ---- a history ---- */

struct rooms {
	uint64_t kept, trimmed, deleted;
};

/* Every round is one segment, which all three share; a block of each stream holds two batches. */
static void talk(struct host *h, const struct rooms *r, int round)
{
	char text[40];
	for (int i = 0; i < 2; i++) {
		(void)snprintf(text, sizeof text, "keep-%d-%d ", round, i);
		(void)say(h, r->kept, text);
		(void)snprintf(text, sizeof text, "trim-%s-%d-%d ",
		               round == 1 && i ? "rest"
		               : round > 1     ? "rest"
		                               : "gone",
		               round, i);
		(void)say(h, r->trimmed, text);
		(void)say(h, r->deleted, "dele-gone ");
	}
	store_all(h);
}

static struct rooms rooms(struct host *h)
{
	struct rooms r = { new_stream(h, "kept"), new_stream(h, "trimmed"),
		           new_stream(h, "deleted") };
	return r;
}

/* A site, a host with a volume in it, and ROUNDS segments. */
static struct rooms world(struct site *s, struct host *h)
{
	site_make(s);
	start(h, s, "a");
	struct rooms r = rooms(h);
	for (int i = 0; i < ROUNDS; i++)
		talk(h, &r, i);
	return r;
}

/* Into the middle of the second segment's block. */
static void cut(struct host *h, const struct rooms *r)
{
	struct firn_op ops[] = { op_trim(r->trimmed, 3), op_delete(r->deleted) };
	wrote(h, ops, 2, NULL);
	store_all(h);
}

static void later(struct host *h, int64_t ms)
{
	turned_by(ms);
	for (int i = 0; i < 4; i++)
		turned_settle(h);
}

static void expect_clean(const struct site *s, const char *when)
{
	cr_expect_eq(scan(s, "trim-gone").n_with, 0, "%s", when);
	cr_expect_eq(scan(s, "dele-gone").n_with, 0, "%s", when);
	cr_expect_gt(scan(s, "trim-rest").n_with, 0, "%s", when);
	cr_expect_gt(scan(s, "keep-0-0").n_with, 0, "%s", when);
}

static void expect_read(struct host *h, const struct rooms *r, const char *when)
{
	char *text = NULL;
	cr_expect_eq(read_stream(h, r->trimmed, 3, &text), 0, "%s", when);
	cr_expect_str_eq(text,
	                 "trim-rest-1-1 trim-rest-2-0 trim-rest-2-1 trim-rest-3-0 trim-rest-3-1 ",
	                 "%s", when);
	free(text);
	text = NULL;
	cr_expect_eq(read_stream(h, r->kept, 0, &text), 0, "%s", when);
	cr_expect_str_eq(text,
	                 "keep-0-0 keep-0-1 keep-1-0 keep-1-1 keep-2-0 keep-2-1 keep-3-0 keep-3-1 ",
	                 "%s", when);
	free(text);
}

Test(clean, a_deadline_and_a_grace_later_no_object_holds_what_was_trimmed_or_deleted)
{
	struct site s;
	struct host h;
	struct rooms r = world(&s, &h);
	cut(&h, &r);
	char *was = volume_text(&h, h.volume);
	cr_assert_gt(scan(&s, "trim-gone").n_with, 0);
	cr_assert_gt(scan(&s, "dele-gone").n_with, 0);
	later(&h, DEADLINE / 2);
	cr_expect_gt(scan(&s, "dele-gone").n_with, 0, "the grace time is not over");
	char *now = volume_text(&h, h.volume);
	expect_text(was, now, "behind the rewrite");
	free(now);
	later(&h, GRACE + MINUTE);
	expect_clean(&s, "here");
	now = volume_text(&h, h.volume);
	expect_text(was, now, "and without what it was made of");
	free(now);
	expect_read(&h, &r, "here");
	uint64_t rewritten = metric_of(h.engine, "firn_rewritten_bytes", "");
	cr_expect_gt(rewritten, 0);
	host_stop(&h, FIRN_DETACH_DRAIN);
	expect_sound(&s, "after the detach");
	site_run(&s, "rm -r a/index");
	start(&h, &s, "a");
	now = volume_text(&h, h.volume);
	expect_text(was, now, "without an index");
	free(now);
	free(was);
	expect_read(&h, &r, "without an index");
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_remove(&s);
}

/* It saw extents in segments that are no more; the manifest says that no footer tells it what it missed. */
Test(clean, an_index_from_before_a_rewrite_is_filled_anew)
{
	struct site s;
	struct host a, b;
	site_make(&s);
	start(&a, &s, "a");
	struct rooms r = rooms(&a);
	for (int i = 0; i < ROUNDS; i++)
		talk(&a, &r, i);
	cut(&a, &r);
	host_stop(&a, FIRN_DETACH_DRAIN);
	start(&b, &s, "b"); /* has all of it: only the rewrite is missing */
	host_stop(&b, FIRN_DETACH_DRAIN);
	start(&a, &s, "a");
	char *was = volume_text(&a, a.volume);
	later(&a, DEADLINE);
	later(&a, GRACE + MINUTE);
	host_stop(&a, FIRN_DETACH_DRAIN);
	expect_clean(&s, "by a");
	start(&b, &s, "b");
	char *now = volume_text(&b, b.volume);
	expect_text(was, now, "on b");
	expect_read(&b, &r, "on b");
	free(was);
	free(now);
	host_stop(&b, FIRN_DETACH_DRAIN);
	expect_sound(&s, "after b");
	site_remove(&s);
}

/* It shows the volume, as a reader elsewhere, when what it reads from is rewritten and deleted behind its back. */
Test(clean, a_volume_that_follows_reads_on_when_its_objects_are_gone)
{
	struct site s;
	struct host a, b;
	struct firn_error err = FIRN_ERROR_INIT;
	site_make(&s);
	start(&a, &s, "a");
	struct rooms r = rooms(&a);
	for (int i = 0; i < ROUNDS; i++)
		talk(&a, &r, i);
	cut(&a, &r);
	begin(&b, &s, "b");
	cr_assert_eq(host_try_attach(&b, "v", FIRN_ATTACH_READ_ONLY, NULL, &b.volume, &err), 0,
	             "%s", err.text);
	for (int t = 0; t < DEADLINE / 2 + 2 * GRACE; t += GRACE / 5) {
		turned_by(GRACE / 5);
		turned_settle(&a);
		turned_settle(&b);
	}
	expect_clean(&s, "by a");
	expect_read(&b, &r, "on b");
	host_stop(&b, FIRN_DETACH_DRAIN);
	host_stop(&a, FIRN_DETACH_DRAIN);
	site_remove(&s);
}

/* The first cycle has rewritten; a second trim makes dead what the first one moved. */
Test(clean, what_was_rewritten_is_rewritten_again)
{
	struct site s;
	struct host h;
	struct rooms r = world(&s, &h);
	cut(&h, &r);
	later(&h, DEADLINE / 2);
	wrote(&h, (struct firn_op[]){ op_trim(r.trimmed, 7) }, 1, NULL);
	store_all(&h);
	later(&h, DEADLINE / 2);
	later(&h, GRACE + MINUTE);
	cr_expect_eq(scan(&s, "trim-rest-2").n_with, 0);
	cr_expect_eq(scan(&s, "trim-rest-3-0").n_with, 0);
	cr_expect_gt(scan(&s, "trim-rest-3-1").n_with, 0);
	char *text = NULL;
	cr_expect_eq(read_stream(&h, r.trimmed, 7, &text), 0);
	cr_expect_str_eq(text, "trim-rest-3-1 ");
	free(text);
	host_stop(&h, FIRN_DETACH_DRAIN);
	expect_sound(&s, "after two");
	site_remove(&s);
}

/* With nothing trimmed or deleted there is nothing to do, and a volume in which nothing happens asks the store nothing. */
Test(clean, where_nothing_was_trimmed_nothing_is_rewritten)
{
	struct site s;
	struct host h;
	(void)world(&s, &h);
	later(&h, GRACE + MINUTE);
	uint64_t before = metric_of(h.engine, "firn_store_requests", "");
	for (int i = 0; i < 8; i++)
		later(&h, DEADLINE);
	cr_expect_eq(metric_of(h.engine, "firn_rewritten_bytes", ""), 0);
	uint64_t n = metric_of(h.engine, "firn_store_requests", "") - before;
	cr_expect_leq(n, 40, "heartbeats, and no more: %llu", (unsigned long long)n);
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_remove(&s);
}

/* ---- who contradicts ---- */

static void volume_id(struct host *h, uint8_t id[16])
{
	struct firn_volume_info info = { .struct_size = sizeof info };
	cr_assert_eq(firn_volume_info(h->volume, &info), 0);
	memcpy(id, info.id, 16);
}

/* What rot makes of the index, while it is open: an extent that lives is not there. */
static void take_extent(struct host *h, uint64_t stream, uint64_t base)
{
	struct index *ix = ((struct engine *)h->engine)->index;
	struct index_tx tx;
	struct index_volume iv;
	uint8_t id[16];
	volume_id(h, id);
	cr_assert_eq(index_volume_get(ix, id, &iv, NULL), 0);
	cr_assert_eq(index_tx_write(ix, &tx, NULL), 0);
	index_key_u64(&tx.key, iv.number, INDEX_EXTENT, stream, base);
	cr_assert_eq(index_tx_del(&tx), 0);
	cr_assert_eq(index_tx_commit(&tx), 0);
}

/* The index says of a living block nothing, the footer that it is there: its segment stays, and the others are cleaned. */
Test(clean, a_segment_of_which_index_and_footer_disagree_stays)
{
	struct site s;
	struct host h;
	struct rooms r = world(&s, &h);
	cut(&h, &r);
	take_extent(&h, r.kept, 4);
	later(&h, DEADLINE / 2);
	later(&h, GRACE + MINUTE);
	cr_expect_gt(scan(&s, "keep-2-0").n_with, 0, "acked, and alive");
	cr_expect_eq(scan(&s, "dele-gone").n_with, 1, "that segment, and no other");
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_run(&s, "rm -r a/index");
	start(&h, &s, "a");
	expect_read(&h, &r, "with an index of the layers");
	later(&h, DEADLINE / 2);
	later(&h, GRACE + MINUTE);
	expect_clean(&s, "and cleaned in the next cycle");
	host_stop(&h, FIRN_DETACH_DRAIN);
	expect_sound(&s, "in the end");
	site_remove(&s);
}

/* It rots when the copy is made and the commit not yet: the copy is thrown away, and not made again and again. */
Test(clean, a_copy_that_the_index_does_not_know_any_more_is_given_up)
{
	struct site s;
	struct host h;
	struct rooms r = world(&s, &h);
	cut(&h, &r);
	turned_by(DEADLINE / 2);
	struct volume *v = ((struct engine *)h.engine)->volume[0];
	for (int i = 0; !v->layered || !v->layered->rewritten; i++) {
		cr_assert_lt(i, 1000, "nothing is rewritten");
		(void)firn_engine_step(h.engine, 0);
		turned_by(100);
	}
	take_extent(&h, r.kept, 4);
	uint64_t bytes = metric_of(h.engine, "firn_rewritten_bytes", "");
	for (int i = 0; i < 5; i++)
		later(&h, MINUTE);
	cr_expect_eq(metric_of(h.engine, "firn_rewritten_bytes", ""), bytes);
	cr_expect_gt(scan(&s, "keep-2-0").n_with, 0);
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_run(&s, "rm -r a/index");
	start(&h, &s, "a");
	expect_read(&h, &r, "with an index of the layers");
	later(&h, DEADLINE / 2);
	later(&h, 2 * GRACE);
	expect_clean(&s, "in the next cycle");
	host_stop(&h, FIRN_DETACH_DRAIN);
	expect_sound(&s, "in the end");
	site_remove(&s);
}

/* ---- a reader in between ---- */

/* The deadline is a second: all that is dead is cleaned as soon as that. */
static const char *const soon[] = { "upload_interval_ms=50", "layer_segments=64",
	                            "delete_grace_ms=0",     "delete_deadline_ms=1000",
	                            "zstd_level=0",          NULL };

struct listener {
	struct host *h;
	uint64_t stream;
	char *text;
	int rc;
};

static void *listen(void *arg)
{
	struct listener *l = arg;
	l->rc = read_stream(l->h, l->stream, 0, &l->text);
	return NULL;
}

/* It has looked up where the block lies and asks the store for it when the object is gone: it looks again. */
Test(clean, a_reader_that_comes_to_the_store_too_late_looks_again)
{
	struct site s;
	struct host h;
	pthread_t thread;
	site_make(&s);
	struct flaky *flaky = flaky_bed(&s, "deadline_ms=60000");
	host_init(&h, &s, "a");
	host_way(&h, WAY_PWRITE);
	h.opts.options = soon;
	host_start(&h);
	struct rooms r = rooms(&h);
	talk(&h, &r, 0);
	host_stop(&h, FIRN_DETACH_DRAIN);
	host_start(&h); /* nothing of it is in memory */
	struct listener l = { .h = &h, .stream = r.kept };
	atomic_store(&flaky->hold_reads, 1);
	cr_assert_eq(pthread_create(&thread, NULL, listen, &l), 0);
	while (!atomic_load(&flaky->n_held))
		(void)usleep(1000);
	wrote(&h, (struct firn_op[]){ op_delete(r.deleted) }, 1, NULL);
	store_all(&h);
	while (scan(&s, "dele-gone").n_with)
		(void)usleep(10000);
	flaky->let_go();
	cr_assert_eq(pthread_join(thread, NULL), 0);
	cr_expect_eq(l.rc, 0);
	cr_expect_str_eq(l.text, "keep-0-0 keep-0-1 ");
	free(l.text);
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_remove(&s);
}

/* One that looks before the deadline is told what would go, and afterwards that nothing does. */
Test(clean, gc_tells_what_will_be_rewritten)
{
	struct site s;
	struct host h;
	struct rooms r = world(&s, &h);
	char *told = site_ask(&s,
	                      "$FIRN_BIN_DIR/firn gc --dry-run -s '%s' -v v --json | jq .rewrite",
	                      s.uri);
	cr_expect_str_eq(told, "0\n");
	free(told);
	cut(&h, &r);
	told = site_ask(&s, "$FIRN_BIN_DIR/firn gc --dry-run -s '%s' -v v --json | jq .rewrite",
	                s.uri);
	cr_expect_str_eq(told, "4\n", "every round has a block of the stream that was deleted");
	free(told);
	later(&h, DEADLINE / 2);
	told = site_ask(&s,
	                "$FIRN_BIN_DIR/firn gc --dry-run -s '%s' -v v --json | jq -c "
	                "'[.rewrite, .dead > 4]'",
	                s.uri);
	cr_expect_str_eq(told, "[0,true]\n");
	free(told);
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_remove(&s);
}

/* ---- a crash behind every request ---- */

/* How many requests it took. */
static uint64_t live_and_die(const struct site *plain, int at)
{
	struct site s = site_cut(plain, at);
	struct host h;
	struct firn_error err = FIRN_ERROR_INIT;
	begin(&h, &s, "a");
	uint64_t n = 0;
	if (!host_try_attach(&h, "v", 0, NULL, &h.volume, &err)) {
		turned_by(DEADLINE);
		for (int i = 0; i < 8; i++) {
			turned_rest(&h);
			turned_by(3 * SECOND);
		}
		turned_by(GRACE + MINUTE);
		turned_rest(&h);
		n = metric_of(h.engine, "firn_store_requests", "");
		(void)host_detach(&h, h.volume, FIRN_DETACH_ABORT, &err);
	}
	host_close(&h);
	return n;
}

static uint64_t crash_behind(int at)
{
	struct site s;
	struct host h;
	char when[40];
	(void)snprintf(when, sizeof when, "cut at %d", at);
	struct rooms r = world(&s, &h);
	cut(&h, &r);
	host_stop(&h, FIRN_DETACH_DRAIN);
	uint64_t n = live_and_die(&s, at);
	start(&h, &s, "a");
	expect_read(&h, &r, when);
	later(&h, DEADLINE);
	later(&h, 2 * GRACE);
	later(&h, 2 * GRACE);
	expect_read(&h, &r, when);
	host_stop(&h, FIRN_DETACH_DRAIN);
	expect_clean(&s, when);
	expect_sound(&s, when);
	site_remove(&s);
	return n;
}

Test(clean, a_crash_behind_any_request_leaves_nothing_lost_and_nothing_for_ever)
{
	uint64_t n = crash_behind(0);
	cr_assert_gt(n, 15);
	for (int at = 1; at <= (int)n; at++)
		(void)crash_behind(at);
}
