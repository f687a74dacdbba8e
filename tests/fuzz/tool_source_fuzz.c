/* Input of `firn append` and `firn import`: lines, or length-prefixed batches, out of a pipe that gives them
 * in pieces. The records must be those that a plain look at the whole input finds. Input: a byte (1:
 * batches), a byte (bytes a piece), the rest is what the pipe carries. */
#include "engine/base/le.h"
#include "tools/firn/source.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int ok)
{
	if (!ok)
		abort();
}

/* The record at *at of the whole input; false: there is none. *whole: nothing of it is missing. */
static bool expected(const uint8_t *in, size_t len, bool batches, size_t *at, const uint8_t **rec,
                     size_t *rec_len, bool *whole)
{
	size_t left = len - *at;
	const uint8_t *p = in + *at;
	*whole = true;
	if (!left)
		return false;
	if (batches) {
		*whole = left >= 4 && le32_get(p) <= left - 4;
		*rec = p + 4;
		*rec_len = *whole ? le32_get(p) : 0;
		*at += *whole ? 4 + *rec_len : left;
		return true;
	}
	const uint8_t *nl = memchr(p, '\n', left);
	*rec = p;
	*rec_len = nl ? (size_t)(nl - p) : left;
	*at += *rec_len + (nl != NULL);
	return true;
}

static void compare(struct source *s, const uint8_t *in, size_t len, int feed, size_t piece)
{
	const uint8_t *got, *want = NULL;
	size_t got_len, want_len = 0, at = 0, fed = 0;
	bool whole;
	for (;;) {
		switch (source_next(s, &got, &got_len)) {
		case SOURCE_RECORD:
			require(expected(in, len, s->batches, &at, &want, &want_len, &whole) &&
			        whole && got_len == want_len &&
			        (!got_len || memcmp(got, want, got_len) == 0));
			break;
		case SOURCE_MORE: {
			size_t n = len - fed < piece ? len - fed : piece;
			require(feed >= 0); /* nothing may be wanted behind the end */
			require(write(feed, in + fed, n) == (ssize_t)n);
			fed += n;
			if (fed == len) {
				(void)close(feed);
				feed = -1;
				while (!s->eof)
					require(source_fill(s) == 0);
			} else {
				require(source_fill(s) == 0);
			}
			break;
		}
		case SOURCE_BAD:
			require(s->problem[0] && s->batches &&
			        expected(in, len, true, &at, &want, &want_len, &whole) && !whole);
			if (feed >= 0)
				(void)close(feed);
			return;
		case SOURCE_END:
			require(feed < 0 &&
			        !expected(in, len, s->batches, &at, &want, &want_len, &whole));
			return;
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int ends[2];
	if (size < 2 || size > 16384)
		return 0;
	require(pipe(ends) == 0);
	struct source s = { .name = "input", .batches = data[0] & 1, .fd = ends[0] };
	compare(&s, data + 2, size - 2, ends[1], data[1] ? data[1] : 1);
	source_close(&s);
	return 0;
}
