/* What all rows share: the sum in front, and how damage is named. */
#include "engine/base/error.h"
#include "engine/base/le.h"
#include "engine/base/sum.h"
#include "engine/index/rows.h"

static uint64_t row_sum(const void *key, size_t key_len, const uint8_t *fields, size_t len)
{
	return sum64_seed(fields, len, sum64(key, key_len));
}

void index_row_begin(struct buf *b)
{
	b->len = 0;
	buf_put_u64(b, 0);
}

void index_row_seal(struct buf *b, const struct index_key *k)
{
	if (!b->failed)
		le64_put(b->data, row_sum(k->data, k->len, b->data + 8, b->len - 8));
}

int index_row_bad(const struct index_row *r, const char *what, struct firn_error *err)
{
	char text[INDEX_TEXT_MAX];
	index_key_text(r->key, r->key_len, text);
	return fail(err, FIRN_ECORRUPT, 0, "index", "%s: %s", text, what);
}

int index_row_open(const struct index_row *r, struct cur *out, struct firn_error *err)
{
	if (r->value_len < 8)
		return index_row_bad(r, "value is too short", err);
	size_t len = r->value_len - 8;
	if (le64_get(r->value) != row_sum(r->key, r->key_len, r->value + 8, len))
		return index_row_bad(r, "checksum mismatch", err);
	*out = cur_of(r->value + 8, len);
	return 0;
}

int index_row_table(const struct index_row *r)
{
	return r->key_len < INDEX_KEY_HEAD ? 0 : r->key[4];
}

uint32_t index_row_number(const struct index_row *r)
{
	uint32_t v;
	memcpy(&v, r->key, 4);
	return __builtin_bswap32(v);
}

uint64_t index_row_stream(const struct index_row *r)
{
	return be64_get(r->key + INDEX_KEY_HEAD);
}
