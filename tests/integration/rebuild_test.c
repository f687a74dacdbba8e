/* Rebuild: a volume whose manifest is gone comes back from what its store has; what cannot be known is said, and no offset
 * is given again. (P3, P5) */
#include "tests/integration/turned.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(rebuild, .timeout = 120);

#define SKIP (UINT64_C(16) << 36)

static struct site site;
static struct host a, b;
static const char *const options[] = { "layer_segments=3", "zstd_level=0", NULL };

static void setup(void)
{
	site_make_on_files(&site);
	host_init(&a, &site, "a");
	host_init(&b, &site, "b");
	a.opts.options = b.opts.options = options;
}

static void teardown(void)
{
	site_remove(&site);
}

/* The command's exit code, and what it says. */
static char *command(const char *args)
{
	return site_ask(
	        &site,
	        "%s/firn rebuild %s -s '%s' -v v --wal-size 64M > out 2>&1; echo $?; cat out",
	        getenv("FIRN_BIN_DIR"), args, site.uri);
}

static char *manifest(const char *args)
{
	return site_ask(&site,
	                "%s/firn rebuild manifest %s -s '%s' -v v > out 2>&1; echo $?; cat out",
	                getenv("FIRN_BIN_DIR"), args, site.uri);
}

static void says(char *text, const char *what)
{
	cr_expect(strstr(text, what), "no `%s' in: %s", what, text);
	free(text);
}

static void store_word(struct host *h, uint64_t s, const char *word)
{
	for (char letter[2] = { 0 }; (*letter = *word) != 0; word++) {
		say(h, s, letter);
		store_all(h);
	}
}

static void reads(struct host *h, uint64_t s, uint64_t from, const char *word)
{
	char *joined = NULL;
	int rc = read_stream(h, s, from, &joined);
	cr_assert(rc == 0 || rc == FIRN_ELOST, "%s", firn_code_name(rc));
	cr_expect_str_eq(joined, word);
	free(joined);
}

static uint64_t s, quiet, cut;

/* Layers, segments behind them, a trim, a stream that is gone; and a tail that is not stored. */
static void live(const char *tail)
{
	host_start(&a);
	s = new_stream(&a, "s");
	quiet = new_stream(&a, "quiet");
	cut = new_stream(&a, "cut");
	uint64_t gone = new_stream(&a, "gone");
	say(&a, quiet, "q");
	say(&a, gone, "g");
	store_word(&a, cut, "xyz");
	store_word(&a, s, "abcdefgh");
	wrote(&a, (struct firn_op[]){ op_trim(cut, 2) }, 1, NULL);
	wrote(&a, (struct firn_op[]){ op_delete(gone) }, 1, NULL);
	wrote(&a, (struct firn_op[]){ op_kv(FIRN_OP_KV_PUT, s, "k", "v") }, 1, NULL);
	store_word(&a, s, "ij");
	for (; *tail; tail++)
		say(&a, s, (char[]){ *tail, 0 });
}

Test(rebuild, the_last_writer_goes_on_as_after_a_crash, .init = setup, .fini = teardown)
{
	live("klm");
	char *was = volume_text(&a, a.volume);
	host_stop(&a, FIRN_DETACH_ABORT);
	says(manifest("--from a"), "1\n");
	site_run(&site, "rm store/v/manifest");
	says(manifest("--from a --dry-run"), "nothing was written");
	says(manifest("--from a"), "is in a: attach the volume with that directory");
	host_start(&a);
	expect_text(was, volume_text(&a, a.volume), "after a rebuild");
	store_word(&a, s, "n");
	host_stop(&a, FIRN_DETACH_DRAIN);
	host_start(&b);
	reads(&b, s, 0, "abcdefghijklmn");
	reads(&b, cut, 2, "z");
	host_stop(&b, FIRN_DETACH_DRAIN);
	free(was);
}

