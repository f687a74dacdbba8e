#include "tests/sim/node.h"
#include "tests/sim/world.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct block {
	struct block *next, **link;
	void *base;
	size_t len;
};

static void *n_alloc(void *ctx, size_t len, size_t align)
{
	struct node *n = ctx;
	if (align < 64)
		align = 64;
	uint8_t *base;
	if (posix_memalign((void **)&base, align, len + align))
		return NULL;
	struct block *b = (struct block *)(void *)(base + align) - 1;
	*b = (struct block){ n->blocks, &n->blocks, base, len };
	if (n->blocks)
		n->blocks->link = &b->next;
	n->blocks = b;
	n->memory += len;
	if (n->memory > n->memory_most)
		n->memory_most = n->memory;
	return base + align;
}

static void n_release(void *ctx, void *p)
{
	struct node *n = ctx;
	if (!p)
		return;
	struct block *b = (struct block *)p - 1;
	n->memory -= b->len;
	*b->link = b->next;
	if (b->next)
		b->next->link = b->link;
	free(b->base);
}

static int64_t n_now_ms(void *ctx)
{
	struct node *n = ctx;
	return INT64_C(1750000000000) + (int64_t)(sched_now() / 1000000u) + n->clock_ms;
}

static uint64_t n_mono_ns(void *ctx)
{
	const struct node *n = ctx;
	return sched_now() + n->ahead_ns;
}

static void n_random(void *ctx, void *buf, size_t len)
{
	struct node *n = ctx;
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)rng_next(&n->rng);
}

static void n_log(void *ctx, uint32_t level, const char *origin, const char *text)
{
	struct node *n = ctx;
	sim_trace("node %u: log %u %s: %s", n->number, level, origin, text);
}

struct node *node_new(uint32_t number)
{
	struct node *n = calloc(1, sizeof *n);
	n->number = n->machine = number;
	n->slots = W.slots;
	n->disk = disk_new(number, 3 * (uint64_t)NODE_WAL);
	n->rng.s = W.seed ^ (UINT64_C(0xabcdef) * (number + 1));
	(void)snprintf(n->dir, sizeof n->dir, "%.180s/n%u", W.scratch, number);
	(void)mkdir(n->dir, 0700);
	n->env = (struct firn_env){ .struct_size = sizeof n->env,
		                    .ctx = n,
		                    .alloc = n_alloc,
		                    .release = n_release,
		                    .now_ms = n_now_ms,
		                    .mono_ns = n_mono_ns,
		                    .random = n_random,
		                    .log = n_log,
		                    .files = &disk_files };
	return n;
}

void node_boot(struct node *n)
{
	n->boots++;
	n->process = (n->number + 1) * 1000 + n->boots;
	n->memory = n->memory_most = 0;
	n->engine = NULL;
	if (fault_strikes(FAULT_CLOCK, 10))
		n->clock_ms += (int64_t)rng_below(&W.rng, 8 * 3600 * 1000) - 4 * 3600 * 1000;
}

int node_open(struct node *n, struct firn_error *err)
{
	char file_bytes[40], slot_ms[40];
	(void)snprintf(file_bytes, sizeof file_bytes, "wal_file_bytes=1M");
	(void)snprintf(slot_ms, sizeof slot_ms, "wal_slot_ms=%u",
	               n->slots ? (uint32_t)rng_below(&W.rng, 20) : 0);
	bool soon = n->boots % 2; /* no draw: other choices stay what they were */
	const char *options[] = {
		file_bytes, "upload_interval_ms=2000",
		soon ? "delete_deadline_ms=8000" : "delete_deadline_ms=60000",
		rng_one_in(&W.rng, 2) ? "wal_io=pwrite" : "wal_io=auto", "segment_bytes=64K",
		/* layers of layers within a run, and objects that go while it lasts */
		rng_one_in(&W.rng, 2) ? "layer_segments=3" : "layer_segments=8",
		rng_one_in(&W.rng, 2) ? "delete_grace_ms=20000" : "delete_grace_ms=60000",
		n->slots ? slot_ms : NULL, "wal=store:mem:log", NULL
	};
	struct firn_engine_opts o = { .struct_size = sizeof o,
		                      .dir = n->dir,
		                      .wal_bytes = NODE_WAL,
		                      .memory_bytes = NODE_MEMORY,
		                      .env = &n->env,
		                      .options = options };
	return firn_engine_open(&o, &n->engine, err);
}

