#include "tests/unit/wal/make_wal.h"
#include "engine/base/sum.h"
#include "engine/os/env.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void must(bool ok, const char *what)
{
	if (!ok) {
		perror(what);
		abort();
	}
}

uint64_t walmake_random(struct walmake_chance *c)
{
	uint64_t z = (c->state += UINT64_C(0x9e3779b97f4a7c15));
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint32_t walmake_below(struct walmake_chance *c, uint32_t n)
{
	return n ? (uint32_t)(walmake_random(c) % n) : 0;
}

/* ---- operations ---- */

static const uint8_t *piece(struct walmake_chance *c, const uint8_t *bytes, uint32_t max,
                            uint32_t *len)
{
	*len = walmake_below(c, max + 1);
	return bytes + walmake_below(c, 65536 - max);
}

static void random_batch(struct walmake_chance *c, const uint8_t *bytes, uint64_t stream,
                         uint32_t max, struct batch *b)
{
	uint32_t key_len, attr_len;
	b->stream = stream;
	b->offset = walmake_random(c) >> 3;
	b->n_offsets = 1 + walmake_below(c, 1000);
	b->timestamp_ms = (int64_t)walmake_random(c);
	b->append_ms = (int64_t)(walmake_random(c) >> 20);
	b->rev = walmake_random(c);
	b->epoch = walmake_random(c);
	b->producer_id = walmake_random(c);
	b->producer_seq = walmake_random(c);
	b->producer_epoch = (uint32_t)walmake_random(c);
	b->tag = (uint32_t)walmake_random(c);
	b->flags = (uint16_t)walmake_below(c, 16);
	b->key = piece(c, bytes, BATCH_KEY_MAX, &key_len);
	b->attr = piece(c, bytes, 255, &attr_len);
	b->key_len = (uint8_t)key_len;
	b->attr_len = (uint8_t)attr_len;
	b->payload = piece(c, bytes, max, &b->payload_len);
	b->payload_sum = sum64(b->payload, b->payload_len);
}

void walmake_op(struct walmake_chance *c, const uint8_t *bytes, uint64_t stream,
                uint32_t payload_max, struct wal_op *op)
{
	static const uint16_t kinds[] = { WAL_OP_APPEND,    WAL_OP_APPEND, WAL_OP_KV_PUT,
		                          WAL_OP_KV_DELETE, WAL_OP_TRIM,   WAL_OP_CREATE,
		                          WAL_OP_CONFIG,    WAL_OP_DELETE, WAL_OP_FILL };
	memset(op, 0, sizeof *op);
	op->kind = kinds[walmake_below(c, 9)];
	op->stream = stream;
	if (wal_op_has_batch(op->kind))
		random_batch(c, bytes, stream, payload_max, &op->batch);
	if (op->kind == WAL_OP_KV_PUT || op->kind == WAL_OP_KV_DELETE)
		op->key = piece(c, bytes, 40, &op->key_len);
	if (op->kind == WAL_OP_KV_PUT)
		op->value = piece(c, bytes, 100, &op->value_len);
	if (op->kind == WAL_OP_KV_DELETE)
		op->key_to = piece(c, bytes, 40, &op->key_to_len);
	if (op->kind == WAL_OP_TRIM || op->kind == WAL_OP_CREATE)
		op->at = walmake_random(c) >> 2;
	if (op->kind == WAL_OP_CREATE)
		op->name = (const char *)piece(c, bytes, 60, &op->name_len);
	if (op->kind == WAL_OP_CREATE || op->kind == WAL_OP_CONFIG)
		op->config = piece(c, bytes, 90, &op->config_len);
}

/* ---- files ---- */

struct walmake *walmake_new(uint32_t n_row)
{
	struct walmake *m = calloc(1, sizeof *m);
	must(m != NULL, "calloc");
	m->file = aligned_alloc(WAL_PAGE, WALMAKE_FILE);
	must(m->file != NULL, "aligned_alloc");
	memset(m->file, 0, WALMAKE_FILE);
	m->n_row = n_row;
	m->chance.state = 7;
	for (size_t i = 0; i < sizeof m->bytes; i++)
		m->bytes[i] = (uint8_t)walmake_random(&m->chance);
	for (uint32_t i = 0; i < n_row; i++) {
		struct wal_volume_row *row = &m->row[i];
		row->volume_no = i + 1;
		row->id[0] = row->nonce[0] = (uint8_t)(i + 1);
		row->epoch = 1;
		(void)snprintf(row->name, sizeof row->name, "volume-%u", i + 1);
		(void)snprintf(row->uri, sizeof row->uri, "mem:");
	}
	return m;
}

void walmake_free(struct walmake *m)
{
	free(m->file);
	free(m);
}

void walmake_raw(struct walmake *m, uint16_t type, const void *meta, uint32_t len)
{
	struct wal_record r = { .type = type,
		                .pos = m->used,
		                .len = WAL_RECORD_HEADER + len,
		                .meta_len = WAL_RECORD_HEADER + len };
	if (len)
		memcpy(m->group + m->used + WAL_RECORD_HEADER, meta, len);
	wal_record_put(m->group, &r);
	m->used += r.len;
	m->n_records++;
}

static void group_begin(struct walmake *m)
{
	m->group = m->file + m->pos;
	m->used = WAL_GROUP_HEADER;
	m->n_records = 0;
}

void walmake_file_begin(struct walmake *m, uint64_t no, uint64_t run,
                        const struct wal_seal_body *seal, bool keep)
{
	struct wal_file_header h = {
		.run = run, .file_no = no, .file_bytes = WALMAKE_FILE, .prev_sum = m->prev_sum
	};
	struct buf b;
	if (!keep)
		memset(m->file, 0, WALMAKE_FILE);
	memset(h.wal_id, 'w', sizeof h.wal_id);
	wal_file_header_put(m->file, &h);
	m->no = no;
	m->run = run;
	m->pos = WAL_PAGE;
	group_begin(m);
	buf_init(&b, env_default());
	struct wal_table_head head = { .n_row = m->n_row, .next_volume_no = m->n_row + 1 };
	wal_table_head_encode(&head, &b);
	for (uint32_t i = 0; i < m->n_row; i++)
		wal_row_encode(&m->row[i], &b);
	walmake_raw(m, WAL_TABLE, b.data, (uint32_t)b.len);
	b.len = 0;
	if (seal) {
		wal_seal_encode(seal, &b);
		walmake_raw(m, WAL_SEAL, b.data, (uint32_t)b.len);
	}
	buf_fini(&b);
	(void)walmake_group_end(m, 0);
}

void walmake_control(struct walmake *m, uint16_t type, const struct wal_volume_row *row)
{
	struct buf b;
	buf_init(&b, env_default());
	wal_row_encode(row, &b);
	walmake_raw(m, type, b.data, (uint32_t)b.len);
	buf_fini(&b);
}

void walmake_write(struct walmake *m, uint32_t volume_no, struct wal_op *op, uint16_t n)
{
	struct wal_op made[8];
	struct wal_volume_row *row = &m->row[volume_no - 1];
	struct wal_record r = { .type = WAL_WRITE,
		                .pos = m->used,
		                .volume_no = volume_no,
		                .rev = ++row->rev,
		                .epoch = row->epoch,
		                .n_ops = n,
		                .meta_len = WAL_RECORD_HEADER };
	memcpy(&r.nonce, row->nonce, 8);
	for (uint16_t i = 0; !op && i < n; i++)
		walmake_op(&m->chance, m->bytes, 1 + i % 2, 300, &made[i]);
	op = op ? op : made;
	for (uint16_t i = 0; i < n; i++)
		r.meta_len += (uint32_t)wal_op_len(&op[i]);
	uint32_t pos = m->used + WAL_RECORD_HEADER, end = m->used + r.meta_len;
	for (uint16_t i = 0; i < n; i++) {
		struct batch *b = &op[i].batch;
		bool payload = wal_op_has_batch(op[i].kind) && b->payload_len;
		op[i].pos = pos;
		op[i].prev = 0;
		for (uint16_t k = 0; k < i; k++)
			if (op[k].stream == op[i].stream)
				op[i].prev = op[k].pos;
		wal_op_put(m->group, pos, &op[i], payload ? end - pos : 0);
		if (payload) {
			memcpy(m->group + end, b->payload, b->payload_len);
			end += b->payload_len;
		}
		pos += (uint32_t)wal_op_len(&op[i]);
	}
	r.len = end - m->used;
	wal_record_put(m->group, &r);
	m->used = (end + 7) & ~7u;
	m->n_records++;
}

uint64_t walmake_group_end(struct walmake *m, uint32_t flags)
{
	uint64_t at = m->pos;
	struct wal_group_header h = { .flags = flags,
		                      .used = m->used,
		                      .n_records = m->n_records,
		                      .run = m->run,
		                      .lsn = m->no << 32 | m->pos,
		                      .durable_lsn = m->no << 32 | m->pos,
		                      .prev_sum = m->prev_sum };
	memset(h.wal_id, 'w', sizeof h.wal_id);
	wal_group_seal(m->group, &h);
	m->prev_sum = h.header_sum;
	m->pos += wal_group_len(h.used);
	m->end_lsn = m->no << 32 | m->pos;
	must(m->pos < WALMAKE_FILE, "the test's file is full");
	group_begin(m);
	return at;
}

/* ---- directories ---- */

void walmake_dir(char out[256])
{
	const char *tmp = getenv("TMPDIR");
	(void)snprintf(out, 256, "%s/firn-wal-XXXXXX", tmp ? tmp : "/tmp");
	must(mkdtemp(out) != NULL, "mkdtemp");
}

void walmake_dir_remove(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	char path[600];
	must(d != NULL, dir);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.') {
			(void)snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
			(void)unlink(path);
		}
	closedir(d);
	(void)rmdir(dir);
}

void walmake_save(const struct walmake *m, const char *dir)
{
	char path[600];
	wal_file_path(dir, m->no, path, sizeof path);
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
	must(fd >= 0 && write(fd, m->file, WALMAKE_FILE) == WALMAKE_FILE, path);
	close(fd);
}

void walmake_flip(const char *dir, uint64_t no, uint64_t pos, uint8_t mask)
{
	char path[600];
	uint8_t b = 0;
	wal_file_path(dir, no, path, sizeof path);
	int fd = open(path, O_RDWR);
	must(fd >= 0 && pread(fd, &b, 1, (off_t)pos) == 1, path);
	b ^= mask;
	must(pwrite(fd, &b, 1, (off_t)pos) == 1, path);
	close(fd);
}
