/* Inside the filling of a new number (fill.c, base.c). */
#ifndef INDEX_FILL_H
#define INDEX_FILL_H
#include "engine/index/fold.h"
#include <stdbool.h>

struct index_base;

struct index_fill {
	struct index *ix;
	struct index_volume v; /* number, n_streams */
	struct index_tx tx;
	uint32_t n_row;
	bool open;               /* the transaction */
	uint32_t n_lost;         /* folded, or below what was */
	uint64_t lost_cut;       /* how far the cut has come by them */
	struct index_base *base; /* NULL: its rows have not begun, or are all there */
};

int index_fill_begin(struct index_fill *f,
                     struct firn_error *err); /* a transaction, if none is open */
int index_base_end(struct index_fill *f, struct firn_error *err); /* other rows follow, or none */
#endif
