/* A merged or rewritten run takes its place in the manifest. Lock: none; the caller has the commit. */
#include "engine/upload/layered.h"
#include "engine/api/engine.h"
#include "engine/base/mem.h"
#include "engine/gc/retain.h"
#include "engine/upload/upload.h"
#include <stdlib.h>

void layered_free(struct volume *v, struct layered *l)
{
	if (!l)
		return;
	rewritten_free(v->engine->env, l->rewritten);
	mem_free(v->engine->env, l->part);
	mem_free(v->engine->env, l);
}

bool layered_index(const struct layered *l, struct index_rewrite *out)
{
	const struct rewritten *r = l ? l->rewritten : NULL;
	if (!r)
		return false;
	*out = (struct index_rewrite){ .gone = r->gone,
		                       .added = r->added,
		                       .move = r->move,
		                       .n_gone = r->n_gone,
		                       .n_added = r->n_added,
		                       .n_move = (uint32_t)r->n_move };
	return true;
}

int layered_check(struct volume *v, const struct layered *l, struct firn_error *err)
{
	struct index_rewrite rw;
	if (!layered_index(l, &rw))
		return 0;
	return index_rewrite_check(v->engine->index, v->index_no, &rw, err);
}

void layered_done(struct volume *v, const struct layered *l)
{
	const struct rewritten *r = l ? l->rewritten : NULL;
	uint64_t last = 0;
	for (size_t i = 0; r && i < r->n_move; i++) {
		struct stream *s = NULL;
		if (r->move[i].block.stream != last)
			s = volume_stream(v, last = r->move[i].block.stream);
		if (s)
			retain_gathered(s);
	}
}

static bool within(const struct layered *l, uint64_t from, uint64_t to)
{
	return from >= l->rev_from && to <= l->rev_to;
}

static int by_place(const void *a, const void *b)
{
	const struct manifest_layer *x = a, *y = b;
	if (x->rev_from != y->rev_from)
		return x->rev_from < y->rev_from ? -1 : 1;
	return x->part < y->part ? -1 : x->part > y->part;
}

static int swap_layers(struct volume *v, struct manifest *next, const struct layered *l)
{
	const struct firn_env *env = v->engine->env;
	uint32_t kept = 0;
	int rc = 0;
	for (uint32_t i = 0; i < next->n_layer && !rc; i++) {
		const struct manifest_layer *old = &next->layer[i];
		struct manifest_dead dead = { .id = old->id,
			                      .since_ms = next->committed_ms,
			                      .kind = MANIFEST_DEAD_LAYER };
		if (within(l, old->rev_from, old->rev_to))
			rc = manifest_add_dead(next, env, &dead);
		else
			next->layer[kept++] = *old;
	}
	if (rc)
		return rc;
	next->n_layer = kept;
	for (size_t i = 0; i < l->n_part && !rc; i++)
		rc = manifest_add_layer(next, env, &l->part[i]);
	if (!rc && next->n_layer) /* a run that was rewritten may have newer ones behind it */
		qsort(next->layer, next->n_layer, sizeof *next->layer, by_place);
	return rc;
}

/* A segment that died wholly since is on the list. */
static int bury_rewritten(struct volume *v, struct manifest *next, const struct rewritten *r)
{
	int rc = 0;
	for (uint32_t i = 0; i < r->n_gone && !rc; i++) {
		struct manifest_dead dead = { .id = r->gone[i],
			                      .since_ms = next->committed_ms,
			                      .kind = MANIFEST_DEAD_SEGMENT };
		if (!manifest_find_dead(next, r->gone[i], false))
			rc = manifest_add_dead(next, v->engine->env, &dead);
	}
	next->rewrite_seq = next->seq;
	return rc;
}

int layers_swap(struct volume *v, struct manifest *next, const struct layered *l)
{
	uint32_t kept = 0;
	int rc = swap_layers(v, next, l);
	for (uint32_t i = 0; i < next->n_segment; i++)
		if (!within(l, next->segment[i].rev_from, next->segment[i].rev_to))
			next->segment[kept++] = next->segment[i];
	next->n_segment = kept;
	return rc || !l->rewritten ? rc : bury_rewritten(v, next, l->rewritten);
}
