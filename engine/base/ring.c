#include "engine/base/ring.h"
#include "engine/base/mem.h"
#include <string.h>

int ring_grow(const struct firn_env *env, void **array, uint32_t *cap, uint32_t *head, uint32_t n,
              size_t elem, uint32_t first)
{
	if (n < *cap)
		return 0;
	uint32_t wider = *cap ? *cap * 2 : first;
	char *to = mem_alloc(env, wider * elem);
	if (!to)
		return -1;
	uint32_t until_end = *cap - *head; /* full: all of it is in use, wrapped at head */
	if (n) {
		memcpy(to, (char *)*array + *head * elem, until_end * elem);
		memcpy(to + until_end * elem, *array, *head * elem);
	}
	mem_free(env, *array);
	*array = to;
	*cap = wider;
	*head = 0;
	return 0;
}
