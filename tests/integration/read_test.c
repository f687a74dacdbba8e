/* Reading through the public interface: fetches over many streams, waits, bounds, gaps, marks.
 * (P2, P7) */
#include "tests/integration/read_bed.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct bed bed;

static void setup(void)
{
	bed_make(&bed);
	bed_open(&bed);
}

static void teardown(void)
{
	bed_close(&bed, FIRN_DETACH_KEEP_WAL);
	bed_remove(&bed);
}

TestSuite(read, .timeout = 60, .init = setup, .fini = teardown);

static uint64_t say(uint64_t stream, const char *text)
{
	return bed_append(&bed, stream, text, strlen(text), 1, 0);
}

static bool is(const struct firn_batch *b, const char *text)
{
	return b->len == strlen(text) && memcmp(b->data, text, b->len) == 0;
}

static const struct firn_part *part_of_slot(const struct firn_fetched *f, uint32_t slot)
{
	for (uint32_t i = 0; i < f->n_part; i++)
		if (f->part[i].slot == slot)
			return &f->part[i];
	return NULL;
}

/* ---- many streams ---- */

static void one_fetch_serves_many_streams(bool stored)
{
	struct firn_reader *r = bed_reader(&bed, 0);
	char text[32];
	for (uint32_t i = 0; i < 50; i++) {
		(void)snprintf(text, sizeof text, "stream-%u", i);
		uint64_t s = bed_stream(&bed, text);
		say(s, text);
		say(s, "more");
		cr_assert_eq(bed_set(&bed, r, i, s, 0, FIRN_MARK_VISIBLE), 0);
	}
	if (stored)
		bed_store(&bed);
	struct firn_fetch f = bed_fetch_of(r, 0, 5000);
	f.min_bytes = 10 * 12 + 40 * 13; /* all of them */
	const struct firn_fetched *got = bed_fetch(&bed, &f, NULL);
	cr_assert_eq(got->n_part, 50, "%u parts", got->n_part);
	for (uint32_t i = 0; i < 50; i++) {
		const struct firn_part *p = part_of_slot(got, i);
		(void)snprintf(text, sizeof text, "stream-%u", i);
		cr_assert(p && p->code == 0 && p->n_batch == 2 && p->next_offset == 2);
		cr_expect(is(bed_batch(p, 0), text) && is(bed_batch(p, 1), "more"));
		cr_expect(p->visible == 2 && p->start == 0);
	}
	firn_release(got);
	firn_reader_close(r);
}

Test(read, one_fetch_serves_many_streams_from_the_tail)
{
	one_fetch_serves_many_streams(false);
}

Test(read, one_fetch_serves_many_streams_from_the_store)
{
	one_fetch_serves_many_streams(true);
}

Test(read, neighbours_become_one_piece)
{
	uint64_t s = bed_stream(&bed, "s");
	for (int i = 0; i < 20; i++)
		say(s, "0123456789");
	bed_store(&bed);
	struct firn_reader *r = bed_reader(&bed, 0);
	bed_set(&bed, r, 0, s, 0, FIRN_MARK_VISIBLE);
	struct firn_fetch f = bed_fetch_of(r, 0, 1000);
	f.min_bytes = 200;
	const struct firn_fetched *got = bed_fetch(&bed, &f, NULL);
	cr_assert(got->n_part == 1 && got->part[0].n_batch == 20 && got->bytes == 200);
	cr_expect_eq(got->part[0].n_iov, 1);
	cr_expect_eq(got->part[0].iov[0].iov_len, 200);
	firn_release(got);
	firn_reader_close(r);
}

/* ---- waits and bounds ---- */

Test(read, an_empty_fetch_ends_with_max_wait_and_is_no_error)
{
	uint64_t s = bed_stream(&bed, "s");
	struct firn_reader *r = bed_reader(&bed, 0);
	bed_set(&bed, r, 0, s, 0, FIRN_MARK_VISIBLE);
	struct firn_fetch f = bed_fetch_of(r, 0, 30);
	const struct firn_fetched *got = bed_fetch(&bed, &f, NULL);
	cr_assert_not_null(got);
	cr_expect_eq(got->n_part, 0);
	firn_release(got);
	firn_reader_close(r);
}

