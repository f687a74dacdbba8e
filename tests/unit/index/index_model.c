#include "index_model.h"
#include "engine/os/env.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AT(list, type, i) ((type *)(void *)(list).data + (i))

static void require(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "model: %s\n", what);
	abort();
}

uint64_t model_random(struct model *m, uint64_t below)
{
	uint64_t x = m->rng += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	x ^= x >> 31;
	return below ? x % below : x;
}

static void *list_add(struct model_list *l, size_t size)
{
	if (l->n == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 16;
		l->data = realloc(l->data, l->cap * size);
		require(l->data != NULL, "memory");
	}
	return memset(l->data + l->n++ * size, 0, size);
}

static void list_remove(struct model_list *l, size_t i, size_t size)
{
	memmove(l->data + i * size, l->data + (i + 1) * size, (l->n - i - 1) * size);
	l->n--;
}

void model_init(struct model *m, uint64_t seed)
{
	memset(m, 0, sizeof *m);
	m->rng = seed;
	m->epoch = 1 + model_random(m, 5);
	m->next_stream = m->epoch << 40 | 1;
	for (int i = 0; i < 16; i++)
		m->volume_id[i] = (uint8_t)model_random(m, 256);
}

void model_fini(struct model *m)
{
	for (size_t i = 0; i < m->kv.n; i++)
		free(AT(m->kv, struct model_kv, i)->value);
	free(m->stream.data);
	free(m->extent.data);
	free(m->gap.data);
	free(m->kv.data);
	free(m->producer.data);
	free(m->key.data);
}

void model_dir_make(char path[128])
{
	const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	(void)snprintf(path, 128, "%s/firn-index-XXXXXX", base);
	require(mkdtemp(path) != NULL, "mkdtemp");
}

void model_dir_remove(const char *path)
{
	char file[160];
	(void)snprintf(file, sizeof file, "%s/data.mdb", path);
	(void)unlink(file);
	(void)snprintf(file, sizeof file, "%s/lock.mdb", path);
	(void)unlink(file);
	(void)rmdir(path);
}

/* ---- the model's own folding ---- */

static void drop_owned(struct model *m, uint64_t stream)
{
	for (size_t i = m->kv.n; i-- > 0;)
		if (AT(m->kv, struct model_kv, i)->kv.stream == stream) {
			free(AT(m->kv, struct model_kv, i)->value);
			list_remove(&m->kv, i, sizeof(struct model_kv));
		}
	for (size_t i = m->producer.n; i-- > 0;)
		if (AT(m->producer, struct model_producer, i)->p.stream == stream)
			list_remove(&m->producer, i, sizeof(struct model_producer));
	for (size_t i = m->key.n; i-- > 0;)
		if (AT(m->key, struct model_key, i)->k.stream == stream)
			list_remove(&m->key, i, sizeof(struct model_key));
}

static void drop_below(struct model *m, uint64_t stream, uint64_t start)
{
	for (size_t i = m->extent.n; i-- > 0;) {
		const struct block_entry *e = &AT(m->extent, struct index_extent, i)->block;
		if (e->stream == stream && e->next <= start)
			list_remove(&m->extent, i, sizeof(struct index_extent));
	}
	for (size_t i = m->gap.n; i-- > 0;) {
		const struct gap_entry *g = AT(m->gap, struct gap_entry, i);
		if (g->stream == stream && g->to <= start)
			list_remove(&m->gap, i, sizeof *g);
	}
}

static struct model_kv *kv_find(const struct model *m, uint64_t stream, const uint8_t *key,
                                uint32_t len)
{
	for (size_t i = 0; i < m->kv.n; i++) {
		struct model_kv *kv = AT(m->kv, struct model_kv, i);
		if (kv->kv.stream == stream && kv->kv.key_len == len && !memcmp(kv->key, key, len))
			return kv;
	}
	return NULL;
}

