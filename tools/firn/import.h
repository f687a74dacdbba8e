/* firn import in two halves: the command (import.c), and the pump that moves lines
 * (import_pump.c). */
#ifndef TOOL_IMPORT_H
#define TOOL_IMPORT_H
#include "tools/firn/command.h"
#include "tools/firn/fields.h"
#include "tools/firn/sender.h"
#include "tools/firn/source.h"

struct input {
	char *path;
	const char *name; /* into path: the last component */
	uint64_t producer;
	struct source source;
	const struct stream_name *stream; /* NULL with a key column */
	uint32_t in_flight;
	bool at_end; /* read to its end; lines may be in flight */
};

struct import {
	struct common common;
	struct fields fields; /* number 0: a file is a stream */
	uint32_t window, max_open;
	bool drain;
	const char *acks_path;
	FILE *acks;
	char **path; /* arguments, NULL-terminated */
	uint32_t n_input, cap_input, n_started, n_done;
	struct input *input; /* by name */
	uint64_t n_read;
	struct session session;
	struct names names;
	struct sender sender;
	struct progress progress;
};

int import_find_files(struct import *im);
void import_free_files(struct import *im);
/* Reads all files, as many at a time as asked; returns when the last line is submitted. */
int import_pump(struct import *im);
#endif
