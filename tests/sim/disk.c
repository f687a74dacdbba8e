#include "tests/sim/disk_int.h"
#include "tests/sim/gate.h"
#include "tests/sim/node.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct handle {
	struct inode *inode;
	uint32_t process;
	bool read_only;
	struct inode *flying; /* a durable write under way */
	const void *fly_buf;
	size_t fly_len;
	uint64_t fly_pos, fly_done_ns;
	int fly_rc;
};

struct disk *disk_new(uint32_t node, uint64_t bytes)
{
	struct disk *d = calloc(1, sizeof *d);
	d->node = node;
	d->capacity = bytes;
	return d;
}

static struct disk *disk_of(void *ctx)
{
	return ((struct node *)ctx)->disk;
}

/* ---- names */

struct name *disk_find(struct name *a, uint32_t n, const char *path)
{
	for (uint32_t i = 0; i < n; i++)
		if (a[i].inode && !strcmp(a[i].path, path))
			return &a[i];
	return NULL;
}

void disk_set_name(struct name **a, uint32_t *n, uint32_t *cap, const char *path,
                   struct inode *inode)
{
	struct name *x = disk_find(*a, *n, path);
	if (!x && inode) {
		for (uint32_t i = 0; i < *n && !x; i++)
			if (!(*a)[i].inode)
				x = &(*a)[i];
		if (!x) {
			if (*n == *cap) {
				*cap = *cap ? 2 * *cap : 64;
				*a = realloc(*a, *cap * sizeof **a);
			}
			x = &(*a)[(*n)++];
		}
		(void)snprintf(x->path, sizeof x->path, "%s", path);
	}
	if (x)
		x->inode = inode;
}

static void dir_of(const char *path, char *dir, size_t cap)
{
	(void)snprintf(dir, cap, "%s", path);
	char *slash = strrchr(dir, '/');
	*(slash ? slash : dir) = 0;
}

static void name_op(struct disk *d, const char *gone, const char *path, struct inode *inode)
{
	struct name_op *op = calloc(1, sizeof *op);
	dir_of(path, op->dir, sizeof op->dir);
	if (gone) {
		(void)snprintf(op->set[op->n].path, sizeof op->set[0].path, "%s", gone);
		op->set[op->n++].inode = NULL;
		disk_set_name(&d->seen, &d->n_seen, &d->cap_seen, gone, NULL);
	}
	(void)snprintf(op->set[op->n].path, sizeof op->set[0].path, "%s", path);
	op->set[op->n++].inode = inode;
	disk_set_name(&d->seen, &d->n_seen, &d->cap_seen, path, inode);
	if (d->last)
		d->last->next = op;
	else
		d->first = op;
	d->last = op;
}

static void name_apply(struct disk *d, const struct name_op *op)
{
	for (uint32_t i = 0; i < op->n; i++)
		disk_set_name(&d->safe, &d->n_safe, &d->cap_safe, op->set[i].path,
		              op->set[i].inode);
}

/* ---- bytes */

void disk_grow(struct inode *n, uint64_t len)
{
	if (len <= n->cap)
		return;
	uint64_t cap = n->cap ? n->cap : 4096;
	while (cap < len)
		cap *= 2;
	n->seen = realloc(n->seen, cap);
	n->safe = realloc(n->safe, cap);
	memset(n->seen + n->cap, 0, cap - n->cap);
	memset(n->safe + n->cap, 0, cap - n->cap);
	n->cap = cap;
}

static void write_seen(struct inode *n, const uint8_t *data, size_t len, uint64_t pos)
{
	disk_grow(n, pos + len);
	memcpy(n->seen + pos, data, len);
	if (pos + len > n->seen_len)
		n->seen_len = pos + len;
	struct pending *p = malloc(sizeof *p + len);
	*p = (struct pending){ NULL, pos, len };
	memcpy(p->data, data, len);
	if (n->last)
		n->last->next = p;
	else
		n->first = p;
	n->last = p;
}

static void write_safe(struct inode *n, const struct pending *p, size_t from, size_t to)
{
	disk_grow(n, p->pos + p->len);
	memcpy(n->safe + p->pos + from, p->data + from, to - from);
	if (p->pos + to > n->safe_len)
		n->safe_len = p->pos + to;
}

static void flush(struct inode *n)
{
	struct pending *p;
	while ((p = n->first) != NULL) {
		write_safe(n, p, 0, p->len);
		n->first = p->next;
		free(p);
	}
	n->last = NULL;
	n->safe_len = n->seen_len;
}

uint64_t disk_used(const struct disk *d)
{
	uint64_t used = 0;
	for (const struct inode *n = d->inodes; n; n = n->next)
		for (uint32_t i = 0; i < d->n_seen; i++)
			if (d->seen[i].inode == n) {
				used += n->seen_len;
				break;
			}
	return used;
}

