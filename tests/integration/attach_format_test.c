/* A format or a feature of a newer release is refused by name, never guessed at; opening tells bad
 * directories and options apart. (P5) */
#include "tests/integration/site.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

TestSuite(attach_format, .timeout = 60);

static struct site site;
static struct host a;

static void setup(void)
{
	site_make(&site);
	host_init(&a, &site, "a");
	host_start(&a);
	say(&a, new_stream(&a, "s"), "x");
	host_stop(&a, FIRN_DETACH_DRAIN);
}

static void teardown(void)
{
	site_remove(&site);
}

/* Sets a field of the manifest's header and signs header and object anew (engine/manifest/FORMAT.md). */
static void patch_manifest(size_t at, uint64_t value, size_t len)
{
	char path[160];
	uint8_t body[4096];
	site_pull(&site);
	(void)snprintf(path, sizeof path, "%s/store/v/manifest", site.dir);
	(void)chmod(path, 0600);
	FILE *f = fopen(path, "r+");
	cr_assert_not_null(f);
	size_t n = fread(body, 1, sizeof body, f);
	memcpy(body + at, &value, len);
	uint64_t sum = XXH3_64bits(body, 56);
	memcpy(body + 56, &sum, 8);
	sum = XXH3_64bits(body, n - 8);
	memcpy(body + n - 8, &sum, 8);
	rewind(f);
	cr_assert_eq(fwrite(body, 1, n, f), n);
	cr_assert_eq(fclose(f), 0);
	site_push(&site);
}

static void attach_says(uint32_t flags, int code, const char *words)
{
	struct firn_error err = FIRN_ERROR_INIT;
	host_open(&a);
	int rc = host_try_attach(&a, "v", flags, NULL, &a.volume, &err);
	cr_expect_eq(rc, code, "%s: %s", firn_code_name(rc), err.text);
	cr_expect(rc == 0 || strstr(err.text, words), "no word of `%s`: %s", words, err.text);
	if (!rc)
		cr_expect_eq(host_detach(&a, a.volume, FIRN_DETACH_DRAIN, &err), 0, "%s", err.text);
	host_close(&a);
}

Test(attach_format, a_newer_manifest_is_named, .init = setup, .fini = teardown)
{
	patch_manifest(8, 2, 4);
	attach_says(0, FIRN_EUNSUPPORTED, "format 2");
	attach_says(FIRN_ATTACH_READ_ONLY, FIRN_EUNSUPPORTED, "format 2");
	patch_manifest(8, 1, 4);
	attach_says(0, 0, "");
}

Test(attach_format, unknown_features_are_named, .init = setup, .fini = teardown)
{
	patch_manifest(32, 1ull << 40, 8);
	attach_says(0, FIRN_EUNSUPPORTED, "incompat");
	attach_says(FIRN_ATTACH_READ_ONLY, FIRN_EUNSUPPORTED, "incompat");
	patch_manifest(32, 0, 8);
	patch_manifest(24, 1ull << 3, 8);
	attach_says(0, FIRN_EUNSUPPORTED, "ro_compat");
	attach_says(FIRN_ATTACH_READ_ONLY, 0, "");
	patch_manifest(24, 0, 8);
	patch_manifest(16, 1ull << 3, 8);
	attach_says(0, 0, "");
}

Test(attach_format, a_directory_that_cannot_be_written_is_told, .init = setup, .fini = teardown)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct host h;
	host_init(&h, &site, "file");
	site_run(&site, "echo > file");
	int rc = host_try_open(&h, &err);
	cr_expect_lt(rc, 0);
	cr_expect(strstr(err.text, "file"), "%s", err.text);
	host_init(&h, &site, "no/such/parent");
	cr_expect_lt(host_try_open(&h, &err), 0);
}

Test(attach_format, options_are_checked_before_anything_is_made, .init = setup, .fini = teardown)
{
	static const char *const bad[][2] = {
		{ "no_such=1", NULL },         { "wal_io=floppy", NULL },
		{ "wal_file_bytes=12", NULL }, { "zstd_level=99", NULL },
		{ "segment_bytes=", NULL },    { "wal_direct", NULL }
	};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct firn_error err = FIRN_ERROR_INIT;
		struct host h;
		host_init(&h, &site, "new");
		h.opts.options = bad[i];
		cr_expect_eq(host_try_open(&h, &err), FIRN_EINVAL, "%s", bad[i][0]);
		cr_expect_null(h.engine);
	}
	struct host h;
	host_init(&h, &site, "new");
	h.opts.flags = 1u << 20;
	struct firn_error err = FIRN_ERROR_INIT;
	cr_expect_eq(host_try_open(&h, &err), FIRN_EUNSUPPORTED);
	h.opts.flags = 0;
	h.opts.cache_bytes = 1ull << 40;
	cr_expect_eq(host_try_open(&h, &err), FIRN_EINVAL);
	free(site_ask(&site, "! test -e new"));
}
