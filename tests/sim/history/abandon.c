/* Histories of volumes that are taken over without the log of their last writer. */
#include "tests/sim/history/history.h"
#include <stdio.h>

struct firn_volume *abandon(struct box *b, const char *name)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_volume *v;
	int rc = try_takeover(b, name, "abandon", &v, &err);
	SIM_CHECK("P4", rc == 0, "%s is not given up: %s: %s", name, firn_code_name(rc), err.text);
	return v;
}

void expect_at(struct firn_volume *v, uint64_t s, uint64_t at, const char *word)
{
	for (; *word; word++, at++) {
		const struct firn_fetched *f = NULL;
		MUST(firn_stream_read(v, s, at, 1, 10 * SECOND, &f, NULL));
		SIM_CHECK("P3",
		          f->part->n_batch == 1 && *(const char *)f->part->batch->data == *word,
		          "offset %llu is not '%c'", (unsigned long long)at, *word);
		firn_release(f);
	}
}

void expect_code(struct firn_volume *v, uint64_t s, uint64_t at, int code)
{
	const struct firn_fetched *f = NULL;
	int rc = firn_stream_read(v, s, at, 1, SECOND, &f, NULL);
	firn_release(f);
	SIM_CHECK("P3", rc == code, "offset %llu: %s, expected %s", (unsigned long long)at,
	          firn_code_name(rc), firn_code_name(code));
}

static int try_say(struct box *b, struct firn_volume *v, uint64_t s, const char *letter)
{
	struct iovec iov = bytes_of(letter);
	struct firn_op op = append_op(s, &iov);
	return write_ops(b, v, &op, 1, NULL);
}

static uint32_t state(struct firn_volume *v)
{
	struct firn_volume_info i = { .struct_size = sizeof i };
	MUST(firn_volume_info(v, &i));
	return i.state;
}

static int look_for_newest(struct box *b, struct firn_volume *v, uint64_t s)
{
	struct firn_lookup q = FIRN_LOOKUP_INIT;
	struct firn_event ev;
	q.volume = v;
	q.stream = s;
	q.by = FIRN_BY_MAX_TIMESTAMP;
	q.req.timeout_ms = 10 * SECOND;
	int rc = firn_engine_call(b->node->engine, &q.req, &ev, NULL);
	firn_release(ev.result);
	return rc;
}

/* Its next heartbeat hangs in the network, and no other is sent. Ends when that is the case. */
static struct gate *unseen(void)
{
	struct gate *g = gate_set(GATE_PUT, ".firn-beat/", 0, GATE_HOLD);
	gate_wait(g);
	return g;
}

