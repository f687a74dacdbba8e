/* The read side, inside: readers, their items, fetches, look-ups and loads.
 *
 *   firn_reader_set --> item --watches--> stream    read_notify --> ready list of the reader
 *   fetch: ready items --> tail.c   groups in memory, or read back from the WAL
 *                      --> stored.c index, cache       \ not in memory: a load (load.c); the item
 *                      --> result.c the answer          \ is ready again when it has landed
 *
 *   threads: any caller     read_submit_fetch answers at once from memory
 *            reader thread  read_step: fetches notified, due, or whose load has landed
 *            loaders        GETs, WAL reads, look-ups; without threads read_step does these
 *
 * Locks, outermost first: read_queue.walk -> reader.serve -> volume.lock -> reader.lock -> queue.lock or spot_lock,
 * then those of cache and wal. Nobody reads disk or store with any of them held, the index with serve at
 * most. */
#ifndef READ_READ_H
#define READ_READ_H
#include "engine/admit/volume.h"
#include "engine/api/engine.h"
#include "engine/api/handle.h"
#include "engine/base/map.h"
#include "engine/cache/cache.h"

enum {
	READ_LOADERS = 8,
	READ_LOADS = 32,             /* of one reader, queued or running */
	READ_LOOK_TAIL = 8,          /* tail entries copied per look */
	READ_IN_CALLER = 64,         /* items served on the caller's thread ... */
	READ_IN_CALLER_READY = 1024, /* ... when only their marks are looked at */
	READ_BATCHES_MAX = 64 << 10, /* batches per fetch */
	READ_AHEAD_MIN = 256 << 10,  /* a piece; the window begins with four */
	READ_AHEAD_JOB = 16 << 20,   /* largest ranged GET of more than one frame */
	READ_AHEAD_WINDOW = 32 << 20,
	READ_PIN_POLL_NS = 2 * 1000 * 1000,
};
#define READ_NO_PART UINT32_MAX
#define READ_NEVER UINT64_MAX

/* ---- memory ---- */

/* The cache's share of the engine's memory, divided: positions (cursors), frames on their way to items or held
 * for them (hold.c), and the rest by use (engine/cache). The cache lends what it holds nothing in that was read
 * again: a replay alone has the most of it all, and takes nothing from what is read often. */
static inline uint64_t share_cursors(const struct engine *e)
{
	return e->cache_bytes / 8;
}
static inline uint64_t share_held(const struct engine *e)
{
	return e->cache_bytes / 8 * 3;
}
static inline uint64_t share_cached(const struct engine *e)
{
	return e->cache_bytes - share_cursors(e) - share_held(e);
}
uint64_t held_most(struct engine *e); /* share_held(), and what the cache lends now: hold.c */

/* ---- items ---- */

/* COLD: needs a load, waits until the reader has fewer under way. */
enum item_where { ITEM_IDLE, ITEM_READY, ITEM_SERVED, ITEM_COLD, ITEM_LOADING };

/* Bytes an item reads from, kept from fetch to fetch: a scan touches the cache once per block. */
struct cursor {
	struct blob *blob;
	uint64_t lsn; /* a WAL group; 0: a frame, and the rest counts */
	uint64_t from,
	        end; /* of a group that wal_find() gave: it is the place of offsets [from, end); ... */
	uint32_t last_op, _pad; /* ... where their last is. 0: none was asked for */
	struct index_extent x;
	struct block block;
	uint64_t counted;       /* of read_queue.cursor_bytes */
	uint64_t at, at_offset; /* block_next() position whose batch begins at or above at_offset */
};

struct load;
struct held;
struct share;

/* Where an item goes on: the frame behind what is planned for it (spot.c); read_queue.spot_lock. */
struct spot {
	const struct volume *v; /* NULL: not known */
	struct segment_id segment;
	uint64_t frame_pos;
	struct reader_item *next, *prev; /* others that go on in the same frame */
};

struct reader_item {
	/* volume.lock */
	struct stream *stream; /* NULL: not linked */
	struct reader_item *watch_next, **watch_at;
	/* reader.serve */
	struct firn_reader *reader;
	struct volume *volume;          /* NULL: detached */
	uint64_t stream_id, offset;     /* offset: the position as the caller knows it */
	uint32_t slot, max_bytes, part; /* part: in the fetch being built */
	uint16_t up_to, _pad;
	struct cursor *cursor;
	uint64_t streak_at; /* end of the extent entered last */
	/* reader.lock */
	uint64_t pos; /* offset, or beyond it by what the fetch being built has */
	enum item_where where;
	struct reader_item *next, *prev; /* of ready, cold or loading */
	struct load *load;               /* under way, where == ITEM_LOADING */
	struct cursor *landed;           /* what it brought */
	int landed_rc;
	struct share *runs; /* what GETs that are under way bring for it */
	struct held *held;  /* what they brought, in order, not yet entered */
	bool ahead_busy;    /* a read-ahead is being planned */
	bool gone;          /* out of the set, or its volume is */
	bool load_turn;     /* it was cold */
	struct spot spot;
	uint64_t ahead_to, ahead_out,
	        ahead_window; /* planned up to; bytes planned, not yet entered */
	atomic_uint refs;     /* slot and loads */
};

