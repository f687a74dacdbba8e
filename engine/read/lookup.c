/* Look-ups: by time, by the largest time, by writer. Each is one blocking piece of work on a
 * loader.
 *
 *   [start ........ stored)  [tail .......... visible)
 *      extents of the index     groups of the WAL
 *
 * The tail is listed first, under the lock, then the index is asked: a commit in between moves
 * batches from one to the other, but never out of both; what is met twice is met at the same
 * offset. If a group is gone when it is wanted, everything is looked up anew. */
#include "engine/read/read.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/upload/follow.h"
#include "engine/upload/upload.h"
#include <inttypes.h>

enum { LOOKUP_TRIES = 4, OLD_PLACES = 32 };

struct lookup {
	struct work work; /* first */
	struct completion to;
	uint64_t stream, deadline_ns;
	int64_t value;
	uint32_t by, _pad;
	/* of one try */
	struct volume *v;
	struct engine *e;
	uint64_t start, stored, visible;
	uint64_t old, old_end; /* [old, old_end): in the WAL, no longer in the list ... */
	uint64_t old_lsn;      /* ... and not before this */
	struct tail_entry *tail;
	uint32_t n_tail, _pad2;
	uint64_t cut;
	bool missed;      /* an object was gone: the manifest was asked for once */
	bool found, over; /* over: no later batch can be the answer */
	bool moved;       /* a block, between index and store */
	struct batch best;
};

/* ---- what is asked of each batch, in offset order ---- */

static void lookup_see(struct lookup *l, const struct batch *b)
{
	uint64_t end = b->offset + b->n_offsets;
	if (l->over || end <= l->start || end > l->visible)
		return;
	if (l->found && b->offset <= l->best.offset)
		return; /* met in the index and in the tail */
	bool take = false;
	switch (l->by) {
	case FIRN_BY_TIMESTAMP:
		take = l->over = b->timestamp_ms >= l->value;
		break;
	case FIRN_BY_MAX_TIMESTAMP:
		take = !l->found || b->timestamp_ms > l->best.timestamp_ms;
		break;
	default:
		take = b->epoch <= (uint64_t)l->value;
		l->over = !take;
		break;
	}
	if (take) {
		l->best = *b;
		l->found = true;
	}
}

/* ---- what is stored ---- */

static int block_see(struct lookup *l, const struct index_extent *x, struct firn_error *err)
{
	struct blob *frame = NULL;
	struct block block;
	struct batch b;
	int rc = load_frame(l->e, l->v, x, &frame, err);
	if (rc == 0)
		rc = stored_block(l->v, x, frame, &block, err);
	l->moved = rc == FIRN_ECORRUPT && stored_moved(l->e, l->v, x);
	for (uint64_t at = 0; rc == 0 && !l->over && (at = block_next(&block, at, &b)) != 0;)
		lookup_see(l, &b);
	blob_release(frame);
	return rc;
}

/* Blocks whose largest time reaches `value`, in order, until one batch does. */
static int stored_by_time(struct lookup *l, struct firn_error *err)
{
	uint64_t from = l->start;
	struct index_extent x = { 0 };
	int rc = 0;
	while (rc == 0 && !l->over && from < l->visible) {
		rc = index_extent_by_time(l->e->index, l->v->index_no, l->stream, from, l->value,
		                          &x, err);
		if (rc == 0)
			rc = block_see(l, &x, err);
		from = x.block.next;
	}
	return rc == FIRN_ENOENT ? 0 : rc;
}

/* Only blocks that can hold a larger time than the best so far are opened. */
static int stored_by_max(struct lookup *l, struct firn_error *err)
{
	uint64_t from = l->start;
	struct index_extent x = { 0 };
	int rc = 0;
	while (rc == 0 && from < l->visible) {
		int64_t above = l->found ? l->best.timestamp_ms + 1 : INT64_MIN;
		if (l->found && l->best.timestamp_ms == INT64_MAX)
			break;
		rc = index_extent_by_time(l->e->index, l->v->index_no, l->stream, from, above, &x,
		                          err);
		if (rc == 0)
			rc = block_see(l, &x, err);
		from = x.block.next;
	}
	return rc == FIRN_ENOENT ? 0 : rc;
}

