/* Looking at a WAL from outside: verification and dumps for tools and tests. Read only; nothing
 * here locks, changes or replays anything. On a WAL in use the end of it moves while one looks. */
#ifndef WAL_INSPECT_H
#define WAL_INSPECT_H
#include "engine/wal/record.h"
#include <stdbool.h>

struct wal_report {
	const struct firn_env *env;
	uint8_t wal_id[16];
	uint64_t n_files; /* that belong to the log */
	uint64_t n_spare; /* ready for use, or left over: not of the log */
	uint64_t n_holes; /* gaps in the file numbers: recycled, or lost. Attach tells which */
	uint64_t n_aside, aside_bytes; /* files of writes that were moved out of the log */
	uint64_t n_groups, n_records, n_directories;
	uint64_t bytes;              /* of the valid groups, padding included */
	uint64_t run;                /* the newest */
	uint64_t first_lsn, end_lsn; /* first group; behind the last one. 0 without any */
	uint64_t n_problems;
	bool closed;     /* ends with an end mark */
	char note[400];  /* how it ends when not closed: torn, or just without a mark */
	uint32_t n_gone; /* volumes that left, and of which only id and rev are kept */
	uint32_t n_row;
	struct wal_volume_row *row; /* the table as it stands at the end */
};

/* Walks all files in order: file headers, groups with every byte in them, the chain of prev_sum
 * inside a file and into the next one, seals, revs of each volume, directories against the groups they
 * tell of. problem (may be NULL) gets one
 * line a find, each with file and position. 0: sound (a torn tail is sound, and noted).
 * FIRN_ECORRUPT: problems were found, *err holds the first; *out is filled as well. FIRN_ENOENT,
 * FIRN_EIO, FIRN_ENOMEM: could not look. wal_report_fini() in every case. */
int wal_verify(const struct firn_env *env, const char *wal_dir, struct wal_report *out,
               void (*problem)(void *arg, const char *text), void *arg, struct firn_error *err);
void wal_report_fini(struct wal_report *r);

/* The same walk for what the log holds: write() gets every write of every volume, those that lie aside last, with the
 * volume's row as it stands there (not its `rev`, which is moved on before). What was moved aside comes twice if the
 * file it came from is still there; groups behind damage come as well, problems are only counted (*err has the first,
 * in *out). Ends with what write() returns when that is above 0. FIRN_ENOENT, FIRN_EIO, FIRN_ENOMEM as above. */
typedef int (*wal_write_fn)(void *arg, const struct wal_report *so_far,
                            const struct wal_volume_row *row, const struct wal_record *r);
int wal_read(const struct firn_env *env, const char *wal_dir, struct wal_report *out,
             wal_write_fn write, void *arg, struct firn_error *err);

/* One file, annotated: offset, bytes of headers in hex, fields, an operation a line, payloads as
 * length and first bytes. Ends at the first place that holds no valid group and says why. */
int wal_dump(const struct firn_env *env, const char *path,
             void (*line)(void *arg, const char *text), void *arg, struct firn_error *err);
/* The same of a file image in memory; len is a multiple of 4096. */
void wal_dump_bytes(const uint8_t *file, size_t len, void (*line)(void *arg, const char *text),
                    void *arg);

/* A small WAL file that is the same on every machine: two volumes, every kind of operation. What
 * FORMAT.md shows, and a seed for fuzzers. Returns its length, at most WAL_SAMPLE_MAX; `file` is
 * 8-aligned. */
#define WAL_SAMPLE_MAX 32768u
size_t wal_sample(uint8_t *file);
/* An aside file of the same WAL: volume 1, its write 11. */
size_t wal_sample_aside(uint8_t *file);

/* The same of a slot of a log in a store, of any length; and one: slot 7, with the writes of the file above. The seal that
 * comes behind it. At most WAL_SAMPLE_MAX bytes. */
void wal_dump_slot(const uint8_t *slot, size_t len, void (*line)(void *arg, const char *text),
                   void *arg);
size_t wal_sample_slot(uint8_t *slot);
size_t wal_sample_seal(uint8_t *slot);
#endif
