/* What reading costs the store: a replay asks for few large pieces, each byte once; a single record for one
 * frame. Counted by the engine's own metrics and by a store of ours, never by time. (P7) */
#include "tests/integration/flaky_bed.h"
#include "tests/integration/read_bed.h"
#include "tests/integration/site.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MIB = 1 << 20, BATCH = 64 << 10, FRAME_MOST = 320 << 10 };

static struct bed bed;

static void setup(void)
{
	bed_make(&bed);
	bed.opts.memory_bytes = 256
	                        << 20; /* 48 MiB of it for stored data, 18 for what is read ahead */
}

static void teardown(void)
{
	bed_close(&bed, FIRN_DETACH_KEEP_WAL);
	bed_remove(&bed);
}

TestSuite(replay, .timeout = 60, .init = setup, .fini = teardown);

/* ---- what was asked for ---- */

static uint64_t gets(void)
{
	return metric_of(bed.engine, "firn_store_requests", "\"get\"");
}

static uint64_t got_bytes(void)
{
	return metric_of(bed.engine, "firn_store_bytes", "\"get\"");
}

/* ---- data, and an engine that has none of it in memory ---- */

/* Bytes that do not compress: xorshift64, public domain, Marsaglia. */
static uint8_t *noise_of(uint8_t *noise, uint32_t len)
{
	static uint64_t x = 88172645463325252;
	for (uint32_t k = 0; k < len; k += 8) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		memcpy(noise + k, &x, 8);
	}
	return noise;
}

static void fill_from(uint32_t first, uint64_t *stream, uint32_t n, uint32_t bytes_each)
{
	uint8_t *noise = malloc(BATCH);
	cr_assert(noise);
	for (uint32_t i = 0; i < n; i++) {
		char name[32];
		(void)snprintf(name, sizeof name, "replayed-%u-%u", first, i);
		stream[i] = bed_stream(&bed, name);
	}
	for (uint32_t at = 0; at < bytes_each; at += BATCH) {
		for (uint32_t i = 0; i < n; i++)
			(void)bed_append(&bed, stream[i], noise_of(noise, BATCH), BATCH, 1, 0);
	}
	free(noise);
}

/* n streams of so many bytes in the store, nothing of them in memory. */
static void begin(uint64_t *stream, uint32_t n, uint32_t bytes_each)
{
	bed_open(&bed);
	fill_from(0, stream, n, bytes_each);
	bed_close(&bed, FIRN_DETACH_DRAIN);
	bed_open(&bed);
}

/* ---- readers ---- */

static struct firn_reader *reader_of_class(uint32_t cls, const uint64_t *stream, uint32_t n)
{
	struct firn_reader_opts opts = { .struct_size = sizeof opts, .cls = cls };
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_reader *r;
	cr_assert_eq(firn_reader_open(bed.engine, &opts, &r, &err), 0, "%s", err.text);
	for (uint32_t i = 0; i < n; i++)
		cr_assert_eq(bed_set(&bed, r, i, stream[i], 0, FIRN_MARK_STORED), 0);
	return r;
}

static struct firn_reader *reader_of(const uint64_t *stream, uint32_t n)
{
	return reader_of_class(FIRN_CLASS_DEFAULT, stream, n);
}

/* One fetch; the bytes that came. */
static uint64_t step(struct firn_reader *r)
{
	struct firn_fetch f = bed_fetch_of(r, 0, 30000);
	const struct firn_fetched *got = bed_fetch(&bed, &f, NULL);
	uint64_t bytes = got->bytes;
	cr_assert(bytes, "nothing came");
	firn_release(got);
	return bytes;
}

static void replay(struct firn_reader *r, uint64_t total)
{
	uint64_t had = 0;
	while (had < total)
		had += step(r);
	cr_assert_eq(had, total);
	firn_reader_close(r);
}

/* ---- truths ---- */

Test(replay, of_one_stream_takes_a_get_for_each_mib_at_most)
{
	uint64_t stream[1];
	begin(stream, 1, 32 * MIB);
	uint64_t before = gets(), bytes = got_bytes();
	replay(reader_of(stream, 1), 32 * MIB);
	cr_expect_leq(gets() - before, 32, "%u GETs", (unsigned)(gets() - before));
	cr_expect_lt(got_bytes() - bytes, 33 * MIB, "something was got twice");
}

Test(replay, of_many_streams_takes_a_get_for_each_mib_at_most)
{
	uint64_t stream[6];
	begin(stream, 6, 8 * MIB);
	uint64_t before = gets(), bytes = got_bytes();
	replay(reader_of(stream, 6), 48 * MIB);
	cr_expect_leq(gets() - before, 60, "%u GETs", (unsigned)(gets() - before));
	cr_expect_lt(got_bytes() - bytes, 49 * MIB, "something was got twice");
}

