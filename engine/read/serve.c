/* A pass over the ready items of a reader: what each of them gives to the fetch, and where it
 * goes.
 *
 *   ready --look--> code | ready slot | gather: tail or stored, batch by batch
 *                     |        |            |
 *                     +--------+--settle----+--> idle, ready again, or loading
 *
 * Holds reader.serve throughout, the volume's lock for a look at the stream before and one
 * after: what changed in between makes the item ready again. */
#include "engine/read/read.h"
#include "engine/base/mem.h"
#include <inttypes.h>
#include <stdio.h>

/* ---- parts without data ---- */

void part_marks(struct firn_part *p, const struct look *k)
{
	p->start = k->start;
	p->visible = k->visible;
	p->stable = k->stable;
	p->stored = k->stored;
}

bool pass_parts_full(const struct pass *p)
{
	const struct fetch *f = &p->r->fetch;
	return f->max_parts && p->r->builder.n_part >= f->max_parts;
}

void pass_tell(struct pass *p, struct reader_item *it, const struct look *k, int code,
               uint32_t flags)
{
	struct build_part *part;
	p->told = true;
	if (pass_parts_full(p) || build_part_add(&p->r->builder, it, &part))
		return;
	part->part.code = code;
	part->part.flags = flags;
	part_marks(&part->part, k);
}

/* ---- where an item goes after it was served ---- */

enum next { NEXT_IDLE, NEXT_READY, NEXT_FRONT };

static void settle(struct pass *p, struct reader_item *it, uint64_t pos, uint64_t bound,
                   enum next next)
{
	struct firn_reader *r = p->r;
	struct volume *v = it->volume;
	if (v)
		pthread_mutex_lock(&v->lock);
	struct stream *s = v ? it->stream : NULL;
	pthread_mutex_lock(&r->lock);
	it->pos = pos;
	it->where = ITEM_IDLE;
	/* No stream: it went while the item was served, which nobody was told then. */
	if (next == NEXT_IDLE && v &&
	    (!s || s->deleted || pos < s->start || stream_mark(s, it->up_to) > bound)) {
		next = NEXT_READY;
		p->again = true;
	}
	if (next != NEXT_IDLE)
		item_to_ready(it, next == NEXT_FRONT);
	pthread_mutex_unlock(&r->lock);
	if (v)
		pthread_mutex_unlock(&v->lock);
}

/* ---- data ---- */

static void hole_log(struct take *t)
{
	const struct firn_env *env = t->r->engine->env;
	char text[400];
	if (!env->log)
		return;
	(void)snprintf(text, sizeof text,
	               "volume %s: stream %" PRIu64 ": offsets from %" PRIu64
	               " on are missing, no gap is known",
	               t->it->volume->name, t->it->stream_id, t->pos);
	env->log(env->ctx, FIRN_LOG_ERROR, "read", text);
}

/* Of a volume that follows its writer: the index is on its way to a later cut, which trims what is missing, and tells the
 * item then. Or that cut has come since the look. */
static enum got hole_of_a_turn(struct take *t)
{
	struct volume *v = t->it->volume;
	pthread_mutex_lock(&v->lock);
	enum got got = v->cut != t->look->cut ? GOT_LOOK : v->turning ? GOT_END : GOT_HOLE;
	pthread_mutex_unlock(&v->lock);
	return got;
}

/* Offsets are missing: is there a gap with a row? Otherwise it is damage. */
static enum got hole_explain(struct take *t)
{
	if (t->in_caller)
		return GOT_DEFER;
	struct gap_known gap;
	int rc = stored_gap(t->r->engine, t->it->volume, t->it->stream_id, t->pos, &gap);
	if (rc == 0 && gap.kind == GAP_LOST) { /* nobody moves past it unasked */
		t->lost = gap;
		t->code = FIRN_ELOST;
		return GOT_CODE;
	}
	if (rc == 0 && gap.kind)
		return take_gap(t, gap.kind, gap.to < t->bound ? gap.to : t->bound);
	enum got turn = rc == 0 ? hole_of_a_turn(t) : GOT_HOLE;
	if (turn != GOT_HOLE)
		return turn;
	if (rc == 0)
		hole_log(t);
	t->code = rc ? rc : FIRN_ECORRUPT;
	return GOT_CODE;
}

static int data_code(const struct look *k, uint64_t pos)
{
	return pos < k->start || pos > k->bound ? FIRN_ERANGE : 0;
}

