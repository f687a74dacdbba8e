/* Read-ahead: an item that reads on in order has loads planned in front of it.
 *
 *   item --enters extent--> room in its window? --> plan --> GET of adjacent frames --> cache
 *        |                                          |
 *        |                                          +--> next plan while the window has room
 *        +--needs what is not there--> its load takes the adjacent frames as well
 *
 * Each load is one ranged GET over frames that are adjacent in their segment, up to 4 MiB, to a
 * quarter of the window, which doubles from 1 MiB, and to what hold.c has memory for. They fill the
 * cache, and are held for the item; what fails here fails again when it is wanted. Loaders do what is
 * needed first: with many items their own loads, each as long as a read-ahead would be, keep all
 * loaders busy. */
#include "engine/read/load.h"

/* ---- how much ---- */

static uint64_t ahead_piece(const struct reader_item *it)
{
	const struct firn_reader *r = it->reader;
	uint64_t bytes = it->ahead_window / 4;
	uint64_t most = r->ahead_max < READ_AHEAD_JOB ? r->ahead_max : READ_AHEAD_JOB;
	bytes = bytes > READ_AHEAD_MIN ? bytes : READ_AHEAD_MIN;
	return bytes < most ? bytes : most;
}

static void ahead_widen(struct reader_item *it)
{
	uint64_t most = it->reader->ahead_max;
	it->ahead_window = it->ahead_window * 2 < most ? it->ahead_window * 2 : most;
}

static bool ahead_in_order(const struct reader_item *it, const struct index_extent *x)
{
	return it->streak_at && it->streak_at == x->block.base && it->reader->ahead_max;
}

/* Frames up to f->end were planned; reader.lock held. */
static void ahead_note(struct reader_item *it, const struct frames *f)
{
	if (f->end <= it->ahead_to)
		return;
	it->ahead_to = f->end;
	it->ahead_out += f->bytes;
}

uint64_t ahead_demand(struct reader_item *it, const struct index_extent *x)
{
	struct firn_reader *r = it->reader;
	if (!ahead_in_order(it, x))
		return 0;
	pthread_mutex_lock(&r->lock);
	ahead_widen(it);
	uint64_t bytes = ahead_piece(it);
	pthread_mutex_unlock(&r->lock);
	return bytes;
}

void ahead_taken(struct load *l, const struct frames *f)
{
	pthread_mutex_lock(&l->reader->lock);
	ahead_note(l->item, f);
	pthread_mutex_unlock(&l->reader->lock);
}

/* ---- loads ---- */

static void ahead_idle(struct reader_item *it)
{
	pthread_mutex_lock(&it->reader->lock);
	it->ahead_busy = false;
	pthread_mutex_unlock(&it->reader->lock);
}

static void ahead_drop(struct engine *e, struct work *w)
{
	(void)e;
	struct load *l = (struct load *)w;
	ahead_idle(l->item);
	load_free(l);
}

static void ahead_queue(struct engine *e, struct reader_item *it, struct volume *v, uint64_t from,
                        uint64_t bytes, const struct work *asked_by);

/* What was planned is noted before it is loaded, so that the next piece can be under way beside
 * it. */
static void ahead_planned(struct engine *e, struct load *l, const struct frames *f)
{
	struct reader_item *it = l->item;
	struct firn_reader *r = l->reader;
	pthread_mutex_lock(&r->lock);
	ahead_note(it, f);
	uint64_t bytes = ahead_piece(it);
	bool more = f->n && it->ahead_out + bytes <= it->ahead_window;
	it->ahead_busy = more;
	pthread_mutex_unlock(&r->lock);
	if (more)
		ahead_queue(e, it, l->work.volume, f->end, bytes, &l->work);
}

/* Leaves out the first frames that are there, or under way, and begins flights on those that follow. */
static void ahead_own(struct engine *e, struct frames *f)
{
	uint32_t skip = 0;
	for (; skip < f->n; skip++) {
		struct blob *b = NULL;
		struct cache_key key = frame_key(f->v, &f->x[skip]);
		if (cache_begin(e->cache, &key, &b) == CACHE_LOAD)
			break;
		blob_release(b);
	}
	f->n -= skip;
	for (uint32_t i = 0; skip && i < f->n; i++)
		f->x[i] = f->x[i + skip];
	f->own = f->n ? 1 : 0;
	frames_own(e, f);
}

