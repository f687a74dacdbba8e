/* Taking over what another engine acked and has not stored: its logs are walked from the manifest's positions and sealed,
 * and each record goes into this engine's own log under the same rev, as if it came in now.
 *
 *   their slots ─► walk, seal ─► copy into our groups ─► durable ─► publish as a replay ─► serve
 *
 * The rows of those logs stay in the manifest until all copies are in ours, so whoever comes next finds all of it, also if
 * this process dies half-way; a rev that is in two logs is taken once. Runs in the attach, behind its CAS. Blocks. */
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/base/le.h"
#include "engine/base/mem.h"
#include "engine/base/wait.h"
#include "engine/upload/upload.h"
#include "engine/wal/codec.h"
#include "engine/wal/slots.h"
#include <stdio.h>

struct link { /* a stream's newest operation in our newest group */
	uint64_t stream, seq;
	uint32_t pos;
};

struct inherit {
	struct volume *v;
	struct map links; /* struct link by stream */
	uint64_t last, seq, bytes;
	const struct slots_now
	        *own; /* our log before the attach: its slots from `next` on hold nothing of it */
	bool looks;   /* changes nothing */
	struct firn_error *err;
};

static int same_stream(const void *value, const void *key)
{
	return ((const struct link *)value)->stream == *(const uint64_t *)key;
}

/* One turn of waiting for the log: its writer works, and a log that was switched is named. */
static void turn(struct inherit *in, struct wal *w)
{
	struct slots_now now;
	struct timespec t = mono_after(20 * 1000 * 1000);
	slots_now(w, &now);
	if (!in->looks && in->v->log_named < now.log_no)
		(void)commit_run(in->v);
	if (w->engine->no_threads) {
		(void)wal_step(w);
		return;
	}
	pthread_mutex_lock(&w->lock);
	if (!w->poisoned && !w->stopping)
		(void)pthread_cond_timedwait(&w->done, &w->lock, &t);
	pthread_mutex_unlock(&w->lock);
}

static bool durable(struct inherit *in, struct wal *w)
{
	pthread_mutex_lock(&w->lock);
	bool is = w->poisoned || w->durable_seq >= in->seq;
	pthread_mutex_unlock(&w->lock);
	return is;
}

/* Position of the operation before of the same stream in the same group, and from now on this one. */
static int relink(struct inherit *in, uint64_t stream, uint64_t seq, uint32_t pos, uint32_t *prev)
{
	struct link *l = map_get(&in->links, hash_u64(stream), same_stream, &stream);
	*prev = l && l->seq == seq ? l->pos : 0;
	if (!l) {
		l = mem_zalloc(in->v->engine->env, sizeof *l);
		if (!l)
			return FIRN_ENOMEM;
		l->stream = stream;
		if (map_put(&in->links, hash_u64(stream), l)) {
			mem_free(in->v->engine->env, l);
			return FIRN_ENOMEM;
		}
	}
	l->seq = seq;
	l->pos = pos;
	return 0;
}

static int fill(struct inherit *in, const struct wal_record *r, const struct wal_slot *slot)
{
	uint8_t *group = slot->group->data;
	struct wal_record mine = *r;
	uint32_t prev;
	int rc = 0;
	memcpy(group + slot->pos, r->start, r->len);
	for (uint32_t at = WAL_RECORD_HEADER; at < r->meta_len && !rc;) {
		uint8_t *op = group + slot->pos + at;
		uint64_t stream = le64_get(op + (wal_op_has_batch(le16_get(op)) ? 24 : 16));
		rc = relink(in, stream, slot->group->seq, slot->pos + at, &prev);
		le32_put(op + 8, prev);
		at += le32_get(op + 4);
	}
	mine.pos = slot->pos;
	mine.volume_no = in->v->volume_no;
	mine.nonce = in->v->nonce64;
	mine.epoch = in->v->epoch;
	wal_record_put(group, &mine);
	return rc;
}

/* The next in order, or one that is known. */
static int follows(const struct inherit *in, const struct wal_record *r)
{
	if (r->rev <= in->last + 1)
		return 0;
	return fail(in->err, FIRN_ECORRUPT, 0, "attach", "write %llu is missing in the log",
	            (unsigned long long)in->last + 1);
}

static int count(void *arg, const struct wal_record *r, const uint8_t *group)
{
	struct inherit *in = arg;
	(void)group;
	int rc = follows(in, r);
	in->last = rc || r->rev <= in->last ? in->last : r->rev;
	return rc;
}

static int reserve(struct inherit *in, const struct wal_record *r, struct wal_slot *slot)
{
	struct volume *v = in->v;
	struct wal *w = &v->engine->wal;
	for (;;) {
		bool idle = durable(in, w);
		pthread_mutex_lock(&v->lock);
		int rc = wal_reserve(w, r->len, r->n_ops, v, v->volume_no, r->rev, slot);
		if (!rc)
			in->seq = slot->group->seq;
		pthread_mutex_unlock(&v->lock);
		if (rc != FIRN_EFULL || idle)
			return rc;
		turn(in, w);
	}
}

