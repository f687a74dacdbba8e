/* Inside the WAL: groups between admission and the disk. All with wal.lock held, but free. */
#ifndef WAL_GROUP_LIST_H
#define WAL_GROUP_LIST_H
#include "engine/wal/wal.h"

struct wal_group *wal_group_take(struct wal *w);                /* oldest closed, or what gathers */
struct wal_group *wal_group_begin(struct wal *w, uint32_t len); /* room for one record of len */
/* Not locked, the writer's: waits for the bytes; seals the group behind what is written so far: makes room in
 * the file, gives it its LSN. -errno. */
void wal_group_filled(const struct wal_group *g);
int wal_group_finish(struct wal *w, struct wal_group *g);
int wal_note_durable(struct wal *w, struct wal_group *g); /* -errno; then it may be published */
void wal_group_free(struct wal *w, struct wal_group *g);
#endif
