/* A thread that keeps many transfers going at once. Connections are kept and used again. */
#include "backends/s3/s3_store.h"
#include <signal.h>

static struct firn_store_request *next_of(const struct firn_store_request *req)
{
	return req->backend[0];
}

/* The next request to begin, NULL when there is none or enough are under way. */
static struct firn_store_request *take(struct s3_lane *l)
{
	struct firn_store_request *req = NULL;

	pthread_mutex_lock(&l->lock);
	if (l->first && l->n_busy < l->store->config.connections) {
		req = l->first;
		l->first = next_of(req);
		if (!l->first)
			l->last = NULL;
	}
	pthread_mutex_unlock(&l->lock);
	return req;
}

static void hand_back(struct s3_lane *l, struct s3_call *c)
{
	struct s3_call **at = &l->busy;
	struct firn_store_request *req = c->req;

	pthread_mutex_lock(&l->lock);
	while (*at && *at != c)
		at = &(*at)->next;
	if (*at)
		*at = c->next;
	pthread_mutex_unlock(&l->lock);
	l->n_busy--;
	call_reset(c);
	c->req = NULL;
	c->next = l->idle;
	l->idle = c;
	firn_store_complete(req);
}

/* The first or a further step of a call. */
static void step(struct s3_lane *l, struct s3_call *c)
{
	int answered = call_start(c);

	if (!answered && curl_multi_add_handle(l->multi, c->easy) != CURLM_OK) {
		firn_store_set_error(c->req, FIRN_STORE_RETRY, FIRN_ESTORE, 0,
		                     "no memory for a transfer");
		answered = 1;
	}
	if (answered)
		hand_back(l, c);
}

static void begin(struct s3_lane *l, struct firn_store_request *req)
{
	struct s3_call *c = l->idle;

	if (c)
		l->idle = c->next;
	else
		c = call_new(l);
	if (!c) {
		firn_store_complete_error(req, FIRN_STORE_PERMANENT, FIRN_ENOMEM, 0,
		                          "no memory for a request");
		return;
	}
	c->req = req;
	c->step = 0;
	c->token[0] = c->last[0] = 0;
	c->used_mark = 0;
	l->n_busy++;
	pthread_mutex_lock(&l->lock);
	c->cancelled = 0;
	c->next = l->busy;
	l->busy = c;
	pthread_mutex_unlock(&l->lock);
	step(l, c);
}

static void reap(struct s3_lane *l)
{
	int left = 0;

	for (CURLMsg *m = curl_multi_info_read(l->multi, &left); m;
	     m = curl_multi_info_read(l->multi, &left)) {
		CURLcode result = m->data.result;
		char *private = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &private);
		struct s3_call *c = (struct s3_call *)(void *)private;

		(void)curl_multi_remove_handle(l->multi, c->easy);
		if (call_end(c, result))
			hand_back(l, c);
		else
			step(l, c);
	}
}

/* One that someone has lost interest in, taken out of the multi. */
static struct s3_call *next_cancelled(struct s3_lane *l)
{
	struct s3_call *c;

	pthread_mutex_lock(&l->lock);
	for (c = l->n_cancelled ? l->busy : NULL; c && !c->cancelled; c = c->next)
		;
	if (!c)
		l->n_cancelled = 0;
	pthread_mutex_unlock(&l->lock);
	return c;
}

static void drop_cancelled(struct s3_lane *l)
{
	for (struct s3_call *c = next_cancelled(l); c; c = next_cancelled(l)) {
		call_cancelled(c);
		(void)curl_multi_remove_handle(l->multi, c->easy);
		hand_back(l, c);
	}
}

static int is_closing(struct s3_lane *l)
{
	pthread_mutex_lock(&l->lock);
	int closing = l->closing && !l->first && !l->busy;

	pthread_mutex_unlock(&l->lock);
	return closing;
}

static void *lane_main(void *arg)
{
	struct s3_lane *l = arg;
	struct firn_store_request *req;
	int running = 0;

	while (!is_closing(l)) {
		while ((req = take(l)))
			begin(l, req);
		(void)curl_multi_perform(l->multi, &running);
		reap(l);
		drop_cancelled(l);
		/* Something that ended made room for something that waits: no sleep before it. */
		if ((req = take(l))) {
			begin(l, req);
			continue;
		}
		(void)curl_multi_poll(l->multi, NULL, 0, 1000, NULL);
	}
	return NULL;
}

/* The host's signals are the host's, and a broken pipe is an error and no signal. */
static int start_thread(struct s3_lane *l)
{
	sigset_t all, before;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = pthread_create(&l->thread, NULL, lane_main, l);

	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc ? -1 : 0;
}

int lane_start(struct s3_lane *lane, struct s3_store *store)
{
	lane->store = store;
	lane->multi = curl_multi_init();
	if (!lane->multi)
		return -1;
	(void)curl_multi_setopt(lane->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	(void)curl_multi_setopt(lane->multi, CURLMOPT_MAXCONNECTS, (long)store->config.connections);
	if (pthread_mutex_init(&lane->lock, NULL)) {
		(void)curl_multi_cleanup(lane->multi);
		return -1;
	}
	if (start_thread(lane)) {
		pthread_mutex_destroy(&lane->lock);
		(void)curl_multi_cleanup(lane->multi);
		return -1;
	}
	return 0;
}

void lane_stop(struct s3_lane *lane)
{
	pthread_mutex_lock(&lane->lock);
	lane->closing = 1;
	pthread_mutex_unlock(&lane->lock);
	(void)curl_multi_wakeup(lane->multi);
	(void)pthread_join(lane->thread, NULL);
	while (lane->idle) {
		struct s3_call *c = lane->idle;

		lane->idle = c->next;
		call_free(c);
	}
	(void)curl_multi_cleanup(lane->multi);
	pthread_mutex_destroy(&lane->lock);
}

void lane_submit(struct s3_lane *lane, struct firn_store_request *req)
{
	pthread_mutex_lock(&lane->lock);
	req->backend[0] = NULL;
	if (lane->last)
		lane->last->backend[0] = req;
	else
		lane->first = req;
	lane->last = req;
	pthread_mutex_unlock(&lane->lock);
	/* The multi lives until lane_stop(), which comes after the last completion. */
	(void)curl_multi_wakeup(lane->multi);
}

/* Out of the queue at once; one under way is marked, and its thread sees to it. */
void lane_cancel(struct s3_lane *lane, struct firn_store_request *req)
{
	struct firn_store_request *before = NULL, *r;

	pthread_mutex_lock(&lane->lock);
	for (r = lane->first; r && r != req; r = next_of(r))
		before = r;
	if (r) {
		if (before)
			before->backend[0] = req->backend[0];
		else
			lane->first = next_of(req);
		if (lane->last == req)
			lane->last = before;
	}
	for (struct s3_call *c = r ? NULL : lane->busy; c; c = c->next)
		if (c->req == req) {
			c->cancelled = 1;
			lane->n_cancelled++;
		}
	pthread_mutex_unlock(&lane->lock);
	if (r)
		firn_store_complete_error(req, FIRN_STORE_PERMANENT, FIRN_ECANCELED, 0,
		                          "cancelled before it was begun");
	else
		(void)curl_multi_wakeup(lane->multi);
}
