#include "tests/sim/gate.h"
#include "tests/sim/sched.h"
#include "tests/sim/world.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct gate {
	struct gate *next;
	char part[64];
	enum gate_on on;
	enum gate_how how;
	uint32_t skip;
	bool reached, open;
};

static struct gate *gates; /* of the run: one child process per history, nobody frees them */

struct gate *gate_set(enum gate_on on, const char *part, uint32_t skip, enum gate_how how)
{
	struct gate *g = calloc(1, sizeof *g), **link = &gates;
	if (!g)
		abort();
	*g = (struct gate){ .on = on, .how = how, .skip = skip };
	(void)snprintf(g->part, sizeof g->part, "%s", part);
	while (*link)
		link = &(*link)->next;
	*link = g;
	return g;
}

enum gate_how gate_at(enum gate_on on, const char *name, struct gate **out)
{
	*out = NULL;
	for (struct gate *g = gates; g; g = g->next) {
		if (g->reached || g->on != on || !strstr(name, g->part))
			continue;
		if (g->skip) {
			g->skip--;
			continue;
		}
		g->reached = true;
		sim_trace("gate %d/%d reached: %s", (int)on, (int)g->how, name);
		sched_wake(g, UINT32_MAX);
		if (g->how == GATE_HOLD || g->how == GATE_HOLD_FREE || g->how == GATE_LATE)
			*out = g;
		return g->how;
	}
	return GATE_PASS;
}

void gate_wait(struct gate *g)
{
	while (!g->reached)
		SIM_CHECK("P8", sched_block(g, UINT64_C(600) * 1000000000u),
		          "nothing came to the gate at %s in ten minutes", g->part);
}

bool gate_reached(const struct gate *g)
{
	return g->reached;
}

void gate_open(struct gate *g)
{
	g->open = true;
	sched_wake(&g->open, UINT32_MAX);
}

void gate_pass(struct gate *g)
{
	while (g && !g->open)
		(void)sched_block(&g->open, SIM_FOREVER);
}

bool gate_keeps_lock(const struct gate *g)
{
	return g->how == GATE_HOLD;
}
