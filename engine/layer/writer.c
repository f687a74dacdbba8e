/* A part of a run: rows into blocks, a row per block into the footer. All of it in one buffer. */
#include "engine/base/error.h"
#include "engine/base/le.h"
#include "engine/base/mem.h"
#include "engine/base/sum.h"
#include "engine/layer/format.h"
#include <zstd.h>

struct layer_writer {
	const struct firn_env *env;
	struct layer_meta meta;
	int zstd_level;
	ZSTD_CCtx *zstd;
	bool finished;
	struct buf out;        /* header and closed blocks */
	struct buf raw, index; /* the open block; rows of the footer */
	struct buf last;       /* the row before, encoded: what the next has to be above */
	uint32_t n_block, n_row_block, n_segment;
	uint64_t n_row, segment_bytes, first_stream;
};

int layer_writer_open(const struct firn_env *env, const struct layer_meta *meta, int zstd_level,
                      struct layer_writer **out)
{
	*out = NULL;
	if (!meta->rev_from || meta->rev_from >= meta->rev_to)
		return FIRN_EINVAL;
	struct layer_writer *w = mem_zalloc(env, sizeof *w);
	if (!w)
		return FIRN_ENOMEM;
	w->env = env;
	w->meta = *meta;
	w->zstd_level = zstd_level;
	buf_init(&w->out, env);
	buf_init(&w->raw, env);
	buf_init(&w->index, env);
	buf_init(&w->last, env);
	uint8_t *head = buf_add(&w->out, LAYER_HEADER_LEN);
	if (!head) {
		layer_writer_close(w);
		return FIRN_ENOMEM;
	}
	layer_head_put(head, LAYER_HEADER_MAGIC, meta);
	layer_sign(head, LAYER_HEADER_LEN);
	*out = w;
	return 0;
}

void layer_writer_close(struct layer_writer *w)
{
	if (!w)
		return;
	ZSTD_freeCCtx(w->zstd);
	buf_fini(&w->out);
	buf_fini(&w->raw);
	buf_fini(&w->index);
	buf_fini(&w->last);
	mem_free(w->env, w);
}

/* The block compressed at the end of out, or 0: it does not pay, or there is no memory to try. */
static size_t squeeze(struct layer_writer *w)
{
	if (!w->zstd_level || w->raw.len < 64)
		return 0;
	if (!w->zstd) {
		w->zstd = ZSTD_createCCtx();
		if (!w->zstd)
			return 0;
		(void)ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_compressionLevel, w->zstd_level);
	}
	size_t pays = w->raw.len - w->raw.len / 8;
	uint8_t *to = buf_add(&w->out, pays);
	if (!to)
		return 0;
	size_t n = ZSTD_compress2(w->zstd, to, pays, w->raw.data, w->raw.len);
	n = ZSTD_isError(n) ? 0 : n;
	w->out.len -= pays - n;
	return n;
}

static void block_close(struct layer_writer *w)
{
	if (!w->raw.len || w->out.failed)
		return;
	size_t pos = w->out.len, len = squeeze(w);
	uint32_t codec = len ? SEGMENT_ZSTD : SEGMENT_RAW;
	if (!len) {
		len = w->raw.len;
		buf_put(&w->out, w->raw.data, len);
	}
	if (w->out.failed)
		return;
	buf_put_u64(&w->index, pos);
	buf_put_u32(&w->index, (uint32_t)len);
	buf_put_u32(&w->index, (uint32_t)w->raw.len);
	buf_put_u64(&w->index, sum64(w->out.data + pos, len));
	buf_put_u32(&w->index, w->n_row_block);
	buf_put_u32(&w->index, codec); /* and a cipher, one day, in the bytes above */
	buf_put_u64(&w->index, w->first_stream);
	buf_put_u64(&w->index, 0);
	w->n_block++;
	w->n_row_block = 0;
	w->raw.len = 0;
}

static bool rises(const struct layer_writer *w, const struct layer_row *r)
{
	struct layer_row before;
	return !w->last.len || (layer_row_get(w->last.data, w->last.len, &before) &&
	                        layer_row_compare(&before, r) < 0);
}

