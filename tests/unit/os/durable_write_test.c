/* Both ways of writing durably, on a disk, on tmpfs, and with the kernel refusing io_uring. (P1) */
#include "tests/unit/os/fixture.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

TestSuite(durable_write, .timeout = 30);

#define HOW (FIRN_OPEN_CREATE | FIRN_OPEN_DIRECT | FIRN_OPEN_DURABLE)

static struct os_fixture x;

static void *open_file(const struct firn_env *env, uint32_t flags)
{
	void *file = NULL;
	cr_assert_eq(env->files->open(NULL, x.path, flags, &file), 0);
	return file;
}

static void write_durably(const struct firn_env *env, void *file, const void *buf, size_t len,
                          uint64_t pos)
{
	int rc = env->files->write_start(NULL, file, buf, len, pos);
	cr_assert(rc == 0 || rc == 1, "write_start: %d", rc);
	cr_assert_eq(env->files->write_wait(NULL, file), 0);
}

/* Read back through a second, buffered open: what the file holds, not what a cache of ours does. */
static void expect_content(const unsigned char *want, size_t len, uint64_t pos)
{
	const struct firn_files *files = env_default()->files;
	void *file = open_file(env_default(), FIRN_OPEN_READ_ONLY);
	unsigned char *got = malloc(len);
	cr_assert_eq(files->read(NULL, file, got, len, pos), (int64_t)len);
	cr_expect(memcmp(got, want, len) == 0);
	free(got);
	cr_assert_eq(files->close(NULL, file), 0);
}

static void write_sizes(const struct firn_env *env)
{
	static const size_t pages[] = { 1, 2, 7, 16, 256, 300 };
	void *file = open_file(env, HOW);
	uint64_t pos = 0;
	for (unsigned i = 0; i < sizeof pages / sizeof pages[0]; i++) {
		size_t len = pages[i] * OS_PAGE;
		unsigned char *buf = os_pattern(len, i);
		write_durably(env, file, buf, len, pos);
		expect_content(buf, len, pos);
		free(buf);
		pos += len;
	}
	cr_assert_eq(env->files->close(NULL, file), 0);
}

Test(durable_write, what_was_asked_for_can_be_read_back_on_both_ways)
{
	for (int i = 0; i < 2; i++) {
		os_fixture_init(&x, NULL);
		write_sizes(os_env_of(i));
		os_fixture_fini(&x);
	}
}

/* tmpfs takes O_DIRECT since Linux 6.6 and refuses it before; it is also where the linked write and
 * flush are used instead of RWF_DSYNC. */
Test(durable_write, tmpfs_works_whether_it_takes_o_direct_or_not)
{
	for (int i = 0; i < 2; i++) {
		os_fixture_init(&x, "/dev/shm");
		write_sizes(os_env_of(i));
		os_fixture_fini(&x);
	}
}

Test(durable_write, existing_bytes_are_overwritten_in_place_and_neighbours_stay)
{
	for (int i = 0; i < 2; i++) {
		const struct firn_env *env = os_env_of(i);
		os_fixture_init(&x, NULL);
		unsigned char *old = os_pattern(8 * OS_PAGE, 1), *new = os_pattern(2 * OS_PAGE, 2);
		void *file = open_file(env, HOW);
		write_durably(env, file, old, 8 * OS_PAGE, 0);
		write_durably(env, file, new, 2 * OS_PAGE, 3 * OS_PAGE);
		memcpy(old + 3 * OS_PAGE, new, 2 * OS_PAGE);
		expect_content(old, 8 * OS_PAGE, 0);
		uint64_t size = 0;
		cr_assert_eq(env->files->size(NULL, file, &size), 0);
		cr_expect_eq(size, 8 * OS_PAGE);
		cr_assert_eq(env->files->close(NULL, file), 0);
		free(old);
		free(new);
		os_fixture_fini(&x);
	}
}

Test(durable_write, a_buffered_file_takes_any_length_and_position)
{
	for (int i = 0; i < 2; i++) {
		const struct firn_env *env = os_env_of(i);
		os_fixture_init(&x, NULL);
		unsigned char *buf = os_pattern(OS_PAGE, 3);
		void *file = open_file(env, FIRN_OPEN_CREATE | FIRN_OPEN_DURABLE);
		cr_expect_eq(os_file_direct(env, file), 0);
		write_durably(env, file, buf + 1, 1001, 0);
		write_durably(env, file, buf + 1002, 77, 1001);
		expect_content(buf + 1, 1078, 0);
		cr_assert_eq(env->files->close(NULL, file), 0);
		free(buf);
		os_fixture_fini(&x);
	}
}

