#include "tests/unit/manifest/sample.h"
#include <criterion/criterion.h>
#include <stdlib.h>

struct text {
	char *data;
	size_t len, n_lines;
};

static void add_line(void *arg, const char *line)
{
	struct text *t = arg;
	size_t n = strlen(line);

	cr_assert_null(strchr(line, '\n'), "one line");
	t->data = realloc(t->data, t->len + n + 2);
	memcpy(t->data + t->len, line, n);
	t->data[t->len + n] = '\n';
	t->data[t->len += n + 1] = 0;
	t->n_lines++;
}

static struct buf sample_bytes(void)
{
	struct manifest m;
	struct buf b;

	sample_manifest(&m);
	buf_init(&b, env_default());
	cr_assert_eq(manifest_encode(&m, &b), FIRN_OK);
	manifest_fini(&m, env_default());
	return b;
}

static char *read_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	char *data = malloc(1 << 20);

	cr_assert_not_null(f, "%s", path);
	data[fread(data, 1, (1 << 20) - 1, f)] = 0;
	(void)fclose(f);
	return data;
}

#define BEGIN "<!-- dump: manifest -->\n```\n"
#define END "```\n<!-- end -->"

/* To renew it: FIRN_RENEW=1 build/tests/unit-manifest-dump_test, then read the difference. */
Test(manifest_dump, the_dump_in_the_format_page_is_what_this_build_writes)
{
	const char *source = getenv("FIRN_SOURCE_DIR"), *begin, *end;
	struct buf b = sample_bytes();
	struct text t = { 0 };
	char path[1024];

	manifest_dump(b.data, b.len, add_line, &t);
	(void)snprintf(path, sizeof path, "%s/engine/manifest/FORMAT.md", source ? source : ".");
	char *page = read_file(path);

	begin = strstr(page, BEGIN);
	cr_assert_not_null(begin);
	begin += strlen(BEGIN);
	end = strstr(begin, END);
	cr_assert_not_null(end);
	if (getenv("FIRN_RENEW")) {
		FILE *f = fopen(path, "w");

		cr_assert_not_null(f);
		(void)fprintf(f, "%.*s%s%s", (int)(begin - page), page, t.data, end);
		(void)fclose(f);
	} else {
		cr_assert(t.len == (size_t)(end - begin) && !memcmp(begin, t.data, t.len),
		          "FORMAT.md shows other bytes than these:\n%s", t.data);
	}
	free(page);
	free(t.data);
	buf_fini(&b);
}

/* Version 1 as it was first written, kept for ever: every later build reads it to the same bytes.
 */
Test(manifest_dump, the_golden_file_of_version_1_is_still_written_and_read)
{
	const char *source = getenv("FIRN_SOURCE_DIR");
	struct buf b = sample_bytes();
	char path[1024];

	(void)snprintf(path, sizeof path, "%s/tests/unit/manifest/golden_v1.manifest",
	               source ? source : ".");
	FILE *f = fopen(path, "rb");
	uint8_t golden[4096];

	cr_assert_not_null(f, "%s", path);
	size_t n = fread(golden, 1, sizeof golden, f);

	(void)fclose(f);
	cr_assert(n == b.len && !memcmp(golden, b.data, n), "the format has changed");
	buf_fini(&b);
}

Test(manifest_dump, damaged_bytes_are_shown_and_marked)
{
	struct buf b = sample_bytes();
	struct text t = { 0 };

	b.data[70] ^= 1;
	manifest_dump(b.data, b.len, add_line, &t);
	cr_assert_not_null(strstr(t.data, "header_sum = XXH3-64 of [0, 56): right"));
	cr_assert_not_null(strstr(t.data, ": WRONG"), "the object's sum");
	free(t.data);
	buf_fini(&b);
}

Test(manifest_dump, any_truncation_and_any_bytes_end_within_bounds)
{
	struct buf b = sample_bytes();
	uint64_t x = 5;

	for (size_t n = 0; n <= b.len; n++) {
		uint8_t *copy = malloc(n + 1);
		struct text t = { 0 };

		memcpy(copy, b.data, n);
		manifest_dump(copy, n, add_line, &t);
		cr_assert(n == b.len || strstr(t.data, "it ends here"), "%zu", n);
		free(copy);
		free(t.data);
	}
	for (int round = 0; round < 300; round++) {
		uint8_t noise[600];
		struct text t = { 0 };

		for (size_t i = 0; i < sizeof noise; i++)
			noise[i] = (uint8_t)sample_chance(&x);
		manifest_dump(noise, sizeof noise, add_line, &t);
		cr_assert_lt(t.n_lines, 300u, "bounded by the bytes");
		free(t.data);
	}
	buf_fini(&b);
}
