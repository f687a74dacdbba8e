/* firn-bench upload: which workloads, which claims. */
#include "bench/bench.h"

static const struct workload workloads[] = {
	{ "raw-put-2", "bare write + fsync + rename of 64 MiB, 2 threads", raw_put_run, 64 << 20, 2,
	  0 },
	{ "raw-put-4", "bare write + fsync + rename of 64 MiB, 4 threads", raw_put_run, 64 << 20, 4,
	  0 },
#ifndef BENCH_BASELINES_ONLY
	{ "upload", "firn, a full WAL drains into file:", upload_run, 16384, 1, 0 },
	{ "append-1", "firn, 1 blocking caller, 1 KiB", append_callers_run, 1024, 1, 0 },
	{ "append-1-upload", "firn, the same while another volume uploads", append_beside_run,
	  16384, 2, 0 },
#endif
};

static const struct claim claims[] = {
	{ "upload to file: over bare parallel writes of the same size", "upload", "raw-put-4",
	  FIG_MB, 0, 0.8, 0 },
	{ "PUTs for each GiB written, commits included", "upload", NULL, FIG_REQUESTS, 1, 20, 0 },
	{ "p99 of appends beside uploads over alone", "append-1-upload", "append-1", FIG_P99, 1, 0,
	  0 },
};

const struct suite upload_suite = { "upload", workloads, sizeof workloads / sizeof workloads[0],
	                            claims, sizeof claims / sizeof claims[0] };
