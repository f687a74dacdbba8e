/* Histories of what was given up and is put back. */
#include "engine/salvage/rebuild.h"
#include "engine/salvage/salvage.h"
#include "engine/wal/inspect.h"
#include "tests/sim/history/history.h"
#include <stdio.h>

static const uint64_t DAY = UINT64_C(86400) * 1000000000u;

/* From the disk of a machine on which no engine runs. */
static uint64_t salvage_with(struct box *to, struct firn_volume *v, struct box *from,
                             struct salvage_opts o, struct salvage_report *r)
{
	char dir[256];
	struct firn_error err = FIRN_ERROR_INIT;
	o.env = &from->node->env;
	o.wal_dir = dir;
	(void)snprintf(dir, sizeof dir, "%s/wal", from->node->dir);
	int rc = salvage_run(to->node->engine, v, &o, r, &err);
	SIM_CHECK("P3", rc == 0, "nothing is put back: %s: %s", firn_code_name(rc), err.text);
	salvage_report_fini(r);
	return r->of[SALVAGE_PUT].batches;
}

static uint64_t salvage(struct box *to, struct firn_volume *v, struct box *from,
                        struct salvage_report *r)
{
	return salvage_with(to, v, from, (struct salvage_opts){ 0 }, r);
}

static void expect_back(struct firn_volume *v, uint64_t s, uint64_t q)
{
	expect_at(v, s, 0, "abcde");
	expect_code(v, s, 5, FIRN_ELOST);
	expect_code(v, s, 2 + SKIP, FIRN_ELOST);
	expect_at(v, s, 3 + SKIP, "xy");
	expect_at(v, q, 0, "qr");
	expect_code(v, q, 2, FIRN_ELOST);
	EXPECT("P3", mark(v, q, FIRN_MARK_ASSIGNED) == 1 + SKIP);
}

struct attempt {
	struct box *to, *from;
	struct firn_volume *v;
	struct salvage_report r;
	uint32_t n_write, stop_at; /* 0: nowhere */
};

static void stop(void *arg, const struct salvage_report *so_far)
{
	struct attempt *t = arg;
	(void)so_far;
	t->n_write++;
	while (t->n_write == t->stop_at)
		wait_ms(1000);
}

static void attempt(void *arg)
{
	struct attempt *t = arg;
	struct salvage_opts o = { .progress = t->stop_at ? stop : NULL, .arg = t };
	(void)salvage_with(t->to, t->v, t->from, o, &t->r);
	sim_fail("script", "the salvage was not cut off");
}

/* Its commit is on its way when the process dies; it lands behind that, or never does. */
static void salvage_that_dies(struct box *to, struct box *from, bool lands)
{
	static struct attempt t;
	power_on(to);
	t = (struct attempt){ .to = to, .from = from, .v = attach(to, "v") };
	struct gate *late = gate_set(GATE_PUT, "/manifest", 0, lands ? GATE_LATE : GATE_LOST);
	struct gate *asked = gate_set(GATE_GET, "/manifest", 0, GATE_HOLD);
	(void)sched_spawn(to->node->process, "salvage", attempt, &t);
	gate_wait(late);
	gate_wait(asked);
	kill9(to);
	gate_open(asked);
	gate_open(late);
	wait_ms(100);
}

/* Behind so many writes of the tail, which have reached the log. */
static void salvage_that_dies_at(struct box *to, struct box *from, uint32_t n)
{
	static struct attempt t;
	power_on(to);
	t = (struct attempt){ .to = to, .from = from, .v = attach(to, "v"), .stop_at = n };
	(void)sched_spawn(to->node->process, "salvage", attempt, &t);
	wait_ms(500);
	EXPECT("script", t.n_write >= n);
	kill9(to);
}

/* B gave up what A acked, and went on. C puts it back and dies before that is stored: its log has it, another salvage finds nothing
 * to do. Whoever makes an index of it sees the same, and A itself, when it has the volume again. */
static void put_back_where_it_was(void)
{
	struct salvage_report r;
	struct box a, b, c, d;
	box_init(&a, 0);
	box_init(&b, 1);
	box_init(&c, 2);
	box_init(&d, 3);
	c.layer_segments = 2;
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room"), q = stream(v, "quiet");
	say(v, s, "abc");
	say(v, q, "q");
	store_now(&a, v);
	say(v, s, "de");
	say(v, q, "r");
	kill9(&a);
	power_on(&b);
	v = abandon(&b, "v");
	say(v, s, "xy");
	shut_down(&b, v, FIRN_DETACH_DRAIN);
	node_boot(a.node);
	salvage_that_dies(&c, &a, false);
	salvage_that_dies(&c, &a, true);
	power_on(&c);
	v = attach(&c, "v");
	EXPECT("P2", salvage(&c, v, &a, &r) == 0);
	EXPECT("P2", r.n_missing == 0 && r.of[SALVAGE_THERE].batches == 3);
	expect_back(v, s, q);
	power_cut(&c);
	power_on(&c);
	v = attach(&c, "v");
	expect_back(v, s, q);
	EXPECT("P2", salvage(&c, v, &a, &r) == 0);
	EXPECT("P2", r.of[SALVAGE_THERE].batches == 3);
	store_each(&c, v, s, "zzzz");
	expect_back(v, s, q);
	expect_at(v, s, 5 + SKIP, "zzzz");
	shut_down(&c, v, FIRN_DETACH_DRAIN);
	power_on(&d);
	v = attach(&d, "v");
	expect_back(v, s, q);
	shut_down(&d, v, FIRN_DETACH_DRAIN);
	node_down(a.node);
	power_on(&a);
	v = attach(&a, "v");
	expect_back(v, s, q);
	shut_down(&a, v, FIRN_DETACH_DRAIN);
}

