/* Bringing what an item needs into memory: frames from the store (frames.c), groups from the WAL's
 * files. Runs on a loader.
 *
 *   item needs bytes --> load --> cache flight --> GET or WAL read --> verify --> cache
 *          |                                                            |
 *          |               item lands: cursor or code, ready again <----+
 *          +--> a read-ahead of its own brings them: waits for that ----+
 *
 * One flight per block: who finds one under way waits for it here, owning none. What can fail:
 * store, disk, verification; the item tells it in its part, and the next fetch tries again. */
#include "engine/read/load.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/upload/follow.h"
#include "engine/upload/upload.h"
#include <inttypes.h>
#include <stdio.h>

/* ---- one group ---- */

static void chunk_done(void *chunk)
{
	wal_chunk_release(chunk);
}

static struct blob *group_read(struct engine *e, uint64_t lsn, uint32_t len, struct firn_error *err)
{
	struct wal_view view = { 0 };
	int rc = wal_view_load(&e->wal, lsn, len, &view, err);
	if (rc) {
		if (rc == FIRN_ENOENT) /* its file went */
			fail(err, FIRN_EIO, 0, "read", "WAL group %" PRIx64 " is not there", lsn);
		err->code = err->code ? err->code : rc;
		return NULL;
	}
	struct blob *b = blob_wrap(e->account, view.group, view.used, view.chunk->cap, view.chunk,
	                           chunk_done);
	if (!b) {
		wal_chunk_release(view.chunk);
		fail(err, FIRN_ENOMEM, 0, "read", "no memory for a group");
	}
	return b;
}

int load_group(struct engine *e, uint64_t lsn, uint32_t len, struct blob **out,
               struct firn_error *err)
{
	struct cache_key key = group_key(lsn);
	int rc;
	do {
		rc = cache_begin(e->cache, &key, out);
		if (rc == CACHE_BUSY)
			rc = cache_wait(e->cache, &key, out, err);
	} while (rc == FIRN_EAGAIN);
	if (rc < 0)
		return rc == FIRN_ENOMEM ? fail(err, rc, 0, "read", "no memory") : rc;
	if (rc == CACHE_HIT)
		return 0;
	struct firn_error why = FIRN_ERROR_INIT;
	*out = group_read(e, lsn, len, &why);
	if (*out) {
		cache_fill(e->cache, &key, *out);
		return 0;
	}
	cache_fail(e->cache, &key, &why);
	if (err)
		*err = why;
	return why.code;
}

/* ---- loads of items ---- */

static void load_log(struct engine *e, const struct load *l, const struct firn_error *err)
{
	char text[400];
	if (!e->env->log)
		return;
	(void)snprintf(text, sizeof text, "stream %" PRIu64 ", offset %" PRIu64 ": %s: %s",
	               l->stream, l->from, firn_code_name(err->code), err->text);
	e->env->log(e->env->ctx, FIRN_LOG_WARN, "read", text);
}

void load_free(struct load *l)
{
	struct account *a = l->reader->account;
	struct firn_reader *r = l->reader;
	account_retain(a);
	item_release(l->item);
	reader_release(r);
	mem_free(&a->env, l);
	account_release(a);
}

/* The item is ready again, with what came. The cursor goes over to it. */
static void load_land(struct load *l, struct cursor *c, int rc)
{
	struct firn_reader *r = l->reader;
	struct reader_item *it = l->item;
	pthread_mutex_lock(&r->lock);
	r->n_load--;
	if (r->cold.first)
		item_unfreeze(r->cold.first, true);
	if (it->load == l) {
		struct cursor *old = it->landed;
		it->landed = c;
		it->landed_rc = rc;
		c = old;
		item_to_ready(it, true);
	}
	if (r->waiting && r->ready.first)
		queue_run(r);
	pthread_mutex_unlock(&r->lock);
	cursor_free(r, c);
}

/* A WAL file may go while it is read, once a commit has made its groups superfluous: then the
 * item looks again and finds the index. Else the failure is real. */
static int group_still_wanted(struct load *l)
{
	struct volume *v = l->work.volume;
	int wanted = 0;
	pthread_mutex_lock(&v->lock);
	struct stream *s = volume_stream_live(v, l->stream);
	for (uint32_t i = 0; s && i < s->tail_n && !wanted; i++)
		wanted = stream_tail_at(s, i)->lsn == l->want.lsn;
	pthread_mutex_unlock(&v->lock);
	return wanted;
}