Test(read, min_bytes_waits_for_enough)
{
	uint64_t s = bed_stream(&bed, "s");
	struct firn_reader *r = bed_reader(&bed, 0);
	struct firn_event ev;
	bed_set(&bed, r, 0, s, 0, FIRN_MARK_VISIBLE);
	struct firn_fetch f = bed_fetch_of(r, 0, FIRN_FOREVER);
	f.min_bytes = 30;
	bed_submit(&bed, &f, 77);
	say(s, "0123456789");
	say(s, "0123456789");
	cr_expect_eq(bed_event(&bed, &ev, 50), 0);
	say(s, "0123456789");
	cr_assert_eq(bed_event(&bed, &ev, 5000), 1);
	cr_expect(ev.user_data == 77 && ev.kind == FIRN_REQ_FETCH && ev.code == 0);
	const struct firn_fetched *got = ev.result;
	cr_assert_eq(got->n_part, 1);
	cr_expect(got->part[0].n_batch == 3 && got->bytes == 30 && got->part[0].next_offset == 3);
	for (uint32_t i = 0; i < 3; i++)
		cr_expect_eq(bed_batch(&got->part[0], i)->offset, i);
	firn_release(got);
	firn_reader_close(r);
}

Test(read, a_fetch_in_flight_goes_on_with_the_changed_set)
{
	uint64_t a = bed_stream(&bed, "a"), b = bed_stream(&bed, "b");
	struct firn_reader *r = bed_reader(&bed, 0);
	struct firn_event ev;
	say(b, "there");
	bed_set(&bed, r, 0, a, 0, FIRN_MARK_VISIBLE);
	struct firn_fetch f = bed_fetch_of(r, 0, FIRN_FOREVER);
	bed_submit(&bed, &f, 1);
	cr_expect_eq(bed_event(&bed, &ev, 20), 0);
	bed_set(&bed, r, 1, b, 0, FIRN_MARK_VISIBLE);
	cr_assert_eq(bed_event(&bed, &ev, 5000), 1);
	const struct firn_fetched *got = ev.result;
	cr_expect(got->n_part == 1 && got->part[0].slot == 1 && is(got->part[0].batch, "there"));
	firn_release(got);
	firn_reader_close(r);
}

Test(read, bounds_hold_and_slots_take_turns)
{
	struct firn_reader *r = bed_reader(&bed, 0);
	char big[1000];
	uint32_t seen[4] = { 0 };
	memset(big, 'x', sizeof big);
	for (uint32_t i = 0; i < 4; i++) {
		char name[2] = { (char)('a' + i), 0 };
		uint64_t s = bed_stream(&bed, name);
		for (int k = 0; k < 5; k++)
			bed_append(&bed, s, big, sizeof big, 1, 0);
		bed_set(&bed, r, i, s, 0, FIRN_MARK_VISIBLE);
	}
	for (int k = 0; k < 10; k++) {
		struct firn_fetch f = bed_fetch_of(r, 0, 0);
		f.max_bytes = 2000;
		const struct firn_fetched *got = bed_fetch(&bed, &f, NULL);
		cr_assert(got->bytes == 2000 && got->n_part <= 2, "%lu bytes",
		          (unsigned long)got->bytes);
		for (uint32_t i = 0; i < got->n_part; i++)
			seen[got->part[i].slot] += got->part[i].n_batch;
		if (k == 3)
			cr_expect(seen[0] && seen[1] && seen[2] && seen[3], "a slot starved");
		firn_release(got);
	}
	for (uint32_t i = 0; i < 4; i++)
		cr_expect_eq(seen[i], 5);
	firn_reader_close(r);
}

