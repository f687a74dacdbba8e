#include "tests/sim/work.h"
#include <stdlib.h>

enum { IN_FLIGHT = 32, DUPLICATE = 1u << 31, REFUSED = 1u << 30 };

struct writer {
	struct term *term;
	struct site *site;
	struct firn_cq *cq;
	uint32_t n_flying;
	bool fenced;
	uint64_t dup_offset[IN_FLIGHT], dup_rev[IN_FLIGHT];
	uint32_t refused_code[IN_FLIGHT];
	uint32_t next_slot;
	struct room room;
};

static int submit(struct writer *w, const struct m_op *ops, uint32_t n, uint32_t ack,
                  uint64_t user_data)
{
	struct firn_op op[M_OPS];
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_write rq = FIRN_WRITE_INIT;
	for (uint32_t i = 0; i < n; i++)
		fill_op(&w->room, w->term->m, &ops[i], &op[i], i);
	rq.req.cq = w->cq;
	rq.req.user_data = user_data;
	rq.volume = w->term->volume;
	rq.op = op;
	rq.n_op = n;
	rq.ack = ack;
	const struct firn_req *list[] = { &rq.req };
	int taken = firn_engine_submit(w->site->node->engine, list, 1, &err);
	W.n_ops++;
	return taken == 1 ? 0 : err.code;
}

/* Why a write was not taken: full, the end, or a WAL that failed. */
static void not_taken(struct writer *w, int code)
{
	if (code == FIRN_EIO || code == FIRN_EREADONLY)
		w->site->sick = true;
	bool fenced = code == FIRN_EFENCED && may_be_fenced(w->term);
	if (fenced || code == FIRN_ESHUTDOWN)
		w->fenced = true;
	bool fine = code == FIRN_EAGAIN || code == FIRN_EFULL || code == FIRN_EIO ||
	            code == FIRN_ENOSPC || code == FIRN_ENOMEM || code == FIRN_ESHUTDOWN ||
	            code == FIRN_EREADONLY || fenced;
	SIM_CHECK("P1", fine, "%s: a write was not taken: %s", w->term->m->name,
	          firn_code_name(code));
}

static void ended(struct writer *w, const struct firn_event *ev);

static void write_new(struct writer *w)
{
	struct m_volume *m = w->term->m;
	struct m_write mw;
	make_write(m, &mw);
	/* In the list before the engine hears of it: readers may see it before submit() is back. */
	model_add(m, &mw);
	uint64_t index = m->n - 1;
	int rc = submit(w, mw.op, mw.n_op, mw.ack, index);
	sim_trace("%s: write %llu, %u operations, first kind %u of stream %u at %llu, key %u: %s",
	          m->name, (unsigned long long)index + 1, mw.n_op, mw.op[0].kind, mw.op[0].stream,
	          (unsigned long long)mw.op[0].base, mw.op[0].key,
	          rc ? firn_code_name(rc) : "taken");
	if (rc) {
		model_take_back(w->term->m); /* which is another one if it is over since */
		not_taken(w, rc);
		sched_sleep(5000000);
	} else {
		w->n_flying++;
	}
}

/* The same, waited for: callers that block are told first, by another way. */
static void write_and_wait(struct writer *w)
{
	struct m_volume *m = w->term->m;
	struct m_write mw;
	make_write(m, &mw);
	model_add(m, &mw);
	uint64_t index = m->n - 1;
	struct firn_op op[M_OPS];
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_write rq = FIRN_WRITE_INIT;
	struct firn_event ev;
	for (uint32_t i = 0; i < mw.n_op; i++)
		fill_op(&w->room, w->term->m, &mw.op[i], &op[i], i);
	rq.req.timeout_ms = FIRN_FOREVER;
	rq.volume = w->term->volume;
	rq.op = op;
	rq.n_op = mw.n_op;
	W.n_ops++;
	int rc = firn_engine_call(w->site->node->engine, &rq.req, &ev, &err);
	sim_trace("%s: write %llu, waited for: %s", m->name, (unsigned long long)index + 1,
	          firn_code_name(rc));
	if (rc && rc != FIRN_EUNKNOWN) {
		model_take_back(w->term->m); /* which is another one if it is over since */
		not_taken(w, rc);
	} else {
		ev.user_data = index;
		w->n_flying++;
		w->term->m->w[index].ack = FIRN_ACK_DURABLE;
		ended(w, &ev);
	}
	firn_release(ev.result);
}

