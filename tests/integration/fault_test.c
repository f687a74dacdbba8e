/* The n-th operation fails, for n = 1, 2, 3 ... until none is left (P1, P2, PROTOCOL 20): a write ends
 * acked, refused or unknown; what was acked is there after reopening, what was refused is not, nothing
 * is there twice; nothing leaks, nothing hangs. (P7) */
#include "engine/os/env.h"
#include "tests/integration/faulty.h"
#include "tests/integration/site.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(fault, .timeout = 240);

enum { WRITES = 24, NOT_SENT = 1 };

struct run {
	struct host h;
	struct faulty f;
	uint64_t stream;
	int outcome[WRITES]; /* 0 acked, NOT_SENT, or a code */
	uint64_t offset[WRITES];
	bool attached;
};

static size_t payload(int i, char *out) /* unique, and some larger than a page */
{
	size_t len = 30 + (size_t)(i % 5) * 3000;
	memset(out, 'a' + i % 26, len);
	(void)snprintf(out, 16, "<%04d>", i);
	out[6] = ' ';
	return len;
}

static void note(struct run *r, const struct firn_event *ev)
{
	int i = (int)ev->user_data;
	cr_assert(i >= 0 && i < WRITES);
	cr_expect_eq(r->outcome[i], FIRN_EAGAIN, "write %d has one event", i);
	r->outcome[i] = ev->code;
	r->offset[i] = ev->offset;
}

/* Half of the writes one by one, half many in flight; a flush to the store between. */
static void some_writes(struct run *r)
{
	char data[16000];
	int n_sent = 0;
	for (int i = 0; i < WRITES; i++) {
		struct iovec iov = { data, payload(i, data) };
		struct firn_op op = op_append(r->stream, &iov);
		struct firn_error err = FIRN_ERROR_INIT;
		struct firn_event ev;
		r->outcome[i] = FIRN_EAGAIN; /* in flight */
		int rc = submit_ops(&r->h, &op, 1, 0, 0, (uint64_t)i, &err);
		if (rc)
			r->outcome[i] = rc;
		else
			n_sent++;
		for (; n_sent && (i < WRITES / 2 || i == WRITES - 1); n_sent--) {
			cr_assert(reap_one(&r->h, &ev, 10000), "the outcome of a write never came");
			note(r, &ev);
		}
		if (i == WRITES / 2) {
			struct firn_flush fl = FIRN_FLUSH_INIT;
			fl.volume = r->h.volume;
			fl.mark = FIRN_MARK_STORED;
			fl.req.timeout_ms = 2000;
			(void)firn_engine_call(r->h.engine, &fl.req, &ev, &err);
			firn_release(ev.result);
		}
	}
}

static void scenario(struct run *r)
{
	struct firn_error err = FIRN_ERROR_INIT;
	for (int i = 0; i < WRITES; i++)
		r->outcome[i] = NOT_SENT;
	r->attached = false;
	r->stream = 0;
	int rc = firn_engine_open(&r->h.opts, &r->h.engine, &err);
	cr_expect(rc == 0 || (rc == err.code && err.text[0]), "open: %s", firn_code_name(rc));
	if (rc)
		return;
	if (!firn_cq_open(r->h.engine, NULL, &r->h.cq, &err)) {
		rc = host_try_attach(&r->h, "v", FIRN_ATTACH_CREATE, NULL, &r->h.volume, &err);
		cr_expect(rc == 0 || err.text[0], "attach: %s", firn_code_name(rc));
		r->attached = !rc;
		if (!rc && !firn_stream_open(r->h.volume, "s", &r->stream, &err))
			some_writes(r);
		if (!rc &&
		    host_detach(&r->h, r->h.volume, FIRN_DETACH_KEEP_WAL, &err) == FIRN_ENOMEM)
			(void)host_detach(&r->h, r->h.volume, FIRN_DETACH_ABORT, &err);
		cr_expect_eq(firn_cq_close(r->h.cq), 0);
	}
	(void)firn_engine_close(r->h.engine);
}

