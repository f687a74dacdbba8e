/* Runs the workloads of a suite round by round and takes medians. */
#include "bench/bench.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N_VALUES = FIG_COUNT + 2 }; /* the figures, max_us, cpu_s */

static void values_of(const struct sample *s, double v[N_VALUES])
{
	v[FIG_RATE] = (double)s->records / s->seconds;
	v[FIG_MB] = (double)s->bytes / 1e6 / s->seconds;
	v[FIG_P50] = (double)hist_quantile(&s->latency, 0.5) / 1e3;
	v[FIG_P99] = (double)hist_quantile(&s->latency, 0.99) / 1e3;
	v[FIG_PER_CPU] = s->cpu_s > 0 ? (double)s->records / s->cpu_s : 0;
	v[FIG_SECONDS] = s->seconds;
	v[FIG_REQUESTS] = s->requests_per_gib;
	v[FIG_PER_RECORD] = s->requests_per_record;
	v[FIG_CPU_PER_GIB] = 0;
	if (s->server_cpu_s > 0 && s->bytes)
		v[FIG_CPU_PER_GIB] = (s->cpu_s + s->server_cpu_s) * (double)(1u << 30) /
		                     (double)s->bytes;
	v[FIG_COUNT] = (double)s->latency.max / 1e3;
	v[FIG_COUNT + 1] = s->cpu_s;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static double median(double *v, unsigned n)
{
	qsort(v, n, sizeof *v, by_value);
	return n & 1 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* all: [workload][run][value] */
static void sum_up(struct result *r, double (*all)[N_VALUES], double *scratch)
{
	double v[N_VALUES];
	for (size_t k = 0; k < N_VALUES && r->n; k++) {
		for (unsigned i = 0; i < r->n; i++)
			scratch[i] = all[i][k];
		v[k] = median(scratch, r->n);
	}
	if (r->n) {
		memcpy(r->figure, v, sizeof r->figure);
		r->max_us = v[FIG_COUNT];
		r->cpu_s = v[FIG_COUNT + 1];
	}
}

static void progress(const struct bench *b, unsigned run, const struct workload *w)
{
	if (!b->quiet)
		(void)fprintf(stderr, "\r\033[K[%u/%u] %s", run + 1, b->runs, w ? w->text : "");
}

static int run_one(const struct bench *b, const struct workload *w, struct result *r,
                   double (*all)[N_VALUES])
{
	struct sample *s = calloc(1, sizeof *s);
	if (s)
		s->server = b->server;
	int rc = s ? w->run(b, w, s) : bench_fail(w->name);
	if (rc == 0)
		values_of(s, all[r->n++]);
	free(s);
	if (rc < 0)
		(void)fprintf(stderr, "firn-bench: %s failed (%d)\n", w->name, rc);
	return rc < 0 ? rc : 0;
}

static int wanted(const struct bench *b, const struct workload *w)
{
	return !b->only || strncmp(w->name, b->only, strlen(b->only)) == 0;
}

int suite_run(const struct bench *b, const struct suite *s, struct result *out)
{
	double(*all)[N_VALUES] = calloc(s->n_workload * b->runs, sizeof *all);
	double *scratch = calloc(b->runs, sizeof *scratch);
	int rc = all && scratch ? 0 : bench_fail("suite");
	for (size_t i = 0; i < s->n_workload; i++)
		out[i] = (struct result){ .w = &s->workload[i] };
	for (unsigned run = 0; rc == 0 && run < b->runs; run++)
		for (size_t i = 0; rc == 0 && i < s->n_workload; i++) {
			if (!wanted(b, &s->workload[i]))
				continue;
			progress(b, run, &s->workload[i]);
			rc = run_one(b, &s->workload[i], &out[i], all + i * b->runs);
		}
	if (!b->quiet)
		(void)fprintf(stderr, "\r\033[K");
	for (size_t i = 0; rc == 0 && i < s->n_workload; i++)
		sum_up(&out[i], all + i * b->runs, scratch);
	free(scratch);
	free(all);
	return rc;
}

const struct result *result_find(const struct result *r, size_t n, const char *name, int figure)
{
	const struct result *best = NULL;
	const char *star = strchr(name, '*');
	size_t len = star ? (size_t)(star - name) : strlen(name) + 1;
	for (size_t i = 0; i < n; i++)
		if (r[i].n && strncmp(r[i].w->name, name, len) == 0 &&
		    (!best || r[i].figure[figure] > best->figure[figure]))
			best = &r[i];
	return best;
}

double claim_value(const struct claim *c, const struct result *r, size_t n)
{
	const struct result *of = result_find(r, n, c->of, c->figure);
	const struct result *base = c->base ? result_find(r, n, c->base, c->figure) : NULL;
	if (!of || (c->base && !base))
		return NAN;
	double v = of->figure[c->figure];
	return base ? v / base->figure[c->figure] : v;
}
