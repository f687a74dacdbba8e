/* Do manifest, WAL and index of a volume meet (PROTOCOL 4.7)? Nothing is changed here: a refusal leaves everything as
 * it was (P5). */
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/upload/attach.h"
#include <string.h>

static int check_name_known(struct attach *a)
{
	struct wal_volume_row row;
	bool gone = wal_gone_name(&a->e->wal, a->v->uri, a->v->name);
	if (!gone && wal_row_find_name(&a->e->wal, a->v->uri, a->v->name, &row))
		return 0;
	if (!gone && id_is_zero(row.nonce) &&
	    !row.rev) /* an intent alone: perhaps no manifest ever came of it */
		return 0;
	return fail(
	        a->err, FIRN_ECORRUPT, 0, "attach",
	        "%s: the WAL knows this volume, the store has no manifest of it: the store went backwards",
	        a->v->name);
}

int attach_read_manifest(struct attach *a)
{
	struct volume *v = a->v;
	struct buf b;
	char key[400];
	buf_init(&b, a->e->env);
	int rc = manifest_key(v->name, key, sizeof key);
	if (rc)
		return fail(a->err, FIRN_EINVAL, 0, "attach", "%s is not a volume name", v->name);
	rc = store_get_all(v->store, key, MANIFEST_MAX_BYTES, &b, &v->version, a->err);
	if (rc == FIRN_ENOENT) {
		a->create = true;
		rc = check_name_known(a);
		if (!rc && !(a->job->attach_flags & FIRN_ATTACH_CREATE))
			rc = fail(a->err, FIRN_ENOENT, 0, "attach", "%s has no volume %s", v->uri,
			          v->name);
	} else if (!rc) {
		rc = manifest_decode(a->e->env, b.data, b.len, &v->manifest, a->err);
		rc = rc ? fail_context(a->err, rc, "%s", key) : 0;
		if (!rc && !(a->job->attach_flags & FIRN_ATTACH_READ_ONLY))
			rc = manifest_writable(&v->manifest, a->err);
		a->last_commit_ms = v->manifest.committed_ms;
	}
	buf_fini(&b);
	return rc;
}

bool id_is_zero(const uint8_t id[16])
{
	static const uint8_t none[16];
	return !memcmp(id, none, 16);
}

bool nonce_is_mine(const struct wal_volume_row *row, const uint8_t nonce[16])
{
	if (!memcmp(row->nonce, nonce, 16))
		return true;
	for (uint32_t i = 0; i < row->n_intent; i++)
		if (!memcmp(row->intent[i], nonce, 16))
			return true;
	return false;
}

static int not_this_wal(struct attach *a)
{
	const struct manifest *m = &a->v->manifest;
	const struct firn_env *env = a->e->env;
	int64_t now = env->now_ms(env->ctx), then = m->committed_ms;
	int64_t ago = then > 0 && then < now ? (now - then) / 1000 : 0; /* clocks differ */
	a->gone = true;
	return fail(
	        a->err, FIRN_ELOST, 0, "attach",
	        "%s: acked writes above %llu lie in the WAL of node %s, not in this one (%llu were durable "
	        "at its last commit, %lld s ago); drain it there",
	        a->v->name, (unsigned long long)m->rev_stored, m->node[0] ? m->node : "?",
	        (unsigned long long)m->rev_durable, (long long)ago);
}

int attach_check_identity(struct attach *a)
{
	struct firn_identity now;
	const struct wal_identity *was = &a->row.identity;
	int rc = attach_identity(a, &now);
	if (rc)
		return rc;
	const char *what = now.fs_id != was->fs_id                 ? "file system"
	                   : now.inode != was->inode               ? "directory"
	                   : memcmp(now.machine, was->machine, 16) ? "machine"
	                                                           : NULL;
	if (!what || (a->job->takeover && !strcmp(a->job->takeover, "moved")))
		return 0;
	return fail(a->err, FIRN_ELOST, 0, "attach",
	            "%s: the WAL lies on another %s than it was written on: a copy? "
	            "If the original is gone for good, say takeover=moved",
	            a->v->name, what);
}

/* The list of what was found moves when other volumes come and go; an entry is its volume's alone. */
void attach_find(struct attach *a)
{
	pthread_mutex_lock(&a->e->lock);
	struct wal_found *f = a->known ? wal_scan_find(&a->e->scan, a->row.volume_no) : NULL;
	a->found = f ? &a->found_copy : NULL;
	if (f)
		a->found_copy = *f;
	pthread_mutex_unlock(&a->e->lock);
}

/* What was acked lies where everybody can read it; the logs are walked behind the CAS. Who says that they are gone for good
 * is believed only if they cannot be read. */
