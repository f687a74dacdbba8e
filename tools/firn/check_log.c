#include "tools/firn/check_log.h"
#include "engine/base/error.h"
#include "engine/os/env.h"
#include "engine/wal/slots.h"
#include <inttypes.h>
#include <string.h>

enum { LOOKS = 5 };

struct look {
	const struct manifest *m;
	struct log_check *out;
	uint64_t last; /* the newest write that is there, stored or not */
	struct firn_error *err;
};

/* A write may be in two logs: it is taken once. */
static int take(void *arg, const struct wal_record *r, const uint8_t *group)
{
	struct look *l = arg;
	struct log_check *c = l->out;
	(void)group;
	if (r->rev <= l->last)
		return 0;
	if (r->rev != l->last + 1)
		return fail(l->err, FIRN_ECORRUPT, 0, "wal", "write %" PRIu64 " is missing in it",
		            l->last + 1);
	l->last = c->rev_last = r->rev;
	c->rev_first = c->rev_first ? c->rev_first : r->rev;
	c->oldest_ms = c->oldest_ms ? c->oldest_ms : r->append_ms;
	c->n_unstored++;
	c->unstored_bytes += r->len;
	return 0;
}

static int look_at_log(struct look *l, const struct manifest_log *log)
{
	struct slots_walk w = {
		.env = env_default(), .slot = log->position, .end = UINT64_MAX, .looks = true
	};
	memcpy(w.log_id, log->id, 16);
	memcpy(w.volume_id, l->m->volume_id, 16);
	int rc = store_look(log->uri, &w.store, l->err);
	if (rc)
		return fail_context(l->err, rc, "its log");
	buf_init(&w.data, w.env);
	rc = slots_walk(&w, take, l, l->err);
	buf_fini(&w.data);
	store_close(w.store);
	return rc ? fail_context(l->err, rc, "its log in %s", log->uri) : 0;
}

static int look(const struct manifest *m, struct log_check *out, struct firn_error *err)
{
	struct look l = { .m = m, .out = out, .last = m->rev_stored, .err = err };
	int rc = 0;
	memset(out, 0, sizeof *out);
	for (uint32_t i = 0; i < m->n_log && !rc; i++) {
		if (m->log[i].kind != MANIFEST_LOG_STORE)
			continue;
		out->n_log++;
		(void)snprintf(out->uri, sizeof out->uri, "%s", m->log[i].uri);
		rc = look_at_log(&l, &m->log[i]);
	}
	if (!rc && out->n_log && l.last < m->rev_durable)
		rc = fail(err, FIRN_ECORRUPT, 0, "wal",
		          "its logs end at write %" PRIu64 ", but %" PRIu64 " was acked", l.last,
		          m->rev_durable);
	return rc;
}

int logs_check(const struct stored_volume *v, struct log_check *out, struct firn_error *err)
{
	int rc = look(&v->manifest, out, err);
	uint64_t seq = v->manifest.seq;
	/* Slots below a newer position go while one looks. */
	for (int i = 0; rc == FIRN_ECORRUPT && i < LOOKS; i++) {
		struct stored_volume now = { .name = v->name, .store = v->store };
		int again = stored_volume_read(&now, NULL);
		bool moved = !again && now.manifest.seq != seq;
		if (moved) {
			seq = now.manifest.seq;
			err->code = 0;
			rc = look(&now.manifest, out, err);
		}
		manifest_fini(&now.manifest, env_default());
		if (!moved)
			break;
	}
	return rc;
}
