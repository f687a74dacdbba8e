/* What is inside a struct store: shared by the files of this folder only.
 *
 *	put.c get.c list.c probe.c   what callers ask
 *	call.c                       retry, back-off, deadline: the only place
 *	attempt.c circuit.c gate.c   one attempt: outages, limits, hedges
 *	totals.c                     the same, of all stores of an engine
 *	meter.c price.c              what was asked, how it went, what it cost
 *	slot.c                       one request in flight and its completion: the only mechanism
 *	own.c                        requests that outlive their callers' patience
 *	plugin.c                     the back end's functions
 *
 * Locks, in this order: probe_lock, lock. The back end is never called with `lock` held. */
#ifndef STORE_INTERNAL_H
#define STORE_INTERNAL_H
#include "engine/store/meter.h"
#include "engine/store/store.h"
#include "engine/store/totals.h"
#include "engine/store/uri.h"
#include <pthread.h>

/* A request and who waits for it. Slots are kept until the store closes, so that a back end that
 * completes twice hits memory that is still ours. */
struct store_slot {
	struct firn_store_request req; /* first: complete() gets only this */
	struct firn_error error;
	struct store *store;
	struct store_slot *next_free, *next_all;
	struct firn_store_request asked; /* with `own`: what the caller's request was */
	void *own;                       /* the memory that req points to; own.c */
	pthread_cond_t done;
	uint32_t state;    /* enum slot_state, under store->lock */
	uint32_t again;    /* not the first attempt */
	uint32_t given_up; /* lost by a back end that never answered, not as a hedge */
	uint32_t
	        has_place; /* in the gate, of the loser of a hedge: given back when it is answered */
	uint64_t begin_ns;
};

enum slot_state {
	SLOT_FREE = 0,
	SLOT_IDLE = 1,
	SLOT_IN_FLIGHT = 2,
	SLOT_DONE = 3,
	/* Its waiter has given up: whoever completes it frees it. */
	SLOT_LOST = 4
};

/* More unanswered requests than this, and the back end is not asked any more. */
enum { SLOT_LOST_MAX = 64 };

/* circuit.c; under store->lock */
struct circuit {
	uint32_t open, n_failed;
	uint64_t probe_ns,
	        interval_ns; /* when the next attempt may go, and how long after the last */
	pthread_cond_t closed;
};

/* gate.c; limits are constant, the rest is under store->lock. 0 = no limit */
struct gate {
	uint32_t max_in_flight, n_running, n_waiting[3], _pad;
	uint64_t request_ns, mib_ns; /* what a request and a MiB take at the allowed rate */
	uint64_t next_request_ns, next_byte_ns;
	pthread_cond_t changed;
};

struct store {
	struct store_totals *totals; /* NULL: in none; the link is under its lock */
	struct store *next_counted;
	const struct firn_env *env;
	struct firn_store_plugin plugin; /* our copy: fields younger than the plug-in are zero */
	struct firn_store_host host;
	struct firn_store_info info;
	void *handle, *library;
	uint64_t deadline_ns, hedge_ns; /* hedge_ns 0 = never */
	struct meter_prices prices;
	uint64_t trusted; /* conditions (FIRN_STORE_CAN_...) that the caller vouches for: put.c */

	pthread_mutex_t lock; /* guards from here ... */
	struct store_slot *free_slots, *all_slots;
	pthread_cond_t poll_wanted;
	uint32_t n_in_flight, closing, n_stray;
	uint32_t n_lost;  /* slots that a plug-in never answered */
	uint32_t n_loser; /* slots of hedges that are still answered to nobody */
	pthread_cond_t any_done;
	struct circuit circuit;
	struct gate gate;
	struct meter meter; /* ... to here */

	uint32_t has_poller;
	pthread_t poller;
	pthread_mutex_t probe_lock; /* guards the rest of the probe's */
	int probed, probe_rc;
	struct firn_error probe_error;
	struct uri uri;
};

/* plugin.c: finds the back end of the URI's scheme, copies its table. */
int plugin_load(struct store *s, struct firn_error *err);
void plugin_unload(struct store *s);

/* slot.c */
int slot_init(struct store *s);
int slot_start_poller(struct store *s);
void slot_stop_poller(struct store *s);
void slot_fini(struct store *s);
struct store_slot *slot_get(struct store *s); /* NULL: no memory */
void slot_put(struct store_slot *slot);
/* Sends what slot->req asks. */
void slot_submit(struct store_slot *slot);
/* Waits for the answer and checks it. Beyond deadline_ns (of env->mono_ns) the request is cancelled,
 * and still waited for: its memory is lent. Only a plug-in's request, which owns what it points to,
 * is given up after as long again (5 s at most): 1, and the slot is not the caller's any more. */
int slot_wait(struct store_slot *slot, uint64_t deadline_ns);
uint32_t slot_n_lost(struct store *s);
/* Waits for the losers of hedges. 0: something is in flight for ever. */
int slot_drain(struct store *s);
void slot_complete(struct firn_store_request *req); /* firn_store_host.complete */

/* Either of two is answered (NULL: there is none); NULL beyond deadline_ns. */
struct store_slot *slot_wait_either(struct store_slot *a, struct store_slot *b,
                                    uint64_t deadline_ns);
/* Cancels a slot that owns its memory, and leaves it to end when it likes. */
void slot_let_go(struct store_slot *slot);
int slot_may_hedge(struct store *s, uint32_t most);
void slot_hedged(struct store *s, int won);

/* own.c: copies what slot->req points to; FIRN_ENOMEM. */
int slot_own(struct store_slot *slot);
/* Gives the caller's memory what was answered, and the request its pointers back. */
void slot_disown(struct store_slot *slot);
void slot_free_own(struct store_slot *slot);

/* attempt.c: asks once, behind circuit and gate. FIRN_OK: answered, or not sent, as *answer and its
 * error *told say; FIRN_ENOMEM. */
int store_attempt(struct store *s, const struct firn_store_request *ask, uint64_t deadline,
                  int again, struct firn_store_request *answer, struct firn_error *told);
/* circuit.c, gate.c: 0, or -1 when the deadline came first. */
int circuit_enter(struct store *s, uint64_t deadline_ns);
void circuit_leave(struct store *s, uint32_t outcome);
int gate_enter(struct store *s, const struct firn_store_request *ask, uint64_t deadline_ns);
/* Does not wait: 0, or -1 if there is no place, or not yet. */
int gate_try(struct store *s, const struct firn_store_request *ask);
void gate_leave(struct store *s);
void gate_leave_synced(struct store *s); /* under store->lock */

/* call.c */
/* Asks until it is answered for good, at most for the store's deadline; `once`: no second attempt.
 * *answer: the last answer, also after a failure; its error pointer is void. */
int store_call(struct store *s, const struct firn_store_request *ask, int once,
               struct firn_store_request *answer, struct firn_error *err);
/* Result and flags of an answered request, `told` its error; *err gets text and flags. */
int store_answer(const struct firn_store_request *req, const struct firn_error *told,
                 struct firn_error *err);
/* The answer of a request that was given up. */
void store_answer_lost(struct store *s, struct firn_store_request *req, struct firn_error *told);
int store_check_key(const struct store *s, const char *key, struct firn_error *err);
const char *store_op_name(uint32_t op);
#endif
