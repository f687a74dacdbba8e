/* Histories of volumes that share an engine. */
#include "tests/sim/history/history.h"
#include <stdio.h>

/* One volume is quiet for laps of the log: it stays healthy, known by its nonce, and needs nothing (S4a, S7). */
static void quiet_for_laps(void)
{
	struct box a;
	char word[256] = { 0 };
	box_init(&a, 0);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v"), *w = attach(&a, "w");
	uint64_t s = stream(v, "room"), t = stream(w, "room");
	say(v, s, "ab");
	store_now(&a, v);
	for (uint32_t i = 0; i < 80; i++) { /* 20 MiB through 8 */
		word[i] = (char)('A' + i % 26);
		say_bytes(w, t, (uint8_t)word[i], 256 << 10);
		if (i % 8 == 7)
			store_now(&a, w);
	}
	kill9(&a);
	power_on(&a);
	v = attach(&a, "v");
	expect_word(v, s, "ab", "a quiet volume");
	say(v, s, "c");
	w = attach(&a, "w");
	expect_word(w, t, word, "its neighbour");
	kill9(&a);
	power_on(&a);
	expect_word(attach(&a, "v"), s, "abc", "a quiet volume that spoke");
}

/* Numbers of writes are the volume's: dense, and they rise over moves between logs that begin anew. */
static void revs_over_moves(void)
{
	struct box box[2];
	uint64_t last = 0;
	box_init(&box[0], 0);
	box_init(&box[1], 1);
	char word[256] = { 0 };
	for (uint32_t i = 0; i < 6; i++) {
		struct box *b = &box[i % 2];
		power_on(b);
		struct firn_volume *v = attach(b, "v"), *w = attach(b, i % 2 ? "x" : "w");
		uint64_t s = stream(v, "room"), t = stream(w, "other");
		if (i == 0)
			last = rev_durable(v);
		for (uint32_t k = 0; k < 3; k++) {
			struct iovec iov = bytes_of("abc");
			struct firn_op op = append_op(s, &iov);
			struct firn_event ev;
			say(w, t, "-");
			MUST(write_ops(b, v, &op, 1, &ev));
			SIM_CHECK("P2", ev.rev == last + 1, "write %llu follows %llu",
			          (unsigned long long)ev.rev, (unsigned long long)last);
			last = ev.rev;
			word[strlen(word)] = 'a';
		}
		if (i % 3 == 1) {
			kill9(b);
			power_on(b);
			v = attach(b, "v");
			EXPECT("P2", rev_durable(v) == last);
			w = attach(b, i % 2 ? "x" : "w");
		}
		MUST(detach(b, w, FIRN_DETACH_DRAIN));
		expect_word(v, s, word, "before a move");
		shut_down(b, v, FIRN_DETACH_DRAIN);
	}
}

/* Detached and attached again on an engine that goes on writing for others. */
static void attached_again_on_a_running_engine(void)
{
	static const uint32_t mode[] = { FIRN_DETACH_KEEP_WAL, FIRN_DETACH_DRAIN,
		                         FIRN_DETACH_ABORT };
	struct box a;
	box_init(&a, 0);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v"), *w = attach(&a, "w");
	uint64_t s = stream(v, "room"), t = stream(w, "room");
	char word[256] = { 0 };
	for (uint32_t i = 0; i < 9; i++) {
		say(v, s, "a");
		word[strlen(word)] = 'a';
		say(w, t, "-");
		MUST(detach(&a, v, mode[i % 3]));
		say(w, t, "-");
		v = attach(&a, "v");
		expect_word(v, s, word, "attached again");
		say(v, s, "b");
		word[strlen(word)] = 'b';
		if (i % 4 == 3) {
			power_cut(&a);
			power_on(&a);
			w = attach(&a, "w");
			v = attach(&a, "v");
			expect_word(v, s, word, "after a power cut");
		}
	}
	expect_word(w, t, "------------------", "its neighbour");
}

