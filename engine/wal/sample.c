/* The sample files of FORMAT.md: file 2 of a WAL, begun by run 2 after a crash of run 1; and an aside file. */
#include "engine/base/sum.h"
#include "engine/wal/directory.h"
#include "engine/wal/inspect.h"
#include "engine/wal/slots_format.h"
#include <string.h>

enum { ROOM = 4096, FILE_NO = 2, RUN = 2, PAGES = 8, ASIDE_PAGES = 3 };
#define TIME_MS INT64_C(1750000000000)
#define SEALED_LSN (UINT64_C(1) << 32 | 8192)

struct sample {
	uint8_t *file, *group; /* group: the one being made */
	uint64_t file_no, pos, prev_sum, durable_lsn;
	struct wal_record r;
	uint32_t used, n_records, payload, directory_len;
};

static void bytes_from(uint8_t *to, uint8_t first)
{
	for (int i = 0; i < 16; i++)
		to[i] = (uint8_t)(first + i);
}

static void group_end(struct sample *s, uint32_t flags)
{
	struct wal_group_header h = { .flags = flags,
		                      .used = s->used,
		                      .n_records = s->n_records,
		                      .run = RUN,
		                      .lsn = s->file_no << 32 | s->pos,
		                      .prev_sum = s->prev_sum,
		                      .directory_len = s->directory_len,
		                      .durable_lsn = s->durable_lsn,
		                      .sealed_ms = TIME_MS };
	bytes_from(h.wal_id, 0xa0);
	wal_group_seal(s->group, &h);
	s->prev_sum = h.header_sum;
	s->directory_len = 0;
	s->pos += wal_group_len(h.used);
	s->durable_lsn = s->file_no << 32 | s->pos;
	s->group = s->file + s->pos;
	s->used = WAL_GROUP_HEADER;
	s->n_records = 0;
}

static void record_begin(struct sample *s, uint16_t type, uint32_t volume_no, uint64_t rev)
{
	s->r = (struct wal_record){ .type = type,
		                    .volume_no = volume_no,
		                    .rev = rev,
		                    .pos = s->used,
		                    .nonce = volume_no ? UINT64_C(0x1716151413121110) + volume_no
		                                       : 0,
		                    .epoch = volume_no ? 3 : 0,
		                    .append_ms = TIME_MS,
		                    .len = WAL_RECORD_HEADER };
}

static void record_end(struct sample *s)
{
	wal_record_put(s->group, &s->r);
	s->used += (s->r.len + 7) & ~7u;
	s->n_records++;
}

/* Rows are encoded through a buffer; this one hands out a fixed piece of memory. */
struct arena {
	uint8_t room[ROOM];
	size_t used;
};

static void *arena_alloc(void *ctx, size_t len, size_t align)
{
	struct arena *a = ctx;
	size_t at = (a->used + align - 1) & ~(align - 1);
	if (len > ROOM || at > ROOM - len)
		return NULL;
	a->used = at + len;
	return a->room + at;
}

static void arena_release(void *ctx, void *p)
{
	(void)ctx;
	(void)p;
}

static void row_of(struct wal_volume_row *row, uint32_t volume_no, uint64_t rev, uint32_t n_intent)
{
	memset(row, 0, sizeof *row);
	row->volume_no = volume_no;
	row->n_intent = n_intent;
	row->epoch = 3;
	row->rev = rev;
	row->rev_stored = rev - 2;
	row->identity.fs_id = 0xfe00;
	row->identity.inode = 1234;
	bytes_from(row->identity.machine, 0xc0);
	bytes_from(row->id, (uint8_t)(volume_no << 4));
	bytes_from(row->nonce, 0x10);
	row->nonce[0] = (uint8_t)(row->nonce[0] + volume_no);
	for (uint32_t i = 0; i < n_intent; i++)
		bytes_from(row->intent[i], (uint8_t)(0x60 + 16 * i));
	(void)strcpy(row->name, volume_no == 1 ? "rooms" : "queues");
	(void)strcpy(row->uri, "s3://bucket/firn");
	(void)strcpy(row->node, "node-7");
}

