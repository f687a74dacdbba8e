/* firn read: streams from an offset or a time; several through one reader, or by several
 * readers. */
#include "tools/firn/names.h"
#include "tools/firn/json.h"
#include "tools/firn/replay.h"
#include "tools/firn/text.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_READERS = 64 };

struct read {
	struct common common;
	bool all, has_from, has_since, summary;
	uint64_t from;
	int64_t since_ms;
	uint32_t n_name, cap_name;
	const char **name;
	struct plan plan;
	uint32_t cap_position;
	struct position *position;
	struct session session;
};

enum {
	KEY_FROM = 0x4000,
	KEY_SINCE,
	KEY_MAX,
	KEY_BATCHES,
	KEY_OFFSETS,
	KEY_SPLIT,
	KEY_READERS,
	KEY_READ_ONLY
};

enum { FOLLOW_MS = 1000 }; /* someone watches */

static const struct argp_option options[] = {
	{ "stream", 'S', "NAME", 0, "Read this stream; repeat it for more", 0 },
	{ "all", 'a', NULL, 0, "Read all streams of the volume", 0 },
	{ "from", KEY_FROM, "OFFSET", 0, "Begin here (where the stream begins)", 0 },
	{ "since", KEY_SINCE, "TIME", 0,
	  "Begin at the first record of this time or later: RFC 3339, or Unix ms", 0 },
	{ "follow", 'f', NULL, 0, "Wait for more, until interrupted", 0 },
	{ "max", KEY_MAX, "N", 0, "Stop after N records", 0 },
	{ "offsets", KEY_OFFSETS, NULL, 0, "Put `stream TAB offset TAB' in front of each line", 0 },
	{ "batches", KEY_BATCHES, NULL, 0,
	  "Write not lines but batches: length (u32, little-endian), bytes", 0 },
	{ "split", KEY_SPLIT, "DIR", 0, "Write a file for each stream into DIR, made if absent",
	  0 },
	{ "readers", KEY_READERS, "N", 0,
	  "Replay N times at once, independently, into DIR/1, DIR/2 ... of --split", 0 },
	{ "read-only", KEY_READ_ONLY, NULL, 0,
	  "Do not attach as the writer: see what is stored at this moment", 0 },
	{ 0 },
};

static const char doc[] =
        "Read streams; a record is written as a line, or as --batches, or as --json.\v"
        "Without --follow it ends at what was there when it began. Several streams are read "
        "through one reader, records of one stream in order.\n\n"
        "Examples:\n"
        "  firn read -d /var/lib/firn -s file:///srv/firn -v chat -S general --from 100 --max 20\n"
        "  firn read -d D -s URI -v chat --all --since 2024-05-01T00:00:00Z --json\n"
        "  firn read -d D -s URI -v chat -S general -S random --follow --offsets\n"
        "  firn read -d D -s URI -v chat --all --split out --readers 3\n";

static void add_name(struct read *r, const char *name, const struct argp_state *state)
{
	if (r->n_name == r->cap_name) {
		r->cap_name = r->cap_name ? r->cap_name * 2 : 16;
		r->name = reallocarray(r->name, r->cap_name, sizeof *r->name);
		if (!r->name)
			argp_failure(state, TROUBLE, 0, "no memory");
	}
	r->name[r->n_name++] = name;
}

