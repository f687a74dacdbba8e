/* Judging single operations of a write. See plan.h. */
#include "engine/admit/plan.h"
#include "engine/api/engine.h"
#include "engine/base/le.h"
#include "engine/base/mem.h"
#include <string.h>

#define PAIRS_MAX (UINT64_C(256) << 20)

static uint64_t next_of(const struct plan *p, const struct stream *s)
{
	return s->tx_id == p->tx ? s->tx_next : s->assigned;
}

/* Base offset of the APPEND an operation is stamped with. */
static int stamp_base(struct plan *p, uint32_t i, bool own, uint64_t *base)
{
	uint32_t of = p->p[i].src->stamp_of;
	if (!of && own) {
		*base = p->p[i].op.batch.offset;
		return 0;
	}
	for (uint32_t k = of ? of : i; k > 0; k--) {
		if (k - 1 < i && p->p[k - 1].op.kind == WAL_OP_APPEND) {
			*base = p->p[k - 1].op.batch.offset;
			return 0;
		}
		if (of)
			break;
	}
	return plan_refuse(p, i, FIRN_EINVAL, 0);
}

static int judge_base(struct plan *p, uint32_t i, struct stream *s, struct batch *b)
{
	const struct firn_op *op = p->p[i].src;
	uint64_t next = next_of(p, s);
	b->offset = next;
	if (op->flags & FIRN_APPEND_EXPECT && op->u.append.expect != next)
		return plan_refuse(p, i, FIRN_ECONFLICT, next);
	if (op->flags & FIRN_APPEND_AT) {
		b->offset = op->u.append.expect;
		if (b->offset < next)
			return plan_refuse(p, i, FIRN_ECONFLICT, next);
		if (b->offset - next + b->n_offsets > LOST_SKIP)
			return plan_refuse(p, i, FIRN_ERANGE, next);
		b->flags |= b->offset > next ? BATCH_SKIPPED_BEFORE : 0;
	}
	if (b->offset > OFFSET_MAX - b->n_offsets)
		return plan_refuse(p, i, FIRN_ERANGE, next);
	if (b->offset + b->n_offsets - s->stored > LOST_SKIP)
		return plan_refuse(p, i, FIRN_ERANGE, next);
	return 0;
}

static void op_limits(const struct planned *o, struct dedup_limits *lim)
{
	struct firn_stream_config c = { 0 };
	bool set = o->op.config_len && !config_decode(o->op.config, o->op.config_len, &c);
	config_limits(set ? &c : NULL, lim);
}

void plan_limits_take(struct planned *o)
{
	op_limits(o, &o->s->limits);
}

/* As the stream is assigned, with what this write has changed of it so far. */
static void plan_limits(const struct plan *p, const struct stream *s, struct dedup_limits *lim)
{
	if (s->tx_config_id == p->tx)
		op_limits(&p->p[s->tx_config_op], lim);
	else
		*lim = s->limits;
}

/* Half new, half known: neither answer would be true. */
static int refuse_mixed(struct plan *p, uint32_t i)
{
	p->mixed = true;
	return plan_refuse(p, i, FIRN_ECONFLICT, p->first.offset);
}

/* Acked when all that it repeats is as durable as asked. */
static int take_known(struct plan *p, uint32_t i, const struct stream *s,
                      const struct dedup_answer *answer)
{
	uint64_t rev = p->first.rev > answer->rev ? p->first.rev : answer->rev;
	if (!p->duplicate) {
		p->first = *answer;
		p->dup_at = i;
	}
	p->first.rev = rev;
	p->duplicate = true;
	p->p[i].known = true;
	p->p[i].done = (struct firn_done){ s->id, answer->offset,
		                           answer->offset + answer->n_offsets };
	return p->fresh ? refuse_mixed(p, i) : 0;
}

static int judge_duplicate(struct plan *p, uint32_t i, struct stream *s, struct batch *b)
{
	struct dedup_limits lim;
	enum dedup_verdict verdict = DEDUP_NEW;
	struct dedup_answer answer = { 0 };
	if (!(b->flags & BATCH_PRODUCER) && !b->key_len)
		return 0;
	plan_limits(p, s, &lim);
	bool keyed = b->key_len && (lim.key_window_ms || lim.key_window_n);
	if (!(b->flags & BATCH_PRODUCER) && !keyed)
		return 0;
	int rc = dedup_check(&s->dedup, p->v->engine->env, &lim, b, p->tx, p->now_ms, &verdict,
	                     &answer);
	if (rc == FIRN_ENOMEM)
		return rc;
	if (rc)
		return plan_refuse(p, i, rc, answer.expected);
	if (verdict == DEDUP_DUPLICATE)
		return take_known(p, i, s, &answer);
	p->fresh = p->fresh || keyed || !(b->flags & BATCH_SEQ_NONE);
	return p->fresh && p->duplicate ? refuse_mixed(p, i) : 0;
}

