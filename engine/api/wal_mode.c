/* Opening the log as the options say: files in the directory, or slots in a store with a copy in the directory. */
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/os/env.h"
#include "engine/wal/slots.h"
#include <errno.h>
#include <stdio.h>

static void sizes(const struct engine *e, struct wal_opts *o)
{
	const struct engine_options *p = &e->options;
	uint64_t most = p->wal_uri[0] ? 4u << 20 : 1u << 20; /* a slot costs a request */
	uint64_t group = p->wal_file_bytes / 8 < most ? p->wal_file_bytes / 8 : most;
	if (p->wal_uri[0] && group > e->tail_bytes / 16)
		group = e->tail_bytes / 16;
	group = group / WAL_PAGE * WAL_PAGE;
	uint64_t chunk = group < 1u << 20 || e->tail_bytes < 32u << 20 ? group : 4u << 20;
	uint64_t directory = e->memory_bytes / 64 < 4u << 20 ? e->memory_bytes / 64 : 4u << 20;
	*o = (struct wal_opts){ .wal_bytes = e->wal_bytes,
		                .file_bytes = p->wal_file_bytes,
		                .pending_bytes = e->tail_bytes / 2,
		                .tail_bytes = e->tail_bytes / 2,
		                .group_bytes = (uint32_t)group,
		                .chunk_bytes = (uint32_t)chunk,
		                .directory_bytes = (uint32_t)directory,
		                .direct = p->wal_direct };
	e->account->spare_len = chunk;
}

static int open_files(struct engine *e, struct firn_error *err)
{
	struct wal_opts o;
	char dir[4200];
	(void)snprintf(dir, sizeof dir, "%s/wal", e->dir);
	sizes(e, &o);
	int rc = wal_open(&e->wal, e->account, e, dir, &o, &e->scan, err);
	e->wal_opened = !rc;
	if (!rc && o.direct && os_file_direct(e->env, e->wal.current) == 0)
		e->env->log(e->env->ctx, FIRN_LOG_WARN, "wal",
		            "the file system refuses O_DIRECT: writing through the page cache");
	return rc;
}

static int count_file(void *arg, const char *name)
{
	uint64_t no;
	*(uint32_t *)arg += !wal_file_name_parse(name, &no);
	return 0;
}

/* Acked writes in files that this engine would not look at: whoever set wal=store: has to know. */
static int check_no_files(struct engine *e, struct firn_error *err)
{
	char dir[4200], name[256] = "";
	uint32_t n = 0;
	(void)snprintf(dir, sizeof dir, "%s/wal", e->dir);
	int rc = e->env->files->list(e->env->ctx, dir, count_file, &n);
	if (rc == -ENOENT || (!rc && !n))
		return 0;
	rc = rc ? fail(err, code_of_errno(rc), -rc, "engine", "%s", dir) : open_files(e, err);
	if (rc)
		return rc;
	for (uint32_t i = 0; i < e->wal.n_row && !name[0]; i++)
		if (!(e->wal.row[i].flags & WAL_VOLUME_CLEAN))
			(void)snprintf(name, sizeof name, "%s", e->wal.row[i].name);
	wal_close(&e->wal, true);
	e->wal_opened = false;
	wal_scan_fini(&e->scan, e->env);
	return name[0] ? fail(err, FIRN_EBUSY, 0, "engine",
	                      "%s holds a log in files that volume %s may need: attach and drain it with "
	                      "wal=file first",
	                      dir, name)
	               : 0;
}

static int open_slots(struct engine *e, struct firn_error *err)
{
	struct wal_opts o;
	char dir[4200];
	int rc = check_no_files(e, err);
	if (rc)
		return rc;
	(void)snprintf(dir, sizeof dir, "%s/wal-copy", e->dir);
	sizes(e, &o);
	o.cache = true;
	o.direct = false;
	rc = wal_open(&e->wal, e->account, e, dir, &o, &e->scan, err);
	e->wal_opened = !rc;
	return rc ? rc : slots_open(&e->wal, e->options.wal_uri, e->options.wal_slot_ms, err);
}

int wal_mode_open(struct engine *e, struct firn_error *err)
{
	int rc = e->options.wal_uri[0] ? open_slots(e, err) : open_files(e, err);
	while (!rc && e->options.wal_preallocate && wal_prepare_all(&e->wal))
		;
	if (!rc)
		(void)wal_prepare(&e->wal); /* the first; the uploader makes the others */
	return rc;
}
