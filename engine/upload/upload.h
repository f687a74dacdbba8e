/* Inside the uploader. A volume's commit and its job are run by one worker at a time. */
#ifndef UPLOAD_UPLOAD_H
#define UPLOAD_UPLOAD_H
#include "engine/upload/layered.h"
#include "engine/upload/round.h"

/* An attach or a detach on its way. */
struct upload_job {
	struct upload_job *next;
	struct completion to;
	bool detach, cancelled;
	bool running; /* a worker has it; under engine.lock */
	bool has_id;  /* attach: the volume turned out to be `id`; under engine.lock */
	uint8_t id[16];
	struct upload_task task;
	struct upload_lane *lane; /* referenced */
	uint64_t deadline_ns;     /* 0 none */
	/* attach */
	char *uri, *name, *node, *takeover;
	uint64_t segment_bytes;
	uint32_t upload_interval_ms, attach_flags;
	/* takeover=abandon: the owner is watched, until then; 0: not yet */
	uint64_t watch_until_ns, watch_next_ns, watch_seq, watch_beat;
	uint8_t watch_nonce[16];
	/* detach; name is set, too */
	struct volume *v;
	uint32_t mode;
	bool recorded; /* the DETACH record is durable */
};
void job_take(struct engine *e, struct upload_job *j);
void job_free(struct engine *e, struct upload_job *j);

/* One try at one job; 1: it has ended and is freed, 0: it waits, 2: it waits, the volume has work. */
int attach_run(struct engine *e, struct upload_job *j);
/* beat.c: renews the heartbeat of this engine in a store. */
int beat_run(struct engine *e, struct upload_lane *lane);
/* A sum of another engine's heartbeat in the volume's store; 0: it has none. */
int beat_look(struct volume *v, const uint8_t wal_id[16], uint64_t *sum, struct firn_error *err);
int detach_run(struct engine *e, struct upload_job *j);

/* commit.c: a task's work: commits all that is up, or goes on with the commit under way. 1: progress; 0:
 * waiting (retry_at_ns). */
int commit_run(struct volume *v);
/* Makes a commit without rounds: the volume is marked clean. */
int commit_clean(struct volume *v, struct firn_error *err);
/* Next manifest of a volume: a copy of the settled one with seq + 1 and today's figures. */
int commit_next(struct volume *v, struct manifest *next);
void volume_fenced(struct volume *v);
/* missed.c [blocks]: *err says that a segment is gone. Damage, FIRN_EFENCED, or FIRN_ESTORE: that cannot be known now. */
int writer_missed(struct volume *v, struct firn_error *err);
/* The store went backwards or holds something foreign: nothing is sent any more. */
void volume_stop(struct volume *v, const struct firn_error *err);
void volume_back(struct volume *v); /* its store is back */
/* Told, and with `why` logged, if it is another one. FENCED is for ever. */
void volume_set_state(struct volume *v, uint32_t state, const char *why);
/* Of a cut that has become the settled one, volume locked: the stream's part of it, `bytes` of payload. */
void volume_stream_stored(struct volume *v, const struct stream_state *st, uint64_t bytes);
/* A FENCE record, once: this WAL's writer of the volume has been replaced, its right to resume is over (S1). */
void note_fenced(struct engine *e, const uint8_t id[16], const char *name);
/* Something failed that may work later; the first of a row is logged. away: it was the store. */
void volume_retry(struct volume *v, const struct firn_error *err);
void volume_away(struct volume *v, const struct firn_error *err);

enum settled {
	SETTLED_MINE,
	SETTLED_UNCHANGED,
	SETTLED_MOVED, /* of an attach: the writer before it, whom the manifest named, has committed once more */
	SETTLED_FENCED,
	SETTLED_WRONG,
	SETTLED_UNKNOWN
};
/* After anything but a clear success of a CAS: what does the store hold (PROTOCOL 7)? On MINE *version is
 * filled. */
enum settled settle(struct volume *v, const struct manifest *sent, struct store_version *version,
                    struct firn_error *err);
int volume_load(struct volume *v, const struct wal_found *found, uint64_t *replayed,
                struct firn_error *err);
int index_catch_up(struct volume *v, struct firn_error *err);
/* fill.c: the index does not reach to where the segments' own rows begin, or is older than the last rewrite: all of it anew
 * from the layers, and from some footers. It goes up to *rev then. */
int index_fill_layers(struct volume *v, uint64_t *rev, struct firn_error *err);
/* The object of a segment goes to the store, and is counted (rounds.c). */
int volume_put_segment(struct volume *v, struct segment_id id, const uint8_t *data, size_t len,
                       struct firn_error *err);

/* ---- footers.c ---- */
/* The footer of a segment that the manifest names. */
int volume_footer(struct volume *v, const struct manifest_segment *m, struct segment_footer **out,
                  struct firn_error *err);
/* Of a batch: whole rounds, from a row of the manifest on, as many as have room; one at least, if there is one. After an
 * error, too, to be closed. */
enum { FOOTERS_AT_ONCE = 64 };
struct footers {
	struct segment_footer *footer[FOOTERS_AT_ONCE];
	uint32_t n, end; /* the row behind them */
	uint64_t rev;    /* the last write that they tell of */
	uint64_t charged;
};
int footers_open(struct volume *v, uint32_t from, struct footers *f, struct firn_error *err);
void footers_close(struct volume *v, struct footers *f);
/* Those of the segments above `rev` become rows of the index, which is then at the manifest's cut. */
int footers_apply(struct volume *v, uint64_t rev, struct firn_error *err);
uint64_t footer_bytes(const struct manifest_segment *s);
uint64_t footers_share(
        const struct engine *e); /* of memory, for the footers of one batch or merge */

/* ---- layers.c ---- */
/* A task's work: merges what is due, or cleans (gc/clean.h), and puts it into the store. 1: progress. */
int layers_run(struct volume *v);
/* fetch() of a volume's layers; arg: the volume. */
int layers_fetch(void *volume, const struct manifest_layer *part, struct buf *object,
                 struct firn_error *err);
/* All that was acked is there. */
int volume_whole(const struct volume *v, const struct wal_found *found, struct firn_error *err);

/* ---- logs.c: logs in stores ---- */
bool logs_in_stores(const struct manifest *m); /* it names one */
/* The rows of an attach's manifest, and which log of ours it names. anew: nothing of what was named is wanted.
 * FIRN_ENOMEM. */
int logs_attach(struct volume *v, struct manifest *next, bool anew, uint64_t *log_no,
                uint64_t *position);
int logs_commit(struct volume *v, struct commit *c); /* of a commit's */
void logs_settled(struct volume *v, uint64_t log_no, uint64_t position, bool clean);
void logs_lost(struct volume *v, struct manifest *theirs);
bool logs_due(const struct volume *v);

/* ---- inherit.c ---- */
struct slots_now;
/* After the CAS: what the logs that the manifest names hold above what is stored goes into our own. own: our log before the
 * attach began. */
int volume_inherit(struct volume *v, const struct slots_now *own, uint64_t *bytes,
                   struct firn_error *err);
/* Changes nothing: all of what those logs hold can be read. */
int volume_inherit_check(struct volume *v, struct firn_error *err);
#endif
