/* Random writes of one stream against plain arrays that know every batch: verdicts, answers, what
 * is forgotten, and restarts in which all is loaded in random order. (P3) */
#include "engine/admit/dedup.h"
#include "tests/unit/admit/fixture.h"
#include <criterion/criterion.h>
#include <firn/error.h>
#include <string.h>

TestSuite(dedup_model, .timeout = 60);

enum { N_PRODUCER = 6, N_KEY = 8, N_PAST = 64, N_OP = 4 };

struct past {
	uint64_t seq, offset, rev;
	uint32_t n;
};

/* All that is known of a producer. The batches of its epoch, the oldest first. */
struct model_producer {
	bool known;
	uint32_t epoch, claims;           /* claims: judged new in this write, not remembered yet */
	uint64_t next, last_offset, seen; /* seen: rises with every sighting */
	int64_t last_ms;
	uint32_t n;
	struct past past[N_PAST];
};

struct model_key {
	bool known, claimed;
	uint64_t offset, rev;
	uint32_t n;
	int64_t ms;
};

/* What a write under admission has added to a producer. */
struct model_turn {
	bool used;
	uint32_t epoch;
	uint64_t next;
};

struct world {
	uint64_t chance, offset, rev, write_id, sightings;
	int64_t now;
	struct dedup_limits lim;
	struct dedup *d;
	struct model_producer producer[N_PRODUCER];
	struct model_key key[N_KEY];
	struct model_turn turn[N_PRODUCER];
};

struct expect {
	int rc;
	enum dedup_verdict verdict;
	struct dedup_answer answer;
};

static const char *const key_names[N_KEY] = {
	"a", "b", "ab", "ba", "abc", "x", "xx", "0123456789abcdef0123456789abcdef"
};

/* ---- the model ------------------------------------------------------------------------------- */

static uint64_t wrap(const struct world *w, uint64_t seq)
{
	return w->lim.seq_bits == 64 ? seq : seq % (UINT64_C(1) << w->lim.seq_bits);
}

static bool lower(const struct world *w, uint64_t a, uint64_t b)
{
	if (w->lim.seq_bits == 64)
		return a < b;
	uint64_t half = UINT64_C(1) << (w->lim.seq_bits - 1);
	return wrap(w, a - b) >= half;
}

static bool silent(const struct world *w, const struct model_producer *p)
{
	return w->now - p->last_ms >= (int64_t)w->lim.producer_expire_ms;
}

static bool key_old(const struct world *w, const struct model_key *k)
{
	return w->lim.key_window_ms && w->now - k->ms >= (int64_t)w->lim.key_window_ms;
}

static bool keeps_keys(const struct world *w)
{
	return w->lim.key_window_ms || w->lim.key_window_n;
}

static struct expect refused(int rc, uint64_t expected)
{
	return (struct expect){ .rc = rc, .answer.expected = expected };
}

static struct expect repeats(uint64_t offset, uint64_t rev, uint32_t n)
{
	return (struct expect){ .verdict = DEDUP_DUPLICATE,
		                .answer = { .offset = offset, .rev = rev, .n_offsets = n } };
}

static struct expect model_sequence(const struct world *w, const struct model_producer *p,
                                    bool real, uint64_t next, const struct batch *b)
{
	uint32_t oldest = p->n > w->lim.window ? p->n - w->lim.window : 0;
	for (uint32_t i = p->n; real && i-- > oldest;)
		if (p->past[i].seq == b->producer_seq && p->past[i].n == b->n_offsets)
			return repeats(p->past[i].offset, p->past[i].rev, p->past[i].n);
	if (b->producer_seq == next)
		return (struct expect){ 0 };
	if (!(b->flags & BATCH_SEQ_RISING))
		return refused(FIRN_ESEQ, next);
	if (!lower(w, b->producer_seq, next))
		return (struct expect){ 0 };
	uint64_t last = wrap(w, b->producer_seq + b->n_offsets - 1);
	if (!real || !lower(w, b->producer_seq, p->next) || !lower(w, last, p->next))
		return refused(FIRN_ESEQ, next);
	const struct past *newest = p->n ? &p->past[p->n - 1] : NULL;
	return newest ? repeats(newest->offset, newest->rev, newest->n)
	              : repeats(p->last_offset, 0, 0);
}

