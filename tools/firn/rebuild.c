/* firn rebuild: what is gone is put together again from what the store has.
 *
 *   rebuild index       the rows of a volume in a directory's index: forgotten, and filled anew by an attach
 *   rebuild manifest    the manifest of a volume, from its layers and segments; who has the last writer's directory
 *                       gives it (--from), and what was acked is there */
#include "engine/salvage/rebuild.h"
#include "engine/os/env.h"
#include "engine/wal/inspect.h"
#include "tools/firn/json.h"
#include "tools/firn/offline.h"
#include "tools/firn/text.h"
#include <inttypes.h>
#include <string.h>

/* ---- the index ---- */

static error_t index_parse(int key, char *arg, struct argp_state *state)
{
	struct common *c = state->input;
	(void)arg;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = state->child_inputs[1] = c;
		return 0;
	case ARGP_KEY_END:
		common_need(state, c, NEED_ALL);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int forget(const struct common *c)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct stored_volume v;
	struct held_dir held;
	struct index *ix;
	if (stored_volume_open(&v, c->store, c->volume, &err))
		return report(c, &err);
	int code = dir_hold(&held, c);
	if (code == DONE) {
		int rc = index_open(env_default(), held.index, &ix, &err);
		if (!rc) {
			rc = index_forget(ix, v.manifest.volume_id, &err);
			index_close(ix);
		}
		/* A damaged one is put aside by the engine itself. */
		if (rc && rc != FIRN_ENOENT && rc != FIRN_ECORRUPT)
			code = report(c, &err);
		dir_release(&held);
	}
	stored_volume_close(&v);
	return code;
}

int rebuild_index_run(int argc, char **argv)
{
	static const char doc[] =
	        "Make the local index of a volume anew from its store. The index is a copy and is made by any "
	        "attach that finds none; this is for one that is doubted.\v"
	        "Examples:\n"
	        "  firn rebuild index -d /var/lib/firn -s file:///srv/firn -v chat\n";
	static const struct argp_child children[] = { { &where_argp, 0, "Where:", 1 },
		                                      { &engine_argp, 0, "Engine:", 2 },
		                                      { 0 } };
	static const struct argp argp = { NULL, index_parse, NULL, doc, children, NULL, NULL };
	struct common c = { .name = argv[0] };
	struct session s;
	argp_parse(&argp, argc, argv, 0, NULL, &c);
	int code = forget(&c);
	code = code == DONE ? session_open(&s, &c, 0) : code;
	code = code == DONE ? session_close(&s, SESSION_TIDY, DONE) : code;
	if (code == DONE && !c.json)
		printf("%s: its index is that of the store\n", c.volume);
	return code;
}

/* ---- the manifest ---- */

enum { LOGS_MAX = 16 };

struct rebuild {
	struct common common;
	const char *from;
	const char *log_uri[LOGS_MAX];
	struct store *log_store[LOGS_MAX];
	uint32_t n_log;
	bool dry_run, replace;
	struct wal_report wal;
	struct manifest manifest;
	struct rebuild_report report;
	struct store *store;
	struct store_version version; /* of the manifest that is there; len 0: none */
	uint64_t seq;
	char key[512];
};

enum { KEY_FROM = 256, KEY_DRY_RUN, KEY_REPLACE, KEY_LOGS };

static const struct argp_option manifest_options[] = {
	{ "from", KEY_FROM, "DIR", 0,
	  "Directory of the last writer, if it is there: what it acked is not lost then", 0 },
	{ "logs", KEY_LOGS, "URI", 0,
	  "A store in which engines kept logs (wal=store:URI), if it is not that of the volume; may be given again",
	  0 },
	{ "dry-run", KEY_DRY_RUN, NULL, 0, "Say what would be rebuilt, and write nothing", 0 },
	{ "replace", KEY_REPLACE, NULL, 0, "Also if there is a manifest: its writer is fenced", 0 },
	{ 0 },
};

