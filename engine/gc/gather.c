/* Small blocks become larger ones, see gather.h. Runs with `layering` claimed. Lock: volume.lock for short moments; none while
 * the store works or the index is read. */
#include "engine/gc/gather.h"
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/gc/compact.h"
#include "engine/gc/pieces.h"
#include "engine/gc/target.h"
#include "engine/segment/format.h"
#include "engine/upload/upload.h"
#include <stdlib.h>
#include <string.h>

enum { WINDOW_MIN = COMPACT_SOURCE / 2, WINDOW_MAX = 1 << 20 };

/* What a block is made of, beside its move. */
struct parts {
	uint32_t n, seen; /* seen: rows of them in the run */
};

struct gather {
	struct volume *v;
	struct layer_run *run;
	struct firn_error *err;
	uint64_t charged, rows_charged, target_bytes, raw_bytes;
	uint64_t rev_from, rev_to; /* of all sources */
	struct segment_id gone[CLEAN_SEGMENTS];
	struct pieces p; /* its sources: those, in the same order */
	struct target t;
	/* the stream whose rows come now */
	uint64_t stream, span_ms;
	bool by_timestamp;
	uint32_t wish;
	/* the block that is made of it, and may take more */
	bool open;
	struct block_entry block;
	/* how many there were, and what they became */
	uint64_t n_old, n_new, n_dead, n_dropped;
	/* blocks that were made, by stream and base: [first, n_made) lie in the segment that is written */
	struct index_move *move;
	struct parts *part;
	size_t n_made, cap_move, cap_part, first;
	size_t at; /* rows of the run rise as these do */
};

static int no_memory(const struct gather *g)
{
	return fail(g->err, FIRN_ENOMEM, 0, "gc", "no memory to gather");
}

/* ---- what joins what ---- */

static uint64_t span_of(uint64_t retention_ms)
{
	uint64_t ms = retention_ms / COMPACT_PER_AGE;
	return retention_ms && ms < COMPACT_SPAN_MS ? ms : COMPACT_SPAN_MS;
}

static void stream_enter(struct gather *g, uint64_t id)
{
	if (g->stream == id)
		return;
	g->stream = id;
	g->open = false;
	g->by_timestamp = false;
	g->span_ms = COMPACT_SPAN_MS;
	g->wish = FIRN_COMPRESSION_AUTO;
	pthread_mutex_lock(&g->v->lock);
	const struct stream *s = volume_stream(g->v, id);
	if (s && s->config) {
		g->by_timestamp = s->config->flags & FIRN_RETAIN_BY_TIMESTAMP;
		g->span_ms = span_of(s->config->retention_ms);
		g->wish = s->config->compression;
	}
	pthread_mutex_unlock(&g->v->lock);
}

static bool within(int64_t a_min, int64_t a_max, int64_t b_min, int64_t b_max, uint64_t span)
{
	int64_t min = a_min < b_min ? a_min : b_min, max = a_max > b_max ? a_max : b_max;
	return (uint64_t)max - (uint64_t)min <= span;
}

/* The stream is entered. */
static bool joins(const struct gather *g, const struct block_entry *x)
{
	const struct block_entry *o = &g->block;
	if (!g->open || o->next != x->base ||
	    (uint64_t)o->block_len + x->block_len - BLOCK_HEADER_LEN > SEGMENT_BLOCK_BYTES)
		return false;
	return within(o->min_append_ms, o->max_append_ms, x->min_append_ms, x->max_append_ms,
	              g->span_ms) &&
	       (!g->by_timestamp || within(o->min_timestamp_ms, o->max_timestamp_ms,
	                                   x->min_timestamp_ms, x->max_timestamp_ms, g->span_ms));
}

static void lower(int64_t *to, int64_t a)
{
	*to = a < *to ? a : *to;
}

static void raise(int64_t *to, int64_t a)
{
	*to = a > *to ? a : *to;
}

static void join(struct gather *g, const struct block_entry *x)
{
	struct block_entry *o = &g->block;
	if (!g->open)
		*o = *x;
	else
		o->block_len += x->block_len - BLOCK_HEADER_LEN;
	o->next = x->next;
	lower(&o->min_append_ms, x->min_append_ms);
	raise(&o->max_append_ms, x->max_append_ms);
	lower(&o->min_timestamp_ms, x->min_timestamp_ms);
	raise(&o->max_timestamp_ms, x->max_timestamp_ms);
	g->open = true;
}

