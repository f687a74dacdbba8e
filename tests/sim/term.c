/* Who has a volume. An attach that comes through makes its node the owner and cuts the model to what it found; the owner
 * before, who may live on without knowing, goes on with a copy. Epochs say in which order it happened, whatever the order
 * in which it is heard of here. */
#include "tests/sim/work.h"
#include <stdlib.h>

uint32_t site_number(const struct site *s)
{
	return (uint32_t)(s - sites);
}

bool not_its_own(const struct home *h, uint32_t site)
{
	bool others = h->owner != site;
	for (uint32_t i = 0; i < W.n_nodes; i++)
		others |= i != site && h->tried[i];
	return others;
}

bool may_be_fenced(const struct term *t)
{
	return t->over || not_its_own(t->home, site_number(t->site));
}

static struct term *term_new(struct site *s, struct home *h, struct firn_volume *volume)
{
	struct term *t = calloc(1, sizeof *t);
	t->home = h;
	t->site = s;
	t->volume = volume;
	return t;
}

static void to_be_dropped(struct term *t)
{
	if (t->site->n_lost == SITE_LOST)
		abort();
	t->site->lost[t->site->n_lost++] = t;
}

/* Who was the owner goes on with what he believes. */
static void supersede(struct home *h, uint32_t by, uint64_t cut, bool given_up)
{
	struct term *old = h->term;
	h->term = NULL;
	h->fork[by] = (struct fork){ 0 };
	if (h->owner == NOBODY || h->owner == by)
		return;
	struct fork *f = &h->fork[h->owner];
	*f = (struct fork){ .m = model_fork(&h->m), .given_up = given_up, .cut = cut };
	if (!old)
		return;
	old->m = f->m;
	old->over = true;
	old->given_up = given_up;
	old->cut = cut;
	if (!old->leaves)
		to_be_dropped(old);
}

/* From here on what others may have done unseen did not happen: the store would have refused it. */
static void nobody_else(struct home *h)
{
	h->n_abandon = 0;
	for (uint32_t i = 0; i < W.n_nodes; i++) {
		h->tried[i] = h->trying[i];
		h->n_abandon += h->giving_up[i];
	}
}

static void check_cut(const struct home *h, const struct firn_volume_info *info, uint64_t k,
                      uint32_t n_abandon, bool hurt)
{
	const struct m_volume *m = &h->m;
	/* Without its store it knows of the marks what its index knows, and that may be an older one. */
	bool away = info->state == FIRN_STATE_STORE_AWAY;
	SIM_CHECK("P1", k >= (n_abandon ? m->stored : m->promised) || hurt,
	          "%s: writes up to %llu were %s, %llu are there", m->name,
	          (unsigned long long)(n_abandon ? m->stored : m->promised),
	          n_abandon ? "stored" : "acked or read", (unsigned long long)k);
	SIM_CHECK("P10",
	          (away || info->rev_stored >= model_rev(m, m->stored)) &&
	                  info->rev_stored <= info->rev_durable,
	          "%s: stored up to %llu, promised %llu", m->name,
	          (unsigned long long)info->rev_stored,
	          (unsigned long long)model_rev(m, m->stored));
}

static struct m_volume *own(struct site *s, struct home *h, const struct firn_volume_info *info)
{
	uint32_t n_abandon = 0, number = site_number(s);
	struct m_volume *m = &h->m;
	uint64_t k = 0;
	SIM_CHECK("P2", model_find(m, info->rev_durable, h->n_abandon, &k, &n_abandon),
	          "%s ends at %llu, which it never was: %llu writes were made, the last is %llu",
	          m->name, (unsigned long long)info->rev_durable, (unsigned long long)m->n,
	          (unsigned long long)model_rev(m, m->n));
	sim_trace(
	        "%s: attached by node %u, epoch %llu, writes %llu of %llu, abandons %u, stored %llu, "
	        "promised %llu",
	        m->name, number, (unsigned long long)info->epoch, (unsigned long long)k,
	        (unsigned long long)m->n, n_abandon, (unsigned long long)info->rev_stored,
	        (unsigned long long)m->promised);
	check_cut(h, info, k, n_abandon, s->hurt);
	supersede(h, number, k, n_abandon != 0);
	if (k < m->promised)
		m->promised = k; /* hurt, or given up */
	model_cut(m, k);
	for (uint32_t i = 0; i < n_abandon; i++) {
		model_abandon(m);
		m->stored = m->n;
		W.n_fault[FAULT_ABANDON]++;
	}
	model_promise(m, m->n);
	if (info->state != FIRN_STATE_STORE_AWAY) { /* else it goes on as who it was */
		h->got = h->tries;
		h->maybe_clean = false;
		nobody_else(h);
	}
	h->clean = h->given_up = false;
	h->owner = h->site = number;
	if (info->epoch > h->epoch)
		h->epoch = info->epoch;
	return m;
}

/* Another has been the owner since: either this one is told late that it was, or it goes on in an outage, by what its
 * log says. */
