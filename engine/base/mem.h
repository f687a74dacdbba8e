/* Memory through the host's allocator. Everything the engine allocates goes through here. */
#ifndef BASE_MEM_H
#define BASE_MEM_H
#include <firn/env.h>
#include <stddef.h>

void *mem_alloc(const struct firn_env *env, size_t len);  /* 16-aligned, not zeroed */
void *mem_zalloc(const struct firn_env *env, size_t len); /* zeroed */
/* For O_DIRECT: 4096-aligned; whole huge pages when len is a multiple of them. */
void *mem_alloc_pages(const struct firn_env *env, size_t len);
void *mem_dup(const struct firn_env *env, const void *p, size_t len);
/* Grows an array to hold at least `need` elements (doubling); 0 or -1. */
int mem_grow(const struct firn_env *env, void **array, size_t *cap, size_t used, size_t need,
             size_t elem);
/* All of it will be written: the kernel gives its pages at once, instead of one at each first touch. A hint. */
void mem_populate(void *p, size_t len);
void mem_free(const struct firn_env *env, const void *p);
#endif
