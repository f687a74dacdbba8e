/* What no manifest names: a crash behind any request to the store leaves nothing lost, and nothing for ever; what was left
 * is found after the grace time and deleted, and nothing else is (PROTOCOL 9; P1, P9). */
#include "engine/api/engine.h"
#include "engine/index/rows.h"
#include "engine/index/tx.h"
#include "engine/os/env.h"
#include "engine/segment/segment.h"
#include "engine/store/store.h"
#include "tests/integration/turned.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, GRACE = 10 * MINUTE };

static const char *const options[] = { "upload_interval_ms=1000", "layer_segments=2",
	                               "delete_grace_ms=600000", "zstd_level=0", NULL };

TestSuite(orphan, .timeout = 240, .init = site_in_memory);

static void begin(struct host *h, const struct site *s, const char *name)
{
	turned_open(h, s, name, options);
}

/* ---- the store, past the engine ---- */

static struct store *store_of(const struct site *s)
{
	struct store *store;
	cr_assert_eq(store_open(env_default(), s->uri, &store, NULL), 0);
	return store;
}

static struct buf get(const struct site *s, const char *key)
{
	struct store *store = store_of(s);
	struct buf b;
	buf_init(&b, env_default());
	cr_assert_eq(store_get_all(store, key, 1 << 20, &b, NULL, NULL), 0, "%s", key);
	store_close(store);
	return b;
}

static void put(const struct site *s, const char *key, const void *data, size_t len)
{
	struct store *store = store_of(s);
	struct iovec iov = { (void *)(uintptr_t)data, len };
	cr_assert_eq(store_put(store, key, &iov, 1, STORE_ALWAYS, NULL, NULL, NULL), 0);
	store_close(store);
}

static bool is_there(const struct site *s, const char *key)
{
	struct store *store = store_of(s);
	uint64_t size;
	int rc = store_stat(store, key, &size, NULL, NULL);
	store_close(store);
	cr_assert(!rc || rc == FIRN_ENOENT);
	return !rc;
}

struct keys {
	char key[100][100];
	int n;
};

static int add_key(void *arg, const char *key, uint64_t size)
{
	struct keys *k = arg;
	(void)size;
	cr_assert_lt(k->n, 100);
	(void)snprintf(k->key[k->n++], sizeof k->key[0], "%s", key);
	return 0;
}

static void all_keys(const struct site *s, struct keys *out)
{
	struct store *store = store_of(s);
	out->n = 0;
	cr_assert_eq(store_list(store, "v/", "", add_key, out, NULL), 0);
	store_close(store);
}

static int first_key(void *arg, const char *key, uint64_t size)
{
	(void)size;
	(void)snprintf(arg, 400, "%s", key);
	return 1;
}

/* Some object below a prefix; "": there is none. */
static void any_key(const struct site *s, const char *prefix, char key[400])
{
	struct store *store = store_of(s);
	*key = 0;
	cr_assert_geq(store_list(store, prefix, "", first_key, key, NULL), 0);
	store_close(store);
}

/* An empty segment of a volume, under its key. */
static void put_segment(const struct site *s, const uint8_t volume_id[16], uint64_t epoch,
                        uint64_t n, char key[400])
{
	struct segment_meta m = {
		.id = { epoch, n }, .rev_from = 1, .rev_to = 2, .n_parts = 1, .created_ms = 1
	};
	struct segment_writer *w;
	const uint8_t *data;
	size_t len;
	uint64_t pos, sum;
	char name[64];
	memcpy(m.volume_id, volume_id, 16);
	cr_assert_eq(segment_writer_open(env_default(), &m, 0, &w), 0);
	cr_assert_eq(segment_writer_finish(w, &data, &len, &pos, &sum), 0);
	segment_key(m.id, name, sizeof name);
	(void)snprintf(key, 400, "v/%s", name);
	put(s, key, data, len);
	segment_writer_close(w);
}

/* What `firn gc` says. */
static void expect_would_go(const struct site *s, const char *filter, const char *what)
{
	char *told = site_ask(s, "$FIRN_BIN_DIR/firn gc --dry-run -s '%s' -v v --json | jq -c '%s'",
	                      s->uri, filter);
	cr_expect(!strncmp(told, what, strlen(what)), "%s: %snot %s", filter, told, what);
	free(told);
}

/* ---- a crash behind every request ---- */

enum { WORDS = 6 };