Test(read, one_batch_always_comes_unless_the_bound_is_hard)
{
	uint64_t s = bed_stream(&bed, "s");
	char big[5000];
	int code;
	memset(big, 'x', sizeof big);
	bed_append(&bed, s, big, sizeof big, 1, 0);
	struct firn_reader *r = bed_reader(&bed, 0);
	bed_set(&bed, r, 0, s, 0, FIRN_MARK_VISIBLE);
	struct firn_fetch f = bed_fetch_of(r, FIRN_FETCH_HARD_MAX, 0);
	f.max_bytes = 1000;
	const struct firn_fetched *got = bed_fetch(&bed, &f, &code);
	cr_assert(code == 0 && got->n_part == 1);
	cr_expect(got->part[0].code == FIRN_ETOOBIG && got->part[0].next_offset == 0);
	firn_release(got);
	f.req.flags = 0;
	got = bed_fetch(&bed, &f, &code);
	cr_assert(code == 0 && got->n_part == 1 && got->part[0].bytes == 5000);
	firn_release(got);
	firn_reader_close(r);
}

Test(read, max_parts_and_the_bound_of_an_item_hold)
{
	struct firn_reader *r = bed_reader(&bed, 0);
	for (uint32_t i = 0; i < 6; i++) {
		char name[2] = { (char)('a' + i), 0 };
		struct firn_item it = { .slot = i,
			                .volume = bed.volume,
			                .max_bytes = 10,
			                .stream = bed_stream(&bed, name) };
		for (int k = 0; k < 4; k++)
			say(it.stream, "12345");
		cr_assert_eq(firn_reader_set(r, &it, sizeof it, 1), 0);
	}
	struct firn_fetch f = bed_fetch_of(r, 0, 0);
	f.max_parts = 2;
	const struct firn_fetched *got = bed_fetch(&bed, &f, NULL);
	cr_assert_eq(got->n_part, 2);
	for (uint32_t i = 0; i < 2; i++)
		cr_expect(got->part[i].n_batch == 2 && got->part[i].flags & FIRN_F_MORE);
	firn_release(got);
	firn_reader_close(r);
}

Test(read, a_reader_has_one_fetch_at_a_time)
{
	struct firn_reader *r = bed_reader(&bed, 0);
	struct firn_fetch f = bed_fetch_of(r, 0, FIRN_FOREVER);
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_event ev;
	const struct firn_req *req = &f.req;
	bed_submit(&bed, &f, 1);
	cr_expect_eq(firn_engine_submit(bed.engine, &req, 1, &err), 0);
	cr_expect_eq(err.code, FIRN_EBUSY);
	cr_expect_eq(firn_engine_cancel(bed.engine, bed.cq, 1), 0);
	cr_assert_eq(bed_event(&bed, &ev, 5000), 1);
	cr_expect_eq(ev.code, FIRN_ECANCELED);
	firn_release(ev.result);
	cr_expect_eq(firn_engine_cancel(bed.engine, bed.cq, 1), FIRN_ENOENT);
	firn_reader_close(r);
}

Test(read, a_time_out_before_max_wait_moves_nothing)
{
	uint64_t s = bed_stream(&bed, "s");
	struct firn_reader *r = bed_reader(&bed, 0);
	struct firn_event ev;
	bed_set(&bed, r, 0, s, 0, FIRN_MARK_VISIBLE);
	say(s, "few");
	struct firn_fetch f = bed_fetch_of(r, 0, FIRN_FOREVER);
	f.min_bytes = 1000;
	f.req.timeout_ms = 30;
	bed_submit(&bed, &f, 1);
	cr_assert_eq(bed_event(&bed, &ev, 5000), 1);
	cr_expect_eq(ev.code, FIRN_ETIMEDOUT);
	firn_release(ev.result);
	f = bed_fetch_of(r, 0, 0);
	const struct firn_fetched *got = bed_fetch(&bed, &f, NULL);
	cr_assert(got->n_part == 1 && got->part[0].batch[0].offset == 0);
	firn_release(got);
	firn_reader_close(r);
}

