/* Sweeps, see sweep.h. Lock: volume.lock for short moments; none while the store works or the index is read. */
#include "engine/gc/sweep.h"
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/gc/left.h"
#include "engine/gc/logs.h"
#include "engine/upload/upload.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sweep {
	bool layers; /* the second part of the walk */
	bool left;   /* the third, of what engines leave in a store */
	bool logs;   /* the fourth, of logs in a store */
	bool more;   /* behind `after` there are keys */
	bool told;
	char after[400]; /* the last key that was looked at */
	uint64_t n_gone, n_left, n_slot, next_segment;
	uint32_t n; /* nobody names these, of the last page */
	struct segment_id id[SWEEP_PAGE];
};

/* Volume locked. */
bool sweep_due(struct volume *v, uint64_t now_ns)
{
	uint64_t grace = (uint64_t)v->engine->options.delete_grace_ms * 1000000u;
	if (!v->sweep_at_ns)
		v->sweep_at_ns = now_ns + grace;
	return now_ns >= v->sweep_at_ns &&
	       (v->sweep || !v->swept_to || v->next_segment != v->swept_to);
}

void sweep_free(struct volume *v)
{
	mem_free(v->engine->env, v->sweep);
	v->sweep = NULL;
}

static struct sweep *begin(struct volume *v)
{
	if (v->sweep)
		return v->sweep;
	struct sweep *s = mem_zalloc(v->engine->env, sizeof *s);
	if (!s)
		return NULL;
	pthread_mutex_lock(&v->lock);
	s->next_segment = v->next_segment;
	v->sweep = s;
	pthread_mutex_unlock(&v->lock);
	return s;
}

/* Locked: all of this epoch below it is committed, or never will be. */
static uint64_t lowest_on_its_way(const struct volume *v)
{
	uint64_t n = v->next_segment;
	if (v->building && v->build_first < n)
		n = v->build_first;
	if (v->layer_first && v->layer_first < n)
		n = v->layer_first;
	for (uint32_t i = 0; i < v->n_round; i++)
		for (uint32_t k = 0; k < v->round[i]->n_part; k++)
			if (v->round[i]->part[k].segment.id.n < n)
				n = v->round[i]->part[k].segment.id.n;
	return n;
}

static bool manifest_names(const struct manifest *m, struct segment_id id, bool layer)
{
	return manifest_has(m, id, layer) || manifest_find_dead(m, id, layer);
}

/* ---- a page ---- */

struct page {
	struct sweep *s;
	uint64_t epoch, below; /* of keys of this epoch those with lower numbers */
	size_t prefix;         /* "<volume>/" */
	uint32_t n;
};

static int add_key(void *arg, const char *key, uint64_t size)
{
	struct page *p = arg;
	struct sweep *s = p->s;
	struct segment_id id;
	(void)size;
	(void)snprintf(s->after, sizeof s->after, "%s", key);
	const char *name = key + p->prefix;
	int rc = s->layers ? layer_key_parse(name, &id) : segment_key_parse(name, &id);
	bool judged = !rc && (id.epoch < p->epoch || (id.epoch == p->epoch && id.n < p->below));
	if (judged)
		s->id[s->n++] = id;
	s->more = ++p->n == SWEEP_PAGE;
	return s->more;
}

/* Segments that layers name have a row in the index. */
static int drop_named(struct volume *v, struct sweep *s, const struct manifest *m,
                      struct firn_error *err)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < s->n; i++) {
		struct index_segment row;
		if (manifest_names(m, s->id[i], s->layers))
			continue;
		int rc = s->layers ? FIRN_ENOENT
		                   : index_segment_get(v->engine->index, v->index_no, s->id[i],
		                                       &row, err);
		if (rc && rc != FIRN_ENOENT)
			return rc;
		if (rc)
			s->id[kept++] = s->id[i];
	}
	s->n = kept;
	return 0;
}

/* The bound and the manifest are of before the LIST: what is written meanwhile is above. */
static int list(struct volume *v, struct sweep *s, struct firn_error *err)
{
	char prefix[400];
	struct manifest m;
	struct page p = { .s = s, .prefix = strlen(v->name) + 1 };
	(void)snprintf(prefix, sizeof prefix, "%s/%s/", v->name, s->layers ? "layer" : "seg");
	pthread_mutex_lock(&v->lock);
	p.epoch = v->epoch;
	p.below = lowest_on_its_way(v);
	int rc = manifest_copy(&v->manifest, &m, v->engine->env);
	pthread_mutex_unlock(&v->lock);
	if (rc)
		return fail(err, rc, 0, "gc", "no memory for a sweep");
	s->more = false;
	rc = store_list(v->store, prefix, s->after, add_key, &p, err);
	rc = rc < 0 ? rc : drop_named(v, s, &m, err);
	if (rc)
		s->n = 0;
	manifest_fini(&m, v->engine->env);
	return rc;
}

