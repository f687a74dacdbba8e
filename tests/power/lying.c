#include "tests/power/lying.h"
#include "engine/os/env.h"
#include <errno.h>
#include <string.h>

static int no_sync(void *ctx, void *file)
{
	(void)ctx, (void)file;
	return 0;
}

static int no_dir_sync(void *ctx, const char *path)
{
	(void)ctx, (void)path;
	return 0;
}

/* 1: done already. */
static int no_flush(void *ctx, void *file, const void *buf, size_t len, uint64_t pos)
{
	int64_t n = env_default_pwrite()->files->write(ctx, file, buf, len, pos);
	return n < 0 ? (int)n : n == (int64_t)len ? 1 : -ENOSPC;
}

const struct firn_env *lying_env(const char *lie)
{
	static struct firn_files files;
	static struct firn_env env;
	env = *env_default_pwrite();
	files = *env.files;
	env.files = &files;
	if (!strcmp(lie, "no-flush")) {
		files.write_start = no_flush;
		files.sync = no_sync;
	} else if (!strcmp(lie, "no-dir-sync")) {
		files.sync_dir = no_dir_sync;
	} else {
		return NULL;
	}
	return &env;
}
