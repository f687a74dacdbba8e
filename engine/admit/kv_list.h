/* The skip list under kv.c and kv_scan.c: nodes in order of (stream, key), keys bytewise. Levels
 * come from a seeded xorshift, so one seed gives one shape. [Pugh, Skip lists, CACM 33(6), 1990]
 * Not thread-safe: guarded by the volume's lock, as all of kv.h. */
#ifndef ADMIT_KV_LIST_H
#define ADMIT_KV_LIST_H
#include "engine/admit/kv.h"

enum { KV_LEVELS = 16 }; /* one node in four reaches the next level: good for 4^16 */

enum kv_state {
	KV_SETTLED = 0,  /* nothing on its way: what is assigned is what is durable */
	KV_PUTTING = 1,  /* `pending` was put by `pending_rev` */
	KV_DELETING = 2, /* `pending_rev` deleted it; pending is NULL */
};

struct kv_node {
	uint64_t stream, pending_rev;
	struct kv_value *durable, *pending;
	uint32_t key_len,
	        holders; /* holders: prepared values that are neither assigned nor dropped */
	uint8_t state, level;
	struct kv_node *next[]; /* `level` of them, then the key */
};

struct kv {
	const struct firn_env *env;
	uint64_t random, bytes;
	struct kv_node *head; /* KV_LEVELS high, holds nothing */
};

/* For each level the last node before a place. */
struct kv_path {
	struct kv_node *prev[KV_LEVELS];
};

static inline const uint8_t *kv_node_key(const struct kv_node *n)
{
	return (const uint8_t *)(n->next + n->level);
}

int kv_key_compare(const void *a, uint32_t a_len, const void *b, uint32_t b_len);
/* The first node at or above (stream, key); NULL = none. `path` may be NULL. */
struct kv_node *kv_list_seek(const struct kv *kv, uint64_t stream, const void *key,
                             uint32_t key_len, struct kv_path *path);
/* The node itself, or NULL. */
struct kv_node *kv_list_find(const struct kv *kv, uint64_t stream, const void *key,
                             uint32_t key_len, struct kv_path *path);
/* Puts an empty node where `path` points; the key must be absent. NULL without memory. */
struct kv_node *kv_list_insert(struct kv *kv, const struct kv_path *path, uint64_t stream,
                               const void *key, uint32_t key_len);
/* Takes out the node behind `path` and frees it; its values must be gone. */
void kv_list_remove(struct kv *kv, const struct kv_path *path, struct kv_node *n);
/* Moves `path`, which stands before n, behind it. */
void kv_list_pass(struct kv_path *path, struct kv_node *n);
/* Memory that kv_bytes() counts. */
size_t kv_node_size(uint32_t level, uint32_t key_len);
#endif
