/* Writing aside files: records of one volume, taken out of groups of many, become groups of its own.
 *
 *   record --> | header | record | record | ...   full --> sealed, written, flushed --> next
 *                                                 end  --> directory, range
 *
 * A record moves as it is: only where it stands in its group, and its operations' links to their neighbours,
 * are made anew, and so its meta_sum; what it holds, and the sums of its payloads, stay. Every group is flushed
 * before the next is written: a crash leaves no hole in front of a good group. A file that a write failed on
 * gets no other. */
#include "engine/wal/aside.h"
#include "engine/base/error.h"
#include "engine/base/le.h"
#include "engine/base/map.h"
#include "engine/base/mem.h"
#include "engine/wal/codec.h"
#include <errno.h>

enum { LINKS = 1 << 12, DIRECTORY_FROM = 16 }; /* fewer places are looked through as fast */

int aside_put_open(struct aside_put *p, struct wal *w, const struct wal_volume_row *row,
                   uint64_t source_no)
{
	memset(p, 0, sizeof *p);
	p->w = w;
	p->row = *row;
	p->source_no = source_no;
	p->places.env = w->env;
	p->room = w->opts.group_bytes;
	p->used = WAL_GROUP_HEADER;
	p->image = mem_alloc_pages(w->env, p->room);
	p->cap_link = LINKS;
	p->link = mem_zalloc(w->env, LINKS * sizeof *p->link);
	return p->image && p->link ? 0 : FIRN_ENOMEM;
}

/* The file gets no more of this. Nothing else keeps it open: there may be as many as there are volumes. */
static void leave_file(struct aside_put *p)
{
	struct wal *w = p->w;
	pthread_mutex_lock(&w->lock);
	struct wal_file *f = p->file_no ? wal_file_find(w, p->file_no) : NULL;
	if (f)
		f->writing = false;
	pthread_mutex_unlock(&w->lock);
	if (p->file)
		(void)w->env->files->close(w->env->ctx, p->file);
	p->file = NULL;
	p->file_no = 0;
}

void aside_put_close(struct aside_put *p)
{
	mem_free(p->w->env, p->image);
	mem_free(p->w->env, p->link);
	mem_free(p->w->env, p->places.place);
	leave_file(p);
}

/* Room for len more bytes on the disk: wal_bytes holds for the log and what lies aside of it together (P7),
 * so a spare file goes for it. FIRN_EFULL: none can be spared. */
static int claim(struct wal *w, uint64_t len)
{
	struct wal_file spare;
	int rc = 0;
	pthread_mutex_lock(&w->lock);
	while (!rc &&
	       (uint64_t)(w->n_file + w->n_spare) * w->opts.file_bytes + w->aside_bytes + len >
	               w->opts.wal_bytes) {
		if (!wal_spare_idle(w)) {
			rc = FIRN_EFULL;
			break;
		}
		spare = w->spare[--w->n_spare];
		pthread_mutex_unlock(&w->lock);
		char path[4200];
		wal_spare_path(w, spare.file_no, path, sizeof path);
		(void)w->env->files->close(w->env->ctx, spare.file);
		(void)w->env->files->remove(w->env->ctx, path);
		pthread_mutex_lock(&w->lock);
	}
	w->aside_bytes += rc ? 0 : len;
	pthread_mutex_unlock(&w->lock);
	return rc;
}

static int write_at(struct aside_put *p, void *file, const void *image, uint32_t len, uint64_t pos)
{
	struct wal *w = p->w;
	int64_t n = w->env->files->write(w->env->ctx, file, image, len, pos);
	int rc = n < 0 ? (int)n : n != len ? -ENOSPC : w->env->files->sync(w->env->ctx, file);
	p->write_failed = rc != 0;
	return rc ? code_of_errno(rc) : 0;
}

static void seal(struct aside_put *p, uint8_t *image, uint32_t used, uint32_t n_records,
                 uint64_t lsn, uint64_t prev_sum, uint32_t directory_len,
                 struct wal_group_header *h)
{
	struct wal *w = p->w;
	*h = (struct wal_group_header){ .used = used,
		                        .n_records = n_records,
		                        .run = w->run,
		                        .lsn = lsn,
		                        .durable_lsn = lsn,
		                        .prev_sum = prev_sum,
		                        .directory_len = directory_len,
		                        .sealed_ms = w->env->now_ms(w->env->ctx) };
	memcpy(h->wal_id, w->wal_id, sizeof h->wal_id);
	wal_group_seal(image, h);
}

