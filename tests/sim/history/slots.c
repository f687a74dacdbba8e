/* Histories of a log in a store: who may ack what, while others take volumes out of it. */
#include "tests/sim/history/history.h"
#include <stdio.h>

#define SLOT ".firn-wal/"
#define HOUR_NS (3600 * UINT64_C(1000000000))

static void boxes(struct box *b, uint32_t n)
{
	static uint32_t number; /* of a node, and so its chance: no two of a script are the same */
	for (uint32_t i = 0; i < n; i++) {
		box_init(&b[i], number++);
		b[i].slots = true;
		power_on(&b[i]);
		sched_become(0);
	}
}

/* The script goes on as a thread of that node. */
static void at(const struct box *b)
{
	sched_become(b->node->process);
}

/* Most scripts begin so: the first of n boxes has a volume with a stream, and goes on. */
static struct firn_volume *open_room(struct box *b, uint32_t n, uint64_t *s)
{
	boxes(b, n);
	at(&b[0]);
	struct firn_volume *v = attach(&b[0], "v");
	*s = stream(v, "room");
	return v;
}

static void begin_attach(struct box *b, const char *name)
{
	struct firn_attach a = FIRN_ATTACH_INIT;
	const struct firn_req *r = &a.req;
	a.store = "mem:";
	a.name = name;
	a.req.cq = b->cq;
	EXPECT("script", firn_engine_submit(b->node->engine, &r, 1, NULL) == 1);
}

static void expect_unknown(struct box *b, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct firn_event ev = outcome(b);
		SIM_CHECK("P4", ev.code == FIRN_EUNKNOWN,
		          "write %llu of a volume that was taken: %s",
		          (unsigned long long)ev.user_data, firn_code_name(ev.code));
	}
}

/* B takes the volume while a slot of A's is on its way: what A puts at the seal or above it is in no log, however late. */
static void sealed(void)
{
	struct box b[3];
	uint64_t s;
	struct firn_volume *v = open_room(b, 3, &s);
	say(v, s, "ab");
	struct gate *late = gate_set(GATE_PUT, SLOT, 0, GATE_HOLD);
	begin_say(&b[0], v, s, 'c', 1);
	gate_wait(late);
	begin_say(&b[0], v, s, 'd', 2); /* into the slot behind, where it is at once */
	EXPECT("P1", quiet(&b[0], 20));
	at(&b[1]);
	struct firn_volume *w = attach(&b[1], "v");
	expect_word(w, s, "ab", "at the next owner");
	say(w, s, "e");
	gate_open(late);
	at(&b[0]);
	expect_unknown(&b[0], 2);
	EXPECT("P4", firn_stream_append(v, s, "x", 1, 1, 0, NULL, NULL) == FIRN_EFENCED);
	at(&b[1]);
	expect_word(w, s, "abe", "at the next owner");
	kill9(&b[1]);
	at(&b[2]);
	expect_word(attach(&b[2], "v"), s, "abe", "at the third");
}

/* The same, but B has stored all and is gone when the straggler comes: the seal is still there. */
static void seal_stays(void)
{
	struct box b[2];
	uint64_t s;
	struct firn_volume *v = open_room(b, 2, &s);
	say(v, s, "ab");
	store_now(&b[0], v);
	struct gate *late = gate_set(GATE_PUT, SLOT, 0, GATE_HOLD);
	begin_say(&b[0], v, s, 'c', 1);
	gate_wait(late);
	at(&b[1]);
	struct firn_volume *w = attach(&b[1], "v");
	say(w, s, "d");
	store_now(&b[1], w);
	shut_down(&b[1], w, FIRN_DETACH_DRAIN);
	wait_ms(10 * SECOND);
	gate_open(late);
	at(&b[0]);
	expect_unknown(&b[0], 1);
	sched_become(0);
	power_on(&b[1]);
	expect_word(attach(&b[1], "v"), s, "abd", "after the straggler");
}

