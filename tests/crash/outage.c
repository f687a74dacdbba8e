/* outage DIR SEED STORE KILL REVIVE: an outage of a real store, in which the process dies as well (P8, P7; PROTOCOL 13).
 * KILL and REVIVE are shell commands that end the store's server as by kill -9, and bring it back.
 *
 *	writes ─ server dies ─ writes go on ─ kill -9 ─ resumes, writes ─ kill -9 ─ resumes, writes ─ server is back
 *	       ─ all is stored, by itself, while writes go on ─ kill -9 ─ all is compared with the model
 *
 * Workers, checker and model are those of the kill -9 loop (kill9.h). Memory is counted where the engine asks for it,
 * requests by the engine. */
#include "engine/os/env.h"
#include "tests/crash/kill9.h"
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MEMORY = 16 << 20, WAL = 96 << 20, BEFORE = 5000, EACH = 10000 };

/* In memory that all processes share. */
struct outage {
	struct model m;
	atomic_long live, peak; /* bytes that this engine has */
	uint64_t seed;
	double seconds;          /* of workers in the outage ... */
	unsigned long n_request; /* ... and what they asked the dead server */
	long peak_away;
};
static struct outage *o;
static pid_t worker;

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- memory ---- */

static void *count_alloc(void *ctx, size_t len, size_t align)
{
	void *p = env_default()->alloc(ctx, len, align);
	long more = p ? (long)malloc_usable_size(p) : 0;
	long live = atomic_fetch_add(&o->live, more) + more, peak = atomic_load(&o->peak);
	while (live > peak && !atomic_compare_exchange_weak(&o->peak, &peak, live))
		;
	return p;
}

static void count_release(void *ctx, void *p)
{
	atomic_fetch_sub(&o->live, p ? (long)malloc_usable_size(p) : 0);
	env_default()->release(ctx, p);
}

/* ---- processes ---- */

static void child(void)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL))
		die("prctl: %s", strerror(errno));
}

static void start_worker(void)
{
	atomic_store(&o->m.told.state, 0);
	atomic_store(&o->m.told.n_request, 0);
	atomic_store(&o->live, 0);
	atomic_store(&o->peak, 0);
	worker = fork();
	if (worker == 0) {
		child();
		worker_main(&o->m, ++o->seed);
	}
}

static void kill_worker(void)
{
	int status;
	kill(worker, SIGKILL);
	if (waitpid(worker, &status, 0) != worker || !WIFSIGNALED(status))
		die("the worker ended by itself");
}