struct item_list {
	struct reader_item *first, *last;
	uint32_t n;
};

/* ---- results being built (result.c) ---- */

struct build_part {
	struct firn_part part;
	struct reader_item *item; /* NULL: the slot was set anew meanwhile */
};
struct build_batch {
	struct firn_batch batch;
	uint32_t part, _pad;
};
struct hold { /* one of them */
	struct blob *blob;
	struct wal_chunk *chunk;
};
struct builder {
	struct account *account;
	struct build_part *part;
	struct build_batch *batch;
	struct hold *hold;
	size_t n_part, cap_part, n_batch, cap_batch, n_hold, cap_hold;
	uint64_t bytes, chunk_bytes; /* payload; of it, in group chunks */
};
/* Bytes in results of one reader not yet released; outlives the reader. */
struct read_pin {
	struct account *account;
	atomic_uint refs;
	atomic_ullong bytes;
};

/* ---- readers ---- */

struct fetch {
	bool active;
	struct completion to;
	uint32_t flags, min_bytes, max_bytes, max_parts;
	uint64_t deadline_ns, timeout_ns;
};

struct firn_reader {
	struct engine *engine;
	struct account *account;
	struct read_pin *pin;
	uint64_t pin_max, ahead_max;
	bool scans; /* what it reads it reads on: no window has to open */
	atomic_uint refs;
	/* queue.lock */
	struct firn_reader *all_next, **all_at, *run_next;
	uint64_t round; /* of the last walk that has met it */
	bool runnable;
	uint32_t heap_at; /* 0: no timer; else place in the heap, from 1 */
	uint64_t wake_ns;

	pthread_mutex_t serve; /* held by a pass, a set, a close: bounded work in memory */
	struct reader_item **slot;
	size_t n_slot;
	struct fetch fetch;
	struct builder builder;
	bool closed;
	uint64_t idle_ns; /* when its last fetch ended */
	bool deferred;    /* the last fetch left something to the reader thread */

	pthread_mutex_t lock;
	struct item_list ready, cold, loading;
	atomic_uint n_spot;       /* items that read in order, and go on somewhere */
	atomic_ullong held_bytes; /* of what is held for its items */
	uint32_t n_load;          /* queued, running or waiting, wanted or not any more */
	uint32_t n_turn, turn;    /* of items that read in order: queued or running; turns so far */
	struct work *waits, **waits_end; /* for a turn */
	bool waiting;                    /* a fetch is there to be run */
};

void reader_retain(struct firn_reader *r);
void reader_release(struct firn_reader *r);
void item_retain(struct reader_item *it);
void item_release(struct reader_item *it);
/* Takes c->blob into account. Cursors keep frames alive that the cache may have let go: when they
 * hold their share, an item that is not being served keeps none. */
void cursor_count(struct firn_reader *r, struct cursor *c);
bool cursors_full(const struct firn_reader *r);
void cursor_free(struct firn_reader *r, struct cursor *c); /* NULL is allowed */

/* ready.c: reader.lock held */
void item_list_push(struct item_list *l, struct reader_item *it);
void item_list_push_front(struct item_list *l, struct reader_item *it);
void item_list_remove(struct item_list *l, struct reader_item *it);
void item_to_ready(struct reader_item *it, bool front);
void item_unfreeze(struct reader_item *it, bool front); /* cold, and its turn to have a load */
void item_out(struct reader_item *it); /* of the list it is on; where = ITEM_IDLE */
/* ready.c: volume.lock held */
void item_link(struct reader_item *it); /* to its stream, if that is there */
void item_unlink(struct reader_item *it);
/* The stream is about to be freed (stream_free calls it, volume locked): its items answer
 * FIRN_ENOENT. */
void read_stream_gone(struct stream *s);

/* ---- one look at a stream under the volume's lock ---- */
struct look {
	uint64_t start, bound, visible, stable, stored, durable;
	uint64_t cut; /* of a volume that follows its writer */
	uint32_t n;   /* tail entries: the one that holds the position and those above */
	bool more;    /* than fitted */
	bool lost; /* the volume has lost ranges: below `stored` the rows say what a hole is, not the batch behind it */
	bool old; /* from `stored` to e[0] (n == 0: to durable) the WAL's directories know the places */
	struct tail_entry e[READ_LOOK_TAIL];
};
int item_look(struct reader_item *it, uint64_t pos, struct look *k); /* 0, or the code of a part */

