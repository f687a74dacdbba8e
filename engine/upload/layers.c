/* Layers of a volume: when footers are many they become one, when layers of a level are many they become one of the
 * next. All of it beside the commits: inputs are objects that the settled manifest names, outputs are new objects that
 * nobody names until a commit does.
 *
 *   rows of segments >= layer_segments, or their footers fill the memory   -> a run of level 1
 *   LAYER_FANOUT runs of one level                                         -> a run of the next
 *   a run that names segments with dead bytes in them (gc/clean.h)         -> the same run, of rewritten segments
 *   a run that names many segments of small blocks (gc/compact.h)          -> the same
 *
 * Of those the interval stays. Only the newest are merged, and whole: what is merged is an interval of writes, and the manifest goes on being an
 * unbroken row of them. One merge of a volume at a time; a commit takes its result before the next begins.
 * Memory: the footers of one merge, or one part of each run, and the part that is written.
 * Lock: volume.lock for short moments, for numbers and for the claim. */
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/gc/compact.h"
#include "engine/gc/gather.h"
#include "engine/upload/upload.h"
#include <stdio.h>
#include <string.h>

enum { PART_BYTES = 4 << 20, PART_BYTES_MIN = 64 << 10 };

static size_t part_bytes(const struct engine *e)
{
	uint64_t n = e->upload_bytes / 16;
	return n > PART_BYTES ? PART_BYTES : n < PART_BYTES_MIN ? PART_BYTES_MIN : (size_t)n;
}

bool layers_due(const struct volume *v)
{
	const struct manifest *m = &v->manifest;
	uint32_t from, level;
	uint64_t bytes = 0;
	if (v->read_only || m->state != MANIFEST_DIRTY)
		return false;
	for (uint32_t i = 0; i < m->n_segment; i++)
		bytes += footer_bytes(&m->segment[i]);
	return m->n_segment >= v->engine->options.layer_segments ||
	       bytes >= 2 * footers_share(v->engine) || layer_runs_due(m, &from, &level);
}

/* ---- a merge ---- */

struct work {
	struct volume *v;
	struct manifest m; /* as settled when it began */
	struct layer_source **source;
	uint32_t n_source;
	struct segment_footer **footer;
	uint32_t n_footer;
	uint64_t charged;
	struct layer_run run;
	struct layer_merge merge;
	struct firn_error *err;
	struct clean_step *step; /* NULL: a merge */
	struct rewrite *rewrite;
	struct gather *gather;
	struct rewritten *rewritten;
};

int layers_fetch(void *volume, const struct manifest_layer *part, struct buf *object,
                 struct firn_error *err)
{
	struct volume *v = volume;
	char key[OBJECT_KEY_MAX];
	size_t got = 0;
	layer_object_key(v->name, part->id, key);
	uint8_t *to = part->bytes <= LAYER_BYTES_MAX ? buf_add(object, (size_t)part->bytes) : NULL;
	if (!to)
		return fail(err, FIRN_ENOMEM, 0, "layer", "no memory for %s", key);
	int rc = store_get(v->store, key, 0, to, (size_t)part->bytes, &got, err);
	if (rc == FIRN_ENOENT)
		return fail(err, FIRN_ECORRUPT, 0, "layer",
		            "%s: the manifest names it, the store has it not", key);
	if (!rc && got != part->bytes)
		return fail(err, FIRN_ECORRUPT, 0, "layer", "%s: shorter than the manifest says",
		            key);
	return rc;
}

/* A detach does not wait for a merge: it is given up. */
static int fetch_for_merge(void *volume, const struct manifest_layer *part, struct buf *object,
                           struct firn_error *err)
{
	if (volume_ends_now(volume))
		return fail(err, FIRN_ECANCELED, 0, "layer", "the volume is detached");
	return layers_fetch(volume, part, object, err);
}

static struct segment_id next_id(void *volume)
{
	struct volume *v = volume;
	pthread_mutex_lock(&v->lock);
	struct segment_id id = { v->epoch, v->next_segment++ };
	pthread_mutex_unlock(&v->lock);
	return id;
}

