/* A frame as it came from the store becomes raw bytes. Its checksum is over the stored bytes, so
 * a damaged frame never reaches the decompressor. zstd decompresses without a context of ours: it
 * takes one from malloc for the call. */
#include "engine/base/error.h"
#include "engine/base/sum.h"
#include "engine/segment/format.h"
#include <inttypes.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

static int frame_corrupt(const struct block_entry *e, const char *what, struct firn_error *err)
{
	return fail(err, FIRN_ECORRUPT, 0, "segment", "frame at %" PRIu64 ": %s", e->frame_pos,
	            what);
}

int segment_frame_decode(const struct block_entry *e, const uint8_t *stored, size_t len,
                         uint8_t *raw, struct firn_error *err)
{
	int rc = block_entry_check(e, err);
	if (rc)
		return rc;
	if (len != e->frame_len)
		return fail(err, FIRN_ECORRUPT, 0, "segment",
		            "frame at %" PRIu64 ": %zu bytes of %" PRIu32, e->frame_pos, len,
		            e->frame_len);
	if (sum64(stored, len) != e->frame_sum)
		return frame_corrupt(e, "checksum mismatch", err);
	if (e->codec == SEGMENT_RAW) {
		if (raw != stored)
			memcpy(raw, stored, len);
		return 0;
	}
	size_t n = ZSTD_decompress(raw, e->frame_raw_len, stored, len);
	if (ZSTD_isError(n) && ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation)
		return fail(err, FIRN_ENOMEM, 0, "segment", "frame at %" PRIu64 ": no memory",
		            e->frame_pos);
	if (ZSTD_isError(n))
		return frame_corrupt(e, ZSTD_getErrorName(n), err);
	if (n != e->frame_raw_len)
		return frame_corrupt(e, "decompresses to another length", err);
	return 0;
}
