/* Retention, see retain.h. Lock: volume.lock for short moments; none while the index is read. */
#include "engine/gc/retain.h"
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/gc/heap.h"
#include "engine/upload/upload.h"
#include <string.h>

enum { LOOKS_AT_ONCE = 64, EXTENTS_AT_ONCE = 1024 };
#define RETAIN_EVERY_NS UINT64_C(1000000000)
#define DUE_NOW INT64_MIN

/* A look at one stream: what it begins with, and what it found. */
struct look {
	uint64_t stream, from, stored; /* blocks in [from, stored) are looked at */
	uint64_t limit, age_ms;
	int64_t now_ms;
	bool by_timestamp, counted, failed, refused, more;
	uint32_t n;
	uint64_t at, held, left; /* held: as the stream's; left: of it, behind `to` */
	uint64_t to;
	int64_t next_ms; /* when its oldest block comes of age; INT64_MAX: never */
};

static bool has_retention(const struct stream *s)
{
	return s->config && !s->deleted && (s->config->retention_ms || s->config->retention_bytes);
}

static int64_t of_age(int64_t ms, uint64_t age_ms)
{
	bool never = !age_ms || age_ms > INT64_MAX || ms > INT64_MAX - (int64_t)age_ms;
	return never ? INT64_MAX : ms + (int64_t)age_ms;
}

void retain_gone(struct volume *v, struct stream *s)
{
	if (!s->retain)
		return;
	heap_take(v, s->retain);
	mem_free(v->engine->env, s->retain);
	s->retain = NULL;
}

/* Without retention it goes on being counted: a look may be under way. */
void retain_config(struct volume *v, struct stream *s)
{
	if (!has_retention(s)) {
		if (s->retain)
			heap_take(v, s->retain);
		return;
	}
	if (!s->retain) {
		s->retain = mem_zalloc(v->engine->env, sizeof *s->retain);
		if (!s->retain)
			return; /* more of it being stored tries again */
		s->retain->stream = s->id;
		s->retain->held = s->stored_bytes;
	}
	if (s->stored > s->start)
		heap_put(v, s->retain, DUE_NOW);
}

static bool exceeds(const struct stream *s)
{
	return s->config->retention_bytes && s->retain->held > s->config->retention_bytes;
}

void retain_stored(struct volume *v, struct stream *s, int64_t last_append_ms, uint64_t was,
                   uint64_t bytes)
{
	struct retain *r = s->retain;
	if (!r) {
		retain_config(v, s);
		return;
	}
	r->held += bytes;
	if (s->start_assigned > was) /* a part of it is trimmed already */
		r->counted = false;
	if (!has_retention(s))
		return;
	if (exceeds(s) || (!r->at && s->config->flags & FIRN_RETAIN_BY_TIMESTAMP))
		heap_put(v, r, DUE_NOW);
	else if (!r->at && s->config->retention_ms)
		heap_put(v, r, of_age(last_append_ms, s->config->retention_ms));
}

void retain_trimmed(struct stream *s)
{
	if (s->retain && s->start > s->retain->trimmed)
		s->retain->counted = false;
}

void retain_gathered(struct stream *s)
{
	if (s->retain)
		s->retain->counted = false;
}

bool retain_due(const struct volume *v, int64_t now_ms)
{
	return v->n_retain && v->retain[0]->due_ms <= now_ms;
}

/* ---- a look ---- */

/* Locked: those that are due leave the heap. */
static uint32_t take(struct volume *v, struct look *l, int64_t now_ms)
{
	uint32_t n = 0;
	while (n < LOOKS_AT_ONCE && retain_due(v, now_ms)) {
		struct retain *r = v->retain[0];
		struct stream *s = volume_stream(v, r->stream);
		heap_take(v, r);
		if (!s || !has_retention(s))
			continue;
		const struct firn_stream_config *c = s->config;
		l[n++] = (struct look){ .stream = s->id,
			                .from = s->start_assigned,
			                .stored = s->stored,
			                .limit = c->retention_bytes,
			                .age_ms = c->retention_ms,
			                .now_ms = now_ms,
			                .by_timestamp = c->flags & FIRN_RETAIN_BY_TIMESTAMP,
			                .counted = r->counted || !exceeds(s),
			                .held = r->held,
			                .next_ms = INT64_MAX };
		r->counted = r->counted || exceeds(s); /* what comes now is added to the count */
	}
	return n;
}

static int add_up(void *arg, const struct index_extent *x)
{
	struct look *l = arg;
	if (x->block.next > l->stored)
		return 1;
	l->held += x->block.payload_bytes;
	l->at = x->block.next;
	l->more = ++l->n == EXTENTS_AT_ONCE;
	return l->more;
}

static int count(struct volume *v, struct look *l, struct firn_error *err)
{
	int rc;
	l->held = 0;
	l->at = l->from;
	do {
		l->n = 0;
		l->more = false;
		rc = index_extents(v->engine->index, v->index_no, l->stream, l->at, add_up, l, err);
	} while (rc >= 0 && l->more);
	l->more = false;
	l->n = 0;
	return rc < 0 ? rc : 0;
}