static error_t manifest_parse(int key, char *arg, struct argp_state *state)
{
	struct rebuild *r = state->input;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &r->common;
		return 0;
	case KEY_FROM:
		r->from = arg;
		return 0;
	case KEY_DRY_RUN:
		r->dry_run = true;
		return 0;
	case KEY_LOGS:
		if (r->n_log == LOGS_MAX)
			argp_error(state, "--logs: %d stores at most", LOGS_MAX);
		r->log_uri[r->n_log++] = arg;
		return 0;
	case KEY_REPLACE:
		r->replace = true;
		return 0;
	case ARGP_KEY_END:
		if (r->common.dir)
			argp_error(state,
			           "it looks at a store: the last writer's directory is --from");
		common_need(state, &r->common, NEED_STORE | NEED_VOLUME);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* What is there now: nothing, or with --replace anything. */
static int look(struct rebuild *r)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct manifest m;
	struct buf b;
	int rc = manifest_key(r->common.volume, r->key, sizeof r->key);
	rc = rc ? rc : store_look(r->common.store, &r->store, &err);
	if (rc)
		return rc == FIRN_EINVAL || rc == FIRN_ETOOBIG
		               ? report_code(&r->common, rc, r->common.volume)
		               : report(&r->common, &err);
	buf_init(&b, env_default());
	manifest_init(&m);
	rc = store_get_all(r->store, r->key, MANIFEST_MAX_BYTES, &b, &r->version, &err);
	bool there = !rc;
	if (there && !manifest_decode(env_default(), b.data, b.len, &m, NULL))
		r->seq = m.seq;
	manifest_fini(&m, env_default());
	buf_fini(&b);
	if (rc && rc != FIRN_ENOENT)
		return report(&r->common, &err);
	if (!there || r->replace || r->dry_run)
		return DONE;
	return complain(
	        &r->common, WRONG,
	        "%s has a manifest: nothing was changed\n"
	        "  next: `firn verify' says whether it is damaged; --replace puts another in its place",
	        r->common.volume);
}

static int read_wal(struct rebuild *r)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct common of = r->common;
	struct held_dir held;
	if (!r->from)
		return DONE;
	of.dir = r->from;
	int code = dir_hold(&held, &of);
	if (code)
		return code;
	int rc = wal_verify(env_default(), held.wal, &r->wal, NULL, NULL, &err);
	dir_release(&held);
	return rc && rc != FIRN_ECORRUPT ? report(&r->common, &err) : DONE;
}

static int open_logs(struct rebuild *r)
{
	struct firn_error err = FIRN_ERROR_INIT;
	for (uint32_t i = 0; i < r->n_log; i++)
		if (store_look(r->log_uri[i], &r->log_store[i], &err))
			return report(&r->common, &err);
	return DONE;
}

static void close_logs(struct rebuild *r)
{
	for (uint32_t i = 0; i < r->n_log; i++)
		if (r->log_store[i])
			store_close(r->log_store[i]);
}

static void tell_json(const struct rebuild *r)
{
	const struct rebuild_report *p = &r->report;
	struct json j;
	json_init(&j, stdout);
	json_object(&j, NULL);
	json_string(&j, "volume", r->common.volume);
	json_string(&j, "id", text_hex(p->volume_id, 16).s);
	json_bool(&j, "dry_run", r->dry_run);
	json_u64(&j, "epoch", r->manifest.epoch);
	json_u64(&j, "write_stored", p->rev_stored);
	json_u64(&j, "write_lost_to", p->lost_to);
	json_u64(&j, "layers", p->n_layer);
	json_u64(&j, "segments", p->n_segment);
	json_time(&j, "deletions_since_may_be_back", p->newest_ms);
	json_u64(&j, "unused", p->n_unused);
	json_u64(&j, "behind_a_hole", p->n_beyond);
	json_u64(&j, "absent", p->n_absent);
	json_u64(&j, "damaged", p->n_damaged);
	json_string(&j, "damage", p->damage);
	json_u64(&j, "foreign", p->n_foreign);
	json_object(&j, "logs_in_stores");
	json_u64(&j, "logs", p->logs.n_log);
	json_u64(&j, "slots", p->logs.n_slot);
	json_u64(&j, "write_first", p->logs.rev_first);
	json_u64(&j, "write_last", p->logs.rev_last);
	json_u64(&j, "damaged", p->logs.n_damaged);
	json_end(&j);
	json_end(&j);
}

static void tell_logs(const struct logs_report *l)
{
	if (l->n_log)
		printf("%" PRIu64 " logs in stores hold writes %" PRIu64 " to %" PRIu64
		       " of it in %" PRIu64
		       " slots, acked or not: they are not in it, and stay below .firn-wal/\n",
		       l->n_log, l->rev_first, l->rev_last, l->n_slot);
	if (l->n_damaged)
		printf("%" PRIu64 " slots of logs in stores do not verify: they may hold more\n",
		       l->n_damaged);
}

