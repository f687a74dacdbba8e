/* The store of a site: file: in its directory, or what FIRN_TEST_STORE names, under a prefix of its own. */
#include "engine/base/mem.h"
#include "engine/os/env.h"
#include "engine/store/store.h"
#include "tests/integration/site.h"
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OBJECT_MAX = 64 << 20 };

void site_uri(const struct site *s, const char *name, char *out, size_t cap)
{
	const char *base = getenv("FIRN_TEST_STORE");
	int n;
	if (s->on_files) {
		n = snprintf(out, cap, "file://%s/%s", s->dir, name);
	} else if (!strncmp(base, "plugin:", 7)) { /* its path is that of the shared object */
		n = snprintf(out, cap, "%s-%s-%s", base, s->prefix, name);
	} else {
		size_t len = strcspn(base, "?");
		const char *glue = len && strchr(":/", base[len - 1]) ? "" : "/";
		n = snprintf(out, cap, "%.*s%s%s/%s%s", (int)len, base, glue, s->prefix, name,
		             base + len);
	}
	cr_assert(n > 0 && (size_t)n < cap, "%s is too long", base);
}

struct site site_cut(const struct site *s, int n)
{
	struct site cut = *s;
	if (!n)
		return cut;
	int len = snprintf(cut.uri, sizeof cut.uri, "fault:cut=%d:%s%cdeadline_ms=1", n, s->uri,
	                   strchr(s->uri, '?') ? '&' : '?');
	cr_assert(len > 0 && (size_t)len < sizeof cut.uri);
	return cut;
}

void site_uri_add(struct site *s, const char *param)
{
	size_t len = strlen(s->uri), cap = sizeof s->uri - len;
	int n = snprintf(s->uri + len, cap, "%c%s", strchr(s->uri, '?') ? '&' : '?', param);
	cr_assert(n > 0 && (size_t)n < cap, "%s is too long", s->uri);
}

/* ---- a store that can go away ---- */

void site_uri_mortal(const struct site *s, const char *name, char *out, size_t cap)
{
	char inner[SITE_URI_MAX / 2];
	site_uri(s, name, inner, sizeof inner);
	int n = s->on_files
	                ? snprintf(out, cap, "%s", inner)
	                : snprintf(out, cap, "fault:outage_while=%s/%s.away:%s%cdeadline_ms=1000",
	                           s->dir, name, inner, strchr(inner, '?') ? '&' : '?');
	cr_assert(n > 0 && (size_t)n < cap, "%s is too long", inner);
}

/* Every volume's directory changes places with what lies in NAME.away under its name, in one step: an engine is at work. */
static void swap_volumes(const struct site *s, const char *name)
{
	char live[160], away[160];
	(void)snprintf(live, sizeof live, "%s/%s", s->dir, name);
	(void)snprintf(away, sizeof away, "%s/%s.away", s->dir, name);
	DIR *d = opendir(away);
	cr_assert_not_null(d, "%s", away);
	int here = open(live, O_RDONLY | O_DIRECTORY);
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		if (e->d_name[0] != '.')
			cr_assert_eq(renameat2(here, e->d_name, dirfd(d), e->d_name,
			                       RENAME_EXCHANGE),
			             0, "%s: %m", e->d_name);
	(void)close(here);
	(void)closedir(d);
}

/* In a file: store, a file stands where the volume's directory was. */
void site_store_leaves(const struct site *s, const char *name)
{
	if (s->on_files) {
		site_run(s, "mkdir %s.away && cd %s && for v in *; do touch ../%s.away/$v; done",
		         name, name, name);
		swap_volumes(s, name);
	} else {
		site_run(s, "touch %s.away", name);
	}
}

void site_store_returns(const struct site *s, const char *name)
{
	if (s->on_files) {
		swap_volumes(s, name);
		site_run(s, "rm %s.away/* && rmdir %s.away", name, name);
	} else {
		site_run(s, "rm %s.away", name);
	}
}

/* ---- its objects as files ---- */

struct keys {
	char **key;
	size_t n, cap;
};

static int add_key(void *arg, const char *key, uint64_t size)
{
	struct keys *k = arg;
	(void)size;
	if (k->n == k->cap) {
		k->cap = k->cap ? k->cap * 2 : 64;
		k->key = realloc(k->key, k->cap * sizeof *k->key);
		cr_assert_not_null(k->key);
	}
	k->key[k->n++] = strdup(key);
	return 0;
}

