/* Every byte verified (P6, P5): one flipped bit in WAL, segment, manifest or index is found by `firn
 * verify`, named, and never served; an index heals; a torn tail is cut, a rotten one is not (PROTOCOL 11). */
#include "engine/os/env.h"
#include "tests/integration/site.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(damage, .timeout = 240);

static struct site site;
static struct host a, b;
static uint64_t s, seed;

static void setup(void)
{
	site_make(&site);
	host_init(&a, &site, "a");
	host_init(&b, &site, "b");
	seed = 42;
}

static void teardown(void)
{
	site_remove(&site);
}

static uint64_t chance(uint64_t below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (seed >> 33) % below;
}

/* Streams, pairs and a producer; some in two segments, some in the WAL alone. */
static void some_work(struct host *h)
{
	char text[600], name[16];
	s = new_stream(h, "s");
	for (int i = 0; i < 60; i++) {
		(void)snprintf(name, sizeof name, "k%d", i);
		for (size_t k = 0; k + 1 < sizeof text; k++)
			text[k] = (char)('!' + chance(90));
		text[100 + chance(499)] = 0;
		text[sizeof text - 1] = 0;
		struct iovec iov = io_of(text);
		struct firn_op op[2] = { op_append(s, &iov), op_kv(FIRN_OP_KV_PUT, s, name, name) };
		op[0].flags = FIRN_APPEND_PRODUCER;
		op[0].u.append.producer_id = 3;
		op[0].u.append.producer_seq = (uint64_t)i;
		wrote(h, op, 2, NULL);
		if (i == 20 || i == 40)
			store_all(h);
	}
}

/* Exit code of `firn verify`; *said is what it printed, to be freed. */
static int verify(const char *arguments, char **said)
{
	const char *bin = getenv("FIRN_BIN_DIR");
	*said = site_ask(&site, "(%s/firn verify %s 2>&1; echo \"rc=$?\")", bin ? bin : "build/bin",
	                 arguments);
	char *rc = strstr(*said, "rc=");
	cr_assert(rc, "%s", *said);
	return atoi(rc + 3);
}

static uint8_t *load(const char *path, size_t *len)
{
	FILE *f = fopen(path, "r");
	cr_assert(f, "%s", path);
	uint8_t *data = malloc(8u << 20);
	*len = fread(data, 1, 8u << 20, f);
	(void)fclose(f);
	return data;
}

static void flip(const char *path, uint64_t pos, uint32_t bit)
{
	(void)chmod(path, 0600);
	FILE *f = fopen(path, "r+");
	cr_assert(f && !fseek(f, (long)pos, SEEK_SET));
	int c = fgetc(f);
	cr_assert(c >= 0 && !fseek(f, (long)pos, SEEK_SET));
	cr_assert(fputc(c ^ (1 << bit), f) >= 0 && !fclose(f));
}

/* Attach as `h` would: refused with a typed error, or all is there as it was (parts that cannot be read
 * say so). Never other bytes. True: attached and whole. */
static bool served_right(struct host *h, const char *was, const char *what)
{
	struct firn_error err = FIRN_ERROR_INIT;
	bool whole = false;
	int rc = host_try_open(h, &err);
	if (rc) {
		cr_expect(rc == FIRN_ECORRUPT || rc == FIRN_EUNSUPPORTED, "%s: %s", what, err.text);
		return false;
	}
	rc = host_try_attach(h, "v", 0, NULL, &h->volume, &err);
	cr_expect(rc == 0 || rc == FIRN_ECORRUPT || rc == FIRN_EUNSUPPORTED || rc == FIRN_ELOST ||
	                  rc == FIRN_EIO,
	          "%s: %s: %s", what, firn_code_name(rc), err.text);
	cr_expect(rc == 0 || err.text[0]);
	if (!rc) {
		char *now = NULL;
		int got = read_stream(h, s, 0, NULL);
		cr_expect(got == 0 || got == FIRN_ECORRUPT, "%s: %s", what, firn_code_name(got));
		if (!got) {
			now = volume_text(h, h->volume);
			expect_text(was, now, what);
		}
		whole = !got;
		free(now);
		cr_expect_eq(host_detach(h, h->volume, FIRN_DETACH_ABORT, &err), 0);
	}
	host_close(h);
	return whole;
}

