#include "tests/sim/look.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct site sites[N_SITES];
struct home homes[N_HOMES];

enum { IN_FLIGHT = 32, DUPLICATE = 1u << 31, REFUSED = 1u << 30 };

/* ---- writing ---------------------------------------------------------------------------------- */

struct writer {
	struct site *site;
	struct home *home;
	struct firn_volume *volume;
	uint32_t owner; /* of the volume, the how many-th */
	struct firn_cq *cq;
	uint32_t n_flying;
	bool fenced;
	uint64_t dup_offset[IN_FLIGHT], dup_rev[IN_FLIGHT];
	uint32_t refused_code[IN_FLIGHT];
	uint32_t next_slot;
	uint8_t *bytes[M_OPS];
	char key[M_OPS][16], key_to[M_OPS][16], name[M_OPS][16];
	uint8_t value[M_OPS][64];
	struct iovec iov[M_OPS];
	struct firn_stream_config config[M_OPS];
};

uint32_t some_stream(const struct m_state *st)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < st->n_stream; i++)
		n += st->stream[i].there && st->stream[i].id;
	uint64_t k = n ? rng_below(&W.rng, n) : 0;
	for (uint32_t i = 0; n && i < st->n_stream; i++)
		if (st->stream[i].there && st->stream[i].id && k-- == 0)
			return i;
	return M_STREAMS;
}

static struct m_op op_append(struct m_volume *m, uint32_t stream, uint64_t next, struct m_stream *s)
{
	struct m_op o = {
		.kind = FIRN_OP_APPEND, .stream = stream, .base = next, .skipped_from = next
	};
	o.payload = ++m->n_payload;
	o.n_offsets = 1 + (uint32_t)rng_below(&W.rng, 3);
	o.len = (uint32_t)rng_below(&W.rng, rng_one_in(&W.rng, 20) ? 30000 : 600);
	if (W.much)
		o.len = o.len < 6000 ? 16 * o.len : 100000;
	o.tag = (uint32_t)o.payload * 7;
	o.timestamp_ms = rng_one_in(&W.rng, 2) ? (int64_t)rng_below(&W.rng, 1000000) + 1 : 0;
	if (rng_one_in(&W.rng, 8)) {
		o.at = true;
		o.base += rng_below(&W.rng, 5);
	} else {
		o.expect = rng_one_in(&W.rng, 4);
	}
	if (s && rng_one_in(&W.rng, 3)) {
		o.producer = 1 + (uint32_t)rng_below(&W.rng, M_PRODUCERS);
		o.producer_seq = s->seq_next[o.producer];
	} else if (s && rng_one_in(&W.rng, 4)) {
		o.key = s->n_keys ? s->n_keys : 1;
	}
	return o;
}

static struct m_op op_kv(uint32_t stream)
{
	struct m_op o = { .stream = stream, .kv_key = (uint32_t)rng_below(&W.rng, M_KEYS) };
	o.kind = rng_one_in(&W.rng, 4) ? FIRN_OP_KV_DELETE : FIRN_OP_KV_PUT;
	o.kv_value = (uint32_t)rng_next(&W.rng) >> 8;
	if (o.kind == FIRN_OP_KV_DELETE && rng_one_in(&W.rng, 2))
		o.kv_to = o.kv_key + 1 + (uint32_t)rng_below(&W.rng, M_KEYS - o.kv_key);
	return o;
}

static bool name_taken(const struct m_state *st, uint32_t name)
{
	for (uint32_t i = 0; i < st->n_stream; i++)
		if (st->stream[i].there && st->stream[i].name == name)
			return true;
	return false;
}

