/* What is there of a volume: every layer whole, every segment by its footer. */
#include "engine/salvage/found.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TAIL_BYTES = 64 << 10 };

void found_fini(struct found *f)
{
	const struct firn_env *env = f->opts->env;
	mem_free(env, f->layer);
	mem_free(env, f->segment);
	mem_free(env, f->there);
	mem_free(env, f->named);
	mem_free(env, f->lost);
}

static int push(struct found *f, void *array, size_t *n, size_t *cap, size_t size, const void *item)
{
	void *p = *(void **)array;
	if (mem_grow(f->opts->env, &p, cap, *n, *n + 1, size))
		return fail(f->err, FIRN_ENOMEM, 0, "rebuild", "no memory");
	*(void **)array = p;
	memcpy((char *)p + *n * size, item, size);
	(*n)++;
	return 0;
}

/* Damage is counted, told once, and gone round; what a later release wrote is not. */
static int judge(struct found *f, const char *key, int rc)
{
	struct rebuild_report *r = f->report;
	if (rc != FIRN_ECORRUPT)
		return rc ? fail_context(f->err, rc, "%s", key) : 0;
	r->n_damaged++;
	if (!r->damage[0])
		(void)snprintf(r->damage, sizeof r->damage, "%.100s: %.190s", key, f->err->text);
	f->err->code = 0;
	return 0;
}

/* The volume that was made last has the name. */
static bool is_ours(struct found *f, const uint8_t id[16])
{
	bool ours = !memcmp(id, f->report->volume_id, 16);
	f->report->n_foreign += !ours;
	return ours;
}

static void saw_id(struct found *f, struct segment_id id)
{
	if (id.epoch > f->epoch) {
		f->epoch = id.epoch;
		f->epoch_n = 0;
	}
	if (id.epoch == f->epoch && id.n > f->epoch_n)
		f->epoch_n = id.n;
}

static int by_rev(const void *a, const void *b)
{
	const struct lost_entry *x = a, *y = b;
	return x->rev_stored < y->rev_stored ? -1 : x->rev_stored > y->rev_stored;
}

static int take_lost(struct found *f, const struct lost_entry *l)
{
	for (size_t i = 0; i < f->n_lost; i++)
		if (f->lost[i].rev_stored == l->rev_stored)
			return 0;
	int rc = push(f, &f->lost, &f->n_lost, &f->cap_lost, sizeof *l, l);
	if (!rc)
		qsort(f->lost, f->n_lost, sizeof *f->lost, by_rev);
	return rc;
}

uint64_t found_next(const struct found *f, uint64_t rev_to)
{
	for (size_t i = 0; i < f->n_lost; i++)
		if (f->lost[i].rev_stored == rev_to - 1)
			rev_to += f->lost[i].rev_skip;
	return rev_to;
}

/* ---- keys ---- */

struct keys {
	struct found *f;
	size_t prefix;
	int (*each)(struct found *f, const char *key, const char *name, uint64_t size);
};

static int each_key(void *arg, const char *key, uint64_t size)
{
	struct keys *k = arg;
	return k->each(k->f, key, key + k->prefix, size);
}

static int list(struct found *f, const char *part,
                int (*each)(struct found *f, const char *key, const char *name, uint64_t size))
{
	char prefix[400];
	struct keys k = { f, strlen(f->opts->name) + 1, each };
	(void)snprintf(prefix, sizeof prefix, "%s/%s/", f->opts->name, part);
	return store_list(f->opts->store, prefix, "", each_key, &k, f->err);
}

/* ---- which volume ---- */

/* A name is given again under a higher epoch only. */
static int look_at_head(struct found *f, const char *key, const char *name, uint64_t size)
{
	uint8_t head[SEGMENT_HEADER_LEN], id[16];
	struct segment_id seg, own;
	struct segment_meta sm = { 0 };
	struct layer_meta lm = { 0 };
	size_t got = 0;
	bool layer = !layer_key_parse(name, &seg);
	(void)size;
	if (!layer && segment_key_parse(name, &seg))
		return 0;
	if (f->epoch && seg.epoch <= f->epoch)
		return 0;
	int rc = store_get(f->opts->store, key, 0, head, sizeof head, &got, f->err);
	if (rc || got != sizeof head)
		return rc == FIRN_ENOENT ? 0 : rc;
	rc = layer ? layer_header_check(head, &lm, NULL) : segment_header_check(head, &sm, NULL);
	own = layer ? lm.id : sm.id;
	memcpy(id, layer ? lm.volume_id : sm.volume_id, 16);
	if (rc || !segment_id_equal(own, seg))
		return 0; /* told of when it is looked at whole */
	f->epoch = seg.epoch;
	memcpy(f->report->volume_id, id, 16);
	return 0;
}

