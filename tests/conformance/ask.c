/* Requests: sent, waited for, their answers' form checked, and followed up until they stand. */
#include "tests/conformance/run.h"
#include "tests/conformance/trial.h"
#include "engine/os/env.h"
#include <stdarg.h>
#include <time.h>

enum { CUT_TRIES = 20 };

static const char *const op_names[] = { "?",
	                                "PUT",
	                                "GET",
	                                "STAT",
	                                "LIST",
	                                "DELETE",
	                                "MULTIPART_BEGIN",
	                                "MULTIPART_PUT",
	                                "MULTIPART_COMMIT",
	                                "MULTIPART_ABORT" };
static const char *const outcome_names[] = { "DONE", "PERMANENT", "RETRY", "THROTTLED",
	                                     "AMBIGUOUS" };

struct ask *ask_key(struct trial *t, uint32_t op, const char *key)
{
	struct ask *a = host_ask(t->host, op);

	if (!a)
		must_fail(t, "this machine has no memory for a request");
	(void)snprintf(a->key, sizeof a->key, "%s", key);
	a->req.key = a->key;
	if (op == FIRN_STORE_LIST) {
		a->req.key = NULL;
		a->req.prefix = a->key;
		a->req.start_after = "";
	}
	if (op == FIRN_STORE_PUT || op == FIRN_STORE_MULTIPART_COMMIT)
		run_note_key(t->run, a->key);
	return a;
}

struct ask *ask_new(struct trial *t, uint32_t op, const char *key)
{
	char full[FIRN_STORE_KEY_MAX + 2];
	int len = snprintf(full, sizeof full, "%s%s", t->prefix, key);

	must(t, len <= (int)FIRN_STORE_KEY_MAX, "this check made a key of %d bytes", len);
	return ask_key(t, op, full);
}

const char *ask_text(const struct ask *a)
{
	static _Thread_local char text[400];
	const struct firn_store_request *r = &a->req;

	if (r->outcome == FIRN_STORE_DONE)
		(void)snprintf(text, sizeof text, "DONE");
	else
		(void)snprintf(text, sizeof text, "%s %s (%.200s)",
		               r->outcome <= FIRN_STORE_AMBIGUOUS ? outcome_names[r->outcome] : "?",
		               firn_code_name(r->code), a->error.text);
	return text;
}

static bool permanent_code(int code)
{
	static const int codes[] = { FIRN_ENOENT, FIRN_ECONFLICT,    FIRN_EINVAL,    FIRN_ETOOBIG,
		                     FIRN_ENOSPC, FIRN_EREADONLY,    FIRN_ECORRUPT,  FIRN_EIO,
		                     FIRN_ENOMEM, FIRN_EUNSUPPORTED, FIRN_ECANCELED, FIRN_ESTORE };

	for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
		if (codes[i] == code)
			return true;
	return false;
}

/* The rules of store.h that hold for every answer. */
static void check_form(struct trial *t, const struct ask *a)
{
	const struct firn_store_request *r = &a->req;
	const char *op = op_names[r->op];

	must(t, r->outcome <= FIRN_STORE_AMBIGUOUS,
	     "%s: expected one of enum firn_store_outcome, got %u", op, r->outcome);
	must(t, r->outcome != FIRN_STORE_DONE || r->code == FIRN_OK,
	     "%s: expected code FIRN_OK with outcome DONE, got %d", op, r->code);
	must(t, r->outcome != FIRN_STORE_PERMANENT || permanent_code(r->code),
	     "%s: expected a code that store.h allows with outcome PERMANENT, got %d", op, r->code);
	must(t, r->outcome < FIRN_STORE_RETRY || r->code == FIRN_ESTORE,
	     "%s: expected code FIRN_ESTORE with outcome %s, got %d", op, outcome_names[r->outcome],
	     r->code);
	must(t, memchr(a->error.text, 0, sizeof a->error.text) != NULL,
	     "%s: expected an error text that ends in a NUL", op);
	must(t, r->outcome == FIRN_STORE_DONE || a->error.text[0],
	     "%s: expected a text that says why it failed, got none", op);
	must(t, r->version.len <= FIRN_STORE_VERSION_MAX,
	     "%s: expected a version of at most %u bytes, got %u", op, FIRN_STORE_VERSION_MAX,
	     r->version.len);
	must(t, r->outcome != FIRN_STORE_DONE || r->op != FIRN_STORE_GET || r->got <= r->len,
	     "GET: expected at most the %llu bytes asked for, got %llu", (unsigned long long)r->len,
	     (unsigned long long)r->got);
	bool gives = r->op == FIRN_STORE_PUT || r->op == FIRN_STORE_MULTIPART_COMMIT ||
	             r->op == FIRN_STORE_MULTIPART_PUT || (r->flags & FIRN_STORE_WANT_VERSION);

	must(t, r->outcome != FIRN_STORE_DONE || !gives || r->version.len > 0,
	     "%s: expected a version with the answer, got none", op);
}

