/* Batches that are stored: index -> frame (cursor or cache) -> block -> batches.
 *
 *   item.cursor --holds pos?--> block_next ...
 *        no: index_extent_find --> held for the item, or cache --> stored_block (verified once per frame) --> new cursor
 *                                    miss: GOT_COLD
 *
 * A miss of the index is never "no such offset": the tail is looked at once more, and if that
 * does not have it either it is damage (PROTOCOL 15). */
#include "engine/base/le.h"
#include "engine/base/mem.h"
#include "engine/read/read.h"
#include <string.h>

struct cache_key frame_key(const struct volume *v, const struct index_extent *x)
{
	return (struct cache_key){ { le64_get(v->id), le64_get(v->id + 8),
		                     x->segment.epoch << 40 | x->segment.n, x->block.frame_pos } };
}

struct cache_key group_key(uint64_t lsn)
{
	return (struct cache_key){ { 0, 0, lsn, UINT64_MAX } };
}

/* ---- blocks of a frame that were verified already ---- */

struct block_note {
	struct block_note *next;
	uint32_t pos, n_batch;
	uint64_t sum;
	struct block block;
};

void stored_notes_free(const struct firn_env *env, void *notes)
{
	struct block_note *n = notes;
	while (n) {
		struct block_note *next = n->next;
		mem_free(env, n);
		n = next;
	}
}

static bool note_find(struct blob *frame, const struct block_entry *e, struct block *out)
{
	struct block_note *n = atomic_load_explicit(&frame->notes, memory_order_acquire);
	for (; n; n = n->next) {
		if (n->pos == e->block_pos && n->sum == e->block_sum &&
		    n->block.stream == e->stream && n->block.base == e->base &&
		    n->block.next == e->next && n->n_batch == e->n_batch) {
			*out = n->block;
			return true;
		}
	}
	return false;
}

/* Without memory the block is verified again next time. */
static void note_add(struct blob *frame, const struct block_entry *e, const struct block *block)
{
	struct block_note *n = mem_alloc(&frame->account->env, sizeof *n);
	if (!n)
		return;
	*n = (struct block_note){ NULL, e->block_pos, e->n_batch, e->block_sum, *block };
	void *head = atomic_load_explicit(&frame->notes, memory_order_relaxed);
	do {
		n->next = head;
	} while (!atomic_compare_exchange_weak_explicit(&frame->notes, &head, n,
	                                                memory_order_release,
	                                                memory_order_relaxed));
}

int stored_block(const struct volume *v, const struct index_extent *x, struct blob *frame,
                 struct block *out, struct firn_error *err)
{
	if (note_find(frame, &x->block, out))
		return 0;
	int rc = block_open(v->id, &x->block, frame->data, frame->len, out, err);
	if (rc == 0)
		note_add(frame, &x->block, out);
	return rc;
}

bool stored_moved(struct engine *e, const struct volume *v, const struct index_extent *x)
{
	struct index_extent now;
	int rc = index_extent_find(e->index, v->index_no, x->block.stream, x->block.base, &now,
	                           NULL);
	if (rc)
		return rc == FIRN_ENOENT;
	return now.block.base != x->block.base || !segment_id_equal(now.segment, x->segment);
}

/* ---- gaps with a row ---- */

int stored_gap(struct engine *e, const struct volume *v, uint64_t stream, uint64_t pos,
               struct gap_known *out)
{
	struct gap_entry g;
	*out = (struct gap_known){ 0 };
	int rc = index_gap_find(e->index, v->index_no, stream, pos, &g, NULL);
	if (rc == 0)
		*out = (struct gap_known){ g.from, g.to, g.kind, 0 };
	return rc == FIRN_ENOENT ? 0 : rc;
}

/* ---- taking ---- */

static enum got stored_code(struct take *t, int rc)
{
	t->code = rc;
	return GOT_CODE;
}

static bool cursor_covers(const struct cursor *c, uint64_t pos)
{
	return c && c->blob && c->lsn == 0 && c->x.block.base <= pos && pos < c->x.block.next;
}

static int cursor_set(struct reader_item *it, const struct index_extent *x, struct blob *frame,
                      const struct block *block)
{
	struct cursor *c = mem_alloc(&it->reader->account->env, sizeof *c);
	if (!c)
		return FIRN_ENOMEM;
	blob_retain(frame);
	*c = (struct cursor){ .blob = frame, .x = *x, .block = *block };
	cursor_count(it->reader, c);
	cursor_free(it->reader, it->cursor);
	it->cursor = c;
	return 0;
}

static enum got block_take(struct take *t)
{
	struct cursor *c = t->it->cursor;
	struct batch b;
	enum got got = GOT_MORE;
	uint64_t at = c->at_offset <= t->pos ? c->at : 0, before = at;
	t->hold = (struct hold){ c->blob, NULL };
	t->held = false;
	while (got == GOT_MORE && (at = block_next(&c->block, at, &b)) != 0) {
		got = take_batch(t, &b);
		if (got == GOT_MORE) {
			before = at;
			c->at_offset = b.offset + b.n_offsets;
		}
	}
	c->at = before;
	return got == GOT_MORE && t->pos < c->x.block.next ? GOT_HOLE : got;
}

/* The extent that holds the position, in the cursor; GOT_MORE: it is there. */
static enum got extent_enter(struct take *t)
{
	struct engine *e = t->r->engine;
	struct volume *v = t->it->volume;
	struct index_extent x;
	struct block block;
	int rc = index_extent_find(e->index, v->index_no, t->it->stream_id, t->pos, &x, NULL);
	if (rc == FIRN_ENOENT)
		return t->look->n ? GOT_END : GOT_LOOK;
	if (rc)
		return stored_code(t, rc);
	struct cache_key key = frame_key(v, &x);
	struct blob *frame = held_take(t->it, &key, x.block.base);
	frame = frame ? frame : cache_get(e->cache, &key);
	if (!frame) {
		t->want = (struct want){ .x = x };
		return GOT_COLD;
	}
	rc = stored_block(v, &x, frame, &block, NULL);
	if (rc == 0)
		rc = cursor_set(t->it, &x, frame, &block);
	blob_release(frame);
	if (rc)
		return stored_code(t, rc);
	load_ahead(t->it, &x);
	return GOT_MORE;
}

enum got stored_take(struct take *t)
{
	if (cursor_covers(t->it->cursor, t->pos))
		return block_take(t);
	if (t->in_caller)
		return GOT_DEFER;
	/* Without read-ahead nothing is loaded that this fetch has no room for. */
	if (t->left == 0 && t->r->ahead_max == 0 && t->r->builder.n_batch)
		return GOT_FULL;
	enum got got = extent_enter(t);
	if (got == GOT_END) /* nothing stored from here on: the gap ends in the tail */
		return tail_take(t);
	return got == GOT_MORE ? block_take(t) : got;
}
