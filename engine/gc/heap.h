/* A stream's retention, and the heap of those in a volume. Volume locked. */
#ifndef GC_HEAP_H
#define GC_HEAP_H
#include "engine/admit/volume.h"

struct retain {
	uint64_t stream;
	uint32_t at;      /* place in the heap, from 1; 0: not in it */
	bool counted;     /* `held` is exact; else it is not less than the truth */
	int64_t due_ms;   /* of the env's wall clock, as append times are */
	uint64_t held;    /* payload in stored blocks from `start` on */
	uint64_t trimmed; /* as far as retention itself has trimmed */
};

/* Due then, or sooner if it was. */
void heap_put(struct volume *v, struct retain *r, int64_t due_ms);
void heap_take(struct volume *v, struct retain *r); /* out of it */
#endif
