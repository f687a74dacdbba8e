/* Histories of ownership: who goes on with a volume, and who must not. */
#include "tests/sim/history/history.h"
#include <stdio.h>
#include <stdlib.h>

#define HOUR_NS (3600 * UINT64_C(1000000000))

static void outage(void)
{
	store_outage(sched_now() + HOUR_NS);
}

static uint32_t state(struct firn_volume *v)
{
	struct firn_volume_info i = { .struct_size = sizeof i };
	MUST(firn_volume_info(v, &i));
	return i.state;
}

static void until_open(struct firn_volume *v)
{
	for (uint32_t i = 0; state(v) != FIRN_STATE_OPEN; i++) {
		SIM_CHECK("P8", i < 600, "state %u a minute after the outage", state(v));
		wait_ms(100);
	}
}

/* Back without the store: what is not stored is read, the rest is known by its marks. */
static struct firn_volume *resumed(struct box *b, const char *name)
{
	power_on(b);
	struct firn_volume *v = attach(b, name);
	EXPECT("P8", state(v) == FIRN_STATE_STORE_AWAY);
	return v;
}

static void expect_from(struct firn_volume *v, uint64_t s, uint64_t at, const char *word)
{
	for (; *word; word++, at++) {
		const struct firn_fetched *f = NULL;
		MUST(firn_stream_read(v, s, at, 1, 10 * SECOND, &f, NULL));
		SIM_CHECK("P1",
		          f->part->n_batch == 1 && *(const char *)f->part->batch->data == *word,
		          "offset %llu is not '%c'", (unsigned long long)at, *word);
		firn_release(f);
	}
}

/* An outage with restarts in it: killed, cut off, killed. Everything goes on, and drains by itself. */
static void restarts_in_an_outage(void)
{
	struct box a, b;
	uint64_t id[3];
	box_init(&a, 0);
	box_init(&b, 1);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room"), q = stream(v, "quiet"), gone = stream(v, "gone");
	say(v, s, "abc");
	say(v, q, "q");
	say(v, gone, "x");
	store_now(&a, v);
	say(v, s, "d");
	struct firn_op op = { .kind = FIRN_OP_DELETE, .stream = gone };
	MUST(write_ops(&a, v, &op, 1, NULL));
	outage();
	for (uint32_t i = 0; i < 3; i++) {
		char name[8] = { 'n', (char)('0' + i), 0 }, more[2] = { (char)('e' + i), 0 };
		if (i == 1)
			power_cut(&a);
		else
			kill9(&a);
		v = resumed(&a, "v");
		expect_from(v, s, 3, i == 0 ? "d" : i == 1 ? "de" : "def");
		EXPECT("P3", mark(v, q, FIRN_MARK_ASSIGNED) == 1 && find(v, "gone") == 0);
		say(v, s, more);
		id[i] = stream(v, name);
		for (uint32_t k = 0; k < i; k++)
			EXPECT("P3", id[k] != id[i]);
		say(v, id[i], "1");
	}
	say(v, q, "r");
	MUST(detach(&a, v, FIRN_DETACH_KEEP_WAL));
	v = attach(&a, "v");
	EXPECT("P8", state(v) == FIRN_STATE_STORE_AWAY);
	say(v, s, "h");
	store_outage(0);
	until_open(v);
	uint64_t late = stream(v, "late");
	say(v, late, "l");
	say(v, s, "i");
	expect_word(v, s, "abcdefghi", "after the outage");
	store_now(&a, v);
	shut_down(&a, v, FIRN_DETACH_DRAIN);
	power_on(&b);
	v = attach(&b, "v");
	expect_word(v, s, "abcdefghi", "at the next owner");
	expect_word(v, q, "qr", "a quiet stream at the next owner");
	expect_word(v, late, "l", "a stream made after the outage");
	for (uint32_t i = 0; i < 3; i++)
		expect_word(v, id[i], "1", "a stream made in the outage");
}

