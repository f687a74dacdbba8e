#include "tests/sim/run.h"
#include "tests/sim/store.h"
#include "tests/sim/whatif.h"
#include "tests/sim/chaos.h"
#include <stdio.h>
#include <stdlib.h>

enum { MS = 1000000, LIVES_MOST = 6, LIVES_OF_MANY = 4 };

/* What this seed is about, beside the usual. */
struct plan {
	uint32_t lives;
	bool lying, rot;
	bool trouble,
	        abandons; /* machines that are stopped and cut off; volumes that are given up */
	bool follow;      /* somebody reads all volumes elsewhere, from the first life to the end */
	bool far; /* one volume's store is away most of the time while all write much: the log goes round beside it */
};

static struct plan make_plan(void)
{
	uint32_t most = W.n_nodes > 2 ? LIVES_OF_MANY : LIVES_MOST;
	struct plan p = { .lives = 2 + (uint32_t)rng_below(&W.rng, most - 1) };
	uint64_t dice = rng_below(&W.rng, 20);
	p.lying = dice == 0;
	p.rot = dice == 1;
	p.far = W.seed % 16 == 5; /* not drawn: the other seeds stay what they were */
	W.much = p.far;
	p.trouble = W.n_nodes > 2 || W.seed % 7 == 3;
	p.abandons = W.seed % 3 == 0;
	p.follow = W.seed % 12 == 3 || W.seed % 32 == 4;
	return p;
}

static bool settled(const struct site *s)
{
	return s->state == SITE_UP || s->state == SITE_FAILED || s->state == SITE_CLOSED || s->sick;
}

static void wait_settled(struct site *s, uint64_t ms)
{
	for (uint64_t i = 0; i < ms && !settled(s); i++)
		sched_sleep(MS);
}

static void boot_all(void)
{
	for (uint32_t i = 0; i < W.n_nodes; i++) {
		struct site *s = &sites[i];
		if (s->node->process)
			continue;
		if (!s->node->slots && fault_strikes(FAULT_MOVED, 12)) {
			s->node->machine += 1000;
			s->moved = true;
		}
		site_boot(i);
	}
}

/* Finish, close, and go elsewhere if that was asked for; who does not come to an end in time is killed. */
static void close_site(struct site *s, uint32_t mode)
{
	s->detach_mode = mode;
	s->stop = true;
	for (uint32_t i = 0; i < 300000 && s->state != SITE_CLOSED && s->state != SITE_FAILED; i++)
		sched_sleep(MS);
	SIM_CHECK("P8", s->state == SITE_CLOSED || s->state == SITE_FAILED || !W.calm,
	          "node %u does not close", s->node->number);
	if (s->state != SITE_CLOSED) {
		site_kill(s, false);
		return;
	}
	node_down(s->node);
	site_gone(site_number(s));
}

static void move_clean(struct site *s)
{
	for (uint32_t i = 0; W.n_nodes > 1 && i < n_homes; i++)
		if (homes[i].owner == site_number(s) && homes[i].clean && rng_one_in(&W.rng, 2))
			homes[i].site = elsewhere(homes[i].site);
}

/* Nobody needs the disk of who is dead, if the log is not there. */
static void move_any(const struct site *s)
{
	for (uint32_t i = 0; s->node->slots && W.n_nodes > 1 && i < n_homes; i++) {
		struct home *h = &homes[i];
		if (h->site != site_number(s) || h->term || !rng_one_in(&W.rng, 2))
			continue;
		uint32_t to = elsewhere(h->site);
		h->site = sites[to].node->slots ? to : h->site;
	}
}

/* From living writers, in the middle of what they do. */
static void take_some(void)
{
	for (uint64_t n = rng_below(&W.rng, 5); n; n--) {
		struct home *h = &homes[rng_below(&W.rng, n_homes)];
		if (h->owner != NOBODY)
			(void)take_over(h, elsewhere(h->owner), NULL);
		sched_sleep(rng_below(&W.rng, rng_one_in(&W.rng, 2) ? 20 * MS : 1000 * MS) + 1);
	}
}

/* The moment that hurts: a write is on its way, or was a moment ago. */
static void wait_for_a_write(const struct site *s)
{
	for (uint32_t i = 0; i < 2000 && !disk_busy(s->node->disk); i++)
		sched_sleep(10000);
	sched_sleep(1 + rng_below(&W.rng, 300000));
}

static void end_life(struct site *s)
{
	uint64_t dice = rng_below(&W.rng, 100);
	if (!s->node->process)
		return;
	if (s->paused && dice >= 75)
		site_pause(s, false);
	if (dice < 75 && !rng_one_in(&W.rng, 4))
		wait_for_a_write(s);
	if (s->state == SITE_CLOSED || s->state == SITE_FAILED) {
		site_kill(s, false);
		return;
	}
	if (dice < 35) {
		site_kill(s, false);
	} else if (dice < 75) {
		site_kill(s, true);
	} else if (dice < 85) {
		close_site(s, rng_one_in(&W.rng, 3) ? FIRN_DETACH_ABORT : FIRN_DETACH_KEEP_WAL);
	} else {
		close_site(s, FIRN_DETACH_DRAIN);
		move_clean(s);
	}
}

/* Once v0 has been attached its store is away, over restarts too; what is needed of it is moved aside. */
static void far_life(void)
{
	if (homes[0].got) {
		store_outage_of("v0/", sched_now() + UINT64_C(60000000000));
		W.n_fault[FAULT_OUTAGE]++;
	}
	sched_sleep(1500 * (uint64_t)MS);
}

