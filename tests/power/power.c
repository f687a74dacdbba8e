/* power FS CUTS SEED pwrite|uring STORE [LIE]: the loop. The worker, the model and the checker
 * are those of the kill -9 loop (tests/crash/kill9.h); here the disk below them loses its power.
 *
 *   ┌─► worker writes ─► cut ─► kill ─► mount ─► checker ─┐   (one checker in three loses its
 *   └─────────────────────────────────────────────────────┘    power too, until one comes through)
 *
 * The model lies in memory, so what was acked is known beyond the cut. STORE: "outside", in memory,
 * which no cut touches, or "inside", on the same disk. With a LIE (lying.h) the engine is given files
 * that do not do what they say: then the loop must find that what was acked is lost, or it fails. */
#include "tests/power/disk.h"
#include "tests/power/lying.h"
#include "tests/crash/kill9.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOVE_EVERY = 12, WHOLE_EVERY = 6, PATIENCE_S = 60 };

struct loop {
	struct disk disk;
	struct model *m;
	uint64_t state;
	unsigned n_cut, n_recovery_cut, n_dir;
	char said
	        [64]; /* what the last child wrote on stderr; most of it is that the disk is gone */
};

static pid_t start(struct loop *l)
{
	fflush(NULL);
	pid_t pid = fork();
	if (pid < 0)
		disk_fail(errno, "fork");
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	int fd = open(l->said, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || dup2(fd, STDERR_FILENO) < 0)
		_exit(DISK_BROKEN);
	return 0;
}

static bool has_ended(pid_t pid)
{
	siginfo_t info = { .si_pid = 0 };
	return !waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid;
}

/* Until the power is gone, or the child. */
static void wait_for_cut(struct loop *l, pid_t pid)
{
	for (long i = 0; !disk_is_off(&l->disk) && !has_ended(pid); i++) {
		if (i > PATIENCE_S * 10000L)
			disk_fail(0, "no cut, and no end, within %d s", PATIENCE_S);
		usleep(100);
	}
}

/* 0: it ended well, or as one may whose disk is gone. That includes SIGBUS, for the pages of a mapped
 * file are gone too. */
static int judge(struct loop *l, int status, bool was_off)
{
	int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	int rc = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	if (rc == 0 || (was_off && (rc == DIED || sig == SIGKILL || sig == SIGBUS)))
		return 0;
	fprintf(stderr, "power: a child ended with %s %d; it said:\n", sig ? "signal" : "code",
	        sig ? sig : rc);
	char text[4096];
	int fd = open(l->said, O_RDONLY);
	ssize_t len = fd < 0 ? 0 : read(fd, text, sizeof text);
	if (len > 0 && write(STDERR_FILENO, text, (size_t)len) != len)
		perror("stderr");
	close(fd);
	return -1;
}

static int finish(struct loop *l, pid_t pid, bool killed)
{
	int status;
	bool was_off = disk_is_off(&l->disk);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			disk_fail(errno, "wait");
	return judge(l, status, was_off || killed);
}

/* What lost its disk runs on for a moment, for nothing may be acked then. */
static int kill_after_cut(struct loop *l, pid_t pid)
{
	if (disk_is_off(&l->disk)) {
		usleep((useconds_t)chance(&l->state, 3000));
		kill(pid, SIGKILL);
	}
	return finish(l, pid, false);
}

static void arm(struct loop *l, uint64_t after)
{
	disk_arm(&l->disk, disk_cut_kind(&l->disk, &l->state), chance(&l->state, UINT64_MAX),
	         after);
}

static void power_back(struct loop *l)
{
	if (!disk_is_off(&l->disk))
		arm(l, 0);
	l->n_cut++;
	disk_off(&l->disk);
	disk_on(&l->disk);
}

/* One in five is killed and keeps its disk, whose cache then holds what nobody flushed: recovery must
 * not trust that. Of the others some lose the power while they open and attach, some with the n-th
 * operation on the disk, which finds narrow places, and some at a moment, which finds busy ones. */
static int run_worker(struct loop *l, bool *killed)
{
	bool early = chance(&l->state, 4) == 0, by_time = chance(&l->state, 2);
	uint64_t seed = chance(&l->state, UINT64_MAX), delay_us = chance(&l->state, 150000);
	*killed = chance(&l->state, 5) == 0;
	early &= !*killed;
	atomic_store(&l->m->attached, 0);
	if (early)
		arm(l, 1 + chance(&l->state, 120));
	pid_t pid = start(l);
	if (!pid)
		worker_main(l->m, seed);
	while (!early && !atomic_load(&l->m->attached) && !has_ended(pid))
		usleep(200);
	if (*killed || by_time)
		usleep(early ? 0 : (useconds_t)delay_us);
	if (*killed) {
		kill(pid, SIGKILL);
		return finish(l, pid, true);
	}
	if (!early)
		arm(l, by_time ? 0 : 1 + chance(&l->state, 300));
	wait_for_cut(l, pid);
	int rc = kill_after_cut(l, pid);
	if (!rc && !disk_is_off(&l->disk))
		rc = -1; /* a worker never ends by itself */
	if (!rc)
		power_back(l);
	return rc;
}

