/* Admission: a write is judged, numbered, given its place in the WAL, and copied there. Never blocks.
 *
 *   lock volume -> plan (judge) -> reserve (room, place) -> assign -> unlock -> copy + checksum -> filled
 *
 * After `reserve` nothing can fail: what a refusal would have to undo is only scratch. */
#include "engine/api/engine.h"
#include "engine/admit/plan.h"
#include "engine/base/error.h"
#include "engine/base/le.h"
#include "engine/base/mem.h"
#include "engine/base/ring.h"
#include <string.h>

int admit_may_write(const struct volume *v, struct firn_error *err)
{
	/* Being fenced ends what was in flight as a failure does. */
	bool fenced = v->state == FIRN_STATE_FENCED;
	if (v->failed && !fenced) {
		int rc = fail(err, FIRN_EIO, 0, "admit", "%s: the WAL failed; reopen the engine",
		              v->name);
		return fail_flags(err, rc, FIRN_ERR_FATAL);
	}
	if (v->detaching)
		return fail(err, FIRN_ESHUTDOWN, 0, "admit", "%s is being detached", v->name);
	if (fenced)
		return fail(err, FIRN_EFENCED, 0, "admit", "%s has another writer", v->name);
	if (v->stopped)
		return fail(err, FIRN_EREADONLY, 0, "admit", "%s: the store went backwards",
		            v->name);
	if (v->read_only)
		return fail(err, FIRN_EREADONLY, 0, "admit", "%s is attached read-only", v->name);
	return 0;
}

static int waiter_room(struct volume *v)
{
	void *ring = v->ring;
	if (ring_grow(v->engine->env, &ring, &v->ring_cap, &v->ring_head, v->ring_n,
	              sizeof *v->ring, 64))
		return FIRN_ENOMEM;
	v->ring = ring;
	return 0;
}

/* The first APPEND, else the first CREATE, else the first operation, speaks for the write. */
static const struct planned *speaker(const struct plan *p)
{
	const struct planned *create = NULL;
	for (uint32_t i = 0; i < p->n; i++) {
		if (p->p[i].src && p->p[i].src->kind == FIRN_OP_APPEND)
			return &p->p[i];
		if (!create && p->p[i].src && p->p[i].src->kind == FIRN_OP_CREATE)
			create = &p->p[i];
	}
	return create ? create : &p->p[0];
}

static void event_of(const struct plan *p, uint64_t rev, struct firn_event *ev)
{
	const struct planned *o = speaker(p);
	memset(ev, 0, sizeof *ev);
	ev->kind = FIRN_REQ_WRITE;
	ev->rev = rev;
	ev->stream = o->done.stream;
	ev->offset = o->done.offset;
	ev->end = o->done.end;
	ev->timestamp_ms = o->op.kind == WAL_OP_APPEND ? o->op.batch.append_ms : 0;
	if (p->duplicate) {
		ev->flags = FIRN_F_DUPLICATE;
		ev->stream = p->p[p->dup_at].done.stream;
		ev->offset = p->first.offset;
		ev->end = p->first.offset + p->first.n_offsets;
		ev->rev = p->first.rev;
		ev->timestamp_ms = 0;
	}
}

static int written_of(struct plan *p, struct firn_event *ev)
{
	if (p->n < 2)
		return 0;
	struct firn_written *w = result_new(p->v->engine->account,
	                                    sizeof *w + p->n * sizeof(struct firn_done), NULL, 0);
	if (!w)
		return FIRN_ENOMEM;
	struct firn_done *done = (struct firn_done *)(w + 1);
	for (uint32_t i = 0; i < p->n; i++)
		if (p->p[i].known || !p->duplicate)
			done[i] = p->p[i].done;
	w->struct_size = sizeof *w;
	w->n = p->n;
	w->size = sizeof *done;
	w->op = done;
	ev->result = w;
	return 0;
}

int admit_room(struct volume *v, uint32_t len, uint32_t n_ops, struct wal_slot *slot, bool *refused)
{
	*refused = volume_refuses(v) || v->rev_assigned - v->rev_stored >= LOST_SKIP;
	return *refused ? FIRN_EFULL
	                : wal_reserve(&v->engine->wal, len, n_ops, v, v->volume_no,
	                              v->rev_assigned + 1, slot);
}

