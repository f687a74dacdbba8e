/* Sweeps of logs in a store, see logs.h. Lock: short moments of the engine's; none while a store works. */
#include "engine/gc/logs.h"
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/gc/open_logs.h"
#include "engine/gc/sweep.h"
#include "engine/gc/volumes.h"
#include "engine/upload/upload.h"
#include "engine/wal/slots.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VOLUMES_MAX = 4096, PREFIX_LEN = 43 /* ".firn-wal/", 32 digits, '/' */ };

struct seen_volume {
	uint8_t id[16];
	uint64_t rev_first, rev_last; /* of what lies there of it */
	bool found;                   /* its manifest, which has all of that in segments */
};

/* One log. */
struct dead_log {
	struct volume *v;
	const struct firn_env *env;
	struct store *store; /* of the logs */
	char prefix[PREFIX_LEN + 1];
	uint8_t id[16];
	uint64_t *slot; /* of what is not a seal; they rise */
	size_t n_slot, cap_slot;
	uint64_t *seal; /* of what is as short as one */
	size_t n_seal, cap_seal;
	uint64_t
	        end; /* the lowest seal of a taker, or a sweep's behind all slots; UINT64_MAX: none */
	struct seen_volume *volume;
	size_t n_volume, cap_volume;
	bool named, failed;
	struct store *volumes; /* whose manifests are read now */
	struct firn_error *err;
};

bool logs_sweep_begin(struct engine *e)
{
	struct wal *w = &e->wal;
	uint64_t now = e->env->mono_ns(e->env->ctx);
	if (!w->slots)
		return false;
	pthread_mutex_lock(&w->lock);
	bool due = now >= w->slots->sweep_ns;
	if (due) {
		w->slots->sweep_ns = now + SWEEP_EVERY_NS;
		open_logs_begin(&e->open_logs);
	}
	pthread_mutex_unlock(&w->lock);
	return due;
}

static int push(struct dead_log *l, uint64_t **array, size_t *n, size_t *cap, uint64_t value)
{
	void *p = *array;
	if (mem_grow(l->env, &p, cap, *n, *n + 1, sizeof value))
		return FIRN_ENOMEM;
	*array = p;
	(*array)[(*n)++] = value;
	return 0;
}

/* ---- its slots ---- */

struct listing {
	struct dead_log *l;
	char *after;
	bool other; /* a key of the next log ended it */
};

static int take_key(void *arg, const char *key, uint64_t size)
{
	struct listing *g = arg;
	struct dead_log *l = g->l;
	uint64_t slot;
	uint8_t id[16];
	bool ours = slots_key_parse(key, id, &slot); /* else it is none of ours, and left alone */
	bool next = ours && l->prefix[0] && strncmp(key, l->prefix, PREFIX_LEN) != 0;
	if (next && l->n_slot)
		return g->other = true;
	if (next) /* seals alone: most of what is old */
		l->n_seal = 0;
	(void)snprintf(g->after, 400, "%s", key);
	if (!ours)
		return 0;
	memcpy(l->prefix, key, PREFIX_LEN);
	memcpy(l->id, id, 16);
	int rc = size == SLOTS_HEAD ? push(l, &l->seal, &l->n_seal, &l->cap_seal, slot)
	                            : push(l, &l->slot, &l->n_slot, &l->cap_slot, slot);
	return rc ? fail(l->err, rc, 0, "gc", "no memory for a sweep") : 0;
}

static uint64_t last_slot(const struct dead_log *l)
{
	return l->slot[l->n_slot - 1];
}

/* A slot of a log is never as short as a seal. */
static int find_end(struct dead_log *l, struct buf *b)
{
	l->end = UINT64_MAX;
	for (size_t i = 0; i < l->n_seal && l->end == UINT64_MAX; i++) {
		struct slots_head h;
		int rc = slots_read_head(l->store, l->id, l->seal[i], &h, b, l->err);
		if (rc && rc != FIRN_ENOENT)
			return rc;
		bool ends = !rc && h.kind == SLOTS_SEAL;
		if (ends && (!slots_seal_of_sweep(&h) || h.slot > last_slot(l)))
			l->end = h.slot;
	}
	return 0;
}

