#include "engine/base/spare.h"
#include "engine/base/mem.h"
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else /* who still reads what he gave back is caught as with the C library's memory */
#define ASAN_POISON_MEMORY_REGION(p, len) ((void)(p), (void)(len))
#define ASAN_UNPOISON_MEMORY_REGION(p, len) ((void)(p), (void)(len))
#endif

enum { SPARE_MIN = 64 << 10, LOOK_AT = 32 };

struct spare { /* at the beginning of memory that nobody uses */
	struct spare *newer, *older;
	size_t len;
};

size_t spare_len(size_t len)
{
	size_t step = SPARE_MIN / 16;
	if (len < SPARE_MIN)
		return len;
	while (step * 32 <= len)
		step *= 2;
	return (len + step - 1) / step * step;
}

/* ---- the list; spares.lock held ---- */

static void take_out(struct frame_spares *s, struct spare *p)
{
	if (p->newer)
		p->newer->older = p->older;
	else
		s->newest = p->older;
	if (p->older)
		p->older->newer = p->newer;
	else
		s->oldest = p->newer;
	s->bytes -= p->len;
}

static void put_in(struct frame_spares *s, struct spare *p, size_t len)
{
	*p = (struct spare){ .older = s->newest, .len = len };
	if (s->newest)
		s->newest->newer = p;
	else
		s->oldest = p;
	s->newest = p;
	s->bytes += len;
}

static struct spare *find(const struct frame_spares *s, size_t len)
{
	struct spare *p = s->newest;
	for (int i = 0; p && p->len != len && i < LOOK_AT; i++)
		p = p->older;
	return p && p->len == len ? p : NULL;
}

static bool has_room(const struct account *a)
{
	uint64_t alive = atomic_load_explicit(&a->cache_bytes, memory_order_relaxed);
	return alive + a->spares.bytes <= a->spares.most;
}

/* Takes out, oldest first, what there is no room for; a list by `older`. */
static struct spare *surplus(struct account *a)
{
	struct frame_spares *s = &a->spares;
	struct spare *gone = NULL;
	while (s->oldest && !has_room(a)) {
		struct spare *p = s->oldest;
		take_out(s, p);
		p->older = gone;
		gone = p;
	}
	return gone;
}

/* ---- not held ---- */

static void give_back(struct account *a, struct spare *p)
{
	while (p) {
		struct spare *older = p->older;
		ASAN_UNPOISON_MEMORY_REGION(p, p->len);
		mem_free(&a->env, p);
		p = older;
	}
}

void *spare_alloc(struct account *a, size_t len)
{
	if (len < SPARE_MIN)
		return mem_alloc(&a->env, len);
	pthread_mutex_lock(&a->spares.lock);
	struct spare *p = find(&a->spares, len), *gone = NULL;
	if (p)
		take_out(&a->spares, p);
	else
		gone = surplus(a);
	pthread_mutex_unlock(&a->spares.lock);
	give_back(a, gone);
	if (!p) {
		void *made = mem_alloc(&a->env, len);
		mem_populate(made, len);
		return made;
	}
	ASAN_UNPOISON_MEMORY_REGION(p, len);
	return p;
}

void spare_free(struct account *a, void *p, size_t len)
{
	bool keep = false;
	if (p && len >= SPARE_MIN) {
		pthread_mutex_lock(&a->spares.lock);
		keep = has_room(a);
		if (keep) {
			put_in(&a->spares, p, len);
			ASAN_POISON_MEMORY_REGION((struct spare *)p + 1,
			                          len - sizeof(struct spare));
		}
		pthread_mutex_unlock(&a->spares.lock);
	}
	if (!keep)
		mem_free(&a->env, p);
}

void spare_bound(struct account *a, uint64_t most)
{
	pthread_mutex_lock(&a->spares.lock);
	a->spares.most = most;
	struct spare *gone = surplus(a);
	pthread_mutex_unlock(&a->spares.lock);
	give_back(a, gone);
}
