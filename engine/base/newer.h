/* Structs of a caller that is newer than this library: taken if what we do not know is zero. */
#ifndef BASE_NEWER_H
#define BASE_NEWER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Does a struct of `given` bytes say anything behind the `known` first? */
static inline bool newer_says_more(const void *at, size_t known, size_t given)
{
	const uint8_t *p = at;
	for (size_t i = known; i < given; i++)
		if (p[i])
			return true;
	return false;
}
#endif
