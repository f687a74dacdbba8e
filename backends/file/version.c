/* Versions of objects, and the lock under which they are compared and replaced.
 *
 * The token is "<XXH3-128 of the bytes>-<size>-<mtime in ns>-<inode>", in hex. The nanoseconds are
 * not the clock's but chance (put.c), and rise from one version of a key to the next: so two PUTs
 * of the same bytes differ, too. */
#include "backends/file/file_store.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>
#define XXH_STATIC_LINKING_ONLY /* for a hash state on the stack */
#include <xxhash.h>

enum { READ_BYTES = 256 << 10 };
#define LOCK_PATIENCE_NS UINT64_C(10000000000)

static void version_write(XXH128_hash_t hash, const struct stat *st, struct firn_store_version *out)
{
	uint64_t ns = (uint64_t)st->st_mtim.tv_sec * 1000000000u + (uint64_t)st->st_mtim.tv_nsec;

	memset(out, 0, sizeof *out);
	out->len = (uint32_t)snprintf(out->text, sizeof out->text, "%016llx%016llx-%llx-%llx-%llx",
	                              (unsigned long long)hash.high64,
	                              (unsigned long long)hash.low64,
	                              (unsigned long long)st->st_size, (unsigned long long)ns,
	                              (unsigned long long)st->st_ino);
}

void version_of_iov(const struct iovec *iov, uint32_t n_iov, const struct stat *st,
                    struct firn_store_version *out)
{
	XXH3_state_t state;
	uint64_t left = (uint64_t)st->st_size;

	XXH3_INITSTATE(&state);
	(void)XXH3_128bits_reset(&state);
	for (uint32_t i = 0; i < n_iov && left; i++) {
		size_t n = iov[i].iov_len < left ? iov[i].iov_len : (size_t)left;

		if (n)
			(void)XXH3_128bits_update(&state, iov[i].iov_base, n);
		left -= n;
	}
	version_write(XXH3_128bits_digest(&state), st, out);
}

int version_of_file(struct file_store *s, int fd, const struct stat *st,
                    struct firn_store_version *out)
{
	const struct firn_env *env = s->host->env;
	uint8_t *room = env->alloc(env->ctx, READ_BYTES, 64);
	XXH3_state_t state;
	off_t pos = 0;
	ssize_t n = -1;

	if (!room)
		return -ENOMEM;
	XXH3_INITSTATE(&state);
	(void)XXH3_128bits_reset(&state);
	while (pos <= st->st_size && (n = pread(fd, room, READ_BYTES, pos)) > 0) {
		(void)XXH3_128bits_update(&state, room, (size_t)n);
		pos += n;
	}
	int rc = n < 0 ? -errno : pos != st->st_size ? -EIO : 0;

	env->release(env->ctx, room);
	if (rc == 0)
		version_write(XXH3_128bits_digest(&state), st, out);
	return rc;
}

/* flock() has no time limit, and a stopped process keeps its locks: so ask again and again, for as
 * long as the answer is of use. */
int version_lock(struct file_store *s, const struct firn_store_request *req, int dir, int *lock)
{
	const struct firn_env *env = s->host->env;
	uint64_t patience = req->timeout_us ? req->timeout_us * 1000u : LOCK_PATIENCE_NS;
	uint64_t until = env->mono_ns(env->ctx) +
	                 (patience < LOCK_PATIENCE_NS ? patience : LOCK_PATIENCE_NS);
	long pause_ns = 100000;
	int fd = openat(dir, FILE_LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);

	if (fd < 0)
		return -errno;
	while (flock(fd, LOCK_EX | LOCK_NB)) {
		int error = errno;

		if (error == EWOULDBLOCK && env->mono_ns(env->ctx) < until) {
			struct timespec t = { 0, pause_ns };

			(void)nanosleep(&t, NULL);
			pause_ns = pause_ns < 5000000 ? pause_ns * 2 : pause_ns;
			continue;
		}
		if (error == EINTR)
			continue;
		(void)close(fd);
		return error == EWOULDBLOCK ? -EBUSY : -error;
	}
	*lock = fd;
	return 0;
}