static struct m_volume *own_no_more(struct site *s, struct home *h,
                                    const struct firn_volume_info *info)
{
	struct fork *f = &h->fork[site_number(s)];
	uint64_t k = 0;
	bool away = info->state == FIRN_STATE_STORE_AWAY;
	if (!away)
		*f = (struct fork){ .m = model_fork(&h->m) };
	SIM_CHECK("P2", model_at(f->m, info->rev_durable, &k),
	          "%s ends at %llu, which it never was", h->m.name,
	          (unsigned long long)info->rev_durable);
	SIM_CHECK("P1", !away || k >= f->m->promised || s->hurt,
	          "%s: of an owner that was replaced writes up to %llu were acked, %llu are there",
	          h->m.name, (unsigned long long)f->m->promised, (unsigned long long)k);
	sim_trace("%s: node %u has epoch %llu, which is over, writes %llu", h->m.name,
	          site_number(s), (unsigned long long)info->epoch, (unsigned long long)k);
	for (uint64_t i = k; !away && i < f->m->n; i++)
		f->given_up |= !f->m->w[i].n_op;
	if (!away)
		f->cut = k;
	if (f->m->promised > k)
		f->m->promised = k;
	model_cut(f->m, k);
	return f->m;
}

/* Who goes on in an outage has the epoch that its index knows, which may be an older one: then its log decides. */
static bool is_over(const struct home *h, uint32_t number, const struct firn_volume_info *info)
{
	const struct fork *f = &h->fork[number];
	uint64_t k;
	if (info->state != FIRN_STATE_STORE_AWAY) {
		SIM_CHECK("P4", info->epoch != h->epoch, "%s: nodes %u and %u both have epoch %llu",
		          h->m.name, h->owner, number, (unsigned long long)info->epoch);
		return info->epoch < h->epoch;
	}
	bool over = h->owner != number && f->m && model_at(f->m, info->rev_durable, &k);
	SIM_CHECK("P4", !over || !f->told,
	          "%s: node %u goes on without the store, and was told that it was replaced",
	          h->m.name, number);
	SIM_CHECK("P4", over || h->owner == number || h->before[number],
	          "%s: node %u goes on without the store, it has no right to", h->m.name, number);
	return over;
}

struct term *term_begin(struct site *s, struct home *h, struct firn_volume *volume)
{
	struct firn_volume_info info = { .struct_size = sizeof info };
	uint32_t number = site_number(s);
	struct term *t = term_new(s, h, volume);
	(void)firn_volume_info(volume, &info);
	t->over = is_over(h, number, &info);
	t->m = t->over ? own_no_more(s, h, &info) : own(s, h, &info);
	if (t->over) {
		t->given_up = h->fork[number].given_up;
		t->cut = h->fork[number].cut;
		to_be_dropped(t);
	} else {
		h->term = t;
	}
	uint64_t id[M_STREAMS] = { 0 };
	t->n_user++;
	bool whole = check_volume(volume, t->m, t->m->n, id, h->m.name);
	t->n_user--;
	SIM_CHECK("P4", whole || may_be_fenced(t), "%s: fenced by nobody", h->m.name);
	for (uint32_t i = 0; i < M_STREAMS && whole; i++)
		if (id[i])
			t->m->now.stream[i].id = id[i];
	t->checked = true;
	return whole ? t : NULL;
}

static int let_go(struct term *t, uint32_t mode, struct firn_error *err)
{
	struct firn_detach d = FIRN_DETACH_INIT;
	struct firn_event ev;
	d.volume = t->volume;
	d.mode = mode;
	d.req.timeout_ms = 120000;
	int rc = firn_engine_call(t->site->node->engine, &d.req, &ev, err);
	firn_release(ev.result);
	return rc;
}

void term_end(struct term *t, uint32_t mode)
{
	struct home *h = t->home;
	struct firn_error err = FIRN_ERROR_INIT;
	t->leaves = true;
	h->maybe_clean |= mode == FIRN_DETACH_DRAIN && !t->over;
	int rc = let_go(t, mode, &err);
	sim_trace("%s: detach %u: %s %s", h->m.name, mode, firn_code_name(rc), err.text);
	if (rc == FIRN_ESTORE || rc == FIRN_ETIMEDOUT) {
		SIM_CHECK("P8", !W.calm, "%s does not drain although the faults have ended: %s",
		          h->m.name, err.text);
		(void)let_go(t, FIRN_DETACH_KEEP_WAL, &err);
	}
	if (t->over)
		return;
	h->clean = rc == 0 && mode == FIRN_DETACH_DRAIN;
	if (h->clean)
		model_promise(&h->m, h->m.n), h->m.stored = h->m.n;
	h->term = NULL;
}

void drop_lost(struct site *s)
{
	for (uint32_t i = 0; i < s->n_lost;) {
		struct term *t = s->lost[i];
		if (t->n_user) {
			i++;
			continue;
		}
		/* ours from here: another may be doing the same */
		s->lost[i] = s->lost[--s->n_lost];
		t->leaves = true;
		struct firn_error err = FIRN_ERROR_INIT;
		struct firn_volume_info info = { .struct_size = sizeof info };
		(void)firn_volume_info(t->volume, &info);
		int rc = let_go(t, rng_one_in(&W.rng, 2) ? FIRN_DETACH_DRAIN : FIRN_DETACH_KEEP_WAL,
		                &err);
		sim_trace("node %u lets a lost volume go: %s %s", site_number(s),
		          firn_code_name(rc), err.text);
		SIM_CHECK("P8", rc != FIRN_ETIMEDOUT || !W.calm,
		          "a volume that was lost does not come to an end");
		if (rc == FIRN_ETIMEDOUT || rc == FIRN_ESTORE) {
			t->leaves = false;
			to_be_dropped(t);
			return;
		}
		struct fork *f = &t->home->fork[site_number(s)];
		f->fenced |= f->m == t->m &&
		             (rc == FIRN_EFENCED || (!rc && info.state == FIRN_STATE_FENCED));
		i = 0;
	}
}
