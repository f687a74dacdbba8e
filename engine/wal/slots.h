/* The log in a store: what differs from files, behind the same groups, records, publish, find and view.
 *
 *   reserve ─► group ─► copy in a local file ─► PUT slot n, if absent ─┐   several at once, in any order
 *                       (not flushed, disposable)  PUT slot n+1 ───────┤
 *                                                  PUT slot n+2 ───────┴─► acked in order ─► publish
 *
 * The files are where un-stored data is read from, and what bounds it; they are thrown away at the next opening. What an
 * ack rests on is the slot. Rules (PROTOCOL 3, S2, S3, S17; checked in tests/model/slots.py):
 *
 *   - slot m is acked when it and all below are known to be ours; a PUT without an answer is settled by reading;
 *   - a volume's write is acked when its manifest names the log that the slot is in;
 *   - who takes a volume seals the first hole: the log is the slots below. We find the seal, begin a new log, and
 *     write there what stood at or above it, under the same revs;
 *   - a slot goes when every manifest that may name the log gives a higher position; seals never.
 *
 * Lock: wal.lock for all below "guarded". The writer (wal_step) begins and acks, putters send. */
#ifndef WAL_SLOTS_H
#define WAL_SLOTS_H
#include "engine/base/buf.h"
#include "engine/wal/slots_format.h"
#include "engine/wal/wal.h"

struct store;

enum { SLOTS_AHEAD = 8, SLOTS_NOTES = 4096, SLOTS_LAG = 1024 };

enum slots_state {
	SLOTS_TO_SEND, /* or to be looked at; from retry_at_ns on */
	SLOTS_SENDING, /* a putter has it */
	SLOTS_OURS,
	SLOTS_SEALED,
	SLOTS_WRONG /* the store cannot do it, or holds what nobody can have written */
};

/* A slot on its way. */
struct slots_out {
	struct wal_group *group;
	uint64_t slot, retry_at_ns;
	struct buf head;
	uint32_t state, n_tried;
	bool look; /* an attempt may have landed: read the slot first */
};

/* The group at lsn is in that slot; those between two notes are in slots between. */
struct slots_note {
	uint64_t lsn, slot;
};

/* A volume whose manifest may name this log, and the position that it gives. */
struct slots_member {
	uint8_t id[16];
	uint64_t position;
};

struct slots {
	struct store *store;
	char uri[1024]; /* without credentials */
	uint64_t interval_ns;
	bool probed; /* putters, under probe: once true it stays */
	pthread_t putter[SLOTS_AHEAD];
	uint32_t n_putter;
	pthread_cond_t put; /* something to send */

	/* guarded */
	uint8_t log_id[16];
	uint64_t log_no;      /* logs of this opening, from 1 */
	uint64_t next, acked; /* next slot to be given; all below are acked */
	uint64_t deleted, delete_at_ns;
	uint64_t sweep_ns;  /* no sweep of logs before, gc/logs.h */
	uint64_t first_lsn; /* groups before it are in older logs, or stored */
	bool sealed, deleting, stopping;
	uint64_t seal_at;
	struct slots_out out[SLOTS_AHEAD];
	uint32_t head, n;
	struct slots_note note[SLOTS_NOTES];
	uint32_t n_note;
	struct slots_member *member;
	uint32_t n_member;
	size_t cap_member;
	uint64_t n_put, n_seal_met; /* metrics */
	char why[160];              /* of SLOTS_WRONG */

	/* only the writer */
	struct wal_group *held; /* taken, waits for those before it */
	uint64_t began_ns, gated_ns;
	bool gated; /* the oldest waits for a manifest to name the log */
};

/* slots.c. The store is opened, not asked. FIRN_EINVAL, FIRN_ENOMEM, FIRN_EUNSUPPORTED. */
int slots_open(struct wal *w, const char *uri, uint32_t interval_ms, struct firn_error *err);
int slots_start(struct wal *w); /* the putters */
void slots_stop(struct wal *w);
void slots_close(struct wal *w);
int slots_step(struct wal *w); /* the writer's: wal_step */
void slots_wait(struct wal *w);

/* slots_put.c. One attempt at the oldest slot that is due, or a slot that may be deleted. 1: did something. */
int slots_try(struct wal *w);
void *slots_putter(void *wal);
/* Behind slots_stop(): of a log that no manifest may name any more what is left goes, if that takes a few seconds at most. Else
 * a sweep finds it (gc/open_logs.h). */
void slots_end(struct wal *w);

/* slots_place.c: positions. Each takes the lock. */
struct slots_now {
	uint8_t id[16];
	uint64_t log_no, next, acked, first_lsn;
	uint64_t held; /* slots_join(): slots from here on stay */
};
void slots_now(struct wal *w, struct slots_now *out);
/* The slot of the group at lsn, or one below it. */
uint64_t slots_position(struct wal *w, uint64_t lsn);
/* A manifest of the volume is about to name the log as it is now: from this moment on its slots from out->held on stay;
 * those below hold nothing of it that any manifest would name this log for. FIRN_ENOMEM. */
int slots_join(struct wal *w, const uint8_t id[16], struct slots_now *out);
/* Settled: its manifest names log log_no with this position; no log, or none of this engine's. */
void slots_settled(struct wal *w, uint64_t log_no, const uint8_t id[16], uint64_t position);
void slots_member_gone(struct wal *w, const uint8_t id[16]);
uint64_t slots_member_at(struct wal *w, const uint8_t id[16]);
void slots_note_add(struct slots *s, uint64_t lsn, uint64_t slot); /* locked */
uint64_t slots_lowest(const struct slots *s);                      /* locked: slots below may go */

/* slots_walk.c: reading another engine's log, and ending it. */
/* The slot's object as far as its rows go, into *b. FIRN_ENOENT: it is gone; FIRN_ECORRUPT, FIRN_EUNSUPPORTED, FIRN_ESTORE. */
int slots_read_head(struct store *store, const uint8_t log_id[16], uint64_t slot,
                    struct slots_head *h, struct buf *b, struct firn_error *err);
struct slots_walk {
	const struct firn_env *env;
	struct store *store;
	uint8_t log_id[16], volume_id[16];
	uint64_t slot; /* next to be read */
	uint64_t
	        end; /* of the log as far as it is known: read no further, no seal; UINT64_MAX: not known */
	bool looks; /* seals nothing: the first hole is the end */
	struct buf data;
};
/* A record of the volume, in order; its bytes are gone when it returns. Non-zero ends the walk. */
typedef int slots_each(void *arg, const struct wal_record *r, const uint8_t *group);
/* From w->slot to the seal, which it sets if there is none: the end of the log for good. FIRN_ECORRUPT: what was acked
 * is missing or does not verify. */
int slots_walk(struct slots_walk *w, slots_each *each, void *arg, struct firn_error *err);
#endif