/* A valid write, by the assigned state. Each stream occurs at most once, but in creations. */
static void make_write(struct m_volume *m, struct m_write *w)
{
	struct m_state *st = &m->now;
	memset(w, 0, sizeof *w);
	uint32_t s = some_stream(st);
	uint64_t dice = rng_below(&W.rng, 100);
	if ((s == M_STREAMS || dice < 6) && st->n_stream < M_STREAMS) {
		uint32_t name = (uint32_t)rng_below(&W.rng, 12);
		while (name_taken(st, name))
			name++;
		uint64_t at = rng_one_in(&W.rng, 3) ? rng_below(&W.rng, 1000) : 0;
		w->op[w->n_op++] = (struct m_op){
			.kind = FIRN_OP_CREATE, .stream = st->n_stream, .base = at, .tag = name
		};
		if (rng_one_in(&W.rng, 2))
			w->op[w->n_op++] = op_append(m, st->n_stream, at, NULL);
	} else if (s == M_STREAMS) {
		w->op[w->n_op++] = op_kv(M_STREAMS);
	} else if (dice < 9) {
		w->op[w->n_op++] = (struct m_op){ .kind = FIRN_OP_DELETE, .stream = s };
	} else if (dice < 18) {
		uint64_t span = st->stream[s].next - st->stream[s].start;
		uint64_t to = st->stream[s].start +
		              (rng_one_in(&W.rng, 3) ? span : rng_below(&W.rng, span + 1));
		if (to > st->stream[s].start)
			w->op[w->n_op++] = (struct m_op){ .kind = FIRN_OP_TRIM,
				                          .stream = s,
				                          .to = to };
	} else if (dice < 20) {
		w->op[w->n_op++] = (struct m_op){ .kind = FIRN_OP_CONFIG,
			                          .stream = s,
			                          .config = 1 + (uint32_t)rng_below(&W.rng, 1000) };
	} else if (dice < 30) {
		w->op[w->n_op++] = op_kv(rng_one_in(&W.rng, 2) ? s : M_STREAMS);
	}
	if (!w->n_op)
		w->op[w->n_op++] = op_append(m, s, st->stream[s].next, &st->stream[s]);
	if (dice >= 85 && s != M_STREAMS && w->op[0].kind == FIRN_OP_APPEND) {
		w->op[w->n_op++] = op_kv(s);
		uint32_t other = some_stream(st);
		if (other != s)
			w->op[w->n_op++] = op_append(m, other, st->stream[other].next, NULL);
		w->op[w->n_op++] = op_kv(M_STREAMS);
	}
	dice = rng_below(&W.rng, 20);
	w->ack = dice == 0 ? FIRN_ACK_STORED : dice < 3 ? FIRN_ACK_ASSIGNED : FIRN_ACK_DURABLE;
}

static void fill_append(struct writer *w, const struct m_op *m, struct firn_op *o, uint32_t i)
{
	w->bytes[i] = realloc(w->bytes[i], m->len + 1);
	payload_make(m->payload, m->len, w->bytes[i]);
	w->iov[i] = (struct iovec){ w->bytes[i], m->len };
	struct firn_op_append *a = &o->u.append;
	a->iov = &w->iov[i];
	a->n_iov = 1;
	a->n_offsets = m->n_offsets;
	a->timestamp_ms = m->timestamp_ms;
	a->tag = m->tag;
	a->expect = m->base;
	o->flags = m->at ? FIRN_APPEND_AT : m->expect ? FIRN_APPEND_EXPECT : 0;
	if (m->producer) {
		o->flags |= FIRN_APPEND_PRODUCER;
		a->producer_id = m->producer;
		a->producer_seq = m->producer_seq;
	}
	if (m->key) {
		a->key = &m->key;
		a->key_len = 4;
	}
}

static void fill_op(struct writer *w, const struct m_op *m, struct firn_op *o, uint32_t i)
{
	memset(o, 0, sizeof *o);
	o->kind = (uint16_t)m->kind;
	o->stream = m->stream == M_STREAMS ? FIRN_STREAM_VOLUME
	                                   : w->home->m.now.stream[m->stream].id;
	switch (m->kind) {
	case FIRN_OP_APPEND:
		fill_append(w, m, o, i);
		if (!o->stream)
			o->stream = FIRN_STREAM_NEW;
		return;
	case FIRN_OP_CREATE:
		o->stream = 0;
		o->u.stream.name = w->name[i];
		o->u.stream.name_len = (uint32_t)snprintf(w->name[i], sizeof w->name[i], "s%u",
		                                          m->tag);
		o->u.stream.at = m->base;
		w->config[i] = config_make(0);
		o->u.stream.config = &w->config[i];
		return;
	case FIRN_OP_CONFIG:
		w->config[i] = config_make(m->config);
		o->u.stream.config = &w->config[i];
		return;
	case FIRN_OP_TRIM:
		o->u.range.from = m->to;
		return;
	case FIRN_OP_KV_PUT:
	case FIRN_OP_KV_DELETE:
		o->u.kv.key = w->key[i];
		o->u.kv.key_len = kv_key_make(m->kv_key, w->key[i]);
		if (m->kind == FIRN_OP_KV_PUT) {
			o->u.kv.value = w->value[i];
			o->u.kv.value_len = kv_value_make(m->kv_value, w->value[i]);
		} else if (m->kv_to) {
			o->u.kv.key_to = w->key_to[i];
			o->u.kv.key_to_len = kv_key_make(m->kv_to, w->key_to[i]);
		}
		return;
	default:
		return;
	}
}

