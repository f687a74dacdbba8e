/* firn salvage: what an abandoned WAL acked goes back into the range of offsets that was given up for it.
 *
 *   --from DIR, its engine gone or told that it was replaced -> the volume, attached by a directory of our own -> report
 *
 * Run again it goes on with what is left. */
#include "engine/salvage/salvage.h"
#include "engine/os/env.h"
#include "tools/firn/json.h"
#include "tools/firn/offline.h"
#include "tools/firn/text.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct salvage {
	struct common common;
	const char *from;
	bool dry_run, in_use;
	struct progress progress;
	struct salvage_report report;
	struct session session;
};

static const struct {
	const char *word, *text;
} fates[SALVAGE_FATES] = {
	[SALVAGE_PUT] = { "put", "back where they were" },
	[SALVAGE_THERE] = { "there", "were put back before" },
	[SALVAGE_AGAIN] = { "again", "stay lost: their producer or key sent them again" },
	[SALVAGE_UNWANTED] = { "unwanted", "stay lost: trimmed or deleted by their own writer" },
	[SALVAGE_TRIMMED] = { "trimmed", "stay lost: trimmed or deleted in the volume since" },
	[SALVAGE_UNKNOWN] = { "unknown", "stay lost: nothing says what stream they were of" },
	[SALVAGE_ELSEWHERE] = { "elsewhere",
	                        "left alone: their offsets were not given up, or hold something else" },
};

enum { KEY_FROM = 256, KEY_DRY_RUN };

