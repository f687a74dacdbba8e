/* Fields of the format as tables, and how one becomes a line:
 *
 *   00000028  07 00 00 00 00 00 00 00          epoch            7
 *
 * The tables repeat the positions of format.h and row.c on purpose: a test writes a segment, dumps
 * it and compares with FORMAT.md, so the page, the code and these tables cannot drift apart. */
#include "engine/segment/dump.h"
#include "engine/base/error.h"
#include "engine/base/le.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum { BYTES_A_LINE = 16, BYTES_SHOWN = 64 };

const struct field segment_fields_header[] = {
	{ 0, 8, FIELD_TEXT, "magic" },      { 8, 4, FIELD_UINT, "version" },
	{ 12, 4, FIELD_UINT, "compat" },    { 16, 4, FIELD_UINT, "incompat" },
	{ 20, 4, FIELD_ZERO, "reserved" },  { 24, 16, FIELD_BYTES, "volume id" },
	{ 40, 8, FIELD_UINT, "epoch" },     { 48, 8, FIELD_UINT, "n" },
	{ 56, 8, FIELD_SUM, "header sum" }, { 0, 0, 0, NULL },
};

const struct field segment_fields_trailer[] = {
	{ 0, 8, FIELD_TEXT, "magic" },
	{ 8, 4, FIELD_UINT, "version" },
	{ 12, 4, FIELD_UINT, "compat" },
	{ 16, 4, FIELD_UINT, "incompat" },
	{ 20, 4, FIELD_ZERO, "reserved" },
	{ 24, 16, FIELD_BYTES, "volume id" },
	{ 40, 8, FIELD_UINT, "epoch" },
	{ 48, 8, FIELD_UINT, "n" },
	{ 56, 8, FIELD_UINT, "rev_from" },
	{ 64, 8, FIELD_UINT, "rev_to" },
	{ 72, 4, FIELD_UINT, "part" },
	{ 76, 4, FIELD_UINT, "n_parts" },
	{ 80, 8, FIELD_INT, "created_ms" },
	{ 88, 8, FIELD_UINT, "footer_pos" },
	{ 96, 8, FIELD_UINT, "footer_len" },
	{ 104, 8, FIELD_SUM, "footer_sum" },
	{ 112, 8, FIELD_UINT, "object_len" },
	{ 120, 4, FIELD_UINT, "n_sections" },
	{ 124, 4, FIELD_ZERO, "reserved" },
	{ 0, 0, 0, NULL }, /* slots, reserved room and the checksum follow */
};

const struct field segment_fields_slot[] = {
	{ 0, 8, FIELD_UINT, "section pos" }, { 8, 8, FIELD_UINT, "section len" },
	{ 16, 4, FIELD_UINT, "count" },      { 20, 4, FIELD_ZERO, "reserved" },
	{ 24, 8, FIELD_SUM, "section sum" }, { 0, 0, 0, NULL },
};

const struct field segment_fields_block[] = {
	{ 0, 8, FIELD_TEXT, "magic" },
	{ 8, 16, FIELD_BYTES, "volume id" },
	{ 24, 8, FIELD_UINT, "stream" },
	{ 32, 8, FIELD_UINT, "base" },
	{ 40, 8, FIELD_UINT, "next" },
	{ 48, 4, FIELD_UINT, "n_batch" },
	{ 52, 4, FIELD_UINT, "desc_len" },
	{ 56, 8, FIELD_UINT, "payload_len" },
	{ 0, 0, 0, NULL },
};

/* See engine/base/batch.h. */
const struct field segment_fields_desc[] = {
	{ 0, 8, FIELD_UINT, "stream" },        { 8, 8, FIELD_UINT, "offset" },
	{ 16, 4, FIELD_UINT, "n_offsets" },    { 20, 4, FIELD_UINT, "payload_len" },
	{ 24, 8, FIELD_SUM, "payload_sum" },   { 32, 8, FIELD_INT, "timestamp_ms" },
	{ 40, 8, FIELD_INT, "append_ms" },     { 48, 8, FIELD_UINT, "rev" },
	{ 56, 8, FIELD_UINT, "epoch" },        { 64, 8, FIELD_UINT, "producer_id" },
	{ 72, 8, FIELD_UINT, "producer_seq" }, { 80, 4, FIELD_UINT, "producer_epoch" },
	{ 84, 4, FIELD_UINT, "tag" },          { 88, 2, FIELD_UINT, "flags" },
	{ 90, 1, FIELD_UINT, "key_len" },      { 91, 1, FIELD_UINT, "attr_len" },
	{ 92, 4, FIELD_ZERO, "reserved" },     { 0, 0, 0, NULL },
};

