/* Logs in a store, looked at for one volume: what a rebuild has to own up to. A manifest that is gone does not say any more which
 * logs there were, nor in which store: whoever rebuilds names the stores, and this looks through all logs there.
 *
 *   LIST .firn-wal/ --slots--> header and rows of each --rows of the volume--> revs
 *
 * A log that a taker has sealed ends there. What was written at or above a seal counts for nothing; of a log without one all
 * that is there counts, acked or not. Changes nothing. Blocks: a LIST, and a GET of each slot. */
#ifndef SALVAGE_LOGS_H
#define SALVAGE_LOGS_H
#include "engine/store/store.h"

struct logs_report {
	uint64_t n_log, n_slot;       /* with writes of the volume above `above` */
	uint64_t rev_first, rev_last; /* of those; 0: none */
	uint64_t n_damaged;           /* slots that could not be read: they may hold some, too */
};

/* Adds to *out. FIRN_ESTORE, FIRN_ENOMEM. */
int logs_look(const struct firn_env *env, struct store *store, const uint8_t volume_id[16],
              uint64_t above, struct logs_report *out, struct firn_error *err);
#endif
