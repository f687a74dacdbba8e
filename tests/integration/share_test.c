/* Stores that are away share the WAL with those that are not (PROTOCOL S16): what is not stored yet of a volume,
 * and of all volumes of its store together, may take 4 x the free bytes and no more. */
#include "tests/integration/site.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(share, .timeout = 200);

enum {
	BYTES = 64 << 10,
	SLACK = 10 << 20
}; /* slack: what is free moves in steps of a file, of 2 MiB */

static char payload[BYTES];

static struct firn_volume *attach(struct host *h, const char *store, const char *name)
{
	struct firn_attach a = FIRN_ATTACH_INIT;
	struct firn_event ev = { 0 };
	struct firn_error err = FIRN_ERROR_INIT;
	char uri[SITE_URI_MAX];
	site_uri_mortal(h->site, store, uri, sizeof uri);
	a.store = uri;
	a.name = name;
	a.attach_flags = FIRN_ATTACH_CREATE;
	int rc = firn_engine_call(h->engine, &a.req, &ev, &err);
	cr_assert_eq(rc, 0, "%s: %s", name, err.text);
	const struct firn_attached *r = ev.result;
	struct firn_volume *v = r->volume;
	firn_release(ev.result);
	return v;
}

static struct firn_volume_info info(const struct firn_volume *v)
{
	struct firn_volume_info i = { .struct_size = sizeof i };
	cr_assert_eq(firn_volume_info(v, &i), 0);
	return i;
}

static int append(struct host *h, struct firn_volume *v, uint64_t stream)
{
	struct iovec iov = { payload, BYTES };
	h->volume = v;
	return write_one(h, op_append(stream, &iov), NULL);
}

static int append_if_room(struct host *h, struct firn_volume *v, uint64_t stream)
{
	struct iovec iov = { payload, BYTES };
	h->volume = v;
	return write_if_room(h, op_append(stream, &iov));
}

static uint64_t stream_in(struct host *h, struct firn_volume *v)
{
	h->volume = v;
	uint64_t id = new_stream(h, "s");
	store_all(h);
	return id;
}

Test(share, volumes_of_one_store_that_is_away_take_one_share)
{
	struct site s;
	struct host h;
	site_make(&s);
	host_init(&h, &s, "a");
	h.opts.wal_bytes = 64 << 20;
	site_run(&s, "mkdir dead live");
	host_open(&h);
	struct firn_volume *v[3] = { attach(&h, "dead", "one"), attach(&h, "dead", "two"),
		                     attach(&h, "live", "three") };
	uint64_t id[3], n[3] = { 0 };
	for (int i = 0; i < 3; i++)
		id[i] = stream_in(&h, v[i]);
	site_store_leaves(&s, "dead");
	for (bool full[2] = { false, false }; !full[0] || !full[1];)
		for (int i = 0; i < 2; i++) {
			int rc = full[i] ? FIRN_ETIMEDOUT : append_if_room(&h, v[i], id[i]);
			cr_assert(!rc || rc == FIRN_ETIMEDOUT, "%s", firn_code_name(rc));
			full[i] = rc != 0;
			n[i] += !rc;
		}
	struct firn_volume_info one = info(v[0]), two = info(v[1]);
	cr_expect_leq(one.unstored_bytes + two.unstored_bytes, one.wal_bytes + SLACK,
	              "%llu and %llu of %llu", (unsigned long long)one.unstored_bytes,
	              (unsigned long long)two.unstored_bytes, (unsigned long long)one.wal_bytes);
	cr_expect_gt(one.unstored_bytes + two.unstored_bytes, (uint64_t)h.opts.wal_bytes / 2);
	cr_expect_eq(info(v[2]).state, (uint32_t)FIRN_STATE_OPEN);
	for (; n[2] < 3 * (64 << 20) / BYTES; n[2]++) /* the third goes round and round */
		cr_assert_eq(append(&h, v[2], id[2]), 0);
	site_store_returns(&s, "dead");
	for (int i = 0; i < 3; i++) {
		h.volume = v[i];
		cr_assert_eq(append(&h, v[i], id[i]), 0, "room comes back");
		store_all(&h);
		cr_expect_eq(mark_of(&h, id[i], FIRN_MARK_STORED), n[i] + 1);
		cr_expect_eq(host_detach(&h, v[i], FIRN_DETACH_DRAIN, NULL), 0);
	}
	host_close(&h);
	site_remove(&s);
}
