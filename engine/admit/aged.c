/* The list of aged.h. Nothing here allocates or fails. */
#include "engine/admit/aged.h"
#include <stddef.h>

void aged_add(struct aged_list *l, struct aged *a, int64_t age)
{
	a->age = age;
	a->prev = l->newest;
	a->next = NULL;
	*(l->newest ? &l->newest->next : &l->oldest) = a;
	l->newest = a;
	l->n++;
}

void aged_load(struct aged_list *l, struct aged *a, int64_t age)
{
	if (l->newest && l->newest->age > age)
		l->unsorted = true;
	aged_add(l, a, age);
}

void aged_remove(struct aged_list *l, struct aged *a)
{
	*(a->prev ? &a->prev->next : &l->oldest) = a->next;
	*(a->next ? &a->next->prev : &l->newest) = a->prev;
	a->prev = a->next = NULL;
	l->n--;
}

/* Merges two sorted chains (by next); of equals those of `a` stay first. */
static struct aged *merge(struct aged *a, struct aged *b)
{
	struct aged *first = NULL, **end = &first;
	while (a && b) {
		struct aged **from = b->age < a->age ? &b : &a;
		*end = *from;
		end = &(*from)->next;
		*from = *end;
	}
	*end = a ? a : b;
	return first;
}

/* Bottom-up merge sort: run[i] is a sorted chain of 2^i. */
static void sort(struct aged_list *l)
{
	struct aged *run[33] = { NULL }, *all = NULL;
	for (struct aged *a = l->oldest, *next; a; a = next) {
		next = a->next;
		a->next = NULL;
		int i = 0;
		for (; run[i]; run[i++] = NULL)
			a = merge(run[i], a);
		run[i] = a;
	}
	for (int i = 0; i < 33; i++)
		all = merge(run[i], all);
	l->oldest = all;
	l->newest = NULL;
	for (struct aged *a = all; a; l->newest = a, a = a->next)
		a->prev = l->newest;
	l->unsorted = false;
}

struct aged *aged_oldest(struct aged_list *l)
{
	if (l->unsorted)
		sort(l);
	return l->oldest;
}
