/* Operations, rows and headers: what is put comes back. */
#include "engine/os/env.h"
#include "engine/wal/record.h"
#include "tests/unit/wal/make_wal.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(wal_record, .timeout = 60);

static void same_bytes(const void *a, const void *b, size_t len)
{
	cr_assert(len == 0 || memcmp(a, b, len) == 0);
}

static void same_op(const struct wal_op *a, const struct wal_op *b)
{
	cr_assert(a->kind == b->kind && a->stream == b->stream && a->prev == b->prev);
	cr_assert(a->pos == b->pos && a->at == b->at);
	cr_assert(a->key_len == b->key_len && a->key_to_len == b->key_to_len);
	cr_assert(a->value_len == b->value_len && a->name_len == b->name_len);
	cr_assert(a->config_len == b->config_len);
	same_bytes(a->key, b->key, a->key_len);
	same_bytes(a->key_to, b->key_to, a->key_to_len);
	same_bytes(a->value, b->value, a->value_len);
	same_bytes(a->name, b->name, a->name_len);
	same_bytes(a->config, b->config, a->config_len);
	if (!wal_op_has_batch(a->kind))
		return;
	const struct batch *x = &a->batch, *y = &b->batch;
	cr_assert(x->offset == y->offset && x->n_offsets == y->n_offsets && x->rev == y->rev);
	cr_assert(x->payload_sum == y->payload_sum && x->payload_len == y->payload_len);
	cr_assert(x->timestamp_ms == y->timestamp_ms && x->append_ms == y->append_ms);
	cr_assert(x->producer_id == y->producer_id && x->producer_seq == y->producer_seq);
	cr_assert(x->producer_epoch == y->producer_epoch && x->tag == y->tag);
	cr_assert(x->flags == y->flags && x->epoch == y->epoch);
	cr_assert(x->key_len == y->key_len && x->attr_len == y->attr_len);
	same_bytes(x->key, y->key, x->key_len);
	same_bytes(x->attr, y->attr, x->attr_len);
	same_bytes(x->payload, y->payload, x->payload_len);
}

/* One group of random writes; every op is met again in order, and by its position. */
static void round_trip(uint64_t seed)
{
	struct walmake *m = walmake_new(3);
	struct wal_op op[40][4];
	m->chance.state = seed;
	walmake_file_begin(m, 1, 1, NULL, false);
	uint32_t n_records = 1 + walmake_below(&m->chance, 40);
	for (uint32_t i = 0; i < n_records; i++) {
		for (uint32_t k = 0; k < 4; k++)
			walmake_op(&m->chance, m->bytes, walmake_below(&m->chance, 3), 500,
			           &op[i][k]);
		walmake_write(m, 1 + i % 3, op[i], (uint16_t)(1 + i % 4));
	}
	const uint8_t *g = m->file + walmake_group_end(m, 0);
	struct wal_group_header h;
	struct firn_error err = FIRN_ERROR_INIT;
	cr_assert(wal_group_header_get(g, WALMAKE_FILE, &h) == 0);
	cr_assert(wal_group_verify(g, WALMAKE_FILE / 2, &h, NULL, &err) == 0, "seed %llu: %s",
	          (unsigned long long)seed, err.text);
	struct wal_record r;
	uint32_t pos = WAL_GROUP_HEADER, i = 0;
	for (; (pos = wal_record_next(g, h.used, pos, &r)); i++) {
		struct wal_op got, again;
		const uint8_t *at = NULL;
		uint32_t k = 0;
		cr_assert(r.volume_no == 1 + i % 3 && r.rev == 1 + i / 3 && r.n_ops == 1 + i % 4);
		for (; (at = wal_op_next(&r, at, &got)); k++) {
			same_op(&op[i][k], &got);
			wal_op_at(g, got.pos, &again);
			same_op(&got, &again);
		}
		cr_assert(k == r.n_ops);
	}
	cr_assert(i == n_records);
	walmake_free(m);
}

