/* A reader elsewhere that stays: an engine that has all volumes attached read-only while they are written to, taken over and
 * given up. It knows of them what it finds in the store. What it shows is one cut after the other: of what is stored, and
 * never an earlier one; in the end, when nothing fails any more, all of it without being asked (22). */
#include "tests/sim/work.h"

enum { LOOK_MS = 4000, LEAKS_MOST = 3, PATIENCE = 600 };

static struct {
	struct node *node;
	bool stop, done;
	uint32_t n_leak; /* compared in vain: results that were not given back */
	struct {
		struct firn_volume *volume;
		uint64_t seen, compared; /* seen: whoever comes later sees no less */
	} of[HOMES_MOST];
} F;

static void attach(uint32_t i)
{
	struct firn_attach a = FIRN_ATTACH_INIT;
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_event ev;
	a.store = "mem:sim";
	a.name = homes[i].m.name;
	a.attach_flags = FIRN_ATTACH_READ_ONLY;
	a.upload_interval_ms = LOOK_MS;
	int rc = firn_engine_call(F.node->engine, &a.req, &ev, &err);
	if (!rc)
		F.of[i].volume = ((const struct firn_attached *)ev.result)->volume;
	firn_release(ev.result);
	SIM_CHECK("P10", !rc || passing(rc) || (rc == FIRN_ENOENT && !F.of[i].seen),
	          "%s: who follows it cannot attach: %s %s", homes[i].m.name, firn_code_name(rc),
	          err.text);
}

/* A look at the store that begins now; true: it has had its answer. */
static bool looks(struct firn_volume *v)
{
	struct firn_flush f = FIRN_FLUSH_INIT;
	struct firn_event ev;
	f.volume = v;
	f.mark = FIRN_MARK_STORED;
	f.req.timeout_ms = 3000;
	int rc = firn_engine_call(F.node->engine, &f.req, &ev, NULL);
	firn_release(ev.result);
	return !rc;
}

/* What it shows, which is never less than it was. */
static uint64_t see(uint32_t i)
{
	struct firn_volume_info info = { .struct_size = sizeof info };
	(void)firn_volume_info(F.of[i].volume, &info);
	SIM_CHECK("P5", info.state == FIRN_STATE_READ_ONLY || info.state == FIRN_STATE_STORE_AWAY,
	          "%s: who follows it has stopped: state %u", homes[i].m.name, info.state);
	SIM_CHECK("P10", info.rev_stored >= F.of[i].seen,
	          "%s: who follows it saw write %llu, and now %llu", homes[i].m.name,
	          (unsigned long long)F.of[i].seen, (unsigned long long)info.rev_stored);
	F.of[i].seen = info.rev_stored;
	return info.rev_stored;
}

static void compare(uint32_t i, uint64_t least)
{
	uint64_t rev = see(i);
	if (cut_compare(F.of[i].volume, &homes[i], least))
		F.of[i].compared = rev;
	else
		F.n_leak++;
}

static void look(uint32_t i)
{
	const struct m_volume *m = &homes[i].m;
	uint64_t stored = model_rev(m, m->stored), least = F.of[i].seen; /* before it looks */
	if (rng_one_in(&W.rng, 3) && looks(F.of[i].volume))
		least = stored;
	uint64_t rev = see(i);
	W.n_ops++;
	SIM_CHECK("P10", rev >= least, "%s: stored up to %llu, who looks sees %llu", m->name,
	          (unsigned long long)least, (unsigned long long)rev);
	if (rev != F.of[i].compared && rng_one_in(&W.rng, 4))
		compare(i, least);
}

/* Nothing is written any more, and nobody says so. */
static void last_look(uint32_t i)
{
	const struct m_volume *m = &homes[i].m;
	for (uint32_t n = 0; n < PATIENCE && see(i) != model_rev(m, m->n); n++)
		sched_sleep(100000000);
	SIM_CHECK("P10", F.of[i].seen == model_rev(m, m->n),
	          "%s ends at %llu, who follows it sees %llu and does not move on", m->name,
	          (unsigned long long)model_rev(m, m->n), (unsigned long long)F.of[i].seen);
	compare(i, model_rev(m, m->n));
	SIM_CHECK("P10", F.of[i].compared == F.of[i].seen,
	          "%s: who follows it moves, and there is nothing to follow", m->name);
}

static void detach(uint32_t i)
{
	struct firn_detach d = FIRN_DETACH_INIT;
	struct firn_event ev;
	d.volume = F.of[i].volume;
	(void)firn_engine_call(F.node->engine, &d.req, &ev, NULL);
	firn_release(ev.result);
	F.of[i].volume = NULL;
}

static void finish(void)
{
	for (uint32_t i = 0; i < n_homes; i++) {
		if (homes[i].clean && F.of[i].volume)
			last_look(i);
		if (F.of[i].volume && !F.n_leak)
			detach(i);
	}
	SIM_CHECK("P7", F.node->memory_most <= NODE_MEMORY,
	          "who follows used %llu bytes of memory, %u are allowed",
	          (unsigned long long)F.node->memory_most, (unsigned)NODE_MEMORY);
	if (F.n_leak)
		return;
	int rc = firn_engine_close(F.node->engine);
	SIM_CHECK("P7", !rc && !F.node->memory, "who follows closes: %s, and holds %llu bytes",
	          firn_code_name(rc), (unsigned long long)F.node->memory);
}

static void follow_main(void *arg)
{
	struct firn_error err = FIRN_ERROR_INIT;
	(void)arg;
	int rc = node_open(F.node, &err);
	SIM_CHECK("P10", !rc || passing(rc), "who follows does not open: %s %s", firn_code_name(rc),
	          err.text);
	while (!rc && !F.stop && F.n_leak < LEAKS_MOST) {
		uint32_t i = (uint32_t)rng_below(&W.rng, n_homes);
		if (F.of[i].volume)
			look(i);
		else
			attach(i);
		user_sleep(rng_below(&W.rng, 200000000));
	}
	if (!rc && F.stop)
		finish();
	F.done = true;
}

static void begin(void)
{
	for (uint32_t i = 0; i < n_homes; i++)
		F.of[i].volume = NULL;
	F.done = false;
	F.n_leak = 0;
	node_boot(F.node);
	(void)sched_spawn(F.node->process, "follower", follow_main, NULL);
}

void follow_begin(bool may_die)
{
	static const uint32_t number = 400;
	if (!F.node)
		F.node = node_new(number);
	if (F.node->process && (F.done || (may_die && rng_one_in(&W.rng, 6))))
		node_kill(F.node, rng_one_in(&W.rng, 2));
	if (!F.node->process)
		begin();
}

void follow_pause(bool stops)
{
	if (F.node && F.node->process)
		sched_pause(F.node->process, stops);
}

void follow_end(void)
{
	if (!F.node)
		return;
	F.stop = true;
	for (uint32_t i = 0; !F.done; i++) {
		SIM_CHECK("P8", i < 600000, "who follows does not come to an end");
		sched_sleep(1000000);
	}
	node_kill(F.node, false);
}
