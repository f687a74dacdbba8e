/* The skip list: see kv_list.h.
 *
 *   level 2  head ────────────────► c ─────────────► nil
 *   level 1  head ───────► b ─────► c ───────► e ──► nil
 *   level 0  head ─► a ──► b ─────► c ─► d ──► e ──► nil */
#include "engine/admit/kv_list.h"
#include "engine/base/mem.h"
#include <assert.h>
#include <string.h>

int kv_key_compare(const void *a, uint32_t a_len, const void *b, uint32_t b_len)
{
	uint32_t both = a_len < b_len ? a_len : b_len;
	int order = both ? memcmp(a, b, both) : 0;
	return order ? order : (a_len > b_len) - (a_len < b_len);
}

static bool below(const struct kv_node *n, uint64_t stream, const void *key, uint32_t key_len)
{
	if (n->stream != stream)
		return n->stream < stream;
	return kv_key_compare(kv_node_key(n), n->key_len, key, key_len) < 0;
}

struct kv_node *kv_list_seek(const struct kv *kv, uint64_t stream, const void *key,
                             uint32_t key_len, struct kv_path *path)
{
	struct kv_node *at = kv->head;
	const struct kv_node *known = NULL; /* not below: compared on a level above */
	for (int i = KV_LEVELS; i-- > 0;) {
		while (at->next[i] && at->next[i] != known &&
		       below(at->next[i], stream, key, key_len))
			at = at->next[i];
		known = at->next[i];
		if (path)
			path->prev[i] = at;
	}
	return at->next[0];
}

struct kv_node *kv_list_find(const struct kv *kv, uint64_t stream, const void *key,
                             uint32_t key_len, struct kv_path *path)
{
	struct kv_node *n = kv_list_seek(kv, stream, key, key_len, path);
	if (!n || n->stream != stream ||
	    kv_key_compare(kv_node_key(n), n->key_len, key, key_len) != 0)
		return NULL;
	return n;
}

/* xorshift64: enough to keep the list flat, and the same in every run of a seed. */
static uint8_t choose_level(struct kv *kv)
{
	kv->random ^= kv->random << 13;
	kv->random ^= kv->random >> 7;
	kv->random ^= kv->random << 17;
	uint64_t bits = kv->random >> 16;
	uint8_t level = 1;
	for (; level < KV_LEVELS && (bits & 3) == 0; bits >>= 2)
		level++;
	return level;
}

size_t kv_node_size(uint32_t level, uint32_t key_len)
{
	return sizeof(struct kv_node) + level * sizeof(struct kv_node *) + key_len;
}

struct kv_node *kv_list_insert(struct kv *kv, const struct kv_path *path, uint64_t stream,
                               const void *key, uint32_t key_len)
{
	uint8_t level = choose_level(kv);
	struct kv_node *n = mem_zalloc(kv->env, kv_node_size(level, key_len));
	if (!n)
		return NULL;
	n->stream = stream;
	n->key_len = key_len;
	n->level = level;
	if (key_len)
		memcpy(n->next + level, key, key_len);
	for (uint32_t i = 0; i < level; i++) {
		n->next[i] = path->prev[i]->next[i];
		path->prev[i]->next[i] = n;
	}
	kv->bytes += kv_node_size(level, key_len);
	return n;
}

void kv_list_remove(struct kv *kv, const struct kv_path *path, struct kv_node *n)
{
	assert(!n->durable && !n->pending && !n->holders);
	for (uint32_t i = 0; i < n->level; i++) {
		assert(path->prev[i]->next[i] == n);
		path->prev[i]->next[i] = n->next[i];
	}
	kv->bytes -= kv_node_size(n->level, n->key_len);
	mem_free(kv->env, n);
}

void kv_list_pass(struct kv_path *path, struct kv_node *n)
{
	for (uint32_t i = 0; i < n->level; i++)
		path->prev[i] = n;
}
