#include "tests/integration/turned.h"
#include "engine/os/env.h"
#include <criterion/criterion.h>
#include <stdatomic.h>

static atomic_llong turned_ms;

static int64_t now_ms(void *ctx)
{
	return env_default()->now_ms(ctx) + atomic_load(&turned_ms);
}

static uint64_t mono_ns(void *ctx)
{
	return env_default()->mono_ns(ctx) + (uint64_t)atomic_load(&turned_ms) * 1000000u;
}

const struct firn_env *turned_env(void)
{
	static struct firn_env env;
	env = *env_default();
	env.now_ms = now_ms;
	env.mono_ns = mono_ns;
	return &env;
}

void turned_by(int64_t ms)
{
	atomic_fetch_add(&turned_ms, ms);
}

void turned_open(struct host *h, const struct site *s, const char *name, const char *const *options)
{
	host_init(h, s, name);
	host_way(h, WAY_NO_THREADS);
	h->opts.env = turned_env();
	h->opts.options = options;
	host_open(h);
}

void turned_rest(struct host *h)
{
	int steps = 0;
	while (firn_engine_step(h->engine, 0) == 1)
		cr_assert_lt(++steps, 10000, "it never comes to rest");
}

void turned_settle(struct host *h)
{
	for (int i = 0; i < 5; i++) {
		turned_rest(h);
		turned_by(1100);
	}
}
