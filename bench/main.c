/* firn-bench append|read|upload|takeover|day: see bench.h. */
#include "bench/day.h"
#include "bench/takeover.h"
#include <argp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *argp_program_version = "firn-bench (firn 0.1.0)";

static const char doc[] =
        "Measures firn beside bare baselines on the same disk, in the same run.\n\n"
        "  append   durable appends, many volumes, recovery\n"
        "  read     replay from the cache and from a file: store\n"
        "  upload   from a full WAL into a file: store, and appends beside that\n"
        "  takeover until another process has a volume, writes and reads\n"
        "  day      100 000 slow rooms in turned time: blocks, requests, bytes\v"
        "Examples:\n"
        "  firn-bench append                 in a fresh directory in TMPDIR or .\n"
        "  firn-bench append --dir /nvme --runs 5 --json\n"
        "  firn-bench append --only raw      the disk's own figures\n"
        "  firn-bench read --small           a smoke test, seconds\n"
        "  firn-bench upload --store 's3://bucket?endpoint=http://127.0.0.1:9000'\n\n"
        "Ratios to the baselines count, not milliseconds: disks differ, and so do\n"
        "days. Targets are those of the project's design; \"first\" is what the first\n"
        "version set out to reach.\n";

enum {
	KEY_DIR = 'd',
	KEY_JSON = 'j',
	KEY_SMALL = 's',
	KEY_RUNS = 'r',
	KEY_SECONDS = 't',
	KEY_ONLY = 'o',
	KEY_STORE = 'S',
	KEY_SERVER = 'P'
};

static const struct argp_option options[] = {
	{ "dir", KEY_DIR, "DIR", 0,
	  "Measure in a fresh directory below DIR (default: TMPDIR, else .)", 0 },
	{ "store", KEY_STORE, "URI", 0,
	  "upload, read, takeover, day: measure this store, below a prefix that is removed (default: file: in DIR)",
	  0 },
	{ "server", KEY_SERVER, "PID", 0,
	  "read, upload with --store: the store's server is this process here; tell its CPU, too",
	  0 },
	{ "json", KEY_JSON, NULL, 0, "Print JSON instead of tables", 0 },
	{ "small", KEY_SMALL, NULL, 0, "Smoke sizes: less than 5 seconds in all", 0 },
	{ "runs", KEY_RUNS, "N", 0, "Report the median of N rounds (default 3; with --small 1)",
	  0 },
	{ "seconds", KEY_SECONDS, "S", 0, "Length of one measurement (default 2; --small 0.1)", 0 },
	{ "only", KEY_ONLY, "PREFIX", 0, "Only workloads whose name in the JSON begins so", 0 },
	{ 0 },
};

struct args {
	struct bench b;
	const char *command, *parent;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct args *a = state->input;
	char *end = NULL;
	switch (key) {
	case KEY_DIR:
		a->parent = arg;
		return 0;
	case KEY_STORE:
		a->b.store = arg;
		return 0;
	case KEY_SERVER:
		a->b.server = strtol(arg, &end, 10);
		if (*end || a->b.server < 1)
			argp_error(state, "--server %s: a process id", arg);
		return 0;
	case KEY_JSON:
		a->b.json = 1;
		return 0;
	case KEY_SMALL:
		a->b.small = 1;
		return 0;
	case KEY_RUNS: {
		unsigned long n = strtoul(arg, &end, 10);
		if (*end || n < 1 || n > 1000)
			argp_error(state, "--runs %s: a number from 1 to 1000", arg);
		a->b.runs = (unsigned)n;
		return 0;
	}
	case KEY_SECONDS:
		a->b.seconds = strtod(arg, &end);
		if (*end || !(a->b.seconds > 0) || a->b.seconds > 3600)
			argp_error(state, "--seconds %s: a number above 0, up to 3600", arg);
		return 0;
	case KEY_ONLY:
		a->b.only = arg;
		return 0;
	case ARGP_KEY_ARG:
		if (a->command)
			argp_error(state, "one of append, read, upload, takeover, day; not also %s",
			           arg);
		a->command = arg;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "say what to measure: append, read, upload, takeover or day");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct suite *suite_of(const struct args *a)
{
	const char *command = a->command;
	static const struct suite *const all[] = { &append_suite, &read_suite, &upload_suite };
	static const struct suite *const of_store[] = { NULL, &store_read_suite,
		                                        &store_upload_suite };
	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
		if (strcmp(command, all[i]->name) == 0)
			return !a->b.store ? all[i] : of_store[i];
	return NULL;
}

/* What reports in a table of its own. */
static int (*bench_of(const char *command))(const struct bench *b)
{
	return strcmp(command, "takeover") == 0 ? takeover_bench
	       : strcmp(command, "day") == 0    ? day_bench
	                                        : NULL;
}

static int measure(struct args *a, const struct suite *s)
{
	char dir[2048];
	const char *tmp = getenv("TMPDIR");
	if (scratch_make(a->parent ? a->parent
	                 : tmp     ? tmp
	                           : ".",
	                 "firn-bench", dir, sizeof dir) < 0)
		return 1;
	a->b.dir = dir;
	if (!s) {
		int failed = bench_of(a->command)(&a->b);
		scratch_remove(dir);
		return failed ? 1 : 0;
	}
	struct result *r = calloc(s->n_workload, sizeof *r);
	int rc = r ? suite_run(&a->b, s, r) : bench_fail("results");
	scratch_remove(dir);
	if (rc == 0 && a->b.json)
		report_json(&a->b, s, r);
	else if (rc == 0)
		report_table(&a->b, s, r);
	free(r);
	return rc == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
	static const struct argp argp = { options, parse, "append|read|upload|takeover|day",
		                          doc,     NULL,  NULL,
		                          NULL };
	struct args a = { .b = { .quiet = !isatty(STDERR_FILENO) } };
	argp_err_exit_status = 2;
	(void)argp_parse(&argp, argc, argv, 0, NULL, &a);
	const struct suite *s = suite_of(&a);
	if (!s && !bench_of(a.command)) {
		(void)fprintf(stderr,
		              "firn-bench: %s%s: say append, read, upload, takeover or day\n",
		              a.command, a.b.store ? " --store" : "");
		return 2;
	}
	if (!a.b.runs)
		a.b.runs = a.b.small ? 1 : 3;
	if (!(a.b.seconds > 0))
		a.b.seconds = a.b.small ? 0.1 : 2;
	return measure(&a, s);
}
