/* The writer's side of group commit: seal, write + flush, publish. One write in flight at a time.
 *
 *   gather | gather | gather
 *          | write 1| write 2       with an asynchronous write, group 1 is published (callers woken)
 *                   | publish 1     while group 2 is on its way to the disk
 *
 * Any failed write or flush poisons the WAL: nothing is retried on it, what is in flight ends
 * unknown, what is durable goes on being read and uploaded. A log in a store has a step of its own: slots.c. */
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/base/ring.h"
#include "engine/base/wait.h"
#include "engine/wal/file.h"
#include "engine/wal/group_list.h"
#include "engine/wal/slots.h"
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>

enum { IDLE_NS = 100 * 1000 * 1000 };

void wal_poison(struct wal *w, int code, const char *what)
{
	pthread_mutex_lock(&w->lock);
	if (!w->poisoned) {
		w->poisoned = true;
		(void)snprintf(w->poison_text, sizeof w->poison_text, "%s: %s", what,
		               firn_code_name(code_of_errno(code)));
		engine_log(w->engine, FIRN_LOG_ERROR, "wal", NULL, w->poison_text);
	}
	pthread_cond_broadcast(&w->done);
	pthread_mutex_unlock(&w->lock);
	publish_poison(w->engine);
}

void wal_group_filled(const struct wal_group *g)
{
	/* The copies were begun before the group was closed and take microseconds. */
	while (atomic_load_explicit(&g->n_filling, memory_order_acquire))
		sched_yield();
}

/* While blocked callers wait there is nothing to do beside the write: it is done right here, which saves
 * the hand-over to a kernel worker. Else it goes on while the group before is published. */
static int write_group(struct wal *w, const struct wal_group *g)
{
	const struct firn_files *files = w->env->files;
	void *ctx = w->env->ctx;
	w->written = w->last_calls > 0;
	if (w->written) {
		int64_t n = files->write(ctx, w->current, g->data, g->len, w->pos);
		return n < 0 ? (int)n : n != g->len ? -ENOSPC : files->sync(ctx, w->current);
	}
	int rc = files->write_start(ctx, w->current, g->data, g->len, w->pos);
	if (rc == 1)
		w->sync_io = true;
	return rc < 0 ? rc : 0;
}

int wal_group_finish(struct wal *w, struct wal_group *g)
{
	wal_group_filled(g);
	uint32_t len = (uint32_t)wal_group_len(g->used);
	int rc = wal_file_make_room(w, len, g->places);
	if (rc)
		return rc;
	struct wal_group_header h = { .flags = g->n_records ? 0 : g->flags,
		                      .used = g->used,
		                      .n_records = g->n_records,
		                      .run = w->run,
		                      .lsn = w->current_no << 32 | (w->pos + w->ahead),
		                      .durable_lsn = w->durable_lsn,
		                      .prev_sum = w->last_sum,
		                      .directory_len = w->directory_len,
		                      .sealed_ms = w->env->now_ms(w->env->ctx) };
	memcpy(h.wal_id, w->wal_id, sizeof h.wal_id);
	wal_group_seal(g->data, &h);
	g->lsn = h.lsn;
	g->len = len;
	w->last_sum = h.header_sum;
	w->directory_len = 0;
	return 0;
}

static int start(struct wal *w, struct wal_group *g)
{
	int rc = wal_group_finish(w, g);
	if (rc)
		return rc;
	w->in_flight = g;
	w->write_began_ns = w->env->mono_ns(w->env->ctx);
	return write_group(w, g);
}

/* The group is on stable storage: the file it lies in is needed by its volumes, the table moves on. */
int wal_note_durable(struct wal *w, struct wal_group *g)
{
	uint64_t now = w->env->mono_ns(w->env->ctx);
	pthread_mutex_lock(&w->lock);
	struct wal_file *f = &w->file[w->n_file - 1];
	int rc = 0;
	for (uint32_t i = 0; i < g->n_span && !rc; i++) {
		struct wal_span *s = &g->span[i];
		struct wal_pin pin = { s->volume_no, 0, s->rev_first, s->rev_last, s->bytes };
		rc = wal_file_pin(w, f, &pin);
		struct wal_volume_row *row = wal_row_at(w, s->volume_no);
		if (row)
			row->rev = s->rev_last;
	}
	w->pos += g->len;
	w->durable_lsn = g->lsn + g->len;
	w->pending -= g->charged;
	w->place_bytes += g->places;
	w->wrote_since_idle = g->n_records != 0;
	w->last_write_ns = now;
	w->n_groups++;
	w->n_bytes += g->len;
	w->n_flush_ns += now - w->write_began_ns;
	pthread_mutex_unlock(&w->lock);
	return rc;
}

static void keep_in_tail(struct wal *w, struct wal_group *g)
{
	pthread_mutex_lock(&w->lock);
	struct wal_group *evicted[16];
	uint32_t n = 0;
	void *ring = w->tail;
	(void)ring_grow(w->env, &ring, &w->tail_cap, &w->tail_head, w->tail_n, sizeof g, 64);
	w->tail = ring;
	if (w->tail_n < w->tail_cap) {
		w->tail[(w->tail_head + w->tail_n++) % w->tail_cap] = g;
		w->tail_used += g->len;
	} else {
		evicted[n++] = g; /* no memory to remember it: readers take it from the disk */
	}
	while (n < 16 && w->tail_n > 1 && w->tail_used > w->opts.tail_bytes) {
		struct wal_group *old = w->tail[w->tail_head];
		w->tail_head = (w->tail_head + 1) % w->tail_cap;
		w->tail_n--;
		w->tail_used -= old->len;
		evicted[n++] = old;
	}
	pthread_mutex_unlock(&w->lock);
	while (n)
		wal_group_free(w, evicted[--n]);
}

