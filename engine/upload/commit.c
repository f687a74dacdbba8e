/* Commit: segments up, one CAS of the manifest, then the index, then the WAL lets go; in that order.
 *
 *   PUT parts -> CAS -> (unclear? GET and settle) -> LMDB, synced -> rev_stored -> recycle
 *
 * One CAS in flight per volume. Until its outcome is settled nothing else is sent for the volume and
 * nothing is let go; the same bytes may be sent again, never others (PROTOCOL 7, 8). */
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/upload/upload.h"
#include <stdio.h>
#include <string.h>

void retry_later(struct volume *v)
{
	const struct firn_env *env = v->engine->env;
	uint64_t ms = 50u << (v->retry_n < 8 ? v->retry_n : 8), jitter;
	env->random(env->ctx, &jitter, sizeof jitter);
	v->retry_n++;
	v->retry_at_ns = env->mono_ns(env->ctx) + (ms / 2 + jitter % (ms + 1)) * 1000000u;
}

static void set_state(struct volume *v, uint32_t state, const char *why)
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
	set_state(v, FIRN_STATE_FENCED, "another engine is the writer now");
	pthread_mutex_lock(&v->lock);
	volume_fail_waiters(v, FIRN_EFENCED);
	pthread_mutex_unlock(&v->lock);
	note_fenced(v->engine, v->id, v->name);
}

/* The store went backwards or holds something foreign: nothing is sent any more. */
static void volume_stop(struct volume *v, const struct firn_error *err)
{
	pthread_mutex_lock(&v->lock);
	v->stopped = true;
	volume_fail_waiters(v, FIRN_ESTORE); /* nothing more will be stored */
	pthread_mutex_unlock(&v->lock);
	set_state(v, FIRN_STATE_READ_ONLY, err->text);
}

int commit_next(struct volume *v, struct manifest *next)
{
	const struct firn_env *env = v->engine->env;
	int rc = manifest_copy(&v->manifest, next, env);
	if (rc)
		return rc;
	next->seq++;
	next->committed_ms = env->now_ms(env->ctx);
	memcpy(next->nonce, v->nonce, sizeof next->nonce);
	next->next_segment = v->next_segment;
	pthread_mutex_lock(&v->lock);
	next->rev_durable = v->rev_durable;
	next->next_stream = v->next_stream;
	pthread_mutex_unlock(&v->lock);
	return 0;
}

static int put_parts(struct volume *v, struct commit *c, struct firn_error *err)
{
	while (c->n_put < c->n_part) {
		struct built *p = &c->part[c->n_put];
		char name[64], key[400];
		segment_key(p->segment.id, name, sizeof name);
		(void)snprintf(key, sizeof key, "%s/%s", v->name, name);
		struct iovec iov = { (void *)(uintptr_t)p->data, p->len };
		int rc = store_put(v->store, key, &iov, 1, STORE_ALWAYS, NULL, NULL, err);
		if (rc)
			return fail_context(err, rc, "upload of %s", key);
		segment_writer_close(
		        p->writer); /* the footer is a copy; the bytes are in the store */
		p->writer = NULL;
		p->data = NULL;
		c->n_put++;
	}
	return 0;
}

static int make_body(struct volume *v, struct commit *c, struct firn_error *err)
{
	const struct firn_env *env = v->engine->env;
	uint32_t row = 0;
	int rc = commit_next(v, &c->next);
	for (uint32_t i = 0; i < c->n_part && !rc; i++) {
		rc = manifest_add_segment(&c->next, env, &c->part[i].segment);
		c->next.rev_stored = c->part[i].segment.rev_to - 1;
	}
	if (c->clean)
		c->next.state = MANIFEST_CLEAN;
	if (!rc && c->next.rev_durable < c->next.rev_stored)
		c->next.rev_durable = c->next.rev_stored;
	buf_init(&c->body, env);
	rc = rc ? rc : manifest_encode(&c->next, &c->body);
	if (!rc)
		return 0;
	if (rc == FIRN_EINVAL)
		(void)fail(err, rc, 0, "upload", "the next manifest breaks a rule: %s",
		           manifest_check(&c->next, &row));
	else
		(void)fail(err, rc, 0, "upload", "no memory for the manifest");
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
	enum settled s = SETTLED_UNKNOWN;
	if (rc == FIRN_ENOENT && !sent->epoch)
		s = SETTLED_UNCHANGED;
	else if (rc == FIRN_ENOENT && sent->seq == 1)
		s = SETTLED_UNCHANGED;
	else if (rc == FIRN_ENOENT)
		s = SETTLED_WRONG;
	else if (!rc && manifest_decode(v->engine->env, b.data, b.len, &now, err))
		s = SETTLED_WRONG;
	else if (!rc && now.seq == sent->seq && !memcmp(now.nonce, sent->nonce, 16) &&
	         now.epoch == sent->epoch)
		s = SETTLED_MINE;
	else if (!rc && sent->seq > 1 && now.seq == sent->seq - 1 &&
	         !memcmp(now.nonce, volume->manifest.nonce, 16))
		s = SETTLED_UNCHANGED;
	else if (!rc && (now.epoch > sent->epoch ||
	                 (now.epoch == sent->epoch && memcmp(now.nonce, sent->nonce, 16))))
		s = SETTLED_FENCED;
	else if (!rc)
		s = SETTLED_WRONG;
	if (s == SETTLED_WRONG)
		(void)fail(err, FIRN_ECORRUPT, 0, "upload",
		           "%s: the store went backwards: version %llu is gone", key,
		           (unsigned long long)sent->seq - 1);
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
	int rc = store_put(v->store, key, &iov, 1, STORE_IF_MATCH, &v->version, &version, err);
	if (!rc)
		v->version = version;
	return rc ? 1 : 0;
}

