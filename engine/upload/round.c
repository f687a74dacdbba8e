#include "engine/upload/round.h"
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include <stdlib.h>
#include <string.h>

enum { OWN_BYTES = 256 << 10, MOVED_TRIES = 3 };

struct producer_key {
	uint64_t stream, id;
};

static int same_stream(const void *value, const void *key)
{
	return ((const struct round_stream *)value)->state.stream == *(const uint64_t *)key;
}

static int same_producer(const void *value, const void *key)
{
	const struct producer_change *c = &((const struct round_producer *)value)->change;
	const struct producer_key *k = key;
	return c->stream == k->stream && c->producer_id == k->id;
}

/* The stream's row, begun from the cut before this round. */
static struct round_stream *stream_of(struct round *r, uint64_t id)
{
	struct round_stream *rs = map_get(&r->streams, hash_u64(id), same_stream, &id);
	if (rs)
		return rs;
	rs = mem_zalloc(r->env, sizeof *rs);
	if (!rs || map_put(&r->streams, hash_u64(id), rs)) {
		mem_free(r->env, rs);
		return NULL;
	}
	rs->state.stream = id;
	pthread_mutex_lock(&r->v->lock);
	const struct round_stream *before = rounds_stream(r->v, id);
	struct stream *s = volume_stream(r->v, id);
	if (s) {
		rs->state.start = before ? before->state.start : s->stored_start;
		rs->state.next = before ? before->state.next : s->stored;
		stream_limits(s, &rs->limits);
		rs->compression = s->config ? s->config->compression : 0;
	}
	pthread_mutex_unlock(&r->v->lock);
	return rs;
}

static int push(struct round *r, void *array, size_t *cap, size_t *n, size_t size, const void *item)
{
	void *p = *(void **)array;
	if (mem_grow(r->env, &p, cap, *n, *n + 1, size))
		return FIRN_ENOMEM;
	*(void **)array = p;
	memcpy((char *)p + *n * size, item, size);
	(*n)++;
	return 0;
}

static struct round_producer *producer_of(struct round *r, const struct batch *b)
{
	struct producer_key k = { b->stream, b->producer_id };
	uint64_t hash = hash_u64(k.stream ^ hash_u64(k.id));
	struct round_producer *p = map_get(&r->producers, hash, same_producer, &k);
	if (p)
		return p;
	p = mem_zalloc(r->env, sizeof *p);
	if (!p || map_put(&r->producers, hash, p)) {
		mem_free(r->env, p);
		return NULL;
	}
	p->change.stream = k.stream;
	p->change.producer_id = k.id;
	p->change.producer_epoch = b->producer_epoch;
	p->change.batch = p->batch;
	return p;
}

static int fold_producer(struct round *r, const struct round_stream *rs, const struct batch *b)
{
	struct round_producer *p = producer_of(r, b);
	if (!p)
		return FIRN_ENOMEM;
	struct producer_change *c = &p->change;
	if (b->producer_epoch != c->producer_epoch) { /* lower: it was forgotten and came back */
		c->producer_epoch = b->producer_epoch;
		c->window_reset = 1;
		c->n_batch = 0;
		c->seq_next = 0;
	}
	c->last_ms = b->append_ms;
	if (b->flags & BATCH_SEQ_NONE)
		return 0;
	if (c->n_batch == 16)
		memmove(p->batch, p->batch + 1, --c->n_batch * sizeof *p->batch);
	p->batch[c->n_batch++] = (struct producer_batch){ b->producer_seq, b->offset, b->rev,
		                                          b->n_offsets, b->n_offsets };
	c->seq_next = dedup_seq_add(b->producer_seq, b->n_offsets, rs->limits.seq_bits);
	return 0;
}

static int fold_append(struct round *r, const struct wal_op *op)
{
	const struct batch *b = &op->batch;
	struct round_stream *rs = stream_of(r, b->stream);
	if (!rs)
		return FIRN_ENOMEM;
	struct stream_state *st = &rs->state;
	int rc = 0;
	if (b->offset > st->next) {
		struct gap_entry g = { b->stream, st->next, b->offset, GAP_SKIPPED, 0 };
		rc = push(r, &r->gap, &r->cap_gap, &r->n_gap, sizeof g, &g);
	}
	st->next = b->offset + b->n_offsets;
	st->rev_last = b->rev;
	st->first_append_ms = st->first_append_ms ? st->first_append_ms : b->append_ms;
	st->last_append_ms = b->append_ms;
	if (b->timestamp_ms > st->max_timestamp_ms)
		st->max_timestamp_ms = b->timestamp_ms;
	if (!rc && b->flags & BATCH_PRODUCER)
		rc = fold_producer(r, rs, b);
	if (!rc && b->key_len && (rs->limits.key_window_ms || rs->limits.key_window_n)) {
		struct key_entry k = { b->stream,  b->offset,    b->rev, b->n_offsets,
			               b->key_len, b->append_ms, b->key };
		rc = push(r, &r->key, &r->cap_key, &r->n_key, sizeof k, &k);
	}
	return rc ? rc : push(r, &r->batch, &r->cap_batch, &r->n_batch, sizeof *b, b);
}

