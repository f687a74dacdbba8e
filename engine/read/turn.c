/* Loads of a reader's items that read in order take turns: a few GETs at once, as long as can be, rather
 * than a short one for each item. A load that waits may be served by another item's run meanwhile (run.c).
 *
 *   load_want --> turn_take: runs now --+--> queue ... load lands --> turn_next --+
 *                         \--> waits --<---------------------------------------- +
 *
 * Who waits longest says of which volume the next one is; of those it is the one that lies first in the
 * store, so that items keep in step and their runs adjoin. Each fourth turn is that of who waits longest. */
#include "engine/read/load.h"

enum { TURNS = 4, LOOK_AT = 64 };

/* ---- reader.lock held ---- */

static bool lies_before(const struct index_extent *a, const struct index_extent *b)
{
	if (a->segment.epoch != b->segment.epoch)
		return a->segment.epoch < b->segment.epoch;
	if (a->segment.n != b->segment.n)
		return a->segment.n < b->segment.n;
	return a->block.frame_pos < b->block.frame_pos;
}

static struct work **turn_pick(struct firn_reader *r)
{
	struct work **best = &r->waits, **at = best;
	if (r->turn % 4 == 3)
		return best;
	for (int i = 0; i < LOOK_AT && *at; i++, at = &(*at)->next) {
		const struct load *l = (struct load *)*at, *b = (struct load *)*best;
		if (l->work.volume == b->work.volume && lies_before(&l->want.x, &b->want.x))
			best = at;
	}
	return best;
}

static void waits_remove(struct firn_reader *r, struct work **at)
{
	struct work *w = *at;
	*at = w->next;
	if (r->waits_end == &w->next)
		r->waits_end = at;
	((struct load *)w)->waits = false;
}

/* Alone it goes with what memory there is; else it waits until there is enough. */
static bool turn_free(const struct firn_reader *r, const struct load *l)
{
	return r->n_turn == 0 || (r->n_turn < TURNS && held_left(r->engine) >= l->bytes);
}

bool turn_take(struct load *l)
{
	struct firn_reader *r = l->reader;
	if (turn_free(r, l)) {
		r->n_turn++;
		return true;
	}
	l->waits = true;
	l->work.next = NULL;
	*r->waits_end = &l->work;
	r->waits_end = &l->work.next;
	return false;
}

/* Does its item still wait for it, or does another load bring what it needs, or has brought it? */
static bool turn_wanted(const struct load *l)
{
	struct cache_key key = frame_key(l->work.volume, &l->want.x);
	return l->item->load == l && !run_brings(l->item, l->want.x.block.base) &&
	       !held_has(l->item, &key);
}

/* Takes one off the list; *queued: it goes on. A volume that goes finds it on the list or in the queue. */
static struct load *turn_pop(struct firn_reader *r, bool *queued)
{
	struct work **at = r->waits ? turn_pick(r) : NULL;
	if (!at || !turn_free(r, (struct load *)*at))
		return NULL;
	struct load *l = (struct load *)*at;
	waits_remove(r, at);
	r->turn++;
	*queued = turn_wanted(l) && queue_work(r->engine, &l->work, false, NULL);
	r->n_turn += *queued;
	return l;
}

/* ---- not held ---- */

void turn_next(struct firn_reader *r)
{
	struct load *l;
	do {
		bool queued = false;
		pthread_mutex_lock(&r->lock);
		l = turn_pop(r, &queued);
		pthread_mutex_unlock(&r->lock);
		if (l && !queued)
			load_cancel(l);
	} while (l);
}

void turn_end(struct firn_reader *r)
{
	pthread_mutex_lock(&r->lock);
	r->n_turn--;
	pthread_mutex_unlock(&r->lock);
	turn_next(r);
}

void turn_forget(struct firn_reader *r, const struct volume *v)
{
	struct work *gone = NULL;
	pthread_mutex_lock(&r->lock);
	for (struct work **at = &r->waits; *at;) {
		struct work *w = *at;
		if (w->volume != v) {
			at = &w->next;
			continue;
		}
		waits_remove(r, at);
		w->next = gone;
		gone = w;
	}
	pthread_mutex_unlock(&r->lock);
	while (gone) {
		struct load *l = (struct load *)gone;
		gone = gone->next;
		load_cancel(l);
	}
}
