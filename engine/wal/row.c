/* Bodies of control records: rows of the volume table, and where a run ended.
 *
 * Row, little-endian, all of it in the record's meta and so under its checksum:
 *
 *     0 u32 len (of the row, a multiple of 8)   4 u32 volume_no   8 u32 flags   12 u32 n_intent
 *    16 id[16]   32 nonce[16]   48 u64 epoch   56 u64 rev   64 u64 rev_stored
 *    72 u64 fs_id   80 u64 inode   88 machine[16]
 *   104 u16 name_len   106 u16 uri_len   108 u16 node_len   110 u16 0
 *   112 intent[n_intent][16], name, uri, node, zero padding
 *
 * TABLE: u32 n_rows, u32 n_gone, u32 next_volume_no, u32 0, rows, gone (id[16], u64 rev, u64 name_sum).
 * INTENT, DETACH, FENCE: one row.  SEAL: u64 run, end_lsn,
 * last_sum. */
#include "engine/base/sum.h"
#include "engine/wal/codec.h"
#include <assert.h>

enum { ROW_HEAD = 112, SEAL_LEN = 24 };

void wal_row_encode(const struct wal_volume_row *row, struct buf *out)
{
	size_t name = strnlen(row->name, sizeof row->name);
	size_t uri = strnlen(row->uri, sizeof row->uri);
	size_t node = strnlen(row->node, sizeof row->node);
	size_t bytes = ROW_HEAD + row->n_intent * (size_t)16 + name + uri + node;
	size_t len = (size_t)align_up(bytes, 8);
	assert(row->n_intent <= WAL_MAX_INTENTS);
	assert(name < sizeof row->name && uri < sizeof row->uri && node < sizeof row->node);
	buf_put_u32(out, (uint32_t)len);
	buf_put_u32(out, row->volume_no);
	buf_put_u32(out, row->flags);
	buf_put_u32(out, row->n_intent);
	buf_put(out, row->id, 16);
	buf_put(out, row->nonce, 16);
	buf_put_u64(out, row->epoch);
	buf_put_u64(out, row->rev);
	buf_put_u64(out, row->rev_stored);
	buf_put_u64(out, row->identity.fs_id);
	buf_put_u64(out, row->identity.inode);
	buf_put(out, row->identity.machine, 16);
	buf_put_u16(out, (uint16_t)name);
	buf_put_u16(out, (uint16_t)uri);
	buf_put_u16(out, (uint16_t)node);
	buf_put_u16(out, 0);
	buf_put(out, row->intent, row->n_intent * (size_t)16);
	buf_put(out, row->name, name);
	buf_put(out, row->uri, uri);
	buf_put(out, row->node, node);
	buf_zero(out, len - bytes);
}

static void take(struct cur *c, void *to, size_t len)
{
	const uint8_t *p = cur_take(c, len);
	if (p && len)
		memcpy(to, p, len);
}

/* A string of `len` bytes without a NUL; `to` has room for `cap` and is zero already. */
static void take_text(struct cur *c, char *to, size_t cap, size_t len)
{
	if (len >= cap) {
		c->failed = 1;
		return;
	}
	take(c, to, len);
	if (strnlen(to, cap) != len)
		c->failed = 1;
}

int wal_row_decode(struct cur *c, struct wal_volume_row *out)
{
	const uint32_t known = WAL_VOLUME_DETACHED | WAL_VOLUME_FENCED | WAL_VOLUME_CLEAN |
	                       WAL_VOLUME_FROM_CLEAN;
	memset(out, 0, sizeof *out);
	size_t left = cur_left(c);
	uint32_t len = cur_u32(c);
	out->volume_no = cur_u32(c);
	out->flags = cur_u32(c);
	out->n_intent = cur_u32(c);
	if (c->failed || len > left || out->n_intent > WAL_MAX_INTENTS || (out->flags & ~known))
		return -1;
	take(c, out->id, 16);
	take(c, out->nonce, 16);
	out->epoch = cur_u64(c);
	out->rev = cur_u64(c);
	out->rev_stored = cur_u64(c);
	out->identity.fs_id = cur_u64(c);
	out->identity.inode = cur_u64(c);
	take(c, out->identity.machine, 16);
	size_t name = cur_u16(c), uri = cur_u16(c), node = cur_u16(c), zero = cur_u16(c);
	take(c, out->intent, out->n_intent * (size_t)16);
	take_text(c, out->name, sizeof out->name, name);
	take_text(c, out->uri, sizeof out->uri, uri);
	take_text(c, out->node, sizeof out->node, node);
	size_t bytes = ROW_HEAD + out->n_intent * (size_t)16 + name + uri + node;
	if (c->failed || zero || len != align_up(bytes, 8))
		return -1;
	const uint8_t *pad = cur_take(c, len - bytes);
	return pad && all_zero(pad, len - bytes) ? 0 : -1;
}

void wal_table_head_encode(const struct wal_table_head *h, struct buf *out)
{
	buf_put_u32(out, h->n_row);
	buf_put_u32(out, h->n_gone);
	buf_put_u32(out, h->next_volume_no);
	buf_put_u32(out, 0);
}

int wal_table_head_decode(struct cur *c, struct wal_table_head *out)
{
	out->n_row = cur_u32(c);
	out->n_gone = cur_u32(c);
	out->next_volume_no = cur_u32(c);
	return cur_u32(c) || c->failed ? -1 : 0;
}

void wal_gone_encode(const struct wal_gone *g, struct buf *out)
{
	buf_put(out, g->id, 16);
	buf_put_u64(out, g->rev);
	buf_put_u64(out, g->name_sum);
}

int wal_gone_decode(struct cur *c, struct wal_gone *out)
{
	take(c, out->id, 16);
	out->rev = cur_u64(c);
	out->name_sum = cur_u64(c);
	return c->failed ? -1 : 0;
}

uint64_t wal_name_sum(const char *uri, const char *name)
{
	return sum64_seed(name, strlen(name), sum64(uri, strlen(uri)));
}

void wal_seal_encode(const struct wal_seal_body *s, struct buf *out)
{
	buf_put_u64(out, s->run);
	buf_put_u64(out, s->end_lsn);
	buf_put_u64(out, s->last_sum);
}

int wal_seal_decode(struct cur *c, struct wal_seal_body *out)
{
	out->run = cur_u64(c);
	out->end_lsn = cur_u64(c);
	out->last_sum = cur_u64(c);
	return c->failed ? -1 : 0;
}

int wal_control_check(uint16_t type, const uint8_t *body, size_t len)
{
	struct cur c = cur_of(body, len);
	struct wal_volume_row row;
	struct wal_gone gone;
	struct wal_table_head head = { .n_row = 1 };
	if (type == WAL_SEAL)
		return len == SEAL_LEN ? 0 : -1;
	if (type == WAL_TABLE && wal_table_head_decode(&c, &head))
		return -1;
	for (; head.n_row; head.n_row--)
		if (wal_row_decode(&c, &row))
			return -1;
	for (; head.n_gone; head.n_gone--)
		if (wal_gone_decode(&c, &gone))
			return -1;
	return cur_left(&c) == 0 ? 0 : -1;
}
