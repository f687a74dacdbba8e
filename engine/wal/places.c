/* Places of the current range on their way into its directory.
 *
 *   publish --note--> places ... full, or the file is --> sorted, written as a group, range closed
 *
 * The writer's thread only, but for the list of ranges (wal.lock). The range that has no directory (yet) is
 * found by looking through its groups (find.c): nothing depends on a directory but the time it takes. */
#include "engine/api/engine.h"
#include "engine/base/mem.h"
#include "engine/wal/file.h"
#include <errno.h>
#include <string.h>

void wal_place_miss(struct wal *w)
{
	w->places_miss = true;
}

size_t wal_place_note(struct wal *w, const struct wal_place *p)
{
	struct wal_places *all = &w->places;
	void *array = all->place;
	if (w->places_miss)
		return SIZE_MAX;
	if (mem_grow(w->env, &array, &all->cap, all->n, all->n + 1, sizeof *p)) {
		wal_place_miss(w);
		return SIZE_MAX;
	}
	all->place = array;
	all->place[all->n] = *p;
	return all->n++;
}

void wal_place_more(struct wal *w, size_t at, uint64_t end, uint32_t op)
{
	if (w->places_miss || at >= w->places.n)
		return;
	w->places.place[at].end = end;
	w->places.place[at].op = op;
}

int wal_range_add(struct wal *w, struct wal_file *f, uint32_t from, uint32_t to, uint32_t at)
{
	size_t cap = f->cap_range;
	void *range = f->range;
	if (mem_grow(w->env, &range, &cap, f->n_range, f->n_range + 1u, sizeof *f->range))
		return FIRN_ENOMEM;
	f->range = range;
	f->cap_range = (uint32_t)cap;
	f->range[f->n_range++] = (struct wal_range){ from, to, at };
	w->n_ranges++;
	return 0;
}

uint64_t wal_recent(struct wal *w, uint64_t *n_ranges)
{
	pthread_mutex_lock(&w->lock);
	uint64_t lsn = w->file[w->n_file - 1].file_no << 32 | w->range_from;
	if (w->tail_n && w->tail[w->tail_head]->lsn < lsn)
		lsn = w->tail[w->tail_head]->lsn;
	*n_ranges = w->n_ranges;
	pthread_mutex_unlock(&w->lock);
	return lsn;
}

static int write_image(struct wal *w, uint8_t *image, uint32_t used)
{
	uint32_t len = (uint32_t)wal_group_len(used);
	struct wal_group_header h = { .used = used,
		                      .n_records = 1,
		                      .run = w->run,
		                      .lsn = w->current_no << 32 | w->pos,
		                      .durable_lsn = w->durable_lsn,
		                      .prev_sum = w->last_sum,
		                      .directory_len = w->directory_len,
		                      .sealed_ms = w->env->now_ms(w->env->ctx) };
	memcpy(h.wal_id, w->wal_id, sizeof h.wal_id);
	wal_group_seal(image, &h);
	int rc = wal_file_write(w, w->current, image, len, w->pos);
	if (rc)
		return rc;
	w->last_sum = h.header_sum;
	w->directory_len = len;
	w->durable_lsn = h.lsn + len;
	return 0;
}

/* 0 and *at: written at `at`; *at 0: not made. -errno: it could not be written. */
static int write_directory(struct wal *w, uint32_t *at, uint32_t *len)
{
	struct wal_places *p = &w->places;
	uint64_t bytes = wal_directory_len((uint32_t)p->n);
	uint32_t used = 0;
	uint8_t *image = mem_alloc_pages(w->env, bytes);
	int rc = 0;
	*at = *len = 0;
	if (!image)
		return 0;
	memset(image, 0, bytes);
	if (!wal_directory_put(w->env, image, p->place, (uint32_t)p->n, w->range_from,
	                       (uint32_t)w->pos, &used)) {
		rc = write_image(w, image, used);
		*at = (uint32_t)w->pos;
		*len = (uint32_t)bytes;
	}
	mem_free(w->env, image);
	return rc;
}

int wal_range_close(struct wal *w)
{
	struct wal_places *p = &w->places;
	uint32_t at = 0, len = 0;
	bool any = p->n || w->places_miss;
	int rc = p->n && !w->places_miss ? write_directory(w, &at, &len) : 0;
	pthread_mutex_lock(&w->lock);
	struct wal_file *f = &w->file[w->n_file - 1];
	if (!rc && any && wal_range_add(w, f, w->range_from, (uint32_t)w->pos, at))
		rc = -ENOMEM;
	if (!rc) { /* else the WAL is poisoned, and what is durable is still found in the range that it has */
		w->pos += len;
		w->range_from = (uint32_t)w->pos;
		w->place_bytes = 0;
		w->n_directories += at != 0;
	}
	pthread_mutex_unlock(&w->lock);
	if (!rc) {
		p->n = 0;
		w->places_miss = false;
	}
	return rc;
}
