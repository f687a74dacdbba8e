/* A segment told from its first byte to its last: header, frames with their blocks, sections,
 * trailer.
 *
 * Meant for damaged objects as well: what cannot be trusted is left out with the reason in its
 * place ("!! ..."), and the walk goes on behind it. Only header and trailer, whose places are
 * fixed, are shown whatever they hold; all else was checked against its bounds. */
#include "engine/segment/dump.h"
#include "engine/base/error.h"
#include "engine/base/le.h"
#include "engine/base/mem.h"
#include <inttypes.h>

/* ---- frames ---- */

static void dump_batches(struct dump *d, const struct block *b, const uint8_t *raw, uint64_t pos)
{
	struct batch batch;
	for (uint64_t at = 0; (at = block_next(b, at, &batch)) != 0;) {
		const uint8_t *desc = batch.key - BATCH_DESC_LEN,
		              *used = batch.attr + batch.attr_len;
		uint64_t desc_pos = pos + (uint64_t)(desc - raw);
		size_t len = batch_desc_len(batch.key_len, batch.attr_len);
		segment_dump_head(d, "batch of stream %" PRIu64 " at offset %" PRIu64, batch.stream,
		                  batch.offset);
		segment_dump_fields(d, segment_fields_desc, desc_pos, desc);
		segment_dump_bytes(d, "key", pos + (uint64_t)(batch.key - raw), batch.key,
		                   batch.key_len);
		segment_dump_bytes(d, "attr", pos + (uint64_t)(batch.attr - raw), batch.attr,
		                   batch.attr_len);
		segment_dump_bytes(d, "padding", pos + (uint64_t)(used - raw), used,
		                   (size_t)(desc + len - used));
	}
	segment_dump_head(d, "payloads");
	for (uint64_t at = 0; (at = block_next(b, at, &batch)) != 0;)
		segment_dump_bytes(d, "payload", pos + (uint64_t)(batch.payload - raw),
		                   batch.payload, batch.payload_len);
}

/* `pos` is where the raw frame begins: in the object, or 0 for one that was decompressed. */
static void dump_block(struct dump *d, const struct segment_footer *f, const struct block_entry *e,
                       const uint8_t *raw, uint64_t pos)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct block block;
	segment_dump_head(d, "block of stream %" PRIu64 ", offsets %" PRIu64 " to %" PRIu64,
	                  e->stream, e->base, e->next);
	segment_dump_fields(d, segment_fields_block, pos + e->block_pos, raw + e->block_pos);
	if (block_open(f->meta.volume_id, e, raw, e->frame_raw_len, &block, &err))
		segment_dump_error(d, &err);
	else
		dump_batches(d, &block, raw, pos);
}

/* The frame of row i and its blocks; returns the row after them. */
static uint32_t dump_frame(struct dump *d, const struct segment_footer *f, const uint8_t *object,
                           uint32_t i)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct block_entry first, e;
	segment_block_at(f, i, &first);
	bool zstd = first.codec == SEGMENT_ZSTD;
	segment_dump_head(d, "frame at %" PRIu64 ": %s, %" PRIu32 " bytes hold %" PRIu32,
	                  first.frame_pos, zstd ? "zstd" : "raw", first.frame_len,
	                  first.frame_raw_len);
	const uint8_t *stored = object + first.frame_pos;
	if (zstd)
		segment_dump_bytes(d, "zstd", first.frame_pos, stored, first.frame_len);
	uint8_t *raw = mem_alloc(f->env, first.frame_raw_len);
	bool good = false;
	if (!raw)
		(void)fail(&err, FIRN_ENOMEM, 0, "segment", "no memory for a frame");
	else
		good = segment_frame_decode(&first, stored, first.frame_len, raw, &err) == 0;
	if (!good)
		segment_dump_error(d, &err);
	d->in_frame = zstd;
	for (e = first; e.frame_pos == first.frame_pos;) {
		if (good)
			dump_block(d, f, &e, raw, zstd ? 0 : first.frame_pos);
		if (++i == segment_n_blocks(f))
			break;
		segment_block_at(f, i, &e);
	}
	d->in_frame = false;
	mem_free(f->env, raw);
	return i;
}

/* ---- sections ---- */

/* A row's variable bytes: which u32 of the fixed part gives their length. */
static const struct part {
	uint16_t len_at;
	const char *name;
} parts[SECTION_KINDS][2] = {
	[SECTION_STREAMS] = { { 12, "name" }, { 80, "config" } },
	[SECTION_KV] = { { 16, "key" }, { 20, "value" } },
	[SECTION_KEYS] = { { 36, "key" }, { 0, NULL } },
};
static const uint8_t fixed_len[SECTION_KINDS] = {
	[SECTION_BLOCKS] = ROW_BLOCK_LEN,       [SECTION_STREAMS] = ROW_STREAM_LEN,
	[SECTION_GAPS] = ROW_GAP_LEN,           [SECTION_KV] = ROW_KV_LEN,
	[SECTION_PRODUCERS] = ROW_PRODUCER_LEN, [SECTION_KEYS] = ROW_KEY_LEN,
	[SECTION_LOST] = ROW_LOST_LEN,
};

