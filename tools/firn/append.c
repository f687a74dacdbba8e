/* firn append: lines or batches from files or standard input, many in flight. */
#include "tools/firn/command.h"
#include "tools/firn/fields.h"
#include "tools/firn/json.h"
#include "tools/firn/resume.h"
#include "tools/firn/sender.h"
#include "tools/firn/source.h"
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct append {
	struct common common;
	const char *stream;
	struct fields fields; /* number 0: all goes to `stream` */
	bool batches, acks, drain, stored, resume;
	uint32_t window;
	char **file; /* NULL-terminated; none = standard input */
	struct session session;
	struct names names;
	struct sender sender;
	struct progress progress;
	uint64_t n_read;
	uint64_t n_skip; /* --resume: records of the input that are there already */
	uint64_t first_ack_ns;
};

enum { STOPPED = -1 }; /* the sender: it tells why when it is closed, and all has its outcome */

enum {
	KEY_FIELD = 0x2000,
	KEY_DELIMITER,
	KEY_BATCHES,
	KEY_ACKS,
	KEY_WINDOW,
	KEY_DRAIN,
	KEY_STORED,
	KEY_RESUME
};

static const struct argp_option options[] = {
	{ "stream", 'S', "NAME", 0, "Append to this stream, made if absent", 0 },
	{ "key-field", KEY_FIELD, "N", 0, "The N-th field of a line names its stream", 0 },
	{ "delimiter", KEY_DELIMITER, "C", 0, "What separates fields (a tab)", 0 },
	{ "batches", KEY_BATCHES, NULL, 0,
	  "Input is not lines but batches: length (u32, little-endian), bytes", 0 },
	{ "window", KEY_WINDOW, "N", 0, "Appends in flight at most (1024)", 0 },
	{ "acks", KEY_ACKS, NULL, 0, "Print `stream offset' for each append as it is acked", 0 },
	{ "stored", KEY_STORED, NULL, 0, "Ack what is in the store, not just in the WAL", 0 },
	{ "resume", KEY_RESUME, NULL, 0,
	  "The stream holds the first records of the input: read it to its end, and go on with the next",
	  0 },
	{ "drain", KEY_DRAIN, NULL, 0, "At the end store everything, so that any engine can attach",
	  0 },
	{ 0 },
};

static const char doc[] =
        "Append lines, or batches, from FILEs or standard input. A line is one record, without its "
        "newline.\v"
        "An append is acked when it is durable in the WAL: it survives kill -9 and a power cut.\n\n"
        "Examples:\n"
        "  tail -F app.log | firn append -d D -s file:///srv/firn -v v0 -S app\n"
        "  firn append -d D -s URI -v v0 --key-field 2 --delimiter , rows.csv\n"
        "  firn append -d D -s URI -v v0 -S app --acks --window 1 < lines\n";

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct append *a = state->input;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = state->child_inputs[1] = &a->common;
		return 0;
	case 'S':
		a->stream = arg;
		return 0;
	case KEY_FIELD:
		a->fields.number = (unsigned)option_number(state, "key-field", arg, 1, 10000);
		return 0;
	case KEY_DELIMITER:
		if (strlen(arg) != 1)
			argp_error(state, "--delimiter: one character, not `%s'", arg);
		a->fields.delimiter = arg[0];
		return 0;
	case KEY_WINDOW:
		a->window = (uint32_t)option_number(state, "window", arg, 1, 65536);
		return 0;
	case KEY_BATCHES:
		a->batches = true;
		return 0;
	case KEY_ACKS:
		a->acks = true;
		return 0;
	case KEY_STORED:
		a->stored = true;
		return 0;
	case KEY_DRAIN:
		a->drain = true;
		return 0;
	case KEY_RESUME:
		a->resume = true;
		return 0;
	case ARGP_KEY_ARGS:
		a->file = state->argv + state->next;
		return 0;
	case ARGP_KEY_END:
		common_need(state, &a->common, NEED_ALL);
		if (!a->stream == !a->fields.number)
			argp_error(state, "give --stream NAME or --key-field N, one of them");
		if (a->batches && a->fields.number)
			argp_error(state, "--key-field needs lines, not --batches");
		if (a->resume && !a->stream)
			argp_error(state, "--resume needs --stream");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void acked(void *arg, const struct sender_slot *slot, const struct firn_event *ev)
{
	struct append *a = arg;
	if (!a->first_ack_ns)
		a->first_ack_ns = mono_ns();
	if (!a->acks)
		return;
	if (!a->common.json) {
		printf("%s %" PRIu64 "\n", slot->stream->name, ev->offset);
		return;
	}
	struct json j;
	json_init(&j, stdout);
	json_object(&j, NULL);
	json_bytes(&j, "stream", slot->stream->name, slot->stream->len);
	json_u64(&j, "offset", ev->offset);
	json_end(&j);
}

static void flush(void *arg)
{
	(void)arg;
	fflush(stdout);
}

static int put(struct append *a, const struct source *src, const uint8_t *data, size_t len)
{
	struct firn_error err = FIRN_ERROR_INIT;
	size_t name_len = a->stream ? strlen(a->stream) : 0;
	const void *name = a->stream;
	if (a->n_skip) {
		a->n_skip--;
		return DONE;
	}
	if (!name)
		name = fields_find(&a->fields, data, len, &name_len);
	if (!name)
		return complain(&a->common, WRONG, "%s: line %" PRIu64 " has no field %u",
		                src->name, src->n_records, a->fields.number);
	struct sender_item item = { .data = data, .len = len };
	item.stream = names_get(&a->names, name, name_len, &err);
	if (!item.stream)
		return report(&a->common, &err);
	a->n_read++;
	return sender_put(&a->sender, &item) ? STOPPED : DONE;
}

