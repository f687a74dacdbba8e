/* What the disk has confirmed becomes visible: records are applied to the durable state in rev order, and
 * who waits is told. The same application replays a WAL at attach. */
#include "engine/api/engine.h"
#include "engine/base/mem.h"
#include "engine/base/ring.h"
#include "engine/gc/retain.h"
#include "engine/read/read.h"
#include <string.h>

static int apply_append(struct volume *v, const struct wal_op *op, uint64_t lsn, uint32_t len,
                        bool replay)
{
	const struct batch *b = &op->batch;
	struct stream *s = volume_stream(v, op->stream);
	if (!s)
		return FIRN_ECORRUPT;
	int rc = 0;
	uint64_t end = b->offset + b->n_offsets;
	struct tail_entry *last =
	        s->tail_n ? (struct tail_entry *)(uintptr_t)stream_tail_at(s, s->tail_n - 1) : NULL;
	if (last && last->lsn == lsn) {
		last->last_op = op->pos;
		if (!replay || v->inheriting)
			wal_place_more(&v->engine->wal, s->place_at, end, op->pos);
	} else {
		struct tail_entry e = { b->offset, lsn, op->pos, len };
		struct wal_place p = { v->volume_no, op->pos, s->id, b->offset, end, lsn, len, 0 };
		rc = stream_tail_push(v, s, &e);
		if (!replay || v->inheriting)
			s->place_at = wal_place_note(&v->engine->wal, &p);
	}
	if (rc) /* nobody would find it: whoever reads up to there would take it for damage */
		return rc;
	s->durable = end;
	s->bytes += b->payload_len;
	s->first_ms = s->first_ms ? s->first_ms : b->append_ms;
	s->last_ms = b->append_ms;
	if (replay) {
		s->assigned = s->durable;
		s->last_append_ms = b->append_ms;
		struct dedup_limits lim;
		stream_limits(s, &lim);
		if (b->flags & BATCH_PRODUCER || b->key_len)
			rc = dedup_remember(&s->dedup, v->engine->env, &lim, b);
	}
	stream_follow(s);
	read_notify(v, s);
	return rc;
}

/* A batch that is put back: its stream went on above it long ago. It is found once it is stored. */
static int apply_fill(struct volume *v, const struct wal_op *op)
{
	struct stream *s = volume_stream(v, op->stream);
	if (!s)
		return FIRN_ECORRUPT;
	s->bytes += op->batch.payload_len;
	return 0;
}

static int apply_config(struct volume *v, struct stream *s, const struct wal_op *op, bool replay)
{
	struct firn_stream_config *c = NULL;
	if (op->config_len) {
		c = mem_zalloc(v->engine->env, sizeof *c);
		if (!c)
			return FIRN_ENOMEM;
		if (config_decode(op->config, op->config_len, c)) {
			mem_free(v->engine->env, c);
			return FIRN_ECORRUPT;
		}
	}
	mem_free(v->engine->env, s->config);
	s->config = c;
	if (replay)
		config_limits(c, &s->limits);
	retain_config(v, s);
	stream_follow(s);
	read_notify(v, s);
	return 0;
}

static int apply_create(struct volume *v, const struct wal_op *op, bool replay)
{
	struct stream *s = volume_stream(v, op->stream);
	if (replay && !s) {
		s = stream_new(v, op->stream, op->name, op->name_len, op->at);
		uint64_t counter = op->stream & ((UINT64_C(1) << 40) - 1);
		if (s && op->stream >> 40 == v->epoch && counter >= v->next_stream)
			v->next_stream = counter + 1;
	}
	if (!s)
		return replay ? FIRN_ENOMEM : FIRN_ECORRUPT;
	s->creating = false;
	v->n_live++;
	return apply_config(v, s, op, replay);
}

static int apply_delete(struct volume *v, struct stream *s, uint64_t rev)
{
	if (s->deleted)
		return 0;
	s->deleting = s->deleted = true;
	s->delete_rev = rev;
	v->n_live--;
	stream_unname(v, s);
	kv_apply_delete_stream(v->kv, s->id, rev);
	read_stream_gone(s);
	return 0;
}

static int apply_trim(struct volume *v, struct stream *s, uint64_t at, bool replay)
{
	if (at <= s->start)
		return 0;
	if (at >= s->durable)
		s->bytes = 0;
	s->start = at;
	retain_trimmed(s);
	if (replay && at > s->start_assigned)
		s->start_assigned = at;
	stream_follow(s);
	read_notify(v, s);
	return 0;
}