/* Writers' epochs rise with the offset: bisection over blocks. */
static int stored_by_epoch(struct lookup *l, struct firn_error *err)
{
	uint64_t lo = l->start, hi = l->visible;
	struct index_extent x;
	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;
		int rc = index_extent_find(l->e->index, l->v->index_no, l->stream, mid, &x, err);
		if (rc == FIRN_ENOENT) {
			hi = mid;
			continue;
		}
		if (rc == 0 && x.block.base >= hi) { /* nothing between */
			hi = mid;
			continue;
		}
		l->over = false;
		if (rc == 0)
			rc = block_see(l, &x, err);
		if (rc)
			return rc;
		if (l->over)
			hi = x.block.base < mid ? x.block.base : mid;
		else
			lo = x.block.next;
	}
	return 0;
}

static int stored_see(struct lookup *l, struct firn_error *err)
{
	if (l->by == FIRN_BY_TIMESTAMP)
		return stored_by_time(l, err);
	return l->by == FIRN_BY_MAX_TIMESTAMP ? stored_by_max(l, err) : stored_by_epoch(l, err);
}

/* ---- what is in the WAL ---- */

static int group_see(struct lookup *l, const struct tail_entry *t, const uint8_t *group)
{
	struct group_ops g = { .env = &l->e->account->env };
	struct wal_op op;
	int rc = group_ops_find(&g, group, t->last_op, l->start);
	for (size_t i = g.n; rc == 0 && !l->over && i-- > 0;) {
		wal_op_at(group, g.pos[i], &op);
		lookup_see(l, &op.batch);
	}
	mem_free(g.env, g.pos);
	return rc;
}

/* Stored meanwhile: its file may have gone, and the index was asked before. */
static bool stored_past(struct lookup *l, uint64_t offset)
{
	pthread_mutex_lock(&l->v->lock);
	struct stream *s = volume_stream_live(l->v, l->stream);
	bool is = s && stream_mark(s, FIRN_MARK_STORED) > offset;
	pthread_mutex_unlock(&l->v->lock);
	return is;
}

/* What has left the list: places by the WAL's directories. One that begins above what is wanted is a gap of the
 * stream, or the next that is left of those that were stored. */
static int old_see(struct lookup *l, struct firn_error *err)
{
	struct wal_query q = { .volume_no = l->v->volume_no,
		               .stream = l->stream,
		               .from = l->old,
		               .hint = l->old_lsn };
	struct wal_place p[OLD_PLACES];
	uint32_t n = 1, tries = 0;
	int rc = 0;
	while (!rc && n && !l->over && q.from < l->old_end) {
		bool gone = false;
		rc = wal_find(&l->e->wal, &q, p, OLD_PLACES, &n, err);
		for (uint32_t i = 0; i < n && !rc && !gone && !l->over; i++) {
			if (p[i].base > q.from && stored_past(l, q.from))
				return fail(err, FIRN_EAGAIN, 0, "read",
				            "offset %" PRIu64 " was stored meanwhile", q.from);
			if (p[i].base >= l->old_end)
				break;
			struct tail_entry t = { p[i].base, p[i].lsn, p[i].op, p[i].len };
			struct blob *blob = NULL;
			rc = load_group(l->e, t.lsn, t.len, &blob, err);
			gone = rc && !wal_has_file(&l->e->wal, t.lsn) && tries++ < 3;
			if (gone)
				rc = 0; /* moved aside since: look again */
			else if (!rc)
				rc = group_see(l, &t, blob->data);
			if (!gone)
				q.from = p[i].end;
			blob_release(blob);
		}
		if (n && !gone)
			q.from = p[n - 1].end;
		q.hint = n && !gone ? p[n - 1].lsn : 0;
	}
	if (!rc && !n && q.from < l->old_end)
		rc = fail(err, FIRN_ECORRUPT, 0, "read",
		          "offset %" PRIu64 " is not in the WAL, and it is not stored", q.from);
	return rc;
}

/* The list is a copy; what one of its entries meant has been moved aside since. */
static int moved_see(struct lookup *l, uint32_t i, struct firn_error *err)
{
	l->old = l->tail[i].base;
	l->old_end = i + 1 < l->n_tail ? l->tail[i + 1].base : l->visible;
	return old_see(l, err);
}

static int tail_see(struct lookup *l, struct firn_error *err)
{
	int rc = l->old < l->old_end ? old_see(l, err) : 0;
	for (uint32_t i = 0; i < l->n_tail && rc == 0 && !l->over; i++) {
		struct wal_view view;
		struct blob *blob = NULL;
		if (l->tail[i].base >= l->visible)
			break;
		if (wal_view_tail(&l->e->wal, l->tail[i].lsn, &view) == 0) {
			rc = group_see(l, &l->tail[i], view.group);
			wal_chunk_release(view.chunk);
			continue;
		}
		rc = load_group(l->e, l->tail[i].lsn, l->tail[i].len, &blob, err);
		if (rc == 0)
			rc = group_see(l, &l->tail[i], blob->data);
		else if (!wal_has_file(&l->e->wal, l->tail[i].lsn))
			rc = moved_see(l, i, err);
		blob_release(blob);
	}
	return rc;
}

