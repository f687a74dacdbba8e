/* A volume as a plain model in memory, a seeded generator of rounds for it, and the comparison of
 * the model with an index. Rounds pass through the real segment writer and footer reader. */
#ifndef TEST_INDEX_MODEL_H
#define TEST_INDEX_MODEL_H
#include "engine/index/index.h"

enum { MODEL_WRONG = -1000 }; /* the index gave another answer than the model, and no error */

struct model_list {
	uint8_t *data;
	size_t n, cap;
};

struct model_stream {
	struct stream_state s;
	char name[64];
	uint8_t config[8];
	int live;
};

struct model_kv {
	struct kv_change kv;
	uint8_t key[255];
	uint8_t *value;
};

struct model_producer {
	struct producer_change p;
	struct producer_batch batch[16];
};

struct model_key {
	struct key_entry k;
	uint8_t key[32];
};

struct model {
	uint64_t rng, rev, seq, epoch, next_stream, next_segment;
	uint8_t volume_id[16];
	struct model_list stream, extent, gap, kv, producer, key;
};

/* A commit and the footers that it borrows. */
struct model_commit {
	struct index_commit c;
	struct segment_footer *footer[4];
};

uint64_t model_random(struct model *m, uint64_t below);
void model_init(struct model *m, uint64_t seed);
void model_fini(struct model *m);
/* Makes the next commit (one round, some parts) and moves the model on to the state after it. */
void model_round(struct model *m, struct model_commit *out);
/* Drops producers and keys last seen before that; how many. */
uint64_t model_forget_before(struct model *m, int64_t ms);
void model_commit_fini(struct model_commit *mc);
/* 0, a FIRN_E.. of the index, or MODEL_WRONG with the reason in `why`. */
int model_compare(struct model *m, struct index *ix, char why[256], struct firn_error *err);

/* A directory of its own, in memory where the system has that. */
void model_dir_make(char path[128]);
void model_dir_remove(const char *path);
#endif
