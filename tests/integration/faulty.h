/* A firn_env over the system's own in which the n-th call of a kind fails, and memory is counted. */
#ifndef TESTS_FAULTY_H
#define TESTS_FAULTY_H
#include <firn/env.h>
#include <stdatomic.h>
#include <stdbool.h>

enum fault_kind {
	FAULT_WRITES = 1,
	FAULT_NAMES = 2,
	FAULT_ALLOC = 4,
	FAULT_READS = 8,
	FAULT_CREATE = 16,
	FAULT_OPEN_TO_READ = 32
};

struct faulty {
	struct firn_env env;
	struct firn_files files;
	const struct firn_env *base;
	uint32_t kinds;    /* which calls count: enum fault_kind */
	int error;         /* negative errno */
	bool lasting;      /* all calls from the n-th on fail */
	bool torn;         /* a failing durable write writes its first half */
	atomic_llong left; /* counts down; the call that finds 0 fails */
	atomic_llong n_failed;
	atomic_llong live;                   /* allocations not yet released */
	atomic_llong live_bytes, peak_bytes; /* with FAULT_ALLOC counted or not */
};

void faulty_init(struct faulty *f, const struct firn_env *base);
/* The n-th call (from 1) of these kinds fails with this negative errno; n 0: none does. */
void faulty_arm(struct faulty *f, uint32_t kinds, int error, long long n);
#endif