static int take_volume(struct dead_log *l, const struct slots_row *row)
{
	void *p = l->volume;
	for (size_t i = 0; i < l->n_volume; i++) {
		struct seen_volume *seen = &l->volume[i];
		if (memcmp(seen->id, row->id, 16) != 0)
			continue;
		seen->rev_last = row->rev_last > seen->rev_last ? row->rev_last : seen->rev_last;
		seen->rev_first = row->rev_first < seen->rev_first ? row->rev_first
		                                                   : seen->rev_first;
		return 0;
	}
	if (l->n_volume == VOLUMES_MAX)
		return fail(l->err, FIRN_ETOOBIG, 0, "gc", "%s: too many volumes", l->prefix);
	if (mem_grow(l->env, &p, &l->cap_volume, l->n_volume, l->n_volume + 1, sizeof *l->volume))
		return fail(l->err, FIRN_ENOMEM, 0, "gc", "no memory for a sweep");
	l->volume = p;
	struct seen_volume *seen = &l->volume[l->n_volume++];
	*seen = (struct seen_volume){ .rev_first = row->rev_first, .rev_last = row->rev_last };
	memcpy(seen->id, row->id, 16);
	return 0;
}

/* Whose writes lie below the seal: what stands behind it is in no log. */
static int find_volumes(struct dead_log *l, struct buf *b)
{
	int rc = 0;
	for (size_t i = 0; i < l->n_slot && l->slot[i] < l->end && !rc; i++) {
		struct slots_head h;
		if (volume_ends_now(l->v))
			return FIRN_ECANCELED;
		rc = slots_read_head(l->store, l->id, l->slot[i], &h, b, l->err);
		if (rc == FIRN_ENOENT) {
			rc = 0;
			continue;
		}
		for (uint32_t k = 0; !rc && k < h.n_volume; k++) {
			struct slots_row row;
			slots_row_get(b->data, k, &row);
			rc = take_volume(l, &row);
		}
	}
	return rc;
}

/* ---- the manifests ---- */

/* None of it was given up: that was never stored, and waits for a salvage. */
static bool all_stored(const struct manifest *m, const struct seen_volume *seen)
{
	bool all = m->rev_stored >= seen->rev_last;
	for (uint32_t i = 0; i < m->n_lost && all; i++) {
		const struct lost_entry *lost = &m->lost[i];
		all = seen->rev_last <= lost->rev_stored ||
		      seen->rev_first > lost->rev_stored + lost->rev_skip;
	}
	return all;
}

static int look_at_manifest(void *arg, const char *name)
{
	struct dead_log *l = arg;
	struct manifest m;
	struct buf b;
	char key[400];
	if (volume_ends_now(l->v))
		return FIRN_ECANCELED;
	buf_init(&b, l->env);
	manifest_init(&m);
	int rc = manifest_key(name, key, sizeof key);
	if (rc) { /* no volume's */
		rc = 0;
		goto out;
	}
	rc = store_get_all(l->volumes, key, MANIFEST_MAX_BYTES, &b, NULL, l->err);
	rc = rc ? rc : manifest_decode(l->env, b.data, b.len, &m, l->err);
	for (uint32_t i = 0; !rc && i < m.n_log; i++)
		l->named |= m.log[i].kind == MANIFEST_LOG_STORE && !memcmp(m.log[i].id, l->id, 16);
	for (size_t i = 0; !rc && i < l->n_volume; i++)
		l->volume[i].found |= !memcmp(l->volume[i].id, m.volume_id, 16) &&
		                      all_stored(&m, &l->volume[i]);
out:
	manifest_fini(&m, l->env);
	buf_fini(&b);
	return rc ? rc : l->named;
}

/* One that cannot be read may name it. */
static int look_at_store(struct dead_log *l, const char *uri)
{
	int rc = store_open(l->env, uri, &l->volumes, l->err);
	if (rc)
		return rc;
	rc = volumes_each(l->volumes, look_at_manifest, l, l->err);
	store_close(l->volumes);
	return rc < 0 ? rc : 0;
}

