/* firn/store.h -- the plug-in interface: how a store (a bucket, a directory, a database) is taught
 * to firn.
 *
 * A back end is a handful of functions in a struct firn_store_plugin. Built-in ones and shared
 * objects (`plugin:/path/libx.so?...`) take the same road in: one entry point that returns that
 * struct.
 *
 *	host ── open(config) ──► handle
 *	     ── submit(request) ─► ... the back end works ... ─► firn_store_complete(request)
 *	     ── cancel(request)      (any thread, any time)      queues; no host code runs inside
 *	     ── close(handle)        (after the last completion)
 *
 * The rules, all of them:
 *
 *  1. Every submitted request is completed exactly once, by firn_store_complete(), from any thread,
 *     also from inside submit(). Completing only queues: no callback runs, so locks may be held.
 *  2. submit() does not block on the store: it starts the work and returns. What takes long
 *     belongs on a thread of the back end or into poll().
 *  3. The request and all it points to belong to the host and stay valid until it is completed;
 *     after that the back end touches neither.
 *  4. A back end never retries and never settles doubts. It says what happened (enum
 *     firn_store_outcome); the host knows what to do about it.
 *  5. What `info` claims is kept, what it does not claim is answered with FIRN_STORE_PERMANENT and
 *     FIRN_EUNSUPPORTED. A condition that cannot be kept atomically must not be claimed: a volume's
 *     ownership hangs on it. The host probes claims before it trusts them.
 *  6. An object that was put is durable and visible to every GET, STAT and LIST that begins after
 *     the completion. Objects appear whole or not at all.
 *  7. submit(), cancel() and info() are called from many threads at once; poll() from one thread
 *     at a time; open() and close() overlap with nothing of the same handle.
 *  8. No exit, no signal handlers, no output of its own: problems go into the answer, notes into
 *     host->env->log (may be NULL). Credentials appear in neither.
 *
 * ABI: abi_major must match. A struct begins with struct_size (what its author's compiler saw);
 * zero in a field means its default; fields are only ever appended, so look at struct_size before
 * you read one that is younger than 0.1. The plain values -- firn_store_version, firn_store_param,
 * firn_store_part, firn_store_item -- have no size and never change.
 *
 * A store that keeps nothing, whole:
 *
 *	static int null_open(const struct firn_store_config *config, void **handle,
 *			     struct firn_error *err)
 *	{
 *		static char nothing;
 *		*handle = &nothing;
 *		return FIRN_OK;
 *	}
 *	static void null_close(void *handle) { }
 *	static void null_info(void *handle, struct firn_store_info *info) { }
 *	static void null_submit(void *handle, struct firn_store_request *req)
 *	{
 *		if (req->op == FIRN_STORE_DELETE) {
 *			firn_store_complete(req);      // an absent key: success
 *			return;
 *		}
 *		int code = req->op == FIRN_STORE_PUT ? FIRN_EREADONLY : FIRN_ENOENT;
 *		firn_store_complete_error(req, FIRN_STORE_PERMANENT, code, 0, "nothing is kept");
 *	}
 *	static void null_cancel(void *handle, struct firn_store_request *req) { }
 *	static const struct firn_store_plugin null_plugin = {
 *		sizeof null_plugin, FIRN_STORE_ABI_MAJOR, FIRN_STORE_ABI_MINOR, 0, "null",
 *		null_open, null_close, null_info, null_submit, null_cancel, NULL,
 *	};
 *	const struct firn_store_plugin *firn_store_entry(void) { return &null_plugin; }
 *
 * Since 0.1. */
