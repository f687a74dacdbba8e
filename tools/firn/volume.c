/* firn volume create, list, info, drain. List and info read manifests: no engine is needed, and one
 * that runs is not disturbed. */
#include "engine/gc/volumes.h"
#include "tools/firn/json.h"
#include "tools/firn/offline.h"
#include "tools/firn/text.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct volume_args {
	struct common common;
	unsigned need;
	struct json json;
	bool damaged;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct volume_args *a = state->input;
	(void)arg;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &a->common;
		if (a->need & NEED_DIR)
			state->child_inputs[1] = &a->common;
		return 0;
	case ARGP_KEY_END:
		common_need(state, &a->common, a->need);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child where_only[] = { { &where_argp, 0, NULL, 0 }, { 0 } };
static const struct argp_child where_and_engine[] = { { &where_argp, 0, "Where:", 1 },
	                                              { &engine_argp, 0, "Engine:", 2 },
	                                              { 0 } };

/* ---- list, info ---- */

static void manifest_json(struct json *j, const struct stored_volume *v)
{
	const struct manifest *m = &v->manifest;
	uint64_t bytes, n_segments;
	manifest_totals(m, &n_segments, &bytes);
	json_object(j, NULL);
	json_string(j, "name", v->name);
	json_string(j, "id", text_hex(m->volume_id, 16).s);
	json_string(j, "state", stored_volume_state(v));
	json_u64(j, "epoch", m->epoch);
	json_u64(j, "seq", m->seq);
	json_u64(j, "rev_stored", m->rev_stored);
	json_u64(j, "rev_durable", m->rev_durable);
	json_u64(j, "segments", n_segments);
	json_u64(j, "layers", m->n_layer);
	json_u64(j, "bytes", bytes);
	json_u64(j, "lost_ranges", m->n_lost);
	json_string(j, "node", m->node);
	json_time(j, "committed", m->committed_ms);
	json_end(j);
}

static void manifest_line(const struct stored_volume *v)
{
	const struct manifest *m = &v->manifest;
	uint64_t bytes, n_segments;
	manifest_totals(m, &n_segments, &bytes);
	printf("%-9s %5" PRIu64 " %8" PRIu64 " %10s  %-24s  %s\n", stored_volume_state(v), m->epoch,
	       n_segments, text_bytes(bytes).s, text_time(m->committed_ms).s, v->name);
}

static int list_one(void *arg, const char *name)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct volume_args *a = arg;
	struct stored_volume v;
	int rc = stored_volume_open(&v, a->common.store, name, &err);
	if (rc) {
		a->damaged = true;
		report(&a->common, &err);
		return rc == FIRN_ECORRUPT || rc == FIRN_EUNSUPPORTED ? 0 : rc;
	}
	if (v.manifest.state != MANIFEST_DESTROYED) {
		if (a->common.json)
			manifest_json(&a->json, &v);
		else
			manifest_line(&v);
	}
	stored_volume_close(&v);
	return 0;
}

static int list(struct volume_args *a)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct store *store;
	if (store_look(a->common.store, &store, &err))
		return report(&a->common, &err);
	json_init(&a->json, stdout);
	if (a->common.json)
		json_array(&a->json, NULL);
	else
		printf("%-9s %5s %8s %10s  %-24s  %s\n", "STATE", "EPOCH", "SEGMENTS", "BYTES",
		       "COMMITTED", "NAME");
	int rc = volumes_each(store, list_one, a, &err);
	if (a->common.json)
		json_end(&a->json);
	store_close(store);
	if (rc && !a->damaged)
		return report(&a->common, &err);
	return a->damaged ? WRONG : DONE;
}

static void info_text(const struct stored_volume *v)
{
	const struct manifest *m = &v->manifest;
	uint64_t bytes, n_segments;
	manifest_totals(m, &n_segments, &bytes);
	printf("%s: %s, epoch %" PRIu64 ", id %s\n", v->name, stored_volume_state(v), m->epoch,
	       text_hex(m->volume_id, 16).s);
	printf("  manifest   number %" PRIu64 ", %s, committed %s by %s\n", m->seq,
	       text_bytes(v->manifest_bytes).s, text_time(m->committed_ms).s,
	       m->node[0] ? m->node : "-");
	printf("  stored     writes up to %" PRIu64 " in %" PRIu64 " segments, %s\n", m->rev_stored,
	       n_segments, text_bytes(bytes).s);
	if (m->n_layer)
		printf("  layers     %" PRIu32 ", which name %" PRIu64 " of them\n", m->n_layer,
		       n_segments - m->n_segment);
	printf("  durable    writes up to %" PRIu64 ", when that was committed\n", m->rev_durable);
	for (uint32_t i = 0; i < m->n_log; i++)
		printf("  log        %s %s\n",
		       m->log[i].kind == MANIFEST_LOG_LOCAL ? "of a local disk" : m->log[i].uri,
		       text_hex(m->log[i].id, 16).s);
	for (uint32_t i = 0; i < m->n_lost; i++)
		printf("  lost       writes %" PRIu64 " to %" PRIu64 ", given up %s\n",
		       m->lost[i].rev_stored + 1, m->lost[i].rev_stored + m->lost[i].rev_skip,
		       text_time(m->lost[i].at_ms).s);
	if (m->state == MANIFEST_DIRTY)
		printf("  An engine has it attached, or died with it: what it acked since lies in "
		       "its WAL.\n");
}

