/* Where rows come from: footers, sorted, or a stored run. */
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/layer/format.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A row of a footer, by its place. */
struct ref {
	uint64_t stream;
	uint32_t footer, i;
	uint8_t class, kind; /* in the order of rows */
};

struct layer_source {
	const struct firn_env *env;
	struct layer_row row;
	/* of footers */
	struct segment_footer *const *footer;
	struct ref *ref;
	size_t n_ref, at;
	/* of a run */
	const struct manifest_layer *part;
	uint32_t n_part, i_part, i_block;
	uint8_t volume_id[16];
	layer_fetch fetch;
	void *arg;
	struct buf object;
	struct layer_object o;
	struct {
		uint8_t *data;
		size_t cap;
	} raw[2]; /* in turn: the last row of a block is compared with the first of the next */
	size_t raw_at, raw_len;
	uint32_t n_row, i_row, turn;
};

static struct layer_source *source_new(const struct firn_env *env, struct firn_error *err)
{
	struct layer_source *s = mem_zalloc(env, sizeof *s);
	if (s) {
		s->env = env;
		buf_init(&s->object, env);
	} else {
		(void)fail(err, FIRN_ENOMEM, 0, "layer", "no memory");
	}
	return s;
}

void layer_source_close(struct layer_source *s)
{
	if (!s)
		return;
	mem_free(s->env, s->ref);
	mem_free(s->env, s->raw[0].data);
	mem_free(s->env, s->raw[1].data);
	buf_fini(&s->object);
	mem_free(s->env, s);
}

/* ---- footers ---- */

static void row_of(const struct layer_source *s, const struct ref *ref, struct layer_row *out)
{
	const struct segment_footer *f = s->footer[ref->footer];
	memset(out, 0, sizeof *out);
	out->kind = (enum layer_kind)ref->kind;
	switch (ref->kind) {
	case LAYER_STREAM:
		segment_stream_at(f, ref->i, &out->u.stream);
		break;
	case LAYER_EXTENT:
		out->u.extent.segment = segment_footer_meta(f)->id;
		segment_block_at(f, ref->i, &out->u.extent.block);
		break;
	case LAYER_GAP:
		segment_gap_at(f, ref->i, &out->u.gap);
		break;
	case LAYER_KV:
		segment_kv_at(f, ref->i, &out->u.kv);
		break;
	case LAYER_PRODUCER:
		segment_producer_at(f, ref->i, &out->u.producer);
		break;
	case LAYER_KEY:
		segment_key_at(f, ref->i, &out->u.key);
		break;
	case LAYER_LOST:
		segment_lost_at(f, ref->i, &out->u.lost);
		break;
	default:
		layer_segment_of(f, &out->u.segment);
	}
}

static int ref_compare(const void *a, const void *b, void *arg)
{
	const struct ref *x = a, *y = b;
	struct layer_row rx, ry;
	if (x->class != y->class)
		return x->class < y->class ? -1 : 1;
	if (x->stream != y->stream)
		return x->stream < y->stream ? -1 : 1;
	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	row_of(arg, x, &rx);
	row_of(arg, y, &ry);
	int c = layer_row_compare(&rx, &ry);
	if (c)
		return c;
	if (x->footer != y->footer)
		return x->footer < y->footer ? -1 : 1;
	return x->i < y->i ? -1 : x->i > y->i;
}

static uint32_t rows_of_kind(const struct segment_footer *f, enum layer_kind kind)
{
	switch (kind) {
	case LAYER_LOST:
		return segment_n_lost(f);
	case LAYER_STREAM:
		return segment_n_streams(f);
	case LAYER_EXTENT:
		return segment_n_blocks(f);
	case LAYER_GAP:
		return segment_n_gaps(f);
	case LAYER_KV:
		return segment_n_kv(f);
	case LAYER_PRODUCER:
		return segment_n_producers(f);
	case LAYER_KEY:
		return segment_n_keys(f);
	default:
		return 1; /* the segment itself */
	}
}

static void add_refs(struct layer_source *s, uint32_t footer)
{
	struct layer_row r;
	for (int kind = LAYER_LOST; kind <= LAYER_SEGMENT; kind++) {
		uint32_t n = rows_of_kind(s->footer[footer], (enum layer_kind)kind);
		for (uint32_t i = 0; i < n; i++) {
			struct ref *ref = &s->ref[s->n_ref++];
			*ref = (struct ref){ .footer = footer, .i = i, .kind = (uint8_t)kind };
			ref->class = kind == LAYER_LOST ? 0 : kind == LAYER_SEGMENT ? 2 : 1;
			row_of(s, ref, &r);
			ref->stream = layer_row_stream(&r);
		}
	}
}

