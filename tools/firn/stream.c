/* firn stream create, list, info, delete, trim. */
#include "tools/firn/command.h"
#include "tools/firn/json.h"
#include "tools/firn/names.h"
#include "tools/firn/text.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct stream_args {
	struct common common;
	const char *prefix;
	char **name; /* arguments, NULL-terminated */
	uint64_t at, before;
	bool has_before, stored;
	bool takes_names, trims; /* what the verb wants */
	struct firn_stream_config config;
	struct session session;
	struct json json;
};

enum {
	KEY_AT = 0x5000,
	KEY_RETENTION,
	KEY_RETENTION_SIZE,
	KEY_KEYS,
	KEY_COMPRESSION,
	KEY_PREFIX,
	KEY_BEFORE,
	KEY_READ_ONLY,
	KEY_STORED,
};

#define READ_ONLY_OPTION                                                                    \
	{                                                                                   \
		"read-only", KEY_READ_ONLY, NULL, 0,                                        \
		        "Do not attach as the writer: see what is stored at this moment", 0 \
	}

static const struct argp_option create_options[] = {
	{ "at", KEY_AT, "OFFSET", 0, "First offset (0)", 0 },
	{ "retention", KEY_RETENTION, "TIME", 0, "Trim what is older, once stored", 0 },
	{ "retention-size", KEY_RETENTION_SIZE, "SIZE", 0, "Trim what exceeds this, once stored",
	  0 },
	{ "remember-keys", KEY_KEYS, "TIME", 0, "Remember idempotency keys this long (off)", 0 },
	{ "compression", KEY_COMPRESSION, "auto|none|zstd", 0, "Of its blocks in the store (auto)",
	  0 },
	{ 0 },
};
static const struct argp_option list_options[] = {
	{ "prefix", KEY_PREFIX, "TEXT", 0, "Only streams whose name begins so", 0 },
	READ_ONLY_OPTION,
	{ 0 },
};
static const struct argp_option info_options[] = {
	READ_ONLY_OPTION,
	{ 0 },
};
static const struct argp_option trim_options[] = {
	{ "before", KEY_BEFORE, "OFFSET", 0, "The stream begins here from now on", 0 },
	{ "stored", KEY_STORED, NULL, 0, "Instead: trim all that is in the store", 0 },
	{ 0 },
};

static uint16_t parse_compression(const struct argp_state *state, const char *arg)
{
	static const char *const name[] = { "auto", "none", "zstd" };
	for (uint16_t i = 0; i < 3; i++)
		if (!strcmp(name[i], arg))
			return i;
	argp_error(state, "--compression: auto, none or zstd, not `%s'", arg);
	return 0;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct stream_args *a = state->input;
	switch (key) {
	case KEY_AT:
		a->at = option_number(state, "at", arg, 0, UINT64_C(1) << 62);
		return 0;
	case KEY_RETENTION:
		a->config.retention_ms = option_duration(state, "retention", arg);
		return 0;
	case KEY_RETENTION_SIZE:
		a->config.retention_bytes = option_size(state, "retention-size", arg);
		return 0;
	case KEY_KEYS:
		a->config.key_window_ms = option_duration(state, "remember-keys", arg);
		return 0;
	case KEY_COMPRESSION:
		a->config.compression = parse_compression(state, arg);
		return 0;
	case KEY_PREFIX:
		a->prefix = arg;
		return 0;
	case KEY_BEFORE:
		a->before = option_number(state, "before", arg, 0, UINT64_C(1) << 62);
		a->has_before = true;
		return 0;
	case KEY_STORED:
		a->stored = true;
		return 0;
	case KEY_READ_ONLY:
		a->common.read_only = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct stream_args *a = state->input;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = state->child_inputs[1] = &a->common;
		return 0;
	case ARGP_KEY_ARGS:
		if (!a->takes_names)
			argp_error(state, "no argument is taken: `%s'", state->argv[state->next]);
		a->name = state->argv + state->next;
		return 0;
	case ARGP_KEY_END:
		common_need(state, &a->common, NEED_ALL);
		if (a->takes_names && !a->name)
			argp_error(state, "name a stream");
		if (a->trims && a->has_before == a->stored)
			argp_error(state, "give --before OFFSET or --stored, one of them");
		return 0;
	default:
		return parse_option(key, arg, state);
	}
}

static const struct argp_child children[] = { { &where_argp, 0, "Where:", 1 },
	                                      { &engine_argp, 0, "Engine:", 2 },
	                                      { 0 } };

/* ---- the verbs ---- */

