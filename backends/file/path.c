/* From a key to a place, one component at a time and never through a symbolic link: what is below
 * the root stays below the root, whoever else writes into the directory. */
#include "backends/file/file_store.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { DIR_FLAGS = O_RDONLY | O_DIRECTORY | O_CLOEXEC };

/* ---- known directories ---- */

static struct file_dir *dir_place(struct file_store *s, uint64_t dev, uint64_t inode)
{
	const size_t n = sizeof s->dirs / sizeof s->dirs[0];
	size_t at = (size_t)((inode ^ dev << 7) * 0x9e3779b97f4a7c15u >> 32) % n;

	while (s->dirs[at].inode && (s->dirs[at].inode != inode || s->dirs[at].dev != dev))
		at = (at + 1) % n;
	return &s->dirs[at];
}

uint32_t path_dir_flags(struct file_store *s, const struct stat *st, uint32_t add)
{
	uint32_t flags;

	pthread_mutex_lock(&s->lock);
	if (add && s->n_dirs == FILE_DIRS_KNOWN) {
		memset(s->dirs, 0, sizeof s->dirs); /* forgetting only costs a flush more */
		s->n_dirs = 0;
	}
	struct file_dir *d = dir_place(s, st->st_dev, st->st_ino);

	flags = d->inode ? d->flags : 0;
	if (add) {
		s->n_dirs += d->inode == 0;
		d->dev = st->st_dev;
		d->inode = st->st_ino;
		d->flags = flags | add;
	}
	pthread_mutex_unlock(&s->lock);
	return flags;
}

/* ---- walking ---- */

/* openat() says ENOTDIR for a link as well as for a file: tell them apart. */
static int why_not(int parent, const char *name, int error)
{
	struct stat st;

	if (error != ENOTDIR && error != ELOOP)
		return -error;
	if (!fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) && S_ISLNK(st.st_mode))
		return -ELOOP;
	return -ENOTDIR;
}

/* Makes sure that a directory found or made by anyone is still there after a power cut. */
static int make_durable(struct file_store *s, int parent, int child)
{
	struct stat st;

	if (fstat(child, &st))
		return -errno;
	if (path_dir_flags(s, &st, 0) & FILE_DIR_DURABLE)
		return 0;
	if (fsync(parent))
		return -errno;
	(void)path_dir_flags(s, &st, FILE_DIR_DURABLE);
	return 0;
}

static int step_down(struct file_store *s, int parent, const char *name, int create, int *child)
{
	int fd = openat(parent, name, DIR_FLAGS | O_NOFOLLOW);

	if (fd < 0 && errno == ENOENT && create) {
		if (mkdirat(parent, name, 0777) && errno != EEXIST)
			return -errno;
		fd = openat(parent, name, DIR_FLAGS | O_NOFOLLOW);
	}
	if (fd < 0)
		return why_not(parent, name, errno);
	int rc = create ? make_durable(s, parent, fd) : 0;

	if (rc) {
		(void)close(fd);
		return rc;
	}
	*child = fd;
	return 0;
}

/* Down through the components that end in a slash within the first len bytes. */
static int walk_down(struct file_store *s, const char *path, size_t len, int create, int *dir)
{
	int fd = fcntl(s->root, F_DUPFD_CLOEXEC, 0);
	int rc = fd < 0 ? -errno : 0;

	for (size_t at = 0; rc == 0 && at < len;) {
		size_t n = (size_t)((const char *)memchr(path + at, '/', len - at) - (path + at));
		char name[FILE_NAME_ROOM];
		int child = -1;

		memcpy(name, path + at, n); /* n <= 255: the key was checked */
		name[n] = 0;
		at += n + 1;
		rc = step_down(s, fd, name, create, &child);
		(void)close(fd);
		fd = child;
	}
	if (rc == 0)
		*dir = fd;
	return rc;
}

int path_open_parent(struct file_store *s, const char *key, int create, int *dir, const char **leaf)
{
	const char *slash = strrchr(key, '/');
	size_t len = slash ? (size_t)(slash - key) + 1 : 0;

	*leaf = key + len;
	return walk_down(s, key, len, create, dir);
}

int path_open_dir(struct file_store *s, const char *path, size_t len, int *dir)
{
	return walk_down(s, path, len, 0, dir);
}

/* ---- the root ---- */

/* The operator's own path: links are followed. Each new directory is flushed into its parent. */
int path_make_root(const char *path, int *root)
{
	char part[4096];
	size_t len = strlen(path), at = 1;
	int fd = open("/", DIR_FLAGS);

	if (len >= sizeof part)
		return close(fd), -ENAMETOOLONG;
	while (fd >= 0 && at < len) {
		size_t n = strcspn(path + at, "/");
		int child;

		if (n == 0) {
			at++;
			continue;
		}
		memcpy(part, path + at, n);
		part[n] = 0;
		at += n;
		child = openat(fd, part, DIR_FLAGS);
		if (child < 0 && errno == ENOENT) {
			int rc = mkdirat(fd, part, 0777) && errno != EEXIST ? -errno : 0;

			if (rc == 0 && fsync(fd))
				rc = -errno;
			if (rc)
				return close(fd), rc;
			child = openat(fd, part, DIR_FLAGS);
		}
		int error = errno;

		(void)close(fd);
		errno = error;
		fd = child;
	}
	if (fd < 0)
		return -errno;
	*root = fd;
	return 0;
}

/* ---- what an errno means ---- */

static int is_writing(const struct firn_store_request *req)
{
	return req->op == FIRN_STORE_PUT || req->op == FIRN_STORE_DELETE;
}

void path_fail(struct firn_store_request *req, int error, const char *doing)
{
	uint32_t outcome = FIRN_STORE_PERMANENT;
	char text[200], reason[96];
	int code;

	switch (error) {
	case ENOENT:
		code = FIRN_ENOENT;
		break;
	case ELOOP:
	case ENAMETOOLONG:
	case EINVAL:
		code = FIRN_EINVAL;
		break;
	case ENOTDIR: /* `a/b` while `a` is an object */
		code = is_writing(req) ? FIRN_EUNSUPPORTED : FIRN_ENOENT;
		break;
	case EISDIR: /* `a` while there are keys below `a/` */
		code = FIRN_EUNSUPPORTED;
		break;
	case ENOSPC:
	case EDQUOT:
		code = FIRN_ENOSPC;
		break;
	case EFBIG:
		code = FIRN_ETOOBIG;
		break;
	case EROFS:
	case EACCES:
	case EPERM:
		code = is_writing(req) ? FIRN_EREADONLY : FIRN_ESTORE;
		break;
	case ENOMEM:
	case EMFILE:
	case ENFILE:
	case EINTR:
	case EAGAIN:
	case EBUSY:
	case ENOLCK:
	case ESTALE:
	case ETIMEDOUT:
		code = FIRN_ESTORE;
		outcome = FIRN_STORE_RETRY;
		break;
	default:
		code = FIRN_EIO;
	}
	(void)snprintf(text, sizeof text, "%s: %s", doing,
	               error == ENOTDIR || error == EISDIR
	                       ? "a file system cannot hold both `a` and `a/b`"
	               : error == ELOOP ? "a symbolic link is in the way"
	                                : strerror_r(error, reason, sizeof reason));
	firn_store_set_error(req, outcome, code, error, text);
}
