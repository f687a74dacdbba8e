/* The table of duplicate rules, one truth at a time; dedup_model_test.c has the rest. (P3) */
#include "engine/admit/dedup.h"
#include "tests/unit/admit/fixture.h"
#include <criterion/criterion.h>
#include <firn/error.h>
#include <string.h>

TestSuite(dedup, .timeout = 30);

static const struct dedup_limits usual = { .window = 3,
	                                   .seq_bits = 31,
	                                   .producer_expire_ms = 1000,
	                                   .key_window_ms = 500,
	                                   .key_window_n = 4,
	                                   .max_producers = 3 };

/* A stream: its batches get offset 100, 101 ... and rev 10, 11 ... */
struct stream {
	const struct firn_env *env;
	struct dedup *d;
	struct dedup_limits lim;
	uint64_t offset, rev, write_id;
	int64_t now;
	enum dedup_verdict verdict;
	struct dedup_answer answer;
};

static struct stream begin(void)
{
	return (struct stream){
		.env = env_default(), .lim = usual, .offset = 100, .rev = 10, .now = 5000
	};
}

static struct batch batch(uint64_t id, uint32_t epoch, uint64_t seq, uint32_t n, uint16_t mode)
{
	return (struct batch){ .producer_id = id,
		               .producer_epoch = epoch,
		               .producer_seq = seq,
		               .n_offsets = n,
		               .flags = (uint16_t)(BATCH_PRODUCER | mode) };
}

static struct batch keyed(const char *key)
{
	return (struct batch){ .n_offsets = 1,
		               .key = (const uint8_t *)key,
		               .key_len = (uint8_t)strlen(key) };
}

static int check(struct stream *s, const struct batch *b)
{
	return dedup_check(&s->d, s->env, &s->lim, b, s->write_id, s->now, &s->verdict, &s->answer);
}

static int remember(struct stream *s, struct batch *b)
{
	b->offset = s->offset;
	b->rev = s->rev++;
	b->append_ms = s->now;
	s->offset += b->n_offsets;
	return dedup_remember(&s->d, s->env, &s->lim, b);
}

/* A write of one batch: its code; a new one is remembered. */
static int add(struct stream *s, struct batch b)
{
	s->write_id++;
	int rc = check(s, &b);
	if (!rc && s->verdict == DEDUP_NEW)
		cr_assert_eq(remember(s, &b), FIRN_OK);
	return rc;
}

static bool is_new(struct stream *s, struct batch b)
{
	return add(s, b) == FIRN_OK && s->verdict == DEDUP_NEW;
}

static bool is_duplicate_of(struct stream *s, struct batch b, uint64_t offset, uint64_t rev)
{
	return add(s, b) == FIRN_OK && s->verdict == DEDUP_DUPLICATE &&
	       s->answer.offset == offset && s->answer.rev == rev;
}

static bool is_refused(struct stream *s, struct batch b, int code, uint64_t expected)
{
	return add(s, b) == code && s->answer.expected == expected;
}

Test(dedup, a_retry_gets_the_first_offset)
{
	struct stream s = begin();
	cr_expect(is_new(&s, batch(1, 0, 0, 5, 0)));
	cr_expect(is_new(&s, batch(1, 0, 5, 2, 0)));
	cr_expect(is_duplicate_of(&s, batch(1, 0, 0, 5, 0), 100, 10));
	cr_expect_eq(s.answer.n_offsets, 5);
	cr_expect(is_duplicate_of(&s, batch(1, 0, 5, 2, 0), 105, 11));
	dedup_close(s.d);
}

Test(dedup, without_state_any_sequence_is_taken)
{
	struct stream s = begin();
	cr_expect(is_new(&s, batch(1, 7, 42, 1, 0)));
	cr_expect(is_new(&s, batch(2, 0, 42, 1, BATCH_SEQ_RISING)));
	cr_expect(is_new(&s, batch(3, 3, 42, 1, BATCH_SEQ_NONE)));
	dedup_close(s.d);
}

