/* What a rewrite does to the index: extents move, what died meanwhile stays dead, and a segment in which something lies that
 * was not moved does not go. */
#include "engine/index/fold.h"
#include "engine/os/env.h"
#include "index_model.h"
#include <criterion/criterion.h>
#include <string.h>

TestSuite(index_rewrite, .timeout = 60);

enum { NUMBER = 7, STREAM = 5 };

static const struct segment_id old_id = { 1, 2 }, new_id = { 1, 9 };

static char dir[128];
static struct index *ix;
static struct firn_error err;

static void begin(struct index_tx *tx)
{
	err = (struct firn_error)FIRN_ERROR_INIT;
	cr_assert_eq(index_tx_write(ix, tx, &err), 0, "%s", err.text);
}

static struct block_entry block(uint64_t base, uint64_t next, int64_t t)
{
	return (struct block_entry){ .stream = STREAM,
		                     .base = base,
		                     .next = next,
		                     .n_batch = 1,
		                     .min_timestamp_ms = t,
		                     .max_timestamp_ms = t,
		                     .payload_bytes = next - base };
}

static struct manifest_segment segment(struct segment_id id, uint32_t n_block)
{
	return (struct manifest_segment){ .id = id,
		                          .bytes = 1000,
		                          .footer_pos = 900,
		                          .rev_from = 1,
		                          .rev_to = 5,
		                          .n_parts = 1,
		                          .n_block = n_block };
}

/* Three blocks of the stream in one segment; the first has the largest time. */
static void setup(void)
{
	struct index_tx tx;
	struct manifest_segment s = segment(old_id, 3);
	struct block_entry e[] = { block(0, 10, 30), block(10, 20, 10), block(20, 30, 20) };
	model_dir_make(dir);
	cr_assert_eq(index_open(env_default(), dir, &ix, &err), 0, "%s", err.text);
	begin(&tx);
	cr_assert_eq(index_fold_segment(&tx, NUMBER, &s), 0);
	for (size_t i = 0; i < 3; i++)
		cr_assert_eq(index_fold_block(&tx, NUMBER, old_id, &e[i]), 0);
	cr_assert_eq(index_live_flush(&tx), 0);
	cr_assert_eq(index_tx_commit(&tx), 0);
}

static void teardown(void)
{
	index_close(ix);
	model_dir_remove(dir);
}

static void trim(uint64_t start)
{
	struct index_tx tx;
	begin(&tx);
	cr_assert_eq(index_fold_trim(&tx, NUMBER, STREAM, start), 0);
	cr_assert_eq(index_live_flush(&tx), 0);
	cr_assert_eq(index_tx_commit(&tx), 0);
}

static int fold(const struct index_rewrite *rw)
{
	struct index_tx tx;
	begin(&tx);
	return index_tx_finish(&tx, index_fold_rewrite(&tx, NUMBER, rw));
}

static struct index_extent at(uint64_t offset)
{
	struct index_extent x = { 0 };
	cr_assert_eq(index_extent_find(ix, NUMBER, STREAM, offset, &x, &err), 0, "%s", err.text);
	return x;
}

static uint32_t live_in(struct segment_id id)
{
	struct index_segment s;
	int rc = index_segment_get(ix, NUMBER, id, &s, &err);
	cr_assert(!rc || rc == FIRN_ENOENT);
	return rc ? UINT32_MAX : s.n_live;
}

/* The first block loses what is below 4. */
static struct index_move moves[3];
static struct manifest_segment added;
static struct index_rewrite rewrite_of(uint32_t first, uint32_t n)
{
	uint64_t base[] = { 4, 10, 20 };
	int64_t t[] = { 15, 10, 20 };
	for (uint32_t i = 0; i < 3; i++)
		moves[i] = (struct index_move){ .to = new_id,
			                        .base = i * 10,
			                        .block = block(base[i], (i + 1) * 10, t[i]) };
	added = segment(new_id, n);
	return (struct index_rewrite){ .gone = &old_id,
		                       .added = &added,
		                       .move = &moves[first],
		                       .n_gone = 1,
		                       .n_added = 1,
		                       .n_move = n };
}

Test(index_rewrite, extents_move_and_the_old_segment_goes, .init = setup, .fini = teardown)
{
	struct index_extent x;
	struct index_rewrite rw = rewrite_of(0, 3);
	for (int again = 0; again < 2; again++) { /* the same commit once more changes nothing */
		cr_assert_eq(index_rewrite_check(ix, NUMBER, &rw, &err), 0, "%s", err.text);
		cr_assert_eq(fold(&rw), 0, "%s", err.text);
		cr_expect_eq(at(0).block.base, 4, "what was trimmed of it is left out");
		for (uint64_t o = 4; o < 30; o++)
			cr_expect(segment_id_equal(at(o).segment, new_id) && at(o).block.base <= o);
		cr_expect_eq(live_in(old_id), UINT32_MAX);
		cr_expect_eq(live_in(new_id), 3);
		/* The largest time was in what is left out: still nothing is searched in vain. */
		cr_expect_eq(index_extent_by_time(ix, NUMBER, STREAM, 0, 25, &x, &err),
		             FIRN_ENOENT);
		cr_expect_eq(index_extent_by_time(ix, NUMBER, STREAM, 0, 20, &x, &err), 0);
		cr_expect_eq(x.block.base, 20);
	}
}

