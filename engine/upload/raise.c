/* Becoming the writer: a nonce as a durable intent in the WAL, then one compare-and-swap that raises the epoch.
 *
 * A CAS whose answer never came may land as long as the manifest is the one that it was for, also after a crash: its
 * nonce must then be known as mine (S9). So an intent is kept until the manifest is seen to have moved on, and when
 * all places are taken the newest nonce is used again: whichever of its bodies lands, it is this WAL's. */
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/upload/attach.h"
#include <stdio.h>
#include <string.h>

/* What could not be read now must neither be compared nor written down: it would pass for a copy. */
int attach_identity(struct attach *a, struct firn_identity *out)
{
	memset(out, 0, sizeof *out);
	int rc = a->e->env->files->identity(a->e->env->ctx, a->e->wal.dir, out);
	return rc < 0 ? fail(a->err, FIRN_EIO, -rc, "attach", "%s: where %s lies cannot be read",
	                     a->v->name, a->e->wal.dir)
	              : 0;
}

/* A nonce that is known as this WAL's from now on, whatever becomes of the CAS that carries it. */
static void mint(struct attach *a)
{
	const struct manifest *m = &a->v->manifest;
	const struct firn_env *env = a->e->env;
	struct wal_volume_row *r = &a->row;
	uint32_t moved_on = 0;
	if (a->known && !id_is_zero(m->nonce) &&
	    nonce_is_mine(r, m->nonce)) { /* the one it means: settled */
		for (uint32_t i = 0; i < r->n_intent; i++)
			if (!memcmp(r->intent[i], m->nonce, 16))
				moved_on = i + 1;
		memcpy(r->nonce, m->nonce, 16);
	}
	r->n_intent -= moved_on; /* those before it were for a manifest that is no more */
	memmove(r->intent[0], r->intent[moved_on], r->n_intent * (size_t)16);
	if (r->n_intent < WAL_MAX_INTENTS)
		env->random(env->ctx, r->intent[r->n_intent++], 16);
	memcpy(a->nonce, r->intent[r->n_intent - 1], 16);
}

int attach_write_intent(struct attach *a)
{
	struct volume *v = a->v;
	const struct manifest *m = &v->manifest;
	const struct firn_env *env = a->e->env;
	struct wal_volume_row *r = &a->row;
	bool clean = m->state == MANIFEST_CLEAN;
	if (!a->known)
		*r = (struct wal_volume_row){ 0 };
	memcpy(r->id, m->volume_id, 16);
	if (a->create)
		env->random(env->ctx, r->id, 16);
	memcpy(v->id, r->id, 16);
	mint(a);
	a->epoch = m->epoch + 1;
	r->flags = clean || a->abandon ? WAL_VOLUME_FROM_CLEAN : 0;
	r->broken = 0; /* what it lacked, if anything, is stored */
	r->epoch = a->epoch;
	if (clean && m->rev_stored > r->rev)
		r->rev = m->rev_stored;
	r->rev_stored = m->rev_stored;
	struct firn_identity id;
	int rc = attach_identity(a, &id);
	if (rc)
		return rc;
	r->identity.fs_id = id.fs_id;
	r->identity.inode = id.inode;
	memcpy(r->identity.machine, id.machine, 16);
	(void)snprintf(r->name, sizeof r->name, "%s", v->name);
	(void)snprintf(r->uri, sizeof r->uri, "%s", v->uri);
	(void)snprintf(r->node, sizeof r->node, "%s", v->node);
	if (a->e->wal
	            .slots) { /* our copy may hold writes of another's time under the number that it had */
		r->volume_no = wal_volume_no_new(&a->e->wal);
		r->rev = m->rev_stored;
	}
	rc = wal_row_set(&a->e->wal, r);
	if (rc)
		return fail(
		        a->err, rc, 0, "attach", "%s",
		        rc == FIRN_EFULL
		                ? "too many volumes for the WAL's table: drain some, or give wal_file_bytes more"
		                : "no memory");
	v->volume_no = r->volume_no;
	return wal_control(&a->e->wal, WAL_INTENT, r, a->err);
}

