/* Records out of a file or a pipe: lines, or length-prefixed batches (u32 little-endian, bytes).
 * Any byte may stand in a record, NUL too; the newline that ends a line is not part of it. */
#ifndef TOOL_SOURCE_H
#define TOOL_SOURCE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SOURCE_RECORD_MAX = 64 << 20 };

enum source_result {
	SOURCE_RECORD,
	SOURCE_MORE, /* the buffer holds no whole record: call source_fill() */
	SOURCE_END,
	SOURCE_BAD, /* `problem` says what, and at which record */
};

struct source {
	const char *name; /* path, or "standard input" */
	int fd;
	bool batches, eof;
	bool unterminated; /* the last line had no newline; it was taken all the same */
	uint8_t *buf;
	size_t begin, end, cap, searched; /* searched: bytes from begin known to hold no newline */
	uint64_t n_records, n_bytes;      /* given out so far; payload bytes */
	char problem[256];
};

/* `path` NULL or "-" is standard input. 0, or -1 with errno. */
int source_open(struct source *s, const char *path, bool batches);
void source_close(struct source *s);
/* The record stays valid until the next call. Never blocks. */
enum source_result source_next(struct source *s, const uint8_t **data, size_t *len);
/* Reads some more; blocks as read(2) does. 0, or -1 with `problem` set. */
int source_fill(struct source *s);
#endif
