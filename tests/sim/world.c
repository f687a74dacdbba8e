#include "tests/sim/world.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <ftw.h>

struct world W;

const char *const fault_name[N_FAULTS] = {
	[FAULT_KILL] = "kill -9",
	[FAULT_POWER] = "power cut",
	[FAULT_TORN] = "torn write",
	[FAULT_DROPPED] = "dropped write",
	[FAULT_NAMES_LOST] = "names lost",
	[FAULT_LATE_WRITE] = "late write",
	[FAULT_EIO] = "EIO",
	[FAULT_ENOSPC] = "ENOSPC",
	[FAULT_LYING_FLUSH] = "lying flush",
	[FAULT_ROT] = "bit rot",
	[FAULT_STORE_LOST] = "answer lost",
	[FAULT_STORE_RETRY] = "503",
	[FAULT_STORE_THROTTLED] = "throttled",
	[FAULT_STORE_LATE] = "late request",
	[FAULT_STORE_TWICE] = "PUT twice",
	[FAULT_OUTAGE] = "outage",
	[FAULT_INDEX_OLD] = "older index",
	[FAULT_INDEX_GONE] = "index gone",
	[FAULT_CLOCK] = "clock jump",
	[FAULT_ABANDON] = "abandon",
	[FAULT_MOVED] = "moved disk",
	[FAULT_PAUSE] = "pause",
	[FAULT_PARTITION] = "partition",
	[FAULT_RESTORED] = "older snapshot",
	[FAULT_CLONED] = "cloned disk",
	[FAULT_BUCKET_BACK] = "older bucket",
	[FAULT_CONDITIONS_IGNORED] = "conditions ignored",
};

void world_scratch(char dir[256])
{
	(void)snprintf(dir, 256, "/dev/shm/firn-sim-XXXXXX");
	if (!mkdtemp(dir))
		abort();
}

void world_init(uint64_t seed, bool trace, const char *dir)
{
	memset(&W, 0, sizeof W);
	W.seed = seed;
	W.rng.s = seed;
	W.trace = trace;
	W.slots = seed % 4 == 0;
	W.mixed = seed % 8 == 0;
	/* Not drawn of W.rng: what one machine does is not another matter because there are more. */
	W.n_nodes = seed % 3 ? 2 : 1 + (uint32_t)(seed / 3 % NODES_MOST);
	sched_init(seed);
	(void)snprintf(W.scratch, sizeof W.scratch, "%s", dir);
}

static int gone(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st, (void)flag, (void)ftw;
	return remove(path);
}

void world_clean(const char *dir)
{
	(void)nftw(dir, gone, 16, FTW_DEPTH | FTW_PHYS);
}

bool fault_strikes(enum fault f, uint32_t n)
{
	if (W.always[f]) {
		W.n_fault[f]++;
		return true;
	}
	if (W.calm || !rng_one_in(&W.rng, n))
		return false;
	uint64_t k = W.n_strikes++;
	if (k < W.n_skip && W.skip[k])
		return false;
	W.n_fault[f]++;
	return true;
}

void sim_trace(const char *format, ...)
{
	char line[2048], *at = line, *dir;
	va_list ap;
	if (!W.trace)
		return;
	(void)printf("%12.6f %-10s ", (double)sched_now() / 1e9, sched_name());
	va_start(ap, format);
	(void)vsnprintf(line, sizeof line, format, ap);
	va_end(ap);
	for (; (dir = strstr(at, W.scratch)) != NULL;
	     at = dir + strlen(W.scratch)) /* its name is chance of another kind */
		(void)printf("%.*s~", (int)(dir - at), at);
	(void)printf("%s\n", at);
}
