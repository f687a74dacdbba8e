/* Histories of the manifest: answers that are lost, commits that land late, stores and indexes that went backwards. */
#include "engine/index/tx.h"
#include "tests/sim/history/history.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* The answer to a commit is lost; it was done, was not, or is done later: no healthy writer takes itself for fenced, and
 * nothing is committed twice. */
static void lost_answers(void)
{
	static const enum gate_how how[] = { GATE_DONE_LOST, GATE_LOST, GATE_LATE, GATE_FAIL };
	struct box a, b;
	box_init(&a, 0);
	box_init(&b, 1);
	for (uint32_t i = 0; i < 4; i++) {
		char name[8] = { 'v', (char)('0' + i), 0 };
		power_on(&a);
		struct firn_volume *v = attach(&a, name);
		uint64_t s = stream(v, "room");
		say(v, s, "abc");
		struct gate *g = gate_set(GATE_PUT, "/manifest", 0, how[i]);
		store_now(&a, v);
		EXPECT("script", gate_reached(g));
		say(v, s, "d");
		gate_open(g);
		wait_ms(10);
		say(v, s, "e");
		store_now(&a, v);
		EXPECT("P1", rev_stored(v) == 6);
		shut_down(&a, v, FIRN_DETACH_DRAIN);
		power_on(&b);
		v = attach(&b, name);
		expect_word(v, s, "abcde", "at the next owner");
		shut_down(&b, v, FIRN_DETACH_DRAIN);
	}
}

/* Killed when the manifest is swapped and the index does not know it. */
static void killed_between_manifest_and_index(void)
{
	struct box a;
	box_init(&a, 0);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	say(v, s, "ab");
	store_now(&a, v);
	say(v, s, "cd");
	struct gate *done = gate_set(GATE_PUT, "/manifest", 0, GATE_DONE_LOST);
	struct gate *asked = gate_set(GATE_GET, "/manifest", 0, GATE_HOLD);
	begin_store(&a, v, 1);
	gate_wait(done);
	gate_wait(asked);
	kill9(&a);
	gate_open(asked);
	power_on(&a);
	v = attach(&a, "v");
	expect_word(v, s, "abcd", "the manifest is ahead of the index");
	EXPECT("P10", rev_stored(v) == 5);
	say(v, s, "e");
	store_now(&a, v);
	shut_down(&a, v, FIRN_DETACH_DRAIN);
}

/* Last night's bucket is put back: nothing is opened as if nothing were missing, and nothing is changed. */
static void bucket_rolled_back(void)
{
	struct firn_error err = FIRN_ERROR_INIT;
	for (uint32_t clean = 0; clean < 2; clean++) {
		char name[8] = { 'v', (char)('0' + clean), 0 };
		struct box a;
		box_init(&a, clean);
		power_on(&a);
		struct firn_volume *v = attach(&a, name);
		uint64_t s = stream(v, "room");
		say(v, s, "ab");
		store_now(&a, v);
		store_remember();
		say(v, s, "cd");
		store_now(&a, v);
		say(v, s, "ef");
		if (clean)
			shut_down(&a, v, FIRN_DETACH_DRAIN);
		else
			kill9(&a);
		EXPECT("script", store_roll_back());
		struct gate *touched = gate_set(GATE_PUT, name, 0, GATE_FAIL);
		power_on(&a);
		int rc = try_attach(&a, name, 0, &v, &err);
		SIM_CHECK("P5", rc == FIRN_ECORRUPT, "attached to a store that went backwards: %s",
		          firn_code_name(rc));
		SIM_CHECK("P5", !gate_reached(touched),
		          "a refused attach has written to the volume");
		shut_down(&a, NULL, 0);
		(void)gate_set(GATE_GET, "no such key", 0, GATE_PASS);
	}
}

/* It goes backwards under a writer. */
static void bucket_rolled_back_under_a_writer(void)
{
	struct box a;
	box_init(&a, 0);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	say(v, s, "ab");
	store_now(&a, v);
	store_remember();
	say(v, s, "cd");
	store_now(&a, v);
	EXPECT("script", store_roll_back());
	say(v, s, "ef");
	begin_store(&a, v, 1);
	struct firn_event ev = outcome(&a);
	SIM_CHECK("P5", ev.code != 0, "a commit went through on a store that went backwards");
	EXPECT("P1", mark(v, s, FIRN_MARK_DURABLE) == 6);
}

