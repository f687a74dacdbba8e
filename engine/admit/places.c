/* Lists of where un-stored batches lie, kept within their share of memory: what is old leaves them, and is
 * found in the directories of the WAL from then on.
 *
 *   stream.tail:   (stored ... evicted: wal_find) | e e e e e     ring: recent groups
 *   volume.group:  (stored ... evicted: wal_find) | g g g g g
 *
 * An entry may go as soon as its group is durable: whether a directory tells of it already decides how long
 * a look takes, not what it finds. So an outage costs disk, and memory stays what it is (P7, PROTOCOL 5). */
#include "engine/api/engine.h"
#include "engine/base/mem.h"
#include "engine/wal/aside.h"
#include <string.h>

/* A ring of n elements of `elem` bytes in as little room as will do. Without memory it stays as it is. */
static void ring_fit(struct volume *v, void **array, uint32_t *cap, uint32_t *head, uint32_t n,
                     size_t elem)
{
	uint32_t fit = n ? 4 : 0;
	while (fit && fit < n + n / 2)
		fit *= 2;
	if (fit >= *cap)
		return;
	char *to = fit ? mem_alloc(v->engine->env, fit * elem) : NULL;
	if (fit && !to)
		return;
	for (uint32_t i = 0; i < n; i++)
		memcpy(to + i * elem, (char *)*array + ((*head + i) & (*cap - 1)) * elem, elem);
	mem_free(v->engine->env, *array);
	volume_charge(v, -(int64_t)((*cap - fit) * elem));
	*array = to;
	*cap = fit;
	*head = 0;
}

static void stream_evict(struct volume *v, struct stream *s, uint64_t below)
{
	uint32_t had = s->tail_n;
	while (s->tail_n && wal_order(stream_tail_at(s, 0)->lsn) < wal_order(below)) {
		s->tail_head = (s->tail_head + 1) & (s->tail_cap - 1);
		s->tail_n--;
		s->tail_old = true;
	}
	void *tail = s->tail;
	if (s->tail_n != had || !s->tail_n)
		ring_fit(v, &tail, &s->tail_cap, &s->tail_head, s->tail_n, sizeof *s->tail);
	s->tail = tail;
}

void volume_evict(struct volume *v, uint64_t below)
{
	struct stream *s;
	for (uint32_t at = 0; (s = map_next(&v->streams, &at)) != NULL;)
		stream_evict(v, s, below);
	while (v->group_n && wal_order(v->group[v->group_head].lsn) < wal_order(below)) {
		const struct volume_group *g = &v->group[v->group_head];
		if (!v->group_old) {
			v->old_lsn = g->lsn;
			v->old_ms = g->append_ms;
		}
		v->group_old = true;
		v->group_head = (v->group_head + 1) & (v->group_cap - 1);
		v->group_n--;
	}
	void *group = v->group;
	ring_fit(v, &group, &v->group_cap, &v->group_head, v->group_n, sizeof *v->group);
	v->group = group;
}

bool places_over(const struct engine *e)
{
	return atomic_load_explicit(&e->account->place_bytes, memory_order_relaxed) >
	       e->memory_bytes / 16;
}

int places_step(struct engine *e)
{
	if (!places_over(e))
		return 0;
	uint64_t n_ranges, below = wal_recent(&e->wal, &n_ranges);
	if (n_ranges == e->places_seen) /* nothing has grown old since */
		return 0;
	e->places_seen = n_ranges;
	pthread_rwlock_rdlock(&e->volumes_lock);
	for (uint32_t i = 0; i < e->n_volume; i++) {
		struct volume *v = e->volume[i];
		pthread_mutex_lock(&v->lock);
		volume_evict(v, below);
		pthread_mutex_unlock(&v->lock);
	}
	pthread_rwlock_unlock(&e->volumes_lock);
	return 1;
}

int aside_step(struct engine *e)
{
	if (!wal_aside_step(&e->wal))
		return 0;
	while (wal_recycle(&e->wal))
		;
	engine_room(e);
	return 1;
}

void places_forget(struct engine *e, uint32_t volume_no, uint64_t below)
{
	pthread_rwlock_rdlock(&e->volumes_lock);
	for (uint32_t i = 0; i < e->n_volume; i++) {
		struct volume *v = e->volume[i];
		pthread_mutex_lock(&v->lock);
		if (v->volume_no == volume_no && !v->read_only)
			volume_evict(v, below);
		pthread_mutex_unlock(&v->lock);
	}
	pthread_rwlock_unlock(&e->volumes_lock);
}

int volumes_storing(struct engine *e, uint32_t **no, uint32_t *n)
{
	pthread_rwlock_rdlock(&e->volumes_lock);
	*n = 0;
	*no = mem_alloc(e->env, (e->n_volume + 1) * sizeof **no);
	for (uint32_t i = 0; *no && i < e->n_volume; i++) {
		struct volume *v = e->volume[i];
		pthread_mutex_lock(&v->lock);
		if (!v->read_only && !v->stopped && !v->retry_n && v->state != FIRN_STATE_FENCED)
			(*no)[(*n)++] = v->volume_no;
		pthread_mutex_unlock(&v->lock);
	}
	pthread_rwlock_unlock(&e->volumes_lock);
	return *no ? 0 : FIRN_ENOMEM;
}

bool volume_unstored(const struct volume *v)
{
	return v->group_old || v->group_n;
}

uint64_t volume_oldest_lsn(const struct volume *v)
{
	return v->group_old ? v->old_lsn : v->group_n ? v->group[v->group_head].lsn : UINT64_MAX;
}

int64_t volume_oldest_ms(const struct volume *v)
{
	return v->group_old ? v->old_ms : v->group_n ? v->group[v->group_head].append_ms : 0;
}

bool volume_group_with(const struct volume *v, uint64_t rev, struct volume_group *out)
{
	uint32_t lo = 0, hi = v->group_n; /* the first that ends at rev or above */
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (v->group[(v->group_head + mid) & (v->group_cap - 1)].rev_last < rev)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == v->group_n)
		return false;
	*out = v->group[(v->group_head + lo) & (v->group_cap - 1)];
	return out->rev_first <= rev;
}
