/* firn-bench takeover: how long it takes until somebody else writes and reads, and what it asks the store.
 *
 *   fill (a process: streams, data, a tail that is not stored; then it detaches, or is gone as by kill -9)
 *   take (another one: opens, attaches, appends, reads) ─► struct taken ─► report
 *
 * Both are processes: the one that dies takes nothing with it, the other has nothing in memory. */
#ifndef BENCH_TAKEOVER_H
#define BENCH_TAKEOVER_H
#include "bench/bench.h"

enum takeover_kind {
	TAKE_CLEAN,  /* after a detach that stored all; an empty directory */
	TAKE_KILLED, /* after kill -9; the directory, with the WAL, is at hand */
	TAKE_SLOTS,  /* after kill -9; the log is in the store, an empty directory */
	TAKE_BARE    /* no engine: one GET and two PUTs of 1 KiB, one after the other */
};

struct takeover {
	const char *name;
	enum takeover_kind kind;
	unsigned n_stream, mib;
	unsigned rounds; /* so often each stream gets a record more, and all is stored: extents */
};

/* Milliseconds from the call of the attach; requests and bytes from the opening of the engine on, without those that try
 * the conditions of a store, once for an engine and a store. */
struct taken {
	double open_ms; /* before the attach */
	double cas_ms;  /* the compare-and-swap that makes it the writer was answered */
	double attach_ms, ack_ms, read_ms;
	double n_get, n_put, n_other;
	double got_kib, put_kib;
};
enum { TAKEN_VALUES = sizeof(struct taken) / sizeof(double) };

/* One after the other: fills, takes. 0, or a negative code that has been told. */
int takeover_measure(const struct bench *b, const struct takeover *t, struct taken *out);
int takeover_bench(const struct bench *b); /* all of them, and the report */

/* What both processes need to know of a measurement. */
struct takeover_place {
	char fill[4200], take[4200], store[4300], wal[4400]; /* directories; URI; option */
};
int takeover_fill(const struct takeover *t, const struct takeover_place *p); /* [in a process] */
int takeover_take(const struct takeover *t, const struct takeover_place *p, struct taken *out);
#endif