Test(dedup, exact_refuses_gaps_and_what_the_window_has_lost)
{
	struct stream s = begin();
	for (uint64_t seq = 0; seq < 4; seq++)
		cr_expect(is_new(&s, batch(1, 0, seq, 1, 0)));
	cr_expect(is_refused(&s, batch(1, 0, 5, 1, 0), FIRN_ESEQ, 4));
	cr_expect(is_refused(&s, batch(1, 0, 0, 1, 0), FIRN_ESEQ, 4));
	cr_expect(is_refused(&s, batch(1, 0, 1, 2, 0), FIRN_ESEQ, 4));
	cr_expect(is_duplicate_of(&s, batch(1, 0, 1, 1, 0), 101, 11));
	dedup_close(s.d);
}

Test(dedup, sequences_wrap_at_their_bits)
{
	struct stream s = begin();
	cr_expect(is_new(&s, batch(1, 0, INT32_MAX - 1, 2, 0)));
	cr_expect(is_new(&s, batch(1, 0, 0, 1, 0)));
	cr_expect(is_duplicate_of(&s, batch(1, 0, INT32_MAX - 1, 2, 0), 100, 10));
	cr_expect(is_new(&s, batch(2, 0, INT32_MAX, 3, BATCH_SEQ_RISING)));
	cr_expect(is_new(&s, batch(2, 0, 9, 1, BATCH_SEQ_RISING)));
	cr_expect(is_refused(&s, batch(1, 0, UINT64_C(1) << 31, 1, 0), FIRN_EINVAL, 0));
	cr_expect_eq(dedup_seq_add(UINT64_MAX, 2, 0), 1);
	cr_expect_eq(dedup_seq_add(INT32_MAX, 2, 31), 1);
	dedup_close(s.d);
}

Test(dedup, an_old_epoch_is_fenced_in_every_mode)
{
	struct stream s = begin();
	static const uint16_t modes[] = { 0, BATCH_SEQ_RISING, BATCH_SEQ_NONE };
	cr_expect(is_new(&s, batch(1, 3, 0, 1, 0)));
	for (size_t i = 0; i < 3; i++)
		cr_expect(is_refused(&s, batch(1, 2, 0, 1, modes[i]), FIRN_EPRODUCER, 3));
	dedup_close(s.d);
}

Test(dedup, a_new_epoch_begins_at_0_and_empties_the_window)
{
	struct stream s = begin();
	cr_expect(is_new(&s, batch(1, 1, 0, 1, 0)));
	cr_expect(is_new(&s, batch(1, 1, 1, 1, 0)));
	cr_expect(is_refused(&s, batch(1, 2, 2, 1, 0), FIRN_ESEQ, 0));
	cr_expect(is_new(&s, batch(1, 2, 0, 1, 0)));
	cr_expect(is_new(&s, batch(1, 2, 1, 1, 0)));
	cr_expect(is_new(&s, batch(1, 3, 9, 1, BATCH_SEQ_RISING)));
	cr_expect(is_new(&s, batch(1, 4, 9, 1, BATCH_SEQ_NONE)));
	cr_expect(is_refused(&s, batch(1, 4, 9, 1, 0), FIRN_ESEQ, 0));
	cr_expect(is_new(&s, batch(1, 4, 0, 1, 0)));
	dedup_close(s.d);
}

Test(dedup, none_leaves_sequences_alone)
{
	struct stream s = begin();
	cr_expect(is_new(&s, batch(1, 0, 0, 3, 0)));
	cr_expect(is_new(&s, batch(1, 0, 0, 3, BATCH_SEQ_NONE)));
	cr_expect(is_new(&s, batch(1, 0, 77, 1, BATCH_SEQ_NONE)));
	cr_expect(is_duplicate_of(&s, batch(1, 0, 0, 3, 0), 100, 10));
	cr_expect(is_new(&s, batch(1, 0, 3, 1, 0)));
	dedup_close(s.d);
}

Test(dedup, rising_takes_gaps_and_answers_the_past_with_the_last_known_offset)
{
	struct stream s = begin();
	cr_expect(is_new(&s, batch(1, 0, 10, 1, BATCH_SEQ_RISING)));
	cr_expect(is_new(&s, batch(1, 0, 50, 2, BATCH_SEQ_RISING)));
	cr_expect(is_duplicate_of(&s, batch(1, 0, 10, 1, BATCH_SEQ_RISING), 100, 10));
	cr_expect(is_duplicate_of(&s, batch(1, 0, 30, 1, BATCH_SEQ_RISING), 101, 11));
	cr_expect_eq(s.answer.n_offsets, 2);
	dedup_close(s.d);
}

