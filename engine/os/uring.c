/* Durable writes through io_uring: write and flush by one system call, the caller free meanwhile.
 *
 * Two ways, both end with the data on stable media:
 *
 *   DSYNC    one request, RWF_DSYNC: the kernel writes with FUA, or flushes the device afterwards
 *   linked   a write, and an fdatasync that runs only if the write came out whole
 *
 * Measured in turn with the plain calls, on a virtio disk (write cache, no FUA), ext4, O_DIRECT,
 * file preallocated and full of zeros, Linux 6.18, 4000 writes of 4 KiB and 400 of 1 MiB each:
 *
 *                          4 KiB p50   p99   CPU     1 MiB p50   p99   CPU   (us)
 *   pwrite, fdatasync           127   294    54           394   629   106
 *   io_uring DSYNC              128   277    27           401   708    64
 *   io_uring linked             141   341    55           415   740    98
 *
 * The CPU is that of our process; DSYNC's flush runs in a kernel worker and is not in it. So DSYNC,
 * where the file system is known to mean it; elsewhere (network, FUSE) linked, since some pass the
 * flag over. A registered file changed nothing that could be told from noise.
 *
 * The thread that started a write must live until it is waited for: the kernel cancels what an
 * exiting thread has under way. */
#include "engine/os/file.h"
#include <errno.h>
#include <liburing.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/vfs.h>

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

enum { OF_WRITE = 1, OF_FLUSH = 2 };

struct os_ring {
	struct io_uring uring;
	int dsync;
	int broken;         /* a request stayed in the queue: no more may be put in */
	unsigned in_flight; /* requests whose completion was not seen yet */
};

static int knows_dsync(int fd)
{
	struct statfs s;
	if (fstatfs(fd, &s) < 0)
		return 0;
	return s.f_type == EXT4_SUPER_MAGIC || s.f_type == XFS_SUPER_MAGIC;
}

int os_ring_open(int fd, struct os_ring **out)
{
	struct os_ring *r = calloc(1, sizeof *r);
	if (!r)
		return -ENOMEM;
	int rc = io_uring_queue_init(2, &r->uring, 0);
	if (rc < 0) {
		free(r);
		return rc;
	}
	r->dsync = knows_dsync(fd);
	*out = r;
	return 0;
}

void os_ring_close(struct os_ring *ring)
{
	if (!ring)
		return;
	io_uring_queue_exit(&ring->uring);
	free(ring);
}

/* Hands n requests to the kernel. It may take fewer than asked, or none (-EAGAIN: no memory); the
 * rest stays in the queue, so that the ring is of no use after that. */
static int submit(struct os_ring *r, unsigned n)
{
	while (r->in_flight < n) {
		int rc = io_uring_submit(&r->uring);
		if (rc > 0)
			r->in_flight += (unsigned)rc;
		else if (rc != -EINTR) {
			r->broken = 1;
			/* The write is under way, the flush is not: wait() says so. */
			return r->in_flight ? 0 : rc < 0 ? rc : -EIO;
		}
	}
	return 0;
}

int os_ring_start(struct os_ring *ring, int fd, const void *buf, size_t len, uint64_t pos)
{
	if (ring->broken)
		return -EIO;
	/* There is room: two entries, and one write at a time. */
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
	io_uring_prep_write(sqe, fd, buf, (unsigned)len, pos);
	io_uring_sqe_set_data64(sqe, OF_WRITE);
	if (ring->dsync) {
		sqe->rw_flags = RWF_DSYNC;
		return submit(ring, 1);
	}
	sqe->flags |= IOSQE_IO_LINK;
	sqe = io_uring_get_sqe(&ring->uring);
	io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
	io_uring_sqe_set_data64(sqe, OF_FLUSH);
	return submit(ring, 2);
}

/* A failed flush is final: whoever flushes again may be told that all is well. One that was
 * interrupted or cancelled because the write came out short has not run. */
int64_t os_ring_wait(struct os_ring *ring, int *durable)
{
	int64_t wrote = -EIO, flush = ring->dsync ? 0 : -ECANCELED;
	while (ring->in_flight) {
		struct io_uring_cqe *cqe;
		int rc = io_uring_wait_cqe(&ring->uring, &cqe);
		if (rc == -EINTR || rc == -EAGAIN)
			continue;
		if (rc < 0)
			return rc;
		if (io_uring_cqe_get_data64(cqe) == OF_WRITE)
			wrote = cqe->res;
		else
			flush = cqe->res;
		io_uring_cqe_seen(&ring->uring, cqe);
		ring->in_flight--;
	}
	*durable = flush == 0;
	if (wrote >= 0 && flush < 0 && flush != -ECANCELED && flush != -EINTR && flush != -EAGAIN)
		return flush;
	return wrote;
}
