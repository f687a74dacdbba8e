/* One ranged GET for several items: the frames that one of them needs next, and what follows in the segment as
 * long as that is what others of its reader go on with. Items of other readers that need the same have a share.
 *
 *   segment   | stream 1: f f f f | stream 2: f f f | stream 3: f f f f f |
 *   run                 \___________________________________/
 *   shares              f f (item 1)  f f f (item 2)   f f (item 3)
 *
 *   run_plan --> run_own: flights of the cache --> run_note: the items are planned so far
 *                run_get: the GET; each share is held for its item, who waits for it is ready again
 *
 * Runs on a loader; an item's reader.lock is held for the moments in which it is touched. */
#include "engine/read/load.h"

/* ---- which frames, for whom ---- */

/* Adds what follows for an item, from offset `from` on; false: nothing of it can come with this GET. */
static bool share_plan(struct engine *e, struct run *run, struct reader_item *it, uint64_t from,
                       uint64_t limit)
{
	struct frames *f = &run->f;
	struct share *s = &run->share[run->n_share];
	bool other = run->n_share > 0;
	uint32_t had = other ? f->n : 0; /* a demanded frame is of the first share */
	uint64_t bytes = other ? f->bytes : 0;
	f->end = from;
	struct reach before = frames_reach(f);
	frames_plan(e, f, it->stream_id, limit);
	/* Half a share for the end of a long run would leave a short run for the other half. */
	if (other && f->cut && before.raw > limit / 2)
		frames_back(f, &before);
	if (f->end == from && (other || !run->demanded))
		return false;
	bool shared = other && f->shared;
	*s = (struct share){ .item = it,
		             .first = had - shared,
		             .n = f->n - had + shared,
		             .from = from,
		             .end = f->end,
		             .bytes = f->bytes - bytes,
		             .goes_on = f->goes_on,
		             .segment = f->next.segment,
		             .frame_pos = f->next.block.frame_pos };
	run->n_share++;
	return true;
}

/* Where another item goes on. Of the same reader, it may read as far ahead as `own`; false: it does already. */
static bool item_from(struct reader_item *it, const struct reader_item *own, uint64_t *from)
{
	struct firn_reader *r = it->reader;
	pthread_mutex_lock(&r->lock);
	*from = it->ahead_to;
	if (r == own->reader && it->ahead_window < own->ahead_window)
		it->ahead_window = own->ahead_window;
	bool may = it->ahead_out < it->ahead_window && it->ahead_out < held_most(r->engine) / 4;
	pthread_mutex_unlock(&r->lock);
	return may;
}

static void item_give(struct reader_item *it)
{
	struct firn_reader *r = it->reader;
	item_release(it);
	reader_release(r);
}

/* Another item of the reader that goes on in the last frame, or in the one behind it. */
static struct reader_item *run_next(struct engine *e, const struct run *run)
{
	const struct index_extent *last = &run->f.x[run->f.n - 1];
	struct spot_query want = { .v = run->f.v,
		                   .segment = last->segment,
		                   .frame_pos = last->block.frame_pos,
		                   .reader = run->load->reader };
	struct reader_item *it = spot_take(e->reads, &want);
	want.frame_pos += last->block.frame_len;
	return it ? it : spot_take(e->reads, &want);
}

/* It is not part of the run after all. */
static void run_leave(struct run *run, struct reader_item *it)
{
	const struct frames *f = &run->f;
	pthread_mutex_lock(&it->reader->lock);
	if (f->goes_on && f->end == it->ahead_to)
		spot_set(it, f->v, f->next.segment, f->next.block.frame_pos);
	pthread_mutex_unlock(&it->reader->lock);
	item_give(it);
}

static void run_extend(struct engine *e, struct run *run, uint64_t limit)
{
	struct reader_item *it;
	uint64_t from;
	while (run->n_share < SHARES_MAX && run->f.raw < limit && (it = run_next(e, run))) {
		if (!item_from(it, run->load->item, &from)) {
			item_give(it);
			return;
		}
		if (!share_plan(e, run, it, from, limit)) {
			run_leave(run, it);
			return;
		}
	}
}

/* Others that go on in frames of a share, as they read the same stream, have it with its item; but who is slow, and holds
 * half of the memory already, has none. */
static void share_copy(struct engine *e, struct run *run, const struct share *s)
{
	struct spot_query want = { .v = run->f.v,
		                   .stream = s->item->stream_id,
		                   .held_most = held_most(e) / 2 };
	struct reader_item *it;
	for (uint32_t i = 0; i < s->n; i++) {
		const struct index_extent *x = &run->f.x[s->first + i];
		want.segment = x->segment;
		want.frame_pos = x->block.frame_pos;
		while (run->n_share < SHARES_MAX && (it = spot_take(e->reads, &want))) {
			struct share *c = &run->share[run->n_share++];
			*c = *s;
			c->item = it;
			c->first += i;
			c->n -= i;
			c->bytes = s->bytes / s->n * c->n;
			(void)item_from(it, run->load->item, &c->from);
		}
	}
}

void run_plan(struct engine *e, struct run *run, uint64_t from, uint64_t limit)
{
	struct reader_item *it = run->load->item;
	pthread_mutex_lock(&it->reader->lock);
	spot_clear(it); /* it is this run that it goes on with */
	pthread_mutex_unlock(&it->reader->lock);
	if (!share_plan(e, run, it, from, limit))
		return;
	item_retain(it);
	reader_retain(it->reader);
	if (run->f.raw > limit + limit / 2) { /* a frame too large to be held */
		run->f.n = 0;
		return;
	}
	run_extend(e, run, limit);
	for (uint32_t i = 0, n = run->n_share; i < n; i++)
		share_copy(e, run, &run->share[i]);
}

/* ---- flights ---- */

