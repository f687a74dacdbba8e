/* wal_verify: what is sound, what is torn, what is rotten, and that it says where. (P5) */
#include "engine/base/le.h"
#include "engine/base/sum.h"
#include "engine/os/env.h"
#include "engine/wal/inspect.h"
#include "tests/unit/wal/make_wal.h"
#include "tests/unit/wal/resign.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

TestSuite(wal_inspect, .timeout = 60);

/* Three files of one run, five groups each: file n's group k stands at at[n][k]. */
struct world {
	char dir[256];
	struct walmake *m;
	uint64_t at[4][8];
	char text[4096];
	struct wal_report report;
	int rc;
};

static void add_groups(struct world *w, uint64_t no, int n)
{
	for (int k = 1; k <= n; k++) {
		walmake_write(w->m, 1 + (uint32_t)k % 2, NULL, 3);
		walmake_write(w->m, 1, NULL, 2);
		w->at[no][k] = walmake_group_end(w->m, 0);
	}
}

static void file(struct world *w, uint64_t no, uint64_t run, const struct wal_seal_body *seal)
{
	walmake_file_begin(w->m, no, run, seal, true);
	w->at[no][0] = WAL_PAGE;
	add_groups(w, no, 4);
	walmake_save(w->m, w->dir);
}

static struct world *world(void)
{
	struct world *w = calloc(1, sizeof *w);
	cr_assert(w);
	walmake_dir(w->dir);
	w->m = walmake_new(3);
	return w;
}

static struct world *three_files(void)
{
	struct world *w = world();
	for (uint64_t no = 1; no <= 3; no++)
		file(w, no, 1, NULL);
	return w;
}

static void note(void *arg, const char *text)
{
	struct world *w = arg;
	size_t n = strlen(w->text);
	(void)snprintf(w->text + n, sizeof w->text - n, "%s\n", text);
}

static int verify(struct world *w)
{
	struct firn_error err = FIRN_ERROR_INIT;
	wal_report_fini(&w->report);
	w->text[0] = 0;
	w->rc = wal_verify(env_default(), w->dir, &w->report, note, w, &err);
	cr_assert((w->rc == FIRN_ECORRUPT) == (w->text[0] != 0));
	cr_assert(w->rc == 0 || err.text[0]);
	return w->rc;
}

static void done(struct world *w)
{
	wal_report_fini(&w->report);
	walmake_dir_remove(w->dir);
	walmake_free(w->m);
	free(w);
}

static void says(struct world *w, const char *a, const char *b)
{
	cr_assert(strstr(w->text, a) && strstr(w->text, b), "wanted '%s' and '%s' in:\n%s", a, b,
	          w->text);
}

static const char *number(char out[32], uint64_t pos)
{
	(void)snprintf(out, 32, "at %llu:", (unsigned long long)pos);
	return out;
}

Test(wal_inspect, a_sound_wal_of_three_files_is_told_in_full)
{
	struct world *w = three_files();
	cr_assert(verify(w) == 0, "%s", w->text);
	const struct wal_report *r = &w->report;
	cr_assert(r->n_files == 3 && r->n_spare == 0 && r->n_holes == 0 && r->n_problems == 0);
	cr_assert(r->n_groups == 15 && r->n_records == 27);
	cr_assert(r->first_lsn == (UINT64_C(1) << 32 | WAL_PAGE) && r->end_lsn == w->m->end_lsn);
	cr_assert(r->run == 1 && !r->closed && strstr(r->note, "no end mark"));
	cr_assert(r->n_row == 3 && r->row[0].rev == w->m->row[0].rev && r->row[2].rev == 0);
	cr_assert_str_eq(r->row[1].name, "volume-2");
	done(w);
}

Test(wal_inspect, the_sample_is_sound_and_closed)
{
	struct world *w = world();
	size_t len = wal_sample(w->m->file);
	memset(w->m->file + len, 0, WALMAKE_FILE - len);
	w->m->no = 2;
	walmake_save(w->m, w->dir);
	cr_assert(verify(w) == 0, "%s", w->text);
	cr_assert(w->report.closed && w->report.n_groups == 5 && w->report.n_row == 2 &&
	          w->report.n_directories == 1);
	cr_assert(w->report.row[0].rev == 11 && w->report.row[1].rev == 21);
	done(w);
}

