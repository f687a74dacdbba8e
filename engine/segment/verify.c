/* A whole object in memory: every byte accounted for and verified.
 *
 *   header: its checksum, and the same identity as the trailer
 *   frames: back to back (the footer was opened), each against its checksum, each block opened
 *   footer, trailer: segment_footer_open()
 *
 * Allocates the footer and one frame at a time. */
#include "engine/base/error.h"
#include "engine/base/le.h"
#include "engine/base/mem.h"
#include "engine/segment/format.h"
#include <inttypes.h>

static int header_verify(const uint8_t *object, const struct segment_meta *meta,
                         struct firn_error *err)
{
	struct segment_meta head = { 0 };
	int rc = segment_head_check(object, SEGMENT_HEADER_LEN, SEGMENT_HEADER_MAGIC, "header", 0,
	                            &head, err);
	if (rc)
		return rc;
	if (memcmp(head.volume_id, meta->volume_id, 16) != 0 || head.id.epoch != meta->id.epoch ||
	    head.id.n != meta->id.n)
		return fail(err, FIRN_ECORRUPT, 0, "segment",
		            "header at 0: another segment than the trailer says");
	return 0;
}

/* Opens the blocks of the frame whose first block is row i; *next is the row after the last. */
static int frame_verify(const struct segment_footer *f, const uint8_t *object, uint32_t i,
                        uint8_t *raw, uint32_t *next, struct firn_error *err)
{
	struct block_entry first, e;
	struct block block;
	segment_block_at(f, i, &first);
	int rc = segment_frame_decode(&first, object + first.frame_pos, first.frame_len, raw, err);
	for (e = first; rc == 0 && e.frame_pos == first.frame_pos;) {
		rc = block_open(segment_footer_meta(f)->volume_id, &e, raw, e.frame_raw_len, &block,
		                err);
		if (++i == segment_n_blocks(f))
			break;
		segment_block_at(f, i, &e);
	}
	*next = i;
	return rc;
}

static int frames_verify(const struct firn_env *env, const struct segment_footer *f,
                         const uint8_t *object, struct firn_error *err)
{
	uint8_t *raw = NULL;
	size_t cap = 0;
	int rc = 0;
	for (uint32_t i = 0; rc == 0 && i < segment_n_blocks(f);) {
		struct block_entry e;
		segment_block_at(f, i, &e);
		if (e.frame_raw_len > cap) {
			mem_free(env, raw);
			cap = e.frame_raw_len;
			raw = mem_alloc(env, cap);
		}
		if (!raw)
			return fail(err, FIRN_ENOMEM, 0, "segment",
			            "no memory for a frame of %zu bytes", cap);
		rc = frame_verify(f, object, i, raw, &i, err);
	}
	mem_free(env, raw);
	return rc;
}

int segment_verify(const struct firn_env *env, const uint8_t *object, size_t len,
                   struct firn_error *err)
{
	struct segment_footer *f;
	size_t need;
	int rc = segment_footer_open(env, object, len, len, &f, &need, err);
	if (rc)
		return rc;
	rc = header_verify(object, segment_footer_meta(f), err);
	if (rc == 0)
		rc = frames_verify(env, f, object, err);
	segment_footer_close(f);
	return rc;
}