/* A batch that is put back where it was: nothing of the stream moves, and what its producer and its key say was said by
 * others since. */
static int fold_fill(struct round *r, const struct wal_op *op, uint64_t rev)
{
	struct round_stream *rs = stream_of(r, op->stream);
	if (!rs)
		return FIRN_ENOMEM;
	rs->state.rev_last = rev;
	r->fills = true;
	return push(r, &r->batch, &r->cap_batch, &r->n_batch, sizeof op->batch, &op->batch);
}

static int fold_kv(struct round *r, uint64_t stream, const uint8_t *key, uint32_t key_len,
                   const uint8_t *value, uint32_t value_len, bool deleted, uint64_t rev)
{
	struct round_kv kv = { .order = (uint32_t)r->n_kv };
	kv.bytes = mem_alloc(r->env, (size_t)key_len + value_len);
	if (!kv.bytes)
		return FIRN_ENOMEM;
	memcpy(kv.bytes, key, key_len);
	if (value_len)
		memcpy(kv.bytes + key_len, value, value_len);
	kv.change = (struct kv_change){ stream,    rev,      key_len,
		                        value_len, kv.bytes, deleted ? NULL : kv.bytes + key_len,
		                        deleted,   0 };
	int rc = push(r, &r->kv, &r->cap_kv, &r->n_kv, sizeof kv, &kv);
	if (rc)
		mem_free(r->env, kv.bytes);
	return rc;
}

static int key_cmp(const uint8_t *a, uint32_t a_len, const uint8_t *b, uint32_t b_len)
{
	int c = memcmp(a, b, a_len < b_len ? a_len : b_len);
	return c ? c : a_len < b_len ? -1 : a_len > b_len;
}

struct range {
	struct round *r;
	const struct wal_op *op;
	uint64_t rev;
};

static int range_key(void *arg, const struct kv_change *kv)
{
	struct range *g = arg;
	const struct wal_op *op = g->op;
	if (kv->stream != op->stream || key_cmp(kv->key, kv->key_len, op->key, op->key_len) < 0 ||
	    key_cmp(kv->key, kv->key_len, op->key_to, op->key_to_len) >= 0)
		return 0;
	return fold_kv(g->r, kv->stream, kv->key, kv->key_len, NULL, 0, true, g->rev);
}

/* Keys that rounds not yet stored put there. */
static int range_built(struct range *g)
{
	struct volume *v = g->r->v;
	int rc = 0;
	pthread_mutex_lock(&v->lock);
	for (uint32_t i = 0; i < v->n_round && !rc; i++) {
		const struct built_round *b = v->round[i];
		const struct segment_footer *f = b->part[b->n_part - 1].footer;
		for (uint32_t k = 0; k < segment_n_kv(f) && !rc; k++) {
			struct kv_change kv;
			segment_kv_at(f, k, &kv);
			rc = kv.deleted ? 0 : range_key(g, &kv);
		}
	}
	pthread_mutex_unlock(&v->lock);
	return rc;
}

/* A deleted range becomes deletions of the keys that were there: in this round so far, in those before it
 * that are not stored yet, and in the cut before those, which the index is. In this order: a round that is
 * stored meanwhile is then seen twice, not never. */
static int fold_range(struct round *r, const struct wal_op *op, uint64_t rev)
{
	struct range g = { r, op, rev };
	size_t n = r->n_kv;
	int rc = 0;
	for (size_t i = 0; i < n && !rc; i++) {
		struct kv_change kv = r->kv[i].change;
		if (!kv.deleted)
			rc = range_key(&g, &kv);
	}
	rc = rc ? rc : range_built(&g);
	struct firn_error err = { .struct_size = sizeof err };
	return rc ? rc : index_kvs(r->v->engine->index, r->v->index_no, range_key, &g, &err);
}

static int fold_config(struct round *r, struct round_stream *rs, const struct wal_op *op)
{
	mem_free(r->env, rs->config);
	rs->config = NULL;
	rs->config_set = true;
	rs->state.config_len = op->config_len;
	if (!op->config_len)
		return 0;
	rs->config = mem_dup(r->env, op->config, op->config_len);
	return rs->config ? 0 : FIRN_ENOMEM;
}