Test(read, closing_a_reader_ends_its_fetch)
{
	struct firn_reader *r = bed_reader(&bed, 0);
	struct firn_event ev;
	struct firn_fetch f = bed_fetch_of(r, 0, FIRN_FOREVER);
	bed_submit(&bed, &f, 5);
	firn_reader_close(r);
	cr_assert_eq(bed_event(&bed, &ev, 5000), 1);
	cr_expect(ev.code == FIRN_ECANCELED && ev.user_data == 5);
	firn_release(ev.result);
}

/* ---- ready, headers, cached ---- */

Test(read, ready_tells_only_what_is_ready_among_ten_thousand)
{
	enum { N = 10000 };
	struct firn_reader *r = bed_reader(&bed, 0);
	static struct firn_item it[N];
	struct firn_error err = FIRN_ERROR_INIT;
	for (uint32_t i = 0; i < N; i += 100) {
		struct firn_op op[100];
		char name[100][16];
		struct firn_write w = FIRN_WRITE_INIT;
		struct firn_event ev;
		memset(op, 0, sizeof op);
		for (uint32_t k = 0; k < 100; k++) {
			(void)snprintf(name[k], sizeof name[k], "q%u", i + k);
			op[k].kind = FIRN_OP_CREATE;
			op[k].u.stream.name = name[k];
			op[k].u.stream.name_len = (uint32_t)strlen(name[k]);
		}
		w.volume = bed.volume;
		w.op = op;
		w.n_op = 100;
		cr_assert_eq(firn_engine_call(bed.engine, &w.req, &ev, &err), 0, "%s", err.text);
		const struct firn_written *done = ev.result;
		for (uint32_t k = 0; k < 100; k++)
			it[i + k] = (struct firn_item){ .slot = i + k,
				                        .volume = bed.volume,
				                        .stream = done->op[k].stream };
		firn_release(done);
	}
	cr_assert_eq(firn_reader_set(r, it, sizeof it[0], N), 0);
	struct firn_fetch f = bed_fetch_of(r, FIRN_FETCH_READY, 0);
	const struct firn_fetched *got = bed_fetch(&bed, &f, NULL);
	cr_expect_eq(got->n_part, 0);
	firn_release(got);
	for (uint32_t i = 0; i < 7; i++)
		say(it[i * 1000 + 3].stream, "here");
	got = bed_fetch(&bed, &f, NULL);
	cr_expect_eq(got->n_part, 7, "%u", got->n_part);
	for (uint32_t i = 0; i < got->n_part; i++) {
		const struct firn_part *p = &got->part[i];
		cr_expect(p->slot % 1000 == 3 && p->visible == 1 && p->n_batch == 0 &&
		          p->next_offset == 0);
	}
	firn_release(got);
	got = bed_fetch(&bed, &f, NULL);
	cr_expect_eq(got->n_part, 7, "positions do not move: they stay ready");
	firn_release(got);
	firn_reader_close(r);
}

Test(read, ready_waits_for_any_mark)
{
	uint64_t s = bed_stream(&bed, "s");
	struct firn_reader *r = bed_reader(&bed, 0);
	struct firn_event ev;
	bed_set(&bed, r, 0, s, 1, FIRN_MARK_STORED); /* until two are stored */
	struct firn_fetch f = bed_fetch_of(r, FIRN_FETCH_READY, FIRN_FOREVER);
	bed_submit(&bed, &f, 1);
	say(s, "one");
	say(s, "two");
	cr_expect_eq(bed_event(&bed, &ev, 30), 0);
	bed_store(&bed);
	cr_assert_eq(bed_event(&bed, &ev, 5000), 1);
	const struct firn_fetched *got = ev.result;
	cr_expect(got->n_part == 1 && got->part[0].stored == 2);
	firn_release(got);
	firn_reader_close(r);
}

