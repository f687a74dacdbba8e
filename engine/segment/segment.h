/* Segments: immutable objects of the store. A round of one volume becomes one or more of them.
 *
 *   segment_writer --batches, sorted--> blocks in frames --+
 *                  --what changed-----> footer sections ---+--> one buffer, PUT whole
 *   trailer -> footer -> block index -> frame -> block -> batches
 *
 * The bytes are in FORMAT.md. Everything here is single-threaded per object and allocates through
 * the env; no locks, no I/O. Input is hostile: every decoder fails with FIRN_ECORRUPT and says
 * which part at which position. */
#ifndef SEGMENT_SEGMENT_H
#define SEGMENT_SEGMENT_H
#include "engine/base/batch.h"
#include "engine/base/buf.h"
#include <firn/error.h>
#include <stdbool.h>

enum segment_codec { SEGMENT_RAW = 0, SEGMENT_ZSTD = 1 };
enum {
	SEGMENT_HEADER_LEN = 64,         /* at the very beginning of the object */
	SEGMENT_TRAILER_LEN = 512,       /* fixed, at the very end */
	SEGMENT_BLOCK_BYTES = 256 << 10, /* a block is cut at about this many raw bytes ... */
	SEGMENT_FRAME_BYTES = 64 << 10, /* ... small blocks of neighbouring streams share a frame */
	SEGMENT_FRAME_RAW_MAX = 65 << 20, /* no frame is longer: the largest batch and 1 MiB */
};

struct segment_id {
	uint64_t epoch, n; /* key: <volume>/seg/<2 hex>/<epoch>-<n>; see segment_key() */
};

/* ---- what a footer says besides blocks: the round's changes, folded ---- */

enum stream_flag {
	STREAM_CREATED = 1, /* made in this round */
	STREAM_DELETED = 2, /* gone: everything else of the row is void */
	STREAM_CONFIG =
	        4, /* the configuration was replaced; without: it stands as it was. Likewise a
	                       row without a name: it was said where the stream was made */
};

/* A stream touched by the round, as it is at the round's end. */
struct stream_state {
	uint64_t stream;
	uint32_t flags, name_len;
	const char *name;     /* borrowed */
	uint64_t start, next; /* trimmed below start; next = stored: the offset after the last of */
	                      /* the cut. start <= next unless deleted */
	uint64_t rev_created, rev_last;
	int64_t first_append_ms, last_append_ms, max_timestamp_ms;
	uint64_t bytes;        /* payload bytes added by this round (delta) */
	const uint8_t *config; /* encoded stream config, opaque here; config_len 0 = default */
	uint32_t config_len;
	uint32_t _pad;
};

enum gap_kind { GAP_SKIPPED = 3, GAP_LOST = 4 }; /* of enum firn_gap in read.h */

/* A gap that was asked for: offsets [from, to) of a stream hold nothing (firn_gap in read.h). */
struct gap_entry {
	uint64_t stream, from, to;
	uint32_t kind, _pad;
};

/* A key of the KV changed by the round: its value at the round's end, or gone. */
struct kv_change {
	uint64_t stream, rev; /* stream 0 = the volume's */
	uint32_t key_len, value_len;
	const uint8_t *key, *value; /* borrowed; deleted: value NULL */
	uint32_t deleted, _pad;
};

/* The last batches a producer appended in this round (at most its window, oldest first). */
struct producer_batch {
	uint64_t seq, offset, rev;
	uint32_t n_offsets, n_seq; /* n_seq: sequences it covers */
};
struct producer_change {
	uint64_t stream, producer_id;
	uint32_t producer_epoch, n_batch;
	uint64_t seq_next;
	int64_t last_ms;
	uint32_t window_reset; /* 1: batches remembered from before are void (epoch rose) */
	uint32_t _pad;
	const struct producer_batch *batch; /* borrowed */
};

/* An idempotency key remembered. */
struct key_entry {
	uint64_t stream, offset, rev;
	uint32_t n_offsets, key_len;
	int64_t append_ms;
	const uint8_t *key; /* borrowed */
};

/* Offsets given up by an explicit takeover (DESIGN 5): repeated in every footer. Of the writer with this nonce all that
 * was not stored at rev_stored; the volume's revs, and the offsets of each of its streams, skip rev_skip. */