static void keys_fini(struct keys *k)
{
	for (size_t i = 0; i < k->n; i++)
		free(k->key[i]);
	free(k->key);
}

static struct store *open_store(const struct site *s, struct keys *k)
{
	char uri[SITE_URI_MAX];
	struct store *store;
	struct firn_error err = FIRN_ERROR_INIT;
	*k = (struct keys){ 0 };
	site_uri(s, "store", uri, sizeof uri);
	int rc = store_open(env_default(), uri, &store, &err);
	rc = rc ? rc : store_list(store, "", "", add_key, k, &err);
	cr_assert_eq(rc, 0, "%s", err.text);
	return store;
}

static void close_store(struct store *store, struct keys *k)
{
	store_close(store);
	keys_fini(k);
}

static struct buf object_of(struct store *store, const char *key)
{
	struct buf body;
	struct firn_error err = FIRN_ERROR_INIT;
	buf_init(&body, env_default());
	int rc = store_get_all(store, key, OBJECT_MAX, &body, NULL, &err);
	cr_assert_eq(rc, 0, "%s", err.text);
	return body;
}

void site_pull(const struct site *s)
{
	struct keys k;
	if (s->on_files)
		return;
	struct store *store = open_store(s, &k);
	site_run(s, "rm -rf store && mkdir store");
	for (size_t i = 0; i < k.n; i++) {
		char path[SITE_URI_MAX * 2];
		struct buf body = object_of(store, k.key[i]);
		(void)snprintf(path, sizeof path, "%s/store/%s", s->dir, k.key[i]);
		site_run(s, "mkdir -p $(dirname store/%s)", k.key[i]);
		FILE *f = fopen(path, "w");
		cr_assert(f && fwrite(body.data, 1, body.len, f) == body.len && !fclose(f), "%s",
		          path);
		buf_fini(&body);
	}
	close_store(store, &k);
}

static bool has_key(const struct keys *k, const char *key)
{
	size_t i = 0;
	while (i < k->n && strcmp(k->key[i], key) != 0)
		i++;
	return i < k->n;
}

/* Only what differs: an object that is put again may have another version. */
static void push_one(struct store *store, const struct keys *k, const char *path, const char *key)
{
	static char data[OBJECT_MAX];
	struct firn_error err = FIRN_ERROR_INIT;
	bool same = false;
	FILE *f = fopen(path, "r");
	cr_assert(f, "%s", path);
	size_t len = fread(data, 1, sizeof data, f);
	(void)fclose(f);
	if (has_key(k, key)) {
		struct buf body = object_of(store, key);
		same = body.len == len && !memcmp(body.data, data, len);
		buf_fini(&body);
	}
	struct iovec iov = { data, len };
	int rc = same ? 0 : store_put(store, key, &iov, 1, STORE_ALWAYS, NULL, NULL, &err);
	cr_assert_eq(rc, 0, "%s", err.text);
}

void site_push(const struct site *s)
{
	struct keys before, now = { 0 };
	if (s->on_files)
		return;
	struct store *store = open_store(s, &before);
	char *files = site_ask(s, "mkdir -p store && cd store && find . -type f -printf '%%P\\n'");
	for (char *save, *key = strtok_r(files, "\n", &save); key;
	     key = strtok_r(NULL, "\n", &save)) {
		char path[SITE_URI_MAX * 2];
		(void)snprintf(path, sizeof path, "%s/store/%s", s->dir, key);
		push_one(store, &before, path, key);
		(void)add_key(&now, key, 0);
	}
	for (size_t i = 0; i < before.n; i++) {
		struct firn_error err = FIRN_ERROR_INIT;
		int rc = has_key(&now, before.key[i]) ? 0
		                                      : store_delete(store, before.key[i], &err);
		cr_assert_eq(rc, 0, "%s", err.text);
	}
	free(files);
	keys_fini(&now);
	close_store(store, &before);
}

void site_change_store(const struct site *s, const char *command)
{
	site_pull(s);
	site_run(s, "%s", command);
	site_push(s);
}

void site_store_remove(const struct site *s)
{
	struct keys k;
	if (s->on_files)
		return;
	struct store *store = open_store(s, &k);
	for (size_t i = 0; i < k.n; i++)
		(void)store_delete(store, k.key[i], NULL);
	close_store(store, &k);
}
