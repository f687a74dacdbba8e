/* An open, empty store and short forms for asking it, for tests of the engine's side of stores. What
 * every back end must do is asked by firn-conformance. */
#ifndef UNIT_STORE_BED_H
#define UNIT_STORE_BED_H
#include "engine/base/buf.h"
#include "engine/os/env.h"
#include "engine/store/store.h"
#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct trial {
	char dir[256]; /* of a file: store, else "" */
	char uri[320];
	struct store *store;
	struct firn_error err;
};

static inline int trial_remove(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static inline void trial_open(struct trial *t, const char *kind)
{
	memset(t, 0, sizeof *t);
	if (!strcmp(kind, "file")) {
		const char *tmp = getenv("TMPDIR");

		(void)snprintf(t->dir, sizeof t->dir, "%s/firn-store-XXXXXX", tmp ? tmp : "/tmp");
		cr_assert_not_null(mkdtemp(t->dir), "a scratch directory");
		(void)snprintf(t->uri, sizeof t->uri, "file://%s/store", t->dir);
	} else {
		(void)snprintf(t->uri, sizeof t->uri, "%s:trial", kind);
	}
	cr_assert_eq(store_open(env_default(), t->uri, &t->store, &t->err), FIRN_OK, "%s",
	             t->err.text);
}

static inline void trial_close(struct trial *t)
{
	store_close(t->store);
	if (t->dir[0])
		(void)nftw(t->dir, trial_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- short forms ---- */

static inline int try_put(struct trial *t, const char *key, const char *text,
                          enum store_condition condition, const struct store_version *match,
                          struct store_version *version)
{
	struct iovec iov = { (void *)(uintptr_t)text, strlen(text) };

	return store_put(t->store, key, &iov, 1, condition, match, version, &t->err);
}

static inline struct store_version put(struct trial *t, const char *key, const char *text)
{
	struct store_version v;

	cr_assert_eq(try_put(t, key, text, STORE_ALWAYS, NULL, &v), FIRN_OK, "%s", t->err.text);
	cr_assert_gt(v.len, 0u, "a put gives a version");
	return v;
}

/* The object's text, in a buffer that lives until the next call. */
static inline const char *text_of(struct trial *t, const char *key)
{
	static char text[4096];
	struct buf b;

	buf_init(&b, env_default());
	int rc = store_get_all(t->store, key, sizeof text - 1, &b, NULL, &t->err);

	(void)snprintf(text, sizeof text, "%.*s", rc == FIRN_OK ? (int)b.len : 64,
	               rc == FIRN_OK ? (const char *)(b.data ? b.data : (const uint8_t *)"")
	                             : firn_code_name(rc));
	buf_fini(&b);
	return text;
}

static inline int same_version(const struct store_version *a, const struct store_version *b)
{
	return a->len == b->len && !memcmp(a->text, b->text, a->len);
}

/* Keys as "a b c ", at most `most` of them. */
struct listing {
	char text[1 << 16];
	size_t len;
	int n, most;
};

static inline int listing_add(void *arg, const char *key, uint64_t size)
{
	struct listing *l = arg;

	(void)size;
	l->len += (size_t)snprintf(l->text + l->len, sizeof l->text - l->len, "%s ", key);
	return ++l->n == l->most ? 1 : 0;
}

static inline const char *keys_of(struct trial *t, const char *prefix, const char *after)
{
	static struct listing l;

	memset(&l, 0, sizeof l);
	cr_assert_eq(store_list(t->store, prefix, after, listing_add, &l, &t->err), FIRN_OK, "%s",
	             t->err.text);
	return l.text;
}
#endif
