#include "tests/unit/manifest/sample.h"
#include <criterion/criterion.h>

static int encode(struct manifest *m, struct buf *b)
{
	buf_init(b, env_default());
	return manifest_encode(m, b);
}

Test(manifest_encode, two_versions_are_never_byte_equal)
{
	struct manifest m;
	struct buf a, b;

	sample_manifest(&m);
	cr_assert_eq(encode(&m, &a), FIRN_OK);
	m.seq++;
	cr_assert_eq(encode(&m, &b), FIRN_OK);
	cr_assert(a.len == b.len && memcmp(a.data, b.data, a.len));
	buf_fini(&a);
	buf_fini(&b);
	manifest_fini(&m, env_default());
}

/* clang-format off */
/* One broken invariant each: writing it would hand the next reader a lie. */
static void break_it(struct manifest *m, int which)
{
	switch (which) {
	case 0: m->state = 0; break;
	case 1: m->state = 4; break;
	case 2: m->seq = 0; break;
	case 3: m->epoch = 0; break;
	case 4: m->epoch = 1 << 24; break;
	case 5: memset(m->volume_id, 0, 16); break;
	case 6: m->rev_stored = m->rev_durable + 1; break;
	case 7: m->ack_lease_ms = 1; break;
	case 8: m->name[0] = 0; break;
	case 9: memset(m->name, 'a', sizeof m->name); break;
	case 10: m->node[0] = '\n'; break;
	case 11: m->log[0].kind = 3; break;
	case 12: m->log[0].position = 1; break;
	case 13: m->log[1].uri[0] = 0; break;
	case 14: memset(m->log[1].uri, 'u', sizeof m->log[1].uri); break;
	case 15: m->segment[0].id.n = m->next_segment; m->segment[0].id.epoch = m->epoch; break;
	case 16: m->segment[0].id.epoch = m->epoch + 1; break;
	case 17: m->segment[1].footer_pos = m->segment[1].bytes; break;
	case 18: m->segment[1].part = 2; break;
	case 19: m->segment[1].n_parts = 0; break;
	case 20: m->segment[1].rev_from = 1; break;
	case 21: m->segment[1].rev_to = m->rev_stored + 2; break;
	case 22: m->segment[1].rev_to = m->segment[1].rev_from; break;
	case 23: m->segment[0].max_append_ms = 0; break;
	case 24: m->layer[0].rev_from = 0; break;
	case 25: m->layer[0].footer_pos = m->layer[0].bytes; break;
	case 26: memset(m->lost[0].nonce, 0, 16); break;
	case 27: m->dead[0].id.epoch = m->epoch + 1; break;
	case 28: m->dead[0].kind = 0; break;
	case 29: m->dead[0].kind = 3; break;
	case 30: m->layer[1].part = 0; break;
	case 31: m->layer[1].part = 2; break;
	case 32: m->layer[0].part = 1; break;
	case 33: m->layer[1].level++; break;
	case 34: m->layer[1].rev_to--; break;
	case 35: m->layer[0].rev_to++; m->layer[1].rev_to++; break; /* over the first segment */
	case 36: m->rewrite_seq = m->seq + 1; break;
	case 37: m->n_layer = 0; break; /* which rewritten segments need */
	default: m->ext_len = 1; break;
	}
}
/* clang-format on */

Test(manifest_encode, a_manifest_that_breaks_an_invariant_is_not_written)
{
	for (int i = 0; i <= 38; i++) {
		struct manifest m;
		struct buf b;
		uint32_t row;

		sample_manifest(&m);
		break_it(&m, i);
		cr_assert_not_null(manifest_check(&m, &row), "case %d", i);
		cr_assert_eq(encode(&m, &b), FIRN_EINVAL, "case %d", i);
		buf_fini(&b);
		manifest_fini(&m, env_default());
	}
}

Test(manifest_encode, ten_thousand_segments_take_88_bytes_each)
{
	struct manifest m;
	struct manifest_segment s;
	struct buf before, after;

	sample_manifest(&m);
	cr_assert_eq(encode(&m, &before), FIRN_OK);
	s = m.segment[1];
	for (int i = 0; i < 10000; i++)
		cr_assert_eq(manifest_add_segment(&m, env_default(), &s), FIRN_OK);
	cr_assert_eq(encode(&m, &after), FIRN_OK);
	cr_assert_eq(after.len - before.len, 880000u);
	buf_fini(&before);
	buf_fini(&after);
	manifest_fini(&m, env_default());
}

Test(manifest_copy, a_copy_shares_nothing)
{
	struct manifest m, copy;
	struct buf a, b;

	sample_manifest(&m);
	cr_assert_eq(manifest_copy(&m, &copy, env_default()), FIRN_OK);
	cr_assert_eq(encode(&m, &a), FIRN_OK);
	m.segment[0].bytes++;
	m.log[1].uri[0] = 'X';
	m.lost[0].rev_skip = 1;
	manifest_fini(&m, env_default());
	cr_assert_eq(encode(&copy, &b), FIRN_OK);
	cr_assert(a.len == b.len && !memcmp(a.data, b.data, a.len));
	for (int i = 0; i < 20; i++) /* it grows like the original */
		cr_assert_eq(manifest_add_log(&copy, env_default(), &copy.log[0]), FIRN_OK);
	cr_assert_eq(copy.n_log, 22u);
	buf_fini(&a);
	buf_fini(&b);
	manifest_fini(&copy, env_default());
}