static struct model_producer *producer_find(const struct model *m, uint64_t stream, uint64_t id)
{
	for (size_t i = 0; i < m->producer.n; i++) {
		struct model_producer *p = AT(m->producer, struct model_producer, i);
		if (p->p.stream == stream && p->p.producer_id == id)
			return p;
	}
	return NULL;
}

static struct model_key *key_find(const struct model *m, uint64_t stream, const uint8_t *key,
                                  uint32_t len)
{
	for (size_t i = 0; i < m->key.n; i++) {
		struct model_key *k = AT(m->key, struct model_key, i);
		if (k->k.stream == stream && k->k.key_len == len && !memcmp(k->key, key, len))
			return k;
	}
	return NULL;
}

static struct model_stream *stream_find(const struct model *m, uint64_t stream)
{
	for (size_t i = 0; i < m->stream.n; i++)
		if (AT(m->stream, struct model_stream, i)->s.stream == stream)
			return AT(m->stream, struct model_stream, i);
	return NULL;
}

/* ---- one round ---- */

enum { PARTS_MAX = 3 };

static struct segment_writer *writer_open(struct model *m, uint32_t part, uint32_t n_parts,
                                          uint64_t rev_from, uint64_t rev_to)
{
	struct segment_meta meta = { .id = { m->epoch, m->next_segment++ },
		                     .rev_from = rev_from,
		                     .rev_to = rev_to,
		                     .part = part,
		                     .n_parts = n_parts,
		                     .created_ms = 1 };
	struct segment_writer *w;
	memcpy(meta.volume_id, m->volume_id, 16);
	require(segment_writer_open(env_default(), &meta, 0, &w) == 0, "writer");
	return w;
}

static struct segment_footer *writer_end(struct segment_writer *w)
{
	const uint8_t *data;
	size_t len, need;
	uint64_t pos, sum;
	struct segment_footer *f = NULL;
	struct firn_error err = FIRN_ERROR_INIT;
	require(segment_writer_finish(w, &data, &len, &pos, &sum) == 0, "finish");
	if (segment_footer_open(env_default(), data, len, len, &f, &need, &err))
		require(0, err.text);
	segment_writer_close(w);
	return f;
}

static void append_some(struct model *m, struct segment_writer *w, struct model_stream *s,
                        uint64_t rev)
{
	static uint8_t payload[200 << 10];
	uint64_t n = model_random(m, 4);
	for (uint64_t i = 0; i < n; i++) {
		if (model_random(m, 10) == 0) { /* skipped offsets */
			struct gap_entry *g = list_add(&m->gap, sizeof *g);
			g->stream = s->s.stream;
			g->from = s->s.next;
			g->to = s->s.next += 1 + model_random(m, 50);
			g->kind = 1 + (uint32_t)model_random(m, 3);
		}
		struct batch b = {
			.stream = s->s.stream, .offset = s->s.next, .rev = rev, .epoch = m->epoch
		};
		b.n_offsets = 1 + (uint32_t)model_random(m, 20);
		b.payload_len = (uint32_t)(model_random(m, 12) ? model_random(m, 3000) : 150000);
		b.timestamp_ms = 1000 + (int64_t)model_random(m, 100000);
		b.append_ms = (int64_t)(1000000 + rev);
		b.payload = payload;
		require(segment_writer_batch(w, &b, 1) == 0, "batch");
		s->s.next += b.n_offsets;
		s->s.bytes += b.payload_len;
		s->s.rev_last = rev;
		if (!s->s.first_append_ms)
			s->s.first_append_ms = b.append_ms;
		s->s.last_append_ms = b.append_ms;
		if (b.timestamp_ms > s->s.max_timestamp_ms)
			s->s.max_timestamp_ms = b.timestamp_ms;
	}
}

