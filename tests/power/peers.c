/* power-peers FS CUTS SEED: how many acked records does a power cut cost, CUTS cuts each? Prints a
 * table. Fails if a log that flushes has lost a record (firn, and RocksDB with sync, which shows that
 * the disk keeps what it promised), or if one that does not has lost none: then the cuts prove
 * nothing. */
#include "tests/power/disk.h"
#include "tests/power/peers.h"
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

static const struct log_kind kinds[] = {
	{ "firn", true, firn_log_make, firn_log_append, firn_log_read, NULL },
	{ "firn, flush removed", false, firn_log_make, firn_log_append, firn_log_read, "no-flush" },
#ifdef FIRN_HAVE_ROCKSDB
	{ "RocksDB, sync=true", true, rocksdb_log_make, rocksdb_log_append, rocksdb_log_read,
	  NULL },
	{ "RocksDB, sync=false", false, rocksdb_log_make, rocksdb_log_append, rocksdb_log_read,
	  NULL },
#endif
};

struct shared { /* with the processes that are killed */
	atomic_uint writing;
	atomic_ulong n_acked, n_found;
};

struct tally {
	unsigned long n_acked, n_lost, n_lossy, n_refused;
};

static struct disk disk;
static struct shared *shared;
static uint64_t state;

static void make_record(uint8_t *record, uint64_t id)
{
	for (uint32_t at = 0; at < RECORD_BYTES; at += 8) {
		uint64_t x = mix(id << 8 | at);
		memcpy(record + at, &x, 8);
	}
}

static bool keeps(void *arg, const void *record, uint64_t len)
{
	uint8_t want[RECORD_BYTES];
	(void)arg;
	make_record(want, atomic_load(&shared->n_found));
	if (len != sizeof want || memcmp(record, want, sizeof want) != 0)
		return false;
	atomic_fetch_add(&shared->n_found, 1);
	return true;
}

/* Nobody is to lose records because the directory is new: it is on the medium before the count. */
static _Noreturn void write_on(const struct log_kind *k, const char *dir)
{
	uint8_t record[RECORD_BYTES];
	void *log = k->make(k, dir);
	int fd = open(disk.mnt, O_RDONLY);
	make_record(record, 0);
	if (!log || k->append(log, 0, record) || fd < 0 || syncfs(fd))
		_exit(DIED);
	atomic_store(&shared->n_acked, 1);
	atomic_store(&shared->writing, 1);
	for (uint64_t id = 1;; id++) {
		make_record(record, id);
		if (k->append(log, id, record))
			break;
		atomic_store(&shared->n_acked, id + 1);
	}
	for (;;)
		pause(); /* the disk is gone; to be killed */
}

static pid_t start(void)
{
	fflush(NULL);
	pid_t pid = fork();
	if (pid < 0)
		disk_fail(errno, "fork");
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* What is lost is counted, not told; nor what is said of a disk that is gone. */
	if (!freopen("/dev/null", "w", stderr))
		_exit(DISK_BROKEN);
	return 0;
}

static int reap(pid_t pid)
{
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			disk_fail(errno, "wait");
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void one_cut(const struct log_kind *k, const char *dir, struct tally *t)
{
	uint64_t delay_us = chance(&state, 150000);
	atomic_store(&shared->writing, 0);
	atomic_store(&shared->n_found, 0);
	pid_t pid = start();
	if (!pid)
		write_on(k, dir);
	for (long i = 0; !atomic_load(&shared->writing); i++) {
		if (i > 60 * 5000)
			disk_fail(0, "%s does not begin to write", k->name);
		usleep(200);
	}
	usleep((useconds_t)delay_us);
	disk_arm(&disk, disk_cut_kind(&disk, &state), chance(&state, UINT64_MAX), 0);
	kill(pid, SIGKILL);
	reap(pid);
	disk_off(&disk);
	disk_on(&disk);
	pid = start();
	if (!pid)
		_exit(k->read(k, dir, keeps, NULL) ? DIED : 0);
	t->n_refused += reap(pid) != 0;
	unsigned long acked = atomic_load(&shared->n_acked), found = atomic_load(&shared->n_found);
	t->n_acked += acked;
	t->n_lost += acked > found ? acked - found : 0;
	t->n_lossy += acked > found;
}

/* Fresh directories, and a fresh disk for each log, which goes when we go. */
static bool run(const struct log_kind *k, const char *fs, unsigned n_cut)
{
	struct tally t = { 0 };
	char dir[128];
	disk_make(&disk, fs);
	disk_on(&disk);
	for (unsigned i = 0; i < n_cut; i++) {
		snprintf(dir, sizeof dir, "%s/log-%u", disk.mnt, i);
		one_cut(k, dir, &t);
	}
	bool right = k->flushes ? !t.n_lost && !t.n_refused : t.n_lost > 0;
	printf("%-22s %8lu %8lu   %4lu of %-4u %8lu%s\n", k->name, t.n_acked, t.n_lost, t.n_lossy,
	       n_cut, t.n_refused, right ? "" : "   NOT AS IT MUST BE");
	disk_arm(&disk, CUT_DROP, 1, 0);
	disk_off(&disk);
	return right;
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: power-peers ext4|ext4-4k|xfs|btrfs CUTS SEED\n");
		return 2;
	}
	bool right = true;
	disk_isolate();
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
	              0);
	if (shared == MAP_FAILED)
		disk_fail(errno, "memory");
	state = mix(strtoull(argv[3], NULL, 10));
	printf("%s, seed %s: records acked before a power cut, and gone after it\n", argv[1],
	       argv[3]);
	printf("%-22s %8s %8s   %12s %8s\n", "", "acked", "lost", "lossy cuts", "refused");
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		right &= run(&kinds[i], argv[1], (unsigned)strtoul(argv[2], NULL, 10));
#ifndef FIRN_HAVE_ROCKSDB
	printf("RocksDB was not found when this was built\n");
#endif
	return !right;
}
