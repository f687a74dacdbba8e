#include "tests/sim/work.h"
#include <stdio.h>
#include <stdlib.h>

struct site sites[NODES_MOST];
struct home homes[HOMES_MOST];
uint32_t n_homes;

bool passing(int code)
{
	return code == FIRN_ESTORE || code == FIRN_ETIMEDOUT || code == FIRN_EIO ||
	       code == FIRN_ENOSPC || code == FIRN_EFULL || code == FIRN_EBUSY ||
	       code == FIRN_ENOMEM;
}

void user_sleep(uint64_t ns)
{
	sched_sleep(W.slow ? UINT64_C(3000000000) + 100 * ns : ns + 1);
}

static bool gives_up(const char *takeover)
{
	return takeover && *takeover == 'a';
}

static int attach_once(struct site *s, struct home *h, const char *takeover,
                       struct firn_volume **volume, struct firn_error *err)
{
	struct firn_attach a = FIRN_ATTACH_INIT;
	struct firn_event ev;
	char node[16];
	uint32_t number = site_number(s);
	(void)snprintf(node, sizeof node, "node-%u", number);
	a.store = "mem:sim";
	a.name = h->m.name;
	a.node = node;
	a.takeover = takeover;
	a.attach_flags = FIRN_ATTACH_CREATE;
	a.req.timeout_ms = FIRN_FOREVER;
	h->tries++;
	h->before[number] = h->tried[number];
	h->tried[number] = h->trying[number] = true;
	h->giving_up[number] = gives_up(takeover);
	h->n_abandon += gives_up(takeover);
	int rc = firn_engine_call(s->node->engine, &a.req, &ev, err);
	h->trying[number] = h->giving_up[number] = false;
	if (rc == 0)
		*volume = ((const struct firn_attached *)ev.result)->volume;
	firn_release(ev.result);
	return rc;
}

/* Another is the owner, and he lives or has the log; or it is in a store and this node has files. */
static bool refused(const struct site *s, int rc)
{
	return rc == FIRN_ELOST || rc == FIRN_EFENCED || rc == FIRN_EBUSY ||
	       (rc == FIRN_EUNSUPPORTED && W.slots && !s->node->slots);
}

/* Who takes from the living finds another who does so, too. */
static bool again(const struct site *s, int rc)
{
	return passing(rc) || (rc == FIRN_EFENCED && s->node->slots);
}

static struct term *attach(struct site *s, struct home *h, const char *takeover)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_volume *volume = NULL;
	bool clean = h->clean;
	int rc;
	h->clean = false; /* even an attach that fails may have made it ours */
	while ((rc = attach_once(s, h, takeover, &volume, &err)) != 0 && again(s, rc) && !s->stop) {
		sim_trace("%s: attach: %s", h->m.name, err.text);
		if (rc == FIRN_EIO)
			s->sick = true;
		if (s->sick || (gives_up(takeover) && rc == FIRN_EBUSY))
			break;
		if (rc == FIRN_EBUSY) /* by this engine, which lost it */
			drop_lost(s);
		sched_sleep(50000000);
	}
	if (rc == 0)
		return term_begin(s, h, volume);
	bool others = not_its_own(h, site_number(s));
	for (uint32_t i = 0; i < W.n_nodes; i++)
		clean &= i == site_number(s) || !h->tried[i];
	sim_trace("%s: not attached: %s", h->m.name, err.text);
	if (s->stop || s->sick || (refused(s, rc) && others && !clean))
		return NULL;
	if (s->hurt) {
		h->given_up |= h->owner == site_number(s);
		return NULL;
	}
	SIM_CHECK("P1", false, "%s: attach: %s %s", h->m.name, firn_code_name(rc), err.text);
}

static void start_users(struct term *t)
{
	start_writer(t);
	for (uint32_t i = 0; i < 2; i++)
		start_looker(t);
}

struct taking {
	struct site *site;
	struct home *home;
	const char *takeover;
};

static void taking_main(void *arg)
{
	struct taking *k = arg;
	drop_lost(k->site);
	struct term *t = attach(k->site, k->home, k->takeover);
	if (t && !t->leaves && !k->site->stop)
		start_users(t);
	k->home->taker = NOBODY;
	k->site->n_client--;
}

