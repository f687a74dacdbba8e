/* libs3://bucket[/prefix]?endpoint=... -- a store in a bucket, spoken to through libs3 (2.0 or 4.x).
 * What it lacks, and why it is a shared object of its own: README.md.
 *
 *	libs3_store.c  open, close, what it can do; a request on a thread of the pool
 *	config.c       from the URI to an endpoint
 *	call.c         a request of libs3: what goes in, what its callbacks bring
 *	answer.c       which outcome a status of libs3 is
 *	put.c get.c list.c   one verb each
 *	../pool.c      the threads; ../s3/cred*.c   where access keys come from
 *
 * Each thread waits in libs3 for its request. libs3's way of driving many at once (a request
 * context) uses select(), which a process with 1024 open files cannot call.
 *
 * Locks: `marks_lock`, the pool's, the credentials' two. None is held while another is taken, except
 * cred's `fetching` before its `lock`, and none while libs3 is called. */
#ifndef LIBS3_STORE_H
#define LIBS3_STORE_H
#include "backends/pool.h"
#include "backends/s3/cred.h"
#include <firn/store.h>
#include <libs3.h>

/* CMake found out which one this is. 2.0: Signature Version 2, no session tokens, certificates are
 * never verified, no time limits, a space in a key becomes a plus. */
#ifndef LIBS3_IS_4
#define LIBS3_IS_4 0
#endif

enum {
	LIBS3_TEXT = 256,
	LIBS3_KEY_MAX = S3_MAX_KEY_SIZE - 1, /* with the prefix: a listing cuts the 1024th byte */
	LIBS3_KEY_ROOM = 2048,               /* prefix and key; longer than libs3 takes */
	LIBS3_TOKEN_ROOM = LIBS3_KEY_MAX + 1,
	LIBS3_ETAG_ROOM = FIRN_STORE_VERSION_MAX + 1,
	LIBS3_THREADS_DEFAULT = 8,
	LIBS3_MARKS = 8
};

/* What the URI says. */
struct libs3_config {
	char host[LIBS3_TEXT]; /* host[:port] */
	char bucket[LIBS3_TEXT];
	char prefix[FIRN_STORE_KEY_MAX + 2]; /* "" or ending in '/' */
	char profile[LIBS3_TEXT];
	char region[64];
	uint32_t is_https, is_virtual, trust_start_after, n_threads;
};

/* Where a listing goes on: the server's marker for what follows a page that was given. */
struct libs3_mark {
	char prefix[FIRN_STORE_KEY_MAX + 1];
	char after[FIRN_STORE_KEY_MAX + 1];
	char token[LIBS3_TOKEN_ROOM];
};

struct libs3_store {
	const struct firn_store_host *host;
	struct libs3_config config;
	struct cred cred;
	pthread_mutex_t marks_lock; /* guards from here ... */
	struct libs3_mark mark[LIBS3_MARKS];
	uint32_t n_marked, _pad; /* ... to here */
	struct pool pool;
};

/* A request of libs3, on the stack of its thread. A request of ours may take two. */
struct libs3_call {
	struct libs3_store *store;
	struct firn_store_request *req;
	struct cred_keys keys;
	S3BucketContext bucket;
	char key[LIBS3_KEY_ROOM]; /* with the prefix */
	int timeout_ms;           /* 4.x only; 0 = none */

	/* the answer */
	S3Status status;
	char etag[LIBS3_ETAG_ROOM];
	char message[LIBS3_TEXT]; /* the server's words */
	uint64_t length;
	int64_t last_modified; /* Unix seconds, -1 = not said */

	/* how far a body got in the request's memory */
	uint32_t iov_at, _pad;
	uint64_t iov_pos, body;
};

/* config.c: FIRN_OK or FIRN_EINVAL and *err */
int libs3_config_read(const struct firn_store_config *from, struct libs3_config *to,
                      struct firn_error *err);

/* call.c */
/* Keys, bucket, time limit. 0, or 1: the answer is in the request. */
int call_begin(struct libs3_call *c, struct libs3_store *s, struct firn_store_request *req);
void call_end(struct libs3_call *c); /* wipes the keys */
/* Forgets an answer, for the next request of libs3. */
void call_again(struct libs3_call *c);
extern const S3ResponseHandler call_handler; /* callback data: the call */
/* Copies between the request's memory and libs3's. Returns how many bytes there was room for. */
size_t call_take(struct libs3_call *c, const char *data, size_t len);
size_t call_give(struct libs3_call *c, char *data, size_t len);
void call_version(struct libs3_call *c); /* etag -> req->version */
void call_facts(struct libs3_call *c);   /* of a HEAD: size, time, version */

/* answer.c */
int answer_writes(const struct firn_store_request *req);
/* Fills in what c->status means. Non-zero: it was no success. */
int answer_status(struct libs3_call *c);
void answer_fail(struct libs3_call *c, uint32_t outcome, int code, const char *text);
void answer_nonsense(struct libs3_call *c, const char *text);

/* The verbs: ask, and leave the answer in the request. */
void libs3_put(struct libs3_call *c);
void libs3_stat(struct libs3_call *c);
void libs3_get(struct libs3_call *c);
void libs3_delete(struct libs3_call *c);
void libs3_list(struct libs3_call *c);
#endif