/* A is quicker than the seal: what it put is taken, and the seal goes one further. */
static void writer_wins(void)
{
	struct box b[2];
	uint64_t s;
	struct firn_volume *v = open_room(b, 2, &s);
	say(v, s, "ab");
	struct gate *slot = gate_set(GATE_PUT, SLOT, 0, GATE_HOLD);
	struct gate *seal = gate_set(GATE_PUT, SLOT, 0, GATE_HOLD);
	begin_say(&b[0], v, s, 'c', 1);
	gate_wait(slot);
	at(&b[1]);
	begin_attach(&b[1], "v");
	gate_wait(seal);
	gate_open(slot);
	at(&b[0]);
	struct firn_event ev = outcome(&b[0]);
	EXPECT("P1", ev.code == 0);
	gate_open(seal);
	at(&b[1]);
	ev = (struct firn_event){ 0 };
	EXPECT("P8", firn_cq_reap(b[1].cq, &ev, sizeof ev, 1, 600 * SECOND) == 1 && !ev.code);
	struct firn_volume *w = ((const struct firn_attached *)ev.result)->volume;
	firn_release(ev.result);
	expect_word(w, s, "abc", "at the next owner");
	at(&b[0]);
	int rc = firn_stream_append(v, s, "d", 1, 1, 0, NULL, NULL);
	EXPECT("P4", rc == FIRN_EUNKNOWN || rc == FIRN_EFENCED);
}

/* B dies while it takes over, wherever: C finds all of it, from the logs of both. */
static void taker_dies(void)
{
	for (uint32_t step = 0; step < 4; step++) {
		char name[8] = { 'v', (char)('0' + step), 0 };
		struct box b[3];
		boxes(b, 3);
		at(&b[0]);
		struct firn_volume *v = attach(&b[0], name);
		uint64_t s = stream(v, "room");
		say(v, s, "abcd");
		kill9(&b[0]);
		at(&b[1]);
		/* The seal, or the first slot of its own; not there, or there and not known. */
		struct gate *g = gate_set(GATE_PUT, SLOT, step / 2,
		                          step % 2 ? GATE_LATE : GATE_HOLD);
		begin_attach(&b[1], name);
		gate_wait(g);
		kill9(&b[1]);
		at(&b[2]);
		v = attach(&b[2], name);
		expect_word(v, s, "abcd", "at the third");
		say(v, s, "e");
		gate_open(g);
		wait_ms(20);
		sched_become(0);
		kill9(&b[2]);
		power_on(&b[2]);
		expect_word(attach(&b[2], name), s, "abcde", "after the second's stragglers");
		kill9(&b[2]);
	}
}

/* B's own log is sealed while it takes V over, so its manifest names a new one; then B dies before a copy is in any log of its
 * own: the first writer's log is still named. */
static void sealed_while_taking(void)
{
	struct box b[3];
	uint64_t s;
	struct firn_volume *v = open_room(b, 3, &s);
	say(v, s, "abcd");
	kill9(&b[0]);
	at(&b[1]);
	uint64_t t = stream(attach(&b[1], "w"), "room");
	/* Its first copy, and so all of them. */
	struct gate *copy = gate_set(GATE_PUT, "/0000000000000001", 0, GATE_HOLD);
	begin_attach(&b[1], "v");
	gate_wait(copy);
	at(&b[2]);
	struct firn_volume *w = attach(&b[2], "w");
	struct gate *again = gate_set(GATE_PUT, "/0000000000000000", 0, GATE_HOLD);
	gate_open(copy);
	gate_wait(again);
	wait_ms(2 * SECOND);
	kill9(&b[1]);
	at(&b[2]);
	expect_word(attach(&b[2], "v"), s, "abcd", "at the third");
	say(w, t, "x");
	gate_open(again);
	expect_word(w, t, "x", "the other volume");
}

