/* firn-sim: the real engine, threads and all, in one thread over a simulated disk, store, clock and chance.
 *
 * Each seed runs in a process of its own, two at a time: what a killed engine leaves behind goes with it. Same seed, same
 * binary: same trace, byte for byte. */
#include "tests/sim/run.h"
#include <argp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const char *argp_program_version = "firn-sim (firn 0.1.0)";

static const char doc[] =
        "Runs seeds of the simulation and checks the promises P1 to P8 and P10 in each.\v"
        "Examples:\n"
        "  firn-sim --seeds 1..2000        many, with a summary\n"
        "  firn-sim --nodes 5 --seeds 1..2000  the same with five machines\n"
        "  firn-sim --fresh 60             new ones for 60 seconds\n"
        "  firn-sim --seed 7 --trace       what happened in one\n"
        "  firn-sim --seed 7 --minimize    the fewest faults with which it still fails\n\n"
        "Exit status 1: a promise was broken; the seed and its command line are printed.\n";

enum {
	KEY_SEED = 's',
	KEY_SEEDS = 'r',
	KEY_FRESH = 'f',
	KEY_TRACE = 't',
	KEY_MINIMIZE = 'm',
	KEY_JSON = 'j',
	KEY_WAL = 'w',
	KEY_NODES = 'n'
};

static const struct argp_option options[] = {
	{ "seed", KEY_SEED, "N", 0, "One seed", 0 },
	{ "seeds", KEY_SEEDS, "A..B", 0, "All from A to B", 0 },
	{ "fresh", KEY_FRESH, "SECONDS", 0, "Seeds by the clock, for so long", 0 },
	{ "trace", KEY_TRACE, NULL, 0, "Print what happens", 0 },
	{ "minimize", KEY_MINIMIZE, NULL, 0, "Run a failing seed with ever fewer faults", 0 },
	{ "wal", KEY_WAL, "file|store", 0, "Where the log lies; unsaid: the seed says it", 0 },
	{ "nodes", KEY_NODES, "N", 0,
	  "Machines with an engine each, 1 to 5; unsaid: the seed says it", 0 },
	{ "json", KEY_JSON, NULL, 0, "Print the summary as JSON", 0 },
	{ 0 },
};

enum { SKIP_MOST = 1 << 16, WORKERS = 2 };

/* What the children tell; shared memory. */
struct tally {
	uint64_t n_fault[N_FAULTS], n_ops, n_checks, n_steps;
	uint64_t n_strikes; /* of the last seed: faults that struck, for --minimize */
};
struct outcome {
	struct tally t;
	char dir[256];
	char failure[1200];
};

static struct {
	uint64_t from, to;
	unsigned fresh_s;
	bool trace, minimize, json;
	const char *wal;  /* NULL, "file", "store" */
	uint32_t n_nodes; /* 0: by the seed */
	uint8_t *skip;    /* ordinals of faults that shall not strike, shared with the child */
	uint64_t n_failed, n_run;
	struct tally sum;
} M = { .from = 1, .to = 100 };

static struct outcome *told; /* the child's own place */

