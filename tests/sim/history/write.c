/* Histories of what is written: streams and their numbers, trims, retries, times. */
#include "tests/sim/history/history.h"
#include <firn/read.h>

static struct firn_op name_op(uint16_t kind, const char *name, uint64_t s)
{
	struct firn_op op = { .kind = kind, .stream = s };
	if (name) {
		op.u.stream.name = name;
		op.u.stream.name_len = (uint32_t)strlen(name);
	}
	return op;
}

static void drop(struct box *b, struct firn_volume *v, uint64_t s)
{
	struct firn_op op = name_op(FIRN_OP_DELETE, NULL, s);
	MUST(write_ops(b, v, &op, 1, NULL));
}

/* A stream is deleted and made again under its name; the writes are replayed, all, some, or none of them. */
static void made_again(void)
{
	struct box a;
	box_init(&a, 0);
	for (uint32_t stored = 0; stored < 4;
	     stored++) { /* how many of the writes are stored before the kill */
		char name[8] = { 'v', (char)('0' + stored), 0 };
		power_on(&a);
		struct firn_volume *v = attach(&a, name);
		uint64_t old = stream(v, "room");
		say(v, old, "abc");
		if (stored == 1)
			store_now(&a, v);
		drop(&a, v, old);
		if (stored == 2)
			store_now(&a, v);
		uint64_t s = stream(v, "room");
		say(v, s, "xy");
		if (stored == 3)
			store_now(&a, v);
		EXPECT("P3", s != old);
		for (int i = 0; i < 2; i++) {
			kill9(&a);
			power_on(&a);
			v = attach(&a, name);
			EXPECT("P3", find(v, "room") == s);
			expect_word(v, s, "xy", "a stream made again");
			struct firn_stream_info info = { .struct_size = sizeof info };
			EXPECT("P3", firn_stream_info(v, old, &info) == FIRN_ENOENT);
		}
		drop(&a, v, s);
		kill9(&a);
		power_on(&a);
		v = attach(&a, name);
		EXPECT("P3", find(v, "room") == 0);
		kill9(&a);
	}
}

/* Numbers of streams differ between owners, whatever was made and dropped. */
static void numbers_are_never_given_twice(void)
{
	struct box box[2];
	uint64_t seen[40], n = 0;
	box_init(&box[0], 0);
	box_init(&box[1], 1);
	for (uint32_t i = 0; i < 6; i++) {
		struct box *b = &box[i % 2];
		power_on(b);
		struct firn_volume *v = attach(b, "v");
		for (uint32_t k = 0; k < 6; k++) {
			uint64_t s = stream(v, "room");
			for (uint64_t j = 0; j < n; j++)
				EXPECT("P3", seen[j] != s);
			seen[n++] = s;
			drop(b, v, s);
			if (k == 3 && i % 3 == 1) { /* a life that leaves nothing but its number */
				kill9(b);
				power_on(b);
				v = attach(b, "v");
			}
		}
		shut_down(b, v, FIRN_DETACH_DRAIN);
	}
}

/* A queue is drained before anything of it was stored: where it goes on must be known to the next owner. */
static void trim_before_upload(void)
{
	struct box a, b;
	box_init(&a, 0);
	box_init(&b, 1);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "queue"), t = stream(v, "drained");
	say(v, s, "abcdefgh");
	say(v, t, "abcd");
	MUST(trim(&a, v, s, 6));
	MUST(trim(&a, v, t, 4));
	EXPECT("P2", trim(&a, v, t, 5) == FIRN_ERANGE);
	kill9(&a);
	power_on(&a);
	v = attach(&a, "v");
	expect_word(v, s, "gh", "after a kill");
	EXPECT("P2", mark(v, s, FIRN_MARK_START) == 6 && mark(v, t, FIRN_MARK_START) == 4);
	shut_down(&a, v, FIRN_DETACH_DRAIN);
	power_on(&b);
	v = attach(&b, "v");
	EXPECT("P2", mark(v, s, FIRN_MARK_START) == 6 && mark(v, s, FIRN_MARK_STORED) == 8);
	EXPECT("P2", mark(v, t, FIRN_MARK_START) == 4 && mark(v, t, FIRN_MARK_ASSIGNED) == 4);
	say(v, s, "i");
	say(v, t, "e");
	expect_word(v, s, "ghi", "at the next owner");
	expect_word(v, t, "e", "a drained queue at the next owner");
	EXPECT("P3", mark(v, s, FIRN_MARK_DURABLE) == 9 && mark(v, t, FIRN_MARK_DURABLE) == 5);
}

