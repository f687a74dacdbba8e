/* Footers merged into runs, runs into runs of higher levels, an index filled from them: the same as all footers applied
 * one after the other. (P10) */
#include "engine/base/mem.h"
#include "engine/index/index.h"
#include "engine/layer/layer.h"
#include "engine/os/env.h"
#include "tests/unit/index/index_model.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(layer_merge, .timeout = 60);

enum { PARTS_MAX = 4096, ROUNDS = 48 };

/* A store of parts, and the manifest that names them. */
struct bed {
	struct model model;
	struct model_commit commit[ROUNDS];
	uint32_t n_commit, n_layered; /* of the commits, so many are in runs */
	struct manifest m;
	struct {
		struct segment_id id;
		uint8_t *data;
		size_t len;
	} part[PARTS_MAX];
	uint32_t n_part;
	uint64_t n;
	size_t part_bytes;
	struct firn_error err;
};

static struct segment_id bed_id(void *arg)
{
	struct bed *b = arg;
	return (struct segment_id){ 1, ++b->n };
}

static int bed_put(void *arg, const struct manifest_layer *row, const uint8_t *data, size_t len,
                   struct firn_error *err)
{
	struct bed *b = arg;
	cr_assert_lt(b->n_part, PARTS_MAX);
	cr_assert_eq(layer_verify(env_default(), data, len, err), 0, "%s", err->text);
	b->part[b->n_part].id = row->id;
	b->part[b->n_part].data = malloc(len);
	memcpy(b->part[b->n_part].data, data, len);
	b->part[b->n_part++].len = len;
	return 0;
}

static int bed_fetch(void *arg, const struct manifest_layer *part, struct buf *object,
                     struct firn_error *err)
{
	struct bed *b = arg;
	for (uint32_t i = 0; i < b->n_part; i++)
		if (b->part[i].id.n == part->id.n) {
			buf_put(object, b->part[i].data, b->part[i].len);
			return 0;
		}
	(void)err;
	return FIRN_ENOENT;
}

static void bed_init(struct bed *b, uint64_t seed, size_t part_bytes)
{
	memset(b, 0, sizeof *b);
	b->err.struct_size = sizeof b->err;
	b->part_bytes = part_bytes;
	model_init(&b->model, seed);
	manifest_init(&b->m);
}

static void bed_fini(struct bed *b)
{
	for (uint32_t i = 0; i < b->n_commit; i++)
		model_commit_fini(&b->commit[i]);
	for (uint32_t i = 0; i < b->n_part; i++)
		free(b->part[i].data);
	manifest_fini(&b->m, env_default());
	model_fini(&b->model);
}

/* The sources become a run in place of the layers from row `from` on. */
static void run_make(struct bed *b, struct layer_source **source, uint32_t n, uint32_t from,
                     uint32_t level, uint64_t rev_from, uint64_t rev_to)
{
	struct layer_run run = { .env = env_default(),
		                 .meta = { .rev_from = rev_from, .rev_to = rev_to, .level = level },
		                 .zstd_level = 1,
		                 .part_bytes = b->part_bytes,
		                 .id = bed_id,
		                 .put = bed_put,
		                 .arg = b,
		                 .err = &b->err };
	memcpy(run.meta.volume_id, b->model.volume_id, 16);
	struct layer_merge m = { .env = env_default(),
		                 .source = source,
		                 .n_source = n,
		                 .base = from == 0,
		                 .sink = layer_run_row,
		                 .arg = &run };
	cr_assert_eq(layer_merge(&m, &b->err), 0, "%s", b->err.text);
	cr_assert_eq(layer_run_end(&run), 0, "%s", b->err.text);
	for (uint32_t i = 0; i < n; i++)
		layer_source_close(source[i]);
	b->m.n_layer = from;
	for (size_t i = 0; i < run.n_part; i++)
		cr_assert_eq(manifest_add_layer(&b->m, env_default(), &run.part[i]), 0);
	layer_run_close(&run);
}

