/* Reading while the ground moves: uploads, restarts, closes, damage. */
#include "tests/integration/read_bed.h"
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(read_life, .timeout = 120);

enum { RECORDS = 4000 };

/* Payload n is n, repeated: any mix-up shows. */
static size_t payload(uint64_t n, uint8_t *out)
{
	size_t len = 64 + n % 900;
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(n * 31 + i);
	memcpy(out, &n, sizeof n);
	return len;
}

static bool payload_is(const struct firn_batch *b, uint64_t n)
{
	uint8_t want[1024];
	size_t len = payload(n, want);
	return b->len == len && memcmp(b->data, want, len) == 0;
}

static void append_some(struct bed *b, uint64_t s, uint64_t from, uint64_t to)
{
	uint8_t data[1024];
	for (uint64_t n = from; n < to; n++) {
		size_t len = payload(n, data);
		cr_assert_eq(bed_append(b, s, data, len, 1, 0), n);
	}
}

/* Reads [from, to), dense and right. */
static void read_all(struct bed *b, uint64_t s, uint64_t from, uint64_t to, uint32_t max_bytes)
{
	struct firn_reader *r = bed_reader(b, 0);
	uint64_t at = from;
	cr_assert_eq(bed_set(b, r, 0, s, from, FIRN_MARK_VISIBLE), 0);
	while (at < to) {
		struct firn_fetch f = bed_fetch_of(r, 0, 10000);
		f.max_bytes = max_bytes;
		const struct firn_fetched *got = bed_fetch(b, &f, NULL);
		cr_assert(got->n_part == 1 && got->part[0].code == 0, "at %lu: %u parts, %s",
		          (unsigned long)at, got->n_part,
		          got->n_part ? firn_code_name(got->part[0].code) : "");
		for (uint32_t i = 0; i < got->part[0].n_batch; i++, at++) {
			const struct firn_batch *batch = bed_batch(&got->part[0], i);
			cr_assert_eq(batch->offset, at);
			cr_assert(payload_is(batch, at));
		}
		cr_assert_eq(got->part[0].next_offset, at);
		firn_release(got);
	}
	firn_reader_close(r);
}

struct follower {
	struct bed *b;
	uint64_t stream;
	uint32_t max_bytes;
};

static void *follow(void *arg)
{
	struct follower *f = arg;
	read_all(f->b, f->stream, 0, RECORDS, f->max_bytes);
	return NULL;
}

Test(read_life, readers_follow_across_tail_wal_and_segments_while_uploads_run)
{
	static const char *const options[] = { "segment_bytes=128K", "wal_file_bytes=1M", NULL };
	struct bed b;
	pthread_t t[3];
	bed_make(&b);
	b.opts.options = options;
	b.opts.wal_bytes = 16 << 20;
	b.opts.memory_bytes = 16 << 20;
	b.opts.tail_bytes = 1 << 20;
	b.opts.cache_bytes = 1 << 20;
	bed_open(&b);
	uint64_t s = bed_stream(&b, "s");
	struct follower f[3] = { { &b, s, 0 }, { &b, s, 3000 }, { &b, s, 100000 } };
	for (int i = 0; i < 3; i++)
		cr_assert_eq(pthread_create(&t[i], NULL, follow, &f[i]), 0);
	append_some(&b, s, 0, RECORDS);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	bed_store(&b);
	read_all(&b, s, 0, RECORDS, 0);
	read_all(&b, s, 1234, RECORDS, 5000);
	bed_close(&b, FIRN_DETACH_DRAIN);
	bed_remove(&b);
}

