/* The table of open volumes: what makes the WAL self-describing after any number of recyclings. */
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
	for (uint32_t i = 0; i < w->n_row && rc; i++)
		if (!strcmp(w->row[i].uri, uri) && !strcmp(w->row[i].name, name)) {
			*out = w->row[i];
			rc = 0;
		}
	pthread_mutex_unlock(&w->lock);
	return rc;
}

/* An upper bound of the encoded row. */
static uint64_t row_bytes(const struct wal_volume_row *r)
{
	return 128 + 16 * WAL_MAX_INTENTS + strlen(r->name) + strlen(r->uri) + strlen(r->node);
}

static int set_locked(struct wal *w, struct wal_volume_row *row)
{
	for (uint32_t i = 0; i < w->n_row; i++)
		if (!memcmp(w->row[i].id, row->id, 16)) {
			row->volume_no = w->row[i].volume_no;
			w->table_bytes += row_bytes(row) - row_bytes(&w->row[i]);
			w->row[i] = *row;
			return 0;
		}
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
	return 0;
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