static void layer_footers(struct bed *b, uint32_t n)
{
	struct segment_footer *footer[ROUNDS * 4];
	struct layer_source *source;
	uint32_t n_footer = 0;
	struct model_commit *first = &b->commit[b->n_layered];
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t k = 0; k < first[i].c.n_footer; k++)
			footer[n_footer++] = first[i].footer[k];
	cr_assert_eq(layer_source_footers(env_default(), footer, n_footer, &source, &b->err), 0);
	run_make(b, &source, 1, b->m.n_layer, 1, segment_footer_meta(footer[0])->rev_from,
	         segment_footer_meta(footer[n_footer - 1])->rev_to);
	b->n_layered += n;
}

static void layer_up(struct bed *b)
{
	uint32_t from, level, n = 0;
	struct layer_source *source[64];
	while (layer_runs_due(&b->m, &from, &level)) {
		n = 0;
		struct manifest_layer *rows = calloc(b->m.n_layer, sizeof *rows);
		memcpy(rows, b->m.layer, b->m.n_layer * sizeof *rows);
		uint64_t rev_from = rows[from].rev_from;
		for (uint32_t i = from, k; i < b->m.n_layer; i += k) {
			k = layer_run_parts(&b->m, i);
			cr_assert_eq(layer_source_run(env_default(), b->model.volume_id, &rows[i],
			                              k, bed_fetch, b, &source[n++], &b->err),
			             0);
		}
		run_make(b, source, n, from, level, rev_from, rows[b->m.n_layer - 1].rev_to);
		free(rows);
	}
}

/* An index filled from the runs, and the commits that are in none applied. */
static void fill(struct bed *b, struct index *ix)
{
	struct index_fill *f;
	const struct layer_row *row;
	struct layer_source *s;
	cr_assert_eq(index_fill_open(ix, &f, &b->err), 0, "%s", b->err.text);
	for (uint32_t i = 0, k; i < b->m.n_layer; i += k) {
		k = layer_run_parts(&b->m, i);
		cr_assert_eq(layer_source_run(env_default(), b->model.volume_id, &b->m.layer[i], k,
		                              bed_fetch, b, &s, &b->err),
		             0);
		for (;;) {
			cr_assert_eq(layer_source_next(s, &row, &b->err), 0, "%s", b->err.text);
			if (!row)
				break;
			cr_assert_eq(index_fill_row(f, row, &b->err), 0, "%s", b->err.text);
		}
		layer_source_close(s);
		cr_assert_eq(index_fill_pause(f, &b->err), 0);
	}
	struct index_commit c = b->commit[b->n_layered - 1].c;
	cr_assert_eq(index_fill_end(f, &c, 0, &b->err), 0, "%s", b->err.text);
	for (uint32_t i = b->n_layered; i < b->n_commit; i++)
		cr_assert_eq(index_apply(ix, &b->commit[i].c, &b->err), 0, "%s", b->err.text);
}

struct segments {
	struct index_segment s[ROUNDS * 4];
	uint32_t n;
};

static int add_segment(void *arg, const struct index_segment *s)
{
	struct segments *all = arg;
	all->s[all->n++] = *s;
	return 0;
}

static void same_segments(struct bed *b, struct index *x, struct index *y)
{
	static struct segments a, c;
	struct index_volume v;
	a.n = c.n = 0;
	cr_assert_eq(index_volume_get(x, b->model.volume_id, &v, &b->err), 0);
	cr_assert_eq(index_segments(x, v.number, add_segment, &a, &b->err), 0);
	cr_assert_eq(index_volume_get(y, b->model.volume_id, &v, &b->err), 0);
	cr_assert_eq(index_segments(y, v.number, add_segment, &c, &b->err), 0);
	cr_assert_eq(a.n, c.n);
	cr_assert_eq(memcmp(a.s, c.s, a.n * sizeof a.s[0]), 0);
}

static void must_be_the_model(struct bed *b, struct index *ix)
{
	struct index_stats st;
	char why[256];
	int rc = model_compare(&b->model, ix, why, &b->err);
	cr_assert_eq(rc, 0, "%d: %s", rc, why);
	cr_assert_eq(index_verify(ix, &st, &b->err), 0, "%s", b->err.text);
}

