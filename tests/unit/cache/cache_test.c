/* The block cache: what it keeps, what it lets go, and that nobody loses what he holds. (P7) */
#include "tests/unit/cache/fixture.h"
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>

TestSuite(cache, .timeout = 30);

enum { KIB = 1024, BLOCK = 16 * KIB };

Test(cache, a_miss_is_loaded_once_and_then_hit)
{
	struct account *a = cache_account();
	struct cache *c = cache_open(a, 1024 * KIB, 1);
	struct cache_key key = cache_key_of(7);
	struct blob *b = NULL, *again;
	cr_expect_null(cache_get(c, &key));
	cr_assert_eq(cache_begin(c, &key, &b), CACHE_LOAD);
	cr_expect_null(b);
	cr_expect_eq(cache_begin(c, &key, &again), CACHE_BUSY);
	b = cache_blob_of(a, 7, BLOCK);
	cache_fill(c, &key, b);
	again = cache_get(c, &key);
	cr_expect(again == b && again->data[BLOCK - 1] == 7);
	blob_release(again);
	cr_expect_eq(cache_begin(c, &key, &again), CACHE_HIT);
	blob_release(again);
	blob_release(b);
	cache_close(c);
	cr_expect_eq(a->cache_bytes, 0);
	account_release(a);
}

Test(cache, a_failed_load_is_told_to_who_waits_and_can_be_tried_again)
{
	struct account *a = cache_account();
	struct cache *c = cache_open(a, 1024 * KIB, 1);
	struct cache_key key = cache_key_of(1);
	struct blob *b = NULL;
	struct firn_error err = FIRN_ERROR_INIT;
	cr_expect_eq(cache_wait(c, &key, &b, NULL), FIRN_EAGAIN);
	cr_assert_eq(cache_begin(c, &key, &b), CACHE_LOAD);
	err.code = FIRN_ESTORE;
	cache_fail(c, &key, &err);
	cr_expect_eq(cache_wait(c, &key, &b, NULL), FIRN_EAGAIN);
	cr_assert_eq(cache_begin(c, &key, &b), CACHE_LOAD);
	cache_fail(c, &key, &err);
	cache_close(c);
	account_release(a);
}

Test(cache, the_bound_holds)
{
	struct account *a = cache_account();
	struct cache *c = cache_open(a, 512 * KIB, 2);
	struct cache_stats s;
	for (uint64_t n = 0; n < 2000; n++) {
		cache_touch(a, c, n % 700, (size_t)(n % 9 + 1) * 3 * KIB);
		cache_stats(c, &s);
		cr_assert(s.bytes <= 512 * KIB, "%llu bytes", (unsigned long long)s.bytes);
		cr_assert(a->cache_bytes <= 512 * KIB);
	}
	cr_expect(s.evictions > 0 && s.n_blobs > 0);
	cache_close(c);
	account_release(a);
}

Test(cache, what_is_larger_than_a_shard_passes_through)
{
	struct account *a = cache_account();
	struct cache *c = cache_open(a, 64 * KIB, 1);
	cr_expect_eq(cache_touch(a, c, 1, 100 * KIB), 0);
	cr_expect_eq(cache_touch(a, c, 1, 100 * KIB), 0);
	cr_expect_eq(a->cache_bytes, 0);
	cache_close(c);
	account_release(a);
}

Test(cache, a_scan_of_ten_times_the_size_does_not_push_out_the_hot_set)
{
	struct account *a = cache_account();
	struct cache *c = cache_open(a, 100 * BLOCK, 1);
	uint64_t hot = 40, scan = 1000, hits = 0;
	for (int round = 0; round < 4; round++)
		for (uint64_t n = 0; n < hot; n++)
			cache_touch(a, c, n, BLOCK - 512);
	for (uint64_t n = 0; n < 200; n++) /* fills the cache: the hot ones reach main */
		cache_touch(a, c, 100000 + n, BLOCK - 512);
	for (uint64_t n = 0; n < scan; n++)
		cache_touch(a, c, 1000 + n, BLOCK - 512);
	for (uint64_t n = 0; n < hot; n++)
		hits += (uint64_t)cache_touch(a, c, n, BLOCK - 512);
	cr_expect_eq(hits, hot, "%llu of %llu", (unsigned long long)hits, (unsigned long long)hot);
	cache_close(c);
	account_release(a);
}

Test(cache, what_comes_back_soon_after_it_left_is_kept_longer)
{
	struct account *a = cache_account();
	struct cache *c = cache_open(a, 100 * BLOCK, 1);
	cache_touch(a, c, 1, BLOCK - 512);
	for (uint64_t n = 0; n < 120; n++)
		cache_touch(a, c, 1000 + n, BLOCK - 512);
	cr_expect_eq(cache_touch(a, c, 1, BLOCK - 512), 0, "it was pushed out");
	for (uint64_t n = 0; n < 95; n++)
		cache_touch(a, c, 5000 + n, BLOCK - 512);
	cr_expect_eq(cache_touch(a, c, 1, BLOCK - 512), 1, "the ghost remembered it");
	cache_close(c);
	account_release(a);
}

