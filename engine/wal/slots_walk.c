/* Another engine's log, read from a position to its end, which is made if there is none: the seal.
 *
 *   slot 7 ─► slot 8 ─► nothing ─► PUT seal, if absent ─► done
 *                          ▲             └─ refused: read again: the writer was faster, or another sealer
 *                          └── any slot behind that says "acked below 10": slot 9 was lost, not never there
 *
 * Blocks; any thread. */
#include "engine/wal/slots.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/store/store.h"
#include <stdio.h>

enum { HEAD_GUESS = 4096 };
enum { LOOKS = 4096 }; /* at one slot: a store that changes its mind is not asked for ever */

int slots_read_head(struct store *store, const uint8_t log_id[16], uint64_t slot,
                    struct slots_head *h, struct buf *b, struct firn_error *err)
{
	char key[SLOTS_KEY_MAX];
	size_t want = HEAD_GUESS, got = 0;
	slots_key(log_id, slot, key);
	for (;;) {
		b->len = 0;
		uint8_t *to = buf_add(b, want);
		int rc = to ? store_get(store, key, 0, to, want, &got, err)
		            : fail(err, FIRN_ENOMEM, 0, "wal", "no memory for a slot");
		if (rc)
			return rc;
		size_t head = slots_head_len(b->data, got);
		if (head <= got || got < want || want > HEAD_GUESS || head > SLOTS_MAX_BYTES)
			break;
		want = head;
	}
	int rc = slots_head_get(b->data, got, h, err);
	if (!rc && (h->slot != slot || memcmp(h->log_id, log_id, 16) != 0))
		rc = fail(err, FIRN_ECORRUPT, 0, "wal", "it belongs elsewhere");
	return rc ? fail_context(err, rc, "%s", key) : 0;
}

static int read_group(struct slots_walk *w, const struct slots_head *h, const uint8_t *group,
                      uint8_t **out, struct firn_error *err)
{
	struct wal_group_header gh;
	bool sane = h->group_len >= WAL_GROUP_HEADER && h->group_len < SLOTS_MAX_BYTES;
	uint64_t len = sane ? wal_group_len((uint32_t)h->group_len) : 0;
	if (!sane)
		return fail(err, FIRN_ECORRUPT, 0, "wal", "its group has %llu bytes",
		            (unsigned long long)h->group_len);
	uint8_t *g = mem_alloc_pages(w->env, len);
	if (!g)
		return fail(err, FIRN_ENOMEM, 0, "wal", "no memory for a slot");
	memcpy(g, group, h->group_len);
	memset(g + h->group_len, 0, len - h->group_len);
	int rc = wal_group_header_get(g, len, &gh);
	if (!rc && (gh.used != h->group_len || gh.header_sum != h->group_sum))
		rc = FIRN_ECORRUPT;
	rc = rc ? fail(err, rc, 0, "wal", "its group is not the one that its header means")
	        : wal_group_verify(g, len, &gh, NULL, err);
	if (rc)
		mem_free(w->env, g);
	else
		*out = g;
	return rc;
}

static int each_record(struct slots_walk *w, const struct slots_head *h, const uint8_t *group,
                       slots_each *each, void *arg, struct firn_error *err)
{
	struct slots_row row;
	uint8_t *g = NULL;
	uint32_t i = 0;
	for (; i < h->n_volume; i++) {
		slots_row_get(w->data.data, i, &row);
		if (!memcmp(row.id, w->volume_id, 16))
			break;
	}
	int rc = read_group(w, h, group, &g, err);
	struct wal_record r;
	for (uint32_t pos = WAL_GROUP_HEADER;
	     !rc && i < h->n_volume &&
	     (pos = wal_record_next(g, (uint32_t)h->group_len, pos, &r)) != 0;)
		if (r.type == WAL_WRITE && r.volume_no == row.volume_no)
			rc = each(arg, &r, g);
	mem_free(w->env, g);
	return rc;
}

struct later {
	struct slots_walk *w;
	struct firn_error *err;
	char key[SLOTS_KEY_MAX]; /* a slot whose writer knew the hole to be filled; "": none */
};

