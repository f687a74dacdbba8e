/* When to clean, and what: see clean.h. Lock: volume.lock for short moments; none while the index is read. */
#include "engine/gc/clean.h"
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/gc/gc.h"
#include "engine/upload/upload.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STREAMS_MAX = 1 << 20 }; /* of a walk: 16 MiB */
#define CLEAN_PAUSE_NS UINT64_C(1000000000)

struct clean {
	int64_t began_ms;
	uint64_t rev; /* what was durable then is stored before the index is looked at */
	bool walked, one_by_one, capped;
	uint64_t bytes; /* of all segments of the list when it was made */
	struct segment_id *id;
	size_t n, cap;
};

static uint64_t deadline_ms(const struct volume *v)
{
	return v->engine->options.delete_deadline_ms;
}

bool clean_due(const struct volume *v, uint64_t now_ns, int64_t now_ms)
{
	int64_t last = v->cleaned_ms ? v->cleaned_ms : v->manifest.cleaned_ms;
	if (v->detaching || v->manifest.state != MANIFEST_DIRTY || now_ns < v->clean_at_ns)
		return false;
	if (v->clean)
		return v->rev_stored >= v->clean->rev && v->manifest.n_dead < GC_DEAD_MAX / 2 &&
		       !v->bury_due;
	return now_ms < last || (uint64_t)(now_ms - last) >= deadline_ms(v) / 2;
}

void clean_free(struct volume *v)
{
	if (v->clean)
		mem_free(v->engine->env, v->clean->id);
	mem_free(v->engine->env, v->clean);
	v->clean = NULL;
}

/* ---- the walk ---- */

struct walk {
	struct volume *v;
	struct clean *c;
	struct {
		uint64_t stream, start;
	} * cut; /* streams of which something was trimmed */
	size_t n_cut, cap_cut;
};

static int add(struct walk *w, struct segment_id id)
{
	void *p = w->c->id;
	if (w->c->n >= CLEAN_SEGMENTS_MAX) {
		w->c->capped = true;
		return 0;
	}
	if (mem_grow(w->v->engine->env, &p, &w->c->cap, w->c->n, w->c->n + 1, sizeof *w->c->id))
		return FIRN_ENOMEM;
	w->c->id = p;
	w->c->id[w->c->n++] = id;
	return 0;
}

static int look_at_segment(void *arg, const struct index_segment *s)
{
	struct walk *w = arg;
	if (s->n_live >= s->s.n_block)
		return 0;
	w->c->bytes += s->s.bytes;
	return add(w, s->s.id);
}

static int look_at_stream(void *arg, const struct stream_state *s)
{
	struct walk *w = arg;
	void *p = w->cut;
	if (!s->start)
		return 0;
	if (w->n_cut == STREAMS_MAX) {
		w->c->capped = true;
		return 0;
	}
	if (mem_grow(w->v->engine->env, &p, &w->cap_cut, w->n_cut, w->n_cut + 1, sizeof *w->cut))
		return FIRN_ENOMEM;
	w->cut = p;
	w->cut[w->n_cut].stream = s->stream;
	w->cut[w->n_cut++].start = s->start;
	return 0;
}

/* A block that begins below the start of its stream. */
static int look_at_cut(struct walk *w, uint64_t stream, uint64_t start, struct firn_error *err)
{
	struct volume *v = w->v;
	struct index_extent x;
	struct index_segment s;
	int rc = index_extent_find(v->engine->index, v->index_no, stream, start, &x, err);
	if (rc || x.block.base >= start)
		return rc == FIRN_ENOENT ? 0 : rc;
	rc = index_segment_get(v->engine->index, v->index_no, x.segment, &s, err);
	w->c->bytes += rc ? 0 : s.s.bytes;
	return rc == FIRN_ENOENT ? 0 : rc ? rc : add(w, x.segment);
}

static int walk(struct volume *v, struct clean *c, struct firn_error *err)
{
	struct walk w = { .v = v, .c = c };
	struct index *ix = v->engine->index;
	c->n = 0;
	c->bytes = 0;
	c->capped = false;
	int rc = index_segments(ix, v->index_no, look_at_segment, &w, err);
	rc = rc ? rc : index_streams(ix, v->index_no, look_at_stream, &w, err);
	for (size_t i = 0; i < w.n_cut && !rc; i++)
		rc = look_at_cut(&w, w.cut[i].stream, w.cut[i].start, err);
	mem_free(v->engine->env, w.cut);
	if (rc == FIRN_ENOMEM)
		return fail(err, rc, 0, "gc", "no memory to look for dead bytes");
	c->n = segment_ids_sort(c->id, c->n);
	c->walked = !rc;
	return rc;
}

/* ---- a step ---- */

static bool takes(const struct clean_step *s, const struct clean *c, const struct index_segment *x)
{
	uint64_t blocks = x->s.n_block;
	if (!s->n)
		return true;
	if (c->one_by_one || s->n == CLEAN_SEGMENTS || s->bytes + x->s.bytes > CLEAN_BYTES)
		return false;
	for (uint32_t i = 0; i < s->n; i++)
		blocks += s->segment[i].s.n_block;
	return blocks <= CLEAN_BLOCKS;
}

struct wanted {
	bool cover, bury;
};

