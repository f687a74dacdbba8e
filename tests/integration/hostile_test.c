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

/* A size of a newer release is taken if its tail is zero, in any struct that says its size. */
static int open_with(const struct firn_engine_opts *opts)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_engine *e = NULL;
	int rc = firn_engine_open(opts, &e, &err);
	cr_expect(rc || e);
	return rc ? rc : firn_engine_close(e);
}

Test(hostile, options_of_a_newer_release_are_taken_only_if_they_say_nothing)
{
	struct site s;
	struct host h;
	struct firn_error err = FIRN_ERROR_INIT;
	struct {
		struct firn_engine_opts o;
		uint64_t more;
	} opts = { .more = 0 };
	struct {
		struct firn_cq_opts o;
		uint64_t more;
	} cq_opts = { .o = { .struct_size = sizeof cq_opts }, .more = 1 };
	struct firn_cq *cq;
	site_make(&s);
	host_init(&h, &s, "a");
	opts.o = h.opts;
	opts.o.struct_size = sizeof opts;
	cr_expect_eq(open_with(&opts.o), 0);
	opts.more = 1;
	cr_expect_eq(open_with(&opts.o), FIRN_EUNSUPPORTED);
	opts.o.struct_size = sizeof opts.o - 8;
	cr_expect_eq(open_with(&opts.o), FIRN_EINVAL);
	host_open(&h);
	cr_expect_eq(firn_cq_open(h.engine, &cq_opts.o, &cq, &err), FIRN_EUNSUPPORTED);
	cq_opts.o.struct_size = 4;
	cr_expect_eq(firn_cq_open(h.engine, &cq_opts.o, &cq, &err), FIRN_EINVAL);
	host_close(&h);
	site_remove(&s);
}

Test(hostile, an_attach_that_cannot_work_is_refused)
{
	const uint64_t sizes[] = { 1, 4095, (1u << 30) + 1, UINT64_MAX };
	struct site s;
	struct host h;
	site_make(&s);
	host_init(&h, &s, "a");
	host_open(&h);
	for (int i = 0; i < 4; i++) {
		struct firn_error err = FIRN_ERROR_INIT;
		struct firn_event ev = { 0 };
		struct firn_attach a = FIRN_ATTACH_INIT;
		a.store = s.uri;
		a.name = "v";
		a.attach_flags = FIRN_ATTACH_CREATE;
		a.segment_bytes = sizes[i];
		cr_expect_eq(firn_engine_call(h.engine, &a.req, &ev, &err), FIRN_EINVAL);
		cr_expect(strstr(err.text, "segment_bytes"), "%s", err.text);
		firn_release(ev.result);
	}
	host_close(&h);
	site_remove(&s);
}

Test(hostile, operations_of_a_newer_release_are_taken_only_if_they_say_nothing)
{
	struct site s;
	struct host h;
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_event ev;
	struct {
		struct firn_op op;
		uint64_t more;
	} op[2] = { { .more = 0 }, { .more = 0 } };
	struct {
		struct firn_stream_config c;
		uint64_t more;
	} config = { .c = { .struct_size = sizeof config }, .more = 1 };
	struct firn_write w = FIRN_WRITE_INIT;
	site_make(&s);
	host_init(&h, &s, "a");
	host_start(&h);
	op[0].op = op_create("a");
	op[1].op = op_create("b");
	w.volume = h.volume;
	w.op = &op[0].op;
	w.n_op = 2;
	w.op_size = sizeof op[0];
	op[1].more = 1;
	cr_expect_eq(firn_engine_call(h.engine, &w.req, &ev, &err), FIRN_EUNSUPPORTED);
	op[1].more = 0;
	op[1].op.u.stream.config = &config.c;
	cr_expect_eq(firn_engine_call(h.engine, &w.req, &ev, &err), FIRN_EUNSUPPORTED);
	config.more = 0;
	w.op_size = sizeof op[0] - 1; /* whole words only: they are read where they lie */
	cr_expect_eq(firn_engine_call(h.engine, &w.req, &ev, &err), FIRN_EINVAL);
	w.op_size = sizeof op[0];
	cr_assert_eq(firn_engine_call(h.engine, &w.req, &ev, &err), 0, "%s", err.text);
	firn_release(ev.result);
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_remove(&s);
}

Test(hostile, what_cannot_work_is_refused_by_its_name)
{
	struct site s;
	struct host h;
	struct firn_error err = FIRN_ERROR_INIT;
	site_make(&s);
	host_init(&h, &s, "a");
	h.opts.cache_bytes = 4096;
	cr_expect_eq(host_try_open(&h, &err), FIRN_EINVAL);
	cr_expect(strstr(err.text, "cache_bytes"), "%s", err.text);
	h.opts.cache_bytes = 0;
	h.opts.linger_us = 1000001; /* a close would sleep through it */
	cr_expect_eq(host_try_open(&h, &err), FIRN_EINVAL);
	cr_expect(strstr(err.text, "linger_us"), "%s", err.text);
	h.opts.linger_us = 0;
	h.opts.wal_bytes = UINT64_C(1) << 52; /* more files than are counted */
	cr_expect_eq(host_try_open(&h, &err), FIRN_EINVAL);
	cr_expect(strstr(err.text, "wal_bytes"), "%s", err.text);
	site_remove(&s);
}

Test(hostile, no_queue_is_no_crash)
{
	struct firn_event ev;
	cr_expect_eq(firn_cq_fd(NULL), FIRN_EINVAL);
	firn_cq_wake(NULL);
	cr_expect_eq(firn_cq_reap(NULL, &ev, sizeof ev, 1, 0), FIRN_EINVAL);
	cr_expect_eq(firn_cq_close(NULL), 0);
}
