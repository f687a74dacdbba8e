/* Which keys there are, and that none of them leads out of the store. */
#include "tests/conformance/trial.h"

static const char *const odd_keys[] = {
	"a b",
	"a+b",
	"a%20b",
	"a?b=c&d",
	"#x",
	"a:b",
	"\\x",
	"it's\"q\"",
	"*[]{}~^`|",
	"...",
	".hidden",
	"a/.../b",
	"..a/b..",
	"-rf",
	"b",
	"\xc3\xa9",
	"\xf0\x9f\x8f\x94/x",
	"e\xcc\x81",
	"con",
	"<&>",
	"$(x);",
	"a,b=c@d!",
	"\xe2\x80\xae rtl",
};

CONFORMS(key, odd_but_legal_keys_are_kept_apart)
{
	size_t n = sizeof odd_keys / sizeof odd_keys[0];

	for (size_t i = 0; i < n; i++)
		(void)put(t, odd_keys[i], odd_keys[i]);
	for (size_t i = 0; i < n; i++)
		cr_assert_str_eq(text_of(t, odd_keys[i]), odd_keys[i]);
	static struct listing l;

	cr_assert_eq(store_list(t->store, "", "", listing_add, &l, &t->err), FIRN_OK);
	cr_assert_eq(l.n, (int)n);
}

CONFORMS(key, the_longest_key_is_1024_bytes_and_the_longest_component_255)
{
	char key[1026];

	memset(key, 'k', sizeof key);
	for (int i = 255; i < 1024; i += 256)
		key[i] = '/';
	key[1023] = 'z';
	key[1024] = 0;
	/* 255 + / + 255 + / + 255 + / + 256: one too many in the last component */
	cr_assert_eq(try_put(t, key, "x", STORE_ALWAYS, NULL, NULL), FIRN_EINVAL);
	key[1000] = '/';
	(void)put(t, key, "longest");
	cr_assert_str_eq(text_of(t, key), "longest");
	cr_assert_str_neq(keys_of(t, "k", ""), "");
	key[1024] = 'k';
	key[1025] = 0;
	cr_assert_eq(try_put(t, key, "x", STORE_ALWAYS, NULL, NULL), FIRN_EINVAL);
}

static const char *const bad_keys[] = {
	"",
	"/",
	"/abs",
	"a/",
	"a//b",
	"..",
	".",
	"../x",
	"a/../b",
	"a/./b",
	"./a",
	"a/..",
	"a\nb",
	"a\tb",
	"\x01",
	"\x7f",
	"a\xc2\x85z", /* C1 */
	"\xff",
	"a\xc3",
	"\xc0\xaf",
	"\xed\xa0\x80",
	"\xf4\x90\x80\x80",
	"\xe0\x80\xaf",
	".firn~lock",
	"a/.firn~tmp-1",
	".firn~x/y",
};

CONFORMS(key, escapes_and_malformed_keys_are_einval_for_every_request)
{
	for (size_t i = 0; i < sizeof bad_keys / sizeof bad_keys[0]; i++) {
		const char *key = bad_keys[i];
		size_t got;
		char byte;

		cr_assert_eq(try_put(t, key, "x", STORE_ALWAYS, NULL, NULL), FIRN_EINVAL, "%zu", i);
		cr_assert_eq(try_put(t, key, "x", STORE_IF_ABSENT, NULL, NULL), FIRN_EINVAL, "%zu",
		             i);
		cr_assert_eq(store_get(t->store, key, 0, &byte, 1, &got, &t->err), FIRN_EINVAL);
		cr_assert_eq(store_stat(t->store, key, NULL, NULL, &t->err), FIRN_EINVAL);
		cr_assert_eq(store_delete(t->store, key, &t->err), FIRN_EINVAL);
	}
	cr_assert_str_eq(keys_of(t, "", ""), "", "nothing was stored");
}

CONFORMS(key, prefixes_that_cannot_begin_a_key_are_einval)
{
	static const char *const prefixes[] = { "/",    "../",   "a/../",  "a//", "./",
		                                "\xff", "a\xc3", ".firn~", "a\n" };
	static struct listing l;

	for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
		cr_assert_eq(store_list(t->store, prefixes[i], "", listing_add, &l, &t->err),
		             FIRN_EINVAL, "prefix %zu", i);
	cr_assert_eq(store_list(t->store, "..", "", listing_add, &l, &t->err), FIRN_OK,
	             "`..x` is a key");
}

CONFORMS(key, a_key_inside_a_key_is_kept_or_refused_as_claimed)
{
	(void)put(t, "a", "outer");
	int rc = try_put(t, "a/b", "inner", STORE_ALWAYS, NULL, NULL);

	if (store_caps(t->store) & FIRN_STORE_CAN_NESTED_KEYS) {
		cr_assert_eq(rc, FIRN_OK);
		cr_assert_str_eq(text_of(t, "a/b"), "inner");
	} else {
		cr_assert_eq(rc, FIRN_EUNSUPPORTED, "%s", t->err.text);
		cr_assert_str_eq(text_of(t, "a/b"), "FIRN_ENOENT");
		cr_assert_eq(store_delete(t->store, "a/b", &t->err), FIRN_OK);
		(void)put(t, "d/e", "x");
		cr_assert_eq(try_put(t, "d", "x", STORE_ALWAYS, NULL, NULL), FIRN_EUNSUPPORTED);
		cr_assert_eq(try_put(t, "d", "x", STORE_IF_ABSENT, NULL, NULL), FIRN_EUNSUPPORTED);
		cr_assert_str_eq(text_of(t, "d"), "FIRN_ENOENT");
		cr_assert_eq(store_delete(t->store, "d", &t->err), FIRN_OK);
	}
	cr_assert_str_eq(text_of(t, "a"), "outer");
}
