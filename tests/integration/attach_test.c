/* Who may attach, with which WAL, to which manifest (P4, P5): all that must be refused is refused, says
 * why, and has changed nothing of the volume. */
#include "tests/integration/turned.h"
#include "engine/os/env.h"
#include "engine/wal/inspect.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(attach, .timeout = 120);

static struct site site;
static struct host a, b;
static struct firn_env still;

/* A clock that stands still: no group is written because the engine is idle. */
static uint64_t stopped(void *ctx)
{
	(void)ctx;
	return 1;
}

static void setup(void)
{
	site_make(&site);
	host_init(&a, &site, "a");
	host_init(&b, &site, "b");
	still = *env_default();
	still.mono_ns = stopped;
	a.opts.env = b.opts.env = &still;
}

static void teardown(void)
{
	site_remove(&site);
}

/* Opened to be watched: it does nothing of its own while its files are looked at. */
static void open_watched(struct host *h)
{
	h->opts.flags = FIRN_ENGINE_NO_THREADS;
	host_open(h);
	h->opts.flags = 0;
}

/* Every byte of store, WALs and indexes, when all that is due at `h`, which is watched, is done; without lock
 * files, files that hold nothing yet, and what the store's own probe leaves. */
static char *bytes_of_site(struct host *h)
{
	turned_rest(h);
	site_pull(&site);
	return site_ask(&site, "find . -type f ! -name 'lock*' ! -name '*.spare' ! -path '*/.firn*'"
	                       " -print0 | sort -z | xargs -0 md5sum");
}

/* The attach is refused with `code` and words of the text, as CHECK and for real, and nothing moves. */
static void is_refused(struct host *h, const char *takeover, int code, const char *words)
{
	const uint32_t flags[] = { FIRN_ATTACH_CHECK, FIRN_ATTACH_CREATE | FIRN_ATTACH_CHECK,
		                   FIRN_ATTACH_CREATE, 0 };
	char *was = bytes_of_site(h);
	for (int i = 0; i < 4; i++) {
		struct firn_error err = FIRN_ERROR_INIT;
		struct firn_volume *v;
		int rc = host_try_attach(h, "v", flags[i], takeover, &v, &err);
		cr_assert(rc == code && !v, "flags %u: %s: %s", flags[i], firn_code_name(rc),
		          err.text);
		cr_expect(strstr(err.text, words), "no word of `%s`: %s", words, err.text);
		char *now = bytes_of_site(h);
		expect_text(was, now, "a refused attach");
		free(now);
	}
	free(was);
}

static void is_refused_at(struct host *h, int code, const char *words)
{
	open_watched(h);
	is_refused(h, NULL, code, words);
	host_close(h);
}

/* The same where another writer has come since: the first to be told so notes it in its WAL, and that is all. */
static void is_refused_and_fenced_at(struct host *h, const char *words)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_volume *v;
	open_watched(h);
	char *was = bytes_of_site(h);
	cr_assert_eq(host_try_attach(h, "v", FIRN_ATTACH_CHECK, NULL, &v, &err), FIRN_ELOST);
	char *now = bytes_of_site(h);
	expect_text(was, now, "a check");
	free(was);
	free(now);
	cr_assert_eq(host_try_attach(h, "v", 0, NULL, &v, &err), FIRN_ELOST);
	is_refused(h, NULL, FIRN_ELOST, words);
	host_close(h);
}

/* Five batches, three of them stored, the rest in the WAL of `a`. */
static uint64_t some_work(struct host *h)
{
	uint64_t s = new_stream(h, "s");
	say(h, s, "1");
	say(h, s, "2");
	say(h, s, "3");
	store_all(h);
	say(h, s, "4");
	say(h, s, "5");
	return s;
}

static void has_all(struct host *h, uint64_t s, const char *want)
{
	char *got;
	cr_assert_eq(read_stream(h, s, 0, &got), 0);
	cr_expect_str_eq(got, want);
	free(got);
}

