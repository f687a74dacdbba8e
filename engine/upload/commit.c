/* Commit: one CAS of the manifest for all rounds that are up, then the index, then the WAL lets go; in that
 * order.
 *
 *   rounds up -> CAS -> (unclear? GET and settle) -> LMDB, synced -> rev_stored -> recycle
 *
 * Rounds are committed whole and in order: one that is up before an older one waits for it. One CAS in
 * flight per volume. Until its outcome is settled nothing else is sent for the volume and
 * nothing is let go; the same bytes may be sent again, never others (PROTOCOL 7, 8). */
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/gc/clean.h"
#include "engine/gc/gc.h"
#include "engine/gc/retain.h"
#include "engine/upload/attach.h"
#include <stdio.h>
#include <string.h>

void volume_set_state(struct volume *v, uint32_t state, const char *why)
{
	pthread_mutex_lock(&v->lock);
	bool changed = v->state != state && v->state != FIRN_STATE_FENCED;
	if (changed)
		v->state = state;
	pthread_mutex_unlock(&v->lock);
	if (changed)
		engine_tell_state(v->engine, v->user_data, state);
	if (changed && why)
		engine_log(v->engine, FIRN_LOG_WARN, "upload", v->name, why);
}

void note_fenced(struct engine *e, const uint8_t id[16], const char *name)
{
	struct wal_volume_row row;
	struct firn_error err = { .struct_size = sizeof err };
	bool changed = false;
	int rc = wal_row_mark(&e->wal, id, WAL_VOLUME_FENCED, &row, &changed);
	if (!rc && changed && wal_control(&e->wal, WAL_FENCE, &row, &err))
		engine_log(e, FIRN_LOG_WARN, "upload", name, err.text);
}

void volume_fenced(struct volume *v)
{
	volume_set_state(v, FIRN_STATE_FENCED, "another engine is the writer now");
	pthread_mutex_lock(&v->lock);
	volume_fail_waiters(v, FIRN_EFENCED);
	pthread_mutex_unlock(&v->lock);
	note_fenced(v->engine, v->id, v->name);
}

void volume_back(struct volume *v)
{
	char text[120];
	volume_set_state(v, FIRN_STATE_OPEN, NULL);
	(void)snprintf(text, sizeof text, "the store is back: writer number %llu",
	               (unsigned long long)v->epoch);
	engine_log(v->engine, FIRN_LOG_INFO, "upload", v->name, text);
}

void volume_stop(struct volume *v, const struct firn_error *err)
{
	pthread_mutex_lock(&v->lock);
	v->stopped = true;
	volume_fail_waiters(v, FIRN_ESTORE); /* nothing more will be stored */
	pthread_mutex_unlock(&v->lock);
	volume_set_state(v, v->read_only ? FIRN_STATE_STOPPED : FIRN_STATE_READ_ONLY, err->text);
}

/* Nobody asks the store again for a while: one step more for all that failed together. Locked. */
static void retry_later(struct volume *v)
{
	const struct firn_env *env = v->engine->env;
	uint64_t now = env->mono_ns(env->ctx);
	if (v->retry_n && now < v->retry_at_ns)
		return;
	uint64_t ms = 50u << (v->retry_n < 8 ? v->retry_n : 8), jitter;
	env->random(env->ctx, &jitter, sizeof jitter);
	v->retry_n++;
	v->retry_at_ns = now + (ms / 2 + jitter % (ms + 1)) * 1000000u;
}

void volume_retry(struct volume *v, const struct firn_error *err)
{
	pthread_mutex_lock(&v->lock);
	bool first = v->retry_n == 0;
	retry_later(v);
	pthread_mutex_unlock(&v->lock);
	if (first)
		engine_log(v->engine, FIRN_LOG_WARN, "upload", v->name, err->text);
}

void volume_away(struct volume *v, const struct firn_error *err)
{
	volume_set_state(v, FIRN_STATE_STORE_AWAY, NULL);
	volume_retry(v, err);
}

int commit_next(struct volume *v, struct manifest *next)
{
	const struct firn_env *env = v->engine->env;
	int rc = manifest_copy(&v->manifest, next, env);
	if (rc)
		return rc;
	next->seq++;
	if (v->cleaned_ms)
		next->cleaned_ms = v->cleaned_ms;
	next->committed_ms = env->now_ms(env->ctx);
	memcpy(next->nonce, v->nonce, sizeof next->nonce);
	pthread_mutex_lock(&v->lock);
	next->next_segment = v->next_segment;
	next->rev_durable = v->rev_durable;
	next->next_stream = v->next_stream;
	pthread_mutex_unlock(&v->lock);
	return 0;
}