static void add_control(struct sample *s, uint16_t type, uint32_t n_row)
{
	struct arena a = { .used = 0 };
	struct firn_env env = {
		.struct_size = sizeof env, .ctx = &a, .alloc = arena_alloc, .release = arena_release
	};
	struct wal_volume_row row;
	struct wal_seal_body seal = { 1, SEALED_LSN, 0x5ea1 };
	struct buf b;
	buf_init(&b, &env);
	if (type == WAL_TABLE) {
		struct wal_table_head head = { n_row, n_row > 1, n_row > 1 ? 4 : 2 };
		wal_table_head_encode(&head, &b);
	}
	if (type == WAL_SEAL)
		wal_seal_encode(&seal, &b);
	for (uint32_t i = 1; i <= n_row; i++) {
		row_of(&row, i, i * 10, type == WAL_INTENT);
		wal_row_encode(&row, &b);
	}
	if (type == WAL_TABLE && n_row > 1) {
		struct wal_gone gone = { .rev = 30,
			                 .name_sum = wal_name_sum("s3://bucket/firn", "old") };
		bytes_from(gone.id, 0x30);
		wal_gone_encode(&gone, &b);
	}
	record_begin(s, type, type == WAL_INTENT ? 1 : 0, 0);
	memcpy(s->group + s->used + WAL_RECORD_HEADER, b.data, b.len);
	s->r.len = s->r.meta_len = WAL_RECORD_HEADER + (uint32_t)b.len;
	record_end(s);
	buf_fini(&b);
}

/* Writes ops, then their payloads behind them. */
static void add_write(struct sample *s, uint32_t volume_no, uint64_t rev, struct wal_op *op,
                      uint16_t n_op)
{
	record_begin(s, WAL_WRITE, volume_no, rev);
	uint32_t pos = s->used + WAL_RECORD_HEADER, end = pos;
	for (uint16_t i = 0; i < n_op; i++)
		end += (uint32_t)wal_op_len(&op[i]);
	s->r.meta_len = end - s->used;
	for (uint16_t i = 0; i < n_op; i++) {
		struct batch *b = &op[i].batch;
		uint32_t payload_pos = 0;
		if (wal_op_has_batch(op[i].kind)) {
			b->payload_sum = sum64(b->payload, b->payload_len);
			payload_pos = b->payload_len ? end - pos : 0;
			memcpy(s->group + end, b->payload, b->payload_len);
			end += b->payload_len;
		}
		op[i].pos = pos;
		for (uint16_t k = i; k-- > 0 && !op[i].prev;)
			if (op[k].stream == op[i].stream)
				op[i].prev = op[k].pos;
		wal_op_put(s->group, pos, &op[i], payload_pos);
		pos += (uint32_t)wal_op_len(&op[i]);
	}
	s->r.n_ops = n_op;
	s->r.len = end - s->used;
	record_end(s);
}

#define BYTES(text) (const uint8_t *)(text)

static void add_rooms(struct sample *s, uint64_t rev)
{
	const uint64_t stream = UINT64_C(3) << 40 | 17;
	struct batch hello = { .stream = stream,
		               .n_offsets = 1,
		               .payload_len = 5,
		               .timestamp_ms = TIME_MS - 9,
		               .append_ms = TIME_MS,
		               .rev = rev,
		               .epoch = 3,
		               .payload = BYTES("hello") };
	struct batch more = hello;
	more.offset = 1;
	more.n_offsets = 3;
	more.payload = BYTES("firn is snow");
	more.payload_len = 12;
	more.producer_id = 77;
	more.producer_epoch = 1;
	more.producer_seq = 40;
	more.flags = BATCH_PRODUCER;
	more.key = BYTES("k1");
	more.key_len = 2;
	more.attr = BYTES("zz9");
	more.attr_len = 3;
	struct wal_op op[4] = {
		{ .kind = WAL_OP_CREATE,
		  .stream = stream,
		  .name = "lobby",
		  .name_len = 5,
		  .config = BYTES("{}"),
		  .config_len = 2 },
		{ .kind = WAL_OP_APPEND, .stream = stream, .batch = hello },
		{ .kind = WAL_OP_APPEND, .stream = stream, .batch = more },
		{ .kind = WAL_OP_CONFIG,
		  .stream = stream,
		  .config = BYTES("{\"ttl\":7}"),
		  .config_len = 9 },
	};
	add_write(s, 1, rev, op, 4);
}

static void add_queues(struct sample *s, uint64_t rev)
{
	struct batch back = { .stream = 5,
		              .offset = 4800,
		              .n_offsets = 1,
		              .payload_len = 4,
		              .timestamp_ms = TIME_MS - 7000,
		              .append_ms = TIME_MS - 7000,
		              .rev = 3,
		              .epoch = 2,
		              .payload = BYTES("back") };
	struct wal_op op[5] = {
		{ .kind = WAL_OP_KV_PUT,
		  .stream = 5,
		  .key = BYTES("cursor"),
		  .key_len = 6,
		  .value = BYTES("4711"),
		  .value_len = 4 },
		{ .kind = WAL_OP_KV_DELETE,
		  .stream = 5,
		  .key = BYTES("a"),
		  .key_len = 1,
		  .key_to = BYTES("b"),
		  .key_to_len = 1 },
		{ .kind = WAL_OP_TRIM, .stream = 5, .at = 4711 },
		{ .kind = WAL_OP_DELETE, .stream = 6 },
		{ .kind = WAL_OP_FILL, .stream = 5, .batch = back },
	};
	add_write(s, 2, rev, op, 5);
}

