/* The disk: platter, loop device, file system. See disk.h. */
#include "tests/power/disk.h"
#include "tests/crash/kill9.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* mkfs.xfs refuses less than 300 MB. Memory is used for what is written only. */
#define DISK_BYTES (UINT64_C(320) << 20)

enum { UNMOUNT_PATIENCE_S = 60 };

#define EXT4_OPTIONS "-q", "-F", "-b", "4096", "-J", "size=8", "-E", "nodiscard,lazy_itable_init=0"

struct kind {
	const char *name, *fs, *options;
	uint32_t sector;
	const char *mkfs[16];
};

/* Sectors of 512 bytes are for ext4 without checksums of its metadata only: its journal writes blocks
 * anew whatever became of them. With checksums a superblock torn between its sectors is the end, and so
 * it is for xfs, which takes a torn block for a new one and leaves it out of the replay. On a disk
 * with 4 KiB sectors, which tears at no others, all must come back. Discards are of no use here. */
static const struct kind kinds[] = {
	{ "ext4", "ext4", "", 512, { "mkfs.ext4", EXT4_OPTIONS, "-O", "^metadata_csum" } },
	{ "ext4-4k", "ext4", "", 4096, { "mkfs.ext4", EXT4_OPTIONS } },
	{ "xfs", "xfs", "nouuid", 4096, { "mkfs.xfs", "-q", "-f", "-K" } },
	{ "btrfs", "btrfs", "", 4096, { "mkfs.btrfs", "-q", "-f", "-K", "-m", "single" } },
};

static const struct kind *kind_of(const struct disk *d)
{
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (!strcmp(kinds[i].name, d->fs))
			return &kinds[i];
	disk_fail(0, "no such file system: %s", d->fs);
}

enum cut_kind disk_cut_kind(const struct disk *d, uint64_t *state)
{
	enum cut_kind kind = (enum cut_kind)chance(state, CUT_KINDS);
	bool tears_sectors = kind == CUT_TEAR_512 || kind == CUT_TORN_END;
	return d->sector > 512 && tears_sectors ? CUT_TEAR_4K : kind;
}

/* ---- the platter's process ---- */