/* ---- taking batches (take.c) ---- */
enum got {
	GOT_MORE,      /* went on; there is more */
	GOT_END,       /* nothing below the mark */
	GOT_FULL,      /* the fetch's bound is reached */
	GOT_ITEM_FULL, /* the item's */
	GOT_STOP,      /* a gap stands next: told in the next answer */
	GOT_LOOK,      /* what was looked at is used up, or is not true any more */
	GOT_HOLE,      /* offsets are missing, no reason seen */
	GOT_COLD,      /* a load is needed: take.want */
	GOT_DEFER,     /* not on the caller's thread */
	GOT_CODE,      /* take.code */
};

struct want {         /* what has to be loaded */
	uint64_t lsn; /* WAL group; 0: the frame of x */
	uint32_t len;
	bool find; /* the group is to be found first, at `lsn` or behind it */
	struct index_extent x;
};

struct gap_known { /* a row of the index; kind 0: none */
	uint64_t from, to;
	uint32_t kind, _pad;
};

struct take {
	struct firn_reader *r;
	struct reader_item *it;
	uint64_t pos, bound, left; /* left: bytes that still fit the fetch */
	bool whole;                /* a batch that straddles the mark is delivered */
	bool in_caller;
	bool told; /* an error, a gap or a ready slot: the fetch can be answered */
	int code;
	struct hold hold; /* what the batches taken now lie in */
	bool held;        /* it is in the builder already */
	struct want want;
	struct look *look;
	struct gap_known lost; /* with code FIRN_ELOST */
};
/* The part of the item, made if it has none; NULL without memory. */
struct build_part *take_part(struct take *t);
/* Offers a batch. GOT_MORE: taken or below the position. */
enum got take_batch(struct take *t, const struct batch *b);
/* Offers the gap [pos, to). */
enum got take_gap(struct take *t, uint32_t kind, uint64_t to);
enum got tail_take(struct take *t); /* tail.c */
enum got old_take(struct take *t);  /* tail.c */
bool look_is_old(const struct look *k, uint64_t pos);
enum got stored_take(struct take *t); /* stored.c */
/* Positions of a stream's appends in a group, newest first, down to the one that holds `from`. */
struct group_ops {
	const struct firn_env *env;
	uint32_t *pos;
	size_t n, cap;
};
int group_ops_find(struct group_ops *g, const uint8_t *group, uint32_t last_op, uint64_t from);

/* ---- result.c ---- */
int build_part_add(struct builder *b, struct reader_item *it, struct build_part **out);
int build_batch_add(struct builder *b, uint32_t part, const struct batch *batch, bool headers);
int build_hold_add(struct builder *b, const struct hold *h);
const struct firn_fetched *build_finish(struct builder *b,
                                        struct read_pin *pin); /* NULL without memory */
void build_reset(struct builder *b); /* gives the holds back, keeps the arrays */
void build_fini(struct builder *b);
void pin_release(struct read_pin *pin);

/* ---- stored.c ---- */
struct cache_key frame_key(const struct volume *v, const struct index_extent *x);
struct cache_key group_key(uint64_t lsn);
/* The block in its frame, verified once per frame in memory. */
int stored_block(const struct volume *v, const struct index_extent *x, struct blob *frame,
                 struct block *out, struct firn_error *err);
/* What was looked up is no longer what the index says: it was trimmed, or a rewrite moved it, since. Its object may be
 * gone, which is then no damage: look again (PROTOCOL 22). */
bool stored_moved(struct engine *e, const struct volume *v, const struct index_extent *x);
/* blob.notes_free of every frame. */
void stored_notes_free(const struct firn_env *env, void *notes);
int stored_gap(struct engine *e, const struct volume *v, uint64_t stream, uint64_t pos,
               struct gap_known *out);

/* ---- queue.c ---- */

/* What a loader does. Order of service: demanded work, then read-ahead. */
struct work {
	struct work *next;
	struct volume *volume; /* read_forget_volume waits for it */
	void (*run)(struct engine *e, struct work *w);
	void (*drop)(struct engine *e, struct work *w); /* cancelled before it ran */
	struct firn_cq *cq;                             /* look-ups, for read_cancel */
	uint64_t user_data;
	bool lookup, cancelled;
};