static int look_behind(void *arg, const char *key, uint64_t size)
{
	struct later *l = arg;
	struct slots_head h;
	const uint8_t *group;
	struct buf b;
	(void)size;
	buf_init(&b, l->w->env);
	int rc = store_get_all(l->w->store, key, SLOTS_MAX_BYTES, &b, NULL, l->err);
	if (rc == FIRN_ENOENT)
		rc = 0; /* it went while we looked: of no more use to anybody */
	else if (!rc && !slots_decode(b.data, b.len, &h, &group, NULL) && h.kind == SLOTS_GROUP &&
	         h.acked > l->w->slot)
		(void)snprintf(l->key, sizeof l->key, "%s", key);
	buf_fini(&b);
	return rc;
}

/* 0: it is one; 1: its writer has filled it meanwhile. */
static int check_hole(struct slots_walk *w, struct firn_error *err)
{
	struct later l = { .w = w, .err = err };
	char key[SLOTS_KEY_MAX], prefix[SLOTS_KEY_MAX];
	if (!(store_caps(w->store) & FIRN_STORE_CAN_LIST))
		return 0;
	slots_key(w->log_id, w->slot, key);
	(void)snprintf(prefix, sizeof prefix, "%.*s", (int)(strrchr(key, '/') + 1 - key), key);
	int rc = store_list(w->store, prefix, key, look_behind, &l, err);
	if (rc || !l.key[0])
		return rc;
	/* It was there before that slot was sent: now, or it is lost. */
	w->data.len = 0;
	rc = store_get_all(w->store, key, SLOTS_MAX_BYTES, &w->data, NULL, err);
	if (rc != FIRN_ENOENT)
		return rc ? rc : 1;
	return fail(err, FIRN_ECORRUPT, 0, "wal",
	            "slot %llu of the log is gone, but %s was written when it was acked",
	            (unsigned long long)w->slot, l.key);
}

/* 0: sealed, or it was; 1: look again. */
static int seal(struct slots_walk *w, struct firn_error *err)
{
	struct buf b;
	char key[SLOTS_KEY_MAX];
	struct slots_head h = { .kind = SLOTS_SEAL, .slot = w->slot };
	int rc = check_hole(w, err);
	if (rc)
		return rc;
	memcpy(h.log_id, w->log_id, 16);
	slots_key(w->log_id, w->slot, key);
	buf_init(&b, w->env);
	slots_encode(&h, NULL, &b);
	struct iovec iov = { b.data, b.len };
	rc = b.failed ? fail(err, FIRN_ENOMEM, 0, "wal", "no memory for a seal")
	              : store_put(w->store, key, &iov, 1, STORE_IF_ABSENT, NULL, NULL, err);
	buf_fini(&b);
	bool unclear = rc == FIRN_ECONFLICT ||
	               (rc == FIRN_ESTORE && err->flags & FIRN_ERR_AMBIGUOUS);
	return unclear ? 1 : rc;
}

/* One slot; 0: the end, 1: go on. */
static int step(struct slots_walk *w, slots_each *each, void *arg, struct firn_error *err)
{
	struct slots_head h;
	const uint8_t *group;
	char key[SLOTS_KEY_MAX];
	slots_key(w->log_id, w->slot, key);
	w->data.len = 0;
	int rc = store_get_all(w->store, key, SLOTS_MAX_BYTES, &w->data, NULL, err);
	if (rc == FIRN_ENOENT)
		return w->looks ? check_hole(w, err) : seal(w, err);
	rc = rc ? rc : slots_decode(w->data.data, w->data.len, &h, &group, err);
	if (!rc && (h.slot != w->slot || memcmp(h.log_id, w->log_id, 16) != 0))
		rc = fail(err, FIRN_ECORRUPT, 0, "wal", "it belongs elsewhere");
	if (!rc && h.kind == SLOTS_SEAL)
		return 0;
	rc = rc ? rc : each_record(w, &h, group, each, arg, err);
	w->slot += !rc;
	return rc ? fail_context(err, rc, "%s", key) : 1;
}

int slots_walk(struct slots_walk *w, slots_each *each, void *arg, struct firn_error *err)
{
	struct firn_error mine = { .struct_size = sizeof mine };
	uint64_t at = w->slot;
	int rc = 1;
	err = err ? err : &mine;
	for (uint32_t looks = 0; rc == 1 && w->slot < w->end; looks++) {
		looks = w->slot == at ? looks : 0;
		at = w->slot;
		rc = looks < LOOKS ? step(w, each, arg, err)
		                   : fail(err, FIRN_ESTORE, 0, "wal", "slot %llu cannot be settled",
		                          (unsigned long long)at);
	}
	return rc == 1 ? 0 : rc;
}
