/* What was merged, or rewritten, and lies in the store: the next commit takes it (layered.c). Inside upload/. */
#ifndef UPLOAD_LAYERED_H
#define UPLOAD_LAYERED_H
#include "engine/gc/rewrite.h"

/* The run, and the interval of writes in which it replaces what the manifest names. */
struct layered {
	uint64_t rev_from, rev_to;
	struct manifest_layer *part;
	size_t n_part;
	struct rewritten *rewritten; /* NULL: a merge, which leaves segments as they are */
};
void layered_free(struct volume *v, struct layered *l);
/* Behind what a commit adds: the index still says what the rewrite copied. FIRN_ECORRUPT: it does not. */
int layered_check(struct volume *v, const struct layered *l, struct firn_error *err);
/* The manifest with what was merged in place of what it was merged from, which is dead from now on, and so are
 * segments that were rewritten. */
int layers_swap(struct volume *v, struct manifest *next, const struct layered *l);
/* Locked: the index has it. */
void layered_done(struct volume *v, const struct layered *l);
/* For the index; false: it was a merge. */
bool layered_index(const struct layered *l, struct index_rewrite *out);
#endif