/* A segment of 32 MiB has 2 MiB of each: what they all want of it comes with a GET for some of them. */
Test(replay, of_many_streams_has_gets_for_several_of_them)
{
	uint64_t stream[16];
	begin(stream, 16, 6 * MIB);
	uint64_t before = gets(), bytes = got_bytes();
	replay(reader_of(stream, 16), 96 * MIB);
	cr_expect_leq(gets() - before, 80, "%u GETs", (unsigned)(gets() - before));
	cr_expect_lt(got_bytes() - bytes, 97 * MIB, "something was got twice");
}

/* Who says that it replays need not be seen reading in order first: of a segment of 24 frames it gets no frame alone. */
Test(replay, of_a_reader_that_says_so_has_large_gets_from_the_first_on)
{
	uint64_t stream[6];
	begin(stream, 6, MIB);
	uint64_t before = gets(), bytes = got_bytes();
	replay(reader_of_class(FIRN_CLASS_REPLAY, stream, 6), 6 * MIB);
	cr_expect_leq(gets() - before, 6, "%u GETs", (unsigned)(gets() - before));
	cr_expect_lt(got_bytes() - bytes, 7 * MIB, "something was got twice");
}

/* Six segments of 60 frames, each of them for four streams: once it is seen that they are read in order, a GET brings
 * frames for many of them. One for each frame would be 360. */
Test(replay, of_streams_with_little_in_a_segment_has_gets_for_many_of_them)
{
	enum { N = 240, ROUNDS = 6, EACH = 16 << 10 };
	uint64_t stream[N];
	uint8_t *noise = malloc(EACH);
	cr_assert(noise);
	bed_open(&bed);
	for (uint32_t i = 0; i < N; i++) {
		char name[32];
		(void)snprintf(name, sizeof name, "small-%u", i);
		stream[i] = bed_stream(&bed, name);
	}
	for (uint32_t k = 0; k < ROUNDS; k++) {
		for (uint32_t i = 0; i < N; i++)
			(void)bed_append(&bed, stream[i], noise_of(noise, EACH), EACH, 1, 0);
		bed_close(&bed, FIRN_DETACH_DRAIN);
		bed_open(&bed);
	}
	free(noise);
	uint64_t before = gets();
	replay(reader_of(stream, N), (uint64_t)N * ROUNDS * EACH);
	cr_expect_leq(gets() - before, 300, "%u GETs", (unsigned)(gets() - before));
}

Test(replay, of_several_readers_gets_nothing_twice)
{
	uint64_t stream[4];
	begin(stream, 4, 4 * MIB);
	uint64_t bytes = got_bytes(), had[3] = { 0 };
	struct firn_reader *r[3];
	for (int i = 0; i < 3; i++)
		r[i] = reader_of(stream, 4);
	for (int left = 3; left;) {
		left = 0;
		for (int i = 0; i < 3; i++) {
			if (had[i] < 16 * MIB)
				had[i] += step(r[i]);
			left += had[i] < 16 * MIB;
		}
	}
	for (int i = 0; i < 3; i++)
		firn_reader_close(r[i]);
	cr_expect_lt(got_bytes() - bytes, 17 * MIB, "something was got twice");
}

Test(replay, of_more_than_the_cache_leaves_in_it_what_is_read_often)
{
	uint64_t stream[2];
	bed.opts.memory_bytes = 16 << 20; /* 3 MiB of it for stored data, half of that the cache */
	begin(stream, 2, 24 * MIB);
	for (int i = 0; i < 3; i++) {
		struct firn_reader *often = reader_of(stream, 1);
		(void)step(often);
		firn_reader_close(often);
	}
	replay(reader_of(stream + 1, 1), 24 * MIB);
	uint64_t before = gets();
	const struct firn_fetched *got;
	struct firn_error err = FIRN_ERROR_INIT;
	int rc = firn_stream_read(bed.volume, stream[0], 0, 1, 0, &got, &err);
	cr_assert_eq(rc, 0, "%s", err.text);
	cr_expect_eq(gets(), before, "it was got again");
	firn_release(got);
}