static int apply_op(struct volume *v, const struct wal_op *op, uint64_t rev, uint64_t lsn,
                    uint32_t len, bool replay)
{
	struct stream *s;
	switch (op->kind) {
	case WAL_OP_APPEND:
		return apply_append(v, op, lsn, len, replay);
	case WAL_OP_FILL:
		return apply_fill(v, op);
	case WAL_OP_KV_PUT:
		return kv_apply(v->kv, op->stream, op->key, op->key_len, op->value, op->value_len,
		                rev);
	case WAL_OP_KV_DELETE:
		kv_apply_delete(v->kv, op->stream, op->key, op->key_len, op->key_to, op->key_to_len,
		                rev);
		return 0;
	case WAL_OP_CREATE:
		return apply_create(v, op, replay);
	default:
		s = volume_stream(v, op->stream);
		if (!s)
			return FIRN_ECORRUPT;
		if (op->kind == WAL_OP_TRIM)
			return apply_trim(v, s, op->at, replay);
		if (op->kind == WAL_OP_CONFIG)
			return apply_config(v, s, op, replay);
		return apply_delete(v, s, rev);
	}
}

int volume_group_push(struct volume *v, const struct volume_group *g)
{
	void *group = v->group;
	uint32_t was = v->group_cap;
	if (ring_grow(v->engine->env, &group, &v->group_cap, &v->group_head, v->group_n, sizeof *g,
	              64))
		return FIRN_ENOMEM;
	v->group = group;
	if (v->group_cap != was)
		volume_charge(v, (int64_t)((v->group_cap - was) * sizeof *g));
	v->group[(v->group_head + v->group_n++) & (v->group_cap - 1)] = *g;
	share_add(v, (int64_t)g->bytes);
	return 0;
}

int publish_record(struct volume *v, const struct wal_record *r, uint64_t lsn, uint32_t len,
                   bool replay)
{
	struct wal_op op;
	int rc = 0;
	for (const uint8_t *at = NULL; !rc && (at = wal_op_next(r, at, &op)) != NULL;)
		rc = apply_op(v, &op, r->rev, lsn, len, replay);
	v->rev_durable = r->rev;
	if (replay)
		v->rev_assigned = v->rev_published = r->rev;
	return rc;
}

static void tell(struct waiter *w, int code)
{
	w->ev.code = code;
	if (code) {
		firn_release(w->ev.result);
		w->ev.result = NULL;
	}
	if (!code && w->silent)
		complete_silent(&w->to, &w->ev);
	else
		complete(&w->to, &w->ev);
}

static void wake_durable(struct volume *v, int code)
{
	while (v->ring_n) {
		struct waiter *w = &v->ring[v->ring_head];
		if (!code && w->rev > v->rev_durable)
			break;
		tell(w, code);
		v->ring_head = (v->ring_head + 1) & (v->ring_cap - 1);
		v->ring_n--;
	}
}

/* Of the stored list, who ends: with 0 those whose mark is reached; with FIRN_ETIMEDOUT flushes that are
 * late; with another code those above a rev (0: everybody). */
static bool ends(const struct volume *v, const struct waiter *w, int code, uint64_t above,
                 uint64_t now)
{
	if (!code && w->look)
		return w->look <= v->look;
	if (!code)
		return w->rev <= (w->durable ? v->rev_durable : v->rev_stored);
	return code == FIRN_ETIMEDOUT ? w->deadline_ns && w->deadline_ns <= now : w->rev > above;
}

static void wake_stored(struct volume *v, int code, uint64_t above)
{
	const struct firn_env *env = v->engine->env;
	struct waiter **link = &v->stored_first, *w, *last = NULL;
	uint64_t now = code == FIRN_ETIMEDOUT ? env->mono_ns(env->ctx) : 0;
	while ((w = *link) != NULL) {
		if (!ends(v, w, code, above, now)) {
			last = w;
			link = &w->next;
			continue;
		}
		*link = w->next;
		if (w->look)
			w->ev.rev = v->rev_stored;
		tell(w, code && w->ev.kind == FIRN_REQ_WRITE ? FIRN_EUNKNOWN : code);
		mem_free(env, w);
	}
	v->stored_last = last;
}

void publish_looked(struct volume *v)
{
	wake_stored(v, 0, 0);
}

void volume_fail_waiters(struct volume *v, int code)
{
	wake_durable(v, FIRN_EUNKNOWN);
	wake_stored(v, code, 0);
}

void volume_expire(struct volume *v)
{
	pthread_mutex_lock(&v->lock);
	wake_stored(v, FIRN_ETIMEDOUT, 0);
	pthread_mutex_unlock(&v->lock);
}

