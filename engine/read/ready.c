/* Which items have something to tell.
 *
 *        set            pos < mark             a fetch takes it
 *   --> ready <--notify-- idle <--settle-- served --> [cold ->] loading --landed--> ready
 *
 * A stream knows the items that watch it (its volume's lock); a reader knows those that are
 * ready (its own lock). A notification costs by the watching items, nothing where there are
 * none. */
#include "engine/read/read.h"

void item_list_push(struct item_list *l, struct reader_item *it)
{
	it->next = NULL;
	it->prev = l->last;
	if (l->last)
		l->last->next = it;
	else
		l->first = it;
	l->last = it;
	l->n++;
}

void item_list_push_front(struct item_list *l, struct reader_item *it)
{
	it->prev = NULL;
	it->next = l->first;
	if (l->first)
		l->first->prev = it;
	else
		l->last = it;
	l->first = it;
	l->n++;
}

void item_list_remove(struct item_list *l, struct reader_item *it)
{
	if (it->prev)
		it->prev->next = it->next;
	else
		l->first = it->next;
	if (it->next)
		it->next->prev = it->prev;
	else
		l->last = it->prev;
	it->next = it->prev = NULL;
	l->n--;
}

void item_out(struct reader_item *it)
{
	if (it->where == ITEM_READY)
		item_list_remove(&it->reader->ready, it);
	else if (it->where == ITEM_COLD)
		item_list_remove(&it->reader->cold, it);
	else if (it->where == ITEM_LOADING)
		item_list_remove(&it->reader->loading, it);
	it->where = ITEM_IDLE;
	it->load = NULL; /* a load that lands finds itself not wanted */
}

void item_to_ready(struct reader_item *it, bool front)
{
	if (it->where == ITEM_READY)
		return;
	item_out(it);
	it->where = ITEM_READY;
	if (front)
		item_list_push_front(&it->reader->ready, it);
	else
		item_list_push(&it->reader->ready, it);
}

void item_unfreeze(struct reader_item *it, bool front)
{
	item_to_ready(it, front);
	it->load_turn = true;
}

void item_link(struct reader_item *it)
{
	struct stream *s = volume_stream_live(it->volume, it->stream_id);
	if (!s)
		return;
	it->stream = s;
	it->watch_next = s->watch;
	it->watch_at = &s->watch;
	if (s->watch)
		s->watch->watch_at = &it->watch_next;
	s->watch = it;
}

void item_unlink(struct reader_item *it)
{
	if (!it->stream)
		return;
	*it->watch_at = it->watch_next;
	if (it->watch_next)
		it->watch_next->watch_at = it->watch_at;
	it->stream = NULL;
	it->watch_next = NULL;
	it->watch_at = NULL;
}

/* An idle item has something to tell. */
static void item_wake(struct reader_item *it)
{
	struct firn_reader *r = it->reader;
	item_to_ready(it, false);
	if (r->waiting)
		queue_run(r);
}

void read_notify(struct volume *v, struct stream *s)
{
	(void)v;
	for (struct reader_item *it = s->watch; it; it = it->watch_next) {
		struct firn_reader *r = it->reader;
		pthread_mutex_lock(&r->lock);
		if (it->where == ITEM_IDLE &&
		    (s->deleted || it->pos < s->start || it->pos < stream_mark(s, it->up_to)))
			item_wake(it);
		pthread_mutex_unlock(&r->lock);
	}
}

void read_stream_gone(struct stream *s)
{
	while (s->watch) {
		struct reader_item *it = s->watch;
		struct firn_reader *r = it->reader;
		item_unlink(it);
		pthread_mutex_lock(&r->lock);
		if (it->where == ITEM_IDLE)
			item_wake(it);
		pthread_mutex_unlock(&r->lock);
	}
}

static void look_fill(struct look *k, struct stream *s, uint16_t up_to, uint64_t pos)
{
	k->start = s->start;
	k->bound = stream_mark(s, up_to);
	k->visible = stream_mark(s, FIRN_MARK_VISIBLE);
	k->stable = stream_mark(s, FIRN_MARK_STABLE);
	k->stored = stream_mark(s, FIRN_MARK_STORED);
	k->durable = s->durable;
	k->old = s->tail_old;
	for (uint32_t i = stream_tail_find(s, pos); i < s->tail_n; i++) {
		if (k->n == READ_LOOK_TAIL) {
			k->more = true;
			break;
		}
		k->e[k->n++] = *stream_tail_at(s, i);
	}
}

int item_look(struct reader_item *it, uint64_t pos, struct look *k)
{
	struct volume *v = it->volume;
	int rc = 0;
	k->n = 0;
	k->more = k->old = k->lost = false;
	k->start = k->bound = k->visible = k->stable = k->stored = k->durable = k->cut = 0;
	if (!v)
		return FIRN_ESHUTDOWN;
	pthread_mutex_lock(&v->lock);
	k->cut = v->cut;
	if (!it->stream)
		item_link(it);
	if (!it->stream || it->stream->deleted) {
		rc = FIRN_ENOENT;
	} else {
		/* Who goes on without its store has no manifest that could tell. */
		k->lost = v->manifest.n_lost != 0 || v->resumed;
		look_fill(k, it->stream, it->up_to, pos);
		if (v->state == FIRN_STATE_FENCED && pos >= k->stored)
			rc = FIRN_EFENCED;
	}
	pthread_mutex_unlock(&v->lock);
	return rc;
}
