/* LIST gives every key once, in the byte order of whole keys, in pages, as fresh as GET. */
#include "tests/conformance/trial.h"

static void byte_order(struct trial *t)
{
	/* '!' < '-' < '.' < '/' < '0' < 'A' < 'a' < U+00E9: a directory must not sort by its bare
	 * name. */
	static const char *const keys[] = { "a!", "a-b", "a.b",    "a/b", "a/b.c", "a/b0",
		                            "a0", "aA",  "aa/z/y", "aa0", "z",     "\xc3\xa9/x" };
	enum { N = sizeof keys / sizeof keys[0] };
	char expect[512] = "";

	for (size_t i = 0; i < N; i++) {
		(void)put(t, keys[(i * 5 + 3) % N], "x");
		(void)strcat(strcat(expect, keys[i]), " ");
	}
	must_list(t, "", "", expect);
}

static void volume(struct trial *t)
{
	(void)put(t, "vol/seg/00/1", "x");
	(void)put(t, "vol/seg/01/2", "x");
	(void)put(t, "vol/manifest", "x");
	(void)put(t, "volume/manifest", "x");
}

/* t->arg: "prefix|expected" */
static void a_prefix(struct trial *t)
{
	char prefix[64] = "";
	const char *bar = strchr(t->arg, '|');

	memcpy(prefix, t->arg, (size_t)(bar - t->arg));
	volume(t);
	must_list(t, prefix, "", bar + 1);
}

/* t->arg: "after|expected" */
static void after(struct trial *t)
{
	char from[64] = "";
	const char *bar = strchr(t->arg, '|');

	memcpy(from, t->arg, (size_t)(bar - t->arg));
	(void)put(t, "a", "x");
	(void)put(t, "b/c", "x");
	(void)put(t, "b/d", "x");
	(void)put(t, "c", "x");
	must_list(t, "", from, bar + 1);
}

static void after_and_prefix(struct trial *t)
{
	volume(t);
	must_list(t, "vol/seg/", "vol/seg/00/1", "vol/seg/01/2 ");
	must_list(t, "vol/seg/", "a", "vol/seg/00/1 vol/seg/01/2 ");
	must_list(t, "vol/seg/", "vol/t", "");
	must_list(t, "vol/", "vol/manifest", "vol/seg/00/1 vol/seg/01/2 ");
}

static void nothing(struct trial *t)
{
	must_list(t, "", "", "");
	must_list(t, "no/such/", "", "");
}

struct seen {
	uint64_t size;
	int64_t mtime_ms;
};

static void see(struct trial *t, void *arg, const char *key, const struct firn_store_item *item)
{
	(void)t;
	(void)key;
	*(struct seen *)arg = (struct seen){ item->size, item->mtime_ms };
}

static void sizes(struct trial *t)
{
	struct seen seen = { 0 };

	(void)put_bytes(t, "k", trial_noise(t, 12345, 1), 12345);
	(void)list_each(t, "k", "", 10, see, &seen);
	must(t, seen.size == 12345, "expected size 12345, got %llu", (unsigned long long)seen.size);
	must(t, seen.mtime_ms == 0 || seen.mtime_ms > INT64_C(1577836800000),
	     "expected a time in Unix milliseconds or 0, got %lld", (long long)seen.mtime_ms);
}

static void fresh(struct trial *t)
{
	char expect[256] = "", key[16];

	for (int i = 0; i < 10; i++) {
		(void)snprintf(key, sizeof key, "k%d", i);
		(void)put(t, key, "x");
		(void)strcat(strcat(expect, key), " ");
		const char *found = keys_of(t, "", "", 1000);

		must(t, !strcmp(found, expect), "after PUT of %s: expected `%s`, got `%s`", key,
		     expect, found);
	}
	delete_key(t, "k0");
	must_list(t, "", "", expect + 3);
}

/* `more` is said exactly when a key follows. */
static void more_is_exact(struct trial *t)
{
	struct ask *a = ask_new(t, FIRN_STORE_LIST, "");
	struct firn_store_page page = { .struct_size = (uint32_t)sizeof page,
		                        .data = trial_alloc(t, 8192),
		                        .cap = 8192 };

	(void)put(t, "a", "x");
	(void)put(t, "b", "x");
	(void)put(t, "c", "x");
	a->req.page = &page;
	for (uint32_t max = 1; max <= 4; max++) {
		page.max = max;
		must_do(t, a, "LIST");
		must(t, page.n == (max < 3 ? max : 3),
		     "a page of %u of three keys: expected %u keys, got %u", max, max < 3 ? max : 3,
		     page.n);
		must(t, page.more == (max < 3),
		     "a page of %u of three keys: expected more %d, got %u", max, max < 3,
		     page.more);
	}
}

/* The room in bytes limits a page as the number of keys does. */
static void narrow_page(struct trial *t)
{
	struct ask *a = ask_new(t, FIRN_STORE_LIST, "");
	struct firn_store_page page = { .struct_size = (uint32_t)sizeof page,
		                        .max = 1000,
		                        .data = trial_alloc(t, 1200),
		                        .cap = 1200 };
	char key[64];
	char *last = trial_alloc(t, FIRN_STORE_KEY_MAX + 1);
	uint32_t n = 0;

	for (int i = 0; i < 40; i++) {
		(void)snprintf(key, sizeof key, "%040d", i);
		(void)put(t, key, "x");
	}
	a->req.page = &page;
	do {
		a->req.start_after = last;
		must_do(t, a, "LIST");
		must(t, page.n > 0 && page.n < 40, "expected some keys but not all, got %u",
		     page.n);
		const uint8_t *p = page.data;

		for (uint32_t i = 0; i < page.n; i++) {
			struct firn_store_item item;

			memcpy(&item, p, sizeof item);
			memcpy(last, p + sizeof item, item.key_len + 1);
			p += item.next;
		}
		n += page.n;
	} while (page.more);
	must(t, n == 40, "expected 40 keys over all pages, got %u", n);
}

