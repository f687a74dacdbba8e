/* The parts of the format that writer and readers share: heads, seeds, zero bytes. */
#include "engine/segment/format.h"
#include "engine/base/error.h"
#include "engine/base/le.h"
#include "engine/base/sum.h"
#include <inttypes.h>

bool segment_bytes_zero(const uint8_t *at, size_t len)
{
	uint8_t any = 0;
	for (size_t i = 0; i < len; i++)
		any |= at[i];
	return any == 0;
}

void segment_head_put(uint8_t *at, const char *magic, const struct segment_meta *meta)
{
	memcpy(at + HEAD_MAGIC, magic, 8);
	le32_put(at + HEAD_VERSION, SEGMENT_VERSION);
	le32_put(at + HEAD_COMPAT, 0);
	le32_put(at + HEAD_INCOMPAT, 0);
	le32_put(at + HEAD_ZERO, 0);
	memcpy(at + HEAD_VOLUME, meta->volume_id, 16);
	le64_put(at + HEAD_EPOCH, meta->id.epoch);
	le64_put(at + HEAD_N, meta->id.n);
}

void segment_head_sign(uint8_t *at, size_t len)
{
	le64_put(at + len - 8, sum64(at, len - 8));
}

/* The place of magic, version, features and checksum is frozen for all versions: so a flipped bit
 * in the version is damage, and a good checksum beside a newer version is a newer writer. */
int segment_head_check(const uint8_t *at, size_t len, const char *magic, const char *what,
                       uint64_t pos, struct segment_meta *meta, struct firn_error *err)
{
	if (memcmp(at + HEAD_MAGIC, magic, 8) != 0)
		return fail(err, FIRN_ECORRUPT, 0, "segment",
		            "%s at %" PRIu64 ": not a firn segment (magic is not %s)", what, pos,
		            magic);
	if (le64_get(at + len - 8) != sum64(at, len - 8))
		return fail(err, FIRN_ECORRUPT, 0, "segment",
		            "%s at %" PRIu64 ": checksum mismatch", what, pos);
	uint32_t version = le32_get(at + HEAD_VERSION);
	if (version == 0 || version > SEGMENT_VERSION)
		return fail(err, FIRN_EUNSUPPORTED, 0, "segment",
		            "%s at %" PRIu64 ": format version %" PRIu32
		            ", this build reads up to %d",
		            what, pos, version, SEGMENT_VERSION);
	uint32_t foreign = le32_get(at + HEAD_INCOMPAT) & ~(uint32_t)SEGMENT_INCOMPAT_KNOWN;
	if (foreign)
		return fail(err, FIRN_EUNSUPPORTED, 0, "segment",
		            "%s at %" PRIu64 ": incompatible features 0x%" PRIx32
		            " are not known to this build",
		            what, pos, foreign);
	if (le32_get(at + HEAD_ZERO) != 0)
		return fail(err, FIRN_ECORRUPT, 0, "segment",
		            "%s at %" PRIu64 ": reserved bytes set", what, pos);
	memcpy(meta->volume_id, at + HEAD_VOLUME, 16);
	meta->id.epoch = le64_get(at + HEAD_EPOCH);
	meta->id.n = le64_get(at + HEAD_N);
	return 0;
}

uint64_t block_seed(const uint8_t volume_id[16], const struct block_entry *e)
{
	uint8_t identity[64];
	memcpy(identity, volume_id, 16);
	le64_put(identity + 16, e->stream);
	le64_put(identity + 24, e->base);
	le64_put(identity + 32, e->next);
	le64_put(identity + 40, e->n_batch);
	le64_put(identity + 48, (uint64_t)e->min_append_ms);
	le64_put(identity + 56, (uint64_t)e->max_append_ms);
	return sum64(identity, sizeof identity);
}

static const char *entry_nonsense(const struct block_entry *e)
{
	if (e->key_id != 0)
		return "key id without a cipher";
	if (e->frame_raw_len > SEGMENT_FRAME_RAW_MAX || e->frame_len == 0)
		return "frame length out of bounds";
	if (e->codec == SEGMENT_RAW ? e->frame_len != e->frame_raw_len
	                            : e->frame_len >= e->frame_raw_len)
		return "frame length does not fit its codec";
	if (e->block_pos > e->frame_raw_len || e->block_len > e->frame_raw_len - e->block_pos)
		return "block reaches beyond its frame";
	if (e->base >= e->next || e->next > OFFSET_MAX)
		return "offsets out of order";
	if (e->n_batch == 0 || e->block_len < BLOCK_HEADER_LEN || e->payload_bytes > e->block_len ||
	    BLOCK_HEADER_LEN + (uint64_t)e->n_batch * BATCH_DESC_LEN >
	            e->block_len - e->payload_bytes)
		return "block too short for its batches";
	if (e->min_timestamp_ms > e->max_timestamp_ms || e->min_append_ms > e->max_append_ms)
		return "times out of order";
	return NULL;
}

int block_entry_check(const struct block_entry *e, struct firn_error *err)
{
	if (e->cipher != 0)
		return fail(err, FIRN_EUNSUPPORTED, 0, "segment",
		            "frame at %" PRIu64 ": cipher %u is not known to this build",
		            e->frame_pos, e->cipher);
	if (e->codec > SEGMENT_ZSTD)
		return fail(err, FIRN_EUNSUPPORTED, 0, "segment",
		            "frame at %" PRIu64 ": codec %u is not known to this build",
		            e->frame_pos, e->codec);
	const char *what = entry_nonsense(e);
	if (what)
		return fail(err, FIRN_ECORRUPT, 0, "segment",
		            "index entry of stream %" PRIu64 " at offset %" PRIu64 ": %s",
		            e->stream, e->base, what);
	return 0;
}

int segment_header_check(const uint8_t *at, struct segment_meta *out, struct firn_error *err)
{
	return segment_head_check(at, SEGMENT_HEADER_LEN, SEGMENT_HEADER_MAGIC, "header", 0, out,
	                          err);
}
