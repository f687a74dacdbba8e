/* The writer's side of a log in a store: groups become slots, several on their way, acked in order; and the new log
 * once the old one is found sealed. See slots.h.
 *
 * A slot is begun when its group is full or interval_ns have passed since the last: requests a second do not depend on
 * who writes what. An error of the local copy, or a store that cannot do it, poisons the WAL as a failed flush does. A
 * store that is away does not: what is on its way waits for it. */
#include "engine/wal/slots.h"
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/base/wait.h"
#include "engine/store/store.h"
#include "engine/wal/file.h"
#include "engine/wal/group_list.h"
#include <errno.h>
#include <stdio.h>

/* So long the others wait for a manifest that cannot be made to name a new log; then its volume fails. */
#define NAME_NS UINT64_C(30000000000)

static struct slots_out *out_at(struct slots *s, uint32_t i)
{
	return &s->out[(s->head + i) % SLOTS_AHEAD];
}

/* ---- begin ---- */

static bool begin_due(const struct wal *w, uint64_t now)
{
	const struct slots *s = w->slots;
	if (w->poisoned || s->sealed || s->n == SLOTS_AHEAD)
		return false;
	if (s->held || w->closed_first)
		return true;
	return w->filling && now - s->began_ns >= s->interval_ns;
}

static struct wal_group *take(struct wal *w, uint64_t now)
{
	struct slots *s = w->slots;
	struct wal_group *g = NULL;
	pthread_mutex_lock(&w->lock);
	if (begin_due(w, now)) {
		g = s->held ? s->held : wal_group_take(w);
		s->held = NULL;
	}
	pthread_mutex_unlock(&w->lock);
	return g;
}

static int encode(struct wal *w, struct slots_out *o)
{
	struct slots *s = w->slots;
	const struct wal_group *g = o->group;
	struct slots_row *row = mem_alloc(w->env, (g->n_span + 1) * sizeof *row);
	struct wal_group_header gh;
	if (!row || wal_group_header_get(g->data, UINT32_MAX, &gh)) {
		mem_free(w->env, row);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < g->n_span; i++) {
		const struct wal_span *span = &g->span[i];
		row[i] = (struct slots_row){ .volume_no = span->volume_no,
			                     .rev_first = span->rev_first,
			                     .rev_last = span->rev_last };
		memcpy(row[i].id, span->id, 16);
	}
	struct slots_head h = { .kind = SLOTS_GROUP,
		                .n_volume = g->n_span,
		                .slot = o->slot,
		                .acked = s->acked,
		                .group_len = g->used,
		                .group_sum = gh.header_sum };
	memcpy(h.log_id, s->log_id, 16);
	o->head.len = 0;
	slots_encode(&h, row, &o->head);
	mem_free(w->env, row);
	return o->head.failed ? -ENOMEM : 0;
}

/* Locked. */
static int give_slot(struct wal *w, struct slots_out *o)
{
	struct slots *s = w->slots;
	o->slot = s->next++;
	o->state = SLOTS_TO_SEND;
	o->look = false;
	o->n_tried = 0;
	o->retry_at_ns = 0;
	return encode(w, o);
}

static int begin(struct wal *w, struct wal_group *g)
{
	struct slots *s = w->slots;
	int rc = wal_group_finish(w, g);
	if (rc)
		return rc;
	int64_t n = w->env->files->write(w->env->ctx, w->current, g->data, g->len,
	                                 w->pos + w->ahead);
	if (n != g->len)
		return n < 0 ? (int)n : -ENOSPC;
	pthread_mutex_lock(&w->lock);
	struct slots_out *o = out_at(s, s->n);
	o->group = g;
	rc = give_slot(w, o);
	if (!rc) {
		s->n++;
		w->ahead += g->len;
		w->ahead_places += g->places;
		pthread_cond_signal(&s->put);
	}
	pthread_mutex_unlock(&w->lock);
	return rc;
}

/* 1: begun; 0: not now; < 0: the WAL is to be poisoned. A directory, or the next file, waits for all before. */
static int begin_next(struct wal *w)
{
	struct slots *s = w->slots;
	uint64_t now = w->env->mono_ns(w->env->ctx);
	struct wal_group *g = take(w, now);
	if (!g)
		return 0;
	wal_group_filled(g);
	if (s->n && !wal_file_has_room(w, (uint32_t)wal_group_len(g->used), g->places)) {
		s->held = g;
		return 0;
	}
	int rc = begin(w, g);
	if (rc) {
		wal_group_free(w, g);
		return rc;
	}
	s->began_ns = now;
	return 1;
}

/* ---- ack ---- */