/* The list does not have the offset, and neither is it stored: then its group must be in the WAL. */
static bool still_old(struct load *l)
{
	struct volume *v = l->work.volume;
	pthread_mutex_lock(&v->lock);
	struct stream *s = volume_stream_live(v, l->stream);
	bool old = s && s->tail_old && l->from >= stream_mark(s, FIRN_MARK_STORED) &&
	           l->from < (s->tail_n ? stream_tail_at(s, 0)->base : s->durable);
	pthread_mutex_unlock(&v->lock);
	return old;
}

/* Nothing un-stored lies before. What does may be of the same offsets: of a writer that was fenced, whose
 * un-stored writes the volume went on without. */
static uint64_t hint_of(struct volume *v, uint64_t lsn)
{
	pthread_mutex_lock(&v->lock);
	uint64_t oldest = volume_oldest_lsn(v);
	pthread_mutex_unlock(&v->lock);
	return wal_order(oldest) > wal_order(lsn) ? oldest : lsn;
}

/* FIRN_EAGAIN: it was stored meanwhile, look again. */
static int find_load(struct engine *e, struct load *l, struct cursor *c, struct firn_error *err)
{
	struct wal_query q = { .volume_no = l->work.volume->volume_no,
		               .stream = l->stream,
		               .from = l->from,
		               .hint = hint_of(l->work.volume, l->want.lsn) };
	struct wal_place p = { 0 };
	uint32_t n = 0;
	int rc, tries = 0;
	do {
		err->code = 0;
		rc = wal_find(&e->wal, &q, &p, 1, &n, err);
		rc = rc || n ? rc
		             : fail(err, FIRN_ECORRUPT, 0, "read",
		                    "the WAL has no group with it, and it is not stored");
		rc = rc ? rc : load_group(e, p.lsn, p.len, &c->blob, err);
		/* Between the two its file may have been moved aside: it is found there. */
	} while (rc && n && !wal_has_file(&e->wal, p.lsn) && tries++ < 3);
	c->lsn = p.lsn;
	c->from = l->from;
	c->end = p.end;
	c->last_op = p.op;
	return rc && !still_old(l) ? FIRN_EAGAIN : rc;
}

static int code_of_part(int code)
{
	switch (code) {
	case 0:
	case FIRN_ECORRUPT:
	case FIRN_EFENCED:
	case FIRN_EIO:
	case FIRN_ENOMEM:
	case FIRN_ESTORE:
		return code;
	default:
		return FIRN_ESTORE;
	}
}

/* The frame, and what follows it when the item reads on in order and there is memory for it. */
static int demand_load(struct engine *e, struct load *l, struct blob **out, struct firn_error *err)
{
	int rc = frame_begin(e, l->work.volume, &l->want.x, out, err);
	if (rc != CACHE_LOAD)
		return rc;
	struct run run = { .load = l, .demanded = true, .f = { .v = l->work.volume, .own = 1 } };
	frames_add(&run.f, &l->want.x);
	uint64_t one = run.f.raw, room = l->bytes > one ? held_room(e, l->bytes - one, false) : 0;
	if (room) {
		run_plan(e, &run, run.f.end, one + room);
		run_own(e, &run);
		run_note(&run);
	}
	rc = run_get(e, &run, room, out, err);
	run_fini(&run);
	return rc;
}

static int want_load(struct engine *e, struct load *l, struct cursor *c, struct firn_error *err)
{
	const struct want *w = &l->want;
	if (w->find)
		return find_load(e, l, c, err);
	if (w->lsn) {
		c->lsn = w->lsn;
		int rc = load_group(e, w->lsn, w->len, &c->blob, err);
		if (rc && !group_still_wanted(l))
			err->code = 0;
		return rc && err->code == 0 ? FIRN_EAGAIN : rc;
	}
	c->x = w->x;
	int rc = demand_load(e, l, &c->blob, err);
	if (rc == FIRN_ECORRUPT && stored_moved(e, l->work.volume, &w->x))
		return FIRN_EAGAIN;
	return rc ? rc : stored_block(l->work.volume, &w->x, c->blob, &c->block, err);
}

/* An object is gone from the store. Of a volume that follows its writer it may have left since the cut that is shown: then
 * the item looks again and finds where it is now. Of a writer's own, another may have become the writer. Under the newest
 * manifest it is damage (PROTOCOL 22). */
static int load_missed(struct engine *e, const struct load *l, struct firn_error *err)
{
	if (l->want.lsn || !(err->flags & FIRN_ERR_DATA_LOSS))
		return err->code;
	if (!l->work.volume->follow)
		return writer_missed(l->work.volume, err);
	if (follow_again(l->work.volume))
		return fail(err, FIRN_ESTORE, 0, "read",
		            "a segment is gone, and the store does not say what is in its place");
	return stored_moved(e, l->work.volume, &l->want.x) ? FIRN_EAGAIN : err->code;
}

