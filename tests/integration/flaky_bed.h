/* The plug-in store of flaky_store.c, built for a site and loaded. */
#ifndef TESTS_FLAKY_BED_H
#define TESTS_FLAKY_BED_H
#include "tests/integration/flaky_store.h"
#include "tests/integration/site.h"

/* site->uri becomes its URI, with these parameters. */
struct flaky *flaky_bed(struct site *site, const char *params);
#endif