static int submit(struct writer *w, const struct m_op *ops, uint32_t n, uint32_t ack,
                  uint64_t user_data)
{
	struct firn_op op[M_OPS];
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_write rq = FIRN_WRITE_INIT;
	for (uint32_t i = 0; i < n; i++)
		fill_op(w, &ops[i], &op[i], i);
	rq.req.cq = w->cq;
	rq.req.user_data = user_data;
	rq.volume = w->volume;
	rq.op = op;
	rq.n_op = n;
	rq.ack = ack;
	const struct firn_req *list[] = { &rq.req };
	int taken = firn_engine_submit(w->site->node->engine, list, 1, &err);
	W.n_ops++;
	return taken == 1 ? 0 : err.code;
}

/* Another has the volume: what this one makes and is told is no part of the model any more. */
static bool cut_off(const struct writer *w)
{
	return w->owner != w->home->n_owner;
}

/* Why a write was not taken: full, the end, or a WAL that failed. */
static void not_taken(struct writer *w, int code)
{
	if (code == FIRN_EIO || code == FIRN_EREADONLY)
		w->site->sick = true;
	if (W.slots && (code == FIRN_EFENCED || code == FIRN_ESHUTDOWN))
		w->fenced = true;
	bool fine = code == FIRN_EAGAIN || code == FIRN_EFULL || code == FIRN_EIO ||
	            code == FIRN_ENOSPC || code == FIRN_ENOMEM || code == FIRN_ESHUTDOWN ||
	            code == FIRN_EREADONLY || (code == FIRN_EFENCED && W.slots);
	SIM_CHECK("P1", fine, "%s: a write was not taken: %s", w->home->m.name,
	          firn_code_name(code));
}

static void ended(struct writer *w, const struct firn_event *ev);

static void write_new(struct writer *w)
{
	struct m_volume *m = &w->home->m;
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
		if (!cut_off(w))
			model_take_back(m);
		not_taken(w, rc);
		sched_sleep(5000000);
	} else {
		w->n_flying++;
	}
}

/* The same, waited for: callers that block are told first, by another way. */
static void write_and_wait(struct writer *w)
{
	struct m_volume *m = &w->home->m;
	struct m_write mw;
	make_write(m, &mw);
	model_add(m, &mw);
	uint64_t index = m->n - 1;
	struct firn_op op[M_OPS];
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_write rq = FIRN_WRITE_INIT;
	struct firn_event ev;
	for (uint32_t i = 0; i < mw.n_op; i++)
		fill_op(w, &mw.op[i], &op[i], i);
	rq.req.timeout_ms = FIRN_FOREVER;
	rq.volume = w->volume;
	rq.op = op;
	rq.n_op = mw.n_op;
	W.n_ops++;
	int rc = firn_engine_call(w->site->node->engine, &rq.req, &ev, &err);
	sim_trace("%s: write %llu, waited for: %s", m->name, (unsigned long long)index + 1,
	          firn_code_name(rc));
	if (rc && rc != FIRN_EUNKNOWN) {
		if (!cut_off(w))
			model_take_back(m);
		not_taken(w, rc);
	} else {
		ev.user_data = index;
		w->n_flying++;
		if (!cut_off(w))
			m->w[index].ack = FIRN_ACK_DURABLE;
		ended(w, &ev);
	}
	firn_release(ev.result);
}