Test(dedup, rising_refuses_a_batch_that_is_half_known)
{
	struct stream s = begin();
	cr_expect(is_new(&s, batch(1, 0, 10, 5, BATCH_SEQ_RISING)));
	cr_expect(is_refused(&s, batch(1, 0, 13, 5, BATCH_SEQ_RISING), FIRN_ESEQ, 15));
	dedup_close(s.d);
}

Test(dedup, rising_sequences_of_64_bits_may_leap)
{
	struct stream s = begin();
	s.lim.seq_bits = 0;
	cr_expect(is_new(&s, batch(1, 0, 1, 1, BATCH_SEQ_RISING)));
	cr_expect(is_new(&s, batch(1, 0, UINT64_MAX - 5, 1, BATCH_SEQ_RISING)));
	cr_expect(is_duplicate_of(&s, batch(1, 0, 7, 1, BATCH_SEQ_RISING), 101, 11));
	dedup_close(s.d);
}

Test(dedup, a_silent_producer_is_forgotten)
{
	struct stream s = begin();
	cr_expect(is_new(&s, batch(1, 5, 0, 1, 0)));
	s.now += 999;
	cr_expect(is_duplicate_of(&s, batch(1, 5, 0, 1, 0), 100, 10));
	s.now += 1;
	cr_expect(is_new(&s, batch(1, 4, 77, 1, 0)));
	s.now += 1000;
	cr_expect(is_new(&s, batch(2, 0, 0, 1, 0)));
	cr_expect_eq(dedup_n_producers(s.d), 1);
	dedup_close(s.d);
}

Test(dedup, beyond_the_bound_the_least_recently_seen_is_forgotten)
{
	struct stream s = begin();
	for (uint64_t id = 1; id <= 3; id++)
		cr_expect(is_new(&s, batch(id, 0, 0, 1, 0)));
	cr_expect(is_new(&s, batch(1, 0, 1, 1, 0)));
	cr_expect(is_new(&s, batch(4, 0, 0, 1, 0)));
	cr_expect_eq(dedup_n_producers(s.d), 3);
	cr_expect(is_duplicate_of(&s, batch(1, 0, 0, 1, 0), 100, 10));
	cr_expect(is_new(&s, batch(2, 0, 33, 1, 0)));
	dedup_close(s.d);
}

Test(dedup, one_write_may_carry_several_batches_of_a_producer)
{
	struct stream s = begin();
	struct batch a = batch(1, 0, 0, 3, 0), b = batch(1, 0, 3, 2, 0), c = batch(1, 0, 3, 2, 0);
	s.write_id = 1;
	cr_expect_eq(check(&s, &a), FIRN_OK);
	cr_expect_eq(check(&s, &b), FIRN_OK);
	cr_expect_eq(check(&s, &c), FIRN_ESEQ); /* not twice in one write */
	cr_expect_eq(s.answer.expected, 5);
	s.write_id = 2; /* that one was refused: nothing of it stays */
	cr_expect_eq(check(&s, &b), FIRN_OK);
	s.write_id = 3;
	cr_expect_eq(check(&s, &a), FIRN_OK);
	cr_expect_eq(check(&s, &b), FIRN_OK);
	cr_expect_eq(remember(&s, &a), FIRN_OK);
	cr_expect_eq(remember(&s, &b), FIRN_OK);
	cr_expect(is_duplicate_of(&s, batch(1, 0, 3, 2, 0), 103, 11));
	cr_expect(is_new(&s, batch(1, 0, 5, 1, 0)));
	dedup_close(s.d);
}

Test(dedup, a_refused_write_leaves_no_memory_behind)
{
	struct stream s = begin();
	cr_expect(is_new(&s, batch(1, 0, 0, 1, 0)));
	uint64_t before = 0;
	for (uint64_t id = 10; id < 100; id++) {
		struct batch b = batch(id, 0, 0, 1, 0);
		b.key = (const uint8_t *)&b.producer_id;
		b.key_len = 8;
		s.write_id++;
		cr_expect_eq(check(&s, &b), FIRN_OK);
		before = before ? before : dedup_bytes(s.d);
	}
	cr_expect_eq(dedup_bytes(s.d), before);
	cr_expect_eq(dedup_n_producers(s.d), 1);
	dedup_close(s.d);
}