static void deep(struct trial *t)
{
	char key[256] = "", expect[260];

	for (int i = 0; i < 40; i++)
		(void)strcat(key, "d/");
	(void)strcat(key, "k");
	(void)put(t, key, "x");
	(void)snprintf(expect, sizeof expect, "%s ", key);
	must_list(t, "", "", expect);
	must_list(t, "d/d/d/d", "", expect);
}

/* Keys from a small alphabet, so that prefixes, files and directories meet; a sorted model beside.
 */
struct model {
	char key[200][40];
	size_t n;
};

static int model_order(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void model_add(struct trial *t, struct model *m, uint64_t *x)
{
	static const char *const parts[] = { "a", "a.", "a-", "a0", "b", "ab", "\xc3\xbc", "~" };
	char key[40] = "";
	unsigned depth = trial_chance(x) % 4, leaf = trial_chance(x) % 24;

	for (unsigned d = 0; d < depth; d++)
		(void)strcat(strcat(key, parts[trial_chance(x) % 8]), "/");
	/* Every key ends in a leaf that is never a directory: not all stores nest. */
	(void)snprintf(key + strlen(key), 16, "%s=%u", parts[leaf % 8], leaf / 8);
	for (size_t i = 0; i < m->n; i++)
		if (!strcmp(m->key[i], key))
			return;
	(void)strcpy(m->key[m->n++], key);
	(void)put(t, key, "x");
}

static void model_question(struct trial *t, const struct model *m, uint64_t *x, int round)
{
	char prefix[40], from[40], *expect = trial_alloc(t, 1 << 14);
	size_t at = trial_chance(x) % m->n;

	(void)snprintf(prefix, sizeof prefix, "%.*s", round % 5, m->key[at]);
	if (strchr(prefix, '\xc3'))
		prefix[0] = 0; /* cut in the middle of a character */
	(void)strcpy(from, round % 3 ? m->key[(at * 7) % m->n] : "");
	for (size_t i = 0; i < m->n; i++)
		if (!strncmp(m->key[i], prefix, strlen(prefix)) && strcmp(m->key[i], from) > 0)
			(void)strcat(strcat(expect, m->key[i]), " ");
	const char *found = keys_of(t, prefix, from, 1 + trial_chance(x) % 50);

	must(t, !strcmp(found, expect), "prefix `%s` after `%s`: expected `%.200s`, got `%.200s`",
	     prefix, from, expect, found);
}

static void random_keys(struct trial *t)
{
	struct model *m = trial_alloc(t, sizeof *m);
	uint64_t x = 99;

	while (m->n < 150)
		model_add(t, m, &x);
	qsort(m->key, m->n, sizeof m->key[0], model_order);
	for (int round = 0; round < 40; round++)
		model_question(t, m, &x, round);
}

static void utf8_order(struct trial *t)
{
	/* UTF-16 would put U+1F3D4 before U+FB01. */
	(void)put(t, "\xef\xac\x81", "x");
	(void)put(t, "\xf0\x9f\x8f\x94", "x");
	(void)put(t, "\xc3\xa9", "x");
	(void)put(t, "z", "x");
	must_list(t, "", "", "z \xc3\xa9 \xef\xac\x81 \xf0\x9f\x8f\x94 ");
}

#define LISTS FIRN_STORE_CAN_LIST
static const struct check checks[] = {
	{ "keys are in the byte order of whole keys", byte_order, LISTS, NULL },
	{ "bytes beyond ASCII sort as bytes", utf8_order, LISTS, NULL },
	{ "nothing there is an empty page", nothing, LISTS, NULL },
	{ "a prefix may end in a component", a_prefix, LISTS,
	  "vol|vol/manifest vol/seg/00/1 vol/seg/01/2 volume/manifest " },
	{ "a prefix may end in a slash", a_prefix, LISTS,
	  "vol/|vol/manifest vol/seg/00/1 vol/seg/01/2 " },
	{ "a prefix may end below", a_prefix, LISTS, "vol/seg/0|vol/seg/00/1 vol/seg/01/2 " },
	{ "a prefix may be a whole key", a_prefix, LISTS, "vol/seg/01/2|vol/seg/01/2 " },
	{ "a prefix may be of no key", a_prefix, LISTS, "vol/seg/01/2/|" },
	{ "start_after is exclusive", after, LISTS, "a|b/c b/d c " },
	{ "start_after may be no key", after, LISTS, "b|b/c b/d c " },
	{ "start_after may end in a slash", after, LISTS, "b/|b/c b/d c " },
	{ "start_after may lie in a directory", after, LISTS, "b/c|b/d c " },
	{ "start_after may lie between keys", after, LISTS, "b/cc|b/d c " },
	{ "start_after may be past a directory", after, LISTS, "b0|c " },
	{ "start_after may be the last key", after, LISTS, "c|" },
	{ "start_after and prefix go together", after_and_prefix, LISTS, NULL },
	{ "sizes and times are told", sizes, LISTS, NULL },
	{ "what was put or deleted is seen at once", fresh, LISTS, NULL },
	{ "more is said exactly when a key follows", more_is_exact, LISTS, NULL },
	{ "a page may be short of bytes", narrow_page, LISTS, NULL },
	{ "keys may be forty levels deep", deep, LISTS, NULL },
	{ "150 random keys agree with a sorted model", random_keys, LISTS, NULL },
};
GROUP(list, checks);