/* Will the item find it without a cursor? */
static bool load_cached(struct engine *e, const struct load *l)
{
	if (l->want.find)
		return false;
	struct cache_key key = l->want.lsn ? group_key(l->want.lsn)
	                                   : frame_key(l->work.volume, &l->want.x);
	return cache_has(e->cache, &key);
}

/* After a turn it is another one's. */
static void load_end(struct load *l)
{
	struct firn_reader *r = l->reader;
	if (l->bytes)
		turn_end(r);
	load_free(l);
}

static void load_run(struct engine *e, struct work *w)
{
	struct load *l = (struct load *)w;
	struct firn_error err = FIRN_ERROR_INIT;
	struct cursor *c = mem_zalloc(&l->reader->account->env, sizeof *c);
	int rc = c ? want_load(e, l, c, &err)
	           : fail(&err, FIRN_ENOMEM, 0, "read", "no memory for a cursor");
	if (rc && rc != FIRN_EAGAIN)
		rc = load_missed(e, l, &err);
	if (rc || (cursors_full(l->reader) && load_cached(e, l))) {
		cursor_free(l->reader, c);
		c = NULL;
	} else {
		cursor_count(l->reader, c);
	}
	if (rc && rc != FIRN_EAGAIN)
		load_log(e, l, &err);
	queue_work_done(e, w);
	load_land(l, c, rc == FIRN_EAGAIN ? 0 : code_of_part(rc));
	load_end(l);
}

void load_cancel(struct load *l)
{
	load_land(l, NULL, 0);
	load_free(l);
}

static void load_drop(struct engine *e, struct work *w)
{
	(void)e;
	struct load *l = (struct load *)w;
	load_land(l, NULL, 0);
	load_end(l);
}

struct load *load_new(struct reader_item *it, struct volume *v)
{
	struct load *l = mem_zalloc(&it->reader->account->env, sizeof *l);
	if (!l)
		return NULL;
	l->work.volume = v;
	l->stream = it->stream_id;
	l->reader = it->reader;
	l->item = it;
	reader_retain(it->reader);
	item_retain(it);
	return l;
}

void load_await(struct reader_item *it, uint64_t pos, struct load *l)
{
	item_out(it);
	it->pos = pos;
	it->where = ITEM_LOADING;
	it->load = l;
	item_list_push(&it->reader->loading, it);
}

/* A read-ahead brings it: the item waits for that, which makes it ready, and no loader waits with it. */
static bool load_comes(struct reader_item *it, uint64_t pos, const struct want *want)
{
	struct firn_reader *r = it->reader;
	struct load *run = NULL; /* its own, or another item's */
	if (want->lsn || want->find)
		return false;
	pthread_mutex_lock(&r->lock);
	run = run_brings(it, want->x.block.base);
	if (run)
		load_await(it, pos, run);
	pthread_mutex_unlock(&r->lock);
	return run != NULL;
}

/* Too many under way, or others wait for that: the item is looked at again when one has landed, in its turn. So all
 * get their first frame before one gets its second, and items keep in step. */
static bool load_later(struct reader_item *it, uint64_t pos)
{
	struct firn_reader *r = it->reader;
	pthread_mutex_lock(&r->lock);
	bool later = r->n_load >= READ_LOADS || (r->cold.first && !it->load_turn);
	it->load_turn = false;
	if (later) {
		item_out(it);
		it->pos = pos;
		it->where = ITEM_COLD;
		item_list_push(&r->cold, it);
	} else {
		r->n_load++;
	}
	pthread_mutex_unlock(&r->lock);
	return later;
}

static int load_none(struct firn_reader *r)
{
	pthread_mutex_lock(&r->lock);
	r->n_load--;
	pthread_mutex_unlock(&r->lock);
	return FIRN_ENOMEM;
}

int load_want(struct reader_item *it, uint64_t pos, const struct want *want)
{
	struct firn_reader *r = it->reader;
	if (load_comes(it, pos, want))
		return 0;
	uint64_t bytes = want->lsn || want->find ? 0 : ahead_demand(it, &want->x);
	if (load_later(it, pos))
		return 0;
	struct load *l = load_new(it, it->volume);
	if (!l)
		return load_none(r);
	l->from = pos;
	l->want = *want;
	l->bytes = bytes;
	l->work.run = load_run;
	l->work.drop = load_drop;
	pthread_mutex_lock(&r->lock);
	load_await(it, pos, l);
	bool now = l->bytes == 0 || turn_take(l);
	pthread_mutex_unlock(&r->lock);
	if (now && !queue_work(r->engine, &l->work, false, NULL))
		load_drop(r->engine, &l->work);
	return 0;
}