Test(read_life, what_is_only_in_the_wal_is_read_back_from_it_after_a_restart)
{
	struct bed b;
	bed_make(&b);
	bed_open(&b);
	uint64_t s = bed_stream(&b, "s");
	append_some(&b, s, 0, 500);
	bed_close(&b, FIRN_DETACH_KEEP_WAL);
	bed_open(&b);
	read_all(&b, s, 0, 500, 0);
	append_some(&b, s, 500, 600);
	read_all(&b, s, 300, 600, 2000);
	bed_store(&b);
	read_all(&b, s, 0, 600, 0);
	bed_close(&b, FIRN_DETACH_DRAIN);
	bed_open(&b);
	read_all(&b, s, 0, 600, 0);
	bed_close(&b, FIRN_DETACH_KEEP_WAL);
	bed_remove(&b);
}

Test(read_life, results_stay_valid_after_everything_is_closed)
{
	struct bed b;
	bed_make(&b);
	bed_open(&b);
	uint64_t s = bed_stream(&b, "s");
	append_some(&b, s, 0, 100);
	bed_store(&b);
	append_some(&b, s, 100, 200);
	struct firn_reader *r = bed_reader(&b, 0);
	const struct firn_fetched *got[2];
	for (uint32_t i = 0; i < 2; i++) {
		bed_set(&b, r, 0, s, i * 100, FIRN_MARK_VISIBLE);
		struct firn_fetch f = bed_fetch_of(r, 0, 5000);
		got[i] = bed_fetch(&b, &f, NULL);
		cr_assert(got[i]->n_part == 1 && got[i]->part[0].n_batch > 0);
	}
	firn_retain(got[1]);
	firn_reader_close(r);
	bed_close(&b, FIRN_DETACH_DRAIN);
	bed_remove(&b);
	for (uint32_t i = 0; i < 2; i++)
		for (uint32_t k = 0; k < got[i]->part[0].n_batch; k++)
			cr_assert(payload_is(bed_batch(&got[i]->part[0], k), i * 100 + k));
	firn_release(got[0]);
	firn_release(got[1]);
	firn_release(got[1]);
}

/* One bit of every segment, in the middle of its blocks. */
static void damage(const struct bed *b)
{
	site_pull(&b->site);
	site_run(
	        &b->site,
	        "for f in $(find store -path '*/seg/*' -type f); do"
	        " chmod u+w $f; printf '\\377\\001' | dd of=$f bs=1 seek=400 conv=notrunc 2>/dev/null;"
	        " done");
	site_push(&b->site);
}

Test(read_life, a_damaged_segment_is_told_and_never_served)
{
	struct bed b;
	struct firn_error err = FIRN_ERROR_INIT;
	const struct firn_fetched *got;
	bed_make(&b);
	bed_open(&b);
	uint64_t s = bed_stream(&b, "s");
	append_some(&b, s, 0, 50);
	bed_store(&b);
	damage(&b);
	cr_expect_eq(firn_stream_read(b.volume, s, 0, 0, 1000, &got, &err), FIRN_ECORRUPT);
	cr_expect_null(got);
	bed_close(&b, FIRN_DETACH_KEEP_WAL);
	bed_remove(&b);
}

/* More cold slots than loads may be under way, more bytes than the cache holds: all come,
 * bounded. */
Test(read_life, a_crowd_of_cold_slots_is_served_within_a_small_cache)
{
	enum { SLOTS = 250, BYTES = 40000 };
	static uint8_t data[BYTES];
	static bool seen[SLOTS];
	struct bed b;
	uint64_t stream[SLOTS];
	uint32_t left = SLOTS, seed = 1;
	bed_make(&b);
	b.opts.memory_bytes = 16 << 20;
	b.opts.cache_bytes = 1 << 20;
	bed_open(&b);
	for (uint32_t i = 0; i < SLOTS; i++) {
		char name[16];
		(void)snprintf(name, sizeof name, "s%u", i);
		stream[i] = bed_stream(&b, name);
		for (uint32_t k = 0; k < BYTES; k++)
			data[k] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
		memcpy(data, &i, sizeof i);
		bed_append(&b, stream[i], data, BYTES, 1, 0);
	}
	bed_close(&b, FIRN_DETACH_DRAIN);
	bed_open(&b);
	struct firn_reader *r = bed_reader(&b, 0);
	for (uint32_t i = 0; i < SLOTS; i++)
		bed_set(&b, r, i, stream[i], 0, FIRN_MARK_VISIBLE);
	while (left) {
		struct firn_fetch f = bed_fetch_of(r, 0, 10000);
		f.min_bytes = left < 12 ? left * BYTES : 500000;
		const struct firn_fetched *got = bed_fetch(&b, &f, NULL);
		cr_assert(got->n_part > 0, "%u left", left);
		for (uint32_t i = 0; i < got->n_part; i++) {
			const struct firn_part *p = &got->part[i];
			cr_assert(p->code == 0 && p->n_batch == 1 && !seen[p->slot], "%s",
			          firn_code_name(p->code));
			cr_assert(memcmp(p->batch->data, &p->slot, 4) == 0 &&
			          p->batch->len == BYTES);
			seen[p->slot] = true;
			left--;
		}
		firn_release(got);
	}
	firn_reader_close(r);
	bed_close(&b, FIRN_DETACH_KEEP_WAL);
	bed_remove(&b);
}

