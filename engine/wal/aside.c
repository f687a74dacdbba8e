/* Moving aside: when room is short, what is needed of a mostly dead file is copied, so that the file goes.
 *
 *   000..7.wal  [dead][dead][V 41..50][dead]...   --copy, flush--> 800..1.aside  [V 41..50]
 *               pinned by V alone                 --lists forget--> no pin -----> recycled
 *
 * Always the oldest of a volume's files, so that what lies aside of it comes before what lies in the log; and
 * only when that file, or it with those behind it, holds little that is needed, or the log is at its end. A crash
 * anywhere is harmless: until the pin is gone the file stays, and of two copies of a write either may be read. */
#include "engine/wal/aside.h"
#include "engine/api/engine.h"
#include "engine/base/mem.h"
#include <stdio.h>

/* Mostly dead: less than a quarter is needed. Anything gained: less than 15 of 16 parts are. */
enum { PLACES = 32, DEAD_SHARE = 4, URGENT_SHARE = 15, FEW = 3 };
enum { RETRY_MS = 1000, RETRY_SHIFT_MAX = 10 };

void wal_hold(struct wal *w, bool on)
{
	pthread_mutex_lock(&w->lock);
	w->n_holding += on ? 1u : -1u;
	w->n_held += on;
	pthread_mutex_unlock(&w->lock);
}

uint64_t wal_aside_rev(const struct wal *w, uint32_t volume_no)
{
	uint64_t rev = 0;
	for (uint32_t i = 0; i < w->n_aside; i++) {
		const struct wal_file *f = &w->aside[i];
		if (f->n_pin && f->pin[0].volume_no == volume_no && f->pin[0].rev_last > rev)
			rev = f->pin[0].rev_last;
	}
	return rev;
}

/* Locked. The rest of a pin above what is stored; bytes by proportion. */
static uint64_t pin_needs(const struct wal_volume_row *row, const struct wal_pin *p)
{
	if (!row || p->rev_last <= row->rev_stored)
		return 0;
	uint64_t n = p->rev_last - p->rev_first + 1, left = p->rev_last - row->rev_stored;
	uint64_t need = left < n ? (uint64_t)((double)p->bytes * (double)left / (double)n)
	                         : p->bytes;
	return need ? need : 1;
}

/* Locked. How many files the log can still take, spares included. */
static uint32_t files_left(const struct wal *w)
{
	uint32_t max = wal_files_max(w);
	return max > w->n_file ? max - w->n_file : 0;
}

struct choice {
	bool urgent;
	uint32_t *storing, n_storing; /* urgent: volumes that get on by themselves */
	uint64_t file_no;             /* 0: none */
	struct wal_pin pin;
	uint64_t need, bytes; /* of the files so far: what would be moved, what would come free */
};

static bool gets_on(const struct choice *c, uint32_t volume_no)
{
	for (uint32_t i = 0; i < c->n_storing; i++)
		if (c->storing[i] == volume_no)
			return true;
	return false;
}

/* Locked. The next file counts; true: enough of what there is now is dead. */
static bool consider(struct wal *w, const struct wal_file *f, struct choice *c)
{
	uint64_t here = 0;
	bool stays = false;
	for (uint32_t k = 0; k < f->n_pin; k++) {
		const struct wal_volume_row *row = wal_row_at(w, f->pin[k].volume_no);
		uint64_t n = pin_needs(row, &f->pin[k]);
		if (n && row->broken > row->rev_stored) {
			stays = true; /* what cannot be shown unbroken; it holds up no other volume */
			continue;
		}
		if (!n || (c->urgent && gets_on(c, f->pin[k].volume_no)))
			continue;
		if (!c->file_no) {
			c->file_no = f->file_no;
			c->pin = f->pin[k];
		}
		here += n;
	}
	c->need += here;
	c->bytes += here && !stays ? w->opts.file_bytes : 0;
	return here && (c->urgent ? c->need / URGENT_SHARE < c->bytes / (URGENT_SHARE + 1)
	                          : c->need * DEAD_SHARE < c->bytes);
}

