/* Bringing a volume into memory: the index is made to say what the manifest says, its rows become
 * streams, keys and producers, and what the WAL holds above is replayed. */
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/gc/retain.h"
#include "engine/upload/attach.h"
#include "engine/upload/follow.h"
#include <stdio.h>
#include <string.h>

enum { REPLAY_PLACES = 64 };

/* A cut that the volume never had: the store lost what was behind it, and was rebuilt without. */
static bool index_gave_up(const struct manifest *m, uint64_t rev)
{
	for (uint32_t i = 0; i < m->n_lost; i++)
		if (rev > m->lost[i].rev_stored &&
		    rev - m->lost[i].rev_stored < m->lost[i].rev_skip)
			return true;
	return false;
}

int index_catch_up(struct volume *v, struct firn_error *err)
{
	struct index *ix = v->engine->index;
	const struct manifest *m = &v->manifest;
	struct index_volume iv;
	int rc = index_volume_get(ix, m->volume_id, &iv, err);
	if (!rc && iv.seq > m->seq)
		return fail(
		        err, FIRN_ECORRUPT, 0, "attach",
		        "%s: the store went backwards: its manifest is version %llu, the index saw %llu",
		        v->name, (unsigned long long)m->seq, (unsigned long long)iv.seq);
	if (rc && rc != FIRN_ENOENT)
		return rc;
	uint64_t rev = rc ? 0 : iv.rev_stored, covered = layer_covered(m);
	/* What lay in segments that were rewritten since is named by the layers alone: no footer says it. */
	bool behind = rev + 1 < covered || (!rc && iv.seq < m->rewrite_seq);
	if (!rc && !behind && index_gave_up(m, iv.rev_stored))
		return fail(
		        err, FIRN_ECORRUPT, 0, "attach",
		        "%s: the index goes up to write %llu, which the volume has given up since: make it anew "
		        "(firn rebuild index)",
		        v->name, (unsigned long long)iv.rev_stored);
	rc = 0;
	if (behind && v->resumed)
		return fail(err, FIRN_ECORRUPT, 0, "resume",
		            "%s: the index is older than the layers in the store: attach it again",
		            v->name);
	if (behind)
		rc = index_fill_layers(v, &rev, err);
	rc = rc ? rc : footers_apply(v, rev, err);
	rc = rc ? rc : index_volume_get(ix, m->volume_id, &iv, err);
	if (v->follow)
		follow_number(v, iv.number);
	else
		v->index_no = iv.number;
	return rc;
}

struct loader {
	struct volume *v;
	int rc;
};

static int load_stream(void *arg, const struct stream_state *st)
{
	struct volume *v = ((struct loader *)arg)->v;
	struct stream *s = stream_new(v, st->stream, st->name, st->name_len, st->next);
	if (!s)
		return FIRN_ENOMEM;
	s->start = s->start_assigned = s->stored_start = st->start;
	s->bytes = s->stored_bytes = st->bytes;
	s->first_ms = st->first_append_ms;
	s->last_ms = s->last_append_ms = st->last_append_ms;
	v->n_live++;
	if (st->config_len) {
		s->config = mem_zalloc(v->engine->env, sizeof *s->config);
		if (!s->config)
			return FIRN_ENOMEM;
		if (config_decode(st->config, st->config_len, s->config))
			return FIRN_ECORRUPT;
		config_limits(s->config, &s->limits);
		if (!v->read_only)
			retain_config(v, s);
		if (s->config->flags & FIRN_HOLD_VISIBLE)
			s->visible = s->start;
		if (s->config->flags & (FIRN_HOLD_STABLE | FIRN_HOLD_VISIBLE))
			s->stable = s->start;
	}
	return 0;
}

static int load_kv(void *arg, const struct kv_change *kv)
{
	return kv_apply(((struct loader *)arg)->v->kv, kv->stream, kv->key, kv->key_len, kv->value,
	                kv->value_len, kv->rev);
}

static int load_producer(void *arg, const struct producer_change *p)
{
	struct volume *v = ((struct loader *)arg)->v;
	struct stream *s = volume_stream(v, p->stream);
	struct dedup_limits lim;
	if (!s)
		return FIRN_ECORRUPT;
	stream_limits(s, &lim);
	return dedup_load_producer(&s->dedup, v->engine->env, &lim, p);
}

static int load_key(void *arg, const struct key_entry *k)
{
	struct volume *v = ((struct loader *)arg)->v;
	struct stream *s = volume_stream(v, k->stream);
	struct dedup_limits lim;
	if (!s)
		return FIRN_ECORRUPT;
	stream_limits(s, &lim);
	return dedup_load_key(&s->dedup, v->engine->env, &lim, k);
}

static bool older_than(const struct volume *v, int64_t ms, uint64_t window_ms)
{
	int64_t now = v->engine->env->now_ms(v->engine->env->ctx);
	return now > ms && (uint64_t)(now - ms) > window_ms;
}

/* What has outlived its window leaves the index here, once per attach: nobody would recognise it. */
static int stale_producer(void *arg, const struct producer_change *p)
{
	struct volume *v = arg;
	struct stream *s = volume_stream(v, p->stream);
	struct dedup_limits lim;
	if (!s)
		return 1;
	stream_limits(s, &lim);
	return older_than(v, p->last_ms, lim.producer_expire_ms);
}

