/* A reference-counted piece of verified bytes: what the cache holds and what results point into.
 * It lives as long as somebody holds a reference, evicted or not.
 *
 *   decoded frame   the bytes lie behind the header; the memory is used again (base/spare.h)
 *   WAL group       the bytes belong to `owner`, given back by release()
 *
 * What results hold is counted in account->pin_bytes, once however many hold it.
 * Counted in account->cache_bytes while alive (an owner counts for itself). No lock: the bytes
 * do not change once others can see the blob. */
#ifndef CACHE_BLOB_H
#define CACHE_BLOB_H
#include "engine/base/account.h"
#include <stddef.h>
#include <stdint.h>

struct blob {
	atomic_uint refs, pins;
	atomic_uint holds; /* of hold.c, which counts it once */
	struct account *account;
	const uint8_t *data;
	size_t len, charge; /* charge: what the cache counts */
	size_t own;         /* of its memory: this header, and the bytes behind it */
	void *owner;
	void (*release)(void *owner);
	/* What its user worked out from the bytes: a list that only grows, see stored.c. */
	_Atomic(void *) notes;
	void (*notes_free)(const struct firn_env *env, void *notes);
};

size_t blob_room(size_t len); /* memory that blob_new() takes */
/* len bytes to be filled through *bytes. NULL without memory. */
struct blob *blob_new(struct account *a, size_t len, uint8_t **bytes);
/* Wraps bytes of another owner; the owner's reference goes over to the blob. NULL: it did not. */
struct blob *blob_wrap(struct account *a, const uint8_t *data, size_t len, size_t charge,
                       void *owner, void (*release)(void *owner));
void blob_retain(struct blob *b);
void blob_release(struct blob *b); /* NULL is allowed */
/* A reference that counts as pinned. */
void blob_pin(struct blob *b);
void blob_unpin(struct blob *b); /* NULL is allowed */
#endif
