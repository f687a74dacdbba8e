/* The dump: the one in FORMAT.md is made by today's code, and damage does not stop it. */
#include "tests/unit/segment/sample.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(segment_dump, .timeout = 60);

struct text {
	char *data;
	size_t len;
};

static void text_line(void *arg, const char *line)
{
	struct text *t = arg;
	size_t n = strlen(line);
	t->data = realloc(t->data, t->len + n + 2);
	memcpy(t->data + t->len, line, n);
	t->data[t->len + n] = '\n';
	t->len += n + 1;
	t->data[t->len] = 0;
	cr_expect_leq(n, 100, "%s", line);
}

static struct text dump_of(const struct sample_object *o, int expect)
{
	struct sample_env e;
	struct firn_error err = FIRN_ERROR_INIT;
	struct text t = { calloc(1, 1), 0 };
	sample_env_init(&e);
	cr_assert_eq(segment_dump(&e.env, o->data, o->len, text_line, &t, &err), expect, "%s",
	             err.text);
	cr_assert_eq(e.n_live, 0);
	return t;
}

static char *file_read(const char *name)
{
	const char *dir = getenv("FIRN_SOURCE_DIR");
	char path[1024];
	char *text = calloc(1, 1 << 20);
	snprintf(path, sizeof path, "%s/%s", dir ? dir : ".", name);
	FILE *f = fopen(path, "r");
	cr_assert_not_null(f, "%s (FIRN_SOURCE_DIR?)", path);
	size_t n = fread(text, 1, (1 << 20) - 1, f);
	fclose(f);
	text[n] = 0;
	return text;
}

/* FIRN_PRINT_DUMP=1 prints what belongs between the markers. */
Test(segment_dump, format_page_shows_what_the_code_writes)
{
	struct sample s;
	sample_tiny_init(&s);
	struct sample_object o = sample_write(&s, 0);
	struct text t = dump_of(&o, 0);
	if (getenv("FIRN_PRINT_DUMP"))
		fputs(t.data, stdout);
	char *page = file_read("engine/segment/FORMAT.md");
	char *from = strstr(page, "<!-- dump: segment -->\n```\n");
	cr_assert_not_null(from);
	from += strlen("<!-- dump: segment -->\n```\n");
	cr_assert_eq(strncmp(from, t.data, t.len), 0, "FORMAT.md is not what the code writes");
	cr_assert_eq(strncmp(from + t.len, "```\n<!-- /dump -->", 17), 0);
	free(page);
	free(t.data);
	free(o.data);
	sample_fini(&s);
}

Test(segment_dump, tells_compressed_frames_and_every_kind_of_row)
{
	struct sample s;
	sample_random_init(&s, 9, 200, 400);
	struct sample_object o = sample_write(&s, 3);
	struct text t = dump_of(&o, 0);
	cr_expect_not_null(strstr(t.data, ": zstd, "));
	cr_expect_not_null(strstr(t.data, "+0000000  46 49 52 4e 42 4c 4b 31"));
	cr_expect_null(strstr(t.data, "\n!! "));
	free(t.data);
	free(o.data);
	sample_fini(&s);
}

Test(segment_dump, goes_on_past_damage)
{
	struct sample s;
	sample_tiny_init(&s);
	struct sample_object o = sample_write(&s, 0);
	o.data[70] ^= 1;
	struct text t = dump_of(&o, FIRN_ECORRUPT);
	cr_expect_not_null(strstr(t.data, "!! frame at 64: checksum mismatch"));
	cr_expect_not_null(strstr(t.data, "trailer sum"));
	free(t.data);
	o.data[o.footer_pos] ^= 1;
	t = dump_of(&o, FIRN_ECORRUPT);
	cr_expect_not_null(strstr(t.data, "!! footer: block index"));
	cr_expect_not_null(strstr(t.data, "trailer sum"));
	free(t.data);
	for (size_t len = 0; len < o.len; len += 13) {
		struct sample_object cut = { o.data, len, 0, 0 };
		t = dump_of(&cut, FIRN_ECORRUPT);
		free(t.data);
	}
	free(o.data);
	sample_fini(&s);
}
