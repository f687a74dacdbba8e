/* Where items go on: which frame each of those that read in order will need next. A GET that ends where
 * another item of its reader goes on brings that item's frames, too: segments are sorted by stream, and who
 * replays many streams wants all of a segment. And who goes on in its frames, of whatever reader, gets them:
 * several replays of the same cost the store one.
 *
 *   an item needs a frame, or a run was planned --> spot_set: item -> (segment, frame)
 *                                                     |
 *   a run is planned that has the frame, or ends there --> spot_take --> planned as part of it --> spot_set ...
 *
 * A spot is a hint: who takes it looks the item's extent up again. All is under read_queue.spot_lock, nothing
 * is called with it held. */
#include "engine/read/load.h"

struct spot_key {
	const struct volume *v;
	struct segment_id segment;
	uint64_t frame_pos;
};

static uint64_t spot_hash(const struct spot_key *k)
{
	return hash_u64(hash_u64(k->segment.epoch << 40 ^ k->segment.n) ^ k->frame_pos);
}

static int spot_equal(const void *value, const void *key)
{
	const struct spot *s = &((const struct reader_item *)value)->spot;
	const struct spot_key *k = key;
	return s->v == k->v && s->frame_pos == k->frame_pos &&
	       segment_id_equal(s->segment, k->segment);
}

static struct spot_key key_of(const struct reader_item *it)
{
	return (struct spot_key){ it->spot.v, it->spot.segment, it->spot.frame_pos };
}

/* spot_lock held */
static void take_out(struct read_queue *q, struct reader_item *it)
{
	struct spot *s = &it->spot;
	if (!s->v)
		return;
	struct spot_key k = key_of(it);
	if (s->prev) {
		s->prev->spot.next = s->next;
	} else {
		(void)map_remove(&q->spots, spot_hash(&k), spot_equal, &k);
		/* The table has room for one that was there. */
		if (s->next)
			(void)map_put(&q->spots, spot_hash(&k), s->next);
	}
	if (s->next)
		s->next->spot.prev = s->prev;
	*s = (struct spot){ .v = NULL };
	atomic_fetch_sub_explicit(&it->reader->n_spot, 1, memory_order_relaxed);
}

/* spot_lock held. Without memory there is no hint. */
static void put_in(struct read_queue *q, struct reader_item *it, const struct spot_key *k)
{
	struct reader_item *first = map_get(&q->spots, spot_hash(k), spot_equal, k);
	if (!first && map_put(&q->spots, spot_hash(k), it))
		return;
	it->spot = (struct spot){ .v = k->v, .segment = k->segment, .frame_pos = k->frame_pos };
	atomic_fetch_add_explicit(&it->reader->n_spot, 1, memory_order_relaxed);
	if (first) { /* behind it: the table keeps what it has */
		it->spot.prev = first;
		it->spot.next = first->spot.next;
		if (it->spot.next)
			it->spot.next->spot.prev = it;
		first->spot.next = it;
	}
}

void spot_clear(struct reader_item *it)
{
	struct read_queue *q = it->reader->engine->reads;
	pthread_mutex_lock(&q->spot_lock);
	take_out(q, it);
	pthread_mutex_unlock(&q->spot_lock);
}

void spot_set(struct reader_item *it, const struct volume *v, struct segment_id segment,
              uint64_t frame_pos)
{
	struct read_queue *q = it->reader->engine->reads;
	struct spot_key k = { v, segment, frame_pos };
	pthread_mutex_lock(&q->spot_lock);
	take_out(q, it);
	if (!it->gone)
		put_in(q, it, &k);
	pthread_mutex_unlock(&q->spot_lock);
}

static bool spot_suits(const struct reader_item *it, const struct spot_query *want)
{
	uint64_t held = atomic_load_explicit(&it->reader->held_bytes, memory_order_relaxed);
	return (!want->reader || it->reader == want->reader) &&
	       (!want->stream || it->stream_id == want->stream) &&
	       (!want->held_most || held <= want->held_most);
}

struct reader_item *spot_take(struct read_queue *q, const struct spot_query *want)
{
	struct spot_key k = { want->v, want->segment, want->frame_pos };
	pthread_mutex_lock(&q->spot_lock);
	struct reader_item *it = map_get(&q->spots, spot_hash(&k), spot_equal, &k);
	while (it && !spot_suits(it, want))
		it = it->spot.next;
	if (it) {
		take_out(q, it);
		item_retain(it);
		reader_retain(it->reader); /* it is in the set: the reader is there */
	}
	pthread_mutex_unlock(&q->spot_lock);
	return it;
}