static void check_usage(struct read *r, const struct argp_state *state)
{
	common_need(state, &r->common, NEED_ALL);
	if (r->all == (r->n_name > 0))
		argp_error(state, "give --stream NAME, once or more, or --all");
	if (r->has_from && r->has_since)
		argp_error(state, "give --from or --since, not both");
	if (r->common.read_only && r->plan.follow && !r->common.upload_ms)
		r->common.upload_ms = FOLLOW_MS;
	if (r->plan.n_reader > 1 && (!r->plan.split_dir || r->plan.follow))
		argp_error(state, "--readers needs --split, and ends by itself: no --follow");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct read *r = state->input;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = state->child_inputs[1] = &r->common;
		return 0;
	case 'S':
		add_name(r, arg, state);
		return 0;
	case 'a':
		r->all = true;
		return 0;
	case KEY_FROM:
		r->has_from = true;
		r->from = option_number(state, "from", arg, 0, UINT64_C(1) << 62);
		return 0;
	case KEY_SINCE:
		r->has_since = true;
		if (parse_time(arg, &r->since_ms))
			argp_error(state, "--since: `%s' is no time; write 2024-05-01T12:00:00Z",
			           arg);
		return 0;
	case 'f':
		r->plan.follow = true;
		return 0;
	case KEY_MAX:
		r->plan.max_records = option_number(state, "max", arg, 1, UINT64_MAX);
		return 0;
	case KEY_OFFSETS:
		r->plan.format = READ_OFFSETS;
		return 0;
	case KEY_BATCHES:
		r->plan.format = READ_BATCHES;
		return 0;
	case KEY_SPLIT:
		r->plan.split_dir = arg;
		return 0;
	case KEY_READERS:
		r->plan.n_reader = (uint32_t)option_number(state, "readers", arg, 1, MAX_READERS);
		return 0;
	case KEY_READ_ONLY:
		r->common.read_only = true;
		return 0;
	case ARGP_KEY_END:
		check_usage(r, state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* ---- which streams, from where ---- */

static struct position *add_position(struct read *r, const char *name, uint64_t stream)
{
	if (r->plan.n_position == r->cap_position) {
		uint32_t cap = r->cap_position ? r->cap_position * 2 : 64;
		struct position *grown = reallocarray(r->position, cap, sizeof *grown);
		if (!grown)
			return NULL;
		r->position = grown;
		r->cap_position = cap;
	}
	struct position *p = &r->position[r->plan.n_position++];
	*p = (struct position){ .stream = stream, .name_len = (uint32_t)strlen(name) };
	memcpy(p->name, name, p->name_len + 1);
	return p;
}

/* The first batch of that time or later; the end of the stream when there is none. */
static int look_up_time(struct read *r, struct position *p)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_event ev;
	struct firn_lookup l = FIRN_LOOKUP_INIT;
	l.volume = r->session.volume;
	l.stream = p->stream;
	l.value = r->since_ms;
	l.by = FIRN_BY_TIMESTAMP;
	int rc = firn_engine_call(r->session.engine, &l.req, &ev, &err);
	firn_release(ev.result);
	if (rc == FIRN_ENOENT)
		p->from = p->end;
	else if (rc)
		return report(&r->common, &err);
	else
		p->from = ev.offset;
	return DONE;
}

static int place(struct read *r, const char *name, uint64_t stream)
{
	uint64_t start = 0;
	struct position *p = add_position(r, name, stream);
	if (!p)
		return complain(&r->common, TROUBLE, "no memory");
	int rc = firn_stream_mark(r->session.volume, stream, FIRN_MARK_START, &start);
	if (!rc)
		rc = firn_stream_mark(r->session.volume, stream, FIRN_MARK_VISIBLE, &p->end);
	if (rc)
		return report_code(&r->common, rc, name);
	p->from = r->has_from ? r->from : start;
	if (p->from < start) {
		fprintf(stderr, "%s: %s: trimmed below %llu\n", r->common.name, name,
		        (unsigned long long)start);
		p->from = start;
	}
	if (p->from > p->end)
		return complain(&r->common, WRONG, "%s ends at offset %llu", name,
		                (unsigned long long)p->end);
	int code = r->has_since ? look_up_time(r, p) : DONE;
	if (r->plan.follow)
		p->end = UINT64_MAX;
	return code;
}

static int place_named(struct read *r)
{
	int code = DONE;
	for (uint32_t i = 0; i < r->n_name && code == DONE; i++) {
		uint64_t stream;
		int rc = firn_stream_find(r->session.volume, r->name[i], strlen(r->name[i]),
		                          &stream);
		if (rc)
			return report_code(&r->common, rc, r->name[i]);
		code = place(r, r->name[i], stream);
	}
	return code;
}

static int place_listed(void *arg, const struct firn_stream_info *info)
{
	return place(arg, info->name, info->stream);
}

static int place_all(struct read *r)
{
	int rc = stream_each(r->session.volume, NULL, place_listed, r);
	return rc < 0 ? report_code(&r->common, rc, "list of streams") : rc;
}

/* ---- readers ---- */

static atomic_bool stop;

static void on_signal(int signal_number)
{
	(void)signal_number;
	atomic_store(&stop, true);
}

static void *reader_thread(void *arg)
{
	replay_run(arg);
	return NULL;
}

static void tell_readers(const struct read *r, const struct replay *reader)
{
	for (uint32_t i = 0; i < r->plan.n_reader; i++)
		fprintf(stderr, "reader %u: %s records of %u streams, %s in %s\n", reader[i].number,
		        text_count(reader[i].n_records).s, r->plan.n_position,
		        text_bytes(reader[i].bytes).s, text_duration(reader[i].took_ns).s);
}

static int run_readers(struct read *r)
{
	struct replay reader[MAX_READERS];
	uint32_t n = 0;
	int code = DONE;
	memset(reader, 0, sizeof reader);
	for (; n < r->plan.n_reader && code == DONE; n++) {
		reader[n].plan = &r->plan;
		reader[n].number = n + 1;
		if (pthread_create(&reader[n].thread, NULL, reader_thread, &reader[n])) {
			code = complain(&r->common, TROUBLE, "no thread for reader %u", n + 1);
			break;
		}
	}
	for (uint32_t i = 0; i < n; i++) {
		pthread_join(reader[i].thread, NULL);
		code = reader[i].code > code ? reader[i].code : code;
	}
	if (r->plan.split_dir)
		tell_readers(r, reader);
	return code;
}

static int run(struct read *r)
{
	struct sigaction act = { .sa_handler = on_signal };
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	int code = r->all ? place_all(r) : place_named(r);
	if (code)
		return code;
	r->plan.common = &r->common;
	r->plan.engine = r->session.engine;
	r->plan.volume = r->session.volume;
	r->plan.position = r->position;
	r->plan.stop = &stop;
	return run_readers(r);
}

int read_run(int argc, char **argv)
{
	static const struct argp_child children[] = { { &where_argp, 0, "Where:", 1 },
		                                      { &engine_argp, 0, "Engine:", 2 },
		                                      { 0 } };
	static const struct argp argp = { options, parse, NULL, doc, children, NULL, NULL };
	struct read r = { .common.name = argv[0], .plan.n_reader = 1 };
	argp_parse(&argp, argc, argv, 0, NULL, &r);
	if (r.common.json)
		r.plan.format = READ_JSON;
	int code = session_open(&r.session, &r.common, 0);
	if (code == DONE)
		code = session_close(&r.session, SESSION_TIDY, run(&r));
	free(r.position);
	free(r.name);
	return code;
}