static void publish(struct wal *w, struct wal_group *g)
{
	uint64_t seq = g->seq;
	struct engine *e = w->engine;
	atomic_store_explicit(&e->calls_done, 0, memory_order_relaxed);
	wal_chunk_retain(g->chunk); /* publish reads it after it became evictable */
	struct wal_group view = *g;
	bool keep = g->n_records != 0;
	struct wal_span *span = g->span;
	g->span = NULL;
	if (keep)
		keep_in_tail(w, g);
	view.span = span;
	publish_group(e, &view);
	w->last_calls = atomic_load_explicit(&e->calls_done, memory_order_relaxed);
	mem_free(w->env, span);
	wal_chunk_release(view.chunk);
	if (!keep)
		wal_group_free(w, g);
	pthread_mutex_lock(&w->lock);
	w->durable_seq = seq;
	pthread_cond_broadcast(&w->done);
	pthread_mutex_unlock(&w->lock);
}

void wal_publish_done(struct wal *w)
{
	struct wal_group *g = w->unpublished;
	w->unpublished = NULL;
	if (!g)
		return;
	uint64_t reserved = g->places;
	size_t before = w->places.n;
	publish(w, g);
	pthread_mutex_lock(&w->lock); /* several batches of a stream in a group have one place */
	w->place_bytes -= reserved - (w->places.n - before) * WAL_PLACE_CHARGE;
	pthread_mutex_unlock(&w->lock);
}

static struct wal_group *take(struct wal *w)
{
	pthread_mutex_lock(&w->lock);
	struct wal_group *g = w->poisoned ? NULL : wal_group_take(w);
	if (!g && !w->poisoned && w->wrote_since_idle && !w->in_flight &&
	    w->env->mono_ns(w->env->ctx) - w->last_write_ns >= IDLE_NS) {
		g = wal_group_begin(w, 0);
		if (g) {
			g->closed = true;
			g->flags = WAL_GROUP_IDLE;
			g->chunk->used = (uint32_t)(g->data - g->chunk->data) + WAL_PAGE;
		}
	}
	pthread_mutex_unlock(&w->lock);
	return g;
}

static int finish(struct wal *w, struct wal_group *g)
{
	int rc = w->written ? 0 : w->env->files->write_wait(w->env->ctx, w->current);
	return rc ? rc : wal_note_durable(w, g);
}

static int begin(struct wal *w, struct wal_group *g)
{
	int rc = start(w, g);
	if (!rc)
		return 0;
	w->in_flight = NULL;
	wal_group_free(w, g);
	return rc;
}

/* Blocked callers that were just woken come back within microseconds: the next group waits for as many as
 * the last one held, asleep (they need the cores), never longer than about a flush. */
static void gather(struct wal *w)
{
	uint64_t n = w->n_groups ? w->n_groups : 1, bound = w->n_flush_ns / n;
	if (w->last_calls < 2 || w->engine->no_threads)
		return;
	struct timespec t = mono_after(bound < 200000 ? bound : 200000);
	pthread_mutex_lock(&w->lock);
	w->gather_n = w->last_calls;
	int rc = 0;
	while (!rc && !w->stopping && !w->closed_first &&
	       (!w->filling || w->filling->n_records < w->gather_n))
		rc = pthread_cond_timedwait(&w->work, &w->lock, &t);
	w->gather_n = 0;
	pthread_mutex_unlock(&w->lock);
}

/* 1: begun; 0: nothing there; < 0: it failed, and the WAL is to be poisoned. */
static int begin_next(struct wal *w)
{
	struct wal_group *next = take(w);
	int rc = next ? begin(w, next) : 0;
	return rc ? rc : next != NULL;
}

/* Behind the last publish: from now on nobody looks at a volume any more, and it may go. */
static int poison_if(struct wal *w, int rc)
{
	if (rc < 0)
		wal_poison(w, rc, "write failed");
	return rc != 0;
}

/* Callers that wait, one write each, are told first and the next group gathers them all: one flush for
 * everybody instead of two cohorts in turn. Whoever keeps many in flight has the next group full already:
 * it is on its way before the last one is told, unless its write would be done right here: nobody is told later
 * for a flush that is not his. */
int wal_step(struct wal *w)
{
	if (w->slots)
		return slots_step(w);
	struct wal_group *done = w->in_flight;
	if (!done) {
		gather(w);
		return poison_if(w, begin_next(w));
	}
	int rc = finish(w, done);
	w->in_flight = NULL;
	if (rc) {
		wal_group_free(w, done);
		wal_poison(w, rc, "write or flush failed");
		return 1;
	}
	w->unpublished = done;
	bool tell_first = w->sync_io || w->last_calls > 0;
	rc = tell_first ? 0 : begin_next(w); /* publishes, too, should a directory be due */
	wal_publish_done(w);
	if (tell_first) {
		gather(w);
		rc = begin_next(w);
	}
	(void)poison_if(w, rc);
	return 1;
}

void wal_wait(struct wal *w)
{
	if (w->slots) {
		slots_wait(w);
		return;
	}
	if (w->in_flight)
		return;
	pthread_mutex_lock(&w->lock);
	while (!w->stopping && (w->poisoned || (!w->closed_first && !w->filling))) {
		struct timespec t = mono_after(IDLE_NS);
		w->waiting = true;
		bool idle_due = w->wrote_since_idle && !w->poisoned;
		int rc = idle_due ? pthread_cond_timedwait(&w->work, &w->lock, &t)
		                  : pthread_cond_wait(&w->work, &w->lock);
		w->waiting = false;
		if (rc && idle_due)
			break;
	}
	pthread_mutex_unlock(&w->lock);
}
