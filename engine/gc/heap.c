/* Streams with retention, the one that is due first in front. Volume locked. */
#include "engine/api/engine.h"
#include "engine/base/mem.h"
#include "engine/gc/heap.h"

static void put(struct volume *v, uint32_t at, struct retain *r)
{
	v->retain[at - 1] = r;
	r->at = at;
}

static void move_up(struct volume *v, struct retain *r)
{
	uint32_t at = r->at;
	for (; at > 1 && v->retain[at / 2 - 1]->due_ms > r->due_ms; at /= 2)
		put(v, at, v->retain[at / 2 - 1]);
	put(v, at, r);
}

static void move_down(struct volume *v, struct retain *r)
{
	uint32_t at = r->at;
	for (uint32_t next; (next = 2 * at) <= v->n_retain; at = next) {
		if (next < v->n_retain && v->retain[next]->due_ms < v->retain[next - 1]->due_ms)
			next++;
		if (v->retain[next - 1]->due_ms >= r->due_ms)
			break;
		put(v, at, v->retain[next - 1]);
	}
	put(v, at, r);
}

/* Without memory it is not in it: more of the stream being stored tries again. */
void heap_put(struct volume *v, struct retain *r, int64_t due_ms)
{
	if (r->at && r->due_ms <= due_ms)
		return;
	r->due_ms = due_ms;
	if (!r->at) {
		void *p = v->retain;
		if (mem_grow(v->engine->env, &p, &v->cap_retain, v->n_retain, v->n_retain + 1u,
		             sizeof *v->retain))
			return;
		v->retain = p;
		put(v, ++v->n_retain, r);
	}
	move_up(v, r);
}

void heap_take(struct volume *v, struct retain *r)
{
	uint32_t at = r->at;
	if (!at)
		return;
	r->at = 0;
	struct retain *last = v->retain[--v->n_retain];
	if (last == r)
		return;
	put(v, at, last);
	move_up(v, last);
	move_down(v, last);
}
