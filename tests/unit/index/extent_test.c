/* Look-ups by offset and by time, and what they cost when there is a million of extents. */
#include "engine/index/fold.h"
#include "engine/os/env.h"
#include "index_model.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

TestSuite(index_extent, .timeout = 120);

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
enum { N_STREAMS = 100, N_EXTENTS = 1000 };
#else
enum { N_STREAMS = 1000, N_EXTENTS = 1000 };
#endif
enum { NUMBER = 7 };

static struct index *must_open(const char *dir)
{
	struct index *ix;
	struct firn_error err = FIRN_ERROR_INIT;
	cr_assert_eq(index_open(env_default(), dir, &ix, &err), 0, "%s", err.text);
	return ix;
}

static struct block_entry block(uint64_t stream, uint64_t base, uint64_t next, int64_t t)
{
	return (struct block_entry){ .stream = stream,
		                     .base = base,
		                     .next = next,
		                     .n_batch = 1,
		                     .min_timestamp_ms = t,
		                     .max_timestamp_ms = t };
}

static void must_fold(struct index_tx *tx, const struct block_entry *e)
{
	cr_assert_eq(index_fold_block(tx, NUMBER, (struct segment_id){ 1, 2 }, e), 0);
}

static uint64_t now_ns(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static void finds(struct index *ix, uint64_t stream, uint64_t offset, int rc, uint64_t base)
{
	struct index_extent x = { 0 };
	struct firn_error err = FIRN_ERROR_INIT;
	cr_assert_eq(index_extent_find(ix, NUMBER, stream, offset, &x, &err), rc, "%s", err.text);
	if (rc == 0)
		cr_assert_eq(x.block.base, base);
}

Test(index_extent, find_gives_the_holder_or_the_first_above)
{
	char dir[128];
	struct index_tx tx;
	struct firn_error err = FIRN_ERROR_INIT;
	model_dir_make(dir);
	struct index *ix = must_open(dir);
	cr_assert_eq(index_tx_write(ix, &tx, &err), 0);
	struct block_entry e[] = { block(5, 10, 20, 1), block(5, 20, 30, 2), block(5, 50, 51, 3),
		                   block(6, OFFSET_MAX - 1, OFFSET_MAX, 4) };
	for (size_t i = 0; i < 4; i++)
		must_fold(&tx, &e[i]);
	cr_assert_eq(index_tx_commit(&tx), 0);
	finds(ix, 5, 0, 0, 10);
	finds(ix, 5, 10, 0, 10);
	finds(ix, 5, 19, 0, 10);
	finds(ix, 5, 20, 0, 20);
	finds(ix, 5, 30, 0, 50);
	finds(ix, 5, 50, 0, 50);
	finds(ix, 5, 51, FIRN_ENOENT, 0);
	finds(ix, 5, UINT64_MAX, FIRN_ENOENT, 0);
	finds(ix, 4, 0, FIRN_ENOENT, 0);
	finds(ix, 6, 0, 0, OFFSET_MAX - 1);
	finds(ix, 7, 0, FIRN_ENOENT, 0);
	index_close(ix);
	model_dir_remove(dir);
}

Test(index_extent, an_extent_filled_in_later_is_found_by_time_too)
{
	char dir[128];
	struct index_tx tx;
	struct index_extent x;
	struct firn_error err = FIRN_ERROR_INIT;
	model_dir_make(dir);
	struct index *ix = must_open(dir);
	cr_assert_eq(index_tx_write(ix, &tx, &err), 0);
	struct block_entry e[] = { block(5, 0, 10, 100), block(5, 20, 30, 200),
		                   block(5, 30, 40, 150), block(5, 40, 50, 900),
		                   block(5, 10, 20, 500) };
	for (size_t i = 0; i < 5; i++)
		must_fold(&tx, &e[i]);
	cr_assert_eq(index_tx_commit(&tx), 0);
	static const struct {
		uint64_t from;
		int64_t t;
		uint64_t base;
	} want[] = { { 0, 50, 0 },    { 0, 101, 10 },  { 0, 500, 10 },  { 0, 501, 40 },
		     { 20, 101, 20 }, { 20, 201, 40 }, { 30, 150, 30 }, { 31, 160, 40 } };
	for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
		cr_assert_eq(index_extent_by_time(ix, NUMBER, 5, want[i].from, want[i].t, &x, &err),
		             0);
		cr_assert_eq(x.block.base, want[i].base, "case %zu: %llu", i,
		             (unsigned long long)x.block.base);
	}
	cr_assert_eq(index_extent_by_time(ix, NUMBER, 5, 0, 901, &x, &err), FIRN_ENOENT);
	cr_assert_eq(index_extent_by_time(ix, NUMBER, 5, 50, 0, &x, &err), FIRN_ENOENT);
	index_close(ix);
	model_dir_remove(dir);
}