struct read_queue {
	struct engine *engine;
	pthread_mutex_t walk;
	pthread_mutex_t lock;
	pthread_cond_t wake, work_wake, idle;
	struct firn_reader *all, *run_first, *run_last;
	struct firn_reader **heap; /* by wake_ns, from 1 */
	size_t n_heap, cap_heap;
	uint64_t round;
	pthread_mutex_t spot_lock;
	struct map spots; /* items of all readers, by where they go on */
	atomic_ullong cursor_bytes;
	atomic_ullong ahead_bytes; /* frames on their way to items, or held for them: hold.c */
	atomic_ullong reclaim_ns;  /* when idle readers were last asked for theirs */
	struct work *work_first, *work_last, *ahead_first, *ahead_last, *running;
	bool stop;
	pthread_t loader[READ_LOADERS];
	uint32_t n_loader;
};

void queue_run(struct firn_reader *r);                    /* read_step shall run its fetch */
int queue_timer(struct firn_reader *r, uint64_t wake_ns); /* READ_NEVER: none; FIRN_ENOMEM */
void queue_add(struct firn_reader *r);
void queue_remove(struct firn_reader *r);
/* A walk over all readers, with a reference each; the list may change meanwhile. One walk at a time, or each
 * would miss what the other has met: begun and ended with no lock of the read side held. */
uint64_t queue_walk(struct read_queue *q);
struct firn_reader *queue_walk_next(struct read_queue *q, uint64_t round);
void queue_walk_end(struct read_queue *q);
struct firn_reader *queue_pop(struct engine *e); /* with a reference; NULL: nothing to look at */

/* ---- work.c ---- */
struct work *queue_work_pop(struct read_queue *q); /* queue.lock held; NULL: none */
/* from: the work that asks, or NULL. false: the volume goes, or the engine stops; not taken. */
bool queue_work(struct engine *e, struct work *w, bool ahead, const struct work *from);
/* The same for a handle: refused when it gives no volume any more. */
bool queue_work_volume(struct engine *e, struct work *w, const struct firn_volume *handle);
/* The end of run(): the work is off the list, and may be freed. */
void queue_work_done(struct engine *e, struct work *w);
struct work *queue_take_volume(struct read_queue *q,
                               const struct volume *v); /* NULL: all; runs are marked */
void queue_wait_volume(struct read_queue *q, const struct volume *v);
int queue_cancel(struct read_queue *q, const struct firn_cq *cq, uint64_t user_data,
                 struct work **gone);
uint64_t read_now(const struct engine *e);

/* ---- load.c ---- */
/* Queues what the item needs; it comes back ready. reader.serve held. */
int load_want(struct reader_item *it, uint64_t pos, const struct want *want);
/* The item entered an extent: read ahead of it when it reads on in order. reader.serve held. */
void load_ahead(struct reader_item *it, const struct index_extent *x);
/* Blocking, through the cache: look-ups and loads. */
int load_frame(struct engine *e, const struct volume *v, const struct index_extent *x,
               struct blob **out, struct firn_error *err);
int load_group(struct engine *e, uint64_t lsn, uint32_t len, struct blob **out,
               struct firn_error *err);

/* ---- hold.c ---- */
/* The frame, if it came for the item; with a reference. Those before `offset` are let go. */
struct blob *held_take(struct reader_item *it, const struct cache_key *key, uint64_t offset);
void held_drop(struct reader_item *it); /* all */

/* ---- serve.c ---- */
struct pass {
	struct firn_reader *r;
	bool in_caller;
	bool told;  /* an error, a gap or a ready slot */
	bool full;  /* no more fits */
	bool defer; /* something needs the reader thread */
	bool again; /* a mark moved while it was looked at */
	bool pinned_out;
	uint64_t left;
};
/* Takes each ready item once, as far as the fetch's bounds and the pins allow; reader.serve
 * held. */
void pass_run(struct pass *p);
/* A part with a code, or a ready slot. Without room for it the slot stays ready for the next
 * fetch. */
void pass_tell(struct pass *p, struct reader_item *it, const struct look *k, int code,
               uint32_t flags);
bool pass_parts_full(const struct pass *p);
void part_marks(struct firn_part *p, const struct look *k);

/* ---- fetch.c ---- */
/* What read_cancel() finds a request by: its queue, or the blocked caller in its place. */
static inline struct firn_cq *completion_name(const struct completion *to)
{
	return to->cq ? to->cq : (struct firn_cq *)(void *)to->call;
}
static inline struct firn_engine *engine_handle(struct engine *e)
{
	return (struct firn_engine *)(void *)e;
}
struct ending { /* sent with no lock held */
	bool ended;
	struct completion to;
	struct firn_event ev;
	struct firn_error err;
};
void fetch_run(struct firn_reader *r);
/* Ends the fetch, if there is one, with a code; reader.serve held. */
void fetch_abort(struct firn_reader *r, int code, const char *text, struct ending *end);
void ending_send(struct engine *e, struct ending *end);
#endif
