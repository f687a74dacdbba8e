/* Batches that are durable and not yet stored: in group memory, else read back from the WAL.
 *
 *   stream.tail: | base lsn last_op |...      group: op <-prev- op <-prev- op (last_op)
 *
 * A stream's operations in a group link backwards, so they are walked from the newest down to
 * the one that holds the position, then taken in order. The group was verified when it came from
 * the disk. What lies there for long has left the list (admit/places.c): a load looks for its group,
 * which comes with the cursor. */
#include "engine/base/mem.h"
#include "engine/read/read.h"

int group_ops_find(struct group_ops *g, const uint8_t *group, uint32_t last_op, uint64_t from)
{
	struct wal_op op;
	g->n = 0;
	for (uint32_t pos = last_op; pos;) {
		wal_op_at(group, pos, &op);
		if (op.kind == 0 || op.prev >= pos)
			return FIRN_ECORRUPT;
		if (op.kind == WAL_OP_APPEND) {
			if (op.batch.offset + op.batch.n_offsets <= from)
				break;
			if (mem_grow(g->env, (void **)&g->pos, &g->cap, g->n, g->n + 1,
			             sizeof *g->pos))
				return FIRN_ENOMEM;
			g->pos[g->n++] = pos;
		}
		pos = op.prev;
	}
	return 0;
}

static enum got group_take(struct take *t, const uint8_t *group, uint32_t last_op)
{
	struct group_ops g = { .env = &t->r->account->env };
	struct wal_op op;
	enum got got = GOT_MORE;
	int rc = group_ops_find(&g, group, last_op, t->pos);
	for (size_t i = g.n; rc == 0 && got == GOT_MORE && i-- > 0;) {
		wal_op_at(group, g.pos[i], &op);
		got = take_batch(t, &op.batch);
	}
	mem_free(g.env, g.pos);
	if (rc) {
		t->code = rc;
		return GOT_CODE;
	}
	return got;
}

/* Read back before: by this item, or by another one. */
static struct blob *group_blob(struct take *t, uint64_t lsn)
{
	struct cursor *c = t->it->cursor;
	if (c && c->lsn == lsn) {
		blob_retain(c->blob);
		return c->blob;
	}
	struct cache_key key = group_key(lsn);
	return cache_get(t->r->engine->cache, &key);
}

static enum got entry_take(struct take *t, const struct tail_entry *e)
{
	struct wal_view view = { 0 };
	struct blob *blob = NULL;
	const uint8_t *group;
	if (wal_view_tail(&t->r->engine->wal, e->lsn, &view) == 0) {
		group = view.group;
	} else {
		blob = group_blob(t, e->lsn);
		if (!blob) {
			t->want = (struct want){ .lsn = e->lsn, .len = e->len };
			return t->in_caller ? GOT_DEFER : GOT_COLD;
		}
		group = blob->data;
	}
	t->hold = (struct hold){ blob, view.chunk };
	t->held = false;
	enum got got = group_take(t, group, e->last_op);
	blob_release(blob);
	wal_chunk_release(view.chunk);
	return got;
}

enum got tail_take(struct take *t)
{
	const struct look *k = t->look;
	for (uint32_t i = 0; i < k->n && t->pos < t->bound; i++) {
		if (i + 1 < k->n && k->e[i + 1].base <= t->pos)
			continue;
		enum got got = entry_take(t, &k->e[i]);
		if (got != GOT_MORE)
			return got;
	}
	return t->pos < t->bound ? GOT_LOOK : GOT_END;
}

bool look_is_old(const struct look *k, uint64_t pos)
{
	return k->old && pos >= k->stored && pos < (k->n ? k->e[0].base : k->durable);
}

enum got old_take(struct take *t)
{
	const struct cursor *c = t->it->cursor;
	if (c && c->lsn && c->from <= t->pos && t->pos < c->end) {
		t->hold = (struct hold){ c->blob, NULL };
		t->held = false;
		enum got got = group_take(t, c->blob->data, c->last_op);
		return got == GOT_MORE ? GOT_LOOK : got;
	}
	if (t->in_caller)
		return GOT_DEFER;
	t->want = (struct want){ .find = true };
	if (c && c->lsn && c->end && c->end <= t->pos) /* reading on: not before that group */
		t->want.lsn = c->lsn;
	return GOT_COLD;
}
