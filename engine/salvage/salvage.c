/* Putting a tail back, see salvage.h: the second look decides batch by batch. */
#include "engine/salvage/salvage.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/salvage/tail.h"
#include <stdlib.h>
#include <string.h>

static int flush_stored(struct tail *t)
{
	struct firn_flush f = FIRN_FLUSH_INIT;
	struct firn_event ev = { 0 };
	f.req.timeout_ms = FIRN_FOREVER;
	f.volume = t->volume;
	f.mark = FIRN_MARK_STORED;
	int rc = firn_engine_call(t->engine, &f.req, &ev, t->err);
	firn_release(ev.result);
	return rc;
}

static void count(struct salvage_count *c, const struct batch *b)
{
	c->batches++;
	c->records += b->n_offsets;
	c->bytes += b->payload_len;
}

/* By the settled index: what this run put back is met a second time by no rev, what an earlier one did is stored. */
static int room(struct tail *t, const struct batch *b, enum salvage_fate *fate)
{
	struct volume *v = volume_enter(t->volume);
	if (!v)
		return fail(t->err, FIRN_ESHUTDOWN, 0, "salvage", "the volume is detached");
	int rc = index_lost_room(v->engine->index, v->index_no, b->stream, b->offset,
	                         b->offset + b->n_offsets, NULL, t->err);
	volume_leave(t->volume);
	*fate = rc == FIRN_EEXIST   ? SALVAGE_THERE
	        : rc == FIRN_ENOENT ? SALVAGE_ELSEWHERE
	                            : SALVAGE_PUT;
	return rc == FIRN_EEXIST || rc == FIRN_ENOENT ? 0 : rc;
}

/* Of a stream that comes back, or came back before: by what it has there. */
static enum salvage_fate judge_made(const struct tail_stream *ts, const struct batch *b, bool there)
{
	if (there)
		return SALVAGE_THERE;
	if (!ts->row.back || b->offset >= ts->back_next)
		return SALVAGE_PUT;
	return b->offset + b->n_offsets <= ts->back_start ? SALVAGE_TRIMMED : SALVAGE_ELSEWHERE;
}

static int judge(struct tail *t, const struct tail_stream *ts, const struct batch *b, bool there,
                 enum salvage_fate *fate)
{
	uint64_t end = b->offset + b->n_offsets;
	if (ts->deleted || end <= ts->trim)
		*fate = SALVAGE_UNWANTED;
	else if (ts->back)
		*fate = judge_made(ts, b, there);
	else if (!ts->live)
		*fate = t->out->n_missing ? SALVAGE_UNKNOWN : SALVAGE_TRIMMED;
	else if (end <= ts->start)
		*fate = SALVAGE_TRIMMED;
	else if (tail_was_sent_again(t, ts, b))
		*fate = SALVAGE_AGAIN;
	else
		return room(t, b, fate);
	return 0;
}

static int fill(struct tail *t, const struct batch *b)
{
	struct volume *v = volume_enter(t->volume);
	if (!v)
		return fail(t->err, FIRN_ESHUTDOWN, 0, "salvage", "the volume is detached");
	int rc = admit_fill(v, b, t->err);
	volume_leave(t->volume);
	return rc;
}

static int put(struct tail *t, struct tail_stream *ts, const struct batch *b)
{
	int rc;
	do {
		rc = ts->back ? tail_made_put(t, ts, b) : fill(t, b);
		if (rc == FIRN_EFULL) {
			int flushed = flush_stored(t);
			if (flushed)
				return flushed;
		}
	} while (rc == FIRN_EFULL);
	return rc;
}

static int take_batch(struct tail *t, struct tail_stream *ts, const struct batch *from)
{
	struct batch b = *from;
	enum salvage_fate fate = SALVAGE_PUT;
	const struct tail_made *m = ts->back ? tail_made_turn(t, ts, from) : NULL;
	if (ts->back && !m) {
		t->n_waiting += tail_made_waits(t, ts, from);
		return 0;
	}
	ts->turn += m != NULL;
	int rc = judge(t, ts, &b, m && m->there, &fate);
	/* What was skipped on purpose is told as that only next to what stood before it. */
	if (ts->holes || !t->in_order)
		b.flags &= (uint16_t)~BATCH_SKIPPED_BEFORE;
	ts->holes = fate != SALVAGE_PUT && fate != SALVAGE_THERE;
	if (!rc && fate == SALVAGE_PUT && !t->opts->dry_run)
		rc = put(t, ts, &b);
	if (rc)
		return rc;
	if (ts->back && !ts->holes) {
		ts->row.from = ts->row.to ? ts->row.from : b.offset;
		ts->row.to = b.offset + b.n_offsets;
	}
	count(&ts->row.of[fate], &b);
	count(&t->out->of[fate], &b);
	return 0;
}

static int take_write(void *arg, const struct wal_report *wal, const struct wal_volume_row *row,
                      const struct wal_record *r)
{
	struct tail *t = arg;
	struct wal_op op;
	if (!tail_lost(t, wal, row, r->rev))
		return 0;
	int seen = tail_seen(t, r->rev);
	t->rc = seen < 0 ? fail(t->err, seen, 0, "salvage", "no memory") : 0;
	for (const uint8_t *at = NULL; !seen && !t->rc && (at = wal_op_next(r, at, &op)) != NULL;) {
		struct tail_stream *ts = wal_op_has_batch(op.kind) ? tail_stream(t, op.stream)
		                                                   : NULL;
		if (ts && (ts->back || !t->again))
			t->rc = take_batch(t, ts, &op.batch);
		else if (ts)
			continue;
		else if (wal_op_has_batch(op.kind))
			t->rc = fail(t->err, FIRN_ENOMEM, 0, "salvage", "no memory");
	}
	if (t->opts->progress)
		t->opts->progress(t->opts->arg, t->out);
	return t->rc ? 1 : 0;
}

