/* Giving files back. A file goes when no volume, attached or not, has a record in it above what is
 * stored and indexed. The file that begins this run holds the seals of all older ones, and stays until
 * their files are gone, so that an old tail is never judged again (PROTOCOL 4). */
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/wal/aside.h"
#include <string.h>

/* With the log in a store nobody reads the copy of what another engine took, or may take. */
static bool read_here(const struct wal *w, const struct wal_volume_row *row)
{
	return !w->slots || !(row->flags & (WAL_VOLUME_FENCED | WAL_VOLUME_DETACHED));
}

bool wal_file_needed(struct wal *w, const struct wal_file *f)
{
	for (uint32_t i = 0; i < f->n_pin; i++) {
		const struct wal_volume_row *row = wal_row_at(w, f->pin[i].volume_no);
		if (row && f->pin[i].rev_last > row->rev_stored && read_here(w, row))
			return true;
	}
	if (!f->has_seal || f->run != w->run) /* a later run repeats what is still needed */
		return false;
	for (uint32_t i = 0; i < w->n_file; i++)
		if (w->file[i].run < f->run)
			return true;
	return false;
}

/* Takes one file that may go out of the list; the current one stays. */
static bool take_one(struct wal *w, struct wal_file *out, uint64_t *spare_no)
{
	pthread_mutex_lock(&w->lock);
	bool found = false;
	for (uint32_t i = 0; i + 1 < w->n_file && !found; i++) {
		if (w->poisoned || wal_file_needed(w, &w->file[i]))
			continue;
		*out = w->file[i];
		memmove(&w->file[i], &w->file[i + 1], (w->n_file - i - 1) * sizeof *out);
		w->n_file--;
		*spare_no = w->next_spare_no++;
		found = true;
	}
	pthread_mutex_unlock(&w->lock);
	return found;
}

int wal_recycle(struct wal *w)
{
	struct wal_file f;
	uint64_t spare_no;
	/* Aside first: what lies in front of writes that go must not be left over, it would look like a gap. */
	if (wal_aside_remove(w))
		return 1;
	if (!take_one(w, &f, &spare_no))
		return 0;
	char from[4200], to[4200];
	wal_file_path(w->dir, f.file_no, from, sizeof from);
	wal_spare_path(w, spare_no, to, sizeof to);
	pthread_rwlock_wrlock(&w->readers); /* whoever still reads it finishes first */
	if (f.reader)
		(void)w->env->files->close(w->env->ctx, f.reader);
	pthread_rwlock_unlock(&w->readers);
	mem_free(w->env, f.pin);
	mem_free(w->env, f.range);
	struct wal_file spare = { .file_no = spare_no, .file = f.file };
	/* Not synced: should the old name come back after a crash, its records are stored already. */
	uint64_t bytes = 0;
	int rc = w->env->files->size(w->env->ctx, f.file, &bytes);
	pthread_mutex_lock(&w->lock);
	bool many = w->n_file + w->n_spare >=
	            wal_files_max(w); /* its room is that of aside files */
	pthread_mutex_unlock(&w->lock);
	/* Or made when the WAL had files of another size. */
	if (!rc && (many || bytes != w->opts.file_bytes)) {
		(void)w->env->files->close(w->env->ctx, f.file);
		(void)w->env->files->remove(w->env->ctx, from);
		return 1;
	}
	rc = rc ? rc : w->env->files->rename(w->env->ctx, from, to);
	pthread_mutex_lock(&w->lock);
	rc = rc ? rc : wal_files_add(w, &w->spare, &w->n_spare, &w->cap_spare, &spare);
	pthread_mutex_unlock(&w->lock);
	if (rc) {
		(void)w->env->files->close(w->env->ctx, f.file);
		engine_log(w->engine, FIRN_LOG_ERROR, "wal", NULL, "cannot recycle a WAL file");
	}
	return 1;
}
