/* Key-value pairs, as they are on disk and as they will be.
 *
 *   prepare ─► node (invisible) ─► assign ─► pending ─► apply ─► durable
 *                └► drop: gone again
 *
 * What preconditions see of a key is its pending state if it has one, else the durable value.
 * Only the last pending state is kept: when a second write changes a key before the first is
 * applied, the first's value is copied from its record at its apply. Within one write (one rev)
 * apply may show a later value early; nobody sees it, for a write is applied whole under the
 * volume's lock.
 *
 * Nothing here fails but for memory, in open, prepare and apply; then nothing has changed. */
#include "engine/admit/kv_list.h"
#include "engine/base/mem.h"
#include <assert.h>
#include <firn/error.h>
#include <string.h>

/* ---- values ---------------------------------------------------------------------------------- */

static struct kv_value *value_make(struct kv *kv, const void *data, uint32_t len, uint64_t rev)
{
	struct kv_value *v = mem_alloc(kv->env, sizeof *v + len);
	if (!v)
		return NULL;
	v->rev = rev;
	v->len = len;
	if (len)
		memcpy(v->data, data, len);
	kv->bytes += sizeof *v + len;
	return v;
}

static void value_free(struct kv *kv, struct kv_value *v)
{
	if (!v)
		return;
	kv->bytes -= sizeof *v + v->len;
	mem_free(kv->env, v);
}

static bool value_is(const struct kv_value *v, const void *data, uint32_t len, uint64_t rev)
{
	return v && v->rev == rev && v->len == len && (!len || memcmp(v->data, data, len) == 0);
}

static const struct kv_value *assigned(const struct kv_node *n)
{
	return n->state == KV_SETTLED ? n->durable : n->pending;
}

static bool is_idle(const struct kv_node *n)
{
	return !n->durable && n->state == KV_SETTLED && !n->holders;
}

/* ---- open, close, get ------------------------------------------------------------------------ */

int kv_open(const struct firn_env *env, uint64_t seed, struct kv **out)
{
	struct kv *kv = mem_zalloc(env, sizeof *kv);
	struct kv_node *head = mem_zalloc(env, kv_node_size(KV_LEVELS, 0));
	if (!kv || !head) {
		mem_free(env, head);
		mem_free(env, kv);
		return FIRN_ENOMEM;
	}
	head->level = KV_LEVELS;
	kv->env = env;
	kv->random = seed ? seed : UINT64_C(0x9e3779b97f4a7c15); /* xorshift stays at 0 */
	kv->head = head;
	kv->bytes = sizeof *kv + kv_node_size(KV_LEVELS, 0);
	*out = kv;
	return FIRN_OK;
}

void kv_close(struct kv *kv)
{
	if (!kv)
		return;
	for (struct kv_node *n = kv->head, *next; n; n = next) {
		next = n->next[0];
		mem_free(kv->env, n->durable);
		mem_free(kv->env, n->pending);
		mem_free(kv->env, n);
	}
	mem_free(kv->env, kv);
}

uint64_t kv_bytes(const struct kv *kv)
{
	return kv->bytes;
}

const struct kv_value *kv_get_assigned(const struct kv *kv, uint64_t stream, const void *key,
                                       uint32_t key_len)
{
	const struct kv_node *n = kv_list_find(kv, stream, key, key_len, NULL);
	return n ? assigned(n) : NULL;
}

const struct kv_value *kv_get_durable(const struct kv *kv, uint64_t stream, const void *key,
                                      uint32_t key_len)
{
	const struct kv_node *n = kv_list_find(kv, stream, key, key_len, NULL);
	return n ? n->durable : NULL;
}

/* ---- prepare, then assign or drop ------------------------------------------------------------ */

static struct kv_node *find_or_make(struct kv *kv, uint64_t stream, const void *key,
                                    uint32_t key_len)
{
	struct kv_path path;
	struct kv_node *n = kv_list_find(kv, stream, key, key_len, &path);
	return n ? n : kv_list_insert(kv, &path, stream, key, key_len);
}

static void free_if_idle(struct kv *kv, struct kv_node *n)
{
	struct kv_path path;
	if (!is_idle(n))
		return;
	kv_list_seek(kv, n->stream, kv_node_key(n), n->key_len, &path);
	kv_list_remove(kv, &path, n);
}

int kv_prepare(struct kv *kv, uint64_t stream, const void *key, uint32_t key_len, const void *value,
               uint32_t value_len, struct kv_prepared *out)
{
	struct kv_value *v = value_make(kv, value, value_len, 0);
	struct kv_node *n = v ? find_or_make(kv, stream, key, key_len) : NULL;
	if (!n) {
		value_free(kv, v);
		return FIRN_ENOMEM;
	}
	n->holders++;
	*out = (struct kv_prepared){ .node = n, .value = v };
	return FIRN_OK;
}

void kv_drop(struct kv *kv, struct kv_prepared *p)
{
	struct kv_node *n = p->node;
	if (!n)
		return;
	assert(n->holders > 0);
	n->holders--;
	value_free(kv, p->value);
	*p = (struct kv_prepared){ 0 };
	free_if_idle(kv, n);
}

