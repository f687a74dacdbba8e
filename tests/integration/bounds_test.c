/* Memory keeps to its bounds where one volume has little of what the WAL holds, or nothing can be stored
 * (P7); and what a commit writes an attach can read. */
#include "tests/integration/site.h"
#include <criterion/criterion.h>
#include <firn/env.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(bounds, .timeout = 120);

static uint64_t live, peak;

static void *count_alloc(void *ctx, size_t len, size_t align)
{
	size_t head = align > 64 ? align : 64;
	char *p = NULL;
	(void)ctx;
	if (posix_memalign((void **)&p, head, head + len))
		return NULL;
	uint64_t now = __atomic_add_fetch(&live, len, __ATOMIC_RELAXED);
	if (now > __atomic_load_n(&peak, __ATOMIC_RELAXED))
		__atomic_store_n(&peak, now, __ATOMIC_RELAXED);
	((size_t *)(void *)(p + head))[-1] = len;
	((size_t *)(void *)(p + head))[-2] = head;
	return p + head;
}

static void count_release(void *ctx, void *at)
{
	(void)ctx;
	if (!at)
		return;
	__atomic_sub_fetch(&live, ((size_t *)at)[-1], __ATOMIC_RELAXED);
	free((char *)at - ((size_t *)at)[-2]);
}

static const struct firn_env counting = { .struct_size = sizeof counting,
	                                  .alloc = count_alloc,
	                                  .release = count_release };

static void fill(char *p, size_t n)
{
	uint64_t x = 88172645463325252u;
	for (size_t i = 0; i < n; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		p[i] = (char)x;
	}
}

static void flush(struct host *h, struct firn_volume *v)
{
	struct firn_volume *was = h->volume;
	h->volume = v;
	store_all(h);
	h->volume = was;
}

static struct firn_volume *attach(struct host *h, const char *name, uint64_t segment_bytes)
{
	struct firn_attach a = FIRN_ATTACH_INIT;
	struct firn_event ev = { 0 };
	struct firn_error err = FIRN_ERROR_INIT;
	a.store = h->site->uri;
	a.name = name;
	a.attach_flags = FIRN_ATTACH_CREATE;
	a.upload_interval_ms = INT32_MAX;
	a.segment_bytes = segment_bytes;
	cr_assert_eq(firn_engine_call(h->engine, &a.req, &ev, &err), 0, "%s", err.text);
	struct firn_volume *v = ((const struct firn_attached *)ev.result)->volume;
	firn_release(ev.result);
	return v;
}

Test(bounds, a_round_of_a_thin_volume_holds_its_own_bytes_and_not_its_neighbours)
{
	enum { N = 160, FAT = 400 << 10 };
	static char data[FAT];
	struct site s;
	struct host h;
	struct firn_event ev;
	struct firn_error err = FIRN_ERROR_INIT;
	site_make(&s);
	host_init(&h, &s, "a");
	h.opts.wal_bytes = 512 << 20;
	h.opts.env = &counting;
	h.opts.flags = FIRN_ENGINE_NO_THREADS;
	host_open(&h);
	struct firn_volume *fat = attach(&h, "fat", 1 << 30), *thin = attach(&h, "thin", 1 << 30);
	uint64_t a, b;
	cr_assert_eq(firn_stream_open(fat, "s", &a, &err), 0, "%s", err.text);
	cr_assert_eq(firn_stream_open(thin, "s", &b, &err), 0, "%s", err.text);
	for (int i = 0; i < N; i++) { /* one group each time */
		cr_assert_eq(firn_stream_append_async(fat, a, data, FAT, 1, 0, h.cq, 0), 0);
		cr_assert_eq(firn_stream_append_async(thin, b, "thin", 4, 1, 0, h.cq, 0), 0);
		for (int k = 0; k < 2; k++)
			cr_assert(reap_one(&h, &ev, 10000) && !ev.code);
	}
	peak = live;
	uint64_t was = live;
	flush(&h, thin);
	cr_expect_lt(peak - was, (uint64_t)8 << 20, "%llu KiB more",
	             (unsigned long long)((peak - was) >> 10));
	cr_assert_eq(host_detach(&h, thin, FIRN_DETACH_DRAIN, &err), 0);
	cr_assert_eq(host_detach(&h, fat, FIRN_DETACH_ABORT, &err), 0);
	host_close(&h);
	site_remove(&s);
}

Test(bounds, segments_that_wait_for_a_store_do_not_pile_up)
{
	enum { N = 16, LEN = 1 << 20 };
	static char data[LEN];
	struct site s;
	struct host h;
	struct firn_volume *v[N];
	struct firn_error err = FIRN_ERROR_INIT;
	char name[16];
	site_make(&s);
	site_uri_mortal(&s, "store", s.uri, sizeof s.uri);
	host_init(&h, &s, "a");
	h.opts.wal_bytes = 512 << 20;
	h.opts.memory_bytes = 16 << 20;
	h.opts.env = &counting;
	host_open(&h);
	fill(data, LEN);
	uint64_t id[N];
	for (int i = 0; i < N; i++) {
		(void)snprintf(name, sizeof name, "v%d", i);
		v[i] = attach(&h, name, 512 << 10);
		cr_assert_eq(firn_stream_open(v[i], "s", &id[i], &err), 0, "%s", err.text);
		flush(&h, v[i]);
	}
	site_store_leaves(&s, "store");
	uint64_t was = live;
	for (int i = 0; i < N; i++)
		cr_assert_eq(firn_stream_append(v[i], id[i], data, LEN, 1, 0, NULL, &err), 0, "%s",
		             err.text);
	(void)sleep(2); /* every volume has tried */
	/* The tail share, 4 MiB; the bound of what waits, 2 MiB, and one more; noise. */
	cr_expect_lt(live - was, (uint64_t)10 << 20, "%llu KiB more",
	             (unsigned long long)((live - was) >> 10));
	site_store_returns(&s, "store");
	for (int i = 0; i < N; i++)
		cr_assert_eq(host_detach(&h, v[i], FIRN_DETACH_DRAIN, &err), 0, "%s", err.text);
	host_close(&h);
	site_remove(&s);
}