/* Rounds go up, layers replace footers and layers, segments die and are deleted, a sweep goes by. */
static void history(struct host *h, uint64_t stream)
{
	for (int i = 0; i < WORDS; i++) {
		(void)say(h, stream, "word ");
		if (i == 2)
			wrote(h, (struct firn_op[]){ op_trim(stream, 3) }, 1, NULL);
		for (int k = 0; k < 3; k++) {
			turned_by(i == 4 && !k ? GRACE + MINUTE : 3 * SECOND);
			turned_rest(h);
		}
	}
}

/* How many requests it took. */
static uint64_t live_and_die(const struct site *plain, int cut)
{
	struct site s = site_cut(plain, cut);
	struct host h;
	struct firn_error err = FIRN_ERROR_INIT;
	begin(&h, &s, "a");
	uint64_t n = 0, stream;
	if (!host_try_attach(&h, "v", 0, NULL, &h.volume, &err)) {
		cr_assert_eq(firn_stream_find(h.volume, "s", 1, &stream), 0);
		history(&h, stream);
		n = metric_of(h.engine, "firn_store_requests", "");
		(void)host_detach(&h, h.volume, FIRN_DETACH_ABORT, &err);
	}
	host_close(&h);
	return n;
}

static void expect_words(struct host *h, uint64_t stream, int cut)
{
	char *text = NULL;
	uint64_t from = mark_of(h, stream, FIRN_MARK_START),
	         end = mark_of(h, stream, FIRN_MARK_DURABLE);
	cr_assert_eq(read_stream(h, stream, from, &text), 0, "cut at %d", cut);
	cr_expect_eq(strlen(text), 5 * (end - from), "cut at %d: %s", cut, text);
	cr_expect(end == 1 || end == 1 + WORDS, "cut at %d: all were acked, or it was not attached",
	          cut);
	free(text);
}

static uint64_t crash_behind(int cut)
{
	struct site s;
	struct host h;
	char when[40];
	site_make(&s);
	begin(&h, &s, "a");
	host_attach(&h, "v");
	uint64_t stream = new_stream(&h, "s");
	(void)say(&h, stream, "word ");
	host_stop(&h, FIRN_DETACH_DRAIN);
	uint64_t n = live_and_die(&s, cut);
	begin(&h, &s, "a");
	host_attach(&h, "v");
	expect_words(&h, stream, cut);
	turned_settle(&h);
	turned_by(2 * GRACE);
	turned_settle(&h);
	turned_settle(&h);
	expect_words(&h, stream, cut);
	host_stop(&h, FIRN_DETACH_DRAIN);
	(void)snprintf(when, sizeof when, "cut at %d", cut);
	expect_sound(&s, when);
	site_remove(&s);
	return n;
}

Test(orphan, a_crash_behind_any_request_leaves_nothing_lost_and_nothing_for_ever)
{
	uint64_t n = crash_behind(0);
	cr_assert_gt(n, 30);
	for (int cut = 1; cut <= (int)n; cut++)
		(void)crash_behind(cut);
}

/* ---- what is deleted, and what is not ---- */

static void work(struct host *h, uint64_t stream, int rounds)
{
	for (int i = 0; i < rounds; i++) {
		(void)say(h, stream, "word ");
		store_all(h);
	}
}

static void id_of(struct host *h, uint8_t id[16], uint64_t *epoch)
{
	struct firn_volume_info info = { .struct_size = sizeof info };
	cr_assert_eq(firn_volume_info(h->volume, &info), 0);
	memcpy(id, info.id, 16);
	*epoch = info.epoch;
}

