/* Read-ahead: an item that reads on in order has loads planned in front of it.
 *
 *   item --enters extent--> little ahead of it? --> run (run.c): GET of adjacent frames --> cache, held
 *        |                                           |
 *        |                                           +--> next one while there is little ahead
 *        +--needs what is not there--> its load takes the adjacent frames as well
 *
 * Items of a reader that says that it replays (its class) begin with the whole window; the others have to be seen
 * reading in order first.
 *
 * Each load is one ranged GET. With one item that reads in order it takes a quarter of the item's window,
 * which doubles from 1 MiB, so that four may be under way; with more of them it may take as much for each, as theirs
 * are under way beside it. Bounds are 16 MiB, a quarter of the memory of hold.c, and what that has left. From
 * four items on nothing is read ahead of what they need: their own loads, as long as that, keep the store busy.
 * What comes fills the cache, and is held for the items; what fails here fails again when it is wanted.
 * Loaders do what is needed first. */
#include "engine/read/load.h"

enum { AHEAD_ITEMS = 4 };

/* ---- how much; reader.lock held ---- */

/* Items that read in order, this one among them. */
static uint32_t ahead_items(const struct reader_item *it)
{
	uint32_t n = atomic_load_explicit(&it->reader->n_spot, memory_order_relaxed);
	return n ? n : 1;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t ahead_piece(const struct reader_item *it)
{
	const struct firn_reader *r = it->reader;
	uint64_t most = least(least(r->ahead_max, READ_AHEAD_JOB), held_most(r->engine) / 4);
	uint64_t bytes = it->ahead_window / 4 * ahead_items(it);
	return least(bytes > READ_AHEAD_MIN ? bytes : READ_AHEAD_MIN, most);
}

/* Is a piece to be asked for? One item has its window ahead of it, several have their part of it. */
static bool ahead_wanted(const struct reader_item *it)
{
	uint32_t n = ahead_items(it);
	if (n == 1)
		return it->ahead_out + ahead_piece(it) <= it->ahead_window;
	return n < AHEAD_ITEMS && it->ahead_out < it->ahead_window / n;
}

static void ahead_widen(struct reader_item *it)
{
	it->ahead_window = least(it->ahead_window * 2, it->reader->ahead_max);
}

/* What has read nothing yet does if its reader says that it reads on. */
static bool ahead_in_order(const struct reader_item *it, const struct index_extent *x)
{
	bool so = it->streak_at ? it->streak_at == x->block.base : it->reader->scans;
	return so && it->reader->ahead_max;
}

uint64_t ahead_demand(struct reader_item *it, const struct index_extent *x)
{
	struct firn_reader *r = it->reader;
	if (!ahead_in_order(it, x))
		return 0;
	pthread_mutex_lock(&r->lock);
	ahead_widen(it);
	it->ahead_to = x->block.base; /* if it was planned further, that came to nothing */
	it->ahead_out = 0;
	spot_set(it, it->volume, x->segment, x->block.frame_pos);
	uint64_t bytes = ahead_piece(it);
	pthread_mutex_unlock(&r->lock);
	return bytes;
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

static void ahead_next(struct engine *e, struct load *l, bool more)
{
	struct reader_item *it = l->item;
	struct firn_reader *r = l->reader;
	pthread_mutex_lock(&r->lock);
	uint64_t bytes = ahead_piece(it), from = it->ahead_to;
	more = more && ahead_wanted(it);
	it->ahead_busy = more;
	pthread_mutex_unlock(&r->lock);
	if (more)
		ahead_queue(e, it, l->work.volume, from, bytes, &l->work);
}

/* The item may have come further than where this was to begin. */
static uint64_t ahead_from(const struct load *l)
{
	pthread_mutex_lock(&l->reader->lock);
	uint64_t to = l->item->ahead_to;
	pthread_mutex_unlock(&l->reader->lock);
	return to > l->from ? to : l->from;
}

static void ahead_run(struct engine *e, struct work *w)
{
	struct load *l = (struct load *)w;
	struct run run = { .load = l, .f = { .v = w->volume } };
	uint64_t room = held_room(e, l->bytes, true);
	if (room)
		run_plan(e, &run, ahead_from(l), room);
	bool more = run.f.n > 0;
	run_own(e, &run);
	run_note(&run);
	ahead_next(e, l, more);
	if (run.f.own)
		(void)run_get(e, &run, room, NULL,
		              NULL); /* a failure comes back when it is wanted */
	else
		held_give(e, room);
	run_fini(&run);
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
	uint64_t bytes = 0;
	if (!it->ahead_busy && ahead_wanted(it)) {
		ask = it->ahead_busy = true;
		ahead_widen(it);
		bytes = ahead_piece(it);
	}
	pthread_mutex_unlock(&r->lock);
	if (ask)
		ahead_queue(r->engine, it, it->volume, from, bytes, NULL);
}
