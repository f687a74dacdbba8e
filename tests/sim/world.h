/* The world around the engines: chance, faults, trace. One per run of a seed. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H
#include "tests/sim/sched.h"
#include <firn/env.h>
#include <stddef.h>

/* What can go wrong. Each kind has a name, a count, and can be switched off. */
enum fault {
	FAULT_KILL,        /* kill -9 */
	FAULT_POWER,       /* power cut */
	FAULT_TORN,        /* a write kept in part, at a 512-byte or 4-KiB border */
	FAULT_DROPPED,     /* an un-synced write lost in a power cut */
	FAULT_NAMES_LOST,  /* un-synced names lost in a power cut */
	FAULT_LATE_WRITE,  /* a write of a dead process that lands later */
	FAULT_EIO,         /* read, write or flush fails */
	FAULT_ENOSPC,      /* no room for a write */
	FAULT_LYING_FLUSH, /* a flush that does nothing and says it did: told to the model */
	FAULT_ROT,         /* a flipped bit in a WAL file: told to the model */
	FAULT_STORE_LOST,  /* done or not, the answer is lost */
	FAULT_STORE_RETRY, /* not done, try again */
	FAULT_STORE_THROTTLED,
	FAULT_STORE_LATE, /* an answer long after the time-out; a PUT of a dead writer that lands */
	FAULT_STORE_TWICE, /* a PUT that the network delivers twice */
	FAULT_OUTAGE,      /* the store is away for long */
	FAULT_INDEX_OLD,   /* the index directory is put back to an older state */
	FAULT_INDEX_GONE,
	FAULT_CLOCK, /* the wall clock jumps */
	FAULT_ABANDON, /* a volume is taken without the log of its writer: what it acked and did not store is lost */
	FAULT_MOVED,     /* a disk put into another machine */
	FAULT_PAUSE,     /* a process is stopped, in the middle of anything, and goes on later */
	FAULT_PARTITION, /* a node's requests do not arrive, or no answers come back; it lives on */
	/* Questions of whatif.h. */
	FAULT_RESTORED,           /* an older snapshot of the disk */
	FAULT_CLONED,             /* a snapshot in another machine */
	FAULT_BUCKET_BACK,        /* the bucket as it was earlier */
	FAULT_CONDITIONS_IGNORED, /* a store that claims conditions and has none */
	N_FAULTS
};
extern const char *const fault_name[N_FAULTS];

enum { NODES_MOST = 5 };

/* Who compares what may move meanwhile. sim_fail() in that process asks first: returns if the promise is broken indeed. */
struct doubt {
	struct doubt *next;
	uint32_t process;
	void (*ask)(struct doubt *d);
};

struct world {
	uint64_t seed;
	struct rng rng; /* faults and workload; the schedule has its own */
	uint64_t n_fault[N_FAULTS], n_ops, n_checks;
	uint64_t n_strikes;  /* faults that struck, or would have */
	const uint8_t *skip; /* those that shall not, by their number; n_skip bytes */
	uint64_t n_skip;
	bool calm;             /* no faults any more: everything must drain */
	bool always[N_FAULTS]; /* scripts: this one strikes whenever it can, calm or not */
	bool much;             /* large payloads: logs go round */
	bool slow;             /* users wait for seconds between what they do: time passes */
	uint32_t n_nodes;      /* by the seed, or as the command line says */
	bool slots; /* the log lies in the store; by the seed, or as the command line says */
	bool mixed; /* slots: of every second machine it lies on its disk all the same */
	bool trace;
	struct doubt *doubts;
	char scratch[256]; /* real directory, for the indexes */
};
extern struct world W;

/* A real directory for the indexes of a run: made and removed by the parent of the process that runs, which may die of
 * anything. */
void world_scratch(char dir[256]);
void world_clean(const char *dir);
/* Begins a run: virtual clock, chance. */
void world_init(uint64_t seed, bool trace, const char *dir);
/* Does this fault happen, one time in `n`? Counted if so. */
bool fault_strikes(enum fault f, uint32_t n);
__attribute__((format(printf, 1, 2))) void sim_trace(const char *format, ...);
/* A promise is broken, and no doubt says otherwise: told once, the run ends. */
__attribute__((format(printf, 2, 3), noreturn)) void sim_fail(const char *promise,
                                                              const char *format, ...);
#define SIM_CHECK(promise, ok, ...)                     \
	do {                                            \
		W.n_checks++;                           \
		if (!(ok))                              \
			sim_fail(promise, __VA_ARGS__); \
	} while (0)
#endif