/* Killed when the manifest was swapped and the index did not know: the volume resumes below what is stored. */
static void resumed_behind_the_manifest(void)
{
	struct box a, b;
	box_init(&a, 0);
	box_init(&b, 1);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room"), t = stream(v, "gone");
	say(v, s, "ab");
	store_now(&a, v);
	say(v, s, "cde");
	MUST(trim(&a, v, s, 1));
	say(v, t, "x");
	struct firn_op op = { .kind = FIRN_OP_DELETE, .stream = t };
	MUST(write_ops(&a, v, &op, 1, NULL));
	MUST(put(&a, v, "k", "1"));
	uint64_t stored = rev_durable(v);
	struct gate *done = gate_set(GATE_PUT, "/manifest", 0, GATE_DONE_LOST);
	struct gate *asked = gate_set(GATE_GET, "/manifest", 0, GATE_HOLD);
	struct firn_flush f = FIRN_FLUSH_INIT;
	const struct firn_req *r = &f.req;
	f.volume = v;
	f.mark = FIRN_MARK_STORED;
	f.req.cq = a.cq;
	EXPECT("script", firn_engine_submit(a.node->engine, &r, 1, NULL) == 1);
	gate_wait(done);
	gate_wait(asked);
	say(v, s, "f");
	outage();
	kill9(&a);
	gate_open(asked);
	v = resumed(&a, "v");
	EXPECT("P10", rev_stored(v) < stored);
	say(v, s, "g");
	MUST(trim(&a, v, s, 2));
	store_outage(0);
	until_open(v);
	EXPECT("P10", rev_stored(v) == stored);
	expect_word(v, s, "cdefg", "when the store is back");
	say(v, s, "h");
	store_now(&a, v);
	EXPECT("P10", mark(v, s, FIRN_MARK_STORED) == 8);
	kill9(&a);
	power_on(&a);
	v = attach(&a, "v");
	expect_word(v, s, "cdefgh", "after a kill");
	shut_down(&a, v, FIRN_DETACH_DRAIN);
	power_on(&b);
	v = attach(&b, "v");
	expect_word(v, s, "cdefgh", "at the next owner");
	expect_pair(v, "k", "1");
	EXPECT("P3", find(v, "gone") == 0);
}

/* The swap that settles a resumed volume: its answer is lost, it was done, was not, or is done later. */
static void settled_with_lost_answers(void)
{
	static const enum gate_how how[] = { GATE_DONE_LOST, GATE_LOST, GATE_LATE, GATE_FAIL };
	struct box a, b;
	box_init(&a, 0);
	box_init(&b, 1);
	for (uint32_t i = 0; i < 4; i++) {
		char name[8] = { 'v', (char)('0' + i), 0 };
		power_on(&a);
		struct firn_volume *v = attach(&a, name);
		uint64_t s = stream(v, "room");
		say(v, s, "ab");
		outage();
		kill9(&a);
		v = resumed(&a, name);
		say(v, s, "c");
		struct gate *g = gate_set(GATE_PUT, "/manifest", 0, how[i]);
		struct gate *asked = gate_set(GATE_GET, "/manifest", 1, GATE_FAIL);
		store_outage(0);
		gate_wait(g);
		say(v, s, "d");
		if (how[i] == GATE_DONE_LOST) /* nor is it known at once what became of it */
			gate_wait(asked);
		say(v, s, "e");
		gate_open(g);
		until_open(v);
		store_now(&a, v);
		shut_down(&a, v, FIRN_DETACH_DRAIN);
		power_on(&b);
		v = attach(&b, name);
		expect_word(v, s, "abcde", "at the next owner");
		shut_down(&b, v, FIRN_DETACH_DRAIN);
	}
}

/* The store is back, but has not yet said who the writer is: nothing is stored under the old epoch. */
static void nothing_is_stored_unasked(void)
{
	struct box a, b;
	box_init(&a, 0);
	box_init(&b, 1);
	a.upload_interval_ms = 2 * SECOND;
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	say(v, s, "ab");
	store_now(&a, v);
	outage();
	kill9(&a);
	v = resumed(&a, "v");
	struct gate *asked = gate_set(GATE_GET, "/manifest", 0, GATE_HOLD);
	struct gate *put = gate_set(GATE_PUT, "/seg/", 0, GATE_HOLD);
	store_outage(0);
	for (const char *c = "cdef"; *c; c++) {
		say(v, s, (char[2]){ *c, 0 });
		wait_ms(4 * SECOND);
	}
	gate_wait(asked);
	EXPECT("P3", !gate_reached(put));
	gate_open(asked);
	gate_wait(put);
	EXPECT("P3", state(v) == FIRN_STATE_OPEN);
	gate_open(put);
	store_now(&a, v);
	shut_down(&a, v, FIRN_DETACH_DRAIN);
	power_on(&b);
	expect_word(attach(&b, "v"), s, "abcdef", "at the next owner");
}

