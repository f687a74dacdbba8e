/* Volumes as users see them: info, list, the blocking shorthands, metrics. */
#include "engine/api/engine.h"
#include "engine/api/handle.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include <stdio.h>
#include <string.h>

/* Copies the first min(sizes) bytes into a struct of the caller's that begins with its size. */
static int put_sized(void *out, uint32_t min_size, void *full, uint32_t size)
{
	uint32_t have = *(uint32_t *)out;
	if (have < min_size)
		return FIRN_EINVAL;
	*(uint32_t *)full = have;
	memset((char *)out + 4, 0, have - 4);
	memcpy(out, full, have < size ? have : size);
	return 0;
}

static void fill_info(struct volume *v, struct firn_volume_info *i)
{
	i->state = v->failed && v->state != FIRN_STATE_FENCED ? FIRN_STATE_READ_ONLY : v->state;
	i->epoch = v->epoch;
	i->n_streams = v->n_live;
	i->rev_durable = v->rev_durable;
	i->rev_stored = v->rev_stored;
	i->unstored_bytes = i->wal_used = v->unstored_bytes;
	i->pinned_bytes = atomic_load(&v->engine->account->pin_bytes);
	i->oldest_unstored_ms = volume_oldest_ms(v);
	i->last_commit_ms = v->shown_commit_ms;
	i->n_segments = v->shown_segments;
	i->stored_bytes = v->shown_bytes;
	memcpy(i->id, v->id, 16);
}

int firn_volume_info(const struct firn_volume *volume, struct firn_volume_info *out)
{
	if (!volume || !out)
		return FIRN_EINVAL;
	struct volume *v = volume_enter(volume);
	if (!v)
		return FIRN_ESHUTDOWN;
	struct firn_volume_info i = { .struct_size = sizeof i };
	i.wal_bytes = volume_unstored_limit(v);
	pthread_mutex_lock(&v->lock);
	fill_info(v, &i);
	if (i.state == FIRN_STATE_OPEN && volume_over_share(v))
		i.state = FIRN_STATE_FULL;
	bool gone = v->detach_job;
	pthread_mutex_unlock(&v->lock);
	if (i.wal_bytes > v->engine->wal.opts.wal_bytes)
		i.wal_bytes = v->engine->wal.opts.wal_bytes;
	volume_leave(volume);
	return gone ? FIRN_ESHUTDOWN : put_sized(out, sizeof i, &i, sizeof i);
}

struct lister {
	struct engine *e;
	struct store *store;
	char *out;
	uint32_t size, max, n;
	struct firn_error *err;
	int rc;
};

static int read_entry(struct lister *l, const char *key)
{
	struct firn_volume_entry entry = { .name = { 0 } };
	struct manifest m;
	struct buf b;
	buf_init(&b, l->e->env);
	manifest_init(&m);
	int rc = store_get_all(l->store, key, MANIFEST_MAX_BYTES, &b, NULL, l->err);
	if (rc == FIRN_ENOENT)
		rc = 1;
	else if (!rc)
		rc = manifest_decode(l->e->env, b.data, b.len, &m, l->err);
	if (rc < 0)
		(void)fail_context(l->err, rc, "%s", key);
	if (!rc && m.state != MANIFEST_DESTROYED) {
		(void)snprintf(entry.name, sizeof entry.name, "%s", m.name);
		entry.epoch = m.epoch;
		entry.seq = m.seq;
		entry.rev_stored = m.rev_stored;
		entry.rev_durable = m.rev_durable;
		entry.last_commit_ms = m.committed_ms;
		entry.state = m.state == MANIFEST_CLEAN ? FIRN_VOLUME_CLEAN : FIRN_VOLUME_DIRTY;
		uint64_t n_segments, bytes;
		manifest_totals(&m, &n_segments, &bytes);
		entry.n_segments = n_segments < UINT32_MAX ? (uint32_t)n_segments : UINT32_MAX;
		entry.bytes = bytes;
		char *to = l->out + (size_t)l->n++ * l->size;
		memset(to, 0, l->size);
		memcpy(to, &entry, sizeof entry);
	}
	manifest_fini(&m, l->e->env);
	buf_fini(&b);
	return rc < 0 ? rc : 0;
}

static int each_key(void *arg, const char *key, uint64_t size)
{
	(void)size;
	struct lister *l = arg;
	size_t len = strlen(key);
	if (len < 10 || strcmp(key + len - 9, "/manifest") != 0)
		return 0;
	l->rc = read_entry(l, key);
	return l->rc || l->n == l->max;
}

int firn_volume_list(struct firn_engine *engine, const char *store, const char *after,
                     struct firn_volume_entry *out, uint32_t entry_size, uint32_t max,
                     struct firn_error *err)
{
	struct engine *e = engine_of(engine);
	struct firn_error mine = { .struct_size = sizeof mine };
	err = err ? err : &mine;
	if (!e || !store || !out || entry_size < sizeof *out)
		return fail(err, FIRN_EINVAL, 0, "list", "engine, store, out or entry_size");
	struct lister l = {
		.e = e, .out = (char *)out, .size = entry_size, .max = max, .err = err
	};
	char from[400] = "";
	if (after && after[0])
		(void)snprintf(from, sizeof from, "%s/manifest", after);
	int rc = store_open(e->env, store, &l.store, err);
	if (rc)
		return rc;
	totals_join(&e->stores, l.store);
	rc = max ? store_list(l.store, "", from, each_key, &l, err) : 0;
	store_close(l.store);
	return l.rc ? l.rc : rc < 0 ? rc : (int)l.n;
}

int firn_volume_open(struct firn_engine *engine, const char *store, const char *name,
                     struct firn_volume **out, struct firn_error *err)
{
	struct firn_attach a = FIRN_ATTACH_INIT;
	struct firn_event ev;
	if (!out)
		return fail(err, FIRN_EINVAL, 0, "attach", "out is NULL");
	*out = NULL;
	a.req.timeout_ms = FIRN_FOREVER;
	a.store = store;
	a.name = name;
	a.attach_flags = FIRN_ATTACH_CREATE;
	int rc = firn_engine_call(engine, &a.req, &ev, err);
	const struct firn_attached *r = rc ? NULL : ev.result;
	if (r)
		*out = r->volume;
	firn_release(ev.result);
	return rc;
}

int firn_volume_close(struct firn_volume *volume, struct firn_error *err)
{
	if (!volume)
		return 0;
	struct firn_detach d = FIRN_DETACH_INIT;
	struct firn_event ev;
	d.req.timeout_ms = FIRN_FOREVER;
	d.volume = volume;
	d.mode = FIRN_DETACH_KEEP_WAL;
	int rc = firn_engine_call((struct firn_engine *)(void *)volume->engine, &d.req, &ev, err);
	firn_release(ev.result);
	return rc;
}

uint32_t firn_version(void)
{
	return FIRN_VERSION_MAJOR << 16 | FIRN_VERSION_MINOR << 8 | FIRN_VERSION_PATCH;
}
