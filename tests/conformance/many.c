/* Ten thousand keys, put once and asked in every way. */
#include "tests/conformance/run.h"
#include "tests/conformance/trial.h"

enum { N_KEYS = 10000, N_PUTTERS = 16 };

static void key_at(char key[32], unsigned i)
{
	if (i % 2)
		(void)snprintf(key, 32, "flat/%06u", i);
	else
		(void)snprintf(key, 32, "deep/%02x/%06u", i % 74 / 2, i);
}

static void put_share(struct trial *t, unsigned first, void *arg)
{
	char key[32];

	(void)arg;
	for (unsigned i = first; i < N_KEYS; i += N_PUTTERS) {
		key_at(key, (unsigned)((i * UINT64_C(7919)) % N_KEYS));
		(void)put(t, key, "x");
	}
}

static int order(const void *a, const void *b)
{
	return strcmp(a, b);
}

struct walk {
	char (*sorted)[32];
	size_t at;
};

static void next_key(struct trial *t, void *arg, const char *key,
                     const struct firn_store_item *item)
{
	struct walk *w = arg;

	must(t, w->at < N_KEYS && !strcmp(key, w->sorted[w->at]),
	     "key %zu of the list: expected %s, got %s", w->at,
	     w->at < N_KEYS ? w->sorted[w->at] : "no more", key);
	must(t, item->size == 1, "size of %s: expected 1, got %llu", key,
	     (unsigned long long)item->size);
	w->at++;
}

static void all_of_them(struct trial *t, uint32_t page)
{
	struct walk w = { .sorted = trial_alloc(t, N_KEYS * sizeof *w.sorted) };

	for (unsigned i = 0; i < N_KEYS; i++)
		key_at(w.sorted[i], i);
	qsort(w.sorted, N_KEYS, sizeof *w.sorted, order);
	uint64_t n = list_each(t, "", "", page, next_key, &w);

	must(t, n == N_KEYS, "expected %d keys, got %llu", N_KEYS, (unsigned long long)n);
}

static void put_all(struct trial *t)
{
	crew(t, N_PUTTERS, put_share, NULL);
}

/* The first check's prefix: the others ask about its keys. */
static void where_they_are(struct trial *t)
{
	(void)snprintf(t->prefix, sizeof t->prefix, "%smany-0/", t->run->prefix);
}

static void pages_of_a_thousand(struct trial *t)
{
	where_they_are(t);
	all_of_them(t, 1000);
}

static void odd_pages(struct trial *t)
{
	where_they_are(t);
	all_of_them(t, 333);
}

static void a_directory(struct trial *t)
{
	where_they_are(t);
	uint64_t n = list_each(t, "deep/05/", "", 1000, NULL, NULL);

	must(t, n == 136 || n == 135, "expected the 135 or 136 keys of a directory, got %llu",
	     (unsigned long long)n);
	n = list_each(t, "flat/", "", 1000, NULL, NULL);
	must(t, n == N_KEYS / 2, "expected %d keys, got %llu", N_KEYS / 2, (unsigned long long)n);
}

static void from_the_middle(struct trial *t)
{
	where_they_are(t);
	uint64_t n = list_each(t, "flat/", "flat/008999", 1000, NULL, NULL);

	must(t, n == 500, "after flat/008999: expected 500 keys, got %llu", (unsigned long long)n);
}

static void found_one_by_one(struct trial *t)
{
	char key[32];

	where_they_are(t);
	for (unsigned i = 0; i < N_KEYS; i += 97) {
		key_at(key, i);
		must_hold(t, key, "x");
	}
	must_be_absent(t, "flat/000000");
}

#define LISTS FIRN_STORE_CAN_LIST
static const struct check checks[] = {
	{ "10 000 keys are put, sixteen at a time", put_all, 0, NULL },
	{ "they are listed in order, in pages of 1000", pages_of_a_thousand, LISTS, NULL },
	{ "they are listed in order, in pages of 333", odd_pages, LISTS, NULL },
	{ "directories of them are counted", a_directory, LISTS, NULL },
	{ "a list begins in the middle", from_the_middle, LISTS, NULL },
	{ "they are found one by one", found_one_by_one, 0, NULL },
};
GROUP(many, checks);
