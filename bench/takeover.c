#include "bench/takeover.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- one measurement ---- */

static int place_make(const struct bench *b, const char *dir, struct takeover_place *p)
{
	char log[4300];
	(void)snprintf(p->fill, sizeof p->fill, "%s/fill", dir);
	(void)snprintf(p->take, sizeof p->take, "%s/take", dir);
	(void)snprintf(p->store, sizeof p->store, "file://%s/store", dir);
	(void)snprintf(log, sizeof log, "file://%s/log", dir);
	if (b->store && (store_place(b, "takeover", p->store, sizeof p->store) ||
	                 store_place(b, "takeover-log", log, sizeof log)))
		return -1;
	(void)snprintf(p->wal, sizeof p->wal, "wal=store:%s", log);
	return 0;
}

/* In a process of its own, which ends without closing anything: as by kill -9. */
static int in_process(const struct takeover *t, const struct takeover_place *p, struct taken *out)
{
	int status;
	(void)fflush(NULL);
	pid_t pid = fork();
	if (pid == 0)
		_exit((out ? takeover_take(t, p, out) : takeover_fill(t, p)) ? 1 : 0);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return bench_fail("fork");
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

int takeover_measure(const struct bench *b, const struct takeover *t, struct taken *out)
{
	char dir[4096];
	static struct takeover_place p;
	struct taken *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
	                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return bench_fail("memory");
	if (scratch_make(b->dir, t->name, dir, sizeof dir) < 0)
		return -1;
	int rc = place_make(b, dir, &p);
	if (rc == 0 && t->kind != TAKE_BARE)
		rc = in_process(t, &p, NULL);
	rc = rc ? rc : in_process(t, &p, shared);
	*out = *shared;
	if (b->store) {
		store_clear(p.store);
		store_clear(p.wal + strlen("wal=store:"));
	}
	scratch_remove(dir);
	(void)munmap(shared, sizeof *shared);
	return rc;
}

/* ---- all of them ---- */

static const struct takeover all[] = {
	{ "bare", TAKE_BARE, 0, 0, 0 },
	{ "clean-10", TAKE_CLEAN, 10, 64, 0 },
	{ "clean-10k", TAKE_CLEAN, 10000, 64, 0 },
	{ "clean-10k-1g", TAKE_CLEAN, 10000, 1024, 0 },
	{ "clean-100k", TAKE_CLEAN, 100000, 64, 0 },
	{ "killed-10", TAKE_KILLED, 10, 64, 0 },
	{ "killed-10k", TAKE_KILLED, 10000, 64, 0 },
	{ "killed-10k-1g", TAKE_KILLED, 10000, 1024, 0 },
	{ "killed-100k", TAKE_KILLED, 100000, 64, 0 },
	{ "slots-10", TAKE_SLOTS, 10, 64, 0 },
	{ "slots-10k", TAKE_SLOTS, 10000, 64, 0 },
	{ "slots-10k-1g", TAKE_SLOTS, 10000, 1024, 0 },
	{ "slots-100k", TAKE_SLOTS, 100000, 64, 0 },
	{ "1m-clean", TAKE_CLEAN, 100000, 64, 10 },
	{ "1m-killed", TAKE_KILLED, 100000, 64, 10 },
	{ "10g-clean", TAKE_CLEAN, 10000, 10240, 0 },
	{ "10g-killed", TAKE_KILLED, 10000, 10240, 0 },
	{ "10g-slots", TAKE_SLOTS, 10000, 10240, 0 },
};
enum { N_ALL = sizeof all / sizeof all[0] };

static const char *const kind_text[] = { "clean detach", "kill -9, WAL at hand",
	                                 "kill -9, log in the store",
	                                 "bare GET, PUT, PUT of 1 KiB" };
static const char *const value_names[TAKEN_VALUES] = {
	"open_ms", "cas_ms", "attach_ms",      "first_ack_ms", "first_read_ms",
	"gets",    "puts",   "other_requests", "got_kib",      "put_kib"
};

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

/* The median of each value by itself. */
static void medians(const struct taken *run, unsigned n, double *v, double *out)
{
	for (unsigned k = 0; k < TAKEN_VALUES; k++) {
		for (unsigned i = 0; i < n; i++)
			v[i] = ((const double *)&run[i])[k];
		qsort(v, n, sizeof *v, by_value);
		out[k] = n & 1 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
	}
}

static void print_row(const struct bench *b, const struct takeover *t, const double *v, int first)
{
	if (b->json) {
		(void)printf("%s\n {\"name\":\"%s\",\"streams\":%u,\"mib\":%u", first ? "" : ",",
		             t->name, t->n_stream, t->mib);
		for (unsigned k = 0; k < TAKEN_VALUES; k++)
			(void)printf(",\"%s\":%.6g", value_names[k], v[k]);
		(void)printf("}");
		return;
	}
	if (first)
		(void)printf("%-28s %8s %6s %8s %8s %8s %9s %10s %5s %5s %6s %9s %9s\n", "",
		             "streams", "MiB", "open ms", "CAS", "attached", "first ack",
		             "first read", "GETs", "PUTs", "others", "KiB got", "KiB put");
	(void)printf("%-28s %8u %6u %8.1f %8.0f %8.1f %9.1f %10.1f %5.0f %5.0f %6.0f %9.1f %9.1f\n",
	             kind_text[t->kind], t->n_stream, t->mib, v[0], v[1], v[2], v[3], v[4], v[5],
	             v[6], v[7], v[8], v[9]);
}

/* What takes a while to fill is measured only where it is named. */
static int wanted(const struct bench *b, const struct takeover *t)
{
	return (!b->only && t->mib <= 1024 && !t->rounds) ||
	       (b->only && strncmp(t->name, b->only, strlen(b->only)) == 0);
}

static struct takeover sized(const struct bench *b, const struct takeover *t)
{
	struct takeover s = *t;
	s.mib = b->small && t->mib ? 1 : t->mib;
	return s;
}

static int measure(const struct bench *b, struct taken *run, int *done)
{
	int rc = 0;
	for (unsigned i = 0; !rc && i < b->runs; i++)
		for (unsigned k = 0; !rc && k < N_ALL; k++) {
			struct takeover t = sized(b, &all[k]);
			done[k] = wanted(b, &t) && !(b->small && t.n_stream > 10);
			if (!done[k])
				continue;
			if (!b->quiet)
				(void)fprintf(stderr, "\r\033[K[%u/%u] %s", i + 1, b->runs, t.name);
			rc = takeover_measure(b, &t, &run[k * b->runs + i]);
		}
	if (!b->quiet)
		(void)fprintf(stderr, "\r\033[K");
	return rc;
}

int takeover_bench(const struct bench *b)
{
	struct taken *run = calloc((size_t)N_ALL * b->runs, sizeof *run);
	double *v = calloc(b->runs, sizeof *v), row[TAKEN_VALUES];
	int done[N_ALL] = { 0 }, first = 1;
	int rc = run && v ? measure(b, run, done) : bench_fail("takeover");
	if (rc == 0 && b->json)
		(void)printf("{\"benchmark\":\"takeover\",\"small\":%s,\"runs\":%u,\n\"results\":[",
		             b->small ? "true" : "false", b->runs);
	for (unsigned k = 0; rc == 0 && k < N_ALL; k++)
		if (done[k]) {
			medians(run + (size_t)k * b->runs, b->runs, v, row);
			struct takeover t = sized(b, &all[k]);
			print_row(b, &t, row, first);
			first = 0;
		}
	if (rc == 0 && b->json)
		(void)printf("]}\n");
	else if (rc == 0)
		(void)printf(
		        "\nMilliseconds from the call of the attach, medians of %u run%s. \"CAS\": it is the writer, "
		        "in the manifest.\n1000 records of 100 B are not stored, but for the clean detach. "
		        "Requests without those that try the store's\nconditions, once for an engine and "
		        "a store; the times are with them.%s\n",
		        b->runs, b->runs == 1 ? "" : "s",
		        b->small ? " Smoke sizes: the figures mean nothing." : "");
	free(v);
	free(run);
	return rc;
}
