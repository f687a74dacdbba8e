/* Stream rows: made, moved on, trimmed, removed with all that belongs to them. */
#include "engine/index/fold.h"
#include <string.h>

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* `s` after `old`: what adds up is added, what only rises never falls. */
static void combine(const struct stream_state *old, struct stream_state *s)
{
	s->start = s->start > old->start ? s->start : old->start;
	s->next = s->next > old->next ? s->next : old->next;
	s->rev_last = s->rev_last > old->rev_last ? s->rev_last : old->rev_last;
	s->rev_created = old->rev_created;
	if (!s->name_len) { /* a name is said once, where the stream was made */
		s->name = old->name;
		s->name_len = old->name_len;
	}
	if (!(s->flags & STREAM_CONFIG)) {
		s->config = old->config;
		s->config_len = old->config_len;
	}
	s->bytes += old->bytes;
	if (old->first_append_ms)
		s->first_append_ms = old->first_append_ms;
	s->last_append_ms = later(s->last_append_ms, old->last_append_ms);
	s->max_timestamp_ms = later(s->max_timestamp_ms, old->max_timestamp_ms);
}

static int stream_gone(struct index_tx *tx, struct index_volume *v, uint64_t stream, int had)
{
	int rc = index_fold_trim(tx, v->number, stream, UINT64_MAX);
	if (rc || !had)
		return rc;
	v->n_streams -= v->n_streams > 0;
	index_key_stream(&tx->key, v->number, INDEX_STREAM, stream);
	return index_tx_del(tx);
}

int index_fold_stream(struct index_tx *tx, struct index_volume *v, const struct stream_state *state)
{
	struct stream_state s = *state, old;
	struct index_row r;
	index_key_stream(&tx->key, v->number, INDEX_STREAM, s.stream);
	int rc = index_tx_get(tx, &r);
	if (rc && rc != FIRN_ENOENT)
		return rc;
	int had = rc == 0;
	rc = had ? index_stream_get(&r, &old, tx->err) : 0;
	if (rc || (s.flags & STREAM_DELETED))
		return rc ? rc : stream_gone(tx, v, s.stream, had);
	/* Ids are never used twice, so a row that is there is of the same stream. A touched stream
	 * without a row is one whose older segments are gone: the state is whole, but for bytes. */
	uint64_t was = had ? old.start : 0;
	if (had && !(s.flags & STREAM_CREATED))
		combine(&old, &s);
	v->n_streams += !had;
	index_stream_put(&tx->row, &s);
	rc = index_tx_put(tx);
	return rc == 0 && s.start > was ? index_fold_trim(tx, v->number, s.stream, s.start) : rc;
}

/* Ranges of a table are sorted and do not overlap: those below `start` are the first ones. */
static int trim_ranges(struct index_tx *tx, uint32_t number, enum index_table table,
                       uint64_t stream, uint64_t start)
{
	struct index_row r;
	for (;;) {
		index_key_stream(&tx->key, number, table, stream);
		int rc = index_tx_ge(tx, INDEX_KEY_STREAM, &r);
		if (rc)
			return rc == FIRN_ENOENT ? 0 : rc;
		uint64_t end;
		struct index_extent_row x;
		struct gap_entry g;
		if (table == INDEX_EXTENT) {
			rc = index_extent_get(&r, &x, tx->err);
			end = rc ? 0 : x.x.block.next;
		} else {
			rc = index_gap_get(&r, &g, tx->err);
			end = rc ? 0 : g.to;
		}
		if (rc || end > start)
			return rc;
		rc = index_tx_del_at(tx);
		if (rc == 0 && table == INDEX_EXTENT)
			rc = index_live_add(tx, number, &x.x, -1);
		if (rc)
			return rc;
	}
}

int index_fold_trim(struct index_tx *tx, uint32_t number, uint64_t stream, uint64_t start)
{
	static const enum index_table owned[] = { INDEX_GAP, INDEX_KV, INDEX_PRODUCER, INDEX_KEY };
	uint64_t n;
	int rc = trim_ranges(tx, number, INDEX_EXTENT, stream, start);
	if (start != UINT64_MAX)
		return rc ? rc : trim_ranges(tx, number, INDEX_GAP, stream, start);
	for (size_t i = 0; i < sizeof owned / sizeof owned[0] && rc == 0; i++) {
		index_key_stream(&tx->key, number, owned[i], stream);
		rc = index_tx_del_prefix(tx, INDEX_KEY_STREAM, UINT64_MAX, &n);
	}
	return rc;
}

int index_stream_range(struct index *ix, uint32_t number, uint64_t stream, uint64_t *start,
                       uint64_t *next, struct firn_error *err)
{
	struct index_tx tx;
	struct index_row r;
	struct stream_state s;
	int rc = index_tx_read(ix, &tx, err);
	if (rc)
		return rc;
	index_key_stream(&tx.key, number, INDEX_STREAM, stream);
	rc = index_tx_get(&tx, &r);
	rc = rc ? rc : index_stream_get(&r, &s, err);
	if (rc == 0) {
		*start = s.start;
		*next = s.next;
	}
	index_tx_end(&tx);
	return rc;
}
