/* One attempt: what stands between a caller and a single request.
 *
 *	circuit ─► gate ─► slot ─► (hedge) ─► answer ─► gate, circuit
 *
 * A hedge: a GET that is not answered within hedge_ms is asked a second time, and the first useful
 * answer wins. Both own their memory, so that the loser may end when it likes: its place in the gate is
 * taken until then. Without memory for that, or without a place, it is asked once. */
#include "engine/store/internal.h"
#include <stdio.h>

enum { HEDGES_MAX = 16 };
#define HEDGE_BYTES_MAX (UINT64_C(16) << 20)

static struct store_slot *send(struct store *s, const struct firn_store_request *ask,
                               uint64_t deadline, int again, int own)
{
	uint64_t now = s->env->mono_ns(s->env->ctx);
	struct store_slot *slot = slot_get(s);

	if (!slot)
		return NULL;
	slot->req = *ask;
	slot->again = again != 0;
	slot->req.timeout_us = deadline > now ? (deadline - now) / 1000u + 1 : 1;
	if (own && slot_own(slot)) {
		slot_put(slot);
		return NULL;
	}
	slot_submit(slot);
	return slot;
}

static int is_useful(const struct store_slot *slot)
{
	return slot->req.outcome <= FIRN_STORE_PERMANENT;
}

/* Sends a second one if the first is slow; gives the one whose answer counts, and lets go of the
 * other. */
static struct store_slot *hedge(struct store *s, struct store_slot *first,
                                const struct firn_store_request *ask, uint64_t deadline)
{
	uint64_t now = s->env->mono_ns(s->env->ctx);
	struct store_slot *second, *winner;

	if (slot_wait_either(first, NULL, now + s->hedge_ns) || !slot_may_hedge(s, HEDGES_MAX) ||
	    gate_try(s, ask))
		return first;
	second = send(s, ask, deadline, 1, 1);
	if (!second) {
		gate_leave(s);
		return first;
	}
	winner = slot_wait_either(first, second, deadline);
	if (winner && !is_useful(winner)) /* the other one may do better */
		winner = slot_wait_either(winner == first ? second : NULL,
		                          winner == first ? NULL : first, deadline);
	winner = winner ? winner : first;
	slot_hedged(s, winner == second);
	slot_let_go(winner == first ? second : first);
	return winner;
}

static void not_sent(struct store *s, const struct firn_store_request *ask, const char *why,
                     struct firn_store_request *answer, struct firn_error *told)
{
	(void)s;
	memset(told, 0, sizeof *told);
	*answer = *ask;
	answer->error = told;
	firn_store_set_error(answer, FIRN_STORE_RETRY, FIRN_ESTORE, 0, why);
}

static int send_and_wait(struct store *s, const struct firn_store_request *ask, uint64_t deadline,
                         int again, struct firn_store_request *answer, struct firn_error *told)
{
	int hedged = s->hedge_ns && ask->op == FIRN_STORE_GET && ask->len <= HEDGE_BYTES_MAX;
	struct store_slot *slot = send(s, ask, deadline, again, hedged);

	if (!slot && hedged) {
		hedged = 0;
		slot = send(s, ask, deadline, again, 0);
	}
	if (!slot)
		return FIRN_ENOMEM;
	if (hedged)
		slot = hedge(s, slot, ask, deadline);
	if (slot_wait(slot, deadline)) {
		*answer = *ask;
		store_answer_lost(s, answer, told);
		return FIRN_OK;
	}
	*answer = slot->req;
	*told = slot->error;
	slot_put(slot);
	return FIRN_OK;
}

int store_attempt(struct store *s, const struct firn_store_request *ask, uint64_t deadline,
                  int again, struct firn_store_request *answer, struct firn_error *told)
{
	int rc;

	if (circuit_enter(s, deadline)) {
		not_sent(s, ask, "the store has stopped answering; waiting for it to come back",
		         answer, told);
		return FIRN_OK;
	}
	if (gate_enter(s, ask, deadline)) {
		not_sent(s, ask, "its limits left no room for this before the deadline", answer,
		         told);
		return FIRN_OK;
	}
	rc = send_and_wait(s, ask, deadline, again, answer, told);
	gate_leave(s);
	if (rc == FIRN_OK)
		circuit_leave(s, answer->outcome);
	return rc;
}
