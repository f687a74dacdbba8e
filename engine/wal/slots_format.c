/* Slots as bytes.
 *
 *     0 u64 magic     8 u32 format  12 u32 kind    16 log_id[16]
 *    32 u64 slot     40 u64 acked   48 u32 n_volume 52 u32 0
 *    56 u64 group_len 64 u64 group_sum 72 u64 incompat 80 u64 0
 *    88 u64 sum: XXH3(rows, seed XXH3(bytes 0..87))
 *   row: u32 volume_no, u32 0, id[16], u64 rev_first, u64 rev_last */
#include "engine/wal/slots_format.h"
#include "engine/base/error.h"
#include "engine/base/le.h"
#include "engine/base/sum.h"
#include <stdio.h>
#include <string.h>

void slots_key(const uint8_t log_id[16], uint64_t slot, char key[SLOTS_KEY_MAX])
{
	int n = snprintf(key, SLOTS_KEY_MAX, ".firn-wal/");
	for (int i = 0; i < 16; i++)
		n += snprintf(key + n, SLOTS_KEY_MAX - (size_t)n, "%02x", log_id[i]);
	(void)snprintf(key + n, SLOTS_KEY_MAX - (size_t)n, "/%016llx", (unsigned long long)slot);
}

bool slots_seal_of_sweep(const struct slots_head *h)
{
	return h->kind == SLOTS_SEAL && h->slot && h->acked == h->slot;
}

enum { PREFIX_LEN = 43 }; /* ".firn-wal/", 32 digits, '/' */

