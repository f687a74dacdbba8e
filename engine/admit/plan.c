#include "engine/admit/plan.h"
#include "engine/api/engine.h"
#include "engine/base/le.h"
#include "engine/base/mem.h"
#include "engine/base/sum.h"
#include <string.h>

const struct firn_op *plan_src(const struct firn_write *w, uint32_t i)
{
	return (const struct firn_op *)(const void *)((const char *)w->op + (size_t)i * w->op_size);
}

int plan_refuse(struct plan *p, uint32_t i, int code, uint64_t real)
{
	p->code = code;
	p->at_op = i + 1;
	p->real = real;
	return code;
}

/* The stream of an operation, if it takes operations; else the plan is refused. */
struct stream *plan_stream(struct plan *p, uint32_t i)
{
	uint64_t id = p->p[i].src->stream;
	struct stream *s = id == FIRN_STREAM_NEW ? p->made_last : volume_stream(p->v, id);
	if (s && !s->deleting && !s->deleted)
		return s;
	(void)plan_refuse(p, i, FIRN_ENOENT, 0);
	return NULL;
}

int plan_open(struct plan *p, struct volume *v, const struct firn_write *w)
{
	memset(p, 0, sizeof *p);
	p->v = v;
	p->w = w;
	p->n = w->n_op;
	p->now_ms = v->engine->env->now_ms(v->engine->env->ctx);
	p->next_stream = v->next_stream;
	p->tx = ++v->write_seq;
	p->p = p->n == 1 ? &p->one : mem_zalloc(v->engine->env, p->n * sizeof *p->p);
	return p->p ? 0 : FIRN_ENOMEM;
}

void plan_close(struct plan *p)
{
	const struct firn_env *env = p->v->engine->env;
	for (uint32_t i = 0; p->p && i < p->n; i++)
		mem_free(env, p->p[i].copy);
	if (p->p != &p->one)
		mem_free(env, p->p);
}

int plan_ops(struct plan *p)
{
	for (uint32_t i = 0; i < p->n; i++) {
		struct planned *o = &p->p[i];
		o->src = plan_src(p->w, i);
		int rc;
		if (o->src->kind == FIRN_OP_APPEND)
			rc = plan_append(p, i);
		else if (o->src->kind >= FIRN_OP_KV_PUT && o->src->kind <= FIRN_OP_KV_CHECK)
			rc = plan_kv(p, i);
		else
			rc = plan_stream_op(p, i);
		if (rc || p->duplicate)
			return rc ? rc : plan_known(p, i + 1);
		if (!o->op.kind)
			continue;
		p->n_write++;
		p->meta_len += wal_op_len(&o->op);
		p->payload_len += o->op.kind == WAL_OP_APPEND ? o->op.batch.payload_len : 0;
	}
	return 0;
}

void plan_undo(struct plan *p)
{
	for (uint32_t i = p->n; i-- > 0;) {
		struct planned *o = &p->p[i];
		if (o->kv.node)
			kv_drop(p->v->kv, &o->kv);
		if (o->made)
			stream_free(p->v, o->s);
		else if (o->op.kind == WAL_OP_DELETE) {
			o->s->deleting = false;
			stream_name_back(p->v, o->s);
		}
	}
	p->v->next_stream = p->next_stream;
}

static void assign_append(struct plan *p, struct planned *o, uint64_t rev)
{
	struct stream *s = o->s;
	struct batch *b = &o->op.batch;
	b->rev = rev;
	b->epoch = p->v->epoch;
	s->assigned = b->offset + b->n_offsets;
	s->last_append_ms = b->append_ms;
	if (b->flags & BATCH_PRODUCER || b->key_len) {
		/* room was made by the check */
		(void)dedup_remember(&s->dedup, p->v->engine->env, &s->limits, b);
	}
}

static void assign_one(struct plan *p, struct planned *o, uint64_t rev)
{
	struct volume *v = p->v;
	switch (o->op.kind) {
	case WAL_OP_APPEND:
		assign_append(p, o, rev);
		break;
	case WAL_OP_KV_PUT:
		kv_assign(v->kv, &o->kv, rev);
		break;
	case WAL_OP_KV_DELETE:
		kv_assign_delete(v->kv, o->op.stream, o->op.key, o->op.key_len, o->op.key_to,
		                 o->op.key_to_len, rev);
		break;
	case WAL_OP_TRIM:
		if (o->op.at > o->s->start_assigned)
			o->s->start_assigned = o->op.at;
		break;
	case WAL_OP_CONFIG:
		plan_limits_take(o);
		break;
	case WAL_OP_DELETE:
		kv_assign_delete_stream(v->kv, o->op.stream, rev);
		break;
	default:
		break;
	}
}

/* Positions and back links are settled here, under the lock; the bytes follow without it. */
void plan_assign(struct plan *p, uint64_t rev, struct wal_slot *slot)
{
	uint32_t pos = slot->pos + WAL_RECORD_HEADER;
	for (uint32_t i = 0; i < p->n; i++) {
		struct planned *o = &p->p[i];
		if (!o->op.kind)
			continue;
		o->op.pos = pos;
		if (o->op.kind == WAL_OP_APPEND) {
			o->op.prev = o->s->group_seq == slot->group->seq ? o->s->group_op : 0;
			o->s->group_seq = slot->group->seq;
			o->s->group_op = pos;
		}
		assign_one(p, o, rev);
		pos += (uint32_t)wal_op_len(&o->op);
	}
}

static void fill_payload(struct planned *o, uint8_t *at)
{
	const struct firn_op_append *a = &o->src->u.append;
	uint8_t *to = at;
	for (uint32_t i = 0; i < a->n_iov; i++) {
		if (a->iov[i].iov_len)
			memcpy(to, a->iov[i].iov_base, a->iov[i].iov_len);
		to += a->iov[i].iov_len;
	}
	if (o->stamped)
		be64_put(at + o->stamp_pos, o->stamp);
	o->op.batch.payload_sum = sum64(at, o->op.batch.payload_len);
}

void plan_fill(struct plan *p, uint64_t rev, struct wal_slot *slot)
{
	uint8_t *group = slot->group->data;
	uint32_t meta_len = (uint32_t)(WAL_RECORD_HEADER + p->meta_len),
	         payload = slot->pos + meta_len;
	for (uint32_t i = 0; i < p->n; i++) {
		struct planned *o = &p->p[i];
		if (!o->op.kind)
			continue;
		uint32_t payload_pos = 0;
		if (o->op.kind == WAL_OP_APPEND && o->op.batch.payload_len) {
			fill_payload(o, group + payload);
			payload_pos = payload - o->op.pos;
			payload += o->op.batch.payload_len;
		} else if (o->op.kind == WAL_OP_APPEND) {
			o->op.batch.payload_sum = sum64("", 0);
		}
		wal_op_put(group, o->op.pos, &o->op, payload_pos);
	}
	uint32_t len = (uint32_t)align_up(payload - slot->pos, 8);
	memset(group + payload, 0, slot->pos + len - payload);
	struct wal_record r = { .len = len,
		                .meta_len = meta_len,
		                .volume_no = p->v->volume_no,
		                .pos = slot->pos,
		                .type = WAL_WRITE,
		                .n_ops = (uint16_t)p->n_write,
		                .nonce = p->v->nonce64,
		                .rev = rev,
		                .epoch = p->v->epoch,
		                .append_ms = p->now_ms };
	wal_record_put(group, &r);
}
