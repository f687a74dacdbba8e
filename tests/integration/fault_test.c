/* What a failing disk does to an engine, case by case (PROTOCOL 20, S23). The sweep over every n-th operation is
 * tests/faults/sweep_test.c. */
#include "engine/os/env.h"
#include "tests/integration/faulty.h"
#include "tests/integration/site.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

TestSuite(fault, .timeout = 60);

/* A clock that stands still: no group is written because nothing comes, and fails before the one that is asked for. */
static uint64_t stopped(void *ctx)
{
	(void)ctx;
	return 1;
}

Test(fault, a_poisoned_wal_takes_no_write_and_keeps_what_is_durable)
{
	struct site site;
	struct host h;
	struct faulty f;
	struct firn_env still = *env_default();
	struct firn_event ev;
	site_make(&site);
	host_init(&h, &site, "a");
	still.mono_ns = stopped;
	faulty_init(&f, &still);
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

/* A host at a site of its own that has said "kept" to the stream it gives, and is closed. */
static uint64_t kept_at(struct site *site, struct host *h)
{
	site_make(site);
	host_init(h, site, "a");
	host_start(h);
	uint64_t s = new_stream(h, "s");
	say(h, s, "kept");
	host_stop(h, FIRN_DETACH_KEEP_WAL);
	return s;
}

/* Attached again, it still has that; and goes. */
static void is_kept(struct site *site, struct host *h, uint64_t s)
{
	char *text;
	cr_expect_eq(read_stream(h, s, 0, &text), 0);
	cr_expect_str_eq(text, "kept");
	free(text);
	host_stop(h, FIRN_DETACH_DRAIN);
	site_remove(site);
}

/* Without threads the group that is written when nothing comes may be on its way when the engine closes. What
 * close writes goes behind it, not over it. */
Test(fault, a_close_waits_for_the_group_in_flight)
{
	struct site site;
	struct host h;
	struct faulty f;
	site_make(&site);
	host_init(&h, &site, "a");
	host_way(&h, WAY_NO_THREADS);
	faulty_init(&f, env_default_pwrite());
	h.opts.env = &f.env;
	host_start(&h);
	uint64_t s = new_stream(&h, "s");
	say(&h, s, "kept");
	struct firn_error err = FIRN_ERROR_INIT;
	cr_assert_eq(host_detach(&h, h.volume, FIRN_DETACH_KEEP_WAL, &err), 0, "%s", err.text);
	while (firn_engine_step(h.engine, 20))
		;                                    /* spare files are made first */
	faulty_arm(&f, FAULT_WRITES, -EIO, 1 << 30); /* none fails, all are counted */
	while (atomic_load(&f.left) == 1 << 30 && firn_engine_step(h.engine, 1000))
		;
	f.kinds = 0;
	host_close(&h);
	h.opts.env = NULL;
	host_start(&h);
	cr_assert_eq(firn_stream_find(h.volume, "s", 1, &s), 0);
	is_kept(&site, &h, s);
}

/* A file that cannot be opened for want of descriptors is not one that went: nothing is missing, nothing is
 * passed over, and once there are some all of it is there. */
Test(fault, a_wal_file_that_cannot_be_opened_now_is_no_gap)
{
	struct site site;
	struct host h;
	struct faulty f;
	struct firn_error err = FIRN_ERROR_INIT;
	uint64_t s = kept_at(&site, &h);
	faulty_init(&f, env_default());
	f.lasting = true;
	h.opts.env = &f.env;
	host_open(&h);
	faulty_arm(&f, FAULT_OPEN_TO_READ, -EMFILE, 1);
	cr_expect_eq(host_try_attach(&h, "v", 0, NULL, &h.volume, &err), FIRN_ENOMEM, "%s",
	             err.text);
	f.kinds = 0;
	host_attach(&h, "v");
	is_kept(&site, &h, s);
}

/* The host has used up its descriptors: files that are there are begun all the same, and what is acked stays acked. */
Test(fault, a_wal_goes_on_into_its_next_file_without_a_free_descriptor)
{
	static int taken[512];
	static char big[100 << 10];
	struct site site;
	struct host h;
	struct firn_error err = FIRN_ERROR_INIT;
	struct rlimit was, few;
	int n = 0, acked = 0, rc = 0;
	char *text;
	site_make_on_files(&site);
	host_init(&h, &site, "a");
	h.opts.wal_bytes = 16 << 20; /* files of 1 MiB, which are all there before */
	h.opts.options = (const char *const[]){ "upload_interval_ms=3600000",
		                                "wal_preallocate=true", NULL };
	host_start(&h);
	uint64_t s = new_stream(&h, "s");
	memset(big, 'x', sizeof big);
	struct iovec iov = { big, sizeof big };
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &was), 0);
	few = was;
	few.rlim_cur = 256;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	while (n < 512 && (taken[n] = open("/dev/null", O_RDONLY)) >= 0)
		n++;
	for (; !rc && acked < 30; acked += !rc)
		rc = write_one(&h, op_append(s, &iov), NULL);
	cr_expect_eq(rc, 0, "%s behind %d", firn_code_name(rc), acked);
	while (n)
		(void)close(taken[--n]);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &was), 0);
	cr_assert_eq(host_detach(&h, h.volume, FIRN_DETACH_KEEP_WAL, &err), 0, "%s", err.text);
	host_attach(&h, "v");
	cr_expect_eq(read_stream(&h, s, 0, &text), 0);
	cr_expect_eq(strlen(text), (size_t)acked * sizeof big);
	free(text);
	host_stop(&h, FIRN_DETACH_KEEP_WAL);
	site_remove(&site);
}

