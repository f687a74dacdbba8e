#include "tools/firn/sender.h"
#include "engine/base/error.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define STUCK_NS (10 * UINT64_C(1000000000))

int sender_open(struct sender *s, struct firn_engine *engine, struct firn_volume *volume,
                uint32_t depth, uint32_t ack, struct firn_error *err)
{
	memset(s, 0, sizeof *s);
	s->engine = engine;
	s->volume = volume;
	s->depth = s->n_free = depth;
	s->ack = ack;
	s->slot = calloc(depth, sizeof *s->slot);
	s->free_slot = calloc(depth, sizeof *s->free_slot);
	struct firn_cq_opts opts = { sizeof opts, depth };
	int rc = s->slot && s->free_slot
	                 ? firn_cq_open(engine, &opts, &s->cq, err)
	                 : fail(err, FIRN_ENOMEM, 0, "firn", "no memory for %u in flight", depth);
	if (rc) {
		free(s->slot);
		free(s->free_slot);
		return rc;
	}
	for (uint32_t i = 0; i < depth; i++)
		s->free_slot[i] = depth - 1 - i;
	s->err = (struct firn_error)FIRN_ERROR_INIT;
	s->begin_ns = mono_ns();
	return 0;
}

static void stop(struct sender *s, const struct firn_error *err)
{
	if (s->code)
		return;
	s->err = *err;
	s->code = err->code;
}

/* An event of a write that failed. */
static void failed(struct sender *s, const struct sender_slot *slot, const struct firn_event *ev)
{
	struct firn_error err = FIRN_ERROR_INIT;
	if (ev->result)
		err = *(const struct firn_error *)ev->result;
	else
		fail(&err, ev->code, 0, "firn", "append refused");
	fail_context(&err, ev->code, "stream %s", slot->stream->name);
	s->n_unknown += ev->code == FIRN_EUNKNOWN;
	stop(s, &err);
}

/* What was in flight has no outcome then, and why is worth more than that. */
static void tell_fence(struct sender *s)
{
	struct firn_volume_info info = { .struct_size = sizeof info };
	if (firn_volume_info(s->volume, &info) || info.state != FIRN_STATE_FENCED)
		return;
	s->code = fail(&s->err, FIRN_EFENCED, 0, "firn",
	               "epoch %" PRIu64 " is fenced: another engine has taken the volume; %" PRIu64
	               " appends in flight were not acked",
	               info.epoch, s->n_unknown);
}

static void finished(struct sender *s, const struct firn_event *ev, uint64_t now)
{
	if (ev->kind == FIRN_EV_WRITABLE)
		s->blocked = false;
	if (ev->kind != FIRN_REQ_WRITE)
		return;
	struct sender_slot *slot = &s->slot[ev->user_data];
	if (ev->code) {
		failed(s, slot, ev);
	} else {
		s->n_acked++;
		if (ev->flags & FIRN_F_DUPLICATE) {
			s->n_duplicate++;
		} else {
			hist_add(&s->latency, now - slot->begin_ns);
			s->bytes += slot->len;
		}
		if (s->acked)
			s->acked(s->arg, slot, ev);
	}
	s->free_slot[s->n_free++] = (uint32_t)ev->user_data;
}

void sender_reap(struct sender *s, uint32_t timeout_ms)
{
	struct firn_event ev[128];
	bool any = false;
	for (;;) {
		int n = firn_cq_reap(s->cq, ev, sizeof ev[0], 128, any ? 0 : timeout_ms);
		uint64_t now = mono_ns();
		for (int i = 0; i < n; i++) {
			finished(s, &ev[i], now);
			firn_release(ev[i].result);
		}
		any = any || n > 0;
		if (n < 128)
			break;
	}
	if (any && s->flush)
		s->flush(s->arg);
}

/* 1: taken; 0: no room at present; else a code. */
static int submit(struct sender *s, const struct sender_item *item, uint32_t at)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct iovec iov = { (void *)(uintptr_t)item->data, item->len };
	struct firn_op op = { .kind = FIRN_OP_APPEND, .stream = item->stream->id };
	struct firn_write w = FIRN_WRITE_INIT;
	op.u.append.iov = &iov;
	op.u.append.n_iov = item->len ? 1 : 0;
	op.u.append.timestamp_ms = item->timestamp_ms;
	if (item->producer_id) {
		op.flags = FIRN_APPEND_PRODUCER | FIRN_SEQ_RISING;
		op.u.append.producer_id = item->producer_id;
		op.u.append.producer_seq = item->producer_seq;
	}
	w.req.cq = s->cq;
	w.req.user_data = at;
	w.volume = s->volume;
	w.op = &op;
	w.n_op = 1;
	w.ack = s->ack;
	s->slot[at] = (struct sender_slot){ item->stream, mono_ns(), item->producer_seq, item->len,
		                            item->owner };
	const struct firn_req *req = &w.req;
	int n = firn_engine_submit(s->engine, &req, 1, &err);
	if (n > 0)
		return 1;
	if (n == 0 && err.code == FIRN_EFULL)
		s->blocked = true;
	if (n == 0 && (err.code == FIRN_EFULL || err.code == FIRN_EAGAIN))
		return 0;
	stop(s, &err);
	return s->code;
}

/* Waits for a slot, or for room. A second is a net below WRITABLE: look again even if it does not
 * come. */
static void wait_for_room(struct sender *s)
{
	uint64_t before = s->n_acked, now = mono_ns();
	sender_reap(s, 1000);
	s->blocked = false;
	if (s->n_acked != before || !s->stuck_ns)
		s->stuck_ns = now;
	if (s->told_stuck || now - s->stuck_ns < STUCK_NS)
		return;
	s->told_stuck = true;
	fprintf(stderr, "waiting: nothing is acked for %s; does the store answer?\n",
	        text_duration(now - s->stuck_ns).s);
}

int sender_put(struct sender *s, const struct sender_item *item)
{
	while (!s->code) {
		if (!s->n_free || s->blocked) {
			wait_for_room(s);
			continue;
		}
		uint32_t at = s->free_slot[s->n_free - 1];
		int rc = submit(s, item, at);
		if (rc == 1) {
			s->n_free--;
			return 0;
		}
		if (rc == 0)
			sender_reap(s, 1);
	}
	return s->code;
}

int sender_close(struct sender *s)
{
	while (sender_in_flight(s))
		sender_reap(s, 1000);
	s->end_ns = mono_ns();
	if (s->code == FIRN_EUNKNOWN)
		tell_fence(s);
	firn_cq_close(s->cq);
	free(s->slot);
	free(s->free_slot);
	s->slot = NULL;
	s->free_slot = NULL;
	return s->code;
}