static int put_part(void *volume, const struct manifest_layer *row, const uint8_t *data, size_t len,
                    struct firn_error *err)
{
	struct volume *v = volume;
	struct uploader *u = &v->engine->uploads;
	struct iovec iov = { (void *)(uintptr_t)data, len };
	char key[OBJECT_KEY_MAX];
	if (volume_ends_now(v))
		return fail(err, FIRN_ECANCELED, 0, "layer", "the volume is detached");
	layer_object_key(v->name, row->id, key);
	atomic_fetch_add(&u->n_segment_put, 1);
	int rc = store_put(v->store, key, &iov, 1, STORE_ALWAYS, NULL, NULL, err);
	if (rc)
		return fail_context(err, rc, "upload of %s", key);
	atomic_fetch_add(&u->put_bytes, len);
	return 0;
}

/* Nobody has heard of them: no commit that names them was ever made. What is on its way still is for a sweep. */
static void forget_parts(struct work *w)
{
	struct firn_error err = { .struct_size = sizeof err };
	for (size_t i = 0; i < w->run.n_part; i++) {
		char key[OBJECT_KEY_MAX];
		layer_object_key(w->v->name, w->run.part[i].id, key);
		(void)store_delete(w->v->store, key, &err);
	}
	rewrite_forget(w->rewrite);
	gather_forget(w->gather);
}

static int add_source(struct work *w, struct layer_source *s)
{
	w->source[w->n_source++] = s;
	return 0;
}

/* Whole rounds, the oldest, as many as their footers' share of memory holds. */
static uint32_t count_footers(const struct work *w, uint64_t *bytes)
{
	const struct manifest *m = &w->m;
	uint32_t n = 0;
	*bytes = 0;
	while (n < m->n_segment) {
		uint64_t round = 0;
		uint32_t end = n;
		do
			round += footer_bytes(&m->segment[end++]);
		while (end < m->n_segment && m->segment[end].rev_from == m->segment[n].rev_from);
		if (n && (*bytes + round > footers_share(w->v->engine) ||
		          layer_lost_between(m, m->segment[n - 1].rev_to, m->segment[n].rev_from)))
			break;
		*bytes += round;
		n = end;
	}
	return n;
}

static void charge(struct work *w, uint64_t bytes)
{
	w->charged = bytes + 2 * part_bytes(w->v->engine);
	rounds_charge(w->v, (int64_t)w->charged);
}

static int open_footers(struct work *w)
{
	struct layer_source *s;
	uint64_t bytes;
	uint32_t n = count_footers(w, &bytes);
	charge(w, 2 * bytes); /* and the order of their rows */
	w->footer = mem_zalloc(w->v->engine->env, (n + 1u) * sizeof *w->footer);
	if (!w->footer)
		return fail(w->err, FIRN_ENOMEM, 0, "layer", "no memory");
	int rc = 0;
	for (; w->n_footer < n && !rc; w->n_footer += !rc)
		rc = volume_ends_now(w->v) ? FIRN_ECANCELED
		                           : volume_footer(w->v, &w->m.segment[w->n_footer],
		                                           &w->footer[w->n_footer], w->err);
	rc = rc ? rc : layer_source_footers(w->v->engine->env, w->footer, w->n_footer, &s, w->err);
	w->run.meta.level = 1;
	w->run.meta.rev_from = w->m.segment[0].rev_from;
	w->run.meta.rev_to = w->m.segment[n - 1].rev_to;
	w->merge.base = w->m.n_layer == 0;
	return rc ? rc : add_source(w, s);
}

/* Runs from row `from` to row `to`. */
static int open_runs(struct work *w, uint32_t from, uint32_t to, uint32_t level)
{
	const struct manifest *m = &w->m;
	int rc = 0;
	uint64_t bytes = 0;
	w->run.meta.level = level;
	w->run.meta.rev_from = m->layer[from].rev_from;
	w->run.meta.rev_to = m->layer[to - 1].rev_to;
	w->merge.base = from == 0;
	for (uint32_t i = from, k; i < to && !rc; i += k) {
		struct layer_source *s;
		k = layer_run_parts(m, i);
		bytes += m->layer[i].bytes;
		rc = layer_source_run(w->v->engine->env, m->volume_id, &m->layer[i], k,
		                      fetch_for_merge, w->v, &s, w->err);
		rc = rc ? rc : add_source(w, s);
	}
	charge(w, bytes);
	return rc;
}

