/* The first look at a tail: its streams, what it trimmed and deleted itself, its producers and keys; and what the volume says
 * of those streams today. */
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/salvage/tail.h"
#include <stdio.h>
#include <string.h>

static int same_stream(const void *value, const void *key)
{
	return ((const struct tail_stream *)value)->id == *(const uint64_t *)key;
}

struct tail_stream *tail_stream_find(const struct tail *t, uint64_t id)
{
	return map_get(&t->streams, hash_u64(id), same_stream, &id);
}

/* Does the volume have it now? */
static bool known(const struct tail *t, uint64_t id)
{
	struct volume *v = volume_enter(t->volume);
	if (!v)
		return false;
	pthread_mutex_lock(&v->lock);
	const struct stream *s = volume_stream_live(v, id);
	bool live = s && !s->deleting;
	pthread_mutex_unlock(&v->lock);
	volume_leave(t->volume);
	return live;
}

struct tail_stream *tail_stream(struct tail *t, uint64_t id)
{
	struct tail_stream *s = tail_stream_find(t, id);
	if (s)
		return s;
	s = mem_zalloc(t->env, sizeof *s);
	if (!s || map_put(&t->streams, hash_u64(id), s)) {
		mem_free(t->env, s);
		return NULL;
	}
	s->id = s->row.id = id;
	s->lowest = UINT64_MAX;
	s->live = known(t, id);
	return s;
}

/* One of a rebuild does not know whose WAL it was: all that the volume has not. */
static bool means(const struct lost_entry *l, const struct wal_report *wal)
{
	static const uint8_t any[16];
	return !memcmp(l->wal_id, wal->wal_id, 16) || !memcmp(l->wal_id, any, 16);
}

const struct lost_entry *tail_lost(const struct tail *t, const struct wal_report *wal,
                                   const struct wal_volume_row *row, uint64_t rev)
{
	if (memcmp(row->id, t->volume_id, 16) != 0)
		return NULL;
	for (uint32_t i = 0; i < t->n_lost; i++) {
		const struct lost_entry *l = &t->lost[i];
		if (means(l, wal) && rev > l->rev_stored && rev - l->rev_stored <= l->rev_skip)
			return l;
	}
	return NULL;
}

int tail_seen(struct tail *t, uint64_t rev)
{
	size_t i = t->n_span;
	while (i > 0 && t->span[i - 1].from > rev)
		i--;
	struct tail_span *before = i ? &t->span[i - 1] : NULL;
	if (before && rev < before->to)
		return 1;
	if (before && rev == before->to) {
		before->to++;
		return 0;
	}
	void *p = t->span;
	if (mem_grow(t->env, &p, &t->cap_span, t->n_span, t->n_span + 1, sizeof *t->span))
		return FIRN_ENOMEM;
	t->span = p;
	memmove(&t->span[i + 1], &t->span[i], (t->n_span - i) * sizeof *t->span);
	t->span[i] = (struct tail_span){ rev, rev + 1 };
	t->n_span++;
	return 0;
}

static int push(const struct firn_env *env, void *array, size_t *cap, size_t *n, size_t size,
                const void *item)
{
	void *p = *(void **)array;
	if (mem_grow(env, &p, cap, *n, *n + 1, size))
		return FIRN_ENOMEM;
	*(void **)array = p;
	memcpy((char *)p + *n * size, item, size);
	(*n)++;
	return 0;
}

