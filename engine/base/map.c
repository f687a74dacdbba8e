#include "engine/base/map.h"
#include "engine/base/mem.h"
#include <string.h>

void map_init(struct map *m, const struct firn_env *env)
{
	memset(m, 0, sizeof *m);
	m->env = env;
}

void map_fini(struct map *m)
{
	mem_free(m->env, m->slot);
	m->slot = NULL;
	m->cap = m->n = 0;
}

static void place(struct map_slot *slot, uint32_t cap, uint64_t hash, void *value)
{
	uint32_t i = (uint32_t)hash & (cap - 1);
	while (slot[i].value)
		i = (i + 1) & (cap - 1);
	slot[i].hash = hash;
	slot[i].value = value;
}

static int grow(struct map *m, uint32_t n)
{
	uint32_t cap = m->cap ? m->cap : 8;
	while (n * UINT64_C(4) > cap * UINT64_C(3))
		cap *= 2;
	struct map_slot *slot = mem_zalloc(m->env, cap * sizeof *slot);
	if (!slot)
		return -1;
	for (uint32_t i = 0; i < m->cap; i++)
		if (m->slot[i].value)
			place(slot, cap, m->slot[i].hash, m->slot[i].value);
	mem_free(m->env, m->slot);
	m->slot = slot;
	m->cap = cap;
	return 0;
}

static struct map_slot *find(const struct map *m, uint64_t hash, map_equal equal, const void *key)
{
	if (!m->cap)
		return NULL;
	for (uint32_t i = (uint32_t)hash & (m->cap - 1); m->slot[i].value;
	     i = (i + 1) & (m->cap - 1))
		if (m->slot[i].hash == hash && equal(m->slot[i].value, key))
			return &m->slot[i];
	return NULL;
}

void *map_get(const struct map *m, uint64_t hash, map_equal equal, const void *key)
{
	struct map_slot *s = find(m, hash, equal, key);
	return s ? s->value : NULL;
}

int map_reserve(struct map *m, uint32_t n)
{
	n += m->n;
	return n * UINT64_C(4) > m->cap * UINT64_C(3) ? grow(m, n) : 0;
}

int map_put(struct map *m, uint64_t hash, void *value)
{
	if (map_reserve(m, 1))
		return -1;
	place(m->slot, m->cap, hash, value);
	m->n++;
	return 0;
}

void *map_remove(struct map *m, uint64_t hash, map_equal equal, const void *key)
{
	struct map_slot *s = find(m, hash, equal, key);
	if (!s)
		return NULL;
	void *value = s->value;
	uint32_t mask = m->cap - 1, hole = (uint32_t)(s - m->slot);
	for (uint32_t i = (hole + 1) & mask; m->slot[i].value; i = (i + 1) & mask) {
		uint32_t home = (uint32_t)m->slot[i].hash & mask;
		if (((i - home) & mask) >= ((i - hole) & mask)) {
			m->slot[hole] = m->slot[i];
			hole = i;
		}
	}
	m->slot[hole].value = NULL;
	m->n--;
	return value;
}

void *map_next(const struct map *m, uint32_t *at)
{
	while (*at < m->cap) {
		void *value = m->slot[(*at)++].value;
		if (value)
			return value;
	}
	return NULL;
}
