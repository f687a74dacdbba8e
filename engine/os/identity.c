/* On which file system, directory and machine a path lies: enough to notice a WAL that was copied.
 *
 * The file system's id must be the same after the next boot, or the WAL would be taken for a copy. The
 * one of statfs is that where it is made from a UUID (ext4, btrfs). xfs, f2fs and others put the device's
 * number there, which depends on the order in which devices are found: xfs is asked for its UUID,
 * elsewhere the id is 0, not known, and a copy is told by inode and machine alone. The machine is the firmware's UUID, which a cloned disk does not carry along;
 * only root may read it, so that for others it is /etc/machine-id. Both are hashed: machine-id(5)
 * asks not to hand it out. */
#include "engine/base/le.h"
#include "engine/base/sum.h"
#include "engine/os/file.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

/* XFS_IOC_FSGEOMETRY_V1 of every Linux that has xfs; any user may ask. Its header is in xfsprogs. */
struct xfs_geometry {
	uint32_t blocks[8];
	uint64_t extents[4];
	uint8_t uuid[16];
	uint32_t sizes[7];
};
#define XFS_GEOMETRY _IOR('X', 100, struct xfs_geometry)
_Static_assert(sizeof(struct xfs_geometry) == 112, "as the kernel has it");

static int xfs_id(const char *path, uint64_t *id)
{
	struct xfs_geometry g;
	int rc = 0, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, XFS_GEOMETRY, &g) == 0)
		*id = sum64_seed(g.uuid, sizeof g.uuid, 1);
	else
		rc = -errno;
	(void)close(fd);
	return rc;
}

/* *id 0: not known. */
static int fs_id_of(const char *path, const struct stat *st, const struct statfs *fs, uint64_t *id)
{
	uint32_t half[2];
	_Static_assert(sizeof half == sizeof fs->f_fsid, "two words");
	if (fs->f_type == XFS_SUPER_MAGIC)
		return xfs_id(path, id);
	memcpy(half, &fs->f_fsid, sizeof half);
	*id = (uint64_t)half[1] << 32 | half[0];
	if (*id == (uint64_t)st->st_dev)
		*id = 0;
	return 0;
}

/* Length of the line; 0: there is none, or it is not for us; a negative errno: it could not be read this
 * time, which must not pass for a machine without a name. */
static ssize_t read_line(const char *path, char *line, size_t cap)
{
	ssize_t n;
	int error = 0, fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == EACCES || errno == EPERM
		               ? 0
		               : -errno;
	do
		n = read(fd, line, cap);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		error = errno;
	(void)close(fd);
	while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == ' '))
		n--;
	return error ? -error : n;
}

static int machine_of(uint8_t out[16])
{
	static const char *const sources[] = { "/sys/class/dmi/id/product_uuid",
		                               "/etc/machine-id" };
	char line[128];
	memset(out, 0, 16);
	for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
		ssize_t len = read_line(sources[i], line, sizeof line);
		if (len < 0)
			return (int)len;
		if (len < 16) /* empty, or "uninitialized" */
			continue;
		le64_put(out, sum64_seed(line, (size_t)len, 1));
		le64_put(out + 8, sum64_seed(line, (size_t)len, 2));
		return 0;
	}
	return 0;
}

int os_identity(void *ctx, const char *path, struct firn_identity *out)
{
	struct stat st;
	struct statfs fs;
	(void)ctx;
	if (stat(path, &st) < 0 || statfs(path, &fs) < 0)
		return -errno;
	memset(out, 0, sizeof *out);
	out->inode = (uint64_t)st.st_ino;
	int rc = fs_id_of(path, &st, &fs, &out->fs_id);
	return rc ? rc : machine_of(out->machine);
}
