#include "engine/base/batch.h"
#include "engine/base/le.h"

enum { KNOWN_FLAGS = BATCH_PRODUCER | BATCH_SEQ_RISING | BATCH_SEQ_NONE | BATCH_SKIPPED_BEFORE };

void batch_desc_put(uint8_t *at, const struct batch *b)
{
	le64_put(at, b->stream);
	le64_put(at + 8, b->offset);
	le32_put(at + 16, b->n_offsets);
	le32_put(at + 20, b->payload_len);
	le64_put(at + 24, b->payload_sum);
	le64_put(at + 32, (uint64_t)b->timestamp_ms);
	le64_put(at + 40, (uint64_t)b->append_ms);
	le64_put(at + 48, b->rev);
	le64_put(at + 56, b->epoch);
	le64_put(at + 64, b->producer_id);
	le64_put(at + 72, b->producer_seq);
	le32_put(at + 80, b->producer_epoch);
	le32_put(at + 84, b->tag);
	le16_put(at + 88, b->flags);
	at[90] = b->key_len;
	at[91] = b->attr_len;
	le32_put(at + 92, 0);
	uint8_t *end = at + batch_desc_len(b->key_len, b->attr_len);
	at += BATCH_DESC_LEN;
	if (b->key_len)
		memcpy(at, b->key, b->key_len);
	at += b->key_len;
	if (b->attr_len)
		memcpy(at, b->attr, b->attr_len);
	at += b->attr_len;
	memset(at, 0, (size_t)(end - at));
}

size_t batch_desc_get(const uint8_t *at, size_t len, struct batch *out)
{
	if (len < BATCH_DESC_LEN)
		return 0;
	out->stream = le64_get(at);
	out->offset = le64_get(at + 8);
	out->n_offsets = le32_get(at + 16);
	out->payload_len = le32_get(at + 20);
	out->payload_sum = le64_get(at + 24);
	out->timestamp_ms = (int64_t)le64_get(at + 32);
	out->append_ms = (int64_t)le64_get(at + 40);
	out->rev = le64_get(at + 48);
	out->epoch = le64_get(at + 56);
	out->producer_id = le64_get(at + 64);
	out->producer_seq = le64_get(at + 72);
	out->producer_epoch = le32_get(at + 80);
	out->tag = le32_get(at + 84);
	out->flags = le16_get(at + 88);
	out->key_len = at[90];
	out->attr_len = at[91];
	size_t need = batch_desc_len(out->key_len, out->attr_len);
	if (need > len || out->n_offsets == 0 || out->offset > OFFSET_MAX - out->n_offsets ||
	    out->payload_len > BATCH_PAYLOAD_MAX || out->key_len > BATCH_KEY_MAX ||
	    (out->flags & ~KNOWN_FLAGS) || le32_get(at + 92) != 0)
		return 0;
	out->key = at + BATCH_DESC_LEN;
	out->attr = out->key + out->key_len;
	out->payload = NULL;
	return need;
}