/* Flags of the only row in the WAL's table; the engine is closed. */
static uint32_t row_flags(const struct host *h)
{
	char dir[100];
	struct wal_report r;
	struct firn_error err = FIRN_ERROR_INIT;
	(void)snprintf(dir, sizeof dir, "%s/wal", h->dir);
	cr_assert_eq(wal_verify(env_default(), dir, &r, NULL, NULL, &err), 0, "%s", err.text);
	cr_assert_eq(r.n_row, 1);
	uint32_t flags = r.row[0].flags;
	wal_report_fini(&r);
	return flags;
}

Test(attach, a_volume_is_made_when_asked_and_attached_once, .init = setup, .fini = teardown)
{
	open_watched(&a);
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_volume *v;
	char *was = bytes_of_site(&a);
	cr_expect_eq(host_try_attach(&a, "v", 0, NULL, &v, &err), FIRN_ENOENT);
	cr_expect_eq(host_try_attach(&a, "v", FIRN_ATTACH_CREATE | FIRN_ATTACH_CHECK, NULL, &v,
	                             &err),
	             0);
	cr_expect_null(v);
	char *now = bytes_of_site(&a);
	expect_text(was, now, "CHECK of a volume that is not there");
	host_attach(&a, "v");
	cr_expect_eq(host_try_attach(&a, "v", FIRN_ATTACH_CREATE, NULL, &v, &err), FIRN_EBUSY);
	cr_expect_eq(host_try_attach(&a, "no/../name", FIRN_ATTACH_CREATE, NULL, &v, &err),
	             FIRN_EINVAL);
	free(was);
	free(now);
	host_stop(&a, FIRN_DETACH_DRAIN);
}

Test(attach, a_check_of_a_good_attach_changes_nothing, .init = setup, .fini = teardown)
{
	host_start(&a);
	uint64_t s = some_work(&a);
	host_stop(&a, FIRN_DETACH_KEEP_WAL);
	open_watched(&a);
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_volume *v;
	char *was = bytes_of_site(&a);
	cr_expect_eq(host_try_attach(&a, "v", FIRN_ATTACH_CHECK, NULL, &v, &err), 0, "%s",
	             err.text);
	cr_expect_null(v);
	char *now = bytes_of_site(&a);
	expect_text(was, now, "CHECK");
	host_attach(&a, "v");
	has_all(&a, s, "12345");
	host_stop(&a, FIRN_DETACH_DRAIN);
	free(was);
	free(now);
}

Test(attach, a_volume_moves_by_clean_detach, .init = setup, .fini = teardown)
{
	uint64_t s = 0, epoch = 0;
	struct host *h = &a;
	for (int i = 0; i < 6; i++, h = h == &a ? &b : &a) {
		struct firn_volume_info info = { .struct_size = sizeof info };
		host_start(h);
		s = i ? s : new_stream(h, "s");
		cr_assert_eq(firn_volume_info(h->volume, &info), 0);
		cr_expect_gt(info.epoch, epoch);
		epoch = info.epoch;
		cr_expect_eq(say(h, s, "x"), (uint64_t)i);
		host_stop(h, FIRN_DETACH_DRAIN);
	}
	host_start(&a);
	has_all(&a, s, "xxxxxx");
	host_stop(&a, FIRN_DETACH_DRAIN);
}

Test(attach, the_wrong_directory_is_told_which_node_has_the_wal, .init = setup, .fini = teardown)
{
	host_start(&a);
	uint64_t s = some_work(&a);
	open_watched(&b);
	is_refused(&b, NULL, FIRN_ELOST, "node a");
	host_stop(&a, FIRN_DETACH_KEEP_WAL);
	is_refused(&b, NULL, FIRN_ELOST, "node a");
	is_refused(&b, "moved", FIRN_ELOST, "node a");
	host_start(&a);
	has_all(&a, s, "12345");
	host_stop(&a, FIRN_DETACH_DRAIN);
	host_attach(&b, "v");
	has_all(&b, s, "12345");
	host_stop(&b, FIRN_DETACH_DRAIN);
}

