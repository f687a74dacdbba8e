/* Takeovers by real processes: nodes take one volume over from one another; what each of them asked, was told and read goes
 * to an event log that history_check.py judges (its head says what a line means).
 *
 *   takeover.c     the loop: starts nodes, lets them go, kills, stops and wakes them
 *   loop_node.c    a writer with a reader of the tail beside it
 *   loop_cut.c     an engine that only looks, again and again
 *   loop_log.c     the event log; a room's records as the log has them
 *
 * Nodes are forked from a process that never opens an engine. A line is one write(2): a killed process leaves whole ones. */
#ifndef LOOP_H
#define LOOP_H
#include <firn/firn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { LOOP_ROOMS = 4, LOOP_NODES = 3 };

enum node_state { NODE_STARTING = 1, NODE_WRITES };

/* In memory that all processes share. */
struct node {
	atomic_uint state;
	atomic_bool leave;      /* it shall detach and end */
	atomic_ulong attach_us; /* what its attach took ... */
	atomic_ulong read_us,
	        ack_us; /* ... until its first read, until its first ack; 0 = not yet */
	atomic_ulong n_ack;
};

/* What a node is to do. Its engine's options begin with wal=store:... or do not. */
struct task {
	struct node *node;
	const char *dir, *store;
	const char *log_store; /* NULL: the WAL is files */
	uint64_t run, seed;
	bool keep;  /* it leaves what is not stored in its log */
	bool final; /* reads all and leaves */
	int log;    /* file descriptor */
};

/* How a node ends. */
enum { NODE_LEFT = 0, NODE_FENCED = 10, NODE_AWAY = 12 /* no store for its attach */ };

_Noreturn void node_main(const struct task *t);
_Noreturn void cut_main(const struct task *t);

/* ---- event log (loop_log.c) ---- */

uint64_t loop_ns(void);
void loop_say(const struct task *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A line that the checker will not like; the process ends. */
_Noreturn void loop_wrong(const struct task *t, const char *what, int code, const char *text);

/* Records of a room, gathered until they are a line. */
struct line {
	char *text;
	size_t len, cap;
	uint64_t from, next;
};
void line_begin(struct line *l, uint64_t from);
/* What a part of a fetch brought; verifies the payloads, wants it to follow on what is there. */
void line_add(const struct task *t, struct line *l, uint32_t room, const struct firn_part *part);
/* One event: the words of fmt, then "from next", `more` if it is no NULL, and the records. */
void line_say(const struct task *t, struct line *l, const char *more, const char *fmt, ...)
        __attribute__((format(printf, 4, 5)));
/* Reads from l->next to `end`. 0, or FIRN_EFENCED: no line. Ends the process on any other. */
int line_read(const struct task *t, struct line *l, struct firn_volume *v, uint32_t room,
              uint64_t stream, uint64_t end);

/* ---- engines and content ---- */

struct firn_engine *loop_engine(const struct task *t);
/* FIRN_ESTORE, or FIRN_ENOENT of one that only looks; ends the process on any other failure. */
int loop_attach(const struct task *t, struct firn_engine *e, uint32_t flags,
                const struct firn_attached **out);
uint64_t loop_stream(const struct task *t, const struct firn_volume *v,
                     uint32_t room); /* 0: none */
uint64_t loop_mark(const struct task *t, const struct firn_volume *v, uint64_t stream,
                   uint32_t which);

enum { PAYLOAD_MAX = 24 << 10 };
uint32_t payload_make(uint8_t *buf, uint32_t room, uint64_t id);
#endif
