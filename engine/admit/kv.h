/* The small ordered key-value space of a volume: (stream, key) -> value, with the state that readers see
 * (durable) and the one that preconditions see (assigned: with what is still on its way to the disk).
 *
 * Not thread-safe: guarded by the volume's lock. Two steps make a write infallible once it is admitted:
 * prepare (may fail, leaves nothing visible), then assign; later apply, in rev order, when durable. */
#ifndef ADMIT_KV_H
#define ADMIT_KV_H
#include <firn/env.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kv;
struct kv_value {
	uint64_t rev;
	uint32_t len;
	uint8_t data[];
};

int kv_open(const struct firn_env *env, uint64_t seed, struct kv **out);
void kv_close(struct kv *kv);
uint64_t kv_bytes(const struct kv *kv); /* memory in use */
/* State after everything assigned; NULL = absent. Borrowed until the next call that changes. */
const struct kv_value *kv_get_assigned(const struct kv *kv, uint64_t stream, const void *key,
                                       uint32_t key_len);
const struct kv_value *kv_get_durable(const struct kv *kv, uint64_t stream, const void *key,
                                      uint32_t key_len);
/* Makes the node and a copy of the value. FIRN_ENOMEM. The prepared value goes to kv_assign or kv_drop. */
struct kv_prepared {
	void *node;
	struct kv_value *value;
};
int kv_prepare(struct kv *kv, uint64_t stream, const void *key, uint32_t key_len, const void *value,
               uint32_t value_len, struct kv_prepared *out);
void kv_drop(struct kv *kv, struct kv_prepared *p);
void kv_assign(struct kv *kv, struct kv_prepared *p, uint64_t rev);
/* Pending deletion of every key in [key, key_to) that exists in the assigned state (key_to_len 0: just key). */
void kv_assign_delete(struct kv *kv, uint64_t stream, const void *key, uint32_t key_len,
                      const void *key_to, uint32_t key_to_len, uint64_t rev);
/* All keys of a stream (its deletion). */
void kv_assign_delete_stream(struct kv *kv, uint64_t stream, uint64_t rev);
/* Durable now; called in rev order. Replay and index load call it without an assign before. FIRN_ENOMEM. */
int kv_apply(struct kv *kv, uint64_t stream, const void *key, uint32_t key_len, const void *value,
             uint32_t value_len, uint64_t rev);
void kv_apply_delete(struct kv *kv, uint64_t stream, const void *key, uint32_t key_len,
                     const void *key_to, uint32_t key_to_len, uint64_t rev);
void kv_apply_delete_stream(struct kv *kv, uint64_t stream, uint64_t rev);
/* Durable entries with from <= key < to (to_len 0: no upper bound), bytewise order. stream ==
 * FIRN_STREAM_ALL: all streams, by (stream, key), the bounds applied in each. each() non-zero stops. */
int kv_scan(const struct kv *kv, uint64_t stream, const void *from, uint32_t from_len,
            const void *to, uint32_t to_len,
            int (*each)(void *arg, uint64_t stream, const uint8_t *key, uint32_t key_len,
                        const struct kv_value *value),
            void *arg);
#endif