int layer_source_footers(const struct firn_env *env, struct segment_footer *const *footer,
                         uint32_t n, struct layer_source **out, struct firn_error *err)
{
	struct layer_source *s = *out = source_new(env, err);
	size_t rows = 0;
	if (!s)
		return FIRN_ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		for (int kind = LAYER_LOST; kind <= LAYER_SEGMENT; kind++)
			rows += rows_of_kind(footer[i], (enum layer_kind)kind);
	s->footer = footer;
	s->ref = mem_alloc(env, (rows + 1) * sizeof *s->ref);
	if (!s->ref) {
		layer_source_close(s);
		*out = NULL;
		return fail(err, FIRN_ENOMEM, 0, "layer", "no memory to sort %zu rows", rows);
	}
	for (uint32_t i = 0; i < n; i++)
		add_refs(s, i);
	qsort_r(s->ref, s->n_ref, sizeof *s->ref, ref_compare, s);
	return 0;
}

/* ---- a stored run ---- */

int layer_source_run(const struct firn_env *env, const uint8_t volume_id[16],
                     const struct manifest_layer *part, uint32_t n_part, layer_fetch fetch,
                     void *arg, struct layer_source **out, struct firn_error *err)
{
	struct layer_source *s = *out = source_new(env, err);
	if (!s)
		return FIRN_ENOMEM;
	memcpy(s->volume_id, volume_id, sizeof s->volume_id);
	s->part = part;
	s->n_part = n_part;
	s->fetch = fetch;
	s->arg = arg;
	return 0;
}

static int part_load(struct layer_source *s, struct firn_error *err)
{
	const struct manifest_layer *m = &s->part[s->i_part];
	s->object.len = 0;
	int rc = s->fetch(s->arg, m, &s->object, err);
	rc = rc ? rc : layer_open(s->object.data, s->object.len, &s->o, err);
	rc = rc ? rc : layer_is(&s->o, s->volume_id, m, err);
	if (!rc && s->o.last != (s->i_part + 1 == s->n_part))
		rc = fail(err, FIRN_ECORRUPT, 0, "layer", "%s",
		          s->o.last ? "parts after the last of the run"
		                    : "the run's last parts are missing");
	s->i_part++;
	s->i_block = 0;
	return rc;
}

static int block_load(struct layer_source *s, struct firn_error *err)
{
	struct layer_block b;
	layer_block_at(&s->o, s->i_block++, &b);
	s->turn = !s->turn;
	void *raw = s->raw[s->turn].data;
	if (mem_grow(s->env, &raw, &s->raw[s->turn].cap, 0, b.raw_len, 1))
		return fail(err, FIRN_ENOMEM, 0, "layer", "no memory for a block");
	s->raw[s->turn].data = raw;
	int rc = layer_block_decode(&s->o, &b, raw, err);
	s->raw_at = 0;
	s->raw_len = b.raw_len;
	s->n_row = b.n_row;
	s->i_row = 0;
	return rc;
}

static int run_row(struct layer_source *s, struct firn_error *err)
{
	struct layer_row r;
	const uint8_t *at = s->raw[s->turn].data + s->raw_at;
	size_t len = layer_row_get(at, s->raw_len - s->raw_at, &r);
	s->raw_at += len;
	bool end = s->raw_at == s->raw_len, ends = ++s->i_row == s->n_row;
	if (!len || end != ends || (s->row.kind && layer_row_compare(&s->row, &r) >= 0))
		return fail(err, FIRN_ECORRUPT, 0, "layer",
		            "block %" PRIu32 ": row %" PRIu32 " makes no sense, or is out of order",
		            s->i_block - 1, s->i_row - 1);
	s->row = r;
	return 0;
}

static int run_next(struct layer_source *s, const struct layer_row **row, struct firn_error *err)
{
	int rc = 0;
	while (!rc && s->raw_at == s->raw_len) {
		if (s->i_block < s->o.n_block)
			rc = block_load(s, err);
		else if (s->i_part < s->n_part)
			rc = part_load(s, err);
		else
			return 0;
	}
	rc = rc ? rc : run_row(s, err);
	if (rc) {
		char key[64];
		layer_key(s->part[s->i_part - 1].id, key, sizeof key);
		return fail_context(err, rc, "%s", key);
	}
	*row = &s->row;
	return 0;
}

int layer_source_next(struct layer_source *s, const struct layer_row **row, struct firn_error *err)
{
	*row = NULL;
	if (s->fetch)
		return run_next(s, row, err);
	if (s->at == s->n_ref)
		return 0;
	row_of(s, &s->ref[s->at++], &s->row);
	*row = &s->row;
	return 0;
}
