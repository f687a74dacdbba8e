/* Flipped bits and cut files: named, or harmless; never a crash, never another answer. Each case
 * runs in a child, so that a crash is a failed test and not a dead one. (P6) */
#include "engine/base/le.h"
#include "engine/index/tx.h"
#include "engine/os/env.h"
#include "index_model.h"
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(index_damage, .timeout = 120);

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
enum { SLOW = 4 };
#else
enum { SLOW = 1 };
#endif

/* A file with everything in it: two volumes, a forgotten third, free pages, overflow values. */
struct bed {
	char dir[128], file[160];
	struct model m[2];
	uint8_t *bytes;
	size_t len;
};

static void must_apply(struct model *m, struct index *ix)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct model_commit mc;
	model_round(m, &mc);
	cr_assert_eq(index_apply(ix, &mc.c, &err), 0, "%s", err.text);
	model_commit_fini(&mc);
}

static struct index *must_open(const char *dir)
{
	struct index *ix;
	struct firn_error err = FIRN_ERROR_INIT;
	cr_assert_eq(index_open(env_default(), dir, &ix, &err), 0, "%s", err.text);
	return ix;
}

static void bed_make(struct bed *b, uint64_t seed, int rounds)
{
	struct model gone;
	struct firn_error err = FIRN_ERROR_INIT;
	model_dir_make(b->dir);
	(void)snprintf(b->file, sizeof b->file, "%s/data.mdb", b->dir);
	struct index *ix = must_open(b->dir);
	model_init(&gone, seed + 100);
	for (uint64_t i = 0; i < 2; i++)
		model_init(&b->m[i], seed + i);
	for (int i = 0; i < rounds; i++) {
		must_apply(&b->m[i & 1], ix);
		must_apply(&gone, ix);
	}
	cr_assert_eq(index_forget(ix, gone.volume_id, &err), 0, "%s", err.text);
	must_apply(&b->m[0], ix);
	index_close(ix);
	model_fini(&gone);
	FILE *f = fopen(b->file, "rb");
	cr_assert_not_null(f);
	struct stat st;
	cr_assert_eq(fstat(fileno(f), &st), 0);
	b->len = (size_t)st.st_size;
	b->bytes = malloc(b->len);
	cr_assert_eq(fread(b->bytes, 1, b->len, f), b->len);
	fclose(f);
}

static void bed_restore(const struct bed *b, size_t len)
{
	int fd = open(b->file, O_WRONLY);
	cr_assert(fd >= 0);
	cr_assert_eq(write(fd, b->bytes, len), (ssize_t)len);
	cr_assert_eq(ftruncate(fd, (off_t)len), 0);
	close(fd);
}

static void bed_remove(struct bed *b)
{
	model_dir_remove(b->dir);
	model_fini(&b->m[0]);
	model_fini(&b->m[1]);
	free(b->bytes);
}

enum outcome { SAME = 0, NAMED = 10, WRONG = 20, OTHER = 30 };

static enum outcome judge(int rc, const struct firn_error *err, const char *why)
{
	if (rc == 0)
		return SAME;
	if ((rc == FIRN_ECORRUPT || rc == FIRN_EUNSUPPORTED) && err->text[0])
		return NAMED;
	fprintf(stderr, "result %d: %s %s\n", rc, why, err->text);
	return rc == MODEL_WRONG ? WRONG : OTHER;
}

static enum outcome compare_both(const struct bed *b, struct index *ix)
{
	char why[256] = "";
	struct firn_error err = FIRN_ERROR_INIT;
	for (int v = 0; v < 2; v++) {
		struct model m = b->m[v];
		int rc = model_compare(&m, ix, why, &err);
		if (rc)
			return judge(rc, &err, why);
	}
	return SAME;
}

/* Open, compare, go on with two commits, open again, compare. */
static enum outcome live_on(struct bed *b)
{
	struct index *ix;
	struct firn_error err = FIRN_ERROR_INIT;
	for (int turn = 0; turn < 2; turn++) {
		int rc = index_open(env_default(), b->dir, &ix, &err);
		if (rc)
			return judge(rc, &err, "open");
		enum outcome got = compare_both(b, ix);
		for (int i = 0; i < 2 && got == SAME && turn == 0; i++) {
			struct model_commit mc;
			model_round(&b->m[i], &mc);
			got = judge(index_apply(ix, &mc.c, &err), &err, "apply");
			model_commit_fini(&mc);
		}
		index_close(ix);
		if (got)
			return got;
	}
	return SAME;
}

