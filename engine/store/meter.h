/* What a store was asked and how it went: counted per handle, from its opening on. */
#ifndef STORE_METER_H
#define STORE_METER_H
#include <firn/store.h>

enum { METER_OPS = FIRN_STORE_MULTIPART_ABORT + 1, METER_BUCKETS = 32 };

/* One kind of request. Every attempt counts, tries again and hedges included: it is what the store
 * sees and bills. */
struct meter_op {
	uint64_t n_sent;
	uint64_t n_done,
	        n_refused; /* refused: PERMANENT, the ENOENT and ECONFLICT of everyday among them */
	uint64_t n_retry, n_throttled, n_ambiguous; /* by outcome */
	uint64_t n_again;                           /* of n_sent: second and later attempts */
	uint64_t bytes_out, bytes_in;               /* put; got */
	/* Latency: bucket i counts attempts that took [2^i, 2^(i+1)) microseconds; 0 also what was
	 * faster, the last also what was slower. */
	uint64_t latency[METER_BUCKETS];
	uint64_t took_us; /* their sum */
};

struct meter {
	struct meter_op op[METER_OPS]; /* by enum firn_store_op */
	uint64_t n_outage;             /* times the circuit opened */
	uint64_t n_waited_out;         /* calls that ended without an attempt, in an outage */
	uint64_t n_hedge, n_hedge_won;
	uint64_t money; /* what it has cost by the store's prices; worked out when it is read */
};

/* Prices in millionths of the currency. Deleting and aborting is free everywhere we know; what lies there costs by
 * the month and is not in it. */
struct meter_prices {
	uint64_t per_1000_put; /* PUT, LIST, multipart BEGIN, PUT, COMMIT */
	uint64_t per_1000_get; /* GET, STAT */
	uint64_t per_gib_in;   /* bytes that leave the store for us */
	uint64_t per_gib_out;  /* bytes that we send there */
};

void meter_count(struct meter *m, const struct firn_store_request *answer, uint64_t took_ns,
                 int again);
/* One that was given up unanswered: in doubt, and of no latency. */
void meter_count_lost(struct meter *m, uint32_t op, int again);
void meter_add(struct meter *to, const struct meter *from);
/* Upper end of the bucket in which the given share (0 to 1000 of 1000) of attempts has ended, in
 * microseconds; 0 without any. */
uint64_t meter_latency_us(const struct meter_op *op, uint32_t permille);
/* What it has cost, in millionths of the currency. */
uint64_t meter_money(const struct meter *m, const struct meter_prices *prices);
/* "0.005,0.0004,0.09,0": the four prices in the order of the struct, in the currency, up to 1000 each and to the
 * millionth; those that are missing at the end are 0. Returns 0 or -1. */
int meter_prices_parse(const char *text, struct meter_prices *out);
/* Amazon's for S3 Standard in us-east-1, asked from the same region. */
extern const struct meter_prices meter_prices_s3;
#endif
