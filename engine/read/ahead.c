/* Read-ahead: an item that reads on in order has loads planned in front of it.
 *
 *   item --enters extent--> window half empty? --> plan --> GET of adjacent frames --> cache
 *                                                   |
 *                                                   +--> next plan while the window has room
 *
 * Each load is one ranged GET over frames that are adjacent in their segment, up to 1 MiB; the
 * window doubles from 64 KiB. They only fill the cache; what fails here fails again when it is
 * wanted. */
#include "engine/read/load.h"

/* Begins flights on frames that follow the first own one, as far as they are adjacent and cold. */
static void frames_own(struct engine *e, struct frames *f)
{
	while (f->own < f->n) {
		struct blob *b = NULL;
		struct cache_key key = frame_key(f->v, &f->x[f->own]);
		int rc = cache_begin(e->cache, &key, &b);
		blob_release(b);
		if (rc != CACHE_LOAD)
			return;
		f->own++;
	}
}

/* The frames from offset `from` on that one ranged GET can bring. */
static void frames_plan(struct engine *e, struct frames *f, uint64_t stream, uint64_t from,
                        uint64_t limit)
{
	uint64_t stored = 0;
	struct index_extent x;
	f->end = from;
	while (stored < limit) {
		if (index_extent_find(e->index, f->v->index_no, stream, f->end, &x, NULL) ||
		    !extent_sane(&x))
			return;
		const struct index_extent *last = f->n ? &f->x[f->n - 1] : NULL;
		bool same = last && last->segment.epoch == x.segment.epoch &&
		            last->segment.n == x.segment.n;
		bool again = same && last->block.frame_pos == x.block.frame_pos;
		bool next = same &&
		            last->block.frame_pos + last->block.frame_len == x.block.frame_pos;
		if (last && !again && (!next || f->n == FRAMES_MAX))
			return;
		if (!again) {
			f->x[f->n++] = x;
			stored += x.block.frame_len;
		}
		f->bytes += x.block.payload_bytes;
		f->end = x.block.next;
	}
}

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
static void ahead_note(struct engine *e, struct load *l, const struct frames *f)
{
	struct reader_item *it = l->item;
	struct firn_reader *r = l->reader;
	pthread_mutex_lock(&r->lock);
	it->ahead_to = f->end;
	it->ahead_out += f->bytes;
	bool more = f->n && it->ahead_out < it->ahead_window;
	uint64_t bytes = it->ahead_window / 4;
	it->ahead_busy = more;
	pthread_mutex_unlock(&r->lock);
	if (more)
		ahead_queue(e, it, l->work.volume, f->end, bytes, &l->work);
}

static void ahead_run(struct engine *e, struct work *w)
{
	struct load *l = (struct load *)w;
	struct frames f = { .v = w->volume };
	frames_plan(e, &f, l->stream, l->from, l->bytes);
	ahead_note(e, l, &f);
	uint32_t skip = 0;
	for (; skip < f.n; skip++) { /* those that are there, or under way */
		struct blob *b = NULL;
		struct cache_key key = frame_key(f.v, &f.x[skip]);
		if (cache_begin(e->cache, &key, &b) == CACHE_LOAD)
			break;
		blob_release(b);
	}
	if (skip < f.n) {
		f.n -= skip;
		for (uint32_t i = 0; skip && i < f.n; i++)
			f.x[i] = f.x[i + skip];
		f.own = 1;
		frames_own(e, &f);
		(void)frames_load(e, &f, NULL, NULL); /* a failure comes back when it is wanted */
	}
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
	l->bytes = bytes < READ_AHEAD_MIN   ? READ_AHEAD_MIN
	           : bytes < READ_AHEAD_JOB ? bytes
	                                    : READ_AHEAD_JOB;
	if (!queue_work(e, &l->work, true, asked_by))
		ahead_drop(e, &l->work);
}

void load_ahead(struct reader_item *it, const struct index_extent *x)
{
	struct firn_reader *r = it->reader;
	bool in_order = it->streak_at && it->streak_at == x->block.base, ask = false;
	it->streak_at = x->block.next;
	if (!in_order || r->ahead_max == 0)
		return;
	pthread_mutex_lock(&r->lock);
	uint64_t entered = x->block.payload_bytes, from = it->ahead_to;
	it->ahead_out -= entered < it->ahead_out ? entered : it->ahead_out;
	if (from < x->block.next) {
		from = x->block.next;
		it->ahead_out = 0;
	}
	if (!it->ahead_busy && it->ahead_out < it->ahead_window / 2) {
		ask = it->ahead_busy = true;
		it->ahead_window = it->ahead_window * 2 < r->ahead_max ? it->ahead_window * 2
		                                                       : r->ahead_max;
	}
	uint64_t bytes = it->ahead_window / 4;
	pthread_mutex_unlock(&r->lock);
	if (ask)
		ahead_queue(r->engine, it, it->volume, from, bytes, NULL);
}
