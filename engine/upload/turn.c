/* A later cut is shown. The index has it by now; what changed is gathered beside what is shown, memory for all of it is
 * taken, and then everything moves within one hold of the volume's lock, which cannot fail: nobody sees half a cut (P10).
 *
 *   footers --note--> streams, keys that changed --+
 *   refilled, lost range, too many --> all --------+--> rows of the index --> changes --> shown
 *
 * The maps of streams and names are changed here alone, so that they may be read here without the lock. */
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/read/read.h"
#include "engine/upload/follow.h"
#include "engine/upload/upload.h"
#include <stdlib.h>
#include <string.h>

enum { NOTED_STREAMS = 64 << 10, NOTED_KV_BYTES = 4 << 20 };

/* ---- what changed ---- */

static void forget(struct turn *t)
{
	t->n = t->n_producing = 0;
	t->kv.len = 0;
	t->kv.failed = 0;
	t->n_put = 0;
}

static void note_all(struct turn *t)
{
	forget(t);
	t->all = true;
}

void follow_turn(struct volume *v)
{
	if (!v->follow)
		return;
	pthread_mutex_lock(&v->lock);
	v->turning = true;
	pthread_mutex_unlock(&v->lock);
}

void follow_refilled(struct volume *v)
{
	note_all(&v->follow->turn);
	v->follow->turn.kept = v->index_no;
}

void follow_number(struct volume *v, uint32_t number)
{
	v->follow->turn.number = number;
}

static int note(const struct firn_env *env, uint64_t **id, size_t *n, size_t *cap, uint64_t one)
{
	void *p = *id;
	if (*n && (*id)[*n - 1] == one)
		return 0;
	if (mem_grow(env, &p, cap, *n, *n + 1, sizeof **id))
		return FIRN_ENOMEM;
	*id = p;
	(*id)[(*n)++] = one;
	return 0;
}

static void note_kv(struct turn *t, const struct kv_change *kv)
{
	buf_put_u64(&t->kv, kv->stream);
	buf_put_u64(&t->kv, kv->rev);
	buf_put_u32(&t->kv, kv->deleted);
	buf_put_u32(&t->kv, kv->key_len);
	buf_put_u32(&t->kv, kv->deleted ? 0 : kv->value_len);
	buf_put(&t->kv, kv->key, kv->key_len);
	if (!kv->deleted)
		buf_put(&t->kv, kv->value, kv->value_len);
	t->n_put += !kv->deleted;
}

static int note_one(const struct firn_env *env, struct turn *t, const struct segment_footer *f)
{
	int rc = 0;
	uint32_t n = segment_n_streams(f);
	for (uint32_t i = 0; i < n && !rc; i++) {
		struct stream_state s;
		segment_stream_at(f, i, &s);
		rc = note(env, &t->stream, &t->n, &t->cap, s.stream);
	}
	n = segment_n_producers(f);
	for (uint32_t i = 0; i < n && !rc; i++) {
		struct producer_change p;
		segment_producer_at(f, i, &p);
		rc = note(env, &t->producing, &t->n_producing, &t->cap_producing, p.stream);
	}
	n = segment_n_kv(f);
	for (uint32_t i = 0; i < n && !rc && t->kv.len <= NOTED_KV_BYTES; i++) {
		struct kv_change kv;
		segment_kv_at(f, i, &kv);
		note_kv(t, &kv);
	}
	return rc || t->kv.failed || t->kv.len > NOTED_KV_BYTES || t->n > NOTED_STREAMS;
}

/* They are in the index: whatever is not noted here would not be shown. */
void follow_note(struct volume *v, struct segment_footer *const *footer, uint32_t n)
{
	struct turn *t = &v->follow->turn;
	if (v->manifest.n_lost != t->n_lost) /* each stream moves on */
		note_all(t);
	for (uint32_t i = 0; i < n && !t->all; i++)
		if (note_one(v->engine->env, t, footer[i]))
			note_all(t);
}

/* ---- the changes, made beside what is shown ---- */

struct change {
	struct stream *s; /* there, or made */
	bool made, gone, configured, produced;
	uint64_t start, next, bytes;
	int64_t first_ms, last_ms;
	struct firn_stream_config *config;
	struct dedup *dedup;
};

struct changes {
	struct volume *v;
	const struct firn_env *env;
	struct turn *t;
	struct firn_error *err;
	struct change *change;
	size_t n, cap;
	uint32_t n_made;
	struct kv *kv; /* all: in place of what there is */
	struct kv_prepared *put;
	uint32_t n_put;
};

static struct change *add(struct changes *c)
{
	void *p = c->change;
	if (mem_grow(c->env, &p, &c->cap, c->n, c->n + 1, sizeof *c->change))
		return NULL;
	c->change = p;
	struct change *one = &c->change[c->n++];
	*one = (struct change){ 0 };
	return one;
}