/* Payload i stands at most once, at its offset if it was acked, not at all if it was refused. */
static void check_stream(struct run *r, struct host *h)
{
	char *all = NULL, data[16000];
	uint64_t end = mark_of(h, r->stream, FIRN_MARK_DURABLE), seen = 0;
	cr_assert_eq(read_stream(h, r->stream, 0, &all), 0);
	int last = -1;
	for (char *at = all; *at; seen++) {
		int i = atoi(at + 1);
		cr_assert(*at == '<' && i > last && i < WRITES, "order at %.10s", at);
		size_t len = payload(i, data);
		cr_assert(!strncmp(at, data, len), "bytes of %d", i);
		cr_expect(r->outcome[i] == 0 || r->outcome[i] == FIRN_EUNKNOWN,
		          "%d was refused: %s", i, firn_code_name(r->outcome[i]));
		cr_expect(r->outcome[i] || r->offset[i] == seen, "offset of %d", i);
		for (int k = last + 1; k < i; k++)
			cr_expect(r->outcome[k] != 0, "%d was acked and is gone", k);
		last = i;
		at += len;
	}
	for (int k = last + 1; k < WRITES; k++)
		cr_expect(r->outcome[k] != 0, "%d was acked and is gone", k);
	cr_expect_eq(seen, end);
	free(all);
}

static void recovers(struct run *r)
{
	struct host h = r->h;
	h.opts.env = NULL;
	host_start(&h);
	if (r->stream)
		check_stream(r, &h);
	uint64_t s = 0;
	cr_assert_eq(firn_stream_open(h.volume, "s", &s, NULL), 0);
	(void)say(&h, s, "goes on");
	host_stop(&h, FIRN_DETACH_DRAIN);
}

/* One life after another: the n-th operation fails in the n-th. Fresh directories each time. */
static void sweep(enum way way, uint32_t kinds, int error, bool lasting, bool torn)
{
	long long n = 1, failed = 1;
	static struct run r;
	for (; failed; n += 1 + n / 16) {
		struct site site;
		site_make(&site);
		host_init(&r.h, &site, "a");
		host_way(&r.h, way);
		r.h.opts.wal_bytes = 8 << 20;
		faulty_init(&r.f, way == WAY_PWRITE ? env_default_pwrite() : env_default());
		r.f.lasting = lasting;
		r.f.torn = torn;
		r.h.opts.env = &r.f.env;
		faulty_arm(&r.f, kinds, error, n);
		scenario(&r);
		failed = atomic_load(&r.f.n_failed);
		r.f.kinds = 0;
		cr_expect_eq(atomic_load(&r.f.live), 0, "%lld pieces of memory leaked, n=%lld",
		             (long long)atomic_load(&r.f.live), n);
		recovers(&r);
		site_remove(&site);
		cr_assert_lt(n, 20000);
	}
	cr_log_info("%lld operations", n);
}

Test(fault, a_failing_write_or_flush_loses_nothing_by_uring)
{
	sweep(WAY_URING, FAULT_WRITES, -EIO, false, false);
}

Test(fault, a_failing_write_or_flush_loses_nothing_by_pwrite)
{
	sweep(WAY_PWRITE, FAULT_WRITES, -EIO, false, true);
}

Test(fault, a_disk_that_stays_broken_loses_nothing)
{
	sweep(WAY_NO_THREADS, FAULT_WRITES, -EIO, true, true);
}

Test(fault, a_full_disk_loses_nothing)
{
	sweep(WAY_NO_THREADS, FAULT_WRITES, -ENOSPC, true, false);
}

Test(fault, names_that_cannot_be_made_or_moved_lose_nothing)
{
	sweep(WAY_NO_THREADS, FAULT_NAMES, -EIO, false, false);
}

Test(fault, a_failing_allocation_leaks_nothing)
{
	sweep(WAY_NO_THREADS, FAULT_ALLOC, -ENOMEM, false, false);
}

