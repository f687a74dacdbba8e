/* Sweeps of heartbeats and of what probes left, see left.h. Lock: uploader.lock for short moments, none while the store works. */
#include "engine/gc/left.h"
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/base/sum.h"
#include "engine/gc/sweep.h"
#include "engine/upload/upload.h"
#include "engine/wal/slots.h"
#include <stdio.h>
#include <string.h>

enum { KEY_MAX = 80, BODY_MAX = 4096, HEX = 32 };

static const struct kind {
	const char *prefix, *begins; /* of the key, of what is in it */
	bool tail;                   /* "-race0" behind the hex digits */
} kinds[] = {
	{ ".firn-beat/", "firn heartbeat ", false },
	{ ".firn-probe/", "firn probe", true },
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

struct left_key {
	const struct kind *kind;
	uint64_t sum;
	char key[KEY_MAX];
};

struct left_list {
	uint32_t n;
	char after[KINDS][KEY_MAX]; /* the last key that was looked at; "": from the first */
	struct left_key key[KINDS * LEFT_KEYS];
};

void left_free(struct leftovers *l, const struct firn_env *env)
{
	mem_free(env, l->list);
	l->list = NULL;
}

struct left {
	struct volume *v;
	struct store *store;
	struct left_list *list;
	struct firn_error *err;
	uint64_t n_gone;
};

/* FIRN_ENOENT: it is not there, or none of ours. */
static int sum_of(struct left *l, const struct left_key *k, uint64_t *sum)
{
	struct buf b;
	buf_init(&b, l->v->engine->env);
	int rc = store_get_all(l->store, k->key, BODY_MAX, &b, NULL, l->err);
	size_t len = strlen(k->kind->begins);
	if (rc == FIRN_ETOOBIG || (!rc && (b.len < len || memcmp(b.data, k->kind->begins, len))))
		rc = FIRN_ENOENT;
	*sum = rc ? 0 : sum64(b.data, b.len);
	buf_fini(&b);
	return rc;
}

/* ---- those of the sweep before ---- */

static int look_again(struct left *l)
{
	for (; l->list->n; l->list->n--) {
		const struct left_key *k = &l->list->key[l->list->n - 1];
		uint64_t sum;
		if (volume_ends_now(l->v))
			return FIRN_ECANCELED;
		int rc = sum_of(l, k, &sum);
		bool same = !rc && sum == k->sum;
		rc = rc == FIRN_ENOENT ? 0 : rc;
		if (same)
			rc = store_delete(l->store, k->key, l->err);
		if (rc)
			return rc;
		l->n_gone += same;
	}
	return 0;
}

/* ---- those for the next ---- */

static bool is_ours(const struct kind *kind, const char *key)
{
	const char *at = key + strlen(kind->prefix);
	if (strlen(key) >= KEY_MAX || strspn(at, "0123456789abcdef") != HEX)
		return false;
	return kind->tail ? at[HEX] == '-' : !at[HEX];
}

struct listing {
	struct left_list *list;
	uint32_t kind, n;
};

static int take_key(void *arg, const char *key, uint64_t size)
{
	struct listing *g = arg;
	(void)size;
	if (!is_ours(&kinds[g->kind], key))
		return 0;
	struct left_key *k = &g->list->key[g->list->n++];
	k->kind = &kinds[g->kind];
	(void)snprintf(k->key, sizeof k->key, "%s", key);
	memcpy(g->list->after[g->kind], k->key, KEY_MAX);
	return ++g->n == LEFT_KEYS;
}

static int list_kind(struct left *l, uint32_t kind)
{
	struct listing g = { .list = l->list, .kind = kind };
	char after[KEY_MAX];
	memcpy(after, l->list->after[kind], sizeof after);
	int rc = store_list(l->store, kinds[kind].prefix, after, take_key, &g, l->err);
	if (!rc) /* to the end: the next time from the first */
		l->list->after[kind][0] = 0;
	return rc < 0 ? rc : 0;
}

static int note(struct left *l)
{
	struct left_list *list = l->list;
	int rc = 0;
	for (uint32_t kind = 0; kind < KINDS && !rc; kind++)
		rc = list_kind(l, kind);
	uint32_t n = list->n, kept = 0;
	for (uint32_t i = 0; i < n && !rc; i++) {
		struct left_key *k = &list->key[i];
		rc = volume_ends_now(l->v) ? FIRN_ECANCELED : sum_of(l, k, &k->sum);
		if (!rc)
			list->key[kept++] = *k;
		rc = rc == FIRN_ENOENT ? 0 : rc;
	}
	list->n = rc ? 0 : kept; /* else they would be looked at again at once */
	return rc;
}

/* ---- a store ---- */

static bool begin(struct left *l, struct leftovers *of)
{
	struct engine *e = l->v->engine;
	uint64_t now = e->env->mono_ns(e->env->ctx);
	pthread_mutex_lock(&e->uploads.lock);
	bool may = !of->busy && now >= of->due_ns;
	if (may && !of->list)
		of->list = mem_zalloc(e->env, sizeof *of->list);
	may = may && of->list;
	of->busy |= may;
	l->list = of->list;
	pthread_mutex_unlock(&e->uploads.lock);
	return may;
}

static void end(struct left *l, struct leftovers *of, bool done)
{
	struct engine *e = l->v->engine;
	uint64_t now = e->env->mono_ns(e->env->ctx);
	pthread_mutex_lock(&e->uploads.lock);
	of->busy = false;
	of->due_ns = done ? now + SWEEP_EVERY_NS : of->due_ns;
	pthread_mutex_unlock(&e->uploads.lock);
}

static int of_store(struct left *l, struct leftovers *of)
{
	if (!begin(l, of))
		return 0;
	int rc = look_again(l);
	rc = rc ? rc : note(l);
	end(l, of, !rc);
	return rc;
}

int left_sweep(struct volume *v, uint64_t *n, struct firn_error *err)
{
	struct engine *e = v->engine;
	struct left l = { .v = v, .store = v->store, .err = err };
	struct slots *s = e->wal.slots;
	int rc = of_store(&l, &v->lane->left);
	if (!rc && s && strcmp(s->uri, store_uri_shown(v->store)) != 0) {
		l.store = s->store;
		rc = of_store(&l, &e->uploads.left_of_log);
	}
	*n += l.n_gone;
	return rc;
}
