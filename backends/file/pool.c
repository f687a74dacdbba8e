/* A few threads per opened store, because file systems block. First come, first served. */
#include "backends/file/file_store.h"
#include <signal.h>

static struct firn_store_request *next_of(const struct firn_store_request *req)
{
	return req->backend[0];
}

static void *pool_main(void *arg)
{
	struct file_store *s = arg;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		struct firn_store_request *req = s->first;

		if (!req) {
			if (s->closing)
				break;
			pthread_cond_wait(&s->work, &s->lock);
			continue;
		}
		s->first = next_of(req);
		if (!s->first)
			s->last = NULL;
		pthread_mutex_unlock(&s->lock);
		file_perform(s, req);
		firn_store_complete(req);
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* The host's signals are the host's: none is delivered to our threads. */
static int start_threads(struct file_store *s)
{
	sigset_t all, before;
	uint32_t n = 0;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	while (n < s->n_threads && !pthread_create(&s->thread[n], NULL, pool_main, s))
		n++;
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	s->n_threads = n; /* fewer than wished for still work */
	return n ? 0 : -1;
}

int pool_start(struct file_store *s)
{
	if (pthread_mutex_init(&s->lock, NULL))
		return -1;
	if (pthread_cond_init(&s->work, NULL)) {
		pthread_mutex_destroy(&s->lock);
		return -1;
	}
	if (start_threads(s)) {
		pthread_cond_destroy(&s->work);
		pthread_mutex_destroy(&s->lock);
		return -1;
	}
	return 0;
}

void pool_stop(struct file_store *s)
{
	pthread_mutex_lock(&s->lock);
	s->closing = 1;
	pthread_cond_broadcast(&s->work);
	pthread_mutex_unlock(&s->lock);
	for (uint32_t i = 0; i < s->n_threads; i++)
		(void)pthread_join(s->thread[i], NULL);
	pthread_cond_destroy(&s->work);
	pthread_mutex_destroy(&s->lock);
}

void pool_submit(struct file_store *s, struct firn_store_request *req)
{
	pthread_mutex_lock(&s->lock);
	req->backend[0] = NULL;
	if (s->last)
		s->last->backend[0] = req;
	else
		s->first = req;
	s->last = req;
	pthread_cond_signal(&s->work);
	pthread_mutex_unlock(&s->lock);
}

/* Takes it out of the queue if no thread has begun it; else it ends as it ends. */
void pool_cancel(struct file_store *s, struct firn_store_request *req)
{
	struct firn_store_request *before = NULL, *r;

	pthread_mutex_lock(&s->lock);
	for (r = s->first; r && r != req; r = next_of(r))
		before = r;
	if (r) {
		if (before)
			before->backend[0] = req->backend[0];
		else
			s->first = next_of(req);
		if (s->last == req)
			s->last = before;
	}
	pthread_mutex_unlock(&s->lock);
	if (r)
		firn_store_complete_error(req, FIRN_STORE_PERMANENT, FIRN_ECANCELED, 0,
		                          "cancelled while it waited for a thread");
}