/* B gave up A's, C gave up B's: each tail goes back into its own range, in whatever order. */
static void two_tails(void)
{
	for (uint32_t first = 0; first < 2; first++) {
		struct salvage_report r;
		struct box old[2], c;
		char name[2] = { (char)('u' + first), 0 };
		uint64_t s = 0, q = 0;
		for (uint32_t i = 0; i < 2; i++) {
			box_init(&old[i], 3 * first + i);
			power_on(&old[i]);
			struct firn_volume *v = i ? abandon(&old[i], name) : attach(&old[i], name);
			if (!i) {
				s = stream(v, "room");
				q = stream(v, "quiet");
				store_now(&old[i], v);
			}
			say(v, s, i ? "cd" : "ab");
			say(v, q, i ? "r" : "q");
			kill9(&old[i]);
			node_boot(old[i].node);
		}
		box_init(&c, 3 * first + 2);
		power_on(&c);
		struct firn_volume *v = abandon(&c, name);
		EXPECT("P2", salvage(&c, v, &old[first], &r) == 3);
		EXPECT("P2", salvage(&c, v, &old[!first], &r) == 3);
		expect_at(v, s, 0, "ab");
		expect_code(v, s, 2, FIRN_ELOST);
		expect_at(v, s, SKIP, "cd");
		expect_code(v, s, 2 + SKIP, FIRN_ELOST);
		expect_at(v, q, 0, "q");
		expect_code(v, q, 1, FIRN_ELOST);
		expect_at(v, q, SKIP, "r");
		EXPECT("P3", mark(v, s, FIRN_MARK_ASSIGNED) == 2 * SKIP);
		shut_down(&c, v, FIRN_DETACH_DRAIN);
	}
}

static void expect_made(struct firn_volume *v, uint64_t old)
{
	char second[64];
	uint64_t s = find(v, "room"), t = find(v, "taken");
	(void)snprintf(second, sizeof second, "taken.salvaged-%llx", (unsigned long long)(old + 1));
	EXPECT("P3", s && s != old);
	EXPECT("P1", find(v, "empty"));
	expect_word(v, s, "abc", "a stream that was never stored");
	expect_word(v, t, "z", "a stream of the same name");
	expect_word(v, find(v, second), "xy", "what was never stored of that name");
	EXPECT("P2", mark(v, s, FIRN_MARK_ASSIGNED) == 3);
	(void)snprintf(second, sizeof second, "room.salvaged-%llx", (unsigned long long)old);
	EXPECT("P2", !find(v, second));
}

/* A made streams and died before any of it was stored; B made one of the same name. C puts them back under new numbers and dies
 * behind each of the writes in turn: what the next run finds is not made again. */
static void streams_that_were_never_stored(void)
{
	struct salvage_report r;
	struct box a, b, c, d;
	box_init(&a, 0);
	box_init(&b, 1);
	box_init(&c, 2);
	box_init(&d, 3);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	store_now(&a, v);
	uint64_t s = stream(v, "room"), q = stream(v, "taken");
	EXPECT("script", q == s + 1);
	say(v, s, "ab");
	say(v, q, "x");
	(void)stream(v, "empty");
	say(v, q, "y");
	say(v, s, "c");
	kill9(&a);
	power_on(&b);
	v = abandon(&b, "v");
	say(v, stream(v, "taken"), "z");
	shut_down(&b, v, FIRN_DETACH_DRAIN);
	node_boot(a.node);
	for (uint32_t n = 1; n <= 8; n++)
		salvage_that_dies_at(&c, &a, n);
	salvage_that_dies(&c, &a, true);
	power_on(&c);
	v = attach(&c, "v");
	EXPECT("P2", salvage(&c, v, &a, &r) == 0);
	EXPECT("P2", r.n_missing == 0 && r.of[SALVAGE_THERE].batches == 5 && r.n_left == 0);
	expect_made(v, s);
	shut_down(&c, v, FIRN_DETACH_DRAIN);
	power_on(&d);
	v = attach(&d, "v");
	expect_made(v, s);
	shut_down(&d, v, FIRN_DETACH_DRAIN);
	node_down(a.node);
	power_on(&a);
	v = attach(&a, "v");
	expect_made(v, s);
	shut_down(&a, v, FIRN_DETACH_DRAIN);
}

