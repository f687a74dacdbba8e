/* What is assigned and what is durable, one truth at a time; kv_model_test.c has the rest. */
#include "engine/admit/kv.h"
#include "tests/unit/admit/fixture.h"
#include <criterion/criterion.h>
#include <firn/error.h>
#include <firn/write.h>
#include <string.h>

TestSuite(kv, .timeout = 30);

static struct kv *open_kv(void)
{
	struct kv *kv;
	cr_assert_eq(kv_open(env_default(), 7, &kv), FIRN_OK);
	return kv;
}

static struct kv_prepared prepare(struct kv *kv, const char *key, const char *value)
{
	struct kv_prepared p;
	cr_assert_eq(kv_prepare(kv, 1, key, (uint32_t)strlen(key), value, (uint32_t)strlen(value),
	                        &p),
	             FIRN_OK);
	return p;
}

static void assign(struct kv *kv, const char *key, const char *value, uint64_t rev)
{
	struct kv_prepared p = prepare(kv, key, value);
	kv_assign(kv, &p, rev);
}

static void apply(struct kv *kv, const char *key, const char *value, uint64_t rev)
{
	cr_assert_eq(kv_apply(kv, 1, key, (uint32_t)strlen(key), value, (uint32_t)strlen(value),
	                      rev),
	             FIRN_OK);
}

static bool is(const struct kv_value *v, const char *value, uint64_t rev)
{
	if (!v || !value)
		return !v && !value;
	return v->rev == rev && v->len == strlen(value) && memcmp(v->data, value, v->len) == 0;
}

static bool assigned_is(const struct kv *kv, const char *key, const char *value, uint64_t rev)
{
	return is(kv_get_assigned(kv, 1, key, (uint32_t)strlen(key)), value, rev);
}

static bool durable_is(const struct kv *kv, const char *key, const char *value, uint64_t rev)
{
	return is(kv_get_durable(kv, 1, key, (uint32_t)strlen(key)), value, rev);
}

Test(kv, prepared_is_invisible_and_a_drop_leaves_nothing)
{
	struct kv *kv = open_kv();
	uint64_t before = kv_bytes(kv);
	struct kv_prepared p = prepare(kv, "a", "1"), q = prepare(kv, "a", "2");
	cr_expect(p.node == q.node && kv_bytes(kv) > before);
	cr_expect(assigned_is(kv, "a", NULL, 0) && durable_is(kv, "a", NULL, 0));
	kv_drop(kv, &p);
	kv_drop(kv, &p);
	kv_drop(kv, &q);
	cr_expect_eq(kv_bytes(kv), before);
	kv_close(kv);
}

Test(kv, assigned_runs_ahead_of_durable)
{
	struct kv *kv = open_kv();
	apply(kv, "a", "0", 1);
	assign(kv, "a", "1", 2);
	cr_expect(assigned_is(kv, "a", "1", 2) && durable_is(kv, "a", "0", 1));
	apply(kv, "a", "1", 2);
	cr_expect(assigned_is(kv, "a", "1", 2) && durable_is(kv, "a", "1", 2));
	kv_close(kv);
}

Test(kv, apply_of_the_last_pending_value_moves_it)
{
	struct kv *kv = open_kv();
	assign(kv, "a", "1", 2);
	const struct kv_value *pending = kv_get_assigned(kv, 1, "a", 1);
	uint64_t bytes = kv_bytes(kv);
	apply(kv, "a", "1", 2);
	cr_expect_eq(kv_get_durable(kv, 1, "a", 1), pending);
	cr_expect_eq(kv_bytes(kv), bytes);
	kv_close(kv);
}

Test(kv, a_later_write_of_the_key_does_not_leak_into_what_is_durable)
{
	struct kv *kv = open_kv();
	assign(kv, "a", "1", 2);
	assign(kv, "a", "2", 3);
	apply(kv, "a", "1", 2);
	cr_expect(assigned_is(kv, "a", "2", 3) && durable_is(kv, "a", "1", 2));
	apply(kv, "a", "2", 3);
	cr_expect(durable_is(kv, "a", "2", 3));
	kv_close(kv);
}

Test(kv, a_pending_deletion_hides_until_it_is_durable)
{
	struct kv *kv = open_kv();
	uint64_t before = kv_bytes(kv);
	assign(kv, "a", "1", 2);
	kv_assign_delete(kv, 1, "a", 1, NULL, 0, 3);
	cr_expect(assigned_is(kv, "a", NULL, 0));
	apply(kv, "a", "1", 2);
	cr_expect(assigned_is(kv, "a", NULL, 0) && durable_is(kv, "a", "1", 2));
	kv_apply_delete(kv, 1, "a", 1, NULL, 0, 3);
	cr_expect(durable_is(kv, "a", NULL, 0));
	cr_expect_eq(kv_bytes(kv), before);
	kv_close(kv);
}

Test(kv, a_range_ends_before_its_end_and_within_its_stream)
{
	struct kv *kv = open_kv();
	for (const char *k = "abcd"; *k; k++)
		cr_assert_eq(kv_apply(kv, 1, k, 1, "x", 1, 1), FIRN_OK);
	cr_assert_eq(kv_apply(kv, 2, "b", 1, "x", 1, 1), FIRN_OK);
	kv_assign_delete(kv, 1, "b", 1, "d", 1, 2);
	kv_apply_delete(kv, 1, "b", 1, "d", 1, 2);
	cr_expect(durable_is(kv, "a", "x", 1) && durable_is(kv, "d", "x", 1));
	cr_expect(durable_is(kv, "b", NULL, 0) && durable_is(kv, "c", NULL, 0));
	cr_expect_not_null(kv_get_durable(kv, 2, "b", 1));
	kv_assign_delete_stream(kv, 1, 3);
	cr_expect(assigned_is(kv, "a", NULL, 0) && durable_is(kv, "a", "x", 1));
	kv_apply_delete_stream(kv, 1, 3);
	cr_expect(durable_is(kv, "a", NULL, 0) && durable_is(kv, "d", NULL, 0));
	cr_expect_not_null(kv_get_durable(kv, 2, "b", 1));
	kv_close(kv);
}

