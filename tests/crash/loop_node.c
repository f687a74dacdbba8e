/* A writer: attaches, reads the end of each room, then writes with many in flight while a second thread follows the tail,
 * until it is told to leave, is killed, or finds itself fenced. Each write appends to one room or to two, and puts a key. */
#include "tests/crash/kill9.h"
#include "tests/crash/loop.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { IN_FLIGHT = 24, BEHIND = 200, WAIT_MS = 20, AFTER_FENCE = 3, READ_EACH = 64 };

struct slot {
	uint64_t id;
	bool busy;
};

struct writer {
	const struct task *t;
	struct firn_engine *engine;
	struct firn_volume *volume;
	struct firn_cq *cq;
	uint64_t stream[LOOP_ROOMS], chance, next_id, began, n_turn;
	struct slot slot[IN_FLIGHT];
	uint32_t n_busy;
	bool fenced;
	atomic_bool ended; /* the follower shall end */
	struct line line;
};

/* ---- attach, streams, first reads ---- */

static void note_fenced(struct writer *w)
{
	if (!w->fenced)
		loop_say(w->t, "fenced %lu %lu", (unsigned long)loop_ns(),
		         (unsigned long)w->t->run);
	w->fenced = true;
}

/* Fenced already: so it ends as one that was. */
static bool open_room(struct writer *w, uint32_t room)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_event ev;
	char name[16];
	struct firn_op op = { .kind = FIRN_OP_CREATE, .flags = FIRN_CREATE_OPEN };
	struct firn_write write = FIRN_WRITE_INIT;
	w->stream[room] = loop_stream(w->t, w->volume, room);
	if (w->stream[room])
		return true;
	op.u.stream.name = name;
	op.u.stream.name_len = (uint32_t)snprintf(name, sizeof name, "room-%u", room);
	write.volume = w->volume;
	write.op = &op;
	write.n_op = 1;
	int rc = firn_engine_call(w->engine, &write.req, &ev, &err);
	firn_release(ev.result);
	if (rc == FIRN_EFENCED || rc == FIRN_EUNKNOWN)
		note_fenced(w);
	else if (rc)
		loop_wrong(w->t, "create", rc, err.text);
	w->stream[room] = ev.stream;
	return !rc;
}

static void read_tail(struct writer *w, uint32_t room, bool whole)
{
	uint64_t began = loop_ns();
	uint64_t end = loop_mark(w->t, w->volume, w->stream[room], FIRN_MARK_VISIBLE);
	line_begin(&w->line, whole || end < BEHIND ? 0 : end - BEHIND);
	if (line_read(w->t, &w->line, w->volume, room, w->stream[room], end)) {
		note_fenced(w);
		return;
	}
	line_say(w->t, &w->line, "tail", "read %lu %lu %lu %u", (unsigned long)began,
	         (unsigned long)loop_ns(), (unsigned long)w->t->run, room);
	if (!atomic_load(&w->t->node->read_us))
		atomic_store(&w->t->node->read_us, (loop_ns() - w->began) / 1000);
}

static void become_writer(struct writer *w)
{
	const struct firn_attached *attached;
	struct firn_error err = FIRN_ERROR_INIT;
	const struct task *t = w->t;
	w->engine = loop_engine(t);
	w->began = loop_ns();
	if (loop_attach(t, w->engine, FIRN_ATTACH_CREATE, &attached))
		_exit(NODE_AWAY);
	uint64_t ended = loop_ns();
	loop_say(t, "attach %lu %lu %lu %lu %u", (unsigned long)w->began, (unsigned long)ended,
	         (unsigned long)t->run, (unsigned long)attached->epoch, attached->n_lost);
	atomic_store(&t->node->attach_us, (ended - w->began) / 1000);
	w->volume = attached->volume;
	firn_release(attached);
	if (firn_cq_open(w->engine, NULL, &w->cq, &err))
		loop_wrong(t, "queue", err.code, err.text);
}

/* ---- writing ---- */

static void fill(const struct writer *w, struct firn_op *op, struct iovec *iov, uint8_t *buf,
                 uint32_t room, uint64_t id)
{
	*iov = (struct iovec){ buf, payload_make(buf, room, id) };
	*op = (struct firn_op){ .kind = FIRN_OP_APPEND, .stream = w->stream[room] };
	op->u.append.iov = iov;
	op->u.append.n_iov = 1;
}

static void say_request(const struct writer *w, uint64_t id, const uint32_t *room, uint32_t n)
{
	char more[16] = "";
	if (n == 2)
		(void)snprintf(more, sizeof more, " %u", room[1]);
	loop_say(w->t, "req %lu %lu %lu %u%s", (unsigned long)loop_ns(), (unsigned long)w->t->run,
	         (unsigned long)id, room[0], more);
}