/* A round is built; a later write trims what it holds and puts a key. Each cut that others see is one moment. */
static void later_trim(void)
{
	struct box a, b;
	box_init(&a, 0);
	box_init(&b, 1);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "queue");
	say(v, s, "abc");
	MUST(put(&a, v, "done", "none"));
	struct gate *g = gate_set(GATE_PUT, "/seg/", 0, GATE_HOLD);
	begin_store(&a, v, 0);
	gate_wait(g);
	struct firn_op op[2] = { { .kind = FIRN_OP_TRIM, .stream = s },
		                 { .kind = FIRN_OP_KV_PUT, .stream = FIRN_STREAM_VOLUME } };
	op[0].u.range.from = 3;
	op[1].u.kv.key = "done";
	op[1].u.kv.key_len = 4;
	op[1].u.kv.value = "all";
	op[1].u.kv.value_len = 3;
	MUST(write_ops(&a, v, op, 2, NULL));
	gate_open(g);
	EXPECT("P10", outcome(&a).code == 0);
	for (uint32_t i = 0; i < 2; i++) {
		sched_become(0);
		power_on(&b);
		struct firn_volume *seen = look(&b, "v");
		bool all = rev_stored(seen) == 6;
		EXPECT("P10", all || (i == 0 && rev_stored(seen) == 5));
		expect_word(seen, s, all ? "" : "abc", "the cut that another node sees");
		expect_pair(seen, "done", all ? "all" : "none");
		kill9(&b);
		sched_become(a.node->process);
		if (i == 0)
			store_now(&a, v);
	}
	shut_down(&a, v, FIRN_DETACH_DRAIN);
	power_on(&b);
	v = attach(&b, "v");
	EXPECT("P2", mark(v, s, FIRN_MARK_ASSIGNED) == 3 && mark(v, s, FIRN_MARK_START) == 3);
}

/* What others see after each commit of A's, the next of which stands at `swap`, up to the trim: write 1 made the stream, each
 * later one appended a letter. */
static void look_at_cuts(struct box *a, struct box *b, uint64_t s, const char *word,
                         uint64_t trimmed, struct gate *swap)
{
	uint64_t last = 0;
	uint32_t n = 0;
	while (last < trimmed) {
		gate_wait(swap);
		struct gate *next = gate_set(GATE_PUT, "/manifest", 0, GATE_HOLD);
		gate_open(swap);
		swap = next;
		wait_ms(20);
		sched_become(0);
		power_on(b);
		struct firn_volume *seen = look(b, "v");
		last = rev_stored(seen);
		char part[256];
		(void)snprintf(part, sizeof part, "%.*s",
		               last < trimmed && last ? (int)last - 1 : 0, word);
		if (last)
			expect_word(seen, s, part, "a cut before the trim");
		n += last > 1 && last < trimmed;
		kill9(b);
		sched_become(a->node->process);
	}
	EXPECT("script", n > 0); /* it was not all one round */
}

/* The trim stands in the log before the rounds are built that hold what it trims, and behind them. */
static void trim_behind_the_rounds(void)
{
	enum { N = 24 };
	char word[256] = { 0 };
	struct box a, b;
	box_init(&a, 0);
	box_init(&b, 1);
	a.wal_bytes = 64 << 20;
	a.segment_kib = 32; /* a round each, more than there may be at once */
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "queue");
	struct gate *g = gate_set(GATE_PUT, "/seg/", 0, GATE_HOLD); /* what is behind it gathers */
	for (uint32_t i = 0; i < N; i++) {
		word[i] = (char)('a' + i);
		say_bytes(v, s, (uint8_t)word[i], 60 << 10);
	}
	MUST(trim(&a, v, s, N));
	gate_wait(g);
	uint64_t trimmed = rev_durable(v);
	struct gate *swap = gate_set(GATE_PUT, "/manifest", 0, GATE_HOLD);
	begin_store(&a, v, 0);
	gate_open(g);
	look_at_cuts(&a, &b, s, word, trimmed, swap);
	EXPECT("P10", outcome(&a).code == 0);
}

