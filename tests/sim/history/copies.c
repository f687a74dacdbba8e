/* Histories of copies, of files that are gone or not ours, and of a store that lies about its conditions, or was
 * written by a later release. */
#include "engine/base/le.h"
#include "engine/base/sum.h"
#include "engine/manifest/layout.h"
#include "tests/sim/history/history.h"
#include <firn/store.h>

/* Refused with this code and these words, and nothing of the volume was written. */
static void refused(struct box *b, const char *takeover, int code, const char *words)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_volume *v;
	wait_ms(20); /* requests of the dead writer have arrived */
	uint64_t puts = store_puts_to("v/");
	int rc = try_takeover(b, "v", takeover, &v, &err);
	SIM_CHECK("P5", rc == code, "attached, or refused as something else: %s: %s",
	          firn_code_name(rc), err.text);
	SIM_CHECK("P5", strstr(err.text, words), "\"%s\" does not say \"%s\"", err.text, words);
	SIM_CHECK("P5", store_puts_to("v/") == puts, "a refused attach has written to the volume");
}

/* ---- 6 */

static void conditions_that_are_none(void)
{
	static const uint32_t lies[] = { 1u << FIRN_STORE_IF_ABSENT, 1u << FIRN_STORE_IF_MATCH,
		                         1u << FIRN_STORE_IF_ABSENT | 1u << FIRN_STORE_IF_MATCH };
	struct box a;
	box_init(&a, 0);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	say(v, s, "abc");
	for (uint32_t i = 0; i < 3; i++) {
		kill9(&a);
		store_ignores(lies[i]);
		power_on(&a);
		refused(&a, NULL, FIRN_EUNSUPPORTED, "does not keep them");
	}
	kill9(&a);
	store_ignores(0);
	power_on(&a);
	expect_word(attach(&a, "v"), s, "abc", "on a store that keeps its word again");
}

/* ---- 12 */

/* Last night's snapshot is put back: of an attachment before this one. The original, put back in its turn, goes on. */
static void older_snapshot(void)
{
	struct box a;
	box_init(&a, 0);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	say(v, s, "abc");
	struct shot *night = node_shot(a.node);
	kill9(&a);
	power_on(&a);
	v = attach(&a, "v");
	say(v, s, "def");
	kill9(&a);
	struct shot *newest = node_shot(a.node);
	node_restore(a.node, night);
	power_on(&a);
	refused(&a, NULL, FIRN_ELOST, "not in this one");
	refused(&a, "moved", FIRN_ELOST, "not in this one");
	kill9(&a);
	node_restore(a.node, newest);
	power_on(&a);
	v = attach(&a, "v");
	expect_word(v, s, "abcdef", "the original");
	say(v, s, "g");
	shut_down(&a, v, FIRN_DETACH_DRAIN);
}

/* A snapshot of the same attachment: its nonce is right, its end is below what the manifest knows to be durable. */
static void snapshot_of_this_attachment(void)
{
	struct box a;
	box_init(&a, 0);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	say(v, s, "ab");
	struct gate *g = gate_set(GATE_PUT, "/seg/", 0, GATE_HOLD);
	begin_store(&a, v, 0);
	gate_wait(g);
	struct shot *shot = node_shot(a.node);
	say(v, s, "cd");
	gate_open(g);
	EXPECT("script", outcome(&a).code == 0);
	EXPECT("script", rev_stored(v) == 3 && rev_durable(v) == 5);
	kill9(&a);
	struct shot *newest = node_shot(a.node);
	node_restore(a.node, shot);
	power_on(&a);
	refused(&a, NULL, FIRN_ECORRUPT, "the WAL went backwards");
	refused(&a, "moved", FIRN_ECORRUPT, "the WAL went backwards");
	kill9(&a);
	node_restore(a.node, newest);
	power_on(&a);
	v = attach(&a, "v");
	expect_word(v, s, "abcd", "the original");
	shut_down(&a, v, FIRN_DETACH_DRAIN);
}

