/* A reader: its set of items, opening and closing it, and volumes that go away under it.
 *
 * An item is made anew by every set: a load that was under way for the old one finds it gone.
 * Whether a stream exists is told by the fetch, so setting needs no look at it beyond the link. */
#include "engine/read/load.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/base/newer.h"
#include <string.h>

enum { SLOTS_MAX = 1 << 24 };

/* ---- life ---- */

void reader_retain(struct firn_reader *r)
{
	atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
}

void reader_release(struct firn_reader *r)
{
	if (atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
		return;
	struct account *a = r->account;
	build_fini(&r->builder);
	pin_release(r->pin);
	pthread_mutex_destroy(&r->lock);
	pthread_mutex_destroy(&r->serve);
	mem_free(&a->env, r->slot);
	mem_free(&a->env, r);
	account_release(a);
}

void cursor_count(struct firn_reader *r, struct cursor *c)
{
	c->counted = c->blob->charge;
	atomic_fetch_add_explicit(&r->engine->reads->cursor_bytes, c->counted,
	                          memory_order_relaxed);
}

bool cursors_full(const struct firn_reader *r)
{
	struct engine *e = r->engine;
	return atomic_load_explicit(&e->reads->cursor_bytes, memory_order_relaxed) >
	       share_cursors(e);
}

void cursor_free(struct firn_reader *r, struct cursor *c)
{
	if (!c)
		return;
	if (c->counted)
		atomic_fetch_sub_explicit(&r->engine->reads->cursor_bytes, c->counted,
		                          memory_order_relaxed);
	blob_release(c->blob);
	mem_free(&r->account->env, c);
}

void item_retain(struct reader_item *it)
{
	atomic_fetch_add_explicit(&it->refs, 1, memory_order_relaxed);
}

void item_release(struct reader_item *it)
{
	if (!it || atomic_fetch_sub_explicit(&it->refs, 1, memory_order_acq_rel) != 1)
		return;
	struct account *a = it->reader->account;
	cursor_free(it->reader, it->cursor);
	cursor_free(it->reader, it->landed);
	held_drop(it);
	atomic_fetch_sub_explicit(&a->other_bytes, sizeof *it, memory_order_relaxed);
	mem_free(&a->env, it);
}

/* Takes the item out of everything; reader.serve held. */
static void item_drop(struct reader_item *it)
{
	struct firn_reader *r = it->reader;
	struct volume *v = it->volume;
	if (v) {
		pthread_mutex_lock(&v->lock);
		item_unlink(it);
		pthread_mutex_unlock(&v->lock);
	}
	pthread_mutex_lock(&r->lock);
	item_out(it);
	it->gone = true;
	spot_clear(it);
	pthread_mutex_unlock(&r->lock);
	if (it->part != READ_NO_PART)
		r->builder.part[it->part].item = NULL;
	item_release(it);
}

static struct read_pin *pin_new(struct account *a)
{
	struct read_pin *pin = mem_zalloc(&a->env, sizeof *pin);
	if (!pin)
		return NULL;
	pin->account = a;
	atomic_init(&pin->refs, 1);
	account_retain(a);
	return pin;
}

static struct firn_reader *reader_new(struct engine *e, const struct firn_reader_opts *o)
{
	struct account *a = e->account;
	struct firn_reader *r = mem_zalloc(&a->env, sizeof *r);
	struct read_pin *pin = r ? pin_new(a) : NULL;
	if (!pin) {
		mem_free(&a->env, r);
		return NULL;
	}
	account_retain(a);
	r->engine = e;
	r->account = r->builder.account = a;
	r->pin = pin;
	r->pin_max = o->pin_max_bytes && o->pin_max_bytes < e->pin_bytes ? o->pin_max_bytes
	                                                                 : e->pin_bytes;
	r->ahead_max = o->readahead_max_bytes ? o->readahead_max_bytes : READ_AHEAD_WINDOW;
	uint64_t most = (share_held(e) + share_cached(e) / 4 * 3) /
	                2; /* with all that is ever lent */
	if (r->ahead_max > most)
		r->ahead_max = most;
	r->scans = o->cls == FIRN_CLASS_REPLAY || o->cls == FIRN_CLASS_BULK;
	r->waits_end = &r->waits;
	atomic_init(&r->refs, 1);
	pthread_mutex_init(&r->serve, NULL);
	pthread_mutex_init(&r->lock, NULL);
	return r;
}

static int opts_copy(const struct firn_reader_opts *from, struct firn_reader_opts *to,
                     struct firn_error *err)
{
	*to = (struct firn_reader_opts){ .struct_size = sizeof *to };
	if (!from)
		return 0;
	if (from->struct_size < sizeof *to)
		return fail(err, FIRN_EINVAL, 0, "read",
		            "struct_size %u of reader options is too small", from->struct_size);
	if (newer_says_more(from, sizeof *to, from->struct_size))
		return fail(err, FIRN_EUNSUPPORTED, 0, "read",
		            "a reader option of a newer release");
	if (from->cls > FIRN_CLASS_BULK)
		return fail(err, FIRN_EINVAL, 0, "read", "no such class: %u", from->cls);
	memcpy(to, from, sizeof *to);
	return 0;
}

int firn_reader_open(struct firn_engine *engine, const struct firn_reader_opts *opts,
                     struct firn_reader **out, struct firn_error *err)
{
	if (out)
		*out = NULL;
	if (!engine || !out)
		return fail(err, FIRN_EINVAL, 0, "read", "engine and out must be set");
	struct firn_reader_opts o;
	int rc = opts_copy(opts, &o, err);
	if (rc)
		return rc;
	struct engine *e = engine_of(engine);
	struct firn_reader *r = reader_new(e, &o);
	if (!r)
		return fail(err, FIRN_ENOMEM, 0, "read", "no memory for a reader");
	queue_add(r);
	pthread_mutex_lock(&e->lock);
	e->n_reader++;
	pthread_mutex_unlock(&e->lock);
	*out = r;
	return 0;
}

int firn_reader_close(struct firn_reader *r)
{
	if (!r)
		return 0;
	struct engine *e = r->engine;
	struct ending end = { 0 };
	queue_remove(r);
	pthread_mutex_lock(&r->serve);
	r->closed = true;
	fetch_abort(r, FIRN_ECANCELED, "the reader was closed", &end);
	for (size_t i = 0; i < r->n_slot; i++)
		if (r->slot[i])
			item_drop(r->slot[i]);
	r->n_slot = 0;
	pthread_mutex_unlock(&r->serve);
	ending_send(e, &end);
	pthread_mutex_lock(&e->lock);
	e->n_reader--;
	pthread_mutex_unlock(&e->lock);
	reader_release(r);
	return 0;
}

/* ---- the set ---- */

static int item_check(const struct firn_item *item)
{
	if (item->flags & ~(uint32_t)FIRN_ITEM_REMOVE || item->object)
		return FIRN_EUNSUPPORTED;
	if (item->slot >= SLOTS_MAX)
		return FIRN_EINVAL;
	if (item->flags & FIRN_ITEM_REMOVE)
		return 0;
	return !item->volume || item->_pad || item->up_to > FIRN_MARK_LOCAL ? FIRN_EINVAL : 0;
}

static struct reader_item *item_new(struct firn_reader *r, const struct firn_item *item)
{
	struct reader_item *it = mem_zalloc(&r->account->env, sizeof *it);
	if (!it)
		return NULL;
	atomic_fetch_add_explicit(&r->account->other_bytes, sizeof *it, memory_order_relaxed);
	atomic_init(&it->refs, 1);
	it->reader = r;
	it->volume = volume_of(item->volume);
	it->stream_id = item->stream;
	it->offset = it->pos = item->offset;
	it->slot = item->slot;
	it->max_bytes = item->max_bytes;
	it->up_to = item->up_to;
	it->part = READ_NO_PART;
	it->ahead_window = r->scans ? r->ahead_max : 4 * READ_AHEAD_MIN;
	return it;
}

static void item_place(struct firn_reader *r, struct reader_item *it)
{
	struct volume *v = it->volume;
	if (r->slot[it->slot])
		item_drop(r->slot[it->slot]);
	r->slot[it->slot] = it;
	if (v) {
		pthread_mutex_lock(&v->lock);
		item_link(it);
		pthread_mutex_unlock(&v->lock);
	}
	pthread_mutex_lock(&r->lock);
	item_to_ready(it, false);
	pthread_mutex_unlock(&r->lock);
}

static int slots_grow(struct firn_reader *r, size_t n)
{
	if (n <= r->n_slot)
		return 0;
	size_t cap = r->n_slot ? r->n_slot : 8;
	while (cap < n)
		cap *= 2;
	struct reader_item **slot = mem_zalloc(&r->account->env, cap * sizeof *slot);
	if (!slot)
		return FIRN_ENOMEM;
	if (r->n_slot)
		memcpy(slot, r->slot, r->n_slot * sizeof *slot);
	mem_free(&r->account->env, r->slot);
	r->slot = slot;
	r->n_slot = cap;
	return 0;
}

static const struct firn_item *item_at(const struct firn_item *item, uint32_t size, uint32_t i)
{
	return (const struct firn_item *)(const void *)((const uint8_t *)item + (size_t)size * i);
}

/* All items that will be needed, before anything changes; fresh[i] NULL = a removal. */
static int set_prepare(struct firn_reader *r, const struct firn_item *item, uint32_t size,
                       uint32_t n, struct reader_item **fresh)
{
	size_t top = 0;
	int rc = 0;
	for (uint32_t i = 0; i < n && rc == 0; i++) {
		const struct firn_item *at = item_at(item, size, i);
		rc = item_check(at);
		if (rc || at->flags & FIRN_ITEM_REMOVE)
			continue;
		fresh[i] = item_new(r, at);
		if (!fresh[i])
			rc = FIRN_ENOMEM;
		else if (fresh[i]->volume && fresh[i]->volume->engine != r->engine)
			rc = FIRN_EINVAL;
		top = at->slot + (size_t)1 > top ? at->slot + (size_t)1 : top;
	}
	return rc ? rc : slots_grow(r, top);
}

/* Does a caller's struct that is newer than this library use what we do not know? */
static bool items_newer(const struct firn_item *item, uint32_t size, uint32_t n)
{
	bool more = false;
	for (uint32_t i = 0; i < n && size > sizeof *item && !more; i++)
		more = newer_says_more(item_at(item, size, i), sizeof *item, size);
	return more;
}

int firn_reader_set(struct firn_reader *r, const struct firn_item *item, uint32_t item_size,
                    uint32_t n)
{
	if (!r || (n && !item) || item_size < sizeof *item || item_size % 8)
		return FIRN_EINVAL;
	if (n == 0)
		return 0;
	if (items_newer(item, item_size, n))
		return FIRN_EUNSUPPORTED;
	struct reader_item **fresh = mem_zalloc(&r->account->env, n * sizeof(struct reader_item *));
	if (!fresh)
		return FIRN_ENOMEM;
	pthread_mutex_lock(&r->serve);
	int rc = set_prepare(r, item, item_size, n, fresh);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t slot = item_at(item, item_size, i)->slot;
		if (rc) {
			item_release(fresh[i]);
		} else if (fresh[i]) {
			item_place(r, fresh[i]);
		} else if (slot < r->n_slot && r->slot[slot]) {
			item_drop(r->slot[slot]);
			r->slot[slot] = NULL;
		}
	}
	bool run = rc == 0 && r->fetch.active;
	pthread_mutex_unlock(&r->serve);
	if (run)
		queue_run(r);
	mem_free(&r->account->env, fresh);
	return rc;
}

