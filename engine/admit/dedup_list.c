/* Lists producers by id out of a table that knows no order: a max-heap of the `max` lowest ids,
 * built in the caller's own array, so that nothing is allocated. Only then are the elements
 * filled. */
#include "engine/admit/dedup_state.h"
#include <assert.h>
#include <string.h>

/* The array: elements of `size` bytes, each begins with its id. */
struct heap {
	uint8_t *base;
	size_t size;
	uint32_t n;
};

static uint64_t id_at(const struct heap *h, uint32_t i)
{
	uint64_t id;
	memcpy(&id, h->base + (size_t)i * h->size, sizeof id);
	return id;
}

static void set_id(struct heap *h, uint32_t i, uint64_t id)
{
	memcpy(h->base + (size_t)i * h->size, &id, sizeof id);
}

static void sift_up(struct heap *h, uint32_t i, uint64_t id)
{
	for (; i && id_at(h, (i - 1) / 2) < id; i = (i - 1) / 2)
		set_id(h, i, id_at(h, (i - 1) / 2));
	set_id(h, i, id);
}

static void sift_down(struct heap *h, uint64_t id)
{
	uint64_t i = 0;
	for (uint64_t child; (child = 2 * i + 1) < h->n; i = child) {
		if (child + 1 < h->n && id_at(h, (uint32_t)child + 1) > id_at(h, (uint32_t)child))
			child++;
		if (id_at(h, (uint32_t)child) <= id)
			break;
		set_id(h, (uint32_t)i, id_at(h, (uint32_t)child));
	}
	set_id(h, (uint32_t)i, id);
}

static void sort(struct heap *h)
{
	uint32_t n = h->n;
	while (h->n > 1) {
		uint64_t highest = id_at(h, 0), last = id_at(h, --h->n);
		sift_down(h, last);
		set_id(h, h->n, highest);
	}
	h->n = n;
}

static void fill(const struct heap *h, uint32_t i, const struct producer *p)
{
	struct firn_producer full = { .producer_id = p->id,
		                      .seq_next = p->seq_next,
		                      .last_offset = p->last_offset,
		                      .producer_epoch = p->epoch,
		                      .last_ms = p->last_ms };
	memcpy(h->base + (size_t)i * h->size, &full, h->size < sizeof full ? h->size : sizeof full);
}

uint32_t dedup_list(const struct dedup *d, uint64_t after_id, struct firn_producer *out,
                    uint32_t out_size, uint32_t max)
{
	static_assert(offsetof(struct firn_producer, producer_id) == 0, "the heap lives there");
	if (!d || !max || out_size < sizeof(uint64_t))
		return 0;
	struct heap h = { .base = (uint8_t *)out, .size = out_size };
	for (const struct aged *a = d->seen.oldest; a; a = a->next) {
		uint64_t id = ((const struct producer *)a)->id;
		if (after_id != UINT64_MAX && id <= after_id)
			continue;
		if (h.n < max)
			sift_up(&h, h.n++, id);
		else if (id < id_at(&h, 0))
			sift_down(&h, id);
	}
	sort(&h);
	for (uint32_t i = 0; i < h.n; i++)
		fill(&h, i, producer_find(d, id_at(&h, i)));
	return h.n;
}
