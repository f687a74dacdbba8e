/* Rows of the footer's sections: encoding and decoding side by side. For this folder and engine/layer.
 *
 * _len: encoded length. _put: writes that many bytes. _get: reads one row from at most `len` bytes
 * and returns its encoded length, or 0 if it does not fit or makes no sense (reserved or padding
 * bytes set, unknown flags, offsets out of order). Rows are multiples of 8 bytes. What _get hands
 * out borrows from `at`. */
#ifndef SEGMENT_ROW_H
#define SEGMENT_ROW_H
#include "engine/segment/format.h"

enum row_len { /* fixed parts; lengths of everything for blocks, gaps and lost entries */
	       ROW_BLOCK_LEN = 136,
	       ROW_STREAM_LEN = 88,
	       ROW_GAP_LEN = 32,
	       ROW_KV_LEN = 32,
	       ROW_PRODUCER_LEN = 48,
	       ROW_PRODUCER_BATCH_LEN = 32,
	       ROW_KEY_LEN = 40,
	       ROW_LOST_LEN = 56,
};

/* Fields of a block row that are known only when its frame is closed. */
enum row_block_at {
	ROW_BLOCK_FRAME_POS = 24,
	ROW_BLOCK_FRAME_LEN = 32,
	ROW_BLOCK_FRAME_RAW_LEN = 36,
	ROW_BLOCK_FRAME_SUM = 48,
	ROW_BLOCK_CODEC = 72,
};

void segment_row_block_put(uint8_t *at, const struct block_entry *e);
size_t segment_row_block_get(const uint8_t *at, size_t len, struct block_entry *out);

size_t segment_row_stream_len(const struct stream_state *s);
void segment_row_stream_put(uint8_t *at, const struct stream_state *s);
size_t segment_row_stream_get(const uint8_t *at, size_t len, struct stream_state *out);

void segment_row_gap_put(uint8_t *at, const struct gap_entry *g);
size_t segment_row_gap_get(const uint8_t *at, size_t len, struct gap_entry *out);

size_t segment_row_kv_len(const struct kv_change *kv);
void segment_row_kv_put(uint8_t *at, const struct kv_change *kv);
size_t segment_row_kv_get(const uint8_t *at, size_t len, struct kv_change *out);

size_t segment_row_producer_len(const struct producer_change *p);
void segment_row_producer_put(uint8_t *at, const struct producer_change *p);
size_t segment_row_producer_get(const uint8_t *at, size_t len, struct producer_change *out);

size_t segment_row_key_len(const struct key_entry *k);
void segment_row_key_put(uint8_t *at, const struct key_entry *k);
size_t segment_row_key_get(const uint8_t *at, size_t len, struct key_entry *out);

void segment_row_lost_put(uint8_t *at, const struct lost_entry *l);
size_t segment_row_lost_get(const uint8_t *at, size_t len, struct lost_entry *out);

/* A section as a table of such rows. */
struct section_type {
	const char *name;
	uint32_t fixed; /* length of every row, or 0: offset table */
	size_t (*check)(const uint8_t *at, size_t len); /* length of a sound row, or 0 */
};
extern const struct section_type segment_section_types[SECTION_KINDS];
#endif
