/* Threads over one small cache: one flight per block, no byte wrong, the bound holds, nothing
 * leaks. Plain main(), for ThreadSanitizer. */
#include "engine/cache/cache.h"
#include "engine/os/env.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 4, KEYS = 300, ROUNDS = 20000, BYTES = 256 * 1024 };

struct stress {
	struct account *account;
	struct cache *cache;
	atomic_int loading[KEYS];
	atomic_ullong loads, hits, waits;
};

struct worker {
	struct stress *s;
	uint64_t seed;
};

static void must(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "cache_stress: %s\n", what);
	exit(1);
}

static uint64_t next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static struct blob *load(struct stress *s, uint64_t n)
{
	uint8_t *bytes;
	must(atomic_fetch_add(&s->loading[n], 1) == 0, "two flights of one block");
	struct blob *b = blob_new(s->account, 512 + n * 16, &bytes);
	must(b != NULL, "memory");
	memset(bytes, (int)(n & 0xff), b->len);
	atomic_fetch_sub(&s->loading[n], 1);
	atomic_fetch_add(&s->loads, 1);
	return b;
}

static struct blob *get(struct stress *s, uint64_t n, bool fail)
{
	struct cache_key key = { { 0, 0, n, n } };
	struct firn_error err = FIRN_ERROR_INIT;
	struct blob *b = cache_get(s->cache, &key);
	if (b) {
		atomic_fetch_add(&s->hits, 1);
		return b;
	}
	int rc = cache_begin(s->cache, &key, &b);
	if (rc == CACHE_BUSY) {
		atomic_fetch_add(&s->waits, 1);
		rc = cache_wait(s->cache, &key, &b, &err);
		must(rc == 0 || rc == FIRN_EAGAIN || rc == FIRN_ESTORE, "answer of a wait");
		return b;
	}
	if (rc == CACHE_HIT)
		return b;
	if (fail) {
		err.code = FIRN_ESTORE;
		cache_fail(s->cache, &key, &err);
		return NULL;
	}
	b = load(s, n);
	cache_fill(s->cache, &key, b);
	return b;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct blob *held[8] = { NULL };
	uint64_t what[8] = { 0 };
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t r = next(&w->seed), n = r % 3 ? r % 20 : r / 7 % KEYS, slot = r >> 40 & 7;
		if (held[slot])
			must(held[slot]->data[held[slot]->len - 1] == (uint8_t)what[slot],
			     "bytes changed");
		blob_release(held[slot]);
		held[slot] = get(w->s, n, r >> 50 == 0);
		what[slot] = n;
	}
	for (int i = 0; i < 8; i++)
		blob_release(held[i]);
	return NULL;
}

int main(void)
{
	static struct stress s;
	struct worker w[THREADS];
	pthread_t t[THREADS];
	struct cache_stats stats;
	s.account = account_new(env_default());
	s.cache = cache_open(s.account, BYTES, 2);
	for (uint64_t i = 0; i < THREADS; i++) {
		w[i] = (struct worker){ &s, 88172645463325252u + i };
		must(pthread_create(&t[i], NULL, work, &w[i]) == 0, "thread");
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	cache_stats(s.cache, &stats);
	must(stats.bytes <= BYTES, "the bound");
	cache_close(s.cache);
	must(s.account->cache_bytes == 0, "a leak");
	account_release(s.account);
	printf("loads %llu hits %llu waits %llu\n", (unsigned long long)s.loads,
	       (unsigned long long)s.hits, (unsigned long long)s.waits);
	return 0;
}
