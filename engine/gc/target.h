/* The segments that a rewrite writes, one at a time: blocks that were stored before, and no word of their streams. Internal
 * to gc/. */
#ifndef GC_TARGET_H
#define GC_TARGET_H
#include "engine/admit/volume.h"
#include "engine/layer/layer.h"

struct target {
	struct volume *v;
	struct layer_run *run; /* gives numbers, and the time */
	struct firn_error *err;
	struct segment_writer *writer;  /* NULL: none is open */
	struct manifest_segment *added; /* those that were begun to be put */
	size_t n_added, cap_added;
};

/* One that lies in the interval of writes. */
int target_open(struct target *t, uint64_t rev_from, uint64_t rev_to);
/* Ends it and puts it. Its footer, read back as any reader would, is shown to same() before: non-zero ends it there.
 * `verify`: so are all its bytes, down to the checksum that each batch got when it was appended. */
int target_end(struct target *t, bool verify,
               int (*same)(void *arg, const struct segment_footer *f), void *arg);
/* How long it is to be, for who has a share of memory. */
uint64_t target_bytes(const struct volume *v);
/* Nothing will name what was put: it is deleted. */
void target_forget(struct target *t);
void target_close(struct target *t);
#endif
