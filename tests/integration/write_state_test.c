/* Pairs, trims, the life of streams, configuration, marks, and when a write's event comes.
 * (P3, P10) */
#include "tests/integration/site.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(write_state, .timeout = 120);

static int value_of(struct host *h, uint64_t s, const char *key, char out[64], uint64_t *rev)
{
	size_t len = 0;
	memset(out, 0, 64);
	return firn_kv_get(h->volume, s, key, strlen(key), out, 63, &len, rev);
}

EACH_WAY(write_state, pairs_are_put_checked_and_deleted)
{
	struct firn_event ev;
	char v[64];
	uint64_t rev = 0, s = new_stream(h, "s");
	cr_expect_eq(write_one(h, op_kv(FIRN_OP_KV_PUT, s, "a", "1"), &ev), 0);
	cr_expect(value_of(h, s, "a", v, &rev) == 0 && !strcmp(v, "1") && rev == ev.rev);
	cr_expect_eq(value_of(h, 0, "a", v, NULL), FIRN_ENOENT,
	             "the volume's own pairs are others");
	struct firn_op op = op_kv(FIRN_OP_KV_PUT, s, "a", "2");
	op.flags = FIRN_KV_IF_ABSENT;
	cr_expect(write_one(h, op, &ev) == FIRN_ECONFLICT && ev.offset == rev && ev.end == 1);
	op.flags = FIRN_KV_IF_REV;
	op.u.kv.rev = rev - 1;
	cr_expect(write_one(h, op, &ev) == FIRN_ECONFLICT && ev.offset == rev);
	op.u.kv.rev = rev;
	cr_expect_eq(write_one(h, op, &ev), 0);
	cr_expect(value_of(h, s, "a", v, &rev) == 0 && !strcmp(v, "2") && rev == ev.rev);
	cr_expect_eq(write_one(h, op_kv(FIRN_OP_KV_CHECK, s, "a", "2"), &ev), 0);
	cr_expect_eq(write_one(h, op_kv(FIRN_OP_KV_CHECK, s, "a", "1"), &ev), FIRN_ECONFLICT);
	op = op_kv(FIRN_OP_KV_DELETE, s, "a", NULL);
	op.flags = FIRN_KV_IF_REV;
	op.u.kv.rev = rev + 1;
	cr_expect_eq(write_one(h, op, &ev), FIRN_ECONFLICT);
	op.u.kv.rev = rev;
	cr_expect_eq(write_one(h, op, &ev), 0);
	cr_expect_eq(value_of(h, s, "a", v, NULL), FIRN_ENOENT);
	cr_expect_eq(write_one(h, op_kv(FIRN_OP_KV_DELETE, s, "a", NULL), &ev), 0,
	             "absent: success");
	op = op_kv(FIRN_OP_KV_PUT, s, "a", "");
	op.flags = FIRN_KV_IF_REV;
	op.u.kv.rev = rev;
	cr_expect(write_one(h, op, &ev) == FIRN_ECONFLICT && ev.offset == 0,
	          "absent is revision 0");
}

/* Half of the engine's memory; what is there can still be deleted, and then there is room again. */
Test(write_state, pairs_are_bounded)
{
	enum { AT_ONCE = 4 };
	static char value[65536];
	struct site site;
	struct host h;
	struct firn_event ev;
	struct firn_op op[AT_ONCE];
	char key[AT_ONCE][8];
	uint32_t n = 0;
	int rc = 0;
	site_make(&site);
	host_init(&h, &site, "a");
	h.opts.memory_bytes = 16 << 20;
	host_start(&h);
	for (; !rc && n < 1024; n += rc ? 0 : AT_ONCE) {
		for (uint32_t i = 0; i < AT_ONCE; i++) {
			(void)snprintf(key[i], sizeof key[i], "%u", n + i);
			op[i] = op_kv(FIRN_OP_KV_PUT, FIRN_STREAM_VOLUME, key[i], "");
			op[i].u.kv.value = value;
			op[i].u.kv.value_len = sizeof value;
		}
		rc = writes(&h, op, AT_ONCE, &ev);
	}
	cr_expect(rc == FIRN_ETOOBIG && n > 108 && n <= 128, "%s at %u", firn_code_name(rc), n);
	cr_expect(ev.offset < sizeof value + 8 && ev.end >= 1 && ev.end <= AT_ONCE);
	struct firn_op gone = op_kv(FIRN_OP_KV_DELETE, FIRN_STREAM_VOLUME, "1", NULL);
	gone.u.kv.key_to = "2";
	gone.u.kv.key_to_len = 1;
	cr_expect_eq(write_one(&h, gone, &ev), 0);
	cr_expect_eq(writes(&h, op, AT_ONCE, &ev), 0);
	host_stop(&h, FIRN_DETACH_KEEP_WAL);
	site_remove(&site);
}