/* A retry of the newest batch of a producer, or with an idempotency key: the first one's answer, and not before that is durable. */
static void write_again(struct writer *w)
{
	struct m_volume *m = w->term->m;
	uint32_t i = some_stream(&m->now), p = 1 + (uint32_t)rng_below(&W.rng, M_PRODUCERS);
	const struct m_stream *s = i < M_STREAMS ? &m->now.stream[i] : NULL;
	if (s && rng_one_in(&W.rng, 2))
		p = 0;
	uint32_t last = !s ? 0 : p ? s->last_producer_batch[p] : s->last_key_batch;
	if (!last)
		return;
	const struct m_batch *b = &s->batch[last - 1];
	uint32_t slot = w->next_slot++ % IN_FLIGHT;
	struct m_op o = { .kind = FIRN_OP_APPEND,
		          .stream = i,
		          .base = b->base,
		          .payload = b->payload,
		          .len = b->len,
		          .n_offsets = b->n_offsets,
		          .producer = p,
		          .producer_seq = b->producer_seq,
		          .key = p ? 0 : b->key };
	w->dup_offset[slot] = b->base;
	w->dup_rev[slot] = b->rev;
	int rc = submit(w, &o, 1, FIRN_ACK_DURABLE, DUPLICATE | slot);
	sim_trace("%s: write %llu again, producer %u, key %u: %s", m->name,
	          (unsigned long long)b->rev, p, o.key, rc ? firn_code_name(rc) : "taken");
	if (rc)
		not_taken(w, rc);
	else
		w->n_flying++;
}

/* One that must be refused: a wrong end, a sequence with a gap, or further ahead than offsets reach that an abandon gives up. */
static void write_wrong(struct writer *w)
{
	struct m_volume *m = w->term->m;
	uint32_t i = some_stream(&m->now);
	if (i == M_STREAMS)
		return;
	const struct m_stream *s = &m->now.stream[i];
	uint32_t slot = w->next_slot++ % IN_FLIGHT;
	struct m_op o = { .kind = FIRN_OP_APPEND,
		          .stream = i,
		          .base = s->next + 1,
		          .len = 1,
		          .n_offsets = 1,
		          .expect = true };
	w->refused_code[slot] = (uint32_t)FIRN_ECONFLICT;
	if (s->seq_next[1] && rng_one_in(&W.rng, 2)) {
		o.expect = false;
		o.producer = 1;
		o.producer_seq = s->seq_next[1] + 5;
		w->refused_code[slot] = (uint32_t)FIRN_ESEQ;
	} else if (rng_one_in(&W.rng, 3)) {
		o.expect = false;
		o.at = true;
		o.base = s->next + M_SKIP;
		w->refused_code[slot] = (uint32_t)FIRN_ERANGE;
	}
	int rc = submit(w, &o, 1, FIRN_ACK_DURABLE, REFUSED | slot);
	if (rc)
		not_taken(w, rc);
	else
		w->n_flying++;
}

static void learn_ids(struct m_volume *m, const struct m_write *w, const struct firn_event *ev)
{
	const struct firn_written *all = ev->result;
	for (uint32_t i = 0; i < w->n_op; i++) {
		const struct m_op *o = &w->op[i];
		uint64_t stream = ev->stream, offset = ev->offset;
		if (w->n_op > 1) {
			const struct firn_done *d = (const void *)((const char *)all->op +
			                                           (size_t)i * all->size);
			stream = d->stream;
			offset = d->offset;
		}
		if (o->kind == FIRN_OP_CREATE)
			m->now.stream[o->stream].id = stream;
		if (o->kind == FIRN_OP_CREATE || o->kind == FIRN_OP_APPEND)
			SIM_CHECK("P2", offset == o->base,
			          "%s: operation %u of a write was given offset %llu, not %llu",
			          m->name, i, (unsigned long long)offset,
			          (unsigned long long)o->base);
	}
}

/* Another has the volume. What it has is acked by whoever does; beyond that an ack is one of two things: of a write that is
 * lost, by an abandon that said so, and that nobody gets to see; or wrong. */
static void acked_too_late(const struct writer *w, const struct m_write *mw, uint64_t index)
{
	const struct term *t = w->term;
	const struct m_state *truth = &t->home->m.now;
	if (index < t->cut || mw->ack == FIRN_ACK_ASSIGNED)
		return;
	SIM_CHECK("P4", t->given_up && mw->ack != FIRN_ACK_STORED,
	          "%s: write %llu is acked, but the next owner began with %llu", t->m->name,
	          (unsigned long long)index + 1, (unsigned long long)t->cut);
	for (uint32_t i = 0; i < mw->n_op; i++) {
		const struct m_op *o = &mw->op[i];
		uint64_t id = o->stream < M_STREAMS ? t->m->now.stream[o->stream].id : 0;
		if (o->kind != FIRN_OP_APPEND || !id || o->stream >= truth->n_stream ||
		    truth->stream[o->stream].id != id)
			continue;
		const struct m_range *lost = model_lost(&truth->stream[o->stream], o->base);
		SIM_CHECK("P3", lost && o->base + o->n_offsets <= lost->to,
		          "%s: the old owner acks offset %llu, which is in no lost range",
		          t->m->name, (unsigned long long)o->base);
	}
}