/* A queue's event has no firn_error beside the result that says what would be lost. */
Test(attach, a_queue_is_told_which_node_has_the_wal, .init = setup, .fini = teardown)
{
	struct firn_attach r = FIRN_ATTACH_INIT;
	const struct firn_req *req = &r.req;
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_event ev;
	host_start(&a);
	(void)some_work(&a);
	host_open(&b);
	r.req.cq = b.cq;
	r.store = site.uri;
	r.name = "v";
	cr_assert_eq(firn_engine_submit(b.engine, &req, 1, &err), 1, "%s", err.text);
	cr_assert_eq(firn_cq_reap(b.cq, &ev, sizeof ev, 1, 10000), 1);
	cr_assert(ev.kind == FIRN_REQ_ATTACH && ev.code == FIRN_ELOST);
	const struct firn_attached *got = ev.result;
	cr_assert(got && got->text && got->n_lost == 1 && !got->volume);
	cr_expect(strstr(got->text, "node a"), "%s", got->text);
	firn_release(got);
	host_close(&b);
	host_stop(&a, FIRN_DETACH_DRAIN);
}

Test(attach, a_copied_directory_is_no_possession, .init = setup, .fini = teardown)
{
	host_start(&a);
	uint64_t s = some_work(&a);
	host_stop(&a, FIRN_DETACH_KEEP_WAL);
	site_run(&site, "cp -a a b");
	is_refused_at(&b, FIRN_ELOST, "takeover=moved");
	host_open(&b);
	struct firn_error err = FIRN_ERROR_INIT;
	cr_assert_eq(host_try_attach(&b, "v", 0, "moved", &b.volume, &err), 0, "%s", err.text);
	has_all(&b, s, "12345");
	say(&b, s, "6");
	is_refused_and_fenced_at(&a, "node b");
	host_stop(&b, FIRN_DETACH_KEEP_WAL);
	host_start(&b);
	has_all(&b, s, "123456");
	host_stop(&b, FIRN_DETACH_KEEP_WAL);
}

Test(attach, an_older_copy_of_the_wal_is_refused, .init = setup, .fini = teardown)
{
	host_start(&a);
	uint64_t s = some_work(&a);
	host_stop(&a, FIRN_DETACH_KEEP_WAL);
	site_run(&site, "cp -a a/wal old");
	host_start(&a);
	say(&a, s, "6");
	host_stop(&a, FIRN_DETACH_KEEP_WAL);
	site_run(&site, "mkdir new && mv a/wal/* new && cp -a old/* a/wal");
	is_refused_and_fenced_at(&a, "not in this one");
	site_run(&site, "rm a/wal/* && mv new/* a/wal");
	host_start(&a);
	has_all(&a, s, "123456");
	host_stop(&a, FIRN_DETACH_KEEP_WAL);
}

Test(attach, a_store_that_went_backwards_is_refused, .init = setup, .fini = teardown)
{
	host_start(&a);
	uint64_t s = some_work(&a);
	site_change_store(&site, "cp store/v/manifest dirty");
	host_stop(&a, FIRN_DETACH_DRAIN);
	site_change_store(&site, "cp store/v/manifest clean");
	host_start(&a);
	say(&a, s, "6");
	store_all(&a);
	say(&a, s, "7");
	host_stop(&a, FIRN_DETACH_KEEP_WAL);
	site_change_store(&site, "cp store/v/manifest newest");
	const char *const older[] = { "dirty", "clean" };
	for (int i = 0; i < 2; i++) {
		site_pull(&site);
		site_run(&site, "cp %s store/v/manifest", older[i]);
		site_push(&site);
		open_watched(&a);
		struct firn_error err = FIRN_ERROR_INIT;
		struct firn_volume *v;
		char *was = bytes_of_site(&a);
		int rc = host_try_attach(&a, "v", 0, NULL, &v, &err);
		cr_expect(rc == FIRN_ECORRUPT || rc == FIRN_ELOST, "%s", firn_code_name(rc));
		char *now = bytes_of_site(&a);
		expect_text(was, now, "a refused attach");
		free(was);
		free(now);
		host_close(&a);
	}
	is_refused_at(&a, FIRN_ECORRUPT, "backwards");
	site_change_store(&site, "cp newest store/v/manifest");
	host_start(&a);
	has_all(&a, s, "1234567");
	host_stop(&a, FIRN_DETACH_KEEP_WAL);
}