/* 1: it stays in the list. */
static int look(struct volume *v, const struct manifest *m, struct segment_id id,
                struct clean_step *out, struct wanted *want, struct firn_error *err)
{
	struct index_segment x;
	uint32_t run;
	int rc = index_segment_get(v->engine->index, v->index_no, id, &x, err);
	if (rc)
		return rc == FIRN_ENOENT ? 0 : rc;
	if (x.s.rev_to > layer_covered(m)) {
		want->cover |= m->n_segment != 0;
		return m->n_segment != 0;
	}
	if (!x.n_live) {
		want->bury = true;
		return 1;
	}
	if (!layer_run_of(m, x.s.rev_from, x.s.rev_to, &run))
		return fail(err, FIRN_ECORRUPT, 0, "gc",
		            "segment %llx-%llx of the index lies in no run of the manifest",
		            (unsigned long long)id.epoch, (unsigned long long)id.n);
	if (!takes(out, v->clean, &x) || (out->n && run != out->run))
		return 1;
	out->run = run;
	out->bytes += x.s.bytes;
	out->segment[out->n++] = x;
	return 1;
}

static int choose(struct volume *v, const struct manifest *m, struct clean_step *out,
                  struct firn_error *err)
{
	struct clean *c = v->clean;
	struct wanted want = { 0 };
	size_t kept = 0, i = 0;
	int rc = 0;
	for (; i < c->n && rc >= 0 && out->n < CLEAN_SEGMENTS; i++) {
		rc = look(v, m, c->id[i], out, &want, err);
		if (rc)
			c->id[kept++] = c->id[i];
	}
	while (i < c->n)
		c->id[kept++] = c->id[i++];
	c->n = kept;
	out->work = out->n       ? CLEAN_REWRITE
	            : want.bury  ? CLEAN_BURY
	            : want.cover ? CLEAN_COVER
	                         : CLEAN_END;
	return rc < 0 ? rc : 0;
}

static int begin(struct volume *v, struct firn_error *err)
{
	const struct firn_env *env = v->engine->env;
	struct clean *c = mem_zalloc(env, sizeof *c);
	if (!c)
		return fail(err, FIRN_ENOMEM, 0, "gc", "no memory to clean");
	c->began_ms = env->now_ms(env->ctx);
	pthread_mutex_lock(&v->lock);
	c->rev = v->rev_durable;
	v->clean = c;
	pthread_mutex_unlock(&v->lock);
	return 0;
}

/* Locked. */
static void end_cycle(struct volume *v, bool all)
{
	const struct firn_env *env = v->engine->env;
	if (all)
		v->cleaned_ms = v->clean->began_ms;
	clean_free(v);
	v->clean_at_ns = env->mono_ns(env->ctx) + CLEAN_PAUSE_NS;
}

static void end(struct volume *v)
{
	pthread_mutex_lock(&v->lock);
	end_cycle(v, !v->clean->capped);
	pthread_mutex_unlock(&v->lock);
}

void clean_give_up(struct volume *v)
{
	if (v->clean)
		end_cycle(v, true);
}

int clean_next(struct volume *v, const struct manifest *m, struct clean_step *out,
               struct firn_error *err)
{
	memset(out, 0, sizeof *out);
	if (!v->clean)
		return begin(v, err);
	int rc = v->clean->walked ? 0 : walk(v, v->clean, err);
	rc = rc ? rc : choose(v, m, out, err);
	if (rc)
		return rc;
	if (out->work == CLEAN_END)
		end(v);
	pthread_mutex_lock(&v->lock);
	v->bury_due = out->work == CLEAN_BURY;
	pthread_mutex_unlock(&v->lock);
	return 0;
}

/* ---- afterwards ---- */

static void leave_alone(struct volume *v, struct clean *c, const struct clean_step *step,
                        const struct firn_error *err)
{
	size_t kept = 0;
	for (size_t i = 0; i < c->n; i++)
		if (!segment_id_equal(c->id[i], step->segment[0].s.id))
			c->id[kept++] = c->id[i];
	c->n = kept;
	engine_log(v->engine, FIRN_LOG_ERROR, "gc", v->name, err->text);
}

static uint64_t pace_ns(const struct volume *v, const struct clean *c, uint64_t bytes)
{
	uint64_t s = deadline_ms(v) / 4000, rate = CLEAN_RATE;
	if (!s)
		return 0;
	if (c->bytes / s > rate)
		rate = c->bytes / s;
	return bytes * UINT64_C(1000) / rate * UINT64_C(1000000);
}

void clean_done(struct volume *v, const struct clean_step *step, int rc,
                const struct firn_error *err)
{
	const struct firn_env *env = v->engine->env;
	struct clean *c = v->clean;
	uint64_t now = env->mono_ns(env->ctx);
	if (!c)
		return;
	if (rc == FIRN_ECORRUPT && step->n > 1)
		c->one_by_one = true;
	else if (rc == FIRN_ECORRUPT && step->n)
		leave_alone(v, c, step, err);
	pthread_mutex_lock(&v->lock);
	if (step->work == CLEAN_REWRITE)
		v->clean_at_ns = now + pace_ns(v, c, step->bytes);
	else if (rc)
		v->clean_at_ns = now + CLEAN_PAUSE_NS;
	pthread_mutex_unlock(&v->lock);
}
