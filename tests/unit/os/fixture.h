/* A directory of its own for every test of the operating system's files, and the two envs. */
#ifndef TESTS_OS_FIXTURE_H
#define TESTS_OS_FIXTURE_H
#include "engine/os/env.h"

struct os_fixture {
	char dir[128];
	char path[192]; /* dir/file */
};

/* Below TMPDIR, or below `parent` if that is not NULL. */
void os_fixture_init(struct os_fixture *x, const char *parent);
void os_fixture_fini(struct os_fixture *x);

#define OS_PAGE ((size_t)4096)
/* len bytes, page-aligned, each different from its neighbours and from other seeds; free() it. */
unsigned char *os_pattern(size_t len, unsigned seed);

/* The tests of both ways of writing run this twice. */
const struct firn_env *os_env_of(int i); /* 0 io_uring, 1 pwrite */
#endif
