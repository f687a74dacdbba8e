/* The result as a table for people, or as JSON for everything else. */
#include "bench/bench.h"
#include <math.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static const char *const figure_names[FIG_COUNT] = {
	"records_per_s",     "mb_per_s", "p50_us",           "p99_us",
	"records_per_cpu_s", "seconds",  "requests_per_gib", "requests_per_record",
	"cpu_s_per_gib"
};

/* "12", "1.2k", "3.45M": three digits are what a benchmark knows. */
static const char *brief(double v, char text[16])
{
	const char *unit = "";
	if (v >= 999500)
		v /= 1e6, unit = "M";
	else if (v >= 9995)
		v /= 1e3, unit = "k";
	int digits = v >= 99.95 ? 0 : v >= 9.995 ? 1 : 2;
	(void)snprintf(text, 16, "%.*f%s", digits, v, unit);
	return text;
}

static const char *latency(const struct result *r, double us, char text[16])
{
	return r->figure[FIG_P50] > 0 ? brief(us, text) : "-";
}

static void print_row(const struct result *r)
{
	char t[6][16];
	(void)printf("%-52s %9s %8s %8s %8s %9s %7.2f\n", r->w->text,
	             brief(r->figure[FIG_RATE], t[0]), brief(r->figure[FIG_MB], t[1]),
	             latency(r, r->figure[FIG_P50], t[2]), latency(r, r->figure[FIG_P99], t[3]),
	             latency(r, r->max_us, t[4]), r->cpu_s);
}

static int is_met(const struct claim *c, double target, double v)
{
	return c->at_most ? v <= target : v >= target;
}

static void bound_text(const struct claim *c, double target, char text[32])
{
	char t[16];
	if (target > 0)
		(void)snprintf(text, 32, "%s %s%s", c->at_most ? "<=" : ">=", brief(target, t),
		               c->base ? " x" : "");
	else
		(void)snprintf(text, 32, "-");
}

static void print_claim(const struct claim *c, double v)
{
	char t[16], first[32], target[32], got[32];
	const char *verdict = "";
	bound_text(c, c->first, first);
	bound_text(c, c->target, target);
	(void)snprintf(got, sizeof got, "%s%s", brief(v, t), c->base ? " x" : "");
	if (c->target > 0)
		verdict = is_met(c, c->target, v)                  ? "reached"
		          : c->first > 0 && is_met(c, c->first, v) ? "first goal reached"
		                                                   : "not reached";
	(void)printf("%-64s %10s %10s %10s  %s\n", c->text, got, first, target, verdict);
}

void report_table(const struct bench *b, const struct suite *s, const struct result *r)
{
	(void)printf("%-52s %9s %8s %8s %8s %9s %7s\n", "", "records/s", "MB/s", "p50 us", "p99 us",
	             "max us", "CPU s");
	for (size_t i = 0; i < s->n_workload; i++)
		if (r[i].n)
			print_row(&r[i]);
	(void)printf("\n%-64s %10s %10s %10s\n", "", "measured", "first", "target");
	for (size_t i = 0; i < s->n_claim; i++) {
		double v = claim_value(&s->claim[i], r, s->n_workload);
		if (!isnan(v))
			print_claim(&s->claim[i], v);
	}
	(void)printf("\nMedian of %u run%s of %.2g s each, in %s.%s\n", b->runs,
	             b->runs == 1 ? "" : "s", b->seconds, b->dir,
	             b->small ? " Smoke sizes: the figures mean nothing." : "");
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void json_string(const char *s)
{
	(void)putchar('"');
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		if (c == '"' || c == '\\')
			(void)printf("\\%c", c);
		else if (c < 0x20)
			(void)printf("\\u%04x", c);
		else
			(void)putchar(c);
	}
	(void)putchar('"');
}

static void json_number(double v)
{
	if (isfinite(v))
		(void)printf("%.6g", v);
	else
		(void)printf("null");
}

static void json_member(const char *name, double v)
{
	(void)printf(",\"%s\":", name);
	json_number(v);
}

static void json_result(const struct result *r)
{
	int timed = r->figure[FIG_P50] > 0;
	(void)printf("{\"name\":\"%s\",\"text\":", r->w->name);
	json_string(r->w->text);
	(void)printf(",\"runs\":%u", r->n);
	for (int k = 0; k < FIG_COUNT; k++)
		if ((timed || (k != FIG_P50 && k != FIG_P99)) &&
		    (r->figure[k] > 0 || k < FIG_REQUESTS))
			json_member(figure_names[k], r->figure[k]);
	if (timed)
		json_member("max_us", r->max_us);
	json_member("cpu_s", r->cpu_s);
	(void)putchar('}');
}

static void json_claim(const struct claim *c, const struct suite *s, const struct result *r)
{
	const struct result *of = result_find(r, s->n_workload, c->of, c->figure);
	const struct result *base = c->base ? result_find(r, s->n_workload, c->base, c->figure)
	                                    : NULL;
	double v = claim_value(c, r, s->n_workload);
	(void)printf("{\"text\":");
	json_string(c->text);
	(void)printf(",\"figure\":\"%s\",\"of\":\"%s\"", figure_names[c->figure], c->of);
	json_member("measured", of ? of->figure[c->figure] : NAN);
	if (c->base) {
		(void)printf(",\"base\":\"%s\"", c->base);
		json_member("baseline", base ? base->figure[c->figure] : NAN);
		json_member("ratio", v);
	}
	(void)printf(",\"bound\":\"%s\"", c->at_most ? "at most" : "at least");
	json_member("first_goal", c->first > 0 ? c->first : NAN);
	json_member("target", c->target > 0 ? c->target : NAN);
	(void)printf(",\"reached\":%s}", isnan(v) || c->target <= 0 ? "null"
	                                 : is_met(c, c->target, v)  ? "true"
	                                                            : "false");
}

void report_json(const struct bench *b, const struct suite *s, const struct result *r)
{
	struct utsname u;
	const char *sep = "";
	(void)uname(&u);
	(void)printf("{\"benchmark\":\"%s\",\"small\":%s,\"seconds\":%g,\"cpus\":%ld,\"kernel\":",
	             s->name, b->small ? "true" : "false", b->seconds,
	             sysconf(_SC_NPROCESSORS_ONLN));
	json_string(u.release);
	(void)printf(",\"dir\":");
	json_string(b->dir);
	(void)printf(",\n\"results\":[");
	for (size_t i = 0; i < s->n_workload; i++)
		if (r[i].n) {
			(void)printf("%s\n ", sep);
			json_result(&r[i]);
			sep = ",";
		}
	(void)printf("],\n\"claims\":[");
	sep = "";
	for (size_t i = 0; i < s->n_claim; i++, sep = ",") {
		(void)printf("%s\n ", sep);
		json_claim(&s->claim[i], s, r);
	}
	(void)printf("]}\n");
}
