/* A site: a scratch directory with a store. The store is file: in the directory, or that of the URI in
 * FIRN_TEST_STORE; there each site has a prefix of its own, and removes what it made. */
#ifndef TESTS_SITE_STORE_H
#define TESTS_SITE_STORE_H
#include <stdbool.h>
#include <stddef.h>

enum { SITE_URI_MAX = 2048 };

struct site {
	char dir[64], prefix[40];
	char uri[SITE_URI_MAX];
	bool on_files; /* file: in `dir`, whatever FIRN_TEST_STORE says */
};

void site_make(struct site *s);
/* On file: whatever FIRN_TEST_STORE says, for what is about file: itself. */
void site_make_on_files(struct site *s);
void site_remove(struct site *s);
/* Sites to come lie in memory, where there is a file system for it: for tests of many lives. */
void site_in_memory(void);
/* A shell command in the site's directory; it must succeed. */
void site_run(const struct site *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The output of one, NUL-terminated, to be freed. */
char *site_ask(const struct site *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- the store ---- */

/* The URI of a store of the site; its own is "store". */
void site_uri(const struct site *s, const char *name, char *out, size_t cap);
/* One parameter more in the URI of the site: name=value. */
void site_uri_add(struct site *s, const char *param);
/* The site as who has it whose first `n` requests come through, and none behind them (0: all do); he soon gives up. */
struct site site_cut(const struct site *s, int n);
/* As site_uri(), of one that site_store_leaves() can send away, and fetch back. */
void site_uri_mortal(const struct site *s, const char *name, char *out, size_t cap);
void site_store_leaves(const struct site *s, const char *name);
void site_store_returns(const struct site *s, const char *name);
/* The objects of "store" as files below dir/store, where a test looks at them and changes them: pull brings them
 * there, push makes the store so. With file: they always are there, and nothing is done. */
void site_pull(const struct site *s);
void site_push(const struct site *s);
/* A shell command that changes the store's files, between a pull and a push. */
void site_change_store(const struct site *s, const char *command);
void site_store_remove(const struct site *s); /* its objects; site_remove() does it, too */
#endif