static int add_config(struct changes *c, struct change *one, const struct stream_state *st)
{
	const struct firn_stream_config *was = one->s->config;
	struct firn_stream_config now = { 0 };
	if (st->config_len && config_decode(st->config, st->config_len, &now))
		return FIRN_ECORRUPT;
	if (st->config_len ? was && !memcmp(was, &now, sizeof now) : !was)
		return 0;
	one->configured = true;
	one->config = st->config_len ? mem_dup(c->env, &now, sizeof now) : NULL;
	return st->config_len && !one->config ? FIRN_ENOMEM : 0;
}

static int add_row(void *arg, const struct stream_state *st)
{
	struct changes *c = arg;
	struct change *one = add(c);
	if (!one)
		return FIRN_ENOMEM;
	one->s = volume_stream(c->v, st->stream);
	if (!one->s) {
		one->s = stream_alloc(c->env, st->stream, st->name, st->name_len, st->next);
		one->made = one->s != NULL;
		c->n_made += one->made;
	}
	if (!one->s)
		return FIRN_ENOMEM;
	one->start = st->start;
	one->next = st->next;
	one->bytes = st->bytes;
	one->first_ms = st->first_append_ms;
	one->last_ms = st->last_append_ms;
	return add_config(c, one, st);
}

static int add_gone(struct changes *c, struct stream *s)
{
	struct change *one = s ? add(c) : NULL;
	if (!one)
		return s ? FIRN_ENOMEM : 0;
	one->s = s;
	one->gone = true;
	return 0;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static int by_stream(const void *key, const void *member)
{
	uint64_t x = *(const uint64_t *)key, y = ((const struct change *)member)->s->id;
	return x < y ? -1 : x > y;
}

static struct change *change_of(struct changes *c, uint64_t stream)
{
	return c->n ? bsearch(&stream, c->change, c->n, sizeof *c->change, by_stream) : NULL;
}

static int add_producer(void *arg, const struct producer_change *p)
{
	struct changes *c = arg;
	struct dedup_limits lim;
	struct change *one = change_of(c, p->stream);
	if (!one || one->gone)
		return FIRN_ECORRUPT;
	config_limits(one->configured ? one->config : one->s->config, &lim);
	one->produced = true;
	return dedup_load_producer(&one->dedup, c->env, &lim, p);
}

/* In order of their numbers, as by_stream() wants it. */
static int gather_noted(struct changes *c)
{
	struct turn *t = c->t;
	struct index *ix = c->v->engine->index;
	int rc = 0;
	if (t->n)
		qsort(t->stream, t->n, sizeof *t->stream, by_number);
	for (size_t i = 0; i < t->n && !rc; i++) {
		if (i && t->stream[i] == t->stream[i - 1])
			continue;
		rc = index_stream_row(ix, t->number, t->stream[i], add_row, c, c->err);
		if (rc == FIRN_ENOENT)
			rc = add_gone(c, volume_stream(c->v, t->stream[i]));
	}
	if (t->n_producing)
		qsort(t->producing, t->n_producing, sizeof *t->producing, by_number);
	for (size_t i = 0; i < t->n_producing && !rc; i++) {
		struct change *one = change_of(c, t->producing[i]);
		if (one && !one->gone && !one->produced)
			rc = index_producers_of(ix, t->number, t->producing[i], add_producer, c,
			                        c->err);
	}
	return rc;
}

static int add_kv(void *arg, const struct kv_change *kv)
{
	return kv_apply(((struct changes *)arg)->kv, kv->stream, kv->key, kv->key_len, kv->value,
	                kv->value_len, kv->rev);
}

static int gather_all(struct changes *c)
{
	struct index *ix = c->v->engine->index;
	uint64_t seed;
	uint32_t at = 0;
	c->env->random(c->env->ctx, &seed, sizeof seed);
	int rc = kv_open(c->env, seed, &c->kv);
	rc = rc ? rc : index_kvs(ix, c->t->number, add_kv, c, c->err);
	rc = rc ? rc : index_streams(ix, c->t->number, add_row, c, c->err);
	rc = rc ? rc : index_producers(ix, c->t->number, add_producer, c, c->err);
	size_t n = c->n;
	for (struct stream *s; !rc && (s = map_next(&c->v->streams, &at)) != NULL;) {
		struct change *there = n ? bsearch(&s->id, c->change, n, sizeof *c->change,
		                                   by_stream)
		                         : NULL;
		rc = there ? 0 : add_gone(c, s);
	}
	return rc;
}

/* ---- shown ---- */

/* The next key that changed; false: that was the last. */
static bool kv_next(struct cur *at, struct kv_change *kv)
{
	if (!cur_left(at))
		return false;
	*kv = (struct kv_change){ .stream = cur_u64(at), .rev = 0 };
	kv->rev = cur_u64(at);
	kv->deleted = cur_u32(at);
	kv->key_len = cur_u32(at);
	kv->value_len = cur_u32(at);
	kv->key = cur_take(at, kv->key_len);
	kv->value = cur_take(at, kv->value_len);
	return true;
}

/* Locked. All memory that is needed; nothing is seen of it. */
static int prepare(struct changes *c)
{
	struct volume *v = c->v;
	struct cur at = cur_of(c->t->kv.data, c->kv ? 0 : c->t->kv.len);
	struct kv_change kv;
	int rc = map_reserve(&v->streams, c->n_made) || map_reserve(&v->names, c->n_made)
	                 ? FIRN_ENOMEM
	                 : 0;
	while (!rc && kv_next(&at, &kv)) {
		if (kv.deleted)
			continue;
		rc = kv_prepare(v->kv, kv.stream, kv.key, kv.key_len, kv.value, kv.value_len,
		                &c->put[c->n_put]);
		c->n_put += !rc;
	}
	for (; rc && c->n_put; c->n_put--)
		kv_drop(v->kv, &c->put[c->n_put - 1]);
	return rc;
}

static void show_kv(struct changes *c)
{
	struct kv *kv = c->v->kv;
	struct cur at = cur_of(c->t->kv.data, c->t->kv.len);
	struct kv_change k;
	uint32_t i = 0;
	if (c->kv) {
		c->v->kv = c->kv;
		c->kv = kv; /* to be closed */
		return;
	}
	while (kv_next(&at, &k)) {
		if (k.deleted) {
			kv_apply_delete(kv, k.stream, k.key, k.key_len, NULL, 0, k.rev);
			continue;
		}
		kv_assign(kv, &c->put[i++], k.rev);
		(void)kv_apply(kv, k.stream, k.key, k.key_len, k.value, k.value_len, k.rev);
	}
}

static void show_gone(struct changes *c, struct change *one)
{
	struct stream *s = one->s;
	s->deleted = true;
	c->v->n_live--;
	kv_apply_delete_stream(c->v->kv, s->id, c->v->manifest.rev_stored);
	stream_free(c->v, s);
	one->s = NULL;
}

static void show_stream(struct changes *c, struct change *one)
{
	struct volume *v = c->v;
	struct stream *s = one->s;
	if (one->made) {
		(void)stream_link(v, s);
		v->n_live++;
		one->made = false;
	}
	s->assigned = s->durable = s->stored = one->next;
	s->start = s->start_assigned = s->stored_start = one->start;
	s->bytes = s->stored_bytes = one->bytes;
	s->first_ms = one->first_ms;
	s->last_ms = s->last_append_ms = one->last_ms;
	if (one->configured) {
		struct firn_stream_config *was = s->config;
		s->config = one->config;
		one->config = was; /* to be freed */
		config_limits(s->config, &s->limits);
	}
	if (one->produced) {
		struct dedup *was = s->dedup;
		s->dedup = one->dedup;
		one->dedup = was;
	}
	stream_follow(s);
	read_notify(v, s);
}

/* Locked. First what leaves: a name may have gone over. */
static void show(struct changes *c)
{
	struct volume *v = c->v;
	const struct manifest *m = &v->manifest;
	show_kv(c);
	for (size_t i = 0; i < c->n; i++)
		if (c->change[i].gone)
			show_gone(c, &c->change[i]);
	for (size_t i = 0; i < c->n; i++)
		if (!c->change[i].gone)
			show_stream(c, &c->change[i]);
	v->rev_assigned = v->rev_published = v->rev_durable = v->rev_stored = m->rev_stored;
	v->epoch = m->epoch;
	v->index_no = c->t->number;
	v->turning = false;
	v->cut++;
	volume_show(v);
}

static void fini(struct changes *c)
{
	for (size_t i = 0; i < c->n; i++) {
		struct change *one = &c->change[i];
		mem_free(c->env, one->config);
		dedup_close(one->dedup);
		if (one->made)
			stream_destroy(c->v, one->s);
	}
	kv_close(c->kv);
	mem_free(c->env, c->put);
	mem_free(c->env, c->change);
}

/* What was filled in before is shown no longer. Should this fail, the next opening does it. */
static void let_go(struct volume *v, struct turn *t)
{
	forget(t);
	t->all = false;
	t->n_lost = v->manifest.n_lost;
	if (t->kept)
		(void)index_fill_drop(v->engine->index, t->kept, NULL);
	t->kept = 0;
}

int follow_show(struct volume *v, struct firn_error *err)
{
	struct turn *t = &v->follow->turn;
	struct changes c = { .v = v, .env = v->engine->env, .t = t, .err = err };
	int rc = t->all ? gather_all(&c) : gather_noted(&c);
	if (!rc && t->n_put) {
		c.put = mem_alloc(c.env, t->n_put * sizeof *c.put);
		rc = c.put ? 0 : FIRN_ENOMEM;
	}
	if (!rc) {
		pthread_mutex_lock(&v->lock);
		rc = prepare(&c);
		if (!rc)
			show(&c);
		pthread_mutex_unlock(&v->lock);
	}
	fini(&c);
	if (!rc)
		let_go(v, t);
	else if (rc == FIRN_ENOMEM)
		(void)fail(err, rc, 0, "follow", "%s: no memory for what is new", v->name);
	return rc;
}