static int fold_stream_op(struct round *r, const struct wal_op *op, uint64_t rev)
{
	struct round_stream *rs = stream_of(r, op->stream);
	if (!rs)
		return FIRN_ENOMEM;
	rs->state.rev_last = rev;
	switch (op->kind) {
	case WAL_OP_TRIM:
		if (op->at > rs->state.start)
			rs->state.start = op->at;
		return 0;
	case WAL_OP_CONFIG:
		return fold_config(r, rs, op);
	case WAL_OP_DELETE:
		rs->deleted = true;
		return 0;
	default:
		rs->created = true;
		rs->state.rev_created = rev;
		rs->state.start = rs->state.next = op->at;
		mem_free(r->env, rs->name);
		rs->name = mem_dup(r->env, op->name, op->name_len);
		rs->state.name_len = op->name_len;
		return rs->name ? fold_config(r, rs, op) : FIRN_ENOMEM;
	}
}

static int fold_record(struct round *r, const struct wal_record *rec)
{
	struct wal_op op;
	int rc = 0;
	for (const uint8_t *at = NULL; !rc && (at = wal_op_next(rec, at, &op)) != NULL;) {
		if (op.kind == WAL_OP_APPEND)
			rc = fold_append(r, &op);
		else if (op.kind == WAL_OP_FILL)
			rc = fold_fill(r, &op, rec->rev);
		else if (op.kind == WAL_OP_KV_PUT)
			rc = fold_kv(r, op.stream, op.key, op.key_len, op.value, op.value_len,
			             false, rec->rev);
		else if (op.kind == WAL_OP_KV_DELETE && !op.key_to_len)
			rc = fold_kv(r, op.stream, op.key, op.key_len, NULL, 0, true, rec->rev);
		else if (op.kind == WAL_OP_KV_DELETE)
			rc = fold_range(r, &op, rec->rev);
		else
			rc = fold_stream_op(r, &op, rec->rev);
	}
	return rc;
}

static int keep_chunk(struct round *r, struct wal_chunk *c)
{
	int rc = push(r, &r->chunk, &r->cap_chunk, &r->n_chunk, sizeof c, &c);
	if (rc)
		wal_chunk_release(c);
	return rc;
}

/* The record, moved to memory of the round's own. */
static int keep_record(struct round *r, struct wal_record *rec)
{
	struct wal_chunk *c = r->own;
	if (!c || c->cap - c->used < rec->len) {
		c = wal_chunk_new(r->v->engine->account,
		                  rec->len > OWN_BYTES ? rec->len : OWN_BYTES);
		int rc = c ? keep_chunk(r, c) : FIRN_ENOMEM;
		if (rc)
			return rc;
		r->own = c;
	}
	uint32_t at = c->used;
	memcpy(c->data + at, rec->start, rec->len);
	c->used += rec->len;
	return wal_record_next(c->data, c->used, at, rec) ? 0 : FIRN_ECORRUPT;
}

static int fold_view(struct round *r, const struct wal_view *view, bool move,
                     struct firn_error *err)
{
	struct wal_record rec;
	int rc = 0;
	for (uint32_t pos = WAL_GROUP_HEADER;
	     !rc && (pos = wal_record_next(view->group, view->used, pos, &rec)) != 0;) {
		if (rec.type != WAL_WRITE || rec.volume_no != r->v->volume_no ||
		    rec.rev < r->rev_to)
			continue;
		if (rec.rev != r->rev_to)
			return fail(err, FIRN_ECORRUPT, 0, "upload",
			            "write %llu is missing in the WAL",
			            (unsigned long long)r->rev_to);
		rc = move ? keep_record(r, &rec) : 0;
		rc = rc ? rc : fold_record(r, &rec);
		r->last.append_ms = rec.append_ms;
		r->append_ms = r->append_ms ? r->append_ms : rec.append_ms;
		r->rev_to++;
		r->bytes +=
		        rec.len; /* not the group's: the first may be stored in part, when it lies aside */
	}
	return rc ? fail(err, rc, 0, "upload", "cannot fold write %llu",
	                 (unsigned long long)r->rev_to)
	          : 0;
}

/* Batches point into the group. One that is mostly others' writes, or padding, is not kept for that: of a
 * volume with a hundredth of all writes a round would hold a hundred times its own bytes (P7). */
