/* The bytes of the WAL (FORMAT.md has them in full): file header, groups, records, operations.
 *
 *   file    = header block (4096) + groups, each on a 4096 boundary
 *   group   = header (128) + records back to back, zero-padded to 4096; one write, one flush
 *   record  = header (64) + operations (meta) + payloads, zero-padded to 8; one atomic write
 *
 * Checksums: payload_sum over each payload (made at append, carried into the segment), meta_sum
 * over a record's header and operations, body_sum over the group's meta_sums, header_sum over the
 * group header, prev_sum = header_sum of the group before: a chain. LSN = file number << 32 |
 * position in the file. */
#ifndef WAL_RECORD_H
#define WAL_RECORD_H
#include "engine/base/batch.h"
#include "engine/base/buf.h"
#include <firn/env.h>
#include <firn/error.h>
#include <stdbool.h>
#include <stdint.h>

#define WAL_FILE_MAGIC UINT64_C(0x314c41574e524946)  /* "FIRNWAL1" */
#define WAL_GROUP_MAGIC UINT64_C(0x315052474e524946) /* "FIRNGRP1" */
#define WAL_FORMAT 1u
#define WAL_PAGE 4096u
#define WAL_GROUP_HEADER 128u
#define WAL_RECORD_HEADER 64u
#define WAL_OP_HEADER 16u
#define WAL_OPS_MAX 65535u /* n_ops is u16 */

enum wal_group_flag {
	WAL_GROUP_IDLE = 1, /* no records: carries durable_lsn (PROTOCOL 11) */
	WAL_GROUP_END = 2,  /* clean close: nothing of this run follows */
};

enum wal_record_type {
	WAL_WRITE = 1,     /* a user's write: operations */
	WAL_TABLE = 2,     /* the open volumes; first record of every file */
	WAL_SEAL = 3,      /* where the run before ended; in the first group of a run */
	WAL_INTENT = 4,    /* an attach is about to CAS with this nonce */
	WAL_DETACH = 5,    /* the volume leaves; ends the right to resume */
	WAL_FENCE = 6,     /* the volume was fenced */
	WAL_DIRECTORY = 7, /* where the batches of the groups before it lie; alone in its group */
};

/* Numbers of enum firn_op_kind. */
enum wal_op_kind {
	WAL_OP_APPEND = 1,
	WAL_OP_KV_PUT = 2,
	WAL_OP_KV_DELETE = 3,
	WAL_OP_TRIM = 5,
	WAL_OP_CREATE = 7,
	WAL_OP_CONFIG = 8,
	WAL_OP_DELETE = 9,
	WAL_OP_FILL = 64, /* from here on of no firn_op_kind. Only salvage makes it */
};

/* Operations that carry a batch and its payload. */
static inline bool wal_op_has_batch(uint16_t kind)
{
	return kind == WAL_OP_APPEND || kind == WAL_OP_FILL;
}

struct wal_file_header {
	uint8_t wal_id[16], run_nonce[16];
	uint64_t incompat, run, file_no, file_bytes, prev_sum;
	int64_t created_ms;
};

struct wal_group_header {
	uint8_t wal_id[16];
	uint32_t flags, used, n_records;
	uint32_t directory_len; /* of the directory right before this group, 0: none */
	uint64_t run, lsn, durable_lsn, prev_sum, body_sum, header_sum;
	int64_t sealed_ms;
};

struct wal_record {
	/* len: all of it, padded; meta_len: header and operations (or control body) */
	uint32_t len, meta_len, volume_no, pos; /* pos: in its group */
	uint16_t type, n_ops;
	uint64_t nonce, rev, epoch; /* nonce: first 8 bytes of the incarnation's */
	int64_t append_ms;
	const uint8_t *body, *body_end; /* operations, or a control record's body */
	const uint8_t *start;           /* the record header in memory */
};

struct wal_op {
	uint16_t kind, flags;
	uint32_t pos, prev; /* in the group; prev: the stream's op before in this group, 0 none */
	uint64_t stream;
	struct batch batch;                  /* APPEND, FILL; payload set */
	const uint8_t *key, *key_to, *value; /* KV; DELETE with key_to_len: [key, key_to) */
	uint32_t key_len, key_to_len, value_len;
	uint64_t at;      /* TRIM: new start. CREATE: first offset */
	const char *name; /* CREATE */
	uint32_t name_len, config_len;
	const uint8_t *config; /* CREATE, CONFIG */
};

/* A row of the table, and the body of INTENT, DETACH and FENCE records. */
struct wal_identity {
	uint64_t fs_id, inode;
	uint8_t machine[16];
};
#define WAL_MAX_INTENTS 8u
/* CLEAN: the manifest is known to say so; nothing that this WAL holds of the volume is needed. FROM_CLEAN: the
 * intents are for a manifest that was clean, or given up: the nonce before them has no right to resume (S1). */
enum wal_volume_flag {
	WAL_VOLUME_DETACHED = 1,
	WAL_VOLUME_FENCED = 2,
	WAL_VOLUME_CLEAN = 4,
	WAL_VOLUME_FROM_CLEAN = 8,
};
struct wal_volume_row {
	uint32_t volume_no, flags, n_intent, mark; /* mark: of the reader, not on disk */
	uint8_t id[16], nonce[16];                 /* nonce zero: never attached */
	uint8_t intent[WAL_MAX_INTENTS][16];       /* written, not known to be settled */
	uint64_t epoch, rev, rev_stored; /* rev: last durable record of the volume in this WAL */
	uint64_t broken; /* not on disk: above rev_stored, its records stay where they are */
	struct wal_identity identity;
	char name[256], uri[1024], node[256];
};
/* What stays of a row that is dropped: enough to notice a store that went backwards. */
struct wal_gone {
	uint8_t id[16];
	uint64_t rev, name_sum; /* wal_name_sum() */
};
struct wal_table_head { /* of a TABLE's body: rows follow, then gone ones */
	uint32_t n_row, n_gone, next_volume_no;
};
#define WAL_GONE_LEN 32u
struct wal_seal_body {
	uint64_t run, end_lsn, last_sum;
};

