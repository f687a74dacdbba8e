/* Index layers and what leaves a volume: the manifest stays small, an engine without an index, or elsewhere, reads layers
 * and sees the same; a flipped bit in one is named; what layers replace, and segments in which nothing lies any more, are
 * deleted after the grace time. (P6, P7, P9) */
#include "tests/integration/site.h"
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(layer, .timeout = 60);

enum { ROUNDS = 40 };

static const char *const small[] = { "layer_segments=2", "delete_grace_ms=0", "zstd_level=0",
	                             NULL };
static const char *const slow[] = { "layer_segments=2", "zstd_level=0", NULL };

static void begin(struct site *s, struct host *h, const char *const *options)
{
	site_make(s);
	host_init(h, s, "a");
	host_way(h, WAY_NO_THREADS); /* what is due is done before a call returns */
	h->opts.options = options;
	host_start(h);
}

static long number(const struct site *s, const char *command)
{
	site_pull(s);
	char *text = site_ask(s, "%s", command);
	long n = atol(text);
	free(text);
	return n;
}

#define LAYERS "find . -path '*/layer/*' -name '[0-9a-f]*-*' | wc -l"
#define SEGMENTS "find . -path '*/seg/*' -name '[0-9a-f]*-*' | wc -l"
#define MANIFEST "stat -c %s $(find . -name manifest -type f)"

/* One round each: streams come and go, keys change, one stream is trimmed. */
static void history(struct host *h, uint64_t room)
{
	for (int i = 0; i < ROUNDS; i++) {
		char text[32], key[16];
		(void)snprintf(text, sizeof text, "word%d ", i);
		(void)snprintf(key, sizeof key, "key%d", i % 7);
		(void)say(h, room, text);
		uint64_t other = new_stream(h, text);
		(void)say(h, other, "other ");
		struct firn_op ops[] = {
			op_kv(i % 5 ? FIRN_OP_KV_PUT : FIRN_OP_KV_DELETE, 0, key,
			      i % 5 ? text : NULL),
			op_trim(other, (uint64_t)(i & 1)),
			op_delete(other),
		};
		wrote(h, ops, i % 3 ? 2 : 3, NULL);
		store_all(h);
	}
}

static void verify(const struct site *s)
{
	site_run(s, "$FIRN_BIN_DIR/firn verify -s '%s' -v v >verified", s->uri);
}

Test(layer, a_manifest_stays_small_and_without_an_index_all_comes_back_from_layers)
{
	struct site s;
	struct host h, other;
	begin(&s, &h, small);
	uint64_t room = new_stream(&h, "room");
	history(&h, room);
	char *was = volume_text(&h, h.volume);
	cr_expect_gt(number(&s, LAYERS), 0);
	cr_expect_lt(number(&s, MANIFEST), 3000, "of %d rounds at 80 bytes", ROUNDS);
	host_stop(&h, FIRN_DETACH_DRAIN);
	verify(&s);
	site_run(&s, "rm -r a/index");
	host_start(&h);
	char *now = volume_text(&h, h.volume);
	expect_text(was, now, "after the index was lost");
	free(now);
	(void)say(&h, room, "on ");
	store_all(&h);
	free(was);
	was = volume_text(&h, h.volume);
	host_stop(&h, FIRN_DETACH_DRAIN);
	host_init(&other, &s, "b");
	other.opts.options = small;
	host_start(&other);
	now = volume_text(&other, other.volume);
	expect_text(was, now, "elsewhere");
	free(now);
	free(was);
	host_stop(&other, FIRN_DETACH_DRAIN);
	/* Back: the index of "a" is that of an older cut. */
	host_start(&h);
	(void)say(&h, room, "again ");
	host_stop(&h, FIRN_DETACH_DRAIN);
	verify(&s);
	site_remove(&s);
}

Test(layer, with_threads_and_a_crash_in_between_it_is_the_same)
{
	struct site s;
	struct host h;
	site_make(&s);
	host_init(&h, &s, "a");
	h.opts.options = small;
	host_start(&h);
	uint64_t room = new_stream(&h, "room");
	history(&h, room);
	char *was = volume_text(&h, h.volume);
	host_stop(&h, FIRN_DETACH_KEEP_WAL);
	site_run(&s, "rm -r a/index");
	host_start(&h);
	char *now = volume_text(&h, h.volume);
	expect_text(was, now, "after the index was lost");
	free(was);
	free(now);
	host_stop(&h, FIRN_DETACH_DRAIN);
	verify(&s);
	site_remove(&s);
}