/* Lost answers: a slot is ours if it is there, and sent again if it is not. */
static void answers_lost(void)
{
	struct box b[2];
	uint64_t s;
	struct firn_volume *v = open_room(b, 2, &s);
	say(v, s, "a");
	(void)gate_set(GATE_PUT, SLOT, 0, GATE_DONE_LOST);
	say(v, s, "b");
	(void)gate_set(GATE_PUT, SLOT, 0, GATE_LOST);
	say(v, s, "c");
	struct gate *late = gate_set(GATE_PUT, SLOT, 0, GATE_LATE);
	say(v, s, "d"); /* by another PUT of the same slot */
	gate_open(late);
	wait_ms(20);
	say(v, s, "e");
	kill9(&b[0]);
	at(&b[1]);
	(void)gate_set(GATE_PUT, SLOT, 0, GATE_DONE_LOST); /* of the seal */
	expect_word(attach(&b[1], "v"), s, "abcde", "at the next owner");
}

/* W is idle and its manifest gives an old position; V goes on and slots are deleted. C takes W: it finds the log as it is,
 * and its seal stops A. */
static void idle_position(void)
{
	struct box b[2];
	char word[256] = { 0 };
	boxes(b, 2);
	at(&b[0]);
	struct firn_volume *v = attach(&b[0], "v"), *w = attach(&b[0], "w");
	uint64_t s = stream(v, "room"), t = stream(w, "room");
	say(w, t, "x");
	store_now(&b[0], w);
	for (uint32_t i = 0; i < 60; i++) {
		word[i] = (char)('a' + i % 26);
		say_bytes(v, s, (uint8_t)word[i], 32);
		if (i % 20 == 19)
			store_now(&b[0], v);
	}
	wait_ms(5 * SECOND); /* what may go has gone */
	at(&b[1]);
	struct firn_volume *c = attach(&b[1], "w");
	expect_word(c, t, "x", "a quiet volume at its next owner");
	at(&b[0]);
	say(v, s, "!"); /* in the next log */
	word[60] = '!';
	kill9(&b[0]);
	at(&b[1]);
	expect_word(attach(&b[1], "v"), s, word, "the other volume");
}

/* An idle volume commits when its position is what keeps slots: they do not pile up behind it. */
static void idle_commits(void)
{
	struct box b[1];
	boxes(b, 1);
	at(&b[0]);
	struct firn_volume *v = attach(&b[0], "v"), *w = attach(&b[0], "w");
	uint64_t s = stream(v, "room"), t = stream(w, "room");
	say(w, t, "x");
	store_now(&b[0], w);
	for (uint32_t i = 0; i < 24; i++) {
		for (uint32_t k = 0; k < 100; k++)
			say(v, s, "v");
		store_now(&b[0], v);
	}
	wait_ms(10 * SECOND);
	uint64_t n = store_puts_to(SLOT);
	SIM_CHECK("P7", n < 1300, "%llu slots are left of 2400", (unsigned long long)n);
	at(&b[0]);
	MUST(detach(&b[0], w, FIRN_DETACH_DRAIN));
	say(v, s, "v");
	store_now(&b[0], v);
	wait_ms(60 * SECOND);
	EXPECT("P9", store_puts_to(SLOT) <= 1);
}

/* V was taken, A goes on with W in a new log. Nothing is acked there for W before its manifest names that log. */
static void named_first(void)
{
	struct box b[3];
	boxes(b, 3);
	at(&b[0]);
	struct firn_volume *v = attach(&b[0], "v"), *w = attach(&b[0], "w");
	uint64_t s = stream(v, "room"), t = stream(w, "room");
	say(v, s, "a");
	say(w, t, "x");
	at(&b[1]);
	struct firn_volume *taken = attach(&b[1], "v");
	struct gate *cas = gate_set(GATE_PUT, "w/manifest", 0, GATE_HOLD);
	at(&b[0]);
	begin_say(&b[0], w, t, 'y', 1);
	gate_wait(cas);
	EXPECT("P1", quiet(&b[0], 5 * SECOND)); /* its slot may well be there */
	gate_open(cas);
	struct firn_event ev = outcome(&b[0]);
	EXPECT("P8", ev.code == 0);
	say(w, t, "z");
	at(&b[2]);
	expect_word(attach(&b[2], "w"), t, "xyz", "from the second log");
	at(&b[1]);
	expect_word(taken, s, "a", "the first volume");
}