EACH_WAY(write_state, a_range_of_pairs_goes_at_once)
{
	const char *const key[] = { "a", "b", "b1", "b2", "c", "d" };
	struct firn_op op = op_kv(FIRN_OP_KV_DELETE, 0, "b", NULL);
	char v[64];
	for (int i = 0; i < 6; i++)
		cr_assert_eq(write_one(h, op_kv(FIRN_OP_KV_PUT, 0, key[i], key[i]), NULL), 0);
	op.u.kv.key_to = "c";
	op.u.kv.key_to_len = 1;
	for (int again = 0; again < 2; again++) {
		cr_assert_eq(write_one(h, op, NULL), 0);
		for (int i = 0; i < 6; i++)
			cr_expect_eq(value_of(h, 0, key[i], v, NULL),
			             key[i][0] == 'b' ? FIRN_ENOENT : 0);
		store_all(h);
	}
	const struct firn_kv_page *page;
	cr_assert_eq(firn_kv_scan(h->volume, 0, "b", 1, "d", 1, 0, &page), 0);
	cr_expect(page->n == 1 && page->more == 0 && page->kv[0].key_len == 1);
	firn_release(page);
}

EACH_WAY(write_state, a_pair_can_be_stamped_with_an_offset)
{
	uint64_t s = new_stream(h, "s");
	struct iovec iov = io_of("x");
	for (int i = 0; i < 258; i += 43)
		say(h, s, "y");
	struct firn_op op[2] = { op_append(s, &iov),
		                 op_kv(FIRN_OP_KV_PUT, s, "idx-........", "at-........") };
	op[1].flags = FIRN_KV_STAMP_VALUE;
	op[1].u.kv.stamp_pos = 3;
	wrote(h, op, 2, NULL);
	char v[64];
	cr_assert_eq(value_of(h, s, "idx-........", v, NULL), 0);
	cr_expect(!memcmp(v, "at-\0\0\0\0\0\0\0\6", 11));
	op[1].flags = FIRN_KV_STAMP_KEY;
	op[1].u.kv.stamp_pos = 4;
	wrote(h, op, 2, NULL);
	size_t len;
	cr_expect_eq(firn_kv_get(h->volume, s, "idx-\0\0\0\0\0\0\0\7", 12, v, 64, &len, NULL), 0);
}

EACH_WAY(write_state, a_trim_may_pass_what_is_stored)
{
	uint64_t s = new_stream(h, "s");
	char *text;
	for (int i = 0; i < 5; i++)
		say(h, s, "a");
	store_all(h);
	for (int i = 0; i < 5; i++)
		say(h, s, "b");
	cr_assert_eq(write_one(h, op_trim(s, 8), NULL), 0);
	cr_expect_eq(mark_of(h, s, FIRN_MARK_START), 8);
	cr_expect_geq(mark_of(h, s, FIRN_MARK_STORED), 8, "stored is never below start");
	cr_expect_eq(write_one(h, op_trim(s, 3), NULL), 0);
	cr_expect_eq(mark_of(h, s, FIRN_MARK_START), 8, "it only rises");
	cr_expect_eq(write_one(h, op_trim(s, 11), NULL), FIRN_ERANGE);
	cr_expect_eq(read_stream(h, s, 7, NULL), FIRN_ERANGE);
	cr_assert_eq(read_stream(h, s, 8, &text), 0);
	cr_expect_str_eq(text, "bb");
	free(text);
	cr_assert_eq(write_one(h, op_trim(s, 10), NULL), 0);
	store_all(h);
	cr_expect_eq(say(h, s, "c"), 10, "offsets are not derived from what is left");
	store_all(h);
	cr_assert_eq(read_stream(h, s, 10, &text), 0);
	cr_expect_str_eq(text, "c");
	free(text);
}