/* ---- the index lies in a real directory: LMDB does its own I/O */

static void copy_file(const char *from, const char *to)
{
	char buf[65536];
	int in = open(from, O_RDONLY | O_CLOEXEC),
	    out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ssize_t n;
	while (in >= 0 && out >= 0 && (n = read(in, buf, sizeof buf)) > 0) {
		const char *at = buf;
		while (n > 0) {
			ssize_t k = pwrite(out, at, (size_t)n, lseek(out, 0, SEEK_END));
			if (k <= 0)
				break;
			at += k;
			n -= k;
		}
	}
	if (in >= 0)
		(void)close(in);
	if (out >= 0)
		(void)close(out);
}

/* The dead process still has LMDB's files open, in this process: the next one gets a copy in a new folder. */
static void index_moves(struct node *n)
{
	char dir[256], away[300], old[300], from[320], to[340];
	(void)snprintf(dir, sizeof dir, "%s/index", n->dir);
	(void)snprintf(away, sizeof away, "%s/index-%u", n->dir, n->boots);
	if (rename(dir, away))
		return;
	(void)snprintf(old, sizeof old, "%s/index-%u", n->dir, n->boots > 1 ? n->boots - 1 : 0);
	if (fault_strikes(FAULT_INDEX_GONE, 12))
		return;
	bool back = n->boots > 1 && access(old, F_OK) == 0 && fault_strikes(FAULT_INDEX_OLD, 12);
	(void)mkdir(dir, 0700);
	(void)snprintf(from, sizeof from, "%s/data.mdb", back ? old : away);
	(void)snprintf(to, sizeof to, "%s/data.mdb", dir);
	copy_file(from, to);
}

/* ---- snapshots */

struct shot {
	struct disk *disk;
	char dir[200], index[300];
};

struct shot *node_shot(const struct node *n)
{
	static uint32_t number;
	struct shot *s = calloc(1, sizeof *s);
	char from[320];
	s->disk = disk_copy(n->disk, n->number, n->dir, n->dir);
	(void)snprintf(s->dir, sizeof s->dir, "%s", n->dir);
	(void)snprintf(s->index, sizeof s->index, "%s/shot-%u.mdb", n->dir, ++number);
	(void)snprintf(from, sizeof from, "%s/index/data.mdb", n->dir);
	copy_file(from, s->index);
	return s;
}

void node_restore(struct node *n, const struct shot *s)
{
	char dir[256], away[300], to[320];
	(void)snprintf(dir, sizeof dir, "%s/index", n->dir);
	(void)snprintf(away, sizeof away, "%s/index-before-%u", n->dir, ++n->n_restored);
	(void)rename(dir, away);
	(void)mkdir(dir, 0700);
	(void)snprintf(to, sizeof to, "%s/data.mdb", dir);
	copy_file(s->index, to);
	n->disk = disk_copy(s->disk, n->number, s->dir,
	                    n->dir); /* late writes go to the other one */
	sim_trace("node %u: its disk is an earlier one", n->number);
}

const struct disk *shot_disk(const struct shot *s)
{
	return s->disk;
}

void node_kill(struct node *n, bool power)
{
	uint32_t process = n->process;
	sim_trace("node %u: %s", n->number, power ? "POWER CUT" : "KILL -9");
	n->process = 0;
	n->engine = NULL;
	sched_kill(process);
	disk_killed(n->disk, process, power);
	if (power)
		disk_power_cut(n->disk);
	while (n->blocks) {
		struct block *b = n->blocks;
		n->blocks = b->next;
		free(b->base);
	}
	index_moves(n);
}

void node_down(struct node *n)
{
	disk_killed(n->disk, n->process, false);
	n->process = 0;
	n->engine = NULL;
}