#ifndef FIRN_STORE_H
#define FIRN_STORE_H
#include <firn/env.h>
#include <firn/error.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>
#ifdef __cplusplus
extern "C" {
#endif

/* The interface version. A plug-in of another major is refused with FIRN_EUNSUPPORTED; the minor
 * only says how many appended fields exist. Since 0.1. */
#define FIRN_STORE_ABI_MAJOR 1u
#define FIRN_STORE_ABI_MINOR 0u

/* The symbol that a shared object exports, with default visibility; see firn_store_entry().
 * Since 0.1. */
#define FIRN_STORE_ENTRY "firn_store_entry"

/* Longest key in bytes, without the NUL. Since 0.1. */
#define FIRN_STORE_KEY_MAX 1024u

/* Longest version token in bytes. Since 0.1. */
#define FIRN_STORE_VERSION_MAX 124u

/* Room for a multipart upload's name, with the NUL. Since 0.1. */
#define FIRN_STORE_UPLOAD_MAX 1024u

/* What a back end can do beyond PUT, GET, STAT and DELETE of whole objects: bits of
 * firn_store_info.caps. Default: no. Each claimed bit is tested, each unclaimed one is answered
 * with FIRN_EUNSUPPORTED. Since 0.1. */
enum firn_store_cap {
	/* PUT with FIRN_STORE_IF_ABSENT: of any number at once, one wins. */
	FIRN_STORE_CAN_PUT_IF_ABSENT = 1 << 0,
	/* PUT with FIRN_STORE_IF_MATCH: replaces exactly the version named; of any number at once,
	 * one wins. Unconditional PUTs and DELETEs are ordered with it. */
	FIRN_STORE_CAN_PUT_IF_MATCH = 1 << 1,
	/* LIST, ordered by the bytes of the keys, and as fresh as GET. */
	FIRN_STORE_CAN_LIST = 1 << 2,
	/* GET from a position other than 0, at a cost that does not grow with the position. */
	FIRN_STORE_CAN_RANGE = 1 << 3,
	/* MULTIPART_BEGIN, _PUT, _COMMIT, _ABORT. */
	FIRN_STORE_CAN_MULTIPART = 1 << 4,
	/* MULTIPART_COMMIT keeps the same conditions that PUT keeps. */
	FIRN_STORE_CAN_MULTIPART_CONDITIONS = 1 << 5,
	/* Uploads in progress can be listed. No request asks for that yet. */
	FIRN_STORE_CAN_LIST_UPLOADS = 1 << 6,
	/* `a` and `a/b` can both be keys (a directory of files cannot do that). The one bit that is
	 * about keys and no request: where it is not claimed, the second of the two is refused with
	 * FIRN_EUNSUPPORTED or, by a server that a back end cannot ask first, taken but perhaps not
	 * listed. */
	FIRN_STORE_CAN_NESTED_KEYS = 1 << 7
};

/* What a request asks for. Which fields of the request matter is said there. Since 0.1. */
enum firn_store_op {
	FIRN_STORE_PUT = 1,    /* stores an object whole; `condition` may restrict it */
	FIRN_STORE_GET = 2,    /* reads a range of one version of an object */
	FIRN_STORE_STAT = 3,   /* size, time and, if wanted, version of an object */
	FIRN_STORE_LIST = 4,   /* one page of keys, in order */
	FIRN_STORE_DELETE = 5, /* removes an object; an absent one is success */
	FIRN_STORE_MULTIPART_BEGIN = 6,
	FIRN_STORE_MULTIPART_PUT = 7,
	FIRN_STORE_MULTIPART_COMMIT = 8, /* the object appears whole, now */
	FIRN_STORE_MULTIPART_ABORT = 9   /* frees the parts; an unknown upload is success */
};

/* When a PUT or a commit may happen. The check and the write are one atomic step. Since 0.1. */
enum firn_store_condition {
	FIRN_STORE_ALWAYS = 0,
	/* Key there: FIRN_ECONFLICT. */
	FIRN_STORE_IF_ABSENT = 1,
	/* Other version: FIRN_ECONFLICT. No such key: FIRN_ENOENT or FIRN_ECONFLICT. */
	FIRN_STORE_IF_MATCH = 2
};

/* firn_store_request.flags. Since 0.1. */
enum firn_store_request_flag {
	/* GET, STAT: fill `version`. Without it a back end for which the token costs something
	 * leaves version.len 0. A PUT or commit always fills it. */
	FIRN_STORE_WANT_VERSION = 1
};

/* How a request ended, which is what the host's next step depends on. Since 0.1. */
enum firn_store_outcome {
	/* Done, durable, visible; `code` is FIRN_OK. */
	FIRN_STORE_DONE = 0,
	/* Not done, and asking again gives the same: `code` says why. */
	FIRN_STORE_PERMANENT = 1,
	/* Not done; may work later (no connection, a 5xx before any effect). */
	FIRN_STORE_RETRY = 2,
	/* Not done: too many requests. error->retry_after_ms as the store said, 0 = it did not. */
	FIRN_STORE_THROTTLED = 3,
	/* May or may not have been done, now or still later (time-out). */
	FIRN_STORE_AMBIGUOUS = 4
};

/* The version of an object, opaque: an ETag, a generation. Equal bytes mean the same version. Two
 * PUTs of different bytes have different tokens; two of equal bytes may share one (ETags do).
 * len 0 = none given. Not NUL-terminated. Since 0.1. */
struct firn_store_version {
	uint32_t len;
	char text[FIRN_STORE_VERSION_MAX];
};

/* One `name=value` of the URI's query, percent-decoded, NUL-terminated. Since 0.1. */
struct firn_store_param {
	const char *name;
	const char *value;
};

/* A part of a multipart upload, as MULTIPART_PUT answered it. Since 0.1. */
struct firn_store_part {
	uint32_t part;     /* from 1, rising */
	uint32_t reserved; /* 0 */
	uint64_t bytes;
	struct firn_store_version version;
};

/* One key of a page: this header, then key_len bytes of key and a NUL; `next` bytes further begins
 * the following entry. 8-aligned. Since 0.1. */
struct firn_store_item {
	uint64_t size;    /* bytes of the object */
	int64_t mtime_ms; /* last PUT, Unix milliseconds by the store's clock; 0 = not known */
	uint32_t key_len;
	uint32_t next;
};

/* What LIST fills: memory of the host, written with firn_store_page_add(). Since 0.1. */
struct firn_store_page {
	uint32_t struct_size;
	uint32_t max;  /* entries at most, > 0 */
	uint32_t n;    /* entries added so far */
	uint32_t more; /* set it to 1 when a key follows the last one added */
	uint8_t *data; /* 8-aligned; room for at least one entry of any key */
	size_t cap;    /* bytes of data */
	size_t used;
};

struct firn_store_request;

/* What the host offers to one opened store. Valid from open() until close() has returned.
 * Since 0.1. */
struct firn_store_host {
	uint32_t struct_size;
	uint32_t abi_major; /* of the host */
	uint32_t abi_minor;
	uint32_t flags; /* 0 */
	/* Memory, clocks, chance, log. Every member but `files` is set; use it for all you
	 * allocate. */
	const struct firn_env *env;
	/* Call firn_store_complete() instead. */
	void (*complete)(struct firn_store_request *req);
};

/* What open() gets. All of it is borrowed for the call, except `host`. Since 0.1. */
struct firn_store_config {
	uint32_t struct_size;
	uint32_t n_param;
	const struct firn_store_host *host;
	const char *scheme;    /* "mem", "file", "plugin" */
	const char *authority; /* what stands between // and the path: a bucket; "" when absent */
	const char *path;      /* percent-decoded; a plug-in's: the shared object */
	/* In the order of the URI. `deadline_ms`, `hedge_ms`, `max_in_flight`, `requests_per_s`,
	 * `mib_per_s`, `prices` and `exclusive` are the host's and not among them. Refuse a name
	 * that you do not know with FIRN_EINVAL: a typing error must not silently become a default. */
	const struct firn_store_param *param;
};

/* Facts and limits of an opened store. The host zeroes it; leave a field 0 for "no limit" or "no".
 * Since 0.1. */
struct firn_store_info {
	uint32_t struct_size;
	uint32_t flags;          /* 0 */
	uint64_t caps;           /* enum firn_store_cap */
	uint64_t max_put_bytes;  /* largest object of one PUT */
	uint64_t min_part_bytes; /* of every part but the last */
	uint64_t max_part_bytes;
	uint32_t max_parts;
	uint32_t max_in_flight; /* more requests at once only queue */
	/* A key may be replaced at most once in so many microseconds (GCS: 1 s). */
	uint64_t cas_interval_us;
};

/* One request: asked by the host, answered by the back end. Strings are NUL-terminated UTF-8.
 *
 * A key has 1 to FIRN_STORE_KEY_MAX bytes, no control characters, and components of 1 to 255 bytes
 * separated by single slashes, none of them `.`, `..` or beginning with `.firn~`. The host has
 * checked that; a back end whose keys become paths checks again.
 *
 *	op              reads                                 answers (beside the outcome)
 *	PUT             key iov n_iov len condition match     version
 *	GET             key iov n_iov pos len flags           got size mtime_ms [version]
 *	STAT            key flags                             size mtime_ms [version]
 *	LIST            prefix start_after page               page
 *	DELETE          key
 *	MULTIPART_BEGIN key                                   upload (NUL-terminated)
 *	        _PUT    key upload part iov n_iov len         version
 *	        _COMMIT key upload parts n_parts condition match   version
 *	        _ABORT  key upload
 *
 * GET reads into iov from `pos` on, `len` bytes or up to the object's end, whichever comes first;
 * at or beyond the end it succeeds with got 0. What it reads is of one version. LIST gives keys
 * that begin with `prefix` and are greater, byte by byte, than `start_after` ("" = from the
 * first).
 *
 * Codes of a PERMANENT answer: FIRN_ENOENT (no such key), FIRN_ECONFLICT (condition not met),
 * FIRN_EINVAL (key or argument that this store cannot take), FIRN_ETOOBIG (above a limit of info),
 * FIRN_ENOSPC, FIRN_EREADONLY (no right to write), FIRN_ECORRUPT (the store's own check failed),
 * FIRN_EIO, FIRN_ENOMEM, FIRN_EUNSUPPORTED (not claimed), FIRN_ECANCELED (after cancel, not done),
 * else FIRN_ESTORE. With any other outcome the code is FIRN_ESTORE.
 *
 * Since 0.1. */
struct firn_store_request {
	uint32_t struct_size;
	uint32_t op;        /* enum firn_store_op */
	uint32_t flags;     /* enum firn_store_request_flag */
	uint32_t condition; /* enum firn_store_condition */
	const struct firn_store_host *host;
	const char *key;
	const struct firn_store_version *match; /* with FIRN_STORE_IF_MATCH; len > 0 */
	const struct iovec *iov;                /* PUT: the bytes; GET: where they go */
	uint64_t pos;
	uint64_t len;        /* the sum of iov, 0 allowed for PUT */
	uint64_t timeout_us; /* a hint: a later answer is of no use; 0 = no limit */
	const char *prefix;
	const char *start_after;
	struct firn_store_page *page;
	char *upload; /* FIRN_STORE_UPLOAD_MAX bytes */
	const struct firn_store_part *parts;
	uint32_t n_iov;
	uint32_t part; /* from 1 */
	uint32_t n_parts;

	/* The answer. The host has zeroed it: an untouched one says DONE. */
	uint32_t outcome;  /* enum firn_store_outcome */
	int32_t code;      /* FIRN_OK or FIRN_E... */
	uint32_t reserved; /* 0 */
	uint64_t got;      /* bytes read */
	uint64_t size;     /* bytes of the whole object */
	int64_t mtime_ms;
	struct firn_store_version version;
	/* Text for people, errno or HTTP status, retry_after_ms. Never NULL. */
	struct firn_error *error;

	/* The back end's own from submit to completion, zero at submit: a link of a queue, a
	 * buffer. */
	void *backend[4];
};

/* A back end. Static: it outlives every handle. Since 0.1. */
struct firn_store_plugin {
	uint32_t struct_size;
	uint32_t abi_major; /* FIRN_STORE_ABI_MAJOR as compiled */
	uint32_t abi_minor;
	uint32_t flags;   /* 0 */
	const char *name; /* for messages: "file", "sqlite" */
	/* Opens the store that the URI means; may block (it is called while an engine opens or a
	 * volume attaches). FIRN_OK and *handle, non-NULL; else a FIRN_E... code, *err filled in
	 * (may be NULL) and nothing left behind. */
	int (*open)(const struct firn_store_config *config, void **handle, struct firn_error *err);
	/* Frees the handle. No request is in flight and none will come. May block. */
	void (*close)(void *handle);
	/* Fills in *info, all of whose fields up to info->struct_size may be written. The same
	 * answer every time. Does not block. */
	void (*info)(void *handle, struct firn_store_info *info);
	/* Starts a request; see the rules above. It cannot fail: what is wrong is said by
	 * completing. */
	void (*submit)(void *handle, struct firn_store_request *req);
	/* The host has lost interest in a request that is in flight. It is still completed exactly
	 * once: with FIRN_ECANCELED if it never happened, with its real outcome otherwise. Ignoring
	 * it is correct. Does not block. */
	void (*cancel)(void *handle, struct firn_store_request *req);
	/* For a back end without threads: makes progress, for at most timeout_ms, and returns early
	 * when something completed or was submitted. The host calls it, from a thread of its own,
	 * while requests are in flight. NULL: not needed. */
	void (*poll)(void *handle, uint32_t timeout_ms);
};

/* Exported by a shared object: its back end, or NULL if it cannot work here. Called once per store
 * opened, before anything else. Since 0.1. */
const struct firn_store_plugin *firn_store_entry(void);

/* Hands a request back with the answer in it. Any thread, any locks, also inside submit(). Only
 * queues. The request must not be touched afterwards. Since 0.1. */
static inline void firn_store_complete(struct firn_store_request *req)
{
	req->host->complete(req);
}

/* Fills in a failure: outcome (not DONE), code (FIRN_E...), a positive errno or HTTP status or 0,
 * and a line for people without credentials. Does not complete. Since 0.1. */
static inline void firn_store_set_error(struct firn_store_request *req, uint32_t outcome,
                                        int32_t code, int32_t sys, const char *text)
{
	struct firn_error *err = req->error;
	size_t len = strlen(text);

	if (len >= sizeof err->text)
		len = sizeof err->text - 1;
	memcpy(err->text, text, len);
	err->text[len] = 0;
	err->code = code;
	err->sys = sys;
	req->outcome = outcome;
	req->code = code;
}

/* firn_store_set_error() and firn_store_complete() in one. Since 0.1. */
static inline void firn_store_complete_error(struct firn_store_request *req, uint32_t outcome,
                                             int32_t code, int32_t sys, const char *text)
{
	firn_store_set_error(req, outcome, code, sys, text);
	firn_store_complete(req);
}

/* Adds a key to the page of a LIST; keys come in rising order. Returns 0, or 1 if the page is full:
 * the key was not added, page->more is now 1, and the request is to be completed. Since 0.1. */
static inline int firn_store_page_add(struct firn_store_page *page, const char *key, size_t key_len,
                                      uint64_t size, int64_t mtime_ms)
{
	struct firn_store_item e;
	size_t need = (sizeof e + key_len + 1 + 7) & ~(size_t)7;

	if (page->n >= page->max || key_len > FIRN_STORE_KEY_MAX || need > page->cap - page->used) {
		page->more = 1;
		return 1;
	}
	e.size = size;
	e.mtime_ms = mtime_ms;
	e.key_len = (uint32_t)key_len;
	e.next = (uint32_t)need;
	memcpy(page->data + page->used, &e, sizeof e);
	memcpy(page->data + page->used + sizeof e, key, key_len);
	page->data[page->used + sizeof e + key_len] = 0;
	page->used += need;
	page->n++;
	return 0;
}

#ifdef __cplusplus
}
#endif
#endif
