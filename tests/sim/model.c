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
		*s = (struct m_stream){ .there = true,
			                .name = o->tag,
			                .start = o->base,
			                .next = o->base,
			                .start_at = o->base };
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

/* Ranges that touch are one: nothing was stored of the stream in between. */
static void add_lost(struct m_stream *s)
{
	struct m_range *last = s->n_lost ? &s->lost[s->n_lost - 1] : NULL;
	if (!last || last->to != s->next) {
		if (s->n_lost == M_LOST)
			abort();
		last = &s->lost[s->n_lost++];
		last->from = s->next;
	}
	s->next += M_SKIP;
	last->to = s->next;
}

static void add(struct m_state *st, const struct m_write *w)
{
	for (uint32_t i = 0; i < w->n_op; i++)
		add_op(st, &w->op[i], w->rev);
	for (uint32_t i = 0; !w->n_op && i < st->n_stream; i++)
		add_lost(&st->stream[i]);
}

static void push(struct m_volume *v, const struct m_write *w, uint64_t revs)
{
	if (v->n == v->cap) {
		v->cap = v->cap ? 2 * v->cap : 64;
		v->w = realloc(v->w, v->cap * sizeof *v->w);
	}
	uint64_t rev = model_rev(v, v->n) + revs;
	v->w[v->n] = *w;
	v->w[v->n].rev = rev;
	add(&v->now, &v->w[v->n++]);
}

void model_add(struct m_volume *v, const struct m_write *w)
{
	push(v, w, 1);
}

void model_abandon(struct m_volume *v)
{
	const struct m_write w = { .n_op = 0 };
	v->n_abandoned++;
	push(v, &w, M_SKIP);
}

uint64_t model_rev(const struct m_volume *v, uint64_t k)
{
	return k ? v->w[k - 1].rev : 0;
}

bool model_at(const struct m_volume *v, uint64_t rev, uint64_t *k)
{
	uint64_t lo = 0, hi = v->n;
	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;
		if (model_rev(v, mid) < rev)
			lo = mid + 1;
		else
			hi = mid;
	}
	*k = lo;
	return model_rev(v, lo) == rev;
}

bool model_find(const struct m_volume *v, uint64_t rev, uint32_t most, uint64_t *k,
                uint32_t *n_abandon)
{
	for (*n_abandon = 0; *n_abandon <= most && rev >= *n_abandon * M_SKIP; ++*n_abandon)
		if (model_at(v, rev - *n_abandon * M_SKIP, k))
			return true;
	return false;
}

struct m_volume *model_fork(const struct m_volume *v)
{
	struct m_volume *f = malloc(sizeof *f);
	*f = *v;
	f->w = malloc((v->cap + 1) * sizeof *f->w);
	if (v->n)
		memcpy(f->w, v->w, v->n * sizeof *f->w);
	model_sum(v, v->n, &f->now);
	return f;
}

void model_drop(struct m_volume *v)
{
	if (!v)
		return;
	state_fini(&v->now);
	free(v->w);
	free(v);
}

void model_sum(const struct m_volume *v, uint64_t k, struct m_state *out)
{
	memset(out, 0, sizeof *out);
	for (uint64_t i = 0; i < k; i++)
		add(out, &v->w[i]);
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

void model_promise_rev(struct m_volume *v, uint64_t rev)
{
	uint64_t k;
	if (model_at(v, rev, &k))
		model_promise(v, k);
}

const struct m_range *model_lost(const struct m_stream *s, uint64_t offset)
{
	for (uint32_t i = 0; i < s->n_lost; i++)
		if (s->lost[i].from <= offset && offset < s->lost[i].to)
			return &s->lost[i];
	return NULL;
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