Test(read, headers_come_without_payload)
{
	uint64_t s = bed_stream(&bed, "s");
	bed_append(&bed, s, "hello", 5, 3, 1234);
	struct firn_reader *r = bed_reader(&bed, 0);
	bed_set(&bed, r, 0, s, 0, FIRN_MARK_VISIBLE);
	struct firn_fetch f = bed_fetch_of(r, FIRN_FETCH_HEADERS, 0);
	const struct firn_fetched *got = bed_fetch(&bed, &f, NULL);
	cr_assert(got->n_part == 1 && got->part[0].n_batch == 1);
	const struct firn_batch *b = got->part[0].batch;
	cr_expect(b->data == NULL && b->len == 5 && b->n_offsets == 3 && b->timestamp_ms == 1234);
	cr_expect(b->append_ms > 0 && b->rev > 0 && b->epoch > 0);
	cr_expect_eq(got->part[0].n_iov, 0);
	firn_release(got);
	firn_reader_close(r);
}

Test(read, cached_says_cold_and_loads_meanwhile)
{
	uint64_t s = bed_stream(&bed, "s");
	say(s, "frozen");
	bed_store(&bed);
	struct firn_reader *r = bed_reader(&bed, 0);
	bed_set(&bed, r, 0, s, 0, FIRN_MARK_VISIBLE);
	struct firn_fetch f = bed_fetch_of(r, FIRN_FETCH_CACHED, 0);
	const struct firn_fetched *got = bed_fetch(&bed, &f, NULL);
	cr_assert_eq(got->n_part, 1);
	bool cold = got->part[0].flags & FIRN_F_COLD;
	cr_expect(cold ? got->part[0].n_batch == 0 : got->part[0].n_batch == 1);
	firn_release(got);
	f.max_wait_ms = 5000;
	if (cold) {
		got = bed_fetch(&bed, &f, NULL);
		cr_assert(got->n_part == 1 && is(got->part[0].batch, "frozen"));
		firn_release(got);
	}
	firn_reader_close(r);
}

/* ---- gaps, trims, marks ---- */

static void read_over_the_gap(void)
{
	uint64_t s = 0;
	cr_assert_eq(firn_stream_find(bed.volume, "s", 1, &s), 0);
	struct firn_reader *r = bed_reader(&bed, 0);
	bed_set(&bed, r, 0, s, 0, FIRN_MARK_VISIBLE);
	struct firn_fetch f = bed_fetch_of(r, 0, 5000);
	const struct firn_fetched *got = bed_fetch(&bed, &f, NULL);
	cr_assert(got->n_part == 1 && got->part[0].n_batch == 1 &&
	          got->part[0].gap == FIRN_GAP_NONE);
	cr_expect_eq(got->part[0].next_offset, 1);
	firn_release(got);
	got = bed_fetch(&bed, &f, NULL);
	const struct firn_part *p = got->part;
	cr_assert(got->n_part == 1 && p->gap == FIRN_GAP_SKIPPED, "gap %u", p->gap);
	cr_expect(p->gap_from == 1 && p->gap_to == 100);
	cr_expect(p->n_batch == 1 && is(p->batch, "far") && p->next_offset == 101);
	firn_release(got);
	firn_reader_close(r);
}

Test(read, skipped_offsets_are_a_typed_gap_wherever_they_lie)
{
	uint64_t s = bed_stream(&bed, "s");
	say(s, "near");
	cr_assert_eq(bed_append_at(&bed, s, 100, "far"), 100);
	read_over_the_gap();
	bed_store(&bed);
	read_over_the_gap();
}

Test(read, a_gap_between_store_and_tail)
{
	uint64_t s = bed_stream(&bed, "s");
	say(s, "near");
	bed_store(&bed);
	cr_assert_eq(bed_append_at(&bed, s, 100, "far"), 100);
	read_over_the_gap();
}

