/* Resume: a restart while the store is away (PROTOCOL 13). Who has the right WAL and a whole index goes on as the
 * incarnation that it was: it reads, appends and acks under the old epoch, and stores nothing.
 *
 *   attach: store away -> row, index and log meet -> load, replay -> serve (STORE_AWAY)
 *   resume_run, until it comes to an end: GET manifest -> still mine? -> index, marks -> INTENT -> CAS epoch + 1 -> OPEN
 *                                                   +-> another's: FENCED
 *
 * It is as safe as a writer that never died: a compare-and-swap stands before everything that is stored. What would
 * make it unsafe is a manifest marked `clean`, which declares no lost range. So a DETACH record, flushed before that
 * CAS is sent, ends the right, and so does a FENCE record (S1); an intent written over a clean manifest gives it back
 * only to the incarnation that the index saw settled. */
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/upload/attach.h"
#include <stdio.h>
#include <string.h>

/* The incarnation that the index saw last is one that this WAL let in. */
static bool right_incarnation(const struct wal_volume_row *row, const uint8_t nonce[16])
{
	if (id_is_zero(nonce) || !nonce_is_mine(row, nonce))
		return false;
	return !(row->flags & WAL_VOLUME_FROM_CLEAN) || memcmp(row->nonce, nonce, 16) != 0;
}

/* All that was acked above the index's cut is in the WAL, and the index is not ahead of it. */
static bool log_reaches(const struct attach *a, uint64_t rev_stored)
{
	const struct wal_found *f = a->found;
	if (a->row.rev_stored > rev_stored || a->row.rev < rev_stored)
		return false;
	if (f && f->missing > rev_stored)
		return false;
	return a->row.rev == rev_stored ||
	       (f && f->run_last >= a->row.rev && f->run_first && f->run_first <= rev_stored + 1);
}

const char *resume_refused(struct attach *a)
{
	struct volume *v = a->v;
	struct wal_volume_row *row = &a->row;
	struct index_volume iv;
	struct firn_error err = { .struct_size = sizeof err }, *asked = a->err;
	if (a->e->wal.slots)
		return "its log is in a store, not here";
	if (wal_row_find_name(&a->e->wal, v->uri, v->name, row))
		return "this WAL has no part in it";
	a->known = true;
	if (row->flags & WAL_VOLUME_FENCED)
		return "another engine has become its writer since";
	if (row->flags & (WAL_VOLUME_DETACHED | WAL_VOLUME_CLEAN))
		return "it was detached here: another engine may have it";
	if (index_volume_get(a->e->index, row->id, &iv, &err))
		return "the index, made anew, does not know it yet";
	if (!right_incarnation(row, iv.nonce))
		return "the last attach here was not brought to its end: another engine may have it";
	attach_find(a);
	if (!log_reaches(a, iv.rev_stored))
		return "WAL and index alone do not make a whole of it";
	a->err = &err;
	bool moved = attach_check_identity(a) != 0;
	a->err = asked;
	return moved ? "the WAL lies elsewhere than it was written" : NULL;
}

/* What the index last saw settled stands for the manifest until the store says what it is. */
int resume_begin(struct attach *a)
{
	struct volume *v = a->v;
	struct manifest *m = &v->manifest;
	struct index_volume iv;
	int rc = index_volume_get(a->e->index, a->row.id, &iv, a->err);
	if (rc)
		return rc;
	manifest_fini(m, a->e->env);
	memcpy(m->volume_id, a->row.id, 16);
	memcpy(m->nonce, iv.nonce, 16);
	m->seq = iv.seq;
	m->epoch = iv.epoch;
	m->state = MANIFEST_DIRTY;
	m->rev_stored = iv.rev_stored;
	m->rev_durable = a->row.rev;
	m->next_stream = iv.next_stream;
	(void)snprintf(m->name, sizeof m->name, "%s", v->name);
	memcpy(v->id, a->row.id, 16);
	memcpy(v->nonce, iv.nonce, 16);
	memcpy(&v->nonce64, v->nonce, 8);
	v->epoch = iv.epoch;
	v->volume_no = a->row.volume_no;
	v->index_no = iv.number;
	v->resumed = true;
	v->resumed_rev = a->row.rev;
	v->state = FIRN_STATE_STORE_AWAY;
	return attach_already_here(a);
}

