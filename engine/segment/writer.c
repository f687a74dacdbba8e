/* Building a segment in memory: batches become blocks, blocks become frames.
 *
 *   batch -> desc | payload        columns of the open block, of ONE stream
 *   block -> out[frame_pos..]      header, descriptors, payloads: the open frame, raw
 *   frame -> compressed in place when that pays; then its index rows learn where it lies
 *
 * So a payload is copied twice and compressed at most once. A block ends with its stream, at
 * SEGMENT_BLOCK_BYTES, or when the wish for compression changes; a frame at SEGMENT_FRAME_BYTES
 * or with that wish. Only a batch that is larger by itself makes a larger block.
 *
 * What can fail: memory, which is sticky and told by every later call. zstd takes its context
 * from malloc (its interface for other allocators is not a stable one); if that fails the frame
 * stays raw. */
#include "engine/base/le.h"
#include "engine/base/mem.h"
#include "engine/base/sum.h"
#include "engine/segment/writer.h"

enum compress_wish { COMPRESS_AUTO = 0, COMPRESS_NONE = 1, COMPRESS_ZSTD = 2 };

static void writer_header(struct segment_writer *w)
{
	uint8_t *at = buf_add(&w->out, SEGMENT_HEADER_LEN);
	if (at) {
		segment_head_put(at, SEGMENT_HEADER_MAGIC, &w->meta);
		segment_head_sign(at, SEGMENT_HEADER_LEN);
	}
	w->frame_pos = SEGMENT_HEADER_LEN;
}

int segment_writer_open(const struct firn_env *env, const struct segment_meta *meta, int zstd_level,
                        struct segment_writer **out)
{
	*out = NULL;
	if (meta->rev_from > meta->rev_to || meta->part >= meta->n_parts)
		return FIRN_EINVAL;
	struct segment_writer *w = mem_zalloc(env, sizeof *w);
	if (!w)
		return FIRN_ENOMEM;
	w->env = env;
	w->meta = *meta;
	w->zstd_level = zstd_level;
	buf_init(&w->out, env);
	buf_init(&w->squeezed, env);
	buf_init(&w->desc, env);
	buf_init(&w->payload, env);
	for (int i = 0; i < SECTION_KINDS; i++) {
		buf_init(&w->section[i].rows, env);
		buf_init(&w->section[i].offset, env);
	}
	writer_header(w);
	if (segment_writer_failed(w)) {
		segment_writer_close(w);
		return FIRN_ENOMEM;
	}
	*out = w;
	return 0;
}

void segment_writer_close(struct segment_writer *w)
{
	if (!w)
		return;
	for (int i = 0; i < SECTION_KINDS; i++) {
		buf_fini(&w->section[i].rows);
		buf_fini(&w->section[i].offset);
	}
	buf_fini(&w->payload);
	buf_fini(&w->desc);
	buf_fini(&w->squeezed);
	buf_fini(&w->out);
	ZSTD_freeCCtx(w->zstd);
	mem_free(w->env, w);
}

int segment_writer_reserve(struct segment_writer *w, size_t bytes)
{
	size_t len = w->out.len;
	if (!buf_add(&w->out, bytes))
		return FIRN_ENOMEM;
	w->out.len = len;
	return 0;
}

bool segment_writer_failed(const struct segment_writer *w)
{
	int failed = w->out.failed | w->desc.failed | w->payload.failed;
	for (int i = 0; i < SECTION_KINDS; i++)
		failed |= w->section[i].rows.failed | w->section[i].offset.failed;
	return failed != 0;
}

/* ---- batches into the open block ---- */

static bool batch_is_next(const struct segment_writer *w, const struct batch *b)
{
	return b->stream > w->last_stream ||
	       (b->stream == w->last_stream && b->offset >= w->last_next);
}

static void block_begin(struct segment_writer *w, const struct batch *b, uint32_t compress)
{
	w->block = (struct block_entry){
		.stream = b->stream,
		.base = b->offset,
		.min_timestamp_ms = b->timestamp_ms,
		.max_timestamp_ms = b->timestamp_ms,
		.min_append_ms = b->append_ms,
		.max_append_ms = b->append_ms,
	};
	w->block_compress = compress;
	w->desc.len = 0;
	w->payload.len = 0;
}

/* Adds the descriptor, and looks at it with a reader's eyes: one that makes no sense is taken
 * back. */
static int block_add_desc(struct segment_writer *w, const struct batch *b)
{
	size_t len = batch_desc_len(b->key_len, b->attr_len);
	uint8_t *desc = buf_add(&w->desc, len);
	if (!desc)
		return FIRN_ENOMEM;
	batch_desc_put(desc, b);
	struct batch again;
	if (batch_desc_get(desc, len, &again) == len)
		return 0;
	w->desc.len -= len;
	return FIRN_EINVAL;
}

static int block_add(struct segment_writer *w, const struct batch *b)
{
	struct block_entry *e = &w->block;
	int rc = block_add_desc(w, b);
	if (rc)
		return rc;
	buf_put(&w->payload, b->payload, b->payload_len);
	e->n_batch++;
	e->next = b->offset + b->n_offsets;
	e->payload_bytes += b->payload_len;
	if (b->timestamp_ms < e->min_timestamp_ms)
		e->min_timestamp_ms = b->timestamp_ms;
	if (b->timestamp_ms > e->max_timestamp_ms)
		e->max_timestamp_ms = b->timestamp_ms;
	if (b->append_ms < e->min_append_ms)
		e->min_append_ms = b->append_ms;
	if (b->append_ms > e->max_append_ms)
		e->max_append_ms = b->append_ms;
	return segment_writer_failed(w) ? FIRN_ENOMEM : 0;
}

