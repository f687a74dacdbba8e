/* A volume in memory: its streams, keys, producers, and what is on the way from assigned to stored.
 *
 *   assigned (admit) --WAL durable--> durable (publish) --commit--> stored (upload)
 *
 * One lock per volume guards everything in struct volume and struct stream below the mark "guarded".
 * Lock order: engine.lock -> volume.lock -> wal.lock / reader.lock / queue locks. */
#ifndef ADMIT_VOLUME_H
#define ADMIT_VOLUME_H
#include "engine/admit/dedup.h"
#include "engine/admit/kv.h"
#include "engine/base/map.h"
#include "engine/index/index.h"
#include "engine/manifest/manifest.h"
#include "engine/store/store.h"
#include "engine/upload/work.h"
#include "engine/wal/wal.h"
#include <firn/engine.h>
#include <firn/write.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct engine;
struct reader_item;
struct built_round;
struct layered;
struct grave;
struct retain;
struct sweep;
struct follow;
struct clean;

enum { ROUNDS_MAX = 16 }; /* of one volume, built and not yet stored */

#define LOST_SKIP \
	(UINT64_C(1) << 36) /* what an abandon skips, and how far a writer may run ahead */

/* Where batches of a stream lie in the WAL: one entry per group that holds some. */
struct tail_entry {
	uint64_t base, lsn; /* first offset in that group; the group */
	uint32_t last_op,
	        len; /* position of the stream's last op in it (they link back); padded length */
};

struct stream {
	uint64_t id;
	char *name;
	uint32_t name_len;
	bool creating; /* not durable yet: not found by name */
	bool deleting; /* deletion assigned: no more operations */
	bool deleted;  /* deletion durable: kept only until it is stored */
	uint64_t delete_rev;
	uint64_t assigned, start_assigned;
	uint64_t start, durable, visible, stable;
	uint64_t stored, stored_start; /* of the cut at rev_stored: next and start */
	int64_t first_ms, last_ms,
	        last_append_ms; /* durable; last_append_ms: assigned, never runs back */
	uint64_t bytes, stored_bytes;
	struct firn_stream_config *config; /* durable; NULL: defaults */
	struct dedup_limits limits; /* of the assigned configuration: what writes are judged by */
	struct dedup *dedup;
	struct tail_entry *tail; /* ring: durable, not stored, recent; oldest first */
	bool tail_old;   /* between `stored` and the ring there is more, which wal_find() finds */
	size_t place_at; /* of the newest entry in the WAL's places */
	uint32_t tail_head, tail_n, tail_cap;
	uint64_t group_seq; /* group that holds the newest op, for its back link */
	uint32_t group_op;
	uint64_t tx_id, tx_next;   /* scratch of the write under admission */
	uint64_t tx_config_id;     /* the same: its last CONFIG of this stream is ... */
	uint32_t tx_config_op;     /* ... this operation */
	struct reader_item *watch; /* read/: items set on this stream */
	struct retain *retain;     /* gc/: NULL: it never had retention */
};

/* Someone waits until `rev` has reached a mark. */
struct completion {
	struct firn_cq *cq; /* or */
	struct call *call;
	uint64_t user_data;
	uint16_t kind, flags;
	uint32_t _pad;
};
struct waiter {
	uint64_t rev;
	struct completion to;
	struct firn_event ev; /* complete but for code */
	struct waiter *next;  /* of the stored list */
	uint64_t deadline_ns; /* of a flush; 0 none */
	uint64_t look; /* a flush of a volume attached read-only: ends with that look; 0: no */
	bool silent, durable; /* durable: a flush on that list that waits for rev_durable only */
};

/* A group that holds records of this volume above rev_stored. */
struct volume_group {
	uint64_t lsn, rev_first, rev_last, bytes;
	int64_t append_ms;
	uint32_t len, _pad;
};

struct volume {
	struct engine *engine;
	struct firn_volume *handle;
	char name[256], node[256];
	char *uri;
	uint8_t id[16], nonce[16];
	uint64_t nonce64, epoch;
	uint32_t volume_no;   /* in the WAL's table */
	atomic_uint index_no; /* in LMDB; a volume that follows its writer may get another one */
	struct store *store;
	uint64_t segment_bytes;
	uint32_t upload_interval_ms;
	bool read_only;
	uint64_t user_data; /* of the attach */

