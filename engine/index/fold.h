/* Folding of one footer's rows into a volume's rows, inside a write transaction. */
#ifndef INDEX_FOLD_H
#define INDEX_FOLD_H
#include "engine/index/tx.h"

int index_fold_footer(struct index_tx *tx, struct index_volume *v, const struct segment_footer *f);
int index_fold_block(struct index_tx *tx, uint32_t number, struct segment_id id,
                     const struct block_entry *e);
/* extent.c: narrows [*from, *to) around `offset` to what no extent holds; both ends `offset`: one holds it. */
int index_extent_free(struct index_tx *tx, uint32_t number, uint64_t stream, uint64_t offset,
                      uint64_t *from, uint64_t *to);
int index_fold_stream(struct index_tx *tx, struct index_volume *v, const struct stream_state *s);
int index_fold_gap(struct index_tx *tx, uint32_t number, const struct gap_entry *g);
/* What an abandon gave up of every stream: [next, next + skip) (DESIGN 5). */
int index_fold_lost(struct index_tx *tx, const struct index_volume *v, const struct lost_entry *l);
int index_fold_kv(struct index_tx *tx, uint32_t number, const struct kv_change *kv);
int index_fold_producer(struct index_tx *tx, uint32_t number, const struct producer_change *p);
int index_fold_key(struct index_tx *tx, uint32_t number, const struct key_entry *k);
/* Removes what a stream owns except its own row, wholly below `start` (UINT64_MAX: everything). */
int index_fold_trim(struct index_tx *tx, uint32_t number, uint64_t stream, uint64_t start);
int index_fold_row(struct index_tx *tx, struct index_volume *v, const struct layer_row *row);

int index_fill_recover(struct index *ix, struct firn_error *err); /* at open */

/* ---- live.c: how many extents lie in which segment. tx->key and the cursor move. ---- */
int index_fold_segment(struct index_tx *tx, uint32_t number, const struct manifest_segment *s);
int index_live_add(struct index_tx *tx, uint32_t number, const struct index_extent *x, int sign);
int index_live_flush(struct index_tx *tx);
/* The row goes, if no extent lies there. */
int index_live_gone(struct index_tx *tx, uint32_t number, struct segment_id id);

/* ---- rewrite.c ---- */
int index_fold_rewrite(struct index_tx *tx, uint32_t number, const struct index_rewrite *rw);

/* Deletes at most `max` rows of volume numbers that were forgotten. *n = how many. */
int index_drop_some(struct index_tx *tx, uint64_t max, uint64_t *n);
#endif