static void fill(struct index *ix)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct index_tx tx;
	for (uint64_t i = 0; i < N_EXTENTS; i++) {
		if (i % 100 == 0)
			cr_assert_eq(index_tx_write(ix, &tx, &err), 0, "%s", err.text);
		for (uint64_t s = 0; s < N_STREAMS; s++) {
			struct block_entry e = block(s, i * 100, i * 100 + 100, (int64_t)(i * 10));
			must_fold(&tx, &e);
		}
		if (i % 100 == 99)
			cr_assert_eq(index_tx_commit(&tx), 0);
	}
}

static void measure(struct index *ix, size_t bytes)
{
	struct index_extent x;
	struct index_stats st;
	struct firn_error err = FIRN_ERROR_INIT;
	struct model rng = { .rng = 3 };
	uint64_t t = now_ns();
	enum { N = 100000 };
	for (int i = 0; i < N; i++) {
		uint64_t offset = model_random(&rng, N_EXTENTS * 100);
		cr_assert_eq(index_extent_find(ix, NUMBER, model_random(&rng, N_STREAMS), offset,
		                               &x, &err),
		             0);
		cr_assert(x.block.base <= offset && offset < x.block.next);
	}
	printf("find: %.2f us\n", (double)(now_ns() - t) / N / 1e3);
	t = now_ns();
	for (int i = 0; i < N / 10; i++) {
		int64_t when = (int64_t)model_random(&rng, N_EXTENTS * 10 - 10);
		cr_assert_eq(index_extent_by_time(ix, NUMBER, model_random(&rng, N_STREAMS), 0,
		                                  when, &x, &err),
		             0);
		cr_assert(x.block.max_timestamp_ms >= when && x.block.max_timestamp_ms < when + 10);
	}
	printf("by time: %.2f us\n", (double)(now_ns() - t) / (N / 10) / 1e3);
	t = now_ns();
	cr_assert_eq(index_verify(ix, &st, &err), 0, "%s", err.text);
	double s = (double)(now_ns() - t) / 1e9;
	printf("verify: %.3f s, %.0f MB/s\n", s, (double)bytes / s / 1e6);
	cr_assert_eq(st.n_extents, (uint64_t)N_STREAMS * N_EXTENTS);
}

Test(index_extent, a_million_of_extents_is_looked_up_measured)
{
	char dir[128], file[160];
	struct stat st;
	model_dir_make(dir);
	struct index *ix = must_open(dir);
	uint64_t t = now_ns();
	fill(ix);
	(void)snprintf(file, sizeof file, "%s/data.mdb", dir);
	cr_assert_eq(stat(file, &st), 0);
	printf("%u extents: %.0f ns each to put, file %.0f MB\n", N_STREAMS * N_EXTENTS,
	       (double)(now_ns() - t) / (N_STREAMS * N_EXTENTS), (double)st.st_size / 1e6);
	measure(ix, (size_t)st.st_size);
	index_close(ix);
	t = now_ns();
	ix = must_open(dir);
	printf("open: %.3f s\n", (double)(now_ns() - t) / 1e9);
	index_close(ix);
	model_dir_remove(dir);
}