/* ---- the store is back ---- */

/* Groups that have left the list, from the log. */
static int measure_old(struct volume *v, uint64_t end, struct resume_cut *out,
                       struct firn_error *err)
{
	enum { PLACES = 64 };
	struct wal_place place[PLACES];
	struct wal_query q = { .volume_no = v->volume_no, .from = v->rev_stored + 1 };
	uint32_t n = PLACES;
	int rc = 0;
	while (!rc && n && q.from < end) {
		rc = wal_find(&v->engine->wal, &q, place, PLACES, &n, err);
		for (uint32_t i = 0; i < n && !rc && place[i].base < end; i++) {
			const struct wal_place *p = &place[i];
			q.hint = p->lsn;
			q.from = p->end;
			out->bytes += p->op;
			if (!out->last.lsn)
				out->last.lsn = p->lsn;
		}
		if (n && place[n - 1].base >= end)
			break;
	}
	return rc;
}

int resume_measure(struct volume *v, uint64_t rev, struct resume_cut *out, struct firn_error *err)
{
	pthread_mutex_lock(&v->lock);
	uint64_t listed = v->rev_durable + 1;
	*out = (struct resume_cut){ .rev = rev };
	for (uint32_t i = 0; i < v->group_n; i++) {
		const struct volume_group *g = &v->group[(v->group_head + i) & (v->group_cap - 1)];
		if (i == 0)
			listed = g->rev_first;
		if (g->rev_last > rev)
			break;
		out->bytes += g->bytes;
		out->last = *g;
	}
	bool old = v->group_old && v->rev_stored + 1 < listed;
	uint64_t end = listed <= rev ? listed : rev + 1;
	pthread_mutex_unlock(&v->lock);
	return old && v->rev_stored < rev ? measure_old(v, end, out, err) : 0;
}

/* Of the streams that are gone for good by this cut no footer need say anything. Locked. */
static void forget_deleted(struct volume *v)
{
	struct stream *s;
	for (uint32_t at = 0; (s = map_next(&v->streams, &at)) != NULL;)
		if (s->deleted && s->delete_rev <= v->rev_stored) {
			stream_free(v, s);
			at = 0; /* the map has closed up */
		}
}

void resume_stored(struct volume *v, struct segment_footer *const *footer, uint32_t n,
                   const struct resume_cut *cut)
{
	pthread_mutex_lock(&v->lock);
	bool rises = cut->rev > v->rev_stored;
	v->rev_stored = rises ? cut->rev : v->rev_stored;
	for (uint32_t i = 0; rises && i < n; i++)
		for (uint32_t k = 0; k < segment_n_streams(footer[i]); k++) {
			struct stream_state st;
			segment_stream_at(footer[i], k, &st);
			volume_stream_stored(v, &st, st.bytes);
		}
	if (rises) {
		forget_deleted(v);
		publish_stored(v, cut->bytes, &cut->last);
	}
	pthread_mutex_unlock(&v->lock);
	wal_row_stored(&v->engine->wal, v->volume_no, v->rev_stored);
}

/* NULL: the manifest that was read is of this WAL and as it may be. Else what is wrong; *fenced: it is another's. */
static const char *judge(const struct attach *a, const struct manifest *now, bool *fenced)
{
	const struct volume *v = a->v;
	*fenced = false;
	if (memcmp(now->volume_id, v->id, 16) != 0)
		return "the store has another volume of that name";
	bool mine = nonce_is_mine(&a->row, now->nonce) || !memcmp(now->nonce, v->nonce, 16);
	*fenced = !mine && now->epoch > v->epoch;
	if (*fenced)
		return "another engine is the writer now";
	if (!mine || now->seq < v->manifest.seq || now->rev_stored < v->rev_stored)
		return "the store went backwards";
	if (now->state != MANIFEST_DIRTY)
		return "the manifest is clean, but no detach was written here";
	if (now->rev_durable > v->resumed_rev)
		return "the WAL went backwards: the manifest knows of later writes than it had when it was opened";
	return NULL;
}

