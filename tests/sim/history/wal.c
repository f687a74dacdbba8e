/* Histories of the log itself: late writes, tails, laps, rot, poison. */
#include "tests/sim/history/history.h"
#include <stdlib.h>

/* A's last group is still in its ring when it is killed; recovery gives its place to other data; then it lands. */
static void late_write_after_recovery(void)
{
	struct box a;
	box_init(&a, 0);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	say(v, s, "abc");
	struct gate *g = gate_set(GATE_WRITE, ".wal", 0, GATE_HOLD_FREE);
	begin_say(&a, v, s, 'd', 1);
	gate_wait(g);
	kill9(&a);
	power_on(&a);
	v = attach(&a, "v");
	expect_word(v, s, "abc", "the write has not landed");
	say(v, s, "xyz");
	gate_open(g);
	wait_ms(1);
	expect_word(v, s, "abcxyz", "the write has landed");
	for (int i = 0; i < 2; i++) {
		kill9(&a);
		power_on(&a);
		v = attach(&a, "v");
		expect_word(v, s, "abcxyz", "recovered after that");
	}
	say(v, s, "!");
	shut_down(&a, v, FIRN_DETACH_DRAIN);
}

/* The lock of a WAL file lives as long as a write to it is under way: nobody recovers meanwhile. */
static void late_write_holds_the_lock(void)
{
	struct firn_error err = FIRN_ERROR_INIT;
	char word[256];
	struct box a;
	box_init(&a, 0);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	say(v, s, "abc");
	struct gate *g = gate_set(GATE_WRITE, ".wal", 0, GATE_HOLD);
	begin_say(&a, v, s, 'd', 1);
	gate_wait(g);
	kill9(&a);
	int rc = try_power_on(&a, &err);
	SIM_CHECK("P3", rc == FIRN_EBUSY,
	          "opened while a write of the dead process was on its way: %s",
	          firn_code_name(rc));
	gate_open(g);
	wait_ms(1);
	power_on(&a);
	v = attach(&a, "v");
	hear(v, s, word);
	EXPECT("P1", !strcmp(word, "abc") || !strcmp(word, "abcd"));
	kill9(&a);
	power_on(&a);
	expect_word(attach(&a, "v"), s, word, "a second recovery");
}

/* After kill -9 the tail is in the page cache only; it is recovered and read; then the power goes. */
static void served_and_then_gone(void)
{
	struct box a;
	box_init(&a, 0);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	say(v, s, "abc");
	struct gate *g = gate_set(GATE_SYNC, ".wal", 0, GATE_HOLD);
	begin_say(&a, v, s, 'd', 1);
	gate_wait(g);
	EXPECT("P1", quiet(&a, 50)); /* no ack before the flush */
	kill9(&a);
	power_on(&a);
	v = attach(&a, "v");
	expect_word(v, s, "abcd", "from the page cache");
	power_cut(&a);
	power_on(&a);
	v = attach(&a, "v");
	expect_word(v, s, "abcd", "what was served, after a power cut");
	say(v, s, "e");
	power_cut(&a);
	power_on(&a);
	expect_word(attach(&a, "v"), s, "abcde", "and what came after it");
}

/* Recovery 1 finds no tail, recovery 2 would: the write landed between them. */
static void judged_twice(void)
{
	struct box a;
	box_init(&a, 0);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	say(v, s, "abc");
	struct gate *g = gate_set(GATE_WRITE, ".wal", 0, GATE_HOLD_FREE);
	begin_say(&a, v, s, 'd', 1);
	gate_wait(g);
	kill9(&a);
	power_on(&a);
	v = attach(&a, "v");
	expect_word(v, s, "abc", "recovery 1");
	kill9(&a);
	gate_open(g);
	wait_ms(1);
	power_on(&a);
	v = attach(&a, "v");
	expect_word(v, s, "abc", "recovery 2");
	say(v, s, "e");
	kill9(&a);
	power_on(&a);
	expect_word(attach(&a, "v"), s, "abce", "recovery 3");
}

/* The file that holds the seal is done with long before the file whose tail it sealed; then the late write lands. */
static void seal_outlives_its_file(void)
{
	struct box a;
	box_init(&a, 0);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	say(v, s, "abc");
	struct gate *g = gate_set(GATE_WRITE, ".wal", 0, GATE_HOLD_FREE);
	begin_say(&a, v, s, 'd', 1);
	gate_wait(g);
	kill9(&a);
	power_on(&a);
	v = attach(&a, "v");
	(void)gate_set(GATE_PUT, "v/seg/", 0, GATE_HOLD); /* its store hangs */
	struct firn_volume *w = attach(&a, "w");
	uint64_t t = stream(w, "room");
	for (uint32_t i = 0; i < 12; i++) {
		say_bytes(w, t, 'x', 250 << 10);
		if (i % 3 == 2)
			store_now(&a, w);
	}
	wait_ms(SECOND);
	say(v, s, "X"); /* where "d" would have been */
	gate_open(g);
	wait_ms(1);
	for (uint32_t i = 0; i < 2; i++) {
		kill9(&a);
		power_on(&a);
		expect_word(attach(&a, "v"), s, "abcX", "a tail that was judged");
	}
}

