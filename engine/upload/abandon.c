/* takeover=abandon: becoming the writer without the WAL that holds what was acked last. Nothing can prove that its owner
 * is dead (PROTOCOL 0), so nothing depends on it: what he may have acked, or still acks, lies in a range of offsets that is
 * never given again.
 *
 *   manifest dirty, its WAL not here -> it and the owner's heartbeat are watched for two minutes -> CAS epoch + 1 with an entry:
 *   revs and the offsets of every stream skip 2^36 (index/lost.c), reads there answer FIRN_ELOST
 *
 * No writer runs further ahead of what is stored (admit/), so its records and the next owner's never meet. */
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/upload/attach.h"
#include <string.h>

#define WATCH_NS (120 * UINT64_C(1000000000))
#define LOOK_NS (10 * UINT64_C(1000000000))

static int owner_lives(struct attach *a, const char *how)
{
	return fail(a->err, FIRN_EBUSY, 0, "attach",
	            "%s: its owner on node %s lives: it %s while it was watched. Let it detach",
	            a->v->name, a->v->manifest.node[0] ? a->v->manifest.node : "?", how);
}

static int watch(struct attach *a)
{
	struct upload_job *j = a->job;
	const struct manifest *m = &a->v->manifest;
	uint64_t now = a->e->env->mono_ns(a->e->env->ctx), beat = 0;
	int rc = m->n_log ? beat_look(a->v, m->log[0].id, &beat, a->err) : 0;
	if (rc)
		return rc;
	if (!j->watch_until_ns) {
		j->watch_beat = beat;
		j->watch_until_ns = now + WATCH_NS;
		j->watch_seq = m->seq;
		memcpy(j->watch_nonce, m->nonce, 16);
	} else if (m->seq != j->watch_seq || memcmp(m->nonce, j->watch_nonce, 16) != 0) {
		return owner_lives(a, "committed");
	} else if (beat &&
	           beat != j->watch_beat) { /* that it is gone says nothing: a sweep took it */
		return owner_lives(a, "renewed its heartbeat");
	}
	if (now >= j->watch_until_ns)
		return 0;
	j->watch_next_ns = now + LOOK_NS < j->watch_until_ns ? now + LOOK_NS : j->watch_until_ns;
	return ATTACH_WAITS;
}

int abandon_judge(struct attach *a)
{
	const struct manifest *m = &a->v->manifest;
	int rc = a->job->attach_flags & FIRN_ATTACH_CHECK ? 0 : watch(a);
	if (rc)
		return rc;
	a->abandon = true;
	a->found = NULL; /* nothing of it is replayed */
	a->rev_durable = m->rev_stored;
	a->lost = (struct firn_lost){ .rev_stored = m->rev_stored,
		                      .rev_skip = m->rev_stored + LOST_SKIP };
	memcpy(a->lost.nonce, m->nonce, 16);
	return 0;
}

int abandon_declare(const struct attach *a, struct manifest *next)
{
	const struct firn_env *env = a->e->env;
	struct lost_entry l = { .rev_stored = next->rev_stored,
		                .rev_skip = LOST_SKIP,
		                .at_ms = env->now_ms(env->ctx) };
	memcpy(l.nonce, a->v->manifest.nonce, 16);
	if (a->v->manifest.n_log)
		memcpy(l.wal_id, a->v->manifest.log[0].id, 16);
	next->rev_stored = next->rev_durable = l.rev_stored + l.rev_skip;
	return manifest_add_lost(next, env, &l);
}