static int take_batch(struct tail *t, struct tail_stream *s, const struct batch *b)
{
	int rc = s->live ? 0 : tail_made_note(t, b);
	s->lowest = b->offset < s->lowest ? b->offset : s->lowest;
	if (!rc && b->flags & BATCH_PRODUCER && !(b->flags & BATCH_SEQ_NONE)) {
		struct tail_sent sent = { b->stream,         b->producer_id, b->producer_seq,
			                  b->producer_epoch, b->n_offsets,   false };
		s->asks = true;
		t->most = b->n_offsets > t->most ? b->n_offsets : t->most;
		rc = push(t->env, &t->sent, &t->cap_sent, &t->n_sent, sizeof sent, &sent);
	}
	if (!rc && b->key_len) {
		struct tail_key k = { .stream = b->stream,
			              .append_ms = b->append_ms,
			              .len = b->key_len };
		memcpy(k.key, b->key, b->key_len);
		s->asks = true;
		rc = push(t->env, &t->key, &t->cap_key, &t->n_key, sizeof k, &k);
	}
	return rc;
}

/* What was moved aside comes late: the newest write says how the stream is kept. */
static int take_config(struct tail *t, struct tail_stream *s, const struct wal_op *op, uint64_t rev)
{
	if (rev < s->shape_rev)
		return 0;
	uint8_t *copy = op->config_len ? mem_dup(t->env, op->config, op->config_len) : NULL;
	if (op->config_len && !copy)
		return FIRN_ENOMEM;
	mem_free(t->env, s->config);
	s->config = copy;
	s->config_len = op->config_len;
	s->shape_rev = rev;
	return 0;
}

static int take_shape(struct tail *t, struct tail_stream *s, const struct wal_op *op, uint64_t rev)
{
	s->n_shape++;
	if (op->kind == WAL_OP_TRIM) {
		s->trim = op->at > s->trim ? op->at : s->trim;
		return 0;
	}
	if (op->kind == WAL_OP_CREATE) {
		uint32_t len = op->name_len < sizeof s->row.name ? op->name_len
		                                                 : sizeof s->row.name - 1;
		memcpy(s->row.name, op->name, len);
		s->at = op->at;
		s->made = true;
	}
	return take_config(t, s, op, rev);
}

static int take_op(struct tail *t, const struct wal_op *op, uint64_t rev)
{
	bool shape = op->kind == WAL_OP_TRIM || op->kind == WAL_OP_CONFIG ||
	             op->kind == WAL_OP_CREATE;
	bool batch = wal_op_has_batch(op->kind);
	t->out->n_left += !batch && !shape;
	if (!batch && !shape && op->kind != WAL_OP_DELETE)
		return 0;
	struct tail_stream *s = tail_stream(t, op->stream);
	if (!s)
		return FIRN_ENOMEM;
	s->deleted |= op->kind == WAL_OP_DELETE;
	if (shape)
		return take_shape(t, s, op, rev);
	return batch ? take_batch(t, s, &op->batch) : 0;
}

static int take_write(void *arg, const struct wal_report *wal, const struct wal_volume_row *row,
                      const struct wal_record *r)
{
	struct tail *t = arg;
	struct wal_op op;
	if (!tail_lost(t, wal, row, r->rev))
		return 0;
	int seen = tail_seen(t, r->rev);
	t->rc = seen < 0 ? seen : 0;
	for (const uint8_t *at = NULL; !seen && !t->rc && (at = wal_op_next(r, at, &op)) != NULL;)
		t->rc = take_op(t, &op, r->rev);
	return t->rc ? 1 : 0;
}

/* What the volume has of them now. */
static void meet(struct tail *t)
{
	struct volume *v = volume_enter(t->volume);
	struct tail_stream *ts;
	if (!v)
		return;
	pthread_mutex_lock(&v->lock);
	for (uint32_t at = 0; (ts = map_next(&t->streams, &at)) != NULL;) {
		struct stream *s = volume_stream_live(v, ts->id);
		ts->live = s && !s->deleting;
		ts->back = ts->made && !ts->deleted && !ts->live;
		if (!ts->back)
			t->out->n_left += ts->n_shape;
		if (!ts->live)
			continue;
		ts->start = s->start;
		ts->stored = s->stored;
		stream_limits(s, &ts->limits);
		uint32_t len = s->name_len < sizeof ts->row.name ? s->name_len
		                                                 : sizeof ts->row.name - 1;
		memset(ts->row.name, 0, sizeof ts->row.name);
		memcpy(ts->row.name, s->name, len);
	}
	pthread_mutex_unlock(&v->lock);
	volume_leave(t->volume);
}

