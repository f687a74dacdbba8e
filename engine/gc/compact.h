/* Compaction: a stream that says little leaves one small block in each segment, for ever. So segments of small blocks are
 * gathered (gather.h): what follows one another of a stream becomes one block, in segments sorted by stream. This page
 * decides when, and which.
 *
 *   a run of layers is new --> its segments of small blocks, in groups --> COMPACT_FAN groups and more, none of them most of
 *   it all --> do half of the blocks vanish? --> gathered, and the run written once more, in one commit
 *
 * A group is a round, or what was gathered before: of each stream about one block. Runs of layers become ever longer
 * (layer/layer.h), so what they name is gathered again, when it has become COMPACT_FAN groups once more. Each time it comes
 * to lie in a group at least COMPACT_FAN / 4 times as large, usually COMPACT_FAN times: so a byte is written anew a number of
 * times that grows with the logarithm of history, and never once its blocks are large (COMPACT_LARGE):
 * what streams say much stays where it was put first.
 *
 * Left alone as well: what would make no fewer blocks, as of streams that are used once each; what needs more sources or
 * blocks than a share of memory_bytes holds. Between two blocks of which one block is made no offset is missing, and no more
 * than COMPACT_SPAN_MS lies, or a COMPACT_PER_AGE-th of the stream's retention_ms: so long a block stays beyond its time.
 *
 * Nothing of it is urgent, and nothing is kept about it: a writer that comes looks at each run once. */
#ifndef GC_COMPACT_H
#define GC_COMPACT_H
#include "engine/gc/clean.h"

enum {
	COMPACT_FAN = 16,
	COMPACT_FAN_MIN = 3,      /* with less layer_segments nothing is gathered */
	COMPACT_LARGE = 64 << 10, /* mean payload of the blocks of a segment that is left alone */
	COMPACT_BLOCKS = 1 << 20, /* at once: they leave the index in one transaction */
	COMPACT_PER_AGE = 16,     /* see above */
	COMPACT_SPAN_MS = 604800000, /* a week */
	COMPACT_SOURCE = 128 << 10   /* memory for a segment that is read */
};

struct compact;

/* Locked: there is a run that was not looked at. */
bool compact_due(const struct volume *v, uint64_t now_ns);
/* For who has claimed `layering`. `m`: a copy of the settled manifest, which must live as long. */
int compact_open(struct volume *v, const struct manifest *m, struct compact **out,
                 struct firn_error *err);
/* The next of its runs, newest first, and which of its segments to gather; false: there is none. */
bool compact_next(struct compact *c, struct clean_step *out);
/* That it is not worth it: this run is not looked at again. */
void compact_refuse(struct compact *c, const struct clean_step *step);
/* How it went: `step` NULL, nothing was to be done. What fails for lack of a store is tried again, damage is not. */
void compact_done(struct compact *c, const struct clean_step *step, int rc);
void compact_close(struct compact *c); /* NULL is fine */
#endif
