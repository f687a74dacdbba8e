/* Options: the struct's members and the rarer "name=value" strings. */
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINGER_MAX_US = 1000000 }; /* a close sleeps through it */
#define WAL_BYTES_MAX (UINT64_C(16) << 40)

static const struct firn_option options[] = {
	{ "delete_deadline_ms", "duration", "ms", "604800000",
	  "Time after a trim or a deletion by which no object names the bytes; they are deleted delete_grace_ms later." },
	{ "delete_grace_ms", "duration", "ms", "3600000",
	  "Time from a commit that removes an object to its deletion: readers elsewhere look again within half of it." },
	{ "layer_segments", "uint", "", "256",
	  "Segments of a volume with a row of their own in its manifest, 2 to 4096; as many become a layer." },
	{ "segment_bytes", "size", "B", "67108864",
	  "Un-stored bytes of a volume that start an upload; unset: an eighth of memory_bytes, at most this." },
	{ "upload_interval_ms", "duration", "ms", "60000",
	  "Age of the oldest un-stored write that does." },
	{ "wal", "string", "", "file",
	  "Where the log lies: file (this directory), or store:URI, which any engine can take over from." },
	{ "wal_direct", "bool", "", "true",
	  "Write the WAL with O_DIRECT where the file system can." },
	{ "wal_file_bytes", "size", "B", "0",
	  "Size of a WAL file; 0 = a 32nd of wal_bytes, 1 MiB to 128 MiB." },
	{ "wal_io", "enum", "", "auto",
	  "How the WAL is written: auto (io_uring where there is), uring, pwrite." },
	{ "wal_preallocate", "bool", "", "false",
	  "Fill all of wal_bytes at open instead of ahead of need." },
	{ "wal_slot_ms", "duration", "ms", "100",
	  "With wal=store: at most one object a time like this, but for full ones; 0 = no wait." },
	{ "zstd_level", "uint", "", "1", "Compression of segments, 1 to 19; 0 = none." },
};

const struct firn_option *firn_options(size_t *n)
{
	*n = sizeof options / sizeof options[0];
	return options;
}

static int number(const char *text, uint64_t *out)
{
	char *end;
	if (*text < '0' || *text > '9')
		return -1;
	unsigned long long v = strtoull(text, &end, 10);
	int shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
	end += shift != 0;
	if (*end || (shift && v >> (63 - shift)))
		return -1;
	*out = (uint64_t)v << shift;
	return 0;
}

static int boolean(const char *text, bool *out)
{
	*out = !strcmp(text, "true") || !strcmp(text, "1");
	return *out || !strcmp(text, "false") || !strcmp(text, "0") ? 0 : -1;
}

static int set(struct engine_options *o, const char *name, size_t len, const char *value)
{
	uint64_t n = 0;
	int rc = -1;
	if (len == 6 && !memcmp(name, "wal_io", 6)) {
		o->wal_io = !strcmp(value, "pwrite") ? WAL_IO_PWRITE : WAL_IO_AUTO;
		return !strcmp(value, "auto") || !strcmp(value, "uring") || !strcmp(value, "pwrite")
		               ? 0
		               : -1;
	}
	if (len == 10 && !memcmp(name, "wal_direct", len))
		return boolean(value, &o->wal_direct);
	if (len == 15 && !memcmp(name, "wal_preallocate", len))
		return boolean(value, &o->wal_preallocate);
	if (len == 3 && !memcmp(name, "wal", 3)) {
		bool store = !strncmp(value, "store:", 6) && strlen(value) < sizeof o->wal_uri;
		(void)snprintf(o->wal_uri, sizeof o->wal_uri, "%s", store ? value + 6 : "");
		return (store && value[6]) || !strcmp(value, "file") ? 0 : -1;
	}
	if (number(value, &n))
		return -1;
	if (len == 14 && !memcmp(name, "wal_file_bytes", len))
		rc = (o->wal_file_bytes = n, n % 4096 || (n && n < 1u << 20) || n > 1u << 30);
	else if (len == 13 && !memcmp(name, "segment_bytes", len))
		rc = (o->segment_bytes = n, n < 4096 || n > 1u << 30);
	else if (len == 18 && !memcmp(name, "upload_interval_ms", len))
		rc = (o->upload_interval_ms = (uint32_t)n, n > INT32_MAX);
	else if (len == 15 && !memcmp(name, "delete_grace_ms", len))
		rc = (o->delete_grace_ms = (uint32_t)n, n > INT32_MAX);
	else if (len == 18 && !memcmp(name, "delete_deadline_ms", len))
		rc = (o->delete_deadline_ms = (uint32_t)n, n > INT32_MAX);
	else if (len == 14 && !memcmp(name, "layer_segments", len))
		rc = (o->layer_segments = (uint32_t)n, n < 2 || n > 4096);
	else if (len == 11 && !memcmp(name, "wal_slot_ms", len))
		rc = (o->wal_slot_ms = (uint32_t)n, n > 60000);
	else if (len == 10 && !memcmp(name, "zstd_level", len))
		rc = (o->zstd_level = (uint32_t)n, n > 19);
	return rc ? -1 : 0;
}