	pthread_mutex_t lock;
	/* guarded */
	uint32_t state; /* enum firn_state */
	bool resumed;   /* without its store; until that has said that it may, nothing is stored */
	uint64_t resumed_rev;     /* newest durable write when it was */
	bool detach_job;          /* one is queued */
	bool detaching, draining; /* no new writes; all is to be stored */
	bool failed, stopped; /* the WAL is poisoned; the store went backwards: nothing is sent */
	uint64_t rev_assigned, rev_durable, rev_stored;
	uint64_t rev_published; /* of groups seen by publish, applied or not */
	uint64_t
	        log_named; /* the newest of the engine's logs in a store that the settled manifest names */
	bool inheriting; /* an attach copies out of those: what is published is a replay */
	uint64_t next_stream;
	struct map streams, names; /* by id; by name (assigned state) */
	uint32_t n_live;           /* durable, not deleted */
	struct kv *kv;
	struct waiter *ring; /* durable waiters, in order of admission */
	uint32_t ring_head, ring_n, ring_cap;
	struct waiter *stored_first, *stored_last;
	struct volume_group *group; /* ring, oldest first */
	bool group_old;   /* there are older ones above rev_stored, which wal_find() finds */
	uint64_t old_lsn; /* none of them lies before, */
	int64_t old_ms;   /* none is older */
	uint32_t group_head, group_n, group_cap;
	uint64_t unstored_bytes, share_checked, write_seq;
	bool upload_now;
	bool build_asked;                      /* segment_bytes have come: the uploader was told */
	struct built_round *round[ROUNDS_MAX]; /* built, not yet stored: they follow one another */
	uint32_t n_round, n_small;             /* small: less than half a segment */
	uint64_t built_bytes;                  /* of unstored_bytes, what those rounds hold */
	uint32_t n_putting;                    /* segments on their way up */
	bool building, committing, in_job; /* claimed: by the builder, a worker; a job has all */
	bool layering;                     /* claimed: a worker merges footers or layers */
	bool layer_due;                    /* the manifest has enough to be merged */
	struct layered *layered;           /* merged, and in the store; the next commit takes it */
	struct clean *clean;               /* gc/: a cycle of cleaning; of who has `layering` */
	uint64_t clean_at_ns;              /* no step of it before */
	int64_t cleaned_ms;                /* what next manifests say; 0: as the settled one */
	struct segment_id layer_newest;    /* part of the manifest's layers */
	struct segment_id compact_seen;    /* gc/: the newest of them when all were looked at ... */
	struct segment_id
	        compact_no[32]; /* ... and runs, by their first part, that stay as they are */
	uint32_t n_compact_no;  /* how many were written there */
	uint64_t compact_at_ns; /* no look before */
	bool bury_due;          /* a commit is to let go of what is wholly dead */
	bool burying;           /* claimed: a worker deletes objects */
	struct grave *grave;    /* gc/: the dead list of the manifest */
	uint32_t n_grave;
	size_t cap_grave;
	bool retaining;         /* claimed: a worker looks what retention trims */
	struct retain **retain; /* gc/: a heap of streams, who is due first in front */
	uint32_t n_retain;
	size_t cap_retain;
	uint64_t retain_next_ns; /* no look before */
	bool sweeping;           /* claimed: a worker looks for what nobody names */
	struct sweep *sweep;     /* gc/: one is on its way; the worker's */
	uint64_t sweep_at_ns;    /* no page of one before; 0: not known yet */
	uint64_t swept_to;       /* next_segment when the last sweep began; 0: there was none */
	uint64_t build_first;    /* next_segment when `building` was set */
	uint64_t layer_first;    /* and `layering`, until a commit has taken it; 0: nothing */
	bool leaving;            /* a detach waits for those to end: nothing new is begun */
	struct follow *follow;   /* upload/: attached read-only, it follows its writer; else NULL */
	bool following;          /* claimed: somebody looks whether there is a later cut */
	bool turning;            /* the index is on its way to a later cut than what is here ... */
	uint64_t cut;            /* ... which is this one's number since the attach, */
	uint64_t look;           /* and that look at the manifest has ended */
	bool put_failed;         /* since the last look */
	uint64_t retry_at_ns;
	uint32_t retry_n;
	int64_t shown_commit_ms; /* of the manifest, for info */
	uint64_t shown_segments, shown_bytes;
	uint64_t next_segment;
	struct manifest manifest; /* as last settled; replaced under the lock, by a commit only */
	/* whoever has `committing` or `in_job` */
	struct store_version version;
	struct commit *commit; /* being sent or settled; one at a time */
	/* from attach on */
	struct upload_lane *lane;
	struct upload_task commit_task, build_task, layer_task, grave_task, retain_task, sweep_task,
	        follow_task;
	uint64_t build_max,
	        build_charge; /* the builder's: bytes of the round, memory taken for it */
};