Test(cache, a_reference_outlives_eviction_and_the_cache)
{
	struct account *a = cache_account();
	struct cache *c = cache_open(a, 4 * BLOCK, 1);
	struct cache_key key = cache_key_of(9);
	cache_touch(a, c, 9, BLOCK / 2);
	struct blob *held = cache_get(c, &key);
	cr_assert_not_null(held);
	for (uint64_t n = 100; n < 200; n++)
		cache_touch(a, c, n, BLOCK / 2);
	cr_expect_null(cache_get(c, &key));
	cache_close(c);
	account_release(a);
	for (size_t i = 0; i < held->len; i++)
		cr_assert_eq(held->data[i], 9);
	blob_release(held);
}

static void owner_release(void *owner)
{
	++*(int *)owner;
}

Test(cache, a_wrapped_blob_gives_its_owner_back_once)
{
	struct account *a = cache_account();
	int released = 0;
	static const uint8_t bytes[8];
	struct blob *b = blob_wrap(a, bytes, sizeof bytes, 4096, &released, owner_release);
	cr_expect(b->charge >= 4096 && b->len == 8);
	blob_retain(b);
	blob_release(b);
	cr_expect_eq(released, 0);
	blob_release(b);
	cr_expect_eq(released, 1);
	cr_expect_eq(a->cache_bytes, 0);
	account_release(a);
}

struct race {
	struct account *a;
	struct cache *c;
	atomic_int loads, got;
};

static void *racer(void *arg)
{
	struct race *r = arg;
	struct cache_key key = cache_key_of(5);
	struct blob *b = NULL;
	int rc;
	do {
		rc = cache_begin(r->c, &key, &b);
		if (rc == CACHE_BUSY)
			rc = cache_wait(r->c, &key, &b, NULL);
	} while (rc == FIRN_EAGAIN);
	if (rc == CACHE_LOAD) {
		r->loads++;
		b = cache_blob_of(r->a, 5, BLOCK);
		cache_fill(r->c, &key, b);
	}
	r->got += b && b->data[0] == 5;
	blob_release(b);
	return NULL;
}

Test(cache, one_flight_whoever_asks)
{
	struct race r = { .a = cache_account() };
	r.c = cache_open(r.a, 1024 * KIB, 0);
	pthread_t t[8];
	for (int i = 0; i < 8; i++)
		cr_assert_eq(pthread_create(&t[i], NULL, racer, &r), 0);
	for (int i = 0; i < 8; i++)
		pthread_join(t[i], NULL);
	cr_expect_eq(r.loads, 1);
	cr_expect_eq(r.got, 8);
	cache_close(r.c);
	account_release(r.a);
}

Test(cache, what_is_lent_comes_from_what_was_read_once_and_comes_back)
{
	struct account *a = cache_account();
	struct cache *c = cache_open(a, 1024 * KIB, 2);
	struct cache_stats s;
	atomic_ullong used = 100 * KIB;
	cache_lend(c, &used, 100 * KIB);
	cr_expect_eq(cache_lends(c), 768 * KIB, "nothing in it is used");
	for (uint64_t n = 0; n < 200; n++)
		cache_touch(a, c, n, BLOCK);
	cache_stats(c, &s);
	cr_expect_gt(s.bytes, 900 * KIB);
	used += cache_lends(c);
	cache_settle(c);
	cache_stats(c, &s);
	cr_expect_leq(s.bytes, 256 * KIB);
	cache_touch(a, c, 1000, BLOCK);
	cr_expect(cache_touch(a, c, 1000, BLOCK), "there is room for the newest");
	used = 100 * KIB;
	for (uint64_t n = 0; n < 200; n++)
		cache_touch(a, c, n, BLOCK);
	cache_stats(c, &s);
	cr_expect_gt(s.bytes, 900 * KIB);
	cache_close(c);
	account_release(a);
}

Test(cache, what_was_read_again_is_not_lent)
{
	struct account *a = cache_account();
	struct cache *c = cache_open(a, 1024 * KIB, 1);
	atomic_ullong used = 0;
	cache_lend(c, &used, 0);
	for (int i = 0; i < 4; i++)
		for (uint64_t n = 0; n < 30; n++)
			cache_touch(a, c, n, BLOCK);
	for (uint64_t n = 100; n < 200; n++) /* a scan: what is used often moves to main */
		cache_touch(a, c, n, BLOCK);
	cr_expect_leq(cache_lends(c), (768 - 30 * 16) * KIB);
	used = cache_lends(c);
	cache_settle(c);
	for (uint64_t n = 200; n < 300; n++)
		cache_touch(a, c, n, BLOCK);
	for (uint64_t n = 0; n < 30; n++)
		cr_expect(cache_touch(a, c, n, BLOCK), "%u", (unsigned)n);
	cache_close(c);
	account_release(a);
}