Test(fault, a_failing_allocation_leaks_nothing_with_threads)
{
	sweep(WAY_URING, FAULT_ALLOC, -ENOMEM, false, false);
}

Test(fault, a_poisoned_wal_takes_no_write_and_keeps_what_is_durable)
{
	struct site site;
	struct host h;
	struct faulty f;
	struct firn_event ev;
	site_make(&site);
	host_init(&h, &site, "a");
	faulty_init(&f, env_default());
	h.opts.env = &f.env;
	h.opts.options = (const char *const[]){ "upload_interval_ms=50", NULL };
	host_start(&h);
	uint64_t s = new_stream(&h, "s");
	say(&h, s, "kept");
	f.lasting = true;
	faulty_arm(&f, FAULT_WRITES, -EIO, 1);
	struct iovec iov = io_of("unknown");
	cr_expect_eq(write_one(&h, op_append(s, &iov), &ev), FIRN_EUNKNOWN);
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_op op = op_append(s, &iov);
	cr_expect_eq(submit_ops(&h, &op, 1, 0, 0, 0, &err), FIRN_EIO);
	cr_expect(err.flags & FIRN_ERR_FATAL);
	struct firn_volume_info info = { .struct_size = sizeof info };
	cr_assert_eq(firn_volume_info(h.volume, &info), 0);
	cr_expect_eq(info.state, FIRN_STATE_READ_ONLY);
	char *text;
	cr_expect_eq(read_stream(&h, s, 0, &text), 0);
	cr_expect_str_eq(text, "kept");
	free(text);
	const struct firn_fetched *got = NULL; /* what is durable still uploads, by its age */
	struct firn_reader *rd;
	struct firn_item it = { .volume = h.volume, .stream = s, .up_to = FIRN_MARK_STORED };
	struct firn_fetch fe = FIRN_FETCH_INIT;
	cr_assert_eq(firn_reader_open(h.engine, NULL, &rd, &err), 0);
	cr_assert_eq(firn_reader_set(rd, &it, sizeof it, 1), 0);
	fe.reader = rd;
	fe.max_wait_ms = 10000;
	cr_assert_eq(firn_engine_call(h.engine, &fe.req, &ev, &err), 0);
	got = ev.result;
	cr_expect(got->n_part == 1 && got->part[0].n_batch == 1 && got->part[0].stored == 1);
	firn_release(got);
	firn_reader_close(rd);
	(void)host_detach(&h, h.volume, FIRN_DETACH_KEEP_WAL, &err);
	host_close(&h);
	h.opts.env = NULL;
	host_start(&h);
	cr_expect_eq(read_stream(&h, s, 0, &text), 0);
	cr_expect(!strncmp(text, "kept", 4), "%s", text);
	free(text);
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_remove(&site);
}

Test(fault, a_full_or_read_only_disk_is_told_at_open)
{
	const int error[] = { -ENOSPC, -EROFS, -EACCES, -EDQUOT };
	const int code[] = { FIRN_ENOSPC, FIRN_EREADONLY, FIRN_EREADONLY, FIRN_ENOSPC };
	for (int i = 0; i < 4; i++) {
		struct site site;
		struct host h;
		struct faulty f;
		struct firn_error err = FIRN_ERROR_INIT;
		site_make(&site);
		host_init(&h, &site, "a");
		faulty_init(&f, env_default());
		f.lasting = true;
		h.opts.env = &f.env;
		faulty_arm(&f, i % 3 ? FAULT_CREATE : FAULT_WRITES, error[i], i % 3 ? 1 : 2);
		cr_expect_eq(host_try_open(&h, &err), code[i], "%s: %s", strerror(-error[i]),
		             err.text);
		cr_expect(strstr(err.text, "/a"), "it says where: %s", err.text);
		cr_expect_eq(atomic_load(&f.live), 0);
		site_remove(&site);
	}
}
