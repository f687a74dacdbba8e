/* Reading a part: trailer, footer, blocks, rows. No length is believed before it was compared with what is
 * there; nothing is allocated but one raw block by verify. */
#include "engine/base/error.h"
#include "engine/base/le.h"
#include "engine/base/mem.h"
#include "engine/base/sum.h"
#include "engine/layer/format.h"
#include "engine/segment/format.h"
#include <inttypes.h>
#include <zstd.h>
#include <zstd_errors.h>

static int corrupt(struct firn_error *err, const char *where, uint64_t pos, const char *what)
{
	return fail(err, FIRN_ECORRUPT, 0, "layer", "%s at %" PRIu64 ": %s", where, pos, what);
}

static const char *trailer_nonsense(const uint8_t *t, uint64_t len)
{
	uint64_t pos = le64_get(t + LAYER_AT_FOOTER_POS), n = le64_get(t + LAYER_AT_FOOTER_LEN);
	uint64_t end = len - LAYER_TRAILER_LEN;
	if (le64_get(t + LAYER_AT_OBJECT_LEN) != len)
		return "object length differs: bytes are missing or were added";
	if (pos < LAYER_HEADER_LEN || pos > end || n != end - pos)
		return "footer out of bounds";
	if (n != (uint64_t)le32_get(t + LAYER_AT_N_BLOCK) * LAYER_INDEX_ROW_LEN)
		return "footer does not fit its blocks";
	if (!le64_get(t + LAYER_AT_REV_FROM) ||
	    le64_get(t + LAYER_AT_REV_FROM) >= le64_get(t + LAYER_AT_REV_TO))
		return "revs out of order";
	if (le32_get(t + LAYER_AT_LAST) > 1 || le32_get(t + LAYER_AT_ZERO) ||
	    !segment_bytes_zero(t + LAYER_AT_RESERVED, LAYER_AT_SUM - LAYER_AT_RESERVED))
		return "reserved bytes set";
	return NULL;
}

static int trailer_read(const uint8_t *t, struct layer_object *o, struct firn_error *err)
{
	uint64_t pos = o->len - LAYER_TRAILER_LEN;
	struct layer_meta *m = &o->meta;
	int rc = layer_head_check(t, LAYER_TRAILER_LEN, LAYER_TRAILER_MAGIC, "trailer", pos, m,
	                          err);
	const char *what = rc ? NULL : trailer_nonsense(t, o->len);
	if (rc || what)
		return rc ? rc : corrupt(err, "trailer", pos, what);
	m->rev_from = le64_get(t + LAYER_AT_REV_FROM);
	m->rev_to = le64_get(t + LAYER_AT_REV_TO);
	m->level = le32_get(t + LAYER_AT_LEVEL);
	m->part = le32_get(t + LAYER_AT_PART);
	m->created_ms = (int64_t)le64_get(t + LAYER_AT_CREATED_MS);
	o->last = le32_get(t + LAYER_AT_LAST);
	o->n_block = le32_get(t + LAYER_AT_N_BLOCK);
	o->footer_pos = le64_get(t + LAYER_AT_FOOTER_POS);
	o->footer_sum = le64_get(t + LAYER_AT_FOOTER_SUM);
	o->n_row = le64_get(t + LAYER_AT_N_ROW);
	o->n_segment = le32_get(t + LAYER_AT_N_SEGMENT);
	o->segment_bytes = le64_get(t + LAYER_AT_SEGMENT_BYTES);
	return 0;
}

void layer_block_at(const struct layer_object *o, uint32_t i, struct layer_block *out)
{
	const uint8_t *at = o->data + o->footer_pos + (size_t)i * LAYER_INDEX_ROW_LEN;
	*out = (struct layer_block){ .pos = le64_get(at),
		                     .len = le32_get(at + 8),
		                     .raw_len = le32_get(at + 12),
		                     .sum = le64_get(at + 16),
		                     .n_row = le32_get(at + 24),
		                     .codec = le32_get(at + 28),
		                     .stream = le64_get(at + 32) };
}

/* Blocks lie back to back from the header to the footer. */
static int footer_check(const struct layer_object *o, struct firn_error *err)
{
	uint64_t at = LAYER_HEADER_LEN, rows = 0;
	size_t len = (size_t)o->n_block * LAYER_INDEX_ROW_LEN;
	if (sum64(o->data + o->footer_pos, len) != o->footer_sum)
		return corrupt(err, "footer", o->footer_pos, "checksum mismatch");
	for (uint32_t i = 0; i < o->n_block; i++) {
		struct layer_block b;
		uint64_t row = o->footer_pos + (uint64_t)i * LAYER_INDEX_ROW_LEN;
		layer_block_at(o, i, &b);
		if (b.codec > SEGMENT_ZSTD)
			return fail(err, FIRN_EUNSUPPORTED, 0, "layer",
			            "block at %" PRIu64 ": codec or cipher 0x%x is not known to "
			            "this build",
			            b.pos, b.codec);
		if (b.pos != at || !b.len || b.len > o->footer_pos - at ||
		    b.raw_len > LAYER_BLOCK_MAX || !b.n_row || le64_get(o->data + row + 40) ||
		    (b.codec == SEGMENT_RAW ? b.len != b.raw_len : b.len >= b.raw_len))
			return corrupt(err, "footer", row, "a block's row makes no sense");
		at += b.len;
		rows += b.n_row;
	}
	return at == o->footer_pos && rows == o->n_row
	               ? 0
	               : corrupt(err, "footer", o->footer_pos,
	                         "blocks or rows are missing or were added");
}

