#include "engine/os/env.h"
#include "tools/firn/offline.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int copy_bytes(int from, int to)
{
	static char buf[1 << 20];
	for (;;) {
		ssize_t n = read(from, buf, sizeof buf);
		if (n <= 0)
			return (int)n;
		for (ssize_t done = 0; done < n;) {
			ssize_t w = write(to, buf + done, (size_t)(n - done));
			if (w < 0)
				return -1;
			done += w;
		}
	}
}

static int copy_file(const char *from_dir, const char *to_dir, const char *name)
{
	char path[4400];
	snprintf(path, sizeof path, "%s/%s", from_dir, name);
	int from = open(path, O_RDONLY | O_CLOEXEC);
	if (from < 0)
		return -1;
	snprintf(path, sizeof path, "%s/%s", to_dir, name);
	int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int rc = to < 0 ? -1 : copy_bytes(from, to);
	int saved = errno;
	close(from);
	if (to >= 0 && close(to))
		rc = -1;
	else
		errno = saved;
	return rc;
}

/* Calls act(dir, to, name) for the files of a directory; LMDB's lock file is left alone. */
static int each_file(const char *dir, const char *to,
                     int (*act)(const char *dir, const char *to, const char *name))
{
	DIR *d = opendir(dir);
	struct dirent *e;
	int rc = d ? 0 : -1;
	while (!rc && (e = readdir(d)))
		if (e->d_name[0] != '.')
			rc = act(dir, to, e->d_name);
	int saved = errno;
	if (d)
		closedir(d);
	errno = saved;
	return rc;
}

static int copy_one(const char *dir, const char *to, const char *name)
{
	return strcmp(name, "lock.mdb") ? copy_file(dir, to, name) : 0;
}

static int remove_one(const char *dir, const char *to, const char *name)
{
	char path[4400];
	(void)to;
	snprintf(path, sizeof path, "%s/%s", dir, name);
	return unlink(path);
}

static void work_in_child(const char *path,
                          int (*work)(struct index *ix, struct index_result *out,
                                      struct firn_error *err),
                          struct index_result *shared)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct index *ix = NULL;
	shared->crashed = true; /* until it is known better */
	shared->code = index_open(env_default(), path, &ix, &err);
	if (!shared->code) {
		shared->code = work(ix, shared, &err);
		index_close(ix);
	}
	if (shared->code)
		snprintf(shared->text, sizeof shared->text, "%s", err.text);
	fflush(stdout);
	shared->crashed = false;
	_exit(0);
}

static int run_apart(const struct common *c, const char *path,
                     int (*work)(struct index *ix, struct index_result *out,
                                 struct firn_error *err),
                     struct index_result *out)
{
	int status = 0;
	struct index_result *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
	                                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return complain(c, TROUBLE, "no memory");
	fflush(NULL);
	pid_t child = fork();
	if (child == 0)
		work_in_child(path, work, shared);
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	*out = *shared;
	munmap(shared, sizeof *shared);
	if (child < 0)
		return complain(c, TROUBLE, "no process: %s", strerror(errno));
	if (out->crashed) {
		out->code = FIRN_ECORRUPT;
		snprintf(out->text, sizeof out->text, "LMDB could not walk its pages (signal %d)",
		         WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	}
	return DONE;
}

int index_apart(const struct common *c, const char *path,
                int (*work)(struct index *ix, struct index_result *out, struct firn_error *err),
                struct index_result *out)
{
	char copy[4096];
	const char *tmp = getenv("TMPDIR");
	snprintf(copy, sizeof copy, "%s/firn-index-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(copy))
		return complain(c, TROUBLE, "%s: %s; set TMPDIR", copy, strerror(errno));
	int code;
	if (each_file(path, copy, copy_one))
		code = complain(c, TROUBLE,
		                "copy of %s to %s: %s; set TMPDIR to where there is room", path,
		                copy, strerror(errno));
	else
		code = run_apart(c, copy, work, out);
	each_file(copy, NULL, remove_one);
	rmdir(copy);
	return code;
}
