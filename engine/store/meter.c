#include "engine/store/meter.h"

static uint32_t bucket_of(uint64_t us)
{
	uint32_t i = us ? 63u - (uint32_t)__builtin_clzll(us) : 0;

	return i < METER_BUCKETS ? i : METER_BUCKETS - 1;
}

void meter_count(struct meter *m, const struct firn_store_request *answer, uint64_t took_ns,
                 int again)
{
	if (answer->op >= METER_OPS)
		return;
	struct meter_op *op = &m->op[answer->op];
	uint64_t *const by_outcome[] = { &op->n_done, &op->n_refused, &op->n_retry,
		                         &op->n_throttled, &op->n_ambiguous };

	op->n_sent++;
	op->n_again += again != 0;
	(*by_outcome[answer->outcome <= FIRN_STORE_AMBIGUOUS ? answer->outcome
	                                                     : FIRN_STORE_AMBIGUOUS])++;
	if (answer->op == FIRN_STORE_PUT || answer->op == FIRN_STORE_MULTIPART_PUT)
		op->bytes_out += answer->len;
	if (answer->op == FIRN_STORE_GET)
		op->bytes_in += answer->got;
	op->latency[bucket_of(took_ns / 1000u)]++;
	op->took_us += took_ns / 1000u;
}

void meter_count_lost(struct meter *m, uint32_t op, int again)
{
	if (op >= METER_OPS)
		return;
	m->op[op].n_sent++;
	m->op[op].n_again += again != 0;
	m->op[op].n_ambiguous++;
}

/* It is nothing but counters. */
void meter_add(struct meter *to, const struct meter *from)
{
	const uint64_t *in = (const uint64_t *)from;
	uint64_t *out = (uint64_t *)to;

	_Static_assert(sizeof *to % sizeof *out == 0, "a meter is an array of counters");
	for (size_t i = 0; i < sizeof *to / sizeof *out; i++)
		out[i] += in[i];
}

uint64_t meter_latency_us(const struct meter_op *op, uint32_t permille)
{
	uint64_t below = 0, want = (op->n_sent * permille + 999) / 1000;

	if (op->n_sent == 0)
		return 0;
	for (uint32_t i = 0; i < METER_BUCKETS; i++) {
		below += op->latency[i];
		if (below >= want && below)
			return UINT64_C(2) << i;
	}
	return UINT64_C(2) << (METER_BUCKETS - 1);
}

static uint64_t sent(const struct meter *m, const uint32_t *ops, int n)
{
	uint64_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += m->op[ops[i]].n_sent;
	return sum;
}

uint64_t meter_money(const struct meter *m, const struct meter_prices *p)
{
	static const uint32_t puts[] = { FIRN_STORE_PUT, FIRN_STORE_LIST,
		                         FIRN_STORE_MULTIPART_BEGIN, FIRN_STORE_MULTIPART_PUT,
		                         FIRN_STORE_MULTIPART_COMMIT };
	static const uint32_t gets[] = { FIRN_STORE_GET, FIRN_STORE_STAT };
	uint64_t out = m->op[FIRN_STORE_PUT].bytes_out + m->op[FIRN_STORE_MULTIPART_PUT].bytes_out;
	uint64_t in = m->op[FIRN_STORE_GET].bytes_in;

	/* MiB are fine enough, and do not overflow. */
	return sent(m, puts, 5) * p->per_1000_put / 1000 +
	       sent(m, gets, 2) * p->per_1000_get / 1000 + (in >> 20) * p->per_gib_in / 1024 +
	       (out >> 20) * p->per_gib_out / 1024;
}
