/* From a settled round to segments in memory. Of a round that fills several, a stream that fills a good part
 * of one gets one of its own, the rest share the last, which also carries what changed. Never more segments
 * than the bytes fill: a store is paid by the request, and inside a segment streams lie one behind the
 * other anyway. */
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/upload/round.h"
#include <string.h>

enum { PARTS_MAX = 32, DESC_GUESS = 96 };

struct build {
	struct round *r;
	struct built_round *c;
	uint64_t epoch, n_first, large;
	uint32_t n_parts;
	int zstd_level;
};

static bool is_large(const struct build *b, const struct round_stream *rs)
{
	return rs->payload >= b->large;
}

static int part_open(struct build *b, struct built *p)
{
	struct volume *v = b->r->v;
	struct segment_meta m = { .id = { b->epoch, b->n_first + b->c->n_part },
		                  .rev_from = b->r->rev_from,
		                  .rev_to = b->r->rev_to,
		                  .part = b->c->n_part,
		                  .n_parts = b->n_parts,
		                  .created_ms = b->r->env->now_ms(b->r->env->ctx) };
	memcpy(m.volume_id, v->id, sizeof m.volume_id);
	memset(p, 0, sizeof *p);
	p->segment = (struct manifest_segment){ .id = m.id,
		                                .rev_from = m.rev_from,
		                                .rev_to = m.rev_to,
		                                .part = m.part,
		                                .n_parts = m.n_parts };
	b->c->n_part++;
	return segment_writer_open(b->r->env, &m, b->zstd_level, &p->writer);
}

/* Between batches that are put back, and between them and what stands above, offsets may be missing that others hold or
 * will: no block reaches across. */
static bool apart(const struct round *r, size_t i)
{
	const struct batch *a = i ? r->order[i - 1] : NULL, *b = r->order[i];
	return r->fills && a && a->stream == b->stream && a->offset + a->n_offsets != b->offset;
}

static int part_batches(struct build *b, struct built *p, size_t from, size_t to, bool large)
{
	struct round *r = b->r;
	const struct round_stream *rs = NULL;
	size_t row = 0, bytes = 0;
	for (size_t i = 0; i < r->n_stream; i++)
		if (large ? from < to && r->stream[i]->state.stream == r->order[from]->stream
		          : !is_large(b, r->stream[i]))
			bytes += r->stream[i]->payload;
	bytes += (to - from) * DESC_GUESS + SEGMENT_BLOCK_BYTES;
	int rc = segment_writer_reserve(p->writer, bytes);
	for (size_t i = from; i < to && !rc; i++) {
		const struct batch *bt = r->order[i];
		while (!rs || rs->state.stream != bt->stream)
			rs = r->stream[row++];
		if (is_large(b, rs) != large)
			continue;
		if (apart(r, i))
			segment_writer_cut(p->writer);
		rc = segment_writer_batch(p->writer, bt, rs->compression);
		struct manifest_segment *m = &p->segment;
		if (!m->min_append_ms || bt->append_ms < m->min_append_ms)
			m->min_append_ms = bt->append_ms;
		if (bt->append_ms > m->max_append_ms)
			m->max_append_ms = bt->append_ms;
	}
	return rc;
}

static int part_changes(struct build *b, struct built *p)
{
	struct round *r = b->r;
	int rc = 0;
	for (size_t i = 0; i < r->n_stream && !rc; i++)
		if (!(r->stream[i]->created && r->stream[i]->deleted))
			rc = segment_writer_stream(p->writer, &r->stream[i]->state);
	for (size_t i = 0; i < r->n_gap && !rc; i++)
		rc = segment_writer_gap(p->writer, &r->gap[i]);
	for (size_t i = 0; i < r->n_kv && !rc; i++)
		rc = segment_writer_kv(p->writer, &r->kv[i].change);
	for (size_t i = 0; i < r->n_producer && !rc; i++)
		rc = segment_writer_producer(p->writer, &r->producer[i]->change);
	for (size_t i = 0; i < r->n_key && !rc; i++)
		rc = segment_writer_key(p->writer, &r->key[i]);
	pthread_mutex_lock(&r->v->lock); /* a commit may replace the manifest */
	for (uint32_t i = 0; i < r->v->manifest.n_lost && !rc; i++)
		rc = segment_writer_lost(p->writer, &r->v->manifest.lost[i]);
	pthread_mutex_unlock(&r->v->lock);
	return rc;
}