/* Nothing of it happened. */
static void refused(struct writer *w, uint64_t id, const struct firn_error *err)
{
	loop_say(w->t, "no %lu %lu %lu %s", (unsigned long)loop_ns(), (unsigned long)w->t->run,
	         (unsigned long)id, firn_code_name(err->code));
	if (err->code == FIRN_EFENCED)
		note_fenced(w);
	else if (err->code != FIRN_EFULL && err->code != FIRN_EAGAIN)
		loop_wrong(w->t, "append", err->code, err->text);
}

static void write_one(struct writer *w)
{
	static uint8_t buf[2][PAYLOAD_MAX];
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_write write = FIRN_WRITE_INIT;
	struct firn_op op[3];
	struct iovec iov[2];
	uint32_t n = chance(&w->chance, 4) ? 1 : 2, at = 0;
	uint32_t room[2] = { (uint32_t)chance(&w->chance, LOOP_ROOMS) };
	uint64_t id = w->next_id++;
	room[1] = (room[0] + 1) % LOOP_ROOMS;
	for (uint32_t i = 0; i < n; i++)
		fill(w, &op[i], &iov[i], buf[i], room[i], id);
	op[n] = (struct firn_op){ .kind = FIRN_OP_KV_PUT, .stream = FIRN_STREAM_VOLUME };
	op[n].u.kv.key = "last";
	op[n].u.kv.key_len = 4;
	op[n].u.kv.value = &id;
	op[n].u.kv.value_len = sizeof id;
	while (w->slot[at].busy)
		at++;
	write.req.cq = w->cq;
	write.req.user_data = at;
	write.volume = w->volume;
	write.op = op;
	write.n_op = n + 1;
	const struct firn_req *req = &write.req;
	say_request(w, id, room, n);
	if (firn_engine_submit(w->engine, &req, 1, &err) != 1) {
		refused(w, id, &err);
		return;
	}
	w->slot[at] = (struct slot){ id, true };
	w->n_busy++;
}

static void acked(struct writer *w, uint64_t id, const struct firn_event *ev)
{
	const struct firn_written *written = ev->result;
	const char *op = (const char *)written->op;
	char more[32] = "";
	if (written->n == 3)
		(void)snprintf(more, sizeof more, " %lu",
		               (unsigned long)((const struct firn_done
		                                        *)(const void *)(op + written->size))
		                       ->offset);
	loop_say(w->t, "ack %lu %lu %lu %lu %lu%s", (unsigned long)loop_ns(),
	         (unsigned long)w->t->run, (unsigned long)id, (unsigned long)ev->rev,
	         (unsigned long)ev->offset, more);
	if (!atomic_load(&w->t->node->ack_us))
		atomic_store(&w->t->node->ack_us, (loop_ns() - w->began) / 1000);
	atomic_fetch_add(&w->t->node->n_ack, 1);
}

static void ended(struct writer *w, const struct firn_event *ev)
{
	struct slot *s = &w->slot[ev->user_data];
	struct firn_error err = FIRN_ERROR_INIT;
	if (ev->kind != FIRN_REQ_WRITE)
		return;
	if (ev->code && ev->result)
		err = *(const struct firn_error *)ev->result;
	err.code = ev->code;
	if (!ev->code)
		acked(w, s->id, ev);
	else if (ev->code != FIRN_EUNKNOWN)
		refused(w, s->id, &err);
	else {
		loop_say(w->t, "unknown %lu %lu %lu", (unsigned long)loop_ns(),
		         (unsigned long)w->t->run, (unsigned long)s->id);
		note_fenced(w);
	}
	s->busy = false;
	w->n_busy--;
}

static void reap(struct writer *w, uint32_t wait_ms)
{
	struct firn_event ev[IN_FLIGHT];
	int n = firn_cq_reap(w->cq, ev, sizeof ev[0], IN_FLIGHT, wait_ms);
	for (int i = 0; i < n; i++) {
		ended(w, &ev[i]);
		firn_release(ev[i].result);
	}
}

static void reap_all(struct writer *w)
{
	while (w->n_busy)
		reap(w, 1000);
}

/* ---- following the tail ---- */

static void take(struct writer *w, struct line *l, const struct firn_part *part, uint64_t began)
{
	if (part->code == FIRN_EFENCED || part->code == FIRN_ESHUTDOWN) {
		atomic_store(&w->ended, true);
		return;
	}
	if (part->code)
		loop_wrong(w->t, "follow", part->code, "");
	uint64_t from = l->next;
	line_begin(l, from);
	line_add(w->t, l, part->slot, part);
	line_say(w->t, l, "part", "read %lu %lu %lu %u", (unsigned long)began,
	         (unsigned long)loop_ns(), (unsigned long)w->t->run, part->slot);
}