static void back_up(void)
{
	site_pull(&site);
	site_run(&site, "rm -rf kept && mkdir kept && cp -a a store kept && rm -rf b");
}

/* Bytes back in place: directories keep their inodes, which tell a copy from the original. */
static void restore(void)
{
	site_run(
	        &site,
	        "chmod -R u+w store; rm -rf a/wal/* a/index* b store && mkdir -p a/index &&"
	        " cp -a kept/a/wal/. a/wal/ && cp -a kept/a/index/. a/index/ && cp -a kept/store store");
	site_push(&site);
}

static char *prepare(uint32_t mode)
{
	host_start(&a);
	some_work(&a);
	char *was = volume_text(&a, a.volume);
	host_stop(&a, mode);
	back_up();
	char *said;
	cr_assert_eq(verify("-d a", &said), 0, "%s", said);
	free(said);
	return was;
}

/* All files that match, each hit `times` times in [0, live): found, named, never served. */
static void hit_all(const char *find, uint32_t times, const char *was, struct host *reader,
                    bool must_find)
{
	char *names = site_ask(&site, "%s", find), *save = NULL;
	uint32_t n_found = 0, n = 0;
	for (char *name = strtok_r(names, "\n", &save); name; name = strtok_r(NULL, "\n", &save))
		for (uint32_t i = 0; i < times; i++) {
			char path[256], what[400], *said;
			size_t len;
			(void)snprintf(path, sizeof path, "%s/%s", site.dir, name);
			uint8_t *data = load(path, &len);
			while (len && !data[len - 1])
				len--;
			uint64_t live = strstr(name, ".wal") ? (len - 1) & ~4095ull : len;
			uint64_t pos = chance(live); /* a WAL's last page is its end mark */
			uint32_t bit = (uint32_t)chance(8);
			free(data);
			flip(path, pos, bit);
			site_push(&site);
			(void)snprintf(what, sizeof what, "%s, bit %u of byte %lu", name, bit, pos);
			int rc = verify("-d a", &said);
			const char *base = strrchr(name, '/') + 1;
			cr_expect(rc == 1 || (rc == 0 && !must_find), "%s: verify said %d: %s",
			          what, rc, said);
			cr_expect(rc != 1 || strstr(said, strstr(name, "index") ? "index" : base),
			          "%s: %s", what, said);
			n_found += rc == 1;
			n++;
			free(said);
			bool whole = served_right(reader, was, what);
			cr_expect(whole || !strstr(name, "index"), "%s: an index heals", what);
			restore();
		}
	cr_expect_gt(n, 0);
	cr_expect_gt(n_found, n / 20, "%u of %u found", n_found, n);
	free(names);
}

Test(damage, a_bit_of_the_wal_is_found_and_named, .init = setup, .fini = teardown)
{
	char *was = prepare(FIRN_DETACH_KEEP_WAL);
	hit_all("ls a/wal/*.wal", 40, was, &a, true);
	cr_expect(served_right(&a, was, "restored"));
	free(was);
}

Test(damage, a_bit_of_a_segment_is_found_and_named, .init = setup, .fini = teardown)
{
	char *was = prepare(FIRN_DETACH_DRAIN);
	hit_all("find store -path '*/seg/*' -type f ! -name '.*'", 12, was, &a, true);
	free(was);
}

Test(damage, a_bit_of_a_segment_is_not_served_where_there_is_no_index, .init = setup,
     .fini = teardown)
{
	char *was = prepare(FIRN_DETACH_DRAIN);
	hit_all("find store -path '*/seg/*' -type f ! -name '.*'", 8, was, &b, true);
	free(was);
}

Test(damage, a_bit_of_the_manifest_is_found_and_named, .init = setup, .fini = teardown)
{
	char *was = prepare(FIRN_DETACH_DRAIN);
	hit_all("ls store/v/manifest", 30, was, &b, true);
	free(was);
}

Test(damage, an_index_with_a_flipped_bit_heals, .init = setup, .fini = teardown)
{
	char *was = prepare(FIRN_DETACH_KEEP_WAL);
	hit_all("ls a/index/data.mdb", 40, was, &a,
	        false); /* free pages hold nothing that matters */
	free(was);
}

/* ---- torn or rotten ---- */

