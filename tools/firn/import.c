/* firn import: files into streams, many files in flight, restartable.
 *
 * Each line is a batch with a producer: id from the file's name, sequence = line number, RISING
 * rule. So a second run, or a restart after kill -9, is answered with the first one's offsets and
 * adds nothing twice. Producers are remembered for ten years in streams that import makes. */
#include "tools/firn/import.h"
#include "tools/firn/json.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_COLUMN = 0x3000, KEY_DELIMITER, KEY_WINDOW, KEY_FILES, KEY_ACKS, KEY_DRAIN };

static const struct argp_option options[] = {
	{ "key-column", KEY_COLUMN, "N", 0,
	  "The N-th column of a line names its stream; else a file is a stream", 0 },
	{ "delimiter", KEY_DELIMITER, "C", 0, "What separates columns (a tab)", 0 },
	{ "window", KEY_WINDOW, "N", 0, "Lines in flight for each file (64)", 0 },
	{ "files", KEY_FILES, "N", 0, "Files in flight (64)", 0 },
	{ "acks", KEY_ACKS, "FILE", 0, "Add `stream offset line' to FILE for each line added", 0 },
	{ "drain", KEY_DRAIN, NULL, 0, "At the end store everything, so that any engine can attach",
	  0 },
	{ 0 },
};

static const char doc[] =
        "Import files, or all files of directories, line by line: one stream for each file, named "
        "like it, or one for each key of a column.\v"
        "Run it again after a crash, or when the files have grown: lines that are in already are "
        "recognised by file name and line number, and are not added twice.\n\n"
        "Examples:\n"
        "  firn import -d /var/lib/firn -s file:///srv/firn -v chat logs/\n"
        "  firn import -d D -s URI -v v0 --key-column 1 --delimiter , events.csv --drain\n"
        "  firn import -d D -s URI -v chat logs/ --acks acked.txt --files 200 --window 16\n";

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct import *im = state->input;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = state->child_inputs[1] = &im->common;
		return 0;
	case KEY_COLUMN:
		im->fields.number = (unsigned)option_number(state, "key-column", arg, 1, 10000);
		return 0;
	case KEY_DELIMITER:
		if (strlen(arg) != 1)
			argp_error(state, "--delimiter: one character, not `%s'", arg);
		im->fields.delimiter = arg[0];
		return 0;
	case KEY_WINDOW:
		im->window = (uint32_t)option_number(state, "window", arg, 1, 65536);
		return 0;
	case KEY_FILES:
		im->max_open = (uint32_t)option_number(state, "files", arg, 1, 4096);
		return 0;
	case KEY_ACKS:
		im->acks_path = arg;
		return 0;
	case KEY_DRAIN:
		im->drain = true;
		return 0;
	case ARGP_KEY_ARGS:
		im->path = state->argv + state->next;
		return 0;
	case ARGP_KEY_END:
		common_need(state, &im->common, NEED_ALL);
		if (!im->path)
			argp_error(state, "name a directory, or files");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void summary(const struct import *im, int code)
{
	const struct sender *s = &im->sender;
	uint64_t ns = s->end_ns - s->begin_ns, added = s->n_acked - s->n_duplicate;
	uint64_t p50 = hist_percentile(&s->latency, 50), p99 = hist_percentile(&s->latency, 99);
	if (im->common.json) {
		struct json j;
		json_init(&j, stdout);
		json_object(&j, NULL);
		json_u64(&j, "files", im->n_done);
		json_u64(&j, "streams", im->names.map.n);
		json_u64(&j, "added", added);
		json_u64(&j, "known", s->n_duplicate);
		json_u64(&j, "bytes", s->bytes);
		json_double(&j, "seconds", (double)ns / 1e9);
		json_double(&j, "ack_p50_us", (double)p50 / 1e3);
		json_double(&j, "ack_p99_us", (double)p99 / 1e3);
		json_bool(&j, "complete", code == DONE);
		json_end(&j);
		return;
	}
	printf("%s files into %s streams: %s lines added (%s), %s were in already\n",
	       text_count(im->n_done).s, text_count(im->names.map.n).s, text_count(added).s,
	       text_bytes(s->bytes).s, text_count(s->n_duplicate).s);
	if (added)
		printf("%s in %s: durable acks p50 %s, p99 %s\n", text_rate(added, ns).s,
		       text_duration(ns).s, text_duration(p50).s, text_duration(p99).s);
}

static void acked(void *arg, const struct sender_slot *slot, const struct firn_event *ev)
{
	struct import *im = arg;
	struct input *in = slot->owner;
	in->in_flight--;
	/* Of a line that is in already the engine may have forgotten the offset. */
	if (im->acks && !(ev->flags & FIRN_F_DUPLICATE))
		fprintf(im->acks, "%s %" PRIu64 " %" PRIu64 "\n", slot->stream->name, ev->offset,
		        slot->seq);
}

static void flush_acks(void *arg)
{
	struct import *im = arg;
	if (im->acks)
		fflush(im->acks);
}

static int import(struct import *im)
{
	struct firn_error err = FIRN_ERROR_INIT;
	uint32_t depth = im->max_open < im->n_input ? im->max_open : im->n_input;
	uint64_t wanted = (uint64_t)depth * im->window;
	if (sender_open(&im->sender, im->session.engine, im->session.volume,
	                wanted < 65536 ? (uint32_t)wanted : 65536, FIRN_ACK_DURABLE, &err))
		return report(&im->common, &err);
	im->sender.acked = acked;
	im->sender.flush = flush_acks;
	im->sender.arg = im;
	struct firn_stream_config config = { .struct_size = sizeof config,
		                             .producer_expire_ms = UINT64_C(3650) * 86400000 };
	names_init(&im->names, im->session.engine, im->session.volume, &config);
	progress_begin(&im->progress);
	int code = import_pump(im);
	if (sender_close(&im->sender) && code == DONE)
		code = report(&im->common, &im->sender.err);
	progress_end(&im->progress);
	summary(im, code);
	names_fini(&im->names);
	return code;
}

static int run(struct import *im)
{
	int code = import_find_files(im);
	if (code)
		return code;
	if (im->acks_path) {
		im->acks = fopen(im->acks_path, "ae");
		if (!im->acks)
			return complain(&im->common, TROUBLE, "%s: %s", im->acks_path,
			                strerror(errno));
	}
	code = session_open(&im->session, &im->common, FIRN_ATTACH_CREATE);
	if (code == DONE) {
		code = import(im);
		code = session_close(&im->session, im->drain ? SESSION_DRAIN : SESSION_KEEP, code);
	}
	if (im->acks && fclose(im->acks))
		code = complain(&im->common, TROUBLE, "%s: %s", im->acks_path, strerror(errno));
	return code;
}

int import_run(int argc, char **argv)
{
	static const struct argp_child children[] = { { &where_argp, 0, "Where:", 1 },
		                                      { &engine_argp, 0, "Engine:", 2 },
		                                      { 0 } };
	static const struct argp argp = {
		options, parse, "DIR|FILE...", doc, children, NULL, NULL
	};
	struct import im = {
		.common.name = argv[0], .window = 64, .max_open = 64, .fields.delimiter = '\t'
	};
	argp_parse(&argp, argc, argv, 0, NULL, &im);
	int code = run(&im);
	import_free_files(&im);
	return code;
}