static int reserve(struct plan *p, struct wal_slot *slot, struct firn_error *err)
{
	struct volume *v = p->v;
	bool refused;
	uint64_t len = WAL_RECORD_HEADER + p->meta_len + p->payload_len;
	uint32_t max = wal_record_max(&v->engine->wal, p->n_write);
	if (len > max || p->n_write > UINT16_MAX)
		return plan_refuse(p, 0, FIRN_ETOOBIG, max);
	int rc = admit_room(v, (uint32_t)len, p->n_write, slot, &refused);
	if (rc == FIRN_EIO)
		return fail_flags(err,
		                  fail(err, rc, 0, "admit", "the WAL failed; reopen the engine"),
		                  FIRN_ERR_FATAL);
	if (rc)
		return fail(
		        err, rc, 0, "admit", "%s: %s", v->name,
		        refused ? "more of the WAL is not stored yet than a volume or a store may take"
		        : rc == FIRN_ENOSPC ? "the disk of the WAL is full"
		        : rc == FIRN_EFULL  ? "WAL or memory budget used up"
		                            : "refused");
	return 0;
}

/* Locked. On success *slot says where to copy, if there is anything to copy. */
static int admit_locked(struct plan *p, const struct completion *to, struct wal_slot *slot,
                        struct firn_event *ev, bool *by_event, bool *done_now,
                        struct firn_error *err)
{
	struct volume *v = p->v;
	int rc = admit_may_write(v, err);
	if (rc)
		return rc;
	rc = waiter_room(v);
	rc = rc ? rc : plan_ops(p);
	uint64_t rev = v->rev_assigned + 1;
	bool write = !rc && !p->duplicate && p->n_write;
	struct waiter w = { .to = *to, .silent = p->w->req.flags & FIRN_REQ_SILENT };
	if (!rc) {
		w.rev = p->duplicate ? p->first.rev : write ? rev : v->rev_assigned;
		event_of(p, w.rev, &w.ev);
		rc = written_of(p, &w.ev);
	}
	bool stored = p->w->ack == FIRN_ACK_STORED;
	*done_now = p->w->ack == FIRN_ACK_ASSIGNED ||
	            (!write && (stored ? w.rev <= v->rev_stored : w.rev <= v->rev_durable));
	struct waiter *copy = NULL;
	if (!rc && stored && !*done_now && !(copy = mem_alloc(v->engine->env, sizeof *copy)))
		rc = FIRN_ENOMEM;
	if (!rc && write)
		rc = reserve(p, slot, err);
	if (rc || p->code) {
		mem_free(v->engine->env, copy);
		firn_release(w.ev.result);
		plan_undo(p);
		if (!p->code)
			return rc == FIRN_ENOMEM ? fail(err, rc, 0, "admit", "no memory") : rc;
		*by_event = true;
		*ev = (struct firn_event){ .kind = FIRN_REQ_WRITE,
			                   .code = p->code,
			                   .stream = p->p[p->at_op - 1].src->stream,
			                   .offset = p->real,
			                   .end = p->at_op };
		if (p->code == FIRN_EEXIST)
			ev->stream = p->real;
		return plan_refusal(p, err);
	}
	if (!write)
		plan_undo(p); /* nothing to do, or done already */
	else
		plan_assign(p, v->rev_assigned = rev, slot);
	for (uint32_t i = 0; write && i < p->n; i++)
		if (p->p[i].op.kind == WAL_OP_APPEND)
			w.ev.timestamp_ms = w.ev.timestamp_ms ? w.ev.timestamp_ms
			                                      : p->p[i].op.batch.append_ms;
	if (*done_now) {
		*ev = w.ev;
	} else if (copy) {
		*copy = w;
		volume_wait_push(v, copy);
		v->upload_now = true;
	} else {
		v->ring[(v->ring_head + v->ring_n++) & (v->ring_cap - 1)] = w;
	}
	return 0;
}

int admit_write(struct volume *v, const struct firn_write *w, const struct completion *to,
                struct firn_event *ev, bool *by_event, struct firn_error *err)
{
	struct plan p;
	struct wal_slot slot = { 0 };
	bool done_now = false;
	*by_event = false;
	pthread_mutex_lock(&v->lock);
	int rc = plan_open(&p, v, w);
	if (rc)
		(void)fail(err, rc, 0, "admit", "no memory");
	else
		rc = admit_locked(&p, to, &slot, ev, by_event, &done_now, err);
	uint64_t rev = v->rev_assigned;
	pthread_mutex_unlock(&v->lock);
	if (slot.group && !rc) {
		plan_fill(&p, rev, &slot);
		wal_filled(&v->engine->wal, &slot);
	}
	if (p.p)
		plan_close(&p);
	if (!rc && done_now) {
		if (w->req.flags & FIRN_REQ_SILENT)
			complete_silent(to, ev);
		else
			complete(to, ev);
	}
	return rc;
}
