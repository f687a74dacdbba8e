/* A host of one store, as plain as can be: it loads the back end through the engine's own door
 * (store_open()), then speaks to its functions directly, one request at a time or many, without the
 * engine's retries, checks and translations in between. */
#ifndef CONFORMANCE_HOST_H
#define CONFORMANCE_HOST_H
#include "engine/store/store.h"
#include <pthread.h>
#include <stdbool.h>

enum ask_state { ASK_IDLE = 0, ASK_IN_FLIGHT = 1, ASK_DONE = 2 };

/* A request and who waits for it. Never freed while the host lives: a back end that completes twice
 * or late must hit memory that is still ours. */
struct ask {
	struct firn_store_request req; /* first: complete() gets only this */
	struct firn_error error;
	struct host *host;
	struct ask *next_free, *next_all;
	struct firn_store_version match;
	char key[FIRN_STORE_KEY_MAX + 2];
	char upload[FIRN_STORE_UPLOAD_MAX];
	uint32_t state; /* enum ask_state, under host->lock */
};

struct host {
	struct firn_store_host api; /* what requests carry */
	struct store *store;
	const struct firn_store_plugin *plugin;
	void *handle;
	struct firn_store_info info;

	pthread_mutex_t lock;   /* guards from here ... */
	pthread_cond_t changed; /* something was submitted or completed, or we close */
	struct ask *free_asks, *all_asks;
	uint32_t n_in_flight, closing;
	uint32_t n_stray; /* completions of what was not in flight, ... to here */

	bool has_poller;
	pthread_t poller;
};

/* Opens the store; NULL and *err says why not. */
struct host *host_open(const char *uri, struct firn_error *err);
/* No request may be in flight. */
void host_close(struct host *h);

/* A request of that kind, everything else zero; NULL: no memory. */
struct ask *host_ask(struct host *h, uint32_t op);
void host_ask_free(struct ask *a);
void host_submit(struct ask *a);
void host_cancel(struct ask *a);
/* True when it is answered, false when seconds have passed without. */
bool host_wait(struct ask *a, unsigned seconds);
uint32_t host_n_stray(struct host *h);
#endif
