/* Histories of what leaves a volume: when its object goes, and who may still need it. */
#include "tests/sim/history/history.h"

enum { MINUTE = 60 * SECOND };

/* Layers were merged and six rounds were trimmed away: an hour long their objects stay, counted by the writer of the moment
 * on his own clock. Then they go, as soon as the store takes it, and nothing else does. */
static void grace_time(void)
{
	struct box a, b;
	box_init(&a, 0);
	box_init(&b, 1);
	a.layer_segments = 2;
	a.grace_ms = 60 * MINUTE;
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	store_each(&a, v, s, "abcdefgh");
	MUST(trim(&a, v, s, 6));
	store_each(&a, v, s, "ijkl");
	uint64_t segments = store_objects("v/seg/"), layers = store_objects("v/layer/");
	EXPECT("P9", segments >= 12 && layers >= 6);
	wait_ms(50 * MINUTE);
	store_each(&a, v, s, "mn"); /* commits meanwhile forget nothing */
	EXPECT("P9", store_objects("v/seg/") >= segments + 2);
	EXPECT("P9", store_objects("v/layer/") >= layers);
	kill9(&a);
	power_on(&a);
	v = attach(&a, "v");
	wait_ms(30 * MINUTE);
	EXPECT("P9", store_objects("v/seg/") >= segments + 2);
	EXPECT("P9", store_objects("v/layer/") >= layers);
	store_outage_of("v/seg/", sched_now() + 50 * MINUTE * UINT64_C(1000000));
	wait_ms(40 * MINUTE); /* they are due, and cannot be deleted */
	EXPECT("P9", store_objects("v/seg/") >= segments + 2);
	wait_ms(40 * MINUTE);
	EXPECT("P9", store_objects("v/seg/") <= segments + 2 - 6);
	EXPECT("P9", store_objects("v/layer/") < layers);
	store_each(&a, v, s, "o");
	expect_word(v, s, "ghijklmno", "at its writer");
	shut_down(&a, v, FIRN_DETACH_DRAIN);
	power_on(&b);
	v = attach(&b, "v");
	expect_word(v, s, "ghijklmno", "at the next");
	shut_down(&b, v, FIRN_DETACH_DRAIN);
}

/* What leaves is gone after the grace time, ten minutes here, by itself: the sweep that looks for what nobody names has been,
 * and comes again in hours. */
static void gone_in_time(void)
{
	struct box a;
	box_init(&a, 0);
	a.layer_segments = 2;
	a.grace_ms = 10 * MINUTE;
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	store_each(&a, v, s, "abcdefgh");
	wait_ms(15 * MINUTE);
	MUST(trim(&a, v, s, 6));
	store_each(&a, v, s, "ijkl");
	uint64_t segments = store_objects("v/seg/");
	wait_ms(5 * MINUTE);
	store_each(&a, v, s, "m"); /* a commit forgets none of them */
	EXPECT("P9", store_objects("v/seg/") == segments + 1);
	wait_ms(10 * MINUTE);
	EXPECT("P9", store_objects("v/seg/") <= segments + 1 - 6);
	expect_word(v, s, "ghijklm", "what did not leave");
	shut_down(&a, v, FIRN_DETACH_DRAIN);
}

/* Nothing lies in a segment any more, but the manifest names it: its footer is still to be read. */
static void named_by_the_manifest(void)
{
	struct box a, b;
	box_init(&a, 0);
	box_init(&b, 1);
	a.layer_segments = 2;
	a.grace_ms = SECOND;
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	store_each(&a, v, s, "ab");
	kill9(&a);
	EXPECT("script", store_objects("v/layer/") == 1);
	a.layer_segments = 0;
	power_on(&a);
	v = attach(&a, "v");
	store_each(&a, v, s, "c");
	MUST(trim(&a, v, s, 3));
	store_each(&a, v, s, "de");
	wait_ms(MINUTE);
	store_each(&a, v, s, "f");
	wait_ms(MINUTE);
	shut_down(&a, v, FIRN_DETACH_DRAIN);
	power_on(&b);
	v = attach(&b, "v");
	expect_word(v, s, "def", "who reads all footers");
	shut_down(&b, v, FIRN_DETACH_DRAIN);
}

