/* Duplicate detection of a stream: the way in, for producers (dedup_producer.c) and keys
 * (dedup_keys.c).
 *
 * A batch that has both a producer and a key is judged by the producer's rules first. What can
 * fail is memory, in check, load and an unchecked remember; then what is remembered has not
 * changed. */
#include "engine/admit/dedup_state.h"
#include "engine/base/mem.h"
#include <assert.h>
#include <firn/error.h>
#include <string.h>

void *dedup_alloc(struct dedup *d, size_t len)
{
	void *p = mem_zalloc(d->env, len);
	if (p)
		d->bytes += len;
	return p;
}

void dedup_free(struct dedup *d, void *p, size_t len)
{
	if (!p)
		return;
	assert(d->bytes >= len);
	d->bytes -= len;
	mem_free(d->env, p);
}

static int make_if_absent(struct dedup **d, const struct firn_env *env)
{
	if (*d)
		return FIRN_OK;
	struct dedup *made = mem_zalloc(env, sizeof *made);
	if (!made)
		return FIRN_ENOMEM;
	made->env = env;
	made->bytes = sizeof *made;
	env->random(env->ctx, &made->hash_seed, sizeof made->hash_seed);
	map_init(&made->by_id, env);
	map_init(&made->by_key, env);
	*d = made;
	return FIRN_OK;
}

void dedup_close(struct dedup *d)
{
	if (!d)
		return;
	producer_close_all(d);
	key_close_all(d);
	map_fini(&d->by_id);
	map_fini(&d->by_key);
	assert(d->bytes == sizeof *d);
	mem_free(d->env, d);
}

/* ---- check, remember ------------------------------------------------------------------------- */

static void begin_turn(struct dedup *d, uint64_t write_id)
{
	if (d->turn && d->write_id == write_id)
		return;
	d->turn++;
	d->write_id = write_id;
	producer_drop_fresh(d);
	key_drop_fresh(d);
}

static bool has_producer(const struct batch *b)
{
	return b->flags & BATCH_PRODUCER;
}

static bool has_key(const struct batch *b, const struct dedup_limits *lim)
{
	return b->key_len && dedup_keeps_keys(lim);
}

int dedup_check(struct dedup **d, const struct firn_env *env, const struct dedup_limits *lim,
                const struct batch *b, uint64_t write_id, int64_t now_ms,
                enum dedup_verdict *verdict, struct dedup_answer *answer)
{
	*verdict = DEDUP_NEW;
	*answer = (struct dedup_answer){ 0 };
	int rc = has_producer(b) || has_key(b, lim) ? make_if_absent(d, env) : FIRN_OK;
	if (rc || !*d)
		return rc;
	begin_turn(*d, write_id);
	if (has_producer(b))
		rc = producer_check(*d, lim, b, now_ms, verdict, answer);
	if (!rc && *verdict == DEDUP_NEW && has_key(b, lim))
		rc = dedup_key_check(*d, lim, b, now_ms, verdict, answer);
	return rc;
}

int dedup_remember(struct dedup **d, const struct firn_env *env, const struct dedup_limits *lim,
                   const struct batch *b)
{
	int rc = has_producer(b) || has_key(b, lim) ? make_if_absent(d, env) : FIRN_OK;
	if (rc || !*d)
		return rc;
	if (has_producer(b))
		rc = producer_remember(*d, lim, b);
	if (!rc && has_key(b, lim))
		rc = key_remember(*d, b);
	producer_trim(*d, lim, b->append_ms);
	key_trim(*d, lim, b->append_ms);
	return rc;
}

/* ---- load, figures --------------------------------------------------------------------------- */

int dedup_load_producer(struct dedup **d, const struct firn_env *env,
                        const struct dedup_limits *lim, const struct producer_change *p)
{
	int rc = make_if_absent(d, env);
	return rc ? rc : producer_load(*d, lim, p);
}

int dedup_load_key(struct dedup **d, const struct firn_env *env, const struct dedup_limits *lim,
                   const struct key_entry *k)
{
	if (!k->key_len || k->key_len > BATCH_KEY_MAX)
		return FIRN_ECORRUPT;
	if (!dedup_keeps_keys(lim))
		return FIRN_OK;
	int rc = make_if_absent(d, env);
	return rc ? rc : key_load(*d, lim, k);
}

uint32_t dedup_n_producers(const struct dedup *d)
{
	return d ? d->seen.n : 0;
}

uint64_t dedup_bytes(const struct dedup *d)
{
	if (!d)
		return 0;
	return d->bytes + ((uint64_t)d->by_id.cap + d->by_key.cap) * sizeof(struct map_slot);
}