/* A's compare-and-swap of an attach is on its way when A dies; A comes back; it lands: A is not fenced by itself. */
static void own_late_attach(void)
{
	struct firn_error err = FIRN_ERROR_INIT;
	for (uint32_t when = 0; when < 2; when++) {
		char name[8] = { 'v', (char)('0' + when), 0 };
		struct box a;
		box_init(&a, when);
		power_on(&a);
		struct firn_volume *v = attach(&a, name);
		uint64_t s = stream(v, "room");
		say(v, s, "abc");
		kill9(&a);
		power_on(&a);
		struct firn_attach at = FIRN_ATTACH_INIT;
		const struct firn_req *r = &at.req;
		at.store = "mem:";
		at.name = name;
		at.req.cq = a.cq;
		struct gate *g = gate_set(GATE_PUT, "/manifest", 0, GATE_LATE);
		struct gate *asked = gate_set(GATE_GET, "/manifest", 1,
		                              GATE_HOLD); /* the one that settles it */
		EXPECT("script", firn_engine_submit(a.node->engine, &r, 1, NULL) == 1);
		gate_wait(g);
		gate_wait(asked);
		kill9(&a);
		gate_open(asked);
		power_on(&a);
		struct gate *mine = NULL;
		if (when == 0) { /* it lands before A looks */
			gate_open(g);
			wait_ms(10);
		} else { /* between A's look and A's own swap */
			mine = gate_set(GATE_PUT, "/manifest", 0, GATE_HOLD);
			EXPECT("script", firn_engine_submit(a.node->engine,
			                                    &(const struct firn_req *){
			                                            (at.req.cq = a.cq, &at.req) },
			                                    1, &err) == 1);
			gate_wait(mine);
			gate_open(g);
			wait_ms(10);
			gate_open(mine);
			struct firn_event ev = { 0 };
			EXPECT("P8", firn_cq_reap(a.cq, &ev, sizeof ev, 1, 600 * SECOND) == 1);
			SIM_CHECK("P8", ev.code == 0, "fenced by an attach of its own: %s",
			          firn_code_name(ev.code));
			v = ((const struct firn_attached *)ev.result)->volume;
			firn_release(ev.result);
		}
		if (when == 0)
			v = attach(&a, name);
		expect_word(v, s, "abc", "after it");
		say(v, s, "d");
		store_now(&a, v);
		shut_down(&a, v, FIRN_DETACH_DRAIN);
	}
}

/* A commit of A's is on its way when A dies; A comes back and looks; it lands; A swaps: the store did not go backwards. */
static void own_late_commit(void)
{
	struct box a;
	box_init(&a, 0);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	say(v, s, "abc");
	struct gate *late = gate_set(GATE_PUT, "/manifest", 0, GATE_LATE);
	struct gate *asked = gate_set(GATE_GET, "/manifest", 0, GATE_HOLD);
	begin_store(&a, v, 1);
	gate_wait(late);
	gate_wait(asked);
	kill9(&a);
	gate_open(asked);
	power_on(&a);
	struct firn_attach at = FIRN_ATTACH_INIT;
	const struct firn_req *r = &at.req;
	at.store = "mem:";
	at.name = "v";
	at.req.cq = a.cq;
	struct gate *mine = gate_set(GATE_PUT, "/manifest", 0, GATE_HOLD);
	EXPECT("script", firn_engine_submit(a.node->engine, &r, 1, NULL) == 1);
	gate_wait(mine);
	gate_open(late);
	wait_ms(10);
	gate_open(mine);
	struct firn_event ev = { 0 };
	EXPECT("P8", firn_cq_reap(a.cq, &ev, sizeof ev, 1, 600 * SECOND) == 1);
	SIM_CHECK("P8", ev.code == 0, "not attached because of a commit of its own: %s",
	          firn_code_name(ev.code));
	v = ((const struct firn_attached *)ev.result)->volume;
	firn_release(ev.result);
	EXPECT("P10", rev_stored(v) == 4);
	say(v, s, "d");
	expect_word(v, s, "abcd", "after it");
	shut_down(&a, v, FIRN_DETACH_DRAIN);
}

/* A drains V, the clean manifest lands, A dies before it notes that. B attaches. A must not go on. */
static void clean_and_then_not_resumed(void)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct box a, b;
	uint64_t s;
	struct firn_volume *v = open_first(&a, &b, &s);
	say(v, s, "abc");
	store_now(&a, v);
	struct firn_detach d = FIRN_DETACH_INIT;
	const struct firn_req *r = &d.req;
	d.volume = v;
	d.req.cq = a.cq;
	struct gate *done = gate_set(GATE_PUT, "/manifest", 0, GATE_DONE_LOST);
	struct gate *asked = gate_set(GATE_GET, "/manifest", 0, GATE_HOLD);
	EXPECT("script", firn_engine_submit(a.node->engine, &r, 1, NULL) == 1);
	gate_wait(done);
	gate_wait(asked);
	kill9(&a);
	gate_open(asked);
	power_on(&b);
	v = attach(&b, "v");
	say(v, s, "x");
	struct firn_volume *at_b = v;
	sched_become(0);
	power_on(&a);
	int rc = try_attach(&a, "v", 0, &v, &err);
	SIM_CHECK("P4", rc == FIRN_ELOST || rc == FIRN_EFENCED, "attached what another has: %s",
	          firn_code_name(rc));
	sched_become(b.node->process);
	say(at_b, s, "y");
	store_now(&b, at_b);
	expect_word(at_b, s, "abcxy", "at its owner");
	shut_down(&b, at_b, FIRN_DETACH_DRAIN);
	sched_become(a.node->process);
	v = attach(&a, "v");
	expect_word(v, s, "abcxy", "back where it was");
}

