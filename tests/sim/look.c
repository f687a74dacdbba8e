#include "tests/sim/work.h"
#include <firn/read.h>
#include <stdlib.h>

/* ---- one stream ---- */

struct looker {
	struct term *term;
	struct site *site;
};

/* What was read is a promise: it must be there after any crash. */
static void read_is_promise(struct m_volume *m, const struct firn_part *p)
{
	for (uint32_t i = 0; i < p->n_batch; i++) {
		const struct firn_batch *b = (const void *)((const char *)p->batch +
		                                            (size_t)i * p->batch_size);
		model_promise_rev(m, b->rev);
	}
}

static void look_once(struct looker *l)
{
	struct m_volume *m = l->term->m;
	uint32_t i = some_stream(&m->now);
	if (i == M_STREAMS)
		return;
	uint64_t id = m->now.stream[i].id, at = some_offset(&m->now.stream[i]);
	const struct firn_fetched *f = NULL;
	struct firn_error err = FIRN_ERROR_INIT;
	int rc = firn_stream_read(l->term->volume, id, at, 1 + (uint32_t)rng_below(&W.rng, 20000),
	                          (uint32_t)rng_below(&W.rng, 20), &f, &err);
	W.n_ops++;
	m = l->term->m;
	const struct m_stream *s = &m->now.stream[i];
	if (rc == 0 && f->n_part) {
		(void)check_part(&m->now.stream[i], f->part, at, "read");
		read_is_promise(m, f->part);
	}
	firn_release(f);
	bool fine = rc == 0 || rc == FIRN_ERANGE || rc == FIRN_ENOENT || rc == FIRN_ESTORE ||
	            rc == FIRN_EIO || rc == FIRN_EAGAIN || rc == FIRN_ETIMEDOUT ||
	            rc == FIRN_ESHUTDOWN || rc == FIRN_ECANCELED ||
	            (rc == FIRN_ELOST && model_lost(s, at)) ||
	            (rc == FIRN_EFENCED && may_be_fenced(l->term));
	SIM_CHECK("P6", fine || (rc == FIRN_ECORRUPT && l->site->hurt),
	          "%s: reading s%u at %llu: %s %s", m->name, s->name, (unsigned long long)at,
	          firn_code_name(rc), err.text);
}

/* ---- by time ---- */

/* An append without a time of the caller's is of its append time, above all that is looked for here. */
static bool as_late(const struct m_batch *b, int64_t value)
{
	return !b->timestamp_ms || b->timestamp_ms >= value;
}

/* The first batch from `value` on: never one before it that is too early, never a miss of one that was durable. */
static void look_up(struct looker *l)
{
	struct m_volume *m = l->term->m;
	uint32_t i = some_stream(&m->now);
	if (i == M_STREAMS)
		return;
	struct m_stream *s = &m->now.stream[i];
	struct firn_lookup q = FIRN_LOOKUP_INIT;
	struct firn_event ev = { 0 };
	uint64_t durable = 0;
	q.volume = l->term->volume;
	q.stream = s->id;
	q.value = 1 + (int64_t)rng_below(&W.rng, 1000000);
	q.req.timeout_ms = 60000;
	if (firn_stream_mark(q.volume, s->id, FIRN_MARK_DURABLE, &durable))
		return;
	struct firn_error err = FIRN_ERROR_INIT;
	int rc = firn_engine_call(l->site->node->engine, &q.req, &ev, &err);
	firn_release(ev.result);
	W.n_ops++;
	m = l->term->m;
	s = &m->now.stream[i];
	if ((rc != 0 && rc != FIRN_ENOENT) || !s->there)
		return;
	for (uint32_t k = 0; k < s->n_batch; k++) {
		const struct m_batch *b = &s->batch[k];
		if (rc == 0 && b->base == ev.offset) {
			SIM_CHECK("P2", as_late(b, q.value),
			          "%s: s%u: looked for %lld, got %lld at %llu", m->name, s->name,
			          (long long)q.value, (long long)b->timestamp_ms,
			          (unsigned long long)b->base);
			model_promise_rev(m, b->rev);
			return;
		}
		/* start may have moved up to the assigned one, not beyond it */
		SIM_CHECK("P2",
		          b->base < s->start || b->base + b->n_offsets > durable ||
		                  !as_late(b, q.value),
		          "%s: s%u: looked for %lld and missed the batch at %llu: %s %s", m->name,
		          s->name, (long long)q.value, (unsigned long long)b->base,
		          firn_code_name(rc), err.text);
	}
	SIM_CHECK("P2", rc, "%s: s%u: looked for %lld, got offset %llu, which is no batch", m->name,
	          s->name, (long long)q.value, (unsigned long long)ev.offset);
}

