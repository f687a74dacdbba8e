#include "tools/firn/source.h"
#include "engine/base/le.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FIRST_CAP = 256 << 10, PREFIX = 4 };

int source_open(struct source *s, const char *path, bool batches)
{
	bool standard = !path || !strcmp(path, "-");
	*s = (struct source){ .name = standard ? "standard input" : path,
		              .batches = batches,
		              .fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC) };
	return s->fd < 0 ? -1 : 0;
}

void source_close(struct source *s)
{
	if (s->fd > STDERR_FILENO)
		close(s->fd);
	s->fd = -1;
	free(s->buf);
	s->buf = NULL;
}

static enum source_result bad(struct source *s, const char *what)
{
	snprintf(s->problem, sizeof s->problem, "%.100s: record %llu: %s", s->name,
	         (unsigned long long)s->n_records + 1, what);
	return SOURCE_BAD;
}

static enum source_result give(struct source *s, size_t skip, size_t len, size_t used,
                               const uint8_t **data, size_t *out_len)
{
	*data = s->buf + s->begin + skip;
	*out_len = len;
	s->begin += used;
	s->searched = 0;
	s->n_records++;
	s->n_bytes += len;
	return SOURCE_RECORD;
}

static enum source_result next_line(struct source *s, const uint8_t **data, size_t *len)
{
	size_t held = s->end - s->begin;
	const uint8_t *from = held ? s->buf + s->begin : s->buf; /* no buffer yet: no sum with it */
	const uint8_t *nl = NULL;
	if (held > s->searched)
		nl = memchr(from + s->searched, '\n', held - s->searched);
	if (nl)
		return give(s, 0, (size_t)(nl - from), (size_t)(nl - from) + 1, data, len);
	s->searched = held;
	if (held > SOURCE_RECORD_MAX)
		return bad(s, "a line of more than 64 MiB");
	if (!s->eof)
		return SOURCE_MORE;
	if (!held)
		return SOURCE_END;
	s->unterminated = true;
	return give(s, 0, held, held, data, len);
}

static enum source_result next_batch(struct source *s, const uint8_t **data, size_t *len)
{
	size_t held = s->end - s->begin;
	uint32_t want = held >= PREFIX ? le32_get(s->buf + s->begin) : 0;
	if (want > SOURCE_RECORD_MAX)
		return bad(s, "a batch of more than 64 MiB; is this length-prefixed?");
	if (held >= PREFIX && held - PREFIX >= want)
		return give(s, PREFIX, want, PREFIX + (size_t)want, data, len);
	if (!s->eof)
		return SOURCE_MORE;
	return held ? bad(s, "the input ends inside this batch") : SOURCE_END;
}

enum source_result source_next(struct source *s, const uint8_t **data, size_t *len)
{
	return s->batches ? next_batch(s, data, len) : next_line(s, data, len);
}

static int make_room(struct source *s)
{
	if (s->begin) {
		memmove(s->buf, s->buf + s->begin, s->end - s->begin);
		s->end -= s->begin;
		s->begin = 0;
	}
	if (s->cap - s->end >= FIRST_CAP / 2)
		return 0;
	size_t cap = s->cap ? s->cap * 2 : FIRST_CAP;
	uint8_t *buf = realloc(s->buf, cap);
	if (!buf)
		return -1;
	s->buf = buf;
	s->cap = cap;
	return 0;
}

int source_fill(struct source *s)
{
	ssize_t n;
	if (make_room(s)) {
		bad(s, "no memory");
		return -1;
	}
	do {
		n = read(s->fd, s->buf + s->end, s->cap - s->end);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		bad(s, strerror(errno));
		return -1;
	}
	s->eof = n == 0;
	s->end += (size_t)n;
	return 0;
}