/* The same; C is quicker than that swap. W is C's with what the first log holds. */
static void not_named(void)
{
	struct box b[3];
	boxes(b, 3);
	at(&b[0]);
	struct firn_volume *v = attach(&b[0], "v"), *w = attach(&b[0], "w");
	uint64_t s = stream(v, "room"), t = stream(w, "room");
	say(v, s, "a");
	say(w, t, "x");
	at(&b[1]);
	(void)attach(&b[1], "v");
	struct gate *cas = gate_set(GATE_PUT, "w/manifest", 0, GATE_HOLD);
	at(&b[0]);
	begin_say(&b[0], w, t, 'y', 1);
	gate_wait(cas);
	at(&b[2]);
	struct firn_volume *c = attach(&b[2], "w");
	expect_word(c, t, "x", "at its next owner");
	say(c, t, "z");
	gate_open(cas);
	at(&b[0]);
	expect_unknown(&b[0], 1);
	at(&b[2]);
	expect_word(c, t, "xz", "at its next owner");
}

/* The log's store is not the volume's. While it is away nothing is acked, reads go on, nobody takes the volume, and nothing
 * is lost; while the volume's is away writes go on. */
static void log_elsewhere(void)
{
	struct box b[2];
	struct firn_volume *w;
	struct firn_error err = FIRN_ERROR_INIT;
	uint64_t s;
	struct firn_volume *v = open_room(b, 2, &s);
	say(v, s, "a");
	store_outage_of("v/", sched_now() + HOUR_NS);
	say(v, s, "b");
	store_outage_of(SLOT, sched_now() + HOUR_NS);
	begin_say(&b[0], v, s, 'c', 1);
	EXPECT("P1", quiet(&b[0], 60 * SECOND));
	expect_word(v, s, "ab", "while the log is away");
	struct firn_detach d = FIRN_DETACH_INIT;
	struct firn_event ev = { 0 };
	d.volume = v;
	d.mode = FIRN_DETACH_KEEP_WAL;
	d.req.timeout_ms = 10 * SECOND;
	EXPECT("P7", firn_engine_call(b[0].node->engine, &d.req, &ev, NULL) == FIRN_ETIMEDOUT);
	firn_release(ev.result);
	kill9(&b[0]);
	at(&b[1]);
	for (uint32_t i = 0; i < 2; i++)
		EXPECT("P1", try_attach(&b[1], "v", 0, &w, &err) == FIRN_ESTORE);
	store_outage_of(NULL, 0);
	char word[256];
	w = attach(&b[1], "v");
	hear(w, s, word);
	EXPECT("P1", !strcmp(word, "ab") || !strcmp(word, "abc"));
}

/* A slot is gone that was acked: whoever comes is told so, as often as he comes, and nothing is sealed in its place. Then
 * somebody gives it up: what was stored is there, and what he writes is new. */
