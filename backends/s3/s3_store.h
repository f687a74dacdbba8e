/* s3://bucket[/prefix][?...] -- a store in a bucket of anything that speaks S3. Parameters, servers
 * and what they lack: README.md.
 *
 *	s3_store.c   open, close, what it can do
 *	config.c     from the URI to an endpoint
 *	lane.c       threads that keep transfers going (libcurl's multi interface)
 *	call.c       one request in flight: what it asks for, what becomes of it
 *	http.c       its HTTP: URL, headers, bodies
 *	put.c get.c list.c delete.c multipart.c   one verb each: question and answer
 *	answer.c     which outcome a status, a code or a broken connection is
 *	xml.c        bodies of answers
 *	sign.c       Signature Version 4
 *	crc32c.c     checksum of a body that is not signed
 *	cred*.c      where access keys come from
 *
 *	submit() ─► lane's queue ─► call_start(): verb fills in, sign, curl ─► call_end(): verb reads
 *	                                 └───────────── a further page or look ─────────┘
 *
 * Locks: a lane's (queue and the list of what is in flight), the credentials' two (cred.c). None is
 * held while another is taken, except cred's `fetching` before its `lock`. */
#ifndef S3_STORE_H
#define S3_STORE_H
#include "backends/s3/cred.h"
#include "backends/s3/xml.h"
#include <curl/curl.h>
#include <firn/store.h>
#include <pthread.h>

enum {
	S3_TEXT = 256,
	S3_KEY_ROOM = 2048,    /* prefix and key */
	S3_QUERY_ROOM = 12288, /* every byte of two keys as %XX */
	S3_URL_ROOM = S3_QUERY_ROOM + 6144,
	S3_ETAG_ROOM = FIRN_STORE_VERSION_MAX + 1,
	S3_N_LANES = 2,
	S3_HEADERS = 12,
	S3_MARKS = 8
};

/* What the URI says. */
struct s3_config {
	char base_url[S3_TEXT * 2]; /* "https://bucket.host:port" or "https://host:port/bucket" */
	char host[S3_TEXT];         /* as it goes into the Host header */
	char base_path[S3_TEXT];    /* "" or "/bucket": where keys begin in the URL's path */
	char prefix[FIRN_STORE_KEY_MAX + 2]; /* "" or ending in '/' */
	char bucket[S3_TEXT];
	char region[64];
	char ca[S3_TEXT * 4];    /* file of certificates, "" = the system's */
	char proxy[S3_TEXT];     /* "" = none: the environment's is not looked at */
	char profile[S3_TEXT];   /* "" = as the environment says */
	uint32_t connections;    /* at most, in each lane */
	uint32_t payload_signed; /* else UNSIGNED-PAYLOAD and a checksum */
	uint32_t multipart_conditions;
	uint32_t nested_keys;
	uint32_t trust_start_after; /* else listed from the beginning, or by a token */
	uint32_t is_virtual;
	char endpoint[S3_TEXT]; /* "" = Amazon's of the region */
};

/* A thread and the transfers it drives. Bodies of uploads are hashed by the thread, so they have
 * a lane of their own: a small GET does not wait for 64 MiB of SHA-256. */
struct s3_lane {
	struct s3_store *store;
	CURLM *multi;
	pthread_t thread;
	pthread_mutex_t lock;                    /* guards from here ... */
	struct firn_store_request *first, *last; /* not begun; linked by backend[0] */
	struct s3_call *busy;                    /* in flight */
	uint32_t closing, n_cancelled;           /* ... to here */
	uint32_t n_busy;                         /* the lane's thread only */
	struct s3_call *idle;                    /* the lane's thread only */
};

/* Where a listing goes on: the server's token for what follows a page that was given. */
struct s3_mark {
	char prefix[FIRN_STORE_KEY_MAX + 1];
	char after[FIRN_STORE_KEY_MAX + 1];
	char token[S3_KEY_ROOM];
};

struct s3_store {
	struct s3_mark mark[S3_MARKS]; /* of lane 0's thread only, as LIST is */
	uint32_t n_marked;
	const struct firn_store_host *host;
	struct s3_config config;
	struct cred cred;
	struct s3_lane lane[S3_N_LANES];
};

/* What an answer's headers say. */
struct s3_head {
	char etag[S3_ETAG_ROOM];
	char server_code[64]; /* of an error body */
	char message[S3_TEXT];
	int64_t date, last_modified; /* Unix seconds, -1 = not said */
	uint64_t length;             /* Content-Length */
	uint64_t range_from, total;  /* Content-Range */
	uint32_t retry_after_ms;
	uint32_t has_range, has_total;
};

