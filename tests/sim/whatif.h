/* What if: questions put to a scratch machine and a scratch bucket while all nodes are down. The run goes on afterwards as if
 * nobody had asked.
 *
 *   an older snapshot of a disk is put back    refused, unless nothing that was promised is missing (12)
 *   a snapshot boots in another machine        refused, unless the volume is clean (12)
 *   the bucket is put back to an older state   refused, unless nothing that was promised is missing (8)
 *   the store ignores conditions               refused by name (6)
 */
#ifndef SIM_WHATIF_H
#define SIM_WHATIF_H
#include "tests/sim/work.h"

/* A snapshot for later questions: of one disk, or of the bucket; replaces the one before. At any moment. */
void whatif_remember(uint32_t site);
/* All nodes are down. */
void whatif_ask(void);
#endif