/* Files that an index is running on: the flip comes after open, then the whole is verified. */
static size_t late_at;
static uint8_t late_bit;
static enum outcome verify_late(struct bed *b)
{
	struct index *ix;
	struct index_stats st;
	struct firn_error err = FIRN_ERROR_INIT;
	int rc = index_open(env_default(), b->dir, &ix, &err);
	if (rc)
		return OTHER;
	int fd = open(b->file, O_WRONLY);
	uint8_t byte = b->bytes[late_at] ^ late_bit;
	if (fd < 0 || pwrite(fd, &byte, 1, (off_t)late_at) != 1)
		return OTHER;
	rc = index_verify(ix, &st, &err);
	return rc ? judge(rc, &err, "verify") : compare_both(b, ix);
}

static enum outcome in_child(struct bed *b, enum outcome (*body)(struct bed *b))
{
	pid_t pid = fork();
	cr_assert(pid >= 0);
	if (pid == 0)
		_exit((int)body(b));
	int status;
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? (enum outcome)WEXITSTATUS(status) : OTHER;
}

static void flip(struct bed *b, size_t at, uint8_t bit, int n[2])
{
	b->bytes[at] ^= bit;
	bed_restore(b, b->len);
	enum outcome got = in_child(b, live_on);
	b->bytes[at] ^= bit;
	cr_assert(got == SAME || got == NAMED, "bit %u of byte %zu (page %zu): outcome %d", bit, at,
	          at / 4096, (int)got);
	n[got == NAMED]++;
}

Test(index_damage, every_bit_of_the_meta_pages_is_named_or_harmless)
{
	struct bed b;
	int n[2] = { 0 };
	bed_make(&b, 11, 2);
	for (size_t page = 0; page < 2; page++)
		for (size_t at = 0; at < 16 + 136; at++)
			for (unsigned bit = 0; bit < 8; bit += SLOW)
				flip(&b, page * 4096 + at, (uint8_t)(1u << (bit + at % SLOW)), n);
	printf("meta pages: %d named, %d harmless\n", n[1], n[0]);
	cr_assert_gt(n[1], n[0]);
	bed_remove(&b);
}

Test(index_damage, a_flipped_bit_anywhere_is_named_or_harmless)
{
	struct bed b;
	int n[2] = { 0 };
	bed_make(&b, 21, 12);
	struct model rng = { .rng = 4 };
	for (int i = 0; i < 1500 / SLOW; i++)
		flip(&b, model_random(&rng, b.len), (uint8_t)(1u << model_random(&rng, 8)), n);
	printf("%zu KiB: %d named, %d harmless\n", b.len >> 10, n[1], n[0]);
	cr_assert_gt(n[1], 100 / SLOW);
	bed_remove(&b);
}

/* Headers, node tables and keys: what LMDB believes blindly. */
Test(index_damage, a_flipped_bit_in_the_head_of_a_page_is_named_or_harmless)
{
	struct bed b;
	int n[2] = { 0 };
	bed_make(&b, 31, 12);
	struct model rng = { .rng = 5 };
	for (int i = 0; i < 1500 / SLOW; i++) {
		size_t page = 2 + model_random(&rng, b.len / 4096 - 2);
		flip(&b, page * 4096 + model_random(&rng, 64),
		     (uint8_t)(1u << model_random(&rng, 8)), n);
	}
	printf("page heads: %d named, %d harmless\n", n[1], n[0]);
	bed_remove(&b);
}

/* Where the map of the file begins, so that a row's pointer becomes a place in the file. */
static const uint8_t *map_base(const char *file)
{
	char line[512];
	const uint8_t *base = NULL;
	FILE *f = fopen("/proc/self/maps", "r");
	cr_assert_not_null(f);
	while (!base && fgets(line, sizeof line, f))
		if (strstr(line, file))
			base = (const uint8_t *)(uintptr_t)strtoull(line, NULL, 16);
	fclose(f);
	cr_assert_not_null(base);
	return base;
}

struct place {
	size_t key, key_len, value, value_len;
};

/* Every row there is. */
static size_t places(const struct bed *b, struct place *out, size_t max)
{
	struct index_tx tx;
	struct index_row r;
	struct firn_error err = FIRN_ERROR_INIT;
	struct index *ix = must_open(b->dir);
	const uint8_t *base = map_base(b->file);
	size_t n = 0;
	cr_assert_eq(index_tx_read(ix, &tx, &err), 0);
	tx.key.len = 1;
	tx.key.data[0] = 0;
	for (int rc = index_tx_ge(&tx, 0, &r); rc == 0 && n < max; rc = index_tx_next(&tx, 0, &r))
		out[n++] = (struct place){ (size_t)(r.key - base), r.key_len,
			                   (size_t)(r.value - base), r.value_len };
	index_tx_end(&tx);
	index_close(ix);
	return n;
}

