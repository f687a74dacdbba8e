/* firn verify: every byte of WAL, index, manifests and segments. Changes nothing. */
#include "tools/firn/check.h"
#include "tools/firn/text.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct verify {
	struct common common;
	struct findings findings;
	struct held_dir dir;
	struct wal_report wal;
	struct json json;
	unsigned n_volumes;
};

static const char doc[] =
        "Check every byte of a directory's WAL and index and of volumes' manifests and segments.\v"
        "With --dir alone: its WAL and index, and all volumes of its WAL. With --store and "
        "--volume: that volume. Changes nothing. Exit code 1 if anything is damaged; each line "
        "names file or object, position and what is wrong.\n\n"
        "Examples:\n"
        "  firn verify -d /var/lib/firn\n"
        "  firn verify -s file:///srv/firn -v chat\n"
        "  firn verify -d /var/lib/firn -s file:///srv/firn -v chat --json\n";

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct verify *v = state->input;
	(void)arg;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &v->common;
		return 0;
	case ARGP_KEY_END:
		if (!v->common.dir && !v->common.volume)
			argp_error(state, "give --dir, or --store and --volume, or all three");
		if (v->common.volume)
			common_need(state, &v->common, NEED_STORE);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const char *verdict(unsigned before, const struct verify *v)
{
	return v->findings.n == before ? "ok" : "DAMAGED";
}

static int verify_wal(struct verify *v)
{
	unsigned before = v->findings.n;
	const struct wal_report *r = &v->wal;
	int code = check_wal(&v->dir, &v->wal, &v->findings);
	if (code)
		return code;
	if (v->common.json) {
		json_object(&v->json, "wal");
		json_u64(&v->json, "files", r->n_files);
		json_u64(&v->json, "aside_files", r->n_aside);
		json_u64(&v->json, "groups", r->n_groups);
		json_u64(&v->json, "records", r->n_records);
		json_u64(&v->json, "directories", r->n_directories);
		json_u64(&v->json, "bytes", r->bytes);
		json_u64(&v->json, "volumes", r->n_row);
		json_u64(&v->json, "volumes_gone", r->n_gone);
		json_string(&v->json, "note", r->note);
		json_bool(&v->json, "ok", v->findings.n == before);
		json_end(&v->json);
		return DONE;
	}
	printf("wal       %s: %s files, %s groups, %s records, %s\n", verdict(before, v),
	       text_count(r->n_files).s, text_count(r->n_groups).s, text_count(r->n_records).s,
	       text_bytes(r->bytes).s);
	if (r->n_aside)
		printf("          of them aside: %s files, %s\n", text_count(r->n_aside).s,
		       text_bytes(r->aside_bytes).s);
	if (r->note[0])
		printf("          %s\n", r->note);
	if (r->n_gone)
		printf("          %u volumes left it cleanly long ago: name one to have it checked\n",
		       r->n_gone);
	return DONE;
}

static int verify_index(struct verify *v)
{
	unsigned before = v->findings.n;
	struct index_stats s;
	int code = check_index(&v->dir, &s, &v->findings);
	if (code)
		return code;
	if (v->common.json) {
		json_object(&v->json, "index");
		json_u64(&v->json, "volumes", s.n_volumes);
		json_u64(&v->json, "streams", s.n_streams);
		json_u64(&v->json, "extents", s.n_extents);
		json_u64(&v->json, "bytes", s.bytes);
		json_bool(&v->json, "ok", v->findings.n == before);
		json_end(&v->json);
		return DONE;
	}
	printf("index     %s: %s volumes, %s streams, %s extents\n", verdict(before, v),
	       text_count(s.n_volumes).s, text_count(s.n_streams).s, text_count(s.n_extents).s);
	return DONE;
}

static int verify_volume(struct verify *v, const char *uri, const char *name)
{
	unsigned before = v->findings.n;
	struct volume_check c;
	int code = check_volume(uri, name, &c, &v->findings);
	v->n_volumes++;
	if (code)
		return code;
	if (v->common.json) {
		json_object(&v->json, NULL);
		json_string(&v->json, "name", name);
		json_u64(&v->json, "manifest_seq", c.seq);
		json_u64(&v->json, "segments", c.n_segments);
		json_u64(&v->json, "bytes", c.bytes);
		json_u64(&v->json, "unreferenced", c.n_stray);
		json_u64(&v->json, "logs_in_stores", c.n_log);
		json_u64(&v->json, "writes_in_logs", c.n_unstored);
		json_bool(&v->json, "ok", v->findings.n == before);
		json_end(&v->json);
		return DONE;
	}
	printf("volume    %s: %s: manifest %" PRIu64 ", %s segments, %s\n", verdict(before, v),
	       name, c.seq, text_count(c.n_segments).s, text_bytes(c.bytes).s);
	if (c.n_log)
		printf("          %s more writes (%s) in %u log%s in stores\n",
		       text_count(c.n_unstored).s, text_bytes(c.unstored_bytes).s, c.n_log,
		       c.n_log == 1 ? "" : "s");
	if (c.n_stray)
		printf("          %s more objects (%s) that no manifest names: left by a crash, or "
		       "on their way\n",
		       text_count(c.n_stray).s, text_bytes(c.stray_bytes).s);
	return DONE;
}

/* Kept in memory, or perhaps never made: nothing to check. */
static bool has_objects(const struct wal_volume_row *row)
{
	return row->uri[0] && strncmp(row->uri, "mem:", 4) != 0 && !row_is_intent(row);
}

static int verify_volumes(struct verify *v)
{
	int code = DONE;
	if (v->common.json)
		json_array(&v->json, "volumes");
	if (v->common.volume)
		code = verify_volume(v, v->common.store, v->common.volume);
	for (uint32_t i = 0; !v->common.volume && i < v->wal.n_row && code == DONE; i++) {
		if (has_objects(&v->wal.row[i]))
			code = verify_volume(v, v->wal.row[i].uri, v->wal.row[i].name);
	}
	if (v->common.json)
		json_end(&v->json);
	return code;
}

static int verify(struct verify *v)
{
	int code = DONE;
	if (v->common.dir) {
		code = verify_wal(v);
		if (code == DONE)
			code = verify_index(v);
	}
	if (code == DONE)
		code = verify_volumes(v);
	if (code)
		return code;
	if (v->common.json) {
		findings_json(&v->findings, &v->json);
		json_bool(&v->json, "ok", v->findings.n == 0);
	} else if (v->findings.n) {
		printf("%u problem%s: keep a copy of all of it before anything else is done\n",
		       v->findings.n, v->findings.n == 1 ? "" : "s");
	}
	return v->findings.n ? WRONG : DONE;
}

int verify_run(int argc, char **argv)
{
	static const struct argp_child children[] = { { &where_argp, 0, NULL, 0 }, { 0 } };
	static const struct argp argp = { NULL, parse, NULL, doc, children, NULL, NULL };
	struct verify v = { .common.name = argv[0], .dir.lock_fd = -1 };
	argp_parse(&argp, argc, argv, 0, NULL, &v);
	v.findings.common = &v.common;
	int code = v.common.dir ? dir_hold(&v.dir, &v.common) : DONE;
	if (code)
		return code;
	json_init(&v.json, stdout);
	if (v.common.json)
		json_object(&v.json, NULL);
	code = verify(&v);
	while (v.json.depth)
		json_end(&v.json);
	dir_release(&v.dir);
	wal_report_fini(&v.wal);
	findings_fini(&v.findings);
	return code;
}
