/* Files that say "on stable storage" and lie: an engine that is given them acks what a power cut takes
 * away. The tests must notice. */
#ifndef LYING_H
#define LYING_H
#include <firn/env.h>

/* "no-flush": data is written, not flushed; "no-dir-sync": names are not synced. NULL: no such lie. */
const struct firn_env *lying_env(const char *lie);
#endif