/* Marks move only now: the manifest says it, the index has it. */
static void move_marks(struct volume *v, const struct commit *c)
{
	pthread_mutex_lock(&v->lock);
	v->rev_stored = v->manifest.rev_stored;
	volume_show(v);
	for (uint32_t i = 0; i < c->n_stream; i++) {
		const struct round_stream *rs = &c->stream[i];
		struct stream *s = volume_stream(v, rs->state.stream);
		if (!s)
			continue;
		if (s->deleted && s->delete_rev <= v->rev_stored) {
			stream_free(v, s);
			continue;
		}
		s->stored = rs->state.next;
		s->stored_start = rs->state.start;
		s->stored_bytes += rs->payload;
		stream_tail_drop(v, s, s->stored);
		read_notify(v, s);
	}
	publish_stored(v, c->bytes, &c->last);
	v->upload_now = v->stored_first != NULL;
	pthread_mutex_unlock(&v->lock);
}

static int apply_index(struct volume *v, struct commit *c, struct firn_error *err)
{
	const struct firn_env *env = v->engine->env;
	struct segment_footer **footer = mem_alloc(env, (c->n_part + 1) * sizeof *footer);
	if (!footer)
		return fail(err, FIRN_ENOMEM, 0, "upload", "no memory");
	for (uint32_t i = 0; i < c->n_part; i++)
		footer[i] = c->part[i].footer;
	struct index_commit ic = { .epoch = c->next.epoch,
		                   .seq = c->next.seq,
		                   .rev_stored = c->next.rev_stored,
		                   .next_stream = c->next.next_stream,
		                   .n_footer = c->n_part,
		                   .footer = footer };
	memcpy(ic.volume_id, v->id, sizeof ic.volume_id);
	memcpy(ic.nonce, c->next.nonce, sizeof ic.nonce);
	int rc = index_apply(v->engine->index, &ic, err);
	mem_free(env, footer);
	return rc;
}

static int later(struct volume *v, const struct firn_error *err, bool store)
{
	if (v->retry_n == 0)
		engine_log(v->engine, FIRN_LOG_WARN, "upload", v->name, err->text);
	if (store)
		set_state(v, FIRN_STATE_STORE_AWAY, NULL);
	retry_later(v);
	return 0;
}

static uint64_t built_bytes(const struct engine *e)
{
	uint64_t bytes = 0;
	for (uint32_t i = 0; i < e->n_volume; i++) {
		const struct commit *c = e->volume[i]->commit;
		for (uint32_t k = 0; c && k < c->n_part; k++)
			bytes += c->part[k].writer ? c->part[k].len : 0;
	}
	return bytes;
}

/* Nothing of it has left yet. With the store away every volume would hold such a commit: above a bound
 * they are built again from the WAL when it is time to try again (P7). */
static void forget_if_many(struct volume *v)
{
	struct commit *c = v->commit;
	if (c->n_put || c->sent || c->clean ||
	    built_bytes(v->engine) <= v->engine->memory_bytes / 8)
		return;
	commit_free(v, c);
	v->commit = NULL;
}

static void finish(struct volume *v, struct commit *c)
{
	struct wal *w = &v->engine->wal;
	manifest_fini(&v->manifest, v->engine->env);
	v->manifest = c->next;
	manifest_init(&c->next);
	set_state(v, FIRN_STATE_OPEN, NULL); /* before those who wait for `stored` look at it */
	move_marks(v, c);
	commit_free(v, c);
	v->commit = NULL;
	v->retry_n = 0;
	wal_row_stored(w, v->volume_no, v->manifest.rev_stored);
	while (wal_recycle(w))
		;
	engine_room(v->engine);
}

int commit_step(struct volume *v)
{
	struct commit *c = v->commit;
	struct firn_error err = { .struct_size = sizeof err };
	const struct firn_env *env = v->engine->env;
	if (v->stopped || v->state == FIRN_STATE_FENCED)
		return 0;
	if (v->retry_n && env->mono_ns(env->ctx) < v->retry_at_ns)
		return 0;
	if (!c->settled) {
		if (put_parts(v, c, &err)) {
			(void)later(v, &err, true);
			forget_if_many(v);
			return 0;
		}
		if (!c->body.len && make_body(v, c, &err))
			return later(v, &err, false);
		int rc = send_body(v, c, &err);
		if (rc < 0)
			return 1;
		if (rc)
			return later(v, &err, true);
		c->settled = true;
	}
	if (apply_index(v, c, &err))
		return later(v, &err, false);
	finish(v, c);
	return 1;
}

int commit_clean(struct volume *v, struct firn_error *err)
{
	struct commit *c = mem_zalloc(v->engine->env, sizeof *c);
	if (!c)
		return fail(err, FIRN_ENOMEM, 0, "upload", "no memory");
	c->clean = true;
	manifest_init(&c->next);
	v->commit = c;
	return 0;
}
