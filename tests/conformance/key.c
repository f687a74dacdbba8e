/* Keys: what is legal is kept apart, what is not never reaches the store. A back end may refuse a key
 * that its store cannot take (store.h: FIRN_EINVAL); then it refuses it always, and the check counts as
 * not asked. */
#include "tests/conformance/trial.h"

static bool is_refused(struct trial *t, const char *key)
{
	char byte;
	size_t got = 0;
	int rc = try_put(t, key, key, FIRN_STORE_ALWAYS, NULL, NULL);

	if (rc != FIRN_EINVAL) {
		must(t, rc == FIRN_OK, "PUT of `%s`: expected FIRN_OK or FIRN_EINVAL, got %s", key,
		     firn_code_name(rc));
		return false;
	}
	must(t,
	     get(t, key, 0, &byte, 1, &got) == FIRN_EINVAL &&
	             stat_key(t, key, NULL, NULL) == FIRN_EINVAL,
	     "PUT of `%s` is refused with FIRN_EINVAL; expected the same of GET and STAT", key);
	return true;
}

/* t->arg: a key. Beside it stand others that a careless encoding would take for it. */
static void odd_key(struct trial *t)
{
	if (is_refused(t, t->arg))
		not_asked(t);
	(void)put(t, "plain", "plain");
	must_hold(t, t->arg, t->arg);
	if (can(t, FIRN_STORE_CAN_LIST)) {
		char expect[128];
		int before = strcmp(t->arg, "plain") < 0;

		(void)snprintf(expect, sizeof expect, "%s %s ", before ? t->arg : "plain",
		               before ? "plain" : t->arg);
		must_list(t, "", "", expect);
		(void)snprintf(expect, sizeof expect, "%s ", t->arg);
		must_list(t, t->arg, "", expect);
		must_list(t, t->arg, t->arg, "");
	}
	delete_key(t, t->arg);
	must_be_absent(t, t->arg);
	must_hold(t, "plain", "plain");
}

static void kept_apart(struct trial *t)
{
	static const char *const keys[] = {
		"a b", "a+b", "a%20b", "a%2bb", "a%2Bb",     "a%2520b",  "A b",
		"a_b", "a.b", "a,b",   "a;b",   "e\xcc\x81", "\xc3\xa9", "a%2Fb",
	};
	enum { N = sizeof keys / sizeof keys[0] };
	bool refused[N];

	for (size_t i = 0; i < N; i++)
		refused[i] = is_refused(t, keys[i]);
	for (size_t i = 0; i < N; i++)
		if (!refused[i])
			must_hold(t, keys[i], keys[i]);
}

/* As long as a key may be with the scratch prefix in front. */
static void longest(struct trial *t)
{
	char key[FIRN_STORE_KEY_MAX + 1];
	size_t len = FIRN_STORE_KEY_MAX - strlen(t->prefix);

	memset(key, 'k', len);
	key[len] = 0;
	for (size_t i = 200; i + 1 < len; i += 201)
		key[i] = '/';
	if (is_refused(t, key))
		not_asked(t);
	must_hold(t, key, key);
	if (can(t, FIRN_STORE_CAN_LIST)) {
		char *expect = trial_alloc(t, len + 2);

		(void)snprintf(expect, len + 2, "%s ", key);
		must_list(t, "", "", expect);
	}
}

static void long_component(struct trial *t)
{
	char key[300];

	memset(key, 'c', 255);
	(void)strcpy(key + 255, "/k");
	(void)put(t, key, "x");
	must_hold(t, key, "x");
	key[255] = 0;
	key[0] = 'd';
	(void)put(t, key, "y");
	must_hold(t, key, "y");
}

static void inside_another(struct trial *t)
{
	(void)put(t, "a", "outer");
	int rc = try_put(t, "a/b", "inner", FIRN_STORE_ALWAYS, NULL, NULL);

	if (can(t, FIRN_STORE_CAN_NESTED_KEYS)) {
		must(t, rc == FIRN_OK, "claims nested keys; PUT of a/b beside a: got %s",
		     firn_code_name(rc));
		must_hold(t, "a/b", "inner");
	} else if (rc != FIRN_OK) { /* MinIO takes it, and does not list it: store.h */
		must(t, rc == FIRN_EUNSUPPORTED,
		     "claims no nested keys; PUT of a/b beside a: expected FIRN_EUNSUPPORTED, got %s",
		     firn_code_name(rc));
		must_be_absent(t, "a/b");
	}
	must_hold(t, "a", "outer");
}

static void around_another(struct trial *t)
{
	(void)put(t, "d/e", "inner");
	int rc = try_put(t, "d", "outer", FIRN_STORE_ALWAYS, NULL, NULL);

	if (can(t, FIRN_STORE_CAN_NESTED_KEYS)) {
		must(t, rc == FIRN_OK, "claims nested keys; PUT of d beside d/e: got %s",
		     firn_code_name(rc));
		must_hold(t, "d", "outer");
	} else if (rc != FIRN_OK) {
		must(t, rc == FIRN_EUNSUPPORTED,
		     "claims no nested keys; PUT of d beside d/e: expected FIRN_EUNSUPPORTED, got %s",
		     firn_code_name(rc));
		must_be_absent(t, "d");
	}
	must_hold(t, "d/e", "inner");
}