Test(rebuild, without_its_wal_no_offset_is_given_again, .init = setup, .fini = teardown)
{
	uint64_t none;
	live("klm");
	host_stop(&a, FIRN_DETACH_ABORT);
	site_run(&site, "rm store/v/manifest");
	says(manifest(""), "what was acked and not stored is given up");
	free(site_ask(&site, "%s/firn verify -s '%s' -v v", getenv("FIRN_BIN_DIR"), site.uri));
	host_start(&b);
	reads(&b, s, 0, "abcdefghij");
	cr_expect_eq(read_stream(&b, s, 10, NULL), FIRN_ELOST);
	reads(&b, cut, 2, "z");
	reads(&b, quiet, 0, "q");
	cr_expect_eq(firn_stream_find(b.volume, "gone", 4, &none), FIRN_ENOENT);
	cr_expect_eq(say(&b, s, "n"), 10 + SKIP);
	host_stop(&b, FIRN_DETACH_DRAIN);
	/* What it had acked is put back from its directory, while that is as it was. */
	free(site_ask(&site, "%s/firn salvage --from a -d c --wal-size 64M -s '%s' -v v",
	              getenv("FIRN_BIN_DIR"), site.uri));
	host_start(&b);
	reads(&b, s, 0, "abcdefghijklm");
	reads(&b, s, 10 + SKIP, "n");
	host_stop(&b, FIRN_DETACH_DRAIN);
	site_run(&site, "rm store/v/manifest");
	says(manifest(""), "0\n"); /* a second time: above all that any index has seen */
	host_start(&b);
	reads(&b, s, 0, "abcdefghijklm");
	reads(&b, s, 10 + SKIP, "n");
	cr_expect_eq(say(&b, s, "o"), 11 + 2 * SKIP);
	host_stop(&b, FIRN_DETACH_DRAIN);
}

/* Nobody knows any more that there was a log in a store, nor where: who names the store hears what it holds. */
Test(rebuild, what_logs_in_stores_hold_is_said, .init = setup, .fini = teardown)
{
	char wal[300], args[400];
	const char *in_store[] = { wal, "wal_slot_ms=0", options[0], options[1], NULL };
	(void)snprintf(wal, sizeof wal, "wal=store:file://%s/log", site.dir);
	(void)snprintf(args, sizeof args, "--dry-run --logs file://%s/log", site.dir);
	a.opts.options = in_store;
	live("klm");
	host_stop(&a, FIRN_DETACH_ABORT);
	site_run(&site, "rm store/v/manifest");
	says(manifest(args), "1 logs in stores hold writes 23 to 25 of it in 3 slots");
	says(manifest(args), "1\n");
	(void)snprintf(args, sizeof args, "--json --logs file://%s/log", site.dir);
	says(manifest(args), "\"logs_in_stores\": {\"logs\": 1, \"slots\": 3");
	says(site_ask(&site,
	              "%s/firn salvage --from a -d own --wal-size 64M -s '%s' -v v 2>&1; echo $?",
	              getenv("FIRN_BIN_DIR"), site.uri),
	     "its engine had its log in a store");
}

Test(rebuild, a_manifest_that_is_there_is_not_touched_unasked, .init = setup, .fini = teardown)
{
	live("");
	host_stop(&a, FIRN_DETACH_DRAIN);
	says(manifest(""), "has a manifest: nothing was changed");
	site_run(&site, "printf x | dd of=store/v/manifest bs=1 seek=200 conv=notrunc status=none");
	says(manifest(""), "has a manifest: nothing was changed");
	says(manifest("--replace"), "the manifest is written");
	host_start(&b);
	reads(&b, s, 0, "abcdefghij");
	host_stop(&b, FIRN_DETACH_DRAIN);
}

