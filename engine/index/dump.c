/* One line of text a row, for people. */
#include "engine/index/tx.h"
#include <inttypes.h>
#include <stdio.h>

enum { LINE_MAX_LEN = 512 };

static int volume_line(const struct index_row *r, char *line, struct firn_error *err)
{
	struct index_volume v;
	int rc = index_volume_row_get(r, &v, err);
	char id[33] = "";
	for (size_t i = 0; rc == 0 && i < 16; i++)
		(void)snprintf(id + 2 * i, 3, "%02x", v.volume_id[i]);
	if (rc == 0)
		(void)snprintf(line, LINE_MAX_LEN,
		               "volume %u: id %s epoch %" PRIu64 " seq %" PRIu64
		               " rev_stored %" PRIu64 " next_stream %" PRIu64 " streams %u",
		               v.number, id, v.epoch, v.seq, v.rev_stored, v.next_stream,
		               v.n_streams);
	return rc;
}

static int stream_line(const struct index_row *r, char *line, struct firn_error *err)
{
	struct stream_state s;
	int rc = index_stream_get(r, &s, err);
	if (rc)
		return rc;
	(void)snprintf(line, LINE_MAX_LEN,
	               "stream %" PRIx64 ": [%" PRIu64 ", %" PRIu64 ") rev %" PRIu64 "..%" PRIu64
	               " append %" PRId64 "..%" PRId64 " max %" PRId64 " bytes %" PRIu64
	               " config %u name %.*s",
	               s.stream, s.start, s.next, s.rev_created, s.rev_last, s.first_append_ms,
	               s.last_append_ms, s.max_timestamp_ms, s.bytes, s.config_len,
	               s.name_len > 255 ? 255 : (int)s.name_len, s.name);
	return 0;
}

static int extent_line(const struct index_row *r, char *line, struct firn_error *err)
{
	struct index_extent_row x;
	int rc = index_extent_get(r, &x, err);
	const struct block_entry *e = &x.x.block;
	if (rc == 0)
		(void)snprintf(line, LINE_MAX_LEN,
		               "extent %" PRIx64 ": [%" PRIu64 ", %" PRIu64 ") segment %" PRIx64
		               "-%" PRIx64 " frame %" PRIu64
		               "+%u block %u+%u batches %u bytes %" PRIu64 " max %" PRId64
		               " running %" PRId64,
		               e->stream, e->base, e->next, x.x.segment.epoch, x.x.segment.n,
		               e->frame_pos, e->frame_len, e->block_pos, e->block_len, e->n_batch,
		               e->payload_bytes, e->max_timestamp_ms, x.running_max_ms);
	return rc;
}

static int segment_line(const struct index_row *r, char *line, struct firn_error *err)
{
	struct index_segment s;
	int rc = index_segment_row_get(r, &s, err);
	if (rc == 0)
		(void)snprintf(line, LINE_MAX_LEN,
		               "segment %" PRIx64 "-%" PRIx64 ": bytes %" PRIu64 " rev %" PRIu64
		               "..%" PRIu64
		               " part %u of %u, extents in it %u of %u, live bytes %" PRIu64,
		               s.s.id.epoch, s.s.id.n, s.s.bytes, s.s.rev_from, s.s.rev_to,
		               s.s.part, s.s.n_parts, s.n_live, s.s.n_block, s.live_bytes);
	return rc;
}

static int state_line(const struct index_row *r, char *line, struct firn_error *err)
{
	struct gap_entry g;
	struct kv_change kv;
	struct index_producer_row p;
	struct key_entry k;
	char name[INDEX_TEXT_MAX];
	index_key_text(r->key, r->key_len, name);
	int rc = 0;
	switch (index_row_table(r)) {
	case INDEX_GAP:
		rc = index_gap_get(r, &g, err);
		if (rc == 0)
			(void)snprintf(line, LINE_MAX_LEN,
			               "gap %" PRIx64 ": [%" PRIu64 ", %" PRIu64 ") kind %u",
			               g.stream, g.from, g.to, g.kind);
		return rc;
	case INDEX_KV:
		rc = index_kv_get(r, &kv, err);
		if (rc == 0)
			(void)snprintf(line, LINE_MAX_LEN, "%s: rev %" PRIu64 " bytes %u", name,
			               kv.rev, kv.value_len);
		return rc;
	case INDEX_PRODUCER:
		rc = index_producer_get(r, &p, err);
		if (rc == 0)
			(void)snprintf(line, LINE_MAX_LEN,
			               "%s: epoch %u seq_next %" PRIu64 " last %" PRId64
			               " window %u",
			               name, p.p.producer_epoch, p.p.seq_next, p.p.last_ms,
			               p.p.n_batch);
		return rc;
	case INDEX_KEY:
		rc = index_idem_get(r, &k, err);
		if (rc == 0)
			(void)snprintf(line, LINE_MAX_LEN, "%s: offset %" PRIu64 "+%u rev %" PRIu64,
			               name, k.offset, k.n_offsets, k.rev);
		return rc;
	default:
		return index_row_bad(r, "no such table", err);
	}
}

static int row_line(const struct index_row *r, char *line, struct firn_error *err)
{
	struct index_meta m;
	int rc;
	switch (index_row_table(r)) {
	case INDEX_META:
		rc = index_meta_get(r, &m, err);
		if (rc == 0)
			(void)snprintf(line, LINE_MAX_LEN,
			               "meta: format %u next number %u transaction %" PRIu64,
			               m.version, m.next_number, m.txnid);
		return rc;
	case INDEX_VOLUME:
		return volume_line(r, line, err);
	case INDEX_SEGMENT:
		return segment_line(r, line, err);
	case INDEX_DROP:
	case INDEX_FILL:
	case INDEX_EMPTY:
		index_key_text(r->key, r->key_len, line);
		return 0;
	case INDEX_STREAM:
		return stream_line(r, line, err);
	case INDEX_EXTENT:
		return extent_line(r, line, err);
	default:
		return state_line(r, line, err);
	}
}

int index_dump(struct index *ix, int (*each)(void *arg, const char *line), void *arg,
               struct firn_error *err)
{
	struct index_tx tx;
	struct index_row r;
	char line[LINE_MAX_LEN];
	int rc = index_tx_read(ix, &tx, err);
	if (rc)
		return rc;
	int stop = 0;
	tx.key.len = 0;
	index_key_head(&tx.key, 0, 0);
	for (rc = index_tx_ge(&tx, 0, &r); rc == 0 && stop == 0; rc = index_tx_next(&tx, 0, &r)) {
		stop = row_line(&r, line, err);
		if (stop == 0)
			stop = each(arg, line);
	}
	index_tx_end(&tx);
	return stop ? stop : rc == FIRN_ENOENT ? 0 : rc;
}