Test(orphan, only_what_can_never_be_named_goes_and_not_before_the_grace_time)
{
	struct site s;
	struct host h;
	uint8_t id[16], other[16] = { 1 };
	uint64_t epoch;
	char older[400], own[400], later[400], foreign[400];
	site_make(&s);
	begin(&h, &s, "a");
	host_attach(&h, "v");
	uint64_t stream = new_stream(&h, "s");
	work(&h, stream, 3);
	host_stop(&h, FIRN_DETACH_DRAIN);
	begin(&h, &s, "a");
	host_attach(&h, "v");
	turned_rest(&h);
	id_of(&h, id, &epoch);
	put_segment(&s, id, epoch - 1, 77, older);
	put_segment(&s, id, epoch, 77, own); /* its number may yet be given */
	put_segment(&s, id, epoch + 1, 1, later);
	put_segment(&s, other, epoch - 1, 78, foreign);
	put(&s, "v/seg/no-segment", "text", 4);
	expect_would_go(&s, "[.orphan, .unsettled, .foreign, .dead, .empty]", "[1,2,2,0,0]");
	turned_by(GRACE / 2);
	work(&h, stream, 8); /* layers are merged, and dead */
	turned_settle(&h);
	cr_expect(is_there(&s, older), "the grace time is not over");
	wrote(&h, (struct firn_op[]){ op_trim(stream, 8) }, 1, NULL);
	store_all(&h);
	expect_would_go(&s, "[.orphan, .unsettled, .foreign, .dead > 0, .empty > 0]",
	                "[1,2,2,true,true]");
	struct keys before, after;
	turned_settle(&h);
	all_keys(&s, &before);
	turned_by(GRACE / 2);
	turned_settle(&h);
	cr_expect(!is_there(&s, older));
	all_keys(&s, &after);
	cr_expect_eq(after.n, before.n - 1, "what died has its own time");
	cr_expect(is_there(&s, own));
	cr_expect(is_there(&s, later));
	cr_expect(is_there(&s, foreign), "it may be all that is left of another volume");
	cr_expect(is_there(&s, "v/seg/no-segment"));
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_remove(&s);
}

/* A late PUT makes an object anew that was merged away and deleted (PROTOCOL 9). The next sweep comes after work and six
 * hours; an idle volume asks the store for nothing. */
Test(orphan, what_comes_late_goes_with_the_next_sweep_and_an_idle_volume_has_none)
{
	struct site s;
	struct host h;
	char key[400];
	site_make(&s);
	begin(&h, &s, "a");
	host_attach(&h, "v");
	uint64_t stream = new_stream(&h, "s");
	work(&h, stream, 5);
	any_key(&s, "v/layer/", key);
	cr_assert(*key);
	struct buf layer = get(&s, key);
	for (int i = 0; i < 40 && is_there(&s, key); i++) {
		work(&h, stream, 2);
		turned_by(GRACE + SECOND);
		turned_settle(&h);
	}
	cr_assert(!is_there(&s, key), "merged into the next");
	work(&h, stream, 1); /* forgets it */
	put(&s, key, layer.data, layer.len);
	buf_fini(&layer);
	turned_by(7 * HOUR);
	turned_settle(&h);
	turned_settle(&h);
	cr_expect(!is_there(&s, key));
	/* The heartbeat is the engine's. */
	turned_by(7 * HOUR);
	turned_settle(&h);
	uint64_t before = metric_of(h.engine, "firn_store_requests", "");
	for (int i = 0; i < 10; i++) {
		turned_by(24 * HOUR);
		turned_rest(&h);
	}
	cr_expect_leq(metric_of(h.engine, "firn_store_requests", "") - before, 10);
	host_stop(&h, FIRN_DETACH_DRAIN);
	expect_sound(&s, "late");
	site_remove(&s);
}

/* ---- what engines leave beside volumes ---- */

#define HEX_A "00112233445566778899aabbccddeeff"
#define HEX_B "ffeeddccbbaa99887766554433221100"

static void beat(const struct site *s, int n)
{
	char text[40];
	int len = snprintf(text, sizeof text, "firn heartbeat %d of run 1", n);
	put(s, ".firn-beat/" HEX_B, text, (size_t)len);
}

/* A sweep goes by, behind the grace time or six hours after the last. */
static void sweep_after(struct host *h, uint64_t stream, int64_t ms)
{
	work(h, stream, 1);
	turned_by(ms);
	turned_settle(h);
	turned_settle(h);
}

/* A heartbeat goes that was not renewed between two sweeps, and a key of a probe that was there in both; what is renewed, and
 * what is none of ours, stays. */
Test(orphan, what_dead_engines_left_goes_with_the_sweep_after_the_one_that_saw_it)
{
	static const char *const strange[] = { ".firn-beat/notes", ".firn-probe/" HEX_A "-race1",
		                               ".firn-beat/" HEX_A "0" };
	static const char dead_beat[] = ".firn-beat/" HEX_A,
	                  probe[] = ".firn-probe/" HEX_A "-race0";
	struct site s;
	struct host h;
	site_make(&s);
	begin(&h, &s, "a");
	host_attach(&h, "v");
	uint64_t stream = new_stream(&h, "s");
	put(&s, dead_beat, "firn heartbeat 7 of run 3", 25);
	put(&s, probe, "firn probe 00112233 4", 21);
	for (int i = 0; i < 3; i++)
		put(&s, strange[i], "somebody's text", 15);
	beat(&s, 1);
	sweep_after(&h, stream, 2 * GRACE);
	cr_expect(is_there(&s, dead_beat), "it is seen for the first time");
	cr_expect(is_there(&s, probe));
	beat(&s, 2);
	sweep_after(&h, stream, 7 * HOUR);
	cr_expect(!is_there(&s, dead_beat));
	cr_expect(!is_there(&s, probe));
	cr_expect(is_there(&s, ".firn-beat/" HEX_B), "it was renewed");
	for (int i = 0; i < 3; i++)
		cr_expect(is_there(&s, strange[i]), "%s", strange[i]);
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_remove(&s);
}

