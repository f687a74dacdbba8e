/* The engine's log. A line goes to the host's env at once, and to queues that asked for FIRN_EV_LOG by way of
 * a short list which the uploader empties: whoever logs may hold any lock, and queues are not reached with
 * all of them. What finds the list or a queue's share full is counted and dropped. */
#include "engine/api/cq.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include <stdio.h>
#include <string.h>

enum { LINES = 64 };

struct log_line {
	struct log_line *next;
	uint32_t level;
	int64_t at_ms;
	const char *origin; /* static */
	char volume[256], text[400];
};

void engine_log(struct engine *e, uint32_t level, const char *origin, const char *volume,
                const char *text)
{
	const struct firn_env *env = e->env;
	env->log(env->ctx, level, volume ? volume : origin, text);
	if (!atomic_load_explicit(&e->log_asked, memory_order_relaxed))
		return;
	struct log_line *l = mem_zalloc(env, sizeof *l);
	if (l) {
		l->level = level;
		l->at_ms = env->now_ms(env->ctx);
		l->origin = origin;
		(void)snprintf(l->volume, sizeof l->volume, "%s", volume ? volume : "");
		(void)snprintf(l->text, sizeof l->text, "%s", text);
	}
	pthread_mutex_lock(&e->log_lock);
	bool keep = l && e->n_log < LINES;
	if (keep) {
		*(e->log_last ? &e->log_last->next : &e->log_first) = l;
		e->log_last = l;
		e->n_log++;
	} else {
		e->log_dropped++;
	}
	pthread_mutex_unlock(&e->log_lock);
	if (keep)
		upload_kick(e);
	else
		mem_free(env, l);
}

/* One result per queue: each is released by its own reader. */
static const void *result_of(struct engine *e, const struct log_line *l)
{
	struct made {
		struct firn_log log;
		char volume[256], text[400];
	};
	struct made *m = result_new(e->account, sizeof *m, NULL, 0);
	if (!m)
		return NULL;
	memcpy(m->volume, l->volume, sizeof m->volume);
	memcpy(m->text, l->text, sizeof m->text);
	m->log = (struct firn_log){ .struct_size = sizeof m->log,
		                    .level = l->level,
		                    .at_ms = l->at_ms,
		                    .origin = l->origin,
		                    .volume = m->volume[0] ? m->volume : NULL,
		                    .text = m->text };
	return m;
}

static void send(struct engine *e, const struct log_line *l, uint64_t dropped)
{
	pthread_mutex_lock(&e->lock);
	for (struct firn_cq *cq = e->cqs; cq; cq = cq->next) {
		struct firn_event ev = { .kind = FIRN_EV_LOG, .end = dropped };
		if (!cq_asked(cq, FIRN_EV_LOG, &ev.user_data))
			continue;
		ev.result = result_of(e, l);
		cq_notice(cq, &ev);
	}
	pthread_mutex_unlock(&e->lock);
}

int engine_log_send(struct engine *e)
{
	if (!atomic_load_explicit(&e->log_asked, memory_order_relaxed))
		return 0;
	pthread_mutex_lock(&e->log_lock);
	struct log_line *l = e->log_first;
	uint64_t dropped = l ? e->log_dropped : 0;
	e->log_first = e->log_last = NULL;
	e->n_log = 0;
	e->log_dropped -= dropped;
	pthread_mutex_unlock(&e->log_lock);
	int did = l != NULL;
	while (l) {
		struct log_line *next = l->next;
		send(e, l, dropped);
		dropped = 0;
		mem_free(e->env, l);
		l = next;
	}
	return did;
}
