/* firn as a peer of peers.c: one stream, one caller; all that matters is in the WAL. */
#include "tests/power/disk.h"
#include "tests/power/lying.h"
#include "tests/power/peers.h"
#include <firn/firn.h>
#include <stdio.h>

struct firn_peer {
	struct firn_engine *engine;
	struct firn_volume *volume;
	uint64_t stream;
};

static int say(const char *what, const struct firn_error *err)
{
	fprintf(stderr, "firn: %s: %s\n", what, err->text);
	return -1;
}

/* The store is on no disk: what it holds does not count here. */
static int log_open(const struct log_kind *k, const char *dir, uint32_t flags,
                    struct firn_peer *log)
{
	static const char *const options[] = { "wal_file_bytes=1M", NULL };
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_event ev;
	char store[256];
	struct firn_engine_opts opts = { .struct_size = sizeof opts,
		                         .dir = dir,
		                         .env = k->lie ? lying_env(k->lie) : NULL,
		                         .wal_bytes = 16 << 20,
		                         .options = options };
	snprintf(store, sizeof store, "file://%s/peer-store%s", disk_root(), dir);
	struct firn_attach a = FIRN_ATTACH_INIT;
	a.store = store;
	a.name = "log";
	a.upload_interval_ms = 3600 * 1000;
	a.attach_flags = flags;
	if (firn_engine_open(&opts, &log->engine, &err))
		return say("open", &err);
	if (firn_engine_call(log->engine, &a.req, &ev, &err))
		return say("attach", &err);
	log->volume = ((const struct firn_attached *)ev.result)->volume;
	firn_release(ev.result);
	if (firn_stream_open(log->volume, "log", &log->stream, &err))
		return say("stream", &err);
	return 0;
}

void *firn_log_make(const struct log_kind *k, const char *dir)
{
	static struct firn_peer log;
	return log_open(k, dir, FIRN_ATTACH_CREATE, &log) ? NULL : &log;
}

int firn_log_append(void *log, uint64_t id, const uint8_t *record)
{
	const struct firn_peer *l = log;
	uint64_t base;
	int rc = firn_stream_append(l->volume, l->stream, record, RECORD_BYTES, 1, 0, &base, NULL);
	return rc ? rc : base == id ? 0 : -1;
}

int firn_log_read(const struct log_kind *k, const char *dir,
                  bool (*keeps)(void *arg, const void *record, uint64_t len), void *arg)
{
	static struct firn_peer log;
	if (log_open(k, dir, 0, &log))
		return -1;
	for (uint64_t at = 0, before = UINT64_MAX; at != before;) {
		const struct firn_fetched *got;
		before = at;
		if (firn_stream_read(log.volume, log.stream, at, 1 << 20, 0, &got, NULL))
			break;
		const struct firn_part *part = got->part;
		for (uint32_t i = 0; got->n_part && i < part->n_batch; i++) {
			const struct firn_batch *b = (const void *)((const char *)part->batch +
			                                            i * part->batch_size);
			if (b->offset != at || !keeps(arg, b->data, b->len))
				break;
			at = b->offset + 1;
		}
		firn_release(got);
	}
	return 0;
}