static uint64_t iov_bytes(const struct firn_op_append *a)
{
	uint64_t len = 0;
	for (uint32_t i = 0; i < a->n_iov; i++)
		len += a->iov[i].iov_len;
	return len;
}

static void batch_of(const struct firn_op *op, const struct stream *s, struct batch *b)
{
	const struct firn_op_append *a = &op->u.append;
	*b = (struct batch){ .stream = s->id,
		             .n_offsets = a->n_offsets ? a->n_offsets : 1,
		             .payload_len = (uint32_t)iov_bytes(a),
		             .tag = a->tag,
		             .key_len = a->key_len,
		             .attr_len = a->attr_len,
		             .key = a->key,
		             .attr = a->attr };
	if (op->flags & FIRN_APPEND_PRODUCER) {
		b->producer_id = a->producer_id;
		b->producer_seq = a->producer_seq;
		b->producer_epoch = a->producer_epoch;
		b->flags = BATCH_PRODUCER;
		b->flags |= op->flags & FIRN_SEQ_RISING ? BATCH_SEQ_RISING : 0;
		b->flags |= op->flags & FIRN_SEQ_NONE ? BATCH_SEQ_NONE : 0;
	}
}

int plan_append(struct plan *p, uint32_t i)
{
	struct planned *o = &p->p[i];
	const struct firn_op_append *a = &o->src->u.append;
	struct batch *b = &o->op.batch;
	struct stream *s = plan_stream(p, i);
	if (!s)
		return p->code;
	batch_of(o->src, s, b);
	int rc = judge_duplicate(p, i, s, b);
	if (rc || p->duplicate)
		return rc;
	rc = judge_base(p, i, s, b);
	if (rc)
		return rc;
	b->append_ms = p->now_ms > s->last_append_ms ? p->now_ms : s->last_append_ms;
	b->timestamp_ms = a->timestamp_ms ? a->timestamp_ms : b->append_ms;
	o->s = s;
	o->op.kind = WAL_OP_APPEND;
	o->op.stream = s->id;
	s->tx_id = p->tx;
	s->tx_next = b->offset + b->n_offsets;
	o->done = (struct firn_done){ s->id, b->offset, s->tx_next };
	if (o->src->flags & FIRN_APPEND_STAMP) {
		o->stamped = true;
		o->stamp_pos = a->stamp_pos;
		return stamp_base(p, i, true, &o->stamp);
	}
	return 0;
}

/* Streams that are gone since have nothing to be known by. */
int plan_known(struct plan *p, uint32_t from)
{
	int rc = 0;
	for (uint32_t i = from; i < p->n && !rc; i++) {
		struct planned *o = &p->p[i];
		const struct firn_op *op = o->src = plan_src(p->w, i);
		if (op->kind == FIRN_OP_CREATE)
			p->made_last = volume_stream_named(p->v, op->u.stream.name,
			                                   op->u.stream.name_len);
		if (op->kind != FIRN_OP_APPEND)
			continue;
		struct stream *s = op->stream == FIRN_STREAM_NEW ? p->made_last
		                                                 : volume_stream(p->v, op->stream);
		if (!s || s->deleting || s->deleted)
			continue;
		batch_of(op, s, &o->op.batch);
		rc = judge_duplicate(p, i, s, &o->op.batch);
	}
	return rc;
}

/* Preconditions of a key, against the state before this write. */
static int judge_key(struct plan *p, uint32_t i, uint64_t stream)
{
	const struct firn_op *op = p->p[i].src;
	const struct firn_op_kv *k = &op->u.kv;
	bool check = op->kind == FIRN_OP_KV_CHECK;
	if (!check && !(op->flags & (FIRN_KV_IF_ABSENT | FIRN_KV_IF_REV)))
		return 0;
	const struct kv_value *now = kv_get_assigned(p->v->kv, stream, k->key, k->key_len);
	bool ok;
	if (op->flags & FIRN_KV_IF_ABSENT)
		ok = !now;
	else if (op->flags & FIRN_KV_IF_REV)
		ok = now && now->rev == k->rev;
	else
		ok = now && now->len == k->value_len && !memcmp(now->data, k->value, now->len);
	return ok ? 0 : plan_refuse(p, i, FIRN_ECONFLICT, now ? now->rev : 0);
}

/* Key or value with the base offset stamped in: a copy, since the caller's bytes are not ours. */
static int stamp_kv(struct plan *p, uint32_t i)
{
	struct planned *o = &p->p[i];
	const struct firn_op_kv *k = &o->src->u.kv;
	bool key = o->src->flags & FIRN_KV_STAMP_KEY;
	if (!(o->src->flags & (FIRN_KV_STAMP_KEY | FIRN_KV_STAMP_VALUE)))
		return 0;
	uint64_t base;
	int rc = stamp_base(p, i, false, &base);
	if (rc)
		return rc;
	o->copy = mem_dup(p->v->engine->env, key ? k->key : k->value,
	                  key ? k->key_len : k->value_len);
	if (!o->copy)
		return FIRN_ENOMEM;
	be64_put(o->copy + k->stamp_pos, base);
	if (key)
		o->op.key = o->copy;
	else
		o->op.value = o->copy;
	return 0;
}

