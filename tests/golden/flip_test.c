/* Every byte of a golden volume, one bit of it flipped (P6): the damage is told and named, or the byte is one
 * that nothing reads, and all is still there. Bits of the WAL are drawn from a seed, one a byte; all eight
 * of manifests and segments. Of runs of zeros, which a pack leaves out, a sample is taken. */
#include "engine/base/le.h"
#include "engine/manifest/manifest.h"
#include "engine/os/env.h"
#include "engine/segment/segment.h"
#include "engine/wal/inspect.h"
#include "tests/golden/golden.h"
#include "tests/golden/world.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(golden_flip, .timeout = 120);

#if defined(__SANITIZE_ADDRESS__)
enum { STEP = 7 };
#else
enum { STEP = 1 };
#endif
enum { SAMPLE = 2000 };

static struct golden g;
static uint64_t seed = 25;

static void setup(void)
{
	cr_assert_eq(golden_load(&g, "v1"), 0);
}

static void teardown(void)
{
	golden_free(&g);
}

static uint64_t chance(uint64_t below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (seed >> 33) % below;
}

/* ---- the files as a directory in memory ---- */

static int disk_open(void *ctx, const char *path, uint32_t flags, void **file)
{
	(void)ctx, (void)flags;
	for (uint32_t i = 0; i < g.n_file; i++)
		if (!strcmp(g.file[i].path, path)) {
			*file = &g.file[i];
			return 0;
		}
	return -ENOENT;
}

static int disk_close(void *ctx, void *file)
{
	(void)ctx, (void)file;
	return 0;
}

static int64_t disk_read(void *ctx, void *file, void *buf, size_t len, uint64_t pos)
{
	const struct golden_file *f = file;
	(void)ctx;
	size_t n = pos < f->len ? (size_t)(f->len - pos) : 0;
	n = n < len ? n : len;
	memcpy(buf, f->data + (n ? pos : 0), n);
	return (int64_t)n;
}

static int disk_size(void *ctx, void *file, uint64_t *bytes)
{
	(void)ctx;
	*bytes = ((const struct golden_file *)file)->len;
	return 0;
}

static int disk_list(void *ctx, const char *path, int (*each)(void *arg, const char *name),
                     void *arg)
{
	size_t n = strlen(path);
	int rc = 0;
	(void)ctx;
	for (uint32_t i = 0; i < g.n_file && !rc; i++)
		if (!strncmp(g.file[i].path, path, n) && g.file[i].path[n] == '/')
			rc = each(arg, g.file[i].path + n + 1);
	return rc;
}

/* ---- WAL ---- */

struct told {
	char text[2000];
	uint64_t end_lsn;
	int rc;
};

static void note(void *arg, const char *text)
{
	struct told *t = arg;
	size_t n = strlen(t->text);
	(void)snprintf(t->text + n, sizeof t->text - n, "%s\n", text);
}

static void wal_look(struct told *t)
{
	static struct firn_files files;
	static struct firn_env env;
	struct wal_report report;
	struct firn_error err = FIRN_ERROR_INIT;
	files = *env_default()->files;
	files.open = disk_open;
	files.close = disk_close;
	files.read = disk_read;
	files.size = disk_size;
	files.list = disk_list;
	env = *env_default();
	env.files = &files;
	t->text[0] = 0;
	t->rc = wal_verify(&env, "a/wal", &report, note, t, &err);
	if (strstr(report.note, "torn tail"))
		note(t, report.note);
	t->end_lsn = report.end_lsn;
	cr_assert(t->rc == 0 || t->rc == FIRN_ECORRUPT, "%s", err.text);
	wal_report_fini(&report);
}

/* True: nothing of the volumes depends on it. It lies behind the last group of its file that has records; an
 * idle group at the very end says nothing but that the one before it was whole. */
static bool wal_unused(const struct golden_file *f, uint64_t pos)
{
	uint64_t at = WAL_PAGE, end = WAL_PAGE;
	struct wal_group_header h;
	while (at < f->len && !wal_group_header_get(f->data + at, f->len - at, &h)) {
		at += wal_group_len(h.used);
		end = h.n_records ? at : end;
	}
	return pos >= end;
}

/* Flips, looks, flips back. True: it was told. */
static bool wal_hit(struct golden_file *f, uint64_t pos, bool unused)
{
	static struct told t;
	uint8_t bit = (uint8_t)(1u << chance(8));
	const char *base = strrchr(f->path, '/') + 1;
	f->data[pos] ^= bit;
	wal_look(&t);
	f->data[pos] ^= bit;
	cr_assert(t.text[0] || unused, "%s: byte %lu, bit %#x: not told", base, pos, bit);
	cr_assert(!t.text[0] || (strstr(t.text, base) && strstr(t.text, "at ")),
	          "%s: byte %lu, bit %#x: told as %s", base, pos, bit, t.text);
	return t.text[0];
}

