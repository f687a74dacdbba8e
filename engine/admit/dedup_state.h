/* Inside of dedup.h: what is remembered, shared by dedup*.c.
 *
 *   dedup ─┬─ by_id ──► producer ──► window (ring of batches)      seen:  least recently seen first
 *          └─ by_key ─► key_row                                    kept:  first in, first out
 *
 * dedup_check() makes what dedup_remember() will need. Such fresh entries know nothing yet;
 * those of a write that was refused after all are freed by the first check of the next write. A
 * `turn` is the admission of one write: what a check notes in an entry holds while the turn
 * lasts. */
#ifndef ADMIT_DEDUP_STATE_H
#define ADMIT_DEDUP_STATE_H
#include "engine/admit/aged.h"
#include "engine/admit/dedup.h"
#include "engine/base/map.h"

struct dedup {
	const struct firn_env *env;
	uint64_t hash_seed, bytes; /* bytes: without the two tables */
	uint64_t write_id, turn;   /* the write being admitted; turn 0 = none yet */
	struct map by_id, by_key;
	struct aged_list seen, fresh_producers;
	struct aged_list kept, fresh_keys;
};

struct producer {
	struct aged link; /* in `seen` if known, else in `fresh_producers`; age: last_ms */
	uint64_t id, seq_next;
	uint64_t last_offset; /* of its last record */
	int64_t last_ms;
	uint32_t epoch;
	bool known;
	/* its last batches, the oldest at window[first] */
	struct producer_batch *window;
	uint32_t first, n, cap;
	/* what the write under admission adds to it; valid while turn is the dedup's */
	uint64_t turn, turn_next;
	uint32_t turn_epoch, turn_n; /* turn_n: batches judged new and not remembered yet */
};

struct key_row {
	struct aged link; /* in `kept` if known, else in `fresh_keys`; age: offset */
	uint64_t hash, offset, rev, turn;
	int64_t append_ms;
	uint32_t n_offsets;
	bool known;
	uint8_t key_len, key[BATCH_KEY_MAX];
};

static inline bool dedup_expired(int64_t since_ms, int64_t now_ms, uint64_t after_ms)
{
	return after_ms && now_ms > since_ms && (uint64_t)now_ms - (uint64_t)since_ms >= after_ms;
}

static inline bool dedup_keeps_keys(const struct dedup_limits *lim)
{
	return lim->key_window_ms || lim->key_window_n;
}

void *dedup_alloc(struct dedup *d, size_t len); /* zeroed, counted */
void dedup_free(struct dedup *d, void *p, size_t len);

/* ---- dedup_producer.c ---- */
struct producer *producer_find(const struct dedup *d, uint64_t id);
int producer_check(struct dedup *d, const struct dedup_limits *lim, const struct batch *b,
                   int64_t now_ms, enum dedup_verdict *verdict, struct dedup_answer *answer);
int producer_remember(struct dedup *d, const struct dedup_limits *lim, const struct batch *b);
int producer_load(struct dedup *d, const struct dedup_limits *lim, const struct producer_change *c);
void producer_trim(struct dedup *d, const struct dedup_limits *lim, int64_t now_ms);
void producer_drop_fresh(struct dedup *d);
void producer_close_all(struct dedup *d);

/* ---- dedup_window.c: sequences, and the ring of a producer's last batches -------------------- */
/* a before b; with fewer than 64 bits in the sense of RFC 1982, for such sequences wrap. */
bool seq_lower(uint64_t a, uint64_t b, uint32_t seq_bits);
/* Room for `more` batches within the limit. FIRN_ENOMEM. */
int window_reserve(struct dedup *d, struct producer *p, uint32_t limit, uint32_t more);
void window_push(struct producer *p, uint32_t limit, const struct producer_batch *b);
/* The batch that covers these very sequences; NULL = not remembered. */
const struct producer_batch *window_find(const struct producer *p, uint64_t seq, uint32_t n_seq);
const struct producer_batch *window_newest(const struct producer *p);

/* ---- dedup_keys.c ---- */
int dedup_key_check(struct dedup *d, const struct dedup_limits *lim, const struct batch *b,
                    int64_t now_ms, enum dedup_verdict *verdict, struct dedup_answer *answer);
int key_remember(struct dedup *d, const struct batch *b);
int key_load(struct dedup *d, const struct dedup_limits *lim, const struct key_entry *k);
void key_trim(struct dedup *d, const struct dedup_limits *lim, int64_t now_ms);
void key_drop_fresh(struct dedup *d);
void key_close_all(struct dedup *d);
#endif