/* ---- one look-up ---- */

static int tail_list(struct lookup *l, const struct stream *s)
{
	uint32_t n = s->tail_n;
	l->tail = n ? mem_alloc(&l->e->account->env, n * sizeof *l->tail) : NULL;
	if (n && !l->tail)
		return FIRN_ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		l->tail[i] = *stream_tail_at(s, i);
	l->n_tail = n;
	l->old = l->old_end = 0;
	if (s->tail_old) {
		l->old = stream_mark(s, FIRN_MARK_STORED);
		l->old_lsn = volume_oldest_lsn(l->v);
		l->old_end = n ? l->tail[0].base : s->durable;
	}
	return 0;
}

static int lookup_begin(struct lookup *l, struct firn_error *err)
{
	int rc = 0;
	l->found = l->over = false;
	l->n_tail = 0;
	l->tail = NULL;
	pthread_mutex_lock(&l->v->lock);
	l->cut = l->v->cut;
	struct stream *s = volume_stream_live(l->v, l->stream);
	if (s) {
		l->start = s->start;
		l->stored = stream_mark(s, FIRN_MARK_STORED);
		l->visible = stream_mark(s, FIRN_MARK_VISIBLE);
		rc = tail_list(l, s);
	}
	pthread_mutex_unlock(&l->v->lock);
	if (!s)
		return fail(err, FIRN_ENOENT, 0, "read", "no stream %" PRIu64, l->stream);
	return rc ? fail(err, rc, 0, "read", "no memory for a look-up") : 0;
}

/* Has a commit taken a group of the list away meanwhile? */
static bool lookup_stale(struct lookup *l)
{
	if (l->old < l->old_end)
		return stored_past(l, l->old);
	bool stale = true;
	pthread_mutex_lock(&l->v->lock);
	struct stream *s = volume_stream_live(l->v, l->stream);
	if (!s)
		stale = false;
	else if (l->n_tail == 0 || (s->tail_n && stream_tail_at(s, 0)->lsn == l->tail[0].lsn))
		stale = s->tail_old && l->n_tail; /* its groups left the list, not the WAL */
	pthread_mutex_unlock(&l->v->lock);
	return stale;
}

/* Of a volume that follows its writer: true if the cut has moved on since the try began, or does so for an object that is
 * gone. */
static bool lookup_turned(struct lookup *l, int *rc, struct firn_error *err)
{
	uint64_t cut;
	if (!l->v->follow) {
		if (*rc && !l->moved && err->flags & FIRN_ERR_DATA_LOSS)
			*rc = writer_missed(l->v, err);
		return false;
	}
	bool between = follow_between(l->v, &cut);
	if (cut != l->cut)
		return true;
	if (between && *rc)
		*rc = fail(err, FIRN_ESTORE, 0, "read", "the next cut is not whole yet");
	if (between || !*rc || !(err->flags & FIRN_ERR_DATA_LOSS) || l->missed)
		return false;
	l->missed = true;
	return !follow_again(l->v);
}

/* What is above stored belongs to another writer, and its groups go one by one: none of them is an answer. */
static bool lookup_fenced(struct lookup *l)
{
	pthread_mutex_lock(&l->v->lock);
	bool is = l->v->state == FIRN_STATE_FENCED && l->visible > l->stored;
	pthread_mutex_unlock(&l->v->lock);
	return is;
}

static int lookup_try(struct lookup *l, bool *stream_there, bool *again, struct firn_error *err)
{
	int rc = lookup_begin(l, err);
	*again = false;
	l->moved = false;
	*stream_there = rc != FIRN_ENOENT;
	if (rc == 0)
		rc = stored_see(l, err);
	*again = rc && l->moved;
	if (rc == 0) {
		if (l->by == FIRN_BY_EPOCH && l->found)
			l->over = false;
		bool answered = l->over;
		rc = answered ? 0 : tail_see(l, err);
		*again = rc && lookup_stale(l);
		if (!answered && lookup_fenced(l)) {
			*again = false;
			rc = fail(err, FIRN_EFENCED, 0, "read",
			          "what may be the answer belongs to another writer now");
		}
	}
	mem_free(&l->e->account->env, l->tail);
	l->tail = NULL;
	if (rc == 0 && !l->found)
		rc = fail(err, FIRN_ENOENT, 0, "read", "no such batch");
	*again = lookup_turned(l, &rc, err) || *again;
	return rc;
}