static void put_kv(struct model *m, struct segment_writer *w, uint64_t stream, uint64_t rev)
{
	uint8_t key[255];
	uint32_t len = model_random(m, 6) ? 3 : 255;
	memset(key, (int)('a' + model_random(m, 6)), len);
	struct model_kv *kv = kv_find(m, stream, key, len);
	struct kv_change c = { .stream = stream, .rev = rev, .key_len = len, .key = key };
	if (kv && model_random(m, 3) == 0) {
		c.deleted = 1;
		free(kv->value);
		list_remove(&m->kv, (size_t)(kv - AT(m->kv, struct model_kv, 0)), sizeof *kv);
	} else {
		kv = kv ? kv : list_add(&m->kv, sizeof *kv);
		free(kv->value);
		c.value_len = (uint32_t)(model_random(m, 8) ? model_random(m, 200)
		                                            : model_random(m, 9000));
		kv->value = malloc(c.value_len + 1);
		require(kv->value != NULL, "memory");
		memset(kv->value, (int)model_random(m, 256), c.value_len);
		c.value = kv->value;
		kv->kv = c;
		memcpy(kv->key, key, len);
	}
	require(segment_writer_kv(w, &c) == 0, "kv");
}

static void put_producer(struct model *m, struct segment_writer *w, uint64_t stream, uint64_t rev)
{
	struct producer_batch batch[20];
	uint64_t id = 1 + model_random(m, 4);
	struct model_producer *p = producer_find(m, stream, id);
	struct producer_change c = { .stream = stream, .producer_id = id, .batch = batch };
	c.producer_epoch = p ? p->p.producer_epoch : 1;
	c.window_reset = p && model_random(m, 5) == 0;
	c.producer_epoch += c.window_reset && model_random(m, 2);
	c.n_batch = 1 + (uint32_t)model_random(m, 18);
	c.last_ms = (int64_t)rev;
	c.seq_next = rev * 100;
	for (uint32_t i = 0; i < c.n_batch; i++)
		batch[i] = (struct producer_batch){ rev * 100 + i, rev + i, rev, 1, 1 };
	require(segment_writer_producer(w, &c) == 0, "producer");
	struct producer_batch all[36];
	uint32_t n = 0;
	if (p && !c.window_reset)
		for (; n < p->p.n_batch; n++)
			all[n] = p->batch[n];
	for (uint32_t i = 0; i < c.n_batch; i++)
		all[n++] = batch[i];
	uint32_t skip = n > 16 ? n - 16 : 0;
	p = p ? p : list_add(&m->producer, sizeof *p);
	p->p = c;
	p->p.n_batch = n - skip;
	memcpy(p->batch, all + skip, (n - skip) * sizeof *all);
}

static void put_key(struct model *m, struct segment_writer *w, uint64_t stream, uint64_t rev)
{
	uint8_t key[32];
	uint32_t len = 1 + (uint32_t)model_random(m, 32);
	memset(key, (int)('A' + model_random(m, 4)), len);
	struct key_entry c = { .stream = stream,
		               .offset = rev * 3,
		               .rev = rev,
		               .n_offsets = 2,
		               .key_len = len,
		               .append_ms = (int64_t)rev,
		               .key = key };
	require(segment_writer_key(w, &c) == 0, "key");
	struct model_key *k = key_find(m, stream, key, len);
	k = k ? k : list_add(&m->key, sizeof *k);
	k->k = c;
	memcpy(k->key, key, len);
}

static void create_some(struct model *m, uint64_t rev)
{
	uint64_t n = m->stream.n < 40 ? model_random(m, 6) : 0;
	for (uint64_t i = 0; i < n; i++) {
		struct model_stream *s = list_add(&m->stream, sizeof *s);
		s->live = 2; /* in this round */
		s->s.stream = m->next_stream++;
		s->s.rev_created = s->s.rev_last = rev;
		s->s.name_len = (uint32_t)snprintf(s->name, sizeof s->name, "room/%llu",
		                                   (unsigned long long)s->s.stream);
	}
}

