/* kill9 DIR KILLS SEED WAL_IO STORE: the loop. See kill9.h. */
#include "tests/crash/kill9.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOVE_EVERY = 12, WHOLE_EVERY = 6 };

static void wait_us(uint64_t us)
{
	usleep((useconds_t)us);
}

/* Waits for the end of a child: 0 as expected (exit 0, or killed if we killed it). */
static int reap_child(pid_t pid, bool killed)
{
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	if (killed && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		return 0;
	if (WIFSIGNALED(status))
		fprintf(stderr, "kill9: a child died of signal %d\n", WTERMSIG(status));
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

/* Some die while they open and attach, most while they write, detach or attach again. */
static int run_worker(struct model *m, uint64_t *state)
{
	uint64_t seed = chance(state, UINT64_MAX);
	bool early = chance(state, 4) == 0;
	uint64_t delay_us = chance(state, early ? 30000 : 150000);
	atomic_store(&m->attached, 0);
	pid_t pid = fork();
	if (pid == 0)
		worker_main(m, seed);
	for (int i = 0; !early && !atomic_load(&m->attached) && i < 60000; i++) {
		siginfo_t info = { .si_pid = 0 };
		if (!waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid)
			break; /* it failed: reap_child tells */
		wait_us(1000);
	}
	wait_us(delay_us);
	kill(pid, SIGKILL);
	return reap_child(pid, true);
}

/* One in eight is killed itself, while it recovers; then another one is sent. */
static int run_checker(struct model *m, uint64_t *state, bool whole, const char *move_to,
                       unsigned *kills)
{
	bool die_first = chance(state, 8) == 0 && !move_to;
	for (;;) {
		uint64_t delay_us = chance(state, 20000);
		pid_t pid = fork();
		if (pid == 0)
			checker_main(m, whole, move_to);
		if (!die_first)
			return reap_child(pid, false);
		wait_us(delay_us);
		kill(pid, SIGKILL);
		if (reap_child(pid, true))
			return -1;
		++*kills;
		die_first = false;
	}
}

static void report(const struct model *m, unsigned kills)
{
	printf("%u kills, wal_io=%s, seed %lu: %lu acks kept, %lu duplicates known, %lu records "
	       "read, %lu cuts, %lu sessions ended by themselves, %lu writes unknown\n",
	       kills, m->wal_io, (unsigned long)m->seed, (unsigned long)m->n_ack_checked,
	       (unsigned long)atomic_load(&m->n_duplicate), (unsigned long)atomic_load(&m->n_read),
	       (unsigned long)atomic_load(&m->n_cut), (unsigned long)atomic_load(&m->n_session),
	       (unsigned long)atomic_load(&m->n_unknown));
}

static int loop(struct model *m, const char *dir, unsigned want)
{
	uint64_t state = mix(m->seed);
	unsigned kills = 0, n_dir = 1;
	for (unsigned round = 1; kills < want; round++) {
		char move_to[1024], *move = NULL;
		bool last = kills + 1 >= want;
		if (round % MOVE_EVERY == 0 || last) {
			snprintf(move_to, sizeof move_to, "%s/engine-%u", dir, ++n_dir);
			move = move_to;
		}
		int rc = run_worker(m, &state);
		kills++;
		if (!rc)
			rc = run_checker(m, &state, round % WHOLE_EVERY == 0, move, &kills);
		if (rc) {
			fprintf(stderr, "kill9: round %u failed; kept: %s\n", round, dir);
			report(m, kills);
			return 1;
		}
	}
	report(m, kills);
	printf("%s\n", m->dir);
	return m->n_ack_checked > 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
	if (argc != 6 || strlen(argv[5]) >= sizeof((struct model *)0)->store) {
		fprintf(stderr, "usage: kill9 DIR KILLS SEED pwrite|uring|auto STORE-URI\n");
		return 2;
	}
	struct model *m = mmap(NULL, sizeof *m, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
	                       -1, 0);
	if (m == MAP_FAILED || (mkdir(argv[1], 0777) && errno != EEXIST)) {
		perror(argv[1]);
		return 2;
	}
	m->seed = strtoull(argv[3], NULL, 10);
	snprintf(m->wal_io, sizeof m->wal_io, "%s", argv[4]);
	snprintf(m->dir, sizeof m->dir, "%s/engine-1", argv[1]);
	snprintf(m->elsewhere, sizeof m->elsewhere, "%s/elsewhere", argv[1]);
	snprintf(m->store, sizeof m->store, "%s", argv[5]);
	return loop(m, argv[1], (unsigned)strtoul(argv[2], NULL, 10));
}
