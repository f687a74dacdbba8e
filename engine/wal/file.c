/* The WAL's files: made ahead of need, switched when full, recycled when no volume needs them.
 *
 *   zero-filled --> spare --switch--> current --> older --all stored--> spare (renamed)
 *
 * A new file is filled with zeros and synced before use: writing into unwritten extents would cost a
 * journal commit at every flush. Its name is made durable when it becomes a WAL file; a spare whose name
 * a power cut takes holds nothing. A file is never written by a later run. */
#include "engine/api/engine.h"
#include "engine/wal/aside.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/os/env.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { FILL_BYTES = 1 << 20 };

void wal_spare_path(const struct wal *w, uint64_t spare_no, char *out, size_t cap)
{
	(void)snprintf(out, cap, "%s/%08llx.spare", w->dir, (unsigned long long)spare_no);
}

int wal_file_open(struct wal *w, const char *path, uint32_t flags, void **file)
{
	if (!(flags & FIRN_OPEN_READ_ONLY) && !w->opts.cache)
		flags |= FIRN_OPEN_DURABLE | (w->opts.direct ? FIRN_OPEN_DIRECT : 0);
	return w->env->files->open(w->env->ctx, path, flags, file);
}

int wal_sync_dir(struct wal *w)
{
	return w->held ? os_dir_sync(w->held) : w->env->files->sync_dir(w->env->ctx, w->dir);
}

int wal_files_add(struct wal *w, struct wal_file **array, uint32_t *n, uint32_t *cap,
                  const struct wal_file *f)
{
	size_t c = *cap;
	void *p = *array;
	if (mem_grow(w->env, &p, &c, *n, *n + 1u, sizeof **array))
		return -ENOMEM;
	*array = p;
	*cap = (uint32_t)c;
	(*array)[(*n)++] = *f;
	return 0;
}

struct wal_file *wal_file_find(struct wal *w, uint64_t file_no)
{
	for (uint32_t i = w->n_aside; i-- > 0 && wal_is_aside(file_no);)
		if (w->aside[i].file_no == file_no)
			return &w->aside[i];
	for (uint32_t i = w->n_file; i-- > 0;)
		if (w->file[i].file_no == file_no)
			return &w->file[i];
	return NULL;
}

int wal_file_pin(struct wal *w, struct wal_file *f, const struct wal_pin *more)
{
	for (uint32_t i = 0; i < f->n_pin; i++)
		if (f->pin[i].volume_no == more->volume_no) {
			if (more->rev_last > f->pin[i].rev_last)
				f->pin[i].rev_last = more->rev_last;
			f->pin[i].bytes += more->bytes;
			return 0;
		}
	size_t cap = f->cap_pin;
	void *pin = f->pin;
	if (mem_grow(w->env, &pin, &cap, f->n_pin, f->n_pin + 1u, sizeof *f->pin))
		return -ENOMEM;
	f->pin = pin;
	f->cap_pin = (uint32_t)cap;
	f->pin[f->n_pin++] = *more;
	return 0;
}

/* Fills an open file with zeros and flushes them. */
static int fill(struct wal *w, void *file)
{
	void *zero = mem_alloc_pages(w->env, FILL_BYTES);
	if (!zero)
		return -ENOMEM;
	memset(zero, 0, FILL_BYTES);
	int64_t n = 0;
	for (uint64_t pos = 0; pos < w->opts.file_bytes && n >= 0; pos += (uint64_t)n) {
		uint64_t left = w->opts.file_bytes - pos;
		n = w->env->files->write(w->env->ctx, file, zero,
		                         left < FILL_BYTES ? left : FILL_BYTES, pos);
		if (n == 0)
			n = -ENOSPC;
	}
	mem_free(w->env, zero);
	return n < 0 ? (int)n : w->env->files->sync(w->env->ctx, file);
}

/* A new zero-filled file becomes a spare. */
static int make_spare(struct wal *w)
{
	pthread_mutex_lock(&w->lock);
	struct wal_file f = { .file_no = w->next_spare_no++ };
	pthread_mutex_unlock(&w->lock);
	char path[4200];
	wal_spare_path(w, f.file_no, path, sizeof path);
	int rc = wal_file_open(w, path, FIRN_OPEN_CREATE | FIRN_OPEN_EXCLUSIVE, &f.file);
	if (rc < 0)
		return rc;
	rc = w->env->files->lock(w->env->ctx, f.file);
	rc = rc || w->opts.cache ? rc : fill(w, f.file);
	pthread_mutex_lock(&w->lock);
	rc = rc ? rc : wal_files_add(w, &w->spare, &w->n_spare, &w->cap_spare, &f);
	pthread_mutex_unlock(&w->lock);
	if (rc) {
		(void)w->env->files->close(w->env->ctx, f.file);
		(void)w->env->files->remove(w->env->ctx, path);
	}
	return rc;
}

