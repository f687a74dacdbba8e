/* Sweeps: objects that no manifest names, left by a crash or a late request, are found by LIST and deleted (PROTOCOL 9).
 *
 *   LIST a page --> not ours to judge? named? --> no commit on its way, the manifest is still ours --> its header is --> DELETE
 *
 * Only the attached writer deletes, and only what can never be named any more:
 *   - of an older epoch: its writer can never commit again, and what this one's manifest does not name nobody will;
 *   - of its own epoch, with a number below the lowest that is on its way to a commit.
 * What stands on the dead list has a grace of its own (graves.c). Nothing that is not exactly a key of this volume, with a
 * header of this volume and that number, is touched.
 *
 * Behind the volume's own objects come what engines left in its store (left.h), and the slots of logs that are over, by one of
 * the volumes of an engine with its log in a store (logs.h).
 *
 * When: once, delete_grace after the attach, and after that at most every SWEEP_EVERY_NS, if objects were written since. A
 * page of keys a second: so many requests at most, and an idle volume costs none. */
#ifndef GC_SWEEP_H
#define GC_SWEEP_H
#include "engine/admit/volume.h"

enum { SWEEP_PAGE = 1000 };
#define SWEEP_EVERY_NS (6 * 3600 * UINT64_C(1000000000))
#define SWEEP_PAGE_NS UINT64_C(1000000000)

/* Volume locked: a page is to be looked at. */
bool sweep_due(struct volume *v, uint64_t now_ns);
/* A task's work: one page. 1: progress. */
int sweep_run(struct volume *v);
void sweep_free(struct volume *v);
#endif
