/* What a queue is told without asking each time: lines of the log, states of volumes, room again. And what
 * it must not be told, or forgotten to be told. */
#include "tests/integration/site.h"
#include <criterion/criterion.h>
#include <firn/env.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(notice, .timeout = 60);

enum { LOG = 1u << (FIRN_EV_LOG - 64), VOLUME = 1u };

/* The result is the caller's. */
static bool reap(struct host *h, struct firn_event *ev, uint32_t ms)
{
	return firn_cq_reap(h->cq, ev, sizeof *ev, 1, ms) == 1;
}

static bool await(struct host *h, uint16_t kind, struct firn_event *ev)
{
	while (reap_one(h, ev, 10000)) {
		if (ev->kind == kind)
			return true;
	}
	return false;
}

Test(notice, an_outage_is_told_as_state_and_as_a_line_of_the_log)
{
	struct site s;
	struct host h;
	struct firn_event ev;
	site_make(&s);
	site_uri_mortal(&s, "store", s.uri, sizeof s.uri);
	host_init(&h, &s, "a");
	host_start(&h);
	cr_assert_eq(firn_engine_notices(h.engine, h.cq, 1u << 5, 0), FIRN_EUNSUPPORTED);
	cr_assert_eq(firn_engine_notices(h.engine, h.cq, LOG | VOLUME, 77), 0);
	struct firn_flush f = FIRN_FLUSH_INIT;
	struct firn_error err = FIRN_ERROR_INIT;
	uint64_t id = new_stream(&h, "room");
	store_all(&h);
	site_store_leaves(&s, "store");
	(void)say(&h, id, "x");
	f.req.timeout_ms = 300;
	f.req.cq = h.cq;
	f.volume = h.volume;
	f.mark = FIRN_MARK_STORED;
	const struct firn_req *req = &f.req;
	cr_assert_eq(firn_engine_submit(h.engine, &req, 1, &err), 1, "%s", err.text);
	bool line = false, state = false, late = false;
	while (!(line && state && late)) {
		cr_assert(reap(&h, &ev, 20000), "line %d state %d late %d", line, state, late);
		if (ev.kind == FIRN_EV_LOG) {
			const struct firn_log *l = ev.result;
			cr_assert_not_null(l);
			cr_expect_eq(ev.user_data, 77);
			cr_expect(l->level == 2 && l->text[0] && l->at_ms);
			cr_expect_str_eq(l->volume, "v");
			line = true;
		} else if (ev.kind == FIRN_EV_VOLUME) {
			cr_expect_eq(ev.offset, FIRN_STATE_STORE_AWAY);
			state = true;
		} else if (ev.kind == FIRN_REQ_FLUSH) {
			cr_expect_eq(ev.code, FIRN_ETIMEDOUT);
			late = true;
		}
		firn_release(ev.result);
	}
	site_store_returns(&s, "store");
	for (line = state = false; !(line && state);) {
		cr_assert(reap(&h, &ev, 20000), "back: line %d state %d", line, state);
		if (ev.kind == FIRN_EV_LOG) {
			const struct firn_log *l = ev.result;
			line = line || !strcmp(l->text, "the store answers again");
		}
		state = state || (ev.kind == FIRN_EV_VOLUME && ev.offset == FIRN_STATE_OPEN);
		firn_release(ev.result);
	}
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_remove(&s);
}

static int write_async(struct host *h, uint64_t id, const char *data, size_t len,
                       struct firn_error *err)
{
	return firn_stream_append_async(h->volume, id, data, len, 1, 0, h->cq, 5) ? (err->code = 1)
	                                                                          : 0;
}

static char data[256 << 10];

/* Until it stays full; returns how many writes are in it. */
static uint32_t fill(struct host *h, uint64_t id)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_event ev;
	uint32_t n = 0, taken = 0;
	for (int refused = 0; refused < 20;) {
		if (!write_async(h, id, data, sizeof data, &err)) {
			taken++;
			refused = 0;
		} else {
			refused += n ==
			           taken; /* what is in flight takes memory until it is durable */
			(void)usleep(10000);
		}
		while (reap_one(h, &ev, 0))
			n += ev.kind == FIRN_REQ_WRITE;
		cr_assert_lt(taken, 100u);
	}
	return taken;
}