static void looker_main(void *arg)
{
	struct looker *l = arg;
	while (!l->site->stop && !l->site->sick && !l->term->leaves) {
		if (rng_one_in(&W.rng, 4))
			look_up(l);
		else
			look_once(l);
		user_sleep(rng_below(&W.rng, 20000000));
		/* Who is fenced has little to tell; what is left is for a while. */
		if (l->term->over && rng_one_in(&W.rng, 20))
			break;
	}
	l->term->n_user--;
	l->site->n_client--;
}

void start_looker(struct term *t)
{
	struct looker *l = calloc(1, sizeof *l);
	*l = (struct looker){ t, t->site };
	t->n_user++;
	t->site->n_client++;
	(void)sched_spawn(t->site->node->process, "reader", looker_main, l);
}

/* ---- many streams ---- */

enum { SLOTS = 8 };

struct watcher {
	struct site *site;
	struct firn_reader *reader;
	struct {
		struct term *term; /* NULL: empty */
		uint32_t stream;
		uint64_t pos;
		uint16_t up_to;
	} slot[SLOTS];
};

static void slot_set(struct watcher *w, uint32_t n)
{
	struct term *t = homes[rng_below(&W.rng, n_homes)].term;
	w->slot[n].term = NULL;
	bool here = t && t->checked && !t->leaves && t->site == w->site;
	uint32_t i = here ? some_stream(&t->m->now) : M_STREAMS;
	struct firn_item it = { .slot = n, .flags = FIRN_ITEM_REMOVE };
	if (i < M_STREAMS) {
		const struct m_stream *s = &t->m->now.stream[i];
		w->slot[n].term = t;
		w->slot[n].stream = i;
		w->slot[n].pos = rng_one_in(&W.rng, 8) ? s->next : some_offset(s);
		w->slot[n].up_to = rng_one_in(&W.rng, 3) ? FIRN_MARK_STORED : FIRN_MARK_DURABLE;
		it = (struct firn_item){ .slot = n,
			                 .volume = t->volume,
			                 .stream = s->id,
			                 .offset = w->slot[n].pos,
			                 .up_to = w->slot[n].up_to };
	}
	int rc = firn_reader_set(w->reader, &it, sizeof it, 1);
	SIM_CHECK("P7", rc == 0 || rc == FIRN_ENOMEM || (rc == FIRN_ESHUTDOWN && t && t->over),
	          "a slot of a reader: %s", firn_code_name(rc));
	if (rc)
		w->slot[n].term = NULL;
}

/* Marks are promises: below `visible` all is durable, below `stored` stored, but for what was trimmed. */
static void marks_are_promises(const struct term *t, const struct m_stream *s,
                               const struct firn_part *p)
{
	struct m_volume *m = t->m;
	SIM_CHECK("P2", p->visible <= s->next || !s->there, "%s: s%u is visible up to %llu of %llu",
	          m->name, s->name, (unsigned long long)p->visible, (unsigned long long)s->next);
	for (uint32_t k = 0; k < s->n_batch; k++) {
		const struct m_batch *b = &s->batch[k];
		if (b->base < p->start)
			continue;
		if (b->base + b->n_offsets <= p->visible)
			model_promise_rev(m, b->rev);
		uint64_t n;
		if (b->base + b->n_offsets <= p->stored && model_at(m, b->rev, &n) && n > m->stored)
			m->stored = n;
	}
	SIM_CHECK("P4", !t->over || m->stored <= t->cut,
	          "%s: the old owner stored write %llu, the next one began with %llu", m->name,
	          (unsigned long long)m->stored, (unsigned long long)t->cut);
}