static void manifest_removed(uint32_t mode)
{
	host_start(&a);
	uint64_t s = some_work(&a);
	host_stop(&a, mode);
	site_change_store(&site, "mv store/v/manifest aside");
	is_refused_at(&a, FIRN_ECORRUPT, "backwards");
	site_change_store(&site, "mv aside store/v/manifest");
	host_start(&a);
	has_all(&a, s, "12345");
	host_stop(&a, FIRN_DETACH_KEEP_WAL);
}

Test(attach, a_manifest_that_is_gone_is_not_made_anew, .init = setup, .fini = teardown)
{
	manifest_removed(FIRN_DETACH_KEEP_WAL);
}

Test(attach, the_manifest_of_a_clean_volume_is_not_made_anew, .init = setup, .fini = teardown)
{
	manifest_removed(FIRN_DETACH_DRAIN);
}

/* The volume "v" of a store, at a host that may know another of that name. */
static void attach_in(struct host *h, const struct site *where)
{
	h->site = where;
	host_attach(h, "v");
}

/* What an engine keeps of a volume goes by its id, and not by its name (PROTOCOL S22). */
Test(attach, volumes_of_one_name_in_two_stores_share_nothing, .init = setup, .fini = teardown)
{
	static const char *const said[] = { "here", "there" };
	struct site other;
	site_make(&other);
	const struct site *const where[] = { &site, &other };
	uint64_t s[2];
	host_open(&a);
	for (int i = 0; i < 2; i++) {
		attach_in(&a, where[i]);
		s[i] = new_stream(&a, "s");
		(void)say(&a, s[i], said[i]);
		cr_assert_eq(host_detach(&a, a.volume, FIRN_DETACH_KEEP_WAL, NULL), 0);
	}
	host_close(&a);
	host_open(&a);
	for (int i = 2; i-- > 0;) {
		attach_in(&a, where[i]);
		has_all(&a, s[i], said[i]);
		cr_assert_eq(host_detach(&a, a.volume, FIRN_DETACH_DRAIN, NULL), 0);
	}
	host_close(&a);
	host_open(&b); /* it has to ask the stores */
	for (int i = 0; i < 2; i++) {
		attach_in(&b, where[i]);
		has_all(&b, s[i], said[i]);
		cr_assert_eq(host_detach(&b, b.volume, FIRN_DETACH_DRAIN, NULL), 0);
	}
	host_close(&b);
	site_remove(&other);
}

/* All objects of a volume were removed by hand, and one of its name was made anew, elsewhere (PROTOCOL S22). */
Test(attach, a_volume_made_anew_has_nothing_of_the_one_before, .init = setup, .fini = teardown)
{
	struct host c;
	host_init(&c, &site, "c");
	host_start(&a);
	uint64_t s = some_work(&a);
	host_stop(&a, FIRN_DETACH_DRAIN);
	site_change_store(&site, "rm -r store/v");
	host_start(&c);
	uint64_t t = new_stream(&c, "s");
	(void)say(&c, t, "new");
	host_stop(&c, FIRN_DETACH_DRAIN);
	cr_expect_eq(s, t, "the ids are the same, and only they");
	host_start(&a);
	has_all(&a, t, "new");
	(void)say(&a, t, "er");
	has_all(&a, t, "newer");
	host_stop(&a, FIRN_DETACH_DRAIN);
}