Test(dedup, a_known_key_is_a_duplicate)
{
	struct stream s = begin();
	cr_expect(is_new(&s, keyed("a")));
	cr_expect(is_new(&s, keyed("ab")));
	cr_expect(is_duplicate_of(&s, keyed("a"), 100, 10));
	cr_expect(is_duplicate_of(&s, keyed("ab"), 101, 11));
	dedup_close(s.d);
}

Test(dedup, keys_are_forgotten_by_number_and_by_age)
{
	struct stream s = begin();
	static const char *const keys[] = { "a", "b", "c", "d", "e" };
	for (size_t i = 0; i < 5; i++)
		cr_expect(is_new(&s, keyed(keys[i])));
	cr_expect(is_duplicate_of(&s, keyed("b"), 101, 11));
	cr_expect(is_new(&s, keyed("a")));
	s.now += 499;
	cr_expect(is_duplicate_of(&s, keyed("e"), 104, 14));
	s.now += 1;
	cr_expect(is_new(&s, keyed("e")));
	dedup_close(s.d);
}

Test(dedup, without_a_key_window_keys_mean_nothing)
{
	struct stream s = begin();
	s.lim.key_window_ms = s.lim.key_window_n = 0;
	cr_expect(is_new(&s, keyed("a")));
	cr_expect(is_new(&s, keyed("a")));
	cr_expect_null(s.d);
}

Test(dedup, a_key_twice_in_one_write_is_refused)
{
	struct stream s = begin();
	struct batch a = keyed("a"), b = keyed("b");
	s.write_id = 1;
	cr_expect_eq(check(&s, &a), FIRN_OK);
	cr_expect_eq(check(&s, &b), FIRN_OK);
	cr_expect_eq(check(&s, &a), FIRN_EINVAL);
	s.write_id = 2;
	cr_expect_eq(check(&s, &a), FIRN_OK);
	cr_expect_eq(s.verdict, DEDUP_NEW);
	dedup_close(s.d);
}

Test(dedup, what_was_checked_is_remembered_without_memory)
{
	struct scarce scarce;
	scarce_init(&scarce, 100);
	struct stream s = begin();
	s.env = &scarce.env;
	s.lim.max_producers = 1;
	struct batch write[] = { batch(1, 0, 0, 1, 0), batch(2, 0, 0, 1, 0), batch(1, 0, 1, 1, 0) };
	write[1].key = (const uint8_t *)"k";
	write[1].key_len = 1;
	s.write_id = 1;
	for (size_t i = 0; i < 3; i++)
		cr_assert_eq(check(&s, &write[i]), FIRN_OK);
	scarce.left = 0;
	for (size_t i = 0; i < 3; i++)
		cr_assert_eq(remember(&s, &write[i]), FIRN_OK);
	cr_expect_eq(dedup_n_producers(s.d), 1);
	dedup_close(s.d);
	cr_expect_eq(scarce.in_use, 0);
}

Test(dedup, an_old_key_that_comes_again_needs_no_memory_either)
{
	struct scarce scarce;
	scarce_init(&scarce, 100);
	struct stream s = begin();
	s.env = &scarce.env;
	cr_expect(is_new(&s, keyed("old")));
	s.now += 500;
	struct batch write[] = { keyed("new"), keyed("old") };
	s.write_id++;
	cr_assert(check(&s, &write[0]) == FIRN_OK && check(&s, &write[1]) == FIRN_OK);
	scarce.left = 0; /* remembering the first must not forget the entry of the second */
	cr_expect_eq(remember(&s, &write[0]), FIRN_OK);
	cr_expect_eq(remember(&s, &write[1]), FIRN_OK);
	dedup_close(s.d);
	cr_expect_eq(scarce.in_use, 0);
}