Test(bounds, a_round_of_many_large_streams_can_be_attached_again)
{
	enum { N = 120 };
	static char data[4096];
	struct site s;
	struct host h;
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_op op[2 * N];
	char name[N][16];
	struct iovec iov = { data, sizeof data };
	site_make(&s);
	host_init(&h, &s, "a");
	host_open(&h);
	h.volume = attach(&h, "v", 4096);
	for (int i = 0; i < N; i++) {
		(void)snprintf(name[i], sizeof name[i], "s%d", i);
		op[2 * i] = op_create(name[i]);
		op[2 * i + 1] = op_append(FIRN_STREAM_NEW, &iov);
	}
	wrote(&h, op, 2 * N, NULL);
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_run(&s, "rm -r a/index");
	host_start(&h);
	struct firn_stream_info info = { .struct_size = sizeof info };
	uint64_t id;
	cr_assert_eq(firn_stream_find(h.volume, "s119", 4, &id), 0);
	cr_assert_eq(firn_stream_info(h.volume, id, &info), 0);
	cr_assert_eq(info.bytes, sizeof data);
	cr_assert_eq(host_detach(&h, h.volume, FIRN_DETACH_DRAIN, &err), 0);
	host_close(&h);
	site_remove(&s);
}

/* A write is in memory as a whole, so the budget bounds it: the limit is told, and what keeps to it goes
 * all the way to the store and back within the budget. */
Test(bounds, a_single_write_keeps_to_the_memory_of_the_engine)
{
	struct site s;
	struct host h;
	struct firn_event ev = { 0 };
	struct firn_error err = FIRN_ERROR_INIT;
	static char data[5 << 20];
	struct iovec iov = { data, sizeof data };
	site_make(&s);
	host_init(&h, &s, "a");
	h.opts.wal_bytes = 512 << 20;
	h.opts.memory_bytes = 16 << 20;
	h.opts.env = &counting;
	host_open(&h);
	fill(data, sizeof data);
	h.volume = attach(&h, "v", 0);
	uint64_t id = new_stream(&h, "s");
	struct firn_op op = op_append(id, &iov);
	peak = live;
	uint64_t was = live;
	cr_assert_eq(writes(&h, &op, 1, &ev), FIRN_ETOOBIG);
	cr_expect_eq(ev.offset, (uint64_t)2 << 20);
	iov.iov_len = ev.offset - 4096;
	wrote(&h, &op, 1, NULL);
	store_all(&h);
	cr_expect_lt(peak - was, (uint64_t)16 << 20, "%llu KiB more",
	             (unsigned long long)((peak - was) >> 10));
	host_stop(&h, FIRN_DETACH_DRAIN);
	host_start(&h);
	struct firn_stream_info info = { .struct_size = sizeof info };
	cr_assert_eq(firn_stream_info(h.volume, id, &info), 0);
	cr_expect_eq(info.bytes, iov.iov_len);
	cr_assert_eq(host_detach(&h, h.volume, FIRN_DETACH_DRAIN, &err), 0);
	host_close(&h);
	site_remove(&s);
}

/* By what groups of any size may waste, few small files never have room for the largest record: it would be
 * refused with FIRN_EFULL for ever. */
Test(bounds, the_largest_write_has_room_in_the_smallest_log)
{
	static char data[1 << 20];
	struct site s;
	struct host h;
	struct firn_event ev = { 0 };
	struct iovec iov = { data, sizeof data };
	site_make(&s);
	host_init(&h, &s, "a");
	h.opts.wal_bytes = 4 << 20; /* four files */
	host_start(&h);
	fill(data, sizeof data);
	struct firn_op op = op_append(new_stream(&h, "s"), &iov);
	cr_assert_eq(writes(&h, &op, 1, &ev), FIRN_ETOOBIG);
	cr_expect_eq(ev.offset, (uint64_t)512 << 10);
	iov.iov_len = ev.offset - 256;
	for (int i = 0; i < 6; i++)
		wrote(&h, &op, 1, NULL);
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_remove(&s);
}

/* Each operation takes room in the directory of its file, too. */
Test(bounds, operations_that_no_file_has_room_for_are_too_big)
{
	enum { N = 20000 };
	static struct firn_op op[N];
	struct site s;
	struct host h;
	struct firn_event ev = { 0 };
	site_make(&s);
	host_init(&h, &s, "a");
	h.opts.wal_bytes = 4 << 20;
	host_start(&h);
	for (int i = 0; i < N; i++)
		op[i] = op_kv(FIRN_OP_KV_DELETE, 0, "k", NULL);
	cr_expect_eq(writes(&h, op, N, &ev), FIRN_ETOOBIG);
	wrote(&h, op, N / 4, NULL);
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_remove(&s);
}