/* The old writer lives: he goes on acking, and nothing of it takes an offset of the new one's. */
static void the_old_writer_lives(void)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct box a, b, c;
	box_init(&a, 0);
	box_init(&b, 1);
	box_init(&c, 2);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v"), *w = attach(&a, "w"), *none;
	uint64_t s = stream(v, "room"), q = stream(v, "quiet"), t = stream(w, "room");
	say(v, s, "abc");
	say(v, q, "q");
	MUST(put(&a, v, "k", "cut"));
	store_now(&a, v);
	uint64_t cut = rev_stored(v);
	say(v, s, "de");
	MUST(put(&a, v, "k", "lost"));
	struct gate *beat = unseen();
	sched_become(0);
	power_on(&b);
	int rc = try_attach(&b, "v", 0, &none, &err);
	EXPECT("P4", rc == FIRN_ELOST);
	struct firn_volume *mine = abandon(&b, "v");
	EXPECT("P3", mark(mine, s, FIRN_MARK_ASSIGNED) == 3 + SKIP);
	EXPECT("P3", mark(mine, q, FIRN_MARK_ASSIGNED) == 1 + SKIP);
	EXPECT("P2", rev_stored(mine) == cut + SKIP);
	expect_pair(mine, "k", "cut");
	say(mine, s, "xy");
	uint64_t made = stream(mine, "made");
	say(mine, made, "m");
	sched_become(a.node->process);
	say(v, s, "f"); /* it does not know yet */
	uint64_t at_a = stream(v, "made");
	EXPECT("P3", at_a != made);
	begin_say(&a, v, s, 'g', 7);
	struct firn_event ev = outcome(&a);
	EXPECT("P3", ev.code == 0 && ev.offset < 3 + SKIP);
	MUST(firn_engine_notices(a.node->engine, a.cq, 1u << (FIRN_EV_VOLUME - 64), 0));
	struct firn_flush f = FIRN_FLUSH_INIT;
	f.volume = v;
	f.mark = FIRN_MARK_STORED;
	rc = firn_engine_call(a.node->engine, &f.req, &ev, NULL);
	firn_release(ev.result);
	EXPECT("P4", rc == FIRN_EFENCED);
	ev = outcome(&a);
	EXPECT("P4", ev.kind == FIRN_EV_VOLUME && ev.offset == FIRN_STATE_FENCED);
	EXPECT("P4", try_say(&a, v, s, "h") == FIRN_EFENCED && state(v) == FIRN_STATE_FENCED);
	expect_at(v, s, 0, "abc"); /* what is stored stays readable */
	expect_code(v, s, 3, FIRN_EFENCED);
	EXPECT("P4", look_for_newest(&a, v, s) == FIRN_EFENCED);
	gate_open(beat);
	say(w, t, "on"); /* the neighbour does not notice */
	store_now(&a, w);
	EXPECT("P4", detach(&a, v, FIRN_DETACH_DRAIN) == FIRN_EFENCED);
	sched_become(b.node->process);
	expect_at(mine, s, 0, "abc");
	expect_code(mine, s, 3, FIRN_ELOST);
	expect_code(mine, s, 2 + SKIP, FIRN_ELOST);
	expect_at(mine, s, 3 + SKIP, "xy");
	expect_code(mine, q, 1, FIRN_ELOST);
	store_now(&b, mine);
	expect_code(mine, s, 3, FIRN_ELOST);
	expect_at(mine, s, 3 + SKIP, "xy");
	say(mine, s, "z");
	kill9(&b);
	power_on(&b);
	mine = attach(&b, "v");
	expect_at(mine, s, 3 + SKIP, "xyz");
	shut_down(&b, mine, FIRN_DETACH_DRAIN);
	power_on(&c); /* who makes the index from the store derives the same ranges */
	mine = attach(&c, "v");
	expect_at(mine, s, 0, "abc");
	expect_code(mine, s, 3, FIRN_ELOST);
	expect_at(mine, s, 3 + SKIP, "xyz");
	EXPECT("P3", mark(mine, q, FIRN_MARK_ASSIGNED) == 1 + SKIP);
	expect_word(mine, made, "m", "a stream of the new writer's");
	shut_down(&c, mine, FIRN_DETACH_DRAIN);
	sched_become(a.node->process); /* and the old one may have it again, as anybody */
	v = attach(&a, "v");
	expect_at(v, s, 3 + SKIP, "xyz");
	expect_code(v, s, 4, FIRN_ELOST);
	say(v, s, "!");
	kill9(&a);
	power_on(&a);
	v = attach(&a, "v");
	expect_at(v, s, 3 + SKIP, "xyz!");
	expect_code(v, s, 4, FIRN_ELOST);
}

/* The owner commits while he is watched: nothing is given up. */
static void the_owner_is_seen(void)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct box a, b;
	box_init(&a, 0);
	box_init(&b, 1);
	a.upload_interval_ms = 60 * SECOND;
	power_on(&a);
	struct firn_volume *v = attach(&a, "v"), *none;
	uint64_t s = stream(v, "room");
	struct gate *beat = unseen();
	say(v, s, "abc");
	sched_become(0);
	power_on(&b);
	int rc = try_takeover(&b, "v", "abandon", &none, &err);
	SIM_CHECK("P4", rc == FIRN_EBUSY, "taken from an owner that commits: %s",
	          firn_code_name(rc));
	SIM_CHECK("P4", strstr(err.text, "committed"), "%s", err.text);
	gate_open(beat);
	sched_become(a.node->process);
	say(v, s, "d");
	store_now(&a, v);
	expect_word(v, s, "abcd", "at its owner");
}

/* Nobody writes for ten minutes: one request a minute for all volumes of a store, none for a volume. Who would give one of
 * them up sees that. */
static void an_idle_owner_is_seen(void)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct box a, b;
	box_init(&a, 0);
	box_init(&b, 1);
	power_on(&a);
	struct firn_volume *v[3], *none;
	uint64_t s[3];
	for (uint32_t i = 0; i < 3; i++) {
		v[i] = attach(&a, (char[2]){ (char)('u' + i), 0 });
		s[i] = stream(v[i], "room");
		say(v[i], s[i], "abc");
		store_now(&a, v[i]);
	}
	uint64_t before = store_puts();
	wait_ms(600 * SECOND);
	uint64_t n = store_puts() - before;
	SIM_CHECK("P8", n >= 9 && n <= 11, "%llu requests in ten idle minutes",
	          (unsigned long long)n);
	say(v[0], s[0], "d");
	sched_become(0);
	power_on(&b);
	int rc = try_takeover(&b, "u", "abandon", &none, &err);
	SIM_CHECK("P4", rc == FIRN_EBUSY && strstr(err.text, "heartbeat"),
	          "taken from an owner that lives: %s: %s", firn_code_name(rc), err.text);
	sched_become(a.node->process);
	store_now(&a, v[0]);
	expect_word(v[0], s[0], "abcd", "at its owner");
	for (uint32_t i = 1; i < 3; i++)
		MUST(detach(&a, v[i], FIRN_DETACH_DRAIN));
	shut_down(&a, v[0], FIRN_DETACH_DRAIN);
}

