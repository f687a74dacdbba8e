/* firn/read.h -- readers, fetches and look-ups.
 *
 * A reader is a set of positions over streams of any volumes of one engine. One fetch serves the
 * whole set: a Kafka fetch request, a replay, a poller of 100 000 queues and a wait for a watermark
 * are the same request. Its cost goes by what changed, not by the size of the set. The rules in
 * engine.h hold here. Since 0.1, as is all below. */
#ifndef FIRN_READ_H
#define FIRN_READ_H
#include <firn/engine.h>
#include <firn/error.h>
#include <firn/version.h>
#include <firn/write.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#ifdef __cplusplus
extern "C" {
#endif

struct firn_reader;
struct firn_object;

/* ---- reader ------------------------------------------------------------------------------- */

/* What a reader is opened with. Since 0.1. */
struct firn_reader_opts {
	uint32_t struct_size;
	uint32_t cls;                 /* enum firn_class */
	uint64_t readahead_max_bytes; /* 0 = grows as the engine's budget allows */
	uint64_t pin_max_bytes;       /* results of this reader not yet released; 0 = pin_bytes */
	                              /* of the engine */
};

/* firn_item.flags. Since 0.1. */
enum firn_item_flag {
	FIRN_ITEM_SET = 0,   /* add the slot, or move it */
	FIRN_ITEM_REMOVE = 1 /* only `slot` counts; an empty slot is success */
};

/* One position. Since 0.1. */
struct firn_item {
	uint32_t slot;  /* yours, comes back in firn_part; dense: memory goes by the */
	                /* largest. Below 2^24 */
	uint32_t flags; /* enum firn_item_flag */
	struct firn_volume *volume;
	struct firn_object *object; /* NULL; for a later release, else FIRN_EUNSUPPORTED */
	uint64_t stream;
	uint64_t offset;    /* of the first record wanted */
	uint32_t max_bytes; /* per fetch; 0 = only the fetch's bound */
	uint16_t up_to;     /* enum firn_mark that bounds reading; data needs VISIBLE, */
	                    /* STABLE, DURABLE or STORED; FIRN_FETCH_READY takes any */
	uint16_t _pad;
};

/* Opens a reader with an empty set. opts may be NULL. *out is yours until firn_reader_close(). Does
 * not block. On failure *out is NULL. Since 0.1. */
FIRN_API int firn_reader_open(struct firn_engine *engine, const struct firn_reader_opts *opts,
                              struct firn_reader **out, struct firn_error *err);

/* Changes n slots of the set, all or none; item_size = sizeof of the caller's struct firn_item. A
 * fetch in flight goes on with the changed set. Whether streams and offsets exist is told by the
 * fetch. Does not block; one thread at a time per reader.
 *  FIRN_EUNSUPPORTED `object` is set, or an unknown flag
 * Since 0.1. */
FIRN_API int firn_reader_set(struct firn_reader *reader, const struct firn_item *item,
                             uint32_t item_size, uint32_t n);

/* Closes a reader; NULL is allowed. Its fetch, if one is in flight, ends with FIRN_ECANCELED, in
 * its event; loads under way still fill the cache. Results stay valid until released. Does not
 * block; one thread at a time per reader. Always closes. Since 0.1. */
FIRN_API int firn_reader_close(struct firn_reader *reader);

/* ---- fetch -------------------------------------------------------------------------------- */

/* Low bits of firn_fetch.req.flags. Since 0.1. */
enum firn_fetch_flag {
	FIRN_FETCH_READY = 1,   /* no data: which slots have offset < mark(up_to), and their */
	                        /* marks */
	FIRN_FETCH_HEADERS = 2, /* batches without payload: data is NULL, n_iov 0, len as stored */
	FIRN_FETCH_CACHED = 4,  /* never wait for the store: such slots answer FIRN_F_COLD, and */
	                        /* are loaded meanwhile */
	FIRN_FETCH_HARD_MAX = 8 /* even the first batch must fit max_bytes; without, one always */
	                        /* comes */
};

/* Request: what is there for the set. The event comes when min_bytes are at hand, or a slot has an
 * error or a gap to tell, or max_wait_ms is over, which is no error: the result may hold no part.
 * Slots are served in turn; a cold one never holds up a hot one. Positions move past what was
 * delivered (not with READY). Only what is durable is seen. One fetch at a time per reader.
 * event.result: a const struct firn_fetched *; on error a const struct firn_error *. What concerns
 * one slot is in its part. Codes of the whole:
 *  FIRN_EAGAIN       results not yet released use up pin_max_bytes or pin_bytes, and did so for all
 *                    of max_wait_ms; no position moved
 *  FIRN_ECANCELED    cancelled, or the reader was closed; no position moved
 *  FIRN_ETIMEDOUT    req.timeout_ms came before max_wait_ms; no position moved
 * Since 0.1. */
struct firn_fetch {
	struct firn_req req;
	struct firn_reader *reader;
	uint32_t min_bytes;   /* over the set; 0 = 1. READY: any slot suffices */
	uint32_t max_bytes;   /* over the set; 0 = 1 MiB. Exceeded by one batch if it alone is */
	                      /* larger */
	uint32_t max_wait_ms; /* 0 = answer with what is there; FIRN_FOREVER */
	uint32_t max_parts;   /* 0 = no bound */
};

#define FIRN_FETCH_INIT                                                     \
	{                                                                   \
		FIRN_REQ_HEAD(firn_fetch, FIRN_REQ_FETCH), NULL, 0, 0, 0, 0 \
	}

/* firn_batch.flags. Since 0.1. */
enum firn_batch_flag {
	FIRN_BATCH_PRODUCER = 1, /* appended with FIRN_APPEND_PRODUCER: producer_* are said */
	FIRN_BATCH_SEQ_NONE = 4  /* and FIRN_SEQ_NONE: all but producer_seq */
};

/* One batch, as appended; verified. Since 0.1. */
struct firn_batch {
	uint64_t offset; /* of its first record: may lie below the one asked for, and below */
	                 /* start */
	uint32_t n_offsets;
	uint32_t tag;
	const uint8_t *data; /* payload; NULL with FIRN_FETCH_HEADERS */
	uint64_t len;
	int64_t timestamp_ms; /* the caller's */
	int64_t append_ms;    /* the engine's */
	uint64_t rev;         /* number of its write in the volume */
	uint64_t epoch;       /* of the volume's writer that appended it */
	uint64_t producer_id; /* this and the next two: 0 = none */
	uint64_t producer_seq;
	uint32_t producer_epoch;
	uint8_t key_len;
	uint8_t attr_len;
	uint16_t flags;      /* enum firn_batch_flag */
	const uint8_t *key;  /* NULL if key_len is 0 */
	const uint8_t *attr; /* NULL if attr_len is 0 */
};

/* Why offsets between start and the mark hold no record. Since 0.1. */
enum firn_gap {
	FIRN_GAP_NONE = 0,
	FIRN_GAP_COMPACTED = 1, /* left out by a rewrite */
	FIRN_GAP_ERASED = 2,    /* erased on request */
	FIRN_GAP_SKIPPED = 3,   /* never given: FIRN_APPEND_AT */
	FIRN_GAP_LOST = 4       /* given up by an explicit takeover or repair */
};

/* What one slot got. Batches are in offset order. A part tells at most one gap, and it lies before
 * its first batch: [gap_from, gap_to). Positions move past gaps, except LOST. Codes:
 *  FIRN_ERANGE       the position is below `start` or above the mark; set it anew
 *  FIRN_ELOST        it is in a lost range, the gap; set it to gap_to to go on
 *  FIRN_ENOENT       the stream does not exist, or not any more
 *  FIRN_ECORRUPT     bytes there failed verification, or are missing; not served, position not
 *                    moved
 *  FIRN_ESTORE       the store is away or refused; the next fetch tries again
 *  FIRN_EIO          the local disk failed
 *  FIRN_ETOOBIG      HARD_MAX, and the next batch does not fit
 *  FIRN_EFENCED      what is above stored belongs to another writer now; so may what lay in an object
 *                    that he has deleted since
 *  FIRN_ESHUTDOWN    the volume is detached: remove the slot
 * With a code there is no batch and the position has not moved. Since 0.1. */
struct firn_part {
	uint32_t slot;
	int32_t code;   /* 0 or enum firn_code */
	uint32_t flags; /* FIRN_F_MORE, FIRN_F_COLD */
	uint32_t n_batch;
	uint32_t batch_size; /* bytes from one batch to the next */
	uint32_t n_iov;
	uint32_t gap; /* enum firn_gap */
	uint32_t _pad;
	uint64_t bytes;       /* payload */
	uint64_t next_offset; /* the slot's position from now on */
	uint64_t start;       /* the marks, at the time of the answer */
	uint64_t visible;
	uint64_t stable;
	uint64_t stored;
	uint64_t gap_from;
	uint64_t gap_to;
	const struct firn_batch *batch;
	const struct iovec *iov; /* the same payloads, neighbours joined: for writev(); read-only */
};

/* Result of a fetch. Memory is counted as pinned until released. Since 0.1. */
struct firn_fetched {
	uint32_t struct_size;
	uint32_t n_part;
	uint32_t part_size; /* bytes from one part to the next */
	uint32_t _pad;
	uint64_t bytes; /* payload, all parts */
	const struct firn_part *part;
};

/* ---- look-up ------------------------------------------------------------------------------ */

/* What a look-up goes by. Since 0.1. */
enum firn_by {
	FIRN_BY_TIMESTAMP = 0,     /* first batch in offset order with timestamp_ms >= value */
	FIRN_BY_MAX_TIMESTAMP = 1, /* the batch with the largest timestamp_ms; the first, if */
	                           /* several */
	FIRN_BY_EPOCH = 2          /* event.end: end of what writers of epoch <= value appended */
};

/* Request: find a batch between `start` and `visible`; event.offset, end, timestamp_ms tell which.
 * The record inside the batch is the caller's business. Reads the store if it must. What a takeover gave up (FIRN_ELOST to
 * readers) holds no batch: the answer is of what is there.
 *  FIRN_ENOENT       no such stream, or no such batch (event.stream is set then)
 *  FIRN_EFENCED      it may lie above stored, or in an object that is gone, and another engine is
 *                    the writer now
 *  FIRN_ESTORE       the store is away (RETRY) or refused
 *  FIRN_ECORRUPT, FIRN_EIO    index or data cannot be read
 *  FIRN_ETIMEDOUT, FIRN_ECANCELED, FIRN_ESHUTDOWN    no answer
 * Nothing is changed. Since 0.1. */
struct firn_lookup {
	struct firn_req req;
	struct firn_volume *volume;
	uint64_t stream;
	int64_t value;
	uint32_t by; /* enum firn_by */
	uint32_t _pad;
};

#define FIRN_LOOKUP_INIT                                                      \
	{                                                                     \
		FIRN_REQ_HEAD(firn_lookup, FIRN_REQ_LOOKUP), NULL, 0, 0, 0, 0 \
	}

/* ---- blocking shorthand ------------------------------------------------------------------- */

/* [blocks up to max_wait_ms, and while the store is read up to 30 s more] Reads one stream from
 * `offset` up to FIRN_MARK_VISIBLE, without read-ahead. *out has one part, or none (n_part 0) if
 * nothing came in time, and is yours to release. max_bytes 0 = 1 MiB. Codes: those of struct firn_part and struct firn_fetch;
 * *out is NULL then. Since 0.1. */
FIRN_API int firn_stream_read(struct firn_volume *volume, uint64_t stream, uint64_t offset,
                              uint32_t max_bytes, uint32_t max_wait_ms,
                              const struct firn_fetched **out, struct firn_error *err);

#ifdef __cplusplus
}
#endif
#endif
