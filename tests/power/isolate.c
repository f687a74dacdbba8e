/* Name spaces, and what to say where a machine has none to give. */
#include "tests/power/disk.h"
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char root[32];

_Noreturn void disk_fail(int err, const char *fmt, ...)
{
	va_list ap;
	fprintf(stderr, "disk: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, err ? ": %s\n" : "\n", strerror(err));
	exit(DISK_BROKEN);
}

/* A promise that nobody looked at must not look kept: in CI this is a failure. */
_Noreturn void disk_cannot(const char *what, int err)
{
	const char *ci = getenv("CI");
	fprintf(stderr, "not run: needs root, /dev/fuse and loop devices (%s: %s)\n", what,
	        strerror(err));
	exit(ci && *ci ? 1 : DISK_CANNOT);
}

static void need(const char *path)
{
	if (access(path, R_OK | W_OK))
		disk_cannot(path, errno);
}

static _Noreturn void wait_for(pid_t child)
{
	int status;
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			exit(DISK_BROKEN);
	exit(WIFEXITED(status) ? WEXITSTATUS(status) : DISK_BROKEN);
}

/* Who started us ends: so do we, and all that we started. */
static void die_with_parent(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

void disk_isolate(void)
{
	static const char *const places[] = { "/mnt", "/media", "/tmp" };
	struct stat st;
	if (geteuid())
		disk_cannot("root", EPERM);
	need("/dev/fuse");
	need("/dev/loop-control");
	die_with_parent();
	if (unshare(CLONE_NEWNS | CLONE_NEWPID))
		disk_cannot("name spaces", errno);
	fflush(NULL);
	pid_t child = fork();
	if (child < 0)
		disk_fail(errno, "fork");
	if (child)
		wait_for(child);
	die_with_parent();
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		disk_cannot("mount", errno);
	for (unsigned i = 0; i < 3 && !root[0]; i++)
		if (!stat(places[i], &st) && S_ISDIR(st.st_mode))
			snprintf(root, sizeof root, "%s", places[i]);
	if (mount("firn-power", root, "tmpfs", 0, "mode=700"))
		disk_cannot("mount tmpfs", errno);
}

const char *disk_root(void)
{
	return root;
}
