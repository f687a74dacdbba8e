/* What frames.c, hold.c, load.c and ahead.c share. Internal to this folder. */
#ifndef READ_LOAD_H
#define READ_LOAD_H
#include "engine/read/read.h"

enum { FRAMES_MAX = 128, SHARES_MAX = 512, FRAME_BYTES_MAX = 80 << 20 };

struct load {
	struct work work; /* first */
	struct firn_reader *reader;
	struct reader_item *item;
	uint64_t stream, from; /* from: position; a read-ahead begins here */
	uint64_t bytes;        /* and takes about so many; of a demanded load 0: the one frame */
	struct want want;
	bool waits; /* for a turn; reader.lock */
};

/* Frames of one segment, back to back. */
struct frames {
	const struct volume *v;
	uint32_t n, own;     /* x[0 .. own): flights that are ours, adjacent */
	uint64_t end;        /* offset after what was planned */
	uint64_t bytes, raw; /* planned: payload, and memory */
	/* Of frames_plan(): the stream has `next`, which was not taken, though adjacent, for its length; what was
	 * taken of it begins in a frame that was there already. */
	bool goes_on, cut, shared;
	struct index_extent next, x[FRAMES_MAX];
};

/* What was planned up to a moment. */
struct reach {
	uint32_t n;
	uint64_t end, bytes, raw;
};

/* What a GET brings for one item: frames [first, first + n) of it, offsets [from, end). */
struct share {
	struct reader_item *item; /* with a reference to it and to its reader */
	uint32_t first, n;
	uint64_t from, end, bytes; /* bytes: payload */
	bool goes_on;              /* in this frame: */
	struct segment_id segment;
	uint64_t frame_pos;
	/* reader.lock, while the GET is under way */
	struct load *load;
	struct share *next; /* of item.runs */
};

/* One GET for items, the first of them the load's own. */
struct run {
	struct load *load;
	bool demanded; /* f.x[0] is what the load's item needs now, the flight is ours */
	uint32_t n_share;
	struct frames f;
	struct share share[SHARES_MAX];
};

/* ---- frames.c ---- */
bool extent_sane(const struct index_extent *x);
/* CACHE_HIT and *out, when another load has ended if need be; CACHE_LOAD: the flight is ours; an error. */
int frame_begin(struct engine *e, const struct volume *v, const struct index_extent *x,
                struct blob **out, struct firn_error *err);
void frames_add(struct frames *f, const struct index_extent *x);
/* The frames of a stream from offset f->end on that one ranged GET can bring besides those that are there:
 * adjacent, about `limit` bytes of memory in all; at least one, if it is the first. */
void frames_plan(struct engine *e, struct frames *f, uint64_t stream, uint64_t limit);
struct reach frames_reach(const struct frames *f);
void frames_back(struct frames *f,
                 const struct reach *to); /* f->next is what was taken first since */
/* Begins flights on x[own ...], up to the first that is there, or under way; what follows is left out. */
void frames_own(struct engine *e, struct frames *f);
/* One GET for x[0 .. own), each verified, into the cache: ends their flights. blob (may be NULL): room for
 * `own` of them, each with a reference, or NULL. The code is that of x[0]. */
int frames_load(struct engine *e, struct frames *f, struct blob **blob, struct firn_error *err);

/* ---- hold.c ---- */
/* Memory for about `want` bytes of frames that items will enter; 0: there is none now. What nobody waits for
 * leaves a quarter of it all to what is needed now. Given back by held_give(), or by the items as they go on. */
uint64_t held_room(struct engine *e, uint64_t want, bool ahead);
void held_give(struct engine *e, uint64_t bytes);
uint64_t held_left(struct engine *e); /* what one load could have now */
/* The blobs of a share, but for the first `taken`, came for its item, which takes references; NULL ones did not.
 * The memory they take ... */
uint64_t held_add(const struct frames *f, const struct share *s, uint32_t taken,
                  struct blob *const *blob);
/* ... is compared with what held_room() gave, when all is added. */
void held_settle(struct engine *e, uint64_t room, uint64_t used);

bool held_has(const struct reader_item *it, const struct cache_key *key); /* reader.lock held */

/* ---- spot.c ---- */
/* Both with the item's reader.lock held. */
void spot_set(struct reader_item *it, const struct volume *v, struct segment_id segment,
              uint64_t frame_pos);
void spot_clear(struct reader_item *it);
/* An item that goes on there, with a reference to it and to its reader; it does not any more. NULL: none. */
struct spot_query {
	const struct volume *v;
	struct segment_id segment;
	uint64_t frame_pos;
	const struct firn_reader *reader; /* NULL: any */
	uint64_t stream;                  /* 0: any */
	uint64_t held_most;               /* of a reader that holds no more than this; 0: any */
};
struct reader_item *spot_take(struct read_queue *q, const struct spot_query *want);

/* ---- turn.c ---- */
/* A load of an item that reads in order may be queued now; else it waits, and is queued later. reader.lock held. */
bool turn_take(struct load *l);
/* One that had its turn has landed; there is more memory. Neither with reader.lock held. */
void turn_end(struct firn_reader *r);
void turn_next(struct firn_reader *r);
/* Drops what waits for the volume, which goes; reader.serve held, and no item of it is left in the set. */
void turn_forget(struct firn_reader *r, const struct volume *v);

/* ---- run.c ---- */
/* What follows for the load's item from offset `from` on, and then for others of its reader that go on there: about
 * `limit` bytes of memory, with those that are planned already. Nothing, if the first frame is far larger. Items of
 * all readers that go on in these frames have their share, too. */
void run_plan(struct engine *e, struct run *run, uint64_t from, uint64_t limit);
/* Begins flights, up to the first frame that is there or under way; what follows is left out. Those before the first
 * that is ours as well, unless it is demanded. f.own == 0: nothing is left. */
void run_own(struct engine *e, struct run *run);
/* What is planned is known of the items, so that the next piece can be under way beside it. */
void run_note(struct run *run);
/* The GET; ends the flights. `room` is what held_room() gave. out, of a demanded one: the first frame. */
int run_get(struct engine *e, struct run *run, uint64_t room, struct blob **out,
            struct firn_error *err);
void run_fini(struct run *run);
/* The load under way that brings `offset` for the item, or NULL; reader.lock held. */
struct load *run_brings(const struct reader_item *it, uint64_t offset);

/* ---- load.c ---- */
struct load *load_new(struct reader_item *it, struct volume *v); /* NULL without memory */
void load_free(struct load *l);
/* The item is ready again when the load has landed, or brought what it needs; reader.lock held. */
void load_await(struct reader_item *it, uint64_t pos, struct load *l);
void load_cancel(struct load *l); /* it did not run: the item is ready again, and looks again */

/* ---- ahead.c ---- */
/* How much a load takes that the item needs now: 0, the one frame. Else a run of another item may bring it as
 * well; reader.serve held. */
uint64_t ahead_demand(struct reader_item *it, const struct index_extent *x);
#endif