/* ---- crashes */

struct ghost {
	struct disk *d;
	struct inode *n;
	struct gate *gate; /* lands when it opens, else after_ns later */
	uint64_t pos, after_ns;
	size_t len;
	bool locks;
	uint8_t data[];
};

static void ghost_lands(void *arg)
{
	struct ghost *g = arg;
	if (g->gate)
		gate_pass(g->gate);
	else
		sched_sleep(g->after_ns);
	if (!g->locks || g->n->n_ghost) { /* a power cut took it otherwise */
		sim_trace("disk %u: a write of a dead process lands in file %u at %llu, %zu bytes",
		          g->d->node, g->n->id, (unsigned long long)g->pos, g->len);
		write_seen(g->n, g->data, g->len, g->pos);
		g->n->n_ghost -= g->locks;
	}
	free(g);
}

/* Writes under way are noted while their fibre sleeps. */
struct flight {
	struct flight *next;
	struct disk *d;
	struct inode *n;
	uint32_t process;
	const void *data;
	size_t len;
	uint64_t pos;
	struct gate *gate; /* it stands there */
};
static struct flight *flights;

bool disk_busy(const struct disk *d)
{
	for (const struct flight *f = flights; f; f = f->next)
		if (f->d == d)
			return true;
	return false;
}

void disk_killed(struct disk *d, uint32_t process, bool power)
{
	for (struct flight **link = &flights, *f; (f = *link) != NULL;) {
		if (f->d != d || f->process != process) {
			link = &f->next;
			continue;
		}
		*link = f->next;
		if (power && !f->gate) { /* somewhere on its way to the platter */
			write_seen(f->n, f->data, f->len, f->pos);
		} else if (f->gate || fault_strikes(FAULT_LATE_WRITE, 2)) {
			struct ghost *g = malloc(sizeof *g + f->len);
			uint64_t after_ns = 1000 + rng_below(&W.rng, 5000000);
			*g = (struct ghost){ d,
				             f->n,
				             f->gate,
				             f->pos,
				             after_ns,
				             f->len,
				             !f->gate || gate_keeps_lock(f->gate) };
			memcpy(g->data, f->data, f->len);
			f->n->n_ghost += g->locks;
			(void)sched_spawn(0, "late write", ghost_lands, g);
		}
		free(f);
	}
	for (struct inode *n = d->inodes; n; n = n->next)
		if (n->owner == process)
			n->owner = 0;
}

void disk_power_cut(struct disk *d)
{
	for (struct inode *n = d->inodes; n; n = n->next) {
		n->n_ghost = 0;
		for (struct pending *p; (p = n->first) != NULL;) {
			size_t border = p->len <= 4096 || rng_one_in(&W.rng, 2) ? 512 : 4096;
			if (p->len > border && fault_strikes(FAULT_TORN, 2)) {
				size_t cut = border *
				             (1 + rng_below(&W.rng, (p->len - 1) / border));
				bool head = rng_one_in(&W.rng, 2);
				write_safe(n, p, head ? 0 : cut, head ? cut : p->len);
			} else if (!fault_strikes(FAULT_DROPPED, 2)) {
				write_safe(n, p, 0, p->len);
			}
			n->first = p->next;
			free(p);
		}
		n->last = NULL;
		memcpy(n->seen, n->safe, n->cap);
		n->seen_len = n->safe_len;
	}
	bool lose = false;
	for (struct name_op *op; (op = d->first) != NULL;) {
		lose = lose || fault_strikes(FAULT_NAMES_LOST, 3); /* journals keep an order */
		if (!lose)
			name_apply(d, op);
		d->first = op->next;
		free(op);
	}
	d->last = NULL;
	d->n_seen = 0;
	for (uint32_t i = 0; i < d->n_safe; i++)
		if (d->safe[i].inode)
			disk_set_name(&d->seen, &d->n_seen, &d->cap_seen, d->safe[i].path,
			              d->safe[i].inode);
}

/* ---- operations */

static int f_open(void *ctx, const char *path, uint32_t flags, void **file)
{
	struct disk *d = disk_of(ctx);
	struct name *x = disk_find(d->seen, d->n_seen, path);
	sched_maybe_yield();
	if (x && flags & FIRN_OPEN_EXCLUSIVE)
		return -EEXIST;
	if (!x && !(flags & FIRN_OPEN_CREATE))
		return -ENOENT;
	if (!(flags & FIRN_OPEN_READ_ONLY) && fault_strikes(FAULT_EIO, 2000))
		return -EIO;
	struct inode *n = x ? x->inode : NULL;
	if (!n) {
		n = calloc(1, sizeof *n);
		n->id = ++d->n_inode;
		n->next = d->inodes;
		d->inodes = n;
		disk_grow(n, 4096);
		name_op(d, NULL, path, n);
	}
	struct handle *h = calloc(1, sizeof *h);
	h->inode = n;
	h->process = sched_process();
	h->read_only = flags & FIRN_OPEN_READ_ONLY;
	*file = h;
	return 0;
}

