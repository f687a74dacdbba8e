/* The circuit: when a store is away, asking it harder does not bring it back.
 *
 *	closed ── FAILURES_TO_OPEN attempts in a row, of any callers, came to nothing ──► open
 *	open: callers wait; one attempt is let through after 50 ms, 100 ms, ... 2 s, and by chance up to half
 *	as much later; all others wait for its outcome or for their own deadline
 *	open ── an attempt came to something ──► closed
 *
 * So an outage costs the store less than one request a second, however many callers there are, and
 * its end is noticed within three. "Came to something" is any answer that shows the store alive: done,
 * refused for good, throttled. */
#include "engine/base/wait.h"
#include "engine/store/internal.h"
#include <errno.h>

enum { FAILURES_TO_OPEN = 8 };
#define PROBE_FIRST_NS UINT64_C(50000000)
#define PROBE_MOST_NS UINT64_C(2000000000)

static void plan_probe_synced(struct store *s, uint64_t now)
{
	struct circuit *c = &s->circuit;
	uint64_t chance = 0;

	s->env->random(s->env->ctx, &chance, sizeof chance);
	c->probe_ns = now + c->interval_ns + chance % (c->interval_ns / 2);
	c->interval_ns = c->interval_ns * 2 < PROBE_MOST_NS ? c->interval_ns * 2 : PROBE_MOST_NS;
}

/* 1: go and see; -1: time is up; 0: look again. Time that was waited for counts as over, also where
 * the host's clock stands still. */
static int wait_open_synced(struct store *s, uint64_t deadline_ns)
{
	struct circuit *c = &s->circuit;
	uint64_t now = s->env->mono_ns(s->env->ctx);
	uint64_t until = c->probe_ns < deadline_ns ? c->probe_ns : deadline_ns;
	int late = now >= until;

	if (!late) {
		struct timespec t = mono_after(until - now);

		late = pthread_cond_timedwait(&c->closed, &s->lock, &t) == ETIMEDOUT;
	}
	if (!late || !c->open)
		return 0;
	if (until != c->probe_ns) /* another one went, or the caller's time came first */
		return until == deadline_ns ? -1 : 0;
	plan_probe_synced(s, until > now ? until : now);
	return 1;
}

int circuit_enter(struct store *s, uint64_t deadline_ns)
{
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	while (s->circuit.open && rc == 0)
		rc = wait_open_synced(s, deadline_ns);
	if (rc < 0)
		s->meter.n_waited_out++;
	pthread_mutex_unlock(&s->lock);
	return rc < 0 ? -1 : 0;
}

void circuit_leave(struct store *s, uint32_t outcome)
{
	struct circuit *c = &s->circuit;

	pthread_mutex_lock(&s->lock);
	if (outcome != FIRN_STORE_RETRY && outcome != FIRN_STORE_AMBIGUOUS) {
		c->n_failed = 0;
		if (c->open)
			pthread_cond_broadcast(&c->closed);
		c->open = 0;
	} else if (!c->open && ++c->n_failed >= FAILURES_TO_OPEN) {
		c->open = 1;
		c->interval_ns = PROBE_FIRST_NS;
		s->meter.n_outage++;
		plan_probe_synced(s, s->env->mono_ns(s->env->ctx));
	}
	pthread_mutex_unlock(&s->lock);
}