Test(index_damage, every_flipped_bit_of_a_row_is_named)
{
	struct bed b;
	static struct place place[4000];
	int n[2] = { 0 };
	bed_make(&b, 41, 12);
	struct model rng = { .rng = 6 };
	size_t n_rows = places(&b, place, 4000);
	cr_assert_gt(n_rows, 200);
	for (int i = 0; i < 1500 / SLOW; i++) {
		const struct place *p = &place[model_random(&rng, n_rows)];
		int in_key = model_random(&rng, 4) == 0;
		size_t at = in_key ? p->key + model_random(&rng, p->key_len)
		                   : p->value + model_random(&rng, p->value_len);
		flip(&b, at, (uint8_t)(1u << model_random(&rng, 8)), n);
		cr_assert_eq(n[0], 0, "byte %zu: not named", at);
	}
	bed_remove(&b);
}

/* Not a case of open: the bit flips under a running index, and nothing but look-ups comes after it.
 * */
static enum outcome lookups_late(struct bed *b)
{
	struct index *ix;
	struct firn_error err = FIRN_ERROR_INIT;
	if (index_open(env_default(), b->dir, &ix, &err))
		return OTHER;
	int fd = open(b->file, O_WRONLY);
	uint8_t byte = b->bytes[late_at] ^ late_bit;
	if (fd < 0 || pwrite(fd, &byte, 1, (off_t)late_at) != 1)
		return OTHER;
	enum outcome got = compare_both(b, ix);
	index_close(ix);
	return got;
}

Test(index_damage, lookups_never_give_what_a_flipped_row_says)
{
	struct bed b;
	static struct place place[4000];
	int n[2] = { 0 };
	bed_make(&b, 43, 12);
	struct model rng = { .rng = 16 };
	size_t n_rows = places(&b, place, 4000);
	for (int i = 0; i < 1500 / SLOW; i++) {
		const struct place *p = &place[1 + model_random(&rng, n_rows - 1)];
		late_at = model_random(&rng, 2)
		                  ? p->key + INDEX_KEY_HEAD +
		                            model_random(&rng, p->key_len - INDEX_KEY_HEAD)
		                  : p->value + model_random(&rng, p->value_len);
		late_bit = (uint8_t)(1u << model_random(&rng, 8));
		bed_restore(&b, b.len);
		enum outcome got = in_child(&b, lookups_late);
		cr_assert(got == SAME || got == NAMED, "bit %u of byte %zu: outcome %d", late_bit,
		          late_at, (int)got);
		n[got == NAMED]++;
	}
	printf("look-ups: %d named, %d not met\n", n[1], n[0]);
	bed_remove(&b);
}

Test(index_damage, verify_beside_a_running_index_names_what_open_would_name)
{
	struct bed b;
	int n[2] = { 0 };
	bed_make(&b, 51, 12);
	struct model rng = { .rng = 7 };
	for (int i = 0; i < 800 / SLOW; i++) {
		late_at = model_random(&rng, b.len);
		late_bit = (uint8_t)(1u << model_random(&rng, 8));
		bed_restore(&b, b.len);
		enum outcome got = in_child(&b, verify_late);
		cr_assert(got == SAME || got == NAMED, "bit %u of byte %zu: outcome %d", late_bit,
		          late_at, (int)got);
		n[got == NAMED]++;
	}
	printf("running: %d named, %d harmless\n", n[1], n[0]);
	bed_remove(&b);
}

Test(index_damage, a_cut_file_is_named_or_cut_where_nothing_was)
{
	struct bed b;
	int n[2] = { 0 };
	bed_make(&b, 61, 12);
	struct model rng = { .rng = 8 };
	for (int i = 0; i < 200 / SLOW; i++) {
		size_t len = i < 20 ? (size_t)i * 500 : model_random(&rng, b.len);
		if (len == 0)
			continue;
		bed_restore(&b, len);
		enum outcome got = in_child(&b, live_on);
		cr_assert(got == SAME || got == NAMED, "cut at %zu: outcome %d", len, (int)got);
		n[got == NAMED]++;
	}
	printf("cut: %d named, %d harmless\n", n[1], n[0]);
	cr_assert_gt(n[1], n[0]);
	bed_remove(&b);
}

