/* Sorting a folded round: what its segments will hold, in their order. */
#include "engine/base/mem.h"
#include "engine/upload/round.h"
#include <stdlib.h>
#include <string.h>

static int cmp_u64(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int by_stream(const void *a, const void *b)
{
	const struct round_stream *const *x = a, *const *y = b;
	return cmp_u64((*x)->state.stream, (*y)->state.stream);
}

static int by_producer(const void *a, const void *b)
{
	const struct producer_change *x = &(*(const struct round_producer *const *)a)->change;
	const struct producer_change *y = &(*(const struct round_producer *const *)b)->change;
	int c = cmp_u64(x->stream, y->stream);
	return c ? c : cmp_u64(x->producer_id, y->producer_id);
}

static int by_offset(const void *a, const void *b)
{
	const struct batch *x = *(const struct batch *const *)a,
	                   *y = *(const struct batch *const *)b;
	int c = cmp_u64(x->stream, y->stream);
	return c ? c : cmp_u64(x->offset, y->offset);
}

static int same_key(const struct kv_change *x, const struct kv_change *y)
{
	int c = cmp_u64(x->stream, y->stream);
	if (c)
		return c;
	c = memcmp(x->key, y->key, x->key_len < y->key_len ? x->key_len : y->key_len);
	return c ? c : cmp_u64(x->key_len, y->key_len);
}

static int by_key(const void *a, const void *b)
{
	const struct round_kv *x = a, *y = b;
	int c = same_key(&x->change, &y->change);
	return c ? c : cmp_u64(x->order, y->order);
}

static int by_gap(const void *a, const void *b)
{
	const struct gap_entry *x = a, *y = b;
	int c = cmp_u64(x->stream, y->stream);
	return c ? c : cmp_u64(x->from, y->from);
}

static int by_key_entry(const void *a, const void *b)
{
	const struct key_entry *x = a, *y = b;
	int c = cmp_u64(x->stream, y->stream);
	return c ? c : cmp_u64(x->offset, y->offset);
}

static struct round_stream *row_of(struct round *r, uint64_t id)
{
	size_t lo = 0, hi = r->n_stream;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (r->stream[mid]->state.stream < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < r->n_stream && r->stream[lo]->state.stream == id ? r->stream[lo] : NULL;
}

/* Of the stream there is still something to say after this round. */
static struct round_stream *alive(struct round *r, uint64_t id)
{
	struct round_stream *rs = row_of(r, id);
	return rs && !rs->deleted ? rs : NULL;
}

static int settle_streams(struct round *r)
{
	r->stream = mem_alloc(r->env, (r->streams.n + 1u) * sizeof *r->stream);
	if (!r->stream)
		return FIRN_ENOMEM;
	struct round_stream *rs;
	for (uint32_t at = 0; (rs = map_next(&r->streams, &at)) != NULL;) {
		struct stream_state *st = &rs->state;
		if (st->next < st->start)
			st->next = st->start;
		st->flags = (rs->created ? STREAM_CREATED : 0u) |
		            (rs->deleted ? STREAM_DELETED : 0u) |
		            (rs->config_set ? STREAM_CONFIG : 0u);
		st->name = rs->name;
		st->config = rs->config;
		r->stream[r->n_stream++] = rs;
	}
	if (r->n_stream)
		qsort(r->stream, r->n_stream, sizeof *r->stream, by_stream);
	return 0;
}

static int settle_batches(struct round *r)
{
	r->order = mem_alloc(r->env, (r->n_batch + 1) * sizeof *r->order);
	if (!r->order)
		return FIRN_ENOMEM;
	struct round_stream *rs = NULL;
	for (size_t i = 0; i < r->n_batch; i++) {
		struct batch *b = &r->batch[i];
		if (!rs || rs->state.stream != b->stream)
			rs = row_of(r, b->stream);
		if (rs->deleted || b->offset + b->n_offsets <= rs->state.start)
			continue;
		rs->payload += b->payload_len;
		rs->state.bytes += b->payload_len;
		r->order[r->n_order++] = b;
	}
	if (r->n_order)
		qsort(r->order, r->n_order, sizeof *r->order, by_offset);
	return 0;
}

static int settle_producers(struct round *r)
{
	r->producer = mem_alloc(r->env, (r->producers.n + 1u) * sizeof *r->producer);
	if (!r->producer)
		return FIRN_ENOMEM;
	struct round_producer *p;
	for (uint32_t at = 0; (p = map_next(&r->producers, &at)) != NULL;)
		if (alive(r, p->change.stream))
			r->producer[r->n_producer++] = p;
	if (r->n_producer)
		qsort(r->producer, r->n_producer, sizeof *r->producer, by_producer);
	return 0;
}

/* The last change of each key stands; keys of a stream that is gone need no word. */
static void settle_kv(struct round *r)
{
	if (r->n_kv)
		qsort(r->kv, r->n_kv, sizeof *r->kv, by_key);
	size_t n = 0;
	for (size_t i = 0; i < r->n_kv; i++) {
		struct round_kv *kv = &r->kv[i];
		const struct round_stream *rs = kv->change.stream ? row_of(r, kv->change.stream)
		                                                  : NULL;
		bool stale = i + 1 < r->n_kv && !same_key(&kv->change, &r->kv[i + 1].change);
		if (stale || (rs && rs->deleted))
			mem_free(r->env, kv->bytes);
		else
			r->kv[n++] = *kv;
	}
	r->n_kv = n;
}

static void settle_gaps(struct round *r)
{
	size_t n = 0;
	for (size_t i = 0; i < r->n_gap; i++) {
		const struct round_stream *rs = alive(r, r->gap[i].stream);
		if (rs && r->gap[i].to > rs->state.start)
			r->gap[n++] = r->gap[i];
	}
	r->n_gap = n;
	if (n)
		qsort(r->gap, n, sizeof *r->gap, by_gap);
	n = 0;
	for (size_t i = 0; i < r->n_key; i++)
		if (alive(r, r->key[i].stream))
			r->key[n++] = r->key[i];
	r->n_key = n;
	if (n)
		qsort(r->key, n, sizeof *r->key, by_key_entry);
}

int round_settle(struct round *r)
{
	int rc = settle_streams(r);
	rc = rc ? rc : settle_batches(r);
	rc = rc ? rc : settle_producers(r);
	if (rc)
		return rc;
	settle_kv(r);
	settle_gaps(r);
	return 0;
}