/* The row as a table of one: how far the volume had come before this file. */
static uint32_t table_put(struct aside_put *p, struct buf *b)
{
	struct wal_volume_row row = p->row;
	struct wal_record r = { .type = WAL_TABLE,
		                .pos = WAL_GROUP_HEADER,
		                .append_ms = p->w->env->now_ms(p->w->env->ctx) };
	row.rev = p->rev_first - 1;
	buf_zero(b, WAL_GROUP_HEADER + WAL_RECORD_HEADER);
	struct wal_table_head head = { 1, 0, row.volume_no + 1 };
	wal_table_head_encode(&head, b);
	wal_row_encode(&row, b);
	buf_align(b, 8);
	r.len = r.meta_len = (uint32_t)b->len - r.pos;
	if (!b->failed)
		wal_record_put(b->data, &r);
	return (uint32_t)b->len;
}

static int write_head(struct aside_put *p, void *file, struct wal_file *f)
{
	struct wal *w = p->w;
	struct buf b;
	buf_init(&b, w->env);
	uint32_t used = table_put(p, &b), len = (uint32_t)wal_group_len(used);
	uint8_t *image = b.failed ? NULL : mem_alloc_pages(w->env, WAL_PAGE + len);
	int rc = image ? claim(w, WAL_PAGE + len) : FIRN_ENOMEM;
	if (!rc) {
		struct wal_file_header fh = { .run = w->run,
			                      .file_no = f->file_no,
			                      .file_bytes = w->opts.file_bytes,
			                      .created_ms = w->env->now_ms(w->env->ctx) };
		struct wal_group_header h;
		memset(image, 0, WAL_PAGE + len);
		memcpy(image + WAL_PAGE, b.data, used);
		memcpy(fh.wal_id, w->wal_id, sizeof fh.wal_id);
		memcpy(fh.run_nonce, w->run_nonce, sizeof fh.run_nonce);
		wal_file_header_put(image, &fh);
		seal(p, image + WAL_PAGE, used, 1, f->file_no << 32 | WAL_PAGE, 0, 0, &h);
		f->bytes = WAL_PAGE + len;
		f->last_sum = h.header_sum;
		rc = write_at(p, file, image, WAL_PAGE + len, 0);
		if (!rc && wal_sync_dir(w)) {
			p->write_failed = true;
			rc = FIRN_EIO;
		}
	}
	mem_free(w->env, image);
	buf_fini(&b);
	return rc;
}

static int begin_file(struct aside_put *p)
{
	struct wal *w = p->w;
	char path[4200];
	pthread_mutex_lock(&w->lock);
	struct wal_file f = {
		.file_no = w->next_aside_no++, .run = w->run, .epoch = p->row.epoch, .writing = true
	};
	pthread_mutex_unlock(&w->lock);
	wal_file_path(w->dir, f.file_no, path, sizeof path);
	void *file;
	int rc = wal_file_open(w, path, FIRN_OPEN_CREATE | FIRN_OPEN_EXCLUSIVE, &file);
	p->write_failed = rc < 0;
	if (rc < 0)
		return code_of_errno(rc);
	rc = w->env->files->lock(w->env->ctx, file) ? FIRN_EIO : write_head(p, file, &f);
	pthread_mutex_lock(&w->lock);
	struct wal_pin none_yet = { .volume_no = p->row.volume_no, .rev_last = p->rev_first - 1 };
	if (!rc && (wal_file_pin(w, &f, &none_yet) ||
	            wal_files_add(w, &w->aside, &w->n_aside, &w->cap_aside, &f)))
		rc = FIRN_ENOMEM;
	if (rc)
		w->aside_bytes -= f.bytes;
	pthread_mutex_unlock(&w->lock);
	if (rc) {
		(void)w->env->files->close(w->env->ctx, file);
		(void)w->env->files->remove(w->env->ctx, path);
		mem_free(w->env, f.pin);
		return rc;
	}
	p->file = file;
	p->file_no = f.file_no;
	p->range_from = (uint32_t)f.bytes;
	return 0;
}

