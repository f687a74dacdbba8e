/* What only the engine's own index knows. (Apart from bench.h: both have a struct result.) */
#ifndef BENCH_BLOCKS_H
#define BENCH_BLOCKS_H
#include <firn/firn.h>

/* How many blocks a stream of the engine's only volume has in segments. 0 or a code, *err says why. */
int blocks_of_stream(struct firn_engine *engine, uint64_t stream, unsigned *n,
                     struct firn_error *err);
#endif
