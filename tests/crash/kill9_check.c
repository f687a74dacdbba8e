/* The checker: attaches what a killed worker left and compares it with the model.
 *
 *   P1  each acked append is there, at its offset, with its bytes; acked trims hold; keys agree
 *   P2  offsets are dense, no gap, nothing twice (ids rise)
 *   P3  what was once read at an offset, or could be, is there for ever
 *
 * Then what is stored is looked at by itself (kill9_cut.c), and now and then the volume is drained
 * and attached in an empty directory, where everything must be the same. */
#include "tests/crash/kill9.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct view { /* of one room, this time */
	uint64_t start, end;
	uint64_t first_id, last_id; /* of what was read; 0 = nothing */
	uint64_t kv_last, kv_trim;
};

struct pair {
	uint32_t room;
	uint64_t id;
};

struct check {
	struct model *m;
	struct firn_volume *volume;
	struct view view[ROOMS];
	struct pair pair[4096]; /* the latest partners seen */
	uint32_t n_pair;
	uint8_t want[MESSAGE_MAX];
};

/* ---- records ---- */

static void check_content(struct check *c, uint32_t room, const struct firn_batch *b)
{
	struct message head;
	if (b->len < sizeof head)
		die("room %u: offset %lu: %lu bytes", room, (unsigned long)b->offset,
		    (unsigned long)b->len);
	memcpy(&head, b->data, sizeof head);
	uint32_t len = message_make(c->want, room, head.id, head.pair_room, head.pair_id);
	if (head.room != room || !head.id || len != b->len || memcmp(c->want, b->data, len) != 0)
		die("room %u: offset %lu: other bytes than were written (id %lu)", room,
		    (unsigned long)b->offset, (unsigned long)head.id);
	if (head.pair_id)
		c->pair[c->n_pair++ % 4096] = (struct pair){ head.pair_room, head.pair_id };
}

static void check_record(struct check *c, uint32_t room, const struct firn_batch *b)
{
	struct room *r = &c->m->room[room];
	struct view *v = &c->view[room];
	uint64_t id;
	check_content(c, room, b);
	memcpy(&id, b->data + 8, sizeof id);
	if (b->n_offsets != message_offsets(room, id))
		die("room %u: id %lu has %u offsets", room, (unsigned long)id, b->n_offsets);
	if (id > atomic_load(&r->submitted_id) || id >= MAX_ID)
		die("room %u: id %lu was never written", room, (unsigned long)id);
	if (v->last_id &&
	    (id <= v->last_id || (room_kind(room) != ROOM_PLAIN && id != v->last_id + 1)))
		die("room %u: offset %lu: id %lu behind id %lu", room, (unsigned long)b->offset,
		    (unsigned long)id, (unsigned long)v->last_id);
	if (r->base[id] && r->base[id] != b->offset + 1)
		die("room %u: id %lu was at offset %lu, now at %lu", room, (unsigned long)id,
		    (unsigned long)r->base[id] - 1, (unsigned long)b->offset);
	if (!r->base[id] && b->offset < r->end)
		die("room %u: offset %lu was read before, with another id than %lu", room,
		    (unsigned long)b->offset, (unsigned long)id);
	if (r->rev[id] && r->rev[id] != b->rev + 1)
		die("room %u: id %lu was write %lu, now %lu", room, (unsigned long)id,
		    (unsigned long)r->rev[id] - 1, (unsigned long)b->rev);
	r->base[id] = b->offset + 1;
	r->rev[id] = b->rev + 1;
	v->first_id = v->first_id ? v->first_id : id;
	v->last_id = id;
	atomic_fetch_add(&c->m->n_read, 1);
}

/* Returns where the next record begins. */
static uint64_t check_part(struct check *c, uint32_t room, const struct firn_part *p, uint64_t at,
                           bool first)
{
	const char *b = (const char *)p->batch;
	if (p->code || p->gap)
		die("room %u: at %lu: %s, gap %u", room, (unsigned long)at, firn_code_name(p->code),
		    p->gap);
	for (uint32_t i = 0; i < p->n_batch; i++, b += p->batch_size) {
		const struct firn_batch *batch = (const void *)b;
		bool holds = first && !i && batch->offset <= at &&
		             at < batch->offset + batch->n_offsets;
		if (batch->offset != at && !holds)
			die("room %u: a hole: offset %lu comes at %lu", room,
			    (unsigned long)batch->offset, (unsigned long)at);
		check_record(c, room, batch);
		at = batch->offset + batch->n_offsets;
	}
	return at;
}

static void read_room(struct check *c, uint32_t room, uint64_t from)
{
	uint64_t stream = atomic_load(&c->m->room[room].stream), at = from;
	while (at < c->view[room].end) {
		struct firn_error err = FIRN_ERROR_INIT;
		const struct firn_fetched *got;
		if (firn_stream_read(c->volume, stream, at, 4 << 20, 1000, &got, &err))
			die("room %u: read at %lu: %s", room, (unsigned long)at, err.text);
		uint64_t next = got->n_part ? check_part(c, room, got->part, at, at == from) : at;
		firn_release(got);
		if (next == at)
			die("room %u: nothing at %lu, but it ends at %lu", room, (unsigned long)at,
			    (unsigned long)c->view[room].end);
		at = next;
	}
	if (at != c->view[room].end)
		die("room %u: ends at %lu, read to %lu", room, (unsigned long)c->view[room].end,
		    (unsigned long)at);
}

