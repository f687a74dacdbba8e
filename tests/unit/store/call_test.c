/* The calls that the engine makes: what they add to a back end's answers. */
#include "tests/unit/store/bed.h"

static struct trial t;

static void mem_open(void)
{
	trial_open(&t, "mem");
}

static void mem_close(void)
{
	trial_close(&t);
}

TestSuite(store_call, .init = mem_open, .fini = mem_close, .timeout = 30);

Test(store_call, what_is_larger_than_allowed_is_etoobig_and_not_cut)
{
	struct buf b;

	buf_init(&b, env_default());
	(void)put(&t, "k", "0123456789");
	cr_assert_eq(store_get_all(t.store, "k", 9, &b, NULL, &t.err), FIRN_ETOOBIG);
	cr_assert_eq(store_get_all(t.store, "k", 10, &b, NULL, &t.err), FIRN_OK);
	cr_assert_eq(b.len, 10u);
	buf_fini(&b);
}

Test(store_call, an_object_above_the_first_buffer_is_read_whole)
{
	enum { LEN = 200000 };
	uint8_t *data = calloc(1, LEN);
	struct iovec iov = { data, LEN };
	struct store_version put_version, get_version;
	struct buf b;

	data[LEN - 1] = 9;
	buf_init(&b, env_default());
	cr_assert_eq(store_put(t.store, "k", &iov, 1, STORE_ALWAYS, NULL, &put_version, &t.err), 0);
	cr_assert_eq(store_get_all(t.store, "k", 1 << 20, &b, &get_version, &t.err), FIRN_OK);
	cr_assert_eq(b.len, (size_t)LEN);
	cr_assert_eq(memcmp(b.data, data, LEN), 0);
	cr_assert(same_version(&put_version, &get_version));
	buf_fini(&b);
	free(data);
}

Test(store_call, an_absent_key_is_named_and_nothing_to_retry)
{
	size_t got = 77;
	char byte;
	struct buf b;

	buf_init(&b, env_default());
	cr_assert_eq(store_get(t.store, "no/such", 0, &byte, 1, &got, &t.err), FIRN_ENOENT);
	cr_assert_eq(got, 0u);
	cr_assert_eq(store_get_all(t.store, "no/such", 100, &b, NULL, &t.err), FIRN_ENOENT);
	cr_assert_eq(t.err.flags, 0u);
	cr_assert_not_null(strstr(t.err.text, "no/such"), "%s", t.err.text);
	buf_fini(&b);
}

Test(store_call, an_empty_range_asks_only_whether_the_key_is_there)
{
	size_t got = 77;

	(void)put(&t, "k", "0123456789");
	cr_assert_eq(store_get(t.store, "k", 5, NULL, 0, &got, &t.err), FIRN_OK);
	cr_assert_eq(got, 0u);
	cr_assert_eq(store_get(t.store, "no", 5, NULL, 0, &got, &t.err), FIRN_ENOENT);
}

Test(store_call, a_swap_without_a_version_is_einval)
{
	struct store_version none = { 0, "" };

	(void)put(&t, "k", "x");
	cr_assert_eq(try_put(&t, "k", "new", STORE_IF_MATCH, &none, NULL), FIRN_EINVAL);
	cr_assert_eq(try_put(&t, "k", "new", STORE_IF_MATCH, NULL, NULL), FIRN_EINVAL);
	cr_assert_str_eq(text_of(&t, "k"), "x");
}

Test(store_call, a_refused_put_is_known_not_to_have_happened)
{
	struct store_version v = put(&t, "k", "x");

	cr_assert_eq(try_put(&t, "k", "new", STORE_IF_ABSENT, NULL, &v), FIRN_ECONFLICT);
	cr_assert_eq(t.err.flags, 0u);
	cr_assert_eq(v.len, 0u, "it has no version");
}

Test(store_call, the_walk_stops_when_it_is_told_to)
{
	static struct listing l = { .most = 2 };

	(void)put(&t, "a", "x");
	(void)put(&t, "b", "x");
	(void)put(&t, "c", "x");
	cr_assert_eq(store_list(t.store, "", "", listing_add, &l, &t.err), 1);
	cr_assert_str_eq(l.text, "a b ");
}

Test(store_call, prefixes_that_cannot_begin_a_key_are_einval)
{
	static const char *const prefixes[] = { "/",    "../",   "a/../",  "a//", "./",
		                                "\xff", "a\xc3", ".firn~", "a\n" };
	static struct listing l;

	for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
		cr_assert_eq(store_list(t.store, prefixes[i], "", listing_add, &l, &t.err),
		             FIRN_EINVAL, "prefix %zu", i);
	cr_assert_eq(store_list(t.store, "..", "", listing_add, &l, &t.err), FIRN_OK,
	             "`..x` is a key");
}

Test(store_call, the_probe_believes_an_honest_store_and_cleans_up)
{
	(void)put(&t, "vol/manifest", "untouched");
	cr_assert_eq(store_probe(t.store, &t.err), FIRN_OK, "%s", t.err.text);
	cr_assert_eq(store_probe(t.store, &t.err), FIRN_OK);
	cr_assert_str_eq(keys_of(&t, "", ""), "vol/manifest ");
}
