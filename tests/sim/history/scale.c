/* Histories of much: outages, drained queues, shares. */
#include "tests/sim/history/history.h"
#include <stdio.h>
#include <stdlib.h>

static const uint64_t DAY = UINT64_C(86400) * 1000000000u;

/* The store is away; what was written ten minutes ago is in no memory any more, and is read all the same. */
static void outage(void)
{
	struct box a;
	char word[256] = { 0 };
	box_init(&a, 0);
	a.wal_bytes = 64 << 20;
	a.upload_interval_ms = SECOND;
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	store_outage(sched_now() + DAY);
	for (uint32_t i = 0; i < 80; i++) { /* 20 MiB, of which memory may hold 4 */
		word[i] = (char)('A' + i % 26);
		say_bytes(v, s, (uint8_t)word[i], 256 << 10);
		if (i % 8 == 7)
			wait_ms(60 * SECOND);
	}
	expect_word(v, s, word, "in an outage");
	EXPECT("P7", a.node->memory_most <= NODE_MEMORY);
	EXPECT("P8", rev_stored(v) == 0);
	kill9(&a);
	power_on(&a);
	v = attach(&a, "v");
	expect_word(v, s, word, "restarted in an outage");
	EXPECT("P8", rev_stored(v) == 0);
	store_outage(0);
	expect_word(v, s, word, "after the outage");
	for (uint32_t i = 0; i < 600 && rev_stored(v) < rev_durable(v); i++)
		wait_ms(SECOND);
	EXPECT("P8", rev_stored(v) == rev_durable(v)); /* by itself */
	EXPECT("P7", a.node->memory_most <= NODE_MEMORY);
	expect_word(v, s, word, "stored");
	shut_down(&a, v, FIRN_DETACH_DRAIN);
}

/* An outage of a day with a writer that never stops: refused when the share is full, told when there is room again, all
 * acked is there, and it drains by itself. */
static void share(void)
{
	struct box a;
	uint8_t *bytes = calloc(1, 128 << 10);
	uint64_t acked = 0;
	box_init(&a, 0);
	a.upload_interval_ms = SECOND;
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	store_outage(sched_now() + DAY);
	int rc;
	do { /* refused while a spare file is being made is told as room when it is made */
		while (!(rc = firn_stream_append_async(v, s, bytes, 128 << 10, 1, 0, a.cq, 1)) &&
		       acked < 200) {
			MUST(outcome(&a).code);
			acked++;
		}
		SIM_CHECK("P7", rc == FIRN_EFULL, "%llu records of 128 KiB in 8 MiB: %s",
		          (unsigned long long)acked, firn_code_name(rc));
	} while (!quiet(&a, 3600 * SECOND));
	EXPECT("P8", acked >= 16);
	EXPECT("P7", disk_used(a.node->disk) <= NODE_WAL + (1 << 20));
	store_outage(0);
	struct firn_event ev = outcome(&a);
	EXPECT("P8", ev.kind == FIRN_EV_WRITABLE);
	MUST(firn_stream_append(v, s, bytes, 128 << 10, 1, 0, NULL, NULL));
	for (uint32_t i = 0; i < 600 && rev_stored(v) < rev_durable(v); i++)
		wait_ms(SECOND);
	EXPECT("P8", rev_stored(v) == rev_durable(v));
	EXPECT("P1", mark(v, s, FIRN_MARK_STORED) == acked + 1);
	free(bytes);
	shut_down(&a, v, FIRN_DETACH_DRAIN);
}

/* The disk hangs in a flush; writers that do not wait go on: refused long before memory is full, and told when it is better. */
static void disk_hangs(void)
{
	enum { LEN = 64 << 10 };
	struct box a;
	uint8_t *bytes = calloc(1, LEN);
	uint64_t taken = 0;
	int rc;
	box_init(&a, 0);
	a.wal_bytes = 128 << 20;
	a.file_mib = 16;
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	wait_ms(SECOND); /* spares are made */
	struct gate *g = gate_set(GATE_WRITE, ".wal", 0, GATE_HOLD);
	while (!(rc = firn_stream_append_async(v, s, bytes, LEN, 1, 0, a.cq, 1)) && taken < 1000)
		taken++;
	SIM_CHECK("P7", rc == FIRN_EFULL, "%llu records of 64 KiB taken while the disk hangs: %s",
	          (unsigned long long)taken, firn_code_name(rc));
	EXPECT("P7", taken * LEN <= NODE_MEMORY / 4 && a.node->memory_most <= NODE_MEMORY);
	EXPECT("P1", quiet(&a, 60 * SECOND));
	gate_open(g);
	bool writable = false;
	for (uint64_t i = 0; i < taken + 1; i++) {
		struct firn_event ev = outcome(&a);
		MUST(ev.code);
		writable |= ev.kind == FIRN_EV_WRITABLE;
	}
	EXPECT("P8", writable);
	EXPECT("P1", mark(v, s, FIRN_MARK_DURABLE) == taken);
	free(bytes);
	shut_down(&a, v, FIRN_DETACH_DRAIN);
}

/* Queues by the hundred, drained before any upload: no payload, hardly a request, and each knows where it goes on. */
static void drained_queues(void)
{
	enum { N = 300 };
	uint64_t s[N];
	char name[16];
	struct box a, b;
	box_init(&a, 0);
	box_init(&b, 1);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	for (uint32_t i = 0; i < N; i++) {
		(void)snprintf(name, sizeof name, "q%u", i);
		s[i] = stream(v, name);
		for (uint32_t k = 0; k < i % 4; k++)
			say(v, s[i], "a");
		MUST(trim(&a, v, s[i], i % 4));
	}
	uint64_t puts = store_puts();
	store_now(&a, v);
	SIM_CHECK("figure", store_puts() - puts <= 4, "%llu PUTs for drained queues",
	          (unsigned long long)(store_puts() - puts));
	shut_down(&a, v, FIRN_DETACH_DRAIN);
	power_on(&b);
	v = attach(&b, "v");
	for (uint32_t i = 0; i < N; i++) {
		EXPECT("P2", mark(v, s[i], FIRN_MARK_START) == i % 4 &&
		                     mark(v, s[i], FIRN_MARK_ASSIGNED) == i % 4);
		say(v, s[i], "z");
		expect_word(v, s[i], "z", "a drained queue goes on");
	}
}

const struct history scale_histories[] = {
	{ "5", "P8", "in an outage what left memory is read from the log", outage },
	{ "5b", "P7", "a disk that hangs refuses writers before memory is full", disk_hangs },
	{ "S14", "P2", "drained queues cost no payload and know where they go on", drained_queues },
	{ "S16", "P7", "a share that is full refuses, tells when there is room, and drains",
	  share },
	{ 0 },
};