static void slot_gone(void)
{
	struct box b[3];
	struct firn_volume *w;
	struct firn_error err = FIRN_ERROR_INIT;
	char word[256];
	uint64_t s;
	struct firn_volume *v = open_room(b, 3, &s);
	say(v, s, "ab");
	store_now(&b[0], v);
	wait_ms(5 * SECOND);
	EXPECT("script", store_puts_to(SLOT) == 0 || store_puts_to(SLOT) == 1);
	uint32_t left = (uint32_t)store_puts_to(SLOT);
	say(v, s, "cdef");
	kill9(&b[0]);
	EXPECT("script", store_lose(SLOT, left + 1));
	for (uint32_t i = 1; i < 3; i++) {
		at(&b[i]);
		int rc = try_attach(&b[i], "v", 0, &w, &err);
		SIM_CHECK("P5", rc == FIRN_ECORRUPT && strstr(err.text, "is gone"), "%s: %s",
		          firn_code_name(rc), err.text);
	}
	MUST(try_takeover(&b[2], "v", "abandon", &w, &err));
	EXPECT("P3", mark(w, s, FIRN_MARK_DURABLE) >= UINT64_C(1) << 36);
	say(w, s, "x");
	store_now(&b[2], w);
	MUST(detach(&b[2], w, FIRN_DETACH_DRAIN));
	at(&b[1]);
	w = attach(&b[1], "v");
	MUST(trim(&b[1], w, s, mark(w, s, FIRN_MARK_DURABLE) - 1));
	hear(w, s, word);
	EXPECT("P1", !strcmp(word, "x"));
}

/* Given up, but there is nothing wrong with it: it is taken over as it is. */
static void nothing_gone(void)
{
	struct box b[2];
	struct firn_volume *w;
	struct firn_error err = FIRN_ERROR_INIT;
	uint64_t s;
	struct firn_volume *v = open_room(b, 2, &s);
	say(v, s, "abc");
	kill9(&b[0]);
	at(&b[1]);
	MUST(try_takeover(&b[1], "v", "abandon", &w, &err));
	expect_word(w, s, "abc", "at the next owner");
}

/* An engine whose own log is in files does not take over from one in a store, and says what to do. */
static void other_kind(void)
{
	struct box b[2];
	struct firn_volume *w;
	struct firn_error err = FIRN_ERROR_INIT;
	uint64_t s;
	struct firn_volume *v = open_room(b, 2, &s);
	say(v, s, "abc");
	kill9(&b[0]);
	b[0].slots = false;
	power_on(&b[0]);
	EXPECT("P5", try_attach(&b[0], "v", 0, &w, &err) == FIRN_EUNSUPPORTED);
	EXPECT("P5", strstr(err.text, "wal=store:") != NULL);
	at(&b[1]);
	w = attach(&b[1], "v");
	expect_word(w, s, "abc", "at the next owner");
	MUST(detach(&b[1], w, FIRN_DETACH_DRAIN));
	at(&b[0]);
	w = attach(&b[0], "v");
	expect_word(w, s, "abc", "back in files");
	say(w, s, "d");
	at(&b[1]);
	EXPECT("P4", try_attach(&b[1], "v", 0, &v, &err) == FIRN_ELOST);
}

/* Boxes whose sweeps come a second after an attach. */
static void sweepers(struct box *b, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		box_init(&b[i], 20 + i);
		b[i].slots = true;
		b[i].grace_ms = SECOND;
		power_on(&b[i]);
		sched_become(0);
	}
}

/* A's log has two volumes in it. B takes one and stores it, and sweeps: the other one's owner is A, who does not even know
 * yet. C takes that, stores it, and sweeps: now nobody needs the log. */