/* The sample's directory stands at 4000 hex, its one page at 5000. */
Test(wal_inspect, a_damaged_directory_is_named_as_that)
{
	struct world *w = world();
	size_t len = wal_sample(w->m->file);
	memset(w->m->file + len, 0, WALMAKE_FILE - len);
	w->m->no = 2;
	walmake_save(w->m, w->dir);
	const uint64_t at[] = { 0x4000, 0x4028, 0x40c4, 0x5000, 0x5fff };
	for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
		walmake_flip(w->dir, 2, at[i], 4);
		cr_assert(verify(w) == FIRN_ECORRUPT);
		says(w, "0000000000000002.wal: at 16384", "directory is damaged");
		cr_assert(w->report.n_problems == 1, "%s", w->text);
		walmake_flip(w->dir, 2, at[i], 4);
	}
	cr_assert(verify(w) == 0);
	done(w);
}

/* Sound in itself, but it says what is not true of the groups. */
Test(wal_inspect, a_directory_that_contradicts_its_groups_is_named)
{
	struct world *w = world();
	size_t len = wal_sample(w->m->file);
	uint8_t *group = w->m->file + 0x4000, *end = w->m->file + 0x6000;
	memset(w->m->file + len, 0, WALMAKE_FILE - len);
	group[0x1000 + 24]++; /* where its first place ends */
	le64_put(group + 192 + 16 + 24, sum64(group + 0x1000, 4096));
	resign_group(group, 8192);
	memcpy(end + 56, group + 120, 8);
	resign_group(end, 4096);
	w->m->no = 2;
	walmake_save(w->m, w->dir);
	cr_assert(verify(w) == FIRN_ECORRUPT);
	says(w, "at 16384", "other places than its groups");
	done(w);
}

Test(wal_inspect, a_flipped_bit_in_the_middle_is_damage_with_file_and_position)
{
	struct world *w = three_files();
	char at[32];
	for (int k = 0; k < 4; k++) {
		walmake_flip(w->dir, 2, w->at[2][k] + 300, 4);
		cr_assert(verify(w) == FIRN_ECORRUPT);
		says(w, "0000000000000002.wal", number(at, w->at[2][k]));
		says(w, "damage, not a torn tail", "a valid group follows");
		walmake_flip(w->dir, 2, w->at[2][k] + 300, 4);
	}
	cr_assert(verify(w) == 0);
	done(w);
}

Test(wal_inspect, the_writes_that_damage_swallowed_are_named)
{
	struct world *w = three_files();
	walmake_flip(w->dir, 2, w->at[2][2], 1); /* its magic: revs 11 and 12 of volume 1, 12 ... */
	cr_assert(verify(w) == FIRN_ECORRUPT);
	says(w, "volume 1 \"volume-1\": writes", "are missing");
	done(w);
}

Test(wal_inspect, the_last_group_of_a_full_file_is_missed_by_the_next_file)
{
	struct world *w = three_files();
	char at[32];
	walmake_flip(w->dir, 2, w->at[2][4] + 200, 1);
	cr_assert(verify(w) == FIRN_ECORRUPT);
	says(w, "0000000000000002.wal", number(at, w->at[2][4]));
	says(w, "the next file continues a group that is missing here", "are missing before this");
	done(w);
}

Test(wal_inspect, a_bad_last_group_is_a_torn_tail_and_no_problem)
{
	struct world *w = three_files();
	walmake_flip(w->dir, 3, w->at[3][4] + 200, 1);
	cr_assert(verify(w) == 0, "%s", w->text);
	cr_assert(strstr(w->report.note, "torn tail"), "%s", w->report.note);
	cr_assert(w->report.n_groups == 14 &&
	          w->report.end_lsn == (UINT64_C(3) << 32 | w->at[3][4]));
	done(w);
}

Test(wal_inspect, a_damaged_file_header_with_groups_behind_it_is_damage)
{
	struct world *w = three_files();
	for (uint64_t no = 1; no <= 3; no++) {
		char name[32];
		walmake_flip(w->dir, no, 70, 1);
		cr_assert(verify(w) == FIRN_ECORRUPT);
		(void)snprintf(name, sizeof name, "%016llx.wal", (unsigned long long)no);
		says(w, name, "file header is damaged");
		walmake_flip(w->dir, no, 70, 1);
	}
	done(w);
}

Test(wal_inspect, stale_groups_of_an_earlier_lap_are_not_of_the_log)
{
	struct world *w = world();
	file(w, 1, 1, NULL);
	walmake_file_begin(w->m, 2, 1, NULL, true); /* a lap later, over the same bytes */
	walmake_save(w->m, w->dir);
	cr_assert(verify(w) == 0, "%s", w->text);
	cr_assert(w->report.n_files == 2 && w->report.n_groups == 6);
	cr_assert(strstr(w->report.note, "no end mark"));
	done(w);
}

