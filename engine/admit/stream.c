/* Streams of a volume: lookup by id and name, the tail ring, marks. All with the volume locked. */
#include "engine/admit/volume.h"
#include "engine/base/mem.h"
#include "engine/base/ring.h"
#include "engine/base/sum.h"
#include "engine/api/engine.h"
#include "engine/gc/retain.h"
#include "engine/read/read.h"
#include <string.h>

struct name_key {
	const char *name;
	size_t len;
};

static int same_id(const void *value, const void *key)
{
	return ((const struct stream *)value)->id == *(const uint64_t *)key;
}

static int same_name(const void *value, const void *key)
{
	const struct stream *s = value;
	const struct name_key *k = key;
	return s->name_len == k->len && !memcmp(s->name, k->name, k->len);
}

struct stream *volume_stream(const struct volume *v, uint64_t id)
{
	return map_get(&v->streams, hash_u64(id), same_id, &id);
}

struct stream *volume_stream_live(const struct volume *v, uint64_t id)
{
	struct stream *s = volume_stream(v, id);
	return s && !s->creating && !s->deleted ? s : NULL;
}

struct stream *volume_stream_named(const struct volume *v, const char *name, size_t len)
{
	struct name_key k = { name, len };
	return map_get(&v->names, sum64(name, len), same_name, &k);
}

struct stream *stream_alloc(const struct firn_env *env, uint64_t id, const char *name,
                            uint32_t name_len, uint64_t at)
{
	struct stream *s = mem_zalloc(env, sizeof *s);
	if (!s)
		return NULL;
	s->name = mem_zalloc(env, name_len + 1u);
	if (!s->name) {
		mem_free(env, s);
		return NULL;
	}
	memcpy(s->name, name, name_len);
	s->name_len = name_len;
	s->id = id;
	config_limits(NULL, &s->limits);
	s->start_assigned = s->assigned = s->start = s->durable = at;
	s->visible = s->stable = s->stored = s->stored_start = at;
	return s;
}

int stream_link(struct volume *v, struct stream *s)
{
	if (map_put(&v->streams, hash_u64(s->id), s))
		return FIRN_ENOMEM;
	if (!s->name_len || !map_put(&v->names, sum64(s->name, s->name_len), s))
		return 0;
	(void)map_remove(&v->streams, hash_u64(s->id), same_id, &s->id);
	return FIRN_ENOMEM;
}

struct stream *stream_new(struct volume *v, uint64_t id, const char *name, uint32_t name_len,
                          uint64_t at)
{
	const struct firn_env *env = v->engine->env;
	struct stream *s = stream_alloc(env, id, name, name_len, at);
	if (!s || !stream_link(v, s))
		return s;
	mem_free(env, s->name);
	mem_free(env, s);
	return NULL;
}

void stream_unname(struct volume *v, struct stream *s)
{
	struct name_key k = { s->name, s->name_len };
	if (volume_stream_named(v, s->name, s->name_len) == s)
		(void)map_remove(&v->names, sum64(s->name, s->name_len), same_name, &k);
}

/* After stream_unname(): its slot in the map is still there, so this cannot fail. */
void stream_name_back(struct volume *v, struct stream *s)
{
	if (s->name_len)
		(void)map_put(&v->names, sum64(s->name, s->name_len), s);
}

void stream_free(struct volume *v, struct stream *s)
{
	stream_unname(v, s);
	(void)map_remove(&v->streams, hash_u64(s->id), same_id, &s->id);
	stream_destroy(v, s);
}

void stream_destroy(struct volume *v, struct stream *s)
{
	const struct firn_env *env = v->engine->env;
	read_stream_gone(s);
	retain_gone(v, s);
	dedup_close(s->dedup);
	volume_charge(v, -(int64_t)(s->tail_cap * sizeof *s->tail));
	mem_free(env, s->config);
	mem_free(env, s->tail);
	mem_free(env, s->name);
	mem_free(env, s);
}