static int make_next(struct attach *a, struct manifest *next)
{
	struct volume *v = a->v;
	int rc = manifest_copy(&v->manifest, next, a->e->env);
	if (rc)
		return rc;
	if (a->create) {
		memcpy(next->volume_id, v->id, 16);
		(void)snprintf(next->name, sizeof next->name, "%s", v->name);
		next->cleaned_ms = a->e->env->now_ms(a->e->env->ctx);
	}
	next->seq++;
	next->epoch = a->epoch;
	next->state = MANIFEST_DIRTY;
	memcpy(next->nonce, a->nonce, 16);
	next->next_stream = 1;
	next->next_segment = 1;
	next->committed_ms = a->e->env->now_ms(a->e->env->ctx);
	(void)snprintf(next->node, sizeof next->node, "%s", v->node);
	next->rev_durable = a->rev_durable > next->rev_stored ? a->rev_durable : next->rev_stored;
	if (a->abandon && abandon_declare(a, next))
		return FIRN_ENOMEM;
	bool anew = v->manifest.state != MANIFEST_DIRTY || a->abandon;
	return logs_attach(v, next, anew, &a->log_no, &a->log_position);
}

/* The CAS is settled: from here on the volume writes under its new number. A volume that resumed is in use already;
 * ids of streams are of one epoch and one counter, so both change in one go. */
static void become(struct attach *a, struct manifest *next, const struct store_version *version)
{
	struct volume *v = a->v;
	struct manifest old = v->manifest;
	pthread_mutex_lock(&v->lock);
	v->manifest = *next;
	v->version = *version;
	v->next_segment = next->next_segment;
	v->next_stream = next->next_stream;
	memcpy(v->nonce, a->nonce, 16);
	memcpy(&v->nonce64, v->nonce, 8);
	v->epoch = a->epoch;
	volume_show(v);
	pthread_mutex_unlock(&v->lock);
	manifest_fini(&old, a->e->env);
	logs_settled(v, a->log_no, a->log_position, false);
	memcpy(a->row.nonce, a->nonce, 16);
	a->row.n_intent = 0; /* what has not landed was for a manifest that is no more */
	a->row.flags = 0;
	if (a->row.rev_stored < v->manifest.rev_stored)
		a->row.rev_stored = v->manifest.rev_stored;
	if (a->row.rev < a->row.rev_stored)
		a->row.rev = a->row.rev_stored;
	(void)wal_row_set(&a->e->wal, &a->row);
}

static int send(struct attach *a, const struct manifest *next, const struct buf *body,
                struct store_version *version)
{
	struct volume *v = a->v;
	char key[400];
	int rc = manifest_key(v->name, key, sizeof key);
	for (int tries = 0; !rc; tries++) {
		struct iovec iov = { body->data, body->len };
		rc = store_put(v->store, key, &iov, 1, a->create ? STORE_IF_ABSENT : STORE_IF_MATCH,
		               &v->version, version, a->err);
		if (!rc)
			break;
		enum settled s = settle(v, next, version, a->err);
		if (s == SETTLED_MINE)
			return 0;
		if (s == SETTLED_FENCED || s == SETTLED_MOVED)
			rc = fail(a->err, FIRN_EFENCED, 0, "attach",
			          "%s: another engine %s at this moment", v->name,
			          s == SETTLED_MOVED ? "wrote to it" : "attached it");
		else if (s == SETTLED_UNCHANGED && tries < 5)
			rc = 0;
		else if (s == SETTLED_WRONG || s == SETTLED_UNKNOWN)
			rc = a->err->code = s == SETTLED_WRONG ? FIRN_ECORRUPT : FIRN_ESTORE;
	}
	return rc;
}

int attach_raise_epoch(struct attach *a)
{
	struct manifest next;
	struct buf body;
	struct store_version version = { 0 };
	uint32_t row = 0;
	manifest_init(&next);
	buf_init(&body, a->e->env);
	int rc = make_next(a, &next);
	rc = rc ? rc : manifest_encode(&next, &body);
	if (rc == FIRN_EINVAL)
		rc = fail(a->err, rc, 0, "attach", "the next manifest breaks a rule: %s",
		          manifest_check(&next, &row));
	else if (rc)
		rc = fail(a->err, rc, 0, "attach", "no memory for the manifest");
	rc = rc ? rc : send(a, &next, &body, &version);
	if (!rc)
		become(a, &next, &version);
	else
		manifest_fini(&next, a->e->env);
	buf_fini(&body);
	return rc;
}
