#include "tests/unit/admit/fixture.h"

static void *scarce_alloc(void *ctx, size_t len, size_t align)
{
	struct scarce *s = ctx;
	if (s->left <= 0)
		return NULL;
	s->left--;
	s->in_use++;
	return env_default()->alloc(env_default()->ctx, len, align);
}

static void scarce_release(void *ctx, void *p)
{
	struct scarce *s = ctx;
	s->in_use -= p != NULL;
	env_default()->release(env_default()->ctx, p);
}

static void scarce_random(void *ctx, void *buf, size_t len)
{
	(void)ctx;
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)i;
}

void scarce_init(struct scarce *s, int left)
{
	s->env = *env_default();
	s->env.ctx = s;
	s->env.alloc = scarce_alloc;
	s->env.release = scarce_release;
	s->env.random = scarce_random;
	s->left = left;
	s->in_use = 0;
}

uint64_t chance_next(uint64_t *state)
{
	uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

uint32_t chance_below(uint64_t *state, uint32_t n)
{
	return (uint32_t)(chance_next(state) % n);
}
