/* The engine: what one process opens. Everything else hangs below it; nothing is global.
 *
 *   threads:  wal     wal_step        group commit, publish, acks
 *             upload  upload_step     decides: rounds, commits, attach and detach, WAL files
 *             build   task_run        a round becomes segments; at low priority
 *             workers task_run        what waits for a store, see upload/work.h
 *             read    read_step       fetches and look-ups that need more than memory
 *   With FIRN_ENGINE_NO_THREADS the same steps run inside call, reap and step. */
#ifndef API_ENGINE_H
#define API_ENGINE_H
#include "engine/admit/volume.h"
#include "engine/base/account.h"
#include "engine/gc/open_logs.h"
#include "engine/index/index.h"
#include "engine/store/totals.h"
#include "engine/wal/wal.h"
#include <firn/engine.h>
#include <firn/read.h>
#include <pthread.h>
#include <stdbool.h>

struct cache;
struct read_queue;
struct upload_job;

enum { CALL_SHARDS = 4 };
enum { WAL_IO_AUTO, WAL_IO_PWRITE };
struct engine_options {          /* parsed "name=value" */
	uint64_t wal_file_bytes; /* 0: a 32nd of wal_bytes, 1 to 128 MiB */
	uint64_t segment_bytes;
	uint32_t upload_interval_ms, zstd_level, wal_io, layer_segments, delete_grace_ms,
	        delete_deadline_ms;
	bool wal_direct, wal_preallocate;
	uint32_t wal_slot_ms;
	char wal_uri[2048]; /* of the store that the log is in; "": files */
};

struct engine {
	struct account *account;
	const struct firn_env *env; /* the account's */
	char dir[4096];
	void *lock_file;
	bool no_threads;
	uint32_t linger_us;
	bool wal_opened;
	uint64_t wal_bytes, memory_bytes, tail_bytes, cache_bytes, pin_bytes;
	uint64_t upload_bytes; /* share of segments on their way */
	struct engine_options options;
	struct wal wal;
	struct wal_scan
	        scan; /* what recovery found; a volume's part goes when it is attached, and comes back */
	struct index *index;
	struct cache *cache;
	struct read_queue *reads;

	pthread_mutex_t kick_lock; /* innermost: upload_kicked, room */
	pthread_cond_t upload_work, room;
	atomic_ullong room_seq;   /* rises when room came back */
	pthread_mutex_t log_lock; /* innermost: lines on their way to queues */
	struct log_line *log_first, *log_last;
	uint32_t n_log;
	uint64_t log_dropped;
	atomic_bool log_asked;         /* some queue wants lines */
	pthread_mutex_t lock;          /* the lists below, jobs */
	pthread_rwlock_t volumes_lock; /* guards volume[] for the writer's publish */
	struct volume **volume;
	uint32_t n_volume, cap_volume;
	struct firn_cq *cqs; /* list */
	uint32_t n_cq, n_reader;
	uint32_t n_joined;                       /* volumes, each with room in scan.found */
	struct upload_job *job_first, *job_last; /* attaches and detaches, in order */
	struct uploader uploads;
	struct open_logs open_logs; /* only whoever sweeps logs (gc/logs.h) */
	struct store_totals stores;
	bool stopping, upload_kicked;
	pthread_t thread[5];
	uint32_t n_thread;
	pthread_mutex_t step_lock;          /* no-threads: one stepper at a time */
	atomic_uint call_word[CALL_SHARDS]; /* blocked callers sleep on these, see call.c */
	atomic_uint call_mask;              /* shards with somebody to wake */
	atomic_uint call_next;
	atomic_uint calls_done; /* blocked callers whose write the last group made durable */
	atomic_bool publishing; /* the WAL thread wakes them in one go, at the end of a group */
	uint64_t places_seen;   /* only places_step(): ranges of the WAL when lists were cut last */
	atomic_bool full_seen;  /* someone was refused for lack of room */
	struct firn_volume *handles; /* all ever given out: they stay until close */
};

