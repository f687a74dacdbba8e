/* Admission's side of the WAL: room in the group that gathers. The caller copies outside the lock.
 *
 *   filling --full, or taken by the writer--> closed list --> wal_step
 *
 * Full is decided here, before anything is assigned: memory (bytes not yet durable) and room in
 * files that exist already, so a group that was admitted always has a place on the disk. */
#include "engine/admit/volume.h"
#include "engine/base/le.h"
#include "engine/base/mem.h"
#include "engine/wal/aside.h"
#include "engine/wal/group_list.h"

enum { TABLE_ROOM = 64 << 10 }; /* of every file, at least this is kept for header and table */

static uint64_t places_of(uint32_t n_ops)
{
	return (n_ops + UINT64_C(1)) * WAL_PLACE_CHARGE;
}

/* What is left of a file behind its header and a table of any size (a quarter, table.c); and what fits_alone()
 * keeps. */
static uint64_t file_room(const struct wal *w)
{
	return w->opts.file_bytes - w->opts.file_bytes / 4 - 2u * TABLE_ROOM;
}

uint32_t wal_record_max(const struct wal *w, uint32_t n_ops)
{
	uint64_t max = w->opts.file_bytes / 2, room = file_room(w), places = places_of(n_ops);
	room = room > places ? room - places : 0;
	if (max > room)
		max = room;
	if (max > w->opts.pending_bytes)
		max = w->opts.pending_bytes;
	return max > BATCH_PAYLOAD_MAX + (1u << 20) ? BATCH_PAYLOAD_MAX + (1u << 20)
	                                            : (uint32_t)max;
}

/* Bytes that can still be written whatever the sizes of the groups: every file may waste one group, and
 * what its directories are rounded up to. Places count as bytes of the group they tell of. */
static uint64_t room_locked(const struct wal *w, uint64_t largest, bool control)
{
	uint64_t table = w->table_bytes + 2 * WAL_PAGE;
	uint64_t waste = largest + (table > TABLE_ROOM ? table : TABLE_ROOM) + WAL_DIRECTORY_WASTE;
	uint64_t used = w->pos + w->place_bytes + waste;
	uint64_t here = w->opts.file_bytes > used ? w->opts.file_bytes - used : 0;
	uint32_t spares = w->n_spare;
	if (!control)
		spares = spares ? spares - 1 : 0;
	return here + spares * (w->opts.file_bytes > waste ? w->opts.file_bytes - waste : 0);
}

uint32_t wal_files_max(const struct wal *w)
{
	uint64_t bytes = w->opts.wal_bytes > w->aside_bytes ? w->opts.wal_bytes - w->aside_bytes
	                                                    : 0;
	return (uint32_t)(bytes / w->opts.file_bytes);
}

/* The last one, too, of which users get none: the move gives a file back, and without it nobody goes on. */
bool wal_spare_idle(const struct wal *w)
{
	struct wal less = { .opts = w->opts,
		            .pos = w->pos,
		            .place_bytes = w->place_bytes,
		            .table_bytes = w->table_bytes,
		            .n_spare = w->n_spare - 1 };
	return w->n_spare && room_locked(&less, w->opts.group_bytes, false) >= w->pending;
}

uint64_t wal_free_bytes(struct wal *w)
{
	pthread_mutex_lock(&w->lock);
	uint32_t max = wal_files_max(w);
	uint64_t unmade = max > w->n_file + w->n_spare && !w->no_room ? max - w->n_file - w->n_spare
	                                                              : 0;
	uint64_t free_bytes = room_locked(w, w->opts.group_bytes, false) +
	                      unmade * w->opts.file_bytes;
	free_bytes = free_bytes > w->pending ? free_bytes - w->pending : 0;
	pthread_mutex_unlock(&w->lock);
	return free_bytes;
}

uint64_t wal_used_bytes(struct wal *w)
{
	pthread_mutex_lock(&w->lock);
	uint64_t used = w->n_file ? (w->n_file - 1) * w->opts.file_bytes + w->pos + w->aside_bytes
	                          : 0;
	pthread_mutex_unlock(&w->lock);
	return used;
}

static void close_filling(struct wal *w)
{
	struct wal_group *g = w->filling;
	w->filling = NULL;
	g->closed = true;
	g->chunk->used = (uint32_t)align_up((uint64_t)(g->data - g->chunk->data) + g->used,
	                                    WAL_PAGE);
	if (w->closed_last)
		w->closed_last->next = g;
	else
		w->closed_first = g;
	w->closed_last = g;
}

/* The writer takes what has gathered. */
struct wal_group *wal_group_take(struct wal *w)
{
	if (!w->closed_first && w->filling)
		close_filling(w);
	struct wal_group *g = w->closed_first;
	if (!g)
		return NULL;
	w->closed_first = g->next;
	if (!w->closed_first)
		w->closed_last = NULL;
	g->next = NULL;
	return g;
}

void wal_group_free(struct wal *w, struct wal_group *g)
{
	if (!g)
		return;
	wal_chunk_release(g->chunk);
	mem_free(w->env, g->span);
	mem_free(w->env, g);
}

