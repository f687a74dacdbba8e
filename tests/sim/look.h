/* Who reads from the engines: one stream at a time, by time, and many streams of several volumes at once. */
#ifndef SIM_LOOK_H
#define SIM_LOOK_H
#include "tests/sim/work.h"

void start_looker(struct site *s, struct home *h);
/* One reader over all volumes of the site. */
void start_watcher(struct site *s);
#endif
