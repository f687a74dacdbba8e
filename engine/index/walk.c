/* Reading all rows of a table of a volume, in key order. each() != 0 ends the walk and is returned.
 * */
#include "engine/index/tx.h"

struct walk {
	union {
		int (*stream)(void *arg, const struct stream_state *s);
		int (*kv)(void *arg, const struct kv_change *kv);
		int (*producer)(void *arg, const struct producer_change *p);
		int (*key)(void *arg, const struct key_entry *k);
		int (*gap)(void *arg, const struct gap_entry *g);
		int (*segment)(void *arg, const struct index_segment *s);
		int (*empty)(void *arg, const struct segment_id *id);
	} each;
	void *arg;
	int (*row)(const struct walk *w, const struct index_row *r, struct firn_error *err);
};

/* Rows whose keys begin with the key in tx; ends tx. */
static int walk_tx(struct index_tx *tx, const struct walk *w, struct firn_error *err)
{
	struct index_row r;
	uint32_t prefix = tx->key.len;
	int stop = 0, rc;
	for (rc = index_tx_ge(tx, prefix, &r); rc == 0 && stop == 0;
	     rc = index_tx_next(tx, prefix, &r))
		stop = w->row(w, &r, err);
	index_tx_end(tx);
	return stop ? stop : rc == FIRN_ENOENT ? 0 : rc;
}

static int walk(struct index *ix, uint32_t number, enum index_table table, const struct walk *w,
                struct firn_error *err)
{
	struct index_tx tx;
	int rc = index_tx_read(ix, &tx, err);
	if (rc)
		return rc;
	index_key_head(&tx.key, number, table);
	return walk_tx(&tx, w, err);
}

static int stream_row(const struct walk *w, const struct index_row *r, struct firn_error *err)
{
	struct stream_state s;
	int rc = index_stream_get(r, &s, err);
	return rc ? rc : w->each.stream(w->arg, &s);
}

int index_streams(struct index *ix, uint32_t number,
                  int (*each)(void *arg, const struct stream_state *s), void *arg,
                  struct firn_error *err)
{
	struct walk w = { .each.stream = each, .arg = arg, .row = stream_row };
	return walk(ix, number, INDEX_STREAM, &w, err);
}

int index_stream_row(struct index *ix, uint32_t number, uint64_t stream,
                     int (*each)(void *arg, const struct stream_state *s), void *arg,
                     struct firn_error *err)
{
	struct index_tx tx;
	struct index_row r;
	struct walk w = { .each.stream = each, .arg = arg };
	int rc = index_tx_read(ix, &tx, err);
	if (rc)
		return rc;
	index_key_stream(&tx.key, number, INDEX_STREAM, stream);
	rc = index_tx_get(&tx, &r);
	if (rc == 0)
		rc = stream_row(&w, &r, err);
	index_tx_end(&tx);
	return rc;
}

static int kv_row(const struct walk *w, const struct index_row *r, struct firn_error *err)
{
	struct kv_change kv;
	int rc = index_kv_get(r, &kv, err);
	return rc ? rc : w->each.kv(w->arg, &kv);
}

int index_kvs(struct index *ix, uint32_t number, int (*each)(void *arg, const struct kv_change *kv),
              void *arg, struct firn_error *err)
{
	struct walk w = { .each.kv = each, .arg = arg, .row = kv_row };
	return walk(ix, number, INDEX_KV, &w, err);
}

static int producer_row(const struct walk *w, const struct index_row *r, struct firn_error *err)
{
	struct index_producer_row p;
	int rc = index_producer_get(r, &p, err);
	return rc ? rc : w->each.producer(w->arg, &p.p);
}

int index_producers(struct index *ix, uint32_t number,
                    int (*each)(void *arg, const struct producer_change *p), void *arg,
                    struct firn_error *err)
{
	struct walk w = { .each.producer = each, .arg = arg, .row = producer_row };
	return walk(ix, number, INDEX_PRODUCER, &w, err);
}

int index_producers_of(struct index *ix, uint32_t number, uint64_t stream,
                       int (*each)(void *arg, const struct producer_change *p), void *arg,
                       struct firn_error *err)
{
	struct walk w = { .each.producer = each, .arg = arg, .row = producer_row };
	struct index_tx tx;
	int rc = index_tx_read(ix, &tx, err);
	if (rc)
		return rc;
	index_key_stream(&tx.key, number, INDEX_PRODUCER, stream);
	return walk_tx(&tx, &w, err);
}

static int key_row(const struct walk *w, const struct index_row *r, struct firn_error *err)
{
	struct key_entry k;
	int rc = index_idem_get(r, &k, err);
	return rc ? rc : w->each.key(w->arg, &k);
}

int index_keys(struct index *ix, uint32_t number, int (*each)(void *arg, const struct key_entry *k),
               void *arg, struct firn_error *err)
{
	struct walk w = { .each.key = each, .arg = arg, .row = key_row };
	return walk(ix, number, INDEX_KEY, &w, err);
}

static int gap_row(const struct walk *w, const struct index_row *r, struct firn_error *err)
{
	struct gap_entry g;
	int rc = index_gap_get(r, &g, err);
	return rc ? rc : w->each.gap(w->arg, &g);
}

int index_gaps(struct index *ix, uint32_t number, int (*each)(void *arg, const struct gap_entry *g),
               void *arg, struct firn_error *err)
{
	struct walk w = { .each.gap = each, .arg = arg, .row = gap_row };
	return walk(ix, number, INDEX_GAP, &w, err);
}

static int segment_row(const struct walk *w, const struct index_row *r, struct firn_error *err)
{
	struct index_segment s;
	int rc = index_segment_row_get(r, &s, err);
	return rc ? rc : w->each.segment(w->arg, &s);
}

int index_segments(struct index *ix, uint32_t number,
                   int (*each)(void *arg, const struct index_segment *s), void *arg,
                   struct firn_error *err)
{
	struct walk w = { .each.segment = each, .arg = arg, .row = segment_row };
	return walk(ix, number, INDEX_SEGMENT, &w, err);
}

static int empty_row(const struct walk *w, const struct index_row *r, struct firn_error *err)
{
	struct segment_id id;
	int rc = index_empty_row_get(r, &id, err);
	return rc ? rc : w->each.empty(w->arg, &id);
}

int index_empties(struct index *ix, uint32_t number,
                  int (*each)(void *arg, const struct segment_id *id), void *arg,
                  struct firn_error *err)
{
	struct walk w = { .each.empty = each, .arg = arg, .row = empty_row };
	return walk(ix, number, INDEX_EMPTY, &w, err);
}

int index_segment_get(struct index *ix, uint32_t number, struct segment_id id,
                      struct index_segment *out, struct firn_error *err)
{
	struct index_tx tx;
	struct index_row r;
	int rc = index_tx_read(ix, &tx, err);
	if (rc)
		return rc;
	index_key_segment(&tx.key, number, INDEX_SEGMENT, id);
	rc = index_tx_get(&tx, &r);
	if (rc == 0)
		rc = index_segment_row_get(&r, out, err);
	index_tx_end(&tx);
	return rc;
}

int index_volume_get(struct index *ix, const uint8_t volume_id[16], struct index_volume *out,
                     struct firn_error *err)
{
	struct index_tx tx;
	struct index_row r;
	int rc = index_tx_read(ix, &tx, err);
	if (rc)
		return rc;
	index_key_volume(&tx.key, volume_id);
	rc = index_tx_get(&tx, &r);
	if (rc == 0)
		rc = index_volume_row_get(&r, out, err);
	index_tx_end(&tx);
	return rc;
}
