/* For the tests of admission: memory that runs out, and chance that repeats itself. */
#ifndef ADMIT_FIXTURE_H
#define ADMIT_FIXTURE_H
#include "engine/os/env.h"
#include <stdint.h>

/* The default environment, but after `left` more allocations there is no memory. */
struct scarce {
	struct firn_env env;
	int left;
	int in_use;
};
void scarce_init(struct scarce *s, int left);

/* splitmix64 */
uint64_t chance_next(uint64_t *state);
uint32_t chance_below(uint64_t *state, uint32_t n);
#endif
