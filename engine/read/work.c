/* Loads and look-ups that wait for a loader: demanded ones first, then read-ahead.
 *
 *   queue_work --> demanded --+--> queue_work_pop --> running --> queue_work_done
 *                  ahead    --+
 *
 * Work names its volume: when that goes, waiting work is dropped and running work waited for. Under
 * queue.lock; run() and drop() are called without it. */
#include "engine/read/read.h"

static void work_push(struct work **first, struct work **last, struct work *w)
{
	w->next = NULL;
	if (*last)
		(*last)->next = w;
	else
		*first = w;
	*last = w;
}

static void work_take(struct read_queue *q, struct work *w, bool ahead)
{
	if (ahead)
		work_push(&q->ahead_first, &q->ahead_last, w);
	else
		work_push(&q->work_first, &q->work_last, w);
	pthread_cond_signal(q->n_loader ? &q->work_wake : &q->wake);
}

bool queue_work(struct engine *e, struct work *w, bool ahead, const struct work *from)
{
	struct read_queue *q = e->reads;
	pthread_mutex_lock(&q->lock);
	bool take = !q->stop && !(from && from->cancelled);
	if (take)
		work_take(q, w, ahead);
	pthread_mutex_unlock(&q->lock);
	return take;
}

bool queue_work_volume(struct engine *e, struct work *w, const struct firn_volume *handle)
{
	struct read_queue *q = e->reads;
	pthread_mutex_lock(&q->lock);
	bool take = !q->stop && volume_of(handle) == w->volume;
	if (take)
		work_take(q, w, false);
	pthread_mutex_unlock(&q->lock);
	return take;
}

static struct work *work_shift(struct work **first, struct work **last)
{
	struct work *w = *first;
	if (w) {
		*first = w->next;
		if (!*first)
			*last = NULL;
	}
	return w;
}

/* Takes the next work and puts it on the list of those that run; queue.lock held. */
struct work *queue_work_pop(struct read_queue *q)
{
	struct work *w = work_shift(&q->work_first, &q->work_last);
	if (!w)
		w = work_shift(&q->ahead_first, &q->ahead_last);
	if (w) {
		w->next = q->running;
		q->running = w;
	}
	return w;
}

void queue_work_done(struct engine *e, struct work *w)
{
	struct read_queue *q = e->reads;
	pthread_mutex_lock(&q->lock);
	struct work **at = &q->running;
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	pthread_cond_broadcast(&q->idle);
	pthread_mutex_unlock(&q->lock);
}

static void take_if(struct work **first, struct work **last, const struct volume *v,
                    struct work **gone)
{
	struct work *w = *first;
	*first = *last = NULL;
	while (w) {
		struct work *next = w->next;
		if (!v || w->volume == v) {
			w->next = *gone;
			*gone = w;
		} else {
			work_push(first, last, w);
		}
		w = next;
	}
}

struct work *queue_take_volume(struct read_queue *q, const struct volume *v)
{
	struct work *gone = NULL;
	pthread_mutex_lock(&q->lock);
	take_if(&q->work_first, &q->work_last, v, &gone);
	take_if(&q->ahead_first, &q->ahead_last, v, &gone);
	for (struct work *w = q->running; w; w = w->next)
		if (!v || w->volume == v)
			w->cancelled = true;
	pthread_mutex_unlock(&q->lock);
	return gone;
}

static bool runs(const struct read_queue *q, const struct volume *v)
{
	for (const struct work *w = q->running; w; w = w->next)
		if (w->volume == v)
			return true;
	return false;
}

void queue_wait_volume(struct read_queue *q, const struct volume *v)
{
	pthread_mutex_lock(&q->lock);
	while (runs(q, v))
		pthread_cond_wait(&q->idle, &q->lock);
	pthread_mutex_unlock(&q->lock);
}

/* Takes out waiting look-ups with this name, marks running ones. 0: there was one. */
int queue_cancel(struct read_queue *q, const struct firn_cq *cq, uint64_t user_data,
                 struct work **gone)
{
	struct work *w, *keep_first = NULL, *keep_last = NULL;
	int rc = FIRN_ENOENT;
	*gone = NULL;
	pthread_mutex_lock(&q->lock);
	while ((w = work_shift(&q->work_first, &q->work_last))) {
		if (w->lookup && w->cq == cq && w->user_data == user_data) {
			w->next = *gone;
			*gone = w;
			rc = 0;
		} else {
			work_push(&keep_first, &keep_last, w);
		}
	}
	q->work_first = keep_first;
	q->work_last = keep_last;
	for (w = q->running; w; w = w->next) {
		if (w->lookup && !w->cancelled && w->cq == cq && w->user_data == user_data) {
			w->cancelled = true;
			rc = 0;
		}
	}
	pthread_mutex_unlock(&q->lock);
	return rc;
}
