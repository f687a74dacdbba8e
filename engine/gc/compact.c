/* When to gather, and what: see compact.h. Lock: volume.lock for short moments; none while the index is read. */
#include "engine/gc/compact.h"
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/gc/gc.h"
#include <stdlib.h>
#include <string.h>

enum { NO_RUN = UINT32_MAX };

struct candidate {
	struct index_segment s;
	uint32_t run, _pad;
};

/* Segments that came to be together. */
struct group {
	size_t first;
	uint64_t bytes, n_block;
	uint32_t n, _pad;
};

struct compact {
	struct volume *v;
	const struct manifest *m;
	struct candidate *s; /* by run, then by their interval of writes */
	size_t n, cap, oldest;
	struct group *group; /* of the run that is looked at */
	size_t n_group, cap_group;
	size_t left; /* those from here on were looked at */
	uint64_t began_ns;
};

static uint32_t fan_of(const struct volume *v)
{
	uint32_t n = v->engine->options.layer_segments;
	return n < COMPACT_FAN ? n : COMPACT_FAN;
}

bool compact_due(const struct volume *v, uint64_t now_ns)
{
	return fan_of(v) >= COMPACT_FAN_MIN && !v->detaching &&
	       v->manifest.state == MANIFEST_DIRTY && now_ns >= v->compact_at_ns &&
	       v->manifest.n_dead < GC_DEAD_MAX / 2 &&
	       segment_id_compare(v->layer_newest, v->compact_seen) > 0;
}

/* ---- candidates ---- */

static int look_at(void *arg, const struct index_segment *s)
{
	struct compact *c = arg;
	struct candidate x = { .s = *s };
	void *at = c->s;
	if (s->n_live < 1 || s->live_bytes / s->n_live >= COMPACT_LARGE ||
	    !layer_run_of(c->m, s->s.rev_from, s->s.rev_to, &x.run))
		return 0;
	if (c->n == CLEAN_SEGMENTS_MAX) { /* the newest are worth most */
		c->s[c->oldest++ % CLEAN_SEGMENTS_MAX] = x;
		return 0;
	}
	if (mem_grow(c->v->engine->env, &at, &c->cap, c->n, c->n + 1, sizeof *c->s))
		return FIRN_ENOMEM;
	c->s = at;
	c->s[c->n++] = x;
	return 0;
}

static int by_run(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	if (x->run != y->run)
		return x->run < y->run ? -1 : 1;
	if (x->s.s.rev_from != y->s.s.rev_from)
		return x->s.s.rev_from < y->s.s.rev_from ? -1 : 1;
	if (x->s.s.rev_to != y->s.s.rev_to)
		return x->s.s.rev_to < y->s.s.rev_to ? -1 : 1;
	return segment_id_compare(x->s.s.id, y->s.s.id);
}

int compact_open(struct volume *v, const struct manifest *m, struct compact **out,
                 struct firn_error *err)
{
	const struct firn_env *env = v->engine->env;
	struct compact *c = *out = mem_zalloc(env, sizeof *c);
	int rc = c ? 0 : FIRN_ENOMEM;
	if (c) {
		*c = (struct compact){ .v = v, .m = m, .began_ns = env->mono_ns(env->ctx) };
		rc = index_segments(v->engine->index, v->index_no, look_at, c, err);
	}
	if (rc == FIRN_ENOMEM)
		return fail(err, rc, 0, "gc", "no memory to compact");
	if (!rc && c->n)
		qsort(c->s, c->n, sizeof *c->s, by_run);
	if (c)
		c->left = c->n;
	return rc;
}

void compact_close(struct compact *c)
{
	if (!c)
		return;
	const struct firn_env *env = c->v->engine->env;
	mem_free(env, c->s);
	mem_free(env, c->group);
	mem_free(env, c);
}

/* ---- a run ---- */

/* false: no memory. */
static bool groups_of(struct compact *c, size_t from, size_t to)
{
	c->n_group = 0;
	for (size_t i = from; i < to; i++) {
		const struct manifest_segment *s = &c->s[i].s.s, *before = &s[0];
		void *at = c->group;
		if (i > from)
			before = &c->s[i - 1].s.s;
		if (i == from || before->rev_from != s->rev_from || before->rev_to != s->rev_to) {
			if (mem_grow(c->v->engine->env, &at, &c->cap_group, c->n_group,
			             c->n_group + 1, sizeof *c->group))
				return false;
			c->group = at;
			c->group[c->n_group++] = (struct group){ .first = i };
		}
		c->group[c->n_group - 1].n++;
		c->group[c->n_group - 1].bytes += s->bytes;
		c->group[c->n_group - 1].n_block += s->n_block;
	}
	return true;
}