/* Who starts an engine again and again that cannot come up, each time behind its WAL, must not fill the disk by that: no run
 * keeps a file that nobody needs. (P7) */
Test(fault, an_engine_that_does_not_come_up_takes_no_more_room_each_time)
{
	struct site site;
	struct host h;
	struct firn_error err = FIRN_ERROR_INIT;
	char *text;
	uint64_t s = kept_at(&site, &h);
	site_run(&site, "mv a/index away && touch a/index");
	for (int i = 0; i < 10; i++)
		cr_expect_neq(host_try_open(&h, &err), 0);
	text = site_ask(&site, "ls a/wal | wc -l");
	cr_expect_leq(atoi(text), 6, "%s files for one write", text);
	free(text);
	site_run(&site, "rm a/index && mv away a/index");
	host_start(&h);
	is_kept(&site, &h, s);
}

/* Whatever is there is read, and nothing is taken for damage. */
static void read_all(struct host *h, long long n)
{
	static struct firn_stream_info in[100];
	int k = firn_stream_list(h->volume, NULL, NULL, in, sizeof in[0], 100);
	cr_assert_gt(k, 0);
	for (int i = 0; i < k; i++)
		cr_expect_eq(read_stream(h, in[i].stream, 0, NULL), 0, "allocation %lld: %s", n,
		             in[i].name);
}

/* A configuration and, behind it in one group, batches, with the n-th allocation failing; then the volume comes
 * back to the same engine. False: there were fewer. */
static bool back_without_memory(struct host *h, struct faulty *f, uint64_t s, long long n)
{
	struct firn_stream_config c = { .struct_size = sizeof c, .producer_window = 3 };
	struct iovec iov = io_of("behind");
	char name[24];
	(void)snprintf(name, sizeof name, "s%lld", n);
	struct firn_op op[4] = { op_create(name),
		                 op_append(FIRN_STREAM_NEW, &iov),
		                 { .kind = FIRN_OP_CONFIG, .stream = s },
		                 op_append(s, &iov) };
	struct firn_event ev;
	struct firn_error err = FIRN_ERROR_INIT;
	uint64_t was = mark_of(h, s, FIRN_MARK_DURABLE), acked = was;
	int taken = 0;
	op[2].u.stream.config = &c;
	faulty_arm(f, FAULT_ALLOC, -ENOMEM, n);
	taken += !submit_ops(h, op, 2, 0, 0, 0, &err);
	for (int i = 2; i < 4; i++)
		taken += !submit_ops(h, &op[i], 1, 0, 0, 0, &err);
	for (; taken; taken--) {
		cr_assert(reap_one(h, &ev, 5000));
		acked = ev.code == 0 && ev.stream == s && ev.end > acked ? ev.end : acked;
		firn_release(ev.result);
	}
	bool failed = atomic_load(&f->n_failed) != 0;
	faulty_arm(f, FAULT_ALLOC, -ENOMEM, 0);
	read_all(h, n);
	(void)host_detach(h, h->volume, FIRN_DETACH_KEEP_WAL, &err); /* it may say that it failed */
	int rc = host_try_attach(h, "v", 0, NULL, &h->volume, &err);
	cr_assert_eq(rc, 0, "allocation %lld: %s", n, err.text);
	cr_expect_geq(mark_of(h, s, FIRN_MARK_DURABLE), acked);
	read_all(h, n);
	return failed;
}

Test(fault, what_could_not_be_applied_is_there_at_the_next_attach)
{
	struct site site;
	struct host h;
	struct faulty f;
	struct firn_error err = FIRN_ERROR_INIT;
	site_make(&site);
	host_init(&h, &site, "a");
	faulty_init(&f, env_default());
	h.opts.env = &f.env;
	h.opts.flags = FIRN_ENGINE_NO_THREADS; /* both in one group, always */
	host_start(&h);
	uint64_t s = new_stream(&h, "s");
	for (long long n = 1; back_without_memory(&h, &f, s, n); n++)
		;
	cr_assert_eq(host_detach(&h, h.volume, FIRN_DETACH_DRAIN, &err), 0, "%s", err.text);
	host_close(&h);
	site_remove(&site);
}
