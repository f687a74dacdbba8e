#include "index_text.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct text {
	FILE *f;
	struct index *ix;
	uint32_t number;
	struct firn_error *err;
};

static void hex(FILE *f, const void *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		fprintf(f, "%02x", ((const uint8_t *)data)[i]);
}

/* Whoever asks by time for what an extent has gets the same one. */
static int by_time(struct text *t, const struct block_entry *e)
{
	struct index_extent x;
	int rc = index_extent_by_time(t->ix, t->number, e->stream, 0, e->max_timestamp_ms, &x,
	                              t->err);
	if (!rc)
		fprintf(t->f, " by time %" PRIu64, x.block.base);
	return rc;
}

static int add_extent(void *arg, const struct index_extent *x)
{
	struct text *t = arg;
	const struct block_entry *e = &x->block;
	fprintf(t->f, "  extent %" PRIu64 "..%" PRIu64 " in %" PRIx64 "-%" PRIx64 ": ", e->base,
	        e->next, x->segment.epoch, x->segment.n);
	fprintf(t->f, "%" PRIu64 "+%u of %u, %u+%u, sums %" PRIx64 " %" PRIx64, e->frame_pos,
	        e->frame_len, e->frame_raw_len, e->block_pos, e->block_len, e->frame_sum,
	        e->block_sum);
	fprintf(t->f, " n %u bytes %" PRIu64 " times %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64,
	        e->n_batch, e->payload_bytes, e->min_timestamp_ms, e->max_timestamp_ms,
	        e->min_append_ms, e->max_append_ms);
	int rc = by_time(t, e);
	fputc('\n', t->f);
	return rc;
}

static int add_stream(void *arg, const struct stream_state *s)
{
	struct text *t = arg;
	fprintf(t->f, "stream %" PRIx64 " %.*s %" PRIu64 "..%" PRIu64, s->stream, (int)s->name_len,
	        s->name, s->start, s->next);
	fprintf(t->f, " revs %" PRIu64 " %" PRIu64 " bytes %" PRIu64, s->rev_created, s->rev_last,
	        s->bytes);
	fprintf(t->f, " times %" PRId64 " %" PRId64 " %" PRId64 " config ", s->first_append_ms,
	        s->last_append_ms, s->max_timestamp_ms);
	hex(t->f, s->config, s->config_len);
	fputc('\n', t->f);
	return index_extents(t->ix, t->number, s->stream, 0, add_extent, t, t->err);
}

static int add_kv(void *arg, const struct kv_change *kv)
{
	struct text *t = arg;
	fprintf(t->f, "kv %" PRIx64 " rev %" PRIu64 " ", kv->stream, kv->rev);
	hex(t->f, kv->key, kv->key_len);
	fputc(' ', t->f);
	hex(t->f, kv->value, kv->value_len);
	fputc('\n', t->f);
	return 0;
}

static int add_producer(void *arg, const struct producer_change *p)
{
	struct text *t = arg;
	fprintf(t->f, "producer %" PRIx64 " %" PRIu64 " epoch %u seq %" PRIu64 " last %" PRId64,
	        p->stream, p->producer_id, p->producer_epoch, p->seq_next, p->last_ms);
	for (uint32_t i = 0; i < p->n_batch; i++)
		fprintf(t->f, " %" PRIu64 ":%" PRIu64 "+%u", p->batch[i].seq, p->batch[i].offset,
		        p->batch[i].n_offsets);
	fputc('\n', t->f);
	return 0;
}

static int add_key(void *arg, const struct key_entry *k)
{
	struct text *t = arg;
	fprintf(t->f, "key %" PRIx64 " %" PRIu64 "+%u rev %" PRIu64 " ", k->stream, k->offset,
	        k->n_offsets, k->rev);
	hex(t->f, k->key, k->key_len);
	fputc('\n', t->f);
	return 0;
}

static int add_gap(void *arg, const struct gap_entry *g)
{
	fprintf(((struct text *)arg)->f, "gap %" PRIx64 " %" PRIu64 "..%" PRIu64 " kind %u\n",
	        g->stream, g->from, g->to, g->kind);
	return 0;
}

static int add_segment(void *arg, const struct index_segment *s)
{
	fprintf(((struct text *)arg)->f,
	        "segment %" PRIx64 "-%" PRIx64 " %" PRIu64 "..%" PRIu64 " %u of %u, %" PRIu64
	        " bytes alive of %" PRIu64 "\n",
	        s->s.id.epoch, s->s.id.n, s->s.rev_from, s->s.rev_to, s->n_live, s->s.n_block,
	        s->live_bytes, s->s.bytes);
	return 0;
}

static int add_empty(void *arg, const struct segment_id *id)
{
	fprintf(((struct text *)arg)->f, "empty %" PRIx64 "-%" PRIx64 "\n", id->epoch, id->n);
	return 0;
}

char *index_text(struct index *ix, const uint8_t volume_id[16], struct firn_error *err)
{
	struct index_volume v;
	char *out = NULL;
	size_t len = 0;
	if (index_volume_get(ix, volume_id, &v, err))
		return NULL;
	struct text t = { open_memstream(&out, &len), ix, v.number, err };
	fprintf(t.f, "%u streams, stored %" PRIu64 "\n", v.n_streams, v.rev_stored);
	int rc = index_streams(ix, v.number, add_stream, &t, err);
	rc = rc ? rc : index_kvs(ix, v.number, add_kv, &t, err);
	rc = rc ? rc : index_producers(ix, v.number, add_producer, &t, err);
	rc = rc ? rc : index_keys(ix, v.number, add_key, &t, err);
	rc = rc ? rc : index_gaps(ix, v.number, add_gap, &t, err);
	rc = rc ? rc : index_segments(ix, v.number, add_segment, &t, err);
	rc = rc ? rc : index_empties(ix, v.number, add_empty, &t, err);
	fclose(t.f);
	if (rc) {
		free(out);
		return NULL;
	}
	return out;
}
