/* Directories: where, in a stretch of one WAL file, each stream's batches and each volume's writes lie.
 * A directory is a group of its own with one record, so the chain, the torn-or-rotten rule, verification
 * and recycling are those of any group (FORMAT.md, "Directories").
 *
 *   ... groups of [from, to) ... | directory of [from, to) | groups ...
 *
 *   directory = group header, record header, head, index | page | page ...
 *   index     = first place and checksum of each page: a look-up reads the index and one page */
#ifndef WAL_DIRECTORY_H
#define WAL_DIRECTORY_H
#include "engine/wal/record.h"
#include <stdbool.h>

#define WAL_DIRECTORY_HEAD 16u
#define WAL_DIRECTORY_INDEX 32u /* of a page */
#define WAL_PLACE_LEN 40u
#define WAL_PAGE_PLACES 102u
/* What a place costs at most when a directory has many, and what any directory may waste. */
#define WAL_PLACE_CHARGE 43u
#define WAL_DIRECTORY_WASTE (2u * WAL_PAGE)

/* One group that holds appends of a stream: offsets [base, end) and the last of them, from which they link
 * back. Stream 0: one group that holds writes of a volume: revs [base, end), op = bytes of their records. */
struct wal_place {
	uint32_t volume_no, op;
	uint64_t stream, base, end, lsn; /* of the group */
	uint32_t len, _pad;              /* padded */
};

struct wal_directory {
	uint32_t from, to, n_place, n_page; /* positions in the file; to: of the directory itself */
	const uint8_t *index, *page;        /* page: NULL when only the index was read */
};

/* Group bytes that a directory of n places takes. */
uint64_t wal_directory_len(uint32_t n_place);
/* Fills a group image of wal_directory_len(n) zeroed bytes but for its header; sets *used. `place` in order
 * of the log (it is not changed). FIRN_ENOMEM: for sorting. FIRN_EINVAL: the offsets of
 * a stream go back, no directory can tell of both. */
int wal_directory_put(const struct firn_env *env, uint8_t *group, const struct wal_place *place,
                      uint32_t n, uint32_t from, uint32_t to, uint32_t *used);
/* The record of a DIRECTORY group: index without pages (have: bytes of it in memory, from the record's
 * header) or all of it. Bounded; 0 or FIRN_ECORRUPT. Sums of pages are the caller's. */
int wal_directory_get(const uint8_t *record, size_t have, struct wal_directory *out);
/* Everything a directory must be, pages included. NULL, or what is wrong. */
const char *wal_directory_check(const uint8_t *group, const struct wal_record *r);
uint64_t wal_directory_page_sum(const struct wal_directory *d, uint32_t page);
/* Places on a page; the i-th. file_no << 32 is added to its position. */
uint32_t wal_directory_page_n(const struct wal_directory *d, uint32_t page);
void wal_place_get(const uint8_t *page, uint32_t i, uint64_t file_no, struct wal_place *out);
/* The page on which the first place of (volume_no, stream) that ends above `from` lies, or the one before. */
uint32_t wal_directory_find(const struct wal_directory *d, uint32_t volume_no, uint64_t stream,
                            uint64_t from);

/* Places of a verified group, added to `place` in order of the records: what its directory must say. */
struct wal_places {
	const struct firn_env *env;
	struct wal_place *place;
	size_t n, cap;
};
int wal_places_of_group(struct wal_places *p, const uint8_t *group,
                        const struct wal_group_header *h);
#endif
