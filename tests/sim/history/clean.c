/* Histories of rewrites: what was deleted leaves the objects that living bytes share with it, whatever comes in between. */
#include "tests/sim/history/history.h"

enum { MINUTE = 60 * SECOND, DEADLINE = 120 * MINUTE, GRACE = 10 * MINUTE };

static void boxes(struct box *a, struct box *b)
{
	box_init(a, 0);
	box_init(b, 1);
	a->grace_ms = b->grace_ms = GRACE;
	a->deadline_ms = b->deadline_ms = DEADLINE;
}

/* Three rounds; in each of them a living record and one of a stream that is deleted then. */
static struct firn_volume *live_and_delete(struct box *a, uint64_t *s)
{
	power_on(a);
	struct firn_volume *v = attach(a, "v");
	*s = stream(v, "room");
	uint64_t gone = stream(v, "gone");
	for (char letter = 'a'; letter < 'd'; letter++) {
		say(v, *s, (char[]){ letter, 0 });
		say_bytes(v, gone, 'x', 200);
		store_now(a, v);
	}
	struct firn_op op = { .kind = FIRN_OP_DELETE, .stream = gone };
	MUST(write_ops(a, v, &op, 1, NULL));
	store_now(a, v);
	EXPECT("script", store_objects_with('x') == 3);
	return v;
}

/* The next segment that goes up is a rewrite's: it stands there. */
static void to_the_rewrite(void)
{
	struct gate *copied = gate_set(GATE_PUT, "v/seg/", 0, GATE_HOLD);
	while (!gate_reached(copied))
		wait_ms(MINUTE);
	gate_open(copied);
}

static void until_clean(struct firn_volume *v, uint64_t s)
{
	wait_ms(DEADLINE + GRACE + MINUTE);
	SIM_CHECK("P9", store_objects_with('x') == 0, "%d objects hold what was deleted",
	          (int)store_objects_with('x'));
	expect_at(v, s, 0, "abc");
}

/* Killed between the swap and the index, and nobody heard that the swap was done: the index names what is dead. Who attaches
 * next, and who saw the volume before, has it from the layers. */
static void killed_behind_the_swap(void)
{
	struct box a, b;
	uint64_t s;
	boxes(&a, &b);
	struct firn_volume *v = live_and_delete(&a, &s);
	shut_down(&a, v, FIRN_DETACH_DRAIN);
	power_on(&b);
	v = attach(&b, "v");
	shut_down(&b, v, FIRN_DETACH_DRAIN);
	power_on(&a);
	v = attach(&a, "v");
	to_the_rewrite();
	struct gate *swap = gate_set(GATE_PUT, "v/manifest", 0, GATE_DONE_LOST);
	struct gate *asked = gate_set(GATE_GET, "v/manifest", 0, GATE_HOLD_FREE);
	gate_wait(swap);
	gate_wait(asked);
	kill9(&a);
	gate_open(asked);
	power_on(&a);
	v = attach(&a, "v");
	expect_word(v, s, "abc", "at its writer");
	until_clean(v, s);
	expect_word(v, s, "abc", "and when they are gone");
	shut_down(&a, v, FIRN_DETACH_DRAIN);
	power_on(&b);
	v = attach(&b, "v");
	expect_word(v, s, "abc", "who saw it before");
	shut_down(&b, v, FIRN_DETACH_DRAIN);
}

/* The swap lands when another has become the writer, or never: what was copied is nobody's, and goes. */
static void fenced_before_the_swap(void)
{
	struct box a, b;
	uint64_t s;
	boxes(&a, &b);
	struct firn_volume *v = live_and_delete(&a, &s);
	to_the_rewrite();
	struct gate *swap = gate_set(GATE_PUT, "v/manifest", 0, GATE_LATE);
	gate_wait(swap);
	kill9(&a);
	power_on(&b);
	v = abandon(&b, "v");
	gate_open(swap);
	wait_ms(MINUTE);
	expect_at(v, s, 0, "abc");
	uint64_t segments = store_objects("v/seg/");
	say(v, s, "y");
	until_clean(v, s);
	EXPECT("P9", store_objects("v/seg/") <= segments);
	shut_down(&b, v, FIRN_DETACH_DRAIN);
	power_on(&a);
	v = attach(&a, "v");
	expect_at(v, s, 0, "abc");
	shut_down(&a, v, FIRN_DETACH_DRAIN);
}

/* Copied, and not yet swapped, when the rest of the room is trimmed but for the last record. */
static void trimmed_behind_the_copy(void)
{
	struct box a, b;
	uint64_t s;
	boxes(&a, &b);
	struct firn_volume *v = live_and_delete(&a, &s);
	struct gate *copied = gate_set(GATE_PUT, "v/seg/", 0, GATE_HOLD);
	while (!gate_reached(copied))
		wait_ms(MINUTE);
	MUST(trim(&a, v, s, 2));
	store_now(&a, v);
	gate_open(copied);
	wait_ms(DEADLINE);
	expect_word(v, s, "c", "what is left");
	wait_ms(GRACE + MINUTE);
	EXPECT("P9", store_objects_with('x') == 0);
	shut_down(&a, v, FIRN_DETACH_DRAIN);
	power_on(&b);
	v = attach(&b, "v");
	expect_word(v, s, "c", "at the next");
	shut_down(&b, v, FIRN_DETACH_DRAIN);
}

static uint32_t state(struct firn_volume *v)
{
	struct firn_volume_info i = { .struct_size = sizeof i };
	MUST(firn_volume_info(v, &i));
	return i.state;
}

/* Who was replaced has not heard of it, and reads what the next writer has rewritten and deleted: that is no damage. Nor is it
 * for who goes on without the store, and has not been told yet who the writer is. */
static void deleted_by_the_next(void)
{
	struct box a, b;
	uint64_t s;
	boxes(&a, &b);
	a.deadline_ms = 0; /* it has no need to look at what it has */
	(void)live_and_delete(&a, &s);
	kill9(&a); /* nothing of it in memory */
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	struct gate *beat = gate_set(GATE_PUT, ".firn-beat/", 0, GATE_HOLD);
	gate_wait(beat);
	sched_become(0);
	power_on(&b);
	struct firn_volume *next = abandon(&b, "v");
	until_clean(next, s);
	sched_become(a.node->process);
	EXPECT("script", state(v) == FIRN_STATE_OPEN);
	expect_code(v, s, 0, FIRN_EFENCED);
	kill9(&a);
	gate_open(beat);
	store_outage(sched_now() + UINT64_C(20000000000));
	power_on(&a);
	v = attach(&a, "v");
	store_outage(0);
	struct gate *asked = gate_set(GATE_GET, "v/manifest", 0, GATE_HOLD);
	gate_wait(asked);
	expect_code(v, s, 0, FIRN_ESTORE);
	gate_open(asked);
	wait_ms(MINUTE);
	EXPECT("script", state(v) == FIRN_STATE_FENCED);
	expect_code(v, s, 0, FIRN_EFENCED);
	kill9(&a);
	kill9(&b);
}

const struct history clean_histories[] = {
	{ "19a", "P9", "killed behind a rewrite's swap: read from the layers, and clean in time",
	  killed_behind_the_swap },
	{ "19b", "P9", "fenced before a rewrite's swap: nothing lost, and clean in time",
	  fenced_before_the_swap },
	{ "19c", "P9", "trimmed between a rewrite's copy and its swap", trimmed_behind_the_copy },
	{ "22g", "P5", "what the next writer deletes is no damage for who was one",
	  deleted_by_the_next },
	{ 0 },
};