static int read_once(struct tail *t)
{
	struct wal_report wal;
	t->n_span = 0;
	t->n_waiting = 0;
	int rc = wal_read(t->opts->env, t->opts->wal_dir, &wal, take_write, t, t->err);
	wal_report_fini(&wal);
	if (rc > 0)
		rc = t->rc;
	if (!rc)
		t->err->code = 0;
	t->again = true;
	return rc;
}

/* Those of which no batch is wanted: by their names. */
static int put_empty(struct tail *t)
{
	struct tail_stream *ts;
	int rc = 0;
	for (uint32_t at = 0; !rc && (ts = map_next(&t->streams, &at)) != NULL;)
		if (ts->back && !ts->row.back && ts->row.back_name[0])
			rc = put(t, ts, NULL);
	return rc;
}

static bool all_had_their_turn(const struct tail *t)
{
	const struct tail_stream *ts;
	for (uint32_t at = 0; (ts = map_next(&t->streams, &at)) != NULL;)
		if (ts->turn < ts->turn_end)
			return false;
	return true;
}

/* A stream that comes back is written in order, and what was moved aside comes late in the directory: it is read until there is
 * no batch whose turn is to come. */
static int put_back(struct tail *t)
{
	uint64_t before = UINT64_MAX;
	int rc = read_once(t);
	while (!rc && t->n_waiting && t->n_waiting < before) {
		before = t->n_waiting;
		rc = read_once(t);
	}
	if (!rc && (t->n_waiting || !all_had_their_turn(t)))
		rc = fail(t->err, FIRN_EBUSY, 0, "salvage",
		          "%s changed while it was read: try again", t->opts->wal_dir);
	if (rc || t->opts->dry_run)
		return rc;
	rc = put_empty(t);
	return rc ? rc : flush_stored(t);
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = ((const struct salvage_stream *)a)->id,
	         y = ((const struct salvage_stream *)b)->id;
	return x < y ? -1 : x > y;
}

/* Rows of the streams that have batches. */
static int rows(struct tail *t)
{
	struct salvage_report *out = t->out;
	struct tail_stream *ts;
	out->stream = mem_zalloc(t->env, (t->streams.n + 1u) * sizeof *out->stream);
	if (!out->stream)
		return fail(t->err, FIRN_ENOMEM, 0, "salvage", "no memory");
	for (uint32_t at = 0; (ts = map_next(&t->streams, &at)) != NULL;) {
		uint64_t n = 0;
		for (int f = 0; f < SALVAGE_FATES; f++)
			n += ts->row.of[f].batches;
		if (n || ts->row.back_name[0])
			out->stream[out->n_stream++] = ts->row;
	}
	if (out->n_stream)
		qsort(out->stream, out->n_stream, sizeof *out->stream, by_id);
	return 0;
}

static int begin(struct tail *t)
{
	struct volume *v = volume_enter(t->volume);
	if (!v)
		return fail(t->err, FIRN_ESHUTDOWN, 0, "salvage", "the volume is detached");
	int rc = 0;
	pthread_mutex_lock(&v->lock);
	memcpy(t->volume_id, v->id, 16);
	t->n_lost = v->manifest.n_lost;
	if (t->n_lost)
		t->lost = mem_dup(t->env, v->manifest.lost, t->n_lost * sizeof *t->lost);
	if (t->n_lost && !t->lost)
		rc = fail(t->err, FIRN_ENOMEM, 0, "salvage", "no memory");
	else if (!t->n_lost)
		rc = fail(t->err, FIRN_ENOENT, 0, "salvage", "%s: nothing of it was given up",
		          v->name);
	pthread_mutex_unlock(&v->lock);
	volume_leave(t->volume);
	return rc;
}

static void end(struct tail *t)
{
	struct tail_stream *ts;
	for (uint32_t at = 0; (ts = map_next(&t->streams, &at)) != NULL;) {
		mem_free(t->env, ts->config);
		mem_free(t->env, ts);
	}
	map_fini(&t->streams);
	mem_free(t->env, t->lost);
	mem_free(t->env, t->sent);
	mem_free(t->env, t->key);
	mem_free(t->env, t->made);
	mem_free(t->env, t->span);
}

int salvage_run(struct firn_engine *engine, struct firn_volume *volume,
                const struct salvage_opts *opts, struct salvage_report *out, struct firn_error *err)
{
	struct firn_error ignored = FIRN_ERROR_INIT;
	struct tail t = { .env = engine_of(engine)->env,
		          .engine = engine,
		          .volume = volume,
		          .opts = opts,
		          .out = out,
		          .err = err ? err : &ignored };
	memset(out, 0, sizeof *out);
	out->env = t.env;
	map_init(&t.streams, t.env);
	int rc = begin(&t);
	/* What an earlier run left in this WAL is in the index then. */
	if (!rc && !opts->dry_run)
		rc = flush_stored(&t);
	rc = rc ? rc : tail_survey(&t);
	rc = rc ? rc : tail_again(&t);
	rc = rc ? rc : tail_made_place(&t);
	rc = rc ? rc : put_back(&t);
	int told = rows(&t);
	end(&t);
	return rc ? rc : told;
}

void salvage_report_fini(struct salvage_report *r)
{
	if (r->env)
		mem_free(r->env, r->stream);
	r->stream = NULL;
	r->n_stream = 0;
}