static int find(const struct stream_args *a, const char *name, uint64_t *stream)
{
	int rc = firn_stream_find(a->session.volume, name, strlen(name), stream);
	if (!rc)
		return DONE;
	return rc == FIRN_ENOENT ? complain(&a->common, WRONG,
	                                    "no stream `%s'; `firn stream list' "
	                                    "shows what there is",
	                                    name)
	                         : report_code(&a->common, rc, name);
}

static void tell(struct stream_args *a, const char *name, uint64_t stream, uint64_t start,
                 const char *what)
{
	if (!a->common.json) {
		printf("%s (stream %" PRIu64 ", from offset %" PRIu64 ") %s\n", name, stream, start,
		       what);
		return;
	}
	json_object(&a->json, NULL);
	json_bytes(&a->json, "name", name, strlen(name));
	json_u64(&a->json, "stream", stream);
	json_u64(&a->json, "start", start);
	json_end(&a->json);
}

static int create(struct stream_args *a, const char *name)
{
	struct firn_error err = FIRN_ERROR_INIT;
	uint64_t stream = 0;
	a->config.struct_size = sizeof a->config;
	if (stream_make(a->session.engine, a->session.volume, name, (uint32_t)strlen(name), false,
	                a->at, &a->config, &stream, &err))
		return report(&a->common, &err);
	tell(a, name, stream, a->at, "is there");
	return DONE;
}

static int write_op(struct stream_args *a, const struct firn_op *op, struct firn_event *ev)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_write w = FIRN_WRITE_INIT;
	w.volume = a->session.volume;
	w.op = op;
	w.n_op = 1;
	int rc = firn_engine_call(a->session.engine, &w.req, ev, &err);
	firn_release(ev->result);
	return rc ? report(&a->common, &err) : DONE;
}

static int delete (struct stream_args *a, const char *name)
{
	struct firn_op op = { .kind = FIRN_OP_DELETE };
	struct firn_event ev;
	int code = find(a, name, &op.stream);
	if (code == DONE)
		code = write_op(a, &op, &ev);
	if (code == DONE)
		tell(a, name, op.stream, 0, "is deleted");
	return code;
}

static int trim(struct stream_args *a, const char *name)
{
	struct firn_op op = { .kind = FIRN_OP_TRIM };
	struct firn_event ev;
	uint64_t start = 0;
	op.u.range.from = a->before;
	int code = find(a, name, &op.stream);
	if (code == DONE && a->stored)
		firn_stream_mark(a->session.volume, op.stream, FIRN_MARK_STORED, &op.u.range.from);
	if (code == DONE)
		code = write_op(a, &op, &ev);
	if (code == DONE) {
		firn_stream_mark(a->session.volume, op.stream, FIRN_MARK_START, &start);
		tell(a, name, op.stream, start, "is trimmed");
	}
	return code;
}

static void info_json(struct json *j, const struct firn_stream_info *i)
{
	json_object(j, NULL);
	json_bytes(j, "name", i->name, strlen(i->name));
	json_u64(j, "stream", i->stream);
	json_u64(j, "start", i->mark[FIRN_MARK_START]);
	json_u64(j, "stored", i->mark[FIRN_MARK_STORED]);
	json_u64(j, "durable", i->mark[FIRN_MARK_DURABLE]);
	json_u64(j, "visible", i->mark[FIRN_MARK_VISIBLE]);
	json_u64(j, "bytes", i->bytes);
	json_u64(j, "stored_bytes", i->stored_bytes);
	json_u64(j, "producers", i->n_producers);
	json_time(j, "first", i->first_ms);
	json_time(j, "last", i->last_ms);
	json_end(j);
}

static int info(struct stream_args *a, const char *name)
{
	struct firn_stream_info i = { .struct_size = sizeof i };
	uint64_t stream;
	int code = find(a, name, &stream);
	if (code)
		return code;
	int rc = firn_stream_info(a->session.volume, stream, &i);
	if (rc)
		return report_code(&a->common, rc, name);
	if (a->common.json) {
		info_json(&a->json, &i);
		return DONE;
	}
	printf("%s: stream %" PRIu64 "\n", i.name, i.stream);
	printf("  offsets   %" PRIu64 " to %" PRIu64 ", %s\n", i.mark[FIRN_MARK_START],
	       i.mark[FIRN_MARK_DURABLE], text_bytes(i.bytes).s);
	printf("  stored    to %" PRIu64 ", %s; the rest is in the WAL\n", i.mark[FIRN_MARK_STORED],
	       text_bytes(i.stored_bytes).s);
	printf("  visible   to %" PRIu64 "\n", i.mark[FIRN_MARK_VISIBLE]);
	printf("  appended  %s to %s\n", text_time(i.first_ms).s, text_time(i.last_ms).s);
	printf("  producers %" PRIu64 "\n", i.n_producers);
	return DONE;
}

