/* A slot of a log in a store: the bytes (FORMAT.md, "A log in a store") and the names.
 *
 *   slot = header (96) + a row (40) for each volume in it + one group, as in a file, without its padding
 *   seal = header alone: the log is the slots below it, whatever lands later */
#ifndef WAL_SLOTS_FORMAT_H
#define WAL_SLOTS_FORMAT_H
#include "engine/base/buf.h"
#include <firn/error.h>
#include <stdbool.h>

struct wal_group;
struct wal_group_header;

#define SLOTS_MAGIC UINT64_C(0x31544c534e524946) /* "FIRNSLT1" */
#define SLOTS_FORMAT 1u
#define SLOTS_HEAD 96u
#define SLOTS_ROW 40u
#define SLOTS_KEY_MAX 80u
/* A group is at most as long as the longest record and a little. */
#define SLOTS_MAX_BYTES ((size_t)160 << 20)

enum slots_kind { SLOTS_GROUP = 1, SLOTS_SEAL = 2 };

struct slots_head {
	uint8_t log_id[16];
	uint32_t kind, n_volume;
	uint64_t slot;
	uint64_t
	        acked; /* slots below were known to be in the log when this was made; of a seal: see below */
	uint64_t group_len; /* without its padding */
	uint64_t group_sum; /* header_sum of the group: what binds it to the slot */
};
struct slots_row {
	uint32_t volume_no; /* in the group's records */
	uint8_t id[16];
	uint64_t rev_first, rev_last;
};

/* A seal that a sweep put behind the last slot it saw (gc/open_logs.h): its acked is its own slot. A taker's is 0. */
bool slots_seal_of_sweep(const struct slots_head *h);

/* ".firn-wal/<log id>/<slot>": 32 and 16 hex digits. No volume's name can begin so. */
void slots_key(const uint8_t log_id[16], uint64_t slot, char key[SLOTS_KEY_MAX]);
/* False: it is no slot's. */
bool slots_key_parse(const char *key, uint8_t log_id[16], uint64_t *slot);
/* Header and rows; the group follows. Room for h->n_volume rows is taken from row. out->failed: no memory. */
void slots_encode(const struct slots_head *h, const struct slots_row *row, struct buf *out);
/* All of a slot's bytes but the group, checked: sums, lengths. *group: where it begins in data. FIRN_ECORRUPT,
 * FIRN_EUNSUPPORTED. */
int slots_decode(const uint8_t *data, size_t len, struct slots_head *out, const uint8_t **group,
                 struct firn_error *err);
/* The same of a beginning of it that holds header and rows; slots_head_len() says how much that is of what begins so. */
int slots_head_get(const uint8_t *data, size_t len, struct slots_head *out, struct firn_error *err);
size_t slots_head_len(const uint8_t *data, size_t len);
void slots_row_get(const uint8_t *data, uint32_t i, struct slots_row *out);
#endif
