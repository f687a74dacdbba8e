/* firn-bench upload|read --store: which workloads, which claims, on a store of the user's. The bare loop is tried with
 * several degrees of parallelism; what counts is its best. */
#include "bench/bench.h"

static const struct workload upload_workloads[] = {
	{ "bare-put-1", "bare PUT of 64 MiB, 1 connection", bare_s3_run, 0, 1, BARE_PUT },
	{ "bare-put-2", "bare PUT of 64 MiB, 2 connections", bare_s3_run, 0, 2, BARE_PUT },
	{ "bare-put-4", "bare PUT of 64 MiB, 4 connections", bare_s3_run, 0, 4, BARE_PUT },
	{ "bare-put-8", "bare PUT of 64 MiB, 8 connections", bare_s3_run, 0, 8, BARE_PUT },
#ifndef BENCH_BASELINES_ONLY
	{ "upload", "firn, a full WAL drains into the store", upload_run, 16384, 1, 0 },
#endif
};

static const struct claim upload_claims[] = {
	{ "upload over the best of bare parallel PUTs of the same size", "upload", "bare-put-*",
	  FIG_MB, 0, 0.8, 0 },
	{ "PUTs for each GiB written, commits included", "upload", NULL, FIG_REQUESTS, 1, 20, 0 },
};

const struct suite store_upload_suite = { "upload", upload_workloads,
	                                  sizeof upload_workloads / sizeof upload_workloads[0],
	                                  upload_claims,
	                                  sizeof upload_claims / sizeof upload_claims[0] };

static const struct workload read_workloads[] = {
	{ "bare-get-2", "bare GET of 64 MiB, 2 connections", bare_s3_run, 0, 2, BARE_GET },
	{ "bare-get-4", "bare GET of 64 MiB, 4 connections", bare_s3_run, 0, 4, BARE_GET },
	{ "bare-get-8", "bare GET of 64 MiB, 8 connections", bare_s3_run, 0, 8, BARE_GET },
	{ "bare-kept-2", "bare GET of 64 MiB, kept in memory, 2 connections", bare_s3_run, 0, 2,
	  BARE_GET_KEPT },
	{ "bare-kept-4", "bare GET of 64 MiB, kept in memory, 4 connections", bare_s3_run, 0, 4,
	  BARE_GET_KEPT },
	{ "bare-get-4-4m", "bare GET of 4 MiB ranges, 4 connections", bare_s3_run, 4 << 20, 4,
	  BARE_GET },
	{ "bare-get-8-1m", "bare GET of 1 MiB ranges, 8 connections", bare_s3_run, 1 << 20, 8,
	  BARE_GET },
	{ "bare-first", "bare GET of 64 KiB ranges, 1 connection", bare_s3_run, 64 << 10, 1,
	  BARE_GET_KEPT },
#ifndef BENCH_BASELINES_ONLY
	{ "segments-2", "firn's store layer, segments read whole, 2 at once", segments_run, 0, 2,
	  0 },
	{ "segments-4", "firn's store layer, segments read whole, 4 at once", segments_run, 0, 4,
	  0 },
	{ "segments-8", "firn's store layer, segments read whole, 8 at once", segments_run, 0, 8,
	  0 },
	{ "first-store", "firn, first record of a stream nobody has read", first_run, 1024, 1, 0 },
	{ "replay-store", "firn, replay from the store, 1 reader", replay_run, 16384, 1,
	  REPLAY_STORE },
	{ "replay-store-3", "firn, replay from the store, 3 readers of the same", replay_run, 16384,
	  3, REPLAY_STORE },
#endif
};

static const struct claim read_claims[] = {
	{ "segments, whole, over the best of bare parallel GETs", "segments-*", "bare-get-*",
	  FIG_MB, 0, 0.8, 0 },
	{ "segments, whole, over the best of those that keep what they get", "segments-*",
	  "bare-kept-*", FIG_MB, 0, 0.8, 0 },
	{ "replay, 1 reader, over the best of bare parallel GETs", "replay-store", "bare-get-*",
	  FIG_MB, 0, 0.8, 0 },
	{ "replay, 1 reader, over the best of those that keep what they get", "replay-store",
	  "bare-kept-*", FIG_MB, 0, 0.8, 0 },
	{ "CPU of both sides for each GiB, over that of 4 bare parallel GETs", "replay-store",
	  "bare-get-4", FIG_CPU_PER_GIB, 1, 0, 0 },
	{ "GETs for each GiB read by 1 reader", "replay-store", NULL, FIG_REQUESTS, 1, 0, 0 },
	{ "replay, 3 readers together, over the same", "replay-store-3", "bare-get-*", FIG_MB, 0, 0,
	  0 },
	{ "GETs for each GiB that 3 readers read, each all", "replay-store-3", NULL, FIG_REQUESTS,
	  1, 0, 0 },
	{ "first record, p50, over a bare GET of 64 KiB", "first-store", "bare-first", FIG_P50, 1,
	  0, 0 },
	{ "first record, p99, over the same", "first-store", "bare-first", FIG_P99, 1, 0, 0 },
	{ "GETs for each first record", "first-store", NULL, FIG_PER_RECORD, 1, 0, 0 },
};

const struct suite store_read_suite = { "read", read_workloads,
	                                sizeof read_workloads / sizeof read_workloads[0],
	                                read_claims, sizeof read_claims / sizeof read_claims[0] };