/* What the host refuses before the back end is asked. t->arg: what cannot be a key. */
static void no_key(struct trial *t)
{
	struct iovec iov = { (void *)(uintptr_t) "x", 1 };
	struct firn_error err = FIRN_ERROR_INIT;
	struct store *s = t->host->store;
	char byte;
	size_t got;
	int rc[5] = {
		store_put(s, t->arg, &iov, 1, STORE_ALWAYS, NULL, NULL, &err),
		store_put(s, t->arg, &iov, 1, STORE_IF_ABSENT, NULL, NULL, &err),
		store_get(s, t->arg, 0, &byte, 1, &got, &err),
		store_stat(s, t->arg, NULL, NULL, &err),
		store_delete(s, t->arg, &err),
	};

	for (int i = 0; i < 5; i++)
		must(t, rc[i] == FIRN_EINVAL,
		     "request %d of put, put-if-absent, get, stat, delete: expected FIRN_EINVAL, got %s",
		     i, firn_code_name(rc[i]));
}

static void too_long(struct trial *t)
{
	char *key = trial_alloc(t, FIRN_STORE_KEY_MAX + 2);

	memset(key, 'k', FIRN_STORE_KEY_MAX + 1);
	for (int i = 200; i < (int)FIRN_STORE_KEY_MAX; i += 200)
		key[i] = '/';
	t->arg = key;
	no_key(t);
	memset(key, 'c', 256);
	key[256] = 0;
	no_key(t);
}

#define NAMED(name, text)              \
	{                              \
		name, odd_key, 0, text \
	}
#define REFUSED(name, text)           \
	{                             \
		name, no_key, 0, text \
	}
static const struct check checks[] = {
	NAMED("a space", "a b"),
	NAMED("a plus", "a+b"),
	NAMED("a percent sign", "a%20b"),
	NAMED("a lone percent sign", "100%"),
	NAMED("a query", "a?b=c&d"),
	NAMED("a fragment", "#x"),
	NAMED("a colon", "a:b"),
	NAMED("a backslash", "a\\x"),
	NAMED("quotes", "it's\"q\""),
	NAMED("brackets and signs", "*[]{}~^`|"),
	NAMED("three dots", "..."),
	NAMED("three dots as a directory", "a/.../b"),
	NAMED("a leading dot", ".hidden"),
	NAMED("dots at the ends", "..a/b.."),
	NAMED("a leading dash", "-rf"),
	NAMED("tags and entities", "<&amp;>"),
	NAMED("a shell's signs", "$(x);!"),
	NAMED("separators", "a,b=c@d"),
	NAMED("trailing space", "a "),
	NAMED("two bytes a character", "\xc3\xa9t\xc3\xa9"),
	NAMED("four bytes a character", "\xf0\x9f\x8f\x94/x"),
	NAMED("a combining accent", "e\xcc\x81"),
	NAMED("a direction mark", "\xe2\x80\xae rtl"),
	NAMED("a device's name", "con/nul.txt"),
	{ "look-alikes are kept apart", kept_apart, 0, NULL },
	{ "the longest key is 1024 bytes", longest, 0, NULL },
	{ "the longest component is 255 bytes", long_component, 0, NULL },
	{ "a key inside a key is kept or refused as claimed", inside_another, 0, NULL },
	{ "a key around a key is kept or refused as claimed", around_another, 0, NULL },
	REFUSED("refused: nothing", ""),
	REFUSED("refused: a slash", "/"),
	REFUSED("refused: an absolute path", "/abs"),
	REFUSED("refused: a slash at the end", "a/"),
	REFUSED("refused: an empty component", "a//b"),
	REFUSED("refused: a dot", "."),
	REFUSED("refused: the parent", ".."),
	REFUSED("refused: up and out", "../x"),
	REFUSED("refused: up in the middle", "a/../b"),
	REFUSED("refused: a dot in the middle", "a/./b"),
	REFUSED("refused: up at the end", "a/.."),
	REFUSED("refused: a line feed", "a\nb"),
	REFUSED("refused: a control character", "\x01"),
	REFUSED("refused: DEL", "\x7f"),
	REFUSED("refused: a C1 control", "a\xc2\x85z"),
	REFUSED("refused: a byte that is no UTF-8", "\xff"),
	REFUSED("refused: half a character", "a\xc3"),
	REFUSED("refused: an overlong slash", "\xc0\xaf"),
	REFUSED("refused: a surrogate", "\xed\xa0\x80"),
	REFUSED("refused: beyond Unicode", "\xf4\x90\x80\x80"),
	REFUSED("refused: a reserved name", "a/.firn~tmp-1"),
	{ "refused: too long", too_long, 0, NULL },
};
GROUP(key, checks);
