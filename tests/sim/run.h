/* One seed: a world with two nodes and a store, lives that end badly, and a calm end in which all must drain. */
#ifndef SIM_RUN_H
#define SIM_RUN_H
#include "tests/sim/world.h"

/* Runs it to the end in this process; a broken promise ends the process through sim_fail(). */
void run_seed(void);
#endif