/* Until it has come true; the worker must not end meanwhile. Nothing here is a matter of time. */
static void await(bool (*truth)(void))
{
	while (!truth()) {
		siginfo_t info = { .si_pid = 0 };
		if (!waitid(P_PID, (id_t)worker, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid)
			die("the worker ended by itself");
		usleep(1000);
	}
}

static void run(const char *command)
{
	if (system(command))
		die("%s: failed", command);
}

/* ---- what is waited for ---- */

static bool wrote_enough(void)
{
	return atomic_load(&o->m.n_ack) >= atomic_load(&o->m.n_ack_to);
}

static bool stored_some(void)
{
	return wrote_enough() && atomic_load(&o->m.told.stored) > 0;
}

static bool is_away(void)
{
	return wrote_enough() && atomic_load(&o->m.told.state) == FIRN_STATE_STORE_AWAY;
}

static unsigned long durable_then;
static bool drained(void)
{
	return wrote_enough() && atomic_load(&o->m.told.stored) >= durable_then &&
	       atomic_load(&o->m.told.state) == FIRN_STATE_OPEN;
}

static void write_more(unsigned long n)
{
	atomic_store(&o->m.n_ack_to, atomic_load(&o->m.n_ack) + n);
}

/* ---- the outage ---- */

static void note_away(double since, unsigned long requests_before)
{
	unsigned long n = atomic_load(&o->m.told.n_request) - requests_before;
	long peak = atomic_load(&o->peak);
	o->seconds += now() - since;
	o->n_request += n;
	o->peak_away = peak > o->peak_away ? peak : o->peak_away;
	printf("away: %lu acked in all, %.1f s, %lu requests, peak %ld KiB\n",
	       (unsigned long)atomic_load(&o->m.n_ack), now() - since, n, peak >> 10);
}

static void loses_its_store(const char *command)
{
	write_more(BEFORE);
	start_worker();
	await(stored_some);
	run(command);
	double since = now();
	unsigned long asked = atomic_load(&o->m.told.n_request);
	write_more(EACH);
	await(is_away);
	note_away(since, asked);
}

static void resumes(void)
{
	unsigned long was = atomic_load(&o->m.told.n_resumed);
	kill_worker();
	write_more(EACH);
	double since = now();
	start_worker();
	await(is_away);
	note_away(since, 0);
	if (atomic_load(&o->m.told.n_resumed) != was + 1)
		die("it attached without a store, and does not say so");
}

static void has_it_back(const char *command)
{
	run(command);
	double since = now();
	durable_then = atomic_load(&o->m.told.durable);
	write_more(BEFORE);
	await(drained);
	printf("back: all of the outage stored after %.1f s, by itself\n", now() - since);
}

static int is_compared(const char *move_to)
{
	int status;
	kill_worker();
	pid_t pid = fork();
	if (pid == 0) {
		child();
		checker_main(&o->m, true, move_to);
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : 1;
}

/* The circuit lets less than one through each second once it is open; what came before, and several parts that learn of it
 * at once, cost a few more. */
static void judge(void)
{
	printf("outage: %.1f s of workers, %lu requests to the dead server, %.1f each second; memory at most %ld KiB of "
	       "%d; %lu acks kept, %lu records read\n",
	       o->seconds, o->n_request, (double)o->n_request / o->seconds, o->peak_away >> 10,
	       MEMORY >> 10, (unsigned long)o->m.n_ack_checked,
	       (unsigned long)atomic_load(&o->m.n_read));
	if ((double)o->n_request > 3 * 20 + 2 * o->seconds)
		die("a storm of retries");
	if (o->peak_away > MEMORY)
		die("more memory than it may have");
	if (o->m.n_ack_checked < 3 * EACH)
		die("hardly anything was compared");
}

int main(int argc, char **argv)
{
	static struct firn_env env;
	char move_to[1100];
	o = mmap(NULL, sizeof *o, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (argc != 6 || o == MAP_FAILED || strlen(argv[3]) >= sizeof o->m.store ||
	    (mkdir(argv[1], 0777) && errno != EEXIST)) {
		fprintf(stderr, "usage: outage DIR SEED STORE-URI KILL-COMMAND REVIVE-COMMAND\n");
		return 2;
	}
	env = *env_default();
	env.alloc = count_alloc;
	env.release = count_release;
	o->seed = strtoull(argv[2], NULL, 10);
	o->m.env = &env;
	o->m.memory_bytes = MEMORY;
	o->m.wal_bytes = WAL;
	o->m.endless = true;
	snprintf(o->m.wal_io, sizeof o->m.wal_io, "auto");
	snprintf(o->m.dir, sizeof o->m.dir, "%.1000s/engine-1", argv[1]);
	snprintf(o->m.elsewhere, sizeof o->m.elsewhere, "%.1000s/elsewhere", argv[1]);
	snprintf(o->m.store, sizeof o->m.store, "%s", argv[3]);
	snprintf(move_to, sizeof move_to, "%.1000s/engine-2", argv[1]);
	setvbuf(stdout, NULL, _IOLBF, 0);
	loses_its_store(argv[4]);
	resumes();
	resumes();
	has_it_back(argv[5]);
	if (is_compared(move_to))
		return 1;
	judge();
	return 0;
}