static struct expect model_producer_check(const struct world *w, const struct batch *b)
{
	const struct model_producer *p = &w->producer[b->producer_id];
	const struct model_turn *t = &w->turn[b->producer_id];
	bool real = p->known && !silent(w, p);
	if (!real && !t->used)
		return (struct expect){ 0 };
	uint32_t epoch = t->used ? t->epoch : p->epoch;
	uint64_t next = t->used ? t->next : p->next;
	if (b->producer_epoch < epoch)
		return refused(FIRN_EPRODUCER, epoch);
	if (b->flags & BATCH_SEQ_NONE)
		return (struct expect){ 0 };
	if (b->producer_epoch > epoch)
		return b->flags & BATCH_SEQ_RISING || b->producer_seq == 0 ? (struct expect){ 0 }
		                                                           : refused(FIRN_ESEQ, 0);
	return model_sequence(w, p, real && p->epoch == epoch, next, b);
}

static struct expect model_check(struct world *w, const struct batch *b, uint32_t key)
{
	struct model_producer *p = &w->producer[b->producer_id];
	struct model_turn *t = &w->turn[b->producer_id];
	struct model_key *k = &w->key[key];
	if (b->flags & BATCH_PRODUCER) {
		struct expect e = model_producer_check(w, b);
		if (e.rc || e.verdict == DEDUP_DUPLICATE)
			return e;
		bool known = t->used || (p->known && !silent(w, p));
		uint32_t epoch = t->used ? t->epoch : p->epoch;
		uint64_t next = known && epoch == b->producer_epoch ? t->used ? t->next : p->next
		                                                    : 0;
		bool none = b->flags & BATCH_SEQ_NONE;
		*t = (struct model_turn){ .used = true,
			                  .epoch = b->producer_epoch,
			                  .next = none ? next
			                               : wrap(w, b->producer_seq + b->n_offsets) };
		p->claims++;
	}
	if (!b->key_len || !keeps_keys(w))
		return (struct expect){ 0 };
	if (k->claimed)
		return refused(FIRN_EINVAL, 0);
	if (k->known && !key_old(w, k))
		return repeats(k->offset, k->rev, k->n);
	k->claimed = true;
	return (struct expect){ 0 };
}

static void model_end_turn(struct world *w)
{
	memset(w->turn, 0, sizeof w->turn);
	for (int i = 0; i < N_PRODUCER; i++)
		w->producer[i].claims = 0;
	for (int i = 0; i < N_KEY; i++)
		w->key[i].claimed = false;
}

static void model_forget(struct world *w)
{
	for (;;) {
		struct model_producer *oldest = NULL;
		uint32_t n = 0;
		for (int i = 0; i < N_PRODUCER; i++) {
			struct model_producer *p = &w->producer[i];
			n += p->known;
			if (p->known && (!oldest || p->seen < oldest->seen))
				oldest = p;
		}
		if (!oldest || oldest->claims || (n <= w->lim.max_producers && !silent(w, oldest)))
			break;
		oldest->known = false;
	}
	for (;;) {
		struct model_key *oldest = NULL;
		uint32_t n = 0;
		for (int i = 0; i < N_KEY; i++) {
			n += w->key[i].known;
			if (w->key[i].known && (!oldest || w->key[i].offset < oldest->offset))
				oldest = &w->key[i];
		}
		bool over = w->lim.key_window_n && n > w->lim.key_window_n;
		if (!oldest || oldest->claimed || (!over && !key_old(w, oldest)))
			return;
		oldest->known = false;
	}
}

static void model_remember(struct world *w, const struct batch *b, uint32_t key)
{
	struct model_producer *p = &w->producer[b->producer_id];
	if (b->flags & BATCH_PRODUCER) {
		if (!p->known || silent(w, p) || p->epoch != b->producer_epoch) {
			p->n = 0;
			p->next = 0;
		}
		if (p->n == N_PAST)
			memmove(p->past, p->past + N_PAST / 2,
			        (p->n = N_PAST / 2) * sizeof *p->past);
		if (!(b->flags & BATCH_SEQ_NONE)) {
			p->past[p->n++] = (struct past){ b->producer_seq, b->offset, b->rev,
				                         b->n_offsets };
			p->next = wrap(w, b->producer_seq + b->n_offsets);
		}
		p->known = true;
		p->epoch = b->producer_epoch;
		p->last_offset = b->offset + b->n_offsets - 1;
		p->last_ms = w->now;
		p->seen = ++w->sightings;
		p->claims--;
	}
	if (b->key_len && keeps_keys(w))
		w->key[key] = (struct model_key){ .known = true,
			                          .offset = b->offset,
			                          .rev = b->rev,
			                          .n = b->n_offsets,
			                          .ms = w->now };
	model_forget(w);
}

