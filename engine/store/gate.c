/* The gate: how much a store is asked at once and per second, and who goes first.
 *
 *	max_in_flight=N    so many attempts at once
 *	requests_per_s=N   so many begun in a second, bursts of a tenth of a second
 *	mib_per_s=N        so many MiB in requests and answers
 *
 * Three classes, by what is asked: swaps (a conditional PUT or commit: a volume waits for it), reads, and
 * the rest (segments, lists, deletes). A less urgent one waits while a more urgent one does, and of
 * max_in_flight the last place is never given to the rest, so that a swap does not wait for a segment.
 * Without a limit there is no gate. A hedge goes only where it need not wait, and counts like any other. */
#include "engine/base/wait.h"
#include "engine/store/internal.h"
#include <errno.h>

#define BURST_NS UINT64_C(100000000)

enum gate_class { SWAP = 0, READ = 1, REST = 2 };

static enum gate_class class_of(const struct firn_store_request *ask)
{
	if (ask->condition != FIRN_STORE_ALWAYS)
		return SWAP;
	return ask->op == FIRN_STORE_GET || ask->op == FIRN_STORE_STAT ? READ : REST;
}

static int is_limited(const struct store *s)
{
	return s->gate.max_in_flight || s->gate.request_ns || s->gate.mib_ns;
}

/* The moment from which this one may go as far as rates are concerned. */
static uint64_t due_synced(const struct gate *g)
{
	uint64_t due = g->next_request_ns > g->next_byte_ns ? g->next_request_ns : g->next_byte_ns;

	return due > BURST_NS ? due - BURST_NS : 0;
}

static int has_place_synced(const struct gate *g, enum gate_class class)
{
	uint32_t kept = class == REST && g->max_in_flight > 1;

	for (int c = 0; c < (int)class; c++)
		if (g->n_waiting[c])
			return 0;
	return g->max_in_flight == 0 || g->n_running + kept < g->max_in_flight;
}

static void take_synced(struct gate *g, uint64_t now, uint64_t bytes)
{
	g->n_running++;
	if (g->request_ns)
		g->next_request_ns = (g->next_request_ns > now ? g->next_request_ns : now) +
		                     g->request_ns;
	if (g->mib_ns)
		g->next_byte_ns = (g->next_byte_ns > now ? g->next_byte_ns : now) +
		                  (bytes >> 10) * g->mib_ns / 1024;
}

int gate_enter(struct store *s, const struct firn_store_request *ask, uint64_t deadline_ns)
{
	struct gate *g = &s->gate;
	enum gate_class class = class_of(ask);
	int late = 0;

	if (!is_limited(s))
		return 0;
	pthread_mutex_lock(&s->lock);
	g->n_waiting[class]++;
	while (!late) {
		uint64_t now = s->env->mono_ns(s->env->ctx), until = deadline_ns;
		uint64_t due = due_synced(g);

		if (has_place_synced(g, class)) {
			if (due <= now) {
				take_synced(g, now, ask->len);
				break;
			}
			until = due < deadline_ns ? due : deadline_ns;
		}
		struct timespec t = mono_after(until > now ? until - now : 0);

		late = pthread_cond_timedwait(&g->changed, &s->lock, &t) == ETIMEDOUT &&
		       until == deadline_ns;
	}
	g->n_waiting[class]--;
	pthread_cond_broadcast(&g->changed); /* a class below may go now */
	pthread_mutex_unlock(&s->lock);
	return late ? -1 : 0;
}

int gate_try(struct store *s, const struct firn_store_request *ask)
{
	struct gate *g = &s->gate;
	int may = 1;

	if (!is_limited(s))
		return 0;
	pthread_mutex_lock(&s->lock);
	uint64_t now = s->env->mono_ns(s->env->ctx);

	may = has_place_synced(g, class_of(ask)) && due_synced(g) <= now;
	if (may)
		take_synced(g, now, ask->len);
	pthread_mutex_unlock(&s->lock);
	return may ? 0 : -1;
}

void gate_leave_synced(struct store *s)
{
	if (!is_limited(s))
		return;
	s->gate.n_running--;
	pthread_cond_broadcast(&s->gate.changed);
}

void gate_leave(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	gate_leave_synced(s);
	pthread_mutex_unlock(&s->lock);
}
