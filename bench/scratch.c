/* Directories and files to measure in. */
#include "bench/bench.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int bench_fail(const char *what)
{
	(void)fprintf(stderr, "firn-bench: %s: %s\n", what, strerror(errno));
	return -1;
}

int scratch_make(const char *parent, const char *name, char *path, size_t cap)
{
	char *absolute = mkdir(parent, 0755) && errno != EEXIST ? NULL : realpath(parent, NULL);
	if (!absolute)
		return bench_fail(parent);
	int n = snprintf(path, cap, "%s/%s-XXXXXX", absolute,
	                 name); /* a store URI has no relative form */
	free(absolute);
	if (n < 0 || (size_t)n >= cap) {
		errno = ENAMETOOLONG;
		return bench_fail(parent);
	}
	return mkdtemp(path) ? 0 : bench_fail(path);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

void scratch_remove(const char *path)
{
	if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
		(void)bench_fail(path);
}

static int forget_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)at;
	if (type != FTW_F)
		return 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	(void)fdatasync(fd); /* dirty pages do not go */
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	(void)close(fd);
	return 0;
}

void scratch_forget(const char *path)
{
	(void)nftw(path, forget_one, 16, FTW_PHYS);
}

uint8_t *scratch_noise(size_t len)
{
	void *p = NULL;
	if (posix_memalign(&p, 4096, len) != 0)
		return NULL;
	uint64_t x = UINT64_C(0x9e3779b97f4a7c15); /* splitmix64, public domain, Vigna */
	for (size_t i = 0; i + 8 <= len; i += 8) {
		uint64_t z = x += UINT64_C(0x9e3779b97f4a7c15);
		z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
		z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
		z ^= z >> 31;
		memcpy((uint8_t *)p + i, &z, 8);
	}
	return p;
}

static int fill_with_zeros(int fd, uint64_t bytes)
{
	size_t chunk = 1 << 20;
	void *zeros = NULL;
	int rc = posix_memalign(&zeros, 4096, chunk) == 0 ? 0 : -1;
	if (rc == 0)
		memset(zeros, 0, chunk);
	for (uint64_t at = 0; rc == 0 && at < bytes; at += chunk)
		if (pwrite(fd, zeros, chunk, (off_t)at) != (ssize_t)chunk)
			rc = -1;
	free(zeros);
	return rc == 0 ? fsync(fd) : -1;
}

int scratch_file(const char *dir, const char *name, uint64_t bytes, int direct)
{
	char path[4096];
	(void)snprintf(path, sizeof path, "%s/%s", dir, name);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return bench_fail(path);
	/* Where there is no O_DIRECT, the baseline is what the page cache gives. */
	if (direct)
		(void)fcntl(fd, F_SETFL, O_DIRECT);
	if (fill_with_zeros(fd, bytes) == 0)
		return fd;
	(void)bench_fail(path);
	(void)close(fd);
	return -1;
}
