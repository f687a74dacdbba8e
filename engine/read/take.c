/* One batch more for a fetch: does it lie below the mark, does it fit, are offsets missing
 * before it? Runs with reader.serve held, on memory only. */
#include "engine/read/read.h"

struct build_part *take_part(struct take *t)
{
	struct builder *b = &t->r->builder;
	struct build_part *p = NULL;
	if (t->it->part != READ_NO_PART)
		return &b->part[t->it->part];
	return build_part_add(b, t->it, &p) ? NULL : p;
}

static uint32_t part_batches(const struct take *t)
{
	return t->it->part == READ_NO_PART ? 0 : t->r->builder.part[t->it->part].part.n_batch;
}

static enum got take_code(struct take *t, int code)
{
	t->code = code;
	return GOT_CODE;
}

/* No room for a part, and the item has none. */
static bool parts_full(const struct take *t)
{
	uint32_t max = t->r->fetch.max_parts;
	return max && t->it->part == READ_NO_PART && t->r->builder.n_part >= max;
}

/* Offsets [pos, to) hold nothing, for a known reason. A part tells one gap, before its batches. */
enum got take_gap(struct take *t, uint32_t kind, uint64_t to)
{
	t->told = true;
	bool first = t->it->part == READ_NO_PART ||
	             t->r->builder.part[t->it->part].part.gap == FIRN_GAP_NONE;
	if (part_batches(t) > 0 || !first)
		return GOT_STOP;
	if (parts_full(t))
		return GOT_FULL;
	struct build_part *p = take_part(t);
	if (!p)
		return take_code(t, FIRN_ENOMEM);
	p->part.gap = kind;
	p->part.gap_from = t->pos;
	p->part.gap_to = to;
	t->pos = to;
	return GOT_MORE;
}

/* The batch begins above the position. What its writer skipped may begin behind what was lost. */
static enum got take_hole(struct take *t, const struct batch *b)
{
	if (t->look->lost && t->pos < t->look->stored)
		return GOT_HOLE;
	if (b->flags & BATCH_SKIPPED_BEFORE)
		return take_gap(t, FIRN_GAP_SKIPPED, b->offset);
	return GOT_HOLE;
}

/* A small batch may hold a large frame: what is gathered counts, too. */
static bool pins_full(const struct take *t)
{
	const struct engine *e = t->r->engine;
	return atomic_load_explicit(&e->account->pin_bytes, memory_order_relaxed) >= e->pin_bytes;
}

/* Does it fit? One batch always does, unless the caller said HARD_MAX. */
static enum got take_room(struct take *t, uint64_t len)
{
	struct fetch *f = &t->r->fetch;
	struct builder *b = &t->r->builder;
	bool hard = f->flags & FIRN_FETCH_HARD_MAX, first = part_batches(t) == 0;
	uint64_t item_max = t->it->max_bytes ? t->it->max_bytes : UINT64_MAX;
	uint64_t item_had = t->it->part == READ_NO_PART ? 0 : b->part[t->it->part].part.bytes;
	if (hard && first && (len > item_max || len > f->max_bytes))
		return take_code(t, FIRN_ETOOBIG);
	if (b->n_batch >= READ_BATCHES_MAX)
		return GOT_FULL;
	if (parts_full(t))
		return GOT_FULL;
	if (len > t->left && (hard || b->n_batch > 0))
		return GOT_FULL;
	if (b->n_batch > 0 && !t->held && pins_full(t))
		return GOT_FULL;
	if (item_had + len > item_max && !first)
		return GOT_ITEM_FULL;
	return GOT_MORE;
}

enum got take_batch(struct take *t, const struct batch *b)
{
	uint64_t end = b->offset + b->n_offsets;
	enum got got = GOT_MORE;
	if (end <= t->pos)
		return GOT_MORE;
	if (b->offset >= t->bound || (!t->whole && end > t->bound))
		return GOT_END;
	if (b->offset > t->pos)
		got = take_hole(t, b);
	if (got == GOT_MORE)
		got = take_room(t, b->payload_len);
	if (got != GOT_MORE)
		return got;
	if (!take_part(t) || (!t->held && build_hold_add(&t->r->builder, &t->hold)))
		return take_code(t, FIRN_ENOMEM);
	t->held = true;
	if (build_batch_add(&t->r->builder, t->it->part, b, t->r->fetch.flags & FIRN_FETCH_HEADERS))
		return take_code(t, FIRN_ENOMEM);
	if (t->hold.chunk)
		t->r->builder.chunk_bytes += b->payload_len;
	t->pos = end;
	t->left = b->payload_len < t->left ? t->left - b->payload_len : 0;
	return GOT_MORE;
}
