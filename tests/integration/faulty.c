#include "tests/integration/faulty.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* True: this call is the one that fails. */
static bool fails(struct faulty *f, uint32_t kind)
{
	if (!(f->kinds & kind))
		return false;
	long long before = atomic_fetch_sub(&f->left, 1);
	bool now = before == 1 || (f->lasting && before < 1);
	if (now)
		atomic_fetch_add(&f->n_failed, 1);
	return now;
}

#define BASE(f) ((f)->base->files)
#define CTX(f) ((f)->base->ctx)

static int f_open(void *ctx, const char *path, uint32_t flags, void **file)
{
	struct faulty *f = ctx;
	if (fails(f, FAULT_NAMES) || (flags & FIRN_OPEN_CREATE && fails(f, FAULT_CREATE)) ||
	    (flags & FIRN_OPEN_READ_ONLY && fails(f, FAULT_OPEN_TO_READ)))
		return f->error;
	return BASE(f)->open(CTX(f), path, flags, file);
}

static int f_close(void *ctx, void *file)
{
	struct faulty *f = ctx;
	return BASE(f)->close(CTX(f), file);
}

static int64_t f_read(void *ctx, void *file, void *buf, size_t len, uint64_t pos)
{
	struct faulty *f = ctx;
	return fails(f, FAULT_READS) ? f->error : BASE(f)->read(CTX(f), file, buf, len, pos);
}

static int64_t f_write(void *ctx, void *file, const void *buf, size_t len, uint64_t pos)
{
	struct faulty *f = ctx;
	return fails(f, FAULT_WRITES) ? f->error : BASE(f)->write(CTX(f), file, buf, len, pos);
}

static int f_sync(void *ctx, void *file)
{
	struct faulty *f = ctx;
	return fails(f, FAULT_WRITES) ? f->error : BASE(f)->sync(CTX(f), file);
}

static int f_write_start(void *ctx, void *file, const void *buf, size_t len, uint64_t pos)
{
	struct faulty *f = ctx;
	if (!fails(f, FAULT_WRITES))
		return BASE(f)->write_start(CTX(f), file, buf, len, pos);
	if (f->torn && len > 4096)
		(void)BASE(f)->write(CTX(f), file, buf, len / 2 & ~(size_t)4095, pos);
	return f->error;
}

/* A flush that fails: the bytes are there all the same, as they may be. */
static int f_write_wait(void *ctx, void *file)
{
	struct faulty *f = ctx;
	int rc = BASE(f)->write_wait(CTX(f), file);
	return fails(f, FAULT_WRITES) ? f->error : rc;
}

static int f_size(void *ctx, void *file, uint64_t *bytes)
{
	struct faulty *f = ctx;
	return BASE(f)->size(CTX(f), file, bytes);
}

static int f_lock(void *ctx, void *file)
{
	struct faulty *f = ctx;
	return BASE(f)->lock(CTX(f), file);
}

static int f_rename(void *ctx, const char *from, const char *to)
{
	struct faulty *f = ctx;
	return fails(f, FAULT_NAMES) ? f->error : BASE(f)->rename(CTX(f), from, to);
}

static int f_remove(void *ctx, const char *path)
{
	struct faulty *f = ctx;
	return fails(f, FAULT_NAMES) ? f->error : BASE(f)->remove(CTX(f), path);
}

static int f_mkdir(void *ctx, const char *path)
{
	struct faulty *f = ctx;
	return fails(f, FAULT_NAMES) ? f->error : BASE(f)->mkdir(CTX(f), path);
}

static int f_sync_dir(void *ctx, const char *path)
{
	struct faulty *f = ctx;
	return fails(f, FAULT_NAMES) ? f->error : BASE(f)->sync_dir(CTX(f), path);
}

static int f_list(void *ctx, const char *path, int (*each)(void *arg, const char *name), void *arg)
{
	struct faulty *f = ctx;
	return fails(f, FAULT_NAMES) ? f->error : BASE(f)->list(CTX(f), path, each, arg);
}

static int f_space(void *ctx, const char *path, uint64_t *free_bytes)
{
	struct faulty *f = ctx;
	return BASE(f)->space(CTX(f), path, free_bytes);
}

static int f_identity(void *ctx, const char *path, struct firn_identity *out)
{
	struct faulty *f = ctx;
	return BASE(f)->identity(CTX(f), path, out);
}

/* The length stands before the bytes, so that what is live is known in bytes. */
static void *f_alloc(void *ctx, size_t len, size_t align)
{
	struct faulty *f = ctx;
	size_t head = align > 16 ? align : 16;
	if (fails(f, FAULT_ALLOC))
		return NULL;
	uint8_t *p = f->base->alloc(CTX(f), len + head, align > 16 ? align : 16);
	if (!p)
		return NULL;
	memcpy(p + head - 16, &len, sizeof len);
	memcpy(p + head - 8, &head, sizeof head);
	atomic_fetch_add(&f->live, 1);
	long long now = atomic_fetch_add(&f->live_bytes, (long long)len) + (long long)len;
	long long peak = atomic_load(&f->peak_bytes);
	while (now > peak && !atomic_compare_exchange_weak(&f->peak_bytes, &peak, now))
		;
	return p + head;
}

static void f_release(void *ctx, void *p)
{
	struct faulty *f = ctx;
	size_t len, head;
	if (!p)
		return;
	memcpy(&len, (uint8_t *)p - 16, sizeof len);
	memcpy(&head, (uint8_t *)p - 8, sizeof head);
	atomic_fetch_sub(&f->live, 1);
	atomic_fetch_sub(&f->live_bytes, (long long)len);
	f->base->release(CTX(f), (uint8_t *)p - head);
}

static int64_t f_now_ms(void *ctx)
{
	struct faulty *f = ctx;
	return f->base->now_ms(CTX(f));
}

static uint64_t f_mono_ns(void *ctx)
{
	struct faulty *f = ctx;
	return f->base->mono_ns(CTX(f));
}

static void f_random(void *ctx, void *buf, size_t len)
{
	struct faulty *f = ctx;
	f->base->random(CTX(f), buf, len);
}

static void f_log(void *ctx, uint32_t level, const char *origin, const char *text)
{
	(void)ctx, (void)level, (void)origin, (void)text;
}

void faulty_init(struct faulty *f, const struct firn_env *base)
{
	memset(f, 0, sizeof *f);
	f->base = base;
	f->files = (struct firn_files){ sizeof f->files, 0,         f_open,     f_close,
		                        f_read,          f_write,   f_sync,     f_write_start,
		                        f_write_wait,    f_size,    f_lock,     f_rename,
		                        f_remove,        f_mkdir,   f_sync_dir, f_list,
		                        f_space,         f_identity };
	f->env = (struct firn_env){ sizeof f->env, 0,         f,        f_alloc, f_release,
		                    f_now_ms,      f_mono_ns, f_random, f_log,   &f->files };
}

void faulty_arm(struct faulty *f, uint32_t kinds, int error, long long n)
{
	f->kinds = n ? kinds : 0;
	f->error = error;
	atomic_store(&f->n_failed, 0);
	atomic_store(&f->left, n);
}