static bool digits(const char *text, uint32_t n, uint64_t *out)
{
	*out = 0;
	for (uint32_t i = 0; i < n; i++) {
		char c = text[i];
		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
		*out = *out << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	return true;
}

bool slots_key_parse(const char *key, uint8_t log_id[16], uint64_t *slot)
{
	if (strlen(key) != PREFIX_LEN + 16 || strncmp(key, ".firn-wal/", 10) != 0 ||
	    key[PREFIX_LEN - 1] != '/')
		return false;
	for (uint32_t i = 0; i < 16; i++) {
		uint64_t byte;
		if (!digits(key + 10 + (size_t)i * 2, 2, &byte))
			return false;
		log_id[i] = (uint8_t)byte;
	}
	return digits(key + PREFIX_LEN, 16, slot);
}

static uint64_t head_sum(const uint8_t *at, uint32_t n_volume)
{
	return sum64_seed(at + SLOTS_HEAD, (size_t)n_volume * SLOTS_ROW, sum64(at, 88));
}

void slots_encode(const struct slots_head *h, const struct slots_row *row, struct buf *out)
{
	size_t begin = out->len;
	uint8_t *at = buf_add(out, SLOTS_HEAD + (size_t)h->n_volume * SLOTS_ROW);
	if (!at)
		return;
	at = out->data + begin;
	memset(at, 0, SLOTS_HEAD + (size_t)h->n_volume * SLOTS_ROW);
	le64_put(at, SLOTS_MAGIC);
	le32_put(at + 8, SLOTS_FORMAT);
	le32_put(at + 12, h->kind);
	memcpy(at + 16, h->log_id, 16);
	le64_put(at + 32, h->slot);
	le64_put(at + 40, h->acked);
	le32_put(at + 48, h->n_volume);
	le64_put(at + 56, h->group_len);
	le64_put(at + 64, h->group_sum);
	for (uint32_t i = 0; i < h->n_volume; i++) {
		uint8_t *r = at + SLOTS_HEAD + (size_t)i * SLOTS_ROW;
		le32_put(r, row[i].volume_no);
		memcpy(r + 8, row[i].id, 16);
		le64_put(r + 24, row[i].rev_first);
		le64_put(r + 32, row[i].rev_last);
	}
	le64_put(at + 88, head_sum(at, h->n_volume));
}

void slots_row_get(const uint8_t *data, uint32_t i, struct slots_row *out)
{
	const uint8_t *r = data + SLOTS_HEAD + (size_t)i * SLOTS_ROW;
	out->volume_no = le32_get(r);
	memcpy(out->id, r + 8, 16);
	out->rev_first = le64_get(r + 24);
	out->rev_last = le64_get(r + 32);
}

static const char *check_rows(const uint8_t *data, const struct slots_head *h)
{
	for (uint32_t i = 0; i < h->n_volume; i++) {
		struct slots_row row;
		slots_row_get(data, i, &row);
		if (le32_get(data + SLOTS_HEAD + (size_t)i * SLOTS_ROW + 4) || !row.rev_first ||
		    row.rev_last < row.rev_first)
			return "a volume's row makes no sense";
	}
	return NULL;
}

/* Header and rows. */
static const char *check_head(const uint8_t *data, size_t len, const struct slots_head *h)
{
	if (h->n_volume > (len - SLOTS_HEAD) / SLOTS_ROW)
		return "it is cut";
	if (le64_get(data + 88) != head_sum(data, h->n_volume))
		return "its header does not verify";
	if (le32_get(data + 52) || le64_get(data + 80) || h->acked > h->slot)
		return "its header makes no sense";
	if (h->kind == SLOTS_SEAL) {
		bool empty = !h->n_volume && !h->group_len && !h->group_sum;
		bool known = !h->acked || h->acked == h->slot;
		return !empty   ? "a seal has nothing in it"
		       : !known ? "its header makes no sense"
		                : NULL;
	}
	return check_rows(data, h);
}

static int bad(const struct slots_head *h, const char *wrong, struct firn_error *err)
{
	return fail(err, FIRN_ECORRUPT, 0, "wal", "slot %llu: %s", (unsigned long long)h->slot,
	            wrong);
}

int slots_head_get(const uint8_t *data, size_t len, struct slots_head *out, struct firn_error *err)
{
	if (len < SLOTS_HEAD || le64_get(data) != SLOTS_MAGIC)
		return fail(err, FIRN_ECORRUPT, 0, "wal", "it is no slot of a log");
	out->kind = le32_get(data + 12);
	bool known = out->kind == SLOTS_GROUP || out->kind == SLOTS_SEAL;
	if (le32_get(data + 8) != SLOTS_FORMAT || le64_get(data + 72) || !known)
		return fail(
		        err, FIRN_EUNSUPPORTED, 0, "wal",
		        "slot of format %u, kind %u, features 0x%llx: written by a later release",
		        le32_get(data + 8), out->kind, (unsigned long long)le64_get(data + 72));
	memcpy(out->log_id, data + 16, 16);
	out->slot = le64_get(data + 32);
	out->acked = le64_get(data + 40);
	out->n_volume = le32_get(data + 48);
	out->group_len = le64_get(data + 56);
	out->group_sum = le64_get(data + 64);
	const char *wrong = check_head(data, len, out);
	return wrong ? bad(out, wrong, err) : 0;
}

size_t slots_head_len(const uint8_t *data, size_t len)
{
	bool is = len >= SLOTS_HEAD && le64_get(data) == SLOTS_MAGIC;
	return SLOTS_HEAD + (is ? (size_t)le32_get(data + 48) * SLOTS_ROW : 0);
}

int slots_decode(const uint8_t *data, size_t len, struct slots_head *out, const uint8_t **group,
                 struct firn_error *err)
{
	int rc = slots_head_get(data, len, out, err);
	if (rc)
		return rc;
	size_t head = SLOTS_HEAD + (size_t)out->n_volume * SLOTS_ROW;
	if (out->kind == SLOTS_SEAL && len != SLOTS_HEAD)
		return bad(out, "a seal has nothing in it", err);
	if (out->group_len != len - head)
		return bad(out, "its group is cut", err);
	*group = data + head;
	return 0;
}
