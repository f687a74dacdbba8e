/* Threads that perform requests one at a time each, for back ends whose calls block. First come,
 * first served. */
#ifndef BACKENDS_POOL_H
#define BACKENDS_POOL_H
#include <firn/store.h>
#include <pthread.h>

enum { POOL_THREADS_MAX = 64 };

struct pool {
	/* Performs a request and leaves the answer in it; on a thread of the pool. */
	void (*perform)(void *arg, struct firn_store_request *req);
	void *arg;

	pthread_mutex_t lock; /* guards the queue */
	pthread_cond_t work;
	struct firn_store_request *first, *last; /* linked by backend[0] */
	uint32_t closing;

	uint32_t n_threads;
	pthread_t thread[POOL_THREADS_MAX];
};

/* With up to n_threads (1 to POOL_THREADS_MAX) threads; fewer than wished for still work. 0 or -1. */
int pool_start(struct pool *p, uint32_t n_threads,
               void (*perform)(void *arg, struct firn_store_request *req), void *arg);
void pool_stop(struct pool *p); /* performs what is still queued */
void pool_submit(struct pool *p, struct firn_store_request *req);
/* Takes it out of the queue if no thread has begun it; else it ends as it ends. */
void pool_cancel(struct pool *p, struct firn_store_request *req);
#endif