Test(wal_record, random_operations_come_back_as_they_went)
{
	for (uint64_t seed = 1; seed <= 200; seed++)
		round_trip(seed);
}

Test(wal_record, a_position_that_is_no_operation_gives_kind_0_and_no_read_outside)
{
	struct walmake *m = walmake_new(1);
	walmake_file_begin(m, 1, 1, NULL, false);
	for (int i = 0; i < 5; i++)
		walmake_write(m, 1, NULL, 8);
	uint32_t used = m->used;
	uint64_t at = walmake_group_end(m, 0);
	uint8_t *tight = malloc(used); /* ASan sees what goes beyond */
	cr_assert(tight);
	memcpy(tight, m->file + at, used);
	for (uint32_t pos = 0; pos < used + 64; pos++) {
		struct wal_op op;
		wal_op_at(tight, pos, &op);
		cr_assert(op.kind == 0 || op.pos == pos);
	}
	free(tight);
	walmake_free(m);
}

Test(wal_record, the_padding_behind_an_unpadded_record_is_zeroed)
{
	uint8_t group[4096];
	memset(group, 0xff, sizeof group);
	struct wal_record r = {
		.type = WAL_WRITE, .pos = WAL_GROUP_HEADER, .len = 77, .meta_len = 64
	};
	wal_record_put(group, &r);
	struct wal_record got;
	cr_assert(wal_record_next(group, 4096, WAL_GROUP_HEADER, &got) == WAL_GROUP_HEADER + 80);
	cr_assert(got.len == 80);
	for (unsigned i = 77; i < 80; i++)
		cr_assert(group[WAL_GROUP_HEADER + i] == 0);
	cr_assert(group[WAL_GROUP_HEADER + 80] == 0xff);
}

/* ---- rows ---- */

static void row_fill(struct walmake_chance *c, struct wal_volume_row *row)
{
	memset(row, 0, sizeof *row);
	row->volume_no = (uint32_t)walmake_random(c);
	row->flags = walmake_below(c, 4);
	row->n_intent = walmake_below(c, WAL_MAX_INTENTS + 1);
	for (int i = 0; i < 16; i++) {
		row->id[i] = (uint8_t)walmake_random(c);
		row->nonce[i] = (uint8_t)walmake_random(c);
		row->identity.machine[i] = (uint8_t)walmake_random(c);
	}
	for (uint32_t i = 0; i < row->n_intent; i++)
		memset(row->intent[i], (int)walmake_below(c, 256), 16);
	row->epoch = walmake_random(c);
	row->rev = walmake_random(c);
	row->rev_stored = walmake_random(c);
	row->identity.fs_id = walmake_random(c);
	row->identity.inode = walmake_random(c);
	memset(row->name, 'n', walmake_below(c, sizeof row->name));
	memset(row->uri, 'u', walmake_below(c, sizeof row->uri));
	memset(row->node, 'o', walmake_below(c, sizeof row->node));
}

Test(wal_record, rows_of_any_length_come_back)
{
	struct walmake_chance c = { 3 };
	struct wal_volume_row row, got;
	struct buf b;
	buf_init(&b, env_default());
	for (int i = 0; i < 500; i++) {
		row_fill(&c, &row);
		b.len = 0;
		wal_row_encode(&row, &b);
		cr_assert(b.len % 8 == 0);
		struct cur cur = cur_of(b.data, b.len);
		cr_assert(wal_row_decode(&cur, &got) == 0);
		cr_assert(cur_left(&cur) == 0 && memcmp(&row, &got, sizeof row) == 0);
	}
	buf_fini(&b);
}

