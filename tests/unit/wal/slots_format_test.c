/* A slot is what its writer made, whole, in its place, or it is refused by name (P6). */
#include "engine/base/le.h"
#include "engine/base/sum.h"
#include "engine/os/env.h"
#include "engine/wal/inspect.h"
#include "engine/wal/slots_format.h"
#include <criterion/criterion.h>
#include <string.h>

TestSuite(slots_format, .timeout = 60);

static _Alignas(8) uint8_t slot[WAL_SAMPLE_MAX];

static int judge(size_t len, struct firn_error *err)
{
	struct slots_head h;
	const uint8_t *group;
	*err = (struct firn_error){ .struct_size = sizeof *err };
	return slots_decode(slot, len, &h, &group, err);
}

static void sign(void)
{
	uint32_t n = le32_get(slot + 48);
	le64_put(slot + 88, sum64_seed(slot + SLOTS_HEAD, (size_t)n * SLOTS_ROW, sum64(slot, 88)));
}

Test(slots_format, what_is_written_is_read)
{
	struct slots_head h;
	struct slots_row row;
	const uint8_t *group;
	size_t len = wal_sample_slot(slot);
	cr_assert_eq(slots_decode(slot, len, &h, &group, NULL), 0);
	cr_assert(h.kind == SLOTS_GROUP && h.slot == 7 && h.acked == 5 && h.n_volume == 2);
	cr_assert(group == slot + SLOTS_HEAD + 2 * SLOTS_ROW && h.group_len == len - 176);
	slots_row_get(slot, 1, &row);
	cr_assert(row.volume_no == 2 && row.id[0] == 0x20 && row.rev_first == 21 &&
	          row.rev_last == 21);
	len = wal_sample_seal(slot);
	cr_assert_eq(slots_decode(slot, len, &h, &group, NULL), 0);
	cr_assert(h.kind == SLOTS_SEAL && h.slot == 8 && len == SLOTS_HEAD);
}

Test(slots_format, a_name_sorts_as_its_number)
{
	char a[SLOTS_KEY_MAX], b[SLOTS_KEY_MAX];
	uint8_t id[16] = { 0xab, 1 };
	slots_key(id, 9, a);
	slots_key(id, 10, b);
	cr_assert_str_eq(a, ".firn-wal/ab010000000000000000000000000000/0000000000000009");
	cr_assert(strcmp(a, b) < 0);
	slots_key(id, UINT64_MAX, a);
	cr_assert(strcmp(b, a) < 0);
}

Test(slots_format, every_flipped_bit_of_header_and_rows_is_seen)
{
	struct firn_error err;
	size_t len = wal_sample_slot(slot);
	for (size_t i = 0; i < (SLOTS_HEAD + 2 * SLOTS_ROW) * 8; i++) {
		slot[i / 8] ^= (uint8_t)(1u << i % 8);
		int rc = judge(len, &err);
		cr_assert(rc == FIRN_ECORRUPT || rc == FIRN_EUNSUPPORTED, "bit %zu: %d", i, rc);
		slot[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	cr_assert_eq(judge(len, &err), 0);
}

Test(slots_format, a_slot_of_another_length_is_refused)
{
	struct firn_error err;
	size_t len = wal_sample_slot(slot);
	for (size_t n = 0; n < len; n++)
		cr_assert_eq(judge(n, &err), FIRN_ECORRUPT, "%zu bytes of it pass", n);
	cr_assert_eq(judge(len + 1, &err), FIRN_ECORRUPT);
	len = wal_sample_seal(slot);
	cr_assert_eq(judge(len + 1, &err), FIRN_ECORRUPT, "a seal has nothing in it");
}

Test(slots_format, a_later_release_is_named_as_such)
{
	struct firn_error err;
	const struct {
		size_t at;
		uint32_t value;
	} later[] = { { 8, 2 }, { 12, 3 }, { 72, 1 } };
	for (size_t i = 0; i < 3; i++) {
		size_t len = wal_sample_slot(slot);
		le32_put(slot + later[i].at, later[i].value);
		sign();
		cr_assert_eq(judge(len, &err), FIRN_EUNSUPPORTED);
		cr_assert(strstr(err.text, "later release"), "%s", err.text);
	}
}

Test(slots_format, what_makes_no_sense_is_refused_though_its_sum_is_right)
{
	struct firn_error err;
	const struct {
		size_t at;
		uint64_t value;
	} bad[] = { { 40, 8 },                 /* acked above the slot itself */
		    { 48, UINT32_MAX },        /* more rows than bytes */
		    { 56, 1 },                 /* another length of the group */
		    { 80, 1 },                 /* reserved */
		    { 96, UINT64_C(1) << 32 }, /* reserved */
		    { 96 + 24, 0 },            /* writes are numbered from 1 */
		    { 96 + 32, 10 } };         /* and do not run back */
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		size_t len = wal_sample_slot(slot);
		if (bad[i].at == 48)
			le32_put(slot + 48, (uint32_t)bad[i].value);
		else
			le64_put(slot + bad[i].at, bad[i].value);
		if (bad[i].at != 48)
			sign();
		cr_assert_eq(judge(len, &err), FIRN_ECORRUPT, "%zu", bad[i].at);
	}
}