/* All of it is in the log when the first round is built: after a restart, say. */
static void trim_before_the_rounds(void)
{
	enum { N = 24 };
	char word[256] = { 0 };
	struct box a, b;
	box_init(&a, 0);
	box_init(&b, 1);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "queue");
	store_now(&a, v);
	for (uint32_t i = 0; i < N; i++) {
		word[i] = (char)('a' + i);
		say_bytes(v, s, (uint8_t)word[i], 60 << 10);
	}
	MUST(trim(&a, v, s, N));
	uint64_t trimmed = rev_durable(v);
	kill9(&a);
	a.segment_kib = 32; /* a round each, more than there may be at once: no commit takes all */
	power_on(&a);
	struct gate *swap = gate_set(GATE_PUT, "/manifest", 1, GATE_HOLD); /* behind the attach */
	v = attach(&a, "v");
	begin_store(&a, v, 0);
	look_at_cuts(&a, &b, s, word, trimmed, swap);
	EXPECT("P10", outcome(&a).code == 0);
}

/* A stream is deleted while the round that holds it is on its way. */
static void later_delete(void)
{
	struct box a, b;
	box_init(&a, 0);
	box_init(&b, 1);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room"), t = stream(v, "stays");
	say(v, s, "abc");
	say(v, t, "x");
	struct gate *g = gate_set(GATE_PUT, "/seg/", 0, GATE_HOLD);
	begin_store(&a, v, 0);
	gate_wait(g);
	struct firn_op op = { .kind = FIRN_OP_DELETE, .stream = s };
	MUST(write_ops(&a, v, &op, 1, NULL));
	say(v, t, "y");
	gate_open(g);
	EXPECT("P10", outcome(&a).code == 0);
	sched_become(0);
	power_on(&b);
	struct firn_volume *seen = look(&b, "v");
	bool before = rev_stored(seen) == 6;
	EXPECT("P10", (find(seen, "room") == s) == before);
	if (before)
		expect_word(seen, s, "abc", "the cut before the deletion");
	expect_word(seen, t, before ? "x" : "xy", "its neighbour in that cut");
	kill9(&b);
	kill9(&a);
	power_on(&a);
	v = attach(&a, "v");
	EXPECT("P3", find(v, "room") == 0);
	expect_word(v, t, "xy", "after a kill");
	store_now(&a, v);
	shut_down(&a, v, FIRN_DETACH_DRAIN);
	power_on(&b);
	v = attach(&b, "v");
	EXPECT("P3", find(v, "room") == 0);
}

/* The index is lost with several volumes in it: each makes its own part anew, also of streams that were quiet. */
static void index_lost(void)
{
	struct box a;
	char name[8], command[300];
	uint64_t s[4], t[4];
	struct firn_volume *v[4];
	box_init(&a, 0);
	power_on(&a);
	for (uint32_t i = 0; i < 4; i++) {
		(void)snprintf(name, sizeof name, "v%u", i);
		v[i] = attach(&a, name);
		s[i] = stream(v[i], "room");
		t[i] = stream(v[i], "quiet");
		say(v[i], t[i], "q");
		say(v[i], s[i], "ab");
		store_now(&a, v[i]);
		say(v[i], s[i], "c");
	}
	kill9(&a);
	(void)snprintf(command, sizeof command, "%s/index/data.mdb", a.node->dir);
	EXPECT("script", remove(command) == 0);
	power_on(&a);
	for (uint32_t i = 0; i < 4; i++) {
		(void)snprintf(name, sizeof name, "v%u", i);
		v[i] = attach(&a, name);
		expect_word(v[i], s[i], "abc", "without an index");
		expect_word(v[i], t[i], "q", "a quiet stream without an index");
		say(v[i], t[i], "r");
		EXPECT("P3", mark(v[i], t[i], FIRN_MARK_ASSIGNED) == 2);
	}
}

const struct history shared_histories[] = {
	{ "S4a", "P5", "a volume that is quiet for laps of the log is healthy, and known (S7)",
	  quiet_for_laps },
	{ "S4b", "P2", "numbers of writes are dense and rise over moves", revs_over_moves },
	{ "S6", "P1", "attached again on an engine that goes on",
	  attached_again_on_a_running_engine },
	{ "S8a", "P10", "a round does not anticipate a later trim", later_trim },
	{ "S8c", "P10", "nor a trim that is in the log already, behind it",
	  trim_behind_the_rounds },
	{ "S8d", "P10", "nor when all of it is in the log before the first round is built",
	  trim_before_the_rounds },
	{ "S8b", "P10", "nor a later deletion", later_delete },
	{ "S19", "P1", "an index that is lost with several volumes in it", index_lost },
	{ 0 },
};
