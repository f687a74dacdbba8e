#include "engine/base/account.h"
#include "engine/base/mem.h"
#include "engine/base/spare.h"
#include <firn/engine.h>
#include <string.h>

#define RESULT_MAGIC UINT64_C(0x746c757365726e66)

struct account *account_new(const struct firn_env *env)
{
	struct account *a = mem_zalloc(env, sizeof *a);
	if (!a)
		return NULL;
	if (pthread_mutex_init(&a->spares.lock, NULL)) {
		mem_free(env, a);
		return NULL;
	}
	a->env = *env;
	atomic_init(&a->refs, 1);
	return a;
}

void account_retain(struct account *a)
{
	atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
}

void account_release(struct account *a)
{
	if (!a || atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) != 1)
		return;
	struct firn_env env = a->env;
	spare_bound(a, 0);
	pthread_mutex_destroy(&a->spares.lock);
	for (int i = 0; i < ACCOUNT_SPARES; i++)
		mem_free(&env, atomic_load(&a->spare[i]));
	mem_free(&env, a);
}

void *result_new(struct account *a, size_t len, void (*destroy)(void *payload), uint64_t pinned)
{
	struct result *r = mem_zalloc(&a->env, sizeof *r + len);
	if (!r)
		return NULL;
	r->magic = RESULT_MAGIC;
	atomic_init(&r->refs, 1);
	r->account = a;
	r->destroy = destroy;
	r->pinned = pinned;
	account_retain(a);
	atomic_fetch_add_explicit(&a->pin_bytes, pinned, memory_order_relaxed);
	return r + 1;
}

const void *result_error(struct account *a, const struct firn_error *err)
{
	struct firn_error *copy = result_new(a, sizeof *copy, NULL, 0);
	if (copy)
		*copy = *err;
	return copy;
}

static struct result *result_of(const void *payload)
{
	struct result *r = (struct result *)(uintptr_t)payload - 1;
	return r->magic == RESULT_MAGIC ? r : NULL;
}

void firn_retain(const void *result)
{
	struct result *r = result ? result_of(result) : NULL;
	if (r)
		atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
}

void firn_release(const void *result)
{
	struct result *r = result ? result_of(result) : NULL;
	if (!r || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (r->destroy)
		r->destroy(r + 1);
	struct account *a = r->account;
	r->magic = 0;
	atomic_fetch_sub_explicit(&a->pin_bytes, r->pinned, memory_order_relaxed);
	mem_free(&a->env, r);
	account_release(a);
}
