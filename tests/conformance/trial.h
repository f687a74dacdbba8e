/* What a check is made of.
 *
 *	static void replaced(struct trial *t)
 *	{
 *		(void)put(t, "k", "a longer first version");
 *		(void)put(t, "k", "second");
 *		must_hold(t, "k", "second");
 *	}
 *
 * Keys are relative to a scratch prefix that is new for every check. The first must() that does not
 * hold ends the check; its text says what was expected. Answers that the interface allows at any
 * time (RETRY, THROTTLED, AMBIGUOUS) are followed up here as a host has to, so that a check only
 * sees what a request finally became: the same checks pass over a store that drops answers. */
#ifndef CONFORMANCE_TRIAL_H
#define CONFORMANCE_TRIAL_H
#include "tests/conformance/host.h"
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PREFIX_ROOM = 96, WHY_ROOM = 600, ANSWER_SECONDS = 60 };

struct run; /* what all checks share: run.h */

struct trial {
	struct host *host;
	struct run *run;
	const char *uri;
	const char *arg;          /* of the check's line in its table, may be NULL */
	char prefix[PREFIX_ROOM]; /* of the check's keys, ends in '/' */
	void *memory;             /* trial_alloc()'s, a list */
	jmp_buf end;
	bool failed, not_asked;
	char why[WHY_ROOM];
};

struct check {
	const char *name;
	void (*body)(struct trial *t);
	uint64_t caps; /* runs only where all of these are claimed */
	const char *arg;
};

struct group {
	const char *name;
	const struct check *check;
	size_t n;
};

#define GROUP(name, table) \
	const struct group name##_group = { #name, table, sizeof(table) / sizeof(table)[0] }

/* Ends the check as failed unless `ok`; the text says what was expected and what came. */
void must(struct trial *t, bool ok, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
_Noreturn void must_fail(struct trial *t, const char *fmt, ...)
        __attribute__((format(printf, 2, 3)));
/* Ends the check as one that this store does not have to answer. */
_Noreturn void not_asked(struct trial *t);
/* Runs body(); false when it failed: t->failed and t->why say so, and the check goes on. */
bool trial_try(struct trial *t, void (*body)(struct trial *t, void *arg), void *arg);
/* Memory until the check has ended, zeroed. */
void *trial_alloc(struct trial *t, size_t len);
void trial_forget(struct trial *t); /* frees it */
/* Bytes that look random and depend on nothing but the seed. */
uint8_t *trial_noise(struct trial *t, size_t len, uint64_t seed);
uint32_t trial_chance(uint64_t *state);
bool can(const struct trial *t, uint64_t caps);

/* n threads run body() at once, each with a trial of its own in the same scratch prefix; the first
 * failure of any becomes the check's. */
void crew(struct trial *t, unsigned n, void (*body)(struct trial *t, unsigned i, void *arg),
          void *arg);

/* ---- requests, raw ---- */

/* A request about that key of the scratch prefix. */
struct ask *ask_new(struct trial *t, uint32_t op, const char *key);
/* The same about a key as it stands. */
struct ask *ask_key(struct trial *t, uint32_t op, const char *key);
void ask_wait(struct trial *t, struct ask *a); /* and checks the answer's form */
/* Submits until there is an answer that stands, at most for ANSWER_SECONDS. Returns its code.
 * `once`: an AMBIGUOUS answer stands (code FIRN_EUNKNOWN here). */
int ask_do(struct trial *t, struct ask *a, bool once);
/* The same, and ends the check as failed unless it is DONE; fmt says what was asked for. */
void must_do(struct trial *t, struct ask *a, const char *fmt, ...)
        __attribute__((format(printf, 3, 4)));
const char *ask_text(const struct ask *a); /* the answer, for messages */

/* ---- requests, in short form ---- */

struct firn_store_version put(struct trial *t, const char *key, const char *text);
struct firn_store_version put_bytes(struct trial *t, const char *key, const void *data, size_t len);
/* A doubt about what became of it is settled by reading: `text` must be unlike what others write. */
int try_put(struct trial *t, const char *key, const char *text, uint32_t condition,
            const struct firn_store_version *match, struct firn_store_version *version);
/* Reads; the code, *got set. */
int get(struct trial *t, const char *key, uint64_t pos, void *dst, size_t len, size_t *got);
int stat_key(struct trial *t, const char *key, uint64_t *size, struct firn_store_version *version);
void delete_key(struct trial *t, const char *key);
/* The object's text, or the name of the code; at most 4 KiB of it. */
const char *text_of(struct trial *t, const char *key);
void must_hold(struct trial *t, const char *key, const char *text);
void must_be_absent(struct trial *t, const char *key);
bool same_version(const struct firn_store_version *a, const struct firn_store_version *b);

/* Keys below the scratch prefix as "a b c ", asked for in pages of at most `page` keys. */
const char *keys_of(struct trial *t, const char *prefix, const char *after, uint32_t page);
void must_list(struct trial *t, const char *prefix, const char *after, const char *expected);
/* Walks; each() gets keys without the scratch prefix. Returns how many there were. */
uint64_t list_each(struct trial *t, const char *prefix, const char *after, uint32_t page,
                   void (*each)(struct trial *t, void *arg, const char *key,
                                const struct firn_store_item *item),
                   void *arg);

/* ---- multipart ---- */

char *multipart_begin(struct trial *t, const char *key);
struct firn_store_part multipart_put(struct trial *t, const char *key, char *upload, uint32_t part,
                                     const void *data, size_t len);
int multipart_commit(struct trial *t, const char *key, char *upload,
                     const struct firn_store_part *parts, uint32_t n, uint32_t condition,
                     const struct firn_store_version *match, struct firn_store_version *version);
int multipart_abort(struct trial *t, const char *key, char *upload);
#endif
