#include "tests/crash/kill9.h"
#include "tests/crash/loop.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

uint64_t loop_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void put(const struct task *t, const char *text, size_t len)
{
	if (write(t->log, text, len) != (ssize_t)len)
		die("event log: %s", strerror(errno));
}

/* A kill may cut a line where a page of the file ends: it is on a line of its own, and without its end nobody believes it. */
static const char line_start[] = "\n", line_end[] = " .\n";

void loop_say(const struct task *t, const char *fmt, ...)
{
	char text[600];
	va_list ap;
	va_start(ap, fmt);
	int len = vsnprintf(text + 1, sizeof text - 1 - sizeof line_end, fmt, ap);
	va_end(ap);
	if (len < 0 || len >= (int)(sizeof text - 1 - sizeof line_end))
		die("event log: a long line");
	text[0] = line_start[0];
	memcpy(text + 1 + len, line_end, sizeof line_end - 1);
	put(t, text, 1 + (size_t)len + sizeof line_end - 1);
}

_Noreturn void loop_wrong(const struct task *t, const char *what, int code, const char *text)
{
	loop_say(t, "wrong run %lu: %s: %s (%s)", (unsigned long)t->run, what, text,
	         firn_code_name(code));
	die("run %lu: %s: %s (%s)", (unsigned long)t->run, what, text, firn_code_name(code));
}

/* ---- records ---- */

void line_begin(struct line *l, uint64_t from)
{
	l->len = 0;
	l->from = l->next = from;
}

static void add_record(struct line *l, const struct firn_batch *b, uint64_t id)
{
	if (l->cap - l->len < 100) {
		l->cap = l->cap * 2 + 4000;
		l->text = realloc(l->text, l->cap);
		if (!l->text)
			die("no memory");
	}
	l->len += (size_t)sprintf(l->text + l->len, " %lu:%lu:%lu:%lu", (unsigned long)b->offset,
	                          (unsigned long)id, (unsigned long)b->rev,
	                          (unsigned long)b->epoch);
}

void line_add(const struct task *t, struct line *l, uint32_t room, const struct firn_part *part)
{
	uint8_t want[PAYLOAD_MAX];
	const char *at = (const char *)part->batch;
	if (part->gap)
		loop_wrong(t, "read", part->code, "a gap");
	for (uint32_t i = 0; i < part->n_batch; i++, at += part->batch_size) {
		const struct firn_batch *b = (const void *)at;
		uint64_t id = 0;
		if (b->len >= sizeof id)
			memcpy(&id, b->data, sizeof id);
		if (b->n_offsets != 1 || payload_make(want, room, id) != b->len ||
		    memcmp(want, b->data, b->len) != 0)
			loop_wrong(t, "read", FIRN_ECORRUPT, "other bytes than anybody wrote");
		if (b->offset >= l->from)
			add_record(l, b, id);
	}
	l->next = part->next_offset;
}

void line_say(const struct task *t, struct line *l, const char *more, const char *fmt, ...)
{
	char head[300], end[sizeof line_end];
	memcpy(end, line_end, sizeof end);
	struct iovec iov[3] = { { head, 0 }, { l->text, l->len }, { end, sizeof end - 1 } };
	va_list ap;
	head[0] = line_start[0];
	va_start(ap, fmt);
	int len = 1 + vsnprintf(head + 1, sizeof head - 1, fmt, ap);
	va_end(ap);
	len += snprintf(head + len, sizeof head - (size_t)len, " %lu %lu%s%s",
	                (unsigned long)l->from, (unsigned long)l->next, more ? " " : "",
	                more ? more : "");
	iov[0].iov_len = (size_t)len;
	if (writev(t->log, iov, 3) != (ssize_t)((size_t)len + l->len + sizeof end - 1))
		die("event log: %s", strerror(errno));
}

int line_read(const struct task *t, struct line *l, struct firn_volume *v, uint32_t room,
              uint64_t stream, uint64_t end)
{
	struct firn_error err = FIRN_ERROR_INIT;
	const struct firn_fetched *got;
	while (l->next < end) {
		int rc = firn_stream_read(v, stream, l->next, 1 << 20, 1000, &got, &err);
		if (rc == FIRN_EFENCED)
			return rc;
		if (rc ==
		    FIRN_ETIMEDOUT) /* it was stopped meanwhile, for longer than it would have waited */
			continue;
		if (rc)
			loop_wrong(t, "read", rc, err.text);
		if (got->n_part)
			line_add(t, l, room, got->part);
		firn_release(got);
	}
	return 0;
}

/* ---- engines and content ---- */

struct firn_engine *loop_engine(const struct task *t)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_engine *e;
	char wal[1100];
	(void)snprintf(wal, sizeof wal, "wal=store:%s", t->log_store ? t->log_store : "");
	const char *options[] = { "wal_file_bytes=1M", "delete_grace_ms=60000",
		                  t->log_store ? "wal_slot_ms=10" : NULL, wal, NULL };
	struct firn_engine_opts opts = { .struct_size = sizeof opts,
		                         .dir = t->dir,
		                         .wal_bytes = 16 << 20,
		                         .memory_bytes = 64 << 20,
		                         .options = options };
	int rc = firn_engine_open(&opts, &e, &err);
	if (rc)
		loop_wrong(t, "open", rc, err.text);
	return e;
}

int loop_attach(const struct task *t, struct firn_engine *e, uint32_t flags,
                const struct firn_attached **out)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_event ev;
	struct firn_attach a = FIRN_ATTACH_INIT;
	a.req.timeout_ms = 60000;
	a.store = t->store;
	a.name = "rooms";
	a.segment_bytes = 128 << 10;
	a.upload_interval_ms = 50;
	a.attach_flags = flags;
	int rc = firn_engine_call(e, &a.req, &ev, &err);
	*out = rc ? NULL : ev.result;
	if (rc)
		firn_release(ev.result);
	if (rc && rc != (flags & FIRN_ATTACH_READ_ONLY ? FIRN_ENOENT : FIRN_ESTORE))
		loop_wrong(t, "attach", rc, err.text);
	return rc;
}

uint64_t loop_stream(const struct task *t, const struct firn_volume *v, uint32_t room)
{
	uint64_t stream;
	char name[16];
	int len = snprintf(name, sizeof name, "room-%u", room);
	int rc = firn_stream_find(v, name, (size_t)len, &stream);
	if (rc && rc != FIRN_ENOENT)
		loop_wrong(t, "find", rc, name);
	return rc ? 0 : stream;
}

uint64_t loop_mark(const struct task *t, const struct firn_volume *v, uint64_t stream,
                   uint32_t which)
{
	uint64_t offset;
	int rc = firn_stream_mark(v, stream, which, &offset);
	if (rc)
		loop_wrong(t, "mark", rc, "");
	return offset;
}

uint32_t payload_make(uint8_t *buf, uint32_t room, uint64_t id)
{
	uint64_t state = mix(id << 2 | room);
	uint32_t len = 8 + (uint32_t)chance(&state, 200);
	if (!chance(&state, 100))
		len += (uint32_t)chance(&state, PAYLOAD_MAX - 300);
	memcpy(buf, &id, 8);
	for (uint32_t at = 8; at < len; at++) {
		if (at % 8 == 0)
			state = mix(state);
		buf[at] = (uint8_t)(state >> at % 8 * 8);
	}
	return len;
}