static void tell(const struct rebuild *r)
{
	const struct rebuild_report *p = &r->report;
	printf("%s: %" PRIu64 " layers and %" PRIu64 " segments hold its writes up to %" PRIu64
	       ", stored at about %s\n",
	       r->common.volume, p->n_layer, p->n_segment, p->rev_stored,
	       text_time(p->newest_ms).s);
	printf("what was trimmed or deleted since, and not stored, may be back\n");
	if (p->lost_to)
		printf("what was acked and not stored is given up: a range of offsets of every stream is lost "
		       "(FIRN_ELOST)\n");
	else
		printf("what its last writer acked is in %s: attach the volume with that directory\n",
		       r->from);
	tell_logs(&p->logs);
	if (p->n_beyond)
		printf("%" PRIu64 " segments from write %" PRIu64
		       " on lie behind a hole and are not in it\n",
		       p->n_beyond, p->beyond_rev);
	if (p->n_absent)
		printf("%" PRIu64
		       " segments that layers name are not there: emptied and deleted, or lost; `firn verify' tells\n",
		       p->n_absent);
	if (p->n_damaged)
		printf("%" PRIu64 " objects do not verify and are not in it, the first: %s\n",
		       p->n_damaged, p->damage);
	if (p->n_unused + p->n_foreign)
		printf("%" PRIu64 " objects are not needed, %" PRIu64
		       " are none of this volume: sweeps of the next writer delete the former\n",
		       p->n_unused, p->n_foreign);
	printf("%s\n", r->dry_run ? "nothing was written" : "the manifest is written");
}

static int put(struct rebuild *r)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct buf body, now;
	buf_init(&body, env_default());
	buf_init(&now, env_default());
	int rc = manifest_encode(&r->manifest, &body);
	if (rc)
		rc = report_code(&r->common, rc, "the manifest");
	struct iovec iov = { body.data, body.len };
	if (!rc &&
	    store_put(r->store, r->key, &iov, 1, r->version.len ? STORE_IF_MATCH : STORE_IF_ABSENT,
	              &r->version, NULL, &err)) {
		bool mine = !store_get_all(r->store, r->key, MANIFEST_MAX_BYTES, &now, NULL,
		                           NULL) &&
		            now.len == body.len && !memcmp(now.data, body.data, body.len);
		rc = mine ? DONE : report(&r->common, &err);
	}
	buf_fini(&now);
	buf_fini(&body);
	return rc;
}

static int rebuild(struct rebuild *r)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct rebuild_opts o = { .env = env_default(),
		                  .store = r->store,
		                  .name = r->common.volume,
		                  .log_store = r->log_store,
		                  .n_log_store = r->n_log,
		                  .seq_min = r->seq,
		                  .wal_id = r->wal.wal_id,
		                  .wal = r->from ? r->wal.row : NULL,
		                  .n_wal = r->wal.n_row };
	if (r->from && !o.wal)
		return complain(&r->common, WRONG, "%s knows of no volume", r->from);
	if (rebuild_run(&o, &r->manifest, &r->report, &err))
		return report(&r->common, &err);
	int code = r->dry_run ? DONE : put(r);
	if (code == DONE && r->common.json)
		tell_json(r);
	else if (code == DONE)
		tell(r);
	manifest_fini(&r->manifest, env_default());
	bool wrong = r->report.n_damaged || r->report.n_beyond || r->report.logs.n_log ||
	             r->report.logs.n_damaged;
	return code == DONE && wrong ? WRONG : code;
}

int rebuild_manifest_run(int argc, char **argv)
{
	static const char doc[] =
	        "Put the manifest of a volume together from the layers and segments that its store still has: for "
	        "when it is gone, or damaged. Look with --dry-run first: what was trimmed or deleted lately may "
	        "be back, and without the last writer's directory what it had acked and not stored is given up. "
	        "No writer may be alive.\v"
	        "Exit code 1 also if objects are damaged or missing, or if logs in stores hold writes that were not stored: the "
	        "rest is rebuilt. Logs are looked for in the volume's store and in those of --logs.\n\n"
	        "Examples:\n"
	        "  firn rebuild manifest --dry-run -s file:///srv/firn -v chat\n"
	        "  firn rebuild manifest -s file:///srv/firn -v chat --from /var/lib/firn\n";
	static const struct argp_child children[] = { { &where_argp, 0, "Where:", 1 }, { 0 } };
	static const struct argp argp = { manifest_options, manifest_parse, NULL, doc,
		                          children,         NULL,           NULL };
	struct rebuild r = { .common.name = argv[0] };
	argp_parse(&argp, argc, argv, 0, NULL, &r);
	int code = look(&r);
	code = code == DONE ? read_wal(&r) : code;
	code = code == DONE ? open_logs(&r) : code;
	code = code == DONE ? rebuild(&r) : code;
	wal_report_fini(&r.wal);
	close_logs(&r);
	if (r.store)
		store_close(r.store);
	return code;
}
