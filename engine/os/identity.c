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

static size_t read_line(const char *path, char *line, size_t cap)
{
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	do
		n = read(fd, line, cap);
	while (n < 0 && errno == EINTR);
	(void)close(fd);
	size_t len = n > 0 ? (size_t)n : 0;
	while (len && (line[len - 1] == '\n' || line[len - 1] == ' '))
		len--;
	return len;
}

static void machine_of(uint8_t out[16])
{
	static const char *const sources[] = { "/sys/class/dmi/id/product_uuid",
		                               "/etc/machine-id" };
	char line[128];
	memset(out, 0, 16);
	for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
		size_t len = read_line(sources[i], line, sizeof line);
		if (len < 16) /* empty, or "uninitialized" */
			continue;
		le64_put(out, sum64_seed(line, len, 1));
		le64_put(out + 8, sum64_seed(line, len, 2));
		return;
	}
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
	machine_of(out->machine);
	return 0;
}
