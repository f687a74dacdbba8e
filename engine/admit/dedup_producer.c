/* Producers: the table of duplicate rules.
 *
 *   seen                     exact                RISING       NONE
 *   no state                 new                  new          new
 *   epoch lower              EPRODUCER            EPRODUCER    EPRODUCER
 *   epoch higher             0: new, else ESEQ    new          new         (window emptied)
 *   remembered, same batch   duplicate            duplicate    new
 *   the next                 new                  new          new
 *   lower                    ESEQ                 duplicate    new
 *   higher                   ESEQ                 new          new
 *
 * A batch of NONE has no sequence: it raises the epoch, after which sequence 0 is the next, and
 * else leaves sequences alone. [Kafka: ProducerAppendInfo.checkSequence, control batches]
 *
 * Not in the table, RISING, and refused with ESEQ, for neither "new" nor "duplicate" would be true:
 * a batch that begins below the next sequence and ends at or above it; one that repeats sequences
 * of the write it is in. */
#include "engine/admit/dedup_state.h"
#include <assert.h>
#include <firn/error.h>

enum { SEQ_MODES = BATCH_SEQ_RISING | BATCH_SEQ_NONE };

static int id_equal(const void *value, const void *key)
{
	return ((const struct producer *)value)->id == *(const uint64_t *)key;
}

static uint64_t id_hash(const struct dedup *d, uint64_t id)
{
	return hash_u64(id ^ d->hash_seed);
}

struct producer *producer_find(const struct dedup *d, uint64_t id)
{
	return map_get(&d->by_id, id_hash(d, id), id_equal, &id);
}

static uint32_t window_limit(const struct dedup_limits *lim)
{
	return lim->window ? lim->window : 5;
}

static struct producer *find_or_make(struct dedup *d, uint64_t id)
{
	struct producer *p = producer_find(d, id);
	if (p)
		return p;
	p = dedup_alloc(d, sizeof *p);
	if (!p)
		return NULL;
	p->id = id;
	if (map_put(&d->by_id, id_hash(d, id), p)) {
		dedup_free(d, p, sizeof *p);
		return NULL;
	}
	aged_add(&d->fresh_producers, &p->link, 0);
	return p;
}

static void forget(struct dedup *d, struct producer *p)
{
	map_remove(&d->by_id, id_hash(d, p->id), id_equal, &p->id);
	aged_remove(p->known ? &d->seen : &d->fresh_producers, &p->link);
	dedup_free(d, p->window, p->cap * sizeof *p->window);
	dedup_free(d, p, sizeof *p);
}

void producer_drop_fresh(struct dedup *d)
{
	while (d->fresh_producers.oldest)
		forget(d, (struct producer *)d->fresh_producers.oldest);
}

void producer_close_all(struct dedup *d)
{
	producer_drop_fresh(d);
	while (d->seen.oldest)
		forget(d, (struct producer *)d->seen.oldest);
}

static bool in_turn(const struct dedup *d, const struct producer *p)
{
	return d->turn && p->turn == d->turn;
}

/* Those that the write under admission was judged by stay: remembering it must not allocate. */
void producer_trim(struct dedup *d, const struct dedup_limits *lim, int64_t now_ms)
{
	for (struct producer *p; (p = (struct producer *)aged_oldest(&d->seen));) {
		bool over = lim->max_producers && d->seen.n > lim->max_producers;
		if (in_turn(d, p) ||
		    (!over && !dedup_expired(p->last_ms, now_ms, lim->producer_expire_ms)))
			break;
		forget(d, p);
	}
}

/* ---- check ----------------------------------------------------------------------------------- */

/* A producer as a batch finds it: what is remembered, with what its write added before. */
struct view {
	bool known, window; /* window: the remembered batches are of this epoch */
	uint32_t epoch;
	uint64_t next;
};

static struct view view_of(const struct dedup *d, const struct dedup_limits *lim,
                           const struct producer *p, int64_t now_ms)
{
	bool known = p->known && !dedup_expired(p->last_ms, now_ms, lim->producer_expire_ms);
	if (in_turn(d, p))
		return (struct view){ .known = true,
			              .window = known && p->epoch == p->turn_epoch,
			              .epoch = p->turn_epoch,
			              .next = p->turn_next };
	return (struct view){
		.known = known, .window = known, .epoch = p->epoch, .next = p->seq_next
	};
}

static int refuse(int code, uint64_t expected, struct dedup_answer *answer)
{
	answer->expected = expected;
	return code;
}

static int duplicate(const struct producer *p, const struct producer_batch *of,
                     enum dedup_verdict *verdict, struct dedup_answer *answer)
{
	*verdict = DEDUP_DUPLICATE;
	if (of) {
		answer->offset = of->offset;
		answer->n_offsets = of->n_offsets;
		answer->rev = of->rev;
	} else {
		answer->offset = p->last_offset; /* loaded without batches: stored long ago */
	}
	return FIRN_OK;
}

/* Same epoch, with sequences. */
static int judge_sequence(const struct dedup_limits *lim, const struct producer *p,
                          const struct view *v, const struct batch *b, enum dedup_verdict *verdict,
                          struct dedup_answer *answer)
{
	uint32_t bits = lim->seq_bits;
	const struct producer_batch *same = v->window
	                                            ? window_find(p, b->producer_seq, b->n_offsets)
	                                            : NULL;
	if (same)
		return duplicate(p, same, verdict, answer);
	if (b->producer_seq == v->next)
		return FIRN_OK;
	if (!(b->flags & BATCH_SEQ_RISING))
		return refuse(FIRN_ESEQ, v->next, answer);
	if (!seq_lower(b->producer_seq, v->next, bits))
		return FIRN_OK;
	uint64_t last = dedup_seq_add(b->producer_seq, b->n_offsets - 1, bits);
	if (v->window && seq_lower(b->producer_seq, p->seq_next, bits) &&
	    seq_lower(last, p->seq_next, bits))
		return duplicate(p, window_newest(p), verdict, answer);
	return refuse(FIRN_ESEQ, v->next, answer);
}