/* What a footer says of a stream, from the state before and after the round. */
static void put_stream(struct segment_writer *w, struct model_stream *s,
                       const struct stream_state *before, int deleted, int config_set)
{
	struct stream_state out = s->s;
	out.flags = (s->live == 2 ? STREAM_CREATED : 0u) | (deleted ? STREAM_DELETED : 0u) |
	            (config_set ? STREAM_CONFIG : 0u);
	if (!config_set) /* neither name nor configuration is said again */
		out.config_len = 0;
	if (s->live != 2)
		out.name_len = 0;
	out.bytes -= before ? before->bytes : 0;
	out.name = s->name;
	out.config = s->config;
	if (before && out.first_append_ms == before->first_append_ms)
		out.first_append_ms = 0;
	require(segment_writer_stream(w, &out) == 0, "stream");
}

static void change_stream(struct model *m, struct segment_writer *w, size_t i,
                          const struct stream_state *before, uint64_t rev)
{
	struct model_stream *s = AT(m->stream, struct model_stream, i);
	int deleted = model_random(m, 25) == 0;
	if (deleted) {
		put_stream(w, s, before, 1, 0);
		s->live = 0;
		return;
	}
	if (model_random(m, 5) == 0)
		s->s.start += model_random(m, s->s.next - s->s.start + 1);
	int config_set = model_random(m, 5) == 0;
	if (config_set) {
		s->s.config_len = (uint32_t)model_random(m, 9);
		memset(s->config, (int)model_random(m, 256), sizeof s->config);
	}
	put_stream(w, s, before, 0, config_set);
	s->live = 1;
	for (uint64_t n = model_random(m, 3); n > 0; n--)
		put_kv(m, w, s->s.stream, rev + n);
	for (uint64_t n = model_random(m, 2); n > 0; n--)
		put_producer(m, w, s->s.stream, rev + n);
	for (uint64_t n = model_random(m, 2); n > 0; n--)
		put_key(m, w, s->s.stream, rev + n);
}

static void model_fold(struct model *m, const struct segment_footer *f)
{
	for (uint32_t i = 0; i < segment_n_blocks(f); i++) {
		struct index_extent *x = list_add(&m->extent, sizeof *x);
		x->segment = segment_footer_meta(f)->id;
		segment_block_at(f, i, &x->block);
	}
	for (uint32_t i = 0; i < segment_n_streams(f); i++) {
		struct stream_state s;
		segment_stream_at(f, i, &s);
		drop_below(m, s.stream, s.flags & STREAM_DELETED ? UINT64_MAX : s.start);
		if (s.flags & STREAM_DELETED) {
			drop_owned(m, s.stream);
			struct model_stream *gone = stream_find(m, s.stream);
			list_remove(&m->stream,
			            (size_t)(gone - AT(m->stream, struct model_stream, 0)),
			            sizeof *gone);
		}
	}
}

void model_round(struct model *m, struct model_commit *out)
{
	uint64_t rev_from = m->rev + 1, rev_to = rev_from + 1 + model_random(m, 9);
	uint32_t n_parts = 1 + (uint32_t)model_random(m, PARTS_MAX);
	memset(out, 0, sizeof *out);
	struct stream_state *before = calloc(m->stream.n + 1, sizeof *before);
	require(before != NULL, "memory");
	size_t n_before = m->stream.n, n_gap = m->gap.n;
	for (size_t i = 0; i < n_before; i++)
		before[i] = AT(m->stream, struct model_stream, i)->s;
	create_some(m, rev_from);
	for (uint32_t part = 0; part < n_parts; part++) {
		struct segment_writer *w = writer_open(m, part, n_parts, rev_from, rev_to);
		for (size_t i = 0; i < m->stream.n; i++)
			if (model_random(m, 2))
				append_some(m, w, AT(m->stream, struct model_stream, i), rev_from);
		if (part + 1 == n_parts) {
			for (size_t i = n_gap; i < m->gap.n; i++)
				require(segment_writer_gap(w, AT(m->gap, struct gap_entry, i)) == 0,
				        "gap");
			for (size_t i = 0; i < m->stream.n; i++)
				change_stream(m, w, i, i < n_before ? &before[i] : NULL, rev_from);
			if (model_random(m, 2))
				put_kv(m, w, 0, rev_from);
		}
		out->footer[part] = writer_end(w);
	}
	for (uint32_t part = 0; part < n_parts; part++)
		model_fold(m, out->footer[part]);
	free(before);
	m->rev = rev_to - 1;
	m->seq++;
	memcpy(out->c.volume_id, m->volume_id, 16);
	memset(out->c.nonce, (int)m->seq, 16);
	out->c.epoch = m->epoch;
	out->c.seq = m->seq;
	out->c.rev_stored = m->rev;
	out->c.next_stream = m->next_stream;
	out->c.n_footer = n_parts;
	out->c.footer = out->footer;
}