static void over_when_nobody_needs_it(void)
{
	struct box b[4];
	sweepers(b, 4);
	at(&b[0]);
	struct firn_volume *v = attach(&b[0], "v"), *w = attach(&b[0], "w");
	uint64_t s = stream(v, "room"), t = stream(w, "room");
	say(v, s, "abcdefgh");
	say(w, t, "ABCDEFGH");
	at(&b[1]);
	v = attach(&b[1], "v");
	store_now(&b[1], v);
	wait_ms(30 * SECOND);
	EXPECT("P1", store_objects(SLOT) > 16);
	at(&b[0]);
	expect_word(w, t, "ABCDEFGH", "at its owner");
	kill9(&b[0]);
	at(&b[2]);
	w = attach(&b[2], "w");
	expect_word(w, t, "ABCDEFGH", "at the next owner");
	uint64_t before = store_objects(SLOT);
	store_now(&b[2], w);
	wait_ms(30 * SECOND);
	SIM_CHECK("P9", store_objects(SLOT) + 16 <= before, "%llu objects of logs, %llu before",
	          (unsigned long long)store_objects(SLOT), (unsigned long long)before);
	at(&b[1]);
	shut_down(&b[1], v, FIRN_DETACH_DRAIN);
	at(&b[2]);
	shut_down(&b[2], w, FIRN_DETACH_DRAIN);
	at(&b[3]);
	expect_word(attach(&b[3], "v"), s, "abcdefgh", "at the third");
	expect_word(attach(&b[3], "w"), t, "ABCDEFGH", "at the third");
}

/* A's first log is sealed; he goes on in a second, and the swap that names it in v's manifest is slow. That log is sealed, too,
 * and swept, as no manifest names it. Then the swap lands, and A acks what he had written there for v. */
static void named_behind_its_seal(void)
{
	struct box b[4];
	sweepers(b, 4);
	at(&b[0]);
	struct firn_volume *v = attach(&b[0], "v"), *w = attach(&b[0], "w");
	(void)attach(&b[0], "u");
	uint64_t s = stream(v, "room"), t = stream(w, "room");
	say(v, s, "a");
	say(w, t, "A");
	at(&b[1]);
	(void)attach(&b[1], "u");
	at(&b[0]);
	struct gate *name = gate_set(GATE_PUT, "v/manifest", 0, GATE_HOLD);
	say(w, t, "B");
	gate_wait(name);
	begin_say(&b[0], v, s, 'b', 1);
	EXPECT("P1", quiet(&b[0], SECOND));
	at(&b[2]);
	w = attach(&b[2], "w");
	store_now(&b[2], w);
	wait_ms(15 * SECOND);
	gate_open(name);
	at(&b[0]);
	EXPECT("script", outcome(&b[0]).code == 0);
	kill9(&b[0]);
	at(&b[3]);
	expect_word(attach(&b[3], "v"), s, "ab", "at the next owner");
}

/* B takes v and stores it; all that lies in A's log is stored now, but w's manifest names it still. A straggler behind the seal
 * says that what was below it had been acked: whoever takes w must find that it was. */
static void named_and_stored(void)
{
	struct box b[3];
	sweepers(b, 3);
	at(&b[0]);
	struct firn_volume *v = attach(&b[0], "v"), *w = attach(&b[0], "w");
	uint64_t s = stream(v, "room"), t = stream(w, "room");
	say(w, t, "A");
	store_now(&b[0], w);
	say(v, s, "abc");
	struct gate *first = gate_set(GATE_PUT, SLOT, 0, GATE_HOLD);
	struct gate *late = gate_set(GATE_PUT, SLOT, 0, GATE_HOLD);
	begin_say(&b[0], v, s, 'd', 1);
	gate_wait(first);
	begin_say(&b[0], v, s, 'e', 2);
	gate_wait(late);
	kill9(&b[0]);
	at(&b[1]);
	v = attach(&b[1], "v");
	store_now(&b[1], v);
	wait_ms(15 * SECOND);
	gate_open(late);
	wait_ms(SECOND);
	at(&b[2]);
	expect_word(attach(&b[2], "w"), t, "A", "at the next owner");
}

/* A slot of v is gone, so its writer's log is given up for it; w was taken out of that log, which is sealed and all stored. What was
 * acked of v lies there and nowhere else: it stays for a salvage. */