/* ---- what nobody names ---- */

/* A commit takes a segment's row from the index before its manifest, with the dead list, is the volume's: so they are
 * looked for once more while none is on its way. 1: one is, later. */
static int look_again(struct volume *v, struct sweep *s, struct manifest *m, struct firn_error *err)
{
	pthread_mutex_lock(&v->lock);
	int rc = v->committing || v->commit;
	if (!rc && manifest_copy(&v->manifest, m, v->engine->env))
		rc = FIRN_ENOMEM;
	pthread_mutex_unlock(&v->lock);
	if (rc < 0)
		return fail(err, rc, 0, "gc", "no memory for a sweep");
	uint32_t kept = 0;
	for (uint32_t i = 0; i < s->n && !rc; i++)
		if (!manifest_names(m, s->id[i], s->layers))
			s->id[kept++] = s->id[i];
	s->n = rc ? s->n : kept;
	return rc;
}

/* Rows and candidates both rise. */
static int drop_of_run(struct volume *v, struct sweep *s, const struct manifest_layer *part,
                       uint32_t n_part, struct firn_error *err)
{
	struct layer_source *source;
	const struct layer_row *row = NULL;
	uint32_t kept = 0, at = 0;
	int rc = layer_source_run(v->engine->env, v->id, part, n_part, layers_fetch, v, &source,
	                          err);
	if (rc)
		return rc;
	while (!(rc = layer_source_next(source, &row, err)) && row) {
		if (row->kind != LAYER_SEGMENT)
			continue;
		while (at < s->n && segment_id_compare(s->id[at], row->u.segment.id) < 0)
			s->id[kept++] = s->id[at++];
		at += at < s->n && segment_id_equal(s->id[at], row->u.segment.id);
	}
	while (at < s->n)
		s->id[kept++] = s->id[at++];
	layer_source_close(source);
	s->n = rc ? s->n : kept;
	return rc;
}

/* The index lies on a local disk, and rots like one. Before a segment goes for want of a row there, the layers are asked. */
static int drop_layered(struct volume *v, struct sweep *s, const struct manifest *m,
                        struct firn_error *err)
{
	int rc = 0;
	s->n = (uint32_t)segment_ids_sort(s->id, s->n);
	for (uint32_t i = 0, k; !s->layers && s->n && i < m->n_layer && !rc; i += k) {
		k = layer_run_parts(m, i);
		rc = drop_of_run(v, s, &m->layer[i], k, err);
	}
	return rc;
}

/* Whoever was replaced, or whose store went backwards, deletes nothing. FIRN_EFENCED: the manifest is another's, or older;
 * 1: it has moved on, later. */
static int still_ours(struct volume *v, const struct manifest *m, struct firn_error *err)
{
	char key[400];
	struct buf b;
	struct manifest now;
	buf_init(&b, v->engine->env);
	manifest_init(&now);
	(void)manifest_key(v->name, key, sizeof key);
	int rc = store_get_all(v->store, key, MANIFEST_MAX_BYTES, &b, NULL, err);
	rc = rc ? rc : manifest_decode(v->engine->env, b.data, b.len, &now, err);
	if (!rc && (now.seq < m->seq || memcmp(now.nonce, m->nonce, sizeof now.nonce) != 0))
		rc = fail(err, FIRN_EFENCED, 0, "gc", "%s is another writer's", v->name);
	rc = rc ? rc : now.seq > m->seq;
	manifest_fini(&now, v->engine->env);
	buf_fini(&b);
	return rc;
}

static int check_header(struct volume *v, const struct sweep *s, struct segment_id id,
                        const char *key, struct firn_error *err)
{
	uint8_t head[SEGMENT_HEADER_LEN], *of = NULL;
	struct segment_meta sm;
	struct layer_meta lm;
	struct segment_id real = { 0 };
	size_t got = 0;
	_Static_assert((int)LAYER_HEADER_LEN == (int)SEGMENT_HEADER_LEN, "one buffer");
	int rc = store_get(v->store, key, 0, head, sizeof head, &got, err);
	if (!rc && got != sizeof head)
		rc = fail(err, FIRN_ECORRUPT, 0, "gc", "shorter than a header");
	if (!rc && s->layers && !(rc = layer_header_check(head, &lm, err))) {
		of = lm.volume_id;
		real = lm.id;
	} else if (!rc && !s->layers && !(rc = segment_header_check(head, &sm, err))) {
		of = sm.volume_id;
		real = sm.id;
	}
	if (!rc && (memcmp(of, v->id, sizeof v->id) != 0 || !segment_id_equal(real, id)))
		rc = fail(err, FIRN_ECORRUPT, 0, "gc", "it is of another volume");
	return rc;
}

