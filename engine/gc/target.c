/* What a rewrite writes, see target.h. Lock: volume.lock for short moments; none while the store works. Memory: the
 * segment that is written; its user has counted that. */
#include "engine/gc/target.h"
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/upload/upload.h"
#include <string.h>

static int no_memory(const struct target *t)
{
	return fail(t->err, FIRN_ENOMEM, 0, "gc", "no memory to rewrite");
}

uint64_t target_bytes(const struct volume *v)
{
	uint64_t share = v->engine->upload_bytes / 8;
	return share < v->segment_bytes ? share : v->segment_bytes;
}

int target_open(struct target *t, uint64_t rev_from, uint64_t rev_to)
{
	struct volume *v = t->v;
	struct segment_meta m = { .rev_from = rev_from,
		                  .rev_to = rev_to,
		                  .n_parts = 1,
		                  .created_ms = t->run->meta.created_ms };
	memcpy(m.volume_id, v->id, sizeof m.volume_id);
	m.id = t->run->id(t->run->arg);
	int rc = segment_writer_open(v->engine->env, &m, (int)v->engine->options.zstd_level,
	                             &t->writer);
	return rc ? no_memory(t) : 0;
}

static int put(struct target *t, struct segment_id id, const uint8_t *data, size_t len)
{
	struct volume *v = t->v;
	if (volume_ends_now(v))
		return fail(t->err, FIRN_ECANCELED, 0, "gc", "the volume is detached");
	int rc = volume_put_segment(v, id, data, len, t->err);
	if (!rc)
		atomic_fetch_add(&v->engine->uploads.rewritten_bytes, len);
	return rc;
}

/* Every footer repeats the lost entries. */
static int say_lost(struct target *t)
{
	int rc = 0;
	pthread_mutex_lock(&t->v->lock);
	for (uint32_t i = 0; i < t->v->manifest.n_lost && !rc; i++)
		rc = segment_writer_lost(t->writer, &t->v->manifest.lost[i]);
	pthread_mutex_unlock(&t->v->lock);
	return rc ? no_memory(t) : 0;
}

int target_end(struct target *t, bool verify,
               int (*same)(void *arg, const struct segment_footer *f), void *arg)
{
	const struct firn_env *env = t->v->engine->env;
	struct segment_footer *f = NULL;
	const uint8_t *data;
	size_t len, need = 0;
	uint64_t pos, sum;
	void *at = t->added;
	int rc = say_lost(t);
	if (!rc && segment_writer_finish(t->writer, &data, &len, &pos, &sum))
		rc = no_memory(t);
	/* What cannot be decoded must not be uploaded. */
	rc = rc ? rc : segment_footer_open(env, data + pos, len - pos, len, &f, &need, t->err);
	if (!rc && verify)
		rc = segment_verify(env, data, len, t->err);
	rc = rc ? rc : same(arg, f);
	if (!rc && mem_grow(env, &at, &t->cap_added, t->n_added, t->n_added + 1, sizeof *t->added))
		rc = no_memory(t);
	if (!rc) {
		t->added = at;
		layer_segment_of(f, &t->added[t->n_added++]);
		rc = put(t, segment_footer_meta(f)->id, data, len);
	}
	segment_footer_close(f);
	segment_writer_close(t->writer);
	t->writer = NULL;
	return rc;
}

void target_forget(struct target *t)
{
	struct firn_error err = { .struct_size = sizeof err };
	for (size_t i = 0; i < t->n_added; i++) {
		char key[OBJECT_KEY_MAX];
		segment_object_key(t->v->name, t->added[i].id, key);
		(void)store_delete(t->v->store, key, &err);
	}
}

void target_close(struct target *t)
{
	segment_writer_close(t->writer);
	mem_free(t->v->engine->env, t->added);
	t->writer = NULL;
	t->added = NULL;
	t->n_added = t->cap_added = 0;
}
