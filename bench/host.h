/* A firn engine in a scratch directory, with volumes and streams: what the workloads share. */
#ifndef BENCH_HOST_H
#define BENCH_HOST_H
#include "bench/bench.h"
#include <firn/firn.h>

#define HOST_VOLUMES 32
#define HOST_STREAMS 1024

struct host {
	char dir[4096];   /* the engine's is dir/engine, the store's dir/store */
	char store[4160]; /* file://dir/store, or below the user's */
	int foreign;      /* the user's: its objects are removed one by one */
	uint64_t wal_bytes, memory_bytes;
	unsigned n_volume, n_stream;
	int uploads; /* may upload while it runs; else only when told to */
	struct firn_engine *engine;
	struct firn_volume *volume[HOST_VOLUMES];
	uint64_t stream[HOST_STREAMS]; /* stream i lies in volume i % n_volume */
};

/* Sets sizes for `bytes` of payload in records of `record` bytes: a WAL that is never half full. */
void host_size(struct host *h, uint64_t bytes, size_t record);
int host_make(struct host *h, const struct bench *b, const char *name); /* the directory */
int host_open(struct host *h);   /* engine, volumes, streams; again after host_close() */
int host_attach(struct host *h); /* volumes and streams of an open engine */
int host_start(struct host *h);  /* the engine alone */
int host_close(struct host *h, uint32_t detach_mode);
void host_remove(struct host *h);
int host_fail(const char *what, int code, const struct firn_error *err); /* says why; the code */

/* A request, waited for however long it takes; its result is given back. 0, or a code that has been told. */
int host_call(struct firn_engine *engine, struct firn_req *req, const char *what);
int host_write(struct firn_engine *engine, struct firn_volume *volume, const struct firn_op *op,
               uint32_t n);
int host_flush(struct firn_engine *engine, struct firn_volume *volume); /* to STORED */
struct firn_op host_append_op(uint64_t stream, struct iovec *iov);

/* The sum of a metric over those of its labels that contain `label`. */
uint64_t host_metric(struct host *h, const char *name, const char *label);

/* Many appends in flight, through one completion queue. Ends after `seconds` or `bytes`, whichever
 * comes first (0: not bounded so); all are durable then. */
int host_flood(struct host *h, size_t record, double seconds, uint64_t bytes, struct sample *out);
#endif
