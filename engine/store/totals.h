/* What all stores of an engine were asked, those that are closed included: counters only rise. */
#ifndef STORE_TOTALS_H
#define STORE_TOTALS_H
#include "engine/store/meter.h"
#include <pthread.h>

struct store;

/* Lock order: `lock`, then a store's. */
struct store_totals {
	pthread_mutex_t lock; /* guards all of it */
	struct meter past;    /* of stores that were closed */
	struct store *first;  /* open ones */
};

int totals_init(struct store_totals *t); /* 0 or -1 */
void totals_fini(struct store_totals *t);
/* From now on the store's requests are among them, its earlier ones too. It leaves when it is closed, and
 * `t` outlives it. */
void totals_join(struct store_totals *t, struct store *s);
void totals_leave(struct store *s); /* store_close() */
void totals_read(struct store_totals *t, struct meter *out);
#endif
