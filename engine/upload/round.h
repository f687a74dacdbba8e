/* A round: an interval of one volume's writes, folded. What is stored is always a prefix of a volume's
 * writes over all streams, keys and producers (P10), so a round takes whole groups, in order.
 *
 *   its groups, in order --load--> records --fold--> batches by stream + what changed --> segments
 *
 * Several rounds of a volume may be on their way: each begins with the cut in which the one before ends. */
#ifndef UPLOAD_ROUND_H
#define UPLOAD_ROUND_H
#include "engine/admit/volume.h"

struct round_stream {
	struct stream_state state;
	bool created, deleted, config_set;
	char *name;
	uint8_t *config;
	uint64_t payload; /* bytes of batches that are kept */
	uint32_t compression;
	struct dedup_limits limits;
};

struct round_producer {
	struct producer_change change;
	struct producer_batch batch[16];
};

struct round_kv {
	struct kv_change change;
	uint8_t *bytes;
	uint32_t order;
};

struct round {
	struct volume *v;
	const struct firn_env *env;
	uint64_t rev_from, rev_to; /* revs [from, to) */
	uint64_t bytes;            /* of their records */
	struct volume_group last;  /* the newest group taken */
	int64_t append_ms;         /* of the first record */
	struct wal_chunk **chunk;  /* alive while batches point into them */
	size_t n_chunk, cap_chunk;
	struct wal_chunk *own; /* the last of them that takes records out of groups of others */
	struct batch *batch;   /* in WAL order until sorted by (stream, offset) */
	size_t n_batch, cap_batch;
	bool fills; /* some of them go back into lost ranges */
	struct gap_entry *gap;
	size_t n_gap, cap_gap;
	struct round_kv *kv;
	size_t n_kv, cap_kv;
	struct key_entry *key; /* key bytes point into chunks */
	size_t n_key, cap_key;
	struct map streams, producers;
	struct round_stream **stream; /* settled: sorted, without those that came and went */
	struct round_producer **producer;
	struct batch **order; /* settled: kept batches by (stream, offset) */
	size_t n_stream, n_producer, n_order;
};

/* Folds the oldest groups of the volume that no round holds, up to about max_bytes, or fewer when their batches are
 * tiny (all of one group at least).
 * FIRN_ENOENT: nothing is there. Takes the volume's lock for short moments. It begins where the newest round
 * that is built and not yet stored ends, with the cut there. */
int round_open(struct round *r, struct volume *v, uint64_t max_bytes, struct firn_error *err);
void round_close(struct round *r);
/* Sorted: streams by id, producers by (stream, id), keys by (stream, key). Drops what the round itself trimmed
 * or deleted, and nothing else (S8). */
int round_settle(struct round *r);

/* A segment of a round: in memory until it is up. */
struct built {
	struct upload_task task;
	struct segment_writer *writer; /* NULL: it is up */
	const uint8_t *data;
	size_t len;
	struct manifest_segment segment;
	struct segment_footer *footer;
	bool putting;
};

/* A round whose segments are built: they go up in any order, rounds are committed in theirs. It stays until
 * the commit that holds it is settled and indexed. */
struct built_round {
	uint64_t rev_from, rev_to, bytes; /* bytes: of the WAL */
	uint64_t held;                    /* memory, of account.upload_bytes */
	int64_t append_ms;                /* of its oldest write */
	struct volume_group last;         /* the newest group it takes */
	struct built *part;
	uint32_t n_part, n_up;
	bool small;
	struct round_stream *stream; /* sorted by id: the cut at its end, of streams it touches */
	uint32_t n_stream;
};

/* The CAS that makes rounds part of the volume. */
struct commit {
	struct manifest next; /* what the CAS would make true */
	struct buf body;
	uint32_t n_round;        /* so many, from the volume's oldest on */
	bool sent;               /* the CAS may be on its way: only settling may follow */
	bool settled;            /* the manifest is ours: the index is next */
	bool clean;              /* a detach's: no rounds */
	struct layered *layered; /* takes the place of what it was merged from */
	struct segment_id *gone; /* segments in which nothing lies any more: they leave */
	uint32_t n_gone;
	uint64_t log_no, log_position; /* what it says of the engine's log in a store, logs.c */
};
int round_build(struct round *r, uint32_t zstd_level, struct built_round *out,
                struct firn_error *err);
void commit_free(struct volume *v, struct commit *c);

/* ---- rounds.c: what is built and not yet stored ---- */
/* The volume's lock is held for those with "locked". */
uint64_t rounds_next_rev(const struct volume *v); /* locked: the first rev that no round holds */
/* What no round holds: its bytes; none of it lies before lsn, none is older than append_ms. */
struct unbuilt {
	uint64_t bytes, lsn;
	int64_t append_ms;
};
bool rounds_unbuilt(const struct volume *v,
                    struct unbuilt *out); /* locked; false: no whole group */
/* locked: the stream as the newest round that touched it leaves it; NULL: none did */
const struct round_stream *rounds_stream(const struct volume *v, uint64_t id);
/* locked: so many of the oldest rounds are up whole */
uint32_t rounds_ready(const struct volume *v, uint64_t *bytes);
/* locked: takes rounds from number `first` on out of memory; they are built again from the WAL. Nothing of
 * the volume is on its way up. */
void rounds_drop(struct volume *v, uint32_t first);
void built_free(struct volume *v, struct built_round *b);
/* Memory of a round, charged to engine and lane. */
void rounds_charge(struct volume *v, int64_t bytes);
/* The builder's task, the workers' for one segment. 1: something came of it. */
int rounds_build(struct volume *v);
int rounds_put(struct built *p);
#endif