/* 0: v->manifest is the store's. 1: there is nothing more to do. */
static int meet(struct attach *a)
{
	struct volume *v = a->v;
	struct manifest now, old;
	struct store_version version;
	struct buf b;
	char key[400];
	bool fenced = false;
	buf_init(&b, a->e->env);
	manifest_init(&now);
	int rc = manifest_key(v->name, key, sizeof key);
	rc = rc ? rc : lane_probe(v->lane, v->store, a->err);
	rc = rc ? rc : store_get_all(v->store, key, MANIFEST_MAX_BYTES, &b, &version, a->err);
	rc = rc ? rc : manifest_decode(a->e->env, b.data, b.len, &now, a->err);
	rc = rc ? rc : manifest_writable(&now, a->err);
	rc = rc ? rc : wal_row_find(&a->e->wal, v->id, &a->row);
	buf_fini(&b);
	const char *wrong = rc ? NULL : judge(a, &now, &fenced);
	if (wrong)
		rc = fail(a->err, fenced ? FIRN_EFENCED : FIRN_ECORRUPT, 0, "resume", "%s: %s",
		          v->name, wrong);
	if (rc) {
		manifest_fini(&now, a->e->env);
		return rc;
	}
	pthread_mutex_lock(&v->lock);
	old = v->manifest;
	v->manifest = now;
	v->version = version;
	pthread_mutex_unlock(&v->lock);
	manifest_fini(&old, a->e->env);
	return 0;
}

static int settle_right(struct attach *a)
{
	struct volume *v = a->v;
	int rc = meet(a);
	rc = rc ? rc : index_catch_up(v, a->err);
	if (!rc && v->rev_stored != v->manifest.rev_stored)
		rc = fail(a->err, FIRN_ECORRUPT, 0, "resume",
		          "%s: the index says that write %llu is stored, memory %llu", v->name,
		          (unsigned long long)v->manifest.rev_stored,
		          (unsigned long long)v->rev_stored);
	if (rc)
		return rc;
	pthread_mutex_lock(&v->lock);
	a->known = true;
	a->rev_durable = v->rev_durable;
	pthread_mutex_unlock(&v->lock);
	v->resumed_rev =
	        a->rev_durable; /* compared; manifests of its own may say more from now on */
	if (a->row.rev < a->rev_durable)
		a->row.rev = a->rev_durable;
	rc = attach_write_intent(a);
	rc = rc ? rc : attach_raise_epoch(a);
	if (rc == FIRN_EFENCED) /* perhaps by a CAS of its own that came late: look again */
		rc = fail(a->err, FIRN_ESTORE, 0, "resume", "%s: the manifest moved", v->name);
	return rc ? rc : index_catch_up(v, a->err);
}

int resume_run(struct volume *v)
{
	struct firn_error err = { .struct_size = sizeof err };
	struct attach a = { .e = v->engine, .v = v, .err = &err };
	/* Without an intent in the WAL it may not raise the epoch, and so stores nothing any more. */
	bool failed = atomic_load(&a.e->wal.poisoned);
	int rc = failed ? fail(&err, FIRN_EIO, 0, "resume",
	                       "the WAL failed: what is durable is stored after the next opening")
	                : settle_right(&a);
	if (failed) {
		volume_stop(v, &err);
	} else if (rc == FIRN_EFENCED) {
		volume_fenced(v);
	} else if (rc == FIRN_ECORRUPT || rc == FIRN_ENOENT || rc == FIRN_EUNSUPPORTED) {
		volume_stop(v, &err);
	} else if (rc == FIRN_ESTORE) {
		volume_away(v, &err);
		return 0;
	} else if (rc) {
		volume_retry(v, &err);
		return 0;
	} else {
		pthread_mutex_lock(&v->lock);
		v->resumed = false;
		v->retry_n = 0;
		v->upload_now = v->stored_first != NULL;
		pthread_mutex_unlock(&v->lock);
		wal_row_stored(&v->engine->wal, v->volume_no, v->manifest.rev_stored);
		volume_back(v);
	}
	return 1;
}
