/* Records that move aside: what many groups held makes groups that verify and hold the same, in order. (P1) */
#include "engine/wal/aside.h"
#include "engine/api/engine.h"
#include "engine/base/sum.h"
#include "engine/wal/inspect.h"
#include "tests/integration/site.h"
#include "tests/unit/wal/make_wal.h"
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(wal_aside, .timeout = 60);

struct world {
	struct site s;
	struct host h;
	struct wal *w;
	struct aside_put put;
	uint64_t next; /* rev that is looked for */
};

static void open_world(struct world *t)
{
	memset(t, 0, sizeof *t);
	site_make(&t->s);
	host_init(&t->h, &t->s, "a");
	t->h.opts.flags |= FIRN_ENGINE_NO_THREADS;
	t->h.opts.wal_bytes = 64 << 20;
	host_start(&t->h);
	t->w = &engine_of(t->h.engine)->wal;
	struct wal_volume_row row = t->w->row[0];
	cr_assert_eq(aside_put_open(&t->put, t->w, &row, 1), 0);
}

static void close_world(struct world *t)
{
	aside_put_close(&t->put);
	host_stop(&t->h, FIRN_DETACH_KEEP_WAL);
	site_remove(&t->s);
}

static void put_group(struct world *t, const uint8_t *group, uint32_t used)
{
	struct wal_record r;
	for (uint32_t pos = WAL_GROUP_HEADER; (pos = wal_record_next(group, used, pos, &r)) != 0;)
		cr_assert_eq(aside_put_record(&t->put, &r), 0);
}

/* All groups of a file in memory; `each` gets every record of a write. */
static void each_write(struct world *t, const uint8_t *file, uint64_t len, uint64_t no,
                       void (*each)(struct world *t, const struct wal_record *r))
{
	struct wal_group_header h;
	struct firn_error err = FIRN_ERROR_INIT;
	uint32_t bad;
	for (uint64_t pos = WAL_PAGE; pos < len; pos += wal_group_len(h.used)) {
		cr_assert_eq(wal_group_header_get(file + pos, len - pos, &h), 0);
		cr_assert_eq(h.lsn, no << 32 | pos);
		cr_assert_eq(wal_group_verify(file + pos, wal_group_len(h.used), &h, &bad, &err), 0,
		             "%s", err.text);
		struct wal_record r;
		for (uint32_t at = WAL_GROUP_HEADER;
		     (at = wal_record_next(file + pos, h.used, at, &r)) != 0;)
			if (r.type == WAL_WRITE)
				each(t, &r);
	}
}

static void each_moved(struct world *t, void (*each)(struct world *t, const struct wal_record *r))
{
	for (uint32_t i = 0; i < t->w->n_aside; i++) {
		char path[4200];
		struct stat st;
		wal_file_path(t->w->dir, t->w->aside[i].file_no, path, sizeof path);
		int fd = open(path, O_RDONLY);
		cr_assert(fd >= 0 && !fstat(fd, &st));
		cr_assert_eq((uint64_t)st.st_size, t->w->aside[i].bytes);
		void *file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		cr_assert(file != MAP_FAILED);
		each_write(t, file, (uint64_t)st.st_size, t->w->aside[i].file_no, each);
		munmap(file, (size_t)st.st_size);
		close(fd);
	}
}

/* What a record says, wherever it stands: all but its place and its operations' links. */
static uint64_t sum_of(const struct wal_record *r)
{
	struct wal_op op;
	uint64_t sum = sum64_seed(&r->rev, sizeof r->rev, r->nonce ^ r->epoch ^ r->n_ops);
	sum = sum64_seed(r->start + r->meta_len, r->len - r->meta_len, sum);
	for (const uint8_t *at = NULL; (at = wal_op_next(r, at, &op)) != NULL;) {
		sum = sum64_seed(&op.kind, sizeof op.kind, sum ^ op.stream);
		sum = sum64_seed(&op.batch.offset, sizeof op.batch.offset, sum ^ op.at);
		if (op.key_len)
			sum = sum64_seed(op.key, op.key_len, sum ^ op.value_len);
	}
	return sum;
}

