/* The index: the local LMDB copy of what the manifests and footers say. Disposable, synced fully,
 * every value checksummed together with its key (a flipped bit is named, never believed). One per
 * engine.
 *
 * Rows are keyed by a local volume number; a rebuild fills a new number and then drops the old in
 * small transactions. Reads open a transaction per call, never longer (PROTOCOL 15). Any thread may
 * read; one thread at a time applies. FIRN_ECORRUPT from any call means: close, rename aside,
 * rebuild. */
#ifndef INDEX_INDEX_H
#define INDEX_INDEX_H
#include "engine/layer/layer.h"
#include "engine/manifest/manifest.h"
#include "engine/segment/segment.h"
#include <firn/env.h>
#include <firn/error.h>

struct index;

/* `path` is a directory, made if absent. The whole file is looked over before LMDB touches it:
 * FIRN_ECORRUPT names the page or row that is damaged; FIRN_EUNSUPPORTED a newer format; FIRN_EBUSY
 * another engine that has it open. */
int index_open(const struct firn_env *env, const char *path, struct index **out,
               struct firn_error *err);
void index_close(struct index *ix);

/* What the index knows of a volume: written in the transaction that applied a commit. */
struct index_volume {
	uint32_t number, n_streams;
	uint8_t volume_id[16], nonce[16];
	uint64_t epoch, seq, rev_stored;
	uint64_t next_stream;
};
int index_volume_get(struct index *ix, const uint8_t volume_id[16], struct index_volume *out,
                     struct firn_error *err); /* FIRN_ENOENT */

/* A rewrite (gc/clean.h, gc/gather.h): blocks that came to lie in other segments, each of them in place of one or more.
 * Of those what is not there any more, since it was trimmed or its stream deleted meanwhile, is not missed; a move none
 * of whose blocks is there changes nothing. */
struct index_move {
	struct segment_id to;
	uint64_t base; /* where the first of them began; the last ended where this one does */
	struct block_entry
	        block; /* as it lies in `to`: base is higher where trimmed batches were left out */
};
struct index_rewrite {
	const struct segment_id
	        *gone; /* sorted: all that lay in them has moved or is dead, they leave */
	const struct manifest_segment *added;
	const struct index_move *move; /* by stream and base */
	uint32_t n_gone, n_added, n_move, _pad;
};
/* Before a commit says so: every extent that lies in a segment that goes is among the moves, and no other lies where one
 * of them will. FIRN_ECORRUPT: it is not so. Nothing is changed. */
int index_rewrite_check(struct index *ix, uint32_t number, const struct index_rewrite *rw,
                        struct firn_error *err);

/* Folds footers (in rev order, all parts of a round) into the volume's rows and sets its volume
 * row, in one synced transaction. A volume not seen before gets a number.
 *
 * A footer with rev_to - 1 <= the rev_stored of the volume's row is skipped, so the same commit
 * again is harmless. Hence rev_stored is that of the last footer given here: a rebuild in several
 * calls gives each call the rev_stored that it reaches, not the final one. FIRN_ENOSPC (disk or map
 * full), FIRN_EIO: nothing changed.
 *
 * Lost entries, oldest first, are those of the manifest; one is folded where the cut passes its rev_stored: each
 * stream's next rises by what was skipped, with a gap in front (FORMAT.md, rule 11). */
struct index_commit {
	uint8_t volume_id[16], nonce[16];
	uint64_t epoch, seq, rev_stored, next_stream;
	uint32_t n_footer, n_lost, n_gone, _pad;
	struct segment_footer *const *footer;
	const struct lost_entry *lost;
	const struct segment_id *gone; /* segments that left the volume: all they held was dead */
	const struct index_rewrite *rewrite; /* behind the footers; NULL: none */
};
int index_apply(struct index *ix, const struct index_commit *commit, struct firn_error *err);

/* Rebuilding from layers: rows go under a new number, in small transactions, while readers see the old one; end()
 * swaps. What a crash or abort() leaves is cleared away by later applies. One thread. */
struct index_fill;
int index_fill_open(struct index *ix, struct index_fill **out, struct firn_error *err);
/* The first rows of all: those of the oldest runs, merged as a base (layer_merge), in their order. Lost entries before the
 * oldest run come first, as before any. */
int index_fill_base(struct index_fill *f, const struct layer_row *row, struct firn_error *err);
/* Rows of one run after the other, oldest first. After an error: abort. */
int index_fill_row(struct index_fill *f, const struct layer_row *row, struct firn_error *err);
/* Lost entries that stand before a rev, in their order, are folded: to be called before the run that begins there. */
int index_fill_lost(struct index_fill *f, const struct lost_entry *lost, uint32_t n, uint64_t rev,
                    struct firn_error *err);
/* What was given is written: others get in. To be called before anything that takes long. */
int index_fill_pause(struct index_fill *f, struct firn_error *err);
/* The volume is what was filled in; footers of `commit` are not looked at. Frees f, also after an error. The number before
 * is cleared away by later applies; if it is `kept` (0: none), not before index_fill_drop() says so, or the next opening. */
int index_fill_end(struct index_fill *f, const struct index_commit *commit, uint32_t kept,
                   struct firn_error *err);
int index_fill_drop(struct index *ix, uint32_t kept, struct firn_error *err);
void index_fill_abort(struct index_fill *f); /* NULL is fine */