static inline struct engine *engine_of(struct firn_engine *e)
{
	return (struct engine *)(void *)
	        e; /* struct firn_engine is never defined: a name for users */
}

/* api/options.c: fills *e from opts; FIRN_EINVAL. */
int options_parse(struct engine *e, const struct firn_engine_opts *opts, struct firn_error *err);
int attach_options_check(const char *const *options, struct firn_error *err);

/* ---- steps: 1 = something was done ---- */
int upload_step(struct engine *e);
int read_step(struct engine *e);
int places_step(struct engine *e);        /* lists of un-stored places above their share: cut */
bool places_over(const struct engine *e); /* they are */
int aside_step(struct engine *e);         /* files with little in them that is needed: moved */
/* What of a volume lies before an LSN is looked for in the WAL from now on; no lock held. */
void places_forget(struct engine *e, uint32_t volume_no, uint64_t below);
/* Attached volumes whose store takes what it is given; *no is the caller's to free. FIRN_ENOMEM. */
int volumes_storing(struct engine *e, uint32_t **no, uint32_t *n);
int engine_step_once(struct engine *e); /* one round over all stages */
void engine_room(struct engine *e);     /* room came back: WRITABLE, blocked callers */
void upload_kick(struct engine *e);     /* wakes the uploader; any lock may be held */

int wal_mode_open(struct engine *e, struct firn_error *err); /* wal_mode.c: files, or a store */

/* ---- log (log.c) ---- */
/* To the host and to queues that asked; any lock may be held. origin is static; volume may be NULL. */
void engine_log(struct engine *e, uint32_t level, const char *origin, const char *volume,
                const char *text);
int engine_log_send(struct engine *e); /* the uploader: 1 = sent some */
/* A change of state, to queues that asked for it; no volume locked. */
void engine_tell_state(struct engine *e, uint64_t user_data, uint32_t state);

/* ---- completions (cq.c, call.c) ---- */
int cq_reserve(struct firn_cq *cq); /* FIRN_EAGAIN */
void cq_unreserve(struct firn_cq *cq);
void cq_post(struct firn_cq *cq, const struct firn_event *ev);   /* uses up a reservation */
void cq_notice(struct firn_cq *cq, const struct firn_event *ev); /* needs none; bounded */
/* Ends a request: fills user_data and kind, goes to the queue or the blocked caller. */
void complete(const struct completion *to, struct firn_event *ev);
/* A SILENT success gives its slot, and what it would have told, back. */
void complete_silent(const struct completion *to, struct firn_event *ev);
/* Wakes blocked callers whose outcome is there. */
void call_wake(struct engine *e);
/* The text of a failure for a caller of firn_engine_call(). */
void call_error(struct call *c, const struct firn_error *err);
void complete_error(struct engine *e, const struct completion *to, const struct firn_error *err);

/* ---- the read side (read/, cache/) ---- */
int read_open(struct engine *e); /* queue, cache */
void read_close(struct engine *e);
/* One step of fetches and look-ups; 1 = did something. read_wait blocks until there is work or stop. */
void read_wait(struct engine *e);
void read_stop(struct engine *e); /* wakes the reader thread for good */
/* A mark of the stream moved: its watching items become ready. Volume locked. */
void read_notify(struct volume *v, struct stream *s);
/* The volume goes: its fetches and look-ups end FIRN_ECANCELED, its items answer ESHUTDOWN. */
void read_forget_volume(struct engine *e, struct volume *v);
int read_submit_fetch(struct engine *e, const struct firn_fetch *f, const struct completion *to,
                      struct firn_error *err);
int read_submit_lookup(struct engine *e, const struct firn_lookup *l, const struct completion *to,
                       struct firn_error *err);
/* 0: at least one cancelled; FIRN_ENOENT. */
int read_cancel(struct engine *e, struct firn_cq *cq, uint64_t user_data);
#endif
