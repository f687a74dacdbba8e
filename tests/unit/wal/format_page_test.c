/* FORMAT.md shows the bytes that this code writes: its dump is made anew and compared. To renew it:
 * FIRN_RENEW=1 build/tests/unit-wal-format_page_test, then read the difference. */
#include "engine/os/env.h"
#include "engine/wal/inspect.h"
#include "tests/unit/wal/make_wal.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(wal_format_page, .timeout = 60);

#define END "```\n<!-- end -->\n"

struct text {
	char *data;
	size_t len, cap;
};

static void add(void *arg, const char *line)
{
	struct text *t = arg;
	size_t n = strlen(line);
	if (t->len + n + 2 > t->cap) {
		t->cap = t->cap * 2 + n + 4096;
		t->data = realloc(t->data, t->cap);
		cr_assert(t->data);
	}
	memcpy(t->data + t->len, line, n);
	t->len += n;
	t->data[t->len++] = '\n';
	t->data[t->len] = 0;
}

static void page_path(char *out, size_t cap)
{
#ifdef FIRN_SOURCE_DIR
	const char *dir = FIRN_SOURCE_DIR;
#else
	const char *dir = getenv("FIRN_SOURCE_DIR");
#endif
	(void)snprintf(out, cap, "%s/engine/wal/FORMAT.md", dir ? dir : ".");
}

static struct text page(void)
{
	char path[4096];
	struct text t = { NULL, 0, 1 << 20 };
	page_path(path, sizeof path);
	FILE *f = fopen(path, "r");
	cr_assert(f, "%s: run in the source directory or set FIRN_SOURCE_DIR", path);
	t.data = malloc(t.cap);
	cr_assert(t.data);
	t.len = fread(t.data, 1, t.cap - 1, f);
	t.data[t.len] = 0;
	fclose(f);
	return t;
}

static void renew(const struct text *old, const char *begin, const char *end,
                  const struct text *dump)
{
	char path[4096];
	page_path(path, sizeof path);
	FILE *f = fopen(path, "w");
	cr_assert(f);
	fwrite(old->data, 1, (size_t)(begin - old->data), f);
	fwrite(dump->data, 1, dump->len, f);
	fputs(end, f);
	fclose(f);
}

typedef void dumps(const uint8_t *bytes, size_t len, void (*line)(void *arg, const char *text),
                   void *arg);

static void compare(const char *mark, dumps *how, const uint8_t *file, size_t len)
{
	struct text dump = { NULL, 0, 0 }, t = page();
	how(file, len, add, &dump);
	char *begin = strstr(t.data, mark);
	cr_assert(begin, "no dump in FORMAT.md");
	begin += strlen(mark);
	char *end = strstr(begin, END);
	cr_assert(end, "the dump in FORMAT.md does not end");
	if (getenv("FIRN_RENEW"))
		renew(&t, begin, end, &dump);
	else
		cr_assert(dump.len == (size_t)(end - begin) && !memcmp(dump.data, begin, dump.len),
		          "FORMAT.md and the code differ; this is what the code writes:\n%s",
		          dump.data);
	free(t.data);
	free(dump.data);
}

Test(wal_format_page, the_dumps_in_format_md_are_what_this_code_writes)
{
	static _Alignas(4096) uint8_t file[WAL_SAMPLE_MAX];
	compare("<!-- dump: wal -->\n```\n", wal_dump_bytes, file, wal_sample(file));
	compare("<!-- dump: aside -->\n```\n", wal_dump_bytes, file, wal_sample_aside(file));
	compare("<!-- dump: slot -->\n```\n", wal_dump_slot, file, wal_sample_slot(file));
	compare("<!-- dump: seal -->\n```\n", wal_dump_slot, file, wal_sample_seal(file));
}

Test(wal_format_page, the_dump_of_a_file_is_that_of_its_bytes)
{
	struct text a = { NULL, 0, 0 }, b = { NULL, 0, 0 };
	struct walmake *m = walmake_new(0);
	char dir[256], path[600];
	size_t len = wal_sample(m->file);
	memset(m->file + len, 0, WALMAKE_FILE - len);
	m->no = 2;
	walmake_dir(dir);
	walmake_save(m, dir);
	wal_file_path(dir, 2, path, sizeof path);
	wal_dump_bytes(m->file, WALMAKE_FILE, add, &a);
	cr_assert(wal_dump(env_default(), path, add, &b, NULL) == 0);
	cr_assert(a.len == b.len && !memcmp(a.data, b.data, a.len));
	struct firn_error err = FIRN_ERROR_INIT;
	cr_assert(wal_dump(env_default(), "/nonexistent", add, &b, &err) < 0);
	walmake_dir_remove(dir);
	walmake_free(m);
	free(a.data);
	free(b.data);
}

Test(wal_format_page, a_dump_stops_at_the_first_bad_group_and_says_why)
{
	static _Alignas(4096) uint8_t file[WAL_SAMPLE_MAX];
	struct text t = { NULL, 0, 0 };
	size_t len = wal_sample(file);
	file[3 * 4096 + 300] ^= 1;
	wal_dump_bytes(file, len, add, &t);
	cr_assert(strstr(t.data,
	                 "no group of this file: record at 128 of the group: checksum mismatch"),
	          "%s", t.data);
	free(t.data);
}
