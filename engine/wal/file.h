/* Inside the WAL: its files and its table. */
#ifndef WAL_FILE_H
#define WAL_FILE_H
#include "engine/wal/wal.h"

/* The writer's: makes the current file one in which a group of len, and a directory with `places` bytes more,
 * fit; writes directories, may switch. -errno. */
int wal_file_make_room(struct wal *w, uint32_t len, uint64_t places);
/* That would write nothing: the group fits as things are. */
bool wal_file_has_room(const struct wal *w, uint32_t len, uint64_t places);
/* The writer's: bytes of the log; flushed, unless the files are a cache. -errno. */
int wal_file_write(struct wal *w, void *file, const void *data, size_t len, uint64_t pos);
/* The writer's: the current range ends here, with its directory. Everything durable is published. -errno. */
int wal_range_close(struct wal *w);
/* Locked: groups at [from, to) of a file are all there. FIRN_ENOMEM. */
int wal_range_add(struct wal *w, struct wal_file *f, uint32_t from, uint32_t to, uint32_t at);
/* What a file is read with; w->readers is held shared around both. A log's is kept. An aside file's is opened
 * for this once: there may be more of those files than a process may have handles (P7). */
struct wal_reader {
	void *file;
	bool once;
};
/* FIRN_ENOENT: the file is gone. FIRN_ENOMEM, FIRN_EIO: it is there, but cannot be opened now; *sys
 * says why. */
int wal_reader_get(struct wal *w, uint64_t file_no, struct wal_reader *out, int *sys);
void wal_reader_put(struct wal *w, struct wal_reader *r);
void wal_publish_done(struct wal *w); /* commit.c: the unpublished group, if there is one */
/* Locked: rows of volumes that left cleanly, and of which no file holds a record, are dropped. */
void wal_table_sweep(struct wal *w);
/* While scanning, behind a TABLE: rows without its mark are none of it; `gone` replaces the list, and is the
 * WAL's to free. */
void wal_table_take(struct wal *w, const struct wal_table_head *h, uint32_t mark,
                    struct wal_gone *gone);
/* Locked: the file is needed until the volume's revs up to rev_last are stored; adds up. */
int wal_file_pin(struct wal *w, struct wal_file *f, const struct wal_pin *pin);
bool wal_file_needed(struct wal *w, const struct wal_file *f); /* locked */
struct wal_file *wal_file_find(struct wal *w, uint64_t file_no);
struct wal_volume_row *wal_row_at(struct wal *w, uint32_t volume_no);
int wal_sync_dir(struct wal *w); /* its names are durable */
int wal_file_open(struct wal *w, const char *path, uint32_t flags, void **file);
void wal_spare_path(const struct wal *w, uint64_t spare_no, char *out, size_t cap);
/* Locked: appends to an array of files. */
int wal_files_add(struct wal *w, struct wal_file **array, uint32_t *n, uint32_t *cap,
                  const struct wal_file *f);
void wal_poison(struct wal *w, int code, const char *what);
#endif