void wal_file_header_put(uint8_t page[WAL_PAGE], const struct wal_file_header *h);
/* FIRN_ECORRUPT, or FIRN_EUNSUPPORTED for a newer format or an unknown incompat bit. */
int wal_file_header_get(const uint8_t page[WAL_PAGE], struct wal_file_header *out,
                        struct firn_error *err);

/* Writes the header in front of the records, which end at `used` (it counts from group[0], so 128 =
 * none), zeroes the padding behind them and sets body_sum and header_sum in *h. Reads record
 * headers only. */
void wal_group_seal(uint8_t *group, struct wal_group_header *h);
/* Header alone (128 bytes at `at`): magic, format, own checksum, used within `max`, which counts
 * bytes to the end of the file. No claim about the body. FIRN_ECORRUPT: no group here;
 * FIRN_EUNSUPPORTED: a group of a newer format, incompat bit or flag: never to be taken for a torn
 * tail. */
int wal_group_header_get(const uint8_t *at, size_t max, struct wal_group_header *out);
/* FIRN_EUNSUPPORTED, naming what wal_group_header_get() said so of. */
int wal_group_foreign(const uint8_t *at, struct firn_error *err);
/* The whole group: every record, every op, every payload, the padding. *bad_pos (may be NULL):
 * where it fails, in the group. h: from wal_group_header_get() of the same bytes.
 * FIRN_EUNSUPPORTED: a record type, op kind, flag, codec or cipher of a newer release; refuse to
 * replay. */
int wal_group_verify(const uint8_t *group, size_t len, const struct wal_group_header *h,
                     uint32_t *bad_pos, struct firn_error *err);
static inline uint64_t wal_group_len(uint32_t used)
{
	return ((uint64_t)used + WAL_PAGE - 1) & ~(uint64_t)(WAL_PAGE - 1);
}

/* Walks records of a verified group: pos begins at WAL_GROUP_HEADER; returns the next, 0 after the
 * last:
 *   uint32_t pos = WAL_GROUP_HEADER;
 *   while ((pos = wal_record_next(group, used, pos, &r))) ... r ... */
uint32_t wal_record_next(const uint8_t *group, uint32_t used, uint32_t pos, struct wal_record *out);
/* Walks operations of a record: at begins at NULL; returns the next, NULL after the last (same
 * loop). A control record has none. */
const uint8_t *wal_op_next(const struct wal_record *r, const uint8_t *at, struct wal_op *out);
/* The op at a position of a verified group (tail index); its batch's payload included. Bounded by
 * the `used` in the group's header: a position that is no operation's gives kind 0, not a read
 * outside. */
void wal_op_at(const uint8_t *group, uint32_t pos, struct wal_op *out);

/* Making records. Sizes first, then bytes into reserved room. */
size_t wal_op_len(const struct wal_op *op); /* encoded, padded, without the payload */
/* Writes the op at group + pos; payload_pos: of its payload, relative to the OP's position, 0
 * without one. op->flags is 0 (none exist yet); the stream of an APPEND is batch.stream. */
void wal_op_put(uint8_t *group, uint32_t pos, const struct wal_op *op, uint32_t payload_pos);
/* Writes the record header (meta_sum over what stands in the ops) at group + r->pos. r->len may be
 * given unpadded: it is rounded up to 8 and the padding behind the last payload is zeroed. */
void wal_record_put(uint8_t *group, const struct wal_record *r);

void wal_row_encode(const struct wal_volume_row *row, struct buf *out);
int wal_row_decode(struct cur *c, struct wal_volume_row *out); /* 0 or -1 */
void wal_table_head_encode(const struct wal_table_head *h, struct buf *out);
int wal_table_head_decode(struct cur *c, struct wal_table_head *out); /* 0 or -1 */
void wal_gone_encode(const struct wal_gone *g, struct buf *out);
int wal_gone_decode(struct cur *c, struct wal_gone *out); /* 0 or -1 */
uint64_t wal_name_sum(const char *uri, const char *name);
void wal_seal_encode(const struct wal_seal_body *s, struct buf *out);
int wal_seal_decode(struct cur *c, struct wal_seal_body *out);
/* Numbers of aside files; in an LSN it is the top bit. What lies aside comes before what lies in the log. */
#define WAL_ASIDE_NO UINT64_C(0x80000000)
static inline bool wal_is_aside(uint64_t file_no)
{
	return file_no >> 31 == 1;
}
static inline uint64_t wal_order(uint64_t lsn) /* 0: before everything, UINT64_MAX: behind */
{
	return lsn && lsn != UINT64_MAX ? lsn ^ WAL_ASIDE_NO << 32 : lsn;
}
static inline const char *wal_suffix(uint64_t file_no)
{
	return wal_is_aside(file_no) ? "aside" : "wal";
}
/* "<dir>/<16 hex>.wal", or ".aside" */
void wal_file_path(const char *dir, uint64_t file_no, char *out, size_t cap);
int wal_file_name_parse(const char *name, uint64_t *file_no);  /* 0 or -1 */
int wal_aside_name_parse(const char *name, uint64_t *file_no); /* of an aside file; 0 or -1 */
#endif