static void one_life(const struct plan *p)
{
	boot_all();
	if (p->follow)
		follow_begin(true);
	for (uint32_t i = 0; i < W.n_nodes; i++)
		if (!rng_one_in(&W.rng, 5)) /* else: killed while it opens, perhaps */
			wait_settled(&sites[i], 20000);
	if (rng_one_in(&W.rng, 5)) {
		uint64_t most = rng_one_in(&W.rng, 2) ? UINT64_C(60000000000)
		                                      : UINT64_C(10000000000);
		store_outage(sched_now() + rng_below(&W.rng, most));
		W.n_fault[FAULT_OUTAGE]++;
	}
	sched_sleep(rng_below(&W.rng, rng_one_in(&W.rng, 2) ? 5 * MS : 300 * MS) + 1);
	for (uint32_t i = 0; i < W.n_nodes; i++)
		if (fault_strikes(FAULT_CLOCK, 4))
			sites[i].node->clock_ms -= (int64_t)rng_below(&W.rng, 3600 * 1000);
	sched_sleep(rng_below(&W.rng, 100 * MS) + 1);
	if (p->far && !W.slots)
		far_life();
	if (W.slots && W.n_nodes > 1 && rng_one_in(&W.rng, 2))
		take_some();
	if (p->trouble)
		trouble_some();
	if (p->abandons && W.n_nodes > 1)
		abandon_some();
	if (rng_one_in(&W.rng, 4))
		cut_check();
	if (!W.slots &&
	    rng_one_in(&W.rng, 2)) /* a copied disk has nothing in it, and a bucket all */
		whatif_remember((uint32_t)rng_below(&W.rng, W.n_nodes));
	for (uint32_t i = 0; i < W.n_nodes; i++) {
		if (!sites[i].sick && rng_one_in(&W.rng, 4))
			continue; /* goes on */
		end_life(&sites[i]);
		move_any(&sites[i]);
		if (p->rot && !sites[i].hurt && rng_one_in(&W.rng, 2) &&
		    disk_rot(sites[i].node->disk)) {
			W.n_fault[FAULT_ROT]++;
			sites[i].hurt = true;
		}
	}
	bool all_down = true;
	for (uint32_t i = 0; i < W.n_nodes; i++)
		all_down &= !sites[i].node->process;
	if (!W.slots && all_down && rng_one_in(&W.rng, 3)) {
		follow_pause(true); /* what does not happen nobody sees */
		whatif_ask();
		follow_pause(false);
	}
}

static bool drained(const struct home *h)
{
	return h->clean || h->given_up || (h->owner != NOBODY && sites[h->owner].hurt);
}

static bool all_clean(void)
{
	bool all = true;
	for (uint32_t i = 0; i < n_homes; i++)
		all &= drained(&homes[i]);
	return all;
}

/* No faults any more: everything comes up, drains, and is the same for whoever looks from elsewhere. */
static void calm_end(bool follow)
{
	W.calm = true;
	store_outage(0);
	store_outage_of(NULL, 0);
	if (follow)
		follow_begin(false);
	for (uint32_t i = 0; i < W.n_nodes; i++)
		site_pause(&sites[i], false);
	for (uint32_t i = 0; i < W.n_nodes; i++)
		if (sites[i].node->process)
			close_site(&sites[i], FIRN_DETACH_KEEP_WAL);
	for (uint32_t i = 0; i < n_homes; i++)
		if (homes[i].owner != NOBODY)
			homes[i].site = homes[i].owner;
	for (uint32_t round = 0; round < 3 + W.n_nodes && (round < 3 || !all_clean()); round++) {
		boot_all();
		for (uint32_t i = 0; i < W.n_nodes; i++)
			wait_settled(&sites[i], 600000);
		for (uint32_t i = 0; i < W.n_nodes; i++)
			SIM_CHECK("P8", settled(&sites[i]),
			          "node %u does not come up although the faults have ended",
			          sites[i].node->number);
		for (uint32_t i = 0; i < W.n_nodes; i++)
			close_site(&sites[i], FIRN_DETACH_DRAIN);
		/* One that nobody knows to be the owner has it, or has the right to it. */
		for (uint32_t i = 0; i < n_homes; i++)
			if (!drained(&homes[i]))
				homes[i].site = (homes[i].site + 1) % W.n_nodes;
	}
	for (uint32_t i = 0; i < n_homes; i++)
		SIM_CHECK("P8", drained(&homes[i]), "%s did not drain", homes[i].m.name);
	follow_end();
	cut_check();
}

static void director(void *arg)
{
	(void)arg;
	struct plan p = make_plan();
	n_homes = W.n_nodes < 2 ? 3 : W.n_nodes + 1;
	for (uint32_t i = 0; i < W.n_nodes; i++) {
		sites[i] = (struct site){ .node = node_new(i) };
		sites[i].node->lying = p.lying;
		sites[i].node->slots = W.slots && !(W.mixed && i % 2);
	}
	for (uint32_t i = 0; i < n_homes; i++) {
		char name[16];
		(void)snprintf(name, sizeof name, "v%u", i);
		model_init(&homes[i].m, name);
		homes[i].site = i % W.n_nodes;
		homes[i].owner = homes[i].taker = homes[i].haunted_by = NOBODY;
	}
	for (uint32_t i = 0; i < p.lives; i++) {
		one_life(&p);
		for (uint32_t k = 0; k < W.n_nodes; k++)
			sites[k].hurt |= sites[k].node->lied;
	}
	calm_end(p.follow);
}

void run_seed(void)
{
	char hang[512];
	(void)sched_spawn(0, "director", director, NULL);
	if (!sched_run()) {
		sched_hang_text(hang, sizeof hang);
		sim_fail("P8", "nothing moves any more: %s", hang);
	}
}
