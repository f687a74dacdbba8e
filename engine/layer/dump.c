/* A part of a run told from its first byte to its last. Meant for damaged objects as well: what cannot be
 * trusted is left out with the reason in its place, and the walk goes on behind it. */
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/layer/format.h"
#include "engine/segment/dump.h"
#include <inttypes.h>

static const struct field fields_header[] = {
	{ 0, 8, FIELD_TEXT, "magic" },      { 8, 4, FIELD_UINT, "version" },
	{ 12, 4, FIELD_UINT, "compat" },    { 16, 4, FIELD_UINT, "incompat" },
	{ 20, 4, FIELD_ZERO, "reserved" },  { 24, 16, FIELD_BYTES, "volume id" },
	{ 40, 8, FIELD_UINT, "epoch" },     { 48, 8, FIELD_UINT, "n" },
	{ 56, 8, FIELD_SUM, "header sum" }, { 0, 0, 0, NULL },
};

static const struct field fields_trailer[] = {
	{ 0, 8, FIELD_TEXT, "magic" },
	{ 8, 4, FIELD_UINT, "version" },
	{ 12, 4, FIELD_UINT, "compat" },
	{ 16, 4, FIELD_UINT, "incompat" },
	{ 20, 4, FIELD_ZERO, "reserved" },
	{ 24, 16, FIELD_BYTES, "volume id" },
	{ 40, 8, FIELD_UINT, "epoch" },
	{ 48, 8, FIELD_UINT, "n" },
	{ LAYER_AT_REV_FROM, 8, FIELD_UINT, "rev_from" },
	{ LAYER_AT_REV_TO, 8, FIELD_UINT, "rev_to" },
	{ LAYER_AT_LEVEL, 4, FIELD_UINT, "level" },
	{ LAYER_AT_PART, 4, FIELD_UINT, "part" },
	{ LAYER_AT_LAST, 4, FIELD_UINT, "last" },
	{ LAYER_AT_N_BLOCK, 4, FIELD_UINT, "n_block" },
	{ LAYER_AT_CREATED_MS, 8, FIELD_INT, "created_ms" },
	{ LAYER_AT_FOOTER_POS, 8, FIELD_UINT, "footer_pos" },
	{ LAYER_AT_FOOTER_LEN, 8, FIELD_UINT, "footer_len" },
	{ LAYER_AT_FOOTER_SUM, 8, FIELD_SUM, "footer_sum" },
	{ LAYER_AT_OBJECT_LEN, 8, FIELD_UINT, "object_len" },
	{ LAYER_AT_N_ROW, 8, FIELD_UINT, "n_row" },
	{ LAYER_AT_N_SEGMENT, 4, FIELD_UINT, "n_segment" },
	{ LAYER_AT_ZERO, 4, FIELD_ZERO, "reserved" },
	{ LAYER_AT_SEGMENT_BYTES, 8, FIELD_UINT, "segment_bytes" },
	{ 0, 0, 0, NULL },
};
static const struct field fields_trailer_sum[] = { { LAYER_AT_SUM, 8, FIELD_SUM, "trailer sum" },
	                                           { 0, 0, 0, NULL } };

static const struct field fields_block[] = {
	{ 0, 8, FIELD_UINT, "block_pos" },
	{ 8, 4, FIELD_UINT, "block_len" },
	{ 12, 4, FIELD_UINT, "raw_len" },
	{ 16, 8, FIELD_SUM, "block sum" },
	{ 24, 4, FIELD_UINT, "n_row" },
	{ 28, 4, FIELD_UINT, "codec" },
	{ 32, 8, FIELD_UINT, "stream" },
	{ 40, 8, FIELD_ZERO, "reserved" },
	{ 0, 0, 0, NULL },
};

static const struct field fields_head[] = { { 0, 4, FIELD_UINT, "row_len" },
	                                    { 4, 1, FIELD_UINT, "kind" },
	                                    { 5, 3, FIELD_ZERO, "reserved" },
	                                    { 0, 0, 0, NULL } };
static const struct field fields_extent[] = { { 0, 8, FIELD_UINT, "segment epoch" },
	                                      { 8, 8, FIELD_UINT, "segment n" },
	                                      { 0, 0, 0, NULL } };
static const struct field fields_segment[] = {
	{ 0, 8, FIELD_UINT, "epoch" },         { 8, 8, FIELD_UINT, "n" },
	{ 16, 8, FIELD_UINT, "bytes" },        { 24, 8, FIELD_UINT, "footer_pos" },
	{ 32, 8, FIELD_SUM, "footer_sum" },    { 40, 8, FIELD_UINT, "rev_from" },
	{ 48, 8, FIELD_UINT, "rev_to" },       { 56, 8, FIELD_INT, "min_append_ms" },
	{ 64, 8, FIELD_INT, "max_append_ms" }, { 72, 4, FIELD_UINT, "part" },
	{ 76, 4, FIELD_UINT, "n_parts" },      { 80, 4, FIELD_UINT, "n_block" },
	{ 84, 4, FIELD_ZERO, "reserved" },     { 0, 0, 0, NULL },
};