/* Who is to be moved out of which file: the oldest in which there is something that can be. */
static bool choose(struct wal *w, struct choice *c)
{
	bool good = false;
	pthread_mutex_lock(&w->lock);
	uint32_t left = files_left(w);
	bool may = !w->poisoned && !w->stopping && !w->n_holding &&
	           (left < FEW || (!c->urgent && left < w->n_files_max / 4)) &&
	           w->env->mono_ns(w->env->ctx) >= w->aside_retry_ns;
	for (uint32_t i = 0; may && i + 1 < w->n_file && !good; i++)
		good = consider(w, &w->file[i], c);
	pthread_mutex_unlock(&w->lock);
	return good;
}

/* At first what is worth it: what lies in mostly dead files. When the log comes to its end, all of volumes that
 * are not stored, as long as anything is gained: each write is moved once at most. */
static bool choose_any(struct wal *w, struct choice *c)
{
	*c = (struct choice){ .urgent = false };
	if (choose(w, c))
		return true;
	*c = (struct choice){ .urgent = true };
	pthread_mutex_lock(&w->lock);
	bool few = files_left(w) < FEW;
	pthread_mutex_unlock(&w->lock);
	if (!few || volumes_storing(w->engine, &c->storing, &c->n_storing))
		return false;
	bool good = choose(w, c);
	mem_free(w->env, c->storing);
	return good;
}

/* Records of one group that are wanted, in order. */
static int put_group(struct aside_put *put, const struct wal_place *g, uint64_t *next, uint64_t to)
{
	struct wal *w = put->w;
	struct firn_error err = { .struct_size = sizeof err };
	struct wal_view view;
	int rc = wal_view_tail(w, g->lsn, &view);
	rc = rc ? wal_view_load(w, g->lsn, g->len, &view, &err) : 0;
	if (rc)
		return rc;
	struct wal_record r;
	for (uint32_t pos = WAL_GROUP_HEADER;
	     !rc && (pos = wal_record_next(view.group, view.used, pos, &r)) != 0;) {
		if (r.type != WAL_WRITE || r.volume_no != put->row.volume_no || r.rev < *next ||
		    r.rev > to)
			continue;
		rc = r.rev == *next ? aside_put_record(put, &r) : FIRN_ECORRUPT;
		*next += !rc;
	}
	wal_chunk_release(view.chunk);
	return rc;
}

/* Writes [next, to] of the volume, out of one file. */
static int copy(struct aside_put *put, uint64_t file_no, uint64_t next, uint64_t to)
{
	struct wal_query q = { .volume_no = put->row.volume_no, .hint = file_no << 32 };
	struct wal_place place[PLACES];
	struct firn_error err = { .struct_size = sizeof err };
	int rc = 0;
	while (!rc && next <= to) {
		uint32_t n = 0;
		q.from = next;
		rc = wal_find(put->w, &q, place, PLACES, &n, &err);
		if (!rc && (!n || place[0].lsn >> 32 != file_no))
			rc = FIRN_ECORRUPT;
		for (uint32_t i = 0; i < n && !rc && next <= to; i++)
			rc = put_group(put, &place[i], &next, to);
	}
	int done = aside_put_finish(put); /* what was copied so far need not be again */
	return rc ? rc : done;
}

/* The log's bytes are not what they should be, or the disk does not give them: from now on the volume's writes
 * stay where they are, until these are stored. */
static void give_up(struct wal *w, const struct choice *c)
{
	pthread_mutex_lock(&w->lock);
	struct wal_volume_row *at = wal_row_at(w, c->pin.volume_no);
	if (at && at->broken < c->pin.rev_last)
		at->broken = c->pin.rev_last;
	pthread_mutex_unlock(&w->lock);
}