void must_not_resume(struct box *a, const char *name, const char *why)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_volume *v;
	outage();
	power_on(a);
	int rc = try_attach(a, name, 0, &v, &err);
	SIM_CHECK("P4", rc == FIRN_ESTORE, "went on without the store: %s", firn_code_name(rc));
	SIM_CHECK("P4", strstr(err.text, why), "\"%s\" does not say \"%s\"", err.text, why);
	kill9(a);
	store_outage(0);
}

/* A drains V, the clean manifest lands, A dies before it notes that; the store goes away. */
static void clean_and_an_outage(void)
{
	struct box a;
	box_init(&a, 0);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	say(v, s, "abc");
	store_now(&a, v);
	struct firn_detach d = FIRN_DETACH_INIT;
	const struct firn_req *r = &d.req;
	d.volume = v;
	d.req.cq = a.cq;
	struct gate *done = gate_set(GATE_PUT, "/manifest", 0, GATE_DONE_LOST);
	struct gate *asked = gate_set(GATE_GET, "/manifest", 0, GATE_HOLD);
	EXPECT("script", firn_engine_submit(a.node->engine, &r, 1, NULL) == 1);
	gate_wait(done);
	gate_wait(asked);
	kill9(&a);
	gate_open(asked);
	must_not_resume(&a, "v", "detached");
	power_on(&a);
	v = attach(&a, "v");
	expect_word(v, s, "abc", "clean, when the store is back");
}

/* A, clean and back, has written what it intends to be when it dies; its swap is never done, and B comes. */
static void clean_and_an_intent(void)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct box a, b;
	uint64_t s;
	struct firn_volume *v = open_first(&a, &b, &s);
	say(v, s, "abc");
	shut_down(&a, v, FIRN_DETACH_DRAIN);
	power_on(&a);
	struct firn_attach at = FIRN_ATTACH_INIT;
	const struct firn_req *r = &at.req;
	at.store = "mem:";
	at.name = "v";
	at.req.cq = a.cq;
	struct gate *lost = gate_set(GATE_PUT, "/manifest", 0, GATE_LOST);
	struct gate *asked = gate_set(GATE_GET, "/manifest", 1, GATE_HOLD);
	EXPECT("script", firn_engine_submit(a.node->engine, &r, 1, NULL) == 1);
	gate_wait(lost);
	gate_wait(asked);
	kill9(&a);
	gate_open(asked);
	power_on(&b);
	v = attach(&b, "v");
	say(v, s, "x");
	sched_become(0);
	must_not_resume(&a, "v", "another engine may have it");
	power_on(&a);
	struct firn_volume *none;
	int rc = try_attach(&a, "v", 0, &none, &err);
	SIM_CHECK("P4", rc == FIRN_ELOST || rc == FIRN_EFENCED, "attached what another has: %s",
	          firn_code_name(rc));
	sched_become(b.node->process);
	say(v, s, "y");
	expect_word(v, s, "abcxy", "at its owner");
}

/* A left clean and came back: from the swap on it may resume again. */
static void clean_and_back(void)
{
	struct box a;
	box_init(&a, 0);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	say(v, s, "ab");
	shut_down(&a, v, FIRN_DETACH_DRAIN);
	power_on(&a);
	v = attach(&a, "v");
	say(v, s, "c");
	outage();
	kill9(&a);
	v = resumed(&a, "v");
	say(v, s, "d");
	store_outage(0);
	until_open(v);
	expect_word(v, s, "abcd", "when the store is back");
}