static int merge_rows(struct work *w)
{
	w->merge.source = w->source;
	w->merge.n_source = w->n_source;
	return layer_merge(&w->merge, w->err);
}

static int merge(struct work *w)
{
	uint32_t from, level, n = w->m.n_layer;
	int rc = layer_runs_due(&w->m, &from, &level) ? open_runs(w, from, n, level)
	                                              : open_footers(w);
	rc = rc ? rc : merge_rows(w);
	return rc ? rc : layer_run_end(&w->run);
}

/* The run of the step, and the one that takes its place. */
static int open_step(struct work *w)
{
	uint32_t from = w->step->run;
	return open_runs(w, from, from + layer_run_parts(&w->m, from), w->m.layer[from].level);
}

static int rewrite(struct work *w)
{
	int rc = open_step(w);
	rc = rc ? rc : rewrite_open(w->v, w->step, &w->run, &w->rewrite, w->err);
	w->merge.sink = rewrite_row;
	w->merge.arg = w->rewrite;
	rc = rc ? rc : merge_rows(w);
	return rc ? rc : rewrite_end(w->rewrite, &w->rewritten);
}

/* 1: it was merged; 0: there was nothing to merge. */
static int clean(struct work *w)
{
	w->step = mem_alloc(w->v->engine->env, sizeof *w->step);
	if (!w->step)
		return fail(w->err, FIRN_ENOMEM, 0, "gc", "no memory to clean");
	int rc = clean_next(w->v, &w->m, w->step, w->err);
	if (!rc && w->step->work == CLEAN_COVER)
		rc = merge(w);
	else if (!rc && w->step->work == CLEAN_REWRITE)
		rc = rewrite(w);
	else if (!rc)
		return 0;
	clean_done(w->v, w->step, rc, w->err);
	return rc ? rc : 1;
}

/* The rows of the run once more, from the first. */
static int pass(struct work *w, int (*sink)(void *arg, const struct layer_row *row))
{
	struct layer_source *s;
	uint32_t from = w->step->run;
	gather_again(w->gather);
	layer_source_close(w->source[0]);
	w->n_source = 0;
	int rc = layer_source_run(w->v->engine->env, w->m.volume_id, &w->m.layer[from],
	                          layer_run_parts(&w->m, from), fetch_for_merge, w->v, &s, w->err);
	rc = rc ? rc : add_source(w, s);
	w->merge.sink = sink;
	return rc ? rc : merge_rows(w);
}

static int gather(struct work *w)
{
	int rc = pass(w, gather_copy);
	rc = rc ? rc : gather_copied(w->gather);
	rc = rc ? rc : pass(w, gather_row);
	return rc ? rc : gather_end(w->gather, &w->rewritten);
}

/* 1: it is to be gathered; 0: it is not worth it. */
static int gather_look(struct work *w)
{
	int rc = open_step(w);
	rc = rc ? rc : gather_open(w->v, w->step, &w->run, &w->gather, w->err);
	w->merge.sink = gather_count;
	w->merge.arg = w->gather;
	rc = rc ? rc : merge_rows(w);
	if (rc || gather_worth(w->gather))
		return rc ? rc : 1;
	gather_close(w->gather);
	w->gather = NULL;
	layer_source_close(w->source[0]);
	w->n_source = 0;
	rounds_charge(w->v, -(int64_t)w->charged);
	w->charged = 0;
	return 0;
}

/* 1: something was gathered; 0: there was nothing. */
static int compact(struct work *w)
{
	struct compact *c;
	w->step = mem_alloc(w->v->engine->env, sizeof *w->step);
	if (!w->step)
		return fail(w->err, FIRN_ENOMEM, 0, "gc", "no memory to compact");
	int rc = compact_open(w->v, &w->m, &c, w->err);
	bool found = false;
	while (!rc && !found && compact_next(c, w->step)) {
		rc = gather_look(w);
		found = rc == 1;
		rc = found ? gather(w) : rc;
		if (!rc && !found)
			compact_refuse(c, w->step);
	}
	if (c)
		compact_done(c, found ? w->step : NULL, rc);
	compact_close(c);
	return rc ? rc : found;
}