static uint64_t wal_hit_part(const struct golden_part *p, uint64_t *n)
{
	struct golden_file *f = &g.file[p->file];
	uint64_t told = 0;
	for (uint64_t pos = p->pos; pos < p->pos + p->len; pos += STEP, ++*n)
		told += wal_hit(f, pos, wal_unused(f, pos));
	return told;
}

Test(golden_flip, every_byte_of_the_wal_is_told_and_named, .init = setup, .fini = teardown)
{
	uint64_t n = 0, told = 0;
	static struct told sound;
	wal_look(&sound);
	cr_assert(sound.rc == 0 && !sound.text[0], "%s", sound.text);
	for (uint32_t i = 0; i < g.n_part; i++)
		if (golden_is_wal(&g.file[g.part[i].file]))
			told += wal_hit_part(&g.part[i], &n);
	/* Without its magic or its LSN the idle group at the end was never written, for all that shows. */
	cr_expect(n > 10000 / STEP && n - told <= 16, "%lu of %lu told", told, n);
}

Test(golden_flip, zeros_of_the_wal_are_payload_padding_or_unused, .init = setup, .fini = teardown)
{
	uint64_t n_used = 0, n_unused = 0;
	for (uint32_t i = 0; i < g.n_file; i++) {
		struct golden_file *f = &g.file[i];
		for (uint32_t k = 0; golden_is_wal(f) && k < SAMPLE / STEP; k++) {
			uint64_t pos = chance(f->len);
			bool unused = wal_unused(f, pos);
			(void)wal_hit(f, pos, unused);
			n_unused += unused;
			n_used += !unused;
		}
	}
	cr_expect(n_used && n_unused, "%lu used, %lu not", n_used, n_unused);
}

/* Proven by content: all that nothing reads, flipped at once, and the volume shows what it showed. */
Test(golden_flip, what_nothing_reads_changes_nothing, .init = setup, .fini = teardown)
{
	struct site site;
	struct host h;
	char path[4200], *was = NULL;
	size_t len = 0;
	uint64_t n = 0;
	for (uint32_t i = 0; i < g.n_file; i++) {
		struct golden_file *f = &g.file[i];
		for (uint64_t pos = f->len - 1;
		     golden_is_wal(f) && wal_unused(f, pos & ~(uint64_t)(WAL_PAGE - 1));
		     pos -= 97, n++)
			f->data[pos] ^= (uint8_t)(1u << chance(8));
	}
	cr_assert_gt(n, 0);
	site_make_on_files(&site);
	cr_assert_eq(golden_unpack(&g, site.dir), 0);
	golden_path("v1", ".expected", path, sizeof path);
	FILE *f = fopen(path, "r");
	cr_assert(f && getdelim(&was, &len, 0, f) > 0 && !fclose(f));
	host_init(&h, &site, "a");
	host_open(&h);
	char *now = golden_text(&h);
	expect_text(was, now, "flipped where nothing reads");
	host_close(&h);
	free(now);
	free(was);
	site_remove(&site);
}

/* ---- objects of the store ---- */

static int object_look(const struct golden_file *f, struct firn_error *err)
{
	struct manifest m;
	if (golden_is_segment(f))
		return segment_verify(env_default(), f->data, f->len, err);
	int rc = manifest_decode(env_default(), f->data, f->len, &m, err);
	manifest_fini(&m, env_default());
	return rc;
}

static void object_hit_all(struct golden_file *f)
{
	for (uint64_t pos = 0; pos < f->len; pos += STEP)
		for (uint32_t bit = 0; bit < 8; bit++) {
			struct firn_error err = FIRN_ERROR_INIT;
			f->data[pos] ^= (uint8_t)(1u << bit);
			int rc = object_look(f, &err);
			f->data[pos] ^= (uint8_t)(1u << bit);
			cr_assert_eq(rc, FIRN_ECORRUPT, "%s: byte %lu, bit %u: %s", f->path, pos,
			             bit, firn_code_name(rc));
			cr_assert(strpbrk(err.text, "0123456789"), "%s: byte %lu: no place: %s",
			          f->path, pos, err.text);
		}
	struct firn_error err = FIRN_ERROR_INIT;
	cr_assert_eq(object_look(f, &err), 0, "%s: %s", f->path, err.text);
}

Test(golden_flip, every_bit_of_every_manifest_and_segment_is_told, .init = setup, .fini = teardown)
{
	uint32_t n_segment = 0, n_manifest = 0;
	for (uint32_t i = 0; i < g.n_file; i++) {
		struct golden_file *f = &g.file[i];
		if (golden_is_segment(f) || golden_is_manifest(f))
			object_hit_all(f);
		n_segment += golden_is_segment(f);
		n_manifest += golden_is_manifest(f);
	}
	cr_expect(n_segment >= 2 && n_manifest == 2);
}
