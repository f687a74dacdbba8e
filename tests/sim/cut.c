/* A volume attached read-only elsewhere, while its writer goes on, is one cut of it. */
#include "tests/sim/work.h"
#include <setjmp.h>
#include <stdlib.h>

enum { CUT_TRIES = 8 };

struct cut {
	struct node *node;
	bool done;
};

/* The cut that is compared now. It moves when the reader comes to an object that is gone meanwhile; what was compared with
 * the old one is no sign of anything then. */
struct glance {
	struct doubt doubt;
	struct firn_volume *volume;
	uint64_t rev;
	jmp_buf moved;
};

uint64_t cut_of(struct firn_volume *v)
{
	struct firn_volume_info info = { .struct_size = sizeof info };
	(void)firn_volume_info(v, &info);
	return info.rev_stored;
}

static void has_it_moved(struct doubt *d)
{
	struct glance *g = (struct glance *)(void *)d;
	if (cut_of(g->volume) != g->rev)
		_longjmp(g->moved, 1);
}

/* Who is killed in between stays in the list, where nobody asks for its process any more. */
static void glance_ends(struct glance *g)
{
	struct doubt **at = &W.doubts;
	while (*at != &g->doubt)
		at = &(*at)->next;
	*at = g->doubt.next;
	free(g);
}

/* With the abandons that came through and were not heard of yet. */
static void check_cut(struct firn_volume *v, struct home *h, uint64_t rev, uint64_t stored)
{
	uint64_t k = 0;
	uint32_t n_abandon = 0;
	bool is = model_find(&h->m, rev, h->n_abandon, &k, &n_abandon);
	sim_trace("%s: a reader elsewhere sees the first %llu writes", h->m.name,
	          (unsigned long long)k);
	SIM_CHECK("P10", is && rev >= stored, "%s: stored up to %llu, promised %llu", h->m.name,
	          (unsigned long long)rev, (unsigned long long)stored);
	if (!n_abandon) {
		model_promise(&h->m, k);
		h->m.stored = k > h->m.stored ? k : h->m.stored;
	}
	struct m_volume *m = model_fork(&h->m);
	model_cut(m, k);
	for (uint32_t i = 0; i < n_abandon; i++)
		model_abandon(m);
	(void)check_volume(v, m, m->n, NULL, "the cut elsewhere");
	model_drop(m);
}

bool cut_compare(struct firn_volume *v, struct home *h, uint64_t least)
{
	struct glance *g = calloc(1, sizeof *g);
	*g = (struct glance){ .doubt = { W.doubts, sched_process(), has_it_moved },
		              .volume = v,
		              .rev = cut_of(v) };
	W.doubts = &g->doubt;
	if (_setjmp(g->moved)) {
		sim_trace("%s: the reader elsewhere has moved on", h->m.name);
		glance_ends(g);
		return false;
	}
	check_cut(v, h, g->rev, least);
	glance_ends(g);
	return true;
}

static void cut_main(void *arg)
{
	struct cut *c = arg;
	struct firn_error err = FIRN_ERROR_INIT;
	int rc = node_open(c->node, &err);
	for (uint32_t i = 0; rc == 0 && i < n_homes; i++) {
		struct m_volume *m = &homes[i].m;
		struct firn_attach a = FIRN_ATTACH_INIT;
		struct firn_event ev;
		a.store = "mem:sim";
		a.name = m->name;
		a.attach_flags = FIRN_ATTACH_READ_ONLY;
		a.upload_interval_ms =
		        UINT32_MAX; /* it looks for another cut as seldom as it may */
		uint64_t stored = model_rev(m, m->stored); /* before it looks: the writer goes on */
		int code = firn_engine_call(c->node->engine, &a.req, &ev, &err);
		if (code) {
			firn_release(ev.result);
			SIM_CHECK("P10", passing(code) || code == FIRN_ENOENT,
			          "%s: read-only attach: %s %s", m->name, firn_code_name(code),
			          err.text);
			continue;
		}
		struct firn_volume *v = ((const struct firn_attached *)ev.result)->volume;
		firn_release(ev.result);
		uint32_t tries = 0;
		while (!cut_compare(v, &homes[i], stored) && ++tries < CUT_TRIES)
			;
		if (tries) { /* results that were not given back: it stays attached */
			c->done = true;
			return;
		}
		struct firn_detach d = FIRN_DETACH_INIT;
		d.volume = v;
		(void)firn_engine_call(c->node->engine, &d.req, &ev, NULL);
		firn_release(ev.result);
	}
	if (rc == 0)
		(void)firn_engine_close(c->node->engine);
	c->done = true;
}

void cut_check(void)
{
	static uint32_t number = 100;
	struct cut c = { .node = node_new(number++) };
	node_boot(c.node);
	(void)sched_spawn(c.node->process, "cut", cut_main, &c);
	for (uint32_t i = 0; !c.done; i++) {
		SIM_CHECK("P8", i < 600000, "a reader elsewhere does not come to an end");
		sched_sleep(1000000);
	}
	node_down(c.node);
}