/* A group whose places hold an older lap: sums are right, positions are not. */
static void older_lap(void)
{
	struct box a;
	char word[256] = { 0 };
	box_init(&a, 0);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	for (uint32_t i = 0; i < 100; i++) { /* 25 MiB through 8 */
		word[i] = (char)('A' + i % 26);
		say_bytes(v, s, (uint8_t)word[i], 256 << 10);
		if (i % 8 == 7)
			store_now(&a, v);
		if (i % 20 == 13) {
			if (i % 40 == 13)
				kill9(&a);
			else
				power_cut(&a);
			power_on(&a);
			v = attach(&a, "v");
			expect_word(v, s, word, "after a lap");
		}
	}
	shut_down(&a, v, FIRN_DETACH_DRAIN);
}

/* The same within one run: the groups of the lap before have the same run, the same lengths, sums that are right. */
static void older_lap_of_this_run(void)
{
	struct box a;
	char word[256] = { 0 };
	box_init(&a, 0);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	for (uint32_t i = 0; i < 90; i++) { /* 22 MiB through 8 */
		word[i] = (char)('A' + i % 26);
		say_bytes(v, s, (uint8_t)word[i], 250 << 10);
		if (i % 8 == 7)
			store_now(&a, v);
	}
	kill9(&a);
	power_on(&a);
	v = attach(&a, "v");
	expect_word(v, s, word, "after laps of one run");
	shut_down(&a, v, FIRN_DETACH_DRAIN);
}

/* A block that holds acked bytes is not written again: a torn write hurts only itself. */
static void torn_write_hurts_only_itself(void)
{
	struct box a;
	char word[256], now[256];
	box_init(&a, 0);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	say(v, s, "a");
	hear(v, s, word);
	for (uint32_t i = 0; i < 12; i++) {
		struct gate *g = gate_set(GATE_SYNC, ".wal", 0, GATE_HOLD);
		begin_say(&a, v, s, 'b', 1);
		gate_wait(g);
		sched_become(0);
		W.always[FAULT_TORN] = true;
		node_kill(a.node, true);
		W.always[FAULT_TORN] = false;
		power_on(&a);
		v = attach(&a, "v");
		hear(v, s, now);
		size_t n = strlen(word);
		SIM_CHECK("P1", !strncmp(word, now, n) && strlen(now) <= n + 1,
		          "\"%s\" was acked or served, now \"%s\"", word, now);
		say(v, s, "c");
		hear(v, s, word);
	}
}

/* The last acked group gets a flipped bit: that is no torn tail. */
static void rot_is_not_a_torn_tail(void)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct box a;
	box_init(&a, 0);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	for (uint8_t c = 'a'; c <= 'c'; c++)
		say_bytes(v, s, c, 64);
	wait_ms(300); /* an idle group stands behind it */
	kill9(&a);
	rot(&a, 'c');
	struct gate *touched = gate_set(GATE_PUT, "v/", 0, GATE_FAIL);
	power_on(&a);
	int rc = try_attach(&a, "v", 0, &v, &err);
	SIM_CHECK("P5", rc == FIRN_ECORRUPT, "attached over rot: %s", firn_code_name(rc));
	SIM_CHECK("P6", strstr(err.text, ".wal"), "the file is not named: %s", err.text);
	SIM_CHECK("P5", !gate_reached(touched), "a refused attach has written to the volume");
	/* The table that begins a run says what was found, not what there was: the doubt stays. */
	for (int i = 0; i < 2; i++) {
		kill9(&a);
		power_on(&a);
		rc = try_attach(&a, "v", 0, &v, &err);
		SIM_CHECK("P5", rc == FIRN_ECORRUPT, "attached after a restart over rot: %s",
		          firn_code_name(rc));
	}
}

/* One rotten group stops the volumes whose writes cannot be shown unbroken across it, no others. */
static void rot_stops_only_whom_it_hits(void)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct box a;
	box_init(&a, 0);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v"), *w = attach(&a, "w");
	uint64_t s = stream(v, "room"), t = stream(w, "room");
	say(w, t, "x");
	say_bytes(v, s, 'a', 64);
	say_bytes(v, s, 'b', 64);
	say(w, t, "y");
	wait_ms(300);
	kill9(&a);
	rot(&a, 'a');
	power_on(&a);
	int rc = try_attach(&a, "v", 0, &v, &err);
	SIM_CHECK("P5", rc == FIRN_ECORRUPT, "attached over rot: %s", firn_code_name(rc));
	SIM_CHECK("P5", strstr(err.text, ".wal, group at") && strstr(err.text, "writes 2 to 2"),
	          "what is missing is not named by its place: %s", err.text);
	w = attach(&a, "w");
	expect_word(w, t, "xy", "the neighbour of a rotten volume");
	say(w, t, "z");
	store_now(&a, w);
}

