#include "tests/crash/kill9.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATIENCE_MS = 120000 }; /* who hangs, and not who is slow */

_Noreturn void die(const char *fmt, ...)
{
	va_list ap;
	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	_exit(DIED);
}

struct firn_engine *engine_open(const struct model *m, const char *dir)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_engine *e;
	char io[64];
	snprintf(io, sizeof io, "wal_io=%s", m->wal_io);
	const char *options[] = { io, "wal_file_bytes=1M", NULL };
	struct firn_engine_opts opts = { .struct_size = sizeof opts,
		                         .dir = dir,
		                         .env = m->env,
		                         .wal_bytes = m->wal_bytes ? m->wal_bytes : 16 << 20,
		                         .memory_bytes = m->memory_bytes ? m->memory_bytes
		                                                         : 64 << 20,
		                         .options = options };
	if (firn_engine_open(&opts, &e, &err))
		die("open %s: %s", dir, err.text);
	return e;
}

void engine_close(struct firn_engine *e)
{
	int rc = firn_engine_close(e);
	if (rc)
		die("close: %s", firn_code_name(rc));
}

struct firn_volume *attach(struct firn_engine *e, struct model *m, uint32_t flags, int *code)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_event ev;
	struct firn_attach a = FIRN_ATTACH_INIT;
	a.store = m->store;
	a.name = "rooms";
	a.segment_bytes = 256 << 10;
	a.upload_interval_ms = 20;
	a.attach_flags = flags;
	a.req.timeout_ms = PATIENCE_MS;
	int rc = firn_engine_call(e, &a.req, &ev, &err);
	if (code)
		*code = rc;
	if (rc && !code)
		die("attach: %s (%s)", err.text, firn_code_name(rc));
	const struct firn_attached *attached = rc ? NULL : ev.result;
	struct firn_volume *v = attached ? attached->volume : NULL;
	if (attached && attached->n_lost)
		die("attach: %u lost ranges", attached->n_lost);
	if (attached && attached->flags & FIRN_ATTACHED_RESUMED)
		atomic_fetch_add(&m->told.n_resumed, 1);
	firn_release(ev.result);
	return v;
}

void detach(struct firn_engine *e, struct firn_volume *v, uint32_t mode)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_event ev;
	struct firn_detach d = FIRN_DETACH_INIT;
	d.volume = v;
	d.mode = mode;
	d.req.timeout_ms = PATIENCE_MS;
	int rc = firn_engine_call(e, &d.req, &ev, &err);
	firn_release(ev.result);
	if (rc)
		die("detach %u: %s (%s)", mode, err.text, firn_code_name(rc));
}

uint64_t mark(const struct firn_volume *v, uint64_t stream, uint32_t which)
{
	uint64_t offset;
	int rc = firn_stream_mark(v, stream, which, &offset);
	if (rc)
		die("mark %u: %s", which, firn_code_name(rc));
	return offset;
}

uint64_t kv(const struct firn_volume *v, uint64_t stream, const char *key)
{
	uint64_t value = 0;
	size_t len = 0;
	int rc = firn_kv_get(v, stream, key, strlen(key), &value, sizeof value, &len, NULL);
	if (rc == FIRN_ENOENT)
		return 0;
	if (rc || len != sizeof value)
		die("key %s: %s", key, firn_code_name(rc));
	return value;
}

/* ---- content ---- */

enum room_kind room_kind(uint32_t room)
{
	static const uint8_t kind[ROOMS] = { ROOM_EXACT, ROOM_EXACT, ROOM_RISING,
		                             ROOM_KEYED, ROOM_PLAIN, ROOM_PLAIN };
	return (enum room_kind)kind[room];
}

bool room_trims(uint32_t room)
{
	return room == 1 || room == 4 || room == 5;
}

uint32_t message_offsets(uint32_t room, uint64_t id)
{
	return room_kind(room) == ROOM_EXACT ? 1 : 1 + (uint32_t)(mix(id * ROOMS + room) % 3);
}

uint32_t message_make(uint8_t *buf, uint32_t room, uint64_t id, uint32_t pair_room,
                      uint64_t pair_id)
{
	uint64_t state = mix(id << 8 | room);
	uint32_t len = (uint32_t)sizeof(struct message) + (uint32_t)chance(&state, 900);
	if (!chance(&state, 200))
		len += 40000;
	struct message head = { UINT64_C(0x656d2d6e726966), id, room, len, pair_room, 0, pair_id };
	memcpy(buf, &head, sizeof head);
	for (uint32_t at = sizeof head; at < len; at++) {
		if (at % 8 == 0)
			state = mix(state);
		buf[at] = (uint8_t)(state >> at % 8 * 8);
	}
	return len;
}
