/* A node: a disk, and from time to time a process with an engine on it. */
#ifndef SIM_NODE_H
#define SIM_NODE_H
#include "tests/sim/disk.h"
#include <firn/engine.h>

struct block;
struct node {
	uint32_t number, boots, n_restored, machine;
	uint32_t process; /* of this boot; 0: down */
	struct disk *disk;
	char dir[200]; /* of the engine: names on the simulated disk, a real folder for the index */
	struct firn_env env;
	struct block *blocks; /* memory of the process */
	uint64_t memory, memory_most;
	int64_t clock_ms;  /* what the wall clock is off by */
	uint64_t ahead_ns; /* and the one that never runs back: it may jump, as behind a sleep */
	struct rng rng;    /* nonces and ids */
	bool lying, lied;  /* may one flush lie? has it? */
	bool slots;        /* its log lies in the store, not on its disk */
	struct firn_engine *engine;
};

struct node *node_new(uint32_t number);
/* A new process begins. */
void node_boot(struct node *n);
/* Opens the engine with the options of this simulation; to be called by a fibre of the process. */
int node_open(struct node *n, struct firn_error *err);
void node_kill(struct node *n, bool power);
/* The engine was closed: the process ends by itself. */
void node_down(struct node *n);
/* A snapshot of its disk and index: to be put back, or put into another machine. */
struct shot;
struct shot *node_shot(const struct node *n);
void node_restore(struct node *n, const struct shot *s); /* of a node that is down */
const struct disk *shot_disk(const struct shot *s);
enum { NODE_MEMORY = 16 << 20, NODE_WAL = 8 << 20 };
#endif
