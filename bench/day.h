/* firn-bench day: a day of many slow rooms, in turned time, and the days behind it on which nobody says anything.
 *
 *   minute: lines of some rooms, by chance ─► all that is due is done ─► the clock is turned by a minute
 *   now and then: blocks for each room, requests and bytes since, the manifest ─► a row
 *
 * No duration is measured: all of it are counts, and the same on any machine. */
#ifndef BENCH_DAY_H
#define BENCH_DAY_H
#include "bench/bench.h"

int day_bench(const struct bench *b); /* 0, or a negative code that has been told */
#endif