/* More than one sweep looks at. */
Test(orphan, of_many_heartbeats_all_have_their_turn)
{
	enum { DEAD = 150 };
	struct site s;
	struct host h;
	char key[80];
	site_make(&s);
	begin(&h, &s, "a");
	host_attach(&h, "v");
	uint64_t stream = new_stream(&h, "s");
	for (int i = 0; i < DEAD; i++) {
		(void)snprintf(key, sizeof key, ".firn-beat/%032x", i);
		put(&s, key, "firn heartbeat 7 of run 3", 25);
	}
	sweep_after(&h, stream, 2 * GRACE);
	for (int i = 0; i < 4; i++)
		sweep_after(&h, stream, 7 * HOUR);
	for (int i = 0; i < DEAD; i++) {
		(void)snprintf(key, sizeof key, ".firn-beat/%032x", i);
		cr_expect(!is_there(&s, key), "%s", key);
	}
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_remove(&s);
}

/* What rot makes of the index, while it is open: the row of a segment that only a layer names is not there. */
static void take_row(struct host *h, const uint8_t id[16], struct segment_id segment)
{
	struct index *ix = ((struct engine *)h->engine)->index;
	struct index_tx tx;
	struct index_volume iv;
	struct index_segment row;
	cr_assert_eq(index_volume_get(ix, id, &iv, NULL), 0);
	cr_assert_eq(index_segment_get(ix, iv.number, segment, &row, NULL), 0);
	cr_assert_eq(index_tx_write(ix, &tx, NULL), 0);
	index_key_segment(&tx.key, iv.number, INDEX_SEGMENT, segment);
	cr_assert_eq(index_tx_del(&tx), 0);
	cr_assert_eq(index_tx_commit(&tx), 0);
}

Test(orphan, what_a_layer_names_stays_whatever_the_index_says)
{
	struct site s;
	struct host h;
	uint8_t id[16];
	uint64_t epoch;
	char key[400];
	struct segment_id segment;
	site_make(&s);
	begin(&h, &s, "a");
	host_attach(&h, "v");
	uint64_t stream = new_stream(&h, "s");
	work(&h, stream, 1);
	any_key(&s, "v/seg/", key);
	cr_assert_eq(segment_key_parse(key + 2, &segment), 0);
	work(&h, stream, 5);
	id_of(&h, id, &epoch);
	take_row(&h, id, segment);
	turned_by(2 * GRACE);
	turned_settle(&h);
	turned_settle(&h);
	cr_expect(is_there(&s, key));
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_remove(&s);
}

/* Whoever was replaced does not know yet: he looks before he deletes. */
Test(orphan, whose_manifest_is_not_the_one_in_the_store_deletes_nothing)
{
	struct site s;
	struct host h;
	uint8_t id[16];
	uint64_t epoch;
	char older[400];
	struct firn_error err = FIRN_ERROR_INIT;
	site_make(&s);
	begin(&h, &s, "a");
	host_attach(&h, "v");
	uint64_t stream = new_stream(&h, "s");
	work(&h, stream, 1);
	host_stop(&h, FIRN_DETACH_DRAIN);
	begin(&h, &s, "a");
	host_attach(&h, "v");
	struct buf manifest = get(&s, "v/manifest");
	work(&h, stream, 1);
	put(&s, "v/manifest", manifest.data, manifest.len);
	id_of(&h, id, &epoch);
	put_segment(&s, id, epoch - 1, 77, older);
	turned_by(2 * GRACE);
	turned_settle(&h);
	turned_settle(&h);
	cr_expect(is_there(&s, older), "a bucket that was put back to an earlier day");
	buf_fini(&manifest);
	(void)host_detach(&h, h.volume, FIRN_DETACH_ABORT, &err);
	host_close(&h);
	site_remove(&s);
}
