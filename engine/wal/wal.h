/* The engine's log: group commit into recycled files, shared by all volumes.
 *
 *   wal_reserve --caller copies--> wal_filled ... wal_step: seal, write + flush, publish, switch file
 *
 * Locks: wal.lock guards everything below "guarded"; it is taken inside a volume's lock, never around
 * it. One thread at a time runs wal_step. Group memory is reference counted by chunk: the same bytes go
 * to the disk, serve tail readers and feed the builder. */
#ifndef WAL_WAL_H
#define WAL_WAL_H
#include "engine/base/account.h"
#include "engine/wal/directory.h"
#include "engine/wal/record.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

struct volume;
struct engine;

/* Aligned memory that holds one or more whole groups back to back. */
struct wal_chunk {
	atomic_uint refs;
	uint32_t used;
	size_t cap;
	uint8_t *data;
	struct account *account;
};

/* Which revs of a volume a group carries: what publish and the builder need. */
struct wal_span {
	struct volume *volume;
	uint8_t id[16]; /* of the volume */
	uint32_t volume_no, n_records;
	uint64_t rev_first, rev_last, bytes;
};

struct wal_group {
	struct wal_group *next;
	struct wal_chunk *chunk;
	uint8_t *data;                       /* chunk->data + its place */
	uint32_t used, room, n_records, len; /* len: padded, once sealed */
	uint32_t flags;                      /* of a group without records */
	atomic_uint n_filling;               /* records reserved whose bytes are not there yet */
	bool closed;
	uint64_t charged; /* of wal.pending */
	uint64_t places;  /* of that, what its directory will take at most */
	uint64_t seq,
	        lsn; /* seq: number within this opening, tells groups apart before they have an LSN */
	uint32_t n_span, cap_span;
	struct wal_span *span;
};

/* Groups at [from, to) of a file. at: of their directory; 0: none, they are looked through one by one. */
struct wal_range {
	uint32_t from, to, at;
};

struct wal_file {
	uint64_t file_no, run;
	void *file;    /* writes, O_DIRECT where it can be; aside: NULL */
	void *reader;  /* reads, through the page cache; opened when first needed; aside: NULL */
	bool has_seal; /* it begins a run, with the seals of the older ones */
	bool stays;    /* aside: gets no further write */
	bool writing;  /* aside: under way */
	uint64_t bytes, last_sum; /* aside: so far, and header_sum of its last group */
	uint32_t directory_len;   /* aside: of its last group, when that is a directory */
	uint64_t
	        epoch; /* aside, of this run: of its writer; another writer's writes begin another */
	uint64_t
	        source_no; /* aside: the newest file out of which this run moved something into it */
	struct wal_range *range; /* stretches of it whose groups are all there, in order */
	uint32_t n_range, cap_range;
	uint32_t n_pin, cap_pin;
	struct wal_pin {
		uint32_t volume_no, _pad;
		uint64_t rev_first, rev_last, bytes;
	} * pin; /* what it holds per volume */
};

struct wal_opts {
	uint64_t wal_bytes, file_bytes;
	uint64_t pending_bytes; /* bound on group memory not yet durable, and on one record */
	uint64_t tail_bytes;    /* bound on durable groups kept in memory */
	uint32_t group_bytes,
	        chunk_bytes; /* whole pages. A write is at most one group; memory comes in chunks */
	uint32_t directory_bytes; /* bound on the places that wait for their directory */
	bool direct;
	bool cache; /* files are a disposable copy of what lies in slots: not flushed, begun anew at each opening */
};

struct slots;
struct os_dir;

struct wal {
	struct slots *slots;        /* the log in a store, slots.h; NULL: the files are the log */
	const struct firn_env *env; /* the account's */
	struct account *account;
	struct engine *engine;
	struct wal_opts opts;
	char dir[4096];
	struct os_dir
	        *held; /* to make its names durable whoever has the descriptors; may be NULL */
	uint8_t wal_id[16], run_nonce[16];
	uint64_t run;
	pthread_mutex_t lock;
	pthread_rwlock_t readers; /* held shared while a file's reader is in use */
	pthread_cond_t work;      /* something to write */
	pthread_cond_t done;      /* durable_seq rose, or the WAL is poisoned */

