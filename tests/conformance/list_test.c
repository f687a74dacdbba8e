/* LIST gives every key once, in the byte order of whole keys, in pages. */
#include "tests/conformance/trial.h"

CONFORMS(list, keys_are_in_byte_order_of_whole_keys)
{
	/* '!' < '-' < '.' < '/' < '0' < 'A' < 'a' < U+00E9: a directory must not sort by its bare
	 * name. */
	static const char *const keys[] = { "a!", "a-b", "a.b",    "a/b", "a/b.c", "a/b0",
		                            "a0", "aA",  "aa/z/y", "aa0", "z",     "\xc3\xa9/x" };
	char expect[512] = "";

	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
		size_t shuffled = (i * 5 + 3) % (sizeof keys / sizeof keys[0]);

		(void)put(t, keys[shuffled], "x");
		(void)strcat(strcat(expect, keys[i]), " ");
	}
	cr_assert_str_eq(keys_of(t, "", ""), expect);
}

CONFORMS(list, a_prefix_may_end_anywhere_in_a_key)
{
	(void)put(t, "vol/seg/00/1", "x");
	(void)put(t, "vol/seg/01/2", "x");
	(void)put(t, "vol/manifest", "x");
	(void)put(t, "volume/manifest", "x");
	cr_assert_str_eq(keys_of(t, "vol", ""),
	                 "vol/manifest vol/seg/00/1 vol/seg/01/2 volume/manifest ");
	cr_assert_str_eq(keys_of(t, "vol/", ""), "vol/manifest vol/seg/00/1 vol/seg/01/2 ");
	cr_assert_str_eq(keys_of(t, "vol/seg/0", ""), "vol/seg/00/1 vol/seg/01/2 ");
	cr_assert_str_eq(keys_of(t, "vol/seg/01/2", ""), "vol/seg/01/2 ");
	cr_assert_str_eq(keys_of(t, "vol/seg/01/2/", ""), "");
	cr_assert_str_eq(keys_of(t, "nothing/here", ""), "");
	cr_assert_str_eq(keys_of(t, "vol/manifest/x", ""), "");
}

CONFORMS(list, start_after_is_exclusive_and_need_not_exist)
{
	(void)put(t, "a", "x");
	(void)put(t, "b/c", "x");
	(void)put(t, "b/d", "x");
	(void)put(t, "c", "x");
	cr_assert_str_eq(keys_of(t, "", "a"), "b/c b/d c ");
	cr_assert_str_eq(keys_of(t, "", "b"), "b/c b/d c ");
	cr_assert_str_eq(keys_of(t, "", "b/"), "b/c b/d c ");
	cr_assert_str_eq(keys_of(t, "", "b/c"), "b/d c ");
	cr_assert_str_eq(keys_of(t, "", "b/cc"), "b/d c ");
	cr_assert_str_eq(keys_of(t, "", "b/d"), "c ");
	cr_assert_str_eq(keys_of(t, "", "b0"), "c ");
	cr_assert_str_eq(keys_of(t, "", "c"), "");
	cr_assert_str_eq(keys_of(t, "b/", "a"), "b/c b/d ");
	cr_assert_str_eq(keys_of(t, "b/", "b/c"), "b/d ");
	cr_assert_str_eq(keys_of(t, "b/", "c"), "");
}

static int count_rising(void *arg, const char *key, uint64_t size)
{
	struct listing *l = arg;

	cr_assert_gt(strcmp(key, l->text), 0, "%s after %s", key, l->text);
	cr_assert_eq(size, 1u);
	(void)strcpy(l->text, key);
	l->n++;
	return 0;
}

CONFORMS(list, two_thousand_keys_come_in_order_over_many_pages)
{
	static struct listing l;
	char key[64];

	for (unsigned i = 0; i < 2000; i++) {
		unsigned r = (i * 7919u) % 2000;

		(void)snprintf(key, sizeof key, r % 2 ? "flat/%06u" : "deep/%02x/%06u",
		               r % 2 ? r : r % 37, r);
		(void)put(t, key, "x");
	}
	cr_assert_eq(store_list(t->store, "", "", count_rising, &l, &t->err), FIRN_OK, "%s",
	             t->err.text);
	cr_assert_eq(l.n, 2000);
}

CONFORMS(list, the_walk_stops_when_it_is_told_to)
{
	static struct listing l = { .most = 2 };

	(void)put(t, "a", "x");
	(void)put(t, "b", "x");
	(void)put(t, "c", "x");
	cr_assert_eq(store_list(t->store, "", "", listing_add, &l, &t->err), 1);
	cr_assert_str_eq(l.text, "a b ");
}

/* Keys from a small alphabet, so that prefixes, files and directories meet; a sorted model beside.
 */
static int model_order(const void *a, const void *b)
{
	return strcmp(a, b);
}

struct model {
	char key[300][32];
	size_t n;
};

static unsigned chance(uint64_t *x)
{
	return (unsigned)((*x = *x * 6364136223846793005u + 1442695040888963407u) >> 33);
}

static int model_has(const struct model *m, const char *key)
{
	for (size_t i = 0; i < m->n; i++)
		if (!strcmp(m->key[i], key))
			return 1;
	return 0;
}

CONFORMS(list, seeded_random_keys_agree_with_a_sorted_model)
{
	static const char *const parts[] = { "a", "a.", "a-", "a0", "b", "ab", "\xc3\xbc", "~" };
	static struct model m;
	uint64_t x = 99;

	while (m.n < 200) {
		char key[32] = "";
		unsigned depth = chance(&x) % 4, leaf;

		for (unsigned d = 0; d < depth; d++)
			(void)strcat(strcat(key, parts[chance(&x) % 8]), "/");
		/* Every key ends in a leaf that is never a directory: not all stores nest. */
		leaf = chance(&x) % 24;
		(void)snprintf(key + strlen(key), 16, "%s=%u", parts[leaf % 8], leaf / 8);
		if (model_has(&m, key))
			continue;
		(void)strcpy(m.key[m.n++], key);
		(void)put(t, key, "x");
	}
	qsort(m.key, m.n, sizeof m.key[0], model_order);
	for (int round = 0; round < 60; round++) {
		char prefix[32], after[32], expect[1 << 14] = "";
		size_t at = chance(&x) % m.n;

		(void)snprintf(prefix, sizeof prefix, "%.*s", (int)(round % 5), m.key[at]);
		if (strchr(prefix, '\xc3'))
			prefix[0] = 0; /* cut in the middle of a character */
		(void)strcpy(after, round % 3 ? m.key[(at * 7) % m.n] : "");
		for (size_t i = 0; i < m.n; i++)
			if (!strncmp(m.key[i], prefix, strlen(prefix)) &&
			    strcmp(m.key[i], after) > 0)
				(void)strcat(strcat(expect, m.key[i]), " ");
		cr_assert_str_eq(keys_of(t, prefix, after), expect, "prefix %s after %s", prefix,
		                 after);
	}
}