static int list_one(void *arg, const struct firn_stream_info *i)
{
	struct stream_args *a = arg;
	if (a->common.json)
		info_json(&a->json, i);
	else
		printf("%12" PRIu64 " %12" PRIu64 " %12" PRIu64 " %10s  %s\n",
		       i->mark[FIRN_MARK_START], i->mark[FIRN_MARK_STORED],
		       i->mark[FIRN_MARK_DURABLE], text_bytes(i->bytes).s, i->name);
	return DONE;
}

static int list(struct stream_args *a, const char *name)
{
	(void)name;
	if (!a->common.json)
		printf("%12s %12s %12s %10s  %s\n", "START", "STORED", "DURABLE", "BYTES", "NAME");
	int rc = stream_each(a->session.volume, a->prefix, list_one, a);
	return rc ? report_code(&a->common, rc, "list of streams") : DONE;
}

/* Opens the volume, does the verb for each name (once if it takes none), closes. */
static int run(int argc, char **argv, const struct argp *argp, enum session_end end,
               int (*verb)(struct stream_args *a, const char *name))
{
	static char *none[] = { NULL };
	struct stream_args a = { .common.name = argv[0],
		                 .name = none,
		                 .takes_names = argp->args_doc != NULL,
		                 .trims = verb == trim };
	argp_parse(argp, argc, argv, 0, NULL, &a);
	int code = session_open(&a.session, &a.common, 0);
	if (code)
		return code;
	json_init(&a.json, stdout);
	if (a.common.json)
		json_array(&a.json, NULL);
	char **name = a.name;
	do
		code = verb(&a, *name);
	while (code == DONE && *name && *++name);
	if (a.common.json)
		json_end(&a.json);
	return session_close(&a.session, end, code);
}

int stream_create_run(int argc, char **argv)
{
	static const char doc[] =
	        "Make streams. A stream that is appended to is made by itself; this is for those "
	        "that need other than defaults.\v"
	        "Examples:\n"
	        "  firn stream create -d D -s URI -v chat general random\n"
	        "  firn stream create -d D -s URI -v logs app --retention 7d --compression zstd\n";
	static const struct argp argp = { create_options, parse, "NAME...", doc,
		                          children,       NULL,  NULL };
	return run(argc, argv, &argp, SESSION_KEEP, create);
}

int stream_list_run(int argc, char **argv)
{
	static const char doc[] = "List streams: offsets they begin and end at, and size.\v"
	                          "Examples:\n"
	                          "  firn stream list -d D -s URI -v chat\n"
	                          "  firn stream list -d D -s URI -v chat --prefix 2007- --json\n";
	static const struct argp argp = { list_options, parse, NULL, doc, children, NULL, NULL };
	return run(argc, argv, &argp, SESSION_TIDY, list);
}

int stream_info_run(int argc, char **argv)
{
	static const char doc[] = "Show marks, sizes and times of streams.\v"
	                          "Examples:\n"
	                          "  firn stream info -d D -s URI -v chat general\n"
	                          "  firn stream info -d D -s URI -v chat general --json\n";
	static const struct argp argp = {
		info_options, parse, "NAME...", doc, children, NULL, NULL
	};
	return run(argc, argv, &argp, SESSION_TIDY, info);
}

int stream_delete_run(int argc, char **argv)
{
	static const char doc[] =
	        "Delete streams. They are gone at once; their bytes leave the store later.\v"
	        "Examples:\n"
	        "  firn stream delete -d D -s URI -v chat general\n";
	static const struct argp argp = { NULL, parse, "NAME...", doc, children, NULL, NULL };
	return run(argc, argv, &argp, SESSION_KEEP, delete);
}

int stream_trim_run(int argc, char **argv)
{
	static const char doc[] =
	        "Give up the oldest records of streams: offsets below --before are not there any "
	        "more.\v"
	        "Examples:\n"
	        "  firn stream trim -d D -s URI -v chat general --before 1000\n"
	        "  firn stream trim -d D -s URI -v queue jobs --stored\n";
	static const struct argp argp = {
		trim_options, parse, "NAME...", doc, children, NULL, NULL
	};
	return run(argc, argv, &argp, SESSION_KEEP, trim);
}