int wal_prepare(struct wal *w)
{
	uint64_t now = w->env->mono_ns(w->env->ctx);
	pthread_mutex_lock(&w->lock);
	bool wanted = !w->poisoned && !w->stopping && w->n_spare < 3 &&
	              w->n_file + w->n_spare < wal_files_max(w) &&
	              !(w->no_room && now - w->no_room_ns < 1000000000u);
	pthread_mutex_unlock(&w->lock);
	if (!wanted)
		return 0;
	int rc = make_spare(w);
	pthread_mutex_lock(&w->lock);
	if (rc && !w->no_room)
		engine_log(w->engine, FIRN_LOG_WARN, "wal", NULL,
		           code_of_errno(rc) == FIRN_ENOSPC
		                   ? "no room on the disk for a new WAL file"
		                   : "a new WAL file cannot be made");
	w->no_room = rc != 0;
	w->no_room_ns = now;
	pthread_mutex_unlock(&w->lock);
	return rc == 0;
}

int wal_prepare_all(struct wal *w)
{
	pthread_mutex_lock(&w->lock);
	bool wanted = w->n_file + w->n_spare < wal_files_max(w);
	pthread_mutex_unlock(&w->lock);
	return wanted && make_spare(w) == 0;
}

static void table_put(struct wal *w, const struct wal_seal_body *seal, uint32_t n_seal,
                      struct buf *group)
{
	buf_zero(group, WAL_GROUP_HEADER);
	struct wal_record r = { .type = WAL_TABLE,
		                .pos = WAL_GROUP_HEADER,
		                .append_ms = w->env->now_ms(w->env->ctx) };
	buf_zero(group, WAL_RECORD_HEADER);
	wal_table_sweep(w);
	struct wal_table_head head = { w->n_row, w->n_gone, w->next_volume_no };
	wal_table_head_encode(&head, group);
	for (uint32_t i = 0; i < w->n_row; i++)
		wal_row_encode(&w->row[i], group);
	for (uint32_t i = 0; i < w->n_gone; i++)
		wal_gone_encode(&w->gone[i], group);
	buf_align(group, 8);
	r.len = r.meta_len = (uint32_t)group->len - r.pos;
	if (!group->failed)
		wal_record_put(group->data, &r);
	r.type = WAL_SEAL;
	for (uint32_t i = 0; i < n_seal; i++) {
		r.pos = (uint32_t)group->len;
		buf_zero(group, WAL_RECORD_HEADER);
		wal_seal_encode(&seal[i], group);
		buf_align(group, 8);
		r.len = r.meta_len = (uint32_t)group->len - r.pos;
		if (!group->failed)
			wal_record_put(group->data, &r);
	}
}

int wal_file_write(struct wal *w, void *file, const void *data, size_t len, uint64_t pos)
{
	const struct firn_files *files = w->env->files;
	if (w->opts.cache) {
		int64_t n = files->write(w->env->ctx, file, data, len, pos);
		return n < 0 ? (int)n : n == (int64_t)len ? 0 : -ENOSPC;
	}
	int rc = files->write_start(w->env->ctx, file, data, len, pos);
	w->sync_io = w->sync_io || rc == 1;
	return rc < 0 ? rc : files->write_wait(w->env->ctx, file);
}

