/* Frames held for items: their memory is shared, and comes back. (P7) */
#include "engine/os/env.h"
#include "engine/read/load.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { FRAME = 256 << 10 }; /* the memory of one, its header with it */

static struct engine e;
static struct read_queue q;
static struct firn_reader r;
static struct reader_item item, *slot = &item;
static struct firn_env env;
static uint64_t now_ns;

static uint64_t clock_of_ours(void *ctx)
{
	(void)ctx;
	return now_ns;
}

static void setup(void)
{
	env = *env_default();
	env.mono_ns = clock_of_ours;
	now_ns = UINT64_C(10) << 30;
	e.account = account_new(&env);
	e.env = &e.account->env;
	e.cache_bytes = 64 << 20;
	e.cache = cache_open(e.account, 1, 1); /* lends nothing */
	e.reads = &q;
	q.engine = &e;
	pthread_mutex_init(&q.walk, NULL);
	pthread_mutex_init(&q.lock, NULL);
	r.engine = &e;
	r.account = e.account;
	r.slot = &slot;
	r.n_slot = 1;
	atomic_init(&r.refs, 1);
	pthread_mutex_init(&r.serve, NULL);
	pthread_mutex_init(&r.lock, NULL);
	item.reader = &r;
	queue_add(&r);
}

static void teardown(void)
{
	held_drop(&item);
	cache_close(e.cache);
	cr_expect_eq(atomic_load(&q.ahead_bytes), 0, "memory is missing");
	cr_expect_eq(atomic_load(&e.account->cache_bytes), 0, "a blob is left");
	queue_remove(&r);
	account_release(e.account);
}

TestSuite(hold, .timeout = 30, .init = setup, .fini = teardown);

static const struct volume volume;

static struct cache_key key_of(uint32_t i)
{
	struct index_extent x = { .block.frame_pos = (uint64_t)i * FRAME };
	return frame_key(&volume, &x);
}

/* Frames [first, first + n), of ten offsets each, come for the item. */
static void come(uint32_t first, uint32_t n)
{
	struct frames *f = calloc(1, sizeof *f);
	struct share s = { .item = &item, .n = n, .end = (first + n) * 10 };
	struct blob *blob[FRAMES_MAX];
	uint64_t room = held_room(&e, (uint64_t)n * FRAME, false);
	cr_assert(f);
	cr_assert_eq(room, (uint64_t)n * FRAME);
	f->v = &volume;
	f->n = f->own = n;
	for (uint32_t i = 0; i < n; i++) {
		uint8_t *bytes;
		f->x[i].block.frame_pos = (uint64_t)(first + i) * FRAME;
		f->x[i].block.base = (first + i) * 10;
		f->x[i].block.next = (first + i + 1) * 10;
		blob[i] = blob_new(e.account, FRAME - sizeof(struct blob), &bytes);
	}
	held_settle(&e, room, held_add(f, &s, 0, blob));
	for (uint32_t i = 0; i < n; i++)
		blob_release(blob[i]);
	free(f);
}

static bool took(uint32_t i)
{
	struct cache_key key = key_of(i);
	struct blob *b = held_take(&item, &key, i * 10);
	blob_release(b);
	return b != NULL;
}

Test(hold, the_shares_of_the_memory_for_stored_data_are_all_of_it)
{
	for (e.cache_bytes = 0; e.cache_bytes < 1 << 20; e.cache_bytes += 4097)
		cr_assert_eq(share_cached(&e) + share_held(&e) + share_cursors(&e), e.cache_bytes);
}

Test(hold, memory_is_shared_by_halves_and_never_more_than_its_share)
{
	uint64_t all = 0, got, one = 24 << 20;
	while ((got = held_room(&e, 24 << 20, false)) != 0) {
		cr_expect_leq(got, one);
		one = got;
		all += got;
	}
	cr_expect(all <= 24 << 20 && all > 23 << 20, "%u", (unsigned)all);
	held_give(&e, all);
}

Test(hold, pieces_that_came_in_any_order_are_taken_in_theirs)
{
	come(4, 4);
	come(0, 4);
	for (uint32_t i = 0; i < 8; i++) {
		cr_expect_eq(atomic_load(&q.ahead_bytes), (8 - i) * FRAME);
		cr_expect(took(i), "%u", i);
		cr_expect(!took(i), "%u, twice", i);
	}
}

Test(hold, what_an_item_is_past_is_let_go)
{
	come(0, 4);
	cr_expect(took(2));
	cr_expect_eq(atomic_load(&q.ahead_bytes), FRAME);
	cr_expect(!took(9));
	cr_expect_eq(atomic_load(&q.ahead_bytes), 0);
}

/* All that there is; the sum. */
static uint64_t fill_up(void)
{
	uint64_t all = 0, got;
	while ((got = held_room(&e, 24 << 20, false)) != 0)
		all += got;
	return all;
}

Test(hold, a_reader_that_nobody_fetches_from_gives_up_what_it_holds)
{
	come(0, 4);
	r.idle_ns = now_ns;
	held_give(&e, fill_up());
	cr_expect(item.held, "it was fetched from just now");
	now_ns += UINT64_C(5) << 30;
	held_give(&e, fill_up());
	cr_expect(!item.held, "it is idle");
}

Test(hold, a_reader_with_a_fetch_keeps_what_it_holds)
{
	r.fetch.active = true;
	come(0, 4);
	now_ns += UINT64_C(50) << 30;
	held_give(&e, fill_up());
	cr_expect(item.held);
}

/* ---- what the cache lends ---- */

static void cache_of(uint64_t bytes)
{
	cache_close(e.cache);
	e.cache = cache_open(e.account, bytes, 0);
	cr_assert(e.cache);
	cache_lend(e.cache, &q.ahead_bytes, share_held(&e));
}

static bool touch(uint32_t i)
{
	struct cache_key key = key_of(i);
	struct blob *b = cache_get(e.cache, &key);
	bool hit = b != NULL;
	if (!b && cache_begin(e.cache, &key, &b) == CACHE_LOAD) {
		uint8_t *bytes;
		b = blob_new(e.account, FRAME - sizeof(struct blob), &bytes);
		cache_fill(e.cache, &key, b);
	}
	blob_release(b);
	return hit;
}

Test(hold, with_what_the_cache_lends_it_is_more_and_the_sum_stays_within_the_share)
{
	cache_of(share_cached(&e));
	for (uint32_t i = 0; i < 300; i++)
		(void)touch(i);
	uint64_t all = fill_up(), lent = share_cached(&e) / 4 * 3;
	cr_expect(all > share_held(&e) + lent - (1 << 20) && all <= share_held(&e) + lent);
	for (uint32_t i = 300; i < 600; i++) {
		(void)touch(i);
		cr_expect_leq(atomic_load(&e.account->cache_bytes) + all,
		              share_held(&e) + share_cached(&e));
	}
	held_give(&e, all);
}

Test(hold, nothing_that_was_read_again_goes_for_what_is_read_ahead)
{
	enum { HOT = 80 }; /* 20 of 32 MiB */
	cache_of(share_cached(&e));
	for (int round = 0; round < 4; round++)
		for (uint32_t i = 0; i < HOT; i++)
			(void)touch(i);
	for (uint32_t i = 1000; i < 1200; i++)
		(void)touch(i);
	uint64_t all = fill_up();
	cr_expect_geq(all, share_held(&e) - (1 << 20));
	for (uint32_t i = 2000; i < 2200; i++)
		(void)touch(i);
	for (uint32_t i = 0; i < HOT; i++)
		cr_expect(touch(i), "%u", i);
	held_give(&e, all);
}