/* A restarts while the store is away and goes on; meanwhile, before that, B gave it up. A is told when it is back, and does
 * not go on again. */
static void resumed_after_it_was_given_up(void)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct box a, b;
	box_init(&a, 0);
	box_init(&b, 1);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v"), *mine;
	uint64_t s = stream(v, "room");
	say(v, s, "abc");
	store_now(&a, v);
	say(v, s, "d");
	kill9(&a);
	power_on(&b);
	mine = abandon(&b, "v");
	say(mine, s, "x");
	sched_become(0);
	store_outage(sched_now() + 3600 * UINT64_C(1000000000));
	power_on(&a);
	v = attach(&a, "v");
	say(v, s, "e");
	EXPECT("P3", mark(v, s, FIRN_MARK_ASSIGNED) == 5);
	store_outage(0);
	for (uint32_t i = 0; state(v) != FIRN_STATE_FENCED; i++) {
		SIM_CHECK("P4", i < 600, "state %u a minute after the outage", state(v));
		wait_ms(100);
	}
	EXPECT("P4", try_say(&a, v, s, "f") == FIRN_EFENCED);
	kill9(&a);
	store_outage(sched_now() + 3600 * UINT64_C(1000000000));
	power_on(&a);
	int rc = try_attach(&a, "v", 0, &v, &err);
	SIM_CHECK("P4", rc == FIRN_ESTORE && strstr(err.text, "another engine has become"),
	          "goes on although it was told: %s %s", firn_code_name(rc), err.text);
	store_outage(0);
	sched_become(b.node->process);
	expect_at(mine, s, 3 + SKIP, "x");
	store_now(&b, mine);
	shut_down(&b, mine, FIRN_DETACH_DRAIN);
}

/* B's swap that gives A's up is on its way when B dies; it lands late. Nobody else is needed to go on. */
static void a_late_abandon(void)
{
	struct box a, b;
	uint64_t s;
	struct firn_volume *v = open_first(&a, &b, &s);
	say(v, s, "abc");
	store_now(&a, v);
	say(v, s, "d");
	kill9(&a);
	power_on(&b);
	struct firn_attach at = FIRN_ATTACH_INIT;
	const struct firn_req *r = &at.req;
	at.store = "mem:";
	at.name = "v";
	at.takeover = "abandon";
	at.req.cq = b.cq;
	struct gate *late = gate_set(GATE_PUT, "/manifest", 0, GATE_LATE);
	EXPECT("script", firn_engine_submit(b.node->engine, &r, 1, NULL) == 1);
	while (!gate_reached(late))
		wait_ms(SECOND);
	kill9(&b);
	gate_open(late);
	wait_ms(10);
	power_on(&b);
	v = attach(&b, "v");
	EXPECT("P3", mark(v, s, FIRN_MARK_ASSIGNED) == 3 + SKIP);
	say(v, s, "x");
	store_now(&b, v);
	expect_at(v, s, 3 + SKIP, "x");
	expect_code(v, s, 3, FIRN_ELOST);
	shut_down(&b, v, FIRN_DETACH_DRAIN);
}

/* A clone of A's disk was about to give up what A has when it died: its swap was never sent. What it wrote down of that
 * gives it no right to go on as if it were A. */
static void an_abandon_that_was_only_intended(void)
{
	struct box a, b;
	uint64_t s;
	struct firn_volume *v = open_first(&a, &b, &s);
	say(v, s, "abc");
	store_now(&a, v);
	say(v, s, "x");
	node_restore(b.node, node_shot(a.node));
	kill9(&a);
	power_on(&b);
	struct firn_attach at = FIRN_ATTACH_INIT;
	const struct firn_req *r = &at.req;
	at.store = "mem:";
	at.name = "v";
	at.takeover = "abandon";
	at.req.cq = b.cq;
	struct gate *sent = gate_set(GATE_PUT, "v/manifest", 0, GATE_HOLD);
	EXPECT("script", firn_engine_submit(b.node->engine, &r, 1, NULL) == 1);
	while (!gate_reached(sent))
		wait_ms(SECOND);
	kill9(&b);
	must_not_resume(&b, "v", "another engine may have it");
	power_on(&a);
	v = attach(&a, "v");
	say(v, s, "y");
	expect_word(v, s, "abcxy", "at its owner");
	shut_down(&a, v, FIRN_DETACH_DRAIN);
}

