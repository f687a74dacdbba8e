#include "tools/firn/check_layer.h"
#include "engine/os/env.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct load {
	const struct stored_volume *v;
	struct named_segments *out;
	struct findings *findings;
	struct layer_source **source;
	uint32_t n_source;
	struct segment_footer **footer;
	uint32_t n_footer;
	uint64_t stream, start; /* of the stream row that came last */
};

static uint64_t id_hash(struct segment_id id)
{
	return hash_u64(id.epoch * UINT64_C(0x9e3779b97f4a7c15) + id.n);
}

static int id_equal(const void *value, const void *key)
{
	const struct named_segment *s = value;
	const struct segment_id *id = key;
	return segment_id_equal(s->row.id, *id);
}

struct named_segment *named_segment_find(const struct named_segments *n, struct segment_id id)
{
	return map_get(&n->map, id_hash(id), id_equal, &id);
}

static struct named_segment *named(struct named_segments *n, struct segment_id id)
{
	struct named_segment *s = named_segment_find(n, id);
	if (s)
		return s;
	s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	s->row.id = id;
	if (map_put(&n->map, id_hash(id), s)) {
		free(s);
		return NULL;
	}
	return s;
}

void named_segments_close(struct named_segments *n)
{
	struct named_segment *s;
	uint32_t at = 0;
	while ((s = map_next(&n->map, &at)) != NULL)
		free(s);
	map_fini(&n->map);
}

static int row_seen(void *arg, const struct layer_row *r)
{
	struct load *l = arg;
	struct named_segment *s;
	if (r->kind == LAYER_STREAM) {
		l->stream = r->u.stream.stream;
		l->start = r->u.stream.start;
	}
	if (r->kind == LAYER_EXTENT) {
		s = named(l->out, r->u.extent.segment);
		if (s) {
			s->live++;
			s->cut |= r->u.extent.block.stream == l->stream &&
			          r->u.extent.block.base < l->start;
		}
		return s ? 0 : FIRN_ENOMEM;
	}
	if (r->kind != LAYER_SEGMENT)
		return 0;
	s = named(l->out, r->u.segment.id);
	if (!s)
		return FIRN_ENOMEM;
	s->row = r->u.segment;
	s->has_row = true;
	return 0;
}

/* Every byte of a part is looked at where it is fetched. */
static int fetch(void *arg, const struct manifest_layer *part, struct buf *object,
                 struct firn_error *err)
{
	struct load *l = arg;
	char name[64], key[512];
	layer_key(part->id, name, sizeof name);
	stored_volume_key(l->v->name, name, key, sizeof key);
	int rc = store_get_all(l->v->store, key, LAYER_BYTES_MAX, object, NULL, err);
	return rc ? rc : layer_verify(env_default(), object->data, object->len, err);
}

static int add_runs(struct load *l, struct firn_error *err)
{
	const struct manifest *m = &l->v->manifest;
	int rc = 0;
	for (uint32_t i = 0, k; i < m->n_layer && !rc; i += k) {
		k = layer_run_parts(m, i);
		rc = layer_source_run(env_default(), m->volume_id, &m->layer[i], k, fetch, l,
		                      &l->source[l->n_source], err);
		l->n_source += !rc;
	}
	return rc;
}

static int add_footer(struct load *l, const struct manifest_segment *s, struct firn_error *err)
{
	char name[64], key[512];
	size_t got = 0, need, len = (size_t)(s->bytes - s->footer_pos);
	segment_key(s->id, name, sizeof name);
	stored_volume_key(l->v->name, name, key, sizeof key);
	uint8_t *tail = malloc(len);
	if (!tail)
		return FIRN_ENOMEM;
	int rc = store_get(l->v->store, key, s->footer_pos, tail, len, &got, err);
	rc = rc ? rc
	        : segment_footer_open(env_default(), tail, got, s->footer_pos + got,
	                              &l->footer[l->n_footer], &need, err);
	l->n_footer += !rc;
	free(tail);
	return rc;
}

/* Of footers only damage is of interest here that keeps them from being read: the check of the segment says what. */
static bool add_footers(struct load *l, struct firn_error *err)
{
	const struct manifest *m = &l->v->manifest;
	for (uint32_t i = 0; i < m->n_segment; i++)
		if (add_footer(l, &m->segment[i], err))
			return false;
	if (layer_source_footers(env_default(), l->footer, l->n_footer, &l->source[l->n_source],
	                         err))
		return false;
	l->n_source++;
	return true;
}

int named_segments_load(const struct stored_volume *v, struct named_segments *out,
                        struct findings *f)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct load l = { .v = v, .out = out, .findings = f };
	const struct manifest *m = &v->manifest;
	map_init(&out->map, env_default());
	out->whole = false;
	l.source = calloc(m->n_layer + 1u, sizeof(void *));
	l.footer = calloc(m->n_segment + 1u, sizeof(void *));
	struct layer_merge merge = {
		.env = env_default(), .base = true, .sink = row_seen, .arg = &l
	};
	int rc = l.source && l.footer ? add_runs(&l, &err) : FIRN_ENOMEM;
	bool footers = !rc && add_footers(&l, &err);
	merge.source = l.source;
	merge.n_source = l.n_source;
	rc = rc ? rc : layer_merge(&merge, &err);
	out->whole = !rc && footers;
	for (uint32_t i = 0; i < l.n_source; i++)
		layer_source_close(l.source[i]);
	for (uint32_t i = 0; i < l.n_footer; i++)
		segment_footer_close(l.footer[i]);
	free(l.source);
	free(l.footer);
	return check_judge(f, v->name, rc, &err);
}
