/* firn-bench read: which workloads, which claims. */
#include "bench/bench.h"

static const struct workload workloads[] = {
	{ "memcpy", "memcpy out of 64 MiB, 1 MiB pieces", raw_memcpy_run, 1 << 20, 1, 0 },
	{ "pread-1", "bare O_DIRECT pread, 1 MiB, 1 thread", raw_read_run, 1 << 20, 1, RAW_DIRECT },
	{ "pread-8", "bare O_DIRECT pread, 1 MiB, 8 threads", raw_read_run, 1 << 20, 8,
	  RAW_DIRECT },
#ifndef BENCH_BASELINES_ONLY
	{ "replay-cache", "firn, replay from the cache, slices handed out", replay_run, 16384, 1,
	  REPLAY_CACHE },
	{ "replay-cache-copy", "firn, replay from the cache, copied out", replay_run, 16384, 1,
	  REPLAY_CACHE_COPY },
	{ "replay-store", "firn, replay from file:, 1 reader", replay_run, 16384, 1, REPLAY_STORE },
	{ "replay-store-3", "firn, replay from file:, 3 readers of the same", replay_run, 16384, 3,
	  REPLAY_STORE },
#endif
};

static const struct claim claims[] = {
	{ "replay from the cache, copied out, over memcpy", "replay-cache-copy", "memcpy", FIG_MB,
	  0, 0.5, 0 },
	{ "replay from the cache, handed out, over memcpy", "replay-cache", "memcpy", FIG_MB, 0, 0,
	  0 },
	{ "replay from file:, 1 reader, over parallel preads", "replay-store", "pread-8", FIG_MB, 0,
	  0.9, 0 },
	{ "replay from file:, 3 readers together, over parallel preads", "replay-store-3",
	  "pread-8", FIG_MB, 0, 0, 0 },
};

const struct suite read_suite = { "read", workloads, sizeof workloads / sizeof workloads[0], claims,
	                          sizeof claims / sizeof claims[0] };