static const struct kind {
	const char *name;
	int section; /* whose row it is */
} kinds[LAYER_SEGMENT + 1] = {
	[LAYER_LOST] = { "lost", SECTION_LOST },
	[LAYER_STREAM] = { "stream", SECTION_STREAMS },
	[LAYER_EXTENT] = { "extent", SECTION_BLOCKS },
	[LAYER_GAP] = { "gap", SECTION_GAPS },
	[LAYER_KV] = { "kv", SECTION_KV },
	[LAYER_PRODUCER] = { "producer", SECTION_PRODUCERS },
	[LAYER_KEY] = { "key", SECTION_KEYS },
	[LAYER_SEGMENT] = { "segment", SECTION_KINDS },
};

static void dump_row(struct dump *d, const uint8_t *at, size_t len, uint64_t pos,
                     const struct layer_row *r)
{
	segment_dump_head(d, "%s row", kinds[r->kind].name);
	segment_dump_fields(d, fields_head, pos, at);
	at += LAYER_ROW_HEAD;
	pos += LAYER_ROW_HEAD;
	len -= LAYER_ROW_HEAD;
	if (r->kind == LAYER_SEGMENT) {
		segment_dump_fields(d, fields_segment, pos, at);
		return;
	}
	if (r->kind == LAYER_EXTENT) {
		segment_dump_fields(d, fields_extent, pos, at);
		at += LAYER_EXTENT_HEAD;
		pos += LAYER_EXTENT_HEAD;
		len -= LAYER_EXTENT_HEAD;
	}
	segment_dump_row(d, kinds[r->kind].section, pos, at, len);
}

static void dump_rows(struct dump *d, const struct layer_object *o, const struct layer_block *b,
                      const uint8_t *raw, uint64_t pos)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct layer_row r, last = { .kind = 0 };
	for (size_t at = 0, len; at < b->raw_len; at += len) {
		len = layer_row_get(raw + at, b->raw_len - at, &r);
		if (!len)
			break;
		dump_row(d, raw + at, len, pos + at, &r);
	}
	if (layer_rows_check(o, b, raw, &last, NULL, NULL, &err))
		segment_dump_error(d, &err);
}

static void dump_block(struct dump *d, const struct firn_env *env, const struct layer_object *o,
                       uint32_t i)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct layer_block b;
	layer_block_at(o, i, &b);
	bool zstd = b.codec == SEGMENT_ZSTD;
	segment_dump_head(d, "block at %" PRIu64 ": %s, %" PRIu32 " bytes hold %" PRIu32, b.pos,
	                  zstd ? "zstd" : "raw", b.len, b.raw_len);
	if (zstd)
		segment_dump_bytes(d, "zstd", b.pos, o->data + b.pos, b.len);
	uint8_t *raw = mem_alloc(env, b.raw_len);
	if (!raw)
		(void)fail(&err, FIRN_ENOMEM, 0, "layer", "no memory for a block");
	if (!raw || layer_block_decode(o, &b, raw, &err)) {
		segment_dump_error(d, &err);
	} else {
		d->in_frame = zstd;
		dump_rows(d, o, &b, raw, zstd ? 0 : b.pos);
		d->in_frame = false;
	}
	mem_free(env, raw);
}

static void dump_ends(struct dump *d, const uint8_t *data, size_t len)
{
	uint64_t pos = len - LAYER_TRAILER_LEN;
	const uint8_t *t = data + pos;
	segment_dump_head(d, "trailer");
	segment_dump_fields(d, fields_trailer, pos, t);
	segment_dump_bytes(d, "reserved", pos + LAYER_AT_RESERVED, t + LAYER_AT_RESERVED,
	                   LAYER_AT_SUM - LAYER_AT_RESERVED);
	segment_dump_fields(d, fields_trailer_sum, pos, t);
}

int layer_dump(const struct firn_env *env, const uint8_t *data, size_t len,
               void (*line)(void *arg, const char *text), void *arg, struct firn_error *out)
{
	struct dump d = { .line = line, .arg = arg, .err = out };
	struct firn_error err = FIRN_ERROR_INIT;
	struct layer_object o;
	if (len >= LAYER_HEADER_LEN) {
		segment_dump_head(&d, "header");
		segment_dump_fields(&d, fields_header, 0, data);
	}
	if (layer_open(data, len, &o, &err)) {
		segment_dump_error(&d, &err);
	} else {
		for (uint32_t i = 0; i < o.n_block; i++)
			dump_block(&d, env, &o, i);
		for (uint32_t i = 0; i < o.n_block; i++) {
			uint64_t pos = o.footer_pos + (uint64_t)i * LAYER_INDEX_ROW_LEN;
			segment_dump_head(&d, "footer: block %" PRIu32, i);
			segment_dump_fields(&d, fields_block, pos, data + pos);
		}
	}
	if (len >= LAYER_HEADER_LEN + LAYER_TRAILER_LEN)
		dump_ends(&d, data, len);
	return d.rc;
}
