/* Group memory: aligned, reference counted, charged to the engine while it lives. */
#include "engine/base/mem.h"
#include "engine/wal/wal.h"

struct wal_chunk *wal_chunk_new(struct account *account, size_t cap)
{
	struct wal_chunk *c = mem_zalloc(&account->env, sizeof *c);
	if (!c)
		return NULL;
	c->data = mem_alloc_pages(&account->env, cap);
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
	mem_free(&account->env, c->data);
	mem_free(&account->env, c);
	account_release(account);
}
