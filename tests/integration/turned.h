/* A clock that tests turn: the system's own env, but for its clocks, which run ahead as far as they were turned. */
#ifndef TESTS_TURNED_H
#define TESTS_TURNED_H
#include "tests/integration/site.h"
#include <firn/env.h>

/* The env to give to engines; one clock for all of them. Turned by nothing at first. */
const struct firn_env *turned_env(void);
void turned_by(int64_t ms); /* so much further */
/* Opens a host that runs without threads, under that clock. */
void turned_open(struct host *h, const struct site *s, const char *name,
                 const char *const *options);
/* A host that runs without threads: all that is due is done. */
void turned_rest(struct host *h);
/* The same, and goes on being done while the clock is turned a little. */
void turned_settle(struct host *h);
#endif
