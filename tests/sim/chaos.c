#include "tests/sim/chaos.h"
#include "tests/sim/store.h"

#define MS UINT64_C(1000000)
#define S_NS (1000 * MS)

void site_pause(struct site *s, bool stops)
{
	if (s->paused == stops || !s->node->process)
		return;
	s->paused = stops;
	sim_trace("node %u %s", site_number(s), stops ? "is stopped" : "goes on");
	sched_pause(s->node->process, stops);
}

void site_kill(struct site *s, bool power)
{
	W.n_fault[power ? FAULT_POWER : FAULT_KILL]++;
	node_kill(s->node, power);
	site_gone(site_number(s));
}

uint32_t elsewhere(uint32_t site)
{
	return (site + 1 + (uint32_t)rng_below(&W.rng, W.n_nodes - 1)) % W.n_nodes;
}

static void cut_off(struct site *s, uint64_t ns)
{
	enum store_cut how = rng_one_in(&W.rng, 3) ? STORE_CUT_ANSWERS : STORE_CUT_BOTH;
	sim_trace("node %u cannot reach the store%s", site_number(s),
	          how == STORE_CUT_ANSWERS ? ", but is heard there" : "");
	store_cut(site_number(s), how, sched_now() + ns);
}

/* As if its machine had slept: no clock of it can be trusted to have seen the time. */
static void clock_jumps(struct site *s)
{
	if (!fault_strikes(FAULT_CLOCK, 4))
		return;
	s->node->ahead_ns += rng_below(&W.rng, rng_one_in(&W.rng, 2) ? 10 * S_NS : 3600 * S_NS);
	sim_trace("node %u: its clock jumps", site_number(s));
}

static uint64_t a_while(void)
{
	return 1 + rng_below(&W.rng, rng_one_in(&W.rng, 2) ? 20 * MS : 300 * MS);
}

/* Time passes, for hours if need be, and few write: what is done meanwhile is not what it is about. */
static void pass(uint64_t ns)
{
	W.slow = ns > S_NS;
	sched_sleep(ns);
	W.slow = false;
}

void trouble_some(void)
{
	struct site *s = &sites[rng_below(&W.rng, W.n_nodes)];
	bool long_one = rng_one_in(&W.rng, 4);
	if (!s->node->process || s->paused)
		return;
	if (fault_strikes(FAULT_PAUSE, 2)) {
		site_pause(s, true);
		pass(long_one ? rng_below(&W.rng, 60 * S_NS) : a_while());
		clock_jumps(s);
		if (!rng_one_in(&W.rng, 8)) /* else it is dead before it goes on */
			site_pause(s, false);
	} else if (fault_strikes(FAULT_PARTITION, 1)) {
		cut_off(s, UINT64_MAX / 2);
		pass(long_one ? rng_below(&W.rng, 20 * S_NS) : a_while());
		store_cut(site_number(s), 0, 0);
	}
}

/* Who may have what it has acked and not stored. */
enum fate { STOPPED, CUT_OFF, DEAD, ALIVE, N_FATES };

static enum fate befalls(struct site *s)
{
	enum fate f = (enum fate)rng_below(&W.rng, N_FATES);
	if (f == STOPPED && fault_strikes(FAULT_PAUSE, 1))
		site_pause(s, true);
	else if (f == CUT_OFF && fault_strikes(FAULT_PARTITION, 1))
		cut_off(s, UINT64_MAX / 2);
	else if (f == DEAD && s->node->process)
		site_kill(s, rng_one_in(&W.rng, 2));
	return f;
}

/* It is cut off and dies: what it finds at home is all that it knows. */
static void restarts_alone(struct site *s)
{
	if (s->node->process)
		site_kill(s, rng_one_in(&W.rng, 2));
	site_boot(site_number(s));
	pass(8 * S_NS);
	sched_sleep(a_while());
}

void abandon_some(void)
{
	struct home *h = &homes[rng_below(&W.rng, n_homes)];
	if (h->owner == NOBODY || h->n_abandon >= M_LOST / 2 || h->m.n_abandoned >= M_LOST / 2)
		return;
	struct site *from = &sites[h->owner];
	uint32_t to = elsewhere(h->owner);
	enum fate fate = befalls(from);
	bool begun = take_over(h, to, "abandon");
	W.slow = true;
	for (uint32_t i = 0; begun && i < 2000 && h->taker == to; i++) {
		sched_sleep(100 * MS);
		if (rng_one_in(&W.rng, 400))
			clock_jumps(&sites[to]);
		if (fate == DEAD &&
		    rng_one_in(&W.rng, 3000)) /* it comes back in the middle of it */
			site_boot(site_number(from)), fate = ALIVE;
	}
	W.slow = false;
	sched_sleep(a_while());
	if (fate == CUT_OFF && rng_one_in(&W.rng, 2))
		restarts_alone(from);
	store_cut(site_number(from), 0, 0);
	if (!rng_one_in(&W.rng, 8))
		site_pause(from, false);
	sched_sleep(a_while());
}
