/* Where the bytes of a segment are: shared by the writer, the readers, verify and dump. What they
 * mean is in FORMAT.md. Internal to this folder. */
#ifndef SEGMENT_FORMAT_H
#define SEGMENT_FORMAT_H
#include "engine/segment/segment.h"
#include <stdbool.h>

#define SEGMENT_HEADER_MAGIC "FIRNSEG1"
#define SEGMENT_TRAILER_MAGIC "FIRNSEGT"
#define SEGMENT_BLOCK_MAGIC "FIRNBLK1"

enum {
	SEGMENT_VERSION = 1,
	SEGMENT_COMPAT_KNOWN = 0,   /* an unknown bit is ignored */
	SEGMENT_INCOMPAT_KNOWN = 0, /* an unknown bit refuses the object */
	SEGMENT_FOOTER_MAX = 1 << 30,
	SEGMENT_SECTION_SLOTS = 11, /* room in the trailer; SECTION_KINDS are in use */
};

/* Header and trailer begin alike: the head. Both end in a checksum over all their bytes before
 * it. */
enum head_at {
	HEAD_MAGIC = 0,     /* 8 characters */
	HEAD_VERSION = 8,   /* u32 */
	HEAD_COMPAT = 12,   /* u32 */
	HEAD_INCOMPAT = 16, /* u32 */
	HEAD_ZERO = 20,     /* u32 */
	HEAD_VOLUME = 24,   /* 16 bytes */
	HEAD_EPOCH = 40,    /* u64 */
	HEAD_N = 48,        /* u64 */
	HEAD_LEN = 56,
};

enum trailer_at {
	TRAILER_REV_FROM = 56,    /* u64 */
	TRAILER_REV_TO = 64,      /* u64 */
	TRAILER_PART = 72,        /* u32 */
	TRAILER_N_PARTS = 76,     /* u32 */
	TRAILER_CREATED_MS = 80,  /* i64 */
	TRAILER_FOOTER_POS = 88,  /* u64 */
	TRAILER_FOOTER_LEN = 96,  /* u64 */
	TRAILER_FOOTER_SUM = 104, /* u64 */
	TRAILER_OBJECT_LEN = 112, /* u64 */
	TRAILER_N_SECTIONS = 120, /* u32 */
	TRAILER_ZERO = 124,       /* u32 */
	TRAILER_SECTIONS = 128,   /* SEGMENT_SECTION_SLOTS of SECTION_SLOT_LEN */
	TRAILER_RESERVED = 480,   /* zero up to the checksum */
	TRAILER_SUM = 504,        /* u64 */
};

enum section_slot_at {
	SECTION_POS = 0,    /* u64, in the object */
	SECTION_BYTES = 8,  /* u64 */
	SECTION_COUNT = 16, /* u32 */
	SECTION_ZERO = 20,  /* u32 */
	SECTION_SUM = 24,   /* u64 */
	SECTION_SLOT_LEN = 32,
};

enum section_kind {
	SECTION_BLOCKS,
	SECTION_STREAMS,
	SECTION_GAPS,
	SECTION_KV,
	SECTION_PRODUCERS,
	SECTION_KEYS,
	SECTION_LOST,
	SECTION_KINDS,
};

enum block_at {
	BLOCK_MAGIC = 0,        /* 8 characters */
	BLOCK_VOLUME = 8,       /* 16 bytes */
	BLOCK_STREAM = 24,      /* u64 */
	BLOCK_BASE = 32,        /* u64 */
	BLOCK_NEXT = 40,        /* u64 */
	BLOCK_N_BATCH = 48,     /* u32 */
	BLOCK_DESC_LEN = 52,    /* u32 */
	BLOCK_PAYLOAD_LEN = 56, /* u64 */
	BLOCK_HEADER_LEN = 64,
};

_Static_assert(HEAD_LEN + 8 == SEGMENT_HEADER_LEN, "the header is a head and its sum");
_Static_assert(TRAILER_SECTIONS + SEGMENT_SECTION_SLOTS * SECTION_SLOT_LEN == TRAILER_RESERVED,
               "the section table fills its room");
_Static_assert(TRAILER_SUM + 8 == SEGMENT_TRAILER_LEN, "the trailer ends in its sum");
_Static_assert((int)SECTION_KINDS <= (int)SEGMENT_SECTION_SLOTS, "every section has a slot");

/* True when len bytes are all zero: reserved room and padding. */
bool segment_bytes_zero(const uint8_t *at, size_t len);

void segment_head_put(uint8_t *at, const char *magic, const struct segment_meta *meta);
/* Signs len bytes whose last 8 are the checksum. */
void segment_head_sign(uint8_t *at, size_t len);
/* Checks magic, checksum, version, features and reserved bytes of the header or trailer that lies
 * at `pos` of the object; `what` names it. Sets volume id and segment id only. */
int segment_head_check(const uint8_t *at, size_t len, const char *magic, const char *what,
                       uint64_t pos, struct segment_meta *meta, struct firn_error *err);

/* The seed of a block's checksum: its logical identity, so that a block moves unchanged between
 * segments but never passes for another one. */
uint64_t block_seed(const uint8_t volume_id[16], const struct block_entry *e);

/* What must hold of an index entry by itself, wherever it came from: codec, cipher, lengths. */
int block_entry_check(const struct block_entry *e, struct firn_error *err);
#endif
