/* The worker: session after session (open, attach, write, detach, close) until it is killed. */
#include "tests/crash/kill9.h"
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TAG_APPEND = 1, TAG_PAIR = 2, TAG_TRIM = 3 };

struct worker {
	struct model *m;
	uint64_t chance;
	struct firn_engine *engine;
	struct firn_volume *volume;
	struct firn_cq *cq;
	uint64_t stream[ROOMS], next_id[ROOMS];
	uint32_t in_flight[ROOMS], total;
	bool stop;        /* the session ends: a write failed, or there is no room in the model */
	uint64_t pair_id; /* id in room 5 of the pair in flight, one at a time */
	uint8_t buf[2][MESSAGE_MAX];
};

static uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- streams ---- */

static void open_room(struct worker *w, uint32_t room)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_event ev;
	char name[16];
	struct firn_stream_config config = { .struct_size = sizeof config };
	struct firn_op op = { .kind = FIRN_OP_CREATE, .flags = FIRN_CREATE_OPEN };
	struct firn_write write = FIRN_WRITE_INIT;
	if (room_kind(room) == ROOM_KEYED)
		config.key_window_n = 4096;
	int len = snprintf(name, sizeof name, "room-%u", room);
	op.u.stream = (struct firn_op_stream){ name, (uint32_t)len, 0, &config, 0 };
	write.volume = w->volume;
	write.op = &op;
	write.n_op = 1;
	if (firn_engine_call(w->engine, &write.req, &ev, &err))
		die("create %s: %s", name, err.text);
	firn_release(ev.result);
	w->stream[room] = ev.stream;
	unsigned long known = atomic_load(&w->m->room[room].stream);
	if (known && known != ev.stream)
		die("%s was stream %lu, now %lu", name, known, (unsigned long)ev.stream);
	atomic_store(&w->m->room[room].stream, ev.stream);
}

/* Where to go on: behind what is acked, a few earlier where sending again must do no harm. The
 * exact rule remembers five batches: three in flight and two acked ones. */
static void resume_room(struct worker *w, uint32_t room)
{
	const struct room *r = &w->m->room[room];
	uint64_t acked = atomic_load(&r->acked_id), again = chance(&w->chance, 3);
	if (room_kind(room) == ROOM_PLAIN)
		w->next_id[room] = atomic_load(&r->submitted_id) + 1;
	else
		w->next_id[room] = acked + 1 - (again < acked ? again : acked);
}

/* ---- writing ---- */

static void note_submitted(struct worker *w, uint32_t room, uint64_t id)
{
	struct room *r = &w->m->room[room];
	if (id > atomic_load(&r->submitted_id))
		atomic_store(&r->submitted_id, id);
}

static uint32_t fill_append(struct worker *w, struct firn_op *op, struct iovec *iov, uint32_t room,
                            uint64_t id, uint32_t pair_room, uint64_t pair_id, uint64_t *key)
{
	uint8_t *buf = w->buf[pair_room && room > pair_room];
	*iov = (struct iovec){ buf, message_make(buf, room, id, pair_room, pair_id) };
	*op = (struct firn_op){ .kind = FIRN_OP_APPEND, .stream = w->stream[room] };
	op->u.append.iov = iov;
	op->u.append.n_iov = 1;
	op->u.append.n_offsets = message_offsets(room, id);
	op->u.append.producer_id = 77 + room;
	*key = id;
	switch (room_kind(room)) {
	case ROOM_EXACT:
		op->flags = FIRN_APPEND_PRODUCER;
		op->u.append.producer_seq = id - 1;
		break;
	case ROOM_RISING:
		op->flags = FIRN_APPEND_PRODUCER | FIRN_SEQ_RISING;
		op->u.append.producer_seq = id * 4;
		break;
	case ROOM_KEYED:
		op->u.append.producer_id = 0;
		op->u.append.key = key;
		op->u.append.key_len = sizeof *key;
		break;
	case ROOM_PLAIN:
		op->u.append.producer_id = 0;
		break;
	}
	return op->u.append.n_offsets;
}

static void fill_last(struct firn_op *op, uint64_t stream, const char *key, const uint64_t *value)
{
	*op = (struct firn_op){ .kind = FIRN_OP_KV_PUT, .stream = stream };
	op->u.kv.key = key;
	op->u.kv.key_len = (uint32_t)strlen(key);
	op->u.kv.value = value;
	op->u.kv.value_len = sizeof *value;
}

/* true: taken. */
static bool submit(struct worker *w, const struct firn_op *op, uint32_t n_op, uint64_t tag)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_write write = FIRN_WRITE_INIT;
	write.req.cq = w->cq;
	write.req.user_data = tag;
	write.volume = w->volume;
	write.op = op;
	write.n_op = n_op;
	const struct firn_req *req = &write.req;
	if (firn_engine_submit(w->engine, &req, 1, &err) == 1)
		return true;
	if (err.code != FIRN_EFULL && err.code != FIRN_EAGAIN)
		die("submit: %s (%s)", err.text, firn_code_name(err.code));
	return false;
}

