/* The putters of a log in a store: one attempt at one slot, and what became of it; and slots that may go.
 *
 *   to send ─PUT if absent─► ours | refused ─► look | no answer ─► later, look first | not done ─► later
 *   look: absent ─► PUT; our bytes ─► ours; a seal ─► sealed; anything else ─► wrong
 *
 * A slot is only ever sent with the same bytes, and no attempt is given up: a store that is away is waited for. */
#include "engine/wal/slots.h"
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/base/wait.h"
#include "engine/store/store.h"
#include <stdio.h>

enum { BACKOFF_MS = 20, BACKOFF_MOST = 8 };
#define END_NS UINT64_C(3000000000)
#define END_PATIENCE_NS UINT64_C(1000000000)

/* What the slot holds: a state, or SLOTS_TO_SEND: nothing. < 0: it could not be read. */
static int look(struct wal *w, const struct slots_head *mine, const char *key,
                struct firn_error *err)
{
	struct slots *s = w->slots;
	struct slots_head there;
	const uint8_t *group;
	struct buf b;
	buf_init(&b, w->env);
	int rc = store_get_all(s->store, key, SLOTS_MAX_BYTES, &b, NULL, err);
	if (!rc)
		rc = slots_decode(b.data, b.len, &there, &group, err) ? SLOTS_WRONG : 0;
	if (!rc && (memcmp(there.log_id, mine->log_id, 16) != 0 || there.slot != mine->slot))
		rc = SLOTS_WRONG;
	if (!rc && there.kind == SLOTS_SEAL)
		rc = SLOTS_SEALED;
	if (!rc)
		rc = there.group_sum == mine->group_sum ? SLOTS_OURS : SLOTS_WRONG;
	buf_fini(&b);
	if (rc == SLOTS_WRONG)
		(void)fail(err, FIRN_ECORRUPT, 0, "wal",
		           "%s holds what this engine has not written", key);
	return rc == FIRN_ENOENT ? SLOTS_TO_SEND : rc;
}

/* The store must keep what it claims before anything is acked by it. */
static int probe(struct wal *w, struct firn_error *err)
{
	int rc = store_probe(w->slots->store, err);
	return rc == FIRN_EUNSUPPORTED || rc == FIRN_EINVAL ? SLOTS_WRONG : rc;
}

/* A state, or < 0: not yet. */
static int attempt(struct wal *w, struct slots_out *o, bool *may_be_there, struct firn_error *err)
{
	struct slots *s = w->slots;
	struct slots_head mine;
	const uint8_t *group;
	char key[SLOTS_KEY_MAX];
	const struct wal_group *g = o->group;
	int rc = probe(w, err);
	if (rc)
		return rc;
	mine = (struct slots_head){ .slot = o->slot };
	memcpy(mine.log_id, o->head.data + 16, 16);
	memcpy(&mine.group_sum, o->head.data + 64, 8);
	(void)group;
	slots_key(mine.log_id, mine.slot, key);
	if (o->look) {
		rc = look(w, &mine, key, err);
		if (rc != SLOTS_TO_SEND)
			return rc;
	}
	struct iovec iov[2] = { { o->head.data, o->head.len }, { g->data, g->used } };
	rc = store_put(s->store, key, iov, 2, STORE_IF_ABSENT, NULL, NULL, err);
	if (!rc)
		return SLOTS_OURS;
	*may_be_there = true;
	if (rc == FIRN_ETOOBIG || rc == FIRN_EUNSUPPORTED)
		return SLOTS_WRONG;
	if (rc != FIRN_ECONFLICT)
		return rc < 0 ? rc : FIRN_ESTORE;
	rc = look(w, &mine, key, err);
	return rc == SLOTS_TO_SEND ? FIRN_ESTORE
	                           : rc; /* refused because another PUT was under way */
}

static void put_off(struct wal *w, struct slots_out *o)
{
	uint32_t n = o->n_tried < BACKOFF_MOST ? o->n_tried : BACKOFF_MOST;
	uint64_t ms = (uint64_t)BACKOFF_MS << n, chance = 0;
	w->env->random(w->env->ctx, &chance, sizeof chance);
	o->state = SLOTS_TO_SEND;
	o->retry_at_ns = w->env->mono_ns(w->env->ctx) + (ms / 2 + chance % ms) * 1000000u;
	o->n_tried++;
}

