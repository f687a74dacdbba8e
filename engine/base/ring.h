/* Rings: arrays whose capacity is a power of two, read from `head`. The caller indexes them by
 * (head + i) & (cap - 1). */
#ifndef BASE_RING_H
#define BASE_RING_H
#include <firn/env.h>
#include <stddef.h>
#include <stdint.h>

/* Room for one more behind n elements: doubles when full (from `first`). 0, or -1 without memory and then
 * nothing changed. */
int ring_grow(const struct firn_env *env, void **array, uint32_t *cap, uint32_t *head, uint32_t n,
              size_t elem, uint32_t first);
#endif