/* Of groups [from, to) the largest, and the bytes of all. */
static size_t largest(const struct compact *c, size_t from, size_t to, uint64_t *bytes)
{
	size_t big = from;
	*bytes = 0;
	for (size_t i = from; i < to; i++) {
		*bytes += c->group[i].bytes;
		if (c->group[i].bytes > c->group[big].bytes)
			big = i;
	}
	return big;
}

static size_t as_many_as_fit(const struct compact *c, size_t from)
{
	uint64_t most = c->v->engine->upload_bytes / 4 / COMPACT_SOURCE, n = 0, n_block = 0;
	most = most < CLEAN_SEGMENTS ? most : CLEAN_SEGMENTS;
	for (; from < c->n_group; from++) {
		n += c->group[from].n;
		n_block += c->group[from].n_block;
		if (n > most || n_block > COMPACT_BLOCKS)
			break;
	}
	return from;
}

/* Neighbours, at least `fan` of them, of which none is too large a part. */
static bool pick(const struct compact *c, size_t *from, size_t *to)
{
	uint32_t fan = fan_of(c->v), part = fan / 4 < 2 ? 2 : fan / 4;
	uint64_t bytes;
	size_t at = 0;
	while (at + fan <= c->n_group) {
		size_t end = as_many_as_fit(c, at);
		if (end - at < fan) {
			at++;
			continue;
		}
		size_t big = largest(c, at, end, &bytes);
		while (c->group[big].bytes > bytes / part && big - at >= fan) {
			end = big;
			big = largest(c, at, end, &bytes);
		}
		if (c->group[big].bytes <= bytes / part) {
			*from = at;
			*to = end;
			return true;
		}
		at = big + 1;
	}
	return false;
}

static bool refused(const struct compact *c, uint32_t run)
{
	const struct volume *v = c->v;
	for (uint32_t i = 0; i < sizeof v->compact_no / sizeof v->compact_no[0]; i++)
		if (segment_id_equal(v->compact_no[i], c->m->layer[run].id))
			return true;
	return false;
}

bool compact_next(struct compact *c, struct clean_step *out)
{
	while (c->left) {
		size_t to = c->left, from = to - 1, a, b;
		uint32_t run = c->s[from].run;
		while (from && c->s[from - 1].run == run)
			from--;
		c->left = from;
		if (refused(c, run) || !groups_of(c, from, to) || !pick(c, &a, &b))
			continue;
		memset(out, 0, sizeof *out);
		out->work = CLEAN_REWRITE;
		out->run = run;
		for (size_t i = c->group[a].first; i < c->group[b - 1].first + c->group[b - 1].n;
		     i++) {
			out->segment[out->n++] = c->s[i].s;
			out->bytes += c->s[i].s.s.bytes;
		}
		return true;
	}
	return false;
}

/* ---- afterwards ---- */

void compact_refuse(struct compact *c, const struct clean_step *step)
{
	struct volume *v = c->v;
	uint32_t n = v->n_compact_no++ % (sizeof v->compact_no / sizeof v->compact_no[0]);
	v->compact_no[n] = c->m->layer[step->run].id;
}

/* A walk over the segments is to be a hundredth of the time at most. */
void compact_done(struct compact *c, const struct clean_step *step, int rc)
{
	struct volume *v = c->v;
	const struct firn_env *env = v->engine->env;
	uint64_t now = env->mono_ns(env->ctx), pause = (now - c->began_ns) * 100;
	if (step)
		pause = step->bytes * UINT64_C(1000) / CLEAN_RATE * UINT64_C(1000000);
	pthread_mutex_lock(&v->lock);
	v->compact_at_ns = now + pause;
	if ((!rc && !step) || rc == FIRN_ECORRUPT)
		v->compact_seen = layer_newest(c->m);
	pthread_mutex_unlock(&v->lock);
}