void ask_wait(struct trial *t, struct ask *a)
{
	if (!host_wait(a, ANSWER_SECONDS)) {
		t->run->hung = true;
		must_fail(t, "%s: expected an answer, got none in %d s", op_names[a->req.op],
		          ANSWER_SECONDS);
	}
	check_form(t, a);
}

/* A body that was cut on its way: `size` says so. It stands no more than a RETRY does. */
static bool is_cut(const struct ask *a)
{
	const struct firn_store_request *r = &a->req;

	if (r->op != FIRN_STORE_GET || r->outcome != FIRN_STORE_DONE || r->pos >= r->size)
		return false;
	return r->got < (r->len < r->size - r->pos ? r->len : r->size - r->pos);
}

static bool stands(const struct ask *a, bool once)
{
	uint32_t outcome = a->req.outcome;

	if (outcome == FIRN_STORE_AMBIGUOUS)
		return once;
	return outcome <= FIRN_STORE_PERMANENT && !is_cut(a);
}

int ask_do(struct trial *t, struct ask *a, bool once)
{
	const struct firn_env *env = env_default();
	uint64_t until = env->mono_ns(env->ctx) + ANSWER_SECONDS * UINT64_C(1000000000);

	for (unsigned tried = 0;; tried++) {
		host_submit(a);
		ask_wait(t, a);
		if (stands(a, once))
			break;
		must(t, env->mono_ns(env->ctx) < until && !(is_cut(a) && tried >= CUT_TRIES),
		     "%s: expected an answer that stands, got again and again: %s",
		     op_names[a->req.op],
		     is_cut(a) ? "fewer bytes than the range has" : ask_text(a));
		uint32_t least = a->error.retry_after_ms < 1000 ? a->error.retry_after_ms : 1000;
		long ms = (tried < 7 ? 1L << tried : 100) + (long)least;

		(void)nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
	}
	if (a->req.outcome == FIRN_STORE_AMBIGUOUS)
		return FIRN_EUNKNOWN;
	return a->req.code;
}

void must_do(struct trial *t, struct ask *a, const char *fmt, ...)
{
	int rc = ask_do(t, a, false); /* before its text is asked for */
	char what[128];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	must(t, rc == FIRN_OK, "%s: expected DONE, got %s", what, ask_text(a));
}

/* ---- short forms ---- */

static void iov_of(struct ask *a, struct iovec *iov, const void *data, size_t len)
{
	*iov = (struct iovec){ (void *)(uintptr_t)data, len };
	a->req.iov = iov;
	a->req.n_iov = 1;
	a->req.len = len;
}

struct firn_store_version put_bytes(struct trial *t, const char *key, const void *data, size_t len)
{
	struct ask *a = ask_new(t, FIRN_STORE_PUT, key);
	struct firn_store_version v;
	struct iovec iov;

	iov_of(a, &iov, data, len);
	must_do(t, a, "PUT of %zu bytes to %.60s", len, key);
	v = a->req.version;
	host_ask_free(a);
	return v;
}