/* Pairs live in memory. What is there can be deleted when there is no room for more. */
static uint64_t pairs_room(const struct volume *v)
{
	uint64_t max = v->engine->memory_bytes / 2, used = kv_bytes(v->kv);
	max = max < PAIRS_MAX ? max : PAIRS_MAX;
	return used < max ? max - used : 0;
}

int plan_kv(struct plan *p, uint32_t i)
{
	struct planned *o = &p->p[i];
	const struct firn_op_kv *k = &o->src->u.kv;
	uint64_t stream = o->src->stream;
	if (stream != FIRN_STREAM_VOLUME) {
		struct stream *s = plan_stream(p, i);
		if (!s)
			return p->code;
		stream = s->id;
	}
	int rc = judge_key(p, i, stream);
	if (rc || o->src->kind == FIRN_OP_KV_CHECK)
		return rc;
	o->op.stream = stream;
	o->op.key = k->key;
	o->op.key_len = k->key_len;
	o->done.stream = stream;
	if (o->src->kind == FIRN_OP_KV_DELETE) {
		o->op.kind = WAL_OP_KV_DELETE;
		o->op.key_to = k->key_to;
		o->op.key_to_len = k->key_to ? k->key_to_len : 0;
		return 0;
	}
	if (k->key_len + k->value_len > pairs_room(p->v))
		return plan_refuse(p, i, FIRN_ETOOBIG, pairs_room(p->v));
	o->op.value = k->value;
	o->op.value_len = k->value_len;
	rc = stamp_kv(p, i);
	rc = rc ? rc
	        : kv_prepare(p->v->kv, stream, o->op.key, k->key_len, o->op.value, k->value_len,
	                     &o->kv);
	if (!rc)
		o->op.kind = WAL_OP_KV_PUT;
	return rc;
}

static int put_config(struct plan *p, struct planned *o, const struct firn_stream_config *c)
{
	if (!c)
		return 0;
	struct buf b;
	buf_init(&b, p->v->engine->env);
	config_encode(c, &b);
	o->copy = b.data;
	o->op.config = b.data;
	o->op.config_len = (uint32_t)b.len;
	return b.failed ? FIRN_ENOMEM : 0;
}

static int plan_create(struct plan *p, uint32_t i)
{
	struct planned *o = &p->p[i];
	struct volume *v = p->v;
	const struct firn_op_stream *c = &o->src->u.stream;
	struct stream *s = volume_stream_named(v, c->name, c->name_len);
	if (s && !(o->src->flags & FIRN_CREATE_OPEN)) {
		p->real = s->id;
		return plan_refuse(p, i, FIRN_EEXIST, s->id);
	}
	if (s) {
		p->made_last = o->s = s;
		o->done = (struct firn_done){ s->id, next_of(p, s), next_of(p, s) };
		return 0;
	}
	if (c->at > OFFSET_MAX / 2)
		return plan_refuse(p, i, FIRN_ERANGE, 0);
	uint64_t id = v->epoch << 40 | v->next_stream;
	if (v->next_stream >> 40)
		return plan_refuse(p, i, FIRN_EFULL, 0);
	s = stream_new(v, id, c->name, c->name_len, c->at);
	if (!s)
		return FIRN_ENOMEM;
	v->next_stream++;
	s->creating = true;
	p->made_last = o->s = s;
	o->made = true;
	o->op.kind = WAL_OP_CREATE;
	o->op.stream = id;
	o->op.at = c->at;
	o->op.name = c->name;
	o->op.name_len = c->name_len;
	o->done = (struct firn_done){ id, c->at, c->at };
	int rc = put_config(p, o, c->config);
	plan_limits_take(o);
	return rc;
}

int plan_stream_op(struct plan *p, uint32_t i)
{
	struct planned *o = &p->p[i];
	if (o->src->kind == FIRN_OP_CREATE)
		return plan_create(p, i);
	struct stream *s = plan_stream(p, i);
	if (!s)
		return p->code;
	o->s = s;
	o->op.stream = s->id;
	o->done.stream = s->id;
	uint64_t from = o->src->u.range.from;
	switch (o->src->kind) {
	case FIRN_OP_TRIM:
		if (from > next_of(p, s))
			return plan_refuse(p, i, FIRN_ERANGE, next_of(p, s));
		o->op.at = from;
		o->done.offset = o->done.end = from > s->start_assigned ? from : s->start_assigned;
		o->op.kind = from > s->start_assigned ? WAL_OP_TRIM : 0;
		return 0;
	case FIRN_OP_CONFIG:
		o->op.kind = WAL_OP_CONFIG;
		s->tx_config_id = p->tx;
		s->tx_config_op = i;
		return put_config(p, o, o->src->u.stream.config);
	default:
		o->op.kind = WAL_OP_DELETE;
		s->deleting = true;
		stream_unname(p->v, s); /* a CREATE further on may take the name */
		return 0;
	}
}
