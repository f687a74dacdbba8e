/* PUT: the bytes go into a temporary file of the same directory, are flushed, and get their name in
 * one step of the file system:
 *
 *	if absent        link()                            the kernel lets one win
 *	always           lock, rename()
 *	if match         lock, compare, rename()
 *	then             fsync() of the directory
 *
 * Killed before that step: a temporary file is left, removed by the next writer a day later. Killed
 * after it: the object is whole. Replacing and deleting take the directory's lock, else a PUT
 * between another's comparison and rename would be lost. */
#include "backends/file/file_store.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/uio.h>
#include <unistd.h>

enum { TEMP_LIFE_MS = 24 * 3600 * 1000 };

struct put {
	struct file_store *s;
	struct firn_store_request *req;
	const char *leaf;
	const char *doing; /* for the message, should it fail */
	int dir, temp;
	char temp_name[48];
	struct stat st; /* of the temporary file */
};

/* A writer that was killed leaves its bytes behind; deleted data must not survive in there. Once
 * per directory and handle. A day: no writer takes that long. */
static void sweep(struct file_store *s, int dir)
{
	int64_t now = s->host->env->now_ms(s->host->env->ctx);
	struct dirent *e;
	struct stat st;
	DIR *d;
	int fd;

	if (fstat(dir, &st) || path_dir_flags(s, &st, FILE_DIR_SWEPT) & FILE_DIR_SWEPT)
		return;
	fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		if (fd >= 0)
			(void)close(fd);
		return;
	}
	while ((e = readdir(d)))
		if (!strncmp(e->d_name, FILE_TEMP_NAME, sizeof FILE_TEMP_NAME - 1) &&
		    !fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode) &&
		    now - (int64_t)st.st_mtim.tv_sec * 1000 > TEMP_LIFE_MS)
			(void)unlinkat(dir, e->d_name, 0);
	(void)closedir(d);
}

static int write_all(int fd, const struct iovec *iov, uint32_t n_iov)
{
	struct iovec part[64];

	for (uint32_t i = 0, n = 0; i < n_iov; i += n) {
		struct iovec *p = part;
		int left;

		n = n_iov - i < 64 ? n_iov - i : 64;
		memcpy(part, iov + i, n * sizeof part[0]);
		for (left = (int)n; left > 0;) {
			ssize_t done = writev(fd, p, left);

			if (done < 0 && errno == EINTR)
				continue;
			if (done < 0)
				return -errno;
			for (; left > 0 && (size_t)done >= p->iov_len; p++, left--)
				done -= (ssize_t)p->iov_len;
			if (left > 0) {
				p->iov_base = (char *)p->iov_base + done;
				p->iov_len -= (size_t)done;
			}
		}
	}
	return 0;
}

/* The time of the temporary file becomes the version's: the clock's milliseconds, and chance below.
 */
static int set_time(struct put *p, int64_t ns)
{
	struct timespec t[2] = { { 0, UTIME_OMIT }, { ns / 1000000000, ns % 1000000000 } };

	if (futimens(p->temp, t) || fsync(p->temp) || fstat(p->temp, &p->st))
		return -errno;
	return 0;
}

/* By one nanosecond, or by as much as this file system can tell apart. */
static int set_time_above(struct put *p, int64_t ns)
{
	static const int64_t steps[] = { 1, 1000, 1000000, 2000000000 };
	int rc = 0;

	for (int i = 0; rc == 0 && i < 4; i++) {
		rc = set_time(p, ns + steps[i]);
		if (p->st.st_mtim.tv_sec * 1000000000 + p->st.st_mtim.tv_nsec > ns)
			break;
	}
	return rc;
}

static int write_temp(struct put *p)
{
	const struct firn_env *env = p->s->host->env;
	uint64_t chance[2];

	env->random(env->ctx, chance, sizeof chance);
	p->doing = "creating a temporary file";
	(void)snprintf(p->temp_name, sizeof p->temp_name, FILE_TEMP_NAME "%016llx",
	               (unsigned long long)chance[0]);
	p->temp = openat(p->dir, p->temp_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
	                 0666);
	if (p->temp < 0) {
		p->temp_name[0] = 0;
		return -errno;
	}
	p->doing = "writing the temporary file";
	int rc = write_all(p->temp, p->req->iov, p->req->n_iov);

	return rc ? rc
	          : set_time(p, env->now_ms(env->ctx) * 1000000 + (int64_t)(chance[1] % 1000000));
}

/* Neither a directory nor a link is an object, and neither is replaced. */
static int kind_error(const struct stat *st)
{
	return S_ISREG(st->st_mode) ? 0 : S_ISDIR(st->st_mode) ? -EISDIR : -ELOOP;
}

