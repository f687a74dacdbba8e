/* Where in the WAL does a stream's offset lie? Asked when it is in no list in memory (any more).
 *
 *   ranges, oldest first:  [directory] -> index -> page -> places        two reads
 *                          [none]      -> every group of the range       also when a directory is damaged
 *
 * What is read is verified each time: header, record and index of a directory against one another, the
 * page against its sum in the index. Pages stay in the system's page cache; memory of ours is none but
 * the 12 bytes per range. */
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/base/sum.h"
#include "engine/wal/codec.h"
#include "engine/wal/file.h"
#include <stdio.h>

struct find {
	struct wal *w;
	const struct wal_query *q;
	struct wal_place *out;
	uint32_t max, n;
	struct firn_error *err;
	uint64_t hint; /* the query's, while it holds */
};

struct stretch { /* a range, with its file */
	uint64_t file_no;
	struct wal_range r;
};

/* `after`: as wal_order() tells. */
static bool range_behind(const struct wal_file *f, uint64_t after, struct stretch *out)
{
	bool found = false;
	if (wal_order(f->file_no << 32 | UINT32_MAX) < after)
		return false;
	for (uint32_t k = 0; k < f->n_range && !found; k++) {
		*out = (struct stretch){ f->file_no, f->range[k] };
		found = wal_order(f->file_no << 32 | out->r.to) > after;
	}
	return found;
}

/* The first range that ends behind `after`: those in the volume's aside files, then those of the log; the
 * current one is the last. */
static bool next_stretch(struct find *f, uint64_t after, struct stretch *out)
{
	struct wal *w = f->w;
	bool found = false;
	pthread_mutex_lock(&w->lock);
	for (uint32_t i = 0; i < w->n_aside && !found; i++)
		/* One that is not needed goes in a moment; a writer before may have given the same offsets. */
		if (w->aside[i].n_pin && w->aside[i].pin[0].volume_no == f->q->volume_no &&
		    wal_file_needed(w, &w->aside[i]))
			found = range_behind(&w->aside[i], after, out);
	for (uint32_t i = 0; i < w->n_file && !found; i++)
		found = range_behind(&w->file[i], after, out);
	if (!found && w->n_file) {
		*out = (struct stretch){ w->file[w->n_file - 1].file_no,
			                 { w->range_from, (uint32_t)w->pos, 0 } };
		found = wal_order(out->file_no << 32 | out->r.to) > after;
	}
	pthread_mutex_unlock(&w->lock);
	return found;
}

/* 0, FIRN_ENOENT (the file went), FIRN_EIO, FIRN_ENOMEM: it is there and cannot be read now. */
static int read_at(struct find *f, uint64_t file_no, void *to, size_t len, uint64_t pos)
{
	struct wal *w = f->w;
	struct wal_reader r;
	int sys;
	pthread_rwlock_rdlock(&w->readers);
	int rc = wal_reader_get(w, file_no, &r, &sys);
	int64_t n = rc ? 0 : w->env->files->read(w->env->ctx, r.file, to, len, pos);
	wal_reader_put(w, &r);
	pthread_rwlock_unlock(&w->readers);
	if (rc == FIRN_ENOENT || n == (int64_t)len)
		return rc;
	return fail(f->err, rc ? rc : FIRN_EIO, n < 0 ? (int)-n : sys, "wal",
	            "%016llx.%s: read at %llu", (unsigned long long)file_no, wal_suffix(file_no),
	            (unsigned long long)pos);
}

static bool wanted(const struct find *f, const struct wal_place *p)
{
	return p->volume_no == f->q->volume_no && p->stream == f->q->stream &&
	       p->end > f->q->from && wal_order(p->lsn) >= wal_order(f->hint);
}

/* ---- by directory ---- */

static bool header_sane(const struct find *f, const struct stretch *s, const uint8_t *page,
                        struct wal_group_header *h)
{
	return !wal_group_header_get(page, UINT32_MAX, h) &&
	       h->lsn == (s->file_no << 32 | s->r.at) && h->n_records == 1 &&
	       !memcmp(h->wal_id, f->w->wal_id, sizeof h->wal_id);
}

