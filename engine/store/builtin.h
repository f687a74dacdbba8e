/* The back ends that are linked in. They come in by the same door as a shared object: a function
 * that gives a struct firn_store_plugin. */
#ifndef STORE_BUILTIN_H
#define STORE_BUILTIN_H
#include <firn/store.h>

const struct firn_store_plugin *mem_store_entry(void);
const struct firn_store_plugin *file_store_entry(void);
const struct firn_store_plugin *s3_store_entry(void); /* only where it was built */
#endif
