/* What happens to machines that live: stopped, cut off, given up by others. */
#ifndef SIM_CHAOS_H
#define SIM_CHAOS_H
#include "tests/sim/work.h"

void site_pause(struct site *s, bool stops);
void site_kill(struct site *s, bool power);
/* Some other than this one. */
uint32_t elsewhere(uint32_t site);
/* One is stopped, or cannot reach the store, for a while; then it goes on. With luck it does not matter. */
void trouble_some(void);
/* A volume is taken without the log of its owner, who is stopped, cut off, dead, or alive; or with it, if it lies in a store
 * and can be read. */
void abandon_some(void);
#endif
