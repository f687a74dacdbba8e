/* What load.c and ahead.c share. Internal to this folder. */
#ifndef READ_LOAD_H
#define READ_LOAD_H
#include "engine/read/read.h"

enum { FRAMES_MAX = 32, FRAME_BYTES_MAX = 80 << 20 };

struct load {
	struct work work; /* first */
	struct firn_reader *reader;
	struct reader_item *item;
	uint64_t stream, from; /* from: position; a read-ahead begins here */
	uint64_t bytes;        /* and takes about so many */
	struct want want;
};

/* Frames of one segment, back to back. */
struct frames {
	const struct volume *v;
	uint32_t n, own, _pad; /* x[0 .. own): flights that are ours, adjacent */
	uint64_t end;          /* offset after what was planned */
	uint64_t bytes;        /* payload planned */
	struct index_extent x[FRAMES_MAX];
};

struct load *load_new(struct reader_item *it, struct volume *v); /* NULL without memory */
void load_free(struct load *l);
bool extent_sane(const struct index_extent *x);
/* One GET for x[0 .. own), each verified, into the cache: ends their flights. *first (may be
 * NULL): the blob of x[0], with a reference. The code is that of x[0]. */
int frames_load(struct engine *e, struct frames *f, struct blob **first, struct firn_error *err);
#endif