static void follow_some(struct writer *w, struct firn_reader *reader, struct line *line)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_event ev;
	struct firn_fetch f = FIRN_FETCH_INIT;
	uint64_t began = loop_ns();
	f.req.timeout_ms = FIRN_FOREVER;
	f.reader = reader;
	f.max_wait_ms = WAIT_MS;
	int rc = firn_engine_call(w->engine, &f.req, &ev, &err);
	if (rc)
		loop_wrong(w->t, "fetch", rc, err.text);
	const struct firn_fetched *got = ev.result;
	const char *at = (const char *)got->part;
	for (uint32_t i = 0; i < got->n_part; i++, at += got->part_size)
		take(w, &line[((const struct firn_part *)(const void *)at)->slot], (const void *)at,
		     began);
	firn_release(got);
}

static void *follow(void *arg)
{
	struct writer *w = arg;
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_reader *reader;
	static struct line line[LOOP_ROOMS];
	if (firn_reader_open(w->engine, NULL, &reader, &err))
		loop_wrong(w->t, "reader", err.code, err.text);
	for (uint32_t room = 0; room < LOOP_ROOMS; room++) {
		struct firn_item item = { .slot = room,
			                  .volume = w->volume,
			                  .stream = w->stream[room] };
		item.offset = loop_mark(w->t, w->volume, w->stream[room], FIRN_MARK_VISIBLE);
		line_begin(&line[room], item.offset);
		int rc = firn_reader_set(reader, &item, sizeof item, 1);
		if (rc)
			loop_wrong(w->t, "reader", rc, "set");
	}
	while (!atomic_load(&w->ended))
		follow_some(w, reader, line);
	firn_reader_close(reader);
	return NULL;
}

/* ---- a run ---- */

static void write_on(struct writer *w)
{
	while (!w->fenced && !atomic_load(&w->t->node->leave)) {
		if (w->n_busy < IN_FLIGHT)
			write_one(w);
		reap(w, w->n_busy < IN_FLIGHT ? 0 : WAIT_MS);
		if (!w->fenced && ++w->n_turn % READ_EACH == 0)
			read_tail(w, (uint32_t)chance(&w->chance, LOOP_ROOMS), false);
	}
	reap_all(w);
	/* Who is fenced is so for good, and nothing of it is there. */
	for (uint32_t i = 0; w->fenced && i < AFTER_FENCE; i++)
		write_one(w);
	reap_all(w);
}

static void leave(struct writer *w)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_event ev;
	struct firn_detach d = FIRN_DETACH_INIT;
	d.req.timeout_ms = 60000;
	d.volume = w->volume;
	d.mode = w->t->keep ? FIRN_DETACH_KEEP_WAL : FIRN_DETACH_DRAIN;
	int rc = firn_engine_call(w->engine, &d.req, &ev, &err);
	firn_release(ev.result);
	if (rc == FIRN_EFENCED)
		note_fenced(w);
	else if (rc)
		loop_wrong(w->t, "detach", rc, err.text);
	else if (!w->t->keep && !w->fenced)
		loop_say(w->t, "leave %lu %lu %lu", (unsigned long)w->began,
		         (unsigned long)loop_ns(), (unsigned long)w->t->run);
	rc = firn_cq_close(w->cq);
	rc = rc ? rc : firn_engine_close(w->engine);
	if (rc)
		loop_wrong(w->t, "close", rc, "");
}

static bool rooms_are_open(struct writer *w)
{
	for (uint32_t room = 0; room < LOOP_ROOMS; room++)
		if (!open_room(w, room))
			return false;
	return true;
}

static void write_and_follow(struct writer *w)
{
	pthread_t follower;
	for (uint32_t room = 0; room < LOOP_ROOMS && !w->fenced; room++)
		read_tail(w, room, w->t->final);
	if (w->t->final || w->fenced)
		return;
	if (pthread_create(&follower, NULL, follow, w))
		die("no thread");
	atomic_store(&w->t->node->state, NODE_WRITES);
	write_on(w);
	atomic_store(&w->ended, true);
	pthread_join(follower, NULL);
}

_Noreturn void node_main(const struct task *t)
{
	static struct writer w;
	w.t = t;
	w.chance = mix(t->seed);
	w.next_id = t->run << 24;
	become_writer(&w);
	if (rooms_are_open(&w))
		write_and_follow(&w);
	leave(&w);
	_exit(w.fenced ? NODE_FENCED : NODE_LEFT);
}
