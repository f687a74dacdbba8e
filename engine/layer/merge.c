/* Rows of several sources become rows of one: what is about the same thing is folded, oldest first, by the
 * same rules by which the index folds footers (engine/index/FORMAT.md), so that
 *
 *   fold(index, merge(a, b)) = fold(fold(index, a), b)
 *
 * A stream's own row comes before all else of it: it says from which offset on the stream begins and whether it
 * is gone, so the rows behind it are dropped at once. What says that something is gone stays, unless nothing is
 * older (base): an index that does not begin at zero has to hear of it. */
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/layer/format.h"
#include <string.h>

enum { WINDOW_MAX = 16 }; /* batches of a producer that are kept */

struct merging {
	const struct layer_merge *m;
	const struct layer_row **head; /* the next row of each source; NULL: at its end */
	struct firn_error *err;
	/* what has been folded of one thing so far; it owns its bytes */
	struct layer_row acc; /* kind 0: nothing */
	struct buf bytes, spare;
	struct producer_batch window[WINDOW_MAX];
	/* the stream whose rows come now */
	uint64_t stream, start;
	bool gone;
};

/* ---- taking a row over: its bytes become ours ---- */

static int keep_bytes(struct merging *g, const void *a, size_t a_len, const void *b, size_t b_len)
{
	struct buf t = g->spare;
	t.len = 0;
	if (a_len)
		buf_put(&t, a, a_len);
	if (b_len)
		buf_put(&t, b, b_len);
	g->spare = g->bytes;
	g->bytes = t;
	return t.failed ? FIRN_ENOMEM : 0;
}

static int keep_stream(struct merging *g, const struct stream_state *s)
{
	struct stream_state *to = &g->acc.u.stream;
	int rc = keep_bytes(g, s->name, s->name_len, s->config, s->config_len);
	*to = *s;
	to->name = (const char *)g->bytes.data;
	to->config = s->config_len ? g->bytes.data + s->name_len : NULL;
	return rc;
}

static void keep_window(struct merging *g, const struct producer_batch *old, uint32_t n_old,
                        const struct producer_batch *new, uint32_t n_new)
{
	struct producer_batch w[WINDOW_MAX];
	if (n_new > WINDOW_MAX) {
		new += n_new - WINDOW_MAX;
		n_new = WINDOW_MAX;
	}
	if (n_old > WINDOW_MAX - n_new) {
		old += n_old - (WINDOW_MAX - n_new);
		n_old = WINDOW_MAX - n_new;
	}
	for (uint32_t i = 0; i < n_old; i++)
		w[i] = old[i];
	for (uint32_t i = 0; i < n_new; i++)
		w[n_old + i] = new[i];
	g->acc.u.producer.n_batch = n_old + n_new;
	g->acc.u.producer.batch = g->window;
	memcpy(g->window, w, (n_old + n_new) * sizeof *w);
}

static int keep(struct merging *g, const struct layer_row *r)
{
	int rc = 0;
	struct layer_row *a = &g->acc;
	*a = *r;
	switch (r->kind) {
	case LAYER_STREAM:
		return keep_stream(g, &r->u.stream);
	case LAYER_KV:
		rc = keep_bytes(g, r->u.kv.key, r->u.kv.key_len, r->u.kv.value,
		                r->u.kv.deleted ? 0 : r->u.kv.value_len);
		a->u.kv.key = g->bytes.data;
		a->u.kv.value = r->u.kv.deleted ? NULL : g->bytes.data + r->u.kv.key_len;
		return rc;
	case LAYER_KEY:
		rc = keep_bytes(g, r->u.key.key, r->u.key.key_len, NULL, 0);
		a->u.key.key = g->bytes.data;
		return rc;
	case LAYER_PRODUCER:
		keep_window(g, NULL, 0, r->u.producer.batch, r->u.producer.n_batch);
		return 0;
	default:
		return 0;
	}
}

/* ---- folding ---- */

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static int fold_stream(struct merging *g, const struct stream_state *s)
{
	const struct stream_state old = g->acc.u.stream;
	if (s->flags & (STREAM_CREATED | STREAM_DELETED) || old.flags & STREAM_DELETED)
		return s->flags & (STREAM_CREATED | STREAM_DELETED) ? keep_stream(g, s) : 0;
	struct stream_state n = *s;
	n.flags |= old.flags;
	n.start = s->start > old.start ? s->start : old.start;
	n.next = s->next > old.next ? s->next : old.next;
	n.rev_last = s->rev_last > old.rev_last ? s->rev_last : old.rev_last;
	n.rev_created = old.rev_created;
	if (!s->name_len) {
		n.name = old.name;
		n.name_len = old.name_len;
	}
	if (!(s->flags & STREAM_CONFIG)) {
		n.config = old.config;
		n.config_len = old.config_len;
	}
	n.bytes += old.bytes;
	if (old.first_append_ms)
		n.first_append_ms = old.first_append_ms;
	n.last_append_ms = later(s->last_append_ms, old.last_append_ms);
	n.max_timestamp_ms = later(s->max_timestamp_ms, old.max_timestamp_ms);
	return keep_stream(g, &n);
}