static void lookup_event(const struct lookup *l, struct firn_event *ev)
{
	*ev = (struct firn_event){
		.stream = l->stream,
		.offset = l->best.offset,
		.end = l->best.offset + l->best.n_offsets,
		.timestamp_ms = l->best.timestamp_ms,
		.rev = l->best.rev,
	};
}

/* "No such batch" names the stream. */
static void lookup_fail(struct engine *e, struct lookup *l, bool stream_there,
                        const struct firn_error *err)
{
	if (err->code != FIRN_ENOENT || !stream_there) {
		complete_error(e, &l->to, err);
		return;
	}
	struct firn_event ev = { .code = err->code, .stream = l->stream };
	ev.result = result_error(e->account, err);
	if (l->to.call)
		call_error(l->to.call, err);
	complete(&l->to, &ev);
}

static void lookup_free(struct engine *e, struct lookup *l)
{
	mem_free(&e->account->env, l);
}

static void lookup_run(struct engine *e, struct work *w)
{
	struct lookup *l = (struct lookup *)w;
	struct firn_error err = FIRN_ERROR_INIT;
	bool there = false, again = true;
	int rc = 0;
	l->v = w->volume;
	l->e = e;
	if (read_now(e) >= l->deadline_ns)
		rc = fail(&err, FIRN_ETIMEDOUT, 0, "read", "time ran out before the look-up began");
	for (int i = 0; i < LOOKUP_TRIES && rc != FIRN_ETIMEDOUT && again; i++)
		rc = lookup_try(l, &there, &again, &err);
	queue_work_done(e, w);
	if (w->cancelled)
		rc = fail(&err, FIRN_ECANCELED, 0, "read", "cancelled");
	if (rc) {
		lookup_fail(e, l, there && !w->cancelled, &err);
	} else {
		struct firn_event ev;
		lookup_event(l, &ev);
		complete(&l->to, &ev);
	}
	lookup_free(e, l);
}

static void lookup_drop(struct engine *e, struct work *w)
{
	struct lookup *l = (struct lookup *)w;
	struct firn_error err = FIRN_ERROR_INIT;
	fail(&err, FIRN_ECANCELED, 0, "read", "cancelled");
	complete_error(e, &l->to, &err);
	lookup_free(e, l);
}

static int lookup_check(struct engine *e, const struct firn_lookup *f, struct volume **v,
                        struct firn_error *err)
{
	*v = NULL;
	if (!f->volume || f->_pad)
		return fail(err, FIRN_EINVAL, 0, "read",
		            "look-up without a volume, or padding that is not zero");
	if (f->by > FIRN_BY_EPOCH || f->req.flags)
		return fail(err, FIRN_EUNSUPPORTED, 0, "read", "no such look-up: by %u, flags 0x%x",
		            f->by, (unsigned)f->req.flags);
	if (f->by == FIRN_BY_EPOCH && f->value < 0)
		return fail(err, FIRN_EINVAL, 0, "read", "epoch below zero");
	*v = volume_of(f->volume);
	if (!*v)
		return fail(err, FIRN_ESHUTDOWN, 0, "read", "the volume is detached");
	return f->volume->engine == e
	               ? 0
	               : fail(err, FIRN_EINVAL, 0, "read", "the volume is another engine's");
}

int read_submit_lookup(struct engine *e, const struct firn_lookup *f, const struct completion *to,
                       struct firn_error *err)
{
	struct volume *v;
	int rc = lookup_check(e, f, &v, err);
	if (rc)
		return rc;
	struct lookup *l = mem_zalloc(&e->account->env, sizeof *l);
	if (!l)
		return fail(err, FIRN_ENOMEM, 0, "read", "no memory for a look-up");
	uint32_t timeout = f->req.timeout_ms ? f->req.timeout_ms : to->call ? 30000 : FIRN_FOREVER;
	l->work = (struct work){ .volume = v,
		                 .run = lookup_run,
		                 .drop = lookup_drop,
		                 .cq = completion_name(to),
		                 .user_data = to->user_data,
		                 .lookup = true };
	l->to = *to;
	l->stream = f->stream;
	l->value = f->value;
	l->by = f->by;
	l->deadline_ns = timeout == FIRN_FOREVER ? READ_NEVER
	                                         : read_now(e) + (uint64_t)timeout * 1000000;
	if (queue_work_volume(e, &l->work, f->volume))
		return 0;
	lookup_free(e, l);
	return fail(err, FIRN_ESHUTDOWN, 0, "read", "the volume is detached");
}
