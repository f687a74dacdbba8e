/* A list from the oldest to the newest, intrusive. What comes live comes in order; what is
 * loaded comes in any order, and the list is sorted once, when the oldest is first asked for.
 * Guarded as its owner. */
#ifndef ADMIT_AGED_H
#define ADMIT_AGED_H
#include <stdbool.h>
#include <stdint.h>

struct aged {
	struct aged *prev, *next;
	int64_t age; /* rises from the oldest to the newest */
};

struct aged_list {
	struct aged *oldest, *newest;
	uint32_t n;
	bool unsorted;
};

void aged_add(struct aged_list *l, struct aged *a, int64_t age);  /* as the newest */
void aged_load(struct aged_list *l, struct aged *a, int64_t age); /* where its age puts it */
void aged_remove(struct aged_list *l, struct aged *a);
struct aged *aged_oldest(struct aged_list *l); /* NULL = empty */
#endif
