/* A whole file of hostile bytes: its header, the dump, and wal_verify over a directory that holds
 * it and, behind it, the sample. The input's last byte: 1 signs the header again, 2 every page that
 * looks like a group, 4 gives groups this file's identity and place, 8 puts the sample behind
 * it. */
#include "engine/base/le.h"
#include "engine/os/env.h"
#include "engine/wal/inspect.h"
#include "tests/unit/wal/resign.h"
#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* A directory of at most two files in memory. */
struct image {
	uint64_t no;
	const uint8_t *data;
	size_t len;
};
struct disk {
	struct image file[2];
	size_t n;
};

static void require(int ok)
{
	if (!ok)
		abort();
}

static int disk_open(void *ctx, const char *path, uint32_t flags, void **file)
{
	struct disk *d = ctx;
	char name[64];
	require(flags & FIRN_OPEN_READ_ONLY);
	for (size_t i = 0; i < d->n; i++) {
		wal_file_path("d", d->file[i].no, name, sizeof name);
		if (strcmp(name, path) == 0) {
			*file = &d->file[i];
			return 0;
		}
	}
	return -ENOENT;
}

static int disk_close(void *ctx, void *file)
{
	(void)ctx;
	(void)file;
	return 0;
}

static int64_t disk_read(void *ctx, void *file, void *buf, size_t len, uint64_t pos)
{
	const struct image *f = file;
	(void)ctx;
	if (pos >= f->len)
		return 0;
	len = len < f->len - pos ? len : (size_t)(f->len - pos);
	memcpy(buf, f->data + pos, len);
	return (int64_t)len;
}

static int disk_size(void *ctx, void *file, uint64_t *bytes)
{
	(void)ctx;
	*bytes = ((const struct image *)file)->len;
	return 0;
}

static int disk_list(void *ctx, const char *path, int (*each)(void *arg, const char *name),
                     void *arg)
{
	struct disk *d = ctx;
	char name[64];
	int rc = 0;
	(void)path;
	for (size_t i = 0; i < d->n && !rc; i++) {
		wal_file_path("", d->file[i].no, name, sizeof name);
		rc = each(arg, name + 1);
	}
	return rc;
}

static void ignore(void *arg, const char *text)
{
	size_t *n = arg;
	*n += strlen(text);
}

static void make_credible(uint8_t *file, size_t len, uint8_t what)
{
	if (what & 1) {
		le64_put(file, WAL_FILE_MAGIC);
		le32_put(file + 8, WAL_FORMAT);
		le64_put(file + 12, 0);
		le32_put(file + 20, 0);
		le64_put(file + 4088, sum64(file, 4088));
	}
	for (size_t pos = WAL_PAGE; pos + WAL_PAGE <= len; pos += WAL_PAGE) {
		uint8_t *g = file + pos;
		if (le64_get(g) != WAL_GROUP_MAGIC)
			continue;
		if (what & 4) {
			memcpy(g + 16, file + 24, 16);
			le64_put(g + 32, le64_get(file + 40));
			le64_put(g + 40, le64_get(file + 64) << 32 | pos);
		}
		if (what & 2)
			resign_group(g, len - pos);
	}
}

static void verify(struct disk *d)
{
	struct firn_files files = *env_default()->files;
	struct firn_env env = *env_default();
	struct wal_report report;
	struct firn_error err = FIRN_ERROR_INIT;
	size_t n = 0;
	files.open = disk_open;
	files.close = disk_close;
	files.read = disk_read;
	files.size = disk_size;
	files.list = disk_list;
	env.files = &files;
	env.ctx = d;
	int rc = wal_verify(&env, "d", &report, ignore, &n, &err);
	require(rc == 0 || rc == FIRN_ECORRUPT);
	require((rc == 0) == (report.n_problems == 0) && (rc == 0) == (n == 0));
	wal_report_fini(&report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static _Alignas(4096) uint8_t sample[WAL_SAMPLE_MAX];
	struct wal_file_header h;
	struct firn_error err = FIRN_ERROR_INIT;
	uint8_t page[WAL_PAGE];
	size_t n = 0;
	if (len < 2 || len > (1u << 20))
		return 0;
	uint8_t what = data[--len];
	size_t room = (len + WAL_PAGE - 1) & ~(size_t)(WAL_PAGE - 1);
	uint8_t *file = calloc(1, room);
	require(file != NULL);
	memcpy(file, data, len);
	make_credible(file, room, what);
	if (wal_file_header_get(file, &h, &err) == 0) {
		wal_file_header_put(page, &h);
		require(memcmp(page, file, WAL_PAGE) == 0);
	}
	wal_dump_bytes(file, room, ignore, &n);
	struct disk d = { .n = 1 };
	d.file[0] = (struct image){ le64_get(file + 64), file, room };
	if ((what & 8) && d.file[0].no != 2) {
		d.file[1] = (struct image){ 2, sample, wal_sample(sample) };
		d.n = 2;
	}
	verify(&d);
	free(file);
	return 0;
}