	/* guarded */
	struct wal_chunk *chunk;   /* the newest: the next group begins behind its last */
	struct wal_group *filling; /* NULL or open for reserve */
	struct wal_group *closed_first, *closed_last; /* waiting to be written, oldest first */
	uint64_t group_seq, pending;                  /* pending: bytes reserved, not yet durable */
	struct wal_group **tail;                      /* ring of durable groups in memory, by lsn */
	uint32_t tail_head, tail_n, tail_cap;
	uint64_t tail_used;
	struct wal_file *file; /* in use, by file_no; last = current */
	uint32_t n_file, cap_file;
	struct wal_file *spare; /* zero-filled or recycled, ready */
	uint32_t n_spare, cap_spare;
	uint32_t n_files_max;   /* without aside files */
	struct wal_file *aside; /* by file_no; one volume's each, see aside.h */
	uint32_t n_aside, cap_aside;
	uint64_t next_aside_no, aside_bytes, n_moved; /* n_moved: rises when something was moved */
	uint32_t n_holding; /* attaches that read the log now, see wal_hold() */
	uint64_t n_held;
	uint32_t aside_fails; /* in a row; only the mover's */
	uint64_t aside_retry_ns;
	uint64_t next_file_no, next_spare_no;
	struct wal_volume_row *row; /* the table; a volume's number indexes nothing, search it */
	uint32_t n_row, cap_row, next_volume_no;
	struct wal_gone *gone; /* what stays of dropped rows; oldest first */
	uint32_t n_gone, cap_gone;
	uint64_t table_bytes; /* of both as a record */
	bool wrote_since_idle, waiting;
	atomic_bool poisoned, stopping; /* set under the lock, asked anywhere */
	bool no_room; /* the disk refused a new file; tried again after a second */
	char poison_text[200];
	uint32_t gather_n; /* the writer waits until the group has as many records; 0 not */
	uint64_t durable_seq, last_write_ns, no_room_ns;
	uint64_t place_bytes; /* what the directory of the current range takes at most */
	uint64_t ahead,
	        ahead_places; /* slots: bytes behind pos that are written and not yet durable; their places */
	uint32_t range_from; /* the current range: [range_from, pos) of the current file */
	uint64_t n_directories, n_ranges;       /* metrics; n_ranges: closed so far */
	uint64_t n_groups, n_bytes, n_flush_ns; /* metrics */

	/* only the writer (wal_step); pos is also read under the lock */
	uint64_t pos, durable_lsn, last_sum, write_began_ns;
	struct wal_group *in_flight;
	struct wal_group *unpublished; /* durable; its places have not been told yet */
	struct wal_places places;      /* of the current range */
	bool places_miss;              /* not all of them: no memory, or a volume failed */
	uint32_t directory_len;        /* of the group written last, when that was a directory */
	void *current;                 /* file in use, and its number */
	uint64_t current_no;
	bool sync_io; /* write_start blocks: publish before the next write, not during it */
	bool written; /* the group in flight is on the disk already */
	uint32_t
	        last_calls; /* blocked callers told by the group published last: they will be back */
};

/* ---- opening (open.c, scan.c) ---- */

/* What the scan found of one volume. */
struct wal_found {
	uint32_t volume_no;
	bool aside; /* some of it lies in aside files: met first, and again where it was moved from */
	uint64_t rev_last; /* newest record seen, or rev that a table or an intent gave; 0 none */
	uint64_t run_first,
	        run_last; /* records that are there without a gap, up to the newest; 0 none */
	uint64_t seen;    /* number of the group that showed rev_last */
	uint64_t
	        missing; /* revs up to this one are missing somewhere below; UINT64_MAX: its end is in */
	                 /* doubt after damage; 0 none. Harmless at or below rev_stored */
	char why[300];    /* which file and position */
	char suspect[84]; /* a place in its aside files that does not verify */
};
struct wal_scan {
	uint32_t n_found, cap_found;
	struct wal_found *found;
	uint64_t bytes, n_groups;
	uint64_t damage_at; /* 1 + number of groups seen before the last damage; 0 none */
	char damage[200];
};

/* Locks all files, flushes, scans, seals the old tail in a new file (PROTOCOL 4). *scan belongs to the
 * caller (wal_scan_fini). FIRN_EBUSY: another process has the WAL. */
int wal_open(struct wal *w, struct account *account, struct engine *engine, const char *dir,
             const struct wal_opts *opts, struct wal_scan *scan, struct firn_error *err);
/* The last part of opening, shared with a switch: the next file's header, table and seals. */
int wal_file_begin(struct wal *w, const struct wal_seal_body *seal, uint32_t n_seal,
                   struct firn_error *err);
void wal_scan_fini(struct wal_scan *scan, const struct firn_env *env);
struct wal_found *wal_scan_find(struct wal_scan *scan, uint32_t volume_no);
void wal_close(struct wal *w, bool end_mark);

/* ---- writing ---- */
struct wal_slot {
	struct wal_group *group;
	uint32_t pos;
	bool wake; /* the writer sleeps: wake it once the bytes stand, not to watch them being copied */
};
/* Room for a record of len bytes (padded to 8) with n_ops operations, in order of calls. With the volume's
 * lock held. Control records (no volume) may use the reserve that user writes leave alone. FIRN_EFULL,
 * FIRN_ETOOBIG, FIRN_EUNKNOWN (poisoned). */
