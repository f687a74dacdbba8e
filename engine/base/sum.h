/* The checksum of everything: XXH3-64 (xxHash), SIMD chosen at run time where the CPU offers it. */
#ifndef BASE_SUM_H
#define BASE_SUM_H
#include <stddef.h>
#include <stdint.h>

uint64_t sum64(const void *data, size_t len);
uint64_t sum64_seed(const void *data, size_t len, uint64_t seed);
#endif