/* Who reads elsewhere has an old manifest in hand when what it names is merged and deleted: there is a newer one. */
static void merged_under_a_reader(void)
{
	struct box a, b;
	box_init(&a, 0);
	box_init(&b, 1);
	a.layer_segments = 2;
	a.grace_ms = SECOND;
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	store_each(&a, v, s, "abcd");
	sched_become(0);
	power_on(&b);
	struct firn_attach at = FIRN_ATTACH_INIT;
	const struct firn_req *r = &at.req;
	at.store = "mem:";
	at.name = "v";
	at.attach_flags = FIRN_ATTACH_READ_ONLY;
	at.req.cq = b.cq;
	struct gate *asked = gate_set(GATE_GET, "v/layer/", 0, GATE_HOLD);
	EXPECT("script", firn_engine_submit(b.node->engine, &r, 1, NULL) == 1);
	gate_wait(asked);
	sched_become(a.node->process);
	uint64_t layers = store_objects("v/layer/");
	store_each(&a, v, s, "efgh");
	wait_ms(MINUTE);
	EXPECT("script", layers == 2 && store_objects("v/layer/") == 1);
	sched_become(b.node->process);
	gate_open(asked);
	struct firn_event ev = { 0 };
	EXPECT("P8", firn_cq_reap(b.cq, &ev, sizeof ev, 1, 600 * SECOND) == 1);
	SIM_CHECK("P5", ev.code == 0, "a merge is taken for damage: %s", firn_code_name(ev.code));
	struct firn_volume *seen = ((const struct firn_attached *)ev.result)->volume;
	firn_release(ev.result);
	expect_word(seen, s, "abcdefgh", "the newer manifest");
	kill9(&b);
	sched_become(a.node->process);
	shut_down(&a, v, FIRN_DETACH_DRAIN);
}

/* An index is filled from layers that an abandon stands before, and the store hangs at a footer behind them: other volumes
 * of the engine commit meanwhile. */
static void filled_beside_a_commit(void)
{
	struct firn_attach to_v = FIRN_ATTACH_INIT;
	const struct firn_req *r = &to_v.req;
	struct box a, b, c;
	uint64_t s;
	struct firn_volume *v = open_first(&a, &b, &s);
	box_init(&c, 2);
	say(v, s, "ab");
	kill9(&a);
	b.layer_segments = 2;
	power_on(&b);
	v = abandon(&b, "v");
	s = stream(v, "hall");
	store_each(&b, v, s, "klmno");
	shut_down(&b, v, FIRN_DETACH_DRAIN);
	power_on(&c);
	struct firn_volume *w = attach(&c, "w");
	say(w, stream(w, "own"), "x");
	struct gate *g = gate_set(GATE_GET, "v/seg/", 0, GATE_HOLD);
	to_v.store = "mem:";
	to_v.name = "v";
	to_v.req.cq = c.cq;
	EXPECT("script", firn_engine_submit(c.node->engine, &r, 1, NULL) == 1);
	gate_wait(g);
	store_now(&c, w);
	gate_open(g);
	struct firn_event ev = { 0 };
	while (ev.kind != FIRN_REQ_ATTACH)
		EXPECT("P8", firn_cq_reap(c.cq, &ev, sizeof ev, 1, 60 * SECOND) == 1);
	EXPECT("P8", ev.code == 0);
	v = ((const struct firn_attached *)ev.result)->volume;
	firn_release(ev.result);
	expect_word(v, s, "klmno", "filled");
	MUST(detach(&c, w, FIRN_DETACH_DRAIN));
	shut_down(&c, v, FIRN_DETACH_DRAIN);
}

const struct history layer_histories[] = {
	{ "22a", "P9", "what left a volume stays for the grace time, and then goes", grace_time },
	{ "22c", "P9", "and no later, whatever was committed meanwhile", gone_in_time },
	{ "9", "P5", "a segment that the manifest names is not deleted", named_by_the_manifest },
	{ "S19d", "P8", "an index is filled, the store hangs, and other volumes commit",
	  filled_beside_a_commit },
	{ "22b", "P5", "a layer that is gone under a reader is not damage", merged_under_a_reader },
	{ 0 },
};
