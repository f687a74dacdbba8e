/* What people and scripts type at `firn`: numbers, sizes, durations, times, columns of lines, names. Input:
 * a byte (number of the column), a byte (delimiter), text. */
#include "tools/firn/fields.h"
#include "tools/firn/text.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int ok)
{
	if (!ok)
		abort();
}

static void numbers(const char *s)
{
	uint64_t v = 0;
	char back[32];
	if (parse_u64(s, &v) == 0) {
		const char *digits = s + strspn(s, "0");
		(void)snprintf(back, sizeof back, "%llu", (unsigned long long)v);
		require(!strcmp(*digits ? digits : "0", back));
	}
	if (parse_size(s, &v) == 0)
		require(v <= INT64_MAX && *s >= '0' && *s <= '9');
	if (parse_duration(s, &v) == 0)
		require(v <= INT64_MAX && *s >= '0' && *s <= '9');
}

/* A time that is shown reads as itself. */
static void times(const char *s)
{
	int64_t ms = 0, again = 0;
	if (parse_time(s, &ms))
		return;
	struct text t = text_time(ms);
	if (ms > 0 && ms < INT64_C(253402300800000)) /* the year 10000 */
		require(parse_time(t.s, &again) == 0 && again == ms);
}

static void columns(uint8_t number, uint8_t delimiter, const uint8_t *line, size_t len)
{
	struct fields f = { number ? number : 1, (char)delimiter };
	size_t n = 0;
	const uint8_t *at = fields_find(&f, line, len, &n), *end = line + len;
	unsigned before = 0;
	if (!at) {
		for (const uint8_t *p = line; p < end; p++)
			before += *p == delimiter;
		require(before + 1 < f.number);
		return;
	}
	require(at >= line && at <= end && n <= (size_t)(end - at));
	for (const uint8_t *p = line; p < at; p++)
		before += *p == delimiter;
	require(before + 1 == f.number && (!n || !memchr(at, delimiter, n)));
	require(at + n == end || at[n] == delimiter);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2 || size > 4096)
		return 0;
	char *text = malloc(size - 1);
	require(text != NULL);
	memcpy(text, data + 2, size - 2);
	text[size - 2] = 0;
	numbers(text);
	times(text);
	columns(data[0], data[1], (const uint8_t *)text, size - 2);
	struct text t = text_name(text, size - 2);
	for (const char *p = t.s; *p; p++)
		require((unsigned char)*p >= 32 && *p != 127);
	free(text);
	return 0;
}