/* Leaves out the first frames that are there, or under way; how many. */
static uint32_t run_skip(struct engine *e, struct frames *f)
{
	uint32_t skip = 0;
	for (; skip < f->n; skip++) {
		struct blob *b = NULL;
		struct cache_key key = frame_key(f->v, &f->x[skip]);
		if (cache_begin(e->cache, &key, &b) == CACHE_LOAD)
			break;
		blob_release(b);
		f->raw -= blob_room(f->x[skip].block.frame_raw_len);
	}
	f->n -= skip;
	for (uint32_t i = 0; skip && i < f->n; i++)
		f->x[i] = f->x[i + skip];
	f->own = f->n ? 1 : 0;
	return skip;
}

/* What is left of a share: frames from `skip` on, as far as the flights are ours. Behind its first frame all
 * frames of a share are of its stream. */
static void share_cut(const struct frames *f, struct share *s, uint32_t skip)
{
	uint32_t there = skip <= s->first ? 0 : skip - s->first;
	there = there < s->n ? there : s->n;
	s->n -= there;
	s->first = there ? 0 : s->first - skip;
	if (s->n && there)
		s->from = f->x[0].block.base;
	if (s->first + s->n <= f->own)
		return;
	uint32_t cut = s->first < f->own ? f->own : s->first;
	s->end = cut > s->first ? f->x[cut].block.base : s->from;
	for (uint32_t i = cut; i < s->first + s->n; i++) {
		uint64_t less = f->x[i].block.payload_bytes;
		s->bytes -= less < s->bytes ? less : s->bytes;
	}
	s->n = cut - s->first;
	s->goes_on = true;
	s->segment = f->x[cut].segment;
	s->frame_pos = f->x[cut].block.frame_pos;
}

void run_own(struct engine *e, struct run *run)
{
	struct frames *f = &run->f;
	uint32_t skip = f->own || f->n == 0 ? 0 : run_skip(e, f), n = f->n;
	frames_own(e, f);
	for (uint32_t i = 0; n + skip && i < run->n_share; i++)
		share_cut(f, &run->share[i], skip);
}

static void share_note(const struct run *run, const struct share *s)
{
	struct reader_item *it = s->item;
	if (s->end > it->ahead_to) {
		it->ahead_to = s->end;
		it->ahead_out += s->bytes;
	}
	if (s->end != it->ahead_to)
		return; /* another load was quicker */
	if (s->goes_on)
		spot_set(it, run->f.v, s->segment, s->frame_pos);
	else
		spot_clear(it);
}

void run_note(struct run *run)
{
	for (uint32_t i = 0; i < run->n_share; i++) {
		struct firn_reader *r = run->share[i].item->reader;
		pthread_mutex_lock(&r->lock);
		share_note(run, &run->share[i]);
		pthread_mutex_unlock(&r->lock);
	}
}

/* ---- the GET ---- */

struct load *run_brings(const struct reader_item *it, uint64_t offset)
{
	const struct share *s = it->runs;
	while (s && (offset < s->from || offset >= s->end))
		s = s->next;
	return s ? s->load : NULL;
}

/* Items other than that of a demanded load, which waits for the load itself, may wait for their share. */
static uint32_t first_waiting(const struct run *run)
{
	return run->demanded ? 1 : 0;
}

/* Its item waits for the run rather than for a turn, or to have a load at all. */
static void share_await(const struct share *s)
{
	struct reader_item *it = s->item;
	bool waits = it->where == ITEM_COLD || (it->load && it->load->waits);
	if (waits && it->pos >= s->from && it->pos < s->end)
		load_await(it, it->pos, s->load);
}

static void run_begin(struct run *run)
{
	for (uint32_t i = first_waiting(run); i < run->n_share; i++) {
		struct share *s = &run->share[i];
		if (!s->n)
			continue;
		pthread_mutex_lock(&s->item->reader->lock);
		s->load = run->load;
		s->next = s->item->runs;
		s->item->runs = s;
		share_await(s);
		pthread_mutex_unlock(&s->item->reader->lock);
	}
}

/* Who waits for it looks again: if it came to nothing, the item has it loaded and learns why. */
static void share_end(struct share *s)
{
	struct reader_item *it = s->item;
	struct share **at = &it->runs;
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	if (it->load != s->load)
		return;
	item_to_ready(it, true);
	if (it->reader->waiting)
		queue_run(it->reader);
}

static void run_end(struct run *run)
{
	for (uint32_t i = first_waiting(run); i < run->n_share; i++) {
		struct share *s = &run->share[i];
		if (!s->n)
			continue;
		pthread_mutex_lock(&s->item->reader->lock);
		share_end(s);
		pthread_mutex_unlock(&s->item->reader->lock);
	}
}

int run_get(struct engine *e, struct run *run, uint64_t room, struct blob **out,
            struct firn_error *err)
{
	struct frames *f = &run->f;
	struct blob *blob[FRAMES_MAX];
	uint64_t used = 0, more = f->raw;
	if (run->demanded)
		more -= blob_room(f->x[0].block.frame_raw_len);
	if (room > more) {
		held_give(e, room - more);
		room = more;
	}
	run_begin(run);
	int rc = frames_load(e, f, blob, err);
	for (uint32_t i = 0; i < run->n_share; i++) {
		bool taken = i < first_waiting(run); /* the demanded frame goes to a cursor */
		used += held_add(f, &run->share[i], taken, blob);
	}
	held_settle(e, room, used);
	run_end(run);
	for (uint32_t i = out ? 1 : 0; i < f->own; i++)
		blob_release(blob[i]);
	if (out)
		*out = blob[0];
	return rc;
}

void run_fini(struct run *run)
{
	for (uint32_t i = 0; i < run->n_share; i++)
		item_give(run->share[i].item);
}
