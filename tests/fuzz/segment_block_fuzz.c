/* segment_block_fuzz: a volume id (16 bytes), a row of the block index (136), and a stored frame.
 * First as they are; then with the frame's length and checksum set right, and, if it decompresses,
 * the block and its payloads signed. What opens is walked. */
#include "tests/fuzz/segment_sign.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VOLUME_LEN = 16, FRAME_AT = VOLUME_LEN + ROW_BLOCK_LEN, RAW_MAX = 1 << 20 };

static volatile uint64_t sink;

static void touch(const void *data, size_t len)
{
	const uint8_t *at = data;
	for (size_t i = 0; i < len; i++)
		sink += at[i];
}

/* All that block_open() promises of what it let pass. */
static void block_walk(const struct block *b)
{
	struct batch batch;
	uint64_t next = b->base;
	uint32_t n = 0;
	for (uint64_t at = 0; (at = block_next(b, at, &batch)) != 0; n++) {
		if (batch.stream != b->stream || batch.offset < next ||
		    batch.payload < b->payload ||
		    batch.payload + batch.payload_len > b->payload_end ||
		    sum64(batch.payload, batch.payload_len) != batch.payload_sum)
			abort();
		next = batch.offset + batch.n_offsets;
		touch(batch.key, batch.key_len);
		touch(batch.attr, batch.attr_len);
		touch(batch.payload, batch.payload_len);
	}
	if (n != b->n_batch || next > b->next)
		abort();
}

static void frame_read(const uint8_t *volume_id, const struct block_entry *given,
                       const uint8_t *stored, size_t len, bool sign)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct block_entry e = *given;
	struct block b;
	if (e.frame_raw_len > RAW_MAX)
		return;
	uint8_t *raw = malloc(e.frame_raw_len ? e.frame_raw_len : 1);
	if (segment_frame_decode(&e, stored, len, raw, &err) == 0) {
		if (sign)
			segment_sign_block(volume_id, &e, raw, e.frame_raw_len);
		if (block_open(volume_id, &e, raw, e.frame_raw_len, &b, &err) == 0)
			block_walk(&b);
	}
	free(raw);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct block_entry e;
	if (size < FRAME_AT)
		return 0;
	uint8_t row[ROW_BLOCK_LEN];
	memcpy(row, data + VOLUME_LEN, ROW_BLOCK_LEN);
	memset(row + 74, 0, 6);
	memset(row + 120, 0, 16);
	if (!segment_row_block_get(row, ROW_BLOCK_LEN, &e))
		abort();
	size_t len = size - FRAME_AT;
	frame_read(data, &e, data + FRAME_AT, len, false);
	e.frame_len = (uint32_t)len;
	if (e.codec == SEGMENT_RAW)
		e.frame_raw_len = e.frame_len;
	e.frame_sum = sum64(data + FRAME_AT, len);
	frame_read(data, &e, data + FRAME_AT, len, true);
	return 0;
}