Test(wal_record, a_cut_or_lengthened_row_is_refused)
{
	struct walmake_chance c = { 4 };
	struct wal_volume_row row, got;
	struct buf b;
	buf_init(&b, env_default());
	row_fill(&c, &row);
	wal_row_encode(&row, &b);
	for (size_t len = 0; len < b.len; len++) {
		uint8_t *tight = malloc(len ? len : 1);
		cr_assert(tight);
		memcpy(tight, b.data, len);
		struct cur cur = cur_of(tight, len);
		cr_assert(wal_row_decode(&cur, &got) == -1, "%zu", len);
		free(tight);
	}
	/* Lengths: of the row, the number of intents, of the three strings; then the flags. */
	static const size_t at[] = { 0, 12, 104, 106, 108, 110, 11 };
	for (size_t i = 0; i < sizeof at / sizeof at[0]; i++)
		for (unsigned v = 0; v < 256; v++) {
			uint8_t was = b.data[at[i]];
			b.data[at[i]] = (uint8_t)v;
			struct cur cur = cur_of(b.data, b.len);
			int rc = wal_row_decode(&cur, &got);
			cr_assert(rc == (v == was ? 0 : -1), "byte %zu = %u", at[i], v);
			b.data[at[i]] = was;
		}
	buf_fini(&b);
}

Test(wal_record, a_seal_comes_back)
{
	struct wal_seal_body s = { 7, UINT64_C(3) << 32 | 8192, 99 }, got;
	struct buf b;
	buf_init(&b, env_default());
	wal_seal_encode(&s, &b);
	struct cur c = cur_of(b.data, b.len);
	cr_assert(wal_seal_decode(&c, &got) == 0 && memcmp(&s, &got, sizeof s) == 0);
	c = cur_of(b.data, b.len - 1);
	cr_assert(wal_seal_decode(&c, &got) == -1);
	buf_fini(&b);
}

/* ---- the file's header and name ---- */

static void header_fill(struct wal_file_header *h)
{
	memset(h, 0, sizeof *h);
	memset(h->wal_id, 1, sizeof h->wal_id);
	memset(h->run_nonce, 2, sizeof h->run_nonce);
	h->run = 3;
	h->file_no = 4;
	h->file_bytes = 64 << 20;
	h->prev_sum = 5;
	h->created_ms = 6;
}

Test(wal_record, a_file_header_comes_back_and_every_flipped_bit_of_it_is_seen)
{
	uint8_t page[WAL_PAGE];
	struct wal_file_header h, got;
	header_fill(&h);
	wal_file_header_put(page, &h);
	cr_assert(wal_file_header_get(page, &got, NULL) == 0 && memcmp(&h, &got, sizeof h) == 0);
	for (size_t bit = 0; bit < WAL_PAGE * 8; bit++) {
		page[bit / 8] ^= (uint8_t)(1u << bit % 8);
		cr_assert(wal_file_header_get(page, &got, NULL) == FIRN_ECORRUPT, "bit %zu", bit);
		page[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

Test(wal_record, an_unknown_feature_of_a_file_is_unsupported_not_corrupt)
{
	uint8_t page[WAL_PAGE];
	struct wal_file_header h, got;
	struct firn_error err = FIRN_ERROR_INIT;
	header_fill(&h);
	h.incompat = 1u << 5;
	wal_file_header_put(page, &h);
	cr_assert(wal_file_header_get(page, &got, &err) == FIRN_EUNSUPPORTED);
	cr_assert(strstr(err.text, "0x20"), "%s", err.text);
}

Test(wal_record, file_names_are_sixteen_small_hex_digits)
{
	char path[64];
	uint64_t no = 0;
	wal_file_path("d", 0xabc, path, sizeof path);
	cr_assert_str_eq(path, "d/0000000000000abc.wal");
	cr_assert(wal_file_name_parse(path + 2, &no) == 0 && no == 0xabc);
	cr_assert(wal_file_name_parse("ffffffffffffffff.wal", &no) == 0 && no == UINT64_MAX);
	static const char *const bad[] = { "",
		                           "1.wal",
		                           "0000000000000ABC.wal",
		                           "0000000000000abc.wal2",
		                           "0000000000000abc",
		                           "00000000000000abc.wal",
		                           "000000000000 abc.wal",
		                           "00000001.spare" };
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		cr_assert(wal_file_name_parse(bad[i], &no) == -1, "%s", bad[i]);
}
