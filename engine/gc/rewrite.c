/* Rewriting segments, see rewrite.h. Runs with `layering` claimed. Lock: volume.lock for short moments; none while the store
 * works or the index is read. Memory: a window of each of SOURCES_AT_ONCE segments, the segment that is written, and a row
 * per block. */
#include "engine/gc/rewrite.h"
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/gc/pieces.h"
#include "engine/gc/target.h"
#include "engine/upload/upload.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOW_MIN = 64 << 10, WINDOW_MAX = 1 << 20, WISH_AUTO = 0, WISH_NONE = 1 };

/* A block of the segments that go, by stream and base. */
struct moved {
	struct index_move m;
	struct segment_id from;
	bool dead, seen; /* seen: the old run has a row of it */
};

struct rewrite {
	struct volume *v;
	struct layer_run *run;
	struct firn_error *err;
	uint64_t charged, target_bytes;
	struct segment_id gone[CLEAN_SEGMENTS];
	uint32_t n_gone;
	struct moved *moved;
	size_t n_moved, cap_moved;
	size_t at; /* rows of the run rise as these do: below it all have passed */
	/* the segment that is written: pieces [first, last) of *p live in it, dead ones left out */
	struct pieces p;
	struct target t;
	size_t first, last;
	uint64_t raw_bytes;
};

void rewritten_free(const struct firn_env *env, struct rewritten *r)
{
	if (!r)
		return;
	mem_free(env, r->gone);
	mem_free(env, r->added);
	mem_free(env, r->move);
	mem_free(env, r);
}

static int no_memory(struct rewrite *w)
{
	return fail(w->err, FIRN_ENOMEM, 0, "gc", "no memory to rewrite");
}

/* ---- a segment ---- */

static int copy(struct rewrite *w, const struct piece *x)
{
	struct block b;
	struct batch bt;
	int rc = pieces_block(&w->p, x, &b);
	uint32_t wish = x->x.codec == SEGMENT_RAW ? WISH_NONE : WISH_AUTO;
	for (uint64_t at = 0; !rc && (at = block_next(&b, at, &bt)) != 0;)
		if (bt.offset + bt.n_offsets > x->start)
			rc = segment_writer_batch(w->t.writer, &bt, wish);
	if (rc && rc != FIRN_ECANCELED && !w->err->code)
		(void)fail(w->err, rc, 0, "gc", "a block cannot be copied");
	if (!rc)
		segment_writer_cut(w->t.writer); /* a block stays a block */
	w->raw_bytes += x->x.block_len;
	return rc;
}

/* The block is the one that was read, but for what is trimmed of it. */
static bool is_copy(const struct block_entry *y, const struct piece *x)
{
	if (y->stream != x->x.stream || y->next != x->x.next || y->base < x->x.base)
		return false;
	if (y->n_batch == x->x.n_batch)
		return y->block_sum == x->x.block_sum && y->payload_bytes == x->x.payload_bytes;
	return y->n_batch < x->x.n_batch && x->start > x->x.base && y->base > x->x.base;
}

static int add_moved(struct rewrite *w, const struct piece *x, struct segment_id to,
                     const struct block_entry *y)
{
	void *at = w->moved;
	if (mem_grow(w->v->engine->env, &at, &w->cap_moved, w->n_moved, w->n_moved + 1,
	             sizeof *w->moved))
		return no_memory(w);
	w->moved = at;
	struct moved *m = &w->moved[w->n_moved++];
	*m = (struct moved){ .dead = x->dead };
	m->from = w->p.source[x->source].s.id;
	m->m.to = to;
	m->m.base = x->x.base;
	m->m.block = y ? *y : x->x;
	return 0;
}