static int judge(const struct dedup_limits *lim, const struct producer *p, const struct view *v,
                 const struct batch *b, enum dedup_verdict *verdict, struct dedup_answer *answer)
{
	if (!v->known)
		return FIRN_OK;
	if (b->producer_epoch < v->epoch)
		return refuse(FIRN_EPRODUCER, v->epoch, answer);
	if (b->producer_epoch > v->epoch) {
		if (!(b->flags & SEQ_MODES) && b->producer_seq != 0)
			return refuse(FIRN_ESEQ, 0, answer);
		return FIRN_OK;
	}
	if (b->flags & BATCH_SEQ_NONE)
		return FIRN_OK;
	return judge_sequence(lim, p, v, b, verdict, answer);
}

/* The sequence after this batch, given the one before it. */
static uint64_t next_after(const struct dedup_limits *lim, const struct batch *b, bool same_epoch,
                           uint64_t next)
{
	if (b->flags & BATCH_SEQ_NONE)
		return same_epoch ? next : 0;
	return dedup_seq_add(b->producer_seq, b->n_offsets, lim->seq_bits);
}

int producer_check(struct dedup *d, const struct dedup_limits *lim, const struct batch *b,
                   int64_t now_ms, enum dedup_verdict *verdict, struct dedup_answer *answer)
{
	if (!(b->flags & BATCH_SEQ_NONE) &&
	    dedup_seq_add(b->producer_seq, 0, lim->seq_bits) != b->producer_seq)
		return FIRN_EINVAL; /* has more bits than sequences of this stream */
	struct producer *p = find_or_make(d, b->producer_id);
	if (!p)
		return FIRN_ENOMEM;
	struct view v = view_of(d, lim, p, now_ms);
	int rc = judge(lim, p, &v, b, verdict, answer);
	if (rc || *verdict == DEDUP_DUPLICATE)
		return rc;
	uint32_t turn_n = in_turn(d, p) ? p->turn_n : 0;
	rc = window_reserve(d, p, window_limit(lim), turn_n + 1);
	if (rc)
		return rc;
	p->turn_next = next_after(lim, b, v.known && v.epoch == b->producer_epoch, v.next);
	p->turn_epoch = b->producer_epoch;
	p->turn_n = turn_n + 1;
	p->turn = d->turn;
	return FIRN_OK;
}

/* ---- remember, load -------------------------------------------------------------------------- */

/* Now the newest in `seen`. */
static void mark_seen(struct dedup *d, struct producer *p, int64_t now_ms)
{
	aged_remove(p->known ? &d->seen : &d->fresh_producers, &p->link);
	p->known = true;
	p->last_ms = now_ms;
	aged_add(&d->seen, &p->link, now_ms);
}

static void empty(struct producer *p, uint32_t epoch)
{
	p->epoch = epoch;
	p->seq_next = 0;
	p->first = p->n = 0;
}

int producer_remember(struct dedup *d, const struct dedup_limits *lim, const struct batch *b)
{
	struct producer *p = find_or_make(d, b->producer_id);
	if (!p || window_reserve(d, p, window_limit(lim), 1)) {
		if (p && !p->known && !in_turn(d, p))
			forget(d, p);
		return FIRN_ENOMEM;
	}
	/* Not only a higher epoch: at replay the one before may have been forgotten meanwhile. */
	if (!p->known || p->epoch != b->producer_epoch ||
	    dedup_expired(p->last_ms, b->append_ms, lim->producer_expire_ms))
		empty(p, b->producer_epoch);
	p->seq_next = next_after(lim, b, true, p->seq_next);
	p->last_offset = b->offset + b->n_offsets - 1;
	if (!(b->flags & BATCH_SEQ_NONE))
		window_push(p, window_limit(lim),
		            &(struct producer_batch){ .seq = b->producer_seq,
		                                      .offset = b->offset,
		                                      .rev = b->rev,
		                                      .n_offsets = b->n_offsets,
		                                      .n_seq = b->n_offsets });
	mark_seen(d, p, b->append_ms);
	if (in_turn(d, p) && --p->turn_n == 0)
		p->turn = 0;
	return FIRN_OK;
}

static void load_state(struct producer *p, uint32_t limit, const struct producer_change *c)
{
	if (!p->known || c->window_reset || p->epoch != c->producer_epoch)
		empty(p, c->producer_epoch);
	p->seq_next = c->seq_next;
	for (uint32_t i = c->n_batch > limit ? c->n_batch - limit : 0; i < c->n_batch; i++)
		window_push(p, limit, &c->batch[i]);
	const struct producer_batch *newest = window_newest(p);
	p->last_offset = newest ? newest->offset + newest->n_offsets - 1 : 0;
}

int producer_load(struct dedup *d, const struct dedup_limits *lim, const struct producer_change *c)
{
	struct producer *p = find_or_make(d, c->producer_id);
	if (!p || window_reserve(d, p, window_limit(lim), c->n_batch)) {
		if (p && !p->known)
			forget(d, p);
		return FIRN_ENOMEM;
	}
	load_state(p, window_limit(lim), c);
	aged_remove(p->known ? &d->seen : &d->fresh_producers, &p->link);
	p->known = true;
	p->last_ms = c->last_ms;
	aged_load(&d->seen, &p->link, c->last_ms);
	if (lim->max_producers && d->seen.n / 2 >= lim->max_producers)
		producer_trim(d, lim, c->last_ms); /* seldom: each time the list is sorted anew */
	return FIRN_OK;
}
