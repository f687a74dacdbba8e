/* A manifest in memory: its arrays grow by doubling, and a copy owns all of its own. */
#include "engine/base/mem.h"
#include "engine/manifest/layout.h"
#include <string.h>

void manifest_init(struct manifest *m)
{
	memset(m, 0, sizeof *m);
}

void manifest_fini(struct manifest *m, const struct firn_env *env)
{
	mem_free(env, m->log);
	mem_free(env, m->layer);
	mem_free(env, m->segment);
	mem_free(env, m->lost);
	mem_free(env, m->dead);
	mem_free(env, m->ext);
	manifest_init(m);
}

static int copy_array(const struct firn_env *env, void **to, const void *from, size_t n,
                      size_t elem)
{
	*to = NULL;
	if (n == 0)
		return 0;
	*to = mem_alloc(env, manifest_room(n) * elem);
	if (!*to)
		return -1;
	memcpy(*to, from, n * elem);
	return 0;
}

int manifest_copy(const struct manifest *from, struct manifest *to, const struct firn_env *env)
{
	struct manifest m = *from;
	void *log, *layer, *segment, *lost, *dead, *ext;
	int bad = copy_array(env, &log, from->log, from->n_log, sizeof *from->log);

	bad |= copy_array(env, &layer, from->layer, from->n_layer, sizeof *from->layer);
	bad |= copy_array(env, &segment, from->segment, from->n_segment, sizeof *from->segment);
	bad |= copy_array(env, &lost, from->lost, from->n_lost, sizeof *from->lost);
	bad |= copy_array(env, &dead, from->dead, from->n_dead, sizeof *from->dead);
	bad |= copy_array(env, &ext, from->ext, from->ext_len, 1);
	m.log = log;
	m.layer = layer;
	m.segment = segment;
	m.lost = lost;
	m.dead = dead;
	m.ext = ext;
	if (bad)
		manifest_fini(&m, env);
	*to = m;
	return bad ? FIRN_ENOMEM : FIRN_OK;
}

static int add(const struct firn_env *env, void **array, uint32_t *n, const void *one, size_t elem)
{
	if (*n == UINT32_MAX)
		return FIRN_ENOMEM;
	void *old = *array, *more = old;

	if (manifest_room(*n) == *n) {
		more = mem_alloc(env, manifest_room((size_t)*n + 1) * elem);
		if (!more)
			return FIRN_ENOMEM;
		if (*n)
			memcpy(more, old, *n * elem);
	}
	memcpy((char *)more + *n * elem, one, elem);
	if (more != old) /* not sooner: `one` may be a row of it */
		mem_free(env, old);
	*array = more;
	++*n;
	return FIRN_OK;
}

#define ADD(kind)                                                  \
	void *array = m->kind;                                     \
	int rc = add(env, &array, &m->n_##kind, one, sizeof *one); \
                                                                   \
	m->kind = array;                                           \
	return rc

int manifest_add_segment(struct manifest *m, const struct firn_env *env,
                         const struct manifest_segment *one)
{
	ADD(segment);
}

int manifest_add_log(struct manifest *m, const struct firn_env *env, const struct manifest_log *one)
{
	ADD(log);
}

int manifest_add_lost(struct manifest *m, const struct firn_env *env, const struct lost_entry *one)
{
	ADD(lost);
}

int manifest_add_dead(struct manifest *m, const struct firn_env *env,
                      const struct manifest_dead *one)
{
	ADD(dead);
}

int manifest_add_layer(struct manifest *m, const struct firn_env *env,
                       const struct manifest_layer *one)
{
	ADD(layer);
}

void manifest_totals(const struct manifest *m, uint64_t *n_segments, uint64_t *bytes)
{
	*n_segments = m->n_segment;
	*bytes = 0;
	for (uint32_t i = 0; i < m->n_segment; i++)
		*bytes += m->segment[i].bytes;
	for (uint32_t i = 0; i < m->n_layer; i++) {
		*n_segments += m->layer[i].n_segment;
		*bytes += m->layer[i].segment_bytes;
	}
}

bool manifest_has(const struct manifest *m, struct segment_id id, bool layer)
{
	for (uint32_t i = 0; layer && i < m->n_layer; i++)
		if (segment_id_equal(m->layer[i].id, id))
			return true;
	for (uint32_t i = 0; !layer && i < m->n_segment; i++)
		if (segment_id_equal(m->segment[i].id, id))
			return true;
	return false;
}

const struct manifest_dead *manifest_find_dead(const struct manifest *m, struct segment_id id,
                                               bool layer)
{
	uint32_t kind = layer ? MANIFEST_DEAD_LAYER : MANIFEST_DEAD_SEGMENT;
	for (uint32_t i = 0; i < m->n_dead; i++)
		if (m->dead[i].kind == kind && segment_id_equal(m->dead[i].id, id))
			return &m->dead[i];
	return NULL;
}