/* Takes what there is for the item. What was looked at may be over by the time it is used (a
 * commit, a trim): then it is looked at again, three times without progress at most. */
static enum got gather(struct take *t)
{
	struct look *k = t->look;
	uint64_t seen = t->pos;
	int idle = 0;
	enum got got = t->pos < t->bound ? GOT_MORE : GOT_END;
	while (got == GOT_MORE || got == GOT_LOOK) {
		if (got == GOT_LOOK) {
			idle = t->pos == seen ? idle + 1 : 0;
			seen = t->pos;
			t->code = item_look(t->it, t->pos, k);
			if (t->code == 0)
				t->code = data_code(k, t->pos);
			t->bound = k->bound > t->bound ? k->bound : t->bound;
			if (t->code)
				return GOT_CODE;
		}
		if (t->pos >= t->bound)
			return GOT_END;
		if (k->n && k->e[0].base <= t->pos)
			got = tail_take(t);
		else
			got = look_is_old(k, t->pos) ? old_take(t) : stored_take(t);
		if (got == GOT_HOLE || (got == GOT_LOOK && idle > 2))
			got = idle++ == 0 ? GOT_LOOK : hole_explain(t);
	}
	return got;
}

static void part_lost(struct firn_part *part, const struct gap_known *gap)
{
	part->gap = FIRN_GAP_LOST;
	part->gap_from = gap->from;
	part->gap_to = gap->to;
}

/* The fetch has something of this item already: an error is told by the next fetch. */
static void code_settle(struct pass *p, struct take *t, const struct look *k, int code)
{
	struct reader_item *it = t->it;
	if (it->part == READ_NO_PART) {
		pass_tell(p, it, k, code, 0);
		if (code == FIRN_ELOST && it->part != READ_NO_PART)
			part_lost(&p->r->builder.part[it->part].part, &t->lost);
		settle(p, it, it->pos, k->bound, NEXT_READY);
		return;
	}
	p->told = true;
	p->r->builder.part[it->part].part.flags |= FIRN_F_MORE;
	settle(p, it, t->pos, k->bound, NEXT_READY);
}

static void data_settle(struct pass *p, struct take *t, enum got got)
{
	struct reader_item *it = t->it;
	struct firn_part *part = it->part == READ_NO_PART ? NULL
	                                                  : &p->r->builder.part[it->part].part;
	bool more = got == GOT_FULL || got == GOT_ITEM_FULL || got == GOT_STOP || got == GOT_COLD ||
	            got == GOT_DEFER;
	if (part) {
		part_marks(part, t->look);
		part->flags = more ? part->flags | FIRN_F_MORE
		                   : part->flags & ~(uint32_t)FIRN_F_MORE;
	}
	p->full |= got == GOT_FULL;
	p->defer |= got == GOT_DEFER;
	if (got == GOT_COLD) {
		if (load_want(it, t->pos, &t->want))
			code_settle(p, t, t->look, FIRN_ENOMEM);
		return;
	}
	if (got == GOT_CODE) {
		code_settle(p, t, t->look, t->code);
		return;
	}
	/* Who was cut off by the fetch's bound before its first batch comes first in the next
	 * one. */
	enum next next = got == GOT_END             ? NEXT_IDLE
	                 : got == GOT_FULL && !part ? NEXT_FRONT
	                                            : NEXT_READY;
	if (got == GOT_END ||
	    cursors_full(p->r)) { /* at the end there is nothing to come back to */
		cursor_free(p->r, it->cursor);
		it->cursor = NULL;
	}
	settle(p, it, t->pos, t->bound, next);
}

static void serve_data(struct pass *p, struct reader_item *it, struct look *k)
{
	struct take t = {
		.r = p->r,
		.it = it,
		.pos = it->pos,
		.bound = k->bound,
		.left = p->left,
		.whole = it->up_to == FIRN_MARK_DURABLE,
		.in_caller = p->in_caller,
		.look = k,
	};
	enum got got = gather(&t);
	p->left = t.left;
	p->told |= t.told;
	data_settle(p, &t, got);
}

/* ---- one item ---- */

static void serve_ready(struct pass *p, struct reader_item *it, const struct look *k)
{
	bool ready = it->pos < k->bound;
	if (ready)
		pass_tell(p, it, k, 0, 0);
	settle(p, it, it->pos, k->bound, ready ? NEXT_READY : NEXT_IDLE);
}

