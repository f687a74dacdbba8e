/* Histories of a volume that cannot be stored: it does not hold up the log for the others (S5). */
#include "tests/sim/history/history.h"
#include <stdio.h>

static const uint64_t DAY = UINT64_C(86400) * 1000000000u;

struct pair {
	struct box a;
	struct firn_volume *v, *w; /* v's store goes away */
	uint64_t s, t;
	char word[256];
};

static void pair_open(struct pair *p)
{
	*p = (struct pair){ 0 };
	box_init(&p->a, 0);
	p->a.upload_interval_ms = SECOND;
	power_on(&p->a);
	p->v = attach(&p->a, "v");
	p->w = attach(&p->a, "w");
	p->s = stream(p->v, "room");
	p->t = stream(p->w, "room");
	store_now(&p->a, p->v);
	store_outage_of("v/", sched_now() + DAY);
}

/* Two MiB of w's in the log; v says a letter to each quarter if it can. Whoever is refused for want of room fails. */
static void quarter_lap(struct pair *p, bool speaks)
{
	for (uint32_t i = 0; i < 8; i++) {
		say_bytes(p->w, p->t, 'w', 256 << 10);
		size_t n = strlen(p->word);
		if (speaks && i % 2) {
			char letter[2] = { (char)('a' + n % 26), 0 };
			say(p->v, p->s, letter);
			p->word[n] = letter[0];
		}
	}
	store_now(&p->a, p->w);
}

/* Five laps with v's store away, a restart, two laps in which nobody has v; then it goes on without its store, which comes back. */
static void slow_volume(void)
{
	struct pair p;
	pair_open(&p);
	for (uint32_t i = 0; i < 20; i++)
		quarter_lap(&p, true);
	expect_word(p.v, p.s, p.word, "after five laps without its store");
	EXPECT("P8", rev_stored(p.v) < rev_durable(p.v));
	EXPECT("P7", p.a.node->memory_most <= NODE_MEMORY);
	power_cut(&p.a);
	power_on(&p.a);
	p.w = attach(&p.a, "w");
	for (uint32_t i = 0; i < 8; i++)
		quarter_lap(&p, false);
	p.v = attach(&p.a, "v"); /* it resumes */
	expect_word(p.v, p.s, p.word, "after two more that nobody had it");
	store_outage_of(NULL, 0);
	say(p.v, p.s, "z");
	MUST(detach(&p.a, p.w, FIRN_DETACH_DRAIN));
	shut_down(&p.a, p.v, FIRN_DETACH_DRAIN);
}

/* The process dies, or the power goes, at each step of a move. Until the copy is flushed the file stays; a write that is
 * in both is replayed once. */
static void death_in_a_move(void)
{
	static const enum gate_on on[] = { GATE_WRITE, GATE_SYNC };
	struct pair p;
	pair_open(&p);
	for (uint32_t i = 0; i < 8; i++) {
		struct gate *g = gate_set(on[i % 2], ".aside", i / 4, GATE_HOLD_FREE);
		for (uint32_t k = 0; k < 12 && !gate_reached(g); k++)
			quarter_lap(&p, strlen(p.word) < 200);
		EXPECT("script", gate_reached(g));
		if (i / 2 % 2)
			power_cut(&p.a);
		else
			kill9(&p.a);
		if (i % 3 == 0)
			gate_open(g); /* it lands all the same */
		power_on(&p.a);
		store_outage_of(NULL, 0);
		p.w = attach(&p.a, "w");
		p.v = attach(&p.a, "v");
		expect_word(p.v, p.s, p.word, "after a death in a move");
		store_outage_of("v/", sched_now() + DAY);
	}
	store_outage_of(NULL, 0);
	MUST(detach(&p.a, p.w, FIRN_DETACH_DRAIN));
	shut_down(&p.a, p.v, FIRN_DETACH_DRAIN);
}

/* The power goes while a copy is being flushed: of its last write any sectors may be there, and the file end in a page. */
static void torn_copy(void)
{
	struct pair p;
	pair_open(&p);
	for (uint32_t i = 0; i < 6; i++) {
		struct gate *g = gate_set(GATE_SYNC, ".aside", 0, GATE_HOLD_FREE);
		for (uint32_t k = 0; k < 12 && !gate_reached(g); k++)
			quarter_lap(&p, strlen(p.word) < 200);
		EXPECT("script", gate_reached(g));
		W.always[FAULT_TORN] = true;
		power_cut(&p.a);
		W.always[FAULT_TORN] = false;
		power_on(&p.a);
		p.w = attach(&p.a, "w");
		p.v = attach(&p.a, "v"); /* it resumes */
		expect_word(p.v, p.s, p.word, "after a copy that was torn");
	}
	store_outage_of(NULL, 0);
	MUST(detach(&p.a, p.w, FIRN_DETACH_DRAIN));
	shut_down(&p.a, p.v, FIRN_DETACH_DRAIN);
}

