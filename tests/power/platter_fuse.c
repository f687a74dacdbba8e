/* The platter as two files: "disk" is the disk, "control" takes commands. One thread: requests are
 * served in the order in which the kernel hands them over, a command between two of them. Only a
 * flush is answered later; others go on meanwhile. */
#define FUSE_USE_VERSION 35
#include "tests/power/platter.h"
#include "tests/crash/kill9.h"
#include <errno.h>
#include <fuse_lowlevel.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { INO_ROOT = 1, INO_DISK, INO_CONTROL };
enum { FLUSHES = 64, FLUSH_NS_MAX = 2000000 };
static const double for_ever = 1e9;

static struct platter *of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static int describe(const struct platter *p, fuse_ino_t ino, struct stat *st)
{
	memset(st, 0, sizeof *st);
	if (ino < INO_ROOT || ino > INO_CONTROL)
		return ENOENT;
	st->st_ino = ino;
	st->st_nlink = 1;
	st->st_mode = ino == INO_ROOT ? S_IFDIR | 0700 : S_IFREG | 0600;
	st->st_size = ino == INO_DISK ? (off_t)platter_bytes(p) : 0;
	return 0;
}

static void p_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = { .attr_timeout = for_ever, .entry_timeout = for_ever };
	e.ino = !strcmp(name, "disk") ? INO_DISK : !strcmp(name, "control") ? INO_CONTROL : 0;
	if (parent != INO_ROOT || describe(of(req), e.ino, &e.attr))
		fuse_reply_err(req, ENOENT);
	else
		fuse_reply_entry(req, &e);
}

static void p_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;
	(void)fi;
	int err = describe(of(req), ino, &st);
	if (err)
		fuse_reply_err(req, err);
	else
		fuse_reply_attr(req, &st, for_ever);
}

/* O_TRUNC on "control", as a shell's ">" asks for: there is nothing to cut off. */
static void p_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                      struct fuse_file_info *fi)
{
	(void)attr, (void)to_set;
	p_getattr(req, ino, fi);
}

static void p_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fi->direct_io = 1; /* no page cache in between: neither for data nor for what was cut */
	fi->fh = ino == INO_DISK ? platter_life(of(req)) : 0;
	fuse_reply_open(req, fi);
}

static int is_late(const struct platter *p, fuse_ino_t ino, const struct fuse_file_info *fi)
{
	return ino == INO_DISK && fi->fh != platter_life(p);
}

static void p_read(fuse_req_t req, fuse_ino_t ino, size_t len, off_t pos, struct fuse_file_info *fi)
{
	static char buf[1 << 20];
	struct platter *p = of(req);
	uint64_t at = (uint64_t)pos, end = ino == INO_DISK ? platter_bytes(p) : 0;
	len = len < sizeof buf ? len : sizeof buf;
	len = at >= end ? 0 : len < end - at ? len : (size_t)(end - at);
	int rc = is_late(p, ino, fi) ? -EIO : len ? platter_read(p, buf, len, at) : 0;
	if (rc)
		fuse_reply_err(req, -rc);
	else
		fuse_reply_buf(req, buf, len);
}

static int command(struct platter *p, const char *buf, size_t len)
{
	char text[128];
	if (len >= sizeof text)
		return -EINVAL;
	memcpy(text, buf, len);
	text[len] = '\0';
	return platter_command(p, text);
}

static void p_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t len, off_t pos,
                    struct fuse_file_info *fi)
{
	struct platter *p = of(req);
	int rc = is_late(p, ino, fi)  ? -EIO
	         : ino == INO_CONTROL ? command(p, buf, len)
	                              : platter_write(p, buf, len, (uint64_t)pos);
	if (rc)
		fuse_reply_err(req, -rc);
	else
		fuse_reply_write(req, len);
}

/* ---- flushes ---- */

struct flush {
	fuse_req_t req;
	uint64_t life, mark, due_ns;
};

static struct flush flush[FLUSHES];
static unsigned n_flush;
static uint64_t flush_chance;

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void p_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct platter *p = of(req);
	struct flush f = { .req = req, .life = platter_life(p) };
	(void)datasync;
	int rc = is_late(p, ino, fi) || n_flush == FLUSHES ? -EIO
	         : ino == INO_CONTROL                      ? 0
	                                                   : platter_flush_begin(p, &f.mark);
	if (rc || ino == INO_CONTROL) {
		fuse_reply_err(req, -rc);
		return;
	}
	f.due_ns = now_ns() + chance(&flush_chance, FLUSH_NS_MAX);
	flush[n_flush++] = f;
}

/* Ends what is due; returns the time until the next, -1 = there is none. */
static int64_t end_flushes(struct platter *p)
{
	int64_t wait_ns = -1;
	uint64_t now = now_ns();
	for (unsigned i = 0; i < n_flush;) {
		struct flush f = flush[i];
		if (f.due_ns <= now) {
			flush[i] = flush[--n_flush];
			int rc = f.life == platter_life(p) ? platter_flush_end(p, f.mark) : -EIO;
			fuse_reply_err(f.req, -rc);
			continue;
		}
		if (wait_ns < 0 || (uint64_t)wait_ns > f.due_ns - now)
			wait_ns = (int64_t)(f.due_ns - now);
		i++;
	}
	return wait_ns;
}

static int serve(struct fuse_session *s, struct platter *p)
{
	struct fuse_buf buf = { .mem = NULL };
	int rc = 0;
	while (!fuse_session_exited(s) && rc >= 0) {
		struct pollfd fd = { .fd = fuse_session_fd(s), .events = POLLIN };
		int64_t ns = end_flushes(p);
		struct timespec wait = { ns / 1000000000, ns % 1000000000 };
		if (ppoll(&fd, 1, ns < 0 ? NULL : &wait, NULL) <= 0)
			continue;
		rc = fuse_session_receive_buf(s, &buf);
		if (rc > 0)
			fuse_session_process_buf(s, &buf);
		else if (rc == -EINTR || rc == -EAGAIN)
			rc = 0;
		else if (rc == 0)
			break; /* unmounted */
	}
	free(buf.mem);
	return rc < 0;
}

/* close(): not a flush of the disk. */
static void p_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino, (void)fi;
	fuse_reply_err(req, 0);
}

/* The kernel asks once it is mounted; only then are the files there. */
static int ready_fd;
static void p_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata, (void)conn;
	if (write(ready_fd, "", 1) != 1)
		perror("platter");
}

static const struct fuse_lowlevel_ops ops = {
	.init = p_init,
	.lookup = p_lookup,
	.getattr = p_getattr,
	.setattr = p_setattr,
	.open = p_open,
	.read = p_read,
	.write = p_write,
	.fsync = p_fsync,
	.flush = p_flush,
};

int platter_serve(struct platter *p, const char *dir, int ready)
{
	char name[] = "platter", option[] = "-ofsname=platter";
	char *argv[] = { name, option, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(2, argv);
	int rc = 1;
	ready_fd = ready;
	struct fuse_session *s = fuse_session_new(&args, &ops, sizeof ops, p);
	if (!s)
		return 1;
	if (!fuse_session_mount(s, dir)) {
		rc = serve(s, p);
		fuse_session_unmount(s);
	}
	fuse_session_destroy(s);
	fuse_opt_free_args(&args);
	return rc;
}