Test(dedup, without_memory_nothing_has_changed)
{
	struct scarce scarce;
	scarce_init(&scarce, 0);
	struct stream s = begin();
	s.env = &scarce.env;
	struct batch b = batch(1, 0, 9, 1, 0);
	b.key = (const uint8_t *)"k";
	b.key_len = 1;
	int rc = FIRN_ENOMEM, n = 0;
	for (; rc == FIRN_ENOMEM; n++) {
		scarce.left = n;
		s.write_id++;
		rc = check(&s, &b);
		cr_expect(rc == FIRN_OK || rc == FIRN_ENOMEM);
		cr_expect_eq(dedup_n_producers(s.d), 0);
		cr_assert(n < 20);
	}
	cr_expect_eq(s.verdict, DEDUP_NEW);
	dedup_close(s.d);
	s.d = NULL;
	for (n = 0, rc = FIRN_ENOMEM; rc == FIRN_ENOMEM; n++) { /* replay: without a check */
		scarce.left = n;
		rc = remember(&s, &b);
		cr_assert(n < 20);
	}
	cr_expect_eq(dedup_n_producers(s.d), 1);
	dedup_close(s.d);
	cr_expect_eq(scarce.in_use, 0);
}

Test(dedup, the_list_is_ordered_and_pages)
{
	struct stream s = begin();
	static const uint64_t ids[] = { 9, 0, 4, 7, 2, 8, 1 };
	struct firn_producer out[8];
	s.lim.max_producers = 0;
	for (size_t i = 0; i < 7; i++)
		cr_expect(is_new(&s, batch(ids[i], 3, ids[i], 2, 0)));
	cr_expect_eq(dedup_list(s.d, UINT64_MAX, out, sizeof *out, 8), 7);
	cr_expect(out[0].producer_id == 0 && out[2].producer_id == 2 && out[6].producer_id == 9);
	cr_expect(out[6].seq_next == 11 && out[6].last_offset == 101 &&
	          out[6].producer_epoch == 3 && out[6].last_ms == s.now);
	cr_expect_eq(dedup_list(s.d, 1, out, sizeof *out, 3), 3);
	cr_expect(out[0].producer_id == 2 && out[1].producer_id == 4 && out[2].producer_id == 7);
	cr_expect_eq(dedup_list(s.d, 7, out, 16, 8), 2); /* of a caller that knows less */
	cr_expect_eq(dedup_list(NULL, UINT64_MAX, out, sizeof *out, 8), 0);
	uint64_t first[4];
	memcpy(first, out, sizeof first);
	cr_expect(first[0] == 8 && first[1] == 10 && first[2] == 9 && first[3] == 11);
	dedup_close(s.d);
}

Test(dedup, what_is_loaded_counts_as_remembered)
{
	struct stream s = begin();
	const struct producer_batch batches[] = { { 5, 50, 3, 1, 1 }, { 6, 51, 4, 2, 2 } };
	for (uint64_t id = 1; id <= 3; id++) { /* the last is the one seen longest ago */
		struct producer_change p = { .producer_id = id,
			                     .producer_epoch = 2,
			                     .n_batch = 2,
			                     .seq_next = 8,
			                     .last_ms = s.now - (int64_t)id,
			                     .batch = batches };
		cr_expect_eq(dedup_load_producer(&s.d, s.env, &s.lim, &p), FIRN_OK);
	}
	struct key_entry k = { .offset = 50,
		               .rev = 3,
		               .n_offsets = 1,
		               .key_len = 1,
		               .append_ms = s.now - 9,
		               .key = (const uint8_t *)"k" };
	cr_expect_eq(dedup_load_key(&s.d, s.env, &s.lim, &k), FIRN_OK);
	k.key_len = 33;
	cr_expect_eq(dedup_load_key(&s.d, s.env, &s.lim, &k), FIRN_ECORRUPT);
	cr_expect(is_duplicate_of(&s, keyed("k"), 50, 3));
	cr_expect(is_duplicate_of(&s, batch(1, 2, 6, 2, 0), 51, 4));
	cr_expect(is_refused(&s, batch(2, 1, 8, 1, 0), FIRN_EPRODUCER, 2));
	cr_expect(is_new(&s, batch(2, 2, 8, 1, 0)));
	cr_expect(is_new(&s, batch(4, 0, 0, 1, 0)));
	cr_expect_eq(dedup_n_producers(s.d), 3);
	cr_expect(is_new(&s, batch(3, 0, 99, 1, 0)));
	dedup_close(s.d);
}
