#include "engine/cache/cache.h"
#include "engine/base/map.h"
#include "engine/base/mem.h"
#include "engine/cache/s3fifo.h"
#include <assert.h>
#include <pthread.h>
#include <string.h>

enum { SHARDS_MAX = 8, SHARD_MIN_BYTES = 4 << 20 };

struct cache_entry {
	struct s3fifo_entry fifo; /* first: the policy hands it back */
	struct cache_key key;
	struct blob *blob;
};

/* A load under way. Lives until the loader and the last waiter have left. */
struct cache_flight {
	struct cache_key key;
	uint32_t refs;
	bool done;
	struct blob *blob;
	struct firn_error err;
};

struct shard {
	pthread_mutex_t lock;
	pthread_cond_t landed;
	/* guarded */
	struct map entries, flights;
	struct s3fifo fifo;
	struct cache_stats stats;
};

struct cache {
	struct account *account;
	const atomic_ullong *used; /* of it, what is beyond `own` is lent; NULL: nothing is */
	uint64_t own;
	uint32_t n_shards, _pad;
	struct shard shard[];
};

static uint64_t key_hash(const struct cache_key *k)
{
	uint64_t h = 0;
	for (int i = 0; i < 4; i++)
		h = hash_u64(h ^ (k->word[i] + UINT64_C(0x9e3779b97f4a7c15)));
	return h | 1; /* never 0: the ghost's empty */
}

static int entry_equal(const void *value, const void *key)
{
	return memcmp(&((const struct cache_entry *)value)->key, key, sizeof(struct cache_key)) ==
	       0;
}

static int flight_equal(const void *value, const void *key)
{
	return memcmp(&((const struct cache_flight *)value)->key, key, sizeof(struct cache_key)) ==
	       0;
}

static struct shard *shard_of(struct cache *c, uint64_t hash)
{
	return &c->shard[(hash >> 40) % c->n_shards];
}

/* ---- open and close ---- */

static int shard_init(struct shard *s, const struct firn_env *env, size_t bytes)
{
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->landed, NULL);
	map_init(&s->entries, env);
	map_init(&s->flights, env);
	return s3fifo_init(&s->fifo, env, bytes);
}

struct cache *cache_open(struct account *account, size_t bytes, uint32_t n_shards)
{
	if (n_shards == 0)
		n_shards = bytes / SHARD_MIN_BYTES < SHARDS_MAX
		                   ? (uint32_t)(bytes / SHARD_MIN_BYTES)
		                   : SHARDS_MAX;
	n_shards = n_shards ? n_shards : 1;
	struct cache *c = mem_zalloc(&account->env, sizeof *c + n_shards * sizeof c->shard[0]);
	if (!c)
		return NULL;
	c->account = account;
	c->n_shards = n_shards;
	account_retain(account);
	int rc = 0;
	for (uint32_t i = 0; i < n_shards; i++)
		rc |= shard_init(&c->shard[i], &account->env, bytes / n_shards);
	if (rc) {
		cache_close(c);
		return NULL;
	}
	return c;
}

static void entry_free(struct cache *c, struct cache_entry *e)
{
	blob_release(e->blob);
	mem_free(&c->account->env, e);
}

void cache_close(struct cache *c)
{
	if (!c)
		return;
	struct account *account = c->account;
	for (uint32_t i = 0; i < c->n_shards; i++) {
		struct shard *s = &c->shard[i];
		struct s3fifo_entry *e;
		assert(s->flights.n == 0);
		while ((e = s3fifo_evict(&s->fifo)))
			entry_free(c, (struct cache_entry *)e);
		s3fifo_fini(&s->fifo);
		map_fini(&s->entries);
		map_fini(&s->flights);
		pthread_cond_destroy(&s->landed);
		pthread_mutex_destroy(&s->lock);
	}
	mem_free(&account->env, c);
	account_release(account);
}

/* ---- asking; shard locked ---- */