static struct firn_op producer_op(uint64_t s, uint64_t seq, const struct iovec *iov)
{
	struct firn_op op = append_op(s, iov);
	op.flags = FIRN_APPEND_PRODUCER;
	op.u.append.producer_id = 7;
	op.u.append.producer_seq = seq;
	return op;
}

/* The retry comes while the first copy is in flight; the power goes: no answer "I have it" may have been given. */
static void retry_in_flight(void)
{
	struct firn_event ev;
	struct box a;
	box_init(&a, 0);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	struct iovec iov = bytes_of("a");
	struct firn_op op = producer_op(s, 0, &iov);
	struct gate *g = gate_set(GATE_SYNC, ".wal", 0, GATE_HOLD);
	begin(&a, v, &op, 1, 1);
	gate_wait(g);
	begin(&a, v, &op, 1, 2);
	EXPECT("P1", quiet(&a, 5 * SECOND));
	power_cut(&a);
	power_on(&a);
	v = attach(&a, "v");
	EXPECT("P1", find(v, "room") == s);
	expect_word(v, s, "", "nothing was acked");
	MUST(write_ops(&a, v, &op, 1, &ev));
	EXPECT("P2", ev.offset == 0 && !(ev.flags & FIRN_F_DUPLICATE));
	/* and when the flush does come, both are answered, with one offset */
	op = producer_op(s, 1, &iov);
	g = gate_set(GATE_SYNC, ".wal", 0, GATE_HOLD);
	begin(&a, v, &op, 1, 3);
	gate_wait(g);
	begin(&a, v, &op, 1, 4);
	gate_open(g);
	for (uint32_t i = 0; i < 2; i++) {
		ev = outcome(&a);
		EXPECT("P2", ev.code == 0 && ev.offset == 1 &&
		                     !(ev.flags & FIRN_F_DUPLICATE) == (ev.user_data == 3));
	}
	expect_word(v, s, "aa", "two sequences");
}

/* The retry comes after a crash, after all is stored, at the next owner. */
static void retry_after_all(void)
{
	struct firn_event ev;
	struct box a, b;
	uint64_t s;
	struct firn_volume *v = open_first(&a, &b, &s);
	struct iovec iov = bytes_of("a");
	for (uint64_t i = 0; i < 3; i++) {
		struct firn_op op = producer_op(s, i, &iov);
		MUST(write_ops(&a, v, &op, 1, NULL));
	}
	struct firn_op key = append_op(s, &iov);
	struct firn_stream_config config = { .struct_size = sizeof config, .key_window_n = 100 };
	struct firn_op keyed = { .kind = FIRN_OP_CONFIG, .stream = s };
	keyed.u.stream.config = &config;
	MUST(write_ops(&a, v, &keyed, 1, NULL));
	key.u.append.key = "order 1";
	key.u.append.key_len = 7;
	MUST(write_ops(&a, v, &key, 1, NULL));
	struct box *at = &a;
	for (uint32_t i = 0; i < 4; i++) {
		struct firn_op op = producer_op(s, 1, &iov);
		MUST(write_ops(at, v, &op, 1, &ev));
		EXPECT("P2", ev.flags & FIRN_F_DUPLICATE && ev.offset == 1);
		MUST(write_ops(at, v, &key, 1, &ev));
		EXPECT("P2", ev.flags & FIRN_F_DUPLICATE && ev.offset == 3);
		op = producer_op(s, 9, &iov);
		EXPECT("P2", write_ops(at, v, &op, 1, &ev) == FIRN_ESEQ && ev.offset == 3);
		if (i == 0)
			kill9(&a);
		else if (i == 1) {
			store_now(&a, v);
			power_cut(&a);
		} else if (i == 2)
			shut_down(&a, v, FIRN_DETACH_DRAIN);
		at = i < 2 ? &a : &b;
		if (i < 3) {
			power_on(at);
			v = attach(at, "v");
		}
	}
	expect_word(v, s, "aaaa", "one copy of each");
}

