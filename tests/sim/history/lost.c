/* Histories of lost ranges: they add up, and layers keep them where they are. */
#include "tests/sim/history/history.h"

/* B gives up A's and acks; B's machine burns before it has stored any of it; C gives up B's. Lost ranges add up. */
static void twice_in_a_row(void)
{
	struct box a, b, c, d;
	box_init(&a, 0);
	box_init(&b, 1);
	box_init(&c, 2);
	box_init(&d, 3);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room"), q = stream(v, "quiet");
	say(v, q, "q");
	say(v, s, "abc");
	store_now(&a, v);
	say(v, s, "de");
	kill9(&a);
	power_on(&b);
	v = abandon(&b, "v");
	say(v, s, "x");
	say(v, q, "y");
	EXPECT("P3", mark(v, q, FIRN_MARK_DURABLE) == 2 + SKIP);
	kill9(&b);
	power_on(&c);
	v = abandon(&c, "v");
	EXPECT("P3", mark(v, s, FIRN_MARK_ASSIGNED) == 3 + 2 * SKIP);
	EXPECT("P3", mark(v, q, FIRN_MARK_ASSIGNED) == 1 + 2 * SKIP);
	say(v, s, "uvw");
	store_now(&c, v);
	say(v, s, "-");
	kill9(&c);
	power_on(
	        &d); /* its index is made from the store: one stream was touched in between, one was not */
	v = abandon(&d, "v");
	EXPECT("P3", mark(v, s, FIRN_MARK_ASSIGNED) == 6 + 3 * SKIP);
	EXPECT("P3", mark(v, q, FIRN_MARK_ASSIGNED) == 1 + 3 * SKIP);
	expect_at(v, s, 0, "abc");
	expect_code(v, s, 3, FIRN_ELOST);
	expect_code(v, s, 3 + SKIP, FIRN_ELOST);
	expect_at(v, s, 3 + 2 * SKIP, "uvw");
	expect_code(v, s, 6 + 2 * SKIP, FIRN_ELOST);
	say(v, s, "z");
	expect_at(v, s, 6 + 3 * SKIP, "z");
	shut_down(&d, v, FIRN_DETACH_DRAIN);
	for (uint32_t i = 0; i < 3; i++) { /* each of the old ones sees the same */
		struct box *old = i == 0 ? &a : i == 1 ? &b : &c;
		power_on(old);
		v = attach(old, "v");
		expect_at(v, s, 0, "abc");
		expect_code(v, s, 4, FIRN_ELOST);
		expect_at(v, s, 3 + 2 * SKIP, "uvw");
		expect_at(v, s, 6 + 3 * SKIP, "z");
		EXPECT("P3", mark(v, q, FIRN_MARK_ASSIGNED) == 1 + 3 * SKIP);
		shut_down(old, v, FIRN_DETACH_DRAIN);
	}
}

static void expect_both_sides(struct firn_volume *v, uint64_t s, uint64_t quiet)
{
	expect_at(v, s, 0, "abcd");
	expect_code(v, s, 4, FIRN_ELOST);
	expect_code(v, s, 3 + SKIP, FIRN_ELOST);
	expect_at(v, s, 4 + SKIP, "wxyz");
	EXPECT("P3", mark(v, s, FIRN_MARK_ASSIGNED) == 8 + SKIP);
	expect_code(v, quiet, 1, FIRN_ELOST);
	EXPECT("P3", mark(v, quiet, FIRN_MARK_ASSIGNED) == 1 + SKIP);
}

/* Footers, or layers, before a lost range and layers behind it; merged as they are due. Whoever makes an index from them
 * derives the same range, of streams that were touched since and of those that were not. */
static void in_layers(void)
{
	for (uint32_t i = 0; i < 2; i++) {
		char name[8] = { 'v', (char)('0' + i), 0 };
		struct box a, b, c;
		box_init(&a, 3 * i);
		box_init(&b, 3 * i + 1);
		box_init(&c, 3 * i + 2);
		a.layer_segments = i ? 2 : 0;
		b.layer_segments = c.layer_segments = 2;
		power_on(&a);
		struct firn_volume *v = attach(&a, name);
		uint64_t s = stream(v, "room"), q = stream(v, "quiet");
		say(v, q, "q");
		store_each(&a, v, s, "abcd");
		say(v, s, "e");
		kill9(&a);
		power_on(&b);
		v = abandon(&b, name);
		store_each(&b, v, s, "wxyz");
		expect_both_sides(v, s, q);
		shut_down(&b, v, FIRN_DETACH_DRAIN);
		power_on(&c);
		v = attach(&c, name);
		expect_both_sides(v, s, q);
		shut_down(&c, v, FIRN_DETACH_DRAIN);
		power_on(&a); /* its index is that of a cut before the range */
		v = attach(&a, name);
		expect_both_sides(v, s, q);
		say(v, q, "r");
		expect_at(v, q, 1 + SKIP, "r");
		shut_down(&a, v, FIRN_DETACH_DRAIN);
	}
}

const struct history lost_histories[] = {
	{ "S10", "P3", "lost ranges add up", twice_in_a_row },
	{ "S10b", "P3", "lost ranges lie in layers where they were", in_layers },
	{ 0 },
};
