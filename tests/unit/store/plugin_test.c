/* Shared objects as stores: loaded, driven, and contained when they misbehave (P7). The plug-in is built
 * here, against the public headers, with the compiler named by CC. */
#include "engine/os/env.h"
#include "engine/store/internal.h"
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct firn_error err;
static char so_path[256];

static void build(const char *flags)
{
	const char *cc = getenv("CC"), *source = getenv("FIRN_SOURCE_DIR");
	char command[2048];
	int fd;

	(void)snprintf(so_path, sizeof so_path, "%s/firn-odd-XXXXXX.so",
	               getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	fd = mkstemps(so_path, 3);
	cr_assert_geq(fd, 0);
	(void)close(fd);
	source = source ? source : ".";
	(void)snprintf(command, sizeof command,
	               "%s -std=c11 -Wall -Wextra -Werror -fPIC -shared -I%s/include %s -o %s "
	               "%s/tests/conformance/plugin/odd_store.c -lpthread",
	               cc ? cc : "cc", source, flags, so_path, source);
	cr_assert_eq(system(command), 0, "%s", command);
}

static void build_plain(void)
{
	build("");
}

static void remove_it(void)
{
	(void)unlink(so_path);
}

static int open_odd(const char *params, struct store **s)
{
	char uri[512];

	(void)snprintf(uri, sizeof uri, "plugin:%s%s", so_path, params);
	return store_open(env_default(), uri, s, &err);
}

static struct store *must_open(const char *params)
{
	struct store *s = NULL;

	cr_assert_eq(open_odd(params, &s), FIRN_OK, "%s", err.text);
	return s;
}

static int put(struct store *s, const char *key, const char *text, enum store_condition condition)
{
	struct iovec iov = { (void *)(uintptr_t)text, strlen(text) };

	return store_put(s, key, &iov, 1, condition, NULL, NULL, &err);
}

TestSuite(plugin, .init = build_plain, .fini = remove_it, .timeout = 120);

static void use(const char *params)
{
	struct store *s = must_open(params);
	char back[8] = { 0 };
	size_t got = 0;

	cr_assert_eq(put(s, "k", "hello", STORE_IF_ABSENT), FIRN_OK, "%s", err.text);
	cr_assert_eq(put(s, "k", "again", STORE_IF_ABSENT), FIRN_ECONFLICT);
	cr_assert_eq(store_get(s, "k", 0, back, sizeof back, &got, &err), FIRN_OK);
	cr_assert_str_eq(back, "hello");
	cr_assert_eq(store_probe(s, &err), FIRN_OK, "%s", err.text);
	cr_assert_eq(store_delete(s, "k", &err), FIRN_OK);
	store_close(s);
}

Test(plugin, a_shared_object_is_a_store)
{
	use("");
}

Test(plugin, a_back_end_without_threads_is_polled)
{
	use("?mode=poll");
}

Test(plugin, completions_may_come_from_any_thread)
{
	use("?mode=thread");
}

Test(plugin, a_second_completion_is_noticed_and_changes_nothing)
{
	struct store *s = must_open("?mode=twice");

	for (int i = 0; i < 10; i++)
		cr_assert_eq(put(s, "k", "x", STORE_ALWAYS), FIRN_OK);
	cr_assert_eq(s->n_stray, 10u);
	cr_assert_eq(s->n_in_flight, 0u);
	store_close(s);
}

/* ---- never and late ---- */

Test(plugin, a_request_that_is_never_answered_ends_typed_and_by_name)
{
	struct store *s = must_open("?mode=never&deadline_ms=100");
	char back[8];
	size_t got;

	cr_assert_eq(put(s, "k", "x", STORE_IF_ABSENT), FIRN_ESTORE);
	cr_assert(err.flags & FIRN_ERR_AMBIGUOUS, "it may still be done");
	cr_assert_not_null(strstr(err.text, "odd"), "%s", err.text);
	cr_assert_not_null(strstr(err.text, "never answered"), "%s", err.text);
	cr_assert_eq(store_get(s, "k", 0, back, sizeof back, &got, &err), FIRN_ESTORE);
	cr_assert_eq(err.flags, (uint32_t)FIRN_ERR_RETRY, "a question may be asked again");
	store_close(s); /* returns */
}

Test(plugin, a_plug_in_that_leaves_too_much_unanswered_is_not_asked_any_more)
{
	struct store *s = must_open("?mode=never&deadline_ms=1");

	for (int i = 0; i < SLOT_LOST_MAX; i++) { /* past the circuit, which would make it long */
		struct store_slot *slot = slot_get(s);

		slot->req = (struct firn_store_request){ .op = FIRN_STORE_STAT, .key = "k" };
		slot_submit(slot);
		cr_assert_eq(slot_wait(slot, 0), 1);
	}
	cr_assert_eq(s->n_lost, (uint32_t)SLOT_LOST_MAX);
	cr_assert_eq(put(s, "k", "x", STORE_ALWAYS), FIRN_ESTORE);
	cr_assert(err.flags & FIRN_ERR_FATAL, "%s", err.text);
	cr_assert_eq(s->n_lost, (uint32_t)SLOT_LOST_MAX, "it was not asked");
	store_close(s);
}

Test(plugin, a_probe_that_is_never_answered_is_no_lie_and_no_hang)
{
	struct store *s = must_open("?mode=never&deadline_ms=5");

	cr_assert_eq(store_probe(s, &err), FIRN_ESTORE, "%s", err.text);
	store_close(s);
}

/* What was held is done at last; the next one is held again. */
static void let_go(struct store *s)
{
	void (*hold)(void *handle, int held);
	void *symbol = dlsym(s->library, "odd_hold");

	cr_assert_not_null(symbol);
	memcpy(&hold, &symbol, sizeof hold);
	hold(s->handle, 0);
	while (slot_n_lost(s))
		(void)usleep(1000);
	hold(s->handle, 1);
}

Test(plugin, an_answer_after_the_caller_gave_up_touches_nothing_of_his)
{
	struct store *s = must_open("?mode=held&deadline_ms=50");
	char back[8];
	size_t got;

	cr_assert_eq(put(s, "k", "hello", STORE_ALWAYS), FIRN_ESTORE);
	let_go(s);
	memset(back, '-', sizeof back);
	cr_assert_eq(store_get(s, "k", 0, back, sizeof back, &got, &err), FIRN_ESTORE);
	let_go(s);
	cr_assert_eq(memcmp(back, "--------", sizeof back), 0);
	cr_assert_eq(s->n_in_flight, 0u);
	cr_assert_eq(s->n_stray, 0u);
	store_close(s);
	s = must_open("?mode=late&ms=30&deadline_ms=5000");
	cr_assert_eq(put(s, "k", "hello", STORE_ALWAYS), FIRN_OK, "in time: %s", err.text);
	cr_assert_eq(store_get(s, "k", 0, back, sizeof back, &got, &err), FIRN_OK);
	cr_assert_eq(got, 5u);
	cr_assert_eq(memcmp(back, "hello", 5), 0);
	store_close(s);
}

static int see(void *arg, const char *key, uint64_t size)
{
	(void)arg;
	(void)key;
	(void)size;
	return 0;
}

Test(plugin, a_garbled_page_is_a_typed_error)
{
	static const char *const lies[] = { "?lie=page", "?lie=key", "" };

	for (int i = 0; i < 3; i++) {
		struct store *s = must_open(lies[i]);

		cr_assert_eq(store_list(s, "", "", see, NULL, &err), FIRN_ESTORE, "%s", lies[i]);
		store_close(s);
	}
}

Test(plugin, an_answer_that_contradicts_itself_is_a_typed_error)
{
	struct store *s = must_open("?mode=nonsense&deadline_ms=50");

	cr_assert_eq(put(s, "k", "x", STORE_IF_ABSENT), FIRN_ESTORE);
	cr_assert_eq(err.flags, (uint32_t)FIRN_ERR_AMBIGUOUS, "it may have happened");
	cr_assert_not_null(strstr(err.text, "contradicts"), "%s", err.text);
	store_close(s);
}

static int never(void *arg, const char *key, uint64_t size)
{
	(void)arg;
	(void)key;
	(void)size;
	return 0;
}

Test(plugin, a_list_out_of_order_is_not_believed)
{
	struct store *s = must_open("");

	cr_assert_eq(store_list(s, "", "", never, NULL, &err), FIRN_ESTORE);
	cr_assert_not_null(strstr(err.text, "does not belong there"), "%s", err.text);
	store_close(s);
}

Test(plugin, what_is_not_claimed_and_what_is_too_big_is_not_asked_for)
{
	struct store *s = must_open("");
	char big[300], back[4];
	size_t got;

	memset(big, 'x', sizeof big);
	big[299] = 0;
	cr_assert_eq(put(s, "k", big, STORE_ALWAYS), FIRN_ETOOBIG);
	cr_assert_eq(put(s, "k", "abc", STORE_ALWAYS), FIRN_OK);
	cr_assert_eq(store_get(s, "k", 1, back, 2, &got, &err), FIRN_EUNSUPPORTED, "no RANGE");
	store_close(s);
}

/* ---- opening ---- */

Test(plugin, a_failed_open_says_what_the_plug_in_said_and_its_name)
{
	struct store *s;

	cr_assert_eq(open_odd("?color=blue", &s), FIRN_EINVAL);
	cr_assert_null(s);
	cr_assert_not_null(strstr(err.text, "odd: unknown parameter `color`"), "%s", err.text);
	cr_assert_eq(open_odd("?open=null", &s), FIRN_ESTORE, "success without a handle");
}

Test(plugin, what_is_no_plug_in_is_refused_by_name)
{
	struct store *s;

	cr_assert_eq(store_open(env_default(), "plugin:libx.so", &s, &err), FIRN_EINVAL,
	             "relative");
	cr_assert_eq(store_open(env_default(), "plugin:/no/such.so", &s, &err), FIRN_ESTORE);
	cr_assert_not_null(strstr(err.text, "/no/such.so"), "%s", err.text);
	cr_assert_eq(store_open(env_default(), "plugin:libm.so.6", &s, &err), FIRN_EINVAL);
	remove_it();
	build("-Dfirn_store_entry=another_entry");
	cr_assert_eq(open_odd("", &s), FIRN_EUNSUPPORTED);
	cr_assert_not_null(strstr(err.text, FIRN_STORE_ENTRY), "%s", err.text);
}

Test(plugin, another_abi_major_is_refused_and_a_shorter_table_of_the_same_is_not)
{
	struct store *s;

	remove_it();
	build("-DODD_ABI=2");
	cr_assert_eq(open_odd("", &s), FIRN_EUNSUPPORTED);
	cr_assert_not_null(strstr(err.text, "interface 2"), "%s", err.text);
	remove_it();
	build("-DODD_SIZE=40");
	cr_assert_eq(open_odd("", &s), FIRN_EUNSUPPORTED, "too short to be whole");
	remove_it();
	build("'-DODD_SIZE=offsetof(struct firn_store_plugin,poll)'");
	s = must_open("");
	cr_assert_null(s->plugin.poll, "what it does not know is absent");
	cr_assert_eq(put(s, "k", "x", STORE_ALWAYS), FIRN_OK);
	store_close(s);
}

/* ---- retrying, in its one place ---- */

Test(plugin, what_was_not_done_is_tried_again)
{
	static const char *const says[] = { "?say=retry&times=3", "?say=throttled&times=3" };

	for (int i = 0; i < 2; i++) {
		struct store *s = must_open(says[i]);
		uint64_t size = 0;

		cr_assert_eq(put(s, "k", "abc", STORE_ALWAYS), FIRN_OK, "%s", err.text);
		cr_assert_eq(store_stat(s, "k", &size, NULL, &err), FIRN_OK);
		cr_assert_eq(size, 3u);
		store_close(s);
	}
}

Test(plugin, an_unconditional_put_in_doubt_is_sent_again)
{
	struct store *s = must_open("?say=ambiguous&times=2");

	cr_assert_eq(put(s, "k", "abc", STORE_ALWAYS), FIRN_OK, "%s", err.text);
	store_close(s);
}

/* PROTOCOL 7: settling it is the manifest's business. Sent twice it would conflict with itself. */
Test(plugin, a_conditional_put_is_sent_once_and_its_doubt_is_reported)
{
	struct store *s = must_open("?say=ambiguous&times=1");
	uint64_t size = 0;

	cr_assert_eq(put(s, "k", "abc", STORE_IF_ABSENT), FIRN_ESTORE);
	cr_assert_eq(err.flags, (uint32_t)FIRN_ERR_AMBIGUOUS);
	cr_assert_eq(err.sys, 503);
	cr_assert_eq(store_stat(s, "k", &size, NULL, &err), FIRN_OK, "it did happen");
	store_close(s);
	s = must_open("?say=throttled&times=1");
	cr_assert_eq(put(s, "k", "abc", STORE_IF_ABSENT), FIRN_ESTORE);
	cr_assert_eq(err.flags, (uint32_t)(FIRN_ERR_RETRY | FIRN_ERR_THROTTLED));
	cr_assert_eq(err.retry_after_ms, 30u);
	cr_assert_eq(store_stat(s, "k", &size, NULL, &err), FIRN_ENOENT, "it did not");
	store_close(s);
}

Test(plugin, the_deadline_ends_the_trying)
{
	struct store *s = must_open("?say=retry&times=1000000&deadline_ms=300");

	cr_assert_eq(put(s, "k", "abc", STORE_ALWAYS), FIRN_ESTORE);
	cr_assert_eq(err.flags, (uint32_t)FIRN_ERR_RETRY);
	store_close(s);
}

/* ---- the probe ---- */

Test(plugin, every_lie_about_conditions_is_found_out)
{
	static const char *const lies[][2] = {
		{ "?lie=absent", "more than one won" }, { "?lie=match", "another version" },
		{ "?lie=create", "created a key" },     { "?lie=write", "overwritten" },
		{ "?lie=none", "it has none" },         { "?lie=honest", "lacks PUT_IF_MATCH" },
	};

	for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
		struct store *s = must_open(lies[i][0]);

		cr_assert_eq(store_probe(s, &err), FIRN_EUNSUPPORTED, "%s", lies[i][0]);
		cr_assert_not_null(strstr(err.text, lies[i][1]), "%s: %s", lies[i][0], err.text);
		memset(&err, 0, sizeof err);
		cr_assert_eq(store_probe(s, &err), FIRN_EUNSUPPORTED, "it stays found out");
		cr_assert_not_null(strstr(err.text, lies[i][1]));
		store_close(s);
	}
}

