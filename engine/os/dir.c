/* Names: directories, renames, space left. */
#include "engine/os/env.h"
#include "engine/os/file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

int os_rename(void *ctx, const char *from, const char *to)
{
	(void)ctx;
	return rename(from, to) < 0 ? -errno : 0;
}

int os_remove(void *ctx, const char *path)
{
	(void)ctx;
	return unlink(path) < 0 ? -errno : 0;
}

int os_mkdir(void *ctx, const char *path)
{
	struct stat st;
	(void)ctx;
	if (mkdir(path, 0750) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	if (stat(path, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

static int dir_open(const char *path)
{
	int fd;
	do
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

static int dir_sync(int fd)
{
	int rc;
	do
		rc = fsync(fd);
	while (rc < 0 && errno == EINTR);
	/* A file system without fsync for directories says EINVAL; it writes names through. */
	return rc < 0 && errno != EINVAL ? -errno : 0;
}

int os_sync_dir(void *ctx, const char *path)
{
	int fd = dir_open(path);
	(void)ctx;
	if (fd < 0)
		return fd;
	int rc = dir_sync(fd);
	(void)close(fd);
	return rc;
}

struct os_dir {
	int fd;
};

struct os_dir *os_dir_hold(const struct firn_env *env, const char *path)
{
	struct os_dir *d = os_is_default(env) ? malloc(sizeof *d) : NULL;
	if (!d)
		return NULL;
	d->fd = dir_open(path);
	if (d->fd >= 0)
		return d;
	free(d);
	return NULL;
}

int os_dir_sync(struct os_dir *d)
{
	return dir_sync(d->fd);
}

void os_dir_release(struct os_dir *d)
{
	if (!d)
		return;
	(void)close(d->fd);
	free(d);
}

int os_list(void *ctx, const char *path, int (*each)(void *arg, const char *name), void *arg)
{
	int rc = 0;
	(void)ctx;
	DIR *dir = opendir(path);
	if (!dir)
		return -errno;
	while (rc == 0) {
		errno = 0;
		struct dirent *d = readdir(dir);
		if (!d) {
			rc = -errno;
			break;
		}
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			rc = each(arg, d->d_name);
	}
	(void)closedir(dir);
	return rc;
}

int os_space(void *ctx, const char *path, uint64_t *free_bytes)
{
	struct statvfs s;
	(void)ctx;
	if (statvfs(path, &s) < 0)
		return -errno;
	*free_bytes = (uint64_t)s.f_bavail * s.f_frsize; /* what is kept for root is not ours */
	return 0;
}
