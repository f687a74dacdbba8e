/* Who runs what the uploader decides. One thread decides (upload_step), others do: a builder for what costs
 * CPU, and workers for what waits for a store. Workers are made when work would have to wait for one.
 *
 *   upload_step --task--> builder (one, at low priority)
 *                   +---> workers
 *
 * A lane is one store. So many requests of a lane run at once and so many of all, but a lane with none may
 * always run one: a store that hangs holds up nobody else. Without threads the stepper runs all itself. */
#ifndef UPLOAD_WORK_H
#define UPLOAD_WORK_H
#include "engine/gc/left.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct engine;
struct store;
struct volume;
struct upload_job;
struct upload_worker;
struct built;
struct firn_env;
struct firn_error;

enum task_kind {
	TASK_JOB,    /* an attach or a detach */
	TASK_COMMIT, /* CAS, settle, index */
	TASK_BUILD,  /* a round becomes segments in memory */
	TASK_LAYER,  /* footers or layers become a layer */
	TASK_GRAVES, /* dead objects are deleted */
	TASK_SWEEP,  /* what nobody names is looked for */
	TASK_RETAIN, /* what retention says is trimmed */
	TASK_FOLLOW, /* a volume attached read-only: is there a later cut? */
	TASK_PUT,    /* one segment goes up */
	TASK_BEAT    /* the lane's heartbeat */
};

enum { LANE_TASKS = 8, LANE_PUTS = 6, ALL_TASKS = 32 };

/* Lives in what it works on: handing it over allocates nothing. */
struct upload_task {
	struct upload_task *next;
	enum task_kind kind;
	struct volume *v;
	struct upload_job *job;
	struct built *part;
	struct upload_lane *lane; /* referenced while queued or running; builds have none */
};

struct upload_lane {
	struct upload_lane *next;
	char *uri;
	uint32_t refs;          /* volumes and tasks */
	uint32_t n_task, n_put; /* queued or running */
	atomic_ullong held;     /* bytes of memory that its volumes' rounds take */
	atomic_ullong unstored; /* bytes in the WAL that its volumes have not stored */
	uint64_t beat_ns,
	        n_beat; /* when the heartbeat is due: the deciding thread's; 0 not known yet */
	atomic_bool beating;
	atomic_bool probed; /* the store keeps the conditions that it claims */
	struct upload_task beat_task;
	struct leftovers left; /* of other engines, under uploader.lock */
};

struct uploader {
	pthread_mutex_t lock; /* guards from here ... */
	pthread_cond_t work, build;
	struct upload_task *first, *last;
	struct upload_task *to_build;
	uint32_t n_queued, n_idle, n_task;
	bool stopping;
	struct upload_lane *lanes;
	uint32_t n_lane;
	struct leftovers left_of_log;  /* in the store of the log; ... to here */
	struct upload_worker *workers; /* only the deciding thread, and start and stop */
	uint32_t n_worker;
	atomic_bool building; /* the builder has its work */
	bool short_of_memory; /* the deciding thread: a round waits for memory */
	atomic_ullong n_segment_put, n_manifest_put, put_bytes; /* metrics: requests sent */
	atomic_ullong rewritten_bytes; /* of put_bytes, what a rewrite put */
	atomic_ullong n_gathered;      /* blocks that became parts of larger ones */
};

void work_init(struct engine *e);
void work_fini(struct engine *e);
/* The first worker: without it nothing could be attached. */
int work_start(struct engine *e, struct firn_error *err);
void work_stop(struct engine *e); /* no task is left: every volume is detached */
void work_hand(struct engine *e, struct upload_task *t); /* claimed; the deciding thread only */
void *work_build_thread(void *engine);

/* The store's lane, made if need be, with a reference; NULL: no memory. */
struct upload_lane *lane_get(struct engine *e, const char *uri);
struct upload_lane *lane_ref(struct engine *e, struct upload_lane *lane); /* one more */
void lane_put(struct engine *e, struct upload_lane *lane);
/* store_probe() of one of its volumes' handles, once for all of them. */
int lane_probe(struct upload_lane *lane, struct store *s, struct firn_error *err);
/* A segment is on its way to it. */
bool lane_putting(struct engine *e, const struct upload_lane *lane);
/* Counts a task in if the bounds let it run: true. lane_done() counts it out; till then it is referenced. */
bool lane_take(struct engine *e, struct upload_lane *lane, enum task_kind kind);
void lane_done(struct engine *e, struct upload_lane *lane, enum task_kind kind);

/* step.c: runs a claimed task; 1: something came of it. */
int task_run(struct engine *e, struct upload_task *t);
#endif
