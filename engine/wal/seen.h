/* What a walk over a WAL's records, in order, knows of each volume; tells whether its revs run
 * unbroken.
 *
 * Rules: within one incarnation (nonce) the revs of a volume's writes are dense, except below
 * rev_stored, which nobody needs; a new incarnation may begin at any higher rev. A file's table
 * says where each volume stood when the file began. Not thread-safe. */
#ifndef WAL_SEEN_H
#define WAL_SEEN_H
#include "engine/wal/record.h"
#include <stdbool.h>

struct wal_seen_volume {
	struct wal_volume_row row; /* row.rev follows the records */
	uint64_t nonce;            /* of its newest record, or of the table's row; 0 unknown */
	uint64_t first;            /* rev of its first record; 0 none */
	bool listed;               /* by the newest table */
};

struct wal_seen {
	const struct firn_env *env;
	struct wal_seen_volume *volume;
	uint32_t n, hint, n_gone;
	size_t cap;
	void (*problem)(void *arg, const char *text);
	void *arg;
};

void wal_seen_init(struct wal_seen *s, const struct firn_env *env,
                   void (*problem)(void *arg, const char *text), void *arg);
void wal_seen_fini(struct wal_seen *s);
/* One record of a verified group. follows: the walk has missed no file before this one (else a
 * table is believed without a comparison). 0 or FIRN_ENOMEM; problems go to the callback. */
int wal_seen_record(struct wal_seen *s, const struct wal_record *r, bool follows);
const struct wal_seen_volume *wal_seen_find(struct wal_seen *s, uint32_t volume_no);
#endif