static const struct firn_option *find(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
		if (!strncmp(options[i].name, name, len) && !options[i].name[len])
			return &options[i];
	return NULL;
}

static int parse_list(struct engine_options *o, const char *const *list, struct firn_error *err)
{
	for (; list && *list; list++) {
		const char *eq = strchr(*list, '=');
		if (eq && !set(o, *list, (size_t)(eq - *list), eq + 1))
			continue;
		const struct firn_option *known = eq ? find(*list, (size_t)(eq - *list)) : NULL;
		return known ? fail(err, FIRN_EINVAL, 0, "engine", "option %.60s (%s): %s", *list,
		                    known->type, known->help)
		             : fail(err, FIRN_EINVAL, 0, "engine",
		                    "option %.100s is unknown or malformed: name=value, of those that "
		                    "firn_options() lists",
		                    *list);
	}
	return 0;
}

int attach_options_check(const char *const *list, struct firn_error *err)
{
	if (list && *list)
		return fail(err, FIRN_EINVAL, 0, "attach", "option %.100s: an attach takes none",
		            *list);
	return 0;
}

static int check_shares(const struct engine *e, struct firn_error *err)
{
	if (e->memory_bytes < 16u << 20)
		return fail(err, FIRN_EINVAL, 0, "engine", "memory_bytes must be at least 16 MiB");
	if (e->tail_bytes < 1u << 20)
		return fail(err, FIRN_EINVAL, 0, "engine", "tail_bytes must be at least 1 MiB");
	if (e->cache_bytes < 1u << 20)
		return fail(err, FIRN_EINVAL, 0, "engine", "cache_bytes must be at least 1 MiB");
	/* One by one: a sum of three can wrap. */
	uint64_t left = e->memory_bytes;
	bool fits = e->tail_bytes <= left;
	fits = fits && e->cache_bytes <= (left -= e->tail_bytes);
	fits = fits && e->pin_bytes <= left - e->cache_bytes;
	if (!fits)
		return fail(err, FIRN_EINVAL, 0, "engine",
		            "tail, cache and pin shares exceed memory_bytes");
	return 0;
}

int options_parse(struct engine *e, const struct firn_engine_opts *opts, struct firn_error *err)
{
	struct engine_options *o = &e->options;
	if (opts->flags & ~(uint32_t)FIRN_ENGINE_NO_THREADS)
		return fail(err, FIRN_EUNSUPPORTED, 0, "engine", "unknown flag");
	e->no_threads = opts->flags & FIRN_ENGINE_NO_THREADS;
	e->linger_us = opts->linger_us;
	e->memory_bytes = opts->memory_bytes ? opts->memory_bytes : 512u << 20;
	/* And three quarters of that for the round being built: its groups, and what is listed of them. */
	e->upload_bytes = e->memory_bytes / 4;
	e->tail_bytes = opts->tail_bytes ? opts->tail_bytes : e->memory_bytes / 4;
	e->cache_bytes = opts->cache_bytes ? opts->cache_bytes : e->memory_bytes / 16 * 3;
	e->pin_bytes = opts->pin_bytes ? opts->pin_bytes : e->memory_bytes / 16;
	*o = (struct engine_options){ .upload_interval_ms = 60000,
		                      .wal_slot_ms = 100,
		                      .zstd_level = 1,
		                      .layer_segments = 256,
		                      .delete_grace_ms = 3600000,
		                      .delete_deadline_ms = 604800000,
		                      .wal_direct = true };
	o->segment_bytes = e->memory_bytes / 8 < 64u << 20 ? e->memory_bytes / 8 : 64u << 20;
	if (opts->linger_us > LINGER_MAX_US)
		return fail(err, FIRN_EINVAL, 0, "engine", "linger_us is at most %d",
		            LINGER_MAX_US);
	int rc = parse_list(o, opts->options, err);
	rc = rc ? rc : check_shares(e, err);
	if (rc)
		return rc;
	uint64_t wal = opts->wal_bytes ? opts->wal_bytes : UINT64_C(4) << 30;
	if (!o->wal_file_bytes) {
		o->wal_file_bytes = wal / 32 / 4096 * 4096;
		if (o->wal_file_bytes < 1u << 20)
			o->wal_file_bytes = 1u << 20;
		if (o->wal_file_bytes > 128u << 20)
			o->wal_file_bytes = 128u << 20;
	}
	if (wal > WAL_BYTES_MAX)
		return fail(err, FIRN_EINVAL, 0, "engine", "wal_bytes is at most 16 TiB");
	if (wal < 4 * o->wal_file_bytes)
		return fail(err, FIRN_EINVAL, 0, "engine",
		            "wal_bytes must hold four files of %llu bytes",
		            (unsigned long long)o->wal_file_bytes);
	e->wal_bytes = wal;
	return 0;
}
