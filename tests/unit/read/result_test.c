/* The answer of a fetch: batches gathered in turns come out by part, in order, neighbours
 * joined, and what they lie in is held until the release. */
#include "engine/os/env.h"
#include "engine/read/read.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(read_result, .timeout = 30);

struct made {
	struct account *account;
	struct builder b;
	struct read_pin *pin;
	struct reader_item item[3];
	struct blob *blob;
	uint8_t *bytes;
};

static void make(struct made *m)
{
	memset(m, 0, sizeof *m);
	m->account = account_new(env_default());
	m->b.account = m->account;
	m->pin = calloc(1, sizeof *m->pin);
	m->pin->account = m->account;
	atomic_init(&m->pin->refs, 1);
	account_retain(m->account);
	m->blob = blob_new(m->account, 100, &m->bytes);
	for (uint32_t i = 0; i < 3; i++)
		m->item[i] = (struct reader_item){ .slot = 10 + i, .part = READ_NO_PART };
}

static void unmake(struct made *m)
{
	build_fini(&m->b);
	blob_release(m->blob);
	pin_release(m->pin);
	account_release(m->account);
}

static void add(struct made *m, uint32_t i, uint64_t offset, uint32_t at, uint32_t len)
{
	struct build_part *p;
	struct batch b = {
		.offset = offset, .n_offsets = 1, .payload = m->bytes + at, .payload_len = len
	};
	if (m->item[i].part == READ_NO_PART)
		cr_assert_eq(build_part_add(&m->b, &m->item[i], &p), 0);
	cr_assert_eq(build_batch_add(&m->b, m->item[i].part, &b, false), 0);
}

Test(read_result, batches_gathered_in_turns_come_by_part_in_order)
{
	struct made m;
	make(&m);
	add(&m, 0, 5, 0, 10);
	add(&m, 1, 1, 50, 10);
	add(&m, 0, 6, 10, 10);
	add(&m, 1, 2, 70, 10);
	add(&m, 0, 7, 20, 5);
	const struct firn_fetched *f = build_finish(&m.b, m.pin);
	cr_assert(f && f->n_part == 2 && f->bytes == 45);
	cr_expect(f->part[0].slot == 10 && f->part[0].n_batch == 3 && f->part[0].bytes == 25);
	for (uint32_t i = 0; i < 3; i++)
		cr_expect_eq(f->part[0].batch[i].offset, 5 + i);
	cr_expect_eq(f->part[0].n_iov, 1, "neighbours are one piece");
	cr_expect(f->part[0].iov[0].iov_base == m.bytes && f->part[0].iov[0].iov_len == 25);
	cr_expect(f->part[1].slot == 11 && f->part[1].n_iov == 2 &&
	          f->part[1].iov[1].iov_len == 10);
	firn_release(f);
	unmake(&m);
}

Test(read_result, the_part_of_a_slot_that_was_set_anew_goes)
{
	struct made m;
	make(&m);
	add(&m, 0, 5, 0, 10);
	add(&m, 1, 1, 50, 10);
	add(&m, 2, 1, 60, 10);
	m.b.part[1].item = NULL;
	const struct firn_fetched *f = build_finish(&m.b, m.pin);
	cr_assert(f && f->n_part == 2 && f->bytes == 20);
	cr_expect(f->part[0].slot == 10 && f->part[1].slot == 12);
	cr_expect(f->part[1].batch[0].data == m.bytes + 60 &&
	          f->part[1].iov[0].iov_base == m.bytes + 60);
	firn_release(f);
	unmake(&m);
}

Test(read_result, it_holds_its_bytes_and_counts_them_until_released)
{
	struct made m;
	make(&m);
	add(&m, 0, 0, 0, 100);
	struct hold h = { .blob = m.blob };
	cr_assert_eq(build_hold_add(&m.b, &h), 0);
	const struct firn_fetched *f = build_finish(&m.b, m.pin);
	cr_assert_not_null(f);
	build_reset(&m.b);
	cr_expect_eq(m.blob->refs, 2);
	cr_expect(m.pin->bytes >= 100 && m.account->pin_bytes >= m.blob->charge);
	uint64_t pinned = m.account->pin_bytes;
	cr_assert_eq(build_hold_add(&m.b, &h), 0);
	cr_expect_eq(m.account->pin_bytes, pinned, "a frame counts once");
	build_reset(&m.b);
	firn_retain(f);
	firn_release(f);
	cr_expect_eq(m.blob->refs, 2);
	firn_release(f);
	cr_expect_eq(m.blob->refs, 1);
	cr_expect(m.pin->bytes == 0 && m.account->pin_bytes == 0);
	unmake(&m);
}

Test(read_result, an_empty_answer_is_one_too)
{
	struct made m;
	make(&m);
	const struct firn_fetched *f = build_finish(&m.b, m.pin);
	cr_assert(f && f->n_part == 0 && f->bytes == 0 && f->part_size == sizeof(struct firn_part));
	firn_release(f);
	unmake(&m);
}