Test(read_life, without_threads_the_caller_does_the_work)
{
	struct bed b;
	bed_make(&b);
	b.opts.flags = FIRN_ENGINE_NO_THREADS;
	bed_open(&b);
	uint64_t s = bed_stream(&b, "s");
	append_some(&b, s, 0, 100);
	read_all(&b, s, 0, 100, 0);
	bed_store(&b);
	read_all(&b, s, 0, 100, 0);
	struct firn_reader *r = bed_reader(&b, 0);
	bed_set(&b, r, 0, s, 100, FIRN_MARK_VISIBLE);
	struct firn_fetch f = bed_fetch_of(r, 0, 20);
	firn_release(bed_fetch(&b, &f, NULL));
	firn_reader_close(r);
	bed_close(&b, FIRN_DETACH_KEEP_WAL);
	bed_remove(&b);
}

/* ---- a detach beside cancels ---- */

struct canceller {
	struct bed *bed;
	atomic_bool stop;
};

static void *cancel_on(void *arg)
{
	struct canceller *c = arg;
	while (!atomic_load(&c->stop))
		cr_assert_eq(firn_engine_cancel(c->bed->engine, c->bed->cq, 999999), FIRN_ENOENT);
	return NULL;
}

/* Both walk over all readers: what one has met the other must meet, too. */
Test(read_life, a_detach_ends_every_fetch_while_others_cancel)
{
	enum { READERS = 60 };
	struct bed b;
	bed_make(&b);
	bed_open(&b);
	struct firn_reader *r[READERS];
	uint64_t s = bed_stream(&b, "s");
	for (uint32_t i = 0; i < READERS; i++) {
		r[i] = bed_reader(&b, 0);
		cr_assert_eq(bed_set(&b, r[i], 0, s, 0, FIRN_MARK_VISIBLE), 0);
		struct firn_fetch f = bed_fetch_of(r[i], 0, FIRN_FOREVER);
		bed_submit(&b, &f, i);
	}
	struct canceller c = { .bed = &b };
	struct firn_error err = FIRN_ERROR_INIT;
	pthread_t thread;
	cr_assert_eq(pthread_create(&thread, NULL, cancel_on, &c), 0);
	cr_assert_eq(firn_volume_close(b.volume, &err), 0, "%s", err.text);
	b.volume = NULL;
	atomic_store(&c.stop, true);
	cr_assert_eq(pthread_join(thread, NULL), 0);
	for (uint32_t i = 0; i < READERS; i++) {
		struct firn_event ev;
		cr_assert_eq(bed_event(&b, &ev, 0), 1, "%u of %u fetches ended", i, READERS);
		cr_expect_eq(ev.code, FIRN_ECANCELED);
		firn_release(ev.result);
	}
	for (uint32_t i = 0; i < READERS; i++)
		firn_reader_close(r[i]);
	bed_close(&b, FIRN_DETACH_KEEP_WAL);
	bed_remove(&b);
}