static struct blob *shard_find(struct shard *s, uint64_t hash, const struct cache_key *key,
                               bool use)
{
	struct cache_entry *e = map_get(&s->entries, hash, entry_equal, key);
	if (!e)
		return NULL;
	if (use)
		s3fifo_hit(&e->fifo);
	blob_retain(e->blob);
	return e->blob;
}

struct blob *cache_get(struct cache *c, const struct cache_key *key)
{
	uint64_t hash = key_hash(key);
	struct shard *s = shard_of(c, hash);
	pthread_mutex_lock(&s->lock);
	struct blob *b = shard_find(s, hash, key, true);
	if (b)
		s->stats.hits++;
	else
		s->stats.misses++;
	pthread_mutex_unlock(&s->lock);
	return b;
}

bool cache_has(struct cache *c, const struct cache_key *key)
{
	uint64_t hash = key_hash(key);
	struct shard *s = shard_of(c, hash);
	pthread_mutex_lock(&s->lock);
	bool has = map_get(&s->entries, hash, entry_equal, key) != NULL;
	pthread_mutex_unlock(&s->lock);
	return has;
}

static int flight_begin(struct cache *c, struct shard *s, uint64_t hash,
                        const struct cache_key *key)
{
	struct cache_flight *f = mem_zalloc(&c->account->env, sizeof *f);
	if (!f)
		return FIRN_ENOMEM;
	f->key = *key;
	f->refs = 1;
	if (map_put(&s->flights, hash, f)) {
		mem_free(&c->account->env, f);
		return FIRN_ENOMEM;
	}
	s->stats.loads++;
	return CACHE_LOAD;
}

int cache_begin(struct cache *c, const struct cache_key *key, struct blob **out)
{
	uint64_t hash = key_hash(key);
	struct shard *s = shard_of(c, hash);
	int rc = CACHE_HIT;
	pthread_mutex_lock(&s->lock);
	*out = shard_find(s, hash, key, false);
	if (!*out)
		rc = map_get(&s->flights, hash, flight_equal, key) ? CACHE_BUSY
		                                                   : flight_begin(c, s, hash, key);
	pthread_mutex_unlock(&s->lock);
	return rc;
}

/* ---- lending ---- */

void cache_lend(struct cache *c, const atomic_ullong *used, uint64_t own)
{
	c->used = used;
	c->own = own;
}

uint64_t cache_lends(struct cache *c)
{
	uint64_t least = UINT64_MAX; /* all shards lend alike */
	for (uint32_t i = 0; i < c->n_shards; i++) {
		struct shard *s = &c->shard[i];
		pthread_mutex_lock(&s->lock);
		uint64_t most = s->fifo.cap / 4 * 3, main = s->fifo.main.bytes;
		pthread_mutex_unlock(&s->lock);
		uint64_t one = main < most ? most - main : 0;
		least = one < least ? one : least;
	}
	return least * c->n_shards;
}

/* What a shard may hold now. */
static size_t shard_room(const struct cache *c, const struct shard *s)
{
	uint64_t used = c->used ? atomic_load_explicit(c->used, memory_order_relaxed) : 0;
	uint64_t lent = used > c->own ? (used - c->own + c->n_shards - 1) / c->n_shards : 0;
	size_t most = s->fifo.cap / 4 * 3;
	return s->fifo.cap - (lent < most ? (size_t)lent : most);
}

/* Takes out what is beyond `room`; onto a list, to be freed outside the lock. */
static void shard_evict(struct shard *s, size_t room, struct s3fifo_entry **gone)
{
	while (s3fifo_bytes(&s->fifo) > room) {
		struct s3fifo_entry *victim = s3fifo_evict(&s->fifo);
		map_remove(&s->entries, victim->hash, entry_equal,
		           &((struct cache_entry *)victim)->key);
		victim->next = *gone;
		*gone = victim;
		s->stats.evictions++;
	}
}

static void gone_free(struct cache *c, struct s3fifo_entry *gone)
{
	while (gone) {
		struct s3fifo_entry *next = gone->next;
		entry_free(c, (struct cache_entry *)gone);
		gone = next;
	}
}

