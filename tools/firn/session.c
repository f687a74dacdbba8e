/* One engine with one attached volume: what most sub-commands work on. */
#include "tools/firn/command.h"
#include "tools/firn/text.h"
#include <firn/env.h>
#include <stdio.h>
#include <string.h>

#define STORE_PATIENCE_NS (60 * UINT64_C(1000000000))

/* What the engine meets meanwhile, such as a store that is away: who runs a command for days must be told. */
static void tell_warning(void *ctx, uint32_t level, const char *origin, const char *text)
{
	const struct common *c = ctx;
	if (level <= FIRN_LOG_WARN)
		(void)fprintf(stderr, "%s: %s: %s\n", c->name, origin, text);
}

static int open_engine(struct session *s, const struct common *c)
{
	struct firn_error err = FIRN_ERROR_INIT;
	const struct firn_env env = { .struct_size = sizeof env,
		                      .ctx = (void *)(uintptr_t)c,
		                      .log = tell_warning };
	struct firn_engine_opts opts = { .struct_size = sizeof opts,
		                         .env = &env,
		                         .dir = c->dir,
		                         .wal_bytes = c->wal_bytes,
		                         .options = c->n_option ? c->option : NULL };
	if (firn_engine_open(&opts, &s->engine, &err))
		return report(c, &err);
	return DONE;
}

int session_attach(struct session *s, uint32_t flags)
{
	const struct common *c = s->common;
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_event ev;
	struct firn_attach a = FIRN_ATTACH_INIT;
	a.req.timeout_ms = FIRN_FOREVER;
	a.store = c->store;
	a.name = c->volume;
	a.segment_bytes = c->segment_bytes;
	a.upload_interval_ms = c->upload_ms;
	a.attach_flags = c->read_only ? FIRN_ATTACH_READ_ONLY : flags;
	a.takeover = c->takeover;
	if (c->takeover && !strcmp(c->takeover, "abandon"))
		(void)fprintf(stderr, "%s: watching its owner for two minutes\n", c->volume);
	s->began_ns = mono_ns();
	if (firn_engine_call(s->engine, &a.req, &ev, &err)) {
		firn_release(ev.result);
		return report(c, &err);
	}
	s->attached_ns = mono_ns();
	const struct firn_attached *attached = ev.result;
	s->volume = attached->volume;
	s->epoch = attached->epoch;
	s->replayed_bytes = attached->replayed_bytes;
	s->last_commit_ms = attached->last_commit_ms;
	if (attached->flags & FIRN_ATTACHED_RESUMED)
		(void)fprintf(stderr, "%s: the store is away; going on without it\n", c->volume);
	firn_release(attached);
	return DONE;
}

int session_start(struct session *s, const struct common *c)
{
	*s = (struct session){ .common = c };
	return open_engine(s, c);
}

int session_open(struct session *s, const struct common *c, uint32_t attach_flags)
{
	int code = session_start(s, c);
	if (code)
		return code;
	code = session_attach(s, attach_flags);
	if (code)
		firn_engine_close(s->engine);
	return code;
}

static bool all_stored(const struct session *s)
{
	struct firn_volume_info info = { .struct_size = sizeof info };
	return !firn_volume_info(s->volume, &info) && info.rev_stored == info.rev_durable;
}

/* One step of waiting; FIRN_ETIMEDOUT: not all is stored yet. */
static int flush_some(struct session *s, struct firn_error *err)
{
	struct firn_event ev;
	struct firn_flush f = FIRN_FLUSH_INIT;
	f.req.timeout_ms = 500;
	f.volume = s->volume;
	f.mark = FIRN_MARK_STORED;
	int rc = firn_engine_call(s->engine, &f.req, &ev, err);
	firn_release(ev.result);
	return rc;
}

/* Waits until all is stored, in steps, so that a long upload can be watched. Gives up when the
 * store has been away for a minute: nothing is lost by that. */
static int store_all(struct session *s)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct progress p;
	uint64_t answered = mono_ns();
	int rc;
	progress_begin(&p);
	while ((rc = flush_some(s, &err)) == FIRN_ETIMEDOUT) {
		struct firn_volume_info info = { .struct_size = sizeof info };
		firn_volume_info(s->volume, &info);
		bool away = info.state == FIRN_STATE_STORE_AWAY;
		if (!away)
			answered = mono_ns();
		else if (mono_ns() - answered > STORE_PATIENCE_NS)
			break;
		if (progress_due(&p))
			progress_show(&p, "storing: %s to go%s", text_bytes(info.unstored_bytes).s,
			              away ? "; the store does not answer" : "");
	}
	progress_end(&p);
	if (rc == FIRN_ETIMEDOUT)
		return complain(s->common, TROUBLE,
		                "not all is stored: %s does not answer (FIRN_ESTORE)\n"
		                "  next: nothing is lost, it waits in the WAL: run `firn volume "
		                "drain' when the store is back",
		                s->common->store);
	return rc ? report(s->common, &err) : DONE;
}

static int detach(struct session *s, uint32_t mode)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_event ev;
	struct firn_detach d = FIRN_DETACH_INIT;
	d.req.timeout_ms = FIRN_FOREVER;
	d.volume = s->volume;
	d.mode = mode;
	int rc = firn_engine_call(s->engine, &d.req, &ev, &err);
	firn_release(ev.result);
	if (!rc)
		return DONE;
	int code = report(s->common, &err);
	if (rc == FIRN_ESTORE || rc == FIRN_ETIMEDOUT)
		detach(s, FIRN_DETACH_KEEP_WAL);
	return code;
}

int session_leave(struct session *s, enum session_end end, int so_far)
{
	int code = DONE;
	bool drain = end == SESSION_DRAIN ||
	             (end == SESSION_TIDY && !s->common->read_only && all_stored(s));
	if (end == SESSION_DRAIN && drain)
		code = store_all(s);
	int rc = detach(s, drain && code == DONE ? FIRN_DETACH_DRAIN : FIRN_DETACH_KEEP_WAL);
	if (rc > code)
		code = rc;
	return so_far > code ? so_far : code;
}

int session_close(struct session *s, enum session_end end, int so_far)
{
	int code = session_leave(s, end, so_far);
	firn_engine_close(s->engine);
	return code;
}
