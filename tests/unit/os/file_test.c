/* Files and names: opening, reading short, locks that die with their process, directories. (P4) */
#include "tests/unit/os/fixture.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct os_fixture x;
static const struct firn_files *f;

static void setup(void)
{
	os_fixture_init(&x, NULL);
	f = env_default()->files;
}

static void teardown(void)
{
	os_fixture_fini(&x);
}

TestSuite(os_file, .init = setup, .fini = teardown, .timeout = 30);

static void *open_as(uint32_t flags)
{
	void *file = NULL;
	cr_assert_eq(f->open(NULL, x.path, flags, &file), 0);
	return file;
}

static void make(const char *path, const void *bytes, size_t len)
{
	void *file = NULL;
	cr_assert_eq(f->open(NULL, path, FIRN_OPEN_CREATE, &file), 0);
	cr_assert_eq(f->write(NULL, file, bytes, len, 0), (int64_t)len);
	cr_assert_eq(f->sync(NULL, file), 0);
	cr_assert_eq(f->close(NULL, file), 0);
}

/* ---- open, read, write ----------------------------------------------------------------------- */

Test(os_file, an_absent_file_is_enoent_and_an_exclusive_second_one_eexist)
{
	void *file = NULL;
	cr_expect_eq(f->open(NULL, x.path, 0, &file), -ENOENT);
	uint32_t how = FIRN_OPEN_CREATE | FIRN_OPEN_EXCLUSIVE | FIRN_OPEN_DIRECT;
	cr_expect_eq(f->open(NULL, x.path, how, &file), 0);
	cr_expect_eq(f->close(NULL, file), 0);
	cr_expect_eq(f->open(NULL, x.path, how, &file), -EEXIST);
}

Test(os_file, a_read_only_file_takes_no_write)
{
	make(x.path, "abc", 3);
	void *file = open_as(FIRN_OPEN_READ_ONLY);
	cr_expect_eq(f->write(NULL, file, "x", 1, 0), -EBADF);
	cr_expect_eq(f->close(NULL, file), 0);
}

Test(os_file, a_read_across_the_end_is_short_and_one_behind_it_is_empty)
{
	unsigned char *buf = os_pattern(4 * OS_PAGE, 0), *want = os_pattern(4 * OS_PAGE, 1);
	make(x.path, want, 5000);
	for (uint32_t how = 0; how <= FIRN_OPEN_DIRECT; how += FIRN_OPEN_DIRECT) {
		void *file = open_as(how);
		cr_expect_eq(f->read(NULL, file, buf, 4 * OS_PAGE, 0), 5000);
		cr_expect(memcmp(buf, want, 5000) == 0);
		cr_expect_eq(f->read(NULL, file, buf, OS_PAGE, OS_PAGE), 5000 - 4096);
		cr_expect_eq(f->read(NULL, file, buf, OS_PAGE, 2 * OS_PAGE), 0);
		uint64_t size = 0;
		cr_expect_eq(f->size(NULL, file, &size), 0);
		cr_expect_eq(size, 5000);
		cr_expect_eq(f->close(NULL, file), 0);
	}
	free(buf);
	free(want);
}

Test(os_file, a_caller_that_forgets_to_align_does_not_lose_o_direct)
{
	unsigned char *buf = os_pattern(2 * OS_PAGE, 0);
	void *file = open_as(FIRN_OPEN_CREATE | FIRN_OPEN_DIRECT);
	int direct = os_file_direct(env_default(), file);
	int64_t n = f->write(NULL, file, buf + 1, 100, 0);
	cr_expect(direct ? n == -EINVAL : n == 100);
	cr_expect_eq(os_file_direct(env_default(), file), direct);
	cr_expect_eq(f->write(NULL, file, buf, OS_PAGE, 0), (int64_t)OS_PAGE);
	cr_expect_eq(f->close(NULL, file), 0);
	free(buf);
}

/* A device without O_DIRECT stands for a file system without: it still opens, buffered. */
Test(os_file, a_file_that_cannot_do_o_direct_opens_buffered)
{
	void *file = NULL;
	char c = 1;
	cr_assert_eq(f->open(NULL, "/dev/null", FIRN_OPEN_DIRECT, &file), 0);
	cr_expect_eq(os_file_direct(env_default(), file), 0);
	cr_expect_eq(f->write(NULL, file, &c, 1, 0), 1);
	cr_expect_eq(f->close(NULL, file), 0);
}

