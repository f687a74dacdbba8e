/* Looking through the logs of a store, see logs.h. */
#include "engine/salvage/logs.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/wal/slots.h"
#include <string.h>

struct found_slot {
	uint8_t log_id[16];
	uint64_t slot;
	bool seal; /* as short as one */
};

struct look {
	const struct firn_env *env;
	struct store *store;
	const uint8_t *volume_id;
	uint64_t above;
	struct logs_report *out;
	struct firn_error *err;
	struct found_slot *key; /* of one log after the other, slots rise */
	size_t n, cap;
};

static int take_key(void *arg, const char *key, uint64_t size)
{
	struct look *l = arg;
	struct found_slot f = { .seal = size == SLOTS_HEAD };
	void *p = l->key;
	if (!slots_key_parse(key, f.log_id, &f.slot))
		return 0;
	if (mem_grow(l->env, &p, &l->cap, l->n, l->n + 1, sizeof f))
		return fail(l->err, FIRN_ENOMEM, 0, "rebuild", "no memory");
	l->key = p;
	l->key[l->n++] = f;
	return 0;
}

/* 1: it is damaged, and counted; FIRN_ENOENT: it went meanwhile. */
static int head_of(struct look *l, const struct found_slot *f, struct slots_head *h, struct buf *b)
{
	int rc = slots_read_head(l->store, f->log_id, f->slot, h, b, l->err);
	bool damaged = rc == FIRN_ECORRUPT || rc == FIRN_EUNSUPPORTED;
	l->out->n_damaged += damaged;
	return damaged ? 1 : rc;
}

static int take_slot(struct look *l, const struct found_slot *f, bool *has, struct buf *b)
{
	struct slots_head h;
	struct logs_report *out = l->out;
	int rc = head_of(l, f, &h, b);
	if (rc)
		return rc == FIRN_ENOENT || rc == 1 ? 0 : rc;
	bool counts = false;
	for (uint32_t i = 0; i < h.n_volume; i++) {
		struct slots_row row;
		slots_row_get(b->data, i, &row);
		if (memcmp(row.id, l->volume_id, 16) != 0 || row.rev_last <= l->above)
			continue;
		uint64_t first = row.rev_first > l->above ? row.rev_first : l->above + 1;
		out->rev_first = !out->rev_first || first < out->rev_first ? first : out->rev_first;
		out->rev_last = row.rev_last > out->rev_last ? row.rev_last : out->rev_last;
		counts = true;
	}
	out->n_slot += counts;
	*has |= counts;
	return 0;
}

/* Keys [from, to) are of one log. */
static int take_log(struct look *l, size_t from, size_t to, struct buf *b)
{
	uint64_t end = UINT64_MAX;
	bool has = false;
	int rc = 0;
	for (size_t i = from; i < to && rc >= 0; i++) {
		struct slots_head h;
		if (!l->key[i].seal || l->key[i].slot >= end)
			continue;
		rc = head_of(l, &l->key[i], &h, b);
		rc = rc == FIRN_ENOENT ? 1 : rc;
		if (!rc && h.kind == SLOTS_SEAL && !slots_seal_of_sweep(&h))
			end = h.slot;
	}
	rc = rc < 0 ? rc : 0;
	for (size_t i = from; i < to && !rc; i++)
		if (!l->key[i].seal && l->key[i].slot < end)
			rc = take_slot(l, &l->key[i], &has, b);
	l->out->n_log += has;
	return rc;
}

int logs_look(const struct firn_env *env, struct store *store, const uint8_t volume_id[16],
              uint64_t above, struct logs_report *out, struct firn_error *err)
{
	struct firn_error ignored = FIRN_ERROR_INIT;
	struct look l = { .env = env,
		          .store = store,
		          .volume_id = volume_id,
		          .above = above,
		          .out = out,
		          .err = err ? err : &ignored };
	struct buf b;
	buf_init(&b, env);
	int rc = store_list(store, ".firn-wal/", "", take_key, &l, l.err);
	for (size_t from = 0, to; from < l.n && !rc; from = to) {
		for (to = from + 1; to < l.n; to++)
			if (memcmp(l.key[from].log_id, l.key[to].log_id, 16) != 0)
				break;
		rc = take_log(&l, from, to, &b);
	}
	buf_fini(&b);
	mem_free(env, l.key);
	return rc;
}
