/* Rewriting segments S into T: the living blocks are copied into new objects, the run of layers that names S is written
 * once more and names T. One commit makes it true: T and the new run come, S and the old run go to the dead list.
 *
 *   footers of S --index: alive?--> pieces --GET, verify--> T, put --+--> a commit: manifest --> index --> S is dead
 *   the run of layers --rows of S become rows of T--> a run, put ----+
 *
 * What is copied. The footer of S says what lies in it, the index what of that lives: a block without an extent there must
 * be one that its stream's row calls trimmed or deleted, or else nothing is done (FIRN_ECORRUPT). Batches are copied bit for
 * bit, each with the checksum of its append, verified on the way. A block stays one block; one that begins below its
 * stream's start is cut: batches that end at or below it stay behind, and `base` rises. Offsets and order of a stream do not
 * change (P3), nor does the interval of revs of the run (P10): only where blocks lie.
 *
 * Three who must agree before S may go, each a guard of its own: footer and index (above); the old run, whose rows of S must
 * be exactly these, each of those that live once (rewrite_row, rewrite_end); and the index again in the moment of the commit
 * (index_rewrite_check): no extent lies in S that is not among the moves. What was trimmed or deleted between the copy and the
 * commit is dead in T, for a later rewrite.
 *
 * Histories.
 * - A crash before the CAS: T is named by nobody, of an older epoch from then on; a sweep takes it. Of an epoch that goes
 *   on, numbers of T are above `layer_first`, which holds sweeps off, until the commit is settled or the work is given up.
 * - A crash behind the CAS, before the index has it: the manifest's rewrite_seq is above the index's seq; the next attach
 *   fills the index from the layers. The same for any engine whose index saw the volume before the rewrite, and for one that
 *   is taken over from. S is on the dead list, and a new writer begins its grace anew.
 * - The answer of the CAS is lost: nothing of this is special, `enum settled` judges it as any commit (upload/commit.c).
 * - Fenced in the middle: the CAS fails, T is of an older epoch. One that lands late does so before the other's CAS, which
 *   then has it as its base.
 * - Two at once: `layering` is claimed by one worker, and a commit takes the result before the next is begun. So is a merge.
 * - A commit between copy and swap may add segments and trim or delete what S holds; it cannot add blocks to S.
 * - A stream that is deleted and made anew has a new id: nothing of the old lives.
 * - Lost ranges lie between runs, and no run's interval changes.
 * - A reader that has looked up S before, and comes to the store when it is gone, looks again (read/load.c). */
#ifndef GC_REWRITE_H
#define GC_REWRITE_H
#include "engine/gc/clean.h"

struct rewrite;

/* What a commit has to say. Owned by the layered that carries it. */
struct rewritten {
	struct segment_id *gone;
	struct manifest_segment *added;
	struct index_move *move;
	uint32_t n_gone, n_added;
	size_t n_move;
};
void rewritten_free(const struct firn_env *env, struct rewritten *r); /* NULL is fine */

/* Copies what lives in the step's segments and puts it. In every case to be closed. */
int rewrite_open(struct volume *v, const struct clean_step *step, struct layer_run *run,
                 struct rewrite **out, struct firn_error *err);
/* A sink of layer_merge(): the rows of the old run, for the new one. */
int rewrite_row(void *rewrite, const struct layer_row *row);
/* Behind the last row. *out is what to commit. */
int rewrite_end(struct rewrite *w, struct rewritten **out);
/* Nothing will name what was put: it is deleted. */
void rewrite_forget(struct rewrite *w);
void rewrite_close(struct rewrite *w); /* NULL is fine */
#endif