/* A putter has the slot: nobody else changes it. */
static void try_slot(struct wal *w, struct slots_out *o)
{
	struct slots *s = w->slots;
	struct firn_error err = { .struct_size = sizeof err };
	bool may_be_there = false;
	int rc = attempt(w, o, &may_be_there, &err);
	pthread_mutex_lock(&w->lock);
	s->n_put++;
	o->look |= may_be_there;
	if (rc >= 0)
		o->state = (uint32_t)rc;
	else
		put_off(w, o);
	if (rc == SLOTS_WRONG)
		(void)snprintf(s->why, sizeof s->why, "%.159s", err.text);
	bool first = rc < 0 && o->n_tried == 1;
	pthread_cond_signal(&w->work);
	pthread_mutex_unlock(&w->lock);
	if (first)
		engine_log(w->engine, FIRN_LOG_WARN, "wal", NULL, err.text);
}

/* Locked. Below the seal all goes on; at and above it nothing is sent any more. */
static struct slots_out *due(const struct wal *w, uint64_t now, uint64_t *next_ns)
{
	struct slots *s = w->slots;
	*next_ns = UINT64_MAX;
	for (uint32_t i = 0; i < s->n && !w->poisoned; i++) {
		struct slots_out *o = &s->out[(s->head + i) % SLOTS_AHEAD];
		if (o->state != SLOTS_TO_SEND || (s->sealed && o->slot >= s->seal_at))
			continue;
		if (o->retry_at_ns <= now)
			return o;
		if (o->retry_at_ns - now < *next_ns)
			*next_ns = o->retry_at_ns - now;
	}
	return NULL;
}

static bool may_delete(const struct wal *w, uint64_t now)
{
	const struct slots *s = w->slots;
	return !s->deleting && !s->sealed && !w->poisoned && now >= s->delete_at_ns &&
	       s->deleted < slots_lowest(s);
}

/* Locked on entry and return. In order, one at a time: what is below `deleted` is gone. */
static void delete_one(struct wal *w)
{
	struct slots *s = w->slots;
	struct firn_error err = { .struct_size = sizeof err };
	uint64_t slot = s->deleted, log_no = s->log_no;
	char key[SLOTS_KEY_MAX];
	slots_key(s->log_id, slot, key);
	s->deleting = true;
	pthread_mutex_unlock(&w->lock);
	int rc = store_delete(s->store, key, &err);
	pthread_mutex_lock(&w->lock);
	s->deleting = false;
	if (!rc && s->log_no == log_no)
		s->deleted = slot + 1;
	if (rc)
		s->delete_at_ns = w->env->mono_ns(w->env->ctx) + UINT64_C(1000000000);
}

void slots_end(struct wal *w)
{
	struct slots *s = w->slots;
	uint64_t until = w->env->mono_ns(w->env->ctx) + END_NS;
	(void)store_patience(s->store, END_PATIENCE_NS);
	pthread_mutex_lock(&w->lock);
	bool over = !s->n_member && !s->n && !s->held && !s->sealed && !w->poisoned;
	while (over && s->deleted < s->acked && w->env->mono_ns(w->env->ctx) < until) {
		uint64_t was = s->deleted;
		delete_one(w);
		over = s->deleted != was;
	}
	pthread_mutex_unlock(&w->lock);
}

/* Locked on entry and return: 1: did something. */
static int try_one(struct wal *w, uint64_t *next_ns)
{
	struct slots *s = w->slots;
	uint64_t now = w->env->mono_ns(w->env->ctx);
	struct slots_out *o = due(w, now, next_ns);
	if (o) {
		o->state = SLOTS_SENDING;
		pthread_mutex_unlock(&w->lock);
		try_slot(w, o);
		pthread_mutex_lock(&w->lock);
		return 1;
	}
	if (!may_delete(w, now)) {
		if (s->delete_at_ns > now && s->deleted < slots_lowest(s) &&
		    s->delete_at_ns - now < *next_ns)
			*next_ns = s->delete_at_ns - now;
		return 0;
	}
	delete_one(w);
	return 1;
}

int slots_try(struct wal *w)
{
	uint64_t next_ns;
	pthread_mutex_lock(&w->lock);
	int did = try_one(w, &next_ns);
	pthread_mutex_unlock(&w->lock);
	return did;
}

void *slots_putter(void *wal)
{
	struct wal *w = wal;
	struct slots *s = w->slots;
	uint64_t next_ns;
	pthread_mutex_lock(&w->lock);
	while (!s->stopping) {
		if (try_one(w, &next_ns) || s->stopping)
			continue;
		struct timespec t = mono_after(next_ns == UINT64_MAX ? 0 : next_ns);
		if (next_ns == UINT64_MAX)
			pthread_cond_wait(&s->put, &w->lock);
		else
			(void)pthread_cond_timedwait(&s->put, &w->lock, &t);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}