/* Writes to another store's volume go on, and make no room for the first. */
static void write_elsewhere(struct host *h, const char *uri)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_volume *other;
	struct site s = *h->site;
	const struct site *was = h->site;
	uint64_t its;
	(void)snprintf(s.uri, sizeof s.uri, "%s", uri);
	h->site = &s;
	int rc = host_try_attach(h, "other", FIRN_ATTACH_CREATE, NULL, &other, &err);
	h->site = was;
	cr_assert_eq(rc, 0, "%s", err.text);
	cr_assert_eq(firn_stream_open(other, "s", &its, &err), 0, "%s", err.text);
	for (int i = 0; i < 20; i++)
		cr_assert_eq(firn_stream_append(other, its, "x", 1, 1, 0, NULL, &err), 0, "%s",
		             err.text);
	cr_assert_eq(host_detach(h, other, FIRN_DETACH_ABORT, &err), 0);
}

/* Full because the store is away: nothing is told until there is room. (A segment that was being built may still leave
 * some behind; then it is there when it is told.) Once the store returns it comes for good. */
Test(notice, writable_comes_when_there_is_room_and_not_before)
{
	struct site s;
	struct host h;
	struct firn_event ev;
	struct firn_error err = FIRN_ERROR_INIT;
	char elsewhere[SITE_URI_MAX];
	site_make(&s);
	site_uri_mortal(&s, "store", s.uri, sizeof s.uri);
	site_uri(&s, "elsewhere", elsewhere, sizeof elsewhere);
	host_init(&h, &s, "a");
	h.opts.wal_bytes = 8 << 20;
	host_start(&h);
	uint64_t id = new_stream(&h, "room");
	store_all(&h);
	site_store_leaves(&s, "store");
	for (int told = 0;; told++) {
		cr_assert_lt(told, 10, "full, and again and again there is room");
		(void)fill(&h, id);
		if (!write_async(&h, id, data, sizeof data, &err)) {
			cr_assert(await(&h, FIRN_REQ_WRITE, &ev));
			continue;
		}
		write_elsewhere(&h, elsewhere);
		if (!reap_one(&h, &ev, 700))
			break;
		cr_assert_eq(ev.kind, FIRN_EV_WRITABLE);
		cr_assert_eq(write_async(&h, id, data, sizeof data, &err), 0, "told too early: %s",
		             err.text);
		cr_assert(await(&h, FIRN_REQ_WRITE, &ev));
	}
	site_store_returns(&s, "store");
	cr_assert(await(&h, FIRN_EV_WRITABLE, &ev));
	cr_assert_eq(write_async(&h, id, data, sizeof data, &err), 0);
	cr_assert(await(&h, FIRN_REQ_WRITE, &ev));
	cr_expect_eq(ev.code, 0);
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_remove(&s);
}

static size_t n_alloc;

static void *count_alloc(void *ctx, size_t len, size_t align)
{
	void *p = NULL;
	(void)ctx;
	if (posix_memalign(&p, align, len))
		return NULL;
	__atomic_add_fetch(&n_alloc, 1, __ATOMIC_RELAXED);
	return p;
}

static void count_release(void *ctx, void *p)
{
	(void)ctx;
	if (p)
		__atomic_sub_fetch(&n_alloc, 1, __ATOMIC_RELAXED);
	free(p);
}

/* A silent success has a result too (two operations): nobody gets it, nobody keeps it. */
Test(notice, silence_leaves_nothing_behind)
{
	struct firn_env env = { .struct_size = sizeof env,
		                .alloc = count_alloc,
		                .release = count_release };
	struct site s;
	struct host h;
	struct firn_error err = FIRN_ERROR_INIT;
	site_make(&s);
	host_init(&h, &s, "a");
	h.opts.env = &env;
	host_start(&h);
	uint64_t id = new_stream(&h, "room");
	struct iovec iov = io_of("quiet");
	struct firn_op op[2] = { op_append(id, &iov), op_append(id, &iov) };
	for (uint32_t ack = FIRN_ACK_DURABLE; ack <= FIRN_ACK_STORED; ack++)
		cr_assert_eq(submit_ops(&h, op, 2, ack, FIRN_REQ_SILENT, 1, &err), 0, "%s",
		             err.text);
	store_all(&h);
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_remove(&s);
	cr_assert_eq(n_alloc, 0, "%zu pieces are left", n_alloc);
}