/* Of a directory that is in use: only what its engine leaves alone. */
static int check_fenced(struct tail *t, const struct wal_report *wal)
{
	for (uint32_t i = 0; i < wal->n_row && t->opts->in_use; i++) {
		const struct wal_volume_row *row = &wal->row[i];
		if (!memcmp(row->id, t->volume_id, 16) && !(row->flags & WAL_VOLUME_FENCED))
			return fail(
			        t->err, FIRN_EBUSY, 0, "salvage",
			        "%s: its engine runs and does not know yet that it was replaced",
			        t->opts->wal_dir);
	}
	return 0;
}

/* Writes that this entry gave up and that lie before others that were found. */
static uint64_t missing(const struct tail *t, const struct lost_entry *l)
{
	uint64_t next = l->rev_stored + 1, n = 0;
	for (size_t i = 0; i < t->n_span; i++) {
		const struct tail_span *s = &t->span[i];
		if (s->from < next || s->from - l->rev_stored > l->rev_skip)
			continue;
		n += s->from - next;
		next = s->to;
	}
	return n;
}

/* Only entries that mean this WAL stay; how much of what they gave up was found. */
static int check_found(struct tail *t, const struct wal_report *wal)
{
	struct salvage_report *out = t->out;
	for (uint32_t i = 0; i < t->n_lost; i++) {
		if (!means(&t->lost[i], wal))
			continue;
		out->n_missing += missing(t, &t->lost[i]);
		t->lost[out->n_lost++] = t->lost[i];
	}
	t->n_lost = out->n_lost;
	t->in_order = !out->n_missing && !wal->n_aside;
	if (t->n_span) {
		out->rev_first = t->span[0].from;
		out->rev_last = t->span[t->n_span - 1].to - 1;
	}
	if (out->n_lost)
		return 0;
	return fail(t->err, FIRN_ENOENT, 0, "salvage",
	            "%s: nothing of this WAL was given up of the volume", t->opts->wal_dir);
}

static int any_file(void *arg, const char *name)
{
	(void)arg;
	(void)name;
	return 0;
}

/* What an engine with its log in a store has instead. */
static bool has_copy(const struct salvage_opts *o)
{
	char path[4200];
	(void)snprintf(path, sizeof path, "%s-copy", o->wal_dir);
	return !o->env->files->list(o->env->ctx, path, any_file, NULL);
}

int tail_survey(struct tail *t)
{
	struct wal_report wal;
	int rc = wal_read(t->opts->env, t->opts->wal_dir, &wal, take_write, t, t->err);
	if (rc > 0)
		rc = fail(t->err, t->rc, 0, "salvage", "no memory");
	if ((rc == FIRN_EIO || rc == FIRN_ENOENT) && t->opts->in_use)
		rc = fail_context(t->err, t->err->code = FIRN_EBUSY,
		                  "its engine runs, and moved something: try again");
	if (rc == FIRN_ENOENT && has_copy(t->opts))
		rc = fail(
		        t->err, FIRN_EUNSUPPORTED, 0, "salvage",
		        "%s-copy: its engine had its log in a store (wal=store:), and directories alone are "
		        "read. What was given up stays there, below .firn-wal/",
		        t->opts->wal_dir);
	if (!rc && wal.n_problems) {
		(void)snprintf(t->out->damage, sizeof t->out->damage, "%s", t->err->text);
		t->err->code = 0;
	}
	rc = rc ? rc : check_fenced(t, &wal);
	rc = rc ? rc : check_found(t, &wal);
	wal_report_fini(&wal);
	if (!rc)
		meet(t);
	return rc;
}