EACH_WAY(write_state, a_name_made_again_is_another_stream)
{
	uint64_t a = new_stream(h, "s"), found;
	struct firn_event ev;
	struct firn_op op = op_create("s");
	say(h, a, "old");
	cr_expect(write_one(h, op, &ev) == FIRN_EEXIST && ev.stream == a);
	op.flags = FIRN_CREATE_OPEN;
	cr_expect(write_one(h, op, &ev) == 0 && ev.stream == a);
	cr_assert_eq(write_one(h, op_kv(FIRN_OP_KV_PUT, a, "k", "old"), NULL), 0);
	cr_assert_eq(write_one(h, op_delete(a), NULL), 0);
	cr_expect_eq(firn_stream_find(h->volume, "s", 1, &found), FIRN_ENOENT);
	cr_expect_eq(write_one(h, op_delete(a), NULL), FIRN_ENOENT);
	op.flags = 0;
	op.u.stream.at = 1000;
	cr_assert_eq(write_one(h, op, &ev), 0);
	uint64_t b = ev.stream;
	char v[64];
	cr_expect_neq(a, b);
	cr_expect_eq(value_of(h, b, "k", v, NULL), FIRN_ENOENT);
	cr_expect_eq(say(h, b, "new"), 1000);
	cr_expect_eq(mark_of(h, b, FIRN_MARK_START), 1000);
	struct iovec iov = io_of("x");
	cr_expect_eq(write_one(h, op_append(a, &iov), NULL), FIRN_ENOENT);
	struct firn_op both[3] = { op_delete(b), op_create("s"), op_append(FIRN_STREAM_NEW, &iov) };
	cr_assert_eq(writes(h, both, 3, &ev), 0, "deleted and made again in one write");
	cr_assert_eq(firn_stream_find(h->volume, "s", 1, &found), 0);
	cr_expect(found != a && found != b && mark_of(h, found, FIRN_MARK_DURABLE) == 1);
}

EACH_WAY(write_state, a_configuration_is_replaced_whole)
{
	struct firn_stream_config c = { .struct_size = sizeof c, .retention_ms = 7, .account = 3 },
	                          got;
	struct firn_op op = { .kind = FIRN_OP_CONFIG, .stream = new_stream(h, "s") };
	op.u.stream.config = &c;
	cr_assert_eq(write_one(h, op, NULL), 0);
	memset(&got, 0, sizeof got);
	got.struct_size = sizeof got;
	cr_assert_eq(firn_stream_config_get(h->volume, op.stream, &got), 0);
	cr_expect(got.retention_ms == 7 && got.account == 3);
	c = (struct firn_stream_config){ .struct_size = sizeof c, .producer_window = 9 };
	cr_assert_eq(write_one(h, op, NULL), 0);
	cr_assert_eq(firn_stream_config_get(h->volume, op.stream, &got), 0);
	cr_expect(got.retention_ms == 0 && got.account == 0 && got.producer_window == 9);
	c.dirty_percent = 1;
	cr_expect_eq(write_one(h, op, NULL), FIRN_EUNSUPPORTED);
	op.stream = 99;
	c.dirty_percent = 0;
	cr_expect_eq(write_one(h, op, NULL), FIRN_ENOENT);
}