/* A flush fails: what was in flight is unknown, nothing goes on on that file, what is durable is still stored. */
static void failed_flush(enum gate_on on)
{
	struct firn_error err = FIRN_ERROR_INIT;
	char word[256];
	struct box a, b;
	box_init(&a, 0);
	box_init(&b, 1);
	a.upload_interval_ms = SECOND;
	power_on(&a);
	struct firn_volume *v = attach(&a, "v"), *w = attach(&a, "w");
	uint64_t s = stream(v, "room"), t = stream(w, "room");
	say(v, s, "a");
	say(w, t, "x");
	if (on == GATE_SYNC) { /* with a blocked caller write and flush are two operations */
		say(v, s, "b");
	} else { /* with none they are one */
		begin_say(&a, v, s, 'b', 9);
		MUST(outcome(&a).code);
	}
	(void)gate_set(on, ".wal", 0, GATE_FAIL);
	for (uint64_t i = 0; i < 3; i++)
		begin_say(&a, v, s, (char)('c' + (int)i), i);
	for (uint32_t i = 0; i < 3; i++)
		EXPECT("P1", outcome(&a).code == FIRN_EUNKNOWN);
	for (uint32_t i = 0; i < 2; i++) {
		int rc = firn_stream_append(i ? w : v, i ? t : s, "!", 1, 1, 0, NULL, &err);
		SIM_CHECK("P1", rc == FIRN_EIO && err.flags & FIRN_ERR_FATAL,
		          "a write on a poisoned WAL: %s", firn_code_name(rc));
	}
	expect_word(v, s, "ab", "the reader of a poisoned volume");
	wait_ms(10 * SECOND); /* uploads go on */
	struct firn_volume *mine = v, *other = w;
	sched_become(0);
	power_on(&b);
	v = look(&b, "v");
	expect_word(v, s, "ab", "what is stored of a poisoned volume");
	w = look(&b, "w");
	expect_word(w, t, "x", "what is stored of its neighbour");
	kill9(&b);
	(void)mine, (void)other;
	kill9(&a);
	power_on(&a);
	v = attach(&a, "v");
	hear(v, s, word);
	SIM_CHECK("P2", !strncmp("abcde", word, strlen(word)) && strlen(word) >= 2,
	          "recovered \"%s\"", word);
	expect_word(attach(&a, "w"), t, "x", "its neighbour, recovered");
	say(v, s, "f");
}

static void poison_by_flush(void)
{
	failed_flush(GATE_SYNC);
}

static void poison_by_write(void)
{
	failed_flush(GATE_WRITE);
}

/* A flush that fails once and would succeed when tried again has lost the bytes all the same. */
static void failed_flush_is_not_repeated(void)
{
	struct box a;
	box_init(&a, 0);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	say(v, s, "ab");
	(void)gate_set(GATE_SYNC, ".wal", 0, GATE_FAIL);
	begin_say(&a, v, s, 'c', 1);
	EXPECT("P1", outcome(&a).code == FIRN_EUNKNOWN);
	power_cut(&a);
	power_on(&a);
	v = attach(&a, "v");
	expect_word(v, s, "ab", "after the power cut");
	say(v, s, "d");
	power_cut(&a);
	power_on(&a);
	expect_word(attach(&a, "v"), s, "abd", "and the next");
}

/* A name that was not made durable is gone with the power, and the acked bytes in that file with it. */
static void names_are_durable_before_an_ack(void)
{
	struct box a;
	char word[256] = { 0 };
	box_init(&a, 0);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	for (uint32_t i = 0; i < 24; i++) {
		word[i] = (char)('a' + i);
		say_bytes(v, s, (uint8_t)word[i], 200 << 10);
		if (i % 3 == 2) { /* often just behind the change of a file */
			power_cut(&a);
			power_on(&a);
			v = attach(&a, "v");
			expect_word(v, s, word, "after a power cut");
		}
	}
}

const struct history wal_histories[] = {
	{ "4a", "P3", "a late write of a dead writer does not take an offset that was given again",
	  late_write_after_recovery },
	{ "4a2", "P3", "nobody recovers while a write of a dead process is on its way",
	  late_write_holds_the_lock },
	{ "4b", "P3", "what recovery served is there after a power cut", served_and_then_gone },
	{ "4c", "P3", "a tail is judged once", judged_twice },
	{ "4d", "P3", "nor when the file that holds the seal has been used again",
	  seal_outlives_its_file },
	{ "11", "P5", "rot in the last acked group is not taken for a torn tail",
	  rot_is_not_a_torn_tail },
	{ "16a", "P3", "groups of an older lap are not replayed", older_lap },
	{ "16d", "P1", "nor taken for damage, when they are of the same run",
	  older_lap_of_this_run },
	{ "16b", "P1", "a torn write hurts only itself", torn_write_hurts_only_itself },
	{ "16c", "P1", "names are durable before what lies under them is acked",
	  names_are_durable_before_an_ack },
	{ "20a", "P1", "a failed flush: unknown, poisoned, and what is durable is stored",
	  poison_by_flush },
	{ "20b", "P1", "a failed write: the same", poison_by_write },
	{ "20c", "P1", "a failed flush is not taken for done by a later one",
	  failed_flush_is_not_repeated },
	{ "S15", "P5", "one rotten group stops only the volume that it hits",
	  rot_stops_only_whom_it_hits },
	{ 0 },
};
