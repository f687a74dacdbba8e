/* Keys and values of the index's one table; the bytes are in FORMAT.md.
 *
 *   key    number u32 BE | table u8 | stream u64 BE | rest      (number 0: what is not a volume's)
 *   value  sum u64 LE | fields, LE                               sum covers key and fields
 *
 * A value is built in a struct buf and sealed with its key; a value that was read is opened with
 * its key, which compares the sum before a field is looked at. Codecs fail with FIRN_ECORRUPT and
 * name the row. */
#ifndef INDEX_ROWS_H
#define INDEX_ROWS_H
#include "engine/base/buf.h"
#include "engine/index/index.h"

enum {
	INDEX_FORMAT = 1,      /* version in the meta row */
	INDEX_KEY_MAX = 511,   /* LMDB's limit; ours end at 13 + 255 */
	INDEX_KEY_HEAD = 5,    /* number, table */
	INDEX_KEY_STREAM = 13, /* number, table, stream */
	INDEX_WINDOW_MAX = 16, /* batches of a producer that are kept */
	INDEX_TEXT_MAX = 160,
};

enum index_table {
	INDEX_META = 1,
	INDEX_VOLUME = 2,
	INDEX_DROP = 3,
	INDEX_FILL = 4, /* number 0 */
	INDEX_STREAM = 16,
	INDEX_GAP = 17,
	INDEX_KV = 18,
	INDEX_PRODUCER = 19,
	INDEX_KEY = 20,
	INDEX_SEGMENT = 21,
	INDEX_EMPTY = 22,
	INDEX_EXTENT = 23, /* the last of a number: base.c */
};

struct index_key {
	uint8_t data[INDEX_KEY_MAX];
	uint32_t len;
};

void index_key_head(struct index_key *k, uint32_t number, enum index_table table);
void index_key_stream(struct index_key *k, uint32_t number, enum index_table table,
                      uint64_t stream);
/* ... and a number behind it: base of an extent, from of a gap, producer id. */
void index_key_u64(struct index_key *k, uint32_t number, enum index_table table, uint64_t stream,
                   uint64_t last);
/* ... and bytes behind it: key of a kv row, idempotency key. FIRN_EINVAL when too long. */
int index_key_bytes(struct index_key *k, uint32_t number, enum index_table table, uint64_t stream,
                    const void *data, size_t len);
void index_key_volume(struct index_key *k, const uint8_t volume_id[16]);
void index_key_drop(struct index_key *k, uint32_t number);
void index_key_fill(struct index_key *k, uint32_t number);
/* table: INDEX_SEGMENT or INDEX_EMPTY */
void index_key_segment(struct index_key *k, uint32_t number, enum index_table table,
                       struct segment_id id);

const char *index_table_name(unsigned table);
/* "extent row of volume 3, stream 17, key 000000000000002a" */
void index_key_text(const void *key, size_t len, char text[INDEX_TEXT_MAX]);

/* A row as read: key and value point into the map (or a checker's copy). */
struct index_row {
	const uint8_t *key, *value;
	size_t key_len, value_len;
};

/* The meta row: rewritten by every transaction. txnid is LMDB's number of the transaction that
 * wrote it. */
struct index_meta {
	uint32_t version, next_number;
	uint64_t txnid;
};

struct index_extent_row {
	struct index_extent x;
	int64_t running_max_ms; /* max of max_timestamp_ms of this and all extents before it */
};

/* batch[] holds what p.batch points to. */
struct index_producer_row {
	struct producer_change p;
	struct producer_batch batch[INDEX_WINDOW_MAX];
};

/* begin: room for the sum. seal: writes it. */
void index_row_begin(struct buf *b);
void index_row_seal(struct buf *b, const struct index_key *k);
/* Compares the sum and leaves a cursor over the fields. */
int index_row_open(const struct index_row *r, struct cur *out, struct firn_error *err);
int index_row_bad(const struct index_row *r, const char *what,
                  struct firn_error *err);            /* FIRN_ECORRUPT */
int index_row_table(const struct index_row *r);       /* 0 when the key is too short */
uint32_t index_row_number(const struct index_row *r); /* key_len >= 5 */
uint64_t index_row_stream(const struct index_row *r); /* key_len >= 13 */

void index_meta_put(struct buf *b, const struct index_meta *m);
int index_meta_get(const struct index_row *r, struct index_meta *m, struct firn_error *err);
void index_volume_put(struct buf *b, const struct index_volume *v);
int index_volume_row_get(const struct index_row *r, struct index_volume *v, struct firn_error *err);
void index_stream_put(struct buf *b, const struct stream_state *s);
int index_stream_get(const struct index_row *r, struct stream_state *s, struct firn_error *err);
void index_extent_put(struct buf *b, const struct index_extent_row *x);
int index_extent_get(const struct index_row *r, struct index_extent_row *x, struct firn_error *err);
void index_gap_put(struct buf *b, const struct gap_entry *g);
int index_gap_get(const struct index_row *r, struct gap_entry *g, struct firn_error *err);
void index_kv_put(struct buf *b, const struct kv_change *kv);
int index_kv_get(const struct index_row *r, struct kv_change *kv, struct firn_error *err);
void index_producer_put(struct buf *b, const struct producer_change *p);
int index_producer_get(const struct index_row *r, struct index_producer_row *p,
                       struct firn_error *err);
void index_idem_put(struct buf *b, const struct key_entry *k);
int index_idem_get(const struct index_row *r, struct key_entry *k, struct firn_error *err);
void index_segment_put(struct buf *b, const struct index_segment *s);
int index_segment_row_get(const struct index_row *r, struct index_segment *s,
                          struct firn_error *err);
int index_empty_row_get(const struct index_row *r, struct segment_id *id, struct firn_error *err);
#endif