static int write_head(struct wal *w, struct wal_file *f, const struct wal_seal_body *seal,
                      uint32_t n_seal, uint64_t *end, uint64_t *sum)
{
	struct buf b;
	buf_init(&b, w->env);
	pthread_mutex_lock(&w->lock);
	table_put(w, seal, n_seal, &b);
	pthread_mutex_unlock(&w->lock);
	uint32_t used = (uint32_t)b.len;
	size_t len = (size_t)wal_group_len(used);
	uint8_t *image = b.failed ? NULL : mem_alloc_pages(w->env, WAL_PAGE + len);
	if (!image) {
		buf_fini(&b);
		return -ENOMEM;
	}
	memset(image, 0, WAL_PAGE + len);
	memcpy(image + WAL_PAGE, b.data, used);
	buf_fini(&b);
	struct wal_file_header fh = { .run = w->run,
		                      .file_no = f->file_no,
		                      .file_bytes = w->opts.file_bytes,
		                      .prev_sum = w->last_sum,
		                      .created_ms = w->env->now_ms(w->env->ctx) };
	memcpy(fh.wal_id, w->wal_id, sizeof fh.wal_id);
	memcpy(fh.run_nonce, w->run_nonce, sizeof fh.run_nonce);
	wal_file_header_put(image, &fh);
	struct wal_group_header h = { .used = used,
		                      .n_records = 1 + n_seal,
		                      .run = w->run,
		                      .lsn = f->file_no << 32 | WAL_PAGE,
		                      .durable_lsn = w->durable_lsn,
		                      .prev_sum = w->last_sum,
		                      .directory_len = w->directory_len,
		                      .sealed_ms = fh.created_ms };
	memcpy(h.wal_id, w->wal_id, sizeof h.wal_id);
	wal_group_seal(image + WAL_PAGE, &h);
	int rc = wal_file_write(w, f->file, image, WAL_PAGE + len, 0);
	mem_free(w->env, image);
	*end = WAL_PAGE + len;
	*sum = h.header_sum;
	return rc;
}

/* The oldest spare gets the next number for its name. */
static int adopt_spare(struct wal *w, struct wal_file *f)
{
	pthread_mutex_lock(&w->lock);
	bool none = !w->n_spare;
	pthread_mutex_unlock(&w->lock);
	int rc = none ? make_spare(w) : 0;
	if (rc)
		return rc;
	pthread_mutex_lock(&w->lock);
	*f = w->spare[0];
	memmove(w->spare, w->spare + 1, (size_t)(w->n_spare - 1) * sizeof *f);
	w->n_spare--;
	uint64_t file_no = w->next_file_no++;
	pthread_mutex_unlock(&w->lock);
	char from[4200], to[4200];
	wal_spare_path(w, f->file_no, from, sizeof from);
	wal_file_path(w->dir, file_no, to, sizeof to);
	f->file_no = file_no;
	rc = w->env->files->rename(w->env->ctx, from, to);
	return rc ? rc : wal_sync_dir(w);
}

int wal_file_begin(struct wal *w, const struct wal_seal_body *seal, uint32_t n_seal,
                   struct firn_error *err)
{
	struct wal_file f = { 0 };
	uint64_t end = 0, sum = 0;
	int rc = adopt_spare(w, &f);
	f.run = w->run;
	f.has_seal = n_seal != 0;
	rc = rc ? rc : write_head(w, &f, seal, n_seal, &end, &sum);
	if (!rc) {
		pthread_mutex_lock(&w->lock);
		rc = wal_files_add(w, &w->file, &w->n_file, &w->cap_file, &f);
		w->pos = end;
		w->range_from = (uint32_t)end;
		w->place_bytes = 0;
		pthread_mutex_unlock(&w->lock);
	}
	if (rc) {
		if (f.file)
			(void)w->env->files->close(w->env->ctx, f.file);
		return fail(err, code_of_errno(rc), -rc, "wal", "%s: cannot begin a new file",
		            w->dir);
	}
	w->current = f.file;
	w->current_no = f.file_no;
	w->last_sum = sum;
	w->directory_len = 0;
	w->durable_lsn = f.file_no << 32 | end;
	return 0;
}

static bool fits(const struct wal *w, uint32_t len, uint64_t places)
{
	return w->pos + w->ahead + len + w->place_bytes + w->ahead_places + places +
	               WAL_DIRECTORY_WASTE <=
	       w->opts.file_bytes;
}

bool wal_file_has_room(const struct wal *w, uint32_t len, uint64_t places)
{
	return fits(w, len, places) &&
	       w->places.n * sizeof *w->places.place < w->opts.directory_bytes;
}

/* A directory is written in front of the group that finds the file full, so it lies in the file it tells of
 * and goes with it; or earlier, when the places waiting for one take too much memory. Either way nothing is
 * in flight, and the groups before are published: their places are known. */
int wal_file_make_room(struct wal *w, uint32_t len, uint64_t places)
{
	int rc = 0;
	if (wal_file_has_room(w, len, places))
		return 0;
	wal_publish_done(w);
	rc = wal_range_close(w);
	if (rc || fits(w, len, places))
		return rc;
	struct firn_error err = { .struct_size = sizeof err };
	return wal_file_begin(w, NULL, 0, &err) ? (err.sys > 0 ? -err.sys : -EIO) : 0;
}