static int put_if_absent(struct put *p)
{
	struct stat st;

	p->doing = "linking the object";
	if (linkat(p->dir, p->temp_name, p->dir, p->leaf, 0) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	if (fstatat(p->dir, p->leaf, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? -EAGAIN : -errno;
	/* NFS may repeat a link() whose answer was lost, and then says EEXIST to its own success.
	 */
	if (st.st_ino == p->st.st_ino && st.st_dev == p->st.st_dev)
		return 0;
	int rc = kind_error(&st);

	return rc ? rc : -EEXIST;
}

/* Under the lock: does the object have the version asked for? -EEXIST: another. */
static int compare(struct put *p)
{
	struct firn_store_version now;
	struct stat st;
	int fd = openat(p->dir, p->leaf, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return -errno;
	rc = fstat(fd, &st) ? -errno : version_of_file(p->s, fd, &st, &now);
	(void)close(fd);
	if (rc == 0 &&
	    (now.len != p->req->match->len || memcmp(now.text, p->req->match->text, now.len)))
		rc = -EEXIST;
	return rc;
}

static int replace_locked(struct put *p)
{
	struct stat old;
	int rc = 0;

	p->doing = "looking at the object to replace";
	if (fstatat(p->dir, p->leaf, &old, AT_SYMLINK_NOFOLLOW)) {
		if (errno != ENOENT || p->req->condition == FIRN_STORE_IF_MATCH)
			return -errno;
	} else {
		int64_t mine = p->st.st_mtim.tv_sec * 1000000000 + p->st.st_mtim.tv_nsec;
		int64_t its = old.st_mtim.tv_sec * 1000000000 + old.st_mtim.tv_nsec;

		rc = kind_error(&old);
		if (rc == 0 && p->req->condition == FIRN_STORE_IF_MATCH)
			rc = compare(p);
		if (rc == 0 && mine <= its) /* a clock that stepped back, or two in one ms */
			rc = set_time_above(p, its);
	}
	if (rc)
		return rc;
	p->doing = "renaming the object";
	if (renameat(p->dir, p->temp_name, p->dir, p->leaf))
		return errno == ENOENT ? -EAGAIN : -errno;
	p->temp_name[0] = 0;
	return 0;
}

static int replace(struct put *p)
{
	int lock = -1, rc;

	p->doing = "locking the object's directory";
	rc = version_lock(p->s, p->req, p->dir, &lock);
	if (rc)
		return rc;
	rc = replace_locked(p);
	(void)close(lock); /* unlocks */
	return rc;
}

static void put_done(struct put *p, int rc)
{
	if (rc == -EEXIST && p->req->condition == FIRN_STORE_IF_ABSENT) {
		firn_store_set_error(p->req, FIRN_STORE_PERMANENT, FIRN_ECONFLICT, 0,
		                     "the key exists");
	} else if (rc == -EEXIST && p->req->condition == FIRN_STORE_IF_MATCH) {
		firn_store_set_error(p->req, FIRN_STORE_PERMANENT, FIRN_ECONFLICT, 0,
		                     "the object has another version");
	} else if (rc) {
		path_fail(p->req, -rc, p->doing);
	} else if (fsync(p->dir)) {
		/* It has its name, but a power cut may take that back. */
		path_fail(p->req, errno, "flushing the object's directory");
		p->req->outcome = FIRN_STORE_AMBIGUOUS;
		p->req->code = FIRN_ESTORE;
	} else {
		version_of_iov(p->req->iov, p->req->n_iov, &p->st, &p->req->version);
	}
}

void file_put(struct file_store *s, struct firn_store_request *req)
{
	struct put p = {
		.s = s, .req = req, .dir = -1, .temp = -1, .doing = "opening the object's directory"
	};
	int may_create = req->condition != FIRN_STORE_IF_MATCH;
	int rc = path_open_parent(s, req->key, may_create, &p.dir, &p.leaf);

	if (rc == 0) {
		sweep(s, p.dir);
		rc = write_temp(&p);
	}
	if (rc == 0)
		rc = req->condition == FIRN_STORE_IF_ABSENT ? put_if_absent(&p) : replace(&p);
	if (rc == -ENOENT && may_create)
		rc = -EAGAIN; /* directory or temporary file removed under our feet */
	if (p.temp_name[0])
		(void)unlinkat(p.dir, p.temp_name, 0);
	put_done(&p, rc);
	if (p.temp >= 0)
		(void)close(p.temp);
	if (p.dir >= 0)
		(void)close(p.dir);
}
