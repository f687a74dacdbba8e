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
	uint32_t most; /* sequences of the widest of sent[] */
	const struct salvage_opts *opts;
	struct salvage_report *out;
	struct firn_error *err;
	int rc; /* of a callback */
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
#endif