static struct firn_op keyed_op(uint64_t s, const struct iovec *iov)
{
	struct firn_op op = append_op(s, iov);
	op.u.append.key = "order 1";
	op.u.append.key_len = 7;
	return op;
}

/* The window is set by a write that is on its way; what comes behind it, in it even, is judged by it. A retry is known whether
 * or not the first write was durable when it was admitted. */
static void keys_behind_their_window(void)
{
	static const struct firn_stream_config window = { .struct_size = sizeof window,
		                                          .key_window_n = 100 };
	struct box a;
	box_init(&a, 0);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	struct iovec iov = bytes_of("a");
	for (uint32_t how = 0; how < 3;
	     how++) { /* create; configure; configure in the same write */
		struct firn_op op[2] = { name_op(FIRN_OP_CREATE, "new", 0) };
		uint32_t n = 1, keyed = 2;
		if (how) {
			op[0] = name_op(FIRN_OP_CONFIG, NULL, s);
			keyed = how == 1 ? 2 : 1;
		}
		op[0].u.stream.config = &window;
		if (how == 2)
			op[n++] = keyed_op(s, &iov);
		struct gate *g = gate_set(GATE_WRITE, ".wal", 0, GATE_HOLD);
		begin(&a, v, op, n, 0);
		gate_wait(g);
		uint64_t at = how ? s
		                  : (UINT64_C(1) << 40 |
		                     2); /* the second stream of the first epoch */
		for (uint32_t i = 0; i < keyed; i++) {
			struct firn_op again = keyed_op(at, &iov);
			begin(&a, v, &again, 1, 1 + i);
		}
		gate_open(g);
		for (uint32_t i = 0; i < 1 + keyed; i++) {
			struct firn_event ev = outcome(&a);
			MUST(ev.code);
			bool first = ev.user_data == 0 || (how < 2 && ev.user_data == 1);
			SIM_CHECK("P2", first == !(ev.flags & FIRN_F_DUPLICATE),
			          "the retry of a key was taken for new, or the first for known");
		}
		expect_word(v, at, "a", "one copy");
		if (how == 1) { /* keys are off again */
			struct firn_op off = name_op(FIRN_OP_DELETE, NULL, s);
			MUST(write_ops(&a, v, &off, 1, NULL));
			s = stream(v, "room");
		}
	}
}

static int lookup(struct box *b, struct firn_volume *v, uint64_t s, int64_t value, uint64_t *offset)
{
	struct firn_lookup l = FIRN_LOOKUP_INIT;
	struct firn_event ev = { 0 };
	l.volume = v;
	l.stream = s;
	l.value = value;
	int rc = firn_engine_call(b->node->engine, &l.req, &ev, NULL);
	firn_release(ev.result);
	*offset = ev.offset;
	return rc;
}

/* One producer sends nanoseconds; the wall clock goes back; the next owner's is behind. */
static void times_lie(void)
{
	static const int64_t said[] = { 1000, INT64_C(1600000000000000000), 2000, 3000 };
	struct firn_event ev;
	int64_t last = 0;
	uint64_t at;
	struct box box[2];
	box_init(&box[0], 0);
	box_init(&box[1], 1);
	struct box *b = &box[0];
	power_on(b);
	struct firn_volume *v = attach(b, "v");
	uint64_t s = stream(v, "room");
	for (uint32_t i = 0; i < 4; i++) {
		struct iovec iov = bytes_of("a");
		struct firn_op op = append_op(s, &iov);
		op.u.append.timestamp_ms = said[i];
		MUST(write_ops(b, v, &op, 1, &ev));
		EXPECT("P2", ev.timestamp_ms >= last);
		last = ev.timestamp_ms;
		b->node->clock_ms -= 20 * 60 * SECOND;
		if (i == 1)
			store_now(b, v);
		if (i == 2) {
			shut_down(b, v, FIRN_DETACH_DRAIN);
			b = &box[1];
			power_on(b);
			b->node->clock_ms = -3600 * SECOND;
			v = attach(b, "v");
		}
	}
	MUST(lookup(b, v, s, 500, &at));
	EXPECT("P2", at == 0);
	MUST(lookup(b, v, s, 2000, &at)); /* by running maximum: an over-read, never a miss */
	EXPECT("P2", at == 1);
	EXPECT("P2", lookup(b, v, s, INT64_MAX, &at) == FIRN_ENOENT);
}