/* ---- layers ---- */

static int lost_of_layer(struct found *f, const struct layer_object *o)
{
	int rc = 0;
	for (uint32_t i = 0; i < o->n_block && !rc; i++) {
		struct layer_block b;
		struct layer_row row = { 0 };
		layer_block_at(o, i, &b);
		if (b.stream)
			break;
		uint8_t *raw = mem_alloc(f->opts->env, b.raw_len);
		if (!raw)
			return fail(f->err, FIRN_ENOMEM, 0, "rebuild", "no memory");
		rc = layer_block_decode(o, &b, raw, f->err);
		for (size_t at = 0, n; !rc && at < b.raw_len &&
		                       (n = layer_row_get(raw + at, b.raw_len - at, &row)) != 0;
		     at += n)
			rc = row.kind == LAYER_LOST ? take_lost(f, &row.u.lost) : 0;
		mem_free(f->opts->env, raw);
	}
	return rc;
}

static int take_layer(struct found *f, const char *key, const char *name, uint64_t size)
{
	struct layer_object o;
	struct segment_id id;
	struct buf b;
	(void)size;
	if (layer_key_parse(name, &id)) {
		f->report->n_foreign++;
		return 0;
	}
	buf_init(&b, f->opts->env);
	int rc = store_get_all(f->opts->store, key, LAYER_BYTES_MAX, &b, NULL, f->err);
	rc = rc ? rc : layer_verify(f->opts->env, b.data, b.len, f->err);
	rc = rc ? rc : layer_open(b.data, b.len, &o, f->err);
	if (!rc && !segment_id_equal(o.meta.id, id))
		rc = fail(f->err, FIRN_ECORRUPT, 0, "rebuild", "it belongs elsewhere");
	if (!rc && is_ours(f, o.meta.volume_id)) {
		struct found_layer l = { .row = { .id = id,
			                          .level = o.meta.level,
			                          .part = o.meta.part,
			                          .bytes = b.len,
			                          .footer_pos = o.footer_pos,
			                          .footer_sum = o.footer_sum,
			                          .rev_from = o.meta.rev_from,
			                          .rev_to = o.meta.rev_to,
			                          .n_segment = o.n_segment,
			                          .segment_bytes = o.segment_bytes },
			                 .created_ms = o.meta.created_ms,
			                 .last = o.last };
		saw_id(f, id);
		rc = lost_of_layer(f, &o);
		rc = rc ? rc : push(f, &f->layer, &f->n_layer, &f->cap_layer, sizeof l, &l);
	}
	buf_fini(&b);
	return rc == FIRN_ENOENT ? 0 : judge(f, key, rc);
}

int found_layers(struct found *f)
{
	int rc = list(f, "layer", look_at_head);
	rc = rc ? rc : list(f, "seg", look_at_head);
	f->epoch = 0;
	return rc ? rc : list(f, "layer", take_layer);
}

static int fetch(void *arg, const struct manifest_layer *part, struct buf *object,
                 struct firn_error *err)
{
	struct found *f = arg;
	char key[OBJECT_KEY_MAX];
	layer_object_key(f->opts->name, part->id, key);
	return store_get_all(f->opts->store, key, LAYER_BYTES_MAX, object, NULL, err);
}

static int take_key(struct found *f, const char *key, const char *name, uint64_t size)
{
	struct segment_id id;
	(void)key;
	(void)size;
	return segment_key_parse(name, &id)
	               ? 0
	               : push(f, &f->there, &f->n_there, &f->cap_there, sizeof id, &id);
}

int found_keys(struct found *f)
{
	int rc = list(f, "seg", take_key);
	f->n_there = segment_ids_sort(f->there, f->n_there);
	return rc;
}