/* The disk is cloned while A runs, and the clone boots. */
static void clone(void)
{
	struct box a, b;
	uint64_t s;
	struct firn_volume *v = open_first(&a, &b, &s);
	say(v, s, "abc");
	node_restore(b.node, node_shot(a.node));
	sched_become(0);
	power_on(&b);
	refused(&b, NULL, FIRN_ELOST, "takeover=moved");
	kill9(&b);
	sched_become(a.node->process);
	say(v, s, "d");
	store_now(&a, v);
	kill9(&a); /* for good, says the operator */
	power_on(&b);
	struct firn_error err = FIRN_ERROR_INIT;
	MUST(try_takeover(&b, "v", "moved", &v, &err));
	expect_word(v, s, "abcd", "the clone: it lacks only what is stored");
	say(v, s, "e");
	struct firn_volume *moved = v;
	sched_become(0);
	power_on(&a); /* it was not gone for good */
	refused(&a, NULL, FIRN_ELOST, "not in this one");
	sched_become(b.node->process);
	say(moved, s, "f");
	expect_word(moved, s, "abcdef", "the one that has it");
	shut_down(&b, moved, FIRN_DETACH_DRAIN);
}

/* The clone boots while the store is away: it does not go on, the original does. */
static void clone_in_an_outage(void)
{
	struct box a, b;
	uint64_t s;
	struct firn_volume *v = open_first(&a, &b, &s);
	say(v, s, "ab");
	store_now(&a, v);
	say(v, s, "c");
	kill9(&a);
	node_restore(b.node, node_shot(a.node));
	must_not_resume(&b, "v", "lies elsewhere");
	store_outage(sched_now() + 3600 * UINT64_C(1000000000));
	power_on(&a);
	v = attach(&a, "v");
	say(v, s, "d");
	store_outage(0);
	store_now(&a, v);
	expect_word(v, s, "abcd", "the original");
	shut_down(&a, v, FIRN_DETACH_DRAIN);
}

/* What the operator says of one volume is not said of the other, which its machine still has. */
static void not_said_of(struct box *b, const char *name)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_volume *none;
	int rc = try_attach(b, name, 0, &none, &err);
	EXPECT("P5", rc == FIRN_ELOST && strstr(err.text, "takeover=moved"));
}

static void moved_is_said_of_one(void)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct box a, b;
	uint64_t s, t;
	struct firn_volume *v = open_first(&a, &b, &s), *w = attach(&a, "w");
	t = stream(w, "hall");
	say(v, s, "abc");
	say(w, t, "xy");
	kill9(&a);
	node_restore(b.node, node_shot(a.node));
	power_on(&b);
	MUST(try_takeover(&b, "v", "moved", &v, &err));
	not_said_of(&b, "w");
	say(v, s, "d");
	kill9(&b);
	power_on(&b); /* the directory knows its new machine by now, for one of them */
	v = attach(&b, "v");
	expect_word(v, s, "abcd", "the one that moved");
	not_said_of(&b, "w");
	shut_down(&b, v, FIRN_DETACH_DRAIN);
	power_on(&a);
	w = attach(&a, "w");
	expect_word(w, t, "xy", "the one that did not");
	say(w, t, "z");
	shut_down(&a, w, FIRN_DETACH_DRAIN);
}

/* A copy with its own copy of the store went its own way: same numbers, other bytes, all sums right. What is grafted from
 * it into the original does not follow what stands before it, or what stands behind does not follow it. */
static void files_of_a_copy(void)
{
	enum { LEN = 150 << 10 };
	static const struct {
		uint8_t n, letter;
		bool whole, sealed;
		const char *words;
	} graft_of[] = { { 20, 'i', false, false, "does not follow the group before" },
		         { 20, 'i', true, false, "does not follow the file before" },
		         { 3, 'a', true, true, "not what was sealed" } };
	struct shot *way[2];
	struct box a;
	box_init(&a, 0);
	a.wal_bytes = 64 << 20;
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	say(v, s, "a");
	kill9(&a);
	struct shot *begin = node_shot(a.node);
	store_remember();
	for (uint32_t g = 0; g < 3; g++) {
		for (uint8_t i = 0; i < 2; i++) {
			EXPECT("script", store_roll_back());
			node_restore(a.node, begin);
			power_on(&a);
			v = attach(&a, "v");
			for (uint8_t k = 0; k < graft_of[g].n; k++)
				say_bytes(v, s, (uint8_t)((i ? 'A' : 'a') + k), LEN);
			kill9(&a);
			way[i] = node_shot(a.node);
		}
		if (graft_of[g].sealed) {
			power_on(&a);
			kill9(&a);
		}
		graft(&a, shot_disk(way[0]), graft_of[g].letter, LEN, graft_of[g].whole);
		power_on(&a);
		refused(&a, NULL, FIRN_ECORRUPT, graft_of[g].words);
		kill9(&a);
	}
}

/* ---- 8 */

