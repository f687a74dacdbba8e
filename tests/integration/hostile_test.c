/* Callers that make mistakes: refused, with nothing done and nobody hurt. */
#include "tests/integration/site.h"
#include <criterion/criterion.h>
#include <string.h>

TestSuite(hostile, .timeout = 60);

/* Lengths that add up to less than the first. */
Test(hostile, an_iov_longer_than_memory_is_refused)
{
	struct site s;
	struct host h;
	struct firn_event ev;
	site_make(&s);
	host_init(&h, &s, "a");
	host_start(&h);
	char text[] = "0123456789";
	struct iovec iov[2] = { { text, 10 }, { text, (size_t)-1 } };
	struct firn_op op = op_append(new_stream(&h, "room"), iov);
	op.u.append.n_iov = 2;
	cr_assert_eq(writes(&h, &op, 1, &ev), FIRN_ETOOBIG);
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_remove(&s);
}

Test(hostile, handles_of_another_engine_are_refused)
{
	struct site s;
	struct host a, b;
	struct firn_error err = FIRN_ERROR_INIT;
	site_make(&s);
	host_init(&a, &s, "a");
	host_init(&b, &s, "b");
	host_start(&a);
	host_open(&b);
	uint64_t id = new_stream(&a, "room");
	struct iovec iov = io_of("x");
	struct firn_op op = op_append(id, &iov);
	b.volume = a.volume;
	cr_expect_eq(writes(&b, &op, 1, NULL), FIRN_EINVAL);
	cr_expect_eq(firn_stream_append_async(a.volume, id, "x", 1, 1, 0, b.cq, 0), FIRN_EINVAL);
	cr_expect_eq(firn_engine_notices(a.engine, b.cq, 1, 0), FIRN_EINVAL);
	cr_expect_eq(host_detach(&b, a.volume, FIRN_DETACH_ABORT, &err), FIRN_EINVAL);
	host_close(&b);
	struct firn_volume *gone = a.volume;
	cr_assert_eq(host_detach(&a, gone, FIRN_DETACH_DRAIN, &err), 0);
	cr_expect_eq(writes(&a, &op, 1, NULL), FIRN_ESHUTDOWN);
	host_close(&a);
	site_remove(&s);
}