struct firn_store_version put(struct trial *t, const char *key, const char *text)
{
	return put_bytes(t, key, text, strlen(text));
}

/* Did the PUT whose answer was lost happen? Only if its bytes are there. */
static bool settled(struct trial *t, const char *key, const char *text,
                    struct firn_store_version *version)
{
	size_t len = strlen(text);
	char *found = trial_alloc(t, len + 1);
	struct ask *a = ask_new(t, FIRN_STORE_GET, key);
	struct iovec iov;

	iov_of(a, &iov, found, len + 1);
	a->req.flags = FIRN_STORE_WANT_VERSION;
	bool mine = ask_do(t, a, false) == FIRN_OK && a->req.got == len && a->req.size == len &&
	            !memcmp(found, text, len);

	if (mine && version)
		*version = a->req.version;
	host_ask_free(a);
	return mine;
}

int try_put(struct trial *t, const char *key, const char *text, uint32_t condition,
            const struct firn_store_version *match, struct firn_store_version *version)
{
	struct ask *a = ask_new(t, FIRN_STORE_PUT, key);
	struct iovec iov;
	int rc;

	iov_of(a, &iov, text, strlen(text));
	a->req.condition = condition;
	if (match) {
		a->match = *match;
		a->req.match = &a->match;
	}
	if (version)
		version->len = 0;
	for (;;) {
		rc = ask_do(t, a, condition != FIRN_STORE_ALWAYS);
		if (rc == FIRN_OK && version)
			*version = a->req.version;
		if (rc != FIRN_EUNKNOWN)
			break;
		if (settled(t, key, text, version)) {
			rc = FIRN_OK;
			break;
		}
	}
	host_ask_free(a);
	return rc;
}

int get(struct trial *t, const char *key, uint64_t pos, void *dst, size_t len, size_t *got)
{
	struct ask *a = ask_new(t, FIRN_STORE_GET, key);
	struct iovec iov;

	iov_of(a, &iov, dst, len);
	a->req.pos = pos;
	int rc = ask_do(t, a, false);

	*got = (size_t)a->req.got;
	host_ask_free(a);
	return rc;
}

int stat_key(struct trial *t, const char *key, uint64_t *size, struct firn_store_version *version)
{
	struct ask *a = ask_new(t, FIRN_STORE_STAT, key);

	a->req.flags = version ? FIRN_STORE_WANT_VERSION : 0;
	int rc = ask_do(t, a, false);

	if (size)
		*size = a->req.size;
	if (version)
		*version = a->req.version;
	host_ask_free(a);
	return rc;
}

void delete_key(struct trial *t, const char *key)
{
	struct ask *a = ask_new(t, FIRN_STORE_DELETE, key);

	must_do(t, a, "DELETE of %.60s", key);
	host_ask_free(a);
}

const char *text_of(struct trial *t, const char *key)
{
	enum { ROOM = 4096 };
	char *text = trial_alloc(t, ROOM + 1);
	size_t got = 0;
	int rc = get(t, key, 0, text, ROOM, &got);

	text[rc == FIRN_OK ? got : 0] = 0;
	return rc == FIRN_OK ? text : firn_code_name(rc);
}

void must_hold(struct trial *t, const char *key, const char *text)
{
	const char *found = text_of(t, key);

	must(t, !strcmp(found, text), "GET of %.60s: expected `%.80s`, got `%.80s`", key, text,
	     found);
}

void must_be_absent(struct trial *t, const char *key)
{
	int rc = stat_key(t, key, NULL, NULL);
	const char *found = text_of(t, key);

	must(t, rc == FIRN_ENOENT, "STAT of %.60s: expected FIRN_ENOENT, got %s", key,
	     firn_code_name(rc));
	must(t, !strcmp(found, "FIRN_ENOENT"), "GET of %.60s: expected FIRN_ENOENT, got `%.80s`",
	     key, found);
}

bool same_version(const struct firn_store_version *a, const struct firn_store_version *b)
{
	return a->len == b->len && !memcmp(a->text, b->text, a->len);
}