/* Waits for input, but prints acks that come meanwhile: the input may wait for them. */
static void wait_for_input(struct append *a, const struct source *src)
{
	struct pollfd fd[2] = { { src->fd, POLLIN, 0 }, { firn_cq_fd(a->sender.cq), POLLIN, 0 } };
	while (poll(fd, 2, -1) > 0 && !fd[0].revents)
		sender_reap(&a->sender, 0);
}

static int append_source(struct append *a, struct source *src)
{
	const uint8_t *data;
	size_t len;
	int code = DONE;
	while (code == DONE) {
		switch (source_next(src, &data, &len)) {
		case SOURCE_RECORD:
			code = put(a, src, data, len);
			if (code == DONE && progress_due(&a->progress))
				progress_show(&a->progress, "%s records, %s in flight",
				              text_count(a->n_read).s,
				              text_count(sender_in_flight(&a->sender)).s);
			break;
		case SOURCE_MORE:
			if (sender_in_flight(&a->sender))
				wait_for_input(a, src);
			if (!source_fill(src))
				break;
			/* fall through */
		case SOURCE_BAD:
			code = complain(&a->common, WRONG, "%s", src->problem);
			break;
		case SOURCE_END:
			return DONE;
		}
	}
	return code;
}

/* Before a volume is made for it. */
static int check_files(const struct append *a)
{
	for (char **file = a->file; file && *file; file++)
		if (strcmp(*file, "-") != 0 && access(*file, R_OK))
			return complain(&a->common, TROUBLE, "%s: %s", *file, strerror(errno));
	return DONE;
}

static int append_files(struct append *a)
{
	static char *standard_input[] = { NULL, NULL };
	char **file = a->file ? a->file : standard_input;
	int code = DONE;
	do {
		struct source src;
		if (source_open(&src, *file, a->batches))
			return complain(&a->common, TROUBLE, "%s: %s", *file, strerror(errno));
		code = append_source(a, &src);
		source_close(&src);
	} while (code == DONE && *file && *++file);
	return code;
}

static void summary(const struct append *a)
{
	const struct sender *s = &a->sender;
	uint64_t ns = s->end_ns - s->begin_ns;
	if (a->common.json) {
		struct json j;
		json_init(&j, stdout);
		json_object(&j, NULL);
		json_u64(&j, "appended", s->n_acked);
		json_u64(&j, "bytes", s->bytes);
		json_double(&j, "seconds", (double)ns / 1e9);
		json_double(&j, "first_ack_ms", since_attach(&a->session, a->first_ack_ns));
		json_double(&j, "ack_p50_us", (double)hist_percentile(&s->latency, 50) / 1e3);
		json_double(&j, "ack_p99_us", (double)hist_percentile(&s->latency, 99) / 1e3);
		json_end(&j);
		return;
	}
	fprintf(a->acks ? stderr : stdout, "%s records, %s in %s: %s; acks p50 %s, p99 %s\n",
	        text_count(s->n_acked).s, text_bytes(s->bytes).s, text_duration(ns).s,
	        text_rate(s->n_acked, ns).s, text_duration(hist_percentile(&s->latency, 50)).s,
	        text_duration(hist_percentile(&s->latency, 99)).s);
}

static int resume(struct append *a)
{
	struct resume r;
	int code = resume_read(&a->session, a->stream, &r);
	if (code)
		return code;
	a->n_skip = r.end;
	resume_tell(&a->session, a->stream, &r);
	return DONE;
}

static int append(struct append *a)
{
	struct firn_error err = FIRN_ERROR_INIT;
	int code = a->resume ? resume(a) : DONE;
	if (code)
		return code;
	if (sender_open(&a->sender, a->session.engine, a->session.volume, a->window,
	                a->stored ? FIRN_ACK_STORED : FIRN_ACK_DURABLE, &err))
		return report(&a->common, &err);
	a->sender.acked = acked;
	a->sender.flush = flush;
	a->sender.arg = a;
	names_init(&a->names, a->session.engine, a->session.volume, NULL);
	progress_begin(&a->progress);
	code = append_files(a);
	if (sender_close(&a->sender) && code <= DONE)
		code = report(&a->common, &a->sender.err);
	progress_end(&a->progress);
	summary(a);
	names_fini(&a->names);
	return code;
}

int append_run(int argc, char **argv)
{
	static const struct argp_child children[] = { { &where_argp, 0, "Where:", 1 },
		                                      { &engine_argp, 0, "Engine:", 2 },
		                                      { 0 } };
	static const struct argp argp = { options, parse, "[FILE...]", doc, children, NULL, NULL };
	struct append a = { .common.name = argv[0], .window = 1024, .fields.delimiter = '\t' };
	argp_parse(&argp, argc, argv, 0, NULL, &a);
	int code = check_files(&a);
	if (code == DONE)
		code = session_open(&a.session, &a.common, FIRN_ATTACH_CREATE);
	if (code)
		return code;
	code = append(&a);
	return session_close(&a.session, a.drain ? SESSION_DRAIN : SESSION_KEEP, code);
}