/* Footer rows and pieces are in one order. */
static int take_over(void *rewrite, const struct segment_footer *f)
{
	struct rewrite *w = rewrite;
	uint32_t row = 0, n = segment_n_blocks(f);
	int rc = 0;
	for (size_t i = w->first; i < w->last && !rc; i++) {
		const struct piece *x = &w->p.piece[i];
		struct block_entry y;
		if (x->dead)
			continue;
		if (row < n)
			segment_block_at(f, row++, &y);
		else
			y = (struct block_entry){ 0 };
		if (!is_copy(&y, x))
			return fail(w->err, FIRN_ECORRUPT, 0, "gc",
			            "the copy of a block of stream %llu is not the block",
			            (unsigned long long)x->x.stream);
		rc = add_moved(w, x, segment_footer_meta(f)->id, &y);
	}
	if (!rc && row != n)
		rc = fail(w->err, FIRN_ECORRUPT, 0, "gc", "more blocks than were copied");
	return rc;
}

static int end_target(struct rewrite *w)
{
	int rc = target_end(&w->t, false, take_over, w);
	w->first = w->last;
	w->raw_bytes = 0;
	return rc;
}

/* ---- all of them ---- */

static int copy_pieces(struct rewrite *w)
{
	int rc = 0;
	for (size_t i = 0; i < w->p.n_piece && !rc; i++) {
		const struct piece *x = &w->p.piece[i];
		w->last = i + 1;
		if (x->dead) {
			rc = add_moved(w, x, (struct segment_id){ 0 }, NULL);
			continue;
		}
		if (!w->t.writer)
			rc = target_open(&w->t, w->run->meta.rev_from, w->run->meta.rev_to);
		rc = rc ? rc : copy(w, x);
		if (!rc && w->raw_bytes >= w->target_bytes)
			rc = end_target(w);
	}
	return rc || !w->t.writer ? rc : end_target(w);
}

static int some(struct rewrite *w, const struct index_segment *s, uint32_t n)
{
	w->first = w->last = 0;
	int rc = pieces_open(&w->p, s, n);
	rc = rc ? rc : copy_pieces(w);
	pieces_close(&w->p);
	return rc;
}

static int by_place(const void *a, const void *b)
{
	const struct moved *x = a, *y = b;
	if (x->m.block.stream != y->m.block.stream)
		return x->m.block.stream < y->m.block.stream ? -1 : 1;
	return x->m.base < y->m.base ? -1 : x->m.base > y->m.base;
}

static void charge(struct rewrite *w, const struct clean_step *step)
{
	uint64_t share = w->v->engine->upload_bytes / 8, rows = 0;
	w->p.window = (size_t)(share / SOURCES_AT_ONCE);
	w->p.window = w->p.window < WINDOW_MIN   ? WINDOW_MIN
	              : w->p.window > WINDOW_MAX ? WINDOW_MAX
	                                         : w->p.window;
	w->target_bytes = target_bytes(w->v);
	for (uint32_t i = 0; i < step->n; i++)
		rows += step->segment[i].s.n_block;
	w->charged = 2 * w->target_bytes + (uint64_t)SOURCES_AT_ONCE * w->p.window +
	             rows * (sizeof(struct moved) + sizeof(struct piece));
	rounds_charge(w->v, (int64_t)w->charged);
}

int rewrite_open(struct volume *v, const struct clean_step *step, struct layer_run *run,
                 struct rewrite **out, struct firn_error *err)
{
	struct rewrite *w = *out = mem_zalloc(v->engine->env, sizeof *w);
	if (!w)
		return fail(err, FIRN_ENOMEM, 0, "gc", "no memory to rewrite");
	w->v = w->p.v = v;
	w->err = w->p.err = err;
	w->run = run;
	w->t = (struct target){ .v = v, .run = run, .err = err };
	charge(w, step);
	for (uint32_t i = 0; i < step->n; i++)
		w->gone[w->n_gone++] = step->segment[i].s.id;
	int rc = 0;
	for (uint32_t i = 0; i < step->n && !rc; i += SOURCES_AT_ONCE) {
		uint32_t n = step->n - i < SOURCES_AT_ONCE ? step->n - i : SOURCES_AT_ONCE;
		rc = some(w, &step->segment[i], n);
	}
	if (!rc && w->n_moved)
		qsort(w->moved, w->n_moved, sizeof *w->moved, by_place);
	return rc;
}