/* ---- a room ---- */

static void look(struct check *c, uint32_t room)
{
	uint64_t stream = atomic_load(&c->m->room[room].stream);
	struct view *v = &c->view[room];
	v->start = mark(c->volume, stream, FIRN_MARK_START);
	v->end = mark(c->volume, stream, FIRN_MARK_VISIBLE);
	v->kv_last = kv(c->volume, stream, "last");
	v->kv_trim = kv(c->volume, stream, "trim");
	if (v->kv_trim != v->start)
		die("room %u: begins at %lu, its key says %lu", room, (unsigned long)v->start,
		    (unsigned long)v->kv_trim);
}

static void check_room(struct check *c, uint32_t room, bool whole)
{
	struct room *r = &c->m->room[room];
	struct view *v = &c->view[room];
	look(c, room);
	if (v->start < r->start || v->start < atomic_load(&r->trim_acked) ||
	    v->start > atomic_load(&r->trim_submitted))
		die("room %u: begins at %lu; before %lu, trimmed %lu acked, %lu asked for", room,
		    (unsigned long)v->start, (unsigned long)r->start,
		    (unsigned long)atomic_load(&r->trim_acked),
		    (unsigned long)atomic_load(&r->trim_submitted));
	if (v->end < r->end)
		die("room %u: ended at %lu, now at %lu", room, (unsigned long)r->end,
		    (unsigned long)v->end);
	if (v->end < atomic_load(&r->seen_end))
		die("room %u: could be read up to %lu, now ends at %lu", room,
		    (unsigned long)atomic_load(&r->seen_end), (unsigned long)v->end);
	uint64_t from = v->start;
	if (!whole && r->last_id > 500 && r->base[r->last_id - 500])
		from = r->base[r->last_id - 500] - 1;
	if (from < v->start)
		from = v->start;
	read_room(c, room, from);
	if (v->last_id && v->kv_last != v->last_id)
		die("room %u: its last id is %lu, its key says %lu", room,
		    (unsigned long)v->last_id, (unsigned long)v->kv_last);
	r->start = v->start;
	r->end = v->end;
	if (v->last_id)
		r->last_id = v->last_id;
}

/* ---- all rooms ---- */

static void check_acks(struct check *c)
{
	struct model *m = c->m;
	unsigned long n = atomic_load(&m->n_ack);
	for (unsigned long i = m->n_ack_checked; i < n; i++) {
		const struct ack *a = &m->ack[i];
		const struct room *r = &m->room[a->room];
		if (a->base + a->n_offsets <= c->view[a->room].start)
			continue; /* trimmed */
		if (r->base[a->id] != a->base + 1)
			die("room %u: id %lu was acked at offset %lu, but is %s", a->room,
			    (unsigned long)a->id, (unsigned long)a->base,
			    r->base[a->id] ? "elsewhere" : "not there");
		if (a->rev && r->rev[a->id] != a->rev + 1)
			die("room %u: id %lu was acked as write %lu, is %lu", a->room,
			    (unsigned long)a->id, (unsigned long)a->rev,
			    (unsigned long)r->rev[a->id] - 1);
	}
	m->n_ack_checked = n;
}

/* Both halves of a pair, unless one is trimmed: its room begins with a later id then. */
static void check_pairs(struct check *c)
{
	for (uint32_t i = 0; i < c->n_pair && i < 4096; i++) {
		const struct pair *p = &c->pair[i];
		const struct view *v = &c->view[p->room];
		if (!c->m->room[p->room].base[p->id] && v->first_id && v->first_id < p->id)
			die("room %u: id %lu is missing, its partner of the same write is there",
			    p->room, (unsigned long)p->id);
	}
}

static bool check_all(struct check *c, bool whole)
{
	for (uint32_t room = 0; room < ROOMS; room++)
		if (!atomic_load(&c->m->room[room].stream))
			return false; /* the worker did not get that far yet */
	for (uint32_t room = 0; room < ROOMS; room++)
		check_room(c, room, whole);
	check_acks(c);
	check_pairs(c);
	return true;
}

static bool check_here(struct model *m, const char *dir, bool whole, uint32_t detach_mode)
{
	static struct check c;
	int code;
	struct firn_engine *e = engine_open(m, dir);
	memset(&c, 0, sizeof c);
	c.m = m;
	c.volume = attach(e, m, 0, &code);
	if (!c.volume && code != FIRN_ENOENT)
		c.volume = attach(e, m, 0, NULL); /* tells why, and dies */
	bool checked = c.volume && check_all(&c, whole);
	if (c.volume)
		detach(e, c.volume, detach_mode);
	engine_close(e);
	return checked;
}

_Noreturn void checker_main(struct model *m, bool whole, const char *move_to)
{
	bool checked = check_here(m, m->dir, whole || move_to,
	                          move_to ? FIRN_DETACH_DRAIN : FIRN_DETACH_KEEP_WAL);
	if (!checked)
		_exit(0);
	if (move_to) /* the old directory is not needed any more, whatever happens to us now */
		snprintf(m->dir, sizeof m->dir, "%s", move_to);
	check_cut(m);
	if (move_to)
		check_here(m, move_to, true, FIRN_DETACH_KEEP_WAL);
	_exit(0);
}