/* What lies behind a round that is gone is not put where it does not belong. */
Test(rebuild, behind_a_hole_nothing_is_believed, .init = setup, .fini = teardown)
{
	static const char *const none[] = { "layer_segments=1000", NULL };
	a.opts.options = b.opts.options = none;
	host_start(&a);
	s = new_stream(&a, "s");
	store_word(&a, s, "abc");
	char *third = site_ask(&site, "ls -t store/v/seg/*/* | head -1");
	store_word(&a, s, "de");
	host_stop(&a, FIRN_DETACH_DRAIN);
	third[strcspn(third, "\n")] = 0;
	site_run(&site, "rm store/v/manifest %s", third);
	says(manifest("--json"), "\"behind_a_hole\": 2");
	host_start(&b);
	reads(&b, s, 0, "ab");
	cr_expect_eq(say(&b, s, "x"), 2 + SKIP);
	host_stop(&b, FIRN_DETACH_DRAIN);
	/* An index that has seen more says so, and is made anew. */
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_volume *v;
	host_open(&a);
	int rc = host_try_attach(&a, "v", 0, NULL, &v, &err);
	cr_expect(rc == FIRN_ECORRUPT && strstr(err.text, "rebuild index"), "%s: %s",
	          firn_code_name(rc), err.text);
	host_close(&a);
	says(command("index -d a"), "its index is that of the store");
	host_start(&a);
	reads(&a, s, 0, "ab");
	reads(&a, s, 2 + SKIP, "x");
	host_stop(&a, FIRN_DETACH_DRAIN);
	free(third);
}

Test(rebuild, another_wal_is_not_taken_for_the_last_writers, .init = setup, .fini = teardown)
{
	live("");
	host_stop(&a, FIRN_DETACH_DRAIN);
	host_start(&b);
	store_word(&b, s, "k");
	host_stop(&b, FIRN_DETACH_ABORT);
	site_run(&site, "rm store/v/manifest");
	says(manifest("--from a"), "others have stored since");
	says(manifest("--from b"), "0\n");
	host_start(&b);
	reads(&b, s, 0, "abcdefghijk");
	host_stop(&b, FIRN_DETACH_DRAIN);
}

enum { MINUTE = 60 * 1000, DEADLINE = 120 * MINUTE };

/* Segments that hold a stream which is gone, beside one that lives, were rewritten a moment ago: the old and the new ones, and
 * layers that name either, are all there. */
static void rewritten(void)
{
	static const char *const some[] = { "layer_segments=3",           "zstd_level=0",
		                            "delete_deadline_ms=7200000", "delete_grace_ms=600000",
		                            "upload_interval_ms=1000",    NULL };
	host_way(&a, WAY_NO_THREADS);
	a.opts.options = some;
	a.opts.env = turned_env();
	host_start(&a);
	s = new_stream(&a, "s");
	uint64_t gone = new_stream(&a, "gone");
	for (char letter[2] = "a"; *letter < 'i'; ++*letter) {
		say(&a, gone, "g");
		say(&a, s, letter);
		store_all(&a);
		turned_settle(&a);
	}
	wrote(&a, (struct firn_op[]){ op_delete(gone) }, 1, NULL);
	store_all(&a);
	for (int i = 0; !metric_of(a.engine, "firn_rewritten_bytes", ""); i++) {
		cr_assert_lt(i, 200, "nothing is rewritten");
		turned_by(MINUTE);
		turned_settle(&a);
	}
	store_word(&a, s, "i");
	host_stop(&a, FIRN_DETACH_DRAIN);
}

static void comes_back(void)
{
	uint64_t id = 0;
	site_run(&site, "rm -rf store/v/manifest b");
	says(manifest(""), "0\n");
	free(site_ask(&site, "%s/firn verify -s '%s' -v v", getenv("FIRN_BIN_DIR"), site.uri));
	host_start(&b);
	cr_expect_eq(firn_stream_find(b.volume, "s", 1, &id), 0);
	cr_expect_eq(id, s);
	reads(&b, s, 0, "abcdefghi");
	host_stop(&b, FIRN_DETACH_DRAIN);
}

Test(rebuild, of_what_was_rewritten_the_copies_are_no_rounds, .init = setup, .fini = teardown)
{
	rewritten();
	site_run(&site, "cp -r store kept");
	comes_back();
	/* Without one of its layers, or all: then no layer names the copies, and their footers say nothing of streams. */
	char *text = site_ask(&site, "ls -d kept/v/layer/*/* | wc -l");
	int n = atoi(text);
	cr_assert_geq(n, 2, "%s layers", text);
	for (int k = 1; k <= n; k++) {
		site_run(
		        &site,
		        "rm -rf store && cp -r kept store && rm $(ls -d store/v/layer/*/* | sed -n %dp)",
		        k);
		comes_back();
	}
	site_run(&site, "rm -rf store && cp -r kept store && rm -r store/v/layer");
	comes_back();
	free(text);
}
