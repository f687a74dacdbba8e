/* A volume that comes back to an engine: after a clean detach elsewhere in time, under another spelling,
 * with a store or a WAL that lost something. Whoever does not fit is refused before anything is changed
 * (P4, P5). */
#include "tests/integration/site.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(reattach, .timeout = 60);

static void begin(struct site *s, struct host *h)
{
	site_make(s);
	host_init(h, s, "a");
	host_start(h);
}

static void detach(struct host *h, uint32_t mode)
{
	struct firn_error err = FIRN_ERROR_INIT;
	int rc = host_detach(h, h->volume, mode, &err);
	cr_assert_eq(rc, 0, "%s: %s", firn_code_name(rc), err.text);
}

static void expect_refused(struct host *h, int code, const char *word)
{
	struct firn_error err = FIRN_ERROR_INIT;
	int rc = host_try_attach(h, "v", 0, NULL, &h->volume, &err);
	cr_assert_eq(rc, code, "%s: %s", firn_code_name(rc), err.text);
	cr_assert(strstr(err.text, word), "%s", err.text);
}

static void expect_joined(struct host *h, uint64_t stream, const char *text)
{
	char *joined = NULL;
	cr_assert_eq(read_stream(h, stream, 0, &joined), 0);
	cr_assert_str_eq(joined, text);
	free(joined);
}

Test(reattach, what_the_scan_found_of_a_clean_volume_is_not_taken_for_its_newest_writes)
{
	struct site s;
	struct host h;
	begin(&s, &h);
	uint64_t id = new_stream(&h, "room");
	(void)say(&h, id, "one ");
	host_stop(&h, FIRN_DETACH_DRAIN);
	host_start(&h); /* the old WAL file still holds "one" */
	(void)say(&h, id, "two ");
	for (int i = 0; i < 3; i++) {
		detach(&h, FIRN_DETACH_KEEP_WAL);
		host_attach(&h, "v");
		(void)say(&h, id, "more ");
	}
	expect_joined(&h, id, "one two more more more ");
	host_stop(&h, FIRN_DETACH_KEEP_WAL);
	site_remove(&s);
}

Test(reattach, a_volume_under_another_spelling_of_its_uri_is_the_same_volume)
{
	struct site s, other;
	struct host h;
	struct firn_volume *second;
	struct firn_error err = FIRN_ERROR_INIT;
	begin(&s, &h);
	uint64_t id = new_stream(&h, "room");
	store_all(&h);
	other = s;
	if (s.on_files) {
		site_run(&s, "ln -s store again");
		site_uri(&s, "again", other.uri, sizeof other.uri);
	} else {
		site_uri_add(&other, "deadline_ms=29999");
	}
	h.site = &other;
	cr_assert_eq(host_try_attach(&h, "v", FIRN_ATTACH_CREATE, NULL, &second, &err), FIRN_EBUSY,
	             "%s", err.text);
	h.site = &s;
	(void)say(&h, id, "still mine");
	store_all(&h);
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_remove(&s);
}

Test(reattach, a_clean_manifest_from_before_is_refused_even_without_an_index)
{
	struct site s;
	struct host h;
	begin(&s, &h);
	uint64_t id = new_stream(&h, "room");
	(void)say(&h, id, "one ");
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_change_store(&s, "cp -r store before");
	host_start(&h);
	(void)say(&h, id, "two ");
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_change_store(&s, "mv store after && mv before store && rm -r a/index");
	host_open(&h);
	expect_refused(&h, FIRN_ECORRUPT, "backwards");
	site_change_store(&s, "rm -rf store && mv after store");
	host_attach(&h, "v");
	expect_joined(&h, id, "one two ");
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_remove(&s);
}

static uint64_t epoch_of(struct host *h)
{
	struct firn_volume_entry e;
	struct firn_error err = FIRN_ERROR_INIT;
	cr_assert_eq(firn_volume_list(h->engine, h->site->uri, NULL, &e, sizeof e, 1, &err), 1,
	             "%s", err.text);
	return e.epoch;
}

Test(reattach, a_segment_that_is_gone_is_noticed_before_the_epoch_rises)
{
	struct site s;
	struct host h;
	begin(&s, &h);
	(void)say(&h, new_stream(&h, "room"), "one ");
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_change_store(&s, "rm -r a/index && mv store/v/seg seg");
	host_open(&h);
	uint64_t was = epoch_of(&h);
	expect_refused(&h, FIRN_ECORRUPT, "manifest");
	cr_assert_eq(epoch_of(&h), was);
	site_change_store(&s, "mv seg store/v/seg");
	host_attach(&h, "v");
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_remove(&s);
}

static void crash_with_two_files(void *arg)
{
	struct host *h = arg;
	host_start(h);
	uint64_t id = new_stream(h, "room");
	store_all(h);
	host_stop(h, FIRN_DETACH_KEEP_WAL);
	host_start(h);
	(void)say(h, id, "acked");
}

/* The newest file begins with 8 KiB of rot; the groups behind are whole: damage, not a torn beginning. */
Test(reattach, a_file_whose_beginning_is_rotten_is_not_taken_for_an_empty_one)
{
	struct site s;
	struct host h;
	site_make(&s);
	host_init(&h, &s, "a");
	crash_after(crash_with_two_files, &h);
	site_run(
	        &s,
	        "dd if=/dev/urandom of=$(ls a/wal/*.wal | tail -1) bs=4096 count=2 conv=notrunc status=none");
	host_open(&h);
	expect_refused(&h, FIRN_ECORRUPT, ".wal");
	host_close(&h);
	site_remove(&s);
}