/* The group's pages in front of the first of its own; *buf is the caller's to free. */
static int read_index(struct find *f, const struct stretch *s, uint8_t **buf,
                      struct wal_directory *d)
{
	struct wal_group_header h;
	uint8_t *p = *buf = mem_alloc_pages(f->w->env, WAL_PAGE);
	int rc = p ? read_at(f, s->file_no, p, WAL_PAGE, s->r.at) : FIRN_ENOMEM;
	if (rc || !header_sane(f, s, p, &h))
		return rc ? rc : FIRN_ECORRUPT;
	const uint8_t *record = p + WAL_GROUP_HEADER;
	uint32_t meta_len = le32_get(record + 4);
	uint64_t len = wal_group_len(WAL_GROUP_HEADER + (meta_len & ~7u));
	if (meta_len < WAL_RECORD_HEADER || len >= h.used)
		return FIRN_ECORRUPT;
	if (len > WAL_PAGE) {
		mem_free(f->w->env, p);
		p = *buf = mem_alloc_pages(f->w->env, len);
		rc = p ? read_at(f, s->file_no, p, len, s->r.at) : FIRN_ENOMEM;
		if (rc)
			return rc;
		record = p + WAL_GROUP_HEADER;
	}
	/* header_sum covers body_sum covers meta_sum covers the index. */
	if (!header_sane(f, s, p, &h) || le32_get(record + 4) != meta_len ||
	    h.body_sum != sum64_seed(record + 56, 8, 0) ||
	    le64_get(record + 56) != wal_meta_sum(record, meta_len))
		return FIRN_ECORRUPT;
	return wal_directory_get(record, meta_len, d);
}

/* Places that are wanted from page i on, until there are enough or another stream begins. */
static int read_pages(struct find *f, const struct stretch *s, const struct wal_directory *d,
                      uint64_t first, uint32_t i)
{
	uint8_t *page = mem_alloc_pages(f->w->env, WAL_PAGE);
	struct wal_place p;
	int rc = page ? 0 : FIRN_ENOMEM;
	bool met = false, past = false;
	for (uint32_t end = i + 2; !rc && i < d->n_page && i < end && f->n < f->max && !past; i++) {
		rc = read_at(f, s->file_no, page, WAL_PAGE, first + (uint64_t)i * WAL_PAGE);
		if (!rc && sum64(page, WAL_PAGE) != wal_directory_page_sum(d, i))
			rc = FIRN_ECORRUPT;
		uint32_t n = rc ? 0 : wal_directory_page_n(d, i);
		for (uint32_t k = 0; k < n && f->n < f->max && !past; k++) {
			wal_place_get(page, k, s->file_no, &p);
			if (wanted(f, &p)) {
				f->out[f->n++] = p;
				met = true;
			} else {
				past = met;
			}
		}
	}
	mem_free(f->w->env, page);
	return rc;
}

static int by_directory(struct find *f, const struct stretch *s)
{
	uint8_t *buf = NULL;
	struct wal_directory d = { 0 };
	int rc = read_index(f, s, &buf, &d);
	if (!rc) {
		uint64_t first = s->r.at + wal_directory_len(d.n_place) -
		                 (uint64_t)d.n_page * WAL_PAGE;
		uint32_t page = wal_directory_find(&d, f->q->volume_no, f->q->stream, f->q->from);
		rc = read_pages(f, s, &d, first, page);
	}
	mem_free(f->w->env, buf);
	return rc;
}

/* It is damaged: said once, and not asked again. */
static void forget_directory(struct wal *w, const struct stretch *s)
{
	char text[120];
	pthread_mutex_lock(&w->lock);
	struct wal_file *f = wal_file_find(w, s->file_no);
	for (uint32_t i = 0; f && i < f->n_range; i++)
		if (f->range[i].at == s->r.at)
			f->range[i].at = 0;
	pthread_mutex_unlock(&w->lock);
	(void)snprintf(text, sizeof text,
	               "%016llx.%s: directory at %u does not verify: its groups are read instead",
	               (unsigned long long)s->file_no, wal_suffix(s->file_no), s->r.at);
	engine_log(w->engine, FIRN_LOG_WARN, "wal", NULL, text);
}

/* ---- by looking through the groups ---- */

static int take_places(struct find *f, const uint8_t *group, const struct wal_group_header *h)
{
	struct wal_places all = { .env = f->w->env };
	int rc = wal_places_of_group(&all, group, h);
	for (size_t i = 0; i < all.n && !rc && f->n < f->max; i++)
		if (wanted(f, &all.place[i]))
			f->out[f->n++] = all.place[i];
	mem_free(f->w->env, all.place);
	return rc;
}

