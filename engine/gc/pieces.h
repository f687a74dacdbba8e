/* The segments that a rewrite reads: what of them lives, and its bytes, frame by frame. Internal to gc/. */
#ifndef GC_PIECES_H
#define GC_PIECES_H
#include "engine/gc/clean.h"

enum { SOURCES_AT_ONCE = 16 };

/* A segment that is read in the order of its blocks: a window of it is in memory, and one frame. */
struct source {
	struct manifest_segment s;
	uint8_t *window, *raw;
	size_t window_cap, window_len, raw_cap;
	uint64_t window_pos, raw_frame; /* raw_frame: its frame_pos; 0: none */
};

/* A block of a source. */
struct piece {
	struct block_entry x;
	uint64_t start; /* batches that end at or below it are dead */
	uint32_t source;
	bool dead; /* all of it is */
};

struct pieces {
	struct volume *v;
	struct source *source;
	uint32_t n_source;
	struct piece *piece; /* by stream and base */
	size_t n_piece, cap_piece;
	size_t window; /* bytes of a source that are fetched at once */
	struct firn_error *err;
};

/* FIRN_ECORRUPT: footer and index contradict each other. */
int pieces_open(struct pieces *p, const struct index_segment *s, uint32_t n);
/* The sources alone, without a look at their footers. To be closed in any case, as after pieces_open(). */
int pieces_sources(struct pieces *p, const struct index_segment *s, uint32_t n);
/* What the index says of the piece, whose `x` and `source` are set: the rest of it. FIRN_ECORRUPT: it contradicts. */
int pieces_judge(struct pieces *p, struct piece *piece);
/* A living piece in memory, verified; valid until the next call for the same source. */
int pieces_block(struct pieces *p, const struct piece *piece, struct block *out);
void pieces_close(struct pieces *p);
#endif