/* What a load brought, or why it failed. */
static int landed_take(struct reader_item *it, struct cursor **landed)
{
	int rc = it->landed_rc;
	*landed = it->landed;
	it->landed = NULL;
	it->landed_rc = 0;
	return rc;
}

static void cursor_adopt(struct reader_item *it, struct cursor *c)
{
	if (!c)
		return;
	cursor_free(it->reader, it->cursor);
	it->cursor = c;
	if (c->lsn == 0 && it->volume)
		load_ahead(it, &c->x);
}

static bool mark_has_data(uint16_t mark)
{
	return mark == FIRN_MARK_VISIBLE || mark == FIRN_MARK_STABLE || mark == FIRN_MARK_DURABLE ||
	       mark == FIRN_MARK_STORED;
}

static void serve(struct pass *p, struct reader_item *it, int landed_rc)
{
	bool ready = p->r->fetch.flags & FIRN_FETCH_READY;
	struct look k;
	struct take t = { .r = p->r, .it = it, .pos = it->pos };
	int code = item_look(it, it->pos, &k);
	if (code == FIRN_EFENCED && ready)
		code = 0;
	if (code == 0 && !ready)
		code = mark_has_data(it->up_to) ? data_code(&k, it->pos) : FIRN_EINVAL;
	if (code == 0)
		code = ready ? 0 : landed_rc;
	if (code)
		code_settle(p, &t, &k, code);
	else if (ready)
		serve_ready(p, it, &k);
	else
		serve_data(p, it, &k);
}

/* The next ready item, out of the list; NULL when there is none. */
static struct reader_item *ready_take(struct firn_reader *r, struct cursor **landed, int *landed_rc)
{
	pthread_mutex_lock(&r->lock);
	struct reader_item *it = r->ready.first;
	if (it) {
		item_out(it);
		it->where = ITEM_SERVED;
		*landed_rc = landed_take(it, landed);
	}
	pthread_mutex_unlock(&r->lock);
	return it;
}

/* How many are ready: with those that may begin their loads now. */
static uint32_t ready_count(struct firn_reader *r)
{
	pthread_mutex_lock(&r->lock);
	for (uint32_t free = READ_LOADS - r->n_load; free > 0 && r->cold.first; free--)
		item_unfreeze(r->cold.first, false);
	uint32_t n = r->ready.n;
	pthread_mutex_unlock(&r->lock);
	return n;
}

/* Bytes that results may still pin. */
static uint64_t pin_room(const struct firn_reader *r)
{
	const struct engine *e = r->engine;
	uint64_t all = atomic_load_explicit(&e->account->pin_bytes, memory_order_relaxed);
	uint64_t own = atomic_load_explicit(&r->pin->bytes, memory_order_relaxed);
	uint64_t room = all < e->pin_bytes ? e->pin_bytes - all : 0;
	uint64_t own_room = own < r->pin_max ? r->pin_max - own : 0;
	return room < own_room ? room : own_room;
}

/* Loads came to an end during the pass, and nothing that lands will wake those that wait for
 * room. */
static bool cold_forgotten(struct firn_reader *r)
{
	pthread_mutex_lock(&r->lock);
	bool is = r->cold.first && r->n_load < READ_LOADS;
	pthread_mutex_unlock(&r->lock);
	return is;
}

void pass_run(struct pass *p)
{
	struct firn_reader *r = p->r;
	struct fetch *f = &r->fetch;
	uint64_t room = f->flags & FIRN_FETCH_READY ? UINT64_MAX : pin_room(r),
	         had = r->builder.bytes;
	uint64_t most = f->max_bytes > had ? f->max_bytes - had : 0;
	p->left = most < room ? most : room;
	p->pinned_out = room == 0;
	uint32_t n = p->pinned_out ? 0 : ready_count(r);
	uint32_t bound = f->flags & FIRN_FETCH_READY ? READ_IN_CALLER_READY : READ_IN_CALLER;
	if (p->in_caller && n > bound) {
		n = bound;
		p->defer = true;
	}
	while (n-- > 0 && !p->full && !(pass_parts_full(p) && f->flags & FIRN_FETCH_READY)) {
		struct cursor *landed = NULL;
		int landed_rc = 0;
		struct reader_item *it = ready_take(r, &landed, &landed_rc);
		if (!it)
			break;
		cursor_adopt(it, landed);
		serve(p, it, landed_rc);
	}
	if (!p->pinned_out && !p->full)
		p->again |= cold_forgotten(r);
}