/* An object that is not what its key says stays: whoever put it there may want it. */
static void leave_alone(struct volume *v, struct sweep *s, const char *key, struct firn_error *err)
{
	if (!s->told) {
		(void)fail_context(err, err->code, "%s is named by nobody and left alone", key);
		engine_log(v->engine, FIRN_LOG_WARN, "gc", v->name, err->text);
	}
	s->told = true;
}

static int delete (struct volume *v, struct sweep *s, struct firn_error *err)
{
	for (; s->n && !volume_ends_now(v); s->n--) {
		char key[OBJECT_KEY_MAX];
		struct segment_id id = s->id[s->n - 1];
		if (s->layers)
			layer_object_key(v->name, id, key);
		else
			segment_object_key(v->name, id, key);
		int rc = check_header(v, s, id, key, err);
		if (rc == FIRN_ECORRUPT || rc == FIRN_EUNSUPPORTED) {
			leave_alone(v, s, key, err);
			continue;
		}
		rc = rc ? rc : store_delete(v->store, key, err);
		if (rc && rc != FIRN_ENOENT)
			return fail_context(err, rc, "sweep %s", key);
		s->n_gone += !rc;
	}
	return 0;
}

static int page(struct volume *v, struct sweep *s, struct firn_error *err)
{
	if (s->logs)
		return logs_sweep(v, s->after, &s->more, &s->n_slot, err);
	if (s->left)
		return left_sweep(v, &s->n_left, err);
	int rc = s->n ? 0 : list(v, s, err);
	if (rc || !s->n)
		return rc;
	struct manifest m;
	manifest_init(&m);
	rc = look_again(v, s, &m, err);
	rc = rc || !s->n ? rc : drop_layered(v, s, &m, err);
	rc = rc || !s->n ? rc : still_ours(v, &m, err);
	rc = rc ? rc : delete (v, s, err);
	manifest_fini(&m, v->engine->env);
	return rc;
}

static void tell(struct volume *v, const struct sweep *s)
{
	char text[120];
	(void)snprintf(text, sizeof text, "a sweep deleted %llu objects that no commit had named",
	               (unsigned long long)s->n_gone);
	if (s->n_gone)
		engine_log(v->engine, FIRN_LOG_INFO, "gc", v->name, text);
	(void)snprintf(text, sizeof text, "a sweep deleted %llu heartbeats and keys of probes",
	               (unsigned long long)s->n_left);
	if (s->n_left)
		engine_log(v->engine, FIRN_LOG_INFO, "gc", NULL, text);
	(void)snprintf(text, sizeof text, "a sweep deleted %llu slots of logs that are over",
	               (unsigned long long)s->n_slot);
	if (s->n_slot)
		engine_log(v->engine, FIRN_LOG_INFO, "gc", NULL, text);
}

/* Locked: the page is done, or the whole sweep. */
static void move_on(struct volume *v, struct sweep *s)
{
	if (s->n || s->more)
		return;
	if (!s->layers) {
		s->layers = true;
		s->after[0] = 0;
		return;
	}
	if (!s->left) {
		s->left = true;
		return;
	}
	if (!s->logs && logs_sweep_begin(v->engine)) {
		s->logs = true;
		s->after[0] = 0;
		return;
	}
	const struct firn_env *env = v->engine->env;
	tell(v, s);
	v->swept_to = s->next_segment;
	v->sweep_at_ns = env->mono_ns(env->ctx) + SWEEP_EVERY_NS;
	sweep_free(v);
}

int sweep_run(struct volume *v)
{
	const struct firn_env *env = v->engine->env;
	struct firn_error err = { .struct_size = sizeof err };
	struct sweep *s = begin(v);
	int rc = s ? page(v, s, &err) : fail(&err, FIRN_ENOMEM, 0, "gc", "no memory for a sweep");
	if (rc == FIRN_ESTORE || rc == FIRN_ENOMEM)
		volume_retry(v, &err);
	else if (rc < 0 && rc != FIRN_EFENCED && rc != FIRN_ECANCELED)
		engine_log(v->engine, FIRN_LOG_WARN, "gc", v->name, err.text);
	pthread_mutex_lock(&v->lock);
	v->sweep_at_ns = env->mono_ns(env->ctx) + SWEEP_PAGE_NS;
	if (!rc)
		move_on(v, s);
	/* Not what waiting changes: the next attach tries again. */
	if (rc < 0 && rc != FIRN_ESTORE && rc != FIRN_ENOMEM)
		v->sweep_at_ns = UINT64_MAX;
	v->sweeping = false; /* from here on a detach may free the volume */
	pthread_mutex_unlock(&v->lock);
	return !rc;
}