static uint64_t tag_of(uint64_t kind, uint32_t room, uint64_t value)
{
	return kind << 60 | (uint64_t)room << 52 | value;
}

static void write_one(struct worker *w, uint32_t room)
{
	struct firn_op op[2];
	struct iovec iov;
	uint64_t id = w->next_id[room], key;
	if (id >= MAX_ID) {
		w->stop = true;
		return;
	}
	fill_append(w, &op[0], &iov, room, id, 0, 0, &key);
	fill_last(&op[1], w->stream[room], "last", &id);
	note_submitted(w, room, id);
	if (!submit(w, op, 2, tag_of(TAG_APPEND, room, id)))
		return;
	w->next_id[room]++;
	w->in_flight[room]++;
	w->total++;
}

/* One write that appends to rooms 4 and 5: both are there, or none. */
static void write_pair(struct worker *w)
{
	struct firn_op op[4];
	struct iovec iov[2];
	uint64_t a = w->next_id[4], b = w->next_id[5], key[2];
	if (w->pair_id || a >= MAX_ID || b >= MAX_ID)
		return;
	fill_append(w, &op[0], &iov[0], 4, a, 5, b, &key[0]);
	fill_append(w, &op[1], &iov[1], 5, b, 4, a, &key[1]);
	fill_last(&op[2], w->stream[4], "last", &a);
	fill_last(&op[3], w->stream[5], "last", &b);
	note_submitted(w, 4, a);
	note_submitted(w, 5, b);
	if (!submit(w, op, 4, tag_of(TAG_PAIR, 4, a)))
		return;
	w->pair_id = b;
	w->next_id[4]++;
	w->next_id[5]++;
	w->in_flight[4]++;
	w->total++;
}

static void write_trim(struct worker *w, uint32_t room)
{
	struct firn_op op[2] = { { .kind = FIRN_OP_TRIM, .stream = w->stream[room] } };
	struct room *r = &w->m->room[room];
	uint64_t start = 0, end = 0;
	firn_stream_mark(w->volume, w->stream[room], FIRN_MARK_START, &start);
	firn_stream_mark(w->volume, w->stream[room], FIRN_MARK_DURABLE, &end);
	if (room_kind(room) == ROOM_EXACT) /* keep what may be sent again; there id = offset + 1 */
		end = atomic_load(&r->acked_id) > 8 ? atomic_load(&r->acked_id) - 8 : 0;
	unsigned long above = atomic_load(&r->trim_submitted);
	if (start < above)
		start = above;
	if (end < start + 2)
		return;
	uint64_t to = start + 1 + chance(&w->chance, end - start - 1);
	op[0].u.range.from = to;
	fill_last(&op[1], w->stream[room], "trim", &to);
	atomic_store(&r->trim_submitted, to);
	if (!submit(w, op, 2, tag_of(TAG_TRIM, room, to)))
		return;
	w->in_flight[room]++;
	w->total++;
}

/* ---- what is acked ---- */

static void note_ack(struct worker *w, uint32_t room, uint64_t id, uint64_t base, uint64_t rev)
{
	struct model *m = w->m;
	unsigned long n = atomic_load(&m->n_ack);
	if (n == MAX_ACKS) {
		w->stop = true;
		return;
	}
	m->ack[n] = (struct ack){ room, message_offsets(room, id), id, base, rev };
	atomic_store(&m->n_ack, n + 1);
	if (id > atomic_load(&m->room[room].acked_id))
		atomic_store(&m->room[room].acked_id, id);
}

static void acked(struct worker *w, const struct firn_event *ev, uint32_t room, uint64_t value)
{
	const struct firn_written *written = ev->result;
	const char *op = written ? (const char *)written->op : NULL;
	bool duplicate = ev->flags & FIRN_F_DUPLICATE;
	switch (ev->user_data >> 60) {
	case TAG_TRIM:
		if (value > atomic_load(&w->m->room[room].trim_acked))
			atomic_store(&w->m->room[room].trim_acked, value);
		break;
	case TAG_PAIR:
		note_ack(w, 5, w->pair_id, ((const struct firn_done *)(op + written->size))->offset,
		         ev->rev);
		/* fall through */
	case TAG_APPEND:
		if (duplicate)
			atomic_fetch_add(&w->m->n_duplicate, 1);
		/* Of what the rising rule knows by number only the offsets are not told. */
		if (!duplicate || room_kind(room) != ROOM_RISING)
			note_ack(w, room, value, ev->offset, duplicate ? 0 : ev->rev);
		break;
	}
}