/* Forgets a volume (in small transactions): before a rebuild, or when its rows are not wanted any
 * more. */
int index_forget(struct index *ix, const uint8_t volume_id[16], struct firn_error *err);

/* Removes what has gone stale of a volume: every producer and every idempotency key is shown to a
 * judge, which answers non-zero for "forget it". In small transactions, so that commits get in
 * between. *n (may be NULL): how many went. A judge of NULL keeps all of its kind. */
struct index_judges {
	int (*producer)(void *arg, const struct producer_change *p);
	int (*key)(void *arg, const struct key_entry *k);
	void *arg;
};
int index_expire(struct index *ix, uint32_t number, const struct index_judges *judges, uint64_t *n,
                 struct firn_error *err);

/* A stream row as folded so far (bytes = total payload bytes stored). Rows borrow only during the
 * call. */
int index_streams(struct index *ix, uint32_t number,
                  int (*each)(void *arg, const struct stream_state *s), void *arg,
                  struct firn_error *err);
/* The row of one; FIRN_ENOENT without text: there is none. */
int index_stream_row(struct index *ix, uint32_t number, uint64_t stream,
                     int (*each)(void *arg, const struct stream_state *s), void *arg,
                     struct firn_error *err);
int index_kvs(struct index *ix, uint32_t number, int (*each)(void *arg, const struct kv_change *kv),
              void *arg, struct firn_error *err);
int index_producers(struct index *ix, uint32_t number,
                    int (*each)(void *arg, const struct producer_change *p), void *arg,
                    struct firn_error *err);
/* Of one stream. */
int index_producers_of(struct index *ix, uint32_t number, uint64_t stream,
                       int (*each)(void *arg, const struct producer_change *p), void *arg,
                       struct firn_error *err);
int index_keys(struct index *ix, uint32_t number, int (*each)(void *arg, const struct key_entry *k),
               void *arg, struct firn_error *err);
/* The gap that holds `offset`; of a lost range the part around it that no batch was put back into. FIRN_ENOENT without
 * text: none does. */
int index_gap_find(struct index *ix, uint32_t number, uint64_t stream, uint64_t offset,
                   struct gap_entry *out, struct firn_error *err);
/* Could a batch of offsets [from, to) be put back? 0: all of it lies in one lost range, *room (may be NULL) is that
 * range as it was given up; FIRN_EEXIST: something is stored there; FIRN_ENOENT: it was not given up. */
int index_lost_room(struct index *ix, uint32_t number, uint64_t stream, uint64_t from, uint64_t to,
                    struct gap_entry *room, struct firn_error *err);
int index_gaps(struct index *ix, uint32_t number, int (*each)(void *arg, const struct gap_entry *g),
               void *arg, struct firn_error *err);

/* A segment of the volume, and the extents that lie in it. */
struct index_segment {
	struct manifest_segment s;
	uint32_t n_live, _pad;
	uint64_t live_bytes; /* payload */
};
/* Those of the volume; those in which no extent lies. Rows borrow only during the call. */
int index_segments(struct index *ix, uint32_t number,
                   int (*each)(void *arg, const struct index_segment *s), void *arg,
                   struct firn_error *err);
int index_empties(struct index *ix, uint32_t number,
                  int (*each)(void *arg, const struct segment_id *id), void *arg,
                  struct firn_error *err);
int index_segment_get(struct index *ix, uint32_t number, struct segment_id id,
                      struct index_segment *out, struct firn_error *err); /* FIRN_ENOENT */

/* Where a block lies. */
struct index_extent {
	struct segment_id segment;
	struct block_entry block;
};
/* Where a stream that the index has begins, and is stored up to. FIRN_ENOENT: it has none, it was deleted. */
int index_stream_range(struct index *ix, uint32_t number, uint64_t stream, uint64_t *start,
                       uint64_t *next, struct firn_error *err);
/* The extent that holds `offset`, or else the first one above it; FIRN_ENOENT when there is none.
 * */
int index_extent_find(struct index *ix, uint32_t number, uint64_t stream, uint64_t offset,
                      struct index_extent *out, struct firn_error *err);
/* Those of a stream from there on, in order; each() != 0 ends the walk and is returned. Within one transaction: not for
 * many thousands at once. */
int index_extents(struct index *ix, uint32_t number, uint64_t stream, uint64_t from,
                  int (*each)(void *arg, const struct index_extent *x), void *arg,
                  struct firn_error *err);
/* The first extent in offset order, at or above offset `from`, whose max_timestamp_ms >= t.
 * FIRN_ENOENT. */
int index_extent_by_time(struct index *ix, uint32_t number, uint64_t stream, uint64_t from,
                         int64_t t, struct index_extent *out, struct firn_error *err);
/* The file's structure looked over, every row read and its checksum compared, beside running calls;
 * `bytes` are those of keys and values; counts of rows by table through each(). FIRN_ECORRUPT names
 * the first bad row (table, volume number, key). */
struct index_stats {
	uint64_t n_volumes, n_streams, n_extents, n_kv, n_producers, n_keys, n_gaps, n_segments,
	        n_empties, bytes;
};
int index_verify(struct index *ix, struct index_stats *out, struct firn_error *err);
/* Prints rows through each(), for `firn dump index`. */
int index_dump(struct index *ix, int (*each)(void *arg, const char *line), void *arg,
               struct firn_error *err);
#endif
