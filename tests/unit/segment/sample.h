/* Segments to test with: an allocator that counts and fails, a model of what goes into a segment
 * (made from a seed), and its bytes. Criterion's asserts inside: a failure ends the test. */
#ifndef TESTS_SEGMENT_SAMPLE_H
#define TESTS_SEGMENT_SAMPLE_H
#include "engine/segment/segment.h"
#include <firn/env.h>

/* Live allocations, and which one is to fail (0: none; counts from 1). */
struct sample_env {
	struct firn_env env;
	uint64_t n_live, n_alloc, fail_at, largest;
};
void sample_env_init(struct sample_env *e);

/* splitmix64 (Sebastiano Vigna, public domain). */
uint64_t sample_random(uint64_t *state);
uint64_t sample_below(uint64_t *state, uint64_t n);

enum { SAMPLE_ROWS = 24, SAMPLE_PRODUCER_BATCHES = 5, SAMPLE_POOL = 1 << 20 };

/* What a segment is made of. Bytes are borrowed from `pool`, one half text, one half noise. */
struct sample {
	struct segment_meta meta;
	uint32_t n_batch, n_stream, n_gap, n_kv, n_producer, n_key, n_lost;
	struct batch *batch;
	uint32_t *compress;
	struct stream_state stream[SAMPLE_ROWS];
	struct gap_entry gap[SAMPLE_ROWS];
	struct kv_change kv[SAMPLE_ROWS];
	struct producer_change producer[SAMPLE_ROWS];
	struct producer_batch producer_batch[SAMPLE_ROWS][SAMPLE_PRODUCER_BATCHES];
	struct key_entry key[SAMPLE_ROWS];
	struct lost_entry lost[SAMPLE_ROWS];
	uint8_t *pool;
};
void sample_random_init(struct sample *s, uint64_t seed, uint32_t n_batch, uint32_t payload_max);
/* Two streams, three batches, a row or two of each kind: the one in FORMAT.md. */
void sample_tiny_init(struct sample *s);
void sample_fini(struct sample *s);

/* Its bytes, malloced. */
struct sample_object {
	uint8_t *data;
	size_t len;
	uint64_t footer_pos, footer_sum;
};
/* Writes all of a sample; the writer's first refusal otherwise. */
int sample_try_write(const struct sample *s, const struct firn_env *env, int zstd_level,
                     struct sample_object *out);
struct sample_object sample_write(const struct sample *s, int zstd_level);

struct segment_footer *sample_footer(const struct firn_env *env, const struct sample_object *o);
/* Opens every block of an object and compares its batches with the sample's, and all rows. */
void sample_expect_batches(const struct sample *s, const struct sample_object *o,
                           const struct segment_footer *f);
void sample_expect_rows(const struct sample *s, const struct segment_footer *f);
#endif