/* A group on what is left of the newest chunk, or on a new one. */
struct wal_group *wal_group_begin(struct wal *w, uint32_t len)
{
	struct wal_group *g = mem_zalloc(w->env, sizeof *g);
	if (!g)
		return NULL;
	uint64_t need = align_up((uint64_t)WAL_GROUP_HEADER + len, WAL_PAGE);
	struct wal_chunk *c = w->chunk;
	if (!c || c->cap - c->used < need) {
		uint64_t cap = need > w->opts.chunk_bytes ? need : w->opts.chunk_bytes;
		c = wal_chunk_new(w->account, cap);
		if (!c) {
			mem_free(w->env, g);
			return NULL;
		}
		wal_chunk_release(w->chunk);
		w->chunk = c;
	}
	wal_chunk_retain(c);
	g->chunk = c;
	g->data = c->data + c->used;
	uint64_t room = need > w->opts.group_bytes ? need : w->opts.group_bytes;
	g->room = (uint32_t)(room < c->cap - c->used ? room : c->cap - c->used);
	g->used = WAL_GROUP_HEADER;
	g->seq = ++w->group_seq;
	atomic_init(&g->n_filling, 0);
	return g;
}

static int span_add(struct wal *w, struct wal_group *g, struct volume *v, uint32_t volume_no,
                    uint64_t rev, uint32_t len)
{
	for (uint32_t i = g->n_span; i-- > 0;) {
		struct wal_span *s = &g->span[i];
		if (s->volume != v)
			continue;
		s->rev_last = rev;
		s->n_records++;
		s->bytes += len;
		return 0;
	}
	size_t cap = g->cap_span;
	void *span = g->span;
	if (mem_grow(w->env, &span, &cap, g->n_span, g->n_span + 1u, sizeof *g->span))
		return FIRN_ENOMEM;
	g->span = span;
	g->cap_span = (uint32_t)cap;
	struct wal_span *s = &g->span[g->n_span++];
	*s = (struct wal_span){ .volume = v,
		                .volume_no = volume_no,
		                .n_records = 1,
		                .rev_first = rev,
		                .rev_last = rev,
		                .bytes = len };
	memcpy(s->id, v->id, sizeof s->id);
	return 0;
}

/* Nothing else waits to be written: what counts is whether it fits, here or in the next file, not what groups of
 * any size may waste. By that count few and small files never have room for the largest record. A rest stays for
 * control records and idle groups: they would take the next file. */
static bool fits_alone(const struct wal *w, uint32_t len, uint64_t places, bool control)
{
	uint64_t need = wal_group_len(WAL_GROUP_HEADER + len) + places + 2 * WAL_DIRECTORY_WASTE;
	need += control ? 0 : TABLE_ROOM;
	return w->pos + w->place_bytes + need <= w->opts.file_bytes ||
	       (w->n_spare > !control &&
	        w->table_bytes + 4u * WAL_PAGE + need <= w->opts.file_bytes);
}

static int check_room(struct wal *w, uint32_t len, uint64_t places, bool control)
{
	if (w->poisoned || w->stopping)
		return w->poisoned ? FIRN_EIO : FIRN_ESHUTDOWN;
	if (!w->pending && fits_alone(w, len, places, control))
		return 0;
	uint64_t largest = len + 2ull * WAL_PAGE;
	if (largest < w->opts.group_bytes)
		largest = w->opts.group_bytes;
	if (w->pending && w->pending + len + places > w->opts.pending_bytes && !control)
		return FIRN_EFULL;
	/* Of a group that fills with small records a third is added by its places. */
	largest += places > largest / 2 ? places : largest / 2;
	if (w->pending + len + places + WAL_PAGE > room_locked(w, largest, control))
		return w->no_room ? FIRN_ENOSPC : FIRN_EFULL;
	return 0;
}

/* Half of the memory is free again: who was refused is not called for every group that ends. */
bool wal_has_room(struct wal *w, uint64_t len)
{
	pthread_mutex_lock(&w->lock);
	bool room = w->poisoned || w->stopping || len > wal_record_max(w, 1) ||
	            (w->pending <= w->opts.pending_bytes / 2 &&
	             !check_room(w, (uint32_t)len, WAL_PLACE_CHARGE, false));
	pthread_mutex_unlock(&w->lock);
	return room;
}

int wal_reserve(struct wal *w, uint32_t len, uint32_t n_ops, struct volume *volume,
                uint32_t volume_no, uint64_t rev, struct wal_slot *out)
{
	len = (uint32_t)align_up(len, 8);
	uint64_t places = volume ? places_of(n_ops) : 0;
	if (len > wal_record_max(w, volume ? n_ops : 0))
		return FIRN_ETOOBIG;
	pthread_mutex_lock(&w->lock);
	int rc = check_room(w, len, places, !volume);
	struct wal_group *g = w->filling;
	if (!rc && g && g->used + len > g->room) {
		close_filling(w);
		g = NULL;
	}
	bool fresh = !rc && !g;
	if (fresh) {
		g = wal_group_begin(w, len);
		rc = g ? 0 : FIRN_ENOMEM;
	}
	if (!rc && volume)
		rc = span_add(w, g, volume, volume_no, rev, len);
	if (rc) {
		if (fresh)
			wal_group_free(w, g);
		pthread_mutex_unlock(&w->lock);
		return rc;
	}
	w->filling = g;
	out->group = g;
	out->pos = g->used;
	g->used += len;
	g->n_records++;
	uint64_t charge = len + places + (fresh ? WAL_PAGE : 0u);
	g->places += places;
	g->charged += charge;
	w->pending += charge;
	atomic_fetch_add_explicit(&g->n_filling, 1, memory_order_relaxed);
	if (g->used + WAL_PAGE > g->room)
		close_filling(w);
	out->wake = w->waiting || (w->gather_n && (w->closed_first || g->n_records >= w->gather_n));
	pthread_mutex_unlock(&w->lock);
	return 0;
}

void wal_filled(struct wal *w, struct wal_slot *slot)
{
	atomic_fetch_sub_explicit(&slot->group->n_filling, 1, memory_order_release);
	if (slot->wake)
		pthread_cond_signal(&w->work);
}