/* Of all groups so far. */
static void add_directory(struct sample *s)
{
	struct arena a = { .used = 0 };
	struct firn_env env = {
		.struct_size = sizeof env, .ctx = &a, .alloc = arena_alloc, .release = arena_release
	};
	const uint64_t lsn = (UINT64_C(2) << 32) | (3 * WAL_PAGE);
	const struct wal_place place[] = {
		{ 1, 432, 0, 11, 12, lsn, WAL_PAGE, 0 },
		{ 1, 360, UINT64_C(3) << 40 | 17, 0, 4, lsn, WAL_PAGE, 0 },
		{ 2, 336, 0, 21, 22, lsn, WAL_PAGE, 0 },
	};
	(void)wal_directory_put(&env, s->group, place, 3, WAL_PAGE, (uint32_t)s->pos, &s->used);
	s->n_records = 1;
	group_end(s, 0);
	s->directory_len = (uint32_t)wal_directory_len(3);
}

static void begin(struct sample *s, uint8_t *file, uint64_t file_no, uint64_t prev_sum,
                  uint32_t n_page)
{
	struct wal_file_header fh = { .run = RUN,
		                      .file_no = file_no,
		                      .file_bytes = n_page * WAL_PAGE,
		                      .prev_sum = prev_sum,
		                      .created_ms = TIME_MS };
	*s = (struct sample){ .file = file,
		              .group = file + WAL_PAGE,
		              .file_no = file_no,
		              .pos = WAL_PAGE,
		              .prev_sum = prev_sum,
		              .durable_lsn = SEALED_LSN,
		              .used = WAL_GROUP_HEADER };
	memset(file, 0, (size_t)fh.file_bytes);
	bytes_from(fh.wal_id, 0xa0);
	bytes_from(fh.run_nonce, 0xb0);
	wal_file_header_put(file, &fh);
}

size_t wal_sample(uint8_t *file)
{
	struct sample s;
	begin(&s, file, FILE_NO, 0x5ea1, PAGES);
	add_control(&s, WAL_TABLE, 2);
	add_control(&s, WAL_SEAL, 0);
	group_end(&s, 0);
	add_control(&s, WAL_INTENT, 1);
	group_end(&s, 0);
	add_rooms(&s, 11);
	add_queues(&s, 21);
	group_end(&s, 0);
	add_directory(&s);
	group_end(&s, WAL_GROUP_END);
	return PAGES * WAL_PAGE;
}

size_t wal_sample_aside(uint8_t *file)
{
	struct sample s;
	begin(&s, file, WAL_ASIDE_NO, 0, ASIDE_PAGES);
	s.durable_lsn = WAL_ASIDE_NO << 32 | WAL_PAGE;
	add_control(&s, WAL_TABLE, 1);
	group_end(&s, 0);
	add_rooms(&s, 11);
	group_end(&s, 0);
	return ASIDE_PAGES * WAL_PAGE;
}

static size_t slot_put(struct slots_head *h, const struct slots_row *row, const uint8_t *group,
                       uint8_t *slot)
{
	struct arena a = { .used = 0 };
	struct firn_env env = {
		.struct_size = sizeof env, .ctx = &a, .alloc = arena_alloc, .release = arena_release
	};
	struct buf b;
	bytes_from(h->log_id, 0xd0);
	buf_init(&b, &env);
	slots_encode(h, row, &b);
	size_t len = b.len;
	memcpy(slot, b.data, len);
	if (h->group_len)
		memcpy(slot + len, group, h->group_len);
	buf_fini(&b);
	return len + h->group_len;
}

size_t wal_sample_slot(uint8_t *slot)
{
	static _Alignas(8) uint8_t file[WAL_SAMPLE_MAX];
	const uint8_t *group = file + (size_t)3 * WAL_PAGE;
	struct wal_group_header gh;
	(void)wal_sample(file);
	(void)wal_group_header_get(group, WAL_PAGE, &gh);
	struct slots_head h = { .kind = SLOTS_GROUP,
		                .n_volume = 2,
		                .slot = 7,
		                .acked = 5,
		                .group_len = gh.used,
		                .group_sum = gh.header_sum };
	struct slots_row row[2] = { { .volume_no = 1, .rev_first = 11, .rev_last = 11 },
		                    { .volume_no = 2, .rev_first = 21, .rev_last = 21 } };
	bytes_from(row[0].id, 0x10);
	bytes_from(row[1].id, 0x20);
	return slot_put(&h, row, group, slot);
}

size_t wal_sample_seal(uint8_t *slot)
{
	struct slots_head h = { .kind = SLOTS_SEAL, .slot = 8 };
	return slot_put(&h, NULL, NULL, slot);
}