/* ---- the writes ------------------------------------------------------------------------------ */

static uint64_t random_seq(struct world *w, const struct model_producer *p,
                           const struct model_turn *t, uint32_t *n)
{
	uint64_t next = t->used ? t->next : p->next;
	switch (chance_below(&w->chance, 8)) {
	case 0:
		return 0;
	case 1:
		return wrap(w, next + chance_below(&w->chance, 5));
	case 2:
		return wrap(w, next - chance_below(&w->chance, 5));
	case 3:
		return wrap(w, chance_next(&w->chance));
	case 4:
	case 5:
		if (p->n) {
			const struct past *b =
			        &p->past[p->n - 1 - chance_below(&w->chance, p->n) % 7 % p->n];
			*n = b->n;
			return b->seq;
		}
		return next;
	default:
		return next;
	}
}

static struct batch random_batch(struct world *w, uint32_t *key)
{
	static const uint16_t modes[] = { 0, 0, BATCH_SEQ_RISING, BATCH_SEQ_NONE };
	struct batch b = { .producer_id = chance_below(&w->chance, N_PRODUCER),
		           .n_offsets = 1 + chance_below(&w->chance, 3) };
	const struct model_producer *p = &w->producer[b.producer_id];
	*key = chance_below(&w->chance, N_KEY);
	if (chance_below(&w->chance, 5)) {
		b.flags = (uint16_t)(BATCH_PRODUCER | modes[chance_below(&w->chance, 4)]);
		b.producer_seq = random_seq(w, p, &w->turn[b.producer_id], &b.n_offsets);
		b.producer_epoch = p->epoch + (chance_below(&w->chance, 12) == 0);
		if (p->epoch && chance_below(&w->chance, 12) == 0)
			b.producer_epoch--;
	}
	if (chance_below(&w->chance, 8) == 0) {
		b.key = (const uint8_t *)key_names[*key];
		b.key_len = (uint8_t)strlen(key_names[*key]);
	}
	return b;
}

static bool admit(struct world *w, const struct batch *b, uint32_t key)
{
	struct expect e = model_check(w, b, key);
	enum dedup_verdict verdict;
	struct dedup_answer a;
	int rc = dedup_check(&w->d, env_default(), &w->lim, b, w->write_id, w->now, &verdict, &a);
	cr_assert_eq(rc, e.rc, "write %lu: %d, not %d", (unsigned long)w->write_id, rc, e.rc);
	cr_assert(rc || verdict == e.verdict);
	cr_assert_eq(memcmp(&a, &e.answer, sizeof a), 0, "write %lu: offset %lu, not %lu",
	             (unsigned long)w->write_id, (unsigned long)a.offset,
	             (unsigned long)e.answer.offset);
	return !rc && verdict == DEDUP_NEW;
}

static void write_some(struct world *w)
{
	struct batch b[N_OP];
	uint32_t key[N_OP], n = 1 + chance_below(&w->chance, N_OP);
	w->write_id++;
	w->rev++;
	for (uint32_t i = 0; i < n; i++) {
		b[i] = random_batch(w, &key[i]);
		if (!admit(w, &b[i], key[i])) {
			model_end_turn(w);
			return;
		}
	}
	for (uint32_t i = 0; i < n; i++) {
		b[i].offset = w->offset;
		b[i].rev = w->rev;
		b[i].append_ms = w->now;
		w->offset += b[i].n_offsets;
		cr_assert_eq(dedup_remember(&w->d, env_default(), &w->lim, &b[i]), FIRN_OK);
		model_remember(w, &b[i], key[i]);
	}
	model_end_turn(w);
}

/* ---- restart, compare ------------------------------------------------------------------------ */

