/* GET, STAT and DELETE. A file that has its name never changes, it is only replaced: so an open
 * file is one version of the object. */
#include "backends/file/file_store.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int open_object(int dir, const char *leaf, int *fd, struct stat *st)
{
	/* NONBLOCK: a FIFO that someone left there must not hold us. */
	int f = openat(dir, leaf, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	int rc = 0;

	if (f < 0)
		return -errno;
	if (fstat(f, st))
		rc = -errno;
	else if (S_ISDIR(st->st_mode))
		rc = -ENOENT;
	else if (!S_ISREG(st->st_mode))
		rc = -EINVAL;
	if (rc) {
		(void)close(f);
		return rc;
	}
	*fd = f;
	return 0;
}

static int read_range(int fd, struct firn_store_request *req)
{
	for (uint32_t i = 0; i < req->n_iov; i += 64) {
		struct iovec part[64], *p = part;
		int left = (int)(req->n_iov - i < 64 ? req->n_iov - i : 64);

		memcpy(part, req->iov + i, (size_t)left * sizeof part[0]);
		while (left > 0) {
			ssize_t n = preadv(fd, p, left, (off_t)(req->pos + req->got));

			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0)
				return -errno;
			if (n == 0)
				return 0;
			req->got += (uint64_t)n;
			for (; left > 0 && (size_t)n >= p->iov_len; p++, left--)
				n -= (ssize_t)p->iov_len;
			if (left > 0) {
				p->iov_base = (char *)p->iov_base + n;
				p->iov_len -= (size_t)n;
			}
		}
	}
	return 0;
}

static int get_opened(struct file_store *s, struct firn_store_request *req, int fd,
                      const struct stat *st)
{
	int rc = 0;

	req->size = (uint64_t)st->st_size;
	req->mtime_ms = st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000;
	if (req->op == FIRN_STORE_GET && req->pos < req->size)
		rc = read_range(fd, req);
	if (rc || !(req->flags & FIRN_STORE_WANT_VERSION))
		return rc;
	if (req->op == FIRN_STORE_GET && req->pos == 0 && req->got == req->size) {
		version_of_iov(req->iov, req->n_iov, st, &req->version);
		return 0;
	}
	return version_of_file(s, fd, st, &req->version);
}

void file_get(struct file_store *s, struct firn_store_request *req)
{
	int dir = -1, fd = -1;
	const char *leaf;
	struct stat st;
	int rc = req->pos > INT64_MAX ? -EINVAL : path_open_parent(s, req->key, 0, &dir, &leaf);

	if (rc == 0)
		rc = open_object(dir, leaf, &fd, &st);
	if (rc == 0)
		rc = get_opened(s, req, fd, &st);
	if (rc)
		path_fail(req, -rc, "reading the object");
	if (fd >= 0)
		(void)close(fd);
	if (dir >= 0)
		(void)close(dir);
}

static int delete_locked(int dir, const char *leaf)
{
	struct stat st;

	if (fstatat(dir, leaf, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? 0 : -errno;
	if (S_ISDIR(st.st_mode))
		return 0; /* no object of that name */
	if (!S_ISREG(st.st_mode))
		return -ELOOP;
	if (unlinkat(dir, leaf, 0) && errno != ENOENT)
		return -errno;
	return 0;
}

/* The directory is flushed even if the object was not there: an earlier DELETE that did not get so
 * far may be what we are asked to complete. */
void file_delete(struct file_store *s, struct firn_store_request *req)
{
	int dir = -1, lock = -1;
	const char *leaf;
	int rc = path_open_parent(s, req->key, 0, &dir, &leaf);

	if (rc == -ENOENT || rc == -ENOTDIR)
		return;
	if (rc == 0)
		rc = version_lock(s, req, dir, &lock);
	if (rc == 0)
		rc = delete_locked(dir, leaf);
	if (lock >= 0)
		(void)close(lock);
	if (rc) {
		path_fail(req, -rc, "deleting the object");
	} else if (fsync(dir)) {
		path_fail(req, errno, "flushing the object's directory");
		req->outcome = FIRN_STORE_AMBIGUOUS;
		req->code = FIRN_ESTORE;
	}
	if (dir >= 0)
		(void)close(dir);
}