const struct tail_entry *stream_tail_at(const struct stream *s, uint32_t i)
{
	return &s->tail[(s->tail_head + i) & (s->tail_cap - 1)];
}

int stream_tail_push(struct volume *v, struct stream *s, const struct tail_entry *e)
{
	void *tail = s->tail;
	uint32_t was = s->tail_cap;
	if (ring_grow(v->engine->env, &tail, &s->tail_cap, &s->tail_head, s->tail_n, sizeof *e, 4))
		return FIRN_ENOMEM;
	s->tail = tail;
	if (s->tail_cap != was)
		volume_charge(v, (int64_t)((s->tail_cap - was) * sizeof *e));
	s->tail[(s->tail_head + s->tail_n++) & (s->tail_cap - 1)] = *e;
	return 0;
}

uint32_t stream_tail_find(const struct stream *s, uint64_t offset)
{
	uint32_t lo = 0, hi = s->tail_n;
	while (lo < hi) { /* first entry that begins above offset */
		uint32_t mid = lo + (hi - lo) / 2;
		if (stream_tail_at(s, mid)->base <= offset)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo ? lo - 1 : s->tail_n ? 0 : s->tail_n;
}

void stream_tail_drop(struct volume *v, struct stream *s, uint64_t below)
{
	if (below >= (s->tail_n ? stream_tail_at(s, 0)->base : s->durable))
		s->tail_old = false;
	while (s->tail_n && stream_tail_at(s, 0)->base < below) {
		s->tail_head = (s->tail_head + 1) & (s->tail_cap - 1);
		s->tail_n--;
	}
	if (s->tail_n || s->tail_cap <= 64)
		return;
	volume_charge(v, -(int64_t)(s->tail_cap * sizeof *s->tail));
	mem_free(v->engine->env, s->tail);
	s->tail = NULL;
	s->tail_cap = s->tail_head = 0;
}

uint64_t stream_mark(const struct stream *s, uint32_t mark)
{
	switch (mark) {
	case FIRN_MARK_VISIBLE:
		return s->visible;
	case FIRN_MARK_STABLE:
		return s->stable;
	case FIRN_MARK_DURABLE:
		return s->durable;
	case FIRN_MARK_STORED:
		return s->stored > s->start ? s->stored : s->start;
	case FIRN_MARK_ASSIGNED:
		return s->assigned;
	case FIRN_MARK_START:
		return s->start;
	case FIRN_MARK_LOCAL:
		if (s->tail_old)
			return s->stored > s->start ? s->stored : s->start;
		return s->tail_n ? stream_tail_at(s, 0)->base : s->durable;
	default:
		return 0;
	}
}

/* Visible follows durable, stable follows visible, unless the configuration holds them. */
void stream_follow(struct stream *s)
{
	uint32_t flags = s->config ? s->config->flags : 0;
	if (!(flags & FIRN_HOLD_VISIBLE) || s->visible < s->start)
		s->visible = flags & FIRN_HOLD_VISIBLE ? s->start : s->durable;
	if (!(flags & FIRN_HOLD_STABLE) || s->stable < s->start)
		s->stable = flags & FIRN_HOLD_STABLE ? s->start : s->visible;
}

void config_limits(const struct firn_stream_config *c, struct dedup_limits *out)
{
	static const struct firn_stream_config none;
	c = c ? c : &none;
	out->window = c->producer_window ? c->producer_window : 5;
	out->seq_bits = c->producer_seq_bits ? c->producer_seq_bits : 64;
	out->producer_expire_ms = c->producer_expire_ms ? c->producer_expire_ms : 86400000u;
	out->key_window_ms = c->key_window_ms;
	out->key_window_n = c->key_window_n;
	out->max_producers = 65536;
}

void stream_limits(const struct stream *s, struct dedup_limits *out)
{
	config_limits(s->config, out);
}