Test(attach, a_missing_wal_is_told, .init = setup, .fini = teardown)
{
	host_start(&a);
	uint64_t s = some_work(&a);
	host_stop(&a, FIRN_DETACH_KEEP_WAL);
	site_run(&site, "mkdir aside && mv a/wal/* aside");
	is_refused_at(&a, FIRN_ELOST, "node a");
	site_run(&site, "rm a/wal/* && mv aside/* a/wal");
	host_start(&a);
	has_all(&a, s, "12345");
	host_stop(&a, FIRN_DETACH_KEEP_WAL);
}

Test(attach, one_missing_wal_file_is_told, .init = setup, .fini = teardown)
{
	static const char *const options[] = { "wal_file_bytes=1M", NULL };
	char big[100000];
	memset(big, 'x', sizeof big - 1);
	big[sizeof big - 1] = 0;
	a.opts.options = options;
	host_start(&a);
	uint64_t s = new_stream(&a, "s");
	for (int i = 0; i < 30; i++)
		say(&a, s, big);
	host_stop(&a, FIRN_DETACH_KEEP_WAL);
	char *names = site_ask(&site, "ls a/wal/*.wal");
	int n = 0;
	for (char *name = strtok(names, "\n"); name; name = strtok(NULL, "\n"), n++) {
		site_run(&site, "rm -rf a/wal.all && cp -a a/wal a/wal.all && rm %s", name);
		host_open(&a);
		struct firn_error err = FIRN_ERROR_INIT;
		int rc = host_try_attach(&a, "v", 0, NULL, &a.volume, &err);
		if (!rc) { /* the newest alone looks like a crash before it was begun */
			cr_expect_null(strtok(NULL, "\n"), "without %s", name);
			cr_expect_eq(read_stream(&a, s, 0, NULL), 0);
			host_stop(&a, FIRN_DETACH_KEEP_WAL);
			break;
		}
		cr_expect(rc == FIRN_ECORRUPT || rc == FIRN_ELOST, "%s", firn_code_name(rc));
		host_close(&a);
		site_run(&site, "rm a/wal/* && cp -a a/wal.all/* a/wal");
	}
	cr_expect_geq(n, 2);
	free(names);
}

Test(attach, a_second_opener_is_told_who_holds_the_directory, .init = setup, .fini = teardown)
{
	char pid[16];
	struct firn_error err = FIRN_ERROR_INIT;
	struct host again;
	host_start(&a);
	host_init(&again, &site, "a");
	cr_expect_eq(host_try_open(&again, &err), FIRN_EBUSY);
	(void)snprintf(pid, sizeof pid, "%d", (int)getpid());
	cr_expect(strstr(err.text, pid), "%s", err.text);
	host_stop(&a, FIRN_DETACH_DRAIN);
	host_open(&again);
	host_close(&again);
}

Test(attach, thirty_two_volumes_share_one_engine, .init = setup, .fini = teardown)
{
	struct firn_volume *v[32];
	char *was[32], name[8];
	const uint32_t modes[] = { FIRN_DETACH_KEEP_WAL, FIRN_DETACH_DRAIN, FIRN_DETACH_ABORT };
	for (uint32_t round = 0; round < 4; round++) {
		struct firn_error err = FIRN_ERROR_INIT;
		host_open(&a);
		for (uint32_t i = 0; i < 32; i++) {
			(void)snprintf(name, sizeof name, "v%u", i);
			host_attach(&a, name);
			v[i] = a.volume;
			char *now = volume_text(&a, v[i]);
			if (round)
				expect_text(was[i], now, name);
			if (round)
				free(was[i]);
			free(now);
		}
		for (uint32_t k = 0; k < 3 * 32; k++) {
			a.volume = v[k % 32];
			uint64_t s;
			cr_assert_eq(firn_stream_open(a.volume, "s", &s, NULL), 0);
			say(&a, s, k % 3 ? "odd" : "even");
		}
		for (uint32_t i = 0; i < 32; i++) {
			was[i] = volume_text(&a, v[i]);
			cr_assert_eq(host_detach(&a, v[i], modes[(round + i) % 3], &err), 0, "%s",
			             err.text);
		}
		host_close(&a);
	}
	for (uint32_t i = 0; i < 32; i++)
		free(was[i]);
}

