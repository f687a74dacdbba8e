/* Memory, clocks and chance of the operating system; and how a host's env and ours become one. */
#include "engine/os/env.h"
#include "engine/base/newer.h"
#include "engine/base/sum.h"
#include "engine/os/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { HUGE_PAGE = 2 << 20 };

static void *os_alloc(void *ctx, size_t len, size_t align)
{
	void *p;
	(void)ctx;
	if (align <= _Alignof(max_align_t))
		return malloc(len);
	if (posix_memalign(&p, align, len) != 0)
		return NULL;
	if (align >= HUGE_PAGE)
		(void)madvise(p, len, MADV_HUGEPAGE); /* fewer pieces for the disk to gather */
	return p;
}

static void os_release(void *ctx, void *p)
{
	(void)ctx;
	free(p);
}

static int64_t os_now_ms(void *ctx)
{
	struct timespec t;
	(void)ctx;
	(void)clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static uint64_t os_mono_ns(void *ctx)
{
	struct timespec t;
	(void)ctx;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* A sandbox without getrandom and without /dev/urandom: nonces must at least differ. */
static void random_from_clocks(uint8_t *at, size_t len)
{
	while (len) {
		/* Two threads of one process differ by the address. */
		uint64_t seed[4] = { os_mono_ns(NULL), (uint64_t)os_now_ms(NULL),
			             (uint64_t)getpid(), (uint64_t)(uintptr_t)at };
		uint64_t sum = sum64(seed, sizeof seed);
		size_t n = len < sizeof sum ? len : sizeof sum;
		memcpy(at, &sum, n);
		at += n;
		len -= n;
	}
}

static ssize_t random_some(int fd, uint8_t *at, size_t len)
{
	return fd < 0 ? getrandom(at, len, 0) : read(fd, at, len);
}

static void os_random(void *ctx, void *buf, size_t len)
{
	uint8_t *at = buf;
	int fd = -1;
	(void)ctx;
	while (len) {
		ssize_t n = random_some(fd, at, len);
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		} else if (n == 0 || errno != EINTR) {
			if (fd >= 0)
				break;
			fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
			if (fd < 0)
				break;
		}
	}
	if (fd >= 0)
		(void)close(fd);
	if (len)
		random_from_clocks(at, len);
}

static void os_log(void *ctx, uint32_t level, const char *origin, const char *text)
{
	(void)ctx, (void)level, (void)origin, (void)text;
}

#define ENV(files_)                                                                               \
	{                                                                                         \
		.struct_size = sizeof(struct firn_env), .alloc = os_alloc, .release = os_release, \
		.now_ms = os_now_ms, .mono_ns = os_mono_ns, .random = os_random, .log = os_log,   \
		.files = files_,                                                                  \
	}

static const struct firn_env with_uring = ENV(&os_files_uring);
static const struct firn_env with_pwrite = ENV(&os_files_pwrite);

const struct firn_env *env_default(void)
{
	return &with_uring;
}

const struct firn_env *env_default_pwrite(void)
{
	return &with_pwrite;
}

/* ---- a host's env --------------------------------------------------------------------------- */

static int files_are_whole(const struct firn_files *f)
{
	return f->struct_size >= sizeof *f && f->open && f->close && f->read && f->write &&
	       f->sync && f->write_start && f->write_wait && f->size && f->lock && f->rename &&
	       f->remove && f->mkdir && f->sync_dir && f->list && f->space && f->identity;
}

/* Newer host, older library: what we do not know must be unused. */
static bool tail_is_zero(const struct firn_env *given)
{
	return !newer_says_more(given, sizeof *given, given->struct_size) && given->flags == 0;
}

int env_complete(const struct firn_env *given, int wal_uring, struct firn_env *out)
{
	const struct firn_env *own = wal_uring == ENV_URING_NEVER ? &with_pwrite : &with_uring;
	struct firn_env e = { 0 };
	if (given) {
		if (given->struct_size < offsetof(struct firn_env, alloc))
			return -EINVAL;
		if (!tail_is_zero(given))
			return -EOPNOTSUPP;
		size_t size = given->struct_size;
		memcpy(&e, given, size < sizeof e ? size : sizeof e);
	}
	if (!e.alloc != !e.release || (e.files && !files_are_whole(e.files)))
		return -EINVAL;
	e.struct_size = sizeof e;
	e.alloc = e.alloc ? e.alloc : own->alloc;
	e.release = e.release ? e.release : own->release;
	e.now_ms = e.now_ms ? e.now_ms : own->now_ms;
	e.mono_ns = e.mono_ns ? e.mono_ns : own->mono_ns;
	e.random = e.random ? e.random : own->random;
	e.log = e.log ? e.log : own->log;
	e.files = e.files ? e.files : own->files;
	*out = e;
	return 0;
}
