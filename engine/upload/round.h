/* A round: an interval of one volume's writes, folded. What is stored is always a prefix of a volume's
 * writes over all streams, keys and producers (P10), so a round takes whole groups, in order.
 *
 *   its groups, in order --load--> records --fold--> batches by stream + what changed --> segments */
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
	struct wal_chunk **chunk;  /* alive while batches point into them */
	size_t n_chunk, cap_chunk;
	struct wal_chunk *own; /* the last of them that takes records out of groups of others */
	struct batch *batch;   /* in WAL order until sorted by (stream, offset) */
	size_t n_batch, cap_batch;
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

/* Folds the oldest un-stored groups of the volume up to about max_bytes (all of one group at least).
 * FIRN_ENOENT: nothing is there. Takes the volume's lock for short moments. */
int round_open(struct round *r, struct volume *v, uint64_t max_bytes, struct firn_error *err);
void round_close(struct round *r);
/* Sorted: streams by id, producers by (stream, id), keys by (stream, key). Drops what the round itself trimmed
 * or deleted, and nothing else (S8). */
int round_settle(struct round *r);

/* Segments of a round, built one by one. */
struct built {
	struct segment_writer *writer;
	const uint8_t *data;
	size_t len;
	struct manifest_segment segment;
	struct segment_footer *footer;
};
struct commit {
	struct manifest next; /* what the CAS would make true */
	struct buf body;
	struct built *part;
	uint32_t n_part, n_put;      /* uploaded so far */
	bool sent;                   /* the CAS may be on its way: only settling may follow */
	bool settled;                /* the manifest is ours: the index is next */
	bool clean;                  /* a detach's: no segments */
	uint64_t bytes;              /* of the records that it stores */
	struct volume_group last;    /* the newest group of them */
	struct round_stream *stream; /* marks to move when all is done */
	uint32_t n_stream;
};
int round_build(struct round *r, uint32_t zstd_level, struct commit *out, struct firn_error *err);
void commit_free(struct volume *v, struct commit *c);
#endif
