/* The table of volumes: whoever reads a log ends up with the numbers of whoever wrote it. (P1, S7) */
#include "engine/base/mem.h"
#include "engine/base/mutex.h"
#include "engine/os/env.h"
#include "engine/wal/file.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

TestSuite(wal_table, .timeout = 60);

enum { FILE_BYTES = 64 << 10, AT = 8192 };

static void begin(struct wal *w, uint64_t pos)
{
	memset(w, 0, sizeof *w);
	w->env = env_default_pwrite();
	w->opts.file_bytes = FILE_BYTES;
	w->next_volume_no = 1;
	w->pos = pos;
	mutex_init(&w->lock);
}

static void end(struct wal *w)
{
	mem_free(w->env, w->row);
	mem_free(w->env, w->gone);
	pthread_mutex_destroy(&w->lock);
}

static struct wal_volume_row row_of(uint8_t id, uint32_t flags)
{
	struct wal_volume_row r = { .flags = flags };
	memset(r.id, id, sizeof r.id);
	(void)snprintf(r.name, sizeof r.name, "volume-%u", id);
	(void)snprintf(r.uri, sizeof r.uri, "mem:");
	return r;
}

/* As a table near its limit sweeps them: a clean row goes in the middle of a file, its volume comes back. */
Test(wal_table, a_volume_that_comes_back_under_another_number_is_found_under_it)
{
	struct wal live, read;
	struct wal_volume_row first = row_of(1, 0), again = row_of(1, 0), got;
	begin(&live, AT);
	cr_assert_eq(wal_row_set(&live, &first), 0);
	struct wal_volume_row in_table = first; /* the file begins */
	first.flags = WAL_VOLUME_DETACHED | WAL_VOLUME_CLEAN;
	cr_assert_eq(wal_row_set(&live, &first), 0);
	for (uint8_t id = 2; !wal_row_find(&live, first.id, &got); id++) {
		struct wal_volume_row other = row_of(id, 0);
		cr_assert_eq(wal_row_set(&live, &other), 0);
	}
	live.opts.file_bytes *= 2;
	cr_assert_eq(wal_row_set(&live, &again), 0);
	cr_expect_neq(again.volume_no, in_table.volume_no, "numbers are never given again");

	begin(&read, 0); /* a recovery: the table, then the intent behind it */
	cr_assert_eq(wal_row_set(&read, &in_table), 0);
	struct wal_volume_row intent = again;
	cr_assert_eq(wal_row_set(&read, &intent), 0);
	cr_assert_eq(wal_row_find(&read, again.id, &got), 0);
	cr_expect_eq(got.volume_no, again.volume_no, "its writes say %u", again.volume_no);
	cr_expect_gt(read.next_volume_no, again.volume_no);
	end(&live);
	end(&read);
}