Test(wal_inspect, files_that_do_not_carry_their_own_number_are_spare)
{
	struct world *w = three_files();
	uint64_t no = w->m->no;
	w->m->no = 9; /* renamed, not yet begun */
	walmake_save(w->m, w->dir);
	w->m->no = 10;
	memset(w->m->file, 0, WALMAKE_FILE);
	walmake_save(w->m, w->dir);
	w->m->no = no;
	cr_assert(verify(w) == 0, "%s", w->text);
	cr_assert(w->report.n_files == 3 && w->report.n_spare == 2 && w->report.n_holes == 0);
	done(w);
}

Test(wal_inspect, a_recycled_file_leaves_a_hole_and_no_problem)
{
	struct world *w = three_files();
	char path[600];
	wal_file_path(w->dir, 2, path, sizeof path);
	cr_assert(remove(path) == 0);
	cr_assert(verify(w) == 0, "%s", w->text);
	cr_assert(w->report.n_files == 2 && w->report.n_holes == 1);
	done(w);
}

Test(wal_inspect, a_seal_ends_a_run_and_what_lies_beyond_is_not_judged)
{
	struct world *w = world();
	file(w, 1, 1, NULL);
	struct wal_seal_body seal = { 1, w->m->end_lsn, w->m->prev_sum };
	walmake_write(w->m, 2, NULL, 1); /* lands after the recovery that sealed */
	(void)walmake_group_end(w->m, 0);
	walmake_save(w->m, w->dir);
	w->m->row[1].rev--;
	file(w, 2, 2, &seal);
	cr_assert(verify(w) == 0, "%s", w->text);
	cr_assert(w->report.n_groups == 10 && w->report.run == 2);
	char at[32];
	walmake_flip(w->dir, 1, w->at[1][4] + 99, 1); /* the last sealed one: never torn */
	cr_assert(verify(w) == FIRN_ECORRUPT);
	says(w, number(at, w->at[1][4]), "the run was sealed at");
	done(w);
}

Test(wal_inspect, a_seal_that_names_another_group_is_a_problem)
{
	struct world *w = world();
	file(w, 1, 1, NULL);
	struct wal_seal_body seal = { 1, w->m->end_lsn, w->m->prev_sum ^ 1 };
	file(w, 2, 2, &seal);
	cr_assert(verify(w) == FIRN_ECORRUPT);
	says(w, "0000000000000001.wal", "the seal of this run names another last group");
	done(w);
}

Test(wal_inspect, a_run_that_begins_without_a_seal_is_a_problem)
{
	struct world *w = world();
	file(w, 1, 1, NULL);
	file(w, 2, 2, NULL);
	cr_assert(verify(w) == FIRN_ECORRUPT);
	says(w, "0000000000000001.wal", "without a seal");
	done(w);
}

Test(wal_inspect, a_skipped_rev_is_missed_unless_the_incarnation_is_new)
{
	struct world *w = world();
	walmake_file_begin(w->m, 1, 1, NULL, false);
	add_groups(w, 1, 2);
	w->m->row[0].rev += 3;
	w->m->row[0].nonce[0] ^= 0x80; /* attached anew, others wrote meanwhile */
	add_groups(w, 1, 2);
	walmake_save(w->m, w->dir);
	cr_assert(verify(w) == 0, "%s", w->text);
	w->m->row[0].rev += 3;
	add_groups(w, 1, 1);
	walmake_save(w->m, w->dir);
	cr_assert(verify(w) == FIRN_ECORRUPT);
	says(w, "volume 1 \"volume-1\": writes 10..12 are missing", "0000000000000001.wal");
	done(w);
}

Test(wal_inspect, a_rev_that_comes_twice_is_a_problem)
{
	struct world *w = world();
	walmake_file_begin(w->m, 1, 1, NULL, false);
	add_groups(w, 1, 2);
	w->m->row[0].rev--;
	add_groups(w, 1, 1);
	walmake_save(w->m, w->dir);
	cr_assert(verify(w) == FIRN_ECORRUPT);
	says(w, "stands behind write", "volume 1");
	done(w);
}

/* A whole file of another WAL, as the one of this number. */
static void add_foreign(struct world *w, uint64_t no)
{
	size_t len = wal_sample(w->m->file);
	memset(w->m->file + len, 0, WALMAKE_FILE - len);
	w->m->no = no;
	walmake_save(w->m, w->dir);
}

Test(wal_inspect, files_of_two_wals_in_one_directory_are_a_problem)
{
	struct world *w = world();
	file(w, 1, 1, NULL);
	add_foreign(w, 2);
	cr_assert(verify(w) == FIRN_ECORRUPT);
	says(w, "0000000000000002.wal", "file of another WAL");
	done(w);
}

