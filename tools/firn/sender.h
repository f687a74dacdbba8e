/* Appends with many in flight through one completion queue. One thread drives it.
 *
 *   sender_put --submit--> engine --event--> sender_reap --> acked()
 *
 * A full queue or a full engine makes sender_put wait (it reaps meanwhile). The first write that is
 * refused or unknown stays in `err`; after that sender_put takes nothing more. */
#ifndef TOOL_SENDER_H
#define TOOL_SENDER_H
#include "tools/firn/names.h"
#include "tools/firn/text.h"
#include <firn/firn.h>
#include <stdbool.h>

struct sender_item {
	const struct stream_name *stream;
	const void *data;
	size_t len;
	int64_t timestamp_ms;
	uint64_t producer_id, producer_seq; /* 0, 0 = none; else the RISING rule */
	void *owner;                        /* comes back in acked() */
};

struct sender_slot {
	const struct stream_name *stream;
	uint64_t begin_ns, seq;
	size_t len;
	void *owner;
};

struct sender {
	struct firn_engine *engine;
	struct firn_volume *volume;
	struct firn_cq *cq;
	uint32_t ack; /* enum firn_ack */
	uint32_t depth, n_free, *free_slot;
	struct sender_slot *slot;
	bool blocked; /* EFULL: waiting for FIRN_EV_WRITABLE */
	bool told_stuck;
	uint64_t stuck_ns; /* since when nothing was acked while there was no room; 0 = never */
	/* Each ack, duplicates too; then flush() once per round of acks. Both may be NULL. */
	void (*acked)(void *arg, const struct sender_slot *slot, const struct firn_event *ev);
	void (*flush)(void *arg);
	void *arg;
	uint64_t begin_ns, end_ns, n_acked, n_duplicate, bytes; /* bytes: of what was acked anew */
	uint64_t n_unknown;
	struct hist latency; /* of what was acked anew */
	int code;
	struct firn_error err;
};

int sender_open(struct sender *s, struct firn_engine *engine, struct firn_volume *volume,
                uint32_t depth, uint32_t ack, struct firn_error *err);
/* 0: taken, or the code that made the sender stop. */
int sender_put(struct sender *s, const struct sender_item *item);
/* Handles what is acked; waits up to timeout_ms if nothing is. */
void sender_reap(struct sender *s, uint32_t timeout_ms);
static inline uint32_t sender_in_flight(const struct sender *s)
{
	return s->depth - s->n_free;
}
/* Waits for all that is in flight and closes. The figures stay; returns `code`. */
int sender_close(struct sender *s);
#endif
