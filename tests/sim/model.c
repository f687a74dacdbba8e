#include "tests/sim/model.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void payload_make(uint64_t payload, uint32_t len, uint8_t *out)
{
	struct rng r = { payload * UINT64_C(0x2545f4914f6cdd1d) };
	for (uint32_t i = 0; i < len; i++)
		out[i] = (uint8_t)(i % 3 ? payload : rng_next(&r)); /* some of it compresses */
}

void model_init(struct m_volume *v, const char *name)
{
	memset(v, 0, sizeof *v);
	(void)snprintf(v->name, sizeof v->name, "%s", name);
}

static void add_append(struct m_stream *s, const struct m_op *o, uint64_t rev)
{
	if (s->n_batch == s->cap_batch) {
		s->cap_batch = s->cap_batch ? 2 * s->cap_batch : 16;
		s->batch = realloc(s->batch, s->cap_batch * sizeof *s->batch);
	}
	s->batch[s->n_batch++] = (struct m_batch){ .base = o->base,
		                                   .payload = o->payload,
		                                   .rev = rev,
		                                   .producer_seq = o->producer_seq,
		                                   .skipped_from = o->skipped_from,
		                                   .n_offsets = o->n_offsets,
		                                   .len = o->len,
		                                   .producer = o->producer,
		                                   .key = o->key,
		                                   .tag = o->tag,
		                                   .timestamp_ms = o->timestamp_ms };
	s->next = o->base + o->n_offsets;
	if (o->producer) {
		s->seq_next[o->producer] = o->producer_seq + o->n_offsets;
		s->last_producer_batch[o->producer] = s->n_batch;
	}
	if (o->key >= s->n_keys)
		s->n_keys = o->key + 1;
	if (o->key)
		s->last_key_batch = s->n_batch;
}

static void add_op(struct m_state *st, const struct m_op *o, uint64_t rev)
{
	struct m_stream *s = &st->stream[o->stream];
	struct m_kv *kv = st->kv[o->stream];
	switch (o->kind) {
	case FIRN_OP_CREATE:
		*s = (struct m_stream){
			.there = true, .name = o->tag, .start = o->base, .next = o->base
		};
		if (o->stream >= st->n_stream)
			st->n_stream = o->stream + 1;
		break;
	case FIRN_OP_DELETE:
		s->there = false;
		memset(kv, 0, sizeof st->kv[0]);
		break;
	case FIRN_OP_APPEND:
		add_append(s, o, rev);
		break;
	case FIRN_OP_TRIM:
		if (o->to > s->start)
			s->start = o->to;
		break;
	case FIRN_OP_CONFIG:
		s->config = o->config;
		break;
	case FIRN_OP_KV_PUT:
		kv[o->kv_key] = (struct m_kv){ true, o->kv_value, rev };
		break;
	case FIRN_OP_KV_DELETE:
		for (uint32_t k = o->kv_key; k < (o->kv_to ? o->kv_to : o->kv_key + 1); k++)
			kv[k].there = false;
		break;
	default:
		abort();
	}
}

static void add(struct m_state *st, const struct m_write *w, uint64_t rev)
{
	for (uint32_t i = 0; i < w->n_op; i++)
		add_op(st, &w->op[i], rev);
}

void model_add(struct m_volume *v, const struct m_write *w)
{
	if (v->n == v->cap) {
		v->cap = v->cap ? 2 * v->cap : 64;
		v->w = realloc(v->w, v->cap * sizeof *v->w);
	}
	v->w[v->n++] = *w;
	add(&v->now, w, v->n);
}

void model_sum(const struct m_volume *v, uint64_t k, struct m_state *out)
{
	memset(out, 0, sizeof *out);
	for (uint64_t i = 0; i < k; i++)
		add(out, &v->w[i], i + 1);
	for (uint32_t i = 0; i < out->n_stream; i++)
		out->stream[i].id = v->now.stream[i].id;
}

void state_fini(struct m_state *s)
{
	for (uint32_t i = 0; i < M_STREAMS; i++)
		free(s->stream[i].batch);
}

void model_cut(struct m_volume *v, uint64_t k)
{
	struct m_state *s = malloc(sizeof *s);
	model_sum(v, k, s);
	state_fini(&v->now);
	v->now = *s;
	free(s);
	v->n = k;
	model_promise(v, k);
}

void model_promise(struct m_volume *v, uint64_t k)
{
	if (k > v->promised)
		v->promised = k;
}

void model_take_back(struct m_volume *v)
{
	struct m_state *s = malloc(sizeof *s);
	model_sum(v, v->n - 1, s);
	state_fini(&v->now);
	v->now = *s;
	free(s);
	v->n--;
}