/* Bytes of the index rot, anywhere: it is made anew, or was not needed; never believed. */
static void index_rots(void)
{
	char path[300];
	struct box a;
	box_init(&a, 0);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room"), t = stream(v, "quiet");
	say(v, s, "abc");
	say(v, t, "q");
	MUST(put(&a, v, "key", "value"));
	store_now(&a, v);
	(void)snprintf(path, sizeof path, "%s/index/data.mdb", a.node->dir);
	for (uint32_t i = 0; i < 40; i++) {
		say(v, s, "d");
		MUST(trim(&a, v, s, i));
		kill9(&a);
		int fd = open(path, O_RDWR | O_CLOEXEC);
		struct stat st;
		EXPECT("script", fd >= 0 && !fstat(fd, &st) && st.st_size > 0);
		for (uint32_t k = 0; k < 1 + i % 4; k++) {
			uint8_t byte;
			off_t at = (off_t)rng_below(&W.rng, (uint64_t)st.st_size);
			EXPECT("script", pread(fd, &byte, 1, at) == 1);
			byte ^= (uint8_t)(1u << rng_below(&W.rng, 8));
			EXPECT("script", pwrite(fd, &byte, 1, at) == 1);
		}
		(void)close(fd);
		power_on(&a);
		v = attach(&a, "v");
		EXPECT("P6", find(v, "room") == s && find(v, "quiet") == t);
		EXPECT("P6",
		       mark(v, s, FIRN_MARK_START) == i && mark(v, s, FIRN_MARK_DURABLE) == 4 + i);
		EXPECT("P6", mark(v, t, FIRN_MARK_DURABLE) == 1);
		expect_pair(v, "key", "value");
		char word[256];
		hear(v, s, word);
		EXPECT("P6", strlen(word) == 4);
		if (i % 3 == 0)
			store_now(&a, v);
	}
}

/* A row of the index is gone and all else in it is right: offsets that were stored are missing, not skipped, and not the end. */
static void row_is_gone(void)
{
	struct box a;
	box_init(&a, 0);
	power_on(&a);
	struct firn_volume *v = attach(&a, "v");
	uint64_t s = stream(v, "room");
	for (const char *word = "abc"; *word; word++) {
		say_bytes(v, s, (uint8_t)*word, 64);
		store_now(&a, v);
	}
	say(v, s, "d");
	for (uint64_t gone = 1; gone < 3; gone++) { /* between others, and before the tail */
		char dir[300];
		struct index *index;
		struct index_tx tx;
		kill9(&a);
		(void)snprintf(dir, sizeof dir, "%s/index", a.node->dir);
		MUST(index_open(&a.node->env, dir, &index, NULL));
		MUST(index_tx_write(index, &tx, NULL));
		index_key_u64(&tx.key, 1, INDEX_EXTENT, s, gone);
		MUST(index_tx_del(&tx));
		MUST(index_tx_commit(&tx));
		index_close(index);
		power_on(&a);
		v = attach(&a, "v");
		const struct firn_fetched *f = NULL;
		int rc = firn_stream_read(v, s, gone, 1 << 20, 10 * SECOND, &f, NULL);
		firn_release(f);
		SIM_CHECK("P5", rc == FIRN_ECORRUPT,
		          "offset %llu was stored and its row is gone: reading it: %s",
		          (unsigned long long)gone, firn_code_name(rc));
	}
}

const struct history commit_histories[] = {
	{ "7", "P8", "lost answers to commits fence nobody and commit nothing twice",
	  lost_answers },
	{ "8a", "P10", "killed between manifest and index", killed_between_manifest_and_index },
	{ "8b", "P5", "a bucket that went backwards is refused and not changed",
	  bucket_rolled_back },
	{ "8c", "P5", "a bucket that goes backwards under a writer is noticed",
	  bucket_rolled_back_under_a_writer },
	{ "15", "P6", "a rotten index is made anew and never believed", index_rots },
	{ "15b", "P5", "a row that is gone is damage, not a gap and not the end", row_is_gone },
	{ "S1", "P4", "who has drained a volume does not go on with it",
	  clean_and_then_not_resumed },
	{ "S9", "P8", "a late attach of its own fences nobody", own_late_attach },
	{ "S9b", "P8", "nor does a late commit of its own", own_late_commit },
	{ 0 },
};