static const struct field fields_block_row[] = {
	{ 0, 8, FIELD_UINT, "stream" },
	{ 8, 8, FIELD_UINT, "base" },
	{ 16, 8, FIELD_UINT, "next" },
	{ 24, 8, FIELD_UINT, "frame_pos" },
	{ 32, 4, FIELD_UINT, "frame_len" },
	{ 36, 4, FIELD_UINT, "frame_raw_len" },
	{ 40, 4, FIELD_UINT, "block_pos" },
	{ 44, 4, FIELD_UINT, "block_len" },
	{ 48, 8, FIELD_SUM, "frame_sum" },
	{ 56, 8, FIELD_SUM, "block_sum" },
	{ 64, 4, FIELD_UINT, "n_batch" },
	{ 68, 4, FIELD_UINT, "key_id" },
	{ 72, 1, FIELD_UINT, "codec" },
	{ 73, 1, FIELD_UINT, "cipher" },
	{ 74, 6, FIELD_ZERO, "reserved" },
	{ 80, 8, FIELD_INT, "min_timestamp_ms" },
	{ 88, 8, FIELD_INT, "max_timestamp_ms" },
	{ 96, 8, FIELD_INT, "min_append_ms" },
	{ 104, 8, FIELD_INT, "max_append_ms" },
	{ 112, 8, FIELD_UINT, "payload_bytes" },
	{ 120, 8, FIELD_ZERO, "origin stream" },
	{ 128, 8, FIELD_ZERO, "generation" },
	{ 0, 0, 0, NULL },
};

static const struct field fields_stream_row[] = {
	{ 0, 8, FIELD_UINT, "stream" },         { 8, 4, FIELD_UINT, "flags" },
	{ 12, 4, FIELD_UINT, "name_len" },      { 16, 8, FIELD_UINT, "start" },
	{ 24, 8, FIELD_UINT, "next" },          { 32, 8, FIELD_UINT, "rev_created" },
	{ 40, 8, FIELD_UINT, "rev_last" },      { 48, 8, FIELD_INT, "first_append_ms" },
	{ 56, 8, FIELD_INT, "last_append_ms" }, { 64, 8, FIELD_INT, "max_timestamp_ms" },
	{ 72, 8, FIELD_UINT, "bytes" },         { 80, 4, FIELD_UINT, "config_len" },
	{ 84, 4, FIELD_ZERO, "reserved" },      { 0, 0, 0, NULL },
};

static const struct field fields_gap_row[] = {
	{ 0, 8, FIELD_UINT, "stream" },    { 8, 8, FIELD_UINT, "from" },
	{ 16, 8, FIELD_UINT, "to" },       { 24, 4, FIELD_UINT, "kind" },
	{ 28, 4, FIELD_ZERO, "reserved" }, { 0, 0, 0, NULL },
};

static const struct field fields_kv_row[] = {
	{ 0, 8, FIELD_UINT, "stream" },
	{ 8, 8, FIELD_UINT, "rev" },
	{ 16, 4, FIELD_UINT, "key_len" },
	{ 20, 4, FIELD_UINT, "value_len" },
	{ 24, 4, FIELD_UINT, "deleted" },
	{ 28, 4, FIELD_ZERO, "reserved" },
	{ 0, 0, 0, NULL },
};

static const struct field fields_producer_row[] = {
	{ 0, 8, FIELD_UINT, "stream" },
	{ 8, 8, FIELD_UINT, "producer_id" },
	{ 16, 4, FIELD_UINT, "producer_epoch" },
	{ 20, 4, FIELD_UINT, "n_batch" },
	{ 24, 8, FIELD_UINT, "seq_next" },
	{ 32, 8, FIELD_INT, "last_ms" },
	{ 40, 4, FIELD_UINT, "window_reset" },
	{ 44, 4, FIELD_ZERO, "reserved" },
	{ 0, 0, 0, NULL },
};

const struct field segment_fields_producer_batch[] = {
	{ 0, 8, FIELD_UINT, "seq" },    { 8, 8, FIELD_UINT, "offset" },
	{ 16, 8, FIELD_UINT, "rev" },   { 24, 4, FIELD_UINT, "n_offsets" },
	{ 28, 4, FIELD_UINT, "n_seq" }, { 0, 0, 0, NULL },
};

static const struct field fields_key_row[] = {
	{ 0, 8, FIELD_UINT, "stream" },
	{ 8, 8, FIELD_UINT, "offset" },
	{ 16, 8, FIELD_UINT, "rev" },
	{ 24, 8, FIELD_INT, "append_ms" },
	{ 32, 4, FIELD_UINT, "n_offsets" },
	{ 36, 4, FIELD_UINT, "key_len" },
	{ 0, 0, 0, NULL },
};

static const struct field fields_lost_row[] = {
	{ 0, 16, FIELD_BYTES, "nonce" },     { 16, 16, FIELD_BYTES, "wal id" },
	{ 32, 8, FIELD_UINT, "rev_stored" }, { 40, 8, FIELD_UINT, "rev_skip" },
	{ 48, 8, FIELD_INT, "at_ms" },       { 0, 0, 0, NULL },
};

