/* On which file system, directory and machine a path lies: enough to notice a WAL that was copied.
 *
 * The file system's id is the one of statfs (ext4, btrfs: made from its UUID), or the device number
 * where that is zero. The machine is the firmware's UUID, which a cloned disk does not carry along;
 * only root may read it, so that for others it is /etc/machine-id. Both are hashed: machine-id(5)
 * asks not to hand it out. */
#include "engine/base/le.h"
#include "engine/base/sum.h"
#include "engine/os/file.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

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
	int id[2];
	(void)ctx;
	if (stat(path, &st) < 0 || statfs(path, &fs) < 0)
		return -errno;
	memcpy(id, &fs.f_fsid, sizeof id);
	memset(out, 0, sizeof *out);
	out->fs_id = (uint64_t)(uint32_t)id[1] << 32 | (uint32_t)id[0];
	if (out->fs_id == 0)
		out->fs_id = (uint64_t)st.st_dev;
	out->inode = (uint64_t)st.st_ino;
	return machine_of(out->machine);
}
