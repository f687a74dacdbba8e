/* Readers elsewhere (PROTOCOL 22): a volume attached read-only follows its writer, who knows nothing of it. */
#include "tests/sim/history/history.h"

enum { MINUTE = 60 * SECOND };

/* Its writer trims, merges and deletes; another takes over. Who reads there looks again where something is gone. */
static void behind_its_back(void)
{
	struct box a, b, c;
	box_init(&a, 0);
	box_init(&b, 1);
	box_init(&c, 2);
	a.layer_segments = c.layer_segments = 2;
	a.grace_ms = SECOND;
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t room = stream(v, "room"), attic = stream(v, "attic");
	store_each(&a, v, room, "ab");
	store_each(&a, v, attic, "abcd");
	sched_become(0);
	power_on(&b);
	struct firn_volume *seen = look(&b, "v");
	wait_ms(240 * MINUTE); /* it looks seldom by now */
	expect_word(seen, room, "ab", "what is in memory from now on");
	sched_become(a.node->process);
	uint64_t segments = store_objects("v/seg/");
	MUST(trim(&a, v, attic, 3));
	store_each(&a, v, attic, "ef");
	wait_ms(MINUTE);
	store_each(&a, v, attic, "gh");
	wait_ms(MINUTE);
	EXPECT("script", store_objects("v/seg/") < segments + 4);
	sched_become(b.node->process);
	expect_code(seen, attic, 0, FIRN_ERANGE);
	expect_word(seen, attic, "defgh", "where the new cut has it");
	expect_word(seen, room, "ab", "the other");
	sched_become(a.node->process);
	shut_down(&a, v, FIRN_DETACH_DRAIN);
	power_on(&c);
	v = attach(&c, "v");
	store_each(&c, v, room, "c");
	sched_become(b.node->process);
	wait_ms(31 * MINUTE);
	expect_word(seen, room, "abc", "of the next writer, by itself");
	kill9(&b);
	sched_become(c.node->process);
	shut_down(&c, v, FIRN_DETACH_DRAIN);
}

/* The manifest in hand names a footer that is gone when it is asked for: there is a newer manifest. */
static void late_on_the_way(void)
{
	struct box a, b;
	box_init(&a, 0);
	box_init(&b, 1);
	a.layer_segments = 4;
	a.grace_ms = SECOND;
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	store_each(&a, v, s, "a");
	sched_become(0);
	power_on(&b);
	struct firn_volume *seen = look(&b, "v");
	sched_become(a.node->process);
	struct gate *asked = gate_set(GATE_GET, "v/seg/", 0, GATE_HOLD);
	store_each(&a, v, s, "b");
	gate_wait(asked);
	store_each(&a, v, s, "cd");
	MUST(trim(&a, v, s, 3));
	store_each(&a, v, s, "efghi");
	wait_ms(MINUTE);
	store_each(&a, v, s, "j");
	wait_ms(MINUTE);
	EXPECT("script", store_objects("v/seg/") < 10);
	sched_become(b.node->process);
	gate_open(asked);
	store_now(&b, seen);
	expect_word(seen, s, "defghij", "the newer manifest");
	kill9(&b);
	sched_become(a.node->process);
	shut_down(&a, v, FIRN_DETACH_DRAIN);
}

/* A store put back to what it was: what was seen stays, and nothing is followed any more. */
static void rolled_back_under_it(void)
{
	struct box a, b;
	uint64_t s;
	struct firn_volume *v = open_first(&a, &b, &s);
	store_each(&a, v, s, "a");
	store_remember();
	store_each(&a, v, s, "b");
	sched_become(0);
	power_on(&b);
	struct firn_volume *seen = look(&b, "v");
	expect_word(seen, s, "ab", "before");
	EXPECT("script", store_roll_back());
	wait_ms(60 * MINUTE);
	struct firn_volume_info info = { .struct_size = sizeof info };
	MUST(firn_volume_info(seen, &info));
	EXPECT("P5", info.state == FIRN_STATE_STOPPED);
	expect_word(seen, s, "ab", "behind");
	kill9(&b);
	kill9(&a);
}

const struct history follow_histories[] = {
	{ "22d", "P10", "who reads elsewhere follows, whatever goes behind his back",
	  behind_its_back },
	{ "22e", "P5", "a footer that is gone under a follower is not damage", late_on_the_way },
	{ "22f", "P5", "a store that goes backwards under a follower stops it",
	  rolled_back_under_it },
	{ 0 },
};
