/* The writer's state: writer.c fills blocks and frames, writer_footer.c rows and the end.
 * Internal. */
#ifndef SEGMENT_WRITER_H
#define SEGMENT_WRITER_H
#include "engine/segment/format.h"
#include "engine/segment/row.h"
#include <zstd.h>

/* A section being gathered. For rows of variable length `offset` holds a u32 each, from the first
 * row. */
struct section_rows {
	struct buf rows, offset;
	uint32_t count;
};

struct segment_writer {
	const struct firn_env *env;
	struct segment_meta meta;
	int zstd_level;
	ZSTD_CCtx *zstd; /* made at the first use, then re-used */
	bool finished;

	/* The object so far: header, closed frames, and the open frame, raw from frame_pos on. */
	struct buf out;
	size_t frame_pos;
	uint32_t frame_row;      /* first row of the block index that lies in the open frame */
	uint32_t frame_compress; /* what its batches asked for */
	struct buf squeezed;     /* a frame, compressed */

	/* The open block; none while n_batch is 0. */
	struct block_entry block;
	uint32_t block_compress;
	struct buf desc, payload;

	/* Order: where the last batch ended. */
	uint64_t last_stream, last_next;

	struct section_rows section[SECTION_KINDS];
};

/* Closes the open block and frame. */
void segment_writer_frame_close(struct segment_writer *w);
void segment_writer_block_close(struct segment_writer *w);
/* True once any buffer failed to grow: what is there is then worth nothing. */
bool segment_writer_failed(const struct segment_writer *w);
/* Room for one row; NULL when there is no memory. Counted by writer_row_end(). */
uint8_t *segment_writer_row(struct segment_writer *w, enum section_kind kind, size_t len);
#endif