/* ---- streams (stream.c), volume locked ---- */
struct stream *volume_stream(const struct volume *v, uint64_t id); /* also deleted ones; NULL */
struct stream *volume_stream_live(const struct volume *v,
                                  uint64_t id); /* durable and not deleted */
struct stream *volume_stream_named(const struct volume *v, const char *name, size_t len);
struct stream *stream_new(struct volume *v, uint64_t id, const char *name, uint32_t name_len,
                          uint64_t at);
/* stream_new() in two steps: made, in no map; in the maps (FIRN_ENOMEM: in neither), which cannot fail behind
 * map_reserve(). */
struct stream *stream_alloc(const struct firn_env *env, uint64_t id, const char *name,
                            uint32_t name_len, uint64_t at);
int stream_link(struct volume *v, struct stream *s);
void stream_free(struct volume *v, struct stream *s);    /* out of the maps, too */
void stream_destroy(struct volume *v, struct stream *s); /* not out of the maps */
int stream_tail_push(struct volume *v, struct stream *s, const struct tail_entry *e);
/* Index in the ring of the entry that holds `offset` or begins above it; tail_n when none. */
uint32_t stream_tail_find(const struct stream *s, uint64_t offset);
const struct tail_entry *stream_tail_at(const struct stream *s, uint32_t i);
void stream_tail_drop(struct volume *v, struct stream *s,
                      uint64_t below); /* entries that begin below */
void stream_unname(struct volume *v, struct stream *s);
void stream_name_back(struct volume *v, struct stream *s);
void stream_follow(struct stream *s);
uint64_t stream_mark(const struct stream *s, uint32_t mark);          /* enum firn_mark */
void stream_limits(const struct stream *s, struct dedup_limits *out); /* of the durable one */
void config_limits(const struct firn_stream_config *c,
                   struct dedup_limits *out); /* NULL: defaults */

/* Config: encoded in CREATE and CONFIG operations and in footers. */
void config_encode(const struct firn_stream_config *c, struct buf *out);
int config_decode(const uint8_t *p, uint32_t len, struct firn_stream_config *out); /* 0 or -1 */

/* ---- admission (admit.c), takes the lock ---- */
/* FIRN_OK: the event will come through `to`. Otherwise refused: *err, and *ev tells the numbers when
 * *by_event is set (content refusals). */
int admit_write(struct volume *v, const struct firn_write *w, const struct completion *to,
                struct firn_event *ev, bool *by_event, struct firn_error *err);
/* fill.c: a write of one FILL, whose outcome is that of a flush behind it. The payload is copied. FIRN_ENOENT: no stream
 * with these offsets; FIRN_ETOOBIG; FIRN_EFULL: later; as admit_may_write(). */
int admit_fill(struct volume *v, const struct batch *b, struct firn_error *err);
/* A stream that is to be: `start` is above `at` if its first batch, which comes with it, begins below. */
struct admit_made {
	const char *name;
	const uint8_t *config; /* as encoded */
	uint32_t name_len, config_len;
	uint64_t at, start;
};
/* back.c: one write, whose outcome is that of a flush behind it: of a stream that comes back m makes it, and *stream is its
 * new number, or m is NULL and *stream says it; and a batch of it (may be NULL), which keeps its offset. FIRN_EEXIST: the
 * name; FIRN_ECONFLICT: the stream has gone further; FIRN_ENOENT; FIRN_ERANGE; FIRN_ECORRUPT: m's configuration; else as
 * admit_fill(). *stream is not touched then. */
