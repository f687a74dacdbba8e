/* Admission of a stream that comes back (salvage/made.c): it was made and written in a WAL that was given up, and never
 * stored. Its CREATE and its batches are writes as any, with revs, an epoch and an id of today; but the batches keep
 * offset, times, key and producer, and nothing of that is judged again. What producers and keys are to be known by
 * later is remembered, as a replay would. Never blocks. */
#include "engine/admit/put_back.h"
#include "engine/api/engine.h"
#include "engine/base/error.h"

enum { CREATE, APPEND, TRIM, OPS };

/* Its operations in this order, kind 0: it has none. */
struct back {
	struct volume *v;
	struct stream *s;
	bool made;
	struct wal_op op[OPS];
	uint32_t n, meta;
	uint64_t payload;
};

static void count(struct back *k)
{
	for (int i = 0; i < OPS; i++) {
		if (!k->op[i].kind)
			continue;
		k->n++;
		k->meta += (uint32_t)wal_op_len(&k->op[i]);
	}
	k->payload = k->op[APPEND].kind ? k->op[APPEND].batch.payload_len : 0;
}

static int make(struct back *k, const struct admit_made *m, struct firn_error *err)
{
	struct volume *v = k->v;
	struct firn_stream_config c = { 0 };
	uint64_t id = v->epoch << 40 | v->next_stream;
	if (volume_stream_named(v, m->name, m->name_len))
		return fail(err, FIRN_EEXIST, 0, "admit", "%s: the name is taken", v->name);
	if (v->next_stream >> 40)
		return fail(err, FIRN_ERANGE, 0, "admit", "%s: no number is left", v->name);
	if (m->config_len && config_decode(m->config, m->config_len, &c))
		return fail(err, FIRN_ECORRUPT, 0, "admit", "a configuration makes no sense");
	k->s = stream_new(v, id, m->name, m->name_len, m->at);
	if (!k->s)
		return fail(err, FIRN_ENOMEM, 0, "admit", "no memory");
	v->next_stream++;
	k->made = k->s->creating = true;
	config_limits(m->config_len ? &c : NULL, &k->s->limits);
	k->op[CREATE] = (struct wal_op){ .kind = WAL_OP_CREATE,
		                         .stream = id,
		                         .at = m->at,
		                         .name = m->name,
		                         .name_len = m->name_len,
		                         .config = m->config,
		                         .config_len = m->config_len };
	if (m->start > m->at)
		k->op[TRIM] = (struct wal_op){ .kind = WAL_OP_TRIM, .stream = id, .at = m->start };
	return 0;
}

static int take(struct back *k, const struct batch *from, struct firn_error *err)
{
	const struct stream *s = k->s;
	struct batch *b = &k->op[APPEND].batch;
	if (from->offset < s->assigned)
		return fail(err, FIRN_ECONFLICT, 0, "admit", "%s: somebody writes %s meanwhile",
		            k->v->name, s->name);
	if (from->offset + from->n_offsets - s->stored > LOST_SKIP)
		return fail(err, FIRN_ERANGE, 0, "admit", "%s: offset %llu of %s is too far away",
		            k->v->name, (unsigned long long)from->offset, s->name);
	*b = *from;
	b->stream = k->op[APPEND].stream = s->id;
	b->flags &= (uint16_t)~BATCH_SKIPPED_BEFORE;
	b->flags |= b->offset > s->assigned ? BATCH_SKIPPED_BEFORE : 0;
	b->append_ms = b->append_ms > s->last_append_ms ? b->append_ms : s->last_append_ms;
	k->op[APPEND].kind = WAL_OP_APPEND;
	return 0;
}

/* Positions, back links, and the assigned state. Cannot fail: who is short of memory here knows a producer less. */
static void assign(struct back *k, const struct wal_slot *slot)
{
	struct stream *s = k->s;
	struct wal_op *append = &k->op[APPEND];
	uint32_t pos = slot->pos + WAL_RECORD_HEADER;
	uint64_t rev = ++k->v->rev_assigned;
	for (int i = 0; i < OPS; i++) {
		k->op[i].pos = pos;
		pos += k->op[i].kind ? (uint32_t)wal_op_len(&k->op[i]) : 0;
	}
	if (k->op[TRIM].kind)
		s->start_assigned = k->op[TRIM].at;
	if (!append->kind)
		return;
	struct batch *b = &append->batch;
	append->prev = s->group_seq == slot->group->seq ? s->group_op : 0;
	s->group_seq = slot->group->seq;
	s->group_op = append->pos;
	b->rev = rev;
	b->epoch = k->v->epoch;
	s->assigned = b->offset + b->n_offsets;
	s->last_append_ms = b->append_ms;
	if (b->flags & BATCH_PRODUCER || b->key_len)
		(void)dedup_remember(&s->dedup, k->v->engine->env, &s->limits, b);
}

static int admit_locked(struct back *k, const struct admit_made *m, const struct batch *b,
                        uint64_t stream, struct wal_slot *slot, struct firn_error *err)
{
	struct volume *v = k->v;
	int rc = admit_may_write(v, err);
	if (rc)
		return rc;
	k->s = m ? NULL : volume_stream(v, stream);
	if (!m && (!k->s || k->s->deleting || k->s->deleted))
		return fail(err, FIRN_ENOENT, 0, "admit", "%s: stream %llu was deleted meanwhile",
		            v->name, (unsigned long long)stream);
	rc = m ? make(k, m, err) : 0;
	rc = rc || !b ? rc : take(k, b, err);
	if (!rc) {
		count(k);
		rc = put_back_reserve(v, WAL_RECORD_HEADER + k->meta + k->payload, k->n, slot, err);
	}
	if (!rc) {
		assign(k, slot);
	} else if (k->made) {
		stream_free(v, k->s);
		v->next_stream--;
	}
	return rc;
}

int admit_back(struct volume *v, const struct admit_made *m, const struct batch *b,
               uint64_t *stream, struct firn_error *err)
{
	struct back k = { .v = v };
	struct wal_slot slot = { 0 };
	pthread_mutex_lock(&v->lock);
	int rc = admit_locked(&k, m, b, *stream, &slot, err);
	uint64_t rev = v->rev_assigned;
	*stream = rc ? *stream : k.s->id;
	pthread_mutex_unlock(&v->lock);
	if (rc)
		return rc;
	put_back_write(v, rev, k.op, OPS, b, &slot);
	return 0;
}