/* It is there already, and was locked when it was made. */
static int reopen(struct aside_put *p)
{
	struct wal *w = p->w;
	char path[4200];
	wal_file_path(w->dir, p->file_no, path, sizeof path);
	int rc = wal_file_open(w, path, 0, &p->file);
	if (rc < 0)
		p->file = NULL;
	rc = rc < 0 ? rc : w->env->files->lock(w->env->ctx, p->file);
	p->write_failed = rc != 0;
	return rc ? code_of_errno(rc) : 0;
}

/* A file of this run that has room; the volume's newest. FIRN_ENOENT: there is none. */
static int find_file(struct aside_put *p, uint32_t len)
{
	struct wal *w = p->w;
	bool had = p->file_no != 0, found = false;
	pthread_mutex_lock(&w->lock);
	for (uint32_t i = w->n_aside; i-- > 0 && !found;) {
		struct wal_file *f = &w->aside[i];
		if (f->run != w->run || !f->n_pin || f->pin[0].volume_no != p->row.volume_no)
			continue;
		found = !f->stays && f->bytes + len + WAL_DIRECTORY_WASTE <= w->opts.file_bytes;
		/* Dense within a file: behind what was stored before it could be moved begins another. */
		found = found && f->epoch == p->row.epoch;
		found = found && (had || f->pin[0].rev_last + 1 == p->rev_first);
		if (found && !had) {
			p->file_no = f->file_no;
			p->range_from = (uint32_t)f->bytes;
			f->writing = true;
		}
		break;
	}
	pthread_mutex_unlock(&w->lock);
	return !found ? FIRN_ENOENT : p->file ? 0 : reopen(p);
}

/* One group at the end of the file; *h is sealed here. The file's place in the list may move: by number. */
static int append(struct aside_put *p, uint8_t *image, uint32_t used, uint32_t n_records,
                  uint32_t after_directory, struct wal_group_header *h)
{
	struct wal *w = p->w;
	uint32_t len = (uint32_t)wal_group_len(used);
	pthread_mutex_lock(&w->lock);
	struct wal_file *f = wal_file_find(w, p->file_no);
	uint64_t pos = f->bytes, sum = f->last_sum;
	pthread_mutex_unlock(&w->lock);
	int rc = claim(w, len);
	if (rc)
		return rc;
	seal(p, image, used, n_records, p->file_no << 32 | pos, sum, after_directory, h);
	rc = write_at(p, p->file, image, len, pos);
	pthread_mutex_lock(&w->lock);
	f = wal_file_find(w, p->file_no);
	f->bytes += len; /* also when it failed: it may have been written */
	f->last_sum = h->header_sum;
	f->stays = rc != 0;
	pthread_mutex_unlock(&w->lock);
	return rc;
}

/* The range of this file ends, with its directory if it is worth one; its writes are found from now on. */
static int end_range(struct aside_put *p)
{
	struct wal *w = p->w;
	uint32_t n = (uint32_t)p->places.n, used = 0, at = 0, to = 0;
	struct wal_group_header h;
	if (!n)
		return 0;
	pthread_mutex_lock(&w->lock);
	to = (uint32_t)wal_file_find(w, p->file_no)->bytes;
	bool failed = wal_file_find(w, p->file_no)->stays;
	pthread_mutex_unlock(&w->lock);
	uint64_t len = wal_directory_len(n);
	uint8_t *image = n >= DIRECTORY_FROM && !failed ? mem_alloc_pages(w->env, len) : NULL;
	if (image) {
		memset(image, 0, len);
		if (!wal_directory_put(w->env, image, p->places.place, n, p->range_from, to,
		                       &used) &&
		    !append(p, image, used, 1, 0, &h))
			at = to;
		mem_free(w->env, image);
	}
	uint64_t last = 0;
	for (uint32_t i = 0; i < n; i++)
		if (!p->places.place[i].stream && p->places.place[i].end > last)
			last = p->places.place[i].end;
	pthread_mutex_lock(&w->lock);
	struct wal_file *f = wal_file_find(w, p->file_no);
	int rc = wal_range_add(w, f, p->range_from, to, at);
	struct wal_pin pin = { .volume_no = p->row.volume_no, .rev_last = last - 1 };
	if (!rc && wal_file_pin(w, f, &pin))
		rc = FIRN_ENOMEM;
	f->directory_len = at ? (uint32_t)len : 0;
	p->range_from = (uint32_t)f->bytes;
	f->source_no = p->source_no;
	w->n_moved++;
	pthread_mutex_unlock(&w->lock);
	p->places.n = 0;
	return rc;
}

