/* The table of volumes: what makes the WAL self-describing after any number of recyclings.
 *
 *   row --detached, the manifest known to be clean, no record left in any file--> gone (32 bytes)
 *
 * A row is needed to resume and to attach after a crash, and a clean detach ended the right to either (S1).
 * What else it guards against is a store that went backwards: of that the gone ones are enough, rev by id and
 * the sum of the name. Of those the oldest go when they take a 16th of a file; the index knows them still. */
#include "engine/base/mem.h"
#include "engine/wal/file.h"
#include <string.h>

struct wal_volume_row *wal_row_at(struct wal *w, uint32_t volume_no)
{
	for (uint32_t i = 0; i < w->n_row; i++)
		if (w->row[i].volume_no == volume_no)
			return &w->row[i];
	return NULL;
}

int wal_row_find(struct wal *w, const uint8_t id[16], struct wal_volume_row *out)
{
	int rc = FIRN_ENOENT;
	pthread_mutex_lock(&w->lock);
	for (uint32_t i = 0; i < w->n_row && rc; i++)
		if (!memcmp(w->row[i].id, id, 16)) {
			*out = w->row[i];
			rc = 0;
		}
	pthread_mutex_unlock(&w->lock);
	return rc;
}

int wal_row_find_name(struct wal *w, const char *uri, const char *name, struct wal_volume_row *out)
{
	int rc = FIRN_ENOENT;
	pthread_mutex_lock(&w->lock);
	for (uint32_t i = 0; i < w->n_row; i++) {
		const struct wal_volume_row *row = &w->row[i];
		/* Of an attempt to make the volume that came to nothing an intent alone stays, under an id of its own. */
		if (!strcmp(row->uri, uri) && !strcmp(row->name, name) &&
		    (rc || row->rev > out->rev)) {
			*out = *row;
			rc = 0;
		}
	}
	pthread_mutex_unlock(&w->lock);
	return rc;
}

/* An upper bound of the encoded row. */
static uint64_t row_bytes(const struct wal_volume_row *r)
{
	return 128 + 16 * WAL_MAX_INTENTS + strlen(r->name) + strlen(r->uri) + strlen(r->node);
}

static void gone_drop(struct wal *w, uint32_t i)
{
	memmove(&w->gone[i], &w->gone[i + 1], (w->n_gone - i - 1) * sizeof *w->gone);
	w->n_gone--;
	w->table_bytes -= WAL_GONE_LEN;
}

static int gone_add(struct wal *w, const struct wal_volume_row *row)
{
	size_t cap = w->cap_gone;
	void *p = w->gone;
	if ((w->n_gone + 1) * (uint64_t)WAL_GONE_LEN > w->opts.file_bytes / 16)
		gone_drop(w, 0);
	if (mem_grow(w->env, &p, &cap, w->n_gone, w->n_gone + 1u, sizeof *w->gone))
		return FIRN_ENOMEM;
	w->gone = p;
	w->cap_gone = (uint32_t)cap;
	struct wal_gone *g = &w->gone[w->n_gone++];
	memcpy(g->id, row->id, 16);
	g->rev = row->rev > row->rev_stored ? row->rev : row->rev_stored;
	g->name_sum = wal_name_sum(row->uri, row->name);
	w->table_bytes += WAL_GONE_LEN;
	return 0;
}

static void gone_forget(struct wal *w, const uint8_t id[16])
{
	for (uint32_t i = 0; i < w->n_gone; i++)
		if (!memcmp(w->gone[i].id, id, 16)) {
			gone_drop(w, i);
			return;
		}
}

uint64_t wal_gone_rev(struct wal *w, const uint8_t id[16])
{
	uint64_t rev = 0;
	pthread_mutex_lock(&w->lock);
	for (uint32_t i = 0; i < w->n_gone && !rev; i++)
		rev = memcmp(w->gone[i].id, id, 16) ? 0 : w->gone[i].rev;
	pthread_mutex_unlock(&w->lock);
	return rev;
}

bool wal_gone_name(struct wal *w, const char *uri, const char *name)
{
	uint64_t sum = wal_name_sum(uri, name);
	bool found = false;
	pthread_mutex_lock(&w->lock);
	for (uint32_t i = 0; i < w->n_gone && !found; i++)
		found = w->gone[i].name_sum == sum;
	pthread_mutex_unlock(&w->lock);
	return found;
}

static bool in_a_file(const struct wal *w, uint32_t volume_no)
{
	for (uint32_t i = 0; i < w->n_file; i++)
		for (uint32_t k = 0; k < w->file[i].n_pin; k++)
			if (w->file[i].pin[k].volume_no == volume_no)
				return true;
	return false;
}