/* A file of the WAL is gone: an old one, or one between others. What is missing is named. */
static void file_is_gone(void)
{
	enum { LEN = 150 << 10 };
	static const struct {
		uint8_t letter;
		const char *words;
	} gone[] = { { 'a', "writes 2 to" }, { 'i', ".wal, group at 4096: writes " } };
	struct box a;
	box_init(&a, 0);
	a.wal_bytes = 64 << 20;
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	store_now(&a, v);
	for (uint8_t k = 0; k < 20; k++)
		say_bytes(v, s, (uint8_t)('a' + k), LEN);
	kill9(&a);
	struct shot *whole = node_shot(a.node);
	for (uint32_t i = 0; i < 2; i++) {
		lose(&a, gone[i].letter);
		power_on(&a);
		refused(&a, NULL, FIRN_ECORRUPT, gone[i].words);
		kill9(&a);
		node_restore(a.node, whole);
	}
	power_on(&a);
	expect_word(attach(&a, "v"), s, "abcdefghijklmnopqrst", "with all its files");
}

/* ---- 25 */

static void manifest_bit(uint32_t at, uint64_t bit)
{
	size_t len;
	uint8_t *m = store_bytes("v/manifest", &len);
	EXPECT("script", m && len > MANIFEST_LEAST_LEN);
	le64_put(m + at, le64_get(m + at) ^ bit);
	le64_put(m + MANIFEST_HEADER_SUM_AT, sum64(m, MANIFEST_HEADER_SUM_AT));
	le64_put(m + len - MANIFEST_SUM_LEN, sum64(m, len - MANIFEST_SUM_LEN));
}

/* A later release has set a bit, and the machine comes back with the old one, its WAL dirty. */
static void bits_of_a_later_release(void)
{
	enum { COMPAT = 16, RO_COMPAT = 24, INCOMPAT = 32 };
	const uint64_t bit = UINT64_C(1) << 40;
	struct firn_error err = FIRN_ERROR_INIT;
	struct box a, b;
	box_init(&a, 0);
	box_init(&b, 1);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v"), *seen;
	uint64_t s = stream(v, "room");
	say(v, s, "abc");
	store_now(&a, v);
	say(v, s, "d");
	kill9(&a);
	wait_ms(20);
	for (uint32_t i = 0; i < 2; i++) {
		manifest_bit(i ? INCOMPAT : RO_COMPAT, bit);
		power_on(&a);
		refused(&a, NULL, FIRN_EUNSUPPORTED,
		        i ? "incompat 0x10000000000" : "ro_compat 0x10000000000");
		refused(&a, "moved", FIRN_EUNSUPPORTED, "compat 0x10000000000");
		kill9(&a);
		power_on(&b);
		int rc = try_attach(&b, "v", FIRN_ATTACH_READ_ONLY, &seen, &err);
		EXPECT("P5", rc == (i ? FIRN_EUNSUPPORTED : 0));
		if (!rc)
			expect_word(seen, s, "abc", "a reader that need not know the bit");
		kill9(&b);
		manifest_bit(i ? INCOMPAT : RO_COMPAT, bit);
	}
	manifest_bit(COMPAT, bit);
	power_on(&a);
	v = attach(&a, "v");
	expect_word(v, s, "abcd", "with a bit that may be ignored");
	say(v, s, "e");
	store_now(&a, v);
	shut_down(&a, v, FIRN_DETACH_DRAIN);
}

const struct history copy_histories[] = {
	{ "6", "P4", "a store that does not keep its conditions is refused",
	  conditions_that_are_none },
	{ "8d", "P5", "a file of the WAL that is gone is named, and nothing is changed",
	  file_is_gone },
	{ "12a", "P5", "an older snapshot of the WAL is refused, the original goes on",
	  older_snapshot },
	{ "12b", "P5", "and so is one of this attachment that ends too early",
	  snapshot_of_this_attachment },
	{ "12c", "P4",
	  "a clone is refused until the original is said to be gone, and then the original is",
	  clone },
	{ "S18", "P5", "moved is said of one volume, and of no other in that directory",
	  moved_is_said_of_one },
	{ "12e", "P4", "a clone does not resume in an outage", clone_in_an_outage },
	{ "12d", "P5", "groups and files of a copy that went its own way are no part of the log",
	  files_of_a_copy },
	{ "25", "P5",
	  "bits of a later release are refused by name; the rest is in golden/feature_test",
	  bits_of_a_later_release },
	{ 0 },
};