static int fold_group(struct round *r, const struct volume_group *g, struct firn_error *err)
{
	struct wal *w = &r->v->engine->wal;
	struct wal_view view;
	int rc = wal_view_tail(w, g->lsn, &view);
	rc = rc ? wal_view_load(w, g->lsn, g->len, &view, err) : 0;
	if (rc)
		return rc;
	bool move = g->bytes * 2 < g->len;
	rc = move ? 0 : keep_chunk(r, view.chunk);
	rc = rc ? rc : fold_view(r, &view, move, err);
	r->last.lsn = g->lsn;
	if (move)
		wal_chunk_release(view.chunk);
	return rc;
}

/* The group that holds the next rev, from the list or, when it has left that, from the WAL's directories.
 * FIRN_ENOENT: none, or only a part of it is published yet (it is taken next time). */
static int next_group(struct round *r, struct volume_group *g, struct firn_error *err)
{
	struct volume *v = r->v;
	pthread_mutex_lock(&v->lock);
	if (!r->rev_from)
		r->rev_from = r->rev_to = rounds_next_rev(v);
	bool listed = volume_group_with(v, r->rev_to, g);
	bool old = !listed && v->group_old && r->rev_to <= v->rev_durable;
	uint64_t durable = v->rev_durable;
	pthread_mutex_unlock(&v->lock);
	if (listed)
		return g->rev_last <= durable ? 0 : FIRN_ENOENT;
	if (!old)
		return FIRN_ENOENT;
	struct wal_query q = { .volume_no = v->volume_no, .from = r->rev_to, .hint = r->last.lsn };
	struct wal_place p;
	uint32_t n;
	int rc = wal_find(&v->engine->wal, &q, &p, 1, &n, err);
	if (!rc && (!n || p.base > r->rev_to))
		rc = fail(err, FIRN_ECORRUPT, 0, "upload", "write %llu is missing in the WAL",
		          (unsigned long long)r->rev_to);
	if (!rc)
		*g = (struct volume_group){ p.lsn, p.base, p.end - 1, p.op, 0, p.len, 0 };
	return rc;
}

/* Of small records the list of batches is what takes memory: at most half of a segment's size, however small
 * they are (P7). */
static bool full(const struct round *r, uint64_t max_bytes)
{
	size_t with_next = r->n_batch + (r->n_chunk ? r->n_batch / r->n_chunk : 0);
	size_t cap = with_next > r->cap_batch ? 2 * r->cap_batch : r->cap_batch;
	return r->bytes >= max_bytes || cap * sizeof *r->batch > r->v->segment_bytes / 2;
}

int round_open(struct round *r, struct volume *v, uint64_t max_bytes, struct firn_error *err)
{
	memset(r, 0, sizeof *r);
	r->v = v;
	r->env = v->engine->env;
	map_init(&r->streams, r->env);
	map_init(&r->producers, r->env);
	int rc = 0, tries = 0;
	while (!rc && (!r->bytes || !full(r, max_bytes))) {
		struct volume_group g = { 0 };
		rc = next_group(r, &g, err);
		if (rc == FIRN_ENOENT && r->rev_to > r->rev_from) {
			rc = 0;
			break;
		}
		rc = rc ? rc : fold_group(r, &g, err);
		if (rc && r->rev_to <= g.rev_last && !wal_has_file(&v->engine->wal, g.lsn) &&
		    tries++ < MOVED_TRIES) {
			rc = 0; /* it was moved aside meanwhile: looked for again */
			continue;
		}
		if (!rc && r->rev_to <= g.rev_last)
			rc = fail(err, FIRN_ECORRUPT, 0, "upload",
			          "write %llu is missing in the WAL",
			          (unsigned long long)r->rev_to);
	}
	if (rc)
		round_close(r);
	return rc;
}

void round_close(struct round *r)
{
	uint32_t at = 0;
	struct round_stream *rs;
	while ((rs = map_next(&r->streams, &at)) != NULL) {
		mem_free(r->env, rs->name);
		mem_free(r->env, rs->config);
		mem_free(r->env, rs);
	}
	at = 0;
	void *p;
	while ((p = map_next(&r->producers, &at)) != NULL)
		mem_free(r->env, p);
	for (size_t i = 0; i < r->n_kv; i++)
		mem_free(r->env, r->kv[i].bytes);
	for (size_t i = 0; i < r->n_chunk; i++)
		wal_chunk_release(r->chunk[i]);
	map_fini(&r->streams);
	map_fini(&r->producers);
	mem_free(r->env, r->stream);
	mem_free(r->env, r->producer);
	mem_free(r->env, r->order);
	mem_free(r->env, r->chunk);
	mem_free(r->env, r->batch);
	mem_free(r->env, r->gap);
	mem_free(r->env, r->kv);
	mem_free(r->env, r->key);
}