static int info(struct volume_args *a)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct stored_volume v;
	if (stored_volume_open(&v, a->common.store, a->common.volume, &err))
		return report(&a->common, &err);
	json_init(&a->json, stdout);
	if (a->common.json)
		manifest_json(&a->json, &v);
	else
		info_text(&v);
	stored_volume_close(&v);
	return DONE;
}

/* ---- create, drain ---- */

static int exists(const struct volume_args *a, bool *out)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct stored_volume v;
	int rc = stored_volume_open(&v, a->common.store, a->common.volume, &err);
	*out = rc != FIRN_ENOENT;
	if (rc && rc != FIRN_ENOENT)
		return report(&a->common, &err);
	if (!rc) {
		*out = v.manifest.state != MANIFEST_DESTROYED;
		stored_volume_close(&v);
	}
	return DONE;
}

/* Attaches and detaches with everything stored. */
static int attach_and_drain(struct volume_args *a, uint32_t attach_flags, const char *what)
{
	struct session s;
	int code = session_open(&s, &a->common, attach_flags);
	if (code)
		return code;
	uint64_t epoch = s.epoch;
	code = session_close(&s, SESSION_DRAIN, DONE);
	if (code)
		return code;
	json_init(&a->json, stdout);
	if (a->common.json) {
		json_object(&a->json, NULL);
		json_string(&a->json, "name", a->common.volume);
		json_u64(&a->json, "epoch", epoch);
		json_end(&a->json);
	} else {
		printf("%s %s; any engine can attach it\n", a->common.volume, what);
	}
	return DONE;
}

static int create(struct volume_args *a)
{
	bool there;
	int code = exists(a, &there);
	if (code == DONE && there)
		code = complain(&a->common, WRONG, "there is a volume `%s' already",
		                a->common.volume);
	return code ? code : attach_and_drain(a, FIRN_ATTACH_CREATE, "is made");
}

static int drain(struct volume_args *a)
{
	return attach_and_drain(a, 0, "is stored");
}

/* ---- command lines ---- */

static int run(int argc, char **argv, const struct argp *argp, unsigned need,
               int (*verb)(struct volume_args *a))
{
	struct volume_args a = { .common.name = argv[0], .need = need };
	argp_parse(argp, argc, argv, 0, NULL, &a);
	return verb(&a);
}

int volume_create_run(int argc, char **argv)
{
	static const char doc[] =
	        "Make a volume in a store. `firn append' and `firn import' make one themselves.\v"
	        "Examples:\n"
	        "  firn volume create -d /var/lib/firn -s file:///srv/firn -v chat\n";
	static const struct argp argp = { NULL, parse, NULL, doc, where_and_engine, NULL, NULL };
	return run(argc, argv, &argp, NEED_ALL, create);
}

int volume_list_run(int argc, char **argv)
{
	static const char doc[] =
	        "List the volumes of a store. `dirty' ones are attached, or their "
	        "engine died.\v"
	        "Examples:\n"
	        "  firn volume list -s file:///srv/firn\n"
	        "  firn volume list -s file:///srv/firn --json\n";
	static const struct argp argp = { NULL, parse, NULL, doc, where_only, NULL, NULL };
	return run(argc, argv, &argp, NEED_STORE, list);
}

int volume_info_run(int argc, char **argv)
{
	static const char doc[] = "Show what the manifest of a volume says.\v"
	                          "Examples:\n"
	                          "  firn volume info -s file:///srv/firn -v chat\n";
	static const struct argp argp = { NULL, parse, NULL, doc, where_only, NULL, NULL };
	return run(argc, argv, &argp, NEED_STORE | NEED_VOLUME, info);
}

int volume_drain_run(int argc, char **argv)
{
	static const char doc[] =
	        "Store all that waits in this directory's WAL and let the volume go: any engine "
	        "can attach it then, and the directory is not needed any more.\v"
	        "Examples:\n"
	        "  firn volume drain -d /var/lib/firn -s file:///srv/firn -v chat\n";
	static const struct argp argp = { NULL, parse, NULL, doc, where_and_engine, NULL, NULL };
	return run(argc, argv, &argp, NEED_ALL, drain);
}