static void ended(struct writer *w, const struct firn_event *ev)
{
	struct m_volume *m = w->term->m;
	w->n_flying--;
	if (ev->user_data & DUPLICATE) {
		uint32_t slot = (uint32_t)ev->user_data & (IN_FLIGHT - 1);
		sim_trace("%s: a retry ends: %s, offset %llu", m->name, firn_code_name(ev->code),
		          (unsigned long long)ev->offset);
		if (ev->code == FIRN_EUNKNOWN)
			return;
		SIM_CHECK("P2",
		          ev->code == 0 && ev->flags & FIRN_F_DUPLICATE &&
		                  ev->offset == w->dup_offset[slot],
		          "%s: a retry was answered %s with offset %llu, the first has %llu",
		          m->name, firn_code_name(ev->code), (unsigned long long)ev->offset,
		          (unsigned long long)w->dup_offset[slot]);
		uint64_t k = 0;
		(void)model_at(m, w->dup_rev[slot], &k);
		SIM_CHECK("P4", !w->term->over || w->term->given_up || k <= w->term->cut,
		          "%s: write %llu is acked again, but the next owner began with %llu",
		          m->name, (unsigned long long)k, (unsigned long long)w->term->cut);
		model_promise(m, k);
		return;
	}
	if (ev->user_data & REFUSED) {
		uint32_t slot = (uint32_t)ev->user_data & (IN_FLIGHT - 1);
		SIM_CHECK("P2", ev->code == (int32_t)w->refused_code[slot],
		          "%s: a wrong write was answered %s", m->name, firn_code_name(ev->code));
		return;
	}
	struct m_write *mw = &m->w[ev->user_data];
	sim_trace("%s: write %llu ends: %s", m->name, (unsigned long long)ev->user_data + 1,
	          firn_code_name(ev->code));
	if (ev->code == FIRN_EUNKNOWN) {
		mw->outcome = M_UNKNOWN;
		return;
	}
	SIM_CHECK("P1", ev->code == 0, "%s: an admitted write ended %s", m->name,
	          firn_code_name(ev->code));
	SIM_CHECK("P2", ev->rev == mw->rev, "%s: write %llu was given number %llu, not %llu",
	          m->name, (unsigned long long)ev->user_data + 1, (unsigned long long)ev->rev,
	          (unsigned long long)mw->rev);
	if (w->term->over)
		acked_too_late(w, mw, ev->user_data);
	mw->outcome = M_ACKED;
	learn_ids(m, mw, ev);
	if (mw->ack != FIRN_ACK_ASSIGNED)
		model_promise(m, ev->user_data + 1);
	if (mw->ack == FIRN_ACK_STORED && ev->user_data + 1 > m->stored)
		m->stored = ev->user_data + 1;
}

static void reap(struct writer *w, uint32_t wait_ms)
{
	struct firn_event ev[16];
	int n = firn_cq_reap(w->cq, ev, sizeof ev[0], 16, wait_ms);
	for (int i = 0; i < n; i++) {
		if (ev[i].kind == FIRN_REQ_WRITE)
			ended(w, &ev[i]);
		firn_release(ev[i].result);
	}
}

static void writer_main(void *arg)
{
	struct writer *w = arg;
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_cq_opts o = { .struct_size = sizeof o, .depth = IN_FLIGHT };
	bool blocks = rng_one_in(&W.rng, 3);
	if (firn_cq_open(w->site->node->engine, &o, &w->cq, &err) == 0) {
		while (!w->site->stop && !w->site->sick && !w->fenced) {
			uint64_t dice = rng_below(&W.rng, 40);
			if (w->n_flying < IN_FLIGHT - 2) {
				if (dice < 4)
					write_again(w);
				else if (dice == 4)
					write_wrong(w);
				else if (blocks)
					write_and_wait(w);
				else
					write_new(w);
			}
			reap(w, rng_one_in(&W.rng, 3) ? (uint32_t)rng_below(&W.rng, 5) : 0);
			if (W.slow || rng_one_in(&W.rng, 30))
				user_sleep(rng_below(&W.rng, 100000000));
		}
		for (uint32_t i = 0; w->n_flying && i < 100000; i++)
			reap(w, 100);
		SIM_CHECK("P8", !w->n_flying, "%s: %u writes never ended", w->term->m->name,
		          w->n_flying);
		(void)firn_cq_close(w->cq);
	}
	w->term->n_user--;
	w->site->n_client--;
}

void start_writer(struct term *t)
{
	struct writer *w = calloc(1, sizeof *w);
	w->term = t;
	w->site = t->site;
	t->n_user++;
	t->site->n_client++;
	(void)sched_spawn(t->site->node->process, "writer", writer_main, w);
}
