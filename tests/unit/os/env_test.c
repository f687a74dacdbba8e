/* What a host leaves out of its env is filled with the operating system's own. */
#include "tests/unit/os/fixture.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

TestSuite(os_env, .timeout = 30);

static uint64_t clock_of_the_host(void *ctx)
{
	return *(uint64_t *)ctx;
}

static void *alloc_of_the_host(void *ctx, size_t len, size_t align)
{
	(void)ctx, (void)len, (void)align;
	return NULL;
}

Test(os_env, nothing_given_is_the_default)
{
	struct firn_env e;
	cr_assert_eq(env_complete(NULL, ENV_URING_AUTO, &e), 0);
	cr_expect(memcmp(&e, env_default(), sizeof e) == 0);
	cr_assert_eq(env_complete(NULL, ENV_URING_NEVER, &e), 0);
	cr_expect(memcmp(&e, env_default_pwrite(), sizeof e) == 0);
}

Test(os_env, what_the_host_gives_stays_and_the_rest_is_filled)
{
	uint64_t now = 77;
	struct firn_env e,
	        host = { .struct_size = sizeof host, .ctx = &now, .mono_ns = clock_of_the_host };
	cr_assert_eq(env_complete(&host, ENV_URING_AUTO, &e), 0);
	cr_expect_eq(e.mono_ns(e.ctx), 77);
	cr_expect(e.now_ms == env_default()->now_ms && e.files == env_default()->files);
	void *p = e.alloc(e.ctx, 100, 4096);
	cr_assert(p != NULL && ((uintptr_t)p & 4095) == 0);
	e.release(e.ctx, p);
	e.release(e.ctx, NULL);
}

Test(os_env, an_older_host_knows_fewer_members)
{
	struct firn_env e, host;
	memset(&host, 0xff, sizeof host); /* what lies behind its struct is not ours to read */
	host.struct_size = offsetof(struct firn_env, now_ms);
	host.flags = 0;
	host.ctx = NULL;
	host.alloc = env_default()->alloc;
	host.release = env_default()->release;
	cr_assert_eq(env_complete(&host, ENV_URING_AUTO, &e), 0);
	cr_expect(e.now_ms == env_default()->now_ms && e.files == env_default()->files);
	cr_expect_eq(e.struct_size, sizeof e);
}

Test(os_env, a_newer_host_is_accepted_unless_it_uses_what_we_do_not_know)
{
	struct firn_env e;
	struct {
		struct firn_env env;
		void *more;
	} host = { .env.struct_size = sizeof host };
	cr_expect_eq(env_complete(&host.env, ENV_URING_AUTO, &e), 0);
	host.more = &host;
	cr_expect_eq(env_complete(&host.env, ENV_URING_AUTO, &e), -EOPNOTSUPP);
}

Test(os_env, half_a_pair_is_refused)
{
	struct firn_files half = *env_default()->files;
	struct firn_env e, host = { .struct_size = sizeof host, .alloc = alloc_of_the_host };
	cr_expect_eq(env_complete(&host, ENV_URING_AUTO, &e), -EINVAL);
	host.alloc = NULL;
	half.write_wait = NULL;
	host.files = &half;
	cr_expect_eq(env_complete(&host, ENV_URING_AUTO, &e), -EINVAL);
	host.struct_size = 3;
	cr_expect_eq(env_complete(&host, ENV_URING_AUTO, &e), -EINVAL);
}

Test(os_env, a_file_of_the_host_is_not_taken_for_ours)
{
	struct firn_files copy = *env_default()->files;
	struct firn_env host = *env_default();
	int something = 0;
	host.files = &copy;
	cr_expect_eq(os_file_direct(&host, &something), -1);
	cr_expect_eq(os_file_uring(&host, &something), -1);
}

Test(os_env, clocks_move_forward_and_chance_does_not_repeat)
{
	const struct firn_env *e = env_default();
	uint64_t a = e->mono_ns(NULL), b = e->mono_ns(NULL);
	cr_expect_leq(a, b);
	cr_expect_gt(e->now_ms(NULL), INT64_C(1700000000000));
	unsigned char one[600], two[600];
	memset(one, 0, sizeof one);
	e->random(NULL, one, sizeof one);
	e->random(NULL, two, sizeof two);
	cr_expect(memcmp(one, two, sizeof one) != 0);
	unsigned zeros = 0;
	for (size_t i = 0; i < sizeof one; i++)
		zeros += one[i] == 0;
	cr_expect_lt(zeros, 30, "filled to the end");
	e->log(NULL, FIRN_LOG_ERROR, "test", "goes nowhere");
}
