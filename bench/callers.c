/* Threads that each do one thing after the other: the blocking users of a log. */
#include "bench/bench.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

uint64_t now_ns(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

double cpu_seconds(void)
{
	struct rusage u;
	(void)getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

double cpu_seconds_of(long pid)
{
	char path[64], text[1024];
	unsigned long user = 0, system = 0;
	(void)snprintf(path, sizeof path, "/proc/%ld/stat", pid);
	FILE *f = pid ? fopen(path, "re") : NULL;
	if (!f)
		return 0;
	text[fread(text, 1, sizeof text - 1, f)] = 0;
	(void)fclose(f);
	const char *at = strrchr(text, ')'); /* behind the name, which may have anything in it */
	for (int field = 2; at && field < 14; field++)
		at = strchr(at + 1, ' ');
	if (!at || sscanf(at, "%lu %lu", &user, &system) != 2)
		return 0;
	return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

struct crew {
	const struct callers *c;
	pthread_barrier_t begin;
	atomic_int failed; /* the first negative code */
};

struct caller {
	struct crew *crew;
	unsigned number;
	uint64_t records;
	struct hist latency;
};

static void *caller_main(void *arg)
{
	struct caller *me = arg;
	const struct callers *c = me->crew->c;
	(void)pthread_barrier_wait(&me->crew->begin);
	uint64_t at = now_ns(), end = at + (uint64_t)(c->seconds * 1e9);
	do {
		int rc = c->op(c->ctx, me->number, me->records);
		if (rc > 0)
			break;
		if (rc < 0) {
			int none = 0;
			(void)atomic_compare_exchange_strong(&me->crew->failed, &none, rc);
		}
		uint64_t now = now_ns();
		hist_add(&me->latency, now - at);
		me->records++;
		at = now;
	} while (at < end && !atomic_load(&me->crew->failed));
	return NULL;
}

/* The barrier has one place more: the clock starts when all threads are there. */
static int crew_start(struct crew *crew, struct caller *all, pthread_t *threads)
{
	unsigned n = crew->c->n;
	if (pthread_barrier_init(&crew->begin, NULL, n + 1) != 0)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++) {
		all[i].crew = crew;
		all[i].number = i;
		/* Threads that wait at a barrier cannot be called back: without one, give up. */
		if (pthread_create(&threads[i], NULL, caller_main, &all[i]) != 0) {
			(void)bench_fail("pthread_create");
			abort();
		}
	}
	return 0;
}

int callers_run(const struct callers *c, struct sample *out)
{
	struct crew crew = { .c = c };
	struct caller *all = calloc(c->n, sizeof *all);
	pthread_t *threads = calloc(c->n, sizeof *threads);
	int rc = all && threads ? crew_start(&crew, all, threads) : -ENOMEM;
	if (rc == 0) {
		double cpu = cpu_seconds(), server = cpu_seconds_of(out->server);
		uint64_t at = now_ns();
		(void)pthread_barrier_wait(&crew.begin);
		for (unsigned i = 0; i < c->n; i++)
			(void)pthread_join(threads[i], NULL);
		out->seconds = (double)(now_ns() - at) / 1e9;
		out->cpu_s = cpu_seconds() - cpu;
		out->server_cpu_s = cpu_seconds_of(out->server) - server;
		for (unsigned i = 0; i < c->n; i++) {
			hist_merge(&out->latency, &all[i].latency);
			out->records += all[i].records;
		}
		out->bytes = out->records * c->record_bytes;
		(void)pthread_barrier_destroy(&crew.begin);
		rc = atomic_load(&crew.failed);
	}
	free(threads);
	free(all);
	return rc;
}
