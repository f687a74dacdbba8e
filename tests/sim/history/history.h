/* The histories of the protocol, each a script under its number: one simulated world, no fault but those the script makes.
 *
 * A script is a thread of the node's process between power_on() and kill9(), power_cut() or shut_down(), and calls the
 * engine as any user does. Bytes of a record say what it is: "a", "b" ..., so a stream reads as a word. */
#ifndef SIM_HISTORY_H
#define SIM_HISTORY_H
#include "tests/sim/disk.h"
#include "tests/sim/gate.h"
#include "tests/sim/node.h"
#include "tests/sim/sched.h"
#include "tests/sim/store.h"
#include "tests/sim/world.h"
#include <firn/firn.h>
#include <string.h>

struct history {
	const char *number; /* in the protocol: "4a", "S8" */
	const char *promise;
	const char *truth;
	void (*run)(void);
};
/* By file; each list ends with one without a number. */
extern const struct history wal_histories[], write_histories[], commit_histories[],
        shared_histories[], owner_histories[], abandon_histories[], scale_histories[],
        copy_histories[], aside_histories[], lost_histories[], layer_histories[], slots_histories[],
        clean_histories[], salvage_histories[], follow_histories[];

enum { SECOND = 1000 }; /* ms */

/* ---- a node's process. wal_io=pwrite, so that write and flush are two operations to be stopped one by one. */

struct box {
	struct node *node;
	struct firn_cq *cq;
	uint64_t wal_bytes;          /* 0: 8 MiB in files of 1 MiB */
	uint32_t upload_interval_ms; /* 0: an hour: nothing is stored that was not asked for */
	uint32_t segment_kib;        /* 0: as the engine likes */
	uint32_t file_mib;           /* of a WAL file; 0: 1 */
	uint32_t layer_segments, grace_ms, deadline_ms; /* 0: as the engine likes */
	bool slots; /* its log lies in the store: a slot for each group */
};
void box_init(struct box *b, uint32_t number);
int try_power_on(struct box *b, struct firn_error *err);
void power_on(struct box *b);
void kill9(struct box *b);
/* What was not flushed is gone. */
void power_cut(struct box *b);
/* All un-stored, detached clean if mode is DRAIN; the engine closed. */
void shut_down(struct box *b, struct firn_volume *v, uint32_t mode);
void wait_ms(uint64_t ms);

/* ---- volumes */

int try_attach(struct box *b, const char *name, uint32_t flags, struct firn_volume **out,
               struct firn_error *err);
/* takeover: NULL, or what the operator says of the original. */
int try_takeover(struct box *b, const char *name, const char *takeover, struct firn_volume **out,
                 struct firn_error *err);
struct firn_volume *attach(struct box *b, const char *name);
/* Two boxes are made; the first is on and has volume "v" with a stream, "room". */
struct firn_volume *open_first(struct box *a, struct box *b, uint64_t *s);
struct firn_volume *look(struct box *b, const char *name); /* read-only: what is stored */
/* With takeover=abandon; what it skips of each stream. */
struct firn_volume *abandon(struct box *b, const char *name);
#define SKIP (UINT64_C(1) << 36)
/* It is down; restarted in an outage it does not go on, and the refusal says why. It is down again, the store back. */
void must_not_resume(struct box *b, const char *name, const char *why);
int detach(struct box *b, struct firn_volume *v, uint32_t mode);
void store_now(struct box *b, struct firn_volume *v);
void begin_store(struct box *b, struct firn_volume *v, uint64_t user_data); /* not waited for */
uint64_t rev_durable(struct firn_volume *v);
uint64_t rev_stored(struct firn_volume *v);

/* ---- streams */

uint64_t stream(struct firn_volume *v, const char *name);
uint64_t find(struct firn_volume *v, const char *name); /* 0: none */
/* Appends one record of each letter, each acked before the next. */
void say(struct firn_volume *v, uint64_t s, const char *word);
/* The same, each stored by a round of its own, and what that makes due done. */
void store_each(struct box *b, struct firn_volume *v, uint64_t s, const char *word);
void say_bytes(struct firn_volume *v, uint64_t s, uint8_t letter, size_t len);
/* A bit of what say_bytes() wrote, 32 bytes or more, flips in the WAL. */
void rot(struct box *b, uint8_t letter);
/* Objects of the store that hold it. */
uint64_t store_objects_with(uint8_t letter);
/* The WAL file that holds it is gone. */
void lose(struct box *b, uint8_t letter);
/* The group of it, or its whole file, comes from a copy of the disk that went its own way. */
void graft(struct box *b, const struct disk *copy, uint8_t letter, size_t len, bool whole);
/* All of it, from start to the end: letters; '.' for a skipped offset. At most 255. */
void hear(struct firn_volume *v, uint64_t s, char out[256]);
void expect_word(struct firn_volume *v, uint64_t s, const char *word, const char *when);
/* Letters at [at, at + n); not less. */
void expect_at(struct firn_volume *v, uint64_t s, uint64_t at, const char *word);
void expect_code(struct firn_volume *v, uint64_t s, uint64_t at, int code); /* of a read there */
uint64_t mark(struct firn_volume *v, uint64_t s, uint32_t which);
/* One operation, not waited for. */
void begin(struct box *b, struct firn_volume *v, const struct firn_op *op, uint32_t n,
           uint64_t user_data);
void begin_say(struct box *b, struct firn_volume *v, uint64_t s, char letter, uint64_t user_data);
/* The next event; nothing within ten minutes is a failure. */
struct firn_event outcome(struct box *b);
bool quiet(struct box *b, uint32_t ms); /* no event comes */
int write_ops(struct box *b, struct firn_volume *v, const struct firn_op *op, uint32_t n,
              struct firn_event *ev);
int trim(struct box *b, struct firn_volume *v, uint64_t s, uint64_t to);
int put(struct box *b, struct firn_volume *v, const char *key, const char *value);
void expect_pair(struct firn_volume *v, const char *key, const char *value); /* NULL: no such key */
struct firn_op append_op(uint64_t s, const struct iovec *iov);
struct iovec bytes_of(const char *letter);

#define MUST(call)                                                                          \
	do {                                                                                \
		int must_ = (call);                                                         \
		SIM_CHECK("script", must_ == 0, "%s:%d: %s: %s", __FILE__, __LINE__, #call, \
		          firn_code_name(must_));                                           \
	} while (0)
#define EXPECT(promise, ok) SIM_CHECK(promise, ok, "%s:%d: not so: %s", __FILE__, __LINE__, #ok)
#endif