static void given_up_stays(void)
{
	struct box b[3];
	struct firn_error err = FIRN_ERROR_INIT;
	sweepers(b, 3);
	at(&b[0]);
	struct firn_volume *v = attach(&b[0], "v");
	uint64_t s = stream(v, "room");
	store_now(&b[0], v);
	wait_ms(5 * SECOND);
	say(v, s, "abcd");
	struct firn_volume *w = attach(&b[0], "w");
	uint64_t t = stream(w, "room");
	say(w, t, "A");
	kill9(&b[0]);
	EXPECT("script", store_lose(SLOT, 2));
	uint64_t before = store_objects(SLOT);
	at(&b[1]);
	w = attach(&b[1], "w");
	expect_word(w, t, "A", "at the next owner");
	store_now(&b[1], w);
	at(&b[2]);
	MUST(try_takeover(&b[2], "v", "abandon", &v, &err));
	say(v, s, "x");
	store_now(&b[2], v);
	wait_ms(30 * SECOND);
	SIM_CHECK("P3", store_objects(SLOT) >= before, "%llu objects of logs, %llu before",
	          (unsigned long long)store_objects(SLOT), (unsigned long long)before);
}

/* The log is swept while its old writer waits for an answer: the seal is there when that comes. */
static void the_seal_stays_behind_a_sweep(void)
{
	struct box b[2];
	sweepers(b, 2);
	at(&b[0]);
	struct firn_volume *v = attach(&b[0], "v");
	uint64_t s = stream(v, "room");
	say(v, s, "abcdef");
	struct gate *late = gate_set(GATE_PUT, SLOT, 0, GATE_HOLD);
	begin_say(&b[0], v, s, 'g', 1);
	gate_wait(late);
	begin_say(&b[0], v, s, 'h', 2); /* behind the seal */
	EXPECT("P1", quiet(&b[0], 20));
	at(&b[1]);
	struct firn_volume *w = attach(&b[1], "v");
	say(w, s, "x");
	uint64_t before = store_objects(SLOT);
	store_now(&b[1], w);
	wait_ms(30 * SECOND);
	EXPECT("P9", store_objects(SLOT) + 7 <= before);
	gate_open(late);
	at(&b[0]);
	expect_unknown(&b[0], 2);
	at(&b[1]);
	expect_word(w, s, "abcdefx", "at the next owner");
}

const struct history slots_histories[] = {
	{ "3a", "P4", "what is put at a seal or above it is acked by nobody", sealed },
	{ "3b", "P4", "a seal is still there when the last straggler comes", seal_stays },
	{ "3c", "P1", "who puts a slot before the seal keeps it", writer_wins },
	{ "3d", "P1", "a takeover that dies half-way loses nothing", taker_dies },
	{ "3e", "P1", "a slot without an answer is settled by reading it", answers_lost },
	{ "3f", "P5", "a slot that is gone is told, and not sealed over", slot_gone },
	{ "3g", "P1", "who gives up a log that can be read loses nothing", nothing_gone },
	{ "3h", "P5", "a log in a store is not left to an engine with files", other_kind },
	{ "3i", "P1", "a log stays named until what it holds is in the next", sealed_while_taking },
	{ "S2", "P1", "slots stay that a manifest of an idle volume gives", idle_position },
	{ "S2b", "P7", "an idle volume does not keep slots for ever", idle_commits },
	{ "S3", "P1", "a log is named by the volume's manifest before it acks", named_first },
	{ "S3b", "P4", "a log that was not named in time acks nothing", not_named },
	{ "S17", "P1", "a log in another store is found by its URI, and waited for",
	  log_elsewhere },
	{ "S17b", "P9", "a sealed log goes when no manifest names it, and not before",
	  over_when_nobody_needs_it },
	{ "S17c", "P4", "its seal stays", the_seal_stays_behind_a_sweep },
	{ "S17d", "P1", "nor before all that lies in it is stored: it may be named late",
	  named_behind_its_seal },
	{ "S17e", "P5", "and not while it is named, though all is stored", named_and_stored },
	{ "S17f", "P3", "nor what was given up and not stored", given_up_stays },
	{ 0 }
};
