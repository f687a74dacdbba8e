/* Footers of segments that no layer covers yet: read side by side, folded in order.
 *
 *   rows of the manifest --rounds--> batch --GET, GET, ...--> footers --> index_apply(), one transaction
 *
 * A far store takes as long for a footer as for many, so a few are asked for at once, in threads that live as long as the
 * batch; each counts in the lane like any task, and without threads, or while the lane is busy, one comes after the other.
 * A batch is whole rounds, bounded in number and in bytes. The error is that of the first footer that has one.
 * Lock: fetching.lock, innermost. */
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/upload/attach.h"
#include "engine/upload/follow.h"
#include "engine/upload/round.h"
#include <signal.h>
#include <string.h>

enum { HANDS = 5, SHARE = 16 << 20 }; /* of a lane's 8: room for those who commit */

uint64_t footers_share(const struct engine *e)
{
	uint64_t share = e->upload_bytes / 8;
	return share < SHARE ? share : SHARE;
}

uint64_t footer_bytes(const struct manifest_segment *s)
{
	return s->bytes - s->footer_pos;
}

/* ---- one ---- */

/* The whole of it: the manifest says where it begins. */
int volume_footer(struct volume *v, const struct manifest_segment *m, struct segment_footer **out,
                  struct firn_error *err)
{
	const struct firn_env *env = v->engine->env;
	char key[OBJECT_KEY_MAX];
	segment_object_key(v->name, m->id, key);
	size_t want = m->bytes > m->footer_pos ? (size_t)(m->bytes - m->footer_pos) : 0, got = 0,
	       need = 0;
	uint8_t *tail = want && want < MANIFEST_MAX_BYTES * 4u ? mem_alloc(env, want) : NULL;
	if (!tail)
		return fail(err, FIRN_ENOMEM, 0, "attach", "footer of %s", key);
	int rc = store_get(v->store, key, m->footer_pos, tail, want, &got, err);
	if (rc == FIRN_ENOENT)
		rc = fail(err, FIRN_ECORRUPT, 0, "attach",
		          "%s: the manifest names it, the store has it not", key);
	else if (!rc && got != want)
		rc = fail(err, FIRN_ECORRUPT, 0, "attach", "%s: shorter than the manifest says",
		          key);
	rc = rc ? rc : segment_footer_open(env, tail, want, m->bytes, out, &need, err);
	if (!rc && segment_footer_sum(*out) != m->footer_sum) {
		segment_footer_close(*out);
		*out = NULL;
		rc = fail(err, FIRN_ECORRUPT, 0, "attach",
		          "footer is not the one the manifest means");
	}
	mem_free(env, tail);
	return rc ? fail_context(err, rc, "%s", key) : 0;
}

/* ---- side by side ---- */

struct fetching {
	struct volume *v;
	const struct manifest_segment *segment;
	struct segment_footer **footer; /* each one's is its taker's */
	uint32_t n;
	pthread_mutex_t lock;  /* guards from here on */
	uint32_t next, failed; /* the first that failed; n: none */
	struct firn_error err;
};

static void *fetch_some(void *arg)
{
	struct fetching *f = arg;
	for (;;) {
		struct firn_error err = { .struct_size = sizeof err };
		pthread_mutex_lock(&f->lock);
		uint32_t i = f->failed < f->n ? f->n : f->next;
		f->next += i < f->n;
		pthread_mutex_unlock(&f->lock);
		if (i == f->n)
			return NULL;
		if (!volume_footer(f->v, &f->segment[i], &f->footer[i], &err))
			continue;
		pthread_mutex_lock(&f->lock);
		if (i < f->failed) {
			f->failed = i;
			f->err = err;
		}
		pthread_mutex_unlock(&f->lock);
	}
}