/* Who reads the tail sees this much now: it must not go away. */
static void note_seen(struct worker *w)
{
	uint32_t room = (uint32_t)chance(&w->chance, ROOMS);
	uint64_t end = 0;
	firn_stream_mark(w->volume, w->stream[room], FIRN_MARK_VISIBLE, &end);
	if (end > atomic_load(&w->m->room[room].seen_end))
		atomic_store(&w->m->room[room].seen_end, end);
}

static void reap(struct worker *w, uint32_t timeout_ms)
{
	struct firn_event ev[64];
	int n = firn_cq_reap(w->cq, ev, sizeof ev[0], 64, timeout_ms);
	for (int i = 0; i < n; i++) {
		uint32_t room = (uint32_t)(ev[i].user_data >> 52 & 0xff);
		uint64_t value = ev[i].user_data & ((UINT64_C(1) << 52) - 1);
		if (ev[i].kind != FIRN_REQ_WRITE) {
			firn_release(ev[i].result);
			continue;
		}
		if (!ev[i].code) {
			acked(w, &ev[i], room, value);
		} else if (ev[i].code == FIRN_EUNKNOWN) {
			atomic_fetch_add(&w->m->n_unknown, 1);
			w->stop = true;
		} else {
			const struct firn_error *err = ev[i].result;
			die("write %lx to room %u, id %lu: %s (%s)", (unsigned long)ev[i].user_data,
			    room, (unsigned long)value, err ? err->text : "-",
			    firn_code_name(ev[i].code));
		}
		if (ev[i].user_data >> 60 == TAG_PAIR)
			w->pair_id = 0;
		w->in_flight[room]--;
		w->total--;
		firn_release(ev[i].result);
	}
}

/* ---- what it tells of itself ---- */

static void tell(struct worker *w)
{
	const struct firn_metrics *m;
	struct firn_volume_info info = { .struct_size = sizeof info };
	struct told *told = &w->m->told;
	unsigned long requests = 0;
	if (firn_volume_info(w->volume, &info) || firn_engine_metrics(w->engine, &m))
		die("no figures");
	for (uint32_t i = 0; i < m->n; i++)
		if (!strcmp(m->metric[i].name, "firn_store_requests"))
			requests += m->metric[i].value;
	firn_release(m);
	atomic_store(&told->durable, info.rev_durable);
	atomic_store(&told->stored, info.rev_stored);
	atomic_store(&told->n_request, requests);
	atomic_store(&told->state, info.state);
}

/* ---- sessions ---- */

static void write_for(struct worker *w, uint64_t ms)
{
	uint64_t end = now_ms() + ms;
	for (unsigned turn = 1; !w->stop && now_ms() < end; turn++) {
		uint32_t room = (uint32_t)chance(&w->chance, ROOMS);
		uint32_t limit = room_kind(room) == ROOM_EXACT ? 3 : 64;
		if (w->in_flight[room] >= limit)
			reap(w, 1);
		else if (room_trims(room) && !chance(&w->chance, 60))
			write_trim(w, room);
		else if (room == 4 && !chance(&w->chance, 4))
			write_pair(w);
		else
			write_one(w, room);
		if (turn % 8 == 0) {
			reap(w, 0);
			note_seen(w);
		}
	}
}

/* In pieces, until it is killed. */
static void write_on(struct worker *w)
{
	while (!w->stop) {
		if (atomic_load(&w->m->n_ack) < atomic_load(&w->m->n_ack_to))
			write_for(w, 10);
		else
			reap(w, 10);
		tell(w);
	}
	die("it cannot write on");
}

static void session(struct worker *w)
{
	struct firn_error err = FIRN_ERROR_INIT;
	static const uint32_t modes[] = { FIRN_DETACH_KEEP_WAL, FIRN_DETACH_KEEP_WAL,
		                          FIRN_DETACH_DRAIN, FIRN_DETACH_ABORT };
	uint32_t mode = modes[chance(&w->chance, 4)];
	w->engine = engine_open(w->m, w->m->dir);
	w->volume = attach(w->engine, w->m, FIRN_ATTACH_CREATE, NULL);
	if (firn_cq_open(w->engine, NULL, &w->cq, &err))
		die("queue: %s", err.text);
	w->stop = false;
	for (uint32_t room = 0; room < ROOMS; room++) {
		open_room(w, room);
		resume_room(w, room);
	}
	atomic_store(&w->m->attached, 1);
	if (w->m->endless)
		write_on(w);
	write_for(w, 20 + chance(&w->chance, 200));
	if (mode != FIRN_DETACH_ABORT)
		while (w->total)
			reap(w, 1000);
	detach(w->engine, w->volume, mode);
	while (w->total)
		reap(w, 1000);
	if (firn_cq_close(w->cq))
		die("queue: still in use");
	engine_close(w->engine);
	atomic_fetch_add(&w->m->n_session, 1);
}

_Noreturn void worker_main(struct model *m, uint64_t seed)
{
	static struct worker w;
	w.m = m;
	w.chance = seed;
	for (;;)
		session(&w);
}