const struct field *const segment_fields_row[SECTION_KINDS] = {
	[SECTION_BLOCKS] = fields_block_row,       [SECTION_STREAMS] = fields_stream_row,
	[SECTION_GAPS] = fields_gap_row,           [SECTION_KV] = fields_kv_row,
	[SECTION_PRODUCERS] = fields_producer_row, [SECTION_KEYS] = fields_key_row,
	[SECTION_LOST] = fields_lost_row,
};

/* ---- lines ---- */

void segment_dump_head(struct dump *d, const char *format, ...)
{
	char text[160] = "-- ";
	va_list args;
	va_start(args, format);
	(void)vsnprintf(text + 3, sizeof text - 3, format, args);
	va_end(args);
	d->line(d->arg, text);
}

void segment_dump_error(struct dump *d, const struct firn_error *err)
{
	char text[256];
	(void)snprintf(text, sizeof text, "!! %s", err->text);
	d->line(d->arg, text);
	if (d->rc == 0) {
		d->rc = err->code;
		if (d->err)
			(void)fail(d->err, err->code, 0, err->origin, "%s", err->text);
	}
}

/* One line: position, up to 16 bytes in hex, name, value. */
static void dump_line(const struct dump *d, uint64_t pos, const uint8_t *at, size_t len,
                      const char *name, const char *value)
{
	char text[160], hex[3 * BYTES_A_LINE + 1] = "";
	for (size_t i = 0; i < len && i < BYTES_A_LINE; i++)
		(void)snprintf(hex + 3 * i, 4, "%02x ", at[i]);
	int n = snprintf(text, sizeof text,
	                 d->in_frame ? "+%07" PRIx64 "  %-48s %-17s%s"
	                             : "%08" PRIx64 "  %-48s %-17s%s",
	                 pos, hex, name, value);
	while (n > 0 && (size_t)n < sizeof text && text[n - 1] == ' ')
		text[--n] = 0;
	d->line(d->arg, text);
}

static uint64_t field_number(const uint8_t *at, unsigned len)
{
	uint64_t v = 0;
	for (unsigned i = len; i-- > 0;)
		v = v << 8 | at[i];
	return v;
}

static void field_value(const struct field *f, const uint8_t *at, char *value, size_t cap)
{
	uint64_t v = f->len <= 8 ? field_number(at, f->len) : 0;
	value[0] = 0;
	if (f->kind == FIELD_UINT)
		(void)snprintf(value, cap, "%" PRIu64, v);
	else if (f->kind == FIELD_INT)
		(void)snprintf(value, cap, "%" PRId64, (int64_t)v);
	else if (f->kind == FIELD_SUM)
		(void)snprintf(value, cap, "%016" PRIx64, v);
	else if (f->kind == FIELD_ZERO && !segment_bytes_zero(at, f->len))
		(void)snprintf(value, cap, "not zero!");
}

static void text_value(const uint8_t *at, size_t len, char value[BYTES_A_LINE + 3])
{
	size_t n = len < BYTES_A_LINE ? len : BYTES_A_LINE;
	value[0] = '"';
	for (size_t i = 0; i < n; i++)
		value[i + 1] = at[i] >= 0x20 && at[i] < 0x7f ? (char)at[i] : '.';
	value[n + 1] = '"';
	value[n + 2] = 0;
}

void segment_dump_fields(struct dump *d, const struct field *table, uint64_t pos, const uint8_t *at)
{
	for (const struct field *f = table; f->len; f++) {
		char value[32];
		field_value(f, at + f->at, value, sizeof value);
		if (f->kind == FIELD_TEXT)
			text_value(at + f->at, f->len, value);
		dump_line(d, pos + f->at, at + f->at, f->len, f->name, value);
	}
}

void segment_dump_bytes(struct dump *d, const char *name, uint64_t pos, const uint8_t *at,
                        size_t len)
{
	for (size_t i = 0; i < len && i < BYTES_SHOWN; i += BYTES_A_LINE) {
		char value[BYTES_A_LINE + 3];
		text_value(at + i, len - i, value);
		dump_line(d, pos + i, at + i, len - i, i ? "" : name, value);
	}
	if (len > BYTES_SHOWN) {
		char value[40];
		(void)snprintf(value, sizeof value, "%zu more bytes", len - BYTES_SHOWN);
		dump_line(d, pos + BYTES_SHOWN, at, 0, "...", value);
	}
}

void segment_dump_u32(struct dump *d, const char *name, uint64_t pos, const uint8_t *at)
{
	char value[16];
	(void)snprintf(value, sizeof value, "%" PRIu32, le32_get(at));
	dump_line(d, pos, at, 4, name, value);
}