struct lost_entry {
	uint8_t nonce[16], wal_id[16];
	uint64_t rev_stored, rev_skip;
	int64_t at_ms;
};

/* ---- the block index: one entry per block, sorted by (stream, base) ---- */
struct block_entry {
	uint64_t stream, base, next; /* offsets [base, next) lie inside, gaps allowed */
	uint64_t frame_pos;          /* in the object */
	uint32_t frame_len, frame_raw_len;
	uint32_t block_pos, block_len; /* inside the raw frame */
	uint64_t frame_sum;            /* XXH3-64 of the stored frame bytes */
	uint64_t block_sum; /* XXH3-64 of header + descriptors, seeded with its identity */
	uint32_t n_batch, key_id;
	uint8_t codec, cipher;
	uint16_t _pad;
	uint32_t _pad2;
	int64_t min_timestamp_ms, max_timestamp_ms, min_append_ms, max_append_ms;
	uint64_t payload_bytes;
};

/* ---- writing ---- */
struct segment_meta {
	uint8_t volume_id[16];
	struct segment_id id;
	uint64_t rev_from, rev_to; /* the round: revs [rev_from, rev_to) */
	uint32_t part, n_parts; /* a round in several segments, part counts from 0 (0 of 1: all */
	/* in one); the LAST part carries the changes */
	int64_t created_ms;
};

struct segment_writer;
/* zstd_level 0 = never compress. FIRN_EINVAL: revs out of order, part >= n_parts. */
int segment_writer_open(const struct firn_env *env, const struct segment_meta *meta, int zstd_level,
                        struct segment_writer **out);
void segment_writer_close(struct segment_writer *w);
/* Optional, before the first batch: room for an object of about this many bytes, so that it is not
 * copied while it grows. FIRN_ENOMEM is sticky. */
int segment_writer_reserve(struct segment_writer *w, size_t bytes);
/* Streams in rising order, offsets rising within a stream. Copies payload. payload_sum is taken
 * as it is: computed once, at append. compress: 0 auto, 1 none, 2 zstd (even when it hardly
 * pays). All of these: FIRN_EINVAL for what a reader would refuse (nothing added, the writer
 * lives on), FIRN_ETOOBIG for a section above 1 GiB, FIRN_ENOMEM (sticky). Rows of a kind keep
 * the order in which they were added. */
int segment_writer_batch(struct segment_writer *w, const struct batch *b, uint32_t compress);
/* The next batch begins a block of its own. */
void segment_writer_cut(struct segment_writer *w);
int segment_writer_stream(struct segment_writer *w, const struct stream_state *s);
int segment_writer_gap(struct segment_writer *w, const struct gap_entry *g);
int segment_writer_kv(struct segment_writer *w, const struct kv_change *kv);
int segment_writer_producer(struct segment_writer *w, const struct producer_change *p);
int segment_writer_key(struct segment_writer *w, const struct key_entry *k);
int segment_writer_lost(struct segment_writer *w, const struct lost_entry *l);
/* Footer and trailer. *data is valid until close; footer_pos and footer_sum go into the manifest.
 * FIRN_ENOMEM if anything before failed to allocate. */
int segment_writer_finish(struct segment_writer *w, const uint8_t **data, size_t *len,
                          uint64_t *footer_pos, uint64_t *footer_sum);

/* ---- reading ---- */
struct segment_footer; /* owns a copy of the footer bytes; rows are decoded on the fly */

/* `tail` holds the last tail_len bytes of an object of object_len bytes. If the footer begins
 * before the tail, returns FIRN_EAGAIN and sets *need to the tail length that is required. */
int segment_footer_open(const struct firn_env *env, const uint8_t *tail, size_t tail_len,
                        uint64_t object_len, struct segment_footer **out, size_t *need,
                        struct firn_error *err);
