/* Inside salvage: what a first look at the tail knows. */
#ifndef SALVAGE_TAIL_H
#define SALVAGE_TAIL_H
#include "engine/api/engine.h"
#include "engine/api/handle.h"
#include "engine/salvage/salvage.h"
#include "engine/wal/inspect.h"

struct tail_stream {
	uint64_t id, trim;
	uint64_t
	        lowest; /* where one may stand that has been sent again: the lowest range that was ever given up of it */
	bool made, deleted; /* by the tail */
	bool asks;          /* it has producers or keys */
	bool holes; /* the batch before, as far as it is known, was left out: what is missing in front is lost, not skipped */
	/* of the volume, as it was when the look was over */
	bool live;
	uint64_t start, stored;
	struct dedup_limits limits;
	struct salvage_stream row;
	/* of one that the volume never had (made.c) */
	uint64_t at, shape_rev;       /* where its offsets began; the write that `config` is of */
	uint8_t *config;              /* as encoded */
	uint32_t config_len, n_shape; /* n_shape: operations that made, changed or trimmed it */
	size_t turn, turn_end;        /* in made[]: the batch whose turn it is; behind the last */
	bool back;                    /* it comes back */
	uint64_t back_start,
	        back_next; /* of the stream that it came back as, row.back of the volume; 0: none yet */
};

/* A batch of a stream that the volume does not know: enough to know it again, and in which order they come back. */
struct tail_made {
	uint64_t stream, offset, sum;
	int64_t append_ms, timestamp_ms;
	uint32_t n, len, tag;
	bool there; /* it is back already */
};

/* A batch of the tail that may have been sent again: by its producer, or by its key. */
struct tail_sent {
	uint64_t stream, producer_id, seq;
	uint32_t producer_epoch, n;
	bool again;
};
struct tail_key {
	uint64_t stream;
	int64_t append_ms;
	uint8_t len, key[BATCH_KEY_MAX];
	bool again;
};

/* Revs that were seen: what was moved aside may come twice. */
struct tail_span {
	uint64_t from, to; /* [from, to) */
};

struct tail {
	const struct firn_env *env; /* of the memory */
	struct firn_engine *engine;
	struct firn_volume *volume;
	uint8_t volume_id[16];
	struct lost_entry *lost;
	uint32_t n_lost; /* after the survey: only those that mean this WAL */
	bool in_order;   /* the batches of a stream come in order, and none is missing in between */
	struct map streams;
	struct tail_sent *sent;
	size_t n_sent, cap_sent;
	struct tail_key *key;
	size_t n_key, cap_key;
	struct tail_span *span;
	size_t n_span, cap_span;
	struct tail_made *made; /* by stream and offset, once the survey is over */
	size_t n_made, cap_made;
	uint64_t n_waiting; /* of those: their turn has not come */
	uint32_t most;      /* sequences of the widest of sent[] */
	const struct salvage_opts *opts;
	struct salvage_report *out;
	struct firn_error *err;
	bool again; /* the directory is read once more, for those whose turn had not come */
	int rc;     /* of a callback */
};

struct tail_stream *tail_stream_find(const struct tail *t,
                                     uint64_t id);            /* NULL: the tail has none */
struct tail_stream *tail_stream(struct tail *t, uint64_t id); /* made if need be; NULL: no memory */
/* The entry that gave up this write, if it is of the volume; NULL: none did. */
const struct lost_entry *tail_lost(const struct tail *t, const struct wal_report *wal,
                                   const struct wal_volume_row *row, uint64_t rev);
/* 1: seen before, 0: not (it is now), FIRN_ENOMEM. */
int tail_seen(struct tail *t, uint64_t rev);
/* The first look (survey.c). */
int tail_survey(struct tail *t);
/* Marks what was sent again since (again.c). */
int tail_again(struct tail *t);
bool tail_was_sent_again(const struct tail *t, const struct tail_stream *ts, const struct batch *b);
/* Reads [from, to) of a stream, what is stored, and goes round what is lost; each() gets the parts, and ends it with what is not
 * 0. flags: of a fetch. */
typedef int (*tail_part_fn)(void *arg, const struct firn_part *p);
int tail_read(struct tail *t, uint64_t stream, uint64_t from, uint64_t to, uint16_t flags,
              tail_part_fn each, void *arg);
/* Streams that were made in the tail (made.c). Notes a batch of one; what they are to be called, and what of them is back. */
int tail_made_note(struct tail *t, const struct batch *b);
int tail_made_place(struct tail *t);
/* The batch whose turn it is in its stream, if that is b; NULL: another one's. */
struct tail_made *tail_made_turn(const struct tail *t, const struct tail_stream *ts,
                                 const struct batch *b);
/* Is its turn still to come? */
bool tail_made_waits(const struct tail *t, const struct tail_stream *ts, const struct batch *b);
/* One write: the batch (NULL: none), and the stream if it is not there yet. FIRN_EFULL: later. */
int tail_made_put(struct tail *t, struct tail_stream *ts, const struct batch *b);
#endif
