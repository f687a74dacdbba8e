/* What older releases wrote is read by this one, all of it (P1, PROTOCOL 25): every pack in this folder is opened
 * and compared with what it held when it was made. */
#include "tests/golden/golden.h"
#include "tests/golden/world.h"
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(golden_open, .timeout = 120);

static char *text_of(const char *path)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = fopen(path, "r");
	cr_assert(f && getdelim(&text, &len, 0, f) > 0, "%s", path);
	(void)fclose(f);
	return text;
}

static void opens(const char *name)
{
	static struct golden g;
	struct site site;
	struct host h;
	char path[4200];
	cr_assert_eq(golden_load(&g, name), 0, "%s.pack", name);
	site_make_on_files(&site);
	cr_assert_eq(golden_unpack(&g, site.dir), 0);
	host_init(&h, &site, "a");
	golden_path(name, ".expected", path, sizeof path);
	char *was = text_of(path);
	for (int again = 0; again < 2; again++) { /* then as this release left it */
		host_open(&h);
		char *now = golden_text(&h);
		expect_text(was, now, name);
		host_close(&h);
		free(now);
	}
	free(was);
	golden_free(&g);
	site_remove(&site);
}

Test(golden_open, history_25_all_that_was_written_is_read)
{
	char folder[4200];
	int n = 0;
	golden_path("", "", folder, sizeof folder);
	DIR *dir = opendir(folder);
	cr_assert(dir, "%s", folder);
	for (struct dirent *e; (e = readdir(dir)) != NULL;) {
		char *dot = strstr(e->d_name, ".pack");
		if (!dot)
			continue;
		*dot = 0;
		opens(e->d_name);
		n++;
	}
	(void)closedir(dir);
	cr_assert_gt(n, 0, "no golden files");
}
