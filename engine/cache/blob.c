#include "engine/cache/blob.h"
#include "engine/base/spare.h"

/* own: the length of its memory */
static struct blob *blob_make(struct account *a, size_t own)
{
	atomic_fetch_add_explicit(&a->cache_bytes, own, memory_order_relaxed);
	struct blob *b = spare_alloc(a, own);
	if (!b) {
		atomic_fetch_sub_explicit(&a->cache_bytes, own, memory_order_relaxed);
		return NULL;
	}
	*b = (struct blob){ .account = a, .own = own, .charge = own };
	atomic_init(&b->refs, 1);
	atomic_init(&b->pins, 0);
	atomic_init(&b->holds, 0);
	atomic_init(&b->notes, NULL);
	account_retain(a);
	return b;
}

size_t blob_room(size_t len)
{
	return spare_len(sizeof(struct blob) + len);
}

struct blob *blob_new(struct account *a, size_t len, uint8_t **bytes)
{
	struct blob *b = blob_make(a, blob_room(len));
	if (!b)
		return NULL;
	b->len = len;
	b->data = *bytes = (uint8_t *)(b + 1);
	return b;
}

struct blob *blob_wrap(struct account *a, const uint8_t *data, size_t len, size_t charge,
                       void *owner, void (*release)(void *owner))
{
	struct blob *b = blob_make(a, sizeof *b);
	if (!b)
		return NULL;
	b->data = data;
	b->len = len;
	b->charge += charge;
	b->owner = owner;
	b->release = release;
	return b;
}

void blob_retain(struct blob *b)
{
	atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
}

void blob_release(struct blob *b)
{
	if (!b || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
		return;
	struct account *a = b->account;
	void *notes = atomic_load_explicit(&b->notes, memory_order_acquire);
	if (notes && b->notes_free)
		b->notes_free(&a->env, notes);
	size_t own = b->own;
	if (b->release)
		b->release(b->owner);
	spare_free(a, b, own);
	atomic_fetch_sub_explicit(&a->cache_bytes, own, memory_order_relaxed);
	account_release(a);
}

void blob_pin(struct blob *b)
{
	blob_retain(b);
	if (atomic_fetch_add_explicit(&b->pins, 1, memory_order_relaxed) == 0)
		atomic_fetch_add_explicit(&b->account->pin_bytes, b->charge, memory_order_relaxed);
}

void blob_unpin(struct blob *b)
{
	if (b && atomic_fetch_sub_explicit(&b->pins, 1, memory_order_relaxed) == 1)
		atomic_fetch_sub_explicit(&b->account->pin_bytes, b->charge, memory_order_relaxed);
	blob_release(b);
}