/* S3: its manifest names the log, or nobody here will be told that it is durable. */
static bool named(struct volume *v, uint64_t log_no, bool give_up)
{
	pthread_mutex_lock(&v->lock);
	if (v->state == FIRN_STATE_FENCED)
		v->failed = true; /* perhaps in no log: nobody is told of it, no reader sees it */
	bool is = v->failed || v->log_named >= log_no;
	if (!is && (give_up || v->stopped)) {
		v->failed = is = true; /* publish ends what waits as unknown */
		engine_log(v->engine, FIRN_LOG_ERROR, "wal", v->name,
		           "its manifest could not be made to name the new log: attach it again");
	}
	pthread_mutex_unlock(&v->lock);
	return is;
}

static bool all_named(struct wal *w, const struct wal_group *g)
{
	struct slots *s = w->slots;
	uint64_t now = w->env->mono_ns(w->env->ctx);
	bool give_up = s->gated && now - s->gated_ns > NAME_NS, all = true;
	for (uint32_t i = 0; i < g->n_span; i++)
		all &= !g->span[i].volume || named(g->span[i].volume, s->log_no, give_up);
	if (!all && !s->gated)
		s->gated_ns = now;
	s->gated = !all;
	if (!all)
		upload_kick(w->engine);
	return all;
}

/* The oldest is ours, as are all before: 1 if it was told. */
static int ack_oldest(struct wal *w)
{
	struct slots *s = w->slots;
	struct slots_out *o = out_at(s, 0);
	pthread_mutex_lock(&w->lock);
	bool ours = s->n && o->state == SLOTS_OURS && !(s->sealed && o->slot >= s->seal_at);
	pthread_mutex_unlock(&w->lock);
	if (!ours || !all_named(w, o->group))
		return 0;
	struct wal_group *g = o->group;
	uint64_t slot = o->slot;
	pthread_mutex_lock(&w->lock);
	o->group = NULL;
	s->head = (s->head + 1) % SLOTS_AHEAD;
	s->n--;
	w->ahead -= g->len;
	w->ahead_places -= g->places;
	slots_note_add(s, g->lsn, slot);
	pthread_mutex_unlock(&w->lock);
	w->write_began_ns = s->began_ns;
	int rc = wal_note_durable(w, g);
	if (rc) {
		wal_group_free(w, g);
		return rc;
	}
	w->unpublished = g;
	wal_publish_done(w);
	/* Behind the publish: who holds a volume's lock and finds nothing un-stored may name what is below. */
	pthread_mutex_lock(&w->lock);
	s->acked = slot + 1;
	pthread_mutex_unlock(&w->lock);
	return 1;
}

/* ---- a sealed log, and the next ---- */

/* Locked: all below the seal is acked, and no putter works on what is above. */
static bool may_switch(struct slots *s)
{
	if (!s->sealed || !s->n || out_at(s, 0)->slot < s->seal_at)
		return false;
	for (uint32_t i = 0; i < s->n; i++)
		if (out_at(s, i)->state == SLOTS_SENDING)
			return false;
	return true;
}

static void log_switched(struct wal *w)
{
	char text[120];
	(void)snprintf(text, sizeof text,
	               "somebody has sealed the log and taken a volume: going on in log %llu",
	               (unsigned long long)w->slots->log_no);
	engine_log(w->engine, FIRN_LOG_WARN, "wal", NULL, text);
}

/* What stood at or above the seal is not in the old log, whatever landed: it comes first in the new one. */
static int next_log(struct wal *w)
{
	struct slots *s = w->slots;
	int rc = 0;
	pthread_mutex_lock(&w->lock);
	bool may = may_switch(s);
	if (may) {
		w->env->random(w->env->ctx, s->log_id, sizeof s->log_id);
		s->log_no++;
		s->next = s->acked = s->deleted = 0;
		s->n_note = s->n_member = 0;
		s->first_lsn = out_at(s, 0)->group->lsn;
		s->sealed = false;
		s->n_seal_met++;
		for (uint32_t i = 0; i < s->n && !rc; i++)
			rc = give_slot(w, out_at(s, i));
		pthread_cond_broadcast(&s->put);
	}
	pthread_mutex_unlock(&w->lock);
	if (may) {
		log_switched(w);
		upload_kick(w->engine);
	}
	return rc ? rc : may;
}

/* ---- the step ---- */

static int look_at_putters(struct wal *w)
{
	struct slots *s = w->slots;
	int rc = 0;
	pthread_mutex_lock(&w->lock);
	for (uint32_t i = 0; i < s->n && !rc; i++) {
		struct slots_out *o = out_at(s, i);
		if (o->state == SLOTS_WRONG)
			rc = -EIO;
		if (o->state == SLOTS_SEALED && !s->sealed) {
			s->sealed = true;
			s->seal_at = o->slot;
		}
	}
	pthread_mutex_unlock(&w->lock);
	return rc;
}

int slots_step(struct wal *w)
{
	if (w->poisoned)
		return 0;
	int rc = look_at_putters(w);
	if (rc) {
		wal_poison(w, rc, w->slots->why);
		return 1;
	}
	int did = ack_oldest(w);
	rc = did < 0 ? did : next_log(w);
	did |= rc > 0;
	rc = rc < 0 ? rc : begin_next(w);
	if (rc < 0) {
		wal_poison(w, rc, "the local copy of the log failed");
		return 1;
	}
	did |= rc;
	return w->engine->no_threads ? did | slots_try(w) : did;
}