/* Next offsets of quiet streams are in the index alone: without it nobody goes on. */
static void no_index_in_an_outage(void)
{
	char command[300];
	struct box a;
	box_init(&a, 0);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room"), q = stream(v, "quiet");
	say(v, q, "q");
	say(v, s, "ab");
	store_now(&a, v);
	say(v, s, "c");
	kill9(&a);
	(void)snprintf(command, sizeof command, "%s/index/data.mdb", a.node->dir);
	EXPECT("script", remove(command) == 0);
	must_not_resume(&a, "v", "index");
	power_on(&a);
	v = attach(&a, "v");
	expect_word(v, s, "abc", "when the store is back");
	EXPECT("P3", mark(v, q, FIRN_MARK_ASSIGNED) == 1);
}

/* The index is an older one, from before what the log has given back. */
static void old_index_in_an_outage(void)
{
	char command[700];
	struct box a;
	box_init(&a, 0);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v"), *w = attach(&a, "w");
	uint64_t s = stream(v, "room"), q = stream(v, "quiet"), t = stream(w, "noise");
	say(v, q, "q");
	say(v, s, "ab");
	store_now(&a, v);
	(void)snprintf(command, sizeof command, "cp %s/index/data.mdb %s/older", a.node->dir,
	               a.node->dir);
	EXPECT("script", system(command) == 0);
	say(v, q, "r");
	store_now(&a, v);
	for (uint32_t i = 0; i < 48; i++) { /* 12 MiB through 8 */
		say_bytes(w, t, 'x', 256 << 10);
		if (i % 8 == 7)
			store_now(&a, w);
	}
	say(v, s, "c");
	kill9(&a);
	(void)snprintf(command, sizeof command, "cp %s/older %s/index/data.mdb", a.node->dir,
	               a.node->dir);
	EXPECT("script", system(command) == 0);
	must_not_resume(&a, "v", "do not make a whole");
	power_on(&a);
	v = attach(&a, "v");
	expect_word(v, s, "abc", "when the store is back");
	expect_word(v, q, "qr", "a quiet stream");
}

/* One attach after the other dies with its swap on the way; the very first lands when there have been more of them
 * than are remembered. */
static void many_attaches_and_the_first_lands(void)
{
	enum { N = 11 };
	struct box a;
	struct gate *first = NULL;
	box_init(&a, 0);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	say(v, s, "abc");
	for (uint32_t i = 0; i < N; i++) {
		kill9(&a);
		power_on(&a);
		struct firn_attach at = FIRN_ATTACH_INIT;
		const struct firn_req *r = &at.req;
		at.store = "mem:";
		at.name = "v";
		at.req.cq = a.cq;
		struct gate *g = gate_set(GATE_PUT, "/manifest", 0, i ? GATE_LOST : GATE_LATE);
		struct gate *asked = gate_set(GATE_GET, "/manifest", 1, GATE_HOLD);
		EXPECT("script", firn_engine_submit(a.node->engine, &r, 1, NULL) == 1);
		gate_wait(g);
		gate_wait(asked);
		gate_open(asked);
		first = first ? first : g;
	}
	kill9(&a);
	gate_open(first);
	wait_ms(10);
	power_on(&a);
	v = attach(&a, "v");
	expect_word(v, s, "abc", "after all of it");
	say(v, s, "d");
	store_now(&a, v);
	shut_down(&a, v, FIRN_DETACH_DRAIN);
}

const struct history owner_histories[] = {
	{ "13a", "P8", "a store outage with restarts in it: the volume goes on and drains",
	  restarts_in_an_outage },
	{ "13b", "P10", "resumed below what the manifest says is stored",
	  resumed_behind_the_manifest },
	{ "13c", "P8", "the answer to the swap that settles a resumed volume is lost",
	  settled_with_lost_answers },
	{ "13d", "P3", "nothing is stored before the store has said who the writer is",
	  nothing_is_stored_unasked },
	{ "S1b", "P4", "who has drained a volume does not resume it", clean_and_an_outage },
	{ "S1c", "P4", "nor does who only intended to have it again", clean_and_an_intent },
	{ "S1d", "P8", "who has it again does", clean_and_back },
	{ "S19b", "P3", "without a whole index nobody resumes", no_index_in_an_outage },
	{ "S19c", "P3", "nor with an index that is older than what the log has given back",
	  old_index_in_an_outage },
	{ "S9c", "P8", "more attaches than are remembered, and the first of them lands late",
	  many_attaches_and_the_first_lands },
	{ 0 },
};