static int f_close(void *ctx, void *file)
{
	struct handle *h = file;
	(void)ctx;
	if (!h->read_only && h->inode->owner == h->process)
		h->inode->owner = 0;
	free(h);
	return 0;
}

static const char *name_of(const struct disk *d, const struct inode *n)
{
	for (uint32_t i = 0; i < d->n_seen; i++)
		if (d->seen[i].inode == n)
			return d->seen[i].path;
	return "";
}

static int64_t f_read(void *ctx, void *file, void *buf, size_t len, uint64_t pos)
{
	struct handle *h = file;
	struct node *node = ctx;
	struct gate *gate;
	enum gate_how how = gate_at(GATE_READ, name_of(node->disk, h->inode), &gate);
	gate_pass(gate);
	sched_maybe_yield();
	if (how == GATE_FAIL || fault_strikes(FAULT_EIO, 4000))
		return -EIO;
	uint64_t have = pos < h->inode->seen_len ? h->inode->seen_len - pos : 0;
	if (len > have)
		len = (size_t)have;
	memcpy(buf, h->inode->seen + pos, len);
	return (int64_t)len;
}

/* The time it takes; a kill in between leaves it to disk_killed(). */
static int fly(struct disk *d, struct inode *n, const void *buf, size_t len, uint64_t pos,
               uint64_t ns)
{
	struct flight *f = malloc(sizeof *f);
	*f = (struct flight){ flights, d, n, sched_process(), buf, len, pos, NULL };
	flights = f;
	sched_sleep(ns);
	enum gate_how how = gate_at(GATE_WRITE, name_of(d, n), &f->gate);
	gate_pass(f->gate);
	for (struct flight **link = &flights; *link; link = &(*link)->next)
		if (*link == f) {
			*link = f->next;
			break;
		}
	free(f);
	return how == GATE_FAIL ? -EIO : 0;
}

static int64_t f_write(void *ctx, void *file, const void *buf, size_t len, uint64_t pos)
{
	struct handle *h = file;
	struct disk *d = disk_of(ctx);
	uint64_t more = pos + len > h->inode->seen_len ? pos + len - h->inode->seen_len : 0;
	if (fault_strikes(FAULT_EIO, 1000))
		return -EIO;
	if (more && (disk_used(d) + more > d->capacity || fault_strikes(FAULT_ENOSPC, 200))) {
		size_t part = len > 4096 && rng_one_in(&W.rng, 2) ? 4096 : 0;
		if (part)
			write_seen(h->inode, buf, part, pos);
		return part ? (int64_t)part : -ENOSPC;
	}
	if (fly(d, h->inode, buf, len, pos, 10000 + rng_below(&W.rng, 100000)))
		return -EIO;
	write_seen(h->inode, buf, len, pos);
	return (int64_t)len;
}

static int f_sync(void *ctx, void *file)
{
	struct handle *h = file;
	struct node *node = ctx;
	sched_sleep(20000 + rng_below(&W.rng, 200000));
	struct gate *gate;
	enum gate_how how = gate_at(GATE_SYNC, name_of(node->disk, h->inode), &gate);
	gate_pass(gate);
	if (how == GATE_LIE)
		return 0;
	if (how == GATE_FAIL || fault_strikes(FAULT_EIO, 1000)) {
		/* The device dropped what it had not flushed: a later flush that succeeds does not bring it back, and a read,
		 * which passes by the page cache (O_DIRECT), shows what was there before. */
		while (h->inode->first) {
			struct pending *p = h->inode->first;
			memcpy(h->inode->seen + p->pos, h->inode->safe + p->pos, p->len);
			h->inode->first = p->next;
			free(p);
		}
		h->inode->last = NULL;
		return -EIO;
	}
	if (node->lying && !node->lied && fault_strikes(FAULT_LYING_FLUSH, 50)) {
		node->lied = true;
		return 0;
	}
	flush(h->inode);
	return 0;
}

static int f_write_start(void *ctx, void *file, const void *buf, size_t len, uint64_t pos)
{
	struct handle *h = file;
	(void)ctx;
	h->flying = h->inode;
	h->fly_buf = buf;
	h->fly_len = len;
	h->fly_pos = pos;
	h->fly_done_ns = sched_now() + 30000 + rng_below(&W.rng, 300000);
	return 0;
}

