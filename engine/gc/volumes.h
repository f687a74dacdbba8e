/* The volumes of a store, by LIST. */
#ifndef GC_VOLUMES_H
#define GC_VOLUMES_H
#include "engine/store/store.h"

/* Calls each() with the name of every volume, in byte order; non-zero ends it and is returned. Passes over segments and
 * what is no volume's: a page or two for each volume, however long its history is. */
int volumes_each(struct store *store, int (*each)(void *arg, const char *name), void *arg,
                 struct firn_error *err);
#endif