static void trim_is_exact(uint64_t s)
{
	struct firn_error err = FIRN_ERROR_INIT;
	const struct firn_fetched *got;
	cr_assert_eq(firn_stream_read(bed.volume, s, 5, 0, 1000, &got, &err), 0, "%s", err.text);
	cr_assert(got->n_part == 1 && got->part[0].n_batch >= 1);
	cr_expect(got->part[0].batch[0].offset == 0 && got->part[0].start == 5);
	firn_release(got);
	cr_expect_eq(firn_stream_read(bed.volume, s, 4, 0, 0, &got, &err), FIRN_ERANGE);
	cr_expect_null(got);
	cr_expect_eq(firn_stream_read(bed.volume, s, 21, 0, 0, &got, &err), FIRN_ERANGE);
	cr_assert_eq(firn_stream_read(bed.volume, s, 20, 0, 0, &got, &err), 0);
	cr_expect_eq(got->n_part, 0);
	firn_release(got);
}

Test(read, start_is_exact_to_the_record)
{
	uint64_t s = bed_stream(&bed, "s");
	bed_append(&bed, s, "ten", 3, 10, 0);
	bed_append(&bed, s, "ten", 3, 10, 0);
	bed_trim(&bed, s, 5);
	trim_is_exact(s);
	bed_store(&bed);
	trim_is_exact(s);
}

Test(read, a_trim_past_a_waiting_position_is_told)
{
	uint64_t s = bed_stream(&bed, "s");
	struct firn_reader *r = bed_reader(&bed, 0);
	struct firn_event ev;
	for (int i = 0; i < 3; i++)
		say(s, "x");
	bed_set(&bed, r, 0, s, 0, FIRN_MARK_VISIBLE);
	struct firn_fetch f = bed_fetch_of(r, 0, 0);
	f.max_bytes = 1;
	firn_release(bed_fetch(&bed, &f, NULL));
	bed_trim(&bed, s, 3);
	f = bed_fetch_of(r, 0, FIRN_FOREVER);
	bed_submit(&bed, &f, 1);
	cr_assert_eq(bed_event(&bed, &ev, 5000), 1);
	const struct firn_fetched *got = ev.result;
	cr_expect(got->n_part == 1 && got->part[0].code == FIRN_ERANGE && got->part[0].start == 3);
	firn_release(got);
	firn_reader_close(r);
}

Test(read, held_marks_bound_readers)
{
	uint64_t s = bed_stream_held(&bed, "s", FIRN_HOLD_VISIBLE | FIRN_HOLD_STABLE);
	struct firn_reader *r = bed_reader(&bed, 0);
	struct firn_event ev;
	for (int i = 0; i < 3; i++)
		bed_append(&bed, s, "four", 4, 4, 0);
	bed_set(&bed, r, 0, s, 0, FIRN_MARK_VISIBLE);
	bed_set(&bed, r, 1, s, 0, FIRN_MARK_STABLE);
	bed_set(&bed, r, 2, s, 0, FIRN_MARK_DURABLE);
	struct firn_fetch f = bed_fetch_of(r, 0, 0);
	const struct firn_fetched *got = bed_fetch(&bed, &f, NULL);
	cr_assert(got->n_part == 1 && got->part[0].slot == 2 && got->part[0].n_batch == 3);
	firn_release(got);
	f.max_wait_ms = FIRN_FOREVER;
	bed_submit(&bed, &f, 1);
	cr_expect_eq(bed_event(&bed, &ev, 20), 0);
	cr_assert_eq(firn_stream_mark_set(bed.volume, s, FIRN_MARK_VISIBLE, 6), 0);
	cr_assert_eq(bed_event(&bed, &ev, 5000), 1);
	got = ev.result; /* 6 lies inside the second batch: only the first is whole below it */
	cr_expect(got->n_part == 1 && got->part[0].slot == 0 && got->part[0].n_batch == 1);
	cr_expect(got->part[0].visible == 6 && got->part[0].stable == 0);
	firn_release(got);
	cr_assert_eq(firn_stream_mark_set(bed.volume, s, FIRN_MARK_VISIBLE, 12), 0);
	cr_assert_eq(firn_stream_mark_set(bed.volume, s, FIRN_MARK_STABLE, 8), 0);
	f.max_wait_ms = 1000;
	f.min_bytes = 16;
	got = bed_fetch(&bed, &f, NULL);
	cr_assert_eq(got->n_part, 2);
	cr_expect_eq(part_of_slot(got, 0)->next_offset, 12);
	cr_expect_eq(part_of_slot(got, 1)->next_offset, 8);
	firn_release(got);
	firn_reader_close(r);
}