/* The source that it is; n_source: none of them. */
static uint32_t source_of(const struct gather *g, struct segment_id id)
{
	uint32_t lo = 0, hi = g->p.n_source;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (segment_id_compare(g->gone[mid], id) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < g->p.n_source && segment_id_equal(g->gone[lo], id) ? lo : g->p.n_source;
}

/* ---- first: is it worth it? ---- */

int gather_count(void *gather, const struct layer_row *row)
{
	struct gather *g = gather;
	const struct block_entry *x = &row->u.extent.block;
	if (row->kind != LAYER_EXTENT)
		return 0;
	stream_enter(g, x->stream);
	if (source_of(g, row->u.extent.segment) == g->p.n_source) {
		g->open = false;
		return 0;
	}
	g->open = joins(g, x);
	g->n_old++;
	g->n_new += !g->open;
	join(g, x);
	return 0;
}

/* That a block takes, here and in the commit. */
static size_t row_bytes(void)
{
	return sizeof(struct index_move) + sizeof(struct parts);
}

bool gather_worth(const struct gather *g)
{
	return 2 * g->n_new <= g->n_old && g->n_new * row_bytes() <= g->v->engine->upload_bytes / 2;
}

void gather_again(struct gather *g)
{
	g->stream = 0;
	g->open = false;
	if (!g->rows_charged) {
		g->rows_charged = g->n_new * row_bytes();
		rounds_charge(g->v, (int64_t)g->rows_charged);
	}
}

/* ---- then: copy ---- */

static int made_begin(struct gather *g, const struct block_entry *x)
{
	const struct firn_env *env = g->v->engine->env;
	void *move = g->move, *part = g->part;
	int rc = mem_grow(env, &move, &g->cap_move, g->n_made, g->n_made + 1, sizeof *g->move);
	g->move = move;
	rc = rc ? rc
	        : mem_grow(env, &part, &g->cap_part, g->n_made, g->n_made + 1, sizeof *g->part);
	g->part = part;
	if (rc)
		return no_memory(g);
	g->part[g->n_made] = (struct parts){ 0 };
	g->move[g->n_made++] = (struct index_move){
		.base = x->base,
		.block = { .stream = x->stream, .base = x->base },
	};
	return 0;
}

/* The rows of the segment that was written are the blocks that were to be made. */
static int take_over(void *gather, const struct segment_footer *f)
{
	struct gather *g = gather;
	uint32_t n = segment_n_blocks(f);
	bool same = n == g->n_made - g->first;
	for (uint32_t i = 0; i < n && same; i++) {
		struct index_move *m = &g->move[g->first + i];
		struct block_entry y;
		segment_block_at(f, i, &y);
		same = y.stream == m->block.stream && y.base == m->block.base &&
		       y.next == m->block.next && y.n_batch == m->block.n_batch &&
		       y.payload_bytes == m->block.payload_bytes;
		m->block = y;
		m->to = segment_footer_meta(f)->id;
	}
	if (!same)
		return fail(g->err, FIRN_ECORRUPT, 0, "gc",
		            "what was gathered is not what was read");
	return 0;
}

static int end_target(struct gather *g)
{
	int rc = target_end(&g->t, true, take_over, g);
	g->first = g->n_made;
	g->raw_bytes = 0;
	return rc;
}

/* Before a block that does not join the one before it. */
static int block_begin(struct gather *g, const struct block_entry *x)
{
	int rc = 0;
	g->open = false;
	if (g->t.writer && g->raw_bytes >= g->target_bytes)
		rc = end_target(g);
	else if (g->t.writer)
		segment_writer_cut(g->t.writer);
	if (!rc && !g->t.writer)
		rc = target_open(&g->t, g->rev_from, g->rev_to);
	return rc ? rc : made_begin(g, x);
}

static int add_batch(struct gather *g, const struct batch *b)
{
	struct block_entry *y = &g->move[g->n_made - 1].block;
	if (!y->n_batch)
		y->base = b->offset;
	y->n_batch++;
	y->payload_bytes += b->payload_len;
	return segment_writer_batch(g->t.writer, b, g->wish);
}

static int add(struct gather *g, const struct piece *x)
{
	struct block b;
	struct batch bt;
	int rc = joins(g, &x->x) ? 0 : block_begin(g, &x->x);
	rc = rc ? rc : pieces_block(&g->p, x, &b);
	for (uint64_t at = 0; !rc && (at = block_next(&b, at, &bt)) != 0;)
		if (bt.offset + bt.n_offsets > x->start)
			rc = add_batch(g, &bt);
	if (rc) {
		if (rc != FIRN_ECANCELED && !g->err->code)
			(void)fail(g->err, rc, 0, "gc", "a block cannot be gathered");
		return rc;
	}
	g->move[g->n_made - 1].block.next = x->x.next;
	g->part[g->n_made - 1].n++;
	g->raw_bytes += x->x.block_len;
	join(g, &x->x);
	return 0;
}

int gather_copy(void *gather, const struct layer_row *row)
{
	struct gather *g = gather;
	if (row->kind != LAYER_EXTENT)
		return 0;
	stream_enter(g, row->u.extent.block.stream);
	struct piece x = { .x = row->u.extent.block,
		           .source = source_of(g, row->u.extent.segment) };
	if (x.source == g->p.n_source) {
		g->open = false;
		return 0;
	}
	int rc = pieces_judge(&g->p, &x);
	if (rc || x.dead) {
		g->open = false;
		g->n_dead += x.dead;
		return rc;
	}
	return add(g, &x);
}

/* ---- and has all been copied? ---- */

static bool covered(const struct gather *g, const struct block_entry *x)
{
	size_t lo = 0, hi = g->n_made;
	while (lo < hi) { /* the first that begins behind it */
		size_t mid = lo + (hi - lo) / 2;
		const struct index_move *m = &g->move[mid];
		if (m->block.stream < x->stream ||
		    (m->block.stream == x->stream && m->base <= x->base))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && g->move[lo - 1].block.stream == x->stream &&
	       x->next <= g->move[lo - 1].block.next;
}

static int check_footer(struct gather *g, uint32_t source)
{
	struct segment_footer *f = NULL;
	int rc = volume_footer(g->v, &g->p.source[source].s, &f, g->err);
	for (uint32_t i = 0; !rc && i < segment_n_blocks(f); i++) {
		struct piece x = { .source = source };
		segment_block_at(f, i, &x.x);
		rc = pieces_judge(&g->p, &x);
		if (!rc && !x.dead && !covered(g, &x.x))
			rc = fail(g->err, FIRN_ECORRUPT, 0, "gc",
			          "segment %llx-%llx: its block of stream %llu at %llu lives, and "
			          "the layers have it not",
			          (unsigned long long)g->gone[source].epoch,
			          (unsigned long long)g->gone[source].n,
			          (unsigned long long)x.x.stream, (unsigned long long)x.x.base);
	}
	segment_footer_close(f);
	return rc;
}

int gather_copied(struct gather *g)
{
	int rc = g->t.writer ? end_target(g) : 0;
	for (uint32_t i = 0; i < g->p.n_source && !rc; i++)
		rc = volume_ends_now(g->v) ? FIRN_ECANCELED : check_footer(g, i);
	return rc;
}

/* ---- the run of layers ---- */

static int bad_run(struct gather *g, const struct block_entry *x)
{
	return fail(g->err, FIRN_ECORRUPT, 0, "gc",
	            "the layers say another thing of stream %llu at %llu than before",
	            (unsigned long long)x->stream, (unsigned long long)x->base);
}

static int extent_row(struct gather *g, const struct layer_extent *x)
{
	struct layer_row now = { .kind = LAYER_EXTENT };
	while (g->at < g->n_made && (g->move[g->at].block.stream < x->block.stream ||
	                             (g->move[g->at].block.stream == x->block.stream &&
	                              g->move[g->at].block.next <= x->block.base)))
		if (g->part[g->at].seen != g->part[g->at].n)
			return bad_run(g, &g->move[g->at].block);
		else
			g->at++;
	const struct index_move *m = g->at < g->n_made ? &g->move[g->at] : NULL;
	if (!m || m->block.stream != x->block.stream || x->block.base < m->base) {
		g->n_dropped++; /* dead when it was to be copied */
		return 0;
	}
	if (x->block.next > m->block.next)
		return bad_run(g, &x->block);
	if (g->part[g->at].seen++)
		return 0;
	now.u.extent = (struct layer_extent){ m->to, m->block };
	return layer_run_row(g->run, &now);
}

int gather_row(void *gather, const struct layer_row *row)
{
	struct gather *g = gather;
	bool gone = (row->kind == LAYER_EXTENT &&
	             source_of(g, row->u.extent.segment) < g->p.n_source) ||
	            (row->kind == LAYER_SEGMENT && source_of(g, row->u.segment.id) < g->p.n_source);
	if (gone)
		return row->kind == LAYER_EXTENT ? extent_row(g, &row->u.extent) : 0;
	return layer_run_row(g->run, row);
}

static int result(struct gather *g, struct rewritten **out)
{
	const struct firn_env *env = g->v->engine->env;
	struct rewritten *r = *out = mem_zalloc(env, sizeof *r);
	if (!r)
		return no_memory(g);
	r->gone = mem_dup(env, g->gone, g->p.n_source * sizeof *g->gone);
	if (!r->gone) {
		mem_free(env, r);
		*out = NULL;
		return no_memory(g);
	}
	r->n_gone = g->p.n_source;
	r->added = g->t.added;
	r->n_added = (uint32_t)g->t.n_added;
	r->move = g->move;
	r->n_move = g->n_made;
	g->t.added = NULL;
	g->t.n_added = g->t.cap_added = 0;
	g->move = NULL;
	g->n_made = g->cap_move = 0;
	return 0;
}

/* Numbers of new segments are above all that the run names. */
int gather_end(struct gather *g, struct rewritten **out)
{
	int rc = 0;
	for (; g->at < g->n_made; g->at++)
		if (g->part[g->at].seen != g->part[g->at].n)
			return bad_run(g, &g->move[g->at].block);
	if (g->n_dropped != g->n_dead)
		return fail(g->err, FIRN_ECORRUPT, 0, "gc",
		            "the layers lack blocks that were gathered");
	for (size_t i = 0; i < g->t.n_added && !rc; i++) {
		struct layer_row row = { .kind = LAYER_SEGMENT };
		row.u.segment = g->t.added[i];
		rc = layer_run_row(g->run, &row);
	}
	rc = rc ? rc : layer_run_end(g->run);
	if (!rc)
		atomic_fetch_add(&g->v->engine->uploads.n_gathered, g->n_old - g->n_dead);
	return rc ? rc : result(g, out);
}

/* ---- all of it ---- */

static int by_id(const void *a, const void *b)
{
	const struct index_segment *x = a, *y = b;
	return segment_id_compare(x->s.id, y->s.id);
}

static void charge(struct gather *g, const struct clean_step *step)
{
	uint64_t share = g->v->engine->upload_bytes / 8, footer = 0;
	for (uint32_t i = 0; i < step->n; i++) {
		uint64_t n = step->segment[i].s.bytes - step->segment[i].s.footer_pos;
		footer = n > footer ? n : footer;
	}
	g->p.window = (size_t)(share / step->n);
	g->p.window = g->p.window < WINDOW_MIN   ? WINDOW_MIN
	              : g->p.window > WINDOW_MAX ? WINDOW_MAX
	                                         : g->p.window;
	g->target_bytes = target_bytes(g->v);
	g->charged = 2 * g->target_bytes + footer +
	             (uint64_t)step->n * (g->p.window + SEGMENT_FRAME_BYTES);
	rounds_charge(g->v, (int64_t)g->charged);
}

int gather_open(struct volume *v, const struct clean_step *step, struct layer_run *run,
                struct gather **out, struct firn_error *err)
{
	const struct firn_env *env = v->engine->env;
	struct index_segment *s = mem_dup(env, step->segment, step->n * sizeof *s);
	struct gather *g = *out = s ? mem_zalloc(env, sizeof *g) : NULL;
	if (!g) {
		mem_free(env, s);
		return fail(err, FIRN_ENOMEM, 0, "gc", "no memory to gather");
	}
	g->v = g->p.v = v;
	g->err = g->p.err = err;
	g->run = run;
	g->t = (struct target){ .v = v, .run = run, .err = err };
	g->rev_from = UINT64_MAX;
	charge(g, step);
	qsort(s, step->n, sizeof *s, by_id);
	for (uint32_t i = 0; i < step->n; i++) {
		g->gone[i] = s[i].s.id;
		g->rev_from = s[i].s.rev_from < g->rev_from ? s[i].s.rev_from : g->rev_from;
		g->rev_to = s[i].s.rev_to > g->rev_to ? s[i].s.rev_to : g->rev_to;
	}
	int rc = pieces_sources(&g->p, s, step->n);
	mem_free(env, s);
	return rc;
}

void gather_forget(struct gather *g)
{
	if (g)
		target_forget(&g->t);
}

void gather_close(struct gather *g)
{
	if (!g)
		return;
	const struct firn_env *env = g->v->engine->env;
	pieces_close(&g->p);
	target_close(&g->t);
	rounds_charge(g->v, -(int64_t)(g->charged + g->rows_charged));
	mem_free(env, g->move);
	mem_free(env, g->part);
	mem_free(env, g);
}