/* Nowhere to write to, or no memory: again in a while, in another file. */
static void put_off(struct wal *w)
{
	pthread_mutex_lock(&w->lock);
	uint64_t wait_ms = (uint64_t)RETRY_MS << w->aside_fails;
	w->aside_fails += w->aside_fails < RETRY_SHIFT_MAX;
	w->aside_retry_ns = w->env->mono_ns(w->env->ctx) + wait_ms * 1000000;
	pthread_mutex_unlock(&w->lock);
}

static void failed(struct wal *w, const struct choice *c, const struct wal_volume_row *row, int rc,
                   bool at_writing)
{
	char text[160];
	/* No spare file to be had for it now; or all was stored meanwhile. */
	if (rc == FIRN_EFULL || !wal_has_file(w, c->file_no << 32))
		return;
	if (at_writing || rc == FIRN_ENOMEM)
		put_off(w);
	else
		give_up(w, c);
	(void)snprintf(text, sizeof text, "%016llx.wal: writes %llu to %llu %s moved aside: %s",
	               (unsigned long long)c->file_no, (unsigned long long)c->pin.rev_first,
	               (unsigned long long)c->pin.rev_last,
	               at_writing ? "could not be" : "cannot be", firn_code_name(rc));
	engine_log(w->engine, FIRN_LOG_WARN, "wal", row->name, text);
}

static int unpin(struct wal *w, uint64_t file_no, uint32_t volume_no, uint64_t rev, uint64_t held)
{
	int did = 0;
	pthread_mutex_lock(&w->lock);
	struct wal_file *f = wal_file_find(w, file_no);
	bool may = f && w->n_held == held && !w->n_holding;
	for (uint32_t i = 0; may && i < f->n_pin && !did; i++)
		if (f->pin[i].volume_no == volume_no && f->pin[i].rev_last <= rev) {
			f->pin[i] = f->pin[--f->n_pin];
			did = 1;
		}
	pthread_mutex_unlock(&w->lock);
	return did;
}

int wal_aside_step(struct wal *w)
{
	struct choice c;
	struct aside_put put;
	struct wal_volume_row row;
	if (!choose_any(w, &c))
		return 0;
	pthread_mutex_lock(&w->lock);
	uint64_t held = w->n_held, next = wal_aside_rev(w, c.pin.volume_no) + 1;
	const struct wal_volume_row *at = wal_row_at(w, c.pin.volume_no);
	if (at)
		row = *at;
	pthread_mutex_unlock(&w->lock);
	if (!at)
		return 0;
	next = next > row.rev_stored ? next : row.rev_stored + 1;
	next = next > c.pin.rev_first ? next : c.pin.rev_first;
	int rc = 0;
	if (next <= c.pin.rev_last) {
		rc = aside_put_open(&put, w, &row, c.file_no);
		rc = rc ? rc : copy(&put, c.file_no, next, c.pin.rev_last);
		aside_put_close(&put);
		if (rc) {
			failed(w, &c, &row, rc, put.write_failed);
			return 0;
		}
		w->aside_fails = 0;
	}
	places_forget(w->engine, c.pin.volume_no, (c.file_no + 1) << 32);
	return unpin(w, c.file_no, c.pin.volume_no, c.pin.rev_last, held);
}

int wal_aside_remove(struct wal *w)
{
	struct wal_file f = { 0 };
	pthread_mutex_lock(&w->lock);
	for (uint32_t i = 0; i < w->n_aside && !f.file_no && !w->poisoned; i++) {
		if (wal_file_needed(w, &w->aside[i]) || w->aside[i].writing)
			continue;
		f = w->aside[i];
		memmove(&w->aside[i], &w->aside[i + 1], (w->n_aside - i - 1) * sizeof f);
		w->n_aside--;
		w->aside_bytes -= f.bytes;
	}
	pthread_mutex_unlock(&w->lock);
	if (!f.file_no)
		return 0;
	char path[4200];
	wal_file_path(w->dir, f.file_no, path, sizeof path);
	(void)w->env->files->remove(w->env->ctx, path);
	(void)wal_sync_dir(w); /* comes back? its writes are stored */
	mem_free(w->env, f.pin);
	mem_free(w->env, f.range);
	return 1;
}