bool take_over(struct home *h, uint32_t to, const char *takeover)
{
	struct site *s = &sites[to], *from = h->owner == NOBODY ? s : &sites[h->owner];
	bool may = from != s && s->state == SITE_UP && !s->stop && !s->sick && !s->paused &&
	           (!h->given_up || gives_up(takeover)) && h->taker == NOBODY &&
	           (from->state == SITE_UP || !from->node->process) && !from->stop &&
	           from->n_lost < SITE_LOST / 2 && (!h->term || h->term->checked);
	if (!may)
		return false;
	h->taker = to;
	struct taking *t = calloc(1, sizeof *t);
	*t = (struct taking){ s, h, takeover };
	s->n_client++;
	sim_trace("%s: node %u takes it%s%s", h->m.name, to, takeover ? ": " : "",
	          takeover ? takeover : "");
	(void)sched_spawn(s->node->process, "taking", taking_main, t);
	return true;
}

static void attach_all(struct site *s)
{
	uint32_t number = site_number(s);
	struct term *mine[HOMES_MOST] = { 0 };
	for (uint32_t i = 0; i < n_homes && !s->stop && !s->sick; i++) {
		struct home *h = &homes[i];
		bool here = h->site == number || h->haunted_by == number;
		mine[i] = here && !h->given_up && h->taker == NOBODY
		                  ? attach(s, h, s->moved ? "moved" : NULL)
		                  : NULL;
	}
	for (uint32_t i = 0; i < n_homes && !W.calm && !s->stop && !s->sick; i++)
		if (mine[i] && !mine[i]->leaves)
			start_users(mine[i]);
}

static void close_engine(struct site *s)
{
	SIM_CHECK("P7", s->node->memory_most <= NODE_MEMORY,
	          "node %u used %llu bytes of memory, %u are allowed", s->node->number,
	          (unsigned long long)s->node->memory_most, (unsigned)NODE_MEMORY);
	int rc = firn_engine_close(s->node->engine);
	SIM_CHECK("P7", rc == 0, "node %u does not close: %s", s->node->number, firn_code_name(rc));
	SIM_CHECK("P7", s->node->memory == 0, "node %u closed and holds %llu bytes",
	          s->node->number, (unsigned long long)s->node->memory);
	s->state = SITE_CLOSED;
}

static void site_main(void *arg)
{
	struct site *s = arg;
	struct firn_error err = FIRN_ERROR_INIT;
	int rc = node_open(s->node, &err);
	if (rc) {
		sim_trace("node %u: open: %s %s", s->node->number, firn_code_name(rc), err.text);
		SIM_CHECK("P1", passing(rc) || s->hurt, "node %u does not open: %s %s",
		          s->node->number, firn_code_name(rc), err.text);
		if (rc == FIRN_ECORRUPT)
			for (uint32_t i = 0; i < n_homes; i++)
				homes[i].given_up |= homes[i].owner == site_number(s);
		s->state = SITE_FAILED;
		return;
	}
	attach_all(s);
	if (s->n_client)
		start_watcher(s);
	s->state = SITE_UP;
	while (!s->stop || s->n_client)
		sched_sleep(W.slow ? 100000000 : 1000000);
	for (uint32_t i = 0; i < n_homes; i++)
		if (homes[i].term && homes[i].term->site == s)
			term_end(homes[i].term, s->detach_mode);
	while (s->n_lost)
		drop_lost(s);
	close_engine(s);
}

void site_gone(uint32_t i)
{
	struct site *s = &sites[i];
	s->n_client = s->n_lost = 0;
	s->paused = false;
	for (uint32_t k = 0; k < n_homes; k++) {
		struct home *h = &homes[k];
		h->trying[i] = h->giving_up[i] = false;
		if (h->taker == i)
			h->taker = NOBODY;
		if (h->term && h->term->site == s)
			h->term = NULL;
	}
}

void site_boot(uint32_t i)
{
	struct site *s = &sites[i];
	site_gone(i);
	s->state = SITE_OPENING;
	s->stop = s->sick = false;
	node_boot(s->node);
	(void)sched_spawn(s->node->process, "site", site_main, s);
}