Test(kv, one_write_may_put_delete_and_put_a_key_again)
{
	struct kv *kv = open_kv();
	struct kv_prepared p = prepare(kv, "a", "1"), q = prepare(kv, "a", "2");
	kv_assign(kv, &p, 5);
	kv_assign_delete(kv, 1, "a", 1, NULL, 0, 5);
	kv_assign(kv, &q, 5);
	cr_expect(assigned_is(kv, "a", "2", 5) && durable_is(kv, "a", NULL, 0));
	apply(kv, "a", "1", 5);
	kv_apply_delete(kv, 1, "a", 1, NULL, 0, 5);
	apply(kv, "a", "2", 5);
	cr_expect(assigned_is(kv, "a", "2", 5) && durable_is(kv, "a", "2", 5));
	kv_close(kv);
}

Test(kv, a_node_that_is_held_survives_its_deletion)
{
	struct kv *kv = open_kv();
	apply(kv, "a", "0", 1);
	struct kv_prepared p = prepare(kv, "a", "1");
	kv_apply_delete(kv, 1, "a", 1, NULL, 0, 2);
	cr_expect(assigned_is(kv, "a", NULL, 0));
	kv_assign(kv, &p, 3);
	cr_expect(assigned_is(kv, "a", "1", 3));
	kv_close(kv);
}

struct names {
	char text[64];
	size_t len;
	int stop_after;
};

static int note(void *arg, uint64_t stream, const uint8_t *key, uint32_t key_len,
                const struct kv_value *value)
{
	struct names *n = arg;
	cr_assert(value && n->len + key_len + 2 < sizeof n->text);
	n->text[n->len++] = (char)('0' + stream);
	memcpy(n->text + n->len, key, key_len);
	n->len += key_len;
	n->text[n->len++] = ' ';
	return --n->stop_after == 0 ? 42 : 0;
}

static const char *scan(struct kv *kv, struct names *n, uint64_t stream, const char *from,
                        const char *to)
{
	*n = (struct names){ 0 };
	cr_assert_eq(kv_scan(kv, stream, from, (uint32_t)strlen(from), to, (uint32_t)strlen(to),
	                     note, n),
	             0);
	return n->text;
}

Test(kv, a_scan_sees_durable_pairs_in_order)
{
	struct kv *kv = open_kv();
	struct names n;
	static const char *const keys[] = { "b", "ab", "a", "c", "\xff" };
	for (size_t i = 0; i < 5; i++)
		for (uint64_t stream = 0; stream < 3; stream += 2)
			cr_assert_eq(kv_apply(kv, stream, keys[i], (uint32_t)strlen(keys[i]), "v",
			                      1, 1),
			             FIRN_OK);
	assign(kv, "on its way", "v", 2);
	cr_expect_str_eq(scan(kv, &n, 0, "", ""), "0a 0ab 0b 0c 0\xff ");
	cr_expect_str_eq(scan(kv, &n, 1, "", ""), "");
	cr_expect_str_eq(scan(kv, &n, 2, "ab", "c"), "2ab 2b ");
	cr_expect_str_eq(scan(kv, &n, 2, "c", "ab"), "");
	cr_expect_str_eq(scan(kv, &n, FIRN_STREAM_ALL, "aa", "c"), "0ab 0b 2ab 2b ");
	cr_expect_str_eq(scan(kv, &n, FIRN_STREAM_ALL, "", ""),
	                 "0a 0ab 0b 0c 0\xff 2a 2ab 2b 2c 2\xff ");
	n = (struct names){ .stop_after = 2 };
	cr_expect_eq(kv_scan(kv, FIRN_STREAM_ALL, NULL, 0, NULL, 0, note, &n), 42);
	cr_expect_str_eq(n.text, "0a 0ab ");
	kv_close(kv);
}

Test(kv, without_memory_nothing_has_changed)
{
	struct kv *kv;
	struct scarce s;
	scarce_init(&s, 0);
	cr_expect_eq(kv_open(&s.env, 1, &kv), FIRN_ENOMEM);
	s.left = 1;
	cr_expect_eq(kv_open(&s.env, 1, &kv), FIRN_ENOMEM);
	s.left = 100;
	cr_assert_eq(kv_open(&s.env, 1, &kv), FIRN_OK);
	apply(kv, "a", "0", 1);
	assign(kv, "a", "1", 2);
	uint64_t before = kv_bytes(kv);
	for (int i = 0; i < 2; i++) {
		struct kv_prepared p;
		s.left = i;
		cr_expect_eq(kv_prepare(kv, 1, "new", 3, "v", 1, &p), FIRN_ENOMEM);
		s.left = i;
		cr_expect_eq(kv_apply(kv, 1, "new", 3, "v", 1, 2), FIRN_ENOMEM);
		cr_expect_eq(kv_bytes(kv), before);
	}
	s.left = 0;
	apply(kv, "a", "1", 2); /* the value moves */
	cr_expect(durable_is(kv, "a", "1", 2));
	kv_close(kv);
	cr_expect_eq(s.in_use, 0);
}
