/* Where the bytes of a layer are; what they mean is in FORMAT.md. Internal to this folder. */
#ifndef LAYER_FORMAT_H
#define LAYER_FORMAT_H
#include "engine/layer/layer.h"

#define LAYER_HEADER_MAGIC "FIRNLAY1"
#define LAYER_TRAILER_MAGIC "FIRNLAYT"

enum {
	LAYER_VERSION = 1,
	LAYER_COMPAT_KNOWN = 0,
	LAYER_INCOMPAT_KNOWN = 0,
	LAYER_ROW_HEAD = 8,     /* u32 length with this head, u8 kind, zeros */
	LAYER_EXTENT_HEAD = 16, /* epoch, n of the segment, before the block's row */
	LAYER_SEGMENT_LEN = 88,
	LAYER_INDEX_ROW_LEN = 48, /* of the footer, per block */
};

/* Header and trailer begin alike, as those of segments do, and end in a checksum of all before it. */
enum layer_head_at {
	LAYER_HEAD_MAGIC = 0,
	LAYER_HEAD_VERSION = 8,
	LAYER_HEAD_COMPAT = 12,
	LAYER_HEAD_INCOMPAT = 16,
	LAYER_HEAD_ZERO = 20,
	LAYER_HEAD_VOLUME = 24,
	LAYER_HEAD_EPOCH = 40,
	LAYER_HEAD_N = 48,
	LAYER_HEAD_LEN = 56,
};

enum layer_trailer_at {
	LAYER_AT_REV_FROM = 56,       /* u64 */
	LAYER_AT_REV_TO = 64,         /* u64 */
	LAYER_AT_LEVEL = 72,          /* u32 */
	LAYER_AT_PART = 76,           /* u32 */
	LAYER_AT_LAST = 80,           /* u32, 0 or 1 */
	LAYER_AT_N_BLOCK = 84,        /* u32 */
	LAYER_AT_CREATED_MS = 88,     /* i64 */
	LAYER_AT_FOOTER_POS = 96,     /* u64 */
	LAYER_AT_FOOTER_LEN = 104,    /* u64 */
	LAYER_AT_FOOTER_SUM = 112,    /* u64 */
	LAYER_AT_OBJECT_LEN = 120,    /* u64 */
	LAYER_AT_N_ROW = 128,         /* u64 */
	LAYER_AT_N_SEGMENT = 136,     /* u32 */
	LAYER_AT_ZERO = 140,          /* u32 */
	LAYER_AT_SEGMENT_BYTES = 144, /* u64 */
	LAYER_AT_RESERVED = 152,      /* zero up to the sum */
	LAYER_AT_SUM = 248,           /* u64 */
};
_Static_assert(LAYER_HEAD_LEN + 8 == LAYER_HEADER_LEN, "the header is a head and its sum");
_Static_assert(LAYER_AT_SUM + 8 == LAYER_TRAILER_LEN, "the trailer ends in its sum");

void layer_head_put(uint8_t *at, const char *magic, const struct layer_meta *meta);
void layer_sign(uint8_t *at, size_t len); /* the last 8 bytes */
int layer_head_check(const uint8_t *at, size_t len, const char *magic, const char *what,
                     uint64_t pos, struct layer_meta *meta, struct firn_error *err);
/* Rows of a raw block that rise, each above *last (kind 0: none yet), which moves. each() may be NULL. */
int layer_rows_check(const struct layer_object *o, const struct layer_block *b, const uint8_t *raw,
                     struct layer_row *last, int (*each)(void *arg, const struct layer_row *r),
                     void *arg, struct firn_error *err);
#endif
