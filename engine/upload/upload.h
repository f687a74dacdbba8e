/* Inside the uploader: one thread at a time (or the stepper) runs all of it. */
#ifndef UPLOAD_UPLOAD_H
#define UPLOAD_UPLOAD_H
#include "engine/upload/round.h"

/* An attach or a detach on its way. */
struct upload_job {
	struct upload_job *next;
	struct completion to;
	bool detach, cancelled;
	uint64_t deadline_ns; /* 0 none */
	/* attach */
	char *uri, *name, *node, *takeover;
	uint64_t segment_bytes;
	uint32_t upload_interval_ms, attach_flags;
	/* detach */
	struct volume *v;
	uint32_t mode;
	bool recorded; /* the DETACH record is durable */
};
void job_take(struct engine *e, struct upload_job *j);
void job_free(struct engine *e, struct upload_job *j);

/* One try at one job; 1: it has ended and is freed, 0: it waits. */
int attach_run(struct engine *e, struct upload_job *j);
int detach_run(struct engine *e, struct upload_job *j);

/* commit.c: drives v->commit one step further. 1: progress; 0: waiting (retry_at_ns). */
int commit_step(struct volume *v);
/* Makes a commit without segments: the volume is marked clean. */
int commit_clean(struct volume *v, struct firn_error *err);
/* Next manifest of a volume: a copy of the settled one with seq + 1 and today's figures. */
int commit_next(struct volume *v, struct manifest *next);
void volume_fenced(struct volume *v);
/* A FENCE record, once: this WAL's writer of the volume has been replaced, its right to resume is over (S1). */
void note_fenced(struct engine *e, const uint8_t id[16], const char *name);
void retry_later(struct volume *v);

enum settled { SETTLED_MINE, SETTLED_UNCHANGED, SETTLED_FENCED, SETTLED_WRONG, SETTLED_UNKNOWN };
/* After anything but a clear success of a CAS: what does the store hold (PROTOCOL 7)? On MINE *version is
 * filled. */
enum settled settle(struct volume *v, const struct manifest *sent, struct store_version *version,
                    struct firn_error *err);
int volume_load(struct volume *v, const struct wal_found *found, uint64_t *replayed,
                struct firn_error *err);
int index_catch_up(struct volume *v, struct firn_error *err);
#endif
