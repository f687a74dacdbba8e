/* A block inside a raw frame: verified against the index entry that led to it, then walked.
 *
 *   header | descriptors of all batches | payloads, back to back
 *
 * The entry is hostile as well: it may come from a damaged index. No allocation. */
#include "engine/base/error.h"
#include "engine/base/le.h"
#include "engine/base/sum.h"
#include "engine/segment/format.h"
#include <inttypes.h>

static int corrupt(const struct block_entry *e, const char *what, struct firn_error *err)
{
	return fail(err, FIRN_ECORRUPT, 0, "segment",
	            "frame at %" PRIu64 ": block at %" PRIu32 " (stream %" PRIu64
	            ", offset %" PRIu64 "): %s",
	            e->frame_pos, e->block_pos, e->stream, e->base, what);
}

/* The header against the entry; its own bytes are covered by the checksum that follows. */
static const char *header_differs(const uint8_t volume_id[16], const struct block_entry *e,
                                  const uint8_t *at)
{
	if (memcmp(at + BLOCK_MAGIC, SEGMENT_BLOCK_MAGIC, 8) != 0)
		return "not a block";
	if (memcmp(at + BLOCK_VOLUME, volume_id, 16) != 0)
		return "belongs to another volume";
	if (le64_get(at + BLOCK_STREAM) != e->stream)
		return "belongs to another stream";
	if (le64_get(at + BLOCK_BASE) != e->base || le64_get(at + BLOCK_NEXT) != e->next)
		return "holds other offsets";
	if (le32_get(at + BLOCK_N_BATCH) != e->n_batch)
		return "holds another number of batches";
	uint32_t desc_len = le32_get(at + BLOCK_DESC_LEN);
	if (le64_get(at + BLOCK_PAYLOAD_LEN) != e->payload_bytes ||
	    desc_len != e->block_len - BLOCK_HEADER_LEN - e->payload_bytes)
		return "its parts do not fill it";
	return NULL;
}

/* What the entry claims of its batches, summed up again. */
struct tally {
	uint64_t next, payload_bytes;
	int64_t min_timestamp_ms, max_timestamp_ms, min_append_ms, max_append_ms;
};

static void tally_add(struct tally *t, const struct batch *b)
{
	t->next = b->offset + b->n_offsets;
	t->payload_bytes += b->payload_len;
	t->min_timestamp_ms = b->timestamp_ms < t->min_timestamp_ms ? b->timestamp_ms
	                                                            : t->min_timestamp_ms;
	t->max_timestamp_ms = b->timestamp_ms > t->max_timestamp_ms ? b->timestamp_ms
	                                                            : t->max_timestamp_ms;
	t->min_append_ms = b->append_ms < t->min_append_ms ? b->append_ms : t->min_append_ms;
	t->max_append_ms = b->append_ms > t->max_append_ms ? b->append_ms : t->max_append_ms;
}

static bool tally_fits(const struct tally *t, const struct block_entry *e)
{
	return t->payload_bytes == e->payload_bytes && t->min_timestamp_ms == e->min_timestamp_ms &&
	       t->max_timestamp_ms == e->max_timestamp_ms && t->min_append_ms == e->min_append_ms &&
	       t->max_append_ms == e->max_append_ms;
}

static bool desc_padding_zero(const struct batch *b, const uint8_t *end)
{
	const uint8_t *used = b->attr + b->attr_len;
	return segment_bytes_zero(used, (size_t)(end - used));
}

/* Structure of the batches, and every payload against its checksum. */
static int batches_check(const struct block *b, const struct block_entry *e, struct firn_error *err)
{
	struct tally t = { b->base, 0, INT64_MAX, INT64_MIN, INT64_MAX, INT64_MIN };
	const uint8_t *at = b->desc, *payload = b->payload;
	for (uint32_t i = 0; i < b->n_batch; i++) {
		struct batch batch;
		size_t len = batch_desc_get(at, (size_t)(b->desc_end - at), &batch);
		if (!len || !desc_padding_zero(&batch, at + len))
			return corrupt(e, "a descriptor makes no sense", err);
		if (batch.stream != b->stream || batch.offset < t.next ||
		    batch.offset + batch.n_offsets > b->next)
			return corrupt(e, "a batch is out of order", err);
		if (batch.payload_len > (size_t)(b->payload_end - payload))
			return corrupt(e, "a payload reaches beyond it", err);
		if (sum64(payload, batch.payload_len) != batch.payload_sum)
			return fail(err, FIRN_ECORRUPT, 0, "segment",
			            "stream %" PRIu64 ": batch at offset %" PRIu64
			            ": payload checksum mismatch",
			            batch.stream, batch.offset);
		tally_add(&t, &batch);
		at += len;
		payload += batch.payload_len;
	}
	if (at != b->desc_end || !tally_fits(&t, e))
		return corrupt(e, "its batches are not what the index says", err);
	return 0;
}

int block_open(const uint8_t volume_id[16], const struct block_entry *e, const uint8_t *raw,
               size_t raw_len, struct block *out, struct firn_error *err)
{
	int rc = block_entry_check(e, err);
	if (rc)
		return rc;
	if (e->block_pos > raw_len || e->block_len > raw_len - e->block_pos)
		return corrupt(e, "reaches beyond its frame", err);
	const uint8_t *at = raw + e->block_pos;
	const char *what = header_differs(volume_id, e, at);
	if (what)
		return corrupt(e, what, err);
	size_t head_len = BLOCK_HEADER_LEN + le32_get(at + BLOCK_DESC_LEN);
	if (sum64_seed(at, head_len, block_seed(volume_id, e)) != e->block_sum)
		return corrupt(e, "checksum mismatch", err);
	*out = (struct block){
		.stream = e->stream,
		.base = e->base,
		.next = e->next,
		.n_batch = e->n_batch,
		.desc = at + BLOCK_HEADER_LEN,
		.desc_end = at + head_len,
		.payload = at + head_len,
		.payload_end = at + e->block_len,
	};
	return batches_check(out, e, err);
}

/* `at` carries both columns: descriptor bytes walked (low 32 bits), payload bytes walked (high).
 * The descriptor part is never 0 after a batch, so 0 can mean the beginning and the end. */
uint64_t block_next(const struct block *b, uint64_t at, struct batch *out)
{
	const uint8_t *desc = b->desc + (uint32_t)at, *payload = b->payload + (at >> 32);
	if (desc >= b->desc_end)
		return 0;
	size_t len = batch_desc_get(desc, (size_t)(b->desc_end - desc), out);
	if (len == 0)
		return 0;
	out->payload = payload;
	return at + len + ((uint64_t)out->payload_len << 32);
}
