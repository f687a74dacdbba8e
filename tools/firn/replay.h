/* firn read in three parts: the command (read.c), one reader that replays a set of streams
 * (replay.c), and what becomes of the records (output.c). */
#ifndef TOOL_REPLAY_H
#define TOOL_REPLAY_H
#include "tools/firn/command.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

enum read_format { READ_LINES, READ_OFFSETS, READ_BATCHES, READ_JSON };

struct position {
	uint64_t stream, from, end; /* end: where a replay without --follow is done */
	uint32_t name_len;
	char name[256];
};

struct plan { /* shared by all readers, read-only */
	const struct common *common;
	struct firn_engine *engine;
	struct firn_volume *volume;
	enum read_format format;
	bool follow;
	uint64_t max_records;  /* 0 = no bound */
	const char *split_dir; /* NULL = standard output */
	uint32_t n_reader;
	uint32_t n_position;
	const struct position *position;
	atomic_bool *stop; /* set by a signal */
};

struct replay { /* one reader */
	const struct plan *plan;
	uint32_t number; /* from 1 */
	struct firn_reader *reader;
	uint32_t n_open; /* streams not yet at their end */
	bool *open;
	FILE *out; /* standard output, or NULL */
	uint64_t n_records, bytes, took_ns;
	bool full; /* max_records reached */
	int code;
	pthread_t thread;
};

/* [blocks] Replays everything the plan says; the result is in `code`. */
void replay_run(struct replay *r);

/* ---- output.c ---- */
int output_open(struct replay *r);
/* The batches of one part, of the stream at `p`. */
int output_part(struct replay *r, const struct position *p, const struct firn_part *part);
int output_flush(struct replay *r);
#endif