static bool failed(const struct layer_writer *w)
{
	return w->out.failed || w->raw.failed || w->index.failed || w->last.failed;
}

int layer_writer_row(struct layer_writer *w, const struct layer_row *r)
{
	struct layer_row again;
	size_t len = layer_row_len(r);
	if (failed(w))
		return FIRN_ENOMEM;
	if (w->finished || len > LAYER_BLOCK_MAX - LAYER_BLOCK_BYTES || !rises(w, r))
		return FIRN_EINVAL;
	if (!w->raw.len)
		w->first_stream = layer_row_stream(r);
	uint8_t *at = buf_add(&w->raw, len);
	if (!at)
		return FIRN_ENOMEM;
	layer_row_put(at, r);
	if (layer_row_get(at, len, &again) != len) { /* no reader would take it */
		w->raw.len -= len;
		return FIRN_EINVAL;
	}
	w->last.len = 0;
	buf_put(&w->last, at, len);
	w->n_row++;
	w->n_row_block++;
	if (r->kind == LAYER_SEGMENT) {
		w->n_segment++;
		w->segment_bytes += r->u.segment.bytes;
	}
	if (w->raw.len >= LAYER_BLOCK_BYTES)
		block_close(w);
	return failed(w) ? FIRN_ENOMEM : 0;
}

size_t layer_writer_bytes(const struct layer_writer *w)
{
	return w->out.len + w->raw.len + w->index.len + LAYER_TRAILER_LEN;
}

static void put_trailer(struct layer_writer *w, bool last, uint64_t footer_pos, uint64_t sum)
{
	uint8_t *t = buf_add(&w->out, LAYER_TRAILER_LEN);
	if (!t)
		return;
	const struct layer_meta *m = &w->meta;
	memset(t, 0, LAYER_TRAILER_LEN);
	layer_head_put(t, LAYER_TRAILER_MAGIC, m);
	le64_put(t + LAYER_AT_REV_FROM, m->rev_from);
	le64_put(t + LAYER_AT_REV_TO, m->rev_to);
	le32_put(t + LAYER_AT_LEVEL, m->level);
	le32_put(t + LAYER_AT_PART, m->part);
	le32_put(t + LAYER_AT_LAST, last);
	le32_put(t + LAYER_AT_N_BLOCK, w->n_block);
	le64_put(t + LAYER_AT_CREATED_MS, (uint64_t)m->created_ms);
	le64_put(t + LAYER_AT_FOOTER_POS, footer_pos);
	le64_put(t + LAYER_AT_FOOTER_LEN, w->index.len);
	le64_put(t + LAYER_AT_FOOTER_SUM, sum);
	le64_put(t + LAYER_AT_OBJECT_LEN, w->out.len);
	le64_put(t + LAYER_AT_N_ROW, w->n_row);
	le32_put(t + LAYER_AT_N_SEGMENT, w->n_segment);
	le64_put(t + LAYER_AT_SEGMENT_BYTES, w->segment_bytes);
	layer_sign(t, LAYER_TRAILER_LEN);
}

int layer_writer_finish(struct layer_writer *w, bool last, const uint8_t **data, size_t *len,
                        struct manifest_layer *row)
{
	block_close(w);
	w->finished = true;
	uint64_t footer_pos = w->out.len, sum = sum64(w->index.data, w->index.len);
	buf_put(&w->out, w->index.data, w->index.len);
	put_trailer(w, last, footer_pos, sum);
	if (failed(w))
		return FIRN_ENOMEM;
	if (w->out.len > LAYER_BYTES_MAX)
		return FIRN_ETOOBIG;
	*data = w->out.data;
	*len = w->out.len;
	*row = (struct manifest_layer){ .id = w->meta.id,
		                        .level = w->meta.level,
		                        .part = w->meta.part,
		                        .bytes = w->out.len,
		                        .footer_pos = footer_pos,
		                        .footer_sum = sum,
		                        .rev_from = w->meta.rev_from,
		                        .rev_to = w->meta.rev_to,
		                        .n_segment = w->n_segment,
		                        .segment_bytes = w->segment_bytes };
	return 0;
}
