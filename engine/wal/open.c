/* Opening and closing the WAL: lock every file, flush, scan, seal the old tail in a new file, flush.
 * Nobody writes into an older run's file, and a sealed tail is never judged again (PROTOCOL 4). */
#include "engine/wal/scan.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/base/mutex.h"
#include "engine/os/env.h"
#include "engine/wal/group_list.h"
#include "engine/wal/slots.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct names { /* of the directory */
	const struct firn_env *env;
	uint64_t *live, *spare, *aside;
	size_t n_live, cap_live, n_spare, cap_spare, n_aside, cap_aside;
};

static int note_name(void *arg, const char *name)
{
	struct names *n = arg;
	uint64_t no;
	char *end;
	void *p;
	if (!wal_file_name_parse(name, &no)) {
		p = n->live;
		if (mem_grow(n->env, &p, &n->cap_live, n->n_live, n->n_live + 1, sizeof no))
			return -ENOMEM;
		n->live = p;
		n->live[n->n_live++] = no;
	} else if (!wal_aside_name_parse(name, &no)) {
		p = n->aside;
		if (mem_grow(n->env, &p, &n->cap_aside, n->n_aside, n->n_aside + 1, sizeof no))
			return -ENOMEM;
		n->aside = p;
		n->aside[n->n_aside++] = no;
	} else if ((no = strtoull(name, &end, 16), end == name + 8) && !strcmp(end, ".spare")) {
		p = n->spare;
		if (mem_grow(n->env, &p, &n->cap_spare, n->n_spare, n->n_spare + 1, sizeof no))
			return -ENOMEM;
		n->spare = p;
		n->spare[n->n_spare++] = no;
	}
	return 0;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

/* A lock of a killed process goes when its last write has ended in the kernel, which may be a moment
 * after the process itself is gone. The directory's lock is ours already: nobody else can hold it long. */
static int lock_soon(struct wal *w, void *file)
{
	uint64_t until = w->env->mono_ns(w->env->ctx) + UINT64_C(5000000000);
	int rc;
	while ((rc = w->env->files->lock(w->env->ctx, file)) == -EWOULDBLOCK &&
	       w->env->mono_ns(w->env->ctx) < until)
		(void)usleep(2000);
	return rc;
}

/* Open for reading through the page cache, lock, flush: what the scan sees is on stable storage. */
static int open_one(struct wal *w, uint64_t file_no, struct scan_file *f, struct firn_error *err)
{
	char path[4200];
	wal_file_path(w->dir, file_no, path, sizeof path);
	memset(f, 0, sizeof *f);
	f->file_no = file_no;
	int rc = w->env->files->open(w->env->ctx, path, 0, &f->file);
	if (rc < 0)
		return fail(err, code_of_errno(rc), -rc, "wal", "%s", path);
	rc = lock_soon(w, f->file);
	if (rc)
		return fail(err, rc == -EWOULDBLOCK ? FIRN_EBUSY : FIRN_EIO, -rc, "wal",
		            "%s is locked by another process", path);
	rc = w->env->files->sync(w->env->ctx, f->file);
	rc = rc ? rc : w->env->files->size(w->env->ctx, f->file, &f->bytes);
	if (rc)
		return fail(err, FIRN_EIO, -rc, "wal", "%s", path);
	return scan_first_pages(w, f, err);
}

/* Somebody's writes may be in it, so it is no spare either. */
static int not_ours(const struct scan_file *f, struct firn_error *err)
{
	return fail(err, FIRN_ECORRUPT, 0, "wal",
	            "%016llx.wal belongs to another WAL: it was copied here",
	            (unsigned long long)f->file_no);
}

static bool is_ours(const struct wal *w, const struct scan_file *f)
{
	return w->n_file && !memcmp(w->wal_id, f->header.wal_id, sizeof w->wal_id);
}

/* A live file joins the WAL: read only from now on. Its lock stays with the handle. */
static int adopt(struct wal *w, struct scan_file *f, struct firn_error *err)
{
	if (w->n_file && !is_ours(w, f))
		return not_ours(f, err);
	memcpy(w->wal_id, f->header.wal_id, sizeof w->wal_id);
	struct wal_file file = {
		.file_no = f->file_no, .run = f->run, .file = f->file, .has_seal = true
	};
	if (f->run > w->run)
		w->run = f->run;
	if (wal_files_add(w, &w->file, &w->n_file, &w->cap_file, &file))
		return fail(err, FIRN_ENOMEM, 0, "wal", "no memory");
	return 0;
}

static int spare_of(struct wal *w, const char *path, struct firn_error *err)
{
	struct wal_file f = { .file_no = w->next_spare_no };
	uint64_t bytes = 0;
	int rc = wal_file_open(w, path, 0, &f.file);
	if (rc < 0)
		return fail(err, code_of_errno(rc), -rc, "wal", "%s", path);
	rc = lock_soon(w, f.file);
	rc = rc ? rc : w->env->files->size(w->env->ctx, f.file, &bytes);
	if (!rc && bytes == w->opts.file_bytes) {
		char to[4200];
		wal_spare_path(w, w->next_spare_no++, to, sizeof to);
		rc = strcmp(path, to) ? w->env->files->rename(w->env->ctx, path, to) : 0;
		rc = rc ? rc : wal_files_add(w, &w->spare, &w->n_spare, &w->cap_spare, &f);
		if (!rc)
			return 0;
	}
	(void)w->env->files->close(w->env->ctx, f.file);
	rc = rc ? rc : w->env->files->remove(w->env->ctx, path); /* half made, or of another size */
	return rc ? fail(err, code_of_errno(rc), -rc, "wal", "%s", path) : 0;
}

static int adopt_spares(struct wal *w, const struct names *n, const struct scan_file *scan,
                        struct firn_error *err)
{
	char path[4200];
	int rc = 0;
	for (size_t i = 0; i < n->n_live && !rc; i++)
		if (scan[i].misnamed && !scan[i].live && !is_ours(w, &scan[i]))
			rc = not_ours(&scan[i], err);
	w->next_spare_no = n->n_spare ? n->spare[n->n_spare - 1] + 1 : 0;
	for (size_t i = 0; i < n->n_spare && !rc; i++) {
		wal_spare_path(w, n->spare[i], path, sizeof path);
		rc = spare_of(w, path, err);
	}
	for (size_t i = 0; i < n->n_live && !rc; i++) {
		if (scan[i].live)
			continue;
		wal_file_path(w->dir, scan[i].file_no, path, sizeof path);
		rc = spare_of(w, path, err);
	}
	return rc;
}

/* The file joins those aside; one of another WAL, or without a byte of its own (a crash while it was begun),
 * does not. */
static int adopt_aside(struct wal *w, struct scan_file *f, struct firn_error *err)
{
	char path[4200];
	wal_file_path(w->dir, f->file_no, path, sizeof path);
	bool foreign = f->live && memcmp(w->wal_id, f->header.wal_id, sizeof w->wal_id) != 0;
	struct wal_file file = {
		.file_no = f->file_no, .run = f->run, .stays = true, .bytes = f->bytes
	};
	if (f->live && !foreign) {
		w->aside_bytes += f->bytes;
		return wal_files_add(w, &w->aside, &w->n_aside, &w->cap_aside, &file)
		               ? fail(err, FIRN_ENOMEM, 0, "wal", "no memory")
		               : 0;
	}
	f->live = false;
	if (!foreign)
		(void)w->env->files->remove(w->env->ctx, path);
	else
		w->env->log(w->env->ctx, FIRN_LOG_ERROR, "wal",
		            "an aside file belongs to another WAL: it is left alone");
	return 0;
}

static int open_asides(struct wal *w, const struct names *n, struct scan_state *s,
                       struct firn_error *err)
{
	int rc = 0;
	w->next_aside_no = n->n_aside ? n->aside[n->n_aside - 1] + 1 : WAL_ASIDE_NO;
	s->aside = mem_zalloc(w->env, (n->n_aside + 1) * sizeof *s->aside);
	if (!s->aside)
		return fail(err, FIRN_ENOMEM, 0, "wal", "no memory");
	for (size_t i = 0; i < n->n_aside && !rc; i++) {
		struct scan_file *f = &s->aside[s->n_aside++];
		rc = open_one(w, n->aside[i], f, err);
		/* One at a time. It is written in calls that block: the directory's lock outlives them, too. */
		if (f->file)
			(void)w->env->files->close(w->env->ctx, f->file);
		f->file = NULL;
		rc = rc ? rc : adopt_aside(w, f, err);
	}
	return rc;
}

static int scan_dir(struct wal *w, struct names *n, struct scan_state *s, struct firn_error *err)
{
	s->file = mem_zalloc(w->env, (n->n_live + 1) * sizeof *s->file);
	if (!s->file)
		return fail(err, FIRN_ENOMEM, 0, "wal", "no memory");
	int rc = 0;
	for (size_t i = 0; i < n->n_live && !rc; i++) {
		rc = open_one(w, n->live[i], &s->file[i], err);
		s->n_file++;
		if (!rc && s->file[i].live)
			rc = adopt(w, &s->file[i], err);
		if (n->live[i] >= w->next_file_no)
			w->next_file_no = n->live[i] + 1;
	}
	rc = rc ? rc : open_asides(w, n, s, err);
	rc = rc ? rc : scan_all(s, err);
	for (uint32_t i = 0; i < s->n_file; i++) {
		struct wal_file *f = s->file[i].live ? wal_file_find(w, s->file[i].file_no) : NULL;
		if (f)
			f->has_seal = s->file[i].sealed;
		else if (s->file[i].file)
			(void)w->env->files->close(w->env->ctx, s->file[i].file);
	}
	return rc ? rc : adopt_spares(w, n, s->file, err);
}

/* What the new run says of the older ones: where the last ended, and again what was said of those before
 * that still have files. */
static int gather_seals(struct wal *w, struct scan_state *s, struct firn_error *err)
{
	struct wal_seal_body last = { s->last_run, s->end_lsn, s->last_sum };
	uint32_t n = 0;
	if (w->n_file && scan_seal_add(s, &last))
		return fail(err, FIRN_ENOMEM, 0, "wal", "no memory");
	for (uint32_t i = 0; i < s->n_seal; i++) {
		bool used = s->seal[i].run == s->last_run;
		for (uint32_t k = 0; k < w->n_file && !used; k++)
			used = w->file[k].run == s->seal[i].run;
		if (used)
			s->seal[n++] = s->seal[i];
	}
	s->n_seal = n;
	return 0;
}

static int begin_run(struct wal *w, const struct scan_state *s, struct firn_error *err)
{
	if (!w->n_file)
		w->env->random(w->env->ctx, w->wal_id, sizeof w->wal_id);
	w->env->random(w->env->ctx, w->run_nonce, sizeof w->run_nonce);
	w->run++;
	w->last_sum = s->last_sum;
	return wal_file_begin(w, s->seal, s->n_seal, err);
}

/* What an opening before left of its copy. */
static int throw_away(struct wal *w, struct names *n)
{
	char path[4200];
	int rc = 0;
	for (; n->n_live && !rc; n->n_live -= !rc) {
		wal_file_path(w->dir, n->live[n->n_live - 1], path, sizeof path);
		rc = w->env->files->remove(w->env->ctx, path);
	}
	for (; n->n_aside && !rc; n->n_aside -= !rc) {
		wal_file_path(w->dir, n->aside[n->n_aside - 1], path, sizeof path);
		rc = w->env->files->remove(w->env->ctx, path);
	}
	for (; n->n_spare && !rc; n->n_spare -= !rc) {
		wal_spare_path(w, n->spare[n->n_spare - 1], path, sizeof path);
		rc = w->env->files->remove(w->env->ctx, path);
	}
	return rc;
}

static void init(struct wal *w, struct account *account, struct engine *engine, const char *dir,
                 const struct wal_opts *opts)
{
	memset(w, 0, sizeof *w);
	w->env = &account->env;
	w->account = account;
	w->engine = engine;
	w->opts = *opts;
	w->places.env = w->env;
	w->next_volume_no = 1;
	w->next_file_no = 1;
	w->n_files_max = (uint32_t)(opts->wal_bytes / opts->file_bytes);
	(void)snprintf(w->dir, sizeof w->dir, "%s", dir);
	pthread_condattr_t mono;
	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	mutex_init(&w->lock);
	pthread_rwlock_init(&w->readers, NULL);
	pthread_cond_init(&w->work, &mono);
	pthread_cond_init(&w->done, &mono);
	pthread_condattr_destroy(&mono);
}

/* The table that begins the run tells of all that was found before it. */
static void revs_of_scan(struct wal *w, const struct wal_scan *scan)
{
	for (uint32_t i = 0; i < scan->n_found; i++) {
		struct wal_volume_row *row = wal_row_at(w, scan->found[i].volume_no);
		if (row && scan->found[i].rev_last > row->rev)
			row->rev = scan->found[i].rev_last;
		if (row)
			row->broken = scan->found[i].missing;
	}
}

int wal_open(struct wal *w, struct account *account, struct engine *engine, const char *dir,
             const struct wal_opts *opts, struct wal_scan *scan, struct firn_error *err)
{
	assert(opts->group_bytes % WAL_PAGE == 0 && opts->chunk_bytes % WAL_PAGE == 0);
	init(w, account, engine, dir, opts);
	struct names names = { .env = w->env };
	struct scan_state s = { .wal = w, .scan = scan };
	memset(scan, 0, sizeof *scan);
	int rc = w->env->files->mkdir(w->env->ctx, dir);
	rc = rc ? rc : w->env->files->list(w->env->ctx, dir, note_name, &names);
	rc = rc || !opts->cache ? rc : throw_away(w, &names);
	if (rc) {
		rc = fail(err, code_of_errno(rc), -rc, "wal", "%s", dir);
	} else {
		w->held = os_dir_hold(w->env, dir);
		if (names.n_live)
			qsort(names.live, names.n_live, sizeof *names.live, by_number);
		if (names.n_aside)
			qsort(names.aside, names.n_aside, sizeof *names.aside, by_number);
		if (names.n_spare)
			qsort(names.spare, names.n_spare, sizeof *names.spare, by_number);
		rc = scan_dir(w, &names, &s, err);
		rc = rc ? rc : gather_seals(w, &s, err);
		if (!rc)
			revs_of_scan(w, scan);
		rc = rc ? rc : begin_run(w, &s, err);
		/* Of runs that came to nothing: who opens again and again must not fill the disk. */
		while (!rc && wal_recycle(w))
			;
	}
	mem_free(w->env, names.live);
	mem_free(w->env, names.spare);
	mem_free(w->env, names.aside);
	mem_free(w->env, s.aside);
	mem_free(w->env, s.file);
	mem_free(w->env, s.seal);
	if (rc) {
		wal_scan_fini(scan, w->env);
		wal_close(w, false);
	}
	return rc;
}

static void free_files(struct wal *w, struct wal_file *file, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (file[i].reader)
			(void)w->env->files->close(w->env->ctx, file[i].reader);
		if (file[i].file)
			(void)w->env->files->close(w->env->ctx, file[i].file);
		mem_free(w->env, file[i].pin);
		mem_free(w->env, file[i].range);
	}
	mem_free(w->env, file);
}

