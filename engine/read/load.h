/* What frames.c, hold.c, load.c and ahead.c share. Internal to this folder. */
#ifndef READ_LOAD_H
#define READ_LOAD_H
#include "engine/read/read.h"

enum { FRAMES_MAX = 64, FRAME_BYTES_MAX = 80 << 20 };

struct load {
	struct work work; /* first */
	struct firn_reader *reader;
	struct reader_item *item;
	uint64_t stream, from; /* from: position; a read-ahead begins here */
	uint64_t bytes;        /* and takes about so many; of a demanded load 0: the one frame */
	struct want want;
	/* reader.lock */
	struct load *next_run;      /* of item.runs ... */
	uint64_t run_from, run_end; /* ... the offsets that its GET brings */
};

/* Frames of one segment, back to back. */
struct frames {
	const struct volume *v;
	uint32_t n, own;     /* x[0 .. own): flights that are ours, adjacent */
	uint64_t end;        /* offset after what was planned */
	uint64_t bytes, raw; /* planned: payload, and memory */
	struct index_extent x[FRAMES_MAX];
};

/* ---- frames.c ---- */
bool extent_sane(const struct index_extent *x);
/* CACHE_HIT and *out, when another load has ended if need be; CACHE_LOAD: the flight is ours; an error. */
int frame_begin(struct engine *e, const struct volume *v, const struct index_extent *x,
                struct blob **out, struct firn_error *err);
void frames_add(struct frames *f, const struct index_extent *x);
/* The frames from offset f->end on that one ranged GET can bring besides those that are there: adjacent,
 * about `limit` bytes of memory in all, at least one frame. */
void frames_plan(struct engine *e, struct frames *f, uint64_t stream, uint64_t limit);
/* Begins flights on x[own ...], up to the first that is there, or under way; what follows is left out. */
void frames_own(struct engine *e, struct frames *f);
/* One GET for x[0 .. own), each verified, into the cache: ends their flights. blob (may be NULL): room for
 * `own` of them, each with a reference, or NULL. The code is that of x[0]. */
int frames_load(struct engine *e, struct frames *f, struct blob **blob, struct firn_error *err);

/* ---- hold.c ---- */
/* Memory for about `want` bytes of frames that an item will enter; 0: there is none now. Given back by
 * held_give(), or by the item as it goes on. */
uint64_t held_room(struct engine *e, uint64_t want);
void held_give(struct engine *e, uint64_t bytes);
/* Blobs that came for the item, from x[from] on: their references go over. `room` is what held_room() gave
 * for them. */
void held_add(struct reader_item *it, const struct frames *f, uint32_t from, struct blob **blob,
              uint64_t room);

/* ---- load.c ---- */
struct load *load_new(struct reader_item *it, struct volume *v); /* NULL without memory */
void load_free(struct load *l);

/* ---- ahead.c ---- */
/* How much a load takes that the item needs now: 0, the one frame; reader.serve held. */
uint64_t ahead_demand(struct reader_item *it, const struct index_extent *x);
/* A demanded load takes these frames, too. */
void ahead_taken(struct load *l, const struct frames *f);
/* A read-ahead of the item under way that brings `offset`, or NULL; reader.lock held. */
struct load *ahead_running(const struct reader_item *it, uint64_t offset);
#endif