static void shuffle(struct world *w, uint32_t *order, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		uint32_t j = chance_below(&w->chance, i + 1);
		order[i] = order[j];
		order[j] = i;
	}
}

static void reload_producer(struct world *w, uint32_t id)
{
	struct model_producer *p = &w->producer[id];
	struct producer_batch batch[N_PAST];
	for (uint32_t i = 0; i < p->n; i++)
		batch[i] = (struct producer_batch){ .seq = p->past[i].seq,
			                            .offset = p->past[i].offset,
			                            .rev = p->past[i].rev,
			                            .n_offsets = p->past[i].n,
			                            .n_seq = p->past[i].n };
	struct producer_change c = { .producer_id = id,
		                     .producer_epoch = p->epoch,
		                     .n_batch = p->n,
		                     .seq_next = p->next,
		                     .last_ms = p->last_ms,
		                     .batch = batch };
	cr_assert_eq(dedup_load_producer(&w->d, env_default(), &w->lim, &c), FIRN_OK);
	p->last_offset = p->n ? p->past[p->n - 1].offset + p->past[p->n - 1].n - 1 : 0;
	/* Of those last seen in the same millisecond the first one loaded counts as the older. */
	p->seen = ((uint64_t)p->last_ms << 24) + ++w->sightings % (1 << 24);
}

static void restart(struct world *w)
{
	uint32_t order[N_PRODUCER], key_order[N_KEY];
	dedup_close(w->d);
	w->d = NULL;
	shuffle(w, order, N_PRODUCER);
	for (uint32_t i = 0; i < N_PRODUCER; i++)
		if (w->producer[order[i]].known)
			reload_producer(w, order[i]);
	w->sightings = (uint64_t)(w->now + 1) << 24; /* whoever comes now is newer than all these */
	shuffle(w, key_order, N_KEY);
	for (uint32_t i = 0; i < N_KEY; i++) {
		const struct model_key *k = &w->key[key_order[i]];
		struct key_entry e = { .offset = k->offset,
			               .rev = k->rev,
			               .n_offsets = k->n,
			               .key_len = (uint32_t)strlen(key_names[key_order[i]]),
			               .append_ms = k->ms,
			               .key = (const uint8_t *)key_names[key_order[i]] };
		if (k->known)
			cr_assert_eq(dedup_load_key(&w->d, env_default(), &w->lim, &e), FIRN_OK);
	}
}

static void compare(const struct world *w)
{
	struct firn_producer out[N_PRODUCER];
	uint32_t n = dedup_list(w->d, UINT64_MAX, out, sizeof *out, N_PRODUCER), at = 0;
	for (uint32_t i = 0; i < N_PRODUCER; i++) {
		const struct model_producer *p = &w->producer[i];
		if (!p->known)
			continue;
		cr_assert(at < n && out[at].producer_id == i && out[at].seq_next == p->next);
		cr_assert(out[at].last_offset == p->last_offset && out[at].last_ms == p->last_ms);
		cr_assert_eq(out[at++].producer_epoch, p->epoch);
	}
	cr_assert(at == n && dedup_n_producers(w->d) == n);
}

static void run(uint64_t seed)
{
	static struct world w;
	static const uint32_t bits[] = { 4, 31, 64 };
	memset(&w, 0, sizeof w);
	w.chance = seed;
	w.offset = 1;
	w.now = 1000;
	w.lim = (struct dedup_limits){ .window = 1 + chance_below(&w.chance, 5),
		                       .seq_bits = bits[chance_below(&w.chance, 3)],
		                       .producer_expire_ms = 20 + chance_below(&w.chance, 300),
		                       .key_window_ms = chance_below(&w.chance, 3) * 40,
		                       .key_window_n = chance_below(&w.chance, 4) * 2,
		                       .max_producers = 1 + chance_below(&w.chance, N_PRODUCER) };
	for (int step = 0; step < 4000; step++) {
		w.now += chance_below(&w.chance, 100) ? chance_below(&w.chance, 3) : 50;
		if (chance_below(&w.chance, 200) == 0)
			restart(&w);
		write_some(&w);
		compare(&w);
	}
	dedup_close(w.d);
}

Test(dedup_model, agrees_with_plain_arrays)
{
	for (uint64_t seed = 1; seed <= 60; seed++)
		run(seed);
}