Test(os_file, descriptors_do_not_survive_exec)
{
	int before = open("/dev/null", O_RDONLY | O_CLOEXEC);
	(void)close(before); /* the next descriptor will be this one */
	void *file = open_as(FIRN_OPEN_CREATE);
	cr_expect(fcntl(before, F_GETFD) & FD_CLOEXEC);
	cr_expect_eq(f->close(NULL, file), 0);
}

/* ---- locks ----------------------------------------------------------------------------------- */

Test(os_file, a_lock_keeps_a_second_opener_out_until_it_is_closed)
{
	void *one = open_as(FIRN_OPEN_CREATE), *two = open_as(0);
	cr_expect_eq(f->lock(NULL, one), 0);
	cr_expect_eq(f->lock(NULL, two), -EWOULDBLOCK);
	cr_expect_eq(f->close(NULL, one), 0);
	cr_expect_eq(f->lock(NULL, two), 0);
	cr_expect_eq(f->close(NULL, two), 0);
}

Test(os_file, closing_another_handle_of_the_file_does_not_drop_the_lock)
{
	void *one = open_as(FIRN_OPEN_CREATE), *two = open_as(0), *three = open_as(0);
	cr_expect_eq(f->lock(NULL, one), 0);
	cr_expect_eq(f->close(NULL, two), 0);
	cr_expect_eq(f->lock(NULL, three), -EWOULDBLOCK);
	cr_expect_eq(f->close(NULL, three), 0);
	cr_expect_eq(f->close(NULL, one), 0);
}

/* Locks, writes durably for ever, says once that it does. Never returns. */
static void hold_lock_and_write(int ready)
{
	void *file = open_as(FIRN_OPEN_DURABLE | FIRN_OPEN_DIRECT);
	unsigned char *buf = os_pattern(64 * OS_PAGE, 9);
	char rc = (char)f->lock(NULL, file);
	for (;;) {
		if (f->write_start(NULL, file, buf, 64 * OS_PAGE, 0) < 0)
			_exit(1);
		if (ready >= 0 && write(ready, &rc, 1) != 1)
			_exit(1);
		ready = -1;
		if (f->write_wait(NULL, file) < 0)
			_exit(1);
	}
}

/* The kernel may hold the file until what was in flight is done: allow it that. */
static int lock_soon(void *file)
{
	int rc = -EWOULDBLOCK;
	for (int i = 0; i < 5000 && rc == -EWOULDBLOCK; i++) {
		if (i)
			(void)usleep(1000);
		rc = f->lock(NULL, file);
	}
	return rc;
}

Test(os_file, a_lock_holds_while_its_process_lives_and_dies_with_kill_9)
{
	int ready[2], status;
	char rc;
	cr_assert_eq(pipe(ready), 0);
	make(x.path, "", 0);
	pid_t pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0)
		hold_lock_and_write(ready[1]);
	cr_assert_eq(read(ready[0], &rc, 1), 1);
	cr_expect_eq(rc, 0);
	void *file = open_as(0);
	cr_expect_eq(f->lock(NULL, file), -EWOULDBLOCK);
	cr_assert_eq(kill(pid, SIGSTOP), 0);
	cr_expect_eq(f->lock(NULL, file), -EWOULDBLOCK, "a stopped process still holds it");
	cr_assert_eq(kill(pid, SIGKILL), 0);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(lock_soon(file), 0);
	cr_expect_eq(f->close(NULL, file), 0);
}

/* ---- names ----------------------------------------------------------------------------------- */

static int count_name(void *arg, const char *name)
{
	int *seen = arg;
	cr_expect(strcmp(name, ".") != 0 && strcmp(name, "..") != 0);
	seen[name[0] - 'a']++;
	return 0;
}

static int stop_at_once(void *arg, const char *name)
{
	(void)name;
	++*(int *)arg;
	return 42;
}

static const char *below(const char *name)
{
	static char path[4][256];
	static int turn;
	char *p = path[turn++ & 3];
	(void)snprintf(p, sizeof path[0], "%s/%s", x.dir, name);
	return p;
}

