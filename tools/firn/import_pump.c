/* Finds the files, then keeps `max_open` of them open and `window` lines of each in flight. */
#include "engine/base/sum.h"
#include "tools/firn/import.h"
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- files ---- */

static int add_file(struct import *im, const char *dir, const char *name)
{
	if (im->n_input == im->cap_input) {
		uint32_t cap = im->cap_input ? im->cap_input * 2 : 64;
		struct input *grown = realloc(im->input, cap * sizeof *grown);
		if (!grown)
			return complain(&im->common, TROUBLE, "no memory");
		im->input = grown;
		im->cap_input = cap;
	}
	struct input *in = &im->input[im->n_input];
	*in = (struct input){ .source.fd = -1 };
	if (asprintf(&in->path, "%s%s%s", dir ? dir : "", dir ? "/" : "", name) < 0)
		return complain(&im->common, TROUBLE, "no memory");
	const char *slash = strrchr(in->path, '/');
	in->name = slash ? slash + 1 : in->path;
	in->producer = sum64(in->name, strlen(in->name));
	im->n_input++;
	return DONE;
}

static int add_directory(struct import *im, const char *path)
{
	DIR *dir = opendir(path);
	int code = DONE;
	struct dirent *e;
	if (!dir)
		return complain(&im->common, TROUBLE, "%s: %s", path, strerror(errno));
	while (code == DONE && (e = readdir(dir))) {
		struct stat st;
		if (e->d_name[0] != '.' && !fstatat(dirfd(dir), e->d_name, &st, 0) &&
		    S_ISREG(st.st_mode))
			code = add_file(im, path, e->d_name);
	}
	closedir(dir);
	return code;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct input *)a)->name, ((const struct input *)b)->name);
}

int import_find_files(struct import *im)
{
	for (char **path = im->path; *path; path++) {
		struct stat st;
		if (stat(*path, &st))
			return complain(&im->common, TROUBLE, "%s: %s", *path, strerror(errno));
		int code = S_ISDIR(st.st_mode) ? add_directory(im, *path)
		                               : add_file(im, NULL, *path);
		if (code)
			return code;
	}
	if (!im->n_input)
		return complain(&im->common, WRONG, "no files there: nothing to import");
	qsort(im->input, im->n_input, sizeof *im->input, by_name);
	for (uint32_t i = 1; i < im->n_input; i++)
		if (!strcmp(im->input[i].name, im->input[i - 1].name))
			return complain(&im->common, TROUBLE,
			                "%s and %s have one name: import them separately",
			                im->input[i - 1].path, im->input[i].path);
	return DONE;
}

void import_free_files(struct import *im)
{
	for (uint32_t i = 0; i < im->n_input; i++) {
		source_close(&im->input[i].source);
		free(im->input[i].path);
	}
	free(im->input);
}

/* ---- the pump ---- */

static int start(struct import *im, struct input *in)
{
	struct firn_error err = FIRN_ERROR_INIT;
	if (source_open(&in->source, in->path, false))
		return complain(&im->common, TROUBLE, "%s: %s", in->path, strerror(errno));
	if (im->fields.number)
		return DONE;
	in->stream = names_get(&im->names, in->name, strlen(in->name), &err);
	return in->stream ? DONE : report(&im->common, &err);
}

static int put(struct import *im, struct input *in, const uint8_t *data, size_t len)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct sender_item item = { .stream = in->stream,
		                    .data = data,
		                    .len = len,
		                    .producer_id = in->producer,
		                    .producer_seq = in->source.n_records,
		                    .owner = in };
	if (!item.stream) {
		size_t name_len = 0;
		const void *name = fields_find(&im->fields, data, len, &name_len);
		if (!name)
			return complain(&im->common, WRONG, "%s: line %" PRIu64 " has no column %u",
			                in->path, in->source.n_records, im->fields.number);
		item.stream = names_get(&im->names, name, name_len, &err);
		if (!item.stream)
			return report(&im->common, &err);
	}
	in->in_flight++;
	im->n_read++;
	return sender_put(&im->sender, &item) ? report(&im->common, &im->sender.err) : DONE;
}

static void at_end(struct input *in)
{
	if (in->source.unterminated)
		fprintf(stderr, "%s: the last line has no newline; it is taken as complete\n",
		        in->path);
	source_close(&in->source);
	in->at_end = true;
}

/* Fills the window of one file; *moved is set if anything was submitted. */
static int advance(struct import *im, struct input *in, bool *moved)
{
	const uint8_t *data;
	size_t len;
	int code = DONE;
	while (code == DONE && !in->at_end && in->in_flight < im->window) {
		switch (source_next(&in->source, &data, &len)) {
		case SOURCE_RECORD:
			*moved = true;
			code = put(im, in, data, len);
			break;
		case SOURCE_MORE:
			if (!source_fill(&in->source))
				break;
			/* fall through */
		case SOURCE_BAD:
			code = complain(&im->common, WRONG, "%s", in->source.problem);
			break;
		case SOURCE_END:
			at_end(in);
			break;
		}
	}
	return code;
}

/* One turn over the open files. Finished ones give their place to the next. */
static int turn(struct import *im, struct input **open, uint32_t *n_open, bool *moved)
{
	for (uint32_t i = 0; i < *n_open;) {
		int code = advance(im, open[i], moved);
		if (code)
			return code;
		if (open[i]->at_end && !open[i]->in_flight) {
			im->n_done++;
			open[i] = open[--*n_open];
			*moved = true;
		} else {
			i++;
		}
	}
	return DONE;
}

int import_pump(struct import *im)
{
	struct input **open = calloc(im->max_open, sizeof *open);
	uint32_t n_open = 0;
	int code = open ? DONE : complain(&im->common, TROUBLE, "no memory");
	while (code == DONE && (n_open || im->n_started < im->n_input)) {
		bool moved = false;
		while (code == DONE && n_open < im->max_open && im->n_started < im->n_input) {
			open[n_open] = &im->input[im->n_started++];
			code = start(im, open[n_open++]);
		}
		if (code == DONE)
			code = turn(im, open, &n_open, &moved);
		if (code == DONE)
			sender_reap(&im->sender, moved ? 0 : 1000);
		if (code == DONE && im->sender.code)
			code = report(&im->common, &im->sender.err);
		if (progress_due(&im->progress))
			progress_show(&im->progress, "%s of %u files, %s lines, %s",
			              text_count(im->n_done).s, im->n_input,
			              text_count(im->n_read).s,
			              text_rate(im->n_read, mono_ns() - im->sender.begin_ns).s);
	}
	free(open);
	return code;
}
