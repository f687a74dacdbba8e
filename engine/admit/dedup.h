/* Duplicate detection of one stream: producers (epoch, sequence, last batches) and idempotency keys, in
 * the assigned state: a duplicate is answered once the original is durable, and the original's rev says
 * when that is. Guarded by the volume's lock. Rules: API.md's table, restated in write.h. */
#ifndef ADMIT_DEDUP_H
#define ADMIT_DEDUP_H
#include "engine/base/batch.h"
#include "engine/segment/segment.h"
#include <firn/env.h>
#include <firn/write.h>
#include <stdbool.h>

struct dedup; /* NULL until a producer or a key appears */

struct dedup_limits {
	uint32_t window, seq_bits; /* batches remembered per producer; bits of a sequence */
	uint64_t producer_expire_ms, key_window_ms;
	uint32_t key_window_n;  /* both key windows 0: keys are not remembered */
	uint32_t max_producers; /* bound; the least recently seen beyond it is forgotten */
};

enum dedup_verdict { DEDUP_NEW, DEDUP_DUPLICATE };
struct dedup_answer {
	uint64_t offset, rev;
	uint32_t n_offsets, _pad;
	uint64_t expected;
};

void dedup_close(struct dedup *d);
/* Judges a batch (producer_*, key*, flags BATCH_PRODUCER / SEQ_*; n_offsets sequences) without changing what
 * is remembered, but with earlier verdicts of the same write (`write_id`) in view. FIRN_OK with *verdict;
 * FIRN_ESEQ (answer->expected), FIRN_EPRODUCER (answer->expected = newest epoch); FIRN_EINVAL (a key twice
 * in one write, a sequence of more than seq_bits); FIRN_ENOMEM. Two writes in a row differ in write_id.
 * Makes *d and the producer's entry when absent, so that remember cannot fail. */
int dedup_check(struct dedup **d, const struct firn_env *env, const struct dedup_limits *lim,
                const struct batch *b, uint64_t write_id, int64_t now_ms,
                enum dedup_verdict *verdict, struct dedup_answer *answer);
/* Remembers an admitted (or replayed) batch: b->offset, b->rev, b->append_ms are set. Replay calls it without
 * a check before. FIRN_ENOMEM only then. */
int dedup_remember(struct dedup **d, const struct firn_env *env, const struct dedup_limits *lim,
                   const struct batch *b);
/* From the index at attach. */
int dedup_load_producer(struct dedup **d, const struct firn_env *env,
                        const struct dedup_limits *lim, const struct producer_change *p);
int dedup_load_key(struct dedup **d, const struct firn_env *env, const struct dedup_limits *lim,
                   const struct key_entry *k);
/* Producers with id > after_id, in rising order; -> how many. */
uint32_t dedup_list(const struct dedup *d, uint64_t after_id, struct firn_producer *out,
                    uint32_t out_size, uint32_t max);
uint32_t dedup_n_producers(const struct dedup *d);
uint64_t dedup_bytes(const struct dedup *d);
/* First sequence after (seq + n) under seq_bits (0 = 64). */
uint64_t dedup_seq_add(uint64_t seq, uint64_t n, uint32_t seq_bits);
#endif