/* The group at pos, if there is a good one; *next: where to look after it. Damage was judged at open; here
 * it is stepped over. */
static int look_at(struct find *f, const struct stretch *s, uint8_t *page, uint64_t pos,
                   uint64_t *next)
{
	uint64_t lsn = s->file_no << 32 | pos;
	struct wal_view view;
	struct wal_group_header h;
	*next = pos + WAL_PAGE;
	int rc = wal_view_tail(f->w, lsn, &view);
	if (rc) {
		rc = read_at(f, s->file_no, page, WAL_PAGE, pos);
		if (rc || wal_group_header_get(page, s->r.to - pos, &h) || h.lsn != lsn)
			return rc;
		*next = pos + wal_group_len(h.used);
		if (!h.n_records)
			return 0;
		rc = wal_view_load(f->w, lsn, (uint32_t)wal_group_len(h.used), &view, f->err);
		if (rc == FIRN_ECORRUPT)
			*next = pos + WAL_PAGE;
		if (rc)
			return rc == FIRN_ECORRUPT ? 0 : rc;
	}
	/* In memory or verified just now. */
	rc = wal_group_header_get(view.group, UINT32_MAX, &h);
	*next = pos + wal_group_len(h.used);
	rc = rc ? rc : take_places(f, view.group, &h);
	wal_chunk_release(view.chunk);
	return rc;
}

static int by_groups(struct find *f, const struct stretch *s)
{
	uint8_t *page = mem_alloc_pages(f->w->env, WAL_PAGE);
	int rc = page ? 0 : FIRN_ENOMEM;
	uint64_t pos = s->r.from;
	if (f->hint >> 32 == s->file_no && (uint32_t)f->hint > pos)
		pos = (uint32_t)f->hint;
	while (!rc && pos < s->r.to && f->n < f->max)
		rc = look_at(f, s, page, pos, &pos);
	mem_free(f->w->env, page);
	return rc;
}

/* One walk over the ranges. */
static int walk(struct find *f)
{
	struct stretch s;
	uint64_t after = wal_order(f->hint);
	int rc = 0;
	while (!rc && !f->n && next_stretch(f, after, &s)) {
		after = wal_order(s.file_no << 32 | s.r.to);
		rc = s.r.at ? by_directory(f, &s) : FIRN_ECORRUPT;
		if (rc == FIRN_ECORRUPT && s.r.at)
			forget_directory(f->w, &s);
		/* Where it cannot be read, its groups perhaps can. */
		if (rc == FIRN_ECORRUPT || (rc == FIRN_EIO && s.r.at)) {
			f->n = 0;
			rc = by_groups(f, &s);
		}
		rc = rc == FIRN_ENOENT ? 0 : rc; /* its file went: nothing of it is wanted */
	}
	return rc;
}

static uint64_t moved(struct wal *w)
{
	pthread_mutex_lock(&w->lock);
	uint64_t n = w->n_moved;
	pthread_mutex_unlock(&w->lock);
	return n;
}

/* A place in the log says nothing any more once something from there on was moved in front of the log. */
static uint64_t hint_of(struct wal *w, const struct wal_query *q)
{
	uint64_t hint = q->hint;
	pthread_mutex_lock(&w->lock);
	for (uint32_t i = 0; i < w->n_aside && !wal_is_aside(q->hint >> 32); i++) {
		const struct wal_file *f = &w->aside[i];
		if (f->n_pin && f->pin[0].volume_no == q->volume_no &&
		    f->source_no >= q->hint >> 32)
			hint = 0;
	}
	pthread_mutex_unlock(&w->lock);
	return hint;
}

int wal_find(struct wal *w, const struct wal_query *q, struct wal_place *out, uint32_t max,
             uint32_t *n, struct firn_error *err)
{
	struct find f = { w, q, out, max, 0, err, 0 };
	uint64_t before;
	int rc;
	do { /* what was moved aside meanwhile lies in front of where the walk was, and its file may be gone */
		before = moved(w);
		f.hint = hint_of(w, q);
		f.n = 0;
		rc = walk(&f);
	} while (moved(w) != before);
	*n = f.n;
	return rc == FIRN_ENOMEM && !(err && err->code)
	               ? fail(err, rc, 0, "wal", "no memory to look for a batch")
	               : rc;
}