static uint64_t sums[2000];

static void remember(struct world *t, const struct wal_record *r)
{
	(void)t;
	sums[r->rev] = sum_of(r);
}

static void is_next(struct world *t, const struct wal_record *r)
{
	cr_assert_eq(r->rev, t->next, "write %llu after %llu", (unsigned long long)r->rev,
	             (unsigned long long)t->next - 1);
	cr_assert_eq(sum_of(r), sums[r->rev], "write %llu differs", (unsigned long long)r->rev);
	t->next++;
}

Test(wal_aside, writes_of_many_groups_are_the_same_in_their_own)
{
	struct world t;
	struct walmake *m = walmake_new(1);
	open_world(&t);
	for (uint64_t no = 1; no <= 3; no++) {
		walmake_file_begin(m, no, 1, NULL, false);
		for (uint64_t pos = m->pos; pos + 64 * 1024 < WALMAKE_FILE; pos = m->pos) {
			for (int i = 0; i < 5; i++)
				walmake_write(m, 1, NULL, 6);
			uint32_t used = m->used;
			(void)walmake_group_end(m, 0);
			put_group(&t, m->file + pos, used);
		}
		each_write(&t, m->file, m->pos, no, remember);
		if (no < 3) /* the third goes on in the range of the second */
			cr_assert_eq(aside_put_finish(&t.put), 0);
	}
	cr_assert_eq(aside_put_finish(&t.put), 0);
	cr_assert_gt(m->row[0].rev, 40);
	cr_assert_eq(wal_aside_rev(t.w, 1), m->row[0].rev);
	t.next = 1;
	each_moved(&t, is_next);
	cr_assert_eq(t.next, m->row[0].rev + 1);
	walmake_free(m);
	close_world(&t);
}

static uint8_t *many(uint16_t n, uint32_t *used)
{
	struct wal_op op = { .kind = WAL_OP_APPEND };
	struct wal_record r = { .type = WAL_WRITE,
		                .pos = WAL_GROUP_HEADER,
		                .volume_no = 1,
		                .rev = 1,
		                .nonce = 1,
		                .epoch = 1,
		                .n_ops = n };
	struct wal_group_header h = { .n_records = 1, .run = 1, .lsn = WAL_PAGE };
	op.batch.n_offsets = 1;
	op.batch.payload_sum = sum64("", 0);
	op.batch.payload = (const uint8_t *)"";
	uint32_t len = (uint32_t)wal_op_len(&op);
	r.meta_len = r.len = WAL_RECORD_HEADER + n * len;
	*used = WAL_GROUP_HEADER + r.len;
	uint8_t *group = aligned_alloc(WAL_PAGE, wal_group_len(*used));
	cr_assert(group);
	memset(group, 0, wal_group_len(*used));
	for (uint16_t i = 0; i < n; i++) {
		op.stream = op.batch.stream = i + 1u;
		wal_op_put(group, WAL_GROUP_HEADER + WAL_RECORD_HEADER + i * len, &op, 0);
	}
	wal_record_put(group, &r);
	h.used = *used;
	wal_group_seal(group, &h);
	return group;
}

Test(wal_aside, a_write_to_as_many_streams_as_a_record_can_name_moves)
{
	struct world t;
	struct wal_record r;
	uint32_t used;
	open_world(&t);
	uint8_t *group = many(WAL_OPS_MAX, &used);
	cr_assert(wal_record_next(group, used, WAL_GROUP_HEADER, &r) != 0);
	remember(&t, &r);
	put_group(&t, group, used);
	cr_assert_eq(aside_put_finish(&t.put), 0);
	t.next = 1;
	each_moved(&t, is_next);
	cr_assert_eq(t.next, 2);
	free(group);
	close_world(&t);
}
