/* What a volume must be: the list of its writes, and their sum. Obviously right, not quick.
 *
 * Write number i of the list has rev i + 1 (dense, over all lives). What a life finds is the sum of the first k writes,
 * k = rev_durable: never fewer than were promised (acked, read, stored), never anything but a prefix. */
#ifndef SIM_MODEL_H
#define SIM_MODEL_H
#include "tests/sim/world.h"
#include <firn/write.h>

enum { M_STREAMS = 64, M_OPS = 6, M_KEYS = 12, M_PRODUCERS = 2 };

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
	uint32_t n_op, ack;
	enum m_outcome outcome;
};

struct m_batch {
	uint64_t base, payload, rev, producer_seq, skipped_from;
	uint32_t n_offsets, len, producer, key, tag;
	int64_t timestamp_ms;
};
struct m_stream {
	bool there;    /* created, not deleted */
	uint32_t name; /* "s<name>" */
	uint64_t id;   /* the engine's, once known */
	uint64_t start, next;
	struct m_batch *batch;
	uint32_t n_batch, cap_batch;
	uint64_t seq_next[M_PRODUCERS + 1];
	uint32_t last_producer_batch[M_PRODUCERS + 1]; /* 1 + index in batch */
	uint32_t n_keys;                               /* idempotency keys used so far */
	uint32_t last_key_batch;                       /* 1 + index in batch */
	uint32_t config;
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
	uint64_t promised;  /* the first so many writes must survive (P1) */
	uint64_t stored;    /* the first so many were said to be stored */
	struct m_state now; /* sum of all n: the assigned state */
	uint64_t n_payload;
};

void model_init(struct m_volume *v, const char *name);
/* Adds an admitted write. */
void model_add(struct m_volume *v, const struct m_write *w);
/* The sum of the first k writes; to be freed by state_fini. */
void model_sum(const struct m_volume *v, uint64_t k, struct m_state *out);
void state_fini(struct m_state *s);
/* A new life begins with the first k writes; the others never were. */
void model_cut(struct m_volume *v, uint64_t k);
void model_promise(struct m_volume *v, uint64_t k);
/* The newest write was refused after all. */
void model_take_back(struct m_volume *v);
/* Bytes that a payload number stands for. */
void payload_make(uint64_t payload, uint32_t len, uint8_t *out);
#endif