Test(index_damage, pages_of_noise_are_named_or_harmless)
{
	struct bed b;
	int n[2] = { 0 };
	bed_make(&b, 71, 12);
	struct model rng = { .rng = 9 };
	for (int i = 0; i < 300 / SLOW; i++) {
		uint8_t saved[4096];
		size_t page = model_random(&rng, b.len / 4096), from = model_random(&rng, 4096);
		uint8_t *at = b.bytes + page * 4096;
		memcpy(saved, at, sizeof saved);
		for (size_t j = from; j < 4096 && j < from + 64; j++)
			at[j] = (uint8_t)model_random(&rng, 256);
		if (i % 4 == 0) /* a misdirected write: another page of the same file */
			memcpy(at, b.bytes + model_random(&rng, b.len / 4096) * 4096, 4096);
		bed_restore(&b, b.len);
		enum outcome got = in_child(&b, live_on);
		memcpy(at, saved, sizeof saved);
		cr_assert(got == SAME || got == NAMED, "page %zu from %zu: outcome %d", page, from,
		          (int)got);
		n[got == NAMED]++;
	}
	printf("noise: %d named, %d harmless\n", n[1], n[0]);
	bed_remove(&b);
}

/* The disk takes so many bytes and no more, in the middle of a commit. */
static rlim_t full_at;
static enum outcome apply_on_full_disk(struct bed *b)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct model_commit mc;
	struct index *ix;
	if (index_open(env_default(), b->dir, &ix, &err))
		return OTHER;
	struct rlimit all, some;
	(void)signal(SIGXFSZ, SIG_IGN);
	(void)getrlimit(RLIMIT_FSIZE, &all);
	some = all;
	some.rlim_cur = full_at;
	enum outcome got = SAME;
	for (int i = 0; i < 4 && got == SAME; i++) {
		struct model before = b->m[0];
		model_round(&b->m[0], &mc);
		(void)setrlimit(RLIMIT_FSIZE, &some);
		int rc = index_apply(ix, &mc.c, &err);
		(void)setrlimit(RLIMIT_FSIZE, &all);
		if (rc && rc != FIRN_ENOSPC && rc != FIRN_EIO)
			return judge(MODEL_WRONG, &err, "full disk");
		struct index_volume v;
		if (index_volume_get(ix, before.volume_id, &v, &err) ||
		    v.seq != (rc ? before.seq : b->m[0].seq))
			return WRONG;
		if (rc && index_apply(ix, &mc.c, &err)) /* room again */
			return judge(MODEL_WRONG, &err, "after");
		model_commit_fini(&mc);
		got = compare_both(b, ix);
	}
	index_close(ix);
	return got == SAME ? live_on(b) : got;
}

Test(index_damage, a_disk_that_fills_up_in_a_commit_leaves_the_state_before)
{
	struct bed b;
	bed_make(&b, 91, 10);
	for (int i = 0; i < 60; i++) {
		bed_restore(&b, b.len);
		full_at = b.len - (rlim_t)b.len / 3 + (rlim_t)i * 4096 + 100;
		enum outcome got = in_child(&b, apply_on_full_disk);
		cr_assert_eq(got, SAME, "full at %zu: outcome %d", (size_t)full_at, (int)got);
	}
	bed_remove(&b);
}

Test(index_damage, the_name_of_a_damaged_row_is_in_the_error)
{
	struct bed b;
	struct index *ix;
	struct firn_error err = FIRN_ERROR_INIT;
	bed_make(&b, 81, 1);
	int named = 0;
	for (size_t at = 8192; at + 8 < b.len; at++) {
		if (memcmp(b.bytes + at, "room/", 5) != 0)
			continue;
		b.bytes[at + 5] ^= 1;
		bed_restore(&b, b.len);
		int rc = index_open(env_default(), b.dir, &ix, &err);
		if (rc == 0)
			index_close(ix);
		else
			named += rc == FIRN_ECORRUPT &&
			         strstr(err.text, "stream row of volume ") != NULL;
		b.bytes[at + 5] ^= 1;
	}
	cr_assert_gt(named, 0, "%s", err.text);
	bed_remove(&b);
}

Test(index_damage, a_newer_format_is_refused_by_its_number)
{
	char dir[128];
	struct index_tx tx;
	struct index *ix;
	struct firn_error err = FIRN_ERROR_INIT;
	model_dir_make(dir);
	ix = must_open(dir);
	cr_assert_eq(index_tx_write(ix, &tx, &err), 0);
	tx.meta.version = INDEX_FORMAT + 1;
	cr_assert_eq(index_tx_commit(&tx), 0);
	index_close(ix);
	cr_assert_eq(index_open(env_default(), dir, &ix, &err), FIRN_EUNSUPPORTED);
	cr_assert_not_null(strstr(err.text, "index format 2 is newer"), "%s", err.text);
	model_dir_remove(dir);
}

Test(index_damage, two_engines_cannot_open_one_index)
{
	char dir[128];
	struct index *ix, *second;
	struct firn_error err = FIRN_ERROR_INIT;
	model_dir_make(dir);
	ix = must_open(dir);
	cr_assert_eq(index_open(env_default(), dir, &second, &err), FIRN_EBUSY);
	index_close(ix);
	ix = must_open(dir);
	index_close(ix);
	model_dir_remove(dir);
}