static void take_part(struct watcher *w, const struct firn_part *p, bool ready)
{
	SIM_CHECK("P2", p->slot < SLOTS && w->slot[p->slot].term,
	          "a part of slot %u, which is empty", p->slot);
	struct term *t = w->slot[p->slot].term;
	struct m_stream *s = &t->m->now.stream[w->slot[p->slot].stream];
	uint64_t *pos = &w->slot[p->slot].pos;
	bool fine = p->code == 0 || p->code == FIRN_ERANGE || p->code == FIRN_ENOENT ||
	            p->code == FIRN_ESTORE || p->code == FIRN_EIO || p->code == FIRN_ENOMEM ||
	            p->code == FIRN_ESHUTDOWN || (p->code == FIRN_EFENCED && may_be_fenced(t)) ||
	            (p->code == FIRN_ELOST && model_lost(s, *pos)) ||
	            (p->code == FIRN_ECORRUPT && w->site->hurt);
	SIM_CHECK("P6", fine, "%s: s%u in a fetch at %llu: %s", t->m->name, s->name,
	          (unsigned long long)*pos, firn_code_name(p->code));
	if (p->code) {
		if (p->code == FIRN_ELOST)
			(void)check_part(s, p, *pos, "fetch");
		slot_set(w, p->slot);
		return;
	}
	marks_are_promises(t, s, p);
	if (!ready) {
		*pos = check_part(s, p, *pos, "fetch");
		read_is_promise(t->m, p);
		return;
	}
	uint64_t mark = w->slot[p->slot].up_to == FIRN_MARK_STORED ? p->stored : p->visible;
	SIM_CHECK("P2", *pos < mark, "%s: s%u is ready at %llu, its mark is %llu", t->m->name,
	          s->name, (unsigned long long)*pos, (unsigned long long)mark);
}

static void fetch_once(struct watcher *w)
{
	struct firn_fetch f = FIRN_FETCH_INIT;
	struct firn_event ev = { 0 };
	bool ready = rng_one_in(&W.rng, 3);
	f.reader = w->reader;
	f.req.flags = ready ? FIRN_FETCH_READY : 0;
	f.max_bytes = 1 + (uint32_t)rng_below(&W.rng, 40000);
	f.max_wait_ms = (uint32_t)rng_below(&W.rng, 20);
	int rc = firn_engine_call(w->site->node->engine, &f.req, &ev, NULL);
	W.n_ops++;
	const struct firn_fetched *got = rc ? NULL : ev.result;
	for (uint32_t i = 0; got && i < got->n_part; i++)
		take_part(w, (const void *)((const char *)got->part + (size_t)i * got->part_size),
		          ready);
	firn_release(ev.result);
}

static void watcher_main(void *arg)
{
	struct watcher *w = arg;
	if (firn_reader_open(w->site->node->engine, NULL, &w->reader, NULL) == 0) {
		for (uint32_t i = 0; i < SLOTS; i++)
			slot_set(w, i);
		while (!w->site->stop && !w->site->sick) {
			fetch_once(w);
			if (rng_one_in(&W.rng, 3))
				slot_set(w, (uint32_t)rng_below(&W.rng, SLOTS));
			user_sleep(rng_below(&W.rng, 20000000));
		}
		(void)firn_reader_close(w->reader);
	}
	w->site->n_client--;
}

void start_watcher(struct site *s)
{
	struct watcher *w = calloc(1, sizeof *w);
	w->site = s;
	s->n_client++;
	(void)sched_spawn(s->node->process, "watcher", watcher_main, w);
}