static void row_drop(struct wal *w, uint32_t i)
{
	w->table_bytes -= row_bytes(&w->row[i]);
	memmove(&w->row[i], &w->row[i + 1], (w->n_row - i - 1) * sizeof *w->row);
	w->n_row--;
}

void wal_table_sweep(struct wal *w)
{
	for (uint32_t i = 0; i < w->n_row;) {
		const struct wal_volume_row *row = &w->row[i];
		if (!(row->flags & WAL_VOLUME_CLEAN) || in_a_file(w, row->volume_no) ||
		    gone_add(w, row))
			i++;
		else
			row_drop(w, i);
	}
}

void wal_table_take(struct wal *w, const struct wal_table_head *h, uint32_t mark,
                    struct wal_gone *gone)
{
	for (uint32_t i = 0; i < w->n_row;)
		if (w->row[i].mark == mark)
			i++;
		else
			row_drop(w, i);
	w->table_bytes += ((uint64_t)h->n_gone - w->n_gone) * WAL_GONE_LEN;
	mem_free(w->env, w->gone);
	w->gone = gone;
	w->n_gone = w->cap_gone = h->n_gone;
	if (h->next_volume_no > w->next_volume_no)
		w->next_volume_no = h->next_volume_no;
}

/* A number that is given counts: a row can be dropped in the middle of a file and its volume come back there
 * under a new one. Who reads that file meets the old number in its table, the new one behind. */
static int set_locked(struct wal *w, struct wal_volume_row *row)
{
	for (uint32_t i = 0; i < w->n_row; i++)
		if (!memcmp(w->row[i].id, row->id, 16)) {
			if (!row->volume_no)
				row->volume_no = w->row[i].volume_no;
			else if (row->volume_no >= w->next_volume_no)
				w->next_volume_no = row->volume_no + 1;
			w->table_bytes += row_bytes(row) - row_bytes(&w->row[i]);
			if (w->pos && w->row[i].volume_no == row->volume_no &&
			    w->row[i].rev > row->rev) /* written meanwhile */
				row->rev = w->row[i].rev;
			w->row[i] = *row;
			return 0;
		}
	if (w->pos && w->table_bytes + row_bytes(row) > w->opts.file_bytes / 4)
		wal_table_sweep(w);
	if (w->pos && w->table_bytes + row_bytes(row) > w->opts.file_bytes / 4)
		return FIRN_EFULL;
	size_t cap = w->cap_row;
	void *p = w->row;
	if (mem_grow(w->env, &p, &cap, w->n_row, w->n_row + 1u, sizeof *w->row))
		return FIRN_ENOMEM;
	w->row = p;
	w->cap_row = (uint32_t)cap;
	if (!row->volume_no)
		row->volume_no = w->next_volume_no++;
	else if (row->volume_no >= w->next_volume_no)
		w->next_volume_no = row->volume_no + 1;
	w->table_bytes += row_bytes(row);
	w->row[w->n_row++] = *row;
	gone_forget(w, row->id);
	return 0;
}

uint32_t wal_volume_no_new(struct wal *w)
{
	pthread_mutex_lock(&w->lock);
	uint32_t no = w->next_volume_no++;
	pthread_mutex_unlock(&w->lock);
	return no;
}

int wal_row_set(struct wal *w, struct wal_volume_row *row)
{
	pthread_mutex_lock(&w->lock);
	int rc = set_locked(w, row);
	pthread_mutex_unlock(&w->lock);
	return rc;
}

int wal_row_mark(struct wal *w, const uint8_t id[16], uint32_t flags, struct wal_volume_row *out,
                 bool *changed)
{
	int rc = FIRN_ENOENT;
	pthread_mutex_lock(&w->lock);
	for (uint32_t i = 0; i < w->n_row && rc; i++) {
		struct wal_volume_row *row = &w->row[i];
		if (memcmp(row->id, id, 16) != 0)
			continue;
		*changed = (row->flags & flags) != flags;
		row->flags |= flags;
		*out = *row;
		rc = 0;
	}
	pthread_mutex_unlock(&w->lock);
	return rc;
}

void wal_row_stored(struct wal *w, uint32_t volume_no, uint64_t rev_stored)
{
	pthread_mutex_lock(&w->lock);
	struct wal_volume_row *row = wal_row_at(w, volume_no);
	if (row && rev_stored > row->rev_stored)
		row->rev_stored = rev_stored;
	pthread_mutex_unlock(&w->lock);
}
