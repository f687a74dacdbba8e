#include "tests/unit/os/fixture.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int remove_one(void *arg, const char *name)
{
	char path[512];
	(void)snprintf(path, sizeof path, "%s/%s", (const char *)arg, name);
	if (unlink(path) < 0)
		(void)rmdir(path);
	return 0;
}

void os_fixture_init(struct os_fixture *x, const char *parent)
{
	const char *tmp = parent ? parent : getenv("TMPDIR");
	(void)snprintf(x->dir, sizeof x->dir, "%s/firn-os-XXXXXX", tmp ? tmp : "/tmp");
	cr_assert(mkdtemp(x->dir) != NULL, "mkdtemp %s", x->dir);
	(void)snprintf(x->path, sizeof x->path, "%s/file", x->dir);
}

void os_fixture_fini(struct os_fixture *x)
{
	(void)env_default()->files->list(NULL, x->dir, remove_one, x->dir);
	cr_expect(rmdir(x->dir) == 0);
}

unsigned char *os_pattern(size_t len, unsigned seed)
{
	void *p = NULL;
	cr_assert(posix_memalign(&p, OS_PAGE, len) == 0);
	unsigned char *b = p;
	for (size_t i = 0; i < len; i++)
		b[i] = (unsigned char)((i * 131 + (i >> 12) * 17 + seed * 29) >> 1);
	return b;
}

const struct firn_env *os_env_of(int i)
{
	return i == 0 ? env_default() : env_default_pwrite();
}