/* Recovery, or a move, loses its power too, now and then several times, at its n-th operation.
 * `must`: the first time for certain. */
static int run_checker(struct loop *l, bool must, bool whole, const char *move_to)
{
	for (;; must = false) {
		bool cuts = must || chance(&l->state, 3) == 0;
		if (cuts)
			arm(l, 1 + chance(&l->state, move_to ? 300 : 100));
		pid_t pid = start(l);
		if (!pid)
			checker_main(l->m, whole, move_to);
		if (cuts)
			wait_for_cut(l, pid);
		int rc = kill_after_cut(l, pid);
		if (rc || !cuts)
			return rc;
		l->n_recovery_cut++;
		power_back(l);
	}
}

static void report(const struct loop *l)
{
	const struct model *m = l->m;
	const struct platter_counts *c = l->disk.counts;
	printf("%s, wal_io=%s, seed %lu: %u power cuts (%u in recovery, %lu met un-flushed writes: "
	       "%lu kept, %lu lost, of these %lu torn), %lu acks kept, %lu duplicates known, %lu records "
	       "read, %lu cuts of the store\n",
	       l->disk.fs, m->wal_io, (unsigned long)m->seed, l->n_cut, l->n_recovery_cut,
	       (unsigned long)atomic_load(&c->n_hit), (unsigned long)atomic_load(&c->n_kept),
	       (unsigned long)atomic_load(&c->n_lost), (unsigned long)atomic_load(&c->n_torn),
	       (unsigned long)m->n_ack_checked, (unsigned long)atomic_load(&m->n_duplicate),
	       (unsigned long)atomic_load(&m->n_read), (unsigned long)atomic_load(&m->n_cut));
}

/* True: as many cuts as were wanted, and all held. */
static bool loop(struct loop *l, unsigned want)
{
	for (unsigned round = 1; l->n_cut < want; round++) {
		char move_to[128], *move = NULL;
		if (round % MOVE_EVERY == 0 || l->n_cut + 1 >= want) {
			snprintf(move_to, sizeof move_to, "%s/engine-%u", l->disk.mnt, ++l->n_dir);
			move = move_to;
		}
		bool killed;
		if (run_worker(l, &killed) ||
		    run_checker(l, killed, round % WHOLE_EVERY == 0, move)) {
			fprintf(stderr, "power: round %u failed, after %u cuts\n", round, l->n_cut);
			return false;
		}
	}
	return true;
}

/* What is left, as `firn verify` sees it. */
static int verify(const struct loop *l)
{
	const char *bin = getenv("FIRN_BIN_DIR");
	char program[1024];
	int status;
	if (!bin)
		return 0;
	snprintf(program, sizeof program, "%s/firn", bin);
	fflush(NULL);
	pid_t pid = fork();
	if (!pid) {
		execl(program, "firn", "verify", "--dir", l->m->dir, "--store", l->m->store,
		      "--volume", "rooms", (char *)NULL);
		perror(program);
		_exit(127);
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static void init(struct loop *l, char **argv, const char *lie)
{
	struct model *m = mmap(NULL, sizeof *m, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
	                       -1, 0);
	if (m == MAP_FAILED)
		disk_fail(errno, "the model");
	disk_make(&l->disk, argv[1]);
	disk_on(&l->disk);
	m->seed = strtoull(argv[3], NULL, 10);
	m->env = lie ? lying_env(lie) : NULL;
	if (lie && !m->env)
		disk_fail(0, "no such lie: %s", lie);
	l->m = m;
	l->state = mix(m->seed);
	l->n_dir = 1;
	snprintf(l->said, sizeof l->said, "%s/said", disk_root());
	snprintf(m->wal_io, sizeof m->wal_io, "%s", argv[4]);
	snprintf(m->dir, sizeof m->dir, "%s/engine-1", l->disk.mnt);
	snprintf(m->elsewhere, sizeof m->elsewhere, "%s/elsewhere", disk_root());
	snprintf(m->store, sizeof m->store, "file://%s/store",
	         strcmp(argv[5], "inside") ? disk_root() : l->disk.mnt);
}

int main(int argc, char **argv)
{
	static struct loop l;
	const char *lie = argc == 7 ? argv[6] : NULL;
	if (argc != 6 && !lie) {
		fprintf(stderr, "usage: power ext4|ext4-4k|xfs|btrfs CUTS SEED pwrite|uring "
		                "outside|inside [no-flush|no-dir-sync]\n");
		return 2;
	}
	disk_isolate();
	init(&l, argv, lie);
	bool held = loop(&l, (unsigned)strtoul(argv[2], NULL, 10));
	report(&l);
	if (lie) {
		printf(held ? "the loss was NOT found\n"
		            : "%s: the loss was found, as it must be\n",
		       lie);
		return held;
	}
	if (!held || !l.m->n_ack_checked)
		return 1;
	return verify(&l);
}
