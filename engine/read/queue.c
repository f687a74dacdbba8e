/* Which readers have to be looked at, and when.
 *
 *   run list   their fetch was notified, or something has landed --+
 *   heap       by the moment the fetch is due ---------------------+--> queue_pop: reader thread
 *
 * One lock, queue.lock, innermost of the read side; nothing is called with it held. Moments are
 * env->mono_ns. */
#include "engine/base/mem.h"
#include "engine/read/read.h"

uint64_t read_now(const struct engine *e)
{
	return e->env->mono_ns(e->env->ctx);
}

/* ---- heap of timers, queue.lock held ---- */

static void heap_set(struct read_queue *q, size_t at, struct firn_reader *r)
{
	q->heap[at] = r;
	r->heap_at = (uint32_t)at;
}

static void heap_up(struct read_queue *q, size_t at)
{
	struct firn_reader *r = q->heap[at];
	for (; at > 1 && r->wake_ns < q->heap[at / 2]->wake_ns; at /= 2)
		heap_set(q, at, q->heap[at / 2]);
	heap_set(q, at, r);
}

static void heap_down(struct read_queue *q, size_t at)
{
	struct firn_reader *r = q->heap[at];
	for (size_t child; (child = at * 2) <= q->n_heap; at = child) {
		if (child < q->n_heap && q->heap[child + 1]->wake_ns < q->heap[child]->wake_ns)
			child++;
		if (r->wake_ns <= q->heap[child]->wake_ns)
			break;
		heap_set(q, at, q->heap[child]);
	}
	heap_set(q, at, r);
}

static void heap_remove(struct read_queue *q, struct firn_reader *r)
{
	size_t at = r->heap_at;
	if (at == 0)
		return;
	struct firn_reader *last = q->heap[q->n_heap--];
	r->heap_at = 0;
	if (last == r)
		return;
	heap_set(q, at, last);
	heap_up(q, at);
	heap_down(q, last->heap_at);
}

int queue_timer(struct firn_reader *r, uint64_t wake_ns)
{
	struct read_queue *q = r->engine->reads;
	int rc = 0;
	pthread_mutex_lock(&q->lock);
	heap_remove(q, r);
	r->wake_ns = wake_ns;
	if (wake_ns != READ_NEVER && r->all_at) {
		if (mem_grow(&q->engine->account->env, (void **)&q->heap, &q->cap_heap,
		             q->n_heap + 1, q->n_heap + 2, sizeof(struct firn_reader *))) {
			rc = FIRN_ENOMEM;
		} else {
			heap_set(q, ++q->n_heap, r);
			heap_up(q, q->n_heap);
			if (q->heap[1] == r)
				pthread_cond_signal(&q->wake);
		}
	}
	pthread_mutex_unlock(&q->lock);
	return rc;
}

/* ---- readers ---- */

static void run_push(struct read_queue *q, struct firn_reader *r)
{
	if (r->runnable || !r->all_at)
		return;
	reader_retain(r);
	r->runnable = true;
	r->run_next = NULL;
	if (q->run_last)
		q->run_last->run_next = r;
	else
		q->run_first = r;
	q->run_last = r;
	pthread_cond_signal(&q->wake);
}

void queue_run(struct firn_reader *r)
{
	struct read_queue *q = r->engine->reads;
	pthread_mutex_lock(&q->lock);
	run_push(q, r);
	pthread_mutex_unlock(&q->lock);
}

void queue_add(struct firn_reader *r)
{
	struct read_queue *q = r->engine->reads;
	pthread_mutex_lock(&q->lock);
	r->all_next = q->all;
	r->all_at = &q->all;
	if (q->all)
		q->all->all_at = &r->all_next;
	q->all = r;
	r->round = q->round;
	pthread_mutex_unlock(&q->lock);
}

void queue_remove(struct firn_reader *r)
{
	struct read_queue *q = r->engine->reads;
	pthread_mutex_lock(&q->lock);
	heap_remove(q, r);
	*r->all_at = r->all_next;
	if (r->all_next)
		r->all_next->all_at = r->all_at;
	r->all_at = NULL; /* from now on it is not queued any more */
	pthread_mutex_unlock(&q->lock);
}

uint64_t queue_walk(struct read_queue *q)
{
	pthread_mutex_lock(&q->walk);
	pthread_mutex_lock(&q->lock);
	uint64_t round = ++q->round;
	pthread_mutex_unlock(&q->lock);
	return round;
}

struct firn_reader *queue_walk_next(struct read_queue *q, uint64_t round)
{
	pthread_mutex_lock(&q->lock);
	struct firn_reader *r = q->all;
	while (r && r->round >= round)
		r = r->all_next;
	if (r) {
		r->round = round;
		reader_retain(r);
	}
	pthread_mutex_unlock(&q->lock);
	return r;
}

void queue_walk_end(struct read_queue *q)
{
	pthread_mutex_unlock(&q->walk);
}

struct firn_reader *queue_pop(struct engine *e)
{
	struct read_queue *q = e->reads;
	uint64_t now = read_now(e);
	pthread_mutex_lock(&q->lock);
	while (q->n_heap && q->heap[1]->wake_ns <= now) {
		struct firn_reader *due = q->heap[1];
		heap_remove(q, due);
		run_push(q, due);
	}
	struct firn_reader *r = q->run_first;
	if (r) {
		q->run_first = r->run_next;
		if (!q->run_first)
			q->run_last = NULL;
		r->runnable = false;
	}
	pthread_mutex_unlock(&q->lock);
	return r;
}