/* DESIGN 5: without compare-and-swap attach refuses, unless the caller vouches for it in so many words. */
Test(plugin, what_a_store_lacks_is_looked_at_first_where_the_caller_vouches_for_it)
{
	struct store_version first = { 0 }, second = { 0 };
	struct iovec iov = { (void *)(uintptr_t) "one", 3 };
	struct store *s;

	cr_assert_eq(open_odd("?lie=honest&exclusive=yes", &s), FIRN_EINVAL);
	s = must_open("?lie=honest");
	cr_assert_eq(store_probe(s, &err), FIRN_EUNSUPPORTED);
	cr_assert_not_null(strstr(err.text, "exclusive=trust-me"), "%s", err.text);
	store_close(s);
	s = must_open("?lie=honest&exclusive=trust-me");
	cr_assert_eq(store_probe(s, &err), FIRN_OK, "%s", err.text);
	cr_assert_eq(store_put(s, "k", &iov, 1, STORE_IF_ABSENT, NULL, &first, &err), FIRN_OK);
	cr_assert_eq(store_put(s, "k", &iov, 1, STORE_IF_ABSENT, NULL, &second, &err),
	             FIRN_ECONFLICT);
	iov.iov_base = (void *)(uintptr_t) "two";
	cr_assert_eq(store_put(s, "k", &iov, 1, STORE_IF_MATCH, &first, &second, &err), FIRN_OK,
	             "%s", err.text);
	cr_assert_eq(store_put(s, "k", &iov, 1, STORE_IF_MATCH, &first, NULL, &err), FIRN_ECONFLICT,
	             "replaced since");
	cr_assert_eq(store_put(s, "no", &iov, 1, STORE_IF_MATCH, &first, NULL, &err), FIRN_ENOENT);
	cr_assert_eq(store_put(s, "k", &iov, 1, STORE_IF_MATCH, &second, NULL, &err), FIRN_OK);
	store_close(s);
}

Test(plugin, a_store_that_is_away_has_not_lied)
{
	struct store *s = must_open("?say=retry&times=6&deadline_ms=100");

	cr_assert_eq(store_probe(s, &err), FIRN_ESTORE);
	cr_assert(err.flags & FIRN_ERR_RETRY);
	cr_assert_eq(store_probe(s, &err), FIRN_OK, "asked again when it is back: %s", err.text);
	store_close(s);
}

Test(plugin, a_lost_answer_during_the_probe_is_no_lie)
{
	struct store *s = must_open("?say=ambiguous&times=4");

	cr_assert_eq(store_probe(s, &err), FIRN_OK, "%s", err.text);
	store_close(s);
}