/* What is read ahead has a tenth of the cache beside what is read often: it is held until it is needed. */
Test(replay, beside_a_cache_full_of_what_is_read_often_gets_nothing_twice)
{
	uint64_t stream[6], often = 14 * MIB;
	bed.opts.memory_bytes = 64 << 20; /* 12 MiB of it for stored data, half of that the cache */
	bed_open(&bed);
	fill_from(0, stream, 2, (uint32_t)often / 2);
	fill_from(1, stream + 2, 4, 5 * MIB);
	bed_close(&bed, FIRN_DETACH_DRAIN);
	bed_open(&bed);
	for (int i = 0; i < 4; i++)
		replay(reader_of(stream, 2), often);
	uint64_t bytes = got_bytes();
	replay(reader_of(stream + 2, 4), 20 * MIB);
	cr_expect_lt(got_bytes() - bytes, 21 * MIB, "something was got twice");
}

Test(replay, keeps_within_its_memory)
{
	uint64_t stream[8], had = 0;
	bed.opts.memory_bytes = 64 << 20;
	begin(stream, 8, 6 * MIB);
	struct firn_reader *r = reader_of(stream, 8);
	/* Cache, positions and what is under way, together; and a frame of each of the eight loaders. */
	const uint64_t most = 64 * MIB / 16 * 3 + 8 * FRAME_MOST;
	while (had < 48 * MIB) {
		had += step(r);
		cr_assert_leq(metric_of(bed.engine, "firn_cache_bytes", ""), most);
	}
	firn_reader_close(r);
}

Test(replay, is_not_what_a_single_record_is_read_by)
{
	uint64_t stream[1];
	begin(stream, 1, 16 * MIB);
	uint64_t before = gets(), bytes = got_bytes();
	for (uint64_t i = 1; i <= 5; i++) {
		const struct firn_fetched *got;
		struct firn_error err = FIRN_ERROR_INIT;
		int rc = firn_stream_read(bed.volume, stream[0], i * 37, 1, 5000, &got, &err);
		cr_assert_eq(rc, 0, "%s", err.text);
		firn_release(got);
	}
	cr_expect_leq(gets() - before, 5, "%u GETs", (unsigned)(gets() - before));
	cr_expect_leq(got_bytes() - bytes, 5 * FRAME_MOST, "%u bytes",
	              (unsigned)(got_bytes() - bytes));
}

Test(replay, that_looks_at_marks_only_gets_nothing)
{
	uint64_t stream[2];
	begin(stream, 2, MIB);
	uint64_t before = gets();
	struct firn_reader *r = reader_of(stream, 2);
	struct firn_fetch f = bed_fetch_of(r, FIRN_FETCH_READY, 5000);
	const struct firn_fetched *got = bed_fetch(&bed, &f, NULL);
	cr_expect_eq(got->n_part, 2);
	cr_expect_eq(gets(), before);
	firn_release(got);
	firn_reader_close(r);
}

/* Goes on with what is there; the bytes that came within the time. */
static uint64_t step_cached(struct firn_reader *r, uint32_t wait_ms)
{
	struct firn_fetch f = bed_fetch_of(r, FIRN_FETCH_CACHED, wait_ms);
	const struct firn_fetched *got = bed_fetch(&bed, &f, NULL);
	uint64_t bytes = got->bytes;
	firn_release(got);
	return bytes;
}

Test(replay, from_a_slow_store_has_several_gets_under_way)
{
	uint64_t stream[6];
	struct flaky *flaky = flaky_bed(&bed.site, "deadline_ms=60000");
	begin(stream, 6, 2 * MIB);
	struct firn_reader *r = reader_of(stream, 6);
	atomic_store(&flaky->hold, 6); /* taken, and not answered */
	while (atomic_load(&flaky->n_held) < 6)
		cr_assert_eq(step_cached(r, 1), 0);
	flaky->let_go();
	replay(r, 12 * MIB);
}

/* Whenever nothing comes any more the store answers all that it has. How much is under way then depends on the
 * moment; but it is several GETs before the end. */
Test(replay, of_one_stream_from_a_slow_store_has_several_gets_under_way)
{
	uint64_t stream[1], left = 32 * MIB;
	struct flaky *flaky = flaky_bed(&bed.site, "deadline_ms=60000");
	int most = 0;
	begin(stream, 1, 32 * MIB);
	struct firn_reader *r = reader_of(stream, 1);
	atomic_store(&flaky->hold, 1000);
	while (most < 3 && left) {
		uint64_t bytes = step_cached(r, 300);
		int now = atomic_load(&flaky->n_held);
		left -= bytes;
		most = now > most ? now : most;
		if (bytes == 0)
			flaky->let_go();
	}
	cr_expect_geq(most, 3);
	atomic_store(&flaky->hold, 0);
	flaky->let_go();
	replay(r, left);
}
