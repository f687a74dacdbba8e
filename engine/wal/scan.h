/* Inside the WAL: reading all of it at open. See scan.c. */
#ifndef WAL_SCAN_H
#define WAL_SCAN_H
#include "engine/wal/file.h"

/* A file as its first pages tell. */
struct scan_file {
	uint64_t file_no, run, bytes;
	void *file; /* open, locked, synced */
	bool live;  /* begun: has a header of its own, or had one */
	bool header_bad;
	bool misnamed;       /* a whole header, of another number: once recycled, or not ours */
	uint32_t range_from; /* groups before it are in ranges */
	bool suspect;        /* aside: some place in it does not verify */
	bool sealed;         /* first group holds seals */
	struct wal_file_header header;
};
struct scan_state {
	struct wal *wal;
	struct wal_scan *scan;
	struct scan_file *file;
	uint32_t n_file, n_seal;
	struct scan_file *aside;
	uint32_t n_aside;
	struct wal_seal_body *seal; /* one of each run that was sealed: the newest word counts */
	size_t cap_seal;
	uint64_t last_sum, end_lsn; /* of the newest good group */
	uint64_t last_run;
	char foreign
	        [200]; /* a group that is whole and is not the one that stood there: where; else empty */
};

int scan_first_pages(struct wal *w, struct scan_file *f, struct firn_error *err);
int scan_seal_add(struct scan_state *s, const struct wal_seal_body *seal); /* FIRN_ENOMEM */
int scan_all(struct scan_state *s, struct firn_error *err);
#endif