/* All that is up now, oldest first. */
static int add_rounds(struct volume *v, struct commit *c)
{
	const struct firn_env *env = v->engine->env;
	uint64_t bytes;
	pthread_mutex_lock(&v->lock);
	c->n_round = c->clean ? 0 : rounds_ready(v, &bytes);
	pthread_mutex_unlock(&v->lock);
	int rc = 0;
	for (uint32_t i = 0; i < c->n_round && !rc; i++) {
		const struct built_round *b = v->round[i];
		for (uint32_t k = 0; k < b->n_part && !rc; k++)
			rc = manifest_add_segment(&c->next, env, &b->part[k].segment);
		c->next.rev_stored = b->rev_to - 1;
	}
	return rc;
}

/* The index does not say what the rewrite was made by: what was put is named by nobody, and swept. */
static void give_up_layered(struct volume *v, struct commit *c, const struct firn_error *err)
{
	engine_log(v->engine, FIRN_LOG_ERROR, "gc", v->name, err->text);
	layered_free(v, c->layered);
	c->layered = NULL;
	pthread_mutex_lock(&v->lock);
	v->layer_first = 0;
	clean_give_up(v);
	pthread_mutex_unlock(&v->lock);
}

static int make_body(struct volume *v, struct commit *c, struct firn_error *err)
{
	const struct firn_env *env = v->engine->env;
	uint32_t row = 0;
	int rc = commit_next(v, &c->next);
	rc = rc ? rc : add_rounds(v, c);
	if (!c->layered) {
		pthread_mutex_lock(&v->lock);
		c->layered = v->layered;
		v->layered = NULL;
		v->bury_due = false;
		pthread_mutex_unlock(&v->lock);
	}
	if (c->layered && !rc && (rc = layered_check(v, c->layered, err)) == FIRN_ECORRUPT) {
		give_up_layered(v, c, err);
		rc = 0;
	}
	if (!rc)
		graves_forget(v, &c->next);
	if (c->layered)
		rc = rc ? rc : layers_swap(v, &c->next, c->layered);
	mem_free(env, c->gone);
	c->gone = NULL;
	rc = rc ? rc : dead_collect(v, &c->next, &c->gone, &c->n_gone, err);
	if (c->clean)
		c->next.state = MANIFEST_CLEAN;
	if (!rc && c->next.rev_durable < c->next.rev_stored)
		c->next.rev_durable = c->next.rev_stored;
	rc = rc ? rc : logs_commit(v, c);
	buf_init(&c->body, env);
	rc = rc ? rc : manifest_encode(&c->next, &c->body);
	if (!rc)
		return 0;
	if (rc == FIRN_EINVAL)
		(void)fail(err, rc, 0, "upload", "the next manifest breaks a rule: %s",
		           manifest_check(&c->next, &row));
	else
		(void)fail_context(err, rc, "the next manifest");
	/* Nothing of a half-made one stays: the next try begins again. */
	manifest_fini(&c->next, env);
	buf_fini(&c->body);
	return rc;
}