/* What is due beside merges. */
static int clean_or_compact(struct work *w)
{
	const struct firn_env *env = w->v->engine->env;
	uint64_t now = env->mono_ns(env->ctx);
	pthread_mutex_lock(&w->v->lock);
	bool cleans = clean_due(w->v, now, env->now_ms(env->ctx));
	bool compacts = !cleans && compact_due(w->v, now);
	pthread_mutex_unlock(&w->v->lock);
	return cleans ? clean(w) : compacts ? compact(w) : 0;
}

static struct layered *layered_of(struct work *w)
{
	struct layered *l = mem_zalloc(w->v->engine->env, sizeof *l);
	if (!l)
		return NULL;
	l->rev_from = w->run.meta.rev_from;
	l->rev_to = w->run.meta.rev_to;
	l->part = w->run.part;
	l->n_part = w->run.n_part;
	l->rewritten = w->rewritten;
	w->rewritten = NULL;
	w->run.part = NULL;
	w->run.n_part = 0;
	return l;
}

static int work_begin(struct work *w, struct volume *v, struct firn_error *err)
{
	const struct firn_env *env = v->engine->env;
	memset(w, 0, sizeof *w);
	w->v = v;
	w->err = err;
	w->run = (struct layer_run){ .env = env,
		                     .zstd_level = (int)v->engine->options.zstd_level,
		                     .part_bytes = part_bytes(v->engine),
		                     .id = next_id,
		                     .put = put_part,
		                     .arg = v,
		                     .err = err };
	memcpy(w->run.meta.volume_id, v->id, 16);
	w->run.meta.created_ms = env->now_ms(env->ctx);
	w->merge = (struct layer_merge){ .env = env, .sink = layer_run_row, .arg = &w->run };
	pthread_mutex_lock(&v->lock);
	int rc = manifest_copy(&v->manifest, &w->m, env);
	pthread_mutex_unlock(&v->lock);
	w->source = rc ? NULL : mem_zalloc(env, (w->m.n_layer + 1u) * sizeof(void *));
	return w->source ? 0 : fail(err, FIRN_ENOMEM, 0, "layer", "no memory");
}

static void work_end(struct work *w)
{
	const struct firn_env *env = w->v->engine->env;
	for (uint32_t i = 0; i < w->n_source; i++)
		layer_source_close(w->source[i]);
	for (uint32_t i = 0; i < w->n_footer; i++)
		segment_footer_close(w->footer[i]);
	mem_free(env, w->source);
	mem_free(env, w->footer);
	layer_run_close(&w->run);
	rewrite_close(w->rewrite);
	gather_close(w->gather);
	rewritten_free(env, w->rewritten);
	mem_free(env, w->step);
	manifest_fini(&w->m, env);
	rounds_charge(w->v, -(int64_t)w->charged);
}

static bool merge_due(struct volume *v)
{
	pthread_mutex_lock(&v->lock);
	bool due = v->layer_due;
	pthread_mutex_unlock(&v->lock);
	return due;
}

int layers_run(struct volume *v)
{
	struct firn_error err = { .struct_size = sizeof err };
	struct work w;
	struct layered *l = NULL;
	int rc = work_begin(&w, v, &err);
	bool merges = !rc && merge_due(v), made = merges;
	if (merges)
		rc = merge(&w);
	else if (!rc)
		rc = clean_or_compact(&w);
	made |= rc > 0;
	rc = rc > 0 ? 0 : rc;
	if (!rc && made && !(l = layered_of(&w)))
		rc = fail(&err, FIRN_ENOMEM, 0, "layer", "no memory");
	if (rc)
		forget_parts(&w);
	bool damage = rc == FIRN_ECORRUPT &&
	              (w.rewrite || w.gather); /* of what is rewritten: no reason to wait */
	if (damage && w.gather)                /* clean_done() tells of the other */
		engine_log(v->engine, FIRN_LOG_ERROR, "gc", v->name, err.text);
	work_end(&w);
	if (rc == FIRN_ESTORE)
		volume_away(v, &err);
	else if (rc && rc != FIRN_ECANCELED && !damage)
		volume_retry(v, &err);
	pthread_mutex_lock(&v->lock);
	v->layered = l;
	if (!l)
		v->layer_first = 0;
	v->layering = false; /* from here on a detach may free the volume */
	pthread_mutex_unlock(&v->lock);
	return !rc;
}