Test(durable_write, a_second_write_is_refused_until_the_first_was_waited_for)
{
	const struct firn_env *env = env_default();
	os_fixture_init(&x, NULL);
	unsigned char *buf = os_pattern(OS_PAGE, 4);
	void *file = open_file(env, HOW);
	int rc = env->files->write_start(NULL, file, buf, OS_PAGE, 0);
	if (os_file_uring(env, file) == 1)
		cr_expect_eq(env->files->write_start(NULL, file, buf, OS_PAGE, OS_PAGE), -EBUSY);
	cr_expect(rc == 0 || rc == 1);
	cr_expect_eq(env->files->write_wait(NULL, file), 0);
	cr_expect_eq(env->files->write_wait(NULL, file), 0, "nothing under way is no error");
	cr_assert_eq(env->files->close(NULL, file), 0);
	free(buf);
	os_fixture_fini(&x);
}

Test(durable_write, close_waits_for_the_write_under_way)
{
	const struct firn_env *env = env_default();
	os_fixture_init(&x, NULL);
	size_t len = 256 * OS_PAGE;
	unsigned char *buf = os_pattern(len, 5);
	void *file = open_file(env, HOW);
	cr_assert_geq(env->files->write_start(NULL, file, buf, len, 0), 0);
	cr_assert_eq(env->files->close(NULL, file), 0);
	expect_content(buf, len, 0);
	free(buf);
	os_fixture_fini(&x);
}

/* ---- the kernel refuses io_uring ------------------------------------------------------------- */

static int refuse_io_uring(int err)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)err),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { sizeof code / sizeof code[0], code };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

static void write_without_io_uring(int err)
{
	os_fixture_init(&x, NULL);
	cr_assert_eq(refuse_io_uring(err), 0);
	void *file = open_file(env_default(), HOW);
	cr_expect_eq(os_file_uring(env_default(), file), 0);
	cr_assert_eq(env_default()->files->close(NULL, file), 0);
	write_sizes(env_default());
	os_fixture_fini(&x);
}

Test(durable_write, a_kernel_without_io_uring_falls_back_to_pwrite)
{
	write_without_io_uring(ENOSYS);
}

Test(durable_write, a_sandbox_that_forbids_io_uring_falls_back_to_pwrite)
{
	write_without_io_uring(EPERM);
}

Test(durable_write, the_pwrite_env_never_makes_a_ring)
{
	os_fixture_init(&x, NULL);
	void *file = open_file(env_default_pwrite(), HOW);
	cr_expect_eq(os_file_uring(env_default_pwrite(), file), 0);
	unsigned char *buf = os_pattern(OS_PAGE, 6);
	cr_expect_eq(env_default_pwrite()->files->write_start(NULL, file, buf, OS_PAGE, 0), 1);
	cr_assert_eq(env_default_pwrite()->files->close(NULL, file), 0);
	free(buf);
	os_fixture_fini(&x);
}

/* ---- no room --------------------------------------------------------------------------------- */

static void limit_file_size(size_t bytes)
{
	struct rlimit lim = { bytes, bytes };
	(void)signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &lim), 0);
}

static int write_in_any_way(const struct firn_env *env, void *file, const void *buf, size_t len,
                            uint64_t pos)
{
	int rc = env->files->write_start(NULL, file, buf, len, pos);
	return rc < 0 ? rc : env->files->write_wait(NULL, file);
}

static void overrun_the_limit(const struct firn_env *env)
{
	os_fixture_init(&x, NULL);
	limit_file_size(64 * OS_PAGE);
	unsigned char *buf = os_pattern(32 * OS_PAGE, 7);
	void *file = open_file(env, HOW);
	write_durably(env, file, buf, 32 * OS_PAGE, 0);
	cr_expect_eq(write_in_any_way(env, file, buf, 32 * OS_PAGE, 64 * OS_PAGE), -EFBIG);
	cr_expect_eq(write_in_any_way(env, file, buf, 32 * OS_PAGE, 48 * OS_PAGE), -EFBIG,
	             "a write that fits by half is not durable");
	expect_content(buf, 32 * OS_PAGE, 0);
	cr_expect_eq(env->files->write(NULL, file, buf, OS_PAGE, 64 * OS_PAGE), -EFBIG);
	cr_expect_eq(env->files->write(NULL, file, buf, 32 * OS_PAGE, 48 * OS_PAGE),
	             (int64_t)(16 * OS_PAGE), "a plain write says how far it got");
	cr_assert_eq(env->files->close(NULL, file), 0);
	free(buf);
	os_fixture_fini(&x);
}

Test(durable_write, beyond_the_size_limit_is_efbig_through_io_uring)
{
	overrun_the_limit(env_default());
}

Test(durable_write, beyond_the_size_limit_is_efbig_through_pwrite)
{
	overrun_the_limit(env_default_pwrite());
}

Test(durable_write, a_full_device_is_enospc_on_both_ways)
{
	for (int i = 0; i < 2; i++) {
		const struct firn_env *env = os_env_of(i);
		void *file = NULL;
		unsigned char *buf = os_pattern(OS_PAGE, 8);
		/* Whatever is written to it, there is never room. */
		cr_assert_eq(env->files->open(NULL, "/dev/full", FIRN_OPEN_DURABLE, &file), 0);
		cr_expect_eq(write_in_any_way(env, file, buf, OS_PAGE, 0), -ENOSPC);
		cr_assert_eq(env->files->close(NULL, file), 0);
		free(buf);
	}
}