struct crash {
	bool idle; /* wait for the group that is written when nothing happens; else there is none */
};

static uint64_t stopped(void *ctx)
{
	(void)ctx;
	return 1;
}

static void write_and_die(void *arg)
{
	struct crash *c = arg;
	struct firn_event ev;
	static struct firn_env still; /* the engine's threads outlive this call */
	still = *env_default();
	still.mono_ns = stopped;
	if (!c->idle)
		a.opts.env = &still;
	host_start(&a);
	struct firn_volume *v = a.volume;
	host_attach(&a, "w");
	(void)say(&a, new_stream(&a, "other"), "of w");
	a.volume = v;
	uint64_t id = new_stream(&a, "s");
	say(&a, id, "first");
	say(&a, id, "the last acked");
	uint64_t groups = metric_of(a.engine, "firn_wal_groups", "");
	while (c->idle && metric_of(a.engine, "firn_wal_groups", "") == groups)
		(void)firn_cq_reap(a.cq, &ev, sizeof ev, 1, 10);
}

static void flip_last_acked(void)
{
	char path[256];
	size_t len, at = 0;
	char *name = site_ask(&site, "grep -l 'the last acked' a/wal/*.wal | tr -d '\\n'");
	(void)snprintf(path, sizeof path, "%s/%s", site.dir, name);
	uint8_t *data = load(path, &len);
	for (size_t i = 0; i + 14 < len && !at; i++)
		at = memcmp(data + i, "the last acked", 14) ? 0 : i;
	cr_assert_gt(at, 0);
	flip(path, at + 5, 3);
	free(data);
	free(name);
}

Test(damage, a_flipped_last_group_with_an_idle_group_behind_it_is_rot, .init = setup,
     .fini = teardown)
{
	struct crash c = { true };
	struct firn_error err = FIRN_ERROR_INIT;
	crash_after(write_and_die, &c);
	flip_last_acked();
	host_open(&a);
	int rc = host_try_attach(&a, "v", FIRN_ATTACH_CREATE, NULL, &a.volume, &err);
	cr_expect_eq(rc, FIRN_ECORRUPT, "%s: %s", firn_code_name(rc), err.text);
	cr_expect(strstr(err.text, ".wal"), "it names file and place: %s", err.text);
	host_close(&a);
	char *said;
	cr_expect_eq(verify("-d a", &said), 1);
	free(said);
}

/* Somebody brings a file of another engine's WAL here, under a number that is free: nobody's writes are taken for a spare. (P1) */
Test(damage, a_file_of_another_wal_is_not_written_over, .init = setup, .fini = teardown)
{
	struct firn_error err = FIRN_ERROR_INIT;
	host_start(&b);
	some_work(&b);
	host_stop(&b, FIRN_DETACH_KEEP_WAL);
	host_open(&a);
	host_close(&a);
	site_run(&site, "cp $(ls b/wal/*.wal | tail -1) a/wal/00000000000000ff.wal");
	cr_expect_eq(host_try_open(&a, &err), FIRN_ECORRUPT);
	cr_expect(strstr(err.text, "ff.wal belongs to another WAL"), "%s", err.text);
	site_run(&site, "cmp $(ls b/wal/*.wal | tail -1) a/wal/00000000000000ff.wal");
	site_run(&site, "rm a/wal/00000000000000ff.wal");
	host_open(&a);
	host_close(&a);
}

Test(damage, a_flipped_last_group_alone_is_a_torn_tail_and_cut, .init = setup, .fini = teardown)
{
	struct crash c = { false };
	char *text;
	crash_after(write_and_die, &c);
	flip_last_acked();
	host_start(&a);
	cr_assert_eq(firn_stream_find(a.volume, "s", 1, &s), 0);
	cr_assert_eq(read_stream(&a, s, 0, &text), 0);
	cr_expect_str_eq(text, "first");
	free(text);
	cr_expect_eq(say(&a, s, "second"), 1);
	host_stop(&a, FIRN_DETACH_KEEP_WAL);
	host_start(&a); /* a sealed tail is never judged again */
	cr_assert_eq(read_stream(&a, s, 0, &text), 0);
	cr_expect_str_eq(text, "firstsecond");
	free(text);
	host_stop(&a, FIRN_DETACH_DRAIN);
}