Test(index_rewrite, what_died_meanwhile_stays_dead, .init = setup, .fini = teardown)
{
	struct index_rewrite rw = rewrite_of(0, 3);
	trim(12); /* into the second block */
	cr_assert_eq(index_rewrite_check(ix, NUMBER, &rw, &err), 0, "%s", err.text);
	cr_assert_eq(fold(&rw), 0, "%s", err.text);
	cr_expect_eq(at(0).block.base, 10);
	cr_expect_eq(live_in(old_id), UINT32_MAX);
	cr_expect_eq(live_in(new_id), 2);
}

Test(index_rewrite, a_segment_in_which_something_lies_does_not_go, .init = setup, .fini = teardown)
{
	struct index_rewrite rw = rewrite_of(0, 2);
	cr_expect_eq(index_rewrite_check(ix, NUMBER, &rw, &err), FIRN_ECORRUPT);
	cr_expect_eq(fold(&rw), FIRN_ECORRUPT);
	cr_expect_eq(live_in(old_id), 3, "nothing was changed");
	cr_expect_eq(live_in(new_id), UINT32_MAX);
}

Test(index_rewrite, a_block_that_ends_elsewhere_is_another, .init = setup, .fini = teardown)
{
	struct index_rewrite rw = rewrite_of(0, 3);
	moves[1].block.next = 19;
	cr_expect_eq(index_rewrite_check(ix, NUMBER, &rw, &err), FIRN_ECORRUPT);
}

/* All three, as one block of the new segment. */
static struct index_rewrite gather(void)
{
	struct index_rewrite rw = rewrite_of(0, 1);
	moves[0].block = block(0, 30, 30);
	moves[0].block.min_timestamp_ms = 10;
	return rw;
}

Test(index_rewrite, several_become_one, .init = setup, .fini = teardown)
{
	struct index_extent x;
	struct index_rewrite rw = gather();
	for (int again = 0; again < 2; again++) {
		cr_assert_eq(index_rewrite_check(ix, NUMBER, &rw, &err), 0, "%s", err.text);
		cr_assert_eq(fold(&rw), 0, "%s", err.text);
		for (uint64_t o = 0; o < 30; o++)
			cr_expect(segment_id_equal(at(o).segment, new_id) && at(o).block.base == 0);
		cr_expect_eq(live_in(old_id), UINT32_MAX);
		cr_expect_eq(live_in(new_id), 1);
		cr_expect_eq(index_extent_by_time(ix, NUMBER, STREAM, 0, 25, &x, &err), 0);
		cr_expect_eq(x.block.next, 30);
		cr_expect_eq(index_extent_by_time(ix, NUMBER, STREAM, 0, 31, &x, &err),
		             FIRN_ENOENT);
	}
}

Test(index_rewrite, of_several_a_part_may_have_died, .init = setup, .fini = teardown)
{
	struct index_rewrite rw = gather();
	trim(12);
	cr_assert_eq(index_rewrite_check(ix, NUMBER, &rw, &err), 0, "%s", err.text);
	cr_assert_eq(fold(&rw), 0, "%s", err.text);
	cr_expect_eq(at(12).block.next, 30);
	cr_expect_eq(live_in(old_id), UINT32_MAX);
	cr_expect_eq(live_in(new_id), 1);
	trim(30);
	cr_expect_eq(live_in(new_id), 0);
}

Test(index_rewrite, of_several_all_may_have_died, .init = setup, .fini = teardown)
{
	struct index_extent x;
	struct index_rewrite rw = gather();
	trim(30);
	cr_assert_eq(index_rewrite_check(ix, NUMBER, &rw, &err), 0, "%s", err.text);
	cr_assert_eq(fold(&rw), 0, "%s", err.text);
	cr_expect_eq(index_extent_find(ix, NUMBER, STREAM, 0, &x, &err), FIRN_ENOENT);
	cr_expect_eq(live_in(new_id), 0);
}

/* The one in the middle lies in a segment that stays. */
Test(index_rewrite, a_block_is_not_put_over_another, .init = setup, .fini = teardown)
{
	struct index_tx tx;
	struct segment_id other = { 1, 3 };
	struct manifest_segment s = segment(other, 1);
	struct block_entry e = block(10, 20, 10);
	begin(&tx);
	cr_assert_eq(index_fold_segment(&tx, NUMBER, &s), 0);
	cr_assert_eq(index_fold_block(&tx, NUMBER, other, &e), 0);
	cr_assert_eq(index_live_flush(&tx), 0);
	cr_assert_eq(index_tx_commit(&tx), 0);
	struct index_rewrite rw = gather();
	cr_expect_eq(index_rewrite_check(ix, NUMBER, &rw, &err), FIRN_ECORRUPT);
	cr_expect_eq(fold(&rw), FIRN_ECORRUPT);
	cr_expect(segment_id_equal(at(12).segment, other));
	cr_expect_eq(live_in(old_id), 2, "nothing was changed");
}
