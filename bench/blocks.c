#include "bench/blocks.h"
#include "engine/api/engine.h"

static int one_more(void *arg, const struct index_extent *x)
{
	(void)x;
	(*(unsigned *)arg)++;
	return 0;
}

int blocks_of_stream(struct firn_engine *engine, uint64_t stream, unsigned *n,
                     struct firn_error *err)
{
	struct engine *e = (struct engine *)(void *)engine;
	*n = 0;
	return index_extents(e->index, e->volume[0]->index_no, stream, 0, one_more, n, err);
}