int wal_reserve(struct wal *w, uint32_t len, uint32_t n_ops, struct volume *volume,
                uint32_t volume_no, uint64_t rev, struct wal_slot *out);
/* A user's record of len bytes would be taken now, and not as the last one. */
bool wal_has_room(struct wal *w, uint64_t len);
/* The record's bytes stand: the group may go once all have come. */
void wal_filled(struct wal *w, struct wal_slot *slot);
/* One step: 1 = something was done, 0 = nothing to do. */
int wal_step(struct wal *w);
/* Waits until wal_step has something to do or timeout; writes the idle group when due. */
void wal_wait(struct wal *w);
/* A control record, durable on return (waits for the writer; in no-threads mode drives wal_step). */
int wal_control(struct wal *w, uint16_t type, const struct wal_volume_row *row,
                struct firn_error *err);
/* Zero-fills or adopts a spare file when fewer than wanted are ready; 1 = did something. */
int wal_prepare(struct wal *w);
int wal_prepare_all(struct wal *w); /* one more, until all of wal_bytes is there */
/* Frees files in which no volume has a record above its row's rev_stored. 1 = freed something. */
int wal_recycle(struct wal *w);
uint64_t wal_free_bytes(struct wal *w);
uint64_t wal_used_bytes(struct wal *w);
/* The largest record of so many operations that can be written. */
uint32_t wal_record_max(const struct wal *w, uint32_t n_ops);

/* ---- table of volumes (with wal.lock held inside; copies) ---- */
int wal_row_find(struct wal *w, const uint8_t id[16],
                 struct wal_volume_row *out); /* 0 or FIRN_ENOENT */
int wal_row_find_name(struct wal *w, const char *uri, const char *name, struct wal_volume_row *out);
/* Of a volume whose row was dropped: the rev at which it left; 0: none is known. By id, by name. */
uint64_t wal_gone_rev(struct wal *w, const uint8_t id[16]);
bool wal_gone_name(struct wal *w, const char *uri, const char *name);
/* By id; a new one gets its volume_no. FIRN_EFULL: the table would take too much of every file. */
int wal_row_set(struct wal *w, struct wal_volume_row *row);
/* One that no volume has had in this WAL. */
uint32_t wal_volume_no_new(struct wal *w);
/* Sets flags of a row that stays as it is otherwise. *changed: they were not set. FIRN_ENOENT. */
int wal_row_mark(struct wal *w, const uint8_t id[16], uint32_t flags, struct wal_volume_row *out,
                 bool *changed);
void wal_row_stored(struct wal *w, uint32_t volume_no, uint64_t rev_stored);

/* ---- places (places.c, find.c) ---- */
/* The writer, while it publishes a group: a place for its directory. Returns what wal_place_more() takes when
 * the same stream has more in the same group. */
size_t wal_place_note(struct wal *w, const struct wal_place *p);
void wal_place_more(struct wal *w, size_t at, uint64_t end, uint32_t op);
void wal_place_miss(struct wal *w); /* the current range gets no directory */
/* No group in memory and none without a directory lies before this LSN; *n_ranges rises with every range. */
uint64_t wal_recent(struct wal *w, uint64_t *n_ranges);
struct wal_query {
	uint32_t volume_no, _pad;
	uint64_t stream, from; /* stream 0: the volume's writes, by rev */
	uint64_t hint;         /* an LSN: nothing before it is wanted */
};
/* Durable places of a stream, in order, the first being the one that holds `from` or begins above it; up to
 * max of them, more may follow. *n = 0: there is none. Blocks: reads directories, and groups where there is
 * no (good) one. FIRN_EIO, FIRN_ENOMEM. */
int wal_find(struct wal *w, const struct wal_query *q, struct wal_place *out, uint32_t max,
             uint32_t *n, struct firn_error *err);

/* ---- reading ---- */
/* A durable group by LSN, from memory; NULL if it is not there. The chunk is referenced for the caller. */
struct wal_view {
	struct wal_chunk *chunk;
	const uint8_t *group;
	uint32_t used;
};
int wal_view_tail(struct wal *w, uint64_t lsn, struct wal_view *out); /* 0 or FIRN_ENOENT */
/* From disk, verified whole (blocks). `len` is the padded length. FIRN_ECORRUPT names file and position. */
int wal_view_load(struct wal *w, uint64_t lsn, uint32_t len, struct wal_view *out,
                  struct firn_error *err);
/* The file with this LSN is there, in the log or aside. */
bool wal_has_file(struct wal *w, uint64_t lsn);
struct wal_chunk *wal_chunk_new(struct account *account, size_t cap);
void wal_chunk_retain(struct wal_chunk *c);
void wal_chunk_release(struct wal_chunk *c);
#endif
