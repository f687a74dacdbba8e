#include "engine/base/mem.h"
#include <string.h>
#include <sys/mman.h>

void *mem_alloc(const struct firn_env *env, size_t len)
{
	return env->alloc(env->ctx, len ? len : 1, 16);
}

void *mem_zalloc(const struct firn_env *env, size_t len)
{
	void *p = mem_alloc(env, len);
	if (p)
		memset(p, 0, len);
	return p;
}

void *mem_alloc_pages(const struct firn_env *env, size_t len)
{
	const size_t huge = 2u << 20;
	return env->alloc(env->ctx, len ? len : 1, len && len % huge == 0 ? huge : 4096);
}

void *mem_dup(const struct firn_env *env, const void *p, size_t len)
{
	void *copy = mem_alloc(env, len);
	if (copy && len)
		memcpy(copy, p, len);
	return copy;
}

int mem_grow(const struct firn_env *env, void **array, size_t *cap, size_t used, size_t need,
             size_t elem)
{
	if (need <= *cap)
		return 0;
	size_t n = *cap ? *cap * 2 : 8;
	while (n < need)
		n *= 2;
	void *p = mem_alloc(env, n * elem);
	if (!p)
		return -1;
	if (used && *array)
		memcpy(p, *array, used * elem);
	mem_free(env, *array);
	*array = p;
	*cap = n;
	return 0;
}

void mem_populate(void *p, size_t len)
{
#ifdef MADV_POPULATE_WRITE
	const uintptr_t page = 4096;
	uintptr_t from = ((uintptr_t)p + page - 1) & ~(page - 1);
	uintptr_t to = ((uintptr_t)p + len) & ~(page - 1);
	if (p &&
	    from < to) /* a kernel before 5.14, or larger pages: they come as they are touched */
		(void)madvise((void *)from, to - from, MADV_POPULATE_WRITE);
#else
	(void)p;
	(void)len;
#endif
}

void mem_free(const struct firn_env *env, const void *p)
{
	if (p)
		env->release(env->ctx, (void *)(uintptr_t)p);
}