/* The next owner skips offsets of his own: the lost ones before them are not told as skipped, in the WAL or stored. */
static void lost_before_skipped(void)
{
	struct box a, b;
	uint64_t s;
	struct firn_volume *v = open_first(&a, &b, &s);
	say(v, s, "abc");
	store_now(&a, v);
	say(v, s, "d");
	kill9(&a);
	power_on(&b);
	v = abandon(&b, "v");
	struct iovec iov = bytes_of("x");
	struct firn_op op = append_op(s, &iov);
	op.flags = FIRN_APPEND_AT;
	op.u.append.expect = 3 + SKIP + 2;
	MUST(write_ops(&b, v, &op, 1, NULL));
	kill9(&b); /* and who goes on without the store, and its manifest, knows it too */
	store_outage(sched_now() + 3600 * UINT64_C(1000000000));
	power_on(&b);
	v = attach(&b, "v");
	EXPECT("P8", state(v) == FIRN_STATE_STORE_AWAY);
	expect_code(v, s, 3, FIRN_ELOST);
	expect_code(v, s, 2 + SKIP, FIRN_ELOST);
	store_outage(0);
	for (uint32_t i = 0; state(v) != FIRN_STATE_OPEN; i++) {
		SIM_CHECK("P8", i < 600, "state %u a minute after the outage", state(v));
		wait_ms(100);
	}
	for (uint32_t i = 0; i < 2; i++) {
		const struct firn_fetched *f = NULL;
		expect_code(v, s, 3, FIRN_ELOST);
		expect_code(v, s, 2 + SKIP, FIRN_ELOST);
		MUST(firn_stream_read(v, s, 3 + SKIP, 1, 10 * SECOND, &f, NULL));
		EXPECT("P2", f->part->gap == FIRN_GAP_SKIPPED && f->part->gap_from == 3 + SKIP &&
		                     f->part->gap_to == 5 + SKIP);
		firn_release(f);
		store_now(&b, v);
	}
	shut_down(&b, v, FIRN_DETACH_DRAIN);
}

static int say_as(struct box *b, struct firn_volume *v, uint64_t s, uint64_t seq)
{
	struct iovec iov = bytes_of("p");
	struct firn_op op = append_op(s, &iov);
	op.flags = FIRN_APPEND_PRODUCER;
	op.u.append.producer_id = 9;
	op.u.append.producer_epoch = 1;
	op.u.append.producer_seq = seq;
	return write_ops(b, v, &op, 1, NULL);
}

/* Producers are those of the cut: one that was acked beyond it is told so, and a retry of what is stored is known. */
static void producers_of_the_cut(void)
{
	struct box a, b;
	uint64_t s;
	struct firn_volume *v = open_first(&a, &b, &s);
	MUST(say_as(&a, v, s, 0));
	MUST(say_as(&a, v, s, 1));
	store_now(&a, v);
	MUST(say_as(&a, v, s, 2));
	kill9(&a);
	power_on(&b);
	v = abandon(&b, "v");
	EXPECT("P2", say_as(&b, v, s, 3) == FIRN_ESEQ);
	MUST(say_as(&b, v, s, 1)); /* a duplicate */
	EXPECT("P2", mark(v, s, FIRN_MARK_ASSIGNED) == 2 + SKIP);
	MUST(say_as(&b, v, s, 2));
	EXPECT("P2", mark(v, s, FIRN_MARK_ASSIGNED) == 3 + SKIP);
}

const struct history abandon_histories[] = {
	{ "2a", "P3", "the offsets of a writer that was given up and lives are not given again",
	  the_old_writer_lives },
	{ "2b", "P4", "an owner that commits is not given up", the_owner_is_seen },
	{ "S12", "P4", "an idle owner costs a request a minute, and is seen by it",
	  an_idle_owner_is_seen },
	{ "1", "P4", "who resumed after it was given up is told, and does not resume again",
	  resumed_after_it_was_given_up },
	{ "2c", "P4", "an abandon that lands late is its sender's", a_late_abandon },
	{ "2e", "P4", "who only intended to give another's up does not go on",
	  an_abandon_that_was_only_intended },
	{ "2d", "P2", "producers after an abandon are those of the cut", producers_of_the_cut },
	{ "2f", "P2", "what was lost is not told as skipped", lost_before_skipped },
	{ 0 },
};