static error_t parse(int key, char *arg, struct argp_state *state)
{
	char *end = NULL;
	switch (key) {
	case KEY_SEED:
		M.from = M.to = strtoull(arg, &end, 10);
		break;
	case KEY_SEEDS:
		M.from = strtoull(arg, &end, 10);
		if (strncmp(end, "..", 2) != 0)
			argp_error(state, "--seeds takes A..B");
		M.to = strtoull(end + 2, &end, 10);
		break;
	case KEY_FRESH:
		M.fresh_s = (unsigned)strtoul(arg, &end, 10);
		break;
	case KEY_TRACE:
		M.trace = true;
		return 0;
	case KEY_MINIMIZE:
		M.minimize = true;
		return 0;
	case KEY_JSON:
		M.json = true;
		return 0;
	case KEY_WAL:
		if (strcmp(arg, "file") && strcmp(arg, "store"))
			argp_error(state, "--wal takes file or store");
		M.wal = arg;
		return 0;
	case KEY_NODES:
		M.n_nodes = (uint32_t)strtoul(arg, &end, 10);
		if (*end || !M.n_nodes || M.n_nodes > NODES_MOST)
			argp_error(state, "--nodes takes 1 to %d", NODES_MOST);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	if (*end || M.to < M.from)
		argp_error(state, "%s is no number", arg);
	return 0;
}

/* ---- one seed, in a child */

static void tell(void)
{
	memcpy(told->t.n_fault, W.n_fault, sizeof W.n_fault);
	told->t.n_ops = W.n_ops;
	told->t.n_checks = W.n_checks;
	told->t.n_steps = sched_steps();
	told->t.n_strikes = W.n_strikes;
}

void sim_fail(const char *promise, const char *format, ...)
{
	va_list ap;
	for (struct doubt *d = W.doubts; d; d = d->next)
		if (d->process == sched_process())
			d->ask(d);
	int at = snprintf(told->failure, sizeof told->failure, "%s: ", promise);
	va_start(ap, format);
	(void)vsnprintf(told->failure + at, sizeof told->failure - (size_t)at, format, ap);
	va_end(ap);
	sim_trace("BROKEN %s", told->failure);
	tell();
	(void)fflush(stdout);
	_exit(1);
}

static void child(uint64_t seed, struct outcome *out)
{
	told = out;
	world_init(seed, M.trace, out->dir);
	if (M.wal)
		W.slots = !strcmp(M.wal, "store");
	if (M.n_nodes)
		W.n_nodes = M.n_nodes;
	W.skip = M.skip;
	W.n_skip = SKIP_MOST;
	run_seed();
	tell();
	(void)fflush(stdout);
	_exit(0);
}

static pid_t start(uint64_t seed, struct outcome *out)
{
	memset(out, 0, sizeof *out);
	(void)fflush(stdout);
	world_scratch(out->dir);
	pid_t pid = fork();
	if (pid == 0)
		child(seed, out);
	return pid;
}

/* Of a child that has ended: 0 if all is well; else the reason is in out->failure. */
static int judge(int status, struct outcome *out)
{
	world_clean(out->dir);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (!out->failure[0])
		(void)snprintf(out->failure, sizeof out->failure, "the process ended with %s %d",
		               WIFSIGNALED(status) ? "signal" : "status",
		               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	return 1;
}

/* ---- many */

struct worker {
	pid_t pid;
	uint64_t seed;
	struct outcome *out;
};

static void add_up(const struct outcome *o)
{
	for (int i = 0; i < N_FAULTS; i++)
		M.sum.n_fault[i] += o->t.n_fault[i];
	M.sum.n_ops += o->t.n_ops;
	M.sum.n_checks += o->t.n_checks;
	M.sum.n_steps += o->t.n_steps;
	M.n_run++;
}

static void wait_one(struct worker *w, unsigned n)
{
	int status;
	pid_t pid = waitpid(-1, &status, 0);
	for (unsigned i = 0; i < n; i++) {
		if (w[i].pid != pid)
			continue;
		w[i].pid = 0;
		add_up(w[i].out);
		if (!judge(status, w[i].out))
			return;
		M.n_failed++;
		char nodes[24] = "";
		if (M.n_nodes)
			(void)snprintf(nodes, sizeof nodes, " --nodes %u", M.n_nodes);
		(void)printf("seed %llu: %s\n    firn-sim --seed %llu%s%s%s --trace\n",
		             (unsigned long long)w[i].seed, w[i].out->failure,
		             (unsigned long long)w[i].seed, nodes, M.wal ? " --wal " : "",
		             M.wal ? M.wal : "");
	}
}

static void run_many(struct worker *w, unsigned n_worker)
{
	time_t end = time(NULL) + M.fresh_s;
	unsigned busy = 0;
	if (M.fresh_s)
		M.from = (uint64_t)time(NULL) * 1000, M.to = UINT64_MAX;
	for (uint64_t seed = M.from; seed <= M.to && M.n_failed < 10; seed++) {
		if (M.fresh_s && time(NULL) >= end)
			break;
		if (busy == n_worker) {
			wait_one(w, n_worker);
			busy--;
		}
		unsigned i = 0;
		while (w[i].pid)
			i++;
		w[i].seed = seed;
		w[i].pid = start(seed, w[i].out);
		busy++;
	}
	for (; busy; busy--)
		wait_one(w, n_worker);
}

static void *shared(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		abort();
	return p;
}

static void summary(double seconds)
{
	if (M.json) {
		(void)printf(
		        "{\"seeds\":\"%llu..%llu\",\"run\":%llu,\"failed\":%llu,\"operations\":%llu,\"checks\":%llu,"
		        "\"operations_per_s\":%.0f,\"faults\":{",
		        (unsigned long long)M.from, (unsigned long long)(M.from + M.n_run - 1),
		        (unsigned long long)M.n_run, (unsigned long long)M.n_failed,
		        (unsigned long long)M.sum.n_ops, (unsigned long long)M.sum.n_checks,
		        (double)M.sum.n_ops / seconds);
		for (int i = 0; i < N_FAULTS; i++)
			(void)printf("%s\"%s\":%llu", i ? "," : "", fault_name[i],
			             (unsigned long long)M.sum.n_fault[i]);
		(void)printf("}}\n");
		return;
	}
	(void)printf(
	        "%llu seeds, %llu failed; %llu operations, %.0f/s; %llu checks, %llu steps\nfaults:",
	        (unsigned long long)M.n_run, (unsigned long long)M.n_failed,
	        (unsigned long long)M.sum.n_ops, (double)M.sum.n_ops / seconds,
	        (unsigned long long)M.sum.n_checks, (unsigned long long)M.sum.n_steps);
	for (int i = 0; i < N_FAULTS; i++)
		(void)printf("%s %s %llu", i ? "," : "", fault_name[i],
		             (unsigned long long)M.sum.n_fault[i]);
	(void)putchar('\n');
}

/* ---- fewer faults */

static int fails(struct worker *w)
{
	int status;
	w->pid = start(w->seed, w->out);
	(void)waitpid(w->pid, &status, 0);
	return judge(status, w->out);
}

/* Takes away ranges of faults, halves first, as long as it still fails. */
static int minimize(struct worker *w)
{
	w->seed = M.from;
	if (!fails(w)) {
		(void)printf("seed %llu does not fail\n", (unsigned long long)w->seed);
		return 0;
	}
	uint64_t n = w->out->t.n_strikes < SKIP_MOST ? w->out->t.n_strikes : SKIP_MOST;
	uint8_t *keep = malloc(SKIP_MOST);
	for (uint64_t step = n; step; step /= 2)
		for (uint64_t at = 0; at < n; at += step) {
			memcpy(keep, M.skip, SKIP_MOST);
			memset(M.skip + at, 1, at + step < n ? step : n - at);
			if (!fails(w))
				memcpy(M.skip, keep, SKIP_MOST);
		}
	free(keep);
	uint64_t left = 0;
	for (uint64_t i = 0; i < n; i++)
		left += !M.skip[i];
	(void)printf("seed %llu fails with %llu of %llu faults:\n", (unsigned long long)w->seed,
	             (unsigned long long)left, (unsigned long long)n);
	M.trace = true;
	(void)fails(w);
	(void)printf("%s\n", w->out->failure);
	return 1;
}

int main(int argc, char **argv)
{
	const struct argp argp = { options, parse, NULL, doc, NULL, NULL, NULL };
	(void)argp_parse(&argp, argc, argv, 0, NULL, NULL);
	struct worker w[WORKERS] = { { 0 } };
	for (unsigned i = 0; i < WORKERS; i++)
		w[i].out = shared(sizeof *w[i].out);
	M.skip = shared(SKIP_MOST);
	if (M.minimize)
		return minimize(w);
	struct timespec begin, end;
	(void)timespec_get(&begin, TIME_UTC);
	run_many(w, M.trace ? 1 : WORKERS);
	(void)timespec_get(&end, TIME_UTC);
	if (!M.trace || M.json)
		summary((double)(end.tv_sec - begin.tv_sec) +
		        1e-9 * (double)(end.tv_nsec - begin.tv_nsec));
	return M.n_failed != 0;
}
