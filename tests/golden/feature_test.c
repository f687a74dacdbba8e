/* P5, history 25 (PROTOCOL): what a later release may write, a newer format, a feature bit, an unknown record,
 * operation, codec or cipher, is refused by name, and nothing is changed. Compatible bits are ignored. Each case
 * is a golden volume with one field set and every checksum made right again. */
#include "engine/base/le.h"
#include "engine/base/sum.h"
#include "engine/manifest/layout.h"
#include "tests/fuzz/segment_sign.h"
#include "tests/golden/golden.h"
#include "tests/golden/world.h"
#include "tests/unit/wal/resign.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(golden_feature, .timeout = 120);

static struct golden g;

static void setup(void)
{
	cr_assert_eq(golden_load(&g, "v1"), 0);
}

static void teardown(void)
{
	golden_free(&g);
}

static struct golden_file *file_of(const char *part, uint32_t nth)
{
	for (uint32_t i = 0; i < g.n_file; i++)
		if (strstr(g.file[i].path, part) && nth-- == 0)
			return &g.file[i];
	cr_assert(0, "no %s", part);
	return NULL;
}

/* ---- signing ---- */

static uint64_t wal_file_sign(struct golden_file *f, uint64_t prev)
{
	le64_put(f->data + 80, prev);
	le64_put(f->data + 4088, sum64(f->data, 4088));
	for (uint64_t pos = WAL_PAGE; pos < f->len && le64_get(f->data + pos) == WAL_GROUP_MAGIC;
	     pos += wal_group_len(le32_get(f->data + pos + 64))) {
		le64_put(f->data + pos + 56, prev);
		resign_group(f->data + pos, f->len - pos);
		prev = le64_get(f->data + pos + 120);
	}
	return prev;
}

static void wal_sign(void)
{
	uint64_t prev = 0;
	for (uint32_t i = 0; i < g.n_file; i++)
		if (golden_is_wal(&g.file[i]))
			prev = wal_file_sign(&g.file[i], prev);
}

static void manifest_sign(struct golden_file *f)
{
	le64_put(f->data + MANIFEST_HEADER_SUM_AT, sum64(f->data, MANIFEST_HEADER_SUM_AT));
	le64_put(f->data + f->len - 8, sum64(f->data, f->len - 8));
}

/* The manifest knows a segment by its footer's sum. */
static void segment_sign_in_manifest(struct golden_file *seg, struct golden_file *manifest)
{
	uint8_t *sum = sign_trailer_of(seg->data, seg->len) + TRAILER_FOOTER_SUM;
	uint64_t was = le64_get(sum);
	segment_sign(seg->data, seg->len);
	for (uint64_t pos = 0; pos + 8 <= manifest->len; pos += 8)
		if (le64_get(manifest->data + pos) == was)
			le64_put(manifest->data + pos, le64_get(sum));
	manifest_sign(manifest);
}

/* ---- trying ---- */

/* Opens, attaches "kept": the code, and words that the error must have. The files are as they were. */
static void says(uint32_t flags, int code, const char *words)
{
	struct site site;
	struct host h;
	struct firn_error err = FIRN_ERROR_INIT;
	char differs[200];
	site_make_on_files(&site);
	cr_assert_eq(golden_unpack(&g, site.dir), 0);
	host_init(&h, &site, "a");
	int rc = host_try_open(&h, &err);
	bool opened = !rc;
	rc = rc ? rc : host_try_attach(&h, "kept", flags, "moved", &h.volume, &err);
	cr_expect_eq(rc, code, "%s: %s", firn_code_name(rc), err.text);
	cr_expect(rc == 0 || strstr(err.text, words), "no word of `%s`: %s", words, err.text);
	if (!rc) {
		char *text = volume_text(&h, h.volume);
		cr_expect(strstr(text, "FIRN_E") == NULL, "%s", text);
		cr_expect_eq(host_detach(&h, h.volume, FIRN_DETACH_ABORT, &err), 0);
		free(text);
	}
	if (opened)
		host_close(&h);
	cr_expect(rc == 0 || golden_same(&g, site.dir, differs, sizeof differs), "%s changed",
	          differs);
	site_remove(&site);
}

static void refused(const char *words)
{
	says(0, FIRN_EUNSUPPORTED, words);
}

/* A byte of the WAL for the length of one attempt. */
static void wal_refused(uint8_t *at, uint8_t value, const char *words)
{
	uint8_t was = *at;
	*at = value;
	wal_sign();
	refused(words);
	*at = was;
	wal_sign();
}

Test(golden_feature, history_25_signing_alone_changes_nothing, .init = setup, .fini = teardown)
{
	wal_sign();
	segment_sign_in_manifest(file_of("store/kept/seg", 0), file_of("store/kept/manifest", 0));
	says(0, 0, "");
}

/* ---- WAL ---- */

Test(golden_feature, history_25_a_wal_file_of_a_later_release, .init = setup, .fini = teardown)
{
	uint8_t *head = file_of(".wal", 0)->data;
	wal_refused(head + 8, 2, "format 2");
	wal_refused(head + 16 + 5, 1, "features 0x10000000000");
	head = file_of(".wal", 1)->data; /* the newest file is no torn beginning */
	wal_refused(head + 8, 7, "format 7");
}