/* A retry of the newest batch of a producer, or with an idempotency key: the first one's answer, and not before that is durable. */
static void write_again(struct writer *w)
{
	struct m_volume *m = &w->home->m;
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

/* One that must be refused: a wrong end, or a sequence with a gap. */
static void write_wrong(struct writer *w)
{
	struct m_volume *m = &w->home->m;
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

static void ended(struct writer *w, const struct firn_event *ev)
{
	struct m_volume *m = &w->home->m;
	w->n_flying--;
	if (cut_off(w)) {
		uint64_t cut = w->home->cut[(w->owner + 1) % HOME_OWNERS];
		bool plain = !(ev->user_data & (DUPLICATE | REFUSED));
		SIM_CHECK("P4", !plain || ev->code || ev->user_data < cut,
		          "%s: write %llu is acked, but its next owner began with %llu", m->name,
		          (unsigned long long)ev->user_data + 1, (unsigned long long)cut);
		return;
	}
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
		model_promise(m, w->dup_rev[slot]);
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
	SIM_CHECK("P2", ev->rev == ev->user_data + 1, "%s: write %llu was given number %llu",
	          m->name, (unsigned long long)ev->user_data + 1, (unsigned long long)ev->rev);
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
		while (!w->site->stop && !w->site->sick && !w->fenced && !cut_off(w)) {
			uint64_t dice = rng_below(&W.rng, 40);
			if (w->n_flying < IN_FLIGHT - 2 && !cut_off(w)) {
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
			if (rng_one_in(&W.rng, 30))
				sched_sleep(rng_below(&W.rng, 100000000));
		}
		for (uint32_t i = 0; w->n_flying && i < 100000; i++)
			reap(w, 100);
		SIM_CHECK("P8", !w->n_flying, "%s: %u writes never ended", w->home->m.name,
		          w->n_flying);
		(void)firn_cq_close(w->cq);
	}
	w->site->n_client--;
}

/* ---- a life of a node --------------------------------------------------------------------------- */

bool passing(int code)
{
	return code == FIRN_ESTORE || code == FIRN_ETIMEDOUT || code == FIRN_EIO ||
	       code == FIRN_ENOSPC || code == FIRN_EFULL || code == FIRN_EBUSY ||
	       code == FIRN_ENOMEM || (code == FIRN_EFENCED && W.slots);
}

static int attach_once(struct site *s, struct home *h, struct firn_error *err)
{
	struct firn_attach a = FIRN_ATTACH_INIT;
	struct firn_event ev;
	char node[16];
	(void)snprintf(node, sizeof node, "node-%u", s->node->number);
	a.store = "mem:sim";
	a.name = h->m.name;
	a.node = node;
	a.attach_flags = FIRN_ATTACH_CREATE;
	a.req.timeout_ms = FIRN_FOREVER;
	h->tries++;
	int rc = firn_engine_call(s->node->engine, &a.req, &ev, err);
	if (rc == 0)
		h->volume = ((const struct firn_attached *)ev.result)->volume;
	firn_release(ev.result);
	return rc;
}

static bool attach(struct site *s, struct home *h)
{
	struct firn_error err = FIRN_ERROR_INIT;
	int rc;
	h->attached = false;
	h->clean = false; /* even an attach that fails may have made it ours */
	while ((rc = attach_once(s, h, &err)) != 0 && passing(rc) && !s->stop) {
		sim_trace("%s: attach: %s", h->m.name, err.text);
		if (rc == FIRN_EIO)
			s->sick = true;
		if (s->sick)
			return false;
		sched_sleep(50000000);
	}
	if (rc && s->stop)
		return false;
	if (rc && s->hurt) {
		sim_trace("%s: given up: %s", h->m.name, err.text);
		h->given_up = true;
		return false;
	}
	SIM_CHECK("P1", rc == 0, "%s: attach: %s %s", h->m.name, firn_code_name(rc), err.text);
	struct firn_volume_info info = { .struct_size = sizeof info };
	(void)firn_volume_info(h->volume, &info);
	uint64_t k = info.rev_durable;
	if (info.state != FIRN_STATE_STORE_AWAY) { /* else it goes on as who it was */
		h->got = h->tries;
		h->got_site = h->site;
		h->maybe_clean = false;
	}
	sim_trace("%s: attached, epoch %llu, writes %llu of %llu, stored %llu, promised %llu",
	          h->m.name, (unsigned long long)info.epoch, (unsigned long long)k,
	          (unsigned long long)h->m.n, (unsigned long long)info.rev_stored,
	          (unsigned long long)h->m.promised);
	SIM_CHECK("P2", k <= h->m.n, "%s has %llu writes, only %llu were made", h->m.name,
	          (unsigned long long)k, (unsigned long long)h->m.n);
	SIM_CHECK("P1", k >= h->m.promised || s->hurt,
	          "%s: writes up to %llu were acked or read, %llu are there", h->m.name,
	          (unsigned long long)h->m.promised, (unsigned long long)k);
	/* Without its store it knows of the marks what its index knows, and that may be an older one. */
	bool away = info.state == FIRN_STATE_STORE_AWAY;
	SIM_CHECK("P10", (away || info.rev_stored >= h->m.stored) && info.rev_stored <= k,
	          "%s: stored up to %llu, promised %llu", h->m.name,
	          (unsigned long long)info.rev_stored, (unsigned long long)h->m.stored);
	if (k < h->m.promised)
		h->m.promised = k; /* hurt */
	h->cut[++h->n_owner % HOME_OWNERS] = k;
	model_cut(&h->m, k);
	check_volume(h->volume, &h->m, k, h->m.name);
	h->attached = true;
	return true;
}

static void detach(struct site *s, struct home *h)
{
	struct firn_detach d = FIRN_DETACH_INIT;
	struct firn_event ev;
	struct firn_error err = FIRN_ERROR_INIT;
	d.volume = h->volume;
	d.mode = s->detach_mode;
	d.req.timeout_ms = 120000;
	h->maybe_clean |= d.mode == FIRN_DETACH_DRAIN;
	int rc = firn_engine_call(s->node->engine, &d.req, &ev, &err);
	firn_release(ev.result);
	sim_trace("%s: detach %u: %s %s", h->m.name, d.mode, firn_code_name(rc), err.text);
	h->clean = rc == 0 && d.mode == FIRN_DETACH_DRAIN;
	if (h->clean)
		model_promise(&h->m, h->m.n), h->m.stored = h->m.n;
	if (rc == FIRN_ESTORE || rc == FIRN_ETIMEDOUT) {
		SIM_CHECK("P8", !W.calm, "%s does not drain although the faults have ended: %s",
		          h->m.name, err.text);
		d.mode = FIRN_DETACH_KEEP_WAL;
		rc = firn_engine_call(s->node->engine, &d.req, &ev, &err);
		firn_release(ev.result);
	}
	h->volume = NULL;
}

static void start_users(struct site *s, struct home *h)
{
	struct writer *w = calloc(1, sizeof *w);
	w->site = s;
	w->home = h;
	w->volume = h->volume;
	w->owner = h->n_owner;
	s->n_client++;
	(void)sched_spawn(s->node->process, "writer", writer_main, w);
	for (uint32_t i = 0; i < 2; i++)
		start_looker(s, h);
}

/* Handles of volumes that others have taken. */
static void drop_lost(struct site *s)
{
	while (s->n_lost) {
		struct firn_detach d = FIRN_DETACH_INIT;
		struct firn_event ev;
		/* ours from here: another may be doing the same */
		d.volume = s->lost[--s->n_lost];
		d.mode = rng_one_in(&W.rng, 2) ? FIRN_DETACH_DRAIN : FIRN_DETACH_KEEP_WAL;
		d.req.timeout_ms = 120000;
		struct firn_error err = FIRN_ERROR_INIT;
		int rc = firn_engine_call(s->node->engine, &d.req, &ev, &err);
		firn_release(ev.result);
		sim_trace("node %u lets a lost volume go: %s %s", s->node->number,
		          firn_code_name(rc), err.text);
		SIM_CHECK("P8", rc != FIRN_ETIMEDOUT || !W.calm,
		          "a volume that was lost does not come to an end");
		if (rc == FIRN_ETIMEDOUT)
			s->lost[s->n_lost++] = d.volume;
	}
}

struct taking {
	struct site *site;
	struct home *home;
};

static void taking_main(void *arg)
{
	struct taking *t = arg;
	drop_lost(t->site);
	if (attach(t->site, t->home) && !t->site->stop)
		start_users(t->site, t->home);
	t->home->changes = false;
	t->site->n_client--;
}

bool take_over(struct home *h, uint32_t to)
{
	struct site *from = &sites[h->site], *s = &sites[to];
	bool may = from != s && s->state == SITE_UP && !s->stop && !s->sick && !h->given_up &&
	           (from->state == SITE_UP || !from->node->process) && !from->stop &&
	           from->n_lost < SITE_LOST && (!h->volume || h->attached) && !h->changes;
	if (!may)
		return false;
	if (h->volume && from->node->process)
		from->lost[from->n_lost++] = h->volume;
	h->volume = NULL;
	h->site = to;
	h->changes = true;
	struct taking *t = calloc(1, sizeof *t);
	*t = (struct taking){ s, h };
	s->n_client++;
	sim_trace("%s: node %u takes it", h->m.name, to);
	(void)sched_spawn(s->node->process, "taking", taking_main, t);
	return true;
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
			for (uint32_t i = 0; i < N_HOMES; i++)
				homes[i].given_up |= &sites[homes[i].site] == s;
		s->state = SITE_FAILED;
		return;
	}
	bool all = true;
	for (uint32_t i = 0; i < N_HOMES && !s->stop && !s->sick; i++)
		if (&sites[homes[i].site] == s && !homes[i].given_up)
			all = attach(s, &homes[i]) && all;
	for (uint32_t i = 0; i < N_HOMES && !W.calm && !s->stop && !s->sick; i++)
		if (homes[i].volume && &sites[homes[i].site] == s)
			start_users(s, &homes[i]);
	if (s->n_client)
		start_watcher(s);
	s->state = SITE_UP;
	while (!s->stop || s->n_client)
		sched_sleep(1000000);
	for (uint32_t i = 0; i < N_HOMES; i++)
		if (homes[i].volume && &sites[homes[i].site] == s)
			detach(s, &homes[i]);
	drop_lost(s);
	SIM_CHECK("P7", s->node->memory_most <= NODE_MEMORY,
	          "node %u used %llu bytes of memory, %u are allowed", s->node->number,
	          (unsigned long long)s->node->memory_most, (unsigned)NODE_MEMORY);
	rc = firn_engine_close(s->node->engine);
	SIM_CHECK("P7", rc == 0, "node %u does not close: %s", s->node->number, firn_code_name(rc));
	SIM_CHECK("P7", s->node->memory == 0, "node %u closed and holds %llu bytes",
	          s->node->number, (unsigned long long)s->node->memory);
	s->state = SITE_CLOSED;
}

void site_boot(uint32_t i)
{
	struct site *s = &sites[i];
	s->state = SITE_OPENING;
	s->stop = s->sick = false;
	s->n_client = s->n_lost = 0;
	for (uint32_t k = 0; k < N_HOMES; k++)
		if (homes[k].site == i) {
			homes[k].volume = NULL;
			homes[k].changes = false;
		}
	node_boot(s->node);
	(void)sched_spawn(s->node->process, "site", site_main, s);
}

/* ---- a reader elsewhere --------------------------------------------------------------------------- */

struct cut {
	struct node *node;
	bool done;
};

static void cut_main(void *arg)
{
	struct cut *c = arg;
	struct firn_error err = FIRN_ERROR_INIT;
	int rc = node_open(c->node, &err);
	for (uint32_t i = 0; rc == 0 && i < N_HOMES; i++) {
		struct m_volume *m = &homes[i].m;
		struct firn_attach a = FIRN_ATTACH_INIT;
		struct firn_event ev;
		a.store = "mem:sim";
		a.name = m->name;
		a.attach_flags = FIRN_ATTACH_READ_ONLY;
		uint64_t stored = m->stored; /* before it looks: the writer goes on */
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
		struct firn_volume_info info = { .struct_size = sizeof info };
		(void)firn_volume_info(v, &info);
		sim_trace("%s: a reader elsewhere sees the first %llu writes", m->name,
		          (unsigned long long)info.rev_stored);
		SIM_CHECK("P10", info.rev_stored <= m->n && info.rev_stored >= stored,
		          "%s: %llu writes are stored of %llu, %llu promised", m->name,
		          (unsigned long long)info.rev_stored, (unsigned long long)m->n,
		          (unsigned long long)stored);
		model_promise(m, info.rev_stored);
		check_volume(v, m, info.rev_stored, "the cut elsewhere");
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