static void set_pending(struct kv *kv, struct kv_node *n, enum kv_state state, struct kv_value *v,
                        uint64_t rev)
{
	assert(n->state == KV_SETTLED || n->pending_rev <= rev);
	value_free(kv, n->pending);
	n->state = (uint8_t)state;
	n->pending = v;
	n->pending_rev = state == KV_SETTLED ? 0 : rev;
}

void kv_assign(struct kv *kv, struct kv_prepared *p, uint64_t rev)
{
	struct kv_node *n = p->node;
	assert(n && n->holders > 0);
	n->holders--;
	p->value->rev = rev;
	set_pending(kv, n, KV_PUTTING, p->value, rev);
	*p = (struct kv_prepared){ 0 };
}

/* ---- ranges: deletions ----------------------------------------------------------------------- */

enum range_kind { RANGE_KEY, RANGE_UNTIL, RANGE_STREAM };

struct range {
	enum range_kind kind;
	uint64_t stream;
	const void *from, *to;
	uint32_t from_len, to_len;
};

static struct range range_of(uint64_t stream, const void *key, uint32_t key_len, const void *key_to,
                             uint32_t key_to_len)
{
	return (struct range){ .kind = key_to_len ? RANGE_UNTIL : RANGE_KEY,
		               .stream = stream,
		               .from = key,
		               .from_len = key_len,
		               .to = key_to,
		               .to_len = key_to_len };
}

/* For a node that is not below the range's beginning. */
static bool range_holds(const struct range *r, const struct kv_node *n)
{
	if (n->stream != r->stream)
		return false;
	if (r->kind == RANGE_UNTIL)
		return kv_key_compare(kv_node_key(n), n->key_len, r->to, r->to_len) < 0;
	return r->kind == RANGE_STREAM ||
	       kv_key_compare(kv_node_key(n), n->key_len, r->from, r->from_len) == 0;
}

static void range_assign_delete(struct kv *kv, const struct range *r, uint64_t rev)
{
	struct kv_node *n = kv_list_seek(kv, r->stream, r->from, r->from_len, NULL);
	for (; n && range_holds(r, n); n = n->next[0])
		if (assigned(n))
			set_pending(kv, n, KV_DELETING, NULL, rev);
}

static void range_apply_delete(struct kv *kv, const struct range *r, uint64_t rev)
{
	struct kv_path path;
	struct kv_node *n = kv_list_seek(kv, r->stream, r->from, r->from_len, &path), *next;
	for (; n && range_holds(r, n); n = next) {
		next = n->next[0];
		value_free(kv, n->durable);
		n->durable = NULL;
		if (n->state == KV_DELETING && n->pending_rev == rev)
			set_pending(kv, n, KV_SETTLED, NULL, rev);
		if (is_idle(n))
			kv_list_remove(kv, &path, n);
		else
			kv_list_pass(&path, n);
	}
}

void kv_assign_delete(struct kv *kv, uint64_t stream, const void *key, uint32_t key_len,
                      const void *key_to, uint32_t key_to_len, uint64_t rev)
{
	struct range r = range_of(stream, key, key_len, key_to, key_to_len);
	range_assign_delete(kv, &r, rev);
}

void kv_assign_delete_stream(struct kv *kv, uint64_t stream, uint64_t rev)
{
	range_assign_delete(kv, &(struct range){ .kind = RANGE_STREAM, .stream = stream }, rev);
}

void kv_apply_delete(struct kv *kv, uint64_t stream, const void *key, uint32_t key_len,
                     const void *key_to, uint32_t key_to_len, uint64_t rev)
{
	struct range r = range_of(stream, key, key_len, key_to, key_to_len);
	range_apply_delete(kv, &r, rev);
}

void kv_apply_delete_stream(struct kv *kv, uint64_t stream, uint64_t rev)
{
	range_apply_delete(kv, &(struct range){ .kind = RANGE_STREAM, .stream = stream }, rev);
}

/* ---- apply a put ----------------------------------------------------------------------------- */

/* The pending value of this very write becomes the durable one: no copy, nothing can fail. */
static void settle(struct kv *kv, struct kv_node *n)
{
	value_free(kv, n->durable);
	n->durable = n->pending;
	n->pending = NULL;
	n->state = KV_SETTLED;
	n->pending_rev = 0;
}

int kv_apply(struct kv *kv, uint64_t stream, const void *key, uint32_t key_len, const void *value,
             uint32_t value_len, uint64_t rev)
{
	struct kv_path path;
	struct kv_node *n = kv_list_find(kv, stream, key, key_len, &path);
	if (n && n->state != KV_SETTLED && n->pending_rev == rev) {
		if (n->state == KV_PUTTING)
			settle(kv, n);
		return FIRN_OK; /* else a later operation of the same write deletes it */
	}
	if (n && value_is(n->durable, value, value_len, rev))
		return FIRN_OK; /* the write put the key twice: settled with its first put */
	struct kv_value *v = value_make(kv, value, value_len, rev);
	if (v && !n)
		n = kv_list_insert(kv, &path, stream, key, key_len);
	if (!n || !v) {
		value_free(kv, v);
		return FIRN_ENOMEM;
	}
	value_free(kv, n->durable);
	n->durable = v;
	return FIRN_OK;
}
