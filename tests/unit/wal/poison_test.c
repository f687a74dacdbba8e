/* A WAL whose disk fails: nothing is retried, nobody is told a lie, the writer sleeps, and what was acked
 * before is there when the engine is opened again (PROTOCOL 20). (P1) */
#include "engine/os/env.h"
#include "tests/integration/site.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

TestSuite(wal_poison, .timeout = 60);

static atomic_bool broken;

static int start_or_fail(void *ctx, void *file, const void *buf, size_t len, uint64_t pos)
{
	const struct firn_files *real = env_default_pwrite()->files;
	return atomic_load(&broken) ? -EIO : real->write_start(ctx, file, buf, len, pos);
}

/* A clock that stands still: no group is written because nothing comes, and fails before those that are asked for. */
static uint64_t stopped(void *ctx)
{
	(void)ctx;
	return 1;
}

static double cpu_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

Test(wal_poison, a_failed_write_ends_writes_unknown_and_leaves_the_writer_asleep)
{
	enum { N = 12, LEN = 200 << 10 };
	static char data[LEN];
	struct firn_files files = *env_default_pwrite()->files;
	struct firn_env env = *env_default_pwrite();
	struct site s;
	struct host h;
	struct firn_event ev;
	struct firn_error err = FIRN_ERROR_INIT;
	files.write_start = start_or_fail;
	env.files = &files;
	env.mono_ns = stopped;
	site_make_on_files(&s);
	host_init(&h, &s, "a");
	h.opts.env = &env;
	host_start(&h);
	uint64_t id = new_stream(&h, "room");
	/* Nobody is blocked, so groups are begun, and waited for later. */
	cr_assert_eq(firn_stream_append_async(h.volume, id, "acked", 5, 1, 0, h.cq, 0), 0);
	cr_assert(reap_one(&h, &ev, 10000) && !ev.code);
	atomic_store(&broken, true);
	int n = 0;
	while (n < N && !firn_stream_append_async(h.volume, id, data, LEN, 1, 0, h.cq, 1))
		n++;
	cr_assert_gt(n, 0);
	for (int i = 0; i < n; i++) {
		cr_assert(reap_one(&h, &ev, 10000));
		cr_expect_eq(ev.code, FIRN_EUNKNOWN, "%s", firn_code_name(ev.code));
	}
	struct iovec iov = io_of("late");
	cr_expect_eq(write_one(&h, op_append(id, &iov), NULL), FIRN_EIO);
	double was = cpu_ms();
	(void)usleep(500000);
	cr_expect_lt(cpu_ms() - was, 200.0, "somebody spins");
	cr_expect_eq(host_detach(&h, h.volume, FIRN_DETACH_KEEP_WAL, &err), FIRN_EIO);
	host_close(&h);
	atomic_store(&broken, false);
	host_start(&h);
	char *joined = NULL;
	cr_assert_eq(read_stream(&h, id, 0, &joined), 0);
	cr_expect_str_eq(joined, "acked");
	free(joined);
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_remove(&s);
}
