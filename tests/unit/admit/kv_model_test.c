/* Random writes against plain arrays: up to eight in flight, applied in order. A second store is
 * fed as replay feeds it, without assignments, and must show the same durable pairs. */
#include "engine/admit/kv.h"
#include "tests/unit/admit/fixture.h"
#include <criterion/criterion.h>
#include <firn/error.h>
#include <firn/write.h>
#include <string.h>

TestSuite(kv_model, .timeout = 60);

enum { N_STREAM = 3, N_KEY = 40, N_FLIGHT = 8, N_OP = 4, VALUE_MAX = 40 };

struct cell {
	bool there;
	uint64_t rev;
	uint32_t len;
	uint8_t data[VALUE_MAX];
};

struct op {
	enum { OP_PUT, OP_DELETE, OP_RANGE, OP_STREAM } kind;
	uint32_t stream, key, key_to;
	struct cell value;
};

struct write {
	uint64_t rev;
	uint32_t n;
	struct op op[N_OP];
};

struct world {
	uint64_t chance, rev;
	struct kv *kv, *replayed;
	struct cell durable[N_STREAM][N_KEY], assigned[N_STREAM][N_KEY];
	struct write flight[N_FLIGHT];
	uint32_t first, n;
};

static const uint64_t streams[N_STREAM] = { 0, 3, UINT64_C(1) << 40 };

/* Keys in bytewise order, lengths mixed: 0 -> "a", 1 -> "aa", 2 -> "b", ... */
static uint32_t key_of(uint32_t i, char out[2])
{
	out[0] = (char)('a' + i / 2);
	out[1] = 'a';
	return 1 + i % 2;
}

/* ---- the model ------------------------------------------------------------------------------- */

static void model_do(struct cell to[N_STREAM][N_KEY], const struct op *op, uint64_t rev)
{
	struct cell *row = to[op->stream];
	if (op->kind == OP_PUT) {
		row[op->key] = op->value;
		row[op->key].rev = rev;
		return;
	}
	uint32_t from = op->kind == OP_STREAM ? 0 : op->key;
	uint32_t end = op->kind == OP_STREAM ? N_KEY : op->kind == OP_RANGE ? op->key_to : from + 1;
	for (uint32_t i = from; i < end; i++)
		row[i].there = false;
}

static bool same(const struct kv_value *v, const struct cell *c)
{
	if (!v || !c->there)
		return !v && !c->there;
	return v->rev == c->rev && v->len == c->len && memcmp(v->data, c->data, v->len) == 0;
}

struct scan {
	struct world *w;
	uint32_t stream, key, end; /* the next that the model may hold, and the bound */
	bool all;
};

static int scan_each(void *arg, uint64_t stream, const uint8_t *key, uint32_t key_len,
                     const struct kv_value *value)
{
	struct scan *s = arg;
	while (s->stream < N_STREAM && !(s->key < s->end && s->w->durable[s->stream][s->key].there))
		if (++s->key >= s->end) {
			cr_assert(s->all);
			s->stream++;
			s->key = 0;
		}
	char name[2];
	cr_assert(s->stream < N_STREAM && stream == streams[s->stream]);
	cr_assert(key_of(s->key, name) == key_len && memcmp(key, name, key_len) == 0);
	cr_assert(same(value, &s->w->durable[s->stream][s->key]));
	s->key++;
	return 0;
}

static void nothing_left(const struct scan *s)
{
	for (uint32_t i = s->stream; i < (s->all ? N_STREAM : s->stream + 1); i++)
		for (uint32_t k = i == s->stream ? s->key : 0; k < s->end; k++)
			cr_assert(!s->w->durable[i][k].there);
}

static void compare_scans(struct world *w)
{
	struct scan all = { .w = w, .end = N_KEY, .all = true };
	cr_assert_eq(kv_scan(w->kv, FIRN_STREAM_ALL, NULL, 0, NULL, 0, scan_each, &all), 0);
	nothing_left(&all);
	uint32_t i = chance_below(&w->chance, N_STREAM), from = chance_below(&w->chance, N_KEY),
	         to = from + chance_below(&w->chance, N_KEY - from);
	char a[2], b[2];
	uint32_t a_len = key_of(from, a), b_len = key_of(to, b);
	struct scan one = { .w = w, .stream = i, .key = from, .end = to };
	cr_assert_eq(kv_scan(w->kv, streams[i], a, a_len, b, b_len, scan_each, &one), 0);
	nothing_left(&one);
	struct scan again = { .w = w, .end = N_KEY, .all = true };
	cr_assert_eq(kv_scan(w->replayed, FIRN_STREAM_ALL, NULL, 0, NULL, 0, scan_each, &again), 0);
	nothing_left(&again);
}

static void compare(struct world *w)
{
	for (uint32_t i = 0; i < N_STREAM; i++)
		for (uint32_t k = 0; k < N_KEY; k++) {
			char key[2];
			uint32_t len = key_of(k, key);
			cr_assert(same(kv_get_durable(w->kv, streams[i], key, len),
			               &w->durable[i][k]));
			cr_assert(same(kv_get_assigned(w->kv, streams[i], key, len),
			               &w->assigned[i][k]));
		}
	compare_scans(w);
}

/* ---- the writes ------------------------------------------------------------------------------ */

