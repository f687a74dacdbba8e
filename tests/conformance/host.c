#include "tests/conformance/host.h"
#include "engine/base/wait.h"
#include "engine/os/env.h"
#include "engine/store/internal.h"
#include <stdlib.h>

enum { POLL_MS = 100 };

static void host_complete(struct firn_store_request *req)
{
	struct ask *a = (struct ask *)(void *)req;
	struct host *h = a->host;

	pthread_mutex_lock(&h->lock);
	if (a->state == ASK_IN_FLIGHT) {
		a->state = ASK_DONE;
		h->n_in_flight--;
		pthread_cond_broadcast(&h->changed);
	} else {
		h->n_stray++;
	}
	pthread_mutex_unlock(&h->lock);
}

static void *poller_main(void *arg)
{
	struct host *h = arg;

	pthread_mutex_lock(&h->lock);
	while (!h->closing) {
		if (h->n_in_flight == 0) {
			pthread_cond_wait(&h->changed, &h->lock);
			continue;
		}
		pthread_mutex_unlock(&h->lock);
		h->plugin->poll(h->handle, POLL_MS);
		pthread_mutex_lock(&h->lock);
	}
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

static void locks_init(struct host *h)
{
	pthread_condattr_t attr;

	(void)pthread_mutex_init(&h->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&h->changed, &attr);
	(void)pthread_condattr_destroy(&attr);
}

struct host *host_open(const char *uri, struct firn_error *err)
{
	struct host *h = calloc(1, sizeof *h);

	if (!h)
		return NULL;
	if (store_open(env_default(), uri, &h->store, err)) {
		free(h);
		return NULL;
	}
	locks_init(h);
	h->plugin = &h->store->plugin;
	h->handle = h->store->handle;
	h->api = h->store->host;
	h->api.complete = host_complete;
	h->info.struct_size = (uint32_t)sizeof h->info;
	h->plugin->info(h->handle, &h->info);
	if (h->plugin->poll)
		h->has_poller = !pthread_create(&h->poller, NULL, poller_main, h);
	return h;
}

void host_close(struct host *h)
{
	if (!h)
		return;
	pthread_mutex_lock(&h->lock);
	h->closing = 1;
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(&h->lock);
	if (h->has_poller)
		(void)pthread_join(h->poller, NULL);
	store_close(h->store);
	while (h->all_asks) {
		struct ask *a = h->all_asks;

		h->all_asks = a->next_all;
		free(a);
	}
	pthread_cond_destroy(&h->changed);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

struct ask *host_ask(struct host *h, uint32_t op)
{
	struct ask *a;

	pthread_mutex_lock(&h->lock);
	a = h->free_asks;
	if (a) {
		h->free_asks = a->next_free;
	} else if ((a = calloc(1, sizeof *a))) {
		a->host = h;
		a->next_all = h->all_asks;
		h->all_asks = a;
	}
	if (a)
		a->state = ASK_IDLE;
	pthread_mutex_unlock(&h->lock);
	if (a) {
		memset(&a->req, 0, sizeof a->req);
		a->req.op = op;
		a->upload[0] = 0;
		a->req.upload = a->upload;
	}
	return a;
}

void host_ask_free(struct ask *a)
{
	struct host *h = a->host;

	pthread_mutex_lock(&h->lock);
	if (a->state != ASK_IN_FLIGHT) {
		a->state = ASK_IDLE;
		a->next_free = h->free_asks;
		h->free_asks = a;
	}
	pthread_mutex_unlock(&h->lock);
}

void host_submit(struct ask *a)
{
	struct host *h = a->host;
	struct firn_store_request *req = &a->req;

	memset(&a->error, 0, sizeof a->error);
	a->error.struct_size = (uint32_t)sizeof a->error;
	req->struct_size = (uint32_t)sizeof *req;
	req->host = &h->api;
	req->error = &a->error;
	req->outcome = FIRN_STORE_DONE;
	req->code = FIRN_OK;
	req->got = req->size = 0;
	req->mtime_ms = 0;
	req->version.len = 0;
	memset(req->backend, 0, sizeof req->backend);
	if (req->page)
		req->page->n = req->page->more = 0, req->page->used = 0;
	pthread_mutex_lock(&h->lock);
	a->state = ASK_IN_FLIGHT;
	h->n_in_flight++;
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(&h->lock);
	h->plugin->submit(h->handle, req);
}

void host_cancel(struct ask *a)
{
	a->host->plugin->cancel(a->host->handle, &a->req);
}

bool host_wait(struct ask *a, unsigned seconds)
{
	struct host *h = a->host;
	struct timespec until = mono_after(seconds * UINT64_C(1000000000));
	int late = 0;

	pthread_mutex_lock(&h->lock);
	while (a->state == ASK_IN_FLIGHT && !late)
		late = pthread_cond_timedwait(&h->changed, &h->lock, &until) != 0;
	bool answered = a->state != ASK_IN_FLIGHT;
	pthread_mutex_unlock(&h->lock);
	return answered;
}

uint32_t host_n_stray(struct host *h)
{
	pthread_mutex_lock(&h->lock);
	uint32_t n = h->n_stray;
	pthread_mutex_unlock(&h->lock);
	return n;
}