static int f_write_wait(void *ctx, void *file)
{
	struct handle *h = file;
	if (!h->flying)
		return 0;
	h->flying = NULL;
	uint64_t now = sched_now();
	int rc = fly(disk_of(ctx), h->inode, h->fly_buf, h->fly_len, h->fly_pos,
	             h->fly_done_ns > now ? h->fly_done_ns - now : 1);
	if (rc)
		return rc;
	if (fault_strikes(FAULT_EIO, 1000)) {
		if (rng_one_in(&W.rng, 2))
			write_seen(h->inode, h->fly_buf, h->fly_len, h->fly_pos);
		return -EIO;
	}
	write_seen(h->inode, h->fly_buf, h->fly_len, h->fly_pos);
	struct node *node = ctx;
	if (node->lying && !node->lied && fault_strikes(FAULT_LYING_FLUSH, 50)) {
		node->lied = true;
		return 0;
	}
	flush(h->inode);
	return 0;
}

static int f_size(void *ctx, void *file, uint64_t *bytes)
{
	(void)ctx;
	*bytes = ((struct handle *)file)->inode->seen_len;
	return 0;
}

static int f_lock(void *ctx, void *file)
{
	struct handle *h = file;
	(void)ctx;
	if (h->inode->n_ghost || (h->inode->owner && h->inode->owner != h->process))
		return -EWOULDBLOCK;
	h->inode->owner = h->process;
	return 0;
}

static int f_rename(void *ctx, const char *from, const char *to)
{
	struct disk *d = disk_of(ctx);
	struct name *x = disk_find(d->seen, d->n_seen, from);
	struct gate *gate;
	enum gate_how how = gate_at(GATE_RENAME, to, &gate);
	gate_pass(gate);
	sched_maybe_yield();
	if (!x) /* the index, a real directory, that is set aside */
		return rename(from, to) ? -errno : 0;
	if (how == GATE_FAIL || fault_strikes(FAULT_EIO, 2000))
		return -EIO;
	name_op(d, from, to, x->inode);
	return 0;
}

static int f_remove(void *ctx, const char *path)
{
	struct disk *d = disk_of(ctx);
	sched_maybe_yield();
	if (!disk_find(d->seen, d->n_seen, path))
		return -ENOENT;
	name_op(d, NULL, path, NULL);
	return 0;
}

/* Directories are there and stay: what is tested is what lies in them. */
static int f_mkdir(void *ctx, const char *path)
{
	(void)ctx, (void)path;
	return 0;
}

static int f_sync_dir(void *ctx, const char *path)
{
	struct disk *d = disk_of(ctx);
	sched_sleep(20000 + rng_below(&W.rng, 100000));
	struct gate *gate;
	enum gate_how how = gate_at(GATE_SYNC_DIR, path, &gate);
	gate_pass(gate);
	if (how == GATE_LIE)
		return 0;
	if (how == GATE_FAIL || fault_strikes(FAULT_EIO, 1000))
		return -EIO;
	for (struct name_op **link = &d->first, *op, *last = NULL; (op = *link) != NULL;) {
		if (strcmp(op->dir, path) != 0) {
			last = op;
			link = &op->next;
			continue;
		}
		name_apply(d, op);
		*link = op->next;
		if (d->last == op)
			d->last = last;
		free(op);
	}
	return 0;
}

static int f_list(void *ctx, const char *path, int (*each)(void *arg, const char *name), void *arg)
{
	struct disk *d = disk_of(ctx);
	size_t len = strlen(path);
	int rc = 0;
	for (uint32_t i = 0; i < d->n_seen && !rc; i++) {
		const struct name *x = &d->seen[i];
		if (x->inode && !strncmp(x->path, path, len) && x->path[len] == '/' &&
		    !strchr(x->path + len + 1, '/'))
			rc = each(arg, x->path + len + 1);
	}
	return rc;
}

static int f_space(void *ctx, const char *path, uint64_t *free_bytes)
{
	struct disk *d = disk_of(ctx);
	uint64_t used = disk_used(d);
	(void)path;
	*free_bytes = d->capacity > used ? d->capacity - used : 0;
	return 0;
}

static int f_identity(void *ctx, const char *path, struct firn_identity *out)
{
	(void)path;
	*out = (struct firn_identity){ .fs_id = 1, .inode = ((struct node *)ctx)->machine };
	return 0;
}

const struct firn_files disk_files = { sizeof disk_files,
	                               0,
	                               f_open,
	                               f_close,
	                               f_read,
	                               f_write,
	                               f_sync,
	                               f_write_start,
	                               f_write_wait,
	                               f_size,
	                               f_lock,
	                               f_rename,
	                               f_remove,
	                               f_mkdir,
	                               f_sync_dir,
	                               f_list,
	                               f_space,
	                               f_identity };
