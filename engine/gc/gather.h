/* Gathering: of segments S, all of one run of layers, the blocks of each stream that follow one another become one block, in
 * new segments T that are sorted by stream. How S and T change places, and what a crash leaves, is as with any rewrite
 * (rewrite.h); compact.h says when.
 *
 *   rows of the run --> count: do enough blocks vanish?
 *                   --> copy: GET, verify, join --> T, verified, put; footers of S: has all that lives been copied?
 *                   --> rows: those of S become those of T --> a run, put
 *
 * The run is read three times, so that no more is in memory than a window of each S, the segment that is written, and a row
 * for each block that is made.
 *
 * What is made. Batches are what readers see, and they are copied bit for bit with the checksums that they got when they were
 * appended, in their order; offsets, revs, times, keys and producers stand in them and in rows that are not touched. A block is
 * joined to the one before it when that ends where it begins: no offset that is missing, skipped or lost comes to lie inside a
 * block that it was not inside of before, so lost ranges stay open (salvage), and a block never covers an offset of another.
 * No block is cut in two, except from what is trimmed of it. Blocks of S that are large already are taken along as they are.
 *
 * Three who must agree, as with any rewrite: the footer of S (what lies in it and lives is among what was copied), the run
 * (its rows of S are what was copied, each of them) and the index, here and in the moment of the commit. */
#ifndef GC_GATHER_H
#define GC_GATHER_H
#include "engine/gc/rewrite.h"

struct gather;

int gather_open(struct volume *v, const struct clean_step *step, struct layer_run *run,
                struct gather **out, struct firn_error *err);
/* Sinks of layer_merge() for the rows of the run, one behind the other. */
int gather_count(void *gather, const struct layer_row *row);
int gather_copy(void *gather, const struct layer_row *row);
int gather_row(void *gather, const struct layer_row *row);
void gather_again(struct gather *g); /* before the second, and the third */
/* Behind the last row of each: whether it is worth it; the last segment, and what footers say; *out is what to commit. */
bool gather_worth(const struct gather *g);
int gather_copied(struct gather *g);
int gather_end(struct gather *g, struct rewritten **out);
/* Nothing will name what was put: it is deleted. NULL is fine. */
void gather_forget(struct gather *g);
void gather_close(struct gather *g);
#endif