int layer_open(const uint8_t *data, size_t len, struct layer_object *out, struct firn_error *err)
{
	struct layer_meta head = { .level = 0 };
	memset(out, 0, sizeof *out);
	out->data = data;
	out->len = len;
	if (len < LAYER_HEADER_LEN + LAYER_TRAILER_LEN || len > LAYER_BYTES_MAX)
		return fail(err, FIRN_ECORRUPT, 0, "layer", "%zu bytes are no layer", len);
	int rc = trailer_read(data + len - LAYER_TRAILER_LEN, out, err);
	rc = rc ? rc
	        : layer_head_check(data, LAYER_HEADER_LEN, LAYER_HEADER_MAGIC, "header", 0, &head,
	                           err);
	if (!rc && (memcmp(head.volume_id, out->meta.volume_id, 16) ||
	            head.id.epoch != out->meta.id.epoch || head.id.n != out->meta.id.n))
		rc = corrupt(err, "header", 0, "is not that of the trailer");
	return rc ? rc : footer_check(out, err);
}

int layer_block_decode(const struct layer_object *o, const struct layer_block *b, uint8_t *raw,
                       struct firn_error *err)
{
	const uint8_t *stored = o->data + b->pos;
	if (sum64(stored, b->len) != b->sum)
		return corrupt(err, "block", b->pos, "checksum mismatch");
	if (b->codec == SEGMENT_RAW) {
		memcpy(raw, stored, b->len);
		return 0;
	}
	size_t n = ZSTD_decompress(raw, b->raw_len, stored, b->len);
	if (ZSTD_isError(n) && ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation)
		return fail(err, FIRN_ENOMEM, 0, "layer", "block at %" PRIu64 ": no memory",
		            b->pos);
	if (ZSTD_isError(n))
		return corrupt(err, "block", b->pos, ZSTD_getErrorName(n));
	return n == b->raw_len ? 0
	                       : corrupt(err, "block", b->pos, "decompresses to another length");
}

int layer_rows_check(const struct layer_object *o, const struct layer_block *b, const uint8_t *raw,
                     struct layer_row *last, int (*each)(void *arg, const struct layer_row *r),
                     void *arg, struct firn_error *err)
{
	struct layer_row r;
	size_t at = 0;
	uint32_t n = 0;
	(void)o;
	for (size_t len; at < b->raw_len; at += len, n++) {
		len = layer_row_get(raw + at, b->raw_len - at, &r);
		if (!len)
			return fail(err, FIRN_ECORRUPT, 0, "layer",
			            "block at %" PRIu64 ": row %" PRIu32 " makes no sense", b->pos,
			            n);
		if (last->kind && layer_row_compare(last, &r) >= 0)
			return fail(err, FIRN_ECORRUPT, 0, "layer",
			            "block at %" PRIu64 ": row %" PRIu32 " is out of order", b->pos,
			            n);
		if (n == 0 && layer_row_stream(&r) != b->stream)
			return corrupt(err, "block", b->pos, "begins with another stream");
		int rc = each ? each(arg, &r) : 0;
		if (rc)
			return rc;
		*last = r;
	}
	return n == b->n_row ? 0 : corrupt(err, "block", b->pos, "has another number of rows");
}

struct count {
	uint32_t n_segment;
	uint64_t segment_bytes;
};

static int count_row(void *arg, const struct layer_row *r)
{
	struct count *c = arg;
	if (r->kind == LAYER_SEGMENT) {
		c->n_segment++;
		c->segment_bytes += r->u.segment.bytes;
	}
	return 0;
}

/* Two buffers: the last row of a block is compared with the first of the next. */
int layer_verify(const struct firn_env *env, const uint8_t *data, size_t len,
                 struct firn_error *err)
{
	struct layer_object o;
	struct layer_row last = { .kind = 0 };
	struct count c = { 0, 0 };
	int rc = layer_open(data, len, &o, err);
	if (rc)
		return rc;
	uint8_t *raw = mem_alloc(env, 2 * (size_t)LAYER_BLOCK_MAX);
	if (!raw)
		return fail(err, FIRN_ENOMEM, 0, "layer", "no memory to verify it");
	for (uint32_t i = 0; i < o.n_block && !rc; i++) {
		struct layer_block b;
		uint8_t *to = raw + (i & 1) * (size_t)LAYER_BLOCK_MAX;
		layer_block_at(&o, i, &b);
		rc = layer_block_decode(&o, &b, to, err);
		rc = rc ? rc : layer_rows_check(&o, &b, to, &last, count_row, &c, err);
	}
	mem_free(env, raw);
	if (!rc && (c.n_segment != o.n_segment || c.segment_bytes != o.segment_bytes))
		rc = corrupt(err, "trailer", len - LAYER_TRAILER_LEN, "counts other segments");
	return rc;
}

int layer_is(const struct layer_object *o, const uint8_t volume_id[16],
             const struct manifest_layer *row, struct firn_error *err)
{
	const struct layer_meta *m = &o->meta;
	if (!memcmp(m->volume_id, volume_id, 16) && m->id.epoch == row->id.epoch &&
	    m->id.n == row->id.n && m->rev_from == row->rev_from && m->rev_to == row->rev_to &&
	    m->level == row->level && m->part == row->part && o->len == row->bytes &&
	    o->footer_pos == row->footer_pos && o->footer_sum == row->footer_sum &&
	    o->n_segment == row->n_segment && o->segment_bytes == row->segment_bytes)
		return 0;
	return fail(err, FIRN_ECORRUPT, 0, "layer", "not the layer that the manifest means");
}
