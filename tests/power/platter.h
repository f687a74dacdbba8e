/* The platter: a disk whose write cache is lost when the power is cut.
 *
 *   engine ─► ext4, xfs, btrfs ─► loop device ─► FUSE file "disk" ─► cache ─(flush)─► stable
 *
 *   platter.c        what is on the medium, what waits in the cache, what a cut does to that
 *   platter_fuse.c   serves it as a file through FUSE, in a process of its own
 *
 * A write is answered once it is in the cache; reads see it. A flush takes up to two milliseconds, in
 * which other writes come in, and brings to the medium what was in the cache when it began. A cut
 * keeps of the un-flushed writes what its kind and seed say, and from then on everything fails with
 * EIO until the power is on again. Whoever opened the file before the cut gets EIO for ever: a file
 * system that lingers cannot write to the disk of the next one.
 *
 * The counters lie in memory that server and test share. */
#ifndef PLATTER_H
#define PLATTER_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What of the un-flushed writes is on the medium after a cut. */
enum cut_kind {
	CUT_DROP,     /* nothing */
	CUT_PREFIX,   /* the first so many, in order */
	CUT_SUBSET,   /* any of them: reordered */
	CUT_TEAR_4K,  /* any 4 KiB of any of them */
	CUT_TEAR_512, /* any sector of any of them */
	CUT_TORN_END, /* the first so many, and of the next some sectors from its start or end */
	CUT_KINDS
};

struct platter_counts {
	atomic_uint off; /* 1: the power is cut */
	atomic_ulong n_write, n_flush, n_cut;
	atomic_ulong n_hit;     /* cuts that met un-flushed writes */
	atomic_ulong n_pending; /* writes in the cache now */
	atomic_ulong n_lost,
	        n_kept;      /* un-flushed writes at cuts: lost whole or in part; kept whole */
	atomic_ulong n_torn; /* of the lost: kept in part */
};

struct platter; /* of the server */

/* NULL: no memory. `counts` lies in shared memory, zeroed. */
struct platter *platter_make(uint64_t bytes, struct platter_counts *counts);
uint64_t platter_bytes(const struct platter *p);
/* All return 0 or a negative errno. */
int platter_read(struct platter *p, void *buf, size_t len, uint64_t pos);
int platter_write(struct platter *p, const void *buf, size_t len, uint64_t pos);
/* A flush begins (*mark says what it covers) and ends. */
int platter_flush_begin(struct platter *p, uint64_t *mark);
int platter_flush_end(struct platter *p, uint64_t mark);
/* Commands, one a call, as text:
 *	cut KIND SEED AFTER   the power goes with the AFTERth write or flush from now; 0: at once
 *	on                    what was un-flushed is gone; new opens see what is left */
int platter_command(struct platter *p, const char *text);
/* Rises with every "on". */
uint64_t platter_life(const struct platter *p);

/* Serves `dir`/disk and `dir`/control until it is unmounted; `ready` gets one byte when mounted.
 * Returns 0, or 1 after saying why on stderr. */
int platter_serve(struct platter *p, const char *dir, int ready);
#endif
