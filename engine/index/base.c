/* The first rows of a number that is filled: those of all its layers at once, merged, in the order of a layer. Each says all
 * there is to say, so nothing is looked up:
 *
 *   stream, its extents, gap, kv, producer, key rows -> next stream ... -> segment rows
 *        |         |
 *        |         +--> behind all other rows of the number, and mostly of the file: LMDB appends
 *        +--> each other kind behind those of its kind
 *
 * A page is so written once or twice, however many runs of layers there are. How many extents lie in a segment is counted in
 * memory until the segments' own rows come: neighbours in this order lie in many segments. */
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/index/fill.h"

enum { BASE_LIVE = 4096, BASE_ROWS = 32768 };

struct index_base {
	struct index_live live[BASE_LIVE];
	uint64_t stream;
	int64_t running_max_ms;
};

static int begin(struct index_fill *f, struct firn_error *err)
{
	int rc = index_fill_begin(f, err);
	if (!f->base && !rc) {
		f->base = mem_zalloc(f->ix->env, sizeof *f->base);
		rc = f->base ? 0 : fail(err, FIRN_ENOMEM, 0, "index", "no memory");
	}
	if (rc)
		return rc;
	f->tx.live = f->base->live;
	f->tx.n_live = BASE_LIVE;
	return 0;
}

int index_base_end(struct index_fill *f, struct firn_error *err)
{
	if (!f->base)
		return 0;
	int rc = begin(f, err);
	rc = rc ? rc : index_live_flush(&f->tx);
	f->tx.live = f->tx.few;
	f->tx.n_live = INDEX_LIVE_SLOTS;
	mem_free(f->ix->env, f->base);
	f->base = NULL;
	return rc;
}

static int put_stream(struct index_fill *f, const struct stream_state *s)
{
	f->v.n_streams++;
	index_key_stream(&f->tx.key, f->v.number, INDEX_STREAM, s->stream);
	index_stream_put(&f->tx.row, s);
	return index_tx_put(&f->tx);
}

static int put_extent(struct index_fill *f, const struct layer_extent *e)
{
	struct index_base *b = f->base;
	int64_t max = e->block.max_timestamp_ms;
	if (b->stream == e->block.stream && b->running_max_ms > max)
		max = b->running_max_ms;
	b->stream = e->block.stream;
	b->running_max_ms = max;
	struct index_extent_row x = { { e->segment, e->block }, max };
	index_key_u64(&f->tx.key, f->v.number, INDEX_EXTENT, e->block.stream, e->block.base);
	index_extent_put(&f->tx.row, &x);
	int rc = index_tx_append(&f->tx);
	return rc ? rc : index_live_add(&f->tx, f->v.number, &x.x, 1);
}

int index_fill_base(struct index_fill *f, const struct layer_row *row, struct firn_error *err)
{
	if (row->kind == LAYER_SEGMENT) /* the extents are all there */
		return index_fill_row(f, row, err);
	int rc = begin(f, err);
	if (rc)
		return rc;
	if (row->kind == LAYER_STREAM)
		rc = put_stream(f, &row->u.stream);
	else if (row->kind == LAYER_EXTENT)
		rc = put_extent(f, &row->u.extent);
	else
		rc = index_fold_row(&f->tx, &f->v, row);
	if (rc == 0 && ++f->n_row >= BASE_ROWS)
		rc = index_fill_pause(f, err);
	return rc;
}
