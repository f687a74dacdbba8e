/* LIST, page after page, and multipart uploads, step by step. */
#include "tests/conformance/run.h"
#include "tests/conformance/trial.h"

enum { PAGE_BYTES = 128 << 10 };

/* Hands one page on. Order, prefix and bounds are checked for whoever asks. */
static uint64_t take_page(struct trial *t, const struct ask *a, char *last,
                          void (*each)(struct trial *t, void *arg, const char *key,
                                       const struct firn_store_item *item),
                          void *arg)
{
	const struct firn_store_page *page = a->req.page;
	const uint8_t *p = page->data;

	must(t, page->n <= page->max && page->used <= page->cap,
	     "LIST: expected at most %u keys in a page, got %u", page->max, page->n);
	for (uint32_t i = 0; i < page->n; i++) {
		struct firn_store_item item;
		const char *key = (const char *)p + sizeof item;

		memcpy(&item, p, sizeof item);
		p += item.next;
		must(t, strlen(key) == item.key_len, "LIST: expected keys without a NUL");
		must(t, strcmp(key, last) > 0,
		     "LIST: expected keys in byte order, each once; got %.100s after %.100s", key,
		     last);
		must(t, !strncmp(key, a->req.prefix, strlen(a->req.prefix)),
		     "LIST: expected keys that begin with %.100s, got %.100s", a->req.prefix, key);
		memcpy(last, key, item.key_len + 1);
		if (each)
			each(t, arg, key + strlen(t->prefix), &item);
	}
	return page->n;
}

uint64_t list_each(struct trial *t, const char *prefix, const char *after, uint32_t page_keys,
                   void (*each)(struct trial *t, void *arg, const char *key,
                                const struct firn_store_item *item),
                   void *arg)
{
	struct ask *a = ask_new(t, FIRN_STORE_LIST, prefix);
	struct firn_store_page page = { .struct_size = (uint32_t)sizeof page,
		                        .max = page_keys,
		                        .data = trial_alloc(t, PAGE_BYTES),
		                        .cap = PAGE_BYTES };
	char *last = trial_alloc(t, FIRN_STORE_KEY_MAX + PREFIX_ROOM + 2);
	uint64_t n = 0;

	if (after[0])
		(void)snprintf(last, FIRN_STORE_KEY_MAX + PREFIX_ROOM, "%s%s", t->prefix, after);
	do {
		a->req.page = &page;
		a->req.start_after = last;
		must_do(t, a, "LIST of %.60s", prefix);
		must(t, !page.more || page.n,
		     "LIST of %.60s: expected keys in a page that says there are more", prefix);
		n += take_page(t, a, last, each, arg);
	} while (page.more);
	host_ask_free(a);
	return n;
}

struct text {
	char *text;
	size_t len, cap;
};

static void text_add(struct trial *t, void *arg, const char *key,
                     const struct firn_store_item *item)
{
	struct text *x = arg;

	(void)item;
	must(t, x->len + strlen(key) + 2 < x->cap, "LIST: more keys than were put");
	x->len += (size_t)snprintf(x->text + x->len, x->cap - x->len, "%s ", key);
}

const char *keys_of(struct trial *t, const char *prefix, const char *after, uint32_t page)
{
	struct text x = { .cap = 1 << 16 };

	x.text = trial_alloc(t, x.cap);
	(void)list_each(t, prefix, after, page, text_add, &x);
	return x.text;
}

void must_list(struct trial *t, const char *prefix, const char *after, const char *expected)
{
	static const uint32_t pages[] = { 1000, 1, 3 };

	for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
		const char *found = keys_of(t, prefix, after, pages[i]);

		must(t, !strcmp(found, expected),
		     "LIST of `%s` after `%s` in pages of %u: expected `%.150s`, got `%.150s`",
		     prefix, after, pages[i], expected, found);
	}
}

/* ---- multipart ---- */

char *multipart_begin(struct trial *t, const char *key)
{
	struct ask *a = ask_new(t, FIRN_STORE_MULTIPART_BEGIN, key);
	char *upload = trial_alloc(t, FIRN_STORE_UPLOAD_MAX);

	must_do(t, a, "MULTIPART_BEGIN");
	must(t, memchr(a->upload, 0, sizeof a->upload) && a->upload[0],
	     "MULTIPART_BEGIN: expected the upload's name, NUL-terminated");
	(void)strcpy(upload, a->upload);
	run_note_upload(t->run, a->key, upload);
	host_ask_free(a);
	return upload;
}

struct firn_store_part multipart_put(struct trial *t, const char *key, char *upload, uint32_t part,
                                     const void *data, size_t len)
{
	struct ask *a = ask_new(t, FIRN_STORE_MULTIPART_PUT, key);
	struct iovec iov = { (void *)(uintptr_t)data, len };
	struct firn_store_part done = { .part = part, .bytes = len };

	a->req.upload = upload;
	a->req.part = part;
	a->req.iov = &iov;
	a->req.n_iov = 1;
	a->req.len = len;
	must_do(t, a, "MULTIPART_PUT of part %u", part);
	done.version = a->req.version;
	host_ask_free(a);
	return done;
}

/* Of a commit whose answer was lost: is there an object of the parts' length now that was not there before (NULL: none
 * was)? */
static bool commit_landed(struct trial *t, const char *key, uint64_t bytes,
                          const struct firn_store_version *before,
                          struct firn_store_version *version)
{
	uint64_t size = 0;
	struct firn_store_version v;

	if (stat_key(t, key, &size, &v) || size != bytes || (before && same_version(before, &v)))
		return false;
	if (version)
		*version = v;
	return true;
}

int multipart_commit(struct trial *t, const char *key, char *upload,
                     const struct firn_store_part *parts, uint32_t n, uint32_t condition,
                     const struct firn_store_version *match, struct firn_store_version *version)
{
	struct ask *a = ask_new(t, FIRN_STORE_MULTIPART_COMMIT, key);
	struct firn_store_version before;
	bool there = stat_key(t, key, NULL, &before) == FIRN_OK;
	uint64_t bytes = 0;
	int rc;

	for (uint32_t i = 0; i < n; i++)
		bytes += parts[i].bytes;
	a->req.upload = upload;
	a->req.parts = parts;
	a->req.n_parts = n;
	a->req.condition = condition;
	if (match) {
		a->match = *match;
		a->req.match = &a->match;
	}
	do {
		rc = ask_do(t, a, true);
		if (rc == FIRN_OK && version)
			*version = a->req.version;
		if (rc == FIRN_EUNKNOWN &&
		    commit_landed(t, key, bytes, there ? &before : NULL, version))
			rc = FIRN_OK;
	} while (rc == FIRN_EUNKNOWN);
	host_ask_free(a);
	return rc;
}

int multipart_abort(struct trial *t, const char *key, char *upload)
{
	struct ask *a = ask_new(t, FIRN_STORE_MULTIPART_ABORT, key);

	a->req.upload = upload;
	int rc = ask_do(t, a, false);

	host_ask_free(a);
	return rc;
}