Test(os_file, list_gives_every_name_once_and_stops_when_told)
{
	int seen[26] = { 0 }, calls = 0;
	make(below("a"), "1", 1);
	make(below("b"), "2", 1);
	cr_assert_eq(f->mkdir(NULL, below("c")), 0);
	cr_expect_eq(f->list(NULL, x.dir, count_name, seen), 0);
	cr_expect(seen[0] == 1 && seen[1] == 1 && seen[2] == 1);
	cr_expect_eq(f->list(NULL, x.dir, stop_at_once, &calls), 42);
	cr_expect_eq(calls, 1);
	cr_expect_eq(f->list(NULL, below("z"), count_name, seen), -ENOENT);
}

Test(os_file, rename_replaces_and_the_old_name_is_gone)
{
	void *file = NULL;
	char c = 0;
	make(below("a"), "1", 1);
	make(below("b"), "2", 1);
	cr_expect_eq(f->rename(NULL, below("a"), below("b")), 0);
	cr_expect_eq(f->sync_dir(NULL, x.dir), 0);
	cr_expect_eq(f->open(NULL, below("a"), 0, &file), -ENOENT);
	cr_assert_eq(f->open(NULL, below("b"), 0, &file), 0);
	cr_expect_eq(f->read(NULL, file, &c, 1, 0), 1);
	cr_expect_eq(c, '1');
	cr_expect_eq(f->close(NULL, file), 0);
	cr_expect_eq(f->rename(NULL, below("a"), below("b")), -ENOENT);
}

Test(os_file, remove_takes_files_only_and_says_what_is_not_there)
{
	make(below("a"), "1", 1);
	cr_expect_eq(f->remove(NULL, below("a")), 0);
	cr_expect_eq(f->remove(NULL, below("a")), -ENOENT);
	cr_assert_eq(f->mkdir(NULL, below("d")), 0);
	cr_expect_lt(f->remove(NULL, below("d")), 0);
}

Test(os_file, mkdir_of_an_existing_directory_succeeds_over_a_file_it_does_not)
{
	cr_expect_eq(f->mkdir(NULL, below("d")), 0);
	cr_expect_eq(f->mkdir(NULL, below("d")), 0);
	make(below("a"), "1", 1);
	cr_expect_eq(f->mkdir(NULL, below("a")), -ENOTDIR);
	cr_expect_eq(f->mkdir(NULL, below("no/such")), -ENOENT);
	cr_expect_eq(f->sync_dir(NULL, below("no")), -ENOENT);
}

Test(os_file, space_is_known_and_identity_tells_a_copy_from_its_original)
{
	uint64_t room = 0;
	struct firn_identity a, again, b, shm;
	cr_expect_eq(f->space(NULL, x.dir, &room), 0);
	cr_expect_gt(room, 0);
	make(below("a"), "1", 1);
	make(below("b"), "1", 1);
	cr_assert_eq(f->identity(NULL, below("a"), &a), 0);
	cr_assert_eq(f->identity(NULL, below("a"), &again), 0);
	cr_assert_eq(f->identity(NULL, below("b"), &b), 0);
	cr_assert_eq(f->identity(NULL, "/dev/shm", &shm), 0);
	cr_expect(memcmp(&a, &again, sizeof a) == 0);
	cr_expect(a.fs_id == b.fs_id && a.inode != b.inode);
	cr_expect(memcmp(a.machine, b.machine, sizeof a.machine) == 0);
	cr_expect_neq(a.fs_id, shm.fs_id);
	cr_expect_eq(f->identity(NULL, below("z"), &a), -ENOENT);
}

/* Devices are numbered in the order in which they are found; tests/power has it change on xfs. */
Test(os_file, identity_does_not_name_the_device)
{
	struct firn_identity a, shm;
	struct stat st;
	make(below("a"), "1", 1);
	cr_assert_eq(f->identity(NULL, below("a"), &a), 0);
	cr_assert_eq(stat(below("a"), &st), 0);
	cr_expect_neq(a.fs_id, (uint64_t)st.st_dev);
	cr_assert_eq(f->identity(NULL, "/dev/shm", &shm), 0);
	cr_assert_eq(stat("/dev/shm", &st), 0);
	cr_expect_neq(shm.fs_id, (uint64_t)st.st_dev);
}
