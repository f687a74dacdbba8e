/* Idempotency keys: the last ones of a stream, bounded by number and age. The same key within
 * the window is a duplicate, whatever the payload; twice in one write it is a mistake of the
 * caller. */
#include "engine/admit/dedup_state.h"
#include "engine/base/sum.h"
#include <firn/error.h>
#include <string.h>

struct key_ref {
	const uint8_t *key;
	uint8_t len;
};

static int key_equal(const void *value, const void *key)
{
	const struct key_row *k = value;
	const struct key_ref *ref = key;
	return k->key_len == ref->len && memcmp(k->key, ref->key, ref->len) == 0;
}

static struct key_row *find_or_make(struct dedup *d, const uint8_t *key, uint8_t len)
{
	struct key_ref ref = { .key = key, .len = len };
	uint64_t hash = sum64_seed(key, len, d->hash_seed);
	struct key_row *k = map_get(&d->by_key, hash, key_equal, &ref);
	if (k)
		return k;
	k = dedup_alloc(d, sizeof *k);
	if (!k)
		return NULL;
	k->hash = hash;
	k->key_len = len;
	memcpy(k->key, key, len);
	if (map_put(&d->by_key, hash, k)) {
		dedup_free(d, k, sizeof *k);
		return NULL;
	}
	aged_add(&d->fresh_keys, &k->link, 0);
	return k;
}

static void forget(struct dedup *d, struct key_row *k)
{
	struct key_ref ref = { .key = k->key, .len = k->key_len };
	map_remove(&d->by_key, k->hash, key_equal, &ref);
	aged_remove(k->known ? &d->kept : &d->fresh_keys, &k->link);
	dedup_free(d, k, sizeof *k);
}

void key_drop_fresh(struct dedup *d)
{
	while (d->fresh_keys.oldest)
		forget(d, (struct key_row *)d->fresh_keys.oldest);
}

void key_close_all(struct dedup *d)
{
	key_drop_fresh(d);
	while (d->kept.oldest)
		forget(d, (struct key_row *)d->kept.oldest);
}

static bool in_turn(const struct dedup *d, const struct key_row *k)
{
	return d->turn && k->turn == d->turn;
}

/* A key that the write under admission brings anew stays: remembering it must not allocate. */
void key_trim(struct dedup *d, const struct dedup_limits *lim, int64_t now_ms)
{
	for (struct key_row *k; (k = (struct key_row *)aged_oldest(&d->kept));) {
		bool over = lim->key_window_n ? d->kept.n > lim->key_window_n : !lim->key_window_ms;
		if (in_turn(d, k) ||
		    (!over && !dedup_expired(k->append_ms, now_ms, lim->key_window_ms)))
			break;
		forget(d, k);
	}
}

int dedup_key_check(struct dedup *d, const struct dedup_limits *lim, const struct batch *b,
                    int64_t now_ms, enum dedup_verdict *verdict, struct dedup_answer *answer)
{
	struct key_row *k = find_or_make(d, b->key, b->key_len);
	if (!k)
		return FIRN_ENOMEM;
	if (in_turn(d, k))
		return FIRN_EINVAL;
	if (k->known && !dedup_expired(k->append_ms, now_ms, lim->key_window_ms)) {
		*verdict = DEDUP_DUPLICATE;
		answer->offset = k->offset;
		answer->n_offsets = k->n_offsets;
		answer->rev = k->rev;
		return FIRN_OK;
	}
	k->turn = d->turn;
	return FIRN_OK;
}

/* Offsets of a stream only rise, so they are the ages. */
static void fill(struct dedup *d, struct key_row *k, const struct key_entry *from)
{
	aged_remove(k->known ? &d->kept : &d->fresh_keys, &k->link);
	k->known = true;
	k->turn = 0;
	k->offset = from->offset;
	k->n_offsets = from->n_offsets;
	k->rev = from->rev;
	k->append_ms = from->append_ms;
	aged_load(&d->kept, &k->link, (int64_t)from->offset);
}

int key_remember(struct dedup *d, const struct batch *b)
{
	struct key_row *k = find_or_make(d, b->key, b->key_len);
	if (!k)
		return FIRN_ENOMEM;
	fill(d, k,
	     &(struct key_entry){ .offset = b->offset,
	                          .rev = b->rev,
	                          .n_offsets = b->n_offsets,
	                          .append_ms = b->append_ms });
	return FIRN_OK;
}

int key_load(struct dedup *d, const struct dedup_limits *lim, const struct key_entry *from)
{
	struct key_row *k = find_or_make(d, from->key, (uint8_t)from->key_len);
	if (!k)
		return FIRN_ENOMEM;
	if (k->known && k->offset > from->offset)
		return FIRN_OK;
	fill(d, k, from);
	if (lim->key_window_n && d->kept.n / 2 >= lim->key_window_n)
		key_trim(d, lim, from->append_ms); /* seldom: each time the list is sorted anew */
	return FIRN_OK;
}