/* The file holds a group of so many bytes, and what its directory may take. */
static int room_in_file(struct aside_put *p, uint32_t room)
{
	int rc = find_file(p, room);
	if (rc == FIRN_ENOENT && p->file_no) {
		rc = end_range(p);
		leave_file(p);
		rc = rc ? rc : find_file(p, room);
	}
	return rc == FIRN_ENOENT ? begin_file(p) : rc;
}

static int flush_group(struct aside_put *p)
{
	struct wal *w = p->w;
	struct wal_group_header h;
	uint32_t len = (uint32_t)wal_group_len(p->used), after = 0;
	uint32_t n_place = p->n_records + (uint32_t)p->places.n + p->n_link;
	if (!p->n_records)
		return 0;
	int rc = room_in_file(p, len + n_place * WAL_PLACE_CHARGE);
	if (!rc && p->places.n * sizeof *p->places.place >= w->opts.directory_bytes)
		rc = end_range(p);
	if (rc)
		return rc;
	if (!p->places.n) {
		pthread_mutex_lock(&w->lock);
		after = wal_file_find(w, p->file_no)->directory_len;
		pthread_mutex_unlock(&w->lock);
	}
	rc = append(p, p->image, p->used, p->n_records, after, &h);
	rc = rc ? rc : wal_places_of_group(&p->places, p->image, &h);
	p->used = WAL_GROUP_HEADER;
	p->n_records = p->n_link = 0;
	memset(p->link, 0, p->cap_link * sizeof *p->link);
	return rc;
}

/* Twice as many as a record may have operations at least: an empty one ends every search. */
static int room_for_links(struct aside_put *p, uint32_t n_ops)
{
	uint32_t cap = p->cap_link;
	while (cap / 2 < n_ops)
		cap *= 2;
	if (cap == p->cap_link)
		return 0;
	struct aside_link *link = mem_zalloc(p->w->env, cap * sizeof *link);
	if (!link)
		return FIRN_ENOMEM;
	mem_free(p->w->env, p->link); /* empty: the group was flushed */
	p->link = link;
	p->cap_link = cap;
	return 0;
}

/* The stream's operation before this one in the group; this one is the newest from now on. */
static uint32_t link_to(struct aside_put *p, uint64_t stream, uint32_t pos)
{
	uint32_t i = (uint32_t)hash_u64(stream) & (p->cap_link - 1);
	while (p->link[i].pos && p->link[i].stream != stream)
		i = (i + 1) & (p->cap_link - 1);
	uint32_t prev = p->link[i].pos;
	p->n_link += !prev;
	p->link[i].stream = stream;
	p->link[i].pos = pos;
	return prev;
}

static int room_for(struct aside_put *p, const struct wal_record *r)
{
	int rc = 0;
	if (p->used + r->len > p->room || p->n_link + r->n_ops > p->cap_link / 2)
		rc = flush_group(p);
	rc = rc ? rc : room_for_links(p, r->n_ops);
	uint64_t need = wal_group_len(WAL_GROUP_HEADER + r->len);
	if (rc || need <= p->room)
		return rc;
	mem_free(p->w->env, p->image);
	p->image = mem_alloc_pages(p->w->env, need);
	p->room = p->image ? (uint32_t)need : 0;
	return p->image ? 0 : FIRN_ENOMEM;
}

int aside_put_record(struct aside_put *p, const struct wal_record *r)
{
	struct wal_op op;
	int rc = room_for(p, r);
	if (rc)
		return rc;
	uint32_t pos = p->used;
	uint8_t *to = p->image + pos;
	memcpy(to, r->start, r->len);
	le32_put(to + 48, pos);
	for (const uint8_t *at = NULL; (at = wal_op_next(r, at, &op)) != NULL;) {
		uint32_t in = op.pos - r->pos;
		/* Readers walk from append to append: the others need none. */
		bool append = op.kind == WAL_OP_APPEND;
		le32_put(to + in + 8, append ? link_to(p, op.stream, pos + in) : 0);
	}
	le64_put(to + 56, wal_meta_sum(to, r->meta_len));
	if (!p->n_records++)
		p->rev_first = r->rev;
	p->used += r->len;
	return 0;
}

int aside_put_finish(struct aside_put *p)
{
	int rc = flush_group(p), end = p->file_no ? end_range(p) : 0;
	return rc ? rc : end;
}