/* The segments that a run of layers has rows of. */
static int each_segment(struct found *f, const struct manifest_layer *part, uint32_t n,
                        int (*each)(struct found *f, struct segment_id id, void *arg), void *arg)
{
	struct layer_source *s;
	const struct layer_row *row = NULL;
	int rc = layer_source_run(f->opts->env, f->report->volume_id, part, n, fetch, f, &s,
	                          f->err);
	if (rc)
		return rc;
	do {
		rc = layer_source_next(s, &row, f->err);
		if (!rc && row && row->kind == LAYER_SEGMENT)
			rc = each(f, row->u.segment.id, arg);
	} while (!rc && row);
	layer_source_close(s);
	return rc;
}

static int count_absent(struct found *f, struct segment_id id, void *absent)
{
	*(uint64_t *)absent += !segment_ids_have(f->there, f->n_there, id);
	return 0;
}

int found_absent(struct found *f, const struct manifest_layer *part, uint32_t n, uint64_t *absent)
{
	*absent = 0;
	return each_segment(f, part, n, count_absent, absent);
}

static int note_name(struct found *f, struct segment_id id, void *arg)
{
	(void)arg;
	return push(f, &f->named, &f->n_named, &f->cap_named, sizeof *f->named, &id);
}

int found_names(struct found *f, const struct manifest_layer *part, uint32_t n)
{
	int rc = each_segment(f, part, n, note_name, NULL);
	f->n_named = segment_ids_sort(f->named, f->n_named); /* a later run may repeat one */
	return rc;
}

/* ---- segments ---- */

static int open_footer(struct found *f, const char *key, uint64_t size, struct segment_footer **out)
{
	const struct firn_env *env = f->opts->env;
	size_t want = size < TAIL_BYTES ? (size_t)size : TAIL_BYTES, got = 0, need = 0;
	int rc = FIRN_EAGAIN;
	for (int tries = 0; rc == FIRN_EAGAIN && tries < 2; tries++) {
		uint8_t *tail = mem_alloc(env, want + 1);
		if (!tail)
			return fail(f->err, FIRN_ENOMEM, 0, "rebuild", "no memory for a footer");
		rc = store_get(f->opts->store, key, size - want, tail, want, &got, f->err);
		rc = rc ? rc : segment_footer_open(env, tail, got, size, out, &need, f->err);
		mem_free(env, tail);
		want = need;
	}
	return rc == FIRN_EAGAIN ? FIRN_ECORRUPT : rc;
}

static int take_footer(struct found *f, const struct segment_footer *footer, struct segment_id id)
{
	const struct segment_meta *m = segment_footer_meta(footer);
	struct found_segment s = { .created_ms = m->created_ms };
	if (!segment_id_equal(m->id, id))
		return fail(f->err, FIRN_ECORRUPT, 0, "rebuild", "it belongs elsewhere");
	if (!is_ours(f, m->volume_id))
		return 0;
	saw_id(f, id);
	layer_segment_of(footer, &s.row);
	/* Blocks, and no word of their streams: copies of a rewrite, which only a layer can name. */
	if (s.row.part + 1 == s.row.n_parts && segment_n_blocks(footer) &&
	    !segment_n_streams(footer)) {
		f->report->n_unused++;
		return 0;
	}
	int rc = push(f, &f->segment, &f->n_segment, &f->cap_segment, sizeof s, &s);
	for (uint32_t i = 0; i < segment_n_lost(footer) && !rc; i++) {
		struct lost_entry l;
		segment_lost_at(footer, i, &l);
		rc = take_lost(f, &l);
	}
	return rc;
}

static int take_segment(struct found *f, const char *key, const char *name, uint64_t size)
{
	struct segment_footer *footer = NULL;
	struct segment_id id;
	if (segment_key_parse(name, &id)) {
		f->report->n_foreign++;
		return 0;
	}
	if (segment_ids_have(f->named, f->n_named, id)) {
		saw_id(f, id);
		f->n_named_there++;
		return 0;
	}
	int rc = open_footer(f, key, size, &footer);
	rc = rc ? rc : take_footer(f, footer, id);
	segment_footer_close(footer);
	return rc == FIRN_ENOENT ? 0 : judge(f, key, rc);
}

int found_segments(struct found *f)
{
	return list(f, "seg", take_segment);
}
