/* Rebuild: a volume whose manifest is gone, put together from the layers and segments that its store still has (PROTOCOL 19).
 *
 *   LIST layer/, seg/ --> what each says of itself: revs, parts --> runs that follow one another from rev 1 on,
 *   behind them the rounds that reach furthest --> a manifest, under an epoch that nobody has had
 *
 * Of runs of the same writes those are taken that name the fewest segments which are not there: what was rewritten
 * (gc/rewrite.h) may be named by an older run, its copies by one that no commit knew. Copies that no chosen run names are no
 * rounds: they say nothing of streams. And no index is caught up from footers behind a rebuild (rewrite_seq).
 *
 * Everything an object says is verified; one that is damaged is as good as not there. A write has one content for ever, so of
 * objects that tell of the same writes any will do: whether a commit ever named it does not matter.
 *
 * What cannot be known: which deletes and trims were not stored yet, so that what they took may be back; what was acked and
 * not stored; lost ranges that no stored round repeats. Therefore, without the WAL of the last writer, the rebuilt volume
 * begins with a lost range of its own: no offset is given again. With that WAL (`wal`) it is as after a crash: the writer
 * attaches it, and what it had acked is there.
 *
 * No writer may be alive: its next commit fails then, and it is fenced. Nothing is written here but *out. Blocks. */
#ifndef SALVAGE_REBUILD_H
#define SALVAGE_REBUILD_H
#include "engine/manifest/manifest.h"
#include "engine/salvage/logs.h"
#include "engine/store/store.h"
#include "engine/wal/record.h"
#include <firn/env.h>

/* So many attaches may have been without a stored round: ids of streams and segments are of an epoch. */
enum { REBUILD_EPOCHS = 1024 };
/* And so many abandons: the range of a rebuild holds theirs. */
enum { REBUILD_SKIPS = 16 };

struct rebuild_report {
	uint8_t volume_id[16];
	uint64_t rev_stored; /* of the rebuilt volume, before the lost range */
	uint64_t lost_to;    /* numbers of writes go on behind it; 0: no range was declared */
	int64_t newest_ms; /* when the newest object that is used was made: what was deleted since may be back */
	uint64_t n_layer,
	        n_segment; /* objects that are used; segments that layers name are among them */
	uint64_t n_unused; /* of the volume, for the same writes as others, or parts alone */
	uint64_t n_beyond,
	        beyond_rev; /* rounds behind a hole, and where the first begins: not used */
	uint64_t
	        n_absent; /* segments that layers name, and that are not there: emptied and deleted, or lost */
	uint64_t n_damaged,
	        n_foreign; /* not used: they do not verify; are of another volume, or no objects of firn */
	char damage[300]; /* the first of these; "": none */
	/* Of logs in the volume's store and in those of opts: writes above rev_stored. They are not rebuilt. */
	struct logs_report logs;
};

struct rebuild_opts {
	const struct firn_env *env;
	struct store *store;
	const char *name;               /* of the volume */
	struct store *const *log_store; /* others in which engines kept their logs (wal=store:) */
	uint32_t n_log_store;
	uint64_t
	        seq_min; /* a manifest that is there, and is to be replaced, has this number; 0: none */
	/* The WAL of its last writer: its id and table; NULL: not at hand. */
	const uint8_t *wal_id;
	const struct wal_volume_row *wal;
	uint32_t n_wal;
};

/*  FIRN_ENOENT       there is nothing of such a volume
 *  FIRN_ECONFLICT    the WAL is not that of the last writer, or knows of more than is stored: *err says what
 *  FIRN_EUNSUPPORTED an object is of a later release
 *  FIRN_ESTORE, FIRN_ENOMEM */
int rebuild_run(const struct rebuild_opts *opts, struct manifest *out,
                struct rebuild_report *report, struct firn_error *err);
#endif
