/* Sequences, and the ring of the batches that a producer sent last. The ring grows by doubling
 * up to the stream's window: a producer that sends one batch pays for one. */
#include "engine/admit/dedup_state.h"
#include <assert.h>
#include <firn/error.h>

static uint64_t seq_mask(uint32_t seq_bits)
{
	return seq_bits == 0 || seq_bits >= 64 ? UINT64_MAX : (UINT64_C(1) << seq_bits) - 1;
}

uint64_t dedup_seq_add(uint64_t seq, uint64_t n, uint32_t seq_bits)
{
	return (seq + n) & seq_mask(seq_bits);
}

bool seq_lower(uint64_t a, uint64_t b, uint32_t seq_bits)
{
	uint64_t mask = seq_mask(seq_bits);
	if (mask == UINT64_MAX)
		return a < b; /* never wraps in practice, and may be anything that rises */
	return ((a - b) & mask) > mask >> 1;
}

static struct producer_batch *slot(const struct producer *p, uint32_t i)
{
	return &p->window[((uint64_t)p->first + i) % p->cap];
}

int window_reserve(struct dedup *d, struct producer *p, uint32_t limit, uint32_t more)
{
	uint64_t need = (uint64_t)p->n + more;
	need = need > limit ? limit : need;
	if (need <= p->cap)
		return FIRN_OK;
	uint64_t cap = p->cap ? p->cap : 1;
	while (cap < need)
		cap *= 2;
	cap = cap > limit ? limit : cap;
	struct producer_batch *grown = dedup_alloc(d, cap * sizeof *grown);
	if (!grown)
		return FIRN_ENOMEM;
	for (uint32_t i = 0; i < p->n; i++)
		grown[i] = *slot(p, i);
	dedup_free(d, p->window, p->cap * sizeof *grown);
	p->window = grown;
	p->cap = (uint32_t)cap;
	p->first = 0;
	return FIRN_OK;
}

void window_push(struct producer *p, uint32_t limit, const struct producer_batch *b)
{
	while (p->n && p->n >= limit) {
		p->first = (uint32_t)(((uint64_t)p->first + 1) % p->cap);
		p->n--;
	}
	assert(p->n < p->cap);
	*slot(p, p->n++) = *b;
}

const struct producer_batch *window_find(const struct producer *p, uint64_t seq, uint32_t n_seq)
{
	for (uint32_t i = p->n; i-- > 0;) /* a retry is mostly of the last ones */
		if (slot(p, i)->seq == seq && slot(p, i)->n_seq == n_seq)
			return slot(p, i);
	return NULL;
}

const struct producer_batch *window_newest(const struct producer *p)
{
	return p->n ? slot(p, p->n - 1) : NULL;
}
