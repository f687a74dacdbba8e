/* Which logs a manifest names, and from where on: the rows that a log in a store adds to attach and commit.
 *
 *   attach   the rows that were there (their records may be in no segment yet) + ours, from the newest acked slot
 *   commit   our position: the slot of the oldest group that stays un-stored, or the newest acked one
 *            the other rows go when what they hold is stored, or in ours
 *
 * A row's position is never above what was published when the body was made: wal/slots.c moves `acked` behind the publish,
 * and the volume is locked here. From before a body is made until its position has settled, the slots from the lowest
 * position on that any manifest of the volume may give are held (slots_join). */
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/upload/upload.h"
#include "engine/wal/record.h"
#include "engine/wal/slots.h"
#include <stdio.h>

static int row_add(struct wal *w, struct manifest *next, const struct slots_now *now,
                   uint64_t position)
{
	struct manifest_log row = { .kind = MANIFEST_LOG_STORE, .position = position };
	memcpy(row.id, now->id, 16);
	(void)snprintf(row.uri, sizeof row.uri, "%s", w->slots->uri);
	return manifest_add_log(next, w->env, &row);
}

static struct manifest_log *row_of(struct manifest *m, const uint8_t id[16])
{
	for (uint32_t i = 0; i < m->n_log; i++)
		if (m->log[i].kind == MANIFEST_LOG_STORE && !memcmp(m->log[i].id, id, 16))
			return &m->log[i];
	return NULL;
}

bool logs_in_stores(const struct manifest *m)
{
	for (uint32_t i = 0; i < m->n_log; i++)
		if (m->log[i].kind == MANIFEST_LOG_STORE)
			return true;
	return false;
}

int logs_attach(struct volume *v, struct manifest *next, bool anew, uint64_t *log_no,
                uint64_t *position)
{
	struct wal *w = &v->engine->wal;
	struct manifest_log local = { .kind = MANIFEST_LOG_LOCAL }, *row;
	struct slots_now now;
	if (anew || !logs_in_stores(next))
		next->n_log = 0;
	*log_no = *position = 0;
	if (!w->slots) {
		memcpy(local.id, w->wal_id, sizeof local.id);
		return manifest_add_log(next, w->env, &local);
	}
	int rc = slots_join(w, v->id, &now);
	*log_no = now.log_no;
	row = row_of(next, now.id);
	*position = row ? row->position : now.acked; /* kept: what lies there may be un-stored */
	return rc || row ? rc : row_add(w, next, &now, now.acked);
}

/* Volume locked: a group at or before which nothing is un-stored above rev; UINT64_MAX: nothing is un-stored. */
static uint64_t first_unstored(const struct volume *v, uint64_t rev, uint64_t last_lsn)
{
	struct volume_group g;
	if (rev >= v->rev_durable)
		return UINT64_MAX;
	if (volume_group_with(v, rev + 1, &g))
		return g.lsn;
	return last_lsn ? last_lsn : v->old_lsn;
}

/* The copy of a group that was moved aside says nothing of its slot. */
static bool tells_slot(uint64_t lsn)
{
	return lsn >> 32 < WAL_ASIDE_NO;
}

/* Volume locked: all that stays un-stored is in this log, so no other need be named: copies of what other engines left are
 * in it, too, once they are all there. */
static bool this_log_alone(const struct volume *v, const struct slots_now *now, uint64_t lsn)
{
	if (v->inheriting)
		return false;
	return lsn == UINT64_MAX || (tells_slot(lsn) && lsn >= now->first_lsn);
}

/* Rows of next become what they are after it. */
int logs_commit(struct volume *v, struct commit *c)
{
	struct wal *w = &v->engine->wal;
	struct manifest *next = &c->next;
	struct slots_now now;
	if (!w->slots)
		return 0;
	uint64_t last = c->n_round ? v->round[c->n_round - 1]->last.lsn : 0;
	pthread_mutex_lock(&v->lock);
	uint64_t lsn = first_unstored(v, next->rev_stored, last);
	int rc = slots_join(w, v->id, &now);
	bool alone = this_log_alone(v, &now, lsn);
	if (v->inheriting && next->rev_durable < v->manifest.rev_durable)
		next->rev_durable = v->manifest.rev_durable; /* not all of it is ours yet */
	pthread_mutex_unlock(&v->lock);
	c->log_no = now.log_no;
	if (rc)
		return rc;
	if (c->clean || alone)
		next->n_log = 0;
	if (c->clean)
		return 0;
	uint64_t at = lsn == UINT64_MAX ? now.acked : tells_slot(lsn) ? slots_position(w, lsn) : 0;
	c->log_position = at > now.held ? at : now.held;
	struct manifest_log *row = row_of(next, now.id);
	if (row)
		row->position = c->log_position;
	return row ? 0 : row_add(w, next, &now, c->log_position);
}

void logs_settled(struct volume *v, uint64_t log_no, uint64_t position, bool clean)
{
	struct wal *w = &v->engine->wal;
	if (!w->slots)
		return;
	pthread_mutex_lock(&v->lock);
	v->log_named = log_no;
	pthread_mutex_unlock(&v->lock);
	if (clean)
		slots_member_gone(w, v->id);
	else
		slots_settled(w, log_no, v->id, position);
	pthread_mutex_lock(&w->lock);
	pthread_cond_signal(&w->work);
	pthread_mutex_unlock(&w->lock);
}

/* Another writer's manifest. Where it does not name our log it never will: our own swaps fail from now on. */
void logs_lost(struct volume *v, struct manifest *theirs)
{
	struct wal *w = &v->engine->wal;
	struct slots_now now;
	if (!w->slots)
		return;
	slots_now(w, &now);
	if (!row_of(theirs, now.id))
		slots_member_gone(w, v->id);
}

/* Locked: a commit without rounds is due, so that the manifest names the log, no other any more, or lets slots go. */
bool logs_due(const struct volume *v)
{
	struct wal *w = &v->engine->wal;
	struct slots_now now;
	if (!w->slots)
		return false;
	slots_now(w, &now);
	if (v->log_named < now.log_no)
		return true;
	if (v->manifest.n_log > 1 && this_log_alone(v, &now, first_unstored(v, v->rev_stored, 0)))
		return true;
	return now.acked >= SLOTS_LAG && slots_member_at(w, v->id) < now.acked - SLOTS_LAG &&
	       !volume_unstored(v);
}