/* A bit in the first, second or last quarter of it; or all of it. */
static void harm(const char *path, int damage)
{
	uint8_t byte;
	if (damage == 3) {
		cr_assert_eq(unlink(path), 0);
		return;
	}
	int fd = open(path, O_RDWR | O_CLOEXEC);
	off_t at = lseek(fd, 0, SEEK_END) * (2 * damage + 1) / 6;
	cr_assert_eq(pread(fd, &byte, 1, at), 1, "%s", path);
	byte ^= 4;
	cr_assert_eq(pwrite(fd, &byte, 1, at), 1, "%s", path);
	close(fd);
}

Test(layer, a_flipped_bit_or_a_missing_layer_is_named_and_the_attach_refused)
{
	struct site s;
	struct host h;
	begin(&s, &h, small);
	history(&h, new_stream(&h, "room"));
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_pull(&s);
	site_run(&s, "rm -r a/index && cp -r . ../keep.$$ && rm -rf saved && mv ../keep.$$ saved");
	for (int damage = 0; damage < 4; damage++) {
		struct firn_error err = FIRN_ERROR_INIT;
		char *files = site_ask(&s, "find $PWD/store -path '*/layer/*' -name '[0-9a-f]*-*'");
		for (char *save, *f = strtok_r(files, "\n", &save); f;
		     f = strtok_r(NULL, "\n", &save))
			harm(f, damage);
		free(files);
		site_push(&s);
		host_open(&h);
		int rc = host_try_attach(&h, "v", 0, NULL, &h.volume, &err);
		cr_expect_eq(rc, FIRN_ECORRUPT, "%s: %s", firn_code_name(rc), err.text);
		cr_expect(strstr(err.text, "layer/"), "%s", err.text);
		host_close(&h);
		char *told = site_ask(&s, "$FIRN_BIN_DIR/firn verify -s '%s' -v v || true", s.uri);
		cr_expect(strstr(told, "DAMAGED"), "%s", told);
		cr_expect(strstr(told, "layer/"), "%s", told);
		free(told);
		site_run(
		        &s,
		        "rm -rf a && for d in $(ls saved); do rm -rf ./$d; cp -r saved/$d .; done");
		site_push(&s);
	}
	site_remove(&s);
}

/* The list of the store after the grace time: what was deleted is nowhere. */
Test(layer, a_deleted_streams_segments_leave_the_store)
{
	struct site s;
	struct host h;
	begin(&s, &h, small);
	uint64_t tenant = new_stream(&h, "tenant"), room = new_stream(&h, "room");
	for (int i = 0; i < 8; i++) {
		(void)say(&h, tenant, "a-secret-of-the-tenant ");
		store_all(&h);
	}
	cr_expect_gt(
	        number(&s,
	               "grep -rl a-secret-of-the-tenant --include='*-*' v store/v 2>/dev/null | wc -l"),
	        0);
	wrote(&h, (struct firn_op[]){ op_delete(tenant) }, 1, NULL);
	for (int i = 0; i < 8; i++) {
		(void)say(&h, room, "a word ");
		store_all(&h);
	}
	long left = number(
	        &s,
	        "find . -path '*/seg/*' -name '[0-9a-f]*-*' | xargs grep -l -- a-secret-of-the-tenant | wc -l");
	cr_expect_eq(left, 0, "%ld segments still hold it", left);
	long all = number(&s, SEGMENTS);
	cr_expect_leq(all, 12, "%ld: 8 words, and what was not merged yet", all);
	char *text = NULL;
	cr_expect_eq(read_stream(&h, room, 0, &text), 0);
	cr_expect_str_eq(text, "a word a word a word a word a word a word a word a word ");
	free(text);
	host_stop(&h, FIRN_DETACH_DRAIN);
	verify(&s);
	site_remove(&s);
}

/* Before the grace time nothing goes; a new writer begins to count anew. */
Test(layer, nothing_is_deleted_before_its_time)
{
	struct site s;
	struct host h;
	begin(&s, &h, slow);
	uint64_t room = new_stream(&h, "room");
	for (int i = 0; i < 8; i++) {
		(void)say(&h, room, "word ");
		store_all(&h);
	}
	wrote(&h, (struct firn_op[]){ op_trim(room, 8) }, 1, NULL);
	for (int i = 0; i < 8; i++) {
		(void)say(&h, room, "more ");
		store_all(&h);
	}
	long layers = number(&s, LAYERS), segments = number(&s, SEGMENTS);
	cr_expect_geq(segments, 16);
	host_stop(&h, FIRN_DETACH_DRAIN);
	cr_expect_geq(number(&s, LAYERS), layers);
	cr_expect_geq(number(&s, SEGMENTS), segments);
	verify(&s);
	h.opts.options = small; /* no grace: what is on the dead list goes */
	host_start(&h);
	(void)say(&h, room, "more ");
	store_all(&h);
	(void)say(&h, room, "more ");
	store_all(&h);
	cr_expect_lt(number(&s, SEGMENTS), segments);
	host_stop(&h, FIRN_DETACH_DRAIN);
	verify(&s);
	site_remove(&s);
}