/* A block goes when its newest batch is too old, or when those behind it are as much as is to be kept. */
static int judge(void *arg, const struct index_extent *x)
{
	struct look *l = arg;
	const struct block_entry *b = &x->block;
	int64_t due = of_age(l->by_timestamp ? b->max_timestamp_ms : b->max_append_ms, l->age_ms);
	uint64_t behind = l->left > b->payload_bytes ? l->left - b->payload_bytes : 0;
	bool goes = due <= l->now_ms || (l->limit && behind >= l->limit);
	if (!goes || b->next > l->stored) {
		l->next_ms = due;
		return 1;
	}
	l->to = b->next;
	l->left = behind;
	l->more = ++l->n == EXTENTS_AT_ONCE;
	return l->more;
}

static int look_at(struct volume *v, struct look *l, struct firn_error *err)
{
	int rc = l->counted ? 0 : count(v, l, err);
	l->left = l->held;
	if (!rc)
		rc = index_extents(v->engine->index, v->index_no, l->stream, l->from, judge, l,
		                   err);
	l->failed = rc < 0;
	return rc < 0 ? rc : 0;
}

/* ---- the write ---- */

/* A stream that was deleted meanwhile refuses the whole write: it goes without. */
static int trim(struct volume *v, struct look *l, uint32_t n, struct firn_error *err)
{
	struct firn_op op[LOOKS_AT_ONCE];
	struct look *of[LOOKS_AT_ONCE];
	struct completion nobody = { 0 };
	uint32_t k = 0;
	for (uint32_t i = 0; i < n; i++)
		if (l[i].to > l[i].from) {
			memset(&op[k], 0, sizeof op[k]);
			op[k].kind = FIRN_OP_TRIM;
			op[k].stream = l[i].stream;
			op[k].u.range.from = l[i].to;
			of[k++] = &l[i];
		}
	while (k) {
		struct firn_write w = FIRN_WRITE_INIT;
		struct firn_event ev;
		bool by_event;
		w.req.flags = FIRN_REQ_SILENT;
		w.op = op;
		w.n_op = k;
		w.ack = FIRN_ACK_ASSIGNED;
		int rc = admit_write(v, &w, &nobody, &ev, &by_event, err);
		if (!rc)
			return 1;
		uint32_t bad = by_event ? (uint32_t)ev.end : 0;
		for (uint32_t i = 0; !bad && i < k; i++)
			of[i]->refused = true;
		if (!bad)
			return rc;
		of[bad - 1]->refused = true;
		k--;
		memmove(&op[bad - 1], &op[bad], (k - (bad - 1)) * sizeof *op);
		memmove(&of[bad - 1], &of[bad], (k - (bad - 1)) * sizeof(void *));
	}
	return 0;
}

/* Locked. */
static void done(struct volume *v, const struct look *l, uint64_t was)
{
	struct stream *s = volume_stream(v, l->stream);
	struct retain *r = s ? s->retain : NULL;
	if (!r)
		return;
	if (l->failed) { /* the next look begins anew */
		r->counted = false;
		heap_put(v, r, DUE_NOW);
		return;
	}
	r->held = r->held - was + (l->refused ? l->held : l->left);
	if (!l->refused && l->to > r->trimmed)
		r->trimmed = l->to;
	if (l->more || l->refused)
		heap_put(v, r, DUE_NOW);
	else if (l->next_ms != INT64_MAX)
		heap_put(v, r, l->next_ms);
}

/* 1: there may be more; 0: nothing is due; < 0. */
static int some(struct volume *v, struct firn_error *err)
{
	const struct firn_env *env = v->engine->env;
	struct look l[LOOKS_AT_ONCE];
	uint64_t was[LOOKS_AT_ONCE];
	int64_t now = env->now_ms(env->ctx);
	pthread_mutex_lock(&v->lock);
	bool over = volume_ends(v) || v->detaching || v->failed;
	uint32_t n = over ? 0 : take(v, l, now);
	pthread_mutex_unlock(&v->lock);
	int rc = 0;
	for (uint32_t i = 0; i < n; i++) {
		was[i] = l[i].held;
		int one = look_at(v, &l[i], err);
		rc = rc ? rc : one;
	}
	int wrote = trim(v, l, n, err);
	rc = wrote < 0 && !rc ? wrote : rc;
	pthread_mutex_lock(&v->lock);
	for (uint32_t i = 0; i < n; i++)
		done(v, &l[i], was[i]);
	pthread_mutex_unlock(&v->lock);
	return rc ? rc : n != 0;
}

int retain_run(struct volume *v)
{
	const struct firn_env *env = v->engine->env;
	struct firn_error err = { .struct_size = sizeof err };
	int rc = 1, did = 0;
	for (uint32_t n = 0; rc > 0 && n < RETAIN_LOOKS / LOOKS_AT_ONCE; n++) {
		rc = some(v, &err);
		did |= rc > 0;
	}
	if (rc < 0 && rc != FIRN_EFULL && rc != FIRN_ESHUTDOWN)
		engine_log(v->engine, FIRN_LOG_WARN, "gc", v->name, err.text);
	pthread_mutex_lock(&v->lock);
	v->retain_next_ns = env->mono_ns(env->ctx) + RETAIN_EVERY_NS;
	v->retaining = false; /* from here on a detach may free the volume */
	pthread_mutex_unlock(&v->lock);
	return did;
}
