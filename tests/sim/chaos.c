#include "tests/sim/chaos.h"
#include "tests/sim/store.h"
#include "engine/manifest/manifest.h"
#include "engine/wal/slots_format.h"
#include <stdlib.h>
#include <string.h>

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

/* Of what the manifest of the volume names, slots of those logs. */
static void hide_logs(const struct home *h, uint32_t from)
{
	struct node *n = sites[from].node;
	struct manifest m;
	char key[400];
	size_t len = 0;
	const uint8_t *bytes = manifest_key(h->m.name, key, sizeof key) ? NULL
	                                                                : store_bytes(key, &len);
	manifest_init(&m);
	if (bytes && !manifest_decode(&n->env, bytes, len, &m, NULL))
		for (uint32_t i = 0; i < m.n_log; i++) {
			char slot[SLOTS_KEY_MAX];
			slots_key(m.log[i].id, 0, slot);
			strrchr(slot, '/')[1] = 0;
			store_hide(from, slot);
		}
	manifest_fini(&m, &n->env);
}

struct parting {
	struct site *site;
	bool over; /* nobody waits for it */
};

static void parting_main(void *arg)
{
	struct parting *p = arg;
	while (!p->over && !p->site->stop && p->site->n_lost) {
		drop_lost(p->site);
		sched_sleep(100 * MS);
	}
	p->site->n_client--;
}

/* It is told that another has the volume, and lets it go: from now on it knows, whatever happens to it. */
static void is_told(struct site *s, struct home *h)
{
	struct fork *f = &h->fork[site_number(s)];
	struct parting *p = calloc(1, sizeof *p);
	uint64_t failed = W.n_fault[FAULT_EIO] + W.n_fault[FAULT_ENOSPC];
	p->site = s;
	s->n_client++;
	(void)sched_spawn(s->node->process, "parting", parting_main, p);
	W.slow = true;
	for (uint32_t i = 0; i < 3000 && !f->fenced && s->n_lost; i++)
		sched_sleep(100 * MS);
	W.slow = false;
	p->over = true;
	sched_sleep(S_NS); /* what it writes down of it is flushed */
	f->told = f->fenced && !s->hurt && !s->node->lied &&
	          failed == W.n_fault[FAULT_EIO] + W.n_fault[FAULT_ENOSPC];
	sim_trace("%s: node %u has been told: %d", h->m.name, site_number(s), f->told);
}

/* It is cut off and dies: what it finds at home is all that it knows. */
static void restarts_alone(struct site *s, struct home *h)
{
	cut_off(s, UINT64_MAX / 2);
	if (s->node->process)
		site_kill(s, rng_one_in(&W.rng, 2));
	h->haunted_by = site_number(s);
	site_boot(site_number(s));
	pass(8 * S_NS);
	sched_sleep(a_while());
	h->haunted_by = NOBODY;
	h->fork[site_number(s)].told = false; /* it may hear other news from here on */
}

/* The one whose volume was taken. */
static void comes_back(struct site *s, struct home *h, enum fate fate)
{
	bool lives = s->state == SITE_UP && !s->sick && s->node->process;
	if (fate == CUT_OFF && lives && rng_one_in(&W.rng, 2)) {
		store_cut(site_number(s), 0, 0);
		is_told(s, h);
	}
	if (fate == CUT_OFF || (fate == DEAD && rng_one_in(&W.rng, 2)))
		restarts_alone(s, h);
	store_cut(site_number(s), 0, 0);
}

void abandon_some(void)
{
	struct home *h = &homes[rng_below(&W.rng, n_homes)];
	if (h->owner == NOBODY || h->n_abandon >= M_LOST / 2 || h->m.n_abandoned >= M_LOST / 2)
		return;
	struct site *from = &sites[h->owner];
	uint32_t to = elsewhere(h->owner);
	enum fate fate = befalls(from);
	if (from->node->slots && !rng_one_in(&W.rng, 3)) /* else it can be read: nothing is lost */
		hide_logs(h, to);
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
	store_hide(to, NULL);
	sched_sleep(a_while());
	comes_back(from, h, fate);
	store_cut(site_number(from), 0, 0);
	if (!rng_one_in(&W.rng, 8))
		site_pause(from, false);
	sched_sleep(a_while());
}