Test(read, a_stream_that_is_not_there_or_goes_is_told)
{
	uint64_t s = bed_stream(&bed, "s");
	struct firn_reader *r = bed_reader(&bed, 0);
	struct firn_event ev;
	bed_set(&bed, r, 0, s, 0, FIRN_MARK_VISIBLE);
	struct firn_fetch f = bed_fetch_of(r, 0, FIRN_FOREVER);
	bed_submit(&bed, &f, 1);
	bed_delete(&bed, s);
	cr_assert_eq(bed_event(&bed, &ev, 5000), 1);
	const struct firn_fetched *got = ev.result;
	cr_expect(got->n_part == 1 && got->part[0].code == FIRN_ENOENT);
	firn_release(got);
	struct firn_item gone = { .slot = 0, .flags = FIRN_ITEM_REMOVE };
	cr_expect_eq(firn_reader_set(r, &gone, sizeof gone, 1), 0);
	cr_expect_eq(firn_reader_set(r, &gone, sizeof gone, 1), 0);
	f.max_wait_ms = 0;
	got = bed_fetch(&bed, &f, NULL);
	cr_expect_eq(got->n_part, 0);
	firn_release(got);
	firn_reader_close(r);
}

/* ---- results ---- */

Test(read, the_pin_budget_holds_and_a_release_lets_go_on)
{
	uint64_t s = bed_stream(&bed, "s");
	char big[1000];
	int code;
	memset(big, 'x', sizeof big);
	for (int i = 0; i < 10; i++)
		bed_append(&bed, s, big, sizeof big, 1, 0);
	struct firn_reader *r = bed_reader(&bed, 2100);
	bed_set(&bed, r, 0, s, 0, FIRN_MARK_VISIBLE);
	struct firn_fetch f = bed_fetch_of(r, 0, 0);
	const struct firn_fetched *first = bed_fetch(&bed, &f, NULL);
	cr_expect_eq(first->part[0].n_batch, 2);
	const struct firn_fetched *got = bed_fetch(&bed, &f, &code);
	cr_expect_eq(code, FIRN_EAGAIN, "%s", firn_code_name(code));
	struct firn_event ev;
	f.max_wait_ms = FIRN_FOREVER;
	bed_submit(&bed, &f, 1);
	cr_expect_eq(bed_event(&bed, &ev, 30), 0);
	firn_release(first);
	cr_assert_eq(bed_event(&bed, &ev, 5000), 1);
	got = ev.result;
	cr_expect(got->n_part == 1 && got->part[0].batch[0].offset == 2);
	firn_release(got);
	firn_reader_close(r);
}

Test(read, detaching_a_volume_ends_its_fetch_and_its_items_say_so)
{
	uint64_t s = bed_stream(&bed, "s");
	struct firn_reader *r = bed_reader(&bed, 0);
	struct firn_event ev;
	struct firn_error err = FIRN_ERROR_INIT;
	bed_set(&bed, r, 0, s, 0, FIRN_MARK_VISIBLE);
	struct firn_fetch f = bed_fetch_of(r, 0, FIRN_FOREVER);
	bed_submit(&bed, &f, 1);
	cr_assert_eq(firn_volume_close(bed.volume, &err), 0, "%s", err.text);
	bed.volume = NULL;
	cr_assert_eq(bed_event(&bed, &ev, 5000), 1);
	cr_expect_eq(ev.code, FIRN_ECANCELED);
	firn_release(ev.result);
	f.max_wait_ms = 0;
	const struct firn_fetched *got = bed_fetch(&bed, &f, NULL);
	cr_expect(got->n_part == 1 && got->part[0].code == FIRN_ESHUTDOWN);
	firn_release(got);
	firn_reader_close(r);
}