void segment_footer_close(struct segment_footer *f);
const struct segment_meta *segment_footer_meta(const struct segment_footer *f);
uint64_t segment_footer_pos(const struct segment_footer *f);
uint64_t segment_footer_sum(const struct segment_footer *f); /* equals what finish() gave */
uint64_t segment_footer_object_len(const struct segment_footer *f);
/* Row i of a kind; counts first. All rows were checked by open: these cannot fail. */
uint32_t segment_n_blocks(const struct segment_footer *f);
uint32_t segment_n_streams(const struct segment_footer *f);
uint32_t segment_n_gaps(const struct segment_footer *f);
uint32_t segment_n_kv(const struct segment_footer *f);
uint32_t segment_n_producers(const struct segment_footer *f);
uint32_t segment_n_keys(const struct segment_footer *f);
uint32_t segment_n_lost(const struct segment_footer *f);
void segment_block_at(const struct segment_footer *f, uint32_t i, struct block_entry *out);
void segment_stream_at(const struct segment_footer *f, uint32_t i, struct stream_state *out);
void segment_gap_at(const struct segment_footer *f, uint32_t i, struct gap_entry *out);
void segment_kv_at(const struct segment_footer *f, uint32_t i, struct kv_change *out);
/* out->batch points into the footer (aligned for it). */
void segment_producer_at(const struct segment_footer *f, uint32_t i, struct producer_change *out);
void segment_key_at(const struct segment_footer *f, uint32_t i, struct key_entry *out);
void segment_lost_at(const struct segment_footer *f, uint32_t i, struct lost_entry *out);

/* Verifies the stored frame (frame_sum), decompresses into raw (frame_raw_len bytes, caller's; at
 * most SEGMENT_FRAME_RAW_MAX, which is checked here as well). raw may be `stored` when the codec is
 * SEGMENT_RAW. */
int segment_frame_decode(const struct block_entry *e, const uint8_t *stored, size_t len,
                         uint8_t *raw, struct firn_error *err);

/* A block inside a raw frame, verified against the entry that led to it: volume, stream, range,
 * block_sum, structure, and every payload's own checksum. */
struct block {
	uint64_t stream, base, next;
	uint32_t n_batch;
	const uint8_t *desc, *desc_end, *payload, *payload_end; /* into the raw frame */
};
int block_open(const uint8_t volume_id[16], const struct block_entry *e, const uint8_t *raw,
               size_t raw_len, struct block *out, struct firn_error *err);
/* Walks batches: at = 0 begins; returns the next `at`, or 0 (and no batch) after the last:
 *     for (uint64_t at = 0; (at = block_next(b, at, &batch)) != 0;) ... */
uint64_t block_next(const struct block *b, uint64_t at, struct batch *out);

/* A whole object in memory: every byte accounted for and verified, frames and payloads included.
 * The error says where and what. Allocates the footer's copy and one raw frame at a time. */
int segment_verify(const struct firn_env *env, const uint8_t *object, size_t len,
                   struct firn_error *err);

/* Tells an object field by field, one line of text per call: offset, hex, field, value. Goes on
 * past damage as far as it can and returns the first error it met (0: the object is sound). */
int segment_dump(const struct firn_env *env, const uint8_t *object, size_t len,
                 void (*line)(void *arg, const char *text), void *arg, struct firn_error *err);

/* The first SEGMENT_HEADER_LEN bytes of an object: of which volume, and which number, it says it is. Sets no more of
 * *out. */
int segment_header_check(const uint8_t *at, struct segment_meta *out, struct firn_error *err);

/* "seg/<2 hex>/<epoch>-<n>" (hex, fixed width), without the volume's prefix; the two hex digits are
 * a hash of (epoch, n) that spreads keys over prefixes. buf: at least 64 bytes. */
void segment_key(struct segment_id id, char *buf, size_t cap);
/* The same behind the volume's name: the object's key in a store. */
enum { OBJECT_KEY_MAX = 400 };
void segment_object_key(const char *volume, struct segment_id id, char key[OBJECT_KEY_MAX]);
int segment_key_parse(const char *key, struct segment_id *out); /* 0 or -1 */
/* In the order in which the numbers were given: < 0, 0, > 0. */
int segment_id_compare(struct segment_id a, struct segment_id b);
/* In that order, each once: how many stay. n may be 0. */
size_t segment_ids_sort(struct segment_id *id, size_t n);
/* Is it among them? They are sorted. */
bool segment_ids_have(const struct segment_id *ids, size_t n, struct segment_id id);

static inline bool segment_id_equal(struct segment_id a, struct segment_id b)
{
	return a.epoch == b.epoch && a.n == b.n;
}
#endif
