/* What a volume must be: the list of its writes, and their sum. Obviously right, not quick.
 *
 *   write 1, write 2, ... write k, ABANDON, write k + 1, ...
 *
 * An entry of the list says the volume's number (rev) behind it: one more for a write, 2^36 more for an abandon, which
 * loses what its last writer had acked and not stored, and 2^36 offsets of every stream. What a life finds is the sum of
 * the first k entries: never fewer than were promised (acked, read, stored), unless an abandon says so; never anything
 * but a prefix. */
#ifndef SIM_MODEL_H
#define SIM_MODEL_H
#include "tests/sim/world.h"
#include <firn/write.h>

enum { M_STREAMS = 64, M_OPS = 6, M_KEYS = 12, M_PRODUCERS = 2, M_LOST = 16 };
#define M_SKIP (UINT64_C(1) << 36)

struct m_op {
	uint32_t kind;   /* enum firn_op_kind */
	uint32_t stream; /* index in the model, M_STREAMS: the volume's pairs */
	/* APPEND */
	uint64_t base, payload, producer_seq; /* payload: number its bytes are made from */
	uint32_t n_offsets, len;
	uint32_t producer, key; /* producer: 1 .. M_PRODUCERS, 0 none; key: idempotency, 0 none */
	uint64_t skipped_from;  /* AT: the gap before it begins here; == base: none */
	int64_t timestamp_ms;
	uint32_t tag;
	bool at, expect;
	/* KV: key and key_to are numbers below M_KEYS */
	uint32_t kv_key, kv_to, kv_value;
	uint64_t to;     /* TRIM */
	uint32_t config; /* CONFIG: a number its fields are made from; a new stream has 0 */
};

enum m_outcome { M_OPEN, M_ACKED, M_UNKNOWN };
struct m_write {
	struct m_op op[M_OPS];
	uint32_t n_op, ack; /* n_op: 0 is an abandon */
	enum m_outcome outcome;
	uint64_t rev; /* of the volume, with it */
};

struct m_batch {
	uint64_t base, payload, rev, producer_seq, skipped_from;
	uint32_t n_offsets, len, producer, key, tag;
	int64_t timestamp_ms;
};
struct m_range {
	uint64_t from, to;
};
struct m_stream {
	bool there;                     /* created, not deleted */
	uint32_t name;                  /* "s<name>" */
	uint64_t id;                    /* the engine's, once known */
	uint64_t start, next, start_at; /* start_at: when it was created */
	struct m_batch *batch;
	uint32_t n_batch, cap_batch;
	uint64_t seq_next[M_PRODUCERS + 1];
	uint32_t last_producer_batch[M_PRODUCERS + 1]; /* 1 + index in batch */
	uint32_t n_keys;                               /* idempotency keys used so far */
	uint32_t last_key_batch;                       /* 1 + index in batch */
	uint32_t config;
	struct m_range lost[M_LOST]; /* offsets that were given up; they rise and do not touch */
	uint32_t n_lost;
};
struct m_kv {
	bool there;
	uint32_t value;
	uint64_t rev;
};
struct m_state {
	struct m_stream stream[M_STREAMS];
	uint32_t n_stream;
	struct m_kv kv[M_STREAMS + 1][M_KEYS];
};

struct m_volume {
	char name[16];
	struct m_write *w;
	uint64_t n, cap;
	uint64_t promised; /* the first so many entries must survive (P1) */
	uint64_t
	        stored; /* the first so many were said to be stored: not even an abandon loses them */
	struct m_state now; /* sum of all n: the assigned state */
	uint64_t n_payload;
	uint32_t n_abandoned;
};

void model_init(struct m_volume *v, const char *name);
/* Adds an admitted write. */
void model_add(struct m_volume *v, const struct m_write *w);
/* What follows belongs to a writer who has not the log of the one before. */
void model_abandon(struct m_volume *v);
/* The volume's number behind the first k entries. */
uint64_t model_rev(const struct m_volume *v, uint64_t k);
/* Behind how many entries the volume has this number; false: behind none. */
bool model_at(const struct m_volume *v, uint64_t rev, uint64_t *k);
/* The same if up to `most` abandons may have come behind them of which the model does not know. */
bool model_find(const struct m_volume *v, uint64_t rev, uint32_t most, uint64_t *k,
                uint32_t *n_abandon);
/* A copy that goes its own way. */
struct m_volume *model_fork(const struct m_volume *v);
void model_drop(struct m_volume *v);
/* The sum of the first k entries; to be freed by state_fini. */
void model_sum(const struct m_volume *v, uint64_t k, struct m_state *out);
void state_fini(struct m_state *s);
/* A new life begins with the first k entries; the others never were. */
void model_cut(struct m_volume *v, uint64_t k);
void model_promise(struct m_volume *v, uint64_t k);
/* The same of the entry with this number. */
void model_promise_rev(struct m_volume *v, uint64_t rev);
/* The lost range of the stream that this offset lies in; NULL: none. */
const struct m_range *model_lost(const struct m_stream *s, uint64_t offset);
/* The newest write was refused after all. */
void model_take_back(struct m_volume *v);
/* Bytes that a payload number stands for. */
void payload_make(uint64_t payload, uint32_t len, uint8_t *out);
#endif
