/* Inside attach: what an attach knows so far. meet.c compares and changes nothing, raise.c makes us the writer,
 * resume.c goes on without the store. */
#ifndef UPLOAD_ATTACH_H
#define UPLOAD_ATTACH_H
#include "engine/upload/upload.h"
#include "engine/wal/slots.h"

struct attach {
	struct engine *e;
	struct upload_job *job; /* NULL: a resumed volume whose store is back */
	struct volume *v;
	struct wal_volume_row row;
	bool known, create; /* the WAL's table has it; there is no manifest */
	bool resumed;
	bool gone; /* what was acked above rev_stored is not here, or not whole: it can be given up */
	bool abandon; /* and is */
	struct firn_lost lost;
	struct wal_found *found,
	        found_copy; /* the groups stay the scan's until the volume has joined */
	uint8_t nonce
	        [16];   /* of the writer that this becomes: the volume's once the CAS is settled */
	uint64_t epoch; /* its number */
	uint64_t rev_durable; /* newest durable write, for the manifest */
	uint64_t replayed;
	struct slots_now own;          /* our log in a store, before anything was changed */
	uint64_t log_no, log_position; /* of our log in a store, as its manifest names it */
	int64_t last_commit_ms;
	struct firn_error *err;
};

/* ---- meet.c ---- */
/* Of a store that has no manifest of it: create is set, if that may be. */
int attach_read_manifest(struct attach *a);
bool id_is_zero(const uint8_t id[16]); /* of a volume or a nonce: none */
bool nonce_is_mine(const struct wal_volume_row *row, const uint8_t nonce[16]);
/* Where the WAL lies now is where it lay when the volume was attached last, or takeover=moved. */
int attach_check_identity(struct attach *a);
/* What the scan found of the volume, into *found. */
void attach_find(struct attach *a);
int attach_check_wal(struct attach *a);
int attach_check_index(struct attach *a);

/* ---- attach.c ---- */
/* FIRN_EBUSY: this engine has the volume of manifest.volume_id, or is attaching it. */
int attach_already_here(struct attach *a);

/* ---- abandon.c ---- */
/* takeover=abandon, after a refusal that leaves no other way. 0: it is given up now; ATTACH_WAITS: the owner is watched,
 * asked again later; < 0: refused. Nothing is changed. */
enum { ATTACH_WAITS = 1 };
int abandon_judge(struct attach *a);
/* What the manifest says of it. */
int abandon_declare(const struct attach *a, struct manifest *next);

/* ---- raise.c ---- */
int attach_identity(struct attach *a, struct firn_identity *out);
/* A nonce, durable in the WAL before the store hears of it. */
int attach_write_intent(struct attach *a);
/* The CAS with it. FIRN_EFENCED: another one came first, perhaps a late one of this WAL's. */
int attach_raise_epoch(struct attach *a);

/* ---- resume.c ---- */
/* May the volume go on without its store? NULL, or why not; *row, known, found are filled. */
const char *resume_refused(struct attach *a);
int resume_begin(struct attach *a);
/* A volume that resumed below what the manifest says is stored: killed between the two, the index is behind. What it
 * holds in memory up to a later cut; then, when the index has that cut, the marks move. */
struct resume_cut {
	uint64_t rev, bytes;
	struct volume_group last;
};
int resume_measure(struct volume *v, uint64_t rev, struct resume_cut *out, struct firn_error *err);
void resume_stored(struct volume *v, struct segment_footer *const *footer, uint32_t n,
                   const struct resume_cut *cut);
/* The right of a resumed volume is settled with the store, and the volume raised to an epoch of its own: a task's
 * work. 1: progress; 0: later. */
int resume_run(struct volume *v);
#endif