uint64_t model_forget_before(struct model *m, int64_t ms)
{
	size_t n = m->producer.n + m->key.n;
	for (size_t i = m->producer.n; i-- > 0;)
		if (AT(m->producer, struct model_producer, i)->p.last_ms < ms)
			list_remove(&m->producer, i, sizeof(struct model_producer));
	for (size_t i = m->key.n; i-- > 0;)
		if (AT(m->key, struct model_key, i)->k.append_ms < ms)
			list_remove(&m->key, i, sizeof(struct model_key));
	return n - m->producer.n - m->key.n;
}

void model_commit_fini(struct model_commit *mc)
{
	for (uint32_t i = 0; i < mc->c.n_footer; i++)
		segment_footer_close(mc->footer[i]);
}

/* ---- comparison ---- */

struct compare {
	struct model *m;
	size_t n;
	const char *why;
};

static int wrong(struct compare *c, const char *why)
{
	c->why = why;
	return MODEL_WRONG;
}

static int stream_each(void *arg, const struct stream_state *s)
{
	struct compare *c = arg;
	const struct model_stream *want = stream_find(c->m, s->stream);
	c->n++;
	if (!want)
		return wrong(c, "a stream that is not there");
	const struct stream_state *w = &want->s;
	if (s->flags || s->start != w->start || s->next != w->next || s->bytes != w->bytes)
		return wrong(c, "stream: start, next or bytes");
	if (s->rev_created != w->rev_created || s->rev_last != w->rev_last)
		return wrong(c, "stream: revs");
	if (s->first_append_ms != w->first_append_ms || s->last_append_ms != w->last_append_ms ||
	    s->max_timestamp_ms != w->max_timestamp_ms)
		return wrong(c, "stream: times");
	if (s->name_len != w->name_len || memcmp(s->name, want->name, s->name_len) ||
	    s->config_len != w->config_len || memcmp(s->config, want->config, s->config_len))
		return wrong(c, "stream: name or config");
	return 0;
}

static int kv_each(void *arg, const struct kv_change *kv)
{
	struct compare *c = arg;
	const struct model_kv *want = kv_find(c->m, kv->stream, kv->key, kv->key_len);
	c->n++;
	if (!want || kv->deleted || kv->rev != want->kv.rev ||
	    kv->value_len != want->kv.value_len || memcmp(kv->value, want->value, kv->value_len))
		return wrong(c, "kv");
	return 0;
}

static int producer_each(void *arg, const struct producer_change *p)
{
	struct compare *c = arg;
	const struct model_producer *want = producer_find(c->m, p->stream, p->producer_id);
	c->n++;
	if (!want || p->producer_epoch != want->p.producer_epoch || p->n_batch != want->p.n_batch ||
	    p->seq_next != want->p.seq_next || p->last_ms != want->p.last_ms ||
	    memcmp(p->batch, want->batch, p->n_batch * sizeof *p->batch))
		return wrong(c, "producer");
	return 0;
}

static int key_each(void *arg, const struct key_entry *k)
{
	struct compare *c = arg;
	const struct model_key *want = key_find(c->m, k->stream, k->key, k->key_len);
	c->n++;
	if (!want || k->offset != want->k.offset || k->rev != want->k.rev ||
	    k->n_offsets != want->k.n_offsets || k->append_ms != want->k.append_ms)
		return wrong(c, "key");
	return 0;
}

