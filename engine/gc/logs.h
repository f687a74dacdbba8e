/* Sweeps of logs in a store: what is left of a log that is over goes; its seal stays (PROTOCOL 3, S17).
 *
 *   LIST .firn-wal/ --a log that is sealed, and not ours--> volumes in the slots below the seal, and their last revs --> all their
 *   manifests found, with all of that stored, and no manifest names the log --> DELETE, from the top
 *
 * (A log that nobody has sealed is given a seal first: open_logs.h.)
 *
 * A writer deletes his slots himself as long as he lives, and leaves those of a log that somebody has sealed: several volumes
 * may need them, each until its next owner has what it needs in a log of his own. Then nobody does:
 *   - that a manifest does not name it is not enough: its writer may have begun it with the name still on the way, and acks
 *     what lies below the seal once that has landed, however late. What is stored is needed by nobody, named or not;
 *   - that rev_stored is above it is not enough either: what a takeover has given up (abandon.c) counts as stored there, and
 *     lies nowhere but here, for a salvage;
 *   - a slot below the seal that its old writer sends once more holds what it held;
 *   - who walks the log meanwhile finds it ending where the slots end: of his volume there was nothing in it.
 * From the top: a slot that is there says that those below it were, and must not say so of one that was swept.
 *
 * A manifest may lie in a store that this engine does not know. So a log with a volume in it that is found nowhere stays.
 *
 * When: behind the sweep of a volume (sweep.h), by an engine with its log in a store, once in SWEEP_EVERY_NS. Cost: a LIST of the
 * logs, and for each that has slots below a seal a GET per slot, a GET per manifest of the stores it knows, and the DELETEs,
 * one at a time. A seal costs the LIST a key for ever. */
#ifndef GC_LOGS_H
#define GC_LOGS_H
#include "engine/admit/volume.h"

/* Behind the sweep of this volume; false: not now, or another volume's is at it. */
bool logs_sweep_begin(struct engine *e);
/* The first log with slots behind the key `after` (400 bytes, moved on). *more: there may be others. *n: slots deleted.
 * FIRN_ECANCELED: the volume leaves. */
int logs_sweep(struct volume *v, char *after, bool *more, uint64_t *n, struct firn_error *err);
#endif