/* ---- a volume goes ---- */

static bool reader_forget(struct firn_reader *r, struct volume *v)
{
	bool had = false;
	for (size_t i = 0; i < r->n_slot; i++) {
		struct reader_item *it = r->slot[i];
		if (!it || it->volume != v)
			continue;
		had = true;
		pthread_mutex_lock(&v->lock);
		item_unlink(it);
		pthread_mutex_unlock(&v->lock);
		it->volume = NULL;
		pthread_mutex_lock(&r->lock);
		it->gone = true;
		spot_clear(it);
		item_to_ready(it, false);
		pthread_mutex_unlock(&r->lock);
	}
	turn_forget(r, v);
	return had;
}

static void works_forget(struct engine *e, struct volume *v);

void read_forget_volume(struct engine *e, struct volume *v)
{
	handle_close(v->handle); /* gives NULL from now on: nobody finds the volume any more */
	uint64_t round = queue_walk(e->reads);
	struct firn_reader *r;
	while ((r = queue_walk_next(e->reads, round))) {
		struct ending end = { 0 };
		pthread_mutex_lock(&r->serve);
		if (reader_forget(r, v))
			fetch_abort(r, FIRN_ECANCELED, "a volume of the set is detached", &end);
		pthread_mutex_unlock(&r->serve);
		ending_send(e, &end);
		reader_release(r);
	}
	queue_walk_end(e->reads);
	works_forget(e, v);
}

/* Work that waits is dropped, work that runs is waited for: it uses the volume's store. */
static void works_forget(struct engine *e, struct volume *v)
{
	struct read_queue *q = e->reads;
	struct work *gone = queue_take_volume(q, v);
	while (gone) {
		struct work *next = gone->next;
		gone->drop(e, gone);
		gone = next;
	}
	queue_wait_volume(q, v);
}