static int part_finish(struct build *b, struct built *p, struct firn_error *err)
{
	int rc = segment_writer_finish(p->writer, &p->data, &p->len, &p->segment.footer_pos,
	                               &p->segment.footer_sum);
	if (rc)
		return fail(err, rc, 0, "upload", "no memory for a segment");
	p->segment.bytes = p->len;
	size_t need = 0, tail = p->len - (size_t)p->segment.footer_pos;
	/* Read back as any reader would: what cannot be decoded must not be uploaded. */
	rc = segment_footer_open(b->r->env, p->data + p->segment.footer_pos, tail, p->len,
	                         &p->footer, &need, err);
	p->segment.n_block = rc ? 0 : segment_n_blocks(p->footer);
	return rc;
}

/* Ranges of order[] per large stream become parts of their own. */
static int build_large(struct build *b, struct firn_error *err)
{
	struct round *r = b->r;
	size_t from = 0;
	for (size_t i = 0; i < r->n_stream; i++) {
		size_t to = from;
		while (to < r->n_order && r->order[to]->stream == r->stream[i]->state.stream)
			to++;
		if (is_large(b, r->stream[i])) {
			struct built *p = &b->c->part[b->c->n_part];
			int rc = part_open(b, p);
			rc = rc ? rc : part_batches(b, p, from, to, true);
			rc = rc ? fail(err, rc, 0, "upload", "cannot build a segment")
			        : part_finish(b, p, err);
			if (rc)
				return rc;
		}
		from = to;
	}
	return 0;
}

static uint32_t count_large(const struct build *b)
{
	uint32_t n = 0;
	for (size_t i = 0; i < b->r->n_stream; i++) {
		n += is_large(b, b->r->stream[i]);
	}
	return n;
}

/* At most PARTS_MAX: an attach applies a round's footers at once. */
static void count_parts(struct build *b)
{
	uint64_t bytes = 0;
	for (size_t i = 0; i < b->r->n_stream; i++)
		bytes += b->r->stream[i]->payload;
	uint64_t most = bytes / b->r->v->segment_bytes;
	if (most > PARTS_MAX)
		most = PARTS_MAX;
	uint32_t n_large;
	while ((n_large = count_large(b)) && n_large >= most)
		b->large = b->large > bytes ? UINT64_MAX : b->large * 2;
	b->n_parts = n_large + 1;
}

static int keep_marks(struct build *b)
{
	struct round *r = b->r;
	b->c->stream = mem_zalloc(r->env, (r->n_stream + 1) * sizeof *b->c->stream);
	if (!b->c->stream)
		return FIRN_ENOMEM;
	for (size_t i = 0; i < r->n_stream; i++) {
		struct round_stream *copy = &b->c->stream[b->c->n_stream++];
		copy->state = r->stream[i]->state;
		copy->deleted = r->stream[i]->deleted;
		copy->payload = r->stream[i]->payload;
	}
	return 0;
}

int round_build(struct round *r, uint32_t zstd_level, struct built_round *out,
                struct firn_error *err)
{
	struct volume *v = r->v;
	struct build b = { .r = r,
		           .c = out,
		           .epoch = v->epoch,
		           .large = v->segment_bytes / 4,
		           .zstd_level = (int)zstd_level };
	b.large = b.large ? b.large : 1;
	int rc = round_settle(r);
	if (!rc) {
		count_parts(&b);
		out->part = mem_zalloc(r->env, b.n_parts * sizeof *out->part);
		rc = out->part ? keep_marks(&b) : FIRN_ENOMEM;
		pthread_mutex_lock(&v->lock); /* layers take numbers, too */
		b.n_first = v->next_segment;
		v->next_segment += b.n_parts;
		pthread_mutex_unlock(&v->lock);
	}
	if (rc)
		return fail(err, rc, 0, "upload", "no memory for a round");
	rc = build_large(&b, err);
	if (rc)
		return rc;
	struct built *last = &out->part[out->n_part];
	rc = part_open(&b, last);
	rc = rc ? rc : part_batches(&b, last, 0, r->n_order, false);
	rc = rc ? rc : part_changes(&b, last);
	if (rc)
		return fail(err, rc, 0, "upload", "cannot build a segment");
	return part_finish(&b, last, err);
}