Test(attach, detached_and_attached_again_on_the_same_engine, .init = setup, .fini = teardown)
{
	const uint32_t modes[] = { FIRN_DETACH_KEEP_WAL, FIRN_DETACH_ABORT, FIRN_DETACH_DRAIN };
	host_start(&a);
	uint64_t s = some_work(&a);
	for (uint32_t i = 0; i < 9; i++) {
		struct firn_error err = FIRN_ERROR_INIT;
		say(&a, s, "x");
		char *was = volume_text(&a, a.volume);
		int rc = host_detach(&a, a.volume, modes[i % 3], &err);
		cr_assert_eq(rc, 0, "mode %u: %s", modes[i % 3], err.text);
		host_attach(&a, "v");
		char *now = volume_text(&a, a.volume);
		expect_text(was, now, "attached again");
		free(was);
		free(now);
	}
	host_stop(&a, FIRN_DETACH_KEEP_WAL);
	is_refused_at(&b, FIRN_ELOST, "node a");
}

Test(attach, a_fenced_writer_learns_it_and_what_is_stored_stays_readable, .init = setup,
     .fini = teardown)
{
	a.opts.env = b.opts.env = NULL; /* retries need a clock that runs */
	host_start(&a);
	cr_assert_eq(firn_engine_notices(a.engine, a.cq, 1u << (FIRN_EV_VOLUME - 64), 0), 0);
	uint64_t s = some_work(&a);
	host_open(&b); /* an operator who lies: "the original is gone" */
	host_close(&b);
	site_run(&site, "rm -rf b && cp -a a b");
	host_open(&b);
	struct firn_error err = FIRN_ERROR_INIT;
	cr_assert_eq(host_try_attach(&b, "v", 0, "moved", &b.volume, &err), 0, "%s", err.text);
	struct firn_flush f = FIRN_FLUSH_INIT;
	struct firn_event ev;
	f.volume = a.volume;
	f.mark = FIRN_MARK_STORED;
	cr_expect_eq(firn_engine_call(a.engine, &f.req, &ev, &err), FIRN_EFENCED, "%s", err.text);
	firn_release(ev.result);
	cr_assert(reap_one(&a, &ev, 60000));
	cr_expect(ev.kind == FIRN_EV_VOLUME && ev.offset == FIRN_STATE_FENCED);
	struct iovec iov = io_of("7");
	cr_expect_eq(write_one(&a, op_append(s, &iov), NULL), FIRN_EFENCED);
	const struct firn_fetched *got;
	cr_assert_eq(firn_stream_read(a.volume, s, 0, 0, 60000, &got, &err), 0, "%s", err.text);
	cr_expect_eq(got->n_part, 1);
	cr_expect_geq(got->part[0].n_batch, 3, "%u batches, up to %lu, flags %u",
	              got->part[0].n_batch, got->part[0].next_offset, got->part[0].flags);
	firn_release(got);
	cr_expect_eq(host_detach(&a, a.volume, FIRN_DETACH_DRAIN, &err), FIRN_EFENCED);
	host_close(&a);
	cr_expect_eq(row_flags(&a), WAL_VOLUME_FENCED);
	has_all(&b, s, "12345");
	cr_expect_eq(say(&b, s, "6"), 5);
	host_stop(&b, FIRN_DETACH_DRAIN);
	host_start(&a); /* it is clean now: the old directory is as good as any */
	has_all(&a, s, "123456");
	host_stop(&a, FIRN_DETACH_DRAIN);
}

