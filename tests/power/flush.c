/* power-flush FS: carries P1 where there is no O_DIRECT: what reads after a failed flush is what is on the
 * medium. The kernel counts such pages as clean and says nothing at the next flush: a recovery that believed
 * them would seal writes that the next power cut takes away. */
#include "engine/os/env.h"
#include "tests/power/disk.h"
#include <firn/env.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 4096, N = 256 };

static struct disk disk;
static char path[128];
static uint8_t *block; /* N blocks */

static void expect(bool holds, const char *what)
{
	if (!holds)
		disk_fail(0, "%s: %s", disk.fs, what);
}

static void *open_file(const struct firn_files *f, uint32_t flags)
{
	void *file;
	expect(!f->open(NULL, path, flags, &file), path);
	return file;
}

/* Blocks that begin with `value`; one that cannot be read begins with nothing. */
static int count(const struct firn_files *f, uint8_t value)
{
	void *file = open_file(f, FIRN_OPEN_READ_ONLY);
	int n = 0;
	for (int i = 0; i < N; i++)
		n += f->read(NULL, file, block, BLOCK, (uint64_t)i * BLOCK) == BLOCK &&
		     *block == value;
	f->close(NULL, file);
	return n;
}

static int write_all(const struct firn_files *f, void *file, uint8_t value, bool durably)
{
	memset(block, value, (size_t)N * BLOCK);
	if (!durably) {
		int64_t n = f->write(NULL, file, block, (size_t)N * BLOCK, 0);
		return n < 0 ? (int)n : f->sync(NULL, file);
	}
	int rc = f->write_start(NULL, file, block, (size_t)N * BLOCK, 0);
	return rc ? rc > 0 ? 0 : rc : f->write_wait(NULL, file);
}

static void a_failed_flush_leaves_nothing_to_believe(const struct firn_env *env, bool durably)
{
	const struct firn_files *f = env->files;
	void *file = open_file(f, FIRN_OPEN_CREATE | FIRN_OPEN_DURABLE);
	expect(!write_all(f, file, 1, false), "the disk works");
	disk_arm(&disk, CUT_DROP, 1, 0);
	expect(write_all(f, file, 2, durably) < 0, "a flush to a dead disk fails");
	f->close(NULL, file);
	disk_back(&disk);
	int seen = count(f, 2);
	disk_arm(&disk, CUT_DROP, 1, 0);
	disk_off(&disk);
	disk_on(&disk);
	expect(count(f, 1) == N, "nothing of it is on the medium");
	if (seen)
		disk_fail(
		        0,
		        "%s: %d of %d blocks that the flush did not bring to the medium read as if",
		        disk.fs, seen, N);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: power-flush ext4|ext4-4k|xfs|btrfs\n");
		return 2;
	}
	disk_isolate();
	block = aligned_alloc(BLOCK, (size_t)N * BLOCK);
	disk_make(&disk, argv[1]);
	disk_on(&disk);
	snprintf(path, sizeof path, "%s/file", disk.mnt);
	for (int durably = 0; durably < 2; durably++) {
		a_failed_flush_leaves_nothing_to_believe(env_default_pwrite(), durably);
		a_failed_flush_leaves_nothing_to_believe(env_default(), durably);
	}
	printf("%s: what reads after a failed flush is on the medium\n", disk.fs);
	free(block);
	return 0;
}
