/* The answer of a fetch: gathered in growing arrays over one or more passes, then laid out in
 * ONE piece.
 *
 *   result header | fetched | parts | batches, by part | iov, by part | holds
 *
 * It holds references on the frames and group chunks its batches lie in, until it is released. Of
 * its reader it pins the payload it delivers and its own size; of the engine its own size, payload
 * in group chunks, and each frame whole, once however many results hold it. No lock is taken. */
#include "engine/base/mem.h"
#include "engine/read/read.h"
#include <string.h>

int build_part_add(struct builder *b, struct reader_item *it, struct build_part **out)
{
	if (mem_grow(&b->account->env, (void **)&b->part, &b->cap_part, b->n_part, b->n_part + 1,
	             sizeof *b->part))
		return FIRN_ENOMEM;
	it->part = (uint32_t)b->n_part;
	*out = &b->part[b->n_part++];
	**out = (struct build_part){ .item = it };
	(*out)->part.slot = it->slot;
	(*out)->part.batch_size = sizeof(struct firn_batch);
	return 0;
}

static void batch_copy(struct firn_batch *to, const struct batch *b, bool headers)
{
	*to = (struct firn_batch){
		.offset = b->offset,
		.n_offsets = b->n_offsets,
		.tag = b->tag,
		.data = headers ? NULL : b->payload,
		.len = b->payload_len,
		.timestamp_ms = b->timestamp_ms,
		.append_ms = b->append_ms,
		.rev = b->rev,
		.epoch = b->epoch,
		.key_len = b->key_len,
		.attr_len = b->attr_len,
		.flags = b->flags & (FIRN_BATCH_PRODUCER | FIRN_BATCH_SEQ_NONE),
		.key = b->key_len ? b->key : NULL,
		.attr = b->attr_len ? b->attr : NULL,
	};
	if (b->flags & BATCH_PRODUCER) {
		to->producer_id = b->producer_id;
		to->producer_seq = b->producer_seq;
		to->producer_epoch = b->producer_epoch;
	}
}

int build_batch_add(struct builder *b, uint32_t part, const struct batch *batch, bool headers)
{
	if (mem_grow(&b->account->env, (void **)&b->batch, &b->cap_batch, b->n_batch,
	             b->n_batch + 1, sizeof *b->batch))
		return FIRN_ENOMEM;
	struct build_batch *to = &b->batch[b->n_batch++];
	batch_copy(&to->batch, batch, headers);
	to->part = part;
	struct firn_part *p = &b->part[part].part;
	p->n_batch++;
	p->bytes += batch->payload_len;
	b->bytes += batch->payload_len;
	return 0;
}

int build_hold_add(struct builder *b, const struct hold *h)
{
	if (mem_grow(&b->account->env, (void **)&b->hold, &b->cap_hold, b->n_hold, b->n_hold + 1,
	             sizeof *b->hold))
		return FIRN_ENOMEM;
	if (h->blob)
		blob_pin(h->blob);
	if (h->chunk)
		wal_chunk_retain(h->chunk);
	b->hold[b->n_hold++] = *h;
	return 0;
}

static void holds_release(struct hold *h, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		blob_unpin(h[i].blob);
		wal_chunk_release(h[i].chunk);
	}
}

/* An array that a crowd of items blew up is not kept for ever. */
static void array_trim(const struct firn_env *env, void **array, size_t *cap, size_t elem)
{
	if (*cap * elem <= 256 << 10)
		return;
	mem_free(env, *array);
	*array = NULL;
	*cap = 0;
}

void build_reset(struct builder *b)
{
	const struct firn_env *env = &b->account->env;
	holds_release(b->hold, b->n_hold);
	b->n_part = b->n_batch = b->n_hold = 0;
	b->bytes = b->chunk_bytes = 0;
	array_trim(env, (void **)&b->part, &b->cap_part, sizeof *b->part);
	array_trim(env, (void **)&b->batch, &b->cap_batch, sizeof *b->batch);
	array_trim(env, (void **)&b->hold, &b->cap_hold, sizeof *b->hold);
}

void build_fini(struct builder *b)
{
	build_reset(b);
	mem_free(&b->account->env, b->part);
	mem_free(&b->account->env, b->batch);
	mem_free(&b->account->env, b->hold);
}

