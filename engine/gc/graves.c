/* Deleting objects that a settled commit removed, after the grace time. Lock: volume.lock; none while the store works. */
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/gc/gc.h"
#include "engine/upload/upload.h"
#include <stdio.h>
#include <string.h>

static bool same(const struct grave *g, const struct manifest_dead *d)
{
	return segment_id_equal(g->id, d->id) && g->kind == d->kind;
}

/* Both lists are in the order in which their rows came. Without memory a grave waits for the next commit. */
void graves_sync(struct volume *v)
{
	const struct manifest *m = &v->manifest;
	const struct firn_env *env = v->engine->env;
	uint64_t now = env->mono_ns(env->ctx);
	uint32_t kept = 0, i = 0;
	for (uint32_t g = 0; g < v->n_grave && i < m->n_dead; g++)
		if (same(&v->grave[g], &m->dead[i])) {
			v->grave[kept++] = v->grave[g];
			i++;
		}
	v->n_grave = kept;
	void *p = v->grave;
	if (mem_grow(env, &p, &v->cap_grave, kept, m->n_dead, sizeof *v->grave))
		return;
	v->grave = p;
	for (; i < m->n_dead; i++)
		v->grave[v->n_grave++] = (struct grave){ .id = m->dead[i].id,
			                                 .kind = m->dead[i].kind,
			                                 .seen_ns = now };
}

static struct grave *first_due(const struct volume *v, uint64_t now_ns)
{
	uint64_t grace = (uint64_t)v->engine->options.delete_grace_ms * 1000000u;
	for (uint32_t i = 0; i < v->n_grave; i++)
		if (!v->grave[i].gone)
			return now_ns - v->grave[i].seen_ns >= grace ? &v->grave[i] : NULL;
	return NULL;
}

bool graves_due(const struct volume *v, uint64_t now_ns)
{
	return first_due(v, now_ns) != NULL;
}

static bool next_due(struct volume *v, struct grave *out)
{
	const struct firn_env *env = v->engine->env;
	uint64_t now = env->mono_ns(env->ctx);
	pthread_mutex_lock(&v->lock);
	struct grave *g = volume_ends(v) ? NULL : first_due(v, now);
	if (g)
		*out = *g;
	pthread_mutex_unlock(&v->lock);
	return g;
}

static void mark_gone(struct volume *v, const struct grave *g)
{
	pthread_mutex_lock(&v->lock);
	for (uint32_t i = 0; i < v->n_grave; i++)
		if (segment_id_equal(v->grave[i].id, g->id))
			v->grave[i].gone = true;
	pthread_mutex_unlock(&v->lock);
}

int graves_run(struct volume *v)
{
	struct firn_error err = { .struct_size = sizeof err };
	struct grave g;
	int rc = 0, did = 0;
	while (!rc && next_due(v, &g)) {
		char key[OBJECT_KEY_MAX];
		if (g.kind == MANIFEST_DEAD_LAYER)
			layer_object_key(v->name, g.id, key);
		else
			segment_object_key(v->name, g.id, key);
		rc = store_delete(v->store, key, &err);
		if (rc) {
			(void)fail_context(&err, rc, "delete %s", key);
			volume_retry(v, &err);
		} else {
			mark_gone(v, &g);
			did = 1;
		}
	}
	pthread_mutex_lock(&v->lock);
	v->burying = false; /* from here on a detach may free the volume */
	pthread_mutex_unlock(&v->lock);
	return did;
}

void graves_forget(struct volume *v, struct manifest *next)
{
	uint32_t kept = 0, g = 0;
	pthread_mutex_lock(&v->lock);
	for (uint32_t i = 0; i < next->n_dead; i++) {
		bool known = g < v->n_grave && same(&v->grave[g], &next->dead[i]);
		if (!known || !v->grave[g].gone)
			next->dead[kept++] = next->dead[i];
		g += known;
	}
	pthread_mutex_unlock(&v->lock);
	next->n_dead = kept;
}