Test(wal_inspect, one_of_another_wal_under_a_free_number_is_no_spare)
{
	struct world *w = world();
	file(w, 1, 1, NULL);
	add_foreign(w, 3);
	cr_assert(verify(w) == FIRN_ECORRUPT);
	says(w, "0000000000000003.wal", "file of another WAL");
	done(w);
}

Test(wal_inspect, verification_changes_nothing_and_a_missing_directory_is_enoent)
{
	struct world *w = three_files();
	char path[600];
	wal_file_path(w->dir, 2, path, sizeof path);
	cr_assert(chmod(path, 0400) == 0 && verify(w) == 0);
	struct wal_report r;
	struct firn_error err = FIRN_ERROR_INIT;
	cr_assert(wal_verify(env_default(), "/nonexistent/wal", &r, NULL, NULL, &err) ==
	          FIRN_ENOENT);
	wal_report_fini(&r);
	done(w);
}

/* Anywhere: one flipped bit of a live group is told, or is the torn tail. */
Test(wal_inspect, any_flipped_byte_of_the_log_is_told_or_is_the_tail)
{
	struct world *w = three_files();
	struct walmake_chance c = { 11 };
	for (int i = 0; i < 300; i++) {
		uint64_t no = 1 + walmake_below(&c, 3);
		uint64_t end = no == 3 ? w->at[3][4] : w->at[no][4] + WAL_PAGE;
		uint64_t pos = walmake_below(&c, (uint32_t)end);
		uint8_t mask = (uint8_t)(1u << walmake_below(&c, 8));
		walmake_flip(w->dir, no, pos, mask);
		cr_assert(verify(w) == FIRN_ECORRUPT, "file %llu pos %llu", (unsigned long long)no,
		          (unsigned long long)pos);
		walmake_flip(w->dir, no, pos, mask);
	}
	cr_assert(verify(w) == 0);
	done(w);
}

/* ---- aside files: revs 1 to 3 of one volume, a group each; the log goes on behind write `from` ---- */

enum { ASIDE = 0x80000000u };

static void aside_file(struct world *w, uint64_t no, uint64_t from, uint64_t to)
{
	w->m->prev_sum = 0;
	w->m->row[0].rev = from;
	walmake_file_begin(w->m, no, 1, NULL, false);
	for (int k = 1; w->m->row[0].rev < to; k++) {
		walmake_write(w->m, 1, NULL, 2);
		w->at[0][k] = walmake_group_end(w->m, 0);
	}
	walmake_save(w->m, w->dir);
}

static struct world *moved(uint64_t from)
{
	struct world *w = calloc(1, sizeof *w);
	cr_assert(w);
	walmake_dir(w->dir);
	w->m = walmake_new(1);
	aside_file(w, ASIDE, 0, 3);
	uint64_t at = w->at[0][3];
	aside_file(w, 1, from, 6);
	w->at[0][3] = at;
	cr_assert(verify(w) == 0, "%s", w->text);
	cr_assert(w->report.n_aside == 1 && w->report.n_files == 1 && w->report.row[0].rev == 6);
	return w;
}

Test(wal_inspect, a_torn_end_of_an_aside_file_is_none_while_its_writes_are_in_the_log)
{
	struct world *w = moved(2);
	walmake_flip(w->dir, ASIDE, w->at[0][3] + 200, 1);
	cr_assert(verify(w) == 0, "%s", w->text);
	cr_assert(strstr(w->report.note, "0000000080000000.aside: at "), "%s", w->report.note);
	done(w);
}

Test(wal_inspect, nor_while_they_are_in_a_later_aside_file)
{
	struct world *w = moved(3);
	walmake_flip(w->dir, ASIDE, w->at[0][3] + 200, 1);
	aside_file(w, ASIDE + 1, 2, 3);
	cr_assert(verify(w) == 0, "%s", w->text);
	done(w);
}

Test(wal_inspect, a_rotten_end_of_an_aside_file_is_damage)
{
	struct world *w = moved(3);
	char at[32];
	walmake_flip(w->dir, ASIDE, w->at[0][3] + 200, 1);
	cr_assert(verify(w) == FIRN_ECORRUPT);
	says(w, "0000000080000000.aside", number(at, w->at[0][3]));
	says(w, "damage", "writes from 3 on are missing");
	done(w);
}

Test(wal_inspect, a_bad_group_in_the_middle_of_an_aside_file_is_damage)
{
	struct world *w = moved(0);
	walmake_flip(w->dir, ASIDE, w->at[0][2] + 200, 1);
	cr_assert(verify(w) == FIRN_ECORRUPT);
	says(w, ".aside", "a valid group follows");
	done(w);
}
