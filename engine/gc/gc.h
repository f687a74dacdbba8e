/* What leaves a volume, and when its object is deleted (PROTOCOL 9, 22).
 *
 *   nothing lies in it any more, a layer covers it --commit--> dead list --delete_grace--> DELETE --commit--> forgotten
 *   a layer was merged into another                 --commit-->
 *
 * Only the attached writer deletes, and here only what a settled manifest calls dead: nobody's commit can name it again
 * (what none ever named is found by sweeps, sweep.h). The time is counted on the writer's own monotonic clock from when
 * it saw the dead row settled; a new writer begins anew, so readers elsewhere have at least that long to look at a newer
 * manifest. */
#ifndef GC_GC_H
#define GC_GC_H
#include "engine/admit/volume.h"

enum { GC_DEAD_MAX = 1024 }; /* rows of the dead list that segments may fill */

/* An object of the dead list. */
struct grave {
	struct segment_id id;
	uint32_t kind; /* enum manifest_dead_kind */
	bool gone;     /* deleted: the next commit forgets it */
	uint64_t seen_ns;
};

/* Locked: the list as the settled manifest has it. Its order is the manifest's. */
void graves_sync(struct volume *v);
/* Locked: an object may be deleted now. */
bool graves_due(const struct volume *v, uint64_t now_ns);
/* A task's work: deletes what is due. 1: progress. */
int graves_run(struct volume *v);
/* Takes out of the dead list of `next` what has been deleted. Takes the lock. */
void graves_forget(struct volume *v, struct manifest *next);

/* Segments in which nothing lies and which layers cover, for the dead list of `next`; *gone, *n_gone: the same for the
 * index. To be freed by the caller. */
int dead_collect(struct volume *v, struct manifest *next, struct segment_id **gone,
                 uint32_t *n_gone, struct firn_error *err);
#endif
