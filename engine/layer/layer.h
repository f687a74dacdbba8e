/* Layers: footers of many rounds merged into one sorted, checksummed index, in objects of the store.
 *
 *   footers --sorted--> merge --rows--> writer --part 0, 1, ...--> one run: the writes [rev_from, rev_to)
 *   run, run, run ----> merge --rows--> writer --> a run of the next level
 *
 * A row says the same as the row of a footer and is folded in the same way; a run says what all its footers
 * said together. A run is cut into parts, objects of bounded size, so that it is written and read with bounded
 * memory however long the history is. The bytes are in FORMAT.md.
 *
 * Everything here is single-threaded per object and allocates through the env; no locks, no I/O but through
 * `layer_fetch`. Input is hostile: FIRN_ECORRUPT says which part at which position. */
#ifndef LAYER_LAYER_H
#define LAYER_LAYER_H
#include "engine/manifest/manifest.h"
#include <stdbool.h>

enum {
	LAYER_HEADER_LEN = 64,
	LAYER_TRAILER_LEN = 256,
	LAYER_BLOCK_BYTES = 64 << 10, /* a block is cut at about this many raw bytes */
	LAYER_BLOCK_MAX = 1 << 20,    /* no block is longer: 64 KiB and the largest row */
	LAYER_BYTES_MAX = 64 << 20,   /* no part is longer */
	LAYER_FANOUT = 4,             /* so many runs of a level become one of the next */
};

/* In the order of the rows: first what is the volume's, then stream by stream, then the segments. */
enum layer_kind {
	LAYER_LOST = 1,
	LAYER_STREAM = 2,
	LAYER_EXTENT = 3,
	LAYER_GAP = 4,
	LAYER_KV = 5,
	LAYER_PRODUCER = 6,
	LAYER_KEY = 7,
	LAYER_SEGMENT = 8,
};

struct layer_extent {
	struct segment_id segment;
	struct block_entry block;
};

/* Names, keys, values and windows are borrowed. */
struct layer_row {
	enum layer_kind kind;
	uint32_t _pad;
	union {
		struct lost_entry lost;
		struct stream_state stream;
		struct layer_extent extent;
		struct gap_entry gap;
		struct kv_change kv;
		struct producer_change producer;
		struct key_entry key;
		struct manifest_segment segment;
	} u;
};

/* ---- row.c ---- */
uint64_t layer_row_stream(const struct layer_row *r); /* LOST: 0, SEGMENT: UINT64_MAX */
/* Order of rows; 0: they are about the same thing. */
int layer_row_compare(const struct layer_row *a, const struct layer_row *b);
size_t layer_row_len(const struct layer_row *r);
void layer_row_put(uint8_t *at, const struct layer_row *r);
/* One row from at most len bytes: its length, or 0 if it does not fit or makes no sense. */
size_t layer_row_get(const uint8_t *at, size_t len, struct layer_row *out);

/* ---- writing one part ---- */
struct layer_meta {
	uint8_t volume_id[16];
	struct segment_id id; /* of the same counter as segments: layer_key() */
	uint64_t rev_from, rev_to;
	uint32_t level, part; /* part of its run, counted from 0 */
	int64_t created_ms;
};

struct layer_writer;
/* zstd_level 0: blocks are stored raw. */
int layer_writer_open(const struct firn_env *env, const struct layer_meta *meta, int zstd_level,
                      struct layer_writer **out);
void layer_writer_close(struct layer_writer *w);
/* Rows must rise. FIRN_EINVAL: it does not, or no reader would take it; FIRN_ENOMEM is sticky. */
int layer_writer_row(struct layer_writer *w, const struct layer_row *r);
size_t layer_writer_bytes(const struct layer_writer *w); /* of the object so far, about */
/* last: no part of the run follows. *data is valid until close; *row is what the manifest says of it. */
int layer_writer_finish(struct layer_writer *w, bool last, const uint8_t **data, size_t *len,
                        struct manifest_layer *row);

/* ---- reading one part ---- */
struct layer_block { /* where a block lies */
	uint64_t pos;
	uint32_t len, raw_len;
	uint64_t sum; /* XXH3-64 of the stored bytes */
	uint32_t n_row, codec;
	uint64_t stream; /* of its first row */
};

struct layer_object {
	const uint8_t *data; /* borrowed: the whole object */
	size_t len;
	struct layer_meta meta;
	bool last;
	uint64_t footer_pos, footer_sum, n_row;
	uint32_t n_block, n_segment;
	uint64_t segment_bytes;
};

/* As segment_header_check(), of LAYER_HEADER_LEN bytes. */
int layer_header_check(const uint8_t *at, struct layer_meta *out, struct firn_error *err);
/* Header, trailer and footer of a whole object in memory: everything but the blocks is verified. */
int layer_open(const uint8_t *data, size_t len, struct layer_object *out, struct firn_error *err);
void layer_block_at(const struct layer_object *o, uint32_t i, struct layer_block *out);
/* Verifies the block and decompresses it into raw (raw_len bytes, the caller's). */
int layer_block_decode(const struct layer_object *o, const struct layer_block *b, uint8_t *raw,
                       struct firn_error *err);
