/* A disk that loses what was not flushed. One per node; it outlives the process that writes to it.
 *
 *   write ─► page cache / device cache (what reads see) ─ sync ─► platter (what a power cut leaves)
 *   names ─► what the process sees                      ─ sync_dir ─► what a power cut leaves
 */
#ifndef SIM_DISK_H
#define SIM_DISK_H
#include "tests/sim/world.h"

struct disk;
struct disk *disk_new(uint32_t node, uint64_t bytes);
/* The file operations; ctx is a struct node (node.h), whose disk it is. */
extern const struct firn_files disk_files;
/* The process is gone: its locks go, its writes under way are dropped or land later; with the power they are where
 * un-flushed writes are. */
void disk_killed(struct disk *d, uint32_t process, bool power);
/* And the power: what was not flushed is kept, dropped or torn, by chance. */
void disk_power_cut(struct disk *d);
uint64_t disk_used(const struct disk *d); /* bytes of all files */
bool disk_busy(const struct disk *d);     /* a write is on its way */
/* Flips a bit in a file of the WAL that holds data; false: there is none. */
bool disk_rot(struct disk *d);
/* Flips a bit in the last place of a WAL file that holds these bytes; false: there is none. */
bool disk_rot_at(struct disk *d, const void *bytes, size_t len);
/* The WAL file that holds these bytes is gone; false: there is none. */
bool disk_lose(struct disk *d, const void *bytes, size_t len);
/* From a copy that went its own way: these bytes, in pages, in the file and place where the copy has them; `whole`: all
 * of that file. False: the copy has them not, or in no file that is here. */
bool disk_graft(struct disk *d, const struct disk *from, const void *bytes, size_t len, bool whole);
/* A snapshot of what is on the platter, as the disk of `node`; paths below `dir` are below `as` there. */
struct disk *disk_copy(const struct disk *d, uint32_t node, const char *dir, const char *as);
#endif