struct load *ahead_running(const struct reader_item *it, uint64_t offset)
{
	struct load *l = it->runs;
	while (l && (offset < l->run_from || offset >= l->run_end))
		l = l->next_run;
	return l;
}

static void ahead_begin(struct load *l, const struct frames *f)
{
	struct reader_item *it = l->item;
	pthread_mutex_lock(&l->reader->lock);
	l->run_from = f->x[0].block.base;
	l->run_end = f->x[f->own - 1].block.next;
	l->next_run = it->runs;
	it->runs = l;
	pthread_mutex_unlock(&l->reader->lock);
}

/* Whoever waits for it looks again: if it came to nothing, the item has it loaded and learns why. */
static void ahead_end(struct load *l)
{
	struct firn_reader *r = l->reader;
	struct reader_item *it = l->item;
	pthread_mutex_lock(&r->lock);
	struct load **at = &it->runs;
	while (*at != l)
		at = &(*at)->next_run;
	*at = l->next_run;
	if (it->load == l) {
		item_to_ready(it, true);
		if (r->waiting)
			queue_run(r);
	}
	pthread_mutex_unlock(&r->lock);
}

/* The item may have come further than where this was to begin. */
static uint64_t ahead_from(const struct load *l)
{
	pthread_mutex_lock(&l->reader->lock);
	uint64_t to = l->item->ahead_to;
	pthread_mutex_unlock(&l->reader->lock);
	return to > l->from ? to : l->from;
}

static void ahead_load(struct engine *e, struct load *l, struct frames *f, uint64_t room)
{
	struct blob *blob[FRAMES_MAX];
	ahead_begin(l, f);
	(void)frames_load(e, f, blob, NULL); /* a failure comes back when it is wanted */
	held_add(l->item, f, 0, blob, room);
	ahead_end(l);
}

static void ahead_run(struct engine *e, struct work *w)
{
	struct load *l = (struct load *)w;
	struct frames f = { .v = w->volume, .end = ahead_from(l) };
	uint64_t room = held_room(e, l->bytes);
	if (room)
		frames_plan(e, &f, l->stream, room);
	if (f.raw > room + room / 2) /* a frame too large to be held */
		f.n = 0;
	ahead_planned(e, l, &f);
	ahead_own(e, &f);
	if (f.own)
		ahead_load(e, l, &f, room);
	else
		held_give(e, room);
	queue_work_done(e, w);
	load_free(l);
}

static void ahead_queue(struct engine *e, struct reader_item *it, struct volume *v, uint64_t from,
                        uint64_t bytes, const struct work *asked_by)
{
	struct load *l = load_new(it, v);
	if (!l) {
		ahead_idle(it);
		return;
	}
	l->work.run = ahead_run;
	l->work.drop = ahead_drop;
	l->from = from;
	l->bytes = bytes;
	if (!queue_work(e, &l->work, true, asked_by))
		ahead_drop(e, &l->work);
}

void load_ahead(struct reader_item *it, const struct index_extent *x)
{
	struct firn_reader *r = it->reader;
	bool in_order = ahead_in_order(it, x), ask = false;
	it->streak_at = x->block.next;
	if (!in_order)
		return;
	pthread_mutex_lock(&r->lock);
	uint64_t entered = x->block.payload_bytes, from = it->ahead_to;
	it->ahead_out -= entered < it->ahead_out ? entered : it->ahead_out;
	if (from < x->block.next) {
		from = x->block.next;
		it->ahead_out = 0;
	}
	uint64_t bytes = ahead_piece(it);
	if (!it->ahead_busy && it->ahead_out + bytes <= it->ahead_window) {
		ask = it->ahead_busy = true;
		ahead_widen(it);
		bytes = ahead_piece(it);
	}
	pthread_mutex_unlock(&r->lock);
	if (ask)
		ahead_queue(r->engine, it, it->volume, from, bytes, NULL);
}
