/* A batch and its descriptor: the one encoding that WAL records and segment blocks share.
 *
 * Descriptor, little-endian, BATCH_DESC_LEN bytes, followed by key and attr bytes, padded to 8:
 *
 *    0 u64 stream          8 u64 offset         16 u32 n_offsets    20 u32 payload_len
 *   24 u64 payload_sum    32 i64 timestamp_ms   40 i64 append_ms    48 u64 rev
 *   56 u64 epoch          64 u64 producer_id    72 u64 producer_seq 80 u32 producer_epoch
 *   84 u32 tag            88 u16 flags          90 u8 key_len       91 u8 attr_len
 *   92 u32 reserved, 0
 *
 * payload_sum is XXH3-64 of the stored payload, computed once at append and carried along. */
#ifndef BASE_BATCH_H
#define BASE_BATCH_H
#include <stddef.h>
#include <stdint.h>

#define BATCH_DESC_LEN 96u
#define BATCH_KEY_MAX 32u
#define BATCH_PAYLOAD_MAX (64u << 20)
#define OFFSET_MAX (UINT64_C(1) << 62) /* no offset is ever given at or above (S20) */

enum batch_flag {
	BATCH_PRODUCER = 1,
	BATCH_SEQ_RISING = 2,
	BATCH_SEQ_NONE = 4,
	BATCH_SKIPPED_BEFORE = 8
};

struct batch {
	uint64_t stream, offset;
	uint32_t n_offsets, payload_len;
	uint64_t payload_sum;
	int64_t timestamp_ms, append_ms;
	uint64_t rev, epoch, producer_id, producer_seq;
	uint32_t producer_epoch, tag;
	uint16_t flags;
	uint8_t key_len, attr_len;
	const uint8_t *key, *attr, *payload; /* borrowed */
};

/* Bytes of the encoded descriptor with key and attr, padded. */
static inline size_t batch_desc_len(uint8_t key_len, uint8_t attr_len)
{
	return (BATCH_DESC_LEN + (size_t)key_len + attr_len + 7) & ~(size_t)7;
}

void batch_desc_put(uint8_t *at, const struct batch *b);
/* Reads one descriptor from at most `len` bytes. Returns its encoded length, or 0 if it does not
 * fit or makes no sense (n_offsets 0, offset + n_offsets above OFFSET_MAX, payload_len above
 * BATCH_PAYLOAD_MAX, key_len above BATCH_KEY_MAX, reserved bits set). Sets key and attr, not payload. */
size_t batch_desc_get(const uint8_t *at, size_t len, struct batch *out);
#endif
