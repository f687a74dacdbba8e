/* What every store must do, said once and tried on each kind.
 *
 *	CONFORMS(put, an_empty_object_is_stored)
 *	{
 *		put(t, "k", "");
 *		...
 *	}
 *
 * becomes Test(put, an_empty_object_is_stored_in_mem) and Test(put,
 * an_empty_object_is_stored_in_file). The body gets a struct trial with an open, empty store.
 * Criterion runs each test in a process of its own, so that mem: stores do not meet. */
#ifndef CONFORMANCE_TRIAL_H
#define CONFORMANCE_TRIAL_H
#include "engine/base/buf.h"
#include "engine/os/env.h"
#include "engine/store/store.h"
#include <criterion/criterion.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct trial {
	const char *kind;
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
	t->kind = kind;
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

static inline void trial_run(const char *kind, void (*body)(struct trial *t))
{
	struct trial t;

	trial_open(&t, kind);
	body(&t);
	trial_close(&t);
}

#define CONFORMS(group, name)                        \
	static void group##_##name(struct trial *t); \
	Test(group, name##_in_mem, .timeout = 60)    \
	{                                            \
		trial_run("mem", group##_##name);    \
	}                                            \
	Test(group, name##_in_file, .timeout = 60)   \
	{                                            \
		trial_run("file", group##_##name);   \
	}                                            \
	static void group##_##name(struct trial *t)

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