void pin_release(struct read_pin *pin)
{
	if (atomic_fetch_sub_explicit(&pin->refs, 1, memory_order_acq_rel) != 1)
		return;
	struct account *a = pin->account;
	mem_free(&a->env, pin);
	account_release(a);
}

/* ---- laying out ---- */

struct fetched { /* the payload of the result; the public part first */
	struct firn_fetched shown;
	struct read_pin *pin;
	uint64_t pinned;
	struct hold *hold;
	size_t n_hold;
};

static void fetched_destroy(void *payload)
{
	struct fetched *f = payload;
	holds_release(f->hold, f->n_hold);
	atomic_fetch_sub_explicit(&f->pin->bytes, f->pinned, memory_order_relaxed);
	pin_release(f->pin);
}

/* Neighbours in memory become one piece. */
static uint32_t join(const struct firn_batch *batch, uint32_t n, struct iovec *iov)
{
	uint32_t n_iov = 0;
	for (uint32_t i = 0; i < n; i++) {
		if (!batch[i].data || batch[i].len == 0)
			continue;
		struct iovec *last = n_iov ? &iov[n_iov - 1] : NULL;
		if (last && (uint8_t *)last->iov_base + last->iov_len == batch[i].data) {
			last->iov_len += batch[i].len;
			continue;
		}
		iov[n_iov].iov_base = (void *)(uintptr_t)batch[i].data;
		iov[n_iov++].iov_len = batch[i].len;
	}
	return n_iov;
}

/* Batches were gathered in turns: each goes to its part, in order. `part->n_iov` counts up
 * meanwhile. */
static void lay_out(const struct builder *b, struct firn_part *part, struct firn_batch *batch,
                    struct iovec *iov)
{
	size_t n = 0;
	for (size_t i = 0; i < b->n_part; i++) {
		part[i] = b->part[i].part;
		part[i].batch = batch + n;
		part[i].n_iov = 0;
		n += part[i].n_batch;
	}
	for (size_t i = 0; i < b->n_batch; i++) {
		struct firn_part *p = &part[b->batch[i].part];
		batch[(size_t)(p->batch - batch) + p->n_iov++] = b->batch[i].batch;
	}
	for (size_t i = 0; i < b->n_part; i++) {
		part[i].iov = iov;
		part[i].n_iov = join(part[i].batch, part[i].n_batch, iov);
		iov += part[i].n_iov;
	}
}

/* Parts of slots that were set anew meanwhile go. */
static uint32_t parts_squeeze(const struct builder *b, struct firn_part *part, uint64_t *bytes)
{
	uint32_t n = 0;
	for (size_t i = 0; i < b->n_part; i++) {
		if (!b->part[i].item)
			continue;
		*bytes += part[i].bytes;
		part[n++] = part[i];
	}
	return n;
}

const struct firn_fetched *build_finish(struct builder *b, struct read_pin *pin)
{
	size_t parts = b->n_part * sizeof(struct firn_part),
	       batches = b->n_batch * sizeof(struct firn_batch),
	       iovs = b->n_batch * sizeof(struct iovec), holds = b->n_hold * sizeof(struct hold);
	size_t len = sizeof(struct fetched) + parts + batches + iovs + holds;
	uint64_t pinned = b->bytes +
	                  len; /* of the reader; of the engine: frames once, not their bytes */
	struct fetched *f = result_new(b->account, len, fetched_destroy, len + b->chunk_bytes);
	if (!f)
		return NULL;
	struct firn_part *part = (struct firn_part *)(f + 1);
	struct firn_batch *batch = (struct firn_batch *)((uint8_t *)part + parts);
	struct iovec *iov = (struct iovec *)((uint8_t *)batch + batches);
	f->hold = (struct hold *)((uint8_t *)iov + iovs);
	f->n_hold = b->n_hold;
	if (b->n_hold)
		memcpy(f->hold, b->hold, holds);
	b->n_hold = 0; /* the references went over */
	f->pin = pin;
	f->pinned = pinned;
	atomic_fetch_add_explicit(&pin->refs, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&pin->bytes, pinned, memory_order_relaxed);
	lay_out(b, part, batch, iov);
	f->shown = (struct firn_fetched){
		.struct_size = sizeof(struct firn_fetched),
		.part_size = sizeof(struct firn_part),
		.part = part,
	};
	f->shown.n_part = parts_squeeze(b, part, &f->shown.bytes);
	return &f->shown;
}