/* The last group of the first file: what stands at the end of a file is not "torn" for that. */
static uint8_t *last_group(struct golden_file *f)
{
	uint8_t *last = NULL;
	for (uint64_t pos = WAL_PAGE; pos < f->len && le64_get(f->data + pos) == WAL_GROUP_MAGIC;
	     pos += wal_group_len(le32_get(f->data + pos + 64)))
		if (le32_get(f->data + pos + 68))
			last = f->data + pos;
	cr_assert_not_null(last);
	return last;
}

Test(golden_feature, history_25_a_group_of_a_later_release, .init = setup, .fini = teardown)
{
	for (uint32_t i = 0; i < 2; i++) {
		uint8_t *group = last_group(file_of(".wal", i));
		wal_refused(group + 8, 2, "format 2");
		wal_refused(group + 12 + 3, 1, "flags 0x1000000");
		wal_refused(group + 88 + 5, 1, "features 0x10000000000");
	}
}

/* Calls each() with every operation of user's writes until it takes one. */
static uint8_t *find_op(uint16_t kind)
{
	for (uint32_t i = 0; i < g.n_file; i++) {
		struct golden_file *f = &g.file[i];
		if (!golden_is_wal(f))
			continue;
		for (uint64_t pos = WAL_PAGE;
		     pos < f->len && le64_get(f->data + pos) == WAL_GROUP_MAGIC;
		     pos += wal_group_len(le32_get(f->data + pos + 64))) {
			struct wal_record r;
			uint32_t at = WAL_GROUP_HEADER, used = le32_get(f->data + pos + 64);
			while ((at = wal_record_next(f->data + pos, used, at, &r))) {
				const uint8_t *op = NULL;
				struct wal_op o;
				while ((op = wal_op_next(&r, op, &o)))
					if (o.kind == kind)
						return f->data + pos + o.pos;
			}
		}
	}
	cr_assert(0, "no operation of kind %u", kind);
	return NULL;
}

Test(golden_feature, history_25_an_operation_of_a_later_release, .init = setup, .fini = teardown)
{
	uint8_t *append = find_op(WAL_OP_APPEND), *trim = find_op(WAL_OP_TRIM);
	wal_refused(trim, 77, "kind 77");
	wal_refused(trim + 2, 4, "flags 4");
	wal_refused(append + 16, 9, "codec");
	wal_refused(append + 17, 9, "cipher");
}

Test(golden_feature, history_25_a_record_of_a_later_release, .init = setup, .fini = teardown)
{
	struct golden_file *f = file_of(".wal", 0);
	uint8_t *first = f->data + WAL_PAGE; /* the table's group: another type in its place */
	wal_refused(first + WAL_GROUP_HEADER + 8, 99, "type 99");
	uint8_t *last = last_group(f);
	wal_refused(last + WAL_GROUP_HEADER + 8, 99, "type 99");
}

/* ---- manifest ---- */

static void manifest_field(size_t at, uint8_t value, uint32_t flags, int code, const char *words)
{
	struct golden_file *f = file_of("store/kept/manifest", 0);
	uint8_t was = f->data[at];
	f->data[at] = value;
	manifest_sign(f);
	says(flags, code, words);
	f->data[at] = was;
	manifest_sign(f);
}

Test(golden_feature, history_25_a_manifest_of_a_later_release, .init = setup, .fini = teardown)
{
	manifest_field(8, 2, 0, FIRN_EUNSUPPORTED, "format 2");
	manifest_field(32 + 5, 1, 0, FIRN_EUNSUPPORTED, "incompat 0x10000000000");
	manifest_field(32 + 5, 1, FIRN_ATTACH_READ_ONLY, FIRN_EUNSUPPORTED, "incompat");
	manifest_field(24 + 5, 1, 0, FIRN_EUNSUPPORTED, "ro_compat 0x10000000000");
	manifest_field(24 + 5, 1, FIRN_ATTACH_READ_ONLY, 0, "");
	manifest_field(16 + 5, 1, 0, 0, "");
}

/* ---- segment ---- */

static void segment_field(uint64_t at, uint8_t value, int code, const char *words)
{
	struct golden_file *f = file_of("store/kept/seg", 0);
	struct golden_file *m = file_of("store/kept/manifest", 0);
	uint8_t was = f->data[at];
	f->data[at] = value;
	segment_sign_in_manifest(f, m);
	says(0, code, words);
	f->data[at] = was;
	segment_sign_in_manifest(f, m);
}

Test(golden_feature, history_25_a_segment_of_a_later_release, .init = setup, .fini = teardown)
{
	struct golden_file *f = file_of("store/kept/seg", 0);
	uint64_t trailer = f->len - SEGMENT_TRAILER_LEN;
	uint64_t row = le64_get(f->data + trailer + TRAILER_SECTIONS + SECTION_POS);
	segment_field(trailer + HEAD_VERSION, 2, FIRN_EUNSUPPORTED, "version 2");
	segment_field(trailer + HEAD_INCOMPAT + 2, 1, FIRN_EUNSUPPORTED, "features 0x10000");
	segment_field(row + 72, 9, FIRN_EUNSUPPORTED, "codec 9");
	segment_field(row + 73, 9, FIRN_EUNSUPPORTED, "cipher 9");
	segment_field(trailer + HEAD_COMPAT + 2, 1, 0, "");
}
