/* The n-th call fails, for n = 1, 2, 3 ... until a scenario passes untouched. One life for each n:
 *
 *   before() ─► arm ─► act() ─► disarm ─► leaks? ─► open again, without faults ─► as acked?
 *                                                  └─► drain, open elsewhere ─► the same?
 *
 * A scenario is two small functions made of the verbs below. Each verb may fail with a typed error and
 * notes its outcome; what is there after reopening must be what the model makes of the outcomes:
 * all that was acked, nothing that was refused, of the unknown a prefix. A life that hangs is ended by
 * an alarm that prints scenario, kind and n. */
#ifndef TESTS_SWEEP_H
#define TESTS_SWEEP_H
#include "tests/integration/faulty.h"
#include "tests/integration/site.h"

enum sweep_kind {
	SWEEP_IO,      /* every system call of the program that can fail */
	SWEEP_ENV_IO,  /* those of firn_env: with io_uring, and torn */
	SWEEP_FULL,    /* writes of firn_env: no room */
	SWEEP_NAMES,   /* firn_env: names made, moved, listed */
	SWEEP_ALLOC,   /* firn_env.alloc */
	SWEEP_THREADS, /* pthread_create */
};

enum { SWEEP_STREAMS = 3, SWEEP_KEYS = 4, SWEEP_OPS_MAX = 256 };

enum sweep_verb { SWEEP_CREATE, SWEEP_DELETE, SWEEP_SAY, SWEEP_TRIM, SWEEP_PUT, SWEEP_DROP };

struct sweep_op {
	enum sweep_verb verb;
	uint32_t which; /* stream, or key */
	uint32_t life;  /* opening of the engine it was asked of */
	int code;       /* 0 acked, FIRN_EUNKNOWN, else refused */
	uint64_t value; /* SAY: length; TRIM: to */
	uint64_t offset;
};

struct scenario;
struct sweep {
	const struct scenario *scenario;
	struct site site;
	struct host a, b; /* b: another directory; no faults of firn_env there */
	struct host *h;   /* the one in use: the last that was opened */
	struct faulty faulty;
	uint64_t id[SWEEP_STREAMS]; /* 0: not known to exist */
	struct sweep_op op[SWEEP_OPS_MAX];
	uint32_t n_op, life;
};

struct scenario {
	const char *name;
	void (*before)(struct sweep *s); /* without faults, on s->a, left detached or crashed or as
	                                    act() wants it; may be NULL */
	void (*act)(struct sweep *s);    /* leaves nothing open */
	uint64_t wal_bytes;              /* 0: 4 MiB */
	const char *const *options;      /* instead of those of the way; may be NULL */
	bool coarse;                     /* a long one: ever larger steps in any case */
};

/* Runs the scenario until the n-th call is not reached any more. `lasting`: all from the n-th on
 * fail. Every n without threads; ever larger steps with them, where the order of calls differs from
 * run to run, with `lasting` faults, and under AddressSanitizer. */
void sweep(const struct scenario *sc, enum way way, enum sweep_kind kind, bool lasting);

/* ---- verbs: true (or 0) if it was done ---- */
bool sweep_open(struct sweep *s, struct host *h);
bool sweep_attach(struct sweep *s, struct host *h); /* volume "v", made if absent */
void sweep_detach(struct sweep *s, uint32_t mode);  /* falls back to ABORT, which always can */
void sweep_close(struct sweep *s);                  /* detaches (KEEP_WAL) if need be */
bool sweep_start(struct sweep *s, struct host *h);  /* open and attach */
bool sweep_do(struct sweep *s, enum sweep_verb verb, uint32_t which, uint64_t value);
/* Writes in flight together; their outcomes are noted in the order of submission. */
void sweep_say_many(struct sweep *s, uint32_t which, uint32_t n, uint64_t len);
int sweep_store(struct sweep *s); /* flush to STORED; may time out */
/* Reads a stream from `from`: typed error, or nothing but what may be there. */
int sweep_read(struct sweep *s, uint32_t which, uint64_t from);

/* ---- sweep_model.c ---- */
size_t sweep_payload(uint32_t op, uint64_t len, char *out); /* at least 8 bytes, at most 64 KiB */
void sweep_names(uint32_t which, char stream[8], char key[8]);
/* Everything that s->h shows now is what one of the allowed histories leaves. */
void sweep_compare(struct sweep *s, const char *when);
/* The number of the op whose payload this is; dies on any other bytes. */
uint32_t sweep_payload_op(struct sweep *s, const void *data, size_t len);
void sweep_die(const struct sweep *s, const char *fmt, ...)
        __attribute__((format(printf, 2, 3), noreturn));
#endif