static bool block_takes(const struct segment_writer *w, const struct batch *b, uint32_t compress)
{
	size_t len = BLOCK_HEADER_LEN + w->desc.len + w->payload.len;
	return w->block.stream == b->stream && w->block_compress == compress &&
	       len + batch_desc_len(b->key_len, b->attr_len) + b->payload_len <=
	               SEGMENT_BLOCK_BYTES;
}

int segment_writer_batch(struct segment_writer *w, const struct batch *b, uint32_t compress)
{
	if (w->finished || compress > COMPRESS_ZSTD || !batch_is_next(w, b))
		return FIRN_EINVAL;
	if (w->block.n_batch && !block_takes(w, b, compress))
		segment_writer_block_close(w);
	if (!w->block.n_batch)
		block_begin(w, b, compress);
	int rc = block_add(w, b);
	if (rc)
		return rc;
	w->last_stream = b->stream;
	w->last_next = b->offset + b->n_offsets;
	return 0;
}

void segment_writer_cut(struct segment_writer *w)
{
	if (!w->finished && w->block.n_batch)
		segment_writer_block_close(w);
}

/* ---- blocks into the open frame ---- */

static void block_header_put(uint8_t *at, const struct segment_writer *w)
{
	const struct block_entry *e = &w->block;
	memcpy(at + BLOCK_MAGIC, SEGMENT_BLOCK_MAGIC, 8);
	memcpy(at + BLOCK_VOLUME, w->meta.volume_id, 16);
	le64_put(at + BLOCK_STREAM, e->stream);
	le64_put(at + BLOCK_BASE, e->base);
	le64_put(at + BLOCK_NEXT, e->next);
	le32_put(at + BLOCK_N_BATCH, e->n_batch);
	le32_put(at + BLOCK_DESC_LEN, (uint32_t)w->desc.len);
	le64_put(at + BLOCK_PAYLOAD_LEN, e->payload_bytes);
}

void segment_writer_block_close(struct segment_writer *w)
{
	struct block_entry *e = &w->block;
	size_t head_len = BLOCK_HEADER_LEN + w->desc.len, len = head_len + w->payload.len;
	if (!e->n_batch || segment_writer_failed(w))
		return;
	size_t used = w->out.len - w->frame_pos;
	if (used && (w->frame_compress != w->block_compress || used + len > SEGMENT_FRAME_BYTES))
		segment_writer_frame_close(w);
	if (w->out.len == w->frame_pos) {
		w->frame_row = w->section[SECTION_BLOCKS].count;
		w->frame_compress = w->block_compress;
	}
	size_t pos = w->out.len;
	uint8_t *at = buf_add(&w->out, len);
	if (!at)
		return;
	block_header_put(at, w);
	memcpy(at + BLOCK_HEADER_LEN, w->desc.data, w->desc.len);
	if (w->payload.len)
		memcpy(at + head_len, w->payload.data, w->payload.len);
	e->block_pos = (uint32_t)(pos - w->frame_pos);
	e->block_len = (uint32_t)len;
	e->block_sum = sum64_seed(at, head_len, block_seed(w->meta.volume_id, e));
	uint8_t *row = segment_writer_row(w, SECTION_BLOCKS, ROW_BLOCK_LEN);
	if (row)
		segment_row_block_put(row, e);
	e->n_batch = 0;
}

/* ---- frames ---- */

/* The compressed length, or 0 when the frame is to stay raw. */
static size_t frame_squeeze(struct segment_writer *w, const uint8_t *raw, size_t len)
{
	if (w->zstd_level == 0 || w->frame_compress == COMPRESS_NONE)
		return 0;
	if (!w->zstd) {
		w->zstd = ZSTD_createCCtx();
		if (!w->zstd)
			return 0;
		(void)ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_compressionLevel, w->zstd_level);
	}
	/* No room for more than would pay: zstd then gives up by itself. */
	size_t pays = w->frame_compress == COMPRESS_ZSTD ? len - 1 : len - len / 8;
	if (w->squeezed.failed)
		return 0;
	w->squeezed.len = 0;
	void *to = buf_add(&w->squeezed, pays);
	if (!to)
		return 0;
	size_t n = ZSTD_compress2(w->zstd, to, pays, raw, len);
	return ZSTD_isError(n) ? 0 : n;
}

void segment_writer_frame_close(struct segment_writer *w)
{
	size_t raw_len = w->out.len - w->frame_pos;
	if (raw_len == 0 || segment_writer_failed(w))
		return;
	uint8_t *frame = w->out.data + w->frame_pos;
	size_t len = frame_squeeze(w, frame, raw_len);
	uint8_t codec = len ? SEGMENT_ZSTD : SEGMENT_RAW;
	if (len) {
		memcpy(frame, w->squeezed.data, len);
		w->out.len = w->frame_pos + len;
	} else {
		len = raw_len;
	}
	uint64_t sum = sum64(frame, len);
	struct section_rows *blocks = &w->section[SECTION_BLOCKS];
	for (uint32_t i = w->frame_row; i < blocks->count; i++) {
		uint8_t *row = blocks->rows.data + (size_t)i * ROW_BLOCK_LEN;
		le64_put(row + ROW_BLOCK_FRAME_POS, w->frame_pos);
		le32_put(row + ROW_BLOCK_FRAME_LEN, (uint32_t)len);
		le32_put(row + ROW_BLOCK_FRAME_RAW_LEN, (uint32_t)raw_len);
		le64_put(row + ROW_BLOCK_FRAME_SUM, sum);
		row[ROW_BLOCK_CODEC] = codec;
	}
	w->frame_pos = w->out.len;
}