static int stale_key(void *arg, const struct key_entry *k)
{
	struct volume *v = arg;
	struct stream *s = volume_stream(v, k->stream);
	struct dedup_limits lim;
	if (!s)
		return 1;
	stream_limits(s, &lim);
	return lim.key_window_ms && older_than(v, k->append_ms, lim.key_window_ms);
}

static int expire_rows(struct volume *v, struct firn_error *err)
{
	struct index_judges judges = { stale_producer, stale_key, v };
	return index_expire(v->engine->index, v->index_no, &judges, NULL, err);
}

static int load_rows(struct volume *v, struct firn_error *err)
{
	struct loader l = { v, 0 };
	struct index *ix = v->engine->index;
	int rc = index_streams(ix, v->index_no, load_stream, &l, err);
	rc = rc ? rc : index_kvs(ix, v->index_no, load_kv, &l, err);
	rc = rc ? rc : expire_rows(v, err);
	rc = rc ? rc : index_producers(ix, v->index_no, load_producer, &l, err);
	rc = rc ? rc : index_keys(ix, v->index_no, load_key, &l, err);
	if (rc && err && !err->code)
		return fail(err, rc, 0, "attach", "%s: rows of the index do not fit together",
		            v->name);
	return rc;
}

/* Of a group, what is above a rev: one that lies aside may be stored in part. */
static uint64_t bytes_above(const struct wal_view *view, uint32_t volume_no, uint64_t rev)
{
	struct wal_record r;
	uint64_t bytes = 0;
	for (uint32_t pos = WAL_GROUP_HEADER;
	     (pos = wal_record_next(view->group, view->used, pos, &r)) != 0;)
		if (r.type == WAL_WRITE && r.volume_no == volume_no && r.rev > rev)
			bytes += r.len;
	return bytes;
}

static int replay_group(struct volume *v, const struct wal_place *g, uint64_t *bytes,
                        struct firn_error *err)
{
	struct wal *w = &v->engine->wal;
	struct wal_view view;
	int rc = wal_view_tail(w, g->lsn, &view);
	rc = rc ? wal_view_load(w, g->lsn, g->len, &view, err) : 0;
	if (rc)
		return rc;
	struct wal_record r;
	bool pushed = false;
	for (uint32_t pos = WAL_GROUP_HEADER;
	     !rc && (pos = wal_record_next(view.group, view.used, pos, &r)) != 0;) {
		if (r.type != WAL_WRITE || r.volume_no != v->volume_no || r.rev <= v->rev_durable)
			continue;
		if (r.rev != v->rev_durable + 1) {
			rc = fail(err, FIRN_ECORRUPT, 0, "attach",
			          "write %llu is missing before %016llx.wal, group at %llu",
			          (unsigned long long)v->rev_durable + 1,
			          (unsigned long long)(g->lsn >> 32),
			          (unsigned long long)(g->lsn & 0xffffffffu));
			break;
		}
		struct volume_group vg = { g->lsn, r.rev, g->end - 1, 0, r.append_ms, g->len, 0 };
		vg.bytes = pushed ? 0 : bytes_above(&view, v->volume_no, v->rev_durable);
		rc = pushed ? 0 : volume_group_push(v, &vg);
		pushed = true;
		rc = rc ? rc : publish_record(v, &r, g->lsn, g->len, true);
		*bytes += r.len;
		if (rc)
			(void)fail(err, rc, 0, "attach", "write %llu cannot be replayed",
			           (unsigned long long)r.rev);
	}
	wal_chunk_release(view.chunk);
	return rc;
}

/* What the WAL holds above rev_stored, in order. The lists that this makes are kept within their share. */
static int replay(struct volume *v, uint64_t *bytes, struct firn_error *err)
{
	struct wal_query q = { .volume_no = v->volume_no };
	struct wal_place place[REPLAY_PLACES];
	uint32_t n = REPLAY_PLACES;
	int rc = 0;
	while (!rc && n) {
		q.from = v->rev_durable + 1;
		rc = wal_find(&v->engine->wal, &q, place, REPLAY_PLACES, &n, err);
		for (uint32_t i = 0; i < n && !rc; i++) {
			q.hint = place[i].lsn;
			rc = replay_group(v, &place[i], bytes, err);
			if (!rc && places_over(v->engine))
				volume_evict(v, place[i].lsn);
		}
	}
	return rc;
}

int volume_load(struct volume *v, const struct wal_found *found, uint64_t *replayed,
                struct firn_error *err)
{
	const struct manifest *m = &v->manifest;
	v->rev_assigned = v->rev_published = v->rev_durable = v->rev_stored = m->rev_stored;
	/* Nothing to go on from under a new epoch, which every attach begins: ids hold the epoch. The manifest carries
	 * the counter for who goes on under the old one (PROTOCOL 13). */
	if (m->next_stream > v->next_stream)
		v->next_stream = m->next_stream;
	int rc = load_rows(v, err);
	if (!rc && found && found->run_last > m->rev_stored)
		rc = replay(v, replayed, err);
	return rc;
}

int volume_whole(const struct volume *v, const struct wal_found *found, struct firn_error *err)
{
	const struct manifest *m = &v->manifest;
	uint64_t end = found && found->run_last > m->rev_durable ? found->run_last : m->rev_durable;
	if (v->read_only || v->rev_durable >= end)
		return 0;
	return fail(err, FIRN_ECORRUPT, 0, "attach",
	            "the log ends at write %llu, but %llu was acked",
	            (unsigned long long)v->rev_durable, (unsigned long long)end);
}
