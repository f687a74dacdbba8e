/* firn/write.h -- streams and their marks, the atomic write, key-value and producer state.
 *
 * A stream is a number, valid as long as it exists: nothing to open, close or leak. A write is a
 * list of operations on one volume: all or nothing, one WAL record, one cut. The rules in engine.h
 * hold here.
 * Since 0.1, as is all below. */
#ifndef FIRN_WRITE_H
#define FIRN_WRITE_H
#include <firn/engine.h>
#include <firn/error.h>
#include <firn/version.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#ifdef __cplusplus
extern "C" {
#endif

/* ---- streams: marks, configuration -------------------------------------------------------- */

/* Where `stream` is asked for: the key-value pairs of the volume itself; the stream made by the
 * last FIRN_OP_CREATE of the same write; all of them (firn_kv_scan). */
#define FIRN_STREAM_VOLUME 0ull
#define FIRN_STREAM_ALL 0xfffffffffffffffeull
#define FIRN_STREAM_NEW 0xffffffffffffffffull

/* Watermarks: offsets, each one past the last record it covers.
 * start <= stored <= durable <= assigned; start <= stable <= visible <= durable; local anywhere.
 * Since 0.1. */
enum firn_mark {
	FIRN_MARK_VISIBLE = 0,  /* readers' bound; follows durable unless HOLD_VISIBLE (high */
	                        /* watermark) */
	FIRN_MARK_STABLE = 1,   /* second bound; follows visible unless HOLD_STABLE (last stable */
	                        /* offset) */
	FIRN_MARK_DURABLE = 2,  /* below it all is in the WAL, flushed */
	FIRN_MARK_STORED = 3,   /* below it all is in the store and in the manifest */
	FIRN_MARK_ASSIGNED = 4, /* next offset to be given */
	FIRN_MARK_START = 5,    /* first readable record; trimmed below. Exact to the record */
	FIRN_MARK_LOCAL = 6     /* from here on no read needs the store */
};

/* firn_stream_config.flags. Since 0.1. */
enum firn_stream_config_flag {
	FIRN_HOLD_VISIBLE = 1,       /* visible rises only by firn_stream_mark_set() */
	FIRN_HOLD_STABLE = 2,        /* likewise stable */
	FIRN_RETAIN_BY_TIMESTAMP = 4 /* age by the caller's timestamps; default: by append time */
};

/* firn_stream_config.compression. Since 0.1. */
enum firn_compression {
	FIRN_COMPRESSION_AUTO = 0, /* zstd where it pays */
	FIRN_COMPRESSION_NONE = 1,
	FIRN_COMPRESSION_ZSTD = 2
};

/* How a stream is kept. Since 0.1.
 *
 * Retention: the engine that has the volume attached for writing trims, by a write of its own that takes a number like
 * any (firn_volume_info.rev_durable) and shows as FIRN_MARK_START, what is older than retention_ms or lies behind
 * retention_bytes of newer payload; where both are set, what either says. Only what is stored goes, from the oldest on,
 * in whole blocks of the store (the batches of one upload, or of several that compaction put together: at most a 16th of
 * retention_ms, or a week, between its first and its last, and about 256 KiB): a block goes when its youngest batch is
 * old enough, or when the blocks after it hold retention_bytes without it. Age is counted from the append time by the
 * engine's wall clock; with RETAIN_BY_TIMESTAMP from the caller's, and a timestamp in the future keeps all behind it. It is
 * looked at once a second, 1024 streams of a volume at a time; while the store is away, or the WAL nearly full, not at
 * all. The bytes leave the store later, as after any trim. */
struct firn_stream_config {
	uint32_t struct_size;
	uint32_t flags;              /* enum firn_stream_config_flag */
	uint64_t retention_ms;       /* age at which batches go, see above; 0 = for ever */
	uint64_t retention_bytes;    /* payload that is kept, likewise; 0 = no bound */
	uint32_t producer_window;    /* batches remembered per producer, at most 16; 0 = 5 */
	uint32_t producer_seq_bits;  /* sequences wrap after this many bits; 0 = 64, Kafka 31 */
	uint64_t producer_expire_ms; /* a producer silent that long is forgotten; 0 = 1 day. So */
	                             /* are those silent for longest above 65 536 a stream */
	uint64_t key_window_ms;      /* idempotency keys are remembered this long ... */
	uint32_t key_window_n;       /* ... and this many; one 0 = no such bound, both 0 = off */
	uint32_t dirty_percent;      /* reserved: must be 0, else FIRN_EUNSUPPORTED */
	uint16_t compression;        /* enum firn_compression */
	uint16_t cls;                /* enum firn_class of its uploads and reads */
	uint32_t _pad;
	uint64_t account; /* label in metrics; 0 = none */
};

/* firn_stream_info.flags. 1 is reserved (sealed). Since 0.1. */
enum firn_stream_flag {
	FIRN_STREAM_HELD = 2 /* visible or stable is held, see its configuration */
};

/* Figures of a stream, one moment. Since 0.1. */
struct firn_stream_info {
	uint32_t struct_size;
	uint32_t flags; /* enum firn_stream_flag */
	uint64_t stream;
	uint64_t mark[8];      /* by enum firn_mark; what is not in it is 0 */
	uint64_t bytes;        /* payload appended: bounds what lies from start to durable from */
	                       /* above, for only a trim of everything takes off it, down to 0 */
	uint64_t stored_bytes; /* of it, below stored */
	uint64_t dirty_bytes;  /* reserved, 0 */
	uint64_t n_producers;
	int64_t first_ms; /* append time of the first and last batch; 0 = none */
	int64_t last_ms;
	char name[256]; /* NUL-terminated */
};

/* Finds a stream by name, `len` bytes, 1 to 255. A stream is found once its creation is durable.
 * *stream is its number. Does not block (index); any thread.
 *  FIRN_ENOENT       no such stream; *stream was not touched
 *  FIRN_ESHUTDOWN    the volume is being detached
 *  FIRN_ECORRUPT, FIRN_EIO    the index cannot be read; reopen the engine: it is rebuilt
 * The last three hold for all calls of this section and of "read side" below. Since 0.1. */
FIRN_API int firn_stream_find(const struct firn_volume *volume, const char *name, size_t len,
                              uint64_t *stream);

/* Lists streams by name, bytewise, those that begin with `prefix` (NULL = all) and stand above
 * `after` (NULL = from the start): up to `max` into out[], info_size = sizeof of the caller's
 * struct firn_stream_info; struct_size of the elements is set, not read. Returns how many, or a
 * negative code; fewer than max: the list is at its end. Does not block (index, work grows with
 * max); any thread. Since 0.1. */
FIRN_API int firn_stream_list(const struct firn_volume *volume, const char *prefix,
                              const char *after, struct firn_stream_info *out, uint32_t info_size,
                              uint32_t max);

/* Fills *out. Does not block (index); any thread.
 *  FIRN_ENOENT       no such stream
 * On failure *out is not touched. Since 0.1. */
FIRN_API int firn_stream_info(const struct firn_volume *volume, uint64_t stream,
                              struct firn_stream_info *out);

/* Fills *out with the configuration as last made durable; defaults that were 0 stay 0. Does not
 * block (index); any thread. It is changed by FIRN_OP_CONFIG.
 *  FIRN_ENOENT       no such stream
 * On failure *out is not touched. Since 0.1. */
FIRN_API int firn_stream_config_get(const struct firn_volume *volume, uint64_t stream,
                                    struct firn_stream_config *out);

/* *offset = one enum firn_mark of a stream. To wait for a mark: a reader item with `up_to` and a
 * FIRN_FETCH_READY, read.h. Does not block; any thread.
 *  FIRN_ENOENT       no such stream; *offset was not touched
 * Since 0.1. */
FIRN_API int firn_stream_mark(const struct firn_volume *volume, uint64_t stream, uint32_t mark,
                              uint64_t *offset);

/* Raises FIRN_MARK_VISIBLE or FIRN_MARK_STABLE of a stream that holds it, and wakes readers. It
 * rises only: an offset not above the present one is success and changes nothing. Not durable:
 * after an attach a held mark is at `start`, derive it anew from what you keep in key-value pairs.
 * Does not block; any thread. Refused, and nothing was changed:
 *  FIRN_EINVAL       another mark, or it is not held
 *  FIRN_ENOENT       no such stream
 *  FIRN_ERANGE       visible above durable, or stable above visible
 *  FIRN_EFENCED, FIRN_EREADONLY, FIRN_ESHUTDOWN    the volume takes no changes
 * Since 0.1. */
FIRN_API int firn_stream_mark_set(struct firn_volume *volume, uint64_t stream, uint32_t mark,
                                  uint64_t offset);

/* ---- write: one atomic list of operations ------------------------------------------------- */

/* When a write's event comes. 3 is reserved. Since 0.1. */
enum firn_ack {
	FIRN_ACK_DURABLE = 0,  /* in the WAL, flushed; survives what firn_attached.survives says */
	FIRN_ACK_ASSIGNED = 1, /* offsets given; a crash may still lose it */
	FIRN_ACK_STORED = 2    /* in the store; survives the loss of the node */
};

/* firn_op.kind, and which member of firn_op.u it uses. 6 (erase), 10 (seal) and 11 (fork) are
 * reserved and FIRN_EUNSUPPORTED. Since 0.1. */
enum firn_op_kind {
	FIRN_OP_APPEND = 1,    /* append */
	FIRN_OP_KV_PUT = 2,    /* kv */
	FIRN_OP_KV_DELETE = 3, /* kv: `key`, or all in [key, key_to) if key_to is set; absent = */
	                       /* success */
	FIRN_OP_KV_CHECK = 4,  /* kv: changes nothing; FIRN_ECONFLICT unless key's value is */
	                       /* `value` */
	FIRN_OP_TRIM = 5,      /* range: start = from, if above it; FIRN_ERANGE above assigned */
	FIRN_OP_CREATE = 7,    /* stream: op.stream is 0; the number comes back */
	FIRN_OP_CONFIG = 8,    /* stream: replaces the whole configuration */
	FIRN_OP_DELETE = 9     /* none: the stream and its key-value pairs; its number is never */
	                       /* used again */
};

/* firn_op.flags; the meaning of a bit depends on firn_op.kind. Since 0.1. */
enum firn_op_flag {
	/* FIRN_OP_APPEND */
	FIRN_APPEND_EXPECT = 1,   /* the base must be `expect`, else FIRN_ECONFLICT */
	FIRN_APPEND_AT = 2,       /* the base is `expect`, not below the end (FIRN_ECONFLICT); */
	                          /* what is skipped reads as FIRN_GAP_SKIPPED (mirroring, */
	                          /* import) */
	FIRN_APPEND_STAMP = 4,    /* store a base offset, big-endian u64, at byte stamp_pos of */
	                          /* the payload: that of the APPEND op.stamp_of (1 = first */
	                          /* operation of this write), 0 = its own */
	FIRN_APPEND_PRODUCER = 8, /* check producer_*: exactly the next sequence (Kafka) */
	FIRN_SEQ_RISING = 16,     /* with PRODUCER: any higher sequence (RabbitMQ, backfill) */
	FIRN_SEQ_NONE = 32,       /* with PRODUCER: only the epoch (coordinator, transaction */
	                          /* markers) */
	/* FIRN_OP_KV_PUT, KV_DELETE of one key, KV_CHECK */
	FIRN_KV_IF_ABSENT = 1, /* the key must not exist, else FIRN_ECONFLICT; CHECK: no */
	                       /* `value` */
	FIRN_KV_IF_REV = 2,    /* its revision must be `rev`, else FIRN_ECONFLICT; CHECK: no */
	                       /* `value` */
	/* FIRN_OP_KV_PUT: one of them. As APPEND_STAMP; stamp_of 0 = the nearest APPEND before */
	FIRN_KV_STAMP_KEY = 4,
	FIRN_KV_STAMP_VALUE = 8,
	/* FIRN_OP_CREATE */
	FIRN_CREATE_OPEN = 1 /* a stream of that name is success: its number comes back, its */
	                     /* configuration stays */
};

/* Producers (FIRN_APPEND_PRODUCER) are known to a stream by id, any but 2^64 - 1, with the newest
 * epoch and the next sequence:
 *  not known yet, or forgotten    any epoch and sequence is taken
 *  the same epoch                 the next sequence is taken; a batch of the window is a duplicate;
 *                                 else FIRN_ESEQ. SEQ_RISING takes a higher one as well, and of a
 *                                 lower one says duplicate
 *  a higher epoch                 begins with sequence 0, or with SEQ_RISING anywhere
 *  a lower epoch                  FIRN_EPRODUCER
 * Who sends again after a crash finds its next sequence by firn_producer_list(), after_id = id - 1.
 * Idempotency keys need a key window in the stream's configuration; without one they are kept with
 * the batch and judged by nobody. */

/* FIRN_OP_APPEND: one batch. It takes the offsets [base, base + n_offsets). Since 0.1. */
struct firn_op_append {
	const struct iovec *iov; /* payload, in n_iov pieces, at most 1024; may be empty */
	uint32_t n_iov;
	uint32_t n_offsets;    /* 0 = 1 (Kafka: lastOffsetDelta + 1) */
	int64_t timestamp_ms;  /* the largest in the batch; 0 = append time */
	uint64_t expect;       /* EXPECT, AT */
	uint64_t producer_id;  /* PRODUCER */
	uint64_t producer_seq; /* of the batch's first record; the next is this + n_offsets */
	uint32_t producer_epoch;
	uint32_t stamp_pos; /* STAMP: 8 bytes from here lie inside the payload */
	const void *key;    /* idempotency key, key_len bytes, 0 = none, at most 32 */
	const void *attr;   /* yours, readable without the payload; 0 to 255 bytes */
	uint8_t key_len;
	uint8_t attr_len;
	uint16_t _pad;
	uint32_t tag; /* yours, readable without the payload */
};

/* FIRN_OP_KV_PUT, KV_DELETE, KV_CHECK on the pairs of op.stream or FIRN_STREAM_VOLUME.
 * Since 0.1. */
struct firn_op_kv {
	const void *key;    /* 1 to 255 bytes; ordered bytewise */
	const void *value;  /* 0 to 65 536 bytes */
	const void *key_to; /* DELETE of a range: its end, exclusive; NULL = `key` alone */
	uint32_t key_len;
	uint32_t value_len;
	uint32_t key_to_len;
	uint32_t stamp_pos; /* STAMP: 8 bytes from here lie inside key or value */
	uint64_t rev;       /* IF_REV: firn_kv.rev, the number of the write that put it */
};

/* FIRN_OP_TRIM uses `from`; `to` is for a later operation and must be 0. Since 0.1. */
struct firn_op_range {
	uint64_t from;
	uint64_t to;
};

/* FIRN_OP_CREATE, FIRN_OP_CONFIG. Since 0.1. */
struct firn_op_stream {
	const char *name; /* CREATE: name_len bytes, 1 to 255, no NUL */
	uint32_t name_len;
	uint32_t _pad;
	const struct firn_stream_config *config; /* NULL = all defaults */
	uint64_t at;                             /* CREATE: first offset */
};

/* One operation. 96 bytes in this release; firn_write.op_size is the stride. Since 0.1. */
struct firn_op {
	uint16_t kind;     /* enum firn_op_kind */
	uint16_t flags;    /* enum firn_op_flag */
	uint32_t stamp_of; /* number of an operation of this write, from 1; 0 = see the flag */
	uint64_t stream;   /* its number, or FIRN_STREAM_NEW; of a KV operation also */
	                   /* STREAM_VOLUME */
	union {
		struct firn_op_append append;
		struct firn_op_kv kv;
		struct firn_op_range range;
		struct firn_op_stream stream;
	} u;
};

/* Request: a write. Operations are judged in order, at submit, against the assigned state; all of
 * them take place or none. Durable when the event says so, as `ack` asks. Payloads are copied at
 * submit. At most 65 535 operations and 64 MiB, or half a WAL file, or half of the engine's
 * tail_bytes, whichever is least; and three quarters of a WAL file less 128 KiB, where each operation counts 43 bytes more. A write is never recalled. Preconditions on keys (CHECK, IF_ABSENT, IF_REV) see the state before this write;
 * appends of one write to one stream see one another. A write of which a part is a duplicate and
 * another is new is refused with FIRN_ECONFLICT; parts are the APPENDs with a producer's sequence or a key.
 * event.stream, offset, end: of the first APPEND, else of the first CREATE. event.result: a const
 * struct firn_written * if there is more than one operation, else NULL; on error as engine.h says.
 * A duplicate (producer sequence or idempotency key known) makes the whole write a no-op that
 * succeeds with FIRN_F_DUPLICATE and the original's offsets, once the ORIGINAL is as durable as
 * asked. Behind the first APPEND that is known only APPENDs are judged, whether they are known too:
 * preconditions that hold but once belong there, or a write sent again meets FIRN_ECONFLICT.
 * Refused, nothing of it was written; event.end is the number of the operation, from 1:
 *  FIRN_ECONFLICT    EXPECT, AT, IF_ABSENT, IF_REV or CHECK failed; event.offset = the real end, or
 *                    the real revision (0 = absent)
 *  FIRN_ESEQ         the sequence is not the next (event.offset), or is older than the window
 *  FIRN_EPRODUCER    the epoch is older than event.offset
 *  FIRN_ENOENT       no such stream
 *  FIRN_EEXIST       CREATE: the name exists, event.stream
 *  FIRN_ERANGE       TRIM above assigned; an offset above 2^62, or 2^36 or more above stored
 *  FIRN_ETOOBIG      a limit above is exceeded: it would never fit, and event.offset says how many
 *                    bytes would; or a volume's key-value pairs, with what keeps each (some 100 B), exceed
 *                    256 MiB or half of memory_bytes
 *  FIRN_EFULL, FIRN_EFENCED, FIRN_EREADONLY, FIRN_ESHUTDOWN, FIRN_EIO    see firn_engine_submit()
 * Admitted, outcome not known:
 *  FIRN_EUNKNOWN     the WAL failed, or the volume was fenced or aborted, before what `ack` asks
 *                    was confirmed: it may appear after recovery
 * Since 0.1. */
struct firn_write {
	struct firn_req req;
	struct firn_volume *volume;
	const struct firn_op *op;
	uint32_t n_op;
	uint32_t op_size; /* sizeof of the caller's struct firn_op */
	uint32_t ack;     /* enum firn_ack */
	uint32_t _pad;
};

#define FIRN_WRITE_INIT                                                   \
	{                                                                 \
		FIRN_REQ_HEAD(firn_write, FIRN_REQ_WRITE), NULL, NULL, 0, \
		        (uint32_t)sizeof(struct firn_op), 0, 0            \
	}

/* What one operation did. APPEND: [offset, end). CREATE: offset = end = first offset. TRIM: offset
 * = start. Otherwise 0, and in a duplicate write all but APPENDs that are known. Since 0.1. */
struct firn_done {
	uint64_t stream;
	uint64_t offset;
	uint64_t end;
};

/* event.result of a write of more than one operation. Valid until released. Since 0.1. */
struct firn_written {
	uint32_t struct_size;
	uint32_t n;    /* as many as the write had operations */
	uint32_t size; /* bytes from one element to the next */
	uint32_t _pad;
	const struct firn_done *op;
};

/* Submits a write of one plain APPEND, FIRN_ACK_DURABLE: scalars and one pointer, cheap from any
 * language. 0: taken, the event (kind FIRN_REQ_WRITE) will come to cq. n_offsets 0 = 1,
 * timestamp_ms 0 = append time. Does not block; any thread. Codes: those that firn_engine_submit()
 * gives in *err; the write had no effect then and has no event. Since 0.1. */
FIRN_API int firn_stream_append_async(struct firn_volume *volume, uint64_t stream, const void *data,
                                      size_t len, uint32_t n_offsets, int64_t timestamp_ms,
                                      struct firn_cq *cq, uint64_t user_data);

/* ---- key-value, producers: read side ------------------------------------------------------ */

/* One pair. Since 0.1. */
struct firn_kv {
	uint64_t stream;
	uint64_t rev; /* number of the write that put it */
	const void *key;
	const void *value; /* key and value live as long as the page */
	uint32_t key_len;
	uint32_t value_len;
};

/* Result of a scan. Valid until released. Since 0.1. */
struct firn_kv_page {
	uint32_t struct_size;
	uint32_t n;
	uint32_t size; /* bytes from one element to the next */
	uint32_t more; /* 1 = the range holds more: go on from just above the last key */
	const struct firn_kv *kv;
};

/* Copies a value, as last made durable, into buf[cap]; *len = its length, *rev = number of the
 * write that put it (each may be NULL). buf may be NULL if cap is 0. Does not block (index); any
 * thread.
 *  FIRN_ENOENT       no such key or stream
 *  FIRN_ETOOBIG      it is longer than cap: *len and *rev are set, buf is undefined
 * Since 0.1. */
FIRN_API int firn_kv_get(const struct firn_volume *volume, uint64_t stream, const void *key,
                         size_t key_len, void *buf, size_t cap, size_t *len, uint64_t *rev);

/* Reads the pairs with from <= key < to, bytewise order, as last made durable, one moment; at most
 * `max` (0 = 1024) and about 1 MiB. from_len 0 = from the first key, to_len 0 = to the last.
 * FIRN_STREAM_ALL:
 * of all streams and the volume, by stream, then key, the bounds applied in each. *page is yours to
 * release; empty is success. Does not block (index, work grows with max); any thread.
 *  FIRN_ENOENT       no such stream
 * On failure *page is NULL. Since 0.1. */
FIRN_API int firn_kv_scan(const struct firn_volume *volume, uint64_t stream, const void *from,
                          size_t from_len, const void *to, size_t to_len, uint32_t max,
                          const struct firn_kv_page **page);

/* State of one producer in one stream. Since 0.1. */
struct firn_producer {
	uint64_t producer_id;
	uint64_t seq_next;    /* the sequence that FIRN_APPEND_PRODUCER expects */
	uint64_t last_offset; /* of its last record */
	uint32_t producer_epoch;
	uint32_t _pad;
	int64_t last_ms; /* append time of its last batch */
};

/* Lists the producers of a stream by id, those with an id above `after_id`, with what is assigned:
 * up to `max` into out[], out_size = sizeof of the caller's struct firn_producer. after_id
 * 0xffffffffffffffff = from the start. Returns how many, or a negative code; fewer than max: the
 * list is at its end. Does not block (index, work grows with max); any thread.
 *  FIRN_ENOENT       no such stream
 * Since 0.1. */
FIRN_API int firn_producer_list(const struct firn_volume *volume, uint64_t stream,
                                uint64_t after_id, struct firn_producer *out, uint32_t out_size,
                                uint32_t max);

/* ---- blocking shorthands ------------------------------------------------------------------ */

/* [blocks up to 30 s] Finds a stream by name, or makes it with defaults: durable on return. *stream
 * is its number. Codes: those of struct firn_write; FIRN_ETIMEDOUT: no room in time, nothing
 * happened; FIRN_EUNKNOWN: it may exist, call again. On failure *stream is not touched.
 * Since 0.1. */
FIRN_API int firn_stream_open(struct firn_volume *volume, const char *name, uint64_t *stream,
                              struct firn_error *err);

/* [blocks up to 30 s] Appends one batch; durable on return, *base (may be NULL) = its first offset.
 * n_offsets 0 = 1, timestamp_ms 0 = append time. Codes: those of struct firn_write; FIRN_ETIMEDOUT:
 * no room in time, nothing happened; FIRN_EUNKNOWN: it may appear. On failure *base is not touched.
 * Since 0.1. */
FIRN_API int firn_stream_append(struct firn_volume *volume, uint64_t stream, const void *data,
                                size_t len, uint32_t n_offsets, int64_t timestamp_ms,
                                uint64_t *base, struct firn_error *err);

#ifdef __cplusplus
}
#endif
#endif
