/* firn-histories: the histories of the protocol as scripts, each in a world and a process of its own.
 *
 *   firn-histories                  all
 *   firn-histories --list           their numbers, promises and truths
 *   firn-histories --trace 4a S8    these, with what happened
 *
 * A schedule is drawn from a seed (--seed N, default 1; --seeds N tries each under N of them): what a script says must hold
 * under any. Exit status 1: one of them did happen. */
#include "tests/sim/history/history.h"
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct history *const lists[] = {
	wal_histories,     write_histories, commit_histories,  shared_histories, owner_histories,
	abandon_histories, scale_histories, copy_histories,    aside_histories,  lost_histories,
	layer_histories,   slots_histories, salvage_histories, clean_histories,  follow_histories
};

static const struct history *now;

/* The world ends with the script: whatever still waits somewhere in it. */
static noreturn void end(int status)
{
	(void)fflush(stdout);
	_exit(status);
}

static void script(void *arg)
{
	(void)arg;
	now->run();
	end(0);
}

void sim_fail(const char *promise, const char *format, ...)
{
	va_list ap;
	(void)printf("history %s (%s), seed %llu: %s: ", now->number, now->truth,
	             (unsigned long long)W.seed, promise);
	va_start(ap, format);
	(void)vprintf(format, ap);
	va_end(ap);
	(void)putchar('\n');
	end(1);
}

static noreturn void live(const struct history *h, uint64_t seed, bool trace, const char *dir)
{
	char hang[512];
	world_init(seed, trace, dir);
	now = h;
	W.calm = true;
	(void)sched_spawn(0, "script", script, NULL);
	(void)sched_run();
	sched_hang_text(hang, sizeof hang);
	sim_fail("P8", "nothing moves any more: %s", hang);
}

static bool passes(const struct history *h, uint64_t seed, bool trace)
{
	int status = 1;
	char dir[256];
	(void)fflush(stdout);
	world_scratch(dir);
	pid_t child = fork();
	if (child == 0) {
		(void)alarm(60);
		live(h, seed, trace, dir);
	}
	bool ended = child > 0 && waitpid(child, &status, 0) == child;
	world_clean(dir);
	if (!ended)
		return false;
	if (WIFSIGNALED(status))
		(void)printf("history %s, seed %llu: signal %d\n", h->number,
		             (unsigned long long)seed, WTERMSIG(status));
	return status == 0;
}

static bool wanted(const struct history *h, char *const *number, int n)
{
	for (int i = 0; i < n; i++)
		if (!strcmp(number[i], h->number))
			return true;
	return n == 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "list", no_argument, NULL, 'l' },
		                                 { "trace", no_argument, NULL, 't' },
		                                 { "seed", required_argument, NULL, 's' },
		                                 { "seeds", required_argument, NULL, 'n' },
		                                 { 0 } };
	uint64_t seed = 1, seeds = 1;
	uint32_t n = 0, failed = 0;
	bool list = false, trace = false;
	int c;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		list |= c == 'l';
		trace |= c == 't';
		if (c == 's')
			seed = strtoull(optarg, NULL, 0);
		else if (c == 'n')
			seeds = strtoull(optarg, NULL, 0);
		else if (c == '?')
			return 2;
	}
	for (size_t l = 0; l < sizeof lists / sizeof lists[0]; l++)
		for (const struct history *h = lists[l]; h->number; h++) {
			if (!wanted(h, argv + optind, argc - optind))
				continue;
			n++;
			if (list)
				(void)printf("%-4s %-4s %s\n", h->number, h->promise, h->truth);
			for (uint64_t i = 0; !list && i < seeds; i++)
				failed += !passes(h, seed + i, trace);
		}
	if (!list)
		(void)printf("%u histories, %llu schedules each, %u failed\n", n,
		             (unsigned long long)seeds, failed);
	return failed || !n;
}
