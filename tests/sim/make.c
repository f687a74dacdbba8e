#include "tests/sim/work.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

uint64_t some_offset(const struct m_stream *s)
{
	uint64_t dice = rng_below(&W.rng, 4), at = s->start;
	if (s->n_lost && dice == 0) {
		const struct m_range *r = &s->lost[rng_below(&W.rng, s->n_lost)];
		uint64_t inside = rng_below(&W.rng, r->to - r->from);
		at = rng_one_in(&W.rng, 2) ? r->from : r->from + inside;
	} else if (s->n_batch && dice < 3) {
		const struct m_batch *b = &s->batch[rng_below(&W.rng, s->n_batch)];
		at = b->base + rng_below(&W.rng, b->n_offsets);
	} else if (s->next > s->start) {
		at = s->start + rng_below(&W.rng, s->next - s->start);
	}
	return at < s->start ? s->start : at;
}

/* Nearly as far as the next owner's offsets are away, should this one be given up: what is stored reaches at least to where
 * the last one that was ended, and what follows has room. */
static uint64_t far_ahead(const struct m_stream *s, uint64_t least)
{
	uint64_t stored = s->n_lost ? s->lost[s->n_lost - 1].to : s->start_at;
	uint64_t most = stored + M_SKIP - (1 << 20);
	uint64_t at = most - rng_below(&W.rng, rng_one_in(&W.rng, 2) ? 3 : M_SKIP / 2);
	return at > least ? at : least;
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
		if (s && rng_one_in(&W.rng, 40))
			o.base = far_ahead(s, o.base);
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

void make_write(struct m_volume *m, struct m_write *w)
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
		uint64_t to = st->stream[s].next;
		if (!rng_one_in(&W.rng, 3))
			to = some_offset(&st->stream[s]);
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

static void fill_append(struct room *r, const struct m_op *m, struct firn_op *o, uint32_t i)
{
	r->bytes[i] = realloc(r->bytes[i], m->len + 1);
	payload_make(m->payload, m->len, r->bytes[i]);
	r->iov[i] = (struct iovec){ r->bytes[i], m->len };
	struct firn_op_append *a = &o->u.append;
	a->iov = &r->iov[i];
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

void fill_op(struct room *r, const struct m_volume *v, const struct m_op *m, struct firn_op *o,
             uint32_t i)
{
	memset(o, 0, sizeof *o);
	o->kind = (uint16_t)m->kind;
	o->stream = m->stream == M_STREAMS ? FIRN_STREAM_VOLUME : v->now.stream[m->stream].id;
	switch (m->kind) {
	case FIRN_OP_APPEND:
		fill_append(r, m, o, i);
		if (!o->stream)
			o->stream = FIRN_STREAM_NEW;
		return;
	case FIRN_OP_CREATE:
		o->stream = 0;
		o->u.stream.name = r->name[i];
		o->u.stream.name_len = (uint32_t)snprintf(r->name[i], sizeof r->name[i], "s%u",
		                                          m->tag);
		o->u.stream.at = m->base;
		r->config[i] = config_make(0);
		o->u.stream.config = &r->config[i];
		return;
	case FIRN_OP_CONFIG:
		r->config[i] = config_make(m->config);
		o->u.stream.config = &r->config[i];
		return;
	case FIRN_OP_TRIM:
		o->u.range.from = m->to;
		return;
	case FIRN_OP_KV_PUT:
	case FIRN_OP_KV_DELETE:
		o->u.kv.key = r->key[i];
		o->u.kv.key_len = kv_key_make(m->kv_key, r->key[i]);
		if (m->kind == FIRN_OP_KV_PUT) {
			o->u.kv.value = r->value[i];
			o->u.kv.value_len = kv_value_make(m->kv_value, r->value[i]);
		} else if (m->kv_to) {
			o->u.kv.key_to = r->key_to[i];
			o->u.kv.key_to_len = kv_key_make(m->kv_to, r->key_to[i]);
		}
		return;
	default:
		return;
	}
}
