/* The read side's threads and steps: opening, the loaders, read_step and read_wait.
 *
 *   reader thread (the engine's):  read_wait -> read_step
 *   loaders (ours):                work
 *
 * Without threads, or when none could be started, read_step does the loaders' work as well.
 * Waiting uses CLOCK_MONOTONIC for as long as env->mono_ns says. */
#include "engine/read/read.h"
#include "engine/base/mem.h"
#include "engine/base/spare.h"
#include "engine/base/wait.h"
#include <signal.h>
#include <time.h>

static void *loader_main(void *arg)
{
	struct engine *e = arg;
	struct read_queue *q = e->reads;
	pthread_mutex_lock(&q->lock);
	while (!q->stop) {
		struct work *w = queue_work_pop(q);
		if (!w) {
			pthread_cond_wait(&q->work_wake, &q->lock);
			continue;
		}
		pthread_mutex_unlock(&q->lock);
		w->run(e, w);
		pthread_mutex_lock(&q->lock);
	}
	pthread_mutex_unlock(&q->lock);
	return NULL;
}

/* Without a single loader the reader thread does their work. */
static void loaders_start(struct engine *e)
{
	struct read_queue *q = e->reads;
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_mutex_lock(&q->lock);
	while (q->n_loader < READ_LOADERS &&
	       pthread_create(&q->loader[q->n_loader], NULL, loader_main, e) == 0)
		q->n_loader++;
	pthread_mutex_unlock(&q->lock);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int read_open(struct engine *e)
{
	struct read_queue *q = mem_zalloc(&e->account->env, sizeof *q);
	e->cache = cache_open(e->account, share_cached(e), 0);
	if (!q || !e->cache) {
		mem_free(&e->account->env, q);
		cache_close(e->cache);
		e->cache = NULL;
		return FIRN_ENOMEM;
	}
	pthread_condattr_t monotonic;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	q->engine = e;
	pthread_mutex_init(&q->walk, NULL);
	pthread_mutex_init(&q->lock, NULL);
	pthread_mutex_init(&q->spot_lock, NULL);
	map_init(&q->spots, &e->account->env);
	pthread_cond_init(&q->wake, &monotonic);
	pthread_cond_init(&q->work_wake, NULL);
	pthread_cond_init(&q->idle, NULL);
	pthread_condattr_destroy(&monotonic);
	e->reads = q;
	cache_lend(e->cache, &q->ahead_bytes, share_held(e));
	spare_bound(e->account, e->cache_bytes);
	if (!e->no_threads)
		loaders_start(e);
	return 0;
}

void read_stop(struct engine *e)
{
	struct read_queue *q = e->reads;
	if (!q)
		return;
	pthread_mutex_lock(&q->lock);
	q->stop = true;
	pthread_cond_broadcast(&q->wake);
	pthread_cond_broadcast(&q->work_wake);
	pthread_mutex_unlock(&q->lock);
}

void read_close(struct engine *e)
{
	struct read_queue *q = e->reads;
	if (!q)
		return;
	read_stop(e);
	for (uint32_t i = 0; i < q->n_loader; i++)
		pthread_join(q->loader[i], NULL);
	struct work *gone = queue_take_volume(q, NULL);
	while (gone) {
		struct work *next = gone->next;
		gone->drop(e, gone);
		gone = next;
	}
	struct firn_reader *r;
	while ((r = queue_pop(e)))
		reader_release(r);
	cache_close(e->cache);
	e->cache = NULL;
	spare_bound(e->account, 0);
	pthread_cond_destroy(&q->idle);
	pthread_cond_destroy(&q->work_wake);
	pthread_cond_destroy(&q->wake);
	map_fini(&q->spots);
	pthread_mutex_destroy(&q->spot_lock);
	pthread_mutex_destroy(&q->lock);
	pthread_mutex_destroy(&q->walk);
	mem_free(&e->account->env, q->heap);
	mem_free(&e->account->env, q);
	e->reads = NULL;
}

/* ---- steps ---- */

int read_step(struct engine *e)
{
	struct read_queue *q = e->reads;
	struct firn_reader *r = queue_pop(e);
	if (r) {
		fetch_run(r);
		reader_release(r);
		return 1;
	}
	if (q->n_loader)
		return 0;
	pthread_mutex_lock(&q->lock);
	struct work *w = queue_work_pop(q);
	pthread_mutex_unlock(&q->lock);
	if (w)
		w->run(e, w);
	return w != NULL;
}

static void wait_for(struct read_queue *q, uint64_t ns)
{
	struct timespec ts = mono_after(ns);
	pthread_cond_timedwait(&q->wake, &q->lock, &ts);
}

void read_wait(struct engine *e)
{
	struct read_queue *q = e->reads;
	pthread_mutex_lock(&q->lock);
	while (!q->stop && !q->run_first && (q->n_loader || (!q->work_first && !q->ahead_first))) {
		if (q->n_heap == 0) {
			pthread_cond_wait(&q->wake, &q->lock);
			continue;
		}
		uint64_t now = read_now(e), due = q->heap[1]->wake_ns;
		if (due <= now)
			break;
		wait_for(q, due - now);
	}
	pthread_mutex_unlock(&q->lock);
}