static int gap_each(void *arg, const struct gap_entry *g)
{
	struct compare *c = arg;
	c->n++;
	for (size_t i = 0; i < c->m->gap.n; i++)
		if (!memcmp(AT(c->m->gap, struct gap_entry, i), g, sizeof *g))
			return 0;
	return wrong(c, "gap");
}

/* The first extent of the stream, in offset order, that ends above `offset` and reaches time t. */
static const struct index_extent *extent_want(const struct model *m, uint64_t stream,
                                              uint64_t offset, int64_t t)
{
	const struct index_extent *best = NULL;
	for (size_t i = 0; i < m->extent.n; i++) {
		const struct index_extent *x = AT(m->extent, struct index_extent, i);
		if (x->block.stream == stream && x->block.next > offset &&
		    x->block.max_timestamp_ms >= t && (!best || x->block.base < best->block.base))
			best = x;
	}
	return best;
}

static int extents_compare(struct compare *c, struct index *ix, uint32_t number,
                           struct firn_error *err)
{
	struct model *m = c->m;
	for (int i = 0; i < 60; i++) {
		if (m->stream.n == 0)
			return 0;
		struct model_stream *s = AT(m->stream, struct model_stream,
		                            model_random(m, m->stream.n));
		uint64_t offset = model_random(m, s->s.next + 10);
		int64_t t = model_random(m, 2) ? 1000 + (int64_t)model_random(m, 110000)
		                               : INT64_MIN;
		const struct index_extent *want = extent_want(m, s->s.stream, offset, t);
		struct index_extent got;
		int rc = t == INT64_MIN
		                 ? index_extent_find(ix, number, s->s.stream, offset, &got, err)
		                 : index_extent_by_time(ix, number, s->s.stream, offset, t, &got,
		                                        err);
		if (rc && rc != FIRN_ENOENT)
			return rc;
		if ((rc == 0) != (want != NULL))
			return wrong(c, "an extent is missing, or there is one too many");
		if (want &&
		    (memcmp(&got.block, &want->block, sizeof got.block) ||
		     got.segment.n != want->segment.n || got.segment.epoch != want->segment.epoch))
			return wrong(c, "extent");
	}
	return 0;
}

static int count(struct compare *c, size_t want, int rc, const char *why)
{
	size_t n = c->n;
	c->n = 0;
	return rc ? rc : n == want ? 0 : wrong(c, why);
}

static int compare_all(struct compare *c, struct index *ix, struct firn_error *err)
{
	struct model *m = c->m;
	struct index_volume v;
	int rc = index_volume_get(ix, m->volume_id, &v, err);
	if (rc)
		return rc == FIRN_ENOENT ? wrong(c, "no volume") : rc;
	if (v.epoch != m->epoch || v.seq != m->seq || v.rev_stored != m->rev ||
	    v.next_stream != m->next_stream || v.n_streams != m->stream.n ||
	    v.nonce[3] != (uint8_t)m->seq)
		return wrong(c, "volume row");
	uint32_t n = v.number;
	rc = count(c, m->stream.n, index_streams(ix, n, stream_each, c, err), "number of streams");
	if (rc == 0)
		rc = count(c, m->kv.n, index_kvs(ix, n, kv_each, c, err), "number of kv");
	if (rc == 0)
		rc = count(c, m->producer.n, index_producers(ix, n, producer_each, c, err),
		           "number of producers");
	if (rc == 0)
		rc = count(c, m->key.n, index_keys(ix, n, key_each, c, err), "number of keys");
	if (rc == 0)
		rc = count(c, m->gap.n, index_gaps(ix, n, gap_each, c, err), "number of gaps");
	return rc ? rc : extents_compare(c, ix, n, err);
}

int model_compare(struct model *m, struct index *ix, char why[256], struct firn_error *err)
{
	struct compare c = { m, 0, "" };
	int rc = compare_all(&c, ix, err);
	(void)snprintf(why, 256, "%s", rc == MODEL_WRONG ? c.why : rc ? err->text : "");
	return rc;
}
