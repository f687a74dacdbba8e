/* Rows become the parts of a run. A part is known to be the last only when no row follows: so one is ended when
 * the row after it comes. */
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/layer/layer.h"

static int part_begin(struct layer_run *r)
{
	void *p = r->part;
	if (mem_grow(r->env, &p, &r->cap_part, r->n_part, r->n_part + 1, sizeof *r->part))
		return fail(r->err, FIRN_ENOMEM, 0, "layer", "no memory");
	r->part = p;
	r->meta.id = r->id(r->arg);
	r->meta.part = (uint32_t)r->n_part;
	r->part[r->n_part] = (struct manifest_layer){ .id = r->meta.id };
	r->n_part++;
	int rc = layer_writer_open(r->env, &r->meta, r->zstd_level, &r->writer);
	return rc ? fail(r->err, rc, 0, "layer", "cannot begin a layer") : 0;
}

static int part_end(struct layer_run *r, bool last)
{
	const uint8_t *data;
	size_t len;
	struct manifest_layer *row = &r->part[r->n_part - 1];
	int rc = layer_writer_finish(r->writer, last, &data, &len, row);
	if (rc)
		(void)fail(r->err, rc, 0, "layer", "no memory for a layer");
	rc = rc ? rc : r->put(r->arg, row, data, len, r->err);
	layer_writer_close(r->writer);
	r->writer = NULL;
	return rc;
}

int layer_run_row(void *run, const struct layer_row *row)
{
	struct layer_run *r = run;
	int rc = 0;
	if (r->writer && layer_writer_bytes(r->writer) >= r->part_bytes)
		rc = part_end(r, false);
	if (!rc && !r->writer)
		rc = part_begin(r);
	if (rc)
		return rc;
	rc = layer_writer_row(r->writer, row);
	return rc ? fail(r->err, rc, 0, "layer", "cannot add a row of stream %llu",
	                 (unsigned long long)layer_row_stream(row))
	          : 0;
}

int layer_run_end(struct layer_run *r)
{
	int rc = r->writer ? 0 : part_begin(r); /* all is gone: a run without a row */
	return rc ? rc : part_end(r, true);
}

void layer_run_close(struct layer_run *r)
{
	layer_writer_close(r->writer);
	mem_free(r->env, r->part);
	r->writer = NULL;
	r->part = NULL;
	r->n_part = r->cap_part = 0;
}
