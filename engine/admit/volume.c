/* A volume's life in memory. */
#include "engine/admit/volume.h"
#include "engine/api/engine.h"
#include "engine/base/mem.h"
#include "engine/gc/clean.h"
#include "engine/gc/gc.h"
#include "engine/gc/sweep.h"
#include "engine/base/mutex.h"
#include "engine/upload/follow.h"
#include <string.h>

struct volume *volume_new(struct engine *e)
{
	struct volume *v = mem_zalloc(e->env, sizeof *v);
	if (!v)
		return NULL;
	v->engine = e;
	v->state = FIRN_STATE_OPEN;
	v->next_stream = 1;
	mutex_init(&v->lock);
	map_init(&v->streams, e->env);
	map_init(&v->names, e->env);
	manifest_init(&v->manifest);
	uint64_t seed;
	e->env->random(e->env->ctx, &seed, sizeof seed);
	if (kv_open(e->env, seed, &v->kv)) {
		volume_free(v);
		return NULL;
	}
	return v;
}

void volume_free(struct volume *v)
{
	const struct firn_env *env = v->engine->env;
	uint32_t at = 0;
	struct stream *s;
	while ((s = map_next(&v->streams, &at)) != NULL)
		stream_destroy(v, s);
	map_fini(&v->streams);
	map_fini(&v->names);
	if (v->kv)
		kv_close(v->kv);
	while (v->stored_first) {
		struct waiter *w = v->stored_first;
		v->stored_first = w->next;
		mem_free(env, w);
	}
	volume_charge(v, -(int64_t)(v->group_cap * sizeof *v->group));
	mem_free(env, v->ring);
	mem_free(env, v->group);
	mem_free(env, v->uri);
	mem_free(env, v->grave);
	mem_free(env, v->retain);
	sweep_free(v);
	follow_close(v);
	clean_free(v);
	manifest_fini(&v->manifest, env);
	if (v->store)
		store_close(v->store);
	if (v->lane) {
		share_add(v, -(int64_t)v->unstored_bytes);
		lane_put(v->engine, v->lane);
	}
	pthread_mutex_destroy(&v->lock);
	mem_free(env, v);
}

void volume_charge(struct volume *v, int64_t bytes)
{
	atomic_fetch_add_explicit(&v->engine->account->place_bytes, (unsigned long long)bytes,
	                          memory_order_relaxed);
}

void volume_wait_push(struct volume *v, struct waiter *w)
{
	w->next = NULL;
	if (v->stored_last)
		v->stored_last->next = w;
	else
		v->stored_first = w;
	v->stored_last = w;
}

bool volume_waits(struct volume *v, const struct firn_cq *cq, uint64_t user_data)
{
	bool found = false;
	pthread_mutex_lock(&v->lock);
	for (uint32_t i = 0; i < v->ring_n && !found; i++) {
		const struct completion *to = &v->ring[(v->ring_head + i) & (v->ring_cap - 1)].to;
		found = to->cq == cq && to->user_data == user_data;
	}
	for (const struct waiter *w = v->stored_first; w && !found; w = w->next)
		found = w->to.cq == cq && w->to.user_data == user_data;
	pthread_mutex_unlock(&v->lock);
	return found;
}

void volume_show(struct volume *v)
{
	v->shown_commit_ms = v->manifest.committed_ms;
	manifest_totals(&v->manifest, &v->shown_segments, &v->shown_bytes);
	v->layer_due = layers_due(v);
	v->layer_newest = layer_newest(&v->manifest);
	graves_sync(v);
}

bool volume_ends_now(struct volume *v)
{
	pthread_mutex_lock(&v->lock);
	bool ends = volume_ends(v);
	pthread_mutex_unlock(&v->lock);
	return ends;
}
