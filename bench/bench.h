/* firn-bench: what the engine does, beside what the same disk, memory and machine give without it.
 *
 *   main ─► suite (which workloads, which claims) ─► workload, `runs` times round ─► report
 *
 * A workload measures once and fills a sample; the suite runs all of them in turn, then all of them
 * again, so that a machine that gets slower does so for everybody, and reports medians. A claim is
 * one line of DESIGN section 8: a figure of one workload over the same figure of its baseline. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct bench {
	const char *dir; /* scratch: every workload makes its own directory below and removes it */
	double seconds;  /* of one measurement */
	unsigned runs;
	int small; /* smoke sizes, for the tests */
	int json;
	int quiet;         /* no progress on the terminal */
	const char *store; /* URI; NULL: file: in `dir` */
	const char *only;  /* run only workloads whose name begins so, or NULL */
	long server;       /* process id of the store's server: its CPU is told as well; 0: not */
};

/* ---- latencies: a log-linear histogram, 64 steps per power of two (1.6 % wide) --------------- */

#define HIST_BUCKETS 2304 /* up to 2^41 ns, 36 minutes */

struct hist {
	uint64_t n, max;
	uint32_t bucket[HIST_BUCKETS];
};

void hist_add(struct hist *h, uint64_t ns);
void hist_merge(struct hist *into, const struct hist *from);
uint64_t hist_quantile(const struct hist *h, double q); /* 0 if empty */

/* ---- one measurement ------------------------------------------------------------------------- */

struct sample {
	uint64_t records, bytes;
	double seconds, cpu_s; /* wall; user + system of the whole process meanwhile */
	struct hist latency;   /* empty: not measured */
	double requests_per_gib, requests_per_record; /* to a store; 0: not measured */
	long server;                                  /* bench.server */
	double server_cpu_s; /* of bench.server meanwhile; 0: not measured */
};

uint64_t now_ns(void);
double cpu_seconds(void);
double cpu_seconds_of(long pid); /* of another process; 0: it cannot be seen */

/* n threads each call op() again and again for `seconds`, at least once; every call is one record.
 * op() returns 0; 1: this thread has nothing left to do, the call does not count; or a negative
 * code, which ends the measurement and is returned. */
struct callers {
	unsigned n;
	double seconds;
	size_t record_bytes;
	int (*op)(void *ctx, unsigned caller, uint64_t i);
	void *ctx;
};
int callers_run(const struct callers *c, struct sample *out);

/* ---- workloads ------------------------------------------------------------------------------- */

struct workload {
	const char *name; /* as in the JSON: "raw-direct-4k" */
	const char *text; /* one line for people */
	/* 0; 1: cannot be done here, say nothing; negative: failed, the reason is on stderr. */
	int (*run)(const struct bench *b, const struct workload *w, struct sample *out);
	size_t bytes;  /* per record */
	unsigned n;    /* callers, volumes, readers: the workload's own */
	unsigned mode; /* the workload's own */
};

enum figure {
	FIG_RATE,
	FIG_MB,
	FIG_P50,
	FIG_P99,
	FIG_PER_CPU,
	FIG_SECONDS,
	FIG_REQUESTS,
	FIG_PER_RECORD,  /* requests */
	FIG_CPU_PER_GIB, /* of both sides; 0: the server's is not known */
	FIG_COUNT
};

struct claim {
	const char *text;
	const char *of, *base; /* workloads; base NULL: the figure itself, not a ratio; "x-*": the
	                          highest of those whose names begin with x- */
	int figure;
	int at_most;   /* the target is an upper bound */
	double target; /* DESIGN section 8; 0: shown for information */
	double first;  /* what the first version is to reach (issue 3) */
};

struct suite {
	const char *name;
	const struct workload *workload;
	size_t n_workload;
	const struct claim *claim;
	size_t n_claim;
};

extern const struct suite append_suite, read_suite, upload_suite;
extern const struct suite store_read_suite, store_upload_suite; /* with --store */

/* What the runs of one workload amount to: medians of each figure by itself. */
struct result {
	const struct workload *w;
	unsigned n; /* runs that counted; 0: not done */
	double figure[FIG_COUNT], max_us, cpu_s;
};

int suite_run(const struct bench *b, const struct suite *s, struct result *out);
/* NULL: there is none. `figure` decides between those of a pattern. */
const struct result *result_find(const struct result *r, size_t n, const char *name, int figure);
/* The ratio, or the figure; NAN if one of the two is missing. */
double claim_value(const struct claim *c, const struct result *r, size_t n);

void report_table(const struct bench *b, const struct suite *s, const struct result *r);
void report_json(const struct bench *b, const struct suite *s, const struct result *r);

/* ---- scratch --------------------------------------------------------------------------------- */

int scratch_make(const char *parent, const char *name, char *path, size_t cap);
void scratch_remove(const char *path); /* with all that is below */
/* Opens dir/name with `bytes` zeros on the disk; O_DIRECT if asked. A descriptor or -1. */
int scratch_file(const char *dir, const char *name, uint64_t bytes, int direct);
/* Takes everything below path out of the page cache, so that a read reaches the disk. */
void scratch_forget(const char *path);
/* Bytes that do not compress; pages; NULL: no memory. */
uint8_t *scratch_noise(size_t len);
int bench_fail(const char *what); /* "firn-bench: what: strerror(errno)" on stderr; -1 */

/* ---- a store of the user's ------------------------------------------------------------------- */

/* A place of its own below b->store, for one measurement; 0 or -1. */
int store_place(const struct bench *b, const char *name, char *out, size_t cap);
void store_clear(const char *uri); /* deletes every object */

/* ---- the workloads, by file ------------------------------------------------------------------ */

int raw_write_run(const struct bench *b, const struct workload *w, struct sample *out);
int raw_log_run(const struct bench *b, const struct workload *w, struct sample *out);
int raw_group_run(const struct bench *b, const struct workload *w, struct sample *out);
int raw_memcpy_run(const struct bench *b, const struct workload *w, struct sample *out);
int raw_read_run(const struct bench *b, const struct workload *w, struct sample *out);
int rocksdb_run(const struct bench *b, const struct workload *w, struct sample *out);
int append_callers_run(const struct bench *b, const struct workload *w, struct sample *out);
int append_flood_run(const struct bench *b, const struct workload *w, struct sample *out);
int recovery_run(const struct bench *b, const struct workload *w, struct sample *out);
int raw_put_run(const struct bench *b, const struct workload *w, struct sample *out);
int upload_run(const struct bench *b, const struct workload *w, struct sample *out);
int append_beside_run(const struct bench *b, const struct workload *w, struct sample *out);
int first_run(const struct bench *b, const struct workload *w, struct sample *out);
int replay_run(const struct bench *b, const struct workload *w, struct sample *out);

int segments_run(const struct bench *b, const struct workload *w, struct sample *out);
int bare_s3_run(const struct bench *b, const struct workload *w, struct sample *out);

enum bare_mode { BARE_PUT = 0, BARE_GET = 1, BARE_GET_KEPT = 2 };
enum raw_mode { RAW_BUFFERED = 0, RAW_DIRECT = 1 };
enum replay_mode { REPLAY_CACHE = 0, REPLAY_CACHE_COPY = 1, REPLAY_STORE = 2 };
#endif
