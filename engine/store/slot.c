/* One request in flight: sent, completed once, waited for.
 *
 * Whatever thread a back end completes on, completing does no more than mark the slot and wake its
 * waiter. Back ends without threads are driven by one poller thread per store. */
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/base/wait.h"
#include "engine/store/internal.h"
#include <signal.h>
#include <stdio.h>
#include <time.h>

enum { POLL_MS = 100 };
#define GRACE_MOST_NS UINT64_C(5000000000)

/* Waiting uses the kernel's monotonic clock even if the host replaced env->mono_ns: a condition
 * variable knows no other. */
static int cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	if (pthread_condattr_init(&attr))
		return -1;
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	int rc = pthread_cond_init(cond, &attr);

	(void)pthread_condattr_destroy(&attr);
	return rc ? -1 : 0;
}

static void *poller_main(void *arg)
{
	struct store *s = arg;

	pthread_mutex_lock(&s->lock);
	while (!s->closing) {
		if (s->n_in_flight == 0) {
			pthread_cond_wait(&s->poll_wanted, &s->lock);
			continue;
		}
		pthread_mutex_unlock(&s->lock);
		s->plugin.poll(s->handle, POLL_MS);
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

int slot_init(struct store *s)
{
	if (pthread_mutex_init(&s->lock, NULL))
		return FIRN_ENOMEM;
	if (pthread_mutex_init(&s->probe_lock, NULL))
		goto fail_probe_lock;
	pthread_cond_t *const conds[] = { &s->poll_wanted, &s->any_done, &s->circuit.closed,
		                          &s->gate.changed };
	int n = 0;

	while (n < 4 && !cond_init(conds[n]))
		n++;
	if (n == 4)
		return FIRN_OK;
	while (n > 0)
		pthread_cond_destroy(conds[--n]);
	pthread_mutex_destroy(&s->probe_lock);
fail_probe_lock:
	pthread_mutex_destroy(&s->lock);
	return FIRN_ENOMEM;
}

int slot_start_poller(struct store *s)
{
	if (!s->plugin.poll)
		return FIRN_OK;
	/* The host's signals are the host's: none is delivered to our thread. */
	sigset_t all, before;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	s->has_poller = !pthread_create(&s->poller, NULL, poller_main, s);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return s->has_poller ? FIRN_OK : FIRN_ENOMEM;
}

void slot_stop_poller(struct store *s)
{
	if (!s->has_poller)
		return;
	pthread_mutex_lock(&s->lock);
	s->closing = 1;
	pthread_cond_signal(&s->poll_wanted);
	pthread_mutex_unlock(&s->lock);
	(void)pthread_join(s->poller, NULL);
	s->has_poller = 0;
}

void slot_fini(struct store *s)
{
	while (s->all_slots) {
		struct store_slot *slot = s->all_slots;

		s->all_slots = slot->next_all;
		pthread_cond_destroy(&slot->done);
		mem_free(s->env, slot);
	}
	pthread_cond_destroy(&s->poll_wanted);
	pthread_cond_destroy(&s->any_done);
	pthread_cond_destroy(&s->circuit.closed);
	pthread_cond_destroy(&s->gate.changed);
	pthread_mutex_destroy(&s->probe_lock);
	pthread_mutex_destroy(&s->lock);
}

struct store_slot *slot_get(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	struct store_slot *slot = s->free_slots;

	if (slot) {
		s->free_slots = slot->next_free;
		slot->state = SLOT_IDLE;
	}
	pthread_mutex_unlock(&s->lock);
	if (slot)
		return slot;
	slot = mem_zalloc(s->env, sizeof *slot);
	if (!slot)
		return NULL;
	if (cond_init(&slot->done)) {
		mem_free(s->env, slot);
		return NULL;
	}
	slot->store = s;
	slot->state = SLOT_IDLE;
	pthread_mutex_lock(&s->lock);
	slot->next_all = s->all_slots;
	s->all_slots = slot;
	pthread_mutex_unlock(&s->lock);
	return slot;
}

static void free_synced(struct store_slot *slot)
{
	slot->state = SLOT_FREE;
	slot->next_free = slot->store->free_slots;
	slot->store->free_slots = slot;
}

void slot_put(struct store_slot *slot)
{
	struct store *s = slot->store;

	pthread_mutex_lock(&s->lock);
	free_synced(slot);
	pthread_mutex_unlock(&s->lock);
}

void slot_submit(struct store_slot *slot)
{
	struct store *s = slot->store;
	struct firn_store_request *req = &slot->req;

	memset(&slot->error, 0, sizeof slot->error);
	slot->error.struct_size = (uint32_t)sizeof slot->error;
	req->struct_size = (uint32_t)sizeof *req;
	req->host = &s->host;
	req->error = &slot->error;
	req->outcome = FIRN_STORE_DONE;
	req->code = FIRN_OK;
	req->got = req->size = 0;
	req->mtime_ms = 0;
	req->version.len = 0;
	memset(req->backend, 0, sizeof req->backend);
	if (req->page) /* a second attempt begins its page anew */
		req->page->n = req->page->more = 0, req->page->used = 0;
	slot->begin_ns = s->env->mono_ns(s->env->ctx);
	if (s->library && !slot->own && slot_own(slot)) {
		firn_store_set_error(req, FIRN_STORE_PERMANENT, FIRN_ENOMEM, 0,
		                     "no memory for a copy of the request");
		slot->state = SLOT_DONE; /* nobody else knows of it yet */
		return;
	}

	pthread_mutex_lock(&s->lock);
	slot->state = SLOT_IN_FLIGHT;
	s->n_in_flight++;
	if (s->has_poller)
		pthread_cond_signal(&s->poll_wanted);
	pthread_mutex_unlock(&s->lock);
	s->plugin.submit(s->handle, req);
}

/* What the store was asked and answered to nobody; it bills it all the same. */
static void end_loser_synced(struct store_slot *slot)
{
	struct store *s = slot->store;
	uint64_t now = s->env->mono_ns(s->env->ctx);

	if (slot->req.got > slot->req.len) /* nobody has looked at its answer */
		slot->req.got = 0;
	if (slot->req.code != FIRN_ECANCELED) /* else it never went out */
		meter_count(&s->meter, &slot->req, now - slot->begin_ns, slot->again != 0);
	if (slot->has_place)
		gate_leave_synced(s);
	slot->has_place = 0;
}

void slot_complete(struct firn_store_request *req)
{
	struct store_slot *slot = (struct store_slot *)(void *)req;
	struct store *s = slot->store;
	int stray;

	pthread_mutex_lock(&s->lock);
	stray = slot->state != SLOT_IN_FLIGHT && slot->state != SLOT_LOST;
	if (stray) {
		s->n_stray++;
	} else if (slot->state == SLOT_LOST) {
		s->n_lost -= slot->given_up;
		s->n_loser -= !slot->given_up;
		if (!slot->given_up)
			end_loser_synced(slot);
		s->n_in_flight--;
		slot_free_own(slot);
		free_synced(slot);
	} else {
		slot->state = SLOT_DONE;
		s->n_in_flight--;
		pthread_cond_signal(&slot->done);
	}
	if (!s->n_in_flight || s->hedge_ns)
		pthread_cond_broadcast(&s->any_done);
	pthread_mutex_unlock(&s->lock);
	if (stray && s->env->log) {
		char text[128];

		(void)snprintf(text, sizeof text, "the `%s` back end completed a request twice",
		               s->plugin.name);
		s->env->log(s->env->ctx, FIRN_LOG_ERROR, "store", text);
	}
}

/* A body that was cut on its way, which `size` betrays. */
static int is_cut(const struct firn_store_request *req)
{
	uint64_t left = req->pos < req->size ? req->size - req->pos : 0;

	return req->op == FIRN_STORE_GET && req->outcome == FIRN_STORE_DONE &&
	       req->got < (req->len < left ? req->len : left);
}

/* Makes sense of whatever a plug-in wrote into the answer. */
static void check_answer(struct store_slot *slot)
{
	struct firn_store_request *req = &slot->req;

	slot->error.text[sizeof slot->error.text - 1] = 0;
	if (req->outcome > FIRN_STORE_AMBIGUOUS || req->version.len > FIRN_STORE_VERSION_MAX ||
	    (req->op == FIRN_STORE_GET && req->got > req->len) ||
	    (req->outcome == FIRN_STORE_DONE && req->code != FIRN_OK) ||
	    (req->outcome == FIRN_STORE_PERMANENT && req->code >= 0)) {
		int writes = req->op == FIRN_STORE_PUT || req->op == FIRN_STORE_MULTIPART_COMMIT;

		req->version.len = 0;
		req->got = 0;
		firn_store_set_error(req, writes ? FIRN_STORE_AMBIGUOUS : FIRN_STORE_PERMANENT,
		                     FIRN_ESTORE, 0, "the back end's answer contradicts itself");
	}
	if (is_cut(req)) {
		req->got = 0;
		firn_store_set_error(req, FIRN_STORE_RETRY, FIRN_ESTORE, 0,
		                     "the store gave fewer bytes than the range has");
	}
	/* Only slot_wait() cancels, and only what took too long. */
	if (req->outcome == FIRN_STORE_PERMANENT && req->code == FIRN_ECANCELED)
		firn_store_set_error(req, FIRN_STORE_RETRY, FIRN_ESTORE, slot->error.sys,
		                     "it was not begun before the deadline");
	if (req->outcome > FIRN_STORE_PERMANENT)
		req->code = FIRN_ESTORE;
}

uint32_t slot_n_lost(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	uint32_t n = s->n_lost;
	pthread_mutex_unlock(&s->lock);
	return n;
}

static void wait_until_synced(struct store_slot *slot, uint64_t ns)
{
	struct timespec until = mono_after(ns);
	int late = 0;

	while (slot->state != SLOT_DONE && !late)
		late = pthread_cond_timedwait(&slot->done, &slot->store->lock, &until) != 0;
}

/* It was not answered in time: cancels it and waits on. Non-zero: given up. */
static int wait_late_synced(struct store_slot *slot)
{
	struct store *s = slot->store;

	pthread_mutex_unlock(&s->lock);
	s->plugin.cancel(s->handle, &slot->req);
	pthread_mutex_lock(&s->lock);
	while (!slot->own && slot->state != SLOT_DONE)
		pthread_cond_wait(&slot->done, &s->lock);
	if (slot->own)
		wait_until_synced(slot,
		                  s->deadline_ns < GRACE_MOST_NS ? s->deadline_ns : GRACE_MOST_NS);
	if (slot->state == SLOT_DONE)
		return 0;
	slot->state = SLOT_LOST;
	slot->given_up = 1;
	s->n_lost++;
	meter_count_lost(&s->meter, slot->req.op, slot->again != 0);
	return 1;
}

static void count(struct store_slot *slot)
{
	struct store *s = slot->store;
	uint64_t now = s->env->mono_ns(s->env->ctx);

	pthread_mutex_lock(&s->lock);
	meter_count(&s->meter, &slot->req, now - slot->begin_ns, slot->again != 0);
	pthread_mutex_unlock(&s->lock);
}

int slot_wait(struct store_slot *slot, uint64_t deadline_ns)
{
	struct store *s = slot->store;
	uint64_t now = s->env->mono_ns(s->env->ctx);
	int lost = 0;

	pthread_mutex_lock(&s->lock);
	wait_until_synced(slot, deadline_ns > now ? deadline_ns - now : 0);
	if (slot->state != SLOT_DONE)
		lost = wait_late_synced(slot);
	if (!lost)
		slot->state = SLOT_IDLE;
	pthread_mutex_unlock(&s->lock);
	if (lost) {
		if (s->env->log)
			s->env->log(
			        s->env->ctx, FIRN_LOG_ERROR, "store",
			        "a plug-in did not answer a cancelled request; its memory is lost");
		return 1;
	}
	slot_disown(slot);
	check_answer(slot);
	count(slot);
	return 0;
}

/* ---- hedges ---- */

static int is_done(const struct store_slot *slot)
{
	return slot && slot->state == SLOT_DONE;
}

struct store_slot *slot_wait_either(struct store_slot *a, struct store_slot *b,
                                    uint64_t deadline_ns)
{
	struct store *s = a ? a->store : b->store;
	uint64_t now = s->env->mono_ns(s->env->ctx);
	struct timespec until = mono_after(deadline_ns > now ? deadline_ns - now : 0);
	int late = 0;

	pthread_mutex_lock(&s->lock);
	while (!is_done(a) && !is_done(b) && !late)
		late = pthread_cond_timedwait(&s->any_done, &s->lock, &until) != 0;
	struct store_slot *done = is_done(a) ? a : is_done(b) ? b : NULL;

	pthread_mutex_unlock(&s->lock);
	return done;
}

void slot_let_go(struct store_slot *slot)
{
	struct store *s = slot->store;
	int done;

	s->plugin.cancel(s->handle, &slot->req);
	pthread_mutex_lock(&s->lock);
	done = slot->state == SLOT_DONE;
	slot->has_place = 1;
	if (done) {
		end_loser_synced(slot);
		slot_free_own(slot);
		free_synced(slot);
	} else {
		slot->state = SLOT_LOST;
		slot->given_up = 0;
		s->n_loser++;
	}
	pthread_mutex_unlock(&s->lock);
}

int slot_may_hedge(struct store *s, uint32_t most)
{
	pthread_mutex_lock(&s->lock);
	int may = s->n_loser < most && s->n_lost == 0 && !s->circuit.open;

	pthread_mutex_unlock(&s->lock);
	return may;
}

void slot_hedged(struct store *s, int won)
{
	pthread_mutex_lock(&s->lock);
	s->meter.n_hedge++;
	s->meter.n_hedge_won += won != 0;
	pthread_mutex_unlock(&s->lock);
}

int slot_drain(struct store *s)
{
	struct timespec until = mono_after(GRACE_MOST_NS);
	int late = 0;

	pthread_mutex_lock(&s->lock);
	while (s->n_in_flight > (s->library ? s->n_lost : 0) && !late)
		late = pthread_cond_timedwait(&s->any_done, &s->lock, &until) != 0 && s->library;
	int empty = s->n_in_flight == 0;

	pthread_mutex_unlock(&s->lock);
	return empty;
}
