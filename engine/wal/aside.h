/* Aside files: where the needed rest of a mostly dead WAL file goes, so that the file can be used again
 * (FORMAT.md, "Aside files"). A file holds writes of one volume, in order; those in aside files come before
 * those in WAL files. */
#ifndef WAL_ASIDE_H
#define WAL_ASIDE_H
#include "engine/wal/file.h"

/* One step of moving: at most one volume's writes out of one file. 1 = a file needs one volume less. One
 * thread at a time, none but the lists' locks held. Blocks: reads and writes the disk. */
int wal_aside_step(struct wal *w);
/* Aside files in which nothing is needed go; one a call, 1 = did. */
int wal_aside_remove(struct wal *w);
/* Around the reading of a volume that has no lists in memory yet: files stay, so that lists made meanwhile are
 * right when it joins the engine. Nests; any thread. */
void wal_hold(struct wal *w, bool on);

/* Locked: how many files of the log wal_bytes leaves room for beside the aside files. */
uint32_t wal_files_max(const struct wal *w);
/* Locked: what is admitted has room without the newest spare, too. */
bool wal_spare_idle(const struct wal *w);
/* Locked: writes of the volume up to this one lie in aside files; 0 none. */
uint64_t wal_aside_rev(const struct wal *w, uint32_t volume_no);

/* One group after another out of records of many (aside_put.c). */
struct aside_put {
	struct wal *w;
	struct wal_volume_row row;
	uint64_t file_no, source_no; /* file_no: in w->aside; 0: none begun */
	void *file;                  /* open and locked as long as this writes to it, no longer */
	bool write_failed;
	uint8_t *image; /* room bytes */
	uint32_t room, used, n_records;
	uint64_t rev_first; /* of the group in the making */
	uint32_t range_from;
	struct wal_places places; /* of the current range */
	struct aside_link {
		uint64_t stream;
		uint32_t pos, _pad;
	} * link; /* where each stream's newest operation in the group is; open addressing */
	uint32_t n_link, cap_link;
};
/* source_no: the file out of which they come. FIRN_ENOMEM. */
int aside_put_open(struct aside_put *p, struct wal *w, const struct wal_volume_row *row,
                   uint64_t source_no);
/* FIRN_EFULL: wal_bytes has no room for it now. FIRN_ENOSPC, FIRN_EIO, FIRN_ENOMEM. */
int aside_put_record(struct aside_put *p, const struct wal_record *r);
/* What was put is durable, and found by wal_find(). */
int aside_put_finish(struct aside_put *p);
void aside_put_close(struct aside_put *p);
#endif