static void start_platter(struct disk *d)
{
	int ready[2];
	char byte;
	if (pipe(ready))
		disk_fail(errno, "pipe");
	fflush(NULL);
	pid_t pid = fork();
	if (pid < 0)
		disk_fail(errno, "fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		struct platter *p = platter_make(DISK_BYTES, d->counts);
		_exit(p ? platter_serve(p, d->fuse, ready[1]) : 1);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		disk_cannot("FUSE", ENODEV); /* libfuse has said why */
	close(ready[0]);
}

static void command(const struct disk *d, const char *text)
{
	char path[128];
	snprintf(path, sizeof path, "%s/control", d->fuse);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		disk_fail(errno, "%s: %s", path, text);
	close(fd);
}

void disk_arm(struct disk *d, enum cut_kind kind, uint64_t seed, uint64_t after)
{
	char text[96];
	d->kind = kind;
	d->seed = seed;
	snprintf(text, sizeof text, "cut %u %lu %lu", kind, (unsigned long)seed,
	         (unsigned long)after);
	command(d, text);
}

/* ---- the loop device ---- */

/* A device that is free now may be taken by another before we have it. */
static int loop_claim(int file, uint32_t sector, char *path, size_t room)
{
	struct loop_config config = { .fd = (uint32_t)file, .block_size = sector };
	config.info.lo_flags = LO_FLAGS_DIRECT_IO | LO_FLAGS_AUTOCLEAR;
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	for (int tries = 0; control >= 0 && tries < 1000; tries++) {
		int n = ioctl(control, LOOP_CTL_GET_FREE);
		snprintf(path, room, "/dev/loop%d", n);
		int loop = n < 0 ? -1 : open(path, O_RDWR | O_CLOEXEC);
		if (loop >= 0 && !ioctl(loop, LOOP_CONFIGURE, &config)) {
			close(control);
			return loop;
		}
		int err = errno;
		if (loop >= 0)
			close(loop);
		if (err == EPERM || err == EACCES)
			disk_cannot(path, err);
		if (err != EBUSY && err != ENOENT)
			disk_fail(err, "loop device %s", path);
		usleep(1000);
	}
	disk_fail(errno, "no loop device");
}

/* The device goes by itself when nobody has it open: the result is the caller's to close once it
 * is mounted. */
static int loop_attach(const struct disk *d, char *path, size_t room)
{
	char image[128];
	struct loop_info64 info;
	snprintf(image, sizeof image, "%s/disk", d->fuse);
	int file = open(image, O_RDWR | O_CLOEXEC);
	if (file < 0)
		disk_fail(errno, "%s", image);
	int loop = loop_claim(file, d->sector, path, room);
	close(file);
	if (ioctl(loop, LOOP_GET_STATUS64, &info) || !(info.lo_flags & LO_FLAGS_DIRECT_IO))
		disk_fail(errno, "%s: no direct I/O", path);
	return loop;
}

/* ---- the file system ---- */

static void make_fs(const struct kind *k, const char *device)
{
	const char *argv[20] = { NULL };
	int status, n = 0;
	for (; k->mkfs[n]; n++)
		argv[n] = k->mkfs[n];
	argv[n] = device;
	pid_t pid = fork();
	if (!pid) {
		if (!freopen("/dev/null", "w", stdout))
			_exit(127);
		execvp(argv[0], (char **)(uintptr_t)argv);
		perror(argv[0]);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status))
		disk_fail(0, "%s failed (tools/deps installs it)", argv[0]);
}

void disk_make(struct disk *d, const char *fs)
{
	static unsigned n;
	char device[32];
	*d = (struct disk){ .fs = fs };
	const struct kind *k = kind_of(d);
	d->sector = k->sector;
	d->counts = mmap(NULL, sizeof *d->counts, PROT_READ | PROT_WRITE,
	                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	snprintf(d->fuse, sizeof d->fuse, "%s/platter-%u", disk_root(), n);
	snprintf(d->mnt, sizeof d->mnt, "%s/disk-%u", disk_root(), n++);
	if (d->counts == MAP_FAILED || mkdir(d->fuse, 0700) || mkdir(d->mnt, 0700))
		disk_fail(errno, "%s", d->fuse);
	start_platter(d);
	int loop = loop_attach(d, device, sizeof device);
	make_fs(k, device);
	if (fsync(loop))
		disk_fail(errno, "%s", device);
	close(loop);
}

void disk_on(struct disk *d)
{
	const struct kind *k = kind_of(d);
	char device[32];
	command(d, "on");
	/* As after a boot, the disk comes back under another number every second time. */
	int taken = d->n_on++ % 2 ? loop_attach(d, device, sizeof device) : -1;
	int loop = loop_attach(d, device, sizeof device);
	if (taken >= 0)
		close(taken);
	int err = mount(device, d->mnt, k->fs, MS_NOATIME, k->options) ? errno : 0;
	if (err == ENODEV)
		disk_cannot(d->fs, err); /* not in this kernel */
	if (err)
		disk_fail(err, "%s does not come back after a cut of kind %u, seed %lu", d->fs,
		          d->kind, (unsigned long)d->seed);
	close(loop);
}

void disk_back(struct disk *d)
{
	command(d, "on");
}

/* A killed process may hold files a moment longer: the kernel frees an io_uring late. */
void disk_off(struct disk *d)
{
	for (int tries = 0; umount2(d->mnt, 0); tries++) {
		if (errno != EBUSY || tries == UNMOUNT_PATIENCE_S * 1000)
			disk_fail(errno, "unmount %s", d->mnt);
		usleep(1000);
	}
}