static const struct argp_option argp_options[] = {
	{ "from", KEY_FROM, "DIR", 0,
	  "Directory of the engine whose writes were given up (takeover=abandon)", 0 },
	{ "dry-run", KEY_DRY_RUN, NULL, 0, "Say what would come back, and change nothing", 0 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct salvage *s = state->input;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = state->child_inputs[1] = &s->common;
		return 0;
	case KEY_FROM:
		s->from = arg;
		return 0;
	case KEY_DRY_RUN:
		s->dry_run = true;
		return 0;
	case ARGP_KEY_END:
		common_need(state, &s->common, NEED_ALL);
		if (!s->from)
			argp_error(state,
			           "--from is missing: the directory whose writes were given up");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* An engine that has the volume again lets go of what it had before: it cannot be the one that puts it back. */
static int check_places(const struct salvage *s)
{
	char *from = realpath(s->from, NULL), *own = realpath(s->common.dir, NULL);
	bool same = from && own && !strcmp(from, own);
	free(from);
	free(own);
	return same ? complain(
	                      &s->common, TROUBLE,
	                      "--dir and --from are the same directory\n"
	                      "  next: give --dir a directory of its own; it is not needed afterwards")
	            : DONE;
}

static void show(void *arg, const struct salvage_report *r)
{
	struct salvage *s = arg;
	if (progress_due(&s->progress))
		progress_show(&s->progress, "%s batches are back",
		              text_count(r->of[SALVAGE_PUT].batches).s);
}

static void count_json(struct json *j, enum salvage_fate f, const struct salvage_count *c)
{
	json_object(j, fates[f].word);
	json_u64(j, "batches", c->batches);
	json_u64(j, "records", c->records);
	json_u64(j, "bytes", c->bytes);
	json_end(j);
}

static void back_json(struct json *j, const struct salvage_stream *st)
{
	if (!st->back_name[0])
		return;
	json_object(j, "back_as");
	json_u64(j, "stream", st->back);
	json_bytes(j, "name", st->back_name, strlen(st->back_name));
	json_u64(j, "from", st->from);
	json_u64(j, "to", st->to);
	json_end(j);
}

static void tell_json(const struct salvage *s)
{
	const struct salvage_report *r = &s->report;
	struct json j;
	json_init(&j, stdout);
	json_object(&j, NULL);
	json_string(&j, "volume", s->common.volume);
	json_string(&j, "from", s->from);
	json_bool(&j, "dry_run", s->dry_run);
	json_u64(&j, "write_first", r->rev_first);
	json_u64(&j, "write_last", r->rev_last);
	json_u64(&j, "writes_missing", r->n_missing);
	json_u64(&j, "operations_left", r->n_left);
	json_string(&j, "damage", r->damage);
	for (enum salvage_fate f = 0; f < SALVAGE_FATES; f++)
		count_json(&j, f, &r->of[f]);
	json_array(&j, "streams");
	for (uint32_t i = 0; i < r->n_stream; i++) {
		json_object(&j, NULL);
		json_u64(&j, "stream", r->stream[i].id);
		json_bytes(&j, "name", r->stream[i].name, strlen(r->stream[i].name));
		for (enum salvage_fate f = 0; f < SALVAGE_FATES; f++)
			if (r->stream[i].of[f].batches)
				count_json(&j, f, &r->stream[i].of[f]);
		back_json(&j, &r->stream[i]);
		json_end(&j);
	}
	json_end(&j);
	json_end(&j);
}

static void tell_stream(const struct salvage_stream *st)
{
	char text[200] = "";
	size_t n = 0;
	for (enum salvage_fate f = 0; f < SALVAGE_FATES; f++)
		if (st->of[f].batches && n < sizeof text)
			n += (size_t)snprintf(text + n, sizeof text - n, "  %s %s", fates[f].word,
			                      text_count(st->of[f].records).s);
	printf("%s (%" PRIu64 ")%s\n", st->name[0] ? text_name(st->name, strlen(st->name)).s : "?",
	       st->id, text);
	if (!st->back_name[0])
		return;
	printf("  was never stored; %s %s", st->back ? "now" : "would be",
	       text_name(st->back_name, strlen(st->back_name)).s);
	if (st->back)
		printf(" (%" PRIu64 ")", st->back);
	if (st->to)
		printf(", offsets %" PRIu64 " to %" PRIu64, st->from, st->to - 1);
	printf("\n");
}

static void tell(const struct salvage *s)
{
	const struct salvage_report *r = &s->report;
	for (uint32_t i = 0; i < r->n_stream; i++)
		tell_stream(&r->stream[i]);
	for (enum salvage_fate f = 0; f < SALVAGE_FATES; f++)
		if (r->of[f].batches)
			printf("%-9s  %s records in %s batches (%s) %s\n", fates[f].word,
			       text_count(r->of[f].records).s, text_count(r->of[f].batches).s,
			       text_bytes(r->of[f].bytes).s, fates[f].text);
	if (r->n_left)
		printf("%s operations that are no batches are left out: pairs, trims, streams changed "
		       "or deleted\n",
		       text_count(r->n_left).s);
	if (r->n_missing)
		printf("%s writes before write %" PRIu64
		       " are not in %s: what they held stays lost\n",
		       text_count(r->n_missing).s, r->rev_last, s->from);
	if (r->damage[0])
		printf("%s is damaged: %s\n", s->from, r->damage);
	printf("%s: %s%s\n", s->common.volume,
	       r->rev_last ? "all that was found is said above" : "nothing was found to put back",
	       s->dry_run ? "; nothing was changed" : "");
}

static int work(struct salvage *s)
{
	char wal[4096];
	struct firn_error err = FIRN_ERROR_INIT;
	struct salvage_opts o = { .env = env_default(),
		                  .wal_dir = wal,
		                  .dry_run = s->dry_run,
		                  .in_use = s->in_use,
		                  .progress = show,
		                  .arg = s };
	(void)snprintf(wal, sizeof wal, "%s/wal", s->from);
	progress_begin(&s->progress);
	int rc = salvage_run(s->session.engine, s->session.volume, &o, &s->report, &err);
	progress_end(&s->progress);
	int code = rc ? report(&s->common, &err) : DONE;
	if (rc && rc != FIRN_ENOENT && s->report.of[SALVAGE_PUT].batches)
		(void)fprintf(stderr, "  %s batches are back already; run it again\n",
		              text_count(s->report.of[SALVAGE_PUT].batches).s);
	if (rc)
		return code;
	if (s->common.json)
		tell_json(s);
	else
		tell(s);
	return s->report.n_missing || s->report.damage[0] ? WRONG : DONE;
}

static int salvage(struct salvage *s)
{
	struct common of = s->common;
	struct held_dir held;
	of.dir = s->from;
	int code = check_places(s);
	if (code)
		return code;
	s->in_use = dir_in_use(s->from);
	code = s->in_use ? DONE : dir_hold(&held, &of);
	if (code)
		return code;
	s->common.read_only = s->dry_run;
	code = session_open(&s->session, &s->common, 0);
	if (code == DONE) {
		code = work(s);
		salvage_report_fini(&s->report); /* the engine's memory */
		code = session_close(&s->session, s->dry_run ? SESSION_KEEP : SESSION_DRAIN, code);
	}
	if (!s->in_use)
		dir_release(&held);
	return code;
}

int salvage_command_run(int argc, char **argv)
{
	static const char doc[] =
	        "Put back what a WAL acked that was given up by --takeover abandon: batches return to the offsets "
	        "they had, whole; keys, trims and the state of producers do not. What a producer or an "
	        "idempotency key has sent again since stays lost, as does what was trimmed or deleted. "
	        "Whoever has the volume detaches it first (`firn volume drain'). The engine of --from is "
	        "stopped, or knows that it was replaced, and has not attached the volume again.\v"
	        "--dir is a directory of its own, and not needed afterwards.\n\n"
	        "Examples:\n"
	        "  firn salvage --dry-run --from /mnt/old/firn -d /tmp/s -s file:///srv/firn -v chat\n"
	        "  firn salvage --from /mnt/old/firn -d /tmp/s -s file:///srv/firn -v chat --json\n";
	static const struct argp_child children[] = { { &where_argp, 0, "Where:", 1 },
		                                      { &engine_argp, 0, "Engine:", 2 },
		                                      { 0 } };
	static const struct argp argp = { argp_options, parse, NULL, doc, children, NULL, NULL };
	struct salvage s = { .common.name = argv[0] };
	argp_parse(&argp, argc, argv, 0, NULL, &s);
	return salvage(&s);
}
