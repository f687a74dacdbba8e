/* power-selftest FS: does the platter do what the tests above it believe?
 *
 * A write without a flush is gone after a cut, one with a flush is there; a flush of a file arrives
 * at the platter as one; a cut keeps and tears as its kind says; after it nothing goes to the disk,
 * not even by who had it open. */
#include "tests/power/disk.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { BLOCK = 4096, N = 64 };

static struct disk disk;
static uint8_t *block; /* aligned, N blocks */

static void expect(bool holds, const char *what)
{
	if (!holds)
		disk_fail(0, "%s: %s", disk.fs, what);
}

static int open_file(int flags)
{
	char path[128];
	snprintf(path, sizeof path, "%s/file", disk.mnt);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | flags, 0600);
	if (fd < 0)
		disk_fail(errno, "%s", path);
	return fd;
}

static void write_blocks(int fd, uint8_t value)
{
	memset(block, value, N * BLOCK);
	for (int i = 0; i < N; i++)
		if (pwrite(fd, block + i * BLOCK, BLOCK, i * BLOCK) != BLOCK)
			disk_fail(errno, "write");
}

/* Bytes of the file that hold `value`, by steps of a sector. */
static int count_sectors(int fd, uint8_t value)
{
	int n = 0;
	ssize_t len = pread(fd, block, N * BLOCK, 0);
	for (ssize_t at = 0; at + 512 <= len; at += 512)
		n += block[at] == value && !memcmp(block + at, block + at + 1, 511);
	return n;
}

static void cut(enum cut_kind kind, uint64_t seed, int fd)
{
	disk_arm(&disk, kind, seed, 0);
	expect(disk_is_off(&disk), "a cut takes the power");
	expect(pwrite(fd, block, BLOCK, 0) < 0 || fdatasync(fd) < 0, "nothing is written any more");
	close(fd);
	disk_off(&disk);
	disk_on(&disk);
}

/* Begins with blocks of 1, on the medium; writes `value` over them by `flags`. */
static int overwrite(int flags, uint8_t value)
{
	int fd = open_file(O_DIRECT);
	write_blocks(fd, 1);
	expect(!fsync(fd), "fsync");
	close(fd);
	fd = open_file(flags);
	write_blocks(fd, value);
	return fd;
}

static void flushed_is_there_unflushed_is_gone(int flags)
{
	int fd = overwrite(flags, 2);
	cut(CUT_DROP, 1, fd);
	fd = open_file(0);
	expect(count_sectors(fd, 1) == N * 8, "what was not flushed is gone");
	close(fd);

	fd = overwrite(flags, 3);
	unsigned long before = atomic_load(&disk.counts->n_flush);
	expect(!fdatasync(fd), "fdatasync");
	expect(atomic_load(&disk.counts->n_flush) > before, "fdatasync reaches the platter");
	cut(CUT_DROP, 1, fd);
	fd = open_file(0);
	expect(count_sectors(fd, 3) == N * 8, "what was flushed is there");
	close(fd);
}

static void a_durable_write_flushes(void)
{
	int fd = overwrite(O_DIRECT, 2);
	unsigned long before = atomic_load(&disk.counts->n_flush);
	struct iovec iov = { block, BLOCK };
	expect(pwritev2(fd, &iov, 1, 0, RWF_DSYNC) == BLOCK, "pwritev2");
	expect(atomic_load(&disk.counts->n_flush) > before, "RWF_DSYNC reaches the platter");
	cut(CUT_DROP, 1, fd);
	fd = open_file(0);
	expect(count_sectors(fd, 2) >= 8, "what was written with RWF_DSYNC is there");
	close(fd);
}

/* Over many seeds each kind keeps some and loses some, and tears only if it is of that kind. */
static void a_cut_keeps_what_its_kind_says(void)
{
	for (int kind = CUT_DROP; kind < CUT_KINDS; kind++) {
		int kept = 0, torn = 0, n_cut = 6;
		for (int seed = 1; seed <= n_cut; seed++) {
			int fd = overwrite(O_DIRECT, 2);
			cut((enum cut_kind)kind, (uint64_t)seed, fd);
			fd = open_file(0);
			int n = count_sectors(fd, 2);
			expect(n + count_sectors(fd, 1) == N * 8, "either the old or the new");
			kept += n;
			torn += n % 8 != 0;
			close(fd);
		}
		expect((kept > 0) == (kind != CUT_DROP), "a cut keeps some, unless it drops all");
		expect(kept < n_cut * N * 8, "a cut loses some");
		expect((torn > 0) == (kind == CUT_TEAR_512 || kind == CUT_TORN_END),
		       "sectors are torn apart by the kinds that say so");
	}
}

static void a_cut_comes_with_the_nth_operation(void)
{
	int fd = overwrite(O_DIRECT, 1);
	expect(!fdatasync(fd), "fdatasync");
	disk_arm(&disk, CUT_DROP, 1, 3);
	memset(block, 4, BLOCK);
	expect(pwrite(fd, block, BLOCK, 0) == BLOCK && pwrite(fd, block, BLOCK, 0) == BLOCK,
	       "the power is still there");
	expect(pwrite(fd, block, BLOCK, 0) < 0 && disk_is_off(&disk), "the power goes");
	cut(CUT_DROP, 1, fd);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: power-selftest ext4|ext4-4k|xfs|btrfs\n");
		return 2;
	}
	disk_isolate();
	block = aligned_alloc(BLOCK, N * BLOCK);
	disk_make(&disk, argv[1]);
	disk_on(&disk);
	flushed_is_there_unflushed_is_gone(O_DIRECT);
	flushed_is_there_unflushed_is_gone(0);
	a_durable_write_flushes();
	a_cut_comes_with_the_nth_operation();
	if (disk.sector == 512)
		a_cut_keeps_what_its_kind_says();
	printf("%s: the platter loses what was not flushed, and nothing else (%lu cuts)\n", disk.fs,
	       (unsigned long)atomic_load(&disk.counts->n_cut));
	free(block);
	return 0;
}