/* ---- look-ups ---- */

static void lookups(uint64_t s)
{
	struct firn_event ev;
	cr_assert_eq(bed_lookup(&bed, s, FIRN_BY_TIMESTAMP, 150, &ev), 0);
	cr_expect(ev.offset == 2 && ev.end == 4 && ev.timestamp_ms == 300, "at %lu",
	          (unsigned long)ev.offset);
	cr_assert_eq(bed_lookup(&bed, s, FIRN_BY_TIMESTAMP, 301, &ev), 0);
	cr_expect_eq(ev.offset, 8);
	cr_assert_eq(bed_lookup(&bed, s, FIRN_BY_TIMESTAMP, 0, &ev), 0);
	cr_expect_eq(ev.offset, 0);
	cr_expect_eq(bed_lookup(&bed, s, FIRN_BY_TIMESTAMP, 1000, &ev), FIRN_ENOENT);
	cr_expect_eq(ev.stream, s);
	cr_assert_eq(bed_lookup(&bed, s, FIRN_BY_MAX_TIMESTAMP, 0, &ev), 0);
	cr_expect(ev.offset == 8 && ev.timestamp_ms == 400);
	cr_assert_eq(bed_lookup(&bed, s, FIRN_BY_EPOCH, 1000, &ev), 0);
	cr_expect_eq(ev.end, 12);
	cr_expect_eq(bed_lookup(&bed, s, FIRN_BY_EPOCH, 0, &ev), FIRN_ENOENT);
	cr_expect_eq(bed_lookup(&bed, s + 1000, FIRN_BY_TIMESTAMP, 0, &ev), FIRN_ENOENT);
}

Test(read, lookups_find_the_same_in_tail_and_store)
{
	static const int64_t ms[] = { 100, 300, 200, 250, 400, 400 };
	uint64_t s = bed_stream(&bed, "s");
	for (int i = 0; i < 3; i++)
		bed_append(&bed, s, "x", 1, 2, ms[i]);
	for (int i = 3; i < 6; i++)
		bed_append(&bed, s, "x", 1, 2, ms[i]);
	lookups(s);
	bed_store(&bed);
	lookups(s);
}

Test(read, lookups_cross_from_store_to_tail)
{
	static const int64_t ms[] = { 100, 300, 200, 250, 400, 400 };
	uint64_t s = bed_stream(&bed, "s");
	for (int i = 0; i < 3; i++)
		bed_append(&bed, s, "x", 1, 2, ms[i]);
	bed_store(&bed);
	for (int i = 3; i < 6; i++)
		bed_append(&bed, s, "x", 1, 2, ms[i]);
	lookups(s);
}

/* ---- arguments ---- */

Test(read, what_this_release_does_not_have_is_refused)
{
	struct firn_reader *r = bed_reader(&bed, 0);
	struct firn_item it = { .volume = bed.volume, .stream = 1, .flags = 2 };
	cr_expect_eq(firn_reader_set(r, &it, sizeof it, 1), FIRN_EUNSUPPORTED);
	it.flags = 0;
	it.object = (struct firn_object *)(void *)r;
	cr_expect_eq(firn_reader_set(r, &it, sizeof it, 1), FIRN_EUNSUPPORTED);
	it.object = NULL;
	it.volume = NULL;
	cr_expect_eq(firn_reader_set(r, &it, sizeof it, 1), FIRN_EINVAL);
	struct firn_fetch f = bed_fetch_of(r, 64, 0);
	int code;
	cr_expect_null(bed_fetch(&bed, &f, &code));
	cr_expect_eq(code, FIRN_EUNSUPPORTED);
	firn_reader_close(r);
	firn_reader_close(NULL);
}
