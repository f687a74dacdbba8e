/* One thread that plays many: every thread of every engine is a fibre, and a seeded scheduler picks who goes on.
 *
 *   pthread_create --wrap--> fibre ─┐
 *   mutex, condition, futex, sleep ─┼─► sched_block / sched_yield ─► scheduler ─► the next, by the seed
 *   disk, store                    ─┘
 *
 * Time is virtual: it moves a little with every step, and to the next timer when nobody can run. Fibres belong to a
 * process; one that is killed is never resumed, its locks and its memory are nobody's any more. Not thread-safe:
 * there is one thread. */
#ifndef SIM_SCHED_H
#define SIM_SCHED_H
#include <stdbool.h>
#include <stdint.h>

struct fibre;

enum { SIM_FOREVER = 0 };

/* ---- chance: xoshiro-like, one stream for the schedule, one for each who asks with a state of his own */
struct rng {
	uint64_t s;
};
uint64_t rng_next(struct rng *r);
/* Below n, n > 0. */
uint64_t rng_below(struct rng *r, uint64_t n);
/* True in one of n cases. */
bool rng_one_in(struct rng *r, uint32_t n);

void sched_init(uint64_t seed);
uint64_t sched_now(void); /* virtual ns */
/* A fibre of process `process` (0: the world's own, never killed). */
struct fibre *sched_spawn(uint32_t process, const char *name, void (*run)(void *), void *arg);
uint32_t sched_process(void); /* of the fibre that runs */
const char *sched_name(void);
/* Runs until all fibres of process 0 have ended. False: nobody can run and no timer is set: a hang. */
bool sched_run(void);
void sched_hang_text(char *text, uint32_t cap); /* who waits where, after a hang */
/* Kills all fibres of the process. If the caller is one of them, does not return. */
void sched_kill(uint32_t process);

/* The process stops, wherever its fibres are, or goes on. Its time runs: timers are due when it goes on. */
void sched_pause(uint32_t process, bool stops);

/* The fibre that runs, one of the world's, goes on as a thread of that process: a script that calls an engine. It must be
 * the world's again (0) before the process is killed and before it ends. */
void sched_become(uint32_t process);

/* Gives others a turn: always, or by chance. */
void sched_yield_now(void);
void sched_maybe_yield(void);
/* Waits until sched_wake(on) or for `ns` (SIM_FOREVER); false: time ran out. */
bool sched_block(const void *on, uint64_t ns);
void sched_wake(const void *on, uint32_t n); /* UINT32_MAX: all */
void sched_sleep(uint64_t ns);
uint64_t sched_steps(void);
#endif
