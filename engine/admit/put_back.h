/* Writes of what an abandoned WAL acked: a batch that goes back into its range (fill.c), a stream that is made again with its
 * first batch (back.c). Room is taken under volume.lock, the record is written without it. */
#ifndef ADMIT_PUT_BACK_H
#define ADMIT_PUT_BACK_H
#include "engine/admit/volume.h"

/* Locked. FIRN_ETOOBIG; FIRN_EFULL: later. */
int put_back_reserve(struct volume *v, uint64_t len, uint32_t n_ops, struct wal_slot *slot,
                     struct firn_error *err);
/* The operations [0, n), which have their positions; of kind 0: none. The payload of `b` (may be NULL) is that of the one with
 * a batch. */
void put_back_write(const struct volume *v, uint64_t rev, const struct wal_op *op, uint32_t n,
                    const struct batch *b, struct wal_slot *slot);
#endif