int admit_back(struct volume *v, const struct admit_made *m, const struct batch *b,
               uint64_t *stream, struct firn_error *err);
/* Locked: room in the log for the next write, n_ops operations of `len` bytes in all. *refused: FIRN_EFULL not for the log,
 * but for what the volume or its store has in it. */
int admit_room(struct volume *v, uint32_t len, uint32_t n_ops, struct wal_slot *slot,
               bool *refused);
/* Locked: 0, or why the volume takes no writes. */
int admit_may_write(const struct volume *v, struct firn_error *err);
/* Bounds and shape of a write, without the volume's state. */
int admit_check_shape(const struct firn_write *w, uint32_t record_max, struct firn_error *err);

/* ---- publish (publish.c) ---- */
/* The group is durable: applies its records to their volumes and completes who waits. */
void publish_group(struct engine *e, struct wal_group *g);
/* Applies one record to the durable state; volume locked. Replay uses it too (lsn, len: of its group). */
int publish_record(struct volume *v, const struct wal_record *r, uint64_t lsn, uint32_t len,
                   bool replay);
int volume_group_push(struct volume *v,
                      const struct volume_group *g); /* locked; counts it as un-stored */
/* The WAL failed: every durable waiter of every volume ends FIRN_EUNKNOWN. */
void publish_poison(struct engine *e);
/* rev_stored rose, by `bytes` of records; `last` is the newest group that is stored now. Completes stored
 * waiters, forgets groups; volume locked. */
void publish_stored(struct volume *v, uint64_t bytes, const struct volume_group *last);
/* A look has ended: who waited for it is told. Volume locked. */
void publish_looked(struct volume *v);
/* All waiters end: writes FIRN_EUNKNOWN, flushes with the code. */
void volume_fail_waiters(struct volume *v, int code);
/* Flushes whose time is up end FIRN_ETIMEDOUT; takes the lock. */
void volume_expire(struct volume *v);

/* Locked: it leaves, or is another's: a task begins nothing more. */
static inline bool volume_ends(const struct volume *v)
{
	return v->leaving || v->stopped || v->state == FIRN_STATE_FENCED;
}
bool volume_ends_now(struct volume *v); /* the same; takes the lock */

/* ---- places (places.c), volume locked ---- */
/* Entries of groups before an LSN leave the lists. */
void volume_evict(struct volume *v, uint64_t below);
bool volume_unstored(const struct volume *v);
uint64_t volume_oldest_lsn(const struct volume *v); /* UINT64_MAX: nothing is un-stored */
int64_t volume_oldest_ms(const struct volume *v);   /* 0: nothing */
/* The group in the list that holds rev; false: it is not (any more) in the list. */
bool volume_group_with(const struct volume *v, uint64_t rev, struct volume_group *out);

/* ---- upload/layers.c, volume locked ---- */
bool layers_due(const struct volume *v);

/* ---- life (volume.c) ---- */
void volume_charge(struct volume *v,
                   int64_t bytes); /* memory that tells where un-stored data lies */
void volume_show(
        struct volume *v); /* locked: figures of the manifest for info; is there enough to merge? */
struct volume *volume_new(struct engine *e);
void volume_free(struct volume *v);
bool volume_waits(struct volume *v, const struct firn_cq *cq,
                  uint64_t user_data);                     /* takes the lock */
void volume_wait_push(struct volume *v, struct waiter *w); /* stored list */

/* ---- share of the WAL (share.c), volume locked ---- */
void share_add(struct volume *v, int64_t bytes); /* un-stored, of the volume and of its store */
uint64_t volume_unstored_limit(struct volume *v);
bool volume_over_share(struct volume *v); /* the volume, or its store, has more than that */
bool volume_refuses(struct volume *v);    /* the same for a writer: looks once a MiB */
#endif