void cache_settle(struct cache *c)
{
	struct s3fifo_entry *gone = NULL;
	for (uint32_t i = 0; i < c->n_shards; i++) {
		struct shard *s = &c->shard[i];
		pthread_mutex_lock(&s->lock);
		shard_evict(s, shard_room(c, s), &gone);
		pthread_mutex_unlock(&s->lock);
	}
	gone_free(c, gone);
}

/* ---- landing ---- */

static void flight_unref(struct cache *c, struct cache_flight *f)
{
	if (--f->refs)
		return;
	blob_release(f->blob);
	mem_free(&c->account->env, f);
}

/* Makes room and takes the blob in. */
static void shard_insert(struct cache *c, struct shard *s, uint64_t hash,
                         const struct cache_key *key, struct blob *b, struct s3fifo_entry **gone)
{
	size_t bytes = b->charge + sizeof(struct cache_entry), room = shard_room(c, s);
	if (bytes > room || map_get(&s->entries, hash, entry_equal, key))
		return;
	struct cache_entry *e = mem_zalloc(&c->account->env, sizeof *e);
	if (!e || map_put(&s->entries, hash, e)) {
		mem_free(&c->account->env, e);
		return; /* not kept: the next one loads it again */
	}
	e->fifo.hash = hash;
	e->fifo.bytes = bytes;
	e->key = *key;
	e->blob = b;
	blob_retain(b);
	shard_evict(s, room - bytes, gone);
	s3fifo_insert(&s->fifo, &e->fifo);
}

static void flight_end(struct cache *c, const struct cache_key *key, struct blob *b,
                       const struct firn_error *err)
{
	uint64_t hash = key_hash(key);
	struct shard *s = shard_of(c, hash);
	struct s3fifo_entry *gone = NULL;
	pthread_mutex_lock(&s->lock);
	if (b)
		shard_insert(c, s, hash, key, b, &gone);
	struct cache_flight *f = map_remove(&s->flights, hash, flight_equal, key);
	assert(f && !f->done);
	f->done = true;
	if (b) {
		blob_retain(b);
		f->blob = b;
	} else {
		f->err = *err;
	}
	if (f->refs > 1)
		pthread_cond_broadcast(&s->landed);
	flight_unref(c, f);
	pthread_mutex_unlock(&s->lock);
	gone_free(c, gone);
}

void cache_fill(struct cache *c, const struct cache_key *key, struct blob *b)
{
	flight_end(c, key, b, NULL);
}

void cache_fail(struct cache *c, const struct cache_key *key, const struct firn_error *err)
{
	flight_end(c, key, NULL, err);
}

int cache_wait(struct cache *c, const struct cache_key *key, struct blob **out,
               struct firn_error *err)
{
	uint64_t hash = key_hash(key);
	struct shard *s = shard_of(c, hash);
	int rc = 0;
	pthread_mutex_lock(&s->lock);
	struct cache_flight *f = map_get(&s->flights, hash, flight_equal, key);
	if (!f) {
		*out = shard_find(s, hash, key, false);
		pthread_mutex_unlock(&s->lock);
		return *out ? 0 : FIRN_EAGAIN;
	}
	f->refs++;
	while (!f->done)
		pthread_cond_wait(&s->landed, &s->lock);
	*out = f->blob;
	if (f->blob) {
		blob_retain(f->blob);
	} else {
		rc = f->err.code ? f->err.code : FIRN_EIO;
		if (err)
			*err = f->err;
	}
	flight_unref(c, f);
	pthread_mutex_unlock(&s->lock);
	return rc;
}

void cache_stats(struct cache *c, struct cache_stats *out)
{
	*out = (struct cache_stats){ 0 };
	for (uint32_t i = 0; i < c->n_shards; i++) {
		struct shard *s = &c->shard[i];
		pthread_mutex_lock(&s->lock);
		out->bytes += s3fifo_bytes(&s->fifo);
		out->n_blobs += s->entries.n;
		out->hits += s->stats.hits;
		out->misses += s->stats.misses;
		out->loads += s->stats.loads;
		out->evictions += s->stats.evictions;
		pthread_mutex_unlock(&s->lock);
	}
}