void segment_dump_row(struct dump *d, int kind, uint64_t pos, const uint8_t *row, size_t len)
{
	size_t at = fixed_len[kind];
	segment_dump_fields(d, segment_fields_row[kind], pos, row);
	for (int i = 0; i < 2 && parts[kind][i].name; i++) {
		uint32_t n = le32_get(row + parts[kind][i].len_at);
		segment_dump_bytes(d, parts[kind][i].name, pos + at, row + at, n);
		at += n;
	}
	for (; kind == SECTION_PRODUCERS && at < len; at += ROW_PRODUCER_BATCH_LEN)
		segment_dump_fields(d, segment_fields_producer_batch, pos + at, row + at);
	segment_dump_bytes(d, "padding", pos + at, row + at, len - at);
}

static void dump_section(struct dump *d, const struct segment_footer *f, int kind)
{
	const struct section *s = &f->section[kind];
	uint64_t pos = f->pos + (uint64_t)(s->at - f->bytes);
	segment_dump_head(d, "footer: %s, %" PRIu32 " rows", segment_section_types[kind].name,
	                  s->count);
	if (!segment_section_types[kind].fixed) {
		for (uint32_t i = 0; i < s->count; i++)
			segment_dump_u32(d, "row at", pos + (uint64_t)i * 4, s->at + (size_t)i * 4);
		segment_dump_bytes(d, "padding", pos + (uint64_t)s->count * 4,
		                   s->at + (size_t)s->count * 4, s->count % 2 * 4);
	}
	for (uint32_t i = 0; i < s->count; i++) {
		size_t len;
		const uint8_t *row = segment_footer_row(f, (enum section_kind)kind, i, &len);
		len = segment_section_types[kind].check(row, len);
		segment_dump_head(d, "%s row %" PRIu32, segment_section_types[kind].name, i);
		segment_dump_row(d, kind, pos + (uint64_t)(row - s->at), row, len);
	}
}

static void dump_trailer(struct dump *d, const uint8_t *at, uint64_t pos)
{
	static const struct field sum[] = { { TRAILER_SUM, 8, FIELD_SUM, "trailer sum" },
		                            { 0, 0, 0, NULL } };
	segment_dump_head(d, "trailer");
	segment_dump_fields(d, segment_fields_trailer, pos, at);
	for (int kind = 0; kind < SECTION_KINDS; kind++) {
		int slot = TRAILER_SECTIONS + kind * SECTION_SLOT_LEN;
		segment_dump_head(d, "trailer: %s", segment_section_types[kind].name);
		segment_dump_fields(d, segment_fields_slot, pos + (uint64_t)slot, at + slot);
	}
	int used = TRAILER_SECTIONS + SECTION_KINDS * SECTION_SLOT_LEN;
	segment_dump_head(d, "trailer: room for more, and the end");
	segment_dump_bytes(d, "reserved", pos + (uint64_t)used, at + used,
	                   (size_t)(TRAILER_SUM - used));
	segment_dump_fields(d, sum, pos, at);
}

static void dump_header(struct dump *d, const uint8_t *object)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct segment_meta meta;
	segment_dump_head(d, "header");
	segment_dump_fields(d, segment_fields_header, 0, object);
	if (segment_head_check(object, SEGMENT_HEADER_LEN, SEGMENT_HEADER_MAGIC, "header", 0, &meta,
	                       &err))
		segment_dump_error(d, &err);
}

int segment_dump(const struct firn_env *env, const uint8_t *object, size_t len,
                 void (*line)(void *arg, const char *text), void *arg, struct firn_error *out)
{
	struct dump d = { .line = line, .arg = arg, .err = out };
	struct firn_error err = FIRN_ERROR_INIT;
	struct segment_footer *f;
	size_t need;
	if (len >= SEGMENT_HEADER_LEN)
		dump_header(&d, object);
	if (segment_footer_open(env, object, len, len, &f, &need, &err)) {
		segment_dump_error(&d, &err);
	} else {
		for (uint32_t i = 0; i < segment_n_blocks(f);)
			i = dump_frame(&d, f, object, i);
		for (int kind = 0; kind < SECTION_KINDS; kind++)
			dump_section(&d, f, kind);
		segment_footer_close(f);
	}
	if (len >= SEGMENT_HEADER_LEN + SEGMENT_TRAILER_LEN)
		dump_trailer(&d, object + len - SEGMENT_TRAILER_LEN, len - SEGMENT_TRAILER_LEN);
	return d.rc;
}
