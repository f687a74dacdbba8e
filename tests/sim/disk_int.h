/* The inside of a simulated disk, for disk.c and disk_harm.c. */
#ifndef SIM_DISK_INT_H
#define SIM_DISK_INT_H
#include "tests/sim/disk.h"

struct pending { /* written, not flushed */
	struct pending *next;
	uint64_t pos;
	size_t len;
	uint8_t data[];
};

struct inode {
	struct inode *next;
	uint8_t *seen, *safe; /* what reads see; what a power cut leaves */
	uint64_t seen_len, safe_len, cap;
	struct pending *first, *last;
	uint32_t owner;   /* process that holds the lock; 0 none */
	uint32_t n_ghost; /* writes of dead processes still on their way: the lock lives */
	uint32_t id;
	bool is_dir;
};

struct name {
	char path[160];
	struct inode *inode; /* NULL: removed */
};

struct name_op { /* not yet made durable, in order */
	struct name_op *next;
	char dir[160];
	struct name set[2];
	uint32_t n;
};

struct disk {
	uint32_t node, n_inode;
	uint64_t capacity;
	struct inode *inodes;
	struct name *seen, *safe;
	uint32_t n_seen, n_safe, cap_seen, cap_safe;
	struct name_op *first, *last;
};

struct name *disk_find(struct name *a, uint32_t n, const char *path);
void disk_set_name(struct name **a, uint32_t *n, uint32_t *cap, const char *path,
                   struct inode *inode);
void disk_grow(struct inode *n, uint64_t len); /* room for so many bytes, zeros */
#endif
