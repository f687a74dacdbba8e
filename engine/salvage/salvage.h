/* Salvage: what an abandoned WAL acked goes back into the range that was given up for it (PROTOCOL S13).
 *
 *   WAL directory of the old writer --survey--> what the tail did by itself, whose producers and keys it has
 *   the volume above the range -----again-----> which of those were sent again since
 *   the tail once more ------------decide----> FILL records --round, commit--> extents at the old offsets
 *
 * The volume is attached as by any writer, so the owner has let it go. Only batches come back, whole, with the offset, rev,
 * epoch, times, key and producer that they had: no pairs, trims, deletions, configurations, and no state of producers
 * or keys. Offsets in between stay lost. Nothing but the lost range is touched (P10), and an offset that holds
 * something is left alone: so a salvage may end anywhere and be run again, and the second run finds nothing to do.
 *
 * A stream that the tail made is not known to the volume, and no range was given up for it. It is made again, under a new number
 * (S21) and by its name, or by another one if that is taken (made.c): with the configuration that it had last, from its start
 * on, its batches with offset, times, tag, attributes, key and producer; rev and epoch are of today, and producers and keys are
 * known by it as if they had sent to it. It is known again by what it holds; one that was deleted since, or trimmed to its end under
 * its old name, is not, and comes back once more. What is missing between two writes that were found reads as skipped there, and
 * what was sent to another stream of the name since is not compared.
 *
 * Blocks: reads the directory twice, more often if it has aside files, headers of the volume above the range where producers or
 * keys are in the tail, and what streams that were made again hold. Memory goes by the batches of the tail that have a producer or a
 * key, or are of a stream that the volume does not know. No other salvage of this volume at the same time,
 * and the volume is not detached meanwhile. */
#ifndef SALVAGE_SALVAGE_H
#define SALVAGE_SALVAGE_H
#include <firn/engine.h>
#include <firn/env.h>
#include <stdbool.h>

/* What came of a batch of the tail. */
enum salvage_fate {
	SALVAGE_PUT,      /* it is back; with dry_run: it would be */
	SALVAGE_THERE,    /* it was put back before */
	SALVAGE_AGAIN,    /* its producer or its key sent it again since */
	SALVAGE_UNWANTED, /* the tail itself trimmed it or deleted its stream */
	SALVAGE_TRIMMED,  /* the volume has trimmed it or deleted its stream since */
	SALVAGE_UNKNOWN, /* nothing says what stream it was of: the volume has none, and writes of the tail are missing */
	SALVAGE_ELSEWHERE, /* its offsets were not given up; of a stream that came back: they hold something else now */
	SALVAGE_FATES
};

struct salvage_count {
	uint64_t batches, records, bytes;
};

struct salvage_stream {
	uint64_t id;
	char name[256]; /* "" if it is not known any more */
	struct salvage_count of[SALVAGE_FATES];
	/* of one that was never stored: the stream that it is now, its name ("": the stream does not come back), and the offsets
	 * [from, to) of its batches there (0, 0: none). back 0: it would be made, dry_run */
	uint64_t back, from, to;
	char back_name[256];
};

struct salvage_report {
	const struct firn_env *env;
	uint32_t n_lost;              /* entries of the manifest that mean this WAL */
	uint64_t rev_first, rev_last; /* of the tail: writes found; 0: none */
	uint64_t
	        n_missing; /* between what is stored and rev_last, not found: damaged, or not in this directory */
	uint64_t n_left; /* operations that are not batches: not put back */
	struct salvage_count of[SALVAGE_FATES];
	struct salvage_stream *stream; /* those with batches in the tail, by id */
	uint32_t n_stream, _pad;
	char damage[400]; /* what is wrong with the directory; "": nothing */
};

struct salvage_opts {
	const struct firn_env *env; /* files of the directory */
	const char *wal_dir;        /* "<dir>/wal" */
	bool dry_run;               /* a read-only volume will do */
	bool in_use; /* nobody holds the directory still: only what its engine knows to be fenced */
	void (*progress)(void *arg, const struct salvage_report *so_far); /* may be NULL */
	void *arg;
};

/* On return *out is filled as far as it went; salvage_report_fini() in every case.
 *  FIRN_ENOENT       no such directory, or nothing of this WAL was given up of this volume: *err says which
 *  FIRN_EUNSUPPORTED the engine of that directory had its log in a store: it stays there (gc/logs.h)
 *  FIRN_EBUSY        in_use, and its engine does not know yet that the volume is another's, or its files moved: try again
 *  FIRN_ECONFLICT, FIRN_EEXIST    somebody writes a stream that is made again, or makes one of its name: run it again
 *  FIRN_ESTORE       the store is away; what was put back waits in this engine's WAL, run it again
 *  FIRN_EFENCED, FIRN_ESHUTDOWN, FIRN_EREADONLY    the volume takes no writes (any more)
 *  FIRN_ECORRUPT, FIRN_EIO, FIRN_ENOMEM, FIRN_ETOOBIG, FIRN_ENOSPC */
int salvage_run(struct firn_engine *engine, struct firn_volume *volume,
                const struct salvage_opts *opts, struct salvage_report *out,
                struct firn_error *err);
void salvage_report_fini(struct salvage_report *r); /* before the engine is closed */
#endif