/* The disk refuses a write or a flush of the copy once: it is tried again, and the log goes on. */
static void failed_copy(void)
{
	static const enum gate_on on[] = { GATE_WRITE, GATE_SYNC };
	struct pair p;
	pair_open(&p);
	for (uint32_t i = 0; i < 4; i++) {
		struct gate *g = gate_set(on[i % 2], ".aside", i / 2, GATE_FAIL);
		for (uint32_t k = 0; k < 8 && !gate_reached(g); k++)
			quarter_lap(&p, strlen(p.word) < 230);
		EXPECT("script", gate_reached(g));
		expect_word(p.v, p.s, p.word, "after a copy that failed");
		quarter_lap(&p, false);
	}
	power_cut(&p.a);
	power_on(&p.a);
	store_outage_of(NULL, 0);
	p.v = attach(&p.a, "v");
	expect_word(p.v, p.s, p.word, "and a power cut");
	p.w = attach(&p.a, "w");
	MUST(detach(&p.a, p.w, FIRN_DETACH_DRAIN));
	shut_down(&p.a, p.v, FIRN_DETACH_DRAIN);
}

/* Half a lap in which v says much at a time: several of its groups lie in each file. */
static void half_lap(struct pair *p)
{
	for (uint32_t i = 0; i < 16; i++) {
		say_bytes(p->w, p->t, 'w', 256 << 10);
		for (uint32_t k = 0; k < 3 && i % 4 == 3; k++) {
			size_t n = strlen(p->word);
			char letter[2] = { (char)('a' + n % 26), 0 };
			say(p->v, p->s, letter);
			p->word[n] = letter[0];
		}
		if (i % 8 == 7)
			store_now(&p->a, p->w);
	}
}

static void begin_attach(struct box *a, const char *name)
{
	struct firn_attach at = FIRN_ATTACH_INIT;
	const struct firn_req *r = &at.req;
	at.store = "mem:";
	at.name = name;
	at.node = "node-0";
	at.req.cq = a->cq;
	EXPECT("script", firn_engine_submit(a->node->engine, &r, 1, NULL) == 1);
}

/* A move is under way when v is attached again. What the attach has found and has not read yet stays where it is until it
 * has: whichever read of the attach it is that the move overtakes. */
static void attach_in_a_move(void)
{
	struct pair p;
	pair_open(&p);
	for (uint32_t i = 0; i < 6; i++) {
		half_lap(&p);
		power_cut(&p.a);
		power_on(&p.a);
		p.w = attach(&p.a, "w");
		struct gate *move = gate_set(GATE_WRITE, ".aside", 0, GATE_HOLD);
		for (uint32_t k = 0; k < 12 && !gate_reached(move); k++)
			quarter_lap(&p, false);
		EXPECT("script", gate_reached(move));
		struct gate *read = gate_set(GATE_READ, ".wal", 2 * i, GATE_HOLD);
		begin_attach(&p.a, "v");
		gate_wait(read);
		gate_open(move);
		wait_ms(SECOND); /* all that is to be moved has been, and goes if it may */
		gate_open(read);
		struct firn_event ev = { 0 };
		EXPECT("P8", firn_cq_reap(p.a.cq, &ev, sizeof ev, 1, 600 * SECOND) == 1);
		SIM_CHECK("P1", ev.code == 0, "what it was about to read is gone: %s",
		          firn_code_name(ev.code));
		p.v = ((const struct firn_attached *)ev.result)->volume;
		firn_release(ev.result);
		expect_word(p.v, p.s, p.word, "attached in a move");
	}
	store_outage_of(NULL, 0);
	MUST(detach(&p.a, p.w, FIRN_DETACH_DRAIN));
	shut_down(&p.a, p.v, FIRN_DETACH_DRAIN);
}

const struct history aside_histories[] = {
	{ "S5", "P8", "a volume that cannot be stored does not stop the log from going round",
	  slow_volume },
	{ "S5b", "P1", "whoever dies in the middle of a move loses nothing", death_in_a_move },
	{ "S5c", "P8", "a copy that could not be written is written another time", failed_copy },
	{ "S5e", "P1", "a copy that is torn within a page hides nothing", torn_copy },
	{ "S5d", "P1", "nothing is moved away under an attach", attach_in_a_move },
	{ 0 },
};