void rewrite_close(struct rewrite *w)
{
	if (!w)
		return;
	const struct firn_env *env = w->v->engine->env;
	pieces_close(&w->p);
	target_close(&w->t);
	rounds_charge(w->v, -(int64_t)w->charged);
	mem_free(env, w->moved);
	mem_free(env, w);
}

void rewrite_forget(struct rewrite *w)
{
	if (w)
		target_forget(&w->t);
}

/* ---- the run of layers ---- */

static bool goes(const struct rewrite *w, struct segment_id id)
{
	for (uint32_t i = 0; i < w->n_gone; i++)
		if (segment_id_equal(w->gone[i], id))
			return true;
	return false;
}

static int extent_row(struct rewrite *w, const struct layer_row *row)
{
	const struct layer_extent *x = &row->u.extent;
	struct layer_row now = { .kind = LAYER_EXTENT };
	struct moved *m = NULL;
	for (; w->at < w->n_moved && !m; w->at++) {
		struct moved *c = &w->moved[w->at];
		bool below = c->m.block.stream < x->block.stream ||
		             (c->m.block.stream == x->block.stream && c->m.base < x->block.base);
		if (!below && (c->m.block.stream != x->block.stream || c->m.base != x->block.base))
			break;
		m = below ? NULL : c;
	}
	if (!m || m->seen || !segment_id_equal(m->from, x->segment) ||
	    m->m.block.next != x->block.next)
		return fail(
		        w->err, FIRN_ECORRUPT, 0, "gc",
		        "the layers have a block of stream %llu at %llu that its segment has not",
		        (unsigned long long)x->block.stream, (unsigned long long)x->block.base);
	m->seen = true;
	if (m->dead)
		return 0;
	now.u.extent = (struct layer_extent){ m->m.to, m->m.block };
	return layer_run_row(w->run, &now);
}

int rewrite_row(void *rewrite, const struct layer_row *row)
{
	struct rewrite *w = rewrite;
	if (row->kind == LAYER_EXTENT && goes(w, row->u.extent.segment))
		return extent_row(w, row);
	if (row->kind == LAYER_SEGMENT && goes(w, row->u.segment.id))
		return 0;
	return layer_run_row(w->run, row);
}

static int result(struct rewrite *w, struct rewritten **out)
{
	const struct firn_env *env = w->v->engine->env;
	struct rewritten *r = *out = mem_zalloc(env, sizeof *r);
	if (!r)
		return no_memory(w);
	r->gone = mem_dup(env, w->gone, w->n_gone * sizeof *w->gone);
	r->move = mem_alloc(env, (w->n_moved + 1) * sizeof *r->move);
	if (!r->gone || !r->move) {
		rewritten_free(env, r);
		*out = NULL;
		return no_memory(w);
	}
	r->n_gone = (uint32_t)segment_ids_sort(r->gone, w->n_gone);
	r->added = w->t.added;
	r->n_added = (uint32_t)w->t.n_added;
	w->t.added = NULL;
	w->t.n_added = w->t.cap_added = 0;
	for (size_t i = 0; i < w->n_moved; i++)
		if (!w->moved[i].dead)
			r->move[r->n_move++] = w->moved[i].m;
	return 0;
}

/* Numbers of new segments are above all that the run names. */
int rewrite_end(struct rewrite *w, struct rewritten **out)
{
	int rc = 0;
	for (size_t i = 0; i < w->n_moved; i++)
		if (!w->moved[i].dead && !w->moved[i].seen)
			return fail(w->err, FIRN_ECORRUPT, 0, "gc",
			            "the layers lack a block of stream %llu at %llu that lives",
			            (unsigned long long)w->moved[i].m.block.stream,
			            (unsigned long long)w->moved[i].m.base);
	for (size_t i = 0; i < w->t.n_added && !rc; i++) {
		struct layer_row row = { .kind = LAYER_SEGMENT };
		row.u.segment = w->t.added[i];
		rc = layer_run_row(w->run, &row);
	}
	rc = rc ? rc : layer_run_end(w->run);
	return rc ? rc : result(w, out);
}
