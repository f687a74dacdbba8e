/* A store of the user's to measure: each workload has a prefix of its own there, and removes what it put. */
#include "bench/bench.h"
#include "engine/os/env.h"
#include "engine/store/store.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int store_place(const struct bench *b, const char *name, char *out, size_t cap)
{
	size_t path = strcspn(b->store, "?");
	const char *glue = path && strchr(":/", b->store[path - 1]) ? "" : "/";
	int n = snprintf(out, cap, "%.*s%sfirn-bench-%llx-%x/%s%s", (int)path, b->store, glue,
	                 (unsigned long long)time(NULL), (unsigned)getpid(), name, b->store + path);
	if (n < 0 || (size_t)n >= cap) {
		(void)fprintf(stderr, "firn-bench: %s: the URI is too long\n", b->store);
		return -1;
	}
	return 0;
}

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
		char **more = realloc(k->key, k->cap * sizeof *more);
		if (!more)
			return -1;
		k->key = more;
	}
	k->key[k->n] = strdup(key);
	return k->key[k->n++] ? 0 : -1;
}

void store_clear(const char *uri)
{
	struct store *s;
	struct keys k = { 0 };
	struct firn_error err = FIRN_ERROR_INIT;
	int rc = store_open(env_default(), uri, &s, &err);
	if (rc == 0) {
		rc = store_list(s, "", "", add_key, &k, &err);
		for (size_t i = 0; i < k.n; i++) {
			if (rc == 0)
				rc = store_delete(s, k.key[i], &err);
			free(k.key[i]);
		}
		free(k.key);
		store_close(s);
	}
	if (rc)
		(void)fprintf(stderr, "firn-bench: objects may be left in the store: %s\n",
		              err.text);
}
