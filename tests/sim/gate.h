/* One request or one disk operation stopped, failed or misreported by hand: for scripts that need a certain history and not
 * a likely one.
 *
 *   g = gate_set(GATE_SYNC, ".wal", 0, GATE_HOLD);  the next flush of a WAL file stops before it is done
 *   ... submit something ...
 *   gate_wait(g);                                   now it stands there
 *   node_kill(...);                                 or
 *   gate_open(g);                                   it goes on
 *
 * A gate serves one operation, the first that fits after `skip` others, and is then out of the way. */
#ifndef SIM_GATE_H
#define SIM_GATE_H
#include <stdbool.h>
#include <stdint.h>

enum gate_on { GATE_READ, GATE_WRITE, GATE_SYNC, GATE_SYNC_DIR, GATE_RENAME, GATE_PUT, GATE_GET };

enum gate_how {
	GATE_PASS, /* what gate_at() says of an operation that no gate concerns */
	GATE_HOLD, /* waits for gate_open(). A WRITE whose process is killed meanwhile lands when the gate opens and
	                 * keeps its file locked until then */
	GATE_HOLD_FREE, /* the same, but the lock goes with the process */
	GATE_FAIL, /* disk: EIO, and what a SYNC was for is lost. Store: not done, told so, try again */
	GATE_LIE,       /* SYNC, SYNC_DIR: not done, and success is told */
	GATE_LOST,      /* PUT: not done, and nobody knows */
	GATE_DONE_LOST, /* PUT: done, and nobody knows */
	GATE_LATE       /* PUT: nobody knows; it is done when the gate opens */
};

struct gate;
/* `part` must occur in the path or key. */
struct gate *gate_set(enum gate_on on, const char *part, uint32_t skip, enum gate_how how);
/* Blocks until an operation has come to the gate. */
void gate_wait(struct gate *g);
bool gate_reached(const struct gate *g);
void gate_open(struct gate *g);

/* ---- for the disk and the store */

/* How it is with this operation; *g is the gate if it is one that may have to be waited for, else NULL. */
enum gate_how gate_at(enum gate_on on, const char *name, struct gate **g);
/* Until it is open. NULL: at once. */
void gate_pass(struct gate *g);
bool gate_keeps_lock(const struct gate *g);
#endif
