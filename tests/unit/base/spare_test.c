/* Memory of frames is used again, and what is kept stays within its bound. (P7) */
#include "engine/base/spare.h"
#include "engine/cache/blob.h"
#include "engine/os/env.h"
#include <criterion/criterion.h>

static struct account *a;
static struct firn_env env;
static unsigned n_alloc, n_live;

static void *count_alloc(void *ctx, size_t len, size_t align)
{
	void *p = env_default()->alloc(ctx, len, align);
	n_alloc++;
	n_live += p != NULL;
	return p;
}

static void count_release(void *ctx, void *p)
{
	n_live--;
	env_default()->release(ctx, p);
}

static void setup(void)
{
	env = *env_default();
	env.alloc = count_alloc;
	env.release = count_release;
	n_alloc = n_live = 0;
	a = account_new(&env);
	cr_assert(a);
}

static void teardown(void)
{
	account_release(a);
	cr_expect_eq(n_live, 0, "memory is left");
}

TestSuite(spare, .timeout = 30, .init = setup, .fini = teardown);

static struct blob *frame(size_t len)
{
	uint8_t *bytes;
	struct blob *b = blob_new(a, len, &bytes);
	cr_assert(b);
	bytes[0] = bytes[len - 1] = 1;
	return b;
}

Test(spare, lengths_grow_by_a_sixteenth_at_most)
{
	for (size_t len = 1; len < 200u << 20; len += len / 7 + 1) {
		size_t got = spare_len(len);
		cr_assert_geq(got, len);
		cr_assert_leq(got - len, len / 16);
		cr_assert_eq(spare_len(got), got);
	}
}

Test(spare, frames_of_about_one_length_use_the_same_memory_again)
{
	spare_bound(a, 8 << 20);
	blob_release(frame(1 << 20));
	unsigned before = n_alloc;
	for (int i = 0; i < 100; i++)
		blob_release(frame((1 << 20) + (size_t)(i % 7) * 1000));
	cr_expect_eq(n_alloc, before);
}

Test(spare, what_is_alive_and_what_is_kept_stay_within_the_bound)
{
	struct blob *b[16];
	uint64_t one = blob_room(1 << 20);
	spare_bound(a, 8 * one);
	for (int i = 0; i < 16; i++) /* more than the bound: that is for others to see to */
		b[i] = frame(1 << 20);
	for (int i = 0; i < 16; i++)
		blob_release(b[i]);
	cr_expect_leq(a->spares.bytes, 8 * one);
	cr_expect_gt(a->spares.bytes, 0);
	/* Others that are longer take the place of what is kept. */
	for (int i = 0; i < 3; i++) {
		b[i] = frame(2 << 20);
		cr_expect_leq(a->spares.bytes + atomic_load(&a->cache_bytes), 8 * one);
	}
	for (int i = 0; i < 3; i++)
		blob_release(b[i]);
	spare_bound(a, one);
	cr_expect_leq(a->spares.bytes, one);
	spare_bound(a, 0);
	cr_expect_eq(a->spares.bytes, 0);
	cr_expect_eq(n_live, 1, "only the account");
}

Test(spare, short_ones_are_left_to_the_allocator)
{
	spare_bound(a, 8 << 20);
	blob_release(frame(1000));
	cr_expect_eq(a->spares.bytes, 0);
}
