/* Many threads on one store, for ThreadSanitizer: puts, gets, lists, deletes and compare-and-swap
 * at once, on mem:, on mem: behind fault:, and on file: (in a scratch directory). A plain program, because Criterion and
 * ThreadSanitizer do not agree. Exit 0: every invariant held. */
#include "engine/os/env.h"
#include "engine/store/store.h"
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N_THREADS = 6, N_STEPS = 40 };

struct worker {
	struct store *store;
	unsigned n;
	unsigned won; /* steps of the counter that were mine */
};

static void check(int holds, const char *what, const struct firn_error *err)
{
	if (holds)
		return;
	(void)fprintf(stderr, "store_threads: %s: %s\n", what, err ? err->text : "");
	exit(1);
}

static int put(struct store *s, const char *key, const char *text, enum store_condition condition,
               const struct store_version *match, struct firn_error *err)
{
	struct iovec iov = { (void *)(uintptr_t)text, strlen(text) };

	return store_put(s, key, &iov, 1, condition, match, NULL, err);
}

static void count_up(struct worker *w)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct store_version v;
	char text[24];
	struct buf b;

	buf_init(&b, env_default());
	check(!store_get_all(w->store, "counter", 20, &b, &v, &err), "get counter", &err);
	(void)snprintf(text, sizeof text, "%.*s", (int)b.len, (const char *)b.data);
	unsigned long now = strtoul(text, NULL, 10);

	(void)snprintf(text, sizeof text, "%lu", now + 1);
	int rc = put(w->store, "counter", text, STORE_IF_MATCH, &v, &err);

	check(rc == FIRN_OK || rc == FIRN_ECONFLICT, "swap counter", &err);
	w->won += rc == FIRN_OK;
	buf_fini(&b);
}

static int see_key(void *arg, const char *key, uint64_t size)
{
	(void)key;
	(void)size;
	++*(unsigned *)arg;
	return 0;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct firn_error err = FIRN_ERROR_INIT;

	for (unsigned i = 0; i < N_STEPS; i++) {
		char key[40], back[40] = "";
		unsigned n_keys = 0;
		size_t got = 0;

		(void)snprintf(key, sizeof key, "d%u/own-%u-%u", i % 3, w->n, i);
		check(!put(w->store, key, key, STORE_IF_ABSENT, NULL, &err), "put", &err);
		check(!store_get(w->store, key, 0, back, sizeof back - 1, &got, &err), "get", &err);
		check(!strcmp(back, key), "what was put", NULL);
		check(!put(w->store, "d0/shared", key, STORE_ALWAYS, NULL, &err), "shared", &err);
		count_up(w);
		if (i % 8 == 0)
			check(!store_list(w->store, "d", "", see_key, &n_keys, &err), "list", &err);
		check(!store_delete(w->store, key, &err), "delete", &err);
	}
	check(!store_probe(w->store, &err), "probe", &err);
	return NULL;
}

static void run(const char *uri)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct worker w[N_THREADS] = { { 0 } };
	pthread_t thread[N_THREADS];
	struct store *s = NULL;
	char text[24], back[24] = "";
	unsigned won = 0, n_keys = 0;
	size_t got;

	check(!store_open(env_default(), uri, &s, &err), "open", &err);
	check(!put(s, "counter", "0", STORE_ALWAYS, NULL, &err), "put counter", &err);
	for (unsigned i = 0; i < N_THREADS; i++) {
		w[i].store = s;
		w[i].n = i;
		check(!pthread_create(&thread[i], NULL, work, &w[i]), "thread", NULL);
	}
	for (unsigned i = 0; i < N_THREADS; i++) {
		(void)pthread_join(thread[i], NULL);
		won += w[i].won;
	}
	(void)snprintf(text, sizeof text, "%u", won);
	check(!store_get(s, "counter", 0, back, sizeof back - 1, &got, &err), "get counter", &err);
	check(!strcmp(text, back), "the counter is the number of swaps that won", NULL);
	check(!store_list(s, "d", "", see_key, &n_keys, &err) && n_keys == 1, "one key left", &err);
	store_close(s);
	(void)printf("%s: %u swaps won\n", uri, won);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

int main(void)
{
	const char *tmp = getenv("TMPDIR");
	char dir[300], uri[340];

	(void)snprintf(dir, sizeof dir, "%s/firn-threads-XXXXXX", tmp ? tmp : "/tmp");
	check(mkdtemp(dir) != NULL, "mkdtemp", NULL);
	(void)snprintf(uri, sizeof uri, "file://%s", dir);
	run("mem:threads");
	/* Late, cut and hedged answers through a narrow gate: nothing that a caller sees. */
	run("fault:seed=1,jitter_ms=3,truncate=5:mem:threads2?hedge_ms=1&max_in_flight=4");
	run(uri);
	(void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return 0;
}
