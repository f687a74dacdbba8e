/* An index is filled from the layers of the volume, as an empty directory needs it.
 *
 *   run, run, run, footers --merge--> index_fill_base()   all at once: each row is written once
 *   lost entry, run --> index_fill_lost(), index_fill_row()  what an abandon parts goes on top, run after run
 *
 * Merged are so many runs as have room for one part each, and, if these are all and nothing was given up since, the first
 * batch of footers that no layer covers: on top of what is filled it would touch all pages once more. A GET happens outside of the
 * index's transactions: others commit meanwhile, and a place in a lane is not waited for by who holds up those who have one.
 * Runs in an attach or in a look of who follows. Lock: none. */
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/upload/follow.h"
#include "engine/upload/round.h"
#include "engine/upload/upload.h"
#include <string.h>

struct filling {
	struct volume *v;
	struct index_fill *f;
	struct layer_source **source;
	uint32_t n_source;
	struct footers footers; /* merged with the runs, or none */
	struct firn_error *err;
};

/* Others commit while we wait for the store. */
static int fetch(void *arg, const struct manifest_layer *part, struct buf *object,
                 struct firn_error *err)
{
	struct filling *g = arg;
	int rc = index_fill_pause(g->f, err);
	return rc ? rc : layers_fetch(g->v, part, object, err);
}

static int open_run(struct filling *g, uint32_t i, struct firn_error *err)
{
	const struct manifest *m = &g->v->manifest;
	int rc = layer_source_run(g->v->engine->env, m->volume_id, &m->layer[i],
	                          layer_run_parts(m, i), fetch, g, &g->source[g->n_source], err);
	g->n_source += !rc;
	return rc;
}

static void close_runs(struct filling *g)
{
	while (g->n_source)
		layer_source_close(g->source[--g->n_source]);
}

/* The rows [0, n) of the manifest are merged: no abandon parts them, and the longest part of each run has its place. One
 * run at least, if there is any. */
static uint32_t base_runs(const struct volume *v, uint64_t *bytes)
{
	const struct manifest *m = &v->manifest;
	uint32_t n = 0;
	*bytes = 0;
	for (uint32_t k; n < m->n_layer; n += k) {
		uint64_t longest = 0;
		k = layer_run_parts(m, n);
		for (uint32_t i = n; i < n + k; i++)
			if (m->layer[i].bytes > longest)
				longest = m->layer[i].bytes;
		if (n && (*bytes + longest > v->engine->upload_bytes / 2 ||
		          layer_lost_between(m, m->layer[n - 1].rev_to, m->layer[n].rev_from)))
			break;
		*bytes += longest;
	}
	return n;
}

static int base_row(void *arg, const struct layer_row *row)
{
	struct filling *g = arg;
	return index_fill_base(g->f, row, g->err);
}

/* The first batch that no layer covers. */
static int open_footers(struct filling *g, struct firn_error *err)
{
	const struct manifest *m = &g->v->manifest;
	if (!m->n_segment ||
	    (m->n_lost && m->lost[m->n_lost - 1].rev_stored + 1 >= layer_covered(m)))
		return 0;
	int rc = index_fill_pause(g->f, err);
	rc = rc ? rc : footers_open(g->v, 0, &g->footers, err);
	rc = rc ? rc
	        : layer_source_footers(g->v->engine->env, g->footers.footer, g->footers.n,
	                               &g->source[g->n_source], err);
	g->n_source += !rc;
	return rc;
}

static int fill_base(struct filling *g, uint32_t n, struct firn_error *err)
{
	const struct manifest *m = &g->v->manifest;
	/* What was given up before all of it: of no stream, and not to be folded behind it. */
	int rc = n ? index_fill_lost(g->f, m->lost, m->n_lost, m->layer[0].rev_from, err) : 0;
	for (uint32_t i = 0; i < n && !rc; i += layer_run_parts(m, i))
		rc = open_run(g, i, err);
	if (!rc && n == m->n_layer)
		rc = open_footers(g, err);
	struct layer_merge merge = { .env = g->v->engine->env,
		                     .source = g->source,
		                     .n_source = g->n_source,
		                     .base = true,
		                     .sink = base_row,
		                     .arg = g };
	rc = rc ? rc : layer_merge(&merge, err);
	close_runs(g);
	footers_close(g->v, &g->footers);
	return rc;
}

/* On top of what is there. */
static int fill_run(struct filling *g, uint32_t i, struct firn_error *err)
{
	const struct manifest *m = &g->v->manifest;
	const struct layer_row *row = NULL;
	int rc = index_fill_lost(g->f, m->lost, m->n_lost, m->layer[i].rev_from, err);
	rc = rc ? rc : open_run(g, i, err);
	do {
		rc = rc ? rc : layer_source_next(g->source[0], &row, err);
		rc = rc || !row ? rc : index_fill_row(g->f, row, err);
	} while (!rc && row);
	close_runs(g);
	return rc;
}

static int fill_runs(struct filling *g, struct firn_error *err)
{
	const struct manifest *m = &g->v->manifest;
	const struct firn_env *env = g->v->engine->env;
	uint64_t bytes;
	uint32_t n = base_runs(g->v, &bytes);
	g->source = mem_zalloc(env, (m->n_layer + 2u) * sizeof(void *));
	if (!g->source)
		return fail(err, FIRN_ENOMEM, 0, "index", "no memory");
	rounds_charge(g->v, (int64_t)bytes);
	int rc = fill_base(g, n, err);
	rounds_charge(g->v, -(int64_t)bytes);
	for (uint32_t i = n; i < m->n_layer && !rc; i += layer_run_parts(m, i))
		rc = fill_run(g, i, err);
	mem_free(env, g->source);
	return rc;
}

int index_fill_layers(struct volume *v, uint64_t *rev, struct firn_error *err)
{
	const struct manifest *m = &v->manifest;
	struct filling g = { .v = v, .err = err };
	int rc = index_fill_open(v->engine->index, &g.f, err);
	rc = rc ? rc : fill_runs(&g, err);
	if (rc) {
		index_fill_abort(g.f);
		return fail_context(err, rc, "%s", v->name);
	}
	*rev = g.footers.end ? g.footers.rev : layer_covered(m) - 1;
	struct index_commit c = { .epoch = m->epoch,
		                  .rev_stored = *rev,
		                  .next_stream = m->next_stream };
	memcpy(c.volume_id, m->volume_id, sizeof c.volume_id);
	memcpy(c.nonce, m->nonce, sizeof c.nonce);
	follow_turn(v);
	rc = index_fill_end(g.f, &c, v->follow ? v->index_no : 0, err);
	if (!rc && v->follow)
		follow_refilled(v);
	return rc;
}