/* Jumps that no owner could follow are refused, and nothing is left of them. */
static void jumps(void)
{
	struct box a;
	box_init(&a, 0);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	struct iovec iov = bytes_of("b");
	say(v, s, "a");
	static const uint64_t far[] = { (UINT64_C(1) << 36) + 2, UINT64_C(1) << 62, UINT64_MAX - 1,
		                        UINT64_MAX };
	for (uint32_t i = 0; i < 4; i++) {
		struct firn_op op = append_op(s, &iov);
		op.flags = FIRN_APPEND_AT;
		op.u.append.expect = far[i];
		EXPECT("P3", write_ops(&a, v, &op, 1, NULL) == FIRN_ERANGE);
	}
	EXPECT("P3", mark(v, s, FIRN_MARK_ASSIGNED) == 1);
	struct firn_op op = append_op(s, &iov);
	op.flags = FIRN_APPEND_AT;
	op.u.append.expect = 4;
	MUST(write_ops(&a, v, &op, 1, NULL));
	kill9(&a);
	power_on(&a);
	v = attach(&a, "v");
	expect_word(v, s, "a...b", "a jump within bounds");
	store_now(&a, v);
	kill9(&a);
	power_on(&a);
	v = attach(&a, "v");
	expect_word(v, s, "a...b", "stored");
}

/* A write is durable and told so while the next one hangs: that is seen by nobody, and after a power cut never was. */
static void seen_when_durable(void)
{
	const struct firn_fetched *f = NULL;
	struct box a;
	box_init(&a, 0);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	struct gate *first = gate_set(GATE_WRITE, ".wal", 0, GATE_HOLD_FREE);
	begin_say(&a, v, s, 'a', 1);
	gate_wait(first);
	begin_say(&a, v, s, 'b', 2);
	struct gate *second = gate_set(GATE_WRITE, ".wal", 0, GATE_HOLD_FREE);
	gate_open(first);
	EXPECT("P1", outcome(&a).user_data == 1);
	gate_wait(second);
	EXPECT("P2", mark(v, s, FIRN_MARK_VISIBLE) == 1 && mark(v, s, FIRN_MARK_ASSIGNED) == 2);
	int rc = firn_stream_read(v, s, 1, 1 << 20, SECOND, &f, NULL);
	EXPECT("P1", rc || !f->n_part || !f->part->n_batch);
	firn_release(f);
	power_cut(&a);
	power_on(&a);
	v = attach(&a, "v");
	expect_word(v, s, "a", "what was not durable is gone");
}

const struct history write_histories[] = {
	{ "17a", "P3", "a stream that was deleted does not come back by replay", made_again },
	{ "17b", "P3", "numbers of streams are never given twice", numbers_are_never_given_twice },
	{ "18", "P2", "a trim may pass what is stored, and start and next survive it",
	  trim_before_upload },
	{ "20d", "P1", "nobody sees a write that is not durable", seen_when_durable },
	{ "21a", "P1", "a retry is answered when the original is durable, not before",
	  retry_in_flight },
	{ "21b", "P2", "a retry is known after a crash, after an upload, at the next owner",
	  retry_after_all },
	{ "21c", "P2", "keys are remembered from the write on that sets their window",
	  keys_behind_their_window },
	{ "23", "P2", "clocks and timestamps that lie cost over-reads, never a record", times_lie },
	{ "S20", "P3", "jumps that no owner could follow are refused", jumps },
	{ 0 },
};