static int copy(void *arg, const struct wal_record *r, const uint8_t *group)
{
	struct inherit *in = arg;
	struct wal *w = &in->v->engine->wal;
	struct wal_slot slot;
	(void)group;
	int rc = follows(in, r);
	if (rc || r->rev <= in->last)
		return rc;
	rc = reserve(in, r, &slot);
	if (rc == FIRN_ETOOBIG)
		return fail(
		        in->err, rc, 0, "attach",
		        "the writer before left a write of %u bytes in its log, and this engine's takes "
		        "%u: give it wal_bytes and memory_bytes as that one had",
		        r->len, wal_record_max(w, r->n_ops));
	if (rc)
		return fail(in->err, rc, 0, "attach",
		            "no room in the log for what the writer before left");
	rc = fill(in, r, &slot);
	wal_filled(w, &slot);
	in->last = r->rev;
	in->bytes += r->len;
	return rc;
}

/* The log of this row is the one that we write to: up to where does it hold something of the volume? All of that was
 * published before the volume left, so it is acked in a moment. False: read it as anybody's. */
static bool ours(struct inherit *in, const struct manifest_log *row, uint64_t *end)
{
	struct wal *w = &in->v->engine->wal;
	struct slots_now now;
	for (;;) {
		slots_now(w, &now);
		bool was = !memcmp(in->own->id, row->id, 16);
		bool is = !memcmp(now.id, row->id, 16);
		*end = was ? in->own->next : 0; /* of one begun since there is nothing to read */
		if (!is || !was || now.acked >= *end || w->poisoned)
			return is;
		turn(in, w);
	}
}

static int walk(struct inherit *in, const struct manifest_log *row)
{
	struct engine *e = in->v->engine;
	struct slots_walk sw = {
		.env = e->env, .slot = row->position, .end = UINT64_MAX, .looks = in->looks
	};
	memcpy(sw.log_id, row->id, 16);
	memcpy(sw.volume_id, in->v->manifest.volume_id, 16);
	if (!ours(in, row, &sw.end))
		sw.end = UINT64_MAX;
	else if (e->wal.poisoned)
		return fail(in->err, FIRN_EIO, 0, "attach", "the log has failed");
	if (sw.slot >= sw.end)
		return 0;
	bool same = !strcmp(row->uri, e->wal.slots->uri); /* as our own: opened and probed */
	sw.store = e->wal.slots->store;
	int rc = same ? 0 : store_open(e->env, row->uri, &sw.store, in->err);
	if (rc)
		return fail_context(in->err, rc, "the log of the writer before");
	if (!same)
		totals_join(&e->stores, sw.store);
	buf_init(&sw.data, e->env);
	rc = same ? 0 : store_probe(sw.store, in->err);
	rc = rc ? rc : slots_walk(&sw, in->looks ? count : copy, in, in->err);
	buf_fini(&sw.data);
	if (!same)
		store_close(sw.store);
	return rc ? fail_context(in->err, rc, "%s", row->uri) : 0;
}

/* The rows that there are, copied: naming a log that was begun meanwhile makes a new list of them. */
static int walk_all(struct inherit *in)
{
	struct manifest m;
	const struct firn_env *env = in->v->engine->env;
	int rc = manifest_copy(&in->v->manifest, &m, env);
	if (rc)
		return fail(in->err, FIRN_ENOMEM, 0, "attach", "no memory");
	for (uint32_t i = 0; i < m.n_log && !rc; i++)
		if (m.log[i].kind == MANIFEST_LOG_STORE)
			rc = walk(in, &m.log[i]);
	manifest_fini(&m, env);
	return rc;
}

int volume_inherit_check(struct volume *v, struct firn_error *err)
{
	struct slots_now own;
	const struct manifest *m = &v->manifest;
	slots_now(&v->engine->wal, &own);
	struct inherit in = {
		.v = v, .last = m->rev_stored, .own = &own, .looks = true, .err = err
	};
	int rc = walk_all(&in);
	if (!rc && in.last < m->rev_durable)
		rc = fail(err, FIRN_ECORRUPT, 0, "attach",
		          "the log ends at write %llu, but %llu was acked",
		          (unsigned long long)in.last, (unsigned long long)m->rev_durable);
	return rc;
}

int volume_inherit(struct volume *v, const struct slots_now *own, uint64_t *bytes,
                   struct firn_error *err)
{
	struct wal *w = &v->engine->wal;
	struct inherit in = { .v = v, .last = v->rev_durable, .own = own, .err = err };
	struct link *l;
	if (!w->slots)
		return 0;
	map_init(&in.links, v->engine->env);
	v->inheriting = true;
	int rc = walk_all(&in);
	/* Also after a failure: the groups on their way know the volume. */
	while (!durable(&in, w))
		turn(&in, w);
	pthread_mutex_lock(&v->lock);
	v->inheriting = false;
	bool whole = v->rev_durable == in.last && !v->failed;
	bool fenced = v->state == FIRN_STATE_FENCED;
	pthread_mutex_unlock(&v->lock);
	for (uint32_t at = 0; (l = map_next(&in.links, &at)) != NULL;)
		mem_free(v->engine->env, l);
	map_fini(&in.links);
	*bytes += in.bytes;
	if (fenced)
		rc = fail(err, FIRN_EFENCED, 0, "attach", "%s: another engine attached it",
		          v->name);
	else if (!rc && !whole)
		rc = fail(err, FIRN_EIO, 0, "attach", "the log failed while it took over");
	return rc;
}