enum settled settle(struct volume *v, const struct manifest *sent, struct store_version *version,
                    struct firn_error *err)
{
	struct volume *const volume = v;
	struct buf b;
	char key[400];
	struct manifest now;
	buf_init(&b, v->engine->env);
	manifest_init(&now);
	(void)manifest_key(v->name, key, sizeof key);
	int rc = store_get_all(v->store, key, MANIFEST_MAX_BYTES, &b, version, err);
	int read = rc ? 0 : manifest_decode(v->engine->env, b.data, b.len, &now, err);
	enum settled s = SETTLED_UNKNOWN;
	if (read == FIRN_ENOMEM) /* says nothing of the store */
		rc = read;
	if (rc == FIRN_ENOENT && !sent->epoch)
		s = SETTLED_UNCHANGED;
	else if (rc == FIRN_ENOENT && sent->seq == 1)
		s = SETTLED_UNCHANGED;
	else if (rc == FIRN_ENOENT)
		s = SETTLED_WRONG;
	else if (!rc && read)
		s = SETTLED_WRONG;
	else if (!rc && now.seq == sent->seq && !memcmp(now.nonce, sent->nonce, 16) &&
	         now.epoch == sent->epoch)
		s = SETTLED_MINE;
	else if (!rc && sent->seq > 1 && now.seq == sent->seq - 1 &&
	         !memcmp(now.nonce, volume->manifest.nonce, 16))
		s = SETTLED_UNCHANGED;
	else if (!rc && sent->epoch > volume->manifest.epoch &&
	         now.epoch == volume->manifest.epoch && now.seq > volume->manifest.seq &&
	         !memcmp(now.nonce, volume->manifest.nonce, 16))
		s = SETTLED_MOVED;
	else if (!rc && (now.epoch > sent->epoch ||
	                 (now.epoch == sent->epoch && memcmp(now.nonce, sent->nonce, 16))))
		s = SETTLED_FENCED;
	else if (!rc)
		s = SETTLED_WRONG;
	if (s == SETTLED_WRONG)
		(void)fail(err, FIRN_ECORRUPT, 0, "upload",
		           "%s: the store went backwards: version %llu is gone", key,
		           (unsigned long long)sent->seq - 1);
	if (s == SETTLED_FENCED)
		logs_lost(v, &now);
	manifest_fini(&now, v->engine->env);
	buf_fini(&b);
	return s;
}

/* 0: settled. 1: try later. < 0: never. */
static int send_body(struct volume *v, struct commit *c, struct firn_error *err)
{
	char key[400];
	struct store_version version = { 0 };
	struct iovec iov = { c->body.data, c->body.len };
	(void)manifest_key(v->name, key, sizeof key);
	if (c->sent) { /* an earlier try whose outcome is open */
		enum settled s = settle(v, &c->next, &version, err);
		if (s == SETTLED_UNKNOWN)
			return 1;
		if (s == SETTLED_FENCED || s == SETTLED_WRONG) {
			if (s == SETTLED_FENCED)
				volume_fenced(v);
			else
				volume_stop(v, err);
			return -1;
		}
		if (s == SETTLED_MINE) {
			v->version = version;
			return 0;
		}
	}
	c->sent = true;
	atomic_fetch_add(&v->engine->uploads.n_manifest_put, 1);
	int rc = store_put(v->store, key, &iov, 1, STORE_IF_MATCH, &v->version, &version, err);
	if (!rc)
		v->version = version;
	return rc ? 1 : 0;
}

void volume_stream_stored(struct volume *v, const struct stream_state *st, uint64_t bytes)
{
	struct stream *s = volume_stream(v, st->stream);
	if (!s)
		return;
	if (s->deleted && s->delete_rev <= v->rev_stored) {
		stream_free(v, s);
		return;
	}
	uint64_t was = s->stored;
	s->stored = st->next;
	s->stored_start = st->start;
	s->stored_bytes += bytes;
	retain_stored(v, s, st->last_append_ms, was, bytes);
	stream_tail_drop(v, s, s->stored);
	read_notify(v, s);
}

/* What the round says of its streams is stored. Locked. */
static void move_marks(struct volume *v, const struct built_round *b)
{
	for (uint32_t i = 0; i < b->n_stream; i++)
		volume_stream_stored(v, &b->stream[i].state, b->stream[i].payload);
}

static int apply_index(struct volume *v, struct commit *c, struct firn_error *err)
{
	const struct firn_env *env = v->engine->env;
	uint32_t n = 0;
	for (uint32_t i = 0; i < c->n_round; i++)
		n += v->round[i]->n_part;
	struct segment_footer **footer = mem_alloc(env, (n + 1) * sizeof *footer);
	if (!footer)
		return fail(err, FIRN_ENOMEM, 0, "upload", "no memory");
	n = 0;
	for (uint32_t i = 0; i < c->n_round; i++)
		for (uint32_t k = 0; k < v->round[i]->n_part; k++)
			footer[n++] = v->round[i]->part[k].footer;
	struct index_commit ic = { .epoch = c->next.epoch,
		                   .seq = c->next.seq,
		                   .rev_stored = c->next.rev_stored,
		                   .next_stream = c->next.next_stream,
		                   .n_footer = n,
		                   .n_lost = c->next.n_lost,
		                   .footer = footer,
		                   .lost = c->next.lost,
		                   .n_gone = c->n_gone,
		                   .gone = c->gone };
	struct index_rewrite rw;
	if (layered_index(c->layered, &rw))
		ic.rewrite = &rw;
	memcpy(ic.volume_id, v->id, sizeof ic.volume_id);
	memcpy(ic.nonce, c->next.nonce, sizeof ic.nonce);
	int rc = index_apply(v->engine->index, &ic, err);
	mem_free(env, footer);
	return rc;
}

