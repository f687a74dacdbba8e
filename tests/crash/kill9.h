/* The kill -9 loop: a worker writes to a volume and is killed at a random moment, a checker
 * recovers what it left and compares it with a model; again and again.
 *
 *   kill9.c         the loop: forks worker and checker, kills them
 *   kill9_engine.c  opening an engine, attaching, detaching
 *   kill9_worker.c  writes to several rooms with many in flight, notes what is acked
 *   kill9_check.c   reads everything back: P1, P2, P3
 *   kill9_cut.c     what the store says, and an engine elsewhere sees of it: P10
 *   outage.c        the same worker and checker, in an outage of the store
 *
 * The model lies in memory that all processes share, so it outlives the killed. The loop itself
 * never opens an engine: what is forked from it has no threads.
 *
 * tests/power/ drives the same worker and checker on a disk that loses its power.
 *
 * Rooms are streams. Each append is one write with a key ("last" = its id); ids rise from 1 in a
 * room and are never given to other content. */
#ifndef KILL9_H
#define KILL9_H
#include <firn/firn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { ROOMS = 6, MAX_ID = 1 << 18, MAX_ACKS = 1 << 20 };

enum room_kind {
	ROOM_EXACT,  /* producer, exact sequence; what is not acked is sent again after a crash */
	ROOM_RISING, /* producer, rising sequence; sent again */
	ROOM_KEYED,  /* idempotency keys; sent again */
	ROOM_PLAIN,  /* what is not acked is never sent again */
};

struct ack {
	uint32_t room, n_offsets;
	uint64_t id, base, rev;
};

struct room {
	atomic_ulong stream;       /* its number, once known */
	atomic_ulong submitted_id; /* the highest ever submitted */
	atomic_ulong acked_id;     /* the highest acked */
	atomic_ulong trim_submitted, trim_acked;
	atomic_ulong seen_end; /* the furthest that a reader could have seen */
	/* what a checker has seen; plus one, 0 = never */
	uint64_t base[MAX_ID];
	uint64_t rev[MAX_ID];
	uint64_t start, end, last_id; /* at the last check */
};

/* What a worker's engine says of itself, every few writes. */
struct told {
	atomic_ulong n_resumed;       /* attaches without the store, of all workers */
	atomic_ulong state;           /* enum firn_state; 0: not attached yet */
	atomic_ulong durable, stored; /* revs */
	atomic_ulong n_request;       /* to its store, so far */
};

struct model {
	struct room room[ROOMS];
	atomic_ulong n_ack;
	struct ack ack[MAX_ACKS];
	uint64_t n_ack_checked;
	atomic_uint attached; /* the worker is writing: 1 */
	atomic_ulong n_session, n_duplicate, n_read, n_cut, n_unknown;
	char dir[1024], store[1024]; /* the engine's directory at present; URI */
	char elsewhere[1024];        /* a directory for engines that only look */
	char wal_io[32];
	const struct firn_env *env;       /* NULL: the system's own */
	uint64_t memory_bytes, wal_bytes; /* 0: 64 MiB, 16 MiB */
	bool endless;          /* one session, until it is killed, which writes as long as ... */
	atomic_ulong n_ack_to; /* ... fewer are acked, and tells of itself: */
	struct told told;
	uint64_t seed;
};

/* ---- content ---- */

/* Head of a payload; filler that follows from room and id comes behind it. */
struct message {
	uint64_t magic, id;
	uint32_t room, len;       /* len: of the whole payload */
	uint32_t pair_room, _pad; /* another append of the same write, pair_id 0 = none */
	uint64_t pair_id;
};
enum { MESSAGE_MAX = 64 << 10 };

enum room_kind room_kind(uint32_t room);
bool room_trims(uint32_t room);
uint32_t message_offsets(uint32_t room, uint64_t id);
/* Fills buf (MESSAGE_MAX bytes); returns the length. */
uint32_t message_make(uint8_t *buf, uint32_t room, uint64_t id, uint32_t pair_room,
                      uint64_t pair_id);

/* ---- chance: splitmix64 ---- */

static inline uint64_t mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}
static inline uint64_t chance(uint64_t *state, uint64_t n)
{
	*state = mix(*state);
	return *state % n;
}

/* ---- engines ---- */

/* Says why and ends this process with DIED: the loop then fails. */
enum { DIED = 3 };
_Noreturn void die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

struct firn_engine *engine_open(const struct model *m, const char *dir);
void engine_close(struct firn_engine *e);
/* NULL and *code if `code` is given and the attach failed; else it dies. */
struct firn_volume *attach(struct firn_engine *e, struct model *m, uint32_t flags, int *code);
void detach(struct firn_engine *e, struct firn_volume *v, uint32_t mode);
uint64_t mark(const struct firn_volume *v, uint64_t stream, uint32_t which);
uint64_t kv(const struct firn_volume *v, uint64_t stream, const char *key); /* 0 when absent */

/* ---- one cut (kill9_cut.c) ---- */

/* What is stored: all rooms and keys end at one write, rev_stored. */
void check_cut(struct model *m);

/* ---- processes; none returns ---- */
_Noreturn void worker_main(struct model *m, uint64_t seed);
/* whole: from the first record of each room; move: drain, and check again in an empty directory. */
_Noreturn void checker_main(struct model *m, bool whole, const char *move_to);
#endif
