/* The host's env and the engine's memory account, in one reference-counted piece that outlives the
 * engine: results and group memory that a caller still holds release themselves through it. */
#ifndef BASE_ACCOUNT_H
#define BASE_ACCOUNT_H
#include <firn/env.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { ACCOUNT_SPARES = 8 };

struct spare;
struct frame_spares { /* spare.h; all under lock */
	pthread_mutex_t lock;
	struct spare *newest, *oldest;
	uint64_t bytes, most;
};

struct account {
	struct firn_env env;
	atomic_uint refs;
	atomic_ullong group_bytes;  /* WAL chunks alive: gathering, tail, loaded */
	atomic_ullong cache_bytes;  /* decoded blocks alive */
	atomic_ullong pin_bytes;    /* results not yet released */
	atomic_ullong upload_bytes; /* segments being built or on their way up, footers of rounds */
	size_t spare_len; /* group memory of this length is kept for the next group: it is faulted */
	_Atomic(void *) spare[ACCOUNT_SPARES]; /* in and, with huge pages, dear to clear */
	atomic_ullong place_bytes;             /* lists of where un-stored batches lie */
	atomic_ullong other_bytes;             /* items of readers */
	struct frame_spares spares;            /* memory of frames, to be used again */
};

struct account *account_new(const struct firn_env *env); /* copies *env; NULL without memory */
void account_retain(struct account *a);
void account_release(struct account *a);

/* What the public API hands out: a header in front of the payload that firn_release() finds. */
struct result {
	uint64_t magic;
	atomic_uint refs, _pad;
	struct account *account;
	void (*destroy)(void *payload); /* may be NULL; runs before the memory goes */
	uint64_t pinned;                /* of account->pin_bytes, given back at the end */
	uint64_t _pad2;
};
/* Zeroed payload of len bytes behind a result header with one reference. */
void *result_new(struct account *a, size_t len, void (*destroy)(void *payload), uint64_t pinned);
/* A result that carries a struct firn_error (event.result of a failed request); NULL without memory. */
struct firn_error;
const void *result_error(struct account *a, const struct firn_error *err);
#endif