/* The stores of the volumes that are attached here; one of them at a time, since the list may change. */
static char *next_store(struct engine *e, uint32_t i)
{
	struct uploader *u = &e->uploads;
	char *uri = NULL;
	pthread_mutex_lock(&u->lock);
	struct upload_lane *lane = u->lanes;
	for (; lane && i; i--)
		lane = lane->next;
	if (lane)
		uri = mem_dup(e->env, lane->uri, strlen(lane->uri) + 1);
	pthread_mutex_unlock(&u->lock);
	return uri;
}

static int find_manifests(struct dead_log *l)
{
	struct engine *e = l->v->engine;
	l->volumes = l->store; /* volumes that lie beside the log; this handle stays */
	int rc = volumes_each(l->volumes, look_at_manifest, l, l->err);
	rc = rc < 0 ? rc : 0;
	char *uri;
	for (uint32_t i = 0; !rc && !l->named && (uri = next_store(e, i)) != NULL; i++) {
		rc = look_at_store(l, uri);
		mem_free(l->env, uri);
	}
	return rc;
}

static bool all_found(const struct dead_log *l)
{
	for (size_t i = 0; i < l->n_volume; i++)
		if (!l->volume[i].found)
			return false;
	return true;
}

/* ---- it is over ---- */

static int delete_slots(struct dead_log *l, uint64_t *n)
{
	int rc = 0;
	for (size_t i = l->n_slot; i-- > 0 && !rc;) {
		char key[SLOTS_KEY_MAX];
		if (volume_ends_now(l->v))
			return FIRN_ECANCELED;
		slots_key(l->id, l->slot[i], key);
		rc = store_delete(l->store, key, l->err);
		*n += !rc;
	}
	return rc;
}

/* Behind what is there nothing is to be added, whoever may still write. */
static int make_end(struct dead_log *l)
{
	char text[160];
	int rc = open_logs_seal(l->store, l->env, l->id, last_slot(l), l->err);
	if (rc)
		return rc == FIRN_ECONFLICT ? 0 : rc; /* it moved: another time */
	(void)snprintf(text, sizeof text, "%s: nobody needs it: sealed at %llu", l->prefix,
	               (unsigned long long)last_slot(l) + 1);
	engine_log(l->v->engine, FIRN_LOG_INFO, "gc", NULL, text);
	return 0;
}

static int judge(struct dead_log *l, uint64_t *n)
{
	struct engine *e = l->v->engine;
	struct slots_now own;
	struct buf b;
	slots_now(&e->wal, &own);
	if (!l->n_slot || !memcmp(own.id, l->id, 16))
		return 0;
	buf_init(&b, l->env);
	int rc = find_end(l, &b);
	bool open = l->end == UINT64_MAX;
	bool look = !rc && (!open || open_logs_look(&e->open_logs, l->env, l->id, last_slot(l)));
	if (look)
		rc = find_volumes(l, &b);
	buf_fini(&b);
	rc = rc || !look ? rc : find_manifests(l);
	if (rc || !look || l->named || !all_found(l))
		return rc;
	return open ? make_end(l) : delete_slots(l, n);
}

/* What fails says nothing of the volume whose turn it is: the log waits for another sweep. */
static int later(const struct dead_log *l, int rc)
{
	if (rc == 0 || rc == FIRN_ECANCELED)
		return rc;
	(void)fail_context(l->err, rc, "sweep of %s", l->prefix[0] ? l->prefix : ".firn-wal/");
	engine_log(l->v->engine, FIRN_LOG_WARN, "gc", NULL, l->err->text);
	l->err->code = 0;
	return 0;
}

int logs_sweep(struct volume *v, char *after, bool *more, uint64_t *n, struct firn_error *err)
{
	struct dead_log l = {
		.v = v, .env = v->engine->env, .store = v->engine->wal.slots->store, .err = err
	};
	struct listing g = { .l = &l, .after = after };
	int rc = store_list(l.store, ".firn-wal/", after, take_key, &g, err);
	*more = g.other;
	rc = later(&l, rc < 0 ? rc : judge(&l, n));
	mem_free(l.env, l.slot);
	mem_free(l.env, l.seal);
	mem_free(l.env, l.volume);
	return rc;
}
