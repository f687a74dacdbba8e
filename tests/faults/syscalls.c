#include "tests/faults/syscalls.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static struct {
	atomic_uint kinds;
	int error;
	bool lasting;
	atomic_llong left, n_failed;
	_Atomic(const char *) first;
} armed;

void syscalls_arm(uint32_t kinds, int error, long long n, bool lasting)
{
	atomic_store(&armed.kinds, 0);
	armed.error = error;
	armed.lasting = lasting;
	atomic_store(&armed.left, n);
	atomic_store(&armed.n_failed, 0);
	atomic_store(&armed.first, "");
	atomic_store(&armed.kinds, kinds);
}

void syscalls_disarm(void)
{
	atomic_store(&armed.kinds, 0);
}

long long syscalls_failed(const char **first)
{
	*first = atomic_load(&armed.first);
	return atomic_load(&armed.n_failed);
}

static bool fails(uint32_t kind, const char *name)
{
	if (!(atomic_load(&armed.kinds) & kind))
		return false;
	long long before = atomic_fetch_sub(&armed.left, 1);
	bool now = before == 1 || (armed.lasting && before < 1);
	if (now && atomic_fetch_add(&armed.n_failed, 1) == 0)
		atomic_store(&armed.first, name);
	if (now)
		errno = armed.error;
	return now;
}

/* The function of that name behind ours; looked up once. A function pointer goes through a union:
 * ISO C knows no cast from void *. */
static void next_of(void *slot, const char *name)
{
	void *found = dlsym(RTLD_NEXT, name);
	__builtin_memcpy(slot, &found, sizeof found);
}

/* LMDB's shared library shall find them as well. */
#pragma GCC visibility push(default)

/* result NAME(parameters): fails, or is handed on. */
#define WRAP(result, name, parameters, arguments) \
	result name parameters                    \
	{                                         \
		static result(*next) parameters;  \
		if (!next)                        \
			next_of(&next, #name);    \
		if (fails(SYSCALLS_IO, #name))    \
			return (result)-1;        \
		return next arguments;            \
	}

WRAP(ssize_t, pread, (int fd, void *buf, size_t len, off_t pos), (fd, buf, len, pos))
WRAP(ssize_t, pwrite, (int fd, const void *buf, size_t len, off_t pos), (fd, buf, len, pos))
WRAP(ssize_t, writev, (int fd, const struct iovec *iov, int n), (fd, iov, n))
WRAP(int, fsync, (int fd), (fd))
WRAP(int, fdatasync, (int fd), (fd))
WRAP(int, ftruncate, (int fd, off_t len), (fd, len))
WRAP(int, fstat, (int fd, struct stat *st), (fd, st))
WRAP(int, fstatat, (int fd, const char *path, struct stat *st, int flags), (fd, path, st, flags))
WRAP(int, rename, (const char *from, const char *to), (from, to))
WRAP(int, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to))
WRAP(int, link, (const char *from, const char *to), (from, to))
WRAP(int, linkat, (int a, const char *from, int b, const char *to, int flags),
     (a, from, b, to, flags))
WRAP(int, unlink, (const char *path), (path))
WRAP(int, unlinkat, (int fd, const char *path, int flags), (fd, path, flags))
WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode))
WRAP(int, mkdirat, (int fd, const char *path, mode_t mode), (fd, path, mode))
WRAP(int, eventfd, (unsigned count, int flags), (count, flags))

/* Eight bytes are an eventfd's, which has no way to fail. */
ssize_t read(int fd, void *buf, size_t len)
{
	static ssize_t (*next)(int, void *, size_t);
	if (!next)
		next_of(&next, "read");
	return len != 8 && fails(SYSCALLS_IO, "read") ? -1 : next(fd, buf, len);
}

ssize_t write(int fd, const void *buf, size_t len)
{
	static ssize_t (*next)(int, const void *, size_t);
	if (!next)
		next_of(&next, "write");
	return len != 8 && fails(SYSCALLS_IO, "write") ? -1 : next(fd, buf, len);
}

int open(const char *path, int flags, ...)
{
	static int (*next)(const char *, int, ...);
	va_list ap;
	va_start(ap, flags);
	mode_t mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	if (!next)
		next_of(&next, "open");
	return fails(SYSCALLS_IO, "open") ? -1 : next(path, flags, mode);
}

int openat(int fd, const char *path, int flags, ...)
{
	static int (*next)(int, const char *, int, ...);
	va_list ap;
	va_start(ap, flags);
	mode_t mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	if (!next)
		next_of(&next, "openat");
	return fails(SYSCALLS_IO, "openat") ? -1 : next(fd, path, flags, mode);
}

int io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags)
{
	static int (*next)(unsigned, struct io_uring *, unsigned);
	if (!next)
		next_of(&next, "io_uring_queue_init");
	return fails(SYSCALLS_IO, "io_uring_queue_init") ? -armed.error
	                                                 : next(entries, ring, flags);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
	static int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
	if (!next)
		next_of(&next, "pthread_create");
	return fails(SYSCALLS_THREADS, "pthread_create") ? EAGAIN : next(thread, attr, run, arg);
}
