/* Looking over a whole index: the file's structure (check.h), and every row's sum and fields. */
#ifndef INDEX_VERIFY_H
#define INDEX_VERIFY_H
#include "engine/index/check.h"

/* Before LMDB touches the file. *fresh: there is nothing in it yet. `stats` and `result` may be
 * NULL. */
int index_verify_file(const struct firn_env *env, int dir, int *fresh, struct index_stats *stats,
                      struct check_result *result, struct firn_error *err);
#endif