/* A request in flight. It belongs to its lane's thread, except for `cancelled`. */
struct s3_call {
	struct s3_lane *lane;
	struct firn_store_request *req;
	struct s3_call *next; /* of busy or of idle */
	uint32_t cancelled;   /* under the lane's lock */
	uint32_t step;        /* of a verb that asks more than once */
	CURL *easy;
	struct curl_slist *slist;

	/* the question */
	const char *method;
	char key[S3_KEY_ROOM];     /* with the prefix; "" = the bucket itself */
	char query[S3_QUERY_ROOM]; /* encoded, sorted, with = after each name; without '?' */
	struct {
		char name[40]; /* in lower case */
		char value[S3_TEXT];
	} header[S3_HEADERS];
	uint32_t n_header;
	uint32_t body_is_iov; /* of the request; else `text` */
	char *text;           /* a small body, of env->alloc */
	uint64_t body_len, sent;
	uint64_t iov_pos;           /* how far a body got in the request's memory: */
	uint32_t iov_at;            /* which piece, and where in it */
	uint32_t sends_twice_badly; /* nothing else would stop libcurl from sending it again */
	char url[S3_URL_ROOM];

	/* the answer */
	long status;
	struct s3_head head;
	uint64_t body_got;       /* bytes of a body that went into the request's memory */
	struct xml *xml;         /* of a body that is XML */
	char token[S3_KEY_ROOM]; /* LIST: where the next page begins */
	char name[S3_KEY_ROOM];  /* LIST: the entry being read, the last one seen */
	char last[S3_KEY_ROOM];
	uint64_t item_size;
	int64_t item_mtime_ms;
	uint32_t used_mark; /* LIST: it began with a token of an earlier one */
	uint32_t is_truncated, is_past, has_size, bad_answer;
	char curl_text[CURL_ERROR_SIZE];
};

/* config.c: FIRN_OK or FIRN_EINVAL and *err */
int config_read(const struct firn_store_config *from, struct s3_config *to, struct firn_error *err);
/* What only the environment or the profile can say: the region. After cred_init(). */
int config_finish(struct s3_config *c, const char *region, struct firn_error *err);

/* lane.c */
int lane_start(struct s3_lane *lane, struct s3_store *store); /* 0 or -1 */
void lane_stop(struct s3_lane *lane);
void lane_submit(struct s3_lane *lane, struct firn_store_request *req);
void lane_cancel(struct s3_lane *lane, struct firn_store_request *req);

/* call.c; all on the lane's thread */
struct s3_call *call_new(struct s3_lane *lane); /* NULL: no memory */
void call_free(struct s3_call *c);
/* Makes the transfer for c->req. 0: add c->easy to the multi; 1: the answer is in the request. */
int call_start(struct s3_call *c);
/* The transfer is over. 0: call_start() once more for the next step; 1: the answer is there. */
int call_end(struct s3_call *c, CURLcode result);
/* A transfer that was taken out of the multi: what is known of it. */
void call_cancelled(struct s3_call *c);
void call_reset(struct s3_call *c);

/* http.c */
int http_prepare(struct s3_call *c); /* 0, or 1: the answer is in the request */
void call_header(struct s3_call *c, const char *name, const char *value);
/* Appends name=value to the query; names in rising order, as the signature wants them. */
void call_query(struct s3_call *c, const char *name, const char *value);
size_t s3_encode(char *out, size_t cap, const char *text, int keep_slash);

/* answer.c */
/* The call failed in transport. */
void answer_curl(struct s3_call *c, CURLcode result);
/* The server answered with an error. */
void answer_status(struct s3_call *c);
/* Fills in a failure; server's words are added. */
void answer_fail(struct s3_call *c, uint32_t outcome, int code, const char *text);
/* Writes happened or not: what an answer that makes no sense is. */
void answer_nonsense(struct s3_call *c, const char *text);
int call_writes(const struct s3_call *c);
void call_version(struct s3_call *c); /* head.etag -> req->version */

/* The verbs. x_ask fills in method, query, headers, body; x_answer reads a 2xx: 0 = once more. */
void put_ask(struct s3_call *c);
int put_answer(struct s3_call *c);
void get_ask(struct s3_call *c); /* GET and STAT */
int get_answer(struct s3_call *c);
int get_past_the_end(struct s3_call *c); /* a 416; as get_answer() */
void list_ask(struct s3_call *c);
int list_answer(struct s3_call *c);
void list_failed(struct s3_call *c); /* the server did not take the question */
void list_element(struct s3_call *c, const char *parent, const char *name, const char *text);
void delete_ask(struct s3_call *c);
int delete_answer(struct s3_call *c);
void multipart_ask(struct s3_call *c);
int multipart_answer(struct s3_call *c);
void put_conditions(struct s3_call *c);
int put_is_etag(const struct firn_store_version *v); /* else it can match nothing */
void put_body_checksum(struct s3_call *c);

uint32_t crc32c(uint32_t crc, const void *data, size_t len); /* crc32c.c */
#endif