static struct op random_op(struct world *w)
{
	struct op op = { .stream = chance_below(&w->chance, N_STREAM),
		         .key = chance_below(&w->chance, N_KEY) };
	uint32_t die = chance_below(&w->chance, 40);
	op.kind = die < 26 ? OP_PUT : die < 34 ? OP_DELETE : die < 39 ? OP_RANGE : OP_STREAM;
	if (chance_below(&w->chance, 2))
		op.key %= 4; /* often the same few */
	op.key_to = op.key + chance_below(&w->chance, N_KEY - op.key);
	op.value.there = true;
	op.value.len = chance_below(&w->chance, VALUE_MAX + 1);
	memset(op.value.data, (int)chance_below(&w->chance, 256), op.value.len);
	return op;
}

static void assign_op(struct world *w, const struct op *op, struct kv_prepared *p, uint64_t rev)
{
	char a[2], b[2];
	uint32_t a_len = key_of(op->key, a), b_len = key_of(op->key_to, b);
	uint64_t stream = streams[op->stream];
	if (op->kind == OP_PUT)
		kv_assign(w->kv, p, rev);
	else if (op->kind == OP_STREAM)
		kv_assign_delete_stream(w->kv, stream, rev);
	else if (op->kind == OP_RANGE)
		kv_assign_delete(w->kv, stream, a, a_len, b, b_len, rev);
	else
		kv_assign_delete(w->kv, stream, a, a_len, NULL, 0, rev);
}

static void apply_op(struct kv *kv, const struct op *op, uint64_t rev)
{
	char a[2], b[2];
	uint32_t a_len = key_of(op->key, a), b_len = key_of(op->key_to, b);
	uint64_t stream = streams[op->stream];
	if (op->kind == OP_PUT)
		cr_assert_eq(kv_apply(kv, stream, a, a_len, op->value.data, op->value.len, rev),
		             FIRN_OK);
	else if (op->kind == OP_STREAM)
		kv_apply_delete_stream(kv, stream, rev);
	else if (op->kind == OP_RANGE)
		kv_apply_delete(kv, stream, a, a_len, b, b_len, rev);
	else
		kv_apply_delete(kv, stream, a, a_len, NULL, 0, rev);
}

static void submit(struct world *w)
{
	struct write *wr = &w->flight[(w->first + w->n) % N_FLIGHT];
	struct kv_prepared p[N_OP] = { 0 };
	wr->n = 1 + chance_below(&w->chance, N_OP);
	for (uint32_t i = 0; i < wr->n; i++) {
		char key[2];
		struct op *op = &wr->op[i];
		*op = random_op(w);
		uint32_t len = key_of(op->key, key);
		if (op->kind == OP_PUT)
			cr_assert_eq(kv_prepare(w->kv, streams[op->stream], key, len,
			                        op->value.data, op->value.len, &p[i]),
			             FIRN_OK);
	}
	if (chance_below(&w->chance, 4) == 0) { /* refused after all */
		for (uint32_t i = 0; i < wr->n; i++)
			kv_drop(w->kv, &p[i]);
		return;
	}
	wr->rev = ++w->rev;
	for (uint32_t i = 0; i < wr->n; i++) {
		assign_op(w, &wr->op[i], &p[i], wr->rev);
		model_do(w->assigned, &wr->op[i], wr->rev);
	}
	w->n++;
}

static void make_durable(struct world *w)
{
	struct write *wr = &w->flight[w->first];
	for (uint32_t i = 0; i < wr->n; i++) {
		apply_op(w->kv, &wr->op[i], wr->rev);
		apply_op(w->replayed, &wr->op[i], wr->rev);
		model_do(w->durable, &wr->op[i], wr->rev);
	}
	w->first = (w->first + 1) % N_FLIGHT;
	w->n--;
}

static void run(uint64_t seed)
{
	static struct world w;
	memset(&w, 0, sizeof w);
	w.chance = seed;
	cr_assert_eq(kv_open(env_default(), seed, &w.kv), FIRN_OK);
	cr_assert_eq(kv_open(env_default(), ~seed, &w.replayed), FIRN_OK);
	uint64_t empty = kv_bytes(w.kv);
	for (int step = 0; step < 1000; step++) {
		if (w.n < N_FLIGHT && (!w.n || chance_below(&w.chance, 2)))
			submit(&w);
		else
			make_durable(&w);
		compare(&w);
	}
	while (w.n)
		make_durable(&w);
	compare(&w);
	for (uint32_t i = 0; i < N_STREAM; i++) {
		kv_assign_delete_stream(w.kv, streams[i], ++w.rev);
		kv_apply_delete_stream(w.kv, streams[i], w.rev);
	}
	cr_assert_eq(kv_bytes(w.kv), empty);
	kv_close(w.kv);
	kv_close(w.replayed);
}

Test(kv_model, agrees_with_plain_arrays)
{
	for (uint64_t seed = 1; seed <= 12; seed++)
		run(seed);
}

Test(kv_model, what_is_in_flight_at_close_is_freed)
{
	static struct world w;
	w.chance = 99;
	cr_assert_eq(kv_open(env_default(), 0, &w.kv), FIRN_OK);
	for (int i = 0; i < 20; i++, w.n = 0)
		submit(&w);
	kv_close(w.kv);
}
