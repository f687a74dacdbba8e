/* The hands of the uploader: tasks, the threads that run them, lanes. See work.h.
 * Lock: uploader.lock, innermost but for the queues' and kick_lock; nothing is called with it held. */
#include "engine/upload/work.h"
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { BUILD_NICE = 5 };

struct upload_worker {
	struct upload_worker *next;
	pthread_t thread;
};

void work_init(struct engine *e)
{
	struct uploader *u = &e->uploads;
	pthread_mutex_init(&u->lock, NULL);
	pthread_cond_init(&u->work, NULL);
	pthread_cond_init(&u->build, NULL);
}

void work_fini(struct engine *e)
{
	struct uploader *u = &e->uploads;
	left_free(&u->left_of_log, e->env);
	pthread_mutex_destroy(&u->lock);
	pthread_cond_destroy(&u->work);
	pthread_cond_destroy(&u->build);
}

/* ---- lanes ---- */

struct upload_lane *lane_get(struct engine *e, const char *uri)
{
	struct uploader *u = &e->uploads;
	pthread_mutex_lock(&u->lock);
	struct upload_lane *l = u->lanes;
	while (l && strcmp(l->uri, uri) != 0)
		l = l->next;
	if (!l) {
		l = mem_zalloc(e->env, sizeof *l);
		char *copy = l ? mem_dup(e->env, uri, strlen(uri) + 1) : NULL;
		if (copy) {
			l->uri = copy;
			l->next = u->lanes;
			u->lanes = l;
			u->n_lane++;
		} else {
			mem_free(e->env, l);
			l = NULL;
		}
	}
	if (l)
		l->refs++;
	pthread_mutex_unlock(&u->lock);
	return l;
}

struct upload_lane *lane_ref(struct engine *e, struct upload_lane *lane)
{
	pthread_mutex_lock(&e->uploads.lock);
	lane->refs++;
	pthread_mutex_unlock(&e->uploads.lock);
	return lane;
}

static void put_locked(struct engine *e, struct upload_lane *lane)
{
	if (--lane->refs)
		return;
	struct upload_lane **link = &e->uploads.lanes;
	while (*link != lane)
		link = &(*link)->next;
	*link = lane->next;
	e->uploads.n_lane--;
	left_free(&lane->left, e->env);
	mem_free(e->env, lane->uri);
	mem_free(e->env, lane);
}

void lane_put(struct engine *e, struct upload_lane *lane)
{
	if (!lane)
		return;
	pthread_mutex_lock(&e->uploads.lock);
	put_locked(e, lane);
	pthread_mutex_unlock(&e->uploads.lock);
}

int lane_probe(struct upload_lane *lane, struct store *s, struct firn_error *err)
{
	int rc = atomic_load(&lane->probed) ? 0 : store_probe(s, err);
	if (!rc)
		atomic_store(&lane->probed, true);
	return rc;
}

bool lane_putting(struct engine *e, const struct upload_lane *lane)
{
	pthread_mutex_lock(&e->uploads.lock);
	bool is = lane->n_put != 0;
	pthread_mutex_unlock(&e->uploads.lock);
	return is;
}

/* A PUT leaves room for those that others wait for: a commit, an attach. */
bool lane_take(struct engine *e, struct upload_lane *lane, enum task_kind kind)
{
	struct uploader *u = &e->uploads;
	pthread_mutex_lock(&u->lock);
	bool is_put = kind == TASK_PUT;
	bool may = !lane->n_task || (lane->n_task < LANE_TASKS && u->n_task < ALL_TASKS &&
	                             (!is_put || lane->n_put < LANE_PUTS));
	if (may) {
		lane->refs++;
		lane->n_task++;
		lane->n_put += is_put;
		u->n_task++;
	}
	pthread_mutex_unlock(&u->lock);
	return may;
}

void lane_done(struct engine *e, struct upload_lane *lane, enum task_kind kind)
{
	struct uploader *u = &e->uploads;
	pthread_mutex_lock(&u->lock);
	lane->n_task--;
	lane->n_put -= kind == TASK_PUT;
	u->n_task--;
	put_locked(e, lane);
	pthread_mutex_unlock(&u->lock);
}

/* ---- threads ---- */

/* The next task, NULL: the end. */
static struct upload_task *await(struct uploader *u)
{
	pthread_mutex_lock(&u->lock);
	u->n_idle++;
	while (!u->first && !u->stopping)
		pthread_cond_wait(&u->work, &u->lock);
	u->n_idle--;
	struct upload_task *t = u->first;
	if (t) {
		u->first = t->next;
		if (!u->first)
			u->last = NULL;
		u->n_queued--;
	}
	pthread_mutex_unlock(&u->lock);
	return t;
}

static void *worker_thread(void *arg)
{
	struct engine *e = arg;
	struct upload_task *t;
	while ((t = await(&e->uploads)) != NULL)
		if (task_run(e, t))
			upload_kick(e);
	return NULL;
}

void *work_build_thread(void *engine)
{
	struct engine *e = engine;
	struct uploader *u = &e->uploads;
	/* Compression must not take the processor from those who append. */
	(void)!nice(BUILD_NICE);
	for (;;) {
		pthread_mutex_lock(&u->lock);
		while (!u->to_build && !u->stopping)
			pthread_cond_wait(&u->build, &u->lock);
		struct upload_task *t = u->to_build;
		u->to_build = NULL;
		pthread_mutex_unlock(&u->lock);
		if (!t)
			return NULL;
		if (task_run(e, t))
			upload_kick(e);
	}
}

static int spawn(struct engine *e)
{
	struct upload_worker *w = mem_zalloc(e->env, sizeof *w);
	if (!w)
		return FIRN_ENOMEM;
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are the host's */
	int rc = pthread_create(&w->thread, NULL, worker_thread, e);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc) {
		mem_free(e->env, w);
		return FIRN_ENOMEM;
	}
	w->next = e->uploads.workers;
	e->uploads.workers = w;
	e->uploads.n_worker++;
	return 0;
}

int work_start(struct engine *e, struct firn_error *err)
{
	e->uploads.stopping = false;
	int rc = spawn(e);
	return rc ? fail(err, rc, 0, "engine", "cannot start a thread") : 0;
}

void work_stop(struct engine *e)
{
	struct uploader *u = &e->uploads;
	pthread_mutex_lock(&u->lock);
	u->stopping = true;
	pthread_cond_broadcast(&u->work);
	pthread_cond_broadcast(&u->build);
	pthread_mutex_unlock(&u->lock);
	while (u->workers) {
		struct upload_worker *w = u->workers;
		u->workers = w->next;
		pthread_join(w->thread, NULL);
		mem_free(e->env, w);
	}
}

/* Where no thread can be had the task waits for one of those there are. */
void work_hand(struct engine *e, struct upload_task *t)
{
	struct uploader *u = &e->uploads;
	t->next = NULL;
	pthread_mutex_lock(&u->lock);
	bool more = false;
	if (t->kind == TASK_BUILD) {
		u->to_build = t;
		pthread_cond_signal(&u->build);
	} else {
		if (u->last)
			u->last->next = t;
		else
			u->first = t;
		u->last = t;
		more = ++u->n_queued > u->n_idle;
		pthread_cond_signal(&u->work);
	}
	pthread_mutex_unlock(&u->lock);
	if (more)
		(void)spawn(e);
}
