/* A file system on a platter (platter.h), in name spaces of its own: what is mounted here nobody
 * else sees, and it goes with the processes, however they end. Nothing is left on the machine, and
 * runs side by side do not meet.
 *
 *   disk_isolate()   new mount and process name space; scratch space in memory at disk_root()
 *   disk_make()      the platter's process, a fresh file system
 *   disk_on()        power on, loop device, mount (the file system replays its journal)
 *   disk_arm()       the power will go
 *   disk_back()      it is back, and nobody has noticed: a disk that failed for a while
 *   disk_off()       after that: what is mounted is torn down
 *
 * Whatever fails here ends the process: with 77 and one line if this machine cannot do it at all (1
 * if CI is set in the environment), with 2 if the machine could. */
#ifndef DISK_H
#define DISK_H
#include "tests/power/platter.h"

enum { DISK_CANNOT = 77, DISK_BROKEN = 2 };

struct disk {
	const char *fs; /* ext4, ext4-4k, xfs, btrfs */
	struct platter_counts *counts;
	char mnt[64]; /* where the file system is, while the power is on */
	char fuse[64];
	uint32_t sector;
	enum cut_kind kind; /* of the last cut, and its seed */
	uint64_t seed;
	uint64_t n_on; /* times that the power came back */
};

/* Returns in a child that is process 1 of its own name space; the caller itself waits for it and
 * ends with its result. */
void disk_isolate(void);
/* A directory that outlives cuts, and ends with this process. */
const char *disk_root(void);

void disk_make(struct disk *d, const char *fs);
void disk_on(struct disk *d);
void disk_arm(struct disk *d, enum cut_kind kind, uint64_t seed, uint64_t after);
void disk_back(struct disk *d);
void disk_off(struct disk *d);
/* Any of the kinds that this file system survives by its own promises. */
enum cut_kind disk_cut_kind(const struct disk *d, uint64_t *state);

static inline bool disk_is_off(const struct disk *d)
{
	return atomic_load(&d->counts->off);
}

/* Ends the process as said above: this machine cannot. */
_Noreturn void disk_cannot(const char *what, int err);
/* "disk: ..." and exit DISK_BROKEN, with errno's text if err is not 0. */
_Noreturn void disk_fail(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#endif