static uint64_t files_aside(struct box *b)
{
	char dir[256];
	struct wal_report r;
	(void)snprintf(dir, sizeof dir, "%s/wal", b->node->dir);
	MUST(wal_verify(&b->node->env, dir, &r, NULL, NULL, NULL));
	wal_report_fini(&r);
	return r.n_aside;
}

/* The store of A's volume was away so long that the begin of its stream lies in aside files, which are read last. */
static void made_and_moved_aside(void)
{
	struct salvage_report r;
	struct box a, b;
	char word[64] = "";
	box_init(&a, 0);
	box_init(&b, 1);
	a.upload_interval_ms = SECOND;
	power_on(&a);
	struct firn_volume *v = attach(&a, "v"), *w = attach(&a, "w");
	uint64_t t = stream(w, "busy");
	store_now(&a, v);
	store_outage_of("v/", sched_now() + DAY);
	uint64_t s = stream(v, "room");
	for (uint32_t i = 0; i < 60; i++) {
		const char letter[2] = { (char)('a' + i % 26), 0 };
		say_bytes(w, t, 'w', 256 << 10);
		say_bytes(w, t, 'w', 256 << 10);
		say(v, s, letter);
		word[i] = letter[0];
		if (i % 4 == 3)
			store_now(&a, w);
	}
	kill9(&a);
	store_outage_of(NULL, 0);
	node_boot(a.node);
	EXPECT("script", files_aside(&a) > 0);
	power_on(&b);
	v = abandon(&b, "v");
	EXPECT("P1", salvage(&b, v, &a, &r) == 60);
	EXPECT("P1", r.n_missing == 0 && r.of[SALVAGE_ELSEWHERE].batches == 0);
	expect_word(v, find(v, "room"), word, "what lay aside");
	EXPECT("P2", salvage(&b, v, &a, &r) == 0 && r.of[SALVAGE_THERE].batches == 60);
	shut_down(&b, v, FIRN_DETACH_DRAIN);
}

/* From what the store has, put where the manifest was. */
static void rebuild(struct box *b, const char *name, struct rebuild_report *r)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct rebuild_opts o = { .env = &b->node->env, .name = name };
	struct manifest m;
	struct buf body;
	char key[64];
	buf_init(&body, o.env);
	MUST(store_open(o.env, "mem:", &o.store, &err));
	int rc = rebuild_run(&o, &m, r, &err);
	SIM_CHECK("P5", rc == 0, "not rebuilt: %s: %s", firn_code_name(rc), err.text);
	MUST(manifest_encode(&m, &body));
	MUST(manifest_key(name, key, sizeof key));
	struct iovec iov = { body.data, body.len };
	MUST(store_put(o.store, key, &iov, 1, STORE_IF_ABSENT, NULL, NULL, &err));
	store_close(o.store);
	manifest_fini(&m, o.env);
	buf_fini(&body);
}

/* A has put a round up and has not committed it when it is given up; B goes on, stores and dies. Then the manifest is lost. What
 * is rebuilt is what was: A's round lies in its lost range, which B's footers repeat. */
static void from_the_bucket_alone(void)
{
	struct rebuild_report r;
	struct box a, b, c;
	box_init(&a, 0);
	box_init(&b, 1);
	box_init(&c, 2);
	b.layer_segments = 3;
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	say(v, s, "abc");
	store_now(&a, v);
	say(v, s, "de");
	struct gate *late = gate_set(GATE_PUT, "/manifest", 0, GATE_LOST);
	struct gate *asked = gate_set(GATE_GET, "/manifest", 0, GATE_HOLD);
	begin_store(&a, v, 1);
	gate_wait(late);
	gate_wait(asked);
	kill9(&a);
	gate_open(asked);
	power_on(&b);
	v = abandon(&b, "v");
	store_each(&b, v, s, "vwxyz");
	say(v, s, "-");
	kill9(&b);
	EXPECT("script", store_lose("v/manifest", 0));
	power_on(&c);
	rebuild(&c, "v", &r);
	EXPECT("P5", r.n_damaged == 0 && r.n_beyond == 0);
	v = attach(&c, "v");
	expect_at(v, s, 0, "abc");
	expect_code(v, s, 3, FIRN_ELOST);
	expect_at(v, s, 3 + SKIP, "vwxyz");
	expect_code(v, s, 8 + SKIP, FIRN_ELOST);
	EXPECT("P3", mark(v, s, FIRN_MARK_ASSIGNED) > 9 + SKIP);
	say(v, s, "!");
	shut_down(&c, v, FIRN_DETACH_DRAIN);
}

const struct history salvage_histories[] = {
	{ "S13", "P3", "what was given up goes back where it was, once", put_back_where_it_was },
	{ "S13b", "P3", "two tails that were given up go back into their own ranges", two_tails },
	{ "S13c", "P2", "streams that were given up before they were stored come back, once",
	  streams_that_were_never_stored },
	{ "S13d", "P1", "what of such a stream lay aside comes back in front of the rest",
	  made_and_moved_aside },
	{ "19", "P3", "from the bucket alone comes what was stored, and nothing that was given up",
	  from_the_bucket_alone },
	{ 0 },
};