/* Every byte: each block, each row, their order. */
int layer_verify(const struct firn_env *env, const uint8_t *data, size_t len,
                 struct firn_error *err);
/* Is it the one that the manifest means? FIRN_ECORRUPT. */
int layer_is(const struct layer_object *o, const uint8_t volume_id[16],
             const struct manifest_layer *row, struct firn_error *err);
/* Tells an object field by field; goes on past damage as far as it can and returns the first error. */
int layer_dump(const struct firn_env *env, const uint8_t *data, size_t len,
               void (*line)(void *arg, const char *text), void *arg, struct firn_error *err);

/* ---- sources of rows, in order; of rows about the same thing the older first ---- */
struct layer_source;
/* *row NULL: the end. It borrows until the next call. */
int layer_source_next(struct layer_source *s, const struct layer_row **row, struct firn_error *err);
void layer_source_close(struct layer_source *s);

/* The rows of footers, given in rev order; they must live as long as the source. */
int layer_source_footers(const struct firn_env *env, struct segment_footer *const *footer,
                         uint32_t n, struct layer_source **out, struct firn_error *err);
/* The rows of a stored run, part after part: fetch() appends the whole object of a part to *object, which is
 * empty. One part is in memory at a time. `part` must live as long as the source. */
typedef int (*layer_fetch)(void *arg, const struct manifest_layer *part, struct buf *object,
                           struct firn_error *err);
int layer_source_run(const struct firn_env *env, const uint8_t volume_id[16],
                     const struct manifest_layer *part, uint32_t n_part, layer_fetch fetch,
                     void *arg, struct layer_source **out, struct firn_error *err);

/* ---- merging ---- */
struct layer_merge {
	const struct firn_env *env;
	struct layer_source *const *source; /* oldest first */
	uint32_t n_source;
	bool base; /* nothing is older: what says that something is gone has nothing to say */
	int (*sink)(void *arg, const struct layer_row *row); /* non-zero ends the merge */
	/* base only, may be NULL: non-zero for a row that is not worth keeping */
	int (*drop)(void *arg, const struct layer_row *row);
	void *arg;
};
int layer_merge(const struct layer_merge *m, struct firn_error *err);

/* ---- writing a run: rows become parts, each put into the store before the next is begun ---- */
struct layer_run {
	const struct firn_env *env;
	struct layer_meta meta; /* volume, revs, level; id and part are set here */
	int zstd_level;
	size_t part_bytes;                  /* a part is ended at about this length */
	struct segment_id (*id)(void *arg); /* a number never given before */
	int (*put)(void *arg, const struct manifest_layer *row, const uint8_t *data, size_t len,
	           struct firn_error *err);
	void *arg;
	struct firn_error *err;
	/* set by the calls; the parts that were begun, after an error too */
	struct manifest_layer *part;
	size_t n_part, cap_part;
	struct layer_writer *writer;
};
int layer_run_row(void *run, const struct layer_row *r); /* a sink of layer_merge() */
int layer_run_end(struct layer_run *run);                /* the last part */
void layer_run_close(struct layer_run *run);             /* frees; the parts stay in the store */

/* ---- runs of a manifest ---- */
/* The parts of the run that begins at row i. */
uint32_t layer_run_parts(const struct manifest *m, uint32_t i);
/* The first row of the run that holds the interval of writes; false: none does. */
bool layer_run_of(const struct manifest *m, uint64_t rev_from, uint64_t rev_to, uint32_t *run);
/* The part that was written last; { 0 }: there is none. */
struct segment_id layer_newest(const struct manifest *m);
/* Rows [*from, n_layer) are the newest runs, to become one of level *level: LAYER_FANOUT of a level at least.
 * False: none are due. */
bool layer_runs_due(const struct manifest *m, uint32_t *from, uint32_t *level);
/* An abandon lies between writes below rev_to and those from rev_from on: what it gave up of every stream is said in
 * between, so the two are never merged. */
bool layer_lost_between(const struct manifest *m, uint64_t rev_to, uint64_t rev_from);
/* Writes below it are in layers; 0: there are none. */
uint64_t layer_covered(const struct manifest *m);

/* "layer/<2 hex>/<epoch>-<n>", as segment_key(). */
void layer_key(struct segment_id id, char *buf, size_t cap);
void layer_object_key(const char *volume, struct segment_id id, char key[OBJECT_KEY_MAX]);
int layer_key_parse(const char *key, struct segment_id *out); /* 0 or -1 */
/* What a manifest says of the segment that a footer is of. */
void layer_segment_of(const struct segment_footer *f, struct manifest_segment *out);
#endif
