/* Walks over the durable pairs, in order. Reads only; each() must not change the pairs. */
#include "engine/admit/kv_list.h"
#include <firn/write.h>

typedef int (*kv_each)(void *arg, uint64_t stream, const uint8_t *key, uint32_t key_len,
                       const struct kv_value *value);

struct bounds {
	const void *from, *to;
	uint32_t from_len, to_len;
};

static bool is_low(const struct kv_node *n, const struct bounds *b)
{
	return kv_key_compare(kv_node_key(n), n->key_len, b->from, b->from_len) < 0;
}

static bool is_high(const struct kv_node *n, const struct bounds *b)
{
	return b->to_len && kv_key_compare(kv_node_key(n), n->key_len, b->to, b->to_len) >= 0;
}

static int scan_one(const struct kv *kv, uint64_t stream, const struct bounds *b, kv_each each,
                    void *arg)
{
	const struct kv_node *n = kv_list_seek(kv, stream, b->from, b->from_len, NULL);
	for (; n && n->stream == stream && !is_high(n, b); n = n->next[0]) {
		if (!n->durable)
			continue;
		int rc = each(arg, stream, kv_node_key(n), n->key_len, n->durable);
		if (rc)
			return rc;
	}
	return 0;
}

/* The bounds hold in each stream: what lies outside is leapt over, not walked. */
static int scan_all(const struct kv *kv, const struct bounds *b, kv_each each, void *arg)
{
	for (const struct kv_node *n = kv->head->next[0]; n;) {
		uint64_t stream = n->stream;
		if (is_low(n, b)) {
			n = kv_list_seek(kv, stream, b->from, b->from_len, NULL);
			continue;
		}
		if (is_high(n, b)) {
			if (stream == UINT64_MAX)
				break;
			n = kv_list_seek(kv, stream + 1, b->from, b->from_len, NULL);
			continue;
		}
		int rc = n->durable ? each(arg, stream, kv_node_key(n), n->key_len, n->durable) : 0;
		if (rc)
			return rc;
		n = n->next[0];
	}
	return 0;
}

int kv_scan(const struct kv *kv, uint64_t stream, const void *from, uint32_t from_len,
            const void *to, uint32_t to_len, kv_each each, void *arg)
{
	struct bounds b = { .from = from, .to = to, .from_len = from_len, .to_len = to_len };
	return stream == FIRN_STREAM_ALL ? scan_all(kv, &b, each, arg)
	                                 : scan_one(kv, stream, &b, each, arg);
}
