/* Where in its log a group lies, who may name the log, and what of it may so go.
 *
 * Notes are thinned out when there are many: a position that is too low is as good, and keeps slots a little longer. */
#include "engine/wal/slots.h"
#include "engine/base/mem.h"

static void now_locked(const struct slots *s, struct slots_now *out)
{
	*out = (struct slots_now){
		.log_no = s->log_no, .next = s->next, .acked = s->acked, .first_lsn = s->first_lsn
	};
	memcpy(out->id, s->log_id, 16);
}

void slots_now(struct wal *w, struct slots_now *out)
{
	pthread_mutex_lock(&w->lock);
	now_locked(w->slots, out);
	pthread_mutex_unlock(&w->lock);
}

void slots_note_add(struct slots *s, uint64_t lsn, uint64_t slot)
{
	if (s->n_note == SLOTS_NOTES) {
		for (uint32_t i = 0; i < SLOTS_NOTES / 2; i++)
			s->note[i] = s->note[(size_t)i * 2];
		s->n_note = SLOTS_NOTES / 2;
	}
	s->note[s->n_note++] = (struct slots_note){ lsn, slot };
}

uint64_t slots_position(struct wal *w, uint64_t lsn)
{
	const struct slots *s = w->slots;
	pthread_mutex_lock(&w->lock);
	uint32_t lo = 0, hi = s->n_note; /* the first note behind lsn */
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (s->note[mid].lsn <= lsn)
			lo = mid + 1;
		else
			hi = mid;
	}
	uint64_t slot = lo ? s->note[lo - 1].slot : 0;
	pthread_mutex_unlock(&w->lock);
	return slot;
}

static struct slots_member *find(struct slots *s, const uint8_t id[16])
{
	for (uint32_t i = 0; i < s->n_member; i++)
		if (!memcmp(s->member[i].id, id, 16))
			return &s->member[i];
	return NULL;
}

/* In one go with the look at `acked`: between the two a slot could be deleted that the manifest would name, and a seal fits
 * into a deleted slot (S2). */
int slots_join(struct wal *w, const uint8_t id[16], struct slots_now *out)
{
	struct slots *s = w->slots;
	int rc = 0;
	pthread_mutex_lock(&w->lock);
	now_locked(s, out);
	struct slots_member *m = find(s, id);
	if (!m) {
		void *p = s->member;
		rc = mem_grow(w->env, &p, &s->cap_member, s->n_member, s->n_member + (size_t)1,
		              sizeof *m);
		s->member = p;
		if (!rc) {
			m = &s->member[s->n_member++];
			memcpy(m->id, id, 16);
			m->position = s->acked;
		}
	}
	out->held = m ? m->position : 0;
	pthread_mutex_unlock(&w->lock);
	return rc ? FIRN_ENOMEM : 0;
}

void slots_settled(struct wal *w, uint64_t log_no, const uint8_t id[16], uint64_t position)
{
	struct slots *s = w->slots;
	pthread_mutex_lock(&w->lock);
	struct slots_member *m = s->log_no == log_no ? find(s, id)
	                                             : NULL; /* a sealed log loses none */
	if (m)
		m->position = position;
	if (s->deleted < slots_lowest(s))
		pthread_cond_signal(&s->put);
	pthread_mutex_unlock(&w->lock);
}

void slots_member_gone(struct wal *w, const uint8_t id[16])
{
	struct slots *s = w->slots;
	pthread_mutex_lock(&w->lock);
	struct slots_member *m = find(s, id);
	if (m)
		*m = s->member[--s->n_member];
	pthread_cond_signal(&s->put);
	pthread_mutex_unlock(&w->lock);
}

uint64_t slots_member_at(struct wal *w, const uint8_t id[16])
{
	pthread_mutex_lock(&w->lock);
	const struct slots_member *m = find(w->slots, id);
	uint64_t at = m ? m->position : 0;
	pthread_mutex_unlock(&w->lock);
	return at;
}

uint64_t slots_lowest(const struct slots *s)
{
	uint64_t lowest = s->acked;
	for (uint32_t i = 0; i < s->n_member; i++)
		if (s->member[i].position < lowest)
			lowest = s->member[i].position;
	return lowest;
}