static int check_logs(struct attach *a)
{
	struct volume *v = a->v;
	bool abandon = a->job->takeover && !strcmp(a->job->takeover, "abandon");
	struct firn_error why = { .struct_size = sizeof why };
	a->found = NULL;
	if (!a->e->wal.slots)
		return fail(
		        a->err, FIRN_EUNSUPPORTED, 0, "attach",
		        "%s: its log is in a store, %s: attach it with wal=store:URI and drain it",
		        v->name, v->manifest.log[0].uri);
	slots_now(&a->e->wal, &a->own);
	a->rev_durable = v->manifest.rev_durable;
	if (!abandon || !volume_inherit_check(v, &why))
		return 0;
	a->gone = true;
	return fail(a->err, FIRN_ELOST, 0, "attach", "%s", why.text);
}

/* The WAL must be the one the manifest means, and whole above what is stored. */
int attach_check_wal(struct attach *a)
{
	struct volume *v = a->v;
	const struct manifest *m = &v->manifest;
	a->known = !wal_row_find(&a->e->wal, m->volume_id, &a->row);
	attach_find(a);
	/* Numbers rise over all takeovers: a manifest below what this WAL saw settled is an older one. */
	bool slots = a->e->wal.slots !=
	             NULL; /* then what our copy saw last was perhaps in no log */
	uint64_t seen = m->state == MANIFEST_CLEAN && !slots ? a->row.rev : a->row.rev_stored;
	if (!a->known)
		seen = wal_gone_rev(&a->e->wal, m->volume_id);
	bool fenced = a->known && a->row.flags & WAL_VOLUME_FENCED;
	if (fenced && nonce_is_mine(&a->row, m->nonce) && m->state != MANIFEST_CLEAN)
		return fail(
		        a->err, FIRN_ECORRUPT, 0, "attach",
		        "%s: the store went backwards: its manifest names a writer that this WAL knows to be fenced",
		        v->name);
	if (fenced && seen > m->rev_stored)
		return fail(
		        a->err, FIRN_EFENCED, 0, "attach",
		        "%s: this WAL holds writes up to %llu of a writer that was fenced; the volume went on "
		        "without them and ends at %llu",
		        v->name, (unsigned long long)seen, (unsigned long long)m->rev_stored);
	if (seen > m->rev_stored)
		return fail(
		        a->err, FIRN_ECORRUPT, 0, "attach",
		        "%s: the store went backwards: its manifest ends at write %llu, this WAL knows of %llu",
		        v->name, (unsigned long long)m->rev_stored, (unsigned long long)seen);
	a->rev_durable = m->rev_stored;
	if (m->state == MANIFEST_CLEAN) {
		a->found = NULL; /* all of it is stored: whatever the WAL has is older */
		return 0;
	}
	if (logs_in_stores(m))
		return check_logs(a);
	if (!a->known || !nonce_is_mine(&a->row, m->nonce)) {
		if (a->known && !(a->row.flags & WAL_VOLUME_DETACHED) && m->epoch > a->row.epoch &&
		    !(a->job->attach_flags & FIRN_ATTACH_CHECK))
			note_fenced(a->e, m->volume_id, v->name);
		return not_this_wal(a);
	}
	int rc = attach_check_identity(a);
	a->gone = true; /* should anything of it be missing from here on */
	if (rc)
		return rc;
	if (a->found && a->found->missing > m->rev_stored)
		return fail(a->err, FIRN_ECORRUPT, 0, "attach", "%s: %s", v->name, a->found->why);
	uint64_t end = a->row.rev > m->rev_stored ? a->row.rev : m->rev_stored;
	if (a->found)
		a->rev_durable = end;
	if (end < m->rev_durable)
		return fail(
		        a->err, FIRN_ECORRUPT, 0, "attach",
		        "%s: the WAL ends at write %llu, but %llu was acked: the WAL went backwards",
		        v->name, (unsigned long long)end, (unsigned long long)m->rev_durable);
	bool begins = a->found && a->found->run_last && a->found->run_first <= m->rev_stored + 1;
	bool ends = begins && a->found->run_last >= a->row.rev;
	if (a->row.rev > m->rev_stored && !(begins && ends))
		return fail(a->err, FIRN_ECORRUPT, 0, "attach",
		            "%s: writes %llu to %llu are not all in the WAL", v->name,
		            (unsigned long long)m->rev_stored + 1, (unsigned long long)a->row.rev);
	a->gone = false;
	return 0;
}

int attach_check_index(struct attach *a)
{
	struct index_volume iv;
	int rc = index_volume_get(a->e->index, a->v->manifest.volume_id, &iv, a->err);
	if (rc == FIRN_ENOENT)
		return 0;
	if (!rc && iv.seq > a->v->manifest.seq)
		return fail(
		        a->err, FIRN_ECORRUPT, 0, "attach",
		        "%s: the store went backwards: its manifest is version %llu, the index saw %llu",
		        a->v->name, (unsigned long long)a->v->manifest.seq,
		        (unsigned long long)iv.seq);
	return rc;
}
