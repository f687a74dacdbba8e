/* Signs a segment anew after something in it was changed: what a hostile writer would do, and the
 * way to get a mutation past the checksums to the checks behind them. Shared by fuzzers and unit
 * tests; every access is bounds-checked, so any bytes will do. */
#ifndef TESTS_SEGMENT_SIGN_H
#define TESTS_SEGMENT_SIGN_H
#include "engine/base/le.h"
#include "engine/base/sum.h"
#include "engine/segment/format.h"
#include "engine/segment/row.h"

static inline bool sign_inside(uint64_t pos, uint64_t len, uint64_t end)
{
	return pos <= end && len <= end - pos;
}

static inline uint8_t *sign_trailer_of(uint8_t *object, size_t len)
{
	return object + len - SEGMENT_TRAILER_LEN;
}

/* Sections, footer, trailer, header: as their places and lengths stand. */
static inline void segment_sign(uint8_t *object, size_t len)
{
	if (len < SEGMENT_HEADER_LEN + SEGMENT_TRAILER_LEN)
		return;
	uint8_t *t = sign_trailer_of(object, len);
	uint64_t end = len - SEGMENT_TRAILER_LEN;
	for (int kind = 0; kind < SECTION_KINDS; kind++) {
		uint8_t *slot = t + TRAILER_SECTIONS + kind * SECTION_SLOT_LEN;
		uint64_t pos = le64_get(slot + SECTION_POS), n = le64_get(slot + SECTION_BYTES);
		if (sign_inside(pos, n, end))
			le64_put(slot + SECTION_SUM, sum64(object + pos, (size_t)n));
	}
	uint64_t pos = le64_get(t + TRAILER_FOOTER_POS), n = le64_get(t + TRAILER_FOOTER_LEN);
	if (sign_inside(pos, n, end))
		le64_put(t + TRAILER_FOOTER_SUM, sum64(object + pos, (size_t)n));
	segment_head_sign(t, SEGMENT_TRAILER_LEN);
	segment_head_sign(object, SEGMENT_HEADER_LEN);
}

/* One block in a raw frame: payload sums, then the block's. */
static inline void segment_sign_block(const uint8_t volume_id[16], struct block_entry *e,
                                      uint8_t *raw, size_t raw_len)
{
	if (!sign_inside(e->block_pos, e->block_len, raw_len) || e->block_len < BLOCK_HEADER_LEN)
		return;
	uint8_t *at = raw + e->block_pos, *end = at + e->block_len;
	uint32_t desc_len = le32_get(at + BLOCK_DESC_LEN);
	if (desc_len > e->block_len - BLOCK_HEADER_LEN)
		return;
	uint8_t *desc = at + BLOCK_HEADER_LEN, *desc_end = desc + desc_len, *payload = desc_end;
	for (struct batch b; desc < desc_end;) {
		size_t n = batch_desc_get(desc, (size_t)(desc_end - desc), &b);
		if (!n || b.payload_len > (size_t)(end - payload))
			break;
		le64_put(desc + 24, sum64(payload, b.payload_len));
		payload += b.payload_len;
		desc += n;
	}
	e->block_sum = sum64_seed(at, BLOCK_HEADER_LEN + (size_t)desc_len,
	                          block_seed(volume_id, e));
}

/* Blocks (of raw frames) and frames, as the block index tells them; then the rest. */
static inline void segment_sign_all(uint8_t *object, size_t len)
{
	if (len < SEGMENT_HEADER_LEN + SEGMENT_TRAILER_LEN)
		return;
	uint8_t *t = sign_trailer_of(object, len), *slot = t + TRAILER_SECTIONS;
	uint64_t pos = le64_get(slot + SECTION_POS), n = le64_get(slot + SECTION_BYTES);
	uint64_t end = len - SEGMENT_TRAILER_LEN;
	if (!sign_inside(pos, n, end))
		return;
	for (int pass = 0; pass < 2; pass++) /* a frame is signed when all its blocks are */
		for (uint8_t *row = object + pos;
		     n >= ROW_BLOCK_LEN && row <= object + pos + n - ROW_BLOCK_LEN;
		     row += ROW_BLOCK_LEN) {
			struct block_entry e;
			if (!segment_row_block_get(row, ROW_BLOCK_LEN, &e) ||
			    !sign_inside(e.frame_pos, e.frame_len, pos))
				continue;
			uint8_t *frame = object + e.frame_pos;
			if (pass == 0 && e.codec == SEGMENT_RAW)
				segment_sign_block(t + HEAD_VOLUME, &e, frame, e.frame_len);
			else
				e.frame_sum = sum64(frame, e.frame_len);
			segment_row_block_put(row, &e);
		}
	segment_sign(object, len);
}
#endif