/* B takes the volume from a copy while A is dead: A learns it when it comes back, and its WAL keeps it. */
Test(attach, a_writer_that_was_replaced_while_it_was_away_is_fenced_for_good, .init = setup,
     .fini = teardown)
{
	a.opts.env = b.opts.env = NULL;
	host_start(&a);
	(void)some_work(&a);
	host_stop(&a, FIRN_DETACH_ABORT);
	cr_expect_eq(row_flags(&a), 0);
	site_change_store(&site, "rm -rf b && cp -a a b && cp -a store before");
	host_open(&b);
	struct firn_error err = FIRN_ERROR_INIT;
	cr_assert_eq(host_try_attach(&b, "v", 0, "moved", &b.volume, &err), 0, "%s", err.text);
	host_open(&a);
	cr_expect_eq(host_try_attach(&a, "v", FIRN_ATTACH_CHECK, NULL, &a.volume, &err),
	             FIRN_ELOST);
	host_close(&a);
	cr_expect_eq(row_flags(&a), 0, "a check changes nothing");
	host_open(&a);
	for (int i = 0; i < 2; i++)
		cr_expect_eq(host_try_attach(&a, "v", 0, NULL, &a.volume, &err), FIRN_ELOST);
	host_close(&a);
	cr_expect_eq(row_flags(&a), WAL_VOLUME_FENCED);
	host_stop(&b, FIRN_DETACH_ABORT);
	/* The manifest of before names A again: not a reason to go on. */
	site_change_store(&site, "mv store after && mv before store");
	host_open(&a);
	cr_expect_eq(host_try_attach(&a, "v", 0, NULL, &a.volume, &err), FIRN_ECORRUPT);
	cr_expect(strstr(err.text, "fenced"), "%s", err.text);
	host_close(&a);
	site_change_store(&site, "rm -rf store && mv after store");
	host_start(&b);
	host_stop(&b, FIRN_DETACH_DRAIN);
	host_start(&a);
	host_stop(&a, FIRN_DETACH_DRAIN);
	cr_expect_eq(row_flags(&a), WAL_VOLUME_DETACHED | WAL_VOLUME_CLEAN);
}

/* A acked more than B knows of: that is not the volume any more. */
Test(attach, what_a_fenced_writer_acked_alone_is_not_taken_for_the_volume, .init = setup,
     .fini = teardown)
{
	a.opts.env = b.opts.env = NULL;
	host_start(&a);
	uint64_t s = some_work(&a);
	site_run(&site, "rm -rf b && cp -a a b");
	say(&a, s, "6");
	say(&a, s, "7");
	host_stop(&a, FIRN_DETACH_ABORT);
	host_open(&b);
	struct firn_error err = FIRN_ERROR_INIT;
	cr_assert_eq(host_try_attach(&b, "v", 0, "moved", &b.volume, &err), 0, "%s", err.text);
	host_open(&a);
	cr_expect_eq(host_try_attach(&a, "v", 0, NULL, &a.volume, &err), FIRN_ELOST);
	host_stop(&b, FIRN_DETACH_DRAIN);
	cr_expect_eq(host_try_attach(&a, "v", 0, NULL, &a.volume, &err), FIRN_EFENCED, "%s",
	             err.text);
	host_close(&a);
}

static char *bytes_of_store(void)
{
	site_pull(&site);
	return site_ask(&site, "find store -type f ! -path '*/.firn*' | sort | xargs md5sum");
}

Test(attach, read_only_sees_one_stored_cut_and_changes_nothing, .init = setup, .fini = teardown)
{
	host_start(&a);
	uint64_t s = some_work(&a);
	host_open(&b);
	struct firn_error err = FIRN_ERROR_INIT;
	char *was = bytes_of_store();
	cr_assert_eq(host_try_attach(&b, "v", FIRN_ATTACH_READ_ONLY, NULL, &b.volume, &err), 0,
	             "%s", err.text);
	has_all(&b, s, "123");
	struct iovec iov = io_of("7");
	cr_expect_eq(write_one(&b, op_append(s, &iov), NULL), FIRN_EREADONLY);
	cr_expect_eq(host_detach(&b, b.volume, FIRN_DETACH_DRAIN, &err), 0);
	char *now = bytes_of_store();
	expect_text(was, now, "read-only");
	free(was);
	free(now);
	host_close(&b);
	cr_expect_eq(say(&a, s, "6"), 5);
	host_stop(&a, FIRN_DETACH_DRAIN);
}
