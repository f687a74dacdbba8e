/* What golden volumes hold, and reading them back. */
#ifndef TESTS_GOLDEN_WORLD_H
#define TESTS_GOLDEN_WORLD_H
#include "tests/integration/site.h"

#define GOLDEN_DIR "/tmp/firn-golden" /* its URI stands in the WAL's table */

/* Fills host `h` (open): volume "kept", half in the store, half in the WAL; volume "drained", all in the
 * store and left; both over more than one file of the WAL. Leaves "kept" attached. */
void golden_write(struct host *h);
/* All that is in both volumes, attached as if the directory had been moved here. To be freed. */
char *golden_text(struct host *h);
#endif