static const struct wal_span *span_of(const struct wal_group *g, uint32_t volume_no)
{
	for (uint32_t i = 0; i < g->n_span; i++)
		if (g->span[i].volume_no == volume_no)
			return &g->span[i];
	return NULL;
}

static void wrong(struct volume *v, int rc)
{
	/* Memory, or our own bug: the state in memory is no longer that of the disk. Stop taking writes; a
	 * new attach reads all of it again. */
	v->failed = true;
	engine_log(v->engine, FIRN_LOG_ERROR, "admit", v->name, firn_code_name(rc));
}

/* The acks of one volume go out in one go, behind its last record of the group. */
static void leave(struct volume *v)
{
	if (!v)
		return;
	wake_durable(v, 0);
	if (v->stored_first)
		wake_stored(v, 0, 0);
	if (v->failed) { /* what is behind is not applied any more: nobody would tell its callers */
		wake_durable(v, FIRN_EUNKNOWN);
		wake_stored(v, FIRN_EIO, v->rev_durable);
	}
	bool full = v->unstored_bytes - v->built_bytes >= v->segment_bytes;
	bool kick = (full && !v->build_asked) || v->upload_now || v->detaching;
	v->build_asked = full;
	struct engine *e = v->engine;
	pthread_mutex_unlock(&v->lock); /* a detach that waited for this may free the volume now */
	if (kick)
		upload_kick(e);
}

/* The group joins the volume's list before its first record is applied: whole, so that a round which
 * takes it takes all of it. */
static int apply_one(struct volume *v, const struct wal_group *g, const struct wal_span *s,
                     const struct wal_record *r)
{
	if (r->rev == s->rev_first) {
		struct volume_group vg = { g->lsn,   s->rev_first, s->rev_last,
			                   s->bytes, r->append_ms, g->len,
			                   0 };
		struct wal_place p = { .volume_no = v->volume_no,
			               .op = (uint32_t)s->bytes,
			               .base = s->rev_first,
			               .end = s->rev_last + 1,
			               .lsn = g->lsn,
			               .len = g->len };
		int rc = volume_group_push(v, &vg);
		if (rc)
			return rc;
		(void)wal_place_note(&v->engine->wal, &p);
	}
	return publish_record(v, r, g->lsn, g->len, v->inheriting);
}

void publish_group(struct engine *e, struct wal_group *g)
{
	atomic_store(&e->publishing, true);
	struct volume *v = NULL;
	const struct wal_span *s = NULL;
	struct wal_record r;
	uint32_t pos = g->n_records ? WAL_GROUP_HEADER : 0;
	while (pos && (pos = wal_record_next(g->data, g->used, pos, &r)) != 0) {
		if (r.type != WAL_WRITE)
			continue;
		if (!s || s->volume_no != r.volume_no) {
			leave(v);
			s = span_of(g, r.volume_no);
			v = s ? s->volume : NULL;
			if (v)
				pthread_mutex_lock(&v->lock);
		}
		int rc = v && !v->failed ? apply_one(v, g, s, &r) : 0;
		if (!v || v->failed || rc)
			wal_place_miss(&e->wal);
		if (v)
			v->rev_published = r.rev;
		if (rc)
			wrong(v, rc);
	}
	leave(v);
	atomic_store(&e->publishing, false);
	call_wake(e);
	engine_room(e);
}

void publish_poison(struct engine *e)
{
	pthread_rwlock_rdlock(&e->volumes_lock);
	for (uint32_t i = 0; i < e->n_volume; i++) {
		struct volume *v = e->volume[i];
		pthread_mutex_lock(&v->lock);
		v->failed = true;
		wake_durable(v, FIRN_EUNKNOWN);
		wake_stored(v, FIRN_EIO, v->rev_durable);
		pthread_mutex_unlock(&v->lock);
	}
	pthread_rwlock_unlock(&e->volumes_lock);
	engine_room(e);
}

void publish_stored(struct volume *v, uint64_t bytes, const struct volume_group *last)
{
	share_add(v, -(int64_t)bytes);
	while (v->group_n && v->group[v->group_head].rev_last <= v->rev_stored) {
		v->group_head = (v->group_head + 1) & (v->group_cap - 1);
		v->group_n--;
	}
	uint64_t listed = v->group_n ? v->group[v->group_head].rev_first : v->rev_durable + 1;
	v->group_old = v->group_old && v->rev_stored + 1 < listed;
	v->old_lsn = last->lsn;
	v->old_ms = last->append_ms;
	v->share_checked = 0;
	wake_stored(v, 0, 0);
}
