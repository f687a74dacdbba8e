/* Segments that hold nothing any more: every byte in them was trimmed, or its stream deleted, at or before the cut that
 * is stored. One that has a row of its own in the manifest stays, since its footer is still the only place of its
 * changes: it leaves when a layer says them too. */
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/gc/gc.h"
#include <string.h>

struct found {
	const struct firn_env *env;
	struct segment_id *id;
	size_t n, cap, most;
};

static int add_empty(void *arg, const struct segment_id *id)
{
	struct found *f = arg;
	void *p = f->id;
	if (mem_grow(f->env, &p, &f->cap, f->n, f->n + 1, sizeof *f->id))
		return FIRN_ENOMEM;
	f->id = p;
	f->id[f->n++] = *id;
	return f->n == f->most;
}

static bool is_dead(const struct manifest *m, struct segment_id id)
{
	for (uint32_t i = 0; i < m->n_dead; i++)
		if (segment_id_equal(m->dead[i].id, id))
			return true;
	return false;
}

static int bury(struct volume *v, struct manifest *next, struct segment_id id, bool *yes,
                struct firn_error *err)
{
	struct index_segment s;
	*yes = false;
	int rc = index_segment_get(v->engine->index, v->index_no, id, &s, err);
	if (rc)
		return rc == FIRN_ENOENT ? 0 : rc;
	/* By the settled manifest: what this commit may bring is not true yet. */
	if (s.n_live || !s.s.n_parts || s.s.rev_to > layer_covered(&v->manifest))
		return 0;
	*yes = true;
	struct manifest_dead dead = { .id = id,
		                      .since_ms = next->committed_ms,
		                      .kind = MANIFEST_DEAD_SEGMENT };
	if (is_dead(next, id))
		return 0; /* a crash came between the manifest and the index */
	rc = manifest_add_dead(next, v->engine->env, &dead);
	return rc ? fail(err, rc, 0, "gc", "no memory") : 0;
}

int dead_collect(struct volume *v, struct manifest *next, struct segment_id **gone,
                 uint32_t *n_gone, struct firn_error *err)
{
	struct found f = { .env = v->engine->env };
	*gone = NULL;
	*n_gone = 0;
	if (!v->manifest.n_layer || next->n_dead >= GC_DEAD_MAX)
		return 0;
	f.most = GC_DEAD_MAX - next->n_dead;
	int rc = index_empties(v->engine->index, v->index_no, add_empty, &f, err);
	rc = rc == 1 ? 0 : rc;
	if (rc == FIRN_ENOMEM)
		(void)fail(err, rc, 0, "gc", "no memory");
	uint32_t kept = 0;
	for (size_t i = 0; i < f.n && !rc; i++) {
		bool yes;
		rc = bury(v, next, f.id[i], &yes, err);
		if (yes)
			f.id[kept++] = f.id[i];
	}
	if (rc || !kept) {
		mem_free(f.env, f.id);
		return rc;
	}
	*gone = f.id;
	*n_gone = kept;
	return 0;
}