static uint32_t hands_begin(struct fetching *f, pthread_t hand[HANDS])
{
	struct engine *e = f->v->engine;
	uint32_t n = 0;
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are the host's */
	while (!e->no_threads && n < HANDS && n + 1 < f->n && lane_take(e, f->v->lane, TASK_JOB)) {
		if (pthread_create(&hand[n], NULL, fetch_some, f)) {
			lane_done(e, f->v->lane, TASK_JOB);
			break;
		}
		n++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return n;
}

static int fetch(struct volume *v, const struct manifest_segment *segment, uint32_t n,
                 struct segment_footer **footer, struct firn_error *err)
{
	struct engine *e = v->engine;
	struct fetching f = { .v = v, .segment = segment, .footer = footer, .n = n, .failed = n };
	pthread_t hand[HANDS];
	pthread_mutex_init(&f.lock, NULL);
	uint32_t n_hand = hands_begin(&f, hand);
	(void)fetch_some(&f);
	for (uint32_t i = 0; i < n_hand; i++) {
		(void)pthread_join(hand[i], NULL);
		lane_done(e, v->lane, TASK_JOB);
	}
	if (n_hand) /* somebody may wait for a place in the lane */
		upload_kick(e);
	pthread_mutex_destroy(&f.lock);
	if (f.failed == n)
		return 0;
	int code = f.err.code;
	if (err)
		*err = f.err;
	return code;
}

/* ---- in order ---- */

/* The row behind a batch that begins at `from`: whole rounds, one at least. */
static uint32_t batch_end(const struct volume *v, uint32_t from, uint64_t *bytes)
{
	const struct manifest *m = &v->manifest;
	uint32_t end = from;
	*bytes = 0;
	while (end < m->n_segment) {
		uint32_t next = end;
		uint64_t round = 0;
		do
			round += footer_bytes(&m->segment[next++]);
		while (next < m->n_segment &&
		       m->segment[next].rev_from == m->segment[end].rev_from);
		if (end > from &&
		    (next - from > FOOTERS_AT_ONCE || *bytes + round > footers_share(v->engine)))
			break;
		*bytes += round;
		end = next;
	}
	return end;
}

static int apply(struct volume *v, const struct footers *f, bool last, struct firn_error *err)
{
	const struct manifest *m = &v->manifest;
	uint64_t rev_stored = last ? m->rev_stored : f->rev;
	struct index_commit c = { .epoch = m->epoch,
		                  .seq = last ? m->seq : 0,
		                  .rev_stored = rev_stored,
		                  .next_stream = m->next_stream,
		                  .n_footer = f->n,
		                  .n_lost = m->n_lost,
		                  .footer = f->footer,
		                  .lost = m->lost };
	struct resume_cut cut = { 0 };
	memcpy(c.volume_id, m->volume_id, sizeof c.volume_id);
	memcpy(c.nonce, m->nonce, sizeof c.nonce);
	int rc = v->resumed ? resume_measure(v, rev_stored, &cut, err) : 0;
	follow_turn(v);
	rc = rc ? rc : index_apply(v->engine->index, &c, err);
	if (!rc && v->follow)
		follow_note(v, f->footer, f->n);
	if (!rc && v->resumed)
		resume_stored(v, f->footer, f->n, &cut);
	return rc;
}

void footers_close(struct volume *v, struct footers *f)
{
	for (uint32_t i = 0; i < f->n; i++)
		segment_footer_close(f->footer[i]);
	rounds_charge(v, -(int64_t)f->charged);
	f->n = 0;
	f->charged = 0;
}

int footers_open(struct volume *v, uint32_t from, struct footers *f, struct firn_error *err)
{
	const struct manifest *m = &v->manifest;
	uint64_t bytes;
	f->end = batch_end(v, from, &bytes);
	f->n = 0;
	f->charged = 2 * bytes; /* as read, and as opened */
	f->rev = f->end > from ? m->segment[f->end - 1].rev_to - 1 : m->rev_stored;
	rounds_charge(v, (int64_t)f->charged);
	if (f->end - from > FOOTERS_AT_ONCE)
		return fail(err, FIRN_EUNSUPPORTED, 0, "attach", "a round of more than %d segments",
		            FOOTERS_AT_ONCE);
	f->n = f->end - from;
	memset(f->footer, 0, sizeof f->footer);
	return fetch(v, &m->segment[from], f->n, f->footer, err);
}

int footers_apply(struct volume *v, uint64_t rev, struct firn_error *err)
{
	const struct manifest *m = &v->manifest;
	uint32_t from = 0;
	int rc = 0;
	while (from < m->n_segment && m->segment[from].rev_from <= rev)
		from++;
	do { /* with nothing to read the index still learns which manifest this is */
		struct footers f;
		rc = footers_open(v, from, &f, err);
		rc = rc ? rc : apply(v, &f, f.end == m->n_segment, err);
		footers_close(v, &f);
		from = f.end;
	} while (!rc && from < m->n_segment);
	return rc;
}