/* Locked: nanoseconds until slots_step() has something to do; 0 now, UINT64_MAX not before it is told. */
static uint64_t idle_ns(const struct wal *w)
{
	struct slots *s = w->slots;
	uint64_t now = w->env->mono_ns(w->env->ctx), since = now - s->began_ns;
	if (w->poisoned)
		return UINT64_MAX;
	if (begin_due(w, now) && !(s->held && s->n))
		return 0;
	for (uint32_t i = 0; i < s->n; i++) {
		uint32_t state = out_at(s, i)->state;
		if (state == SLOTS_WRONG || (state == SLOTS_SEALED && !s->sealed))
			return 0;
	}
	if (may_switch(s))
		return 0;
	bool first = s->n && out_at(s, 0)->state == SLOTS_OURS &&
	             !(s->sealed && out_at(s, 0)->slot >= s->seal_at);
	if (first)
		return s->gated ? 5000000u : 0;
	if (w->filling && !s->sealed && s->n < SLOTS_AHEAD && since < s->interval_ns)
		return s->interval_ns - since;
	return UINT64_MAX;
}

void slots_wait(struct wal *w)
{
	uint64_t ns;
	pthread_mutex_lock(&w->lock);
	while (!w->stopping && (ns = idle_ns(w)) != 0) {
		struct timespec t = mono_after(ns == UINT64_MAX ? 0 : ns);
		w->waiting = ns == UINT64_MAX;
		w->gather_n = w->waiting
		                      ? 0
		                      : UINT32_MAX; /* a full group wakes us, a record does not */
		if (ns == UINT64_MAX)
			pthread_cond_wait(&w->work, &w->lock);
		else if (pthread_cond_timedwait(&w->work, &w->lock, &t))
			ns = 0;
		w->waiting = false;
		w->gather_n = 0;
		if (!ns)
			break;
	}
	pthread_mutex_unlock(&w->lock);
}

/* ---- life ---- */

int slots_open(struct wal *w, const char *uri, uint32_t interval_ms, struct firn_error *err)
{
	struct slots *s = mem_zalloc(w->env, sizeof *s);
	if (!s)
		return fail(err, FIRN_ENOMEM, 0, "wal", "no memory");
	int rc = store_open(w->env, uri, &s->store, err);
	if (!rc && strlen(store_uri_shown(s->store)) >= sizeof s->uri)
		rc = fail(err, FIRN_EINVAL, 0, "wal", "the URI of the log is longer than %zu bytes",
		          sizeof s->uri - 1);
	if (rc) {
		store_close(s->store);
		mem_free(w->env, s);
		return fail_context(err, rc, "wal=");
	}
	if (w->engine)
		totals_join(&w->engine->stores, s->store);
	(void)snprintf(s->uri, sizeof s->uri, "%s", store_uri_shown(s->store));
	s->interval_ns = interval_ms * UINT64_C(1000000);
	s->began_ns = w->env->mono_ns(w->env->ctx) - s->interval_ns;
	s->log_no = 1;
	s->first_lsn = w->current_no << 32 | w->pos;
	w->env->random(w->env->ctx, s->log_id, sizeof s->log_id);
	for (uint32_t i = 0; i < SLOTS_AHEAD; i++)
		buf_init(&s->out[i].head, w->env);
	pthread_condattr_t mono;
	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	pthread_cond_init(&s->put, &mono);
	pthread_condattr_destroy(&mono);
	w->slots = s;
	return 0;
}

int slots_start(struct wal *w)
{
	struct slots *s = w->slots;
	int rc = 0;
	for (; s->n_putter < SLOTS_AHEAD && !rc; s->n_putter += !rc)
		rc = pthread_create(&s->putter[s->n_putter], NULL, slots_putter, w);
	return rc && !s->n_putter ? FIRN_ENOMEM : 0;
}

void slots_stop(struct wal *w)
{
	struct slots *s = w->slots;
	pthread_mutex_lock(&w->lock);
	s->stopping = true;
	pthread_cond_broadcast(&s->put);
	pthread_mutex_unlock(&w->lock);
	while (s->n_putter)
		pthread_join(s->putter[--s->n_putter], NULL);
	s->stopping = false;
}

void slots_close(struct wal *w)
{
	struct slots *s = w->slots;
	if (!s)
		return;
	for (uint32_t i = 0; i < s->n; i++)
		wal_group_free(w, out_at(s, i)->group);
	wal_group_free(w, s->held);
	for (uint32_t i = 0; i < SLOTS_AHEAD; i++)
		buf_fini(&s->out[i].head);
	mem_free(w->env, s->member);
	store_close(s->store);
	pthread_cond_destroy(&s->put);
	mem_free(w->env, s);
	w->slots = NULL;
}
