/* A write under admission: its operations judged one by one against the assigned state, nothing changed
 * but scratch, until the room is reserved; then assigned in one go that cannot fail. Volume locked. */
#ifndef ADMIT_PLAN_H
#define ADMIT_PLAN_H
#include "engine/admit/volume.h"

struct planned {
	const struct firn_op *src;
	struct wal_op op; /* what the record will hold; kind 0: nothing (a check, a no-op) */
	struct stream *s;
	struct kv_prepared kv;
	uint32_t stamp_pos;
	uint64_t stamp;
	bool stamped, made; /* made: the stream struct is this operation's */
	bool known;         /* an APPEND that was there before; `done` says where */
	uint8_t *copy;      /* stamped key or value, or an encoded configuration */
	struct firn_done done;
};

struct plan {
	struct volume *v;
	const struct firn_write *w;
	int64_t now_ms;
	uint64_t tx;
	struct planned *p;
	struct planned one;  /* the common write has one operation */
	uint32_t n, n_write; /* n_write: operations that go into the record */
	uint64_t meta_len, payload_len;
	uint64_t next_stream;     /* to give back when refused */
	struct stream *made_last; /* FIRN_STREAM_NEW: of the last CREATE so far */
	bool duplicate;           /* an APPEND is known: nothing of the write takes place */
	bool fresh;               /* one is not, and would be if it came again */
	bool mixed;               /* refused for being both */
	struct dedup_answer
	        first; /* of the first that is known; rev: the highest of all that are */
	uint32_t dup_at;
	int code; /* refusal by event: code, and its numbers */
	uint64_t at_op, real;
};

int plan_open(struct plan *p, struct volume *v, const struct firn_write *w);
/* 0, or a refusal in p->code (by event), or FIRN_ENOMEM. */
int plan_ops(struct plan *p);
void plan_undo(struct plan *p);                                        /* refused */
void plan_assign(struct plan *p, uint64_t rev, struct wal_slot *slot); /* reserved: infallible */
void plan_fill(struct plan *p, uint64_t rev, struct wal_slot *slot); /* unlocked: copies and sums */
void plan_close(struct plan *p);

const struct firn_op *plan_src(const struct firn_write *w, uint32_t i);
int plan_append(struct plan *p, uint32_t i);
int plan_known(struct plan *p, uint32_t from); /* the rest of a write of which one is known */
int plan_kv(struct plan *p, uint32_t i);
int plan_stream_op(struct plan *p, uint32_t i);
/* The configuration of the operation is the stream's from now on, for those that are judged after it. */
void plan_limits_take(struct planned *o);
int plan_refuse(struct plan *p, uint32_t i, int code, uint64_t real);
/* A refused plan in words; -> its code. */
int plan_refusal(const struct plan *p, struct firn_error *err);
struct stream *plan_stream(struct plan *p, uint32_t i);
#endif
