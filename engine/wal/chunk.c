/* Group memory: aligned, reference counted, charged to the engine while it lives. */
#include "engine/base/mem.h"
#include "engine/wal/wal.h"

static void *take_memory(struct account *a, size_t cap)
{
	for (int i = 0; cap == a->spare_len && i < ACCOUNT_SPARES; i++) {
		void *p = atomic_exchange(&a->spare[i], NULL);
		if (p)
			return p;
	}
	return mem_alloc_pages(&a->env, cap);
}

static void give_memory(struct account *a, size_t cap, void *p)
{
	for (int i = 0; cap == a->spare_len && i < ACCOUNT_SPARES && p; i++) {
		void *none = NULL;
		if (atomic_compare_exchange_strong(&a->spare[i], &none, p))
			p = NULL;
	}
	mem_free(&a->env, p);
}

struct wal_chunk *wal_chunk_new(struct account *account, size_t cap)
{
	struct wal_chunk *c = mem_zalloc(&account->env, sizeof *c);
	if (!c)
		return NULL;
	c->data = take_memory(account, cap);
	if (!c->data) {
		mem_free(&account->env, c);
		return NULL;
	}
	atomic_init(&c->refs, 1);
	c->cap = cap;
	c->account = account;
	account_retain(account);
	atomic_fetch_add_explicit(&account->group_bytes, cap, memory_order_relaxed);
	return c;
}

void wal_chunk_retain(struct wal_chunk *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
}

void wal_chunk_release(struct wal_chunk *c)
{
	if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
		return;
	struct account *account = c->account;
	atomic_fetch_sub_explicit(&account->group_bytes, c->cap, memory_order_relaxed);
	give_memory(account, c->cap, c->data);
	mem_free(&account->env, c);
	account_release(account);
}