/* A group without records that says: nothing of this run follows. */
static void end_mark(struct wal *w)
{
	pthread_mutex_lock(&w->lock);
	struct wal_group *g = w->poisoned || w->filling || w->closed_first ? NULL
	                                                                   : wal_group_begin(w, 0);
	if (g) {
		g->closed = true;
		g->flags = WAL_GROUP_END;
		w->closed_first = w->closed_last = g;
	}
	pthread_mutex_unlock(&w->lock);
	while (g && wal_step(w))
		;
}

void wal_close(struct wal *w, bool with_end_mark)
{
	with_end_mark = with_end_mark && !w->slots; /* a copy needs none */
	while (with_end_mark &&
	       w->in_flight) /* without threads: an idle group nobody has waited for */
		(void)wal_step(w);
	if (with_end_mark && !w->poisoned && !wal_range_close(w))
		end_mark(w);
	slots_close(w);
	struct wal_group *g;
	while ((g = wal_group_take(w)) != NULL)
		wal_group_free(w, g);
	for (uint32_t i = 0; i < w->tail_n; i++)
		wal_group_free(w, w->tail[(w->tail_head + i) % w->tail_cap]);
	wal_chunk_release(w->chunk);
	mem_free(w->env, w->tail);
	mem_free(w->env, w->places.place);
	free_files(w, w->file, w->n_file);
	free_files(w, w->aside, w->n_aside);
	free_files(w, w->spare, w->n_spare);
	mem_free(w->env, w->row);
	mem_free(w->env, w->gone);
	os_dir_release(w->held);
	pthread_mutex_destroy(&w->lock);
	pthread_rwlock_destroy(&w->readers);
	pthread_cond_destroy(&w->work);
	pthread_cond_destroy(&w->done);
}
