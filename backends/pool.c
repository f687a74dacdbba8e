/* A few threads per opened store. */
#include "backends/pool.h"
#include <signal.h>

static struct firn_store_request *next_of(const struct firn_store_request *req)
{
	return req->backend[0];
}

static void *pool_main(void *arg)
{
	struct pool *p = arg;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		struct firn_store_request *req = p->first;

		if (!req) {
			if (p->closing)
				break;
			pthread_cond_wait(&p->work, &p->lock);
			continue;
		}
		p->first = next_of(req);
		if (!p->first)
			p->last = NULL;
		pthread_mutex_unlock(&p->lock);
		p->perform(p->arg, req);
		firn_store_complete(req);
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* The host's signals are the host's: none is delivered to our threads. */
static int start_threads(struct pool *p, uint32_t wanted)
{
	sigset_t all, before;
	uint32_t n = 0;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	while (n < wanted && !pthread_create(&p->thread[n], NULL, pool_main, p))
		n++;
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	p->n_threads = n;
	return n ? 0 : -1;
}

int pool_start(struct pool *p, uint32_t n_threads,
               void (*perform)(void *arg, struct firn_store_request *req), void *arg)
{
	p->perform = perform;
	p->arg = arg;
	p->first = p->last = NULL;
	p->closing = 0;
	if (pthread_mutex_init(&p->lock, NULL))
		return -1;
	if (pthread_cond_init(&p->work, NULL)) {
		pthread_mutex_destroy(&p->lock);
		return -1;
	}
	if (start_threads(p, n_threads)) {
		pthread_cond_destroy(&p->work);
		pthread_mutex_destroy(&p->lock);
		return -1;
	}
	return 0;
}

void pool_stop(struct pool *p)
{
	pthread_mutex_lock(&p->lock);
	p->closing = 1;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (uint32_t i = 0; i < p->n_threads; i++)
		(void)pthread_join(p->thread[i], NULL);
	pthread_cond_destroy(&p->work);
	pthread_mutex_destroy(&p->lock);
}

void pool_submit(struct pool *p, struct firn_store_request *req)
{
	pthread_mutex_lock(&p->lock);
	req->backend[0] = NULL;
	if (p->last)
		p->last->backend[0] = req;
	else
		p->first = req;
	p->last = req;
	pthread_cond_signal(&p->work);
	pthread_mutex_unlock(&p->lock);
}

void pool_cancel(struct pool *p, struct firn_store_request *req)
{
	struct firn_store_request *before = NULL, *r;

	pthread_mutex_lock(&p->lock);
	for (r = p->first; r && r != req; r = next_of(r))
		before = r;
	if (r) {
		if (before)
			before->backend[0] = req->backend[0];
		else
			p->first = next_of(req);
		if (p->last == req)
			p->last = before;
	}
	pthread_mutex_unlock(&p->lock);
	if (r)
		firn_store_complete_error(req, FIRN_STORE_PERMANENT, FIRN_ECANCELED, 0,
		                          "cancelled while it waited for a thread");
}
