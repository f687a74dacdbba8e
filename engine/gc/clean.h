/* Cleaning: `delete_deadline_ms` after a trim or a deletion no object holds the bytes any more (P9, PROTOCOL 19).
 *
 * A segment that is wholly dead leaves by itself (gc.h). One that holds dead blocks beside living ones, or a block that
 * begins below its stream's start, is rewritten (rewrite.h). This page decides when, and which.
 *
 *   cleaned_ms of the manifest + delete_deadline / 2 --> a cycle: what is durable by now is stored --> the index is walked:
 *   a list of segments --step by step--> covered by layers? --> rewritten, a run of layers at a time --> cleaned_ms
 *                                             |                  wholly dead: a commit lets it go
 *                                             +- no: footers are merged first
 *
 * A cycle takes what is dead when it begins, so it ends however much is trimmed meanwhile; what is trimmed right behind its
 * beginning waits for the next one. Half of the deadline is the time between two, the other half is a cycle's to take.
 * cleaned_ms stands in the manifest, so a restart neither begins anew nor forgets. Only the attached writer cleans: without
 * one nothing is. Wall clocks decide when it is done, never what is safe.
 *
 * What it costs: a walk over the index a cycle; a request for the footer of each segment of the list and one per MiB or so
 * of what lives in it; the living bytes and one run of layers a step written anew. At most CLEAN_SEGMENTS segments a step,
 * and steps follow one another at CLEAN_RATE, or at the pace that a quarter of the deadline asks for. */
#ifndef GC_CLEAN_H
#define GC_CLEAN_H
#include "engine/admit/volume.h"

enum {
	CLEAN_SEGMENTS = 256,    /* of a step: a quarter of what the dead list takes */
	CLEAN_BLOCKS = 64 << 10, /* of a step, unless one segment has more */
	CLEAN_BYTES = 256 << 20, /* the same */
	CLEAN_RATE = 8 << 20,    /* bytes a second */
	CLEAN_SEGMENTS_MAX =
	        64 << 10 /* of a cycle; what is left is the next one's, which follows at once */
};

enum clean_work {
	CLEAN_END,    /* the cycle has ended, or it waits */
	CLEAN_COVER,  /* footers are to be merged, so that a layer names what they do */
	CLEAN_BURY,   /* a commit is to let go of what is wholly dead: asked for */
	CLEAN_REWRITE /* these, all of them of one run of layers */
};
struct clean_step {
	enum clean_work work;
	uint32_t run; /* first row of it in the manifest that was given */
	uint32_t n;
	struct index_segment segment[CLEAN_SEGMENTS];
	uint64_t bytes; /* of their objects */
};

/* Locked: a step is due. The clocks are the env's. */
bool clean_due(const struct volume *v, uint64_t now_ns, int64_t now_ms);
/* For who has claimed `layering`: what is to be done now. `m`: a copy of the settled manifest. Begins a cycle, goes on with
 * it, or ends it. */
int clean_next(struct volume *v, const struct manifest *m, struct clean_step *out,
               struct firn_error *err);
/* How the step went. After damage its segments are tried one by one, and left as they are if it is theirs. */
void clean_done(struct volume *v, const struct clean_step *step, int rc,
                const struct firn_error *err);
/* Locked, nobody has claimed `layering`: what was rewritten is not to be committed. The cycle ends; the next one tries
 * again, not before its time: a copy costs what it costs each time. */
void clean_give_up(struct volume *v);
void clean_free(struct volume *v);
#endif
