/* A segment that the index of a writer names is not in the store. Under the newest manifest that is damage. But another
 * engine may be the writer by now, which rewrites and deletes, and this one has not heard of it: then nothing is lost, and
 * the manifest says so (PROTOCOL 22). Rare, so it is looked at there and then. */
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/upload/upload.h"
#include <string.h>

static int belongs_to_another(const struct volume *v, struct firn_error *err)
{
	return fail(err, FIRN_EFENCED, 0, "read",
	            "volume %s: a segment is gone, and another engine is the writer now", v->name);
}

/* Who wrote the manifest last? */
static int ask(struct volume *v, bool *another, struct firn_error *err)
{
	const struct firn_env *env = v->engine->env;
	struct store_version version;
	struct manifest now;
	struct buf b;
	char key[400];
	buf_init(&b, env);
	manifest_init(&now);
	int rc = manifest_key(v->name, key, sizeof key);
	rc = rc ? rc : store_get_all(v->store, key, MANIFEST_MAX_BYTES, &b, &version, err);
	rc = rc ? rc : manifest_decode(env, b.data, b.len, &now, err);
	pthread_mutex_lock(&v->lock);
	*another = !rc && now.epoch > v->epoch && memcmp(now.nonce, v->nonce, 16) != 0;
	pthread_mutex_unlock(&v->lock);
	manifest_fini(&now, env);
	buf_fini(&b);
	return rc;
}

int writer_missed(struct volume *v, struct firn_error *err)
{
	struct firn_error why = { .struct_size = sizeof why };
	bool another = false;
	pthread_mutex_lock(&v->lock);
	bool fenced = v->state == FIRN_STATE_FENCED, resumed = v->resumed;
	pthread_mutex_unlock(&v->lock);
	if (fenced)
		return belongs_to_another(v, err);
	int rc = resumed ? FIRN_ESTORE : ask(v, &another, &why);
	if (rc == FIRN_ESTORE)
		return fail(
		        err, FIRN_ESTORE, 0, "read",
		        "volume %s: a segment is gone, and the store does not say yet who the writer is",
		        v->name);
	return another ? belongs_to_another(v, err) : err->code;
}
