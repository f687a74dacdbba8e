#include "engine/cache/s3fifo.h"
#include "engine/base/mem.h"
#include <stdbool.h>

enum { FREQ_MAX = 3, GHOST_WAYS = 4, GHOST_PER_BYTES = 8192, GHOST_MIN = 64 };

int s3fifo_init(struct s3fifo *f, const struct firn_env *env, size_t cap)
{
	*f = (struct s3fifo){ .env = env, .cap = cap };
	size_t n = GHOST_MIN;
	while (n < cap / GHOST_PER_BYTES)
		n *= 2;
	f->ghost = mem_zalloc(env, n * sizeof *f->ghost);
	f->n_ghost = n;
	return f->ghost ? 0 : -1;
}

void s3fifo_fini(struct s3fifo *f)
{
	mem_free(f->env, f->ghost);
	f->ghost = NULL;
}

static void queue_push(struct s3fifo_queue *q, struct s3fifo_entry *e)
{
	e->next = NULL;
	e->prev = q->newest;
	if (q->newest)
		q->newest->next = e;
	else
		q->oldest = e;
	q->newest = e;
	q->bytes += e->bytes;
}

static struct s3fifo_entry *queue_pop(struct s3fifo_queue *q)
{
	struct s3fifo_entry *e = q->oldest;
	if (!e)
		return NULL;
	q->oldest = e->next;
	if (q->oldest)
		q->oldest->prev = NULL;
	else
		q->newest = NULL;
	q->bytes -= e->bytes;
	e->next = e->prev = NULL;
	return e;
}

/* ---- ghost: keys that left small within the last cache's worth of bytes ---- */

static struct s3fifo_ghost *ghost_set(const struct s3fifo *f, uint64_t hash)
{
	return &f->ghost[(hash >> 8) & (f->n_ghost - 1) & ~(size_t)(GHOST_WAYS - 1)];
}

static void ghost_put(struct s3fifo *f, const struct s3fifo_entry *e)
{
	struct s3fifo_ghost *set = ghost_set(f, e->hash), *oldest = set;
	for (int i = 1; i < GHOST_WAYS; i++)
		if (set[i].at < oldest->at)
			oldest = &set[i];
	f->passed += e->bytes;
	*oldest = (struct s3fifo_ghost){ e->hash, f->passed };
}

static bool ghost_take(struct s3fifo *f, uint64_t hash)
{
	struct s3fifo_ghost *set = ghost_set(f, hash);
	for (int i = 0; i < GHOST_WAYS; i++) {
		if (set[i].hash != hash || set[i].at == 0)
			continue;
		bool young = f->passed - set[i].at <= f->cap;
		set[i] = (struct s3fifo_ghost){ 0, 0 };
		return young;
	}
	return false;
}

/* ---- the two queues ---- */

void s3fifo_hit(struct s3fifo_entry *e)
{
	if (e->freq < FREQ_MAX)
		e->freq++;
}

void s3fifo_insert(struct s3fifo *f, struct s3fifo_entry *e)
{
	e->freq = 0;
	e->in_main = ghost_take(f, e->hash);
	queue_push(e->in_main ? &f->main : &f->small, e);
}

/* One look at the oldest of small: it goes to main, or out. */
static struct s3fifo_entry *small_turn(struct s3fifo *f)
{
	struct s3fifo_entry *e = queue_pop(&f->small);
	if (e->freq > 1) {
		e->freq = 0;
		e->in_main = 1;
		queue_push(&f->main, e);
		return NULL;
	}
	ghost_put(f, e);
	return e;
}

/* One look at the oldest of main: it goes round once more, or out. */
static struct s3fifo_entry *main_turn(struct s3fifo *f)
{
	struct s3fifo_entry *e = queue_pop(&f->main);
	if (e->freq == 0)
		return e;
	e->freq--;
	queue_push(&f->main, e);
	return NULL;
}

struct s3fifo_entry *s3fifo_evict(struct s3fifo *f)
{
	struct s3fifo_entry *e = NULL;
	while (!e && (f->small.oldest || f->main.oldest)) {
		bool small = f->small.oldest && (f->small.bytes >= f->cap / 10 || !f->main.oldest);
		e = small ? small_turn(f) : main_turn(f);
	}
	return e;
}
