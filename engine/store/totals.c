#include "engine/store/totals.h"
#include "engine/store/internal.h"

int totals_init(struct store_totals *t)
{
	memset(&t->past, 0, sizeof t->past);
	t->first = NULL;
	return pthread_mutex_init(&t->lock, NULL) ? -1 : 0;
}

void totals_fini(struct store_totals *t)
{
	pthread_mutex_destroy(&t->lock);
}

void totals_join(struct store_totals *t, struct store *s)
{
	pthread_mutex_lock(&t->lock);
	s->totals = t;
	s->next_counted = t->first;
	t->first = s;
	pthread_mutex_unlock(&t->lock);
}

static void add_store(struct store *s, struct meter *to)
{
	struct meter one;

	store_meter(s, &one);
	meter_add(to, &one);
}

void totals_leave(struct store *s)
{
	struct store_totals *t = s->totals;
	struct store **at;

	if (!t)
		return;
	pthread_mutex_lock(&t->lock);
	for (at = &t->first; *at != s; at = &(*at)->next_counted)
		;
	*at = s->next_counted;
	add_store(s, &t->past);
	pthread_mutex_unlock(&t->lock);
	s->totals = NULL;
}

void totals_read(struct store_totals *t, struct meter *out)
{
	pthread_mutex_lock(&t->lock);
	*out = t->past;
	for (struct store *s = t->first; s; s = s->next_counted)
		add_store(s, out);
	pthread_mutex_unlock(&t->lock);
}