static void run_seed(uint64_t seed, size_t part_bytes)
{
	static struct bed b;
	char dir[2][128];
	struct index *ix[2];
	bed_init(&b, seed, part_bytes);
	for (int i = 0; i < 2; i++) {
		model_dir_make(dir[i]);
		cr_assert_eq(index_open(env_default(), dir[i], &ix[i], &b.err), 0);
	}
	while (b.n_commit < ROUNDS) {
		model_round(&b.model, &b.commit[b.n_commit]);
		cr_assert_eq(index_apply(ix[0], &b.commit[b.n_commit].c, &b.err), 0);
		b.n_commit++;
		if (model_random(&b.model, 3) == 0 && b.n_commit > b.n_layered)
			layer_footers(&b, 1 + (uint32_t)model_random(&b.model,
			                                             b.n_commit - b.n_layered));
		layer_up(&b);
	}
	cr_assert_gt(b.n_layered, 0);
	must_be_the_model(&b, ix[0]);
	fill(&b, ix[1]);
	must_be_the_model(&b, ix[1]);
	same_segments(&b, ix[0], ix[1]);
	fill(&b, ix[1]); /* over what is there */
	must_be_the_model(&b, ix[1]);
	index_close(ix[1]); /* the number before goes, now or later */
	cr_assert_eq(index_open(env_default(), dir[1], &ix[1], &b.err), 0, "%s", b.err.text);
	must_be_the_model(&b, ix[1]);
	for (int i = 0; i < 2; i++) {
		index_close(ix[i]);
		model_dir_remove(dir[i]);
	}
	bed_fini(&b);
}

Test(layer_merge, an_index_filled_from_layers_is_the_one_that_applied_all_footers)
{
	for (uint64_t seed = 1; seed <= 6; seed++)
		run_seed(seed, seed % 2 ? 4096 : 4 << 20);
}

/* A crash while it is filled: the old rows are there, the new number goes. */
Test(layer_merge, a_fill_that_was_not_ended_leaves_nothing)
{
	static struct bed b;
	char dir[128];
	struct index *ix;
	struct index_fill *f;
	struct index_stats before, after;
	bed_init(&b, 9, 4096);
	model_dir_make(dir);
	cr_assert_eq(index_open(env_default(), dir, &ix, &b.err), 0);
	for (int i = 0; i < 12; i++) {
		model_round(&b.model, &b.commit[b.n_commit]);
		cr_assert_eq(index_apply(ix, &b.commit[b.n_commit++].c, &b.err), 0);
	}
	cr_assert_eq(index_verify(ix, &before, &b.err), 0);
	for (int abort = 0; abort < 2; abort++) {
		struct layer_row row = { .kind = LAYER_KV };
		uint8_t key = 7;
		row.u.kv = (struct kv_change){ .rev = 1, .key_len = 1, .key = &key };
		cr_assert_eq(index_fill_open(ix, &f, &b.err), 0);
		cr_assert_eq(index_fill_row(f, &row, &b.err), 0);
		cr_assert_eq(index_fill_pause(f, &b.err), 0);
		if (abort) {
			index_fill_abort(f);
		} else { /* the process is gone, as far as the file knows */
			index_close(ix);
			cr_assert_eq(index_open(env_default(), dir, &ix, &b.err), 0);
			mem_free(env_default(), f);
		}
		must_be_the_model(&b, ix);
		model_round(&b.model, &b.commit[b.n_commit]);
		cr_assert_eq(index_apply(ix, &b.commit[b.n_commit++].c, &b.err), 0);
		must_be_the_model(&b, ix);
	}
	cr_assert_eq(index_verify(ix, &after, &b.err), 0);
	cr_assert_eq(after.n_kv, b.model.kv.n, "rows of a number that is gone");
	index_close(ix);
	model_dir_remove(dir);
	bed_fini(&b);
}