static void fold_producer(struct merging *g, const struct producer_change *p)
{
	struct producer_change old = g->acc.u.producer;
	bool goes_on = !p->window_reset && old.producer_epoch == p->producer_epoch;
	g->acc.u.producer = *p;
	if (goes_on && !p->n_batch) /* only an epoch was checked: no sequence was used */
		g->acc.u.producer.seq_next = old.seq_next;
	g->acc.u.producer.window_reset = goes_on ? old.window_reset : 1;
	keep_window(g, old.batch, goes_on ? old.n_batch : 0, p->batch, p->n_batch);
}

static int fold(struct merging *g, const struct layer_row *r)
{
	if (r->kind == LAYER_STREAM)
		return fold_stream(g, &r->u.stream);
	if (r->kind == LAYER_PRODUCER) {
		fold_producer(g, &r->u.producer);
		return 0;
	}
	return keep(g, r); /* the newest is all there is to say */
}

/* ---- giving a row on ---- */

static bool is_base_only(const struct layer_row *r)
{
	return (r->kind == LAYER_STREAM && r->u.stream.flags & STREAM_DELETED) ||
	       (r->kind == LAYER_KV && r->u.kv.deleted);
}

static bool is_void(struct merging *g)
{
	const struct layer_row *r = &g->acc;
	if (r->kind == LAYER_LOST || r->kind == LAYER_SEGMENT)
		return false;
	if (r->kind == LAYER_STREAM) {
		g->stream = r->u.stream.stream;
		g->start = r->u.stream.start;
		g->gone = r->u.stream.flags & STREAM_DELETED;
		return false;
	}
	if (layer_row_stream(r) != g->stream) {
		g->stream = layer_row_stream(r);
		g->start = 0;
		g->gone = false;
	}
	return g->gone || (r->kind == LAYER_EXTENT && r->u.extent.block.next <= g->start) ||
	       (r->kind == LAYER_GAP && r->u.gap.to <= g->start);
}

static int flush(struct merging *g)
{
	const struct layer_merge *m = g->m;
	struct layer_row *r = &g->acc;
	if (!r->kind)
		return 0;
	bool drop = is_void(g) || (m->base && is_base_only(r)) ||
	            (m->base && m->drop && m->drop(m->arg, r));
	if (m->base && r->kind == LAYER_STREAM)
		r->u.stream.flags = STREAM_CREATED | STREAM_CONFIG;
	if (m->base && r->kind == LAYER_PRODUCER)
		r->u.producer.window_reset = 0;
	if (r->kind == LAYER_STREAM && g->gone) /* all else of the row is void */
		r->u.stream = (struct stream_state){ .stream = g->stream, .flags = STREAM_DELETED };
	int rc = drop ? 0 : m->sink(m->arg, r);
	r->kind = (enum layer_kind)0;
	return rc;
}

static int take(struct merging *g, uint32_t i)
{
	const struct layer_row *r = g->head[i];
	int rc = 0;
	if (g->acc.kind && layer_row_compare(&g->acc, r) == 0) {
		rc = fold(g, r);
	} else {
		rc = flush(g);
		rc = rc ? rc : keep(g, r);
	}
	if (rc == FIRN_ENOMEM)
		(void)fail(g->err, rc, 0, "layer", "no memory");
	return rc ? rc : layer_source_next(g->m->source[i], &g->head[i], g->err);
}

/* The source of the smallest row, the oldest of those. n_source: all are at their end. */
static uint32_t smallest(const struct merging *g)
{
	uint32_t best = g->m->n_source;
	for (uint32_t i = 0; i < g->m->n_source; i++)
		if (g->head[i] &&
		    (best == g->m->n_source || layer_row_compare(g->head[i], g->head[best]) < 0))
			best = i;
	return best;
}

int layer_merge(const struct layer_merge *m, struct firn_error *err)
{
	struct merging g = { .m = m, .err = err };
	buf_init(&g.bytes, m->env);
	buf_init(&g.spare, m->env);
	g.head = mem_zalloc(m->env, (m->n_source + 1u) * sizeof *g.head);
	int rc = g.head ? 0 : fail(err, FIRN_ENOMEM, 0, "layer", "no memory");
	for (uint32_t i = 0; i < m->n_source && !rc; i++)
		rc = layer_source_next(m->source[i], &g.head[i], err);
	for (uint32_t i; !rc && (i = smallest(&g)) < m->n_source;)
		rc = take(&g, i);
	rc = rc ? rc : flush(&g);
	mem_free(m->env, g.head);
	buf_fini(&g.bytes);
	buf_fini(&g.spare);
	return rc;
}