EACH_WAY(write_state, held_marks_rise_when_told)
{
	struct firn_stream_config c = { .struct_size = sizeof c,
		                        .flags = FIRN_HOLD_VISIBLE | FIRN_HOLD_STABLE };
	struct firn_op op = op_create("s");
	struct firn_event ev;
	op.u.stream.config = &c;
	cr_assert_eq(write_one(h, op, &ev), 0);
	uint64_t s = ev.stream;
	for (int i = 0; i < 5; i++)
		say(h, s, "x");
	cr_expect_eq(mark_of(h, s, FIRN_MARK_VISIBLE), 0);
	cr_expect_eq(firn_stream_mark_set(h->volume, s, FIRN_MARK_VISIBLE, 6), FIRN_ERANGE);
	cr_expect_eq(firn_stream_mark_set(h->volume, s, FIRN_MARK_STABLE, 1), FIRN_ERANGE);
	cr_expect_eq(firn_stream_mark_set(h->volume, s, FIRN_MARK_VISIBLE, 4), 0);
	cr_expect_eq(firn_stream_mark_set(h->volume, s, FIRN_MARK_STABLE, 2), 0);
	cr_expect_eq(firn_stream_mark_set(h->volume, s, FIRN_MARK_VISIBLE, 3), 0);
	cr_expect(mark_of(h, s, FIRN_MARK_VISIBLE) == 4 && mark_of(h, s, FIRN_MARK_STABLE) == 2);
	cr_expect_eq(firn_stream_mark_set(h->volume, s, FIRN_MARK_DURABLE, 3), FIRN_EINVAL);
	uint64_t free_one = new_stream(h, "free");
	cr_expect_eq(firn_stream_mark_set(h->volume, free_one, FIRN_MARK_VISIBLE, 0), FIRN_EINVAL);
	cr_expect_eq(firn_stream_mark_set(h->volume, 99, FIRN_MARK_VISIBLE, 0), FIRN_ENOENT);
	cr_assert_eq(write_one(h, op_trim(s, 5), NULL), 0);
	cr_expect(mark_of(h, s, FIRN_MARK_VISIBLE) == 5 && mark_of(h, s, FIRN_MARK_STABLE) == 5,
	          "start <= stable <= visible");
}

EACH_WAY(write_state, acks_come_when_asked)
{
	struct firn_event ev;
	struct firn_error err = FIRN_ERROR_INIT;
	struct iovec iov = io_of("x");
	struct firn_op op = op_append(new_stream(h, "s"), &iov);
	cr_assert_eq(submit_ops(h, &op, 1, FIRN_ACK_ASSIGNED, 0, 1, &err), 0);
	cr_assert(reap_one(h, &ev, 0), "assigned is told at once");
	cr_expect(ev.user_data == 1 && ev.code == 0 && ev.offset == 0);
	cr_assert_eq(submit_ops(h, &op, 1, FIRN_ACK_STORED, 0, 2, &err), 0);
	cr_assert(reap_one(h, &ev, 10000));
	cr_expect(ev.user_data == 2 && ev.code == 0 && ev.offset == 1);
	cr_expect_eq(mark_of(h, op.stream, FIRN_MARK_STORED), 2);
	cr_assert_eq(submit_ops(h, &op, 1, 0, FIRN_REQ_SILENT, 3, &err), 0);
	op.flags = FIRN_APPEND_EXPECT;
	op.u.append.expect = 77;
	cr_assert_eq(submit_ops(h, &op, 1, 0, FIRN_REQ_SILENT, 4, &err), 0);
	op.u.append.expect = 3;
	cr_assert_eq(submit_ops(h, &op, 1, 0, 0, 5, &err), 0);
	cr_assert(reap_one(h, &ev, 10000));
	cr_expect(ev.user_data == 4 && ev.code == FIRN_ECONFLICT && ev.offset == 3,
	          "only failure is told");
	cr_assert(reap_one(h, &ev, 10000));
	cr_expect(ev.user_data == 5 && ev.code == 0 && ev.offset == 3);
	cr_expect_not(reap_one(h, &ev, 0));
}

EACH_WAY(write_state, revs_are_dense)
{
	struct firn_event ev;
	struct iovec iov = io_of("x");
	struct firn_op op = op_append(new_stream(h, "s"), &iov);
	wrote(h, &op, 1, &ev);
	uint64_t rev = ev.rev;
	for (int i = 0; i < 20; i++) {
		cr_expect_neq(write_one(h, op_append(999, &iov), NULL), 0);
		wrote(h, &op, 1, &ev);
		cr_expect_eq(ev.rev, ++rev);
	}
}
