/* firn-bench append: which workloads, which claims. */
#include "bench/bench.h"

static const struct workload workloads[] = {
	{ "raw-buffered-1k", "bare pwrite + fdatasync, 1 KiB", raw_write_run, 1024, 1,
	  RAW_BUFFERED },
	{ "raw-direct-4k", "bare O_DIRECT pwrite + fdatasync, 4 KiB", raw_write_run, 4096, 1,
	  RAW_DIRECT },
	{ "raw-direct-1m", "bare O_DIRECT pwrite + fdatasync, 1 MiB", raw_write_run, 1 << 20, 1,
	  RAW_DIRECT },
	{ "raw-log-16", "log that syncs each record, 16 callers, 1 KiB", raw_log_run, 1024, 16, 0 },
	{ "raw-group-16", "16 callers, one bare flush for all, 1 KiB", raw_group_run, 1024, 16, 0 },
	{ "raw-read-1g", "bare pread of the same bytes, nothing cached", raw_read_run, 4 << 20, 1,
	  RAW_BUFFERED },
	{ "rocksdb-1", "RocksDB, synced put, 1 caller, 1 KiB", rocksdb_run, 1024, 1, 0 },
	{ "rocksdb-16", "RocksDB, synced put, 16 callers, 1 KiB", rocksdb_run, 1024, 16, 0 },
#ifndef BENCH_BASELINES_ONLY
	{ "append-1", "firn, 1 blocking caller, 1 KiB", append_callers_run, 1024, 1, 0 },
	{ "append-16", "firn, 16 blocking callers, 1 KiB", append_callers_run, 1024, 16, 0 },
	{ "flood-100", "firn, many in flight, 100 B, 1 volume", append_flood_run, 100, 1, 0 },
	{ "flood-1k", "firn, many in flight, 1 KiB, 1 volume", append_flood_run, 1024, 1, 0 },
	{ "flood-16k", "firn, many in flight, 16 KiB, 1 volume", append_flood_run, 16384, 1, 0 },
	{ "flood-100-v32", "firn, many in flight, 100 B, 32 volumes", append_flood_run, 100, 32,
	  0 },
	{ "flood-1k-v32", "firn, many in flight, 1 KiB, 32 volumes", append_flood_run, 1024, 32,
	  0 },
	{ "flood-16k-v32", "firn, many in flight, 16 KiB, 32 volumes", append_flood_run, 16384, 32,
	  0 },
	{ "recovery", "firn, open and first read after a crash", recovery_run, 4096, 1, 0 },
#endif
};

static const struct claim claims[] = {
	{ "16 callers over RocksDB's synced WAL", "append-16", "rocksdb-16", FIG_RATE, 0, 8, 5 },
	{ "16 callers over a log that syncs each record", "append-16", "raw-log-16", FIG_RATE, 0,
	  20, 0 },
	{ "16 callers over one bare flush for all", "append-16", "raw-group-16", FIG_RATE, 0, 0,
	  0 },
	{ "1 caller over RocksDB's synced WAL", "append-1", "rocksdb-1", FIG_RATE, 0, 0, 0 },
	{ "p99 of 1 caller over bare pwrite + fdatasync", "append-1", "raw-buffered-1k", FIG_P99, 1,
	  1.5, 2 },
	{ "p99 of 1 caller over bare O_DIRECT pwrite + fdatasync, 4 KiB", "append-1",
	  "raw-direct-4k", FIG_P99, 1, 1.5, 2 },
	{ "bytes of 16 KiB batches over bare 1 MiB O_DIRECT + flush", "flood-16k", "raw-direct-1m",
	  FIG_MB, 0, 0.8, 0.6 },
	{ "100 B records a second", "flood-100", NULL, FIG_RATE, 0, 0, 0 },
	{ "100 B records per second of CPU (all of the process)", "flood-100", NULL, FIG_PER_CPU, 0,
	  1e6, 0 },
	{ "32 volumes over one, 100 B", "flood-100-v32", "flood-100", FIG_RATE, 0, 0.95, 0 },
	{ "32 volumes over one, 1 KiB", "flood-1k-v32", "flood-1k", FIG_RATE, 0, 0.95, 0 },
	{ "32 volumes over one, 16 KiB", "flood-16k-v32", "flood-16k", FIG_RATE, 0, 0.95, 0 },
	{ "seconds to the first read, 1 GiB of WAL", "recovery", NULL, FIG_SECONDS, 1, 1, 2 },
	{ "the same over a bare read of these bytes", "recovery", "raw-read-1g", FIG_SECONDS, 1, 0,
	  0 },
};

const struct suite append_suite = { "append", workloads, sizeof workloads / sizeof workloads[0],
	                            claims, sizeof claims / sizeof claims[0] };
