/* Files of the default environment: pread and pwrite, O_DIRECT where there is, durable writes.
 *
 *   write_start ─► ring? ─► io_uring ─► write_wait ─► short, EINTR, EAGAIN ─┐
 *                    └─ no ─► pwrite the rest, fdatasync  ◄─────────────────┘
 *
 * O_DIRECT is switched on after open(): a file system that refuses it would otherwise have created
 * the file already, and a second open with O_EXCL would find it. Some refuse only the first read or
 * write; then it is switched off for good.
 *
 * A ring is never given the file to keep (no registered files): the kernel frees a ring late, and
 * with it would linger the flock of a process that is gone. A write in flight does hold the file,
 * and so the lock, until the disk has it: that is wanted. */
#include "engine/os/file.h"
#include "engine/os/env.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- open, close ---------------------------------------------------------------------------- */

static int open_fd(const char *path, uint32_t flags)
{
	int how = O_CLOEXEC | (flags & FIRN_OPEN_READ_ONLY ? O_RDONLY : O_RDWR);
	if (flags & FIRN_OPEN_CREATE)
		how |= O_CREAT;
	if (flags & FIRN_OPEN_EXCLUSIVE)
		how |= O_EXCL;
	int fd;
	do
		fd = open(path, how, 0640);
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

static int set_direct(int fd, int on)
{
	int fl = fcntl(fd, F_GETFL);
	if (fl < 0)
		return -1;
	return fcntl(fd, F_SETFL, on ? fl | O_DIRECT : fl & ~O_DIRECT);
}

static int file_open(const char *path, uint32_t flags, int uring, void **file)
{
	struct os_file *f = calloc(1, sizeof *f);
	if (!f)
		return -ENOMEM;
	f->fd = open_fd(path, flags);
	if (f->fd < 0) {
		int rc = f->fd;
		free(f);
		return rc;
	}
	if (flags & FIRN_OPEN_DIRECT)
		atomic_init(&f->direct, set_direct(f->fd, 1) == 0);
	/* Whatever the reason why there is no ring (ENOSYS, EPERM, seccomp, limits): it can be done
	 * without. */
	if (uring && (flags & FIRN_OPEN_DURABLE) && os_ring_open(f->fd, &f->ring) < 0)
		f->ring = NULL;
	*file = f;
	return 0;
}

static int file_open_uring(void *ctx, const char *path, uint32_t flags, void **file)
{
	(void)ctx;
	return file_open(path, flags, 1, file);
}

static int file_open_pwrite(void *ctx, const char *path, uint32_t flags, void **file)
{
	(void)ctx;
	return file_open(path, flags, 0, file);
}

static int file_write_wait(void *ctx, void *file);

static int file_close(void *ctx, void *file)
{
	struct os_file *f = file;
	/* The kernel may still read the caller's buffer: not before that has ended. */
	int rc = f->buf ? file_write_wait(ctx, f) : 0;
	os_ring_close(f->ring);
	/* After EINTR the descriptor is gone as well: never close twice. */
	if (close(f->fd) < 0 && errno != EINTR && rc == 0)
		rc = -errno;
	free(f);
	return rc;
}

/* ---- read, write, sync ---------------------------------------------------------------------- */

static int is_aligned(const void *buf, size_t len, uint64_t pos)
{
	return (((uintptr_t)buf | len | pos) & (OS_ALIGN - 1)) == 0;
}

/* After EINVAL: is it worth trying again? Yes, once per file, without O_DIRECT. Another thread may
 * have switched it off in between, then too. An unaligned request is the caller's mistake. */
static int drop_direct(struct os_file *f, int was_direct, const void *buf, size_t len, uint64_t pos)
{
	if (!was_direct || !is_aligned(buf, len, pos))
		return 0;
	if (set_direct(f->fd, 0) < 0)
		return 0;
	atomic_store(&f->direct, 0);
	return 1;
}

static int64_t file_read(void *ctx, void *file, void *buf, size_t len, uint64_t pos)
{
	struct os_file *f = file;
	uint8_t *at = buf;
	size_t done = 0;
	(void)ctx;
	while (done < len) {
		int direct = atomic_load(&f->direct);
		ssize_t n = pread(f->fd, at + done, len - done, (off_t)(pos + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EINVAL &&
		    drop_direct(f, direct, at + done, len - done, pos + done))
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
		/* An odd length under O_DIRECT is the end of the file; more would be unaligned. */
		if (n == 0 || (direct && (n & (OS_ALIGN - 1))))
			break;
	}
	return (int64_t)done;
}

static int is_full(int err)
{
	return err == ENOSPC || err == EDQUOT || err == EFBIG;
}

int64_t os_file_write(void *ctx, void *file, const void *buf, size_t len, uint64_t pos)
{
	struct os_file *f = file;
	const uint8_t *at = buf;
	size_t done = 0;
	(void)ctx;
	while (done < len) {
		int direct = atomic_load(&f->direct);
		ssize_t n = pwrite(f->fd, at + done, len - done, (off_t)(pos + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EINVAL &&
		    drop_direct(f, direct, at + done, len - done, pos + done))
			continue;
		if (n < 0)
			return done && is_full(errno) ? (int64_t)done : -errno;
		if (n == 0)
			return done ? (int64_t)done : -EIO; /* never seen; must not spin */
		done += (size_t)n;
	}
	return (int64_t)done;
}

/* After a failed write-back the kernel counts the pages as clean: they read as if they were on the medium,
 * and the next flush says nothing of them. Let go, they are read from there. */
static int flush_failed(struct os_file *f, int rc)
{
	(void)posix_fadvise(f->fd, 0, 0, POSIX_FADV_DONTNEED);
	return rc;
}

int os_file_sync(void *ctx, void *file)
{
	struct os_file *f = file;
	int rc;
	(void)ctx;
	do
		rc = fdatasync(f->fd);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? flush_failed(f, -errno) : 0;
}

/* ---- durable write -------------------------------------------------------------------------- */

/* What is left of a durable write, by hand. A second pwrite tells why the first was short. */
static int write_rest(struct os_file *f, const uint8_t *buf, size_t len, uint64_t pos)
{
	while (len) {
		int64_t n = os_file_write(NULL, f, buf, len, pos);
		if (n < 0)
			return (int)n;
		buf += n;
		len -= (size_t)n;
		pos += (uint64_t)n;
	}
	return os_file_sync(NULL, f);
}

static void drop_ring(struct os_file *f)
{
	os_ring_close(f->ring);
	f->ring = NULL;
}

static int file_write_start(void *ctx, void *file, const void *buf, size_t len, uint64_t pos)
{
	struct os_file *f = file;
	(void)ctx;
	if (f->buf)
		return -EBUSY;
	if (f->ring && len <= INT32_MAX) {
		if (os_ring_start(f->ring, f->fd, buf, len, pos) == 0) {
			f->buf = buf;
			f->len = len;
			f->pos = pos;
			return 0;
		}
		drop_ring(f);
	}
	int rc = write_rest(f, buf, len, pos);
	return rc < 0 ? rc : 1;
}

static int file_write_wait(void *ctx, void *file)
{
	struct os_file *f = file;
	const uint8_t *buf = f->buf;
	int durable = 0;
	(void)ctx;
	if (!buf)
		return 0;
	f->buf = NULL;
	int64_t n = os_ring_wait(f->ring, &durable);
	if (n == (int64_t)f->len && durable)
		return 0;
	/* The kernel does not know the request, or the file system no O_DIRECT: see by hand. */
	if (n == -EINVAL || n == -EOPNOTSUPP) {
		drop_ring(f);
		n = 0;
	}
	if (n == -EINTR || n == -EAGAIN)
		n = 0;
	if (n < 0)
		return flush_failed(f, (int)n);
	return write_rest(f, buf + n, f->len - (size_t)n, f->pos + (uint64_t)n);
}

/* ---- the rest of the handle's verbs --------------------------------------------------------- */

static int file_size(void *ctx, void *file, uint64_t *bytes)
{
	struct os_file *f = file;
	struct stat st;
	(void)ctx;
	if (fstat(f->fd, &st) < 0)
		return -errno;
	*bytes = (uint64_t)st.st_size;
	return 0;
}

/* flock, not fcntl locks: those belong to the process and vanish with any close() of the file. */
static int file_lock(void *ctx, void *file)
{
	struct os_file *f = file;
	int rc;
	(void)ctx;
	do
		rc = flock(f->fd, LOCK_EX | LOCK_NB);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : 0;
}

#define FILES(open_)                                                                               \
	{                                                                                          \
		.struct_size = sizeof(struct firn_files), .open = open_, .close = file_close,      \
		.read = file_read, .write = os_file_write, .sync = os_file_sync,                   \
		.write_start = file_write_start, .write_wait = file_write_wait, .size = file_size, \
		.lock = file_lock, .rename = os_rename, .remove = os_remove, .mkdir = os_mkdir,    \
		.sync_dir = os_sync_dir, .list = os_list, .space = os_space,                       \
		.identity = os_identity,                                                           \
	}

const struct firn_files os_files_uring = FILES(file_open_uring);
const struct firn_files os_files_pwrite = FILES(file_open_pwrite);

int os_is_default(const struct firn_env *env)
{
	return env->files == &os_files_uring || env->files == &os_files_pwrite;
}

static const struct os_file *ours(const struct firn_env *env, void *file)
{
	return os_is_default(env) ? file : NULL;
}

int os_file_direct(const struct firn_env *env, void *file)
{
	const struct os_file *f = ours(env, file);
	return f ? atomic_load(&f->direct) : -1;
}

int os_file_uring(const struct firn_env *env, void *file)
{
	const struct os_file *f = ours(env, file);
	return f ? f->ring != NULL : -1;
}