/* Marks move only now: the manifest says it, the index has it. In one go with the rounds' leaving, so that
 * the builder finds a stream's cut in either place. */
static void finish(struct volume *v, struct commit *c)
{
	struct built_round *gone[ROUNDS_MAX];
	struct manifest old = v->manifest;
	struct volume_group last = { 0 };
	uint64_t bytes = 0;
	uint32_t n = c->n_round;
	/* before those who wait for `stored` look at it */
	volume_set_state(v, FIRN_STATE_OPEN, "the store answers again");
	pthread_mutex_lock(&v->lock);
	v->manifest = c->next;
	manifest_init(&c->next);
	v->rev_stored = v->manifest.rev_stored;
	volume_show(v);
	for (uint32_t i = 0; i < n; i++) {
		gone[i] = v->round[i];
		move_marks(v, gone[i]);
		bytes += gone[i]->bytes;
		last = gone[i]->last;
		v->n_small -= gone[i]->small;
	}
	v->n_round -= n;
	memmove(&v->round[0], &v->round[n], v->n_round * sizeof v->round[0]);
	v->built_bytes -= bytes;
	if (n)
		publish_stored(v, bytes, &last);
	v->upload_now = v->stored_first != NULL;
	if (c->layered)
		v->layer_first = 0;
	layered_done(v, c->layered);
	v->retry_n = 0;
	pthread_mutex_unlock(&v->lock);
	for (uint32_t i = 0; i < n; i++)
		built_free(v, gone[i]);
	manifest_fini(&old, v->engine->env);
	logs_settled(v, c->log_no, c->log_position, c->clean);
	commit_free(v, c);
	v->commit = NULL;
	wal_row_stored(&v->engine->wal, v->volume_no, v->manifest.rev_stored);
}

/* 1: an outcome; 0: later. */
static int commit_try(struct volume *v, struct commit *c)
{
	struct firn_error err = { .struct_size = sizeof err };
	if (!c->settled) {
		int rc = c->body.len ? 0 : make_body(v, c, &err);
		if (rc) {
			volume_retry(v, &err);
			return 0;
		}
		rc = send_body(v, c, &err);
		if (rc < 0)
			return 1;
		if (rc) {
			volume_away(v, &err);
			return 0;
		}
		c->settled = true;
	}
	if (apply_index(v, c, &err)) {
		volume_retry(v, &err);
		return 0;
	}
	finish(v, c);
	return 1;
}

static struct commit *commit_new(struct volume *v)
{
	struct commit *c = mem_zalloc(v->engine->env, sizeof *c);
	if (c)
		manifest_init(&c->next);
	return c;
}

int commit_run(struct volume *v)
{
	struct firn_error err = { .struct_size = sizeof err };
	int did = 0;
	if (v->resumed) {
		did = resume_run(v);
	} else if (!v->commit && !(v->commit = commit_new(v))) {
		(void)fail(&err, FIRN_ENOMEM, 0, "upload", "no memory for a commit");
		volume_retry(v, &err);
	} else {
		did = commit_try(v, v->commit);
	}
	pthread_mutex_lock(&v->lock);
	v->committing = false; /* from here on a detach may free the volume */
	pthread_mutex_unlock(&v->lock);
	return did;
}

int commit_clean(struct volume *v, struct firn_error *err)
{
	v->commit = commit_new(v);
	if (!v->commit)
		return fail(err, FIRN_ENOMEM, 0, "upload", "no memory");
	v->commit->clean = true;
	return 0;
}

void commit_free(struct volume *v, struct commit *c)
{
	const struct firn_env *env = v->engine->env;
	if (!c)
		return;
	manifest_fini(&c->next, env);
	buf_fini(&c->body);
	layered_free(v, c->layered);
	mem_free(env, c->gone);
	mem_free(env, c);
}
